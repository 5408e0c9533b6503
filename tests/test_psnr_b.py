"""PSNR-B: what it counts, against a plain program, and the published figures."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.degrade import Jpeg
from course_utils.files import CourseError
from course_utils.metrics import neighbour_differences, psnr, psnr_b


def random_image(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(height, width, seed=0):
    """(1, height, width), flat blocks of 8x8."""
    grey = random_image(seed, 1, -(-height // 8), -(-width // 8))
    return grey.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)[:, :height, :width]


def by_hand(restored, clean):
    """As Yim and Bovik write it: sums over pairs of neighbours, one after the other; arrays (H, W)."""
    height, width = restored.shape
    sums, counts = {True: 0.0, False: 0.0}, {True: 0, False: 0}
    for row in range(height):
        for column in range(width):
            for down, across in ((1, 0), (0, 1)):
                if row + down < height and column + across < width:
                    at = (row % 8 == 7) if down else (column % 8 == 7)
                    sums[at] += (restored[row, column] - restored[row + down, column + across]) ** 2
                    counts[at] += 1
    boundary, elsewhere = (sums[at] / counts[at] for at in (True, False))
    eta = math.log2(8) / math.log2(min(height, width)) if boundary > elsewhere else 0
    return 10 * math.log10(1 / (((restored - clean) ** 2).mean() + eta * (boundary - elsewhere)))


@settings(max_examples=15, deadline=None)
@given(height=st.integers(9, 27), width=st.integers(9, 27), strength=st.floats(0, 1), seed=st.integers(0, 99))
def test_is_the_sum_over_pairs_of_neighbours(height, width, strength, seed):
    clean = random_image(seed, 1, height, width)
    restored = strength * blocks(height, width, seed) + (1 - strength) * random_image(seed + 100, 1, height, width)
    assert psnr_b(restored, clean) == pytest.approx(by_hand(restored[0].numpy(), clean[0].numpy()), abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(channels=st.sampled_from([1, 3]), side=st.integers(9, 30), seed=st.integers(0, 99))
def test_is_never_more_than_the_psnr(channels, side, seed):
    restored, clean = random_image(seed, channels, side, 20), random_image(seed + 1, channels, side, 20)
    assert psnr_b(restored, clean) <= psnr(restored, clean) + 1e-12


def test_without_edges_at_the_boundaries_it_is_the_psnr():
    ramp = torch.linspace(0, 1, 32, dtype=torch.float64).expand(1, 24, 32)
    noisy = (ramp + 0.01 * random_image(0, 1, 24, 32)).clamp(0, 1)
    noisy[..., 8::8] = noisy[..., 7:-8:8]  # equal on both sides of each boundary
    noisy[..., 8::8, :] = noisy[..., 7:-8:8, :]
    assert psnr_b(noisy, ramp) == psnr(noisy, ramp)


def test_only_the_restored_image_is_searched_for_blocks():
    blocky, plain = blocks(32, 40), random_image(1, 1, 32, 40)
    assert psnr_b(blocky, plain) < psnr(blocky, plain) - 0.5
    assert psnr_b(plain, blocky) > psnr_b(blocky, plain) + 0.5


def test_an_image_with_blocks_is_not_even_equal_to_itself():
    blocky = blocks(32, 40)
    boundary, _ = neighbour_differences(blocky[None])
    assert psnr(blocky, blocky) == math.inf
    assert psnr_b(blocky, blocky) == pytest.approx(-10 * math.log10(3 / 5 * boundary.mean().item()))


def test_flat_images_have_no_edges_at_all():
    flat = torch.full((1, 16, 16), 0.5)
    assert psnr_b(flat, flat) == math.inf
    assert psnr_b(flat + 0.1, flat) == pytest.approx(20)


def test_turning_the_image_changes_nothing():
    restored, clean = blocks(32, 40), random_image(1, 1, 32, 40)
    assert psnr_b(restored.mT, clean.mT) == pytest.approx(psnr_b(restored, clean), abs=1e-9)


def test_the_mean_of_a_batch():
    restored = torch.stack([blocks(32, 24, seed) for seed in range(3)])
    clean = random_image(4, 3, 1, 32, 24)
    each = [psnr_b(one, other) for one, other in zip(restored, clean, strict=True)]
    assert psnr_b(restored, clean) == pytest.approx(np.mean(each))


def test_neighbours_are_counted():
    boundary, elsewhere = neighbour_differences(torch.zeros(2, 3, 20, 17))
    assert boundary.shape == (2, 3 * (2 * 17 + 2 * 20))  # below rows 8 and 16, beside columns 8 and 16
    assert boundary.shape[1] + elsewhere.shape[1] == 3 * (19 * 17 + 20 * 16)
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8:, :] = 1
    boundary, elsewhere = neighbour_differences(image)
    assert boundary.sum() == 16 and elsewhere.sum() == 0


@pytest.mark.parametrize("shape", [(1, 8, 20), (1, 20, 8), (3, 1, 1)])
def test_too_small_an_image_is_named(shape):
    with pytest.raises(CourseError, match=f"{shape[1]}x{shape[2]} pixels has no boundary between 8x8 blocks"):
        psnr_b(torch.zeros(shape), torch.zeros(shape))


def test_two_shapes_are_named():
    with pytest.raises(CourseError, match="differ in shape"):
        psnr_b(torch.zeros(1, 16, 16), torch.zeros(1, 16, 17))


@pytest.mark.parametrize(("quality", "published"), [(10, 25.21), (20, 27.50), (40, 29.92)])
def test_classic5_as_published(quality, published, standard_set):
    clean = [image[:1] for image in standard_set("Classic5")]  # grey files: the three channels are equal
    found = np.mean([psnr_b(Jpeg(quality)(image), image) for image in clean])
    assert found == pytest.approx(published, abs=0.006)  # to the last digit


def test_a_grid_that_begins_elsewhere_is_not_seen(standard_set):
    clean = standard_set("Classic5")[0][:1]
    degraded = Jpeg(10)(clean)
    assert psnr_b(degraded, clean) < psnr(degraded, clean) - 1.5
    moved = psnr(degraded[:, 3:, 3:], clean[:, 3:, 3:])
    assert psnr_b(degraded[:, 3:, 3:], clean[:, 3:, 3:]) == pytest.approx(moved, abs=0.01)
