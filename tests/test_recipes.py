"""Recipes: what is changed, and what gives way."""

from dataclasses import replace

import pytest

from course_utils.recipes import DESCRIPTION, RECIPES, recipe


def test_nothing_given_nothing_changed():
    for chosen in RECIPES.values():
        assert chosen.but(**dict.fromkeys(DESCRIPTION)) == chosen


@pytest.mark.parametrize("profile", RECIPES)
def test_steps_and_seconds_displace_each_other(profile):
    chosen = RECIPES[profile]
    assert (chosen.steps is None) != (chosen.seconds is None)
    by_time = chosen.but(seconds=7)
    assert (by_time.steps, by_time.seconds, by_time.validate_every) == (None, 7, None)
    assert chosen.but(seconds=7, validate_every=3).validate_every == 3
    by_steps = chosen.but(steps=9, lr=0.5)
    assert by_steps == replace(chosen, steps=9, seconds=None, lr=0.5)
    both = chosen.but(steps=9, seconds=7)  # for `fit` to refuse
    assert (both.steps, both.seconds) == (9, 7)


def test_the_recipe_of_the_profile(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    assert recipe() == recipe("cpu") == RECIPES["cpu"]
    assert recipe().training.keys() == {"steps", "seconds", "batch_size", "lr", "validate_every"}
