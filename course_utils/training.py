"""Train a restoration network: one step, a whole run, and what to keep of it.

A run is a pure function of its arguments: the learning rate and the samples of a step depend on the step alone. So a
run that was stopped, whatever stopped it, goes on where it was and ends with the weights of an unbroken one.
"""

import contextlib
import json
import math
import signal
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from course_utils.checkpoints import load_state, read_state, save_model, save_state
from course_utils.files import CourseError, atomic
from course_utils.images import check_image
from course_utils.inference import restore
from course_utils.losses import residual_loss
from course_utils.metrics import evaluate


def train_step(model, optimizer, degraded, clean, loss=residual_loss, backward=torch.Tensor.backward):
    """Learn from one batch; returns its loss, as it was before the step.

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
    return value.item()


def validate(model, pairs):
    """Restore whole images, in evaluation mode and without gradients, and measure them; the network keeps its mode.

    Args:
        model: the network.
        pairs: (degraded, clean), float (C, H, W) in [0, 1], of any sizes: a list, or a data set with a length.

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


def learning_rate(step, steps, lr=1e-3):
    """Up in a straight line to `lr` over the first tenth of the steps, then down half a cosine to 0 at `steps`.

    Goyal et al., "Accurate, Large Minibatch SGD", 2017 (the rise); Loshchilov and Hutter, "SGDR", ICLR 2017 (the fall).
    """
    rise = steps / 10
    if step + 1 < rise:
        return lr * (step + 1) / rise
    return lr * (1 + math.cos(math.pi * max(step - rise, 0) / (steps - rise))) / 2


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
    steps,
    batch_size=16,
    lr=1e-3,
    loss=residual_loss,
    out=None,
    validate_every=None,
    patience=None,
    save_every=None,
    seed=0,
    precision="no",
    workers=0,
    resume=True,
    progress=True,
    on_validate=None,
):
    """Train a network with Adam and a falling learning rate; keep the weights with the best validation PSNR.

    The folder `out` gets best.safetensors (a model, see checkpoints.load_model), last.safetensors (the state to go on
    from) and history.json. Started again with the same folder and settings, training goes on from the last state; on
    a CPU it ends with the weights, bit for bit, of a run that was never stopped. Ctrl-C saves first. Whether the data
    are the same as before is not checked.

    Under `accelerate launch --multi_gpu` (CPUs too) or `torchrun` the processes share each batch and average their
    gradients: they do what one process does, up to rounding. Batch norm is the exception: each process normalises with
    its own share of the batch, and the statistics of the main one are kept. On several GPUs keep that share large, or
    first convert the network with torch.nn.SyncBatchNorm.convert_sync_batchnorm. All must see the folder `out`.

    Args:
        model: the network; it ends on the device of the training, with the best weights.
        train: `train[i]`, for every i >= 0, is a pair (degraded, clean), float32 (C, p, p) in [0, 1], that depends on i
            alone, as in data.PairedPatches. Step s takes the samples s * batch_size ... (s + 1) * batch_size - 1.
        valid: whole images to measure on, see `validate`.
        steps: how many batches to learn from.
        batch_size: of all processes together.
        lr: the highest learning rate, see `learning_rate`.
        loss: a function of (output, degraded, clean), see course_utils.losses.
        out: a folder for what the training leaves; None keeps nothing on disk.
        validate_every: steps between validations, by default a tenth of `steps`; there is always one at the end.
        patience: stop after this many validations in a row without a better one; None never does.
        save_every: also save the state each so many steps; it is saved at every validation.
        seed: of layers that draw at random, such as dropout. The caller's random numbers are left alone.
        precision: "no" (float32), "bf16" or "fp16", of training; validation is in float32.
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
        "batch_size": batch_size,
        "lr": lr,
        "validate_every": math.ceil(steps / 10) if validate_every is None else validate_every,
        "patience": patience,
        "seed": seed,
        "precision": precision,
    }
    _check_settings(settings, save_every)
    _check_data(train, valid, last=steps * batch_size - 1)
    run = _Run(model, settings, loss, out)
    try:
        with run.own_random_numbers(), run.saved_on_interrupt():
            run.begin(resume)
            _train(run, train, valid, workers, save_every, progress, on_validate)
            run.share_best()
    finally:
        run.end()
    return run.history


def _train(run, train, valid, workers, save_every, progress, on_validate):
    """The loop: a step, and now and then a validation."""
    with _bar(run, progress) as bar:
        for degraded, clean in _batches(run, train, workers):
            if run.is_out_of_patience():
                break
            value = run.learn(degraded, clean)
            bar.set_postfix(run.figures(value), refresh=False)
            bar.update()
            if run.step % run.settings["validate_every"] == 0 or run.step == run.settings["steps"]:
                run.measure(valid)
                if on_validate is not None and run.accelerator.is_main_process:
                    on_validate(run.step, run.history.scores[-1])
            elif save_every is not None and run.step % save_every == 0:
                run.save()
            run.stop_if_asked()


def _batches(run, train, workers):
    """The batches from the current step on: of each, the share of this process."""
    size, rank, processes = run.settings["batch_size"], run.accelerator.process_index, run.accelerator.num_processes
    share = size // processes
    first = range(run.step * size + rank * share, run.settings["steps"] * size, size)
    return DataLoader(
        train,
        batch_sampler=[range(i, i + share) for i in first],
        num_workers=workers,
        collate_fn=_stack,
        pin_memory=run.accelerator.device.type == "cuda",
        generator=torch.Generator().manual_seed(run.settings["seed"]),  # of the workers
    )


def _stack(samples):
    """[(degraded, clean), ...], each (C, p, p) -> two batches, (N, C, p, p)."""
    shapes = {tuple(image.shape) for pair in samples for image in pair}
    if len(shapes) > 1:
        raise CourseError(f"the patches of one batch have the shapes {sorted(shapes)}; crop all to one size")
    degraded, clean = zip(*samples, strict=True)
    return torch.stack(degraded), torch.stack(clean)


def _bar(run, progress):
    from tqdm.auto import tqdm

    hidden = not (progress and run.accelerator.is_main_process)
    return tqdm(total=run.settings["steps"], initial=run.step, desc="training", unit="step", disable=hidden)


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
        self.loss_sum, self.loss_count = 0.0, 0  # since the last validation
        self.whole = False  # whether all of the above belongs to one and the same step, and may be saved
        self.asked_to_stop = False

    def begin(self, resume):
        """Move the network to its device and take up the saved state, if there is one and it is to be used."""
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.settings["lr"])
        self.network, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if self.out is not None and self.accelerator.is_main_process:
            self._tidy(resume)
        if self.out is not None and resume and (self.out / "last.safetensors").exists():
            self._resume(self.out / "last.safetensors")
        steps = _of_all_processes(self.step)
        if len(set(steps)) > 1:
            raise CourseError(f"the processes find states of the steps {steps}; put out={self.out} where all see it")
        self.began = time.monotonic() - (self.history.seconds[-1] if self.history.seconds else 0)
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
        self.loss_sum, self.loss_count = about["loss_sum"], about["loss_count"]
        if about["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(about["scaler"])

    def learn(self, degraded, clean):
        """One step; returns its loss."""
        self.whole = False
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.settings["steps"], self.settings["lr"])
        numbers = f"{self.settings['seed']} {self.step} {self.accelerator.process_index}"
        torch.manual_seed(zlib.crc32(numbers.encode()))  # of the step alone, so that dropout too can be resumed
        batch = [images.to(self.device, non_blocking=True) for images in (degraded, clean)]
        value = train_step(self.network, self.optimizer, *batch, self.loss, self.accelerator.backward)
        if not math.isfinite(value):
            kept = f"; {self.out / 'last.safetensors'} holds the last good state" if self.out else ""
            raise CourseError(f"the loss is {value} at step {self.step}: lower lr={self.settings['lr']:g}{kept}")
        self.step, self.loss_sum, self.loss_count = self.step + 1, self.loss_sum + value, self.loss_count + 1
        self.whole = True
        return value

    def measure(self, valid):
        """Validate on the main process, tell the others, keep the weights if they are the best so far, and save."""
        self.whole = False
        scores = None
        if self.accelerator.is_main_process:
            with _without_autocast(self.model):
                scores = validate(self.model, valid)
        losses = _of_all_processes(self.loss_sum / self.loss_count)
        self.history.steps.append(self.step)
        self.history.losses.append(sum(losses) / len(losses))
        self.history.scores.append(_of_main_process(scores))
        self.history.seconds.append(round(time.monotonic() - self.began, 3))
        self.loss_sum, self.loss_count = 0.0, 0
        is_best = best_step(self.history) == self.step
        if is_best:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()}
        self.whole = True
        self.save(with_best=is_best)

    def save(self, with_best=False):
        """Write the state; the best weights first, so that the state never speaks of weights that are not there."""
        if self.out is None or not self.accelerator.is_main_process:
            return
        if with_best:
            scores = {"step": self.step, **self.history.scores[-1]}
            save_model(self.out / "best.safetensors", self.model, **scores)
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else None
        about = {"step": self.step, "history": asdict(self.history), "settings": self.settings, "scaler": scaler}
        about |= {"loss_sum": self.loss_sum, "loss_count": self.loss_count}
        save_state(self.out / "last.safetensors", self.model, self.optimizer, about, self.best)
        with atomic(self.out / "history.json") as temporary:
            temporary.write_text(self.history.to_json())

    def is_out_of_patience(self):
        patience, steps = self.settings["patience"], self.history.steps
        if patience is None or not steps:
            return False
        return len(steps) - 1 - steps.index(best_step(self.history)) >= patience

    def figures(self, value):
        psnrs = self.history.psnrs
        return {"loss": f"{value:.4g}"} | ({"PSNR": f"{psnrs[-1]:.2f} dB"} if psnrs else {})

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
        for name in ("forward", "_original_forward", "_is_accelerate_prepared"):
            self.model.__dict__.pop(name, None)
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


@contextlib.contextmanager
def _without_autocast(model):
    """The network without the mixed precision that accelerate wraps around its `forward`."""
    wrapped = model.__dict__.pop("forward", None)
    try:
        yield
    finally:
        if wrapped is not None:
            model.forward = wrapped


def _check_settings(settings, save_every):
    for name in ("steps", "batch_size", "validate_every", "patience"):
        value = settings[name]
        if value is not None and (not isinstance(value, int) or value < 1):
            raise CourseError(f"{name}={value} is not a whole number from 1; training needs at least 1")
    if save_every is not None and save_every < 1:
        raise CourseError(f"save_every={save_every} is not a number of steps from 1; None saves at validations only")
    if not 0 < settings["lr"] < math.inf:
        raise CourseError(f"lr={settings['lr']} is not a learning rate: it must be above 0; 1e-3 suits Adam")
    if settings["precision"] not in ("no", "bf16", "fp16"):
        raise CourseError(f"precision={settings['precision']!r} is unknown; choose 'no', 'bf16' or 'fp16'")


def _check_data(train, valid, last):
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
        check_image(degraded, f"the degraded image of {name}")
        check_image(clean, f"the clean image of {name}")
        if degraded.shape != clean.shape:
            sizes = f"{tuple(degraded.shape)} and {tuple(clean.shape)}"
            raise CourseError(f"the two images of {name} differ in shape, {sizes}; crop both to one size")
