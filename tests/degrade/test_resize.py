"""Bicubic resizing: MATLAB's imresize in the interior, and the published figures of Set5."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_utils.degrade import LowResolution, bicubic, crop_to_multiple, enlarge, low_resolution_pair, reduce
from course_utils.files import CourseError
from course_utils.images import quantise, to_tensor
from course_utils.metrics import luma, psnr

SCALES = st.integers(1, 5)
SIDES = st.integers(1, 9)


def random_image(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def imresize(values, size):
    """MATLAB's imresize along the last axis, (..., n) -> (..., size): its kernel, its widening, its mirrored border."""
    n = values.shape[-1]
    scale = size / n
    centres = (np.arange(size) + 0.5) / scale - 0.5
    width = 4 / min(scale, 1)
    taps = np.floor(centres - width / 2).astype(int)[:, None] + np.arange(int(np.ceil(width)) + 2)  # (size, taps)
    weights = cubic((centres[:, None] - taps) * min(scale, 1))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(n), np.arange(n)[::-1]])[taps % (2 * n)]
    return (values[..., mirrored] * weights).sum(axis=-1)


def cubic(x):
    """Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))


def imresize_2d(image, height, width):
    rows = imresize(image.double().numpy().swapaxes(-1, -2), height).swapaxes(-1, -2)
    return imresize(rows, width).clip(0, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equals_imresize_except_at_the_border(scale):
    image = random_image(scale, 2, 20 * scale, 17 * scale)
    small = imresize_2d(image, 20, 17)
    assert np.abs(reduce(image, scale).numpy() - small)[:, 2:-2, 2:-2].max() < 1e-5
    large = imresize_2d(image, 20 * scale**2, 17 * scale**2)
    inner = (slice(None), slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    assert np.abs(enlarge(image, scale).numpy() - large)[inner].max() < 1e-5


@pytest.mark.parametrize("size", [(20, 51), (7, 40), (60, 17), (13, 11)])
def test_bicubic_equals_imresize_to_any_size(size):
    image = random_image(9, 2, 30, 34)
    made, expected = bicubic(image, size), imresize_2d(image, *size)
    border = [3 * -(-new // old) for new, old in zip(size, (30, 34), strict=True)]
    inner = (slice(None), slice(border[0], -border[0]), slice(border[1], -border[1]))
    assert made.shape == (2, *size)
    assert np.abs(made.numpy() - expected)[inner].max() < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(st.integers(2, 12), st.integers(2, 12)),  # see its docstring about a single column
    batch=st.sampled_from([(), (1,), (3,)]),
    channels=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_bicubic_keeps_what_stands_in_front_of_the_size(size, batch, channels, dtype, seed):
    x = random_image(seed, *batch, channels, 8, 6).round().to(dtype)
    before = x.clone()
    y = bicubic(x, size)
    assert y.shape == (*batch, channels, *size) and y.dtype == dtype
    assert 0 <= y.min() and y.max() <= 1 and torch.equal(x, before)
    planes = torch.stack([bicubic(plane[None], size) for plane in x.reshape(-1, 8, 6)])
    assert torch.allclose(y.reshape(-1, 1, *size), planes, atol=1e-6)


def test_bicubic_is_what_reduce_and_enlarge_do():
    x = random_image(3, 3, 12, 18)
    assert torch.equal(bicubic(x, (4, 6)), reduce(x, 3)) and torch.equal(bicubic(x, (24, 36)), enlarge(x, 2))
    assert torch.allclose(bicubic(x, (12, 18)), x, atol=1e-6)
    assert bicubic(x.clone().requires_grad_(), (4, 6)).requires_grad  # it may stand inside a network


@settings(max_examples=30, deadline=None)
@given(scale=SCALES, height=SIDES, width=SIDES, batch=st.sampled_from([(), (1,), (3,)]), seed=st.integers(0, 99))
def test_shapes_ranges_and_purity(scale, height, width, batch, seed):
    x = random_image(seed, *batch, 3, height * scale, width * scale).round()  # 0 and 1: a cubic overshoots them
    before = x.clone()
    small, same = reduce(x, scale), LowResolution(scale)(x, np.random.default_rng(0))
    assert small.shape == (*batch, 3, height, width) and same.shape == x.shape
    assert torch.equal(same, enlarge(small, scale)) and torch.equal(same, LowResolution(scale)(x))
    for made in (small, same):
        assert made.dtype == torch.float32 and 0 <= made.min() and made.max() <= 1
    assert torch.equal(x, before)


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1, width=32), scale=SCALES, height=SIDES, width=SIDES)
def test_a_flat_image_stays_flat(value, scale, height, width):
    x = torch.full((1, height * scale, width * scale), value)
    for made in (reduce(x, scale), enlarge(x, scale), LowResolution(scale)(x)):
        assert (made - value).abs().max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(scale=SCALES, height=SIDES, width=SIDES, channels=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_batch_is_its_images_and_an_image_its_channels(scale, height, width, channels, seed):
    x = random_image(seed, 3, channels, height * scale, width * scale)
    y = LowResolution(scale)(x)
    assert torch.allclose(y, torch.stack([LowResolution(scale)(image) for image in x]), atol=1e-6)
    assert torch.allclose(y[:, :1], LowResolution(scale)(x[:, :1]), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(scale=SCALES, height=SIDES, width=SIDES, seed=st.integers(0, 99))
@example(scale=2, height=3, width=1, seed=0)  # a single column: PyTorch's own answer is wrong
def test_turned_and_mirrored_images_give_turned_and_mirrored_results(scale, height, width, seed):
    x = random_image(seed, 1, height * scale, width * scale)  # a shift of half a pixel would show
    for resize in (reduce, enlarge, lambda image, scale: LowResolution(scale)(image)):
        assert torch.allclose(resize(x.flip(-1), scale), resize(x, scale).flip(-1), atol=1e-5)
        assert torch.allclose(resize(x.mT, scale), resize(x, scale).mT, atol=1e-5)


def test_scale_one_changes_nothing():
    x = random_image(0, 3, 7, 5)
    assert torch.allclose(LowResolution(1)(x), x, atol=1e-6)


def test_reducing_averages_fine_detail_instead_of_folding_it_back():
    stripes = torch.zeros(1, 48, 48)
    stripes[..., ::2] = 1  # finer than any pixel of the result
    assert (reduce(stripes, 3)[..., 2:-2] - 0.5).abs().max() < 0.1


def test_more_reduction_loses_more():
    from skimage.data import astronaut

    photo = to_tensor(astronaut()[:240, 100:340])
    figures = [psnr(LowResolution(scale)(photo), photo) for scale in (2, 3, 4, 6, 8)]
    assert figures == sorted(figures, reverse=True) and figures[0] > figures[-1] + 5


@settings(max_examples=30, deadline=None)
@given(scale=SCALES, height=st.integers(5, 30), width=st.integers(5, 30), batch=st.sampled_from([(), (2,)]))
def test_cropping_keeps_the_top_left_and_as_much_as_it_can(scale, height, width, batch):
    x = torch.arange(height * width).view(1, height, width).expand(*batch, 1, height, width)
    y = crop_to_multiple(x, scale)
    rows, columns = y.shape[-2:]
    assert rows % scale == columns % scale == 0
    assert height - scale < rows <= height and width - scale < columns <= width
    assert torch.equal(y, x[..., :rows, :columns])


@pytest.mark.parametrize(("height", "width"), [(10, 9), (9, 11), (2, 2)])
def test_an_image_of_another_size_is_sent_to_be_cropped(height, width):
    x = torch.rand(3, height, width)
    for resize in (LowResolution(3), lambda x: reduce(x, 3)):
        with pytest.raises(CourseError, match=rf"{height}x{width} pixels.* by 3; crop.* crop_to_multiple\(image, 3\)"):
            resize(x)
    if height > 3:
        assert LowResolution(3)(crop_to_multiple(x, 3)).shape == (3, 9, 9)


def test_nothing_is_left_of_a_tiny_image():
    with pytest.raises(CourseError, match="10x3 pixels has no 4x4 to keep"):
        crop_to_multiple(torch.rand(3, 10, 3), 4)


@settings(max_examples=30, deadline=None)
@given(scale=SCALES, height=st.integers(5, 30), width=st.integers(5, 30), batch=st.sampled_from([(), (2,)]))
def test_a_pair_is_the_cropped_image_and_its_low_resolution(scale, height, width, batch):
    x = random_image(scale, *batch, 3, height, width)
    before = x.clone()
    degraded, clean = low_resolution_pair(x, scale)
    rows, columns = height // scale * scale, width // scale * scale
    assert torch.equal(clean, x[..., :rows, :columns]) and torch.equal(x, before)
    assert torch.equal(degraded, LowResolution(scale)(clean)) and degraded.shape == clean.shape


def test_a_pair_loses_detail_and_keeps_what_is_smooth():
    waves = [0.5 + 0.4 * torch.sin(torch.arange(60.0) * 2 * torch.pi / period) for period in (30, 2.2)]
    lost = [(low_resolution_pair(wave.expand(1, 60, 60), 3)) for wave in waves]
    smooth, fine = ((degraded - clean)[..., 9:-9, 9:-9].std() / clean.std() for degraded, clean in lost)
    assert smooth < 0.02 and 0.9 < fine < 1.1


@pytest.mark.parametrize("scale", [0, 2.0, None])
def test_a_pair_needs_a_whole_scale_and_an_image_that_holds_it(scale):
    with pytest.raises(CourseError, match=rf"scale={scale!r} is not a whole number"):
        low_resolution_pair(torch.rand(1, 9, 9), scale)
    with pytest.raises(CourseError, match="2x9 pixels has no 3x3"):
        low_resolution_pair(torch.rand(1, 2, 9), 3)


@pytest.mark.parametrize("scale", [0, -2, 0.5, 3.0, "3", None, True])
def test_wrong_scales_are_named(scale):
    x = torch.rand(3, 12, 12)
    for act in (reduce, enlarge, crop_to_multiple, lambda _, scale: LowResolution(scale)):
        with pytest.raises(CourseError, match=rf"scale={scale!r} is not a whole number of at least 1"):
            act(x, scale)


@pytest.mark.parametrize(
    "act",
    [reduce, enlarge, lambda image, scale: LowResolution(scale)(image), lambda image, scale: bicubic(image, (4, 4))],
)
@pytest.mark.parametrize(
    "bad, says",
    [
        (np.zeros((3, 8, 8), np.float32), "ndarray"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.zeros(8, 8), r"\(8, 8\)"),
        (torch.full((3, 8, 8), 1.5), "1.5"),
        (torch.full((3, 8, 8), float("nan")), "NaN"),
    ],
)
def test_wrong_images_are_named(act, bad, says):
    with pytest.raises(CourseError, match=says):
        act(bad, 2)


@pytest.mark.parametrize(("scale", "expected"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_set5_as_published(scale, expected, standard_set):
    figures, rounded = [], []
    for image in standard_set("Set5"):
        y = crop_to_multiple(quantise(luma(image)), scale)  # (1, H, W)
        figures.append(psnr(quantise(LowResolution(scale)(y)), y, border=scale))
        rounded.append(psnr(quantise(enlarge(quantise(reduce(y, scale)), scale)), y, border=scale))
    assert np.mean(figures) == pytest.approx(expected, abs=0.01)
    assert 0 < np.mean(figures) - np.mean(rounded) < 0.015  # what rounding the reduced image costs
