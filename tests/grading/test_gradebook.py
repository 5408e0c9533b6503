"""From records to marks: nothing is lost, doubled or given to somebody else; no text of a student's acts."""

import copy
import csv
import io
import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_utils.files import CourseError
from course_utils.grading.gradebook import summary, write_gradebook
from course_utils.grading.platforms import MOODLE, fill_canvas, fill_moodle, gradescope_results, write_nbgrader
from course_utils.grading.records import checked, one_line, read_records, read_times, readable

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></title></pre></details><iframe src=//evil.example>",
    "]]><!--",
    "=cmd|' /C calc'!A0",
    "\t=1+1",
    "＝HYPERLINK(1)",
    "a\u2028b\x85c\x1b]0;owned\x07\x1b[2J",
    "\u202egnp.exe\u2066\ud800\x00",
    "javascript:alert(1)",
    "W" * 100_000,
    "{}{0}%s%(x)s",
]
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0=1",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    "\ufeff=1",
    "﹢1",
]


def result(text="it is so", points=2, holds=True, sentence="", hidden=False):
    return {"text": text, "points": points, "holds": holds, "sentence": sentence, "hidden": hidden}


def exercise(name="psnr", outcome="does not hold", points=2, of=9, results=None, **more):
    if results is None:
        results = [
            result("even errors"),
            result("batches", holds=False, sentence="24 dB came, expected 25 dB: a mean?"),
            result("HIDDEN HELD", points=0, hidden=True),
            result("HIDDEN FAILED", points=5, holds=False, sentence="HIDDEN SENTENCE", hidden=True),
        ]
    texts = {"error": "", "where": "", "trace": "", "printed": "", "notices": [], "source": "def psnr(): ..."}
    about = {"name": name, "lesson": "00_welcome", "answer": name, "outcome": outcome, "points": points, "of": of}
    return about | {"results": results} | texts | more


def record(key="ada", student="Ada Lovelace", ids=None, points=2, of=9, exercises=None, **more):
    about = {"schema": 1, "key": key, "student": student, "ids": ids or {}, "late": False, "rung": "namespaces"}
    about |= {"files": [{"name": f"{key}.ipynb", "sha256": "00"}], "points": points, "of": of, "notices": []}
    return about | {"exercises": [exercise()] if exercises is None else exercises} | more


def poisoned(value, text, keep=("key", "outcome")):
    """The same record with `text` in place of every other text in it."""
    if isinstance(value, dict):
        return {name: each if name in keep else poisoned(each, text) for name, each in value.items()}
    if isinstance(value, list):
        return [poisoned(each, text) for each in value]
    return text if isinstance(value, str) else value


def full(**more):
    """A record with something in every field."""
    said = {"error": "E: x", "where": "line 1", "trace": "T", "printed": "P", "notices": ["n"]}
    answers = [exercise(**said), exercise("dncnn", "stopped", 0, 3, [], error="crashed")]
    return record(ids={"canvas": "123"}, notices=["a notice"], exercises=answers, **more)


def rows_of(path, delimiter=","):
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), delimiter=delimiter))


texts = st.text(st.characters(categories=["L", "M", "N", "P", "S", "Z", "C"]), max_size=40) | st.sampled_from(ATTACKS)
numbers = st.integers(0, 50) | st.floats(0, 50)
few, many = numbers, st.integers(50, 90) | st.floats(50, 90)
results = st.builds(result, texts, numbers, st.booleans(), texts, st.booleans())
outcomes = st.sampled_from(["holds", "does not hold", "raised", "stopped", "not attempted"])
more = dict.fromkeys(("error", "where", "trace", "printed", "source", "lesson", "answer"), texts)
more["notices"] = st.lists(texts, max_size=2)
exercises = st.builds(exercise, texts, outcomes, few, many, st.lists(results, max_size=3), **more)
records = st.builds(
    record,
    st.from_regex(r"[a-z0-9_-][a-z0-9._-]{0,10}", fullmatch=True),
    texts,
    st.dictionaries(st.sampled_from(["canvas", "moodle", "nbgrader"]) | texts, texts, max_size=3),
    few,
    many,
    st.lists(exercises, max_size=3),
    rung=texts,
    late=st.booleans(),
    notices=st.lists(texts, max_size=2),
)
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
junk = st.one_of(
    st.sampled_from([float("nan"), float("inf"), -1, 10**400, True, None, "7", "", [], {}, [None], {"a": {}}]),
    st.recursive(st.none() | st.floats() | texts, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)


@st.composite
def damaged(draw):
    """A full record with one value lost or replaced by something of another kind, and nobody told."""
    whole = full()
    holder = draw(
        st.sampled_from([whole, whole["files"][0], whole["exercises"][0], whole["exercises"][0]["results"][1]])
    )
    name = draw(st.sampled_from(sorted(holder)))
    if draw(st.booleans()):
        del holder[name]
    else:
        holder[name] = draw(junk)
    return whole


# --- Reading ---


def lines_in(folder, *lines, end="\n"):
    folder.mkdir(parents=True, exist_ok=True)
    whole = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    (folder / "records.jsonl").write_bytes(("\n".join(whole) + end).encode())
    return folder


def test_the_last_record_of_a_key_counts_and_keys_are_in_order(tmp_path):
    lines_in(tmp_path, record("eve"), record("ada", points=1), record("bob"), record("ada", points=5))
    found = read_records(tmp_path)
    assert [(each["key"], each["points"]) for each in found] == [("ada", 5), ("bob", 2), ("eve", 2)]
    assert found[1] == record("bob")


def test_a_torn_last_line_is_ignored_and_a_whole_one_without_end_is_not(tmp_path):
    whole = json.dumps(record("bob"))
    for cut in (1, len(whole) // 2, len(whole) - 1):
        lines_in(tmp_path, record("ada"), whole[:cut], end="")
        assert [each["key"] for each in read_records(tmp_path)] == ["ada"]
    lines_in(tmp_path, record("ada"), whole, end="")
    assert [each["key"] for each in read_records(tmp_path)] == ["ada", "bob"]


def test_a_character_torn_in_two_is_torn_as_well(tmp_path):
    lines_in(tmp_path, record("ada"), end="\n")
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write('{"key": "é'.encode()[:-1])
    assert [each["key"] for each in read_records(tmp_path)] == ["ada"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"schema": 1, "key"', "line 2: no JSON"),
        ("nonsense", "line 2: no JSON"),
        ("[" * 100_000, "line 2: no JSON"),
        ("null", "line 2: no JSON"),
        ("[]", "line 2: a list where a record is expected"),
        (json.dumps(record()).replace('"points": 2', '"points": NaN'), "line 2: no JSON"),
        (record(schema=2), "line 2: schema 2, this version reads 1"),
        (record(points="many"), "points must be a number from 0 to 1,000,000, not this str"),
        (record(key="../evil"), r"the key '../evil' is no name for a file"),
        (record(points=10), "the record of ada: 10 points of 9"),
        (record(exercises=[exercise(points=9.5)]), "exercises: 9.5 points of 9"),
        (record(exercises=[exercise(outcome="perfect")]), "outcome is 'perfect', expected holds"),
        (
            record(exercises=[exercise(results=[{"text": "x", "points": 1, "holds": True}])]),
            "hidden must be .* missing",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, said):
    lines_in(tmp_path, record("ada"), line, record("bob"))
    with pytest.raises(CourseError, match=said) as error:
        read_records(tmp_path)
    assert "\n" not in str(error.value) and "records.jsonl" in str(error.value)


def test_a_broken_last_line_that_has_its_end_was_not_torn(tmp_path):
    with pytest.raises(CourseError, match="line 2"):
        read_records(lines_in(tmp_path, record("ada"), "nonsense"))


def test_no_records_no_lines(tmp_path):
    with pytest.raises(CourseError, match="records.jsonl: No such file"):
        read_records(tmp_path)
    assert read_records(lines_in(tmp_path, end="")) == [] and read_times(tmp_path) == []


def test_separators_within_a_text_do_not_end_a_line(tmp_path):
    name = "a\u2028b\u2029c\x85d\x0ce\x1cf\rg"
    assert read_records(lines_in(tmp_path, record(student=name)))[0]["student"] == name


@pytest.mark.parametrize(
    "key", ["", ".", "..", ".ada", "a/b", "a\\b", "a b", "a\n", "a:b", "x" * 201, "é" * 101, "\ud800"]
)
def test_a_key_is_a_safe_file_name(key):
    with pytest.raises(CourseError, match="is no name for a file"):
        checked(record(key))


def test_what_is_missing_is_empty(tmp_path):
    bare = {"schema": 1, "key": "ada", "points": 1, "of": 2}
    found = read_records(lines_in(tmp_path, bare))[0]
    assert (found["student"], found["ids"], found["exercises"], found["late"]) == ("", {}, [], False)
    assert checked(found) == found and bare == {"schema": 1, "key": "ada", "points": 1, "of": 2}


def test_times_are_read_and_broken_ones_left_out(tmp_path):
    (tmp_path / "times.jsonl").write_text('{"key": "ada", "seconds": 1.5}\nnonsense\n{"key": "b", "sec')
    assert read_times(tmp_path) == [{"key": "ada", "seconds": 1.5}]


# --- Text ---


def test_what_cannot_be_seen_is_made_visible():
    assert readable("a\x1b[0m\u202eb\ud800\ufeff") == r"a\x1b[0m\u202eb\ud800\ufeff"
    assert readable("a\tb\r\nc\rd") == "a\tb\nc\nd"
    for kept in ("Zoë", "李小龙", "سارة", "می‌خواهم", "👩‍💻", "e\u0301"):
        assert readable(kept) == kept
    assert one_line(" a\n\tb\u2028c ") == r"a b\u2028c"
    assert len(one_line("x" * 100_000)) == 300 and one_line("x" * 100_000).endswith("…")


@given(texts)
@quick
def test_readable_text_can_be_written_and_is_in_lines(text):
    found = readable(text)
    found.encode()
    assert found.splitlines() == found.removesuffix("\n").split("\n") or not found
    assert not {unicodedata.category(each) for each in found.replace("\n", "").replace("\t", "")} & {
        "Cc",
        "Cs",
        "Zl",
        "Zp",
    }


# --- gradebook.csv ---


def test_a_gradebook(tmp_path):
    second = exercise("dncnn", "holds", 7.5, 8, [result()], notices=["defined 2 times"])
    class_ = [
        record("bob", "Bob", {"moodle": "7", "canvas": "12"}, 0, 0, [], late=True),
        record(points=9.5, of=17, exercises=[exercise(), second], notices=["two files"]),
    ]
    rows = rows_of(write_gradebook(class_, tmp_path / "out" / "gradebook.csv"))
    assert rows == [
        ["key", "student", "ids", "points", "of", "percent", "psnr", "dncnn", "notices", "rung", "late"],
        ["ada", "Ada Lovelace", "", "9.5", "17", "55.88", "2", "7.5", "2", "namespaces", ""],
        ["bob", "Bob", "canvas=12 moodle=7", "0", "0", "0", "", "", "0", "namespaces", "late"],
    ]


def test_excel_sees_that_it_is_unicode(tmp_path):
    content = write_gradebook([record(student="Zoë 李")], tmp_path / "g.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfkey,student") and "Zoë 李".encode() in content


@pytest.mark.parametrize("formula", FORMULAS, ids=ascii)
def test_no_cell_is_a_formula(tmp_path, formula):
    found = poisoned(full(), formula)
    assert found["student"] == formula
    for path in (write_gradebook([found], tmp_path / "a.csv"), write_nbgrader([found], tmp_path / "b.csv", formula)):
        for cell in (cell for row in rows_of(path) for cell in row):
            assert unicodedata.normalize("NFKC", cell.strip()[:1]) not in set("=+-@\t\r"), cell
    assert formula.strip("\t\r\n\u00a0\ufeff ")[1:] in rows_of(tmp_path / "a.csv")[1][1]


@given(st.lists(records, max_size=4))
@quick
def test_a_gradebook_of_anything_is_a_table(tmp_path_factory, class_):
    folder = tmp_path_factory.mktemp("any")
    for path in (write_gradebook(class_, folder / "a.csv"), write_nbgrader(class_, folder / "b.csv", "ps1")):
        rows = rows_of(path)
        assert len(rows) == 1 + len({each["key"] for each in class_}) and len({len(row) for row in rows}) == 1
        for cell in (cell for row in rows for cell in row):
            assert len(cell.splitlines()) <= 1 and len(cell) <= 301
            assert unicodedata.normalize("NFKC", cell[:1]) not in set("=+-@\t\r")


@given(damaged())
@quick
def test_a_damaged_record_is_an_error_or_a_text_and_never_half_a_file(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("damaged")
    write = {
        "gradebook": lambda: write_gradebook([record("bob"), found], folder / "gradebook.csv"),
        "nbgrader": lambda: write_nbgrader([record("bob"), found], folder / "nbgrader.csv", "ps1"),
        "gradescope": lambda: json.dumps(gradescope_results(found), allow_nan=False),
        "summary": lambda: summary([record("bob"), found]),
    }
    outcomes = {}
    for name, make in write.items():
        try:
            outcomes[name] = bool(make())
        except CourseError as error:
            outcomes[name] = False
            assert "\n" not in str(error)
    assert len(set(outcomes.values())) == 1
    assert len(list(folder.iterdir())) == (2 if outcomes["summary"] else 0)


# --- nbgrader ---


def test_the_csv_of_nbgrader(tmp_path):
    class_ = [record("bob", "bob", {"nbgrader": "bitdiddle"}, 0, 9), record(points=7)]
    lines = write_nbgrader(class_, tmp_path / "grades.csv", "ps1").read_bytes().decode().split("\n")
    assert lines == [
        "assignment,duedate,timestamp,student_id,last_name,first_name,email,"
        "raw_score,late_submission_penalty,score,max_score",
        "ps1,,,ada,Ada Lovelace,,,7.0,0.0,7.0,9.0",
        "ps1,,,bitdiddle,bob,,,0.0,0.0,0.0,9.0",
        "",
    ]


# --- Canvas ---

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Notes,"Lab 1, psnr (551)",Lab 2 (552),Final Score,Score (2026)
,,,,,,Manual Posting,,,
    Points Possible,,,,,,10.00,9.00,(read only),(read only)
"Lovelace, Ada",123,s-1,ada,"A, B",=danger,,3.00,50.00,50.00
"Hopper, Grace",124,s-2,grace@uni.example,A," keep  me ",EX,,,
"Turing, Alan",125,s-3,alan,A,"two
lines",,N/A,,
"Turing, Alan",126,s-4,alan2,A,,,,,
"Student, Test",127,,x9,A,,,,,
"""


@pytest.fixture
def canvas(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(CANVAS, encoding="utf-8")
    return path


def changed(before, after):
    """{(row, column): the new cell}, of two tables of one shape."""
    assert [len(row) for row in before] == [len(row) for row in after]
    pairs = enumerate(zip(before, after, strict=True))
    return {(i, j): new for i, rows in pairs for j, (old, new) in enumerate(zip(*rows, strict=True)) if old != new}


def test_canvas_gets_its_own_file_back_with_one_column_filled(canvas, tmp_path):
    class_ = [
        record("lovelaceada", "lovelaceada", {"canvas": "123"}, points=9),
        record("s-3", "someone", points=4),
        record("x9", "Nobody", points=0),
        record("stranger", "Nobody else"),
    ]
    report = fill_canvas(class_, canvas, tmp_path / "filled.csv", "552")
    assert changed(rows_of(canvas), rows_of(report.path)) == {(3, 7): "9", (7, 7): "0"}
    assert report.filled == 2
    assert report.unmatched_rows == ("Hopper, Grace: no record", "Turing, Alan: stays N/A", "Turing, Alan: no record")
    assert report.unmatched_records == ("s-3: stays N/A", "stranger: no row")
    assert "2 marks filled in" in str(report) and "stranger: no row" in str(report)


def test_an_excused_student_stays_excused(canvas, tmp_path):
    report = fill_canvas([record(ids={"canvas": "124"})], canvas, tmp_path / "filled.csv", "psnr")
    assert report.filled == 0 and changed(rows_of(canvas), rows_of(report.path)) == {}
    assert report.unmatched_records == ("ada: stays EX",)


@pytest.mark.parametrize(
    "found",
    [
        record("x", "x", {"canvas": "123"}),
        record("ada", "x"),
        record("x", "ADA"),
        record("S-1", "x"),
        record("x", "Lovelace, Ada"),
        record("x", " ada  lovelace"),
    ],
)
def test_a_student_is_found_by_id_login_or_name(canvas, tmp_path, found):
    report = fill_canvas([found], canvas, tmp_path / "filled.csv", "Lab 2")
    assert changed(rows_of(canvas), rows_of(report.path)) == {(3, 7): "2"} and report.filled == 1


def test_the_platforms_own_id_decides_even_against_a_name(canvas, tmp_path):
    report = fill_canvas([record("ada", "Ada Lovelace", {"canvas": "999"})], canvas, tmp_path / "f.csv", "Lab 2")
    assert report.filled == 0 and report.unmatched_records == ("ada: no row",)


@pytest.mark.parametrize(
    "class_",
    [
        [record("x", "Alan Turing")],  # two students of one name
        [record("ada"), record("y", "Ada Lovelace")],  # two records of one student
        [record("a1", ids={"canvas": "123"}), record("a2", ids={"canvas": "123"})],
    ],
)
def test_who_is_found_twice_gets_no_mark(canvas, tmp_path, class_):
    report = fill_canvas(class_, canvas, tmp_path / "filled.csv", "Lab 2")
    assert report.filled == 0 and changed(rows_of(canvas), rows_of(report.path)) == {}
    assert report.unmatched_records == tuple(f"{each['key']}: several match" for each in class_)
    assert any("several match" in row for row in report.unmatched_rows)


def test_the_later_record_of_a_key_gives_the_one_mark(canvas, tmp_path):
    report = fill_canvas([record(points=1), record(points=5)], canvas, tmp_path / "filled.csv", "Lab 2")
    assert changed(rows_of(canvas), rows_of(report.path)) == {(3, 7): "5"}


def test_points_are_scaled_to_points_possible(canvas, tmp_path):
    seven = [record(points=7)]
    assert rows_of(fill_canvas(seven, canvas, tmp_path / "a.csv", "551").path)[3][6] == "7.78"  # 10 * 7 / 9
    assert rows_of(fill_canvas(seven, canvas, tmp_path / "b.csv", "551", scale=False).path)[3][6] == "7"
    assert rows_of(fill_canvas([record(points=0, of=0)], canvas, tmp_path / "c.csv", "551").path)[3][6] == "0"


def test_other_ways_to_write_the_file_are_kept(canvas, tmp_path):
    given = CANVAS.replace("Lab 1, psnr", "Lab 1 psnr").replace("10.00", "10,00").replace(", ", "~").replace(",", ";")
    given = given.replace("10;00", "10,00").replace("~", ", ").replace("\n", "\r\n")
    canvas.write_bytes(b"\xef\xbb\xbf" + given.encode())
    path = fill_canvas([record(points=9)], canvas, tmp_path / "filled.csv", "551").path
    assert path.read_bytes().startswith(b"\xef\xbb\xbfStudent;ID;") and b"\r\n" in path.read_bytes()
    assert changed(rows_of(canvas, ";"), rows_of(path, ";")) == {(3, 6): "10"}


def test_an_export_with_first_and_last_names_and_one_assignment(tmp_path):
    export = tmp_path / "e.csv"
    export.write_text(
        "LastName,FirstName,ID,SIS Login ID,Section,Lab (1)\n    Points Possible,,,,,9\nLovelace,Ada,5,al,A,\n\n"
    )
    report = fill_canvas([record("x", "Ada Lovelace")], export, export)
    assert rows_of(export)[2] == ["Lovelace", "Ada", "5", "al", "A", "2"] and report.filled == 1


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        (None, r"has 2 assignments; choose one .* there are: Lab 1, psnr \(551\), Lab 2 \(552\)$"),
        ("Lab", "has 2 assignments for 'Lab'"),
        ("Lab 9", "has 0 assignments for 'Lab 9'"),
        ("2026", "has 0 assignments for '2026'"),
    ],
)
def test_an_assignment_that_is_not_one_is_an_error_that_lists_them(canvas, tmp_path, assignment, said):
    with pytest.raises(CourseError, match=said):
        fill_canvas([record()], canvas, tmp_path / "filled.csv", assignment)
    assert not (tmp_path / "filled.csv").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with an empty line"),
        (b"\n", "begins with an empty line"),
        (b"a,b\n1,2\n", "is no gradebook of Canvas"),
        (b'Student,ID,Section\n"open', "is no CSV file"),
        ("Student,ID,Section\nZoë,1,A\n".encode("latin-1"), "is not UTF-8"),
        (b"Student,ID,Section\nAda,1,A\n", "has 0 assignments; .* there are: none"),
        (None, "No such file"),
    ],
)
def test_another_file_is_a_clear_error(tmp_path, content, said):
    export = tmp_path / "e.csv"
    if content is not None:
        export.write_bytes(content)
    with pytest.raises(CourseError, match=said) as error:
        fill_canvas([record()], export, tmp_path / "filled.csv")
    assert "e.csv" in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "filled.csv").exists()


cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(cells, cells, cells), max_size=5), st.lists(records, max_size=3))
@quick
def test_every_other_cell_of_canvas_stays_as_it_is(tmp_path_factory, students, class_):
    export = tmp_path_factory.mktemp("canvas") / "e.csv"
    rows = [["Student", "ID", "SIS Login ID", "Section", "Lab (1)", "Final Score"]]
    rows += [["    Points Possible", "", "", "", "9", "(read only)"], *([*each, "A", "", "x"] for each in students)]
    with export.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    report = fill_canvas(class_, export, export.with_name("f.csv"))
    difference = changed(rows, rows_of(report.path))
    assert len(difference) == report.filled and {column for _, column in difference} <= {4}
    assert report.filled + len(report.unmatched_records) == len({each["key"] for each in class_})


# --- Moodle ---

HEAD = ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum grade", "Grade can be changed"]
HEAD += ["Last modified (submission)", "Last modified (grade)", "Feedback comments"]


def worksheet(path, *students, head=HEAD):
    rows = [
        [f"Participant {i}", name, "", "Submitted", "", "100.00", "Yes", "-", "-", "kind words"] for i, name in students
    ]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return path


def test_moodle_gets_its_own_worksheet_back_with_grades(tmp_path):
    sheet = worksheet(tmp_path / "w.csv", (11, "Ada Lovelace"), (111, "Grace Hopper"), (12, "Alan Turing"))
    class_ = [record("x", "=1+1", {"moodle": "11"}, 9), record("y", "grace hopper", points=3), record("z", "Nobody")]
    report = fill_moodle(class_, sheet, tmp_path / "f.csv")
    assert changed(rows_of(sheet), rows_of(report.path)) == {(1, 4): "100", (2, 4): "33.33"}
    assert report.unmatched_rows == ("Alan Turing: no record",) and report.unmatched_records == ("z: no row",)
    assert report.path.read_bytes().startswith(b"\xef\xbb\xbfIdentifier")


def test_moodle_can_get_a_comment_and_plain_points(tmp_path):
    sheet = worksheet(tmp_path / "w.csv", (11, "Ada Lovelace"))
    path = fill_moodle([record()], sheet, tmp_path / "f.csv", scale=False, comments=True).path
    assert changed(rows_of(sheet), rows_of(path)) == {
        (1, 4): "2",
        (1, 9): "2 of 9 points. psnr: does not hold, 2 of 9.",
    }


def test_a_worksheet_in_another_language(tmp_path):
    german = {
        "Identifier": "ID",
        "Full name": "Vollständiger Name",
        "Grade": "Bewertung",
        "Maximum grade": "Bestwertung",
    }
    sheet = worksheet(tmp_path / "w.csv", (11, "Ada Lovelace"), head=[german.get(title, title) for title in HEAD])
    with pytest.raises(CourseError, match="has no column Grade, Identifier; name it in columns.*Bewertung"):
        fill_moodle([record()], sheet, tmp_path / "f.csv")
    columns = {"identifier": "id", "name": "Vollständiger Name", "grade": "Bewertung", "maximum": "Bestwertung"}
    report = fill_moodle([record(ids={"moodle": "11"})], sheet, tmp_path / "f.csv", columns=columns)
    assert changed(rows_of(sheet), rows_of(report.path)) == {(1, 4): "22.22"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"grade": "Note"}, "has no column Note"), ({"marks": "Grade"}, "no column 'marks' is filled or read; there are")],
)
def test_columns_that_are_not_there(tmp_path, columns, said):
    sheet = worksheet(tmp_path / "w.csv", (11, "Ada"))
    with pytest.raises(CourseError, match=said):
        fill_moodle([record()], sheet, tmp_path / "f.csv", columns=columns)
    assert not (tmp_path / "f.csv").exists() and set(MOODLE.values()) <= set(HEAD)


def test_a_worksheet_without_names_is_filled_by_number(tmp_path):
    sheet = worksheet(tmp_path / "w.csv", (7, ""), (8, ""))
    report = fill_moodle([record(ids={"moodle": "8"}), record("b", "")], sheet, tmp_path / "f.csv")
    assert changed(rows_of(sheet), rows_of(report.path)) == {(2, 4): "22.22"}


# --- Gradescope ---

TEST_FIELDS = {"name", "number", "score", "max_score", "status", "output", "output_format", "visibility"}


def test_gradescope_results():
    stopped = exercise("dncnn", "stopped", 0, 3, [], error="no answer in 10 s", where="line 2", notices=["twice"])
    found = gradescope_results(record(exercises=[exercise(), stopped], notices=["one file of two"], of=12))
    tests = found.pop("tests")
    assert found == {
        "score": 2,
        "output": "one file of two\ndncnn: twice\ndncnn: no answer in 10 s, in line 2",
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"rung": "namespaces"},
    }
    assert [(test["number"], test["score"], test["max_score"], test["status"]) for test in tests] == [
        ("1.1", 2, 2, "passed"),
        ("1.2", 0, 2, "failed"),
        ("1.3", 0, 0, "passed"),
        ("1.4", 0, 5, "failed"),
        ("2", 0, 3, "failed"),
    ]
    assert [test["visibility"] for test in tests] == ["visible", "visible", "hidden", "hidden", "visible"]
    assert tests[1]["output"] == "24 dB came, expected 25 dB: a mean?" and tests[4]["output"] == "stopped"
    assert all(set(test) == TEST_FIELDS for test in tests)


def test_hidden_claims_are_hidden_on_gradescope():
    found = gradescope_results(record())
    shown = [test for test in found["tests"] if test["visibility"] != "hidden"]
    assert "HIDDEN" not in json.dumps([found | {"tests": shown}]) and "HIDDEN SENTENCE" in json.dumps(found)


@given(records)
@quick
def test_gradescope_can_read_the_results_of_anything(found):
    given = json.loads(json.dumps(gradescope_results(found), allow_nan=False))
    assert given["score"] == found["points"]
    for test in given["tests"]:
        assert set(test) == TEST_FIELDS and test["status"] in ("passed", "failed")
        assert 0 <= test["score"] <= test["max_score"] or test["number"].isdigit()


# --- The summary ---


def a_class():
    wrong = [result("even errors", holds=False), result("batches", holds=False), result("secret", 5, False, "", True)]
    right = [result("even errors"), result("batches"), result("secret", 5, True, "", True)]
    return [
        record("ada", points=9, exercises=[exercise("psnr", "holds", 9, 9, right)]),
        record("bob", points=2, exercises=[exercise()]),
        record("cat", points=0, exercises=[exercise("psnr", "raised", 0, 9, wrong, error="E: x")]),
        record("dan", points=0, exercises=[exercise("psnr", "not attempted", 0, 9, [])], notices=["no notebook"]),
        record("eve", points=0, exercises=[exercise("psnr", "stopped", 0, 9, [])], rung="rlimits", late=True),
    ]


def test_a_summary_says_what_an_assistant_wants_to_know():
    times = [{"key": key, "seconds": 1.0 * i} for i, key in enumerate("abcdefg")] + [{"key": "g", "seconds": 0.5}]
    said = summary(a_class(), times).split("\n")
    assert said[0] == "5 submissions, mean 24% of the points"
    assert said[1] == "half of them from 0% to 22%, the median 0%"
    assert said[2:7] == [
        "  1 NOT TRUSTED, made without a sandbox (rung rlimits): eve",
        "  1 with nothing attempted: dan",
        "  1 stopped (no answer in time, a crash, or out of memory): eve",
        "  1 with notices about the files: dan",
        "  1 late: eve",
    ]
    assert "     0-10%   ### 3" in said and "    20-30%   # 1" in said and "    90-100%  # 1" in said
    outcomes = next(line for line in said if line.startswith("  psnr")).split()
    assert outcomes == ["psnr", "1", "1", "1", "1", "1", "24%"]
    start = said.index("What to teach again: claims that failed most, of those who attempted them")
    assert said[start + 1 : start + 3] == ["      2 of 3  psnr: batches", "      1 of 1  psnr, hidden: HIDDEN FAILED"]
    start = said.index("Slowest")
    assert [line.split() for line in said[start + 1 :]] == [[f"{i}.00", "s", "abcdef"[i]] for i in (5, 4, 3, 2, 1)]


def test_small_and_empty_classes():
    assert summary([]) == "No submissions."
    assert summary([record(points=0, of=0, exercises=[])]).startswith("1 submission, mean 0% of the points\n")
    assert "What to teach" not in summary([record(exercises=[])])


def test_a_large_class_fits_a_terminal():
    said = summary([record(f"student-with-a-long-name-{i:04}", late=True, rung="rlimits") for i in range(3000)])
    assert max(map(len, said.split("\n"))) <= 100 and len(said.split("\n")) < 40
    assert "  3000 NOT TRUSTED" in said and "3000 of 3000  psnr: batches" in said


@given(
    st.lists(records, max_size=4),
    st.lists(st.dictionaries(st.sampled_from(["key", "seconds"]), junk) | junk, max_size=3),
)
@quick
def test_a_summary_of_anything_is_plain_text(class_, times):
    said = summary(copy.deepcopy(class_), times)
    said.encode()
    assert said.splitlines() == said.split("\n") and max(map(len, said.split("\n"))) <= 100
    assert not {unicodedata.category(each) for each in said.replace("\n", "")} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_no_text_reaches_the_terminal_as_it_is(attack, canvas, tmp_path):
    found = poisoned(full(), attack)
    report = str(fill_canvas([found], canvas, tmp_path / "f.csv", "Lab 2"))
    for said in (summary([found]), report):
        assert not {unicodedata.category(each) for each in said.replace("\n", "")} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
