"""DnCNN-17, trained end to end on patches of 128 in batches of 64: `course_utils.fit` beside the hands-on code.

    .venv/bin/python benchmarks/training.py [--quick] [--json FILE]        or: course bench training

Both train the same network (559,363 parameters) on the same pages, decoding or cutting patches included. `fp32` is
`fit` in full precision, as on a processor without bfloat16. `psnr_difference_db` is what the precision changes in the
end: DnCNN trained twice for each of several seeds with everything equal, mean over the seeds and the test pages of
(fastest precision - float32). `spread_db` is how far apart the seeds are among themselves.

On a GPU the same command compares both there, and adds what 10 epochs of 10,000 pairs take at these rates, in minutes.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

import hands_on
import torch
from common import finish, fresh, options

from course_utils.data import PairedImages, PairedPatches, make_pages, pairs_in
from course_utils.models import DnCNN
from course_utils.processor import fastest_precision
from course_utils.training import fit, validate

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Timed:
    """A data set that notes when each batch is asked for."""

    def __init__(self, patches):
        self.patches, self.times = patches, []

    def __len__(self):
        return len(self.patches)

    def __getitem__(self, i):
        return self.patches[i]

    def batch(self, numbers):
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        return self.patches.batch(numbers)


def our_rate(folder, precision, batch_size, steps):
    train = Timed(PairedPatches.from_folder(folder / "train", patch=128, cache=folder / "cache", progress=False))
    valid = PairedImages(pairs_in(folder / "valid"))
    settings = {"steps": steps + 2, "validate_every": steps + 2, "batch_size": batch_size, "precision": precision}
    fit(DnCNN(), train, valid, progress=False, **settings)
    spans = [b - a for a, b in itertools.pairwise(train.times)]
    return batch_size / statistics.median(spans[1:])  # the first step also prepares things


def hands_on_rate(folder, batch_size, steps):
    model = DnCNN().to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    pairs, times = pairs_in(folder / "train") * (batch_size * (steps + 1)), []

    class Batches:
        def __iter__(self):
            batches = iter(hands_on.loader(pairs, batch_size))
            for _ in range(len(self)):
                times.append(time.perf_counter())
                yield next(batches)
            times.append(time.perf_counter())

        def __len__(self):
            return steps + 1

    hands_on.train(model, Batches(), optimizer, DEVICE)
    return batch_size / statistics.median([b - a for a, b in itertools.pairwise(times)][1:])


def trained_psnr(folder, precision, seed, network, settings):
    """The PSNR on pages that were not in the training."""
    train = PairedPatches(pairs_in(folder / "train"), patch=40, seed=seed, cache=folder / "cache", progress=False)
    torch.manual_seed(seed)
    model = DnCNN(**network)
    pages = PairedImages(pairs_in(folder / "test"))
    fit(model, train, [pages[0]], precision=precision, seed=seed, progress=False, **settings)
    return validate(model, pages)["psnr"]


def precision_difference(folder, precision, quick):
    network = {"depth": 5, "width": 32} if quick else {}
    settings = {"steps": 100 if quick else 400, "batch_size": 8, "lr": 3e-3 if quick else 1e-3}
    settings["validate_every"] = settings["steps"]
    psnrs = {
        name: [fresh(trained_psnr, folder, name, seed, network, settings) for seed in range(1 if quick else 3)]
        for name in ("no", precision)
    }
    differences = [half - full for full, half in zip(*psnrs.values(), strict=True)] if precision != "no" else [0.0]
    return {
        "psnr_difference_db": statistics.mean(differences),
        "psnr_difference_spread_db": statistics.pstdev(differences),
        "spread_db": statistics.pstdev(psnrs["no"]),
        "psnr_fp32_db": statistics.mean(psnrs["no"]),
    }


def measure(folder, quick):
    precision = fastest_precision(DEVICE)
    batch_size, steps, times = (16, 1, 1) if quick else (64, 2, 2)
    rates = {"hands_on": [], "ours": [], "fp32": []}
    for _ in range(times):  # in turns: whatever else the machine does meets all of them
        rates["hands_on"].append(fresh(hands_on_rate, folder, batch_size, steps))
        rates["ours"].append(fresh(our_rate, folder, precision, batch_size, 2 * steps))
        rates["fp32"].append(fresh(our_rate, folder, "no", batch_size, steps))
    theirs, ours, full = (statistics.median(each) for each in rates.values())
    figures = {
        "precision": precision,
        "hands_on_pairs_per_s": theirs,
        "ours_pairs_per_s": ours,
        "fp32_pairs_per_s": full,
        "ratio": ours / theirs,
        "ratio_fp32": full / theirs,
    }
    if DEVICE == "cuda":
        figures["minutes_of_10_epochs"] = 100_000 / ours / 60
        figures["hands_on_minutes_of_10_epochs"] = 100_000 / theirs / 60
    return figures | precision_difference(folder, precision, quick)


def main():
    chosen = options(__doc__)
    with tempfile.TemporaryDirectory(prefix="course-training-") as folder:
        counts = {"train": 6, "valid": 1, "test": 2} if chosen.quick else {"train": 24, "valid": 1, "test": 6}
        figures = measure(make_pages(Path(folder) / "pages", **counts), chosen.quick)
    finish(figures, chosen.json)


if __name__ == "__main__":
    main()
