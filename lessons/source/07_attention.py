# minutes: test=0.3 cpu=3.5
# %% [markdown] lang="en"
# # Attention: which features matter, and where?
#
# A DnCNN makes 32 pictures of a page in each layer, its feature maps, and the next layer takes all of them, everywhere,
# on every page. Are all of them needed everywhere? Three papers of 2018 answered: no, and a network can learn to turn
# them up and down by itself, with a few hundred parameters. That is called *attention*, and many restoration networks
# since then have it in one form or another. (Language models have an attention of another kind; it is not needed here.)
#
# So two questions. **Which of its features should a network listen to, and where?** And one that papers like less: **is
# it worth its parameters**, against a network that just got a little wider?
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | Are all feature maps needed? | |
# | 2 | Which maps? | `ChannelAttention` |
# | 3 | Where? | `SpatialAttention` |
# | 4 | Both, one after the other | `CBAM` |
# | 5 | Both, side by side | `SCSE` |
# | 6 | How do the blocks get into a DnCNN? | `AttentionDnCNN` |
# | 7 | Is it worth its parameters? | |
# | 8 | Where does it look, and what does it turn up? | |
# | 9 | Trained on patches, used on pages: what changes? | |
# | 10 | Back to the page | |
#
# **At the end** you have written four blocks that many papers build on, have measured what they are worth at our size,
# with several seeds and against a fair control, and know a trap that comes with them. **Time:** three and a half minutes
# of computing on two CPU cores, and an hour and a half of yours.
# %%
import copy
import time

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from course_utils.files import CourseError
from course_utils.metrics import psnr
from course_utils.models import DnCNN
from course_utils.training import train_step

# %% [markdown] lang="en"
# ## 1. Are all feature maps needed?
#
# The same pages and scanners as before, and the DnCNN of lesson 5. Every network of this lesson is trained alike: so
# many steps, on patches that depend on the seed alone. The seed is that of the weights *and* of the patches: two
# networks with one seed see the same patches in the same order.
# %%
folder = cu.data.course_pages()
pairs = cu.data.pairs_in(folder / "train")
pages = cu.data.PairedImages(cu.data.pairs_in(folder / "valid"))
patch, steps = profile.choose(test=(32, 4), cpu=(40, 400), gpu=(96, 8000))
depth, width = profile.choose(test=(4, 32), cpu=(5, 32), gpu=(9, 64))
settings = profile.choose(
    test={"batch_size": 2, "lr": 3e-3}, cpu={"batch_size": 8, "lr": 3e-3}, gpu={"batch_size": 32, "lr": 1e-3}
)


# %%
def trained(make, seed, steps=steps):
    """The network that `make()` makes, after so many steps, and what it scores on the first three validation pages."""
    torch.manual_seed(seed)
    model, train = make(), cu.data.PairedPatches(pairs, patch=patch, seed=seed, progress=False)
    valid = [pages[i] for i in range(min(3, len(pages)))]
    history = cu.fit(model, train, valid, steps=steps, validate_every=steps, seed=seed, progress=False, **settings)
    return model, history.scores[-1]


plain, score = trained(lambda: DnCNN(depth=depth, width=width), seed=0)
print(f"DnCNN, {depth} layers, {width} maps, {steps} steps: {score['psnr']:.2f} dB on validation pages")
# %% [markdown] lang="en"
# Here is a page of the validation set, and what the last layer but one of the network makes of a part of it: 32 maps,
# those from which the last convolution puts the noise together. Black is 0, where ReLU has cut off. Each map is
# brightened by itself: compare places within a map, not maps with each other.
# %%
scan, original = pages[profile.choose(test=0, cpu=3, gpu=3)]
inner, last = plain.layers[:-1].cpu().eval(), plain.layers[-1].cpu()
with torch.inference_mode():
    maps = inner(scan[None])[0]  # (32, H, W)
part = profile.choose(test=(0, 0, 64, 64), cpu=(180, 20, 128, 128), gpu=(180, 20, 128, 128))
cut = lambda image: image[..., part[0] : part[0] + part[2], part[1] : part[1] + part[3]]
cu.compare({"scan": scan, "original": original}, reference="original", view=part)
# %%
brightest = maps.flatten(1).quantile(0.99, dim=1)[:, None, None].clamp(min=1e-6)  # of each map, all but 1 %
cu.show_batch((cut(maps) / brightest).clamp(0, 1)[:, None].float(), columns=8, title="The 32 maps of this part")
# %% [markdown] lang="en"
# Some are bright on letters and edges, some on the bare paper around the letters, some on the photograph and its dots,
# and a few are nearly empty. **Which of them could be left out?** Switch off one map at a time, that is, set it
# to 0, and see how much PSNR it costs: on the whole page, and on a part that is text and a part that is a photograph.
# %%
size = profile.choose(test=32, cpu=40, gpu=40)
corners = profile.choose(
    test={"text": (0, 0), "photograph": (40, 40), "bare paper": (80, 0)},
    cpu={"text": (425, 30), "photograph": (110, 190), "bare paper": (311, 300)},
    gpu={"text": (425, 30), "photograph": (110, 190), "bare paper": (311, 300)},
)
windows = {kind: (..., slice(top, top + size), slice(left, left + size)) for kind, (top, left) in corners.items()}
cu.show_batch({kind: scan[window] for kind, window in windows.items()}, zoom=4)
# %%
quality = {"page": []} | {kind: [] for kind in windows}
with torch.inference_mode():
    for off in (None, *range(width)):
        kept = maps.clone()
        if off is not None:
            kept[off] = 0
        restored = (scan - last(kept[None])[0]).clamp(0, 1)
        for kind, window in {"page": ..., **windows}.items():
            quality[kind].append(psnr(restored[window], original[window]))
cost = {kind: values[0] - np.array(values[1:]) for kind, values in quality.items()}  # dB that each map is worth
print(f"maps that cost less than 0.1 dB on the page: {(cost['page'] < 0.1).sum()} of {width}")
print(f"the dearest map costs {cost['page'].max():.2f} dB; {(cost['page'] < 0).sum()} maps cost less than nothing")
# %%
figure = Figure(figsize=(10, 4), layout="constrained")
bars, dots = figure.subplots(1, 2)
bars.bar(range(1, width + 1), np.sort(cost["page"])[::-1], color="0.35")
bars.set(xlabel="maps, the dearest first", ylabel="cost of switching it off (dB)", title="on the whole page")
dots.plot(cost["text"], cost["photograph"], "o", color="black", markerfacecolor="white")
dots.set(xlabel="cost on text (dB)", ylabel="cost on the photograph (dB)", title="each circle is a map")
for axes in (bars, dots):
    axes.axhline(0, color="black", linewidth=0.8)
    axes.grid(alpha=0.3)
cu.Picture(figure, "Left: few maps are dear, most nearly free. Right: maps dear on text are not those dear on photos")
# %%
ranks = np.array([cost[kind].argsort().argsort() for kind in ("text", "photograph")])
print(f"do text and photograph agree on the order of the maps? rank correlation {np.corrcoef(ranks)[0, 1]:.2f}")
best = {kind: int(cost[kind].argmax()) for kind in ("text", "photograph")}
for kind, k in best.items():
    print(f"dearest on {kind}: map {k}, text {cost['text'][k]:+.2f} dB, photograph {cost['photograph'][k]:+.2f} dB")


# %% [markdown] lang="en"
# On the left each bar is a map. A few are dear, up to 0.79<!-- the dearest map costs ±0.6 --> dB; of the 32 there are
# 22<!-- maps that cost less than 0.1 dB on the page: ±7 --> that cost less than 0.1 dB, and without some of those the
# page is even a little better. On the right each circle is a map, at its cost on text and on the photograph. If what is
# good for one were good for the other, the circles would lie along a rising line. They lie along the two axes: what is
# dear on text is nearly free on the photograph, and the other way round. The map that is dearest on text,
# 0.92<!-- dearest on text: * text ±0.8 --> dB, is worth −0.05<!-- dearest on text: * photograph ±0.4 --> dB on the
# photograph. (Rank correlation compares two orders: 1 is the same order, 0 no relation, −1 the reverse. Here it is
# −0.52<!-- rank correlation ±0.5 -->.)
#
# So not all maps are needed everywhere. That a network can make use of this is a hope at this point, not a result.
#
# <details><summary>The dear maps are those that one cannot switch off. Does it follow that the cheap ones could be left
# out, all of them?</summary>
#
# No. We switched off one at a time. Two maps may do the same work, so that each of them alone is cheap, and both together
# are not. Try it: set `kept[k] = 0` for all maps that cost less than 0.1 dB.
#
# </details>
#
# ## 2. Which maps?
#
# How would a network know that it looks at text? A hint is in the maps themselves: where a map of letters is bright on
# average, there is text. Hu, Shen and Sun (2018) took just that, one number for each map, its mean. They called the
# two steps *squeeze* and *excitation*, SE for short:
#
# 1. **Squeeze.** The mean of each of the C maps: C numbers for an image.
# 2. **Excite.** A small network makes C weights of the C numbers: down to r = C // reduction numbers, ReLU, up to C
#    numbers, and a sigmoid, which puts each between 0 and 1. (Why down and up? Two layers C × C would have 2 · C²
#    parameters, and C weights hardly need that many.)
# 3. **Multiply** each map by its weight.
#
# | | shape |
# |---|---|
# | the maps x | (N, C, H, W) |
# | their means | (N, C, 1, 1) |
# | after the first layer and ReLU | (N, r, 1, 1) |
# | the weights, after the second layer and the sigmoid | (N, C, 1, 1) |
# | x · weights | (N, C, H, W) |
#
# The parameters: C · r + r in the first layer and r · C + C in the second, so **2 · C · r + r + C**.
#
# ### Your turn
#
# Write `ChannelAttention`. `x.mean(dim=(2, 3), keepdim=True)` has the means, as maps of one pixel; for such maps
# `nn.Conv2d(a, b, kernel_size=1)` is a layer from a numbers to b. (`nn.Linear` is right as well, with some reshaping.)
# Keep the biases. With few maps, r is at least 1. There is a method `weights` besides `forward`, since we shall want
# to look at the weights.
# %% exercise="channel_attention" answer="course_utils.models.attention:ChannelAttention"
class ChannelAttention(nn.Module):
    """Weigh feature maps, x -> x * w(x): one weight between 0 and 1 for each map of each image."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        raise NotImplementedError

    def weights(self, x):
        """One weight in (0, 1) for each map: (N, C, H, W) -> (N, C, 1, 1)."""
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


# %%
ChannelAttention = cu.check("channel_attention", ChannelAttention)
# %%
count = lambda network: sum(p.numel() for p in network.parameters())
torch.manual_seed(0)
block = ChannelAttention(width)
with torch.inference_mode():
    weights = block.weights(maps[None])
    print(f"ChannelAttention({width}): {count(block)} parameters; weights of shape {tuple(weights.shape)}")
    print(f"new, it gives weights from {weights.min():.2f} to {weights.max():.2f}")
# %% [markdown] lang="en"
# A block that has learnt nothing gives every map about half its strength. That does no harm: the next convolution, or
# the batch normalisation behind it, makes up for it.
#
# <details><summary>A weight of 0 switches a map off. Why a sigmoid, then, and not 0 or 1, on or off?</summary>
#
# A hard switch has no gradient: nothing would tell the small network in which direction to change. A sigmoid is a switch
# that can be moved a little at a time. (Hard switches can be trained as well, with more trouble.)
#
# </details>
#
# <details><summary>The weights multiply the maps, and the next convolution multiplies by its own weights. Could the
# convolution not simply have learnt the product?</summary>
#
# If the weights were the same for every image, yes, and the block would be of no use. What it adds is that they depend on
# the image: the same convolution, with other weights for a page of text than for a photograph. Part 8 looks at how much
# they really differ.
#
# </details>
#
# ## 3. Where?
#
# A weight for each map is the same at every place of the image. Now the other way round: one weight for each *place*,
# the same for all maps. Woo and others (2018) asked the maps themselves again: at each pixel take the **mean** and the
# **maximum** over the C maps. That makes two new pictures. Of our trained network they look so:
# %%
both = torch.stack([maps.mean(dim=0), maps.amax(dim=0)])  # (2, H, W)
both = (both / both.flatten(1).quantile(0.99, dim=1)[:, None, None]).clamp(0, 1)
cu.compare({"scan": scan, "mean of the maps": both[:1], "maximum of the maps": both[1:]}, mode="side", view=part)


# %% [markdown] lang="en"
# Letters and edges stand out. A convolution with a large kernel, 7 × 7, looks at the two pictures and
# makes one of them; a sigmoid puts it between 0 and 1; and all maps are multiplied by it.
#
# | | shape |
# |---|---|
# | the maps x | (N, C, H, W) |
# | mean and maximum over the maps, in this order | (N, 2, H, W) |
# | the weights, after the convolution and the sigmoid | (N, 1, H, W) |
# | x · weights | (N, C, H, W) |
#
# The parameters: 2 · 7 · 7 = 98 weights and a bias, **99**, however many maps there are. (The authors' code has no bias
# there and normalises instead; we keep the bias.)
#
# ### Your turn
#
# Write `SpatialAttention`. `x.mean(dim=1, keepdim=True)` and `x.amax(dim=1, keepdim=True)` are (N, 1, H, W) each,
# `torch.cat([a, b], dim=1)` puts one behind the other. The convolution pads with `kernel // 2`, so that the size stays.
# %% exercise="spatial_attention" answer="course_utils.models.attention:SpatialAttention"
class SpatialAttention(nn.Module):
    """Weigh places, x -> x * w(x): one weight between 0 and 1 for each pixel of each image, the same for all maps."""

    def __init__(self, kernel=7):
        super().__init__()
        raise NotImplementedError

    def weights(self, x):
        """One weight in (0, 1) for each pixel: (N, C, H, W) -> (N, 1, H, W)."""
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


# %%
SpatialAttention = cu.check("spatial_attention", SpatialAttention)
# %%
torch.manual_seed(0)
block = SpatialAttention()
with torch.inference_mode():
    weights = block.weights(maps[None])
print(f"SpatialAttention(): {count(block)} parameters; weights of shape {tuple(weights.shape)}")


# %% [markdown] lang="en"
# ## 4. Both, one after the other
#
# The paper of Woo and others has both, and calls the whole a *convolutional block attention module*, CBAM. First the
# maps are weighed, then the places of what comes out. And it asks each map twice: a map that is dark but for one bright
# scratch has a small mean and a large **maximum**. Both sets of C numbers go through the *same* two layers f, and are
# added before the one sigmoid:
#
# w(x) = sigmoid(f(mean) + f(maximum)), then y = x · w(x), and last y · (the spatial weights of y).
#
# Here f is 1 × 1 convolution, ReLU, 1 × 1 convolution, as in part 2. Because it is shared, the maximum costs no
# parameter: 2 · C · r + r + C for the maps, and 99 for the places.
#
# ### Your turn
#
# Write `CBAM`. The maximum of each map is `x.amax(dim=(2, 3), keepdim=True)`. Your `SpatialAttention` does the second
# half as it is. Make f without a sigmoid, and `torch.sigmoid` comes last.
# %% exercise="cbam" answer="course_utils.models.attention:CBAM"
class CBAM(nn.Module):
    """Weigh feature maps by their mean and their maximum, then places: x -> (N, C, H, W), the shape of x."""

    def __init__(self, channels, reduction=4, kernel=7):
        super().__init__()
        raise NotImplementedError

    def weights(self, x):
        """One weight in (0, 1) for each map: (N, C, H, W) -> (N, C, 1, 1). (Those of the places: self.spatial.)"""
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


# %%
CBAM = cu.check("cbam", CBAM)
# %%
even = torch.full((1, width, 40, 40), 0.1)
scratched = even.clone()
scratched[..., 20, 20] = 5  # one bright pixel of 1,600: the mean hardly notices
for make in (ChannelAttention, CBAM):
    torch.manual_seed(0)
    block = make(width)
    with torch.inference_mode():
        moved = (block.weights(scratched) - block.weights(even)).abs().max()
    print(f"{make.__name__}({width}): {count(block)} parameters; a bright pixel moves its weights by up to {moved:.3f}")


# %% [markdown] lang="en"
# An even grey with one bright pixel: the weights of the new CBAM move by
# 0.135<!-- CBAM(32): * moves its weights by up to ±0.05 -->, those of ChannelAttention by less than a thousandth. (What
# that is good for is another question.)
#
# ## 5. Both, side by side
#
# Roy, Navab and Wachinger (2018) had the two roads part at x and meet again at the end. One is the channel attention of
# part 2. The other is simpler than that of part 3: a 1 × 1 convolution of all C maps to a single one, and a sigmoid, so
# each pixel's weight depends on that pixel alone, but on every one of its maps. The results are **added**:
#
# y = x · sigmoid(convolution(x)) + ChannelAttention(x).
#
# They called it *concurrent spatial and channel squeeze and excitation*, scSE. (In a later paper they compare the sum
# with the larger of the two, the product, and handing on both. The library segmentation-models-pytorch adds, too.) It has
# C + 1 parameters more than ChannelAttention.
#
# ### Your turn
#
# Write `SCSE`. Your `ChannelAttention` is the one road, and does its own multiplication; for the other,
# `nn.Conv2d(channels, 1, kernel_size=1)`, with its bias.
# %% exercise="scse" answer="course_utils.models.attention:SCSE"
class SCSE(nn.Module):
    """Weigh feature maps and, beside it, places; add the two: x -> x * s(x) + ChannelAttention(x), the shape of x."""

    def __init__(self, channels, reduction=4):
        super().__init__()
        raise NotImplementedError

    def forward(self, x):
        raise NotImplementedError


# %%
SCSE = cu.check("scse", SCSE)
# %%
BLOCKS = {
    "SE": ChannelAttention,
    "spatial": lambda channels, reduction: SpatialAttention(),  # it need not know either
    "CBAM": CBAM,
    "scSE": SCSE,
}
of_plain = count(DnCNN(depth=depth, width=width))
print(f"DnCNN: {of_plain:,} parameters")
for name, make in BLOCKS.items():
    one = count(make(width, 4))
    print(f"{name}: {one} parameters a block, {depth - 2} blocks are {100 * (depth - 2) * one / of_plain:.1f} % of it")


# %% [markdown] lang="en"
# | | parameters for C maps | for 32 maps | three blocks, of all of DnCNN's |
# |---|---|---|---|
# | SE | 2 · C · r + r + C | 552<!-- SE: ±0 --> | 5.6<!-- SE: * blocks are ±0.1 --> % |
# | spatial | 2 · 7 · 7 + 1 | 99<!-- spatial: ±0 --> | 1.0<!-- spatial: * blocks are ±0.1 --> % |
# | CBAM | the two above together | 651<!-- CBAM: ±0 --> | 6.6<!-- CBAM: * blocks are ±0.1 --> % |
# | scSE | 2 · C · r + r + C, and C + 1 | 585<!-- scSE: ±0 --> | 5.9<!-- scSE: * blocks are ±0.1 --> % |
#
# With C = 32 and a reduction of 4, r is 8. The DnCNN with its 29,699<!-- DnCNN: ±0 --> parameters hardly notices.
#
# ## 6. How do the blocks get into a DnCNN?
#
# The simplest way: behind each of the middle layers, that is, convolution, batch normalisation, ReLU, **block**. The
# first and the last layer stay as they are.
#
# Two things need thought.
#
# **How far does a pixel see?** In lesson 5 the answer was the depth: each 3 × 3 convolution looks one pixel further. A
# spatial block with its 7 × 7 kernel looks 3 pixels further, and there are depth − 2 of them. But SE, CBAM and scSE take
# a mean over *the whole image*. One pixel at the far end of the page changes the mean, the mean changes the weights, and
# the weights change every pixel. The receptive field is the whole image; no halo is wide enough. `receptive_radius` is
# `None` then, and `cu.restore` takes images whole. (Part 9 shows what happens otherwise.)
#
# **What does a checkpoint hold?** The settings of a network, as plain data. So `attention` is a *name*, "SE", and the
# network looks the block up in `BLOCKS`.
#
# ### Your turn
#
# Write `AttentionDnCNN`. With `make = BLOCKS[attention]`, `make(width, reduction)` is a new block each time it is called;
# `attention=None` is a DnCNN without any. As in lesson 5, every convolution keeps its bias, the weights and the bias of
# the last one start at 0 (`nn.init.zeros_`), and `restore` gives y − R(y). You may raise a `CourseError` for a depth
# below 3 or a name that is not in `BLOCKS`; that is not asked.
# %% exercise="attention_dncnn" answer="course_utils.models.attention:AttentionDnCNN"
class AttentionDnCNN(nn.Module):
    """A DnCNN with attention: y -> R(y), both (N, C, H, W). The restored image is y - R(y)."""

    def __init__(self, channels=3, depth=5, width=32, attention="SE", reduction=4):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width}
        self.config |= {"attention": attention, "reduction": reduction}  # by name: a file can hold that
        # self.receptive_radius: depth for None, more for "spatial", None for the others
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The image without its predicted noise: (N, C, H, W) -> (N, C, H, W), not clipped."""
        raise NotImplementedError


# %%
AttentionDnCNN = cu.check("attention_dncnn", AttentionDnCNN)


# %% [markdown] lang="en"
# ## 7. Is it worth its parameters?
#
# Each of the four has more parameters than the plain DnCNN, so if it is better, that may be why. The fair question: what
# would the *same* parameters buy if we spent them on a few more maps? The control is the widest DnCNN that has no more
# parameters than the largest of the four.
# %%
def widest(budget, make):
    """The largest width for which `make(width)` has at most `budget` parameters."""
    width = 1
    while count(make(width + 1)) <= budget:
        width += 1
    return width


attentive = {name: lambda name=name: AttentionDnCNN(depth=depth, width=width, attention=name) for name in BLOCKS}
budget = max(count(make()) for make in attentive.values())
wide = widest(budget, lambda width: DnCNN(depth=depth, width=width))
variants = {"plain": lambda: DnCNN(depth=depth, width=width), "wider": lambda: DnCNN(depth=depth, width=wide)}
variants |= {f"+ {name}": make for name, make in attentive.items()}
print(f"the largest has {budget:,} parameters; a DnCNN with {wide} maps has {count(variants['wider']()):,}")
# %% [markdown] lang="en"
# **One map more.** That is all that the parameters of the largest attention come to: 33<!-- a DnCNN with ±0 --> maps in
# place of 32. (One more *layer* would be far beyond the budget: it has 9 · 32 · 32 + 3 · 32 = 9,312 parameters.)
#
# How long does a step take? Counting parameters does not tell: a block with 99 of them works on every pixel of every
# map.
# %%
repeat = profile.choose(test=1, cpu=20, gpu=50)


def milliseconds(make):
    """The time of a training step with 8 patches: the shortest of several, which other programs disturb least."""
    model, took = make().to(memory_format=torch.channels_last), []
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    batch = [torch.rand(8, 3, patch, patch).to(memory_format=torch.channels_last) for _ in range(2)]
    for _ in range(repeat):
        start = time.perf_counter()
        train_step(model, optimizer, *batch)
        took.append(time.perf_counter() - start)
    return 1000 * min(took)


# %%
times = {name: milliseconds(make) for name, make in variants.items()}
for name, each in times.items():
    print(f"{name}: {each:.1f} ms a step, {each / times['plain']:.2f} times the plain network's")
# %% [markdown] lang="en"
# Few parameters are not little work. The spatial weights come from a look at all maps of every pixel, and CBAM takes
# means and maxima both ways: its step takes 2.3<!-- + CBAM: * a step, ±1.3 --> times as long as the plain network's. The
# surprise is the control, at 2.5<!-- wider: * a step, ±1.3 --> times, with 6 % more parameters. The likely cause: our
# processor computes 16 numbers at a time, and 33 is no multiple of 16. Test it: time `DnCNN(depth=depth, width=31)`. With
# less to do than 32 maps it was slower on our machine, too. (A GPU has such steps as well.)
#
# Now the trial: six networks, three seeds each, the same number of steps, the same patches in the same order for the
# same seed. **Guess first: which will be best, and by how much?** One network trained twice, with two seeds, does not
# score the same. So a difference counts only if it is clearly larger than the spread over the seeds.
# %%
seeds = profile.choose(test=(0, 1), cpu=(0, 1, 2), gpu=(0, 1, 2))
networks, scores, done = {}, {}, {("plain", 0): (plain, score)}  # the one of part 1 need not learn again
for name, make in variants.items():
    runs = [done.get((name, seed)) or trained(make, seed) for seed in seeds]
    networks[name], scores[name] = zip(*runs)
    decibels = [score["psnr"] for score in scores[name]]
    print(f"{name}: {cu.with_spread(decibels)} dB on validation pages, {count(networks[name][0]):,} parameters")
# %%
cu.plot_metrics({name: list(each) for name, each in scores.items()})
# %%
psnrs = {name: np.array([score["psnr"] for score in each]) for name, each in scores.items()}
for name in list(variants)[1:]:
    gains = psnrs[name] - psnrs["plain"]  # seed by seed: the same patches
    more = (count(networks[name][0]) - of_plain) / 1000
    told = "{:+.2f} ± {:.2f} dB".format(*cu.mean_and_spread(gains))
    print(f"gain of {name}: {told}, {gains.mean() / more:+.2f} dB per 1,000 parameters")


# %% [markdown] lang="en"
# Each circle is a network; each bar is the mean of three, and their spread (the sample standard deviation). **No
# attention beats the plain network here.** scSE is level with it, −0.01<!-- gain of + scSE: ±0.35 --> ±
# 0.14<!-- gain of + scSE: * ± ±0.3 --> dB. SE is at −0.11<!-- gain of + SE: ±0.35 --> ±
# 0.34<!-- gain of + SE: * ± ±0.3 --> dB, a difference well within its spread: it says nothing. CBAM, at
# −0.18<!-- gain of + CBAM: ±0.35 --> ± 0.13<!-- gain of + CBAM: * ± ±0.3 --> dB, may be worse; spatial, at
# −0.28<!-- gain of + spatial: ±0.35 --> ± 0.08<!-- gain of + spatial: * ± ±0.3 --> dB, clearly is, by a little. And the
# control, with its one map more? It has +0.23<!-- gain of wider: ±0.35 --> ± 0.23<!-- gain of wider: * ± ±0.3 --> dB:
# the best mean of the six, though no larger than its spread.
#
# <details><summary>+0.23 ± 0.23 dB over three seeds: is the wider network better?</summary>
#
# The spread is that of a single difference. The mean of three is surer by √3: its standard error is 0.23 / √3 = 0.13
# dB. So the gain is not quite two standard errors: likely, not certain. To halve the standard error takes twelve seeds.
#
# </details>
#
# So is attention a mistake? All this holds for 5 layers, 32 maps and a few hundred steps. **Why it might do more
# elsewhere** is partly intuition: a network with 32 maps has few to spare, and a short training leaves little time to
# learn which. Partly it is other people's findings, which we have not measured: SE was made for classifiers of 50 layers
# and more, with up to 2,048 maps; RCAN (2018) has it in each block of a network of over 400 layers for super-resolution;
# the authors of NAFNet (2022) took out of their network what they could, and kept channel attention, with one layer and
# no sigmoid, since their tables credit it with a gain. Such networks train for days.
#
# <details><summary>Somebody reports "+0.2 dB with our attention block", one run each, the block added to a base network.
# What three things would you ask?</summary>
#
# How far two runs of the base network lie apart. What the base network gains from the same parameters spent on width or
# depth. And from the same time.
#
# </details>
#
# ### Equal steps are not equal time
#
# Somebody who pays for a computer by the hour asks another question. A step of CBAM, or of the network with 33 maps, takes
# about twice as long as one of the plain network. What does the plain network make of that time, that is, of twice the
# steps?
# %%
longer = [trained(variants["plain"], seed, 2 * steps)[1]["psnr"] for seed in seeds]
gain = "{:+.2f} ± {:.2f} dB".format(*cu.mean_and_spread(longer - psnrs["plain"]))
print(f"plain, {2 * steps} steps: {cu.with_spread(longer)} dB, a gain of {gain}")


# %% [markdown] lang="en"
# +0.60<!-- plain, 800 steps: * a gain of ±0.35 --> dB: more than anything else in this part. Nothing that we put into the
# network, one map more included, was worth as much as training it longer. At this budget time is what is scarce, and what
# costs time has to earn it.
#
# ## 8. Where does it look, and what does it turn up?
#
# Whatever it is worth in decibels: what has it learnt? A spatial block has one weight for each pixel, and that is a
# picture. **Guess: where are the weights high, on letters, on photographs, or on bare paper?**
# %%
def weights_of(model, image):
    """The weights of each attention block, first to last, when the network restores this image (3, H, W)."""
    found, blocks = [], [module for module in model.modules() if hasattr(module, "weights")]
    note = lambda block, given, _: found.append(block.weights(given[0])[0])
    hooks = [block.register_forward_hook(note) for block in blocks]
    with torch.inference_mode():
        model.cpu().eval()(image[None])
    for hook in hooks:
        hook.remove()
    return found


# %%
looks = weights_of(networks["+ spatial"][0], scan)  # each (1, H, W)
for i, look in enumerate(looks, 1):
    means = ", ".join(f"{kind} {look[window].mean():.2f}" for kind, window in windows.items())
    print(f"block {i}: weights from {look.min():.2f} to {look.max():.2f}; mean on {means}")
torch.manual_seed(0)
new = torch.stack(weights_of(attentive["spatial"](), scan))
print(f"before training, all blocks: weights from {new.min():.2f} to {new.max():.2f}")
# %%
stretched = {f"block {i}": (look - look.min()) / (look.max() - look.min()) for i, look in enumerate(looks, 1)}
cu.show_batch({"scan": scan} | stretched, columns=2, title="The scan, and the weights of the blocks, each stretched")
# %% [markdown] lang="en"
# In all three blocks the weights follow what is printed: lines of text, the edges of the engine and the wheels. Block 1
# and block 2 turn letters *up*; block 3 has the headline darker than the paper around it, and turns the photograph up
# against the paper, 0.25<!-- block 3: * photograph ±0.3 --> against 0.17<!-- block 3: * bare paper ±0.3 -->. Behind the
# headline block 3 has a lighter rectangle. It is not in the original. Look for it in the scan: there the photograph on
# the *back* of the page shines through.
#
# <details><summary>Does such a picture show what a block has learnt? Stretch the weights of an untrained network in the
# same way: <code>attentive["spatial"]()</code>.</summary>
#
# Not by itself. Letters, engine and wheels are there, too: whatever is computed from the maps has the edges of the page.
# But before training all weights lie near one half, and stretching hides it. What training has added is the distance
# between them.
#
# </details>
#
# So the blocks treat letters, photographs and even bleed-through differently, and nobody has told them what these are.
# That the network should therefore restore better was our intuition, and part 7 does not bear it out.
#
# Now SE. For three patches of 40 × 40, text, photograph and bare paper (you saw them in part 1), the weights of the 32
# maps in each block:
# %%
se = networks["+ SE"][0]
figure = Figure(figsize=(10, 3.2 * (depth - 2)), layout="constrained")
panels = figure.subplots(depth - 2, 1, squeeze=False)[:, 0]
of_kinds = {kind: weights_of(se, scan[window]) for kind, window in windows.items()}
for i, axes in enumerate(panels):
    order = of_kinds["text"][i].flatten().argsort()
    for (kind, weights), look in zip(of_kinds.items(), ("o-", "s--", "^:")):
        axes.plot(weights[i].flatten()[order].numpy(), look, color="black", markerfacecolor="white", label=kind)
    axes.set(ylabel=f"weight in block {i + 1}", xlabel="the maps, by their weight on text", ylim=(0, 1))
    axes.grid(alpha=0.3)
panels[0].legend(loc="lower left", ncols=3)
cu.Picture(figure, "Weights of the SE blocks for text, photograph and bare paper: three curves in each of the panels")
# %%
for i in range(depth - 2):
    text, photo, paper = (of_kinds[kind][i].flatten() for kind in ("text", "photograph", "bare paper"))
    apart = f"text to photograph {(text - photo).abs().mean():.3f}, text to paper {(text - paper).abs().mean():.3f}"
    print(f"block {i + 1}: spread over the maps {text.std():.3f}; mean distance {apart}")


# %% [markdown] lang="en"
# The photograph (squares) gets weights of its own. Text (circles) and bare paper (triangles) get nearly the same: in block
# 1 the weights of text are on average 0.103<!-- block 1: * text to photograph ±0.1 --> away from those of the photograph
# and 0.021<!-- block 1: * text to paper ±0.03 --> from those of the paper. The likely reason: SE sees means, and most of
# the area of a patch of text *is* paper.
#
# ## 9. Trained on patches, used on pages: what changes?
#
# The SE network has learnt from patches of 40 × 40. It learnt what the mean of a map is *over a patch*: over a piece of
# text, a piece of photograph, a piece of paper. Now it restores a page, and gets the mean over all of that together.
# **Does that matter?** First the seams. As in lesson 5: a page in tiles of 64 against the page as a whole.
# %%
def in_tiles(model, image, halo):
    whole, tiles = cu.restore(model, image, tile=None), cu.restore(model, image, tile=64, halo=halo)
    return 255 * (whole - tiles).abs().max().item()


for halo in (0, depth, 2 * depth, 8 * depth):
    seams = {name: in_tiles(networks[name][0], scan, halo) for name in ("plain", "+ SE")}
    print(f"halo {halo}: plain off by up to {seams['plain']:.2f} grey levels, + SE by {seams['+ SE']:.2f}")
# %% [markdown] lang="en"
# The plain network has no seams from halo 5 on, as in lesson 5. The SE network is off by
# 50<!-- halo 5: * + SE by ±35 --> grey levels somewhere, and **no halo helps**: a tile has another mean than the page, so
# all its weights are others.
#
# Seams are one thing. Which of the two, whole or in tiles, is *nearer to the original*? **Guess.**
# %%
whole, tiles = cu.restore(se, scan, tile=None), cu.restore(se, scan, tile=64, halo=depth)
print(f"page 4: whole {psnr(whole, original):.2f} dB, in tiles of 64 {psnr(tiles, original):.2f} dB")
difference = (8 * (whole - tiles).abs()).clamp(0, 1)
cu.compare({"in tiles": tiles, "8 × the difference": difference, "whole": whole, "original": original}, mode="side")


# %% [markdown] lang="en"
# In tiles: 24.25<!-- page 4: * in tiles of 64 ±0.8 --> dB against 24.00<!-- page 4: whole ±0.8 --> for the whole, seams
# and all. (It was so in our run; with another seed it may differ.) The difference, eight times enlarged, is a change of
# tint in areas and more at edges. The explanation of Chu and others (2022): the mean over a tile of 64 is more like the
# means that the network was trained with than the mean over a page.
#
# ### A local mean
#
# Chu and others suggest: leave the training as it is, and when a page is restored, take for each pixel the mean over a
# window around it, *about as large as the training patches* (ours is as large; their code takes 1.5 times the side). The
# weights then vary over the page, slowly, and there is nothing new to learn. The mean over a window is `F.avg_pool2d`
# with stride 1; near the border the nearest full window counts.
# %%
def local_mean(x, window):
    """The mean over the window around each pixel: (N, C, H, W) -> the same shape."""
    means = F.avg_pool2d(F.avg_pool2d(x, (window, 1), stride=1), (1, window), stride=1)  # rows, then columns: faster
    down, across = x.shape[-2] - means.shape[-2], x.shape[-1] - means.shape[-1]
    return F.pad(means, (across // 2, across - across // 2, down // 2, down - down // 2), mode="replicate")


# %%
class Local(nn.Module):
    """A channel attention as it was learnt, with the mean of a window in place of the mean of the image."""

    def __init__(self, attention, window):
        super().__init__()
        self.attention, self.window = attention, window

    def forward(self, x):
        means = local_mean(x, self.window).movedim(1, -1)  # (N, H, W, C)
        weights = self.attention.weights(means.reshape(-1, x.shape[1], 1, 1))  # each place: an image of one pixel
        return x * weights.view(means.shape).movedim(-1, 1)


# %%
def localised(model, window=patch):
    """A copy of the network whose channel attention takes local means."""
    model = copy.deepcopy(model)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "weights"):
                setattr(parent, name, Local(child, window))
    model.receptive_radius = depth + (depth - 2) * (window // 2)  # finite again
    return model


# %%
local = [localised(model) for model in networks["+ SE"]]
print(f"receptive radius: {local[0].receptive_radius}")
for halo in (depth, local[0].receptive_radius):
    print(f"local mean, halo {halo}: off by up to {in_tiles(local[0], scan, halo):.2f} grey levels")
# %%
gains = []
for seed, (model, twin) in enumerate(zip(networks["+ SE"], local)):
    both = [[psnr(cu.restore(each, y, tile=None), x) for y, x in pages] for each in (model, twin)]
    gains.append(np.mean(both[1]) - np.mean(both[0]))
    print(f"seed {seed}: mean of the page {np.mean(both[0]):.2f} dB, local mean {np.mean(both[1]):.2f} dB")
print("gain of the local mean: {:+.2f} ± {:.2f} dB".format(*cu.mean_and_spread(gains)))
# %% [markdown] lang="en"
# +0.16<!-- gain of the local mean: ±0.2 --> dB, with each of the three seeds, without training anything again. And the
# radius is finite: with a halo of 65 the tiles show no seam. The price is time, since the small network now works at every
# pixel.
#
# <details><summary>Why 65?</summary>
#
# Five convolutions look 5 pixels far. Each of the three means is over a window of 40, so it looks 20 further:
# 5 + 3 · 20.
#
# </details>
#
# <details><summary>Batch normalisation takes means over the whole image too, in training. Why is it no such trap?</summary>
#
# Because in evaluation mode it does not: it uses the mean and spread that it has gathered over the training. Forget
# `model.eval()`, and it is the same trap (lesson 5 measured it).
#
# </details>
#
# ## 10. Back to the page
#
# The networks of this lesson had few steps each; so their place on the board is below the DnCNN of lesson 5, which had
# 50 seconds. Compare them with each other.
# %%
board = cu.Board("07_attention")
board.add(f"DnCNN, {steps} steps", networks["plain"])
board.add(f"DnCNN, {wide} maps, {steps} steps", networks["wider"])
board.add(f"DnCNN + SE, {steps} steps", networks["+ SE"])
board.add(f"DnCNN + SE, local mean, {steps} steps", local)
board
# %%
test_scan, test_original = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[0]
restored = {name: cu.restore(networks[name][0], test_scan) for name in ("plain", "+ SE")}
restored["+ SE, local mean"] = cu.restore(local[0], test_scan)
cu.compare({"scan": test_scan, **restored, "original": test_original}, reference="original")
# %% [markdown] lang="en"
# The order of the means is that of part 7. On the test pages the plain network has
# 23.12<!-- DnCNN, 400 steps, 3 seeds: ±0.3 --> dB, with one map more
# 23.25<!-- DnCNN, 33 maps, 400 steps, 3 seeds: ±0.3 -->, a difference within the spread. With SE it has
# 22.90<!-- DnCNN + SE, 400 steps, 3 seeds: ±0.3 -->, and SE with the local mean
# 23.09<!-- DnCNN + SE, local mean, 400 steps, 3 seeds: ±0.3 -->, level with the plain network. So what SE seems to cost
# here is about what the trap of part 9 costs: not the block, then, but how it was used. On the unseen scanner the four
# lie within about a tenth of a decibel of each other, and that is their spread. And on the one page above, with one seed
# each, SE was *ahead* of the plain network in our run: one page shows what is wrong, and not which is better.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - Attention multiplies feature maps by weights between 0 and 1 that are computed from these maps: one weight for each map
#   (SE), one for each place (spatial), both in turn (CBAM), or both side by side (scSE). It costs a few hundred parameters.
# - In our network maps *are* specialists: those that matter on text hardly matter on a photograph. And the spatial blocks
#   find out by themselves: letters, photographs and bleed-through stand out in their weights.
# - At this size it did not pay: −0.28<!-- gain of + spatial: ±0.35 --> to −0.01<!-- gain of + scSE: ±0.35 --> dB
#   against the plain network, +0.23<!-- gain of wider: ±0.35 --> for one map more,
#   +0.60<!-- plain, 800 steps: * a gain of ±0.35 --> for twice the steps, with spreads of 0.1 to 0.3. Deep and wide
#   networks are reported to gain; measure yours.
# - A mean over the image ties the weights to the size of the image: no halo removes the seams, and patches and pages
#   differ. A local mean of the patch's size is worth +0.16<!-- gain of the local mean: ±0.2 --> dB, and gives a radius
#   back.
#
# **Three common errors**
#
# 1. *The mean is taken over the wrong axes.* With axis 0 among them, all images of a batch share their weights: the shapes
#    still fit, thanks to broadcasting, and the network trains. Print the shape of the weights once, for two images.
# 2. *Restored in tiles, the page shows its tiles.* A mean over the image makes every pixel depend on every other, and no
#    halo helps. Whole images, or a local mean.
# 3. *"Attention gains 0.1 dB."* Against what, with how many seeds, and at whose cost? The control has the same number of
#    parameters, the same steps, and the same seeds.
#
# **Where to read on.** Hu, Shen and Sun, *Squeeze-and-Excitation Networks* (CVPR 2018). Woo, Park, Lee and Kweon, *CBAM:
# Convolutional Block Attention Module* (ECCV 2018). Roy, Navab and Wachinger, *Concurrent Spatial and Channel "Squeeze &
# Excitation" in Fully Convolutional Networks* (MICCAI 2018). Zhang and others, *Image Super-Resolution Using Very Deep
# Residual Channel Attention Networks* (ECCV 2018). Chen, Chu, Zhang and Sun, *Simple Baselines for Image Restoration*
# (ECCV 2022). Chu, Chen, Chen and Lu, *Improving Image Restoration by Revisiting Global Information Aggregation* (ECCV
# 2022).
#
# The next lesson asks why the network with the best PSNR is blurred:
# [lesson 8, perceptual loss](08_perceptual_loss.ipynb).
