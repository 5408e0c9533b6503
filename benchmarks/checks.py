"""How long a check in the notebook takes on one core: the first one of each exercise, and the ones after it.

    OMP_NUM_THREADS=1 python benchmarks/checks.py

The first check of an exercise also probes the reference; what it checks here is the reference itself, so both take
the same time. Imports are done before. A student should never wait for more than 2 seconds.
"""

import statistics
import time

import torch

from course_utils.exercises import exercises
from course_utils.grading.judge import examine

RUNS = 10


def seconds(exercise):
    """(of the first check, the median of the next ones)."""
    spent = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        verdict = examine(exercise, exercise.load_reference())
        spent.append(time.perf_counter() - start)
        assert verdict.outcome == "holds", verdict
    return spent[0], statistics.median(spent[1:])


def main():
    torch.set_num_threads(1)
    print(f"{'exercise':16}{'first check':>14}{'then':>12}")
    for name, exercise in exercises().items():
        exercise.load_reference()
        first, later = seconds(exercise)
        print(f"{name:16}{1000 * first:>11.0f} ms{1000 * later:>9.0f} ms")


if __name__ == "__main__":
    main()
