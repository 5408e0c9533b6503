"""What is made from records alone: gradebooks for people and platforms, and a summary of the class.

A record is what is known about one submission, a line of records.jsonl. Names, ids, file names, errors and sentences in
it may say anything: they are made readable before they are shown (`readable`, `one_line`), and what a spreadsheet might
take for a formula is marked as text.
"""

import csv
import io
import json
import re
import reprlib
import statistics
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
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

NBGRADER = "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty"
NBGRADER = [*NBGRADER.split(), "score", "max_score"]  # what nbgrader 0.9.6 exports
MOODLE = {
    "identifier": "Identifier",
    "name": "Full name",
    "grade": "Grade",
    "maximum": "Maximum grade",
    "comments": "Feedback comments",
}
CANVAS_NO_STUDENT = re.compile(r"\s*(Muted|Manual Posting.*)?\s*", re.IGNORECASE)
CANVAS_KEEPS = ("EX", "N/A")  # excused; not assigned to this student
WIDTH = 100  # characters of a line of the summary


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
    fits = _is_number(value) and value <= MOST_POINTS if kind is float else isinstance(value, kind)
    if not fits:
        what = "missing" if value is None else f"not this {type(value).__name__}"
        raise CourseError(f"{name} must be {KINDS[kind]}, {what}")
    return value


def _is_number(value):
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


def _cell(text):
    """A cell of a table that a spreadsheet shows and never computes: an apostrophe marks what looks like a formula."""
    text = one_line(text)
    first = unicodedata.normalize("NFKC", text[:1])[:1]  # full-width signs count as well
    return f"'{text}" if first in FORMULA else text


def decimal(value):
    """A number with two decimals at most: 7, 7.5, 7.25."""
    return f"{value + 0:.2f}".rstrip("0").rstrip(".")


# --- Gradebooks ---


def write_gradebook(records, path):
    """Write the marks of a class as CSV, a row for each student and a column for each exercise.

    It opens well in spreadsheets: UTF-8 with a byte order mark, without which Excel takes it for the machine's old
    code page and breaks names; no cell is a formula; each is one line.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    names = _exercise_names(records)
    head = ["key", "student", "ids", "points", "of", "percent", *map(_cell, names), "notices", "rung", "late"]
    return _write_rows([head, *(_gradebook_row(record, names) for record in records)], path, encoding="utf-8-sig")


def _gradebook_row(record, names):
    points = {exercise["name"]: exercise["points"] for exercise in record["exercises"]}
    notices = len(record["notices"]) + sum(len(exercise["notices"]) for exercise in record["exercises"])
    ids = " ".join(f"{platform}={value}" for platform, value in sorted(record["ids"].items()))
    return [
        *map(_cell, (record["key"], record["student"], ids)),
        *map(decimal, (record["points"], record["of"], _percent(record))),
        *(decimal(points[name]) if name in points else "" for name in names),
        notices,
        _cell(record["rung"]),
        "late" if record["late"] else "",
    ]


def write_nbgrader(records, path, assignment):
    """Write the marks as nbgrader's own CSV export has them; dates, which records do not hold, stay empty.

    Args:
        assignment: its name in nbgrader.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none.
    """
    rows = [NBGRADER]
    for record in checked_all(records):
        student = record["ids"].get("nbgrader") or record["key"]
        name = record["student"] if record["student"] != student else ""  # nobody can split a name for sure
        points, of = float(record["points"]), float(record["of"])
        texts = map(_cell, (assignment, "", "", student, name, "", ""))
        rows.append([*texts, points, 0.0, points, of])
    return _write_rows(rows, path, newline="\n")


def _exercise_names(records):
    """The names of all exercises, in the order in which they come."""
    return list(dict.fromkeys(exercise["name"] for record in records for exercise in record["exercises"]))


def _percent(record):
    return 100 * record["points"] / record["of"] if record["of"] else 0


def _write_rows(rows, path, delimiter=",", newline="\r\n", encoding="utf-8"):
    with atomic(path) as temporary, temporary.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=newline).writerows(rows)
    return Path(path)


# --- Canvas and Moodle: the platform's own file, with one column filled ---


@dataclass(frozen=True)
class Filled:
    """What came of filling a platform's file.

    Attributes:
        path: of the filled file.
        filled: the number of rows that got a mark.
        unmatched_rows: the students in it who got none, and why.
        unmatched_records: the keys of the records that went nowhere, and why.
    """

    path: Path
    filled: int
    unmatched_rows: tuple
    unmatched_records: tuple

    def __str__(self):
        lines = [f"{self.path}: {self.filled} marks filled in"]
        if self.unmatched_rows:
            lines += ["students without a mark:", *(f"  {each}" for each in self.unmatched_rows)]
        if self.unmatched_records:
            lines += ["records without a student:", *(f"  {each}" for each in self.unmatched_records)]
        return "\n".join(lines)


def fill_canvas(records, export, path, assignment=None, scale=True):
    """Fill one assignment's column of a gradebook that was exported from Canvas; every other cell stays as it is.

    A student is found by Canvas's own user id where the record has it, else by login, SIS id or name. Whoever is found
    twice, is excused ("EX") or does not have the assignment ("N/A") gets no mark.

    Args:
        export: the CSV file from Canvas: Grades, Export.
        path: of the filled file, for Grades, Import.
        assignment: a part of its name, or its id; may be left out where there is only one.
        scale: let full points be the assignment's Points Possible.

    Returns:
        Filled.

    Raises:
        CourseError: another kind of file; no such assignment, or several.
    """
    records, sheet = checked_all(records), _read_sheet(export)
    header, rows = sheet.rows[0], [row for row in sheet.rows[1:] if row]
    if "ID" not in header or "Section" not in header or not {"Student", "LastName"} & set(header):
        raise CourseError(f"{export} is no gradebook of Canvas: no columns Student, ID, Section; use Grades, Export")
    totals = [row for row in rows if "Points Possible" in row[0]]
    column = _assignment(header, totals, assignment, export)
    possible = next((most for row in totals if (most := _as_number(row, column))), None)
    students = [_completed(row, header) for row in rows if _is_student(row)]
    names = [_canvas_names(dict(zip(header, row, strict=False))) for row in students]
    known = [_texts_of(students, header, title) for title in ("ID", "SIS Login ID", "SIS User ID")]

    def give(row, record):
        if (kept := row[column].strip().upper()) in CANVAS_KEEPS:
            return f"stays {kept}"
        row[column] = _mark(record, possible, scale)

    report = _fill(records, students, [name[0] for name in names], [*known, names], "canvas", give)
    return Filled(sheet.write(path), *report)


def fill_moodle(records, worksheet, path, scale=True, comments=False, columns=None):
    """Fill the grades of an offline grading worksheet of Moodle; every other cell stays as it is.

    A student is found by the number of the participant where the record has it, else by name.

    Args:
        worksheet: the CSV file from Moodle: View all submissions, Download grading worksheet.
        path: of the filled file, for Upload grading worksheet.
        scale: let full points be the Maximum grade.
        comments: write the points of each exercise into Feedback comments, over what stands there.
        columns: the headers of a worksheet that is not in English: {"grade": "Bewertung"}; the others are
            "identifier", "name", "maximum" and "comments".

    Returns:
        Filled.

    Raises:
        CourseError: another kind of file, or no such columns.
    """
    records, sheet = checked_all(records), _read_sheet(worksheet)
    header = sheet.rows[0]
    at = _moodle_columns(header, columns or {}, comments, worksheet)
    students = [_completed(row, header) for row in sheet.rows[1:] if any(map(str.strip, row))]
    numbers = [re.findall(r"\d+\s*$", row[at["identifier"]]) if "identifier" in at else [] for row in students]
    names = [_both_orders(row[at["name"]]) if "name" in at else [] for row in students]
    labels = [(name or number or ["a row without a name"])[0] for name, number in zip(names, numbers, strict=True)]

    def give(row, record):
        row[at["grade"]] = _mark(record, _as_number(row, at.get("maximum")), scale)
        if comments:
            row[at["comments"]] = _cell(_in_words(record))

    report = _fill(records, students, labels, [numbers, names], "moodle", give)
    return Filled(sheet.write(path), *report)


def _in_words(record):
    """The marks in a line: "7 of 9 points. psnr: holds, 4 of 4. dncnn: raised, 3 of 5."."""
    said = [f"{decimal(record['points'])} of {decimal(record['of'])} points."]
    for exercise in record["exercises"]:
        points = f"{decimal(exercise['points'])} of {decimal(exercise['of'])}"
        said.append(f"{one_line(exercise['name'])}: {exercise['outcome']}, {points}.")
    return " ".join(said)


@dataclass(frozen=True)
class _Sheet:
    """A CSV file as it was read, and how it was written."""

    rows: list
    delimiter: str
    newline: str
    encoding: str

    def write(self, path):
        return _write_rows(self.rows, path, self.delimiter, self.newline, self.encoding)


def _read_sheet(path):
    try:
        given = Path(path).read_bytes()
        text = given.decode("utf-8-sig")
        first = re.match(r'(?:"[^"]*"|[^",;\t\r\n])*([,;\t])', text)
        delimiter = first[1] if first else ","
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}; give the CSV file that the platform exports") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not UTF-8; give the file as the platform exports it") from None
    except csv.Error as error:
        raise CourseError(f"{path} is no CSV file ({error}); give the file as the platform exports it") from None
    if not rows or not rows[0]:
        raise CourseError(f"{path} begins with an empty line; give the file as the platform exports it")
    encoding = "utf-8-sig" if given.startswith(b"\xef\xbb\xbf") else "utf-8"
    return _Sheet(rows, delimiter, "\r\n" if b"\r\n" in given else "\n", encoding)


def _fill(records, rows, labels, known, platform, give):
    """Give each record to its row.

    Args:
        labels: how each row is called in the report.
        known: by what a row is known, one list of texts for each row; first the platform's own ids.
        give: (row, record) -> None, or why the row is left as it is.

    Returns:
        The number of rows filled, those left out, and the records left out.
    """
    indices = [_index(texts) for texts in known]
    found = {record["key"]: _rows_of(record, indices, platform) for record in records}
    wanted = Counter(place for places in found.values() for place in places)
    reasons, lost = dict.fromkeys(range(len(rows)), "no record"), []
    for record in records:
        places = found[record["key"]]
        if len(places) == 1 and wanted[places[0]] == 1:
            why = give(rows[places[0]], record)
        else:
            why = "several match" if places else "no row"
        reasons.update(dict.fromkeys(places, why))
        lost += [f"{record['key']}: {why}"] if why else []
    left = tuple(f"{one_line(labels[place])}: {why}" for place, why in reasons.items() if why)
    return len(rows) - len(left), left, tuple(lost)


def _rows_of(record, indices, platform):
    """The numbers of a student's rows: by the platform's id where the record has it, else by what first knows them."""
    own, *others = indices
    if platform in record["ids"]:
        return own.get(_plain(record["ids"][platform]), [])
    names = {_plain(record["key"]), _plain(record["student"])}
    found = [sorted({place for name in names for place in index.get(name, [])}) for index in others]
    return next(filter(None, found), [])


def _index(texts):
    """{text: the numbers of the rows that it stands for}, from a list of texts for each row."""
    index = defaultdict(list)
    for place, each in enumerate(texts):
        for text in {_plain(text) for text in each} - {""}:
            index[text].append(place)
    return index


def _plain(text):
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _both_orders(name):
    """A name as it stands, and "Lovelace, Ada" as "Ada Lovelace"."""
    last, comma, first = name.partition(",")
    return [name, f"{first} {last}"] if comma else [name]


def _mark(record, most, scale):
    """The points as a platform takes them, where full marks are `most` there (None: not told)."""
    points, of = record["points"], record["of"]
    return decimal(points * most / of if scale and most and of else points)


def _as_number(row, column):
    """The number in a cell, whether its decimals follow a point or a comma; None where there is none."""
    text = row[column].strip() if column is not None and column < len(row) else ""
    return float(text.replace(",", ".")) if re.fullmatch(r"\d{1,9}([.,]\d{1,9})?", text) else None


def _completed(row, header):
    """The row itself, as long as the header."""
    row.extend([""] * (len(header) - len(row)))
    return row


def _is_student(row):
    return "Points Possible" not in row[0] and not all(CANVAS_NO_STUDENT.fullmatch(cell) for cell in row)


def _canvas_names(row):
    """What a student is called in an export with one column for the name, or with two."""
    return _both_orders(row["Student"]) if "Student" in row else [f"{row.get('FirstName', '')} {row['LastName']}"]


def _texts_of(rows, header, title):
    """The texts under a title, as `_index` takes them; none where there is no such column."""
    return [[row[header.index(title)]] if title in header else [] for row in rows]


def _assignment(header, totals, wanted, export):
    """The number of the column of an assignment, "<name> (<id>)"; those that Canvas computes are none."""
    computed = {i for row in totals for i, cell in enumerate(row) if "read only" in cell}
    titles = {i: re.fullmatch(r"(.*) \((\d+)\)", title, re.DOTALL) for i, title in enumerate(header)}
    titles = {i: title for i, title in titles.items() if title and i not in computed}
    there = ", ".join(one_line(title[0]) for title in list(titles.values())[:20]) or "none"
    if wanted is None:
        found, way_out = list(titles), "choose one by a part of its name, or its id"
    else:
        exact = [i for i, title in titles.items() if str(wanted) in (title[0], title[1], title[2])]
        found = exact or [i for i, title in titles.items() if _plain(str(wanted)) in _plain(title[0])]
        way_out = "give a part of one name, or an id"
    if len(found) != 1:
        of = "" if wanted is None else f" for {str(wanted)!r:.80}"
        raise CourseError(f"{export} has {len(found)} assignments{of}; {way_out}; there are: {there}")
    return found[0]


def _moodle_columns(header, given, comments, worksheet):
    """{what: the number of its column}, of those that there are."""
    if unknown := set(given) - set(MOODLE):
        raise CourseError(f"no column {unknown.pop()!r:.40} is filled or read; there are {', '.join(MOODLE)}")
    places = {_plain(title): number for number, title in enumerate(header)}
    at = {what: places.get(_plain(title)) for what, title in (MOODLE | given).items()}
    at = {what: place for what, place in at.items() if place is not None}
    missing = [what for what in (*given, "grade", *(["comments"] if comments else [])) if what not in at]
    if not {"identifier", "name"} & set(at):
        missing.append("identifier")
    if missing:
        titles = ", ".join((MOODLE | given)[what] for what in dict.fromkeys(missing))
        there = one_line(", ".join(header))
        raise CourseError(
            f'{worksheet} has no column {titles}; name it in columns, {{"grade": ...}}; there are: {there}'
        )
    return at


# --- Gradescope ---


def gradescope_results(record):
    """What Gradescope reads from results.json, see https://gradescope-autograders.readthedocs.io/en/latest/specs/.

    There is a test for each claim, and one for an exercise without an answer to judge. Students see neither the tests
    of hidden claims nor what graders print; the score counts all.

    Raises:
        CourseError: a record that is none.
    """
    record = checked(record)
    said = [*record["notices"], *(line for each in record["exercises"] for line in _said(each))]
    tests = [test for number, each in enumerate(record["exercises"], start=1) for test in _tests(number, each)]
    return {
        "score": record["points"],
        "output": "\n".join(one_line(each, 1000) for each in said),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"rung": one_line(record["rung"])},
    }


def _said(exercise):
    """What is to be told about an exercise beside its claims."""
    error = [f"{exercise['error']}, in {exercise['where']}" if exercise["where"] else exercise["error"]]
    return [f"{exercise['name']}: {text}" for text in [*exercise["notices"], *error] if text]


def _tests(number, exercise):
    name, results = exercise["name"], exercise["results"]
    if not results:
        holds, output = exercise["outcome"] == "holds", exercise["outcome"]
        return [_test(name, str(number), exercise["points"], exercise["of"], holds, output, "visible")]
    return [
        _test(
            f"{name}: {result['text']}",
            f"{number}.{place}",
            result["points"] if result["holds"] else 0,
            result["points"],
            result["holds"],
            result["sentence"],
            "hidden" if result["hidden"] else "visible",
        )
        for place, result in enumerate(results, start=1)
    ]


def _test(name, number, score, most, holds, output, visibility):
    return {
        "name": one_line(name),
        "number": number,
        "score": score,
        "max_score": most,
        "status": "passed" if holds else "failed",
        "output": one_line(output),
        "output_format": "text",
        "visibility": visibility,
    }


# --- The summary ---


def summary(records, times=()):
    """The class at a glance, as plain text of at most 100 columns: what needs a look, how it went, what to teach again.

    Args:
        records: of a class.
        times: what took how long, as `read_times` gives it.

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    if not records:
        return "No submissions."
    parts = [_opening(records), _distribution(records), _by_exercise(records), _to_teach(records)]
    lines = [line for part in [*parts, _slowest(times)] if part for line in [*part, ""]]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines[:-1])


def _opening(records):
    percents = [_percent(record) for record in records]
    low, median, high = statistics.quantiles(percents * 2 if len(percents) == 1 else percents, n=4, method="inclusive")
    lines = [f"{_count(len(records), 'submission')}, mean {statistics.fmean(percents):.0f}% of the points"]
    lines.append(f"half of them from {low:.0f}% to {high:.0f}%, the median {median:.0f}%")
    looks = {
        f"NOT TRUSTED, made without a sandbox (rung {UNTRUSTED})": [r for r in records if r["rung"] == UNTRUSTED],
        "with nothing attempted": [r for r in records if _outcomes(r) <= {"not attempted"}],
        "stopped (no answer in time, a crash, or out of memory)": [r for r in records if "stopped" in _outcomes(r)],
        "with notices about the files": [r for r in records if r["notices"]],
        "late": [r for r in records if r["late"]],
    }
    return lines + [f"  {len(found)} {what}: {_some(found)}" for what, found in looks.items() if found]


def _distribution(records):
    tenths = Counter(min(int(_percent(record) / 10), 9) for record in records)
    widest = max(tenths.values())
    bars = {tenth: "#" * -(-tenths[tenth] * min(widest, 60) // widest) for tenth in range(10)}
    lines = [f"{10 * tenth:>6}-{f'{10 * tenth + 10}%':<4}  {bars[tenth]} {tenths[tenth] or ''}" for tenth in range(10)]
    return ["Points", *(line.rstrip() for line in lines)]


def _by_exercise(records):
    found = defaultdict(list)
    for record in records:
        for exercise in record["exercises"]:
            found[exercise["name"]].append(exercise)
    if not found:
        return []
    width = min(30, max(len(one_line(name, 30)) for name in found))
    head = "Exercises".ljust(width + 2) + "".join(title.rjust(len(title) + 3) for title in OUTCOMES) + "   points"
    lines = [head]
    for name, exercises in found.items():
        counts = Counter(exercise["outcome"] for exercise in exercises)
        cells = "".join(str(counts[title] or ".").rjust(len(title) + 3) for title in OUTCOMES)
        mean = statistics.fmean(_percent(exercise) for exercise in exercises)
        lines.append(f"  {one_line(name, 30).ljust(width)}{cells}{mean:8.0f}%")
    return lines


def _to_teach(records, most=8):
    """The claims that failed most, among those whose answer could be judged."""
    judged, failed = Counter(), Counter()
    for record in records:
        for exercise in record["exercises"]:
            for result in exercise["results"]:
                claim = exercise["name"], result["text"], result["hidden"]
                judged[claim] += 1
                failed[claim] += not result["holds"]
    worst = sorted(failed, key=lambda claim: (-failed[claim], -failed[claim] / judged[claim]))
    lines = []
    for claim in [claim for claim in worst if failed[claim]][:most]:
        name, text, hidden = claim
        share = f"{failed[claim]} of {judged[claim]}"
        lines.append(f"  {share:>10}  {one_line(name, 30)}{', hidden' * hidden}: {one_line(text)}")
    return ["What to teach again: claims that failed most, of those who attempted them", *lines] if lines else []


def _slowest(times, most=5):
    seconds = {}
    for line in times:
        if isinstance(line, dict) and isinstance(line.get("key"), str) and _is_number(line.get("seconds")):
            seconds[line["key"]] = line["seconds"]
    slowest = sorted(seconds, key=seconds.get, reverse=True)[:most]
    lines = [f"  {seconds[key]:8.2f} s  {one_line(key, 60)}" for key in slowest]
    return ["Slowest", *lines] if lines else []


def _outcomes(record):
    return {exercise["outcome"] for exercise in record["exercises"]}


def _some(records, most=6):
    keys = ", ".join(one_line(record["key"], 40) for record in records[:most])
    return f"{keys} and {len(records) - most} more" if len(records) > most else keys


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
