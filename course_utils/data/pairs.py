"""Pairs of image files, a scan and its original: matched by name, checked before training, parted for validation."""

import unicodedata
from pathlib import Path

from torch.utils.data import Dataset

from course_utils.data.cache import image_size
from course_utils.data.catalogue import datasets, fetch
from course_utils.files import CourseError
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
        (width, height), (scan_width, scan_height) = image_size(clean), image_size(scan)
        if (width, height) != (scan_width, scan_height):
            raise CourseError(
                f"{scan} is {scan_width}x{scan_height} but {clean} is {width}x{height}; a pair needs one size"
            )


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
