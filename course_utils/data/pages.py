"""Magazine pages, set from stories and photographs: a descanning data set that is made rather than downloaded.

The photographs are those of data.photos, the typefaces ship inside matplotlib, the stories in `magazine/*.txt`;
each edition (train, valid, test) has its own.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from tqdm.auto import tqdm

from course_utils.data.photos import EDITIONS, PHOTOGRAPHS, check_edition, inside, open_photograph
from course_utils.files import CourseError, atomic
from course_utils.images import to_tensor, write_image

STORIES = {
    "train": ("train.txt", slice(0, 9)),
    "valid": ("train.txt", slice(9, None)),
    "test": ("test.txt", slice(None)),
}

PAPERS = ("#ffffff", "#fdfcf7", "#f7f2e4", "#fbf6ec", "#eef3f4", "#f6e9dc", "#f3efe9")
ACCENTS = ("#b3202a", "#0d5c8c", "#1d7a55", "#c9731a", "#5a3a86", "#0f7f86", "#8c1d4f", "#d0a019", "#33475b")
DARK_ACCENTS = ("#5e1118", "#0a3d5e", "#0f4a33", "#3d2760", "#22303c")  # for duotones
INK = "#141414"
BODIES = (("STIXGeneral", 14.0), ("DejaVuSerif", 10.0), ("DejaVuSans", 9.5), ("STIXGeneral", 12.5))
HEADS = (("DejaVuSans-Bold", 0.78), ("DejaVuSerif-Bold", 0.82), ("STIXGeneralBol", 1.0), ("DejaVuSans-Bold", 0.95))
OVERSAMPLING = 2  # type is drawn at twice the size and averaged down: finer than Pillow's own anti-aliasing


@dataclass(frozen=True)
class Story:
    """One magazine story, as read from a text file (see `read_stories`)."""

    kicker: str
    headline: str
    standfirst: str
    byline: str
    captions: tuple
    quote: str
    paragraphs: tuple


def read_stories(text):
    """Parse stories: parted by lines of `---`, each eight lines of display type, an empty line, then its paragraphs."""
    stories = []
    for part in text.strip().split("\n---\n"):
        display, *body = part.strip().split("\n\n")
        kicker, headline, standfirst, byline, *captions, quote = display.split("\n")
        stories.append(Story(kicker, headline, standfirst, byline, tuple(captions), quote, tuple(body)))
    return stories


@cache
def _stories(edition):
    name, part = STORIES[edition]
    return read_stories((files("course_utils.data") / "magazine" / name).read_text(encoding="utf-8"))[part]


@cache
def _font(face, size):
    path = inside(f"matplotlib/mpl-data/fonts/ttf/{face}.ttf")
    return ImageFont.truetype(str(path), round(size * OVERSAMPLING))


class Sheet:
    """A page being set. Boxes are (left, top, right, bottom) in pixels of the finished page."""

    def __init__(self, width, height, paper):
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), paper)
        self.draw = ImageDraw.Draw(self.image)

    def _scaled(self, box):
        return tuple(round(value * OVERSAMPLING) for value in box)

    def block(self, box, colour):
        """Fill a box with one colour."""
        self.draw.rectangle(self._scaled(box), fill=colour)

    def rule(self, left, right, y, colour, thickness=1.0):
        """Draw a horizontal rule."""
        self.block((left, y, right, y + thickness - 1 / OVERSAMPLING), colour)

    def picture(self, box, photograph):
        """Fill a box with the middle of a photograph."""
        left, top, right, bottom = self._scaled(box)
        fitted = ImageOps.fit(photograph, (right - left, bottom - top), Image.Resampling.LANCZOS)
        self.image.paste(fitted, (left, top))

    def line(self, left, top, text, face, size, colour=INK, width_factor=1.0):
        """Set one line of type, condensed to `width_factor` of its natural width; returns the width it takes."""
        font = _font(face, size)
        width = int(font.getlength(text)) + 4
        mask = Image.new("L", (width, round(size * OVERSAMPLING * 1.4)))
        ImageDraw.Draw(mask).text((0, 0), text, font=font, fill=255)
        mask = mask.resize((max(1, round(width * width_factor)), mask.height), Image.Resampling.LANCZOS)
        self.image.paste(Image.new("RGB", mask.size, colour), self._scaled((left, top)), mask)
        return mask.width / OVERSAMPLING

    def display(self, box, text, head, size, colour=INK):
        """Set a headline in lines no wider than the box, smaller if it must be; returns where it ends (y)."""
        face, factor = head
        left, top, right, bottom = box
        while size > 10:
            lines = wrap(text.split(), _font(face, size), (right - left) / factor)
            longest = max(_font(face, size).getlength(line) for line in lines) * factor / OVERSAMPLING
            if longest <= right - left and len(lines) * size * 1.12 <= bottom - top:
                break
            size *= 0.92
        for line in lines:
            self.line(left, top, line, face, size, colour, factor)
            top += size * 1.12
        return top + size * 0.2

    def column(self, box, paragraphs, body, colour=INK, justify=True):
        """Set paragraphs into a box, as far as they go; returns the rest and where the type ends (y)."""
        face, size = body
        left, y, right, bottom = box
        font, leading = _font(face, size), size * 1.3
        rest = list(paragraphs)
        indent = 0.0
        while rest and y + leading <= bottom:
            words = rest[0].split()
            line = wrap(words, font, right - left, indent, most=1)[0].split()
            last = len(line) == len(words)
            self._set(left + indent, right, y, line, font, colour, justify and not last)
            rest[0] = " ".join(words[len(line) :])
            indent, y = 0.0, y + leading
            if last:
                rest.pop(0)
                indent = size
        return rest, y

    def _set(self, left, right, y, words, font, colour, justify):
        widths = [font.getlength(word) / OVERSAMPLING for word in words]
        space = font.getlength(" ") / OVERSAMPLING
        if justify and len(words) > 1:
            wide = (right - left - sum(widths)) / (len(words) - 1)
            space = wide if wide < 3 * space else space  # a line with holes looks worse than a ragged one
        for word, width in zip(words, widths, strict=True):
            self.draw.text(self._scaled((left, y)), word, font=font, fill=colour)
            left += width + space

    def finished(self):
        """The page as uint8 (H, W, 3)."""
        return np.asarray(self.image.reduce(OVERSAMPLING))


def wrap(words, font, width, indent=0.0, most=None):
    """Break words into lines no wider than `width` pixels (the first one shorter by `indent`); at most `most` lines."""
    lines, line = [], ""
    room = (width - indent) * OVERSAMPLING
    for word in words:
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > room:
            lines.append(line)
            line, room = word, width * OVERSAMPLING
            if most and len(lines) == most:
                return lines
        else:
            line = longer
    return [*lines, line]


@dataclass(frozen=True)
class Design:
    """What stays the same over one page: story, pictures, colours, typefaces."""

    story: Story
    text: list  # paragraphs, the story's own first: enough to fill any page
    photographs: list
    paper: str
    accent: str
    second: str
    body: tuple
    head: tuple
    folio: int

    @property
    def small(self):
        return self.body[0], self.body[1] * 0.85


def _design(edition, rng):
    stories = [_stories(edition)[i] for i in rng.permutation(len(_stories(edition)))]
    pictures = rng.permutation(len(PHOTOGRAPHS[edition]))[:3]
    first, second = rng.choice(len(ACCENTS), 2, replace=False)
    return Design(
        story=stories[0],
        text=list(chain.from_iterable(story.paragraphs for story in stories)),
        photographs=[_print(open_photograph(PHOTOGRAPHS[edition][i]), rng) for i in pictures],
        paper=PAPERS[rng.integers(len(PAPERS))],
        accent=ACCENTS[first],
        second=ACCENTS[second],
        body=BODIES[rng.integers(len(BODIES))],
        head=HEADS[rng.integers(len(HEADS))],
        folio=int(rng.integers(2, 180)),
    )


def _print(photograph, rng):
    """What a picture editor does: crop, sometimes mirror, adjust, now and then go monochrome or duotone."""
    width, height = photograph.size
    share = rng.uniform(0.62, 1.0)
    left, top = rng.uniform(0, 1 - share, 2)
    photograph = photograph.crop(
        (int(left * width), int(top * height), int((left + share) * width), int((top + share) * height))
    )
    if rng.random() < 0.5:
        photograph = ImageOps.mirror(photograph)
    photograph = ImageEnhance.Brightness(photograph).enhance(rng.uniform(0.9, 1.2))
    photograph = ImageEnhance.Color(photograph).enhance(rng.uniform(0.4, 1.25))
    light = rng.uniform(0.92, 1.08, 3)  # warm or cool, as the picture editor likes it
    photograph = photograph.point([min(255, round(gain * value)) for gain in light for value in range(256)])
    if rng.random() < 0.2:
        dark = DARK_ACCENTS[rng.integers(len(DARK_ACCENTS))] if rng.random() < 0.5 else "#101010"
        photograph = ImageOps.colorize(photograph.convert("L"), dark, "#fbf8f0")
    return photograph


def _columns(sheet, design, box, text, count, justify=True, colour=INK):
    """Set text into `count` columns of a box; returns what is left over."""
    left, top, right, bottom = box
    gutter = 14
    width = (right - left - gutter * (count - 1)) / count
    for number in range(count):
        x = left + number * (width + gutter)
        text, _ = sheet.column((x, top, x + width, bottom), text, design.body, colour, justify)
    return text


def _caption(sheet, design, box, number):
    """A caption below a picture; returns where it ends (y)."""
    caption = design.story.captions[number % len(design.story.captions)]
    face = {"STIXGeneral": "STIXGeneralItalic", "DejaVuSerif": "DejaVuSerif-Italic"}.get(
        design.body[0], "DejaVuSans-Oblique"
    )
    return sheet.column(box, [caption], (face, design.small[1]), "#3a3a3a", justify=False)[1]


def _folio(sheet, design, margin):
    y = sheet.height - margin + 4
    left = design.folio % 2 == 0
    text = f"{design.folio}   {design.story.kicker}" if left else f"{design.story.kicker}   {design.folio}"
    width = _font("DejaVuSans", 8).getlength(text) / OVERSAMPLING
    sheet.line(margin if left else sheet.width - margin - width, y, text, "DejaVuSans", 8, "#555555")


def _opening(sheet, design, box, size, colour=INK, kicker=None):
    """Kicker, headline, standfirst and byline; returns where they end (y)."""
    left, top, right, bottom = box
    sheet.line(left, top, design.story.kicker, "DejaVuSans-Bold", 9, kicker or design.accent)
    y = sheet.display((left, top + 14, right, bottom), design.story.headline, design.head, size, colour)
    italic = ("STIXGeneralItalic", 16.0)
    _, y = sheet.column((left, y, right, bottom), [design.story.standfirst], italic, colour, justify=False)
    _, y = sheet.column(
        (left, y + 2, right, bottom), [design.story.byline], ("DejaVuSans-Bold", 8.5), kicker or design.accent
    )
    return y + 6


def _feature(sheet, design, margin, rng):
    """Headline across the page, one large picture, columns around it."""
    right, bottom = sheet.width - margin, sheet.height - margin - 6
    sheet.rule(margin, right, margin - 6, design.accent, 3)
    top = _opening(sheet, design, (margin, margin, right, sheet.height * 0.42), sheet.width * rng.uniform(0.07, 0.095))
    split = sheet.width * rng.uniform(0.42, 0.6)
    floor = top + (bottom - top) * rng.uniform(0.5, 0.72)
    sheet.picture((split, top, right, floor), design.photographs[0])
    y = _caption(sheet, design, (split, floor + 3, right, bottom), 0)
    count = max(1, round((split - margin) / 170))
    rest = _columns(sheet, design, (margin, top, split - 14, bottom), design.text, count)
    _columns(sheet, design, (split, y + 6, right, bottom), rest, max(1, round((right - split) / 170)))


def _picture_top(sheet, design, margin, rng):
    """A picture that bleeds off three edges, with the headline on it or under it."""
    right, bottom = sheet.width - margin, sheet.height - margin - 6
    floor = sheet.height * rng.uniform(0.38, 0.5)
    sheet.picture((0, 0, sheet.width, floor), design.photographs[0])
    if rng.random() < 0.5:
        sheet.block((margin, floor - 30, sheet.width * 0.86, floor + 8), design.accent)
        sheet.display(
            (margin + 8, floor - 26, sheet.width * 0.85, floor + 8), design.story.headline, design.head, 28, "#ffffff"
        )
        top = floor + 16
        _, top = sheet.column((margin, top, right, bottom), [design.story.standfirst], ("STIXGeneralItalic", 15.5))
    else:
        top = _opening(sheet, design, (margin, floor + 8, right, sheet.height * 0.8), sheet.width * 0.06)
    _columns(sheet, design, (margin, top + 6, right, bottom), design.text, max(2, round(sheet.width / 185)))


def _sidebar(sheet, design, margin, rng):
    """Columns beside a tinted panel with a picture, a pull quote and a list of its own."""
    left, right, bottom = margin, sheet.width - margin, sheet.height - margin - 6
    width = sheet.width * rng.uniform(0.3, 0.37)
    tint = Image.blend(
        Image.new("RGB", (1, 1), design.second), Image.new("RGB", (1, 1), "white"), rng.uniform(0.65, 0.88)
    )
    panel = (right - width + margin * 0.6, 0, sheet.width, sheet.height)
    sheet.block(panel, tint.getpixel((0, 0)))
    inner = (panel[0] + 10, margin, sheet.width - 12, bottom)
    sheet.picture((inner[0], margin, inner[2], margin + (inner[2] - inner[0]) * 0.8), design.photographs[0])
    y = _caption(sheet, design, (inner[0], margin + (inner[2] - inner[0]) * 0.8 + 3, inner[2], bottom), 0)
    sheet.rule(inner[0], inner[2], y + 8, design.second, 2)
    y = sheet.display(
        (inner[0], y + 14, inner[2], y + 150),
        f"\u201c{design.story.quote}\u201d",
        ("STIXGeneralBolIta", 1.0),
        17,
        design.second,
    )
    sheet.rule(inner[0], inner[2], y + 2, design.second, 2)
    sheet.column((inner[0], y + 12, inner[2], bottom), design.text[-3:], design.small, justify=False)
    top = _opening(sheet, design, (left, margin, panel[0] - 14, sheet.height * 0.5), sheet.width * 0.062)
    _columns(sheet, design, (left, top, panel[0] - 14, bottom), design.text, max(1, round((panel[0] - left) / 170)))


def _cover(sheet, design, margin, rng):
    """A picture over the whole page, type reversed out of it, a block of colour with the story's opening."""
    sheet.picture((0, 0, sheet.width, sheet.height), design.photographs[0])
    high = sheet.height * rng.uniform(0.24, 0.34)
    top = sheet.height - high - margin if rng.random() < 0.6 else margin
    right = sheet.width * rng.uniform(0.72, 0.94)
    sheet.block((margin, top, right, top + high), design.accent)
    y = _opening(
        sheet, design, (margin + 12, top + 8, right - 12, top + high), sheet.width * 0.07, "#ffffff", "#ffe9b0"
    )
    sheet.column((margin + 12, y, right - 12, top + high - 4), design.text, design.small, "#ffffff", justify=False)
    title = design.story.kicker
    sheet.line(
        margin, 6 if top > margin else sheet.height * 0.82, title, "DejaVuSerif-Bold", sheet.width * 0.1, "#ffffff", 0.9
    )


def _gallery(sheet, design, margin, rng):
    """Short items in rows, each with a small picture, under a band of colour."""
    right, bottom = sheet.width - margin, sheet.height - margin - 6
    sheet.block((0, 0, sheet.width, margin + 34), design.accent)
    sheet.display((margin, margin - 10, right, margin + 34), design.story.headline, design.head, 27, "#ffffff")
    rows = max(2, round(sheet.height / 170))
    height = (bottom - margin - 46) / rows
    text = design.text
    for row in range(rows):
        top = margin + 46 + row * height
        picture = sheet.width * 0.3
        x = margin if row % 2 == 0 else right - picture
        sheet.picture((x, top, x + picture, top + height - 10), design.photographs[row % len(design.photographs)])
        left = margin + picture + 14 if row % 2 == 0 else margin
        sheet.rule(left, left + right - margin - picture - 14, top, design.second, 2)
        sheet.line(left, top + 5, design.story.captions[row % 3], "DejaVuSans-Bold", 10, design.second, 0.85)
        box = (left, top + 21, left + right - margin - picture - 14, top + height - 8)
        text = _columns(sheet, design, box, text, max(1, round((box[2] - box[0]) / 190)))


LAYOUTS = (_feature, _picture_top, _sidebar, _cover, _gallery)


def magazine_page(rng, edition="train", size=512):
    """Set one magazine page.

    Args:
        rng: a `numpy.random.Generator`; the same state gives the same page.
        edition: "train", "valid" or "test"; editions share neither photographs nor text.
        size: height and width in pixels, or one number for both; type keeps its size, larger pages hold more of it.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        CourseError: an unknown edition, or a page under 256 pixels, where nothing can be set.
    """
    height, width = (size, size) if np.ndim(size) == 0 else size
    check_edition(edition)
    if min(height, width) < 256:
        raise CourseError(f"a page of {width}x{height} pixels has no room for type; make it 256x256 or larger")
    design = _design(edition, rng)
    sheet = Sheet(width, height, design.paper)
    margin = int(rng.integers(22, 34))
    layout = LAYOUTS[rng.integers(len(LAYOUTS))]
    layout(sheet, design, margin, rng)
    if layout is not _cover:
        _folio(sheet, design, margin)
    return sheet.finished()


def make_pages(folder, *, train=24, valid=6, test=6, size=512, seed=0, progress=True):
    """Make the data set `pages`: magazine pages and their scans, as PNG pairs of one name.

    `folder` gets train/, valid/, test/ and unseen/, each with clean/ and scan/. Training, validation and test pages are
    scanned on the known scanners in turn; unseen/ holds the test pages once more, from a scanner that no training sees.
    Each file depends on the seed and its number alone: an interrupted run goes on, a second one does nothing.

    Args:
        train, valid, test: how many pages of each.
        size: height and width in pixels.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        CourseError: the folder holds pages made with other settings.
    """
    folder = Path(folder)
    # The version goes up whenever pages or scans come out differently: old ones are then not taken for new.
    recipe = {"train": train, "valid": valid, "test": test, "size": size, "seed": seed, "version": 1}
    _same_recipe(folder / "recipe.json", recipe)
    parts = [("train", "train", train), ("valid", "valid", valid), ("test", "test", test), ("unseen", "test", test)]
    files = lambda part, i: [folder / part / kind / f"{i:04d}.png" for kind in ("clean", "scan")]
    todo = [(part, edition, i) for part, edition, count in parts for i in range(count)]
    todo = [(part, edition, i) for part, edition, i in todo if not all(path.exists() for path in files(part, i))]
    hidden = not (progress and todo)
    for part, edition, i in tqdm(todo, desc="Making magazine pages", unit="page", disable=hidden, leave=False):
        for path, image in zip(files(part, i), _page_and_scan(part, edition, i, size, seed), strict=True):
            write_image(path, image)
    return folder


def course_pages(profile=None):
    """The folder of pages that the lessons train, validate and test on under a budget; made where it is not there.

    The same for every lesson, so that their results can stand side by side: `pages` of the catalogue under `cpu`, small
    pages under `test`, 200 pages to train on under `gpu`.

    Args:
        profile: its name; default: the current one.
    """
    from course_utils.data.catalogue import fetch, home
    from course_utils.profiles import current

    name = profile or current().name
    if name == "test":
        return make_pages(home() / "pages-small", train=4, valid=1, test=2, size=256)
    return fetch("pages") if name == "cpu" else make_pages(home() / "pages-200", train=200)


def _same_recipe(path, recipe):
    if path.exists():
        found = json.loads(path.read_text())
        if found != recipe:
            other = ", ".join(
                f"{key}={found.get(key)} (asked: {value})" for key, value in recipe.items() if found.get(key) != value
            )
            raise CourseError(f"{path.parent} holds pages made with {other}; choose another folder or remove this one")
        return
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(recipe, indent=1) + "\n")


def _page_and_scan(part, edition, i, size, seed):
    from course_utils.degrade.scan import KNOWN_SCANNERS, UNSEEN_SCANNER, scanner

    number = EDITIONS.index(edition)  # test/ and unseen/ show the same pages
    page, back = (magazine_page(np.random.default_rng((seed, number, i, side)), edition, size) for side in (0, 1))
    name = UNSEEN_SCANNER if part == "unseen" else KNOWN_SCANNERS[i % len(KNOWN_SCANNERS)]
    scan = scanner(name, backs=[to_tensor(back)])(to_tensor(page), np.random.default_rng((seed, number, i, 2)))
    return page, scan
