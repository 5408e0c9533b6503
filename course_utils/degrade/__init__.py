"""Degradations: callables `y = degradation(x, rng)` on float32 images (C, H, W) or (N, C, H, W) in [0, 1].

The effects of a scan take RGB, C = 3; JPEG, noise and low resolution take grey images, C = 1, as well.
"""

from course_utils.degrade.jpeg import Jpeg
from course_utils.degrade.noise import GaussianNoise
from course_utils.degrade.resize import LowResolution, crop_to_multiple, enlarge, reduce
from course_utils.degrade.scan import (
    KNOWN_SCANNERS,
    SCANNERS,
    UNSEEN_SCANNER,
    BleedThrough,
    ColourTransition,
    Dust,
    Halftone,
    Scan,
    SensorNoise,
    Texture,
    scanner,
)

__all__ = [
    "KNOWN_SCANNERS",
    "SCANNERS",
    "UNSEEN_SCANNER",
    "BleedThrough",
    "ColourTransition",
    "Dust",
    "GaussianNoise",
    "Halftone",
    "Jpeg",
    "LowResolution",
    "Scan",
    "SensorNoise",
    "Texture",
    "crop_to_multiple",
    "enlarge",
    "reduce",
    "scanner",
]
