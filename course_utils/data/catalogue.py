"""The data sets of the course: what they are, and one call that gets each of them."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from course_utils.data.download import alone, download, extract
from course_utils.files import CourseError

DRIVE_IDS = "16zAeGDmqbAvn7ly8V-mBylKx6rG-wgLD,1cqXSVFxfonx5qKvldfBy0q7uYdNZY8ea,1zmfrXzT9InLg7NIQ-hXekZlyX9aGNNqj"
AUTHORS = "https://huggingface.co/datasets/ENCLab/DESCAN-18K/resolve/main"


@dataclass(frozen=True)
class Archive:
    """A file to download, and the folders that it becomes: {folder in the data set: folder in the archive}.

    An empty name stands for the one folder in the archive that holds images, wherever it is.
    """

    name: str
    folders: dict
    sources: tuple
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Record:
    """What the catalogue says of a data set."""

    title: str
    holds: str
    size: str
    licence: str
    origin: str
    archives: tuple = ()


_DESCAN_LICENCE = "pages under CC BY-NC-SA 3.0: not for commercial use; name the source"
_DATASETS = {
    "pages": Record(
        title="Magazine pages made for the course",
        holds="train/, valid/, test/ and unseen/ (another scanner), each with clean/ and simulated scan/",
        size="29 MB, made in about 20 seconds, nothing to download",
        licence="text of the course; photographs that come with scikit-image, scikit-learn and matplotlib",
        origin="course_utils.data.pages",
    ),
    "descan": Record(
        title="The descanning competition",
        holds="10,000 real pairs in train/clean and train/scan, 500 scans in test/scan; 512x512",
        size="several GB",
        licence=_DESCAN_LICENCE,
        origin="drawn from DESCAN-18K (Cha et al., AAAI 2024); three archives on Google Drive",
        archives=(
            Archive("train_clean.zip", {"train/clean": ""}, (f"drive:{DRIVE_IDS}",)),
            Archive("train_scan.zip", {"train/scan": ""}, (f"drive:{DRIVE_IDS}",)),
            Archive("test_scan.zip", {"test/scan": ""}, (f"drive:{DRIVE_IDS}",)),
        ),
    ),
    # The authors' copy has other pairs than the competition (1024x1024, TIFF): a data set of its own, and no mirror
    # of `descan`. Its 17,640 training pairs are left to the reader.
    "descan18k": Record(
        title="What the authors of DESCAN-18K validate and test with",
        holds="360 + 360 real pairs in valid/ and test/, each with clean/ and scan/; 1024x1024, four scanners",
        size="1.5 GB",
        licence=_DESCAN_LICENCE,
        origin="ENCLab/DESCAN-18K on Hugging Face (Cha et al., AAAI 2024)",
        archives=(
            Archive(
                "Valid.zip",
                {"valid/clean": "clean", "valid/scan": "scan"},
                (f"{AUTHORS}/Valid.zip",),
            ),
            Archive(
                "Test.zip",
                {"test/clean": "clean", "test/scan": "scan"},
                (f"{AUTHORS}/Test.zip",),
            ),
        ),
    ),
}


def home():
    """The folder for data and caches: the environment variable COURSE_HOME, or ~/.cache/course_utils."""
    return Path(os.environ.get("COURSE_HOME") or "~/.cache/course_utils").expanduser()


def datasets():
    """The data sets that `fetch` knows: {name: record with title, holds, size, licence, origin}."""
    return MappingProxyType(_DATASETS)


def fetch(name_or_folder, *, folder=None, mirrors=(), progress=True):
    """Get a data set, and return its folder. What is there already is not fetched or made again.

    `pages` is made on this computer; `descan` (the competition) and `descan18k` are downloaded; `datasets()` lists all.
    Archives are looked for in `mirrors`, then in the folder or address that the environment variable COURSE_MIRROR
    names, and then where the catalogue says (Google Drive limits how many people may download a file in a day, so an
    instructor does well to put the archives on a mirror).

    Args:
        name_or_folder: a name of the catalogue, or a folder of one's own with clean/ and scan/, which is checked.
        folder: where to put the data set; default: a folder of its name in `home()`.
        mirrors: folders or addresses (http, https) that hold the archives under their names.
        progress: show bars and what is done.
    Returns:
        The folder of the data set.
    Raises:
        CourseError: no such data set or folder; a download that failed everywhere (with the way to do it by hand).
    """
    name = str(name_or_folder)
    if name not in _DATASETS:
        return _own(name_or_folder)
    root = Path(folder) if folder else home() / name
    if name == "pages":
        from course_utils.data import pages

        return pages.make_pages(root, progress=progress)
    record = _DATASETS[name]
    if progress:
        print(f"{name}: {record.licence}")
    places = [*([mirrors] if isinstance(mirrors, (str, Path)) else mirrors), os.environ.get("COURSE_MIRROR")]
    for archive in record.archives:
        _bring(archive, root, [str(place) for place in places if place], progress)
    return root


def _own(folder):
    """Check a folder of one's own."""
    from course_utils.data.pairs import check_pairs, match_pairs

    folder = Path(folder).expanduser()
    if not folder.is_dir():
        names = ", ".join(_DATASETS)
        raise CourseError(f"{folder}: no such data set; it is {names}, or a folder that has clean/ and scan/")
    check_pairs(match_pairs(folder / "clean", folder / "scan"))
    return folder


def _bring(archive, root, mirrors, progress):
    """Download an archive unless its folders are there, unpack it, and put its folders of images in their places."""
    sources = [f"{mirror.rstrip('/')}/{archive.name}" for mirror in mirrors] + list(archive.sources)
    target, unpacked = root / "archives" / archive.name, root / "archives" / Path(archive.name).stem
    with alone(root / archive.name):
        if all((root / place).is_dir() for place in archive.folders):
            return
        download(sources, target, size=archive.size, sha256=archive.sha256, progress=progress)
        extract(target, unpacked, progress=progress)
        for place, inside in archive.folders.items():
            if not (root / place).is_dir():  # it is there when an earlier call was interrupted in this loop
                found = _folder_of_images(unpacked, inside, archive.name)
                (root / place).parent.mkdir(parents=True, exist_ok=True)
                os.replace(found, root / place)
        shutil.rmtree(unpacked, ignore_errors=True)
    if progress:
        size = target.stat().st_size / 1e9
        print(f"{', '.join(archive.folders)}: ready. {target} ({size:.1f} GB) may be deleted")


def _folder_of_images(folder, name, archive):
    """The one folder in an unpacked archive that holds images (and is called `name`, unless that is empty)."""
    from course_utils.images import SUFFIXES

    found = set()
    for path in folder.rglob("*"):
        hidden = path.name.startswith(".")  # a Mac adds a ._0001.png for each image
        if not hidden and path.suffix.lower() in SUFFIXES and name in ("", path.parent.name):
            found.add(path.parent)
    if len(found) != 1:
        names = ", ".join(sorted(str(path.relative_to(folder)) for path in found)) or "none"
        raise CourseError(f"{archive} should hold one folder of {name or 'images'}, but has {names}; check the archive")
    return found.pop()
