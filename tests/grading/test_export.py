"""Other graders: an assignment that nbgrader takes, and an autograder that Gradescope runs."""

import base64
import csv
import hashlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from course_utils import authoring
from course_utils.exercises import exercises, find
from course_utils.files import CourseError
from course_utils.grading import export
from course_utils.grading.judge import examine

LESSONS = tuple(sorted({exercise.lesson for exercise in exercises().values()}))
ROOT = authoring.find_root(Path(__file__).parent)
SETTINGS = '[tool.course]\nrepository = "https://github.com/someone/course"\nbranch = "main"\n'
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="Gradescope's scripts are run by bash")

# --- nbgrader ---


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """{lesson: the path of its assignment}."""
    folder = tmp_path_factory.mktemp("course")
    return {lesson: export.nbgrader_assignment(lesson, folder, ROOT) for lesson in LESSONS}


def cells(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    return [cell | {"source": "".join(cell["source"])} for cell in book["cells"]]


def marked(path):
    """{grade_id: cell}, of the cells that nbgrader knows."""
    found = [cell for cell in cells(path) if "nbgrader" in cell["metadata"]]
    return {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in found}


def regions(source, name, stub=()):
    """What `nbgrader generate_assignment` makes of regions: the stub, indented as the mark is, or nothing."""
    kept, inside = [], False
    for line in source.split("\n"):
        if f"BEGIN {name}" in line:
            assert not inside
            inside = True
            kept += [" " * line.index("#") + text for text in stub]
        elif f"END {name}" in line:
            inside = False
        elif not inside:
            kept.append(line)
    assert not inside
    return "\n".join(kept)


def stubbed(source):
    return regions(source, "SOLUTION", ["# YOUR CODE HERE", "raise NotImplementedError()"])


def made_from(source, exercise):
    """The answer that a cell defines, with the names that the reference's module has."""
    namespace = dict(vars(importlib.import_module(exercise.reference.partition(":")[0])))
    exec(source, namespace)
    return namespace[exercise.answer]


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_metadata_are_schema_3(course, lesson):
    keys = {"schema_version", "grade", "solution", "locked", "task", "grade_id", "checksum", "cell_type"}
    for grade_id, cell in marked(course[lesson]).items():
        mark = cell["metadata"]["nbgrader"]
        assert set(mark) == keys | ({"points"} if mark["grade"] else set())
        assert (mark["schema_version"], mark["task"], mark["cell_type"]) == (3, False, cell["cell_type"])
        assert all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in grade_id)
        text = cell["source"] + cell["cell_type"] + "".join(str(mark[key]) for key in ("grade", "solution", "locked"))
        text += grade_id + (str(float(mark["points"])) if mark["grade"] else "")
        assert mark["checksum"] == hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize("lesson", LESSONS)
def test_an_exercise_is_an_answer_and_two_tests_before_the_check(course, lesson):
    found = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in cells(course[lesson])]
    sources = [cell["source"] for cell in cells(course[lesson])]
    for name, exercise in exercises(lesson).items():
        place = found.index(f"answer-{name}")
        assert found[place + 1 : place + 3] == [f"points-{name}", f"hidden-{name}"]
        assert sources.index(f'{exercise.answer} = cu.check("{name}", {exercise.answer})') > place + 2
    assert len([each for each in found if each]) == 1 + 3 * len(exercises(lesson))  # and the settings


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_points_are_those_of_the_exercises(course, lesson):
    worth = {
        grade_id: cell["metadata"]["nbgrader"].get("points", 0) for grade_id, cell in marked(course[lesson]).items()
    }
    for name, exercise in exercises(lesson).items():
        assert worth[f"points-{name}"] + worth[f"hidden-{name}"] == exercise.points
        assert worth[f"hidden-{name}"] == sum(claim.points for claim in exercise.claims if claim.hidden)


@pytest.mark.parametrize("name", exercises())
def test_the_solution_earns_all_points_and_the_stub_none(course, name):
    exercise = find(name)
    found = marked(course[exercise.lesson])
    source = found[f"answer-{name}"]["source"]
    answer, stub = made_from(source, exercise), made_from(stubbed(source), exercise)
    assert examine(exercise, stub).outcome == "not attempted"
    for prefix, hidden in (("points", False), ("hidden", True)):
        namespace = {exercise.answer: answer}
        body, _, call = found[f"{prefix}-{name}"]["source"].replace("### END HIDDEN TESTS", "").strip().rpartition("\n")
        exec(body, namespace)
        assert eval(call, namespace) == found[f"{prefix}-{name}"]["metadata"]["nbgrader"]["points"]
        assert export.points(name, stub, hidden=hidden) == 0


def test_students_get_the_lessons_skeleton(course):
    lesson = {cell["metadata"]["course"]["exercise"]: cell for cell in skeletons(ROOT / "lessons/en/05_dncnn.ipynb")}
    for name in exercises("05_dncnn"):
        ours = stubbed(marked(course["05_dncnn"])[f"answer-{name}"]["source"])
        without_stub = [line.strip() for line in ours.splitlines() if "YOUR CODE HERE" not in line]
        theirs = [
            line.strip().replace("Error", "Error()") if "raise Not" in line else line.strip()
            for line in lesson[name]["source"].splitlines()
        ]
        assert without_stub == theirs


def skeletons(path):
    return [cell for cell in cells(path) if "exercise" in cell["metadata"].get("course", {})]


def test_students_see_nothing_of_hidden_claims(course):
    for name in exercises("05_dncnn"):
        source = regions(marked(course["05_dncnn"])[f"hidden-{name}"]["source"], "HIDDEN TESTS")
        assert source.startswith("# ") and "\n" not in source  # it earns its points where a student validates


def sum_over_batch(restored, clean, border=0):
    psnr = find("psnr").load_reference()
    if restored.ndim == 3:
        return psnr(restored, clean, border)
    return sum(psnr(*pair, border) for pair in zip(restored, clean, strict=True))


def test_partial_credit():
    assert export.points("psnr", sum_over_batch) == 5
    assert export.points("psnr", sum_over_batch, hidden=True) == 0
    for strange in (None, 3.0, lambda *a, **k: 1 / 0):
        assert export.points("psnr", strange) == export.points("psnr", strange, hidden=True) == 0


def test_a_warning_costs_nothing(capfd):
    """nbgrader takes all points where a test cell writes to stderr."""
    import warnings

    def talks(*arguments, **options):
        warnings.warn("careful", stacklevel=1)
        print("hello", file=sys.stderr)
        return find("psnr").load_reference()(*arguments, **options)

    assert export.points("psnr", talks) == 7
    assert capfd.readouterr().err == ""


def test_grading_is_short_and_leaves_no_traces(course, monkeypatch):
    settings = cells(course["05_dncnn"])[0]
    monkeypatch.setattr(os, "environ", {"COURSE_HOME": "mine"})
    exec(settings["source"], {})
    assert os.environ == {"COURSE_HOME": "mine"}
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    exec(settings["source"], namespace := {})
    assert os.environ["COURSE_PROFILE"] == "test" and os.environ["COURSE_HOME"] == namespace["scratch"].name


def test_the_same_lesson_gives_the_same_file(course, tmp_path):
    again = export.nbgrader_assignment("05_dncnn", tmp_path, ROOT)
    assert again == tmp_path / "source" / "05_dncnn" / "05_dncnn.ipynb"
    assert again.read_bytes() == course["05_dncnn"].read_bytes()
    assert os.listdir(again.parent) == ["05_dncnn.ipynb"]


@pytest.mark.parametrize("lesson", LESSONS)
def test_nbgrader_itself_agrees(course, lesson):
    pytest.importorskip("nbgrader", reason="nbgrader is not installed here: its own validators are not asked")
    import nbformat
    from nbgrader.nbgraderformat import MetadataValidator
    from nbgrader.utils import compute_checksum

    book = nbformat.read(course[lesson], as_version=4)
    MetadataValidator().validate_nb(book)
    for cell in book.cells:
        if "nbgrader" in cell.metadata:
            assert compute_checksum(cell) == cell.metadata.nbgrader.checksum


def test_what_cannot_be_exported_is_named(tmp_path):
    with pytest.raises(
        CourseError, match="no lesson '05_dncn'; there are: 00_welcome, 01_pixels_and_metrics.*05_dncnn"
    ):
        export.nbgrader_assignment("05_dncn", tmp_path, ROOT)
    with pytest.raises(CourseError, match="not in a clone"):
        export.nbgrader_assignment("05_dncnn", tmp_path, tmp_path)
    (tmp_path / "lessons" / "source").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "lessons" / "source" / "01_toy.py").write_text(
        '# minutes: test=1 cpu=1\n# %% [markdown] lang="en"\n# # A toy\n'
    )
    with pytest.raises(CourseError, match="01_toy has no exercises"):
        export.nbgrader_assignment("01_toy", tmp_path, tmp_path)
    assert not (tmp_path / "source").exists()


REFERENCE = '''
class Counter:
    """Counts.

    In more words.
    """

    def __init__(self, start=0, *, step=1):
        if step == 0:  # it would stand still
            raise ValueError("a step of 0")
        self.start = start
        # why twice: because
        self.step = (
            step
        )

    def go(self):
        return self.start + self.step
'''
SKELETON = '''
class Counter:
    """Counts."""

    def __init__(
        self, start=0, *, step=1
    ):
        """Said here alone."""
        self.start = start  # given
        # your turn
        raise NotImplementedError

    def go(self):
        raise NotImplementedError("later")
'''


def test_what_a_skeleton_gives_is_not_in_the_solution():
    source = export._with_solution(SKELETON, REFERENCE)
    exec(source, namespace := {})
    assert namespace["Counter"](2, step=3).go() == 5
    assert source.count("self.start = start") == 1 and "        # why twice: because\n        self.step" in source
    exec(stubbed(source), namespace := {})
    with pytest.raises(NotImplementedError):
        namespace["Counter"](2)


# --- Gradescope ---


@pytest.fixture(scope="module")
def autograder(tmp_path_factory):
    """The folder that the zip file is unpacked into, as Gradescope does."""
    folder = tmp_path_factory.mktemp("gradescope")
    path = export.gradescope_autograder("05_dncnn", folder / "autograder.zip")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", path, folder / "source"], check=True)
    return folder / "source"


@needs_bash
def test_the_scripts_are_there_and_parse(autograder, tmp_path):
    (wheel,) = autograder.glob("*.whl")
    assert {path.name for path in autograder.iterdir()} == {"setup.sh", "run_autograder", wheel.name}
    for name in ("setup.sh", "run_autograder"):
        text = (autograder / name).read_text()
        assert text.startswith("#!/usr/bin/env bash\n") and "http" not in text
        subprocess.run(["bash", "-n", autograder / name], check=True)
    again = export.gradescope_autograder("05_dncnn", tmp_path / "a.zip", insecure=True)
    with zipfile.ZipFile(again) as archive:
        assert b"\noptions=--insecure\n" in archive.read("run_autograder")
        assert all(archive.getinfo(name).external_attr >> 16 == 0o755 for name in ("setup.sh", "run_autograder"))


def test_the_same_kit_gives_the_same_file(tmp_path):
    paths = [export.gradescope_autograder("05_dncnn", tmp_path / name) for name in ("a.zip", "b.zip")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "b.zip"]


def test_the_wheel_is_whole(autograder):
    (wheel,) = autograder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = [name for name in files if name.endswith("/RECORD")]
    for name, digest, length in csv.reader(io.StringIO(files[record].decode())):
        data = files.pop(name)
        if name != record:
            wanted = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert (digest, int(length)) == (f"sha256={wanted}", len(data))
    assert not files
    (found,) = metadata.distributions(path=[str(wheel)])
    assert found.metadata["Name"] == "course-utils"
    assert any(line.startswith("torch>=") for line in found.requires)
    assert [entry.value for entry in found.entry_points] == ["course_utils.cli:main"]


def test_the_wheel_works(autograder, tmp_path):
    (wheel,) = autograder.glob("*.whl")
    code = "import course_utils, course_utils.viewer.page as p; from course_utils.exercises import find; find('dncnn');"
    code += "print(course_utils.__file__, len(p.__file__))"
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(str(wheel)), done.stderr


def imitate(autograder, folder, course):
    """Run `run_autograder` with this `course`; returns the process and results.json."""
    tools, scratch = folder / "bin", folder / "scratch"
    tools.mkdir(), scratch.mkdir(), (folder / "submission").mkdir()
    (tools / "course").write_text(f"#!/usr/bin/env bash\n{course}\n")
    (tools / "course").chmod(0o755)
    path = os.pathsep.join([str(tools), os.path.dirname(sys.executable), os.environ["PATH"]])
    ours = {"PATH": path, "AUTOGRADER": str(folder), "COURSE_ENVIRONMENT": str(folder / "none"), "TMPDIR": str(scratch)}
    command = ["bash", str(autograder / "run_autograder")]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=os.environ | ours, timeout=60)
    assert not list(scratch.iterdir())
    return done, json.loads((folder / "results" / "results.json").read_text())


GRADES = """
echo "$@" >> "$AUTOGRADER/calls"
if [ "$1" = export ]; then echo '{"score": 7}' > "$5"; fi
"""


@needs_bash
def test_run_autograder_grades_the_submission(autograder, tmp_path):
    done, results = imitate(autograder, tmp_path, GRADES)
    assert (done.returncode, results) == (0, {"score": 7})
    grade, out = (tmp_path / "calls").read_text().splitlines()
    folder = out.split()[2]
    assert grade == f"grade {tmp_path}/submission --one --lesson 05_dncnn --out {folder}"
    assert out == f"export gradescope-results {folder} --out {os.path.dirname(folder)}/results.json"


@needs_bash
@pytest.mark.parametrize(
    ("course", "said"),
    [
        ("echo 'course: no notebook in \"a\\b\" <i>' >&2; exit 2", 'course: no notebook in "a\\b" <i>'),
        ("printf 'course: first\\ncourse: caf\\xe9\\n 10%% |##\\r' >&2; exit 2", "course: caf\ufffd"),
        ("kill -9 $$", "the grader ended without a word"),
        ('[ "$1" = grade ] || { echo "course: full disk" >&2; exit 2; }', "course: full disk"),
        ("exit 0", "the grader ended without a word"),
    ],
)
def test_whatever_happens_there_is_a_result(autograder, tmp_path, course, said):
    done, results = imitate(autograder, tmp_path, course)
    assert done.returncode == 0 and results["score"] == 0 and results["output_format"] == "text"
    assert f"could not be graded ({said})" in results["output"]
    assert results["stdout_visibility"] == "hidden"
    assert "course: " not in said or "course: " in done.stderr  # the instructor sees all of it


def test_a_lesson_without_exercises_has_no_autograder(tmp_path):
    with pytest.raises(CourseError, match="no exercises for the lesson '99_none'"):
        export.gradescope_autograder("99_none", tmp_path / "autograder.zip")


def test_without_metadata_there_is_no_wheel(tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(CourseError, match="not installed"):
        export.gradescope_autograder("05_dncnn", tmp_path / "autograder.zip")
    assert not list(tmp_path.iterdir())
