"""The check in the notebook: four outcomes apart, nothing disturbed, nothing hidden told, the lesson goes on."""

import json
import os
import random
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import course_utils as cu
from course_utils.exercises import Claim, Exercise, exercises, find, probing
from course_utils.files import CourseError
from course_utils.grading import notebook as module
from course_utils.grading.judge import examine


def double(x):
    return 2 * x


def probe(answer, rng):
    evidence = {}
    x = int(rng.integers(1, 100))
    probing.ask(evidence, "double", lambda: answer(x))
    probing.ask(evidence, "of nothing", lambda: answer(0))
    return evidence


TOY = Exercise(
    name="toy",
    lesson="00_welcome",
    answer="double",
    reference=f"{__name__}:double",
    probe=probe,
    claims=(
        Claim("doubles", lambda e, x: e["double"] == x["double"], lambda e, x: f"{e['double']} came, a sum?", points=2),
        Claim("keeps 0", lambda e, x: e["of nothing"] == 0, lambda e, x: f"0 became {e['of nothing']}"),
        Claim("is secret", lambda e, x: False, lambda e, x: "SECRET SENTENCE", points=3, hidden=True),
    ),
    hints=("Think of two.", "Twice the <b>number</b>."),
)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "find", lambda name: {"toy": TOY}.get(name) or find(name))
    monkeypatch.setattr(module, "exercises", lambda: {"toy": TOY})
    return tmp_path / "progress.json"


def raises(x):
    return x + undefined  # noqa: F821


def unwritten(x):
    raise NotImplementedError


# The four outcomes


@pytest.mark.parametrize(
    ("answer", "outcome", "points"),
    [
        (lambda x: x + x, "holds", 3),
        (lambda x: x + 2, "does not hold", 0),
        (lambda x: 3 * x, "does not hold", 1),
        (raises, "raised", 0),
        (unwritten, "not attempted", 0),
        (lambda x: "two", "does not hold", 0),
        (lambda: 1, "raised", 0),
    ],
)
def test_outcomes_are_told_apart(answer, outcome, points):
    verdict = examine(TOY, answer)
    assert (verdict.outcome, verdict.points, verdict.remaining) == (outcome, points, 1)


def test_a_right_answer_is_handed_on(toy, capsys):
    mine = lambda x: 2 * x
    assert cu.check("toy", mine) is mine
    said = capsys.readouterr().out
    assert "double: right, 3 of 3 points." in said and "goes on with your double. Grading checks 1 claim more." in said


@pytest.mark.parametrize("answer", [raises, unwritten, lambda x: 3 * x])
def test_for_any_other_the_lesson_goes_on_with_the_reference(toy, capsys, answer):
    assert cu.check("toy", answer)(21) == 42
    assert "goes on with the course's own double" in capsys.readouterr().out


def test_a_wrong_answer_is_told_what_came(toy, capsys):
    cu.check("toy", lambda x: 3 * x)
    said = capsys.readouterr().out
    assert "double: not right yet, 1 of 3 points." in said and "came, a sum?" in said and "yes  keeps 0" in said


def test_an_error_names_the_students_line(toy, capsys):
    cu.check("toy", raises)
    said = capsys.readouterr().out
    assert "NameError: name 'undefined' is not defined, in line" in said and "return x + undefined" in said
    assert "Traceback" not in said  # folded away; the terminal leaves it out


def test_hidden_claims_are_counted_and_never_told(toy, capsys):
    for answer in (lambda x: 2 * x, lambda x: 3 * x, raises, unwritten):
        report = module.Report(TOY, examine(TOY, answer))
        assert (
            "SECRET" not in repr(report) + report._repr_html_() and "secret" not in repr(report) + report._repr_html_()
        )
    assert "all passed" not in repr(module.Report(TOY, examine(TOY, double))).lower()


def test_what_an_answer_prints_is_folded(toy, capsys):
    def talks(x):
        print("<script>hello</script>")
        return 3 * x

    verdict = examine(TOY, talks)
    assert capsys.readouterr().out == "" and "hello" in verdict.printed
    html = module.Report(TOY, verdict)._repr_html_()
    assert "<script>" not in html and "<details><summary>What it printed" in html


def test_the_same_answer_gets_the_same_verdict():
    assert examine(TOY, raises).results == examine(TOY, raises).results


def test_an_interruption_gets_through():
    def never_ends(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examine(TOY, never_ends)


@pytest.mark.parametrize("error", [SystemExit(3), RecursionError("deep"), MemoryError()])
def test_whatever_is_raised_is_a_verdict(error):
    def fails(x):
        raise error

    assert examine(TOY, fails).outcome == "raised"


# Bad input


@pytest.mark.parametrize("answer", [None, 3.0, torch.zeros(2), "psnr"])
def test_what_is_no_function_is_named(answer):
    with pytest.raises(CourseError, match=r"check\('psnr', ...\) takes psnr itself, not a .*no brackets"):
        cu.check("psnr", answer)


@pytest.mark.parametrize("function", [lambda: cu.check("pnsr", double), lambda: cu.hint("pnsr")])
def test_an_unknown_exercise_is_named(function):
    with pytest.raises(CourseError, match="no exercise 'pnsr'; there are psnr, "):
        function()


# Nothing is disturbed


def test_nothing_outside_changes():
    def vandal(x):
        np.random.seed(1), random.seed(1), torch.manual_seed(1)
        torch.set_grad_enabled(False), torch.set_default_dtype(torch.float64), torch.set_num_threads(1)
        warnings.simplefilter("error"), os.chdir("/"), sys.stdout.write("x")
        return 2 * x

    def look():
        seeds = (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())
        modes = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
        return seeds, modes, os.getcwd(), list(warnings.filters), sys.stdout

    before = look()
    assert examine(TOY, vandal).outcome == "holds"
    assert look() == before


def test_matplotlib_keeps_its_settings():
    import matplotlib

    def vandal(x):
        matplotlib.rcParams["font.size"] = size + 5
        return 2 * x

    size = matplotlib.rcParams["font.size"]
    assert examine(TOY, vandal).outcome == "holds"
    assert matplotlib.rcParams["font.size"] == size


def left(self, x):
    raise NotImplementedError


class Whole:
    def double(self, x):
        return 2 * x

    nothing = double


class Half(Whole):
    """Its double works, the rest is a skeleton yet."""

    nothing = left


def of_a_class(answer, rng):
    evidence = {}
    probing.ask(evidence, "double", lambda: answer().double(4))
    probing.ask(evidence, "of nothing", lambda: answer().nothing(0))
    return evidence


def test_a_skeleton_says_where_and_one_that_is_half_written_is_judged(toy, capsys):
    assert examine(TOY, unwritten).where.endswith("raise NotImplementedError")
    cu.check("toy", unwritten)
    said = capsys.readouterr().out
    assert "not attempted yet" in said and "in the place of line" in said and "raise NotImplementedError" in said
    verdict = examine(replace(TOY, probe=of_a_class, reference=f"{__name__}:Whole"), Half)
    assert (verdict.outcome, verdict.points) == ("does not hold", 2)
    assert verdict.error == "NotImplementedError" and verdict.where.endswith("raise NotImplementedError")


def test_a_library_that_raises_it_is_an_error_like_any_other(toy, capsys):
    wrong = lambda x: torch.nn.functional.interpolate(torch.zeros(1, 1, 1, 4, 4), size=2, mode="bicubic")
    verdict = examine(TOY, wrong)
    assert verdict.outcome == "raised" and verdict.error.startswith("NotImplementedError: ")


def test_a_network_in_place_of_its_class_is_refused(toy):
    with pytest.raises(CourseError, match="takes DnCNN itself, not a Linear: no brackets"):
        cu.check("dncnn", torch.nn.Linear(1, 1))


# Attempts, hints, progress


def test_attempts_are_kept(toy, capsys):
    for answer in (unwritten, raises, lambda x: 3 * x, double, raises):
        cu.check("toy", answer)
    assert json.loads(toy.read_text()) == {"toy": {"attempts": 4, "best": 3, "outcome": "holds"}}
    assert "toy" in repr(cu.progress()) and "right" in repr(cu.progress()) and "3 of 3" in repr(cu.progress())
    assert cu.progress()._repr_html_().count("<tr>") == 2


def test_lessons_not_begun_take_a_row_each(toy, capsys, monkeypatch):
    others = {name: replace(TOY, name=name, lesson="07_other") for name in ("one", "two")}
    monkeypatch.setattr(module, "exercises", lambda: {"toy": TOY} | others)
    rows = list(cu.progress().rows())
    assert [row[:2] for row in rows] == [("1 exercise", TOY.lesson), ("2 exercises", "07_other")]
    assert rows[1][2:4] == ("not begun yet", "0 of 6")
    cu.check("toy", double)
    rows = list(cu.progress().rows())
    assert [row[0] for row in rows] == ["toy", "2 exercises"]
    others_book = json.loads(toy.read_text()) | {"two": {"attempts": 1, "best": 0, "outcome": "raised"}}
    toy.write_text(json.dumps(others_book))
    assert [row[0] for row in cu.progress().rows()] == ["toy", "one", "two"]


def test_hints_come_one_at_a_time(toy, capsys):
    shown = []
    for _ in range(3):
        cu.hint("toy")
        shown.append(capsys.readouterr().out)
    assert "Hint 1 of 2: Think of two." in shown[0] and "Hint 2" not in shown[0]
    assert "Hint 2 of 2" in shown[1] and shown[2] == shown[1]
    assert "&lt;b&gt;" in module.Hints(TOY, 2)._repr_html_()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"toy": 3}', "\udcff"])
def test_a_broken_file_of_attempts_does_no_harm(toy, capsys, content):
    toy.write_text(content, errors="surrogateescape")
    cu.check("toy", double)
    assert json.loads(toy.read_text())["toy"]["outcome"] == "holds"


def test_a_check_works_where_nothing_can_be_written(toy, capsys, monkeypatch):
    def full(path):
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "atomic", full)
    assert cu.check("toy", double) is double


# In a notebook and in a terminal


def test_in_ipython_it_is_drawn(tmp_path):
    code = """
        import course_utils as cu
        from IPython.testing.globalipapp import start_ipython
        shell = start_ipython()
        import IPython.core.displaypub as publisher
        shown = []
        shell.display_formatter.active_types = ["text/plain", "text/html"]  # as a notebook asks for both
        shell.display_pub.publish = lambda data, **rest: shown.append(data)
        cu.check("psnr", lambda *a, **k: 1 / 0)
        html, plain = shown[0]["text/html"], shown[0]["text/plain"]
        assert "ZeroDivisionError" in html and "raised" in plain and len(shown) == 1, shown
    """
    environment = os.environ | {"COURSE_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_exercise_has_hints_and_claims():
    for exercise in exercises().values():
        assert len(exercise.hints) >= 3 and len(exercise.claims) >= 3
        assert any(not claim.hidden for claim in exercise.claims)
