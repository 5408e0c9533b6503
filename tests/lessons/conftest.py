"""A small repository of lessons, for tests."""

import sys

import pytest
from toys import ANSWERS, SETTINGS


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A function that puts sources into a small repository and returns its root."""
    root = tmp_path / "repository"
    (root / "lessons" / "source").mkdir(parents=True)
    (root / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "answers_of_tests.py").write_text(ANSWERS)
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.delitem(sys.modules, "answers_of_tests", raising=False)

    def write(**sources):
        for name, text in sources.items():
            (root / "lessons" / "source" / f"{name.removeprefix('_')}.py").write_text(text)
        return root

    return write
