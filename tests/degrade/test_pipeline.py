"""Pipelines whose stages, strengths and order are drawn, and scanners from around the known ones."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
import torch

from course_utils.degrade import KNOWN_SCANNERS, SCANNERS, GaussianNoise, Jpeg, RandomPipeline, Scan, random_scanner
from course_utils.files import CourseError


def rng(seed=0):
    return np.random.default_rng(seed)


def writes(digit):
    return lambda rng: lambda x, rng: 10 * x + digit


ZERO = torch.zeros(1, 2, 2)


def runs(pipeline, count=600, seed=0):
    """How often each number came out: its digits are the stages that took part, in their order."""
    generator = rng(seed)
    return Counter(int(pipeline(ZERO, generator)[0, 0, 0]) for _ in range(count))


def test_all_stages_run_in_their_order():
    assert runs(RandomPipeline([writes(3), writes(1), writes(2)]), 5) == {312: 5}


def test_a_shuffled_pipeline_takes_every_order_equally_often():
    counts = runs(RandomPipeline([writes(1), writes(2), writes(3)], shuffle=True))
    assert set(counts) == {123, 132, 213, 231, 312, 321}
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 26  # chi squared, 5 degrees: once in 10,000


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_each_stage_takes_part_by_its_own_chance(chance):
    counts = runs(RandomPipeline([writes(1), writes(2)], chance=chance))
    for number, expected in {0: (1 - chance) ** 2, 12: chance**2, 1: chance * (1 - chance)}.items():
        assert abs(counts[number] / 600 - expected) < 0.08


def test_strengths_are_drawn_for_each_image_and_chance_comes_from_rng():
    noise = RandomPipeline([lambda rng: GaussianNoise(rng.uniform(0, 50))])
    grey = torch.full((1, 32, 32), 0.5)
    spreads = [noise(grey, rng(seed)).std().item() for seed in range(10)]
    assert max(spreads) > 3 * min(spreads)
    assert torch.equal(noise(grey, rng(1)), noise(grey, rng(1)))


def test_in_a_batch_each_image_draws_its_own():
    pipeline = RandomPipeline([writes(1), writes(2), writes(3)], chance=0.5, shuffle=True)
    together, generator = pipeline(ZERO.repeat(9, 1, 1, 1), rng(4)), rng(4)
    assert torch.equal(together, torch.stack([pipeline(ZERO, generator) for _ in range(9)]))
    assert len(together.unique()) > 2


def test_draw_gives_what_a_call_applies_and_stages_may_come_twice():
    pipeline = RandomPipeline([writes(1), writes(2)] * 2)
    assert [int(each(ZERO, rng())[0, 0, 0]) for each in pipeline.draw(rng())] == [1, 2, 1, 2]
    assert runs(pipeline, 1) == {1212: 1}


def test_a_pipeline_is_a_stage_too():
    inner = RandomPipeline([writes(1), writes(2)], shuffle=True)
    counts = runs(RandomPipeline([lambda rng: inner, writes(3)]), 50)
    assert set(counts) == {123, 213}


def test_it_takes_the_degradations_of_the_kit():
    pipeline = RandomPipeline(
        [lambda rng: Jpeg(int(rng.integers(20, 90))), lambda rng: GaussianNoise(8), random_scanner], shuffle=True
    )
    image = torch.rand(3, 24, 24)
    degraded = pipeline(image, rng())
    assert degraded.shape == image.shape and 0 <= degraded.min() and degraded.max() <= 1


@pytest.mark.parametrize("stages, chance", [([], 1.0), ([writes(1)], 1.2), ([writes(1)], -0.1)])
def test_no_stages_or_no_chance_is_an_error(stages, chance):
    with pytest.raises(CourseError, match="at least one stage, and a chance of 0 to 1"):
        RandomPipeline(stages, chance)


# --- random_scanner ---


def settings_of(scan):
    """{(effect, setting): values}, all but the backs of pages."""
    return {
        (type(effect).__name__, field.name): np.atleast_1d(getattr(effect, field.name))
        for effect in scan.effects
        for field in fields(effect)
        if field.name != "backs"
    }


def test_settings_fill_the_span_of_the_known_scanners_and_half_of_it_on_each_side():
    known = [settings_of(SCANNERS[name]) for name in KNOWN_SCANNERS]
    drawn = [settings_of(random_scanner(rng(seed))) for seed in range(400)]
    for key in known[0]:
        values = np.concatenate([each[key] for each in known])
        low, high = values.min(), values.max()
        room = (high - low) / 2
        low, high = max(low - room, 0), min(high + room, 1) if key[1] == "cast" else high + room
        found = np.concatenate([each[key] for each in drawn])
        assert low - 1e-9 <= found.min() and found.max() <= high + 1e-9, key
        assert high - low < 1e-9 or found.max() - found.min() > 0.95 * (high - low), key


def test_without_widening_it_stays_between_the_known_ones():
    values = [each[("Halftone", "period")][0] for each in map(settings_of, SCANNERS.values())][:3]
    periods = [random_scanner(rng(seed), widen=0).effects[0].period for seed in range(50)]
    assert min(values) <= min(periods) and max(periods) <= max(values)


def test_the_rule_never_looks_at_the_scanner_that_no_training_sees(monkeypatch):
    before = settings_of(random_scanner(rng(3)))
    monkeypatch.delitem(SCANNERS, "archive")
    assert all(np.array_equal(before[key], value) for key, value in settings_of(random_scanner(rng(3))).items())


def test_a_state_gives_one_scanner_and_its_scans_are_pages():
    page = torch.rand(3, 48, 40)
    scans = [random_scanner(rng(seed), backs=[page])(page, rng(9)) for seed in (1, 1, 2)]
    assert torch.equal(scans[0], scans[1]) and not torch.equal(scans[0], scans[2])
    assert scans[0].shape == page.shape and 0 <= scans[0].min() and scans[0].max() <= 1
    assert isinstance(random_scanner(rng()), Scan)


def test_its_rng_is_checked():
    with pytest.raises(CourseError, match=r"numpy.random.Generator, not int"):
        random_scanner(3)
