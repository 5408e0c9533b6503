"""The lessons themselves: they match their sources, hide the answers, lead somewhere, and run to their end."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from course_utils import authoring, figures, headless

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "lessons" / "source").glob("*.py"))
none_yet = pytest.mark.skip(reason="lessons/source holds no lesson yet")
LESSONS = NAMES or [pytest.param("none", marks=none_yet)]


def lesson(name):
    return next(one for one in authoring.list_lessons(ROOT) if one.name == name)


@pytest.mark.skipif(not NAMES, reason="lessons/source holds no lesson yet")
def test_notebooks_match_their_sources():
    assert authoring.build(ROOT, check=True) == []


WATCH = """
import json
import course_utils.training as _training

_fit, _trainings = _training.fit, []


def _watched(model, *args, **options):
    before = [p.detach().clone() for p in model.parameters()]
    history = _fit(model, *args, **options)
    moved = any((old != new.detach().cpu()).any().item() for old, new in zip(before, model.parameters()))
    _trainings.append((history.steps[-1], moved, all(loss == loss for loss in history.losses)))
    return history


_training.fit = _watched
"""


@pytest.mark.parametrize("solution", [False, True], ids=["student", "solution"])
@pytest.mark.parametrize("name", LESSONS)
def test_runs_to_its_end_and_really_trains(name, solution):
    notebook = authoring.make_notebook(lesson(name), ROOT, solution=solution)
    notebook.cells.insert(2, nbformat.v4.new_code_cell(WATCH))
    notebook.cells.append(nbformat.v4.new_code_cell('print("trainings:", json.dumps(_trainings))'))
    failure, _ = headless.execute(lesson(name), notebook, "test", progress=False)
    assert failure is None
    assert all(cell["execution_count"] for cell in notebook.cells if cell.cell_type == "code")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    drawn = [output.data for output in outputs if "data" in output and "image/png" in output.data]
    assert not drawn, "a bare matplotlib figure has no alt text: show it as cu.Picture(figure, text)"
    last = figures.printed(notebook)[-1]
    trainings = json.loads(last.removeprefix("trainings: "))
    assert len(trainings) >= lesson(name).path.read_text(encoding="utf-8").count("cu.fit(")
    assert all(steps >= 1 and moved and finite for steps, moved, finite in trainings), trainings


@pytest.fixture(scope="module")
def measured():
    return figures.read_measured(ROOT)["lessons"]


@pytest.mark.parametrize("name", LESSONS)
def test_the_prose_quotes_what_was_measured(name, measured):
    assert figures.differences(lesson(name), measured[name]["figures"]) == []


@pytest.mark.parametrize("name", LESSONS)
def test_the_header_says_how_long_it_took(name, measured):
    took, says = measured[name]["minutes"], lesson(name).minutes["cpu"]
    assert took <= headless.LONGEST
    assert took <= says <= 1.5 * took + 0.25  # rounded up, with some room for a slower machine


def test_nothing_is_kept_of_lessons_that_are_gone(measured):
    assert sorted(measured) == NAMES
    for name in NAMES:
        assert set(measured[name]["figures"]) == {quote.label for quote in figures.quotes(lesson(name))}


OWN_NETWORK = """
class DnCNN(nn.Module):
    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = dict(channels=channels, depth=depth, width=width, batch_norm=batch_norm)
        self.receptive_radius = depth
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth - 2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if batch_norm else nn.Identity() for _ in range(depth - 2))
        self.tail = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, y):
        features = torch.relu(self.head(y))
        for convolution, norm in zip(self.body, self.norms):
            features = torch.relu(norm(convolution(features)))
        return self.tail(features)

    def restore(self, y):
        return y - self(y)
"""


@pytest.mark.skipif("05_dncnn" not in NAMES, reason="there is no lesson 05_dncnn")
@pytest.mark.parametrize("right", [True, False])
def test_a_student_gets_to_the_end_with_a_network_of_their_own(right):
    """With other names for the layers, and no check of the input; a wrong one is replaced by the course's."""
    notebook = authoring.make_notebook(lesson("05_dncnn"), ROOT)
    exercise = next(cell for cell in notebook.cells if cell.get("id") == "exercise-dncnn")
    exercise.source = OWN_NETWORK if right else OWN_NETWORK.replace("return y - self(y)", "return y + self(y)")
    checked = next(cell for cell in notebook.cells if cell.source == 'DnCNN = cu.check("dncnn", DnCNN)')
    checked.source += f"\nassert (DnCNN.__module__ == '__main__') is {right}"
    failure, _ = headless.execute(lesson("05_dncnn"), notebook, "test", progress=False)
    assert failure is None


@pytest.mark.parametrize("name", LESSONS)
def test_the_student_notebook_does_not_hold_the_answers(name):
    for language in lesson(name).languages():
        shown = json.loads((ROOT / "lessons" / language / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in shown if cell["cell_type"] == "code"]
        for cell in lesson(name).cells:
            if "answer" in cell.options:
                assert not set(bodies(authoring.source_of(cell.options["answer"]))) & {
                    b for c in code for b in bodies(c)
                }


def bodies(code):
    """The bodies of all functions of two statements or more, without docstrings, in one spelling."""
    tree = ast.parse(re.sub(r"^([ \t]*)[%!].*", r"\1pass", code, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if len(statements) > 1:
                yield "\n".join(ast.unparse(one) for one in statements)


def test_an_answer_in_a_notebook_would_be_found():
    answer = authoring.source_of("course_utils.files:atomic")
    renamed = answer.replace("def atomic", "def other").replace('"""Yield', '"""Give')
    assert list(bodies(answer)) and list(bodies(answer)) == list(bodies("%pip install x\n" + renamed))


@pytest.mark.parametrize("name", LESSONS)
@pytest.mark.parametrize("kind", ["lessons", "solutions"])
def test_badges_and_links_lead_into_the_repository(name, kind):
    repository, branch = authoring._address(ROOT)
    inside = re.escape(repository.removeprefix("https://github.com/")) + f"/blob/{re.escape(branch)}/([^)#]+)"
    for language in lesson(name).languages():
        path = ROOT / kind / language / f"{name}.ipynb"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        badges = re.findall(inside, prose)
        assert badges[0] == f"{kind}/{language}/{name}.ipynb"
        relative = [link for link in re.findall(r"\]\(([^)\s#]+)", prose) if "://" not in link and ":" not in link]
        missing = [one for one in badges if not (ROOT / one).exists()]
        missing += [link for link in relative if not (path.parent / link).exists()]
        assert not missing
