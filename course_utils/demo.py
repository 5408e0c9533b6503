"""The main job in one go: make pages, train DnCNN on their scans, restore pages it has never seen, and show them."""

from pathlib import Path

from course_utils.viewer import compare, plot_history, table, write_page

SCANNERS = {"test": "known scanner", "unseen": "unseen scanner"}


def run(out, seed=0):
    """Train under the current profile, print scan against restored, and write out/index.html.

    Interrupted and started again, it goes on where it was.

    Args:
        out: the folder for checkpoints and the page.
        seed: of the network's first weights and of the training samples.

    Returns:
        name of the test set -> {"scan": scores, "restored": scores}, as `metrics.evaluate` gives them.
    """
    from course_utils import data, profiles
    from course_utils.recipes import recipe, train

    profile = profiles.setup("descanning demo")
    small = {"train": 3, "valid": 1, "test": 2, "size": 256} if profile.name == "test" else {}
    folder = data.make_pages(data.home() / "pages-test", **small) if small else data.fetch("pages")
    model, history = train(recipe(profile.name), folder, Path(out), seed=seed, save_every=100)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"DnCNN: {parameters:,} parameters; best on validation after {history.best_step} steps")
    tests = {name: _restore_all(model, data.PairedImages(data.pairs_in(folder / name))) for name in SCANNERS}
    scores = {name: _scores(images) for name, images in tests.items()}
    page = _write(Path(out) / "index.html", tests, scores, history)
    _print(scores, page)
    return scores


def _restore_all(model, pairs):
    """[(scan, restored, original), ...], each (3, H, W)."""
    from course_utils.inference import restore

    images = []
    for i in range(len(pairs)):
        scan, original = pairs[i]
        images.append((scan, restore(model, scan), original))
    return images


def _scores(images):
    from course_utils.metrics import evaluate

    scans, restored, originals = zip(*images, strict=True)
    return {"scan": evaluate(scans, originals), "restored": evaluate(restored, originals)}


def _write(path, tests, scores, history):
    rows, pictures = [], []
    for name, images in tests.items():
        rows += [(f"{SCANNERS[name]}: {kind}", *_figures(score)) for kind, score in scores[name].items()]
        pictures.append(f"<h2>{SCANNERS[name].capitalize()}</h2>")
        for scan, restored, original in images[:3]:
            pictures.append(compare({"scan": scan, "restored": restored, "original": original}, reference="original"))
    head = ("mean over the test pages", "PSNR (dB)", "SSIM", "mean-Y error (grey levels)")
    note = "<p>Neither the photographs nor the words of these pages were in the training.</p>"
    parts = [note, table(head, rows), plot_history(history), *pictures]
    return write_page(path, "Descanning: scanned pages restored by DnCNN", parts)


def _figures(score):
    return f"{score['psnr']:.2f}", f"{score['ssim']:.4f}", f"{score['luma_error']:.2f}"


def _print(scores, page):
    for name, kinds in scores.items():
        for kind, score in kinds.items():
            psnr, ssim, error = _figures(score)
            print(f"{SCANNERS[name]:15} {kind:9} PSNR {psnr:>5} dB   SSIM {ssim}   mean-Y error {error} grey levels")
    print(f"Look at {page.resolve()}")
    for name in ("unseen", "test"):
        before, after = (scores[name][kind]["psnr"] for kind in ("scan", "restored"))
        print(f"descanning, {SCANNERS[name]}: {before:.2f} -> {after:.2f} dB ({after - before:+.2f})")
