"""Degradations drawn at random: which, how strong, in which order. And a scanner that nobody has seen.

A network that is trained on one degradation has learnt that one. To be ready for what it will meet outside, it is
trained on many: Zhang, Liang, Van Gool and Timofte, "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution" (BSRGAN), ICCV 2021, shuffle blur, downsampling and noise; Wang, Xie, Dong and Shan, "Real-ESRGAN"
(ICCV Workshops 2021), go through them twice. In robotics it is called domain randomisation (Tobin et al., IROS 2017).
"""

from dataclasses import fields

import numpy as np
import torch

from course_utils.degrade.noise import check_rng
from course_utils.degrade.scan import KNOWN_SCANNERS, SCANNERS, Scan
from course_utils.files import CourseError


class RandomPipeline:
    """Degrade an image by stages that are drawn anew for each image: `y = pipeline(x, rng)`.

    Args:
        stages: functions of an rng, each of which draws its strengths and returns a degradation, y = degradation(x,
            rng); for example `lambda rng: GaussianNoise(rng.uniform(2, 12))`. One of fixed strength is
            `lambda rng: degradation`. To go twice, as Real-ESRGAN does, give them twice: `stages + stages`.
        chance: how likely each stage is to take part, 0 to 1.
        shuffle: apply them in a random order, each order equally likely, instead of the one given.

    Raises:
        CourseError: no stages, or a chance that is not between 0 and 1.
    """

    def __init__(self, stages, chance=1.0, shuffle=False):
        if len(stages) == 0 or not 0 <= chance <= 1:
            raise CourseError(f"{len(stages)} stages, chance={chance}: give at least one stage, and a chance of 0 to 1")
        self.stages, self.chance, self.shuffle = list(stages), chance, shuffle

    def draw(self, rng):
        """The degradations of one image, in the order in which they are applied: a list, which may be empty."""
        drawn = [stage(rng) for stage in self.stages if rng.random() < self.chance]
        if self.shuffle:
            drawn = [drawn[i] for i in rng.permutation(len(drawn))]
        return drawn

    def __call__(self, x, rng):
        """x: float (C, H, W) -> y, as the last degradation gives it; in a batch (N, C, H, W) each image draws anew."""
        if x.dim() == 4:
            return torch.stack([self(image, rng) for image in x])
        for degradation in self.draw(rng):
            x = degradation(x, rng)
        return x


def random_scanner(rng, backs=(), widen=0.5):
    """A scanner that does not exist: each of its settings is drawn evenly from around those of the known ones.

    The rule knows nothing of the scanner that no training sees: for every setting (period of the halftone, dot gain,
    fading, saturation, gamma, noise, dust, ...) take the smallest and the largest value that a scanner of
    KNOWN_SCANNERS has, and widen this span on each side by `widen` times its length. No setting goes below 0. The
    three factors of a colour cast share one span, since nothing says which colour another lamp lacks, and none goes
    above 1: no scanner overexposes bare paper.

    Args:
        rng: a np.random.Generator; the same state gives the same scanner.
        backs: tensors (3, H, W), see BleedThrough.
        widen: 0 stays between the known scanners.

    Returns:
        A Scan: `y = random_scanner(rng)(x, rng)`.
    """
    check_rng(rng)
    known = zip(*(SCANNERS[name].effects for name in KNOWN_SCANNERS), strict=True)  # effect by effect
    return Scan(tuple(_between(effects, rng, widen) for effects in known)).with_backs(backs)


def _between(effects, rng, widen):
    """An effect whose settings are drawn from around those of some effects of its kind."""
    drawn = {}
    for name in (field.name for field in fields(effects[0]) if field.name != "backs"):
        values = np.array([getattr(effect, name) for effect in effects])  # (scanners,); of a cast (scanners, 3)
        low, high = values.min(), values.max()
        room = widen * (high - low)
        value = rng.uniform(
            max(low - room, 0), min(high + room, 1) if name == "cast" else high + room, values.shape[1:]
        )
        drawn[name] = tuple(value.tolist()) if values.ndim == 2 else float(value)
    return type(effects[0])(**drawn)
