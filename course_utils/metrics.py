"""The one evaluation: lessons, checks, benchmarks and the competition all measure with these functions.

Images are float tensors (C, H, W) or (N, C, H, W) in [0, 1]; the data range is therefore 1, never taken from an image.
Everything is computed in float64.
"""

import math

import torch

from course_utils.files import CourseError
from course_utils.images import check_image, quantise


def comparable(restored, clean, border=0):
    """Check two images, or two batches, and make them ready to compare: (N, C, H, W) in float64, borders shaved.

    Args:
        restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1].
        border: pixels to leave out at each side.

    Raises:
        CourseError: different shapes, integers, NaN, values outside [0, 1], or a border that leaves no pixel.
    """
    check_image(restored, "the restored image")
    check_image(clean, "the clean image")
    if restored.shape != clean.shape:
        sizes = f"{tuple(restored.shape)} and {tuple(clean.shape)}"
        raise CourseError(f"the restored and the clean image differ in shape, {sizes}; crop both to one shape")
    height, width = clean.shape[-2:]
    if not 0 <= border < min(height, width) / 2:
        raise CourseError(f"border={border} leaves no pixel of a {height}x{width} image; shave less")
    shaved = (..., slice(border, height - border), slice(border, width - border))
    restored, clean = restored.detach()[shaved].cpu().double(), clean.detach()[shaved].cpu().double()
    return (restored, clean) if clean.ndim == 4 else (restored[None], clean[None])


def luma(rgb):
    """The Y of studio-range YCbCr, ITU-R BT.601: black is 16/255 and white 235/255, as in MATLAB's rgb2ycbcr.

    Args:
        rgb: float (3, H, W) or (N, 3, H, W) in [0, 1].

    Returns:
        (1, H, W) or (N, 1, H, W), in [16/255, 235/255].

    Raises:
        CourseError: not 3 channels, or not a float image in [0, 1].
    """
    check_image(rgb, "the RGB image")
    if rgb.shape[-3] != 3:
        raise CourseError(f"luma takes 3 channels, R, G and B, not the shape {tuple(rgb.shape)}")
    red, green, blue = rgb.unbind(dim=-3)  # each (..., H, W)
    y = 16 + 65.481 * red + 128.553 * green + 24.966 * blue  # 16..235
    return y.unsqueeze(-3) / 255


def psnr(restored, clean, border=0):
    """Peak signal-to-noise ratio in dB, for a data range of 1: 10 * log10(1 / MSE). Higher is better.

    For a batch, the mean of the PSNR of each image (not the PSNR of their common MSE, which is lower).
    Equal images give infinity; one such image makes the mean of its whole batch infinite.

    Args:
        restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1].
        border: pixels to leave out at each side; super-resolution leaves out its scale.

    Raises:
        CourseError: the two differ in shape, or are not float images in [0, 1].
    """
    restored, clean = comparable(restored, clean, border)  # (N, C, H, W)
    mse = (restored - clean).square().mean(dim=(1, 2, 3))  # (N,)
    return (10 * torch.log10(1 / mse)).mean().item()


def psnr_b(restored, clean):
    """PSNR in dB that also counts the edges of 8x8 blocks: 10 * log10(1 / (MSE + BEF)). Higher is better.

    Yim, Bovik: "Quality Assessment of Deblocked Images", IEEE TIP 2011. BEF, the blocking effect factor, looks at the
    restored image alone: D_B, the mean squared difference of neighbours on two sides of a block boundary, against D_C,
    that of all other neighbours; BEF = eta * (D_B - D_C) where D_B is larger, and else 0. eta = log2(8) / log2(of the
    smaller side). Blocks are taken to begin at the first pixel. For a batch, the mean over its images.

    The published figures are of Y, restored images rounded to 8 bits, and true means: on Classic5 this gives 25.21,
    27.50 and 29.92 dB for JPEG of quality 10, 20 and 40, as published. Equal images need not give infinity: a
    photograph may have a few more edges on the grid than off it.

    Args:
        restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1], more than 8 pixels high and wide.

    Raises:
        CourseError: as `psnr`; also 8 pixels or fewer in height or width.
    """
    restored, clean = comparable(restored, clean)  # (N, C, H, W)
    mse = (restored - clean).square().mean(dim=(1, 2, 3))  # (N,)
    boundary, elsewhere = (squares.mean(dim=1) for squares in neighbour_differences(restored))  # D_B and D_C: (N,)
    eta = math.log2(8) / math.log2(min(clean.shape[-2:]))
    bef = eta * (boundary - elsewhere).clamp(min=0)
    return (10 * torch.log10(1 / (mse + bef))).mean().item()


def neighbour_differences(images):
    """The squared differences of neighbouring pixels: (those across 8x8 block boundaries, all others).

    Both directions together: pixels beside each other and pixels below each other. The first boundary lies between the
    eighth and the ninth pixel.

    Args:
        images: float (N, C, H, W).

    Returns:
        two tensors, (N, number of such neighbours).

    Raises:
        CourseError: 8 pixels or fewer in height or width, so that there is no boundary.
    """
    if min(images.shape[-2:]) <= 8:
        size = f"{images.shape[-2]}x{images.shape[-1]}"
        raise CourseError(f"an image of {size} pixels has no boundary between 8x8 blocks; give a larger one")
    boundary, elsewhere = [], []
    for axis in (-2, -1):
        squares = images.diff(dim=axis).square().movedim(axis, -1)  # (N, C, other side, this side - 1)
        at_boundary = torch.arange(1, squares.shape[-1] + 1, device=images.device) % 8 == 0
        boundary.append(squares[..., at_boundary].flatten(1))
        elsewhere.append(squares[..., ~at_boundary].flatten(1))
    return torch.cat(boundary, dim=1), torch.cat(elsewhere, dim=1)


def ssim(restored, clean, border=0):
    """Structural similarity, at most 1: do means, contrasts and patterns agree within each 11x11 neighbourhood?

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 2004: a Gaussian window with sigma 1.5, K1 = 0.01, K2 = 0.03, only windows that lie inside the image.
    Equals scikit-image with gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1; a mean
    over channels and images.

    Args:
        restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1].
        border: pixels to leave out at each side.

    Raises:
        CourseError: as `psnr`; also fewer than 11 pixels in height or width.
    """
    return mean_similarity(*comparable(restored, clean, border))


def mean_similarity(x, y):
    """The mean of `similarity` over all windows, channels and images; x, y: float (N, C, H, W), any precision."""
    rows = max(x.shape[-2] - 10, 1)  # of windows
    strips = [slice(top, top + 128 + 10) for top in range(0, rows, 128)]  # each by itself: large images need no more
    means = [similarity(x[..., strip, :], y[..., strip, :]) for strip in strips]  # memory than small ones
    return torch.cat(means, dim=-2).mean().item()


def similarity(x, y):
    """The SSIM of each window: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    mean_x, mean_y = window_mean(x), window_mean(y)
    variances = window_mean(x * x + y * y) - mean_x**2 - mean_y**2  # of x and of y, added
    covariance = window_mean(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2  # keep flat windows from 0 / 0
    result = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return result / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))


def window_mean(images):
    """Means under an 11x11 Gaussian window with sigma 1.5: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    if min(images.shape[-2:]) < 11:
        raise CourseError(f"SSIM needs 11x11 pixels, not {images.shape[-2]}x{images.shape[-1]}; give a larger image")
    weights = [math.exp(-(offset**2) / (2 * 1.5**2)) for offset in range(-5, 6)]
    for axis in (-2, -1):  # a Gaussian is separable: first down, then across
        size = images.shape[axis] - 10
        means = torch.zeros_like(images.narrow(axis, 0, size))
        for offset, weight in enumerate(weights):  # 12 times as fast as a convolution, in float64
            means.add_(images.narrow(axis, offset, size), alpha=weight / sum(weights))
        images = means
    return images


def mean_luma_error(restored_images, clean_images):
    """The competition's metric: mean over the images of |mean Y of the restored - mean Y of the clean|, in 0..255.

    Lower is better. It sees one number of each image: a constant grey can win. Read it beside PSNR and SSIM.

    Args:
        restored_images, clean_images: two lists of float (3, H, W) in [0, 1], or two batches (N, 3, H, W).
            Images with 1 channel are taken as Y itself.

    Raises:
        CourseError: no images, lists of different lengths, images of different shapes or outside [0, 1].
    """
    differences = []
    for restored, clean in pairs_of(restored_images, clean_images):
        restored, clean = comparable(restored, clean)  # (1, C, H, W)
        if clean.shape[1] != 1:
            restored, clean = luma(restored), luma(clean)
        differences.append(255 * abs(restored.mean() - clean.mean()).item())
    return sum(differences) / len(differences)


def pairs_of(restored_images, clean_images):
    """Pair two equally long lists of images, or two batches: [(restored, clean), ...]."""
    if len(restored_images) != len(clean_images):
        counts = f"{len(restored_images)} restored images, {len(clean_images)} clean ones"
        raise CourseError(f"{counts}; give one for each, in the same order")
    if len(clean_images) == 0:
        raise CourseError("no images to evaluate; give at least one pair")
    return list(zip(restored_images, clean_images, strict=True))


def evaluate(restored, clean, border=0):
    """Measure restored images as their PNG files would be measured: each is rounded to 8 bits first.

    Args:
        restored, clean: two lists of float (C, H, W) in [0, 1], of any sizes, or two batches (N, C, H, W).
        border: pixels to leave out at each side for PSNR and SSIM.

    Returns:
        {"psnr": dB, "ssim": at most 1, "luma_error": grey levels}, each the mean over the images.

    Raises:
        CourseError: no images, lists of different lengths, images of different shapes or outside [0, 1].
    """
    scores = []
    for image, original in pairs_of(restored, clean):
        comparable(image, original, border)  # before rounding, which would clip what is out of range
        image, original = quantise(image), quantise(original)
        score = {"psnr": psnr(image, original, border), "ssim": ssim(image, original, border)}
        scores.append(score | {"luma_error": mean_luma_error([image], [original])})
    return {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}
