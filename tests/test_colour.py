"""YCbCr: MATLAB's published coefficients, Pillow's and OpenCV's conversions, and the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.colour import check_colour, rgb_to_ycbcr, ycbcr_to_rgb
from course_utils.files import CourseError
from course_utils.images import to_tensor
from course_utils.metrics import luma

SEEDS = st.integers(0, 2**31)
BATCHES = st.sampled_from([(), (1,), (3,)])
# The help page of MATLAB's rgb2ycbcr, and Poynton, "A Technical Introduction to Digital Video", 1996, equation 9.6.
MATLAB = [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]


def colours(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def byte_image(seed):
    return np.random.default_rng(seed).integers(0, 256, (13, 17, 3), np.uint8)


@settings(max_examples=25, deadline=None)
@given(SEEDS, BATCHES)
def test_studio_range_has_matlabs_coefficients(seed, batch):
    rgb = colours(seed, *batch, 3, 5, 4)
    expected = np.einsum("ij,...jhw->...ihw", MATLAB, rgb.numpy()) + np.array([16, 128, 128]).reshape(3, 1, 1)
    np.testing.assert_allclose(255 * rgb_to_ycbcr(rgb).numpy(), expected, atol=1e-3)  # three decimals are published


def test_studio_range_agrees_with_scikit_image():
    from skimage.color import rgb2ycbcr

    rgb = colours(0, 3, 9, 7)
    np.testing.assert_allclose(255 * rgb_to_ycbcr(rgb).numpy(), rgb2ycbcr(rgb.numpy(), channel_axis=0), atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_full_range_is_pillows_within_rounding_both_ways(seed):
    image = byte_image(seed)  # Pillow rounds down
    there = 255 * rgb_to_ycbcr(to_tensor(image), full_range=True).movedim(0, -1).numpy()
    difference = there - np.asarray(Image.fromarray(image).convert("YCbCr"))
    assert -0.06 < difference.min() and difference.max() < 1.06
    ycbcr = Image.frombytes("YCbCr", image.shape[1::-1], image.tobytes())  # any bytes, most of them no colour
    back = 255 * ycbcr_to_rgb(to_tensor(image), full_range=True).movedim(0, -1).numpy()
    difference = back - np.asarray(ycbcr.convert("RGB"))
    assert -0.06 < difference.min() and difference.max() < 1.06


@pytest.mark.parametrize("seed", range(3))
def test_full_range_is_opencvs_within_rounding(seed):
    import cv2

    image = byte_image(seed)
    ours = 255 * rgb_to_ycbcr(to_tensor(image), full_range=True).movedim(0, -1).numpy()
    theirs = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]  # Cr comes before Cb there
    assert np.abs(ours - theirs).max() < 1  # it takes Cb and Cr from a Y that is rounded already


def test_y_is_the_luma_of_the_metrics():
    rgb = colours(1, 2, 3, 9, 7)
    torch.testing.assert_close(rgb_to_ycbcr(rgb)[:, :1], luma(rgb), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("full_range", "ends"), [(False, (16, 235, 16, 240)), (True, (0, 255, 0.5, 255))])
def test_ranges_are_used_to_their_ends(full_range, ends):
    primaries = torch.tensor([[0, 1, 1, 0, 0, 1, 1, 0], [0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 0, 1, 0, 1, 1]]).float()
    y, cb, cr = 255 * rgb_to_ycbcr(primaries.view(3, 1, 8), full_range)
    found = (y.min(), y.max(), min(cb.min(), cr.min()), max(cb.max(), cr.max()))
    assert torch.tensor(found).tolist() == pytest.approx(ends, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1, width=32), st.booleans())
def test_grey_has_no_colour(value, full_range):
    _, cb, cr = 255 * rgb_to_ycbcr(torch.full((3, 2, 2), value), full_range)
    assert (cb - 128).abs().max() < 1e-3 and (cr - 128).abs().max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(SEEDS, BATCHES, st.booleans())
def test_there_and_back(seed, batch, full_range):
    rgb = 0.01 + 0.98 * colours(seed, *batch, 3, 4, 5)  # full range cuts off half a level of the purest blue and red
    before = rgb.clone()
    back = ycbcr_to_rgb(rgb_to_ycbcr(rgb, full_range), full_range)
    assert back.shape == rgb.shape and back.dtype == rgb.dtype
    torch.testing.assert_close(back, rgb, atol=1e-5, rtol=0)
    assert torch.equal(rgb, before)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans())
def test_what_is_no_colour_is_clipped_channel_by_channel(seed, full_range):
    ycbcr = colours(seed, 3, 6, 6)
    rgb = ycbcr_to_rgb(ycbcr, full_range)
    assert 0 <= rgb.min() and rgb.max() <= 1
    again = ycbcr_to_rgb(rgb_to_ycbcr(rgb, full_range), full_range)  # once it is a colour, it stays one
    torch.testing.assert_close(again, rgb, atol=0.004, rtol=0)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.booleans(), st.sampled_from([rgb_to_ycbcr, ycbcr_to_rgb]))
def test_a_batch_is_its_images(seed, full_range, convert):
    batch = colours(seed, 3, 3, 4, 5)
    expected = torch.stack([convert(image, full_range) for image in batch])
    torch.testing.assert_close(convert(batch, full_range), expected, atol=1e-7, rtol=0)


@pytest.mark.parametrize("convert", [rgb_to_ycbcr, ycbcr_to_rgb, lambda image: check_colour(image, "the image")])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 4, 4), np.float32), "ndarray"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "uint8"),
        (torch.zeros(1, 4, 4), r"\(1, 4, 4\); it needs 3 channels"),
        (torch.zeros(4, 4, 3), r"\(4, 4, 3\); it needs 3 channels"),
        (torch.full((3, 4, 4), 1.5), "1.5"),
        (torch.full((3, 4, 4), float("nan")), "NaN"),
    ],
)
def test_what_is_no_colour_image_is_refused(convert, bad, message):
    with pytest.raises(CourseError, match=message):
        convert(bad)
