"""Lessons run without a screen: from the source, in a kernel of this interpreter, to an HTML page for any browser."""

import json
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from course_utils import figures
from course_utils.authoring import check, list_lessons, make_notebook, need
from course_utils.files import CourseError, atomic

TIME_LIMITS = {"test": 300, "cpu": 3600, "gpu": None}  # seconds a cell
LONGEST = 4.0  # minutes that a lesson may take under `cpu`


@dataclass(frozen=True)
class Outcome:
    """A lesson that ran to its end: its page, the lines that it printed, seconds, and MiB at the most (Linux only)."""

    page: Path
    lines: list
    seconds: float
    memory: float | None


def run(name, root, out, *, solution=False, profile=None, progress=True):
    """Run a lesson from its source, headless, and return the path of the HTML page.

    Writes out/NAME.html and out/NAME.ipynb with all outputs; on an error, NAME.failed.html and NAME.failed.ipynb.
    The kernel is this interpreter with this copy of the kit; it works in a scratch folder that is removed afterwards.

    Args:
        name: "05_dncnn", or as much of its beginning as is unique.
        root: the repository.
        out: the folder for the results.
        solution: run the solution notebook.
        profile: "test", "cpu" or "gpu"; default: as COURSE_PROFILE or the device says.
        progress: show a bar, with the time of each cell.

    Raises:
        CourseError: no such lesson or profile, a source that breaks a rule, or a cell that fails (it is named).
    """
    _check_profile(profile)
    lesson = _find(name, root)
    check(lesson, root)
    return _run(lesson, root, Path(out), solution, profile, progress).page


def run_all(root, out, *, names=(), solution=False, profile=None, progress=True):
    """Run the lessons one after the other, with a results board of their own, and hold them to what their prose says.

    Writes, beside the pages, out/board.html, and out/measured.json with the minutes, the memory and the quoted figures
    of each lesson (see `figures`). A lesson that fails does not keep the others from running. Of a lesson that was not
    run, or failed, what lessons/measured.json says is taken over.

    Args:
        names: only these lessons, and the board in `out` goes on; by default all, and a new board.
        else as for `run`.

    Returns:
        A table of minutes, memory and figures, as text.

    Raises:
        CourseError: as `run`; and, with the solutions under `cpu`, a line for each lesson that took longer than it may
            or than its header says, and for each quoted figure that differs from what was printed.
    """
    _check_profile(profile)
    out, lessons = Path(out), list_lessons(root)
    chosen = [_find(name, root) for name in names] or lessons
    for lesson in chosen:
        check(lesson, root)
    board = out / "board.json"
    if not names:
        board.unlink(missing_ok=True)
    measured, problems = _measured_before(root, lessons), []
    for lesson in chosen:
        try:
            outcome = _run(lesson, root, out, solution, profile, progress, board)
        except CourseError as error:
            problems.append(str(error))
            continue
        measured[lesson.name] = _about(lesson, outcome)
        if solution and _profile(profile) == "cpu":
            problems += _broken_promises(lesson, measured[lesson.name])
    measured = {lesson.name: measured[lesson.name] for lesson in lessons if lesson.name in measured}
    _write_board(board, out / "board.html", profile)
    with atomic(out / "measured.json") as temporary:
        temporary.write_text(
            json.dumps({"machine": _machine(), "lessons": measured}, indent=1, ensure_ascii=False) + "\n"
        )
    table = _table(measured)
    if problems:
        raise CourseError("\n".join([table, *problems]))
    return table


def _check_profile(profile):
    if profile is not None and profile not in TIME_LIMITS:
        raise CourseError(f"no profile {profile!r}; there are {', '.join(TIME_LIMITS)}")


def _profile(profile):
    from course_utils.profiles import current

    return profile or current().name


def _run(lesson, root, out, solution, profile, progress, board=None):
    notebook = make_notebook(lesson, root, lesson.languages()[0], solution=solution)
    start = time.perf_counter()
    failure, memory = execute(lesson, notebook, profile or os.environ.get("COURSE_PROFILE"), progress, board)
    seconds = time.perf_counter() - start
    failed = out / f"{lesson.name}.failed.html"
    if failure:
        _save(notebook, failed, lesson.title)
        raise CourseError(f"{failure}; the cells so far: {failed}")
    for stale in (failed, failed.with_suffix(".ipynb")):
        stale.unlink(missing_ok=True)
    page = _save(notebook, out / f"{lesson.name}.html", lesson.title)
    return Outcome(page, figures.printed(notebook), seconds, memory)


# --- All lessons ---


def _measured_before(root, lessons):
    """What lessons/measured.json says of these lessons, in their order; of those that are not in it, nothing yet."""
    if not (Path(root) / figures.MEASURED).exists():
        return {}
    former = figures.read_measured(root)["lessons"]
    return {lesson.name: former[lesson.name] for lesson in lessons if lesson.name in former}


def _about(lesson, outcome):
    memory = None if outcome.memory is None else round(outcome.memory)
    found = figures.measure(lesson, outcome.lines)
    return {"minutes": round(outcome.seconds / 60, 2), "memory_mib": memory, "figures": found}


def _broken_promises(lesson, about):
    """Sentences about a lesson that took too long, or whose prose says other figures than it prints."""
    from course_utils.data.photos import SETS, files_of

    found, minutes, promised = [], about["minutes"], lesson.minutes["cpu"]
    if minutes > LONGEST:
        found.append(f"{lesson.name} took {minutes} minutes; no lesson may take more than {LONGEST:g} under cpu")
    if minutes > promised:
        found.append(f"{lesson.path}:1: it took {minutes} minutes, and says {promised}")
    absent = [name for name in SETS if not files_of(name)]
    return found + figures.differences(lesson, about["figures"], absent)


def _write_board(board, page, profile):
    from course_utils.board import Board
    from course_utils.viewer import write_page

    note = "<p>Every method restored the same scanned pages, which no training has seen.</p>"
    return write_page(page, "Results board", [note, Board("", board, _profile(profile))])


def _machine():
    from course_utils.profiles import cores

    return f"{cores()} CPU cores"


def _table(measured):
    lines = [f"{'lesson':24} minutes  memory (MiB)  figures quoted"]
    for name, about in measured.items():
        memory = about["memory_mib"] or ""
        lines.append(f"{name:24} {about['minutes']:7.2f}  {memory:>12}  {len(about['figures']):14}")
    total = sum(about["minutes"] for about in measured.values())
    return "\n".join([*lines, f"{'all':24} {total:7.2f}"])


# --- One lesson ---


def _find(name, root):
    lessons = list_lessons(root)
    found = [one for one in lessons if one.name == name] or [one for one in lessons if one.name.startswith(name)]
    if len(found) != 1:
        names = ", ".join(one.name for one in found or lessons) or "none yet"
        raise CourseError(f"{'several lessons' if found else 'no lesson'} {name!r}; there are: {names}")
    return found[0]


def execute(lesson, notebook, profile, progress=True, board=None):
    """Run the cells of a notebook in order, filling in their outputs.

    Returns:
        (None, or a sentence about the cell that failed; the most memory that the kernel held, in MiB, or None).
    """
    with tempfile.TemporaryDirectory(prefix="lesson-", ignore_cleanup_errors=True) as scratch:
        client = _client(notebook, scratch, TIME_LIMITS.get(profile))
        client.reset_execution_trackers()
        with client.setup_kernel(env=_environment(profile, board)):
            failure = _run_cells(client, lesson, notebook, progress)
            memory = _peak_memory(client.km.provisioner.pid)
        client.set_widgets_metadata()
    return failure, memory


def _peak_memory(pid):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # not Linux, or the kernel is dead
        return None
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) / 1024 if found else None


def _run_cells(client, lesson, notebook, progress):
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from tqdm import tqdm

    heading = lesson.title
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    with tqdm(total=code, desc=lesson.name, unit="cell", disable=not progress) as bar:
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                heading = (re.findall(r"^#+ (.+)", cell.source, re.MULTILINE) or [heading])[-1]
                continue
            start, where = time.perf_counter(), f"{lesson.name}, cell {number + 1} (under {heading!r})"
            try:
                client.execute_cell(cell, number)
            except CellExecutionError as error:
                return f"{where}: {error.ename}: {_last_line(error.evalue)}"
            except CellTimeoutError:
                return f"{where}: not done after {client.timeout} seconds; make it shorter under this profile"
            except DeadKernelError:
                return f"{where}: the kernel died, most likely for want of memory; use smaller batches or images"
            bar.set_postfix_str(f"cell {number + 1}: {time.perf_counter() - start:.1f} s")
            bar.update()
    return None


def _last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def _client(notebook, scratch, limit):
    """A client whose kernel is this interpreter, whatever kernel is installed under the name python3."""
    need("ipykernel")
    specs, manager = need("jupyter_client.kernelspec"), need("jupyter_client.manager")
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]

    class ThisPython(manager.AsyncKernelManager):
        kernel_spec = specs.KernelSpec(argv=argv, display_name="Python 3", language="python")

    client = need("nbclient").NotebookClient
    return client(notebook, timeout=limit, kernel_manager_class=ThisPython, resources={"metadata": {"path": scratch}})


def _environment(profile, board):
    """The caller's environment with the profile, figures as images, and the same copy of the kit."""
    kit = str(Path(__file__).resolve().parents[1])
    paths = [kit, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    environment["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    environment |= {"COURSE_PROFILE": profile} if profile else {}
    return environment | ({"COURSE_BOARD": str(Path(board).absolute())} if board else {})


# Scripts from other hosts: a lesson's page must open without a network, and needs none of them.
OFFLINE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
SHOWN = [
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/markdown",
    "application/javascript",
    "text/plain",
]


def _save(notebook, path, title):
    """Write a notebook as an HTML page in one file, and as .ipynb beside it."""
    config = need("traitlets.config").Config()
    config.NbConvertBase.display_data_priority = SHOWN  # without live widgets, which would need a script from elsewhere
    exporter = need("nbconvert").HTMLExporter(config=config, raw_template=OFFLINE)
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    with atomic(path.with_suffix(".ipynb")) as temporary:
        temporary.write_text(need("nbformat").writes(notebook) + "\n", encoding="utf-8")
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path
