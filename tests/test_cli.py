"""The `course` command as people type it: what works, and one clear line for everything that does not."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import cli
from course_utils.checkpoints import save_model
from course_utils.data.pages import make_pages
from course_utils.images import read_image
from course_utils.models import DnCNN

TRAIN = [
    "train",
    "--depth",
    "3",
    "--width",
    "4",
    "--patch",
    "16",
    "--batch-size",
    "2",
    "--steps",
    "2",
    "--validate-every",
    "1",
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return make_pages(tmp_path_factory.mktemp("pages"), train=2, valid=1, test=1, size=256, progress=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "best.safetensors"
    save_model(path, DnCNN(depth=3, width=4))
    return path


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Each test in an empty folder, with its own data folder and the test profile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COURSE_PROFILE", "test")
    monkeypatch.delenv("COURSE_MIRROR", raising=False)


def course(*arguments):
    try:
        return cli.main([str(a) for a in arguments])
    except SystemExit as stop:  # argparse leaves this way
        return stop.code


def image(path, height=32, width=32, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def pairs(folder, count=3, **size):
    for i in range(count):
        for kind in ("clean", "scan"):
            image(folder / kind / f"{i}.png", seed=i, **size)
    return folder


# What works


def test_train_then_restore(pages, tmp_path, capsys):
    assert course(*TRAIN, "--data", pages, "--out", "run") == 0
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        "best.safetensors",
        "last.safetensors",
        "history.json",
    }
    photo = image(tmp_path / "photo.jpg", 70, 50)
    assert course("restore", photo, "--model", "run/best.safetensors", "--out", "restored", "--tile", "32") == 0
    assert read_image(tmp_path / "restored" / "photo.png").shape == (70, 50, 3)
    assert "restored/photo.png" in capsys.readouterr().out


def test_train_on_a_folder_of_ones_own(tmp_path, capsys):
    assert course(*TRAIN, "--data", pairs(tmp_path / "mine"), "--out", "run") == 0
    assert "best:" in capsys.readouterr().out


def test_train_again_goes_on(pages, capsys):
    assert course(*TRAIN, "--data", pages, "--out", "run") == 0
    assert course(*TRAIN, "--data", pages, "--out", "run") == 0
    assert course(*TRAIN, "--data", pages, "--out", "run", "--restart", "--seed", "1") == 0


def test_data(tmp_path, capsys):
    assert course("data", "list") == 0
    listed = capsys.readouterr().out
    assert "pages" in listed and "descan" in listed and str(tmp_path / "home") in listed
    assert course("data", "make", "made", "--train", "1", "--valid", "1", "--test", "1", "--size", "256") == 0
    assert course("data", "fetch", "made/train") == 0


def test_demo_ends_with_the_figures_and_a_page(tmp_path, capsys):
    assert course("demo", "--out", "demo") == 0
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("descanning, known scanner: ") and " -> " in last and last.endswith(")")
    before, after = (float(word) for word in last.replace(" dB", "").split(": ")[1].split(" (")[0].split(" -> "))
    assert (
        f"({after - before:+.2f})" in last
        or f"({after - before + 0.01:+.2f})" in last
        or f"({after - before - 0.01:+.2f})" in last
    )
    page = re.sub(r"(?s)<script>.*?</script>", "", (tmp_path / "demo" / "index.html").read_text())
    assert page.count("<img") == page.count('alt="') >= 7
    assert not re.findall(r"(?:src|href)=.(?!data:)", page)  # one file, without a network


def test_doctor(capsys):
    assert course("doctor") in (0, 1)
    assert "torch" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [[], ["data"], ["train"], ["restore"], ["lessons"], ["lessons", "run"], ["demo"], ["doctor"], ["bench"]]
)
def test_help(command, capsys):
    assert course(*command, "--help") == 0
    assert "usage: course" in capsys.readouterr().out


def test_examples_in_the_help():
    for command in ([], ["train"], ["restore"], ["data", "fetch"], ["data", "make"], ["bench"]):
        done = subprocess.run(
            [sys.executable, "-m", "course_utils", *command, "--help"], capture_output=True, text=True
        )
        assert "example" in done.stdout


# What does not: one line on stderr, exit code 2, and nothing left behind


def missing_partner(tmp_path, pages, checkpoint):
    (pairs(tmp_path / "mine") / "scan" / "1.png").unlink()
    return [*TRAIN, "--data", "mine", "--out", "run"], "clean/1.png has no partner"


def other_size(tmp_path, pages, checkpoint):
    image(pairs(tmp_path / "mine") / "scan" / "1.png", 32, 40)
    return [*TRAIN, "--data", "mine", "--out", "run"], "scan/1.png is 40x32 but"


def truncated_image(tmp_path, pages, checkpoint):
    path = pairs(tmp_path / "mine", height=64, width=64) / "scan" / "1.png"
    path.write_bytes(path.read_bytes()[:3000])
    return [*TRAIN, "--data", "mine", "--out", "run"], "scan/1.png: cannot be read"


def text_as_image(tmp_path, pages, checkpoint):
    (pairs(tmp_path / "mine") / "clean" / "1.png").write_text("not an image")
    return [*TRAIN, "--data", "mine", "--out", "run"], "clean/1.png: cannot be read"


def one_pair(tmp_path, pages, checkpoint):
    return [*TRAIN, "--data", pairs(tmp_path / "mine", 1), "--out", "run"], "1 pair cannot be parted"


def no_images(tmp_path, pages, checkpoint):
    for kind in ("clean", "scan"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    return [*TRAIN, "--data", "mine", "--out", "run"], "holds no images"


def large_patch(tmp_path, pages, checkpoint):
    return ["train", "--patch", "64", "--data", pairs(tmp_path / "mine"), "--out", "run"], "no patch of 64x64"


def other_settings(tmp_path, pages, checkpoint):
    assert course(*TRAIN, "--data", pages, "--out", "run") == 0
    return [*TRAIN, "--lr", "0.5", "--data", pages, "--out", "run"], "trained with lr=0.003, now it is 0.5"


def file_as_out(tmp_path, pages, checkpoint):
    (tmp_path / "run").write_text("")
    return [*TRAIN, "--data", pages, "--out", "run"], "run is a file, not a folder"


def no_network(tmp_path, pages, checkpoint):
    image(tmp_path / "a.png")
    return ["restore", "a.png", "--model", "nowhere.safetensors", "--out", "out"], "nowhere.safetensors"


def cut_network(tmp_path, pages, checkpoint):
    image(tmp_path / "a.png")
    (tmp_path / "cut.safetensors").write_bytes(checkpoint.read_bytes()[:500])
    return ["restore", "a.png", "--model", "cut.safetensors", "--out", "out"], "cut.safetensors"


def image_as_network(tmp_path, pages, checkpoint):
    image(tmp_path / "a.png")
    return ["restore", "a.png", "--model", "a.png", "--out", "out"], "a.png"


def missing_image(tmp_path, pages, checkpoint):
    return ["restore", "a.png", "--model", checkpoint, "--out", "out"], "a.png: no such image file"


def folder_as_image(tmp_path, pages, checkpoint):
    (tmp_path / "a").mkdir()
    return ["restore", "a", "--model", checkpoint, "--out", "out"], "a is a folder"


def over_itself(tmp_path, pages, checkpoint):
    image(tmp_path / "a.png")
    return ["restore", "a.png", "--model", checkpoint, "--out", "."], "would be overwritten"


def two_of_a_name(tmp_path, pages, checkpoint):
    one, other = image(tmp_path / "x" / "a.png"), image(tmp_path / "y" / "a.png")
    return ["restore", one, other, "--model", checkpoint, "--out", "out"], "another image would be written"


def other_pages(tmp_path, pages, checkpoint):
    return ["data", "make", pages, "--train", "3", "--size", "256"], "holds pages made with"


def outside_a_clone(tmp_path, pages, checkpoint):
    return ["lessons", "list"], "not in a clone of the course"


def bench_outside_a_clone(tmp_path, pages, checkpoint):
    return ["bench"], "not in a clone of the course"


def no_such_benchmark(tmp_path, pages, checkpoint):
    return ["bench", "speed"], "'speed' is none of data, training, restoring, quality"


def steps_and_seconds(tmp_path, pages, checkpoint):
    return [*TRAIN, "--data", pages, "--out", "run", "--seconds", "5"], "give one of them"


CASES = [
    missing_partner,
    other_size,
    truncated_image,
    text_as_image,
    one_pair,
    no_images,
    large_patch,
    other_settings,
    file_as_out,
    no_network,
    cut_network,
    image_as_network,
    missing_image,
    folder_as_image,
    over_itself,
    two_of_a_name,
    other_pages,
    outside_a_clone,
    bench_outside_a_clone,
    no_such_benchmark,
    steps_and_seconds,
]
ARGUMENTS = [
    (["train", "--data", "nowhere", "--out", "run"], "nowhere: no such data set"),
    (["data", "fetch", "desacn"], "desacn: no such data set; it is pages, descan"),
    (["train", "--steps", "0", "--out", "run"], "--steps: 0 is below 1"),
    (["train", "--batch-size", "-4", "--out", "run"], "--batch-size: -4 is below 1"),
    (["train", "--batch-size", "many", "--out", "run"], "--batch-size: invalid whole_number value: 'many'"),
    (["train", "--lr", "0", "--data", "PAGES", "--out", "run"], "--lr: 0.0 is not above 0"),
    (["train", "--lr", "nan", "--data", "PAGES", "--out", "run"], "--lr: nan is not above 0"),
    (["train", "--depth", "2", "--data", "PAGES", "--out", "run"], "depth=2 is below 3"),
    (["train", "--precision", "int8", "--out", "run"], "invalid choice: 'int8'"),
    (["train", "--data", "pages"], "--out"),
    (["restore", "a.png", "--tile", "0", "--model", "m", "--out", "out"], "--tile: 0 is below 1"),
    (["data", "make", "small", "--size", "100"], "--size: 100 is below 256"),
    (["lesson"], "invalid choice: 'lesson'"),
]


def snapshot(folder):
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if "home" not in p.parts}


def says_one_line(arguments, expected, tmp_path, capsys):
    before = snapshot(tmp_path)
    capsys.readouterr()
    assert course(*arguments) == 2
    printed = capsys.readouterr().err.replace("\r", "\n").splitlines()
    lines = [line for line in printed if line.strip() and "%|" not in line]  # progress bars apart
    assert len(lines) == 1 and expected in lines[0] and "Traceback" not in lines[0], lines
    left = {name for name, size in snapshot(tmp_path).items() if before.get(name) != size}
    assert not left, f"left behind: {left}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_bad_input_gets_one_clear_line(case, tmp_path, pages, checkpoint, capsys):
    arguments, expected = case(tmp_path, pages, checkpoint)
    says_one_line(arguments, expected, tmp_path, capsys)


@pytest.mark.parametrize("arguments, expected", ARGUMENTS, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_arguments_get_one_clear_line(arguments, expected, tmp_path, pages, capsys):
    says_one_line([pages if a == "PAGES" else a for a in arguments], expected, tmp_path, capsys)


def test_an_unknown_profile_is_named(tmp_path, pages, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", "fast")
    says_one_line(["train", "--data", pages, "--out", "run"], "COURSE_PROFILE is 'fast'", tmp_path, capsys)


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        cli.main(["--debug", "data", "fetch", "nowhere"])


def test_importing_the_kit_is_quick_because_it_imports_little():
    code = "import sys, course_utils; print([m for m in ('torch', 'numpy', 'PIL', 'cv2', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_history_is_json(pages, tmp_path):
    assert course(*TRAIN, "--data", pages, "--out", "run") == 0
    assert json.loads((tmp_path / "run" / "history.json").read_text())["steps"] == [1, 2]
