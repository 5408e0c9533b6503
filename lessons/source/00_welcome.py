# minutes: test=0.2 cpu=0.3
# %% [markdown] lang="en"
# # Welcome: what a scan does to a page
#
# Lay a magazine on a scanner, press the button, and what you get is not the page. It is paler and tinted, it is made
# of dots, there is a hair across it, and the back of the sheet shines through. *Descanning* is the way back: from the
# scan to the image that the magazine's designer sent to the printer. In this course you will write networks that do
# it.
#
# **What this lesson covers**
#
# | Part | Question |
# |---|---|
# | 1 | What is descanning? |
# | 2 | What exactly does a scan do? Six effects, one picture each |
# | 3 | Which of them does most harm? You measure it |
# | 4 | Are all scanners alike? |
# | 5 | Is everything in place? |
#
# **At the end** you can name the six effects when you see them, you have written the measure that the whole course
# uses, and you know that your set-up works. **Time:** seconds of computing; twenty minutes of looking and thinking.
# Nothing is downloaded: the pages are made on the spot.
#
# How to use it: run the cells from top to bottom (Shift + Enter). Where a cell says `raise NotImplementedError`, it
# is your turn: put your own lines in its place. The cell after it checks them at once. As long as your answer is not
# right, or not there, the check hands the course's own to the rest of the lesson, so you can always read on.
# %%
import numpy as np
import torch

from course_utils.data import magazine_page
from course_utils.degrade import BleedThrough, ColourTransition, Dust, Halftone, SensorNoise, Texture, scanner

# %% [markdown] lang="en"
# ## 1. Two images of one page
#
# Here is a page as its designer made it, and the same page printed and scanned. Before you read on: **how many
# differences can you list?**
# %%
page = cu.to_tensor(magazine_page(np.random.default_rng(16), edition="test"))  # (3, 512, 512), float, 0 to 1
other_side = cu.to_tensor(magazine_page(np.random.default_rng(12), edition="test"))
flatbed = scanner("flatbed", backs=[other_side])
scan = flatbed(page, np.random.default_rng(1))
cu.compare({"original": page, "scan": scan}, caption="A magazine page, and the same page scanned")
# %% [markdown] lang="en"
# Drag the line: on its left is the original, on its right the scan. Under the image stand the red, green and blue of
# the pixel that you point at. *Side by side* shows both whole, *Flicker* shows one in place of the other at each
# click, *Difference* what changed. **How many more differences do you find now?** (*Keys* lists what the keyboard
# does: click into the image, then try `m`, `8` and the arrows.)
#
# From three metres away the two might pass for the same. So come closer. The next cell begins with 96 × 96 pixels of
# both, enlarged; every square is one pixel.
# %%
cu.compare({"original": page, "scan": scan}, view=(230, 290, 96, 96))
# %% [markdown] lang="en"
# An image in this course is a tensor of shape (3, height, width): red, green and blue, each value between 0 (dark)
# and 1 (light). The scan has the same shape. Descanning is a function from one such tensor to another, and a network
# can learn it from many pairs like this one.
# %%
print("page:", tuple(page.shape), page.dtype, f"from {page.min():.2f} to {page.max():.2f}")
print("scan:", tuple(scan.shape), scan.dtype, f"from {scan.min():.2f} to {scan.max():.2f}")
# %% [markdown] lang="en"
# The scan's darkest value is far from 0: black ink came back as dark grey. That is one difference. Let us take them
# one at a time.
#
# ## 2. The six things a scan does
#
# People who collected 18,360 pairs of real pages and scans sorted what they saw into six kinds. We rebuilt each of
# them as a small piece of physics that you can call: `y = effect(x, rng)`. Here `x` is the image, `y` what becomes of
# it, and `rng` the source of chance, so that one seed always gives the same scan.
# %%
effects = {
    "halftone": Halftone(period=2.3),
    "bleed-through": BleedThrough(strength=0.15, backs=(other_side,)),
    "colour transition": ColourTransition(cast=(1.0, 0.92, 0.78), fading=0.22, saturation=0.74),
    "internal noise": SensorNoise(shot=3.5, read=1.5),
    "external noise": Dust(specks=30, hairs=3, scratches=1),
    "texture distortion": Texture(grain=0.012, warp=0.15, blur=0.3),
}


def alone(name, seed=0):
    return effects[name](page, np.random.default_rng(seed))


# %% [markdown] lang="en"
# ### Halftone: the page is made of dots
#
# A printing press has four inks and no shades: ink is there or it is not. Shades come from dots, large ones for dark
# tones and small ones for light tones, on four grids that are turned against each other: cyan by 15°, black by 45°,
# magenta by 75°, yellow not at all. From afar the eye averages them. A scanner does not stand far away.
# %%
cu.compare({"original": page, "halftone": alone("halftone")}, view=(230, 320, 96, 96))
# %% [markdown] lang="en"
# Here are the four grids on their own, each printing a middle grey, with dots 8 pixels apart so that you see them
# well. **Which of them lies straight, and why did the printers choose yellow for that?** (A straight grid is the
# easiest to notice, and yellow is the ink that the eye notices least.)
# %%
grey = np.full((40, 40), 0.4, np.float32)
angles = {"cyan": 15, "magenta": 75, "yellow": 0, "black": 45}
grids = {name: 1.0 - Halftone(period=8).screen(grey, angle, np.random.default_rng(0)) for name, angle in angles.items()}
cu.show_batch({f"{name}, {angles[name]}°": grid for name, grid in grids.items()}, zoom=2)
# %% [markdown] lang="en"
# ### Bleed-through: the other side shows
#
# Paper lets light pass. What is printed on the back appears on the front: mirrored, blurred and faint. It is the one
# effect that is *another image* and not a change of this one.
# %%
cu.compare({"bleed-through": alone("bleed-through"), "the other side": other_side, "original": page}, mode="side")
# %% [markdown] lang="en"
# **Which line of the other side can you read in the scan?** Find one that comes through, then flicker between the
# scan and the original (`a` and `b` on the keyboard).
# %% [markdown] lang="en"
# ### Colour transition: fading, tint and tone
#
# Inks fade, lamps are yellowish or bluish, and the scanner's software bends the tones to taste. Black is no longer
# black and white no longer white. It looks like the gentlest of the six. Keep that thought until part 3.
# %%
cu.compare({"original": page, "colour transition": alone("colour transition")})
# %% [markdown] lang="en"
# ### Internal noise: the sensor counts photons
#
# Light comes in grains, and a sensor that counts them miscounts a little. The error grows with the light, as its
# square root, so bright paper is noisier than dark ink. Each column of the sensor is also its own small detector with
# its own sensitivity: hence faint vertical streaks. Below, the difference to the original is ten times enlarged,
# around grey.
# %%
noisy = alone("internal noise")
ten_times = (0.5 + 10 * (noisy - page)).clamp(0, 1)
cu.compare({"noisy": noisy, "difference x 10": ten_times}, view=(230, 290, 96, 96), mode="side")
# %% [markdown] lang="en"
# **Where is the photograph in the right-hand image, and how can you tell?** Dark parts are quiet: noise that depends
# on the signal is a shadow of the picture.
#
# ### External noise: dust, hairs, scratches
#
# What lies on the glass is scanned too. It touches few pixels but hides them completely. Click the image to flicker
# between the two: what blinks is new. **How many hairs, how many scratches?**
# %%
cu.compare({"original": page, "external noise": alone("external noise", seed=5)}, mode="flicker")
# %% [markdown] lang="en"
# ### Texture distortion: paper is not flat
#
# Paper has a grain, it waves by fractions of a pixel, and the lens blurs a little. Hard to see, but edges move, and a
# network that compares pixel by pixel notices.
# %%
cu.compare(
    {"original": page, "texture distortion": alone("texture distortion")}, view=(205, 24, 96, 96), mode="flicker"
)
# %% [markdown] lang="en"
# ## 3. Which effect does most harm?
#
# Look at the six pictures again and guess before you measure: **which one is furthest from the original?**
#
# We need a number for "how far". The usual one is the *peak signal-to-noise ratio*, PSNR. Take the difference of the
# two images at every pixel, square it, and average: that is the mean squared error, MSE. Compare it with the largest
# value that a pixel can have, which is 1 here, and count in decibels:
#
# PSNR = 10 · log₁₀(1 / MSE)
#
# Ten decibels more mean a tenth of the squared error. Two equal images have no error and infinite PSNR.
#
# ### Your turn
#
# Write `psnr`. The helper `comparable` has done the dull part: it checks that both images are in [0, 1] and of one
# shape, and returns them as (N, C, H, W) in double precision, so your part is two lines. For a batch, take the PSNR
# of each image first and the mean afterwards.
# %%
from course_utils.metrics import comparable, evaluate


# %% exercise="psnr" answer="course_utils.metrics:psnr"
def psnr(restored, clean, border=0):
    """Peak signal-to-noise ratio in dB, for a data range of 1: 10 * log10(1 / MSE). Higher is better.

    restored, clean: float (C, H, W) or (N, C, H, W) in [0, 1]; border: pixels to leave out at each side.
    """
    restored, clean = comparable(restored, clean, border)  # (N, C, H, W)
    raise NotImplementedError


# %% [markdown] lang="en"
# Run the cell above, then the next one. Stuck? `cu.hint("psnr")` gives one hint at a time.
# %%
psnr = cu.check("psnr", psnr)
# %% [markdown] lang="en"
# A test that needs no computer: if every pixel is wrong by 0.1, the MSE is 0.01 and the PSNR 20 dB.
# %%
print(f"{psnr(torch.full((3, 8, 8), 0.6), torch.full((3, 8, 8), 0.5)):.2f} dB")


# %% [markdown] lang="en"
# Now the six effects. Beside the PSNR stands SSIM, which asks whether small neighbourhoods look alike (1 is perfect),
# and the measure of the descanning competition, the error of the mean luma Y in grey levels (0 is perfect).
# %%
def measure(name, image):
    scores = evaluate([image], [page])
    print(
        f"{name:20} {psnr(image, page):6.2f} dB   SSIM {scores['ssim']:.3f}   mean Y off by {scores['luma_error']:6.2f}"
    )


for name in effects:
    measure(name, alone(name))
measure("all six: a scan", scan)
# %% [markdown] lang="en"
# Was your guess right? The halftone and the gentle-looking colour transition cost the most, and dust almost nothing:
# PSNR sums over all pixels, and dust touches few of them. Your eye, which goes straight to the hair, does not agree.
# No single number is the truth; that is why you will always look at the images as well.
#
# The three measures do not agree among themselves either. **Compare the lines of halftone and colour transition**:
# one destroys the pattern and keeps the mean, the other shifts the mean and keeps the pattern.
#
# ## 4. Are all scanners alike?
#
# The kit has four scanners. You will train on three of them. The fourth, `archive`, is kept away from all training,
# so that at the end you can ask the question that matters in practice: does what you built work on a scanner that it
# has never met?
# %%
scans = {
    name: scanner(name, [other_side])(page, np.random.default_rng(2))
    for name in ("flatbed", "office", "photo", "archive")
}
cu.compare(scans | {"original": page}, reference="original")
# %% [markdown] lang="en"
# Choose two scanners above the image and compare them. The table gives each its PSNR: of the whole page, and of the
# part in view. **Zoom into the photographs, then into white paper: is it the same scanner that does worst on both?**
# %% [markdown] lang="en"
# ## 5. Is everything in place?
#
# The last cell looks at your set-up. Lines that begin with `ok` need nothing; the others say what to do.
# %%
from course_utils import doctor

print(doctor.report())
# %% [markdown] lang="en"
# ## What you have done
#
# The attempts are kept on this computer, or in this Colab session, and nowhere else.
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - A scan does six things: halftone, bleed-through, colour transition, internal noise, external noise, texture
#   distortion.
# - PSNR = 10 · log₁₀(1 / MSE) measures how far two images are apart; you wrote it.
# - Halftone and colour cost the most decibels; the eye sees the hair first. Measure *and* look.
#
# **Three common errors**
#
# 1. Images in 0…255 where 0…1 is expected. Then "data range 1" is wrong and every PSNR with it.
# 2. Subtracting images of unsigned bytes: 3 − 5 becomes 254. Convert to float first.
# 3. Judging by one number. The competition's measure cannot tell a page from the same page upside down.
#
# **Where to read on.** Cha and others, *Descanning: From Scanned to the Original Images with a Color Correction
# Diffusion Model* (AAAI 2024), collected the real scans. Wang, Bovik, Sheikh and Simoncelli, *Image quality
# assessment: from error visibility to structural similarity* (IEEE TIP 2004), is the paper behind SSIM. Next in this
# course: [lesson 1, how to measure a restoration and what can be done without a
# network](01_pixels_and_metrics.ipynb).
