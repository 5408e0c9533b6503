"""The comparer in a page of its own, in a real browser: exact pixels, every mode, keys, fingers, themes, no network."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import metrics
from course_utils.images import to_array
from course_utils.viewer import compare

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
from front_ends import CHROMIUM, chromium, guarded  # noqa: E402 - front_ends is a neighbour; Playwright decides first

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>{head}
<style>{style}</style></head><body><main><h1>Test</h1>{body}</main></body></html>"""
MODES = ["split", "side", "flicker", "difference"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def images(height=40, width=60, count=3, seed=0, pages=None):
    """Random images: every pixel differs from its neighbours, so that one in the wrong place shows."""
    generator = torch.Generator().manual_seed(seed)
    shape = (3, height, width) if pages is None else (pages, 3, height, width)
    return {name: torch.rand(shape, generator=generator) for name in ("scan", "DnCNN", "original")[:count]}


@pytest.fixture
def show(browser, tmp_path):
    """Open comparisons in one page; returns it once all are drawn. It may ask for nothing, and complain of nothing."""
    opened = []

    def open_page(*comparisons, style="", head="", ready=True, complaining=False, **options):
        path = tmp_path / f"page{len(opened)}.html"
        body = "".join(each if isinstance(each, str) else each.html for each in comparisons)
        path.write_text(PAGE.format(style=style, head=head, body=body), encoding="utf-8")
        page, refused, complaints = guarded(browser, **options)
        opened.append((page, refused, [] if complaining else complaints))
        page.goto(path.as_uri())
        if ready:
            page.wait_for_function("[...document.querySelectorAll('.cu-compare')].every(host => host.dataset.ready)")
        return page

    yield open_page
    for page, refused, complaints in opened:
        page.context.close()
        assert not refused and not complaints


def state(page, host=0):
    return page.evaluate(f"document.querySelectorAll('.cu-compare')[{host}].comparer.state")


def report(page, host=0):
    return page.evaluate(f"document.querySelectorAll('.cu-compare')[{host}].comparer.report")


def change(tab, host=0, **changes):
    """Set the state, and wait until it is drawn."""
    tab.evaluate(
        """([host, changes]) => new Promise(done => {
            document.querySelectorAll('.cu-compare')[host].comparer.set(changes);
            requestAnimationFrame(() => requestAnimationFrame(done));
        })""",
        [host, changes],
    )


def drawn(page, side, host=0, around=0):
    """What the screen shows where a canvas is, and `around` it: uint8 (H, W, 3), in screen pixels."""
    page.mouse.move(0, 0)
    canvas = page.locator(".cu-compare").nth(host).locator(f"canvas[data-side={side}]")
    canvas.scroll_into_view_if_needed()
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    box = canvas.bounding_box()
    ratio = page.evaluate("devicePixelRatio")
    top, left, height, width = (round(ratio * box[key]) for key in ("y", "x", "height", "width"))
    return shot[top - around : top + height + around, left - around : left + width + around]


def is_drawn(page, side, image, scale):
    """Are these pixels on the screen? A canvas that stands at half a pixel is moved to one side or the other."""
    expected = magnified(image, report(page)["view"], scale)
    height, width = expected.shape[:2]
    seen = drawn(page, side, around=1)
    places = [(row, column) for row in range(3) for column in range(3)]
    return any(np.array_equal(seen[row : row + height, column : column + width], expected) for row, column in places)


def magnified(image, area, scale):
    top, left, rows, columns = area
    part = to_array(image)[top : top + rows, left : left + columns]
    return part.repeat(scale, axis=0).repeat(scale, axis=1)


def cells(page, column):
    """name -> text of a column of the table."""
    rows = page.locator("tbody tr")
    texts = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows.all()]
    return {row[0]: row[column] for row in texts}


# Pixels


@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("margin", ["0", "0.5px"])
def test_enlarged_pixels_are_exact_squares_on_the_screen(show, ratio, margin):
    pair = images(120, 160, count=2)
    page = show(compare(pair), device_scale_factor=ratio, style=f"main{{margin-left:{margin}}}")
    change(page, zoom=8, row=7, column=5, mode="side")
    scale, area = round(8 * ratio), report(page)["view"]
    assert area[:2] == [7, 5] and report(page)["zoom"] * ratio == pytest.approx(scale)
    for side, image in zip(("left", "right"), pair.values(), strict=True):
        assert is_drawn(page, side, image, scale)


@pytest.mark.parametrize("ratio", [1, 2])
def test_the_split_shows_each_image_on_its_side_of_the_line(show, ratio):
    pair = images(count=2)
    page = show(compare(pair), device_scale_factor=ratio)
    change(page, zoom=8, position=0.25)
    area, scale = report(page)["view"], 8 * ratio
    seen, at = drawn(page, "left"), round(0.25 * report(page)["view"][3] * scale)
    left, right = (magnified(image, area, scale) for image in pair.values())
    around = 14 * ratio  # the line and its grip lie over the pixels there
    assert np.array_equal(seen[:, : at - around], left[:, : at - around])
    assert np.array_equal(seen[:, at + around :], right[:, at + around :])
    change(page, line="horizontal", position=0.75)
    seen, at = drawn(page, "left"), round(0.75 * report(page)["view"][2] * scale)
    assert np.array_equal(seen[: at - around], left[: at - around])
    assert np.array_equal(seen[at + around :], right[at + around :])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_page_holds_the_images_losslessly(show, channels):
    image = torch.rand(channels, 33, 47, generator=torch.Generator().manual_seed(1))
    page = show(compare({"a": image, "b": 1 - image}))
    data = page.evaluate(
        """() => { const c = document.querySelector('.cu-compare').comparer; c.point({row: 0, column: 0});
        return c.images.map(image => { const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [47, 33];
            const context = canvas.getContext('2d');
            context.drawImage(image.bitmap, 0, 0);
            return [...context.getImageData(0, 0, 47, 33).data]; }); }"""
    )
    for values, tensor in zip(data, (image, 1 - image), strict=True):
        rgb = np.array(values, np.uint8).reshape(33, 47, 4)[..., :3]
        assert np.array_equal(rgb, np.broadcast_to(to_array(tensor), rgb.shape))


def test_large_images_are_reduced_to_fit_and_can_be_seen_pixel_by_pixel(show):
    pair = images(900, 1300, count=2)
    page = show(compare(pair))
    assert report(page)["view"] == [0, 0, 900, 1300] and report(page)["zoom"] < 1
    page.get_by_role("button", name="1:1").click()
    change(page, mode="flicker", shown="right")
    area = report(page)["view"]
    assert report(page)["zoom"] == 1
    assert np.array_equal(drawn(page, "right")[40:], magnified(pair["DnCNN"], area, 1)[40:])  # below the name tag


def test_a_view_is_shown_first(show):
    pair = images(200, 300, count=2)
    page = show(compare(pair, view=(50, 60, 30, 40)))
    top, left, rows, columns = report(page)["view"]
    assert top <= 50 and left <= 60 and top + rows >= 80 and left + columns >= 100
    assert report(page)["zoom"] == 20  # 30 rows in 600 pixels


# Figures


def test_figures_are_those_of_python(show):
    trio = images(64, 64)
    page = show(compare(trio, reference="original"))
    page.wait_for_function("document.querySelector('.cu-compare').shadowRoot.querySelectorAll('td')[1].textContent")
    for name in ("scan", "DnCNN"):
        psnr, ssim = (measure(trio[name], trio["original"]) for measure in (metrics.psnr, metrics.ssim))
        assert cells(page, 1)[name] == f"{psnr:.2f} dB, SSIM {ssim:.3f}"
    assert cells(page, 1)["original"] == "reference"


def test_psnr_in_view_is_that_of_the_visible_pixels(show):
    trio = images(64, 64)
    trio["DnCNN"] = trio["original"].clone()
    trio["DnCNN"][:, :32] = trio["scan"][:, :32]  # the lower half is restored
    page = show(compare(trio, reference="original"))
    change(page, zoom=32, row=64, column=0)
    top, left, rows, columns = report(page)["view"]
    assert top >= 32
    page.wait_for_function(
        "document.querySelector('.cu-compare').shadowRoot.querySelectorAll('td')[4].textContent === 'equal'"
    )
    part = [metrics.quantise(trio[name])[:, top : top + rows, left : left + columns] for name in ("scan", "original")]
    assert cells(page, 2) == {"scan": f"{metrics.psnr(*part):.2f} dB", "DnCNN": "equal", "original": ""}


def test_the_pixel_under_the_pointer_is_read_in_every_image(show):
    trio = images()
    page = show(compare(trio))
    change(page, zoom=8)
    box = page.locator("canvas[data-side=left]").bounding_box()
    row, column, *_ = report(page)["view"]
    page.mouse.move(box["x"] + 8 * 3 + 1, box["y"] + 8 * 2 + 7)
    heading = page.locator("thead th").last
    sync_api.expect(heading).to_have_text(f"Pixel in row {row + 2}, column {column + 3}")
    expected = {n: " ".join(map(str, to_array(x)[row + 2, column + 3])) for n, x in trio.items()}
    assert cells(page, 1) == expected


@pytest.mark.parametrize("signed", [False, True])
def test_the_difference_is_to_the_reference_with_gain(show, signed):
    trio = images()
    page = show(compare(trio, reference="original"))
    change(page, mode="difference", gain=2, signed=signed, zoom=8)
    scan, original = (to_array(trio[name]).astype(int) for name in ("scan", "original"))
    expected = 128 + (scan - original) if signed else 2 * abs(scan - original)
    top, left, rows, columns = report(page)["view"]
    expected = expected.clip(0, 255)[top : top + rows, left : left + columns].repeat(8, 0).repeat(8, 1)
    seen = drawn(page, "left").astype(int)
    assert abs(seen - expected)[40:].max() == 0  # below the tag that tells the formula
    tag = page.locator(".tag").inner_text()
    assert tag == ("128 + (scan − original) × 2 / 2" if signed else "|scan − original| × 2")
    assert not page.get_by_label("Right", exact=True).is_visible()


def test_the_histogram_tells_the_means_of_what_is_in_view(show):
    pair = images(count=2)
    page = show(compare(pair))
    page.get_by_role("button", name="Histogram").click()
    said = page.locator("figcaption").filter(has_text="Means")
    sync_api.expect(said).to_contain_text("red")
    for i, colour in enumerate(("red", "green", "blue")):
        means = " and ".join(f"{to_array(x)[..., i].mean():.1f}" for x in pair.values())
        sync_api.expect(said).to_contain_text(f"{colour} {means}")


# Modes, pages, pickers


def test_side_by_side_moves_both(show):
    pair = images(200, 200, count=2)
    page = show(compare(pair, mode="side"))
    change(page, zoom=8)
    box = page.locator("canvas[data-side=right]").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 20, steps=4)
    page.mouse.up()
    area = report(page)["view"]
    assert area[:2] == [10, 5]
    for side, image in zip(("left", "right"), pair.values(), strict=True):
        assert np.array_equal(drawn(page, side), magnified(image, area, 8))


def test_pickers_choose_among_all_images(show):
    trio = images()
    page = show(compare(trio, mode="side"))
    page.get_by_label("Left", exact=True).select_option("original")
    page.get_by_label("Right", exact=True).select_option("scan")
    change(page, zoom=8)
    area = report(page)["view"]
    assert np.array_equal(drawn(page, "left"), magnified(trio["original"], area, 8))
    assert np.array_equal(drawn(page, "right"), magnified(trio["scan"], area, 8))
    page.get_by_role("button", name="Swap").click()
    assert (report(page)["left"], report(page)["right"]) == ("scan", "original")


def test_a_batch_is_leafed_through(show):
    batch = images(pages=3)
    page = show(compare(batch | {"original": batch["original"][0]}, reference="original", mode="side"))
    change(page, zoom=8)
    assert page.locator(".leaves span").inner_text() == "1 / 3"
    page.get_by_role("button", name="Next page").click()
    page.locator(".stage").press("PageDown")
    page.locator(".stage").press("PageDown")  # stays on the last
    sync_api.expect(page.locator(".leaves span")).to_have_text("3 / 3")
    area = report(page)["view"]
    assert np.array_equal(drawn(page, "left"), magnified(batch["scan"][2], area, 8))
    psnr = metrics.psnr(batch["scan"][2], batch["original"][0])
    page.wait_for_function(
        f"document.querySelector('.cu-compare').shadowRoot.querySelectorAll('td')[0].textContent.startsWith('{psnr:.2f}')"
    )


def test_two_comparers_on_one_page_are_independent(show):
    first = compare(images(), mode="split")
    page = show(first, compare(images(seed=1), mode="side"), first)  # the same output twice, as in a second view
    change(page, host=0, position=0.1)
    assert [state(page, host)["position"] for host in range(3)] == [0.1, 0.5, 0.5]
    assert [state(page, host)["mode"] for host in range(3)] == ["split", "side", "split"]


# Mouse, fingers, keys


def test_the_line_is_dragged_and_redraws_nothing(show):
    page = show(compare(images()))
    page.evaluate(
        """() => { const c = document.querySelector('.cu-compare').comparer; window.drawings = 0;
        for (const canvas of Object.values(c.canvases)) { const context = canvas.getContext('2d');
            const draw = context.drawImage;
            context.drawImage = (...a) => { window.drawings++; draw.apply(context, a); }; } }"""
    )
    box = page.locator("canvas[data-side=left]").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 30, steps=5)
    page.mouse.up()
    assert state(page)["position"] == pytest.approx(0.8, abs=0.01)
    assert page.evaluate("window.drawings") == 0
    assert page.get_by_role("slider", name="Line").get_attribute("aria-valuenow") == "80"


def test_the_wheel_zooms_with_ctrl_at_the_pointer_and_scrolls_without(show):
    page = show(compare(images(300, 1000)), "<div style='height:3000px'></div>")
    box = page.locator("canvas[data-side=left]").bounding_box()
    page.mouse.move(box["x"] + 250, box["y"] + 130)
    before = report(page)["zoom"]
    page.mouse.wheel(0, 100)
    page.wait_for_function("scrollY > 0")
    assert report(page)["zoom"] == before
    page.evaluate("scrollTo(0, 0)")
    place = "(c => [c.mark.row, c.mark.column])(document.querySelector('.cu-compare').comparer)"
    page.mouse.move(box["x"] + 251, box["y"] + 131)
    under = page.evaluate(place)
    page.keyboard.down("Control")
    for _ in range(3):
        page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_function(f"document.querySelector('.cu-compare').comparer.report.zoom > {before}")
    page.mouse.move(box["x"] + 250, box["y"] + 131)
    assert np.abs(np.subtract(page.evaluate(place), under)).max() <= 1
    assert page.evaluate("scrollY") == 0


def test_fingers_drag_pan_and_pinch(show):
    page = show(compare(images(100, 100)), has_touch=True)
    box = page.locator("canvas[data-side=left]").bounding_box()
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        at = [{"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    middle = box["width"] / 2
    touch("touchStart", (middle, 50))
    touch("touchMove", (middle + 100, 52))
    touch("touchEnd")
    assert state(page)["position"] == pytest.approx(0.5 + 100 / box["width"], abs=0.01)
    before = report(page)["zoom"]
    touch("touchStart", (middle - 100, 200), (middle + 100, 200))
    touch("touchMove", (middle - 200, 200), (middle + 200, 200))
    touch("touchEnd")
    page.wait_for_function(f"document.querySelector('.cu-compare').comparer.report.zoom === {2 * before}")
    row = report(page)["view"][0]
    touch("touchStart", (30, 300))
    touch("touchMove", (30, 240))
    touch("touchEnd")
    page.wait_for_function(f"document.querySelector('.cu-compare').comparer.state.row === {row + 60 / (2 * before)}")


def test_every_mode_and_control_is_reached_by_keyboard(show):
    page = show(compare(images(100, 200), reference="original"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.shadowRoot.activeElement.textContent") == "Split"
    for _ in range(30):
        if page.evaluate("document.activeElement.shadowRoot.activeElement.className") == "stage":
            break
        page.keyboard.press("Tab")
    seen = []
    for _ in MODES:
        page.keyboard.press("m")
        seen.append(state(page)["mode"])
    assert seen == ["side", "flicker", "difference", "split"]
    page.keyboard.press("Shift+m")
    page.keyboard.press("Shift+m")
    assert state(page)["mode"] == "flicker"
    for key, shown in [("b", "right"), ("a", "left"), (" ", "right"), (" ", "left")]:
        page.keyboard.press(key)
        assert state(page)["shown"] == shown
    page.keyboard.press("m")
    gain = state(page)["gain"]
    page.keyboard.press("g")
    assert state(page)["gain"] == 2 * gain
    page.keyboard.press("Shift+G")
    page.keyboard.press("Shift+G")
    assert state(page)["gain"] == gain / 2
    page.keyboard.press("m")
    page.keyboard.press("ArrowRight")  # nothing to pan: the line moves
    assert state(page)["position"] == pytest.approx(0.5125)
    page.keyboard.press("8")
    assert report(page)["zoom"] == 8
    row, column, *_ = report(page)["view"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    assert report(page)["view"][:2] == [row + 1, column + 8] and state(page)["position"] == pytest.approx(0.5125)
    page.keyboard.press("+")
    assert report(page)["zoom"] == 12
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert state(page)["zoom"] == 0
    page.keyboard.press("v")
    assert state(page)["line"] == "horizontal"
    page.keyboard.press("Tab")  # the line itself
    page.keyboard.press("ArrowDown")
    assert state(page)["position"] == pytest.approx(0.525)
    page.keyboard.press("x")
    assert report(page)["left"] == "DnCNN"
    page.keyboard.press("l")
    page.keyboard.press("k")
    sync_api.expect(page.locator("thead th").last).to_contain_text("Pixel in row")
    page.keyboard.press("h")
    sync_api.expect(page.locator("figure").filter(has_text="Means")).to_be_visible()
    page.keyboard.press("?")
    sync_api.expect(page.locator("dl")).to_be_visible()


def test_every_key_of_the_help_does_something(show):
    page = show(compare(images(100, 200, pages=3)))
    page.locator(".stage").focus()
    page.keyboard.press("?")
    names = {"←": "ArrowLeft", "→": "ArrowRight", "↑": "ArrowUp", "↓": "ArrowDown", "−": "-"}
    keys = " ".join(page.locator("dt").all_inner_texts()).split()
    assert len(keys) == 31
    look = "(c => JSON.stringify([c.state, c.mark]))(document.querySelector('.cu-compare').comparer)"
    for key in keys:
        change(
            page, zoom=16, row=40, column=40, page=1, mode="flicker", shown="left" if key == "b" else "right", gain=4
        )
        before = page.evaluate(look)
        page.keyboard.press(names.get(key, key))
        assert page.evaluate(look) != before, key


# Everyone


DARK = "html{color-scheme:dark}body{background:#111;color:#d8d8d8}"


@pytest.mark.parametrize("style", ["", DARK], ids=["light", "dark"])
@pytest.mark.parametrize("mode", MODES)
def test_no_accessibility_rule_is_broken(show, style, mode):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    comparison = compare(images(pages=2), reference="original", mode=mode, caption="Noise and noise")
    page = show(comparison, style=style)
    change(page, histogram=True, help=True)
    found = axe.Axe().run(page).response["violations"]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []


def test_the_caption_describes_the_images(show):
    page = show(compare(images(count=2), caption="A page of a magazine"))
    assert page.locator("canvas[data-side=left]").get_attribute("aria-label") == "scan. A page of a magazine"
    assert page.locator("img").first.get_attribute("alt") == "scan. A page of a magazine"
    assert page.get_by_role("region").get_by_text("A page of a magazine").is_visible()


def test_nothing_moves_for_those_who_want_it_so(show):
    page = show(compare(images()), reduced_motion="reduce")
    durations = page.evaluate(
        """[...document.querySelector('.cu-compare').shadowRoot.querySelectorAll('*')].map(
            e => getComputedStyle(e).transitionDuration + getComputedStyle(e).animationName)"""
    )
    assert set(durations) == {"0snone"}


@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_a_phone_and_a_desk(show, width):
    page = show(compare(images(512, 512), reference="original"), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    change(page, mode="side", histogram=True, help=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_grows_and_shrinks_with_its_place(show):
    page = show(compare(images(300, 300)), viewport={"width": 1200, "height": 900})
    change(page, mode="side")
    assert report(page)["zoom"] == 1
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function("document.querySelector('.cu-compare').comparer.report.zoom < 1")
    page.set_viewport_size({"width": 1200, "height": 900})
    page.wait_for_function("document.querySelector('.cu-compare').comparer.report.zoom === 1")


def test_it_waits_where_it_is_not_visible_yet(show):
    page = show("<div id='tab' style='display:none'>", compare(images()), "</div>", ready=False)
    page.wait_for_function("document.querySelector('.cu-compare').comparer")
    assert not page.evaluate("document.querySelector('.cu-compare').dataset.ready")
    page.evaluate("document.querySelector('#tab').style.display = 'block'")
    page.wait_for_function("document.querySelector('.cu-compare').dataset.ready")


# Where scripts do not run, and hostile names


@pytest.mark.parametrize("policy", ["scripts off", "script-src 'none'"])
def test_without_scripts_the_stills_remain(show, policy):
    trio = images(64, 64)
    comparison = compare(trio, reference="original")
    if policy == "scripts off":
        page = show(comparison, ready=False, java_script_enabled=False)
    else:
        rule = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        page = show(comparison, head=rule, ready=False, complaining=True)
    assert page.locator("img").count() == 3 and page.locator("canvas").count() == 0
    labels = page.locator("figcaption").all_inner_texts()
    psnrs = {name: metrics.psnr(trio[name], trio["original"]) for name in ("scan", "DnCNN")}
    assert labels == [f"{name}: {psnr:.2f} dB" for name, psnr in psnrs.items()] + ["original"]
    assert all(image.bounding_box()["width"] == 64 for image in page.locator("img").all())


def test_a_view_is_cut_out_of_the_stills_too(show):
    pair = images(200, 300, count=2)
    page = show(compare(pair, view=(50, 60, 32, 48)), ready=False, java_script_enabled=False)
    box = page.locator("figure div").first.bounding_box()
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    top, left, height, width = (round(box[key]) for key in ("y", "x", "height", "width"))
    assert np.array_equal(shot[top : top + height, left : left + width], magnified(pair["scan"], (50, 60, 32, 48), 8))


def test_names_cannot_become_markup(show):
    evil = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>\u2028'\"`${window.hacked=3}"
    pair = {evil: torch.zeros(3, 16, 16), "b": torch.ones(3, 16, 16)}
    page = show(compare(pair, reference="b", caption=evil))
    change(page, mode="flicker", histogram=True)
    change(page, mode="difference")
    assert page.evaluate("window.hacked") is None
    assert page.locator("tbody th").first.inner_text().startswith("</script>")


def test_it_makes_no_global_names(show):
    page = show(compare(images()))
    assert page.evaluate("['Comparer', 'KEYS', 'STYLE', 'start', 'open_'].filter(name => name in window)") == []
    assert re.match("function open", page.evaluate("String(window.open)"))


def test_an_image_that_cannot_be_read_leaves_the_stills(show):
    broken = compare(images(count=2)).html.replace("data:image/webp;base64,UklGR", "data:image/webp;base64,XXXXX", 1)
    page = show(broken, ready=False, complaining=True)
    page.wait_for_function("document.querySelector('.cu-compare').shadowRoot?.querySelector('slot')")
    assert page.locator("figcaption").first.is_visible() and page.locator(".stage").count() == 0
