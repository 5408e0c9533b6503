"""Patches: both images of a pair are cut, turned and mirrored alike, and nothing but seed and number decides how."""

import collections
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils.data import PairedPatches, Patches, cache, match_pairs, patches, random_patch
from course_utils.data.patches import turned
from course_utils.degrade import GaussianNoise
from course_utils.files import CourseError
from course_utils.images import as_floats, to_tensor


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def scene(number, height=24, width=20, channels=3):
    return np.random.default_rng(number).integers(0, 256, (height, width, channels), dtype=np.uint8)


def make_folder(folder, count=5):
    """Pairs in which the scan is the negative of the original: whatever is cut from both must still be one."""
    for number in range(count):
        write(folder / "clean" / f"{number:04}.png", scene(number))
        write(folder / "scan" / f"{number:04}.png", 255 - scene(number))
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "set")


def numbered(height, width, channels=1):
    """An image whose values are all different: the place and orientation of a patch can be read off."""
    return np.arange(height * width * channels, dtype=np.uint8).reshape(height, width, channels)


def windows(image, size):
    """All patches that can be cut from an image, not turned."""
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    return [image[top : top + size, left : left + size] for top in range(rows) for left in range(columns)]


def orientations(patch):
    """The eight symmetries of a square."""
    return [side for turns in range(4) for side in (np.rot90(patch, turns), np.rot90(patch, turns)[:, ::-1])]


def unevenness(counts, kinds):
    """Chi-square of these counts against equal ones: about `kinds`, give or take a few times its root."""
    expected = sum(counts) / kinds
    return sum((count - expected) ** 2 / expected for count in counts) + (kinds - len(counts)) * expected


# --- one patch -------------------------------------------------------------------------------------------------------

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


def test_every_window_and_orientation_occurs():
    clean, rng = numbered(4, 5, 3), np.random.default_rng(0)
    seen = {random_patch(clean, clean, 3, rng)[1].tobytes() for _ in range(2000)}
    assert len(seen) == 2 * 3 * 8
    assert seen == {side.tobytes() for window in windows(clean, 3) for side in orientations(window)}
    plain = {random_patch(clean, clean, 3, rng, augment=False)[1].tobytes() for _ in range(500)}
    assert plain == {window.tobytes() for window in windows(clean, 3)}


@pytest.mark.parametrize("size", [0, 6])
def test_a_patch_that_does_not_fit(size):
    with pytest.raises(CourseError, match=f"a patch of {size}x{size} does not fit an image of 7x5"):
        random_patch(scene(0, 5, 7), scene(0, 5, 7), size, np.random.default_rng(0))


def test_two_shapes():
    with pytest.raises(CourseError, match=r"degraded is \(5, 7, 3\) but clean is \(7, 5, 3\)"):
        random_patch(scene(0, 5, 7), scene(0, 7, 5), 3, np.random.default_rng(0))


@pytest.mark.parametrize("side", [1, 2, 7])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mirror", [0, 1])
@pytest.mark.parametrize("turns", range(4))
def test_turned_as_numpy_turns(turns, mirror, channels, side):
    for image in (scene(0, 9, 9, channels), scene(0, 9, 9, 5)[..., channels - 1 :: -1]):  # the second backwards
        patch = image[1 : 1 + side, 2 : 2 + side]
        patch.flags.writeable = False  # as those of the cache
        expected = np.rot90(patch, turns)[:, ::-1] if mirror else np.rot90(patch, turns)
        found = turned(patch, turns, mirror)
        assert found.shape == (side, side, channels) and found.dtype == np.uint8
        assert np.array_equal(found, expected)


# --- the data set: what may happen -----------------------------------------------------------------------------------


@st.composite
def data_sets(draw):
    """Patches of images of different sizes, in which the degraded image is the negative of the clean one."""
    channels, patch = draw(st.sampled_from([1, 3])), draw(st.integers(1, 8))
    shapes = draw(st.lists(st.tuples(st.integers(patch, 12), st.integers(patch, 12)), min_size=1, max_size=5))
    clean = [scene(number, *shape, channels) for number, shape in enumerate(shapes)]
    degraded = [255 - image for image in clean]
    return Patches(clean, degraded, patch=patch, seed=draw(st.integers(0, 2**40)), augment=draw(st.booleans()))


samples = st.lists(st.integers(0, 20) | st.integers(0, 10**9), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None)
@given(ds=data_sets(), numbers=samples)
def test_a_batch_is_its_samples(ds, numbers):
    batch, singles = ds.batch(numbers), [ds[i] for i in numbers]
    for side in range(2):  # degraded, clean
        assert batch[side].dtype == torch.uint8
        assert torch.equal(as_floats(batch[side]), torch.stack([single[side] for single in singles]))
    assert batch[0].shape == batch[1].shape == (len(numbers), ds.patch, ds.patch, singles[0][0].shape[0])
    assert torch.equal(batch[0], 255 - batch[1])  # cut and turned alike


def test_a_batch_takes_numbers_of_all_kinds():
    ds = Patches([scene(0), scene(1)], [scene(2), scene(3)], patch=5)
    expected = ds.batch([3, 4, 5])
    for numbers in (range(3, 6), (3, 4, 5), np.array([3, 4, 5]), torch.tensor([3, 4, 5])):
        assert all(torch.equal(a, b) for a, b in zip(ds.batch(numbers), expected, strict=True))
    assert torch.equal(ds[np.int64(4)][0], ds[4][0])


@settings(max_examples=40, deadline=None)
@given(ds=data_sets(), order=samples, data=st.data())
def test_a_sample_depends_on_seed_and_number_alone(ds, order, data):
    other, first = pickle.loads(pickle.dumps(ds)), {i: ds[i] for i in order}
    for i in data.draw(st.permutations(order)):
        assert all(torch.equal(a, b) for a, b in zip(first[i], other[i], strict=True))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 9), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
def test_an_epoch_visits_every_image_once(count, seed, epoch):
    images = [np.full((4 + number, 5, 1), number, np.uint8) for number in range(count)]
    _, clean = Patches(images, images, patch=3, seed=seed).batch(range(epoch * count, (epoch + 1) * count))
    assert sorted(clean[:, 0, 0, 0].tolist()) == list(range(count))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_window_and_orientation_occurs_in_the_data_set(channels):
    image = numbered(4, 5, channels)
    seen, plain = (
        {patch.numpy().tobytes() for patch in Patches([image], [image], patch=3, augment=augment).batch(range(1500))[1]}
        for augment in (True, False)
    )
    assert seen == {side.tobytes() for window in windows(image, 3) for side in orientations(window)}
    assert plain == {window.tobytes() for window in windows(image, 3)}


def test_all_windows_and_orientations_are_equally_frequent():
    image = numbered(4, 5)
    _, clean = Patches([image] * 480, [image] * 480, patch=3, seed=1).batch(range(4800))
    counts = collections.Counter(patch.numpy().tobytes() for patch in clean)
    assert unevenness(counts.values(), 48) < 48 + 5 * 10


def test_the_order_of_an_epoch_is_even():
    images = [np.full((3, 3, 1), number, np.uint8) for number in range(5)]
    _, clean = Patches(images, images, patch=3, seed=1).batch(range(5 * 500))
    counts = collections.Counter((i % 5, image) for i, image in enumerate(clean[:, 0, 0, 0].tolist()))
    assert unevenness(counts.values(), 25) < 25 + 5 * 7
    epochs = clean[:, 0, 0, 0].reshape(500, 5).tolist()
    assert len({tuple(epoch) for epoch in epochs}) > 100  # of 120


def test_samples_epochs_and_seeds_differ():
    images = [scene(number, 200, 200) for number in range(3)]
    ds = Patches(images, images, patch=8)
    assert len({ds[i][1].numpy().tobytes() for i in range(60)}) == 60
    other = Patches(images, images, patch=8, seed=1)
    assert not any(torch.equal(ds[i][1], other[i][1]) for i in range(60))


# --- the data set: what comes of it ----------------------------------------------------------------------------------


def test_a_sample():
    images = [scene(number) for number in range(5)]
    ds = Patches(images, [255 - image for image in images], patch=8)
    degraded, clean = ds[0]
    assert degraded.shape == clean.shape == (3, 8, 8)
    assert degraded.dtype == clean.dtype == torch.float32
    assert clean.min() >= 0 and clean.max() <= 1
    assert torch.allclose(degraded, 1 - clean, atol=1e-6)
    assert len(ds) == 5 and len(list(ds)) == 5
    assert isinstance(ds, torch.utils.data.Dataset)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_whole_pair(channels):
    ds = Patches([scene(1, 30, 9, channels)], [scene(2, 30, 9, channels)], patch=8)
    degraded, clean = ds.whole(0)
    assert torch.equal(clean, to_tensor(scene(1, 30, 9, channels)))
    assert torch.equal(degraded, to_tensor(scene(2, 30, 9, channels)))


def test_patches_do_not_change_with_what_is_done_to_them():
    image = scene(0)
    ds = Patches([image], [image], patch=20, augment=False)
    degraded, clean = ds.batch([0])
    degraded.zero_(), clean.zero_(), ds[0][0].zero_(), ds.whole(0)[0].zero_()
    assert np.array_equal(image, scene(0))


class Batches(torch.utils.data.Dataset):
    """Whole batches, as the training takes them."""

    def __init__(self, ds):
        self.ds = ds

    def __getitem__(self, numbers):
        return self.ds.batch(numbers)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["pairs", "noise"])
def test_workers_change_nothing(kind, workers):
    clean = [scene(number, 12 + number, 14) for number in range(4)]
    options = {"degraded": [255 - image for image in clean]} if kind == "pairs" else {"degradation": GaussianNoise(25)}
    ds = Patches(clean, **options, patch=8, seed=3)
    expected = [torch.stack(side) for side in zip(*(ds[i] for i in range(7, 17)), strict=True)]
    loader = torch.utils.data.DataLoader(ds, batch_size=2, sampler=range(7, 17), num_workers=workers)
    whole = [range(7, 9), range(9, 14), range(14, 17)]  # across epochs
    batches = torch.utils.data.DataLoader(Batches(ds), batch_size=None, sampler=whole, num_workers=workers)
    for found in (loader, ([as_floats(side) for side in batch] for batch in batches)):
        assert all(torch.equal(torch.cat(a), b) for a, b in zip(zip(*found, strict=True), expected, strict=True))


# --- a degradation ---------------------------------------------------------------------------------------------------


def test_the_degradation_gets_the_clean_patch_and_its_own_random_numbers():
    calls = []

    def degrade(x, rng):
        calls.append((x.clone(), rng.integers(2**60)))
        return 1 - x

    ds = Patches([scene(0), scene(1, 9, 30)], degradation=degrade, patch=8, seed=5)
    degraded, clean = ds[3]
    assert torch.equal(calls[0][0], clean) and torch.equal(degraded, 1 - clean)
    assert clean.dtype == degraded.dtype == torch.float32 and clean.shape == degraded.shape == (3, 8, 8)
    degraded, clean = ds.batch([2, 3, 3])
    assert clean.dtype == torch.uint8 and degraded.dtype == torch.float32 and degraded.shape == (3, 3, 8, 8)
    assert torch.equal(degraded, 1 - as_floats(clean))
    assert torch.equal(torch.stack([x for x, _ in calls[1:]]), as_floats(clean))
    drawn = [number for _, number in calls]
    assert drawn[0] == drawn[2] == drawn[3] != drawn[1]
    other = Patches([scene(0), scene(1, 9, 30)], degradation=degrade, patch=8, seed=6)
    _ = other[3]
    assert calls[-1][1] != drawn[0]


def test_the_degradation_draws_nothing_that_the_patches_drew():
    drawn = []
    ds = Patches([scene(0)], degradation=lambda x, rng: [drawn.append(rng.random()), x][1], patch=8, seed=5)
    _ = [ds[i] for i in range(20)]
    assert len(set(drawn)) == 20
    draws = [float(value) for epoch in range(20) for value in np.concatenate(ds._draw(epoch)[1:3])]
    assert not set(draws) & set(drawn)


@settings(max_examples=30, deadline=None)
@given(numbers=samples, seed=st.integers(0, 2**40), channels=st.sampled_from([1, 3]), augment=st.booleans())
def test_a_degraded_batch_is_its_samples(numbers, seed, channels, augment):
    images = [scene(number, 8 + number, 12, channels) for number in range(3)]
    ds = Patches(images, degradation=GaussianNoise((0, 50)), patch=6, seed=seed, augment=augment)
    (degraded, clean), singles = ds.batch(numbers), [ds[i] for i in numbers]
    assert torch.equal(degraded, torch.stack([single[0] for single in singles]))
    assert torch.equal(as_floats(clean), torch.stack([single[1] for single in singles]))


def test_a_degradation_may_make_the_patch_smaller():
    halve = lambda x, rng: x[:, ::2, ::2]
    ds = Patches([scene(0), scene(1, 30, 16)], degradation=halve, patch=8, seed=5)
    degraded, clean = ds.batch(range(5))
    assert degraded.shape == (5, 3, 4, 4) and clean.shape == (5, 8, 8, 3)
    assert torch.equal(degraded, as_floats(clean)[..., ::2, ::2])
    assert torch.equal(ds[3][0], degraded[3]) and ds.whole(1)[0].shape == (3, 15, 8)


def test_a_degradation_that_works_in_place_leaves_the_clean_patch_alone():
    image = scene(0)
    ds = Patches([image], degradation=lambda x, rng: x.zero_(), patch=8)
    assert ds[0][0].max() == 0 < ds[0][1].max()
    assert ds.whole(0)[0].max() == 0 < ds.whole(0)[1].max()
    degraded, clean = ds.batch([0])
    assert degraded.max() == 0 and torch.equal(as_floats(clean)[0], ds[0][1])
    assert np.array_equal(image, scene(0))


def test_a_whole_image_is_degraded_in_the_same_way_each_time():
    ds = Patches([scene(0), scene(1)], degradation=GaussianNoise(25), patch=8)
    degraded, clean = ds.whole(1)
    assert torch.equal(clean, to_tensor(scene(1))) and torch.equal(ds.whole(1)[0], degraded)
    assert 0.05 < (degraded - clean).std() < 0.1


# --- problems --------------------------------------------------------------------------------------------------------

image, noise = scene(0, 9, 12), GaussianNoise(25)


@pytest.mark.parametrize(
    "clean, options, message",
    [
        ([image], {}, "give either the degraded images or a degradation that makes them"),
        ([image], {"degraded": [image], "degradation": noise}, "give either the degraded images or a degradation"),
        ([], {"degraded": []}, "0 clean images and 0 degraded ones to train on; give at least one"),
        ([], {"degradation": noise}, "0 clean images and 0 degraded ones to train on; give at least one"),
        ([image], {"degraded": []}, "1 clean images and 0 degraded ones"),
        ([image] * 2, {"degraded": [image] * 3}, "2 clean images and 3 degraded ones to train on; .* one for each"),
        ([image], {"degraded": [image[1:]]}, r"degraded\[0\] is \(8, 12, 3\) but clean\[0\] is \(9, 12, 3\); a pair"),
        ([image], {"degraded": [image[..., :1]]}, r"degraded\[0\] is \(9, 12, 1\) but clean\[0\] is \(9, 12, 3\)"),
        ([image / np.float32(255)], {"degradation": noise}, "a pair needs one size, and uint8 values"),
        ([image], {"degraded": [image.astype(float)]}, "a pair needs one size, and uint8 values"),
        ([image[..., 0]], {"degradation": noise}, r"clean\[0\] has the shape \(9, 12\); give \(H, W, C\)"),
        ([image, image[..., :1]], {"degradation": noise}, r"clean\[1\] has the shape \(9, 12, 1\); .* as the first"),
        ([image], {"degradation": noise, "patch": 10}, r"clean\[0\] is 12x9: no patch of 10x10; change `patch`"),
        ([image], {"degradation": noise, "patch": 0}, r"clean\[0\] is 12x9: no patch of 0x0; change `patch`"),
        ([image], {"degradation": noise, "seed": -1}, "a seed is a whole number from 0, not -1"),
    ],
)
def test_problems_are_found_when_it_is_made(clean, options, message):
    with pytest.raises(CourseError, match=message):
        Patches(clean, **({"patch": 4} | options))


def test_samples_are_counted_from_0():
    ds = Patches([image], degradation=noise, patch=9)
    for ask in (lambda: ds[-1], lambda: ds.batch([0, -1])):
        with pytest.raises(CourseError, match="samples are counted from 0, not -1"):
            ask()


# --- pairs of files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder of 5 pairs with its cache, for the tests that only read."""
    folder = make_folder(tmp_path_factory.mktemp("shared"))
    return lambda **options: PairedPatches.from_folder(folder, cache=folder / "cache", progress=False, **options)


def test_patches_of_files_are_those_of_the_images_in_them(shared):
    clean = [scene(number) for number in range(5)]
    expected = Patches(clean, [255 - image for image in clean], patch=8, seed=2, augment=False)
    found = shared(patch=8, seed=2, augment=False)
    assert all(torch.equal(a, b) for a, b in zip(found.batch(range(12)), expected.batch(range(12)), strict=True))
    assert len(found) == 5 and torch.equal(found.whole(3)[0], expected.whole(3)[0])


def test_workers_are_not_sent_the_pixels(shared):
    ds = shared(patch=8, seed=4, augment=False)
    content = pickle.dumps(ds)
    assert len(content) < 3000 < 10 * 24 * 20 * 3
    again = pickle.loads(content)
    assert (again.patch, again.seed, again.augment) == (8, 4, False)
    assert all(torch.equal(a, b) for a, b in zip(again.batch(range(12)), ds.batch(range(12)), strict=True))


def test_pixels_in_memory_are_sent_to_workers():
    ds = Patches([scene(0)], degradation=noise, patch=8, seed=4)
    expected = ds.batch(range(5))  # which fills its memory of draws
    again = pickle.loads(pickle.dumps(ds))
    assert all(torch.equal(a, b) for a, b in zip(again.batch(range(5)), expected, strict=True))


def test_a_second_start_reads_no_image(folder, tmp_path, monkeypatch):
    options = {"cache": tmp_path / "cache", "patch": 8, "progress": False}
    first = PairedPatches.from_folder(folder, **options)
    monkeypatch.setattr(patches, "check_pairs", lambda pairs: pytest.fail("headers were read again"))
    monkeypatch.setattr(cache, "_digest", lambda path: pytest.fail("files were read again"))
    monkeypatch.setattr(cache, "read_image", lambda path: pytest.fail("decoded again"))
    assert torch.equal(PairedPatches.from_folder(folder, **options)[3][0], first[3][0])


def test_problems_of_pairs_are_found_when_it_is_made(folder, tmp_path, monkeypatch):
    pairs = match_pairs(folder / "clean", folder / "scan")
    options = {"cache": tmp_path / "cache", "progress": False}
    with pytest.raises(CourseError, match="there are no pairs"):
        PairedPatches([])
    with pytest.raises(CourseError, match="a seed is a whole number from 0, not -1"):
        PairedPatches(pairs, seed=-1, **options)
    with pytest.raises(CourseError, match=r"clean/0000\.png is 20x24: no patch of 64x64; change `patch`"):
        PairedPatches(pairs, **options)
    with pytest.raises(CourseError, match="samples are counted from 0, not -1"):
        _ = PairedPatches(pairs, patch=8, **options)[-1]
    write(folder / "scan" / "0002.png", scene(2, 30, 30))
    monkeypatch.setattr(patches, "decode", lambda *args: pytest.fail("decoded before the sizes were checked"))
    with pytest.raises(CourseError, match=r"scan/0002\.png is 30x30 but .*clean/0002\.png is 20x24"):
        PairedPatches(pairs, patch=8, **options)


# --- bytes made floats -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_as_floats_gives_the_numbers_of_to_tensor_and_leaves_them_in_their_places(channels):
    bytes_ = np.arange(4 * 8 * 24, dtype=np.uint8).reshape(4, 8, -1, channels)  # all 256 values
    floats = as_floats(torch.from_numpy(bytes_))
    assert floats.dtype == torch.float32 and floats.shape == (4, channels, 8, 24 // channels)
    assert torch.equal(floats, to_tensor(bytes_))
    assert floats.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_floats_stay_as_they_are(dtype):
    floats = torch.rand(2, 3, 4, 4).to(dtype)
    assert as_floats(floats) is floats
