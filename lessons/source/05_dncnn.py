# minutes: test=0.4 cpu=3.2
# %% [markdown] lang="en"
# # DnCNN: predict what the scan added
#
# How would you teach a network to restore a scanned page? The obvious plan is to show it scans and have it paint
# originals: SRCNN did so, and ARCNN in [lesson 4](04_arcnn.ipynb). In 2017 Zhang and others asked a better question: not
# *what is the image?* but *what was added to it?* You subtract the answer, and what is left is the image. That idea is
# called residual learning, and the network is DnCNN.
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
# | 8 | What is each idea worth, where all is known about the damage? | |
# | 9 | Back to the page: did it work, and on which scanner? | |
#
# **At the end** you have trained a network that restores scanned pages which it has never seen, you know what
# residual learning and batch normalisation did for it, and you have watched a dozen mistakes happen, most of which
# really stood in somebody's code. **Time:** three minutes of computing on two CPU cores, and an hour and a half of
# yours.
#
# Where a cell says `raise NotImplementedError`, it is your turn. The cell after it checks what you wrote, and goes on
# with it if it is right; if not, with the course's own, so the lesson always runs to its end. `cu.hint("dncnn")` gives
# hints, one at a time.
# %%
import copy
import random
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from course_utils.files import CourseError
from course_utils.metrics import evaluate, psnr, ssim

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
# `rng.integers(n)` is a whole number from 0 to n − 1. `np.rot90(image, turns)` turns, `image[:, ::-1]` mirrors. With
# `augment=False` neither is done.
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
print(f"a patch from files: {1000 * from_files:.1f} ms; from the cache: {1000 * from_cache:.3f} ms")


# %% [markdown] lang="en"
# From files a patch takes 10<!-- a patch from files: ±7 --> ms, from the cache
# 0.03<!-- from the cache: ±0.05 -->. A whole step of training, on eight patches, takes about 10 ms below: with files it
# would wait for data nine tenths of its time. `PairedPatches` decodes every page once, into a file that later runs find
# again, and cuts its patches there as `random_patch` does, whole batches at a time. Sample number i depends on the seed
# and on i alone; so training can stop at any moment and go on exactly where it was.
#
# ## 3. The network
#
# DnCNN is a stack of 3 × 3 convolutions that keep the size of the image. The first makes 64 feature maps of the 3
# colours and cuts off what is negative (ReLU). Fifteen more each turn 64 maps into 64, bring every map to mean 0 and
# spread 1 over the batch (batch normalisation), and cut off again. The last makes 3 colours of the 64 maps. Why no ReLU
# at the end? Because the network predicts what was added (papers call it *noise*), and that has both signs.
#
# ### Your turn
#
# Write `DnCNN` with the depth, the width (number of feature maps) and the batch normalisation as parameters. You need
# `nn.Conv2d(maps_in, maps_out, 3, padding=1)`, `nn.BatchNorm2d(maps)` (as it comes), `nn.ReLU()`, and
# `nn.Sequential(*layers)`, which makes one module of a list of layers. `forward` gives R(y), the noise predicted for a
# scan y; `restore` gives the scan without it. Start the weights and the bias of the last convolution at zero
# (`nn.init.zeros_`): part 4 shows why. Keep the attributes `config` and `receptive_radius`: files of weights and tiling
# ask for them.
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
# <details><summary>The middle convolutions have biases, as in the paper. Could they do without?</summary>
#
# Yes. Batch normalisation subtracts the mean of each map, and a bias is part of that mean: whatever it is, it is taken
# off again. Batch normalisation then adds a constant of its own. The 960 biases are kept so that the count is the usual
# one; only the first and the last convolution, with nothing behind them to normalise, need theirs.
#
# </details>
#
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
# This is the intuition behind residual learning: what was added is smaller than the image, here a third of its spread,
# 0.125<!-- of what was added ±0.002 --> against 0.374<!-- spread of the original ±0.002 -->; and a network that has
# learnt nothing, and says zero, is already as good as the scan, at
# 18.07<!-- a network that predicts 0 restores ±0.02 --> dB. One that paints the image would have to learn, first of
# all, to copy its input. (That is intuition. Zhang and others measured that it trains faster and ends better; part 8
# measures the first on our scale.) It is also why our last convolution starts at zero; theirs starts at random.
#
# The loss follows. For N patches, with R(y) for what the network predicts:
#
# loss = 1/(2N) · Σ ‖R(y) − (y − x)‖²
#
# ‖·‖² is the sum of the squares over all channels and pixels of a patch.
#
# ### Your turn
#
# Write `residual_loss`. A batch has `len(clean)` patches; `tensor.square()` and `tensor.sum()` do the rest.
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
# <details><summary>The loss is a sum over the pixels of a patch. Take patches twice as wide and high: what becomes of
# the loss, and what of a step of training with Adam?</summary>
#
# The loss is about four times as large, and so is its gradient. Adam divides the gradient by its own usual size, so its
# steps stay as long as they were. With plain gradient descent they would be four times as long, and the learning rate
# would have to be changed with the patch.
#
# </details>
#
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
# Write `train_step`: the five things just named, in their order (`optimizer.zero_grad()`, `optimizer.step()`); the loss
# is `loss(output, degraded, clean)`. Call `backward(value)` for the gradients of the loss `value` (on one device it is
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
# From 28.2<!-- loss: ±4 --> to 3.0<!-- loss: * at first, ±1.5 -->: it can.
#
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
# The validation PSNR above goes up and down. So which: the last weights? Those with the lowest training loss? Let us
# provoke the answer: a small network, trained on one single page for a while.
# %%
alone = cu.data.PairedPatches(pairs[3:4], patch=32, augment=False)
torch.manual_seed(0)
parrot = DnCNN(depth=4, width=24)
steps = profile.choose(test=8, cpu=400, gpu=2000)
parrots = cu.fit(parrot, alone, valid, steps=steps, batch_size=8, lr=3e-3, validate_every=-(-steps // 6))
cu.plot_history(parrots)


# %% [markdown] lang="en"
# The loss on the left is what the network is paid for, and it falls to the end: the network learns this page, and this
# scanner, by heart. The right-hand curve, of pages it has not seen, has stopped rising long before. So a checkpoint is
# chosen by *validation*: by pages that the training never touches.
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
# From the second point to the last the loss falls from 9.0<!-- step 134: training loss ±0.8 --> to
# 5.3<!-- step 400: training loss ±0.6 -->, and validation gains nothing: 20.2<!-- step 134: * validation ±0.6 --> dB
# there, 20.1<!-- step 400: * validation ±0.6 --> at the end. The network that saw all training pages, for longer, got
# to 25.1<!-- best on validation: ±0.4 --> dB.
#
# The file that `cu.fit` kept holds the weights of the best step and the network's settings, as plain numbers. (Not as
# a pickle: to open somebody's pickle is to run somebody's program.)
# %%
from course_utils.checkpoints import load_model

model = load_model(out / "best.safetensors", into=DnCNN(depth=depth, width=width)).to(profile.device)
print(type(model).__name__, model.config, f"from step {best_step(history)}")
# %% [markdown] lang="en"
# ## 7. Restoring a page
#
# `cu.restore` runs the network on a whole page, in evaluation mode, and clips the result to [0, 1].
# %%
test_pairs = cu.data.PairedImages(cu.data.pairs_in(folder / "test"))
scan, original = test_pairs[0]
restored = cu.restore(model, scan)
cu.compare({"scan": scan, "restored": restored, "original": original}, reference="original")
# %% [markdown] lang="en"
# Look at letters, at photographs, at white paper, each enlarged (`4`, then drag), and at the difference to the
# original (`m`). **What has the network learnt well, and what does it get wrong?** The table says what the part in
# view gained; find a part that gained nothing. (Ours makes letters black again and takes off the dots. But whiskers
# are gone with them, and the line above the title, blue in the original, is black.)
#
# **Forgotten: `model.eval()`.** In training, batch normalisation uses the mean and spread of the batch at hand;
# afterwards it should use those it has learnt. Forget to switch, and the result depends on what else is in the image.
# Forgotten as well: `torch.no_grad()`. PyTorch then keeps everything it needs for gradients that nobody will ask for.
# How much do the two cost?
# %%
kept = []
model.train()
# PyTorch calls the first function with each tensor that it keeps for gradients: here it notes the size
with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
    careless = model.restore(scan[None].to(profile.device))[0].detach().cpu().clamp(0, 1)
model = load_model(out / "best.safetensors", into=model)  # training mode has changed the learnt statistics as well
print(f"in training mode {psnr(careless, original):.2f} dB, in evaluation mode {psnr(restored, original):.2f} dB")
print(f"kept for gradients: {sum(kept) / 2**20:.0f} MiB, for an image of {scan.nbytes / 2**20:.0f} MiB")


# %% [markdown] lang="en"
# 26<!-- in evaluation mode ±0.5 --> dB have become 21<!-- in training mode ±3 -->: most of what was learnt is lost, and
# no error says so. (Part 8 looks into it.) And 355<!-- kept for gradients: ±20 --> MiB are kept for an image of 3.
#
# **One image at a time.** Some code restores a test set with a loop over single images. A GPU computes many pixels
# side by side and is mostly idle with one small image; a CPU is busy in any case. What is it on your device?
# %%
windows = torch.stack([test_pairs[i][0][:, :128, :128] for i in range(len(test_pairs))]).to(profile.device)


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
print(f"the batch took {together / one_by_one:.1f} times as long")


# %% [markdown] lang="en"
# On our two cores it makes no difference: the batch took 1.0<!-- the batch took ±0.7 --> times as long. On a GPU it does.
#
# ### Pages of any size
#
# A photograph of 3840 × 2160 pixels does not fit through a network in one piece on many computers. So cut it into
# tiles, restore each, and put them together. **What happens at the edges of the tiles?** The next cell restores and puts
# together; the cutting is yours.
# %%
def restore_in_tiles(image, tiles, tile, halo):
    restored = torch.empty_like(image)
    with torch.inference_mode():
        for outer, inner in tiles(*image.shape[1:], tile, halo):
            answer = model.restore(image[:, *outer][None].to(profile.device))[0]  # (3, h, w), halo included
            top, left = inner[0].start - outer[0].start, inner[1].start - outer[1].start
            height, width = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
            restored[:, *inner] = answer[:, top : top + height, left : left + width]
    return restored.clamp(0, 1)


# %% [markdown] lang="en"
# ### Your turn
#
# `tiles(height, width, tile, halo)` yields pairs of windows. The *inner* windows cover every pixel once. The *outer*
# window is the inner one and `halo` more pixels on each side, as far as the image reaches: the network sees the outer
# window, and only the inner part of its answer is kept. A window is a pair of slices, rows and columns, each
# `slice(start, stop)`; the last tile of a row or column may be smaller. Return a list of such pairs, or `yield` each.
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
# Without a halo the tiles stand out by up to 70<!-- halo 0: off by up to ±45 --> grey levels. A pixel of the result
# depends on its neighbours in the input: one convolution of 3 × 3 looks one pixel further, and a stack of d of them
# looks d pixels. That is why `receptive_radius` is the depth, and the halo must be as wide: here 5. One pixel less and
# a smaller seam is back, of up to 11<!-- halo 4: off by up to ±10 --> grey levels; at 5 it is gone, but for rounding,
# 0.0001<!-- halo 5: off by up to ±0.001 -->.
#
# <details><summary>The halo is computed and thrown away. How much work is that with the full network, of radius 17, and
# tiles of 64? With tiles of 512?</summary>
#
# The network sees (64 + 34)² pixels to keep 64²: 2.3 times as many. With tiles of 512 it is 1.14 times. So tiles are
# made as large as the memory allows.
#
# </details>
#
# ## 8. Noise of known strength
#
# A scan is half a dozen kinds of damage in one, none of known strength. DnCNN was made for something simpler: **Gaussian
# noise**, y = x + n. Each pixel gets a random number of its own, of mean 0 and standard deviation σ, in grey levels.
# Here everything is known: pairs can be made without end, R(y) should be n, and there are published figures to stand
# beside. So this is the place to ask of each of DnCNN's ideas what it is worth.
#
# `GaussianNoise(25)` is a degradation, as `Jpeg` was in lesson 4: `y = GaussianNoise(25)(x, rng)`. We take the grey
# versions of the course's photographs, whole ones to train on and the middle of the others to measure; and Set12, the
# papers' twelve grey images, where it is.
# %%
from course_utils.colour import rgb_to_ycbcr
from course_utils.degrade import GaussianNoise

side = profile.choose(test=64, cpu=256, gpu=256)
grey = lambda photo: cu.to_array(rgb_to_ycbcr(cu.to_tensor(photo), full_range=True)[:1])  # uint8 (H, W, 1)


def middle(array):
    top, left = ((length - side) // 2 for length in array.shape[:2])
    return cu.to_tensor(array[top : top + side, left : left + side])  # (1, side, side)


# %%
greys = {edition: [grey(p) for p in cu.data.photographs(edition).values()] for edition in ("train", "valid", "test")}
valids, photos = ([middle(array) for array in greys[edition]] for edition in ("valid", "test"))
set12 = [cu.to_tensor(array)[:1] for array in cu.data.standard_set("Set12").values()]  # as RGB, all channels alike
sets = {"photographs": photos} | ({"Set12": set12[: profile.choose(test=1, cpu=12, gpu=12)]} if set12 else {})
print("Set12 is", f"here, {len(set12)} images" if set12 else "not here: see the README")


# %% [markdown] lang="en"
# **What lies beyond white?** White paper and noise of 25 give 280 here and there. An image file cannot hold that, and
# clips it to 255. The papers do not clip. How much does it matter? (The kit's `psnr` refuses values outside [0, 1], so
# here is one that does not.)
# %%
def decibels(y, x):
    return -10 * (y - x).square().mean().log10().item()


def noisy(images, sigma, clip=False):
    """Each image with noise of its own, the same at every call."""
    return [GaussianNoise(sigma, clip)(image, np.random.default_rng(i)) for i, image in enumerate(images)]


for name, images in sets.items():
    for sigma in (25, 50):
        loud, clipped = (np.mean([*map(decibels, noisy(images, sigma, clip), images)]) for clip in (False, True))
        print(f"{name}, sigma {sigma}: as in the papers {loud:.2f} dB, clipped {clipped:.2f} dB")


# %% [markdown] lang="en"
# On Set12 clipping alone makes the *noisy* images better, at σ = 50 from
# 14.16<!-- Set12, sigma 50: as in the papers ±0.01 --> to 14.77<!-- Set12, sigma 50: * clipped ±0.01 --> dB. A
# comparison in which one side clips and the other does not has a winner before it begins. So we do as the papers do,
# and only the result is clipped.
#
# Now train: a network of one channel, somewhat deeper than the page's. (Validation images are clipped, since `cu.fit`
# takes no others.)
# %%
noise_settings = profile.choose(
    test={"steps": 6, "batch_size": 4, "lr": 3e-3},
    cpu={"steps": 2000, "batch_size": 8, "lr": 3e-3},
    gpu={"steps": 10_000, "batch_size": 16, "lr": 1e-3},
)
grey_depth, grey_width = profile.choose(test=(4, 8), cpu=(7, 32), gpu=(17, 64))


# %%
def trained_on(sigma, levels):
    """A grey DnCNN, trained on noise of this sigma (or of a range) and validated on one level for each image."""
    torch.manual_seed(0)
    network = DnCNN(channels=1, depth=grey_depth, width=grey_width)
    patches = cu.data.Patches(greys["train"], degradation=GaussianNoise(sigma, clip=False), patch=train.patch)
    pairs = [(noisy([image], level, clip=True)[0], image) for image, level in zip(valids, levels)]
    history = cu.fit(network, patches, pairs, **noise_settings)
    print(f"{1000 * history.seconds[-1] / history.steps[-1]:.0f} ms a step, {history.seconds[-1]:.0f} s in all")
    print(f"{grey_depth} layers, grey: {sum(p.numel() for p in network.parameters()):,} parameters")
    return network


# %%
at_25 = trained_on(25, levels=(25, 25, 25))


# %%
def denoise(network, ys):
    """What the network, in the mode it is in, makes of each y, (1, H, W): clipped at the end, not before."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        return [network.restore(y[None].to(device))[0].clamp(0, 1).cpu() for y in ys]


at_25.eval()
for name, images in sets.items():
    result = np.mean([*map(psnr, denoise(at_25, noisy(images, 25)), images)])
    print(f"{name}, sigma 25, restored: {result:.2f} dB")
# %%
ys = noisy(photos, 25)
restored = denoise(at_25, ys)
cu.compare({"noise, σ = 25": ys[1].clamp(0, 1), "restored": restored[1], "original": photos[1]}, reference="original")
# %% [markdown] lang="en"
# On Set12 20.18<!-- Set12, sigma 25: as in the papers ±0.01 --> dB have become
# 29.33<!-- Set12, sigma 25, restored: ±0.15 -->, in half a minute. The authors' DnCNN, with 17 layers and far more
# training, reaches 30.44. Of its ten decibels ours has nine, with 47,169<!-- 7 layers, grey: ±0 --> parameters, a
# twelfth of theirs. **What is in the tenth?** Look at the cat: the eyes are clean and their rims firm. The fur around
# them is painted smooth, and whiskers break off halfway.
#
# ### Two of the mistakes again, where all is known
# %%
with torch.inference_mode():
    predicted = [at_25(y[None].to(next(at_25.parameters()).device))[0].cpu() for y in ys]
for name, sign in (("y - R(y)", -1), ("y + R(y)", 1)):
    print(f"{name}: {np.mean([psnr((y + sign * r).clamp(0, 1), x) for y, r, x in zip(ys, predicted, photos)]):.2f} dB")
# %% [markdown] lang="en"
# With a plus, 15.2<!-- y + R(y): ±0.3 --> dB in place of 30.5<!-- y - R(y): ±0.15 -->, and five below the noisy image.
#
# <details><summary>Why 15? You have seen nearly that figure above.</summary>
#
# If R(y) were exactly n, then y + R(y) would be x + 2n: noise of 50. The figure above for that, clipped, is 14.77 dB.
# The network takes off a little less than all of the noise, so the sum is a little better.
#
# </details>
#
# Now `eval()` forgotten. The second line of each mode asks what a result depends on: a quarter of the cat's photograph
# is restored as part of the whole, and cut out beforehand. Do the two agree, away from the cut?
# %%
forgetful = copy.deepcopy(at_25).train()  # a copy: in training mode, restoring changes the statistics that were learnt
for name, network in (("evaluation mode", at_25), ("training mode", forgetful)):
    images = denoise(network, ys)
    print(f"{name}: {np.mean([*map(psnr, images, photos)]):.2f} dB, SSIM {np.mean([*map(ssim, images, photos)]):.3f}")
    whole, part = denoise(network, [ys[1], ys[1][:, : side // 2, : side // 2]])
    off = 255 * (whole[:, : side // 4, : side // 4] - part[:, : side // 4, : side // 4]).abs().mean()
    print(f"{name}: the same corner, alone or within its photograph, differs by {off:.2f} grey levels")
# %% [markdown] lang="en"
# Left in training mode the network loses 0.7 dB, from 30.45<!-- evaluation mode: ±0.15 --> to
# 29.72<!-- training mode: ±0.5 -->, and SSIM falls from 0.822<!-- evaluation mode: * SSIM ±0.01 --> to
# 0.788<!-- training mode: * SSIM ±0.02 -->. (With the authors' 17 layers it is 1 dB.) The other lines say what happens:
# the same pixels come out 1.0<!-- training mode: the same corner, * differs by ±0.7 --> grey levels different on
# average when other things stand beside them, because mean and spread are those of *this one image*. In evaluation mode
# the difference is 0.00<!-- evaluation mode: the same corner, * differs by ±0.005 -->. On the page of part 7 it cost
# about four decibels. (We think that is because a page, mostly white, is less like a batch of patches than a
# photograph is.)
#
# ### What if the noise is stronger, or weaker?
#
# Nobody tells you the σ of a photograph. **Guess: our network has seen 25 and nothing else. What does it do at 15, and
# at 50?** Beside it, a network of equal size and equally many steps for which each patch draws a σ of its own between 0
# and 55. Zhang and others call it DnCNN-B, B for blind.
# %%
blind = trained_on((0, 55), levels=(15, 25, 50)).eval()
# %%
levels = profile.choose(test=(15, 50), cpu=(5, 15, 25, 35, 50), gpu=(5, 15, 25, 35, 50))
curves = {"noisy": [], "trained at 25": [], "trained at 0 to 55": []}
for sigma in levels:
    ys = noisy(photos, sigma)
    shown = [ys, denoise(at_25, ys), denoise(blind, ys)]
    for curve, images in zip(curves.values(), shown):
        curve.append(np.mean([*map(decibels, images, photos)]))
    spread = 255 * np.mean([(y - r).std() for y, r in zip(ys, shown[1])])
    scores = ", ".join(f"{name} {curve[-1]:.2f} dB" for name, curve in curves.items())
    print(f"sigma {sigma}: {scores}; the first takes off noise of {spread:.0f}")
# %%
figure = Figure(figsize=(7.5, 4.2), layout="constrained")
axes = figure.subplots()
for (name, curve), style in zip(curves.items(), ("x:", "o-", "s--")):
    axes.plot(levels, curve, style, color="black", label=name, markerfacecolor="white" if "to" in name else "black")
axes.set(xlabel="σ of the noise (grey levels)", ylabel="PSNR (dB)")
axes.legend()
axes.grid(alpha=0.3)
cu.Picture(
    figure,
    "PSNR against the strength of noise: noisy; trained at 25, best there; trained at 0 to 55, above at both ends",
)
# %% [markdown] lang="en"
# At 25 the network that knows nothing else (filled circles) is ahead,
# 30.5<!-- sigma 25: * trained at 25 ±0.2 --> against 29.7<!-- sigma 25: * trained at 0 to 55 ±0.2 --> dB. On both sides
# it loses. At 15 the blind one has 32.1<!-- sigma 15: * trained at 0 to 55 ±0.2 --> to its
# 30.9<!-- sigma 15: * trained at 25 ±0.3 -->; at 5 it makes the image *worse*, from 34.2<!-- sigma 5: noisy ±0.05 -->
# to 30.9<!-- sigma 5: * trained at 25 ±0.6 --> dB; and at 50 it is left with
# 17.5<!-- sigma 50: * trained at 25 ±0.6 --> dB, where the blind one has
# 26.0<!-- sigma 50: * trained at 0 to 55 ±0.3 -->.
#
# The end of each printed line says how much it takes off. Of noise of 5 that is
# 9<!-- sigma 5: * takes off noise of ±1.5 -->: the excess was texture. Of 50 it takes off
# 20<!-- sigma 50: * takes off noise of ±3 -->, *less* than of 25. (We think that is because neighbours which differ by
# a hundred grey levels were hardly ever noise in its training, so it takes them for image.) See that for yourself:
# %%
ys = noisy(photos, 50)
strong = {"noise, σ = 50": ys[1].clamp(0, 1)}
strong |= {name: denoise(net, ys)[1] for name, net in (("trained at 25", at_25), ("trained at 0 to 55", blind))}
cu.compare(strong | {"original": photos[1]}, reference="original")
# %%
for sigma in (15, 25, 50) if set12 else ():
    ys = noisy(sets["Set12"], sigma)
    scores = [np.mean([*map(psnr, denoise(network, ys), sets["Set12"])]) for network in (at_25, blind)]
    print(f"Set12, sigma {sigma}: trained at 25 {scores[0]:.2f} dB, trained at 0 to 55 {scores[1]:.2f} dB")


# %% [markdown] lang="en"
# On the right is what the network of 25 leaves of noise of 50: softer grain, but grain. (`trained at 0 to 55` is in the
# list above the image.) On Set12 the blind network has 30.8<!-- Set12, sigma 15: * trained at 0 to 55 ±0.2 -->,
# 28.5<!-- Set12, sigma 25: * trained at 0 to 55 ±0.2 --> and 25.1<!-- Set12, sigma 50: * trained at 0 to 55 ±0.3 --> dB
# at 15, 25 and 50; the authors' three specialists have 32.86, 30.44 and 27.18. Being blind costs ours 0.8 dB at 25, in
# equally many steps. In the authors' own, long training it costs next to nothing: on another set of photographs, BSD68,
# 29.23 dB become 29.16, with 20 layers in place of 17.
#
# <details><summary>The blind network is not told σ, and yet it must know. How could one read σ off a noisy
# photograph?</summary>
#
# Where the image is flat, neighbouring pixels differ by noise alone, and the spread of their difference is √2 · σ. Most
# photographs are flat at most places; so take the *median* size of all differences, which a few edges cannot move.
# (Where the noise is weak it answers too much: fur then passes for noise.)
#
# </details>
#
# ### Is it really better to predict the noise?
#
# Part 4 left that as intuition. To measure it, we need one thing changed and all else equal. `Painter` has DnCNN's
# layers, and gives the image itself. Its loss is the very same error of the restored image. But what about the start? A
# last layer of zeros gives DnCNN the noisy image to begin with, and the painter a black one: no fair start. So both
# begin as PyTorch begins any convolution, at random; and DnCNN is trained once more from zeros, to see what *that* is
# worth. All of it with batch normalisation and without, since the paper says that the two ideas help each other.
# %%
class Painter(DnCNN):
    """The same layers, asked for the image: y -> x."""

    def restore(self, y):
        return self(y)


def painted_loss(image, degraded, clean):
    return residual_loss(degraded - image, degraded, clean)  # the error of the restored image, as for DnCNN


# %%
short = profile.choose(
    test={"steps": 4, "batch_size": 4, "lr": 3e-3},
    cpu={"steps": 300, "batch_size": 8, "lr": 3e-3},
    gpu={"steps": 1000, "batch_size": 16, "lr": 1e-3},
)
short_valid = list(zip(noisy(valids, 25, clip=True), valids))
seeds = profile.choose(test=(0,), cpu=(0, 1, 2), gpu=(0, 1, 2))


# %%
def short_run(kind, batch_norm, zeros, seed):
    """The history of a short training at σ = 25."""
    torch.manual_seed(seed)
    network = kind(channels=1, depth=depth, width=width, batch_norm=batch_norm)
    for layer in () if zeros else network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()  # at random, as PyTorch does it
    noise = GaussianNoise(25, clip=False)
    patches = cu.data.Patches(greys["train"], degradation=noise, patch=train.patch, seed=seed)
    loss = residual_loss if kind is DnCNN else painted_loss
    return cu.fit(network, patches, short_valid, **short, loss=loss, progress=False)


# %%
kinds = (("image, random", Painter, False), ("noise, random", DnCNN, False), ("noise, zeros", DnCNN, True))
runs = {}
for batch_norm in (True, False):
    for name, kind, zeros in kinds:
        name += ", batch norm" if batch_norm else ", no batch norm"
        runs[name] = [short_run(kind, batch_norm, zeros, seed) for seed in seeds]
        took = np.mean([1000 * run.seconds[-1] / run.steps[-1] for run in runs[name]])
        print(f"{name}: {cu.with_spread([run.psnrs[-1] for run in runs[name]])} dB, {took:.0f} ms a step")
# %%
figure = Figure(figsize=(10, 4.4), layout="constrained")
for axes, end in zip(figure.subplots(1, 2, sharey=True), (", batch norm", ", no batch norm")):
    for (name, *_), style, fill in zip(kinds, ("s:", "o--", "o-"), ("black", "white", "black")):
        for run in runs[name + end]:
            label = name if run is runs[name + end][0] else None
            axes.plot(run.steps, run.psnrs, style, color="black", markerfacecolor=fill, label=label)
    axes.set(xlabel="steps", title=end[2:], ylim=profile.choose(test=None, cpu=(20, 29), gpu=None))
    axes.grid(alpha=0.3)
axes.legend(loc="lower right")
figure.axes[0].set_ylabel("PSNR of validation images (dB)")
cu.Picture(figure, "PSNR against steps: predicting the noise is above painting the image with batch norm and without")
# %% [markdown] lang="en"
# A line for each seed; a few points lie below the left panel. Three things can be read off.
#
# - **Noise or image?** From a random start, predicting the noise is ahead. Without batch normalisation it is
#   clear: 27.8<!-- noise, random, no batch norm: ±0.25 --> against 26.6<!-- image, random, no batch norm: ±0.25 --> dB,
#   with spreads of a tenth. With it, 26.4<!-- noise, random, batch norm: ±0.4 --> against
#   25.4<!-- image, random, batch norm: ±1 -->, but the painters' three seeds spread by as much as that.
# - **Zeros?** With batch normalisation they are worth two decibels, 28.4<!-- noise, zeros, batch norm: ±0.25 -->.
#   Without it, nothing: 27.7<!-- noise, zeros, no batch norm: ±0.25 -->, within the spread of a random start.
# - **Batch normalisation?** From zeros it gains 0.7 dB. From a random start it *loses* more than one. So "does it help?"
#   has no answer by itself: here it pays with a good start and not otherwise.
#
# That is one small network, one learning rate and 300 steps, in which the faster one is ahead. What Zhang and others
# say of the *end* of a long training, where both ideas help each other, it neither confirms nor refutes.
#
# ## 9. Back to the page: did it work?
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
# From the scanners that it knows, 19.51<!-- test scan ±0.01 --> dB become 26.0<!-- test restored ±0.5 -->: 6.5 gained.
# From the unknown one, 18.80<!-- unseen scan ±0.01 --> become 23.5<!-- unseen restored ±0.8 -->: between four and five.
# Here is the board, with all that you have put on it since the first filters:
# %%
board = cu.Board("05_dncnn")
board.add("DnCNN", model)
board
# %%
scans, restored, originals = results["unseen"]
cu.compare({"unseen scanner": scans[1], "restored": restored[1], "original": originals[1]}, reference="original")
# %% [markdown] lang="en"
# The gain on the unknown scanner is real but smaller. It is part 8 again: damage that no training has shown, here of
# another tint and other dots. There, a range of strengths in training helped. Can one train for a range of *scanners*,
# without having them? [Lesson 6](06_augmentation.ipynb) tries.
#
# ### One number can be gamed
#
# In [lesson 1](01_pixels_and_metrics.ipynb) you cheated the measure of the descanning competition, the error of the
# *mean* luma. Does your network beat one number at least? The rival adds one constant to each scan.
# %%
scans, restored, originals = results["test"]
mean = lambda image: image.mean(dim=(1, 2), keepdim=True)  # (3, 1, 1)
rivals = {
    "your network": restored,
    "shifted": [(s + mean(o) - mean(s)).clamp(0, 1) for s, o in zip(scans, originals)],
}
for name, images in rivals.items():
    scores = evaluate(images, originals)
    print(f"{name:13} mean Y off by {scores['luma_error']:5.2f}   {scores['psnr']:6.2f} dB   SSIM {scores['ssim']:.3f}")
# %% [markdown] lang="en"
# By this measure one number, with 0.16<!-- shifted mean Y off by ±0.02 -->, is worth more than your restored pages,
# with 1.2<!-- your network mean Y off by ±0.9 --> grey levels. (The rival was told the mean of the original, which a
# real one would have to guess.) Report PSNR and SSIM beside it, and look at the images.
#
# ## What you have done
# %%
cu.progress()
# %% [markdown] lang="en"
# ## Summary
#
# - DnCNN predicts what was added, y − x, and the restored image is y − R(y). After 300 steps that was 1 dB ahead of
#   painting the image; a last layer of zeros and batch normalisation pay *together*.
# - Pairs by name, one range, one source of chance, each image decoded once.
# - The checkpoint is chosen by validation; restoring happens in `eval` mode, without gradients, in tiles with a halo
#   of the receptive radius.
# - After 50 seconds scans of known scanners gain 6.5<!-- DnCNN: * dB ( ±0.4 --> dB, those of an unknown one more than 4.
# - On Gaussian noise of 25 half a minute brings 29.33<!-- Set12, sigma 25, restored: ±0.15 --> dB on Set12 (published:
#   30.44). The same network on noise of 50: 17.4<!-- Set12, sigma 50: trained at 25 ±0.6 -->. Trained on a range, it has
#   25.1<!-- Set12, sigma 50: * trained at 0 to 55 ±0.3 --> there and pays with 0.8 dB at 25.
#
# **Three common errors**
#
# 1. *The restored page is worse than the scan by many decibels.* The sign: y − R(y), not y + R(y), which gave
#    15.2<!-- y + R(y): ±0.3 --> dB.
# 2. *It was good in training and is poor now.* `model.eval()`, here worth 0.7 to 4 dB; then the range of the input,
#    then its channel order (OpenCV reads blue first).
# 3. *The loss falls, and the images do not get better.* Look at three training pairs. Are they pairs?
#
# **Where to read on.** Zhang, Zuo, Chen, Meng and Zhang, *Beyond a Gaussian Denoiser: Residual Learning of Deep CNN
# for Image Denoising* (IEEE TIP 2017). Ioffe and Szegedy, *Batch Normalization* (ICML 2015). Cha and others,
# *Descanning* (AAAI 2024). Zhang, Zuo and Zhang, *FFDNet* (IEEE TIP 2018), tells the network σ instead of hiding it.
# Next in this course: [lesson 6](06_augmentation.ipynb), on what can be had without new data.
