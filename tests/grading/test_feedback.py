"""Feedback pages: whatever a student wrote stays text, hidden claims stay hidden, and everybody can read the page."""

import re
import shutil
import unicodedata
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_gradebook import ATTACKS, damaged, exercise, full, poisoned, quick, record, records, result

from course_utils.files import CourseError
from course_utils.grading.feedback import write_feedback, write_index

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
OURS = {"html", "head", "meta", "title", "style", "body", "main", "p", "h1", "h2", "bdi", "b", "div", "span", "section"}
OURS |= {"ul", "li", "code", "pre", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "a", "br"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "style", "aria-hidden", "scope", "href"}
ATTRIBUTES |= {"tabindex", "role", "aria-label"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Page(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.elements, self.open, self.said, self.title, self.comments = [], [], [], "", []
        self.feed(self.html)
        self.close()
        self.text = " ".join("".join(self.said).split())

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} ends where another is open"

    def handle_data(self, data):
        if self.open[-1:] == ["title"]:
            self.title += data
        elif self.open[-1:] != ["style"]:
            self.said.append(data)

    def handle_comment(self, data):
        self.comments.append(data)


def is_ours(page):
    """Nothing on it is made by a student: our elements and attributes alone, all closed, one style, no comment."""
    tags = [tag for tag, _ in page.elements]
    names = {name for _, attributes in page.elements for name in attributes}
    assert set(tags) <= OURS and names <= ATTRIBUTES and not page.open and not page.comments
    assert tags.count("style") == tags.count("title") == tags.count("h1") == tags.count("main") == 1
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in [found for _, found in page.elements]
    styles = [found["style"] for _, found in page.elements if "style" in found]
    assert all(re.fullmatch(r"width:[\d.]+%", style) for style in styles)
    seen = {unicodedata.category(each) for each in re.sub(r"[\n\t\u200c\u200d]", "", page.html)}
    assert not seen & {"Cc", "Cs", "Zl", "Zp"} and not set(page.html) & set(
        "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"
    )
    return True


def page_of(found, folder, **options):
    return Page(write_feedback(found, folder, **options))


def test_a_page_tells_what_was_found(tmp_path):
    said = {"error": "NameError: name 'x'", "where": "line 3 of ada.ipynb: return x", "trace": "Traceback\n  x"}
    raised = exercise("dncnn", "raised", 0, 4, [result("is a module", 4, False)], printed="hello", **said)
    stopped = exercise("train_step", "stopped", 0, 3, [], error="no answer in 10 s", source="")
    exercises = [exercise(notices=["defined 2 times; the last counts"]), raised, stopped]
    exercises.append(exercise("patches", "not attempted", 0, 2, [], source=""))
    found = record(points=2.5, of=18, exercises=exercises, notices=["2 cells were left out"], late=True)
    path = write_feedback(found, tmp_path / "new", title="Lesson 5")
    page = Page(path)
    assert path == tmp_path / "new" / "ada.html" and page.title == "Lesson 5: Ada Lovelace" and is_ours(page)
    for text in (
        "Lesson 5Ada Lovelace2.5 of 18 points",
        "Handed in late.2 cells were left out",
        "psnrpartly right 2 of 9 points",
        "Yes even errors (2 points)",
        "No batches (0 of 2 points)24 dB came, expected 25 dB: a mean?",
        "Grading checked 2 more: 1 holds (0 of 5 points).",
        "defined 2 times; the last counts",
        "dncnnraised an error 0 of 4 pointsNameError: name 'x'line 3 of ada.ipynb: return x",
        "TracebackTraceback x",
        "What it printedhello",
        "Your answerdef psnr(): ...",
        "train_stepstopped 0 of 3 pointsThe answer was stopped",
        "no answer in 10 s",
        "patchesnot attempted 0 of 2 pointsNo answer was found",
        "Graded from ada.ipynb.",
    ):
        assert text in page.text


def test_headings_are_in_order_and_details_are_folded(tmp_path):
    page = page_of(full(), tmp_path)
    assert [tag for tag, _ in page.elements if re.fullmatch(r"h\d", tag)] == ["h1", "h2", "h2"]
    folded = [found for tag, found in page.elements if tag == "details"]
    assert len(folded) == 4 and not any("open" in found for found in folded)


@pytest.mark.parametrize("outcome", ["holds", "does not hold", "raised"])
def test_hidden_claims_are_counted_and_never_told(tmp_path, outcome):
    page = page_of(record(exercises=[exercise(outcome=outcome)]), tmp_path)
    assert "HIDDEN" not in page.html and "Grading checked 2 more" in page.text


@pytest.mark.parametrize(
    ("hold", "told"),
    [
        ([], None),
        ([True], "1 more: 1 holds (3 of 3"),
        ([False], "1 more: none hold (0 of 3"),
        ([True] * 2, "2 more: 2 hold (6 of 6"),
    ],
)
def test_how_many_hidden_claims_hold(tmp_path, hold, told):
    results = [result("visible"), *(result("HIDDEN", 3, each, "HIDDEN", hidden=True) for each in hold)]
    page = page_of(record(exercises=[exercise(results=results)]), tmp_path)
    assert (f"Grading checked {told} points)." in page.text) if told else ("Grading checked" not in page.text)


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_no_text_becomes_more_than_text(tmp_path, attack):
    found = poisoned(full(), attack)
    assert is_ours(page_of(found, tmp_path, title=attack)) and is_ours(
        Page(write_index([found], tmp_path, title=attack))
    )
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 400_000


def test_an_attack_can_still_be_read(tmp_path):
    page = page_of(poisoned(full(), "<script>alert('\x1b\u202e')</script>"), tmp_path)
    assert r"<script>alert('\x1b\u202e')</script>" in page.text and "<script" not in page.html


@given(records, st.text(max_size=20))
@quick
def test_a_page_of_anything_is_ours(tmp_path_factory, found, title):
    folder = tmp_path_factory.mktemp("any")
    for each in (each for one in found["exercises"] for each in one["results"] if each["hidden"]):
        each["text"] = each["sentence"] = "NEVER TOLD"
    page = page_of(found, folder, title=title)
    assert is_ours(page) and "NEVER TOLD" not in page.html and len(list(folder.iterdir())) == 1


@given(st.lists(records, max_size=4))
@quick
def test_an_index_of_anything_is_ours(tmp_path_factory, class_):
    page = Page(write_index(class_, tmp_path_factory.mktemp("any")))
    rows = [tag for tag, _ in page.elements if tag in ("tr", "a")]
    assert is_ours(page) and len(rows) == 1 + 2 * len({each["key"] for each in class_})


@given(damaged())
@quick
def test_a_damaged_record_gives_a_page_or_an_error_and_never_half_a_page(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("damaged")
    try:
        assert is_ours(page_of(found, folder)) and is_ours(Page(write_index([found, record("bob")], folder)))
    except CourseError as error:
        assert list(folder.iterdir()) == [] and "\n" not in str(error)


@pytest.mark.parametrize("key", ["../evil", "a/b", "", ".hidden", "a\0", "C:x"])
def test_a_page_is_never_written_elsewhere(tmp_path, key):
    with pytest.raises(CourseError, match="is no name for a file"):
        write_feedback(record(key), tmp_path / "pages")
    with pytest.raises(CourseError, match="is no name for a file"):
        write_index([record(key)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_index_links_the_pages(tmp_path):
    class_ = [record("zoë-1", "Zoë", points=9), full(rung="rlimits", late=True)]
    for each in class_:
        write_feedback(each, tmp_path / "feedback")
    page = Page(write_index(class_, tmp_path, title="Autumn"))
    links = [unquote(found["href"]) for tag, found in page.elements if tag == "a"]
    assert links == ["feedback/ada.html", "feedback/zoë-1.html"] and all((tmp_path / link).is_file() for link in links)
    assert "Autumn2 submissionsStudentPointspsnrdncnnTo look at" in page.text
    assert (
        "Ada Lovelaceada2 of 9partly right2 of 9stopped0 of 3not trusted: made without a sandbox, late, 2 notices"
        in page.text
    )
    assert "HIDDEN" not in page.html


# --- In a browser ---


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(browser, path, **options):
    """The page in a browser, and what it asked for or said; nothing but the file itself is served."""
    page = browser.new_page(**options)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible(browser, tmp_path, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    write_feedback(full(late=True), tmp_path)
    write_index([full(), record("bob", exercises=[exercise(outcome="holds")])], tmp_path)
    for name in ("ada.html", "index.html"):
        page = opened(browser, tmp_path / name, color_scheme=scheme)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert [found["id"] for found in axe.run(page).response["violations"]] == []
        page.close()


@pytest.mark.parametrize("attack", [12, 0, 4])
def test_a_page_of_attacks_fits_a_phone_and_asks_for_nothing(browser, tmp_path, attack):
    found = poisoned(full(), ATTACKS[attack])
    write_feedback(found, tmp_path)
    write_index([found], tmp_path)
    for name in ("ada.html", "index.html"):
        page = opened(browser, tmp_path / name, viewport={"width": 360, "height": 700})
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.close()
