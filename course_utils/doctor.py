"""`course doctor`: is this machine ready for the lessons, and if not, what to do.

Each check yields findings; none may fail, whatever is missing or broken: a torch that does not import is a finding too.
"""

import importlib
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from course_utils import profiles

LEVELS = ("ok", "note", "problem")
EXTRAS = {"lab": "JupyterLab", "author": "building and running lessons", "live": "live viewers"}
ENOUGH_DISK = 5.0  # GB: data sets of the lessons, checkpoints and results
ENOUGH_MEMORY = 3.0  # GB: torch, a training batch and a page at full size


@dataclass(frozen=True)
class Finding:
    """One result: a level of LEVELS, what was found in one line, and the way out (empty where all is well)."""

    level: str
    text: str
    remedy: str = ""


def examine():
    """All findings, in the order of the checks; never raises."""
    findings = []
    for check in CHECKS:
        try:
            findings += list(check())
        except Exception as error:  # a broken check is news too, and hides no other
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            findings.append(Finding("problem", f"the check {check.__name__} failed: {reason}", REINSTALL))
    return findings


def healthy(findings=None):
    """True if no finding is a problem (notes are allowed). Examines the machine where no findings are given."""
    findings = examine() if findings is None else findings
    return all(finding.level != "problem" for finding in findings)


def report(findings=None):
    """The findings as text: one line each, with the way out below it, and a verdict at the end."""
    from course_utils import __version__

    findings = examine() if findings is None else findings
    lines = [f"course_utils {__version__}"]
    for finding in findings:
        lines.append(f"  {finding.level:8} {finding.text}")
        if finding.remedy:
            lines.append(f"           -> {finding.remedy}")
    problems = sum(finding.level == "problem" for finding in findings)
    verdict = "Ready." if not problems else f"{problems} problem{'s' if problems > 1 else ''} to solve first."
    return "\n".join([*lines, verdict])


REINSTALL = "pip install course-utils brings everything that is needed; then restart Python"


def python():
    """The Python version, against the range in the package's metadata."""
    from importlib import metadata

    version = platform.python_version()
    try:
        wanted = metadata.metadata("course-utils")["Requires-Python"]
    except metadata.PackageNotFoundError:
        yield Finding("ok", f"Python {version}")
        yield Finding("note", "course-utils is used without being installed", "pip install -e . in its repository")
        return
    from packaging.specifiers import SpecifierSet

    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield Finding("ok", f"Python {version}")
    else:
        yield Finding("problem", f"Python {version} is not {wanted}", f"make an environment with Python {wanted}")


def packages():
    """Each core dependency: present, and within the range that the kit is tested with."""
    fine = []
    for requirement in profiles.requirements():
        version = profiles.installed(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        if version is None:
            yield Finding("problem", f"{requirement.name} is missing", f"pip install '{wanted}'")
        elif requirement.specifier.contains(version, prereleases=True):
            fine.append(f"{requirement.name} {version}")
        else:
            level, age = ("problem", "older") if _older(version, requirement.specifier) else ("note", "newer")
            text = f"{requirement.name} {version} is {age} than the tested range {requirement.specifier}"
            yield Finding(level, text, f"pip install '{wanted}', then restart Python" + _if_needed(level))
    if fine:
        yield Finding("ok", "packages: " + ", ".join(fine))


def _older(version, specifier):
    from packaging.version import Version

    return any(part.operator == ">=" and Version(version) < Version(part.version) for part in specifier)


def _if_needed(level):
    return ", if something fails" if level == "note" else ""


def extras():
    """The optional parts; missing ones are only noted."""
    for extra, purpose in EXTRAS.items():
        wanted = profiles.requirements(extra)
        missing = [r.name for r in wanted if profiles.installed(r.name) is None]
        if missing:
            remedy = f"pip install 'course-utils[{extra}]', if you want it"
            yield Finding("note", f"[{extra}] ({purpose}) is not installed: no {', '.join(missing)}", remedy)
        elif wanted:
            yield Finding("ok", f"[{extra}] ({purpose})")


def imports():
    """torch and torchvision come as a pair, and cv2 from one of four packages: do they import?"""
    for name, remedy in IMPORTS.items():
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a mismatched pair raises RuntimeError, a missing system library OSError
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            yield Finding("problem", f"import {name} fails: {reason}", remedy)
        else:
            yield Finding("ok", f"import {name} works ({getattr(module, '__version__', 'no version')})")


IMPORTS = {
    "torch": "pip install torch torchvision (both in one command)",
    "torchvision": "pip install --force-reinstall torch torchvision (a pair: both from PyPI, or both from one index)",
    "cv2": "pip uninstall every opencv package, then pip install opencv-python-headless",
}


def opencv():
    """Several OpenCV packages write into the one folder `cv2`. Colab has three on purpose."""
    from importlib import metadata

    found = []
    for name in profiles.OPENCV:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    if len(found) > 1 and "COLAB_RELEASE_TAG" not in os.environ:
        remedy = f"if cv2 fails: {IMPORTS['cv2']}"
        yield Finding("note", f"{len(found)} packages provide cv2: {', '.join(found)}", remedy)


def device():
    """The profile under which a lesson would run here, and on what."""
    from course_utils.files import CourseError

    try:
        profile = profiles.current()
    except CourseError as error:
        yield Finding("problem", str(error), "unset COURSE_PROFILE")
    except ImportError:
        yield Finding("problem", "device and profile are unknown without torch", IMPORTS["torch"])
    else:
        yield Finding("ok", f"profile {profile.name} on {profiles.describe(profile.device)}")


def memory():
    """RAM and CPU cores."""
    if not hasattr(os, "sysconf"):
        yield Finding("ok", f"{profiles.cores()} CPU cores")
        return
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    text = f"{size:.0f} GB of memory, {profiles.cores()} CPU cores"
    if size < ENOUGH_MEMORY:
        yield Finding("note", f"{text}: little for training", "use smaller batches, or run the lessons on Colab")
    else:
        yield Finding("ok", text)


def data_folder():
    """Where the data go: a folder that can be written, with room for them."""
    home = _home()
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(there).free / 1e9
    remedy = "set COURSE_HOME to a folder that can be written and has room"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        why = "is not a folder" if not there.is_dir() else "cannot be written"
        yield Finding("problem", f"data folder {home}: {there} {why}", remedy)
    elif free < ENOUGH_DISK:
        yield Finding("note", f"data folder {home}: {free:.1f} GB free, {ENOUGH_DISK:.0f} are comfortable", remedy)
    else:
        yield Finding("ok", f"data folder {home}: {free:.0f} GB free")


def _home():
    try:
        from course_utils.data import home

        return Path(home()).absolute()
    except Exception:  # the data package needs what may be missing here; the rule for its folder is simple enough
        return Path(os.environ.get("COURSE_HOME") or "~/.cache/course_utils").expanduser().absolute()


CHECKS = (python, packages, extras, imports, opencv, device, memory, data_folder)
