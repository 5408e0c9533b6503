"""Attention: small blocks that weigh what the layers before them found, and a DnCNN with such blocks in it.

Each block multiplies feature maps x by weights between 0 and 1 that it computes from x itself, so the weights differ
from image to image. A block keeps the shape: (N, C, H, W) -> (N, C, H, W).

Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018 (ChannelAttention).
Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV 2018 (SpatialAttention, CBAM).
Roy, Navab, Wachinger: "Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional Networks", MICCAI
2018 (SCSE).
"""

import torch
from torch import nn

from course_utils.files import CourseError


class ChannelAttention(nn.Module):
    """Weigh feature maps, x -> x * w(x): one weight between 0 and 1 for each map of each image.

    The mean of each map, 1x1 convolution to C // reduction numbers, ReLU, 1x1 convolution back to C, sigmoid. With
    r = C // reduction there are 2 * C * r + r + C parameters. Hu et al. call it squeeze and excitation, SE.

    Args:
        channels: C, how many maps there are.
        reduction: the two convolutions meet in C // reduction numbers, at least 1.
    """

    def __init__(self, channels, reduction=4):
        super().__init__()
        few = max(channels // reduction, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, few, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(few, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def weights(self, x):
        """One weight in (0, 1) for each map: (N, C, H, W) -> (N, C, 1, 1)."""
        return self.layers(x.mean(dim=(2, 3), keepdim=True))

    def forward(self, x):
        return x * self.weights(x)  # (N, C, H, W) x (N, C, 1, 1)


class SpatialAttention(nn.Module):
    """Weigh places, x -> x * w(x): one weight between 0 and 1 for each pixel of each image, the same for all maps.

    Mean and maximum over the maps, in this order, are two maps; a convolution makes one of them; sigmoid. There are
    2 * kernel * kernel weights and a bias, 99 parameters with the default. (The authors' own code has batch norm
    in place of the bias.)

    Args:
        kernel: the side of the convolution's kernel, odd; zeros stand around the maps.
    """

    def __init__(self, kernel=7):
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, kernel_size=kernel, padding=kernel // 2)

    def weights(self, x):
        """One weight in (0, 1) for each pixel: (N, C, H, W) -> (N, 1, H, W)."""
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)  # (N, 2, H, W)
        return torch.sigmoid(self.convolution(seen))

    def forward(self, x):
        return x * self.weights(x)  # (N, C, H, W) x (N, 1, H, W)


class CBAM(nn.Module):
    """Weigh feature maps by their mean and their maximum, then places: x -> (N, C, H, W), the shape of x.

    The weights of the maps are sigmoid(f(mean) + f(maximum)), where f, the same for both, is 1x1 convolution to
    C // reduction, ReLU, 1x1 convolution back to C. What comes out goes through SpatialAttention. With r = C //
    reduction there are 2 * C * r + r + C parameters, and those of SpatialAttention.

    Args:
        channels: C, how many maps there are.
        reduction: as for ChannelAttention.
        kernel: as for SpatialAttention.
    """

    def __init__(self, channels, reduction=4, kernel=7):
        super().__init__()
        few = max(channels // reduction, 1)
        self.shared = nn.Sequential(
            nn.Conv2d(channels, few, kernel_size=1), nn.ReLU(), nn.Conv2d(few, channels, kernel_size=1)
        )
        self.spatial = SpatialAttention(kernel)

    def weights(self, x):
        """One weight in (0, 1) for each map: (N, C, H, W) -> (N, C, 1, 1). (Those of the places: self.spatial.)"""
        mean, most = x.mean(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)  # each (N, C, 1, 1)
        return torch.sigmoid(self.shared(mean) + self.shared(most))

    def forward(self, x):
        return self.spatial(x * self.weights(x))


class SCSE(nn.Module):
    """Weigh feature maps and, beside it, places; add the two: x -> x * s(x) + ChannelAttention(x), the shape of x.

    s is a 1x1 convolution of all maps to one, and sigmoid: one weight in (0, 1) for each pixel. The paper adds the two
    results, as this class does; a later one (IEEE TMI 2019) compares other ways. There are C + 1 parameters more than
    in ChannelAttention.

    Args:
        channels: C, how many maps there are.
        reduction: as for ChannelAttention.
    """

    def __init__(self, channels, reduction=4):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.place = nn.Conv2d(channels, 1, kernel_size=1)

    def forward(self, x):
        return x * torch.sigmoid(self.place(x)) + self.channel(x)


# name -> what makes the block for so many maps
BLOCKS = {
    "SE": ChannelAttention,
    "spatial": lambda channels, reduction: SpatialAttention(),  # the same for any number of maps
    "CBAM": CBAM,
    "scSE": SCSE,
}


class AttentionDnCNN(nn.Module):
    """A DnCNN with attention: y -> R(y), both (N, C, H, W). The restored image is y - R(y).

    As DnCNN; behind each of the depth - 2 middle layers (convolution, batch norm, ReLU) stands an attention block.

    Args:
        channels: of the image, in and out: 3 for RGB, 1 for grey.
        depth: the number of 3x3 convolutions that a DnCNN has, at least 3.
        width: the number of feature maps between them.
        attention: "SE", "spatial", "CBAM" or "scSE"; None is a DnCNN.
        reduction: of the blocks.

    Attributes:
        receptive_radius: depth without attention; 3 more for each spatial block; None with the others, whose mean over
            the whole image makes every pixel depend on every other.

    Raises:
        CourseError: a depth below 3; an unknown attention.
    """

    def __init__(self, channels=3, depth=5, width=32, attention="SE", reduction=4):
        super().__init__()
        if depth < 3:
            raise CourseError(f"AttentionDnCNN needs a first, a middle and a last layer: depth={depth} is below 3")
        if attention is not None and attention not in BLOCKS:
            raise CourseError(f"attention={attention!r} is unknown; there are {', '.join(BLOCKS)} and None")
        self.config = {"channels": channels, "depth": depth, "width": width}
        self.config |= {"attention": attention, "reduction": reduction}  # by name: a file can hold that
        self.receptive_radius = {None: depth, "spatial": depth + 3 * (depth - 2)}.get(attention)
        layers = [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, kernel_size=3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            if attention is not None:
                layers.append(BLOCKS[attention](width, reduction))  # New: DnCNN has no such layer
        layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1))
        nn.init.zeros_(layers[-1].weight)  # R(y) = 0 to begin with, as in DnCNN
        nn.init.zeros_(layers[-1].bias)
        self.layers = nn.Sequential(*layers)

    def forward(self, y):
        return self.layers(y)  # (N, C, H, W)

    def restore(self, y):
        """The image without its predicted noise: (N, C, H, W) -> (N, C, H, W), not clipped."""
        return y - self(y)
