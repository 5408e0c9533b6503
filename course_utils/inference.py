"""Restore images of any size with a network, whole or tile by tile."""

import torch

from course_utils.files import CourseError
from course_utils.images import check_image


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


def restore(model, image, tile=None, halo=None, progress=False):
    """Restore an image of any size: float (C, H, W) or (N, C, H, W) in [0, 1] -> the same shape, clipped, on the CPU.

    The network works in evaluation mode, and gets its former mode back. It sees one image or tile at a time: in tiles,
    memory depends on the tile and not on the image. With a halo of its receptive radius the tiles show no seam: the
    result is that of the whole image, up to rounding.

    Args:
        model: a network with `restore(batch)`, on any device.
        image: a degraded image, or a batch of them.
        tile: the side of a tile in pixels; None takes each image whole.
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
    restored = torch.empty(batch.shape, dtype=torch.float32)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for i, outer, inner in _bar(windows, progress):
                answer = _answer(model, batch[i, :, *outer].unsqueeze(0))  # (1, C, h, w)
                restored[i, :, *inner] = inside(answer[0], outer, inner).clamp(0, 1)
    finally:
        model.train(was_training)
    return restored.view(image.shape)


def inside(answer, outer, inner):
    """Cut off the halo: from the network's answer for the outer window, (C, h, w), the part of the inner window."""
    rows, columns = (slice(i.start - o.start, i.stop - o.start) for o, i in zip(outer, inner, strict=True))
    return answer[:, rows, columns]


def _tile_and_halo(model, batch, tile, halo):
    if tile is None:
        return max(batch.shape[-2:]), 0
    if halo is None:
        halo = getattr(model, "receptive_radius", None)
    if halo is None:
        raise CourseError(f"{type(model).__name__} has no receptive_radius to take as the halo; give halo=")
    if tile < 1 or halo < 0:
        raise CourseError(f"tile={tile}, halo={halo}: a tile has at least 1 pixel and a halo at least 0")
    return tile, halo


def _bar(windows, progress):
    if not progress:
        return windows
    from tqdm.auto import tqdm

    return tqdm(windows, desc="restoring", unit="tile")


def _answer(model, patch):
    """What the network makes of (1, C, h, w): the same shape, float32 on the CPU, and no NaN."""
    name = type(model).__name__
    if not hasattr(model, "restore"):
        raise CourseError(f"{name} has no method restore(batch); add one: degraded in, restored out")
    parameter = next(model.parameters(), patch)
    answer = model.restore(patch.to(parameter.device, parameter.dtype)).float().cpu()
    if answer.shape != patch.shape:
        raise CourseError(f"{name}.restore turned {tuple(patch.shape)} into {tuple(answer.shape)}; keep the shape")
    if answer.isnan().any():
        raise CourseError(f"{name} answered NaN: its training diverged; train it again with a lower lr")
    return answer
