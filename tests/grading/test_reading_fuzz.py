"""Thousands of damaged notebooks: reading them never fails, and what comes is always whole."""

import ast
import copy
import json
import random
import textwrap
import warnings

import pytest

from course_utils.grading import reading

ANSWERS = {
    "psnr": {"answer": "psnr", "lesson": "00_welcome"},
    "dncnn": {"answer": "DnCNN", "lesson": "05_dncnn"},
    "loss": {"answer": "residual_loss", "lesson": "05_dncnn"},
    "tiles": {"answer": "tiles", "lesson": "05_dncnn"},
}
CELLS = (
    "try:\n    import course_utils as cu\nexcept ImportError:\n    %pip install -q x\n",
    "# Prose\n",
    "import math, torch\nfrom torch import nn\nfrom math import *\nfrom course_utils.metrics import psnr\n",
    "%matplotlib inline\nK = [0] * 3\nfor i in range(3):\n    K[i] = math.exp(-i)\ndef helper(x, k=K):\n    return k",
    '''
    @torch.no_grad()
    class DnCNN(nn.Module):
        """Predict the noise: y -> R(y)."""

        def __init__(self, depth=17):
            super().__init__()
            self.net = nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(depth)))

        def forward(self, y):
            # é
            return self.net(y)
    ''',
    "DnCNN = cu.check('dncnn', DnCNN)\n",
    "def residual_loss(a, b, c):\n    raise NotImplementedError\n",
    "%%time\ndef residual_loss(a, b, c):\n    return (a - b + c).square().sum() / helper(2)[0]\n",
    "model = DnCNN()\nfor step in range(100):\n    loss = residual_loss(model, step, 1)\n!ls\n",
    "def tiles(height, width):\n    if height:\n        yield psnr, height\n    global K\n    K += [width]\n",
    "tiles.loss = residual_loss; tiles = cu.check('tiles', tiles)\nwith torch.no_grad():\n    x = [y := 1]\n",
)


def notebook():
    cells = [
        {
            "cell_type": "code",
            "id": f"c{i}",
            "metadata": {},
            "outputs": [],
            "source": textwrap.dedent(text).splitlines(True),
        }
        for i, text in enumerate(CELLS)
    ]
    cells[1]["cell_type"] = "markdown"
    return {"cells": cells, "metadata": {"course": {"lesson": "05_dncnn"}}, "nbformat": 4}


def assert_whole(found):
    """What is found is plain data, and each statement that a program names is there, once."""
    json.loads(json.dumps(found).encode())
    assert found.keys() == {"notices", "cells", "programs"}
    used = set()
    for exercise, program in found["programs"].items():
        assert program.keys() == {"answer", "statements", "uses", "source", "notices", "error"}
        assert program["answer"] == ANSWERS[exercise]["answer"]
        assert bool(program["statements"]) != bool(program["error"])
        assert set(program["uses"]) <= ANSWERS.keys() - {exercise}
        assert len(program["source"]) <= 20_000
        assert len({(label, index) for label, index in program["statements"]}) == len(program["statements"])
        used |= {label for label, _ in program["statements"]}
        for label, index in program["statements"]:
            assert 0 <= index < len(ast.parse(found["cells"][label]).body)
        for notice in (*program["notices"], program["error"], *found["notices"]):
            assert notice.isprintable()
            assert len(notice) <= 300
    assert not [notice for notice in found["notices"] if "cannot be read" in notice]  # that is, nothing unforeseen
    assert used == found["cells"].keys()


def read(data, name="05_dncnn.ipynb"):
    found = reading.read([(name, data)], ANSWERS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_whole(found)
    return found


def test_the_notebook_itself_is_read_in_full():
    found = read(json.dumps(notebook()).encode())
    assert found["notices"] == []
    assert list(found["programs"]) == list(ANSWERS)
    assert [len(each["statements"]) for each in found["programs"].values()] == [2, 4, 6, 6]


# --- Values ---

ODD = (
    None,
    True,
    0,
    -1,
    1e308,
    10**30,
    "",
    "x",
    "def f(:",
    "\ud800",
    "\0",
    "\u202e\n",
    [],
    {},
    [[]],
    [None],
    {"": {}},
    [3, "a"],
)
ODD += (
    "cells",
    "code",
    ["code"],
    {"cells": []},
    "class DnCNN:\n",
    "    return 1\n",
    "%%bash\n",
    '"""',
    "(",
    "psnr = 1\n",
)


def places(value):
    """All (container, key) within a value."""
    found, waiting = [], [value]
    while waiting:
        container = waiting.pop()
        keys = range(len(container)) if isinstance(container, list) else list(container)
        found += [(container, key) for key in keys]
        waiting += [container[key] for key in keys if isinstance(container[key], list | dict)]
    return found


def change_a_value(book, rng):
    """Delete, repeat, replace, exchange or reorder something, or put it where it does not belong."""
    container, key = rng.choice(places(book))
    other, other_key = rng.choice(places(book))
    how = rng.randrange(7)
    if how == 0:
        del container[key]
    elif how == 1:
        container[key] = copy.deepcopy(rng.choice(ODD))
    elif how == 2:
        container[key] = copy.deepcopy(other[other_key])
    elif how == 3:
        container[key], other[other_key] = copy.deepcopy(other[other_key]), copy.deepcopy(container[key])
    elif how == 4 and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif how == 5 and isinstance(container, list):
        rng.shuffle(container)
    elif isinstance(container, dict):
        container[str(rng.choice(ODD))] = container.pop(key)


@pytest.mark.parametrize("seed", range(8))
def test_values_of_any_kind_anywhere(seed):
    rng = random.Random(seed)
    attempted = 0
    for _ in range(130):
        book = notebook()
        for _ in range(rng.choice([1, 1, 2, 5, 20])):
            if places(book):
                change_a_value(book, rng)
        found = read(json.dumps(book).encode(), rng.choice(["05_dncnn.ipynb", "x.ipynb", "a.py", ""]))
        attempted += len(found["programs"])
    assert attempted > 130  # most of it is still there, so the damage is not trivial


# --- Bytes ---


def change_bytes(data, rng):
    """Overwrite, cut out, repeat, insert or exchange some bytes."""
    start, length = rng.randrange(len(data)), rng.choice([1, 2, 7, 50, 500])
    end, other = start + length, rng.randrange(len(data))
    new = rng.choice(
        [rng.randbytes(length), b"\0" * length, b"\xff\xfe", b"[" * length, b'"', b"\\", b"\r", b"\n", b"}", b""]
    )
    how = rng.randrange(4)
    if how == 0:
        return data[:start] + new + data[end:]
    if how == 1:
        return data[:start] + new + data[start:]
    if how == 2:
        return data[:start] + data[other : other + length] + data[end:]
    return data[: max(start, 1)] if rng.random() < 0.3 else data[:start] + data[start:end] * 2 + data[end:]


@pytest.mark.parametrize("seed", range(8))
def test_bytes_of_any_kind_anywhere(seed):
    rng = random.Random(seed)
    original = json.dumps(notebook(), indent=1, ensure_ascii=False)
    for _ in range(130):
        data = original.encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32"]))
        for _ in range(rng.choice([1, 1, 2, 5])):
            data = change_bytes(data, rng)
        read(data)


# --- Code ---


PIECES = (
    "(",
    ")",
    "[",
    '"""',
    "'",
    "\\",
    "\n",
    "    ",
    "\t",
    ":",
    "=",
    "!",
    "%",
    "?",
    "#",
    "def ",
    "class ",
    "psnr",
    "DnCNN",
)
PIECES += (
    "lambda: ",
    "import *",
    "global K\n",
    "return ",
    "async ",
    "await ",
    "if x:\n",
    "*",
    "f'{",
    "é",
    "\0",
    "\x0c",
    "\ud800",
)


def change_code(text, rng):
    """Drop, repeat, move, indent, split or join lines, or put a piece in somewhere."""
    lines, how = text.split("\n"), rng.randrange(7)
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    if how == 0:
        del lines[i]
    elif how == 1:
        lines.insert(j, lines[i])
    elif how == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif how == 3:
        lines[i] = rng.choice(["    ", "\t", " "]) + lines[i]
    elif how == 4:
        lines[i] = lines[i].lstrip() if rng.random() < 0.5 else lines[i][: len(lines[i]) // 2]
    else:
        place = rng.randrange(len(lines[i]) + 1)
        lines[i] = lines[i][:place] + rng.choice(PIECES) + lines[i][place:]
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(8))
def test_code_of_any_kind(seed):
    rng = random.Random(seed)
    mark = "\n# %%\n"
    for _ in range(100):
        text = mark.join(map(textwrap.dedent, CELLS))
        for _ in range(rng.choice([1, 2, 5, 30])):
            text = change_code(text, rng)
        if rng.random() < 0.5:
            read(text.encode("utf-8", "replace"), "05_dncnn.py")
        else:
            book = notebook()
            book["cells"] = [{"cell_type": "code", "source": part} for part in text.split(mark)]
            read(json.dumps(book).encode())


# --- Meaning ---

NUMBERS, FUNCTIONS, LISTS, CLASSES = ("a", "b", "c", "i"), ("p", "q", "r"), ("K", "L"), ("A", "B")


def random_value(rng):
    """An expression over the names, which may or may not be bound by then."""
    return rng.choice([
        lambda: str(rng.randrange(9)),
        lambda: rng.choice(NUMBERS),
        lambda: f"{rng.choice(FUNCTIONS)}()",
        lambda: f"sum({rng.choice(LISTS)})",
        lambda: f"{rng.choice(CLASSES)}.x",
        lambda: f"{rng.choice(CLASSES)}().get()",
        lambda: f"sum(i * {rng.choice(NUMBERS)} for i in range(3))",
        lambda: f"({random_value(rng)} + {random_value(rng)})",
    ])()  # fmt: skip


def random_statement(rng):
    """A statement of a kind that slices keep."""
    value, number, function, items, kind = random_value(rng), *map(rng.choice, (NUMBERS, FUNCTIONS, LISTS, CLASSES))
    base = rng.choice([rng.choice(CLASSES), "object"])
    return rng.choice([
        f"{number} = {value}",
        f"{number} += {value}",
        f"if {rng.choice(['True', 'False'])}:\n    {number} = {value}",
        f"try:\n    {number} = {value}\nexcept NameError:\n    {number} = 5",
        f"{number} = 0\nfor j in range(3):\n    {number} = {number} + j + {value}",
        f"{number} = [i := {value}, 1][0]",
        f"def {function}():\n    return {value}",
        f"def {function}(i={value}):\n    {number} = i\n    return {number} + i",
        f"{function} = lambda: {value}",
        f"{function} = {rng.choice(FUNCTIONS)}",
        f"{items} = [{value}]",
        f"{items} = [1]\n{items}.append({value})",
        f"{items}[0] = {value}",
        f"{items} += [{value}]",
        f"class {kind}({base}):\n    x = {value}\n    def get(self):\n        return self.x + {random_value(rng)}",
        f"{kind}.x = {value}",
        f"{kind}.get = lambda self: {value}",
    ])  # fmt: skip


def value_of(namespace):
    try:
        return namespace["f"]()
    except (NameError, AttributeError, TypeError, RecursionError, KeyError):
        return None


def run(statements):
    """The namespace after statements have run, or None where one fails."""
    namespace = {"__name__": "submission"}
    try:
        for text in statements:
            exec(text, namespace)
    except (NameError, AttributeError, TypeError, RecursionError):
        return None
    return namespace


def runnable(texts):
    """Those of the statements that run in this order."""
    kept = []
    for text in texts:
        if run([*kept, text]) is not None:
            kept.append(text)
    return kept


def slice_of(cells):
    """The statements that make up f in a notebook of these cells, as texts."""
    book = {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    found = reading.read([("a.ipynb", json.dumps(book).encode())], {"toy": {"answer": "f", "lesson": "05_toys"}})
    statements = found["programs"]["toy"]["statements"]
    return [ast.unparse(ast.parse(found["cells"][label]).body[index]) for label, index in statements]


FIRST = [f"{name} = {i}" for i, name in enumerate(NUMBERS)] + [f"{name} = [1, 2]" for name in LISTS]
FIRST += [f"def {name}():\n    return {i}" for i, name in enumerate(FUNCTIONS)]
FIRST += [f"class {name}:\n    x = 1\n    def get(self):\n        return self.x" for name in CLASSES]


@pytest.mark.parametrize("seed", range(6))
def test_a_slice_means_what_the_notebook_means(seed):
    rng = random.Random(seed)
    compared = 0
    for _ in range(60):
        texts = runnable([*FIRST, *(random_statement(rng) for _ in range(20))])
        texts.append(f"def f():\n    return {random_value(rng)} + {random_value(rng)}")
        wanted = value_of(run(texts))
        cells = [[]]
        for text in texts:
            cells += [[]] if rng.random() < 0.5 else []
            cells[-1].append(text)
        cells += [["f = cu.check('toy', f)"], [random_statement(rng) for _ in range(3)]]
        if wanted is not None:
            assert value_of(run(slice_of(map("\n".join, cells)))) == wanted, "\n".join(texts)
            compared += 1
    assert compared > 20


SHAPES = (
    ["n{i} = {a} + {b}"],
    ["def g{i}(x={a}):\n    return x + {b}", "n{i} = g{i}()"],
    ["class C{i}:\n    x = {a}\n    def get(self):\n        return self.x + {b}", "n{i} = C{i}().get()"],
    ["h{i} = lambda: g{i}()", "def g{i}():\n    return {a}", "n{i} = h{i}() + {b}"],
    ["class C{i}:\n    pass", "class D{i}(C{i}):\n    x = {a}", "n{i} = D{i}.x - {b}"],
)


@pytest.mark.parametrize("seed", range(4))
def test_cells_mean_the_same_in_any_order_where_each_name_is_bound_once(seed):
    rng = random.Random(seed)
    for _ in range(60):
        cells = ["n0 = 1"]
        for i in range(1, 8):
            cells += [
                text.format(i=i, a=f"n{rng.randrange(i)}", b=f"n{rng.randrange(i)}") for text in rng.choice(SHAPES)
            ]
        cells.append("def f():\n    return n7")
        wanted = value_of(run(cells))
        rng.shuffle(cells)
        assert value_of(run(slice_of(cells))) == wanted, "\n".join(cells)
