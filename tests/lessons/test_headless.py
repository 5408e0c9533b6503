"""Lessons run without a screen: one, or all of them, held to what they say of themselves."""

import json
import os
import re
import sys

import pytest
from toys import HEAD, notebook

import course_utils
from course_utils import authoring, headless
from course_utils.files import CourseError

RUN = """# %% [markdown] lang="en"
# ## First part
# %%
import os
import sys

import course_utils
import matplotlib.pyplot as plt

plt.plot([1, 2])
plt.show()
print(sys.executable, course_utils.__file__, os.environ["COURSE_PROFILE"], sorted(os.listdir()))
open("litter.txt", "w").close()
"""


def test_run_writes_a_page_that_needs_no_network_and_litters_nothing(repo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fake = tmp_path / "jupyter" / "kernels" / "python3"  # another interpreter under the usual name
    fake.mkdir(parents=True)
    (fake / "kernel.json").write_text('{"argv": ["false"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    root = repo(_01_toy=HEAD + RUN)
    page = headless.run("01", root, tmp_path / "out", profile="test")
    assert page == tmp_path / "out" / "01_toy.html"
    book = notebook(tmp_path, "out/01_toy.ipynb")
    printed = "".join(line for out in book["cells"][4]["outputs"] for line in out.get("text", []))
    assert printed.split() == [sys.executable, course_utils.__file__, "test", "[]"]
    text = page.read_text(encoding="utf-8")
    assert "<title>A title</title>" in text and "data:image/png;base64," in text
    assert not re.findall(r"<script[^>]*\bsrc=|<link[^>]*\bhref=.?http|https?://[^\"' ]*(?:cdn|unpkg)[^\"' ]*", text)
    assert not list(tmp_path.rglob("litter.txt"))
    assert "01_toy: 100%" in capsys.readouterr().err


@pytest.fixture
def no_opening(monkeypatch):
    """Without the generated cells, which import torch and take seconds."""
    monkeypatch.setattr(authoring, "_opening", lambda *_: [])


def test_an_error_names_lesson_cell_heading_and_last_line(repo, tmp_path, no_opening):
    broken = RUN + '# %%\nprint("before")\nraise ValueError("first\\nlast line")\n# %%\nprint("never")\n'
    root = repo(_01_toy=HEAD + broken)
    with pytest.raises(CourseError) as caught:
        headless.run("01_toy", root, tmp_path / "out", profile="test", progress=False)
    message = str(caught.value)
    assert message.startswith("01_toy, cell 4 (under 'First part'): ValueError: last line")
    assert "01_toy.failed.html" in message and "\n" not in message
    assert sorted(os.listdir(tmp_path / "out")) == ["01_toy.failed.html", "01_toy.failed.ipynb"]
    cells = notebook(tmp_path, "out/01_toy.failed.ipynb")["cells"]
    assert cells[3]["outputs"][0]["text"] == ["before\n"] and cells[4]["outputs"] == []


def test_a_kernel_that_dies_and_a_cell_that_hangs_are_named(repo, tmp_path, monkeypatch, no_opening):
    root = repo(_01_dies=HEAD + "# %%\nimport os\n\nos._exit(1)\n", _02_hangs=HEAD + "# %%\nwhile True:\n    pass\n")
    with pytest.raises(CourseError, match=r"01_dies, cell 2 \(under 'A title'\): the kernel died"):
        headless.run("01_dies", root, tmp_path / "out", profile="test", progress=False)
    monkeypatch.setitem(headless.TIME_LIMITS, "test", 2)
    with pytest.raises(CourseError, match=r"02_hangs, cell 2 .*not done after 2 seconds"):
        headless.run("02_hangs", root, tmp_path / "out", profile="test", progress=False)


def test_run_refuses_an_unknown_lesson_or_profile(repo, tmp_path):
    root = repo(_01_toy=HEAD, _02_toy=HEAD)
    with pytest.raises(CourseError, match=r"no lesson '03'; there are: 01_toy, 02_toy"):
        headless.run("03", root, tmp_path)
    with pytest.raises(CourseError, match="several lessons '0'"):
        headless.run("0", root, tmp_path)
    with pytest.raises(CourseError, match="no profile 'fast'"):
        headless.run("01", root, tmp_path, profile="fast")


FIGURES = """# %% [markdown] lang="en"
# It prints 20.5<!-- noise ±0.1 --> dB, and -3<!-- noise: * gain ±0.1 -->.
# %%
print("noise: 20.46 dB, gain -3.00")
"""
SHORT = HEAD.replace("cpu=6", "cpu=1")


@pytest.fixture
def no_board(monkeypatch):
    """Toy lessons add nothing to the results board, which may be made without pages."""
    monkeypatch.delenv("COURSE_BOARD", raising=False)


def run_all(root, out, **options):
    return headless.run_all(root, out, progress=False, **options)


def test_all_lessons_leave_pages_a_board_and_what_was_measured(repo, tmp_path, no_opening, no_board):
    root = repo(_01_toy=SHORT + FIGURES, _02_toy=SHORT + '# %%\nimport os\n\nprint(os.environ["COURSE_BOARD"])\n')
    out = tmp_path / "out"
    table = run_all(root, out, solution=True, profile="cpu")
    assert [line.split()[0] for line in table.splitlines()] == ["lesson", "01_toy", "02_toy", "all"]
    assert {"01_toy.html", "02_toy.html", "board.html", "measured.json"} <= set(os.listdir(out))
    measured = json.loads((out / "measured.json").read_text())["lessons"]
    assert measured["01_toy"]["figures"] == {"noise": 20.46, "noise: * gain": -3.0}
    assert measured["01_toy"]["minutes"] > 0
    if sys.platform == "linux":
        assert 10 < measured["01_toy"]["memory_mib"] < 10_000
    assert str(out / "board.json") in (out / "02_toy.ipynb").read_text()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("20.46", "20.70", r"the text says 20.5 \(±0.1\) for 'noise', the run prints 20.7"),
        ("gain -3.00", "gain 3.00", r"says -3 .* prints 3"),
        ("noise:", "sound:", "prints no such figure"),
    ],
)
def test_a_figure_that_is_not_the_one_of_the_text_is_named(repo, tmp_path, no_opening, no_board, old, new, sentence):
    root = repo(_01_toy=SHORT + FIGURES.replace(old, new))
    with pytest.raises(CourseError, match=r"01_toy\.py:5: .*" + sentence):
        run_all(root, tmp_path, solution=True, profile="cpu")
    run_all(root, tmp_path, profile="cpu")  # a student's copy trains other networks
    run_all(root, tmp_path, solution=True, profile="test")


def test_a_lesson_that_takes_too_long_is_named(repo, tmp_path, no_opening, no_board, monkeypatch):
    slow = "# %%\nimport time\n\ntime.sleep(1)\n"
    root = repo(_01_toy=HEAD.replace("cpu=6", "cpu=0.01") + slow)
    with pytest.raises(CourseError, match=r"01_toy\.py:1: it took .* minutes, and says 0\.01"):
        run_all(root, tmp_path, solution=True, profile="cpu")
    monkeypatch.setattr(headless, "LONGEST", 0.01)
    with pytest.raises(CourseError, match="no lesson may take more than 0.01 under cpu"):
        run_all(repo(_01_toy=SHORT + slow), tmp_path, solution=True, profile="cpu")


def test_one_lesson_that_fails_does_not_keep_the_others_from_running(repo, tmp_path, no_opening, no_board):
    root = repo(_01_toy=SHORT + "# %%\n1 / 0\n", _02_toy=SHORT + FIGURES)
    with pytest.raises(CourseError, match="01_toy, cell 2 .*ZeroDivisionError"):
        run_all(root, tmp_path, profile="test")
    assert (tmp_path / "02_toy.html").exists() and (tmp_path / "01_toy.failed.html").exists()


def test_the_board_of_an_earlier_run_is_gone(repo, tmp_path, no_opening, no_board):
    (tmp_path / "board.json").write_text("[]")
    run_all(repo(_01_toy=SHORT), tmp_path, profile="test")
    assert not (tmp_path / "board.json").exists()


def test_some_lessons_alone_take_over_what_was_measured_of_the_others(repo, tmp_path, no_opening, no_board):
    root = repo(_01_toy=SHORT + FIGURES, _02_toy=SHORT + "# %%\n1 / 0\n", _03_toy=SHORT)
    former = {name: {"minutes": 9.0, "memory_mib": 1, "figures": {}} for name in ("01_toy", "02_toy", "00_gone")}
    (root / "lessons" / "measured.json").write_text(json.dumps({"machine": "x", "lessons": former}))
    out = tmp_path / "out"
    out.mkdir()
    (out / "board.json").write_text("[]")
    run_all(root, out, names=["03", "01_toy"], solution=True, profile="cpu")
    measured = json.loads((out / "measured.json").read_text())["lessons"]
    assert list(measured) == ["01_toy", "02_toy", "03_toy"]
    assert measured["02_toy"] == former["02_toy"] and measured["01_toy"]["figures"]["noise"] == 20.46
    assert not (out / "02_toy.html").exists() and (out / "board.json").exists()
    with pytest.raises(CourseError, match="02_toy, cell 2"):
        run_all(root, out, names=["02"], solution=True, profile="cpu")
    assert json.loads((out / "measured.json").read_text())["lessons"]["02_toy"] == former["02_toy"]
    with pytest.raises(CourseError, match="no lesson '04'"):
        run_all(root, out, names=["04"])
