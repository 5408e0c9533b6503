"""From an answer to a verdict: the probe collects evidence, the claims look at it."""

import contextlib
import io
import linecache
import os
import random
import sys
import traceback
import warnings
import zlib
from dataclasses import dataclass
from functools import cache

from course_utils.exercises import probing

PUBLIC_SEED = 0


@dataclass(frozen=True)
class Result:
    """One claim, held against the evidence: its text, its points, and if it does not hold, why."""

    text: str
    points: int
    holds: bool
    sentence: str = ""


@dataclass(frozen=True)
class Verdict:
    """What was found out about an answer.

    Attributes:
        exercise: its name.
        outcome: "holds", "not attempted", "does not hold" or "raised".
        results: for each visible claim; none if the answer was not attempted, or never got to an end.
        remaining: the number of claims that only grading checks.
        error: what was raised, in a line; `where`: the student's line; `trace`: the whole traceback.
        printed: what the answer printed meanwhile.
    """

    exercise: str
    outcome: str
    results: tuple = ()
    remaining: int = 0
    error: str = ""
    where: str = ""
    trace: str = ""
    printed: str = ""

    @property
    def points(self):
        return sum(result.points for result in self.results if result.holds)


def examine(exercise, answer, seed=PUBLIC_SEED):
    """Judge an answer by the visible claims, in this process; nothing outside the answer's own doing changes.

    Args:
        exercise: an Exercise.
        answer: the student's function or class.
        seed: a whole number; the evidence of the same answer under the same seed is the same.

    Returns:
        A Verdict; whatever the answer raises is part of it, except KeyboardInterrupt.
    """
    remaining = sum(claim.hidden for claim in exercise.claims)
    with undisturbed() as printed, probing.noting() as raised:
        try:
            evidence = exercise.probe(answer, generator(exercise.name, seed))
        except NotImplementedError:
            return Verdict(exercise.name, "not attempted", remaining=remaining)
        except (Exception, SystemExit) as error:
            raised.insert(0, error)
            evidence = {}
    results = judged(exercise, evidence, _expected(exercise, seed))
    holds = all(result.holds for result in results)
    error = None if holds or not raised else raised[0]
    outcome = "holds" if holds else "does not hold"
    if error and not any(result.holds for result in results):
        outcome = "raised"
    about = _about(error) if error else {}
    return Verdict(exercise.name, outcome, results, remaining, printed=printed.getvalue()[:2000], **about)


def judged(exercise, evidence, expected, hidden=False):
    """The results of the visible claims, or of all; an error within a claim counts as not holding."""
    return tuple(_result(claim, evidence, expected) for claim in exercise.claims if hidden or not claim.hidden)


def _result(claim, evidence, expected):
    try:
        holds, sentence = bool(claim.holds(evidence, expected)), ""
        if not holds:
            sentence = str(claim.otherwise(evidence, expected))
    except Exception:  # evidence may be anything
        holds, sentence = False, "what came back is not of the kind expected; look at the docstring of the exercise"
    return Result(claim.text, claim.points, holds, sentence)


def generator(name, seed):
    """The source of chance of an exercise's probe."""
    import numpy as np

    return np.random.default_rng([seed, zlib.crc32(name.encode())])


@cache
def _expected(exercise, seed):
    with undisturbed():
        return exercise.probe(exercise.load_reference(), generator(exercise.name, seed))


@contextlib.contextmanager
def undisturbed():
    """Give back seeds, grad mode, default dtype, threads, matplotlib settings and folder; yields what is printed."""
    keep = [(random.setstate, random.getstate()), (os.chdir, os.getcwd())]
    if numpy := sys.modules.get("numpy"):
        keep.append((numpy.random.set_state, numpy.random.get_state()))
    if torch := sys.modules.get("torch"):
        keep.append((torch.set_rng_state, torch.get_rng_state()))
        keep.append((torch.set_grad_enabled, torch.is_grad_enabled()))
        keep.append((torch.set_default_dtype, torch.get_default_dtype()))
        keep.append((torch.set_num_threads, torch.get_num_threads()))
    if matplotlib := sys.modules.get("matplotlib"):
        keep.append((matplotlib.rcParams.update, matplotlib.rcParams.copy()))
    printed = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield printed
    finally:
        for restore, value in keep:
            restore(value)


def _about(error):
    """The error in a line, the student's line that raised it, and the traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_students(frame.filename)]
    where = ""
    if frames:
        line = (frames[-1].line or linecache.getline(frames[-1].filename, frames[-1].lineno)).strip()
        where = f"line {frames[-1].lineno} of the cell: {line}" if line else f"line {frames[-1].lineno} of the cell"
    text = " ".join(str(error).split())[:300]
    trace = "".join(traceback.format_exception(error))[-6000:]
    return {
        "error": f"{type(error).__name__}: {text}" if text else type(error).__name__,
        "where": where,
        "trace": trace,
    }


def _is_students(filename):
    """Is this a cell or a file of the student's, and not of the kit, a library or Python itself?"""
    kit = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = any(
        part in filename for part in ("site-packages", "dist-packages", "<frozen", f"{os.sep}lib{os.sep}python")
    )
    return not library and not os.path.abspath(filename).startswith(kit + os.sep)
