"""Augmentation: more to learn from without new images. Windows, turns, CutBlur, mixup; and turns when restoring.

Training data are only a sample of what a network will meet. Each function here makes a new pair of images of a known
one, drawn anew each time, such that the clean image is still the right answer for the degraded one. All chance comes
from `rng`, a `numpy.random.Generator`: the same state gives the same pair.
"""

import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.files import CourseError


def paired_crop(degraded, clean, size, rng, scale=1):
    """Cut the same random window from both images; the clean one may be `scale` times as high and wide.

    Args:
        degraded: a tensor (C, H, W).
        clean: a tensor (C, scale * H, scale * W).
        size: the side of the window in the degraded image, in pixels.
        rng: a np.random.Generator; the same state gives the same window.
        scale: a whole number; in the clean image the window is `scale` times as large, and stands `scale` times as far
            from the top and from the left.

    Returns:
        (degraded, clean): (C, size, size) and (C, scale * size, scale * size), views of the images.

    Raises:
        CourseError: the clean image has another size, or the window does not fit.
    """
    height, width = degraded.shape[-2:]
    if tuple(clean.shape[-2:]) != (scale * height, scale * width):
        sizes = f"the clean image is {tuple(clean.shape)} and the degraded one {tuple(degraded.shape)}"
        raise CourseError(f"{sizes}; with scale={scale} it is {scale * height} high and {scale * width} wide")
    if not 1 <= size <= min(height, width):
        raise CourseError(f"a window of {size} x {size} does not fit an image of {height} x {width}; change the size")
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))  # the last ones included
    window = degraded[..., top : top + size, left : left + size]
    top, left, size = scale * top, scale * left, scale * size
    return window, clean[..., top : top + size, left : left + size]


def turn_pair(degraded, clean, rng):
    """Turn and mirror both images in the same one of the eight ways, each of them equally likely.

    Args:
        degraded, clean: tensors (..., H, W); of two sizes too, as for a network that enlarges.
        rng: a np.random.Generator.

    Returns:
        (degraded, clean), each (..., H, W) or, after an odd number of quarter turns, (..., W, H).
    """
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))  # drawn once, used for both
    images = [torch.rot90(image, turns, dims=(-2, -1)) for image in (degraded, clean)]
    if mirrored:
        images = [image.flip(-1) for image in images]
    return images[0], images[1]


def cutblur(degraded, clean, rng, share=0.7):
    """Paste a rectangle of the clean image into the degraded one, or the other way round; the target stays clean.

    A network that learns from such pairs has to find out *where* there is something to restore, and how much. Yoo, Ahn
    and Sohn, "Rethinking Data Augmentation for Image Super-resolution", CVPR 2020; the name comes from blur, which
    here may be any degradation.

    Args:
        degraded, clean: tensors (..., H, W) of one shape; both stay as they are.
        rng: a np.random.Generator: draws where the rectangle is, and, evenly, which of the two images it is cut from.
        share: the sides of the rectangle as a share of the image's sides, 0 to 1: with the paper's 0.7 it covers half.

    Returns:
        (mixed, clean), each of the shape of the images.

    Raises:
        CourseError: two shapes, or a share that is not between 0 and 1.
    """
    if degraded.shape != clean.shape:
        sizes = f"the degraded image is {tuple(degraded.shape)} and the clean one {tuple(clean.shape)}"
        raise CourseError(f"{sizes}; a pixel is taken from the one or the other, so enlarge the degraded one first")
    if not 0 <= share <= 1:
        raise CourseError(f"share={share} is no part of the side of an image; give a number from 0 to 1")
    height, width = (round(share * side) for side in degraded.shape[-2:])
    top = int(rng.integers(degraded.shape[-2] - height + 1))
    left = int(rng.integers(degraded.shape[-1] - width + 1))
    inside, outside = (clean, degraded) if rng.integers(2) else (degraded, clean)
    mixed = outside.clone()  # the image itself may be needed again
    mixed[..., top : top + height, left : left + width] = inside[..., top : top + height, left : left + width]
    return mixed, clean


def mixup(pair, other, rng, alpha=1.2):
    """Lay one pair over another, both images with the same weights: (weight * one + (1 - weight) * other) of each.

    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018; alpha as Yoo and others
    took it for images.

    Args:
        pair, other: (degraded, clean), tensors of one shape.
        rng: a np.random.Generator.
        alpha: the weight is drawn from the beta distribution (alpha, alpha): at 1 evenly between 0 and 1, above 1 more
            often near a half.

    Returns:
        (degraded, clean), of the same shapes.
    """
    weight = float(rng.beta(alpha, alpha))
    degraded, clean = (weight * one + (1 - weight) * two for one, two in zip(pair, other, strict=True))
    return degraded, clean


class Augmented(Dataset):
    """Pairs, augmented anew each time: `ds[i]` is augment(degraded, clean, rng) of a pair that is drawn from `pairs`.

    Sample i depends on the seed and on i alone, so a training can stop anywhere and go on exactly where it was. There
    are as many samples as anybody asks for; `len` is the number of pairs.

    Args:
        pairs: a list of (degraded, clean), float tensors (C, H, W) in [0, 1]; or anything else with a length and
            numbered places, such as a data.PairedImages (which reads its files each time: make a list of it first).
        augment: (degraded, clean, rng) -> (degraded, clean), for example a function that calls `paired_crop` and then
            `turn_pair`. All samples of a batch have to be of one size.
        seed: a whole number, 0 or more.

    Raises:
        CourseError: no pairs, or a seed below 0; in `ds[i]`, an i below 0.
    """

    def __init__(self, pairs, augment, seed=0):
        if len(pairs) == 0:
            raise CourseError("there are no pairs to augment; give at least one")
        if seed < 0:
            raise CourseError(f"a seed is a whole number from 0, not {seed}")
        self.pairs, self.augment, self.seed = pairs, augment, seed

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        if i < 0:
            raise CourseError(f"samples are counted from 0, not {i}")
        rng = np.random.default_rng([2, self.seed, int(i)])  # data.Patches begins its own with 0 and 1
        degraded, clean = self.pairs[int(rng.integers(len(self.pairs)))]
        return self.augment(degraded, clean, rng)

    def __iter__(self):
        return (self[i] for i in range(len(self)))  # as many as there are pairs; otherwise a loop would never end


def self_ensemble(restore, image):
    """The mean of eight answers: restore the image turned and mirrored in each way, and turn the answers back.

    The eight errors differ, their mean is smaller. It costs eight times the time. Lim et al., "Enhanced Deep Residual
    Networks for Single Image Super-Resolution" (EDSR), CVPR Workshops 2017.

    Args:
        restore: a function from an image (C, H, W) to the restored one, (C, H, W), or `scale` times higher and wider.
        image: float (C, H, W) in [0, 1].

    Returns:
        the mean of the eight restored images, (C, H, W).
    """
    answers = []
    for mirrored in (False, True):
        seen = image.flip(-1) if mirrored else image
        for turns in range(4):
            answer = restore(torch.rot90(seen, turns, dims=(-2, -1)))
            answer = torch.rot90(answer, -turns, dims=(-2, -1))
            answers.append(answer.flip(-1) if mirrored else answer)  # the last thing done is the first undone
    return torch.stack(answers).mean(dim=0)
