"""Images beside each other, pixel for pixel: in a notebook cell, or in a page of their own."""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

from course_utils.files import CourseError, atomic

STYLE = """
.cu-row{display:flex;gap:12px;margin:8px 0}.cu-row figure{margin:0;flex:0 1 auto;min-width:0}
.cu-row img{display:block;max-width:100%;height:auto}.cu-row .cu-zoomed{image-rendering:pixelated}
.cu-row figcaption{font:14px/1.4 system-ui,sans-serif;padding:4px 0}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:1640px;margin:24px auto;padding:0 16px;color:#1b1b1b}}
table{{border-collapse:collapse;margin:12px 0}}th,td{{padding:4px 14px;text-align:right;border-bottom:1px solid #ccc}}
th:first-child,td:first-child{{text-align:left}}h1{{font-size:26px}}h2{{font-size:19px;margin-top:32px}}{style}
</style></head><body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


@dataclass(frozen=True)
class Picture:
    """HTML to look at, and a line of text for where there is no HTML."""

    html: str
    text: str

    def _repr_html_(self):
        return f"<style>{STYLE}</style>{self.html}"

    def __repr__(self):
        return self.text


def show(images, reference=None, box=None, zoom=1):
    """Show images beside each other, each with its name and its PSNR to the reference.

    Args:
        images: name -> image, float (C, H, W) in [0, 1] or uint8 (H, W, C), all of one size.
        reference: the name of the image that the others are measured against.
        box: (top, left, height, width): look at this part only. The PSNR is of the whole image all the same.
        zoom: how many screen pixels a pixel gets, a whole number; pixels stay squares.

    Returns:
        A Picture, which a notebook draws.

    Raises:
        CourseError: no images, two sizes, a reference or a box that is not there.
    """
    arrays = {name: _array(image) for name, image in images.items()}
    if len({array.shape for array in arrays.values()}) != 1:
        sizes = ", ".join(f"{name} {array.shape[1]}x{array.shape[0]}" for name, array in arrays.items()) or "none"
        raise CourseError(f"show takes images of one size, not {sizes}")
    if reference is not None and reference not in arrays:
        raise CourseError(f"reference {reference!r}: choose one of {', '.join(arrays)}")
    captions = {name: _caption(name, arrays, reference) for name in arrays}
    rows, columns = _window(box, next(iter(arrays.values())).shape)
    figures = [_figure(captions[name], array[rows, columns], zoom) for name, array in arrays.items()]
    return Picture(f'<div class="cu-row">{"".join(figures)}</div>', " | ".join(captions.values()))


def write_page(path, title, parts):
    """Write a self-contained HTML page; `parts` are HTML strings and Pictures (see `show`, `picture_of`, `table`)."""
    body = "\n".join(part.html if isinstance(part, Picture) else part for part in parts)
    with atomic(path) as temporary:
        temporary.write_text(PAGE.format(title=escape(title), style=STYLE, body=body), encoding="utf-8")
    return Path(path)


def picture_of(figure, caption):
    """A matplotlib figure as a Picture."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return Picture(f'<div class="cu-row">{_html(caption, png.getvalue())}</div>', caption)


def table(head, rows):
    """Rows of text as an HTML table, the first cell of each a heading."""
    cells = "".join(f"<th scope=col>{escape(str(cell))}</th>" for cell in head)
    lines = [
        f"<tr><th scope=row>{escape(str(first))}</th>{''.join(f'<td>{escape(str(cell))}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _array(image):
    import numpy as np

    from course_utils.images import to_array

    return image if isinstance(image, np.ndarray) else to_array(image)


def _caption(name, arrays, reference):
    if reference is None or name == reference:
        return name
    from course_utils.images import to_tensor
    from course_utils.metrics import psnr

    return f"{name}: {psnr(to_tensor(arrays[name]), to_tensor(arrays[reference])):.2f} dB"


def _window(box, shape):
    if box is None:
        return slice(None), slice(None)
    top, left, height, width = box
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > shape[0] or left + width > shape[1]:
        raise CourseError(f"box={box} (top, left, height, width) reaches beyond the image of {shape[1]}x{shape[0]}")
    return slice(top, top + height), slice(left, left + width)


def _figure(caption, array, zoom):
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(png, "png", compress_level=1)
    return _html(caption, png.getvalue(), f' class="cu-zoomed" width="{array.shape[1] * zoom}"' if zoom > 1 else "")


def _html(caption, png, size=""):
    source = base64.b64encode(png).decode()
    return (
        f'<figure><img alt="{escape(caption)}"{size} src="data:image/png;base64,{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
