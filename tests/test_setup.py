"""The ways to set the course up stay in step: pyproject.toml, constraints, environment.yml, Makefile, README, CI."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COLAB = ROOT.parent / "shared" / "colab" / "versions.txt"


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def pins(text):
    """Canonical name -> the requirements that pin it (several where they differ by Python version)."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def version(requirement):
    (pin,) = requirement.specifier
    assert pin.operator == "==", requirement
    return pin.version


def requirements(extra=None):
    """The direct requirements of the core or of an extra, without those on course-utils itself."""
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return [one for one in map(Requirement, lines) if one.name != "course-utils"]


@pytest.mark.parametrize("name", ["torch==2.11.0", "torchvision==0.26.0"])
def test_the_local_versions_of_torch_are_those_of_colab(name):
    assert name in read("constraints/local.txt").splitlines()
    assert name in read("constraints/colab.txt").splitlines()


def test_local_pins_lie_in_the_ranges():
    pinned = pins(read("constraints/local.txt"))
    for wanted in [
        *requirements(),
        *(r for extra in PROJECT["project"]["optional-dependencies"] for r in requirements(extra)),
    ]:
        for pin in pinned[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(version(pin)), f"{pin} is not {wanted}"


def test_colab_satisfies_the_ranges_of_the_kit_and_of_running_lessons():
    pinned = pins(read("constraints/colab.txt"))
    for wanted in [*requirements(), *requirements("author"), *requirements("live")]:
        for pin in pinned[canonicalize_name(wanted.name)]:
            assert wanted.specifier.contains(version(pin)), f"Colab has {pin}, which is not {wanted}"


def test_colab_pins_are_what_colab_has():
    if not COLAB.exists():
        pytest.skip(f"no list of Colab's packages at {COLAB.relative_to(ROOT.parent)}")
    lines = [line for line in COLAB.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    there = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    ours, _, other = read("constraints/colab.txt").partition("\n# Not on Colab")
    for name, (pin,) in pins(ours).items():
        assert there.get(name) == version(pin), f"{pin}; Colab has {there.get(name)}"
    for name, wanted in pins("#" + other).items():
        old_python = all(pin.marker and not pin.marker.evaluate({"python_full_version": "3.13.0"}) for pin in wanted)
        assert name not in there or old_python, f"{name} is on Colab: {there[name]}"


def test_conda_sets_up_what_make_does():
    yaml = pytest.importorskip("yaml")
    wanted = yaml.safe_load(read("environment.yml"))["dependencies"]
    (python,) = [one for one in wanted if isinstance(one, str) and one.startswith("python")]
    declared = PROJECT["project"]["requires-python"]
    assert python.removeprefix("python").startswith(declared), f"environment.yml: {python}; pyproject.toml: {declared}"
    assert any(SpecifierSet(python.removeprefix("python")).contains(one) for one in ("3.11", "3.13"))
    assert "pip" in wanted
    (pip,) = [one["pip"] for one in wanted if isinstance(one, dict)]
    make = re.search(r"--constraint (\S+) --editable '(\S+)'", read("Makefile"))
    assert pip == [f"--constraint {make[1]}", f"--editable {make[2]}"]
    assert (ROOT / make[1]).exists()
    extras = re.search(r"\[(.+)\]", make[2])[1].split(",")
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])


def test_the_makefile_asks_for_the_same_python():
    lowest = re.search(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"]).groups()
    assert f"sys.version_info < ({lowest[0]}, {lowest[1]})" in read("Makefile")
    assert re.search(rf"\b{lowest[0]}\.{lowest[1]}\b", read("README.md")), "README names the lowest Python"


@pytest.mark.parametrize("command", ["demo", "test", "lab"])
def test_the_commands_of_the_readme_exist(command):
    assert f"make {command}" in read("README.md")
    assert set(re.findall(r"^[`$ ]*make ([a-z-]+)", code(read("README.md")), re.MULTILINE)) <= targets()


def code(text):
    """The code of a Markdown text: fenced blocks and `spans`."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


def targets():
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def test_every_target_is_explained_and_phony():
    explained = set(re.findall(r'echo "make ([a-z-]+) ', read("Makefile")))
    phony = set(re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)[1].split())
    assert explained <= targets() and phony <= targets()
    assert targets() - explained <= {"help", "setup", "clean"}


def test_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"^\s*(?:exec |nice )*(make [^#\n]*)", read(".ci/run"), re.MULTILINE)
    run = {word for line in commands for word in line.split()}
    assert "test" in run and "make test" in code(read("README.md"))


def test_badges_of_the_readme_open_notebooks_that_exist():
    settings = PROJECT["tool"]["course"]
    place = settings["repository"].removeprefix("https://github.com/") + f"/blob/{settings['branch']}/"
    links = re.findall(r"colab\.research\.google\.com/github/([^)\s\"]+)", read("README.md"))
    assert links, "README has no badge"
    for link in links:
        assert link.startswith(place), f"{link}: [tool.course] says {place}"
        assert (ROOT / link.removeprefix(place)).is_file(), f"{link} leads nowhere"


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)\s#]+)", read("README.md"))
    missing = [link for link in links if ":" not in link and not (ROOT / link).exists()]
    assert not missing


def test_importing_the_kit_imports_nothing_heavy():
    heavy = ("torch", "torchvision", "numpy", "PIL", "cv2", "matplotlib", "IPython", "ipywidgets")
    code = f"import sys, course_utils; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def tracked():
    """Every file that git tracks and that is still there."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for path in (ROOT / name for name in done.stdout.decode().split("\0") if name) if path.is_file()]


def test_no_file_is_larger_than_a_megabyte(tracked):
    assert not [str(path) for path in tracked if path.stat().st_size > 1_000_000]


ABSOLUTE = re.compile(r"(?<![\w.~/-])/(?:work|root|home/\w+|Users/\w+)/\w")


def test_no_absolute_paths(tracked):
    kinds = {".py", ".md", ".toml", ".yml", ".txt", ".ipynb", ".js", ".css", ".html", ".json", ""}
    found = []
    for path in tracked:
        if path.suffix in kinds and path.name not in ("test_authoring.py", "LICENSE"):  # one tests the rule
            found += [f"{path.name}: {match}" for match in ABSOLUTE.findall(path.read_text(encoding="utf-8"))]
    assert not found
    assert ABSOLUTE.search('open("/home/' + 'me/data")')


def test_no_notebook_has_outputs(tracked):
    for path in tracked:
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path


def test_the_wheel_is_pure_python():
    assert PROJECT["build-system"]["build-backend"] == "flit_core.buildapi"  # builds nothing else
    assert not [*(ROOT / "course_utils").rglob("*.so"), *(ROOT / "course_utils").rglob("*.pyd")]
