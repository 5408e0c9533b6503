"""Restore images with DnCNN-17: `course_utils.restore` beside the hands-on code, at 512x512, 1080p and 4K.

    .venv/bin/python benchmarks/restoring.py [--quick] [--json FILE]        or: course bench restoring

The hands-on code restores with gradients, in training mode, the whole image at once; it needs 35 layers of the image
at a time, which no 4K image finds room for. So it is also measured as somebody would mend it, in evaluation mode and
under `torch.no_grad()` ("mended"); `ratio_512` is to the code as it is, `ratio_4k` to the mended one. Peaks are those
of the whole process. `bf16_levels` is by how many grey levels a pixel changes at most if the network computes in
bfloat16: more than one, so `restore` does not.
"""

import resource
import statistics
import tempfile
import time
from pathlib import Path

import hands_on
import torch
from common import finish, fresh, options, peak_mib

from course_utils.data import PairedImages, PairedPatches, make_pages, pairs_in
from course_utils.images import quantise, write_image
from course_utils.inference import restore
from course_utils.models import DnCNN
from course_utils.training import fit

SIZES = {"512": (512, 512), "1080p": (1080, 1920), "4k": (2160, 3840)}


def noise_image(path, size):
    torch.manual_seed(0)
    return write_image(path, torch.rand(3, *size)) or path


def timed(call, times):
    """(seconds, the median of a few calls; peak of this process in MiB). One call before prepares things."""
    spans = []
    for _ in range(times + (times > 1)):
        start = time.perf_counter()
        call()
        spans.append(time.perf_counter() - start)
    return statistics.median(spans[-times:]), peak_mib()


def ours(path, times):
    from course_utils.images import read_image, to_tensor

    model = DnCNN()
    return timed(lambda: restore(model, to_tensor(read_image(path))), times)


def as_it_is(path, times):
    limit_memory()
    model = DnCNN().train()
    try:
        return timed(lambda: hands_on.restore(model, path), times)
    except (RuntimeError, MemoryError):
        return None  # no room


def mended(path, times):
    model = DnCNN().eval()
    with torch.no_grad():
        return timed(lambda: hands_on.restore(model, path), times)


def limit_memory():
    """An allocation that fails, in place of a machine that hangs and a process that is killed."""
    text = Path("/proc/meminfo").read_text().split("MemAvailable:")[1]
    limit = int(int(text.split()[0]) * 2**10 * 0.9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def bf16_levels(folder, steps):
    """By how many grey levels the pixels of a page change at most, with a network that has learnt to descan."""
    torch.manual_seed(0)
    model, pages = DnCNN(depth=5, width=32), PairedImages(pairs_in(folder / "test"))
    train = PairedPatches.from_folder(folder / "train", patch=40, cache=folder / "cache", progress=False)
    fit(model, train, [pages[0]], steps=steps, batch_size=8, lr=3e-3, validate_every=steps, progress=False)
    scan = pages[0][0]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = model.restore(scan[None])[0].float().clamp(0, 1)
    return 255 * (quantise(half) - quantise(restore(model, scan))).abs().max().item()


def measure(folder, quick):
    figures = {}
    for name, size in SIZES.items():
        if quick and name == "4k":
            continue
        path, times = noise_image(folder / f"{name}.png", size), (2 if quick else 3) if name == "512" else 1
        rows = {"ours": fresh(ours, path, times), "mended": fresh(mended, path, times)}
        rows["hands_on"] = fresh(as_it_is, path, times) if name == "512" or not quick else None
        for row, found in rows.items():
            if found is not None:
                figures |= {f"{row}_images_per_s_{name}": 1 / found[0], f"{row}_peak_mib_{name}": found[1]}
        rival = rows["hands_on"] if name == "512" else rows["mended"]
        figures[f"ratio_{name}"] = rival[0] / rows["ours"][0]
    figures["peak_mib_4k"] = figures.get("ours_peak_mib_4k", figures["ours_peak_mib_1080p"])
    pages = make_pages(folder / "pages", train=4, valid=1, test=1)
    return figures | {"bf16_levels": fresh(bf16_levels, pages, 100 if quick else 1500)}


def main():
    chosen = options(__doc__)
    with tempfile.TemporaryDirectory(prefix="course-restoring-") as folder:
        figures = measure(Path(folder), chosen.quick)
    finish(figures, chosen.json)


if __name__ == "__main__":
    main()
