"""Pairs of images (a scan and its original) and the patches that a network trains on.

Pairs are matched by name, checked before training, and decoded once into a cache on disk.
"""

import hashlib
import json
import os
import unicodedata
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from course_utils.data.catalogue import datasets, fetch, home
from course_utils.data.download import alone, room
from course_utils.files import CourseError, atomic
from course_utils.images import SUFFIXES, read_image, to_tensor


def list_images(folder):
    """The images of a folder by their stem: {"0412": Path("scan/0412.png"), ...}; other and hidden files are ignored.

    Raises:
        CourseError: no such folder, no image in it, or two images with one stem (0412.png and 0412.jpg).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CourseError(f"{folder}: no such folder; check the path")
    images = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in SUFFIXES:
            continue
        stem = unicodedata.normalize("NFC", path.stem)  # macOS writes accents and Hangul in another form
        if stem in images:
            raise CourseError(f"{path} and {images[stem].name} have one name for two images; rename or remove one")
        images[stem] = path
    if not images:
        raise CourseError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}); check the path")
    return images


def match_pairs(clean_folder, scan_folder):
    """Match the originals in one folder with the scans in the other by stem: 0412.png with 0412.png or 0412.jpg.

    Returns:
        A list of (clean path, scan path), sorted by name.
    Raises:
        CourseError: an image without a partner, and everything that `list_images` finds.
    """
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    sides = (clean, scan, scan_folder, "original"), (scan, clean, clean_folder, "scan")
    for images, partners, folder, kind in sides:
        alone = sorted(images.keys() - partners.keys())
        if alone:
            image, counts = images[alone[0]], f"{len(scan):,} scans, {len(clean):,} originals"
            raise CourseError(
                f"{image.parent.name}/{image.name} has no partner in {Path(folder).name}/ ({counts}); "
                f"add it or remove the {kind}"
            )
    return [(clean[stem], scan[stem]) for stem in sorted(clean)]


def check_pairs(pairs):
    """Read the headers of all images: each can be opened, and both of a pair have one size. Seconds for 10,000 pairs.

    Raises:
        CourseError: naming the file, or the two files and their sizes (width x height).
    """
    for clean, scan in pairs:
        (width, height), (scan_width, scan_height) = _size(clean), _size(scan)
        if (width, height) != (scan_width, scan_height):
            raise CourseError(
                f"{scan} is {scan_width}x{scan_height} but {clean} is {width}x{height}; a pair needs one size"
            )


def _size(path):
    try:
        with Image.open(path) as file:
            # Turned photographs are JPEG or TIFF; asking a PNG for its EXIF data would decode all of it.
            turned = file.format != "PNG" and file.getexif().get(0x0112, 1) >= 5
            return file.size[::-1] if turned else file.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        read_image(path)  # says what is wrong
        raise


# ---------------------------------------------------------------------------------------------------------------------
# The cache: all images of a list, decoded, one after the other in one flat file of bytes
# ---------------------------------------------------------------------------------------------------------------------


def decode(paths, cache=None, progress=True):
    """Decode each image once and keep the pixels on disk; the next call with the same files starts at once.

    10,000 pairs of 512x512 are 15.7 GB on disk and next to nothing in memory: the arrays are windows into the file.
    When a file has changed (its size or time), the list is decoded anew. Interrupted work goes on where it stopped.

    Args:
        paths: image files.
        cache: the folder to keep the pixels in; default: `cache` in the course's folder (`home()`).
    Returns:
        A list of read-only uint8 arrays (H, W, 3), in the order of `paths`.
    Raises:
        CourseError: a file that is missing or cannot be decoded (named), or too little room on the disk.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        return []
    pixels, index = _cache_files(paths, cache)
    with alone(index):  # several processes may train on one data set
        if not _is_whole(pixels, index):
            _decode_all(paths, pixels, index, progress)
    shapes = json.loads(index.read_text())["shapes"]
    flat = np.memmap(pixels, np.uint8, mode="r")
    ends = np.cumsum([height * width * 3 for height, width in shapes])
    return [
        np.asarray(flat[end - height * width * 3 : end].reshape(height, width, 3))
        for end, (height, width) in zip(ends, shapes, strict=True)
    ]


def is_decoded(paths, cache=None):
    """Whether `decode(paths, cache)` would find its pixels ready."""
    return _is_whole(*_cache_files([Path(path) for path in paths], cache))


def _cache_files(paths, cache):
    """The file of pixels and its index (the shapes), named by what identifies the images."""
    key = hashlib.sha256(b"rgb8 v1")
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            raise CourseError(f"{path}: no such image file; check the path") from None
        key.update(f"{path.absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    folder = Path(cache) if cache else home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key.hexdigest()[:32]}.pixels", folder / f"{key.hexdigest()[:32]}.json"


def _is_whole(pixels, index):
    if not index.exists() or not pixels.exists():
        return False
    shapes = json.loads(index.read_text())["shapes"]
    return pixels.stat().st_size == sum(height * width * 3 for height, width in shapes)


def _decode_all(paths, pixels, index, progress):
    """Append the pixels to a `.part` file and a line for each image to its log, then give both their names."""
    from tqdm.auto import tqdm

    part, log = pixels.with_suffix(".part"), pixels.with_suffix(".log")
    shapes = _trusted(part, log)
    sizes = [_size(path) for path in paths[len(shapes) :]]
    room(pixels.parent, sum(width * height * 3 for width, height in sizes), "the decoded images")
    bar = tqdm(total=len(paths), initial=len(shapes), desc="decoding", unit="image", disable=not progress)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool, part.open("ab") as data, log.open("a") as lines:
        for start in range(len(shapes), len(paths), 64):  # 64 at a time: what waits in memory stays small
            for image in pool.map(read_image, paths[start : start + 64]):
                data.write(image.tobytes())
                lines.write(f"{image.shape[0]} {image.shape[1]} {zlib.crc32(image)}\n")
                shapes.append(image.shape[:2])
                bar.update()
            data.flush()
            lines.flush()
    os.replace(part, pixels)
    with atomic(index) as temporary:  # last: where there is an index, the pixels are complete
        temporary.write_text(json.dumps({"shapes": shapes, "first": str(paths[0].absolute())}))
    log.unlink()


def _trusted(part, log):
    """The shapes of the images that interrupted work left whole in `part`; whatever comes after them is cut off."""
    part.touch()
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    shapes, kept, end = [], [], 0
    with part.open("r+b") as data:
        for line in lines:
            numbers = [int(number) for number in line.split() if number.isdigit()]
            if len(numbers) != 3 or not line.endswith("\n"):
                break
            height, width, checksum = numbers
            image = data.read(height * width * 3)
            if len(image) < height * width * 3 or zlib.crc32(image) != checksum:
                break
            shapes.append((height, width))
            kept.append(line)
            end += len(image)
        data.truncate(end)
    log.write_text("".join(kept))
    return shapes


# ---------------------------------------------------------------------------------------------------------------------
# Patches
# ---------------------------------------------------------------------------------------------------------------------


def random_patch(degraded, clean, size, rng, augment=True):
    """Cut the same random window from both images, and turn and mirror both in the same random way.

    Args:
        degraded, clean: uint8 arrays (H, W, C) of one shape.
        size: the side of the window, in pixels.
        rng: a np.random.Generator; the same state gives the same patch.
        augment: turn by a random multiple of 90 degrees and mirror every other patch.
    Returns:
        (degraded, clean), each (size, size, C).
    Raises:
        CourseError: two shapes, or an image that is smaller than the window.
    """
    if degraded.shape != clean.shape:
        raise CourseError(f"degraded is {degraded.shape} but clean is {clean.shape}; a pair needs one shape")
    height, width = clean.shape[:2]
    if not 1 <= size <= min(height, width):
        raise CourseError(f"a patch of {size}x{size} does not fit an image of {width}x{height}; change the patch size")
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    patches = [image[top : top + size, left : left + size] for image in (degraded, clean)]
    if augment:
        turns, mirror = rng.integers(4), rng.integers(2)
        patches = [np.rot90(patch, turns) for patch in patches]
        if mirror:
            patches = [patch[:, ::-1] for patch in patches]
    return patches[0], patches[1]


class PairedPatches(Dataset):
    """Random patches of image pairs: `ds[i]` is (degraded, clean), float32 (3, patch, patch) in [0, 1].

    Sample i depends on the seed and on i alone. Epoch e is the samples e * len(ds) ... (e + 1) * len(ds) - 1: every
    image once, in an order of that epoch. So training can stop after any step and go on exactly where it was,
    whatever the number of workers: step s with batches of B takes the samples s * B ... (s + 1) * B - 1.

    Args:
        pairs: (clean path, scan path), as `match_pairs` gives them.
        patch: side of the patches in pixels.
        seed: a whole number, 0 or more.
        augment: also turn and mirror, see `random_patch`.
        cache: the folder for the decoded images, see `decode`.
    Raises:
        CourseError: no pairs, an unreadable image, a pair with two sizes, an image smaller than a patch.
    """

    def __init__(self, pairs, patch=64, seed=0, augment=True, cache=None, progress=True):
        self.pairs = [(Path(clean), Path(scan)) for clean, scan in pairs]
        self.patch, self.seed, self.augment, self.cache = patch, seed, augment, cache
        if not self.pairs:
            raise CourseError("there are no pairs to train on; see match_pairs")
        if seed < 0:
            raise CourseError(f"a seed is a whole number from 0, not {seed}")
        files = [path for pair in self.pairs for path in pair]
        if not is_decoded(files, cache):
            check_pairs(self.pairs)  # seconds; decoding takes minutes
        self._load(progress)

    @classmethod
    def from_folder(cls, folder, **options):
        """The pairs of `folder/clean` and `folder/scan`; options as for the class."""
        return cls(match_pairs(Path(folder) / "clean", Path(folder) / "scan"), **options)

    def _load(self, progress):
        images = decode([path for pair in self.pairs for path in pair], self.cache, progress)
        self._clean, self._degraded = images[0::2], images[1::2]
        self._epoch = (-1, None)
        for (path, scan), clean, degraded in zip(self.pairs, self._clean, self._degraded, strict=True):
            if clean.shape != degraded.shape:
                raise CourseError(f"{scan} is {degraded.shape} but {path} is {clean.shape}; a pair needs one size")
            if min(clean.shape[:2]) < self.patch or self.patch < 1:
                height, width = clean.shape[:2]
                raise CourseError(f"{path} is {width}x{height}: no patch of {self.patch}x{self.patch}; change `patch`")

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        if i < 0:
            raise CourseError(f"samples are counted from 0, not {i}")
        epoch, place = divmod(int(i), len(self))
        pair = self._order(epoch)[place]
        rng = np.random.default_rng([1, self.seed, int(i)])
        degraded, clean = random_patch(self._degraded[pair], self._clean[pair], self.patch, rng, self.augment)
        return to_tensor(degraded), to_tensor(clean)

    def __iter__(self):
        return (self[i] for i in range(len(self)))  # one epoch; without this, a loop over the data set never ends

    def _order(self, epoch):
        if self._epoch[0] != epoch:
            self._epoch = (epoch, np.random.default_rng([0, self.seed, epoch]).permutation(len(self)))
        return self._epoch[1]

    def whole(self, i):
        """The whole pair i, in the order of `pairs`: (degraded, clean), float32 (3, H, W) in [0, 1]."""
        return to_tensor(self._degraded[i]), to_tensor(self._clean[i])

    def __getstate__(self):
        # A worker process gets the paths and opens the cache itself; copying the pixels to it would take gigabytes.
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._load(progress=False)


class PairedImages(Dataset):
    """Whole image pairs, to measure on: `ds[i]` is (degraded, clean), float32 (3, H, W) in [0, 1]; read when asked for.

    Args:
        pairs: (clean path, scan path), as `match_pairs` gives them.
    """

    def __init__(self, pairs):
        self.pairs = list(pairs)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        clean, scan = self.pairs[i]
        return to_tensor(read_image(scan)), to_tensor(read_image(clean))


def hold_out(pairs, every=10):
    """Part the pairs into (training, validation): each tenth goes to validation, at least one stays in each.

    Raises:
        CourseError: a single pair, which cannot be parted.
    """
    if len(pairs) < 2:
        raise CourseError(f"{len(pairs)} pair cannot be parted into training and validation; add pairs")
    every = min(every, len(pairs))
    validation = pairs[every - 1 :: every]
    return [pair for i, pair in enumerate(pairs) if i % every != every - 1], validation


def pairs_in(folder):
    """The pairs of `folder/clean` and `folder/scan`, matched and checked (see `match_pairs`, `check_pairs`)."""
    pairs = match_pairs(Path(folder) / "clean", Path(folder) / "scan")
    check_pairs(pairs)
    return pairs


def training_pairs(name_or_folder):
    """What to train on and what to validate with, of a data set of the catalogue or a folder of one's own.

    A data set with valid/ is parted already; of one with train/ alone, or with just clean/ and scan/, every tenth pair
    is held out.

    Returns:
        (training pairs, validation pairs), each a list of (clean path, scan path).
    Raises:
        CourseError: as `fetch`, `match_pairs` and `check_pairs`.
    """
    folder = Path(fetch(name_or_folder) if str(name_or_folder) in datasets() else name_or_folder).expanduser()
    if not folder.is_dir():
        names = ", ".join(datasets())
        raise CourseError(f"{folder}: no such data set; give {names}, or a folder that has clean/ and scan/")
    if (folder / "train").is_dir() and (folder / "valid").is_dir():
        return pairs_in(folder / "train"), pairs_in(folder / "valid")
    return hold_out(pairs_in(folder / "train" if (folder / "train").is_dir() else folder))
