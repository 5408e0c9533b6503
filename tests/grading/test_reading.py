"""From what is handed in to programs: found by name, sliced by need, whatever happened to the notebook."""

import ast
import json
import random
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from course_utils.exercises import exercises, find
from course_utils.grading import reading
from course_utils.grading.judge import examine

sys.path.insert(0, str(Path(__file__).parents[1] / "wrong_answers"))
from answers import RIGHT

ROOT = Path(__file__).parents[2]
ANSWERS = {name: {"answer": each.answer, "lesson": each.lesson} for name, each in exercises().items()}
NAMES = list(ANSWERS)
DNCNN = list(exercises("05_dncnn"))
TOY = {
    "toy": {"answer": "f", "lesson": "05_toys"},
    "other": {"answer": "g", "lesson": "05_toys"},
    "early": {"answer": "h", "lesson": "00_first"},
}


# --- Notebooks to hand in ---


def notebook(*cells, lesson="05_toys"):
    """A notebook in format 4; cells of code, or pairs of a kind and a text."""
    pairs = [cell if isinstance(cell, tuple) else ("code", cell) for cell in cells]
    made = [
        {"cell_type": kind, "id": f"c{i}", "metadata": {}, "source": textwrap.dedent(text).strip("\n").splitlines(True)}
        for i, (kind, text) in enumerate(pairs)
    ]
    for cell in made:
        cell |= {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    return {"cells": made, "metadata": {"course": {"lesson": lesson}}, "nbformat": 4, "nbformat_minor": 5}


def as_bytes(book):
    return json.dumps(book, indent=1, ensure_ascii=False).encode()


def lesson_book(folder, lesson):
    return json.loads((ROOT / folder / "en" / f"{lesson}.ipynb").read_text(encoding="utf-8"))


def exercise_cells(book):
    """{exercise: place of its cell}."""
    places = enumerate(cell["metadata"].get("course", {}).get("exercise") for cell in book["cells"])
    return {name: place for place, name in places if name}


def filled_in(lesson="05_dncnn", words=0):
    """The lesson as a student hands it in who has put right answers into the exercise cells."""
    book = lesson_book("lessons", lesson)
    for name, place in exercise_cells(book).items():
        answers = list(RIGHT[name].values())
        book["cells"][place]["source"] = answers[words % len(answers)].splitlines(True)
    return book


def stripped(book):
    """Without what takes time to read: prose, and cells that neither import, define nor check."""
    kept = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    places = exercise_cells({"cells": kept}).values()
    short = [cell for place, cell in enumerate(kept) if place < 3 or {place, place - 1, place + 1} & set(places)]
    return book | {"cells": short}


# --- What becomes of them ---


def found_in(book, name="05_dncnn.ipynb", answers=ANSWERS):
    data = book if isinstance(book, bytes) else as_bytes(book)
    return reading.read([(name, data)], answers)


def statements_of(found, exercise):
    return [ast.parse(found["cells"][label]).body[i] for label, i in found["programs"][exercise]["statements"]]


def executed(found, exercise, answers=ANSWERS, **known):
    """The namespace after a program has run."""
    program = found["programs"][exercise]
    assert program["error"] == ""
    namespace = {"__name__": "submission"}
    used = {answers[name]["answer"]: known.get(name) or find(name).load_reference() for name in program["uses"]}
    namespace.update(used)
    for label, index in program["statements"]:
        statement = ast.parse(found["cells"][label]).body[index]
        exec(compile(ast.Module([statement], []), label, "exec"), namespace)
        namespace.update(used)  # an import may have brought the kit's
    return namespace


known_outcomes = {}


def outcome(found, exercise):
    """How a program's answer does in the check; each program is run once."""
    if exercise not in found["programs"]:
        return "absent"
    if error := found["programs"][exercise]["error"]:
        return error
    key = exercise, "\n".join(map(ast.unparse, statements_of(found, exercise)))
    if key not in known_outcomes:
        answer = executed(found, exercise)[ANSWERS[exercise]["answer"]]
        known_outcomes[key] = examine(find(exercise), answer).outcome
    return known_outcomes[key]


def outcomes(found, names=DNCNN):
    return {name: outcome(found, name) for name in names}


def all_hold(found, names=DNCNN):
    assert outcomes(found, names) == dict.fromkeys(names, "holds")
    assert all(found["programs"][name]["answer"] == ANSWERS[name]["answer"] for name in names)


def toy(*cells, **known):
    """What f() gives, in a notebook of these cells."""
    found = found_in(notebook(*cells), "05_toys.ipynb", TOY)
    return executed(found, "toy", TOY, **known)["f"]()


def toy_program(*cells):
    return found_in(notebook(*cells), "05_toys.ipynb", TOY)["programs"]["toy"]


def taken(*cells):
    """The statements that are taken, as text, in their order."""
    return [ast.unparse(each) for each in statements_of(found_in(notebook(*cells), "05_toys.ipynb", TOY), "toy")]


# --- The lessons ---


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_lesson_has_not_been_attempted(name):
    lesson = find(name).lesson
    found = found_in(lesson_book("lessons", lesson), f"{lesson}.ipynb")
    assert found["notices"] == []
    assert outcome(found, name) == "not attempted"
    assert "raise NotImplementedError" in found["programs"][name]["source"]
    assert found["programs"][name]["notices"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_holds(name):
    lesson = find(name).lesson
    found = found_in(lesson_book("solutions", lesson), f"{lesson}.ipynb")
    assert found["notices"] == []
    assert outcome(found, name) == "holds"


@pytest.mark.parametrize("words", range(3))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_right_answers_in_the_lesson_hold(words):
    for lesson in {find(name).lesson for name in NAMES}:
        found = found_in(filled_in(lesson, words), f"{lesson}.ipynb")
        all_hold(found, list(exercises(lesson)))


def test_only_what_is_needed_is_taken_from_a_lesson():
    found = found_in(filled_in())
    taken = [ast.unparse(each) for name in DNCNN for each in statements_of(found, name)]
    assert not [text for text in taken if "fit(" in text or "check(" in text or "setup(" in text or "print(" in text]
    assert set(found["cells"]) == {
        label for name in NAMES for label, _ in found["programs"].get(name, {"statements": []})["statements"]
    }


def test_a_step_uses_the_loss_of_another_exercise():
    found = found_in(lesson_book("solutions", "05_dncnn"))
    assert found["programs"]["train_step"]["uses"] == ["residual_loss"]
    assert not [each for each in statements_of(found, "train_step") if getattr(each, "name", "") == "residual_loss"]
    assert found["programs"]["residual_loss"]["uses"] == []


def test_the_source_is_the_answer_and_its_helpers_without_imports():
    helper = "import math\nSCALE = 2\ndef helper(x):\n    return math.sqrt(SCALE * x)"
    program = toy_program(helper, "# mine\n@staticmethod\ndef f():\n    return helper(8)  # four")
    answer = "@staticmethod\ndef f():\n    return helper(8)  # four"
    assert (
        program["source"]
        == f"SCALE = 2\n\ndef helper(x):\n    return math.sqrt(SCALE * x)\n\n{answer.replace('  # four', '')}"
    )


def test_a_long_source_is_cut_to_the_answer():
    program = toy_program(f"K = '{'x' * 30_000}'", "def f():\n    return K")
    assert program["source"] == "def f():\n    return K"
    program = toy_program(f"def f():\n    return '{'x' * 30_000}'")
    assert len(program["source"]) == 20_000


# --- Damaged notebooks ---


def no_metadata(book):
    for thing in (book, *book["cells"]):
        del thing["metadata"]
    return book


def no_ids(book):
    for cell in book["cells"]:
        cell.pop("id", None)
    return book


def odd_metadata(book):
    for i, cell in enumerate(book["cells"]):
        cell["metadata"] = (None, [], "course", 3, {"course": [1]})[i % 5]
    return book | {"metadata": {"course": ["05_dncnn"]}, "nbformat": "four"}


def duplicated(book):
    return book | {"cells": [cell for cell in book["cells"] for _ in range(2)]}


def reversed_cells(book):
    return book | {"cells": book["cells"][::-1]}


def shuffled(book):
    return book | {"cells": random.Random(1).sample(book["cells"], len(book["cells"]))}


def sources_as_texts(book):
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
    return book


def lines_without_ends(book):
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"]).split("\n")
    return book


def ended_by(end):
    def change(book):
        for cell in book["cells"]:
            cell["source"] = "".join(cell["source"]).replace("\n", end)
        return book

    return change


def timed(book):
    for place in exercise_cells(book).values():
        book["cells"][place]["source"] = ["%%time\n", *book["cells"][place]["source"]]
    return book


def format_3(book):
    cells = []
    for cell in book["cells"]:
        text = {"input" if cell["cell_type"] == "code" else "source": cell["source"], "cell_type": cell["cell_type"]}
        cells.append(text | {"language": "python", "metadata": {}, "prompt_number": 1, "outputs": []})
    half = len(cells) // 2
    return {"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells[:half]}, {"cells": cells[half:]}]}


def in_halves(book):
    """Each cell of an answer is cut in the middle, wherever that is."""
    cells = []
    for place, cell in enumerate(book["cells"]):
        lines = cell["source"]
        if place in exercise_cells(book).values():
            middle = len(lines) // 2
            cells += [cell | {"source": lines[:middle]}, cell | {"source": lines[middle:]}]
        else:
            cells.append(cell)
    return book | {"cells": cells}


def null_sources(book):
    empty = [{"cell_type": "code", "source": None}, {"cell_type": "code"}, {"source": None}, None, 3, "cell", [], {}]
    return book | {"cells": [each for cell in book["cells"] for each in (*empty, cell)]}


def foreign_comments(book):
    for cell in book["cells"]:
        cell["source"] = [*cell["source"], "\n# Größe, déjà vu: é"]
    return book


DAMAGES = {
    "metadata lost": no_metadata,
    "ids lost": no_ids,
    "odd metadata": odd_metadata,
    "cells duplicated": duplicated,
    "cells reversed": reversed_cells,
    "cells shuffled": shuffled,
    "sources as texts": sources_as_texts,
    "lines without ends": lines_without_ends,
    "Windows line ends": ended_by("\r\n"),
    "old Macintosh line ends": ended_by("\r"),
    "null bytes in the code": ended_by("\n\0"),
    "timed": timed,
    "format 3": format_3,
    "answers cut in two": in_halves,
    "cells of nothing": null_sources,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("words", [0, 1, "the course's own"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_correct_work_in_a_damaged_notebook_holds(damage, words):
    book = filled_in(words=words) if isinstance(words, int) else lesson_book("solutions", "05_dncnn")
    all_hold(found_in(DAMAGES[damage](book)))


ENCODINGS = {
    "UTF-8 with a BOM": "utf-8-sig",
    "UTF-16": "utf-16",
    "UTF-16 without a BOM": "utf-16-le",
    "UTF-32": "utf-32",
    "Latin-1": "latin-1",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_correct_work_in_another_encoding_holds(encoding):
    text = as_bytes(foreign_comments(stripped(filled_in()))).decode()
    all_hold(found_in(text.encode(ENCODINGS[encoding])))


def test_letters_in_names():
    data = as_bytes(notebook("größe = 2\ndef f():\n    return größe  # déjà vu"))
    damaged = data.replace("é".encode(), b"\xff")
    for each in (data, damaged, data.decode().encode("latin-1")):
        assert executed(found_in(each, answers=TOY), "toy", TOY)["f"]() == 2


def test_line_ends_within_the_texts_of_the_file():
    all_hold(found_in(as_bytes(filled_in()).replace(b"\\n", b"\n")))


def test_windows_line_ends_of_the_file_itself():
    all_hold(found_in(as_bytes(filled_in()).replace(b"\n", b"\r\n")))


@pytest.mark.parametrize("name", ["homework (1).ipynb", "Ada.IPYNB", "lesson", "../../05.json", "05_dncnn.ipynb.py"])
def test_a_renamed_file(name):
    all_hold(found_in(stripped(filled_in()), name))


def test_deleted_cells():
    book = filled_in()
    kept = [cell for place, cell in enumerate(book["cells"]) if place in exercise_cells(book).values()]
    all_hold(found_in(book | {"cells": kept}), [name for name in DNCNN if name not in ("train_step", "match_pairs")])


def test_an_answer_without_its_imports_is_still_a_program():
    found = found_in(notebook("def f():\n    return math.pi"), answers=TOY)
    with pytest.raises(NameError, match="math"):
        executed(found, "toy", TOY)["f"]()


@pytest.mark.parametrize("kind", ["raw", "markdown"])
def test_an_exercise_cell_that_is_no_code_any_more_is_absent(kind):
    book = filled_in()
    for name in ("dncnn", "tiles"):
        book["cells"][exercise_cells(book)[name]]["cell_type"] = kind
    found = found_in(book)
    assert not {"dncnn", "tiles"} & set(found["programs"])
    all_hold(found, [name for name in DNCNN if name not in ("dncnn", "tiles")])


def test_truncated_anywhere():
    data = as_bytes(stripped(filled_in()))
    complete = []
    for size in range(0, len(data), 500):
        found = found_in(data[:size])
        assert len(found["notices"]) == 1
        assert set(outcomes(found).values()) <= {"holds", "absent"}
        complete.append(len(set(DNCNN) & set(found["programs"])))
    assert complete == sorted(complete)
    assert complete[-1] >= len(DNCNN) - 1


def test_a_notebook_that_something_was_appended_to():
    found = found_in(as_bytes(stripped(filled_in())) + b"\n<<<<<<< HEAD\n")
    all_hold(found)
    assert "damaged" in found["notices"][0]


TROUBLES = {
    "empty": (b"", "x.ipynb: the file is empty"),
    "blank": (b" \r\n\t", "x.ipynb: the file is empty"),
    "nulls": (b"\0" * 100, "x.ipynb: "),
    "an object": (b"{}", "x.ipynb: not a notebook (it has no cells)"),
    "a list": (b"[]", "x.ipynb: not a notebook (a list in place of cells)"),
    "a number": (b"3", "x.ipynb: not a notebook (a str in place of cells)"),
    "a comma too few": (b'{"nbformat": 4,\n "a": 1\n "b": 2}', "line 3, column 2: Expecting ',' delimiter)"),
    "a page": (b"<html>Sign in</html>", "x.ipynb: not a notebook (line 1, column 1: Expecting value)"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "x.ipynb: not a notebook"),
    "a zip": (b"PK\x03\x04" + bytes(range(256)), "x.ipynb: not a notebook"),
    "deep": (b"[" * 100_000, "x.ipynb: not a notebook (nested too deep)"),
    "deep cells": (b'{"cells": ' + b"[" * 100_000, "x.ipynb: not a notebook (nested too deep)"),
    "no cells": (b'{"cells": {"0": 1}}', "x.ipynb: not a notebook (it has no cells)"),
    "no cell": (b'{"cells": []}', "x.ipynb: there is no code in it"),
    "prose": (as_bytes(notebook(("markdown", "def f(): 1"), ("raw", "f = 2"))), "x.ipynb: there is no code in it"),
    "large": (b" " * (20_000_001), "x.ipynb: it has 20,000,001 bytes; files of up to 20,000,000 are read"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_is_no_notebook_gets_one_notice(trouble):
    data, notice = TROUBLES[trouble]
    found = found_in(data, "x.ipynb", TOY)
    assert found["programs"] == found["cells"] == {}
    assert len(found["notices"]) == 1
    assert notice in found["notices"][0]


def test_one_bad_file_does_not_spoil_another():
    found = reading.read([("a.ipynb", b"{"), ("b.ipynb", as_bytes(notebook("def f():\n    return 1")))], TOY)
    assert len(found["notices"]) == 1
    assert executed(found, "toy", TOY)["f"]() == 1


def test_too_many_cells_and_too_long_ones(monkeypatch):
    monkeypatch.setattr(reading, "MOST_CELLS", 3)
    monkeypatch.setattr(reading, "LARGEST_CELL", 50)
    found = found_in(notebook("def f():\n    return 1", "#" * 51, "x = 2", "def f():\n    return 3"), "a.ipynb", TOY)
    assert executed(found, "toy", TOY)["f"]() == 1
    assert found["notices"] == [
        "a.ipynb: it has 4 cells of code; the first 3 are read",
        "a.ipynb: cell 2 has more than 50 characters and is left out",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000,
        "-" * 100_000 + "1",
        "x = " + "+".join(["1"] * 100_000),
        "x" + ".a" * 100_000,
        "x" + "(1)" * 50_000,
        "lambda: " * 20_000 + "1",
        "if x:\n " + "\n ".join("if x:" for _ in range(300)),
        "\n".join(" " * i + "if x:" for i in range(1000)),
        "f = '" + "\ud800" + "'",
        "f = " + "1" * 100_000,
        "f'{" * 5000,
        "'''" * 9998 + "'",
        "\\\n" * 9999,
        "'\\'" * 9999,
        "%%time\n" * 999,
        "x = [" + "[" * 500,
        "class A:\n" + "\n".join("    " * i + "class A:" for i in range(1, 90)),
    ],
    ids=range(17),
)
def test_hostile_code_is_no_trouble_for_the_other_cells(text):
    good = "def f():\n    return helper()"
    book = notebook("def helper():\n    return 5", text, good, text)
    found = found_in(json.dumps(book).encode(), "a.ipynb", TOY)
    assert executed(found, "toy", TOY)["f"]() == 5
    json.dumps(found).encode()


def test_an_answer_that_nobody_can_follow_is_an_error():
    found = found_in(
        notebook("x = 0\n" + "x += 1\n" * 3000 + "def f():\n    return x", "def g():\n    return 1"), answers=TOY
    )
    assert found["programs"]["toy"]["error"] == "too many statements depend on each other"
    assert found["programs"]["toy"]["statements"] == []
    assert executed(found, "other", TOY)["g"]() == 1


def test_whatever_is_raised_is_told(monkeypatch):
    def fail(*arguments):
        raise RecursionError("too\ndeep" + "!" * 999)

    monkeypatch.setattr(reading, "_rank", fail)
    found = found_in(notebook("def f():\n    return 1"), "a.ipynb", TOY)
    assert found["programs"]["toy"]["error"].startswith("cannot be read (RecursionError: toodeep!!!")
    monkeypatch.setattr(reading, "_decoded", fail)
    found = found_in(notebook("def f():\n    return 1"), "a.ipynb", TOY)
    assert found["programs"] == {}
    assert found["notices"][0].startswith("a.ipynb: cannot be read (RecursionError: toodeep!!!")
    assert len(found["notices"][0]) <= 300


def test_notices_are_not_without_end():
    halves = [half for _ in range(50) for half in ("x = (1,", "2)", "x", "y", "z")]
    found = found_in(notebook(*halves), "a.ipynb", TOY)
    assert len(found["notices"]) == 20


# --- Cells that do not parse ---


WHOLE = '''
class Box:
    """A box.

    With a docstring."""

    SIZE = 3

    def __init__(self, value=1):
        self.value = value

    def get(self):
        if self.value:
            return (self.value
                    + 2)
        return 0


def f():
    return Box(4).get()
'''.strip().split("\n")


@pytest.mark.parametrize("cut", range(1, len(WHOLE)))
def test_a_cell_split_anywhere_is_one_again(cut):
    cells = ("import math", "\n".join(WHOLE[:cut]), ("markdown", "And on it goes."), "\n".join(WHOLE[cut:]), "x = 1")
    book = notebook(*cells)
    book["cells"][1]["source"], book["cells"][3]["source"] = ("\n".join(part) for part in (WHOLE[:cut], WHOLE[cut:]))
    found = found_in(book, "a.ipynb", TOY)
    assert executed(found, "toy", TOY)["f"]() == 6
    split = not WHOLE[cut].startswith("def f") and not (WHOLE[cut] == "" and WHOLE[cut + 1][:1] in ("d", ""))
    assert found["notices"] == (["a.ipynb: cells 2 and 4 are read as one"] if split else [])


def test_a_cell_split_into_four():
    parts = ["class A:", "    x = 1", "    def get(self):", "        return self.x"]
    book = notebook(*parts, "def f():\n    return A().get()")
    for cell, part in zip(book["cells"], parts, strict=False):
        cell["source"] = part
    found = found_in(book, "a.ipynb", TOY)
    assert executed(found, "toy", TOY)["f"]() == 1
    assert found["notices"] == ["a.ipynb: cells 1 and 2 and 3 and 4 are read as one"]


def test_a_list_split_into_four():
    found = found_in(notebook("x = [", "1,", "2,", "3]\ndef f():\n    return x", "y = 1"), "a.ipynb", TOY)
    assert executed(found, "toy", TOY)["f"]() == [1, 2, 3]
    assert found["notices"] == ["a.ipynb: cells 1 and 2 and 3 and 4 are read as one"]
    assert list(found["cells"]) == ["cells 1 to 4 of a.ipynb"]


def test_a_cell_that_is_indented_as_a_whole():
    book = notebook("K = 2", "x")
    book["cells"][1]["source"] = "    def f():\n        return 3 * K\n"
    assert executed(found_in(book, "a.ipynb", TOY), "toy", TOY)["f"]() == 6


def test_a_syntax_error_in_the_answer_is_told_with_its_place():
    found = found_in(notebook("import math", "def f(:\n    return 1", "x = 2"), "a.ipynb", TOY)
    program = found["programs"]["toy"]
    assert program["statements"] == program["uses"] == []
    assert program["error"] == "SyntaxError: invalid syntax (line 1 of cell 2 of a.ipynb: def f(:)"
    assert program["source"] == "def f(:\n    return 1"
    assert found["cells"] == {}


@pytest.mark.parametrize(
    "broken", ["class f(:\n    x", "f = = 3", "x = 1\nasync def f(:\n    y", "f = lambda: (", "  def f(:"]
)
def test_what_a_broken_cell_seems_to_define(broken):
    assert "SyntaxError" in toy_program("def f():\n    raise NotImplementedError", broken)["error"]


@pytest.mark.parametrize("broken", ["def ff(:", "f == = 3", "x = f(", "f = cu.check('toy', f) )", "print(f"])
def test_what_a_broken_cell_does_not_define(broken):
    assert "toy" not in found_in(notebook(broken), answers=TOY)["programs"]


def test_an_earlier_definition_stands_where_a_later_one_does_not_parse():
    program = toy_program("def f():\n    return 1", "def f(:\n    return 2")
    assert program["error"] == ""
    assert program["notices"] == [
        "a definition was passed over: SyntaxError: invalid syntax (line 1 of cell 2 of 05_toys.ipynb: def f(:)"
    ]
    assert toy("def f():\n    return 1", "def f(:\n    return 2") == 1
    assert toy("def f(:\n    return 2", "def f():\n    return 1") == 1


def test_a_broken_helper_is_named():
    program = toy_program("def helper(:\n    return 1", "def f():\n    return helper()")
    assert program["notices"] == [
        "helper is missing: SyntaxError: invalid syntax (line 1 of cell 1 of 05_toys.ipynb: def helper(:)"
    ]


# --- What IPython adds ---


MAGICS = {
    "line magics": "%matplotlib inline\nK = 2\n%load_ext autoreload\n\ndef f():\n    return K",
    "shell": "!pip install 'numpy>2'\n!ls $HOME \"\nK = 2\ndef f():\n    return K",
    "help": "K = 2\nK?\nprint??\n?print\ntorch.nn.Conv2d?\ndef f():\n    return K",
    "results": "files = !ls\na, b = %run x.py\nK = 2\ndef f():\n    return K",
    "in a branch": "K = 2\nif K:\n    %pip install x\n    !ls\nelse:\n    %time print(3)\ndef f():\n    return K",
    "long commands": "!pip install \\\n   one \\\n   two\nK = 2\ndef f():\n    return K",
    "timed statements": "%time K = 2\nx = %time K * 3\ndef f():\n    return x - 4",
    "timed with options": "%timeit -n 3 (1 +\nK = 2\n%time -x\ndef f():\n    return K",
    "%%time": "%%time\ndef f():\n    return 2",
    "%%timeit": "%%timeit -n 1\ndef f():\n    return 2",
    "%%capture": "\n\n%%capture out\n%%time\n!ls\ndef f():\n    return 2",
    "in texts": "%time\nT = \"\"\"\n%a\n!b\nc?\n\"\"\"\nU = '''it's \\'''\n!d\n'''\nf = lambda: len(T + U) - 20",
    "in brackets": "!ls\nK = (5\n% 3)\nL = 5 \\\n% 3\ndef f():\n    return K # (",
    "quotes": "!ls\nq = \"it's\" # it's (\n%x\nr = 'a\\'b' + \"[\"\n%y\ndef f():\n    return 2",
}


@pytest.mark.parametrize("name", MAGICS)
def test_ipython_lines_are_left_out(name):
    assert toy(MAGICS[name]) == 2


def test_line_numbers_remain():
    found = found_in(notebook("%time\n!ls\n\ndef f():\n    return 1 / 0"), "a.ipynb", TOY)
    with pytest.raises(ZeroDivisionError) as caught:
        executed(found, "toy", TOY)["f"]()
    assert (caught.traceback[-1].lineno + 1, str(caught.traceback[-1].frame.code.raw.co_filename)) == (
        5,
        "cell 1 of a.ipynb",
    )


@pytest.mark.parametrize("magic", ["bash", "html", "writefile f.py", "javascript", "", "%sh"])
def test_cells_in_another_language_are_left_out(magic):
    found = found_in(notebook(f"%%{magic}\nf = 3\ndef f():\n    return 3", "x = 1"), answers=TOY)
    assert found["programs"] == {}


def test_code_that_parses_is_left_as_it_is():
    text = "x = (7\n%4)\ndef f():\n    return x"
    found = found_in(notebook(text), "a.ipynb", TOY)
    assert found["cells"] == {"cell 1 of a.ipynb": text}


# --- Slices ---


def test_imports_helpers_and_constants_come_along():
    cells = (
        "import math, json\nfrom os import path as p, sep",
        "K = 3\nUNUSED = 1 / 0",
        "def helper(x):\n    return K * x",
    )
    answer = "def f():\n    return math.floor(helper(2.5)) + len(p.join('a', 'b'))"
    assert toy(*cells, answer) == 10
    assert taken(*cells, answer) == [*cells[0].split("\n"), "K = 3", cells[2], answer]


def test_what_runs_and_shows_is_left_out():
    cells = (
        "def f():\n    return 1",
        "print(f())",
        "assert f() == 1 / 0",
        "f()",
        "for _ in range(9):\n    f()",
        "del f",
    )
    assert taken(*cells) == [cells[0]]


def test_a_local_name_is_no_use_of_a_global_one():
    training = "for step in range(3):\n    loss = step / 0\nscore = [1 / 0 for model in [1]]"
    answer = """
    def f(model=2):
        loss = model
        score = [loss for loss in (3, 4)]
        def inner(step):
            return step + loss
        return inner(sum(score)) + (lambda loss: loss)(1)
    """
    assert toy("model = 1 / 0", training, answer) == 10


def test_comprehensions_run_at_once_and_bind_nothing():
    assert toy("K = 5", "x = [1 / 0 for K in range(3)]", "def f():\n    return K") == 5
    helper = "def helper(x):\n    return {}"
    for brackets in ("[{}]", "{{{}}}", "({})", "{{1: {}}}.values()"):
        comprehension = brackets.format("helper(i) for i in range(2)").replace("1: helper(i)", "i: helper(i)")
        cells = (helper.format("x"), f"K = sum({comprehension})", helper.format("1 / 0"))
        assert toy(*cells, "def f():\n    return K") == 1


def test_a_class_body_and_its_methods():
    answer = """
    class Base:
        size = K
        def get(self):
            return self.size + late()

    class f(Base):
        def __new__(cls):
            return Base().get()
    """
    assert toy("K = 2", answer, "def late():\n    return 5") == 7


def test_the_last_binding_up_to_the_cell_counts():
    assert toy("K = 1", "K = 2", "def f():\n    return K", "K = 3") == 2
    assert toy("K = 1", "def f():\n    return K\nK = 2", "K = 3") == 2
    assert toy("def f():\n    return K", "K = 3", "K = 4") == 3
    assert toy("K = 1", "J = K", "K = 2", "def f():\n    return 10 * J + K") == 12
    assert toy("K = 1\nJ = K\nK = 2\ndef f():\n    return 10 * J + K") == 12
    assert toy("K = 1\ndef f():\n    return K\nf = cu.check('toy', f)\nK = 2") == 1


def test_a_helper_defined_again_below_is_not_the_one_that_was_used():
    helper = "def helper():\n    return {}"
    cells = (helper.format(1), "def f():\n    return helper()", helper.format(2))
    assert toy(*cells) == 1
    assert toy(helper.format(0), *cells) == 1
    assert toy(*cells[1:]) == 2


def test_what_is_needed_at_once_runs_first_wherever_it_stands():
    cells = ["import math", "def make(n):\n    return n * one()", "def one():\n    return 1", "K = make(3)"]
    cells += ["class A:\n    k = K", "def f(a=A()):\n    return a.k + math.floor(0.5)"]
    for seed in range(20):
        assert toy(*random.Random(seed).sample(cells, len(cells))) == 3


def test_two_that_need_each_other():
    one = "class A:\n    def other(self):\n        return B()"
    two = "class B(A):\n    def value(self):\n        return 3"
    answer = "def f():\n    return A().other().value()"
    assert toy(one, two, answer) == toy(two, one, answer) == toy(answer, two, one) == 3
    even = "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)"
    assert toy(even, "def f():\n    return even(10)") is True


def test_an_answer_that_calls_itself():
    assert toy("def f(n=3):\n    return n and n + f(n - 1)", "f = cu.check('toy', f)", "f(2)") == 6


def test_changes_are_kept_with_what_they_change():
    answer = "def f():\n    return sum(K)"
    assert toy("K = [1, 2]", "K[0] = 5", answer) == 7
    assert toy("K = [1, 2]", "K += [5]", answer) == 8
    assert toy("K = [1, 2]\nK.append(4)", answer) == 7
    assert toy("K = [1, 2]", answer, "K[0] = 5") == 3
    assert toy("class A:\n    x = 1", "A.x = 2\nA.x += 3", "def f():\n    return A.x") == 5
    assert toy("K = [0]", "K[0] = 1 / 0", "K = [3]", answer) == 3
    assert toy("K = [1, 2]", "del K[0]", answer) == 2


def test_what_is_changed_under_another_name():
    assert toy("K = [1]", "J = [K]", "K += [3]", "def f():\n    return sum(J[0])") == 4
    assert toy("class A:\n    x = 1", "class B(A):\n    pass", "A.x = 5", "def f():\n    return B.x") == 5
    assert toy("K = [1]", "J = [K, K]", "K[0] = 3", "K = [1 / 0]", "def f():\n    return J[0][0] + J[1][0]") == 6


def test_a_class_that_is_completed_cell_by_cell():
    cells = ("class f:\n    def __new__(cls):\n        return cls.get()", "def get():\n    return 4", "f.get = get")
    assert toy(*cells, "f = cu.check('toy', f)") == 4
    assert toy(*cells, "f = cu.check('toy', f)", "f.get = lambda: 1 / 0") == 4
    assert toy(*cells[:2], "f.get = get\nf.size = 1 / 1") == 4


def test_a_kernel_built_by_loops():
    loops = """
    K = [[0] * 3 for _ in range(3)]
    for x in range(3):
        for y in range(3):
            d = x - y
            K[x][y] = abs(d)
    total = 0
    for row in K:
        total += sum(row)
    row = []
    while len(row) < 3:
        row.append(total)
    """
    answer = "def f():\n    return sum(row)"
    spoiled = "x, y = 1 / 0, 2\nd = 1 / 0"
    assert toy(spoiled, textwrap.dedent(loops) + answer) == 24
    assert toy(spoiled, loops, "other = 1", answer) == 24


def test_loops_and_matches_of_the_same_cell():
    assert toy("i = [1, 2]", "J = []\nfor i in i:\n    J.append(i)\ndef f():\n    return sum(J)") == 3
    match = """
    match [1, 2, {"a": 3, "b": 4}]:
        case [first, *middle, {"a": 3, **last}] as whole:
            pass
    def f():
        return first + sum(middle) + last["b"] + len(whole)
    """
    assert toy(match) == 10


def test_a_loop_elsewhere_is_left_out():
    found = found_in(notebook("K = 1", "while True:\n    K = 1 / 0", "def f():\n    return K"), answers=TOY)
    assert executed(found, "toy", TOY)["f"]() == 1


def test_training_that_binds_a_name_which_is_local_elsewhere():
    training = "model = 1\nfor step in range(3):\n    kernel = step / 0\n    model = kernel"
    assert toy(training, "def f():\n    kernel = 2\n    model = kernel\n    return model") == 2


def test_branches():
    answer = "def f():\n    return K"
    assert toy("K = 1\nif False:\n    K = 2", answer) == 1
    assert toy("K = 1", "if True:\n    K = 2", answer) == 2
    assert toy("try:\n    import missing_module as K\nexcept ImportError:\n    K = 3", answer) == 3
    assert toy("import contextlib", "with contextlib.suppress(ValueError):\n    K = 4", answer) == 4
    assert toy("K = 1 / 0", "import contextlib\nwith contextlib.suppress(ValueError):\n    K = 4", answer) == 4
    assert toy("if True:\n    def f():\n        return 5\nelse:\n    f = None") == 5


def test_decorators_and_defaults():
    decorator = """
    import functools
    def twice(function):
        @functools.wraps(function)
        def inner():
            return 2 * function()
        return inner
    """
    assert toy(decorator, "K = 3", "@twice\ndef f(k=K):\n    return k") == 6
    assert toy("import functools", "@functools.lru_cache(maxsize=None)\ndef f():\n    return 1") == 1


def test_star_imports_that_stand_before_are_taken():
    assert toy("from math import *", "def f():\n    return floor(2.5)") == 2
    assert toy("def f():\n    return floor(2.5)", "from math import *") == 2
    assert toy("def f(a=floor(2.5)):\n    return a", "from math import *") == 2
    assert "from math import *" not in taken("def f():\n    return len('a')", "from math import *")


def test_other_exercises_answers_are_not_followed():
    cells = ("def g():\n    return 1 / 0", "def h():\n    return 1 / 0", "def f(start=g()):\n    return start + h()")
    assert toy_program(*cells)["uses"] == ["early", "other"]
    assert toy(*cells, other=lambda: 2, early=lambda: 3) == 5


def test_of_two_exercises_with_one_answer_that_of_the_lesson_is_used():
    same = {"first": {"answer": "g", "lesson": "00_first"}, "second": {"answer": "g", "lesson": "05_toys"}}
    book = notebook("def f():\n    return g()", "def g():\n    return 1")
    for answers in (TOY | same, dict(reversed((TOY | same).items()))):
        del answers["other"]
        found = found_in(book, answers=answers)
        assert found["programs"]["toy"]["uses"] == ["second"]
        assert found["programs"]["first"]["uses"] == found["programs"]["second"]["uses"] == []
        assert found["programs"]["first"]["source"] == "def g():\n    return 1"


def test_several_statements_in_a_line():
    assert toy("é = 'ü'; K = 2; L = 3", "J = 'ä'; f = lambda: (K, é, J)[0]; print(f())") == 2
    assert toy_program("é = 'ü'; K = 2; L = 3", "J = 'ä'; f = lambda: (K, é, J)[0]; print(f())")["source"] == (
        "é = 'ü'\n\nK = 2\n\nJ = 'ä'\n\nf = lambda: (K, é, J)[0]"
    )


def test_checks_are_left_out_however_they_are_spelt():
    for check in ("cu.check('toy', f)", "check('toy', f)", "course_utils.grading.notebook.check(name='toy', answer=f)"):
        assert taken("def f():\n    return 1", f"f = {check}") == ["def f():\n    return 1"]


# --- Which definition counts ---


REAL, SKELETON = "def f():\n    return 1", "def f():\n    '''Do it.'''\n    raise NotImplementedError"


@pytest.mark.parametrize(
    "cells",
    [
        (REAL, SKELETON),
        (SKELETON, REAL),
        (REAL, "from math import floor as f"),
        ("from math import floor as f", REAL),
        (REAL, SKELETON, "f = 3", "f = f()", "f = [f() for _ in 'ab']", "f: int", "x, f = f(), 2", "f = {}"),
        (REAL, "f = average(values)", "f = cu.metrics.f(3)", "f = cu.metrics.f", "f = values['f']", "f = f"),
        (REAL, "for f in range(3):\n    pass", "with open('x') as f:\n    pass", "def g():\n    f = 3"),
        ("def mine():\n    return 1", SKELETON, "f = mine"),
        (SKELETON, "f = lambda: 1"),
        ("from functools import partial\ndef mine(x):\n    return x", SKELETON, "f = partial(mine, 1)"),
        ("def make():\n    return lambda: 1", "f = make()", SKELETON),
        (SKELETON, "def mine():\n    return 1", "f, x = mine, 3"),
        (SKELETON, "f: object = lambda: 1"),
        (SKELETON, "class f:\n    def __new__(cls):\n        return 1"),
        ("def f():\n    return 2", "from functools import cache\nf = cache(lambda: 1)"),
        ("import functools", REAL, "f = functools.cache(f)"),
        ("class A:\n    def get(self):\n        return 1", SKELETON, "f = A().get"),
        (REAL, "f = f().real"),
        ("def double(g):\n    return lambda: 2 * g()", "def f():\n    return 0.5", "f = double(f)"),
        (
            "def double(g):\n    return lambda: 2 * g()",
            "def f():\n    1 / 0",
            "def half():\n    return 0.5",
            "f = double(half)",
        ),
    ],
    ids=range(20),
)
def test_the_definition_that_counts(cells):
    assert toy(*cells) == 1


def test_the_last_of_several_counts_with_a_notice():
    cells = ("def f():\n    return 1", "def f():\n    return 2", "def f():\n    return 3", SKELETON)
    assert toy(*cells) == 3
    assert toy_program(*cells)["notices"] == ["defined 3 times; the last one counts"]


@pytest.mark.parametrize("other", ["f = f(3)", "f = cu.metrics.f(3)", "f = cu.f", "import f", "f = 1 + 2"])
def test_what_counts_less_than_a_skeleton(other):
    assert toy_program(SKELETON, other)["source"] == SKELETON
    assert toy_program(other, SKELETON)["source"] == SKELETON


def test_what_raises_something_else_is_no_skeleton():
    text = "def f():\n    raise ValueError('no')"
    assert toy_program(text, SKELETON)["source"] == text


def test_no_other_definition_comes_after_the_one_that_counts():
    assert toy("def f():\n    return ceil(2.5)", "from math import floor as f, ceil") == 3
    assert toy(SKELETON, "def f():\n    return 1", "old = f\ndef f():\n    return old() + 1") == 2
    assert toy("def f(n=2):\n    return n and n + f(n - 1)\nf = f(5)") == 3


def test_a_skeleton_that_is_begun_and_half_a_class():
    begun = "def f():\n    x = 1\n    raise NotImplementedError('later')"
    assert toy(REAL, begun) == 1
    half = "class f:\n    def __new__(cls):\n        return 1\n    def rest(self):\n        raise NotImplementedError"
    whole = "class f:\n    def __new__(cls):\n        raise NotImplementedError"
    assert toy(half, whole) == 1


def test_an_import_alone_is_a_program():
    assert taken("from course_utils.metrics import psnr as f, ssim") == [
        "from course_utils.metrics import psnr as f, ssim"
    ]
    assert toy_program("from course_utils.metrics import psnr as f")["source"] == ""


def test_nothing_is_absent():
    found = found_in(notebook("x = 1", "f = 3", "f()"), answers=TOY)
    assert found == {"notices": [], "cells": {}, "programs": {}}
    assert reading.read([], TOY) == {"notices": [], "cells": {}, "programs": {}}


# --- Several files ---


def returning(value, lesson="05_toys"):
    return as_bytes(notebook(f"K = {value}\ndef f():\n    return K", lesson=lesson))


def value_of(*files):
    found = reading.read(list(files), TOY)
    return executed(found, "toy", TOY)["f"](), found["programs"]["toy"]["notices"]


def test_files_of_the_lesson_are_preferred():
    mine, other = returning(1), returning(2, "07_other")
    assert value_of(("b.ipynb", mine), ("a.ipynb", other))[0] == 1
    assert value_of(("b.ipynb", mine), ("05_toys.ipynb", other))[0] == 1
    assert value_of(("05_toys.ipynb", other), ("a.ipynb", returning(3, "")))[0] == 2
    assert value_of(("a.ipynb", other)) == (2, [])
    assert value_of(("a.ipynb", returning(1)), ("b.ipynb", returning(2))) == (
        2,
        ["defined in a.ipynb as well; b.ipynb counts"],
    )


def test_a_real_definition_in_any_file_beats_a_skeleton():
    skeleton = as_bytes(notebook(SKELETON))
    assert value_of(("05_toys.ipynb", skeleton), ("a.ipynb", returning(2, "07_other")))[0] == 2
    imported = as_bytes(notebook("from math import floor as f"))
    assert value_of(("05_toys.ipynb", imported), ("a.py", b"def f():\n    return 3"))[0] == 3


def test_files_of_one_name_and_strange_names():
    files = [("a/x.ipynb", returning(1)), ("b/x.ipynb", returning(2)), ("c\\x.ipynb", b"{"), ("x.ipynb (2)", b"[")]
    found = reading.read(files, TOY)
    assert list(found["cells"]) == ["cell 1 of x.ipynb (2)"]
    assert [notice.split(":")[0] for notice in found["notices"]] == ["x.ipynb (3)", "x.ipynb (2) (2)"]
    name = "\u202e\n\t\0\ud800<b>" + "long" * 99 + ".ipynb"
    label = next(iter(reading.read([(name, returning(1))], TOY)["cells"]))
    assert label.isprintable()
    assert len(label) == len("cell 1 of ") + 80
    assert label.endswith("long.ipynb")
    assert next(iter(reading.read([("\n", returning(1))], TOY)["cells"])) == "cell 1 of a file without a name"


# --- Scripts ---

SCRIPT = '''"""Lesson."""
# %% [markdown]
# f = 3
"""
f = 4
"""
# %%
import math
K = 2

# %%time
!ls
def f():
    return helper() + K  # 5

#%% other
K = 7
def helper():
    return math.floor(3.5)
# %%
for i in range(3):
    K = 8 / 0
'''


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_percent_script_is_read_cell_by_cell(end):
    found = found_in(SCRIPT.replace("\n", end).encode(), "work.py", TOY)
    assert list(found["cells"]) == ["work.py"]
    assert executed(found, "toy", TOY)["f"]() == 5
    lines = [ast.parse(found["cells"]["work.py"]).body[i].lineno for _, i in found["programs"]["toy"]["statements"]]
    assert lines == [8, 9, 13, 18]


def test_a_plain_script():
    script = (
        b"import math\nK = 3\ndef f():\n    return math.floor(K)\nif __name__ == '__main__':\n    K = 1 / 0\n    f()\n"
    )
    assert executed(found_in(script, "work.PY", TOY), "toy", TOY)["f"]() == 3


def test_a_script_with_an_error():
    text = "x = 1\n# %%\ndef f(:\n    return 1\n# %%\ndef g():\n    return 2\n"
    found = found_in(text.encode(), "a.py", TOY)
    assert found["programs"]["toy"]["error"] == "SyntaxError: invalid syntax (line 3 of a.py: def f(:)"
    assert executed(found, "other", TOY)["g"]() == 2


def test_a_script_split_within_a_text():
    text = 'T = """\n# %% not a cell\n"""\ndef f():\n    return len(T)\n'
    found = found_in(text.encode(), "a.py", TOY)
    assert executed(found, "toy", TOY)["f"]() == 17
    assert found["notices"] == ["a.py: cells after lines 0 and 1 are read as one"]


def test_a_solution_as_a_script_of_nbconvert():
    cells = [cell for cell in filled_in()["cells"] if cell["cell_type"] == "code"]
    text = "\n\n".join(f"# In[{i}]:\n\n{''.join(cell['source'])}" for i, cell in enumerate(cells))
    all_hold(found_in(f"#!/usr/bin/env python\n# coding: utf-8\n{text}".encode(), "05_dncnn.py"))


# --- Slices of the kit's own sources ---


def source_of(name):
    return Path(sys.modules[find(name).probe.__module__].__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_cut_out_of_its_declaration_asks_the_same(name):
    exercise = find(name)
    text = reading.sliced(source_of(name), exercise.probe.__name__)
    namespace = {"__name__": "probe"}
    exec(compile(text, "probe", "exec"), namespace)
    reference = exercise.load_reference()
    for seed in (0, 1):
        ours, theirs = (
            probe(reference, np.random.default_rng(seed))
            for probe in (namespace[exercise.probe.__name__], exercise.probe)
        )
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_cut_out_tells_nothing_of_the_claims(name):
    exercise = find(name)
    text = reading.sliced(source_of(name), exercise.probe.__name__)
    told = [each.text for each in exercise.claims] + list(exercise.hints)
    assert not [each for each in told if each in text]
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    imported = {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    defined = {getattr(node, "name", "") for node in ast.parse(text).body}
    assert not {each for each in names | imported | defined if each.endswith("_problem")}
    assert not {"Exercise", "claim", "trouble", "likely", "agrees"} & (names | imported)


MODULE = '''"""Doc."""

import os, sys
from a.b import (  # here
    c,
    d as e,
)
import json

K = e


def f():
    return sys, K


def g():
    return f, os
'''


def test_sliced_cuts_imports_and_leaves_the_rest_out():
    assert reading.sliced(MODULE, "f") == (
        "import sys\nfrom a.b import d as e\n\n\nK = e\n\n\ndef f():\n    return sys, K\n"
    )
    assert reading.sliced(MODULE, "os") == "import os\n"
    assert reading.sliced("x = 1\ny = x\n", "y") == "x = 1\n\n\ny = x\n"
    for name in ("missing", "len", "a"):
        with pytest.raises(KeyError, match=name):
            reading.sliced(MODULE, name)


CLASS = ["class {}:", "    def __init__(self, *arguments, **options):", "        raise NotImplementedError"]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_without_its_reference(name):
    module, _, symbol = find(name).reference.partition(":")
    source = Path(import_module(module).__file__).read_text(encoding="utf-8")
    node = next(each for each in ast.parse(source).body if getattr(each, "name", None) == symbol)
    lines, text = source.split("\n"), reading.without(source, symbol)
    before, after = lines[: node.lineno - 1], lines[node.end_lineno :]
    new = text.split("\n")[len(before) : -len(after)]
    assert text.split("\n") == [*before, *new, *after]
    namespace = {"__name__": module}
    exec(compile(text, module, "exec"), namespace)
    if isinstance(node, ast.ClassDef):
        assert new == [CLASS[0].format(symbol), *CLASS[1:]]
        arguments = []
    else:
        assert new == [*lines[node.lineno - 1 :][: len(new) - 1], "    raise NotImplementedError"]
        assert node.lineno + len(new) - 1 <= node.body[0].lineno
        arguments = [None] * (len(node.args.args) - len(node.args.defaults))
    with pytest.raises(NotImplementedError):
        namespace[symbol](*arguments)


FUNCTION = """import x

@x.y
@z
def f(a: int = {1: 2}[1], *, b=lambda: 3,  # why
      ) -> 'x:y':  # secret
    # secret
    '''Secret.'''
    return 1  # secret
    # secret

# public
def g(): return f  # secret
class C(Base, metaclass=M):
    x = 1
    def f(self):
        pass
last = 1
"""


def test_without_keeps_the_signature_of_a_function_and_nothing_of_a_class():
    head, _, rest = FUNCTION.partition("  # secret\n    # secret\n")
    tail = rest.partition("    # secret\n")[2]
    assert reading.without(FUNCTION, "f") == f"{head}\n    raise NotImplementedError\n{tail}"
    assert "def g():\n    raise NotImplementedError\nclass C" in reading.without(FUNCTION, "g")
    lines = "\n".join(CLASS).format("C")
    assert reading.without(FUNCTION, "C") == f"{FUNCTION.partition('class')[0]}{lines}\nlast = 1\n"
    assert reading.without("async def f(): return 1\ndef f(): return 2", "f").count("NotImplementedError") == 2
    with pytest.raises(KeyError, match="last"):
        reading.without(FUNCTION, "last")


# --- The module itself ---


def test_nothing_but_the_standard_library_is_imported():
    tree = ast.parse(Path(reading.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or alias.name for node in imports for alias in node.names}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_nothing_is_run(tmp_path):
    trace = tmp_path / "trace"
    cell = f"open({str(trace)!r}, 'w')\n@open({str(trace)!r}, 'w')\ndef f(x=open({str(trace)!r}, 'w')):\n    return 1"
    assert "toy" in found_in(notebook(cell), answers=TOY)["programs"]
    assert not trace.exists()


@pytest.mark.filterwarnings("error")
def test_warnings_about_a_submission_are_not_shown():
    assert toy_program("x = '\\d'\nif x is 'a':\n    f = lambda: x\n\ndef f():\n    return 1 is 1")["error"] == ""


def test_reading_again_gives_the_same():
    data = as_bytes(shuffled(filled_in()))
    assert found_in(data) == found_in(data)
