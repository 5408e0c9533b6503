"""Gaussian noise of a known strength: what denoisers are trained against and compared on.

Each pixel of each channel gets its own draw, whatever its value. What a camera adds depends on the light: see
`SensorNoise` for that.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch

from course_utils.files import CourseError
from course_utils.images import check_image


def check_rng(rng):
    """Raise CourseError unless `rng` is a `numpy.random.Generator`, where all randomness comes from."""
    if not isinstance(rng, np.random.Generator):
        made = "make one with numpy.random.default_rng(seed)"
        raise CourseError(f"rng must be a numpy.random.Generator, not {type(rng).__name__}; {made}")


def limits(setting):
    """(low, high) of a setting that is one value or a pair (low, high)."""
    return tuple(setting) if isinstance(setting, tuple | list) and len(setting) == 2 else (setting, setting)


@dataclass(frozen=True)
class GaussianNoise:
    """Add white Gaussian noise: `y = GaussianNoise(25)(x, rng)`.

    The literature adds noise to the 8-bit image and leaves what passes 0 and 255 as it is, `clip=False`; so do the
    published figures of Set12. An image file, a camera and the functions of this kit know no such values: the default
    is to clip. That is a kinder noise: on Set12 the PSNR of the noisy images rises from 24.61 to 24.67 dB at sigma 15,
    from 20.16 to 20.33 at 25 and from 14.15 to 14.76 at 50. So say which of the two a figure is about.

    Args:
        sigma: standard deviation in grey levels, 0 to 255; or a pair (low, high): each image draws its own between
            them, as a denoiser for unknown noise is trained (Zhang et al., DnCNN-B: 0 to 55).
        clip: whether values are cut to [0, 1].

    Raises:
        CourseError: a sigma outside 0 to 255, a pair that is not (low, high); when called, not a float image in [0, 1],
            or an rng that is not a `numpy.random.Generator`.
    """

    sigma: float | tuple = 25
    clip: bool = True

    def __post_init__(self):
        low, high = limits(self.sigma)
        if not (_is_number(low) and _is_number(high) and 0 <= low <= high <= 255):
            wanted = "give grey levels from 0 to 255, or a pair (low, high) of them"
            raise CourseError(f"sigma={self.sigma!r} is no strength of noise; {wanted}")

    def __call__(self, x, rng):
        """x: float32 (C, H, W) or (N, C, H, W) in [0, 1] -> the noisy image, same shape; in [0, 1] if clipped.

        A batch gives what its images would give one after the other with the same rng.
        """
        check_image(x, "the image to degrade")
        check_rng(rng)
        if x.ndim == 4:
            return torch.stack([self(image, rng) for image in x])
        low, high = limits(self.sigma)
        sigma = rng.uniform(low, high) if low < high else low
        noise = torch.from_numpy(rng.standard_normal(tuple(x.shape), dtype=np.float32)).to(x.device)  # (C, H, W)
        y = x.detach().float() + noise * (sigma / 255)
        return y.clamp(0, 1) if self.clip else y


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)
