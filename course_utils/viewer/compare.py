"""Compare images of one size: in a notebook, in a saved or exported one, in a page of its own, without a network.

The images stand in the page as plain figures. Where scripts may run, compare.js puts the comparer in their place and
reads them from there, so each is stored once, and losslessly. Where scripts may not, the figures remain.
"""

import base64
import contextlib
import io
import json
import math
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from importlib.resources import files
from numbers import Integral
from pathlib import Path

from course_utils.files import CourseError

MODES = ("split", "side", "flicker", "difference")
PAGE_BYTES = 40 * 2**20  # of the images of one page, uncompressed: three of 2048x2048 in colour fit
OUTPUT_BYTES = 24 * 2**20  # of all images, compressed; the first page is shown in any case


def compare(images, reference=None, *, view=None, mode="split", caption=""):
    """Compare two or more images of one size, pixel for pixel; a notebook draws what this returns.

    Args:
        images: name -> image: a tensor, an array, a PIL image or a path, float in [0, 1] or uint8, grey or RGB (see
            `images.as_batch`). Batches become pages to leaf through; a single image among them stands on every page.
        reference: the name of the image that the others are measured against.
        view: (top, left, height, width) in pixels: what is shown at first; None is the whole image.
        mode: "split", "side" (by side), "flicker" or "difference"; the reader can change it.
        caption: a line below, which also describes the images to those who do not see them.

    Returns:
        A Comparison.

    Raises:
        CourseError: fewer than two images, two sizes, values outside [0, 1], NaN, or a reference, view or mode that
            is not there.
    """
    from course_utils.images import as_batch

    images = named(images)
    if len(images) < 2:
        given = f"only {', '.join(images)}" if images else "none"
        raise CourseError(f"compare takes two or more images, {{name: image}}, not {given}; show_batch shows one")
    with one_thread():
        batches = {name: as_batch(image, f"image {name!r}") for name, image in images.items()}
    _check_sizes(batches)
    if reference is not None and str(reference) not in batches:
        given = repr(reference) if isinstance(reference, str | int | float) else f"(a {type(reference).__name__})"
        raise CourseError(f"reference {given} is not the name of an image; choose one of {', '.join(batches)}")
    if mode not in MODES:
        raise CourseError(f"mode {mode!r}: choose one of {', '.join(MODES)}")
    view = checked_view(view, next(iter(batches.values())).shape[-2:])
    return Comparison(_alike(batches), None if reference is None else str(reference), view, mode, str(caption))


def named(images):
    """{name: image} with strings for names, such as a file can hold; CourseError if it is no such dict."""
    if not isinstance(images, dict):
        raise CourseError(f"give the images as {{name: image}}, not as a {type(images).__name__}")
    names = [str(name).encode("utf-8", "replace").decode() for name in images]
    if len(set(names)) < len(names):
        raise CourseError(f"two images have the same name: {', '.join(names)}; rename one")
    return dict(zip(names, images.values(), strict=True))


def checked_view(view, size):
    """`view` as four ints, or None if it is that; CourseError unless it lies within size, (height, width)."""
    if view is None:
        return None
    numbers = list(view) if isinstance(view, tuple | list) else []
    if len(numbers) != 4 or not all(isinstance(number, Integral) for number in numbers):
        raise CourseError(f"view={view!r:.60}: give (top, left, height, width), four whole numbers of pixels")
    top, left, height, width = view = tuple(int(number) for number in numbers)
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > size[0] or left + width > size[1]:
        raise CourseError(f"view={view} (top, left, height, width) reaches beyond the image of {size[0]}x{size[1]}")
    return view


def _check_sizes(batches):
    sizes = {name: tuple(batch.shape[-2:]) for name, batch in batches.items()}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {height}x{width}" for name, (height, width) in sizes.items())
        raise CourseError(f"compare takes images of one size (height x width), not {listed}; crop or resize them first")
    counts = {name: len(batch) for name, batch in batches.items() if len(batch) > 1}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise CourseError(f"batches of different lengths: {listed}; give each the same number of images, or one")


def _alike(batches):
    """All in colour if one is, all of one length."""
    pages = max(len(batch) for batch in batches.values())
    channels = max(batch.shape[1] for batch in batches.values())
    return {name: batch.expand(pages, channels, -1, -1) for name, batch in batches.items()}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Images to compare; made by `compare`. A notebook shows the comparer, a terminal a line of figures.

    Attributes:
        images: name -> float32 (N, C, H, W) in [0, 1], all of one shape; page k shows the k-th of each.
        reference, view, mode, caption: as given to `compare`.
    """

    images: dict = field(repr=False)
    reference: str | None = None
    view: tuple | None = None
    mode: str = "split"
    caption: str = ""

    def metrics(self):
        """PSNR in dB and SSIM to the reference, mean over the pages, of the float images: {name: {"psnr", "ssim"}}.

        SSIM is None for images of less than 11x11 pixels.

        Raises:
            CourseError: there is no reference.
        """
        if self.reference is None:
            raise CourseError("metrics need a reference: compare({...}, reference=NAME)")
        from course_utils.metrics import psnr, ssim

        clean, large = self.images[self.reference], min(self._shape[-2:]) >= 11
        return {
            name: {"psnr": psnr(batch, clean), "ssim": ssim(batch, clean) if large else None}
            for name, batch in self.images.items()
            if name != self.reference
        }

    def save(self, path):
        """Write a page (.html) with the comparer, one file that needs no network; returns its path."""
        from course_utils.viewer.page import write_page

        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise CourseError(f"{path}: the comparer is saved as .html; to_png writes a picture")
        return write_page(path, self.caption or f"Comparison of {', '.join(self.images)}", [self])

    def to_png(self, path, view=None, zoom=None):
        """Write the images of the first page beside each other, with their names and figures, as for a report.

        Args:
            path: a file name with the suffix .png (or .svg, .pdf).
            view: (top, left, height, width) in pixels, the part to show; None is the view of the comparer.
            zoom: how many pixels of the file a pixel gets, a whole number; None makes small parts large.

        Returns:
            The path.

        Raises:
            CourseError: a view that reaches beyond the image, or another suffix.
        """
        from course_utils.viewer.plots import show_batch

        top, left, height, width = checked_view(view, self._shape[-2:]) or self.view or (0, 0, *self._shape[-2:])
        parts = [batch[0, :, top : top + height, left : left + width] for batch in self.images.values()]
        labels = [self._label(name, 0) for name in self.images]
        try:
            picture = show_batch(parts, labels, columns=len(parts), zoom=zoom)
        except CourseError as error:
            raise CourseError(f"{error}; a part of the images: view=(top, left, height, width)") from None
        return picture.save(path)

    @cached_property
    def html(self):
        """The comparer as a piece of HTML that stands on its own."""
        shown, pages, note = self.shown()
        size = (math.ceil(shown.height / shown.factor), math.ceil(shown.width / shown.factor))
        name = f"course-compare-{uuid.uuid4().hex[:12]}"
        stills = "".join(
            _still(source, self._label(image, page), self.caption, shown.view, size)
            for page, sources in enumerate(pages)
            for image, source in zip(self.images, sources, strict=True)
        )
        said = "".join(f"<p>{escape(line)}</p>" for line in (note, self.caption) if line)
        config = self.config(len(pages)) | {"view": shown.view, "note": note}
        return (
            f'<div class="cu-compare" id="{name}" data-lm-suppress-shortcuts="true">'
            f'<div style="display:flex;flex-wrap:wrap;gap:12px">{stills}</div>{said}</div>\n'
            f"<script>(() => {{\n{core()}\nstart({json.dumps(name)}, {_in_script(config)});\n}})();</script>"
        )

    def _repr_html_(self):
        return self.html

    def __repr__(self):
        figures = " | ".join(self._label(name, 0) for name in self.images)
        return f"{figures} (page 1 of {len(self)})" if len(self) > 1 else figures

    def __len__(self):
        return self._shape[0]

    @property
    def _shape(self):
        return next(iter(self.images.values())).shape

    @cached_property
    def _measured(self):
        return _Measured(self.images, self.reference)

    def _label(self, name, page):
        if self.reference is None or name == self.reference:
            return name
        return f"{name}: {self._figures(name, page).split(', ')[0]}"

    def _figures(self, name, page):
        if self.reference is None:
            return ""
        if name == self.reference:
            return "reference"
        psnr, ssim = (self._measured[page][name][metric] for metric in ("psnr", "ssim"))
        figures = f"{psnr:.2f} dB" if math.isfinite(psnr) else "equal"
        return figures if ssim is None else f"{figures}, SSIM {ssim:.3f}"

    def config(self, pages):
        """What compare.js is told, besides the images themselves, about the first `pages` pages."""
        names = list(self.images)
        return {
            "names": names,
            "reference": -1 if self.reference is None else names.index(self.reference),
            "whole": [[self._figures(name, page) for name in names] for page in range(pages)],
            "view": self.view,
            "mode": self.mode,
            "caption": self.caption,
            "note": "",
        }

    def shown(self):
        """What fits into an output: (Shown, [[bytes of each image] for each page], a note on what does not)."""
        from concurrent.futures import ThreadPoolExecutor

        from tqdm import tqdm

        from course_utils.images import to_array

        shown = Shown.of(len(self.images), *self._shape[-2:], self.view)
        pages, total = [], 0
        with ThreadPoolExecutor(2) as pool:
            for page in tqdm(range(len(self)), desc="images", unit="page", leave=False, disable=len(self) < 10):
                with one_thread():
                    arrays = [to_array(shown.cut(batch[page])) for batch in self.images.values()]
                encoding = [pool.submit(encode, array) for array in arrays]
                if self.reference is not None:
                    self._measured[page]  # meanwhile
                pages.append([each.result() for each in encoding])
                total += sum(len(source) for source in pages[-1])
                if total > OUTPUT_BYTES and page:
                    pages.pop()
                    break
        notes = [shown.note] if shown.note else []
        if len(pages) < len(self):
            rest = f"the next ones: compare batches that begin there, images[{len(pages)}:]"
            notes.append(
                f"The first {len(pages)} of {len(self)} pages are shown, as many as an output can hold; {rest}."
            )
        return shown, pages, " ".join(notes)


@dataclass(frozen=True)
class Shown:
    """What of large images is shown: a window of them, or all of it reduced by a whole factor.

    Attributes:
        top, left, height, width: the window, in pixels of the image.
        factor: each pixel shown is the mean of factor x factor of them.
        view: the window that the reader sees first, in pixels of what is shown.
        note: what to tell the reader.
    """

    top: int
    left: int
    height: int
    width: int
    factor: int = 1
    view: tuple | None = None
    note: str = ""

    @classmethod
    def of(cls, images, height, width, view):
        """All of it if `images` images of this size fit into PAGE_BYTES; else a window about the view; else reduced."""
        most = PAGE_BYTES // (3 * images)  # pixels of each
        if height * width <= most:
            return cls(0, 0, height, width, view=view)
        if view and view[2] * view[3] <= most:
            return cls._around(view, height, width, most)
        factor = math.ceil(math.sqrt(height * width / most))
        note = (
            f"{height}x{width} pixels are more than an output can hold, so each pixel shown is the mean of "
            f"{factor}x{factor}; figures of the whole image are of all its pixels. To see pixels as they are, give a "
            f"{'smaller ' if view else ''}part: compare(..., view=(top, left, height, width))."
        )
        if view:
            view = (view[0] // factor, view[1] // factor, max(view[2] // factor, 1), max(view[3] // factor, 1))
        return cls(0, 0, height, width, factor, view, note)

    @classmethod
    def _around(cls, view, height, width, most):
        rows = min(height, int(view[2] * math.sqrt(most / (view[2] * view[3]))))
        columns = min(width, most // rows)
        top = min(max(view[0] + view[2] // 2 - rows // 2, 0), height - rows)
        left = min(max(view[1] + view[3] // 2 - columns // 2, 0), width - columns)
        note = (
            f"Rows {top} to {top + rows - 1} and columns {left} to {left + columns - 1} of {height}x{width} pixels are "
            "shown, as many as an output can hold; figures of the whole image are of all its pixels."
        )
        return cls(top, left, rows, columns, view=(view[0] - top, view[1] - left, *view[2:]), note=note)

    def cut(self, image):
        """Float (C, H, W) -> what is shown of it."""
        from torch.nn.functional import avg_pool2d

        part = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        return part if self.factor == 1 else avg_pool2d(part, self.factor, ceil_mode=True)


class _Measured(dict):
    """page -> {name: {"psnr", "ssim"}} against the reference, measured when first asked for."""

    def __init__(self, images, reference):
        self.images, self.reference = images, reference

    def __missing__(self, page):
        clean = self.images[self.reference][page]
        with one_thread():
            self[page] = {
                name: measure(batch[page], clean) for name, batch in self.images.items() if name != self.reference
            }
        return self[page]


@contextlib.contextmanager
def one_thread():
    """torch on one thread: for small steps beside other work, threads cost more in waiting than they save."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def measure(restored, clean):
    """{"psnr": dB, "ssim": None below 11x11 pixels} of two float images (C, H, W), of all their pixels.

    The SSIM is taken in float32, in half the time: good for the three decimals that are shown.
    """
    from course_utils.metrics import mean_similarity, psnr

    large = min(clean.shape[-2:]) >= 11
    return {"psnr": psnr(restored, clean), "ssim": mean_similarity(restored[None], clean[None]) if large else None}


def encode(array):
    """An image, uint8 (H, W, C), as the bytes of a file, lossless: WebP in colour, smaller and faster, or PNG."""
    from PIL import Image

    file = io.BytesIO()
    if array.shape[-1] == 1 or max(array.shape) > 16383:  # more than WebP can
        Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(file, "PNG", compress_level=1)
    else:
        Image.fromarray(array).save(file, "WEBP", lossless=True, quality=0, method=0)
    return file.getvalue()


def core():
    """compare.js, with the texts of compare.css and compare.html in front."""
    style, markup, script = (
        files("course_utils.viewer").joinpath(f"compare.{suffix}").read_text(encoding="utf-8")
        for suffix in ("css", "html", "js")
    )
    return f"const STYLE = {_in_script(style)};\nconst MARKUP = {_in_script(markup)};\n{script}"


def _in_script(value):
    """A value as JavaScript that cannot end the script element it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _still(source, label, caption, view, size):
    """A figure as it stands in the page where no script runs: the image, or the part of it that `view` tells."""
    kind = "png" if source.startswith(b"\x89PNG") else "webp"
    alt = escape(f"{label}. {caption}" if caption else label)
    frame, style = "", "max-width:100%;height:auto"
    if view:
        top, left, height, width = view
        zoom = max(1, 384 // max(height, width))
        frame = f"overflow:hidden;max-width:100%;width:{width * zoom}px;height:{height * zoom}px"
        style = f"max-width:none;width:{size[1] * zoom}px;margin:-{top * zoom}px 0 0 -{left * zoom}px"
        style += ";image-rendering:pixelated"
    image = f'<img alt="{alt}" style="{style}" src="data:image/{kind};base64,{base64.b64encode(source).decode()}">'
    caption = f"<figcaption>{escape(label)}</figcaption>"
    return f'<figure style="margin:0"><div style="{frame}">{image}</div>{caption}</figure>'
