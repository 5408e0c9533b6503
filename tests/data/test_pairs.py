"""Pairs: matched by name, checked before training, parted for validation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.data import PairedImages, check_pairs, hold_out, match_pairs, pairs_in, training_pairs
from course_utils.files import CourseError


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def scene(number, height=24, width=20):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_folder(folder, count=5, height=24, width=20):
    """Pairs in which the scan is the negative of the original."""
    for number in range(count):
        image = scene(number, height, width)
        write(folder / "clean" / f"{number:04}.png", image)
        write(folder / "scan" / f"{number:04}.png", 255 - image)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set")


# --- matching --------------------------------------------------------------------------------------------------------


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def matched(tmp_path, clean, scan):
    pairs = match_pairs(touch(tmp_path / "clean", *clean), touch(tmp_path / "scan", *scan))
    return [(clean.name, scan.name) for clean, scan in pairs]


def test_pairs_are_sorted_and_other_files_are_ignored(tmp_path):
    clean = ["b.png", "a.png", ".DS_Store", "._a.png", "notes.txt"]
    assert matched(tmp_path, clean, ["b.JPG", "a.png", "Thumbs.db"]) == [("a.png", "a.png"), ("b.png", "b.JPG")]


def test_the_two_forms_of_a_korean_name_are_one(tmp_path):
    assert len(matched(tmp_path, ["\ud55c.png"], ["\u1112\u1161\u11ab.png"])) == 1


@pytest.mark.parametrize(
    "clean, scan, message",
    [
        (["1.png"], ["1.png", "2.png"], "scan/2.png has no partner in clean/ (2 scans, 1 originals); add it or remove"),
        (["1.png", "2.png"], ["1.png"], "clean/2.png has no partner in scan/ (1 scans, 2 originals); add it or remove"),
        (["1.png"], ["1.png", "3.png", "2.png"], "scan/2.png has no partner in clean/ (3 scans, 1 orig"),
        (["1.png", "1.jpg"], ["1.png"], "1.png and 1.jpg have one name for two images"),
        (["1.png"], [], "scan holds no images"),
        (["1.txt"], ["1.png"], "clean holds no images"),
    ],
)
def test_what_does_not_match(tmp_path, clean, scan, message):
    with pytest.raises(CourseError) as error:
        matched(tmp_path, clean, scan)
    assert message in str(error.value)


def test_the_message_of_the_design(tmp_path):
    names = [f"{number:04}.png" for number in range(1200)]
    with pytest.raises(CourseError) as error:
        matched(tmp_path, [name for name in names if name != "0412.png"], names)
    expected = "scan/0412.png has no partner in clean/ (1,200 scans, 1,199 originals); add it or remove the scan"
    assert str(error.value) == expected


def test_a_missing_folder(tmp_path):
    with pytest.raises(CourseError, match=r"clean: no such folder"):
        match_pairs(tmp_path / "clean", touch(tmp_path / "scan", "1.png"))


# --- checking --------------------------------------------------------------------------------------------------------


def test_two_sizes(folder):
    write(folder / "scan" / "0003.png", scene(3, 10, 20))
    with pytest.raises(CourseError, match=r"scan/0003\.png is 20x10 but .*clean/0003\.png is 20x24"):
        check_pairs(match_pairs(folder / "clean", folder / "scan"))


def test_an_unreadable_header(folder):
    (folder / "scan" / "0003.png").write_bytes(b"not an image")
    with pytest.raises(CourseError, match=r"scan/0003\.png: cannot be read"):
        check_pairs(match_pairs(folder / "clean", folder / "scan"))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_a_turned_photograph_has_its_upright_size(folder, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "scan" / "0003.png").unlink()
    Image.fromarray(scene(3, 20, 24)).save(folder / "scan" / f"0003.{suffix}", exif=exif)
    pairs = match_pairs(folder / "clean", folder / "scan")
    check_pairs(pairs)
    assert PairedImages(pairs)[3][0].shape == (3, 24, 20)


def test_only_headers_are_read(folder):
    content = (folder / "scan" / "0003.png").read_bytes()
    (folder / "scan" / "0003.png").write_bytes(content[: len(content) // 2])
    assert len(pairs_in(folder)) == 5


# --- what to train on, what to validate with --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 60), every=st.integers(2, 20))
def test_hold_out_parts_all_pairs_and_leaves_none_empty(count, every):
    numbered = list(range(count))
    training, validation = hold_out(numbered, every)
    assert sorted(training + validation) == numbered
    assert training and validation and len(validation) <= max(1, count / every)


def test_a_single_pair_cannot_be_parted():
    with pytest.raises(CourseError, match="1 pair cannot be parted"):
        hold_out([("clean.png", "scan.png")])


def numbers_of(pairs):
    return [int(clean.stem) for clean, scan in pairs if clean.name == scan.name]


def test_training_pairs_of_a_folder(tmp_path):
    def fill(folder, numbers):
        for kind in ("clean", "scan"):
            (tmp_path / folder / kind).mkdir(parents=True)
            for i in numbers:
                Image.new("RGB", (8, 8)).save(tmp_path / folder / kind / f"{i:02d}.png")

    fill("plain", range(20))
    training, validation = training_pairs(tmp_path / "plain")
    assert numbers_of(validation) == [9, 19] and len(training) == 18
    fill("set/train", range(10))
    assert numbers_of(training_pairs(tmp_path / "set")[1]) == [9]
    fill("set/valid", [50, 51])
    training, validation = training_pairs(tmp_path / "set")
    assert numbers_of(training) == list(range(10)) and numbers_of(validation) == [50, 51]
    with pytest.raises(CourseError, match="nowhere: no such data set; give pages, descan"):
        training_pairs("nowhere")


def test_whole_pairs_are_degraded_then_clean(tmp_path):
    for kind, colour in (("clean", "white"), ("scan", "black")):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (6, 4), colour).save(tmp_path / kind / "1.png")
    images = PairedImages(pairs_in(tmp_path))
    degraded, clean = images[0]
    assert len(images) == 1 and degraded.shape == clean.shape == (3, 4, 6)
    assert degraded.max() == 0 and clean.min() == 1
