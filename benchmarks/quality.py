"""What so many seconds of this machine buy, from scratch, on images that nobody trained on.

    .venv/bin/python benchmarks/quality.py [--seconds 60] [--only TASKS] [--quick] [--json FILE]
    .venv/bin/python benchmarks/quality.py --curve 15,30,60,120,600            or: course bench quality

Four tasks, each a network with its first weights, a data set and `course_utils.fit` for so many seconds: the learning
rate follows the clock, so every training ends with its schedule done.

    descan   DnCNN, 5 layers, on the embedded magazine pages; the gain over the scan on test pages (known scanner)
    srcnn    SRCNN 9-1-5 trained on T91, Set5 enlarged by 3, Y; bicubic 30.39 dB, the paper 32.39
    arcnn    ARCNN trained on Train400, Classic5 as JPEG of quality 10, Y; JPEG 27.82 dB, the paper 29.03
    dncnn    DnCNN trained on Train400, Set12 with noise of sigma 25; noisy 20.16 dB, the paper (17 layers) 30.44

The standard sets may not be handed on with this project; a task whose set is not there is left out, with a message.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import finish, fresh, options, test_set

from course_utils.data import PairedImages, PairedPatches, Patches, make_pages, pairs_in
from course_utils.degrade import GaussianNoise, Jpeg, low_resolution_pair
from course_utils.files import CourseError
from course_utils.images import quantise, to_array, to_tensor
from course_utils.inference import restore
from course_utils.losses import mse_loss
from course_utils.metrics import evaluate, luma, psnr
from course_utils.models import ARCNN, SRCNN, DnCNN
from course_utils.training import fit

FIGURES = {
    "descan": "descan_gain_db",
    "srcnn": "srcnn_set5_x3_db",
    "arcnn": "arcnn_classic5_q10_db",
    "dncnn": "dncnn_set12_s25_db",
}


def descan(seconds):
    with tempfile.TemporaryDirectory(prefix="course-quality-") as folder:
        pages = make_pages(Path(folder) / "pages", train=24, valid=3, test=6)
        train = PairedPatches.from_folder(pages / "train", patch=40, cache=Path(folder) / "cache")
        model = DnCNN(depth=5, width=32)
        valid = PairedImages(pairs_in(pages / "valid"))
        took = train_for(seconds, model, train, valid, batch_size=8, lr=3e-3)
        test = PairedImages(pairs_in(pages / "test"))
        scans, originals = zip(*(test[i] for i in range(len(test))), strict=True)
        before = evaluate(scans, originals)["psnr"]
        return evaluate([restore(model, scan) for scan in scans], originals)["psnr"] - before, took


def srcnn(seconds):
    scale = 3
    pairs = lambda name: [low_resolution_pair(quantise(luma(to_tensor(image))), scale) for image in test_set(name)]
    taught = [pair for pair in pairs("T91") if min(pair[1].shape[-2:]) >= 24]
    degraded, clean = zip(*taught, strict=True)
    train = Patches(bytes_of(clean), bytes_of(degraded), patch=24)
    model = SRCNN()
    took = train_for(seconds, model, train, taught[::30], batch_size=16, lr=2e-3, loss=mse_loss)
    degraded, originals = zip(*pairs("Set5"), strict=True)
    restored = [restore(model, image) for image in degraded]
    return evaluate(restored, originals, border=scale)["psnr"], took


def arcnn(seconds):
    compress = Jpeg(10)
    clean = [to_tensor(image)[:1] for image in test_set("Train400")]
    degraded = [compress(image, None) for image in clean]
    train = Patches(bytes_of(clean), bytes_of(degraded), patch=32)
    model, valid = ARCNN(channels=1), list(zip(degraded, clean, strict=True))[::100]
    took = train_for(seconds, model, train, valid, batch_size=16, lr=1e-3, loss=mse_loss)
    originals = [to_tensor(image)[:1] for image in test_set("Classic5")]
    restored = [restore(model, compress(image, None)) for image in originals]
    return evaluate(restored, originals)["psnr"], took


def dncnn(seconds):
    clean = [to_tensor(image)[:1] for image in test_set("Train400")]
    rng = np.random.default_rng(0)
    train = Patches(bytes_of(clean), degradation=GaussianNoise(25, clip=False), patch=32)
    model = DnCNN(channels=1, depth=7, width=48)
    valid = [(GaussianNoise(25)(image, rng), image) for image in clean[::100]]
    took = train_for(seconds, model, train, valid, batch_size=8, lr=4e-3)
    originals = [to_tensor(image)[:1] for image in test_set("Set12")]
    return sum(psnr(denoised(model, image, rng), image) for image in originals) / len(originals), took


def denoised(model, image, rng):
    """Of an image with noise that is not clipped, as in the literature; `restore` takes images alone, in [0, 1]."""
    noisy = GaussianNoise(25, clip=False)(image, rng)
    with torch.inference_mode():
        return quantise(model.eval().restore(noisy[None])[0])


def bytes_of(images):
    return [to_array(image) for image in images]


def train_for(seconds, model, train, valid, **settings):
    """Train; returns the seconds that it took, with validations."""
    start = time.perf_counter()
    fit(model, train, valid, seconds=seconds, **settings)
    return time.perf_counter() - start


def task(name, seconds, seed):
    """(the figure, the seconds that its training took), or why there is none."""
    torch.manual_seed(seed)
    try:
        return {"descan": descan, "srcnn": srcnn, "arcnn": arcnn, "dncnn": dncnn}[name](seconds)
    except CourseError as error:
        return str(error)


def measure(names, seconds, seed=0):
    figures = {}
    for name in names:
        found = fresh(task, name, seconds, seed)
        if isinstance(found, str):
            print(f"{name} is left out: {found}")
        else:
            figures |= {FIGURES[name]: found[0], f"{name}_training_s": found[1]}
    return figures


def numbers(text):
    return [int(each) for each in text.split(",")]


def tasks(text):
    names = text.split(",")
    if unknown := [name for name in names if name not in FIGURES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose among {','.join(FIGURES)}")
    return names


def main():
    chosen = options(
        __doc__,
        seconds={"type": int, "default": 60, "help": "for each training (%(default)s)"},
        only={"type": tasks, "default": list(FIGURES), "metavar": "TASKS", "help": f"some of {','.join(FIGURES)}"},
        curve={"type": numbers, "metavar": "SECONDS,...", "help": "also after each of these times"},
    )
    figures = measure(chosen.only, 6 if chosen.quick else chosen.seconds)
    for seconds in chosen.curve or ():
        more = figures if seconds == chosen.seconds else measure(chosen.only, seconds)
        figures |= {f"{name}_after_{seconds}_s": value for name, value in more.items() if name in FIGURES.values()}
    finish(figures, chosen.json)


if __name__ == "__main__":
    main()
