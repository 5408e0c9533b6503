"""ARCNN: the first convolutional network against the artifacts of JPEG.

Dong, Deng, Loy, Tang: "Compression Artifacts Reduction by a Deep Convolutional Network", ICCV 2015.
"""

from torch import nn

from course_utils.files import CourseError


class ARCNN(nn.Module):
    """Remove blocks and ringing from a JPEG image: y -> the restored image itself, both (N, C, H, W), not clipped.

    SRCNN with one layer more: 9x9 to 64 maps takes features, 7x7 to 32 cleans them, 1x1 to 16 maps them to those of a
    clean image, 5x5 puts the image together. Between them stands PReLU, which learns one slope for each map. Every
    layer keeps height and width. There are 117,843 parameters on three channels. On one there are 106,673: the 106,561
    weights and biases of the published layers (9x9, 7x7, 1x1, 5x5; 64, 32, 16, 1 maps), and 112 slopes of PReLU.

    Args:
        channels: of the image, in and out: 3 for colour, 1 for the Y of YCbCr, as in the paper.
        padding_mode: what lies beyond the border: "zeros", or "replicate", which repeats the outermost pixel. The
            authors' own weights were trained without padding and want "replicate".

    Raises:
        CourseError: another padding mode; in `forward`, an input that is not (N, channels, H, W).
    """

    def __init__(self, channels=3, padding_mode="zeros"):
        super().__init__()
        if padding_mode not in ("zeros", "replicate"):
            raise CourseError(f"padding_mode={padding_mode!r} is unknown to ARCNN; give 'zeros' or 'replicate'")
        self.config = {"channels": channels, "padding_mode": padding_mode}
        self.receptive_radius = 4 + 3 + 0 + 2  # half of each kernel: how far to each side a pixel looks
        extract = nn.Conv2d(channels, 64, kernel_size=9, padding=4, padding_mode=padding_mode)
        enhance = nn.Conv2d(64, 32, kernel_size=7, padding=3, padding_mode=padding_mode)  # New: SRCNN has no such layer
        mapping = nn.Conv2d(32, 16, kernel_size=1)
        reconstruct = nn.Conv2d(16, channels, kernel_size=5, padding=2, padding_mode=padding_mode)
        # As in SRCNN: the first maps of each layer, one for each channel, hand the image on, the others start as
        # PyTorch's. So the network gives its input to begin with, and training starts from the JPEG image.
        for convolution in (extract, enhance, mapping, reconstruct):
            nn.init.dirac_(convolution.weight.detach()[:channels])
            nn.init.zeros_(convolution.bias.detach()[:channels])
        self.layers = nn.Sequential(extract, nn.PReLU(64), enhance, nn.PReLU(32), mapping, nn.PReLU(16), reconstruct)

    def forward(self, y):
        channels = self.config["channels"]
        if y.ndim != 4 or y.shape[1] != channels:
            raise CourseError(f"ARCNN(channels={channels}) takes (N, {channels}, H, W), not {tuple(y.shape)}")
        return self.layers(y)  # (N, C, H, W)

    def restore(self, y):
        """The clean image: (N, C, H, W) -> (N, C, H, W), not clipped. The network gives it as it is."""
        return self(y)
