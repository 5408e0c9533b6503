"""Lesson 4, as students answer it."""

from changes import from_one

# --- quantisation_table ---

_TABLE = """
import torch
import numpy as np
from course_utils.degrade.jpeg import LUMA_TABLE

def quantisation_table(quality):
    if quality < 50:
        scale = 5000 // quality
    else:
        scale = 200 - 2 * quality
    table = (scale * LUMA_TABLE + 50) // 100
    return table.clamp(1, 255)
"""
_SCALED = "(scale * LUMA_TABLE + 50) // 100"
_WRONG_TABLE = {
    "not scaled": ([(_SCALED, "LUMA_TABLE")], "that is the table itself"),
    "one formula for all": ([("quality < 50", "quality < 0")], "is the other formula taken? 5000 // quality is for"),
    "the other formula from 50 on": (
        [("quality < 50", "quality <= 100")],
        "is the other formula taken?",
    ),
    "no per cent": ([(_SCALED, "scale * LUMA_TABLE")], "the scale is in per cent"),
    "the quality as scale": (
        [("5000 // quality", "quality"), ("200 - 2 * quality", "quality")],
        "is the quality itself taken for the scale?",
    ),
    "divided by the scale": ([(_SCALED, "100 * LUMA_TABLE // scale")], "multiplied by the scale, not divided"),
    "turned": ([(_SCALED, "(scale * LUMA_TABLE.T + 50) // 100")], "rows and columns are swapped"),
    "not rounded": ([(_SCALED, "scale * LUMA_TABLE / 100")], "round it to whole numbers"),
    "rounded down": ([(_SCALED, "scale * LUMA_TABLE // 100")], "it is rounded down"),
    "rounded up": ([(_SCALED, "torch.ceil(scale * LUMA_TABLE / 100)")], "it is rounded up"),
    "a scale that is no whole number": ([("5000 // quality", "5000 / quality")], "the scale is a whole number too"),
    "not limited": ([("table.clamp(1, 255)", "table")], "no number is more than 255, or less than 1"),
    "not limited below": ([("table.clamp(1, 255)", "table.clamp(max=255)")], "no number is less than 1"),
    "limited to less than a byte": ([("clamp(1, 255)", "clamp(1, 254)")], "clamp(1, 255)"),
    "limited from 2 on": ([("clamp(1, 255)", "clamp(2, 255)")], "clamp(1, 255)"),
    "limited to 256": ([("clamp(1, 255)", "clamp(1, 256)")], "clamp(1, 255)"),
    "a row too few": ([("table.clamp(1, 255)", "table.clamp(1, 255)[1:]")], "of shape (7, 8)"),
    "no return": ([("return table", "table")], "is a `return` missing?"),
}
_RIGHT_TABLE = {
    "if and else": _TABLE,
    "NumPy": """
import numpy as np
from course_utils.degrade.jpeg import LUMA_TABLE

def quantisation_table(quality):
    scale = int(5000 / quality) if quality < 50 else 200 - quality * 2
    return np.clip(np.floor((scale * LUMA_TABLE.numpy() + 50) / 100), 1, 255)
""",
    "number by number": """
import torch
from course_utils.degrade.jpeg import LUMA_TABLE

def quantisation_table(quality):
    scale = 200 - 2 * quality if quality >= 50 else 5000 // quality
    numbers = [max(1, min(255, (scale * number + 50) // 100)) for number in LUMA_TABLE.flatten().tolist()]
    return torch.tensor(numbers).reshape(8, 8)
""",
}

# --- quantise_blocks ---

_BLOCKS = """
import torch
from course_utils.degrade.jpeg import dct_matrix, from_blocks, quantisation_table, to_blocks

def quantise_blocks(y, quality):
    height, width = y.shape[-2:]
    D = dct_matrix()
    table = quantisation_table(quality).double()
    blocks = to_blocks(y) * 255
    blocks = blocks - 128
    frequencies = torch.matmul(torch.matmul(D, blocks), D.T)
    rounded = torch.round(frequencies / table)
    frequencies = rounded * table
    blocks = D.T @ frequencies @ D
    image = from_blocks((blocks + 128) / 255, height, width)
    return image.clamp(0, 1)
"""
_TO = "torch.matmul(torch.matmul(D, blocks), D.T)"
_BACK = "D.T @ frequencies @ D\n"
_OWN_D = """import math
import torch
k, x = torch.arange(8.0)[:, None], torch.arange(8.0)
D = math.sqrt(2 / 8) * torch.cos((2 * x + 1) * k * math.pi / 16)
D[0] /= math.sqrt(2)
"""
_WRONG_BLOCKS = {
    "the notebook's own D": (
        [("import torch\n", _OWN_D), ("    D = dct_matrix()\n", "")],
        "@ does not mix single and double precision. Begin with D = dct_matrix()",
    ),
    "no shift": (
        [("blocks - 128", "blocks"), ("(blocks + 128)", "blocks")],
        "subtracted before the transform, and added",
    ),
    "shifted back alone": ([("blocks - 128", "blocks")], "but not subtracted at the beginning"),
    "not shifted back": ([("(blocks + 128)", "blocks")], "but not added at the end"),
    "from 0 to 1": (
        [(" * 255", ""), ("blocks - 128", "blocks - 0.5"), ("(blocks + 128) / 255", "blocks + 0.5")],
        "multiply the image by 255 first",
    ),
    "not divided by 255": ([("(blocks + 128) / 255", "blocks + 128")], "divide by 255 at the end"),
    "rounded down": ([("torch.round", "torch.floor")], "rounded to the nearest whole number"),
    "cut off": ([("torch.round", "torch.trunc")], "rounded towards 0"),
    "not rounded": ([("torch.round(frequencies / table)", "frequencies / table")], "are the frequencies rounded?"),
    "not multiplied": ([("rounded * table", "rounded")], "multiplied by the table again?"),
    "no way back": ([(_BACK, "frequencies\n")], "the inverse transform is missing"),
    "one direction": ([(_TO, "D @ blocks"), (_BACK, "D.T @ frequencies\n")], "only one direction is transformed"),
    "swapped": ([(_TO, "D.T @ blocks @ D"), (_BACK, "D @ frequencies @ D.T\n")], "D and D.T are swapped"),
    "table turned": ([(".double()", ".double().T")], "rows and columns of the table"),
    "one quality": ([("quantisation_table(quality)", "quantisation_table(50)")], "the table of quality 50"),
    "not clipped": ([("image.clamp(0, 1)", "image")], "clip it with clamp(0, 1)"),
    "to bytes": ([("image.clamp(0, 1)", "(255 * image.clamp(0, 1)).round() / 255")], "rounded to 256 levels"),
    "a size of its own": ([("height, width)", "16, 16)")], "that of the image"),
    "no return": ([("return image", "image")], "is a `return` missing?"),
}
_RIGHT_BLOCKS = {
    "step by step": _BLOCKS,
    "with einsum": """
import torch
from course_utils.degrade.jpeg import dct_matrix, from_blocks, quantisation_table, to_blocks

def quantise_blocks(y, quality):
    D, table = dct_matrix(), quantisation_table(quality)
    f = torch.einsum("ux,...xz,vz->...uv", D, to_blocks(y) * 255 - 128, D) / table
    f = torch.floor(f + 0.5) * table
    x = torch.einsum("ux,...uv,vz->...xz", D, f, D) + 128
    return torch.clip(from_blocks(x, y.shape[-2], y.shape[-1]) / 255, 0, 1)
""",
    "in single precision": """
from course_utils.degrade.jpeg import dct_matrix, from_blocks, quantisation_table, to_blocks

def quantise_blocks(y, quality):
    D = dct_matrix().float()
    step = quantisation_table(quality).float()
    blocks = (to_blocks(y) - 128 / 255).float() * 255
    f = ((D @ blocks @ D.mT) / step).round()
    blocks = (D.mT @ (f * step) @ D) / 255 + 128 / 255
    return from_blocks(blocks, *y.shape[-2:]).clamp(0, 1)
""",
}

# --- psnr_b ---

_PSNR_B = """
import math
import torch
from course_utils.metrics import comparable, neighbour_differences

def psnr_b(restored, clean):
    restored, clean = comparable(restored, clean)
    at_boundary, elsewhere = neighbour_differences(restored)
    d_b = at_boundary.mean(dim=1)
    d_c = elsewhere.mean(dim=1)
    eta = math.log2(8) / math.log2(min(clean.shape[-2:]))
    bef = torch.where(d_b > d_c, eta * (d_b - d_c), 0.0)
    mse = ((restored - clean) ** 2).mean(dim=(1, 2, 3))
    score = 10 * torch.log10(1 / (mse + bef))
    return score.mean().item()
"""
_ETA = "math.log2(8) / math.log2(min(clean.shape[-2:]))"
_BEF = "torch.where(d_b > d_c, eta * (d_b - d_c), 0.0)"
_SCORE = "10 * torch.log10(1 / (mse + bef))"
_MSE = "((restored - clean) ** 2).mean(dim=(1, 2, 3))"
_WRONG_PSNR_B = {
    "the PSNR": ([("(mse + bef)", "mse")], "that is the PSNR"),
    "blocks of the original": (
        [("neighbour_differences(restored)", "neighbour_differences(clean)")],
        "blocks of the original",
    ),
    "no eta": ([(_ETA, "1")], "is eta missing?"),
    "eta turned round": ([(_ETA, "math.log2(min(clean.shape[-2:])) / math.log2(8)")], "eta is turned round"),
    "eta without logarithms": ([(_ETA, "8 / min(clean.shape[-2:])")], "are the logarithms missing?"),
    "the larger side": ([("min(clean", "max(clean")], "not the larger"),
    "the height": ([("min(clean.shape[-2:])", "clean.shape[-2]")], "not always the height"),
    "D_B alone": ([("(d_b - d_c), 0.0)", "d_b, 0.0)")], "is D_C left out?"),
    "sums": (
        [
            ("y.mean(dim=1)", "y.sum(dim=1)"),
            ("elsewhere.mean(dim=1)", "elsewhere.sum(dim=1)"),
            (_BEF, "eta * (d_b - d_c).abs()"),
            ("mse + bef", "mse + eta * d_b"),
        ],
        "are means, not sums",
    ),
    "taken from the MSE": ([("mse + bef", "mse - bef")], "BEF is added to the MSE"),
    "255": ([("mse + bef", "mse + 255**2 * bef")], "need one range of values"),
    "taken from the decibels": ([(_SCORE, "10 * torch.log10(1 / mse) - bef")], "not taken from the decibels"),
    "MSE-B itself": ([(_SCORE, "mse + bef")], "that is MSE-B itself"),
    "sign": ([("log10(1 / (mse + bef))", "log10(mse + bef)")], "turns the sign"),
    "below 0": ([(_BEF, "eta * (d_b - d_c)")], "BEF is 0 where D_B is the smaller one, never below"),
    "a distance": ([(_BEF, "eta * (d_b - d_c).abs()")], "it is no distance"),
    "always D_B": (
        [(_BEF, "torch.where(d_b > d_c, eta * (d_b - d_c), eta * d_b)")],
        "where D_B is not larger than D_C",
    ),
    "one error of the batch": ([(_MSE, "((restored - clean) ** 2).mean()")], "the MSE of each image"),
    "one D_B of the batch": (
        [("y.mean(dim=1)", "y.mean()"), ("elsewhere.mean(dim=1)", "elsewhere.mean()")],
        "D_B and D_C of each image",
    ),
    "mean error": ([("(mse + bef)", "(mse + bef).mean()")], "one PSNR-B of all the images together"),
    "one number for each image": ([("score.mean().item()", "score")], "take the mean over the images"),
    "sum over the images": ([("score.mean()", "score.sum()")], "that is the sum over the images"),
    "no return": ([("    return score.mean().item()\n", "")], "is a `return` missing?"),
}
_RIGHT_PSNR_B = {
    "torch.where": _PSNR_B,
    "image by image, by hand": """
import numpy as np
from course_utils.metrics import comparable

def psnr_b(restored, clean):
    restored, clean = comparable(restored, clean)
    found = []
    for y, x in zip(restored.numpy(), clean.numpy()):
        at, off = [], []
        for d in (np.diff(y, axis=2), np.diff(y, axis=1).transpose(0, 2, 1)):
            for i in range(d.shape[2]):
                (at if i % 8 == 7 else off).extend((d[:, :, i] ** 2).ravel())
        bef = np.mean(at) - np.mean(off)
        eta = np.log(8) / np.log(min(x.shape[1], x.shape[2]))
        found.append(-10 * np.log10(np.mean((y - x) ** 2) + (eta * bef if bef > 0 else 0)))
    return float(np.mean(found))
""",
    "a tensor": """
import torch
from course_utils.metrics import comparable, neighbour_differences

def psnr_b(restored, clean):
    restored, clean = comparable(restored, clean)
    d_b, d_c = [d.mean(1) for d in neighbour_differences(restored)]
    smaller = torch.tensor(min(clean.shape[2], clean.shape[3])).log2()
    bef = 3 / smaller * torch.relu(d_b - d_c)
    return (-10 * (bef + (clean - restored).pow(2).flatten(1).mean(1)).log10()).mean()
""",
}

# --- arcnn ---

_ARCNN = """
import torch
import torch.nn.functional as F
from torch import nn

class ARCNN(nn.Module):
    def __init__(self, channels=3, padding_mode="zeros"):
        super().__init__()
        self.config = {"channels": channels, "padding_mode": padding_mode}
        self.receptive_radius = 9
        mode = padding_mode
        self.extract = nn.Conv2d(channels, 64, 9, padding=4, padding_mode=mode)
        self.enhance = nn.Conv2d(64, 32, 7, padding=3, padding_mode=mode)
        self.mapping = nn.Conv2d(32, 16, 1)
        self.rebuild = nn.Conv2d(16, channels, 5, padding=2, padding_mode=mode)
        self.act1, self.act2, self.act3 = nn.PReLU(64), nn.PReLU(32), nn.PReLU(16)
        with torch.no_grad():
            for layer in (self.extract, self.enhance, self.mapping, self.rebuild):
                nn.init.dirac_(layer.weight[:channels])
                nn.init.zeros_(layer.bias[:channels])

    def forward(self, y):
        f = self.act1(self.extract(y))
        f = self.act2(self.enhance(f))
        f = self.act3(self.mapping(f))
        return self.rebuild(f)

    def restore(self, y):
        return self.forward(y)
"""
_PRELU = "nn.PReLU(64), nn.PReLU(32), nn.PReLU(16)"
_START = "            for layer in (self.extract, self.enhance, self.mapping, self.rebuild):\n"
_ZEROS = "                nn.init.zeros_(layer.bias[:channels])\n"
_DIRAC = "                nn.init.dirac_(layer.weight[:channels])\n"
_CALLS = """        f = self.act1(self.extract(y))
        f = self.act2(self.enhance(f))
        f = self.act3(self.mapping(f))
"""
_WRONG_ARCNN = {
    "ReLU": ([(_PRELU, "nn.ReLU(), nn.ReLU(), nn.ReLU()")], "nn.ReLU has none"),
    "one slope": ([(_PRELU, "nn.PReLU(), nn.PReLU(), nn.PReLU()")], "one slope for all maps"),
    "a PReLU at the end": (
        [
            ("return self.rebuild(f)", "return self.act4(self.rebuild(f))"),
            ("        with torch", "        self.act4 = nn.PReLU(channels)\n        with torch"),
        ],
        "a PReLU after the last convolution?",
    ),
    "a ReLU at the end": (
        [("return self.rebuild(f)", "return F.relu(self.rebuild(f))")],
        "a ReLU after the last convolution?",
    ),
    "no biases": (
        [
            ("padding_mode=mode)", "padding_mode=mode, bias=False)"),
            ("nn.Conv2d(32, 16, 1)", "nn.Conv2d(32, 16, 1, bias=False)"),
            (_ZEROS, ""),
        ],
        "lack their biases",
    ),
    "SRCNN": (
        [
            ("self.enhance = nn.Conv2d(64, 32, 7, padding=3, padding_mode=mode)\n", "self.act2 = None\n"),
            ("nn.Conv2d(32, 16, 1)", "nn.Conv2d(64, 16, 1)"),
            ("self.enhance, ", ""),
            ("        f = self.act2(self.enhance(f))\n", ""),
            (_PRELU, "nn.PReLU(64), None, nn.PReLU(16)"),
        ],
        "is the second layer missing",
    ),
    "5 x 5 in the second layer": (
        [("nn.Conv2d(64, 32, 7, padding=3", "nn.Conv2d(64, 32, 5, padding=2")],
        "is the second kernel 5 x 5?",
    ),
    "3 x 3 in the second layer": (
        [("nn.Conv2d(64, 32, 7, padding=3", "nn.Conv2d(64, 32, 3, padding=1")],
        "is the second kernel 3 x 3?",
    ),
    "7 x 7 in the third layer": (
        [("nn.Conv2d(32, 16, 1)", "nn.Conv2d(32, 16, 7, padding=3)")],
        "is the third kernel 7 x 7?",
    ),
    "second and third swapped": (
        [
            ("nn.Conv2d(64, 32, 7, padding=3, padding_mode=mode)", "nn.Conv2d(64, 32, 1)"),
            ("nn.Conv2d(32, 16, 1)", "nn.Conv2d(32, 16, 7, padding=3, padding_mode=mode)"),
        ],
        "are the kernels 9, 7, 1 and 5",
    ),
    "32 maps at the end": (
        [
            ("nn.Conv2d(32, 16, 1)", "nn.Conv2d(32, 32, 1)"),
            ("nn.Conv2d(16, channels", "nn.Conv2d(32, channels"),
            ("nn.PReLU(16)", "nn.PReLU(32)"),
        ],
        "There are 16",
    ),
    "grey by default": ([("channels=3", "channels=1")], "made for one channel"),
    "three channels always": (
        [("nn.Conv2d(channels,", "nn.Conv2d(3,"), ("nn.Conv2d(16, channels,", "nn.Conv2d(16, 3,")],
        "is `channels` ignored?",
    ),
    "a plain list": (
        [
            (
                "        self.act1,",
                "        first, second = [self.extract, nn.PReLU(64)], [self.enhance, nn.PReLU(32)]\n"
                "        self.layers = [*first, *second, self.mapping, nn.PReLU(16), self.rebuild]\n        self.act1,",
            ),
            (
                _CALLS + "        return self.rebuild(f)",
                "        for layer in self.layers:\n            y = layer(y)\n        return y",
            ),
            ("self.extract", "extract"),
            ("self.enhance", "enhance"),
            ("self.mapping", "mapping"),
            ("self.rebuild", "rebuild"),
            ("self.act1, self.act2, self.act3 = nn.PReLU(64), nn.PReLU(32), nn.PReLU(16)", ""),
        ],
        "layers in a plain list",
    ),
    "PyTorch's start": ([(_START + _DIRAC + _ZEROS, "            pass\n")], "changes the image by up to"),
    "biases not zero": (
        [(_ZEROS, "                layer.bias[:channels] = 0.1\n")],
        "nn.init.dirac_ for weights, zeros_ for biases",
    ),
    "no padding": ([("7, padding=3, ", "7, ")], "padding=k // 2"),
    "too little padding": ([("9, padding=4", "9, padding=3")], "of shape (2, 3, 13, 11)"),
    "clipped": (
        [("return self.rebuild(f)", "return self.rebuild(f).clamp(0, 1)")],
        "ARCNN() with given weights is off",
    ),
    "all maps handed on": (
        [("layer.weight[:channels]", "layer.weight"), ("layer.bias[:channels]", "layer.bias")],
        "the others keep PyTorch's random start",
    ),
    "all maps of a layer handed on": (
        [(_DIRAC, _DIRAC + "                nn.init.dirac_(self.mapping.weight)\n")],
        "maps of convolution 3 of ARCNN() do not start at random, expected 3: only the first `channels` maps hand",
    ),
    "three maps handed on": ([("[:channels]", "[:3]")], "of ARCNN(channels=1) do not start at random, expected 1"),
    "one map handed on": ([("[:channels]", "[:1]")], "only the first colour comes through"),
    "the last maps handed on": (
        [
            ("(layer.weight[:channels])", "(layer.weight[-channels:])"),
            ("layer.bias[:channels]", "layer.bias[-channels:]"),
        ],
        "the first maps of each layer hand the image on",
    ),
    "added to its input as well": (
        [("return self.rebuild(f)", "return y + self.rebuild(f)")],
        "y is added to what the layers give",
    ),
    "taken from its input": (
        [("return self.rebuild(f)", "return y - self.rebuild(f)")],
        "what the layers give is taken from y",
    ),
    "a sigmoid at the end": (
        [("return self.rebuild(f)", "return self.rebuild(f).sigmoid()")],
        "the layers hand it on, but forward is not right yet",
    ),
    "a leaky ReLU at the end": (
        [("return self.rebuild(f)", "return F.leaky_relu(self.rebuild(f), 0.1)")],
        "only numbers below 0 are off. Is there an activation",
    ),
    "added to its input": (
        [
            ("return self.rebuild(f)", "return y + self.rebuild(f)"),
            ("nn.init.dirac_(layer.weight[:channels])", "nn.init.zeros_(layer.weight)"),
            ("layer.bias[:channels]", "layer.bias"),
        ],
        "not by the first maps of each layer: is y added to the output?",
    ),
    "a PReLU left out": (
        [("f = self.act3(self.mapping(f))", "f = self.mapping(f)")],
        "it runs conv PReLU conv PReLU conv conv",
    ),
    "padding_mode ignored": ([("mode = padding_mode", 'mode = "zeros"')], "Is padding_mode handed on"),
    "replicate always": ([("mode = padding_mode", 'mode = "replicate"')], "The default of padding_mode"),
    "restore subtracts": ([("return self.forward(y)", "return y - self.forward(y)")], "it is y - self(y)"),
    "restore clips": ([("return self.forward(y)", "return self.forward(y).clamp(0, 1)")], "restore is off by"),
    "no config": ([("self.config =", "config =")], "no attribute `config`"),
    "width of the field": ([("receptive_radius = 9", "receptive_radius = 19")], "width of the whole field"),
    "the radius of SRCNN": ([("receptive_radius = 9", "receptive_radius = 6")], "7 x 7 counts too"),
    "a fixed config": ([('"channels": channels,', '"channels": 3,')], "expected the two arguments"),
    "forward not returned": ([("return self.rebuild(f)", "self.rebuild(f)")], "is a `return` missing?"),
    "super forgotten": ([("        super().__init__()\n", "")], "raised AttributeError"),
}
_RIGHT_ARCNN = {
    "each layer by name": _ARCNN,
    "a loop over the layers": """
from torch import nn

class ARCNN(nn.Module):
    def __init__(self, channels=3, padding_mode="zeros"):
        super().__init__()
        self.config = dict(padding_mode=padding_mode, channels=channels)
        maps, kernels = [channels, 64, 32, 16, channels], [9, 7, 1, 5]
        self.receptive_radius = sum(k // 2 for k in kernels)
        layers = []
        for i, k in enumerate(kernels):
            convolution = nn.Conv2d(maps[i], maps[i + 1], k, padding="same", padding_mode=padding_mode)
            nn.init.dirac_(convolution.weight.data[:channels])
            convolution.bias.data[:channels] = 0
            layers += [convolution, nn.PReLU(maps[i + 1])]
        self.net = nn.Sequential(*layers[:-1])

    def forward(self, y):
        return self.net(y)

    def restore(self, y):
        return self(y)
""",
    "the last layer first": """
import torch
from torch import nn

class ARCNN(nn.Module):
    def __init__(self, channels=3, padding_mode="zeros"):
        super().__init__()
        self.config = dict(padding_mode=padding_mode, channels=channels)
        shapes = dict(d=(16, channels, 5), c=(32, 16, 1), b=(64, 32, 7), a=(channels, 64, 9))
        self.parts = nn.ModuleDict()
        for letter, shape in shapes.items():
            self.parts[letter] = nn.Conv2d(*shape, padding="same", padding_mode=padding_mode)
            centre = shape[2] // 2
            for c in range(min(channels, *shape[:2])):
                self.parts[letter].bias.data[c] = 0
                self.parts[letter].weight.data[c] = 0
                self.parts[letter].weight.data[c, c, centre, centre] = 1
        self.bends = nn.ModuleDict({letter: nn.PReLU(shapes[letter][1]) for letter in "abc"})
        self.receptive_radius = sum(shape[2] // 2 for shape in shapes.values())

    def forward(self, y):
        for letter in "abc":
            y = self.bends[letter](self.parts[letter](y))
        return self.parts["d"](y)

    def restore(self, y):
        return self(y)
""",
}

WRONG = {
    "quantisation_table": from_one(_TABLE, _WRONG_TABLE),
    "quantise_blocks": from_one(_BLOCKS, _WRONG_BLOCKS),
    "psnr_b": from_one(_PSNR_B, _WRONG_PSNR_B),
    "arcnn": from_one(_ARCNN, _WRONG_ARCNN),
}
RIGHT = {
    "quantisation_table": _RIGHT_TABLE,
    "quantise_blocks": _RIGHT_BLOCKS,
    "psnr_b": _RIGHT_PSNR_B,
    "arcnn": _RIGHT_ARCNN,
}
