"""Grids and curves: exact pixels, words for those who do not see them, and nothing of matplotlib's state touched."""

import base64
import io
import math
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.files import CourseError
from course_utils.images import to_array
from course_utils.training import History
from course_utils.viewer import plots
from course_utils.viewer.plots import Picture, plot_history, plot_metrics, show_batch

SCORES = {
    "scan": {"psnr": 19.5, "ssim": 0.61, "luma_error": 7.3},
    "DnCNN": {"psnr": 24.83, "ssim": 0.75, "luma_error": 1.4},
}


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def holds(png, image, zoom):
    """Does the PNG hold the uint8 (H, W, 3) `image`, each pixel as a square of zoom x zoom, with nothing smoothed?"""
    wanted = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(decoded(png), wanted.shape[:2], axis=(0, 1))
    corners = (windows[..., 0, 0] == wanted[0, 0]).all(axis=-1)  # where the first pixel fits
    return any(np.array_equal(np.moveaxis(windows[y, x], 0, -1), wanted) for y, x in np.argwhere(corners))


def images(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, height, width, generator=generator) for height, width in sizes]


def history(psnrs=(19.5, 24.83, 24.8), losses=(0.31, 0.05, 0.02), every=700):
    steps = [every * (i + 1) for i in range(len(psnrs))]
    return History(steps, list(losses), [{"psnr": psnr} for psnr in psnrs], [float(step) for step in steps])


# ---- grids


@pytest.mark.parametrize("zoom", [1, 2, 3, 7])
def test_each_pixel_becomes_a_square_of_whole_pixels(zoom):
    several = images((5, 9), (13, 7), (1, 1), (40, 31))
    png = show_batch(several, names=["a", "b", "c", "d"], columns=3, zoom=zoom, title="four sizes").png
    assert [holds(png, to_array(image), zoom) for image in several] == [True] * 4


def test_every_form_of_an_image_gives_the_same_picture():
    image = to_array(images((6, 8))[0])
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    forms = [image, image / 255.0, (image / 255).astype(np.float32), tensor, tensor / 255, Image.fromarray(image)]
    forms += [tensor[None], [tensor], [tensor[None]], (image,), image[None]]
    assert len({show_batch(form).png for form in forms}) == 1


def test_grey_images_and_masks_are_shown():
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    shown = np.repeat(grey[..., None], 3, axis=2)
    for form in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None] / 255):
        assert holds(show_batch(form, zoom=2).png, shown, 2)
    assert holds(show_batch(grey > 100, zoom=2).png, np.where(shown > 100, 255, 0).astype(np.uint8), 2)


@pytest.mark.parametrize(
    "count, size, zoom, columns",
    [(1, 28, 6, 1), (8, 28, 6, 4), (16, 40, 4, 6), (3, 512, 1, 3), (7, 512, 1, 3), (2, 160, 1, 2)],
)
def test_small_images_are_enlarged_and_rows_are_as_long_as_each_other(count, size, zoom, columns):
    batch = torch.zeros(count, 1, size, size)
    rows = math.ceil(count / columns)
    height, width, _ = decoded(show_batch(batch).png).shape
    assert (width, height) == (columns * (size * zoom + 12) + 12, rows * (size * zoom + 12) + 12)


def test_columns_and_zoom_are_as_told():
    height, width, _ = decoded(show_batch(torch.zeros(4, 1, 10, 10), columns=4, zoom=3).png).shape
    assert (width, height) == (4 * 42 + 12, 54)
    assert decoded(show_batch(torch.zeros(4, 1, 99, 99), columns=4).png).shape[1] <= 1080


def test_of_many_images_the_first_are_shown_and_the_picture_says_so():
    batch = torch.linspace(0, 1, 100)[:, None, None, None].expand(100, 1, 2, 2)
    picture = show_batch(batch, names=[f"no. {i}" for i in range(100)])
    assert picture.caption == "The first 64 of 100 images." and picture.caption in picture.alt
    assert f"<figcaption>{picture.caption}</figcaption>" in picture.html
    assert "no. 63" in picture.alt and "no. 64" not in picture.alt


def test_the_alt_text_names_title_sizes_and_images():
    picture = show_batch(dict(zip(["scan", "DnCNN <8>"], images((8, 9), (6, 7)), strict=True)), title="A page")
    assert repr(picture) == "A page. 2 images, 2 in a row, of 7x6 and 9x8 pixels: scan, DnCNN <8>."
    assert 'alt="A page. 2 images, 2 in a row, of 7x6 and 9x8 pixels: scan, DnCNN &lt;8&gt;."' in picture.html


def test_long_names_and_dollars_stay_in_their_column():
    names = ["restored by a network with a long name", "$x$ and $\\frac{"]
    picture = show_batch(images((20, 20), (20, 20)), names=names, zoom=5)
    boxes = [text.get_window_extent() for text in picture.figure.texts]
    assert "$x$ and" in [text.get_text() for text in picture.figure.texts]
    assert all(0 <= box.x0 < box.x1 <= 118 or 118 <= box.x0 < box.x1 <= 236 for box in boxes)


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"images": []}, "no images to show; give at least one"),
        ({"images": torch.zeros(0, 3, 4, 4)}, "no images to show"),
        ({"images": {"a": torch.zeros(3, 4, 4)}, "names": ["b"]}, "the dict of images has names"),
        ({"images": torch.zeros(2, 3, 4, 4), "names": ["a"]}, r"names=\['a'\] does not fit 2 images"),
        ({"images": {"noise": torch.full((3, 4, 4), -0.5)}}, r"image 'noise' has values from -0.5 .*clamp"),
        ({"images": [torch.zeros(3, 4, 4), torch.full((3, 4, 4), math.nan)]}, r"images\[1\] holds NaN"),
        ({"images": {"features": torch.zeros(64, 9, 9)}}, r"image 'features' has the shape \(64, 9, 9\)"),
        ({"images": {"pair": torch.zeros(2, 3, 4, 4)}}, "image 'pair' is a batch of 2 images; give one"),
        ({"images": [None]}, r"images\[0\] is a NoneType"),
        ({"images": torch.zeros(3, 4, 4, dtype=torch.int64)}, r"images\[0\] is torch.int64"),
        ({"images": torch.zeros(3, 4, 4), "zoom": 1.5}, "zoom=1.5 is not a whole number"),
        ({"images": torch.zeros(3, 4, 4), "columns": 0}, "columns=0 is not a whole number"),
        ({"images": torch.zeros(3, 400, 400), "zoom": 100}, "40,024 x 40,024 pixels; show fewer"),
    ],
)
def test_wrong_images_are_named(arguments, says):
    with pytest.raises(CourseError, match=says):
        show_batch(**arguments)


# ---- curves and bars


def test_a_history_is_told_in_words():
    assert repr(plot_history(history())) == (
        "Training loss from 0.31 to 0.02 and validation PSNR from 19.50 to 24.80 dB over 2,100 steps; "
        "best 24.83 dB at step 1,400."
    )
    once = plot_history(history([20.0], [0.3], every=1))
    assert repr(once) == "Training loss 0.3 and validation PSNR 20.00 dB over 1 step; best 20.00 dB at step 1."


def test_a_history_shows_loss_psnr_and_the_best_step():
    left, right = plot_history(history()).figure.axes
    assert list(left.lines[0].get_ydata()) == [0.31, 0.05, 0.02] and left.get_ylabel() == "training loss (mean)"
    assert list(right.lines[0].get_ydata()) == [19.5, 24.83, 24.8] and right.get_ylabel() == "validation PSNR (dB)"
    assert list(right.lines[1].get_xdata()) == [1400, 1400]
    assert right.get_legend().get_texts()[0].get_text() == "best: 24.83 dB at step 1,400"


def test_several_histories_lie_over_each_other():
    picture = plot_history({"DnCNN": history(), "8 layers": history((18.0, 19.0), (0.5, 0.4)), 3: history()})
    assert [len(ax.lines) for ax in picture.figure.axes] == [3, 6]  # at the right each run and a ring around its best
    labels = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert labels[0] == "DnCNN, best: 24.83 dB at step 1,400" and len(labels) == 3
    assert (
        picture.alt.startswith("DnCNN: training loss from 0.31") and "8 layers: training loss from 0.5" in picture.alt
    )


def test_metrics_say_which_direction_is_better_and_show_the_best():
    picture = plot_metrics(SCORES)
    labels = [ax.get_xlabel() for ax in picture.figure.axes]
    assert labels == [
        "PSNR (dB)\nhigher is better",
        "SSIM\nhigher is better",
        "mean-Y error (grey levels)\nlower is better",
    ]
    for ax, values in zip(
        picture.figure.axes, (["19.50", "24.83"], ["0.6100", "0.7500"], ["7.30", "1.40"]), strict=True
    ):
        assert [text.get_text() for text in ax.texts] == values
        assert [text.get_weight() for text in ax.texts] == ["normal", "bold"]
    assert repr(picture).startswith("PSNR (dB), higher is better: scan 19.50, DnCNN 24.83. SSIM, higher")


def test_scores_of_several_seeds_are_rings_and_a_line_as_long_as_their_spread():
    runs = [{"psnr": value} for value in (20.0, 21.0, 22.0)]
    picture = plot_metrics({"one run": {"psnr": 20.5}, "three": runs})
    (ax,) = picture.figure.axes
    assert [text.get_text() for text in ax.texts] == ["20.50", "21.00 ± 1.00"]
    assert [text.get_weight() for text in ax.texts] == ["normal", "bold"]
    rings = [sorted(line.get_xdata()) for line in ax.lines if line.get_fillstyle() == "none"]
    assert rings == [[20.5], [20.0, 21.0, 22.0]]
    lines = [bars.lines[2][0].get_segments()[0] for bars in ax.containers if bars.has_xerr]
    assert [sorted(x for x, _ in line) for line in lines] == [[20.0, 22.0]]
    assert "three 21.00 ± 1.00" in picture.alt and decoded(picture.png).size


def test_what_is_infinite_or_negative_is_drawn():
    picture = plot_metrics({"equal": {"psnr": math.inf}, "far off": {"psnr": -3.0}})
    assert "equal inf, far off -3.00" in picture.alt and decoded(picture.png).size
    assert decoded(plot_history(history((math.inf,), (0.0,))).png).size


@pytest.mark.parametrize(
    "plot, argument, says",
    [
        (plot_history, History(), "the history holds no validation.*train for more steps"),
        (plot_history, {"a": history(), "b": History()}, "the history 'b' holds no validation"),
        (plot_history, {}, "no history to plot; give at least one"),
        (plot_metrics, {}, "no scores to plot"),
        (plot_metrics, {"a": {}}, "no scores to plot"),
        (plot_metrics, {"a": []}, "no scores to plot"),
        (plot_metrics, {"a": {"psnr": 1.0}, "b": []}, "no scores to plot"),
        (plot_metrics, {"a": {"psnr": 1.0}, "b": [{"psnr": 1.0}, {}]}, "'b' has no psnr"),
        (plot_metrics, {"a": {"psnr": 1.0}, "b": {"ssim": 1.0}}, "'b' has no psnr"),
        (plot_metrics, {"a": {"PSNR": 1.0}}, "'PSNR' is not a metric .* choose from psnr, ssim, luma_error"),
    ],
)
def test_what_cannot_be_plotted_is_named(plot, argument, says):
    with pytest.raises(CourseError, match=says):
        plot(argument)


def lightness(colour):
    """L* of CIELAB, 0 (black) to 100 (white): what is left of a colour in grey print."""
    from skimage.color import rgb2lab

    return rgb2lab(matplotlib.colors.to_rgb(colour))[0]


def test_colours_differ_in_grey_print():
    levels = sorted(map(lightness, plots.COLOURS))
    assert np.diff(levels).min() > 10 and levels[-1] < 80  # of each other, and of white paper
    assert lightness(plots.OTHERS) - lightness(plots.BEST) > 35


def test_twenty_runs_look_different():
    picture = plot_history({str(i): history() for i in range(20)})
    lines = picture.figure.axes[0].lines
    assert len({(line.get_color(), line.get_marker(), str(line._dash_pattern)) for line in lines}) == 20


# ---- pictures

PICTURES = {
    "grid": lambda: show_batch(images((8, 9), (6, 7)), names=["a", "b"]),
    "history": lambda: plot_history(history()),
    "histories": lambda: plot_history({"a": history(), "b": history()}),
    "metrics": lambda: plot_metrics(SCORES),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_a_picture_is_one_figure_with_a_text(make):
    picture = make()
    html = picture._repr_html_()
    assert isinstance(picture, Picture) and html == picture.html
    source = re.search(r'<img alt="[^"]{20,}" width="(\d+)" .*src="data:image/png;base64,([^"]+)"', html)
    png = base64.b64decode(source[2])
    assert png == picture.png and decoded(png).shape[1] == picture.density * int(source[1])
    assert (decoded(png)[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()  # a light ground of its own


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_the_same_input_gives_the_same_bytes_whatever_the_style(make, tmp_path):
    def saved(folder):
        picture = make()
        return [picture.save(tmp_path / folder / f"figure.{kind}").read_bytes() for kind in ("png", "svg", "pdf")]

    first = saved("a")
    with matplotlib.style.context("dark_background"), matplotlib.rc_context({"savefig.bbox": "tight", "font.size": 30}):
        assert saved("b") == first
    assert [file[:4] for file in first] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert b"<title>" in first[1]  # the alt text
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["figure.pdf", "figure.png", "figure.svg"]


@pytest.mark.parametrize("name", ["figure.jpg", "figure"])
def test_a_figure_is_saved_by_its_suffix(name, tmp_path):
    with pytest.raises(CourseError, match=f"{name}: a figure is saved as .png, .svg or .pdf; change the suffix"):
        show_batch(torch.zeros(3, 4, 4)).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_added_to_the_figure_is_drawn():
    picture = plot_metrics(SCORES)
    before = picture.png
    picture.figure.axes[0].axvline(22)
    assert picture.png != before


ALONE = """
import sys
import matplotlib
import torch
from course_utils.viewer import plots
from course_utils.training import History
def settings():
    # as they are stored: to ask for the backend in the usual way would choose one, and import pyplot
    return {name: dict.__getitem__(matplotlib.rcParams, name) for name in matplotlib.rcParams}
before = settings()
pictures = [plots.plot_history(History([1], [0.3], [{"psnr": 20.0}], [1.0])), plots.plot_metrics({"a": {"ssim": 1}})]
pictures.append(plots.show_batch(torch.zeros(3, 9, 9)))
for picture in pictures:
    picture.html
assert settings() == before
print("matplotlib.pyplot" in sys.modules)
"""


def test_neither_pyplot_nor_settings_nor_the_backend_are_touched():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
