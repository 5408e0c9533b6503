"""The check in the notebook: practice, at once, in the student's own process. Marks are not made here.

Nothing is sent anywhere. Attempts are kept in a small file beside the kit's data, `home()/progress.json`.
"""

import json
import sys
from dataclasses import dataclass
from html import escape
from itertools import groupby
from types import FunctionType

from course_utils.exercises import exercises, find
from course_utils.files import CourseError, atomic
from course_utils.grading.judge import examine

HEADS = {
    "holds": "right",
    "not attempted": "not attempted yet",
    "does not hold": "not right yet",
    "raised": "raised an error",
}
COLOURS = {"holds": "#1a7f37", "not attempted": "#8a8a8a", "does not hold": "#c4501b", "raised": "#c4501b"}


def check(name, answer):
    """Check an answer, show what was found, and return what the lesson goes on with.

    Args:
        name: of the exercise, for example "dncnn".
        answer: the function or class itself, without calling it.

    Returns:
        The answer if it is right; else the course's own, so that the lesson goes on.

    Raises:
        CourseError: no exercise of that name, or an answer that is no function or class.
    """
    exercise = find(name)
    made = isinstance(exercise.load_reference(), type) and not isinstance(answer, type | FunctionType)
    if not callable(answer) or made:
        kind = exercise.answer
        raise CourseError(
            f"check({name!r}, ...) takes {kind} itself, not a {type(answer).__name__}: no brackets after it"
        )
    verdict = examine(exercise, answer)
    _record(name, verdict)
    show(Report(exercise, verdict))
    return answer if verdict.outcome == "holds" else exercise.load_reference()


def hint(name):
    """Show the next hint to an exercise, after those shown before.

    Raises:
        CourseError: no exercise of that name.
    """
    exercise = find(name)
    book = _read()
    entry = book.setdefault(name, {})
    entry["hints"] = min(entry.get("hints", 0) + 1, len(exercise.hints))
    _write(book)
    show(Hints(exercise, entry["hints"]))


def progress():
    """What was done so far, as a table: each exercise of the lessons begun, with state, points, attempts, hints."""
    return Progress(_read())


def show(thing):
    """Draw in a notebook, print elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython and ipython.get_ipython() is not None:
        from IPython.display import display

        display(thing)
    else:
        print(thing)


@dataclass(frozen=True, repr=False)
class Report:
    """A verdict to read, in a notebook or a terminal."""

    exercise: object
    verdict: object

    def __repr__(self):
        marks = {True: "yes", False: "no "}
        lines = [self.headline, *([f"  {self.blame}"] if self.blame else [])]
        for result in self.verdict.results if self.verdict.outcome == "does not hold" else ():
            lines.append(
                f"  {marks[result.holds]}  {result.text}" + (f": {result.sentence}" if result.sentence else "")
            )
        return "\n".join([*lines, f"  {self.onward}"])

    def _repr_html_(self):
        verdict = self.verdict
        items = "".join(
            f"<li>{'<b>Yes:</b>' if result.holds else '<b>No:</b>'} {escape(result.text)}"
            + (f"<br>{escape(result.sentence)}" if result.sentence else "")
            for result in (verdict.results if verdict.outcome == "does not hold" else ())
        )
        parts = [f"<p><b>{escape(self.headline)}</b></p>"]
        parts += [f"<p>{escape(self.blame)}</p>"] if self.blame else []
        parts += [f'<ul style="margin:4px 0">{items}</ul>'] if items else []
        for title, text in (("Traceback", verdict.trace), ("What it printed", verdict.printed.strip())):
            parts += [f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>"] if text else []
        parts.append(f"<p>{escape(self.onward)}</p>")
        style = f"border-left:4px solid {COLOURS[verdict.outcome]};padding:2px 12px;margin:4px 0"
        label = escape(f"Check of {self.exercise.name}: {HEADS[verdict.outcome]}")
        return f'<div role="group" aria-label="{label}" style="{style}">{"".join(parts)}</div>'

    @property
    def headline(self):
        verdict, exercise = self.verdict, self.exercise
        visible = sum(result.points for result in verdict.results)
        points = f", {verdict.points} of {visible} points" if verdict.results else ""
        return f"{exercise.answer}: {HEADS[verdict.outcome]}{points}."

    @property
    def blame(self):
        """What was raised, and where in the student's code."""
        error, where = self.verdict.error, self.verdict.where
        if self.verdict.outcome == "not attempted":
            return f"Put your own lines in the place of {where}" if where else ""
        return f"{error}, in {where}" if where else error

    @property
    def onward(self):
        """What the lesson goes on with, and what remains."""
        verdict, answer = self.verdict, self.exercise.answer
        if verdict.outcome == "holds":
            more = f" Grading checks {_count(verdict.remaining, 'claim')} more." if verdict.remaining else ""
            return f"The lesson goes on with your {answer}.{more}"
        helps = f' cu.hint("{self.exercise.name}") helps.' if self.exercise.hints else ""
        return f"The lesson goes on with the course's own {answer}.{helps}"


@dataclass(frozen=True, repr=False)
class Hints:
    """The hints shown so far, the newest last."""

    exercise: object
    shown: int

    def _lines(self):
        total = len(self.exercise.hints)
        return [f"Hint {i + 1} of {total}: {text}" for i, text in enumerate(self.exercise.hints[: self.shown])] or [
            f"There are no hints to {self.exercise.name}."
        ]

    def __repr__(self):
        return "\n".join(self._lines())

    def _repr_html_(self):
        return "".join(f"<p>{escape(line)}</p>" for line in self._lines())


@dataclass(frozen=True, repr=False)
class Progress:
    """The course as a table."""

    book: dict

    HEAD = ("Exercise", "Lesson", "State", "Points", "Attempts", "Hints")

    def rows(self):
        """In the order of the course: a row for each exercise of a lesson that was begun, one for any other lesson."""
        for lesson, group in groupby(exercises().values(), key=lambda exercise: exercise.lesson):
            group = list(group)
            if any(exercise.name in self.book for exercise in group):
                yield from map(self._row, group)
            else:
                points = sum(map(_visible_points, group))
                yield _count(len(group), "exercise"), lesson, "not begun yet", f"0 of {points}", 0, 0

    def _row(self, exercise):
        entry = self.book.get(exercise.name, {})
        state = HEADS.get(entry.get("outcome"), "not attempted yet")
        points = f"{entry.get('best', 0)} of {_visible_points(exercise)}"
        return exercise.name, exercise.lesson, state, points, entry.get("attempts", 0), entry.get("hints", 0)

    def __repr__(self):
        rows = [tuple(map(str, row)) for row in (self.HEAD, *self.rows())]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.HEAD))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _repr_html_(self):
        from course_utils.viewer import table

        return table(self.HEAD, list(self.rows()))


def _visible_points(exercise):
    return sum(claim.points for claim in exercise.claims if not claim.hidden)


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _record(name, verdict):
    if verdict.outcome == "not attempted":
        return
    book = _read()
    entry = book.setdefault(name, {})
    entry["attempts"] = entry.get("attempts", 0) + 1
    entry["best"] = max(entry.get("best", 0), verdict.points)
    if entry.get("outcome") != "holds":
        entry["outcome"] = verdict.outcome
    _write(book)


def _path():
    from course_utils.data import home

    return home() / "progress.json"


def _read():
    """{exercise: {"attempts", "best", "outcome", "hints"}}; empty where there is no file, or none that can be read."""
    try:
        book = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    known = book.items() if isinstance(book, dict) else ()
    return {name: entry for name, entry in known if isinstance(entry, dict)}


def _write(book):
    """A check must not fail because a disk is full or read-only."""
    try:
        with atomic(_path()) as temporary:
            temporary.write_text(json.dumps(book, indent=1), encoding="utf-8")
    except OSError:
        pass
