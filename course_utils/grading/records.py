"""Records: what is known about each submission, a line of records.jsonl, and how to read one without trusting it.

Names, ids, file names, errors and sentences in it may say anything: they are made readable before they are shown
(`readable`, `one_line`), and in a table what a spreadsheet might take for a formula is marked as text (`cell`).
"""

import csv
import json
import re
import reprlib
import unicodedata
from pathlib import Path

from course_utils.files import CourseError, atomic

SCHEMA = 1
KEY = re.compile(r"[\w-][\w.-]*")
OUTCOMES = ("holds", "does not hold", "raised", "stopped", "not attempted")
UNTRUSTED = "rlimits"  # the rung on which a record is worth no more than the student's word

# The fields and what stands in for one that is missing; where that is a kind, the field must be there.
RECORD = {"student": "", "ids": {}, "late": False, "files": [], "rung": "", "points": float, "of": float}
RECORD |= {"notices": [], "exercises": []}
FILE = {"name": "", "sha256": ""}
EXERCISE = {"name": str, "lesson": "", "answer": "", "outcome": str, "points": float, "of": float, "results": []}
EXERCISE |= {"error": "", "where": "", "trace": "", "printed": "", "notices": [], "source": ""}
RESULT = {"text": "", "points": float, "holds": bool, "sentence": "", "hidden": bool}
MOST_POINTS = 1_000_000
KINDS = {str: "a text", float: f"a number from 0 to {MOST_POINTS:,}", bool: "true or false", list: "a list"}
KINDS |= {dict: "an object"}

UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # control characters but "\t" and "\n"
    "\xad\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"  # of no width
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f"  # separate lines, or reorder what stands in them
    "\ud800-\udfff\ufffe\uffff]"  # no characters
)
FORMULA = set("=+-@−")  # what a formula begins with
LONGEST_CELL = 300  # characters


# --- Records ---


def read_records(folder):
    """The records of a class, one for each key, in the order of the keys; of two with one key the later line counts.

    A last line without an end was being written when the run was killed: it is left out.

    Raises:
        CourseError: no records.jsonl there, a line that is no record, or one of another schema.
    """
    path = Path(folder) / "records.jsonl"
    try:
        *lines, last = path.read_bytes().split(b"\n")  # only these: a text may hold other line separators
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}; `course grade` writes it, give the folder of its --out") from None
    found = {}
    for number, line in enumerate([*lines, last] if _json(last) is not None else lines, start=1):
        try:
            record = _parsed(line) if line.strip() else None
        except CourseError as error:
            raise CourseError(f"{path}, line {number}: {error}; remove the line, or grade anew") from None
        if record:
            found[record["key"]] = record
    return [found[key] for key in sorted(found)]


def read_times(folder):
    """The lines of times.jsonl, {"key", "seconds", "exercises"}; broken ones are left out: no mark depends on them."""
    path = Path(folder) / "times.jsonl"
    lines = path.read_bytes().split(b"\n") if path.is_file() else []
    return [found for line in lines if (found := _json(line)) is not None]


def checked(record):
    """A record with all its fields, each of its kind.

    Raises:
        CourseError: a field that must be there and is not, or one of another kind; a key that is no safe file name.
    """
    if not isinstance(record, dict):
        raise CourseError(f"a {type(record).__name__} where a record is expected")
    key = _of_kind(record.get("key"), str, "the key of a record")
    if not KEY.fullmatch(key) or len(key.encode()) > 200:
        raise CourseError(f"the key {reprlib.repr(key)} is no name for a file; letters, digits, _ - . within are")
    where = f"the record of {key}"
    record = _filled(record, RECORD, where)
    record["ids"] = _filled(record["ids"], dict.fromkeys(record["ids"], ""), f"{where}, ids")
    record["files"] = [_filled(each, FILE, f"{where}, files") for each in record["files"]]
    record["notices"] = _texts(record["notices"], where)
    record["exercises"] = [_exercise(each, where) for each in record["exercises"]]
    return record


def checked_all(records):
    """The records checked, one for each key, in the order of the keys."""
    found = {record["key"]: record for record in map(checked, records)}
    return [found[key] for key in sorted(found)]


def _json(line):
    """What a line holds; None where it is no JSON."""

    def refuse(constant):
        raise ValueError(constant)

    try:
        return json.loads(line.decode(), parse_constant=refuse)  # no NaN, no Infinity
    except (ValueError, RecursionError):
        return None


def _parsed(line):
    if (record := _json(line)) is None:
        raise CourseError("no JSON")
    if isinstance(record, dict) and record.get("schema") != SCHEMA:
        raise CourseError(f"schema {reprlib.repr(record.get('schema'))}, this version reads {SCHEMA}")
    return checked(record)


def _exercise(given, where):
    exercise = _filled(given, EXERCISE, f"{where}, exercises")
    where = f"{where}, {one_line(exercise['name'])}"
    if exercise["outcome"] not in OUTCOMES:
        raise CourseError(f"{where}: outcome is {exercise['outcome']!r:.40}, expected {', '.join(OUTCOMES)}")
    exercise["results"] = [_filled(each, RESULT, f"{where}, results") for each in exercise["results"]]
    exercise["notices"] = _texts(exercise["notices"], where)
    return exercise


def _filled(given, fields, where):
    """`given` with every field, of its kind."""
    if not isinstance(given, dict):
        raise CourseError(f"{where}: a {type(given).__name__} where an object is expected")
    whole = dict(given)
    for name, default in fields.items():
        kind = default if isinstance(default, type) else type(default)
        value = given.get(name)
        value = default if value is None and kind is not default else value
        whole[name] = _of_kind(value, kind, f"{where}: {one_line(name)}")
    if "of" in fields and whole["points"] > whole["of"]:
        raise CourseError(f"{where}: {decimal(whole['points'])} points of {decimal(whole['of'])}")
    return whole


def _of_kind(value, kind, name):
    fits = is_number(value) and value <= MOST_POINTS if kind is float else isinstance(value, kind)
    if not fits:
        what = "missing" if value is None else f"not this {type(value).__name__}"
        raise CourseError(f"{name} must be {KINDS[kind]}, {what}")
    return value


def is_number(value):
    """Is it a number that can be counted with? NaN is not."""
    """Whether it is a number from 0, and neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _texts(given, where):
    return [_of_kind(each, str, f"{where}: a notice") for each in given]


# --- Text that anybody may have written ---


def readable(text):
    """The text with what cannot be seen, or reorders or moves what is seen, as an escape: \\x1b, \\u202e.

    Line ends become "\\n"; tabs, and the joiners that some scripts need, stay.
    """
    text = re.sub(r"\r\n?", "\n", text)
    return UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text, most=LONGEST_CELL):
    """The same in one line of at most `most` characters."""
    text = " ".join(readable(text[: 4 * most]).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def cell(text):
    """A cell of a table that a spreadsheet shows and never computes: an apostrophe marks what looks like a formula."""
    text = one_line(text)
    first = unicodedata.normalize("NFKC", text[:1])[:1]  # full-width signs count as well
    return f"'{text}" if first in FORMULA else text


def decimal(value):
    """A number with two decimals at most: 7, 7.5, 7.25."""
    return f"{value + 0:.2f}".rstrip("0").rstrip(".")


def write_rows(rows, path, delimiter=",", newline="\r\n", encoding="utf-8"):
    """Write a table as CSV; returns the path."""
    with atomic(path) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return Path(path)
