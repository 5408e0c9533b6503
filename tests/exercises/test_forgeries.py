"""Evidence is never trusted: claims hold only for what was made from the chance of this run, whatever else is brought.

The probe runs where the answer lives, so an answer can bring any evidence it likes: what another run recorded,
constants, things of the wrong kind or size. All exercises are looked at, those of later lessons too.
"""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.exercises import exercises, find
from course_utils.exercises.probing import Findings, collect
from course_utils.grading import judge

NAMES = list(exercises())
SEEDS = (0, 1, 2, 3, "secret", 2**64)  # 0 is the one that every student can use


@cache
def expected_of(name, seed=0):
    return judge.expected(find(name), seed)


def holding(name, evidence, expected):
    """The texts of the claims that hold; none raises, and each of the others has a short sentence."""
    held = {claim.text: claim.holds(evidence, expected) for claim in find(name).claims}
    for claim in find(name).claims:
        if held[claim.text] is not True:
            sentence = claim.otherwise(evidence, expected)
            assert held[claim.text] is False
            assert type(sentence) is str
            assert 0 < len(sentence) < 200
    return [text for text, holds in held.items() if holds]


def is_equal(one, other):
    """Bit for bit."""
    if isinstance(one, np.ndarray):
        same_kind = isinstance(other, np.ndarray) and (one.dtype, one.shape) == (other.dtype, other.shape)
        return same_kind and one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other


# --- What was made in this run ---


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_brings_the_same_evidence_each_time(name):
    exercise = find(name)
    again = collect(exercise.probe, exercise.load_reference(), judge.generator(name, 1)).evidence
    expected = expected_of(name, 1)
    assert again.keys() == expected.keys()
    assert all(is_equal(again[key], expected[key]) for key in expected)
    assert len(holding(name, again, expected)) == len(exercise.claims)


# --- Recordings of another run ---


@pytest.mark.parametrize("name", NAMES)
def test_no_claim_holds_for_a_recording_of_another_run(name):
    for recorded, this in permutations(SEEDS, 2):
        assert holding(name, expected_of(name, recorded), expected_of(name, this)) == []


@pytest.mark.parametrize("name", NAMES)
def test_nor_for_a_recording_beside_the_questions_of_this_run(name):
    for recorded, this in permutations(SEEDS, 2):
        evidence = expected_of(name, recorded) | questions_of(name, this)
        assert holding(name, evidence, expected_of(name, this)) == []


@cache
def questions_of(name, seed):
    """The part of the evidence that is the same whatever the answer is: what the probe chose to ask."""
    asked = collect(find(name).probe, lambda *arguments, **options: None, judge.generator(name, seed)).evidence
    return {key: value for key, value in expected_of(name, seed).items() if is_equal(value, asked.get(key))}


@pytest.mark.parametrize("name", NAMES)
def test_nor_for_a_recording_in_another_order(name):
    recorded, keys = expected_of(name, 0), list(expected_of(name, 0))
    for shift in range(1, len(keys)):
        evidence = {key: recorded[other] for key, other in zip(keys, keys[shift:] + keys[:shift], strict=True)}
        assert holding(name, evidence, expected_of(name, 1)) == []


# --- Made up ---

CONSTANTS = (0, 1, -1, 0.1, 1e30, -1e30, np.inf, -np.inf, np.nan)
GARBAGE = (
    None,
    "",
    "[",
    "[]",
    "[a, b]",
    "returned",
    "returned patches of down to 3 x 3 pixels in place of 4 x 4",
    "CourseError:",
    "x" * 5000,
    "<b>\0\n\u2028</b>",
    0,
    -1,
    10**400,
    float("nan"),
    float("inf"),
    1e308,
    True,
    np.array(np.nan),
    np.zeros(0),
    np.zeros((2, 3)),
    np.full((300, 2, 5, 5, 3), np.nan),
    np.full((2, 3, 14, 13), np.inf),
    np.full((15, 2, 2, 2), 10**6),
    np.zeros((15, 2, 2, 2), np.int64),
    np.array(["text"]),
    np.array([None, {}], dtype=object),
    [1, 2],
    {"a": 1},
    object(),
)
HUGE = {
    "spaces": " " * 10**6,
    "words": "a " * 500_000,
    "pairs": f"[{'a b, ' * 200_000}]",
    "digits": "returned patches of down to " + "7 " * 500_000,
    "every stem": "CourseError: " + "".join(f"{number:06}" for number in range(10**5)),
    "a row": np.zeros(10**6),
    "a column": np.zeros((10**6, 1)),
    "many axes": np.zeros((10**6, 1, 1, 1, 1)),
    "bytes": np.zeros((10**5, 2, 2, 2), np.uint8),
    "tiles": np.zeros((10**5, 2, 2, 2), np.int64),
}


@pytest.mark.parametrize("name", NAMES)
def test_no_claim_holds_where_there_is_no_evidence(name):
    for evidence in ({}, None, 3, "evidence", []):
        assert holding(name, evidence, expected_of(name)) == []
        assert judge.verdict(find(name), Findings(evidence), expected_of(name), hidden=True).points == 0
    holding(name, expected_of(name), {})


@pytest.mark.parametrize("name", NAMES)
def test_no_claim_holds_for_garbage(name):
    for value in GARBAGE:
        assert holding(name, dict.fromkeys(expected_of(name), value), expected_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", HUGE)
def test_no_claim_holds_for_huge_things(name, value):
    assert holding(name, dict.fromkeys(expected_of(name), HUGE[value]), expected_of(name)) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", CONSTANTS)
def test_no_claim_holds_for_a_constant_of_the_right_form(name, value):
    expected = expected_of(name)
    assert holding(name, {key: as_constant(each, value) for key, each in expected.items()}, expected) == []


def as_constant(like, value):
    """The value in the form of another: an array of its shape and type, a number of its type, or a text."""
    with np.errstate(invalid="ignore"):
        if isinstance(like, np.ndarray):
            return np.full(like.shape, value).astype(like.dtype)
        if isinstance(like, int):
            return int(np.float64(value).astype(np.int64))
    return float(value) if isinstance(like, float) else str(value)


@st.composite
def junk(draw, expected):
    """Any value; often of a form that is expected somewhere."""
    kind = draw(st.sampled_from(("plain", "text", "constant", "noise", "array")))
    if kind == "plain":
        return draw(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(GARBAGE)))
    if kind == "text":
        starts = ["", "[", "[a b, ", "CourseError: ", "KeyError", "AttributeError: config", "returned ", "{"]
        return draw(st.sampled_from(starts)) + draw(st.text(max_size=30))
    like = draw(st.sampled_from(list(expected.values())))
    if kind == "constant":
        return as_constant(like, draw(st.sampled_from(CONSTANTS)))
    shape = getattr(like, "shape", ()) if kind == "noise" else draw(st.lists(st.integers(0, 5), max_size=5))
    dtype = draw(st.sampled_from(("float32", "float64", "float16", "uint8", "int64", "uint64", "bool")))
    scale = draw(st.sampled_from((1, 256, 10**6)))
    return (scale * np.random.default_rng(draw(st.integers(0, 99))).standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_claim_holds_for_anything_made_up(name, data):
    expected = expected_of(name)
    evidence = data.draw(st.fixed_dictionaries({}, optional={key: junk(expected) for key in expected}))
    assert holding(name, evidence, expected) == []


@pytest.mark.parametrize("name", NAMES)
def test_claims_survive_a_single_thing_out_of_place(name):
    expected = expected_of(name)
    for key in expected:
        holding(name, {other: value for other, value in expected.items() if other != key}, expected)
        for value in (*GARBAGE, *(value for value in HUGE.values() if isinstance(value, np.ndarray))):
            holding(name, expected | {key: value}, expected)
        if isinstance(expected[key], np.ndarray) and expected[key].size:
            holding(name, expected | {key: expected[key][::-1]}, expected)
            holding(name, expected | {key: expected[key][:1]}, expected)


# --- Made up by someone who has read the claims ---


def windows(*sides):
    """Tiles whose outer and inner windows have these sides, (start, stop), as rows and as columns."""
    return np.array([[[side, side] for side in sides]])


CUNNING = {
    "an error that names every file": ("match_pairs", {"original alone": HUGE["every stem"]}),
    "noise in which the image drowns": (
        "dncnn",
        {"noise": np.full((2, 3, 14, 13), 1e30), "restored": np.full((2, 3, 14, 13), -1e30)},
    ),
    "windows that end before they begin": (
        "tiles",
        {"wide": windows((2 * 10**9 - 3, 3 - 2 * 10**9), (2 * 10**9, -(2 * 10**9)))},
    ),
    "a gradient everywhere": ("residual_loss", {"gradient": np.ones((4, 3, 6, 5), np.float32)}),
}


@pytest.mark.parametrize("forgery", CUNNING)
def test_no_claim_holds_for_a_cunning_forgery(forgery):
    name, evidence = CUNNING[forgery]
    for seed in SEEDS:
        assert holding(name, evidence, expected_of(name, seed)) == []
