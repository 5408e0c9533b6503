"""Photographs to learn from: those that come inside the libraries the kit stands on, and the standard test sets.

An *edition* (train, valid, test) has photographs of its own, so that nothing a network has seen in training turns up in
a test. The magazine pages (see data.pages) are made with the same photographs, edition by edition.
"""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from course_utils.files import CourseError

PHOTOGRAPHS = {
    "train": (
        "skimage/data/astronaut.png",
        "sklearn/datasets/images/china.jpg",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/camera.png",
        "skimage/data/brick.png",
        "skimage/data/retina.jpg",
        "skimage/data/gravel.png",
    ),
    "valid": ("skimage/data/rocket.jpg", "skimage/data/coins.png", "skimage/data/motorcycle_left.png"),
    "test": (
        "skimage/data/coffee.png",
        "skimage/data/chelsea.png",
        "sklearn/datasets/images/flower.jpg",
        "matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        "skimage/data/moon.png",
    ),
}
EDITIONS = tuple(PHOTOGRAPHS)
SETS = ("Set5", "Set12", "Classic5", "Kodak24", "T91", "Train400")


def photographs(edition="train"):
    """The embedded photographs of an edition: {name: uint8 (H, W, 3)}; grey ones have three equal channels.

    Args:
        edition: "train", "valid" or "test".

    Raises:
        CourseError: no such edition.
    """
    check_edition(edition)
    return {Path(path).stem: np.asarray(open_photograph(path)) for path in PHOTOGRAPHS[edition]}


def check_edition(edition):
    """Raise CourseError unless there is such an edition."""
    if edition not in EDITIONS:
        raise CourseError(f"edition {edition!r}: choose one of {', '.join(EDITIONS)}")


@cache
def open_photograph(path):
    """The photograph `package/path` as a PIL image, RGB."""
    return Image.open(inside(path)).convert("RGB")


def inside(path):
    """The file `package/path` of an installed package, found without importing it (scikit-learn takes two seconds)."""
    package, path = path.split("/", 1)
    return Path(find_spec(package).origin).parent / path


def standard_set(name):
    """The images of a standard set of the literature, {name: uint8 (H, W, 3)}; empty where the set is not there.

    The sets may not be handed on with the course. They are looked for in the folder that the environment variable
    COURSE_BENCHMARKS names, and in shared/data beside a clone of the repository; each in a folder of its own name.

    Args:
        name: one of SETS. Set5: super-resolution, RGB; Set12, Classic5: grey (three equal channels); Kodak24: RGB; T91,
            Train400: to train on.

    Raises:
        CourseError: no such set.
    """
    from course_utils.images import read_image

    return {path.stem: read_image(path) for path in files_of(name)}


def files_of(name):
    """The image files of a standard set, in the order of their names; none where it is not there.

    Raises:
        CourseError: no such set.
    """
    if name not in SETS:
        raise CourseError(f"standard set {name!r}: choose one of {', '.join(SETS)}")
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("COURSE_BENCHMARKS") or beside) / name
    return sorted(path for path in folder.glob("*") if path.suffix in (".bmp", ".png", ".jpg"))
