"""Figures that a lesson's prose quotes: each stands beside what the lesson itself prints, and is held to it.

In a source, a number that was measured is followed by a mark, which no notebook shows:

    Bicubic enlargement gives 30.39<!-- Set5 ×3, bicubic ±0.02 --> dB.

The label is text that a cell of the lesson prints; the figure is the first number behind it in that line, and has to
lie within the tolerance. A `*` in a label stands for any text: `SRCNN: * unseen scanner`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from course_utils.files import CourseError

NUMBER = r"[-+−]?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?"
MARK = re.compile(rf"({NUMBER})<!-- (\S.*?) ±(\d+(?:\.\d+)?) -->", re.DOTALL)
COMMENT = re.compile(r"<!--.*?(?:-->|$)", re.DOTALL)
MEASURED = Path("lessons") / "measured.json"  # what one run of all lessons under `cpu` measured


@dataclass(frozen=True)
class Quote:
    """A number in the prose of a lesson: its value, the label before the number in what is printed, how far off it
    may be, and the line of the source."""

    value: float
    label: str
    tolerance: float
    line: int

    def holds(self, value):
        """Whether a measured value is the quoted one; None is not."""
        return value is not None and abs(value - self.value) <= self.tolerance * (1 + 1e-9)


def quotes(lesson):
    """The quotes of an authoring.Lesson, in the order of its text, all languages."""
    found = []
    for cell in lesson.cells:
        for match in MARK.finditer(cell.text) if cell.kind == "markdown" else ():
            line = cell.line + cell.text[: match.start()].count("\n")
            label = " ".join(match[2].split())
            found.append(Quote(_number(match[1]), label, float(match[3]), line))
    return found


def without_marks(text):
    """Prose as students read it."""
    return MARK.sub(r"\1", text)


def broken_marks(text):
    """(lines down from the first, text) of each comment in prose that is no mark."""
    rest = MARK.sub(lambda match: match[1] + "\n" * match[0].count("\n"), text)
    return [(rest[: match.start()].count("\n"), " ".join(match[0].split())[:60]) for match in COMMENT.finditer(rest)]


def printed(notebook):
    """The lines that the cells of a notebook, as nbformat reads it, have printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    texts = ["".join(out["text"]) for out in outputs if out.output_type == "stream" and out.name == "stdout"]
    return [" ".join(line.split()) for text in texts for line in text.splitlines()]


def find(label, lines):
    """The first number behind a label in the first of the lines that has it; None if there is none."""
    before = ".*?".join(re.escape(part.strip()) for part in label.split("*"))
    for line in lines:
        match = re.search(rf"{before}\D*?({NUMBER})", line)
        if match:
            return _number(match[1])
    return None


def measure(lesson, lines):
    """{label: the number printed behind it} for the labels that a lesson quotes; those not printed are left out."""
    found = {quote.label: find(quote.label, lines) for quote in quotes(lesson)}
    return {label: value for label, value in found.items() if value is not None}


def differences(lesson, measured, absent=()):
    """A sentence, `file:line: ...`, for each quoted figure that is not what was measured.

    Args:
        lesson: an authoring.Lesson.
        measured: {label: value}, as `measure` gives it.
        absent: standard sets that are not here: figures of them that were not printed are passed over.
    """
    found = []
    for quote in quotes(lesson):
        value = measured.get(quote.label)
        if value is None and any(name in quote.label for name in absent):
            continue
        if not quote.holds(value):
            printed = "the run prints no such figure" if value is None else f"the run prints {value:g}"
            said = f"the text says {quote.value:g} (±{quote.tolerance:g}) for {quote.label!r}"
            found.append(f"{lesson.path}:{quote.line}: {said}, {printed}")
    return found


def read_measured(root):
    """What `make figures` wrote: {"machine": text, "lessons": {name: {"minutes", "memory_mib", "figures"}}}.

    Raises:
        CourseError: there is none, or it cannot be read.
    """
    path = Path(root) / MEASURED
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CourseError(f"{path} cannot be read ({error}); make it with `make figures`") from None


def _number(text):
    return float(text.replace(",", "").replace("−", "-"))
