"""What a class handed in: every layout and every oddity gives one record per student, and touches nothing else."""

import io
import os
import pickle
import random
import re
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from course_utils.files import CourseError
from course_utils.grading import submissions as module
from course_utils.grading.submissions import find

FIVE = "05_dncnn.ipynb"


def lay(root, *names):
    """Write files; what is in each is its own name. A name that ends in / is a folder."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(os.fsencode(name))
    return root


def packed(members, compression=zipfile.ZIP_DEFLATED):
    """A zip as bytes, of names (their own content), or {name or ZipInfo: content}."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name in members:
            content = members[name] if isinstance(members, dict) else name.encode()
            archive.writestr(name, content, compression)
    return stream.getvalue()


def repacked(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(folder.rglob("*")):
            archive.write(each, each.relative_to(folder))
    return path


def summary(found):
    return {each.key: [file.name for file in each.files] for each in found}


def only(found):
    (submission,) = found
    return submission


# Layouts


def test_a_folder_per_student(tmp_path):
    lay(tmp_path, f"ada/{FIVE}", "ada/data/report.pdf", "bob/x/y/05.py", "bob/x/05.ipynb", "README.md", "grades.csv")
    found = find(tmp_path)
    assert summary(found) == {"ada": [FIVE], "bob": ["x/y/05.py", "x/05.ipynb"]}
    assert [each.student for each in found] == ["ada", "bob"]
    assert all(each.ids == {} and not each.late and each.notices == () for each in found)
    assert found[0].files[0].read() == f"ada/{FIVE}".encode()
    assert found[0].files[0].path == tmp_path.resolve() / "ada" / FIVE


def test_flat_files_and_their_endings(tmp_path):
    lay(tmp_path, "ada.ipynb", "bob.py", "Cid O'Neil.IPYNB", "list.csv", "notes.md")
    (tmp_path / "dora.zip").write_bytes(packed([f"work/{FIVE}"]))
    lay(tmp_path, "eve.rar")
    found = find(tmp_path)
    assert {each.student: [file.name for file in each.files] for each in found} == {
        "ada": ["ada.ipynb"],
        "bob": ["bob.py"],
        "Cid O'Neil": ["Cid O'Neil.IPYNB"],
        "dora": [f"dora.zip/work/{FIVE}"],
        "eve": [],
    }
    assert found[-1].notices == ("no notebook among 1 file: eve.rar",)


@pytest.mark.parametrize("given", ["submitted", ".", "..", "course.zip", "submitted.zip"])
def test_nbgraders_layout_from_wherever_it_is_given(tmp_path, given):
    (tmp_path / "alone").mkdir()
    course = lay(
        tmp_path / "courses" / "dncnn",
        f"submitted/ada/ps1/{FIVE}",
        "submitted/ada/ps1/timestamp.txt",
        "submitted/bob/ps1/timestamp.txt",
        "submitted/cid/ps1/05.py",
        f"source/ps1/{FIVE}",
        f"release/ps1/{FIVE}",
        f"autograded/ada/ps1/{FIVE}",
        "nbgrader_config.py",
        "gradebook.db",
    )
    path = course / given
    if given.endswith(".zip"):
        if given == "submitted.zip":  # that folder alone
            course = (course / "submitted").rename(tmp_path / "alone" / "submitted").parent
        path = repacked(course, tmp_path / given)
    ada, bob, cid = find(path)
    assert (cid.ids, len(cid.files)) == ({"nbgrader": "cid"}, 1)
    assert (ada.key, ada.ids, [file.name for file in ada.files]) == ("ada", {"nbgrader": "ada"}, [f"ps1/{FIVE}"])
    assert ada.files[0].read() == f"submitted/ada/ps1/{FIVE}".encode()
    assert (bob.files, bob.notices) == ((), ("no file at all",))


CANVAS = (
    f"lovelaceada_4711_90210_{FIVE}",
    "lovelaceada_LATE_4711_90350_05_dncnn-1.ipynb",
    "lovelaceada_4711_90220_00_welcome.ipynb",
    "núñezzoë_4712_90300_Mein Heft (2)_final.ipynb",
    "李_4713_90301_report.pdf",
    "ملاك_4714_90302_05.py",
    "turing_4715_text.html",
    "hopper_LATE_4716_link.html",
)


@pytest.mark.parametrize("zipped", [False, True])
def test_canvas_bulk_download(tmp_path, zipped):
    path = lay(tmp_path / "download", *CANVAS)
    found = find(repacked(path, tmp_path / "submissions.zip") if zipped else path)
    by_id = {each.ids["canvas"]: each for each in found}
    assert len(found) == len(by_id) == 6
    ada = by_id["4711"]
    assert (ada.key, ada.student, ada.late) == ("lovelaceada", "lovelaceada", True)
    assert [file.name for file in ada.files] == [FIVE, "00_welcome.ipynb", "05_dncnn-1.ipynb"]  # as they were uploaded
    assert ada.files[-1].read() == b"lovelaceada_LATE_4711_90350_05_dncnn-1.ipynb"
    assert by_id["4712"].files[0].name == "Mein Heft (2)_final.ipynb"
    assert (by_id["4712"].key, by_id["4714"].student) == ("nunezzoe", "ملاك")
    assert by_id["4713"].notices == ("no notebook among 1 file: report.pdf",)
    assert by_id["4715"].notices == ("no notebook among 1 file: text.html",)
    assert by_id["4716"].late and not by_id["4715"].late


def test_the_highest_attempt_of_a_canvas_file_counts(tmp_path):
    names = [f"ada_LATE_1_90210_05_dncnn{attempt}.ipynb" for attempt in ("", "-1", "-2", "-10")]
    found = only(find(lay(tmp_path, *names)))
    assert [file.name for file in found.files] == [name.removeprefix("ada_LATE_1_90210_") for name in names]


def test_canvas_with_hidden_names(tmp_path):
    lay(tmp_path, f"anon_AbC12_7_{FIVE}", f"LATE_anon_aBc12_8_{FIVE}")
    first, second = find(tmp_path)
    assert {first.student, second.student} == {"anon_AbC12", "anon_aBc12"}
    assert {each.student: each.late for each in (first, second)} == {"anon_AbC12": False, "anon_aBc12": True}
    assert (first.ids, first.key.lower() == second.key.lower()) == ({}, False)


def test_a_file_name_does_not_pass_for_somebody_elses(tmp_path):
    lay(tmp_path, f"eve_5_100_lovelaceada_4711_90210_{FIVE}", f"lovelaceada_4711_90210_{FIVE}")
    assert {each.ids["canvas"]: len(each.files) for each in find(tmp_path)} == {"4711": 1, "5": 1}


def test_two_names_under_one_id_stay_apart_and_are_told(tmp_path):
    lay(tmp_path, f"eve_4711_100_{FIVE}", f"lovelaceada_4711_90_{FIVE}")
    found = find(tmp_path)
    assert [(each.key, len(each.files)) for each in found] == [("eve", 1), ("lovelaceada", 1)]
    assert all("canvas id 4711 stands under 2 names" in each.notices[0] for each in found)


def test_a_flat_file_with_capitals_or_leading_zeros_is_not_canvas(tmp_path):
    found = find(lay(tmp_path, "Ada_1_2_x.ipynb", "kim_2024_05_dncnn.ipynb"))
    assert [(each.student, each.ids) for each in found] == [("Ada_1_2_x", {}), ("kim_2024_05_dncnn", {})]


@pytest.mark.parametrize("end", ["", "_"])  # Moodle from 4.1, and before
@pytest.mark.parametrize("zipped", [False, True])
def test_moodle_in_folders(tmp_path, end, zipped):
    path = lay(
        tmp_path / "download",
        f"Ada Lovelace_4711_assignsubmission_file{end}/{FIVE}",
        f"Ada Lovelace_4711_assignsubmission_onlinetext{end}/onlinetext.html",
        f"Žofie 李_4712_assignsubmission_file{end}/deep/er/05_dncnn (1).ipynb",
        f"Participant_88_assignsubmission_file{end}/essay.pdf",
        f"Participant_89_assignsubmission_file{end}/{FIVE}",
        f"Default group_assignsubmission_file{end}/{FIVE}",
    )
    found = find(repacked(path, tmp_path / "CS1-Homework-99.zip") if zipped else path)
    assert [(each.key, each.ids.get("moodle"), len(each.files)) for each in found] == [
        ("Ada-Lovelace", "4711", 1),
        ("Default-group", None, 1),
        ("Participant-88", "88", 0),
        ("Participant-89", "89", 1),
        ("Zofie", "4712", 1),
    ]
    assert found[-1].student == "Žofie 李"
    assert found[-1].files[0].name == "deep/er/05_dncnn (1).ipynb"
    assert found[2].notices == ("no notebook among 1 file: essay.pdf",)


def test_moodle_flat(tmp_path):
    lay(
        tmp_path,
        f"Ada Lovelace_4711_assignsubmission_file_{FIVE}",
        "Ada Lovelace_4711_assignsubmission_file_helper.py",
        f"Eve_6_assignsubmission_file_Ada Lovelace_4711_assignsubmission_file_{FIVE}",
    )
    ada, eve = find(tmp_path)
    assert (ada.ids, [file.name for file in ada.files]) == ({"moodle": "4711"}, ["helper.py", FIVE])
    assert (eve.ids, len(eve.files)) == ({"moodle": "6"}, 1)


def test_layouts_mixed(tmp_path):
    lay(tmp_path, f"ada/{FIVE}", "bob.ipynb", f"c_3_4_{FIVE}", f"D_5_assignsubmission_file_/{FIVE}", f"ada/more/{FIVE}")
    (tmp_path / "eve.zip").write_bytes(packed([FIVE]))
    assert {each.key: each.ids for each in find(tmp_path)} == {
        "ada": {},
        "bob": {},
        "c": {"canvas": "3"},
        "D": {"moodle": "5"},
        "eve": {},
    }


def test_a_folder_and_a_file_of_one_name_are_one_students(tmp_path):
    lay(tmp_path, f"ada/{FIVE}", "ada.py")
    assert summary(find(tmp_path)) == {"ada": ["ada.py", FIVE]}


@pytest.mark.parametrize("name", ["ada.ipynb", "ada.py"])
def test_a_single_file(tmp_path, name):
    found = only(find(lay(tmp_path, name) / name))
    assert (found.key, found.files[0].read()) == ("ada", name.encode())


@pytest.mark.parametrize("wrapper", ["", "hw5/"])
@pytest.mark.parametrize("inside", [False, True])  # the zip itself, or the folder that it is alone in
def test_a_single_zip_of_a_class(tmp_path, wrapper, inside):
    for names in ([f"ada/{FIVE}", f"bob/{FIVE}", "README.md"], ["ada.ipynb", "bob.py"]):
        (tmp_path / "hw5.zip").write_bytes(packed([wrapper + name for name in names]))
        found = find(tmp_path if inside else tmp_path / "hw5.zip")
        assert [each.key for each in found] == ["ada", "bob"]
        assert found[0].files[0].read() == (wrapper + names[0]).encode()


def test_students_zips_in_the_zip_of_a_class(tmp_path):
    inner = packed({"work/05.ipynb": b"ada's", "more.zip": packed({"00.py": b"deeper"})})
    (tmp_path / "submissions.zip").write_bytes(
        packed({"ada_1_2_work.zip": inner, "bob_3_4_a.ipynb": b"", "bob_3_5_work.zip": inner})
    )
    ada, bob = find(tmp_path)
    assert [file.name for file in ada.files] == ["work.zip/more.zip/00.py", "work.zip/work/05.ipynb"]
    assert [file.read() for file in ada.files] == [b"deeper", b"ada's"]
    assert ada.files[0].members == ("ada_1_2_work.zip", "more.zip", "00.py")
    assert bob.files[0].name == "a.ipynb"


def test_several_bulk_downloads_in_a_folder(tmp_path):
    (tmp_path / "submissions.zip").write_bytes(packed([f"ada_1_2_{FIVE}"]))
    (tmp_path / "submissions (1).zip").write_bytes(packed([f"bob_3_4_{FIVE}", f"ada_1_9_{FIVE}"]))
    found = find(tmp_path)
    assert [(each.key, len(each.files)) for each in found] == [("ada", 2), ("bob", 1)]
    assert found[0].files[-1].members == (f"ada_1_9_{FIVE}",)


def test_one_students_zip_does_not_pass_for_a_bulk_download(tmp_path):
    forged = packed([f"ada_4711_9_{FIVE}", f"bob_4712_9_{FIVE}"])
    (tmp_path / "eve.zip").write_bytes(forged)
    (tmp_path / "fay.zip").write_bytes(packed([FIVE]))
    assert {each.key: (each.ids, len(each.files)) for each in find(tmp_path)} == {"eve": ({}, 2), "fay": ({}, 1)}
    (tmp_path / "fay.zip").unlink()
    lay(tmp_path, "ada.ipynb")
    assert {each.key: len(each.files) for each in find(tmp_path)} == {"ada": 1, "eve": 2}
    (tmp_path / "ada.ipynb").unlink()
    (tmp_path / "eve.zip").rename(tmp_path / "eve_5_6_work.zip")
    assert only(find(tmp_path)).ids == {"canvas": "5"}


def test_a_students_folder_does_not_pass_for_nbgraders(tmp_path):
    lay(tmp_path, f"ada/{FIVE}", f"eve/submitted/ada/ps1/{FIVE}")
    assert summary(find(tmp_path)) == {"ada": [FIVE], "eve": [f"submitted/ada/ps1/{FIVE}"]}


def test_all_as_one_submission(tmp_path):
    lay(tmp_path, FIVE, "helper.py", "src/x.py", "report.pdf")
    (tmp_path / "more.zip").write_bytes(packed(["00.ipynb"]))
    found = only(find(tmp_path, one=True))
    names = ["src/x.py", "helper.py", "more.zip/00.ipynb", FIVE]
    assert (found.key, found.student, [file.name for file in found.files]) == ("submission", "submission", names)
    assert len(find(tmp_path)) > 1
    (tmp_path / "empty").mkdir()
    assert only(find(tmp_path / "empty", one=True)).notices == ("no file at all",)


def test_the_order_of_files_goes_by_names(tmp_path):
    names = ["old/9.ipynb", "05-2.ipynb", "05-10.ipynb", "05.ipynb", "05 (1).ipynb", "z.py"]
    for age, name in enumerate(names):
        lay(tmp_path, f"ada/{name}")
        os.utime(tmp_path / "ada" / name, (age, age))
    ordered = ["z.py", "old/9.ipynb", "05.ipynb", "05 (1).ipynb", "05-2.ipynb", "05-10.ipynb"]
    assert summary(find(tmp_path)) == {"ada": ordered}


# What is left out


def test_what_systems_leave_behind_is_left_out(tmp_path):
    litter = ["__MACOSX/ada/._05.ipynb", ".DS_Store", "ada/.ipynb_checkpoints/05-checkpoint.ipynb", "ada/._05.ipynb"]
    litter += ["ada/.hidden.py", "ada/__pycache__/x.py", ".git/x.py"]
    lay(tmp_path / "a", f"ada/{FIVE}", *litter)
    assert summary(find(tmp_path / "a")) == {"ada": [FIVE]}
    assert summary(find(repacked(tmp_path / "a", tmp_path / "a.zip"))) == {"ada": [FIVE]}


def test_excluded_folders_are_skipped(tmp_path, monkeypatch):
    lay(tmp_path, f"ada/{FIVE}", f"out/feedback/{FIVE}", f"ada/out/{FIVE}")
    monkeypatch.chdir(tmp_path)
    for out in ("out", tmp_path / "out", tmp_path / "ada" / ".." / "out"):
        assert summary(find(tmp_path, exclude=(out,))) == {"ada": [f"out/{FIVE}", FIVE]}
    assert len(find(tmp_path)) == 2


def test_a_student_without_a_notebook_is_there(tmp_path):
    lay(tmp_path, "ada/report.pdf", "ada/b/2.txt", "ada/1.txt", *(f"bob/{i}.txt" for i in range(9)), "cid/")
    ada, bob, cid = find(tmp_path)
    assert ada.notices == ("no notebook among 3 files: b/2.txt, 1.txt, report.pdf",)
    assert bob.notices == ("no notebook among 9 files: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, ...",)
    assert cid.notices == ("no file at all",)
    assert ada.files == bob.files == cid.files == ()


def test_links_are_not_followed(tmp_path):
    secret = lay(tmp_path / "elsewhere", "secret.ipynb")
    root = lay(tmp_path / "handed_in", f"ada/{FIVE}", f"dan/{FIVE}")
    (root / "ada" / "x.ipynb").symlink_to(secret / "secret.ipynb")
    (root / "ada" / "loop").symlink_to(root)
    (root / "ada" / "self").symlink_to("self")
    (root / "bob").symlink_to(secret)
    (root / "cid.ipynb").symlink_to(root / "dan" / FIVE)
    (root / "fay.doe").symlink_to("nowhere")
    found = {each.key: each for each in find(root)}
    assert summary(found.values()) == {"ada": [FIVE], "bob": [], "cid": [], "dan": [FIVE], "fay.doe": []}
    assert set(found["ada"].notices) == {f"{name}: a link, left out" for name in ("x.ipynb", "loop", "self")}
    assert found["bob"].notices == ("bob: a link, left out",)
    assert found["cid"].notices == ("cid.ipynb: a link, left out",)


def test_a_link_to_the_submissions_is_followed(tmp_path):
    lay(tmp_path / "real", f"ada/{FIVE}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert summary(find(tmp_path / "link")) == {"ada": [FIVE]}


def test_what_is_no_ordinary_file_is_left_out(tmp_path):
    lay(tmp_path, f"ada/{FIVE}")
    os.mkfifo(tmp_path / "ada" / "06.ipynb")
    os.mkfifo(tmp_path / "bob.zip")
    os.mkfifo(tmp_path / "pipe")
    ada, bob = find(tmp_path)
    assert ada.notices == ("06.ipynb: not an ordinary file, left out",)
    assert (bob.files, bob.notices) == ((), ("bob.zip: not an ordinary file, left out",))


@pytest.mark.parametrize("swap", ["fifo", "link", "folder", "gone", "large"])
def test_a_file_that_changed_meanwhile_is_an_error(tmp_path, monkeypatch, swap):
    path = lay(tmp_path, f"ada/{FIVE}", "secret") / "ada" / FIVE
    (file,) = only(find(tmp_path)).files
    path.unlink()
    if swap == "fifo":
        os.mkfifo(path)
    elif swap == "link":
        path.symlink_to(tmp_path / "secret")
    elif swap == "folder":
        path.mkdir()
    elif swap == "large":
        monkeypatch.setattr(module, "LARGEST_FILE", 10)
        path.write_bytes(b"x" * 11)
    with pytest.raises(CourseError, match=f"^{FIVE} cannot be read .*; ask for it again$"):
        file.read()


def test_a_folder_that_cannot_be_opened(tmp_path, monkeypatch):
    lay(tmp_path, f"ada/{FIVE}", f"bob/{FIVE}", f"cid/x/{FIVE}", f"cid/{FIVE}")
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name in ("bob", "x"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    ada, bob, cid = find(tmp_path)
    assert (len(ada.files), len(bob.files), len(cid.files)) == (1, 0, 1)
    assert bob.notices == ("bob: cannot be opened (Permission denied)",)
    assert cid.notices == ("x: cannot be opened (Permission denied)",)


def test_a_file_or_zip_that_cannot_be_opened(tmp_path, monkeypatch):
    lay(tmp_path, f"ada/{FIVE}")
    (tmp_path / "bob.zip").write_bytes(packed([FIVE]))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    ada, bob = find(tmp_path)
    assert bob.notices == ("bob.zip: cannot be opened as a zip (Permission denied); ask for it again",)
    with pytest.raises(CourseError, match="cannot be read .Permission denied.; ask for it again"):
        ada.files[0].read()


def test_large_files_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 1000)
    monkeypatch.setattr(module, "LARGEST_TOTAL", 2500)
    for name, size in (("a", 1000), ("b", 1001), ("c", 1000), ("d", 1000)):
        (lay(tmp_path, "ada/") / "ada" / f"{name}.ipynb").write_bytes(b"x" * size)
    found = only(find(tmp_path))
    assert [file.name for file in found.files] == ["a.ipynb", "c.ipynb"]
    assert len(found.files[0].read()) == 1000
    assert [notice.split(",")[0] for notice in found.notices] == ["b.ipynb: left out", "d.ipynb: left out"]


def test_folders_nested_too_deep(tmp_path):
    deep = "/".join("abcdefghijklmnopqrstuvwxyz")
    lay(tmp_path, f"ada/{FIVE}", f"ada/{deep}/x.ipynb")
    (tmp_path / "bob.zip").write_bytes(
        packed([f"{deep}/x.ipynb", "/".join("x" * 30_000) + "/y.ipynb", "z" * 2000 + ".py", FIVE])
    )
    ada, bob = find(tmp_path)
    assert [len(each.files) for each in (ada, bob)] == [1, 1]
    assert "nested too deep" in ada.notices[0]
    assert len(bob.notices) == 3
    assert all("a path in the zip is too long" in notice for notice in bob.notices)


# Zips


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def encrypted(data):
    """Set the flag of encryption in every header."""
    data = bytearray(data)
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(re.escape(head), bytes(data)):
            data[match.start() + flags] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "notice"),
    [
        (b"", "cannot be opened as a zip"),
        (b"no zip at all", "cannot be opened as a zip"),
        (packed([FIVE])[:-30], "cannot be opened as a zip"),
        (encrypted(packed([FIVE])), "it is encrypted; ask for it without a password"),
        (packed({f"../{FIVE}": b""}), "its path leads out of the zip"),
        (packed({f"a/../../{FIVE}": b""}), "its path leads out of the zip"),
        (packed({f"/etc/{FIVE}": b""}), "its path leads out of the zip"),
        (packed({f"C:\\x\\{FIVE}": b""}), "its path leads out of the zip"),
        (packed({link(FIVE): b"/etc/passwd"}), "a link, left out"),
        (packed([FIVE], zipfile.ZIP_LZMA), "packed in an unusual way"),
        (packed([FIVE], zipfile.ZIP_BZIP2), "packed in an unusual way"),
        (packed({"a.zip": packed({"b.zip": packed([FIVE])})}), "a zip in a zip in a zip"),
        (packed({FIVE: bytes(20_000_001)}), "left out, 20.0 MB; at most 20 MB are read"),
        (packed({f"{i}.ipynb": bytes(19_000_000) for i in range(11)}), "more than 200 MB in all"),
        (packed({f"{i}": b"" for i in range(10_001)} | {FIVE: b""}), "more than 10,000 files in all"),
        (packed([]), "no file at all"),
        (packed(["a/"]), "no file at all"),
        (packed(["report.pdf"]), "no notebook among 1 file: eve.zip/report.pdf"),
    ],
)
def test_odd_zips_are_told(tmp_path, data, notice):
    lay(tmp_path, "ada.ipynb")
    (tmp_path / "eve.zip").write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    ada, eve = find(tmp_path)
    assert (len(ada.files), ada.notices) == (1, ())
    assert eve.files == ()
    assert notice in eve.notices[0]
    assert len(eve.notices) == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_the_rest_of_an_odd_zip_is_read(tmp_path):
    lay(tmp_path, "ada.ipynb")
    members = {f"../{FIVE}": b"", link("x.py"): b"", "good.ipynb": b"good", "bad.zip": b"bad", "data.csv": b"x" * 1000}
    (tmp_path / "eve.zip").write_bytes(packed(members))
    eve = find(tmp_path)[1]
    assert [file.read() for file in eve.files] == [b"good"]
    assert len(eve.notices) == 3


def test_windows_separators_in_a_zip(tmp_path):
    (tmp_path / "class.zip").write_bytes(packed([f"ada\\{FIVE}", f"bob\\work\\{FIVE}"]))
    found = find(tmp_path / "class.zip")
    assert summary(found) == {"ada": [FIVE], "bob": [f"work/{FIVE}"]}
    assert found[1].files[0].read() == f"bob\\work\\{FIVE}".encode()


def test_many_nested_zips_are_paid_for_together(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_MEMBERS", 50)
    opened = []
    directory = module._directory
    monkeypatch.setattr(module, "_directory", lambda entry: opened.append(entry) or directory(entry))
    inner = packed([f"{i}.py" for i in range(9)])
    lay(tmp_path, "ada.ipynb")
    (tmp_path / "eve.zip").write_bytes(packed({f"{i}.zip": inner for i in range(40)}))
    eve = find(tmp_path)[1]
    assert len(eve.files) == 9
    assert len(opened) == 3  # the zip itself, one that fits, and one that does not
    assert len(eve.notices) == module.MOST_NOTICES + 1
    assert eve.notices[-1] == "and 19 more"


def test_a_large_zip_in_the_zip_of_a_class_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_TOTAL", 1000)
    large = packed({"data.csv": os.urandom(2000), FIVE: b"small"}, zipfile.ZIP_STORED)
    (tmp_path / "class.zip").write_bytes(packed({"ada_1_2_work.zip": large, f"bob_3_4_{FIVE}": b""}))
    ada, bob = find(tmp_path / "class.zip")
    assert (ada.files, ada.notices) == ((), ("work.zip: left out, more than 0 MB in all",))
    assert len(bob.files) == 1
    (tmp_path / "ada_1_2_work.zip").write_bytes(large)  # on disk, its list of members is enough
    assert [file.read() for file in only(find(tmp_path / "ada_1_2_work.zip")).files] == [b"small"]


def test_no_more_than_the_limit_is_read():
    class Endless:
        def read(self, size):
            assert 0 <= size < 100
            return bytes(size)

    with pytest.raises(CourseError, match="larger than"):
        module._bounded(Endless(), 10)


def test_what_a_zip_says_of_its_sizes_is_not_believed(tmp_path):
    """A member that says it is small, and a list of members that says it is 2 GB long."""
    lay(tmp_path, "ada.ipynb")
    data = bytearray(packed({FIVE: bytes(1_000_000)}))
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 10)
    (tmp_path / "eve.zip").write_bytes(data)
    (file,) = find(tmp_path)[1].files
    with pytest.raises(CourseError, match="cannot be read"):
        file.read()

    data = bytearray(packed([FIVE]))
    end = data.index(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 2**31)
    (tmp_path / "eve.zip").write_bytes(data)
    assert "cannot be opened as a zip" in find(tmp_path)[1].notices[0]


def test_a_list_of_members_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_DIRECTORY", 10_000)
    (tmp_path / "eve.zip").write_bytes(packed([f"{i:0100}.py" for i in range(100)]))
    (tmp_path / "fay.zip").write_bytes(packed({FIVE: os.urandom(50_000)}, zipfile.ZIP_STORED))  # only its list counts
    eve, fay = find(tmp_path)
    assert eve.notices == ("eve.zip: cannot be opened as a zip (too many members); ask for it again",)
    assert len(fay.files[0].read()) == 50_000


def test_of_two_members_with_one_name_the_last_is_read(tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(FIVE, b"first")
        archive.writestr(FIVE, b"second")
    lay(tmp_path, "ada.ipynb")
    (tmp_path / "eve.zip").write_bytes(stream.getvalue())
    assert [file.read() for file in find(tmp_path)[1].files] == [b"second"]


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=20), st.integers(0, 400))
def test_a_damaged_zip_never_stops_the_run(tmp_path_factory, changes, cut):
    data = bytearray(packed({f"a/{FIVE}": b"x" * 500, "b.zip": packed([FIVE]), "c.txt": b""}))
    for place, value in changes:
        data[place % len(data)] = value
    folder = lay(tmp_path_factory.mktemp("damaged"), "ada.ipynb")
    (folder / "eve.zip").write_bytes(data[: len(data) - cut] if cut < 100 else data)
    ada, eve = find(folder)
    assert (len(ada.files), ada.notices) == (1, ())
    assert eve.files or eve.notices
    for file in eve.files:
        try:
            assert len(file.read()) <= module.LARGEST_FILE
        except CourseError as error:
            assert "\n" not in str(error)


# Names

ODD = [
    "line\nbreak",
    "<img src=x onerror=alert(1)>",
    "a,b;c",
    "=HYPERLINK(1)",
    "-rf",
    "שלום עולם",
    "김철수",
    "\u202edrow",
    "tab\there",
    "\x1b[31mred",
    "x" * 249,
    "é" * 120,
    "ﷺ" * 40,
    "CON",
    "'; DROP TABLE students;--",
    "$(reboot)",
    os.fsdecode(b"caf\xe9"),
]


@pytest.mark.parametrize("flat", [False, True])
def test_odd_names(tmp_path, flat):
    lay(tmp_path, *([f"{name}.ipynb" for name in ODD] if flat else [f"{name}/{name[:240]}.ipynb" for name in ODD]))
    found = find(tmp_path)
    assert {each.student for each in found} == {*ODD[:-1], "caf\ufffd"}
    for each in found:
        assert safe(each.key)
        assert all(isinstance(part, str) and part.encode() for part in (each.student, *each.notices))
        assert each.files[0].name.encode()
        assert each.files[0].read()


def test_names_in_notices_stay_in_their_line(tmp_path):
    lay(tmp_path, "ada/a\nb\x1b[31m\u202e.txt", "ada/=1.txt", os.fsdecode(b"ada/\xff.csv"), f"bob/{'x' * 250}.csv")
    ada, bob = find(tmp_path)
    assert ada.notices == ("no notebook among 3 files: =1.txt, a\ufffdb\ufffd[31m\ufffd.txt, \ufffd.csv",)
    assert bob.notices[0].endswith("x...") and len(bob.notices[0]) < 160


def safe(key):
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", key) is not None


OWNERS = st.lists(
    st.builds(
        module._Owner,
        st.one_of(
            st.text(max_size=100), st.sampled_from(["ada", "ADA", "Ada", "ada-2", "ada-7", "á" * 90, "", ".", "-"])
        ),
        st.sampled_from(["", "canvas", "moodle", "nbgrader"]),
        st.sampled_from(["", "2", "7", "9" * 20]),
    ),
    unique=True,
    max_size=30,
)


@given(OWNERS, st.randoms())
@example([module._Owner(name) for name in ("ada", "ADA", "ada-2", "Ada-2", "")], random.Random(0))
@example([module._Owner(os.fsdecode(bytes([byte]))) for byte in range(128, 255)], random.Random(0))
def test_keys_are_unique_and_safe_whatever_the_names(owners, chance):
    keys = module._keys(owners)
    assert len({key.lower() for key in keys.values()}) == len(owners)
    assert all(safe(key) for key in keys.values())
    shuffled = list(owners)
    chance.shuffle(shuffled)
    assert module._keys(shuffled) == keys


def test_keys_of_those_who_share_a_name(tmp_path):
    lay(tmp_path / "plain", "ada.py", "Ada.py", "ADA.py", "ada-2.py")
    assert {each.key: each.student for each in find(tmp_path / "plain")} == {
        "ada-2": "ada-2",
        "ADA": "ADA",
        "Ada-3": "Ada",
        "ada-4": "ada",
    }
    lay(tmp_path / "moodle", *(f"Kim_{id}_assignsubmission_file_/x.py" for id in (12, 5)))
    assert [each.key for each in find(tmp_path / "moodle")] == ["Kim-12", "Kim-5"]
    lay(tmp_path / "canvas", "kim_12_1_x.py", "kim_5_1_x.py")
    assert [each.key for each in find(tmp_path / "canvas")] == ["kim-12", "kim-5"]


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30), st.binary(max_size=9)
    )
)
def test_members_of_any_name_are_found_and_read(tmp_path_factory, members):
    members = {f"{name}.py": content for name, content in members.items()}
    folder = lay(tmp_path_factory.mktemp("names"), "ada.ipynb")
    (folder / "eve.zip").write_bytes(packed(members))
    eve = find(folder)[1]
    contents = {file.members[0]: file.read() for file in eve.files}
    assert contents.items() <= members.items()
    assert len(contents) + len(eve.notices) <= len(members) + 1


# The whole


def test_the_order_of_the_listing_does_not_matter(tmp_path, monkeypatch):
    lay(tmp_path, *(f"{name}/{FIVE}" for name in ("ada", "Ada", "ADA", "á", "b\n", "..x")), "ada/1.py", "ada/x/2.ipynb")
    lay(tmp_path, "ada.ipynb", "ada.py", *CANVAS, *(f"Kim_{id}_assignsubmission_file_/x.py" for id in range(9)))
    (tmp_path / "eve.zip").write_bytes(packed(["b.py", "a.ipynb", "../x.py", "c/d.py"]))
    lay(tmp_path, *(f"fay/{i}.py" for i in range(9)))
    monkeypatch.setattr(module, "LARGEST_TOTAL", 50)  # so that some of fay's are left out
    first, scandir, chance = find(tmp_path), os.scandir, random.Random(0)

    class Shuffled:
        def __init__(self, folder):
            self.folder = folder

        def __enter__(self):
            with scandir(self.folder) as found:
                listing = list(found)
            chance.shuffle(listing)
            return iter(listing)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert all(find(tmp_path) == first for _ in range(10))
    assert [each.key for each in first] == sorted(each.key for each in first)


def test_three_thousand_students(tmp_path, monkeypatch):
    for i in range(3000):
        folder = tmp_path / f"김 {i}"
        folder.mkdir()
        (folder / FIVE).touch()
    opened = []
    monkeypatch.setattr(module, "_ordinary", opened.append)
    found = find(tmp_path)
    assert len({each.key for each in found}) == 3000
    assert opened == []  # nothing is read before it is graded


def test_a_submission_travels(tmp_path):
    lay(tmp_path, os.fsdecode(b"caf\xe9/05.py"))
    (tmp_path / "ada.zip").write_bytes(packed({"in.zip": packed([FIVE])}))
    found = find(tmp_path)
    assert pickle.loads(pickle.dumps(found)) == found
    assert pickle.loads(pickle.dumps(found))[0].files[0].read() == FIVE.encode()


def test_paths_without_submissions(tmp_path):
    with pytest.raises(CourseError, match="missing cannot be opened .No such file"):
        find(tmp_path / "missing")
    for names in (["empty/"], ["empty/report.pdf", "empty/.hidden.py", "empty/__MACOSX/x.py"]):
        with pytest.raises(
            CourseError, match="nothing to grade in .*; what is understood: a folder per student, .*Moodle"
        ):
            find(lay(tmp_path, *names) / "empty")
    with pytest.raises(CourseError, match="nothing to grade"):
        find(tmp_path / "empty" / "report.pdf")
    (tmp_path / "broken.zip").write_bytes(b"half a downl")
    with pytest.raises(
        CourseError, match="broken.zip cannot be opened as a zip .File is not a zip file.; ask for it again"
    ):
        find(tmp_path / "broken.zip")
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(CourseError, match="neither a folder nor an ordinary file"):
        find(tmp_path / "pipe.ipynb")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CourseError, match="cannot be opened"):
        find(tmp_path / "loop")
