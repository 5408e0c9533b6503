"""Budgets, the line that a lesson prints first, seeds, and what counts as the tested range."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement

import course_utils as cu
from course_utils import profiles
from course_utils.files import CourseError
from course_utils.profiles import Profile


@pytest.mark.parametrize(
    ("variable", "device", "expected"),
    [
        ("", "cpu", Profile("cpu", "cpu")),
        ("", "cuda", Profile("gpu", "cuda")),
        ("", "mps", Profile("cpu", "mps")),
        ("test", "cpu", Profile("test", "cpu")),
        ("test", "cuda", Profile("test", "cuda")),
        ("cpu", "cuda", Profile("cpu", "cuda")),
        ("gpu", "cpu", Profile("gpu", "cpu")),
    ],
)
def test_the_device_or_the_variable_chooses_the_profile(monkeypatch, variable, device, expected):
    monkeypatch.setenv("COURSE_PROFILE", variable)
    monkeypatch.setattr(profiles, "_device", lambda: device)
    assert profiles.current() == expected


def test_without_the_variable_the_device_decides(monkeypatch):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    assert profiles.current().name == ("gpu" if torch.cuda.is_available() else "cpu")


def test_an_unknown_profile_is_named_with_the_three(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    with pytest.raises(CourseError, match=r"COURSE_PROFILE is 'fast'; set it to test, cpu or gpu"):
        profiles.current()


@pytest.mark.parametrize(("name", "value"), [("test", 1), ("cpu", 2), ("gpu", 3)])
def test_choose_takes_the_value_of_the_profile(name, value):
    assert Profile(name, "cpu").choose(test=1, cpu=2, gpu=3) == value


def test_setup_prints_one_line(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    monkeypatch.setattr(profiles, "outside_range", list)
    monkeypatch.setattr(profiles, "cores", lambda: 2)
    monkeypatch.setattr(profiles, "_device", lambda: "cpu")
    assert cu.setup("05_dncnn", minutes={"cpu": 4, "gpu": 12}) == Profile("cpu", "cpu")
    line = f"05_dncnn: course_utils {cu.__version__}, CPU with 2 cores, profile cpu, about 4 min\n"
    assert capsys.readouterr().out == line


def test_setup_without_expected_minutes_says_nothing_about_them(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "test")
    profiles.setup("05_dncnn", minutes={"gpu": 12})
    assert "min" not in capsys.readouterr().out


def test_setup_names_a_gpu(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    monkeypatch.setattr(profiles, "_device", lambda: "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    assert profiles.setup("x", minutes={"gpu": 12}).device == "cuda"
    assert "Tesla T4, profile gpu, about 12 min" in capsys.readouterr().out


def test_packages_outside_the_tested_range_are_named_with_the_way_out(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "test")
    monkeypatch.setattr(profiles, "requirements", lambda: [Requirement("pillow>=11,<14"), Requirement("tqdm>=4")])
    monkeypatch.setattr(profiles, "installed", {"pillow": "14.1", "tqdm": "4.67.3"}.get)
    profiles.setup("x")
    line = capsys.readouterr().out.splitlines()[1]
    assert "pillow 14.1 (tested: <14,>=11)" in line and "pip install 'pillow<14,>=11'" in line and "tqdm" not in line


def test_the_packages_here_are_in_the_tested_range():
    assert profiles.outside_range() == []
    names = {requirement.name for requirement in profiles.requirements()}
    assert {"numpy", "torch", "torchvision"} <= names and "pytest" not in names and "jupyterlab" not in names
    assert [requirement.name for requirement in profiles.requirements("lab")] == ["jupyterlab"]


@pytest.mark.parametrize(
    ("version", "outside"), [(None, True), ("2.5.1", True), ("2.6.0+cu124", False), ("3.0.0", True)]
)
def test_versions_are_compared_as_versions(monkeypatch, version, outside):
    monkeypatch.setattr(profiles, "requirements", lambda: [Requirement("torch>=2.6,<3")])
    monkeypatch.setattr(profiles, "installed", lambda _: version)
    assert bool(profiles.outside_range()) == outside


def test_any_build_of_opencv_counts(monkeypatch):
    def version(name):
        if name == "opencv-contrib-python":
            return "4.14.0"
        raise profiles.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(profiles.metadata, "version", version)
    assert profiles.installed("opencv-python-headless") == "4.14.0"
    assert profiles.installed("numpy") is None


def test_a_copy_that_is_not_installed_has_no_range(monkeypatch):
    def requires(name):
        raise profiles.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(profiles.metadata, "requires", requires)
    assert profiles.requirements() == [] and profiles.outside_range() == []


def test_a_seed_fixes_all_three_generators():
    draw = lambda: (random.random(), np.random.rand(), torch.rand(1).item())
    profiles.seed_everything(3)
    first = draw()
    assert draw() != first
    profiles.seed_everything(3)
    assert draw() == first
    profiles.seed_everything(4)
    assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_setup_touches_no_generator(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "test")
    states = lambda: (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    before = states()
    profiles.setup("x")
    assert states() == before


def test_importing_profiles_imports_no_torch():
    code = "import sys, course_utils.profiles; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
