# minutes: test=0.2 cpu=1.5
# %% [markdown] lang="en"
# # DnCNN: predict what the scan added
#
# How would you teach a network to restore a scanned page? The obvious plan is to show it scans and have it paint
# originals. In 2017 Zhang and others found a better question to ask: not *what is the image?* but *what was added to
# it?* You subtract the answer, and what is left is the image. That idea is called residual learning, and the network
# is DnCNN.
#
# | Part | Question | You write |
# |---|---|---|
# | 1 | Which scan belongs to which original? | `match_pairs` |
# | 2 | What does the network get to see? | `random_patch` |
# | 3 | What is the network? | `DnCNN` |
# | 4 | What does it learn to predict? | `residual_loss` |
# | 5 | How does it learn? | `train_step` |
# | 6 | Which weights do we keep? | `best_step` |
# | 7 | How is a page of any size restored? | `tiles` |
# | 8 | Did it work, and on which scanner? | |
#
# **At the end** you have trained a network that restores scanned pages which it has never seen, and you have watched
# ten mistakes happen, most of which really stood in somebody's code. **Time:** under two minutes of computing on two CPU
# cores, and an hour of yours.
#
# Where a cell says `raise NotImplementedError`, it is your turn. The cell after it checks what you wrote, and goes on
# with it if it is right; if not, with the course's own, so the lesson always runs to its end. `cu.hint("dncnn")` gives
# hints, one at a time.
# %%
import random
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from course_utils.files import CourseError
from course_utils.metrics import evaluate, psnr

# %% [markdown] lang="en"
# ## 1. Pairs: which scan belongs to which original?
#
# The data are pages made by the kit and scanned by its three scanners: pages to train on, others to validate with,
# and test pages whose photographs and words appear nowhere else. The same test pages are there twice, the second time
# from a scanner that no training sees.
# %%
folder = cu.data.course_pages()
print(*sorted(path.name for path in folder.iterdir() if path.is_dir()), "in", folder)
# %% [markdown] lang="en"
# (The path at the end of that line exists on this computer only. Code that has such a path written into it works for
# its author and for nobody else; ask for it, as `cu.data.course_pages` does.)
#
# A folder of originals, a folder of scans: list both, take the first of one with the first of the other, and so on.
# **What could go wrong?** A directory has no order. The system lists files as it pleases, and it may please
# differently for each folder. Here is what one swapped name does.
# %%
originals, scans = (sorted((folder / "train" / kind).iterdir()) for kind in ("clean", "scan"))
read = lambda path: cu.to_tensor(cu.read_image(path))
listed = [scans[1], scans[0], *scans[2:]]  # as a directory listing may come
cu.compare({"original 0000": read(originals[0]), "what it is paired with": read(listed[0])}, reference="original 0000")
# %% [markdown] lang="en"
# Nothing crashes. The network would train on, for hours, with a wrong answer for two of its pages; the loss would
# even fall. The way out is to match by *name* and to make every doubt an error.
#
# ### Your turn
#
# Write `match_pairs`. `list_images(folder)` is given: it returns `{"0000": Path(...), ...}`, images by the stem of
# their name. Every original needs a scan of the same stem and the other way round; if one has no partner, raise a
# `CourseError` that names the file.
# %%
from course_utils.data.pairs import list_images


# %% exercise="match_pairs" answer="course_utils.data.pairs:match_pairs"
def match_pairs(clean_folder, scan_folder):
    """Match the originals in one folder with the scans in the other by stem: 0412.png with 0412.png or 0412.jpg.

    Returns a list of (clean path, scan path), sorted by name. Raises a CourseError if an image has no partner.
    """
    clean, scan = list_images(clean_folder), list_images(scan_folder)
    raise NotImplementedError


# %%
match_pairs = cu.check("match_pairs", match_pairs)
# %%
pairs = match_pairs(folder / "train" / "clean", folder / "train" / "scan")
print(len(pairs), "pairs; the first:", *(f"{path.parent.name}/{path.name}" for path in pairs[0]))
# %% [markdown] lang="en"
# Now a broken file. Downloads stop halfway, disks fill up. Let us cut a PNG in two and read it with OpenCV, as much
# code does.
# %%
broken, empty = cu.data.home() / "broken.png", cu.data.home() / "empty.png"
broken.write_bytes(pairs[0][0].read_bytes()[:10_000])
image = cv2.imread(str(broken))
print("OpenCV read:", type(image).__name__, "" if image is None else f"with {(image == 0).mean():.0%} of it black")
empty.touch()
print("and of an empty file:", cv2.imread(str(empty)))
# %% [markdown] lang="en"
# No error in either case. Some versions of OpenCV fill the missing half with black; others return `None`, and the
# program falls over three functions later, in a line that has nothing to do with the file. The kit decodes every
# image *before* training begins, and says which one is broken:
# %%
try:
    cu.read_image(broken)
except CourseError as error:
    print(error)


# %% [markdown] lang="en"
# ## 2. Patches: what does the network get to see?
#
# A page has a quarter of a million pixels; a network need not see them all at once. It learns from small windows,
# *patches*, cut at random, and turned and mirrored at random too: each page then looks new every time. That is called
# augmentation.
#
# **What must be the same for the scan and the original?** Everything: the same window, the same turn, the same
# mirror.
#
# ### Your turn
#
# Write `random_patch` for two uint8 arrays of shape (height, width, 3). All chance comes from `rng`:
# `rng.integers(n)` is a whole number from 0 to n − 1. `np.rot90(image, turns)` turns, `image[:, ::-1]` mirrors.
# %% exercise="random_patch" answer="course_utils.data.patches:random_patch"
def random_patch(degraded, clean, size, rng, augment=True):
    """Cut the same random window from both images, and turn and mirror both in the same random way.

    degraded, clean: uint8 arrays (H, W, C) of one shape. Returns (degraded, clean), each (size, size, C).
    """
    raise NotImplementedError


# %%
random_patch = cu.check("random_patch", random_patch)
# %%
clean, scan = (cu.read_image(path) for path in pairs[0])
rng = np.random.default_rng(3)
patches = [random_patch(scan, clean, 96, rng) for _ in range(3)]
names = [f"{kind} {i}" for i in range(3) for kind in ("scan", "original")]
cu.show_batch([patch for pair in patches for patch in pair], names, columns=2)


# %% [markdown] lang="en"
# **A seed that seeds nothing.** "I set the seed, and still every run is different." This happens when the seed goes
# to NumPy and the crops come from Python's `random`. Two sources of chance, one seed:
# %%
def crops():
    np.random.seed(0)  # a seed, but not of the generator that is used below
    return [random.randrange(1000) for _ in range(4)]


print("run 1:", crops(), "  run 2:", crops())
rng1, rng2 = np.random.default_rng(0), np.random.default_rng(0)
print("run 1:", rng1.integers(1000, size=4), "  run 2:", rng2.integers(1000, size=4), " with one generator, passed on")
# %% [markdown] lang="en"
# **Decoding again and again.** A PNG is compressed. Code that reads both files for each patch spends its time
# unpacking pages to throw most of them away. How much time?
# %%
start = time.perf_counter()
for _ in range(5):
    random_patch(cu.read_image(pairs[0][1]), cu.read_image(pairs[0][0]), 40, rng)
from_files = (time.perf_counter() - start) / 5
train = cu.data.PairedPatches(pairs, patch=profile.choose(test=32, cpu=40, gpu=128))  # decodes each file once
start = time.perf_counter()
for i in range(200):
    train[i]
from_cache = (time.perf_counter() - start) / 200
print(f"{1000 * from_files:.1f} ms a patch from files, {1000 * from_cache:.2f} ms from the cache")


# %% [markdown] lang="en"
# `PairedPatches` decodes every page once, into a file that later runs find again, and cuts its patches there as
# `random_patch` does, whole batches at a time. Sample number i depends on the seed and on i alone; so training can
# stop at any moment and go on exactly where it was.
#
# ## 3. The network
#
# DnCNN is a stack of 3 × 3 convolutions that keep the size of the image: the first makes 64 feature maps of the 3
# colours, fifteen more each turn 64 maps into 64, normalise them (batch normalisation) and cut off what is negative
# (ReLU), and the last makes 3 colours of the 64 maps. Why no ReLU at the end? Because the network predicts noise, and
# noise has both signs.
#
# ### Your turn
#
# Write `DnCNN` with the depth, the width (number of feature maps) and the batch normalisation as parameters.
# `restore` gives the image without the predicted noise. Start the weights and the bias of the last convolution at
# zero (`nn.init.zeros_`): part 4 shows why. Keep the attributes `config` and `receptive_radius`: checkpoints and
# tiling ask for them.
# %% exercise="dncnn" answer="course_utils.models.dncnn:DnCNN"
class DnCNN(nn.Module):
    """Predict the noise in an image: y -> R(y), both (N, C, H, W). The restored image is y - R(y)."""

    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}
        self.receptive_radius = depth  # why? part 7 asks
        # convolution + ReLU, then (depth - 2) times convolution + batch norm + ReLU, then a convolution
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The image without its predicted noise: (N, C, H, W) -> (N, C, H, W), not clipped."""
        raise NotImplementedError


# %%
DnCNN = cu.check("dncnn", DnCNN)
# %%
full = DnCNN()
parameters = sum(p.numel() for p in full.parameters())
print(f"{parameters:,} parameters")  # 559,363 if all is right; the convolutions keep their biases
# %% [markdown] lang="en"
# The full network takes hours on a CPU. Each pixel costs about as many multiplications as there are parameters; so
# under the `cpu` profile we train a smaller one, of the same kind.
# %%
depth, width = profile.choose(test=(4, 8), cpu=(5, 32), gpu=(17, 64))
torch.manual_seed(0)
model = DnCNN(depth=depth, width=width)
small_parameters = sum(p.numel() for p in model.parameters())
print(f"{depth} layers, {width} maps: {small_parameters:,} parameters, {parameters / small_parameters:.0f} times fewer")
# %% [markdown] lang="en"
# ## 4. What does it learn to predict?
#
# Call the original x and the scan y. What the scan added is y − x. Look at it (around grey, because it has both
# signs):
# %%
x, y = (read(path) for path in pairs[0])
added = y - x
what_was_added = (0.5 + added / 2).clamp(0, 1)
cu.compare({"scan y": y, "what was added, y − x": what_was_added, "original x": x}, mode="side")
# %%
print(f"spread of the original {x.std():.3f}, of what was added {added.std():.3f}")
print(f"a network that predicts 0 restores {psnr(y - 0 * y, x):.2f} dB: the scan itself")


# %% [markdown] lang="en"
# This is the intuition behind residual learning: what was added is smaller than the image, and a network that has
# learnt nothing, and says zero, is already as good as the scan. One that paints the image would have to learn, first
# of all, to copy its input. (That is intuition; that it trains faster and ends better is what Zhang and others
# measured.) It is also why the last convolution starts at zero.
#
# The loss follows. For N patches, with R(y) for what the network predicts:
#
# loss = 1/(2N) · Σ ‖R(y) − (y − x)‖²
#
# ### Your turn
# %% exercise="residual_loss" answer="course_utils.losses:residual_loss"
def residual_loss(predicted_noise, degraded, clean):
    """1/(2N) * sum ||R(y) - (y - x)||^2 over the N images of a batch: for networks that predict the noise.

    predicted_noise, degraded, clean: R(y), y and x, each (N, C, H, W). Returns a scalar tensor.
    """
    raise NotImplementedError


# %%
residual_loss = cu.check("residual_loss", residual_loss)
# %%
zero = torch.zeros_like(y)[None]
print(f"loss of a network that says zero: {residual_loss(zero, y[None], x[None]):.0f}")
print(f"loss of one that is always right: {residual_loss(added[None], y[None], x[None]):.0f}")
# %% [markdown] lang="en"
# **The wrong sign.** The restored image is y − R(y). Suppose that the network were perfect and somebody wrote a plus:
# %%
cu.compare(
    {"y + (y − x)": (y + added).clamp(0, 1), "y − (y − x)": (y - added).clamp(0, 1), "y": y, "x": x},
    reference="x",
)
# %% [markdown] lang="en"
# **The wrong range.** Some code scales its images to [−1, 1] for training, and clips the restored image to [0, 1],
# out of habit. What is lost? Everything darker than middle grey:
# %%
scaled = 2 * x - 1  # what a network trained in [-1, 1] would restore, at its very best
clipped = scaled.clamp(0, 1)
cu.compare({"scaled back": (clipped + 1) / 2, "original": x, "as clipped": clipped}, reference="original")


# %% [markdown] lang="en"
# One range, everywhere: in this kit it is [0, 1] from the first line to the last.
#
# ## 5. How does it learn?
#
# One step of training: clear the old gradients, run the network, take the loss, ask for gradients, let the optimiser
# move the weights.
#
# ### Your turn
#
# Write `train_step`. Call `backward(value)` for the gradients of the loss `value` (on one device it is
# `value.backward()`; with mixed precision or several GPUs it does a little more). Return the loss without what it
# keeps for gradients: `value.detach()`. (`value.item()`, the plain number, is right as well; but whoever reads a
# number makes a GPU stop until everything before it is done, so a training reads it only now and then.)
# And before anything else: `model.train()`, because batch normalisation works differently in training.
# %% exercise="train_step" answer="course_utils.training:train_step"
def train_step(model, optimizer, degraded, clean, loss=residual_loss, backward=torch.Tensor.backward):
    """Learn from one batch; returns its loss, as it was before the step.

    degraded, clean: (N, C, H, W) in [0, 1]; loss: a function of (output, degraded, clean).
    """
    raise NotImplementedError


# %%
train_step = cu.check("train_step", train_step)
# %% [markdown] lang="en"
# Before a long training, always this test: **can it learn one single batch by heart?** If not, something is wrong,
# and you know it in seconds.
# %%
torch.manual_seed(0)
trial = DnCNN(depth=4, width=16)
optimizer = torch.optim.Adam(trial.parameters(), lr=3e-3)
degraded, clean = (torch.stack(images) for images in zip(*(train[i] for i in range(4))))  # each (4, 3, p, p)
losses = [train_step(trial, optimizer, degraded, clean) for _ in range(profile.choose(test=8, cpu=150, gpu=150))]
print(f"loss: {losses[0]:.1f} at first, {losses[-1]:.1f} after {len(losses)} steps on the same four patches")
# %% [markdown] lang="en"
# ### The long run
#
# `cu.fit` repeats `train_step` on ever new patches. Now and then it restores whole validation pages and measures
# them; it keeps the best weights in a file, and with them all it needs to go on after an interruption. Interrupt it
# (the square button) and run the cell again: it continues. Once it has finished, it has nothing left to do; with
# `resume=False` it begins anew, for example after you have changed your network. On a CPU it is given a time, not a
# number of steps: the learning rate goes up and down again by the clock, so a slow computer gets to the end as well.
#
# Meanwhile you can watch: the next cell opens a comparer that stays connected to Python, and `look` gives it what the
# network makes of a page that is not among its training pages. Zoom in where you expect trouble, then start the
# training.
# %%
valid = cu.data.PairedImages(cu.data.pairs_in(folder / "valid")[:3])
scan, original = valid[0]
live = cu.CompareWidget({"DnCNN, while it learns": scan, "scan": scan, "original": original}, reference="original")
look = lambda step, scores: live.update({"DnCNN, while it learns": cu.restore(model, scan)})
live
# %%
out = Path("runs/dncnn")
settings = profile.choose(
    test={"steps": 12, "batch_size": 4, "lr": 3e-3},
    cpu={"seconds": 50, "batch_size": 8, "lr": 3e-3},
    gpu={"steps": 20_000, "batch_size": 32, "lr": 1e-3},
)
start = time.perf_counter()
history = cu.fit(model, train, valid, **settings, out=out, on_validate=look)
print(f"{time.perf_counter() - start:.0f} s; best on validation: {max(history.psnrs):.2f} dB")
# %%
cu.plot_history(history)
# %% [markdown] lang="en"
# ## 6. Which weights do we keep?
#
# The last ones? Those with the lowest training loss? Let us provoke the answer: a small network, trained on one
# single page for a while.
# %%
alone = cu.data.PairedPatches(pairs[3:4], patch=32, augment=False)
torch.manual_seed(0)
parrot = DnCNN(depth=4, width=24)
steps = profile.choose(test=8, cpu=400, gpu=2000)
parrots = cu.fit(parrot, alone, valid, steps=steps, batch_size=8, lr=3e-3, validate_every=-(-steps // 6))
cu.plot_history(parrots)


# %% [markdown] lang="en"
# The loss on the left is what the network is paid for, and it falls: the network learns this page, and this scanner,
# by heart. On pages it has not seen, the right-hand curve, the best moment is another one. So a checkpoint is chosen
# by *validation*: by pages that the training never touches.
#
# ### Your turn
#
# Write `best_step`. A history has `steps` (a list of step numbers) and `psnrs` (the validation PSNR at each of them).
# %% exercise="best_step" answer="course_utils.training:best_step"
def best_step(history):
    """The step whose validation PSNR was the highest; the first of them if several were."""
    raise NotImplementedError


# %%
best_step = cu.check("best_step", best_step)
# %%
lowest_loss = parrots.steps[int(np.argmin(parrots.losses))]
print(f"lowest training loss at step {lowest_loss}, best validation PSNR at step {best_step(parrots)}")
for step, loss, score in zip(parrots.steps, parrots.losses, parrots.psnrs):
    print(f"step {step:5}: training loss {loss:8.2f}, validation {score:.2f} dB")
# %% [markdown] lang="en"
# The file that `cu.fit` kept holds the weights of the best step and the network's settings, as plain numbers. (Not as
# a pickle: to open somebody's pickle is to run somebody's program.)
# %%
from course_utils.checkpoints import load_model

model = load_model(out / "best.safetensors", into=DnCNN(depth=depth, width=width))
print(type(model).__name__, model.config, f"from step {best_step(history)}")
# %% [markdown] lang="en"
# ## 7. Restoring a page
#
# `cu.restore` runs the network on a whole page and clips the result to [0, 1].
# %%
test_pairs = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))
scan, original = test_pairs[0]
restored = cu.restore(model, scan)
cu.compare({"scan": scan, "restored": restored, "original": original}, reference="original")
# %% [markdown] lang="en"
# Look at letters, at photographs, at white paper, each enlarged (`4`, then drag), and at the difference to the
# original (`m`). **What has the network learnt well, and what does it get wrong?** The table says what the part in
# view gained; find a part that gained nothing.
#
# **Forgotten: `model.eval()`.** In training, batch normalisation uses the mean and spread of the batch at hand;
# afterwards it should use those it has learnt. Forget to switch, and the result depends on what else is in the image.
# Forgotten as well: `torch.no_grad()`. PyTorch then keeps everything it needs for gradients that nobody will ask for.
# How much is that?
# %%
kept = []
model.train()
with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
    careless = model.restore(scan[None])[0].detach().clamp(0, 1)
model = load_model(out / "best.safetensors", into=model)  # training mode has changed the learnt statistics as well
print(f"in training mode {psnr(careless, original):.2f} dB, in evaluation mode {psnr(restored, original):.2f} dB")
print(f"{sum(kept) / 2**20:.0f} MiB kept for gradients, for an image of {scan.nbytes / 2**20:.0f} MiB")


# %% [markdown] lang="en"
# **One image at a time.** Some code restores a test set with a loop over single images. A GPU computes many pixels
# side by side and is mostly idle with one small image; a CPU is busy in any case. What is it on your device?
# %%
device = next(model.parameters()).device
windows = torch.stack([test_pairs[i][0][:, :128, :128] for i in range(len(test_pairs))]).to(device)


def seconds(restore_all):
    with torch.inference_mode():
        restore_all()  # the first call also prepares things
        start = time.perf_counter()
        restore_all().sum().item()  # asking for a number waits until it is there
        return time.perf_counter() - start


# %%
one_by_one = seconds(lambda: torch.cat([model.restore(y[None]) for y in windows]))
together = seconds(lambda: model.restore(windows))
print(f"{len(windows)} windows: one at a time {1000 * one_by_one:.0f} ms, in one batch {1000 * together:.0f} ms")


# %% [markdown] lang="en"
# ### Pages of any size
#
# A photograph of 3840 × 2160 pixels does not fit through a network in one piece on many computers. So cut it into
# tiles, restore each, and put them together. **What happens at the edges of the tiles?** Here is the honest try, with
# tiles of 64:
# %%
def restore_in_tiles(image, tiles, tile, halo):
    restored = torch.empty_like(image)
    with torch.inference_mode():
        for outer, inner in tiles(*image.shape[1:], tile, halo):
            answer = model.restore(image[:, *outer][None])[0]  # (3, h, w), halo included
            top, left = inner[0].start - outer[0].start, inner[1].start - outer[1].start
            height, width = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
            restored[:, *inner] = answer[:, top : top + height, left : left + width]
    return restored.clamp(0, 1)


# %% [markdown] lang="en"
# ### Your turn
#
# `tiles(height, width, tile, halo)` yields pairs of windows. The *inner* windows cover every pixel once. The *outer*
# window is the inner one and `halo` more pixels on each side, as far as the image reaches: the network sees the outer
# window, and only the inner part of its answer is kept. A window is a pair of slices: rows, columns.
# %% exercise="tiles" answer="course_utils.inference:tiles"
def tiles(height, width, tile, halo):
    """Cut an image into tiles: yield (outer, inner), two windows, each a pair of slices (rows, columns).

    The inner windows, at most tile x tile, cover every pixel once; the outer window is the inner one and a halo.
    """
    raise NotImplementedError


# %%
tiles = cu.check("tiles", tiles)
# %%
for halo in (0, depth // 2, depth - 1, depth):
    difference = (restore_in_tiles(scan, tiles, 64, halo) - restored).abs()
    print(f"halo {halo:2}: off by up to {255 * difference.max():8.4f} grey levels")
# %%
seams = (restore_in_tiles(scan, tiles, 64, 0) - restored).abs()
cu.show_batch({"difference with halo 0, x 8": (8 * seams).clamp(0, 1)})
# %% [markdown] lang="en"
# A pixel of the result depends on its neighbours in the input: one convolution of 3 × 3 looks one pixel further, and
# a stack of d of them looks d pixels. That is the network's receptive radius, and the halo must be as wide. One pixel
# less and a smaller seam is back; at the full radius it is gone, but for rounding.
#
# ## 8. Did it work?
#
# Now the test pages, whose photographs and words are new to the network; from the scanners it knows and from one it
# does not. **Guess first: how much will it lose on the unknown scanner?**
# %%
results = {}
for name in ("test", "unseen"):
    images = cu.data.PairedImages(cu.data.pairs_in(folder / name))
    scans, originals = zip(*(images[i] for i in range(len(images))))
    results[name] = scans, [cu.restore(model, scan) for scan in scans], originals
    for kind, shown in (("scan", scans), ("restored", results[name][1])):
        score = evaluate(shown, originals)
        measures = f"SSIM {score['ssim']:.3f}  mean Y off by {score['luma_error']:.2f}"
        print(f"{name:7} {kind:9} {score['psnr']:.2f} dB  {measures}")
# %% [markdown] lang="en"
# These are the pages that every lesson was measured on. So here is the board, from the first filters to DnCNN:
# %%
board = cu.Board("05_dncnn")
board.add("DnCNN", model)
board
# %%
scans, restored, originals = results["unseen"]
cu.compare({"unseen scanner": scans[1], "restored": restored[1], "original": originals[1]}, reference="original")
# %% [markdown] lang="en"
# The gain on the unknown scanner is real but smaller: its tint is not one that the network has met. A lesson on
# augmentation will come back to that.
#
# ### One number can be gamed
#
# The descanning competition ranks by the last column: is the *mean* luma of each page right? Here are three rivals of
# your network. The first adds one constant to each scan; the second answers each page with an even grey; the third
# hands in the original upside down.
# %%
scans, restored, originals = results["test"]
mean = lambda image: image.mean(dim=(1, 2), keepdim=True)  # (3, 1, 1)
rivals = {
    "your network": restored,
    "shifted": [(s + mean(o) - mean(s)).clamp(0, 1) for s, o in zip(scans, originals)],
    "even grey": [mean(o).expand_as(o).contiguous() for o in originals],
    "upside down": [o.flip(1) for o in originals],
}
for name, images in rivals.items():
    scores = evaluate(images, originals)
    print(f"{name:13} mean Y off by {scores['luma_error']:5.2f}   {scores['psnr']:6.2f} dB   SSIM {scores['ssim']:.3f}")
# %% [markdown] lang="en"
# (The first two were told the mean of the original, which a real one would have to guess; the point is how little it
# has to know.) By this measure, one number is worth more than a restored page, and a page upside down is perfect.
# Report PSNR and SSIM beside it, and look at the images.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - DnCNN predicts what was added, y − x, and the restored image is y − R(y).
# - Pairs by name, one range, one source of chance, each image decoded once.
# - The checkpoint is chosen by validation; restoring happens in `eval` mode, without gradients, in tiles with a halo
#   of the receptive radius.
#
# **Three common errors**
#
# 1. *The restored page is worse than the scan by many decibels.* The sign: y − R(y), not y + R(y).
# 2. *It was good in training and is poor now.* `model.eval()`; then the range of the input, then its channel order
#    (OpenCV reads blue first).
# 3. *The loss falls, and the images do not get better.* Look at three training pairs. Are they pairs?
#
# **Where to read on.** Zhang, Zuo, Chen, Meng and Zhang, *Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
# for Image Denoising* (IEEE TIP 2017). Ioffe and Szegedy, *Batch Normalization* (ICML 2015). Cha and others,
# *Descanning* (AAAI 2024).
