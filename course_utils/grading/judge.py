"""From an answer to a verdict: the probe collects evidence, the claims look at it."""

import hashlib
from dataclasses import dataclass
from functools import cache

from course_utils.exercises.probing import collect

PUBLIC_SEED = 0


@dataclass(frozen=True)
class Result:
    """One claim, held against the evidence: its text, its points, and if it does not hold, why."""

    text: str
    points: int
    holds: bool
    sentence: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Verdict:
    """What was found out about an answer.

    Attributes:
        exercise: its name.
        outcome: "holds", "not attempted", "does not hold" or "raised".
        results: for each claim that was looked at; none if the answer was not attempted.
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

    @property
    def passes(self):
        """Whether the check in the notebook would hand this answer on: every visible claim holds."""
        return bool(self.results) and all(result.holds for result in self.results if not result.hidden)


def examine(exercise, answer, seed=PUBLIC_SEED):
    """Judge an answer by the visible claims, in this process; nothing outside the answer's own doing changes.

    Args:
        exercise: an Exercise.
        answer: the student's function or class.
        seed: a whole number; the evidence of the same answer under the same seed is the same.

    Returns:
        A Verdict; whatever the answer raises is part of it, except KeyboardInterrupt.
    """
    findings = collect(exercise.probe, answer, generator(exercise.name, seed))
    return verdict(exercise, findings, expected(exercise, seed))


def verdict(exercise, findings, expected, hidden=False):
    """Judge by what a probe brought back, wherever it ran.

    Args:
        findings: Findings. Nothing in them is trusted.
        expected: the evidence that the same probe brings back for the reference, with the same seed.
        hidden: look at the hidden claims too.
    """
    remaining = 0 if hidden else sum(claim.hidden for claim in exercise.claims)
    if not findings.attempted:
        return Verdict(exercise.name, "not attempted", remaining=remaining, where=findings.where)
    claims = [claim for claim in exercise.claims if hidden or not claim.hidden]
    results = tuple(_result(claim, findings.evidence, expected) for claim in claims)
    said = {"printed": findings.printed}
    if all(result.holds for result in results):
        return Verdict(exercise.name, "holds", results, remaining, **said)
    outcome = "raised" if findings.error and not any(result.holds for result in results) else "does not hold"
    said |= {"error": findings.error, "where": findings.where, "trace": findings.trace}
    return Verdict(exercise.name, outcome, results, remaining, **said)


def _result(claim, evidence, expected):
    try:
        holds, sentence = bool(claim.holds(evidence, expected)), ""
        if not holds:
            sentence = str(claim.otherwise(evidence, expected))
    except Exception:  # evidence may be anything
        holds, sentence = False, "what came back is not of the kind expected; look at the docstring of the exercise"
    return Result(claim.text, claim.points, holds, sentence, claim.hidden)


def stream(name, seed):
    """What an exercise's chance begins with: 128 bits from which neither the seed nor another exercise's follows."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:16])


def generator(name, seed):
    """The source of chance of an exercise's probe, a numpy Generator."""
    import numpy as np

    return np.random.default_rng(stream(name, seed))


@cache
def expected(exercise, seed):
    """The evidence for the course's own answer."""
    return collect(exercise.probe, exercise.load_reference(), generator(exercise.name, seed)).evidence
