"""The results board: what every method of the course makes of the same scanned pages, from the first lesson on."""

import json
import os
import time
from html import escape
from pathlib import Path

from course_utils.files import CourseError, atomic
from course_utils.seeds import mean_and_spread

SCANNERS = {"test": "known", "unseen": "unseen"}  # folder of pages -> what the board calls their scanners
SCAN = "the scan as it is"
HEAD = (
    "method",
    "PSNR, known scanners",
    "gain",
    "PSNR, unseen scanner",
    "SSIM",
    "mean Y off by",
    "parameters",
    "s/page",
)
NAME, FIGURE = (f"text-align:{side};padding:3px 10px;white-space:nowrap" for side in ("left", "right"))
BAR = (
    '<span style="display:inline-block;height:0.7em;width:{width:.0f}px;background:#4a86c5;margin-right:6px" '
    'aria-hidden="true"></span>'
)


class Board:
    """The results so far: a table that grows from lesson to lesson, and that a notebook shows as such.

    Every method restores the same test pages, scanned by known scanners and by one that no training sees, and is
    measured by `metrics.evaluate`. The results of a budget (test, cpu, gpu) are kept in one file, `board-cpu.json` in
    `data.home()`, or where the environment variable COURSE_BOARD says: the next lesson finds them again. Methods stand
    in the order of the lessons; one that is added again takes the place of its former result.

    Args:
        lesson: the lesson that adds to it, for example "02_srcnn".
        path: the file; default: as above.
        profile: the budget, "test", "cpu" or "gpu"; default: the current one.

    Attributes:
        results: a list of {"method", "lesson", "parameters", "seconds", "known", "unseen"}, the last two as
            `metrics.evaluate` gives them, means over the seeds; seconds for a page; parameters None for what is no
            network. With several seeds also "spread": {"seeds": how many, "known": dB, "unseen": dB}.
    """

    def __init__(self, lesson, path=None, profile=None):
        from course_utils.data import home
        from course_utils.profiles import current

        self.lesson, self.profile = lesson, profile or current().name
        self.path = Path(path or os.environ.get("COURSE_BOARD") or home() / f"board-{self.profile}.json")
        self.results = _read(self.path)

    def add(self, method, restore):
        """Restore the test pages, measure them, print a line, keep the result, and return it.

        Args:
            method: what to call it, for example "median 3 × 3".
            restore: a network with `restore` (see course_utils.inference), or a function from a scan, float (3, H, W)
                in [0, 1], to the restored page, of the same shape; values beyond [0, 1] are clipped. Or a list of
                these, trained alike but for the seed: the board then shows their mean and its spread.

        Raises:
            CourseError: no name, an empty list; as `metrics.evaluate`.
        """
        if not method:
            raise CourseError("a result on the board needs the name of its method")
        if isinstance(restore, list | tuple) and not restore:
            raise CourseError(f"{method}: the list of networks is empty; give one for each seed")
        if method != SCAN and all(result["method"] != SCAN for result in self.results):
            self._keep(SCAN, "", lambda scan: scan)
        result = self._keep(method, self.lesson, restore)
        print(self._line(result))
        return result

    def _keep(self, method, lesson, restore):
        runs = [measured(run, self.profile) for run in (restore if isinstance(restore, list | tuple) else [restore])]
        result = {"method": method, "lesson": lesson} | summary(runs)
        kept = {each["method"]: each for each in _read(self.path)} | {method: result}  # in the place of a former one
        self.results = sorted(kept.values(), key=lambda each: each["lesson"])  # a stable sort
        with atomic(self.path) as temporary:
            temporary.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        return result

    def gain(self, result):
        """The decibels of a result over the scan as it is, on the known scanners."""
        scan = next(each for each in self.results if each["method"] == SCAN)
        return result["known"]["psnr"] - scan["known"]["psnr"]

    def _line(self, result):
        known, spread = result["known"], result.get("spread")
        size = "" if result["parameters"] is None else f", {result['parameters']:,} parameters"
        seeds = f", {spread['seeds']} seeds" if spread else ""
        return (
            f"{result['method']}{seeds}: {decibels(result, 'known')} dB ({self.gain(result):+.2f}), unseen scanner "
            f"{decibels(result, 'unseen')} dB, SSIM {known['ssim']:.3f}, mean Y off by {known['luma_error']:.2f}{size}"
        )

    def rows(self):
        """The cells of the table as text, a list for each result, as HEAD names them."""
        return [
            [
                result["method"],
                decibels(result, "known"),
                f"{self.gain(result):+.2f}",
                decibels(result, "unseen"),
                f"{result['known']['ssim']:.3f}",
                f"{result['known']['luma_error']:.2f}",
                "" if result["parameters"] is None else f"{result['parameters']:,}",
                f"{result['seconds']:.2f}",
            ]
            for result in self.results
        ]

    def __repr__(self):
        rows = [HEAD, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
        aligned = [
            [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))] for row in rows
        ]
        return "\n".join("  ".join(cells).rstrip() for cells in aligned)

    def _repr_html_(self):
        if not self.results:
            return "<p>The results board is empty; <code>board.add</code> puts the first result on it.</p>"
        most = max([self.gain(result) for result in self.results] + [0.01])
        best = max(self.results, key=self.gain)
        lines = []
        for result, (method, *cells) in zip(self.results, self.rows(), strict=True):
            cells = [escape(text) for text in cells]
            cells[1] = BAR.format(width=90 * max(self.gain(result), 0) / most) + cells[1]
            weight = ";font-weight:bold" if result is best and result["method"] != SCAN else ";font-weight:normal"
            first = f'<th scope="row" style="{NAME}{weight}">{escape(method)}</th>'
            lines.append(f"<tr>{first}{''.join(f'<td style={FIGURE!r}>{text}</td>' for text in cells)}</tr>")
        heads = [f'<th scope="col" style="{FIGURE if i else NAME}">{escape(head)}</th>' for i, head in enumerate(HEAD)]
        caption = "PSNR in dB, the gain over the scan beside it; SSIM and mean Y (in grey levels) on the known scanners"
        if any("spread" in result for result in self.results):
            caption += ". With ±: mean and standard deviation over runs that differ in their seed"
        return (
            '<div style="overflow-x:auto" tabindex="0" role="group" aria-label="Results board">'
            f'<table style="border-collapse:collapse"><caption style="{NAME};caption-side:bottom">{caption}</caption>'
            f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        )


def measured(restore, profile):
    """One run on the test pages: {"parameters", "seconds", "known", "unseen"}, as `Board.results` has them."""
    from course_utils.metrics import evaluate

    result, seconds = {"parameters": parameters(restore)}, []
    for part, scanner in SCANNERS.items():
        scans, originals = _pages(part, profile)
        start = time.perf_counter()
        restored = [_restored(restore, scan) for scan in scans]
        seconds.append((time.perf_counter() - start) / len(scans))
        result[scanner] = evaluate(restored, originals)
    return result | {"seconds": min(seconds)}  # the first pages also warm up


def summary(runs):
    """Several runs as one result: means, and the spread of the PSNR where there are several."""
    result = {"parameters": runs[0]["parameters"], "seconds": min(run["seconds"] for run in runs)}
    for scanner in SCANNERS.values():
        result[scanner] = {name: mean_and_spread([run[scanner][name] for run in runs])[0] for name in runs[0][scanner]}
    if len(runs) > 1:
        spread = {name: mean_and_spread([run[name]["psnr"] for run in runs])[1] for name in SCANNERS.values()}
        result["spread"] = {"seeds": len(runs)} | spread
    return result


def decibels(result, scanner):
    """The PSNR of a result as text, "26.11 ± 0.12", or "26.11" for a single run."""
    spread = result.get("spread")
    return f"{result[scanner]['psnr']:.2f}" + (f" ± {spread[scanner]:.2f}" if spread else "")


def parameters(restore):
    """How many numbers a network learns; None for a function."""
    return sum(p.numel() for p in restore.parameters()) if hasattr(restore, "parameters") else None


def _pages(part, profile):
    """(scans, originals) of the pages that every lesson tests on: lists of float (3, H, W)."""
    from course_utils.data import PairedImages, course_pages, pairs_in

    pairs = PairedImages(pairs_in(course_pages(profile) / part))
    scans, originals = zip(*(pairs[i] for i in range(len(pairs))), strict=True)
    return list(scans), list(originals)


def _restored(method, scan):
    from course_utils.inference import restore

    image = restore(method, scan) if hasattr(method, "restore") else method(scan.clone())
    return image.detach().float().clamp(0, 1)


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}: the results board cannot be read ({error}); remove the file to begin anew"
        ) from None
