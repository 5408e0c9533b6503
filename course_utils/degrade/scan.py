"""What a scan does to a printed page: six effects, each on its own, and scanners that combine them.

An effect is an object with its strengths and one verb: `y = effect(x, rng)`. `x` is a float32 tensor (3, H, W) or
(N, 3, H, W), RGB in [0, 1]; so is `y`, a new tensor. `rng` is a `numpy.random.Generator`: all randomness comes from
it, so one seed gives one scan. In a batch every image draws its own.

The six are those of the DESCAN-18K data set (Cha et al., "Descanning: From Scanned to the Original Images with a
Color Correction Diffusion Model", AAAI 2024). Inks and light add up in linear light, not in sRGB values, so halftone
and shading are computed there.
"""

from dataclasses import dataclass, replace
from functools import cache, wraps

import cv2
import numpy as np
import torch

from course_utils.files import CourseError
from course_utils.images import check_image

# Screen angles in degrees: the three dark inks stand 30 apart, where their moire is finest; yellow, the palest, at 0.
ANGLES = {"cyan": 15.0, "magenta": 75.0, "yellow": 0.0, "black": 45.0}
# Reflectance of the solid inks in linear light (red, green, blue): close to ISO 12647-2 offset inks on white paper.
INKS = {
    "cyan": (0.02, 0.35, 0.75),
    "magenta": (0.62, 0.02, 0.21),
    "yellow": (0.90, 0.76, 0.02),
    "black": (0.012, 0.012, 0.012),
}


def each_image(degrade):
    """Let `degrade(self, image, rng)`, written for one array (H, W, 3), take tensors (3, H, W) or (N, 3, H, W)."""

    @wraps(degrade)
    def wrapped(self, x, rng):
        _check(x, rng)
        if x.dim() == 4:
            return torch.stack([wrapped(self, image, rng) for image in x])
        image = np.ascontiguousarray(np.moveaxis(x.detach().cpu().clamp(0, 1).numpy(), 0, -1))
        y = np.clip(degrade(self, image, rng), 0, 1).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(y, -1, 0))).to(x.device)

    return wrapped


def _check(x, rng):
    check_image(x, "the image to degrade")
    if x.shape[-3] != 3:
        raise CourseError(f"a degradation takes images (3, H, W) or (N, 3, H, W), not {tuple(x.shape)}")
    if not isinstance(rng, np.random.Generator):
        made = "make one with numpy.random.default_rng(seed)"
        raise CourseError(f"rng must be a numpy.random.Generator, not {type(rng).__name__}; {made}")


def to_linear(srgb):
    """sRGB values in [0, 1] -> linear light in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear):
    """Linear light in [0, 1] -> sRGB values in [0, 1] (IEC 61966-2-1)."""
    linear = np.maximum(linear, 0)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def smooth_noise(shape, cell, rng):
    """Noise (H, W) of mean 0 and standard deviation 1 whose bumps are `cell` pixels across."""
    height, width = shape
    coarse = rng.standard_normal((max(2, round(height / cell) + 3), max(2, round(width / cell) + 3))).astype(np.float32)
    noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (noise - noise.mean()) / (noise.std() + 1e-6)


@dataclass(frozen=True)
class Halftone:
    """Print in four inks, each a grid of dots whose size carries the tone, and look at it through an aperture.

    Args:
        period: distance of the dots in pixels, which is scan resolution / screen ruling:
            300 dpi of a 133-line print is 2.3 pixels, 600 dpi 4.5.
        dot_gain: how much ink spreads: 0.15 prints a 50% tint as 65% (ISO 12647-2 counts the same way).
        black: coverage of the black ink in the deepest shadows, 0..1.
        sharpening: how far edges are raised before screening, as prepress does it: it keeps small type whole.
        aperture: standard deviation of the scanner's aperture in pixels; it smooths the dots.
    """

    period: float = 2.4
    dot_gain: float = 0.05
    black: float = 1.0
    sharpening: float = 2.0
    aperture: float = 0.6

    OVERSAMPLING = 3  # dots are drawn on a grid three times as fine

    @each_image
    def __call__(self, image, rng):
        height, width = image.shape[:2]
        printed = np.zeros((height * self.OVERSAMPLING, width * self.OVERSAMPLING), np.uint8)  # one bit for each ink
        for bit, (name, coverage) in enumerate(self.separate(image).items()):
            coverage = coverage + 4 * self.dot_gain * coverage * (1 - coverage)
            printed |= self.screen(coverage, ANGLES[name], rng) << bit
        light = _overprints()[printed]
        light = cv2.GaussianBlur(light, (0, 0), self.aperture * self.OVERSAMPLING)
        light = cv2.resize(light, (width, height), interpolation=cv2.INTER_AREA)
        return to_srgb(light)

    def separate(self, image):
        """sRGB (H, W, 3) -> the coverage, 0..1, (H, W), of each ink that makes the print look like the image.

        Black takes over in the shadows. The three colours then have to leave, in each channel, the light that the image
        has there; each ink also stops a little of the other channels, so a few rounds. What no inks give is clipped.
        """
        target = np.maximum(to_linear(image), 1e-4)
        black = self.black * np.minimum(1.1 * (1 - target.max(axis=2)) ** 10, 1)  # 1 for type: solid, without dots
        coverage = {
            "cyan": np.zeros_like(black),
            "magenta": np.zeros_like(black),
            "yellow": np.zeros_like(black),
            "black": black,
        }
        for _ in range(6):
            for channel, name in enumerate(("cyan", "magenta", "yellow")):
                others = np.ones_like(black)
                for other in coverage:
                    if other != name:
                        others *= 1 - coverage[other] * (1 - INKS[other][channel])
                coverage[name] = np.clip((1 - target[..., channel] / others) / (1 - INKS[name][channel]), 0, 1)
        return coverage

    def screen(self, coverage, angle, rng):
        """Coverage (H, W) -> dots (3H, 3W), 1 where the ink is, on a grid turned by `angle` degrees."""
        height, width = (side * self.OVERSAMPLING for side in coverage.shape)
        turn = np.deg2rad(angle + rng.uniform(-0.5, 0.5))
        frequency = 2 * np.pi / (self.period * self.OVERSAMPLING)
        y, x = np.arange(height, dtype=np.float32) * frequency, np.arange(width, dtype=np.float32) * frequency
        phase = rng.uniform(0, 2 * np.pi, 2)
        # cos(u) + cos(v) on the turned axes from one-dimensional parts: cos(a + b) = cos a cos b - sin a sin b
        spots = np.zeros((height, width), np.float32)
        for along_x, along_y, shift in (
            (np.cos(turn), np.sin(turn), phase[0]),
            (-np.sin(turn), np.cos(turn), phase[1]),
        ):
            a, b = x * np.float32(along_x), y * np.float32(along_y) + np.float32(shift)
            spots += np.outer(np.cos(b), np.cos(a)) - np.outer(np.sin(b), np.sin(a))
        coverage = cv2.resize(coverage, (width, height), interpolation=cv2.INTER_CUBIC)
        detail = coverage - cv2.GaussianBlur(coverage, (0, 0), self.OVERSAMPLING)
        level = _spot_levels()[np.clip((coverage + self.sharpening * detail) * 1000, 0, 1000).astype(np.int16)]
        return (spots < level).astype(np.uint8)


@cache
def _overprints():
    """Linear light (16, 3) of the sixteen ways to lay four inks on one spot: each filters what those below reflect."""
    light = np.ones((16, 3), np.float32)
    for bit, ink in enumerate(INKS.values()):
        light[[index for index in range(16) if index >> bit & 1]] *= np.float32(ink)
    return light


@cache
def _spot_levels():
    """Entry k is the level below which cos(u) + cos(v) lies on k thousandths of the plane: float32 (1001,)."""
    u = np.cos(np.linspace(0, 2 * np.pi, 400, endpoint=False))
    levels = np.quantile(u[:, None] + u[None, :], np.linspace(0, 1, 1001))
    levels[[0, -1]] = -2.1, 2.1  # no ink means none, full coverage leaves no hole
    return levels.astype(np.float32)


@dataclass(frozen=True)
class BleedThrough:
    """The other side of the sheet shows through, mirrored and blurred by the paper.

    Args:
        strength: share of the light that solid black on the back takes away, 0..1: good paper 0.1, thin paper 0.2.
        blur: standard deviation in pixels of the paper's scattering.
        backs: tensors (3, H, W) of the images' size, one of them is the back; without any, the page itself, turned.
    """

    strength: float = 0.15
    blur: float = 1.6
    backs: tuple = ()

    @each_image
    def __call__(self, image, rng):
        back = image[::-1]
        if self.backs:
            chosen = self.backs[rng.integers(len(self.backs))]
            back = np.moveaxis(chosen.detach().cpu().numpy(), 0, -1)
        if back.shape != image.shape:
            raise CourseError(
                f"the back of a page of {image.shape[:2]} has another size, {back.shape[:2]}; make them equal"
            )
        back = np.roll(
            back[:, ::-1], rng.integers(-20, 21, 2), axis=(0, 1)
        )  # mirrored; two prints never register exactly
        shadow = cv2.GaussianBlur(1 - to_linear(back), (0, 0), self.blur)
        return to_srgb(to_linear(image) * (1 - self.strength * shadow))


@dataclass(frozen=True)
class ColourTransition:
    """Inks fade, lamps and sensors have a tint, and drivers bend the tone curve.

    Args:
        cast: factors on red, green and blue light.
        fading: share of the tonal range lost because black is no longer black, 0..1.
        saturation: 1 keeps colours, 0 gives grey.
        gamma: exponent of the tone curve; above 1 darkens the middle tones.
        spread: standard deviation of each of these from scan to scan (relative).
    """

    cast: tuple = (1.0, 1.0, 1.0)
    fading: float = 0.1
    saturation: float = 0.85
    gamma: float = 1.0
    spread: float = 0.01

    @each_image
    def __call__(self, image, rng):
        cast, fading, saturation, gamma = (
            np.asarray(value) * (1 + self.spread * rng.standard_normal(np.shape(value)))
            for value in (self.cast, self.fading, self.saturation, self.gamma)
        )
        grey = image @ np.float32([0.299, 0.587, 0.114])
        image = grey[..., None] + saturation * (image - grey[..., None])
        image = np.clip(image, 0, 1) ** gamma
        image = fading + (1 - fading) * image
        return to_srgb(to_linear(np.clip(image, 0, 1)) * cast)


@dataclass(frozen=True)
class SensorNoise:
    """Internal noise: the sensor counts photons, so brighter pixels are noisier; its columns differ a little in gain.

    Args:
        shot: standard deviation of the photon noise at white, in grey levels of 255; it grows as the signal's root.
        read: standard deviation of the noise that is there in the dark as well, in grey levels.
        streaks: standard deviation of the columns' gain, relative: each column of a line sensor is one element.
    """

    shot: float = 3.0
    read: float = 1.5
    streaks: float = 0.004

    @each_image
    def __call__(self, image, rng):
        sigma = np.sqrt((self.shot / 255) ** 2 * image + (self.read / 255) ** 2)
        gain = 1 + self.streaks * rng.standard_normal((1, image.shape[1], 3))
        return image * gain.astype(np.float32) + sigma * rng.standard_normal(image.shape, dtype=np.float32)


@dataclass(frozen=True)
class Dust:
    """External noise: what lies on the glass. Specks and hairs shade the page, scratches catch the lamp.

    Args:
        specks, hairs, scratches: how many on a 512x512 page, on average (Poisson); larger pages have more.
        opacity: how much of the page the densest of them hides, 0..1.
    """

    specks: float = 14.0
    hairs: float = 1.0
    scratches: float = 0.6
    opacity: float = 0.7

    @each_image
    def __call__(self, image, rng):
        area = image.shape[0] * image.shape[1] / 512**2
        dark, light = np.zeros((2, *image.shape[:2]), np.float32)
        for _ in range(rng.poisson(self.specks * area)):
            self._speck(dark if rng.random() < 0.6 else light, rng)
        for _ in range(rng.poisson(self.hairs * area)):
            self._stroke(dark, self._hair(image.shape, rng), rng)
        for _ in range(rng.poisson(self.scratches * area)):
            self._stroke(light, self._scratch(image.shape, rng), rng)
        dark, light = (cv2.GaussianBlur(layer, (0, 0), 0.6)[..., None] for layer in (dark, light))
        image = image + (np.float32([0.28, 0.25, 0.22]) - image) * np.minimum(dark, 1)
        return image + (np.float32([0.97, 0.96, 0.93]) - image) * np.minimum(light, 1)

    def _speck(self, layer, rng):
        centre = rng.uniform(0, 1, 2) * layer.shape[::-1]
        axes = rng.gamma(2.0, 0.45, 2) + 0.35
        _draw(cv2.ellipse, layer, centre, axes, rng.uniform(0, 180), self.opacity * rng.uniform(0.4, 1))

    def _stroke(self, layer, points, rng):
        fixed = np.round(points * 16).astype(np.int32)[:, None]
        stroke = np.zeros(layer.shape, np.uint8)
        cv2.polylines(stroke, [fixed], False, int(255 * self.opacity * rng.uniform(0.4, 0.9)), 1, cv2.LINE_AA, 4)
        np.maximum(layer, stroke.astype(np.float32) / 255, out=layer)

    def _hair(self, shape, rng):
        steps = int(rng.integers(20, 70))
        bend = rng.normal(0, 0.02) + np.cumsum(rng.normal(0, 0.03, steps))
        direction = rng.uniform(0, 2 * np.pi) + np.cumsum(bend)
        path = np.cumsum(1.6 * np.stack([np.cos(direction), np.sin(direction)], axis=1), axis=0)
        return path + rng.uniform(0, 1, 2) * shape[1::-1]

    def _scratch(self, shape, rng):
        start = rng.uniform(0, 1, 2) * shape[1::-1]
        angle = np.pi / 2 + rng.normal(0, 0.15)  # along the carriage's way
        length = rng.uniform(0.1, 0.5) * shape[0]
        along = np.linspace(0, 1, 20)[:, None] * length * np.array([np.cos(angle), np.sin(angle)])
        return start + along + np.cumsum(rng.normal(0, 0.12, (20, 2)), axis=0)


def _draw(ellipse, layer, centre, axes, angle, value):
    spot = np.zeros(layer.shape, np.uint8)
    centre, axes = (tuple(round(16 * v) for v in pair) for pair in (centre, axes))
    ellipse(spot, centre, axes, angle, 0, 360, int(255 * value), -1, cv2.LINE_AA, 4)
    np.maximum(layer, spot.astype(np.float32) / 255, out=layer)


@dataclass(frozen=True)
class Texture:
    """Paper is not flat and not uniform: its grain shades the page, its waves bend it, and the lens blurs a little.

    Args:
        grain: standard deviation of the paper's reflectance, relative.
        warp: standard deviation of the displacement in pixels; well under a pixel, so that pairs stay pairs.
        wave: size of the waves in pixels.
        blur: standard deviation of the optics' blur in pixels.
    """

    grain: float = 0.012
    warp: float = 0.15
    wave: float = 160.0
    blur: float = 0.4

    @each_image
    def __call__(self, image, rng):
        shape = image.shape[:2]
        fibres = smooth_noise(shape, 1.5, rng) + smooth_noise(shape, 5, rng) + 0.7 * smooth_noise(shape, 40, rng)
        light = to_linear(image) * (1 + self.grain * fibres[..., None])
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        shift_y, shift_x = (self.warp * smooth_noise(shape, self.wave, rng) for _ in range(2))
        light = cv2.remap(light, x + shift_x, y + shift_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if self.blur > 0:
            light = cv2.GaussianBlur(light, (0, 0), self.blur)
        return to_srgb(light)


@dataclass(frozen=True)
class Scan:
    """A whole scan: the effects one after another, in the order in which a page meets them.

    Print, back page, paper, inks and lamp, dirt on the glass, sensor. `Scan(effects=(...))` takes any others.
    """

    effects: tuple

    def __call__(self, x, rng):
        """x: float32 (3, H, W) or (N, 3, H, W) in [0, 1] -> the scan, same shape and range."""
        for effect in self.effects:
            x = effect(x, rng)
        return x

    def with_backs(self, backs):
        """The same scanner over sheets whose other side is one of `backs`, tensors (3, H, W)."""
        return Scan(tuple(replace(e, backs=tuple(backs)) if isinstance(e, BleedThrough) else e for e in self.effects))


# Three scanners to train on, and one that no training sees.
SCANNERS = {
    "flatbed": Scan(
        (
            Halftone(period=2.3, dot_gain=0.05, aperture=0.50),
            BleedThrough(0.15),
            Texture(grain=0.012, warp=0.15, blur=0.3),
            ColourTransition(cast=(1.00, 0.92, 0.78), fading=0.22, saturation=0.74, gamma=1.05),
            Dust(specks=14, hairs=1.0, scratches=0.3),
            SensorNoise(shot=3.5, read=1.5),
        )
    ),
    "office": Scan(
        (
            Halftone(period=2.7, dot_gain=0.08, aperture=0.55),
            BleedThrough(0.22, blur=1.3),
            Texture(grain=0.010, warp=0.18, blur=0.35),
            ColourTransition(cast=(0.82, 0.88, 0.92), fading=0.18, saturation=0.70, gamma=0.88),
            Dust(specks=22, hairs=1.5, scratches=1.0),
            SensorNoise(shot=5.0, read=2.5, streaks=0.007),
        )
    ),
    "photo": Scan(
        (
            Halftone(period=3.0, dot_gain=0.04, aperture=0.55),
            BleedThrough(0.11, blur=2.0),
            Texture(grain=0.015, warp=0.12, blur=0.3),
            ColourTransition(cast=(0.96, 0.92, 0.86), fading=0.24, saturation=0.78, gamma=1.15),
            Dust(specks=8, hairs=0.6, scratches=0.2),
            SensorNoise(shot=2.5, read=1.0, streaks=0.003),
        )
    ),
    "archive": Scan(
        (
            Halftone(period=2.5, dot_gain=0.07, aperture=0.50),
            BleedThrough(0.20, blur=1.8),
            Texture(grain=0.018, warp=0.18, blur=0.35),
            ColourTransition(cast=(0.94, 0.82, 0.86), fading=0.26, saturation=0.64, gamma=0.95),
            Dust(specks=26, hairs=1.6, scratches=0.8),
            SensorNoise(shot=4.5, read=2.0, streaks=0.005),
        )
    ),
}
KNOWN_SCANNERS, UNSEEN_SCANNER = ("flatbed", "office", "photo"), "archive"


def scanner(name, backs=()):
    """One of SCANNERS by name, over sheets whose other side is one of `backs`.

    Raises:
        CourseError: no scanner of that name.
    """
    if name not in SCANNERS:
        raise CourseError(f"scanner {name!r}: choose one of {', '.join(SCANNERS)}")
    return SCANNERS[name].with_backs(backs)
