"""What the processor is asked, and what is left as it was."""

import subprocess
import sys

import pytest
import torch

from course_utils import processor
from course_utils.processor import fastest_precision, memory_kept


@pytest.fixture(autouse=True)
def nothing_known(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    fastest_precision.cache_clear()
    yield
    fastest_precision.cache_clear()


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
        fastest_precision.cache_clear()  # as a new process

    return use


@pytest.mark.parametrize(
    ("full", "half", "precision"),
    [(2.0, 1.0, "bf16"), (1.0, 2.0, "no"), (1.0, 0.95, "no"), (1.0, RuntimeError("not implemented"), "no")],
)
def test_16_bits_where_they_are_faster(timed, full, half, precision):
    timed(full, half)
    assert fastest_precision("cpu") == precision
    assert fastest_precision("mps") == "no"


def test_it_is_measured_once_for_a_machine(timed, tmp_path, monkeypatch):
    timed(2.0, 1.0)
    assert fastest_precision("cpu") == "bf16"
    timed(1.0, 2.0)  # a moment when the machine had something else to do
    assert fastest_precision("cpu") == "bf16"
    monkeypatch.setattr(processor.platform, "node", lambda: "another")
    fastest_precision.cache_clear()
    assert fastest_precision("cpu") == "no"


@pytest.mark.parametrize("damage", ["", "[1]", '{"a": 1', "{}"])
def test_a_damaged_note_is_written_anew(timed, tmp_path, damage):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precision.json").write_text(damage)
    timed(2.0, 1.0)
    assert fastest_precision("cpu") == "bf16"
    assert "bf16" in (tmp_path / "home" / "precision.json").read_text()


def test_where_nothing_can_be_noted(timed, tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    timed(2.0, 1.0)
    assert fastest_precision("cpu") == "bf16"


def test_measuring_leaves_random_numbers_and_threads_alone():
    torch.manual_seed(3)
    expected, threads = torch.rand(4), torch.get_num_threads()
    torch.manual_seed(3)
    assert fastest_precision("cpu") in ("no", "bf16")
    assert torch.equal(torch.rand(4), expected) and torch.get_num_threads() == threads


HELD = """
import torch
from course_utils.processor import memory_kept
def held():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) // 2**10
def use():
    torch.ones(64, 2**20)  # 256 MiB, free at once
use()
start = held()
with memory_kept():
    use()
    with memory_kept():  # as restoring does, in a training
        pass
    kept = held()
print(start, kept, held())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_is_kept_within_and_given_back_after():
    answer = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    start, kept, end = map(int, answer.stdout.split())  # MiB
    assert kept > start + 250
    assert end < start + 20


def test_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: object())
    with memory_kept():
        pass
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(TypeError("Windows")))
    with memory_kept():
        pass
