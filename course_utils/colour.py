"""Colour as JPEG, television and super-resolution see it: Y, the light, and Cb and Cr, the colour.

ITU-R BT.601: Y weighs red, green and blue as the eye does; Cb and Cr are blue - Y and red - Y, scaled, and 128 where
there is no colour. Two ranges are in use. *Studio* range leaves room at both ends: Y in 16 to 235, Cb and Cr in 16 to
240 (television, MATLAB's rgb2ycbcr, the figures of super-resolution). *Full* range uses all of 0 to 255 (JPEG files:
ITU-T T.871).
"""

import torch

from course_utils.files import CourseError
from course_utils.images import check_image


def rgb_to_ycbcr(rgb, full_range=False):
    """RGB to YCbCr of ITU-R BT.601: float (..., 3, H, W) in [0, 1] -> the same shape, Y, Cb and Cr in this order.

    Args:
        rgb: float (3, H, W) or (N, 3, H, W) in [0, 1].
        full_range: all of [0, 1], as in JPEG files; else studio range: Y in [16, 235] / 255, Cb, Cr in [16, 240] / 255.

    Raises:
        CourseError: not 3 channels, or not a float image in [0, 1].
    """
    check_colour(rgb, "the RGB image")
    red, green, blue = rgb.unbind(dim=-3)  # each (..., H, W)
    y = 0.299 * red + 0.587 * green + 0.114 * blue  # 0 to 1
    cb, cr = (blue - y) / 1.772, (red - y) / 1.402  # -0.5 to 0.5
    if full_range:
        return torch.stack([y, 128 / 255 + cb, 128 / 255 + cr], dim=-3).clamp(0, 1)
    return torch.stack([16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr], dim=-3) / 255


def ycbcr_to_rgb(ycbcr, full_range=False):
    """YCbCr of ITU-R BT.601 back to RGB: float (..., 3, H, W) -> the same shape, clipped to [0, 1].

    Args:
        ycbcr: float (3, H, W) or (N, 3, H, W) in [0, 1]: Y, Cb and Cr.
        full_range: as it was made, see `rgb_to_ycbcr`. Not every YCbCr is a colour: what has none is clipped.

    Raises:
        CourseError: not 3 channels, or not a float image in [0, 1].
    """
    check_colour(ycbcr, "the YCbCr image")
    y, cb, cr = ycbcr.unbind(dim=-3)  # each (..., H, W)
    if full_range:
        cb, cr = cb - 128 / 255, cr - 128 / 255
    else:
        y, cb, cr = (255 * y - 16) / 219, (255 * cb - 128) / 224, (255 * cr - 128) / 224
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], dim=-3).clamp(0, 1)


def check_colour(image, name):
    """Raise CourseError unless `image` is a float image in [0, 1] with three channels."""
    check_image(image, name)
    if image.shape[-3] != 3:
        raise CourseError(f"{name} has the shape {tuple(image.shape)}; it needs 3 channels, (3, H, W) or (N, 3, H, W)")


def merge_luma(y, rgb):
    """Give a colour image a new Y, for example a restored one: its Cb and Cr stay. Returns RGB, clipped to [0, 1].

    Super-resolution restores Y alone: the eye sees fine detail in Y, and hardly in Cb and Cr, which stay as bicubic
    enlargement leaves them.

    Args:
        y: float (1, H, W) or (N, 1, H, W), the new Y, studio range: black is 16/255 and white 235/255.
        rgb: float (3, H, W) or (N, 3, H, W) in [0, 1], the image that the colours come from.

    Raises:
        CourseError: two sizes, or another number of channels; not a float image in [0, 1].
    """
    ycbcr = rgb_to_ycbcr(rgb)  # (..., 3, H, W)
    if y.shape != ycbcr[..., :1, :, :].shape:
        sizes = f"Y has the shape {tuple(y.shape)}, the colour image {tuple(rgb.shape)}"
        raise CourseError(f"{sizes}; give one channel of Y, in the height and width of the colour image")
    return ycbcr_to_rgb(torch.cat([y, ycbcr[..., 1:, :, :]], dim=-3))
