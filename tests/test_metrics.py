import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from course_utils.colour import rgb_to_ycbcr, ycbcr_to_rgb
from course_utils.exercises import find
from course_utils.files import CourseError
from course_utils.grading.judge import generator
from course_utils.images import quantise
from course_utils.metrics import evaluate, luma, mean_luma_error, mean_similarity, psnr, similarity, ssim, window_mean

SEEDS = st.integers(0, 2**31)


def images(seed, *shape, noise=0.1):
    """A smooth image and a noisy one."""
    generator = torch.Generator().manual_seed(seed)
    *front, height, width = shape
    flat = torch.rand(math.prod(front), 1, 4, 4, generator=generator)
    clean = F.interpolate(flat, size=(height, width), mode="bicubic").clamp(0, 1).view(shape)
    return (clean + noise * torch.randn(shape, generator=generator)).clamp(0, 1), clean


# PSNR


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 20), st.integers(1, 20))
def test_psnr_agrees_with_scikit_image(seed, height, width):
    from skimage.metrics import peak_signal_noise_ratio

    restored, clean = images(seed, 3, height, width)
    expected = peak_signal_noise_ratio(clean.double().numpy(), restored.double().numpy(), data_range=1)
    assert psnr(restored, clean) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_a_known_error():
    clean = torch.full((3, 8, 8), 0.5)
    assert psnr(clean + 0.1, clean) == pytest.approx(20, abs=1e-5)
    assert psnr(clean, clean) == math.inf


def test_psnr_of_a_batch_is_the_mean_of_its_images_and_not_of_their_errors():
    clean = torch.full((2, 3, 8, 8), 0.5)
    restored = clean.clone()
    restored[0] += 0.1  # 20 dB
    restored[1] += 0.01  # 40 dB
    assert psnr(restored, clean) == pytest.approx(30, abs=1e-4)
    restored[1] = clean[1]
    assert psnr(restored, clean) == math.inf


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.01, 0.2), st.floats(1.2, 3))
def test_more_noise_is_worse(seed, level, more):
    clean = torch.full((3, 16, 16), 0.5)
    noise = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(seed)).clamp(-0.8, 0.8)
    little, much = clean + level * noise, (clean + level * more * noise).clamp(0, 1)
    assert psnr(little, clean) > psnr(much, clean)
    assert ssim(little, clean) > ssim(much, clean)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_symmetric_and_perfect_only_for_the_same_image(seed):
    restored, clean = images(seed, 3, 14, 17)
    for metric in (psnr, ssim):
        assert metric(restored, clean) == pytest.approx(metric(clean, restored), abs=1e-12)
    assert mean_luma_error([restored], [clean]) == mean_luma_error([clean], [restored])
    assert ssim(clean, clean) == pytest.approx(1, abs=1e-12) and mean_luma_error([clean], [clean]) == 0
    assert ssim(restored, clean) < 1


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_the_border_is_shaved_on_all_sides(metric):
    restored, clean = images(1, 3, 30, 24)
    spoilt = restored.clone()
    spoilt[:, :3], spoilt[:, -3:], spoilt[:, :, :3], spoilt[:, :, -3:] = 0, 1, 0, 1
    assert metric(spoilt, clean, border=3) == metric(restored[:, 3:-3, 3:-3], clean[:, 3:-3, 3:-3])
    assert metric(spoilt, clean, border=2) != metric(restored, clean, border=2)


# SSIM


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(11, 30), st.integers(11, 30), st.sampled_from([1, 3]), st.floats(0, 0.5))
def test_ssim_agrees_with_scikit_image(seed, height, width, channels, noise):
    from skimage.metrics import structural_similarity

    restored, clean = images(seed, channels, height, width, noise=noise)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    pair = restored.double().numpy(), clean.double().numpy()
    expected = structural_similarity(*pair, channel_axis=0, **options)
    assert ssim(restored, clean) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_a_batch_is_the_mean_of_its_images():
    restored, clean = images(3, 4, 3, 15, 19)
    each = [ssim(r, c) for r, c in zip(restored, clean, strict=True)]
    assert ssim(restored, clean) == pytest.approx(np.mean(each), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(11, 30), st.integers(11, 30), st.sampled_from([1, 3]))
def test_the_map_agrees_with_scikit_image_window_by_window(seed, height, width, channels):
    from skimage.metrics import structural_similarity

    restored, clean = images(seed, 2, channels, height, width)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
    found = similarity(restored.double(), clean.double())
    assert found.shape == (2, channels, height - 10, width - 10)
    for i in range(2):
        pair = restored[i].double().numpy(), clean[i].double().numpy()
        expected = structural_similarity(*pair, channel_axis=0, **options)[1]
        np.testing.assert_allclose(found[i].numpy(), expected[:, 5:-5, 5:-5], atol=1e-9)


def test_the_ssim_of_an_image_is_the_mean_of_its_map():
    restored, clean = (image.double()[None] for image in images(4, 3, 300, 40))  # higher than a strip
    assert mean_similarity(restored, clean) == pytest.approx(similarity(restored, clean).mean().item(), abs=1e-12)


def test_windows_of_flat_images_compare_their_brightness_alone():
    x, y = (torch.full((1, 1, 11, 11), value, dtype=torch.float64) for value in (0.2, 0.6))
    assert similarity(x, y).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-9)
    assert similarity(0 * x, 0 * y).item() == 1  # and not 0 / 0


def test_window_means_are_those_of_a_gaussian():
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    expected = np.outer(weights, weights) / weights.sum() ** 2
    np.testing.assert_allclose(window_mean(point)[0, 0].numpy(), expected, atol=1e-15)
    assert (window_mean(torch.full((1, 1, 15, 13), 0.3)) - 0.3).abs().max() < 1e-6


def test_ssim_needs_a_window():
    with pytest.raises(CourseError, match="11x11 pixels, not 10x20"):
        ssim(torch.rand(3, 10, 20), torch.rand(3, 10, 20))
    with pytest.raises(CourseError, match="not 10x10"):
        ssim(torch.rand(3, 20, 20), torch.rand(3, 20, 20), border=5)


# Y and the competition's metric


def test_luma_of_black_white_and_the_primaries():
    colours = torch.tensor([[0, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 1, 0, 0, 1]]).float().view(3, 1, 5)
    expected = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    torch.testing.assert_close(255 * luma(colours).flatten(), torch.tensor(expected), atol=1e-4, rtol=0)


def test_luma_agrees_with_scikit_image():
    from skimage.color import rgb2ycbcr

    rgb = torch.rand(2, 3, 9, 7)
    expected = rgb2ycbcr(rgb.numpy(), channel_axis=1)[:, :1] / 255
    assert luma(rgb).shape == (2, 1, 9, 7)
    np.testing.assert_allclose(luma(rgb).numpy(), expected, atol=1e-6)
    assert torch.equal(luma(rgb[0]), luma(rgb)[0])


def test_mean_luma_error_is_in_grey_levels_and_blind_to_all_but_the_mean():
    _, clean = images(5, 3, 3, 16, 16)
    assert mean_luma_error(list(clean.flip(-2)), list(clean)) == pytest.approx(0, abs=1e-9)  # upside down
    grey = [luma(image).mean().sub(16 / 255).mul(255 / 219).expand(3, 16, 16) for image in clean]
    assert mean_luma_error(grey, list(clean)) < 1e-3  # one number an image
    black, white = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert mean_luma_error(white, black) == pytest.approx(219, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_mean_luma_error_agrees_with_scikit_images_y(seed, count):
    from skimage.color import rgb2ycbcr

    pairs = [images(seed + i, 3, 5 + i, 9 - i) for i in range(count)]  # of different sizes
    means = [[rgb2ycbcr(image.numpy(), channel_axis=0)[0].mean() for image in pair] for pair in pairs]
    expected = np.mean([abs(restored - clean) for restored, clean in means])
    restored, clean = zip(*pairs, strict=True)
    assert mean_luma_error(restored, clean) == pytest.approx(expected, abs=1e-4)


def test_an_image_with_one_channel_is_y_itself():
    clean = torch.full((1, 4, 4), 0.5)
    assert mean_luma_error([clean + 0.1], [clean]) == pytest.approx(25.5, abs=1e-4)
    in_colour = mean_luma_error([(clean + 0.1).expand(3, 4, 4)], [clean.expand(3, 4, 4)])
    assert in_colour == pytest.approx(25.5 * 219 / 255, abs=1e-4)


def test_mean_luma_error_is_the_mean_of_absolute_errors():
    clean = torch.full((2, 1, 4, 4), 0.5)
    restored = torch.stack([clean[0] + 0.1, clean[1] - 0.1])
    assert mean_luma_error(restored, clean) == pytest.approx(25.5, abs=1e-4)


# evaluate


def test_evaluate_measures_what_a_png_would_hold():
    restored, clean = images(7, 2, 3, 20, 30)
    scores = evaluate(restored, clean)
    rounded = quantise(restored), quantise(clean)
    assert scores["psnr"] == pytest.approx(psnr(*rounded), abs=1e-9)
    assert scores["psnr"] != psnr(restored, clean)
    assert scores["ssim"] == pytest.approx(ssim(*rounded), abs=1e-12)
    assert scores["luma_error"] == pytest.approx(mean_luma_error(*rounded), abs=1e-9)


def test_evaluate_takes_lists_of_different_sizes():
    pairs = [images(1, 3, 20, 30), images(2, 3, 18, 15)]
    scores = evaluate([r for r, _ in pairs], [c for _, c in pairs], border=2)
    each = [psnr(quantise(r), quantise(c), border=2) for r, c in pairs]
    assert scores["psnr"] == pytest.approx(sum(each) / 2)
    assert set(scores) == {"psnr", "ssim", "luma_error"}


def test_evaluate_counts():
    image = torch.rand(3, 16, 16)
    with pytest.raises(CourseError, match="1 restored images, 2 clean ones"):
        evaluate([image], [image, image])
    with pytest.raises(CourseError, match="no images"):
        evaluate([], [])


@pytest.mark.parametrize(
    "metric", [psnr, ssim, lambda r, c: evaluate([r], [c]), lambda r, c: mean_luma_error([r], [c])]
)
@pytest.mark.parametrize(
    ("restored", "message"),
    [
        (torch.rand(3, 16, 17), r"differ in shape, \(3, 16, 17\) and \(3, 16, 16\)"),
        (torch.rand(1, 16, 16), "differ in shape"),
        (torch.full((3, 16, 16), 128, dtype=torch.uint8), "torch.uint8, not float"),
        (torch.full((3, 16, 16), math.nan), "the restored image holds NaN"),
        (torch.linspace(-1, 1, 768).view(3, 16, 16), r"from -1 to 1, outside \[0, 1\]; clip it"),
    ],
)
def test_what_cannot_be_measured_is_refused(metric, restored, message):
    with pytest.raises(CourseError, match=message):
        metric(restored, torch.rand(3, 16, 16))


def test_border_leaves_something():
    image = torch.rand(3, 16, 16)
    for border in (8, 100, -1):
        with pytest.raises(CourseError, match=f"border={border} leaves no pixel of a 16x16 image|border=-1"):
            psnr(image, image, border=border)


# Published figures


def bicubic(image, size):
    """MATLAB's imresize: bicubic, with antialiasing, to 8 bits."""
    return quantise(F.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0])


@pytest.mark.parametrize(("scale", "expected"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_set5_bicubic(scale, expected, standard_set):
    results = []
    for image in standard_set("Set5"):
        y = quantise(luma(image))
        height, width = (side - side % scale for side in y.shape[-2:])
        y = y[:, :height, :width]
        small = bicubic(y, (height // scale, width // scale))
        results.append(psnr(bicubic(small, (height, width)), y, border=scale))
    assert np.mean(results) == pytest.approx(expected, abs=0.015)


# What the check says of these exercises in its later sentences: each about its own cause


def sentences(name, answer, seed):
    """The sentences of the claims that do not hold, hidden ones too, by the text of the claim."""
    exercise = find(name)
    evidence, expected = (exercise.probe(each, generator(name, seed)) for each in (answer, exercise.load_reference()))
    claims = [claim for claim in exercise.claims if not claim.holds(evidence, expected)]
    return {claim.text: claim.otherwise(evidence, expected) for claim in claims}


SWAPPED = [0, 2, 1]
ON_IMAGES = {
    "blue first": ("rgb_to_ycbcr", lambda rgb, full_range=False: rgb_to_ycbcr(rgb.flip(-3), full_range)),
    "Cr first": ("rgb_to_ycbcr", lambda rgb, full_range=False: rgb_to_ycbcr(rgb, full_range)[..., SWAPPED, :, :]),
    "always full": ("rgb_to_ycbcr", lambda rgb, full_range=False: rgb_to_ycbcr(rgb, True)),
    "blue first, back": ("ycbcr_to_rgb", lambda ycbcr, full_range=False: ycbcr_to_rgb(ycbcr, full_range).flip(-3)),
    "always full, back": ("ycbcr_to_rgb", lambda ycbcr, full_range=False: ycbcr_to_rgb(ycbcr, True)),
    "nothing known, back": ("ycbcr_to_rgb", lambda ycbcr, full_range=False: ycbcr_to_rgb(ycbcr, full_range) ** 2),
    "bilinear": (
        "bicubic",
        lambda image, size: F.interpolate(image.reshape(-1, *image.shape[-3:]), size, mode="bilinear").reshape(
            *image.shape[:-2], *size
        ),
    ),
}


@pytest.mark.parametrize("mistake", ON_IMAGES)
@pytest.mark.parametrize("seed", range(5))
def test_where_an_image_is_not_right_the_check_gives_no_advice_on_batches(mistake, seed):
    said = sentences(*ON_IMAGES[mistake], seed)
    batch = next(said[text] for text in said if "batch" in text)
    assert batch.endswith("a single image is not right yet, see above")
    assert all(word not in sentence for sentence in said.values() for word in ("count the axes", "fixed number"))
    clipped = said.get("what is no colour is clipped to [0, 1]", "")
    assert "at the very end" not in clipped and "clip the result" not in clipped


def rooted(x, y, lowest):
    """`similarity`, with the roots of the variances; below `lowest` they are clipped."""
    mean_x, mean_y = window_mean(x), window_mean(y)
    variances = [window_mean(z * z) - mean**2 for z, mean in ((x, mean_x), (y, mean_y))]
    spreads = sum(variance.clamp(min=lowest) ** 0.5 for variance in variances)
    covariance = window_mean(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    return light * (2 * covariance + 9e-4) / (spreads + 9e-4)


@pytest.mark.parametrize("lowest", [0, 1e-17, -1])
@pytest.mark.parametrize("seed", range(5))
def test_roots_of_the_variances_of_flat_images_are_named_and_the_numbers_differ(lowest, seed):
    said = sentences("similarity", lambda x, y: rooted(x, y, lowest), seed)
    for sentence in said.values():
        assert "root" in sentence and "alone" not in sentence
        if "expected" in sentence:
            found, wanted = sentence.split(" gave ")[1].split(": ")[0].split(", expected ")
            assert found != wanted
    assert len(said) >= 3


def test_each_claim_knows_of_grey_images_compared_pixel_by_pixel():
    def by_pixels(restored, clean):
        y = [[image if len(image) == 1 else luma(image) for image in images] for images in (restored, clean)]
        errors = [(r - c).abs().mean().item() for r, c in zip(*y, strict=True)]
        return 255 * sum(errors) / len(errors)

    said = sentences("mean_luma_error", by_pixels, 0)
    assert ["one by one" in sentence for sentence in said.values()] == [True, True, True, False]
