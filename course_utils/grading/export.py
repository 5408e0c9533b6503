"""Exercises for other graders: an assignment for nbgrader, and an autograder for Gradescope.

In nbgrader everything runs in the process that ran the student's code, so its points can be forged; see `points`.
Gradescope runs `course grade`, with all that this guarantees.
"""

import ast
import base64
import csv
import hashlib
import io
import shlex
from importlib import import_module, metadata
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from course_utils import authoring
from course_utils.exercises import exercises, find
from course_utils.files import CourseError, atomic
from course_utils.grading.judge import PUBLIC_SEED, expected, generator, verdict

# --- nbgrader ---

# nbgrader sets NBGRADER_EXECUTION where it validates or grades. Attempts of one student must not show in another's.
FIRST = """
import os
import tempfile

if "NBGRADER_EXECUTION" in os.environ:  # small data and short trainings; what is written is gone afterwards
    scratch = tempfile.TemporaryDirectory()
    os.environ |= {"COURSE_PROFILE": "test", "COURSE_HOME": scratch.name}
"""
POINTS = """
from course_utils.grading.export import points

points("{name}", {answer})
"""
HIDDEN = """
# What is checked here is only seen when your work is graded.
### BEGIN HIDDEN TESTS
from course_utils.grading.export import points

points("{name}", {answer}, hidden=True)
### END HIDDEN TESTS
"""


def points(name, answer, hidden=False):
    """The points that an answer earns: what the test cells of an nbgrader assignment end with, as partial credit.

    It runs in the process that ran the student's code, as every test of nbgrader does. `course grade` does not.

    Args:
        name: of the exercise.
        answer: the student's function or class.
        hidden: count the hidden claims alone; otherwise the others alone.

    Raises:
        CourseError: no exercise of that name.
    """
    from course_utils.exercises.probing import collect

    exercise = find(name)
    findings = collect(exercise.probe, answer, generator(name, PUBLIC_SEED))
    results = verdict(exercise, findings, expected(exercise, PUBLIC_SEED), hidden=True).results
    return sum(result.points for result in results if result.holds and result.hidden == hidden)


def nbgrader_assignment(lesson, folder, root=None):
    """Write a lesson as the source of an nbgrader assignment, FOLDER/source/LESSON/LESSON.ipynb, and return its path.

    The whole lesson, with the answers between nbgrader's marks: `nbgrader generate_assignment LESSON` takes them out.
    Two locked cells follow each exercise, for the points of its visible and of its hidden claims. They stand before
    the lesson's own check, which puts the course's answer in place of a wrong one.

    Args:
        lesson: its name, for example "05_dncnn".
        folder: the course of nbgrader.
        root: a clone of the course's repository; default: the one that the working folder is in.

    Raises:
        CourseError: no such lesson, a lesson without exercises, a source that breaks a rule, or no clone.
    """
    root = authoring.find_root(root)
    lessons = {each.name: each for each in authoring.list_lessons(root)}
    if lesson not in lessons:
        raise CourseError(f"no lesson {lesson!r}; there are: {', '.join(lessons) or 'none yet'}")
    if not any("exercise" in cell.options for cell in lessons[lesson].cells):
        raise CourseError(f"the lesson {lesson} has no exercises, so there is nothing to grade; choose another")
    authoring.check(lessons[lesson], root)
    notebook = authoring.make_notebook(lessons[lesson], root, lessons[lesson].languages()[0])
    notebook.cells = _assignment_cells(notebook.cells)
    path = Path(folder) / "source" / lesson / f"{lesson}.ipynb"
    with atomic(path) as temporary:
        temporary.write_text(import_module("nbformat").writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
    return path


def _assignment_cells(cells):
    """The cells of a lesson, with nbgrader's marks and test cells."""
    found = [_code_cell("setting", FIRST)]
    for cell in cells:
        name = cell.metadata.get("course", {}).get("exercise")
        if name:
            found += _exercise_cells(cell, find(name))
        elif cell["id"] != "open-in-colab":  # that would open the lesson, which cannot be handed in
            found.append(cell)
    return found


def _exercise_cells(cell, exercise):
    """The answer's cell, and the tests of its visible and its hidden claims."""
    name = exercise.name
    cell.source = _with_solution(cell.source, authoring.source_of(exercise.reference))
    cells = [_mark(cell, f"answer-{name}", solution=True)]
    for hidden, prefix, text in ((False, "points", POINTS), (True, "hidden", HIDDEN)):
        worth = sum(claim.points for claim in exercise.claims if claim.hidden == hidden)
        if worth:
            cells.append(_code_cell(f"{prefix}-{name}", text.format(name=name, answer=exercise.answer), worth))
    return cells


def _code_cell(grade_id, text, worth=None):
    """A new locked cell; graded if it is worth something."""
    cell = import_module("nbformat").v4.new_code_cell(text.strip("\n"), id=grade_id)
    return _mark(cell, grade_id, worth=worth)


def _mark(cell, grade_id, *, solution=False, worth=None):
    """Give a cell nbgrader's metadata, schema 3, with the checksum that it computes."""
    grade, locked = worth is not None, not solution
    mark = {"schema_version": 3, "grade": grade, "solution": solution, "locked": locked, "task": False}
    text = f"{cell.source}{cell.cell_type}{grade}{solution}{locked}{grade_id}{float(worth) if grade else ''}"
    mark |= {"grade_id": grade_id, "cell_type": cell.cell_type} | ({"points": worth} if grade else {})
    mark["checksum"] = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    cell.metadata["nbgrader"] = mark
    return cell


def _with_solution(skeleton, reference):
    """The skeleton, with the reference's lines in place of each `raise`, between nbgrader's marks."""
    lines, answer = skeleton.splitlines(), reference.splitlines()
    theirs = _functions(reference)
    for name, function in reversed(_functions(skeleton).items()):  # backwards: line numbers above stay right
        body = _body(function)
        for stub in [statement for statement in body if _is_stub(statement)]:
            indent = " " * stub.col_offset
            solution = _lines_beyond(theirs[name], body, answer)
            marked = [f"{indent}### BEGIN SOLUTION", *solution, f"{indent}### END SOLUTION"]
            lines[stub.lineno - 1 : stub.end_lineno] = marked
    return "\n".join(lines)


def _functions(source):
    """The function that a source defines, or the methods of its class: {name: node}, in their order."""
    top = ast.parse(source).body[0]
    nodes = top.body if isinstance(top, ast.ClassDef) else [top]
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def _body(function):
    """The statements of a function, without its docstring."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def _is_stub(statement):
    return isinstance(statement, ast.Raise) and "NotImplementedError" in ast.unparse(statement)


def _lines_beyond(function, given, lines):
    """The lines of a function's statements, and of the comments above them, that are not among those given."""
    known = {ast.dump(statement) for statement in given}
    body = _body(function)
    found, end = [], body[0].lineno - 1
    for statement in body:
        if ast.dump(statement) not in known:
            found += lines[end : statement.end_lineno]
        end = statement.end_lineno
    return found


# --- Gradescope ---

SETUP = """\
# Gradescope runs this once, to build the image that grades. It needs Python 3.11 or newer: choose Ubuntu 24.04 as the
# base image. PyTorch for CPUs alone is much smaller: set PIP_EXTRA_INDEX_URL to PyTorch's own index to get it.
set -euo pipefail
autograder=${AUTOGRADER:-/autograder}
environment=${COURSE_ENVIRONMENT:-/opt/course}

apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y python3 python3-venv
python3 -m venv "$environment"
"$environment/bin/python" -m pip install "$autograder"/source/*.whl
"""
RUN = """\
# Gradescope runs this for each submission and reads results/results.json, which is there whatever happens.
autograder=${AUTOGRADER:-/autograder}
export PATH="${COURSE_ENVIRONMENT:-/opt/course}/bin:$PATH"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

grade() {
    course grade "$autograder/submission" --one --lesson "$lesson" --out "$work/grade" $options &&
        course export gradescope-results "$work/grade" --out "$work/results.json" && test -s "$work/results.json"
}

failed() {  # what `course` said last, as the result of a submission that has no points
    grep --text '^course: ' "$work/log" | tail -n 1 | python3 -c '
import json, sys
said = sys.stdin.buffer.read().decode(errors="replace").strip()[:500] or "the grader ended without a word"
output = f"This could not be graded ({said}). It is not lost: tell your instructor, or hand it in again."
print(json.dumps({"score": 0, "output": output, "output_format": "text", "stdout_visibility": "hidden"}))'
}

grade 2> "$work/log" || failed > "$work/results.json" ||
    echo '{"score": 0, "output": "This could not be graded: tell your instructor."}' > "$work/results.json"
cat "$work/log" >&2
mkdir -p "$autograder/results"
mv "$work/results.json" "$autograder/results/results.json"
"""


def gradescope_autograder(lesson, path, insecure=False):
    """Write an autograder for Gradescope, a zip file to upload, and return its path.

    It holds `setup.sh`, `run_autograder` and this version of the kit; what the kit needs is installed on Gradescope.

    Args:
        lesson: its name, for example "05_dncnn".
        path: of the zip file.
        insecure: grade even where nothing but limits keeps a submission in; such marks are not trusted.

    Raises:
        CourseError: no exercises for that lesson, or the kit is not installed here.
    """
    exercises(lesson)  # says so where there is no such lesson
    settings = f"lesson={shlex.quote(lesson)}\noptions={'--insecure' if insecure else ''}\n"
    name, wheel = _wheel()
    path = Path(path)
    with atomic(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
        _add(archive, "setup.sh", f"#!/usr/bin/env bash\n{SETUP}".encode(), 0o755)
        _add(archive, "run_autograder", f"#!/usr/bin/env bash\n{settings}{RUN}".encode(), 0o755)
        _add(archive, name, wheel)
    return path


def _add(archive, name, data, mode=0o644):
    """One file, without its time: the same content gives the same archive."""
    entry = ZipInfo(name)
    entry.external_attr, entry.compress_type = mode << 16, ZIP_DEFLATED
    archive.writestr(entry, data)


def _wheel():
    """The installed kit as a wheel: (name, bytes). A wheel is a zip file of the package and what pip knows of it."""
    try:
        kit = metadata.distribution("course-utils")
    except metadata.PackageNotFoundError:
        raise CourseError("course-utils is on the path but not installed; pip install it, then try again") from None
    folder = Path(__file__).resolve().parents[1]
    files = {f"course_utils/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in _sources(folder)}
    about = f"course_utils-{kit.version}.dist-info"
    files |= {f"{about}/{name}": (kit.read_text(name) or "").encode() for name in ("METADATA", "entry_points.txt")}
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: course\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = _record(files, f"{about}/RECORD")
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for name, data in files.items():
            _add(archive, name, data)
    return f"course_utils-{kit.version}-py3-none-any.whl", packed.getvalue()


def _sources(folder):
    """The files of the package, without what Python and editors leave there."""
    hidden = lambda path: any(part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts)
    return sorted(path for path in folder.rglob("*") if path.is_file() and not hidden(path))


def _record(files, own_name):
    """The list of a wheel's files: name, digest, length."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.writerow([name, f"sha256={digest}", len(data)])
    rows.writerow([own_name, "", ""])
    return text.getvalue().encode()
