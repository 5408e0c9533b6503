"""The cache: images decoded once, their pixels one after the other in one flat file that is mapped into memory.

A cache is named by the content of its images: a changed file is noticed, a moved folder is not decoded again. Files
that have not been touched since they were last looked at are not read to find that out.
"""

import hashlib
import json
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from course_utils.data.catalogue import home
from course_utils.data.download import alone, room
from course_utils.files import CourseError, atomic
from course_utils.images import read_image


def decode(paths, cache=None, progress=True):
    """Decode each image once and keep the pixels on disk; the next call with the same images starts at once.

    10,000 pairs of 512x512 are 15.7 GB on disk and next to nothing in memory: the arrays are windows into the file.
    When an image has changed, or the cache was damaged, the list is decoded anew. Interrupted work goes on where it
    stopped.

    Args:
        paths: image files.
        cache: the folder to keep the pixels in; default: `cache` in the course's folder (`home()`).

    Returns:
        A list of read-only uint8 arrays (H, W, 3), in the order of `paths`.

    Raises:
        CourseError: a file that is missing or cannot be decoded (named), or too little room on the disk.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        return []
    pixels, index = _cache_files(paths, cache, progress)
    with alone(index):  # several processes may train on one data set
        if not _is_whole(pixels, index, progress):
            _decode_all(paths, pixels, index, progress)
    shapes = _read_index(index)["shapes"]
    flat = np.memmap(pixels, np.uint8, mode="r")
    return [np.asarray(flat[a:b].reshape(*shape, 3)) for (a, b), shape in zip(_places(shapes), shapes, strict=True)]


def is_decoded(paths, cache=None, progress=True):
    """Whether `decode(paths, cache)` would find its pixels ready."""
    return _is_whole(*_cache_files([Path(path) for path in paths], cache, progress), progress)


def image_size(path):
    """(width, height) of an image file, as `read_image` would turn it, from its header alone.

    Raises:
        CourseError: as `read_image`.
    """
    try:
        with Image.open(path) as file:
            # Pillow gives the size of a turned TIFF as it will be, that of all others as it is in the file.
            size = (file.tag_v2[256], file.tag_v2[257]) if file.format == "TIFF" else file.size
            turned = Image.Image.getexif(file).get(0x0112) in (5, 6, 7, 8)  # a PNG's own getexif would decode all of it
            return size[::-1] if turned else size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        read_image(path)  # says what is wrong
        raise


def _cache_files(paths, cache, progress):
    """The file of pixels and its index, named by the content of the images.

    A note beside them, named by what the file system says of the images, spares reading them all each time.
    """
    folder = Path(cache) if cache else home() / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    listed = "\n".join(f"{path.absolute()}\0{_stamp(path)}" for path in paths)
    note = folder / f"{_hash(listed.encode('utf-8', 'surrogateescape'))}.seen"
    try:
        key = note.read_text()
    except (OSError, ValueError):
        key = ""
    if not re.fullmatch("[0-9a-f]{32}", key):  # none, or a power cut left it empty
        key = _hash("".join(_in_parallel(_digest, paths, "looking for changes", progress)).encode())
        with atomic(note) as temporary:
            temporary.write_text(key)
    return folder / f"{key}.pixels", folder / f"{key}.json"


def _stamp(path):
    """Size, time of writing and time of any change: what tells a file that was touched from one that was not."""
    try:
        stat = Path(path).stat()
    except OSError:
        raise CourseError(f"{path}: no such image file; check the path") from None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _hash(content):
    return hashlib.sha256(b"rgb8 v2" + content).hexdigest()[:32]


def _digest(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except IsADirectoryError:
        raise CourseError(f"{path} is a folder; give an image file") from None
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}); replace the file or remove it") from None


def _places(shapes):
    """Where each image begins and ends in the file of pixels, in bytes."""
    ends = np.cumsum([height * width * 3 for height, width in shapes], dtype=np.int64).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _is_whole(pixels, index, progress):
    """Whether index and pixels are there, and the pixels are those that were written."""
    try:
        about = _read_index(index)
        shapes, checksums, stamp = about["shapes"], about["checksums"], _stamp(pixels)
        places = _places(shapes)
        if stamp[0] != places[-1][1]:
            return False
    except (OSError, ValueError):
        return False
    if stamp == about["stamp"]:
        return True
    flat = np.memmap(pixels, np.uint8, mode="r")  # somebody touched the file: look at all of it, once
    found = _in_parallel(lambda place: zlib.crc32(flat[slice(*place)]), places, "checking the cache", progress)
    if found != checksums:
        return False
    _write_index(index, about | {"stamp": stamp})
    return True


def _write_index(index, about):
    with atomic(index) as temporary:
        temporary.write_text(json.dumps({"hash": _hash(json.dumps(about).encode()), "about": about}))


def _read_index(index):
    """What was written; a ValueError if it is damaged: wrong shapes would give wrong images without a word."""
    content = json.loads(index.read_text())
    if not isinstance(content, dict) or content.get("hash") != _hash(json.dumps(content.get("about")).encode()):
        raise ValueError(f"{index} is damaged")
    return content["about"]


def _decode_all(paths, pixels, index, progress):
    """Append the pixels to a `.part` file and a line for each image to its log, then give both their names."""
    part, log = pixels.with_suffix(".part"), pixels.with_suffix(".log")
    shapes, checksums = _trusted(part, log)
    for path in (index, pixels):  # damaged, if they are there
        path.unlink(missing_ok=True)
    sizes = [image_size(path) for path in paths[len(shapes) :]]
    room(pixels.parent, sum(width * height * 3 for width, height in sizes), "the decoded images")
    with part.open("ab") as data, log.open("a") as lines:

        def keep(image_and_checksum):
            image, checksum = image_and_checksum
            data.write(image)
            data.flush()
            lines.write(f"{image.shape[0]} {image.shape[1]} {checksum}\n")
            lines.flush()
            shapes.append(image.shape[:2])
            checksums.append(checksum)

        _in_parallel(_decoded, paths[len(shapes) :], "decoding", progress, keep, done=len(shapes))
        os.fsync(data.fileno())  # a power cut must not leave an index without its pixels
    os.replace(part, pixels)
    _write_index(index, {"shapes": shapes, "checksums": checksums, "stamp": _stamp(pixels)})
    log.unlink()


def _decoded(path):
    image = np.ascontiguousarray(read_image(path))
    return image, zlib.crc32(image)


def _in_parallel(function, items, text, progress, keep=None, done=0):
    """[function(item), ...] with all cores (decoding, hashing and checksums leave the interpreter free), and a bar.

    With `keep` each result is handed to it, in order, and forgotten: only 64 at a time wait in memory.
    """
    from tqdm.auto import tqdm

    results = []
    keep = keep or results.append
    bar = tqdm(total=done + len(items), initial=done, desc=text, unit="image", disable=not progress, leave=False)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(items), 64):
            for result in pool.map(function, items[start : start + 64]):
                keep(result)
                bar.update()
    return results


def _trusted(part, log):
    """Shapes and checksums of the images that interrupted work left whole in `part`; what comes after is cut off."""
    part.touch()
    lines = log.read_text("ascii", "replace").splitlines(keepends=True) if log.exists() else []
    shapes, checksums, kept, end = [], [], [], 0
    with part.open("r+b") as data:
        for line in lines:
            numbers = [int(number) for number in line.split() if number.isdigit()]
            if len(numbers) != 3 or not line.endswith("\n"):
                break
            height, width, checksum = numbers
            image = data.read(height * width * 3)
            if len(image) < height * width * 3 or zlib.crc32(image) != checksum:
                break
            shapes.append((height, width))
            checksums.append(checksum)
            kept.append(line)
            end += len(image)
        data.truncate(end)
    log.write_text("".join(kept))
    return shapes, checksums
