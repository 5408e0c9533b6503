'''Lessons: from the text that people edit to the notebooks that Colab opens. (`headless` runs them.)

A lesson is one file, lessons/source/NN_name.py, in py:percent format: ordinary Python whose cells start with `# %%`.

    # minutes: test=0.5 cpu=6 gpu=15
    # %% [markdown] lang="en"
    # # Predict the noise
    # %%
    noisy = clean + 0.1 * torch.randn_like(clean)
    # %% exercise="dncnn" answer="course_utils.models.dncnn:DnCNN"
    class DnCNN(nn.Module):
        """A network that predicts the noise."""
        def __init__(self, depth=17):
            raise NotImplementedError
    # %% only="solution"
    print("shown in the solution notebook alone; only=\\"student\\" is its counterpart")

Above the first cell: the minutes that the lesson takes under each profile (gpu only once it was measured). Prose names
its language (`lang="en"`, later "ko"); code is shared by all languages. A lesson's title is its first heading. A number
in prose that the lesson itself prints is marked as such, `30.39<!-- bicubic ±0.02 -->`: see `figures`. An exercise cell
holds a skeleton of the public symbol that `answer` names, and nothing else; the solution notebook shows the symbol's
own source in its place.
From lessons/source/05_dncnn.py come lessons/en/05_dncnn.ipynb and solutions/en/05_dncnn.ipynb, each opened by two
generated cells: the "Open in Colab" badge, and the import (or installation) of the kit.
'''

import ast
import hashlib
import importlib
import inspect
import os
import re
import textwrap
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from course_utils import figures
from course_utils.files import CourseError, atomic
from course_utils.profiles import NAMES

LANGUAGES = ("en", "ko")
LONGEST_CELL = 12  # lines of code: one idea
WHEEL = "{repository}/releases/download/v{version}/course_utils-{version}-py3-none-any.whl"


@dataclass(frozen=True)
class Cell:
    """One cell of a source: "markdown" or "code", its text, the line of the file where the text starts, its options."""

    kind: str
    text: str
    line: int
    options: dict


@dataclass(frozen=True)
class Lesson:
    """A lesson: name ("05_dncnn"), title, minutes by profile, the path of its source, and its cells."""

    name: str
    title: str
    minutes: dict
    path: Path
    cells: tuple

    def languages(self):
        """The languages that the prose is written in."""
        found = {cell.options.get("lang") for cell in self.cells}
        return [language for language in LANGUAGES if language in found]


# --- The repository and its sources ---


def find_root(start=None):
    """The root of the repository: the nearest folder at or above `start` (default: here) that has lessons/source.

    Raises:
        CourseError: there is none.
    """
    start = Path(start or ".").absolute()
    for folder in (start, *start.parents):
        if (folder / "lessons" / "source").is_dir():
            return folder
    raise CourseError(f"{start} is not in a clone of the course's repository (no lessons/source); change into one")


def list_lessons(root):
    """The lessons in root/lessons/source, by name.

    Raises:
        CourseError: a source breaks a rule of the format; the message has a line per place, `file:line: what`.
    """
    return [_read(path) for path in sorted((Path(root) / "lessons" / "source").glob("*.py"))]


def _read(path):
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines, 1) if line.startswith("# %%")]
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem):
        raise CourseError(f"{path}: lessons are named like 05_dncnn.py; rename it")
    if not starts:
        raise CourseError(f"{path}:1: no cell; a cell starts with a line `# %%`")
    # Without comment_magics=False, a comment that looks like a command would become one.
    style = {"extension": ".py", "format_name": "percent", "comment_magics": False}
    notebook = need("jupytext").reads("\n".join(lines[starts[0] - 1 :]), style)
    if len(notebook.cells) != len(starts):
        raise CourseError(f"{path}: `# %%` at the start of a line inside a string; indent it")
    cells = tuple(_cell(cell, line) for cell, line in zip(notebook.cells, starts, strict=True))
    return Lesson(path.stem, _title(path, cells), _minutes(path, lines[: starts[0] - 1]), path, cells)


def _cell(cell, line):
    options = {key: value for key, value in cell.metadata.items() if key != "lines_to_next_cell"}
    blank = len(cell.source) - len(cell.source.lstrip("\n"))
    return Cell(cell.cell_type, cell.source.strip("\n"), line + 1 + blank, options)


def _title(path, cells):
    for cell in cells:
        found = re.search(r"^# (.+)", cell.text, re.MULTILINE)
        if cell.kind == "markdown" and found:
            return found[1].strip()
    raise CourseError(f"{path}: no title; start the first markdown cell with `# # Title`")


def _minutes(path, header):
    wanted = "`# minutes: test=0.5 cpu=6 gpu=15` above the first cell"
    found = [re.fullmatch(r"# minutes:(.*)", line) for line in header]
    entries = [entry.partition("=") for match in found if match for entry in match[1].split()]
    try:
        minutes = {name: float(value) for name, _, value in entries}
    except ValueError:
        raise CourseError(f"{path}:1: minutes are numbers: {wanted}") from None
    if not {"test", "cpu"} <= set(minutes) <= set(NAMES):
        raise CourseError(f"{path}:1: how long does it take under each profile? Write {wanted}; gpu= where measured")
    return {name: int(value) if value == int(value) else value for name, value in minutes.items()}


def need(name):
    """Import a package of the [author] extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = f"lessons are built with {name}, which does not import ({error})"
        raise CourseError(f"{reason}: pip install 'course-utils[author]'") from None


# --- Rules: each yields (line, message) ---


def check(lesson, root):
    """Hold a lesson against the rules of the format and of style.

    Raises:
        CourseError: a line `file:line: what, and the way out` for each place that breaks one.
    """
    found = [problem for rule in RULES for cell in lesson.cells for problem in rule(cell)]
    found += _links(lesson, Path(root).absolute()) + _repeated(lesson)
    if found:
        raise CourseError("\n".join(f"{lesson.path}:{line}: {message}" for line, message in sorted(found)))


def _options(cell):
    allowed = {"markdown": {"lang", "only"}, "code": {"only", "exercise", "answer"}}.get(cell.kind)
    if allowed is None:
        yield cell.line, f"a {cell.kind} cell; use markdown or code"
        return
    for key in sorted(set(cell.options) - allowed):
        may = ", ".join(sorted(allowed))
        yield cell.line, f"unknown option {key}={cell.options[key]!r}; a {cell.kind} cell may have {may}"
    if cell.kind == "markdown" and cell.options.get("lang") not in LANGUAGES:
        yield cell.line, f'prose names its language: # %% [markdown] lang="en" (one of {", ".join(LANGUAGES)})'
    if cell.options.get("only", "student") not in ("student", "solution"):
        yield cell.line, f'only={cell.options["only"]!r}; it is "student" or "solution"'
    if ("exercise" in cell.options) != ("answer" in cell.options):
        yield cell.line, 'an exercise needs both: exercise="dncnn" answer="course_utils.models.dncnn:DnCNN"'
    if "exercise" in cell.options and "only" in cell.options:
        yield cell.line, "an exercise appears in both notebooks; drop only"
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", str(cell.options.get("exercise", "x"))):
        yield cell.line, f"exercise={cell.options['exercise']!r}; names are lower-case letters, digits, - and _"


def _length(cell):
    code = [line for line in cell.text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if cell.kind == "code" and "exercise" not in cell.options and len(code) > LONGEST_CELL:
        yield cell.line, f"{len(code)} lines of code; cells have {LONGEST_CELL} or fewer: one idea each"


FORBIDDEN = (  # (kind of cell or None for both, pattern, message)
    ("code", r"%autoreload|%(re)?load_ext\s+autoreload", "%autoreload is dead on Colab; import what you need"),
    ("code", r"^\s*except\s*:", "bare except; name the exception"),
    (None, r"pip3? install .*[\w\]][<>]=?\s*\d", "an unquoted < or > is a shell redirect; write pip install 'x>=1'"),
    (None, r"(?<![\w.~/])/(content|home|root|Users|tmp|mnt)\b", "an absolute path; make it relative"),
    (None, r"(?<!\w)[C-HZ]:\\+\w", "an absolute path; make it relative"),
    ("markdown", r"!\[\s*\]\s*[(\[]", "an image without alt text; write ![what it shows](...)"),
    ("markdown", r"<img\b(?![^>]*\balt=[\"'][^\"'])", 'an image without alt text; write <img alt="what it shows" ...>'),
)


def _forbidden(cell):
    for number, line in enumerate(cell.text.splitlines(), cell.line):
        for kind, pattern, message in FORBIDDEN:
            searched = re.sub(r"'[^']*'|\"[^\"]*\"", "''", line) if pattern.startswith("pip") else line
            if kind in (None, cell.kind) and re.search(pattern, searched):
                yield number, message


def _syntax(cell):
    if cell.kind == "code":
        error = _parse(cell.text)[1]
        if error is not None:
            yield cell.line + (error.lineno or 1) - 1, f"does not parse ({error.msg}); cells are valid Python"


def _parse(text):
    """The ast of a cell and None, or None and the SyntaxError; lines of magics count as `pass`."""
    try:
        return ast.parse(text), None
    except SyntaxError as error:
        try:
            return ast.parse(re.sub(r"^([ \t]*)[%!].*", r"\1pass", text, flags=re.MULTILINE)), None
        except SyntaxError:
            return None, error


def _exercise(cell):
    if "exercise" not in cell.options or "answer" not in cell.options:
        return
    tree, symbol = _parse(cell.text)[0], cell.options["answer"].rpartition(":")[2]
    if tree is None:
        return  # _syntax has said so
    skeletons = [node for node in tree.body if getattr(node, "name", None) == symbol]
    if not skeletons:
        yield cell.line, f"the skeleton defines no {symbol}, which is the answer {cell.options['answer']}"
    for node in tree.body:
        if node not in skeletons:
            yield cell.line + node.lineno - 1, f"the solution drops all but {symbol}; put this into a cell of its own"
    if not any(isinstance(n, ast.Name) and n.id == "NotImplementedError" for n in ast.walk(tree)):
        yield cell.line, "the skeleton does not raise NotImplementedError; it must not pretend to be an answer"
    try:
        reference = ast.parse(source_of(cell.options["answer"])).body[0]
    except CourseError as error:
        yield cell.line, str(error)
        return
    for skeleton in skeletons[:1]:
        for line, message in _differences(skeleton, reference, symbol):
            yield cell.line + line - 1, message


def source_of(answer):
    """The source of "module:Symbol", as its module has it.

    Raises:
        CourseError: no such module or symbol, or no class or function.
    """
    module, _, symbol = answer.partition(":")
    try:
        return textwrap.dedent(inspect.getsource(getattr(importlib.import_module(module), symbol))).rstrip("\n")
    except (ImportError, AttributeError, TypeError, OSError, ValueError) as error:
        hint = 'write answer="course_utils.module:Symbol", a class or function of that module'
        raise CourseError(f"answer={answer!r} cannot be found ({type(error).__name__}: {error}); {hint}") from None


def _differences(skeleton, reference, name):
    """Where a skeleton's kind, docstring, signature or methods are not the reference's: (line in the cell, message)."""
    if type(skeleton) is not type(reference):
        yield skeleton.lineno, f"{name} is a {_kind(skeleton)}, the reference is a {_kind(reference)}"
        return
    ours, theirs = _summary(skeleton), _summary(reference)
    if ours != theirs:
        yield skeleton.lineno, f"{name} says {ours!r}, the reference {theirs!r}; the first docstring lines must agree"
    if not isinstance(skeleton, ast.ClassDef):
        yield from _compare(name, skeleton, reference)
        return
    ours, theirs = _methods(skeleton), _methods(reference)
    for method in theirs:
        if method not in ours and (method.endswith("__") or not method.startswith("_")):
            yield skeleton.lineno, f"{name}.{method}{_signature(theirs[method])} is missing in the skeleton"
    for method, node in ours.items():
        if method in theirs:
            yield from _compare(f"{name}.{method}", node, theirs[method])
        else:
            yield node.lineno, f"the reference has no {name}.{method}; remove it from the skeleton"


def _compare(name, skeleton, reference):
    ours, theirs = _signature(skeleton), _signature(reference)
    if ours != theirs:
        yield skeleton.lineno, f"the skeleton has {name}{ours}, the reference {name}{theirs}; make them agree"


def _kind(node):
    return {ast.ClassDef: "class", ast.FunctionDef: "function"}.get(type(node), type(node).__name__)


def _methods(node):
    return {child.name: child for child in node.body if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)}


def _summary(node):
    return (ast.get_docstring(node) or "").partition("\n")[0]


def _signature(node):
    """Argument names and defaults of a function as text; annotations may differ."""
    arguments = ast.parse(f"def f({ast.unparse(node.args)}): pass").body[0].args
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    return f"({ast.unparse(arguments)})"


def _marks(cell):
    if cell.kind == "markdown":
        for line, text in figures.broken_marks(cell.text):
            yield cell.line + line, f"{text} marks no figure; write 30.39<!-- what the run prints before it ±0.02 -->"


RULES = (_options, _length, _forbidden, _syntax, _exercise, _marks)


def _links(lesson, root):
    """Relative links that lead nowhere, seen from where the notebooks will lie."""
    found = []
    for cell in lesson.cells:
        place = f"lessons/{cell.options.get('lang')}"
        for number, line in enumerate(cell.text.splitlines(), cell.line):
            targets = re.findall(r"\]\(\s*<?([^)\s>]+)", line) if cell.kind == "markdown" else []
            for target in targets:
                if not ELSEWHERE.match(target) and not _exists(root / place, target, root):
                    found.append((number, f"the link {target} leads nowhere (from {place}); correct it"))
    return found


ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//", re.IGNORECASE)


def _exists(folder, target, root):
    path = Path(os.path.normpath(folder / unquote(target.partition("#")[0])))
    if not path.is_relative_to(root):
        return False
    if path.suffix == ".ipynb" and path.parent.parent.name in ("lessons", "solutions"):
        return (root / "lessons" / "source" / f"{path.stem}.py").exists()  # the notebook itself is about to be written
    return path.exists()


def _repeated(lesson):
    seen = Counter()
    found = []
    for cell in lesson.cells:
        name = cell.options.get("exercise")
        seen[name] += 1
        if name and seen[name] > 1:
            found.append((cell.line, f"a second exercise {name!r}; each appears once in a lesson"))
    return found


# --- Notebooks ---


def build(root, check=False):
    """Write the notebooks of all lessons, for students and with solutions; return the paths that changed.

    Notebooks that were generated from a source that is gone are removed.

    Args:
        root: the repository.
        check: write nothing, only compare.

    Raises:
        CourseError: a source breaks a rule, or (with check) notebooks do not match their sources; they are named.
    """
    root = Path(root)
    wanted = {root / path: text for path, text in _generate(root).items()}
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    orphans = [path for path in _generated(root) if path not in wanted]
    stale = sorted(changed + orphans)
    if check and stale:
        names = ", ".join(str(path.relative_to(root)) for path in stale)
        raise CourseError(f"not up to date with lessons/source: {names}; run `make lessons`")
    for path in orphans:
        path.unlink()
    for path in changed:
        with atomic(path) as temporary:
            temporary.write_text(wanted[path], encoding="utf-8")
    return stale


def _generate(root):
    """Relative path -> text of every notebook."""
    nbformat = need("nbformat")
    wanted = {}
    for lesson in list_lessons(root):
        check(lesson, root)
        for language in lesson.languages():
            for solution in (False, True):
                notebook = make_notebook(lesson, root, language, solution=solution)
                wanted[_place(lesson.name, language, solution)] = nbformat.writes(notebook).rstrip("\n") + "\n"
    return wanted


def _place(name, language, solution):
    return f"{'solutions' if solution else 'lessons'}/{language}/{name}.ipynb"


def _generated(root):
    """The notebooks in the folders of the languages that carry our mark; others are none of our business."""
    paths = [p for kind in ("lessons", "solutions") for lang in LANGUAGES for p in (root / kind / lang).glob("*.ipynb")]
    return [path for path in paths if '"course": {' in path.read_text(encoding="utf-8")]


def make_notebook(lesson, root, language="en", *, solution=False):
    """A lesson as an nbformat notebook in one language, with the answers filled in or without them.

    Raises:
        CourseError: [tool.course] in pyproject.toml names no repository on GitHub.
    """
    nbformat = need("nbformat")
    notebook = nbformat.v4.new_notebook()
    kind = "solution" if solution else "lesson"
    notebook.metadata = {
        "course": {"lesson": lesson.name, "language": language, "kind": kind},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
    }
    notebook.cells = _opening(nbformat.v4, lesson, root, language, solution)
    seen = Counter()
    for cell in lesson.cells:
        if cell.options.get("lang", language) == language and _shown(cell, solution):
            notebook.cells.append(_notebook_cell(nbformat.v4, cell, solution, seen))
    nbformat.validate(notebook)
    return notebook


def _shown(cell, solution):
    return cell.options.get("only") in (None, "solution" if solution else "student")


def _notebook_cell(v4, cell, solution, seen):
    text = source_of(cell.options["answer"]) if solution and "exercise" in cell.options else cell.text
    text = figures.without_marks(text) if cell.kind == "markdown" else text
    new = v4.new_markdown_cell(text) if cell.kind == "markdown" else v4.new_code_cell(text)
    if "exercise" in cell.options:
        new["id"] = f"exercise-{cell.options['exercise']}"
        new.metadata["course"] = {"exercise": cell.options["exercise"]}
        return new
    digest = hashlib.sha256(f"{cell.kind}\n{text}".encode()).hexdigest()[:12]
    seen[digest] += 1
    new["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return new


def _opening(v4, lesson, root, language, solution):
    """The two cells that open every notebook."""
    from course_utils import __version__

    repository, branch = _address(root)
    place = _place(lesson.name, language, solution)
    link = f"{repository}/blob/{branch}/{place}".replace(
        "https://github.com", "https://colab.research.google.com/github"
    )
    badge = f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({link})"
    if solution:
        student = f"../../{_place(lesson.name, language, False)}"
        badge += f"\n\n**Solution**: [the lesson]({student}) with every exercise filled in."
    lines = [
        "try:",
        "    import course_utils as cu",
        "except ImportError:  # on Colab: the kit alone; everything that it needs is there",
        f"    %pip install -q --no-deps {WHEEL.format(repository=repository, version=__version__)}",
        "    import course_utils as cu",
        "",
        f'profile = cu.setup("{lesson.name}", minutes={lesson.minutes})'.replace("'", '"'),
    ]
    return [v4.new_markdown_cell(badge, id="open-in-colab"), v4.new_code_cell("\n".join(lines), id="setup")]


def _address(root):
    path = Path(root) / "pyproject.toml"
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))["tool"]["course"]
        repository, branch = settings["repository"].rstrip("/").removesuffix(".git"), settings["branch"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{path}: no repository and branch in [tool.course] ({error!r}); add them") from None
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", repository):
        raise CourseError(f"{path}: repository = {repository!r}; Colab opens https://github.com/OWNER/NAME only")
    return repository, branch
