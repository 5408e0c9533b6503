"""JPEG: what two encoders agree on, what quality and subsampling do, and the published figures."""

import io

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dctn

from course_utils.degrade import Jpeg
from course_utils.degrade.jpeg import (
    LUMA_TABLE,
    bits_per_pixel,
    dct_matrix,
    from_blocks,
    quantisation_table,
    quantise_blocks,
    to_blocks,
)
from course_utils.files import CourseError
from course_utils.images import quantise, to_array, to_tensor
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


# --- Step by step ---


@pytest.mark.parametrize("quality", range(1, 101))
def test_the_table_is_the_one_in_a_file(quality):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    written = Image.open(file).quantization[0]  # Pillow has undone the zigzag order: row after row
    table = quantisation_table(quality)
    assert table.dtype == torch.int64 and table.flatten().tolist() == list(written)


def test_the_table_at_its_landmarks():
    assert torch.equal(quantisation_table(50), LUMA_TABLE)
    assert (quantisation_table(100) == 1).all() and (quantisation_table(1) == 255).all()
    tables = torch.stack([quantisation_table(quality) for quality in range(1, 101)])
    assert (tables.diff(dim=0) <= 0).all()


@pytest.mark.parametrize("quality", [0, 101, -3, 10.5, "10", None])
def test_the_table_of_a_wrong_quality_is_named(quality):
    with pytest.raises(CourseError, match="no quality of JPEG; give a whole number from 1 to 100") as caught:
        quantisation_table(quality)
    assert f"quality={quality!r}" in str(caught.value)


def test_the_waves_are_orthonormal_and_those_of_scipy():
    waves, block = dct_matrix(), random_image(0, 8, 8).double()
    assert torch.allclose(waves @ waves.T, torch.eye(8, dtype=torch.float64), atol=1e-12)
    assert np.allclose(waves @ block @ waves.T, dctn(block.numpy(), norm="ortho"))


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), batch=st.sampled_from([(1,), (2, 1), (2, 3)]))
def test_blocks_come_back_together(height, width, batch):
    x = random_image(1, *batch, height, width)
    blocks = to_blocks(x)
    assert blocks.shape == (*batch, -(-height // 8), -(-width // 8), 8, 8) and blocks.dtype == torch.float64
    assert torch.equal(from_blocks(blocks, height, width), x)
    assert torch.equal(blocks[..., -1, -1, -1, -1], x[..., -1, -1].double())  # the edge is repeated


def grey_of(photo):
    return quantise(luma(photo)[:, 60:181, 20:171])  # 121 x 151: no multiples of 8


@pytest.mark.parametrize("quality", [5, 10, 20, 40, 75, 90, 100])
def test_pillow_makes_nearly_the_same_image(quality, photo):
    x = grey_of(photo)
    ours, pillow = quantise_blocks(x, quality), Jpeg(quality)(x)
    off = 255 * (quantise(ours) - pillow).abs()
    assert (off <= 2.5).float().mean() > 0.97  # the rest: blocks where a frequency lay halfway between two steps
    assert psnr(ours, x) == pytest.approx(psnr(pillow, x), abs=0.1 if quality < 95 else 2)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), quality=st.integers(1, 100), seed=st.integers(0, 99))
def test_keeps_shape_and_range_and_is_pure_step_by_step(height, width, quality, seed):
    x = random_image(seed, 2, 1, height, width)
    before = x.clone()
    y = quantise_blocks(x, quality)
    assert y.shape == x.shape and y.dtype == torch.float32 and 0 <= y.min() and y.max() <= 1
    assert torch.equal(x, before)
    assert torch.equal(y, torch.stack([quantise_blocks(image, quality) for image in x]))


def test_frequencies_become_multiples_of_the_table():
    y = quantise_blocks(0.3 + 0.4 * random_image(0, 1, 16, 24), 30)  # far from black and white: nothing is clipped
    waves = dct_matrix()
    steps = waves @ (255 * to_blocks(y) - 128) @ waves.T / quantisation_table(30)
    assert torch.allclose(steps, steps.round(), atol=1e-4)


def test_a_second_time_changes_nothing():
    y = quantise_blocks(0.3 + 0.4 * random_image(0, 1, 16, 24), 30)
    assert torch.allclose(quantise_blocks(y, 30), y, atol=1e-5)


@pytest.mark.parametrize("bad, says", [(torch.zeros(3, 8, 8), "give Y alone"), (torch.full((1, 8, 8), 2.0), "outside")])
def test_wrong_images_are_named_step_by_step(bad, says):
    with pytest.raises(CourseError, match=says):
        quantise_blocks(bad, 10)


def test_classic5_step_by_step(standard_set):
    clean = [image[:1] for image in standard_set("Classic5")]
    for quality, decibels in ((10, 27.82), (20, 30.12), (40, 32.43)):
        found = np.mean([psnr(quantise(quantise_blocks(image, quality)), image) for image in clean])
        assert found == pytest.approx(decibels, abs=0.01)


def test_the_size_of_a_file(photo):
    sizes = [bits_per_pixel(photo, quality) for quality in (5, 10, 40, 90)]
    assert sizes == sorted(sizes) and 0 < sizes[0] and sizes[-1] < 24
    assert bits_per_pixel(photo, 90, "4:2:0") < bits_per_pixel(photo, 90, "4:4:4")
    file = io.BytesIO()
    Image.fromarray(to_array(photo[:1])[..., 0]).save(file, "JPEG", quality=40)
    assert bits_per_pixel(photo[:1], 40) == 8 * len(file.getvalue()) / 40_000


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 3, 8, 8)])
def test_the_size_of_what_is_no_image_is_named(shape):
    with pytest.raises(CourseError, match="takes one image"):
        bits_per_pixel(torch.zeros(shape), 10)
