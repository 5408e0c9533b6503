"""A class graded from end to end: a record for each submission, the same one each time, whatever happens meanwhile."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_utils.exercises import exercises
from course_utils.files import CourseError
from course_utils.grading import classes
from course_utils.grading.records import read_records
from course_utils.grading.sandbox import Sandboxes

ROOT = Path(__file__).parents[2]
PSNR = """
import torch
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    restored, clean = comparable(restored, clean, border)
    mse = ((restored - clean) ** 2).flatten(1).mean(dim=1)
    return (10 * torch.log10(1 / mse)).mean()
"""
MEAN = PSNR.replace("flatten(1).mean(dim=1)", "mean()")
SKELETON = "def psnr(restored, clean, border=0):\n    raise NotImplementedError\n"
LOSS = "def residual_loss(noise, y, x):\n    return ((noise - (y - x)) ** 2).sum() / (2 * len(x))\n"
STEP = """
import torch

def train_step(model, optimizer, degraded, clean, loss=residual_loss, backward=torch.Tensor.backward):
    model.train()
    optimizer.zero_grad()
    value = loss(model(degraded), degraded, clean)
    backward(value)
    optimizer.step()
    return value.item()
"""
CLASS = {
    "ada": PSNR,
    "bob": MEAN,
    "cyd": SKELETON,
    "dan": PSNR.replace("return", "import os; os._exit(3)\n    return"),
    "eve": PSNR.replace("return", "while True: pass\n    return"),
    "fay": "def psnr(restored, clean, border=0):\n    import ctypes\n    ctypes.string_at(0)\n",
    "gil": PSNR.replace("torch.log10", "torch.log11"),
    "hal": "def psnr(:\n",
    "ivy": "",
    "joe": "import warnings, sys\nwarnings.warn('careful')\nprint('hello', file=sys.stderr)\n" + PSNR,
    "kim": PSNR.replace("mse = ", "hoard = bytearray(8 * 2**30)\n    mse = "),
    "leo": "from course_utils.metrics import psnr\n",
}


def sandboxed():
    try:
        Sandboxes({}, "").close()
    except CourseError as error:
        return str(error)
    return ""


NONE_HERE = sandboxed()
pytestmark = pytest.mark.skipif(bool(NONE_HERE), reason=NONE_HERE)


@pytest.fixture
def folder(tmp_path):
    """A class's submissions, a script each."""
    place = tmp_path / "submissions"
    place.mkdir()
    for name, source in CLASS.items():
        (place / f"{name}.py").write_text(source)
    return place


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The records of the class, {key: record}, and the folder with what was made from them."""
    base = tmp_path_factory.mktemp("class")
    (base / "submissions").mkdir()
    for name, source in CLASS.items():
        (base / "submissions" / f"{name}.py").write_text(source)
    classes.grade(base / "submissions", base / "out", "00_welcome", seed="s", seconds=2)
    classes.report(base / "out")
    return records_in(base / "out"), base / "out"


def records_in(out):
    lines = (out / "records.jsonl").read_text().splitlines()
    found = {record["key"]: record for record in map(json.loads, lines)}
    assert len(found) == len(lines)  # none twice
    return found


def course(*arguments, **options):
    command = [sys.executable, "-m", "course_utils", "grade", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, **options)


# --- Records ---


OF = exercises()["psnr"].points


@pytest.mark.parametrize(
    ("name", "outcome", "points", "said"),
    [
        ("ada", "holds", OF, ""),
        ("bob", "does not hold", None, ""),
        ("cyd", "not attempted", 0, ""),
        ("dan", "stopped", 0, "ended before it had answered"),
        ("eve", "stopped", 0, "no answer within 2 seconds"),
        ("fay", "stopped", 0, "segmentation fault"),
        ("gil", "raised", 0, "log11"),
        ("hal", "raised", 0, "SyntaxError"),
        ("ivy", "not attempted", 0, ""),
        ("joe", "holds", OF, ""),
        ("kim", "raised", 0, "MemoryError"),
        ("leo", "not attempted", 0, ""),
    ],
)
def test_every_submission_yields_its_record(graded, name, outcome, points, said):
    records, _ = graded
    (entry,) = records[name]["exercises"]
    assert (entry["outcome"], said in entry["error"]) == (outcome, True), entry
    assert entry["points"] == points if points is not None else 0 < entry["points"] < OF
    assert records[name]["points"] == entry["points"] and records[name]["of"] == OF


def test_the_error_names_the_students_line(graded):
    (entry,) = graded[0]["gil"]["exercises"]
    assert entry["where"].startswith("line 8 of gil.py: return") and "course-sandbox" not in entry["trace"]


def test_the_same_seed_gives_the_same_records(graded, folder, tmp_path):
    classes.grade(folder, tmp_path / "again", "00_welcome", seed="s", seconds=2, jobs=1)
    assert records_in(tmp_path / "again") == graded[0]


def test_a_secret_seed_is_new_each_time_and_kept_from_others(tmp_path):
    (tmp_path / "ada.py").write_text(PSNR)
    seeds = set()
    for i in range(2):
        classes.grade(tmp_path / "ada.py", tmp_path / f"out{i}", "00_welcome")
        seeds.add(json.loads((tmp_path / f"out{i}/run.json").read_text())["seed"])
        assert (tmp_path / f"out{i}/run.json").stat().st_mode & 0o077 == 0
        assert records_in(tmp_path / f"out{i}")["ada"]["points"] == OF
    assert len(seeds) == 2 and all(len(seed) == 32 for seed in seeds)


def test_what_is_made_from_the_records(graded):
    _, out = graded
    rows = (out / "gradebook.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 1 + len(CLASS) and rows[1].startswith("ada,")
    assert {path.stem for path in (out / "feedback").iterdir()} == set(CLASS)
    assert "feedback/ada.html" in (out / "index.html").read_text()
    assert (out / "similarity.html").exists() and (out / "nbgrader.csv").exists()
    hidden = [claim.text for claim in exercises()["psnr"].claims if claim.hidden]
    assert hidden and not any(text in (out / "feedback/bob.html").read_text() for text in hidden)


@pytest.fixture(scope="module")
def grader():
    with classes.graders(["residual_loss", "train_step"], "s", seconds=5) as (found,):
        yield found


def entries(grader, source, name="x.py"):
    about = {"key": "x", "student": "x", "ids": {}, "late": False, "files": []}
    record, times = grader.record(about, [(name, source.encode())])
    assert json.loads(json.dumps(record)) == record and times["key"] == "x"
    return {entry["name"]: entry for entry in record["exercises"]}


@pytest.mark.parametrize(
    "loss",
    [
        LOSS,
        LOSS.replace("2 * len(x)", "len(x)"),  # wrong
        LOSS.replace("return", "raise NotImplementedError\n    return"),
        LOSS.replace("return", "while True: pass\n    return"),
        "",  # not there
    ],
)
def test_one_mistake_costs_its_points_once(grader, loss):
    found = entries(grader, loss + STEP)
    assert found["train_step"]["outcome"] == "holds", found["train_step"]
    assert (found["residual_loss"]["outcome"] == "holds") == (loss == LOSS)


def test_a_students_own_answer_stands_above_an_import_of_the_courses(grader):
    found = entries(grader, LOSS + "from course_utils.losses import residual_loss as other, residual_loss\n" + STEP)
    assert [entry["outcome"] for entry in found.values()] == ["holds", "holds"]


def test_a_check_under_another_name_hands_the_answer_on(grader):
    source = "import course_utils as cu\n" + LOSS + 'mine = cu.check("residual_loss", residual_loss)\n'
    assert entries(grader, source + STEP.replace("=residual_loss", "=mine"))["train_step"]["outcome"] == "holds"


def test_answers_that_need_each_other_come_to_an_end(grader):
    source = "def residual_loss(noise, y, x, step=lambda: train_step):\n    return train_step\n" + STEP
    assert set(entries(grader, source)) == {"residual_loss", "train_step"}


def test_an_answer_that_is_no_function_is_named(grader):
    assert (
        "residual_loss is a float; a function"
        in entries(grader, "residual_loss = (lambda: 3.0)()")["residual_loss"]["error"]
    )


def test_bytes_that_are_no_notebook_yield_a_record(grader):
    for content in ("", "{", '{"cells": 3}', "\0\0\0"):
        found = entries(grader, content, "x.ipynb")
        assert all(entry["outcome"] == "not attempted" for entry in found.values())


# --- Exports, by the command ---


def export(*arguments):
    command = [sys.executable, "-m", "course_utils", "export", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


def test_canvas_and_moodle_get_their_own_file_back(graded, tmp_path):
    (tmp_path / "canvas.csv").write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section,Lesson 0 (11)\n    Points Possible,,,,,8\nada,1,ada,ada,A,\n"
    )
    (tmp_path / "moodle.csv").write_text(
        "Identifier,Full name,Bewertung,Maximum grade\nParticipant 1,ada,,8.00\nParticipant 2,gil,,8.00\n"
    )
    done = export("canvas", graded[1], "--export", tmp_path / "canvas.csv", "--out", tmp_path / "c.csv")
    assert done.returncode == 0 and (tmp_path / "c.csv").read_text().splitlines()[-1].startswith("ada,1,ada,ada,A,8"), (
        done
    )
    column = ("--column", "grade=Bewertung")
    done = export("moodle", graded[1], "--worksheet", tmp_path / "moodle.csv", "--out", tmp_path / "m.csv", *column)
    assert done.returncode == 0, done.stderr
    assert [row.split(",")[2] for row in (tmp_path / "m.csv").read_text().splitlines()] == ["Bewertung", "8", "0"]


def test_gradescope_gets_one_record(graded, tmp_path):
    done = export("gradescope-results", graded[1], "--out", tmp_path / "results.json")
    assert done.returncode == 2 and "has 12 records; Gradescope takes one" in done.stderr
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "answer.py").write_text(PSNR)
    classes.grade(tmp_path / "in", tmp_path / "out", "00_welcome", one=True)
    done = export("gradescope-results", tmp_path / "out", "--out", tmp_path / "results.json")
    found = json.loads((tmp_path / "results.json").read_text())
    assert done.returncode == 0 and found["score"] == OF and {test["status"] for test in found["tests"]} == {"passed"}


# --- Interrupted, resumed, changed ---


def test_a_run_that_was_killed_goes_on(graded, folder, tmp_path):
    out, rest = tmp_path / "out", ("--lesson", "00_welcome", "--seed", "s", "--seconds", "2", "--resume")
    chance = random.Random(3)
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "course_utils", "grade", folder, "--out", out, *rest],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 60
        already = len(lines(out))
        while len(lines(out)) <= already and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)  # until it has made one more
        time.sleep(chance.random() / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lines(out)
    with open(out / "records.jsonl", "ab") as file:
        file.write(b'{"schema": 1, "key": "zo')  # as a kill may leave it
    done = course(folder, "--out", out, *rest)
    assert done.returncode == 0, done.stderr
    assert records_in(out) == graded[0]


def lines(out):
    path = out / "records.jsonl"
    return path.read_bytes().splitlines() if path.exists() else []


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(30):
        (tmp_path / "in" / f"s{i}.py").write_text(CLASS["eve"])
    command = [sys.executable, "-m", "course_utils", "grade", tmp_path / "in", "--out", tmp_path / "out"]
    listening = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are deaf to it
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": listening}
    process = subprocess.Popen([*command, "--lesson", "00_welcome"], cwd=ROOT, **options)
    while not (tmp_path / "out" / "run.json").exists():
        time.sleep(0.05)
    time.sleep(4)  # while the first answers are being waited for
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command" in said and "Traceback" not in said, said


def test_what_is_new_or_has_changed_is_graded(tmp_path):
    place, out = tmp_path / "in", tmp_path / "out"
    place.mkdir()
    (place / "ada.py").write_text(MEAN)
    (place / "bob.py").write_text(PSNR)
    assert classes.grade(place, out, "00_welcome") == 2
    assert classes.grade(place, out, resume=True) == 0
    (place / "ada.py").write_text(PSNR)
    (place / "cyd.py").write_text(PSNR)
    assert classes.grade(place, out, resume=True) == 2
    assert [record["points"] for record in read_records(out)] == [OF, OF, OF]


# --- Bad input ---


def test_records_are_never_overwritten(graded, folder):
    before = (graded[1] / "records.jsonl").read_bytes()
    with pytest.raises(CourseError, match="has records already; say --resume"):
        classes.grade(folder, graded[1])
    with pytest.raises(CourseError, match="another seed; leave --seed out"):
        classes.grade(folder, graded[1], resume=True, seed="t")
    with pytest.raises(CourseError, match="another lesson"):
        classes.grade(folder, graded[1], resume=True, lesson="05_dncnn")
    assert (graded[1] / "records.jsonl").read_bytes() == before


def test_two_runs_do_not_write_into_one_folder(folder, tmp_path):
    with classes._records_of(tmp_path / "out", False), pytest.raises(CourseError, match="another run is at work"):
        classes.grade(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "out"], "nowhere"),
        (["empty", "--out", "out"], "empty"),
        (["class", "--out", "out", "--lesson", "99_no"], "no exercises for the lesson '99_no'; there are some for"),
        (["class", "--out", "class/ada.py"], "is a file, not a folder"),
        (["class", "--out", "out", "--jobs", "0"], "0 is below 1"),
        (["class", "--out", "out", "--dask", "tcp://127.0.0.1:1"], "no Dask scheduler answers at tcp://127.0.0.1:1"),
    ],
)
def test_bad_input_is_one_line(tmp_path, arguments, said):
    if "--dask" in arguments:
        pytest.importorskip("distributed")
    (tmp_path / "class").mkdir()
    (tmp_path / "class/ada.py").write_text(PSNR)
    (tmp_path / "empty").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "course_utils", "grade", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and said in last and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "out/records.jsonl").exists() or not (tmp_path / "out/records.jsonl").read_bytes()


# --- On a cluster ---


def test_a_cluster_gives_the_same_records(graded, folder, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None) as cluster:
        done = classes.grade(
            folder, tmp_path / "out", "00_welcome", seed="s", seconds=2, dask=cluster.scheduler_address
        )
    assert done == len(CLASS) and records_in(tmp_path / "out") == graded[0]


def test_the_pages_need_nothing_but_the_records(graded, tmp_path):
    for name in ("records.jsonl", "run.json"):
        (tmp_path / name).write_bytes((graded[1] / name).read_bytes())
    assert "12 submissions" in classes.report(tmp_path)
    for path in (graded[1] / "feedback").iterdir():
        assert (tmp_path / "feedback" / path.name).read_bytes() == path.read_bytes()
