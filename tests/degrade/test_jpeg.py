"""JPEG: what two encoders agree on, what quality and subsampling do, and the published figures."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from course_utils.degrade import Jpeg
from course_utils.files import CourseError
from course_utils.images import to_array, to_tensor
from course_utils.metrics import luma, psnr, ssim

SAMPLING = {"4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420}


def rng(seed=0):
    return np.random.default_rng(seed)


def random_image(seed, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def photo():
    from skimage.data import astronaut

    return to_tensor(astronaut()[:200, 100:300])


@pytest.mark.parametrize("degrade", [Jpeg(), Jpeg(75, "4:4:4"), Jpeg((5, 95))], ids=str)
@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    batch=st.sampled_from([(), (1,), (2,)]),
    seed=st.integers(0, 99),
)
def test_keeps_shape_type_and_range_and_is_pure(degrade, height, width, channels, batch, seed):
    x = random_image(seed, *batch, channels, height, width)
    before, state, torch_state = x.clone(), np.random.get_state()[1].copy(), torch.get_rng_state()
    y = degrade(x, rng(seed))
    assert y.shape == x.shape and y.dtype == torch.float32
    assert 0 <= y.min() and y.max() <= 1
    assert torch.allclose(y * 255, (y * 255).round(), atol=1e-4)  # a decoded file has 256 levels
    assert torch.equal(x, before)
    assert torch.equal(y, degrade(x, rng(seed)))
    assert np.array_equal(np.random.get_state()[1], state) and torch.equal(torch.get_rng_state(), torch_state)


@settings(max_examples=20, deadline=None)
@given(quality=st.integers(1, 100), subsampling=st.sampled_from(sorted(SAMPLING)), seed=st.integers(0, 99))
@example(quality=1, subsampling="4:2:0", seed=0)
@example(quality=100, subsampling="4:4:4", seed=0)
def test_opencv_makes_the_same_image(quality, subsampling, seed):
    x = random_image(seed, 3, 37, 43)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLING[subsampling]]
    _, file = cv2.imencode(".jpg", to_array(x)[..., ::-1], options)
    colour = cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(to_array(Jpeg(quality, subsampling)(x)).astype(int) - colour).max() <= 2  # decoders may round
    _, file = cv2.imencode(".jpg", to_array(x[:1]), options[:2])
    grey = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    assert np.abs(to_array(Jpeg(quality, subsampling)(x[:1]))[..., 0].astype(int) - grey).max() <= 2


def test_higher_quality_is_nearer(photo):
    for image in (photo, photo[:1]):
        figures = [psnr(Jpeg(quality)(image), image) for quality in (5, 10, 20, 40, 70, 90, 100)]
        assert figures == sorted(figures) and figures[-1] > figures[0] + 10


@settings(max_examples=40, deadline=None)
@given(level=st.integers(0, 255), quality=st.integers(1, 100), channels=st.sampled_from([1, 3]))
def test_a_flat_grey_image_stays_flat_and_near(level, quality, channels):
    y = Jpeg(quality)(torch.full((channels, 20, 20), level / 255))
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    step = np.clip((16 * scale + 50) // 100, 1, 255) / 8  # ITU-T T.81 table K.1: how coarsely means are rounded
    assert y.min() == y.max()
    assert abs(y[0, 0, 0].item() * 255 - level) <= step / 2 + 1


def test_blocks_do_not_see_each_other():
    x = random_image(0, 1, 16, 24)
    changed = x.clone()
    changed[:, 8:, 8:16] = 0
    same = (Jpeg(30)(x) == Jpeg(30)(changed))[0]
    assert same[:8].all() and same[8:, :8].all() and same[8:, 16:].all() and not same[8:, 8:16].all()


def test_subsampling_costs_colour_and_no_luma(photo):
    full, half = Jpeg(90, "4:4:4")(photo), Jpeg(90, "4:2:0")(photo)
    assert psnr(full, photo) > psnr(half, photo) + 0.5
    assert psnr(luma(full), luma(photo)) == pytest.approx(psnr(luma(half), luma(photo)), abs=0.1)


def test_a_grey_image_has_no_colour_to_halve(photo):
    assert torch.equal(Jpeg(20, "4:2:0")(photo[:1]), Jpeg(20, "4:4:4")(photo[:1]))


@pytest.mark.parametrize("degrade", [Jpeg(30), Jpeg((5, 95))], ids=str)
def test_a_batch_is_its_images_one_after_the_other(degrade):
    batch, one, other = random_image(3, 4, 3, 24, 17), rng(7), rng(7)
    assert torch.equal(degrade(batch, one), torch.stack([degrade(image, other) for image in batch]))


def test_a_drawn_quality_lies_between_the_two_and_reaches_both(photo):
    image = photo[:1, 60:92, 60:92]
    made = {quality: Jpeg(quality)(image) for quality in (40, 41, 42)}
    drawn = Jpeg((40, 42))(image.expand(40, -1, -1, -1), rng())
    found = [next(quality for quality, y in made.items() if torch.equal(y, each)) for each in drawn]
    assert set(found) == {40, 41, 42}


def test_a_generator_is_needed_only_to_draw(photo):
    assert torch.equal(Jpeg(10)(photo), Jpeg((10, 10))(photo, None))
    for missing in (None, 0):
        with pytest.raises(CourseError, match=rf"{type(missing).__name__}.*default_rng"):
            Jpeg((10, 11))(photo, missing)


@pytest.mark.parametrize("quality", [0, 101, -5, 10.0, 0.5, True, None, "10", (20, 10), (0, 50), (50, 101), (1, 2, 3)])
def test_wrong_qualities_are_named(quality):
    with pytest.raises(CourseError, match="no quality of JPEG; give a whole number from 1 to 100") as caught:
        Jpeg(quality)
    assert f"quality={quality!r}" in str(caught.value)


@pytest.mark.parametrize("subsampling", ["4:2:2", "420", 0, None])
def test_wrong_subsamplings_are_named(subsampling):
    with pytest.raises(CourseError, match=f"subsampling={subsampling!r} is unknown; give 4:4:4 or 4:2:0"):
        Jpeg(10, subsampling)


@pytest.mark.parametrize(
    "bad, says",
    [
        (np.zeros((3, 8, 8), np.float32), "ndarray"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.zeros(2, 8, 8), r"1 channel \(grey\) or 3 \(RGB\), not the shape \(2, 8, 8\)"),
        (torch.zeros(8, 8), r"\(8, 8\)"),
        (torch.full((3, 8, 8), 1.5), "1.5"),
        (torch.full((3, 8, 8), float("nan")), "NaN"),
    ],
)
def test_wrong_images_are_named(bad, says):
    with pytest.raises(CourseError, match=says):
        Jpeg(10)(bad)


@pytest.mark.parametrize(
    ("quality", "decibels", "similarity"), [(10, 27.82, 0.7595), (20, 30.12, 0.8344), (40, 32.43, 0.8849)]
)
def test_classic5_as_published(quality, decibels, similarity, standard_set):
    clean = [image[:1] for image in standard_set("Classic5")]  # grey files: the three channels are equal
    degraded = [Jpeg(quality)(image) for image in clean]
    pairs = list(zip(degraded, clean, strict=True))
    assert np.mean([psnr(y, x) for y, x in pairs]) == pytest.approx(decibels, abs=0.01)
    assert np.mean([ssim(y, x) for y, x in pairs]) == pytest.approx(similarity, abs=0.0005)


def test_kodak_with_and_without_full_colour(standard_set):
    clean = standard_set("Kodak24")
    rgb, y = {}, {}
    for subsampling in SAMPLING:
        pairs = [(Jpeg(90, subsampling)(image), image) for image in clean]
        rgb[subsampling] = np.mean([psnr(made, image) for made, image in pairs])
        y[subsampling] = np.mean([psnr(luma(made), luma(image)) for made, image in pairs])
    assert rgb == {"4:4:4": pytest.approx(38.98, abs=0.02), "4:2:0": pytest.approx(37.87, abs=0.02)}
    assert y == {"4:4:4": pytest.approx(41.54, abs=0.02), "4:2:0": pytest.approx(41.52, abs=0.02)}
