import os
import stat

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.files import CourseError, atomic
from course_utils.images import check_image, quantise, read_image, to_array, to_tensor, write_image

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_lossless_files_come_back_as_written(tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", to_tensor(PIXELS))
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), PIXELS)


def test_grey_is_written_as_grey_and_read_as_rgb(tmp_path):
    write_image(tmp_path / "a.png", to_tensor(PIXELS)[:1])
    assert Image.open(tmp_path / "a.png").mode == "L"
    assert np.array_equal(read_image(tmp_path / "a.png"), PIXELS[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_every_mode_of_pillow_is_read_as_rgb(tmp_path, mode):
    image = Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode)
    image.save(tmp_path / "a.png")
    for array in (read_image(tmp_path / "a.png"), to_array(to_tensor(image))):
        assert array.shape[:2] == (4, 5)
        assert (array == 255).all()


def test_palette_image_is_converted_not_taken_as_indices():
    image = Image.new("RGB", (5, 4), (204, 102, 51)).convert("P")
    assert to_array(to_tensor(image))[0, 0].tolist() == [204, 102, 51]


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    Image.fromarray(np.full((4, 5), 200 * 257, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 200).all()


def test_transparent_is_white(tmp_path):
    Image.new("RGBA", (5, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_truncated_file_is_named(tmp_path, suffix):
    path = tmp_path / f"page{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for length in (0, 7, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(CourseError, match=f"page{suffix}: cannot be read"):
            read_image(path)


def test_missing_file_folder_and_text(tmp_path):
    with pytest.raises(CourseError, match=r"none.png: no such image file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(CourseError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(CourseError, match="not an image"):
        read_image(tmp_path / "notes.png")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5, 3), np.float32), "not float32"),
        (np.zeros((2, 4, 5, 3), np.uint8), "one by one"),
        (torch.zeros(2, 3, 4, 5), "one by one"),
        (torch.zeros(2, 4, 5), "1, 3 or 4 channels"),
        (torch.zeros(4, 5), "takes"),
        (torch.full((3, 4, 5), 200, dtype=torch.uint8), "divide a uint8 tensor by 255"),
        (torch.full((3, 4, 5), float("nan")), "NaN"),
    ],
)
def test_what_is_no_image_is_not_written(tmp_path, image, message):
    with pytest.raises(CourseError, match=message):
        write_image(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


def test_unknown_suffix(tmp_path):
    with pytest.raises(CourseError, match="change the suffix"):
        write_image(tmp_path / "a.xyz", to_tensor(PIXELS))


def test_to_tensor_shapes_and_range():
    assert to_tensor(PIXELS).shape == (3, 7, 5)
    assert to_tensor(PIXELS[..., 0]).shape == (1, 7, 5)
    assert to_tensor(PIXELS[None]).shape == (1, 3, 7, 5)
    assert to_tensor(PIXELS).dtype == torch.float32
    assert to_tensor(np.array([[0, 255]], np.uint8)).flatten().tolist() == [0, 1]
    with pytest.raises(CourseError, match="not float64"):
        to_tensor(np.zeros((4, 5, 3)))
    with pytest.raises(CourseError, match=r"\(2, 2, 4, 5, 3\)"):
        to_tensor(np.zeros((2, 2, 4, 5, 3), np.uint8))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])))
def test_bytes_survive_the_way_to_a_tensor_and_back(seed, shape):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(to_array(to_tensor(array)), array)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_quantise_is_what_a_file_would_hold(seed):
    image = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 1.4 - 0.2
    assert torch.equal(quantise(image), to_tensor(to_array(image)))
    assert torch.equal(quantise(quantise(image)), quantise(image))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 4, 5)), "is a ndarray, not a tensor"),
        (torch.zeros(3, 4, 5, dtype=torch.uint8), "is torch.uint8, not float"),
        (torch.zeros(4, 5), r"has the shape \(4, 5\)"),
        (torch.zeros(3, 0, 5), r"has the shape \(3, 0, 5\)"),
        (torch.full((3, 4, 5), float("nan")), "holds NaN"),
        (torch.full((3, 4, 5), float("inf")), "outside"),
        (torch.full((3, 4, 5), -1.0), r"from -1 to -1, outside \[0, 1\]; clip it"),
        (torch.full((3, 4, 5), 255.0), "from 255 to 255"),
    ],
)
def test_check_image_says_what_is_wrong(image, message):
    with pytest.raises(CourseError, match=f"the scan {message}|the scan has values {message}|the scan .*{message}"):
        check_image(image, "the scan")


def test_check_image_lets_rounding_pass():
    check_image(torch.tensor([[[-0.0005, 1.0005]]]))


def test_atomic_keeps_the_old_file_when_the_writer_fails(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions as on Unix")
def test_atomic_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    with atomic(tmp_path / "a") as temporary:
        temporary.write_text("")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "plain")}
    assert len(modes) == 1
