# minutes: test=0.2 cpu=2
# %% [markdown] lang="en"
# # SRCNN: can three layers learn to sharpen?
#
# You have a photograph of 100 × 150 pixels and want one of 300 × 450. Eight of nine pixels have to be made up. A
# cubic curve makes them up smoothly, and everything looks as if seen through a wet window. Could a network that has
# looked at many sharp photographs make them up *better*?
#
# In 2014 Dong, Loy, He and Tang tried it with the smallest network that might do: three convolutions, 8,129 numbers.
# It beat methods that had taken ten years to grow, and the field has been learning ever since. You write that
# network here, and training it takes less than a minute.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | What is lost when an image gets smaller? | `low_resolution_pair` |
# | 2 | How far does a single convolution get? | |
# | 3 | What are the three layers? | `SRCNN` |
# | 4 | What should the network make small? | `mse_loss` |
# | 5 | Does it learn to sharpen? | |
# | 6 | And the colours? | `merge_luma` |
# | 7 | When does it fail? | |
# | 8 | Back to the page: is a scan a blurred page? | |
#
# **At the end** you have a network that beats bicubic enlargement by about a decibel, you know which part of that is
# owed to its being a *network*, you have broken it by a change that you would hardly notice, and you have tried it on
# the scanned pages. **Time:** two minutes of computing on two CPU cores, and an hour of yours.
# %%
import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.colour import rgb_to_ycbcr, ycbcr_to_rgb
from course_utils.degrade import crop_to_multiple, enlarge, reduce
from course_utils.files import CourseError
from course_utils.images import quantise
from course_utils.metrics import evaluate, luma, psnr

# %% [markdown] lang="en"
# ## 1. What is lost when an image gets smaller?
#
# Why begin with enlarging, when it is scans that we want to restore? Because here we know *exactly* what happened to
# the image. Nobody can write down what a scanner did to a page. But "reduced to a third, bicubically" is one line of
# code: any sharp photograph gives a training pair, as many as we like, and everybody in the world can repeat the
# test. If a network cannot learn this, it will not learn scans.
#
# As in lesson 1, we look at light alone: Y in studio range, in 256 steps. Part 6 brings the colours back.
# %%
scale = 3
corner = profile.choose(test=100, cpu=None, gpu=None)  # the test profile sees a corner of each photograph
light = lambda image: quantise(luma(cu.to_tensor(image)))[:, :corner, :corner]  # (1, H, W)
photo = light(cu.data.photographs("test")["chelsea"])
try:
    reduce(photo, scale)
except CourseError as error:
    print(error)


# %% [markdown] lang="en"
# The helper is strict, and rightly: 451 is no multiple of 3. If one side were rounded, the enlarged image would be
# shifted against the original by a fraction of a pixel, and every network trained on such pairs would learn to shift.
#
# ### Your turn
#
# Write `low_resolution_pair`. Three helpers are given. `crop_to_multiple(image, scale)` cuts off the last rows and
# columns until the scale divides both sides; what is left is the clean image. `reduce(image, scale)` and
# `enlarge(image, scale)` resize with the `bicubic` of lesson 1. Return the degraded image first, then the clean one;
# both have the same size, because this network gets its input already enlarged.
# %% exercise="low_resolution_pair" answer="course_utils.degrade.resize:low_resolution_pair"
def low_resolution_pair(image, scale):
    """Make a pair that super-resolution learns from: (degraded, clean), of one size; degraded has lost fine detail.

    image: float (C, H, W) or (N, C, H, W) in [0, 1], sharp; scale: a whole number, 1 or more.
    """
    raise NotImplementedError


# %%
low_resolution_pair = cu.check("low_resolution_pair", low_resolution_pair)
# %% [markdown] lang="en"
# The cat, reduced to a third and enlarged again. **What has happened to the fur between the eyes?** Then zoom out
# (`Fit`) and look for the whiskers.
# %%
degraded, clean = low_resolution_pair(photo, scale)
print(f"{clean.numel():,} pixels, made of {clean.numel() // scale**2:,} numbers")
view = profile.choose(test=None, cpu=(80, 150, 120, 180), gpu=(80, 150, 120, 180))
cu.compare({"enlarged again": degraded, "original": clean}, reference="original", view=view)
# %% [markdown] lang="en"
# And this is what was lost: original minus enlarged, three times as strong, around grey.
# %%
lost = (0.5 + 3 * (clean - degraded)).clamp(0, 1)
cu.show_batch({"what was lost, × 3": lost})


# %% [markdown] lang="en"
# Hairs, rims, the edge of the eye: what was lost lies where the image changes quickly, and even areas are plain grey:
# nothing was lost there. So a network that sharpens has to put *lines* back, thin ones, at the right places.
#
# Now all photographs. Training, validation and test each have photographs of their own. Beside our test photographs
# stands Set5, if you have it: five images on which the whole field has reported for more than ten years.
# %%
def pairs_of(photographs):
    return [low_resolution_pair(light(image), scale) for image in photographs.values()]


train_pairs, valid_pairs = pairs_of(cu.data.photographs("train")), pairs_of(cu.data.photographs("valid"))
tests = {"photographs": pairs_of(cu.data.photographs("test")), "Set5": pairs_of(cu.data.standard_set("Set5"))}
tests = {name: pairs for name, pairs in tests.items() if pairs}
if "Set5" not in tests:
    print("Set5 is not here: see the README")


# %%
def decibels(restore, pairs):
    """The mean PSNR in 8 bits; the border of 3 pixels is left out, as is the custom."""
    return np.mean([psnr(quantise(restore(degraded)), clean, border=scale) for degraded, clean in pairs])


def report(method, restore):
    for name, pairs in tests.items():
        print(f"{name} ×3, {method}: {decibels(restore, pairs):.2f} dB")


unchanged = lambda degraded: degraded
report("bicubic", unchanged)


# %% [markdown] lang="en"
# 30.39<!-- Set5 ×3, bicubic ±0.02 --> dB on Set5 is the published figure to the last digit, so our pairs are made as
# everybody's are. On our test photographs it is 32.40<!-- photographs ×3, bicubic ±0.02 --> dB. These are the numbers
# to beat.
#
# <details><summary>Stripes with a period of four pixels are reduced to a third. Which network can bring them back?
# </summary>
#
# None. An image of a third of the size can hold stripes with a period of six old pixels or more, one light and one
# dark pixel of its own; finer ones are averaged to a nearly even grey, and that is all that is left. A network can
# *invent* stripes there if it has learnt that such places usually have some, and PSNR will punish it whenever it
# invents the wrong ones. What can be restored is what left a trace: an edge is still an edge when it is blurred.
#
# </details>
#
# ## 2. How far does a single convolution get?
#
# Before three layers, one. In lesson 1 the best colour matrix was found by least squares. We can do the same with
# neighbours: let each sharp pixel be a weighted sum of the 13 × 13 blurred ones around it, with the same 169 weights
# everywhere. That is a convolution. Which weights? Those with the smallest squared error on the training photographs.
# **Guess: does it beat bicubic, and by how much?**
# %%
def windows(degraded, clean, side=13, step=5):
    """Windows of the degraded image, (n, side²), and the clean pixel in the middle of each, (n,)."""
    half = side // 2
    seen = F.unfold(degraded[None], side, stride=step)[0].T  # (n, side²)
    return seen.numpy(), clean[0, half:-half:step, half:-half:step].flatten().numpy()


seen, middle = (np.concatenate(parts) for parts in zip(*(windows(*pair) for pair in train_pairs)))
weights = np.linalg.lstsq(seen, middle, rcond=1e-3)[0]
kernel = torch.from_numpy(weights).float().view(1, 1, 13, 13)
one_convolution = lambda y: F.conv2d(F.pad(y[None], [6] * 4, mode="replicate"), kernel)[0].clamp(0, 1)
report("one convolution", one_convolution)
# %% [markdown] lang="en"
# It does: 31.36<!-- Set5 ×3, one convolution ±0.05 --> dB on Set5, and
# 33.04<!-- photographs ×3, one convolution ±0.05 --> on the photographs. Here is the kernel, the largest weight white,
# zero in middle grey:
# %%
cu.show_batch({"one kernel, 13 × 13": 0.5 + 0.5 * kernel[0] / kernel.abs().max()}, zoom=14)


# %% [markdown] lang="en"
# A bright middle and dark surroundings: *more of this pixel, less of its neighbours*. That is what every image editor
# does when you click "sharpen". So sharpening as such needs no network. This is the line that SRCNN has to beat, and
# it is a higher one than bicubic.
#
# What can this kernel not do? It treats a whisker, the rim of a cup and the noise of the film alike: always the same
# 169 weights. To sharpen along an edge and not across it, one must first find out *whether* there is an edge, and
# which way it runs. "If" is what a sum cannot say.
#
# ## 3. What are the three layers?
#
# SRCNN says "if" with ReLU, which lets through what is positive and stops the rest. There is one after the first
# convolution and one after the second. The authors read the three layers so:
#
# | Layer | Kernel | Maps | What it may be doing | Parameters |
# |---|---|---|---|---|
# | 1 | 9 × 9 | 1 → 64 | describe each 9 × 9 patch by 64 features | 64 · 81 + 64 = 5,248 |
# | 2 | 1 × 1 | 64 → 32 | turn features of a blurred patch into those of a sharp one | 32 · 64 + 32 = 2,080 |
# | 3 | 5 × 5 | 32 → 1 | put the image together from overlapping patches | 25 · 32 + 1 = 801 |
#
# After its kernels it is called "9-1-5", and in sum it has 8,129 parameters. (Later the authors published a larger
# one as well, "9-5-5".) "What it may be doing" is intuition, and it comes from the older methods that worked in exactly
# these steps. Nobody forces the layers to keep to it.
#
# <details><summary>How many pixels of the input does one pixel of the output depend on?</summary>
#
# A kernel of side k looks k // 2 pixels to each side, and the layers add up: 4 + 0 + 2 = 6. So it is a window of
# 13 × 13 pixels, exactly as large as that of the single convolution in part 2. Whatever SRCNN does better, it does not
# do it by seeing more.
#
# </details>
#
# Three things to settle before you write it.
#
# **The border.** Each layer keeps the size of the image (`padding=k // 2`), and beyond the border one has to make
# something up: zeros, or the outermost pixel over and over (`padding_mode="replicate"` of `nn.Conv2d`). Both are fine
# if training and use agree. The authors' own weights for 9-5-5 were trained without any padding and want "replicate";
# with zeros they lose almost three decibels on Set5 (32.75 → 29.97, measured when this course was made).
#
# **The output.** The last layer gives the image itself, with nothing behind it: no ReLU, no clipping. `cu.restore`
# clips at the very end.
#
# **The start.** A network starts with random weights, so it starts by turning the image into noise, and must first of
# all learn to copy what it was given. We can spare it that. Let the first map of every layer hand the image on: a
# kernel with a single 1 in its middle and zeros elsewhere (called a *dirac*), and a bias of 0. ReLU lets it pass, for
# light is never negative. All other maps start at random, as PyTorch makes them. Then the untrained network gives back
# its input, and training begins at the bicubic image instead of at nothing. With three colours, the first three maps
# do it, one for each colour.
#
# ### Your turn
#
# Write `SRCNN`. `kernels` are the three sides. With `c` for one of the convolutions, `c.weight.detach()[:channels]` are
# the kernels of its first maps, to be handed to `nn.init.dirac_`, and `c.bias.detach()[:channels]` their biases, for
# `nn.init.zeros_`. (`detach` gives the bare numbers; what you change there is changed in the network.) Set
# `receptive_radius` too: how many pixels to each side does it look? `cu.restore` cuts large images into tiles and has
# to know it; `config` says how to build the network again when it is loaded from a file.
# %% exercise="srcnn" answer="course_utils.models.srcnn:SRCNN"
class SRCNN(nn.Module):
    """Sharpen an image that was enlarged bicubically: y -> the restored image itself, both (N, C, H, W), not clipped.

    Convolution, ReLU, convolution, ReLU, convolution, with 64 and 32 maps in between; all keep height and width.
    """

    def __init__(self, channels=1, kernels=(9, 1, 5), padding_mode="zeros"):
        super().__init__()
        self.config = {"channels": channels, "kernels": list(kernels), "padding_mode": padding_mode}
        # self.receptive_radius = ...
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The sharp image: (N, C, H, W) -> (N, C, H, W), not clipped. The network gives it as it is."""
        raise NotImplementedError


# %%
SRCNN = cu.check("srcnn", SRCNN)
# %%
count = lambda network: sum(p.numel() for p in network.parameters())
untrained = SRCNN()
print(f"9-1-5: {count(untrained):,} parameters; 9-5-5: {count(SRCNN(kernels=(9, 5, 5))):,}")
print("it looks", untrained.receptive_radius, "pixels to each side")
change = (cu.restore(untrained, degraded) - degraded).abs().max()
print(f"untrained, it changes the image by {change:.6f}")


# %% [markdown] lang="en"
# ## 4. What should the network make small?
#
# PSNR is 10 · log₁₀(1 / MSE). To make the PSNR large is to make the mean squared error small, and so that is the loss:
# the mean, over all pixels of all patches of a batch, of the squared difference between what the network gives and
# the clean image.
#
# ### Your turn
#
# Write `mse_loss`. Every loss in this course is called with three images: what the network gave, what it was given,
# and the clean one. This loss does not need the second. Return a scalar tensor, not a number: training asks for its
# gradient. (PyTorch has it ready as `F.mse_loss`, but it is short enough to write down.)
# %% exercise="mse_loss" answer="course_utils.losses:mse_loss"
def mse_loss(restored, degraded, clean):
    """Mean squared error of the restored image, over all its values: for networks that give the image itself.

    restored, degraded, clean: each (N, C, H, W). Returns a scalar tensor.
    """
    raise NotImplementedError


# %%
mse_loss = cu.check("mse_loss", mse_loss)
# %%
loss = mse_loss(degraded[None], degraded[None], clean[None])
print(f"the loss of the enlarged cat is {loss:.6f}: {10 * torch.log10(1 / loss):.2f} dB")
# %% [markdown] lang="en"
# <details><summary>Suppose that of all sharp patches that blur to the one at hand, half have a hair on the left and
# half on the right. What will a network answer that is trained with this loss?</summary>
#
# Half a hair on the left and half a hair on the right: the mean. Any choice would be wrong by a whole hair in half of
# the cases, and squares punish large errors more. The mean of many sharp images is a blurred one, so a network trained
# by MSE stays on the soft side wherever it cannot know. That is no fault of the training; it is what was asked for.
# Later lessons ask for something else.
#
# </details>
#
# ## 5. Does it learn to sharpen?
#
# Patches of 24 × 24 pixels from the seven training photographs, turned and mirrored at random, 16 at a time. `cu.fit`
# is the loop that trains; lesson 5 takes it apart. It keeps the weights that did best on the validation photographs.
# First a quick experiment of 300 steps: **what is the start of part 3 worth?** Three networks, alike but for their
# first weights: those that hand the image on, those that PyTorch makes, and those of the paper (chance, very small).
# %%
train = cu.data.Patches(
    clean=[cu.to_array(clean) for _, clean in train_pairs],
    degraded=[cu.to_array(degraded) for degraded, _ in train_pairs],
    patch=24,
)
valid = [(degraded[..., :300, :300], clean[..., :300, :300]) for degraded, clean in valid_pairs]
recipe = {"batch_size": 16, "lr": 2e-3, "loss": mse_loss}


# %%
def as_pytorch_does(network):
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()


def as_in_the_paper(network):
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.001 * (parameter.ndim > 1))  # no spread for biases: 0


# %%
by = lambda network: lambda degraded: cu.restore(network, degraded)  # to restore by a network
starts = {"handing on": lambda network: None, "PyTorch's start": as_pytorch_does, "the paper's start": as_in_the_paper}
steps = profile.choose(test=4, cpu=300, gpu=300)
for name, start in starts.items():
    torch.manual_seed(0)
    network = SRCNN()
    start(network)
    cu.fit(network, train, valid[:1], steps=steps, progress=False, **recipe)
    report(f"{steps} steps from {name}", by(network))
# %% [markdown] lang="en"
# From the image handed on, 300 steps lead to 31.03<!-- Set5 ×3, 300 steps from handing on ±0.2 --> dB on Set5, well
# above bicubic. The other two are *below* bicubic, at 29.07<!-- Set5 ×3, 300 steps from PyTorch's start ±0.7 --> and
# 28.12<!-- Set5 ×3, 300 steps from the paper's start ±0.7 -->: they are still busy learning to copy. They would catch
# up; the authors trained for days. Whoever has 40 seconds takes the better start.
#
# ### The long run
#
# In the figure, the training loss is on the left, the PSNR of the validation photographs on the right.
# %%
budget = profile.choose(test={"steps": 6}, cpu={"seconds": 40}, gpu={"steps": 100_000})
torch.manual_seed(0)
model = SRCNN()
history = cu.fit(model, train, valid, **budget, **recipe)
cu.plot_history(history)
# %%
restore = by(model)
report("bicubic", unchanged)
report("one convolution", one_convolution)
report("SRCNN", restore)
# %% [markdown] lang="en"
# On Set5: bicubic 30.39<!-- Set5 ×3, bicubic ±0.02 -->, one convolution
# 31.36<!-- Set5 ×3, one convolution ±0.05 -->, SRCNN 32.11<!-- Set5 ×3, SRCNN ±0.35 --> dB. The paper reports 32.39
# for this network; it had 91 photographs chosen for the purpose and days of training, we had seven and 40 seconds. On
# the test photographs it is 33.34<!-- photographs ×3, SRCNN ±0.25 --> dB.
#
# Look at the shares: more than half of the gain over bicubic is owed to sharpening as such, which the single
# convolution does as well. Only the rest is what 8,129 numbers and two ReLUs buy, with the same window of 13 × 13
# pixels. Here it is for each photograph. **Guess first: on which of them does the network gain most over the
# convolution, and on which least?** (The moon has long soft shadows, the cat is all fur, the coffee has hard rims, the
# flower soft leaves, and Grace Hopper a uniform with buttons.)
# %%
for name, pair in zip(cu.data.photographs("test"), tests["photographs"]):
    scores = [decibels(way, [pair]) for way in (unchanged, one_convolution, restore)]
    print(f"{name:12} bicubic {scores[0]:.2f}, convolution {scores[1]:.2f}, SRCNN {scores[2]:.2f} dB")
# %% [markdown] lang="en"
# Grace Hopper gains most, from 28.31<!-- grace_hopper bicubic * convolution ±0.05 --> dB to
# 29.45<!-- grace_hopper bicubic * SRCNN ±0.4 -->: dark cloth against light, ribbons, the stripes of a flag, one hard
# edge beside the other. The flower, with its clear rims, gains as well, and the coffee a little. But on the cat the
# network (33.32<!-- chelsea bicubic * SRCNN ±0.25 -->) is no better than the convolution
# (33.39<!-- chelsea bicubic * convolution ±0.05 -->), and on the moon it is a little worse.
# Fur and dust are fine texture: no edge to find, nothing for an "if" to decide. An average over five images hides such
# things; look at each.
#
# Here is the coffee. **What does the convolution draw beside the rim of the cup that SRCNN does not?** (The table
# counts the border too, so its figures are not quite those above.)
# %%
y, x = tests["photographs"][0]
view = profile.choose(test=None, cpu=(120, 200, 130, 195), gpu=(120, 200, 130, 195))
images = {"one convolution": one_convolution(y), "SRCNN": restore(y), "bicubic": y, "original": x}
cu.compare(images, reference="original", view=view)


# %% [markdown] lang="en"
# Echoes: faint lines that run along the rim, in the white and in the dark. The 169 weights that make an edge steep
# also make it ring, and they cannot stop it. SRCNN has sharpened as much, and nearly without echoes.
#
# ### What has it learnt?
#
# Here are the 64 kernels of the first layer, before and after training; each is scaled by itself, zero in middle
# grey, and they are sorted by the size of their weights after training.
# %%
def first_kernels(network):
    return next(p.detach() for p in network.parameters() if p.shape[1:] == (1, 9, 9))  # (64, 1, 9, 9)


order = first_kernels(model).square().sum(dim=(1, 2, 3)).argsort(descending=True)
torch.manual_seed(0)
before, after = first_kernels(SRCNN()).cpu()[order.cpu()], first_kernels(model).cpu()[order.cpu()]
around_grey = lambda kernels: 0.5 + 0.5 * kernels / kernels.abs().amax(dim=(1, 2, 3), keepdim=True)
cu.show_batch(around_grey(before), columns=16, zoom=4, title="before training")
# %%
cu.show_batch(around_grey(after), columns=16, zoom=4, title="after training")
# %% [markdown] lang="en"
# Before: noise, and one dirac, the map that hands the image on. After: most kernels in the upper rows have become
# something with a name. There are horizontal and vertical bars, steps from dark to light, spots, and here and there
# a slanting stroke. They put the question that a single convolution could not put: *is there an edge here, and which
# way does it run?* The dirac has stayed almost as it was. The last row still looks like chance: 40
# seconds are few, and some maps are hardly needed.
#
# <details><summary>SRCNN computes on the enlarged image. How many multiplications is that for a photograph of a million
# pixels, and what would it be if the network worked on the small image?</summary>
#
# Each weight is used once at each pixel: 64 · 81 + 32 · 64 + 25 · 32 = 8,032 multiplications for a pixel, 8 billion
# for the photograph. The small image has a ninth of the pixels, so it would be a ninth of the work; and nothing would
# be lost, because the enlarged image holds no more than the small one does. That is the idea of lesson 3.
#
# </details>
#
# ## 6. And the colours?
#
# The network knows one channel. An image has three. What would you do: run it on red, green and blue, or on Y alone
# and leave Cb and Cr as they are? Let us first see how much each of them has lost.
# %%
photo = cu.to_tensor(cu.data.photographs("test")["coffee"])[:, :corner, :corner]
rgb_degraded, rgb = low_resolution_pair(photo, scale)
lost = rgb_to_ycbcr(rgb) - rgb_to_ycbcr(rgb_degraded)  # (3, H, W)
for name, channel in zip(("Y", "Cb", "Cr"), lost):
    print(f"lost in {name}: {255 * channel.std():.2f} grey levels")


# %% [markdown] lang="en"
# The error that Y has suffered spreads by 9.7<!-- lost in Y ±0.05 --> grey levels, that of Cb and Cr by
# 1.96<!-- lost in Cb ±0.02 --> and 2.30<!-- lost in Cr ±0.02 -->: colours change slowly from pixel to pixel, and what
# is smooth survives being small. So restore Y and keep the enlarged colours.
#
# ### Your turn
#
# Write `merge_luma`: the restored Y and the bicubically enlarged colour image go in, an RGB image comes out. Lesson 1
# has the two functions that you need, `rgb_to_ycbcr` and `ycbcr_to_rgb`, in studio range, their default; the second
# clips to [0, 1]. It must take a single image and a batch, so count the axes from the end: `ycbcr[..., 1:, :, :]` is
# Cb and Cr in both cases, and `torch.cat([...], dim=-3)` puts channels on top of each other.
# %% exercise="merge_luma" answer="course_utils.colour:merge_luma"
def merge_luma(y, rgb):
    """Give a colour image a new Y, for example a restored one: its Cb and Cr stay. Returns RGB, clipped to [0, 1].

    y: float (1, H, W) or (N, 1, H, W), studio range; rgb: (3, H, W) or (N, 3, H, W) in [0, 1], where the colours are.
    """
    raise NotImplementedError


# %%
merge_luma = cu.check("merge_luma", merge_luma)
# %%
restored = merge_luma(restore(luma(rgb_degraded)), rgb_degraded)
cu.compare({"bicubic": rgb_degraded, "Y restored": restored, "original": rgb}, reference="original", view=view)
# %% [markdown] lang="en"
# Was it wise to leave the colours alone? Two rivals. One restores red, green and blue, each as if it were a grey
# image, which costs three times as much. The other is told the *true* Cb and Cr: nobody has those, but it shows what
# perfect colours would be worth.
# %%
photos = [cu.to_tensor(image)[:, :corner, :corner] for image in cu.data.photographs("test").values()]
colour = [low_resolution_pair(photo, scale) for photo in photos if photo.std(dim=0).max() > 0]  # not the grey moon
ways = {
    "bicubic": lambda y, x: y,
    "Y restored": lambda y, x: merge_luma(restore(luma(y)), y),
    "R, G and B restored": lambda y, x: torch.cat([restore(channel[None]) for channel in y]),
    "Y restored, true colours": lambda y, x: merge_luma(restore(luma(y)), x),
}
for name, way in ways.items():
    print(f"RGB, {name}: {np.mean([psnr(way(y, x), x, border=scale) for y, x in colour]):.2f} dB")


# %% [markdown] lang="en"
# In RGB, on the four photographs in colour, bicubic has 28.89<!-- RGB, bicubic ±0.02 --> dB. The restored Y makes that
# 29.92<!-- RGB, Y restored ±0.25 -->; three runs on red, green and blue give
# 29.95<!-- RGB, R, G and B restored ±0.25 -->, hardly more for three times the work. And with *perfect* colours it would
# be 30.12<!-- RGB, Y restored, true colours ±0.25 -->: that is all that Cb and Cr still have to give. All four
# figures are lower than those of Y, for two reasons: RGB has the full range (lesson 1), and the moon, by far the
# easiest of the five, is grey and not among them.
#
# ## 7. When does it fail?
#
# ### It was asked for something else
#
# In lesson 1 there were two ways to reduce an image, both called bicubic. OpenCV's skips: at a scale of 3 it keeps
# exactly one pixel in nine, the middle one, and throws eight away. Its images look a little crisper, but you
# would hardly notice which of the two a camera or a website used. **What will our network make of them? And one that
# was trained with OpenCV's, of ours?**
# %%
def opencv_pair(image, scale):
    """The same with OpenCV's cubic: (degraded, clean)."""
    clean = crop_to_multiple(image, scale)
    height, width = clean.shape[-2:]
    small = cv2.resize(clean[0].numpy(), (width // scale, height // scale), interpolation=cv2.INTER_CUBIC)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(large)[None].clamp(0, 1), clean


clean_images = {"train": train_pairs, "valid": valid, "test": tests["photographs"]}
opencv = {name: [opencv_pair(x, scale) for _, x in pairs] for name, pairs in clean_images.items()}
# %%
opencv_train = cu.data.Patches(
    clean=[cu.to_array(clean) for _, clean in opencv["train"]],
    degraded=[cu.to_array(degraded) for degraded, _ in opencv["train"]],
    patch=24,
)
torch.manual_seed(0)
rival = SRCNN()
budget = profile.choose(test={"steps": 4}, cpu={"seconds": 15}, gpu={"steps": 100_000})
print(f"best on validation: {max(cu.fit(rival, opencv_train, opencv['valid'], **budget, **recipe).psnrs):.2f} dB")
# %%
kinds = {"averaged": tests["photographs"], "skipped": opencv["test"]}
ways = {"bicubic": unchanged, "trained on averaged": restore, "trained on skipped": by(rival)}
for name, way in ways.items():
    for kind, pairs in kinds.items():
        print(f"{name}, tested on {kind}: {decibels(way, pairs):.2f} dB")
# %% [markdown] lang="en"
# | | tested on averaged | tested on skipped |
# |---|---|---|
# | bicubic, no network | 32.40<!-- bicubic, tested on averaged ±0.02 --> | 31.10<!-- bicubic, tested on skipped ±0.02 --> |
# | trained on averaged | 33.34<!-- trained on averaged, tested on averaged ±0.25 --> | 29.10<!-- trained on averaged, tested on skipped ±0.4 --> |
# | trained on skipped | 31.82<!-- trained on skipped, tested on averaged ±0.4 --> | 31.37<!-- trained on skipped, tested on skipped ±0.2 --> |
#
# Each network gains where it was trained, and *loses* on the other images: it does worse than no network at all. Ours
# has learnt that every image has been averaged and must be sharpened. An image whose pixels were skipped has not been
# averaged; it gets sharpened all the same, and its jagged edges with it. (The second network had less time, and the
# harder task. So compare each with bicubic in the same column, and not the two with one another.) Look at the rims of
# the eyes, and at the dots and dashes in the fur:
# %%
y, x = opencv["test"][1]
view = profile.choose(test=None, cpu=(80, 150, 120, 180), gpu=(80, 150, 120, 180))
images = {"skipped": y, "restored by ours": restore(y), "by its rival": cu.restore(rival, y), "original": x}
cu.compare(images, reference="original", view=view)
# %% [markdown] lang="en"
# Many a complaint that "the network from the paper does not work on my photographs" is this table. A network inverts
# the degradation that it was trained with. If yours is another one, or one that nobody knows, then what you need is
# not a better network but better pairs.
# %% [markdown] lang="en"
# ### There was nothing left to sharpen
#
# Stripes that get finer from left to right, from a period of 20 pixels to one of 3:
# %%
periods = torch.linspace(20, 3, 240)
stripes = (0.5 + 0.4 * torch.sin(torch.cumsum(2 * torch.pi / periods, 0))).expand(1, 30, 240)
blurred, stripes = low_resolution_pair(stripes, scale)
rows = {"original": stripes, "bicubic": blurred, "SRCNN": restore(blurred)}
cu.show_batch(rows, columns=1, zoom=3)
# %% [markdown] lang="en"
# While the period is longer than about seven pixels, SRCNN gives the stripes back their contrast, which bicubic has let
# fade, and now and then more than they had. What is finer is lost, as the question in part 1 had it: both show grey, at
# first with a few faint stripes in the wrong places. **Look at the broad waves on the left again:** they are soft in
# the original, and SRCNN makes bars of the dark ones, with hard edges. In photographs a blurred step is nearly
# always a sharp one that was enlarged, so this is what it has learnt to believe.
#
# ### Letters
#
# And a page from the course's magazine, reduced to a third and enlarged again:
# %%
folder = cu.data.course_pages()
page = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[1][1]
blurred, sharp = low_resolution_pair(quantise(luma(page)), scale)
for name, image in {"bicubic": blurred, "SRCNN": restore(blurred)}.items():
    print(f"a page, {name}: {psnr(quantise(image), sharp, border=scale):.2f} dB")
cu.compare({"bicubic": blurred, "SRCNN": restore(blurred), "original": sharp}, reference="original")
# %% [markdown] lang="en"
# Bicubic 21.97<!-- a page, bicubic ±0.02 -->, SRCNN 22.60<!-- a page, SRCNN ±0.25 --> dB: much less than on photographs,
# for both. The headline is sharper. The small print is darker, but hardly easier to read: its strokes are a pixel or
# two wide, finer than what a third of the size can hold. And there is hardly a letter in the seven training
# photographs: what the network knows are eyes, roofs, stones and stars. (What would you change to make a network for
# *text*? The training images, and nothing else.)
#
# ## 8. Back to the page: is a scan a blurred page?
#
# Now the scanned pages. A scan is no enlarged small image, so the trained weights are of no use, but the network may
# be: give it three channels, and let it learn from pairs of scan and original. To see *what* it learns, we train two.
# The first has kernels of 1, 1 and 1: it sees one pixel at a time, so all it can learn is which colour to make of
# which. The second is SRCNN as it is.
# %%
patches = cu.data.PairedPatches(cu.data.pairs_in(folder / "train"), patch=24)
pages = cu.data.PairedImages(cu.data.pairs_in(folder / "valid")[:3])
recipe = {"batch_size": 8, "lr": 3e-3, "loss": mse_loss}  # smaller batches: more steps in so short a time
one_pixel, srcnn = SRCNN(channels=3, kernels=(1, 1, 1)), SRCNN(channels=3)
for network, seconds in ((one_pixel, 6), (srcnn, 25)):
    budget = profile.choose(test={"steps": 4}, cpu={"seconds": seconds}, gpu={"steps": 30_000})
    torch.manual_seed(0)
    cu.fit(network, patches, pages, **budget, **recipe)
# %%
test_pages = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))
scans, originals = zip(*(test_pages[i] for i in range(len(test_pages))))
restored = [cu.restore(one_pixel, scan) for scan in scans]
for name, images in {"the scan": scans, "one pixel at a time": restored}.items():
    score = evaluate(images, originals)
    print(f"{name}: {score['psnr']:.2f} dB, SSIM {score['ssim']:.3f}")
board = cu.Board("02_srcnn")
board.add("SRCNN", srcnn)
board
# %%
images = {"SRCNN": cu.restore(srcnn, scans[1]), "scan": scans[1], "one pixel": restored[1]}
cu.compare({**images, "original": originals[1]}, reference="original")
# %% [markdown] lang="en"
# The scan as it is has 19.51<!-- the scan: ±0.01 --> dB. One pixel at a time, with no neighbours at all, gives
# 21.3<!-- one pixel at a time: ±0.3 -->. That is colour, and colour only. (The colour matrix of lesson 1 gained about
# one decibel. The rest is owed to ReLU: nearly white paper can be made all white while dark tones are stretched; a
# matrix has to treat both alike.)
#
# The whole SRCNN gains 4.2<!-- SRCNN: * dB ( ±0.7 --> dB over the scan, more than anything in lesson 1, and SSIM rises
# to 0.765<!-- SRCNN: * SSIM ±0.04 -->: with 13 × 13 pixels it sees whole dots of the halftone, a few of them side by
# side, and can average them where there is no edge and leave the letters alone. On the scanner that it has never met
# it reaches 21.9<!-- SRCNN: * unseen scanner ±0.6 --> dB, which is not much more than the best method of
# lesson 1 has there: part of what it learnt about colour was about three scanners.
#
# **Now look at what is left.** Compare SRCNN with the original, on paper, letters, photograph. The hairs and specks
# are there, cleaned with care: a window of 13 × 13 cannot know that a dark line is a hair and not a stroke of a letter.
# The other side of the sheet still shines through. Photographs keep a coarse weave where dots were large. And the tint
# is corrected by the same rule on every page, because nobody can see which scanner it was through a window of 13
# pixels. More layers, so that it sees more? Yes, but then they must learn not to lose the image on the way: lesson 5.
#
# <details><summary>Here we trained on scans with three channels at once. Why not on Y alone, as before?</summary>
#
# Because this time Cb and Cr are damaged as badly as Y. A scan's tint lies in them, and its dots come in four colours.
# "Y is enough" was a finding about one degradation, enlargement, and not a law.
#
# </details>
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - Super-resolution is the restoration whose damage is known exactly: a pair is one line, crop, reduce, enlarge.
# - One convolution, found by least squares, sharpens: 31.36<!-- Set5 ×3, one convolution ±0.05 --> dB on Set5 against
#   30.39<!-- Set5 ×3, bicubic ±0.02 -->. Three with ReLUs between reach 32.11<!-- Set5 ×3, SRCNN ±0.35 --> dB, because
#   they can treat an edge as an edge.
# - MSE is PSNR by another name, and it makes a network answer with the mean where it cannot know.
# - A start that hands the image on saves the network from learning to copy. Keep that in mind for lesson 5.
# - Y is restored, Cb and Cr are enlarged: almost nothing is lost by it.
# - A network inverts the degradation of its training, and no other.
#
# **Three common errors**
#
# 1. *Worse than bicubic on other people's images.* Theirs were reduced by another cubic. Make the pairs with the
#    degradation that the test has.
# 2. *The output has a bright or dark frame.* Weights trained with one `padding_mode` (or without padding) and used with
#    another; or a border that was not left out of the PSNR.
# 3. *The colours are washed out or garish after the merge.* Y of studio range put into an image of full range, or Cb
#    and Cr in the wrong order.
#
# **Where to read on.** Dong, Loy, He and Tang, *Image Super-Resolution Using Deep Convolutional Networks* (IEEE TPAMI
# 2016); its section on what the layers mean is still worth reading. Yang, Wright, Huang and Ma, *Image Super-Resolution
# via Sparse Representation* (IEEE TIP 2010), the method that the three layers imitate. Kim, Lee and Lee, *Accurate Image
# Super-Resolution Using Very Deep Convolutional Networks* (CVPR 2016): twenty layers that predict what was lost.
# Next: [lesson 3, the same at a fraction of the cost](03_espcn_portraits.ipynb).
