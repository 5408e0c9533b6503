"""Reduce and enlarge images: the bicubic low resolution that super-resolution is trained on and scored with.

Every figure of super-resolution stands on one way to resize, MATLAB's imresize: a cubic kernel (Keys, 1981, a = -0.5)
that is widened when it reduces, so that fine detail is averaged and not folded back (antialiasing). The functions here
equal it, but for the outermost pixels, where imresize mirrors the image. Other libraries' "bicubic" is another
degradation: with OpenCV's, Set5 x3 has 29.60 dB instead of 30.39.

The protocol of Set5 and Set14: Y of studio-range YCbCr in 8 bits, `quantise(luma(rgb))`; cropped to a multiple of the
scale; reduced and enlarged; rounded to 8 bits; PSNR with `border=scale`. On Set5 x2, x3 and x4 that gives 33.66, 30.39
and 28.42 dB, as published. The reduced image stays unrounded: rounding it as well costs 0.002 to 0.010 dB.
"""

from dataclasses import dataclass
from numbers import Integral

from torch.nn import functional as F

from course_utils.files import CourseError
from course_utils.images import check_image


def bicubic(image, size):
    """Resize bicubically with antialiasing, up or down, as MATLAB's imresize: to `size`, clipped to [0, 1].

    A result of a single column comes out wrong in PyTorch 2.11; `reduce` and `enlarge` find a way round that.

    Args:
        image: float (C, H, W) or (N, C, H, W) in [0, 1].
        size: (height, width) of the result.

    Returns:
        float (..., height, width).

    Raises:
        CourseError: not a float image in [0, 1].
    """
    check_image(image, "the image to resize")
    batch = image.reshape(-1, *image.shape[-3:])  # (N, C, H, W), as F.interpolate wants it
    # antialias=True also when enlarging: without it PyTorch takes another kernel, a = -0.75, and not MATLAB's.
    resized = F.interpolate(batch, size=size, mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp(0, 1).reshape(*image.shape[:-2], *size)


def reduce(image, scale):
    """Make an image smaller, bicubically and with antialiasing: a pixel of the result stands for scale x scale.

    Args:
        image: float (C, H, W) or (N, C, H, W) in [0, 1]; height and width are multiples of `scale`.
        scale: a whole number, 1 or more.

    Returns:
        float32 (..., H / scale, W / scale), clipped to [0, 1].

    Raises:
        CourseError: height or width is no multiple of the scale; another scale; not a float image in [0, 1].
    """
    check_image(image, "the image to reduce")
    _check_scale(scale)
    height, width = image.shape[-2:]
    if height % scale or width % scale:
        way_out = f"crop it first with crop_to_multiple(image, {scale})"
        raise CourseError(f"an image of {height}x{width} pixels cannot be reduced by {scale}; {way_out}")
    return _bicubic(image, (height // scale, width // scale))


def enlarge(image, scale):
    """Make an image larger, bicubically: each pixel becomes scale x scale.

    Args:
        image: float (C, H, W) or (N, C, H, W) in [0, 1].
        scale: a whole number, 1 or more.

    Returns:
        float32 (..., H * scale, W * scale), clipped to [0, 1].

    Raises:
        CourseError: another scale; not a float image in [0, 1].
    """
    check_image(image, "the image to enlarge")
    _check_scale(scale)
    height, width = image.shape[-2:]
    return _bicubic(image, (height * scale, width * scale))


def crop_to_multiple(image, scale):
    """Cut off the last rows and columns, fewer than `scale` of each, until `scale` divides height and width.

    Args:
        image: a tensor (..., H, W).
        scale: a whole number, 1 or more.

    Returns:
        the rest of the image, a view of it.

    Raises:
        CourseError: the image is smaller than `scale` in height or width; another scale.
    """
    _check_scale(scale)
    height, width = image.shape[-2:]
    if min(height, width) < scale:
        raise CourseError(f"an image of {height}x{width} pixels has no {scale}x{scale} to keep; give a larger image")
    return image[..., : height - height % scale, : width - width % scale]


def low_resolution_pair(image, scale):
    """Make a pair that super-resolution learns from: (degraded, clean), of one size; degraded has lost fine detail.

    What is clean is the image itself, but for the last rows and columns that the scale does not divide; what is
    degraded is reduced and enlarged by the kernel that everybody reports figures with (see the top of this module).

    Args:
        image: float (C, H, W) or (N, C, H, W) in [0, 1], sharp.
        scale: a whole number, 1 or more.

    Returns:
        (degraded, clean), both (..., H', W') in [0, 1], H' and W' the largest multiples of the scale in H and W.

    Raises:
        CourseError: another scale; an image smaller than the scale; not a float image in [0, 1].
    """
    clean = crop_to_multiple(image, scale)
    degraded = enlarge(reduce(clean, scale), scale)
    return degraded, clean


@dataclass(frozen=True)
class LowResolution:
    """Lose the fine detail and keep the size: `y = LowResolution(3)(x)` is `enlarge(reduce(x, 3), 3)`.

    What SRCNN takes in. Nothing here is drawn: `rng` may be given, as to any degradation, and is not used.

    Args:
        scale: a whole number, 1 or more; 1 changes nothing.

    Raises:
        CourseError: another scale; when called, as `reduce`.
    """

    scale: int = 3

    def __post_init__(self):
        _check_scale(self.scale)

    def __call__(self, x, rng=None):
        """x: float32 (C, H, W) or (N, C, H, W) in [0, 1] -> its low resolution, same shape, in [0, 1]."""
        return enlarge(reduce(x, self.scale), self.scale)


def _check_scale(scale):
    if not isinstance(scale, Integral) or isinstance(scale, bool) or scale < 1:
        raise CourseError(f"scale={scale!r} is not a whole number of at least 1, such as 2, 3 or 4")


def _bicubic(image, size):
    """(C, H, W) or (N, C, H, W) to the size (height, width), in float32, clipped to [0, 1]."""
    if size[1] == 1 < size[0]:  # PyTorch (2.11) repeats the first pixel of a result that is one column: turn it
        return _bicubic(image.mT, size[::-1]).mT
    return bicubic(image.detach().float(), size)
