"""The declared exercises: the course's answers hold, right ones in other words too, and each wrong one is told why."""

import random
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils import authoring
from course_utils.exercises import LESSONS, exercises, find
from course_utils.files import CourseError
from course_utils.grading.judge import PUBLIC_SEED, examine, generator

sys.path.insert(0, str(Path(__file__).parents[1] / "wrong_answers"))
from answers import LATER, RIGHT, WRONG

NAMES = list(exercises())
SEEDS = (PUBLIC_SEED, 1, "a secret")
MISTAKES = [(name, mistake) for name, answers in WRONG.items() for mistake in answers]
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


def answer_of(name, source):
    """What a cell with this source defines as the answer."""
    namespace = {"__name__": "cell"}
    exec(compile(source, "<cell>", "exec"), namespace)
    return namespace[find(name).answer]


def probed(name, answer, seed=PUBLIC_SEED):
    return find(name).probe(answer, generator(name, seed))


@cache
def expected_of(name, seed=PUBLIC_SEED):
    return probed(name, find(name).load_reference(), seed)


def failures(name, evidence, expected, hidden=True):
    """The sentences of the claims that do not hold."""
    claims = [claim for claim in find(name).claims if hidden or not claim.hidden]
    return [claim.otherwise(evidence, expected) for claim in claims if not claim.holds(evidence, expected)]


@cache
def cells():
    """{exercise: (lesson, cell)} of the lessons' sources."""
    lessons = authoring.list_lessons(authoring.find_root(Path(__file__).parent))
    found = [(lesson.name, cell) for lesson in lessons for cell in lesson.cells if "exercise" in cell.options]
    return {cell.options["exercise"]: (lesson, cell) for lesson, cell in found}


# --- What is declared ---


def test_lessons_and_declarations_agree():
    in_lessons = {name: (lesson, cell.options["answer"]) for name, (lesson, cell) in cells().items()}
    declared = {name: (exercise.lesson, exercise.reference) for name, exercise in exercises().items()}
    assert declared == in_lessons
    assert all(exercise.answer == exercise.reference.partition(":")[2] for exercise in exercises().values())


def test_exercises_by_lesson():
    assert list(exercises("00_welcome")) == ["psnr"]
    assert [name for lesson in LESSONS for name in exercises(lesson)] == NAMES
    with pytest.raises(CourseError, match="no exercises for the lesson '07_other'"):
        exercises("07_other")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(CourseError, match="no exercise 'pnsr'; there are psnr, rgb_to_ycbcr"):
        find("pnsr")


@pytest.mark.parametrize("name", NAMES)
def test_each_has_visible_claims_a_hidden_one_and_three_hints(name):
    exercise = find(name)
    assert 3 <= sum(not claim.hidden for claim in exercise.claims) <= 6
    assert sum(claim.hidden for claim in exercise.claims) == 1
    assert len({claim.text for claim in exercise.claims}) == len(exercise.claims)
    assert len(exercise.hints) == 3
    assert exercise.points == sum(claim.points for claim in exercise.claims) >= 5
    assert len(WRONG[name]) >= 4
    assert RIGHT[name]


# --- Right answers ---


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_holds_under_every_seed(name):
    for seed in range(20):
        evidence = probed(name, find(name).load_reference(), seed)
        assert failures(name, evidence, expected_of(name, seed)) == []


@pytest.mark.parametrize(("name", "words"), [(name, words) for name, answers in RIGHT.items() for words in answers])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_right_answers_in_other_words_hold(name, words):
    for seed in SEEDS:
        evidence = probed(name, answer_of(name, RIGHT[name][words]), seed)
        assert failures(name, evidence, expected_of(name, seed)) == []


# --- Wrong answers ---


def first_sentence(name, mistake, seed=PUBLIC_SEED):
    """The sentence of the first visible claim that does not hold, or None."""
    answer = answer_of(name, WRONG[name][mistake][0])
    sentences = failures(name, probed(name, answer, seed), expected_of(name, seed), hidden=False)
    return sentences[0] if sentences else None


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_a_wrong_answer_gets_its_sentence(name, mistake):
    for seed in SEEDS:
        sentence = first_sentence(name, mistake, seed)
        assert sentence is not None, "no visible claim finds this mistake"
        assert WRONG[name][mistake][1] in sentence
        assert "cannot be judged" not in sentence
        assert len(sentence) < 200


@pytest.mark.parametrize(("name", "mistake"), [(name, mistake) for name, each in LATER.items() for mistake in each])
def test_later_claims_name_no_false_cause(name, mistake):
    for seed in SEEDS:
        evidence = probed(name, answer_of(name, WRONG[name][mistake][0]), seed)
        for beginning, part in LATER[name][mistake].items():
            (claim,) = [each for each in find(name).claims if each.text.startswith(beginning)]
            assert not claim.holds(evidence, expected_of(name, seed))
            assert part in claim.otherwise(evidence, expected_of(name, seed))


@pytest.mark.parametrize("name", NAMES)
def test_no_two_mistakes_get_one_sentence(name):
    sentences = [first_sentence(name, mistake) for mistake in WRONG[name]]
    assert len(set(sentences)) == len(sentences)


# --- Not attempted ---


@pytest.mark.parametrize("name", NAMES)
def test_the_skeleton_is_not_attempted(name):
    skeleton = answer_of(name, IMPORTS + cells()[name][1].text)
    with pytest.raises(NotImplementedError):
        probed(name, skeleton)


def test_half_a_network_is_judged_by_what_is_written():
    class Half(find("dncnn").load_reference()):
        def restore(self, y):
            raise NotImplementedError

    verdict = examine(find("dncnn"), Half)
    assert verdict.outcome == "does not hold" and verdict.error == "NotImplementedError"
    assert 0 < verdict.points < find("dncnn").points


# --- Probes ---


@pytest.mark.parametrize("name", NAMES)
def test_evidence_is_small_and_plain(name):
    sources = [source for source, _ in WRONG[name].values()] + list(RIGHT[name].values())
    size = 0
    for source in sources:
        evidence = probed(name, answer_of(name, source))
        for key, value in evidence.items():
            assert type(key) is str
            assert type(value) in (np.ndarray, int, float, str), f"{key}: {type(value)}"
            assert not isinstance(value, np.ndarray) or value.dtype.kind in "fiub"
            assert not isinstance(value, str) or len(value) < 2000
        size = max(size, sum(getattr(value, "nbytes", len(str(value))) for value in evidence.values()))
    assert size < 600_000


def strange_answers():
    yield "returns None", lambda *arguments, **options: None
    yield "returns a text", lambda *arguments, **options: "restored"
    yield "returns a huge number", lambda *arguments, **options: 10**400
    yield "returns NaN", lambda *arguments, **options: torch.tensor(float("nan"))
    yield "returns much", lambda *arguments, **options: np.zeros(1_000_000)
    yield "returns itself", strange_answers
    yield "returns an object", lambda *arguments, **options: object()
    yield "raises", lambda *arguments, **options: 1 / 0
    yield "leaves", lambda *arguments, **options: sys.exit(3)
    yield "is a class", type("Anything", (), {})
    yield "is a number", 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strange", dict(strange_answers()))
def test_a_probe_survives_a_strange_answer(name, strange):
    evidence = probed(name, dict(strange_answers())[strange])
    assert all(type(value) in (np.ndarray, int, float, str) for value in evidence.values())
    sentences = failures(name, evidence, expected_of(name), hidden=False)
    assert sentences
    assert all(0 < len(sentence) < 200 for sentence in sentences)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_one_evidence_and_another_seed_another(name):
    sources = [next(iter(RIGHT[name].values())), next(iter(WRONG[name].values()))[0]]
    for source in sources:
        assert equal(probed(name, answer_of(name, source), 5), probed(name, answer_of(name, source), 5))
    assert not equal(expected_of(name, 1), expected_of(name, 2))


def test_global_random_numbers_of_an_answer_are_seeded_too():
    answer = answer_of("random_patch", WRONG["random_patch"]["Python's random"][0])
    assert equal(probed("random_patch", answer), probed("random_patch", answer))


def global_state():
    return (
        random.getstate(),
        [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
    )


def meddle(*arguments, **options):
    """An answer that changes all it can."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    raise ValueError("no")


@pytest.mark.parametrize("name", NAMES)
def test_probes_leave_no_trace(name):
    before, files = global_state(), sorted(Path.cwd().iterdir())
    for answer in (find(name).load_reference(), meddle):
        probed(name, answer)
        assert global_state() == before
        with torch.inference_mode():
            probed(name, answer)
    with pytest.raises(NotImplementedError):
        probed(name, answer_of(name, IMPORTS + cells()[name][1].text))
    assert global_state() == before
    assert sorted(Path.cwd().iterdir()) == files


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_works_whatever_the_settings_are(name):
    dtype = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.inference_mode():
            evidence = probed(name, find(name).load_reference())
    finally:
        torch.set_default_dtype(dtype)
    assert failures(name, evidence, expected_of(name)) == []
