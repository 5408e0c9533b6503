"""Pages of one file: what may stand on them, and that they can be read on a phone, in the dark, and without eyes."""

import re
import shutil

import pytest
import torch

from course_utils.files import CourseError
from course_utils.viewer.page import table, write_page
from course_utils.viewer.plots import plot_metrics, show_batch

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
WIDE = table([f"column {i}" for i in range(30)], [[f"{i}.{j}" for i in range(30)] for j in range(3)])


class InNotebooks:
    def _repr_html_(self):
        return "<p>seen in notebooks</p>"


class OnPages:
    html = "<p>seen on pages</p>"

    def _repr_html_(self):
        return None


def test_a_page_holds_strings_and_whatever_has_html(tmp_path):
    picture = show_batch(torch.zeros(3, 4, 4))
    path = write_page(tmp_path / "new" / "page.html", "A & <B>", ["<p>text</p>", picture, InNotebooks(), OnPages()])
    page = path.read_text(encoding="utf-8")
    assert page.count("A &amp; &lt;B&gt;") == 2  # the title and the heading
    found = [page.index(part) for part in ("<p>text</p>", picture.html, "seen in notebooks", "seen on pages")]
    assert found == sorted(found)
    assert not re.findall(r"(?:src|href)=.(?!data:)", page) and "<script" not in page
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]


def test_a_part_without_html_is_named_and_the_old_page_stays(tmp_path):
    path = write_page(tmp_path / "page.html", "old", [])
    with pytest.raises(CourseError, match="3.5 is a float without HTML; give a string"):
        write_page(path, "new", ["<p>text</p>", 3.5])
    assert "old" in path.read_text()


def test_a_table_escapes_its_cells_and_can_be_reached_by_keys():
    html = table(["method", "<script>"], [["DnCNN", 24.83], ["<b>", "&"]])
    assert "<script>" not in html and "<b>" not in html and "<td>24.83</td>" in html
    assert html.count("scope=row") == html.count("scope=col") == 2
    assert 'tabindex="0" role="group" aria-label="Table: method, &lt;script&gt;"' in html


def test_a_row_of_another_length_is_named():
    with pytest.raises(CourseError, match=r"the row \('DnCNN',\) has 1 cells, the head 2"):
        table(["method", "PSNR"], [["DnCNN"]])


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    pictures = [show_batch(torch.rand(6, 3, 160, 160), title="A grid"), plot_metrics({"scan": {"psnr": 19.5}})]
    parts = ["<h2>Text</h2><p>As it is.</p>", WIDE, table(["a", "b"], [["1", "2"]]), *pictures]
    return write_page(tmp_path_factory.mktemp("page") / "page.html", "Descanning" + " restored" * 12, parts)


@pytest.mark.parametrize("width", [390, 1400, 2400])
def test_a_page_fits_its_screen(browser, path, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.getBoundingClientRect().width") <= 1640
    box = page.locator(".cu-table").first
    page.keyboard.press("Tab")
    assert box.evaluate("box => box === document.activeElement")
    if width == 390:
        page.keyboard.press("ArrowRight")
        page.wait_for_function("document.activeElement.scrollLeft > 0")
    page.close()


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_a_page_can_be_read_in_light_and_dark(browser, path, scheme, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    page.goto(path.as_uri())
    ink = page.evaluate("getComputedStyle(document.querySelector('p')).color")
    assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 600) == dark
    results = axe.run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()
