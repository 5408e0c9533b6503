"""Magazine pages: deterministic, of any size, and no edition knows another's photographs or words."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from course_utils.data import pages
from course_utils.files import CourseError


def page(seed, edition="train", size=512):
    return pages.magazine_page(np.random.default_rng(seed), edition, size)


def test_one_seed_makes_one_page():
    assert np.array_equal(page(3), page(3))
    assert not np.array_equal(page(3), page(4))


@pytest.mark.parametrize("size", [256, 512, (300, 420), (1024, 700)])
@pytest.mark.parametrize("layout", pages.LAYOUTS)
def test_every_layout_sets_a_page_of_any_size(size, layout, monkeypatch):
    monkeypatch.setattr(pages, "LAYOUTS", (layout,))
    made = page(0, "test", size)
    assert made.dtype == np.uint8
    assert made.shape == ((size, size, 3) if isinstance(size, int) else (*size, 3))
    assert made.std() > 15  # something is printed on it


def test_pages_have_type_pictures_and_colour():
    made = np.stack([page(seed) for seed in range(12)]).astype(int)
    dark = (made.max(axis=-1) < 60).mean()
    coloured = (made.max(axis=-1) - made.min(axis=-1) > 40).mean()
    light = (made.min(axis=-1) > 215).mean()
    assert dark > 0.03 and coloured > 0.05 and light > 0.3
    assert len({m.tobytes() for m in made}) == 12


def test_editions_share_no_photograph():
    for one, other in itertools.combinations(pages.EDITIONS, 2):
        assert not set(pages.PHOTOGRAPHS[one]) & set(pages.PHOTOGRAPHS[other])


def test_editions_share_no_text():
    def runs(edition):
        text = []
        for story in pages._stories(edition):
            for part in (
                story.headline,
                story.standfirst,
                story.byline,
                story.quote,
                *story.captions,
                *story.paragraphs,
            ):
                words = part.lower().split()
                text += [tuple(words[i : i + 6]) for i in range(max(1, len(words) - 5))]
        return set(text)

    for one, other in itertools.combinations(pages.EDITIONS, 2):
        assert not runs(one) & runs(other)


def test_stories_are_parsed():
    story = pages.read_stories("KICK\nHead\nStand.\nBy A\nOne.\nTwo.\nThree.\nQuote.\n\nFirst.\n\nSecond.")[0]
    assert (story.kicker, story.headline, story.quote) == ("KICK", "Head", "Quote.")
    assert story.captions == ("One.", "Two.", "Three.") and story.paragraphs == ("First.", "Second.")


def test_lines_of_type_stay_inside_their_column():
    sheet = pages.Sheet(300, 200, "#ffffff")
    words = "the quick brown fox jumps over the lazy dog " * 8
    rest, end = sheet.column((100, 20, 200, 120), [words], ("STIXGeneral", 14.0))
    ink = np.asarray(sheet.image).min(axis=-1) < 128
    rows, columns = np.nonzero(ink)
    assert columns.min() >= 2 * 100 - 2 and columns.max() <= 2 * 200 + 2
    assert rows.max() <= 2 * end and end <= 120
    assert rest and words.endswith(rest[0] + " ")  # what does not fit comes back


def test_wrong_arguments_are_named():
    with pytest.raises(CourseError, match="'tset'.*train, valid, test"):
        page(0, "tset")
    with pytest.raises(CourseError, match="200x200"):
        page(0, size=200)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pages.make_pages(tmp_path_factory.mktemp("pages"), train=2, valid=1, test=2, size=256, progress=False)


def test_make_pages_writes_pairs(made):
    for part, count in (("train", 2), ("valid", 1), ("test", 2), ("unseen", 2)):
        clean, scan = (sorted(path.name for path in (made / part / kind).iterdir()) for kind in ("clean", "scan"))
        assert clean == scan and len(clean) == count
    assert json.loads((made / "recipe.json").read_text())["size"] == 256


def test_unseen_scanner_gets_the_test_pages(made):
    def read(part, kind):
        return np.asarray(Image.open(made / part / kind / "0001.png"))

    assert np.array_equal(read("test", "clean"), read("unseen", "clean"))
    assert not np.array_equal(read("test", "scan"), read("unseen", "scan"))


def test_make_pages_goes_on_where_it_stopped(made):
    lost, kept = made / "train" / "scan" / "0001.png", made / "train" / "scan" / "0000.png"
    content, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    pages.make_pages(made, train=2, valid=1, test=2, size=256, progress=False)
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == time


def test_other_settings_need_another_folder(made):
    with pytest.raises(CourseError, match=r"size=256 \(asked: 512\).*another folder"):
        pages.make_pages(made, train=2, valid=1, test=2, size=512, progress=False)
