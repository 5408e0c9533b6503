"""What it costs to grade a class: `course grade` beside nbgrader and otter-grader, the same exercise, in one run.

    .venv/bin/python benchmarks/grading.py [--json FILE] [--students 300] [--rivals 3] [--only ours,rivals,scale,large]

How it measures
    A class is a folder of notebooks, one for each student, with two right answers to lesson 5: the network, DnCNN, and
    its loss. No two are the same text, so that nothing can be remembered from one to the next.

    A command is timed from its start to its end, by the wall clock. Its memory is looked at five times a second: the
    proportional set size of the whole process tree, in which a page that several processes share counts once; the
    largest sum is its peak. Its CPU time is that of all processes that it has waited for.

    `course grade` is timed over the whole class, its start included. Then it grades the class again, and its memory is
    looked at: it keeps all cores busy, so that the looks would cost it time. The rivals leave a core idle.

    nbgrader and otter are timed over one submission, and over a few more; the difference is shared among those. So
    their start is *not* counted (it has a column of its own): in a large class it would not matter. nbgrader grades
    them in one run, otter in one Python process by its API: `otter run`, a process for each submission, would take
    longer, and `otter grade` needs a container for each.

Why that is fair
    All get the same notebooks: imports and answers, no training and no pictures, which nbgrader and otter would run
    and `course grade` leaves out. Both rivals run the same six tests, a few lines each, such as an instructor would
    write. `course grade` asks more (probes, hidden claims, five exercises that were not attempted), in sandboxes.
    Both rivals have their own environments with the same PyTorch as this one, and each submission must have full marks
    before its time counts.

What "large" does
    3,000 submissions, of which one in ten is one of the attacks of tests/attacks. The run is killed twice, when a third
    and when two thirds of the records are there, and resumed. In the end there is one record for each, none twice, and
    every honest one has full marks.

The environments of the rivals are made once, in a folder of the kit's caches (--environments): some 100 MB from the
registry, and PyTorch, which is shared with this environment if uv has it already. Without a network they are left out.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
from common import warn_if_busy, write_figures

from course_utils.data import home
from course_utils.exercises import find
from course_utils.profiles import cores

PARTS = ("ours", "rivals", "scale", "large")
LESSON = "05_dncnn"
NBGRADER, OTTER = "nbgrader==0.9.6", "otter-grader==7.0.0"
LOOK_EVERY = 0.2  # seconds between two looks at the memory

# ---- A class

IMPORTS = """
import torch
from torch import nn
"""
DNCNN = """
class DnCNN(nn.Module):
    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = {{"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}}
        self.receptive_radius = depth
        layers_{number} = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers_{number}.append(nn.Conv2d(width, width, 3, padding=1))
            if batch_norm:
                layers_{number}.append(nn.BatchNorm2d(width))
            layers_{number}.append(nn.ReLU())
        layers_{number}.append(nn.Conv2d(width, channels, 3, padding=1))
        nn.init.zeros_(layers_{number}[-1].weight)
        nn.init.zeros_(layers_{number}[-1].bias)
        self.layers = nn.Sequential(*layers_{number})

    def forward(self, y):
        return self.layers(y)

    def restore(self, y):
        return y - self(y)
"""
LOSS = """
def residual_loss(predicted_noise, degraded, clean):
    noise_{number} = degraded - clean
    return (predicted_noise - noise_{number}).pow(2).sum() / (2 * len(clean))
"""
ANSWERS = {"dncnn": DNCNN, "residual_loss": LOSS}
TESTS = {  # of each answer: three, for a point each
    "dncnn": (
        """
assert sum(p.numel() for p in DnCNN().parameters()) == 559_363
""",
        """
import torch
assert DnCNN(depth=4, width=8)(torch.rand(2, 3, 17, 12)).shape == (2, 3, 17, 12)
""",
        """
import torch
from torch import nn

torch.manual_seed(5)
answer = DnCNN(depth=5, width=12).eval()
layers = [nn.Conv2d(3, 12, 3, padding=1), nn.ReLU()]
for _ in range(3):
    layers += [nn.Conv2d(12, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU()]
reference = nn.Sequential(*layers, nn.Conv2d(12, 3, 3, padding=1)).eval()
image = torch.rand(2, 3, 20, 16)
with torch.no_grad():
    for theirs, ours in zip(answer.parameters(), reference.parameters(), strict=True):
        theirs.copy_(ours)
    assert torch.allclose(answer(image), reference(image), atol=1e-5)
    assert torch.allclose(answer.restore(image), image - reference(image), atol=1e-5)
""",
    ),
    "residual_loss": (
        """
import torch
ones, zeros = torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
assert float(residual_loss(ones, ones, zeros)) == 0
""",
        """
import torch
ones, zeros = torch.ones(2, 1, 5, 5), torch.zeros(2, 1, 5, 5)
assert float(residual_loss(zeros, ones, zeros)) == 12.5
""",
        """
import torch
torch.manual_seed(6)
predicted, degraded, clean = torch.rand(3, 4, 3, 8, 8)
wanted = (predicted - (degraded - clean)).square().sum() / 8
assert torch.allclose(residual_loss(predicted, degraded, clean), wanted)
""",
    ),
}


def notebook(number, tests=False):
    """One student's notebook; with nbgrader's marks and its tests, or without."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(f"# Lesson 5, by student {number}"), v4.new_code_cell(IMPORTS.strip())]
    for name, text in ANSWERS.items():
        answer = v4.new_code_cell(text.format(number=number).strip())
        answer.metadata = {"course": {"exercise": name}} | ({"nbgrader": mark(name, solution=True)} if tests else {})
        cells.append(answer)
        for i, test in enumerate(TESTS[name] if tests else ()):
            cell = v4.new_code_cell(test.strip())
            cell.metadata = {"nbgrader": mark(f"{name}-{i}")}
            cells.append(cell)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return v4.new_notebook(cells=cells, metadata=kernel)


def mark(grade_id, solution=False):
    """nbgrader's metadata of an answer, or of a test for one point."""
    kind = {"solution": True, "grade": False} if solution else {"solution": False, "grade": True, "points": 1}
    return {"schema_version": 3, "task": False, "locked": not solution, "grade_id": grade_id} | kind


def write_class(folder, students):
    """FOLDER/NAME/05_dncnn.ipynb for each student; returns the folder."""
    for number in range(students):
        write(notebook(number), folder / f"student{number:04}" / f"{LESSON}.ipynb")
    return folder


def write(book, path):
    path.parent.mkdir(parents=True)
    nbformat.write(book, path)


# ---- A command, measured


@dataclass(frozen=True)
class Cost:
    """Of a command: seconds by the wall clock, seconds of CPU, peak memory in MiB, and what it printed."""

    seconds: float
    cpu: float
    peak: float
    printed: str


def measured(command, folder, look=True, **variables):
    """The Cost of a command in a folder, with one thread for tensors; RuntimeError with what it printed if it fails."""
    own = {"OMP_NUM_THREADS": "1", "COURSE_PROFILE": "test", "COURSE_HOME": str(folder / "home")}
    settings = {"cwd": folder, "env": os.environ | own | variables, "stderr": subprocess.STDOUT}
    command = [str(part) for part in command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, **settings)
        peak = watched(process, look)
        seconds = time.perf_counter() - start
        output.seek(0)
        printed = output.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ... failed:\n{printed[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, cpu, peak / 2**20, printed)


def watched(process, look):
    """Wait for a process; returns the largest memory that was seen. None of it is left if we are interrupted."""
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, memory(process.pid)) if look else 0
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY)
    finally:
        for each in tree(process.pid):
            each.kill()
    return peak


def tree(pid):
    """A process and all below it; none if it has ended."""
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    return []


def memory(pid):
    """Bytes that a process and its children hold, shared pages divided among those who share them."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):  # it has just ended, or keeps this to itself
            total += process.memory_full_info().pss
    return total


# ---- Ours


def ours(submissions, jobs, look=False):
    """The Cost of `course grade` over a folder of submissions; each must be right."""
    with tempfile.TemporaryDirectory(prefix="course-grading-") as folder:
        out = Path(folder) / "graded"
        command = [sys.executable, "-m", "course_utils", "grade", submissions, "--out", out]
        cost = measured([*command, "--lesson", LESSON, "--jobs", jobs], Path(folder), look)
        records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    right = [record for record in records if outcomes(record) == dict.fromkeys(ANSWERS, "holds")]
    students = len(list(submissions.iterdir()))
    if not len(right) == len(records) == students:
        raise RuntimeError(f"{students} right submissions, {len(records)} records, {len(right)} of them say so")
    return cost


def outcomes(record):
    """{exercise: outcome} of those that were attempted."""
    found = {exercise["name"]: exercise["outcome"] for exercise in record["exercises"]}
    return {name: outcome for name, outcome in found.items() if outcome != "not attempted"}


# ---- The rivals


def rivals(folder):
    """{requirement: path of its Python}, each in an environment of its own below a folder, made if it is not there.

    One that cannot be installed is left out, with a message.
    """
    made = {}
    for requirement in (NBGRADER, OTTER):
        place = folder / requirement.replace("==", "-")
        if (place / "ready").exists() or install(requirement, place):
            made[requirement] = place / "bin" / "python"
    return made


def install(requirement, place):
    """Make an environment; False, with a message, if it could not be made."""
    uv = [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else [shutil.which("uv")]
    if uv == [None]:
        print(f"{requirement} is left out: uv, which installs it, is not there (pip install uv)")
        return False
    print(f"Installing {requirement} into {place} (once) ...", flush=True)
    same = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in ("torch", "numpy")]
    into = ["--quiet", "--compile-bytecode", "--python", place / "bin" / "python"]
    commands = (
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, place],
        [*uv, "pip", "install", *into, requirement, "ipykernel", *same],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{requirement} is left out, it could not be installed: {done.stderr.strip()[:300]}")
            return False
    (place / "ready").touch()
    return True


def run_rival(python, command, folder):
    """The Cost of a command of a rival's environment, with no settings but its own."""
    paths = {name: str(folder / "jupyter" / name) for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return measured([python, *command], folder, PATH=path, PYTHONPATH="", **paths)


def nbgrader(python, students, folder):
    """(Cost of autograding one submission, of autograding the others)."""
    write(notebook(0, tests=True), folder / "source" / LESSON / f"{LESSON}.ipynb")
    run_rival(python, ["-m", "nbgrader", "generate_assignment", LESSON], folder)
    release = nbformat.read(folder / "release" / LESSON / f"{LESSON}.ipynb", as_version=4)
    for number in range(students):
        for cell in release.cells:
            name = cell.metadata.get("course", {}).get("exercise")
            if name:
                cell.source = ANSWERS[name].format(number=number).strip()
        write(release, folder / "submitted" / f"student{number}" / LESSON / f"{LESSON}.ipynb")
    autograde = ["-m", "nbgrader", "autograde", LESSON]
    costs = run_rival(python, [*autograde, "--student=student0"], folder), run_rival(python, autograde, folder)
    with contextlib.closing(sqlite3.connect(folder / "gradebook.db")) as gradebook:
        found = gradebook.execute("SELECT SUM(auto_score) FROM grade").fetchone()[0]
    full_marks("nbgrader", found, students)
    return costs


def autograder(name):
    """A test file of otter for one exercise."""
    cases = [
        OTTER_CASE.format(number=i, answer=find(name).answer, body=textwrap.indent(test.strip(), "    "))
        for i, test in enumerate(TESTS[name])
    ]
    return OTTER_TEST.format(name=name) + "".join(cases)


OTTER_TEST = """OK_FORMAT = False
name = {name!r}

from otter.test_files import test_case
"""
OTTER_CASE = """

@test_case(points=1)
def test_{number}({answer}):
{body}
"""
OTTER_LOOP = """
import sys
from otter.api import grade_submission
for path in sys.argv[1:]:
    print("points:", grade_submission(path, "autograder.zip", quiet=True).total)
"""


def otter(python, students, folder):
    """The same for otter."""
    (folder / "tests").mkdir()
    for name in TESTS:
        (folder / "tests" / f"{name}.py").write_text(autograder(name))
    run_rival(python, ["-m", "otter", "generate", "-t", "tests", "-o", "autograder.zip"], folder)
    submissions = [path / f"{LESSON}.ipynb" for path in sorted(write_class(folder / "class", students).iterdir())]
    groups = submissions[:1], submissions[1:]
    costs = [run_rival(python, ["-c", OTTER_LOOP, *group], folder) for group in groups]
    said = [line.removeprefix("points: ") for cost in costs for line in cost.printed.splitlines() if "points: " in line]
    full_marks("otter", sum(map(float, said)), students)
    return costs


def full_marks(name, found, students):
    points = students * sum(len(tests) for tests in TESTS.values())
    if found != points:
        raise RuntimeError(f"{name} gave {found} points to {students} right submissions, not {points}")


# ---- What is measured


def measure_ours(submissions, students):
    """The whole class on all cores: {"seconds", "cpu", "peak"}, the first two for each submission."""
    cost, peak = ours(submissions, cores()), ours(submissions, cores(), look=True).peak
    return {"seconds": cost.seconds / students, "cpu": cost.cpu / students, "peak": peak}


def measure_rivals(environments, few):
    """{requirement: {"seconds", "cpu", "peak", "start"}} for each submission, without the start."""
    figures = {}
    for requirement, python in rivals(environments).items():
        grade = nbgrader if requirement == NBGRADER else otter
        with tempfile.TemporaryDirectory(prefix="course-grading-") as folder:
            one, more = grade(python, few + 2, Path(folder))
        seconds, cpu = (more.seconds - one.seconds) / few, (more.cpu - one.cpu) / few
        figures[requirement] = {"seconds": seconds, "cpu": cpu, "peak": more.peak, "start": one.seconds - seconds}
    return figures


def measure_scale(submissions):
    """{jobs: seconds of the whole class}, with one job and with two."""
    return {jobs: ours(submissions, jobs).seconds for jobs in (1, 2)}


def measure_large(folder, students=3000):
    """{"seconds", "records"}: honest and hostile submissions, killed twice."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/attacks"))
    from attacks import ATTACKS

    hostile = [attack for attack in ATTACKS if set(attack.rungs) > {"landlock"}]  # the rest only waits for its limit
    submissions = write_class(folder / "large", students - students // 10)
    for i in range(students // 10):
        for name, content in hostile[i % len(hostile)].steps[-1]:
            path = submissions / f"mallory{i:04}" / f"{i:04}{Path(name).suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    out, start = folder / "graded", time.perf_counter()
    command = [sys.executable, "-m", "course_utils", "grade", submissions, "--out", out, "--seconds", "2", "--resume"]
    for share in (1 / 3, 2 / 3, 1):
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
        while process.poll() is None and (share == 1 or lines(out) < share * students):
            time.sleep(0.1)
        process.kill()
        process.wait()
    seconds = time.perf_counter() - start
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    keys = {record["key"] for record in records}
    right = [record for record in records if outcomes(record) == dict.fromkeys(ANSWERS, "holds")]
    if not len(keys) == len(records) == students or len(right) < students - students // 10:
        raise RuntimeError(f"{students} submissions: {len(records)} records, {len(keys)} students, {len(right)} right")
    return {"seconds": seconds, "records": len(records), "hostile": students // 10, "kinds": len(hostile)}


def lines(out):
    """How many records there are."""
    path = out / "records.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def measure(options, folder):
    """The figures of each part."""
    results = {}
    submissions = write_class(folder / "class", options.students)
    if "ours" in options.only:
        results["ours"] = measure_ours(submissions, options.students)
    if "rivals" in options.only:
        results["rivals"] = measure_rivals(options.environments, options.rivals)
    if "scale" in options.only:
        results["scale"] = measure_scale(submissions)
    if "large" in options.only:
        results["large"] = measure_large(folder)
    return results


# ---- The table


def show(results, students):
    rows = {f"course grade, {students} students, {cores()} jobs": results["ours"]} if "ours" in results else {}
    rows |= results.get("rivals", {})
    if rows:
        print(f"{'one submission':40}{'wall':>10}{'CPU':>10}{'peak':>12}{'start':>10}{'beside ours':>13}")
    for name, row in rows.items():
        line = f"{name:40}{row['seconds']:>8.2f} s{row['cpu']:>8.2f} s{row['peak']:>8.0f} MiB"
        line += f"{row['start']:>8.2f} s" if "start" in row else f"{'':>10}"
        print(line + (f"{row['seconds'] / results['ours']['seconds']:>12.0f}x" if "ours" in results else ""))
    if "scale" in results:
        one, two = results["scale"][1], results["scale"][2]
        print(f"{students} submissions: {one:.1f} s with one job, {two:.1f} s with two: {one / two:.2f} times as fast")
    if "large" in results:
        print(
            "{records} submissions, {hostile} hostile ones of {kinds} kinds, killed twice: "
            "{records} records, none twice, {seconds:.0f} s".format(**results["large"])
        )


def flat(results):
    """The numbers of all parts under one name each."""
    numbers, each = {}, results.get("ours", {})
    if each:
        numbers = {
            "seconds_per_submission": each["seconds"],
            "peak_mib": each["peak"],
            "cpu_per_submission": each["cpu"],
        }
    for requirement, row in results.get("rivals", {}).items():
        name = requirement.partition("==")[0].partition("-")[0]
        numbers |= {f"{name}_{key}": value for key, value in row.items()}
        if each:
            numbers[f"ratio_{name}"] = row["seconds"] / each["seconds"]
    if "scale" in results:
        numbers["jobs_scaling"] = results["scale"][1] / results["scale"][2]
    numbers |= {f"large_{key}": value for key, value in results.get("large", {}).items()}
    return numbers


# ---- The run


def parts_of(text):
    parts = text.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {','.join(PARTS)}")
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--students", type=int, default=300, help="in the class (%(default)s)")
    parser.add_argument("--rivals", type=int, default=3, metavar="N", help="submissions for each rival (%(default)s)")
    parser.add_argument("--only", type=parts_of, default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--environments", type=Path, default=home() / "rivals", help="of the rivals (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folders go too
    load = warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="course-grading-") as folder:
        results = measure(options, Path(folder))
    show(results, options.students)
    write_figures(flat(results) | {"load_before": load}, options.json)


if __name__ == "__main__":
    main()
