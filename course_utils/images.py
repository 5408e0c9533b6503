"""The one place where images change form.

In the library an image is a float32 tensor (C, H, W), or a batch (N, C, H, W), RGB, in [0, 1].
On disk and in caches it is uint8 (H, W, C).
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from course_utils.files import CourseError, atomic

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}


def read_image(path):
    """Read an image file as RGB uint8 (H, W, 3), turned upright as its EXIF data says; transparency is laid on white.

    Raises:
        CourseError: no such file, not an image, or a truncated one; the message names the file.
    """
    path = Path(path)
    try:
        with Image.open(path) as file:
            file.load()
            return np.asarray(_to_rgb(ImageOps.exif_transpose(file)))
    except FileNotFoundError:
        raise CourseError(f"{path}: no such image file; check the path") from None
    except IsADirectoryError:
        raise CourseError(f"{path} is a folder; give an image file") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise CourseError(f"{path}: cannot be read ({reason}); replace the file or remove it") from None


def _to_rgb(image):
    if image.mode.startswith("I;16"):  # 16 bits a pixel: Pillow's own conversion would clip instead of scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def write_image(path, image):
    """Write an image, a float tensor (C, H, W) in [0, 1] or a uint8 array (H, W, C), in the format of the suffix.

    The file appears under its name only when it is complete.

    Raises:
        CourseError: a suffix that is not one of SUFFIXES; an array that is not one image, or not uint8.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise CourseError(f"{path}: images are written as {', '.join(sorted(SUFFIXES))}; change the suffix")
    array = image if isinstance(image, np.ndarray) else to_array(image)
    if array.dtype != np.uint8:
        raise CourseError(f"{path}: an array is written as uint8, not {array.dtype}; give a float image as a tensor")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2 and (array.ndim != 3 or array.shape[-1] not in (3, 4)):
        raise CourseError(
            f"{path}: an image has 1, 3 or 4 channels, not the shape {array.shape}; write a batch one by one"
        )
    with atomic(path) as temporary:
        Image.fromarray(array).save(temporary)


def to_tensor(array):
    """uint8 (H, W), (H, W, C), (N, H, W, C) or a PIL image -> float32 (C, H, W) or (N, C, H, W) in [0, 1]."""
    import torch

    if isinstance(array, Image.Image) and array.mode not in ("L", "RGB"):
        array = _to_rgb(array)  # a palette image would give its indices, a bilevel one its bits
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise CourseError(
            f"to_tensor takes uint8 images, not {array.dtype}; a float image in [0, 1] is torch.as_tensor"
        )
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim not in (3, 4):
        raise CourseError(f"to_tensor takes (H, W), (H, W, C) or (N, H, W, C), not {array.shape}")
    return torch.from_numpy(np.moveaxis(array, -1, -3).astype(np.float32) / 255)


def as_floats(batch):
    """A batch of bytes, uint8 tensor (N, H, W, C), where it lies -> float32 (N, C, H, W) in [0, 1]; floats stay.

    The same numbers as `to_tensor`, on a GPU up to rounding. The values are not moved: in memory the channels of a
    pixel stay side by side (`torch.channels_last`), which convolutions like best. A GPU gets a quarter of the bytes
    that floats would take.
    """
    return batch if batch.is_floating_point() else batch.permute(0, 3, 1, 2) / 255


def to_array(tensor):
    """Float (C, H, W) or (N, C, H, W) in [0, 1] -> uint8 (H, W, C) or (N, H, W, C); clipped, then rounded.

    Raises:
        CourseError: not floats (a uint8 tensor would turn white), other dimensions, or NaN.
    """
    if not tensor.is_floating_point():
        raise CourseError(f"to_array takes float images in [0, 1], not {tensor.dtype}; divide a uint8 tensor by 255")
    if tensor.ndim not in (3, 4):
        raise CourseError(f"to_array takes (C, H, W) or (N, C, H, W), not {tuple(tensor.shape)}")
    if tensor.isnan().any():
        raise CourseError("to_array: the image holds NaN, which has no grey level; look at the network that made it")
    array = tensor.detach().cpu().float().clamp(0, 1).mul_(255).round_().byte().numpy()
    return np.ascontiguousarray(np.moveaxis(array, -3, -1))


def quantise(tensor):
    """A float image as its PNG would hold it: clipped to [0, 1] and rounded to 256 levels, still float32."""
    return tensor.clamp(0, 1).mul(255).round().div(255)


def as_batch(image, name="the image"):
    """Whatever holds an image, or several of one size -> float32 (N, C, H, W) in [0, 1], with 1 or 3 channels.

    Args:
        image: float in [0, 1], uint8 or bool: a tensor (H, W), (C, H, W) or (N, C, H, W), an array (H, W), (H, W, C)
            or (N, H, W, C); a PIL image; the path of an image file; or a list of these, each one image. An axis of 1
            or 3 is taken for the channels where the usual place holds another number.
        name: what to call it in an error.

    Raises:
        CourseError: any other type or shape, NaN, values outside [0, 1], or a list of images of two sizes.
    """
    import torch

    if isinstance(image, list | tuple):
        return _joined([as_batch(each, f"{name}[{i}]") for i, each in enumerate(image)], name)
    if isinstance(image, str | Path):
        try:
            image = read_image(image)
        except CourseError as error:
            raise CourseError(f"{name}: {error}") from None
    if isinstance(image, Image.Image):
        image = np.asarray(image if image.mode in ("L", "RGB", "I", "F") else _to_rgb(image))
    if not torch.is_tensor(image) and not isinstance(image, np.ndarray):
        raise CourseError(f"{name} is a {type(image).__name__}; give a tensor, an array, a PIL image or a path")
    tensor = _channels_first(image, name)
    if tensor.dtype in (torch.uint8, torch.bool):
        tensor = tensor.float() / (255 if tensor.dtype == torch.uint8 else 1)
    elif not tensor.is_floating_point():
        raise CourseError(f"{name} is {tensor.dtype}; give float values in [0, 1], or uint8 in 0 to 255")
    check_image(tensor, name)
    return tensor.to(torch.float32, copy=True).reshape(-1, *tensor.shape[-3:])  # what was given may change


def _joined(batches, name):
    import torch

    if not batches:
        raise CourseError(f"{name} is an empty list; give at least one image")
    channels = max(batch.shape[1] for batch in batches)
    sizes = {tuple(batch.shape[2:]) for batch in batches}
    if len(sizes) > 1:
        raise CourseError(f"{name} holds images of different sizes, {sorted(sizes)}; crop them to one")
    return torch.cat([batch.expand(-1, channels, -1, -1) for batch in batches])


def _channels_first(image, name):
    import torch

    if torch.is_tensor(image):
        tensor = image.detach().cpu()
    elif image.dtype.kind not in "buif":
        raise CourseError(f"{name} is an array of {image.dtype}; give float values in [0, 1], or uint8 in 0 to 255")
    else:  # a copy in this machine's byte order: torch knows no other, no negative strides, and nothing read-only
        tensor = torch.from_numpy(np.array(image, image.dtype.newbyteorder("=")))
    if tensor.ndim == 2:
        tensor = tensor[None]
    usual, other = (-3, -1) if torch.is_tensor(image) else (-1, -3)
    if tensor.ndim in (3, 4):
        for axis in (usual, other) if image.ndim > 2 else (-3,):
            if tensor.shape[axis] in (1, 3):
                return tensor if axis == -3 else tensor.movedim(-1, -3)
    raise CourseError(f"{name} has the shape {tuple(image.shape)}; give 1 or 3 channels: (C, H, W) or (N, C, H, W)")


def check_image(image, name="the image", beyond=0.001):
    """Raise CourseError unless `image` is a float tensor (C, H, W) or (N, C, H, W) with all its values in [0, 1].

    Values may pass 0 or 1 by `beyond`, by default a quarter of a grey level, as rounding leaves them.
    """
    import torch

    if not torch.is_tensor(image):
        raise CourseError(f"{name} is a {type(image).__name__}, not a tensor; images.to_tensor converts uint8 images")
    if not image.is_floating_point():
        raise CourseError(f"{name} is {image.dtype}, not float; images.to_tensor scales uint8 images to [0, 1]")
    if image.ndim not in (3, 4) or image.numel() == 0:
        raise CourseError(f"{name} has the shape {tuple(image.shape)}; give (C, H, W) or (N, C, H, W), none of them 0")
    low, high = (value.item() for value in image.detach().aminmax())
    if low != low or high != high:  # NaN, which aminmax hands on, is the one number that differs from itself
        raise CourseError(f"{name} holds NaN; look at what made it (a division by 0, or a training that diverged)")
    if low < -beyond or high > 1 + beyond:
        raise CourseError(f"{name} has values from {low:.4g} to {high:.4g}, outside [0, 1]; clip it with .clamp(0, 1)")
