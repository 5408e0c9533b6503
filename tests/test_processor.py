"""What the processor is asked, and what is left as it was."""

import subprocess
import sys

import pytest
import torch

from course_utils import processor
from course_utils.processor import fastest_precision, memory_kept


@pytest.fixture
def timed(monkeypatch):
    """Set how long float32 and 16 bits take, in seconds; an exception stands for "not supported"."""

    def use(full, half):
        def layer(device, dtype):
            def trial():
                seconds = full if dtype == torch.float32 else half
                if isinstance(seconds, Exception):
                    raise seconds
                return seconds

            return trial

        monkeypatch.setattr(processor, "_layer", layer)
        fastest_precision.cache_clear()

    yield use
    fastest_precision.cache_clear()


@pytest.mark.parametrize(
    ("full", "half", "precision"),
    [(2.0, 1.0, "bf16"), (1.0, 2.0, "no"), (1.0, 0.95, "no"), (1.0, RuntimeError("not implemented"), "no")],
)
def test_16_bits_where_they_are_faster(timed, full, half, precision):
    timed(full, half)
    assert fastest_precision("cpu") == precision


def test_it_is_measured_once(timed):
    timed(2.0, 1.0)
    assert fastest_precision("cpu") == "bf16"
    timed_again = pytest.fail
    processor._layer = timed_again  # the fixture's monkeypatch puts the real one back
    assert fastest_precision("cpu") == "bf16"


def test_measuring_leaves_random_numbers_and_threads_alone():
    fastest_precision.cache_clear()
    torch.manual_seed(3)
    expected, threads = torch.rand(4), torch.get_num_threads()
    torch.manual_seed(3)
    assert fastest_precision("cpu") in ("no", "bf16")
    assert torch.equal(torch.rand(4), expected) and torch.get_num_threads() == threads


FAULTS = """
import resource, torch
from course_utils.processor import memory_kept
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(8, 2**20)  # 32 MiB: above what glibc keeps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
given_back = faults()
with memory_kept():
    faults()  # the first ones have nothing to use again
    with memory_kept():  # as restoring does, in a training
        pass
    kept = faults()
print(given_back, kept, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_is_used_again():
    answer = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    given_back, kept, afterwards = map(int, answer.stdout.split())  # pages that the system had to clear
    assert kept < given_back / 10
    assert afterwards > given_back / 2


def test_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: object())
    with memory_kept():
        pass
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(TypeError("Windows")))
    with memory_kept():
        pass
