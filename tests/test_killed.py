"""`course train`, killed without warning at any moment and started again, ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from course_utils.checkpoints import load_model
from course_utils.data.pages import make_pages

TRAIN = [
    "-m",
    "course_utils",
    "train",
    "--depth",
    "4",
    "--width",
    "8",
    "--patch",
    "24",
    "--batch-size",
    "4",
    "--steps",
    "600",
    "--validate-every",
    "60",
    "--save-every",
    "7",
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return make_pages(tmp_path_factory.mktemp("pages"), train=2, valid=1, test=0, size=256, progress=False)


def train(pages, out):
    command = [sys.executable, *TRAIN, "--data", str(pages), "--out", str(out)]
    return subprocess.Popen(command, env=os.environ | {"COURSE_PROFILE": "test"}, stderr=subprocess.DEVNULL)


def modified(path):
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of Unix")
def test_killed_and_started_again_it_ends_with_the_weights_of_an_unbroken_run(pages, tmp_path):
    assert train(pages, tmp_path / "unbroken").wait() == 0
    chance, state, kills = random.Random(0), tmp_path / "broken" / "last.safetensors", 0
    for _ in range(3):
        before = modified(state)
        process = train(pages, tmp_path / "broken")
        while process.poll() is None and modified(state) == before:  # it makes progress between the kills
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))  # some steps later, perhaps in the middle of a save
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    assert train(pages, tmp_path / "broken").wait() == 0
    broken, unbroken = (load_model(tmp_path / run / "best.safetensors").state_dict() for run in ("broken", "unbroken"))
    assert all(broken[name].equal(unbroken[name]) for name in unbroken)
    left = sorted(path.name for path in (tmp_path / "broken").iterdir())
    assert left == ["best.safetensors", "history.json", "last.safetensors"]
