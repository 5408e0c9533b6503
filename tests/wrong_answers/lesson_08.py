"""Lesson 8, as students answer it."""

from changes import from_one

# --- imagenet_normalised ---

_NORMALISED = """
import torch

def imagenet_normalised(images):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    images = images - mean
    images = images / std
    return images
"""
_LESS, _BY = "    images = images - mean\n", "    images = images / std\n"
_WRONG_NORMALISED = {
    "grey levels": ([("images - mean", "255 * images - mean")], "are the images multiplied by 255?"),
    "divided by 255": ([("images - mean", "images / 255 - mean")], "are the images divided by 255?"),
    "variance": ([("/ std", "/ std ** 2")], "is it divided by the variance?"),
    "swapped": ([(_LESS, "    mean, std = std, mean\n" + _LESS)], "are mean and standard deviation swapped?"),
    "mean alone": ([(_BY, "")], "now divide by the standard deviation"),
    "spread alone": ([(_LESS, "")], "where is the mean taken off?"),
    "a bracket": ([(_LESS, ""), ("images / std", "images / std - mean")], "a bracket is missing"),
    "times": ([("/ std", "* std")], "is it multiplied by the standard deviation?"),
    "plus": ([("images - mean", "images + mean")], "is the mean added?"),
    "the wrong sign": ([("images - mean", "mean - images")], "is the sign turned round?"),
    "blue first": ([(_LESS, "    mean, std = mean.flip(1), std.flip(1)\n" + _LESS)], "are red and blue swapped?"),
    "along the width": (
        [
            (
                "    mean = ",
                "    if images.shape[3] == 3: return (images - torch.tensor([0.485, 0.456, 0.406])) / "
                "torch.tensor([0.229, 0.224, 0.225])\n    mean = ",
            )
        ],
        "the three numbers went along the width",
    ),
    "own mean": (
        [
            (
                _LESS,
                "    mean, std = images.mean((0, 2, 3), True), images.std((0, 2, 3), keepdim=True, correction=0)\n"
                + _LESS,
            )
        ],
        "are the batch's own",
    ),
    "own mean, torch's spread": (
        [(_LESS, "    mean, std = images.mean((0, 2, 3), True), images.std((0, 2, 3), keepdim=True)\n" + _LESS)],
        "are the batch's own",
    ),
    "one mean for all": ([(_LESS, "    mean, std = images.mean(), images.std()\n" + _LESS)], "are the batch's own"),
    "own mean of each image": (
        [(_LESS, "    mean, std = images.mean((2, 3), True), images.std((2, 3), keepdim=True)\n" + _LESS)],
        "are each image's own",
    ),
    "to -1 and 1": ([(_LESS, "    return 2 * images - 1\n")], "that is to [-1, 1]"),
    "in place": (
        [("images = images - mean", "images -= mean"), ("images = images / std", "images /= std")],
        "are they changed in place?",
    ),
    "detached": ([("return images", "return images.detach()")], "knows no gradient"),
    "one image": ([("return images", "return images[0]")], "expected (3, 3, 5, 8)"),
    "no return": ([("    return images\n", "")], "is a `return` missing?"),
}
_RIGHT_NORMALISED = {
    "step by step": _NORMALISED,
    "colour by colour": """
import torch

def imagenet_normalised(images):
    red, green, blue = images.unbind(1)
    return torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], 1)
""",
    "colours last": """
import torch

def imagenet_normalised(images):
    numbers = images.new_tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    return ((images.movedim(1, -1) - numbers[0]) / numbers[1]).movedim(-1, 1)
""",
    "torchvision": """
from torchvision.transforms.functional import normalize

def imagenet_normalised(images):
    return normalize(images, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
""",
}

# --- features_at ---

_FEATURES = """
import torch

def features_at(network, images, layers):
    wanted, kept = list(layers), {}
    x = images
    for name, layer in network.named_children():
        x = layer(x)
        if name in wanted:
            kept[name] = x.clone()
        if len(kept) == len(wanted):
            break
    return {name: kept[name] for name in wanted}
"""
_STOP = "        if len(kept) == len(wanted):\n            break\n"
_WRONG_FEATURES = {
    "no clone": ([("x.clone()", "x")], "the ReLU behind it works in place"),
    "what goes in": (
        [("        x = layer(x)\n", ""), ("x.clone()\n", "x.clone()\n        x = layer(x)\n")],
        "that is what goes into this layer",
    ),
    "one too far": (
        [
            ("        x = layer(x)\n", "        x, before = layer(x.clone()), name\n"),
            (
                "        if name in wanted:\n            kept[name] = x.clone()\n",
                "        names = [n for n, _ in network.named_children()]\n"
                "        last = names[max(names.index(name) - 1, 0)]\n"
                "        if last in wanted and last not in kept:\n            kept[last] = x.clone()\n",
            ),
        ],
        "that is what comes out of the layer behind it",
    ),
    "the image": ([("x.clone()", "images.clone()")], "that is the image; keep what the layer makes of it"),
    "no_grad": (
        [
            ("    x = images\n", "    torch.set_grad_enabled(False)\n    x = images\n"),
            ("    return {", "    torch.set_grad_enabled(True)\n    return {"),
        ],
        "know no gradient",
    ),
    "to the end": ([(_STOP, "")], "stop when all that was asked for is found"),
    "stops at the first": (
        [
            (_STOP, "            break\n"),
            ("kept[name] for name in wanted", "n: m for n, m in kept.items()"),
            ("{name: n: m", "{n: m"),
        ],
        "is missing in what came",
    ),
    "order of the network": ([("{name: kept[name] for name in wanted}", "kept")], "not of the network"),
    "all layers": (
        [
            ("        if name in wanted:\n            kept", "        kept"),
            (_STOP, ""),
            ("{name: kept[name] for name in wanted}", "kept"),
        ],
        "only the layers that were asked for",
    ),
    "a list": (
        [("{name: kept[name] for name in wanted}", "[kept[name] for name in wanted]")],
        "a dict from the names of layers",
    ),
    "anew for each": (
        [
            (
                "    x = images\n"
                "    for name, layer in network.named_children():\n"
                "        x = layer(x)\n"
                "        if name in wanted:\n"
                "            kept[name] = x.clone()\n" + _STOP,
                "    for each in wanted:\n"
                "        x = images\n"
                "        for name, layer in network.named_children():\n"
                "            x = layer(x)\n"
                "            if name == each:\n"
                "                kept[name] = x\n"
                "                break\n",
            )
        ],
        "conv1_1 ran 2 times, expected once",
    ),
    "no return": ([("    return {name: kept[name] for name in wanted}\n", "")], "is a `return` missing?"),
}
_RIGHT_FEATURES = {
    "a loop with a break": _FEATURES,
    "hooks": """
def features_at(network, images, layers):
    found = {}
    parts = dict(network.named_children())
    last = max(list(parts).index(name) for name in layers)
    hooks = [
        parts[name].register_forward_hook(lambda module, given, out, name=name: found.update({name: out * 1}))
        for name in layers
    ]
    network[: last + 1](images)
    for hook in hooks:
        hook.remove()
    return dict((name, found[name]) for name in layers)
""",
    "copies before each layer": """
def features_at(network, images, layers):
    names = [pair[0] for pair in network.named_children()]
    stop = 1 + max(map(names.index, layers))
    stack = [images]
    for index in range(stop):
        stack.append(network[index](stack[-1].clone()))
    result = {}
    for each in layers:
        result[each] = stack[names.index(each) + 1]
    return result
""",
}

# --- total_variation ---

_VARIATION = """
import torch

def total_variation(images):
    down = torch.abs(images[:, :, 1:, :] - images[:, :, :-1, :])
    across = torch.abs(images[:, :, :, 1:] - images[:, :, :, :-1])
    result = down.mean() + across.mean()
    return result
"""
_BOTH = "down.mean() + across.mean()"
_WRONG_VARIATION = {
    "sum": ([(_BOTH, "down.sum() + across.sum()")], "that is the sum over all pixels"),
    "sum by image": ([(_BOTH, "(down.sum() + across.sum()) / len(images)")], "that is the sum over each image"),
    "by pixels": ([(_BOTH, "(down.sum() + across.sum()) / images.numel()")], "There are fewer differences"),
    "half": ([(_BOTH, "(down.mean() + across.mean()) / 2")], "that is half of it"),
    "down alone": ([(_BOTH, "down.mean()")], "those across are missing"),
    "across alone": ([(_BOTH, "across.mean()")], "those down are missing"),
    "squares": ([(_BOTH, "(down ** 2).mean() + (across ** 2).mean()")], "are the differences squared?"),
    "no abs": ([("torch.abs(", "(")], "up and down cancel out"),
    "isotropic": (
        [(_BOTH, "torch.sqrt(down[..., :-1] ** 2 + across[:, :, :-1] ** 2).mean()")],
        "that is the isotropic kind",
    ),
    "round": (
        [
            ("images[:, :, 1:, :] - images[:, :, :-1, :]", "images - images.roll(1, 2)"),
            ("images[:, :, :, 1:] - images[:, :, :, :-1]", "images - images.roll(1, 3)"),
        ],
        "roll() goes round",
    ),
    "colours": (
        [("images[:, :, :, 1:] - images[:, :, :, :-1]", "images[:, 1:] - images[:, :-1]")],
        "are differences of colours taken?",
    ),
    "batch and channels": (
        [
            ("images[:, :, 1:, :] - images[:, :, :-1, :]", "images[1:] - images[:-1]"),
            ("images[:, :, :, 1:] - images[:, :, :, :-1]", "images[:, 1:] - images[:, :-1]"),
        ],
        "differences over the batch and the channels",
    ),
    "a number": ([("return result", "return result.item()")], "keep item() and detach() out of it"),
    "no return": ([("    return result\n", "")], "is a `return` missing?"),
}
_RIGHT_VARIATION = {
    "slices": _VARIATION,
    "a loop over the axes": """
def total_variation(images):
    total = 0
    for axis in (2, 3):
        total = total + images.diff(dim=axis).abs().mean()
    return total
""",
    "a convolution": """
import torch
from torch.nn.functional import conv2d

def total_variation(images):
    planes = images.flatten(0, 1).unsqueeze(1)
    kernel = torch.tensor([-1.0, 1.0])
    return conv2d(planes, kernel.view(1, 1, 2, 1)).abs().mean() + conv2d(planes, kernel.view(1, 1, 1, 2)).abs().mean()
""",
}

# --- perceptual_loss ---

_PERCEPTUAL = """
import torch
from course_utils.features import features_at, imagenet_normalised

def perceptual_loss(network, restored, clean, layers):
    mine = features_at(network, imagenet_normalised(restored), layers)
    with torch.no_grad():
        theirs = features_at(network, imagenet_normalised(clean), layers)
    total = 0.0
    for layer in layers:
        difference = mine[layer] - theirs[layer]
        total = total + difference.abs().mean()
    return total / len(layers)
"""
_WRONG_PERCEPTUAL = {
    "not normalised": (
        [("imagenet_normalised(restored)", "restored"), ("imagenet_normalised(clean)", "clean")],
        "the images went in as they are",
    ),
    "one normalised": ([("imagenet_normalised(clean)", "clean")], "only the restored images are normalised"),
    "squares": ([("difference.abs()", "difference.square()")], "are the differences squared?"),
    "no abs": ([("difference.abs()", "difference")], "differences of both signs cancel out"),
    "sums": ([("difference.abs().mean()", "difference.abs().sum()")], "that is the sum over a layer"),
    "sum of layers": ([("total / len(layers)", "total")], "that is the sum over the layers"),
    "last layer": ([("total = total + difference", "total = difference")], "only the last layer is in it"),
    "root": ([("difference.abs().mean()", "difference.square().mean().sqrt()")], "is a root of squares taken?"),
    "all values together": (
        [
            ("        total = total + difference.abs().mean()\n", "        total = total + difference.abs().sum()\n"),
            ("total / len(layers)", "total / sum(m.numel() for m in mine.values())"),
        ],
        "large layers count for more",
    ),
    "no gradient": (
        [
            (
                "    mine = features_at(network, imagenet_normalised(restored), layers)\n    with torch.no_grad():\n",
                "    with torch.no_grad():\n"
                "        mine = features_at(network, imagenet_normalised(restored), layers)\n",
            )
        ],
        "torch.no_grad() is for the clean images alone",
    ),
    "swapped": (
        [
            ("imagenet_normalised(restored)", "imagenet_normalised(other)"),
            ("imagenet_normalised(clean)", "imagenet_normalised(restored)"),
            ("imagenet_normalised(other)", "imagenet_normalised(clean)"),
        ],
        "is torch.no_grad() around the wrong images?",
    ),
    "gradients for both": ([("with torch.no_grad():", "if True:")], "a gradient is kept for `clean` too"),
    "no return": ([("    return total / len(layers)\n", "")], "is a `return` missing?"),
}
_RIGHT_PERCEPTUAL = {
    "a loop": _PERCEPTUAL,
    "detached": """
from course_utils.features import features_at, imagenet_normalised
from torch.nn.functional import l1_loss

def perceptual_loss(network, restored, clean, layers):
    images = [imagenet_normalised(each) for each in (restored, clean.detach())]
    one, other = (list(features_at(network, each, layers).values()) for each in images)
    return sum(map(l1_loss, one, other)) / len(one)
""",
    "stacked": """
import torch
from course_utils.features import features_at, imagenet_normalised

def perceptual_loss(network, restored, clean, layers):
    count = restored.shape[0]
    batch = imagenet_normalised(torch.cat((restored, clean.detach())))
    maps = features_at(network, batch, layers)
    apart = torch.stack([torch.mean(torch.abs(maps[key][:count] - maps[key][count:])) for key in layers])
    return apart.mean()
""",
}

# --- l1_perceptual ---

_L1 = """
import torch
from torch import nn
from torch.nn import functional as F
from course_utils.features import LAYERS
from course_utils.losses import perceptual_loss

class L1Perceptual(nn.Module):
    def __init__(self, network, weight=0.1, layers=LAYERS):
        super().__init__()
        self.network = network
        self.weight = weight
        self.layers = layers

    def forward(self, predicted_noise, degraded, clean):
        image = degraded - predicted_noise
        pixels = F.l1_loss(image, clean)
        features = perceptual_loss(self.network, image, clean, self.layers)
        return pixels + self.weight * features
"""
_SUM, _PAIR = "pixels + self.weight * features", "self.network, image, clean"
_WRONG_L1 = {
    "MSE": ([("F.l1_loss", "F.mse_loss")], "are the errors of the pixels squared?"),
    "sum of pixels": ([("F.l1_loss(image, clean)", "(image - clean).abs().sum()")], "that is the sum; L1 is the mean"),
    "plus": ([("degraded - predicted_noise", "degraded + predicted_noise")], "is the noise added?"),
    "the noise as image": ([("degraded - predicted_noise", "predicted_noise")], "is R(y) compared with the clean"),
    "not the output": ([("degraded - predicted_noise", "degraded")], "R(y) is not in it"),
    "no features": ([(_SUM, "pixels + 0 * features")], "the features are not in it"),
    "no weight": ([(_SUM, "pixels + (self.weight > 0) * features")], "is the weight forgotten?"),
    "always 0.1": ([(_SUM, "pixels + 0.1 * (self.weight > 0) * features")], "is the weight always 0.1?"),
    "L1 weighted too": ([(_SUM, "(1 - self.weight) * pixels + self.weight * features")], "not 1 - weight"),
    "no pixels": ([(_SUM, "self.weight * features")], "with weight 0 L1 is still there"),
    "residuals": ([(_PAIR, "self.network, predicted_noise, degraded - clean")], "take those of images"),
    "features of the residual": ([(_PAIR, "self.network, predicted_noise, clean")], "features of R(y) itself are"),
    "against the degraded": ([(_PAIR, "self.network, image, degraded")], "is it compared with the degraded image?"),
    "of the degraded": ([(_PAIR, "self.network, degraded, clean")], "features of the degraded image?"),
    "clamped": (
        [("degraded - predicted_noise", "(degraded - predicted_noise).clamp(0, 1)")],
        "is the restored image clamped to [0, 1]?",
    ),
    "features clamped": ([(_PAIR, "self.network, image.clamp(0, 1), clean")], "It is not clamped here"),
    "turned round": ([(_PAIR, "self.network, clean, image")], "so give the restored one first"),
    "features detached": ([(_PAIR, "self.network, image.detach(), clean")], "and no detach()"),
    "pixels detached": ([("F.l1_loss(image, clean)", "F.l1_loss(image.detach(), clean)")], "only the features have a"),
    "no module": (
        [("(nn.Module)", ""), ("        super().__init__()\n", ""), ("def forward", "def __call__")],
        "L1Perceptual(network) is no nn.Module",
    ),
    "no module, not called": (
        [("(nn.Module)", ""), ("        super().__init__()\n", "")],
        "write `class L1Perceptual(nn.Module)`, with `forward`",
    ),
    "the network in a list": (
        [("self.network = network", "self.networks = [network]"), ("self.network,", "self.networks[0],")],
        "no weight of the feature network is in",
    ),
    "another default": ([("weight=0.1", "weight=1.0")], "weight=0.1, and the three layers"),
    "a number": ([(_SUM, "(" + _SUM + ").item()")], "keep item() and detach() out of it"),
    "no return": ([("        return " + _SUM + "\n", "")], "is a `return` missing?"),
}
_RIGHT_L1 = {
    "functional": _L1,
    "one line": """
import torch
from course_utils.losses import perceptual_loss

class L1Perceptual(torch.nn.Module):
    def __init__(self, network, weight=0.1, layers=("relu1_2", "relu2_2", "relu3_1")):
        torch.nn.Module.__init__(self)
        self.feature_network = network
        self.settings = weight, tuple(layers)

    def forward(self, predicted_noise, degraded, clean):
        x, (w, layers) = degraded - predicted_noise, self.settings
        return (x - clean).abs().mean() + perceptual_loss(self.feature_network, x, clean, layers) * w
""",
    "a dict of terms": """
from torch import nn
from course_utils.features import LAYERS
from course_utils.losses import perceptual_loss

class L1Perceptual(nn.Module):
    def __init__(self, network, weight=0.1, layers=LAYERS):
        super().__init__()
        self.network, self.layers = network, list(layers)
        self.weights = {"pixels": 1.0, "features": weight}

    def terms(self, restored, clean):
        yield "pixels", nn.L1Loss()(restored, clean)
        if self.weights["features"]:
            yield "features", perceptual_loss(self.network, restored, clean, self.layers)

    def forward(self, predicted_noise, degraded, clean):
        restored = degraded.sub(predicted_noise)
        return sum(self.weights[name] * value for name, value in self.terms(restored, clean))
""",
}

WRONG = {
    "imagenet_normalised": from_one(_NORMALISED, _WRONG_NORMALISED),
    "features_at": from_one(_FEATURES, _WRONG_FEATURES),
    "total_variation": from_one(_VARIATION, _WRONG_VARIATION),
    "perceptual_loss": from_one(_PERCEPTUAL, _WRONG_PERCEPTUAL),
    "l1_perceptual": from_one(_L1, _WRONG_L1),
}
LATER = {
    "imagenet_normalised": {
        "in place": {"gradients pass": "with gradients it raised RuntimeError"},
        "no return": {"gradients pass": "is a `return` missing?"},
    },
    "features_at": {
        "a list": {
            "gradients pass": "a dict from the names of layers",
            "each layer runs once": "a dict from the names of layers",
        },
        "no return": {"gradients pass": "is a `return` missing?"},
    },
    "perceptual_loss": {"no return": {"gradients reach": "is a `return` missing?"}},
    "l1_perceptual": {
        "MSE": {"otherwise it is": "are the errors of the pixels squared?"},
        "plus": {"otherwise it is": "is the noise added?"},
        "clamped": {"otherwise it is": "is the restored image clamped to [0, 1]?"},
        "no features": {"it gives a scalar": "the loss is another one"},
    },
}
RIGHT = {
    "imagenet_normalised": _RIGHT_NORMALISED,
    "features_at": _RIGHT_FEATURES,
    "total_variation": _RIGHT_VARIATION,
    "perceptual_loss": _RIGHT_PERCEPTUAL,
    "l1_perceptual": _RIGHT_L1,
}
