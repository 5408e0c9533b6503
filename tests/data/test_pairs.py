"""Pairs: matched by name, checked before training, decoded once, and cut alike."""

import json
import pickle
import types

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.data import (
    PairedImages,
    PairedPatches,
    check_pairs,
    decode,
    hold_out,
    match_pairs,
    pairs_in,
    random_patch,
    training_pairs,
)
from course_utils.data import pairs as module
from course_utils.files import CourseError


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def scene(number, height=24, width=20):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_folder(folder, count=5, height=24, width=20):
    """Pairs in which the scan is the negative of the original: whatever is cut from both must still be one."""
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


def test_a_turned_photograph_has_its_upright_size(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(3, 20, 24)).save(folder / "scan" / "0003.jpg", exif=exif)
    (folder / "scan" / "0003.png").unlink()
    pairs = match_pairs(folder / "clean", folder / "scan")
    check_pairs(pairs)
    assert decode([pairs[3][1]], folder / "cache")[0].shape == (24, 20, 3)


# --- the cache -------------------------------------------------------------------------------------------------------


def files(folder):
    return sorted(folder.rglob("*.png"))


def same(arrays, paths):
    return all(np.array_equal(array, np.asarray(Image.open(path))) for array, path in zip(arrays, paths, strict=True))


def visible(cache):
    return sorted(path.suffix for path in cache.iterdir() if not path.name.startswith("."))


def test_decoded_once(folder, tmp_path, monkeypatch):
    write(folder / "clean" / "wide.png", scene(9, 5, 70))
    paths = files(folder)
    arrays = decode(paths, tmp_path / "cache", progress=False)
    assert same(arrays, paths)
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert not arrays[0].flags.writeable
    assert visible(tmp_path / "cache") == [".json", ".pixels"]
    monkeypatch.setattr(module, "read_image", lambda path: pytest.fail("decoded again"))
    assert same(decode(paths, tmp_path / "cache", progress=False), paths)


def test_the_default_folder_and_no_images(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    decode(files(folder), progress=False)
    assert visible(tmp_path / "home" / "cache") == [".json", ".pixels"]
    assert decode([]) == []


def test_a_changed_file_is_decoded_anew(folder, tmp_path):
    paths = files(folder)
    decode(paths, tmp_path, progress=False)
    write(paths[2], scene(99))
    assert same(decode(paths, tmp_path, progress=False), paths)


def test_grey_and_transparent_images_become_three_channels(tmp_path):
    grey = write(tmp_path / "grey.png", scene(0)[..., 0])
    clear = write(tmp_path / "clear.png", np.zeros((6, 7, 4), np.uint8))
    arrays = decode([grey, clear], tmp_path / "cache", progress=False)
    assert np.array_equal(arrays[0], np.repeat(scene(0)[..., :1], 3, axis=2))
    assert arrays[1].shape == (6, 7, 3) and arrays[1].min() == 255  # on white


def test_a_truncated_image_is_named(folder, tmp_path):
    paths = files(folder)
    content = paths[3].read_bytes()
    paths[3].write_bytes(content[: len(content) // 2])
    with pytest.raises(CourseError, match=rf"{paths[3].name}: cannot be read \(.*truncated"):
        decode(paths, tmp_path / "cache", progress=False)
    assert ".json" not in visible(tmp_path / "cache")
    with pytest.raises(CourseError, match="no such image file"):
        decode([folder / "none.png"], tmp_path / "cache")


@pytest.fixture
def interrupted(folder, tmp_path, monkeypatch):
    """A cache that stopped after 128 of 150 images; gives paths, cache, and a list of what is decoded now."""
    paths = [write(tmp_path / "many" / f"{number:03}.png", scene(number, 8, 9)) for number in range(150)]
    real, decoded = module.read_image, []

    def read(path):
        decoded.append(path)
        if len(decoded) > 140 and not resumed:
            raise KeyboardInterrupt
        return real(path)

    resumed = []
    monkeypatch.setattr(module, "read_image", read)
    with pytest.raises(KeyboardInterrupt):
        decode(paths, tmp_path / "cache", progress=False)
    assert ".json" not in visible(tmp_path / "cache")
    resumed.append(True)
    decoded.clear()
    return paths, tmp_path / "cache", decoded


def only(cache, suffix):
    return next(path for path in cache.iterdir() if path.suffix == suffix)


def test_interrupted_work_goes_on(interrupted):
    paths, cache, decoded = interrupted
    assert same(decode(paths, cache, progress=False), paths)
    assert 0 < len(decoded) <= 22
    assert visible(cache) == [".json", ".pixels"]


@pytest.mark.parametrize("damage", ["zeros in the middle", "half an image more", "torn log", "no log", "no pixels"])
def test_what_interruption_damaged_is_not_trusted(interrupted, damage):
    paths, cache, decoded = interrupted
    part, log = only(cache, ".part"), only(cache, ".log")
    if damage == "zeros in the middle":
        content = bytearray(part.read_bytes())
        content[50 * 216 : 51 * 216] = bytes(216)
        part.write_bytes(content)
    elif damage == "half an image more":
        part.write_bytes(part.read_bytes() + bytes(100))
    elif damage == "torn log":
        log.write_text(log.read_text()[:-3])
    else:
        (log if damage == "no log" else part).unlink()
    assert same(decode(paths, cache, progress=False), paths)
    assert len(decoded) <= {"zeros in the middle": 100, "half an image more": 22, "torn log": 23}.get(damage, 150)


def test_pixels_that_were_cut_short_are_not_trusted(folder, tmp_path):
    paths = files(folder)
    decode(paths, tmp_path / "cache", progress=False)
    pixels = only(tmp_path / "cache", ".pixels")
    pixels.write_bytes(pixels.read_bytes()[:-1])
    assert same(decode(paths, tmp_path / "cache", progress=False), paths)


def test_too_little_room_is_found_before_decoding(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=10**8))
    monkeypatch.setattr(module, "read_image", lambda path: pytest.fail("decoded"))
    with pytest.raises(CourseError, match=r"the decoded images: 0\.0 GB needed, 0\.1 GB free"):
        decode(files(folder), tmp_path / "cache", progress=False)


# --- patches ---------------------------------------------------------------------------------------------------------

sizes = st.integers(1, 24)


@settings(max_examples=60, deadline=None)
@given(height=sizes, width=sizes, part=st.integers(1, 24), seed=st.integers(0, 2**32), augment=st.booleans())
def test_both_images_are_cut_alike(height, width, part, seed, augment):
    clean, size = scene(0, height, width), min(part, height, width)
    degraded, patch = random_patch(255 - clean, clean, size, np.random.default_rng(seed), augment)
    assert patch.shape == degraded.shape == (size, size, 3)
    assert np.array_equal(degraded, 255 - patch)
    again = random_patch(255 - clean, clean, size, np.random.default_rng(seed), augment)
    assert np.array_equal(again[1], patch)


def numbered(height, width):
    """An image whose pixels are all different: the place and orientation of a patch can be read off."""
    return np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3)


def test_every_window_and_orientation_occurs():
    clean, rng = numbered(4, 5), np.random.default_rng(0)
    seen = {random_patch(clean, clean, 3, rng)[1].tobytes() for _ in range(2000)}
    assert len(seen) == 2 * 3 * 8  # windows, times the symmetries of a square
    plain = {random_patch(clean, clean, 3, rng, augment=False)[1].tobytes() for _ in range(500)}
    windows = {clean[top : top + 3, left : left + 3].tobytes() for top in range(2) for left in range(3)}
    assert plain == windows and windows <= seen


@pytest.mark.parametrize("size", [0, 6])
def test_a_patch_that_does_not_fit(size):
    with pytest.raises(CourseError, match=f"a patch of {size}x{size} does not fit an image of 7x5"):
        random_patch(scene(0, 5, 7), scene(0, 5, 7), size, np.random.default_rng(0))


def test_two_shapes():
    with pytest.raises(CourseError, match=r"degraded is \(5, 7, 3\) but clean is \(7, 5, 3\)"):
        random_patch(scene(0, 5, 7), scene(0, 7, 5), 3, np.random.default_rng(0))


# --- the data set ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of 5 pairs with its cache, for the tests that only read."""
    folder = make_folder(tmp_path_factory.mktemp("shared"))
    return lambda **options: PairedPatches.from_folder(folder, cache=folder / "cache", progress=False, **options)


def test_a_sample(shared):
    patches = shared(patch=8)
    degraded, clean = patches[0]
    assert degraded.shape == clean.shape == (3, 8, 8)
    assert degraded.dtype == clean.dtype == torch.float32
    assert clean.min() >= 0 and clean.max() <= 1
    assert torch.allclose(degraded, 1 - clean, atol=1e-6)
    assert len(patches) == 5 and len(list(patches)) == 5
    assert isinstance(patches, torch.utils.data.Dataset)


def test_a_whole_pair(shared):
    degraded, clean = shared(patch=8).whole(3)
    assert np.array_equal(clean.mul(255).round().byte().numpy(), scene(3).transpose(2, 0, 1))
    assert torch.allclose(degraded, 1 - clean, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40), order=st.lists(st.integers(0, 10**6), min_size=1, max_size=6), data=st.data())
def test_a_sample_depends_on_seed_and_number_alone(shared, seed, order, data):
    one, other = shared(patch=8, seed=seed), shared(patch=8, seed=seed)
    first = {i: one[i] for i in order}
    for i in data.draw(st.permutations(order)):
        assert all(torch.equal(a, b) for a, b in zip(first[i], other[i], strict=True))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
def test_an_epoch_visits_every_image_once(shared, seed, epoch):
    patches = shared(patch=20, seed=seed, augment=False)
    columns = [patches[epoch * 5 + place][1].mul(255).round().byte().permute(1, 2, 0).numpy() for place in range(5)]
    visited = set()
    for patch in columns:
        found = [n for n in range(5) if any(np.array_equal(scene(n)[top : top + 20], patch) for top in range(5))]
        visited.update(found)
    assert visited == set(range(5))


def test_epochs_seeds_and_samples_differ(shared):
    patches = shared(patch=8)
    orders = {tuple(patches._order(epoch)) for epoch in range(30)}
    assert len(orders) > 10
    assert not torch.equal(shared(patch=8, seed=1)[0][1], patches[0][1])
    assert len({patches[i][1].numpy().tobytes() for i in range(50)}) == 50


@pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 2}])
def test_workers_change_nothing(shared, options):
    patches, samples = shared(patch=8), range(7, 17)
    loader = torch.utils.data.DataLoader(patches, batch_size=5, sampler=samples, **options)
    clean = torch.cat([clean for _, clean in loader])
    assert torch.equal(clean, torch.stack([patches[i][1] for i in samples]))


def test_workers_are_not_sent_the_pixels(shared):
    patches = shared(patch=8)
    content = pickle.dumps(patches)
    assert len(content) < 3000 < 10 * 24 * 20 * 3
    assert torch.equal(pickle.loads(content)[3][0], patches[3][0])


def test_problems_are_found_when_it_is_made(folder, tmp_path, monkeypatch):
    pairs = match_pairs(folder / "clean", folder / "scan")
    options = {"cache": tmp_path / "cache", "progress": False}
    with pytest.raises(CourseError, match="there are no pairs"):
        PairedPatches([])
    with pytest.raises(CourseError, match="a seed is a whole number from 0, not -1"):
        PairedPatches(pairs, seed=-1, **options)
    with pytest.raises(CourseError, match=r"0000\.png is 20x24: no patch of 64x64; change `patch`"):
        PairedPatches(pairs, **options)
    with pytest.raises(CourseError, match="samples are counted from 0, not -1"):
        _ = PairedPatches(pairs, patch=8, **options)[-1]
    write(folder / "scan" / "0002.png", scene(2, 30, 30))
    with monkeypatch.context() as patch, pytest.raises(CourseError, match=r"scan/0002\.png is 30x30 but"):
        patch.setattr(module, "decode", lambda *args: pytest.fail("decoded before the sizes were checked"))
        PairedPatches(pairs, patch=8, **options)
    index = {"shapes": [[24, 20]] * 10}
    assert json.loads(only(tmp_path / "cache", ".json").read_text())["shapes"] == index["shapes"]


# What to train on, what to validate with


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
