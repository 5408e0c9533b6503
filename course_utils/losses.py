"""What training makes small. A loss has the signature (output, degraded, clean) and gives one float32 number.

All three are (N, C, H, W). (`total_variation` and `perceptual_loss` are parts of such losses, of images alone.) Sums
over a whole batch overflow 16 bits, so each loss is taken in float32 whatever the precision of the network.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.features import features_at, imagenet_normalised


def residual_loss(predicted_noise, degraded, clean):
    """1/(2N) * sum ||R(y) - (y - x)||^2 over the N images of a batch: for networks that predict the noise.

    Zhang et al., "Beyond a Gaussian Denoiser", IEEE TIP 2017, equation 1.

    Args:
        predicted_noise: R(y), what the network makes of the degraded image, (N, C, H, W).
        degraded: y, (N, C, H, W) in [0, 1].
        clean: x, (N, C, H, W) in [0, 1].

    Returns:
        a scalar tensor, float32. It grows with the patch: it is a sum over pixels and a mean over images.
    """
    noise = degraded.float() - clean.float()  # y - x, (N, C, H, W)
    return (predicted_noise.float() - noise).square().sum() / (2 * len(clean))


def mse_loss(restored, degraded, clean):
    """Mean squared error of the restored image, over all its values: for networks that give the image itself.

    Args:
        restored: what the network makes of the degraded image, (N, C, H, W).
        degraded: (N, C, H, W) in [0, 1]; not needed here, but every loss is called in the same way.
        clean: (N, C, H, W) in [0, 1].

    Returns:
        a scalar tensor, float32.
    """
    return F.mse_loss(restored.float(), clean.float())


def total_variation(images):
    """The mean absolute difference of neighbouring pixels, down plus across: how rough images are, whatever they show.

    The anisotropic total variation of Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms",
    Physica D 1992, but a mean over pixels, channels and images where they have a sum: it does not grow with the patch.

    Args:
        images: float (N, C, H, W), at least 2 pixels high and wide.

    Returns:
        a scalar tensor, float32: 0 for even images.
    """
    images = images.float()
    down, across = images.diff(dim=-2), images.diff(dim=-1)  # (N, C, H - 1, W), (N, C, H, W - 1)
    return down.abs().mean() + across.abs().mean()


def perceptual_loss(network, restored, clean, layers):
    """How far apart two batches of images are by their features: mean absolute differences, a mean over the layers.

    Johnson, Alahi, Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016, compare
    the features of VGG; theirs are squared differences, absolute ones weigh large errors less.

    Args:
        network: a frozen feature network, nn.Sequential with named layers, see course_utils.features.
        restored: images, not residuals: (N, 3, H, W), about [0, 1]. Gradients reach them.
        clean: (N, 3, H, W) in [0, 1]. No gradients are kept for it.
        layers: the names of the layers to compare.

    Returns:
        a scalar tensor, float32.
    """
    found = features_at(network, imagenet_normalised(restored.float()), layers)
    with torch.no_grad():
        wanted = features_at(network, imagenet_normalised(clean.float()), layers)
    distances = [(found[name] - wanted[name]).abs().mean() for name in layers]
    return sum(distances) / len(distances)


class L1Perceptual(nn.Module):
    """L1 + weight * perceptual loss of the restored image y - R(y): for networks that predict the noise.

    A module, so that a training takes the feature network to its device; what it learns is not changed.

    Args:
        network: a frozen feature network, see course_utils.features.
        weight: of the perceptual loss; L1, the mean absolute error of the pixels, has the weight 1.
        layers: the names of the layers to compare.
    """

    def __init__(self, network, weight=0.1, layers=("relu1_2", "relu2_2", "relu3_1")):
        super().__init__()
        self.network, self.weight, self.layers = network, weight, layers

    def forward(self, predicted_noise, degraded, clean):
        """R(y), y and x, each (N, 3, H, W) -> a scalar tensor, float32."""
        restored = degraded.float() - predicted_noise.float()  # an image: features of R(y) itself would mean nothing
        pixels = (restored - clean.float()).abs().mean()
        return pixels + self.weight * perceptual_loss(self.network, restored, clean, self.layers)
