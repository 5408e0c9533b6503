"""Small portraits: the middle of an image, and a level of its Gaussian pyramid.

Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code", IEEE Transactions on Communications 31(4), 1983: blur
and keep every second pixel, again and again. A pyramid's low resolution is another one than `resize.reduce` gives.
"""

from torch.nn import functional as F

from course_utils.files import CourseError
from course_utils.images import check_image


def centre_crop(image, size):
    """The middle of an image: (..., H, W) -> (..., size, size).

    What is cut off is shared by both sides. Where it cannot be, one row more goes at the bottom, one column more at
    the right: of 5 pixels the middle 2 are those with the numbers 1 and 2.

    Args:
        image: a tensor (..., H, W), at least `size` high and wide.
        size: the side of the result in pixels, a whole number from 1.

    Returns:
        a view of the image.

    Raises:
        CourseError: the image is too small, or a size below 1.
    """
    height, width = image.shape[-2:]
    if not 1 <= size <= min(height, width):
        raise CourseError(f"an image of {height}x{width} pixels has no middle {size}x{size}; choose another size")
    top, left = (height - size) // 2, (width - size) // 2
    return image[..., top : top + size, left : left + size]


def pyramid_reduce(image, levels=1):
    """Halve an image `levels` times: blur it with [1 4 6 4 1] / 16 down and across, then keep every second pixel.

    Beyond its border the image is mirrored, the outermost pixel itself not repeated (reflect). The first row and
    column are kept, then the third and so on: 5 pixels become 3. OpenCV's `pyrDown` does the same.

    Args:
        image: float (C, H, W) or (N, C, H, W) in [0, 1].
        levels: how often, a whole number from 0; 2 makes 44x44 of 176x176.

    Returns:
        float (..., h, w) in [0, 1]; each level makes h of 2h pixels, and of 2h - 1.

    Raises:
        CourseError: an image that is not float in [0, 1], or has fewer than 3 pixels to mirror; other levels.
    """
    check_image(image, "the image to reduce")
    if levels not in range(32):
        raise CourseError(f"levels={levels!r} is not how often to halve an image; give a whole number from 0")
    for _ in range(levels):
        height, width = image.shape[-2:]
        if min(height, width) < 3:
            raise CourseError(f"{height}x{width} pixels are too few to halve: the border is mirrored over 2 neighbours")
        image = F.pad(image, (2, 2, 2, 2), mode="reflect")  # (..., H + 4, W + 4)
        image = sum(weight / 16 * image[..., k : k + height, :] for k, weight in enumerate((1, 4, 6, 4, 1)))
        image = sum(weight / 16 * image[..., k : k + width] for k, weight in enumerate((1, 4, 6, 4, 1)))
        image = image[..., ::2, ::2]
    return image
