"""Lesson 1, as students answer it."""

from changes import from_one

# --- rgb_to_ycbcr ---

_TO = """
import torch
from course_utils.colour import check_colour

def rgb_to_ycbcr(rgb, full_range=False):
    check_colour(rgb, "the RGB image")
    red, green, blue = rgb.unbind(dim=-3)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    cb = (blue - y) / 1.772
    cr = (red - y) / 1.402
    if full_range:
        planes = [y, cb + 128 / 255, cr + 128 / 255]
        return torch.stack(planes, dim=-3).clamp(0, 1)
    planes = [(16 + 219 * y) / 255, (128 + 224 * cb) / 255, (128 + 224 * cr) / 255]
    return torch.stack(planes, dim=-3)
"""
_STUDIO = "planes = [(16 + 219 * y) / 255, (128 + 224 * cb) / 255, (128 + 224 * cr) / 255]"
_FULL = "planes = [y, cb + 128 / 255, cr + 128 / 255]"
_EARLY = "y = 0.299 * red + 0.587 * green + 0.114 * blue\n    cb"

_WRONG_TO = {
    "0 to 255": ([(_STUDIO, "planes = [16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr]")], "division by 255 missing"),
    "OpenCV's order": (
        [("(128 + 224 * cb) / 255, (128 + 224 * cr)", "(128 + 224 * cr) / 255, (128 + 224 * cb)")],
        "Cb and Cr swapped",
    ),
    "blue first": ([("red, green, blue = rgb", "blue, green, red = rgb")], "red and blue swapped"),
    "always full range": ([("if full_range:", "if True:")], "that is full range"),
    "never full range": ([("if full_range:", "if False:")], "is `full_range` looked at"),
    "no 16": ([("(16 + 219 * y)", "(219 * y)")], "is the 16 missing"),
    "16 and all of 255": ([("16 + 219 * y", "16 + 255 * y")], "there are 219 levels"),
    "plain mean": ([("0.299 * red + 0.587 * green + 0.114 * blue", "(red + green + blue) / 3")], "plain mean"),
    "BT.709": (
        [("0.299 * red + 0.587 * green + 0.114 * blue", "0.2126 * red + 0.7152 * green + 0.0722 * blue")],
        "BT.709",
    ),
    "no 128": ([("(128 + 224 * cb) / 255, (128 + 224 * cr)", "224 * cb / 255, (224 * cr)")], "is the 128 missing"),
    "219 for the colour": ([("224 * cb", "219 * cb"), ("224 * cr", "219 * cr")], "scaled by 219"),
    "1.772 and 1.402 swapped": (
        [("1.772", "other"), ("1.402", "1.772"), ("other", "1.402")],
        "1.772 and 1.402 swapped",
    ),
    "y minus blue": ([("(blue - y)", "(y - blue)"), ("(red - y)", "(y - red)")], "sign turned"),
    "studio y subtracted": (
        [
            (_EARLY, _EARLY.replace("\n    cb", "\n    y = (16 + 219 * y) / 255\n    cb")),
            ("(16 + 219 * y) / 255, ", "y, "),
        ],
        "already 16 + 219 y",
    ),
    "centre at a half, full range": (
        [("cb + 128 / 255, cr + 128 / 255", "cb + 0.5, cr + 0.5")],
        "It is 128 / 255 here too",
    ),
    "OpenCV's order, full range": (
        [(_FULL, "planes = [y, cr + 128 / 255, cb + 128 / 255]")],
        "Cb and Cr swapped? (OpenCV's order",
    ),
    "0 to 255, full range": (
        [(_FULL, "planes = [255 * y, 255 * cb + 128, 255 * cr + 128]")],
        "Y = y, Cb = 128 / 255 + cb",
    ),
    "0 to 255, full range, clipped there": (
        [(_FULL, "planes = [255 * y, 255 * cb + 128, 255 * cr + 128]"), ("clamp(0, 1)", "clamp(0, 255)")],
        "a division by 255 missing",
    ),
    "128 in place of a half": (
        [(_FULL, "planes = [y, cb + 128, cr + 128]")],
        "a division by 255 missing",
    ),
    "224 in full range": (
        [(_FULL, "planes = [y, (128 + 224 * cb) / 255, (128 + 224 * cr) / 255]")],
        "scaled by 224? In full range by 255",
    ),
    "not clipped": ([(".clamp(0, 1)", "")], "pure blue and pure red pass 1"),
    "channels last": ([("torch.stack(planes, dim=-3)\n", "torch.stack(planes, dim=-1)\n")], "stacked along dim=-3"),
    "no batches": ([("unbind(dim=-3)", "unbind(dim=0)"), ("dim=-3", "dim=0")], "rgb_to_ycbcr of a batch"),
    "no return": ([("    return torch.stack(planes, dim=-3)\n", "")], "is a `return` missing"),
}
_RIGHT_TO = {
    "plane by plane": _TO,
    "MATLAB's matrix": """
import torch

def rgb_to_ycbcr(rgb, full_range=False):
    if full_range:
        matrix = [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]]
        offset = [0, 128, 128]
    else:
        matrix = [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]
        offset = [16, 128, 128]
    matrix, offset = torch.tensor(matrix), torch.tensor(offset).view(3, 1, 1)
    scale = 255 if full_range else 1
    return ((scale * torch.einsum("ij,...jhw->...ihw", matrix, rgb) + offset) / 255).clamp(0, 1)
""",
}

# --- ycbcr_to_rgb ---

_BACK = """
import torch

def ycbcr_to_rgb(ycbcr, full_range=False):
    y, cb, cr = ycbcr.unbind(dim=-3)
    if full_range:
        cb = cb - 128 / 255
        cr = cr - 128 / 255
    else:
        y = (255 * y - 16) / 219
        cb = (255 * cb - 128) / 224
        cr = (255 * cr - 128) / 224
    red = y + 1.402 * cr
    blue = y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    rgb = torch.stack([red, green, blue], dim=-3)
    return rgb.clamp(0, 1)
"""
_WRONG_BACK = {
    "always full range": ([("if full_range:", "if True:")], "takes it for full range"),
    "never full range": ([("if full_range:", "if False:")], "is `full_range` looked at"),
    "blue first": ([("[red, green, blue]", "[blue, green, red]")], "is blue first"),
    "Cb and Cr swapped": ([("y, cb, cr = ycbcr", "y, cr, cb = ycbcr")], "taken for each other"),
    "no 128": (
        [("(255 * cb - 128)", "(255 * cb)"), ("(255 * cr - 128)", "(255 * cr)")],
        "the 128 / 255 not subtracted",
    ),
    "a half, full range": ([("cb - 128 / 255", "cb - 0.5"), ("cr - 128 / 255", "cr - 0.5")], "is 0.5 subtracted"),
    "no 16": ([("255 * y - 16", "255 * y")], "the 16 not subtracted"),
    "219 for the colour": ([("224", "219")], "divided by 219"),
    "1.772 and 1.402 swapped": (
        [("1.772", "other"), ("1.402", "1.772"), ("other", "1.402")],
        "1.772 and 1.402 swapped",
    ),
    "green not divided": ([(" / 0.587", "")], "division by 0.587 missing"),
    "weights swapped": (
        [("0.299 * red - 0.114 * blue", "0.114 * red - 0.299 * blue")],
        "weights of red and blue swapped",
    ),
    "0 to 255": ([("rgb.clamp(0, 1)", "255 * rgb.clamp(0, 1)")], "in 0 to 255"),
    "not clipped": ([(".clamp(0, 1)", "")], "not every (Y, Cb, Cr) is a colour"),
    "clipped too early": ([("1.402 * cr", "1.402 * cr\n    red = red.clamp(0, 1)")], "not clipped yet"),
    "no batches": ([("unbind(dim=-3)", "unbind(dim=0)"), ("dim=-3", "dim=0")], "ycbcr_to_rgb of a batch"),
    "no return": ([("    return rgb.clamp(0, 1)\n", "")], "is a `return` missing"),
}
_RIGHT_BACK = {
    "step by step": _BACK,
    "the inverse of the matrix": """
import torch

def ycbcr_to_rgb(ycbcr, full_range=False):
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    blue, red = torch.eye(3, dtype=torch.float64)[2], torch.eye(3, dtype=torch.float64)[0]
    forward = torch.stack([weights, (blue - weights) / 1.772, (red - weights) / 1.402])
    offset = torch.tensor([0.0, 128, 128] if full_range else [16.0, 128, 128]).view(3, 1, 1)
    scale = torch.tensor([255.0, 255, 255] if full_range else [219.0, 224, 224]).view(3, 1, 1)
    plain = ((255 * ycbcr - offset) / scale).double()
    return torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(forward), plain).clamp(0, 1).float()
""",
    "the formula of green": """
import torch

def ycbcr_to_rgb(ycbcr, full_range=False):
    low, y_scale, c_scale = (0, 255, 255) if full_range else (16, 219, 224)
    y = (255 * ycbcr[..., 0, :, :] - low) / y_scale
    cb = (255 * ycbcr[..., 1, :, :] - 128) / c_scale
    cr = (255 * ycbcr[..., 2, :, :] - 128) / c_scale
    planes = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
    return torch.clip(torch.stack(planes, dim=ycbcr.ndim - 3), 0, 1)
""",
}

# --- bicubic ---

_RESIZE = """
import torch
from torch.nn import functional as F

def bicubic(image, size):
    batch = image if image.ndim == 4 else image[None]
    resized = F.interpolate(batch, size=size, mode="bicubic", antialias=True, align_corners=False)
    resized = resized.clamp(0, 1)
    return resized if image.ndim == 4 else resized[0]
"""
_OPTIONS = 'mode="bicubic", antialias=True, align_corners=False'
_WRONG_RESIZE = {
    "no antialiasing": ([("antialias=True, ", "")], "antialias=True is missing"),
    "no antialiasing when enlarging": (
        [("antialias=True", "antialias=size[0] < image.shape[-2]")],
        "antialias=True is missing",
    ),
    "corners aligned": ([("align_corners=False", "align_corners=True")], "is it align_corners=True"),
    "corners aligned, no antialiasing": ([(_OPTIONS, 'mode="bicubic", align_corners=True')], "the worst of both"),
    "bilinear": ([(_OPTIONS, 'mode="bilinear", antialias=True')], "that is bilinear; the mode"),
    "plain bilinear": ([(_OPTIONS, 'mode="bilinear"')], "bilinear and without antialiasing"),
    "area": ([(_OPTIONS, 'mode="area"')], "the mean of each area"),
    "the default": ([(f", {_OPTIONS}", "")], "nearest pixel, the default"),
    "not clipped": ([("resized.clamp(0, 1)", "resized")], "a cubic overshoots at edges"),
    "width and height swapped": ([("size=size", "size=size[::-1]")], "cv2.resize takes (width, height)"),
    "always a batch": (
        [("return resized if image.ndim == 4 else resized[0]", "return resized")],
        "give the result the shape",
    ),
    "no batches": ([("return resized if image.ndim == 4 else resized[0]", "return resized[0]")], "bicubic of a batch"),
    "squeezed": (
        [("return resized if image.ndim == 4 else resized[0]", "return resized.squeeze(0)")],
        "squeeze(0) takes the axis of a batch of one away",
    ),
    "no batch made": ([("image if image.ndim == 4 else image[None]", "image")], "hand it `batch`"),
    "no return": ([("    return resized if image.ndim == 4 else resized[0]\n", "")], "is a `return` missing"),
}
_RIGHT_RESIZE = {
    "torchvision": """
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

def bicubic(image, size):
    return functional.resize(image, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
""",
    "image or batch": _RESIZE,
    "Keys's kernel, written out": """
import torch

def weights(n, size):
    stretch = max(n / size, 1)
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * n / size - 0.5
    d = (centres[:, None] - torch.arange(n)).abs() / stretch
    w = torch.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
    w[d > 2] = 0
    return w / w.sum(dim=1, keepdim=True)

def bicubic(image, size):
    rows, columns = weights(image.shape[-2], size[0]), weights(image.shape[-1], size[1])
    return (rows @ image.double() @ columns.T).clamp(0, 1).to(image.dtype)
""",
    "plane by plane": """
import torch
import torch.nn.functional as F

def bicubic(image, size):
    planes = image.flatten(0, -3)  # (N * C, H, W)
    made = [F.interpolate(plane[None, None], tuple(size), mode="bicubic", antialias=True)[0, 0] for plane in planes]
    return torch.stack(made).reshape(image.shape[:-2] + tuple(size)).clamp(min=0, max=1)
""",
}

# --- similarity ---

_SIMILAR = """
from course_utils.metrics import window_mean

def similarity(x, y):
    mean_x = window_mean(x)
    mean_y = window_mean(y)
    variance_x = window_mean(x * x) - mean_x ** 2
    variance_y = window_mean(y * y) - mean_y ** 2
    covariance = window_mean(x * y) - mean_x * mean_y
    c1 = 0.01 ** 2
    c2 = 0.03 ** 2
    light = (2 * mean_x * mean_y + c1) / (mean_x ** 2 + mean_y ** 2 + c1)
    pattern = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return light * pattern
"""
_WRONG_SIMILAR = {
    "constants not squared": ([("0.01 ** 2", "0.01"), ("0.03 ** 2", "0.03")], "are c1 and c2 squared"),
    "constants for 255": (
        [("0.01 ** 2", "(0.01 * 255) ** 2"), ("0.03 ** 2", "(0.03 * 255) ** 2")],
        "those for 0 to 255",
    ),
    "constants swapped": ([("0.01", "other"), ("0.03", "0.01"), ("other", "0.03")], "c1 and c2 swapped"),
    "no constants": ([("0.01 ** 2", "0"), ("0.03 ** 2", "0")], "0 / 0 in black windows"),
    "no 2 before the means": ([("2 * mean_x", "mean_x")], "before the product of the means missing"),
    "no 2 before the covariance": ([("2 * covariance", "covariance")], "before the covariance missing"),
    "variances not centred": ([(" - mean_x ** 2", ""), (" - mean_y ** 2", "")], "not subtracted in the variances"),
    "covariance not centred": ([(" - mean_x * mean_y", "")], "not subtracted in the covariance"),
    "nothing centred": (
        [(" - mean_x ** 2", ""), (" - mean_y ** 2", ""), (" - mean_x * mean_y", "")],
        "in the variances and the covariance",
    ),
    "variances multiplied": ([("variance_x + variance_y", "variance_x * variance_y")], "variances multiplied"),
    "spreads for variances": ([("variance_x + variance_y", "variance_x ** 0.5 + variance_y ** 0.5")], "roots taken"),
    "the light alone": ([("return light * pattern", "return light")], "the factor of the means alone"),
    "the pattern alone": ([("return light * pattern", "return pattern")], "the one of the means, missing"),
    "absolute value": ([("light * pattern", "(light * pattern).abs()")], "an absolute value taken"),
    "clipped at 0": ([("light * pattern", "(light * pattern).clamp(0, 1)")], "is it clipped at 0"),
    "the mean over all": (
        [("light * pattern", "(light * pattern).mean()")],
        "of shape (), expected one number for each window",
    ),
    "a plain number": (
        [("light * pattern", "(light * pattern).mean().item()")],
        "a float, expected one number for each window",
    ),
    "no return": ([("    return light * pattern\n", "")], "is a `return` missing"),
}
_RIGHT_SIMILAR = {
    "two factors": _SIMILAR,
    "a convolution": """
import torch
import torch.nn.functional as F

def similarity(x, y):
    offsets = torch.arange(11, dtype=x.dtype) - 5
    weights = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = torch.outer(weights, weights)[None, None] / weights.sum() ** 2

    def mean(images):
        n, c, h, w = images.shape
        return F.conv2d(images.reshape(n * c, 1, h, w), window).reshape(n, c, h - 10, w - 10)

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x**2) - mx**2, mean(y**2) - my**2, mean(x * y) - mx * my
    top = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
    return top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
""",
}

# --- mean_luma_error ---

_LUMA = """
from course_utils.metrics import comparable, luma, pairs_of

def mean_luma_error(restored_images, clean_images):
    differences = []
    for restored, clean in pairs_of(restored_images, clean_images):
        restored, clean = comparable(restored, clean)
        if clean.shape[1] == 3:
            restored, clean = luma(restored), luma(clean)
        difference = restored.mean() - clean.mean()
        differences.append(255 * abs(difference).item())
    return sum(differences) / len(differences)
"""
_APPEND = "differences.append(255 * abs(difference).item())"
_LOOP = "for restored, clean in pairs_of(restored_images, clean_images):"
_RETURN = "return sum(differences) / len(differences)"
_COLOUR = "        if clean.shape[1] == 3:\n"
_GREY_PIXELS = """        if clean.shape[1] == 1:
            differences.append(255 * (restored - clean).abs().mean().item())
            continue
"""
_Y = "restored, clean = luma(restored), luma(clean)"
_FULL_Y = """y = lambda rgb: 0.299 * rgb[:, 0] + 0.587 * rgb[:, 1] + 0.114 * rgb[:, 2]
            restored, clean = y(restored), y(clean)"""
_WRONG_LUMA = {
    "0 to 1": ([("255 * ", "")], "Grey levels go from 0 to 255"),
    "full range": ([(_Y, _FULL_Y)], "Y of full range?"),
    "signed": ([("abs(difference).item()", "difference.item()")], "the sign should not matter"),
    "absolute at the end": (
        [("abs(difference).item()", "difference.item()"), (_RETURN, "return abs(sum(differences)) / len(differences)")],
        "too light and too dark cancel",
    ),
    "mean of R, G and B": ([(_Y, "pass")], "is that the mean of R, G and B"),
    "pixel by pixel": ([("restored.mean() - clean.mean()", "(restored - clean).abs().mean()")], "compared one by one"),
    "MAE of R, G and B": (
        [(_Y, "pass"), ("restored.mean() - clean.mean()", "(restored - clean).abs().mean()")],
        "all differences of R, G and B",
    ),
    "squared": ([("255 * abs(difference).item()", "(255 * difference.item()) ** 2")], "is it squared"),
    "sum": ([(_RETURN, "return sum(differences)")], "that is the sum"),
    "first alone": ([(_RETURN, "return differences[0]")], "first image alone"),
    "last alone": ([(_RETURN, "return differences[-1]")], "last image alone"),
    "the worst": ([(_RETURN, "return max(differences)")], "the worst image"),
    "grey through luma": ([("if clean.shape[1] == 3:\n            ", "")], "sent through `luma`"),
    "grey as three channels": (
        [
            (
                "if clean.shape[1] == 3:\n            ",
                "restored, clean = restored.expand(-1, 3, -1, -1), clean.expand(-1, 3, -1, -1)\n        ",
            )
        ],
        "It is Y already",
    ),
    "grey pixel by pixel": ([(_COLOUR, _GREY_PIXELS + _COLOUR)], "are the pixels compared one by one"),
    "no pairs": (
        [(_LOOP, "for restored, clean in [(restored_images, clean_images)]:")],
        "a list was taken for an image; `for restored, clean in pairs_of(restored_images, clean_images):`",
    ),
    "the two lists in turn": ([(_LOOP, "for restored, clean in (restored_images, clean_images):")], "not pairs"),
    "the mean of a list": ([(_RETURN, "return differences.mean()")], "a list has no mean"),
    "a list for each image": ([(_RETURN, "return differences")], "returned a list"),
    "no return": ([(f"    {_RETURN}\n", "")], "is a `return` missing"),
}
_RIGHT_LUMA = {
    "a loop": _LUMA,
    "MATLAB's weights": """
import numpy as np

def mean_luma_error(restored_images, clean_images):
    def mean_y(image):
        if image.shape[0] == 1:
            return 255 * image.double().mean().item()
        red, green, blue = image.double().mean(dim=(1, 2)).tolist()
        return 16 + 65.481 * red + 128.553 * green + 24.966 * blue

    return np.mean([abs(mean_y(r) - mean_y(c)) for r, c in zip(restored_images, clean_images)])
""",
    "a tensor": """
import torch
from course_utils.metrics import luma

def mean_luma_error(restored_images, clean_images):
    y = lambda image: image if image.shape[0] == 1 else luma(image)
    means = [(y(r).double().mean(), y(c).double().mean()) for r, c in zip(restored_images, clean_images)]
    return 255 * torch.tensor(means).diff(dim=1).abs().mean()
""",
}

WRONG = {
    "rgb_to_ycbcr": from_one(_TO, _WRONG_TO),
    "ycbcr_to_rgb": from_one(_BACK, _WRONG_BACK),
    "bicubic": from_one(_RESIZE, _WRONG_RESIZE),
    "similarity": from_one(_SIMILAR, _WRONG_SIMILAR),
    "mean_luma_error": from_one(_LUMA, _WRONG_LUMA),
}
RIGHT = {
    "rgb_to_ycbcr": _RIGHT_TO,
    "ycbcr_to_rgb": _RIGHT_BACK,
    "bicubic": _RIGHT_RESIZE,
    "similarity": _RIGHT_SIMILAR,
    "mean_luma_error": _RIGHT_LUMA,
}
