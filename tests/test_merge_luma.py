"""A new Y for a colour image: what is kept, what is new, and what no colour can hold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.colour import merge_luma, rgb_to_ycbcr
from course_utils.files import CourseError
from course_utils.metrics import luma


def pale(seed, *batch, size=(7, 9)):
    """Colours that no change of Y by a tenth takes out of range."""
    rng = np.random.default_rng(seed)
    grey = rng.uniform(0.35, 0.65, (*batch, 1, *size))
    return torch.from_numpy(grey + rng.uniform(-0.1, 0.1, (*batch, 3, *size))).float()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), batch=st.sampled_from([(), (1,), (3,)]))
def test_y_is_the_new_one_and_the_colour_the_old(seed, batch):
    rgb = pale(seed, *batch)
    y = (luma(rgb) + 0.1 * (2 * torch.rand(*batch, 1, 7, 9) - 1)).float()
    merged = merge_luma(y, rgb)
    assert merged.shape == rgb.shape
    assert torch.allclose(luma(merged), y, atol=1e-5)
    assert torch.allclose(rgb_to_ycbcr(merged)[..., 1:, :, :], rgb_to_ycbcr(rgb)[..., 1:, :, :], atol=1e-5)
    assert torch.allclose(merged, rgb + 255 / 219 * (y - luma(rgb)), atol=1e-5)  # all three move alike


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_with_its_own_y_an_image_stays_as_it_is(seed):
    rgb = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(merge_luma(luma(rgb), rgb), rgb, atol=1e-5)


def test_black_and_white_are_those_of_studio_range_and_the_rest_is_clipped():
    rgb = torch.full((3, 4, 4), 0.5)
    for level, value in ((16, 0), (235, 1), (255, 1), (0, 0)):
        merged = merge_luma(torch.full((1, 4, 4), level / 255), rgb)
        assert torch.allclose(merged, torch.full_like(rgb, value), atol=1e-5) and 0 <= merged.min() <= merged.max() <= 1


def test_nothing_that_was_given_changes():
    y, rgb = torch.rand(1, 5, 5), torch.rand(3, 5, 5)
    before = y.clone(), rgb.clone()
    merge_luma(y, rgb)
    assert torch.equal(y, before[0]) and torch.equal(rgb, before[1])


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 5, 6), (6, 5), (1, 1, 6, 5)])
def test_another_shape_is_named(shape):
    with pytest.raises(CourseError, match=r"Y has the shape .*one channel of Y"):
        merge_luma(torch.rand(shape), torch.rand(3, 6, 5))


def test_values_beyond_the_range_are_named():
    with pytest.raises(CourseError, match="YCbCr"):
        merge_luma(torch.full((1, 6, 5), 1.5), torch.rand(3, 6, 5))
    with pytest.raises(CourseError, match="RGB"):
        merge_luma(torch.rand(1, 6, 5), torch.rand(1, 6, 5))
