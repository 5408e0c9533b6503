"""Portraits: the middle of an image, and the Gaussian pyramid against OpenCV's and a plain convolution."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.degrade import centre_crop, pyramid_reduce
from course_utils.files import CourseError

sides = st.integers(1, 12)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(1, 12))
def test_what_is_cut_off_is_shared_and_one_more_goes_at_the_end(height, width, size):
    size = min(size, height, width)
    image = torch.arange(2 * height * width).view(2, height, width)
    middle = centre_crop(image, size)
    assert middle.shape == (2, size, size)
    top, left = divmod(int(middle[0, 0, 0]), width)  # the place of its first pixel
    assert torch.equal(middle, image[:, top : top + size, left : left + size])
    for before, side in ((top, height), (left, width)):
        assert side - size - before - before in (0, 1)  # behind it lie as many pixels, or one more


def test_the_middle_of_known_sizes():
    row = torch.arange(5).expand(5, 5)
    assert centre_crop(row, 3)[0].tolist() == [1, 2, 3]
    assert centre_crop(row, 2)[0].tolist() == [1, 2]
    assert torch.equal(centre_crop(row, 5), row)
    assert centre_crop(torch.rand(4, 3, 218, 178), 176).shape == (4, 3, 176, 176)


@pytest.mark.parametrize(("shape", "size"), [((3, 175, 300), 176), ((3, 300, 175), 176), ((3, 8, 8), 0), ((8, 8), -1)])
def test_no_middle(shape, size):
    with pytest.raises(CourseError, match=rf"{shape[-2]}x{shape[-1]} pixels has no middle {size}x{size}; choose"):
        centre_crop(torch.rand(shape), size)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.sampled_from([(), (3,), (2, 3)]))
def test_a_level_is_that_of_opencv(height, width, leading):
    image = torch.rand(*(leading or (1,)), height, width)
    found = pyramid_reduce(image)
    planes = image.reshape(-1, height, width).numpy()
    expected = np.stack([cv2.pyrDown(plane) for plane in planes])
    assert found.shape == (*image.shape[:-2], (height + 1) // 2, (width + 1) // 2)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-6)


def test_two_levels_make_a_portrait_small():
    portrait = torch.rand(3, 176, 176)
    small = pyramid_reduce(portrait, levels=2)
    assert small.shape == (3, 44, 44)
    assert torch.equal(small, pyramid_reduce(pyramid_reduce(portrait)))
    expected = cv2.pyrDown(cv2.pyrDown(portrait.permute(1, 2, 0).numpy()))
    np.testing.assert_allclose(small.permute(1, 2, 0), expected, atol=1e-6)


def test_a_point_becomes_the_weights():
    point = torch.zeros(1, 9, 9)
    point[0, 4, 4] = 1
    weights = torch.tensor([1, 6, 1]) / 16  # every second one of 1 4 6 4 1, the middle one kept
    torch.testing.assert_close(pyramid_reduce(point)[0, 1:4, 1:4], torch.outer(weights, weights))
    assert pyramid_reduce(point).sum() == pytest.approx(1 / 4)


def test_flat_images_stay_flat_and_nothing_leaves_the_range():
    torch.testing.assert_close(pyramid_reduce(torch.full((1, 7, 6), 0.3), 2), torch.full((1, 2, 2), 0.3))
    extremes = pyramid_reduce(torch.randint(0, 2, (3, 31, 40)).float(), 3)
    assert 0 <= extremes.min() and extremes.max() <= 1
    image = torch.rand(3, 8, 8)
    before = image.clone()
    assert torch.equal(pyramid_reduce(image, 0), image)
    pyramid_reduce(image)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("image", "levels", "message"),
    [
        (torch.rand(3, 2, 9), 1, "2x9 pixels are too few to halve"),
        (torch.rand(3, 4, 4), 2, "2x2 pixels are too few to halve"),
        (torch.rand(3, 8, 8), -1, "levels=-1 is not how often"),
        (torch.rand(3, 8, 8), 1.5, "levels=1.5 is not how often"),
        (torch.rand(8, 8), 1, "the image to reduce has the shape"),
        (torch.full((3, 8, 8), 2.0), 1, r"outside \[0, 1\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), 1, "not float"),
    ],
)
def test_what_cannot_be_reduced(image, levels, message):
    with pytest.raises(CourseError, match=message):
        pyramid_reduce(image, levels)
