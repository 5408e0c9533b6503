"""JPEG compression: blocks, ringing and lost colour, as libjpeg's encoder makes them.

Each block of 8x8 pixels is taken apart into frequencies (DCT), and these are rounded, the finer the more coarsely. The
quality, 1 to 100, sets how coarsely. ITU-T T.81; the scale of qualities is that of the Independent JPEG Group.
"""

import io
import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from course_utils.degrade.noise import check_rng, limits
from course_utils.files import CourseError
from course_utils.images import check_image, to_array, to_tensor

SUBSAMPLINGS = ("4:4:4", "4:2:0")
# How coarsely each frequency of Y is rounded at quality 50: ITU-T T.81, table K.1. Rows go by the frequency down,
# columns by the frequency across; the number at the top left is that of the mean.
LUMA_TABLE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


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
    return np.asarray(Image.open(_file_of(array, quality, subsampling)))


def bits_per_pixel(image, quality, subsampling="4:2:0"):
    """The size of the JPEG file of an image, in bits for each of its pixels; the original has 8 a channel.

    Headers count, some 300 bytes for a grey image and 600 for a colour one: of a small image they are most of the file.

    Args:
        image: float (C, H, W) in [0, 1], C = 1 (grey) or 3 (RGB).
        quality: a whole number from 1 to 100.
        subsampling: "4:4:4" or "4:2:0", see `Jpeg`.

    Raises:
        CourseError: another quality or subsampling; not one float image in [0, 1] with 1 or 3 channels.
    """
    check_image(image, "the image to compress")
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise CourseError(f"bits_per_pixel takes one image, (1, H, W) or (3, H, W), not {tuple(image.shape)}")
    Jpeg(quality, subsampling)  # says what is wrong with them
    size = len(_file_of(to_array(image), quality, subsampling).getvalue())  # bytes
    return 8 * size / image[0].numel()


def _file_of(array, quality, subsampling):
    """uint8 (H, W, 1) or (H, W, 3) -> its JPEG file, in memory."""
    file = io.BytesIO()
    image = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    image.save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file


# --- What JPEG does to a grey image, step by step ---


def quantisation_table(quality):
    """How coarsely JPEG rounds each frequency of Y: whole numbers (8, 8), from 1 (finely) to 255.

    The table of ITU-T T.81, annex K, scaled as the Independent JPEG Group does in libjpeg: quality 50 is the table
    itself, 100 rounds to whole numbers, all arithmetic is of whole numbers. Equals the table in Pillow's files.

    Args:
        quality: a whole number from 1 (worst) to 100.

    Returns:
        int64 (8, 8), rows by the frequency down, columns by the frequency across.

    Raises:
        CourseError: another quality.
    """
    if quality not in range(1, 101):
        raise CourseError(f"quality={quality!r} is no quality of JPEG; give a whole number from 1 to 100")
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality  # in per cent
    return ((scale * LUMA_TABLE + 50) // 100).clamp(1, 255)


def dct_matrix():
    """The discrete cosine transform of 8 numbers as a matrix: float64 (8, 8), row k is the wave of frequency k.

    Row k at place x: sqrt(2/8) * cos((2x + 1) * k * pi / 16), row 0 divided by sqrt(2). The rows are orthonormal, so
    the transpose takes it back. ITU-T T.81, A.3.3, writes out what `D @ block @ D.T` gives.
    """
    k, x = torch.arange(8, dtype=torch.float64)[:, None], torch.arange(8, dtype=torch.float64)  # (8, 1), (8,)
    waves = math.sqrt(2 / 8) * torch.cos((2 * x + 1) * k * math.pi / 16)  # (8, 8)
    waves[0] /= math.sqrt(2)
    return waves


def to_blocks(y):
    """Cut an image into blocks of 8x8: (..., H, W) -> float64 (..., rows, columns, 8, 8).

    Where 8 does not divide height or width, the last row or column is repeated, as libjpeg does.
    """
    height, width = y.shape[-2:]
    batch = y.detach().double().reshape(-1, 1, height, width)
    padded = F.pad(batch, (0, -width % 8, 0, -height % 8), mode="replicate")
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)  # (N, 1, rows, columns, 8, 8)
    return blocks.reshape(*y.shape[:-2], *blocks.shape[2:])


def from_blocks(blocks, height, width):
    """Put the blocks together again: (..., rows, columns, 8, 8) -> float32 (..., height, width), cut to this size."""
    rows, columns = blocks.shape[-4:-2]
    image = blocks.transpose(-3, -2).reshape(*blocks.shape[:-4], 8 * rows, 8 * columns)
    return image[..., :height, :width].float()


def quantise_blocks(y, quality):
    """What JPEG does to a grey image: round the frequencies of each 8x8 block, the finer the more coarsely.

    All of JPEG that loses anything; the rest (zigzag and Huffman coding) packs the rounded numbers without loss. Close
    to `Jpeg(quality)`, which rounds the pixels as well and computes the DCT in whole numbers: on the embedded test
    photographs at quality 10, 99 % of the pixels are equal after rounding, and the PSNR agrees within 0.01 dB. Where a
    frequency lies halfway between two steps the two may round it apart, and that block differs by half a step.

    Args:
        y: float (1, H, W) or (N, 1, H, W) in [0, 1].
        quality: a whole number from 1 (worst) to 100.

    Returns:
        float32, the same shape, clipped to [0, 1] and not rounded.

    Raises:
        CourseError: another quality, more than one channel, not a float image in [0, 1].
    """
    check_grey(y)
    table, D = quantisation_table(quality), dct_matrix()  # (8, 8) both
    blocks = 255 * to_blocks(y) - 128  # (..., rows, columns, 8, 8), around 0
    frequencies = D @ blocks @ D.T
    frequencies = (frequencies / table).round() * table  # here, and only here, something is lost
    blocks = (D.T @ frequencies @ D + 128) / 255
    return from_blocks(blocks, *y.shape[-2:]).clamp(0, 1)


def check_grey(y):
    """Raise CourseError unless `y` is a float image in [0, 1] with one channel."""
    check_image(y, "the image to compress")
    if y.shape[-3] != 1:
        raise CourseError(f"the image to compress has the shape {tuple(y.shape)}; give Y alone, (1, H, W)")


def _is_whole(value):
    return isinstance(value, Integral) and not isinstance(value, bool)
