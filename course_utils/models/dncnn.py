"""DnCNN: a denoiser that predicts the noise instead of the image.

Zhang, Zuo, Chen, Meng, Zhang: "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising",
IEEE Transactions on Image Processing 26(7), 2017.
"""

from torch import nn

from course_utils.files import CourseError


class DnCNN(nn.Module):
    """Predict the noise in an image: y -> R(y), both (N, C, H, W). The restored image is y - R(y).

    A 3x3 convolution and ReLU, then (depth - 2) times 3x3 convolution, batch norm and ReLU, then a last 3x3
    convolution. Every layer keeps height and width. With the defaults there are 559,363 parameters.

    Args:
        channels: of the image, in and out: 3 for RGB, 1 for grey.
        depth: the number of convolutions, at least 3.
        width: the number of feature maps between them.
        batch_norm: whether the middle layers normalise.

    Raises:
        CourseError: a depth below 3; in `forward`, an input that is not (N, channels, H, W).
    """

    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        if depth < 3:
            raise CourseError(f"DnCNN needs a first, a middle and a last layer: depth={depth} is below 3")
        self.config = {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}
        self.receptive_radius = depth  # each 3x3 convolution sees one pixel further: a pixel depends on 17 to each side
        layers = [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, kernel_size=3, padding=1))
            if batch_norm:
                # PyTorch's momentum is the share of the *new* batch: what other frameworks call 0.9 is 0.1 here.
                layers.append(nn.BatchNorm2d(width, momentum=0.1))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Conv2d(width, channels, kernel_size=3, padding=1))  # no ReLU: noise has both signs
        nn.init.zeros_(layers[-1].weight)  # R(y) = 0 to begin with: training starts from the degraded image ...
        nn.init.zeros_(layers[-1].bias)  # ... and not from a worse one, which saves hundreds of steps
        self.layers = nn.Sequential(*layers)

    def forward(self, y):
        channels = self.config["channels"]
        if y.ndim != 4 or y.shape[1] != channels:
            raise CourseError(f"DnCNN(channels={channels}) takes (N, {channels}, H, W), not {tuple(y.shape)}")
        return self.layers(y)  # (N, C, H, W)

    def restore(self, y):
        """The image without its predicted noise: (N, C, H, W) -> (N, C, H, W), not clipped."""
        return y - self(y)
