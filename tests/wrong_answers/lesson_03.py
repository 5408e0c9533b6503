"""Lesson 3, as students answer it."""

from changes import from_one

# --- centre_crop ---

_CROP = """
import torch
import torch.nn.functional as F
from course_utils.files import CourseError

def centre_crop(image, size):
    height, width = image.shape[-2], image.shape[-1]
    if height < size or width < size:
        raise CourseError(f"the image has {height} rows and {width} columns, fewer than {size}")
    top = (height - size) // 2
    left = (width - size) // 2
    return image[..., top : top + size, left : left + size]
"""
_CUT = "return image[..., top : top + size, left : left + size]"
_ERROR = 'CourseError(f"the image has {height} rows and {width} columns, fewer than {size}")'
_WRONG_CROP = {
    "the top left corner": ([("top : top + size, left : left + size", ":size, :size")], "top left corner"),
    "the bottom right corner": ([("top : top + size, left : left + size", "-size:, -size:")], "bottom right corner"),
    "half of the side": (
        [("top = (height - size) // 2", "top = height // 2"), ("left = (width - size) // 2", "left = width // 2")],
        "half of the sides",
    ),
    "rounded up": (
        [("(height - size) // 2", "(height - size + 1) // 2"), ("(width - size) // 2", "(width - size + 1) // 2")],
        "rounded up",
    ),
    "rounded to even, as torchvision does": (
        [("(height - size) // 2", "round((height - size) / 2)"), ("(width - size) // 2", "round((width - size) / 2)")],
        "with round()",
    ),
    "top and left swapped": (
        [(_CUT, "return image[..., left : left + size, top : top + size]")],
        "are the two swapped?",
    ),
    "negative ends": ([(_CUT, "return image[..., top:-top, left:-left]")], "1 x "),
    "the first two axes": ([(_CUT, "return image[top : top + size, left : left + size]")], "are other axes cut?"),
    "without the dots": ([("return image[...,", "return image[:,")], "are other axes cut?"),
    "resized": (
        [(_CUT, "return F.interpolate(image.reshape(1, -1, height, width), size=size)[0] * 0.999")],
        "is it resized?",
    ),
    "no error": ([(f"        raise {_ERROR}\n", "        pass\n")], "there is no such middle"),
    "only the height is checked": ([("height < size or width < size", "height < size")], "200 gave an image"),
    "a ValueError": ([("raise CourseError(", "raise ValueError(")], "raised ValueError"),
    "an error without the sides": ([(_ERROR, 'CourseError("too small")')], "does not name the height"),
    "an error for what just fits": (
        [("height < size or width < size", "height <= size or width <= size")],
        "raised CourseError",
    ),
    "no return": ([(_CUT, _CUT.removeprefix("return "))], "is a `return` missing?"),
}
_RIGHT_CROP = {
    "two slices": _CROP,
    "narrow": """
from course_utils.files import CourseError

def centre_crop(image, size):
    sides = tuple(image.shape[-2:])
    if min(sides) < size:
        raise CourseError(f"no middle of {size} in {sides}")
    for axis in (-2, -1):
        image = image.narrow(axis, (image.shape[axis] - size) // 2, size)
    return image
""",
    "negative ends, rightly": """
from course_utils.files import CourseError

def centre_crop(image, size):
    h, w = image.shape[-2:]
    if min(h, w) < size:
        raise CourseError(f"{h} x {w} is smaller than {size} x {size}")
    up, down = (h - size) // 2, h - (h - size + 1) // 2
    left, right = (w - size) // 2, w - (w - size + 1) // 2
    return image[..., up:down, left:right].clone()
""",
}

# --- pyramid_reduce ---

_PYRAMID = """
import torch
import torch.nn.functional as F

def pyramid_reduce(image, levels=1):
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    for level in range(levels):
        channels = image.shape[-3]
        padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
        kernel = torch.outer(line, line).expand(channels, 1, 5, 5)
        blurred = F.conv2d(padded, kernel, groups=channels)
        image = blurred[..., ::2, ::2]
    return image
"""
_LINE = "line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16"
_KERNEL = "kernel = torch.outer(line, line).expand(channels, 1, 5, 5)"
_LEVEL = "image = blurred[..., ::2, ::2]"
_WRONG_PYRAMID = {
    "no blur": ([(_LEVEL, "image = image[..., ::2, ::2]")], "without a blur"),
    "the second pixel": ([(_LEVEL, "image = blurred[..., 1::2, 1::2]")], "rows 1, 3, 5"),
    "boxes": ([(_LEVEL, "image = F.avg_pool2d(image, 2, ceil_mode=True)")], "the mean of 2 x 2 pixels?"),
    "divided by 16 once": ([(_KERNEL, f"{_KERNEL} * 16")], "it is 16 times too bright"),
    "not divided": ([(_LINE, _LINE.removesuffix(" / 16"))], "it is 256 times too bright"),
    "across only": (
        [(_KERNEL, "kernel = F.pad(line.view(1, 5), (0, 0, 2, 2)).expand(channels, 1, 5, 5)")],
        "blurred across only?",
    ),
    "down only": (
        [(_KERNEL, "kernel = F.pad(line.view(5, 1), (2, 2, 0, 0)).expand(channels, 1, 5, 5)")],
        "blurred down only?",
    ),
    "three weights": ([("[1.0, 4.0, 6.0, 4.0, 1.0]) / 16", "[0.0, 1.0, 2.0, 1.0, 0.0]) / 4")], "[1 2 1] / 4"),
    "equal weights": ([("[1.0, 4.0, 6.0, 4.0, 1.0]) / 16", "[0.2] * 5)")], "weights equal?"),
    "colours added": (
        [(_KERNEL, "kernel = torch.outer(line, line).expand(channels, channels, 5, 5)"), (", groups=channels", "")],
        "are the colours added up?",
    ),
    "a mirror that repeats": (
        [
            (
                'padded = F.pad(image, (2, 2, 2, 2), mode="reflect")',
                "wide = torch.cat([image[..., :2].flip(-1), image, image[..., -2:].flip(-1)], -1)\n"
                "        padded = torch.cat([wide[..., :2, :].flip(-2), wide, wide[..., -2:, :].flip(-2)], -2)",
            )
        ],
        "the outermost one once more?",
    ),
    "zeros": ([(', mode="reflect"', "")], "padded with zeros?"),
    "replicate": ([('mode="reflect"', 'mode="replicate"')], "repeated (replicate)?"),
    "no padding": ([('F.pad(image, (2, 2, 2, 2), mode="reflect")', "image")], "pad by 2 on each side"),
    "not thinned": ([(_LEVEL, "image = blurred")], "nothing is left out"),
    "half of an odd side": (
        [(_LEVEL, "image = blurred[..., ::2, ::2][..., : blurred.shape[-2] // 2, : blurred.shape[-1] // 2]")],
        "[::2] keeps one pixel more",
    ),
    "levels ignored": ([("range(levels)", "range(1)")], "that is 1 level, not 2"),
    "one level too many": ([("range(levels)", "range(levels + 1)")], "that is one level too many"),
    "blurred once": (
        [("range(levels)", "range(1)"), (_LEVEL, "image = blurred[..., :: 2**levels, :: 2**levels]")],
        "blurred once and every 4th",
    ),
    "blurred first, thinned later": (
        [(_LEVEL, "image = blurred"), ("return image", "return image[..., :: 2**levels, :: 2**levels]")],
        "Take turns",
    ),
    "one image only": ([("return image", "return image if image.ndim == 3 else image[:1]")], "expected 2 x 3 x 5"),
}
_RIGHT_PYRAMID = {
    "a convolution": _PYRAMID,
    "slices": """
import torch.nn.functional as F

def pyramid_reduce(image, levels=1):
    for _ in range(levels):
        h, w = image.shape[-2:]
        p = F.pad(image, (2, 2, 2, 2), mode="reflect")
        p = p[..., :h, :] + p[..., 4:, :] + 4 * (p[..., 1:-3, :] + p[..., 3:-1, :]) + 6 * p[..., 2:-2, :]
        both = p[..., :w] + p[..., 4:] + 4 * (p[..., 1:-3] + p[..., 3:-1]) + 6 * p[..., 2:-2]
        image = both[..., ::2, ::2] / 256
    return image
""",
    "recursion, a stride": """
import torch
import torch.nn.functional as F

def pyramid_reduce(image, levels=1):
    if levels == 0:
        return image
    *leading, height, width = image.shape
    line = torch.tensor([1, 4, 6, 4, 1]) / 16
    planes = F.pad(image.reshape(-1, 1, height, width), (2, 2, 2, 2), mode="reflect")
    planes = F.conv2d(F.conv2d(planes, line.view(1, 1, 5, 1), stride=(2, 1)), line.view(1, 1, 1, 5), stride=(1, 2))
    return pyramid_reduce(planes.reshape(*leading, *planes.shape[-2:]), levels - 1)
""",
}

# --- pixel_shuffle ---

_SHUFFLE = """
import torch

def pixel_shuffle(features, scale):
    n, channels, height, width = features.shape
    c = channels // (scale * scale)
    blocks = features.reshape(n, c, scale, scale, height, width)
    rows = blocks.permute(0, 1, 4, 2, 5, 3)
    return rows.reshape(n, c, height * scale, width * scale)
"""
_SPLIT = "features.reshape(n, c, scale, scale, height, width)"
_ORDER = "blocks.permute(0, 1, 4, 2, 5, 3)"
_OWN_LAYER = """
import torch.nn.functional as F
from torch import nn

class pixel_shuffle(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, features):
        return F.pixel_shuffle(features, self.scale)
"""
_WRONG_SHUFFLE = {
    "as TensorFlow": (
        [(_SPLIT, "features.reshape(n, scale, scale, c, height, width)"), (_ORDER, "blocks.permute(0, 3, 4, 1, 5, 2)")],
        "as in TensorFlow",
    ),
    "rows and columns swapped": ([(_ORDER, "blocks.permute(0, 1, 4, 3, 5, 2)")], "the right neighbour of channel 0"),
    "no permute": ([(_ORDER, "blocks")], "the axes must be permuted"),
    "small images side by side": ([(_ORDER, "blocks.permute(0, 1, 2, 4, 3, 5)")], "small images side by side"),
    "one channel repeated": (
        [
            (
                "return rows.reshape(n, c, height * scale, width * scale)",
                "return features[:, :: scale**2].repeat_interleave(scale, 2).repeat_interleave(scale, 3)",
            )
        ],
        "the others are lost",
    ),
    "scale channels, not scale²": ([("channels // (scale * scale)", "channels // scale")], "raised RuntimeError"),
    "height and width swapped": (
        [
            (_ORDER, "blocks.permute(0, 1, 5, 2, 4, 3)"),
            ("height * scale, width * scale", "width * scale, height * scale"),
        ],
        "are height and width swapped?",
    ),
    "six axes": ([("return rows.reshape(n, c, height * scale, width * scale)", "return rows")], "the last reshape"),
    "one image only": ([("return rows.reshape(n,", "return rows[:1].reshape(1,")], "expected 2 x 2 x"),
    "a scale of 2 always": ([("    n, ", "    scale = 2\n    n, ")], "raised RuntimeError: shape '[2, 4"),
    "no return": ([("return rows", "rows")], "is a `return` missing?"),
    "PyTorch's layer": (
        [(_SHUFFLE, "from torch import nn\n\npixel_shuffle = nn.PixelShuffle\n")],
        "a layer here, PixelShuffle; write a function",
    ),
    "a layer of one's own": ([(_SHUFFLE, _OWN_LAYER)], "a layer here, pixel_shuffle; write a function"),
}
_RIGHT_SHUFFLE = {
    "two reshapes": _SHUFFLE,
    "a loop over sub-pixels": """
import torch

def pixel_shuffle(features, scale):
    n, channels, height, width = features.shape
    large = features.new_zeros(n, channels // scale**2, height * scale, width * scale)
    for row in range(scale):
        for column in range(scale):
            large[:, :, row::scale, column::scale] = features[:, row * scale + column :: scale**2]
    return large
""",
    "PyTorch's own": """
import torch.nn.functional as F

def pixel_shuffle(features, scale):
    return F.pixel_shuffle(features, scale)
""",
}

# --- espcn ---

_ESPCN = """
import torch
import torch.nn.functional as F
from torch import nn
from course_utils.models.espcn import nearest_start

class ESPCN(nn.Module):
    def __init__(self, scale=4, channels=3):
        super().__init__()
        self.config = {"scale": scale, "channels": channels}
        self.scale = scale
        self.receptive_radius = 6
        first = nn.Conv2d(channels, 64, 5, padding=2)
        second = nn.Conv2d(64, 64, 3, padding=1)
        third = nn.Conv2d(64, 32, 3, padding=1)
        fourth = nn.Conv2d(32, 16, 3, padding=1)
        last = nn.Conv2d(16, channels * scale**2, 3, padding=1)
        nearest_start([first, second, third, fourth, last], channels)
        shuffle = nn.PixelShuffle(scale)
        self.net = nn.Sequential(
            first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), fourth, nn.ReLU(), last, shuffle
        )

    def forward(self, y):
        return self.net(y)

    def restore(self, y):
        return self(y)
"""
_FIRST = "nn.Conv2d(channels, 64, 5, padding=2)"
_SECOND = "nn.Conv2d(64, 64, 3, padding=1)"
_LAST = "nn.Conv2d(16, channels * scale**2, 3, padding=1)"
_START = "        nearest_start([first, second, third, fourth, last], channels)\n"
_NET = "first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), fourth, nn.ReLU(), last, shuffle"
_BY_HAND = "return large.{}.reshape(n, c // self.scale**2, self.scale * h, self.scale * w)"
_OWN_SHUFFLE = [
    ("last, shuffle", "last"),
    ("return self.net(y)", "large = self.net(y)\n        n, c, h, w = large.shape\n        SHUFFLE"),
]


def _shuffled(reshaped, permuted):
    return [*_OWN_SHUFFLE, ("SHUFFLE", _BY_HAND.format(f"reshape({reshaped}).permute({permuted})"))]


_WRONG_ESPCN = {
    "first kernel 3 x 3": ([(_FIRST, "nn.Conv2d(channels, 64, 3, padding=1)")], "is the first kernel 3 x 3?"),
    "channels * scale maps": ([("channels * scale**2", "channels * scale")], "channels * scale maps?"),
    "three maps": (
        [(_LAST, "nn.Conv2d(16, channels, 3, padding=1)"), ("last, shuffle", "last"), (_START, "")],
        "has the last layer 3 maps?",
    ),
    "scale² maps": ([("channels * scale**2", "scale**2"), (_START, "")], "has the last layer scale**2 maps?"),
    "the paper's layers": (
        [
            ("nn.Conv2d(64, 64, 3, padding=1)", "nn.Conv2d(64, 32, 3, padding=1)"),
            (_LAST, "nn.Conv2d(32, channels * scale**2, 3, padding=1)"),
            (_NET, "first, nn.ReLU(), second, nn.ReLU(), last, shuffle"),
            ("second, third, fourth, last], channels", "second, last], channels"),
        ],
        "three layers of the paper?",
    ),
    "PReLU": ([("nn.ReLU()", "nn.PReLU()")], "is it PReLU?"),
    "one layer too few": (
        [("second, nn.ReLU(), ", ""), ("first, second,", "first,"), ("        second = " + _SECOND + "\n", "")],
        "from 64 to 64 maps missing?",
    ),
    "scale always 4": (
        [("channels * scale**2", "channels * 16"), ("nn.PixelShuffle(scale)", "nn.PixelShuffle(4)")],
        "is `scale` ignored?",
    ),
    "three channels always": (
        [(_FIRST, "nn.Conv2d(3, 64, 5, padding=2)"), ("channels * scale**2", "3 * scale**2")],
        "is `channels` ignored?",
    ),
    "all but the last in a plain list, PyTorch's start": (
        [
            (_START, ""),
            ("self.net = nn.Sequential(", "self.last = last\n        self.net = list(("),
            (_NET, f"{_NET})"),
            ("return self.net(y)", "for layer in self.net:\n            y = layer(y)\n        return y"),
        ],
        "is only the last layer found?",
    ),
    "PyTorch's start": ([(_START, "")], "is nearest_start(convolutions, channels) called"),
    "no shuffle": ([("last, shuffle", "last")], "is the pixel shuffle missing?"),
    "shuffled first": (
        [(_NET, f"shuffle, {_NET.removesuffix(', shuffle')}")],
        "no multiple of scale**2",
    ),
    "ReLU at the end": ([("last, shuffle", "last, nn.ReLU(), shuffle")], "This network has none there"),
    "Tanh": ([("nn.ReLU()", "nn.Tanh()"), (_START, f"{_START}")], "it runs conv Tanh"),
    "one ReLU forgotten": ([("third, nn.ReLU(), fourth", "third, fourth")], "conv conv ReLU conv shuffle"),
    "no padding": (
        [(_FIRST, "nn.Conv2d(channels, 64, 5)"), (_SECOND, "nn.Conv2d(64, 64, 3)")],
        "does the padding keep height and width",
    ),
    "a padding of 1 everywhere": ([(_FIRST, "nn.Conv2d(channels, 64, 5, padding=1)")], "2 x 3 x 44 x 48, expected"),
    "one image only": ([("return self.net(y)", "return self.net(y)[:1]")], "the number of images"),
    "functions, one forgotten": (
        [
            (_NET, "first, second, third, fourth, last, shuffle"),
            (
                "return self.net(y)",
                "for layer in self.net[:3]:\n            y = F.relu(layer(y))\n        return self.net[3:](y)",
            ),
        ],
        "ReLU conv conv shuffle",
    ),
    "reflected border": (
        [(_FIRST, 'nn.Conv2d(channels, 64, 5, padding=2, padding_mode="reflect")')],
        "pad with zeros",
    ),
    "shuffled with swapped rows and columns": (
        _shuffled("n, c // self.scale**2, self.scale, self.scale, h, w", "0, 1, 4, 3, 5, 2"),
        "the shuffle is not: rows and columns",
    ),
    "shuffled as TensorFlow does": (
        _shuffled("n, self.scale, self.scale, c // self.scale**2, h, w", "0, 3, 4, 1, 5, 2"),
        "as in TensorFlow",
    ),
    "clipped": ([("return self.net(y)", "return self.net(y).clamp(0, 1)")], "it is clipped"),
    "restore is clipped": ([("return self(y)", "return self(y).clamp(0, 1)")], "restore is clipped"),
    "restore adds the image": (
        [("return self(y)", "return self(y) + F.interpolate(y, scale_factor=self.scale)")],
        "restore is not what forward gives",
    ),
    "forward not returned": ([("return self.net(y)", "self.net(y)")], "is a `return` missing?"),
    "a plain list": (
        [
            ("nn.Sequential(", "list(("),
            (_NET, f"{_NET})"),
            ("return self.net(y)", "for layer in self.net:\n            y = layer(y)\n        return y"),
        ],
        "layers in a plain list",
    ),
    "no scale": ([("        self.scale = scale\n", "")], "no attribute `scale`"),
    "scale is always 4": ([("self.scale = scale", "self.scale = 4")], "keep the argument in it"),
    "radius in the large image": ([("radius = 6", "radius = 6 * scale")], "pixels of the small image"),
    "kernels added up": ([("radius = 6", "radius = 5 + 3 + 3 + 3 + 3")], "sides of the kernels added up?"),
    "number of layers": ([("radius = 6", "radius = 5")], "is it the number of layers?"),
    "no config": ([("self.config =", "settings =")], "no attribute `config`"),
    "a fixed config": ([('"scale": scale', '"scale": 4')], "expected the two arguments"),
}
_RIGHT_ESPCN = {
    "other words": _ESPCN,
    "a loop, functions": """
import torch.nn.functional as F
from torch import nn
from course_utils.models.espcn import nearest_start

class ESPCN(nn.Module):
    def __init__(self, scale=4, channels=3):
        super().__init__()
        self.config = dict(channels=channels, scale=scale)
        self.scale = scale
        maps = [channels, 64, 64, 32, 16, channels * scale * scale]
        self.convolutions = nn.ModuleList()
        for i, kernel in enumerate((5, 3, 3, 3, 3)):
            self.convolutions.append(nn.Conv2d(maps[i], maps[i + 1], (kernel, kernel), padding="same"))
        self.receptive_radius = sum(c.kernel_size[0] // 2 for c in self.convolutions)
        nearest_start(list(self.convolutions), channels)

    def forward(self, y):
        for convolution in self.convolutions[:-1]:
            y = F.relu(convolution(y))
        return F.pixel_shuffle(self.convolutions[-1](y), self.scale)

    def restore(self, y):
        return self.forward(y)
""",
    "a start and a shuffle by hand": """
import torch
from torch import nn

class ESPCN(nn.Module):
    def __init__(self, scale=4, channels=3):
        super().__init__()
        self.config = dict(channels=channels, scale=scale)
        self.scale, self.receptive_radius = scale, 6
        sides, maps = (5, 3, 3, 3, 3), [channels, 64, 64, 32, 16, channels * scale * scale]
        self.stack = nn.ModuleList(nn.Conv2d(*maps[k : k + 2], sides[k], padding="same") for k in range(5))
        for k, layer in enumerate(self.stack):
            copies = scale * scale if k == 4 else 1
            weight, bias = layer.weight.data, layer.bias.data
            weight[: channels * copies], bias[: channels * copies] = 0, 0
            for out in range(channels * copies):
                weight[out, out // copies, sides[k] // 2, sides[k] // 2] = 1

    def forward(self, y):
        for layer in self.stack[:4]:
            y = layer(y).clamp(min=0)
        n, _, h, w = y.shape
        r = self.scale
        parts = self.stack[4](y).view(n, -1, r, r, h, w)
        return torch.einsum("ncabhw->nchawb", parts).reshape(n, -1, h * r, w * r)

    def restore(self, y):
        return self(y)
""",
}

WRONG = {
    "centre_crop": from_one(_CROP, _WRONG_CROP),
    "pyramid_reduce": from_one(_PYRAMID, _WRONG_PYRAMID),
    "pixel_shuffle": from_one(_SHUFFLE, _WRONG_SHUFFLE),
    "espcn": from_one(_ESPCN, _WRONG_ESPCN),
}
RIGHT = {
    "centre_crop": _RIGHT_CROP,
    "pyramid_reduce": _RIGHT_PYRAMID,
    "pixel_shuffle": _RIGHT_SHUFFLE,
    "espcn": _RIGHT_ESPCN,
}
