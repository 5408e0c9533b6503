import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from course_utils import training
from course_utils.checkpoints import load_model, read_notes, read_state
from course_utils.files import CourseError
from course_utils.images import quantise, to_array
from course_utils.inference import restore
from course_utils.losses import mse_loss, residual_loss
from course_utils.metrics import psnr
from course_utils.models import DnCNN
from course_utils.training import History, best_step, fit, learning_rate, train_step, validate


class Noisy:
    """Sample i, for every i, is a smooth patch with noise; it depends on i alone."""

    def __init__(self, size=16, bad=None):
        self.size, self.bad = size, bad

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        clean = F.interpolate(torch.rand(1, 3, 3, 3, generator=generator), size=self.size, mode="bilinear")[0]
        degraded = (clean + 0.15 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
        return (degraded * math.nan if i == self.bad else degraded), clean


TRAIN = Noisy()
VALID = [Noisy(size)[10**6 + size] for size in (24, 20)]
QUICK = {"steps": 24, "batch_size": 4, "validate_every": 6, "progress": False, "precision": "no"}


def tiny(**changes):
    torch.manual_seed(0)
    return DnCNN(**{"depth": 4, "width": 8} | changes)


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("unbroken")
    model = tiny()
    history = fit(model, TRAIN, VALID, out=out, **QUICK)
    return model, history, out


# One step


@pytest.mark.parametrize("loss", [residual_loss, mse_loss])
def test_train_step_is_what_it_says(loss):
    model, twin = tiny(), tiny()
    optimizer, twins = (torch.optim.SGD(net.parameters(), lr=0.01) for net in (model, twin))
    degraded, clean = (torch.stack(images) for images in zip(*(TRAIN[i] for i in range(4)), strict=True))
    for _ in range(2):
        before = loss(twin.train()(degraded), degraded, clean)
        twins.zero_grad()
        before.backward()
        twins.step()
        assert train_step(model.eval(), optimizer, degraded, clean, loss) == before.item()
    assert same(model, twin) and model.training


def test_train_step_takes_another_backward():
    model, calls = tiny(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    degraded, clean = (image[None] for image in TRAIN[0])
    value = train_step(model, optimizer, degraded, clean, backward=lambda loss: calls.append(loss.item()))
    assert calls == [value]
    assert same(model, tiny()) is False  # batch norm has seen the batch ...
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), tiny().parameters(), strict=True)
    )  # ... that is all


# Validation and choice


def test_validate_measures_whole_images_in_evaluation_mode():
    model = tiny().train()
    statistics = model.layers[3].running_mean.clone()
    scores = validate(model, VALID)
    expected = [psnr(quantise(restore(model, y)), quantise(x)) for y, x in VALID]
    assert scores["psnr"] == pytest.approx(sum(expected) / 2)
    assert set(scores) == {"psnr", "ssim", "luma_error"}
    assert model.training and torch.equal(model.layers[3].running_mean, statistics)
    assert all(p.grad is None for p in model.parameters())


def test_validate_stops_at_the_length_of_a_data_set():
    class Pages(Noisy):
        def __len__(self):
            return 2

    assert validate(tiny(), Pages())["psnr"] > 0


def history_of(*psnrs):
    steps = [10 * (i + 1) for i in range(len(psnrs))]
    losses = [1 / step for step in steps]
    return History(steps, losses, [{"psnr": value} for value in psnrs], [float(step) for step in steps])


def test_best_step_goes_by_validation_and_takes_the_first_of_equals():
    assert best_step(history_of(20.0, 25.0, 24.0)) == 20
    assert best_step(history_of(20.0, 25.0, 25.0)) == 20
    assert best_step(history_of(27.0)) == 10
    with pytest.raises(CourseError, match="no validation yet"):
        best_step(History())


def test_learning_rate_rises_over_a_tenth_and_falls_to_zero():
    rates = [learning_rate(percent / 100, 1e-3) for percent in range(101)]
    assert rates[0] == 0 and rates[5] == pytest.approx(5e-4) and max(rates) == rates[10] == 1e-3
    assert rates[55] == pytest.approx(5e-4) and rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_history_survives_json(unbroken):
    _, history, _ = unbroken
    assert History.from_json(history.to_json()) == history


# A whole run


def test_training_restores_better_than_it_found(unbroken):
    _, history, _ = unbroken
    model = tiny(batch_norm=False)
    scan = sum(psnr(quantise(y), x) for y, x in VALID) / 2
    history = fit(model, TRAIN, VALID, **QUICK | {"steps": 150, "lr": 3e-3})
    assert max(history.psnrs) > scan + 2
    assert history.losses[-1] < history.losses[0] / 2


def test_what_fit_leaves(unbroken):
    model, history, out = unbroken
    assert history.steps == [6, 12, 18, 24]
    assert len(history.losses) == len(history.psnrs) == len(history.seconds) == 4
    assert sorted(path.name for path in out.iterdir()) == ["best.safetensors", "history.json", "last.safetensors"]
    assert same(load_model(out / "best.safetensors"), model)
    notes = read_notes(out / "best.safetensors")
    assert notes["step"] == history.best_step and notes["psnr"] == max(history.psnrs)
    assert History.from_json((out / "history.json").read_text()) == history
    assert not model.training and type(model) is DnCNN
    assert validate(model, VALID)["psnr"] == max(history.psnrs)


def test_fit_is_its_steps_written_out():
    """Adam, the learning rate of the step, and samples 4s ... 4s + 3 in step s."""
    model = tiny(batch_norm=False)
    fit(model, TRAIN, VALID, **QUICK | {"steps": 5, "validate_every": 5})
    twin = tiny(batch_norm=False).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(twin.parameters(), fused=True)
    for step in range(5):
        optimizer.param_groups[0]["lr"] = learning_rate((step + 0.5) / 5)
        batch = [torch.stack(images) for images in zip(*(TRAIN[4 * step + i] for i in range(4)), strict=True)]
        train_step(twin, optimizer, *batch)
    assert same(model, twin)


def test_the_best_weights_are_kept_not_the_last():
    seen = {}
    model = tiny(batch_norm=False)

    def remember(step, scores):
        seen[step] = scores["psnr"], {name: tensor.clone() for name, tensor in model.state_dict().items()}

    spoil = lambda output, y, x: residual_loss(output, y, x) * (1 if len(seen) < 2 else -100)
    history = fit(model, TRAIN, VALID, loss=spoil, on_validate=remember, **QUICK | {"lr": 1e-2})
    best = max(seen, key=lambda step: seen[step][0])
    assert history.best_step == best < 24
    assert all(torch.equal(tensor, seen[best][1][name]) for name, tensor in model.state_dict().items())


def test_patience():
    worse = lambda output, y, x: -residual_loss(output, y, x)
    history = fit(tiny(batch_norm=False), TRAIN, VALID, loss=worse, patience=2, **QUICK | {"lr": 1e-2})
    assert history.steps == [6, 12, 18] and history.best_step == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_the_callers_random_numbers_and_the_workers_do_not_matter(unbroken, workers):
    torch.manual_seed(5)
    model = tiny()
    before = torch.get_rng_state()
    fit(model, TRAIN, VALID, workers=workers, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(model, unbroken[0])


def test_the_same_network_can_be_trained_again_with_another_precision():
    model = tiny(batch_norm=False)
    first = fit(model, TRAIN, VALID, **QUICK | {"precision": "bf16"})
    assert "forward" not in model.__dict__ and model(VALID[0][0][None]).dtype == torch.float32
    assert validate(model, VALID)["psnr"] == max(first.psnrs)  # validation is in float32 all along
    exact, twin = tiny(batch_norm=False), tiny(batch_norm=False)
    fit(exact, TRAIN, VALID, **QUICK)
    assert not same(model, exact)  # bf16 it was
    fit(twin, TRAIN, VALID, **QUICK | {"precision": "bf16"})
    assert same(model, twin)
    twin.load_state_dict(exact.state_dict())
    for network in (exact, twin):  # the one has been trained in float32 before, the other in bf16
        fit(network, TRAIN, VALID, **QUICK | {"precision": "bf16"})
    assert same(exact, twin) and exact.__dict__.keys() == DnCNN().__dict__.keys()


def test_frozen_parameters_stay():
    model = tiny(batch_norm=False)
    model.layers[0].requires_grad_(False)
    before = model.layers[0].weight.clone()
    fit(model, TRAIN, VALID, **QUICK | {"steps": 3})
    assert torch.equal(model.layers[0].weight, before)
    assert not torch.equal(model.layers[2].weight, tiny(batch_norm=False).layers[2].weight)


def test_a_network_of_ones_own_can_be_trained(tmp_path):
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, y):
            return self.net(y)

        restore = forward

    model = Mine()
    fit(model, TRAIN, VALID, loss=mse_loss, out=tmp_path, **QUICK)
    assert same(load_model(tmp_path / "best.safetensors", into=Mine()), model)


# Interrupted and resumed


def stopped_at(step, out, model=None, **options):
    """Run until sample 4 * step is asked for; there the machine goes down."""

    class Failing(Noisy):
        def __getitem__(self, i):
            if i == 4 * step:
                raise OSError("the disk is gone")
            return super().__getitem__(i)

    with pytest.raises(OSError, match="the disk is gone"):
        fit(model or tiny(), Failing(), VALID, out=out, **QUICK | options)


def last_state(out):
    from safetensors.torch import load_file

    return load_file(out / "last.safetensors")


@pytest.mark.parametrize("save_every", [None, 1, 4])
def test_resumed_equals_unbroken_bit_for_bit(tmp_path, unbroken, save_every):
    expected, history, out = unbroken
    for step in (5, 9, 17, 23):
        stopped_at(step, tmp_path, save_every=save_every)
    assert read_state(tmp_path / "last.safetensors")["step"] == {None: 18, 1: 23, 4: 20}[save_every]
    torch.manual_seed(99)
    model = DnCNN(depth=4, width=8)  # of other initial weights: the state counts
    resumed = fit(model, TRAIN, VALID, out=tmp_path, **QUICK)
    assert same(model, expected)
    assert (resumed.steps, resumed.losses, resumed.scores) == (history.steps, history.losses, history.scores)
    assert all(torch.equal(tensor, last_state(out)[name]) for name, tensor in last_state(tmp_path).items())
    assert same(load_model(tmp_path / "best.safetensors"), expected)


def test_dropout_is_resumed_bit_for_bit(tmp_path):
    def make():
        torch.manual_seed(0)
        model = DnCNN(depth=4, width=8)
        model.layers.insert(2, torch.nn.Dropout(0.3))
        return model

    expected, model = make(), make()
    fit(expected, TRAIN, VALID, **QUICK)
    stopped_at(15, tmp_path, make())
    fit(model, TRAIN, VALID, out=tmp_path, **QUICK)
    assert same(model, expected)
    other = make()
    fit(other, TRAIN, VALID, seed=1, **QUICK)
    assert not same(other, expected)


def test_each_step_draws_anew():
    drawn = []
    draw = lambda output, y, x: drawn.append(torch.rand(1).item()) or residual_loss(output, y, x)
    fit(tiny(), TRAIN, VALID, loss=draw, **QUICK)
    assert len(set(drawn)) == QUICK["steps"]


def test_a_finished_run_returns_at_once(unbroken):
    expected, history, out = unbroken
    model = tiny()
    before = (out / "last.safetensors").stat().st_mtime_ns
    assert fit(model, TRAIN, VALID, out=out, **QUICK) == history
    assert same(model, expected) and (out / "last.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 2e-3}, "lr=0.001, now it is 0.002"),
        ({"steps": 30}, "steps=24, now it is 30"),
        ({"batch_size": 2}, "batch_size=4, now it is 2"),
        ({"seed": 1}, "seed=0, now it is 1"),
        ({"loss": mse_loss}, "loss=residual_loss, now it is mse_loss"),
        ({"precision": "bf16"}, "precision=no, now it is bf16"),
        ({"validate_every": 5}, "validate_every=6, now it is 5"),
    ],
)
def test_a_state_of_other_settings_is_refused(unbroken, change, message):
    with pytest.raises(CourseError, match=message + r".*another folder \(--out\).*resume=False"):
        fit(tiny(), TRAIN, VALID, out=unbroken[2], **QUICK | change)


def test_a_state_of_another_network_is_refused_or_replaced(tmp_path):
    fit(tiny(), TRAIN, VALID, out=tmp_path, **QUICK | {"steps": 2})
    with pytest.raises(CourseError, match=r"configuration=.*'depth': 4.*now it is .*'depth': 5"):
        fit(tiny(depth=5), TRAIN, VALID, out=tmp_path, **QUICK | {"steps": 2})
    fit(tiny(depth=5), TRAIN, VALID, out=tmp_path, resume=False, **QUICK | {"steps": 2})
    assert load_model(tmp_path / "best.safetensors").config["depth"] == 5


def test_a_new_beginning_removes_the_old_state_at_once(tmp_path):
    fit(tiny(), TRAIN, VALID, out=tmp_path, **QUICK)
    stopped_at(1, tmp_path, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_waits_for_the_end_of_the_step_and_saves(tmp_path, unbroken, capsys):
    calls = []

    def interrupting(output, y, x):
        calls.append(1)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return residual_loss(output, y, x)

    interrupting.__name__ = "residual_loss"
    handler = signal.getsignal(signal.SIGINT)
    model = tiny()
    with pytest.raises(KeyboardInterrupt):
        fit(model, TRAIN, VALID, loss=interrupting, out=tmp_path, **QUICK)
    assert signal.getsignal(signal.SIGINT) is handler
    hint = capsys.readouterr().out
    assert hint.count("\n") == 1 and "saved after step 9" in hint and str(tmp_path) in hint
    assert read_state(tmp_path / "last.safetensors")["step"] == 9
    assert same(model, load_model(tmp_path / "best.safetensors"))  # of step 6
    fit(model, TRAIN, VALID, out=tmp_path, **QUICK)
    assert same(model, unbroken[0])


def test_an_interrupt_amid_a_step_saves_no_half_of_it(tmp_path):
    def interrupting(output, y, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tiny(), TRAIN, VALID, loss=interrupting, out=tmp_path, **QUICK)
    assert not (tmp_path / "last.safetensors").exists()


# A process that starts a training each time it is told to, so that the imports are paid once
KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import accelerate, test_training as t, torch, torch._dynamo
torch.set_num_threads(1)
for out in sys.stdin:
    child = os.fork()
    if not child:
        longer = t.QUICK | {"steps": 90, "validate_every": 15}
        t.fit(t.tiny(), t.TRAIN, t.VALID, out=out.strip(), save_every=1, **longer)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts its victims by fork")
def test_killed_at_any_moment_the_state_is_whole_and_training_goes_on(tmp_path):
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent)]
    rng, state, steps = random.Random(0), tmp_path / "last.safetensors", [0]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for kills in range(7):
            print(tmp_path, file=process.stdin, flush=True)
            victim = int(process.stdout.readline())
            if kills < 6:
                (tmp_path / f".last-{kills}.safetensors").touch()  # as if killed while writing
                wait_for_change(state)
                time.sleep(rng.uniform(0, 0.06))
                os.kill(victim, signal.SIGKILL)
            assert process.stdout.readline() == "ended\n"
            steps.append(read_state(state)["step"])  # reads it whole
    assert steps == sorted(steps) and 0 < steps[1] < steps[6] < 90 == steps[7]
    expected = tiny()
    history = fit(expected, TRAIN, VALID, **QUICK | {"steps": 90, "validate_every": 15})
    assert same(load_model(tmp_path / "best.safetensors"), expected)
    assert json.loads((tmp_path / "history.json").read_text())["losses"] == history.losses
    assert len(list(tmp_path.iterdir())) == 3  # nothing half-written is left


def wait_for_change(path):
    def stamp():
        return path.stat().st_mtime_ns if path.exists() else 0

    before, deadline = stamp(), time.monotonic() + 60
    while stamp() == before:
        assert time.monotonic() < deadline
        time.sleep(0.002)


# By the clock


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless a step or a validation moves it: {"now", "step", "validation"} in seconds."""
    clock = {"now": 1000.0, "step": 1.0, "validation": 0.0, "rates": []}
    validate, train_step = training.validate, training.train_step

    def slow(call, name):
        def slowed(*arguments):
            clock["now"] += clock[name]
            if name == "step":
                clock["rates"].append(arguments[1].param_groups[0]["lr"])
            return call(*arguments)

        return slowed

    monkeypatch.setattr(training, "train_step", slow(train_step, "step"))
    monkeypatch.setattr(training, "validate", slow(validate, "validation"))
    monkeypatch.setattr(training, "time", types.SimpleNamespace(monotonic=lambda: clock["now"]))
    return clock


SECONDS = {"seconds": 40, "batch_size": 4, "progress": False, "precision": "no"}


@pytest.mark.parametrize(("step", "steps"), [(0.5, 80), (1.0, 40), (7.0, 6), (100.0, 1)])
def test_every_machine_finishes_its_schedule_in_the_time(clock, step, steps):
    clock["step"] = step
    history = fit(tiny(), TRAIN, VALID, **SECONDS)
    assert history.steps[-1] == steps and history.seconds[-1] == steps * step
    rates = clock["rates"]
    assert len(rates) == steps and max(rates) <= 1e-3
    if steps > 1:
        assert max(rates) > 9e-4 and rates[-1] < 1e-4  # up, and down again, however many steps there were
        assert rates.index(max(rates)) <= steps / 5


def test_validations_count_as_time(clock):
    clock["validation"] = 2.0
    history = fit(tiny(), TRAIN, VALID, **SECONDS)
    assert history.steps[-1] == len(clock["rates"]) and 20 <= len(clock["rates"]) < 30
    assert 40 <= history.seconds[-1] <= 42  # the last one comes on top
    assert len(history.steps) >= 7


def test_a_tenth_of_the_time_between_validations(clock):
    assert fit(tiny(), TRAIN, VALID, **SECONDS).seconds == [4 * i for i in range(1, 11)]
    assert fit(tiny(), TRAIN, VALID, validate_every=15, **SECONDS).steps == [15, 30, 40]


def test_the_clock_is_resumed_without_the_pause(clock, tmp_path):
    class Failing(Noisy):
        def __getitem__(self, i):
            if i == 4 * 25:
                raise OSError("the disk is gone")
            return super().__getitem__(i)

    with pytest.raises(OSError):
        fit(tiny(), Failing(), VALID, out=tmp_path, save_every=1, **SECONDS)
    clock["now"] += 1e6
    history = fit(tiny(), TRAIN, VALID, out=tmp_path, **SECONDS)
    assert history.steps[-1] == 40 and history.seconds[-1] == 40
    unbroken = tiny()
    fit(unbroken, TRAIN, VALID, **SECONDS)
    assert same(load_model(tmp_path / "best.safetensors"), unbroken)  # on a clock as even as this one
    assert fit(tiny(), TRAIN, VALID, out=tmp_path, **SECONDS) == history


def test_the_bar_counts_seconds(clock, capsys):
    clock["step"] = 7.0
    fit(tiny(), TRAIN, VALID, **SECONDS | {"progress": True})
    shown = capsys.readouterr().err
    assert "40/40 s" in shown and "s/s" not in shown


# Fast


class Whole(Noisy):
    """A data set that hands over whole batches, as bytes, and counts them."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def __getitem__(self, i):
        degraded, clean = super().__getitem__(i)
        return quantise(degraded), quantise(clean)

    def batch(self, numbers):
        self.asked.append(list(numbers))
        pairs = [self[i] for i in numbers]
        return tuple(torch.from_numpy(to_array(torch.stack(images))) for images in zip(*pairs, strict=True))


def test_whole_batches_are_asked_for_where_they_can_be_had():
    data, single = Whole(), Whole()
    model, twin = tiny(batch_norm=False), tiny(batch_norm=False)
    fit(model, data, VALID, **QUICK | {"steps": 5})
    assert data.asked == [list(range(4 * step, 4 * step + 4)) for step in range(5)]
    one_by_one = type("OneByOne", (), {"__getitem__": lambda self, i: single[i]})()
    fit(twin, one_by_one, VALID, **QUICK | {"steps": 5})
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[name], tensor, atol=1e-6, rtol=0)


def test_auto_is_what_the_state_was_trained_with_or_the_fastest(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "fastest_precision", lambda device: "bf16")
    automatic = QUICK | {"precision": "auto"}
    exact, half, model = tiny(batch_norm=False), tiny(batch_norm=False), tiny(batch_norm=False)
    fit(half, TRAIN, VALID, out=tmp_path / "half", **automatic)
    assert read_state(tmp_path / "half" / "last.safetensors")["settings"]["precision"] == "bf16"
    stopped_at(15, tmp_path / "exact", tiny(batch_norm=False))
    fit(model, TRAIN, VALID, out=tmp_path / "exact", **automatic)
    fit(exact, TRAIN, VALID, **QUICK)
    assert same(model, exact) and not same(model, half)
    assert read_state(tmp_path / "exact" / "last.safetensors")["settings"]["precision"] == "no"
    fit(model, TRAIN, VALID, out=tmp_path / "exact", resume=False, **automatic)
    assert read_state(tmp_path / "exact" / "last.safetensors")["settings"]["precision"] == "bf16"


def test_the_network_looks_at_validation_as_it_was(monkeypatch):
    """Whoever restores with it in `on_validate` gets float32, as `restore` promises."""
    model, seen = tiny(batch_norm=False), []
    look = lambda step, scores: seen.append(validate(model, VALID) == scores and "forward" not in vars(model))
    fit(model, TRAIN, VALID, on_validate=look, **QUICK | {"precision": "bf16"})
    assert seen == [True] * 4
    assert all(parameter.is_contiguous() for parameter in model.parameters())


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a compiler")
def test_compiled(monkeypatch):
    plain, compiled = tiny(depth=3, batch_norm=False), tiny(depth=3, batch_norm=False)
    fit(plain, TRAIN, VALID, **QUICK | {"steps": 4})
    compilations = []
    compile_it = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: compilations.append(1) or compile_it(*a, **k))
    fit(compiled, TRAIN, VALID, compile=True, **QUICK | {"steps": 4})
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], tensor, atol=1e-5, rtol=0)
    assert compilations and compiled.__dict__.keys() == plain.__dict__.keys()


# Bad input


def test_a_loss_that_is_no_number(tmp_path, unbroken):
    def bad_at_step_8(output, y, x):
        return residual_loss(output, y, x) * (math.nan if torch.equal(x[0], TRAIN[32][1]) else 1)

    model = tiny()
    with pytest.raises(CourseError, match=r"the loss is nan by step 9: lower lr=0.001; .*last.safetensors holds"):
        fit(model, TRAIN, VALID, loss=bad_at_step_8, out=tmp_path, **QUICK)
    assert read_state(tmp_path / "last.safetensors")["step"] == 6
    assert same(model, load_model(tmp_path / "best.safetensors"))
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": []}, "train is empty"),
        ({"valid": []}, "valid is empty"),
        ({"train": [TRAIN[i] for i in range(95)]}, r"there is no train\[95\].*PairedPatches"),
        ({"steps": 0}, "steps=0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"steps": None}, "steps=None, seconds=None: give one of them"),
        ({"seconds": 60}, "steps=24, seconds=60: give one of them"),
        ({"steps": None, "seconds": 0}, "seconds=0 is not a time"),
        ({"steps": None, "seconds": math.nan}, "seconds=nan is not a time"),
        ({"steps": None, "seconds": 5, "train": [TRAIN[0]] * 99}, r"there is no train\[3999999\].*PairedPatches"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0}, "lr=0"),
        ({"lr": -1e-3}, "lr=-0.001"),
        ({"lr": math.nan}, "lr=nan"),
        ({"validate_every": 0}, "validate_every=0"),
        ({"patience": 0}, "patience=0"),
        ({"save_every": 0}, "save_every=0"),
        ({"precision": "fp8"}, "precision='fp8' is unknown; choose"),
        ({"valid": [(VALID[0][0], VALID[1][1])]}, r"valid\[0\] differ in shape, \(3, 24, 24\) and \(3, 20, 20\)"),
        ({"valid": [*VALID, (VALID[0][0] * 2 - 1, VALID[0][1])]}, r"degraded image of valid\[2\] .*outside \[0, 1\]"),
        ({"train": Noisy(bad=0)}, r"degraded image of train\[0\] holds NaN"),
    ],
)
def test_bad_input_is_refused_before_the_work_starts(tmp_path, change, message):
    model = tiny()
    options = {"train": TRAIN, "valid": VALID, "out": tmp_path / "new"} | QUICK | change
    with pytest.raises(CourseError, match=message):
        fit(model, options.pop("train"), options.pop("valid"), **options)
    assert same(model, tiny()) and not (tmp_path / "new").exists()


def test_patches_of_different_sizes():
    class Uneven(Noisy):
        def __getitem__(self, i):
            self.size = 16 + (i == 9)
            return super().__getitem__(i)

    with pytest.raises(CourseError, match=r"shapes \[\(3, 16, 16\), \(3, 17, 17\)\]; crop all to one size"):
        fit(tiny(), Uneven(), VALID, **QUICK)


class Smaller(Noisy):
    """The degraded patch has half the side of the clean one."""

    def __getitem__(self, i):
        _, clean = super().__getitem__(i)
        return F.avg_pool2d(clean, 2), clean


class Doubling(torch.nn.Module):
    """A small network that makes an image twice as high and wide."""

    def __init__(self, scale=2):
        super().__init__()
        self.scale, self.receptive_radius = scale, 1
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3, padding=1), torch.nn.PixelShuffle(2))

    def forward(self, y):
        return self.layers(y)

    restore = forward


LARGER = [(F.avg_pool2d(image, 2), image) for _, image in VALID]


def test_a_network_that_enlarges_is_trained_and_measured():
    torch.manual_seed(0)
    model = Doubling()
    history = fit(model, Smaller(), LARGER, loss=mse_loss, **QUICK | {"steps": 200, "lr": 1e-2, "validate_every": 50})
    assert history.losses[-1] < history.losses[0] / 2
    expected = [psnr(quantise(restore(model, small)), quantise(large)) for small, large in LARGER]
    assert validate(model, LARGER)["psnr"] == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": TRAIN}, r"train\[0\] have the shapes \(3, 16, 16\) and .*by 2, so the clean one is \(3, 32, 32\)"),
        ({"valid": VALID}, r"valid\[0\] have the shapes \(3, 24, 24\) and \(3, 24, 24\)"),
        ({"model": Doubling(0)}, "Doubling.scale is 0; a network that enlarges has a whole number there"),
    ],
)
def test_pairs_must_fit_the_scale_of_the_network(change, message):
    options = {"model": Doubling(), "train": Smaller(), "valid": LARGER, "loss": mse_loss} | QUICK | change
    with pytest.raises(CourseError, match=message):
        fit(**options)


# Other machines


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu(tmp_path, precision):
    model = tiny(batch_norm=False)
    stopped_at(15, tmp_path, model, precision=precision)
    history = fit(model, TRAIN, VALID, out=tmp_path, precision=precision, **QUICK)
    assert next(model.parameters()).is_cuda
    assert max(history.psnrs) == pytest.approx(
        validate(load_model(tmp_path / "best.safetensors"), VALID)["psnr"], abs=0.02
    )


SEVERAL = """
import sys
sys.path.insert(0, sys.argv[1])
import test_training as t, torch
torch.set_num_threads(1)
plain = t.tiny(batch_norm=False)
history = t.fit(plain, t.TRAIN, t.VALID, out=sys.argv[2], **t.QUICK | {"steps": 12, "patience": 9})
normed = t.tiny()
t.fit(normed, t.TRAIN, t.VALID, **t.QUICK | {"steps": 12})
refused = ""
try:
    t.fit(plain, t.TRAIN, t.VALID, **t.QUICK | {"batch_size": 3})
except t.CourseError as error:
    refused = str(error)
rank = torch.distributed.get_rank()
states = {"plain": plain.state_dict(), "normed": normed.state_dict()}
torch.save(states | {"losses": history.losses, "refused": refused}, f"{sys.argv[2]}/rank{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_two_processes_do_what_one_does(tmp_path):
    script = tmp_path / "several.py"
    script.write_text(SEVERAL)
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes=2",
        "--num_machines=1",
    ]
    launch += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [script, Path(__file__).parent, tmp_path]
    subprocess.run([*launch, *arguments], env=environment, check=True, capture_output=True, timeout=120)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for network in ("plain", "normed"):  # both end with the same weights and statistics
        for name, tensor in first[network].items():
            assert torch.equal(tensor, second[network][name]), name
    alone = tiny(batch_norm=False)
    history = fit(alone, TRAIN, VALID, **QUICK | {"steps": 12})
    for name, tensor in alone.state_dict().items():
        torch.testing.assert_close(first["plain"][name], tensor, atol=2e-5, rtol=0)
    assert first["losses"] == pytest.approx(history.losses, rel=1e-4)
    assert first["losses"] == second["losses"]
    best = load_model(tmp_path / "best.safetensors").state_dict()
    assert all(torch.equal(tensor, first["plain"][name]) for name, tensor in best.items())
    assert "batch_size=3 cannot be shared by 2 processes" in first["refused"]


def test_importing_is_light():
    code = """
import sys, course_utils.training, course_utils.metrics, course_utils.models.dncnn
heavy = ("accelerate", "torchvision", "skimage", "matplotlib", "ipywidgets", "cv2")
print([name for name in heavy if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
