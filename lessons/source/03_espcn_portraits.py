# minutes: test=0.2 cpu=2.3
# %% [markdown] lang="en"
# # ESPCN: portraits enlarged, at a fraction of the cost
#
# The network of [lesson 2](02_srcnn.ipynb) began by enlarging its image, and then worked on every pixel of the large
# one. But what it works *on* is the small image: enlarging adds pixels and no information. **Why compute on sixteen
# pixels what is known about one?** In 2016 Shi and others turned the order round: work on the small image, enlarge in
# the very last step. Their network is ESPCN, and its last step is one line that is easy to get wrong.
#
# A student project used it for portraits: faces of 44 × 44 pixels, enlarged four times. We rebuild it.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | What is lost in a small portrait? | `centre_crop`, `pyramid_reduce` |
# | 2 | Where does a small pixel lie? | |
# | 3 | How do 48 small maps become one large image? | `pixel_shuffle` |
# | 4 | What is the network, and where does it start? | `ESPCN` |
# | 5 | What does it make of a face that it has never seen? | |
# | 6 | What does it cost to enlarge first? You measure it | |
# | 7 | Which low resolution was it trained for? | |
# | 8 | Back to the page: can a page be restored at half resolution? | |
#
# **At the end** you have enlarged a portrait four times, and you know what that cost, twice: counted and measured.
# **Time:** under three minutes of computing on two CPU cores, and an hour of yours.
# %%
import time

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from course_utils.degrade import crop_to_multiple, enlarge, reduce
from course_utils.files import CourseError
from course_utils.images import check_image
from course_utils.losses import mse_loss
from course_utils.metrics import evaluate
from course_utils.models.espcn import nearest_start

# %% [markdown] lang="en"
# ## 1. What is lost in a small portrait?
#
# Our portrait is of Rear Admiral Grace Hopper, who wrote one of the first compilers. The photograph comes with the
# libraries of this course, in their *test* edition: no network of this course is trained on it.
# %%
photograph = cu.to_tensor(cu.data.photographs("test")["grace_hopper"])  # (3, 600, 512)
cu.show_batch({"Grace Hopper": photograph}, zoom=1)


# %% [markdown] lang="en"
# The project cut the middle square out of each photograph, 176 × 176 pixels, so that all faces have one size.
#
# ### Your turn
#
# Write `centre_crop`. An image may come alone or in a batch, so take height and width from the end:
# `image.shape[-2:]`, and cut the last two axes with `image[..., rows, columns]`, where `rows` and `columns` are
# slices. As much is cut off on either side. If that does not work out, because the rest is odd, the top and the left
# lose one less: `(height - size) // 2`. For an image that is too small raise a `CourseError` that names its height and
# its width.
# %% exercise="centre_crop" answer="course_utils.degrade.pyramid:centre_crop"
def centre_crop(image, size):
    """The middle of an image: (..., H, W) -> (..., size, size)."""
    raise NotImplementedError


# %%
centre_crop = cu.check("centre_crop", centre_crop)
# %% [markdown] lang="en"
# The photograph is too large for a frame of 176 pixels: its middle would be a chin. We take its upper part at half
# its size, and the middle of that.
# %%
portrait = centre_crop(reduce(photograph[:, :440], 2), 176)  # (3, 176, 176)
try:
    centre_crop(portrait, 200)
except CourseError as error:
    print(error)
cu.show_batch({"the portrait, 176 × 176": portrait}, zoom=2)


# %% [markdown] lang="en"
# Now make it four times smaller. **Why not simply keep every fourth pixel?** Because a pixel would then stand for
# itself alone. A thin line lies on a kept pixel or between two, and is there or not, by chance. So one blurs first,
# and each pixel that is kept has gathered something of its neighbours.
#
# The *Gaussian pyramid* does it in levels. A level blurs the image with the five weights 1, 4, 6, 4, 1, divided by
# their sum 16, down each column and then along each row, and keeps every second pixel, beginning with the first. Two
# levels turn 176 × 176 into 44 × 44. At the border two pixels are missing; the image is mirrored there, without
# repeating the outermost pixel: before *a b c* comes *c b*.
#
# ### Your turn
#
# Write `pyramid_reduce`. `F.pad(image, (2, 2, 2, 2), mode="reflect")` adds two mirrored pixels on each side. Blurring
# down is then a weighted sum of five slices of rows of the padded image: those that begin at row 0, 1, 2, 3 and 4, each
# as high as the image was; along the rows it is the same with columns. `[..., ::2, ::2]` keeps every second pixel. (A
# convolution with `groups=channels` works as well.)
# %% exercise="pyramid_reduce" answer="course_utils.degrade.pyramid:pyramid_reduce"
def pyramid_reduce(image, levels=1):
    """Halve an image `levels` times: blur it with [1 4 6 4 1] / 16 down and across, then keep every second pixel.

    image: float (C, H, W) or (N, C, H, W) in [0, 1]. Of 2n pixels, and of 2n - 1, a level makes n.
    """
    raise NotImplementedError


# %%
pyramid_reduce = cu.check("pyramid_reduce", pyramid_reduce)
# %%
small = pyramid_reduce(portrait, levels=2)  # (3, 44, 44)
print(f"{portrait[0].numel():,} pixels became {small[0].numel():,}")
cu.show_batch({"every 4th pixel": portrait[:, ::4, ::4], "Gaussian pyramid": small}, zoom=6)


# %% [markdown] lang="en"
# Both have 44 × 44 pixels. Without the blur, on the left, the rims of the glasses and the edge of the cap are broken
# into steps, and the gold on the cap is scattered into single pixels. On the right all is soft, and nothing is there
# that was not there before. Fifteen of sixteen numbers are gone, and **no network brings them back**: what it can do
# is guess well.
#
# ## 2. Where does a small pixel lie?
#
# First the guesses that need no learning: repeat each pixel (*nearest neighbour*), or lay smooth curves through the
# pixels (*bicubic*, as in lesson 2).
# %%
def measured(name, image):
    score = evaluate([image], [portrait])
    print(f"{name}: {score['psnr']:.2f} dB, SSIM {score['ssim']:.3f}")


nearest = F.interpolate(small[None], scale_factor=4)[0]
bicubic = enlarge(small, 4)
measured("nearest", nearest)
measured("bicubic", bicubic)
# %%
cu.compare({"bicubic": bicubic, "original": portrait}, reference="original", mode="flicker")


# %% [markdown] lang="en"
# Click into the image to flicker between the two. **What does the face do?** It jumps: down and to the right in the
# enlarged one. Something is out of place.
#
# The pyramid keeps the pixels 0, 4, 8, …: small pixel number i lies at place 4i of the large image. The enlargement
# takes it for the middle of the four pixels 4i, 4i + 1, 4i + 2, 4i + 3, which is place 4i + 1.5. So everything moves by
# a pixel and a half. Here is a bicubic enlargement that puts each small pixel where it came from:
# %%
def enlarge_in_place(small, scale=4):
    """Bicubic, with small pixel i at place scale * i: (N, C, H, W) -> (N, C, scale * H, scale * W)."""
    size = [scale * (side - 1) + 1 for side in small.shape[-2:]]  # from the first small pixel to the last
    large = F.interpolate(small, size=size, mode="bicubic", align_corners=True)
    return F.pad(large, (0, scale - 1, 0, scale - 1), mode="replicate").clamp(0, 1)


in_place = enlarge_in_place(small[None])[0]
measured("bicubic, in place", in_place)
cu.compare({"bicubic, in place": in_place, "original": portrait}, reference="original", mode="flicker")


# %% [markdown] lang="en"
# The face stands still, and the same kind of curve is worth 19.62<!-- bicubic, in place: ±0.02 --> dB instead of
# 17.95<!-- bicubic: ±0.02 --> dB. The difference is more than many a network gains over another one. Whoever compares a
# network with the first of the two praises it for having moved the image back. Our measure from here on is the second.
# %% [markdown] lang="en"
# <details><summary>A network learns from pairs of small and large images. Does it have to be told of the
# pixel and a half?</summary>
#
# No. Each of the sixteen pixels that come from a small one is computed by a filter of its own, and a filter can take
# more from the right neighbour than from the left. The shift is in the training pairs, so it is learnt with the rest.
# That is convenient, and dangerous: the network is then right for images that were made small *in this way*. Part 7
# tries it.
#
# </details>
# %% [markdown] lang="en"
# ## 3. How do 48 small maps become one large image?
#
# A network that works in low resolution ends with maps of 44 × 44. The large image has 3 × 16 times as many values as
# one such map. So let the last layer have 48 maps, sixteen for each colour, and deal their values out: sixteen maps
# give the sixteen pixels of each 4 × 4 block. This is called *pixel shuffle*, or periodic shuffling.
#
# A toy: one colour, scale 2, so four maps *a, b, c, d*, each 2 × 2. The number is the position in the map.
# %%
def draw(axes, codes, title):
    axes.imshow(codes // 10, cmap="Pastel1", vmin=0, vmax=8)
    for (row, column), code in np.ndenumerate(codes):
        axes.text(column, row, f"{'abcd'[code // 10]}{code % 10}", ha="center", va="center", fontsize=14)
    axes.set(title=title, xticks=[], yticks=[])


# %%
codes = torch.tensor([[1, 2], [3, 4]]) + 10 * torch.arange(4).view(4, 1, 1)  # (4, 2, 2): a1 is 1, b1 is 11, ...
figure = Figure(figsize=(10, 2.6), layout="constrained")
axes = figure.subplots(1, 5, width_ratios=[1, 1, 1, 1, 2])
for k in range(4):
    draw(axes[k], codes[k].numpy(), f"map {'abcd'[k]} (channel {k})")
draw(axes[4], F.pixel_shuffle(codes[None], 2)[0, 0].numpy(), "shuffled by 2: four blocks of 2 × 2")
for line in (axes[4].axhline, axes[4].axvline):
    line(1.5, color="black", linewidth=2)
cu.Picture(figure, "Maps a, b, c and d, and the grid: a1 b1 a2 b2, then c1 d1 c2 d2, a3 b3 a4 b4, c3 d3 c4 d4")


# %% [markdown] lang="en"
# Read the large grid row by row: its first block, top left, holds a1 b1 over c1 d1. So channel 0 has the top left pixel
# of every block, channel 1 its neighbour on the *right*, channel 2 begins the next row. With several colours, the first
# scale² channels belong to red, the next to green, and so on.
#
# ### Your turn
#
# PyTorch has this (`F.pixel_shuffle` drew the grid; `nn.PixelShuffle` is the same as a layer). Write it by hand all
# the same: other libraries order the channels in another way, and you will see what that does. It takes three steps
# and no loop. `reshape` the channels into three axes, (N, C, row in the block, column in the block, H, W). Bring the
# axes into another order with `permute`, so that *row in the block* stands right behind H, and *column in the block*
# right behind W. Then `reshape` joins neighbouring axes.
# %% exercise="pixel_shuffle" answer="course_utils.models.espcn:pixel_shuffle"
def pixel_shuffle(features, scale):
    """Deal the channels out as sub-pixels: (N, C * scale², H, W) -> (N, C, scale * H, scale * W)."""
    n, channels, height, width = features.shape
    raise NotImplementedError


# %%
pixel_shuffle = cu.check("pixel_shuffle", pixel_shuffle)
# %% [markdown] lang="en"
# The way back exists too: `F.pixel_unshuffle` folds an image into small maps. Nothing is lost on either way. So fold
# the portrait into 48 maps, and deal them out again in three orders: yours; with rows and columns of each block
# swapped; and as TensorFlow's and Keras's `depth_to_space` expects them, sub-pixel first and colour last.
# %%
maps = F.pixel_unshuffle(portrait[None], 4)  # (1, 48, 44, 44)
swapped = maps.reshape(1, 3, 4, 4, 44, 44).permute(0, 1, 4, 3, 5, 2).reshape(1, 3, 176, 176)
keras = maps.reshape(1, 4, 4, 3, 44, 44).permute(0, 3, 4, 1, 5, 2).reshape(1, 3, 176, 176)
orders = {"yours": pixel_shuffle(maps, 4)[0], "swapped": swapped[0], "as Keras": keras[0]}
for name, image in orders.items():
    print(f"dealt out {name}: {evaluate([image], [portrait])['psnr']:.2f} dB")
cu.show_batch({name: image[:, 50:106, 40:112] for name, image in orders.items()}, zoom=4)
# %% [markdown] lang="en"
# The middle one is still the portrait: every block is in its place, and flat areas look right. But within the blocks
# rows and columns are exchanged, so every edge has teeth. The right-hand one nobody overlooks; it is what comes out if
# weights trained in one library are used in the other. (Trained and used with the same wrong order, a network would
# not mind: it learns to put each map where it is needed.)
#
# ## 4. What is the network?
#
# Five convolutions on the small image, none of which changes height and width:
#
# | layer | kernel | maps in → out |
# |---|---|---|
# | 1 | 5 × 5 | 3 → 64 |
# | 2 | 3 × 3 | 64 → 64 |
# | 3 | 3 × 3 | 64 → 32 |
# | 4 | 3 × 3 | 32 → 16 |
# | 5 | 3 × 3 | 16 → 48 |
#
# with ReLU after the first four, and the pixel shuffle at the end. These are the layers of the portrait project. The
# paper's network has three, 5 × 5 to 64, 3 × 3 to 32 and 3 × 3 to the sub-pixels, and tanh in place of ReLU.
#
# **Where should it start?** With PyTorch's random weights its first images are nearly black, with no face. As in
# lesson 2 it can begin with something sensible instead: `nearest_start` sets the weights so that the first three maps
# of each layer hand red, green and blue on, and each of the sixteen sub-pixels of a colour starts as a copy of its
# map. For one layer and scale 2:
# %%
toy = nn.Conv2d(1, 4, kernel_size=3, padding=1)
nearest_start([toy], channels=1)
print("one of the four kernels, which are all alike:", toy.weight[1, 0].detach(), sep="\n")
print(F.pixel_shuffle(toy(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])), 2)[0, 0].detach())


# %% [markdown] lang="en"
# ### Your turn
#
# Write `ESPCN` for any scale and number of channels; the last layer has `channels * scale**2` maps. Make the five
# convolutions with `nn.Conv2d(in, out, kernel, padding=...)`, where a padding of half the kernel, rounded down, keeps
# the size; call `nearest_start(convolutions, channels)` with the list of them; put them into an `nn.Sequential` with
# `nn.ReLU()` between, and `nn.PixelShuffle(scale)`, which does what you just wrote, at the end. Three attributes are
# there for others to read: `config` for checkpoints; `scale`, because `cu.fit` and `cu.restore` have to know that the
# result is larger; and the receptive radius. **How many pixels of the small image does one pixel of the result see to
# each side?** Fill it in.
# %% exercise="espcn" answer="course_utils.models.espcn:ESPCN"
class ESPCN(nn.Module):
    """Enlarge an image: y -> the large image itself, (N, C, H, W) -> (N, C, scale * H, scale * W), not clipped."""

    def __init__(self, scale=4, channels=3):
        super().__init__()
        self.config = {"scale": scale, "channels": channels}
        self.scale = scale
        self.receptive_radius = ...  # of the five layers together, in pixels of the small image
        # five convolutions, nearest_start, then nn.Sequential: ReLU between, nn.PixelShuffle at the end
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The large image: (N, C, H, W) -> (N, C, scale * H, scale * W), not clipped. The network gives it as it is."""
        raise NotImplementedError


# %%
ESPCN = cu.check("espcn", ESPCN)
# %%
torch.manual_seed(0)
network, random_start = ESPCN(), ESPCN()
for layer in random_start.modules():
    if isinstance(layer, nn.Conv2d):
        layer.reset_parameters()  # PyTorch's own random weights
print(f"ESPCN: {sum(p.numel() for p in network.parameters()):,} parameters")
starts = {"nearest_start": cu.restore(network, small), "PyTorch's start": cu.restore(random_start, small)}
stretched = [(image - image.min()) / (image.max() - image.min()) for image in starts.values()]
cu.show_batch(stretched, [f"{name}, before training" for name in starts], zoom=2)


# %% [markdown] lang="en"
# (Both are stretched from black to white, to be seen.) Look closely at the right-hand image: every 4 × 4 block has the
# same pattern. The sixteen pixels of a block are made by sixteen filters that know nothing of each other, and as long
# as those disagree, a *checkerboard* lies over the image. Training has to bring them together. From `nearest_start`
# they begin in agreement, which is the point of it (Aitken and others, 2017).
#
# ### What it learns from
#
# The project had 1,700 faces. We have no set of faces on board: photographs of that many people need their consent, a
# licence and a lot of room. So we train on patches of the photographs that come with the libraries: one astronaut, a
# temple, galaxies, a cameraman, bricks, a retina, gravel, each at full and at half size. The network will learn what
# *edges* look like in low resolution. It will not learn what an eye looks like.
#
# `cu.data.Patches` cuts clean patches of 96 × 96 at random and makes the small ones, 24 × 24, with the degradation that
# it is given.
# %%
def in_two_sizes(photographs):
    clean = [cu.to_tensor(image) for image in photographs.values()]
    return [cu.to_array(image) for x in clean for image in (x, reduce(crop_to_multiple(x, 2), 2))]


def patches_and_middles(make_small):
    images = in_two_sizes(cu.data.photographs("train"))
    patch = profile.choose(test=48, cpu=96, gpu=96)
    patches = cu.data.Patches(images, degradation=lambda clean, rng: make_small(clean), patch=patch)
    middles = [centre_crop(cu.to_tensor(image), 256) for image in cu.data.photographs("valid").values()]
    return patches, [(make_small(middle), middle) for middle in middles]


# %%
by_pyramid = lambda clean: pyramid_reduce(clean, levels=2)
train, valid = patches_and_middles(by_pyramid)
first_small, first_clean = train[0]
print("a pair:", tuple(first_small.shape), "and", tuple(first_clean.shape), "from", len(train), "images")
# %% [markdown] lang="en"
# What is the start worth? A hundred steps from each of the two, which is a second or two of training:
# %%
few = {"steps": profile.choose(test=2, cpu=100, gpu=100), "batch_size": 16, "lr": 4e-3, "loss": mse_loss}
for name, start in (("PyTorch's", random_start), ("nearest_start", network)):
    begun = cu.fit(start, train, valid, **few, progress=False)
    print(f"{few['steps']} steps from {name}: {max(begun.psnrs):.2f} dB on validation")
# %% [markdown] lang="en"
# 24.2<!-- steps from nearest_start: ±0.4 --> dB against 17.7<!-- steps from PyTorch's: ±1.5 --> dB. A long training would
# level that out; we have seconds.
#
# ## 5. What does it make of a face that it has never seen?
#
# The loss is the mean squared error between the large image and the original, which is what PSNR measures.
# %%
settings = profile.choose(
    test={"steps": 4, "batch_size": 4, "lr": 4e-3},
    cpu={"steps": 1_400, "batch_size": 16, "lr": 4e-3},
    gpu={"steps": 40_000, "batch_size": 16, "lr": 1e-3},
)
torch.manual_seed(0)
network = ESPCN()
history = cu.fit(network, train, valid, **settings, loss=mse_loss)
print(f"ESPCN: {history.seconds[-1]:.0f} s, {max(history.psnrs):.2f} dB on validation")
# %%
enlarged = cu.restore(network, small)
for name, image in {"nearest": nearest, "bicubic, in place": in_place, "ESPCN": enlarged}.items():
    measured(f"portrait, {name}", image)
cu.compare(
    {"bicubic, in place": in_place, "ESPCN": enlarged, "nearest": nearest, "original": portrait}, reference="original"
)
# %% [markdown] lang="en"
# ESPCN has 21.9<!-- portrait, ESPCN: ±0.4 --> dB, over two above the bicubic enlargement. **Where do you see it, and
# where not?** The rims of the glasses, the edge of the cap and the collar are firmer. The lines around the mouth, the
# gold leaves and the lashes are not: they were finer than a small pixel, and nothing in 44 × 44 pixels says where they
# lay. The mean squared error punishes a wrong guess twice, once for the line that is not there and once for the one
# that is missing, so the network prefers none. (Look at the blue behind her
# as well: the pale rim along the cap and the faint stripes are the network's own.)
#
# The other photographs of the test edition, their middles reduced in the same way:
# %%
errors = {}
for name, image in cu.data.photographs("test").items():
    clean = portrait if name == "grace_hopper" else centre_crop(cu.to_tensor(image), 176)
    y = by_pyramid(clean)
    before = evaluate([enlarge_in_place(y[None])[0]], [clean])["psnr"]
    after = evaluate([cu.restore(network, y)], [clean])["psnr"]
    errors[name] = 10 ** (-after / 10)
    print(f"{name:13} bicubic, in place {before:.2f} dB, ESPCN {after:.2f} dB, MSE {errors[name]:.4f}")
print(f"an MSE of 0.0025 is {10 * np.log10(1 / 0.0025):.2f} dB")
# %% [markdown] lang="en"
# The project reported a mean squared error of 0.0025, which is 26.02<!-- an MSE of 0.0025 is ±0.005 --> dB, on its own
# faces. Our column goes from 0.0001<!-- moon * MSE ±0.0001 --> for the moon, which is smooth, to
# 0.0065<!-- grace_hopper * MSE ±0.0006 --> for the portrait, with its flag and its gold embroidery. Is our network worse
# than theirs, or better? Nobody can say. **An error without its images is no comparison.**
# %% [markdown] lang="en"
# <details><summary>Would training on faces help, and what would be the danger?</summary>
#
# It would: eyes, mouths and hairlines look much alike, and a network that has seen many can guess a lash from two grey
# pixels. But what it adds is what faces *usually* have. A scar, a birthmark or an uncommon eyelid is pulled towards the
# average of the training faces, and whoever is rare among them is changed most. For a portrait that somebody keeps in
# memory of a person, a soft image may be the honest one.
#
# </details>
# %% [markdown] lang="en"
# What do the 48 maps hold? Folding the result shows them. Here are the sixteen of red, and what separates them: their
# difference from the first, multiplied by four, with grey for zero, laid out as they lie in a block.
# %%
red = F.pixel_unshuffle(enlarged[None], 4)[0, :16]  # (16, 44, 44)
apart = (0.5 + 4 * (red - red[0])).clamp(0, 1)
cu.show_batch(list(apart), [f"map {k}" for k in range(16)], columns=4, zoom=2)


# %% [markdown] lang="en"
# Each map is a whole portrait, 44 × 44, taken a quarter of a small pixel further on than its neighbour. To the right
# the differences grow at upright edges, the sides of the face; downwards at level ones, the brim of the cap. Sixteen
# slightly shifted small images: that is what a large image is.
# %% [markdown] lang="en"
# <details><summary>Is there another layer that does the same as a convolution with a shuffle?</summary>
#
# A transposed convolution with stride 4 and kernels of 12 × 12: its kernel is the sixteen 3 × 3 kernels, dealt out like
# the pixels. The same numbers, the same result. Transposed convolutions got a bad name for checkerboards because their
# kernels often overlap unevenly (a kernel that is no multiple of the stride). That cannot happen to the shuffle; it
# only starts with one if its filters start in disagreement, as you saw.
#
# </details>
# %% [markdown] lang="en"
# ## 6. What does it cost to enlarge first?
#
# Here is the rival: enlarge bicubically, in place, then send the *large* image through the same layers, 5 × 5 to 64 and
# so on, the last one to 3 maps. (That is an ESPCN with scale 1.) **Guess: how many times more work is it?**
# %%
class EnlargeFirst(nn.Module):
    """The same layers, on the large image: (N, 3, H, W) -> (N, 3, 4 * H, 4 * W)."""

    scale, receptive_radius = 4, 4  # in small pixels: 6 large ones are 1.5, and bicubic looks 2 further

    def __init__(self):
        super().__init__()
        self.layers = ESPCN(scale=1)  # starts as the enlarged image

    def forward(self, y):
        return self.layers(enlarge_in_place(y))

    def restore(self, y):
        return self(y)


# %% [markdown] lang="en"
# Count first. A convolution takes, for each position and each output map, one multiplication and one addition for each
# value under its kernel. (*Multiply-adds*, counted as one.)
# %%
kernels, maps_of = (5, 3, 3, 3, 3), {"ESPCN": (3, 64, 64, 32, 16, 48), "enlarge first": (3, 64, 64, 32, 16, 3)}
work = {}
for name, side in (("ESPCN", 44), ("enlarge first", 176)):
    chain = maps_of[name]
    work[name] = side**2 * sum(k * k * chain[i] * chain[i + 1] for i, k in enumerate(kernels))
    print(f"{name}: {work[name] / 1e6:,.1f} million multiply-adds for the portrait")
print(f"counted, enlarging first is {work['enlarge first'] / work['ESPCN']:.1f} times the work")


# %% [markdown] lang="en"
# Sixteen times the positions, r² with r = 4; only because ESPCN's last layer has 48 maps in place of 3 is it
# 14.6<!-- counted, enlarging first is ±0.05 --> and not 16. And the clock?
# %%
portraits = small.expand(profile.choose(test=2, cpu=16, gpu=64), -1, -1, -1)  # as many at a time, (N, 3, 44, 44)


def milliseconds(model):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        cu.restore(model, portraits)
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / len(portraits)


# %%
torch.manual_seed(0)
rivals = {"ESPCN": network, "enlarge first": EnlargeFirst()}
times = {name: milliseconds(model) for name, model in rivals.items()}
for name in rivals:
    print(f"{name} takes {times[name]:.1f} ms a portrait")
print(f"by the clock, enlarging first takes {times['enlarge first'] / times['ESPCN']:.1f} times as long")
# %% [markdown] lang="en"
# The clock says about 12<!-- by the clock, enlarging first takes ±6 --> times. It differs from machine to machine: reading
# and writing the maps takes time as well, a wide layer keeps a processor busier than a narrow one, and clipping costs both
# the same. Multiply-adds are a good first guess, and a clock is better.
#
# Is the large network better for all that work? Train it for about as many *seconds* as ESPCN, which is a seventh of
# the steps. (Not a twelfth: both wait for their patches to be cut and reduced.) Then train another ESPCN for only as
# many *steps* as that.
# %%
histories = {"ESPCN, same time": history}
fewer = settings | {"steps": -(-settings["steps"] // 7)}  # a seventh, rounded up
torch.manual_seed(0)
histories["enlarge first"] = cu.fit(rivals["enlarge first"], train, valid, **fewer, loss=mse_loss)
torch.manual_seed(0)
rivals["same steps"] = ESPCN()
histories["ESPCN, same steps"] = cu.fit(rivals["same steps"], train, valid, **fewer, loss=mse_loss)
# %%
trained = {"enlarge first": rivals["enlarge first"], "ESPCN, same steps": rivals["same steps"]}
for name, model in (trained | {"ESPCN, same time": network}).items():
    found, score = histories[name], evaluate([cu.restore(model, small)], [portrait])
    row = f"{found.steps[-1]:6,} steps, {found.seconds[-1]:5.1f} s: validation {max(found.psnrs):.2f} dB"
    print(f"{name:18} {row}, portrait {score['psnr']:.2f} dB")
# %%
figure = Figure(figsize=(7.5, 3.6), layout="constrained")
axes = figure.subplots()
for (name, found), style in zip(histories.items(), ("o-", "s--", "^:")):
    axes.plot(found.seconds, found.psnrs, style, label=name)
axes.set(xlabel="training time (s)", ylabel="validation PSNR (dB)", title="The same time, the same steps")
axes.grid(alpha=0.3)
axes.legend()
cu.Picture(figure, "Validation PSNR against training time: ESPCN ends above enlarging first, after the same seconds")
# %% [markdown] lang="en"
# The figure shows validation PSNR against training time: one long line for each network that trained long, and a short
# steep one, far left, for the ESPCN with equal steps. (Compare the ends of the lines. The learning rate falls in the
# course of a training, and that of the long one is still high when the short one ends.) With equal *steps*,
# ESPCN is as good: it reaches 24.9<!-- ESPCN, same steps * validation ±0.3 --> dB where enlarging first reaches
# 24.7<!-- enlarge first * validation ±0.4 --> dB, in a fraction of the time. Working on the large image bought
# nothing. With equal *time* it is better, 25.5<!-- ESPCN, same time * validation ±0.3 --> dB, because it has seen
# several times as many patches.
#
# Why not worse, with so much less work? The enlarged image *is* the small one, smoothed; every one of its pixels can
# be computed from a few small ones. And a 3 × 3 kernel on the small image looks at 12 × 12 pixels of the large one:
# ESPCN sees 6 small pixels to each side, that is 24 large ones; the rival's layers see 6 of the large ones.
# %% [markdown] lang="en"
# <details><summary>For which scale does working in low resolution save most, and what does it save for a scale of
# 1?</summary>
#
# The larger the scale r, the more. The saving is about r² times: 4 for scale 2, 16 for scale 4, less what the last
# layer's r² times as many maps cost. For scale 1 there is nothing to save, unless you *make* the image small first.
# Part 8 does that.
#
# </details>
# %% [markdown] lang="en"
# ## 7. Which low resolution was it trained for?
#
# A small image does not say how it was made small. Train a second ESPCN in the same way, about as long, on
# images that were reduced *bicubically*, with antialiasing, as in lesson 2, and give each network the small images of
# both kinds. **What do you expect?** Remember the pixel and a half.
# %%
by_bicubic = lambda clean: reduce(clean, 4)
other_settings = profile.choose(test=settings, cpu=settings | {"steps": 1_200}, gpu=settings)
torch.manual_seed(0)
other = ESPCN()
cu.fit(other, *patches_and_middles(by_bicubic), **other_settings, loss=mse_loss)
small_ones, results = {"pyramid": small, "bicubic": by_bicubic(portrait)}, {}
for learnt, model in (("pyramid", network), ("bicubic", other)):
    for name, y in small_ones.items():
        results[f"{learnt} → {name}"] = cu.restore(model, y)  # trained on → tested on
for name, image in results.items():
    print(f"{name}: {evaluate([image], [portrait])['psnr']:.2f} dB")
# %%
cu.compare(results | {"original": portrait}, reference="original")
# %% [markdown] lang="en"
# *Pyramid → bicubic* is the network that was trained on the pyramid and tested on the image that was reduced
# bicubically. Flicker between it and the original: the face jumps by a pixel and a half, up and to the left. And it is
# too sharp, with pale rims at every edge, because the network takes back a blur that this image never had. From
# 21.9<!-- pyramid → pyramid: ±0.4 --> dB it falls to 15.7<!-- pyramid → bicubic: ±0.8 --> dB, below what *repeating
# the pixels* gave in part 2. The other network falls too, from 22.1<!-- bicubic → bicubic: ±0.4 --> dB to
# 18.1<!-- bicubic → pyramid: ±0.8 --> dB: shifted the other way, and too soft.
#
# Neither network is at fault, and no error appears. **Degradation and network are one thing**: when you read a PSNR, ask
# how the small images were made.
#
# ### Your own portraits
#
# If you have small portraits of your own, put them into a folder and name it here. This trains nothing. Nobody knows how
# your images were made small, so there is no PSNR, and after what you have just seen you know what may go wrong.
# %%
from course_utils.data.pairs import list_images

own = None  # a folder of small portraits, for example "portraits"
shown = {}
for name, path in (list_images(own) if own else {}).items():
    image = cu.to_tensor(cu.read_image(path))
    face = centre_crop(image, min(*image.shape[1:], 160))
    shown |= {f"{name}, bicubic": enlarge_in_place(face[None])[0], f"{name}, ESPCN": cu.restore(network, face)}
cu.show_batch(shown, columns=2, zoom=1) if shown else print("no folder is named")


# %% [markdown] lang="en"
# **The outlook.** The mean squared error asks for the average of all faces that could have been, and an average is
# soft; SRGAN (Ledig and others, 2017) lets a second network judge whether an image looks like a photograph, and
# invents lashes and pores that look right and are not hers, at a *lower* PSNR (25.16 dB against 27.58 on one of its
# paper's test sets) and a higher rating by people. Blau and Michaeli proved in 2018 that this is no accident: past a
# point, closer to the truth and more like a photograph exclude each other.
#
# ## 8. Back to the page
#
# A scanned page is not small, and its restoration has the same size. Is there anything to gain? Make it small without
# losing anything: *fold* it. `nn.PixelUnshuffle(2)` turns a page of 3 colours and 512 × 512 pixels into 12 maps of
# 256 × 256: each 2 × 2 block becomes one position. Convolve there, at a quarter of the positions, and unfold.
# %%
class HalfResolution(nn.Module):
    """Fold 2 × 2 pixels into channels, work at a quarter of the positions, unfold: (N, 3, H, W), H and W even."""

    receptive_radius = 14  # 6 positions of 2 pixels, and one more; even, so that tiles begin with a whole block

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.PixelUnshuffle(2), ESPCN(scale=1, channels=12), nn.PixelShuffle(2))

    def forward(self, y):
        return self.layers(y)

    def restore(self, y):
        return self(y)


# %% [markdown] lang="en"
# Its rival has the same layers at full resolution, an ESPCN with scale 1, and trains for the same number of seconds.
# Both begin as the scan itself.
# %%
folder = cu.data.course_pages()
pages = cu.data.PairedPatches(cu.data.pairs_in(folder / "train"), patch=profile.choose(test=32, cpu=48, gpu=96))
valid_pages = cu.data.PairedImages(cu.data.pairs_in(folder / "valid")[:3])
page_settings = profile.choose(
    test={"steps": 4, "batch_size": 4, "lr": 1e-3},
    cpu={"seconds": 20, "batch_size": 16, "lr": 1e-3},
    gpu={"steps": 20_000, "batch_size": 32, "lr": 1e-3},
)
# %%
board, descanners, on_board = cu.Board("03_espcn_portraits"), {}, {}
for name, build in (("half-resolution ESPCN", HalfResolution), ("full-resolution ESPCN", lambda: ESPCN(scale=1))):
    torch.manual_seed(0)
    descanners[name] = build()
    went = cu.fit(descanners[name], pages, valid_pages, **page_settings, loss=mse_loss)
    print(f"{name} made {went.steps[-1]:,} steps")
    on_board[name] = board.add(name, descanners[name])
for name, result in on_board.items():
    print(f"{name} needs {result['seconds']:.3f} s a page")
# %%
scan, original = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[0]
restored = {name: cu.restore(model, scan) for name, model in descanners.items()}
cu.compare({"scan": scan} | restored | {"original": original}, reference="original")
# %%
board
# %% [markdown] lang="en"
# At half resolution a page takes 0.05<!-- half-resolution ESPCN needs ±0.05 --> s in place of
# 0.14<!-- full-resolution ESPCN needs ±0.12 --> s, and the training made more than twice as many steps. Yet it is not
# better: 22.8<!-- half-resolution ESPCN: ±0.6 --> dB against 24.1<!-- full-resolution ESPCN: ±0.6 --> dB. **Why was low
# resolution free for the portrait and is not for the page?**
#
# Because the portrait's small image held all that was known, and the page's small maps do not come cheaper: the same
# numbers are there, twelve to a position. Each layer now has as many feature maps as before *for four pixels*, a quarter
# of them for each, and the last but one has 16 maps for the 12 values that it has to hand on. Folding buys speed and pays
# with features. (That is our explanation, not a proof. You can test it: give the folded network wider layers, and spend
# the time it saved.) It is a good bargain where time is short: FFDNet, the fast successor of DnCNN, begins in this way.
# %% [markdown] lang="en"
# <details><summary>Both take the yellow out of the paper, and both are far from the original. What have they in common
# that DnCNN, in lesson 5, does differently?</summary>
#
# Both have to pass the whole image through all their layers, letter by letter, only to repeat it at the end; what is
# learnt has to fit beside it. A network that predicts *what was added* is spared that. (Intuition once more.)
#
# </details>
# %% [markdown] lang="en"
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - A network for super-resolution can work on the small image and enlarge in its last step: for scale r that is one
#   r²-th of the positions, with the same layers and the same quality.
# - Pixel shuffle: channels c·r² … (c + 1)·r² − 1 are the sub-pixels of colour c, row by row.
# - An image that was made small by a Gaussian pyramid lies a pixel and a half away from one that was made small
#   bicubically. A network learns the degradation of its training pairs, the shift included.
#
# **Three common errors**
#
# 1. *The enlarged image is in place, but its edges have teeth.* The shuffle: rows and columns are swapped. If it is grey
#    with coloured dots, the weights come from a library that orders the channels in another way.
# 2. *The network beats bicubic by two decibels, or loses by two.* Before you believe it: do the images lie in place?
#    Flicker between the result and the original.
# 3. *The shapes do not fit.* A patch has to be a multiple of the scale: 96 gives 24, and 24 gives 96 again; 98 does not.
#
# **Where to read on.** Shi, Caballero, Huszár, Totz, Aitken, Bishop, Rueckert and Wang, *Real-Time Single Image and Video
# Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network* (CVPR 2016). Burt and Adelson, *The
# Laplacian Pyramid as a Compact Image Code* (IEEE Transactions on Communications 1983). Odena, Dumoulin and Olah,
# *Deconvolution and Checkerboard Artifacts* (Distill 2016). Ledig and others, *Photo-Realistic Single Image
# Super-Resolution Using a Generative Adversarial Network* (CVPR 2017); Blau and Michaeli, *The Perception-Distortion
# Tradeoff* (CVPR 2018). Aitken and others, *Checkerboard artifact free sub-pixel convolution* (2017). Zhang, Zuo and
# Zhang, *FFDNet* (IEEE TIP 2018). Next in this course: [lesson 4, a degradation that is not smooth](04_arcnn.ipynb).
