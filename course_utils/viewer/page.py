"""A page of one file: text, tables and pictures, for a desk and a phone, in light and dark."""

from html import escape
from pathlib import Path

from course_utils.files import CourseError, atomic

STYLE = """
:root{color-scheme:light dark}*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;max-width:1640px;margin:0 auto;padding:16px;overflow-wrap:break-word}
h1{font-size:26px;line-height:1.25}h2{font-size:19px;margin-top:32px}
img{max-width:100%;height:auto}figure{margin:12px 0}
.cu-table{overflow-x:auto;max-width:max-content;margin:12px 0}table{border-collapse:collapse}
th,td{padding:4px 14px;text-align:right;border-bottom:1px solid #888;overflow-wrap:normal}
th:first-child,td:first-child{text-align:left}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


def write_page(path, title, parts):
    """Write a self-contained HTML page; the file appears when it is complete.

    Args:
        path: of the page.
        title: its name, and its heading.
        parts: what stands on it, in order: strings of HTML (see `table`), and what a notebook would show as HTML: a
            Picture, a comparison.

    Returns:
        The path.

    Raises:
        CourseError: a part that has no HTML.
    """
    body = "\n".join(_html(part) for part in parts)
    with atomic(path) as temporary:
        temporary.write_text(PAGE.format(title=escape(title), style=STYLE, body=body), encoding="utf-8")
    return Path(path)


def table(head, rows):
    """A table as HTML, the first cell of each row its heading. Where it is too wide, it scrolls in a box of its own.

    Args:
        head: the headings of the columns.
        rows: a list of lists of cells, as long as `head`; cells are text, not HTML.

    Raises:
        CourseError: a row of another length.
    """
    for row in rows:
        if len(row) != len(head):
            raise CourseError(f"the row {tuple(row)} has {len(row)} cells, the head {len(head)}; give one for each")
    cells = "".join(f"<th scope=col>{escape(str(cell))}</th>" for cell in head)
    lines = [
        f"<tr><th scope=row>{escape(str(first))}</th>{''.join(f'<td>{escape(str(cell))}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    ]
    box = f'<div class="cu-table" tabindex="0" role="group" aria-label="Table: {escape(", ".join(map(str, head)))}">'
    return f"{box}<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def _html(part):
    """`part` itself if it is a string; else what a notebook would show of it."""
    html = part if isinstance(part, str) else None
    if html is None and hasattr(part, "_repr_html_"):
        html = part._repr_html_()
    if html is None:
        html = getattr(part, "html", None)
    if not isinstance(html, str):
        raise CourseError(f"{part!r:.80} is a {type(part).__name__} without HTML; give a string or a Picture")
    return html
