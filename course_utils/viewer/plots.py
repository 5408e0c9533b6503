"""Grids of images, training curves and scores, each with a text that says what is to be seen.

They look alike in every notebook: neither the user's matplotlib style and backend nor a dark theme changes them, and
they change nothing there.
"""

import base64
import io
import math
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path

from course_utils.files import CourseError, atomic
from course_utils.seeds import mean_and_spread, with_spread

# Four of Okabe and Ito's colours ("Color Universal Design", 2008) that also differ in lightness, for print in grey.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#009E73")
MARKERS, DASHES = ("o", "s", "^", "D", "v"), ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
BEST, OTHERS = "#0072B2", "#BFD9E8"
STYLE = {
    "figure.dpi": 72,  # a point is a pixel, in PNG, SVG and PDF alike
    "figure.constrained_layout.w_pad": 0.12,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "text.parse_math": False,  # a $ in a name is a dollar
    "svg.hashsalt": "course_utils",  # the same ids, and so the same bytes, each time
}
METRICS = {  # name -> what it is called, which direction is better, how it is written
    "psnr": ("PSNR (dB)", "higher", "{:.2f}"),
    "ssim": ("SSIM", "higher", "{:.4f}"),
    "luma_error": ("mean-Y error (grey levels)", "lower", "{:.2f}"),
}
MOST_IMAGES, MOST_PIXELS = 64, 40_000_000
WIDTH, VISIBLE, GAP, LINE, LABEL = 1080, 160, 12, 17, 96  # of a grid, in pixels


@dataclass(frozen=True, repr=False)
class Picture:
    """A matplotlib figure as notebooks and pages show it: a PNG with a text for those who do not see it.

    Args:
        figure: the matplotlib Figure; what is added to it is drawn too.
        alt: what is to be seen, in words: the alt text in HTML, and all there is in a terminal.
        caption: shown under the figure.
        density: pixels of the PNG for each pixel of the page; 2 keeps letters sharp on fine screens.
    """

    figure: object
    alt: str
    caption: str = ""
    density: int = 1

    @property
    def png(self):
        """The bytes of the PNG, the same for the same figure."""
        buffer = io.BytesIO()
        self._draw(buffer, "png")
        return buffer.getvalue()

    @property
    def html(self):
        """`<figure>`, self-contained; as wide as the figure, or as the page where that is narrower."""
        source = base64.b64encode(self.png).decode()
        width = round(self.figure.get_figwidth() * 72)
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        style = "display:block;max-width:100%;height:auto;background:#fff"
        image = f'<img alt="{escape(self.alt)}" width="{width}" style="{style}" src="data:image/png;base64,{source}">'
        return f'<figure style="margin:8px 0">{image}{caption}</figure>'

    def save(self, path):
        """Write the figure as PNG, SVG or PDF, by the suffix; returns the path. The file appears when it is complete.

        Raises:
            CourseError: another suffix.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in ("png", "svg", "pdf"):
            raise CourseError(f"{path}: a figure is saved as .png, .svg or .pdf; change the suffix")
        with atomic(path) as temporary:
            self._draw(temporary, kind)
        return path

    def _draw(self, file, kind):
        about = {"png": {"Description": self.alt}, "svg": {"Title": self.alt, "Date": None}}
        about["pdf"] = {"Title": self.alt, "CreationDate": None}
        with _style():
            self.figure.savefig(file, format=kind, dpi=72 * self.density, metadata=about[kind])

    def _repr_html_(self):
        return self.html

    def __repr__(self):
        return " ".join(self.alt.split())


def show_batch(images, names=None, columns=None, zoom=None, title=""):
    """Show images in a grid, pixel for pixel: each pixel becomes a square of zoom x zoom pixels of the PNG.

    Args:
        images: one image, a batch, a list of images of any sizes, or a dict name -> image; of more than 64, the first
            64 are shown. An image has 1 or 3 channels, float in [0, 1], uint8 or bool: a tensor (C, H, W) or (H, W),
            an array (H, W, C) or (H, W), a PIL image, or the path of a file (see images.as_batch).
        names: one for each image, written under it.
        columns: images in a row; by default as many as fit.
        zoom: a whole number; by default small images are enlarged until they are easy to see.
        title: written above.

    Returns:
        A Picture.

    Raises:
        CourseError: no images, what is not an image, values outside [0, 1], more or fewer names than images, columns
            or zoom that are not whole numbers from 1, or a grid of more than 40 million pixels.
    """
    images, names = _listed(images, names)
    total, names = len(images), None if names is None else names[:MOST_IMAGES]
    labels = [f"images[{i}]" for i in range(total)] if names is None else [f"image {name!r}" for name in names]
    arrays = [_pixels(image, label) for image, label in zip(images[:MOST_IMAGES], labels, strict=False)]
    columns, zoom = _layout(arrays, names, columns, zoom)
    figure = _grid(arrays, names or [""] * len(arrays), columns, zoom, title)
    note = f"The first {MOST_IMAGES} of {total:,} images." if total > MOST_IMAGES else ""
    return Picture(figure, _grid_in_words(arrays, names, columns, title, note), note)


def plot_history(history):
    """Plot training loss and validation PSNR over the steps, with the step of the best PSNR.

    Args:
        history: a training.History, or a dict name -> History to lay several runs over each other.

    Returns:
        A Picture.

    Raises:
        CourseError: no history, or one without a validation.
    """
    runs = {str(name): run for name, run in history.items()} if isinstance(history, dict) else {"": history}
    if not runs:
        raise CourseError("there is no history to plot; give at least one")
    for name, run in runs.items():
        if not run.steps:
            who = f"the history {name!r}" if name else "the history"
            raise CourseError(f"{who} holds no validation, so there is nothing to plot; train for more steps")
    with _style():
        figure = _figure(860, 300 + (22 * len(runs) if isinstance(history, dict) else 0))
        axes = figure.subplots(1, 2)
        for i, (name, run) in enumerate(runs.items()):
            _draw_run(axes, i, name, run)
        _label_axes(figure, axes, several=isinstance(history, dict))
        _settle(figure)
    said = [_run_in_words(name, run) for name, run in runs.items()]
    return Picture(figure, " ".join(said), density=2)


def plot_metrics(scores):
    """Plot what methods score, a panel for each metric; the best of each panel is dark.

    Args:
        scores: name of the method -> {"psnr": dB, "ssim": at most 1, "luma_error": grey levels}, as metrics.evaluate
            gives them, or some of these, the same ones for every method. Or a list of such scores, one for each seed:
            in place of bars, each run is a ring then, and a line reaches one sample standard deviation to each side
            of their mean.

    Returns:
        A Picture.

    Raises:
        CourseError: no scores, a metric with another name, or one that a method lacks.
    """
    scores = {str(name): list(runs) if isinstance(runs, list | tuple) else [runs] for name, runs in scores.items()}
    metrics = _common_metrics(scores)
    with _style():
        figure = _figure(180 + 227 * len(metrics), 90 + 34 * len(scores))
        axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        said = [_draw_scores(ax, metric, scores) for ax, metric in zip(axes, metrics, strict=True)]
        _settle(figure)
    return Picture(figure, " ".join(said), density=2)


def _style():
    from matplotlib import style

    return style.context(["default", STYLE])


def _figure(width, height, layout="constrained"):
    from matplotlib.figure import Figure  # not pyplot: no backend, no list of open figures

    return Figure(figsize=(width / 72, height / 72), layout=layout)


def _settle(figure):
    """Lay the figure out once: another layout at each drawing would move it by a fraction of a pixel."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _listed(images, names):
    """All forms of `images` -> a list of images, and a list of names or None."""
    if isinstance(images, dict):
        if names is not None:
            raise CourseError(f"names={names!r}, but the dict of images has names; give one of the two")
        images, names = list(images.values()), list(images)
    elif not isinstance(images, list | tuple):
        images = list(images) if getattr(images, "ndim", 3) == 4 else [images]
    if not images:
        raise CourseError("there are no images to show; give at least one")
    names = [names] if isinstance(names, str) else names
    if names is not None and len(names) != len(images):
        raise CourseError(f"names={names!r} does not fit {len(images)} images; give one for each")
    return images, None if names is None else [str(name) for name in names]


def _pixels(image, label):
    """An image of any form -> uint8 (H, W, 3)."""
    from course_utils.images import as_batch, to_array

    batch = as_batch(image, label)  # (N, C, H, W)
    if len(batch) != 1:
        raise CourseError(f"{label} is a batch of {len(batch)} images; give one of them, or the batch alone")
    return to_array(batch[0].expand(3, -1, -1))


def _layout(arrays, names, columns, zoom):
    """The columns and the zoom, where they are None: small images enlarged, rows as long as fit and all as long."""
    for what, value in (("columns", columns), ("zoom", zoom)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise CourseError(f"{what}={value!r} is not a whole number from 1; None chooses one")
    columns = columns and min(columns, len(arrays))
    widest, longest = max(array.shape[1] for array in arrays), max(max(array.shape) for array in arrays)
    if zoom is None:
        zoom = max(1, min(math.ceil(VISIBLE / longest), (WIDTH // (columns or 1) - GAP) // widest))
    if columns is None:
        columns = max(3, (WIDTH - GAP) // (_cell(arrays, names, zoom) + GAP))  # of large images three in a row
        columns = math.ceil(len(arrays) / math.ceil(len(arrays) / columns))
    return columns, zoom


def _cell(arrays, names, zoom):
    return max(zoom * max(array.shape[1] for array in arrays), LABEL if names else 0)


def _grid(arrays, names, columns, zoom, title):
    """Find the places of images and lines of text, from the top down; then paint them."""
    cell = _cell(arrays, any(names), zoom)
    width = columns * (cell + GAP) + GAP
    texts, corners = _lines(title, width / 2, LINE, width), []  # texts: (x, y, line)
    y = LINE * len(texts) + GAP * (2 if texts else 1)
    for start in range(0, len(arrays), columns):
        row, below = arrays[start : start + columns], []
        y += zoom * max(len(array) for array in row)  # images of one row stand on one line
        for i, array in enumerate(row):
            x = GAP + i * (cell + GAP) + cell // 2
            corners.append((y - zoom * len(array), x - zoom * array.shape[1] // 2))
            below += _lines(names[start + i], x, y + LINE, cell)
        y = max([y, *(line[1] + 4 for line in below)]) + GAP
        texts += below
    if width * y > MOST_PIXELS:
        raise CourseError(f"the grid would be {width:,} x {y:,} pixels; show fewer or smaller images, or lower zoom")
    return _painted(width, y, zip(corners, arrays, strict=True), texts, zoom)


def _lines(text, x, y, width):
    return [(x, y + i * LINE, line) for i, line in enumerate(textwrap.wrap(text, int(max(1, width // 8))))]


def _painted(width, height, images, texts, zoom):
    import numpy as np

    canvas = np.full((height, width, 3), 255, np.uint8)
    for (top, left), array in images:
        bottom, right = top + zoom * array.shape[0], left + zoom * array.shape[1]
        canvas[top - 1 : bottom + 1, left - 1 : right + 1] = 150  # a frame, or white paper would have no edge
        canvas[top:bottom, left:right] = array.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with _style():
        figure = _figure(width, height, layout=None)
        figure.figimage(canvas, origin="upper")  # one pixel for one pixel, never resampled
        for x, y, line in texts:
            figure.text(x / width, 1 - y / height, line, ha="center")
    return figure


def _grid_in_words(arrays, names, columns, title, note):
    sizes = sorted({f"{array.shape[1]}x{array.shape[0]}" for array in arrays})
    count = "1 image" if len(arrays) == 1 else f"{len(arrays)} images, {columns} in a row"
    words = [f"{title}." if title else "", note, f"{count}, of {' and '.join(sizes)} pixels"]
    return " ".join(filter(None, words)) + (f": {', '.join(names)}" if names else "") + "."


def _draw_run(axes, i, name, run):
    """Loss at the left, PSNR and its best step at the right; colour, marker and dashes go with the run."""
    color, k = COLOURS[i % len(COLOURS)], i % len(DASHES)
    look = {"color": color, "marker": MARKERS[k], "linestyle": DASHES[k], "markersize": 6, "linewidth": 1.8}
    axes[0].plot(run.steps, run.losses, **look)
    best = f"best: {max(run.psnrs):.2f} dB at step {run.best_step:,}"
    axes[1].plot(run.steps, run.psnrs, label=f"{name}, {best}" if name else None, **look)
    if name:
        axes[1].plot(run.best_step, max(run.psnrs), "o", color=color, markersize=14, fillstyle="none")
    else:
        axes[1].axvline(run.best_step, color=color, linestyle=":", label=best)


def _label_axes(figure, axes, several):
    from matplotlib.ticker import MaxNLocator

    for ax, quantity in zip(axes, ("training loss (mean)", "validation PSNR (dB)"), strict=True):
        ax.set(xlabel="training step", ylabel=quantity, xlim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.xaxis.set_major_formatter("{x:,.0f}")
    if several:
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", frameon=False)
    else:
        axes[1].legend()


def _run_in_words(name, run):
    losses, psnrs = ([format(x, ".4g") for x in run.losses], [format(x, ".2f") for x in run.psnrs])
    went = f"training loss {_span(losses)} and validation PSNR {_span(psnrs)} dB"
    best = f"best {max(run.psnrs):.2f} dB at step {run.best_step:,}"
    said = f"{went} over {run.steps[-1]:,} step{'s' * (run.steps[-1] > 1)}; {best}."
    return f"{name}: {said}" if name else said[0].upper() + said[1:]


def _span(values):
    return values[0] if len(values) == 1 else f"from {values[0]} to {values[-1]}"


def _common_metrics(scores):
    """The metrics that the methods have, in the order of METRICS."""
    found = {metric for runs in scores.values() for score in runs for metric in score}
    if not found or not all(scores.values()):
        raise CourseError("there are no scores to plot; give at least one method with at least one metric")
    for metric in sorted(found):
        if metric not in METRICS:
            raise CourseError(f"{metric!r} is not a metric that is plotted; choose from {', '.join(METRICS)}")
        for name, runs in scores.items():
            if any(metric not in score for score in runs):
                raise CourseError(f"{name!r} has no {metric}, others have; measure all of them with metrics.evaluate")
    return [metric for metric in METRICS if metric in found]


def _draw_scores(ax, metric, scores):
    """One panel: bars, or where methods have several runs, the runs; returns it in words."""
    title, better, form = METRICS[metric]
    runs = {name: [float(score[metric]) for score in each] for name, each in scores.items()}
    means = {name: mean_and_spread(values)[0] for name, values in runs.items()}
    best = (max if better == "higher" else min)(means.values())
    written = {name: with_spread(values, form) for name, values in runs.items()}
    draw = _draw_runs if any(len(values) > 1 for values in runs.values()) else _draw_bars
    draw(ax, runs, written, [mean == best for mean in means.values()])
    names = [textwrap.fill(name, 24) for name in runs]
    ax.set(xlabel=f"{title}\n{better} is better", yticks=range(len(names)), yticklabels=names)
    ax.set(ylim=(len(names) - 0.5, -0.5))  # the first method on top
    ax.tick_params(left=False)
    listed = ", ".join(f"{name} {text}" for name, text in written.items())
    return f"{title}, {better} is better: {listed}."


def _draw_bars(ax, runs, written, best):
    """A bar for each method: from 0, so that lengths can be compared."""
    finite = [abs(value) for (value,) in runs.values() if math.isfinite(value)]
    for i, (name, (value,)) in enumerate(runs.items()):
        length = value if math.isfinite(value) else 1.2 * max(finite, default=1)  # equal images: an infinite PSNR
        color, weight = (BEST, "bold") if best[i] else (OTHERS, "normal")
        bar = ax.barh(i, length, height=0.7, color=color, edgecolor=BEST)
        ax.bar_label(bar, [written[name]], padding=4, weight=weight)
    ax.set(xticks=[])
    ax.margins(x=0.28)
    ax.spines["bottom"].set_visible(False)
    ax.grid(visible=False)


def _draw_runs(ax, runs, written, best):
    """For each method a ring for each run, and a line for their mean and spread: a close look, not from 0."""
    for i, (name, values) in enumerate(runs.items()):
        mean, spread = mean_and_spread(values)
        color, weight = (BEST, "bold") if best[i] else ("#000000", "normal")
        ax.plot(values, [i + 0.22] * len(values), "o", color=color, fillstyle="none")
        ax.errorbar(mean, i, xerr=spread, fmt="|", color=color, markersize=18, markeredgewidth=3, capsize=5)
        ax.annotate(
            written[name],
            (1, i),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            weight=weight,
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    ax.margins(x=0.12)
