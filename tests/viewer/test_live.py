"""The comparer with Python behind it: new images while code runs, not too many, and Python reads what the reader does.

How it behaves in a notebook is in tests/browser/test_notebooks.py.
"""

import asyncio
import importlib
import io
import json
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import course_utils
from course_utils import metrics
from course_utils.files import CourseError
from course_utils.images import to_array
from course_utils.viewer import Comparison, compare

COMPARE = importlib.import_module("course_utils.viewer.compare")  # its name in the package is the function's


@pytest.fixture
def live():
    pytest.importorskip("anywidget", reason="needs anywidget, the extra [live]")
    return importlib.import_module("course_utils.viewer.live")


@pytest.fixture
def clock(live, monkeypatch):
    """A clock that only goes on when it is told to."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def images(*shape):
    shape = shape or (3, 16, 20)
    return {name: random(*shape, seed=i) for i, name in enumerate(("scan", "DnCNN", "original"))}


def pixels(widget, name, page=0):
    """What a front end is sent of an image: uint8 (H, W, C)."""
    content = widget.get_state("_content")["_content"]
    image = content["pages"][page][content["names"].index(name)]
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(image))))


def shows(widget, image, name="DnCNN"):
    return np.array_equal(pixels(widget, name), to_array(image))


def sent(widget):
    """The list of what the widget sends from now on."""
    changes = []
    widget.observe(lambda change: changes.append(change["new"]), "_content")
    return changes


# ---- what it shows


def test_the_widget_sends_the_exact_pixels_of_every_page(live):
    batch, single = random(3, 3, 16, 20), random(3, 16, 20, seed=1)
    widget = live.CompareWidget({"batch": batch, "single": single}, "single")
    for page in range(3):
        assert np.array_equal(pixels(widget, "batch", page), to_array(batch[page]))
        assert np.array_equal(pixels(widget, "single", page), to_array(single))


def test_grey_and_one_pixel_wide_images_are_sent(live):
    for shape in [(1, 16, 20), (1, 1, 1), (3, 1, 30), (3, 30, 1)]:
        given = images(*shape)
        widget = live.CompareWidget(given)
        assert all(np.array_equal(pixels(widget, name), to_array(image)) for name, image in given.items())


def test_the_widget_is_told_what_a_comparison_is(live):
    arguments = {"reference": "original", "view": (1, 2, 3, 4), "mode": "side", "caption": "A scan </script>"}
    content = dict(live.CompareWidget(images(), **arguments)._content)
    [page] = content.pop("pages")
    assert len(page) == 3
    config = compare(images(), **arguments).config(1)
    assert content == config and config["caption"] == "A scan </script>"
    assert config["names"] == ["scan", "DnCNN", "original"] and config["reference"] == 2


def test_what_is_sent_is_json_and_buffers(live):
    from ipywidgets.widgets.widget import _remove_buffers

    state, paths, buffers = _remove_buffers(live.CompareWidget(images(2, 3, 16, 20), "original").get_state())
    assert json.loads(json.dumps(state))["_content"]["names"] == ["scan", "DnCNN", "original"]
    assert paths and len(buffers) == 6 and all(isinstance(each, bytes) for each in buffers)


def test_the_attributes_are_those_of_a_reader_who_did_nothing_yet(live):
    widget = live.CompareWidget(images(), mode="flicker")
    assert (widget.position, widget.mode, widget.page) == (0.5, "flicker", 0)
    assert (widget.left, widget.right) == ("scan", "DnCNN")
    assert (widget.zoom, list(widget.view)) == (0, [])  # not drawn yet
    assert live.CompareWidget(images()).mode == "split"
    synced = set(widget.get_state())
    assert synced >= {"position", "mode", "left", "right", "page", "zoom", "_seen"}


def test_attributes_can_be_set_and_observed(live):
    widget, seen = live.CompareWidget(images(2, 3, 16, 20)), []
    widget.observe(lambda change: seen.append((change["name"], change["new"])), ["position", "left", "page"])
    widget.position, widget.left, widget.page = 0.25, "original", 1
    assert seen == [("position", 0.25), ("left", "original"), ("page", 1)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", "nobody"), ("right", "nobody"), ("mode", "blink"), ("page", 2), ("page", -1), ("position", "left")],
)
def test_attributes_take_nothing_that_is_not_there(live, name, value):
    from traitlets import TraitError

    widget = live.CompareWidget(images(2, 3, 16, 20))
    before = getattr(widget, name)
    with pytest.raises((CourseError, TraitError)) as caught:
        setattr(widget, name, value)
    assert repr(value) in str(caught.value) and getattr(widget, name) == before


def test_attributes_can_be_linked_to_controls(live):
    ipywidgets = pytest.importorskip("ipywidgets")
    widget, slider = live.CompareWidget(images()), ipywidgets.FloatSlider(value=0.5, min=0, max=1)
    ipywidgets.link((widget, "position"), (slider, "value"))
    slider.value = 0.75
    assert widget.position == 0.75


def test_the_module_for_the_front_end_is_the_core_and_its_door(live):
    assert live.CompareWidget._esm.startswith(COMPARE.core()) and "export default" in live.CompareWidget._esm
    assert not any(word in live.DOOR for word in ("http", "fetch(", "import ", "innerHTML", "eval("))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"images": {"scan": torch.zeros(3, 4, 4)}}, "two or more images"),
        ({"images": images() | {"scan": torch.zeros(3, 16, 21)}}, "one size .* scan 16x21"),
        ({"images": images() | {"scan": 255 * torch.ones(3, 16, 20)}}, "image 'scan' has values from 255"),
        ({"images": images(), "reference": "clean"}, "reference 'clean' is not the name of an image"),
        ({"images": images(), "mode": "blink"}, "mode 'blink': choose one of"),
        ({"images": images(), "view": (0, 0, 17, 1)}, "beyond the image of 16x20"),
    ],
)
def test_wrong_input_is_named_as_by_compare(live, arguments, says):
    with pytest.raises(CourseError, match=says):
        live.CompareWidget(**arguments)


# ---- update


def test_an_update_replaces_an_image_and_keeps_the_others(live):
    given, new = images(), random(3, 16, 20, seed=9)
    widget = live.CompareWidget(given, "original", interval=0)
    before = widget._content["whole"]
    widget.update({"DnCNN": new})
    assert shows(widget, new) and shows(widget, given["scan"], "scan") and shows(widget, given["original"], "original")
    psnr, ssim = metrics.psnr(new, given["original"]), metrics.ssim(new, given["original"])
    [[scan, restored, reference]] = widget._content["whole"]
    assert (restored, reference) == (f"{psnr:.2f} dB, SSIM {ssim:.3f}", "reference")
    assert scan == before[0][0] and restored != before[0][1]


def test_a_new_reference_image_changes_all_figures(live):
    given, new = images(), random(3, 16, 20, seed=9)
    widget = live.CompareWidget(given, "original", interval=0)
    widget.update({"original": new})
    for name, figures in zip(("scan", "DnCNN"), widget._content["whole"][0], strict=False):
        assert figures.startswith(f"{metrics.psnr(given[name], new):.2f} dB")


def test_updates_take_every_form_of_an_image(live, tmp_path):
    array = to_array(random(3, 16, 20, seed=9))
    Image.fromarray(array).save(tmp_path / "a.png")
    for form in (array, Image.fromarray(array), tmp_path / "a.png", [array], torch.from_numpy(array)):
        widget = live.CompareWidget(images(), interval=0)
        widget.update({"DnCNN": form})
        assert np.array_equal(pixels(widget, "DnCNN"), array)
    network = torch.nn.Conv2d(3, 3, 1)
    restored = network(random(1, 3, 16, 20)).sigmoid()
    widget.update({"DnCNN": restored})
    assert shows(widget, restored[0]) and restored.requires_grad


def test_an_update_may_be_grey_where_others_are_in_colour(live):
    widget, grey = live.CompareWidget(images(), interval=0), random(1, 16, 20, seed=9)
    widget.update({"DnCNN": grey})
    assert shows(widget, grey.expand(3, -1, -1))


def test_an_update_of_a_batch_replaces_each_page(live):
    widget, new = live.CompareWidget(images(3, 3, 16, 20), interval=0), random(3, 3, 16, 20, seed=9)
    widget.update({"DnCNN": new})
    assert all(np.array_equal(pixels(widget, "DnCNN", page), to_array(new[page])) for page in range(3))
    widget.update({"DnCNN": new[1]})  # a single one stands on every page
    assert all(np.array_equal(pixels(widget, "DnCNN", page), to_array(new[1])) for page in range(3))


def test_what_the_reader_chose_stays(live):
    widget = live.CompareWidget(images(2, 3, 16, 20), interval=0)
    widget.position, widget.mode, widget.left, widget.page = 0.25, "difference", "original", 1
    widget.update({"DnCNN": random(2, 3, 16, 20, seed=9)})
    assert (widget.position, widget.mode, widget.left, widget.page) == (0.25, "difference", "original", 1)


def test_the_same_images_are_not_sent_again(live):
    given = images()
    widget = live.CompareWidget(given, interval=0)
    changes = sent(widget)
    widget.update(given)
    widget.update({})
    assert not changes


WRONG_UPDATES = {
    "unknown name": ({"U-Net": random(3, 16, 20)}, "no image is called U-Net; there are scan, DnCNN, original"),
    "unknown number": ({3: random(3, 16, 20)}, "no image is called 3; there are scan"),
    "another size": ({"DnCNN": random(3, 16, 21)}, "one size .*DnCNN 16x21"),
    "another size of all": (images(3, 17, 20), "make a new CompareWidget"),
    "more pages": ({"DnCNN": random(2, 3, 16, 20)}, "make a new CompareWidget"),
    "more pages of all": (images(2, 3, 16, 20), "make a new CompareWidget"),
    "out of range": ({"DnCNN": random(3, 16, 20) + 1}, "image 'DnCNN' has values .*outside"),
    "NaN": ({"DnCNN": random(3, 16, 20) * float("nan")}, "image 'DnCNN' holds NaN"),
    "None": ({"DnCNN": None}, "image 'DnCNN' is a NoneType"),
    "an image alone": (random(3, 16, 20), "{name: image}"),
    "a list": ([random(3, 16, 20)], "{name: image}"),
}


@pytest.mark.parametrize(("update", "says"), WRONG_UPDATES.values(), ids=WRONG_UPDATES)
def test_a_wrong_update_is_named_and_changes_nothing(live, update, says):
    widget = live.CompareWidget(images(), "original", interval=0)
    changes = sent(widget)
    with pytest.raises(CourseError, match=says) as caught:
        widget.update(update)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    widget.flush()
    assert not changes and widget.snapshot().metrics() == compare(images(), "original").metrics()


def test_names_need_not_be_strings(live):
    widget = live.CompareWidget({8: random(3, 16, 20), 17: random(3, 16, 20, seed=1)}, interval=0)
    widget.update({8: (new := random(3, 16, 20, seed=9))})
    assert shows(widget, new, "8")


def test_too_few_or_too_many_pages_are_named(live):
    widget = live.CompareWidget(images(3, 3, 16, 20), interval=0)
    with pytest.raises(CourseError, match="batches of different lengths: scan 3, DnCNN 2, original 3"):
        widget.update({"DnCNN": random(2, 3, 16, 20)})
    with pytest.raises(CourseError, match="make a new CompareWidget"):
        widget.update(images(2, 3, 16, 20))


# ---- at most one update in an interval


def test_an_update_too_soon_waits_for_the_next_one(live, clock):
    given = images()
    widget = live.CompareWidget(given, interval=1.0)
    changes = sent(widget)
    for seconds in (0.3, 0.6, 0.9):
        clock.now = 1000 + seconds
        widget.update({"DnCNN": random(3, 16, 20, seed=int(10 * seconds))})
    assert not changes and shows(widget, given["DnCNN"])
    clock.now = 1001.0
    widget.update({"scan": random(3, 16, 20, seed=20)})
    assert len(changes) == 1
    assert shows(widget, random(3, 16, 20, seed=9))  # the newest of those that waited
    assert shows(widget, random(3, 16, 20, seed=20), "scan")


def test_flush_shows_what_waits(live, clock):
    widget = live.CompareWidget(images())
    changes = sent(widget)
    widget.update({"DnCNN": (new := random(3, 16, 20, seed=9))})
    assert not changes
    widget.flush()
    assert len(changes) == 1 and shows(widget, new)
    widget.flush()
    assert len(changes) == 1


def test_a_loop_of_updates_is_no_flood(live, clock):
    widget = live.CompareWidget(images(3, 8, 8), interval=1.0)
    changes = sent(widget)
    for step in range(1, 101):  # 10 seconds
        clock.now = 1000 + step / 10
        widget.update({"DnCNN": torch.full((3, 8, 8), step / 100)})
    assert 9 <= len(changes) <= 10
    widget.flush()
    assert shows(widget, torch.ones(3, 8, 8))


def test_the_interval_is_as_told(live, clock):
    widget = live.CompareWidget(images(), interval=30)
    changes = sent(widget)
    for seconds, count in ((29, 0), (31, 1), (60, 1), (61.5, 2)):
        clock.now = 1000 + seconds
        widget.update({"DnCNN": random(3, 16, 20, seed=int(seconds))})
        assert len(changes) == count


def test_in_a_notebook_the_newest_is_shown_later(live):
    async def scenario():
        widget = live.CompareWidget(images(3, 8, 8), interval=0.15)
        changes = sent(widget)
        for seed in range(5, 10):
            widget.update({"DnCNN": random(3, 8, 8, seed=seed)})
        assert not changes  # at once
        await asyncio.sleep(0.4)
        assert len(changes) == 1 and shows(widget, random(3, 8, 8, seed=9))

    asyncio.run(scenario())


def test_after_a_flush_nothing_comes_later(live):
    async def scenario():
        widget = live.CompareWidget(images(3, 8, 8), interval=0.1)
        changes = sent(widget)
        widget.update({"DnCNN": random(3, 8, 8, seed=9)})
        widget.flush()
        assert len(changes) == 1
        await asyncio.sleep(0.25)
        assert len(changes) == 1

    asyncio.run(scenario())


def test_a_cell_that_keeps_the_loop_busy_is_no_flood_either(live):
    async def scenario():
        widget = live.CompareWidget(images(3, 8, 8), interval=0.3)
        times = []
        widget.observe(lambda change: times.append(time.monotonic()), "_content")
        widget.update({"DnCNN": random(3, 8, 8, seed=7)})  # to be shown at 0.3
        time.sleep(0.35)  # the cell runs on: the loop cannot
        widget.update({"DnCNN": random(3, 8, 8, seed=8)})  # at once
        widget.update({"DnCNN": random(3, 8, 8, seed=9)})  # at 0.65
        assert len(times) == 1
        await asyncio.sleep(0.6)
        assert len(times) == 2 and shows(widget, random(3, 8, 8, seed=9))
        assert times[1] - times[0] > 0.28

    asyncio.run(scenario())


def test_a_slider_runs_a_restorer_again(live):
    import ipywidgets

    clean = images(3, 8, 8)["original"]
    slider = ipywidgets.IntSlider(25, 0, 75)
    widget = live.CompareWidget({"noisy": clean, "original": clean}, "original", interval=0)
    slider.observe(lambda change: widget.update({"noisy": (clean + change.new / 255).clamp(0, 1)}), "value")
    slider.value = 51
    assert shows(widget, (clean + 0.2).clamp(0, 1), "noisy")
    assert ipywidgets.VBox([slider, widget]).children == (slider, widget)


def test_a_closed_widget_is_not_shown_again(live):
    problems = []

    async def scenario():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        widget = live.CompareWidget(images(3, 8, 8), interval=0.05)
        widget.update({"DnCNN": random(3, 8, 8, seed=9)})
        widget.close()
        await asyncio.sleep(0.15)

    asyncio.run(scenario())
    assert not problems


# ---- snapshot


def test_a_snapshot_is_a_comparison_of_the_newest_images(live):
    given, new = images(2, 3, 16, 20), random(2, 3, 16, 20, seed=9)
    widget = live.CompareWidget(given, "original", caption="Step 7", interval=0)
    widget.update({"DnCNN": new})
    snapshot = widget.snapshot()
    assert isinstance(snapshot, Comparison) and len(snapshot) == 2
    assert snapshot.metrics() == compare(given | {"DnCNN": new}, "original").metrics()
    assert (snapshot.reference, snapshot.caption, snapshot.view) == ("original", "Step 7", None)
    assert snapshot.html.startswith('<div class="cu-compare"')


def test_a_snapshot_looks_where_the_reader_looks(live):
    widget = live.CompareWidget(images(), view=(0, 0, 2, 2))
    widget.mode, widget._seen = "difference", [1, 2, 3, 4]  # as a front end reports it
    snapshot = widget.snapshot()
    assert (snapshot.mode, snapshot.view) == ("difference", (1, 2, 3, 4))


def test_a_snapshot_before_anything_is_drawn_has_the_view_that_was_given(live):
    assert live.CompareWidget(images(), view=(1, 2, 3, 4)).snapshot().view == (1, 2, 3, 4)


def test_a_snapshot_of_a_part_of_a_large_image_looks_at_that_part(live, monkeypatch):
    monkeypatch.setattr(COMPARE, "PAGE_BYTES", 3 * 3 * 32 * 32)
    widget = live.CompareWidget(given := images(3, 100, 120), view=(70, 80, 10, 12))
    top, left, height, width = widget._content["view"]
    sent_part = pixels(widget, "scan")[top : top + height, left : left + width]
    assert np.array_equal(sent_part, to_array(given["scan"])[70:80, 80:92])
    widget._seen = list(widget._content["view"])  # a front end knows only what it was sent
    assert widget.view == widget.snapshot().view == (70, 80, 10, 12)


def test_a_snapshot_stays_when_the_widget_goes_on(live):
    widget = live.CompareWidget(given := images(), "original", interval=0)
    snapshot = widget.snapshot()
    widget.update({"DnCNN": random(3, 16, 20, seed=9)})
    assert snapshot.metrics() == compare(given, "original").metrics()


# ---- large ones


def test_what_is_sent_is_bounded_and_the_note_says_so(live, monkeypatch):
    monkeypatch.setattr(COMPARE, "PAGE_BYTES", 3 * 3 * 32 * 32)
    monkeypatch.setattr(COMPARE, "OUTPUT_BYTES", 3 * 3 * 3 * 32 * 32)
    widget = live.CompareWidget(images(20, 3, 64, 64), "original", interval=0)
    content = widget._content
    assert pixels(widget, "scan").shape == (32, 32, 3) and len(content["pages"]) == len(content["whole"]) <= 3
    assert "2x2" in content["note"] and f"The first {len(content['pages'])} of 20 pages" in content["note"]
    psnr = metrics.psnr(images(20, 3, 64, 64)["scan"][0], images(20, 3, 64, 64)["original"][0])
    assert content["whole"][0][0].startswith(f"{psnr:.2f} dB")  # of all pixels


# ---- without anywidget


def test_without_anywidget_the_error_says_what_to_install_and_compare_works(monkeypatch):
    monkeypatch.delitem(sys.modules, "course_utils.viewer.live", raising=False)
    monkeypatch.setitem(sys.modules, "anywidget", None)  # as if it were not there
    for package in (course_utils, course_utils.viewer):
        with pytest.raises(CourseError, match="^CompareWidget needs anywidget: pip install anywidget, then restart"):
            package.CompareWidget(images())
        assert hasattr(package, "CompareWidget")
    assert course_utils.compare(images()).html
