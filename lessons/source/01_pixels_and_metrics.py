# minutes: test=0.2 cpu=0.5
# %% [markdown] lang="en"
# # Pixels and decibels: when is a restoration better?
#
# Two programs restore the same scanned page. "Mine is better," says one author, "by a whole decibel." "Mine is," says
# the other, "by five hundredths of SSIM." Both have measured, and neither lies. Who is right?
#
# Every lesson from here on ends with a number. This one is about that number: what it is taken from, what it sees,
# how it is made to look good by mistake, and how far one gets *without* any network, so that later you know what a
# network is worth.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | What is a pixel, and what goes wrong with it? | |
# | 2 | What does PSNR see? | |
# | 3 | What is light, and what is colour? | `rgb_to_ycbcr`, `ycbcr_to_rgb` |
# | 4 | What is a fair test? | `bicubic` |
# | 5 | Do the patterns agree? | `similarity` |
# | 6 | Can a measure be cheated? | `mean_luma_error` |
# | 7 | Back to the page: what can be done without a network? | |
#
# **At the end** you have three measures whose weaknesses you have seen, a list of mistakes that change a result by
# more than most papers do, and a results board whose first lines your networks will have to beat. **Time:** less than
# a minute of computing, and an hour of yours.
# %%
import cv2
import numpy as np
import torch
from torch.nn import functional as F

from course_utils.images import quantise
from course_utils.metrics import evaluate, psnr

# %% [markdown] lang="en"
# ## 1. What is a pixel?
#
# An image file gives bytes: whole numbers from 0 to 255, three for each pixel, in an array of shape (height, width,
# colours). PyTorch wants the colours first, and the course wants floats from 0 to 1.
# %%
photo = cu.data.photographs("test")["coffee"]  # uint8 (H, W, 3)
x = cu.to_tensor(photo)  # float32 (3, H, W)
print("bytes: ", photo.shape, photo.dtype, "and one pixel:", photo[200, 300])
print("tensor:", tuple(x.shape), x.dtype, "and the same one:", x[:, 200, 300])
# %% [markdown] lang="en"
# Row first, then column, counted from the top left. Three things go wrong so often that you should know them. OpenCV
# reads files with *blue first*. `reshape` makes a (3, H, W) out of (H, W, 3) without moving a single number; what is
# needed is `permute`, or `np.moveaxis`. And bytes do not subtract as numbers do. The first two look like this:
# %%
part = photo[60:390, 130:460]
reshaped = torch.tensor(part.reshape(3, 330, 330))  # the right shape, and still wrong
cu.show_batch({"as it is": part, "blue first": part[..., ::-1], "reshaped, not permuted": reshaped}, columns=3)
# %% [markdown] lang="en"
# In the picture on the right each colour was filled with one third of the numbers, red, green and blue in turn as they
# stand in the file. No line of code complained, for the shape was right.
#
# The third mistake cannot be seen. Bytes have no minus sign and no 256:
# %%
a, b = np.array([3, 200], np.uint8), np.array([5, 180], np.uint8)
print("3 - 5 =", (a - b)[0], "  (200 - 180)² =", ((a - b) ** 2)[1])
shifted = np.roll(photo, 1, axis=1)  # the photograph, moved one column to the right
wrong = 10 * np.log10(255**2 / np.mean((photo - shifted) ** 2))
right = 10 * np.log10(255**2 / np.mean((photo.astype(float) - shifted) ** 2))
print(f"PSNR of bytes: {wrong:.2f} dB; PSNR of floats: {right:.2f} dB")


# %% [markdown] lang="en"
# 400 does not fit into a byte, and 144 is what is left of it. No square can be larger than 255, so large errors look
# small: 32.61<!-- PSNR of bytes: ±0.01 --> dB in place of 24.44<!-- PSNR of floats: ±0.01 -->. This mistake does not
# crash, and it *flatters*. Those are the ones that live long.
#
# <details><summary>A colleague's program reports 72.6 dB on float images. What has probably happened?</summary>
#
# The images lie in [0, 1], but the formula was given 255 as the largest value. That adds 20 · log₁₀(255) = 48.1 dB to
# whatever is right: 24.5 dB. Be suspicious above 50 dB: there the errors are smaller than a grey level.
#
# </details>
#
# ## 2. What does PSNR see?
#
# You wrote PSNR in lesson 0: square the difference at each pixel, average, count in decibels. The next cell spoils
# the photograph in five ways, so that each has the *same* PSNR. **Guess: will the five look equally bad?**
# %%
noise = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape, np.float32))
same = {
    "one column to the right": x.roll(1, dims=2),
    "noise": (x + 0.0629 * noise).clamp(0, 1),
    "blur": cu.to_tensor(cv2.GaussianBlur(photo, (0, 0), 2.813)),
    "lighter": (x + 0.0604).clamp(0, 1),
    "less contrast": 0.5 + 0.8076 * (x - 0.5),
}
for name, image in same.items():
    print(f"{name:23} {psnr(image, x):.2f} dB")
# %%
cu.compare({"original": x, **same}, view=(100, 150, 200, 200))
# %% [markdown] lang="en"
# (Choose above the image which two to compare, and flicker between them.) All of them have 24.4 dB, and nobody would
# call them equal. You would hardly notice the one that is moved by a pixel; the blurred one has lost every fine detail.
# PSNR cannot tell, because it looks at each pixel alone: what stands beside it does not enter. Here is a drastic test.
# Both images are shuffled in the same way until nothing is left but confetti:
# %%
order = torch.randperm(x[0].numel(), generator=torch.Generator().manual_seed(0))
shuffled = lambda image: image.flatten(1)[:, order].view_as(image)
print(f"blur: {psnr(same['blur'], x):.4f} dB, both images shuffled: {psnr(shuffled(same['blur']), shuffled(x)):.4f} dB")
# %% [markdown] lang="en"
# So PSNR is no measure of beauty. It is the measure of a squared error, and within its limits an honest one: it needs
# no settings but the range, and it cannot be pleased by pretty details in the wrong place.
#
# <details><summary>Then why does nearly every paper report it, and why are so many networks trained on it?</summary>
#
# It is simple, the same in every program (if one avoids the mistakes of this lesson), smooth, and it has a meaning:
# if you must guess a pixel and do not know it, the guess with the smallest mean squared error is the mean of all that
# it could be. The mean of many sharp possibilities is a blur, and PSNR prefers that blur to a sharp guess that is
# wrong. A later lesson, on losses, returns to this.
#
# </details>
#
# ## 3. What is light, and what is colour?
#
# Red, green and blue are how a screen makes a pixel, not how an eye takes it in. Television, JPEG and most papers on
# super-resolution take it apart differently: into its *light* Y and two numbers for its *colour*, Cb (how blue) and
# Cr (how red). With red, green and blue from 0 to 1:
#
# - y = 0.299 · R + 0.587 · G + 0.114 · B, from 0 to 1: the eye is most sensitive to green;
# - cb = (B − y) / 1.772 and cr = (R − y) / 1.402, from −0.5 to 0.5: both are 0 for a grey pixel.
#
# How they are written into bytes is a matter of convention, and there are two, both in use. *Studio range* leaves
# room at both ends; *full range* does not:
#
# | | Y | Cb and Cr |
# |---|---|---|
# | studio range (television, MATLAB, nearly all published PSNR of Y) | (16 + 219 · y) / 255 | (128 + 224 · c) / 255 |
# | full range (JPEG files) | y | 128/255 + c, clipped to [0, 1] |
#
# (c stands for cb or cr. The clipping is for pure blue and pure red: there c is 0.5, and 128/255 + 0.5 is a little more
# than 1. In the table everything is divided by 255, for in this course an image lies in [0, 1].)
#
# ### Your turn
#
# Write `rgb_to_ycbcr`. Two lines are given: the first refuses what is no colour image, the second takes the three
# planes apart. `torch.stack([...], dim=-3)` puts three planes together again; counted from the end, the axis of the
# colours is −3 in an image and in a batch alike.
# %%
from course_utils.colour import check_colour


# %% exercise="rgb_to_ycbcr" answer="course_utils.colour:rgb_to_ycbcr"
def rgb_to_ycbcr(rgb, full_range=False):
    """RGB to YCbCr of ITU-R BT.601: float (..., 3, H, W) in [0, 1] -> the same shape, Y, Cb and Cr in this order.

    full_range: all of [0, 1], as in JPEG files; else studio range.
    """
    check_colour(rgb, "the RGB image")
    red, green, blue = rgb.unbind(dim=-3)  # each (..., H, W)
    raise NotImplementedError


# %%
rgb_to_ycbcr = cu.check("rgb_to_ycbcr", rgb_to_ycbcr)
# %%
planes = rgb_to_ycbcr(x[:, 60:390, 130:460])
cu.show_batch({"Y": planes[:1], "Cb": planes[1:2], "Cr": planes[2:]}, columns=3)


# %% [markdown] lang="en"
# Y is a good black-and-white photograph, with all the edges. Cb and Cr have little contrast and soft edges. Middle
# grey is "no colour", as on the white rim of the cup; the red saucer has little blue (darker in Cb) and much red
# (lighter in Cr).
#
# ### Your turn
#
# And back. Undo the scaling first, so that you have y, cb and cr again; then solve the three equations above for red,
# blue, and last green. Not every (Y, Cb, Cr) is a colour that a screen can show: clip the result to [0, 1] at the
# very end.
# %% exercise="ycbcr_to_rgb" answer="course_utils.colour:ycbcr_to_rgb"
def ycbcr_to_rgb(ycbcr, full_range=False):
    """YCbCr of ITU-R BT.601 back to RGB: float (..., 3, H, W) -> the same shape, clipped to [0, 1].

    full_range: as it was made, see `rgb_to_ycbcr`.
    """
    check_colour(ycbcr, "the YCbCr image")
    y, cb, cr = ycbcr.unbind(dim=-3)  # each (..., H, W)
    raise NotImplementedError


# %%
ycbcr_to_rgb = cu.check("ycbcr_to_rgb", ycbcr_to_rgb)


# %% [markdown] lang="en"
# Now the reason why all this was invented. The same blur, once on the light alone, once on the colour alone. **Which
# will you notice more?**
# %%
def smooth(plane):  # (H, W)
    return torch.from_numpy(cv2.GaussianBlur(plane.numpy(), (0, 0), 4))


y, cb, cr = rgb_to_ycbcr(x)
light_blurred = ycbcr_to_rgb(torch.stack([smooth(y), cb, cr]))
colour_blurred = ycbcr_to_rgb(torch.stack([y, smooth(cb), smooth(cr)]))
print(f"light blurred: {psnr(light_blurred, x):.2f} dB   colour blurred: {psnr(colour_blurred, x):.2f} dB")
cu.compare({"colour blurred": colour_blurred, "light blurred": light_blurred, "original": x}, view=(60, 130, 300, 300))
# %% [markdown] lang="en"
# The eye sees form in light, and fills in the colours; so most JPEG files keep Cb and Cr at half the size, and networks
# for super-resolution often work on Y alone (lesson 2). That makes "the PSNR of Y" the usual figure, and brings us to
# the next question: *which* Y?
#
# ## 4. What is a fair test?
#
# The oldest test of the field: reduce a photograph to a third, enlarge it again, and see what is lost. Both are done
# "bicubically", that is, each new pixel is a weighted mean of its neighbours, with weights along a cubic curve. On
# five images called Set5 the published figure is 30.39 dB. Anybody can repeat it, and many got something else.
#
# Reducing is where they part. A new pixel stands for 3 × 3 old ones. MATLAB, which made the published figures,
# stretches the cubic over all of them. OpenCV leaves it as narrow as for enlarging: at exactly a third, the middle
# one of the nine gets all the weight, and the other eight are skipped. Here is a scanned page, reduced in both ways:
# %%
folder = cu.data.course_pages()
page = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))[profile.choose(test=1, cpu=2, gpu=2)]
scan = page[0]  # (3, H, W)
size = (scan.shape[1] // 3, scan.shape[2] // 3)


def opencv_cubic(image, size):
    planes = [cv2.resize(p.numpy(), size[::-1], interpolation=cv2.INTER_CUBIC) for p in image]  # (width, height)
    return torch.from_numpy(np.stack(planes)).clamp(0, 1)


averaged = F.interpolate(scan[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
cu.show_batch({"averaged": averaged, "OpenCV: skipped": opencv_cubic(scan, size)}, zoom=2)
# %% [markdown] lang="en"
# What is finer than the new pixels has nowhere to go. Averaged, it disappears; skipped, it comes back as a coarse
# pattern that was never there, *moiré*. Averaging before reducing is called *antialiasing*.
#
# ### Your turn
#
# Write `bicubic`. `F.interpolate(batch, size=size, mode="bicubic", ...)` does it, if you set two more of its options.
# One is named after what you have just seen, and its default is off. (Set it for enlarging as well: there is nothing
# to average then, but without it PyTorch takes a slightly different cubic.) The other, `align_corners`, asks whether
# pixels are points, the outermost of them at the corners of the image (`True`), or squares that fill it (`False`).
# Ours are squares.
#
# A cubic swings beyond the values that it passes through, so clip to [0, 1] at the end. `F.interpolate` takes batches
# only; the line that makes one is given. Give the result the axes that `image` had, and the new size.
# %%
from course_utils.degrade import crop_to_multiple
from course_utils.images import check_image


# %% exercise="bicubic" answer="course_utils.degrade.resize:bicubic"
def bicubic(image, size):
    """Resize bicubically with antialiasing, up or down, as MATLAB's imresize: to `size`, clipped to [0, 1].

    image: float (C, H, W) or (N, C, H, W) in [0, 1]; size: (height, width) of the result.
    """
    check_image(image, "the image to resize")
    batch = image.reshape(-1, *image.shape[-3:])  # (N, C, H, W), as F.interpolate wants it
    raise NotImplementedError


# %%
bicubic = cu.check("bicubic", bicubic)
# %% [markdown] lang="en"
# Now the test itself, on the embedded test photographs, and on Set5 where you have it (its licence does not allow us
# to hand it on; the README says where to put it). `see` says what of the photograph is tested; the outermost three
# pixels are left out of the PSNR, as is the custom.
# %%
light = lambda rgb: quantise(rgb_to_ycbcr(rgb)[:1])  # studio range, rounded to 8 bits as in a file
sets = {"photographs": cu.data.photographs("test"), "Set5": cu.data.standard_set("Set5")}
sets = {name: photos for name, photos in sets.items() if photos}
if "Set5" not in sets:
    print("Set5 is not here: see the README")


def tested(photos, see=light, down=bicubic, up=bicubic):
    """(enlarged, original) of each photograph, reduced to a third in between, in 8 bits."""
    for photo in photos.values():
        image = crop_to_multiple(see(cu.to_tensor(photo)), 3)
        height, width = image.shape[-2:]
        yield quantise(up(down(image, (height // 3, width // 3)), (height, width))), image


# %%
def aligned(image, size):
    return F.interpolate(image[None], size, mode="bicubic", align_corners=True)[0].clamp(0, 1)


ways = {
    "fair bicubic": {},
    "OpenCV's cubic": {"down": opencv_cubic, "up": opencv_cubic},
    "enlarged with align_corners=True": {"up": aligned},
}
for name, photos in sets.items():
    for way, how in ways.items():
        score = np.mean([psnr(made, image, border=3) for made, image in tested(photos, **how)])
        print(f"{name}, {way}: {score:.2f} dB")


# %% [markdown] lang="en"
# Set5 gives 30.39<!-- Set5, fair bicubic ±0.02 --> dB, as published, with the fair one;
# 29.60<!-- Set5, OpenCV's cubic ±0.02 --> with OpenCV's; 28.46<!-- Set5, enlarged with align_corners=True ±0.02 -->
# where `align_corners` took the pixels for points and so moved them by up to a pixel. On our photographs it is
# 32.40<!-- photographs, fair bicubic ±0.02 -->, 31.10<!-- photographs, OpenCV's cubic ±0.02 --> and
# 31.58<!-- photographs, enlarged with align_corners=True ±0.02 --> dB. Three different tests under one name. A network
# trained with one and tested with another is not bad; it was asked for something else.
#
# And that was the resizing alone. Now keep the fair one, and change only **what is measured**:
# %%
def pooled(pairs):
    errors = [(made - image)[:, 3:-3, 3:-3].square().mean() for made, image in pairs]
    return 10 * np.log10(1 / np.mean(errors))


def in_bytes(pairs):
    pairs = [(255 * torch.cat(pair)[:, 3:-3, 3:-3]).round().byte().numpy() for pair in pairs]  # each (2, H, W)
    return np.mean([10 * np.log10(255**2 / np.mean((made - image) ** 2)) for made, image in pairs])


# %%
full_light = lambda rgb: quantise(rgb_to_ycbcr(rgb, full_range=True)[:1])
decibels = lambda pairs: np.mean([psnr(made, image, border=3) for made, image in pairs])
for name, photos in sets.items():
    print(f"{name}, studio Y: {decibels(tested(photos)):.2f} dB")
    print(f"{name}, full Y: {decibels(tested(photos, full_light)):.2f} dB")
    print(f"{name}, RGB: {decibels(tested(photos, lambda rgb: rgb)):.2f} dB")
    print(f"{name}, pooled: {pooled(tested(photos)):.2f} dB")
    print(f"{name}, bytes: {in_bytes(tested(photos)):.2f} dB")
# %% [markdown] lang="en"
# | what is measured | photographs | Set5 |
# |---|---|---|
# | Y of studio range | 32.40<!-- photographs, studio Y ±0.02 --> | 30.39<!-- Set5, studio Y ±0.02 --> |
# | Y of full range | 31.09<!-- photographs, full Y ±0.02 --> | 29.08<!-- Set5, full Y ±0.02 --> |
# | red, green and blue | 31.01<!-- photographs, RGB ±0.02 --> | 28.63<!-- Set5, RGB ±0.02 --> |
# | studio Y, PSNR of the pooled error | 30.58<!-- photographs, pooled ±0.02 --> | 28.66<!-- Set5, pooled ±0.02 --> |
# | studio Y, bytes subtracted | 36.34<!-- photographs, bytes ±0.02 --> | 33.89<!-- Set5, bytes ±0.02 --> |
#
# (All but the fourth row are means of the PSNR of each image. The fourth puts the errors of all images together first,
# and there the worst image rules.)
#
# The resizing is the same in all five rows; only what was looked at differs. The step from plain bicubic to SRCNN,
# the network of lesson 2, was 2 dB on Set5; what differs here is worth 1.3, 1.8, 1.7 and 3.5.
#
# <details><summary>Why does studio range give some 1.3 dB more than full range?</summary>
#
# Its Y goes from 16 to 235 only, so all differences are smaller by 219/255, but the largest value in the formula is
# still 255. 20 · log₁₀(255/219) = 1.32 dB. Nobody means it as a trick; it is a custom, and a trap for whoever compares
# a figure from one program with that of another.
#
# </details>
#
# ## 5. Do the patterns agree?
#
# PSNR looks at each pixel alone. *SSIM*, structural similarity (Wang and others, 2004), looks through a small window
# of 11 × 11 pixels and asks two things: are both images about equally light there, and do they go up and down
# together?
#
# For that it needs, in each window, the means mx and my of the two images, their variances vx and vy (how much they
# go up and down) and their covariance cov (how much they do it together). Pixels in the middle of the window count
# for more. The helper `window_mean` gives such a mean for every window of an image: (N, C, H, W) → (N, C, H − 10,
# W − 10). The rest can be made of it, since
#
# vx = mean of x² − mx²,  and likewise vy;  cov = mean of x · y − mx · my.
#
# The SSIM of a window is the product of two factors:
#
# SSIM = (2 · mx · my + c₁) / (mx² + my² + c₁) · (2 · cov + c₂) / (vx + vy + c₂)
#
# The first factor is 1 where the means agree, the second where the patterns do; otherwise they are less. The small
# constants c₁ = 0.01² and c₂ = 0.03² keep flat and black windows from 0/0.
#
# ### Your turn
#
# Write `similarity`, the map with one SSIM for each window. (The SSIM of an image is the mean of its map.)
# %%
from course_utils.metrics import comparable, window_mean

print(tuple(x[None].shape), "->", tuple(window_mean(x[None]).shape))


# %% exercise="similarity" answer="course_utils.metrics:similarity"
def similarity(x, y):
    """The SSIM of each window: (N, C, H, W) -> (N, C, H - 10, W - 10)."""
    raise NotImplementedError


# %%
similarity = cu.check("similarity", similarity)
# %% [markdown] lang="en"
# Back to the five photographs of 24.4 dB. **In which order will SSIM put them?**
# %%
maps = {name: similarity(*comparable(image, x))[0] for name, image in same.items()}  # each (3, H - 10, W - 10)
for name, each in maps.items():
    print(f"{name:23} {psnr(same[name], x):.1f} dB, SSIM {each.mean():.3f}")
names = ("one column to the right", "noise", "blur", "lighter")
cu.show_batch({name: maps[name].mean(dim=0).clamp(0, 1)[50:350, 100:400] for name in names}, columns=4, zoom=1)
# %% [markdown] lang="en"
# In the maps, white is "alike" and black is "not at all". Lighter and less contrast are good
# (0.908<!-- lighter * SSIM ±0.002 --> and 0.881<!-- less contrast * SSIM ±0.002 -->): the pattern is still there, and
# only where the photograph is dark does a little more light make a large difference. Blur loses it at edges and in fine
# detail (0.681<!-- blur * SSIM ±0.002 -->). Noise is worst (0.464<!-- noise * SSIM ±0.002 -->): on the smooth parts
# there *was* no pattern, so any is wrong. That is closer to what you see; but the shift of one column, which nobody
# sees, gets no more than 0.756<!-- one column to the right * SSIM ±0.002 -->.
#
# SSIM has settings, and so there is more than one SSIM. Here are four, all of the noisy photograph:
# %%
from skimage.metrics import structural_similarity

pair = [image.double().numpy() for image in (same["noise"], x)]
gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
variants = {
    "as in the paper": gaussian | {"data_range": 1},
    "scikit-image's default, 7 × 7 windows": {"data_range": 1},
    "range of [-1, 1] assumed": gaussian | {"data_range": 2},
    "range of 0 to 255 assumed": gaussian | {"data_range": 255},
}
for name, options in variants.items():
    print(f"SSIM, {name}: {structural_similarity(*pair, channel_axis=0, **options):.4f}")
# %% [markdown] lang="en"
# The first is what you wrote, and what this course uses; a default gives or takes two hundredths. The wrong range is
# worse, because c₁ and c₂ grow with it: for 0 to 255, c₂ = (0.03 · 255)² is 58.5, while variances in [0, 1] stay below
# 0.25. The second factor becomes (tiny + 58.5) / (tiny + 58.5), and the noisiest image is perfect:
# 0.9999<!-- SSIM, range of 0 to 255 assumed: ±0.0001 -->.
#
# ## 6. Can a measure be cheated?
#
# The descanning competition, on which this course is built, ranks by a third measure: the mean Y of each restored
# page, compared with the mean Y of its original.
#
# ### Your turn
#
# Write `mean_luma_error`. Three helpers are there. `pairs_of(restored_images, clean_images)` pairs them one by one;
# `comparable(restored, clean)` checks a pair and gives both as (1, C, H, W); `luma(rgb)` is the Y of studio range, in
# [0, 1]. An image with one channel is Y already. Answer in grey levels of 0 to 255, averaged over the images.
# %%
from course_utils.metrics import luma, pairs_of


# %% exercise="mean_luma_error" answer="course_utils.metrics:mean_luma_error"
def mean_luma_error(restored_images, clean_images):
    """The competition's metric: mean over the images of |mean Y of the restored - mean Y of the clean|, in 0..255.

    restored_images, clean_images: two lists of float (3, H, W) in [0, 1], or two batches (N, 3, H, W).
    Images with 1 channel are taken as Y itself.
    """
    raise NotImplementedError


# %%
mean_luma_error = cu.check("mean_luma_error", mean_luma_error)


# %% [markdown] lang="en"
# Four entries to the competition, for all test pages, also those of the unseen scanner. The first hands in the
# scans. The second denoises them (how, part 7 shows). The third throws the page away: from the training pages it has
# learnt, with a straight line, how light an original is whose scan is so light, and it answers with an even grey. It
# knows nothing that it should not know. The fourth had the originals, and holds them upside down.
# %%
def load(part):
    pages = cu.data.PairedImages(cu.data.pairs_in(folder / part))
    return zip(*(pages[i] for i in range(len(pages))))  # all scans, all originals


def mean_y(image):
    return luma(image).mean().item()


train_scans, train_originals = load("train")
line = np.polyfit([mean_y(scan) for scan in train_scans], [mean_y(original) for original in train_originals], 1)


def even_grey(scan):
    y = np.clip(np.polyval(line, mean_y(scan)), 16 / 255, 235 / 255)
    return torch.full_like(scan, (255 * y - 16) / 219)  # studio Y back to red = green = blue


# %%
def denoised(scan, strength=6):
    array = cv2.fastNlMeansDenoisingColored(cu.to_array(scan), None, strength, strength, 5, 11)
    return cu.to_tensor(array)


# %%
scans, originals = (known + unseen for known, unseen in zip(load("test"), load("unseen")))  # known, then unseen
entries = {
    "the scan": scans,
    "denoised": [denoised(scan) for scan in scans],
    "an even grey": [even_grey(scan) for scan in scans],
    "upside down": [original.flip(1) for original in originals],
}
for name, images in entries.items():
    score, others = mean_luma_error(images, originals), evaluate(images, originals)
    print(f"{name:12} mean Y off by {score:5.2f}   PSNR {others['psnr']:5.2f} dB   SSIM {others['ssim']:.3f}")


# %% [markdown] lang="en"
# Upside down is perfect. The grey sheet is off by 4.12<!-- an even grey * off by ±0.05 --> and beats the denoised
# pages, which are off by 7.11<!-- denoised * off by ±0.05 -->. Of a quarter of a million pixels this measure sees one
# number, and whatever finds that number wins.
#
# **Now look at the other two columns.** PSNR throws the grey sheet out (13.44<!-- an even grey * PSNR ±0.05 --> dB).
# But SSIM gives it 0.557<!-- an even grey * SSIM ±0.002 -->, *more* than the scan with
# 0.534<!-- the scan * SSIM ±0.002 -->: half of a page is plain paper, and there an even grey has the right pattern,
# none, whereas the scan has its dots. Each of the three measures can be fooled, but not by the same trick. Report all
# three, and look at the images.
#
# ## 7. Back to the page: what can be done without a network?
#
# People restored images before there were networks. Three classics, each in one call of OpenCV:
#
# - the *median* sorts each 3 × 3 pixels by value and takes the fifth of the nine: specks and hairs lose the vote;
# - the *bilateral filter* averages neighbours, but only those of a similar colour, so that edges stay;
# - *non-local means* averages pixels whose surroundings look alike, wherever they are.
#
# The last two have a strength, and we choose it as one chooses everything: on the validation pages.
# %%
def bilateral(scan, strength):
    return cu.to_tensor(cv2.bilateralFilter(cu.to_array(scan), 9, strength, 3))


valid_scans, valid_originals = load("valid")
for name, method, strengths in (("bilateral", bilateral, (25, 50, 75, 100)), ("non-local means", denoised, (3, 6, 12))):
    for strength in strengths:
        scores = evaluate([method(scan, strength) for scan in valid_scans], valid_originals)
        print(f"{name}, strength {strength}: {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}")
# %% [markdown] lang="en"
# Strong enough to melt the dots, weak enough to keep the letters: 50 and 6 by PSNR. (By SSIM one would take more. Which
# measure you tune with is a choice as well.) Now the test pages. Each `board.add` measures a method on the pages of the
# known scanners and of the unseen one; the results stay for all later lessons. In brackets stands the gain over the
# scan as it is; SSIM and mean Y are those of the known scanners.
# %%
board = cu.Board("01_pixels_and_metrics")
classics = {
    "median 3 × 3": lambda scan: cu.to_tensor(cv2.medianBlur(cu.to_array(scan), 3)),
    "bilateral": lambda scan: bilateral(scan, 50),
    "non-local means": denoised,
}
for name, method in classics.items():
    board.add(name, method)


# %% [markdown] lang="en"
# The bilateral filter gains 0.78<!-- bilateral: * dB ( ±0.02 --> dB. The median *loses*
# 0.08<!-- median 3 × 3: * dB (- ±0.02 --> by PSNR, for it thins the letters, and yet SSIM rises to
# 0.693<!-- median 3 × 3: * SSIM ±0.002 -->. But the error of the mean Y changes by no more than a grey level. Of
# course: averaging neighbours does not change how light a page is, and in lesson 0 the colours were among the worst of
# the six effects.
#
# So treat the colour as well, as simply as possible. Every restored colour shall be a weighted sum of the scanned
# red, green and blue, and a constant: three rows of four numbers, a 3 × 4 matrix, for all pixels of all pages. Which
# twelve numbers? Those with the smallest squared error on the training pages; that is an ordinary least-squares
# problem, and `np.linalg.lstsq` solves it exactly.
# %%
def colour_matrix(prepare):
    """The 3 × 4 matrix from prepared scans to originals, by least squares over every third row and column."""
    pixels = lambda image: image[:, ::3, ::3].flatten(1).T.numpy()  # (number of pixels, 3)
    taken = np.concatenate([pixels(prepare(scan)) for scan in train_scans])
    wanted = np.concatenate([pixels(original) for original in train_originals])
    taken = np.column_stack([taken, np.ones(len(taken), np.float32)])  # a fourth column for the constant
    return torch.from_numpy(np.linalg.lstsq(taken, wanted, rcond=None)[0].T)  # (3, 4)


def recolour(matrix, image):
    # the three columns times the colour of each pixel, and the constant
    return torch.einsum("ij,jhw->ihw", matrix[:, :3], image) + matrix[:, 3:, None]


# %%
matrix = colour_matrix(lambda scan: scan)
smoothed = colour_matrix(lambda scan: bilateral(scan, 50))
print("of scans:", matrix.numpy().round(2), "of filtered scans:", smoothed.numpy().round(2), sep="\n")
board.add("colour matrix", lambda scan: recolour(matrix, scan))
board.add("colour matrix + bilateral", lambda scan: recolour(smoothed, bilateral(scan, 50)))
board
# %% [markdown] lang="en"
# Read the first matrix: the diagonal is the largest in each row, and the constants are negative. That stretches the
# range, so that black becomes black again and colours strong. By itself it gains
# 1.06<!-- colour matrix: * dB ( ±0.02 --> dB, while SSIM stays where it was
# (0.534<!-- colour matrix: * SSIM ±0.002 -->): the dots are all still there. Dots removed *and* colours set right give
# 2.42<!-- colour matrix + bilateral: * dB ( ±0.02 --> dB, and
# 21.47<!-- colour matrix + bilateral: * unseen scanner ±0.02 --> dB on a scanner that nobody has met.
#
# <details><summary>That is more than both gains added. Compare the two matrices: why?</summary>
#
# The second one has a larger diagonal; it dares more. Whatever stretches the colours stretches the dots and the noise
# too, and least squares finds the best compromise: with the dots still there, it stretches less than the colours alone
# would ask for. Where two faults are in each other's way, the order of repair matters: first the dots, then the colour.
#
# </details>
# %%
best = lambda scan: recolour(smoothed, bilateral(scan, 50)).clamp(0, 1)
i = profile.choose(test=1, cpu=2, gpu=2)
shown = {"colour matrix + bilateral": best(scans[i]), "bilateral": bilateral(scans[i], 50)}
cu.compare({**shown, "scan": scans[i], "original": originals[i]}, reference="original")
# %% [markdown] lang="en"
# Twelve numbers and a filter from 1998. This is the line that a network has to beat, and it is higher than most people
# expect: compare with it, and not with the scan. **Look for what it cannot do**, here and on other pages (change `i`: 0
# to 5 are scans of the known scanners, 6 to 11 the same pages from the unseen one): large dots stay, thin letters are
# frayed, hairs and scratches are still there, and so is the other side of the sheet. None of these is a matter of one
# pixel's colour or of a few neighbours. For them one has to know what pages look like, and that is what networks learn.
#
# <details><summary>By the competition's measure, "colour matrix + bilateral" is worse than "colour matrix" alone, and
# no better than the untouched scan (see the board). Has it failed?</summary>
#
# No. The matrix is chosen for the squared error over all pixels of all training pages together, not for the mean Y of
# each page. Three scanners, three tints, one matrix: some pages end up a little too light and some too dark, and this
# measure sees nothing but that. PSNR, SSIM and your eyes agree that the page is better.
#
# </details>
#
# And the two authors of the beginning? Both may be right. Ask each for the other's number, for what exactly was
# measured, and then for the images.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - PSNR is a squared error in decibels. It sees each pixel alone. State what was measured: which channels, which
#   range, which border, the mean of what.
# - SSIM compares means and patterns in windows. It has settings, and it likes blank paper.
# - The error of the mean Y sees one number of an image, and can be won without an image.
# - Bicubic is not bicubic: with antialiasing, as in MATLAB, or the figures are not comparable.
# - Without a network: 2.42<!-- colour matrix + bilateral: * dB ( ±0.02 --> dB over the scan, by twelve numbers and a
#   bilateral filter.
#
# **Three common errors**
#
# 1. *The PSNR is wonderful.* Bytes subtracted, 255 for the range of floats, or a range taken from the values of the
#    image.
# 2. *The PSNR is 1 to 2 dB off the published one.* Y of full range or RGB in place of studio Y; another bicubic; no
#    border left out.
# 3. *The result is good on average, and bluish.* Red and blue swapped on the way in or out; always look at one image.
#
# **Where to read on.** Wang and Bovik, *Mean Squared Error: Love It or Leave It?* (IEEE Signal Processing Magazine
# 2009), the source of the idea of part 2. Wang, Bovik, Sheikh and Simoncelli, *Image quality assessment: from error
# visibility to structural similarity* (IEEE TIP 2004). Keys, *Cubic convolution interpolation for digital image
# processing* (IEEE TASSP 1981). Tomasi and Manduchi, *Bilateral filtering for gray and color images* (ICCV 1998).
# Buades, Coll and Morel, *A non-local algorithm for image denoising* (CVPR 2005). Next:
# [lesson 2, a network of three layers](02_srcnn.ipynb).
