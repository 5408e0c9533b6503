"""Lesson 5, as students answer it."""

from changes import changed, from_one

# --- match_pairs ---

_PAIRS = """
from course_utils.data.pairs import list_images
from course_utils.files import CourseError

def match_pairs(clean_folder, scan_folder):
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    for stem in clean:
        if stem not in scan:
            raise CourseError(f"{stem} has no scan")
    for stem in scan:
        if stem not in clean:
            raise CourseError(f"{stem} has no original")
    return [(clean[stem], scan[stem]) for stem in sorted(clean)]
"""
_NO_CHECKS = """
from course_utils.data.pairs import list_images
from course_utils.files import CourseError

def match_pairs(clean_folder, scan_folder):
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    return [(clean[stem], scan[stem]) for stem in sorted(clean.keys() & scan.keys())]
"""
_RETURN = "return [(clean[stem], scan[stem]) for stem in sorted(clean)]"
_SCANS = (
    '    for stem in scan:\n        if stem not in clean:\n            raise CourseError(f"{stem} has no original")\n'
)
_COUNTS = (
    "    return ",
    '    if len(clean) != len(scan):\n        raise CourseError(f"{clean.keys() ^ scan.keys()}")\n    return ',
)
_TO_THE_FIRST_DOT = """    clean = {stem.split(".")[0]: path for stem, path in clean.items()}
    scan = {stem.split(".")[0]: path for stem, path in scan.items()}
"""
_WRONG_PAIRS = {
    "by their places": (_PAIRS, (_RETURN, "return list(zip(clean.values(), scan.values()))"), "by their places"),
    "scan first": (_PAIRS, ("(clean[stem], scan[stem])", "(scan[stem], clean[stem])"), "original first"),
    "names, not paths": (_PAIRS, ("(clean[stem], scan[stem])", "(clean[stem].name, scan[stem].name)"), "that holds"),
    "a dictionary": (
        _PAIRS,
        (_RETURN, "return {clean[stem]: scan[stem] for stem in sorted(clean)}"),
        "returned a dict",
    ),
    "a zip": (_PAIRS, (_RETURN, "return zip(clean.values(), (scan[s] for s in clean))"), "returned a zip"),
    "one pair lost": (_PAIRS, ("sorted(clean)]", "sorted(clean)[1:]]"), "4 pairs came, expected 5"),
    "not sorted": (_PAIRS, ("sorted(clean)]", "sorted(clean, key=lambda stem: stem[::-1])]"), "sorted by name"),
    "no checks": (_NO_CHECKS, ("", ""), "left out in silence"),
    "a KeyError": (_NO_CHECKS, ("clean.keys() & scan.keys()", "clean"), "KeyError"),
    "one direction": (_PAIRS, (_SCANS, ""), "look in both directions"),
    "numbers compared": (_NO_CHECKS, _COUNTS, "compare the names, not their number"),
    "no name in the error": (_PAIRS, ('f"{stem} has no scan"', '"an image has no partner"'), "does not name the file"),
    "another error": (_PAIRS, ('CourseError(f"{stem} has no scan")', 'ValueError(f"{stem}!")'), "raised ValueError"),
    "no return": (_PAIRS, (_RETURN, "[(clean[stem], scan[stem]) for stem in sorted(clean)]"), "is a `return` missing?"),
    "the folder and the name of the original": (
        _PAIRS,
        ("(clean[stem], scan[stem])", "(clean[stem], scan_folder / clean[stem].name)"),
        "there is no such file",
    ),
    "by the first characters": (
        _PAIRS,
        (
            _RETURN,
            "first = {stem[:6]: path for stem, path in scan.items()}\n"
            "    return [(clean[stem], first[stem[:6]]) for stem in sorted(clean)]",
        ),
        "by a part of the name?",
    ),
    "up to the first dot": (
        _PAIRS,
        ("    for stem in clean:", _TO_THE_FIRST_DOT + "    for stem in clean:"),
        "goes on to the last dot",
    ),
    "the same suffix expected": (
        _PAIRS,
        ("if stem not in scan:", "if not (scan_folder / clean[stem].name).exists():"),
        "Compare stems, not suffixes",
    ),
    "error returned": (_PAIRS, ('raise CourseError(f"{stem} has no scan")', "return CourseError(stem)"), "is raised"),
    "all names in the error": (
        _PAIRS,
        ('f"{stem} has no scan"', 'f"{sorted(clean)} and {sorted(scan)} differ"'),
        "has a partner: name the one without",
    ),
}
_RIGHT_PAIRS = {
    "two loops": _PAIRS,
    "sets": """
from course_utils.data.pairs import list_images
from course_utils.files import CourseError

def match_pairs(clean_folder, scan_folder):
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    alone = set(clean).symmetric_difference(scan)
    if alone:
        raise CourseError("without a partner: " + ", ".join(alone))
    pairs = []
    for stem, path in sorted(clean.items()):
        pairs.append([path, scan[stem]])
    return pairs
""",
    "sorted as paths": changed(_PAIRS, (_RETURN, "return sorted((clean[stem], scan[stem]) for stem in set(clean))")),
}

# --- random_patch ---

_PATCH = """
import random
import numpy as np

def random_patch(degraded, clean, size, rng, augment=True):
    height, width, channels = clean.shape
    top = rng.integers(0, height - size, endpoint=True)
    left = rng.integers(0, width - size, endpoint=True)
    degraded = degraded[top : top + size, left : left + size]
    clean = clean[top : top + size, left : left + size]
    if augment:
        turns = rng.integers(4)
        degraded, clean = np.rot90(degraded, turns), np.rot90(clean, turns)
        if rng.random() < 0.5:
            degraded, clean = degraded[:, ::-1], clean[:, ::-1]
    return degraded, clean
"""
_TOP = "top = rng.integers(0, height - size, endpoint=True)"
_LEFT = "left = rng.integers(0, width - size, endpoint=True)"
_MIRROR = "        if rng.random() < 0.5:\n            degraded, clean = degraded[:, ::-1], clean[:, ::-1]\n"
_WRONG_PATCH = {
    "two windows": (
        [("    clean = clean[top", f"    {_TOP}\n    {_LEFT}\n    clean = clean[top")],
        "draw top and left once, use them twice",
    ),
    "the original is never turned": (
        [
            (
                "degraded, clean = np.rot90(degraded, turns), np.rot90(clean, turns)",
                "degraded = np.rot90(degraded, turns)",
            ),
            ("degraded, clean = degraded[:, ::-1], clean[:, ::-1]", "degraded = degraded[:, ::-1]"),
        ],
        "the original never",
    ),
    "the scan is never turned": (
        [
            ("degraded, clean = np.rot90(degraded, turns), np.rot90(clean, turns)", "clean = np.rot90(clean, turns)"),
            ("degraded, clean = degraded[:, ::-1], clean[:, ::-1]", "clean = clean[:, ::-1]"),
        ],
        "the degraded image never",
    ),
    "two turns": ([("np.rot90(clean, turns)", "np.rot90(clean, rng.integers(4))")], "use them for both images"),
    "one mirror": ([("degraded[:, ::-1], clean[:, ::-1]", "degraded[:, ::-1], clean")], "the mirror differs"),
    "always one corner": ([(_TOP, "top = 0"), (_LEFT, "left = 0")], "begin at row 0, column 0"),
    "a generator of its own": (
        [("    height,", "    rng = np.random.default_rng(0)\n    height,")],
        "should be drawn from rng",
    ),
    "Python's random": (
        [
            (_TOP, "top = random.randint(0, height - size)"),
            (_LEFT, "left = random.randint(0, width - size)"),
            ("rng.integers(4)", "random.randrange(4)"),
            ("rng.random()", "random.random()"),
        ],
        "nothing was drawn from rng",
    ),
    "NumPy's random": ([(_TOP, "top = np.random.randint(0, height - size + 1)")], "some chance comes from"),
    "last row and column": (
        [(_TOP, "top = rng.integers(height - size)"), (_LEFT, "left = rng.integers(width - size)")],
        "integers(n) stops at n - 1",
    ),
    "height and width swapped": ([("height, width, channels", "width, height, channels")], "taken for each other"),
    "beyond the image": (
        [(_TOP, "top = rng.integers(height)"), (_LEFT, "left = rng.integers(width)")],
        "one of height - size + 1 numbers",
    ),
    "not turned": ([("np.rot90(degraded, turns), np.rot90(clean, turns)", "degraded, clean")], "only mirrored"),
    "half turns only": ([("turns = rng.integers(4)", "turns = 2 * rng.integers(2)")], "turned by 90 degrees"),
    "not mirrored": ([(_MIRROR, "")], "is mirrored; every other"),
    "augment the other way": ([("if augment:", "if not augment:")], "none of 300 patches is turned or mirrored"),
    "augment ignored": ([("if augment:", "if True:")], "is `augment` asked?"),
    "original first": ([("return degraded, clean", "return clean, degraded")], "return (degraded, clean)"),
    "floats": ([("return degraded, clean", "return degraded / 255, clean / 255")], "expected uint8"),
    "one size": (
        [
            (_TOP, "top = rng.integers(max(height - size, 0) + 1)"),
            (_LEFT, "left = rng.integers(max(width - size, 0) + 1)"),
        ],
        "do not cut it down",
    ),
    "no return": ([("    return degraded, clean\n", "")], "is a `return` missing?"),
    "one pixel too many": ([("left + size]", "left + size + 1]")], "the last not included"),
    "channels mirrored": (
        [("degraded[:, ::-1], clean[:, ::-1]", "degraded[..., ::-1], clean[..., ::-1]")],
        "their channels are turned round",
    ),
    "always mirrored": ([("if rng.random() < 0.5:", "if True:")], "only every other one should be"),
    "three quarter turns never": ([("rng.integers(4)", "rng.integers(3)")], "is turned 3 times"),
    "rows of one mirrored, columns of the other": (
        [("degraded[:, ::-1], clean[:, ::-1]", "degraded[::-1], clean[:, ::-1]")],
        "use them for both images alike",
    ),
    "mirrored in place": (
        [
            ("    top =", "    if augment and rng.random() < 0.5:\n        clean[:] = clean[:, ::-1]\n    top ="),
        ],
        "may not change the images",
    ),
    "one array of both": ([("return degraded, clean", "return np.stack([degraded, clean])")], "a pair of patches"),
}
_RIGHT_PATCH = {
    "one image after the other": _PATCH,
    "both as one array": """
import numpy as np

def random_patch(degraded, clean, size, rng, augment=True):
    both = np.stack([degraded, clean])
    top, left = (int(rng.integers(side - size + 1)) for side in clean.shape[:2])
    both = both[:, top : top + size, left : left + size]
    if augment:
        both = np.rot90(both, rng.choice([0, 1, 2, 3]), axes=(1, 2))
        both = np.flip(both, axis=1) if rng.random() < 0.5 else both
    return [both[0].copy(), both[1].copy()]
""",
    "mirrors and a swap of axes": """
import numpy as np

def random_patch(degraded, clean, size, rng, augment=True):
    top = rng.integers(clean.shape[0] - size + 1)
    left = rng.integers(clean.shape[1] - size + 1)
    ways = rng.random(3) < 0.5 if augment else [False] * 3

    def cut(image):
        patch = image[top : top + size, left : left + size]
        patch = patch[::-1] if ways[0] else patch
        patch = patch[:, ::-1] if ways[1] else patch
        return patch.swapaxes(0, 1) if ways[2] else patch

    return cut(degraded), cut(clean)
""",
}

# --- dncnn ---

_DNCNN = """
import torch
import torch.nn.functional as F
from torch import nn

class DnCNN(nn.Module):
    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}
        self.receptive_radius = depth
        layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for i in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1)]
            if batch_norm:
                layers += [nn.BatchNorm2d(width)]
            layers += [nn.ReLU()]
        last = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last)

    def forward(self, y):
        return self.net(y)

    def restore(self, y):
        return y - self.forward(y)
"""
_FIRST = "nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()"
_MIDDLE = "nn.Conv2d(width, width, 3, padding=1)"
_ADD_NORM = "            if batch_norm:\n                layers += [nn.BatchNorm2d(width)]\n"
_ADD_RELU = "            layers += [nn.ReLU()]\n"
_ZEROS = "        nn.init.zeros_(last.weight)\n        nn.init.zeros_(last.bias)\n"
_ALL_ZEROS = """        self.net = nn.Sequential(*layers, last)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
"""
_WRONG_DNCNN = {
    "ReLU at the end": ([("*layers, last)", "*layers, last, nn.ReLU())")], "ReLU after the last convolution"),
    "no batch norm": ([("if batch_norm:", "if False:")], "is the batch normalisation missing?"),
    "batch norm in the first layer": (
        [(_FIRST, "nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()")],
        "after the first convolution too?",
    ),
    "batch norm after the ReLU": (
        [
            (_ADD_NORM + _ADD_RELU, _ADD_RELU + _ADD_NORM),
        ],
        "it runs conv ReLU conv ReLU norm",
    ),
    "no ReLU in the middle": ([("            layers += [nn.ReLU()]\n", "")], "it runs conv ReLU conv norm conv"),
    "no padding": ([(_MIDDLE, "nn.Conv2d(width, width, 3)")], "is padding=1 missing"),
    "reflected border": (
        [(_MIDDLE, 'nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")')],
        "pad with zeros",
    ),
    "momentum 0.9": ([("nn.BatchNorm2d(width)", "nn.BatchNorm2d(width, momentum=0.9)")], "takes over 0.90"),
    "middle biases": ([(_MIDDLE, "nn.Conv2d(width, width, 3, padding=1, bias=False)")], "middle convolutions lack"),
    "first bias": (
        [(_FIRST, "nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.ReLU()")],
        "first convolution lack",
    ),
    "one layer too many": ([("range(depth - 2)", "range(depth - 1)")], "one middle layer too many"),
    "depth middle layers": ([("range(depth - 2)", "range(depth)")], "are there `depth` middle layers?"),
    "one layer again and again": (
        [
            ("        for i in", f"        again = [{_MIDDLE}, nn.BatchNorm2d(width), nn.ReLU()]\n        for i in"),
            (
                "            layers += [nn.Conv2d(width, width, 3, padding=1)]\n",
                "            layers += again\n            continue\n",
            ),
        ],
        "share one set of weights",
    ),
    "a plain list": (
        [
            ("nn.Sequential(*layers, last)", "[*layers, last]"),
            ("return self.net(y)", "for layer in self.net:\n            y = layer(y)\n        return y"),
        ],
        "layers in a plain list",
    ),
    "kernels of 5": ([(_MIDDLE, "nn.Conv2d(width, width, 5, padding=2)")], "are the kernels 3 x 3"),
    "batch_norm ignored": ([("if batch_norm:", "if True:")], "is batch_norm ignored?"),
    "three channels always": (
        [
            (_FIRST, "nn.Conv2d(3, width, 3, padding=1), nn.ReLU()"),
            ("nn.Conv2d(width, channels,", "nn.Conv2d(width, 3,"),
        ],
        "is `channels` ignored?",
    ),
    "y + R(y)": ([("y - self.forward(y)", "y + self.forward(y)")], "the noise is added once more"),
    "R(y) - y": ([("y - self.forward(y)", "self.forward(y) - y")], "turn it round"),
    "restore gives the noise": ([("return y - self.forward(y)", "return self.forward(y)")], "the noise itself"),
    "clipped": ([("return y - self.forward(y)", "return (y - self.forward(y)).clamp(0, 1)")], "it is clipped"),
    "forward gives the image": (
        [
            ("return self.net(y)", "return y - self.net(y)"),
            ("return y - self.forward(y)", "return self(y)"),
            ("nn.init.zeros_(last.bias)", "nn.init.zeros_(last.bias)"),
        ],
        "`forward` gives the image",
    ),
    "not zero at the start": ([(_ZEROS, "")], "predicts noise of up to 0"),
    "no config": ([("self.config =", "settings =")], "no attribute `config`"),
    "no radius": ([("        self.receptive_radius = depth\n", "")], "no attribute `receptive_radius`"),
    "width of the field": ([("radius = depth", "radius = 2 * depth + 1")], "width of the whole field"),
    "a fixed config": ([('"depth": depth', '"depth": 17')], "expected the four arguments"),
    "forward not returned": ([("return self.net(y)", "self.net(y)")], "is a `return` missing?"),
    "restore leaves training mode": (
        [("return y - self.forward(y)", "self.eval()\n        return y - self.forward(y)")],
        "no longer in training mode",
    ),
    "restore without gradients": (
        [
            (
                "        return y - self.forward(y)",
                "        with torch.no_grad():\n            return y - self.forward(y)",
            )
        ],
        "no gradients",
    ),
    "restored through a ReLU": ([("return y - self.forward(y)", "return F.relu(y - self(y))")], "no values below 0"),
    "batch norm without weights": ([("BatchNorm2d(width)", "BatchNorm2d(width, affine=False)")], "(affine)?"),
    "instance norm": (
        [("nn.BatchNorm2d(width)", "nn.InstanceNorm2d(width, affine=True)")],
        "it runs conv ReLU conv InstanceNorm2d",
    ),
    "LeakyReLU": ([("layers += [nn.ReLU()]", "layers += [nn.LeakyReLU(0.2)]")], "conv norm LeakyReLU"),
    "three channels out": ([("nn.Conv2d(width, channels,", "nn.Conv2d(width, 3,")], "does the last convolution give 3"),
    "three channels in": ([(_FIRST, "nn.Conv2d(3, width, 3, padding=1), nn.ReLU()")], "first convolution take 3"),
    "always 64 maps": ([("        layers = [", "        width = 64\n        layers = [")], "is `width` ignored?"),
    "always 17 layers": ([("range(depth - 2)", "range(15)")], "is `depth` ignored?"),
    "all at zero": (
        [("        self.net = nn.Sequential(*layers, last)\n", _ALL_ZEROS)],
        "the others would never learn",
    ),
    "super forgotten": ([("        super().__init__()\n", "")], "raised AttributeError"),
}
_RIGHT_DNCNN = {
    "other words": _DNCNN,
    "explicit layers, the last first": """
import torch.nn.functional as F
from torch import nn

class DnCNN(nn.Module):
    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.receptive_radius = depth
        self.config = dict(batch_norm=batch_norm, channels=channels, depth=depth, width=width)
        self.tail = nn.Conv2d(width, channels, (3, 3), padding="same")
        self.tail.weight.data.zero_()
        self.tail.bias.data.zero_()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) if batch_norm else nn.Identity() for _ in range(depth - 2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(depth - 2))
        self.head = nn.Conv2d(channels, width, 3, 1, 1)

    def forward(self, y):
        features = F.relu(self.head(y))
        for conv, norm in zip(self.convs, self.norms):
            features = F.relu(norm(conv(features)))
        return self.tail(features)

    def restore(self, y):
        return y - self(y)
""",
    "blocks": """
from torch import nn

def block(width, batch_norm):
    norm = [nn.BatchNorm2d(width)] if batch_norm else []
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), *norm, nn.ReLU(inplace=True))

class DnCNN(nn.Module):
    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}
        self.receptive_radius = sum(1 for _ in range(depth))
        self.relu = nn.ReLU(inplace=True)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.middle = nn.Sequential(*[block(width, batch_norm) for _ in range(depth - 2)])
        self.last = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.constant_(parameter, 0.0)

    def forward(self, y):
        return self.last(self.middle(self.relu(self.first(y))))

    def restore(self, y):
        return -self(y) + y
""",
}

# --- residual_loss ---


def _loss(body):
    head = "import torch\nfrom torch.nn import functional as F\n\n"
    return f"{head}def residual_loss(predicted_noise, degraded, clean):\n    {body}\n"


_ERROR = "(predicted_noise - (degraded - clean))"
_WRONG_LOSS = {
    "mean": (f"return ({_ERROR} ** 2).mean()", "that is the mean over all values"),
    "half the mean": (f"return ({_ERROR} ** 2).mean() / 2", "that is half the mean"),
    "no 2": (f"return ({_ERROR} ** 2).sum() / len(clean)", "is the 2 of 1/(2N) missing?"),
    "no N": (f"return ({_ERROR} ** 2).sum() / 2", "not by the number of images"),
    "sum": (f"return ({_ERROR} ** 2).sum()", "that is the sum alone"),
    "sign": ("return ((predicted_noise - (clean - degraded)) ** 2).sum() / (2 * len(clean))", "not x - y"),
    "the image": ("return ((predicted_noise - clean) ** 2).sum() / (2 * len(clean))", "compared with the clean image"),
    "the scan": ("return ((predicted_noise - degraded) ** 2).sum() / (2 * len(clean))", "it is compared with y"),
    "not squared": (f"return {_ERROR}.abs().sum() / (2 * len(clean))", "are the errors squared?"),
    "norm": (f"return torch.linalg.norm({_ERROR}) / (2 * len(clean))", "takes its square"),
    "no reduction": (f"return ({_ERROR} ** 2) / (2 * len(clean))", "Tensor of shape (4, 3, 6, 5)"),
    "no gradient": (f"return (({_ERROR} ** 2).sum() / (2 * len(clean))).item()", "knows its gradient"),
    "no return": (f"loss = ({_ERROR} ** 2).sum() / (2 * len(clean))", "is a `return` missing?"),
    "mean absolute error": (f"return {_ERROR}.abs().mean()", "the mean absolute error"),
    "channels for images": (f"return ({_ERROR} ** 2).sum() / (2 * clean.shape[1])", "divided by the channels"),
    "times N": (f"return ({_ERROR} ** 2).sum() / 2 * len(clean)", "is it multiplied by N?"),
    "N twice": (f"return ({_ERROR} ** 2).sum() / 2 / len(clean) ** 2", "divided by N twice"),
    "always four images": (f"return ({_ERROR} ** 2).sum() / (2 * 4)", "is N a fixed number, 4?"),
    "the norm of each image": (f"return {_ERROR}.flatten(1).norm(dim=1).mean() / 2", "that is the norm"),
    "the root of it": (f"return (({_ERROR} ** 2).sum() / (2 * len(clean))).sqrt()", "a square root too many"),
    "y - x clipped": (
        "return ((predicted_noise - (degraded - clean).clamp(0, 1)) ** 2).sum() / (2 * len(clean))",
        "is y - x clipped?",
    ),
    "half in whole numbers": (f"return 1 // 2 * ({_ERROR} ** 2).sum() / len(clean)", "(1 // 2 is 0)"),
}
_RIGHT_LOSS = {
    "mean times its number": _loss(f"return ({_ERROR} ** 2).mean() * clean[0].numel() / 2"),
    "mean over the images": _loss(f"return 0.5 * {_ERROR}.pow(2).flatten(1).sum(dim=1).mean()"),
    "functional": _loss("return F.mse_loss(predicted_noise, degraded - clean, reduction='sum') / (2 * clean.shape[0])"),
    "restored image": _loss("return ((degraded - predicted_noise - clean) ** 2).sum() / (2.0 * clean.size(0))"),
}

# --- train_step ---

_STEP = """
import torch

def train_step(model, optimizer, degraded, clean, loss=None, backward=torch.Tensor.backward):
    model.train()
    optimizer.zero_grad()
    output = model(degraded)
    value = loss(output, degraded, clean)
    backward(value)
    optimizer.step()
    return value.item()
"""
_AFTER = """    optimizer.step()
    with torch.no_grad():
        return loss(model(degraded), degraded, clean).item()
"""
_WRONG_STEP = {
    "no train()": ([("    model.train()\n", "")], "is model.train() missing?"),
    "train() too late": (
        [("    model.train()\n", ""), ("    return", "    model.train()\n    return")],
        "comes first of all",
    ),
    "no zero_grad": ([("    optimizer.zero_grad()\n", "")], "do the gradients of earlier steps add up?"),
    "no step": ([("    optimizer.step()\n", "")], "is optimizer.step() missing?"),
    "no backward": ([("    backward(value)\n", "")], "is backward(value) missing?"),
    "zero_grad too late": (
        [
            ("    optimizer.zero_grad()\n", ""),
            ("    optimizer.step()", "    optimizer.zero_grad()\n    optimizer.step()"),
        ],
        "throws the new gradients away",
    ),
    "step before backward": (
        [("    backward(value)\n    optimizer.step()\n", "    optimizer.step()\n    backward(value)\n")],
        "comes before backward(value)",
    ),
    "value.backward()": ([("backward(value)", "value.backward()")], "`backward` was not called"),
    "the network sees the original": ([("model(degraded)", "model(clean)")], "was given the clean batch"),
    "loss arguments swapped": ([("output, degraded, clean)\n", "output, clean, degraded)\n")], "expected loss(output,"),
    "tensor with its graph": ([("value.item()", "value")], "keeps all it needs for gradients"),
    "loss after the step": (
        [("    optimizer.step()\n    return value.item()\n", _AFTER)],
        "that is the loss after the step",
    ),
    "two steps": ([("    optimizer.step()", "    optimizer.step()\n    optimizer.step()")], "backward, step, step"),
    "no return": ([("    return value.item()\n", "")], "returned nothing"),
    "eval()": ([("model.train()", "model.eval()")], "model.eval() is for restoring"),
    "the restored image": ([("output = model(degraded)", "output = degraded - model(degraded)")], "as it is"),
    "no gradients": (
        [("    output = model(degraded)", "    with torch.no_grad():\n        output = model(degraded)")],
        "within no_grad",
    ),
    "gradients clipped": (
        [("    optimizer.step()", "    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    optimizer.step()")],
        "times as far as expected",
    ),
    "a step of 1/N": ([("backward(value)", "backward(value / len(degraded))")], "moved 0.25 times as far"),
    "divided by N again": ([("value.item()", "value.item() / len(degraded)")], "number of images once more"),
}
_RIGHT_STEP = {
    "the same in one line less": changed(
        _STEP, ("    output = model(degraded)\n    value = loss(output,", "    value = loss(model(degraded),")
    ),
    "gradients cleared at the end": """
import torch

def train_step(model, optimizer, degraded, clean, loss=None, backward=torch.Tensor.backward):
    model.train(True)
    value = loss(model.forward(degraded), degraded, clean)
    backward(value)
    optimizer.step()
    model.zero_grad(set_to_none=True)
    return float(value)
""",
    "a tensor without its graph": changed(_STEP, ("value.item()", "value.detach()")),
    "a NumPy number": changed(_STEP, ("value.item()", "value.detach().numpy()[()]")),
}

# --- best_step ---


def _best(body):
    return f"import numpy as np\n\ndef best_step(history):\n    {body}\n"


_LOOP = """best = 0
    for i in range(len(history.psnrs)):
        if history.psnrs[i] > history.psnrs[best]:
            best = i
    return history.steps[best]"""
_WRONG_BEST = {
    "last": ("return history.steps[-1]", "that is the last step; the best"),
    "lowest loss": ("return history.steps[int(np.argmin(history.losses))]", "lowest training loss"),
    "place": ("return int(np.argmax(history.psnrs))", "a place in the list"),
    "the PSNR": ("return max(history.psnrs)", "the highest PSNR itself"),
    "lowest PSNR": ("return history.steps[int(np.argmin(history.psnrs))]", "that is the lowest PSNR"),
    "last of equal ones": (_LOOP.replace("] > ", "] >= "), "last of three equal ones"),
    "first left out": (_LOOP.replace("best = 0", "best = 1", 1), "raised IndexError"),
    "last left out": (_LOOP.replace("range(len(history.psnrs))", "range(len(history.psnrs) - 1)"), "leave it out"),
    "no return": (_LOOP.replace("return history", "history"), "is a `return` missing?"),
    "compared with the one before": (_LOOP.replace("history.psnrs[best]", "history.psnrs[i - 1]"), "the best so far"),
    "the first peak": (
        "i = 1\n    while history.psnrs[i] > history.psnrs[i - 1]:\n        i += 1\n    return history.steps[i - 1]",
        "the first peak",
    ),
    "one too far": ("return history.steps[int(np.argmax(history.psnrs)) + 1]", "the validation behind it"),
    "one too early": ("return history.steps[int(np.argmax(history.psnrs)) - 1]", "the validation before it"),
    "highest loss": ("return history.steps[int(np.argmax(history.losses))]", "highest training loss"),
    "place from 1": ("return history.psnrs.index(max(history.psnrs)) + 1", "counted from 1"),
}
_RIGHT_BEST = {
    "a loop": _best(_LOOP),
    "a NumPy number": _best("return np.array(history.steps)[np.argmax(history.psnrs)]"),
    "pairs": _best("return max(zip(history.psnrs, history.steps), key=lambda pair: pair[0])[1]"),
    "sorted": _best("return sorted(zip(history.psnrs, history.steps), key=lambda p: (-p[0], p[1]))[0][1]"),
}

# --- tiles ---

_TILES = """
def tiles(height, width, tile, halo):
    found = []
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom = min(top + tile, height)
            right = min(left + tile, width)
            inner = (slice(top, bottom), slice(left, right))
            rows = slice(max(top - halo, 0), min(bottom + halo, height))
            columns = slice(max(left - halo, 0), min(right + halo, width))
            outer = (rows, columns)
            found.append((outer, inner))
    return found
"""
_RELATIVE = """            top, left = top - rows.start, left - columns.start
            inner = (slice(top, bottom - rows.start), slice(left, right - columns.start))
"""
_WRONG_TILES = {
    "halo begins beyond the image": ([("max(top - halo, 0)", "top - halo")], "where no pixel is"),
    "halo ends beyond the image": ([("min(bottom + halo, height)", "bottom + halo")], "an outer window ends at row"),
    "tile beyond the image": (
        [("bottom = min(top + tile, height)", "bottom = top + tile")],
        "an inner window ends at row",
    ),
    "no halo": ([("outer = (rows, columns)", "outer = inner")], "is the halo missing?"),
    "halo at one side": (
        [("min(bottom + halo, height)", "bottom"), ("min(right + halo, width)", "right")],
        "at the bottom and right",
    ),
    "half a halo": ([("max(left - halo, 0)", "max(left - halo // 2, 0)")], "the outer window around columns"),
    "inner windows overlap": (
        [("range(0, height, tile)", "range(0, height, tile - 1)")],
        "in more than one inner window",
    ),
    "inner first": ([("(outer, inner)", "(inner, outer)")], "the inner one comes first"),
    "rows and columns swapped": (
        [
            ("top in range(0, height,", "left in range(0, width,"),
            (
                "for left in range(0, width, tile):\n            bottom",
                "for top in range(0, height, tile):\n            bottom",
            ),
            ("outer = (rows, columns)", "outer = (columns, rows)"),
            ("(slice(top, bottom), slice(left, right))", "(slice(left, right), slice(top, bottom))"),
        ],
        "are rows and columns swapped?",
    ),
    "last tile lost": (
        [
            ("range(0, height, tile)", "range(0, height - tile + 1, tile)"),
            ("range(0, width, tile)", "range(0, width - tile + 1, tile)"),
        ],
        "the last tile of a row or column is smaller",
    ),
    "gaps": ([("range(0, height, tile)", "range(0, height, tile + 1)")], "do the tiles adjoin?"),
    "numbers, not slices": ([("(slice(top, bottom), slice(left, right))", "(top, bottom, left, right)")], "as a tile"),
    "one tile": (
        [("            found.append((outer, inner))\n    return found", "            return [(outer, inner)]")],
        "pixels are in no",
    ),
    "tiles twice as large": ([("    found = []", "    found, tile = [], 2 * tile")], "expected at most"),
    "no return": ([("    return found\n", "")], "is a `return` missing?"),
    "ends one too early": (
        [("top + tile, height)", "top + tile - 1, height)"), ("left + tile, width)", "left + tile - 1, width)")],
        "so it ends at top + tile",
    ),
    "counted in the outer window": (
        [
            ("            outer = (rows, columns)\n", "            outer = (rows, columns)\n" + _RELATIVE),
        ],
        "Places are counted in the image",
    ),
    "halo twice": ([("            rows =", "            halo = 2 * halo\n            rows =")], "expected 0:"),
    "halo at the top and left missing": (
        [("max(top - halo, 0)", "top"), ("max(left - halo, 0)", "left")],
        "the outer window around columns",
    ),
    "last tile moved back": (
        [("            bottom =", "            top = min(top, height - tile)\n            bottom =")],
        "only outer ones overlap",
    ),
}
_RIGHT_TILES = {
    "a list": _TILES,
    "a generator, columns first": """
import numpy as np

def tiles(height, width, tile, halo):
    for left in np.arange(0, width, tile):
        for top in np.arange(0, height, tile):
            inner = np.s_[top : min(top + tile, height), left : min(left + tile, width)]
            outer = [
                slice(max(0, side.start - halo), min(size, side.stop + halo), 1)
                for side, size in zip(inner, (height, width))
            ]
            yield [tuple(outer), inner]
""",
    "the small tile first": """
def tiles(height, width, tile, halo):
    def parts(size):
        ends = [*range(size, 0, -tile)][::-1]
        return [slice(max(end - tile, 0), end) for end in ends]

    def wider(part, size):
        return slice(max(part.start - halo, 0), min(part.stop + halo, size))

    return (((wider(r, height), wider(c, width)), (r, c)) for r in parts(height) for c in parts(width))
""",
}

WRONG = {
    "match_pairs": {name: (changed(base, each), text) for name, (base, each, text) in _WRONG_PAIRS.items()},
    "random_patch": from_one(_PATCH, _WRONG_PATCH),
    "dncnn": from_one(_DNCNN, _WRONG_DNCNN),
    "residual_loss": {mistake: (_loss(body), text) for mistake, (body, text) in _WRONG_LOSS.items()},
    "train_step": from_one(_STEP, _WRONG_STEP),
    "best_step": {mistake: (_best(body), text) for mistake, (body, text) in _WRONG_BEST.items()},
    "tiles": from_one(_TILES, _WRONG_TILES),
}
RIGHT = {
    "match_pairs": _RIGHT_PAIRS,
    "random_patch": _RIGHT_PATCH,
    "dncnn": _RIGHT_DNCNN,
    "residual_loss": _RIGHT_LOSS,
    "train_step": _RIGHT_STEP,
    "best_step": _RIGHT_BEST,
    "tiles": _RIGHT_TILES,
}
LATER = {  # {exercise: {mistake: {beginning of a claim: part of its sentence}}}: causes of other mistakes stay away
    "dncnn": {
        "LeakyReLU": {"in training": "get R(y) right"},
        "three channels out": {"the same holds": "does the last convolution give `channels`?"},
    },
    "train_step": {
        "eval()": {"it returns": "get the step right", "the gradients come": "the step itself is not right"}
    },
    "tiles": {
        "ends one too early": {"without a halo": "so it ends at top + tile"},
        "tile beyond the image": {"the inner windows": "ends beyond the image"},
    },
}
