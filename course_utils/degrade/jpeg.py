"""JPEG compression: blocks, ringing and lost colour, as libjpeg's encoder makes them.

Each block of 8x8 pixels is taken apart into frequencies (DCT), and these are rounded, the finer the more coarsely. The
quality, 1 to 100, sets how coarsely. ITU-T T.81; the scale of qualities is that of the Independent JPEG Group.
"""

import io
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from PIL import Image

from course_utils.degrade.noise import check_rng, limits
from course_utils.files import CourseError
from course_utils.images import check_image, to_array, to_tensor

SUBSAMPLINGS = ("4:4:4", "4:2:0")


@dataclass(frozen=True)
class Jpeg:
    """Compress and decompress: `y = Jpeg(10)(x, rng)`.

    A colour image is compressed as YCbCr, as JPEG files are. With 4:2:0 both colour planes are halved in height and
    width: on the Kodak photographs at quality 90 that costs 1.1 dB of PSNR in RGB (38.98 to 37.87) and next to nothing
    in Y (41.54 to 41.52). A grey image has no colour to halve. On the grey images of Classic5, quality 10, 20 and 40
    give 27.82, 30.12 and 32.43 dB, which are the published figures.

    Args:
        quality: 1 (worst) to 100, a whole number; or a pair (low, high): each image draws its own between them, both
            included.
        subsampling: "4:4:4" (full colour) or "4:2:0" (a quarter of it, what most files have).

    Raises:
        CourseError: any other quality or subsampling; when called, not a float image in [0, 1] with 1 or 3 channels, or
            no `numpy.random.Generator` to draw a quality from.
    """

    quality: int | tuple = 10
    subsampling: str = "4:2:0"

    def __post_init__(self):
        low, high = limits(self.quality)
        if not (_is_whole(low) and _is_whole(high) and 1 <= low <= high <= 100):
            wanted = "give a whole number from 1 to 100, or a pair (low, high) of them"
            raise CourseError(f"quality={self.quality!r} is no quality of JPEG; {wanted}")
        if self.subsampling not in SUBSAMPLINGS:
            raise CourseError(f"subsampling={self.subsampling!r} is unknown; give {' or '.join(SUBSAMPLINGS)}")

    def __call__(self, x, rng=None):
        """x: float32 (C, H, W) or (N, C, H, W) in [0, 1], C = 1 (grey) or 3 (RGB) -> the same shape, of 256 levels.

        `rng` is needed only where a quality is drawn. A batch gives what its images would give one after the other with
        the same rng.
        """
        check_image(x, "the image to compress")
        if x.shape[-3] not in (1, 3):
            raise CourseError(f"JPEG takes 1 channel (grey) or 3 (RGB), not the shape {tuple(x.shape)}")
        low, high = limits(self.quality)
        if low < high:
            check_rng(rng)
        if x.ndim == 4:
            return torch.stack([self(image, rng) for image in x])
        quality = rng.integers(low, high, endpoint=True) if low < high else low
        return to_tensor(compress(to_array(x), int(quality), self.subsampling)).to(x.device)


def compress(array, quality, subsampling):
    """uint8 (H, W, 1) or (H, W, 3) -> the same after JPEG, uint8 (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)
