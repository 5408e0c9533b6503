"""The doctor finds what is missing, says what to do, and survives whatever is broken."""

import importlib
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from course_utils import doctor, profiles
from course_utils.doctor import Finding


@pytest.fixture(scope="module")
def here():
    return doctor.examine()


def test_a_machine_that_runs_the_tests_is_healthy(here):
    assert doctor.healthy(here), doctor.report(here)
    assert {finding.level for finding in here} <= set(doctor.LEVELS)
    text = doctor.report(here)
    for part in (
        "Python 3",
        "torch 2",
        "import torchvision works",
        "profile ",
        "GB of memory",
        "data folder ",
        "[lab]",
    ):
        assert part in text
    assert text.endswith("Ready.")


def test_problems_and_notes_come_with_the_way_out(here):
    assert all(finding.remedy for finding in here if finding.level != "ok")
    text = doctor.report([Finding("ok", "fine"), Finding("problem", "torch is missing", "pip install torch")])
    assert "  problem  torch is missing\n           -> pip install torch\n1 problem to solve first." in text


def test_notes_are_healthy_and_problems_are_not():
    assert doctor.healthy([Finding("ok", "a"), Finding("note", "b", "c")])
    assert not doctor.healthy([Finding("ok", "a"), Finding("problem", "b", "c")])


@pytest.mark.parametrize(
    ("version", "level", "part"),
    [
        (None, "problem", "torch is missing"),
        ("2.5.0", "problem", "older"),
        ("3.1", "note", "newer"),
        ("2.11.0+cpu", "ok", "2.11"),
    ],
)
def test_each_package_is_compared_with_its_range(monkeypatch, version, level, part):
    monkeypatch.setattr(profiles, "requirements", lambda: [Requirement("torch>=2.6,<3")])
    monkeypatch.setattr(profiles, "installed", lambda _: version)
    (finding,) = doctor.packages()
    assert finding.level == level and part in finding.text
    assert level == "ok" or "pip install 'torch<3,>=2.6'" in finding.remedy


def test_missing_extras_are_only_noted(monkeypatch):
    monkeypatch.setattr(profiles, "installed", lambda _: None)
    findings = list(doctor.extras())
    assert [finding.level for finding in findings] == ["note"] * 3
    assert "jupyterlab" in findings[0].text and "course-utils[lab]" in findings[0].remedy


def test_a_torchvision_that_does_not_fit_is_found(monkeypatch):
    def refuse(name):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        return sys

    monkeypatch.setattr(importlib, "import_module", refuse)
    torch, torchvision, cv2 = doctor.imports()
    assert (torch.level, torchvision.level, cv2.level) == ("ok", "problem", "ok")
    assert torchvision.text.endswith("nms does not exist") and "a pair" in torchvision.remedy


@pytest.mark.parametrize(("colab", "count"), [(True, 0), (False, 1)])
def test_several_opencv_packages_are_noted_except_on_colab(monkeypatch, colab, count):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "5.0")
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    if colab:
        monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert [finding.level for finding in doctor.opencv()] == ["note"] * count


def test_one_opencv_package_is_nothing_to_mention():
    assert list(doctor.opencv()) == []


def test_a_wrong_profile_is_a_problem(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    (finding,) = doctor.device()
    assert finding.level == "problem" and "test, cpu or gpu" in finding.text


def test_the_data_folder_need_not_exist_yet(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_home", lambda: tmp_path / "a" / "b")
    (finding,) = doctor.data_folder()
    assert finding.level in ("ok", "note") and not (tmp_path / "a").exists()


def test_a_data_folder_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_home", lambda: tmp_path / "file" / "data")
    (tmp_path / "file").write_text("")
    (finding,) = doctor.data_folder()
    assert finding.level == "problem" and "is not a folder" in finding.text and "COURSE_HOME" in finding.remedy
    (tmp_path / "file").unlink()
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    (finding,) = doctor.data_folder()
    assert finding.level == "problem" and "cannot be written" in finding.text


def test_a_full_disk_is_noted(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_home", lambda: tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1e9}))
    (finding,) = doctor.data_folder()
    assert finding.level == "note" and "1.0 GB free" in finding.text


def test_the_data_folder_follows_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "mine"))
    assert doctor._home() == tmp_path / "mine"


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def broken():
        yield Finding("ok", "so far")
        raise OSError("no /proc")

    monkeypatch.setattr(doctor, "CHECKS", (broken, doctor.memory))
    first, second = doctor.examine()
    assert first.level == "problem" and "broken failed: OSError: no /proc" in first.text and first.remedy
    assert "CPU cores" in second.text


def test_examines_a_python_in_which_nothing_can_be_imported():
    names = ("torch", "torchvision", "numpy", "cv2", "PIL", "packaging", "psutil")
    code = f"""
import sys
sys.modules.update(dict.fromkeys({names}))
from course_utils import doctor
print(doctor.report())
sys.exit(not doctor.healthy())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not done.stderr
    for part in ("import torch fails", "import torchvision fails", "import cv2 fails", "unknown without torch"):
        assert part in done.stdout
    assert "problems to solve first" in done.stdout
