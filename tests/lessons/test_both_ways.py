"""The notebook's check and the grader's sandbox agree: on references, skeletons, and every answer we know."""

import sys
from pathlib import Path

import pytest

from course_utils import authoring
from course_utils.exercises import exercises, find
from course_utils.files import CourseError
from course_utils.grading import classes
from course_utils.grading.judge import PUBLIC_SEED, examine

sys.path.insert(0, str(Path(__file__).parents[1] / "wrong_answers"))
from answers import RIGHT, WRONG

ROOT = authoring.find_root(Path(__file__).parent)
LESSONS = sorted({exercise.lesson for exercise in exercises().values()})
ANSWERS = [(name, what, source) for name, answers in RIGHT.items() for what, source in answers.items()]
ANSWERS += [(name, what, source) for name, answers in WRONG.items() for what, (source, _) in answers.items()]
IMPORTS = """
import numpy as np, torch
from torch import nn
from course_utils.colour import check_colour
from course_utils.data.pairs import list_images
from course_utils.files import CourseError
from course_utils.images import check_image
from course_utils.losses import residual_loss
from course_utils.metrics import comparable
"""


@pytest.fixture(scope="module")
def grader():
    try:
        with classes.graders(list(exercises()), PUBLIC_SEED) as (found,):
            yield found
    except CourseError as error:
        pytest.skip(str(error))


def graded(grader, name, content):
    """{exercise: entry} of a submission with one file."""
    about = {"key": "x", "student": "x", "ids": {}, "late": False, "files": []}
    return {entry["name"]: entry for entry in grader.record(about, [(name, content)])[0]["exercises"]}


def visible(entry):
    return [(each["text"], each["holds"], each["sentence"]) for each in entry["results"] if not each["hidden"]]


def checked(name, source):
    """What the check in the notebook says of it."""
    namespace = {"__name__": "cell"}
    exec(compile(source, "<cell>", "exec"), namespace)
    verdict = examine(find(name), namespace[find(name).answer])
    return [(each.text, each.holds, each.sentence) for each in verdict.results], verdict


@pytest.mark.parametrize(("name", "what", "source"), ANSWERS, ids=[f"{name}-{what}" for name, what, _ in ANSWERS])
def test_both_say_the_same(grader, name, what, source):
    source = IMPORTS + source
    entry = graded(grader, "answer.py", source.encode())[name]
    results, verdict = checked(name, source)
    assert visible(entry) == results, (entry["error"], verdict.error)
    assert (entry["outcome"] == "holds") == (what in RIGHT[name])
    if entry["outcome"] != "holds":
        assert entry["error"] == verdict.error


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_solution_gets_full_marks(grader, lesson):
    entries = graded(grader, f"{lesson}.ipynb", (ROOT / f"solutions/en/{lesson}.ipynb").read_bytes())
    for name, exercise in exercises(lesson).items():
        assert (entries[name]["outcome"], entries[name]["points"]) == ("holds", exercise.points), entries[name]
        assert examine(exercise, exercise.load_reference()).outcome == "holds"


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_untouched_lesson_is_not_attempted(grader, lesson):
    entries = graded(grader, f"{lesson}.ipynb", (ROOT / f"lessons/en/{lesson}.ipynb").read_bytes())
    for name in exercises(lesson):
        assert (entries[name]["outcome"], entries[name]["points"]) == ("not attempted", 0), entries[name]
