"""Lesson 7, as students answer it."""

from changes import from_one

# --- channel_attention ---

_CHANNEL = """
import torch
from torch import nn

class ChannelAttention(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        few = max(channels // reduction, 1)
        self.squeeze = nn.Conv2d(channels, few, kernel_size=1)
        self.excite = nn.Conv2d(few, channels, kernel_size=1)

    def weights(self, x):
        mean = x.mean(dim=(2, 3), keepdim=True)
        few = torch.relu(self.squeeze(mean))
        return torch.sigmoid(self.excite(few))

    def forward(self, x):
        return x * self.weights(x)
"""
_FEW = "max(channels // reduction, 1)"
_DOWN, _UP = "nn.Conv2d(channels, few, kernel_size=1)", "nn.Conv2d(few, channels, kernel_size=1)"
_MEAN, _WEIGHTS = "x.mean(dim=(2, 3), keepdim=True)", "torch.sigmoid(self.excite(few))"
_WRONG_CHANNEL = {
    "no biases": (
        [("kernel_size=1)", "kernel_size=1, bias=False)")],
        "do the two layers lack their biases?",
    ),
    "reduction as the number": ([(_FEW, "reduction")], "is reduction itself the number"),
    "no reduction": ([(_FEW, "channels")], "there is no reduction"),
    "kernels of 3": ([("kernel_size=1)", "kernel_size=3, padding=1)")], "are the kernels 3 x 3?"),
    "reduction ignored": ([(_FEW, "channels // 4")], "is a number fixed in your code?"),
    "no sigmoid": ([(_WEIGHTS, "self.excite(few)")], "expected all between 0 and 1"),
    "ReLU before the sigmoid": ([(_WEIGHTS, "torch.sigmoid(torch.relu(self.excite(few)))")], "no weight is below 0.5"),
    "softmax": ([(_WEIGHTS, "torch.softmax(self.excite(few), dim=1)")], "is that softmax?"),
    "no ReLU": ([("torch.relu(self.squeeze(mean))", "self.squeeze(mean)")], "is the ReLU between the two layers"),
    "sigmoid twice": ([("torch.relu(", "torch.sigmoid(")], "a sigmoid between the two layers?"),
    "maximum": ([(_MEAN, "x.amax(dim=(2, 3), keepdim=True)")], "is it the maximum of each map?"),
    "sum": ([(_MEAN, "x.sum(dim=(2, 3), keepdim=True)")], "is it the sum over each map?"),
    "one mean for the batch": (
        [(_MEAN, "x.mean(dim=(0, 2, 3), keepdim=True).expand(len(x), -1, -1, -1)")],
        "the images of a batch share one mean",
    ),
    "not pooled": ([(_MEAN, "x")], "is the mean over height and width missing?"),
    "pooled over the maps": (
        [(_MEAN, "x.mean(dim=1, keepdim=True)")],
        "are the means over the right axes?",
    ),
    "two axes lost": (
        [(_WEIGHTS, "torch.sigmoid(self.excite(few))[:, :, 0, 0]")],
        "are the axes kept, with keepdim=True?",
    ),
    "weights multiply already": ([(_WEIGHTS, "x * torch.sigmoid(self.excite(few))")], "only forward multiplies"),
    "gives the weights": ([("return x * self.weights(x)", "return self.weights(x)")], "multiply x by them"),
    "added": ([("return x * self.weights(x)", "return x + self.weights(x)")], "the weights are added to x"),
    "x once more": ([("return x * self.weights(x)", "return x + x * self.weights(x)")], "x is added once more"),
    "no return": ([("return x * self.weights(x)", "x * self.weights(x)")], "is a `return` missing?"),
}
_RIGHT_CHANNEL = {
    "two convolutions": _CHANNEL,
    "linear layers": """
from torch import nn
import torch.nn.functional as F

class ChannelAttention(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        hidden = 1 if channels < reduction else channels // reduction
        self.fc2 = nn.Linear(hidden, channels)
        self.fc1 = nn.Linear(channels, hidden)

    def weights(self, x):
        n, c, _, _ = x.shape
        s = F.adaptive_avg_pool2d(x, 1).view(n, c)
        return F.sigmoid(self.fc2(F.relu(self.fc1(s)))).view(n, c, 1, 1)

    def forward(self, x):
        return self.weights(x).expand_as(x) * x
""",
    "a pool in nn.Sequential": """
from torch import nn

class ChannelAttention(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        r = channels // reduction or 1
        steps = [nn.AdaptiveAvgPool2d((1, 1)), nn.Conv2d(channels, r, 1), nn.ReLU(True), nn.Conv2d(r, channels, 1)]
        self.gate = nn.Sequential(*steps)

    def weights(self, x):
        return self.gate(x).sigmoid()

    def forward(self, x):
        out = x.clone()
        out *= self.weights(x)
        return out
""",
}

# --- spatial_attention ---

_SPATIAL = """
import torch
from torch import nn

class SpatialAttention(nn.Module):
    def __init__(self, kernel=7):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def weights(self, x):
        average = x.mean(dim=1, keepdim=True)
        largest = x.max(dim=1, keepdim=True).values
        both = torch.cat([average, largest], dim=1)
        return torch.sigmoid(self.conv(both))

    def forward(self, x):
        return x * self.weights(x)
"""
_CONV, _BOTH = "nn.Conv2d(2, 1, kernel, padding=kernel // 2)", "torch.cat([average, largest], dim=1)"
_LARGEST = "x.max(dim=1, keepdim=True).values"
_WRONG_SPATIAL = {
    "no bias": ([("padding=kernel // 2)", "padding=kernel // 2, bias=False)")], "does the convolution lack its bias?"),
    "the mean alone": ([("nn.Conv2d(2,", "nn.Conv2d(1,"), (_BOTH, "average")], "it take one map only?"),
    "over height and width": (
        [
            ("x.mean(dim=1, keepdim=True)", "x.mean(dim=(2, 3), keepdim=True)"),
            (_LARGEST, "x.amax(dim=(2, 3), keepdim=True)"),
        ],
        "are the means over the right axes?",
    ),
    "two maps of weights": ([("nn.Conv2d(2, 1,", "nn.Conv2d(2, 2,")], "does it make two maps?"),
    "kernel ignored": ([(_CONV, "nn.Conv2d(2, 1, 7, padding=3)")], "is `kernel` ignored?"),
    "kernel 3": ([("kernel=7", "kernel=3")], "is the kernel 3 x 3?"),
    "maximum first": ([(_BOTH, "torch.cat([largest, average], dim=1)")], "the maximum comes first"),
    "minimum": ([(_LARGEST, "x.min(dim=1, keepdim=True).values")], "is it the minimum?"),
    "sum": ([("x.mean(dim=1, keepdim=True)", "x.sum(dim=1, keepdim=True)")], "is it the sum over the maps?"),
    "spread": ([(_LARGEST, "x.std(dim=1, keepdim=True)")], "is it the spread?"),
    "mean twice": ([(_LARGEST, "x.mean(dim=1, keepdim=True)")], "both maps are the mean"),
    "over the image": (
        [
            ("x.mean(dim=1, keepdim=True)", "x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x[:, :1])"),
            (_LARGEST, "x.amax(dim=(1, 2, 3), keepdim=True).expand_as(x[:, :1])"),
        ],
        "and not over the whole image",
    ),
    "max with its places": ([(_LARGEST, "x.max(dim=1, keepdim=True)")], "raised TypeError"),
    "no sigmoid": ([("torch.sigmoid(self.conv(both))", "self.conv(both)")], "expected all between 0 and 1"),
    "softmax over the places": (
        [("torch.sigmoid(self.conv(both))", "self.conv(both).flatten(2).softmax(dim=2).view_as(average)")],
        "Each pixel has its own sigmoid",
    ),
    "no padding": ([("padding=kernel // 2", "padding=0")], "does the convolution pad?"),
    "gives the weights": ([("return x * self.weights(x)", "return self.weights(x)")], "multiply x by them"),
    "x once more": ([("return x * self.weights(x)", "return x + x * self.weights(x)")], "x is added once more"),
    "no return": ([("return x * self.weights(x)", "x * self.weights(x)")], "is a `return` missing?"),
}
_RIGHT_SPATIAL = {
    "two lines": _SPATIAL,
    "stacked": """
from torch import nn, stack

class SpatialAttention(nn.Module):
    def __init__(self, kernel=7):
        super().__init__()
        self.gate = nn.Sequential(nn.Conv2d(2, 1, kernel_size=(kernel, kernel), padding="same"), nn.Sigmoid())

    def weights(self, x):
        return self.gate(stack((x.mean(1), x.amax(1)), 1))

    def forward(self, features):
        return self.weights(features).mul(features)
""",
    "parameters of its own": """
import torch
from torch.nn import Module, Parameter
from torch.nn.functional import conv2d

class SpatialAttention(Module):
    def __init__(self, kernel=7):
        super().__init__()
        self.b = Parameter(torch.zeros(1))
        self.w = Parameter(torch.randn(1, 2, kernel, kernel) / kernel)

    def weights(self, maps):
        described = [reduce(maps, 1, keepdim=True) for reduce in (torch.mean, torch.amax)]
        return conv2d(torch.hstack(described), self.w, self.b, padding=self.w.shape[-1] // 2).sigmoid()

    def forward(self, maps):
        return torch.mul(maps, self.weights(maps))
""",
    "written into a tensor": """
import torch.nn as nn
import torch.nn.functional as F

class SpatialAttention(nn.Module):
    def __init__(self, kernel=7):
        nn.Module.__init__(self)
        self.half = (kernel - 1) // 2
        self.look = nn.Conv2d(in_channels=2, out_channels=1, kernel_size=kernel)

    def weights(self, x):
        n, c, h, w = x.shape
        seen = x.new_zeros(n, 2, h, w)
        seen[:, 0] = x.sum(dim=1) / c
        seen[:, 1], _ = x.max(dim=1)
        padded = F.pad(seen, [self.half] * 4)
        return 1 / (1 + (-self.look(padded)).exp())

    def forward(self, x):
        w = self.weights(x)
        return w * x
""",
}

# --- cbam ---

_CBAM = """
import torch
from torch import nn
from course_utils.models.attention import SpatialAttention

class CBAM(nn.Module):
    def __init__(self, channels, reduction=4, kernel=7):
        super().__init__()
        few = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Conv2d(channels, few, 1), nn.ReLU(), nn.Conv2d(few, channels, 1))
        self.places = SpatialAttention(kernel)

    def weights(self, x):
        mean = x.mean(dim=(2, 3), keepdim=True)
        most = x.amax(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.mlp(mean) + self.mlp(most))

    def forward(self, x):
        weighted = x * self.weights(x)
        return self.places(weighted)
"""
_SUMMED, _AFTER = "torch.sigmoid(self.mlp(mean) + self.mlp(most))", "return self.places(weighted)"
_TWIN = (
    "        self.places",
    "        self.other = nn.Sequential(nn.Conv2d(channels, few, 1), nn.ReLU(), nn.Conv2d(few, channels, 1))\n"
    "        self.places",
)
_WRONG_CBAM = {
    "two networks": ([_TWIN, ("self.mlp(most)", "self.other(most)")], "are there two small networks?"),
    "no spatial attention": (
        [("        self.places = SpatialAttention(kernel)\n", ""), (_AFTER, "return weighted")],
        "is the spatial attention missing?",
    ),
    "no biases": (
        [(", 1), nn.ReLU()", ", 1, bias=False), nn.ReLU()"), ("channels, 1))", "channels, 1, bias=False))")],
        "do the two layers lack their biases?",
    ),
    "no reduction": ([("max(channels // reduction, 1)", "channels")], "there is no reduction"),
    "kernel 3": ([("SpatialAttention(kernel)", "SpatialAttention(3)")], "the spatial attention 3 x 3?"),
    "mean alone": ([(_SUMMED, "torch.sigmoid(self.mlp(mean))")], "that is the mean alone"),
    "maximum alone": ([(_SUMMED, "torch.sigmoid(self.mlp(most))")], "that is the maximum alone"),
    "halved": ([(_SUMMED, "torch.sigmoid((self.mlp(mean) + self.mlp(most)) / 2)")], "is it halved?"),
    "two sigmoids": (
        [(_SUMMED, "(torch.sigmoid(self.mlp(mean)) + torch.sigmoid(self.mlp(most))) / 2")],
        "the sigmoid comes last",
    ),
    "two sigmoids, added": (
        [(_SUMMED, "torch.sigmoid(self.mlp(mean)) + torch.sigmoid(self.mlp(most))")],
        "expected all between 0 and 1",
    ),
    "added before": ([(_SUMMED, "torch.sigmoid(self.mlp(mean + most))")], "each go through the two layers"),
    "the larger": ([(_SUMMED, "torch.sigmoid(torch.maximum(self.mlp(mean), self.mlp(most)))")], "is it the larger"),
    "places first": (
        [
            ("weighted = x * self.weights(x)", "weighted = self.places(x)"),
            (_AFTER, "return weighted * self.weights(weighted)"),
        ],
        "places come first here",
    ),
    "side by side": (
        [(_AFTER, "return weighted * self.places.weights(x)")],
        "the weights of the places are those of x",
    ),
    "maps alone": ([(_AFTER, "return weighted")], "is the spatial attention left out?"),
    "places alone": ([(_AFTER, "return self.places(x)")], "are the maps weighted at all?"),
    "added": ([(_AFTER, "return weighted + self.places(x)")], "the two are added"),
    "no return": ([(_AFTER, "self.places(weighted)")], "is a `return` missing?"),
}
_RIGHT_CBAM = {
    "one network, called twice": _CBAM,
    "one call for both": """
from torch import cat, nn

class CBAM(nn.Module):
    def __init__(self, channels, reduction=4, kernel=7):
        super().__init__()
        r = max(1, channels // reduction)
        self.a, self.b = nn.Linear(channels, r), nn.Linear(r, channels)
        self.where = nn.Conv2d(2, 1, kernel, 1, kernel // 2)

    def weights(self, x):
        flat = x.flatten(2)
        both = cat([flat.mean(2), flat.max(2)[0]])
        first, second = self.b(self.a(both).clamp(min=0)).chunk(2)
        return (first + second).sigmoid()[..., None, None]

    def forward(self, x):
        x = x * self.weights(x)
        at = cat([x.mean(1, True), x.amax(1, True)], 1)
        return x * self.where(at).sigmoid()
""",
}

# --- scse ---

_SCSE = """
import torch
from torch import nn
from course_utils.models.attention import ChannelAttention, SpatialAttention

class SCSE(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.maps = ChannelAttention(channels, reduction)
        self.to_one = nn.Conv2d(channels, 1, kernel_size=1)

    def forward(self, x):
        by_place = x * torch.sigmoid(self.to_one(x))
        by_map = self.maps(x)
        return by_place + by_map
"""
_TO_ONE, _ADDED = "nn.Conv2d(channels, 1, kernel_size=1)", "return by_place + by_map"
_WRONG_SCSE = {
    "no places": (
        [("        self.to_one = nn.Conv2d(channels, 1, kernel_size=1)\n", ""), ("self.to_one(x)", "x")],
        "is the 1 x 1 convolution to one map missing?",
    ),
    "no bias": ([(_TO_ONE, "nn.Conv2d(channels, 1, kernel_size=1, bias=False)")], "lack its bias?"),
    "the places of CBAM": (
        [(_TO_ONE, "SpatialAttention()"), ("x * torch.sigmoid(self.to_one(x))", "self.to_one(x)")],
        "is it SpatialAttention",
    ),
    "a weight for each map and place": ([(_TO_ONE, "nn.Conv2d(channels, channels, kernel_size=1)")], "make 32 maps?"),
    "kernel 3": ([(_TO_ONE, "nn.Conv2d(channels, 1, kernel_size=3, padding=1)")], "the kernel for the places 3 x 3?"),
    "no maps": (
        [("        self.maps = ChannelAttention(channels, reduction)\n", ""), ("self.maps(x)", "x")],
        "is the channel attention missing?",
    ),
    "reduction not handed on": (
        [("ChannelAttention(channels, reduction)", "ChannelAttention(channels)")],
        "is a number fixed in your code?",
    ),
    "the larger": ([(_ADDED, "return torch.maximum(by_place, by_map)")], "is it the larger of the two?"),
    "one after the other": (
        [("self.maps(x)", "self.maps(by_place)"), (_ADDED, "return by_map")],
        "one comes after the other",
    ),
    "multiplied": (
        [("by_map = self.maps(x)", "by_map = self.maps.weights(x)"), ("+ by_map", "* by_map")],
        "the two are multiplied",
    ),
    "the maps of the places": ([("self.maps(x)", "self.maps(by_place)")], "takes what the places gave"),
    "no sigmoid": ([("torch.sigmoid(self.to_one(x))", "self.to_one(x)")], "is the sigmoid of the places missing?"),
    "ReLU for sigmoid": ([("torch.sigmoid(", "torch.relu(")], "is there a ReLU in place of the sigmoid"),
    "x once more": ([(_ADDED, "return x + by_place + by_map")], "x is added once more"),
    "not multiplied": ([("x * torch.sigmoid", "torch.sigmoid")], "multiply x by them"),
    "halved": ([(_ADDED, "return (by_place + by_map) / 2")], "is it halved?"),
    "no return": ([(_ADDED, "by_place + by_map")], "is a `return` missing?"),
}
_RIGHT_SCSE = {
    "with ChannelAttention": _SCSE,
    "all by itself, the weights added first": """
from torch import nn

class SCSE(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        self.where = nn.Sequential(nn.Conv2d(channels, 1, 1), nn.Sigmoid())
        r = max(channels // reduction, 1)
        self.which = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, r, 1), nn.ReLU(inplace=True),
                                   nn.Conv2d(r, channels, 1), nn.Sigmoid())

    def forward(self, x):
        return x * (self.where(x) + self.which(x))
""",
    "linear layers": """
import torch
import torch.nn as nn

class SCSE(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        few = channels // reduction if channels >= reduction else 1
        self.point = nn.Linear(channels, 1)
        self.up, self.down = nn.Linear(few, channels), nn.Linear(channels, few)

    def forward(self, x):
        last = x.permute(0, 2, 3, 1)
        gate = torch.sigmoid(self.up(torch.relu(self.down(last.mean((1, 2))))))
        result = torch.sigmoid(self.point(last)) * last + gate[:, None, None] * last
        return result.permute(0, 3, 1, 2)
""",
}

# --- attention_dncnn ---

_NETWORK = """
from torch import nn
from course_utils.models.attention import BLOCKS

class AttentionDnCNN(nn.Module):
    def __init__(self, channels=3, depth=5, width=32, attention="SE", reduction=4):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width}
        self.config |= {"attention": attention, "reduction": reduction}
        if attention is None:
            self.receptive_radius = depth
        elif attention == "spatial":
            self.receptive_radius = depth + 3 * (depth - 2)
        else:
            self.receptive_radius = None
        layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
        for i in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            if attention is not None:
                layers += [BLOCKS[attention](width, reduction)]
        last = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.net = nn.Sequential(*layers, last)

    def forward(self, y):
        return self.net(y)

    def restore(self, y):
        return y - self.forward(y)
"""
_FIRST = "layers = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]"
_LOOP = "nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]"
_IF = "            if attention is not None:\n                layers += [BLOCKS[attention](width, reduction)]\n"
_RESTORE = "return y - self.forward(y)"
_WRONG_NETWORK = {
    "one block at the end": (
        [
            (_IF, ""),
            (
                "        last =",
                _IF.replace("            ", "        ", 1).replace("                l", "            l")
                + "        last =",
            ),
        ],
        "there is one block; each of the",
    ),
    "a block in the first layer too": (
        [
            (
                _FIRST,
                _FIRST
                + "\n        if attention is not None:\n            layers += [BLOCKS[attention](width, reduction)]",
            )
        ],
        "is there one block too many?",
    ),
    "no blocks": ([(_IF, "")], "are the blocks missing"),
    "always SE": (
        [("if attention is not None:", "if True:"), ("BLOCKS[attention]", "BLOCKS['SE']")],
        "attention=None has no blocks",
    ),
    "reduction not handed on": ([("(width, reduction)]", "(width, 4)]")], "is `reduction` handed on to the block?"),
    "one block for all": (
        [
            (
                "        for i in",
                "        one = BLOCKS[attention](width, reduction) if attention else None\n        for i in",
            ),
            ("layers += [BLOCKS[attention](width, reduction)]", "layers += [one]"),
        ],
        "all middle layers share one block",
    ),
    "depth middle layers": ([("range(depth - 2)", "range(depth)")], "are there `depth` middle layers?"),
    "no batch norm": ([(" nn.BatchNorm2d(width),", "")], "is the batch normalisation missing?"),
    "three channels always": (
        [(_FIRST, _FIRST.replace("channels", "3")), ("nn.Conv2d(width, channels,", "nn.Conv2d(width, 3,")],
        "is `channels` ignored?",
    ),
    "the block before the batch norm": (
        [
            (_LOOP, "nn.Conv2d(width, width, 3, padding=1)]"),
            (_IF, _IF + "            layers += [nn.BatchNorm2d(width), nn.ReLU()]\n"),
        ],
        "it runs conv conv block norm",
    ),
    "the block before the ReLU": (
        [(", nn.ReLU()]\n            if", "]\n            if"), (_IF, _IF + "            layers += [nn.ReLU()]\n")],
        "the block before it and not behind it?",
    ),
    "ReLU at the end": ([("*layers, last)", "*layers, last, nn.ReLU())")], "ReLU after the last convolution?"),
    "no padding": ([("3, padding=1), nn.BatchNorm2d", "3), nn.BatchNorm2d")], "is padding=1 missing"),
    "not zero at the start": (
        [("        nn.init.zeros_(last.weight)\n        nn.init.zeros_(last.bias)\n", "")],
        "predicts noise of up to",
    ),
    "forward gives the image": (
        [
            ("return self.net(y)", "return y - self.net(y)"),
            (_RESTORE, "return self(y)"),
            ("range(depth - 2)", "range(depth - 2)"),
        ],
        "`forward` gives the image",
    ),
    "y + R(y)": ([(_RESTORE, "return y + self(y)")], "the noise is added once more"),
    "clipped": ([(_RESTORE, "return (y - self(y)).clamp(0, 1)")], "it is clipped"),
    "restore switches the mode": (
        [(_RESTORE, "self.eval()\n        return y - self(y)")],
        "no longer in training mode",
    ),
    "no config": ([("self.config =", "settings ="), ("self.config |=", "settings |=")], "no attribute `config`"),
    "the class in the config": (
        [('"attention": attention', '"attention": BLOCKS.get(attention)')],
        "expected the five arguments",
    ),
    "the depth as radius": (
        [("            self.receptive_radius = None", "            self.receptive_radius = depth")],
        "a mean over the whole image",
    ),
    "spatial looks no further": ([("depth + 3 * (depth - 2)", "depth")], "each 7 x 7 kernel looks 3 pixels further"),
    "one spatial block": ([("depth + 3 * (depth - 2)", "depth + 3")], "behind each of the depth - 2 middle layers"),
    "never a radius": (
        [("            self.receptive_radius = depth\n", "            self.receptive_radius = None\n")],
        "without attention it is the depth",
    ),
    "forward not returned": ([("return self.net(y)", "self.net(y)")], "is a `return` missing?"),
}
_RIGHT_NETWORK = {
    "a list": _NETWORK,
    "lists of modules, the last layer first": """
from torch import nn
import torch.nn.functional as F
from course_utils.models.attention import BLOCKS

class AttentionDnCNN(nn.Module):
    def __init__(self, channels=3, depth=5, width=32, attention="SE", reduction=4):
        super().__init__()
        self.config = dict(attention=attention, channels=channels, depth=depth, reduction=reduction, width=width)
        middle = depth - 2
        far = {None: depth, "spatial": depth + middle * 3}
        self.receptive_radius = far[attention] if attention in far else None
        self.tail = nn.Conv2d(width, channels, 3, padding="same")
        for parameter in self.tail.parameters():
            parameter.data.zero_()
        make = BLOCKS[attention] if attention else lambda *sizes: nn.Identity()
        self.blocks = nn.ModuleList(make(width, reduction) for _ in range(middle))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(middle))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for _ in range(middle))
        self.head = nn.Conv2d(channels, width, 3, 1, 1)

    def forward(self, y):
        maps = F.relu(self.head(y))
        for conv, norm, block in zip(self.convs, self.norms, self.blocks):
            maps = block(F.relu(norm(conv(maps))))
        return self.tail(maps)

    def restore(self, y):
        return y - self(y)
""",
    "layers by function": """
import torch.nn as nn
from course_utils.models.attention import BLOCKS

def middle(width, attention, reduction):
    yield nn.Conv2d(width, width, kernel_size=3, padding=1)
    yield nn.BatchNorm2d(width, momentum=0.1)
    yield nn.ReLU(inplace=True)
    if attention in BLOCKS:
        yield BLOCKS[attention](width, reduction)

class AttentionDnCNN(nn.Module):
    def __init__(self, channels=3, depth=5, width=32, attention="SE", reduction=4):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width, "attention": attention}
        self.config["reduction"] = reduction
        parts = [nn.Sequential(*middle(width, attention, reduction)) for _ in range(2, depth)]
        first, end = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 3, padding=1)
        nn.init.constant_(end.weight, 0.0)
        nn.init.constant_(end.bias, 0.0)
        self.noise = nn.Sequential(first, nn.ReLU(inplace=True), *parts, end)
        whole_image = attention in ("SE", "CBAM", "scSE")
        self.receptive_radius = None if whole_image else depth + (3 * len(parts) if attention == "spatial" else 0)

    def forward(self, y):
        return self.noise(y)

    def restore(self, y):
        return -self(y) + y
""",
}

WRONG = {
    "channel_attention": from_one(_CHANNEL, _WRONG_CHANNEL),
    "spatial_attention": from_one(_SPATIAL, _WRONG_SPATIAL),
    "cbam": from_one(_CBAM, _WRONG_CBAM),
    "scse": from_one(_SCSE, _WRONG_SCSE),
    "attention_dncnn": from_one(_NETWORK, _WRONG_NETWORK),
}
RIGHT = {
    "channel_attention": _RIGHT_CHANNEL,
    "spatial_attention": _RIGHT_SPATIAL,
    "cbam": _RIGHT_CBAM,
    "scse": _RIGHT_SCSE,
    "attention_dncnn": _RIGHT_NETWORK,
}
