"""ESPCN: super-resolution that works in low resolution and enlarges in its last step.

Shi, Caballero, Huszar, Totz, Aitken, Bishop, Rueckert, Wang: "Real-Time Single Image and Video Super-Resolution Using
an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016 (arXiv 1609.05158).
"""

from torch import nn

from course_utils.files import CourseError


def pixel_shuffle(features, scale):
    """Deal the channels out as sub-pixels: (N, C * scale², H, W) -> (N, C, scale * H, scale * W).

    Result channel c is made of the channels c * scale² ... (c + 1) * scale² - 1. The first of them holds the top left
    pixel of each scale x scale block, the next one its neighbour on the right, and so on, row by row. The same as
    nn.PixelShuffle. (TensorFlow's depth_to_space orders the channels otherwise: sub-pixel first, colour last.)

    Args:
        features: (N, C * scale², H, W).
        scale: r, a whole number from 1.

    Raises:
        CourseError: not four dimensions, or channels that are no multiple of scale².
    """
    if features.ndim != 4 or features.shape[1] % scale**2:
        raise CourseError(f"pixel_shuffle by {scale} takes (N, C * {scale**2}, H, W), not {tuple(features.shape)}")
    n, channels, height, width = features.shape
    channels = channels // scale**2
    blocks = features.reshape(n, channels, scale, scale, height, width)  # (N, C, row in block, column in block, H, W)
    rows = blocks.permute(0, 1, 4, 2, 5, 3)  # (N, C, H, row in block, W, column in block)
    return rows.reshape(n, channels, height * scale, width * scale)


def nearest_start(convolutions, channels):
    """Let a stack of convolutions begin as an enlargement that repeats each pixel (nearest neighbour), in place.

    The first `channels` maps of each layer hand the image on, one map for each colour; the others stay as they are.
    In the last layer every sub-pixel of a colour starts as a copy of that colour's map: kernels that are equal for all
    sub-pixels begin without a checkerboard (Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017).

    Args:
        convolutions: a list of nn.Conv2d, first to last; the last one has C * scale² maps for a pixel shuffle.
        channels: C, of the image; no layer between may have fewer maps.
    """
    *others, last = convolutions
    for convolution in others:
        nn.init.dirac_(convolution.weight.detach()[:channels])
        nn.init.zeros_(convolution.bias.detach()[:channels])
    sub_pixels = last.out_channels // channels  # scale²
    for i in range(sub_pixels):
        nn.init.dirac_(last.weight.detach()[i::sub_pixels])  # sub-pixel i of every colour
    nn.init.zeros_(last.bias)


class ESPCN(nn.Module):
    """Enlarge an image: y -> the large image itself, (N, C, H, W) -> (N, C, scale * H, scale * W), not clipped.

    Five convolutions on the small image, 5x5 to 64 maps, then 3x3 to 64, 32, 16 and C * scale², with ReLU between; the
    maps of the last one are the sub-pixels of the large image, and a pixel shuffle deals them out. With the defaults
    there are 71,840 parameters. These are the layers of a student project that enlarged portraits; the paper has three
    layers, 5x5 to 64, 3x3 to 32 and 3x3 to C * scale², and its final model tanh in place of ReLU.

    Args:
        scale: how many times higher and wider the result is, a whole number from 1.
        channels: of the image, in and out: 3 for colour; at most 16.

    Raises:
        CourseError: another scale, other channels; in `forward`, an input that is not (N, channels, H, W).
    """

    def __init__(self, scale=4, channels=3):
        super().__init__()
        if not isinstance(scale, int) or scale < 1 or not 1 <= channels <= 16:
            raise CourseError(f"ESPCN(scale={scale!r}, channels={channels!r}): give a scale from 1, channels 1 to 16")
        self.config = {"scale": scale, "channels": channels}
        self.scale = scale  # restore and fit ask: the answer is so many times higher and wider
        self.receptive_radius = 2 + 1 + 1 + 1 + 1  # half of each kernel, in pixels of the small image
        maps, kernels = (channels, 64, 64, 32, 16, channels * scale**2), (5, 3, 3, 3, 3)
        convolutions = [nn.Conv2d(maps[i], maps[i + 1], kernels[i], padding=kernels[i] // 2) for i in range(5)]
        nearest_start(convolutions, channels)  # training starts from an image, not from grey
        layers = []
        for convolution in convolutions:
            layers += [convolution, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1], nn.PixelShuffle(scale))  # no ReLU at the end

    def forward(self, y):
        channels = self.config["channels"]
        if y.ndim != 4 or y.shape[1] != channels:
            raise CourseError(f"ESPCN(channels={channels}) takes (N, {channels}, H, W), not {tuple(y.shape)}")
        return self.layers(y)  # (N, C, scale * H, scale * W)

    def restore(self, y):
        """The large image: (N, C, H, W) -> (N, C, scale * H, scale * W), not clipped. The network gives it as it is."""
        return self(y)
