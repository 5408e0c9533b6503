"""Images beside each other: exact pixels, captions that measure, one file without a network."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.figures import show, table, write_page
from course_utils.files import CourseError
from course_utils.images import to_array


def decoded(html):
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))) for source in sources]


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 20, 30, generator=generator), torch.rand(3, 20, 30, generator=generator)


def test_pixels_are_shown_as_they_are(pair):
    shown = decoded(show({"scan": pair[0], "original": to_array(pair[1])}).html)
    assert [np.array_equal(image, to_array(x)) for image, x in zip(shown, pair, strict=True)] == [True, True]


def test_captions_carry_the_psnr_to_the_reference():
    picture = show({"a": torch.full((3, 8, 8), 0.6), "b": torch.full((3, 8, 8), 0.5)}, reference="b")
    assert repr(picture) == "a: 20.17 dB | b"  # of 8-bit pixels: 153 against 128
    assert picture.html.count('alt="a: 20.17 dB"') == 1 and 'alt="b"' in picture.html


def test_a_box_is_cut_out_and_enlarged(pair):
    picture = show({"scan": pair[0]}, box=(5, 10, 8, 12), zoom=4)
    assert np.array_equal(decoded(picture.html)[0], to_array(pair[0])[5:13, 10:22])
    assert 'class="cu-zoomed" width="48"' in picture.html


def test_grey_images_are_shown():
    assert decoded(show({"grey": torch.rand(1, 9, 9)}).html)[0].shape == (9, 9)


def test_names_are_escaped():
    assert "<script>" not in show({"<script>": torch.zeros(3, 4, 4)}).html + table(
        ["<script>"], [["<script>", "<script>"]]
    )


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"images": {}}, "not none"),
        ({"images": {"a": torch.zeros(3, 4, 4), "b": torch.zeros(3, 4, 5)}}, "a 4x4, b 5x4"),
        ({"images": {"a": torch.zeros(3, 4, 4)}, "reference": "original"}, "'original': choose one of a"),
        ({"images": {"a": torch.zeros(3, 4, 4)}, "box": (0, 0, 5, 2)}, "beyond the image of 4x4"),
    ],
)
def test_wrong_arguments_are_named(arguments, says):
    with pytest.raises(CourseError, match=says):
        show(**arguments)


def test_a_page_is_one_file(tmp_path, pair):
    path = write_page(tmp_path / "page.html", "A & B", ["<p>text</p>", show({"scan": pair[0]}), table(["x"], [["y"]])])
    page = path.read_text()
    assert "<title>A &amp; B</title>" in page and len(decoded(page)) == 1 and "<td>" not in page
    assert not re.findall(r"(?:src|href)=.(?!data:)", page)
