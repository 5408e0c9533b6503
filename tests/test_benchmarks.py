"""The benchmarks run, and write their figures as numbers. What they measure depends on the machine."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command, **environment):
    return subprocess.run(
        list(map(str, command)), cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout


def test_course_bench(tmp_path):
    printed = run(sys.executable, "-m", "course_utils", "bench", "data", "--quick", "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["data"]
    assert {"ratio", "against_copy", "first_epoch_ratio"} < figures.keys()
    assert all(isinstance(value, float) and math.isfinite(value) and value > 0 for value in figures.values())
    assert "ratio" in printed and "core" in printed


def test_sets_that_are_not_there_are_left_out_with_a_message(tmp_path):
    path = tmp_path / "figures.json"
    command = [ROOT / "benchmarks" / "quality.py", "--seconds", "3", "--json", path]
    printed = run(sys.executable, *command, COURSE_BENCHMARKS=str(tmp_path / "none"))
    for task, name in (("srcnn", "T91"), ("arcnn", "Train400"), ("dncnn", "Train400")):
        assert f"{task} is left out: no {name} here" in printed
    figures = json.loads(path.read_text())
    assert figures.keys() == {"descan_gain_db", "descan_training_s"}
    assert figures["descan_gain_db"] > 1  # dB, in three seconds
