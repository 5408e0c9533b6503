"""Networks and training states on disk: safetensors files, which hold numbers and text and can run no code.

A model file holds the weights, the class name and the configuration: `load_model(path)` needs nothing else.
A state file holds all that a training needs to go on as if it had never stopped.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from course_utils import models
from course_utils.files import CourseError, atomic


def save_model(path, model, **notes):
    """Write a network to `path`: its weights, class name and `config`, and notes that JSON can hold (psnr=30.4, ...).

    The file appears under its name only when it is complete.

    Raises:
        CourseError: a weight is NaN or infinite.
    """
    about = {"network": type(model).__name__, "config": getattr(model, "config", None), "notes": notes}
    _write(path, model.state_dict(), about)


def load_model(path, into=None):
    """Read a network that `save_model` wrote; returns it on the CPU, in evaluation mode.

    Args:
        path: the file.
        into: a network to fill, for classes of your own; by default a class of course_utils.models is built.

    Raises:
        CourseError: no such file, not a safetensors file or a truncated one, no configuration inside, a network that
            course_utils.models does not have, weights that do not fit it, or NaN among them.
    """
    tensors, about = _read(path)
    model = _build(path, about) if into is None else into
    misfit = _misfit(tensors, model.state_dict())
    if misfit:
        way_out = "save it again with save_model" if into is None else "make it as it was when it was saved"
        raise CourseError(f"{path} does not fit {type(model).__name__}: {misfit}; {way_out}")
    model.load_state_dict(tensors)
    return model.eval()


def read_notes(path):
    """The notes of a model file, as `save_model` got them."""
    return _read(path)[1].get("notes", {})


def save_state(path, model, optimizer, about, best=None):
    """Write all that a training needs to go on: weights, the optimizer's moments, and `about`, which JSON can hold.

    Args:
        path: the file; it appears under its name only when it is complete.
        model: the network being trained.
        optimizer: its optimizer. Its settings (learning rate, ...) are not kept: give the same again.
        about: step, history, settings, ...
        best: a state_dict to keep beside the current weights: the best ones so far.

    Raises:
        CourseError: a number among them is NaN or infinite; the file is then left as it was.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    for name, tensor in (best or {}).items():
        tensors[f"best.{name}"] = tensor
    _write(path, tensors, {"state": about})


def load_state(path, model, optimizer):
    """Put a saved state into `model` and `optimizer`; returns (about, best) as `save_state` got them.

    Raises:
        CourseError: no such file, not a safetensors file or a truncated one, no state inside, or of another network.
    """
    tensors, about = _read(path)
    if "state" not in about:
        raise CourseError(f"{path} is a model, not the state of a training; give last.safetensors")
    groups = {"model": {}, "optimizer": {}, "best": {}}
    for key, tensor in tensors.items():
        group, name = key.split(".", 1)
        groups[group][name] = tensor
    misfit = _misfit(groups["model"], model.state_dict())
    if misfit:
        raise CourseError(f"{path} is the state of another {type(model).__name__}: {misfit}; train into another folder")
    moments = {}
    for key, tensor in groups["optimizer"].items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = tensor
    for index, parameter in enumerate(model.parameters()):  # moments lie in memory as their weights do
        for name, value in moments.get(index, {}).items():
            if value.shape == parameter.shape:
                moments[index][name] = torch.empty_like(parameter, device="cpu").copy_(value)
    model.load_state_dict(groups["model"])
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return about["state"], groups["best"] or None


def read_state(path):
    """What `save_state` got as `about`, without the weights."""
    return _read(path)[1].get("state", {})


def _write(path, tensors, about):
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _check_finite(path, tensors)
    content = save(tensors, metadata={"course_utils": json.dumps(about)})
    with atomic(path) as temporary:  # safetensors' own save_file leaves a hidden file behind when it is killed
        temporary.write_bytes(content)


def _read(path):
    """(tensors, what JSON says about them) of a file; nothing in it is ever run."""
    if not Path(path).is_file():
        raise CourseError(f"{path}: no such file; check the path, or train and save a model first")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("course_utils", "{}"))
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CourseError(f"{path} is no whole safetensors file ({reason}); copy or save it again") from None
    if not isinstance(about, dict) or not about:
        raise CourseError(f"{path} does not say which network it holds; save it with checkpoints.save_model")
    _check_finite(path, tensors)
    return tensors, about


def _check_finite(path, tensors):
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CourseError(f"{path}: {name} holds NaN or infinity: the training diverged; use a lower lr")


def _build(path, about):
    name, config = about.get("network"), about.get("config")
    if "state" in about:
        raise CourseError(f"{path} is the state of a training; the network to use is in best.safetensors beside it")
    if name not in models.__all__:
        known = f"course_utils.models has {', '.join(models.__all__)}"
        raise CourseError(f"{path} holds {name}, but {known}; build it yourself and call load_model(path, into=it)")
    if config is None:
        raise CourseError(f"{path} says no configuration of {name}; build it and call load_model(path, into=it)")
    try:
        return getattr(models, name)(**config)
    except (TypeError, ValueError, RuntimeError, MemoryError) as error:
        reason = str(error).splitlines()[0]
        raise CourseError(f"{path}: no {name} can be built from {config} ({reason}); save it again") from None


def _misfit(tensors, expected):
    """How two sets of tensors differ, in words; None where names and shapes agree."""
    if missing := sorted(expected.keys() - tensors.keys()):
        return f"{missing[0]} is missing ({len(missing)} in all)"
    if extra := sorted(tensors.keys() - expected.keys()):
        return f"{extra[0]} is unknown ({len(extra)} in all)"
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            return f"{name} is {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
    return None
