"""The cache: images are decoded once, found again by what is in them, and decoded anew when anything is wrong."""

import json
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
import types
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.data import cache as module
from course_utils.data import decode
from course_utils.data.cache import image_size, is_decoded
from course_utils.files import CourseError
from course_utils.images import read_image


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def scene(number, height=24, width=20):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path):
    """Five images, one of another size."""
    images = [write(tmp_path / "set" / f"{number:04}.png", scene(number)) for number in range(4)]
    return [*images, write(tmp_path / "set" / "wide.png", scene(4, 5, 70))]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def decoded(paths, cache):
    """What `decode` gives, which must be what is in the files."""
    arrays = decode(paths, cache, progress=False)
    for array, path in zip(arrays, paths, strict=True):
        assert np.array_equal(array, np.asarray(Image.open(path)))
    return arrays


def visible(cache):
    return sorted(path.suffix for path in cache.iterdir() if not path.name.startswith("."))


def only(cache, suffix):
    return next(path for path in cache.iterdir() if path.suffix == suffix)


def spy(monkeypatch, name):
    """A list of what is handed to a function of the module from now on."""
    real, seen = getattr(module, name), []
    monkeypatch.setattr(module, name, lambda item: [seen.append(item), real(item)][1])
    return seen


@pytest.fixture
def opened(monkeypatch):
    """What happens to the images from now on: which are read for their digest, which are decoded."""
    return types.SimpleNamespace(digests=spy(monkeypatch, "_digest"), images=spy(monkeypatch, "read_image"))


@pytest.fixture
def checksums(monkeypatch):
    """The checksums taken from now on, one an image. (Not of zlib itself: Pillow takes checksums of its own.)"""
    taken = []
    crc32 = lambda image: [taken.append(image.size), zlib.crc32(image)][1]
    monkeypatch.setattr(module, "zlib", types.SimpleNamespace(crc32=crc32))
    return taken


def later():
    """Wait until the clock of the file system, which ticks every few milliseconds, has moved on."""
    time.sleep(0.02)


def keeping_its_times(path, content):
    """Other content behind the same size and the same time of writing."""
    before = path.stat()
    later()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


# --- decoded once ----------------------------------------------------------------------------------------------------


def test_what_is_decoded(paths, cache):
    arrays = decoded(paths, cache)
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert [array.shape for array in arrays] == [(24, 20, 3)] * 4 + [(5, 70, 3)]
    assert not any(array.flags.writeable for array in arrays)
    assert visible(cache) == [".json", ".pixels", ".seen"]


def test_untouched_images_are_not_read_again(paths, cache, opened, checksums):
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)
    assert sorted(opened.images) == paths and sorted(opened.digests) == paths  # each once
    for seen in (opened.images, opened.digests, checksums):
        seen.clear()
    decoded(paths, cache)
    assert is_decoded(paths, cache, progress=False)
    assert not opened.images and not opened.digests and not checksums


def test_the_default_folder_and_no_images(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    decode(paths, progress=False)
    assert visible(tmp_path / "home" / "cache") == [".json", ".pixels", ".seen"]
    assert decode([]) == []


def test_order_choice_and_repetition_matter(paths, cache):
    decoded(paths, cache)
    decoded(paths[::-1], cache)
    decoded(paths[1:3], cache)
    decoded([paths[0], paths[4], paths[0]], cache)
    assert visible(cache).count(".pixels") == 4


def test_grey_and_transparent_images_become_three_channels(tmp_path):
    grey = write(tmp_path / "grey.png", scene(0)[..., 0])
    clear = write(tmp_path / "clear.png", np.zeros((6, 7, 4), np.uint8))
    arrays = decode([grey, clear], tmp_path / "cache", progress=False)
    assert np.array_equal(arrays[0], np.repeat(scene(0)[..., :1], 3, axis=2))
    assert arrays[1].shape == (6, 7, 3) and arrays[1].min() == 255  # on white


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8, 9])  # 9 means nothing
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_size_of_a_turned_photograph(tmp_path, suffix, orientation):
    path, exif = tmp_path / f"turned.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene(0)).save(path, exif=exif)
    assert image_size(path) == read_image(path).shape[1::-1] == ((24, 20) if orientation in (5, 6, 8) else (20, 24))


def test_a_few_images_at_a_time_are_in_memory(tmp_path, cache):
    path = write(tmp_path / "image.png", scene(0, 64, 64))
    decode([path], cache, progress=False)  # imports what it needs
    count, size = 300, 64 * 64 * 3
    tracemalloc.start()
    try:
        arrays = decode([path] * count, cache, progress=False)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(arrays) == count and np.array_equal(arrays[-1], scene(0, 64, 64))
    assert peak < count * size / 2  # 64 images and a little
    assert now < count * size / 10


# --- found by content ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copied", "moved", "renamed"])
def test_images_elsewhere_are_not_decoded_again(paths, cache, opened, how):
    decoded(paths, cache)
    opened.images.clear(), opened.digests.clear()
    if how == "renamed":
        others = [path.rename(path.with_name(f"other-{path.name}")) for path in paths]
    else:
        folder = paths[0].parent.with_name("elsewhere")
        (shutil.copytree if how == "copied" else shutil.move)(paths[0].parent, folder)
        others = [folder / path.name for path in paths]
    decoded(others, cache)
    assert sorted(opened.digests) == sorted(others) and not opened.images
    assert visible(cache) == [".json", ".pixels", ".seen", ".seen"]
    decoded(others, cache)
    assert len(opened.digests) == len(others)


def test_a_changed_file_is_decoded_anew(paths, cache):
    decoded(paths, cache)
    later()
    write(paths[2], scene(99))
    decoded(paths, cache)


def test_a_change_that_kept_size_and_time_is_noticed(tmp_path, cache):
    paths = [tmp_path / "0.bmp", tmp_path / "1.bmp"]  # the size of a BMP is that of its pixels
    for number, path in enumerate(paths):
        write(path, scene(number))
    decoded(paths, cache)
    keeping_its_times(paths[1], write(tmp_path / "2.bmp", scene(2)).read_bytes())
    assert not is_decoded(paths, cache, progress=False)
    assert np.array_equal(decoded(paths, cache)[1], scene(2))


def test_a_file_that_was_only_touched_is_not_decoded_again(paths, cache, opened):
    decoded(paths, cache)
    opened.images.clear(), opened.digests.clear()
    later()
    os.utime(paths[1])
    decoded(paths, cache)
    assert len(opened.digests) == 5 and not opened.images


def test_a_change_that_was_taken_back_is_not_decoded_again(paths, cache, opened):
    before = paths[2].read_bytes()
    decoded(paths, cache)
    later()
    write(paths[2], scene(99))
    decoded(paths, cache)
    opened.images.clear()
    paths[2].write_bytes(before)
    decoded(paths, cache)
    assert not opened.images


# --- damage ----------------------------------------------------------------------------------------------------------


def flipped(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    return bytes(content)


@pytest.mark.parametrize("part", [slice(0, 0), slice(0, 2000), slice(0, -1), slice(1, None)])
def test_pixels_that_were_cut_short_are_not_trusted(paths, cache, part):
    decoded(paths, cache)
    pixels = only(cache, ".pixels")
    pixels.write_bytes(pixels.read_bytes()[part])
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)


@pytest.mark.parametrize("place", [0, 3000, -1])
def test_a_single_wrong_bit_is_found(paths, cache, place):
    decoded(paths, cache)
    pixels = only(cache, ".pixels")
    keeping_its_times(pixels, flipped(pixels, place))
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)
    assert visible(cache) == [".json", ".pixels", ".seen"]


def test_pixels_that_were_touched_are_checked_once_and_then_trusted(paths, cache, opened, checksums):
    decoded(paths, cache)
    opened.images.clear(), checksums.clear()
    later()
    os.utime(only(cache, ".pixels"))
    decoded(paths, cache)
    assert sorted(checksums) == [5 * 70 * 3] + [24 * 20 * 3] * 4
    checksums.clear()
    decoded(paths, cache)
    assert not checksums and not opened.images


def test_a_cache_that_was_copied_is_good(paths, cache, tmp_path, opened):
    decoded(paths, cache)
    shutil.copytree(cache, tmp_path / "copy")
    opened.images.clear()
    decoded(paths, tmp_path / "copy")
    assert not opened.images


@pytest.mark.parametrize("missing", [".json", ".pixels"])
def test_half_a_cache_is_none(paths, cache, missing):
    decoded(paths, cache)
    only(cache, missing).unlink()
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)
    assert visible(cache) == [".json", ".pixels", ".seen"]


@pytest.mark.parametrize(
    "content", ["", "{", "\0" * 50, "[]", "{}", "null", "3", '"text"', '{"about": 3}', '{"hash": [], "about": {}}']
)
def test_an_index_that_is_none(paths, cache, content):
    decoded(paths, cache)
    only(cache, ".json").write_text(content)
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)


SHAPES = [
    [],
    None,
    {},
    [[24, 20]] * 4,
    [[20, 24]] * 4 + [[5, 70]],  # lying images: as many bytes
    [[24, 20], [72, 20], [5, 70]],  # three images in one: as many bytes
    [[24.0, 20.0]] * 4 + [[5.0, 70.0]],
    [[-24, -20]] * 4 + [[5, 70]],
    [["24", "20"]] * 4 + [["5", "70"]],
    [[10**30, 1]],
    [[24]],
]


@pytest.mark.parametrize("shapes", SHAPES)
def test_an_index_with_other_shapes(paths, cache, shapes):
    decoded(paths, cache)
    index = only(cache, ".json")
    content = json.loads(index.read_text())
    assert content["about"]["shapes"] == [[24, 20]] * 4 + [[5, 70]]
    content["about"]["shapes"] = shapes
    index.write_text(json.dumps(content))
    decoded(paths, cache)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two images, their cache, and what was in its files: for damage in many places."""
    folder = tmp_path_factory.mktemp("small")
    paths = [write(folder / f"{number}.png", scene(number, 4, 5 + number)) for number in range(2)]
    decoded(paths, folder / "cache")
    return paths, folder / "cache", {path: path.read_bytes() for path in (folder / "cache").glob("[!.]*")}


@settings(max_examples=40, deadline=None)
@given(part=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), suffix=st.sampled_from([".json", ".seen"]))
def test_no_wrong_byte_in_index_or_note_gives_wrong_images(small, part, value, suffix):
    paths, cache, files = small
    shutil.rmtree(cache)
    cache.mkdir()
    for path, content in files.items():
        damaged = bytearray(content)
        if path.suffix == suffix:
            damaged[int(part * len(content))] = value
        path.write_bytes(damaged)
    decoded(paths, cache)


@pytest.mark.parametrize("content", [b"", b"\0" * 32, b"\xff\xfe", b"../elsewhere", b"x" * 5000, b"0" * 32])
def test_a_note_that_is_empty_or_points_to_nothing(paths, cache, content):
    decoded(paths, cache)
    only(cache, ".seen").write_bytes(content)
    decoded(paths, cache)
    decoded(paths, cache)
    assert {path.parent for path in cache.parent.rglob("*.pixels")} == {cache}


def test_two_empty_notes_do_not_share_a_cache(paths, cache, tmp_path):
    others = [write(tmp_path / "others" / f"{number}.png", scene(10 + number)) for number in range(4)]
    others.append(write(tmp_path / "others" / "wide.png", scene(14, 5, 70)))  # as many bytes as the five
    decoded(paths, cache)
    decoded(others, cache)
    for note in cache.glob("*.seen"):
        note.write_text("")  # as a power cut may leave them
    decoded(paths, cache)
    decoded(others, cache)


# --- interrupted work ------------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(tmp_path, cache, monkeypatch):
    """A cache that stopped after 128 of 150 images; gives paths, and a list of what is decoded now."""
    paths = [write(tmp_path / "many" / f"{number:03}.png", scene(number, 8, 9)) for number in range(150)]
    real, seen, resumed = module.read_image, [], []

    def read(path):
        seen.append(path)
        if len(seen) > 140 and not resumed:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(module, "read_image", read)
    with pytest.raises(KeyboardInterrupt):
        decode(paths, cache, progress=False)
    assert visible(cache) == [".log", ".part", ".seen"]
    resumed.append(True)
    seen.clear()
    return paths, seen


def test_interrupted_work_goes_on(interrupted, cache):
    paths, seen = interrupted
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)
    assert 0 < len(seen) <= 22
    assert visible(cache) == [".json", ".pixels", ".seen"]


DAMAGE = ["zeros in the middle", "half an image more", "torn log", "no text", "no log", "no pixels"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_interruption_damaged_is_not_trusted(interrupted, cache, damage):
    paths, seen = interrupted
    part, log = only(cache, ".part"), only(cache, ".log")
    if damage == "zeros in the middle":
        content = bytearray(part.read_bytes())
        content[50 * 216 : 51 * 216] = bytes(216)
        part.write_bytes(content)
    elif damage == "half an image more":
        part.write_bytes(part.read_bytes() + bytes(100))
    elif damage == "torn log":
        log.write_text(log.read_text()[:-3])
    elif damage == "no text":
        log.write_bytes(log.read_bytes() + b"\xff\x00\n")
    else:
        (log if damage == "no log" else part).unlink()
    decoded(paths, cache)
    most = {"zeros in the middle": 100, "half an image more": 22, "torn log": 23, "no text": 22}
    assert len(seen) <= most.get(damage, 150)


def test_a_crash_just_before_the_index_is_written(paths, cache, monkeypatch):
    def crash(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "_write_index", crash)
        decode(paths, cache, progress=False)
    assert visible(cache) == [".log", ".pixels", ".seen"]
    decoded(paths, cache)
    assert visible(cache) == [".json", ".pixels", ".seen"]


# --- problems --------------------------------------------------------------------------------------------------------


def test_the_file_that_cannot_be_decoded_is_named(paths, cache):
    content = paths[3].read_bytes()
    paths[3].write_bytes(content[: len(content) // 2])
    with pytest.raises(CourseError, match=rf"{paths[3].name}: cannot be read \(.*truncated"):
        decode(paths, cache, progress=False)
    assert ".json" not in visible(cache)
    paths[3].write_bytes(content)
    decoded(paths, cache)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: None, "no such image file"),
        (lambda path: path.mkdir(), "is a folder; give an image file"),
        (lambda path: path.write_text("text"), r"cannot be read \(not an image\)"),
        (lambda path: path.write_bytes(b""), r"cannot be read \(not an image\)"),
    ],
)
def test_a_file_that_is_no_image_is_named(paths, cache, make, message):
    bad = paths[0].parent / "bad.png"
    make(bad)
    with pytest.raises(CourseError, match=rf"bad\.png:? {message}"):
        decode([*paths, bad], cache, progress=False)


def test_a_file_that_may_not_be_read_is_named(paths, cache, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open", refuse, raising=False)  # root may read everything
    with pytest.raises(CourseError, match=r"\d\.png: cannot be read \(Permission denied\); replace the file"):
        decode(paths[:4], cache, progress=False)


def test_too_little_room_is_found_before_decoding(paths, cache, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=10**8))
        patch.setattr(module, "read_image", lambda path: pytest.fail("decoded"))
        with pytest.raises(CourseError, match=r"the decoded images: 0\.0 GB needed, 0\.1 GB free"):
            decode(paths, cache, progress=False)
        assert sum(path.stat().st_size for path in cache.iterdir() if path.suffix != ".seen") == 0
    assert not is_decoded(paths, cache, progress=False)
    decoded(paths, cache)
    assert visible(cache) == [".json", ".pixels", ".seen"]


# --- two at once -----------------------------------------------------------------------------------------------------

WORK = """
import hashlib, sys, time
from pathlib import Path
from course_utils.data import cache

folder, me = Path(sys.argv[1]), sys.argv[2]
real, count = cache.read_image, []

def read(path):
    count.append(path)
    time.sleep(0.005)
    return real(path)

cache.read_image = read
paths = sorted(folder.glob("*.png"))
(folder / f"{me}.ready").touch()
while len(list(folder.glob("*.ready"))) < 2:
    time.sleep(0.002)
arrays = cache.decode(paths, folder / "cache", progress=False)
print(len(count), hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest())
"""


def test_two_processes_at_once_decode_once_and_get_the_same(tmp_path):
    images = [scene(number, 16, 16) for number in range(80)]
    paths = [write(tmp_path / f"{number:03}.png", image) for number, image in enumerate(images)]
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    processes = [subprocess.Popen([*command, me], stdout=subprocess.PIPE, text=True) for me in ("one", "other")]
    answers = [process.communicate(timeout=60)[0].split()[-2:] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(int(count) for count, _ in answers) == [0, 80]
    assert len({content for _, content in answers}) == 1
    decoded(paths, tmp_path / "cache")
