# minutes: test=0.3 cpu=3
# %% [markdown] lang="en"
# # Perceptual loss: why is the best PSNR blurred, and what does sharpness cost?
#
# Take the network with the best PSNR on the board, enlarge what it made of a photograph, and look at it beside the
# original. It is softer. Train longer, and it stays softer. Is the network too small? Partly. But even a perfect
# network would blur, as long as it is paid for small squared errors. This lesson shows why, pays a network for
# something else, and looks closely at what it then sells us.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | Why does a squared error blur? | |
# | 2 | Do pixels see what we see? | |
# | 3 | What else can images be compared by? | `imagenet_normalised`, `features_at` |
# | 4 | How does one train with that? | `total_variation`, `perceptual_loss`, `L1Perceptual` |
# | 5 | Is it sharper, and at what price? | |
# | 6 | Who says so? | |
# | 7 | What is invented? | |
# | 8 | What goes wrong in practice? | |
# | 9 | Back to the page | |
#
# **At the end** one network has gone on learning with five losses, with four of them three times, and you can say what
# each has bought and what it has paid. **Time:** about three minutes of computing on two CPU cores, and an hour of
# yours.
#
# Where a cell says `raise NotImplementedError`, it is your turn.
# %%
import copy
import time

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course_utils.degrade import LowResolution
from course_utils.features import LAYERS, MEAN, STD
from course_utils.files import CourseError
from course_utils.losses import residual_loss
from course_utils.metrics import evaluate, psnr, ssim
from course_utils.models import DnCNN


# %% [markdown] lang="en"
# ## 1. Why does a squared error blur?
#
# A riddle. Behind a smear there is a bright stripe, and the smear tells us no more than this: it stands either a
# little to the left or a little to the right, and both are equally likely. **What should a network answer?** It may say
# left, or right, or something else. Here are three answers.
# %%
def stripe(column):
    image = torch.zeros(1, 3, 32, 32)
    image[..., column : column + 4] = 1
    return image


left, right = stripe(11), stripe(17)
answers = {"left": left, "right": right, "the mean of both": (left + right) / 2}
cu.show_batch([image[0] for image in answers.values()], list(answers), zoom=5)
# %%
for name, answer in answers.items():
    errors = [(answer - truth).square().mean().item() for truth in (left, right)]
    print(f"{name}: MSE {errors[0]:.4f} or {errors[1]:.4f}, on average {np.mean(errors):.4f}")


# %% [markdown] lang="en"
# Whoever commits to one stripe is right half of the time, and otherwise wrong twice over: a stripe where none is, and
# none where one is. On average that costs 0.1250<!-- left: * on average ±0.0001 -->. The mean of both is *never* right,
# since no such image exists, and costs 0.0625<!-- the mean of both: * on average ±0.0001 -->, half as much.
#
# That is no accident of stripes. Of all answers, the one with the smallest expected squared error is the *mean* of
# everything that is possible, weighted by how likely it is. (With absolute errors it is the median, pixel by pixel: for
# our stripes every answer between the two is equally good, which helps little.) A lost texture, a lost edge, a lost
# letter is a riddle with thousands of solutions, and the mean of thousands of sharp images is a blurred one. So blur is
# not a weakness of the network: it is the right answer to the question that we asked.
#
# <details><summary>The true image with noise, and the true image blurred: both have the same PSNR. Which of the two
# would a network trained with MSE rather give you?</summary>
#
# The blurred one. A network that is unsure gives the mean, and a mean has no noise: that would only add to the error.
#
# </details>
#
# ## 2. Do pixels see what we see?
#
# Take a photograph and spoil it in four ways, *all with the same PSNR*: push it one pixel to the right, blur it, add
# noise, take away contrast. `spoilt` finds the strength by halving an interval.
# %%
def blurred(image, strength):
    radius = 12
    weights = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * strength**2))
    kernel = (weights / weights.sum()).view(1, 1, 1, -1)
    for _ in range(2):  # across, turned, across again
        padded = nn.functional.pad(image[:, None], (radius, radius, 0, 0), mode="reflect")
        image = nn.functional.conv2d(padded, kernel)[:, 0].mT
    return image.clamp(0, 1)


# %%
def noisy(image, strength):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + strength / 10 * noise).clamp(0, 1)


def faded(image, strength):
    return image.mean() + (image - image.mean()) / (1 + strength)


def spoilt(image, spoil, target):
    low, high = 0.05, 8.0
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if psnr(spoil(image, middle), image) > target else (low, middle)
    return spoil(image, middle)


# %%
photos = {name: cu.to_tensor(photo)[:, :288, :432] for name, photo in cu.data.photographs("test").items()}
photos.pop("moon")  # a grey one; four are left
cat = photos["chelsea"]
target = psnr(cat.roll(1, dims=2), cat)
pairs = {"shifted": cat.roll(1, dims=2), "blurred": spoilt(cat, blurred, target), "noisy": spoilt(cat, noisy, target)}
pairs["faded"] = spoilt(cat, faded, target)
for name, image in pairs.items():
    print(f"{name}: {psnr(image, cat):.2f} dB, SSIM {ssim(image, cat):.3f}")
cu.compare(pairs | {"original": cat}, reference="original", view=(70, 60, 110, 165), mode="side")
# %% [markdown] lang="en"
# Four images of 28.25<!-- shifted: ±0.02 --> dB. **Put them into an order, from good to bad, before you read on.** The
# shifted one is, to anybody but a computer, the original. PSNR says that all four are equally far from it. SSIM, which
# compares contrast and pattern in small windows, puts the faded one first, with 0.968<!-- faded: * SSIM ±0.002 -->; then
# the shifted one, 0.820<!-- shifted: * SSIM ±0.002 -->, not far above the blurred one,
# 0.721<!-- blurred: * SSIM ±0.002 -->. What we want is a measure to which a shift is next to nothing, and lost fur a lot.
#
# ## 3. What else can images be compared by?
#
# A network that has learned to recognise things in photographs had to learn just that: a cat one pixel to the right is
# the same cat, a cat without fur is not. What such a network makes of an image on its way to an answer, the maps behind
# its first layers, are called *features*. In 2016 Johnson, Alahi and Fei-Fei compared images by the features of VGG, a
# network of 2014 that tells a thousand kinds of things apart (its examples are a million photographs, *ImageNet*).
# Zhang and others found in 2018 that such distances agree with people's judgement far better than PSNR or SSIM do, and
# not only those of VGG.
#
# `cu.features.load()` brings a feature network. Under the profile `gpu` it is VGG-16 as torchvision publishes it (528 MB
# to download, once). Under `cpu` it is a **small network that the kit trains itself**, here and now, even where there is
# internet: so all figures in this lesson are those of the small network, and yours will be close to them. It has the
# same layers under the same names, with fewer maps. An instructor who has the weights of VGG names them in the
# environment variable `COURSE_VGG` (a file or an address), and gets other figures.
#
# What does the small network learn? Which of seven photographs a patch comes from; its colours are shuffled or taken
# away, so that the texture has to tell. It never sees the test photographs, nor a page.
# %%
features = cu.features.load()
print("features in use:", features.name, "-", features.origin)
print(*(name for name, _ in features.named_children()))
print(f"{sum(p.numel() for p in features.parameters()):,} weights")


# %% [markdown] lang="en"
# In `relu2_1`, the 2 is the block and the 1 the layer within it; between blocks, a pooling halves height and width.
#
# ### Your turn
#
# Networks that were trained on ImageNet want their images *normalised*: minus the mean of all photographs of ImageNet,
# divided by their standard deviation, each colour by itself. The mean of red, green and blue is 0.485, 0.456, 0.406;
# the standard deviation 0.229, 0.224, 0.225 (images in [0, 1]); they are imported above as `MEAN` and `STD`. Our small
# network takes its images so too. Write it for a batch (N, 3, H, W). `torch.tensor(…)` makes a tensor of three numbers;
# `.view(3, 1, 1)` puts them along the axis of the colours, so that they go with all pixels; and `device=images.device`
# makes it where the images are. Leave the images themselves as they are.
# %% exercise="imagenet_normalised" answer="course_utils.features:imagenet_normalised"
def imagenet_normalised(images):
    """Images as networks trained on ImageNet expect them: minus its mean, divided by its spread, colour by colour.

    images: float (N, 3, H, W) in [0, 1]. Returns a new tensor of the same shape, with gradients.
    """
    raise NotImplementedError


# %%
imagenet_normalised = cu.check("imagenet_normalised", imagenet_normalised)
# %%
normalised = imagenet_normalised(cat[None])
print("mean of each colour:", *(f"{value:.2f}" for value in normalised.mean(dim=(0, 2, 3))))
print(f"from {normalised.min():.2f} to {normalised.max():.2f}")


# %% [markdown] lang="en"
# ### Your turn
#
# A feature network is an `nn.Sequential` whose layers have names; `network.named_children()` gives them in order, as
# (name, layer). Write `features_at(network, images, layers)`: run the images through layer after layer, keep what comes
# out of those that are asked for, and stop when you have them all. Return a dict, in the order of `layers`.
#
# One trap is built in, as it is in VGG itself. Its ReLUs work *in place*, `nn.ReLU(inplace=True)`: they write their
# result over their input, to save memory. If you have kept the output of `conv1_2`, then the ReLU behind it changes
# what you have kept. Keep a copy: `maps.clone()`. Gradients pass through a clone.
# %% exercise="features_at" answer="course_utils.features:features_at"
def features_at(network, images, layers):
    """What the named layers of a network make of images: {name: (N, maps, h, w)}, in the order of `layers`.

    network: nn.Sequential with named layers; images: float (N, C, H, W); layers: names, in any order.
    """
    raise NotImplementedError


# %%
features_at = cu.check("features_at", features_at)
# %%
found = features_at(features.cpu(), imagenet_normalised(cat[None]), LAYERS)
for name, maps in found.items():
    print(f"{name}: {tuple(maps.shape)}, mean {maps.mean():.2f}")
chosen = [maps[0, i] / maps[0, i].max().clamp(min=1e-6) for maps in found.values() for i in (1, 4, 7, 10)]
cu.show_batch(chosen, [f"{name}, map {i}" for name in found for i in (1, 4, 7, 10)], columns=4, zoom=1)


# %% [markdown] lang="en"
# Four maps of each of three layers, bright where they are active. In `relu1_2`, map 4 follows the light, the others
# follow fur and edges; in `relu2_2`, map 7 has the contours. Two are all but dark: what they answer to is rare in this
# photograph. Pooling halves the maps twice. (Each map of the small network is scaled to a mean of 1 over the training
# photographs, as Gatys and others did with VGG, so that no layer outweighs the others.)
#
# How far apart are the spoilt images by these features? For each of four photographs, all four at one PSNR; and as a
# control the same network *never trained*, its weights at random.
# %%
def distances(network, image, original, layers=LAYERS):
    """By features: the mean absolute difference at each layer."""
    with torch.inference_mode():
        one, other = (features_at(network.cpu(), imagenet_normalised(each[None]), layers) for each in (image, original))
    return [(one[name] - other[name]).abs().mean().item() for name in layers]


untrained, apart = cu.features.load("random"), {}
for photo in list(photos.values())[: profile.choose(test=1, cpu=4, gpu=4)]:
    target = psnr(photo.roll(1, dims=2), photo)
    images = {f.__name__: spoilt(photo, f, target) for f in (blurred, noisy, faded)}
    for name, image in ({"shifted": photo.roll(1, dims=2)} | images).items():
        for network in (features, untrained):
            apart.setdefault((network.name, name), []).append(distances(network, image, photo))
# %%
for (network, name), rows in apart.items():
    at = "  ".join(f"{layer} {value:.2f}" for layer, value in zip(LAYERS, np.mean(rows, axis=0)))
    print(f"{network}, {name}: {at}")
for network in (features.name, untrained.name):
    shifted, smooth = (np.mean(apart[network, name], axis=0)[-1] for name in ("shifted", "blurred"))
    print(f"{network}: at relu3_1 a shift counts {100 * shifted / smooth:.0f} % of a blur")


# %% [markdown] lang="en"
# Behind the first block the small network is as strict as pixels are: a shift,
# 0.46<!-- small network, shifted: relu1_2 ±0.03 -->, is as bad as a blur,
# 0.46<!-- small network, blurred: relu1_2 ±0.03 -->. Deeper in, it forgives the shift: at `relu3_1` that counts
# 24<!-- small network: at relu3_1 a shift counts ±5 --> % of a blur. Is it the pooling that forgives? In part. The
# network with random weights has the same layers, poolings included, and there a shift counts
# 67<!-- random features: at relu3_1 a shift counts ±5 --> %. The rest comes with training. Its judgement is still not
# ours: noise is the worst of all to it, at every layer. (Zhang and others tried larger networks with random weights
# too: they agreed with people little better than pixels do.)
#
# <details><summary>Why not compare the very last layer only, where the network says what is to be seen?</summary>
#
# Because it forgives too much. What tells a cat from a dog needs neither the exact place nor the exact colour, so that
# very different images have the same answer there, and a loss that forgives everything teaches nothing. The layers in
# between are a compromise, and which ones to take is found by trial.
#
# </details>
#
# ## 4. How does one train with that?
#
# ### First a control
#
# If an extra term makes images sharper, is it because of the features? Or would *any* extra term do? We take along an
# old extra term, *total variation* (Rudin, Osher and Fatemi, 1992): how much neighbouring pixels differ. It knows
# nothing of photographs. It also gives us a measure of sharpness at once: how rough an image is, in per cent of the
# original's roughness. 100 % means that it is as sharp as the original (or that it is noisy instead).
#
# ### Your turn
#
# Write `total_variation(images)` for a batch (N, C, H, W): the mean of the absolute differences of all pairs of
# neighbours below each other, plus that of all pairs beside each other. `images.diff(dim=-2)` are the differences down,
# `dim=-1` across; `abs()` and `mean()` are methods too.
# %% exercise="total_variation" answer="course_utils.losses:total_variation"
def total_variation(images):
    """The mean absolute difference of neighbouring pixels, down plus across: how rough images are, whatever they show.

    images: float (N, C, H, W). Returns a scalar tensor: 0 for even images.
    """
    raise NotImplementedError


# %%
total_variation = cu.check("total_variation", total_variation)
# %%
for name, image in pairs.items():
    print(
        f"{name}: as rough as {100 * total_variation(image[None]) / total_variation(cat[None]):.0f} % of the original"
    )


# %% [markdown] lang="en"
# The blurred cat is smoother than the original and the noisy one rougher. So by itself this number proves nothing: read
# it beside an error.
#
# ### Your turn
#
# Now the loss. `perceptual_loss(network, restored, clean, layers)` takes two batches of *images*, normalises both,
# finds their features with `features_at`, and takes the mean absolute difference at each layer, then the mean over the
# layers. (Johnson and others square the differences; absolute values weigh single large ones less.)
#
# Gradients have to reach the restored images, through the whole feature network; that is how the loss teaches. The clean
# images need none: find their features within `with torch.no_grad():`, and nothing is kept for them.
# %% exercise="perceptual_loss" answer="course_utils.losses:perceptual_loss"
def perceptual_loss(network, restored, clean, layers):
    """How far apart two batches of images are by their features: mean absolute differences, a mean over the layers.

    network: frozen, nn.Sequential; restored, clean: images (N, 3, H, W); layers: names. Returns a scalar tensor.
    """
    raise NotImplementedError


# %%
perceptual_loss = cu.check("perceptual_loss", perceptual_loss)
# %%
for name, image in {"left": left, "right": right, "the mean of both": (left + right) / 2}.items():
    errors = [perceptual_loss(features, image, truth, LAYERS).item() for truth in (left, right)]
    print(f"features, {name}: {errors[0]:.2f} or {errors[1]:.2f}, on average {np.mean(errors):.2f}")


# %% [markdown] lang="en"
# Back to the riddle. By features, the mean of both stripes costs
# 1.82<!-- features, the mean of both: * on average ±0.15 --> on average, and a stripe at either place
# 1.39<!-- features, left: * on average ±0.15 -->. The order is turned round: **it now pays to commit**, and to be wrong
# half of the time. The wrong stripe is further off than the mean, but not twice as far, and the right one costs
# nothing. (Absolute differences of pixels made it a tie. To the features two grey stripes are more than half way from
# either answer, with random weights too: try `untrained`.) This one table is the whole lesson, its promise and its
# danger.
#
# ### The loss to train with
#
# DnCNN predicts what was added, R(y). A loss of the kit is called with (output, degraded, clean), and the output is
# R(y), which is *no image*: the feature network has never been shown one like it. So the loss has to make the image
# first, y − R(y).
#
# Features alone leave an image free in all they do not look at, colours for example (part 7). Hence a usual recipe,
# L1 + 0.1 · features: the pixels hold what the features let go. (0.1 says nothing by itself: it goes with the scale of the
# features. Ours are scaled to a mean of 1; those of VGG, as published, are not.)
#
# ### Your turn
#
# Write the class `L1Perceptual`. It is an `nn.Module`, so that a training takes the feature network along to its device.
# In `forward`: make the restored images; L1 is the mean absolute difference of their pixels to the clean ones; add the
# weight times `perceptual_loss`.
# %% exercise="l1_perceptual" answer="course_utils.losses:L1Perceptual"
class L1Perceptual(nn.Module):
    """L1 + weight * perceptual loss of the restored image y - R(y): for networks that predict the noise."""

    def __init__(self, network, weight=0.1, layers=("relu1_2", "relu2_2", "relu3_1")):
        super().__init__()
        self.network = network  # a part of this module: it goes along to a GPU
        self.weight, self.layers = weight, layers

    def forward(self, predicted_noise, degraded, clean):
        """R(y), y and x, each (N, 3, H, W) -> a scalar tensor, float32."""
        raise NotImplementedError


# %%
L1Perceptual = cu.check("l1_perceptual", L1Perceptual)
# %% [markdown] lang="en"
# ## 5. Is it sharper, and at what price?
#
# Blur shows best where detail is lost for sure, so first to super-resolution: images made smaller by 3 and enlarged
# again, as in lesson 2. The training images are the kit's photographs and the originals of the training pages. One
# DnCNN learns for a while with its usual loss, squared errors. From there it goes on with each of the losses, for the
# same number of steps, on the same patches: same start, same budget.
# %%
folder, low = cu.data.course_pages(), LowResolution(3)
originals = [cu.read_image(path) for path in sorted((folder / "train" / "clean").iterdir())]
clean = originals + 2 * list(cu.data.photographs("train").values())
patch = profile.choose(test=24, cpu=42, gpu=96)
tests = list(photos.values()) + [cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[i][1] for i in (0, 1)]
tests = [image[:, : image.shape[1] // 3 * 3, : image.shape[2] // 3 * 3] for image in tests]
tests = [image[:, -252:, :252] for image in tests]
valid = [(low(image[:, :48, :48]), image[:, :48, :48]) for image in tests[:1]]  # never used to choose


# %%
def trained(network, loss, steps, lr, seed):
    torch.manual_seed(seed)
    patches = cu.data.Patches(clean, degradation=low, patch=patch, seed=seed)
    settings = {"steps": steps, "validate_every": steps, "batch_size": profile.choose(test=2, cpu=8, gpu=32)}
    cu.fit(network, patches, valid, **settings, lr=lr, loss=loss, seed=seed, progress=False)
    return network


torch.manual_seed(0)
depth, width = profile.choose(test=(3, 8), cpu=(5, 32), gpu=(17, 64))
start = trained(DnCNN(depth=depth, width=width), residual_loss, profile.choose(test=4, cpu=1200, gpu=10_000), 3e-3, 0)


# %% [markdown] lang="en"
# One thing in there is new: `validate_every` is the number of steps, so there is one single validation, at the end.
# `cu.fit` keeps the weights with the best validation *PSNR*. With a loss that gives away PSNR on purpose, those are the
# weights that have learned it least. **Choose the checkpoint by PSNR, and you have thrown away what you trained for.**
# %%
def l1(predicted_noise, degraded, clean):
    return (degraded - predicted_noise - clean).abs().mean()


def l1_total_variation(predicted_noise, degraded, clean):
    return l1(predicted_noise, degraded, clean) + 0.03 * total_variation(degraded - predicted_noise)


losses = {"MSE": residual_loss, "L1": l1, "L1 + variation": l1_total_variation}
losses |= {"L1 + features": L1Perceptual(features), "L1 + random": L1Perceptual(untrained)}
steps, networks = profile.choose(test=3, cpu=250, gpu=4000), {}
for name, loss in losses.items():
    clock, seeds = time.perf_counter(), range(profile.choose(test=2, cpu=1 if name == "L1 + random" else 3, gpu=3))
    networks[name] = [trained(copy.deepcopy(start), loss, steps, 1e-3, 1 + seed) for seed in seeds]
    print(f"{name}: {1000 * (time.perf_counter() - clock) / steps / len(seeds):.0f} ms a step")


# %% [markdown] lang="en"
# What to measure? PSNR and SSIM; the sharpness, as roughness in per cent of the original's; the distance by the
# features that we trained with, and by the random ones. And one more: how much of the roughness is *true*? `true_edges`
# asks how strongly the original's differences come back in the restored image (the slope of a straight line through
# zero and all pairs of differences). Edges invented where the original is even count nothing there; those with the
# wrong sign count against the image.
# %%
def true_edges(image, original):
    pairs = [(image.diff(dim=axis), original.diff(dim=axis)) for axis in (-2, -1)]
    return 100 * sum((a * b).sum() for a, b in pairs).item() / sum((b * b).sum() for _, b in pairs).item()


def measured(network):
    restored, rough = [cu.restore(network, low(image)) for image in tests], lambda x: total_variation(x[None]).item()
    score, both = evaluate(restored, tests), list(zip(restored, tests))
    score["sharpness"] = np.mean([100 * rough(a) / rough(b) for a, b in both])
    score["true edges"] = np.mean([true_edges(a, b) for a, b in both])
    score["features"] = np.mean([np.mean(distances(features, a, b)) for a, b in both])
    return score | {"random": np.mean([np.mean(distances(untrained, a, b)) for a, b in both])}


# %%
FORMS = {"psnr": "PSNR {} dB", "ssim": "SSIM {}", "sharpness": "sharpness {} %", "true edges": "true edges {} %"}
FORMS |= {"features": "features {}", "random": "random features {}"}


def report(name, scores):
    figures = []
    for key, form in FORMS.items():
        values, digits = [score[key] for score in scores], {"psnr": 2, "sharpness": 1, "true edges": 1}.get(key, 3)
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        figures.append(form.format(f"{np.mean(values):.{digits}f}{spread}"))
    print(f"{name}: " + ", ".join(figures))


# %%
scores = {name: [measured(network) for network in each] for name, each in networks.items()}
for name, each in scores.items():
    report(name, each)
# %% [markdown] lang="en"
# Read it line by line. "±" is the spread over three seeds, which differ in their patches and share the start: it says
# how much the last steps depend on chance, and no more.
#
# - **MSE** and **L1** are equally good by PSNR, 25.95<!-- MSE: PSNR ±0.2 --> and 25.96<!-- L1: PSNR ±0.2 --> dB. Both
#   are soft, with 52.3<!-- MSE: * sharpness ±1.5 --> % and 49.9<!-- L1: * sharpness ±1.5 --> % of the originals'
#   roughness. Absolute errors do not help.
# - **L1 + variation**, the control, has the PSNR of L1, 25.96<!-- L1 + variation: PSNR ±0.2 --> dB, and is *softer*:
#   48.8<!-- L1 + variation: * sharpness ±1.5 --> %. Not every extra term sharpens: this one is paid to smooth.
# - **L1 + features** is sharper, 61.9<!-- L1 + features: * sharpness ±2.5 --> %, and pays for it:
#   25.39<!-- L1 + features: PSNR ±0.3 --> dB. SSIM falls too. The distance by features, which it was trained on, falls
#   from 0.565<!-- MSE: * , features ±0.03 --> with MSE to 0.443<!-- L1 + features: * , features ±0.03 -->.
# - **L1 + random**, the same network with random weights (one seed), goes the same way, less far:
#   53.0<!-- L1 + random: * sharpness ±2 --> % at 25.90<!-- L1 + random: PSNR ±0.2 --> dB.
#
# And the fourth number? Of the original's edges, 32.3<!-- MSE: * true edges ±1.5 --> % are in the images of MSE and
# 34.0<!-- L1 + features: * true edges ±2 --> % in those of L1 + features. The roughness has grown several times as
# much. **Most of the new sharpness is not the lost detail that came back.** What it is instead, images have to show.
#
# Blau and Michaeli proved in 2018 that the price is no accident: whatever the measure of distortion, there is a bound
# beyond which results become harder to tell from real images only at the price of more distortion. In the next figure
# one would like to be on the right and below. (Its vertical axis is only a stand-in for theirs, and it is the distance
# that one of the losses was trained on; part 6 comes back to that.)
# %%
figure = Figure(figsize=(7.5, 4.6), layout="constrained")
axes = figure.subplots()
for (name, each), marker in zip(scores.items(), "osD^v"):
    axes.plot(
        [s["psnr"] for s in each], [s["features"] for s in each], marker, label=name, markersize=9, fillstyle="none"
    )
axes.set(xlabel="PSNR (dB): less distortion to the right", ylabel="distance by features: better below")
axes.grid(alpha=0.3)
axes.legend()
cu.Picture(figure, "Perception against distortion: PSNR and distance by features of each network and seed")
# %%
coffee, page = tests[0], tests[4]
three = torch.stack([coffee, tests[1], page])
shown = {name: networks[name][0] for name in ("MSE", "L1 + features", "L1 + variation")}
images = {name: torch.stack([cu.restore(net, low(each)) for each in three]) for name, net in shown.items()}
images |= {"enlarged": low(three), "original": three}
cu.compare(images, reference="original", view=(30, 60, 100, 150), mode="side")
# %% [markdown] lang="en"
# The rim of the cup and the bright line on the saucer's edge are a little crisper with features. The wood of the table
# too, so it seems; but choose "original" on one side. There, fine lines run along the grain. L1 + features has a fine
# grid there, and its strokes run partly *across* the grain. (Between MSE and L1 + variation hardly a difference is to
# be seen.) The next page (the arrows beside the page number) is the cat. The third is text, and there it is plain that
# something is odd; part 7 looks at it.
#
# ### More of it
#
# What does the weight do?
# %%
sweep = {0.0: scores["L1"][0], 0.1: scores["L1 + features"][0]}
heavy = None
for weight in profile.choose(test=(1.0,), cpu=(0.03, 0.3, 1.0), gpu=(0.03, 0.3, 1.0)):
    heavy = trained(copy.deepcopy(start), L1Perceptual(features, weight), steps, 1e-3, 1)
    sweep[weight] = measured(heavy)
for weight, score in sorted(sweep.items()):
    report(f"weight {weight:g}", [score])
# %% [markdown] lang="en"
# The more the features count, the sharper and the worse in decibels: from 49.9<!-- weight 0: * sharpness ±2 --> % at
# 25.97<!-- weight 0: PSNR ±0.2 --> dB to 69.3<!-- weight 1: * sharpness ±3 --> % at 24.72<!-- weight 1: PSNR ±0.4 -->
# dB. The true edges go from 31.8<!-- weight 0: * true edges ±2 --> to 35.2<!-- weight 1: * true edges ±2 --> % only.
# (One seed each; weight 0 is L1 alone.) From 0.3 on hardly anything changes but the decibels. There is no best weight
# in this table: what the image is wanted for has to say. The first step is the cheapest: weight 0.03 costs a tenth of a
# decibel, 25.85<!-- weight 0.03: PSNR ±0.2 --> dB, and has 54.2<!-- weight 0.03: * sharpness ±2 --> % of sharpness.
#
# Are features better if they were trained? Compare that line with the one of L1 + random: about the same sharpness for
# about the same price. At this size and budget we cannot tell them apart by this trade; they differ in how far a weight
# of 0.1 goes, and in what they forgive (part 3). If you want to know more: train with `L1Perceptual(untrained, 0.3)`.
#
# ## 6. Who says so?
#
# "Our method is the best by perceptual distance." Look at what it was trained on. A network that is paid for a distance
# gets a good distance: that is training, and no proof. So ask a judge who was not in the training. By the random
# features, L1 + features (0.484<!-- L1 + features: * random features ±0.02 -->) is *further* from the originals than
# MSE (0.476<!-- MSE: * random features ±0.02 -->), and SSIM says so too. And by random features L1 + random wins
# (0.458<!-- L1 + random: * random features ±0.02 -->): each wins before its own judge. Which is right? The random
# features punish a shift more, as pixels do, so they may well be the worse judge. What is certain: the figure in the
# column that one trained for proves nothing here. Papers on this ask people. In the one on SRGAN (Ledig and
# others, 2017), a network trained with MSE has 27.58 dB on the set BSD100 (enlarged ×4) and a mean opinion of 2.29 of 5; with a
# loss on VGG's features and an adversary (a second network, which learns to tell its images from real ones) it has
# 25.16 dB and a mean opinion of 3.56.
#
# <details><summary>How would you find out which of two networks restores better, with ten people and an hour?</summary>
#
# Show pairs, the two results beside the original, in random order and with the sides swapped at random, and ask which
# is nearer. Do not say which is which, and do not know it yourself. Forty pairs each are 400 answers; with no
# difference one expects 200 ± 10 for either. And ask a second question that fits the use: can you *read* it? A nicer
# page that is read wrongly has lost.
#
# </details>
#
# ## 7. What is invented?
# %%
networks_shown = {"L1": networks["L1"][0], "L1 + features": networks["L1 + features"][0], "weight 1": heavy}
views = {"enlarged": low(page)} | {name: cu.restore(net, low(page)) for name, net in networks_shown.items()}
views["original"] = page
words = [image[:, 180:248, 18:102] for image in views.values()]
cu.show_batch(words, list(views), columns=3, zoom=4)
# %%
colour = lambda image: 255 * (image.amax(dim=0) - image.amin(dim=0)).mean().item()
for name, image in views.items():
    print(f"colour of the page, {name}: {colour(image):.1f} grey levels between the strongest and the weakest channel")
# %% [markdown] lang="en"
# The last lines of a column, and the page number. At a third of its size this text can hardly be read: squint at
# "enlarged", and you may guess a word or two. With L1 it is a grey smear with some structure. With features **the smear
# has got a sharp, dark outline**: by our measure of sharpness a success, and there are no such letters. Look at the
# number of the page. It is 56. What do you read with features? Something like "1a", in distinct strokes. (L1 has the
# beginnings of it, in grey.)
#
# And the letters **turn green** inside, the more the larger the weight, though the text of the page is black. By the
# mean difference between the strongest and the weakest channel, this page has
# 6.6<!-- colour of the page, original ±0.5 --> grey levels of colour in the original,
# 6.3<!-- colour of the page, L1 ±1.5 --> with L1, 11.5<!-- colour of the page, L1 + features ±4 --> with features, and
# 20.1<!-- colour of the page, weight 1 ±7 --> at weight 1. Why? (This is our guess.) The small network learned from
# patches whose colours were shuffled or taken away, so what it sees is some sum of the three channels, with weights
# that nobody chose. If a letter is to change *for the features*, the cheapest way is through the channel that weighs
# most. **What the judge does not look at is free to go wrong.** L1 is to hold it, and at a large weight it no longer
# can.
#
# Now the fur under the cat's eye:
# %%
fur = tests[1]
views = {name: cu.restore(net, low(fur)) for name, net in list(networks_shown.items())[:2]}
views |= {"enlarged": low(fur), "original": fur}
cu.compare(views, reference="original", view=(80, 130, 90, 90), mode="side")


# %% [markdown] lang="en"
# Choose "original" on one side. There, fine dark hairs lie side by side. L1 has of them a coarse pattern of light and
# dark spots, which is in "enlarged" already. L1 + features has made this very pattern brighter and more distinct: a
# kind of weave, which no cat wears. Here it is harmless.
#
# But a page has names and amounts on it; a camera over a car park has number plates; an X-ray has lines that are cracks
# or are none. **A sharp image claims to know.** The blurred number shows that it cannot be trusted; the sharp one says
# "1a". In such places keep the blurred one, and show the sharp one, if at all, beside it and with its name. (In 2013
# copiers became famous for changing digits in plans: their compression had replaced small patches by others that looked
# alike. No network was involved. It was enough to reward "looks alike".)
#
# <details><summary>Our network draws outlines that are no letters, so everybody sees that something is wrong. Why
# should one trained longer, on more text, be more dangerous rather than less?</summary>
#
# Because it knows what letters look like. It draws a proper digit from any smear: more often the right one, and when it
# is the wrong one, nothing in the image shows it any longer.
#
# </details>
#
# ## 8. What goes wrong in practice?
#
# **The loss of the residual**, features of R(y) compared with those of y − x. **Without normalisation**: the images go in
# as they are. Both run without an error.
# %%
class OfTheResidual(L1Perceptual):
    def forward(self, predicted_noise, degraded, clean):
        apart = perceptual_loss(self.network, predicted_noise, degraded - clean, self.layers)
        return l1(predicted_noise, degraded, clean) + self.weight * apart


# %%
class NotNormalised(L1Perceptual):
    def forward(self, predicted_noise, degraded, clean):
        both = (features_at(self.network, each, self.layers) for each in (degraded - predicted_noise, clean))
        apart = sum((a - b).abs().mean() for a, b in zip(*(each.values() for each in both)))
        return l1(predicted_noise, degraded, clean) + self.weight * apart / len(self.layers)


# %%
for name, kind in {"of the residual": OfTheResidual, "not normalised": NotNormalised}.items():
    report(name, [measured(trained(copy.deepcopy(start), kind(features), steps, 1e-3, 1))])
# %% [markdown] lang="en"
# *Of the residual*: features of something that is no image. It came out sharp,
# 65.7<!-- of the residual: * sharpness ±3 --> %, with 25.27<!-- of the residual: PSNR ±0.4 --> dB: less of a disaster
# than one might think. (Our guess: the first layers are not far from linear, and for a linear layer the difference of
# two residuals is that of the two images, but for its sign.) In the distance by proper features it is behind
# (0.460<!-- of the residual: * , features ±0.015 --> against 0.443<!-- L1 + features: * , features ±0.015 -->), the
# very distance that its rival was trained on (part 6).
#
# *Not normalised*: [0, 1] in place of about −2 to 2.6, so that the maps see a pale world with four times less contrast.
# The features' share of the loss hardly does anything any more: 50.8<!-- not normalised: * sharpness ±2 --> % and
# 0.552<!-- not normalised: * , features ±0.02 --> by proper features, which is nearly L1 alone
# (0.566<!-- L1: * , features ±0.02 -->).
#
# Neither gives an error message. At best a figure beside one that is right can tell.
#
# **Not frozen.** `cu.features.load` returns a network whose weights ask for no gradients. Take a copy that does, and do
# one step of training with each:
# %%
free, times = copy.deepcopy(features).requires_grad_(True), profile.choose(test=2, cpu=20, gpu=20)
batch = [torch.rand(8, 3, patch, patch) for _ in range(3)]
for name, network in {"frozen": features.cpu(), "not frozen": free}.items():
    loss, clock = L1Perceptual(network), time.perf_counter()
    for _ in range(times):
        loss(batch[0].requires_grad_(), *batch[1:]).backward()
    spent = 1000 * (time.perf_counter() - clock) / times
    grown = sum(p.grad.abs().sum().item() for p in network.parameters() if p.grad is not None)
    print(f"{name}: {spent:.0f} ms for a loss and its gradients; gradients of the features add up to {grown:.1f}")
# %% [markdown] lang="en"
# The weights of the frozen network get no gradients, the others do, at every step, and nobody clears them: work and
# memory for numbers that nobody uses. (The times hardly show it: the small network has few weights. VGG has more.) And
# if somebody hands them to the optimiser as well, then the two networks make the loss small together. The easiest way
# to do so is a feature network that sees no difference between anything, and its share of the loss falls to nothing.
#
# (*Training mode* is the same kind of slip. VGG's convolutions have neither batch normalisation nor dropout, so that it
# changes nothing here; in a feature network with batch normalisation, `vgg16_bn` for example, the clean images and the
# restored ones would each be normalised by themselves, and part of their difference be gone. Freeze it *and* put it
# into evaluation mode.)
#
# ## 9. Back to the page
#
# The scanned pages. Again one start, which learns with MSE; from there L1, and L1 + 0.1 · features, two seeds each.
# %%
page_pairs = cu.data.pairs_in(folder / "train")
page_valid = cu.data.PairedImages(cu.data.pairs_in(folder / "valid")[:1])


def page_trained(network, loss, steps, lr, seed):
    torch.manual_seed(seed)
    patches = cu.data.PairedPatches(page_pairs, patch=profile.choose(test=24, cpu=40, gpu=128), seed=seed)
    settings = {"steps": steps, "validate_every": steps, "batch_size": profile.choose(test=2, cpu=8, gpu=32)}
    cu.fit(network, patches, page_valid, **settings, lr=lr, loss=loss, seed=seed, progress=False)
    return network


# %%
torch.manual_seed(0)
begin = DnCNN(depth=depth, width=width)
page_trained(begin, residual_loss, profile.choose(test=4, cpu=1000, gpu=15_000), 3e-3, 0)
descanners = {}
for name, loss in {"DnCNN, L1": l1, "DnCNN, L1 + features": L1Perceptual(features)}.items():
    descanners[name] = [page_trained(copy.deepcopy(begin), loss, steps, 1e-3, seed) for seed in (1, 2)]
# %%
board = cu.Board("08_perceptual_loss")
for name, each in descanners.items():
    board.add(name, each)
board
# %%
scan, original = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[0]
images = {name: cu.restore(each[0], scan) for name, each in descanners.items()} | {"scan": scan}
cu.compare(
    images | {"original": original}, reference="original", view=(original.shape[1] // 2 - 50, 20, 100, 160), mode="side"
)
# %%
for name, image in images.items():
    rough = 100 * total_variation(image[None]) / total_variation(original[None])
    print(f"{name}: sharpness {rough:.0f} %, true edges {true_edges(image, original):.0f} %")
# %% [markdown] lang="en"
# On the board, L1 has 24.51<!-- DnCNN, L1, 2 seeds ±0.4 --> dB, and with features it is
# 24.42<!-- DnCNN, L1 + features, 2 seeds ±0.4 --> dB; on the unseen scanner
# 22.78<!-- DnCNN, L1, 2 seeds: * unseen scanner ±0.4 --> and
# 22.82<!-- DnCNN, L1 + features, 2 seeds: * unseen scanner ±0.4 --> dB, which is no difference. (The two seeds share
# their start, as in part 5. Both have had fewer steps than the DnCNN of lesson 5: compare them with each other.) By
# these columns, the features have cost a little and brought nothing.
#
# What can the board not see? Look at the crop, and at the last table. The scan is as *rough* as the original,
# 105<!-- scan: sharpness ±3 --> %, but that is dots, grain and dust: of the true edges it has
# 41<!-- scan: * true edges ±3 --> %. L1 brings back 87<!-- DnCNN, L1: * true edges ±6 --> % of them; and its page is
# rougher than the original, 126<!-- DnCNN, L1: sharpness ±10 --> %, since the paper is not even and remains of the dots
# are left (plainest in the picture: choose "Fit"). With features it is
# 89<!-- DnCNN, L1 + features: * true edges ±6 --> % and 131<!-- DnCNN, L1 + features: sharpness ±10 --> %: a little more of both, edges and dirt. With most edges back
# already, there is little to win for a loss that rewards detail. It is meant for what is *lost*, as in part 5. Whether
# a reader likes one page better, none of these numbers can tell, and the board least of all.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - Small squared errors are paid with the mean of all that is possible, and the mean of sharp images is blurred.
# - Features of a trained network forgive a shift (24<!-- small network: at relu3_1 a shift counts ±5 --> % of a blur at
#   `relu3_1`) and do not forgive blur. By features, trained or not, it pays to commit.
# - L1 + 0.1 · features: sharpness from 49.9<!-- L1: * sharpness ±1.5 --> to
#   61.9<!-- L1 + features: * sharpness ±2.5 --> %, PSNR from 25.96<!-- L1: PSNR ±0.2 --> to
#   25.39<!-- L1 + features: PSNR ±0.3 --> dB. True edges: from 31.6<!-- L1: * true edges ±1.5 --> to
#   34.0<!-- L1 + features: * true edges ±2 --> %. Much of the rest is invented.
# - Total variation, the control, smooths. Random features go the same way as trained ones, with the same weight less
#   far. On the scanned pages, at this budget, features buy next to nothing.
# - The judge one trains with is no judge any more.
#
# **Three common errors**
#
# 1. *The loss is small and the images look strange.* Are images compared, y − R(y), and not residuals? Normalised? Is
#    the feature network frozen and in evaluation mode?
# 2. *It never gets sharper.* Which weights were kept? By the best validation PSNR, those from before it got sharp.
# 3. *False colours, grids of dots.* The weight is too large: let the pixels hold more.
#
# **Where to read on.** Johnson, Alahi and Fei-Fei, *Perceptual Losses for Real-Time Style Transfer and
# Super-Resolution* (ECCV 2016). Ledig and others, *Photo-Realistic Single Image Super-Resolution Using a Generative
# Adversarial Network* (CVPR 2017). Blau and Michaeli, *The Perception-Distortion Tradeoff* (CVPR 2018). Zhang, Isola,
# Efros, Shechtman and Wang, *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric* (CVPR 2018), which
# is LPIPS. Rudin, Osher and Fatemi, *Nonlinear total variation based noise removal algorithms* (Physica D 1992).
# Simonyan and Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition* (ICLR 2015), is VGG.
