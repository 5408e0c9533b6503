"""Budgets: how much a lesson may compute, and the one line that its first cell prints.

A lesson runs under a profile: `test` (seconds, for CI), `cpu` (each training at most a minute on two cores) or `gpu`
(the full recipe). The device chooses it, or the environment variable COURSE_PROFILE. Nothing asks for a GPU.
"""

import os
import random
from dataclasses import dataclass
from importlib import metadata

from course_utils.files import CourseError

NAMES = ("test", "cpu", "gpu")


@dataclass(frozen=True)
class Profile:
    """A budget: its name ("test", "cpu" or "gpu") and the device to compute on ("cpu", "cuda" or "mps")."""

    name: str
    device: str

    def choose(self, *, test, cpu, gpu):
        """The value for this profile: `steps = profile.choose(test=5, cpu=400, gpu=20_000)`."""
        return {"test": test, "cpu": cpu, "gpu": gpu}[self.name]


def current():
    """The profile of this run: COURSE_PROFILE where it is set, else `gpu` where CUDA is available, else `cpu`.

    The profile is a budget: under `cpu`, a computer with a GPU still computes on it.

    Raises:
        CourseError: COURSE_PROFILE is none of test, cpu and gpu.
    """
    device = _device()
    name = os.environ.get("COURSE_PROFILE", "").strip() or ("gpu" if device == "cuda" else "cpu")
    if name not in NAMES:
        raise CourseError(f"COURSE_PROFILE is {name!r}; set it to {', '.join(NAMES[:-1])} or {NAMES[-1]}, or unset it")
    return Profile(name, device)


def _device():
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def setup(lesson, minutes=None):
    """Print one line about this run of a lesson and return its Profile. Seeds nothing: see `seed_everything`.

    The line names the version of the kit, the device, the profile and the minutes that the lesson takes under it. A
    second one follows only if a package is outside the range that the kit is tested with.

    Args:
        lesson: its name, for example "05_dncnn".
        minutes: expected minutes by profile, for example {"cpu": 4, "gpu": 12}; a profile may be missing.

    Raises:
        CourseError: COURSE_PROFILE is none of test, cpu and gpu.
    """
    from course_utils import __version__

    profile = current()
    parts = [f"course_utils {__version__}", describe(profile.device), f"profile {profile.name}"]
    expected = (minutes or {}).get(profile.name)
    if expected is not None:
        parts.append(f"about {expected} min")
    print(f"{lesson}: " + ", ".join(parts))
    untested = outside_range()
    if untested:
        print(advice(untested))
    return profile


def describe(device):
    """A device in words: the name of the GPU, or the number of CPU cores."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return "Apple GPU" if device == "mps" else f"CPU with {cores()} cores"


def cores():
    """The number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seed_everything(seed):
    """Seed Python's random, NumPy and torch (on every device) with the integer `seed`."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def requirements(extra=None):
    """What course-utils needs, as `packaging` requirements: its core, or what an extra adds ("lab", "author", ...).

    Empty where the package's metadata are missing (the folder is on the path, but nothing is installed).
    """
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("course-utils") or []
    except metadata.PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    core = [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]
    if extra is None:
        return core
    return [r for r in found if r not in core and r.marker.evaluate({"extra": extra})]


def installed(name):
    """The installed version of a distribution, or None. Any build of OpenCV counts: all of them provide `cv2`."""
    names = OPENCV if name in OPENCV else (name,)
    for candidate in names:
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")


def outside_range():
    """(requirement, installed version) of each core package whose version is not in the tested range; missing: None."""
    try:
        found = [(r, installed(r.name)) for r in requirements()]
    except ImportError:  # without `packaging` nothing can be compared, and nothing is known to be wrong
        return []
    return [(r, v) for r, v in found if v is None or not r.specifier.contains(v, prereleases=True)]


def advice(untested):
    """One line about packages outside the tested range, and the way out."""
    listed = ", ".join(f"{r.name} {v or 'is missing'} (tested: {r.specifier})" for r, v in untested)
    wanted = " ".join(f"'{r.name}{r.specifier}'" for r, _ in untested)
    return f"Outside the tested range: {listed}. If something fails: pip install {wanted}, then restart the kernel."
