"""What the benchmarks share: test sets, fresh processes, peak memory, and what becomes of the figures."""

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from course_utils.data import standard_set
from course_utils.files import CourseError, atomic


def test_set(name):
    """The images of one of the standard sets (Set5, Set12, ...), uint8 (H, W, 3), in the order of their names.

    Raises:
        CourseError: it is not there; the sets may not be handed on with this project.
    """
    images = standard_set(name)
    if not images:
        raise CourseError(f"no {name} here; name the folder that holds it in COURSE_BENCHMARKS")
    return list(images.values())


def fresh(function, *arguments):
    """`function(*arguments)` in a process of its own: nothing that ran before helps it or stands in its way."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def peak_mib():
    """The most memory that this process has held so far, in MiB (Linux)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**10


def options(description, **more):
    """The command line of a benchmark: --quick, --json, and what else it takes (name=keywords of add_argument)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a first answer within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    for name, keywords in more.items():
        parser.add_argument(f"--{name}", **keywords)
    chosen = parser.parse_args()
    warn_if_busy()
    return chosen


def warn_if_busy():
    """Say so if the machine has something else to do; returns its load."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"The machine is busy with something else (load {load:.1f}): expect times that are too long")
    return load


def finish(figures, path):
    """Print the figures, a line each, and write them to the file, if there is one."""
    for name, value in figures.items():
        if isinstance(value, float):
            value = f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3f}"
        print(f"{name:32} {value:>12}")
    write_figures(figures, path)


def write_figures(figures, path):
    """Write the figures to the file as JSON, if there is one."""
    if path:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(figures, indent=1) + "\n")
