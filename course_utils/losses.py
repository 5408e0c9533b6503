"""What training makes small. Every loss has the signature (output, degraded, clean) and gives one float32 number.

All three are (N, C, H, W). Sums over a whole batch overflow 16 bits, so each loss is taken in float32 whatever the
precision of the network.
"""

from torch.nn import functional as F


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
