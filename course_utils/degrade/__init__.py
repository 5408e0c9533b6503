"""Degradations: callables `y = degradation(x, rng)` on float32 images (C, H, W) or (N, C, H, W) in [0, 1].

The effects of a scan take RGB, C = 3; JPEG, noise and low resolution take grey images, C = 1, as well.
"""

from course_utils.degrade.jpeg import Jpeg
from course_utils.degrade.noise import GaussianNoise
from course_utils.degrade.pipeline import RandomPipeline, random_scanner
from course_utils.degrade.pyramid import centre_crop, pyramid_reduce
from course_utils.degrade.resize import LowResolution, bicubic, crop_to_multiple, enlarge, low_resolution_pair, reduce
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
    "RandomPipeline",
    "Scan",
    "SensorNoise",
    "Texture",
    "bicubic",
    "centre_crop",
    "crop_to_multiple",
    "enlarge",
    "low_resolution_pair",
    "pyramid_reduce",
    "random_scanner",
    "reduce",
    "scanner",
]
