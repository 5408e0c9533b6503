"""Building notebooks from sources: what they look like, and each rule that a source must keep."""

import json
import os
import subprocess
import sys

import pytest
from toys import ANSWERS, HEAD, SETTINGS, notebook

from course_utils import authoring
from course_utils.files import CourseError

HALF = '# %% exercise="half" answer="answers_of_tests:half"\n'
SKELETON = 'def half(x, by=2):\n    """Half of x."""\n    raise NotImplementedError\n'
NET = '# %% exercise="net" answer="answers_of_tests:Net"\nclass Net:\n    """A net."""\n'
INIT = "    def __init__(self, depth=17):\n        raise NotImplementedError\n"
FORWARD = "    def forward(self, x):\n        pass\n"
LENGTH = "    def __len__(self):\n        pass\n"


def sources(book):
    return ["".join(cell["source"]) for cell in book["cells"]]


def refusal(root):
    with pytest.raises(CourseError) as caught:
        authoring.build(root)
    return str(caught.value)


def test_builds_a_valid_notebook_that_colab_and_jupyterlab_open(repo):
    import nbformat

    root = repo(_01_toy=HEAD + "# %%\nx = 1\n# a comment\n\n" + HALF + SKELETON)
    changed = authoring.build(root)
    assert [str(path.relative_to(root)) for path in changed] == ["lessons/en/01_toy.ipynb", "solutions/en/01_toy.ipynb"]
    nbformat.validate(nbformat.read(changed[0], as_version=4))
    text = changed[0].read_text()
    book = json.loads(text)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    assert book["metadata"]["language_info"]["name"] == "python"
    assert text.endswith("}\n") and not text.endswith("\n\n")
    assert json.dumps(book, sort_keys=True, indent=1, ensure_ascii=False) + "\n" == text
    for cell in book["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None
    assert sources(book)[2:4] == ["# A title", "x = 1\n# a comment"]


def test_the_first_two_cells_come_from_the_settings(repo):
    from course_utils import __version__

    root = repo(_05_dncnn=HEAD)
    authoring.build(root)
    badge, setup = sources(notebook(root, "lessons/en/05_dncnn.ipynb"))[:2]
    assert badge.startswith("[![Open in Colab](")
    assert "(https://colab.research.google.com/github/someone/course/blob/main/lessons/en/05_dncnn.ipynb)" in badge
    wheel = f"releases/download/v{__version__}/course_utils-{__version__}-py3-none-any.whl"
    assert f"%pip install -q --no-deps https://github.com/someone/course/{wheel}" in setup
    assert 'cu.setup("05_dncnn", minutes={"test": 0.5, "cpu": 6, "gpu": 15})' in setup
    solution = sources(notebook(root, "solutions/en/05_dncnn.ipynb"))[0]
    assert "/blob/main/solutions/en/05_dncnn.ipynb" in solution
    assert "(../../lessons/en/05_dncnn.ipynb)" in solution


@pytest.mark.parametrize("settings", ["", SETTINGS.replace("github.com", "example.org"), "[tool.course"])
def test_settings_that_colab_cannot_open_are_refused(repo, settings):
    root = repo(_01_toy=HEAD)
    (root / "pyproject.toml").write_text(settings)
    assert "pyproject.toml" in refusal(root)


def test_the_setup_cell_runs_where_the_kit_is_there(repo, capsys):
    from IPython.core.inputtransformer2 import TransformerManager

    root = repo(_01_toy=HEAD)
    authoring.build(root)
    code = TransformerManager().transform_cell(sources(notebook(root, "lessons/en/01_toy.ipynb"))[1])
    space = {}
    exec(compile(code, "setup", "exec"), space)
    assert space["profile"].name in ("test", "cpu", "gpu")
    assert capsys.readouterr().out.startswith("01_toy: course_utils ")


def test_the_solution_shows_the_reference_and_the_student_does_not(repo):
    skeleton = SKELETON.replace("by=2", "by: int = 2")  # annotations may differ
    root = repo(_01_toy=HEAD + HALF + "# Your turn.\n" + skeleton)
    authoring.build(root)
    student, solution = (notebook(root, f"{kind}/en/01_toy.ipynb") for kind in ("lessons", "solutions"))
    assert sources(student)[-1] == "# Your turn.\n" + skeleton.rstrip()
    assert "quotient" not in json.dumps(student)
    assert sources(solution)[-1] == ANSWERS[ANSWERS.index("def half") : ANSWERS.index("\n\nclass")].rstrip()
    assert [cell["id"] for cell in (student["cells"][-1], solution["cells"][-1])] == ["exercise-half"] * 2
    assert student["cells"][-1]["metadata"] == {"course": {"exercise": "half"}}


def test_cells_for_one_of_the_two_notebooks(repo):
    root = repo(_01_toy=HEAD + '# %% only="student"\na = 1\n# %% only="solution"\nb = 2\n# %%\nc = 3\n')
    authoring.build(root)
    assert sources(notebook(root, "lessons/en/01_toy.ipynb"))[3:] == ["a = 1", "c = 3"]
    assert sources(notebook(root, "solutions/en/01_toy.ipynb"))[3:] == ["b = 2", "c = 3"]


def test_a_second_language_shares_the_code_and_drops_the_other_prose(repo):
    root = repo(_01_toy=HEAD + '# %% [markdown] lang="ko"\n# # 제목\n# %%\nx = 1\n')
    authoring.build(root)
    assert sources(notebook(root, "lessons/en/01_toy.ipynb"))[2:] == ["# A title", "x = 1"]
    assert sources(notebook(root, "lessons/ko/01_toy.ipynb"))[2:] == ["# 제목", "x = 1"]
    assert "제목" in (root / "solutions/ko/01_toy.ipynb").read_text(encoding="utf-8")


def test_ids_are_unique_and_do_not_shift_when_a_cell_is_inserted(repo):
    ids = lambda root: [cell["id"] for cell in notebook(root, "lessons/en/01_toy.ipynb")["cells"]]
    root = repo(_01_toy=HEAD + "# %%\nx = 1\n# %%\ny = 2\n# %%\nx = 1\n" + HALF + SKELETON)
    authoring.build(root)
    before = ids(root)
    authoring.build(repo(_01_toy=HEAD + "# %%\nnew = 0\n# %%\nx = 1\n# %%\ny = 2\n# %%\nx = 1\n" + HALF + SKELETON))
    after = ids(root)
    assert len(set(after)) == len(after)
    assert [one for one in after if one in before] == before and len(after) == len(before) + 1


def test_building_twice_changes_nothing_even_in_another_process(repo):
    root = repo(_01_toy=HEAD + "# %%\nx = 1\n", _02_toy=HEAD)
    first = {path: path.read_bytes() for path in authoring.build(root)}
    assert len(first) == 4 and authoring.build(root) == []
    for path in first:
        path.unlink()
    code = f"from course_utils import authoring; authoring.build({str(root)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert {path: path.read_bytes() for path in first} == first


def test_check_writes_nothing_and_names_what_is_stale(repo):
    root = repo(_01_toy=HEAD, _02_toy=HEAD)
    with pytest.raises(CourseError, match=r"lessons/en/01_toy\.ipynb.*make lessons"):
        authoring.build(root, check=True)
    assert not (root / "lessons" / "en").exists()
    authoring.build(root)
    assert authoring.build(root, check=True) == []
    repo(_02_toy=HEAD + "# %%\nx = 1\n")
    with pytest.raises(CourseError, match="02_toy") as caught:
        authoring.build(root, check=True)
    assert "01_toy" not in str(caught.value)


def test_notebooks_whose_source_is_gone_are_removed_and_others_are_not(repo):
    root = repo(_01_toy=HEAD, _02_toy=HEAD)
    authoring.build(root)
    (root / "lessons" / "source" / "02_toy.py").unlink()
    own = root / "lessons" / "en" / "my_notes.ipynb"
    own.write_text('{"cells": []}')
    with pytest.raises(CourseError, match=r"solutions/en/02_toy\.ipynb"):
        authoring.build(root, check=True)
    assert len(authoring.build(root)) == 2
    assert (
        own.exists() and not (root / "lessons/en/02_toy.ipynb").exists() and (root / "lessons/en/01_toy.ipynb").exists()
    )


MARKDOWN = '# %% [markdown] lang="en"\n# '
BROKEN = {  # name: (text after the three lines of HEAD, line of the complaint, part of it)
    "prose without a language": ("# %% [markdown]\n# text\n", 5, "names its language"),
    "unknown language": ('# %% [markdown] lang="de"\n# Text\n', 5, "names its language"),
    "unknown option": ('# %% tags=["a"]\nx = 1\n', 5, "unknown option tags"),
    "a title in the marker": ("# %% My cell\nx = 1\n", 5, "unknown option title"),
    "an option without quotes": ("# %% only=student\nx = 1\n", 5, "unknown option"),
    "unknown audience": ('# %% only="teacher"\nx = 1\n', 5, "only='teacher'"),
    "language on code": ('# %% lang="en"\nx = 1\n', 5, "unknown option lang"),
    "raw cell": ("# %% [raw]\n# text\n", 5, "raw cell"),
    "13 lines": ("# %%\n" + "x = 1\n" * 13, 5, "13 lines of code"),
    "autoreload": ("# %%\nx = 1\n%autoreload 2\n", 6, "autoreload"),
    "bare except": ("# %%\ntry:\n    x = 1\nexcept:\n    pass\n", 7, "bare except"),
    "shell redirect": ("# %%\n!pip install timm>=1\n", 5, "redirect"),
    "shell redirect in prose": (MARKDOWN + "Run `pip install timm>=1.0`.\n", 5, "redirect"),
    "path on Colab": ('# %%\nfolder = "/content/data"\n', 5, "absolute path"),
    "home folder": ('# %%\nfolder = "/home/me/data"\n', 5, "absolute path"),
    "path in prose": (MARKDOWN + "Look in /home/me.\n", 5, "absolute path"),
    "path on Windows": ('# %%\nfolder = r"C:\\data"\n', 5, "absolute path"),
    "no alt text": (MARKDOWN + "![](https://example.org/x.png)\n", 5, "alt text"),
    "no alt text in html": (MARKDOWN + 'So\n# <img src="https://example.org/x.png">\n', 6, "alt text"),
    "empty alt text in html": (MARKDOWN + '<img src="https://example.org/x.png" alt="">\n', 5, "alt text"),
    "dead link": (MARKDOWN + "[there](../../nowhere.md)\n", 5, "nowhere.md leads nowhere"),
    "link to a lesson that is not there": (MARKDOWN + "[next](02_next.ipynb)\n", 5, "leads nowhere"),
    "link out of the repository": (MARKDOWN + "[up](../../../path/answers_of_tests.py)\n", 5, "leads nowhere"),
    "not Python": ("# %%\nx = 1\ny = = 2\n", 6, "does not parse"),
    "skeleton that does not parse": (HALF + "def half(x, by=2):\n    # your code\n", 6, "does not parse"),
    "skeleton without NotImplementedError": (
        HALF + SKELETON.replace("raise NotImplementedError", "pass"),
        5,
        "raise Not",
    ),
    "skeleton of something else": (HALF + SKELETON.replace("def half", "def third"), 5, "defines no half"),
    "more than the skeleton": (HALF + "import math\n" + SKELETON, 5, "cell of its own"),
    "other argument": (HALF + SKELETON.replace("x, by", "y, by"), 5, "half(y, by=2), the reference half(x, by=2)"),
    "other default": (HALF + SKELETON.replace("by=2", "by=3"), 5, "half(x, by=3), the reference half(x, by=2)"),
    "other docstring": (
        HALF + SKELETON.replace("Half of", "A half of"),
        5,
        "'A half of x.', the reference 'Half of x.'",
    ),
    "function for a class": (
        HALF.replace(":half", ":Net") + "def Net():\n    raise NotImplementedError\n",
        5,
        "a function",
    ),
    "no __init__": (
        NET + "    def forward(self, x):\n        raise NotImplementedError\n",
        5,
        "Net.__init__(self, depth=17)",
    ),
    "no forward": (NET + INIT + LENGTH, 5, "Net.forward(self, x) is missing"),
    "no __len__": (NET + INIT + FORWARD, 5, "Net.__len__(self) is missing"),
    "other method": (
        NET + INIT.replace("17", "9") + FORWARD + LENGTH,
        7,
        "Net.__init__(self, depth=9), the reference Net.__init__(self, depth=17)",
    ),
    "method too many": (
        NET + INIT + FORWARD + LENGTH + LENGTH.replace("__len__", "extra"),
        13,
        "no Net.extra",
    ),
    "no such answer": (HALF.replace(":half", ":quarter") + SKELETON, 5, "cannot be found"),
    "no such module": (HALF.replace("answers_of", "nothing_of") + SKELETON, 5, "cannot be found"),
    "a constant as answer": (HALF.replace(":half", ":constant") + "constant = 1\n", 5, "cannot be found"),
    "exercise without answer": ('# %% exercise="half"\n' + SKELETON, 5, "needs both"),
    "exercise for one side": (HALF.replace("\n", ' only="student"\n') + SKELETON, 5, "drop only"),
    "exercise with an odd name": (HALF.replace('"half"', '"A half"') + SKELETON, 5, "exercise='A half'"),
    "the same exercise twice": (HALF + SKELETON + HALF + SKELETON, 9, "a second exercise 'half'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named_with_file_and_line(repo, name):
    text, line, part = BROKEN[name]
    root = repo(_01_toy=HEAD + text)
    found = [one for one in refusal(root).splitlines() if f"01_toy.py:{line}: " in one and part in one]
    assert found, refusal(root)
    assert not (root / "lessons" / "en").exists()


FINE = {
    "12 lines and comments": "# %%\n" + "x = 1\n\n# comment\n" * 12,
    "a long exercise": HALF + SKELETON.replace("    raise", "    x = 1\n" * 20 + "    raise"),
    "quoted install": "# %%\n%pip install 'timm>=1'\n",
    "named exception": "# %%\ntry:\n    x = 1\nexcept ValueError:\n    pass\n",
    "address with a folder": MARKDOWN + "<https://example.org/home/me> and ~/data\n",
    "a percent sign, a newline": '# %%\nx = (7\n% 3)\nprint(f"PSNR:\\n{x}")\n',
    "images with alt text": MARKDOWN
    + '![a cat](https://example.org/x.png) <img alt="a dog" src="https://example.org/y">\n',
    "links": MARKDOWN
    + "[a](../../pyproject.toml) [b](01_toy.ipynb) [c](#part) [d](mailto:a@b.c) [e](../source/01_toy.py)\n",
    "a class": NET + INIT + "\n" + FORWARD + LENGTH,
}


@pytest.mark.parametrize("name", FINE)
def test_what_keeps_the_rules_is_built(repo, name):
    assert len(authoring.build(repo(_01_toy=HEAD + FINE[name]))) == 2


def test_comments_that_look_like_commands_stay_comments(repo):
    root = repo(_01_toy=HEAD + "# %%\n# copy the weights\n# %time is short\nx = 1\n")
    authoring.build(root)
    assert sources(notebook(root, "lessons/en/01_toy.ipynb"))[3] == "# copy the weights\n# %time is short\nx = 1"


def test_all_broken_rules_of_a_lesson_are_named_at_once(repo):
    text = refusal(repo(_01_toy=HEAD + "# %%\n" + "x = 1\n" * 13 + "# %% [markdown]\n# text\n"))
    assert [line.split(": ")[0].rpartition(":")[2] for line in text.splitlines()] == ["5", "19"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (HEAD.replace("# minutes: test=0.5 cpu=6 gpu=15\n", ""), "how long"),
        (HEAD.replace(" cpu=6", ""), "how long"),
        (HEAD.replace("gpu=15", "tpu=15"), "how long"),
        (HEAD.replace("15", "long"), "numbers"),
        (HEAD.replace("# # A", "# A"), "no title"),
        ("x = 1\n", "no cell"),
        (HEAD + '# %%\nx = """\n# %% not a cell\n"""\n', "inside a string"),
    ],
)
def test_a_source_without_its_frame_is_refused(repo, text, part):
    message = refusal(repo(_01_toy=text))
    assert part in message and "01_toy.py" in message


def test_a_source_with_an_odd_name_is_refused(repo):
    assert "rename" in refusal(repo(draft=HEAD))


def test_lists_lessons_in_order(repo):
    root = repo(_02_b=HEAD.replace("A title", "Second"), _01_a=HEAD)
    found = authoring.list_lessons(root)
    assert [(one.name, one.title) for one in found] == [("01_a", "A title"), ("02_b", "Second")]
    assert found[0].minutes == {"test": 0.5, "cpu": 6, "gpu": 15}


def test_finds_the_root_from_below_and_says_so_when_there_is_none(repo, tmp_path, monkeypatch):
    root = repo(_01_toy=HEAD)
    assert authoring.find_root(root / "lessons" / "source") == root
    monkeypatch.chdir(root / "lessons")
    assert authoring.find_root() == root
    with pytest.raises(CourseError, match="clone"):
        authoring.find_root(tmp_path / "path")


def test_a_missing_extra_is_named(repo, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    assert "pip install 'course-utils[author]'" in refusal(repo(_01_toy=HEAD))


def test_the_example_in_the_documentation_is_a_lesson(repo):
    example = authoring.__doc__.split("format:")[1].split("    # minutes")[1].split("\n\nAbove")[0]
    lines = ["# minutes" + example.splitlines()[0], *(line.removeprefix("    ") for line in example.splitlines()[1:])]
    root = repo(_01_toy="\n".join(lines).replace("course_utils.models.dncnn", "answers_of_tests"))
    assert [cell.options.get("exercise") for cell in authoring.list_lessons(root)[0].cells] == [
        None,
        None,
        "dncnn",
        None,
    ]
