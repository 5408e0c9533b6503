"""Pairs per second, ready for the network: the cache, beside code that decodes both PNGs for every sample.

    .venv/bin/python benchmarks/data.py [--quick] [--json FILE]        or: course bench data

Pairs of 512x512, patches of 128, batches of 64, turned and mirrored, as float32. `copy` is the least that anybody can
do: it copies windows of arrays in memory and makes them floats, without turning anything. `first_epoch_ratio` counts
the building of the cache: above 1, even a single epoch is faster than the rival's. The last rows show what happens as
work grows: the pairs are links to a few pages, so that they need no room, but each one is decoded.
"""

import itertools
import os
import tempfile
import threading
import time
from pathlib import Path

import hands_on
import numpy as np
import torch
from common import finish, fresh, options

from course_utils.data import PairedPatches, decode, make_pages, pairs_in
from course_utils.images import as_floats
from course_utils.processor import memory_kept

BATCH, PATCH = 64, 128


def linked(pages, folder, count):
    """A folder of so many pairs, each a link to one of the pages."""
    sources = pairs_in(pages)
    for kind in ("clean", "scan"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        for source, kind in zip(sources[i % len(sources)], ("clean", "scan"), strict=True):
            os.link(source, folder / kind / f"{i:05}.png")
    return folder


def per_second(batches, seconds):
    """Pairs per second of an iterator over batches; the first batch also prepares things."""
    next(batches)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        count += len(next(batches)[0])
    return count / (time.perf_counter() - start)


def endless(make):
    while True:
        yield from make()


def hands_on_rate(folder, seconds):
    return per_second(endless(lambda: iter(hands_on.loader(pairs_in(folder), BATCH))), seconds)


def our_batches(patches):
    for first in itertools.count(0, BATCH):
        degraded, clean = patches.batch(range(first, first + BATCH))
        yield as_floats(degraded), as_floats(clean)


def copies(folder, cache):
    """Bare copies of windows, made floats."""
    images = decode([path for pair in pairs_in(folder) for path in pair], cache, progress=False)
    rng, bytes_ = np.random.default_rng(0), np.empty((2, BATCH, PATCH, PATCH, 3), np.uint8)
    while True:
        places = zip(rng.integers(len(images) // 2, size=BATCH), rng.integers(384, size=(BATCH, 2)), strict=True)
        for k, (i, (top, left)) in enumerate(places):
            for side in (0, 1):
                bytes_[side, k] = images[2 * i + side][top : top + PATCH, left : left + PATCH]
        yield tuple(torch.from_numpy(each).permute(0, 3, 1, 2) / 255 for each in bytes_)


def our_rate(folder, cache, seconds):
    patches = PairedPatches.from_folder(folder, patch=PATCH, cache=cache, progress=False)
    with memory_kept():  # as in `fit`
        return per_second(our_batches(patches), seconds)


def copy_rate(folder, cache, seconds):
    with memory_kept():
        return per_second(copies(folder, cache), seconds)


def first_epoch(folder, cache):
    """(seconds to build the cache, seconds for the epoch, most MiB held) for data never seen before."""
    with most_memory() as held, memory_kept():
        start = time.perf_counter()
        patches = PairedPatches.from_folder(folder, patch=PATCH, cache=cache, progress=False)
        built = time.perf_counter()
        for _, batch in zip(range(-(-len(patches) // BATCH)), our_batches(patches), strict=False):
            assert batch[0].shape[1:] == (3, PATCH, PATCH)
        end = time.perf_counter()
    return built - start, end - built, held[0]


class most_memory:
    """The most MiB that this process holds within, apart from files mapped into it, which the system takes back."""

    def __enter__(self):
        self.most, self.going = [0.0], True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self.most

    def watch(self):
        while self.going:
            text = Path("/proc/self/status").read_text().split("RssAnon:")[1]
            self.most[0] = max(self.most[0], int(text.split()[0]) / 2**10)
            time.sleep(0.05)

    def __exit__(self, *_):
        self.going = False
        self.thread.join()


def measure(folder, quick):
    pages = make_pages(folder / "pages", train=6 if quick else 24, valid=1, test=1) / "train"
    small = linked(pages, folder / "small", 128 if quick else 512)
    seconds = 3 if quick else 10
    build, epoch, _ = fresh(first_epoch, small, folder / "cache")
    rates = {"hands_on": [], "ours": [], "copy": []}
    for _ in range(1 if quick else 3):  # in turns: whatever else the machine does meets all three
        rates["hands_on"].append(fresh(hands_on_rate, small, seconds))
        rates["ours"].append(fresh(our_rate, small, folder / "cache", seconds))
        rates["copy"].append(fresh(copy_rate, small, folder / "cache", seconds))
    theirs, ours, copy = (float(np.median(each)) for each in rates.values())
    count = 128 if quick else 512
    return {
        "hands_on_pairs_per_s": theirs,
        "ours_pairs_per_s": ours,
        "copy_pairs_per_s": copy,
        "ratio": ours / theirs,
        "against_copy": ours / copy,
        "first_epoch_ratio": count / theirs / (build + epoch),
        "first_epoch_pairs_per_s": count / (build + epoch),
    }


def grow(pages, folder, counts):
    figures = {}
    for count in counts:
        with tempfile.TemporaryDirectory(dir=folder) as here:
            build, epoch, held = fresh(first_epoch, linked(pages, Path(here) / "pairs", count), Path(here) / "cache")
        figures |= {f"build_s_{count}": build, f"epoch_s_{count}": epoch, f"memory_mib_{count}": held}
    return figures


def main():
    chosen = options(__doc__)
    with tempfile.TemporaryDirectory(prefix="course-data-") as folder:
        figures = measure(Path(folder), chosen.quick)
        counts = (100,) if chosen.quick else (100, 1000, 10_000)
        figures |= grow(Path(folder) / "pages" / "train", Path(folder), counts)
    finish(figures, chosen.json)


if __name__ == "__main__":
    main()
