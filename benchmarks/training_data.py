"""Where the time of a training goes: patches cut from a cache, beside patches that decode both PNGs each time.

    .venv/bin/python benchmarks/training_data.py [--json FILE]

The course's hands-on code decodes both images of a pair for every sample, in the training process. `PairedPatches`
decodes each image once. Both cut the same patches; a training step of the cpu recipe stands beside them as a measure.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from course_utils.data import PairedPatches, make_pages, pairs_in, random_patch
from course_utils.images import to_tensor
from course_utils.models import DnCNN
from course_utils.recipes import RECIPES
from course_utils.training import train_step


def seconds_per_call(call, times):
    """The median over `times` calls, the first one left out."""
    spans = []
    for i in range(times + 1):
        start = time.perf_counter()
        call(i)
        spans.append(time.perf_counter() - start)
    return float(np.median(spans[1:]))


def decoded_each_time(pairs, size):
    rng = np.random.default_rng(0)

    def sample(i):
        clean, scan = (cv2.imread(str(path))[..., ::-1] for path in pairs[i % len(pairs)])
        return [to_tensor(patch) for patch in random_patch(scan, clean, size, rng)]

    return sample


def measure(folder):
    recipe = RECIPES["cpu"]
    pairs = pairs_in(make_pages(folder / "pages", train=12, valid=1, test=1) / "train")
    start = time.perf_counter()
    patches = PairedPatches(pairs, patch=128, cache=folder / "cache")
    first = time.perf_counter() - start
    start = time.perf_counter()
    PairedPatches(pairs, patch=128, cache=folder / "cache")
    second = time.perf_counter() - start
    model = DnCNN(**recipe.network)
    optimizer = torch.optim.Adam(model.parameters())
    batch = [torch.rand(recipe.batch_size, 3, recipe.patch, recipe.patch) for _ in range(2)]
    each, cached = seconds_per_call(decoded_each_time(pairs, 128), 100), seconds_per_call(patches.__getitem__, 1000)
    return {
        "decode_ms_per_patch": 1000 * each,
        "cache_ms_per_patch": 1000 * cached,
        "ratio": each / cached,
        "decode_ms_per_batch_of_64": 64_000 * each,
        "cache_ms_per_batch_of_64": 64_000 * cached,
        "cpu_recipe_step_ms": 1000 * seconds_per_call(lambda i: train_step(model, optimizer, *batch), 30),
        "first_start_s": first,
        "second_start_s": second,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    for name, value in figures.items():
        print(f"{name:28} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
