"""Figures that prose quotes: found in the source, gone from the notebook, compared with what was printed."""

import nbformat
import pytest
from toys import HEAD, notebook

from course_utils import authoring, figures
from course_utils.files import CourseError

PROSE = (
    HEAD
    + """#
# Bicubic gives 1,230.5<!-- Set5 bicubic ±0.02 --> dB, others
# -0.25<!-- other
# way: * second ±1 -->, and 7 is not quoted; "about 5<!-- x ±2 --> times".
# %%
print(3)
"""
)


def lesson(repo, text=PROSE):
    return authoring.list_lessons(repo(_01_toy=text))[0]


def test_quotes_are_numbers_with_a_label_and_a_tolerance(repo):
    found = figures.quotes(lesson(repo))
    assert [(each.value, each.label, each.tolerance, each.line) for each in found] == [
        (1230.5, "Set5 bicubic", 0.02, 5),
        (-0.25, "other way: * second", 1.0, 6),
        (5.0, "x", 2.0, 7),
    ]


def test_no_notebook_shows_the_marks(repo):
    root = repo(_01_toy=PROSE)
    authoring.build(root)
    for kind in ("lessons", "solutions"):
        text = "".join(notebook(root, f"{kind}/en/01_toy.ipynb")["cells"][2]["source"])
        assert "Bicubic gives 1,230.5 dB, others\n-0.25, and 7" in text and "<!--" not in text


@pytest.mark.parametrize(
    "mark", ["x <!-- a ±1 -->", "5<!-- a -->", "5<!-- a ±x -->", "5<!--a ±1-->", "<!-- to do -->", "5<!-- a"]
)
def test_a_comment_that_is_no_mark_is_refused(repo, mark):
    root = repo(_01_toy=HEAD + f"#\n# Text\n# {mark}\n")
    with pytest.raises(CourseError, match=r"01_toy\.py:6: .* marks no figure"):
        authoring.build(root)


LINES = ["Set5 bicubic, x3: 30.39 dB (+1,204.5), unseen −2.5 dB", "Set5 bicubic: 1", "a 1e-3"]


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("Set5 bicubic, x3", 30.39),
        ("Set5 bicubic", 3),
        ("Set5 * dB (", 1204.5),
        ("* unseen", -2.5),
        ("a", 0.001),
        ("Set5 bicubic: ", 1),
        ("Set12", None),
        ("dB (+1,204.5), unseen −2.5 dB", None),
    ],
)
def test_the_figure_is_the_first_number_behind_the_label(label, value):
    assert figures.find(label, LINES[:1] if label == "a" and value is None else LINES) == value


def test_only_what_was_printed_counts():
    v4 = nbformat.v4
    cell = v4.new_code_cell("print('a 1')")
    stream = lambda text, name="stdout": v4.new_output("stream", name=name, text=text)
    cell.outputs = [
        stream("a  1\nb 2\n"),
        stream("error 3", "stderr"),
        v4.new_output("display_data", {"text/plain": "4"}),
    ]
    assert figures.printed(v4.new_notebook(cells=[cell, v4.new_markdown_cell("5")])) == ["a 1", "b 2"]


def test_differences_name_file_line_and_both_numbers(repo):
    one = lesson(repo)
    right = {"Set5 bicubic": 1230.51, "other way: * second": 0.75, "x": 3}
    assert figures.differences(one, right) == []
    assert "01_toy.py:5" in figures.differences(one, right | {"Set5 bicubic": 1230.53})[0]
    assert "prints no such figure" in figures.differences(one, {k: right[k] for k in ("x", "other way: * second")})[0]
    assert figures.differences(one, {k: right[k] for k in ("x", "other way: * second")}, absent=["Set5"]) == []
    assert len(figures.differences(one, right | {"Set5 bicubic": 0}, absent=["Set5"])) == 1


def test_what_was_measured_is_missing_or_broken(tmp_path):
    with pytest.raises(CourseError, match="make figures"):
        figures.read_measured(tmp_path)
