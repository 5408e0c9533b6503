"""What people rely on when they compare images: exact pixels, true figures, clear errors, an output that stays bounded.

How the comparer behaves in a browser is in tests/browser/test_comparer.py.
"""

import base64
import importlib
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import course_utils
from course_utils import metrics
from course_utils.files import CourseError
from course_utils.images import read_image, to_array
from course_utils.viewer import Comparison, compare

MODULE = importlib.import_module("course_utils.viewer.compare")  # its name in the package is the function's
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
FLOATS = PIXELS / 255
CHANNELS_FIRST = torch.from_numpy(PIXELS).permute(2, 0, 1)
BLACK = torch.zeros(3, 6, 9)


class Parsed(HTMLParser):
    """The elements of a piece of HTML, their attributes, and the text in each."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.within = [], {}, []
        self.feed(html)
        self.close()
        assert not self.within  # every element is closed, in order

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("img", "meta", "link", "input", "br"):
            self.within.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.within.pop() == tag

    def handle_data(self, data):
        if self.within:
            self.texts[self.within[-1]][-1] += data

    @property
    def structure(self):
        return [(tag, sorted(attrs)) for tag, attrs in self.elements]

    @property
    def config(self):
        """What the script tells the core: (id of the host, config)."""
        [script] = self.texts["script"]
        told = script[script.rindex("\nstart(") + len("\nstart(") :].removesuffix(");\n})();")
        return json.loads(f"[{told}]")

    @property
    def images(self):
        """The stills as Pillow reads them, in the order of the page."""
        sources = [attrs["src"] for tag, attrs in self.elements if tag == "img"]
        assert all(re.match("data:image/(png|webp);base64,", source) for source in sources)
        return [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in sources]

    @property
    def pixels(self):
        return [np.asarray(image) for image in self.images]

    @property
    def alts(self):
        return [attrs["alt"] for tag, attrs in self.elements if tag == "img"]


def parsed(comparison):
    return Parsed(comparison.html)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def pair(*shape):
    return {"restored": random(*shape), "original": random(*shape, seed=1)}


# ---- what can be compared


def read_only(array):
    array.setflags(write=False)
    return array


FORMS = {
    "float32 tensor": lambda: CHANNELS_FIRST / 255,
    "float64 tensor": lambda: CHANNELS_FIRST.double() / 255,
    "float16 tensor": lambda: (CHANNELS_FIRST / 255).half(),
    "uint8 tensor": lambda: CHANNELS_FIRST,
    "batch of one": lambda: CHANNELS_FIRST[None] / 255,
    "tensor with channels last": lambda: torch.from_numpy(PIXELS),
    "tensor in channels_last memory": lambda: (CHANNELS_FIRST[None] / 255).contiguous(
        memory_format=torch.channels_last
    ),
    "tensor that requires a gradient": lambda: (CHANNELS_FIRST / 255).requires_grad_(),
    "result of a network": lambda: (CHANNELS_FIRST / 255).requires_grad_() * 1,
    "every second column": lambda: CHANNELS_FIRST.repeat_interleave(2, dim=2)[..., ::2] / 255,
    "expanded batch": lambda: (CHANNELS_FIRST / 255).expand(1, -1, -1, -1),
    "uint8 array": lambda: PIXELS,
    "float64 array": lambda: FLOATS,
    "float32 array": lambda: FLOATS.astype(np.float32),
    "float16 array": lambda: FLOATS.astype(np.float16),
    "array of another byte order": lambda: FLOATS.astype(">f4"),
    "array with channels first": lambda: np.moveaxis(FLOATS, -1, 0),
    "read-only array": lambda: read_only(PIXELS.copy()),
    "array with negative strides": lambda: np.ascontiguousarray(PIXELS[::-1, ::-1])[::-1, ::-1],
    "array of BGR, turned": lambda: np.ascontiguousarray(PIXELS[..., ::-1])[..., ::-1],
    "array in Fortran's order": lambda: np.asfortranarray(PIXELS),
    "batch as an array": lambda: PIXELS[None],
    "PIL image": lambda: Image.fromarray(PIXELS),
    "PIL image with alpha": lambda: Image.fromarray(PIXELS).convert("RGBA"),
    "list of one": lambda: [PIXELS],
    "tuple of one": lambda: (CHANNELS_FIRST,),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_an_image_is_shown_as_it_is(form):
    shown = parsed(compare({"a": form(), "black": BLACK}))
    assert np.array_equal(shown.pixels[0], PIXELS) and not shown.pixels[1].any()


def test_a_path_is_read(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    shown = parsed(compare({"str": str(tmp_path / "a.png"), "Path": tmp_path / "a.png", "black": BLACK}))
    assert all(np.array_equal(each, PIXELS) for each in shown.pixels[:2])


GREY = PIXELS[..., 0]
GREY_FORMS = {
    "(H, W) array": lambda: GREY,
    "(H, W) floats": lambda: GREY / 255,
    "(H, W, 1)": lambda: GREY[..., None],
    "(H, W) tensor": lambda: torch.from_numpy(GREY) / 255,
    "(1, H, W)": lambda: torch.from_numpy(GREY)[None],
    "(1, 1, H, W)": lambda: torch.from_numpy(GREY)[None, None] / 255,
    "PIL image": lambda: Image.fromarray(GREY),
}


@pytest.mark.parametrize("form", GREY_FORMS.values(), ids=GREY_FORMS)
def test_grey_images_stay_grey(form):
    shown = parsed(compare({"a": form(), "black": BLACK[0]}))
    assert [image.mode for image in shown.images] == ["L", "L"]
    assert np.array_equal(shown.pixels[0], GREY)


def test_masks_are_black_and_white():
    mask = GREY > 100
    shown = parsed(compare({"array": mask, "tensor": torch.from_numpy(mask), "PIL": Image.fromarray(mask)}))
    # Pillow's bilevel image is converted to RGB, so all three are in colour.
    assert all(np.array_equal(each[..., 0], np.where(mask, 255, 0)) for each in shown.pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_of_pillow_is_shown_as_a_file_of_it_would_be(mode, tmp_path):
    image = Image.fromarray(PIXELS).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(GREY))  # laid on white
    image.save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
    [path] = tmp_path.iterdir()
    shown = parsed(compare({"image": image, "file": path}))
    assert np.array_equal(shown.pixels[0], read_image(path)) and np.array_equal(*shown.pixels)


@pytest.mark.parametrize("array", [FLOATS[..., 0].astype(np.float32), GREY.astype(np.int32) * 257], ids=["F", "I"])
def test_deep_images_of_pillow_are_scaled_or_refused_never_clipped(array):
    image = Image.fromarray(array)
    try:
        shown = parsed(compare({"scan": image, "black": BLACK[0]}))
    except CourseError as error:
        assert "image 'scan'" in str(error)
    else:
        assert np.array_equal(np.atleast_3d(shown.pixels[0])[..., 0], GREY)


def test_bfloat16_is_what_its_values_say():
    image = random(3, 6, 9).bfloat16()
    shown = parsed(compare({"a": image, "black": BLACK}))
    assert np.array_equal(shown.pixels[0], to_array(image))


def test_a_grey_image_beside_a_colour_one_gets_three_equal_channels():
    comparison = compare({"grey": GREY, "colour": PIXELS}, "colour")
    grey, colour = parsed(comparison).pixels
    assert np.array_equal(grey, GREY[..., None].repeat(3, axis=2)) and np.array_equal(colour, PIXELS)
    wide = CHANNELS_FIRST[:1].expand(3, -1, -1) / 255
    assert comparison.metrics()["grey"]["psnr"] == pytest.approx(metrics.psnr(wide, CHANNELS_FIRST / 255))


def test_a_batch_becomes_pages_and_a_single_image_stands_on_each():
    batch, single = random(3, 3, 6, 9), random(3, 6, 9, seed=1)
    comparison = compare({"batch": batch, "single": single})
    shown = parsed(comparison)
    assert len(comparison) == 3 and len(shown.pixels) == 6
    for page in range(3):
        assert np.array_equal(shown.pixels[2 * page], to_array(batch[page]))
        assert np.array_equal(shown.pixels[2 * page + 1], to_array(single))


def test_a_list_of_anything_becomes_pages(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    several = [PIXELS, CHANNELS_FIRST / 255, Image.fromarray(PIXELS), tmp_path / "a.png", PIXELS[None]]
    shown = parsed(compare({"several": several, "black": BLACK}))
    assert len(shown.pixels) == 10 and all(np.array_equal(each, PIXELS) for each in shown.pixels[::2])


def test_more_than_two_images_keep_their_order():
    names = ["scan", "median", "DnCNN", "U-Net", "original"]
    shown = parsed(compare({name: random(3, 6, 9, seed=i) for i, name in enumerate(names)}, "original"))
    assert shown.config[1]["names"] == names and len(shown.texts["figcaption"]) == 5
    for i, each in enumerate(shown.pixels):
        assert np.array_equal(each, to_array(random(3, 6, 9, seed=i)))


def test_what_was_given_may_change_afterwards():
    images = {"tensor": random(3, 6, 9), "array": FLOATS.copy()}
    comparison, other = compare(images), compare(images)
    before = parsed(other).pixels
    images["tensor"].zero_()
    images["array"][:] = 0
    assert all(np.array_equal(*each) for each in zip(parsed(comparison).pixels, before, strict=True))


def test_nothing_given_is_changed():
    images = {"gradient": random(3, 6, 9).requires_grad_(), "array": PIXELS.copy()}
    compare(images, "array").html  # noqa: B018
    assert images["gradient"].requires_grad and images["gradient"].grad is None
    assert torch.equal(images["gradient"].detach(), random(3, 6, 9)) and np.array_equal(images["array"], PIXELS)


# ---- lossless


def some_image(kind, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, generator=generator)
    if kind == "extremes":
        return image.round()
    if kind == "halves":  # between two grey levels
        return (image * 255).floor().add(0.5).div(255).clamp(0, 1)
    if kind == "flat":
        return torch.full(shape, image.flatten()[0].item())
    if kind == "passing":  # by what rounding leaves
        return image * 1.0018 - 0.0009
    return image


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["noise", "extremes", "halves", "flat", "passing"]),
    st.sampled_from([1, 3]),
    st.one_of(
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.tuples(st.just(1), st.integers(1, 700)),
        st.tuples(st.integers(1, 700), st.just(1)),
    ),
    st.integers(1, 2),
    st.integers(0, 2**31),
)
def test_no_pixel_is_changed_on_the_way_to_the_page(kind, channels, size, pages, seed):
    images = [some_image(kind, (pages, channels, *size), seed + i) for i in range(2)]
    shown = parsed(compare({"a": images[0], "b": images[1]}))
    wanted = [to_array(image[page]) for page in range(pages) for image in images]
    for image, array in zip(shown.images, wanted, strict=True):
        assert image.format == ("PNG" if channels == 1 else "WEBP")
        assert np.array_equal(np.asarray(image).reshape(array.shape), array)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)], ids=["wide", "high"])
def test_long_strips_are_shown(size, channels):
    strip = random(channels, *size)
    shown = parsed(compare({"a": strip, "b": torch.zeros_like(strip)}))
    assert np.array_equal(shown.pixels[0].reshape(*size, channels), to_array(strip))


# ---- figures


def test_figures_are_those_of_the_metrics():
    images = pair(3, 24, 31)
    comparison = compare(images, "original")
    restored, original = images.values()
    assert comparison.metrics() == {
        "restored": {"psnr": metrics.psnr(restored, original), "ssim": metrics.ssim(restored, original)}
    }


def test_figures_are_those_of_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    images = {"noisy": (random(3, 40, 50) * 0.3 + 0.5).double(), "clean": torch.full((3, 40, 50), 0.65).double()}
    images["clean"][:, 10:20, 10:30] = 0.1
    figures = compare(images, "clean").metrics()["noisy"]
    noisy, clean = (image.float().double().permute(1, 2, 0).numpy() for image in images.values())
    assert figures["psnr"] == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=1))
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    assert figures["ssim"] == pytest.approx(structural_similarity(clean, noisy, channel_axis=-1, **window))


def test_figures_are_of_the_floats_not_of_the_grey_levels():
    clean = torch.full((3, 16, 16), 0.5)
    comparison = compare({"near": clean + 0.001, "clean": clean}, "clean")
    assert comparison.metrics()["near"]["psnr"] == pytest.approx(60, abs=0.01)
    assert "near: 60.00 dB" in repr(comparison)


def test_figures_are_means_over_the_pages():
    restored, original = random(3, 3, 16, 16), random(3, 3, 16, 16, seed=1)
    restored[1] = original[1] * 0.9  # much better than the others
    figures = compare({"restored": restored, "grey": 0.5 * torch.ones(3, 16, 16), "original": original}, "original")
    assert list(figures.metrics()) == ["restored", "grey"]
    pages = list(zip(restored, original, strict=True))
    assert figures.metrics()["restored"] == {
        "psnr": pytest.approx(sum(metrics.psnr(*page) for page in pages) / 3),
        "ssim": pytest.approx(sum(metrics.ssim(*page) for page in pages) / 3),
    }
    assert figures.metrics()["restored"]["psnr"] == pytest.approx(metrics.psnr(restored, original))


@pytest.mark.parametrize(("size", "is_measured"), [((11, 11), True), ((10, 40), False), ((40, 10), False)])
def test_ssim_needs_eleven_pixels(size, is_measured):
    comparison = compare(pair(3, *size), "original")
    assert (comparison.metrics()["restored"]["ssim"] is not None) == is_measured
    [[restored, _]] = parsed(comparison).config[1]["whole"]
    assert ("SSIM" in restored) == is_measured


def test_each_page_has_its_own_figures():
    restored, original = random(2, 3, 16, 16), random(3, 16, 16, seed=1)
    comparison = compare({"restored": restored, "original": original}, "original")
    shown = parsed(comparison)
    whole = shown.config[1]["whole"]
    for page in range(2):
        psnr, ssim = metrics.psnr(restored[page], original), metrics.ssim(restored[page], original)
        assert whole[page] == [f"{psnr:.2f} dB, SSIM {ssim:.3f}", "reference"]
        assert shown.texts["figcaption"][2 * page] == f"restored: {psnr:.2f} dB"


def test_equal_images_are_called_equal():
    image = random(3, 16, 16)
    comparison = compare({"copy": image.clone(), "image": image}, "image")
    assert comparison.metrics() == {"copy": {"psnr": math.inf, "ssim": pytest.approx(1)}}
    assert repr(comparison) == "copy: equal | image"
    assert parsed(comparison).config[1]["whole"] == [["equal, SSIM 1.000", "reference"]]


def test_without_a_reference_there_are_no_figures():
    comparison = compare(pair(3, 16, 16))
    shown = parsed(comparison)
    assert repr(comparison) == "restored | original" and shown.texts["figcaption"] == ["restored", "original"]
    assert shown.config[1]["reference"] == -1 and shown.config[1]["whole"] == [["", ""]]
    with pytest.raises(CourseError, match=r"metrics need a reference: compare\(\{\.\.\.\}, reference=NAME\)"):
        comparison.metrics()


def test_a_terminal_gets_a_line():
    images = pair(2, 3, 16, 16)
    psnr = metrics.psnr(images["restored"][0], images["original"][0])
    assert repr(compare(images, "original")) == f"restored: {psnr:.2f} dB | original (page 1 of 2)"


# ---- the piece of HTML


def test_html_is_what_notebooks_ask_for_and_stays_the_same():
    comparison = compare(pair(3, 16, 16), "original")
    first = comparison.html
    assert comparison.html is first and comparison._repr_html_() is first


def test_ids_are_unique():
    images = pair(3, 6, 9)
    shown = [parsed(compare(images)) for _ in range(3)]
    ids = [[attrs["id"] for _, attrs in each.elements if "id" in attrs] for each in shown]
    assert all(len(each) == 1 for each in ids) and len({each[0] for each in ids}) == 3
    for each, [name] in zip(shown, ids, strict=True):
        assert each.config[0] == name


def test_the_page_asks_for_nothing_else():
    shown = parsed(compare(pair(2, 3, 16, 16), "original", view=(1, 2, 3, 4), caption="A caption"))
    for tag, attrs in shown.elements:
        assert tag in {"div", "figure", "img", "figcaption", "script", "p"}
        assert not set(attrs) & {"href", "srcset", "action", "data", "poster"}
        assert attrs.get("src", "data:").startswith("data:") and "url(" not in attrs.get("style", "")
        assert not [name for name in attrs if name.startswith("on")]


def test_each_image_is_stored_once():
    html = compare(pair(3, 64, 64), "original").html
    assert html.count("base64,") == 2
    assert not re.search(r"[A-Za-z0-9+/]{2000}", html.split("<script>")[1])


def test_names_figures_and_caption_are_the_alternative_text():
    images = pair(3, 16, 16)
    shown = parsed(compare(images, "original", caption="A scan of page 7"))
    psnr = metrics.psnr(*images.values())
    assert shown.alts == [f"restored: {psnr:.2f} dB. A scan of page 7", "original. A scan of page 7"]
    assert shown.config[1]["caption"] == "A scan of page 7"
    assert parsed(compare(images)).alts == ["restored", "original"]


def test_the_caption_can_be_read_where_no_script_runs():
    shown = parsed(compare(pair(3, 6, 9), caption="A scan of page 7"))
    assert "A scan of page 7" in str({tag: texts for tag, texts in shown.texts.items() if tag != "script"})


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    '" style="position:fixed',
    "<b>&amp;</b> &lt; &quot;",
    "]]></figcaption></figure></div>",
    "`${alert(1)}` \\u003c/script> \\",
    "a\nb\tc\u2028d\u2029e",
    "\x1b[31m\x07",
    "복원 원본 🖼 é",
    "{0} %s {name}",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_captions_stay_text(text):
    images, view = list(pair(2, 3, 16, 16).values()), (1, 2, 3, 4)
    harmless = parsed(compare(dict(zip(["name", "other"], images, strict=True)), "other", view=view, caption="c"))
    comparison = compare({text: images[0], f"{text} 2": images[1]}, f"{text} 2", view=view, caption=text or "c")
    shown = parsed(comparison)
    assert shown.structure == harmless.structure
    assert comparison.html.lower().count("</script") == 1 and "<!--" not in comparison.html
    config = shown.config[1]
    assert config["names"] == [text, f"{text} 2"] and config["caption"] == (text or "c")
    assert shown.texts["figcaption"][1] == f"{text} 2" and shown.alts[1] == f"{text} 2. {text or 'c'}"
    assert shown.texts["figcaption"][0].startswith(f"{text}: ")


def test_names_need_not_be_strings():
    images = pair(3, 16, 16)
    comparison = compare({8: images["restored"], 17: images["original"]}, 17, caption="layers")
    assert parsed(comparison).config[1]["names"] == ["8", "17"]
    assert comparison.metrics() == {"8": compare(images, "original").metrics()["restored"]}


@pytest.mark.parametrize("view", [(1, 2, 3, 4), [1, 2, 3, 4], tuple(np.array([1, 2, 3, 4]))])
def test_the_view_is_told_to_the_page(view):
    shown = parsed(compare(pair(3, 6, 9), view=view))
    assert shown.config[1]["view"] == [1, 2, 3, 4]
    assert shown.pixels[0].shape == (6, 9, 3)  # all of it is there, to be looked at


@pytest.mark.parametrize("mode", ["split", "side", "flicker", "difference"])
def test_the_mode_is_told_to_the_page(mode):
    assert parsed(compare(pair(3, 6, 9), mode=mode)).config[1]["mode"] == mode


def test_comparisons_are_objects_like_others():
    one, other = compare(pair(3, 6, 9)), compare(pair(3, 6, 9))
    assert isinstance(one, Comparison) and one == one and one != other and len({one, other}) == 2


# ---- wrong input


def nan_at(page):
    batch = torch.zeros(4, 3, 6, 9)
    batch[page, 0, 2, 2] = math.nan
    return batch


WRONG_IMAGES = {
    "None": (None, "is a NoneType; give a tensor, an array, a PIL image or a path"),
    "number": (0.5, "is a float; give a tensor"),
    "dict": ({"a": BLACK}, "is a dict; give a tensor"),
    "network": (torch.nn.Identity(), "is a Identity; give a tensor"),
    "empty list": ([], "empty|no image"),
    "list with None": ([BLACK, None], r"\[1\] is a NoneType"),
    "list of numbers": ([[0.5, 0.5]], "is a float; give a tensor"),
    "NaN": (nan_at(0), r"holds NaN; look at what made it"),
    "NaN on a later page": (nan_at(3), r"holds NaN; look at what made it"),
    "infinity": (torch.full((3, 6, 9), math.inf), r"values from inf to inf, outside \[0, 1\]"),
    "floats to 255": (255 * torch.ones(3, 6, 9), r"values from 255 to 255, outside \[0, 1\]"),
    "below 0": (FLOATS - 0.5, r"values from -0.5 to 0.4765, outside \[0, 1\]; clip it with .clamp\(0, 1\)"),
    "int64 tensor": (torch.zeros(3, 6, 9, dtype=torch.int64), "is torch.int64; give float"),
    "uint16 array": (PIXELS.astype(np.uint16), "uint16"),
    "complex array": (FLOATS.astype(complex), "complex128"),
    "array of objects": (FLOATS.astype(object), "object"),
    "array of strings": (PIXELS.astype(str), "array"),
    "two channels": (torch.zeros(2, 6, 9), r"has the shape \(2, 6, 9\); give 1 or 3 channels"),
    "features": (torch.zeros(64, 6, 9), r"has the shape \(64, 6, 9\); give 1 or 3 channels"),
    "alpha channel": (np.zeros((6, 9, 4), np.uint8), r"has the shape \(6, 9, 4\); give 1 or 3 channels"),
    "five axes": (torch.zeros(1, 1, 3, 6, 9), r"has the shape \(1, 1, 3, 6, 9\)"),
    "one axis": (torch.zeros(9), r"has the shape \(9,\)"),
    "no axis": (torch.tensor(0.5), r"has the shape \(\)"),
    "no rows": (torch.zeros(3, 0, 9), r"has the shape \(3, 0, 9\)"),
    "batch of none": (torch.zeros(0, 3, 6, 9), r"has the shape \(0, 3, 6, 9\)"),
    "list of two sizes": ([BLACK, BLACK[:, 1:]], r"different sizes, \[\(5, 9\), \(6, 9\)\]; crop"),
}


@pytest.mark.parametrize(("image", "says"), WRONG_IMAGES.values(), ids=WRONG_IMAGES)
def test_a_wrong_image_is_named(image, says):
    with pytest.raises(CourseError, match=f"image 'scan'.*({says})") as caught:
        compare({"scan": image, "original": BLACK}, "original")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("text")
    for path, says in {
        tmp_path / "none.png": "none.png: no such image file; check the path",
        tmp_path: "is a folder; give an image file",
        tmp_path / "notes.png": "notes.png: cannot be read .not an image.; replace",
    }.items():
        for form in (path, str(path), [path]):
            with pytest.raises(CourseError, match=says):
                compare({"scan": form, "original": BLACK})


TWO = {"scan": BLACK, "original": BLACK}
WRONG = {
    "no images": ({"images": {}}, "two or more images.*not none"),
    "a lone image": ({"images": {"scan": BLACK}}, "two or more images.*not only scan; show_batch shows one"),
    "a lone image, its name a number": ({"images": {1: BLACK}}, "two or more images.*not only 1"),
    "one name for two": ({"images": {1: BLACK, "1": BLACK, "b": BLACK}}, "1"),
    "a list": ({"images": [BLACK, BLACK]}, r"images as \{name: image\}, not as a list"),
    "a tensor": ({"images": torch.zeros(2, 3, 6, 9)}, "images as .*not as a Tensor"),
    "None": ({"images": None}, "images as .*not as a NoneType"),
    "two sizes": (
        {"images": {"scan": torch.zeros(3, 6, 8), "original": BLACK}},
        r"one size \(height x width\), not scan 6x8, original 6x9; crop or resize",
    ),
    "turned": ({"images": {"scan": torch.zeros(3, 9, 6), "original": BLACK}}, "scan 9x6, original 6x9"),
    "two lengths": (
        {"images": {"scan": torch.zeros(2, 3, 6, 9), "a": BLACK, "original": torch.zeros(4, 3, 6, 9)}},
        "different lengths: scan 2, original 4; give each the same number of images, or one",
    ),
    "reference not there": ({"reference": "clean"}, "reference 'clean' is not the name .*choose one of scan, original"),
    "reference empty": ({"reference": ""}, "reference '' is not the name of an image"),
    "reference a number": ({"reference": 1}, "reference 1 is not the name of an image"),
    "reference an image": ({"reference": BLACK}, "reference .*choose one of scan, original"),
    "reference an array": ({"reference": FLOATS}, "reference .*choose one of scan, original"),
    "reference a list": ({"reference": ["scan"]}, "reference .*choose one of scan, original"),
    "mode not there": ({"mode": "blink"}, "mode 'blink': choose one of split, side, flicker, difference"),
    "mode None": ({"mode": None}, "mode None: choose one of split"),
    "mode a list": ({"mode": ["split"]}, "choose one of split"),
    "view of three": ({"view": (0, 0, 4)}, r"view=\(0, 0, 4\): give \(top, left, height, width\), four whole numbers"),
    "view of fractions": ({"view": (0, 0, 4.5, 4)}, r"4.5.*four whole numbers of pixels"),
    "view a number": ({"view": 4}, "view=4: give"),
    "view a string": ({"view": "all"}, "view='all': give"),
    "view too wide": ({"view": (0, 4, 4, 6)}, r"view=\(0, 4, 4, 6\) .*beyond the image of 6x9"),
    "view too high": ({"view": (3, 0, 4, 4)}, r"view=\(3, 0, 4, 4\) .*beyond the image of 6x9"),
    "view before the first row": ({"view": (-1, 0, 4, 4)}, "beyond the image of 6x9"),
    "view of nothing": ({"view": (0, 0, 0, 4)}, r"view=\(0, 0, 0, 4\)"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(arguments, says):
    with pytest.raises(CourseError, match=says) as caught:
        compare(**({"images": TWO} | arguments))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


# ---- an output that stays bounded


@pytest.fixture
def small(monkeypatch):
    """Budgets as if 32x32 pixels in colour, twice, were all that fits on a page, and three such pages in an output."""
    monkeypatch.setattr(MODULE, "PAGE_BYTES", 2 * 3 * 32 * 32)
    monkeypatch.setattr(MODULE, "OUTPUT_BYTES", 3 * 2 * 3 * 32 * 32)


def reduced(image, factor):
    """Means of factor x factor pixels, at the right and lower edge of those that are left: uint8 (H, W, C)."""
    array = image.double().permute(1, 2, 0).numpy()
    height, width, _ = array.shape
    return np.array(
        [
            [array[y : y + factor, x : x + factor].mean(axis=(0, 1)) for x in range(0, width, factor)]
            for y in range(0, height, factor)
        ]
    )


@pytest.mark.parametrize(("height", "width", "factor"), [(32, 32, 1), (64, 64, 2), (33, 33, 2), (97, 70, 3)])
def test_too_large_images_are_reduced_by_a_whole_factor_and_the_note_says_so(small, height, width, factor):
    images = pair(3, height, width)
    comparison = compare(images, "original")
    shown = parsed(comparison)
    for array, image in zip(shown.pixels, images.values(), strict=True):
        assert abs(array - 255 * reduced(image, factor)).max() < 0.501
    note = shown.config[1]["note"]
    assert shown.texts.get("p", []) == ([note] if note else [])  # to be read without a script too
    assert bool(note) == (factor > 1)
    if note:
        assert note.startswith(f"{height}x{width} pixels are more") and f"{factor}x{factor}" in note and "view=" in note
    [[figures, _]] = shown.config[1]["whole"]  # of all pixels
    assert figures.startswith(f"{metrics.psnr(*images.values()):.2f} dB, SSIM {metrics.ssim(*images.values()):.3f}")


def test_a_view_of_a_too_large_image_shows_its_exact_pixels(small):
    images, (top, left, height, width) = pair(3, 90, 130), (70, 100, 12, 20)
    comparison = compare(images, "original", view=(top, left, height, width))
    shown = parsed(comparison)
    inner = shown.config[1]["view"]
    assert inner[2:] == [height, width]
    for array, image in zip(shown.pixels, images.values(), strict=True):
        part = array[inner[0] : inner[0] + height, inner[1] : inner[1] + width]
        assert np.array_equal(part, to_array(image)[top : top + height, left : left + width])
    first, last, start, end = map(int, re.findall(r"\d+", shown.config[1]["note"])[:4])
    assert "90x130" in shown.config[1]["note"] and shown.texts["p"] == [shown.config[1]["note"]]
    assert np.array_equal(shown.pixels[0], to_array(images["restored"])[first : last + 1, start : end + 1])
    psnr = metrics.psnr(*images.values())
    assert shown.config[1]["whole"][0][0].startswith(f"{psnr:.2f} dB")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_is_shown_fits_and_holds_the_view(data):
    height, width = data.draw(st.integers(20, 400)), data.draw(st.integers(20, 400))
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    view = (top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    images, most = data.draw(st.integers(2, 6)), 64 * 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "PAGE_BYTES", most * 3 * images)
        shown = MODULE.Shown.of(images, height, width, view)
    rows, columns = math.ceil(shown.height / shown.factor), math.ceil(shown.width / shown.factor)
    assert 0 <= shown.top <= height - shown.height and 0 <= shown.left <= width - shown.width
    assert rows * columns <= most + rows + columns  # a rest at the edges is one pixel
    inner = shown.view
    assert inner[0] >= 0 and inner[1] >= 0 and inner[0] + inner[2] <= rows and inner[1] + inner[3] <= columns
    assert abs(shown.top + inner[0] * shown.factor - top) < shown.factor
    assert abs(shown.left + inner[1] * shown.factor - left) < shown.factor
    if height * width <= most:
        assert (rows, columns, shown.note) == (height, width, "")
    elif view[2] * view[3] <= most:
        assert shown.factor == 1 and inner[2:] == view[2:]


def test_a_wide_view_does_not_make_the_page_grow(small):
    shown = parsed(compare(pair(3, 500, 500), view=(250, 0, 2, 500)))
    assert sum(array.size for array in shown.pixels) <= MODULE.PAGE_BYTES


def test_the_whole_of_a_too_large_image_is_a_view_too(small):
    shown = parsed(compare(pair(3, 64, 64), view=(0, 0, 64, 64)))
    assert shown.pixels[0].shape == (32, 32, 3) and shown.config[1]["view"] == [0, 0, 32, 32]


def test_a_too_large_view_is_told_to_be_smaller(small):
    note = parsed(compare(pair(3, 90, 90), view=(0, 0, 80, 80))).config[1]["note"]
    assert "smaller" in note  # a view was given: to ask for one says nothing


def test_of_too_many_pages_the_first_are_shown_and_the_note_says_so(small):
    images = {"restored": random(50, 3, 32, 32), "original": random(3, 32, 32, seed=1)}
    comparison = compare(images, "original")
    shown = parsed(comparison)
    pages = len(shown.pixels) // 2
    assert 1 <= pages <= 3 and len(shown.config[1]["whole"]) == pages
    note = shown.config[1]["note"]
    assert note.startswith(f"The first {pages} of 50 pages are shown") and f"images[{pages}:]" in note
    assert shown.texts["p"] == [note]
    assert len(comparison) == 50 and repr(comparison).endswith("(page 1 of 50)")
    assert comparison.metrics()["restored"]["psnr"] == pytest.approx(  # of all 50
        metrics.psnr(images["restored"], images["original"].expand(50, -1, -1, -1))
    )
    beyond = {name: image[pages:] if image.ndim == 4 else image for name, image in images.items()}
    assert np.array_equal(parsed(compare(beyond)).pixels[0], to_array(images["restored"][pages]))


def test_the_first_page_is_shown_in_any_case(monkeypatch):
    monkeypatch.setattr(MODULE, "OUTPUT_BYTES", 1)
    shown = parsed(compare(pair(3, 3, 32, 32)))
    assert len(shown.pixels) == 2 and "The first 1 of 3 pages" in shown.config[1]["note"]
    assert parsed(compare(pair(3, 32, 32))).config[1]["note"] == ""


def test_pages_of_too_large_images_get_both_notes(small):
    note = parsed(compare(pair(50, 3, 64, 64))).config[1]["note"]
    assert "2x2" in note and "of 50 pages" in note


def test_a_hundred_images_of_512_pixels():
    clean = random(3, 512, 512, seed=1)
    noisy = random(25, 3, 512, 512).repeat(4, 1, 1, 1)
    html = compare({"noisy": noisy, "clean": clean}, "clean").html
    assert MODULE.OUTPUT_BYTES < len(html) < 1.4 * MODULE.OUTPUT_BYTES + 200_000
    config = Parsed(html).config[1]
    pages = len(config["whole"])
    assert 5 < pages < 50 and f"The first {pages} of 100 pages" in config["note"]
    assert config["whole"][0][0].startswith(f"{metrics.psnr(noisy[0], clean):.2f} dB")


def test_a_pair_of_4096_pixels():
    a, b = (random(1, 4096, 1, seed=i).expand(3, 4096, 4096) for i in range(2))
    b = b * torch.linspace(0, 1, 4096)
    shown = parsed(compare({"a": a, "b": b}))
    assert 3 * sum(array.shape[0] * array.shape[1] for array in shown.pixels) <= MODULE.PAGE_BYTES
    assert shown.config[1]["note"].startswith("4096x4096 pixels are more")
    assert np.array_equal(shown.pixels[0][:, 0], to_array(a[:, :, :2].unflatten(1, (2048, 2)).mean(dim=2))[:, 0])
    view = (2000, 3000, 40, 60)
    inner = parsed(part := compare({"a": a, "b": b}, view=view)).config[1]["view"]
    pixels = parsed(part).pixels[1][inner[0] : inner[0] + 40, inner[1] : inner[1] + 60]
    assert np.array_equal(pixels, to_array(b[:, 2000:2040, 3000:3060]))
    assert len(part.html) < 1.4 * MODULE.PAGE_BYTES


# ---- files


def holds(png, image, zoom):
    """Does the PNG hold the uint8 (H, W, 3) `image`, each pixel as a square of zoom x zoom, with nothing smoothed?"""
    drawn = np.asarray(Image.open(png).convert("RGB"))
    wanted = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, wanted.shape[:2], axis=(0, 1))
    corners = (windows[..., 0, 0] == wanted[0, 0]).all(axis=-1)
    return any(np.array_equal(np.moveaxis(windows[y, x], 0, -1), wanted) for y, x in np.argwhere(corners))


@pytest.mark.parametrize("zoom", [1, 3])
@pytest.mark.parametrize("view", [None, (2, 3, 8, 9)])
def test_a_figure_holds_the_exact_pixels_of_every_image(tmp_path, zoom, view):
    images = pair(3, 20, 30) | {"grey": random(20, 30, seed=2)}
    path = compare(images, "original").to_png(tmp_path / "new" / "figure.png", view=view, zoom=zoom)
    assert path == tmp_path / "new" / "figure.png" and path.is_file()
    top, left, height, width = view or (0, 0, 20, 30)
    for image in images.values():
        array = to_array(image.expand(3, -1, -1))[top : top + height, left : left + width]
        assert holds(path, array, zoom)
    assert [each.name for each in path.parent.iterdir()] == ["figure.png"]


def test_a_figure_shows_the_view_of_the_comparer_unless_told_otherwise(tmp_path):
    images = pair(2, 3, 20, 30)
    comparison = compare(images, "original", view=(2, 3, 8, 9))
    first = to_array(images["restored"][0])
    part = comparison.to_png(tmp_path / "part.png", zoom=2)
    assert holds(part, first[2:10, 3:12], 2) and not holds(part, first[2:11, 3:12], 2)
    assert holds(comparison.to_png(tmp_path / "all.png", view=(0, 0, 20, 30), zoom=2), first, 2)


def test_a_small_view_is_enlarged_and_names_and_figures_stand_below(tmp_path):
    images = pair(3, 20, 30)
    path = compare(images, "original").to_png(tmp_path / "figure.png", view=(0, 0, 4, 4))
    with Image.open(path) as file:
        assert file.width > 200
        assert f"restored: {metrics.psnr(*images.values()):.2f} dB, original" in file.text["Description"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"path": "figure.jpg"}, "figure.jpg: a figure is saved as .png, .svg or .pdf; change the suffix"),
        ({"path": "figure"}, "figure: a figure is saved as .png"),
        ({"path": "figure.png", "view": (0, 0, 21, 30)}, r"view=\(0, 0, 21, 30\) .* beyond the image of 20x30"),
        ({"path": "figure.png", "view": "all"}, "view='all': give"),
        ({"path": "figure.png", "zoom": 1.5}, "zoom=1.5 is not a whole number from 1"),
        ({"path": "figure.png", "zoom": 0}, "zoom=0 is not a whole number from 1"),
        ({"path": "figure.png", "zoom": 10_000}, "would be .* pixels; .*lower zoom"),
    ],
)
def test_a_wrong_figure_is_not_written(tmp_path, arguments, says):
    arguments = arguments | {"path": tmp_path / arguments["path"]}
    with pytest.raises(CourseError, match=says):
        compare(pair(3, 20, 30)).to_png(**arguments)
    assert not list(tmp_path.iterdir())


def test_a_figure_too_large_is_told_to_show_a_view(tmp_path, monkeypatch):
    plots = importlib.import_module("course_utils.viewer.plots")
    monkeypatch.setattr(plots, "MOST_PIXELS", 10_000)
    with pytest.raises(CourseError, match="view"):
        compare(pair(3, 200, 200)).to_png(tmp_path / "figure.png")
    assert not list(tmp_path.iterdir())


def test_a_saved_page_is_one_file_that_holds_the_comparer(tmp_path):
    comparison = compare(pair(3, 16, 16), "original", caption="Page 7 & <others>")
    path = comparison.save(tmp_path / "new" / "page.html")
    assert path == tmp_path / "new" / "page.html" and [each.name for each in path.parent.iterdir()] == ["page.html"]
    page = path.read_text(encoding="utf-8")
    assert page.count(comparison.html) == 1
    shown = Parsed(page)
    assert shown.texts["title"] == ["Page 7 & <others>"]
    assert not [attrs for tag, attrs in shown.elements if tag == "link" or "href" in attrs]
    assert all(attrs["src"].startswith("data:") for _, attrs in shown.elements if "src" in attrs)


def test_a_saved_page_without_a_caption_is_called_by_the_names(tmp_path):
    path = compare(pair(3, 6, 9)).save(str(tmp_path / "page.html"))
    assert Parsed(path.read_text()).texts["title"] == ["Comparison of restored, original"]


def test_what_cannot_be_drawn_leaves_the_old_files(tmp_path, monkeypatch):
    comparison = compare(pair(3, 16, 16))
    page, figure = comparison.save(tmp_path / "page.html"), comparison.to_png(tmp_path / "figure.png")
    before = [page.read_bytes(), figure.read_bytes()]

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(MODULE, "encode", full)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    for write in (compare(pair(3, 9, 9)).save, compare(pair(3, 9, 9)).to_png):
        with pytest.raises(OSError, match="no space left"):
            write(page if write.__name__ == "save" else figure)
    assert [page.read_bytes(), figure.read_bytes()] == before and len(list(tmp_path.iterdir())) == 2


# ---- the core


def test_the_core_is_small_and_asks_for_nothing():
    source = files("course_utils.viewer").joinpath("compare.js").read_text(encoding="utf-8")
    assert len(source.encode()) < 25_000
    whole = MODULE.core()
    for word in ["import", "fetch", "eval", "Function", "require", "XMLHttpRequest", "WebSocket", "document.write"]:
        assert not re.search(rf"\b{re.escape(word)}\b(?!ant)", whole), word
    assert "http" not in whole and "//cdn" not in whole and "url(" not in whole and "@import" not in whole


def test_the_core_makes_elements_of_nothing_but_its_own_markup():
    source = files("course_utils.viewer").joinpath("compare.js").read_text(encoding="utf-8")
    inner = [line.strip() for line in source.splitlines() if re.search(r"innerHTML|outerHTML|insertAdjacent", line)]
    assert inner == ["this.root.innerHTML = `<style>${STYLE}</style>${MARKUP}`;"]
    assert "${" not in files("course_utils.viewer").joinpath("compare.html").read_text(encoding="utf-8")


def test_the_core_can_be_read():
    source = files("course_utils.viewer").joinpath("compare.js").read_text(encoding="utf-8")
    assert max(map(len, source.splitlines())) <= 120
    assert len(re.findall(r"^ *// --", source, re.MULTILINE)) >= 6  # sections are named


def test_the_comparer_imports_nothing_heavy_before_it_is_used():
    code = "import sys, course_utils as cu; cu.compare; print({'torch', 'numpy', 'anywidget'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert course_utils.compare is compare
