"""The marks in the forms of other systems: nbgrader's CSV, the files that Canvas and Moodle let you fill, Gradescope.

Canvas and Moodle get their own file back, with one column filled and every other cell as it was.
"""

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from course_utils.files import CourseError
from course_utils.grading.records import (
    cell,
    checked,
    checked_all,
    decimal,
    one_line,
    write_rows,
)

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
        texts = map(cell, (assignment, "", "", student, name, "", ""))
        rows.append([*texts, points, 0.0, points, of])
    return write_rows(rows, path, newline="\n")


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
            row[at["comments"]] = cell(_in_words(record))

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
        return write_rows(self.rows, path, self.delimiter, self.newline, self.encoding)


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
