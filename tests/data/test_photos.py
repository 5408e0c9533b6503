"""Photographs that come with the libraries, and the standard sets."""

import numpy as np
import pytest

from course_utils import data
from course_utils.data.photos import PHOTOGRAPHS, SETS
from course_utils.files import CourseError


def test_each_edition_has_photographs_of_its_own():
    names = [set(data.photographs(edition)) for edition in PHOTOGRAPHS]
    assert [len(found) for found in names] == [7, 3, 5]
    assert len(set.union(*names)) == 15
    for image in data.photographs("test").values():
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) >= 300


def test_no_such_edition():
    with pytest.raises(CourseError, match="choose one of train, valid, test"):
        data.photographs("tests")


def test_standard_sets_where_they_are(tmp_path, monkeypatch):
    from course_utils.images import write_image

    monkeypatch.setenv("COURSE_BENCHMARKS", str(tmp_path))
    assert all(data.standard_set(name) == {} for name in SETS)
    (tmp_path / "Set5").mkdir()
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_image(tmp_path / "Set5" / "b.png", image)
    write_image(tmp_path / "Set5" / "a.bmp", image)
    (tmp_path / "Set5" / "notes.txt").touch()
    found = data.standard_set("Set5")
    assert list(found) == ["a", "b"] and np.array_equal(found["b"], image)
    with pytest.raises(CourseError, match="choose one of Set5"):
        data.standard_set("Set14")
