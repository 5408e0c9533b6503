"""What lesson 0 asks: `psnr`."""

import math

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.probing import agrees, ask, claim, likely, number, trouble, undisturbed

# --- psnr ---


PAIRS = 16  # of images: half of them are two equal ones


def probe_psnr(answer, rng):
    """Ask for the PSNR of two even errors, an image, a batch, an image with a bad frame, pairs of images, grey ones."""
    import torch

    clean = rng.uniform(0.2, 0.7, (3, 3, 12, 10))
    strengths = rng.uniform(0.6, 1.4, 5)  # many decibels apart, so that no number is likely
    spread = np.outer([0.02, 0.06, 0.15] * strengths[:3], [0.4, 1, 1.5]).reshape(3, 3, 1, 1)  # image, colour
    restored = clean + 0.03 * strengths[3] + spread * rng.standard_normal(clean.shape)
    framed = 1 - clean[0]
    framed[:, 2:-2, 2:-2] = clean[0, :, 2:-2, 2:-2] + 0.04 * strengths[3] * rng.standard_normal((3, 8, 6))
    grey = rng.uniform(0, strengths[4] / 1.4, (2, 2, 1, 13, 17))
    images = {"clean": clean, "restored": restored, "framed": framed, "grey": grey}
    evidence = {name: np.clip(image, 0, 1).astype(np.float32) for name, image in images.items()}
    evidence["error"] = float(rng.uniform(0.15, 0.45))
    equal = rng.permutation(PAIRS) < PAIRS // 2  # which ones nobody knows beforehand
    with undisturbed(rng):
        clean, restored, framed, grey = (torch.from_numpy(evidence[name].copy()) for name in images)
        flat = torch.full((3, 8, 8), 0.5)
        ask(evidence, "even", lambda: number(answer(flat + 0.1, flat)))
        ask(evidence, "even too", lambda: number(answer(flat + evidence["error"], flat)))
        ask(evidence, "one", lambda: number(answer(restored[1], clean[1])))
        ask(evidence, "batch", lambda: number(answer(restored, clean)))
        ask(evidence, "border", lambda: number(answer(framed, clean[0], border=2)))
        for i in range(PAIRS):
            other = clean[2].clone() if equal[i] else restored[2]
            ask(evidence, f"pair {i}", lambda other=other: number(answer(other, clean[2])))
        ask(evidence, "others", lambda: number(answer(grey[0], grey[1], border=3)))
    return evidence


def decibels(error):
    """The PSNR of a mean squared error."""
    return 10 * np.log10(1 / error)


def mse(restored, clean, axis=None):
    """The mean squared error, in double precision."""
    return np.square(restored.astype(np.float64) - clean.astype(np.float64)).mean(axis)


def wrong_decibels(what, found, wanted, causes, default):
    """The sentence for a PSNR that is not the expected one, or None if it is."""
    if agrees(found, wanted, rtol=0, atol=1e-3):
        return None
    strange = trouble(found, f"psnr of {what}", "one number")
    return strange or f"{what}: {found:.2f} dB, expected {wanted:.2f} dB: {likely(found, causes, default)}"


def even_problem(evidence, expected):
    other = expected["error"]
    return _even_problem(evidence, expected, "even", 0.1) or _even_problem(evidence, expected, "even too", other)


def _even_problem(evidence, expected, name, error):
    wanted = expected[name]
    causes = [
        (wanted + 20 * math.log10(255), "is the largest value taken to be 255? Images here go from 0 to 1"),
        (wanted * math.log(10), "is it the natural logarithm? Decibels take the one to base 10, log10"),
        (wanted * math.log2(10), "is it the logarithm to base 2? Decibels take the one to base 10, log10"),
        (-wanted, "log10(MSE) in place of log10(1 / MSE) turns the sign"),
        (2 * wanted, "20 · log10 goes with the root of the MSE; with the MSE itself it is 10 · log10"),
        (wanted / 2, "are the differences squared, and is no root taken of the MSE?"),
        (wanted / 10, "is the factor 10 missing?"),
        (error**2, "that is the MSE itself; the PSNR is 10 * log10(1 / MSE)"),
        (math.inf, "is the variance taken? An error that is the same everywhere is an error too"),
        (decibels(error**2 * 192), "are the squares summed up? MSE is their mean"),
    ]
    default = "is it 10 * log10(1 / MSE), with the mean of the squared differences?"
    return wrong_decibels(f"an error of {error:.3g} everywhere", evidence.get(name), wanted, causes, default)


def one_problem(evidence, expected):
    wanted, clean, restored = expected["one"], expected["clean"][1], expected["restored"][1]
    error = restored.astype(np.float64) - clean
    causes = [
        (wanted + 20 * np.log10(clean.max()), "is its brightest pixel taken for the range? The range is 1, always"),
        (wanted + 20 * np.log10(np.ptp(clean)), "is the range read from the image (max - min)? It is 1, always"),
        (
            wanted + 20 * np.log10(restored.max()),
            "is the brightest restored pixel taken for the range? It is 1, always",
        ),
        (decibels(np.abs(error).mean()), "is it the mean absolute error? The differences are squared first"),
        (decibels(error.var()), "is the variance of the difference taken? A shift of all pixels is an error too"),
        (decibels(error.var(ddof=1)), "is the variance of the difference taken? A shift of all pixels is an error too"),
        (decibels(mse(restored, clean, (1, 2))).mean(), "is there a PSNR for each colour? Take one MSE over all three"),
    ]
    default = "take the mean of the squares over the colours, rows and columns"
    return wrong_decibels("a dark noisy image", evidence.get("one"), wanted, causes, default)


def batch_problem(evidence, expected):
    found, wanted, clean, restored = evidence.get("batch"), *(expected[name] for name in ("batch", "clean", "restored"))
    if isinstance(found, str) and found.endswith("of shape (3,)"):
        return f"a batch of 3 images gave 3 numbers, expected one ({wanted:.2f} dB): take the mean over the images"
    each = decibels(mse(restored, clean, (1, 2, 3)))
    causes = [
        (
            decibels(mse(restored, clean)),
            "that is the PSNR of the common MSE; take the PSNR of each image, then the mean",
        ),
        (each.sum(), "that is the sum over the images; take the mean"),
        (each[0], "that is the first image alone"),
        (np.median(each), "that is the median of the images; take the mean"),
    ]
    default = "take the MSE of each image, its PSNR, and the mean over the images last"
    return wrong_decibels("a batch of 3 images", found, wanted, causes, default)


def border_problem(evidence, expected):
    wanted, restored, clean = expected["border"], expected["framed"], expected["clean"][0]
    causes = [
        (decibels(mse(restored, clean)), "the border is still in it; hand `border` on to `comparable`"),
        (decibels(mse(restored[:, 4:-4, 4:-4], clean[:, 4:-4, 4:-4])), "is the border shaved twice?"),
        (decibels(mse(restored[:, 2:, 2:], clean[:, 2:, 2:])), "the border goes at all four sides"),
    ]
    default = "leave out `border` pixels at each of the four sides"
    return wrong_decibels("an image with a bad frame, border=2", evidence.get("border"), wanted, causes, default)


def equal_problem(evidence, expected):
    pairs = [(evidence.get(f"pair {i}"), math.isinf(expected[f"pair {i}"])) for i in range(PAIRS)]
    for found, equal in pairs:
        sentence = _infinity_problem(found) if equal else _finite_problem(found)
        if sentence:
            return sentence
    return None


def _finite_problem(found):
    if isinstance(found, int | float) and math.isfinite(found):
        return None
    strange = trouble(found, "psnr of two images that differ", "one number")
    return strange or f"two images that differ gave {found:.2f} dB, expected less than infinity: what is their MSE?"


def _infinity_problem(found):
    if agrees(found, math.inf):
        return None
    if isinstance(found, str) and found.startswith(("ZeroDivisionError", "ValueError: math domain")):
        return f"two equal images raised {found[:60]}: their MSE is 0; torch.log10 would give infinity, as expected"
    strange = trouble(found, "psnr of two equal images", "infinity")
    if strange:
        return strange
    cause = "is something small added to the MSE?" if math.isfinite(found) else "what is log10(1 / 0)?"
    return f"two equal images gave {found:.2f} dB, expected infinity: {cause}"


def others_problem(evidence, expected):
    default = "the number of colours and images should not matter; is one of them written as a fixed number?"
    return wrong_decibels("two grey images, border=3", evidence.get("others"), expected["others"], [], default)


PSNR = Exercise(
    name="psnr",
    lesson="00_welcome",
    answer="psnr",
    reference="course_utils.metrics:psnr",
    probe=probe_psnr,
    claims=(
        claim("pixels that are all wrong by 0.1 give 20 dB", even_problem, points=2),
        claim("the range is 1, whatever the image holds", one_problem),
        claim("the PSNR of a batch is the mean of its images' PSNR", batch_problem, points=2),
        claim("`border` pixels are left out at each side", border_problem),
        claim("two equal images have infinite PSNR", equal_problem),
        claim("the same holds for grey images of another size", others_problem, hidden=True),
    ),
    hints=(
        "`comparable` gives two batches, (N, C, H, W). How far are they apart at each pixel, and on average?",
        "Square the difference and take the mean over all axes but the first: that is one MSE for each image. Then "
        "comes the formula, with torch.log10, and the mean over the images last.",
        "mse = (restored - clean).square().mean(dim=(1, 2, 3)), and then return "
        "(10 * torch.log10(...)).mean().item() with the right thing in place of the dots.",
    ),
)

EXERCISES = (PSNR,)
