"""The pages that the kit writes, opened in a real browser from a file, with every request to elsewhere refused."""

import re
import shutil

import pytest

from course_utils import authoring, demo

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BADGE = re.compile(r"https://colab\.research\.google\.com/assets/colab-badge\.svg")
LOADED = """[...document.images].map(
    i => [i.complete && i.naturalWidth > 0, i.alt, i.naturalWidth, i.getBoundingClientRect().width])"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser, path, **options):
    """The page, and the addresses that it asked for besides itself."""
    page, asked = browser.new_page(**options), []
    page.route(re.compile("^(?!file:|data:)"), lambda route: (asked.append(route.request.url), route.abort()))
    page.goto(path.resolve().as_uri())
    return page, asked


@pytest.fixture(scope="module")
def demo_page(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROFILE", "test")
        demo.run(tmp_path_factory.mktemp("demo"))
    return sorted(tmp_path_factory.getbasetemp().glob("demo*/index.html"))[-1]


@pytest.mark.parametrize("scripts", [True, False])
def test_the_demo_page_shows_its_images_without_network_or_scripts(browser, demo_page, scripts):
    page, asked = opened(browser, demo_page, java_script_enabled=scripts)
    assert not asked
    images = page.locator("img")
    assert images.count() >= 7
    if scripts:
        shown = page.evaluate(LOADED)
        assert all(loaded and alt for loaded, alt, *_ in shown)
        assert all(drawn <= natural + 1 for _, _, natural, drawn in shown)  # never blown up and blurred
    assert page.get_by_role("heading", level=1).inner_text().startswith("Descanning")
    assert "unseen scanner: restored" in page.get_by_role("table").inner_text()


@pytest.mark.parametrize("width", [390, 1400])
def test_the_demo_page_fits_a_phone_and_a_desk(browser, demo_page, width):
    page, _ = opened(browser, demo_page, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_lesson_opens_from_a_file(browser, tmp_path):
    root = authoring.find_root()
    path = authoring.run("00_welcome", root, tmp_path, solution=True, profile="test", progress=False)
    page, asked = opened(browser, path)
    assert [address for address in asked if not BADGE.match(address)] == []
    shown = [image for image in page.evaluate(LOADED) if image[1] != "Open in Colab"]
    assert len(shown) >= 20 and all(loaded and alt for loaded, alt, *_ in shown)
    assert page.get_by_role("heading", level=1).count() == 1
