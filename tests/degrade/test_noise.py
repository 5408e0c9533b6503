"""Gaussian noise: as strong as told, white, Gaussian, drawn from the generator alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.degrade import GaussianNoise
from course_utils.files import CourseError
from course_utils.images import check_image
from course_utils.metrics import psnr


def rng(seed=0):
    return np.random.default_rng(seed)


def grey(*shape):
    return torch.full(shape, 0.5)


@pytest.mark.parametrize("degrade", [GaussianNoise(), GaussianNoise((0, 55)), GaussianNoise(15, clip=False)], ids=str)
@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    channels=st.sampled_from([1, 3]),
    batch=st.sampled_from([(), (1,), (2,)]),
    seed=st.integers(0, 99),
)
def test_keeps_shape_and_type_and_is_pure(degrade, height, width, channels, batch, seed):
    x = torch.rand((*batch, channels, height, width), generator=torch.Generator().manual_seed(seed))
    before, state, torch_state = x.clone(), np.random.get_state()[1].copy(), torch.get_rng_state()
    y = degrade(x, rng(seed))
    assert y.shape == x.shape and y.dtype == torch.float32
    assert torch.equal(x, before) and not torch.equal(x, y)
    assert torch.equal(y, degrade(x, rng(seed)))
    assert not torch.equal(y, degrade(x, rng(seed + 1)))
    assert np.array_equal(np.random.get_state()[1], state) and torch.equal(torch.get_rng_state(), torch_state)


@settings(max_examples=15, deadline=None)
@given(sigma=st.floats(1, 40), seed=st.integers(0, 99))
def test_the_noise_is_gaussian_and_as_strong_as_told(sigma, seed):
    x = grey(1, 200, 200)
    noise = (GaussianNoise(sigma, clip=False)(x, rng(seed)) - x).double() * 255
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)  # 40,000 draws: five standard errors
    assert abs(noise.mean().item()) < 0.025 * sigma
    for multiple, share in ((1, 0.6827), (2, 0.9545)):  # of the normal distribution
        assert (noise.abs() < multiple * sigma).double().mean().item() == pytest.approx(share, abs=0.012)


def test_the_noise_is_white_and_the_same_whatever_the_pixel():
    x = torch.zeros(3, 200, 200)
    x[:, 100:] = 1
    noise = GaussianNoise(25, clip=False)(x, rng()) - x
    assert noise[:, :100].std().item() == pytest.approx(noise[:, 100:].std().item(), rel=0.03)
    red, green, blue = noise
    neighbours = [(red, green), (green, blue), (noise[:, 1:], noise[:, :-1]), (noise[..., 1:], noise[..., :-1])]
    for one, other in neighbours:
        assert abs(np.corrcoef(one.flatten(), other.flatten())[0, 1]) < 0.025


def test_clipping_cuts_the_same_noise_to_the_range_that_the_kit_takes():
    x = torch.rand(3, 50, 50, generator=torch.Generator().manual_seed(0))
    clipped, free = GaussianNoise(50)(x, rng()), GaussianNoise(50, clip=False)(x, rng())
    assert free.min() < -0.05 and free.max() > 1.05
    assert torch.equal(clipped, free.clamp(0, 1))
    check_image(clipped)
    assert psnr(clipped, x) > -10 * np.log10((free - x).square().mean().item())


def test_without_strength_nothing_changes():
    x = torch.rand(3, 9, 9)
    assert torch.equal(GaussianNoise(0)(x, rng()), x)


@pytest.mark.parametrize("degrade", [GaussianNoise(25), GaussianNoise((0, 55))], ids=str)
def test_a_batch_is_its_images_one_after_the_other(degrade):
    batch, one, other = grey(4, 3, 12, 17), rng(7), rng(7)
    y = degrade(batch, one)
    assert torch.equal(y, torch.stack([degrade(image, other) for image in batch]))
    assert not torch.equal(y[0], y[1])


def test_each_image_draws_a_strength_between_the_two():
    y = GaussianNoise((10, 30), clip=False)(grey(60, 1, 64, 64), rng())
    strengths = (y - 0.5).std(dim=(1, 2, 3)) * 255
    assert 10 * 0.95 < strengths.min() < 13 and 27 < strengths.max() < 30 * 1.05
    assert strengths.mean().item() == pytest.approx(20, abs=3)


@pytest.mark.parametrize(
    "sigma", [-1, 256, float("nan"), float("inf"), None, "25", True, (30, 10), (0, 300), (1, 2, 3)]
)
def test_wrong_strengths_are_named(sigma):
    with pytest.raises(CourseError, match="no strength of noise; give grey levels from 0 to 255") as caught:
        GaussianNoise(sigma)
    assert f"sigma={sigma!r}" in str(caught.value)


@pytest.mark.parametrize("missing", [None, 0, np.random.RandomState(0)])
def test_a_seed_is_not_a_generator(missing):
    with pytest.raises(CourseError, match=rf"{type(missing).__name__}.*default_rng"):
        GaussianNoise(25)(grey(3, 8, 8), missing)


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
def test_wrong_images_are_named(bad, says):
    with pytest.raises(CourseError, match=says):
        GaussianNoise(25)(bad, rng())


@pytest.mark.parametrize(("sigma", "clipped"), [(15, 24.67), (25, 20.33), (50, 14.76)])
def test_set12_with_and_without_clipping(sigma, clipped, standard_set):
    draws, kind, free = rng(), [], []
    for image in standard_set("Set12"):
        clean = image[:1]  # a grey file: the three channels are equal
        noisy = GaussianNoise(sigma, clip=False)(clean, draws)
        free.append(-10 * np.log10((noisy - clean).square().mean().item()))
        kind.append(psnr(noisy.clamp(0, 1), clean))
    assert np.mean(free) == pytest.approx(20 * np.log10(255 / sigma), abs=0.02)
    assert np.mean(kind) == pytest.approx(clipped, abs=0.02)
