"""The trusted side of the sandbox: it lays out what may be in there, hands jobs in, and takes plain data out.

No line of a submission runs in this process, and nothing it can send is code: a message is JSON, then arrays as
safetensors, of limited length. What is in the sandbox: Python and its libraries, the kit with the reference of the
exercise at hand cut out, the probe without its claims, and numbers derived from the seed for this exercise alone.
"""

import json
import os
import py_compile
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import course_utils
from course_utils.exercises import exercises
from course_utils.exercises.probing import Findings
from course_utils.files import CourseError
from course_utils.grading import inside, reading
from course_utils.grading.judge import stream

PACKAGE = Path(course_utils.__file__).resolve().parent
BASE = ("__init__", "files", "exercises/__init__", "exercises/probing", "grading/__init__")
BASE += tuple(f"grading/{name}" for name in ("inside", "isolation", "reading"))
START, GRACE = 120, 10  # seconds: for importing torch, and beyond a job's own limit
ENDS = {
    "time": "no answer within {seconds} seconds",
    "flood": "what came back was larger than 16 MiB",
    "silent": "the process ended before it had answered",
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
    """Lay out what is in the sandbox: folder/base for its server, and for each exercise a kit without its reference.

    Args:
        folder: an empty folder.
        chosen: the exercises, {name: Exercise}.
    """
    for name in BASE:
        _put(folder / "base" / "course_utils" / f"{name}.py", (PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    whole = folder / "whole"
    leave = shutil.ignore_patterns("__pycache__", "lesson_*.py", "grading", "cli.py", "authoring.py", "*.js", "*.css")
    shutil.copytree(PACKAGE, whole / "course_utils", ignore=leave)
    for path in sorted(whole.rglob("*.py")):
        _compile(path)
    for exercise in chosen.values():
        kit = folder / exercise.name
        shutil.copytree(whole, kit)
        module, _, symbol = exercise.reference.partition(":")
        place = kit / f"{module.replace('.', '/')}.py"
        _put(place, reading.without(place.read_text(encoding="utf-8"), symbol))
        declared = Path(sys.modules[exercise.probe.__module__].__file__).read_text(encoding="utf-8")
        _put(kit / "probe_of_answer.py", reading.sliced(declared, exercise.probe.__name__))
    shutil.rmtree(whole)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _put(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    _compile(path)


def _compile(path):
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH  # nobody can write there
    py_compile.compile(str(path), doraise=True, dfile=f"kit/{path.name}", invalidation_mode=unchecked)


class Sandbox:
    """A process to read and run what was handed in; a context manager. Not for several threads at once.

    Attributes:
        rung: "namespaces" (with Landlock, seccomp and limits), "landlock" (with seccomp and limits), or "rlimits".
    """

    def __init__(self, chosen=None, rung="best", seconds=10, hidden=()):
        """Lay out and start.

        Args:
            chosen: the exercises, {name: Exercise}; all of the course if None.
            rung: "best" for the strongest that is safe, or one by name; "rlimits" is not safe.
            seconds: for each answer, of wall time and of CPU time.
            hidden: files and folders that must not be read, should they lie within Python's own.

        Raises:
            CourseError: this machine does not allow it; the message says what to do.
        """
        self.chosen = exercises() if chosen is None else chosen
        self.seconds, self.wanted = seconds, rung
        self._hidden = [str(Path(path).resolve()) for path in (PACKAGE, *hidden)]
        self._folder = Path(tempfile.mkdtemp(prefix="course-sandbox-"))
        self._server = None
        try:
            stage(self._folder / "kits", self.chosen)
            self.rung = self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """End its processes and remove its folder."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

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

    def probe(self, exercise, programs, cells, seed):
        """Run an answer and ask it.

        Args:
            exercise: one of the chosen ones.
            programs: [{"answer", "statements"} or {"answer", "reference"}], in order; the last defines the answer.
            cells: {label: source}.
            seed: the secret; only what `judge.stream` makes of it goes in.

        Returns:
            (Findings, None), or (None, why there are none). Nothing in them is to be trusted.
        """
        job = {
            "do": "probe",
            "kit": str(self._folder / "kits" / exercise.name),
            "probe": exercise.probe.__name__,
            "programs": programs,
            "cells": cells,
            "stream": f"{stream(exercise.name, seed):x}",
        }
        end, header, blob = self._ask(job)
        if end != "done":
            return None, self._said(end)
        try:
            return self._findings(header, blob), None
        except Exception:  # it may be anything
            return None, ENDS["garbled"]

    def _findings(self, header, blob):
        from safetensors.numpy import load

        evidence = header["evidence"]
        if not all(isinstance(value, str | int | float) for value in evidence.values()):
            raise ValueError("neither a number nor a text")
        arrays = load(blob) if blob else {}
        longest = {"error": 300, "where": 300, "trace": 6000, "printed": 2000}
        said = {name: self._plain(str(header[name]))[:length] for name, length in longest.items()}
        return Findings(evidence | arrays, bool(header["attempted"]), **said)

    def _plain(self, text):
        """The text without what differs from run to run: the sandbox's own folder, addresses in memory."""
        return re.sub(r"0x[0-9a-f]{6,}", "0x…", text.replace(str(self._folder), ""))

    def _said(self, end):
        return ENDS.get(end, f"the process ended in a way of its own ({end})").format(seconds=self.seconds)

    def _ask(self, job, blob=b""):
        """(how it ended, header, bytes); a sandbox that died, or got stuck, is replaced by a new one."""
        try:
            inside.send(self._server.stdin, {**job, "seconds": self.seconds}, blob)
            reply, message = self._receive(self.seconds + GRACE)
        except (EOFError, OSError, ValueError):
            if not self._server:
                raise CourseError("the sandbox was closed") from None
            self._stop()
            self._start()
            return "the sandbox itself died", {}, b""
        if reply["end"] != "done":
            return reply["end"], {}, b""
        try:
            size, rest = inside.HEAD.unpack(message[: inside.HEAD.size])
            body = message[inside.HEAD.size :]
            if len(body) != size + rest:
                raise ValueError("torn")
            return "done", json.loads(body[:size]), body[size:]
        except (ValueError, RecursionError, inside.struct.error):
            return "garbled" if message else "silent", {}, b""

    def _receive(self, seconds):
        if not select.select([self._server.stdout], [], [], seconds)[0]:
            raise EOFError
        return inside.receive(self._server.stdout)

    def _start(self):
        scratch, kits = self._folder / "scratch", self._folder / "kits"
        self._folder.chmod(0o755)
        scratch.mkdir(exist_ok=True)
        command = [sys.executable, "-s", "-P", "-m", "course_utils.grading.inside"]
        command += [self.wanted, str(kits), str(scratch), *self._hidden]
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        settings |= {"PYTHONPATH": str(kits / "base"), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        settings |= {"PATH": os.defpath, "LANG": "C.UTF-8", "CUDA_VISIBLE_DEVICES": ""}
        self._server = subprocess.Popen(
            command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=scratch, start_new_session=True
        )
        try:
            hello, _ = self._receive(START)
        except EOFError:
            raise CourseError("the sandbox does not start; what it says stands above") from None
        if "error" in hello:
            raise CourseError(f"no sandbox on this machine: {hello['error']}; {WAYS_OUT}")
        return hello["rung"]

    def _stop(self):
        server, self._server = self._server, None
        if server:
            server.kill()
            server.wait()
