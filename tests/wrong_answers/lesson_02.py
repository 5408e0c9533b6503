"""Lesson 2, as students answer it."""

from changes import changed, from_one

# --- low_resolution_pair ---

_PAIR = """
import torch
from torch.nn import functional as F
from course_utils.degrade import crop_to_multiple, enlarge, reduce

def low_resolution_pair(image, scale):
    clean = crop_to_multiple(image, scale)
    small = reduce(clean, scale)
    degraded = enlarge(small, scale)
    return degraded, clean
"""
_SMALL, _LARGE = "small = reduce(clean, scale)", "degraded = enlarge(small, scale)"
_RESIZED = (
    "F.interpolate({}.reshape(-1, *{}.shape[-3:]), {}, mode='bicubic').clamp(0, 1).reshape(*image.shape[:-2], {})"
)
_PLAIN_SMALL = _RESIZED.format("clean", "clean", "scale_factor=1 / scale", "clean.shape[-2] // scale, -1")
_PLAIN_LARGE = _RESIZED.format("small", "small", "scale_factor=scale", "*clean.shape[-2:]")
_WRONG_PAIR = {
    "not cropped": ([("crop_to_multiple(image, scale)", "image")], "does not divide the sides: crop"),
    "cropped too late": (
        [("crop_to_multiple(image, scale)", "image"), ("reduce(clean,", "reduce(crop_to_multiple(clean, scale),")],
        "not cropped; return what was cropped",
    ),
    "swapped": ([("return degraded, clean", "return clean, degraded")], "the two are swapped"),
    "the last rows kept": (
        [
            (
                "crop_to_multiple(image, scale)",
                "image[..., image.shape[-2] % scale :, image.shape[-1] % scale :]",
            )
        ],
        "lost its first rows and columns",
    ),
    "only reduced": ([(_LARGE, "degraded = small")], "it is reduced; enlarge it again"),
    "nothing lost": ([(_LARGE, "degraded = clean.clone()")], "nothing is lost"),
    "first enlarged": (
        [("reduce(clean, scale)", "enlarge(clean, scale)"), ("enlarge(small, scale)", "reduce(small, scale)")],
        "the other way round nothing is lost",
    ),
    "pixels repeated": (
        [(_LARGE, "degraded = small.repeat_interleave(scale, -1).repeat_interleave(scale, -2)")],
        "the pixels are repeated",
    ),
    "no antialiasing": (
        [(_SMALL, f"small = {_PLAIN_SMALL}"), (_LARGE, f"degraded = {_PLAIN_LARGE}")],
        "the helpers `reduce` and `enlarge` do it",
    ),
    "reduced without antialiasing": ([(_SMALL, f"small = {_PLAIN_SMALL}")], "the helper `reduce` averages it"),
    "enlarged by PyTorch's own": ([(_LARGE, f"degraded = {_PLAIN_LARGE}")], "PyTorch's other cubic"),
    "bilinear": ([(_LARGE, f"degraded = {_PLAIN_LARGE}".replace("bicubic", "bilinear"))], "that is bilinear"),
    "rounded": ([("return degraded,", "return (255 * degraded).round() / 255,")], "whole grey levels"),
    "always by 3": (
        [("scale):\n", "scale):\n    scale = 3\n")],
        "is the scale always 3",
    ),
    "one image": ([("return degraded, clean", "return degraded")], "gave one image alone"),
    "no return": ([("    return degraded, clean\n", "")], "is a `return` missing?"),
}
_RIGHT_PAIR = {
    "step by step": _PAIR,
    "LowResolution": """
from course_utils.degrade import LowResolution

def low_resolution_pair(image, scale):
    height, width = image.shape[-2:]
    clean = image[..., : height - height % scale, : width - width % scale]
    return [LowResolution(scale)(clean), clean]
""",
    "torch by hand": """
from torch.nn import functional as F

def low_resolution_pair(image, scale):
    rows, columns = image.shape[-2] // scale, image.shape[-1] // scale
    clean = image[..., : rows * scale, : columns * scale].clone()
    batch = clean if clean.ndim == 4 else clean[None]
    for size in ((rows, columns), (rows * scale, columns * scale)):
        batch = F.interpolate(batch, size, mode="bicubic", antialias=True).clamp(0, 1)
    return batch.view_as(clean), clean
""",
}

# --- srcnn ---

_SRCNN = """
import torch
import torch.nn.functional as F
from torch import nn

class SRCNN(nn.Module):
    def __init__(self, channels=1, kernels=(9, 1, 5), padding_mode="zeros"):
        super().__init__()
        self.config = {"channels": channels, "kernels": list(kernels), "padding_mode": padding_mode}
        self.receptive_radius = sum(k // 2 for k in kernels)
        k1, k2, k3 = kernels
        first = nn.Conv2d(channels, 64, k1, padding=k1 // 2, padding_mode=padding_mode)
        second = nn.Conv2d(64, 32, k2, padding=k2 // 2, padding_mode=padding_mode)
        third = nn.Conv2d(32, channels, k3, padding=k3 // 2, padding_mode=padding_mode)
        for layer in (first, second, third):
            nn.init.dirac_(layer.weight.data[:channels])
            nn.init.zeros_(layer.bias.data[:channels])
        self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, y):
        return self.net(y)

    def restore(self, y):
        return self.forward(y)
"""
_NET = "nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)"
_FUNCTIONAL = [  # three attributes, and ReLU as a function
    (f"self.net = {_NET}", "self.first, self.second, self.third = first, second, third"),
    (
        "        return self.net(y)",
        "        y = F.relu(self.first(y))\n        y = F.relu(self.second(y))\n        return self.third(y)",
    ),
]
_DIRAC = "            nn.init.dirac_(layer.weight.data[:channels])\n"
_ZEROS = "            nn.init.zeros_(layer.bias.data[:channels])\n"
_WRONG_SRCNN = {
    "64 maps in the second layer": (
        [("nn.Conv2d(64, 32,", "nn.Conv2d(64, 64,"), ("nn.Conv2d(32, channels,", "nn.Conv2d(64, channels,")],
        "64 after the first, then 32",
    ),
    "kernels 9, 5, 5 always": ([("k1, k2, k3 = kernels", "k1, k2, k3 = 9, 5, 5")], "is the middle kernel 5 x 5?"),
    "kernels 9, 1, 5 always": ([("k1, k2, k3 = kernels", "k1, k2, k3 = 9, 1, 5")], "`kernels` is ignored"),
    "no biases": (
        [("padding_mode=padding_mode)", "padding_mode=padding_mode, bias=False)"), (_ZEROS, "")],
        "lack their biases",
    ),
    "one channel always": (
        [("nn.Conv2d(channels, 64", "nn.Conv2d(1, 64"), ("nn.Conv2d(32, channels", "nn.Conv2d(32, 1")],
        "is `channels` ignored?",
    ),
    "one channel out": ([("nn.Conv2d(32, channels", "nn.Conv2d(32, 1")], "does the last layer make `channels` maps?"),
    "a plain list": (
        [
            (_NET, "[first, nn.ReLU(), second, nn.ReLU(), third]"),
            ("return self.net(y)", "for layer in self.net:\n            y = layer(y)\n        return y"),
        ],
        "layers in a plain list",
    ),
    "PyTorch's start": ([(_DIRAC, ""), (_ZEROS, "            pass\n")], "start the first `channels` maps"),
    "biases left": ([(_ZEROS, "")], "with nn.init.dirac_ and a bias of 0"),
    "one map handed on": (
        [("data[:channels])", "data[:1])")],
        "only the first colour comes through",
    ),
    "all maps zero": ([("weight.data[:channels]", "weight.data")], "only the first `channels` maps are set"),
    "no ReLU": ([(_NET, "nn.Sequential(first, second, third)")], "there is no ReLU at work"),
    "one ReLU": (
        [(_NET, "nn.Sequential(first, second, nn.ReLU(), third)")],
        "ReLU after the first convolution missing",
    ),
    "the other ReLU": (
        [(_NET, "nn.Sequential(first, nn.ReLU(), second, third)")],
        "ReLU after the second convolution missing",
    ),
    "ReLU at the end": (
        [(_NET, "nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU())")],
        "ReLU after the last convolution?",
    ),
    "clipped": ([("return self.net(y)", "return self.net(y).clamp(0, 1)")], "it is clipped to [0, 1]; the clipping"),
    "a skip connection": (
        [
            ("return self.net(y)", "return y + self.net(y)"),
            (
                "dirac_(layer.weight.data[:channels])",
                "zeros_(layer.weight.data if layer is third else layer.bias.data)",
            ),
        ],
        "is y added to the output?",
    ),
    "leaky": (
        [(_NET, "nn.Sequential(first, nn.LeakyReLU(), second, nn.LeakyReLU(), third)")],
        "it runs conv LeakyReLU",
    ),
    "leaky, as a function": (
        [*_FUNCTIONAL, ("F.relu(self.second(y))", "F.leaky_relu(self.second(y), 0.2)")],
        "it runs conv ReLU conv LeakyReLU conv, expected conv ReLU conv ReLU conv",
    ),
    "maps swapped, ReLU as a function": (
        [
            *_FUNCTIONAL,
            ("nn.Conv2d(64, 32,", "nn.Conv2d(32, 64,"),
            ("nn.Conv2d(channels, 64,", "nn.Conv2d(channels, 32,"),
            ("nn.Conv2d(32, channels,", "nn.Conv2d(64, channels,"),
        ],
        "are there 64 maps after the first layer and 32 after the second?",
    ),
    "abs at the end, ReLU as a function": (
        [*_FUNCTIONAL, ("return self.third(y)", "return self.third(y).abs()")],
        "is it convolution, ReLU, convolution, ReLU, convolution",
    ),
    "clipped to [-1, 1], ReLU by hand": (
        [
            *_FUNCTIONAL,
            ("F.relu(self.first(y))", "self.first(y)\n        y = y * (y > 0)"),
            ("F.relu(self.second(y))", "self.second(y)\n        y = y * (y > 0)"),
            ("return self.third(y)", "return self.third(y).clamp(-1, 1)"),
        ],
        "as far as can be seen it runs conv conv conv clamp",
    ),
    "no padding": (
        [("padding=k1 // 2", "padding=0"), ("padding=k3 // 2", "padding=0")],
        "padding=kernel // 2 keeps the size",
    ),
    "replicate always": (
        [("padding_mode=padding_mode)", 'padding_mode="replicate")')],
        "near the border only. Beyond it",
    ),
    "padding_mode ignored": ([(", padding_mode=padding_mode)", ")")], "gives what"),
    "padding_mode in one layer": (
        [("k1 // 2, padding_mode=padding_mode)", "k1 // 2)")],
        "Hand `padding_mode` on to all three",
    ),
    "restore subtracts": ([("return self.forward(y)", "return y - self.forward(y)")], "minus the network's output"),
    "restore clips": (
        [("return self.forward(y)", "return self(y).clamp(0, 1)")],
        "restore is not what the network gives",
    ),
    "no config": ([("self.config =", "settings =")], "no attribute `config`"),
    "a fixed config": ([('"kernels": list(kernels)', '"kernels": [9, 1, 5]')], "expected the three arguments"),
    "width of the field": ([("sum(k // 2 for k in kernels)", "2 * sum(k // 2 for k in kernels) + 1")], "whole field"),
    "widest kernel": ([("sum(k // 2 for k in kernels)", "max(kernels) // 2")], "their radii add up"),
    "radius always 6": ([("sum(k // 2 for k in kernels)", "6")], "whatever the kernels?"),
    "forward not returned": ([("return self.net(y)", "self.net(y)")], "a new SRCNN(channels=3) returned nothing"),
    "super forgotten": ([("        super().__init__()\n", "")], "SRCNN() raised AttributeError"),
}
_RIGHT_SRCNN = {
    "three attributes": changed(_SRCNN, *_FUNCTIONAL),
    "the last first, functional ReLU": """
import torch
from torch import nn

class SRCNN(nn.Module):
    def __init__(self, channels=1, kernels=(9, 1, 5), padding_mode="zeros"):
        super().__init__()
        self.config = dict(padding_mode=padding_mode, kernels=kernels, channels=channels)
        self.receptive_radius = (sum(kernels) - 3) // 2
        self.reconstruct = nn.Conv2d(32, channels, kernels[2], padding="same", padding_mode=padding_mode)
        self.map = nn.Conv2d(64, 32, kernels[1], padding="same", padding_mode=padding_mode)
        self.extract = nn.Conv2d(channels, 64, kernels[0], padding="same", padding_mode=padding_mode)
        with torch.no_grad():
            for layer, k in zip((self.extract, self.map, self.reconstruct), kernels):
                for c in range(channels):
                    layer.weight[c] = 0
                    layer.weight[c, c, k // 2, k // 2] = 1
                    layer.bias[c] = 0

    def forward(self, y):
        features = torch.relu(self.extract(y))
        return self.reconstruct(torch.relu(self.map(features)))

    def restore(self, y):
        return self(y)
""",
    "a loop": """
from torch import nn

class SRCNN(nn.Module):
    def __init__(self, channels=1, kernels=(9, 1, 5), padding_mode="zeros"):
        super().__init__()
        self.config = {"channels": channels, "kernels": list(kernels), "padding_mode": padding_mode}
        self.receptive_radius = sum((k - 1) // 2 for k in kernels)
        maps, layers = [channels, 64, 32, channels], nn.ModuleList()
        for before, after, k in zip(maps, maps[1:], kernels):
            layers.append(nn.Conv2d(before, after, (k, k), 1, (k // 2, k // 2), padding_mode=padding_mode))
            nn.init.dirac_(layers[-1].weight.detach()[:channels])
            nn.init.constant_(layers[-1].bias.detach()[:channels], 0.0)
        self.layers, self.relu = layers, nn.ReLU(inplace=True)

    def forward(self, y):
        for layer in self.layers[:-1]:
            y = self.relu(layer(y))
        return self.layers[-1](y)

    def restore(self, y):
        return self.forward(y)
""",
}

# --- mse_loss ---


def _loss(body):
    head = "import torch\nfrom torch.nn import functional as F\n\n"
    return f"{head}def mse_loss(restored, degraded, clean):\n    {body}\n"


_ERROR = "(restored - clean)"
_WRONG_LOSS = {
    "sum": (f"return ({_ERROR} ** 2).sum()", "that is the sum of the squares"),
    "half": (f"return ({_ERROR} ** 2).mean() / 2", "there is no ½"),
    "sum of each image": (f"return ({_ERROR} ** 2).sum() / len(clean)", "the sum over each image"),
    "1/(2N)": (f"return ({_ERROR} ** 2).sum() / (2 * len(clean))", "that is 1/(2N) times the sum"),
    "root": (f"return ({_ERROR} ** 2).mean().sqrt()", "no root is taken"),
    "absolute": (f"return {_ERROR}.abs().mean()", "That is the mean absolute error"),
    "not squared": (f"return {_ERROR}.mean()", "square the differences"),
    "variance": (f"return {_ERROR}.var()", "is the variance taken?"),
    "the degraded image": ("return ((restored - degraded) ** 2).mean()", "compare `restored` with `clean`"),
    "as in DnCNN": ("return ((restored - (degraded - clean)) ** 2).mean()", "the clean image itself has the loss"),
    "without the network": ("return ((degraded - clean) ** 2).mean()", "whatever the network gives"),
    "decibels": (f"return -10 * torch.log10(({_ERROR} ** 2).mean())", "has the loss inf"),
    "no reduction": (f"return {_ERROR} ** 2", "Tensor of shape (4, 1, 6, 5)"),
    "one number for each image": (f"return ({_ERROR} ** 2).mean(dim=(1, 2, 3))", "Tensor of shape (4,)"),
    "no gradient": (f"return ({_ERROR} ** 2).mean().item()", "knows its gradient"),
    "no return": (f"loss = ({_ERROR} ** 2).mean()", "is a `return` missing?"),
}
_RIGHT_LOSS = {
    "by hand": _loss(f"return ({_ERROR} ** 2).mean()"),
    "functional": _loss("return F.mse_loss(restored, clean)"),
    "the sum and its number": _loss("return torch.sum((clean - restored).square()) / clean.numel()"),
    "image by image": _loss(f"return {_ERROR}.pow(2).flatten(1).mean(dim=1).mean()"),
}

# --- merge_luma ---

_MERGE = """
import torch
from course_utils.colour import rgb_to_ycbcr, ycbcr_to_rgb

def merge_luma(y, rgb):
    ycbcr = rgb_to_ycbcr(rgb)
    cb, cr = ycbcr[..., 1:2, :, :], ycbcr[..., 2:3, :, :]
    merged = torch.cat([y, cb, cr], dim=-3)
    return ycbcr_to_rgb(merged)
"""
_CAT = "torch.cat([y, cb, cr], dim=-3)"
_WRONG_MERGE = {
    "the old Y": ([(_CAT, "ycbcr")], "that is the colour image as it came"),
    "grey": ([("return ycbcr_to_rgb(merged)", "return torch.cat([y, y, y], dim=-3)")], "that is Y three times"),
    "not gone back": ([("return ycbcr_to_rgb(merged)", "return merged")], "still Y, Cb and Cr"),
    "full range": (
        [("rgb_to_ycbcr(rgb)", "rgb_to_ycbcr(rgb, full_range=True)"), ("(merged)", "(merged, full_range=True)")],
        "is it full range? A restored Y",
    ),
    "full range back": ([("(merged)", "(merged, full_range=True)")], "is the way back full range?"),
    "Y last": ([("[y, cb, cr]", "[cb, cr, y]")], "are the channels in another order?"),
    "Cb and Cr swapped": ([("[y, cb, cr]", "[y, cr, cb]")], "are Cb and Cr swapped?"),
    "the change of Y added": (
        [("    merged =", "    return (rgb + y - ycbcr[..., :1, :, :]).clamp(0, 1)\n    merged =")],
        "without 255/219",
    ),
    "no colour": ([("cb, cr]", "0 * cb + 128 / 255, 0 * cr + 128 / 255]")], "the colours are gone"),
    "clipped before the end": (
        [
            (
                "    merged =",
                "    merged = torch.cat([y, cb.clamp(0.25, 0.75), cr.clamp(0.25, 0.75)], dim=-3)\n    unused =",
            )
        ],
        "is anything clipped before ycbcr_to_rgb does it?",
    ),
    "Y stretched": ([("[y, cb", "[(255 * y - 16) / 219, cb")], "the Y of the result is off by up to"),
    "not clipped": (
        [("return ycbcr_to_rgb(merged)", "return rgb + 255 / 219 * (y - ycbcr[..., :1, :, :])")],
        "ycbcr_to_rgb clips it",
    ),
    "dim=0": ([("dim=-3", "dim=0")], "dim=-3, batch or not"),
    "Y alone": ([("return ycbcr_to_rgb(merged)", "return y")], "it needs three channels"),
    "no return": ([("return ycbcr_to_rgb(merged)", "ycbcr_to_rgb(merged)")], "is a `return` missing?"),
}
_RIGHT_MERGE = {
    "channel by channel": _MERGE,
    "put into a copy": """
from course_utils.colour import rgb_to_ycbcr, ycbcr_to_rgb

def merge_luma(y, rgb):
    ycbcr = rgb_to_ycbcr(rgb).clone()
    ycbcr[..., 0, :, :] = y[..., 0, :, :]
    return ycbcr_to_rgb(ycbcr)
""",
    "all three moved alike": """
from course_utils.metrics import luma

def merge_luma(y, rgb):
    return (rgb + 255 / 219 * (y - luma(rgb))).clamp(0, 1)
""",
}

WRONG = {
    "low_resolution_pair": from_one(_PAIR, _WRONG_PAIR),
    "srcnn": from_one(_SRCNN, _WRONG_SRCNN),
    "mse_loss": {mistake: (_loss(body), text) for mistake, (body, text) in _WRONG_LOSS.items()},
    "merge_luma": from_one(_MERGE, _WRONG_MERGE),
}
RIGHT = {
    "low_resolution_pair": _RIGHT_PAIR,
    "srcnn": _RIGHT_SRCNN,
    "mse_loss": _RIGHT_LOSS,
    "merge_luma": _RIGHT_MERGE,
}

_FIRST_TWO, _START = "the ordinary image is not right yet", "a new network hands the image on, and its other maps start"
_OUTPUT, _PADDING = (
    "with given weights its output is that of an SRCNN",
    "`padding_mode` says what lies beyond the border",
)
_COLOURS, _RANGE = "its colours are those of the colour image", "colours beyond the range are clipped"
_NOT_YET = {_PADDING: "forward is not right yet"}
LATER = {  # {exercise: {mistake: {beginning of a claim that is not the first to fail: a part of its sentence}}}
    "srcnn": {
        "maps swapped, ReLU as a function": {
            _START: "get the number of parameters right first",
            _OUTPUT: "get the number of parameters right first",
            **_NOT_YET,
        },
        "64 maps in the second layer": {_OUTPUT: "get the number of parameters right first", **_NOT_YET},
        "clipped": _NOT_YET,
        "ReLU at the end": _NOT_YET,
    },
    "merge_luma": {
        "full range": {_COLOURS: "only Y is not right yet", _RANGE: _FIRST_TWO},
        "the old Y": {_COLOURS: "only Y is not right yet", _RANGE: _FIRST_TWO},
        "full range back": {_COLOURS: "get Y right first", _RANGE: _FIRST_TWO},
        "not gone back": {_RANGE: _FIRST_TWO},
        "Cb and Cr swapped": {_RANGE: _FIRST_TWO},
        "no colour": {_RANGE: _FIRST_TWO},
    },
}
