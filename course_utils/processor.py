"""What this processor is good at: the precision that it computes fastest, and memory that stays for the next step."""

import contextlib
import ctypes
import json
import os
import platform
import time
from functools import cache

import torch

from course_utils.data.catalogue import home
from course_utils.files import atomic
from course_utils.profiles import describe


@cache
def fastest_precision(device):
    """The precision in which this machine trains convolutions fastest: "bf16", "fp16" or "no" (float32).

    Nearly every processor accepts 16 bits, but some only imitate them, slowly. So the two are timed against each other,
    on a layer of DnCNN: a tenth of a second. That is done once for a machine and noted in the course's folder, so that
    the same training gives the same weights tomorrow.

    Args:
        device: "cpu", "cuda" or "mps".
    """
    if device not in ("cpu", "cuda"):  # not tried elsewhere
        return "no"
    note, machine = home() / "precision.json", f"{platform.node()}, {describe(device)}, torch {torch.__version__}"
    try:
        known = dict(json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    if known.get(machine) not in ("no", "bf16", "fp16"):
        known[machine] = _measured(device)
        with contextlib.suppress(OSError), atomic(note) as temporary:  # where nothing can be noted, it is measured anew
            temporary.write_text(json.dumps(known, indent=1) + "\n")
    return known[machine]


def _measured(device):
    if device == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        name, half = "fp16", torch.float16
    else:
        name, half = "bf16", torch.bfloat16
    try:
        trials = {dtype: _layer(device, dtype) for dtype in (torch.float32, half)}
        seconds = [{dtype: trial() for dtype, trial in trials.items()} for _ in range(10)]
    except RuntimeError:  # not supported at all
        return "no"
    full, mixed = (min(each[dtype] for each in seconds) for dtype in trials)  # the least disturbed by other programs
    return name if mixed < 0.9 * full else "no"


def _layer(device, dtype):
    """What times one way forward and back through a 3x3 convolution on 64 feature maps, on one core of a CPU."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device, memory_format=torch.channels_last)
        maps = torch.rand(2, 64, 48, 48).to(device, memory_format=torch.channels_last)

    def trial():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # several would wait for each other, and for other programs
        try:
            start = time.perf_counter()
            with torch.autocast(device, dtype, enabled=dtype != torch.float32):
                value = layer(maps).float().sum()
            value.backward()
            layer.weight.grad.sum().item()  # asking for a number waits until it is there
            return time.perf_counter() - start
        finally:
            torch.set_num_threads(threads)

    return trial


@contextlib.contextmanager
def memory_kept():
    """Within, memory that is freed is used again, instead of given back to the system and asked for anew.

    The system clears every page it hands out; a training step on a CPU, which frees and takes gigabytes, spends up to
    half of its time on that. For glibc (most Linux systems); elsewhere nothing changes. Blocks of more than a 64th of
    the machine's memory are given back in any case: kept, they would leave holes that nothing fits. Where one of these
    stands within another, the outer one counts.
    """
    global _outer
    outer, _outer = _outer, True
    if not outer:
        _thresholds(_memory() // 64 or 2**25, 2**31 - 1)
    try:
        yield
    finally:
        _outer = outer
        if not outer:
            _thresholds(2**25, 2**26, trim=True)  # where glibc's own adjustment ends


_outer = False  # whether a memory_kept is under way
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def _thresholds(mapped, trimmed, trim=False):
    """From how many bytes on blocks come straight from the system, and how many may lie free at the end of the heap."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, min(mapped, 2**31 - 1))
        libc.mallopt(_TRIM_THRESHOLD, trimmed)
        if trim:
            libc.malloc_trim(0)
    except (AttributeError, TypeError, OSError):  # no glibc
        pass


def _memory():
    """Of the machine, in bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 0
