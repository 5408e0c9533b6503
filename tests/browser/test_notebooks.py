"""The comparer where lessons are read: in the notebook front ends that are installed here, in exported pages, in an
untrusted notebook, in VS Code's and Colab's way of showing an output. Whoever asks the network for anything fails."""

import time
from html import escape

import numpy as np
import pytest

pytest.importorskip("playwright.sync_api", reason="needs Playwright")

import nbformat
from front_ends import CHROMIUM, KINDS, Server, chromium, guarded, missing
from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # a busy computer is no failure
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

NAMES = ["scan", "DnCNN", "original"]
IMAGES = """import numpy as np, course_utils as cu
scan, restored, clean = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)"""
LESSON = [
    "# Look at the pixels",
    IMAGES,
    'cu.compare({"scan": scan, "DnCNN": restored, "original": clean}, reference="original")',
    'cu.compare({"scan": scan, "original": clean})',
]
LIVE = [
    IMAGES,
    'live = cu.CompareWidget({"scan": scan, "original": clean}); live',
    "print(live.position)",
    'live.update({"scan": np.full((64, 64, 3), (250, 10, 10), np.uint8)})',
]
RED = [250, 10, 10]
HOST = "div.cu-compare"
READY = "div.cu-compare[data-ready=true]"
STATE = "host => host.comparer.state"
FIGURES = """() => [...document.querySelectorAll("figure")].map(f => {
    const image = f.querySelector("img"), caption = f.querySelector("figcaption");
    return [image.naturalWidth, image.checkVisibility(), caption.checkVisibility() && caption.innerText];
})"""
CENTRE = """(host, side) => {
    const drawn = host.shadowRoot.querySelector(`canvas[data-side=${side}]`);
    const one = new OffscreenCanvas(1, 1).getContext("2d");
    one.drawImage(drawn, drawn.width >> 1, drawn.height >> 1, 1, 1, 0, 0, 1, 1);
    return [...one.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""
PLACED = """host => {  // the two images are within the stage, side by side
    const box = selector => host.shadowRoot.querySelector(selector).getBoundingClientRect();
    const [stage, left, right] = [".stage", "canvas[data-side=left]", "canvas[data-side=right]"].map(box);
    return stage.left <= left.left && left.right <= right.left && right.right <= stage.right;
}"""
FOCUSED = """host => {
    const inside = host.shadowRoot.activeElement;
    return Boolean(inside && inside.closest(".stage"));
}"""
UNDONE = """async host => {  // quick moves, some before the drawing of the one before: how many did not last?
    const { comparer } = host;
    let undone = 0;
    for (let i = 0; i < 100; i++) {
        const position = 0.3 + 0.004 * i;
        comparer.set({ position });
        await new Promise(done => setTimeout(done, 3));
        undone += comparer.state.position !== position;
    }
    return undone;
}"""
# The lowest contrast (WCAG 2) between visible text and what lies behind it, over the text of an element or shadow root.
CONTRAST = """host => {
    const colours = text => text.match(/[\\d.]+/g).map(Number);
    const light = rgb => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const c = rgb[i] / 255;
        return sum + weight * (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = node => {
        for (; node; node = node.parentElement ?? node.getRootNode().host) {
            const [r, g, b, a = 1] = colours(getComputedStyle(node).backgroundColor);
            if (a > 0.5) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const said = node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    const texts = [...(host.shadowRoot ?? host).querySelectorAll("*")].filter(n => n.checkVisibility() && said(n));
    return texts.filter(n => !["STYLE", "SCRIPT", "OPTION"].includes(n.tagName)).map(n => {
        const [x, y] = [light(colours(getComputedStyle(n).color)), light(behind(n))].sort((a, b) => b - a);
        return [(x + 0.05) / (y + 0.05), n.textContent.trim().slice(0, 30)];
    }).sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def front_end(kind):
    """A parameter of the tests, skipped where the front end is not installed."""
    return pytest.param(kind, marks=pytest.mark.skipif(bool(missing(kind)), reason=missing(kind) or ""))


@pytest.fixture(scope="module", params=map(front_end, KINDS))
def server(request, tmp_path_factory):
    with Server(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="module")
def lesson(browser, server):
    """A notebook with two comparers, run and saved, its page open."""
    server.write("lesson.ipynb", LESSON)
    notebook = server.open(browser, "lesson.ipynb")
    notebook.run_all()
    notebook.front("save")
    yield notebook
    notebook.close()


@pytest.fixture(scope="module")
def live(browser, server, lesson):
    """A notebook with a widget, run, its page open."""
    pytest.importorskip("anywidget", reason="CompareWidget needs anywidget (the extra [live])")
    server.write("live.ipynb", LIVE)
    server.share("live.ipynb", "lesson.ipynb")
    notebook = server.open(browser, "live.ipynb")
    for cell in (0, 1):
        notebook.run(cell)
    yield notebook
    notebook.close()


@pytest.fixture(scope="module")
def output():
    """The HTML of an output, without a notebook around it."""
    import course_utils as cu

    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    return cu.compare(dict(zip(NAMES, images, strict=True)), reference="original")._repr_html_()


def quiet(notebook):
    """No error output, no request to elsewhere, nothing of ours on the console."""
    return notebook.errors() == [] and notebook.refused == [] and notebook.complaints == []


def answers(page, host):
    """A comparer that reacts to a key: M goes to the next mode."""
    before = host.evaluate(STATE)["mode"]
    host.locator(".stage").focus()
    page.keyboard.press("m")
    return host.evaluate(STATE)["mode"] != before


def readable(host):
    """Each text stands out from what lies behind it, as WCAG 2 (AA) asks."""
    ratio, text = host.evaluate(CONTRAST)
    assert ratio >= 4.5, f"{text!r} has a contrast of {ratio:.1f} to 1"
    return True


# --- Notebook front ends ---


def test_run_all_shows_two_comparers(lesson):
    expect(lesson.page.locator(READY)).to_have_count(2)
    assert quiet(lesson), (lesson.errors(), lesson.refused, lesson.complaints)
    assert len({host.get_attribute("id") for host in lesson.page.locator(HOST).all()}) == 2
    three, two = lesson.page.locator(READY).all()
    assert three.locator("figure img").count() == 3 and two.locator("figure img").count() == 2
    assert not any(
        still.is_visible() for still in three.locator("figure img").all()
    )  # the comparer stands in their place
    before = two.evaluate(STATE)
    assert answers(lesson.page, three)
    assert two.evaluate(STATE) == before


@pytest.mark.parametrize("way", ["click", "tab"])
def test_keys_in_command_mode_reach_the_comparer_alone(server, lesson, way):
    if way == "tab" and server.kind is KINDS["classic"]:
        pytest.skip("Notebook 6 leads Tab through its cells and toolbars first, and keeps it in the first editor")
    page, host = lesson.page, lesson.page.locator(READY).first
    host.evaluate("host => host.comparer.set({mode: 'split', position: 0.5})")
    lesson.front("select", 2 if way == "click" else 1)
    page.keyboard.press("Escape")
    assert lesson.front("mode") == "command"
    focus(page, host, way)
    before = [lesson.front(name) for name in ("cells", "selected", "mode")]
    states = {}
    for key in ("ArrowRight", "ArrowDown", "a", "b", "m", "x"):
        page.keyboard.press(key)
        states[key] = host.evaluate(STATE)
    for key in ("d", "d", "j", "k", "y", "z", "c", "v", "0", "0", " "):  # what cuts, copies, restarts in command mode
        page.keyboard.press(key)
    assert [lesson.front(name) for name in ("cells", "selected", "mode")] == before
    assert states["ArrowRight"]["position"] > 0.5 and states["a"]["mode"] == "flicker" == states["b"]["mode"]
    assert states["a"] != states["b"] and states["m"]["mode"] != "flicker"
    assert [states["x"][side] for side in ("left", "right")] == [states["m"][side] for side in ("right", "left")]
    assert page.get_by_role("dialog").count() == 0


def focus(page, host, way):
    """Lead the focus into a comparer's stage or its handle, as a reader would."""
    if way == "click":
        host.locator(".stage").scroll_into_view_if_needed()
        host.locator(".stage").click()
    else:
        for _ in range(60):
            page.keyboard.press("Tab")
            if host.evaluate(FOCUSED):
                break
    assert host.evaluate(FOCUSED)


def test_a_trusted_notebook_works_again_without_a_kernel(browser, server, lesson):
    notebook = server.open(browser, "lesson.ipynb", kernel=False)
    expect(notebook.page.locator(READY)).to_have_count(2)
    assert notebook.front("trusted") and not notebook.front("idle")
    assert all(answers(notebook.page, host) for host in notebook.page.locator(READY).all())
    assert quiet(notebook), (notebook.refused, notebook.complaints)
    notebook.close()


def test_an_untrusted_notebook_shows_stills(browser, server, lesson):
    copy = nbformat.read(server.root / "lesson.ipynb", as_version=4)
    copy.metadata["title"] = "a copy that nobody signed"
    nbformat.write(copy, server.root / "copy.ipynb")
    notebook = server.open(browser, "copy.ipynb", kernel=False)
    expect(notebook.page.locator("figure img")).to_have_count(5)
    assert not notebook.front("trusted")
    stills = notebook.page.evaluate(FIGURES)
    assert all(width == 64 and visible for width, visible, _ in stills)
    assert [caption.partition(":")[0] for *_, caption in stills] == [*NAMES, "scan", "original"]
    assert notebook.page.locator("canvas, [data-ready]").count() == 0
    shown = notebook.page.locator(HOST).first.locator("xpath=..").inner_text()
    assert "{" not in shown  # neither script nor style is left as text
    assert quiet(notebook), (notebook.refused, notebook.complaints)
    notebook.close()


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_a_change_of_theme_leaves_text_readable_and_images_in_place(server, lesson, theme):
    if server.kind is KINDS["classic"]:
        pytest.skip("Notebook 6 has one theme, which the exported light page stands for")
    host = lesson.page.locator(READY).first
    host.evaluate("host => host.comparer.set({mode: 'side'})")
    expect(host.locator("canvas[data-side=right]")).to_be_visible()
    lesson.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    lesson.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
    assert all(readable(host) for host in lesson.page.locator(READY).all())
    lesson.page.wait_for_function(f"host => ({PLACED})(host)", arg=host.element_handle(), timeout=10_000)


def test_a_second_view_of_an_output_is_independent(server, lesson):
    if server.kind is not KINDS["lab"]:
        pytest.skip(f"{server.kind.title} has no second view of an output")
    lesson.front("select", 2)
    first = lesson.page.locator(READY).first
    lesson.page.evaluate("jupyterapp.commands.execute('notebook:create-output-view')")
    views = lesson.page.locator(f"[id='{first.get_attribute('id')}'][data-ready=true]")
    expect(views).to_have_count(2)
    for one, other in (views.all(), views.all()[::-1]):
        before = other.evaluate(STATE)
        assert answers(lesson.page, one)
        assert other.evaluate(STATE) == before
    assert quiet(lesson), (lesson.refused, lesson.complaints)


# --- The widget ---


def reads(live, expected, seconds=10):
    """Python reads the line's position; asked again for a while, because a move takes a moment to arrive."""
    until = time.monotonic() + seconds
    while (position := float(live.run(2))) != expected and time.monotonic() < until:
        pass
    return position == expected


def test_python_reads_the_widget(live):
    host = live.page.locator(READY)
    expect(host).to_have_count(1)
    assert reads(live, 0.5)
    host.locator(".handle").focus()
    for _ in range(5):
        live.page.keyboard.press("ArrowRight")
    position = host.evaluate(STATE)["position"]
    assert position > 0.5
    assert reads(live, position)
    assert quiet(live), (live.errors(), live.refused, live.complaints)


def test_no_move_is_undone_by_the_news_of_an_earlier_one(live):
    assert live.page.locator(READY).evaluate(UNDONE) == 0


def test_python_changes_the_widget(live):
    host = live.page.locator(READY)
    assert host.evaluate(CENTRE, "left") != RED
    live.run(3)
    drawn = f"([host, side, colour]) => ({CENTRE})(host, side).join() === colour.join()"
    live.page.wait_for_function(drawn, arg=[host.element_handle(), "left", RED])
    assert host.evaluate(CENTRE, "right") != RED
    assert quiet(live), (live.errors(), live.refused, live.complaints)


def test_the_widget_survives_a_reload_beside_its_kernel(server, live):
    live.front("save")
    live.page.reload()
    live.page.wait_for_function("front.loaded()")
    live.page.wait_for_function("front.idle()")
    host = live.page.locator(READY)
    expect(host).to_have_count(1)
    host.locator(".handle").focus()
    live.page.keyboard.press("ArrowLeft")
    position = host.evaluate(STATE)["position"]
    assert reads(live, position)
    assert quiet(live), (live.errors(), live.refused, live.complaints)


# --- Exported pages ---


def export(server, theme):
    """The executed notebook as nbconvert writes it, and the addresses that nbconvert's own template asks for."""
    exporter = pytest.importorskip("nbconvert", reason="needs nbconvert (the extra [author])").HTMLExporter(theme=theme)
    page = server.folder / f"lesson_{theme}.html"
    if not page.exists():
        page.write_text(exporter.from_filename(str(server.root / "lesson.ipynb"))[0], encoding="utf-8")
    return page, {exporter.require_js_url, exporter.mathjax_url}


def opened(browser, path, **options):
    """A page from a file, without network."""
    page, refused, complaints = guarded(browser, offline=True, **options)
    page.goto(path.resolve().as_uri(), wait_until="domcontentloaded")
    return page, refused, complaints


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_exported_notebook_works_without_network(browser, server, lesson, theme):
    path, template = export(server, theme)
    page, refused, complaints = opened(browser, path)
    expect(page.locator(READY)).to_have_count(2)
    assert set(refused) <= template  # the template of nbconvert asks for two scripts, the comparer for nothing
    assert all(answers(page, host) for host in page.locator(READY).all())
    assert [said for said in complaints if not any(address in said for address in template)] == []
    assert readable(page.locator(READY).first)
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_exported_notebook_shows_stills_without_scripts(browser, server, lesson, theme):
    path, _ = export(server, theme)
    page, _, _ = opened(browser, path, java_script_enabled=False)
    stills = page.locator("figure")
    expect(stills).to_have_count(5)
    for still, name in zip(stills.all(), [*NAMES, "scan", "original"], strict=True):
        assert still.locator("img").is_visible() and still.locator("img").bounding_box()["width"] >= 64
        assert still.locator("figcaption").is_visible() and still.inner_text().startswith(name)
    assert page.locator("canvas, [data-ready]").count() == 0
    assert readable(stills.first)
    page.context.close()


# --- Other ways of showing an output ---

VSCODE_POLICY = (  # of VS Code's notebook webview: scripts inline, images as data, nothing fetched but https:
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src https: http: data:; font-src https:; connect-src https:; child-src https: data:;"
)
VSCODE_SHOWS = """html => {
    const element = document.createElement("div");
    element.innerHTML = html;
    document.body.append(element);
    for (const script of [...element.querySelectorAll("script")]) {  // made again at the end, and removed at once
        const again = document.createElement("script");
        again.text = script.innerText;
        element.append(again);
        again.remove();
    }
}"""


def blank(browser, tmp_path, body="", policy=""):
    """An almost empty page from a file, without network."""
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{meta}<body>{body}", encoding="utf-8")
    return opened(browser, tmp_path / "page.html")


def test_vs_code_shows_it(browser, tmp_path, output):
    page, refused, complaints = blank(browser, tmp_path, policy=VSCODE_POLICY)
    page.evaluate(VSCODE_SHOWS, output)
    expect(page.locator(READY)).to_have_count(1)
    assert answers(page, page.locator(READY))
    assert refused == [] and complaints == []
    page.context.close()


def test_a_sandboxed_frame_as_in_colab_shows_it(browser, tmp_path, output):
    frame = f'<iframe sandbox="allow-scripts" width=1000 height=800 srcdoc="{escape(output)}"></iframe>'
    page, refused, complaints = blank(browser, tmp_path, frame)
    host = page.frame_locator("iframe").locator(READY)
    expect(host).to_have_count(1)
    assert answers(page, host)
    assert refused == [] and complaints == []
    page.context.close()


def test_one_output_twice_in_a_page_is_two_comparers(browser, tmp_path, output):
    page, _, complaints = blank(browser, tmp_path)
    for _ in range(2):
        page.evaluate(VSCODE_SHOWS, output)
    expect(page.locator(READY)).to_have_count(2)
    one, other = page.locator(READY).all()
    before = other.evaluate(STATE)
    assert answers(page, one) and other.evaluate(STATE) == before
    assert answers(page, other)
    assert complaints == []
    page.context.close()
