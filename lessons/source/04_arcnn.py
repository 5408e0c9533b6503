# minutes: test=0.3 cpu=2.5
# %% [markdown] lang="en"
# # ARCNN: what JPEG throws away, and how a network puts it back
#
# Save a photograph as JPEG and nine tenths of its bytes are gone. Open it, and it looks the same; save it once more at
# a low quality, and you see squares, ripples around letters, smeared colours. What exactly was thrown away? Could
# anybody guess it back? In 2015 Dong and others took SRCNN, which you know from [lesson 2](02_srcnn.ipynb), added one
# layer, and guessed.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | What does JPEG do to a photograph? | |
# | 2 | Where in the file is the loss? | `quantisation_table` |
# | 3 | What is left of an image? | `quantise_blocks` |
# | 4 | Blocks are easy to see. Does PSNR see them? | `psnr_b` |
# | 5 | Which network puts back what is lost? | `ARCNN` |
# | 6 | Does it work? | |
# | 7 | What if the file has another quality? | |
# | 8 | Back to the page: what does one layer more buy? | |
#
# **At the end** you have written the part of JPEG that loses something, a measure that sees blocks, and a network that
# takes them away; and you know when to leave an image alone. **Time:** two and a half minutes of computing on two CPU
# cores, and an hour of yours.
# %%
import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course_utils.colour import rgb_to_ycbcr, ycbcr_to_rgb
from course_utils.degrade import Jpeg
from course_utils.files import CourseError
from course_utils.images import quantise
from course_utils.losses import mse_loss
from course_utils.metrics import comparable, evaluate, psnr

# %% [markdown] lang="en"
# ## 1. What does JPEG do to a photograph?
#
# The course's photographs again: some to train on, others to validate and to test with. We measure on the middle of
# each test photograph, so that two cores need not wait.
# %%
side = profile.choose(test=64, cpu=256, gpu=256)


def middle(image, side=side):
    """A square from the middle of an image (C, H, W); it begins 3 pixels off a multiple of 8 (part 7 asks why)."""
    top, left = ((length - side) // 2 // 8 * 8 + 3 for length in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


photos = {
    edition: {name: cu.to_tensor(array) for name, array in cu.data.photographs(edition).items()}
    for edition in ("train", "valid", "test")
}
closer = profile.choose(test=None, cpu=(60, 60, 112, 112), gpu=(60, 60, 112, 112))  # a part to look at
cat, coffee = (middle(photos["test"][name]) for name in ("chelsea", "coffee"))
# %% [markdown] lang="en"
# `Jpeg(quality)` is a degradation like the others of the course: `y = Jpeg(10)(x)`. It writes a JPEG file into memory
# and reads it again. The quality goes from 1 to 100. Here is the cat at 10. **Before you read on, list what changed.**
# %%
cu.compare(
    {"JPEG, quality 10": Jpeg(10)(cat), "original": cat},
    reference="original",
    caption="A cat's face, from close by: as a JPEG file of quality 10, and the original",
)
# %% [markdown] lang="en"
# Three things, if you come close (`8`, then drag):
#
# - **Blocks.** The image falls apart into squares of 8 × 8 pixels. Within some of them there is hardly anything.
# - **Ringing.** Beside sharp edges, such as whiskers and the rim of the eye, there are ripples that were never there.
# - **Lost colour.** Colours come in patches, larger than the squares.
#
# What does one get for it? The next cell measures the size of the file, in bits for each pixel (the original has 24: 8
# for red, green and blue each), and the PSNR, over the five test photographs.
# %%
from course_utils.degrade.jpeg import bits_per_pixel

tests = [middle(photo) for photo in photos["test"].values()]  # each (3, side, side)
qualities = (5, 10, 20, 40, 75, 90)
sizes, scores = [], []
for quality in qualities:
    sizes.append(np.mean([bits_per_pixel(image, quality) for image in tests]))
    scores.append(np.mean([psnr(Jpeg(quality)(image), image) for image in tests]))
    print(f"quality {quality:2}: {sizes[-1]:.2f} bits a pixel, {24 / sizes[-1]:.0f} times smaller, {scores[-1]:.2f} dB")
# %%
figure = Figure(figsize=(7, 3.8), layout="constrained")
axes = figure.subplots()
axes.plot(sizes, scores, "o-", color="black")
for quality, size, score in zip(qualities, sizes, scores):
    axes.annotate(f"quality {quality}", (size, score), xytext=(8, -6), textcoords="offset points")
axes.set(xlabel="file size (bits for each pixel)", ylabel="PSNR in RGB (dB)", xlim=(0, 3))
axes.grid(alpha=0.3)
cu.Picture(figure, "PSNR against file size for the qualities from 5 to 90: a curve that rises steeply, then flattens")
# %% [markdown] lang="en"
# The curve rises steeply and then flattens: from quality 10 to 20 a sixth of a bit buys more than two decibels, from 75
# to 90 a whole bit buys three. At quality 10 a pixel costs 0.40<!-- quality 10: ±0.02 --> bits, less than half a bit. A
# file that small cannot hold its 256 × 256 pixels one by one. So what does it hold?
#
# ### Colour first
#
# JPEG does not store red, green and blue. It stores Y, the light, and Cb and Cr, the colour (see
# `course_utils.colour`), because the eye is sharp in light and dull in colour. Most files keep Cb and Cr at half the
# height and half the width. That is called 4:2:0; 4:4:4 keeps all of it. **How much does it cost, in RGB and in Y?**
# %%
for subsampling in ("4:4:4", "4:2:0"):
    pairs = [(Jpeg(90, subsampling)(image), image) for image in tests[:4]]  # the fifth, the moon, is grey
    light = [[rgb_to_ycbcr(image)[:1] for image in pair] for pair in pairs]  # Y: (1, side, side)
    rgb, y = (np.mean([psnr(*pair) for pair in each]) for each in (pairs, light))
    print(f"quality 90, {subsampling}: {rgb:.2f} dB in RGB, {y:.2f} dB in Y")
# %% [markdown] lang="en"
# In RGB, 37.60<!-- quality 90, 4:4:4: ±0.05 --> dB fall to 35.79<!-- quality 90, 4:2:0: ±0.05 -->; in Y next to
# nothing happens. So if somebody reports "JPEG at quality 90", ask which of the two, and which channels were measured.
# Most papers on JPEG restoration avoid the question: they measure Y alone, and so shall we from here on.
#
# <details><summary>Why are the patches of colour larger than the squares?</summary>
#
# The blocks of Cb and Cr have 8 × 8 values as well. At half the height and width each of these values stands for 2 × 2
# pixels, so a block of colour covers 16 × 16 pixels of the image.
#
# </details>
#
# ## 2. Where in the file is the loss?
#
# JPEG describes each block of 8 × 8 pixels by waves: so much of a constant, so much of half a wave across, so much of
# a whole one, and so on. Eight waves in each direction make 64 patterns, and every block is a sum of them, each with
# its own weight. The transform that finds the weights is the *discrete cosine transform*, DCT. Wave number k has, at
# place x = 0 … 7, the value
#
# cos((2x + 1) · k · π / 16), times √(2/8), and for k = 0 once more divided by √2.
#
# The factors make the waves *orthonormal*: each has length 1, and any two are at right angles. In a matrix `D` with a
# wave in each row that means `D @ D.T` is the identity.
# %%
k, x = torch.arange(8.0)[:, None], torch.arange(8.0)  # number of the wave, down; place, across
D = math.sqrt(2 / 8) * torch.cos((2 * x + 1) * k * math.pi / 16)  # (8, 8)
D[0] /= math.sqrt(2)
print(f"D @ D.T is the identity, to within {(D @ D.T - torch.eye(8)).abs().max():.0e}")
patterns = [torch.outer(down, across) for down in D for across in D]  # 64 of (8, 8)
cu.show_batch([0.5 + p / (2 * p.abs().max()) for p in patterns], columns=8, zoom=6, title="The 64 patterns of JPEG")
# %% [markdown] lang="en"
# Grey is 0, white positive, black negative (the first pattern is constant, so white all over). To the right the waves
# across get finer, downwards the waves down; at the bottom right stands a chessboard that fades towards its rim. For a
# block `b` the 64 weights are `D @ b @ D.T`, an 8 × 8 matrix again, and because `D` is orthonormal the way back is
# `D.T @ weights @ D`. We shall call the weights *frequencies*, for short (books say *coefficients*).
#
# So far nothing is lost: 64 numbers became 64 other numbers. Let us look at one block, at the rim of the cat's eye.
# JPEG counts in grey levels, 0 to 255, and first subtracts 128, so that middle grey is 0.
# %%
light = quantise(rgb_to_ycbcr(cat, full_range=True)[:1])  # JPEG's Y takes the full range: 0 to 255
row, column = profile.choose(test=(4, 3), cpu=(9, 11), gpu=(9, 11))  # which block
block = 255 * light[0, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] - 128  # (8, 8)
frequencies = D @ block @ D.T
back = D.T @ frequencies @ D
print(f"there and back again, the block is off by {(back - block).abs().max():.0e} grey levels")


# %%
def show_numbers(axes, matrix, title, pixels=False):
    """An 8 x 8 matrix: pixels in their grey; of other numbers, the larger the darker, and 0 stays empty."""
    shade = matrix + 128 if pixels else 255 - 25 * matrix.abs().log1p()
    axes.imshow(shade, cmap="gray", vmin=0, vmax=255)
    for (i, j), value in np.ndenumerate(matrix.round().numpy()):
        colour = "white" if shade[i, j] < 120 else "black"
        axes.text(j, i, f"{value:.0f}" if value else "", color=colour, ha="center", va="center", fontsize=12)
    axes.set(title=title, xticks=[], yticks=[])


# %%
figure = Figure(figsize=(11, 5.2), layout="constrained")
panels = figure.subplots(1, 2)
show_numbers(panels[0], block, "the block (grey levels - 128)", pixels=True)
show_numbers(panels[1], frequencies, "its frequencies (rounded for print)")
cu.Picture(
    figure, "The 64 grey levels of a block, and its 64 frequencies: large numbers at the top left, small ones else"
)
# %% [markdown] lang="en"
# On the left the 64 pixels, in their own grey: the dark line around the eye runs down to the right, with lighter fur
# above it. On the right the same block as 64 frequencies, and there the darker a cell, the larger its number, whatever
# the sign (an empty cell is 0). The large ones stand at the top left, where the coarse patterns are, and nearly
# everywhere else they are small. That is what the DCT is good for: photographs are smooth at most places, and a smooth
# block needs few patterns.
#
# ### The table
#
# Now the loss. Each frequency is divided by a number of a table and *rounded to a whole number*. The table is large
# where the eye is dull, for fine patterns, and small where it is sharp:
# %%
from course_utils.degrade.jpeg import LUMA_TABLE

print(LUMA_TABLE)


# %% [markdown] lang="en"
# This is the table for Y that the standard suggests (ITU-T T.81, annex K). The *quality* scales it. The standard does
# not say how; most programs do as the Independent JPEG Group's library, libjpeg, in whole numbers only:
#
# - below quality 50 the scale is S = 5000 // Q per cent, and from 50 on S = 200 − 2 · Q per cent;
# - each number t of the table becomes (S · t + 50) // 100: that is S · t / 100, rounded to the nearest;
# - and at least 1 (one cannot divide by 0), at most 255 (it has to fit into a byte).
#
# (`a // b` is division without the remainder.)
#
# ### Your turn
#
# Write `quantisation_table`. `LUMA_TABLE` is a tensor of whole numbers, so all of it can be done at once;
# `tensor.clamp(smallest, largest)` keeps numbers within limits.
# %% exercise="quantisation_table" answer="course_utils.degrade.jpeg:quantisation_table"
def quantisation_table(quality):
    """How coarsely JPEG rounds each frequency of Y: whole numbers (8, 8), from 1 (finely) to 255.

    quality: a whole number from 1 (worst) to 100.
    """
    raise NotImplementedError


# %%
quantisation_table = cu.check("quantisation_table", quantisation_table)
# %%
for quality in (10, 50, 90):
    table = quantisation_table(quality)
    print(f"quality {quality}: the constant gets a multiple of {table[0, 0]}, the finest pattern one of {table[7, 7]}")
# %% [markdown] lang="en"
# Now divide our block's frequencies by the table of quality 10, round, and multiply by it again, as the program that
# opens the file does.
# %%
table = quantisation_table(10)
in_file = (frequencies / table).round()  # the whole numbers that the file holds
after = D.T @ (in_file * table) @ D
print(f"of 64 numbers {(in_file == 0).sum()} are now 0; the block is off by up to {(after - block).abs().max():.0f}")
figure = Figure(figsize=(11, 5.2), layout="constrained")
panels = figure.subplots(1, 2)
show_numbers(panels[0], in_file, "what the file holds of the block")
show_numbers(panels[1], after, "the block afterwards (grey levels - 128)", pixels=True)
cu.Picture(figure, "The 64 numbers in the file, nearly all of them empty, and the 64 grey levels that come out of them")
# %% [markdown] lang="en"
# On the left what the file holds, on the right the block that comes out of it. The line and the light corner are still
# there, roughly; but below the line, where the block was flat, there are waves now. That is ringing. (What falls below
# −128 is cut off: black is black.) Of the 64 numbers 56<!-- of 64 numbers ±0 --> are zero, and a long run of zeros
# packs into a few bits. What JPEG does next, to put the numbers into an order (a zigzag from coarse to fine) and to
# pack them (the Huffman code), loses nothing.
#
# <details><summary>Which of the numbers that were lost was the largest? Compare the two pictures of numbers: a number
# can be nearly half of its number in the table, and still be rounded to 0.</summary>
#
# The 34 in the third row, fourth column: at quality 10 the table says 120 there. The 24 in the first row came closest
# to staying: the table says 50, and half of that is 25.
#
# </details>
#
# <details><summary>Blur and noise can be described by a formula: y = x ∗ k, y = x + n. What kind of function is
# this?</summary>
#
# A staircase. A frequency of 39 and one of −39 both become 0 if the table says 80; one of 41 becomes 80. Small changes
# of the image mostly change nothing, and now and then they change a block at once. It is not smooth, it has no inverse,
# and its error is no noise: it depends on the image, and it is the same each time. On the other hand, it tells us
# something that noise never would: the original frequency lies within half a step of the one in the file, *for sure*.
# Parts 6 and 7 make use of that.
#
# </details>
#
# ## 3. What is left of an image?
#
# One block is done; an image is all of them at once. Four helpers do the dull part. `to_blocks(y)` cuts an image of
# shape (…, H, W) into blocks, (…, rows, columns, 8, 8), and repeats the last row and column where 8 does not divide the
# size, as libjpeg does. `from_blocks(blocks, height, width)` puts them together and cuts that off again. `dct_matrix()`
# is our `D`, in double precision, as the blocks are; begin with `D = dct_matrix()`, since `@` does not mix precisions.
# `check_grey(y)` complains about what is no grey image (you may leave it out). The product `@` works on the last two
# axes, so `D @ blocks @ D.T` does all blocks at once.
#
# ### Your turn
#
# Write `quantise_blocks`, in the order of what you have just seen: to grey levels around 0 (times 255, minus 128);
# frequencies; divided by the table, rounded, multiplied by it; back to pixels; plus 128, divided by 255; an image
# again, and clipped to [0, 1] with `clamp`. Do not round the pixels: it is not asked here, though a file would.
# %%
from course_utils.degrade.jpeg import check_grey, dct_matrix, from_blocks, to_blocks


# %% exercise="quantise_blocks" answer="course_utils.degrade.jpeg:quantise_blocks"
def quantise_blocks(y, quality):
    """What JPEG does to a grey image: round the frequencies of each 8x8 block, the finer the more coarsely.

    y: float (1, H, W) or (N, 1, H, W) in [0, 1] -> the same shape, clipped to [0, 1]; quality: 1 (worst) to 100.
    """
    raise NotImplementedError


# %%
quantise_blocks = cu.check("quantise_blocks", quantise_blocks)
# %% [markdown] lang="en"
# Is that really what the library does? `Jpeg` hands the image to libjpeg and gets a file. Side by side:
# %%
ours, library = quantise(quantise_blocks(light, 10)), Jpeg(10)(light)
off = (255 * (ours - library)).abs().round()
equal, near = (100 * (off <= most).double().mean() for most in (0, 2))
print(f"equal pixels: {equal:.1f} %, within 2 grey levels: {near:.1f} %")
print(f"PSNR of ours: {psnr(ours, light):.2f} dB; of the library: {psnr(library, light):.2f} dB")
cu.compare({"ours": ours, "libjpeg": library, "original": light}, reference="original", mode="side")
# %% [markdown] lang="en"
# 98.2<!-- equal pixels: ±0.3 --> % of the pixels are equal, and the PSNR is the same. libjpeg computes in whole
# numbers. That puts a pixel here and there off by one grey level; and in a dozen of the 1,024 blocks a frequency lay
# just halfway between two steps and was rounded the other way, which changes the whole block.
#
# How much of an image survives? Count the zeros, over the five test photographs.
# %%
greys = [quantise(rgb_to_ycbcr(image, full_range=True)[:1]) for image in tests]  # from here on: Y alone
for quality in (10, 20, 40, 90):
    steps = [dct_matrix() @ (255 * to_blocks(y) - 128) @ dct_matrix().T / quantisation_table(quality) for y in greys]
    zeros = np.mean([(each.round() == 0).double().mean() for each in steps])
    print(f"rounded to 0 at quality {quality}: {100 * zeros:.1f} % of all frequencies")
# %% [markdown] lang="en"
# At quality 10 they are 95.2<!-- rounded to 0 at quality 10: ±0.3 --> %: of the 64 numbers of a block, three are left
# on average.
#
# ## 4. Blocks are easy to see. Does PSNR see them?
#
# Take the JPEG image, and beside it the original with noise of the same mean squared error. **Which of the two
# would you rather look at?**
# %%
torch.manual_seed(0)
noise = torch.randn_like(light)
noisy = (light + noise * (library - light).square().mean().sqrt()).clamp(0, 1)
print(f"JPEG {psnr(library, light):.2f} dB, noise {psnr(noisy, light):.2f} dB")
cu.compare({"JPEG": library, "noise": noisy, "original": light}, reference="original", view=closer, mode="side")
# %% [markdown] lang="en"
# By PSNR they are equal, to 0.03 dB. But squares are a thing that the eye picks out at once, and PSNR adds up errors one
# pixel at a time: it cannot know that those on the two sides of a line belong together. Yim and Bovik (2011) added a
# term that does. Compare two sorts of neighbouring pixels of the *restored* image:
#
# - D_B, the mean squared difference of neighbours across a block boundary (columns 8 and 9, 16 and 17, …; rows alike),
# - D_C, the mean squared difference of all other neighbours.
#
# In a photograph nothing is special about every eighth line, and the two are about equal. If D_B is larger, there are
# blocks. The *blocking effect factor* is
#
# BEF = η · (D_B − D_C) if D_B > D_C, and otherwise 0, with η = log₂ 8 / log₂ min(H, W),
#
# and PSNR-B = 10 · log₁₀(1 / (MSE + BEF)). (The 8 is the side of a block. Large blocks are seen more easily than small
# ones, hence η; that it is just this quotient of logarithms is a choice.)
#
# The helper `neighbour_differences(images)` has the squared differences of both sorts: for N images two tensors of
# shape (N, number of neighbours), first those across boundaries, then all others.
# %%
from course_utils.metrics import neighbour_differences

for name, image in {"original": light, "noise": noisy, "JPEG": library}.items():
    boundary, elsewhere = (255**2 * squares.mean() for squares in neighbour_differences(image[None]))
    print(f"{name:8}  D_B {boundary:6.1f}   D_C {elsewhere:6.1f}   (squared grey levels)")


# %% [markdown] lang="en"
# In the JPEG image neighbours differ *less* than in the original, except at the boundaries, where they differ *more*.
#
# ### Your turn
#
# Write `psnr_b`. As for `psnr` in lesson 0, `comparable` has checked both images and made them (N, C, H, W) in double
# precision. Each image of a batch has its own MSE, D_B and D_C; the mean over the images comes last, of the decibels.
# `tensor.clamp(min=0)` turns what is negative into 0; `math.log2` is the logarithm to base 2.
# %% exercise="psnr_b" answer="course_utils.metrics:psnr_b"
def psnr_b(restored, clean):
    """PSNR in dB that also counts the edges of 8x8 blocks: 10 * log10(1 / (MSE + BEF)). Higher is better.

    restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1]. Returns one number, the mean over the images.
    """
    restored, clean = comparable(restored, clean)  # (N, C, H, W)
    raise NotImplementedError


# %%
psnr_b = cu.check("psnr_b", psnr_b)
# %%
for name, image in {"noise": noisy, "JPEG": library}.items():
    print(f"{name}: PSNR {psnr(image, light):.2f} dB, PSNR-B {psnr_b(image, light):.2f} dB")
classic = [cu.to_tensor(array)[:1] for array in cu.data.standard_set("Classic5").values()]  # grey: each (1, 512, 512)
for quality in (10, 20, 40) if classic else ():
    degraded = [Jpeg(quality)(image) for image in classic]
    both = [np.mean([measure(*pair) for pair in zip(degraded, classic)]) for measure in (psnr, psnr_b)]
    print(f"Classic5, JPEG quality {quality}: PSNR {both[0]:.2f} dB, PSNR-B {both[1]:.2f} dB")
if not classic:
    print("Classic5 is not here: see the README")
# %% [markdown] lang="en"
# The noisy image keeps its figure, that of the JPEG image falls to 25.57<!-- JPEG: * PSNR-B ±0.03 --> dB. Classic5 is
# the set of five grey images that papers on JPEG use. For quality 10, 20 and 40 they print 27.82, 30.12 and 32.43 dB,
# and for PSNR-B 25.21, 27.50 and 29.92. If you have the set, you see that ours are the same to the last digit,
# 25.21<!-- Classic5, JPEG quality 10: * PSNR-B ±0.01 --> dB at quality 10; so their JPEG and ours agree, and so do both
# measures.
#
# **A measure that knows where to look knows nothing else.** Cut three rows and columns off the top and left of the JPEG
# image, as somebody may who crops a picture. The blocks are as visible as before. What does PSNR-B say?
# %%
cropped, original = library[:, 3:, 3:], light[:, 3:, 3:]
print(f"cropped: PSNR {psnr(cropped, original):.2f} dB, PSNR-B {psnr_b(cropped, original):.2f} dB")


# %% [markdown] lang="en"
# 28.27<!-- cropped: * PSNR-B ±0.03 --> dB, no block found: the boundaries are now between columns 5 and 6, 13 and 14,
# and PSNR-B looks between 8 and 9.
#
# <details><summary>Is the PSNR-B of an image with itself infinite, as its PSNR is?</summary>
#
# Not always. The MSE is 0, but BEF looks at the restored image alone, and by chance, or because the "original" was a
# JPEG file once, its neighbours may differ a little more across the boundaries. Then PSNR-B is finite. The good side of
# it: BEF can be measured where nobody has the original.
#
# </details>
#
# ## 5. Which network puts back what is lost?
#
# Strictly: none. A frequency that was rounded to 0 may have been 39 or −39, and nothing in the block says which. But
# photographs are not chance. An edge that ends at the boundary of a block most likely goes on behind it; a ripple
# beside a rim is most likely not real; a step along a whole line every eighth pixel is most likely JPEG's. A network
# that has seen many blocks with their originals can learn what is likely. (That is the intuition. With mean squared
# error as its loss it learns the *average* of all that is likely, and part 6 shows what that does to fur.)
#
# SRCNN, from lesson 2, took out features (9 × 9), mapped them to those of a sharp image (1 × 1), and put the image
# together (5 × 5). Dong and others tried it on JPEG images and were not content. Their explanation: the features of the
# first layer are themselves full of ripples and edges of blocks, and a 1 × 1 layer, which combines the features of one
# place, can hardly clean them. So:
#
# ```
# 9 × 9, channels → 64 maps     # Same as in SRCNN: take features
# PReLU                         # New: SRCNN has ReLU
# 7 × 7, 64 → 32 maps           # New: clean the features, with a look at their neighbours
# PReLU
# 1 × 1, 32 → 16 maps           # Same, with fewer maps: from features of this image to those of a clean one
# PReLU
# 5 × 5, 16 → channels          # Same: put the image together, with nothing behind it
# ```
#
# *PReLU* (He and others, 2015) leaves positive numbers alone, as ReLU does, and multiplies negative ones by a slope
# instead of setting them to 0. The slope is learned, one for each map: `nn.PReLU(64)` has 64. So no map can die, that
# is, be 0 everywhere and never get a gradient again.
#
# **How far does it see?** A 9 × 9 kernel looks 4 pixels to each side, a 7 × 7 kernel 3, a 5 × 5 kernel 2: together 9.
# SRCNN looked 6. A pixel of the result depends on 19 × 19 pixels of the input, which is more than two blocks wide.
#
# **How does it start?** As SRCNN did: as the identity. If a new network gives the JPEG image back, training begins at
# the JPEG image and need not learn to copy it first. In each of the four convolutions let the first maps, as many as
# the image has channels, hand on the first maps of their input, and leave the other maps as PyTorch starts them. (Do
# not set those to 0 as well: no gradient would reach them, and they would stay 0.) `nn.init.dirac_(kernels)` writes 1
# into the middle of a kernel that hands its input on, and 0 elsewhere; `nn.init.zeros_` is for the biases. They change
# a tensor in place, so give them the part that is meant: of shape (channels, maps in, k, k),
# `convolution.weight.detach()[:channels]`, and `convolution.bias.detach()[:channels]`.
#
# ### Your turn
#
# Write `ARCNN`. `padding_mode` goes to the convolutions as it is: "zeros" puts zeros around the image, "replicate"
# repeats its outermost pixel. With `padding=k // 2` the size stays. This network gives the image itself, so `restore`
# returns what `forward` gives. Keep `config` and `receptive_radius`.
# %% exercise="arcnn" answer="course_utils.models.arcnn:ARCNN"
class ARCNN(nn.Module):
    """Remove blocks and ringing from a JPEG image: y -> the restored image itself, both (N, C, H, W), not clipped."""

    def __init__(self, channels=3, padding_mode="zeros"):
        super().__init__()
        self.config = {"channels": channels, "padding_mode": padding_mode}
        self.receptive_radius = 9  # 4 + 3 + 0 + 2
        # 9 x 9 to 64 maps, 7 x 7 to 32, 1 x 1 to 16, 5 x 5 to channels, nn.PReLU between; the start: dirac_, zeros_
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The clean image: (N, C, H, W) -> (N, C, H, W), not clipped. The network gives it as it is."""
        raise NotImplementedError


# %%
ARCNN = cu.check("arcnn", ARCNN)
# %%
for channels in (1, 3):
    new = ARCNN(channels)
    image = torch.rand(1, channels, 24, 24)
    change = (new(image) - image).abs().max().item()
    parameters = sum(p.numel() for p in new.parameters())
    print(f"channels={channels}: {parameters:,} parameters; new, it changes an image by {change:.2g}")


# %% [markdown] lang="en"
# On one channel 106,673<!-- channels=1: ±0 --> parameters: 106,561 weights and biases, in layers of the paper's sizes,
# and 112 slopes. SRCNN had 8,129. The new layer alone has 64 · 32 · 49 = 100,352 weights, nearly all of the difference.
#
# ## 6. Does it work?
#
# We train on Y of the seven training photographs, as the paper did on Y of others, with quality 10. `cu.data.Patches`
# takes a degradation and makes each pair anew: it cuts a patch from the clean photograph, turns and mirrors it, and
# compresses it.
# %%
def light_of(photo):
    return cu.to_array(rgb_to_ycbcr(photo, full_range=True)[:1])  # uint8 (H, W, 1)


clean = [light_of(photo) for photo in photos["train"].values()]
train = cu.data.Patches(clean, degradation=Jpeg(10), patch=32)
degraded, original = zip(*(train[i] for i in range(8)))
names = [f"{kind} {i}" for kind in ("JPEG", "original") for i in range(8)]
cu.show_batch([*degraded, *original], names, columns=8, zoom=3)
# %% [markdown] lang="en"
# Eight patches of 32 × 32 pixels, as JPEG above and as they were below: 4 × 4 blocks each.
#
# <details><summary>Every patch begins at the corner of a block, because it is compressed after it is cut. The other way
# is to compress the whole photographs first and then cut patches anywhere. Which network is better on a JPEG image that
# somebody has cropped?</summary>
#
# Neither, one expects. A convolution uses the same weights at every place: it learns from all 64 positions within a
# block, whatever the position of the patch. Only the zeros around a patch tell it where it is. What does differ: here a
# photograph is cut into other blocks each time, so seven photographs make many more different examples; and here the
# patch is turned first and compressed later, so that the waves of JPEG stay upright, as in real files. With whole
# photographs compressed first, a training turns the blocks as well. If you want to measure it: give `Patches` the two
# lists of images, `Patches(clean, compressed, patch=32)`, and train for as many steps. Below, we crop and look.
#
# </details>
#
# On the clock, then. The loss is the mean squared error of the image itself, `mse_loss`.
# %%
valid_images = [middle(cu.to_tensor(light_of(photo))) for photo in photos["valid"].values()]
valid = [(Jpeg(10)(image), image) for image in valid_images]
settings = profile.choose(
    test={"steps": 6, "batch_size": 4, "lr": 1e-3},
    cpu={"seconds": 40, "batch_size": 16, "lr": 1e-3},
    gpu={"steps": 30_000, "batch_size": 64, "lr": 1e-3},
)
# %%
torch.manual_seed(0)
model = ARCNN(channels=1)
history = cu.fit(model, train, valid, **settings, loss=mse_loss)
before = np.mean([psnr(*pair) for pair in valid])
print(f"validation: JPEG {before:.2f} dB, restored {max(history.psnrs):.2f} dB, after {history.best_step:,} steps")
cu.plot_history(history)


# %% [markdown] lang="en"
# On the left the training loss, on the right the PSNR of the validation images. At its first point, after a tenth of the
# time, the network is already better than the JPEG images: that is what the start as the identity is for. Now the test
# photographs; and Classic5, where it is.
# %%
def report(name, restored, clean):
    scores = evaluate(restored, clean)
    blocks = np.mean([psnr_b(quantise(image), original) for image, original in zip(restored, clean)])
    print(f"{name}: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}, PSNR-B {blocks:.2f} dB")


def restored_by(network, quality, images):
    return [cu.restore(network, Jpeg(quality)(image)) for image in images]


for where, images in {"photographs": greys, "Classic5": classic[: profile.choose(test=1, cpu=5, gpu=5)]}.items():
    if images:
        report(f"{where}, JPEG", [Jpeg(10)(image) for image in images], images)
        report(f"{where}, restored", restored_by(model, 10, images), images)
# %% [markdown] lang="en"
# On the photographs 29.17<!-- photographs, JPEG: ±0.02 --> dB become 30.38<!-- photographs, restored: ±0.3 --> dB; on
# Classic5, 27.82<!-- Classic5, JPEG: ±0.01 --> dB become 28.83<!-- Classic5, restored: ±0.3 -->. The authors' network,
# with more photographs and far more time, reaches 29.03. Look at the last column as well. PSNR-B rises from
# 26.38<!-- photographs, JPEG: * PSNR-B ±0.03 --> dB to 29.94<!-- photographs, restored: * PSNR-B ±0.4 --> dB, three times
# as much as PSNR: blocks are what goes first.
# %%
pages = {
    "JPEG": torch.stack([Jpeg(10)(image) for image in greys]),
    "ARCNN": torch.stack(restored_by(model, 10, greys)),
    "original": torch.stack(greys),
}
cu.compare(pages, reference="original", caption="Five photographs (pages): JPEG of quality 10, restored, original")
# %% [markdown] lang="en"
# Go through the five (the arrows beside the page number), first whole, then enlarged. **Where is the network good, and
# what does it not bring back?** Rims and edges come out clean, and flat parts are flat again. The cat's fur stays lost.
# Where the file holds nothing but the mean of a block, thousands of kinds of fur would fit, and the average of them all
# is an even grey: there the network paints smoothly. Photograph by photograph:
# %%
for name, jpeg, ours, image in zip(photos["test"], pages["JPEG"], pages["ARCNN"], greys):
    print(f"{name:13} {psnr(jpeg, image):.2f} dB, gain {psnr(ours, image) - psnr(jpeg, image):+.2f} dB")
# %% [markdown] lang="en"
# The cup, all rims and smooth china, gains 1.5<!-- coffee * gain ±0.4 --> dB, the cat half of that,
# 0.7<!-- chelsea * gain ±0.3 --> dB.
#
# ### Cropped
#
# PSNR-B was blind to a grid that begins elsewhere. Is the network? Three rows and columns cut off, as before:
# %%
jpegs = [Jpeg(10)(image)[:, 3:, 3:] for image in greys]
originals = [image[:, 3:, 3:] for image in greys]
report("cropped, JPEG", jpegs, originals)
report("cropped, restored", [cu.restore(model, jpeg) for jpeg in jpegs], originals)


# %% [markdown] lang="en"
# From 29.16<!-- cropped, JPEG: ±0.02 --> to 30.37<!-- cropped, restored: ±0.3 --> dB, as much as before: it finds the
# blocks by their looks.
#
# ### Does the network contradict the file?
#
# The file says of each frequency which whole number it was rounded to. So we know for certain that the original lay
# within half a step of it. Does the network's answer? Ask for the frequencies of the restored image, and push each that
# lies outside its interval back to the nearest end. It cannot hurt, but for rounding: the original is inside, so every
# push goes towards it. (In words of geometry: a projection onto a convex set that holds the original.) What the file
# holds we find by doing as it did: take the frequencies of the JPEG image, divide, and round.
# %%
def obey(restored, jpeg, quality):
    """The restored image, (1, H, W), with every frequency moved into the interval that the JPEG file leaves it."""
    D, table = dct_matrix(), quantisation_table(quality)
    to_steps = lambda image: D @ (255 * to_blocks(image) - 128) @ D.T / table
    answer, in_file = to_steps(restored), to_steps(jpeg).round()
    inside = answer.clamp(in_file - 0.5, in_file + 0.5)
    image = from_blocks((D.T @ (inside * table) @ D + 128) / 255, *jpeg.shape[-2:])
    return image.clamp(0, 1), (inside != answer).double().mean().item()


# %%
obeyed, shares = zip(*(obey(*pair, 10) for pair in zip(pages["ARCNN"], pages["JPEG"])))
before, after = psnr(pages["ARCNN"], pages["original"]), psnr(torch.stack(obeyed), pages["original"])
print(f"frequencies that contradict the file: {100 * np.mean(shares):.2f} %")
print(f"pushed back: {after - before:+.3f} dB, to {after:.2f} dB")


# %% [markdown] lang="en"
# Hardly any of the frequencies lay outside, 0.0<!-- frequencies that contradict the file: ±0.2 --> %, and the push is
# worth a hundredth of a decibel at most. Nobody told the network about the table, and yet it obeys. Keep `obey` in mind all
# the same.
#
# ### Colour
#
# For a colour image restore Y, keep Cb and Cr, and put them together again.
# %%
def restore_light(jpeg):
    planes = rgb_to_ycbcr(jpeg, full_range=True)  # (3, H, W)
    return ycbcr_to_rgb(torch.cat([cu.restore(model, planes[:1]), planes[1:]]), full_range=True)


jpeg = Jpeg(10)(coffee)
cu.compare({"JPEG": jpeg, "Y restored": restore_light(jpeg), "original": coffee}, reference="original")
# %% [markdown] lang="en"
# The blocks go, the patches of colour stay: the network has not touched them.
#
# ## 7. What if the file has another quality?
#
# Our network knows quality 10 and nothing else. You seldom know the quality of a file that somebody sends you.
# **Guess: what does the network do to an image of quality 40, which is much better than any that it has seen?**
#
# For comparison, a second network with the same seconds of training, to which each patch comes at a quality of its own,
# drawn between 10 and 40.
# %%
mixed_train = cu.data.Patches(clean, degradation=Jpeg((10, 40)), patch=32)
mixed_valid = [(Jpeg(quality)(image), image) for quality, image in zip((10, 20, 40), valid_images)]
torch.manual_seed(0)
mixed = ARCNN(channels=1)
mixed_history = cu.fit(mixed, mixed_train, mixed_valid, **settings, loss=mse_loss)
# %%
qualities = profile.choose(test=(10, 40), cpu=(5, 10, 15, 20, 30, 40, 50, 60), gpu=(5, 10, 15, 20, 30, 40, 50, 60))
gains = {"trained at 10": [], "trained at 10 to 40": []}
for quality in qualities:
    jpegs = [Jpeg(quality)(image) for image in greys]
    before = evaluate(jpegs, greys)["psnr"]
    for network, gain in zip((model, mixed), gains.values()):
        gain.append(evaluate([cu.restore(network, jpeg) for jpeg in jpegs], greys)["psnr"] - before)
    figures = ", ".join(f"{name} {gain[-1]:+.2f} dB" for name, gain in gains.items())
    print(f"JPEG of quality {quality}, {before:.2f} dB: {figures}")
# %%
figure = Figure(figsize=(7.5, 4), layout="constrained")
axes = figure.subplots()
for (name, gain), look in zip(gains.items(), ("o-", "s--")):
    axes.plot(qualities, gain, look, color="black", label=name, markerfacecolor="white" if "to" in name else "black")
axes.axhline(0, color="black", linewidth=0.8)
axes.set(xlabel="quality of the JPEG image", ylabel="gain over the JPEG image (dB)")
axes.legend()
axes.grid(alpha=0.3)
cu.Picture(figure, "Gain against quality: trained at 10, it falls below 0 near 40; trained at 10 to 40, it stays above")
# %% [markdown] lang="en"
# Above the line at 0 the network helps, below it does harm. The network of quality 10 (filled circles) is the better one
# at 10, with 1.2<!-- JPEG of quality 10, * trained at 10 ±0.3 --> against
# 0.9<!-- JPEG of quality 10, * trained at 10 to 40 ±0.3 --> dB. From there on its gain falls; near quality 40 it crosses
# the line, and at 60 the network makes the image *worse* than it came:
# −1.1<!-- JPEG of quality 60, * trained at 10 ±0.6 --> dB. It has learnt that what looks like faint texture is ringing.
# In a better image faint texture is texture, and it is smoothed away. The other network (open squares) pays a little at
# quality 10 and gains over all of its range, and beyond: 0.4<!-- JPEG of quality 60, * trained at 10 to 40 ±0.4 --> dB
# at 60.
#
# See it happen, at quality 60. Drag the line over the forehead, and look at the table below: for the cat, who is all
# fur, even the second network is no help.
# %%
jpeg = Jpeg(60)(light)
images = {
    "JPEG, quality 60": jpeg,
    "trained at 10": cu.restore(model, jpeg),
    "trained at 10 to 40": cu.restore(mixed, jpeg),
}
cu.compare(images | {"original": light}, reference="original", view=closer)
# %% [markdown] lang="en"
# ### The file has the last word
#
# Is there a way out with the one network that we have? The file knows its own table. A network that smooths away real
# texture claims frequencies that the file rules out, and `obey` pushes them back.
# %%
for quality in profile.choose(test=(40,), cpu=(40, 60), gpu=(40, 60)):
    jpegs = [Jpeg(quality)(image) for image in greys]
    restored = [cu.restore(model, jpeg) for jpeg in jpegs]
    obeyed, shares = zip(*(obey(*pair, quality) for pair in zip(restored, jpegs)))
    scores = [np.mean([psnr(*pair) for pair in zip(images, greys)]) for images in (jpegs, restored, obeyed)]
    print(f"JPEG {quality}: {scores[0]:.2f} dB, trained at 10: {scores[1]:.2f} dB, pushed back: {scores[2]:.2f} dB")
    print(f"at {quality} it contradicted the file in {100 * np.mean(shares):.1f} % of the frequencies")
# %% [markdown] lang="en"
# At quality 60 the network of quality 10 contradicts the file in 9<!-- at 60 it contradicted the file in ±3 --> % of
# all frequencies, far more often than at 10. Pushed back, its images have 35.28<!-- JPEG 60: * pushed back: ±0.2 -->
# dB, and the harm is gone: no training, only what the file says for sure. (Still, the network that was trained at 10 to
# 40 does better.)
#
# So restoration is not something that one just switches on. Read the table in the file (every JPEG file carries its
# own: `PIL.Image.open(path).quantization`), choose the network that goes with it, and leave a good image alone.
#
# <details><summary>Two of the test photographs, flower and grace_hopper, come as JPEG files themselves. Why did we cut
# out the middle of each photograph 3 pixels off a multiple of 8?</summary>
#
# An image that was compressed before holds frequencies that are multiples of its table already, block by block. On the
# *same* grid and at the quality of its old file, compressing it again changes next to nothing: Y of grace_hopper has 56
# dB at quality 80, which says nothing about JPEG. Three pixels off the grid, the old multiples are spread over all
# frequencies, it has 36 dB, and the photograph behaves as others do. (At quality 10 the difference is small.) Such
# things hide in many data sets that were collected from the web.
#
# </details>
#
# ## 8. Back to the page
#
# Scanned pages have no blocks. But halftone is a grid as well, a turned one, in four colours, with a period of two or
# three pixels; and one can hope that a network which cleans its features with a look around takes it away better than
# SRCNN. Same network, on three channels; same pages and the same seconds as in lesson 2.
# %%
folder = cu.data.course_pages()
page_train = cu.data.PairedPatches(cu.data.pairs_in(folder / "train"), patch=profile.choose(test=32, cpu=40, gpu=96))
page_valid = cu.data.PairedImages(cu.data.pairs_in(folder / "valid")[:3])
page_settings = profile.choose(
    test={"steps": 6, "batch_size": 4, "lr": 1e-3},
    cpu={"seconds": 25, "batch_size": 8, "lr": 1e-3},
    gpu={"steps": 20_000, "batch_size": 32, "lr": 1e-3},
)
torch.manual_seed(0)
descanner = ARCNN(channels=3)
page_history = cu.fit(descanner, page_train, page_valid, **page_settings, loss=mse_loss)
print(f"after {page_history.steps[-1]} steps: {max(page_history.psnrs):.2f} dB on validation pages")
# %%
board = cu.Board("04_arcnn")
arcnn = board.add("ARCNN", descanner)
srcnn = next((result for result in board.results if result["method"] == "SRCNN"), None)
if srcnn is None:
    print("SRCNN is not on your board yet: lesson 2 puts it there")
else:
    bought = arcnn["known"]["psnr"] - srcnn["known"]["psnr"]
    print(f"against SRCNN: {bought:+.2f} dB, with {arcnn['parameters'] / srcnn['parameters']:.0f} times its parameters")
board
# %%
scan, page = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[0]
cu.compare({"scan": scan, "ARCNN": cu.restore(descanner, scan), "original": page}, reference="original")
# %% [markdown] lang="en"
# On average, the scans of the test pages have 19.51 dB. ARCNN makes 23.2<!-- ARCNN: ±0.7 --> dB of them, and on the
# unseen scanner 21.8<!-- ARCNN: * unseen scanner ±0.7 -->. Now compare its line with that of SRCNN, if you have it. When
# we ran both, ARCNN was −0.5<!-- against SRCNN: ±0.7 --> dB away from it: no better. One layer more, six times the
# parameters and a view of 19 × 19 pixels in place of 13 × 13 have bought **nothing, in 25 seconds**.
#
# Why? Each step of ARCNN costs several steps of SRCNN, so in the same time it makes fewer. (A page takes it longer, too:
# see the last column of the board.) A larger network can do more and takes longer to learn it; which of the two is
# better depends on how long you let them. (That ARCNN is ahead in the end is what one expects. We have not shown it:
# give both `seconds=300` and see.)
#
# **Look at the photograph, at the letters and at bare paper, enlarged: what has it learnt, and what not yet?** Black is
# black again and the yellow cast is gone: that is the same all over a page, and easy. (It is not quite right yet:
# compare the colour of the paper with the original's.) The dots are fainter, and still there. Dust and hairs stay:
# nothing within 19 × 19 pixels tells a network of this kind what lies under them.
#
# <details><summary>A turned grid has no blocks, yet JPEG's blocks and halftone's dots have something in common that suits
# a network of convolutions. What is it, and what does not suit it?</summary>
#
# Both are periodic and the same all over the image, and both periods are small against 19 pixels: whatever tells a dot
# from a detail is in view. What does not suit it is all that needs a wider view: the back of the page that shines
# through, a cast that differs from scanner to scanner, a scratch across the whole page.
#
# </details>
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - JPEG takes each block of 8 × 8 pixels apart into 64 frequencies, and rounds them to multiples of a table; the quality
#   scales the table. At quality 10, 95.2<!-- rounded to 0 at quality 10: ±0.3 --> % of them become 0. Nothing else is
#   lost but colour, where Cb and Cr are halved.
# - PSNR does not see that errors stand in line. PSNR-B does, if the line is where it looks.
# - ARCNN is SRCNN with a layer that cleans features before they are mapped. After 40 seconds it turns
#   27.82<!-- Classic5, JPEG: ±0.01 --> into 28.83<!-- Classic5, restored: ±0.3 --> dB on Classic5.
# - A network is right for the degradation it was trained on. On better images it smooths away what was never damaged.
#   What the file says for sure limits the harm.
#
# **Three common errors**
#
# 1. *The network makes images worse.* Look at their quality (`PIL.Image.open(path).quantization`): is it the one of the
#    training? Train on a range of qualities if you do not know.
# 2. *Our figures are decibels away from the paper's.* Y or RGB, full or studio range, 4:4:4 or 4:2:0, and is the
#    original itself a JPEG file?
# 3. *The table is off by one here and there.* The scale is a whole number, 5000 // Q, and the rounding adds 50 before it
#    divides by 100.
#
# **Where to read on.** Dong, Deng, Loy and Tang, *Compression Artifacts Reduction by a Deep Convolutional Network* (ICCV
# 2015), is ARCNN. Wallace, *The JPEG Still Picture Compression Standard* (1992), by one of its makers, is the best
# introduction to JPEG; ITU-T T.81 is the standard itself. Yim and Bovik, *Quality Assessment of Deblocked Images* (IEEE
# TIP 2011), is PSNR-B. He, Zhang, Ren and Sun, *Delving Deep into Rectifiers* (ICCV 2015), is PReLU. Next in this course:
# [lesson 5](05_dncnn.ipynb), where the network has seventeen layers and is asked another question: what was added?
