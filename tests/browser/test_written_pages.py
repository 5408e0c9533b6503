"""The pages that the kit writes, opened in a real browser from a file, with every request to elsewhere refused."""

import re

import pytest

from course_utils import authoring, demo, headless

pytest.importorskip("playwright.sync_api", reason="needs Playwright")
from front_ends import CHROMIUM, chromium, guarded

BADGE = re.compile(r"https://colab\.research\.google\.com/assets/colab-badge\.svg")
LOADED = """[...document.images].map(
    i => [i.complete && i.naturalWidth > 0, i.alt, i.naturalWidth, i.getBoundingClientRect().width])"""
READY = "[...document.querySelectorAll('.cu-compare')].every(host => host.dataset.ready)"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def opened(browser, path, **options):
    """The page, and the addresses that it asked for besides itself."""
    page, asked, _ = guarded(browser, **options)
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
    assert page.locator("img").count() == 13  # a plot, and three images of each of four pages
    if scripts:
        page.wait_for_function(READY)
        assert page.locator(".stage").count() == 4
        assert all(loaded and alt for loaded, alt, *_ in page.evaluate(LOADED))
    else:
        assert all(image.bounding_box()["width"] == 256 for image in page.locator("img").all()[1:])  # a pixel, a pixel
    assert page.get_by_role("heading", level=1).inner_text().startswith("Descanning")
    assert "unseen scanner: restored" in page.get_by_role("table").first.inner_text()
    assert not asked


@pytest.mark.parametrize("width", [390, 1400])
def test_the_demo_page_fits_a_phone_and_a_desk(browser, demo_page, width):
    page, _ = opened(browser, demo_page, viewport={"width": width, "height": 800})
    page.wait_for_function(READY)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_lesson_opens_from_a_file(browser, tmp_path):
    root = authoring.find_root()
    path = headless.run("00_welcome", root, tmp_path, solution=True, profile="test", progress=False)
    page, asked = opened(browser, path)
    page.wait_for_function(READY)
    assert [address for address in asked if not BADGE.match(address)] == []
    shown = [image for image in page.evaluate(LOADED) if image[1] != "Open in Colab"]
    assert len(shown) >= 20 and all(loaded and alt for loaded, alt, *_ in shown)
    assert page.locator(".stage").count() == 9
    assert page.get_by_role("heading", level=1).count() == 1
