"""Degradations: callables `y = degradation(x, rng)` on float32 images (3, H, W) or (N, 3, H, W) in [0, 1]."""

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
    "Halftone",
    "Scan",
    "SensorNoise",
    "Texture",
    "scanner",
]
