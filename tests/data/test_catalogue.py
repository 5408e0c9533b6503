"""The catalogue: each data set arrives in its folder, from the source that should be asked first. Offline."""

import io
import shutil
import subprocess
import sys
import types
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import data
from course_utils.data import catalogue
from course_utils.files import CourseError

NAMES = ("train_clean.zip", "train_scan.zip", "test_scan.zip")


def png(value=0, size=(8, 6)):
    buffer = io.BytesIO()
    Image.fromarray(np.full((*size[::-1], 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_zip(path, entries):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            file.writestr(name, content)


@pytest.fixture
def course_home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSE_MIRROR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def mirror(tmp_path):
    """The three archives, each packed in another way, as people do."""
    folder = tmp_path / "mirror"
    write_zip(folder / "train_clean.zip", {"0001.png": png(1), "0002.png": png(2)})
    write_zip(folder / "train_scan.zip", {"train_scan/0001.png": png(3), "train_scan/0002.png": png(4)})
    mac = {"__MACOSX/test/._0003.png": b"mac", "test/scan/.DS_Store": b"mac"}
    write_zip(folder / "test_scan.zip", {"test/": b"", "test/scan/0003.png": png(5)} | mac)
    return folder


@pytest.fixture
def drive(monkeypatch):
    """Google Drive: which of the three ids brings which file is not their order. Counts the calls."""
    calls = []

    def install(folder, names=("test_scan.zip", "train_clean.zip", "train_scan.zip")):
        def download(*, id, output, quiet, resume):
            calls.append(id)
            if folder is None:
                raise RuntimeError("Too many users have viewed or downloaded this file recently.")
            name = names[catalogue.DRIVE_IDS.split(",").index(id)]
            Path(output, name).write_bytes((folder / name).read_bytes())
            return output + name

        monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=download))
        return calls

    return install


def images(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


ALL = ["test/scan/0003.png", "train/clean/0001.png", "train/clean/0002.png", "train/scan/0001.png"]
ALL += ["train/scan/0002.png"]


def test_importing_the_package_is_light():
    heavy = "torch", "cv2", "requests", "gdown", "PIL", "numpy"
    code = f"import sys, course_utils.data as d; dir(d); print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_exported_name_is_there():
    for name in data.__all__:
        if name not in ("make_pages", "magazine_page"):
            assert callable(getattr(data, name))
    with pytest.raises(AttributeError, match="has no 'nothing'; it has datasets, fetch"):
        _ = data.nothing


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", "~/course")
    assert data.home() == Path.home() / "course"
    monkeypatch.delenv("COURSE_HOME")
    assert data.home() == Path.home() / ".cache" / "course_utils"


def test_the_records_say_what_one_must_know():
    assert {"pages", "descan"} <= set(data.datasets())
    assert "CC BY-NC-SA 3.0" in data.datasets()["descan"].licence
    with pytest.raises(TypeError):
        data.datasets()["mine"] = None


def test_pages_are_made(course_home, monkeypatch):
    made = []
    stand_in = types.SimpleNamespace(make_pages=lambda folder, *, progress=True: made.append(progress) or folder)
    monkeypatch.setitem(sys.modules, "course_utils.data.pages", stand_in)
    monkeypatch.setattr(data, "pages", stand_in, raising=False)
    assert data.fetch("pages", progress=False) == course_home / "pages"
    assert data.fetch("pages", folder=course_home / "other") == course_home / "other"
    assert made == [False, True]


@pytest.mark.parametrize("by", ["argument", "list", "environment"])
def test_descan_from_the_instructors_mirror(course_home, mirror, drive, monkeypatch, capsys, by):
    calls = drive(None)
    if by == "environment":
        monkeypatch.setenv("COURSE_MIRROR", f"{mirror}/")
    mirrors = {"argument": mirror, "list": [mirror.parent / "none", str(mirror)], "environment": ()}[by]
    root = data.fetch("descan", mirrors=mirrors)
    assert root == course_home / "descan"
    assert images(root) == ALL
    assert "CC BY-NC-SA 3.0" in capsys.readouterr().out
    assert calls == []
    shutil.rmtree(root / "archives")
    data.fetch("descan", progress=False)  # all is there: neither mirror nor Drive is asked, and no archive is needed
    assert calls == []
    assert capsys.readouterr().out == ""


def test_descan_from_drive_by_the_arriving_names(course_home, mirror, drive):
    calls = drive(mirror)
    root = data.fetch("descan", progress=False)
    assert images(root) == ALL
    assert np.asarray(Image.open(root / "train/scan/0001.png"))[0, 0, 0] == 3
    assert len(calls) == 3
    assert [name for name in (root / "archives").iterdir() if name.is_dir()] == []


def test_drive_is_asked_only_for_what_the_mirror_lacks(course_home, mirror, drive, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (mirror / "train_clean.zip").rename(half / "train_clean.zip")
    calls = drive(mirror)
    (mirror / "train_clean.zip").write_bytes((half / "train_clean.zip").read_bytes())
    assert images(data.fetch("descan", mirrors=half, progress=False)) == ALL
    assert len(calls) <= 3


def test_archives_put_there_by_hand(course_home, mirror, drive):
    drive(None)
    with pytest.raises(CourseError) as error:
        data.fetch("descan", mirrors=mirror.parent / "none", progress=False)
    message = str(error.value)
    assert "none/train_clean.zip: there is no such file" in message
    assert "too many users have downloaded" in message
    assert all(f"https://drive.google.com/file/d/{name}/view" in message for name in catalogue.DRIVE_IDS.split(","))
    folder = course_home / "descan" / "archives"
    assert f"put it into {folder} as train_clean.zip" in message
    for name in NAMES:
        (folder / name).write_bytes((mirror / name).read_bytes())
    assert images(data.fetch("descan", progress=False)) == ALL


def test_an_interrupted_call_is_completed(course_home, mirror, drive, monkeypatch):
    drive(None)
    real = catalogue._folder_of_images

    def stop(folder, name, archive):
        if archive == "train_scan.zip":
            raise KeyboardInterrupt
        return real(folder, name, archive)

    monkeypatch.setattr(catalogue, "_folder_of_images", stop)
    with pytest.raises(KeyboardInterrupt):
        data.fetch("descan", mirrors=mirror, progress=False)
    assert not (course_home / "descan/train/scan").exists()
    monkeypatch.setattr(catalogue, "_folder_of_images", real)
    assert images(data.fetch("descan", mirrors=mirror, progress=False)) == ALL


def test_an_archive_with_something_else_in_it(course_home, mirror, drive):
    drive(None)
    write_zip(mirror / "train_clean.zip", {"a/1.png": png(), "b/1.png": png()})
    with pytest.raises(CourseError, match=r"train_clean\.zip should hold one folder of images, but has a, b; check"):
        data.fetch("descan", mirrors=mirror, progress=False)
    assert not (course_home / "descan/train").exists()


@pytest.mark.parametrize("interrupted", [False, True])
def test_descan18k_has_two_folders_in_an_archive(course_home, tmp_path, monkeypatch, interrupted):
    record, archives = data.datasets()["descan18k"], []
    for archive in record.archives:
        stem = Path(archive.name).stem
        write_zip(tmp_path / archive.name, {f"{stem}/scan/1.tif": b"scan", f"{stem}/clean/1.tif": b"clean"})
        archives.append(replace(archive, size=None, sha256=None))
    monkeypatch.setitem(catalogue._DATASETS, "descan18k", replace(record, archives=tuple(archives)))
    if interrupted:
        with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
            real = catalogue._folder_of_images
            patch.setattr(catalogue, "_folder_of_images", lambda *a: real(*a) if a[1] == "clean" else 1 // 0)
            data.fetch("descan18k", mirrors=tmp_path, progress=False)
        assert [path.name for path in (course_home / "descan18k/valid").iterdir()] == ["clean"]
    root = data.fetch("descan18k", mirrors=tmp_path, progress=False)
    assert (root / "valid/clean/1.tif").read_bytes() == b"clean"
    assert (root / "test/scan/1.tif").read_bytes() == b"scan"


def test_an_archive_of_another_size_than_the_catalogue_says_is_refused(course_home, tmp_path, monkeypatch):
    write_zip(tmp_path / "Valid.zip", {"Valid/scan/1.tif": b"scan"})
    record = data.datasets()["descan18k"]
    offline = tuple(replace(archive, sources=(), size=754_770_440) for archive in record.archives)
    monkeypatch.setitem(catalogue._DATASETS, "descan18k", replace(record, archives=offline))
    with pytest.raises(CourseError, match="bytes, not 754,770,440"):
        data.fetch("descan18k", mirrors=tmp_path, progress=False)


def test_a_folder_of_ones_own(tmp_path):
    for folder in ("clean", "scan"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(png())
    assert data.fetch(tmp_path) == tmp_path
    (tmp_path / "scan" / "1.png").write_bytes(png(size=(9, 9)))
    with pytest.raises(CourseError, match=r"1\.png is 9x9 but .*1\.png is 8x6"):
        data.fetch(tmp_path)
    (tmp_path / "scan" / "2.png").write_bytes(png())
    with pytest.raises(CourseError, match=r"scan/2\.png has no partner"):
        data.fetch(tmp_path)


def test_an_unknown_name(course_home):
    with pytest.raises(CourseError, match=r"^descann: no such data set; it is pages, descan, descan18k, or a folder"):
        data.fetch("descann")
