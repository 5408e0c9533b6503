# minutes: test=0.3 cpu=3.5
# %% [markdown] lang="en"
# # Augmentation: what can be had without new data?
#
# A descanner that has learnt from three scanners meets a fourth, and is worse by more than a decibel. The obvious cure
# is to collect pages from the fourth scanner; but there will be a fifth. Can the pages that are here be made to teach
# more? Cut them elsewhere, turn them, mix them, scan them again with scanners that do not exist: all of that is called
# *augmentation*, and you have used some of it already. This lesson asks what each kind is worth, and it measures. Be
# prepared: some of it is worth nothing here, and some of it less than nothing.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | Why is an unknown scanner harder? | |
# | 2 | How many windows has a page? | `paired_crop` |
# | 3 | Eight pages out of one: always right? | `turn_pair` |
# | 4 | Can a network learn *where* to restore? | `cutblur` |
# | 5 | How does one draw a degradation at random? | `RandomPipeline` |
# | 6 | Three pages to learn from: what does each kind buy? | |
# | 7 | What becomes of a page that is clean already? | |
# | 8 | Back to the page: does any of it help on the unseen scanner? | |
# | 9 | And when restoring? | |
#
# **At the end** you have the augmentations of today's papers in twenty lines each, a pipeline of random degradations,
# and, above all, a figure of what each of them bought, with error bars. **Time:** three and a half minutes of
# computing on two CPU cores, and an hour of yours.
# %%
import time
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course_utils.augment import Augmented
from course_utils.degrade import GaussianNoise, Jpeg, Texture
from course_utils.files import CourseError
from course_utils.metrics import evaluate
from course_utils.models import DnCNN

# %% [markdown] lang="en"
# ## 1. Why is an unknown scanner harder?
#
# Here is a part of one page as the three known scanners see it, and as the fourth does, which no training may use (we
# only look). **What differs, and which of the differences could a network learn to ignore?**
# %%
folder = cu.data.course_pages()


def pairs_of(part):
    """All (scan, original) of a part of the pages, float (3, H, W), in memory."""
    images = cu.data.PairedImages(cu.data.pairs_in(folder / part))
    return [images[i] for i in range(len(images))]


pages, test, unseen = (pairs_of(part) for part in ("train", "test", "unseen"))
# %%
page = pages[3][1]
names = [*cu.degrade.KNOWN_SCANNERS, cu.degrade.UNSEEN_SCANNER]
scans = {name: cu.degrade.scanner(name)(page, np.random.default_rng(0)) for name in names}
part = profile.choose(test=np.s_[:, 40:140, 40:140], cpu=np.s_[:, 190:370, 150:330], gpu=np.s_[:, 190:370, 150:330])
cu.show_batch({name: image[part] for name, image in (scans | {"original": page}).items()}, columns=5, zoom=1)


# %% [markdown] lang="en"
# Dots, dust and the back of the sheet are there in all of them, a little stronger or weaker. What jumps to the eye is
# the *tint*. In numbers: of each colour, the level that one per cent of the pixels exceed (bare paper, or a little
# above), and the one that one per cent stay below (black ink):
# %%
def ends(image):
    """The levels that one per cent of the pixels stay below, and exceed, in each colour: two of (..., 3)."""
    return torch.quantile(image.flatten(-2), torch.tensor([0.01, 0.99]).to(image), dim=-1)


for name, image in (scans | {"original": page}).items():
    black, paper = (255 * ends(image)).round().int().tolist()
    print(f"{name:9} paper {paper}, black {black}  (red, green, blue)")


# %% [markdown] lang="en"
# A network with a view of a few pixels can find out what scanner a piece of paper comes from: paper is nearly white,
# so its scan has one of three tints, and for each of them it learns what to take away. The fourth tint lies between
# and beside them. Nothing that the network has learnt says what to do there.
#
# <details><summary>If pages from all scanners of the world were there, would the problem be solved?</summary>
#
# Not by itself. A yellowish pixel may be white paper under a yellowish lamp, or yellowish paper under a white one. With
# three scanners the tint of a few pixels says which lamp it was. With all scanners of the world it no longer does: more
# variety makes the question harder, and the answer needs a wider view. Keep this in mind for part 8.
#
# </details>
#
# ## 2. How many windows has a page?
#
# A network learns from small windows. A page of 512 × 512 pixels has 473 × 473 windows of 40 × 40, about a quarter of
# a million; most overlap, but no two are the same. To draw a new one each time costs nothing. In [lesson
# 5](05_dncnn.ipynb) you wrote that for a scan and an original of one size. A network that enlarges ([lesson
# 3](03_espcn_portraits.ipynb)) needs more: its clean image is `scale` times as high and as wide. **If the small
# window begins at row 5 and the scale is 3, at which row does the large one begin, and how high is it?**
#
# ### Your turn
#
# Write `paired_crop` for tensors (C, H, W) and (C, scale · H, scale · W). All chance comes from `rng`:
# `rng.integers(n)` is a whole number from 0 to n − 1. Two things raise a `CourseError` that names the sizes: a clean
# image that is not `scale` times as large, and a window that does not fit.
# %% exercise="paired_crop" answer="course_utils.augment:paired_crop"
def paired_crop(degraded, clean, size, rng, scale=1):
    """Cut the same random window from both images; the clean one may be `scale` times as high and wide.

    degraded: (C, H, W); clean: (C, scale * H, scale * W); size: the side of the window in the degraded image.
    Returns (degraded, clean): (C, size, size) and (C, scale * size, scale * size).
    """
    raise NotImplementedError


# %%
paired_crop = cu.check("paired_crop", paired_crop)
# %%
large = cu.degrade.crop_to_multiple(page, 3)
small = cu.degrade.reduce(large, 3)
rng = np.random.default_rng(1)
corners = [paired_crop(small, large, 24, rng, scale=3) for _ in range(4)]
names = [f"{kind} {i}" for kind in ("24 x 24", "72 x 72") for i in range(4)]
cu.show_batch([low for low, _ in corners] + [high for _, high in corners], names, columns=4, zoom=2)


# %% [markdown] lang="en"
# ## 3. Eight pages out of one
#
# Turn a page by 0, 90, 180 or 270 degrees, and mirror it or not: eight pages, and not one pixel had to be interpolated.
# (By 45 degrees it would: the pixels of the turned page lie between those of the old one.)
#
# ### Your turn
#
# Write `turn_pair`. Draw once, use it for both images. `torch.rot90(image, turns, dims=(-2, -1))` turns by so many
# quarters, in the plane of the two axes given (its default, the first two axes, would turn colours into rows);
# `image.flip(-1)` mirrors left and right. Each of the eight has to be equally likely. The images may have any number of
# axes before height and width, and `clean` may have another size than `degraded`.
# %% exercise="turn_pair" answer="course_utils.augment:turn_pair"
def turn_pair(degraded, clean, rng):
    """Turn and mirror both images in the same one of the eight ways, each of them equally likely.

    degraded, clean: tensors (..., H, W). Returns (degraded, clean), each (..., H, W) or (..., W, H).
    """
    raise NotImplementedError


# %%
turn_pair = cu.check("turn_pair", turn_pair)
# %%
window = paired_crop(*pages[0], 96, np.random.default_rng(8))
seen = {}
for seed in range(60):
    scan, original = turn_pair(*window, np.random.default_rng(seed))
    seen.setdefault(original.numpy().tobytes(), (scan, original))
print(f"{len(seen)} different pairs in 60 draws")
shown = [scan for scan, _ in seen.values()] + [original for _, original in seen.values()]
cu.show_batch(shown, [f"{kind} {i}" for kind in ("scan", "original") for i in range(len(seen))], columns=8, zoom=1)
# %% [markdown] lang="en"
# ### What if the two images are turned differently?
#
# It happens: somebody writes `turn(scan), turn(original)`, and each call draws for itself. No error, no warning. Let us
# train two small networks, one on right pairs, one on such pairs. `Augmented(pairs, augment, seed)` is the data set for
# this: its sample number i draws a pair and calls `augment(degraded, clean, rng)` on it, with an `rng` that depends on
# the seed and on i alone.
# %%
patch = profile.choose(test=24, cpu=40, gpu=96)
budget = profile.choose(
    test={"steps": 4, "batch_size": 4, "lr": 3e-3},
    cpu={"steps": 400, "batch_size": 8, "lr": 3e-3},
    gpu={"steps": 10_000, "batch_size": 32, "lr": 1e-3},
)


def middles(pairs):
    return [(scan[:, 128:384, 128:384], original[:, 128:384, 128:384]) for scan, original in pairs]


valid_pages = pairs_of("valid")[:3]
valid = middles(valid_pages)


# %%
def train(pairs, augment, seed, valid=valid, steps=budget["steps"], depth=4, width=16):
    """A small DnCNN after so many steps, the best of three validations; and its history."""
    torch.manual_seed(seed)
    network, samples = DnCNN(depth=depth, width=width), Augmented(pairs, augment, seed)
    settings = budget | {"steps": steps, "validate_every": -(-steps // 3)}
    return network, cu.fit(network, samples, valid, **settings, progress=False)


print(f"the small network has {sum(p.numel() for p in DnCNN(depth=4, width=16).parameters()):,} parameters")


# %%
def crop(degraded, clean, rng):
    return paired_crop(degraded, clean, patch, rng)


def crop_turn(degraded, clean, rng):
    return turn_pair(*crop(degraded, clean, rng), rng)


def crop_turn_each(degraded, clean, rng):  # wrong: each image is turned in a way of its own
    degraded, clean = crop(degraded, clean, rng)
    return turn_pair(degraded, degraded, rng)[0], turn_pair(clean, clean, rng)[0]


# %%
as_scanned = evaluate(*zip(*valid))["psnr"]
for name, augment in {"turned alike": crop_turn, "turned differently": crop_turn_each}.items():
    _, history = train(pages, augment, seed=0)
    losses = f"loss {history.losses[0]:.1f}, then {history.losses[-1]:.1f}"
    print(f"{name}: {history.psnrs[-1]:.2f} dB on validation pages (the scans: {as_scanned:.2f} dB); {losses}")


# %% [markdown] lang="en"
# Turned alike, the network restores the pages to 22.0<!-- turned alike: ±0.5 --> dB. Turned differently, it makes
# them *worse* than the scans, 18.2<!-- turned differently: ±0.6 --> dB in place of
# 19.26<!-- turned differently: * the scans: ±0.02 -->. And its loss has fallen as well: from
# 127<!-- turned differently: * loss ±10 --> to 116<!-- turned differently: * then ±10 -->. A falling loss does not
# say that the pairs are pairs: even from wrong ones averages can be learnt, such as how light a page is. (That it
# stays several times too high would say so; but who knows beforehand how high it should be?)
#
# <details><summary>Is a turned scan still a scan? Go through what a scanner does: halftone, the back that shines
# through, the streaks of the sensor, JPEG's grid of 8 × 8, letters.</summary>
#
# *Halftone*: the screens of the four inks repeat after 90 degrees, so a quarter turn leaves their angles as they are;
# a mirror makes 75 degrees of 15, and cyan and magenta change places. *The back* shines through mirrored; in a
# mirrored scan it can be read, and the front cannot. *Streaks* run down a page, since each column is one element of
# the sensor; a quarter turn makes them run across, which no scanner here does. *JPEG*: the grid stays if the sides
# are multiples of 8, but its table rounds waves across and waves down differently. *Letters*: no page has them upside
# down or mirrored. So a turned scan is *nearly* a scan. A network of few parameters pays for being ready for what never
# comes; whether it gains more than that is a matter of measuring, and part 6 does.
#
# </details>
#
# ## 4. Can a network learn where to restore?
#
# So far each patch was degraded all over, and the network could learn a habit: take away some yellow, everywhere. In
# 2020 Yoo, Ahn and Sohn looked at what augmentations known from classification do to super-resolution. To cut many
# pixels away did harm, since the network has to care for each of them; to mix images brought little. Their own is
# simple. Paste a rectangle of the *clean* image into the degraded one, at its own place, or the other way round; the
# target stays the clean image. They call it *CutBlur*. Now a habit no longer helps: the network has to see *where*
# something is wrong, and how much.
#
# ### Your turn
#
# Write `cutblur`. The rectangle is `round(share * height)` by `round(share * width)` pixels and lies anywhere within
# the image. With even chances (`rng.integers(2)`) it is cut from the clean image and pasted into the degraded one;
# otherwise the degraded rectangle comes into the clean image. Do not change the images that you are given:
# `image.clone()` is a copy. `image[..., a:b, c:d]` is a part of an image with any number of axes before height and
# width.
# %% exercise="cutblur" answer="course_utils.augment:cutblur"
def cutblur(degraded, clean, rng, share=0.7):
    """Paste a rectangle of the clean image into the degraded one, or the other way round; the target stays clean.

    degraded, clean: (..., H, W) of one shape; share: the sides of the rectangle, as a share of the image's sides.
    Returns (mixed, clean).
    """
    raise NotImplementedError


# %%
cutblur = cu.check("cutblur", cutblur)
# %%
rng = np.random.default_rng(2)
mixed = [cutblur(*paired_crop(*pages[i], 96, rng), rng) for i in (0, 0, 1, 1, 2, 2)]
names = [f"{kind} {i}" for kind in ("mixed", "target") for i in range(6)]
cu.show_batch([each[0] for each in mixed] + [each[1] for each in mixed], names, columns=6, zoom=1)


# %% [markdown] lang="en"
# Above what the network gets, below what it should answer.
#
# The ancestor of such mixing is *mixup* (Zhang and others, 2018): lay one whole pair over another, both images with the
# same weight. It is two lines, so here they are; `rng.beta(1.2, 1.2)` is a number between 0 and 1, a little more
# often in the middle.
# %%
def mixup(pair, other, rng):
    weight = float(rng.beta(1.2, 1.2))
    return [weight * one + (1 - weight) * two for one, two in zip(pair, other)]  # degraded, clean


blend = mixup(crop(*pages[0], rng), crop(*pages[1], rng), rng)
cu.show_batch({"mixed scans": blend[0], "mixed originals": blend[1]})


# %% [markdown] lang="en"
# <details><summary>For which degradations is mixup exactly right, in the sense that a mixture of two degraded images is
# the degraded mixture?</summary>
#
# For linear ones: blur, bicubic reduction, and noise nearly (two noises are averaged, so there is less of it). A scan
# is not linear. Halftone makes dots of every tone, and the mixture of two pages has two sets of dots in one place, as
# no scan has.
#
# </details>
#
# ## 5. How does one draw a degradation at random?
#
# A crop and a turn keep the scanner. To prepare for other scanners one has to degrade *anew*, with other strengths.
# What is more, with several degradations in a row, **does it matter which comes first?** Blur and noise, each once,
# on an even grey:
# %%
blur, noise = Texture(grain=0, warp=0, blur=1.2), GaussianNoise(20)
grey, rng = torch.full((3, 64, 64), 0.5), np.random.default_rng(0)
orders = {"blur, then noise": (blur, noise), "noise, then blur": (noise, blur)}
results = {}
for name, (first, second) in orders.items():
    left = second(first(grey, rng), rng)
    print(f"{name}: noise of {255 * left.std():.1f} grey levels")
    results[name] = second(first(page[part], rng), rng)
cu.show_batch(results, zoom=1)


# %% [markdown] lang="en"
# With the same two strengths, a noise of 20.0<!-- blur, then noise: ±0.4 --> grey levels or one of
# 5.0<!-- noise, then blur: ±1.0 -->, and it looks different as well: fine grain on the left, soft spots on the right. A
# network that was trained on one order has not seen the other. In 2021 Zhang and others (BSRGAN) therefore drew the order
# at random, and Wang and others (Real-ESRGAN) went through all stages twice.
#
# ### Your turn
#
# Write `RandomPipeline`. A *stage* is a function of `rng` that draws its strengths and returns a degradation; a
# degradation is, as everywhere in this kit, `y = degradation(x, rng)`. For example:
#
# `lambda rng: GaussianNoise(rng.uniform(5, 25))`
#
# - `draw(rng)` returns the list of the degradations for one image: each stage takes part if `rng.random() < chance`; with
#   `shuffle` they come in a random order, each order equally likely (`rng.permutation(n)` gives 0 … n − 1 in such an
#   order).
# - Calling the pipeline draws, and applies what was drawn, one after the other. In a batch, `x.dim() == 4`, each image
#   draws its own (call `self(image, rng)` for each; `torch.stack` makes a batch of a list).
#
# All chance comes from the `rng` that was handed in, so hand it on.
# %% exercise="random_pipeline" answer="course_utils.degrade.pipeline:RandomPipeline"
class RandomPipeline:
    """Degrade an image by stages that are drawn anew for each image: `y = pipeline(x, rng)`."""

    def __init__(self, stages, chance=1.0, shuffle=False):
        # stages: functions rng -> degradation; chance: of each stage to take part; shuffle: in a random order
        raise NotImplementedError

    def draw(self, rng):
        """The degradations of one image, in the order in which they are applied: a list, which may be empty."""
        raise NotImplementedError

    def __call__(self, x, rng):
        """x: float (C, H, W) -> y, as the last degradation gives it; in a batch (N, C, H, W) each image draws anew."""
        raise NotImplementedError


# %%
RandomPipeline = cu.check("random_pipeline", RandomPipeline)
# %%
stages = [
    lambda rng: Texture(grain=0, warp=0, blur=rng.uniform(0.3, 1.5)),
    lambda rng: GaussianNoise(rng.uniform(5, 25)),
    lambda rng: Jpeg(int(rng.integers(10, 60))),
]
pipeline, rng = RandomPipeline(stages, chance=0.8, shuffle=True), np.random.default_rng(5)
drawn = [pipeline(page[part], rng) for _ in range(6)]
cu.show_batch(drawn, columns=6, zoom=1)
# %% [markdown] lang="en"
# Six times the same part of the page: sharp or blurred, grainy or smooth, and, if you come close, with JPEG's blocks or
# without.
#
# ### Scanners that do not exist
#
# For pages the pipeline is there already: a scanner is six effects in the order in which a page meets them, and that
# order is physics, so we do not shuffle it. What can be drawn is their strengths. **But from which ranges?** To choose
# them with an eye on the unseen scanner would be cheating: it would no longer be unseen. So a rule, written down before
# anything is measured, that knows the three known scanners alone:
#
# - For each setting (period of the dots, dot gain, fading, saturation, gamma, noise, number of specks …) take the smallest
#   and the largest value among the known scanners, widen that span by half of its length on each side, and draw evenly.
# - The red, green and blue factors of the tint share one span, since nothing says which colour another lamp lacks; and
#   none is above 1: no scanner overexposes bare paper.
#
# `random_scanner(rng)` draws a scanner by this rule.
# %%
from course_utils.degrade import random_scanner

scanners = [random_scanner(np.random.default_rng(seed)) for seed in range(6)]
start = time.perf_counter()
scans = [scanner(page, np.random.default_rng(0)) for scanner in scanners]
print(f"{(time.perf_counter() - start) / 6:.2f} s a page")
for scanner in scanners[:3]:
    halftone, colour = scanner.effects[0], scanner.effects[3]
    print(f"period {halftone.period:.2f} pixels, fading {colour.fading:.2f}, tint", np.round(colour.cast, 2))
cu.show_batch([scan[part] for scan in scans], columns=6, zoom=1)


# %% [markdown] lang="en"
# ## 6. Three pages to learn from: what does each kind buy?
#
# Augmentation is said to help most where data are few. So let there be few: three pages, one from each known scanner.
# All networks are the same (4 layers, 16 maps), make the same number of steps, and are measured on the six test
# pages, from the known scanners. Three seeds each, which change the start, the order and every draw. What they learn
# from:
#
# - *12 fixed windows*, four of each page: a small data set, as it is. *The same, turned*: each time in one of eight ways.
# - *Random windows*: a new place each time. To that we add one thing at a time: *turns*, *CutBlur*, *mixup*; or two more
#   scans of each page, by *random scanners*.
#
# **Order them before you run it.**
# %%
few = pages[:3]


def fixed(pairs, count, seed):
    rng = np.random.default_rng([9, seed])
    return [crop(*pairs[i % len(pairs)], rng) for i in range(count)]


def scanned_anew(pairs, times, seed):
    """The pairs, and each original so many times more from a scanner that is drawn for it."""
    new = [np.random.default_rng([8, seed, i]) for i in range(times * len(pairs))]
    originals = [original for _, original in pairs]
    backs = [originals[(i + 1) % len(pairs)] for i in range(len(pairs))]  # another page is on the back
    drawn = [(random_scanner(rng, [backs[i % len(pairs)]]), i % len(pairs), rng) for i, rng in enumerate(new)]
    return list(pairs) + [(scanner(originals[i], rng), originals[i]) for scanner, i, rng in drawn]


# %%
def as_it_is(degraded, clean, rng):
    return degraded, clean


def crop_cut(degraded, clean, rng):
    return cutblur(*crop(degraded, clean, rng), rng)


def crop_mix(degraded, clean, rng):
    other = few[int(rng.integers(len(few)))]
    return mixup(crop(degraded, clean, rng), crop(*other, rng), rng)


# %%
ways = {  # name -> what a seed learns from, and how it is augmented
    "12 fixed windows": (lambda seed: fixed(few, 12, seed), as_it_is),
    "the same, turned": (lambda seed: fixed(few, 12, seed), turn_pair),
    "random windows": (lambda seed: few, crop),
    "+ turns": (lambda seed: few, crop_turn),
    "+ CutBlur": (lambda seed: few, crop_cut),
    "+ mixup": (lambda seed: few, crop_mix),
    "+ random scanners": (lambda seed: scanned_anew(few, 2, seed), crop),
}


# %%
def measured(network, pairs):
    return evaluate([cu.restore(network, scan) for scan, _ in pairs], [original for _, original in pairs])["psnr"]


def compare(ways, seeds, name):
    """Train a network for each way and seed; {way: [PSNR on the test pages]}, and the networks in the same order."""
    found, networks = {}, {}
    for way, (pairs, augment) in ways.items():
        networks[way] = [train(pairs(seed), augment, seed)[0] for seed in seeds]
        found[way] = [measured(network, test) for network in networks[way]]
        print(f"{name}, {way}: {cu.with_spread(found[way])} dB")
    return found, networks


# %%
seeds = profile.choose(test=(0,), cpu=(0, 1, 2), gpu=(0, 1, 2))
with_few, small_networks = compare(ways, seeds, "3 pages")
bought = np.mean(with_few["random windows"]) - np.mean(with_few["12 fixed windows"])
print(f"3 pages, random windows bring {bought:.2f} dB")
# %% [markdown] lang="en"
# And the same with all 24 pages, for some of them: as many windows of each page as before, random windows, and CutBlur.
# %%
more = {
    "96 fixed windows": (lambda seed: fixed(pages, 96, seed), as_it_is),
    "random windows": (lambda seed: pages, crop),
    "+ CutBlur": (lambda seed: pages, crop_cut),
}
with_all, networks = compare(more, seeds[:2], "24 pages")
cost = np.mean(with_all["random windows"]) - np.mean(with_all["+ CutBlur"])
print(f"24 pages, CutBlur costs {cost:.2f} dB")


# %%
def plot(axes, found, title):
    for place, scores in enumerate(found.values()):
        axes.plot(scores, [place] * len(scores), "o", color="grey", markerfacecolor="white")
        mean, spread = cu.mean_and_spread(scores)
        axes.errorbar(mean, place, xerr=spread, fmt="D", color="black", capsize=5)
    axes.set(yticks=range(len(found)), yticklabels=found, title=title, xlabel="PSNR on test pages (dB)")
    axes.grid(axis="x", alpha=0.3)
    axes.invert_yaxis()


# %%
figure = Figure(figsize=(10, 4), layout="constrained")
panels = figure.subplots(1, 2, sharex=True)
plot(panels[0], with_few, "3 pages, 3 seeds")
plot(panels[1], with_all, "24 pages, 2 seeds")
cu.Picture(figure, "PSNR of each way to augment: a diamond with an error bar for the mean, a circle for each seed")
# %% [markdown] lang="en"
# A circle is a seed, the diamond their mean, and the bar the standard deviation on both sides. Left first.
#
# - **Random windows** are what pays: from 21.8<!-- 3 pages, 12 fixed windows: ±0.5 --> dB with 12 fixed windows to
#   23.1<!-- 3 pages, random windows: ±0.3 --> dB. And the seeds come closer together: with 12 windows, luck decides
#   which ones you get. Turning the 12 windows gives 22.1<!-- 3 pages, the same, turned: ±0.5 --> dB: within the
#   spread of not turning them, so nothing can be said.
# - On top of random windows, **nothing else pays here**. With turns 22.8<!-- 3 pages, + turns: ±0.4 --> dB, with
#   mixup 22.7<!-- 3 pages, + mixup: ±0.4 -->, with random scanners 22.5<!-- 3 pages, + random scanners: ±0.6 -->,
#   with CutBlur 21.7<!-- 3 pages, + CutBlur: ±0.5 -->. All four lie lower, CutBlur by far the most.
#
# On the right, with 24 pages, the 96 fixed windows have caught up: 22.9<!-- 24 pages, 96 fixed windows: ±0.5 --> dB
# against 22.8<!-- 24 pages, random windows: ±0.6 --> dB for random ones, which is within the spread. So for random
# windows the saying holds: augmentation buys most where data are few.
#
# Why does the rest not help? Our guess: augmentation is a cure for learning by heart, and a network of
# 5,587<!-- the small network has ±0 --> parameters that sees 3,200 windows in all, nearly no two of them the same,
# has little chance to learn by heart. (With random windows 24 pages were no better than three, so it is not pages
# that it lacks.) It has too little time and too few parameters, and each augmentation adds something to learn (pages
# upside down, tints that no scanner here has, where to do nothing) that the test does not ask for. Give a network of
# 17 layers a day, and the balance may turn: CutBlur's authors gained most with large networks, and most published
# ones are trained with turns and mirrors. Measure before you believe, in both directions.
#
# ## 7. What becomes of a page that is clean already?
#
# A figure on scans does not say all. CutBlur was made to teach *where*. So give the networks of the 24 pages something
# that needs no restoring: the originals themselves. A good restorer leaves them alone. **Which of the two does?**
# %%
clean_pages = [(original, original) for _, original in test]
for way in ("random windows", "+ CutBlur"):
    scores = [measured(network, clean_pages) for network in networks[way]]
    print(f"a clean page through '{way}': {cu.with_spread(scores, '{:.1f}')} dB")
# %%
original = test[0][1]
answers = {way: cu.restore(networks[way][0], original) for way in ("random windows", "+ CutBlur")}
cu.compare(answers | {"the clean page": original}, reference="the clean page")


# %% [markdown] lang="en"
# The network of random windows knows one thing: a page has to be made lighter and its contrast raised. It does so
# with a page that is light already, and 20.6<!-- a clean page through 'random windows': ±1.0 --> dB is what is left:
# letters grow fatter, and colours burn out. The network of CutBlur has seen clean paper beside scanned paper in the
# same patch, and leaves the text nearly as it was, though not the cat, which it makes redder:
# 30.9<!-- a clean page through '+ CutBlur': ±2.0 --> dB. On scans it was
# 1.3<!-- 24 pages, CutBlur costs ±0.6 --> dB worse. So is CutBlur good or bad? That depends on what your users
# will bring: scans only, or now and then a page that was never printed.
#
# <details><summary>In lesson 4 a network made good JPEG images worse. What were the ways out there, and which of them
# is CutBlur akin to?</summary>
#
# Training on a range of qualities, and asking the file, which knows its table. CutBlur is akin to the first: its
# range goes down to no degradation at all, and both ends of it stand in one patch. A page carries no table, so there
# is nothing to ask.
#
# </details>
#
# ## 8. Back to the page: the unseen scanner
#
# Now the network of lesson 5, with five layers of 32 maps, on all 24 pages. *Before*: pages as scanned. *After*: each
# page scanned twice more, by random scanners, in advance and in memory. Showing a network what may vary until it is
# ready for all of it is called *domain randomisation*; in robotics, networks trained on randomly painted simulations
# alone have located real objects (Tobin and others, 2017).
#
# There is a second way, older than networks. Do not *show* the tint in all its varieties; *take it away*.
# Photographers call it levels: stretch each colour of a page until its darkest per cent is 0 and its lightest is 1.
# It needs the whole page, which a network of five layers never sees, and no learning at all. The network then learns
# from levelled scans and restores levelled scans.
# %%
def levels(scan):
    """Each colour stretched so that one per cent of the pixels lie below 0, and one above 1: (..., 3, H, W)."""
    black, paper = ends(scan)[..., None, None]
    return ((scan - black) / (paper - black).clamp(min=0.1)).clamp(0, 1)


class Levelled(nn.Module):
    """A network that gets to see levelled pages: (N, 3, H, W) -> (N, 3, H, W)."""

    receptive_radius = None  # the levels depend on the whole page, so it cannot be cut into tiles

    def __init__(self, network):
        super().__init__()
        self.network = network

    def restore(self, y):
        return self.network.restore(levels(y))


# %%
for name, pairs in {"known scanners": test, "unseen scanner": unseen}.items():
    scans, originals = zip(*pairs)
    scores = [evaluate(each, originals)["psnr"] for each in (scans, [levels(scan) for scan in scans])]
    print(f"{name}: the scan {scores[0]:.2f} dB, levelled {scores[1]:.2f} dB")
    alone = [[evaluate([x], [y])["psnr"] for x in (scan, levels(scan))] for scan, y in pairs]
    print("    change of each page:", *(f"{after - before:+.1f}" for before, after in alone))
scan, original = unseen[1]
cu.compare({"unseen scanner": scan, "levelled": levels(scan), "original": original}, reference="original")
# %% [markdown] lang="en"
# By itself this makes things *worse* on average: 18.23<!-- known scanners: the scan * levelled ±0.02 --> dB in place
# of 19.51<!-- known scanners: the scan ±0.02 --> on the known scanners. Page by page it looks different: those with
# bare paper gain or stay as they were, although noise and the back of the page are stretched along with the rest; the
# two whose photograph fills the page lose several decibels, since there the wrong things become white and black. But
# the scans of all four scanners now look more alike, and what levels get wrong in the same way each time, a network
# can learn to undo. **Which of the two will win on the unseen scanner, showing or taking away, and what will each
# cost on the known ones?**
# %%
start = time.perf_counter()
rescanned = scanned_anew(pages, 2, seed=0)
print(f"{len(rescanned) - len(pages)} new scans in {time.perf_counter() - start:.0f} s")
levelled = lambda pairs: [(levels(scan), original) for scan, original in pairs]
variants = {  # name -> the pairs to train on, and those to validate with
    "pages as scanned": (pages, valid),
    "random scanners": (rescanned, valid),
    "levels": (levelled(pages), middles(levelled(valid_pages))),
}
# %%
big = {"depth": 5, "width": 32, "steps": profile.choose(test=4, cpu=1500, gpu=20_000)}
trained = {}
for name, (pairs, checks) in variants.items():
    runs = [train(pairs, crop, seed, checks, **big) for seed in (0, 1)]
    trained[name] = [network for network, _ in runs]
    took = np.mean([1000 * history.seconds[-1] / history.steps[-1] for _, history in runs])
    print(f"{name}: {took:.0f} ms a step, {big['steps']} steps")
trained["levels"] = [Levelled(network) for network in trained["levels"]]
# %%
board = cu.Board("06_augmentation")
added = {name: board.add(f"DnCNN, 5 layers, {name}", nets) for name, nets in trained.items()}
cost = board.gain(added["pages as scanned"]) - board.gain(added["levels"])
print(f"levels cost the known scanners {cost:.2f} dB")
for name in ("random scanners", "levels"):
    gain = added[name]["unseen"]["psnr"] - added["pages as scanned"]["unseen"]["psnr"]
    print(f"{name} bring the unseen scanner {gain:+.2f} dB")
board
# %% [markdown] lang="en"
# - *Pages as scanned*: 25.2<!-- DnCNN, 5 layers, pages as scanned, 2 seeds: ±0.5 --> dB on the known scanners,
#   23.3<!-- DnCNN, 5 layers, pages as scanned * unseen scanner ±0.4 --> on the unseen one. That is "before".
# - *Random scanners*: 24.2<!-- DnCNN, 5 layers, random scanners, 2 seeds: ±0.5 --> dB on the known ones,
#   23.2<!-- DnCNN, 5 layers, random scanners * unseen scanner ±0.4 --> on the unseen one. The gap is smaller, but
#   only because the known scanners lost: to the unseen one they brought
#   −0.1<!-- random scanners bring the unseen scanner ±0.25 --> dB.
# - *Levels*: 24.5<!-- DnCNN, 5 layers, levels, 2 seeds: ±0.5 --> dB on the known ones,
#   23.7<!-- DnCNN, 5 layers, levels * unseen scanner ±0.4 --> on the unseen one: the best of the three there, by
#   0.4<!-- levels bring the unseen scanner ±0.3 --> dB, and the gap is less than half of what it was (the scans
#   themselves differ by 0.7). It costs the known ones
#   0.7<!-- levels cost the known scanners ±0.5 --> dB, and their SSIM is the lowest of the three.
#
# So to show the network many tints did not pay here, and to take tint and fading away did, by several times the
# spread of two seeds. We also tried other budgets (not shown). With three times as many steps, one seed each, the
# order stayed the same, and random scanners on top of levels changed nothing. With 1,200 steps one of the two networks
# with levels came out poor, and its lead was within the spread.
#
# <details><summary>Why does it not help the network to have seen many tints? (Part 1 asked something like
# it.)</summary>
#
# A network of five layers sees 11 × 11 pixels. With three scanners the tint of these pixels, or the distance of the
# dots, gives away which scanner it was, and each has its own correction. With fifty scanners a pinkish patch may be
# white paper on a pinkish scanner or pink paper on a white one, and nothing within 11 × 11 pixels tells them apart.
# What the network can do best is the average of all that is likely. (This is intuition: it agrees with what
# we measured, but does not follow from it.) Levels look at the whole page, and so answer the question before the
# network is asked. A network that saw the whole page could learn to do it by itself: see the next lesson.
#
# </details>
#
# <details><summary>The ranges of random_scanner came from a rule. Does the unseen scanner lie within them? (Look only
# now that everything is measured.)</summary>
#
# Nearly. `cu.degrade.SCANNERS["archive"]` shows its settings: its saturation of 0.64 and its paper grain of 0.018 lie
# just outside (0.66 and 0.0175 are the ends), all else inside. So it is not for want of range that random scanners
# did not help.
#
# </details>
# %%
restored = {name: cu.restore(trained[name][0], scan) for name in ("pages as scanned", "random scanners", "levels")}
cu.compare({"unseen scanner": scan} | restored | {"original": original}, reference="original")


# %% [markdown] lang="en"
# The same page from the unseen scanner: choose two of the images above the picture. The network that learnt from
# pages as scanned leaves lilac paper and a lilac cat. With levels both are nearly neutral; but the back of the sheet,
# mirrored, shows more on the right below the headline: levels have raised its contrast as well.
#
# <details><summary>What has the network of random scanners made of the tint?</summary>
#
# The paper is nearly neutral, a touch yellow: something about tints has been learnt. But the cat is still pinkish, and
# paler than it should be, so that nothing is won in decibels.
#
# </details>
#
# ## 9. And when restoring?
#
# The eight turns have one more use. Restore the page in all eight, turn the answers back, and take the mean: eight
# answers with eight different errors, and a mean has smaller ones. That is called *self-ensemble* (Lim and others,
# EDSR, 2017); it costs eight times the time, needs no training, and stands behind many a winning entry of
# a competition. We try it on three pages, with the small networks of part 6: those of random windows and those that
# have seen turned pages. **Will it make a difference which?**
# %%
def self_ensemble(restore, image):
    """The mean of eight answers: restore the image turned and mirrored in each way, and turn the answers back."""
    answers = []
    for mirrored in (False, True):
        seen = image.flip(-1) if mirrored else image
        for turns in range(4):
            answer = restore(torch.rot90(seen, turns, dims=(-2, -1)))
            answer = torch.rot90(answer, -turns, dims=(-2, -1))
            answers.append(answer.flip(-1) if mirrored else answer)  # the last thing done is the first undone
    return torch.stack(answers).mean(dim=0)


# %%
scans, originals = zip(*test[:3])
for way in ("random windows", "+ turns"):
    gains = []
    for network in small_networks[way]:
        restore = partial(cu.restore, network)
        once, eight = ([f(scan) for scan in scans] for f in (restore, partial(self_ensemble, restore)))
        gains.append(evaluate(eight, originals)["psnr"] - evaluate(once, originals)["psnr"])
    print(f"trained with {way}: gain {cu.with_spread(gains)} dB")
# %% [markdown] lang="en"
# It makes all the difference. The networks that have seen turned pages gain
# 0.25<!-- trained with + turns: gain ±0.15 --> dB; the others −0.15<!-- trained with random windows: gain ±0.3 -->
# dB: seven of their eight answers are to questions that they were never prepared for. Augmentation in training and in
# restoring belong together. What the turns cost in part 6, they nearly give back here; but eight times the time is a
# price that one pays in a competition, and seldom elsewhere.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - A pair stays a pair: one draw, used for both images, whatever is done to them. Pairs that were turned differently
#   end below the scans, at 18.2<!-- turned differently: ±0.6 --> dB, with a loss that falls.
# - With three pages, random windows brought 1.3<!-- 3 pages, random windows bring ±0.6 --> dB over 12 fixed ones;
#   with 24 pages, nothing that stands out of the spread. Turns, mixup, CutBlur and random scanners on top brought
#   nothing at this budget, or cost something.
# - CutBlur teaches *where*: clean pages came through at 30.9<!-- a clean page through '+ CutBlur': ±2.0 --> dB in
#   place of 20.6<!-- a clean page through 'random windows': ±1.0 -->.
# - On the unseen scanner, 23.3<!-- DnCNN, 5 layers, pages as scanned * unseen scanner ±0.4 --> dB before,
#   23.2<!-- DnCNN, 5 layers, random scanners * unseen scanner ±0.4 --> with random scanners,
#   23.7<!-- DnCNN, 5 layers, levels * unseen scanner ±0.4 --> with levels. What varies and can be taken away need not
#   be learnt.
#
# **Three common errors**
#
# 1. *The loss falls, the images do not get better.* Look at three augmented pairs. Was the turn, or the window, drawn once
#    for both?
# 2. *Every epoch shows the same "random" patches, or two workers show the same.* The generator is made anew with the same
#    seed in each epoch or process. Let sample number i depend on the seed and on i, and never repeat i.
# 3. *Validation is better than the test.* Is the validation augmented as well, or were the ranges of the degradations
#    chosen with an eye on the test?
#
# **Where to read on.** Yoo, Ahn and Sohn, *Rethinking Data Augmentation for Image Super-resolution* (CVPR 2020),
# compares many of them and brings CutBlur. Zhang, Cisse, Dauphin and Lopez-Paz, *mixup: Beyond Empirical Risk
# Minimization* (ICLR 2018). Zhang, Liang, Van Gool and Timofte, *Designing a Practical Degradation Model for Deep
# Blind Image Super-Resolution* (ICCV 2021), shuffles; Wang, Xie, Dong and Shan, *Real-ESRGAN* (ICCV Workshops 2021),
# goes twice. Tobin and others, *Domain Randomization for Transferring Deep Neural Networks from Simulation to the
# Real World* (IROS 2017). Lim, Son, Kim, Nah and Lee, *Enhanced Deep Residual Networks for Single Image
# Super-Resolution* (CVPR Workshops 2017), has self-ensemble. Next in this course: [lesson 7](07_attention.ipynb),
# where a network decides for itself which of its features matter, and where.
