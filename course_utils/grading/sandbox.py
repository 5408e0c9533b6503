"""The trusted side of the sandbox: it lays out what may be in there, hands jobs in, and takes plain data out.

No line of a submission runs in this process, and nothing it can send is code: a message is JSON, then arrays as
safetensors, of limited length. What is in the sandbox: Python and its libraries, the kit with the reference of the
exercise at hand cut out, the probe without its claims, and numbers derived from the seed for this exercise alone.
"""

import contextlib
import json
import os
import py_compile
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import course_utils
from course_utils.exercises import exercises
from course_utils.exercises.probing import Findings, plain
from course_utils.files import CourseError
from course_utils.grading import inside, reading
from course_utils.grading.judge import stream

PACKAGE = Path(course_utils.__file__).resolve().parent
BASE = ("__init__", "files", *(f"exercises/{name}" for name in ("__init__", "probing", "networks", "losses")))
BASE += tuple(f"grading/{name}" for name in ("__init__", "inside", "isolation", "reading"))
LONGEST_TEXT = 2**20  # bytes of JSON that a probe may bring: small things in it take 30 times as much
LONGEST = 16 * 2**20  # bytes that may come out
START, GRACE = 120, 10  # seconds: for importing torch, and beyond a job's own limit
ENDS = {
    "time": "no answer within {seconds} seconds",
    "flood": "what came back was larger than 16 MiB",
    "files": "it wrote more than 64 MiB, or 2,000 files",
    "silent": "the process ended before it had answered",
    "died": "the sandbox itself came to an end",
    "garbled": "what came back cannot be read",
    "SIGSEGV": "the process crashed (segmentation fault)",
    "SIGXCPU": "no answer within {seconds} seconds",
    "SIGKILL": "the process was killed, perhaps out of memory",
}
WAYS_OUT = (
    "grade on Linux 5.13 or later, in a virtual machine or a container where Landlock is allowed; or say --insecure, "
    "and submissions run with limits alone: the marks are then not to be trusted"
)


def stage(folder, chosen):
    """Lay out what may be in a sandbox.

    folder/<name> is a kit without the reference of that exercise, folder/whole a kit with all of them, where no
    submission is run. Each kit has the probe, and no claim.

    Args:
        folder: where to.
        chosen: the exercises, {name: Exercise}.
    """
    whole = folder / "whole"
    leave = shutil.ignore_patterns("__pycache__", "lesson_*.py", "grading", "cli.py", "authoring.py", "*.js", "*.css")
    shutil.copytree(PACKAGE, whole / "course_utils", ignore=leave)
    for path in sorted(whole.rglob("*.py")):
        _compile(path)
    for name, exercise in chosen.items():
        declared = Path(sys.modules[exercise.probe.__module__].__file__).read_text(encoding="utf-8")
        shutil.copytree(whole, folder / name, ignore=shutil.ignore_patterns("probe_of_*"))
        module, _, symbol = exercise.reference.partition(":")
        place = folder / name / f"{module.replace('.', '/')}.py"
        _put(place, reading.without(place.read_text(encoding="utf-8"), symbol))
        for kit in (whole, folder / name):
            _put(kit / f"probe_of_{name}.py", reading.sliced(declared, exercise.probe.__name__))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


CHECK = "def check(name, answer):\n    return answer\n\n\ndef hint(name):\n    pass\n\n\ndef progress():\n    pass\n"


def stage_base(folder):
    """Lay out in folder/base what the server of the sandboxes needs of the kit, which is nothing to be kept secret."""
    _put(folder / "base/course_utils/grading/notebook.py", CHECK)  # what a notebook calls checks nothing in there
    for name in BASE:
        _put(folder / "base" / "course_utils" / f"{name}.py", (PACKAGE / f"{name}.py").read_text(encoding="utf-8"))


def _put(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    _compile(path)


def _compile(path):
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH  # nobody can write there
    py_compile.compile(str(path), doraise=True, dfile=f"kit/{path.name}", invalidation_mode=unchecked)


_staging = threading.Lock()  # the threads of a cluster's worker may start at once, and Python 3.11 parses in one


class Sandboxes:
    """Processes to read and run what was handed in, and the values to judge it by; a context manager.

    Attributes:
        expected: {exercise: the evidence for the course's own answer}, made here in a process of its own that never
            sees a submission.
        all: the sandboxes, each for one submission at a time.
    """

    def __init__(self, chosen, seed, count=1, rung="best", seconds=10, hidden=()):
        """Lay out and start.

        Args:
            chosen: the exercises, {name: Exercise}.
            seed: the secret; only what `judge.stream` makes of it goes in.
            count: of sandboxes.
            rung: "best" for the strongest that is safe, or one by name; "rlimits" is not safe.
            seconds: for each answer, of wall time and of CPU time.
            hidden: files and folders that must not be read, should they lie within Python's own.

        Raises:
            CourseError: this machine does not allow it; the message says what to do.
        """
        self.chosen, self.seed, self.rung, self.seconds = chosen, seed, rung, seconds
        self.hidden = [str(Path(path).resolve()) for path in (PACKAGE, *hidden)]
        self.folder = Path(tempfile.mkdtemp(prefix="course-sandbox-"))
        self.folder.chmod(0o755)
        self.all, self._processes = [], []
        try:
            stage_base(self.folder / "kits")
            lines = self._begun(count + 1)
            with _staging:
                stage(self.folder / "kits", chosen)  # while PyTorch is imported over there
            first, *self.all = [Sandbox(self, line, *_greeted(line)) for line in lines]
            self.expected = {name: first.reference(exercise) for name, exercise in chosen.items()}
            first.stop()
            shutil.rmtree(self.folder / "kits" / "whole")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """End all processes and remove the folder."""
        processes, self._processes = self._processes, None
        if processes is None:
            return
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for sandbox in self.all:
            sandbox.stop()
        inside.remove(self.folder)

    def another(self):
        """(line, pid, rung) of a new one.

        Raises:
            CourseError: it does not start, or all have been closed.
        """
        (line,) = self._begun(1)
        return line, *_greeted(line)

    def _begun(self, count):
        """Begin to start so many; the lines to them."""
        if self._processes is None:
            raise CourseError("the sandbox was closed")
        lines = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        theirs = [line.fileno() for _, line in lines]
        places = ":".join(f"{end},{tempfile.mkdtemp(prefix='scratch-', dir=self.folder)}" for end in theirs)
        command = [sys.executable, "-s", "-P", "-m", "course_utils.grading.inside", self.rung]
        command += [str(self.folder / "kits"), places, *self.hidden]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        process = subprocess.Popen(command, env=self._settings(), pass_fds=theirs, start_new_session=True, **quiet)
        self._processes.append(process)
        for _, line in lines:
            line.close()
        return [line for line, _ in lines]

    def _settings(self):
        """The environment in there: nothing of ours."""
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        settings |= {"PYTHONPATH": str(self.folder / "kits/base"), "PYTHONHASHSEED": "0"}
        settings |= {"USER": "student"}  # who has no entry in passwd; libraries ask for the name
        return settings | {"PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath, "LANG": "C.UTF-8"}


def _greeted(line):
    """(pid, rung) of a sandbox that has just started."""
    line.settimeout(START)
    try:
        pid = json.loads(line.recv(4096) or "{}")["pid"]
        hello = json.loads(line.recv(4096) or "{}")
    except (OSError, KeyError):
        raise CourseError("the sandbox does not start; what it says stands above") from None
    if "rung" not in hello:
        raise CourseError(f"no sandbox on this machine: {hello.get('error', 'it ended')}; {WAYS_OUT}")
    return pid, hello["rung"]


class Sandbox:
    """One of `Sandboxes`. Not for several threads at once.

    Attributes:
        rung: "namespaces" (with Landlock, seccomp and limits), "landlock" (with seccomp and limits), or "rlimits".
    """

    def __init__(self, family, line, pid, rung):
        self._family, self.seconds = family, family.seconds
        self._line, self.pid, self.rung = line, pid, rung

    def stop(self):
        """End its process."""
        self._line.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def read(self, files):
        """What was handed in, as `reading.read` finds it.

        Args:
            files: [(name, bytes)].

        Returns:
            (what was found, None), or (None, why nothing was).
        """
        answers = {name: {"answer": each.answer, "lesson": each.lesson} for name, each in exercises().items()}
        job = {"do": "read", "files": [(name, len(content)) for name, content in files], "answers": answers}
        end, header, _ = self._ask(job, b"".join(content for _, content in files))
        if end == "done" and isinstance(header, dict) and {"notices", "cells", "programs"} <= header.keys():
            return header, None
        return None, self._said(end)

    def probe(self, exercise, programs, cells):
        """Run an answer and ask it.

        Args:
            exercise: one of the chosen ones.
            programs: [{"answer", "statements"} or {"answer", "reference"}], in order; the last defines the answer.
            cells: {label: source}.

        Returns:
            (Findings, None), or (None, why there are none). Nothing in them is to be trusted.
        """
        job = self._job(exercise, exercise.name, programs, cells)
        end, header, blob = self._ask(job)
        if end != "done":
            return None, self._said(end)
        try:
            return self._findings(header, blob), None
        except Exception:  # it may be anything
            return None, ENDS["garbled"]

    def reference(self, exercise):
        """The evidence for the course's own answer.

        Raises:
            CourseError: there is none.
        """
        program = {"answer": exercise.answer, "reference": exercise.reference}
        end, header, blob = self._ask(self._job(exercise, "whole", [program], {}))
        findings = self._findings(header, blob) if end == "done" else None
        if not findings or findings.error or not findings.attempted:
            why = findings.error if findings else self._said(end)
            raise CourseError(f"the course's own answer to {exercise.name} fails here: {why}")
        return findings.evidence

    def _job(self, exercise, kit, programs, cells):
        return {
            "do": "probe",
            "kit": str(self._family.folder / "kits" / kit),
            "probe": [f"probe_of_{exercise.name}", exercise.probe.__name__],
            "programs": programs,
            "cells": cells,
            "stream": f"{stream(exercise.name, self._family.seed):x}",
        }

    def _findings(self, header, blob):
        from safetensors.numpy import load

        evidence = header["evidence"]
        evidence = {name: plain(value) for name, value in (evidence | (load(blob) if blob else {})).items()}
        longest = {"error": 300, "where": 300, "trace": 6000, "printed": 2000}
        said = {name: self._plain(str(header[name]))[:length] for name, length in longest.items()}
        return Findings(evidence, bool(header["attempted"]), **said)

    def _plain(self, text):
        """The text without what differs from run to run: the sandbox's own folder, addresses in memory."""
        return re.sub(r"0x[0-9a-f]{6,}", "0x…", text.replace(str(self._family.folder), ""))

    def _said(self, end):
        return ENDS.get(end, f"the process ended in a way of its own ({end})").format(seconds=self.seconds)

    def _ask(self, job, blob=b""):
        """(how it ended, header, bytes); a sandbox that died, or got stuck, is replaced by a new one."""
        out, into = os.pipe()
        try:
            with tempfile.TemporaryFile() as task:
                task.write(inside.pack({**job, "seconds": self.seconds}, blob))
                task.seek(0)
                socket.send_fds(self._line, [str(self.seconds).encode()], [task.fileno(), into])
            os.close(into)
            end, message = self._brought(out)
        except (EOFError, OSError):
            self.stop()
            self._line, self.pid, self.rung = self._family.another()
            return "died", {}, b""
        finally:
            os.close(out)
        try:
            if end == "done" and job["do"] == "probe" and int.from_bytes(message[:4]) > LONGEST_TEXT:
                return "garbled", {}, b""
            return (end, *inside.unpack(message)) if end == "done" else (end, {}, b"")
        except (ValueError, RecursionError):
            return "garbled" if message else "silent", {}, b""

    def _brought(self, out):
        """(how it ended, bytes): read until the sandbox says that nobody is in there any more."""
        message, asked, deadline = bytearray(), False, time.monotonic() + self.seconds + GRACE
        sources = [out, self._line]
        while True:
            ready = select.select(sources, [], [], max(0, deadline - time.monotonic()))[0]
            if out in ready:
                part = os.read(out, 2**20)
                message += part
                sources = sources if part else [self._line]
                if len(message) > LONGEST:
                    message.clear()
                    asked = asked or bool(self._line.send(inside.STOP))
            elif ready:
                end = self._line.recv(64).decode()
                if not end:
                    raise EOFError
                return "flood" if asked else end, bytes(message)
            else:
                raise EOFError
