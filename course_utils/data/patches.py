"""Random patches of images: what a network trains on."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from course_utils.data.cache import decode, is_decoded
from course_utils.data.pairs import check_pairs, match_pairs
from course_utils.files import CourseError
from course_utils.images import as_floats, to_tensor


def random_patch(degraded, clean, size, rng, augment=True):
    """Cut the same random window from both images, and turn and mirror both in the same random way.

    Args:
        degraded, clean: uint8 arrays (H, W, C) of one shape.
        size: the side of the window, in pixels.
        rng: a np.random.Generator; the same state gives the same patch.
        augment: turn by a random multiple of 90 degrees and mirror every other patch.
    Returns:
        (degraded, clean), each (size, size, C).
    Raises:
        CourseError: two shapes, or an image that is smaller than the window.
    """
    if degraded.shape != clean.shape:
        raise CourseError(f"degraded is {degraded.shape} but clean is {clean.shape}; a pair needs one shape")
    height, width = clean.shape[:2]
    if not 1 <= size <= min(height, width):
        raise CourseError(f"a patch of {size}x{size} does not fit an image of {width}x{height}; change the patch size")
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    patches = [image[top : top + size, left : left + size] for image in (degraded, clean)]
    if augment:
        turns, mirror = rng.integers(4), rng.integers(2)
        patches = [np.rot90(patch, turns) for patch in patches]
        if mirror:
            patches = [patch[:, ::-1] for patch in patches]
    return patches[0], patches[1]


def turned(patch, turns, mirror):
    """`patch` turned left by `turns` times 90 degrees, then mirrored left to right if `mirror`: (p, p, C), uint8.

    As np.rot90 and [:, ::-1] do it, but ten times as fast on pixels of three bytes.
    """
    import cv2

    if turns:
        patch = cv2.rotate(patch, 3 - turns)  # OpenCV counts quarter turns to the right, from 0
    if mirror:
        patch = cv2.flip(patch, 1)
    return patch.reshape(*patch.shape[:2], -1)  # OpenCV drops the axis of a single channel


class Patches(Dataset):
    """Random patches of images in memory: `ds[i]` is (degraded, clean), float32 (C, patch, patch) in [0, 1].

    Sample i depends on the seed and on i alone. Epoch e is the samples e * len(ds) ... (e + 1) * len(ds) - 1: every
    image once, in an order of that epoch. So training can stop after any step and go on exactly where it was,
    whatever the number of workers: step s with batches of B takes the samples s * B ... (s + 1) * B - 1.

    Args:
        clean: uint8 arrays (H, W, C), of any sizes.
        degraded: as many arrays, each of the shape of its original; None if there is a `degradation`.
        degradation: makes the degraded patch from the clean one, anew each time: a callable (x, rng) on float32
            (C, patch, patch), see course_utils.degrade. Its result may be smaller, for a network that enlarges.
        patch: side of the patches in pixels.
        seed: a whole number, 0 or more.
        augment: also turn each patch by a random multiple of 90 degrees, and mirror every other one.

    Raises:
        CourseError: no images, two shapes in a pair, an image smaller than a patch, both or neither of `degraded` and
            `degradation`.
    """

    def __init__(self, clean, degraded=None, *, degradation=None, patch=64, seed=0, augment=True):
        self.patch, self.seed, self.augment, self.degradation = patch, seed, augment, degradation
        if (degraded is None) == (degradation is None):
            raise CourseError("give either the degraded images or a degradation that makes them")
        if seed < 0:
            raise CourseError(f"a seed is a whole number from 0, not {seed}")
        self._clean, self._degraded = clean, clean if degraded is None else degraded
        self._check()

    def _names(self, i):
        """What to call pair i in an error: (the degraded image, the clean one)."""
        return f"degraded[{i}]", f"clean[{i}]"

    def _check(self):
        if len(self._clean) == 0 or len(self._clean) != len(self._degraded):
            counts = f"{len(self._clean)} clean images and {len(self._degraded)} degraded ones"
            raise CourseError(f"{counts} to train on; give at least one, and one for each")
        for i, (clean, degraded) in enumerate(zip(self._clean, self._degraded, strict=True)):
            if clean.ndim != 3 or clean.shape[2] != self._clean[0].shape[2]:
                one = f"{self._names(i)[1]} has the shape {clean.shape}"
                raise CourseError(f"{one}; give (H, W, C), each image with as many channels as the first")
            if clean.shape != degraded.shape or clean.dtype != np.uint8 or degraded.dtype != np.uint8:
                names = self._names(i)
                sizes = f"{names[0]} is {degraded.shape} but {names[1]} is {clean.shape}"
                raise CourseError(f"{sizes}; a pair needs one size, and uint8 values")
            if min(clean.shape[:2]) < self.patch or self.patch < 1:
                size = f"{self._names(i)[1]} is {clean.shape[1]}x{clean.shape[0]}"
                raise CourseError(f"{size}: no patch of {self.patch}x{self.patch}; change `patch`")
        # The draws of two epochs: a batch may begin in one and end in the next.
        self._draws = lru_cache(2)(self._draw)

    def __len__(self):
        return len(self._clean)

    def _draw(self, epoch):
        """All that is left to chance in an epoch, drawn at once: which image comes when, and how each is cut.

        Returns five arrays: image, place of the window (0 to 1: down, across), quarter turns, mirrored or not.
        """
        rng, n = np.random.default_rng([0, self.seed, epoch]), len(self)
        order, down, across = rng.permutation(n), rng.random(n), rng.random(n)
        return order.tolist(), down, across, rng.integers(4, size=n).tolist(), rng.integers(2, size=n).tolist()

    def _cut(self, i):
        """(degraded, clean) of sample i, uint8 (patch, patch, C); views into the images where nothing is turned."""
        if i < 0:
            raise CourseError(f"samples are counted from 0, not {i}")
        epoch, place = divmod(int(i), len(self))
        order, down, across, turns, mirror = self._draws(epoch)
        degraded, clean = self._degraded[order[place]], self._clean[order[place]]
        height, width = clean.shape[:2]
        top = int(down[place] * (height - self.patch + 1))
        left = int(across[place] * (width - self.patch + 1))
        window = slice(top, top + self.patch), slice(left, left + self.patch)
        if not self.augment:
            return degraded[window], clean[window]
        return turned(degraded[window], turns[place], mirror[place]), turned(clean[window], turns[place], mirror[place])

    def __getitem__(self, i):
        degraded, clean = self._cut(i)
        clean = to_tensor(clean)
        return (to_tensor(degraded) if self.degradation is None else self._degrade(clean, i)), clean

    def _degrade(self, clean, i):
        # A copy: a degradation that works in place must not degrade the clean patch too.
        return self.degradation(clean.clone(), np.random.default_rng([1, self.seed, int(i)]))

    def batch(self, numbers):
        """The samples of these numbers at once, to be made floats where the network is: `images.as_floats`.

        Returns:
            (degraded, clean), uint8 (N, patch, patch, C); degraded is float32 (N, C, patch, patch), or of the size
            that the degradation gives, if one makes it.
        """
        channels = self._clean[0].shape[2]
        degraded, clean = np.empty((2, len(numbers), self.patch, self.patch, channels), np.uint8)
        for place, i in enumerate(numbers):
            degraded[place], clean[place] = self._cut(i)
        degraded, clean = torch.from_numpy(degraded), torch.from_numpy(clean)
        if self.degradation is not None:
            floats = zip(as_floats(clean), numbers, strict=True)
            degraded = torch.stack([self._degrade(patch, i) for patch, i in floats])
        return degraded, clean

    def __iter__(self):
        return (self[i] for i in range(len(self)))  # one epoch; without this, a loop over the data set never ends

    def whole(self, i):
        """The whole pair i: (degraded, clean), float32 (C, H, W) in [0, 1]."""
        clean = to_tensor(self._clean[i])
        return (to_tensor(self._degraded[i]) if self.degradation is None else self._degrade(clean, i)), clean

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_draws"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._check()


class PairedPatches(Patches):
    """Patches of pairs of image files, which are decoded once (see `decode`): for the rest, see `Patches`.

    Args:
        pairs: (clean path, scan path), as `match_pairs` gives them.
        patch: side of the patches in pixels.
        seed: a whole number, 0 or more.
        augment: also turn and mirror.
        cache: the folder for the decoded images, see `decode`.

    Raises:
        CourseError: no pairs, an unreadable image, a pair with two sizes, an image smaller than a patch.
    """

    def __init__(self, pairs, patch=64, seed=0, augment=True, cache=None, progress=True):
        self.pairs, self.cache = [(Path(clean), Path(scan)) for clean, scan in pairs], cache
        if not self.pairs:
            raise CourseError("there are no pairs to train on; see match_pairs")
        if not is_decoded(self._files(), cache, progress):
            check_pairs(self.pairs)  # seconds; decoding takes minutes
        super().__init__(*self._decode(progress), patch=patch, seed=seed, augment=augment)

    @classmethod
    def from_folder(cls, folder, **options):
        """The pairs of `folder/clean` and `folder/scan`; options as for the class."""
        return cls(match_pairs(Path(folder) / "clean", Path(folder) / "scan"), **options)

    def _files(self):
        return [path for pair in self.pairs for path in pair]

    def _decode(self, progress):
        images = decode(self._files(), self.cache, progress)
        return images[0::2], images[1::2]  # clean, degraded

    def _names(self, i):
        clean, scan = self.pairs[i]
        return str(scan), str(clean)

    def __getstate__(self):
        # A worker process gets the paths and opens the cache itself; copying the pixels to it would take gigabytes.
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state):
        vars(self).update(state)
        self._clean, self._degraded = self._decode(progress=False)
        self._check()
