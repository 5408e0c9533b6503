"""Marks for a class: from a folder of submissions to records, one for each, whatever it does.

No verdict, point or message is made in a process that ever ran what a student wrote: `sandbox` runs it and brings back
plain data, `judge` looks at them here. Records are appended as they are made, so that an interrupted run goes on.
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import queue
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from course_utils.exercises import exercises, find
from course_utils.files import CourseError, atomic
from course_utils.grading import feedback, gradebook, judge, platforms, similarity, submissions
from course_utils.grading.records import read_records, read_times
from course_utils.grading.sandbox import Sandboxes

SCHEMA = 1


def grade(path, out, lesson=None, seed=None, jobs=None, resume=False, insecure=False, dask=None, one=False, seconds=10):
    """Grade what is in `path`; the records are in out/records.jsonl.

    Args:
        path: submissions in one of the layouts of `submissions.find`.
        out: a folder of its own for this run.
        lesson: grade its exercises alone; all of the course if None.
        seed: a text or number to repeat a run with; a secret one if None. It is kept in out/run.json.
        jobs: so many submissions at a time; as many as there are processors if None.
        resume: go on with the run in `out`; submissions that are new or have changed are graded.
        insecure: grade even where the machine allows no sandbox; such records are marked, and not to be trusted.
        dask: the address of a Dask scheduler; its workers do what `jobs` do here.
        one: all files in `path` are one submission.
        seconds: for each answer.

    Returns:
        The number of submissions graded now.

    Raises:
        CourseError: nothing to grade, records that are there already, no sandbox, another run at work in `out`.
    """
    out = Path(out)
    found = submissions.find(path, exclude=[out], one=one)
    with _records_of(out, resume) as records:
        settings = _settings(out, lesson, seed, resume)
        rung = "rlimits" if insecure and not _safe() else "best"
        done = {record["key"]: record["files"] for record in records}
        todo = [each for each in found if each.key not in done or done[each.key] != _files(each)[0]]
        hidden = [str(Path(path).resolve()), str(out.resolve())]
        work = tuple(settings["exercises"]), settings["seed"], rung, seconds, tuple(hidden)
        results = _by_dask(work, todo, dask) if dask else _by_threads(work, todo, jobs or os.cpu_count())
        _append(out, results, len(found), len(todo))
    return len(todo)


class Grader:
    """Makes records, one at a time."""

    def __init__(self, sandbox, chosen, expected):
        """sandbox: one of `Sandboxes`; chosen: the exercises to grade, {name: Exercise}; expected: theirs."""
        self.sandbox, self.chosen, self.expected = sandbox, chosen, expected

    def record(self, about, files, notices=()):
        """What is found out about one submission.

        Args:
            about: {"key", "student", "ids", "late", "files"}, kept in the record.
            files: [(name, bytes)].
            notices: what is known of it already.

        Returns:
            (the record, its times): plain data, see DESIGN.md.
        """
        start = time.perf_counter()
        found, trouble = self.sandbox.read(files) if files else (None, None)
        notices = [*notices, *([f"could not be read: {trouble}"] if trouble else []), *(found or {}).get("notices", [])]
        answers = _Answers(self, found or {"cells": {}, "programs": {}})
        entries = [answers.entry(name) for name in self.chosen]
        points, of = (sum(entry[name] for entry in entries) for name in ("points", "of"))
        record = {"schema": SCHEMA, **about, "rung": self.sandbox.rung, "points": points, "of": of}
        record |= {"notices": _texts(notices), "exercises": entries}
        times = {"key": about["key"], "seconds": time.perf_counter() - start, "exercises": answers.times}
        return record, times


def _texts(notices, most=50):
    return [str(notice)[:500] for notice in notices[:most]]


class _Answers:
    """The answers of one submission, each examined once, those that others use first."""

    def __init__(self, grader, found):
        self.grader, self.cells, self.programs = grader, found["cells"], found["programs"]
        self.verdicts, self.times = {}, {}

    def entry(self, name):
        """The part of a record that is about one exercise."""
        exercise, program = self.grader.chosen[name], self.programs.get(name, {})
        verdict, stopped = self._examined(name)
        entry = {"name": name, "lesson": exercise.lesson, "answer": exercise.answer}
        entry |= {"outcome": "stopped" if stopped else verdict.outcome, "points": 0 if stopped else verdict.points}
        entry |= {"of": exercise.points, "results": [] if stopped else [vars(result) for result in verdict.results]}
        entry |= {"error": stopped or verdict.error, "where": "", "trace": "", "printed": ""}
        if not stopped:
            entry |= {each: getattr(verdict, each) for each in ("where", "trace", "printed")}
        notices = _texts(program["notices"]) if program else [f"{exercise.answer} is defined nowhere"]
        return entry | {"notices": notices, "source": str(program.get("source", ""))[:20_000]}

    def _examined(self, name):
        """(Verdict, ""), or (None, why there is none)."""
        if name not in self.verdicts:
            self.verdicts[name] = None, "it needs itself"  # until it is known
            start = time.perf_counter()
            try:
                self.verdicts[name] = self._examine(self.grader.chosen[name])
            except (LookupError, TypeError, AttributeError) as error:  # the reading came back out of shape
                self.verdicts[name] = None, f"what was handed in cannot be made out ({type(error).__name__})"
            self.times[name] = time.perf_counter() - start
        return self.verdicts[name]

    def _examine(self, exercise):
        program = self.programs.get(exercise.name)
        if not program:
            return judge.Verdict(exercise.name, "not attempted"), ""
        if program["error"]:
            return judge.Verdict(exercise.name, "raised", error=program["error"]), ""
        programs = [*self._used(program, [exercise.name]), program]
        labels = {label for each in programs for label, _ in each.get("statements", ())}
        cells = {label: self.cells[label] for label in labels}
        findings, stopped = self.grader.sandbox.probe(exercise, programs, cells)
        if stopped:
            return None, stopped
        return judge.verdict(exercise, findings, self.grader.expected[exercise.name], hidden=True), ""

    def _used(self, program, asking):
        """What stands for the other exercises' answers, as in the notebook: the student's if right, or the course's."""
        for name in program["uses"]:
            if name in asking:
                continue
            verdict = self._examined(name)[0] if name in self.grader.chosen else None
            if verdict and verdict.passes:
                yield from self._used(self.programs[name], [*asking, name])
                yield self.programs[name]
            else:
                yield {"answer": find(name).answer, "reference": find(name).reference}


def report(out):
    """Write what is made from the records: gradebook, students' pages, the class as a table, answers that are alike.

    Args:
        out: the folder that `grade` was given.

    Returns:
        A summary for the terminal.
    """
    out = Path(out)
    records, lesson = read_records(out), json.loads((out / "run.json").read_text(encoding="utf-8"))["lesson"]
    for record in records:
        feedback.write_feedback(record, out / "feedback", title=lesson or "The course")
    feedback.write_index(records, out, title=lesson or "The course")
    gradebook.write_gradebook(records, out / "gradebook.csv")
    platforms.write_nbgrader(records, out / "nbgrader.csv", lesson or "course")
    similarity.report(records, out / "similarity.html")
    return gradebook.summary(records, read_times(out))


# --- The work, here or on a cluster ---


@contextlib.contextmanager
def graders(names, seed, rung="best", seconds=10, hidden=(), count=1):
    """So many Graders for the exercises of these names; the rest as for `Sandboxes`."""
    chosen = {name: find(name) for name in names}
    with Sandboxes(chosen, seed, count, rung, seconds, hidden) as family:
        yield [Grader(sandbox, chosen, family.expected) for sandbox in family.all]


def _by_threads(work, todo, jobs):
    """Yields (record, times) as they are made."""
    if not todo:
        return
    jobs, free = min(jobs, len(todo)), queue.SimpleQueue()

    def made(submission):
        grader = free.get()
        try:
            return grader.record(*_read(submission))
        finally:
            free.put(grader)

    with ThreadPoolExecutor(jobs) as pool, graders(*work, count=jobs) as ready:
        for grader in ready:
            free.put(grader)
        try:
            for future in as_completed([pool.submit(made, submission) for submission in todo]):
                yield future.result()
        finally:  # interrupted, or the disk is full: what is at work now need not end first
            pool.shutdown(wait=False, cancel_futures=True)


def _by_dask(work, todo, address):
    """The same on the workers of a cluster. They are trusted: each judges, and starts a sandbox, on its own machine."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise CourseError("--dask needs Dask: pip install 'course-utils[cluster]'") from None
    try:
        client = Client(address, timeout=5)
    except OSError as error:
        raise CourseError(
            f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`"
        ) from None
    with client:
        given = (client.submit(_on_worker, work, *_read(each), pure=False) for each in todo)
        ahead = 4 + 2 * sum(client.nthreads().values())  # so that a large class need not fit into memory
        futures = as_completed(itertools.islice(given, ahead), with_results=True)
        for _, result in futures:
            yield result
            futures.update(itertools.islice(given, 1))


def _on_worker(work, about, files, notices):
    """A worker's thread keeps the sandbox of a run for the next submission."""
    if getattr(_thread, "work", None) != work:
        if hasattr(_thread, "stack"):
            _thread.stack.close()
        _thread.stack = contextlib.ExitStack()
        (_thread.grader,) = _thread.stack.enter_context(graders(*work))
        _thread.work = work
    return _thread.grader.record(about, files, notices)


_thread = threading.local()


def _safe():
    """Does this machine allow a sandbox?"""
    try:
        Sandboxes({}, "").close()
    except CourseError:
        return False
    return True


# --- Files ---


def _read(submission):
    """(about, files, notices) of a submission; a file that cannot be read is a notice."""
    listed, files, notices = _files(submission)
    about = {"key": submission.key, "student": submission.student, "ids": dict(submission.ids), "late": submission.late}
    return about | {"files": listed}, files, [*submission.notices, *notices]


def _files(submission):
    """([{"name", "sha256"}], [(name, bytes)], notices)."""
    listed, files, notices = [], [], []
    for file in submission.files:
        try:
            content = file.read()
        except (CourseError, OSError) as error:
            notices.append(f"{file.name}: {error}")
            content = b""
        listed.append({"name": file.name, "sha256": hashlib.sha256(content).hexdigest()})
        files.append((file.name, content))
    return listed, files, notices


@contextlib.contextmanager
def _records_of(out, resume):
    """The records that are there already; nobody else writes in `out` meanwhile."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "records.jsonl", "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CourseError(f"another run is at work in {out}; wait for it, or choose another --out") from None
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if whole and not resume:
            raise CourseError(f"{out} has records already; say --resume to go on with them, or choose another --out")
        file.truncate(len(whole))  # a line that was being written when the run was killed
        yield [json.loads(line) for line in whole.splitlines()]


def _settings(out, lesson, seed, resume):
    """What this run is made with, from out/run.json or kept there now; only its owner can read the seed."""
    from course_utils import __version__

    path = out / "run.json"
    if resume and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        for name, value in (("lesson", lesson), ("seed", seed if seed is None else str(seed))):
            if value not in (None, kept[name]):
                raise CourseError(f"the run in {out} has another {name}; leave --{name} out, or choose another --out")
        return kept
    seed = secrets.token_hex(16) if seed is None else str(seed)
    kept = {"schema": SCHEMA, "lesson": lesson, "seed": seed, "exercises": list(exercises(lesson))}
    kept["version"] = __version__
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    path.chmod(0o600)
    return kept


def _append(out, results, total, left):
    """Write each record as it comes."""
    from tqdm import tqdm

    with (
        open(out / "records.jsonl", "ab") as records,
        open(out / "times.jsonl", "ab") as times,
        tqdm(total=total, initial=total - left, unit="submission", desc="grading", dynamic_ncols=True) as bar,
    ):
        for record, spent in results:
            for file, value in ((times, spent), (records, record)):
                file.write(json.dumps(value).encode() + b"\n")
                file.flush()
            bar.update()
