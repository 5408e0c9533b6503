"""Restore images of any size with a network, tile by tile, in bounded memory."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils.files import CourseError
from course_utils.images import check_image
from course_utils.processor import memory_kept


def tiles(height, width, tile, halo):
    """Cut an image into tiles: yield (outer, inner), two windows, each a pair of slices (rows, columns).

    The inner windows, at most tile x tile, cover every pixel once. The outer window is the inner one and a halo of
    neighbours, as far as the image reaches: the network sees the outer window, the inner one of its answer is kept.
    """
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            bottom, right = min(top + tile, height), min(left + tile, width)
            inner = slice(top, bottom), slice(left, right)
            outer = (
                slice(max(top - halo, 0), min(bottom + halo, height)),
                slice(max(left - halo, 0), min(right + halo, width)),
            )
            yield outer, inner


TILE = 512  # pixels: the side of a tile
PIXELS = {"cpu": TILE**2, "cuda": 16 * TILE**2}  # in the network at a time: tiles that are smaller go together


def restore(model, image, tile="auto", halo=None, progress=False):
    """Restore an image of any size: float (C, H, W) or (N, C, H, W) in [0, 1] -> the same shape, clipped, on the CPU.

    A network that enlarges has an attribute `scale`, a whole number: its result is so many times higher and wider.

    The network works in evaluation mode, and gets its former mode back. It sees an image in tiles, several of one size
    at a time: memory depends on the tile and not on the image. With a halo of its receptive radius the tiles show no
    seam: the result is that of the whole image, up to rounding. It is computed in float32: with bfloat16, pixels are
    off by two grey levels and more (benchmarks/restoring.py).

    Args:
        model: a network with `restore(batch)`, on any device.
        image: a degraded image, or a batch of them.
        tile: the side of a tile in pixels of `image`; None takes each image whole, as "auto" does if there is no halo
            to go by.
        halo: pixels around a tile that the network sees and that are cut off; by default `model.receptive_radius`.
        progress: show a bar over the tiles.

    Returns:
        the restored image, float32 in [0, 1].

    Raises:
        CourseError: not a float image in [0, 1]; a tile below 1; no halo to go by; an answer of another shape, or NaN.
    """
    check_image(image, "the image to restore")
    batch = image.detach() if image.ndim == 4 else image.detach()[None]  # (N, C, H, W)
    tile, halo = _tile_and_halo(model, batch, tile, halo)
    windows = [(i, *pair) for i in range(len(batch)) for pair in tiles(*batch.shape[-2:], tile, halo)]
    scale = enlargement(model)
    restored = torch.empty(enlarged(batch.shape, scale), dtype=torch.float32)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), memory_kept(), _bar(len(windows), progress) as bar:
            network, device = folded(model), next(model.parameters(), batch).device
            for group in _of_one_size(windows, PIXELS.get(device.type, TILE**2)):
                patches = torch.stack([batch[i, :, *outer] for i, outer, _ in group])  # (n, C, h, w)
                answers = _answer(network, patches)
                for (i, outer, inner), answer in zip(group, answers, strict=True):
                    rows, columns = (slice(scale * side.start, scale * side.stop) for side in inner)
                    restored[i, :, rows, columns] = inside(answer, outer, inner, scale).clamp(0, 1)
                bar.update(len(group))
    finally:
        model.train(was_training)
    return restored.view(enlarged(image.shape, scale))


def enlargement(model):
    """How many times higher and wider a network makes an image: its attribute `scale`, or 1 if it has none.

    Raises:
        CourseError: a scale that is not a whole number of at least 1.
    """
    scale = getattr(model, "scale", 1)
    if not isinstance(scale, int) or scale < 1:
        raise CourseError(
            f"{type(model).__name__}.scale is {scale!r}; a network that enlarges has a whole number there"
        )
    return scale


def enlarged(shape, scale):
    """The shape (..., H, W) of an image, `scale` times higher and wider, as a tuple."""
    return (*shape[:-2], scale * shape[-2], scale * shape[-1])


def folded(model):
    """A copy of a network for restoring: each batch norm that follows a convolution is made a part of it.

    In evaluation mode both multiply and add constants, so one of them can do the work of both. The copy's weights lie
    in memory as convolutions like them best (`torch.channels_last`). What stands in no nn.Sequential stays as it is.

    Args:
        model: a network in evaluation mode.
    """
    network = copy.deepcopy(model).to(memory_format=torch.channels_last)
    for layers in network.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for i in range(len(layers) - 1):
            first, second = layers[i], layers[i + 1]
            if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d and second.running_mean is not None:
                layers[i], layers[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network


def _of_one_size(windows, pixels):
    """Group windows whose outer size is the same, as many as make so many pixels; at least one."""
    groups = {}
    for window in windows:
        rows, columns = window[1]
        groups.setdefault((rows.stop - rows.start, columns.stop - columns.start), []).append(window)
    for (height, width), group in groups.items():
        most = max(1, pixels // (height * width))
        yield from (group[start : start + most] for start in range(0, len(group), most))


def inside(answer, outer, inner, scale=1):
    """Cut off the halo: from the network's answer for the outer window, (C, h, w), the part of the inner window.

    The windows are of the degraded image; the answer is `scale` times higher and wider than the outer one.
    """
    sides = zip(outer, inner, strict=True)
    rows, columns = (slice(scale * (i.start - o.start), scale * (i.stop - o.start)) for o, i in sides)
    return answer[:, rows, columns]


def _tile_and_halo(model, batch, tile, halo):
    halo = getattr(model, "receptive_radius", None) if halo is None else halo
    if tile is None or (tile == "auto" and halo is None):
        return max(batch.shape[-2:]), 0
    tile = TILE if tile == "auto" else tile
    if halo is None:
        raise CourseError(f"{type(model).__name__} has no receptive_radius to take as the halo; give halo=")
    if tile < 1 or halo < 0:
        raise CourseError(f"tile={tile}, halo={halo}: a tile has at least 1 pixel and a halo at least 0")
    return tile, halo


def _bar(total, progress):
    from tqdm.auto import tqdm

    return tqdm(total=total, desc="restoring", unit="tile", disable=not progress)


def _answer(model, patches):
    """What the network makes of (n, C, h, w): the same shape (times its scale), float32 on the CPU, and no NaN."""
    name = type(model).__name__
    if not hasattr(model, "restore"):
        raise CourseError(f"{name} has no method restore(batch); add one: degraded in, restored out")
    parameter = next(model.parameters(), patches)
    patches = patches.to(parameter.device, parameter.dtype, memory_format=torch.channels_last)
    answer = model.restore(patches).float().cpu()
    scale = enlargement(model)
    if answer.shape != enlarged(patches.shape, scale):
        wanted = "keep the shape" if scale == 1 else f"with scale={scale} it is {enlarged(patches.shape, scale)}"
        raise CourseError(f"{name}.restore turned {tuple(patches.shape)} into {tuple(answer.shape)}; {wanted}")
    if answer.isnan().any():
        raise CourseError(f"{name} answered NaN: its training diverged; train it again with a lower lr")
    return answer
