"""What was handed in: from the bytes of notebooks and scripts to one small program for each exercise.

An answer is found by its name, wherever it stands. Its program is a slice of the notebook: the statement that defines
it, and what that needs, transitively; so imports, helpers and constants come along, and training and plots do not.

Nothing of a submission is ever run here, and nothing but the standard library is imported: bytes from anywhere are
read inside a sandbox. The same slicing cuts a probe, and `without` a reference, out of the kit's own sources.
"""

import ast
import builtins
import io
import json
import re
import symtable
import textwrap
import tokenize
import warnings
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count, islice, pairwise

LARGEST_FILE = 20_000_000  # bytes
MOST_CELLS = 5_000
LARGEST_CELL = 1_000_000  # characters
LARGEST_SPLIT = 100_000  # characters of cells that are tried as one
MOST_PARTS = 4  # that a cell may have been split into
MOST_WORK = 200_000  # steps from one statement to another that it needs
LONGEST_SOURCE = 20_000  # characters
LONGEST_NAME = 80
LONGEST_NOTICE, MOST_NOTICES = 300, 20  # characters; about a file or an exercise
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast and symtable raise


def read(files, answers):
    """Find what was handed in for each exercise.

    Args:
        files: [(name, bytes)] of one submission: notebooks and scripts. Nothing in them is trusted.
        answers: {exercise: {"answer": "DnCNN", "lesson": "05_dncnn"}}, of all exercises of the course.

    Returns:
        Plain data: {"notices": [text], "cells": {label: source}, "programs": {exercise: program}}, where a program is
        {"answer", "statements": [[label, index]], "uses": [exercise], "source", "notices", "error"}. An index counts
        the statements of ast.parse(cells[label]), and they are listed in the order in which they run. Names of other
        exercises' answers are not followed: "uses" has those exercises. An exercise that nothing defines is absent.
    """
    notices, books, programs, cells = [], [], {}, {}
    names = frozenset(asked["answer"] for asked in answers.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ast warns of what the submission does
        for name, (_, data) in zip(_labels(files), files, strict=True):
            try:
                books.append(_open(name, data, names))
                notices += _shown(f"{name}: {notice}" for notice in books[-1].notices)
            except Exception as error:  # whatever a file holds, the others are read
                notices += _shown([f"{name}: {_told(error)}"])
        for exercise in answers:
            try:
                programs |= _program(exercise, answers, books, cells)
            except Exception as error:
                programs[exercise] = _blank(answers[exercise]["answer"]) | {"error": _told(error)}
    return {"notices": notices, "cells": cells, "programs": programs}


def sliced(source, name):
    """The part of a module that one of its names needs, to stand by itself: imports first, each cut to what is needed.

    Raises:
        KeyError: the module does not bind the name.
    """
    book = Book("", [Cell(Group([0], source), "", 0, source)])
    binding = [statement for statement in book.touching[name] if name in statement.binds]
    if not binding:
        raise KeyError(name)
    statements = Slice(book, binding[-1], name).ordered()
    needed = {name}.union(*(names for statement in statements for names in statement.uses))
    imports = [_cut_import(each.node, needed) for each in statements if isinstance(each.node, IMPORTS)]
    others = [each.text for each in statements if not isinstance(each.node, IMPORTS)]
    return "\n\n\n".join(["\n".join(imports), *others]).lstrip("\n") + "\n"


def _cut_import(node, needed):
    kept = [alias for alias in node.names if alias.name == "*" or _bound_by(alias) in needed]
    cut = ast.Import(kept) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, kept, node.level)
    return ast.unparse(cut)


def without(source, symbol):
    """A module's source in which a function or class of its top level only raises NotImplementedError.

    A function keeps its signature and its decorators, a class keeps nothing but its name. All else stays as it is.

    Raises:
        KeyError: the module defines no such function or class.
    """
    found = [node for node in ast.parse(source).body if getattr(node, "name", None) == symbol]
    if not found:
        raise KeyError(symbol)
    lines = source.split("\n")
    for node in reversed(found):
        start, end = _first_line(node) - 1, node.end_lineno
        while end < len(lines) and re.match(r"[ \t]+#", lines[end]):  # comments that belong to the end of the body
            end += 1
        if isinstance(node, ast.ClassDef):
            head = [f"class {symbol}:", "    def __init__(self, *arguments, **options):", "    "]
        else:
            head = [*_signature(lines[start:end]), ""]
        lines[start:end] = [*head[:-1], f"{head[-1]}    raise NotImplementedError"]
    return "\n".join(lines)


def _signature(lines):
    """The lines of a function up to the colon that ends its signature."""
    depth, begun = 0, False
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        begun = begun or (depth == 0 and token.string == "def")
        depth += (token.string in {"(", "[", "{"}) - (token.string in {")", "]", "}"})
        if begun and depth == 0 and token.string == ":":
            break
    row, column = token.end
    return [*lines[: row - 1], lines[row - 1][:column]]


# --- From bytes to the texts of cells ---


class Unreadable(Exception):
    """A file that holds no cells, or an answer that nobody could follow; the message says why."""


def _told(error):
    text = _printable(str(error), 200)
    return text if isinstance(error, Unreadable) else f"cannot be read ({type(error).__name__}: {text})"


def _printable(text, longest):
    """The beginning of a text that somebody else wrote, in one line and without control characters."""
    return "".join(letter for letter in text[: 4 * longest] if letter.isprintable())[:longest]


def _shown(notices):
    return [_printable(notice, LONGEST_NOTICE) for notice in islice(notices, MOST_NOTICES)]


def _labels(files):
    """What to call each file: the end of its name, with a number from the second of that name on."""
    labels = []
    for name, _ in files:
        stem = _printable(re.split(r"[/\\]", name)[-1][-LONGEST_NAME:], LONGEST_NAME) or "a file without a name"
        numbered = chain([stem], (f"{stem} ({number})" for number in count(2)))
        labels.append(next(label for label in numbered if label not in labels))
    return labels


def _open(name, data, names):
    """A file as a Book. Raises Unreadable if it holds no cells."""
    if len(data) > LARGEST_FILE:
        raise Unreadable(f"it has {len(data):,} bytes; files of up to {LARGEST_FILE:,} are read")
    text = _plain_lines(_decoded(data))
    if not text.strip():
        raise Unreadable("the file is empty")
    script = name.lower().endswith(".py") and not (text.lstrip().startswith("{") and '"cells"' in text)
    texts, lesson, notices = (_percent_cells(text), "", []) if script else _notebook(text)
    kept = _not_too_much(texts, notices)
    groups = _put_together(kept)
    unit = "cells after lines" if script else "cells"
    split = [group.numbers for group in groups if len(group.numbers) > 1]
    notices += [f"{unit} {' and '.join(map(str, numbers))} are read as one" for numbers in split]
    return Book(name, _of_script(name, groups) if script else _of_notebook(name, groups), lesson, notices, names)


def _not_too_much(texts, notices):
    """Those of [(number, text)] that are read; what is left out is noted."""
    if not texts:
        notices.append("there is no code in it")
    if len(texts) > MOST_CELLS:
        notices.append(f"it has {len(texts):,} cells of code; the first {MOST_CELLS:,} are read")
    long = [number for number, text in texts[:MOST_CELLS] if len(text) > LARGEST_CELL]
    notices += [f"cell {number} has more than {LARGEST_CELL:,} characters and is left out" for number in long]
    return [(number, text) for number, text in texts[:MOST_CELLS] if len(text) <= LARGEST_CELL]


def _decoded(data):
    """The text, in UTF-8, UTF-16 or UTF-32, or else in Latin-1. Never fails."""
    encoding = json.detect_encoding(data)
    text = data.decode(encoding, "replace")
    broken = text.count("\ufffd")
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return data.decode("latin-1") if encoding == "utf-8" and broken > foreign - broken else text


def _plain_lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


DECODER = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)  # a number may be too long to be one


def _notebook(text):
    """([(number of the cell, its code)], lesson, notices) of a notebook, in format 3 or 4."""
    notices = []
    try:
        book = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        told = isinstance(error, json.JSONDecodeError)
        where = f"line {error.lineno}, column {error.colno}: {error.msg}" if told else "nested too deep"
        book = {"cells": _rescued(text)}
        if not book["cells"]:
            raise Unreadable(f"not a notebook ({where})") from None
        notices.append(f"damaged ({where}); of its cells the first {len(book['cells'])} are read")
    if not isinstance(book, dict):
        raise Unreadable(f"not a notebook (a {type(book).__name__} in place of cells)")
    cells = [(number, _code(cell)) for number, cell in enumerate(_all_cells(book), 1)]
    course = _get(_get(book, "metadata", dict), "course", dict)
    return [(number, code) for number, code in cells if code is not None], _get(course, "lesson", str), notices


def _get(mapping, key, kind):
    """What stands under a key, or something empty if it is missing or of another kind."""
    value = mapping.get(key)
    return value if isinstance(value, kind) else kind()


def _rescued(text):
    """The whole cells at the beginning of a notebook that breaks off."""
    start = re.search(r'"cells"\s*:\s*\[', text)
    cells, place = [], start and start.end()
    while place and len(cells) < 10 * MOST_CELLS:
        try:
            cell, place = DECODER.raw_decode(text, re.compile(r"[\s,]*").match(text, place).end())
            cells.append(cell)
        except (ValueError, RecursionError):
            place = None
    return cells


def _all_cells(book):
    if isinstance(book.get("cells"), list):
        return book["cells"]
    sheets = _get(book, "worksheets", list)
    if not sheets:
        raise Unreadable("not a notebook (it has no cells)")
    return [cell for sheet in sheets if isinstance(sheet, dict) for cell in _get(sheet, "cells", list)]


def _code(cell):
    """The text of a cell of code; None for other cells."""
    if not isinstance(cell, dict) or cell.get("cell_type") in ("markdown", "raw", "heading", "html"):
        return None
    text = cell.get("source") or cell.get("input") or ""
    if isinstance(text, list):
        lines = [line for line in text if isinstance(line, str)]
        text = ("" if any("\n" in line or "\r" in line for line in lines) else "\n").join(lines)
    return _plain_lines(text) if isinstance(text, str) else ""


MARK = re.compile(r"# ?%%.*|# In ?\[[\d ]*\]:")  # py:percent, and what nbconvert writes


def _percent_cells(text):
    """[(lines above, code)] of the cells of a script; one cell if it has no marks. Prose becomes empty lines."""
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if MARK.match(line)]
    cells = []
    for start, end in pairwise(sorted({0, *starts, len(lines)})):
        prose = re.match(r"# ?%%.*\[(markdown|md|raw)\]", lines[start])
        cells.append((start, "\n" * (end - start - 1) if prose else "\n".join(lines[start:end])))
    return cells


# --- From texts to statements ---


@dataclass
class Group:
    """Neighbouring cells that are read as one; mostly a single one.

    Attributes:
        numbers: of its cells.
        written: the text as it was handed in.
        text: as it is parsed, line by line the same but for IPython's own.
        body: the statements; none if there is an `error`.
    """

    numbers: list
    written: str
    text: str = ""
    body: list = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self):
        try:
            self.text, self.body = _parsed(self.written)
        except UNPARSABLE as error:
            self.text, self.error = "\n" * self.written.count("\n"), error


def _put_together(cells):
    """Groups of [(number, text)]; a cell that was split in the middle is one again."""
    single = [Group([number], text) for number, text in cells]
    groups, i = [], 0
    while i < len(single):
        group, used = single[i], 1
        if group.error:
            before = groups[-1:] if CONTINUES.match(group.written) else []
            counts = range(1 if before else 2, MOST_PARTS + 1)
            attempts = ((_joined(before + single[i : i + parts]), parts) for parts in counts)
            joined, used = next((attempt for attempt in attempts if attempt[0]), (None, 1))
            if joined:
                del groups[len(groups) - len(before) :]
            group = joined or Group(group.numbers, textwrap.dedent(group.written))  # IPython takes it indented, too
        groups.append(group)
        i += used
    return groups


CONTINUES = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*(?:[ \t]+[^\s#]|(?:else|elif|except|finally)\b)")


def _joined(groups):
    """The groups as one, or None if they are none together."""
    written = "\n".join(group.written for group in groups)
    if len(written) > LARGEST_SPLIT:
        return None
    joined = Group([number for group in groups for number in group.numbers], written)
    return None if joined.error else joined


def _parsed(text):
    """(text, statements) of a cell; what only IPython understands is replaced if it does not parse with it."""
    try:
        return text, ast.parse(text).body
    except UNPARSABLE:
        plain = _without_magics(text)
        return plain, ast.parse(plain).body


KEPT_MAGICS = {"time", "timeit", "capture", "prun", "mprun", "memit", "pyinstrument", "scalene", "debug"}
MAGIC = re.compile(r"[ \t]*(?:[%!?]|[\w.]+\?\??[ \t]*$|[\w., \t]+=[ \t]*[%!])")


def _without_magics(text):
    """As many lines without those that only IPython understands; empty ones for a cell in another language."""
    lines = text.split("\n")
    magic = re.match(r"\s*%%(\w*)", text)
    if magic and magic[1] not in KEPT_MAGICS:
        return "\n" * (len(lines) - 1)
    quote, depth, inside, dropping = "", 0, False, False
    for number, line in enumerate(lines):
        if dropping or (not inside and MAGIC.match(line)):
            lines[number] = "" if dropping else _plain(line)
            dropping = line.endswith("\\")  # the command goes on
        else:
            quote, depth = _scan(line, quote, depth)
            inside = quote or depth > 0 or line.endswith("\\")
    return "\n".join(lines)


def _plain(line):
    """What Python sees of a line of IPython: the statement behind %time, or nothing."""
    indent = line[: len(line) - len(line.lstrip())]
    timed = re.match(r"[ \t]*([\w., \t]+=[ \t]*)?%time[ \t]+(?!-)(.+)", line)
    try:
        statement = (timed[1] or "") + timed[2] if timed else "pass"
        ast.parse(statement)
        return indent + statement
    except UNPARSABLE:
        return indent + "pass"


OUTSIDE = re.compile(r"""#.*|\"{3}|'{3}|'(?:\\.|[^'\\])*'?|"(?:\\.|[^"\\])*"?|[()\[\]{}]""")
INSIDE = {'"""': re.compile(r'\\.|"{3}'), "'''": re.compile(r"\\.|'{3}")}


def _scan(line, quote, depth):
    """The triple quote that is open after a line ("" for none) and how many brackets are, by what was open before."""
    place = 0
    while found := (INSIDE[quote] if quote else OUTSIDE).search(line, place):
        place, lexeme = found.end(), found[0]
        if quote:
            quote = "" if lexeme == quote else quote
        elif lexeme in INSIDE:
            quote = lexeme
        else:
            depth += (lexeme in "([{") - (lexeme in ")]}")
    return quote, depth


@dataclass(eq=False)
class Cell:
    """A group in its place.

    Attributes:
        label: what a traceback calls it.
        place: 0, 1, 2, ... in its file.
        source: what the label stands for: its text, or the whole script.
        above: lines of the source above its text; `first`: statements of the source before its own.
    """

    group: Group
    label: str
    place: int
    source: str
    above: int = 0
    first: int = 0

    @cached_property
    def lines(self):
        return self.group.text.split("\n")

    @cached_property
    def seems_to_define(self):
        """The names that a text which cannot be parsed would bind, as far as one can see."""
        if not self.group.error:
            return set()
        pattern = r"^(?:(?:async +)?def|class) +(\w+)|^(\w+) *=(?!=)(?!.*\bcheck\()"
        found = re.findall(pattern, textwrap.dedent(self.group.written), re.MULTILINE)
        return {name for names in found for name in names if name}

    @property
    def problem(self):
        """The error in a line: "SyntaxError: invalid syntax (line 3 of cell 12 of x.ipynb: the line)"."""
        error, lines = self.group.error, self.group.written.split("\n")
        number = getattr(error, "lineno", None) or 0
        place = f"line {self.above + number} of {self.label}" if number else self.label
        if 0 < number <= len(lines) and lines[number - 1].strip():
            place += f": {_printable(lines[number - 1].strip(), 80)}"
        return f"{type(error).__name__}: {_printable(getattr(error, 'msg', None) or str(error), 100)} ({place})"


def _of_notebook(name, groups):
    numbers = [group.numbers for group in groups]
    labels = [f"cell {some[0]}" if len(some) == 1 else f"cells {some[0]} to {some[-1]}" for some in numbers]
    return [Cell(group, f"{labels[i]} of {name}", i, group.text) for i, group in enumerate(groups)]


def _of_script(name, groups):
    source, cells, before = "\n".join(group.text for group in groups), [], 0
    for i, group in enumerate(groups):
        cells.append(Cell(group, name, i, source, group.numbers[0], before))
        before += len(group.body)
    if len(ast.parse(source).body) != before:
        raise Unreadable("its cells make no script together")
    return cells


# --- What a statement binds, changes and uses ---

IMPORTS = (ast.Import, ast.ImportFrom)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
ASSIGNMENTS = (ast.Assign, ast.AnnAssign, ast.AugAssign)
BRANCHES = (ast.If, ast.Try, ast.TryStar, ast.With)
ANYWHERE = (*IMPORTS, *DEFINITIONS, *ASSIGNMENTS, *BRANCHES, ast.Delete)  # taken from any cell where they are needed
CHANGERS = {"append", "extend", "insert", "add", "update", "setdefault", "sort", "reverse", "fill"}


@dataclass(eq=False)
class Statement:
    """A statement of the top level of a cell."""

    cell: Cell
    index: int
    node: ast.stmt

    @property
    def place(self):
        return self.cell.place, self.index

    @cached_property
    def text(self):
        """Its lines, decorators included."""
        node, first = self.node, _first_line(self.node)
        lines = self.cell.lines[first - 1 : node.end_lineno]
        lines[-1] = lines[-1].encode()[: node.end_col_offset].decode()
        lines[0] = lines[0].encode()[node.col_offset :].decode()  # columns are counted in bytes
        return "\n".join(lines)

    @cached_property
    def nodes(self):
        return list(_at_top(self.node))

    @cached_property
    def binds(self):
        """The names that it binds, at the top level; "*" for those of a star import."""
        return set().union(*map(_bound_at, self.nodes))

    @cached_property
    def certain(self):
        """Those of them of which nothing remains that they were before."""
        return _certainly_bound(self.node)

    @cached_property
    def changes(self):
        """The names of which it changes a part: K[0] = 1, DnCNN.forward = f, K += 1, K.append(1)."""
        return set(map(_changed_at, self.nodes)) - {None}

    @cached_property
    def uses(self):
        """(the names that it looks up when it runs, those that its functions look up when they are called)."""
        try:
            table = symtable.symtable(self.text, "statement", "exec")
            bound_first = _bound_before_use(self.node, self.binds)
        except UNPARSABLE:
            return set(), set()  # it will not compile either
        at_once, later = self.changes | {each.get_name() for each in table.get_symbols() if each.is_referenced()}, set()
        waiting = [(child, at_once) for child in table.get_children()]
        for scope, names in waiting:  # which grows meanwhile
            if scope.get_type() == "function" and scope.get_name() not in COMPREHENSIONS:
                names = later
            names |= {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_global()}
            waiting += [(child, names) for child in scope.get_children()]
        return at_once - bound_first, later


COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")


def _first_line(node):
    return min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))


def _at_top(node):
    """The nodes of a statement that run in the scope where it stands: not the insides of functions and classes."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.comprehension):
            waiting += [node.iter, *node.ifs]
        elif not isinstance(node, (*DEFINITIONS, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _bound_at(node):
    """The names that one node binds."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return {name}
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            return set(map(_bound_by, aliases))
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return {name}
    return set()


def _bound_by(alias):
    return alias.asname or alias.name.partition(".")[0]


def _certainly_bound(node):
    match node:
        case ast.With(body=body):
            return set().union(*map(_certainly_bound, body))
        case ast.AugAssign() | ast.AnnAssign(value=None):
            return set()
    simple = isinstance(node, (*IMPORTS, *DEFINITIONS, *ASSIGNMENTS))
    return set().union(*map(_bound_at, _at_top(node))) if simple else set()


def _changed_at(node):
    """The name of which one node changes a part, or None."""
    match node:
        case ast.AugAssign(target=target):
            return _root(target)
        case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
            return _root(node)
        case ast.Call(func=ast.Attribute(attr=method) as function):
            in_place = method.endswith("_") and not method.endswith("__")  # tensor.mul_(2)
            return _root(function) if in_place or method in CHANGERS else None
    return None


def _root(node):
    """The name that K, K.a, K[0] and K.a[0].b begin with, or None."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _bound_before_use(node, names):
    """Those of the names that a statement binds before it looks them up: i and x in `for i in range(3): x = i`."""
    first = {}
    for name, binds in _in_order(node):
        first.setdefault(name, binds)
    return {name for name in names if first.get(name)}


ORDER = {ast.Assign: ("value", "targets"), ast.AnnAssign: ("value", "target"), ast.NamedExpr: ("value", "target")}
ORDER |= dict.fromkeys((ast.For, ast.AsyncFor), ("iter", "target", "body", "orelse"))
ORDER |= dict.fromkeys((*DEFINITIONS, ast.Lambda), ())


def _in_order(node):
    """(name, whether it is bound) for the names of a statement, in the order in which that happens."""
    if isinstance(node, ast.Name):
        yield node.id, isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.AugAssign):
        yield _root(node.target), False
    for part in ORDER.get(type(node), node._fields):
        value = getattr(node, part, None)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _in_order(child)


# --- Slices ---


@dataclass
class Book:
    """A file of a submission.

    Attributes:
        lesson: that its metadata name, or "".
        names: of all answers of the course.
        touching: {name: the statements that bind or change it}, in their order.
        checks: {name: the places of `name = cu.check("exercise", name)`}, which bind nothing.
        functions: the names that are ever bound to a function or class.
    """

    name: str
    cells: list
    lesson: str = ""
    notices: list = field(default_factory=list)
    names: frozenset = frozenset()

    def __post_init__(self):
        self.touching, self.checks, self.functions = defaultdict(list), defaultdict(list), set()
        for statement in (Statement(cell, i, node) for cell in self.cells for i, node in enumerate(cell.group.body)):
            if checked := _checked(statement.node, self.names):
                self.checks[checked].append(statement.place)
                continue
            for name in statement.binds | statement.changes:
                self.touching[name].append(statement)
            if isinstance(statement.node, DEFINITIONS):
                self.functions.add(statement.node.name)


def _checked(node, names):
    """The name in DnCNN = cu.check("dncnn", DnCNN); of any other statement None."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.Call(func=ast.Name(id="check") | ast.Attribute(attr="check"), args=args, keywords=keywords),
        ):
            given = [each.id for each in (*args, *(word.value for word in keywords)) if isinstance(each, ast.Name)]
            return name if name in given or (name in names and given) else None
    return None


class Slice:
    """The statements that a definition needs, so that it runs without the rest of its notebook.

    A name means what it would mean if the notebook was run from top to bottom: for what runs at once, at its place;
    for what functions look up, where they are called. The definition is called right after its cell. A name that
    nothing has bound by then means what the first later cell makes of it. Of loops and method calls only those count
    that stand with the definition, or in a cell that binds the name which they change: a kernel, but no training.

    Args:
        start: the statement that defines `name`.
        apart: names that are not followed. Afterwards `met` has those that are needed, and `missing` what none binds.
    """

    def __init__(self, book, start, name, apart=frozenset()):
        self.book, self.start, self.name, self.apart = book, start, name, apart
        self.met, self.missing = set(), set()
        self.before = defaultdict(set)  # place -> the statements that have an effect on what runs there
        self._known = {}
        check = min((place for place in book.checks[name] if place > start.place), default=(len(book.cells), 0))
        self.called = min(check, (start.cell.place, len(start.cell.group.body)))
        self._follow([start, *self._changes(name, start, check)])
        self.taken = set().union(*self.before.values())
        found = not self.missing - set(dir(builtins))  # if not, it may come from a star import further down
        self.taken |= {star for star in book.touching["*"] if not found or star.place < start.place}
        self.before[start.place] |= {each for each in self.taken if name in each.binds}  # no other may come after it

    def lost(self):
        """(cell, name) of what is missing and seems to be defined in a cell that cannot be parsed."""
        return [(cell, name) for cell in self.book.cells for name in sorted(cell.seems_to_define & self.missing)]

    def ordered(self):
        """The statements in the order in which they run: that of the file, but for what has to come earlier."""
        order, done = [], set()

        def put(statement):
            if statement not in done:
                done.add(statement)
                for before in sorted(self.before[statement.place], key=lambda each: each.place):
                    put(before)
                order.append(statement)

        late = {star for star in self.taken if "*" in star.binds and star.place > self.start.place}
        for statement in sorted(self.taken, key=lambda each: (each not in late, each.place)):
            put(statement)
        return order

    def _follow(self, statements):
        """Note the statements and all that they need, by the places where they have an effect."""
        waiting, work = [(statement, self.called) for statement in statements], 0
        while waiting:
            statement, place = waiting.pop()
            if statement not in self.before[place]:
                self.before[place].add(statement)
                needs = list(self._needs(statement, place))
                waiting += needs
                work += len(needs)
                if work > MOST_WORK:
                    raise Unreadable("too many statements depend on each other")

    def _needs(self, statement, place):
        """What has an effect on a statement when it runs, or on what it made when that is called at a place."""
        at_once, later = statement.uses
        for name in later:
            yield from ((each, place) for each in self._providers(name, place))
        for name in at_once | ({self.name} - statement.certain if statement is self.start else set()):
            for each in self._providers(name, statement.place):
                yield from ((each, statement.place), (each, place))  # what it made may be called later on
        for name in statement.certain:
            yield from ((each, place) for each in self._changes(name, statement, place))

    def _providers(self, name, place):
        """The statements that make a name what it is at a place: the last that bound it, and what changed it since."""
        if name in self.apart:
            self.met.add(name)
            return
        candidates, seen = self._touching(name), set()
        if name == self.name:
            candidates = [each for each in candidates if each.place <= self.start.place]
        while (statement := self._last(name, candidates, place)) and statement not in seen:
            seen.add(statement)
            yield statement
            if name in statement.certain:
                return
            place = statement.place
        if not seen:
            self.missing.add(name)

    def _last(self, name, candidates, place):
        """The last of the candidates before a place; or, if there is none, the last of the next cell that has some."""
        known = bisect_left(candidates, place, key=lambda each: each.place)
        if known:
            return candidates[known - 1]
        below = [each for each in candidates if each.place > place]
        cell = next((each.cell for each in below if name in each.binds), None)
        return next((each for each in reversed(below) if each.cell is cell), None)

    def _touching(self, name):
        """The statements that bind or change a name and may be taken: no loops, but where the name is at home."""
        if name not in self._known:
            touching = self.book.touching.get(name, ())
            home = {self.start.cell, *(each.cell for each in touching if name in each.certain)}
            self._known[name] = [each for each in touching if isinstance(each.node, ANYWHERE) or each.cell in home]
        return self._known[name]

    def _changes(self, name, statement, end):
        """What changes a part of what a statement has bound to a name, from there on: DnCNN.forward = forward."""
        touching = self._touching(name)
        for each in touching[bisect_right(touching, statement.place, key=lambda each: each.place) :]:
            if each.place >= end or name in each.certain:
                return
            if name in each.changes:
                yield each


# --- Which definition counts ---

NOTHING, IMPORTED, SKELETON, MADE, BROKEN, WRITTEN = range(6)  # the later, the better
KIT = ("cu", "course_utils")


@dataclass
class Definition:
    """A place where an answer is defined: a Statement, or a Cell that cannot be parsed."""

    what: object
    rank: int
    book: Book
    preference: tuple

    @property
    def order(self):
        place = self.what.place if isinstance(self.what, Statement) else (self.what.place, 0)
        return self.rank, self.preference, place


def _blank(name):
    return {"answer": name, "statements": [], "uses": [], "source": "", "notices": [], "error": ""}


def _program(exercise, answers, books, cells):
    """{exercise: program}, or {} if nothing defines the answer; `cells` gets the sources that it refers to."""
    name, lesson = answers[exercise]["answer"], answers[exercise]["lesson"]
    found = _definitions(name, lesson, books)
    if not found:
        return {}
    best = max(found, key=lambda each: each.order)
    program = _blank(name) | {"notices": _shown(_remarks(best, found))}
    if best.rank == BROKEN:
        written = best.what.group.written[:LONGEST_SOURCE].encode("utf-8", "replace").decode()
        return {exercise: program | {"source": written, "error": best.what.problem}}
    own_last = sorted(answers, key=lambda other: answers[other]["lesson"] == lesson)
    others = {answers[other]["answer"]: other for other in own_last if answers[other]["answer"] != name}
    part = Slice(best.book, best.what, name, frozenset(others))
    statements = part.ordered()
    cells |= {each.cell.label: each.cell.source for each in statements}
    program["statements"] = [[each.cell.label, each.cell.first + each.index] for each in statements]
    program["uses"] = sorted(others[other] for other in part.met)
    program["source"] = _source(statements, best.what)
    program["notices"] += _shown(f"{missing} is missing: {cell.problem}" for cell, missing in part.lost())
    return {exercise: program}


def _source(statements, definition):
    """What a student wrote for an answer: all of its program but the imports."""
    whole = "\n\n".join(each.text for each in statements if not _is_import(each.node))
    return whole if len(whole) <= LONGEST_SOURCE else definition.text[:LONGEST_SOURCE]


def _is_import(node):
    """An import, or a `try` around one."""
    return not isinstance(node, DEFINITIONS) and any(isinstance(each, IMPORTS) for each in _at_top(node))


def _remarks(best, found):
    """What a student should know about the choice among definitions."""
    here = [each for each in found if each.book is best.book]
    written = sum(each.rank == WRITTEN for each in here)
    remarks = [f"defined {written} times; the last one counts"] if best.rank == WRITTEN and written > 1 else []
    elsewhere = {each.book.name: None for each in found if each.rank == WRITTEN and each.book is not best.book}
    if elsewhere:
        remarks.append(f"defined in {', '.join(elsewhere)} as well; {best.book.name} counts")
    broken = [each.what.problem for each in here if each.rank == BROKEN and each is not best]
    return remarks + [f"a definition was passed over: {problem}" for problem in broken[-1:]]


def _definitions(name, lesson, books):
    found = []
    for number, book in enumerate(books):
        preference = (2 if book.lesson == lesson else int(book.name.startswith(lesson)), number)
        ranked = [(each, _rank(each.node, name, book.functions)) for each in book.touching.get(name, ())]
        ranked += [(cell, BROKEN) for cell in book.cells if name in cell.seems_to_define]
        found += [Definition(what, rank, book, preference) for what, rank in ranked if rank > NOTHING]
    return found


def _rank(node, name, functions):
    """How good a definition of a name a statement is; `functions` are names known to be functions or classes."""
    if not isinstance(node, ANYWHERE):
        return NOTHING
    return max(_rank_of_part(part, name, functions) for part in _at_top(node))


def _rank_of_part(node, name, functions):
    match node:
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases) if name in map(_bound_by, aliases):
            return IMPORTED
        case ast.FunctionDef(name=bound) | ast.AsyncFunctionDef(name=bound) | ast.ClassDef(name=bound) if bound == name:
            return SKELETON if _is_skeleton(node) else WRITTEN
        case ast.Assign(targets=targets, value=value):
            pairs = [(target, value) for target in targets]
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            pairs = [(target, value)]
        case _:
            return NOTHING
    for target, value in pairs:  # which grows: psnr, ssim = f, g
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs += zip(target.elts, value.elts, strict=True)
    values = [value for target, value in pairs if isinstance(target, ast.Name) and target.id == name]
    return max((_rank_of_value(value, name, functions) for value in values), default=NOTHING)


def _rank_of_value(value, name, functions):
    """The same for what is assigned: a number or a list is no answer, and what a call makes may be one."""
    match value:
        case ast.Lambda():
            return WRITTEN
        case ast.Name(id=other):
            return NOTHING if other == name else WRITTEN
        case ast.Attribute():
            return {None: MADE, **dict.fromkeys(KIT, IMPORTED)}.get(_root(value), WRITTEN)
        case ast.IfExp(body=one, orelse=other):
            return max(_rank_of_value(each, name, functions) for each in (one, other))
        case ast.Call(func=called, args=args) if _root(called) not in (name, *KIT):  # psnr = psnr(y, x) is a number
            wraps = any(isinstance(each, ast.Lambda) or _root(each) in functions | {name} for each in args)
            return WRITTEN if wraps else MADE
    return NOTHING


def _is_skeleton(node):
    """Whether a function, or each method of a class, raises NotImplementedError whatever comes."""
    if isinstance(node, ast.ClassDef):
        methods = [each for each in node.body if isinstance(each, DEFINITIONS)]
        return bool(methods) and all(map(_is_skeleton, methods))
    raised = [_root(getattr(each.exc, "func", each.exc)) for each in node.body if isinstance(each, ast.Raise)]
    return "NotImplementedError" in raised
