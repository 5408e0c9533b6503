"""What exercises that ask for a network share: how to look at one that a student wrote, whatever its parts are called.

For probes, within `undisturbed(rng)` and `torch.no_grad()`: count its parameters, fill them from a seed in the order in
which its layers work, and ask what it then makes of an image: every right network answers alike. For claims: the
sentences for a wrong number of parameters, an output of another shape and a forgotten `config`.
"""

import itertools
import json
import zlib
from collections import Counter

import numpy as np

from course_utils.exercises.probing import agrees, array, ask, likely, number, trouble

# --- For probes ---


def ask_about_size(evidence, i, network):
    """Ask for the numbers of a network that `network()` makes: its parameters, its config and its receptive radius.

    They are noted as "parameters i", "config i" (a text, JSON with sorted keys: a tuple equals a list) and "radius i".
    """
    ask(evidence, f"parameters {i}", lambda: count_parameters(network()))
    ask(evidence, f"config {i}", lambda: json.dumps(dict(network().config), sort_keys=True, default=str)[:300])
    ask(evidence, f"radius {i}", lambda: number(network().receptive_radius))


def ask_to_restore(evidence, network, image):
    """Ask a network that `network()` makes, in evaluation mode, to `restore` the image; then one in training mode.

    Noted are "restored", and "restore in training: mode" and ": gradients", 1 where restore left them as they were.
    """
    ask(evidence, "restored", lambda: array(network().restore(image.clone())))
    ask(evidence, "restore in training", lambda: _restore_in_training(network(), image))


def _restore_in_training(network, image):
    import torch

    with torch.enable_grad():
        restored = network.train().restore(image.clone())
    return {"mode": int(all(part.training for part in network.modules())), "gradients": int(restored.requires_grad)}


def count_parameters(network):
    """How many numbers it learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def largest(output, beside):
    """The largest size of a value, on top of a number that is known from this image alone: 0 is too easy to guess."""
    values = array(output)
    return float(beside) + float(np.abs(values).max()) if isinstance(values, np.ndarray) else values


def layers_at_work(network, image):
    """The layers without parts of their own, in the order in which a run of the network calls them."""
    called = []
    note = lambda layer, _: called.append(layer)
    hooks = [m.register_forward_pre_hook(note) for m in network.modules() if not list(m.children())]
    try:
        network.eval()(image.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return called


SHORT = {"Conv2d": "conv", "BatchNorm2d": "norm", "PixelShuffle": "shuffle"}
FUNCTIONS = {"conv2d": "conv", "batch_norm": "norm", "pixel_shuffle": "shuffle"}  # by the name that PyTorch gives them
FUNCTIONS |= {"relu": "ReLU", "prelu": "PReLU", "leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU"}
FUNCTIONS |= {"sigmoid": "Sigmoid", "tanh": "Tanh", "clamp": "clamp", "clip": "clamp", "clamp_min": "clamp"}


def names_of_layers(network, image):
    """The layers at work as a text, "conv ReLU conv norm ReLU conv", be they modules or functions such as torch.relu.

    What is written in another way, x * (x > 0) for ReLU, is not seen: see `wrong_layers`.
    """
    from torch.overrides import TorchFunctionMode

    names, within = [], []  # within: the modules that are running

    class Functions(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if not within and (name := _name_of_function(function, args, kwargs or {})):
                names.append(name)
            return function(*args, **(kwargs or {}))

    def start(module, _):
        within.append(module)
        names.append(SHORT.get(type(module).__name__, type(module).__name__))

    leaves = [module for module in network.modules() if module is not network and not list(module.children())]
    hooks = [module.register_forward_pre_hook(start) for module in leaves]
    hooks += [module.register_forward_hook(lambda *_: within.clear()) for module in leaves]
    try:
        with Functions():
            network.eval()(image.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return " ".join(names)[:300]


def _name_of_function(function, args, kwargs):
    """What a function of PyTorch is in the text, or None; clamp(min=0) is ReLU."""
    name = FUNCTIONS.get(getattr(function, "__name__", "").rstrip("_"))
    if name == "clamp":
        low, high = [*args[1:], None, None][:2]
        low, high = kwargs.get("min", low), kwargs.get("max", high)
        return "ReLU" if isinstance(low, int | float) and low == 0 and high is None else name
    return name


def filled(network, image, seed, by_shape=False):
    """The network in evaluation mode, with parameters and statistics drawn from the seed in the order of the layers.

    The order is that in which they work; so names, and the order of the lines in `__init__`, play no part. Where a
    network has branches, that order is free as well: with by_shape=True each tensor is drawn for its name ("weight",
    "bias"), its shape and its place among those of the same, as `drawn` says.
    """
    import torch

    rng, done, before = np.random.default_rng(seed), set(), Counter()
    for layer in [*layers_at_work(network, image), *network.modules()]:
        tensors = itertools.chain(layer.named_parameters(recurse=False), layer.named_buffers(recurse=False))
        for name, tensor in tensors:
            if id(tensor) not in done and tensor.is_floating_point():
                done.add(id(tensor))
                key, shape = _key(name, tensor.shape), tuple(tensor.shape)
                values = drawn(seed, name, shape, before[key]) if by_shape else _draw(rng, name, shape)
                tensor.copy_(torch.from_numpy(values))
                before[key] += 1
    return network.eval()


def drawn(seed, name, shape, before=0):
    """What `filled` with by_shape=True gives a tensor that has so many of its name and shape before it: an array.

    The weights of a linear layer, (a, b), are those of a 1x1 convolution, (a, b, 1, 1): both do the same.
    """
    return _draw(np.random.default_rng([seed, *_key(name, shape), before]), name, shape)


def _key(name, shape):
    """Numbers for the kind and the shape of a tensor."""
    known = name if name in ("weight", "running_mean", "running_var") else "bias"  # whatever a student calls it
    kind = zlib.crc32(known.encode()) if len(shape) == 1 else 0
    return kind, *([int(shape[0]), int(np.prod(shape[1:]))] if len(shape) else [])


def _draw(rng, name, shape):
    if name == "running_var":
        return rng.uniform(2, 4, shape)
    if len(shape) > 1:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return rng.uniform(0.5, 1.5, shape) if name == "weight" else 0.3 * rng.standard_normal(shape)


# --- For claims ---


def wrong_count(found, wanted, call, causes, default):
    """The sentence for a number of parameters that is not the expected one; causes: {found - wanted: cause}."""
    strange = trouble(found, call, "a network")
    if strange or agrees(found, wanted, rtol=0, atol=0):
        return strange
    if found == 0:
        return f"0 parameters, expected {wanted:,}: layers in a plain list are not found; put them into nn.Sequential"
    return f"{call} has {found:,} parameters, expected {wanted:,}: {causes.get(found - wanted, default)}"


def wrong_layers(evidence, expected, room=60):
    """The sentence for "layers", as `names_of_layers` has them, that are not the expected ones, or None.

    Where no activation is seen, there may be one that cannot be seen: the sentence allows for it.
    """
    found, right = evidence.get("layers"), expected["layers"]
    if not isinstance(found, str) or found == right:
        return None
    seen = "" if set(found.split()) - {*SHORT.values(), "clamp"} else "as far as can be seen "
    return f"{seen}it runs {found[:room] or 'no layer'}, expected {right}"


def missing_setting(evidence, i):
    """The sentence where `config i` or `radius i` was not there to be asked for, or None."""
    for name, key in (("config", f"config {i}"), ("receptive_radius", f"radius {i}")):
        found = evidence.get(key)
        if found is None or (isinstance(found, str) and found.startswith("AttributeError") and name in found):
            return f"the network has no attribute `{name}`, which checkpoints and tiling ask for: keep its line"
    return None


def wrong_config(evidence, expected, i, arguments="the four arguments"):
    """The sentence for a `config i` that does not tell the arguments, or None."""
    if evidence.get(f"config {i}") == expected[f"config {i}"]:
        return None
    return f"config is {evidence[f'config {i}'][:80]}, expected {arguments}, {expected[f'config {i}'][:80]}"


def restore_problem(noise="noise"):
    """The claim that `restore`, see `ask_to_restore`, gives y - R(y); R(y) is noted as `noise`, y is "image"."""

    def problem(evidence, expected):
        found, restored, image = evidence.get(noise), evidence.get("restored"), expected["image"]
        strange = trouble(restored, "restore", "the image without its noise") or trouble(found, "forward", "R(y)")
        if strange:
            return strange
        if found.shape != image.shape:
            return f"R(y) has the shape {found.shape}, the image {image.shape}: get R(y) right, then look again"
        if restored.shape != image.shape:
            return f"restore gives the shape {restored.shape}, expected {image.shape}: return y - self(y)"
        if agrees(restored.astype(np.float64) + found, image):  # not restored with y - R(y): that is easy to drown
            return _restore_in_training_problem(evidence)
        cause = likely(restored, _wrongly_restored(image, found), "return y - self(y)")
        return f"restore is off by up to {np.abs(restored - (image - found)).max():.2g} from y - R(y): {cause}"

    return problem


def _wrongly_restored(image, noise):
    return [
        (image + noise, "that is y + R(y): the noise is added once more; subtract it"),
        (noise - image, "that is R(y) - y; turn it round"),
        (noise, "that is R(y), the noise itself; subtract it from y"),
        (
            np.maximum(image - noise, 0),
            "it has no values below 0; return it as it is, neither clipped nor through a ReLU",
        ),
        (np.clip(image - noise, 0, 1), "it is clipped to [0, 1]; the clipping comes later, in cu.restore"),
    ]


def _restore_in_training_problem(evidence):
    if "restore in training: mode" not in evidence:
        return trouble(evidence.get("restore in training"), "restore in training mode", "y - R(y)")
    if evidence["restore in training: mode"] != 1:
        return "after restore the network is no longer in training mode: leave `eval()` to whoever calls restore"
    if evidence["restore in training: gradients"] != 1:
        return (
            "what restore gives has no gradients: leave `no_grad` to whoever calls it, since some train through restore"
        )
    return None
