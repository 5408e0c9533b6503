"""Hostile submissions gain nothing, change nobody's record and stop nothing, on every rung that this machine allows.

The rung stands in each test's name. "rlimits" is not trusted: what an attack may gain there, its data say.
"""

import contextlib
import csv
import hashlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

import course_utils
from course_utils.exercises import exercises, find
from course_utils.exercises.probing import Findings
from course_utils.files import CourseError
from course_utils.grading import classes, inside, judge
from course_utils.grading.feedback import write_feedback
from course_utils.grading.gradebook import write_gradebook
from course_utils.grading.records import checked, read_records
from course_utils.grading.sandbox import GRACE

sys.path.insert(0, str(Path(__file__).parent))
from attacks import ATTACKS, HONEST, HONEST_WITH_FILES, RUNGS, SAFE, TOKEN

SEED = secrets.token_hex(16)
PACKAGE = Path(course_utils.__file__).resolve().parent
ROOT = os.geteuid() == 0  # then a submission runs as another user, on the rung "rlimits" too
DOCSTRING = f'"{TOKEN}"'  # of the honest answer
CASES = [(rung, attack) for rung in RUNGS for attack in ATTACKS if rung in attack.rungs]


# --- A class with something to gain ---


class Target:
    """A grader at work, with what an attacker would like to read or change."""

    def __init__(self, rung, folder):
        self.rung, self.folder = rung, folder
        self.lay_out()
        self.stack = contextlib.ExitStack()
        self.at_home = recorded_at_home()
        self.start()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.unix, self.abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "socket"))
        self.abstract.bind(f"\0course-attack-{os.getpid()}")
        for each in (self.listener, self.unix, self.abstract):
            each.listen()
            each.setblocking(False)

    def lay_out(self):
        files = {
            "out/run.json": json.dumps({"seed": SEED}),
            "out/records.jsonl": '{"schema": 1, "key": "ada", "points": 8}\n',
            "out/gradebook.csv": "key,points\nada,8\n",
            "out/feedback/ada.html": "<h1>Ada</h1>",
            "submissions/ada/answer.py": HONEST,
        }
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            os.utime(path, (10**9, 10**9))
        (self.folder / "out/run.json").chmod(0o600)

    def start(self):
        """Begin with a new grader."""
        hidden = [str(self.folder / "out"), str(self.folder / "submissions")]
        (self.grader,) = self.stack.enter_context(classes.graders(tuple(exercises()), SEED, self.rung, 2, hidden))
        commands = " ".join(" ".join(process.cmdline()) for process in psutil.Process().children())
        self.sandbox = Path(re.search(r"\S*/course-sandbox-\w+", commands)[0])
        self.submit_honest()  # what is only done the first time
        self.honest = self.submit_honest()
        self.honest_with_files = self.submit_honest(HONEST_WITH_FILES)
        self.processes = self.settled()

    def start_again(self):
        """The next attack finds a sound one."""
        with contextlib.suppress(Exception):
            self.stack.close()
        subprocess.run(["rm", "-rf", self.sandbox], check=True)
        self.lay_out()
        self.start()

    def close(self):
        self.stack.close()
        for each in (self.listener, self.unix, self.abstract):
            each.close()

    def submit(self, student, files, seconds=2):
        files = [
            (name, text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")) for name, text in files
        ]
        listed = [{"name": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in files]
        about = {"key": "somebody", "student": student, "ids": {"canvas": student}, "late": False, "files": listed}
        self.grader.sandbox.seconds = seconds
        return self.grader.record(about, files)[0]

    def submit_honest(self, text=HONEST):
        return self.submit("ada", [("answer.py", text)])

    def known(self, text):
        """The text, and above it what its author may well know."""
        constants = {
            "RECORDS": str(self.folder / "out/records.jsonl"),
            "RUN": str(self.folder / "out/run.json"),
            "SUBMISSION": str(self.folder / "submissions/ada/answer.py"),
            "PACKAGE": str(PACKAGE),
            "CLONE": str(Path(__file__).parents[2]),
            "GRADER": os.getpid(),
            "PORT": self.listener.getsockname()[1],
            "UNIX": str(self.folder / "socket"),
            "ABSTRACT": f"course-attack-{os.getpid()}",
            "TOKEN_BACKWARDS": TOKEN[::-1],
            "AT_HOME": self.at_home,
        }
        used = {name: value for name, value in constants.items() if re.search(rf"\b{name}\b", text)}
        return "".join(f"{name} = {value!r}\n" for name, value in used.items()) + text

    def settled(self, wanted=None):
        """How many processes the sandbox consists of, with all that came from it, once none ends any more."""
        counts, deadline = [0], time.monotonic() + 10
        while time.monotonic() < deadline and counts[-1] != wanted and (wanted or counts[-5:] != counts[-1:] * 5):
            time.sleep(0.02 if len(counts) > 1 else 0)
            known = [
                each.pid for each in psutil.process_iter(["cmdline"]) if str(self.sandbox) in str(each.info["cmdline"])
            ]
            counts.append(len({*known, *(each.pid for each in psutil.Process().children(recursive=True))}))
        return counts[-1]

    def canaries(self):
        """What must not change."""
        paths = sorted(
            [*self.folder.rglob("*"), PACKAGE, PACKAGE / "metrics.py", *(self.sandbox / "kits").rglob("*.py")]
        )
        return {str(path): facts(path) for path in paths}

    def visitors(self):
        """How many came to the sockets."""
        found = 0
        for each in (self.listener, self.unix, self.abstract):
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.accept()[0].close()
                    found += 1
        return found


def facts(path):
    state = path.lstat()
    content = path.read_bytes() if path.is_file() else sorted(os.listdir(path)) if path.is_dir() else None
    return content, state.st_mode, state.st_mtime_ns, state.st_uid, state.st_nlink, os.listxattr(path)


def recorded_at_home():
    """The right answer's evidence, under the seed that everybody has."""
    evidence = judge.expected(find("psnr"), judge.PUBLIC_SEED)
    arrays = {name: value for name, value in evidence.items() if isinstance(value, np.ndarray)}
    said = {"attempted": True, "error": "", "where": "", "trace": "", "printed": ""}
    plain = {name: value for name, value in evidence.items() if name not in arrays}
    return inside.pack({"evidence": plain, **said}, arrays)


@pytest.fixture(scope="session")
def targets(tmp_path_factory):
    """A function from a rung to the Target on it, of which there is one at a time."""
    os.environ["COURSE_SECRET"] = "only the grader's"
    made = {}

    def on(rung):
        if rung not in made:
            for old in made.values():
                old.close()
            made.clear()
            made[rung] = Target(rung, tmp_path_factory.mktemp(rung))
        return made[rung]

    yield on
    for target in made.values():
        target.close()
    for folder in ("/dev/shm", "/tmp", "/var/tmp"):
        for path in Path(folder).glob("course-attack-*"):
            path.unlink(missing_ok=True)


@pytest.fixture
def target(request, targets):
    try:
        return targets(request.param)
    except CourseError as error:
        pytest.skip(f"no rung {request.param} here: {error}")


# --- The attacks ---


@pytest.mark.parametrize(
    ("target", "attack"), CASES, ids=[f"{rung}-{attack.name}" for rung, attack in CASES], indirect=["target"]
)
def test_an_attack(target, attack, tmp_path):
    try:
        record, seen = attacked(target, attack)
    except Exception:  # the run is at an end
        target.start_again()
        raise
    safe = target.rung in SAFE
    apart = safe or ROOT  # else it runs as the same user as the sandbox and the grader
    if not seen.sound or (attack.further and not apart):
        target.start_again()
    gained_nothing(record, attack, trusted=safe)
    can_be_shown(record, target.honest, tmp_path)
    assert seen.fair, "another submission's record has changed"
    assert seen.visitors == 0 or not safe, "something came over the network"
    assert not seen.changed or not apart, "something outside has changed"
    assert seen.left == 0 or not apart, "processes are left, or the sandbox's own are gone"
    assert seen.grown < 256, f"the grader itself took {seen.grown} MiB more"
    assert seen.took < 3 * len(attack.steps) * (attack.seconds + GRACE), "it held up the class"


def attacked(target, attack):
    """The record of the attack, and what could be seen of it from outside."""
    with contextlib.suppress(OSError):  # from here on count anew
        Path("/proc/self/clear_refs").write_text("5")
    canaries, memory, start = target.canaries(), memory_of_grader("VmRSS"), time.monotonic()
    for files in attack.steps:
        texts = [(name, target.known(text) if name == "answer.py" else text) for name, text in files]
        record = target.submit(attack.student, texts, attack.seconds)
    seen = SimpleNamespace(took=time.monotonic() - start, visitors=target.visitors())
    seen.grown = memory_of_grader("VmHWM") - memory  # at its highest
    seen.left, seen.changed = target.settled(target.processes) - target.processes, target.canaries() != canaries
    seen.fair = target.submit_honest() == target.honest
    if attack.scratch:
        seen.fair = seen.fair and target.submit_honest(HONEST_WITH_FILES) == target.honest_with_files
    seen.sound = seen.fair and not seen.left and not seen.changed
    return record, seen


def memory_of_grader(kind):
    return int(re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10  # MiB


def gained_nothing(record, attack, trusted):
    """The points that it deserves, what the data say about it, and no attempt that came through."""
    entry = next(each for each in record["exercises"] if each["name"] == attack.exercise)
    said = f"{entry['outcome']}, {entry['points']} points: {entry['error']}\n{entry['printed']}\n{record['notices']}"
    gains = "GAINED" in entry["printed"] or "GAINED" in entry["error"]
    if "got = attempts(" in str(attack.steps[-1]) and entry["outcome"] != "stopped":
        assert re.search(r"^(GAINED|nothing|refused) ", entry["printed"], re.MULTILINE), f"nothing was tried: {said}"
    if attack.further and not trusted:
        assert gains or not attack.surely or not ROOT, f"the attempts are none: {said}"
        return
    assert not gains, said
    assert entry["points"] in ((0, entry["of"]) if attack.points is None else (attack.points,)), said
    assert entry["outcome"] in attack.outcome.split("|"), said
    assert (
        any(attack.error in text for text in (entry["error"], *record["notices"], *entry["notices"]))
        or not attack.error
    ), said
    assert record["rung"] in RUNGS


def can_be_shown(record, honest, folder):
    """The record is one, in JSON; the pages and tables made of it have nothing in them that acts."""
    kept = checked(json.loads(json.dumps(record, allow_nan=False)))
    assert kept == record
    assert len(json.dumps(record)) < 500_000
    page = write_feedback(record, folder).read_text(encoding="utf-8")
    assert live_parts(page) <= live_parts(write_feedback(honest | {"key": "ada"}, folder).read_text(encoding="utf-8"))
    with open(write_gradebook([record, honest | {"key": "ada"}], folder / "marks.csv"), encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 3
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def live_parts(page):
    """The tags and attributes of a page that can do something."""
    found = set()
    parser = HTMLParser()
    acting = ("script", "img", "iframe", "svg", "object", "embed", "link", "base", "form", "input", "a")
    parser.handle_starttag = lambda tag, attributes: found.update(
        {tag} & set(acting),
        {name for name, _ in attributes if name.startswith("on") or name in ("src", "href", "action")},
    )
    parser.feed(page)
    return found


# --- Evidence, whatever it is ---

VALUES = {
    "nothing": None,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "0": 0,
    "1": 1,
    "a huge number": 10**400,
    "no text": "",
    "a long text": "=1+1<b>" * 10**5,
    "an error": "CourseError: " + "0" * 400,
    "a description": "returned a Tensor of shape (3,)",
    "a list": "[" + ", ".join(["clean/a.png scan/a.jpg"] * 20) + "]",
    "surrogates": "\ud800\x00\x1b[2J",
    "no array": np.zeros(0, np.float32),
    "NaN in an array": np.full((2, 3, 14, 13), np.nan, np.float32),
    "one value": np.array(1.0),
    "truth values": np.ones((4, 2, 2, 2), bool),
    "zeros, many": np.zeros((100_000, 1, 1, 1, 1), np.uint8),
    "ones, many": np.ones((1, 100_000), np.uint8),
    "windows, many": np.tile(np.array([0, 1], np.uint8), (12_500, 2, 2, 1)),
    "large numbers": np.full((5, 2, 2, 2), 2**62, np.int64),
    "40 axes": np.ones([1] * 40, np.float16),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("exercise", exercises().values(), ids=exercises())
def test_evidence_that_is_all_the_same_earns_nothing_and_costs_little(exercise, value):
    expected = judge.expected(exercise, SEED)
    names = {*expected, *(name.partition(":")[0] for name in expected)}
    all_of_it = {} if value is None else dict.fromkeys(names, value)
    half_of_it = expected | dict.fromkeys(list(expected)[::2], value)
    tracemalloc.start()
    verdicts = [judge.verdict(exercise, Findings(each), expected, hidden=True) for each in (all_of_it, half_of_it)]
    peak = tracemalloc.get_traced_memory()[1] >> 20
    tracemalloc.stop()
    assert verdicts[0].points == 0
    assert all(len(result.sentence) < 200 for verdict in verdicts for result in verdict.results)
    assert peak < 128, f"{peak} MiB"


# --- Several at a time ---


@pytest.fixture(scope="module")
def pair():
    """Two graders that work side by side, on the strongest rung."""
    try:
        with classes.graders(("psnr",), SEED, seconds=5, count=2) as two:
            yield two
    except CourseError as error:
        pytest.skip(str(error))


def test_threads_of_one_answer_leave_room_for_those_of_another(pair):
    about = {"key": "somebody", "student": "", "ids": {}, "late": False, "files": []}
    crowd = """
    try:
        while True:
            threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
    except RuntimeError:
        time.sleep(3)"""
    alone = "\n    threading.Thread(target=print).start()"
    many, few = (
        f"import threading, time\n{HONEST.replace(DOCSTRING, DOCSTRING + more)}".encode() for more in (crowd, alone)
    )
    with ThreadPoolExecutor() as pool:
        pool.submit(pair[0].record, about, [("answer.py", many)])
        time.sleep(1)  # by then there are as many as there can be
        record, _ = pair[1].record(about, [("answer.py", few)])
    assert record["points"] == 8, record["exercises"][0]["error"]


def test_a_class_with_attackers_in_it_is_graded_to_the_end(pair, tmp_path):
    chosen = ("folders within folders, 1,500 deep", "ends: a signal without a name", "endless: C", "a fork bomb",
              "forged: evidence of 1 GB", "forged: a text of 15 MB")  # fmt: skip
    hostile = [attack for attack in ATTACKS if attack.name in chosen]
    assert len(hostile) == len(chosen)
    for number, attack in enumerate(hostile):
        for letter, text in (("a", attack.steps[-1][0][1]), ("b", HONEST)):
            folder = tmp_path / "submissions" / f"student{number}{letter}"
            folder.mkdir(parents=True)
            (folder / "answer.py").write_text(text)
    classes.grade(tmp_path / "submissions", tmp_path / "out", lesson="00_welcome", jobs=2, seconds=2)
    marks = {record["key"]: record["points"] for record in read_records(tmp_path / "out")}
    assert marks == {f"student{i}{letter}": 8 * (letter == "b") for i in range(len(chosen)) for letter in "ab"}
