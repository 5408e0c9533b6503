"""Lesson 0, as students answer it."""

from changes import from_one

_PSNR = """
import math
import torch
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    restored, clean = comparable(restored, clean, border)
    scores = []
    for i in range(len(clean)):
        mse = torch.mean((restored[i] - clean[i]) ** 2)
        scores.append(10 * torch.log10(1 / mse))
    return sum(scores) / len(scores)
"""
_LINE = "scores.append(10 * torch.log10(1 / mse))"
_MSE = "torch.mean((restored[i] - clean[i]) ** 2)"
_MSE_OF_COLOURS = "((restored[i] - clean[i]) ** 2).mean(dim=(1, 2))"

_WRONG_PSNR = {
    "range of 255": ((_LINE, "scores.append(10 * torch.log10(255**2 / mse))"), "to be 255"),
    "natural logarithm": ((_LINE, "scores.append(10 * torch.log(1 / mse))"), "natural logarithm"),
    "base 2": ((_LINE, "scores.append(10 * torch.log2(1 / mse))"), "base 2"),
    "sign": ((_LINE, "scores.append(10 * torch.log10(mse))"), "turns the sign"),
    "20 log10 of the MSE": ((_LINE, "scores.append(20 * torch.log10(1 / mse))"), "root of the MSE"),
    "root of the MSE": ((_LINE, "scores.append(10 * torch.log10(1 / mse.sqrt()))"), "no root taken"),
    "no factor 10": ((_LINE, "scores.append(torch.log10(1 / mse))"), "factor 10"),
    "the MSE itself": ((_LINE, "scores.append(mse)"), "the MSE itself"),
    "sum of squares": ((_MSE, "torch.sum((restored[i] - clean[i]) ** 2)"), "summed up"),
    "variance": ((_MSE, "(restored[i] - clean[i]).var()"), "is the variance taken?"),
    "range of the image": (
        (
            _LINE,
            "scores.append(10 * torch.log10((clean[i].max() - clean[i].min() + (clean[i].std() == 0)) ** 2 / mse))",
        ),
        "max - min",
    ),
    "a PSNR for each colour": (
        (f"mse = {_MSE}\n        {_LINE}", f"mse = {_MSE_OF_COLOURS}\n        {_LINE[:-1]}.mean())"),
        "a PSNR for each colour?",
    ),
    "a PSNR for each colour, no mean": ((_MSE, _MSE_OF_COLOURS), "returned a Tensor of shape (3,)"),
    "first image alone": (("return sum(scores) / len(scores)", "return scores[0]"), "first image alone"),
    "sum over the images": (("sum(scores) / len(scores)", "sum(scores)"), "sum over the images"),
    "one PSNR per image": (("sum(scores) / len(scores)", "torch.stack(scores)"), "gave 3 numbers"),
    "border ignored": (("(restored, clean, border)\n", "(restored, clean)\n"), "border is still in it"),
    "division by zero": ((_LINE, "scores.append(10 * math.log10(1 / mse.item()))"), "raised ZeroDivisionError"),
    "a small number added": ((_LINE, "scores.append(10 * torch.log10(1 / (mse + 1e-10)))"), "small added to the MSE"),
    "no return": (("    return sum(scores) / len(scores)\n", ""), "is a `return` missing?"),
    "a name that is not there": (("10 * torch.log10", "10 * torhc.log10"), "raised NameError"),
}
_POOLED = """
import torch
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    restored, clean = comparable(restored, clean, border)
    mse = ((restored - clean) ** 2).mean()
    return (10 * torch.log10(1 / mse)).item()
"""
_RIGHT_PSNR = {
    "a loop, a tensor": _PSNR,
    "a NumPy number": """
import numpy as np
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    restored, clean = comparable(restored, clean, border)
    error = (restored - clean).flatten(1).numpy()
    with np.errstate(divide="ignore"):
        return np.mean(-20 * np.log10(np.sqrt((error * error).mean(axis=1))))
""",
    "infinity by hand": """
import math
from course_utils.metrics import comparable

def psnr(restored, clean, border=0):
    restored, clean = comparable(restored, clean, border)
    errors = [(a - b).pow(2).sum().item() / a.numel() for a, b in zip(restored, clean)]
    return sum(math.inf if e == 0 else 10 * math.log10(1 / e) for e in errors) / len(errors)
""",
}

WRONG = {"psnr": from_one(_PSNR, {mistake: ([each], text) for mistake, (each, text) in _WRONG_PSNR.items()})}
WRONG["psnr"]["common MSE"] = (_POOLED, "PSNR of the common MSE")
RIGHT = {"psnr": _RIGHT_PSNR}
