"""Train a restoration network: one step, a whole run, and what to keep of it.

A run of so many steps is a pure function of its arguments: the learning rate and the samples of a step depend on the
step alone. So a run that was stopped, whatever stopped it, goes on where it was and ends with the weights of an
unbroken one. A run of so many seconds goes on as well, but how far it comes depends on the machine.
"""

import contextlib
import itertools
import json
import math
import signal
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from course_utils.checkpoints import load_state, read_state, save_model, save_state
from course_utils.files import CourseError, atomic
from course_utils.images import as_floats, check_image
from course_utils.inference import enlarged, enlargement, restore
from course_utils.losses import residual_loss
from course_utils.metrics import evaluate
from course_utils.processor import fastest_precision, memory_kept


def train_step(model, optimizer, degraded, clean, loss=residual_loss, backward=torch.Tensor.backward):
    """Learn from one batch; returns its loss, as it was before the step.

    It is a tensor of one number, without what it kept for gradients. Whoever reads the number makes a GPU wait until
    all its work is done, so it is not read here.

    Args:
        model: the network, (N, C, H, W) -> (N, C, H, W).
        optimizer: over the network's parameters.
        degraded, clean: (N, C, H, W) in [0, 1], on the network's device.
        loss: a function of (output, degraded, clean), see course_utils.losses.
        backward: what computes the gradients of a loss; mixed precision and several processes bring their own.
    """
    model.train()  # batch norm: normalise with this batch, and learn its statistics
    optimizer.zero_grad()  # gradients add up otherwise
    output = model(degraded)  # (N, C, H, W)
    value = loss(output, degraded, clean)
    backward(value)
    optimizer.step()
    return value.detach()


def validate(model, pairs):
    """Restore whole images, in evaluation mode and without gradients, and measure them; the network keeps its mode.

    Args:
        model: the network.
        pairs: (degraded, clean), float (C, H, W) in [0, 1], of any sizes: a list, or a data set with a length. Both
            of one shape; for a network that enlarges, the clean image is `model.scale` times higher and wider.

    Returns:
        {"psnr": dB, "ssim": at most 1, "luma_error": grey levels}, each the mean over the images.
    """
    scores = []
    for i in range(len(pairs)):
        degraded, clean = pairs[i]
        restored = restore(model, degraded)  # (C, H, W)
        scores.append(evaluate([restored], [clean]))
    return {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}


def best_step(history):
    """The step whose validation PSNR was the highest; the first of them if several were.

    Not the step with the lowest training loss: that falls on while the network learns its training images by heart.

    Raises:
        CourseError: no validation yet.
    """
    if not history.steps:
        raise CourseError("there was no validation yet, so no step is the best; train for more steps")
    best = 0
    for i, psnr in enumerate(history.psnrs):
        if psnr > history.psnrs[best]:
            best = i
    return history.steps[best]


def learning_rate(progress, lr=1e-3):
    """Up in a straight line to `lr` over the first tenth of the training, then down half a cosine to 0 at its end.

    Goyal et al., "Accurate, Large Minibatch SGD", 2017 (the rise); Loshchilov and Hutter, "SGDR", ICLR 2017 (the fall).

    Args:
        progress: the part of the training that is done, 0 to 1, in steps or in time.
        lr: the highest learning rate.
    """
    if progress < 0.1:
        return lr * progress / 0.1
    return lr * (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2


@dataclass
class History:
    """What a training went through: one entry per validation."""

    steps: list = field(default_factory=list)  # how many steps had been made
    losses: list = field(default_factory=list)  # mean training loss since the validation before
    scores: list = field(default_factory=list)  # what `validate` gave: psnr, ssim, luma_error
    seconds: list = field(default_factory=list)  # since the training began, pauses left out

    @property
    def psnrs(self):
        return [score["psnr"] for score in self.scores]

    @property
    def best_step(self):
        return best_step(self)

    def to_json(self):
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text):
        return cls(**json.loads(text))


def fit(
    model,
    train,
    valid,
    *,
    steps=None,
    seconds=None,
    batch_size=16,
    lr=1e-3,
    loss=residual_loss,
    out=None,
    validate_every=None,
    patience=None,
    save_every=None,
    seed=0,
    precision="auto",
    compile=False,
    workers=0,
    resume=True,
    progress=True,
    on_validate=None,
):
    """Train a network with Adam and a falling learning rate; keep the weights with the best validation PSNR.

    Give it a number of steps, the same on every machine, or of seconds: then the learning rate follows the clock, and
    a slow machine finishes its schedule as a fast one does, after fewer steps.

    The folder `out` gets best.safetensors (a model, see checkpoints.load_model), last.safetensors (the state to go on
    from) and history.json. Started again with the same folder and settings, training goes on from the last state; on
    a CPU a training of so many steps ends with the weights, bit for bit, of a run that was never stopped. Ctrl-C saves
    first. Whether the data are the same as before is not checked.

    Under `accelerate launch --multi_gpu` (CPUs too) or `torchrun` the processes share each batch and average their
    gradients: they do what one process does, up to rounding. Batch norm is the exception: each process normalises with
    its own share of the batch, and the statistics of the main one are kept. On several GPUs keep that share large, or
    first convert the network with torch.nn.SyncBatchNorm.convert_sync_batchnorm. All must see the folder `out`.

    Args:
        model: the network; it ends on the device of the training, with the best weights.
        train: `train[i]`, for every i >= 0, is a pair (degraded, clean), float32 (C, p, p) in [0, 1], that depends on i
            alone, as in data.PairedPatches (noise may take the degraded one out of [0, 1]). For a network with an
            attribute `scale` the clean image is so many times higher and wider. Step s takes the samples
            s * batch_size ... (s + 1) * batch_size - 1, all at once if there is a method `batch(numbers)`.
        valid: whole images to measure on, see `validate`.
        steps: how many batches to learn from; or
        seconds: for how long, validations on the way included; the last one comes on top.
        batch_size: of all processes together.
        lr: the highest learning rate, see `learning_rate`.
        loss: a function of (output, degraded, clean), see course_utils.losses.
        out: a folder for what the training leaves; None keeps nothing on disk.
        validate_every: steps between validations, by default a tenth of the training; there is always one at the end.
        patience: stop after this many validations in a row without a better one; None never does.
        save_every: also save the state each so many steps; it is saved at every validation.
        seed: of layers that draw at random, such as dropout. The caller's random numbers are left alone.
        precision: "no" (float32), "bf16" or "fp16", of training; "auto" takes what is fastest here, or what the state
            in `out` was trained with. Validation is in float32.
        compile: let torch.compile make one program of the network; worth its minute in long trainings.
        workers: processes that load data.
        resume: go on from the state in `out`; False begins anew and removes it.
        progress: show a bar.
        on_validate: called with (step, scores) after each validation, on the main process.

    Returns:
        History. `history.best_step` is the step whose weights the model holds.

    Raises:
        CourseError: empty or misshapen data, an impossible setting, a state of other settings, a loss that is NaN.
    """
    settings = {
        "network": type(model).__name__,
        "configuration": getattr(model, "config", None),
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "steps": steps,
        "seconds": seconds,
        "batch_size": batch_size,
        "lr": lr,
        "validate_every": validate_every,
        "patience": patience,
        "seed": seed,
    }
    _check_settings(settings, precision, save_every)
    _check_data(train, valid, last=(steps or 10**6) * batch_size - 1, scale=enlargement(model))
    settings["precision"] = _precision(precision, out, resume)
    run = _Run(model, settings, loss, out)
    try:
        with run.own_random_numbers(), run.saved_on_interrupt(), memory_kept():
            run.begin(resume, compile)
            _train(run, train, valid, workers, save_every, progress, on_validate)
            run.share_best()
    finally:
        run.end()
    return run.history


def _train(run, train, valid, workers, save_every, progress, on_validate):
    """The loop: a step, and now and then a validation."""
    batches = iter(_batches(run, train, workers))
    with _bar(run, progress) as bar:
        while not (run.is_done() or run.is_out_of_patience()):
            run.learn(*next(batches))
            if run.step % run.read_every == 0:
                bar.set_postfix(run.figures(), refresh=False)
            bar.update(run.units() - bar.n)
            if run.is_time_to_validate():
                run.measure(valid)
                if on_validate is not None and run.accelerator.is_main_process:
                    with _as_it_was(run.model):
                        on_validate(run.step, run.history.scores[-1])
            elif save_every is not None and run.step % save_every == 0:
                run.save()
            run.stop_if_asked()


class _Batched(Dataset):
    """Whole batches: `ds[numbers]` are the samples of these numbers, (degraded, clean)."""

    def __init__(self, samples):
        self.samples = samples

    def __getitem__(self, numbers):
        if hasattr(self.samples, "batch"):
            return self.samples.batch(numbers)
        return _stack([self.samples[i] for i in numbers])


def _batches(run, train, workers):
    """The batches from the current step on: of each, the share of this process."""
    size, rank, processes = run.settings["batch_size"], run.accelerator.process_index, run.accelerator.num_processes
    share, end = size // processes, run.settings["steps"]
    steps = itertools.count(run.step) if end is None else range(run.step, end)
    firsts = (step * size + rank * share for step in steps)
    return DataLoader(
        _Batched(train),
        batch_size=None,  # they are batches already
        sampler=(range(first, first + share) for first in firsts),
        num_workers=workers,
        pin_memory=run.accelerator.device.type == "cuda",  # copied to the GPU while that computes
        generator=torch.Generator().manual_seed(run.settings["seed"]),  # of the workers
    )


def _stack(samples):
    """[(degraded, clean), ...], each (C, p, p) -> two batches, (N, C, p, p)."""
    degraded, clean = zip(*samples, strict=True)
    for images in (degraded, clean):
        shapes = {tuple(image.shape) for image in images}
        if len(shapes) > 1:
            raise CourseError(f"the patches of one batch have the shapes {sorted(shapes)}; crop all to one size")
    return torch.stack(degraded), torch.stack(clean)


def _bar(run, progress):
    from tqdm.auto import tqdm

    hidden = not (progress and run.accelerator.is_main_process)
    steps, seconds = run.settings["steps"], run.settings["seconds"]
    kind = {"total": steps, "unit": "step"}
    if seconds is not None:  # a rate would be of seconds per second
        kind = {"total": round(seconds), "bar_format": "{l_bar}{bar}| {n_fmt}/{total_fmt} s{postfix}"}
    return tqdm(**kind, initial=run.units(), desc="training", disable=hidden)


class _Run:
    """A training under way: what it has come to (all that last.safetensors holds), and the way there and back."""

    def __init__(self, model, settings, loss, out):
        self.accelerator = _accelerator(settings["precision"])
        processes, size = self.accelerator.num_processes, settings["batch_size"]
        if size % processes:
            raise CourseError(f"batch_size={size} cannot be shared by {processes} processes; take a multiple of them")
        self.device = self.accelerator.device
        self.model, self.settings = model, settings
        self.loss = loss.to(self.device) if isinstance(loss, torch.nn.Module) else loss
        self.out = None if out is None else Path(out)
        self.step, self.history, self.best = 0, History(), None
        self.elapsed, self.learning = 0.0, 0.0  # seconds, pauses left out: in all, and of that in steps
        self.read_every = 1 if self.device.type == "cpu" else 20  # reading the loss makes a GPU wait
        self.loss_sum, self.loss_count = torch.zeros((), device=self.device), 0  # since the last validation
        self.whole = False  # whether all of the above belongs to one and the same step, and may be saved
        self.asked_to_stop = False

    def begin(self, resume, compile=False):
        """Move the network to its device and take up the saved state, if there is one and it is to be used."""
        # The channels of a pixel side by side is how convolutions want them; in any other order they rearrange first.
        self.model.to(self.device, memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.settings["lr"], fused=True)  # all in one pass
        if compile:
            self.model.compile()
        self.network, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if self.out is not None and self.accelerator.is_main_process:
            self._tidy(resume)
        if self.out is not None and resume and (self.out / "last.safetensors").exists():
            self._resume(self.out / "last.safetensors")
        steps = _of_all_processes(self.step)
        if len(set(steps)) > 1:
            raise CourseError(f"the processes find states of the steps {steps}; put out={self.out} where all see it")
        self.now = time.monotonic()
        self.whole = True

    def _tidy(self, resume):
        for name in ("last.safetensors", "best.safetensors", "history.json"):
            if not resume:
                (self.out / name).unlink(missing_ok=True)
            for half_written in self.out.glob(f".{Path(name).stem}-*"):  # by a process that was killed
                half_written.unlink(missing_ok=True)

    def _resume(self, path):
        saved = read_state(path).get("settings", {})
        for name, value in json.loads(json.dumps(self.settings)).items():
            if saved.get(name) != value:
                raise CourseError(
                    f"{path} was trained with {name}={saved.get(name)}, now it is {value}; "
                    "take the old value, another folder (--out), or begin anew with resume=False"
                )
        about, self.best = load_state(path, self.model, self.optimizer)
        self.step, self.history = about["step"], History(**about["history"])
        self.elapsed, self.learning = about["elapsed"], about["learning"]
        self.loss_sum.fill_(about["loss_sum"])
        self.loss_count = about["loss_count"]
        if about["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(about["scaler"])

    def tick(self):
        """Add the time since the last call to what has elapsed; returns it. The main process keeps the clock of all."""
        now = time.monotonic()
        span, self.now = now - self.now, now
        if self.settings["seconds"] is not None and self.accelerator.num_processes > 1:
            span = _of_main_process(span)
        self.elapsed += span
        return span

    def progress(self):
        """The part of the training that is done in the middle of the next step."""
        if self.settings["seconds"] is None:
            return (self.step + 0.5) / self.settings["steps"]
        return (self.elapsed + 0.5 * self.learning / max(self.step, 1)) / self.settings["seconds"]

    def is_done(self):
        return self.step > 0 and self.progress() >= 1

    def units(self):
        """How far the bar is: in steps or in seconds."""
        seconds = self.settings["seconds"]
        return self.step if seconds is None else min(round(self.elapsed), round(seconds))

    def is_time_to_validate(self):
        if self.is_done():
            return True
        if self.settings["validate_every"] is not None:
            return self.step % self.settings["validate_every"] == 0
        if self.settings["seconds"] is None:
            return self.step % math.ceil(self.settings["steps"] / 10) == 0
        return self.elapsed - (self.history.seconds[-1] if self.history.seconds else 0) >= self.settings["seconds"] / 10

    def learn(self, degraded, clean):
        """One step."""
        self.whole = False
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress(), self.settings["lr"])
        numbers = f"{self.settings['seed']} {self.step} {self.accelerator.process_index}"
        torch.manual_seed(zlib.crc32(numbers.encode()))  # of the step alone, so that dropout too can be resumed
        batch = [as_floats(images.to(self.device, non_blocking=True)) for images in (degraded, clean)]
        self.loss_sum += train_step(self.network, self.optimizer, *batch, self.loss, self.accelerator.backward)
        self.step, self.loss_count = self.step + 1, self.loss_count + 1
        self.learning += self.tick()
        self.whole = True

    def mean_loss(self):
        """Of the steps since the last validation."""
        mean = self.loss_sum.item() / max(self.loss_count, 1)
        if not math.isfinite(mean):
            kept = f"; {self.out / 'last.safetensors'} holds the last good state" if self.out else ""
            raise CourseError(f"the loss is {mean} by step {self.step}: lower lr={self.settings['lr']:g}{kept}")
        return mean

    def measure(self, valid):
        """Validate on the main process, tell the others, keep the weights if they are the best so far, and save."""
        self.whole = False
        losses = _of_all_processes(self.mean_loss())
        scores = None
        if self.accelerator.is_main_process:
            with _as_it_was(self.model):
                scores = validate(self.model, valid)
        self.history.steps.append(self.step)
        self.history.losses.append(sum(losses) / len(losses))
        self.history.scores.append(_of_main_process(scores))
        self.tick()
        self.history.seconds.append(round(self.elapsed, 3))
        self.loss_sum.zero_()
        self.loss_count = 0
        is_best = best_step(self.history) == self.step
        if is_best:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        self.whole = True
        self.save(with_best=is_best)

    def save(self, with_best=False):
        """Write the state; the best weights first, so that the state never speaks of weights that are not there."""
        self.mean_loss()  # a state that is past saving is not saved
        if self.out is None or not self.accelerator.is_main_process:
            return
        if with_best:
            scores = {"step": self.step, **self.history.scores[-1]}
            save_model(self.out / "best.safetensors", self.model, **scores)
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        about = {"step": self.step, "history": asdict(self.history), "settings": self.settings, "scaler": scaler}
        about |= {"loss_sum": self.loss_sum.item(), "loss_count": self.loss_count}
        about |= {"elapsed": self.elapsed, "learning": self.learning}
        save_state(self.out / "last.safetensors", self.model, self.optimizer, about, self.best)
        with atomic(self.out / "history.json") as temporary:
            temporary.write_text(self.history.to_json())

    def is_out_of_patience(self):
        patience, steps = self.settings["patience"], self.history.steps
        if patience is None or not steps:
            return False
        return len(steps) - 1 - steps.index(best_step(self.history)) >= patience

    def figures(self):
        psnrs = self.history.psnrs
        return {"loss": f"{self.mean_loss():.4g}"} | ({"PSNR": f"{psnrs[-1]:.2f} dB"} if psnrs else {})

    def own_random_numbers(self):
        """What is drawn and seeded within leaves the caller's random numbers as they were."""
        return torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [])

    @contextlib.contextmanager
    def saved_on_interrupt(self):
        """Let Ctrl-C wait for the end of a step, so that the state it saves is whole; a second one does not wait."""
        catches = threading.current_thread() is threading.main_thread()
        former = signal.signal(signal.SIGINT, self._ask_to_stop) if catches else None
        try:
            yield
        except KeyboardInterrupt:
            if self.out is not None and self.whole:
                self.save()
                print(f"Stopped and saved after step {self.step}: start again with out={str(self.out)!r} to go on.")
            raise
        finally:
            if catches:
                signal.signal(signal.SIGINT, former or signal.default_int_handler)

    def _ask_to_stop(self, number, frame):
        if self.asked_to_stop:
            raise KeyboardInterrupt
        self.asked_to_stop = True

    def stop_if_asked(self):
        if self.asked_to_stop:
            raise KeyboardInterrupt

    def share_best(self):
        """The processes agree but for the statistics of batch norm: those of the main one are what was measured."""
        self.best = _of_main_process(self.best)

    def end(self):
        """Leave the network with the best weights, and without what accelerate wrapped around it."""
        for name in (*WRAPPINGS, "_original_forward", "_is_accelerate_prepared"):
            self.model.__dict__.pop(name, None)
        self.model.to(memory_format=torch.contiguous_format)
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()


def _accelerator(precision):
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()  # a second training in one session may have another precision
    try:
        # Unless it is told of the CPU, accelerate does not let several processes there work together.
        return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=precision)
    except ValueError as error:
        raise CourseError(
            f"precision={precision!r} does not work on this machine ({error}); use precision='no'"
        ) from None


def _of_all_processes(value):
    from accelerate.utils import gather_object

    return gather_object([value])


def _of_main_process(value):
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


WRAPPINGS = ("forward", "_compiled_call_impl")  # where accelerate's mixed precision and torch.compile hook in


@contextlib.contextmanager
def _as_it_was(model):
    """The network in full precision, and not compiled, which would begin anew for each size of image."""
    wrapped = {name: model.__dict__.pop(name) for name in WRAPPINGS if name in model.__dict__}
    try:
        yield
    finally:
        model.__dict__.update(wrapped)


def _precision(precision, out, resume):
    """What "auto" stands for: the precision of the state to go on from, or the fastest; the same in all processes."""
    if precision != "auto":
        return precision
    from accelerate import PartialState

    device = PartialState(cpu=not torch.accelerator.is_available()).device.type
    state = None if out is None else Path(out) / "last.safetensors"
    if resume and state is not None and state.exists():
        return read_state(state).get("settings", {}).get("precision", "no")
    return _of_main_process(fastest_precision(device))


def _check_settings(settings, precision, save_every):
    steps, seconds = settings["steps"], settings["seconds"]
    if (steps is None) == (seconds is None):
        raise CourseError(f"steps={steps}, seconds={seconds}: give one of them, how many steps or how many seconds")
    if seconds is not None and not 0 < seconds < math.inf:
        raise CourseError(f"seconds={seconds} is not a time to train for; give a number above 0")
    for name in ("steps", "batch_size", "validate_every", "patience"):
        value = settings[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise CourseError(f"{name}={value} is not a whole number from 1; training needs at least 1")
    if save_every is not None and save_every < 1:
        raise CourseError(f"save_every={save_every} is not a number of steps from 1; None saves at validations only")
    if not 0 < settings["lr"] < math.inf:
        raise CourseError(f"lr={settings['lr']} is not a learning rate: it must be above 0; 1e-3 suits Adam")
    if precision not in ("auto", "no", "bf16", "fp16"):
        raise CourseError(f"precision={precision!r} is unknown; choose 'auto', 'no', 'bf16' or 'fp16'")


def _check_data(train, valid, last, scale=1):
    """Look at the first and the last training pair and at the validation pairs: better now than hours later."""
    for name, data in (("train", train), ("valid", valid)):
        if hasattr(data, "__len__") and len(data) == 0:
            raise CourseError(f"{name} is empty; give it at least one pair (degraded, clean)")
    try:
        train[last]
    except IndexError:
        raise CourseError(f"there is no train[{last}], but training takes as many; see data.PairedPatches") from None
    pairs = {"train[0]": train[0]}
    pairs |= {f"valid[{i}]": valid[i] for i in range(len(valid) if isinstance(valid, list | tuple) else 1)}
    for name, (degraded, clean) in pairs.items():
        noisy = 1 if name.startswith("train") else 0.001  # noise that is not clipped, as in the literature, goes beyond
        check_image(degraded, f"the degraded image of {name}", beyond=noisy)
        check_image(clean, f"the clean image of {name}")
        if enlarged(degraded.shape, scale) != tuple(clean.shape):
            sizes = f"{tuple(degraded.shape)} and {tuple(clean.shape)}"
            if scale == 1:
                raise CourseError(f"the two images of {name} differ in shape, {sizes}; crop both to one size")
            wanted = f"the network enlarges by {scale}, so the clean one is {enlarged(degraded.shape, scale)}"
            raise CourseError(f"the two images of {name} have the shapes {sizes}; {wanted}")
