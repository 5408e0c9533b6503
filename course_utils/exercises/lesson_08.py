"""What lesson 8 asks: images as VGG expects them, features, total variation, the perceptual loss, and L1 with it."""

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.losses import gradient, gradient_problem
from course_utils.exercises.probing import agrees, array, ask, claim, described, likely, number, trouble, undisturbed

MEAN, STD = np.reshape((0.485, 0.456, 0.406), (3, 1, 1)), np.reshape((0.229, 0.224, 0.225), (3, 1, 1))

# --- imagenet_normalised ---


def probe_imagenet_normalised(answer, rng):
    """Ask for images as wide as there are colours, for others, twice for the same, for a gradient, for loud ones."""
    import torch

    shapes = {"three wide": (2, 3, 6, 3), "others": (3, 3, 5, 8), "twice": (1, 3, 4, 5), "loud": (2, 3, 4, 6)}
    images = {name: rng.uniform(0.05, 0.95, shape).astype(np.float32) for name, shape in shapes.items()}
    images["loud"] = (4 * images["loud"] - 1.5).astype(np.float32)  # what a network gives is not clipped
    weights = rng.uniform(0.5, 1.5, shapes["others"]).astype(np.float32)
    evidence = {f"{name}: images": each for name, each in images.items()} | {"weights": weights}
    with undisturbed(rng):
        for name, each in images.items():
            given = torch.from_numpy(each.copy())
            if name == "twice":
                ask(evidence, "first", lambda given=given: array(answer(given)))
            ask(evidence, name, lambda given=given: array(answer(given)))
        others = torch.from_numpy(images["others"].copy())
        ask(evidence, "gradient", lambda: _slope(answer, others, torch.from_numpy(weights)))
    return evidence


def _slope(answer, images, weights):
    """The gradient of the weighted sum of the answer at the images, or a text where there is none."""
    images = images.clone().requires_grad_()
    return _slope_of(answer(images), images, weights)


def _slope_of(found, images, weights):
    """The same for what the answer made of these very images."""
    if not hasattr(found, "backward"):
        return described(found)
    total = (found * weights).sum()
    if not total.requires_grad:
        return "returned a tensor without gradients"
    total.backward()
    return array(images.grad)


def _normalised_causes(images):
    """(value, cause) of the usual mistakes."""
    x = images.astype(np.float64)
    causes = [
        (x, "the images came back as they were"),
        ((255 * x - MEAN) / STD, "are the images multiplied by 255? They are in [0, 1], and so are mean and spread"),
        ((x / 255 - MEAN) / STD, "are the images divided by 255? They are in [0, 1] already"),
        ((x - MEAN) / STD**2, "is it divided by the variance? Divide by the standard deviation"),
        ((x - STD) / MEAN, "are mean and standard deviation swapped?"),
        (x - MEAN, "the mean is taken off; now divide by the standard deviation"),
        (x / STD, "divided by the standard deviation, but where is the mean taken off?"),
        (x / STD - MEAN, "first minus the mean, then divided: a bracket is missing"),
        (x - MEAN / STD, "first minus the mean, then divided: a bracket is missing"),
        ((x - MEAN) * STD, "is it multiplied by the standard deviation? Divide"),
        ((x + MEAN) / STD, "is the mean added? Take it off"),
        ((MEAN - x) / STD, "is the sign turned round? It is the images minus the mean"),
        ((x - MEAN[::-1]) / STD[::-1], "are red and blue swapped? The channels are red, green, blue"),
        ((np.clip(x, 0, 1) - MEAN) / STD, "is it clipped? What goes in may lie a little beyond [0, 1]"),
        ((x - 0.5) / 0.5, "that is to [-1, 1]; take the mean and the spread of ImageNet"),
    ]
    causes += _own_statistics(x)
    if x.shape[-1] == 3:
        rows = (x - MEAN.reshape(3)) / STD.reshape(3)
        causes.append((rows, "the three numbers went along the width: give them the shape (3, 1, 1)"))
    return causes


def _own_statistics(x):
    """(value, cause) where mean and spread are those of the given images, NumPy's spread or torch's."""
    causes = []
    for whose, axes in (("the batch's", (0, 2, 3)), ("the batch's", (0, 1, 2, 3)), ("each image's", (2, 3))):
        mean = x.mean(axis=axes, keepdims=True)
        cause = f"mean and standard deviation are {whose} own; ImageNet's are wanted, the same for all images"
        causes += [((x - mean) / x.std(axis=axes, ddof=ddof, keepdims=True), cause) for ddof in (0, 1)]
    return causes


def _normalised_problem(name, what):
    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted):
            return None
        if strange := trouble(found, f"imagenet_normalised of {what}", "a tensor"):
            return strange
        if found.shape != wanted.shape:
            return f"of {what} it has the shape {found.shape}, expected {wanted.shape}: one mean for each colour"
        i = int(np.argmax(np.abs(found - wanted)))
        cause = likely(found, _normalised_causes(expected[f"{name}: images"]), "(images - mean) / std, by colour")
        return f"of {what} a value is {found.flat[i]:.4g}, expected {wanted.flat[i]:.4g}: {cause}"

    return problem


def twice_problem(evidence, expected):
    found, wanted = evidence.get("twice"), expected["twice"]
    if agrees(found, wanted):
        return None
    if strange := trouble(found, "imagenet_normalised", "a tensor"):
        return strange
    if agrees(evidence.get("first"), expected["first"]):
        off = np.abs(found - wanted).max() if found.shape == wanted.shape else np.inf
        return f"asked twice for the same images, the second answer is off by {off:.3g}: are they changed in place?"
    return "asked twice for the same images, the first answer is not right yet either"


def slope_problem(evidence, expected):
    found, wanted = evidence.get("gradient"), expected["gradient"]
    if agrees(found, wanted):
        return None
    if isinstance(found, str) and "without gradients" in found:
        return "the result knows no gradient, expected one: a loss could not reach the images; keep detach() out of it"
    if isinstance(found, str) and "in-place" in found:
        return f"with gradients it raised {found[:90]}: make a new tensor; do not change the images in place"
    if strange := trouble(found, "imagenet_normalised with gradients", "a tensor"):
        return strange
    return "the gradient at the images is another one: it is 1 / std for each colour; is the result right?"


IMAGENET_NORMALISED = Exercise(
    name="imagenet_normalised",
    lesson="08_perceptual_loss",
    answer="imagenet_normalised",
    reference="course_utils.features:imagenet_normalised",
    probe=probe_imagenet_normalised,
    claims=(
        claim("each colour loses its mean and is divided by its spread", _normalised_problem("others", "5 x 8"), 2),
        claim("so it is for images that are three pixels wide", _normalised_problem("three wide", "6 x 3 pixels")),
        claim("the images themselves stay as they are", twice_problem),
        claim("gradients pass through it", slope_problem),
        claim("the same holds for values beyond [0, 1]", _normalised_problem("loud", "loud images"), hidden=True),
    ),
    hints=(
        "Three numbers for three colours: along which axis of (N, 3, H, W) do the colours lie?",
        "torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1) goes along that axis; do the same for the spread.",
        "mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1), std in the same way with its own three numbers, and "
        "then return (images - ...) / ...",
    ),
)

# --- features_at ---

A_DICT = "a dict from the names of layers to maps"
NAMES = ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1", "conv2_2", "relu2_2", "conv3_1")


def probe_features_at(answer, rng):
    """Ask for layers behind ReLUs, for convolutions, in another order, for a gradient; and of another network."""
    import torch

    images = rng.uniform(-1, 2, (2, 3, 8, 6)).astype(np.float32)
    maps = [int(each) for each in rng.integers(3, 6, 5)]
    choices = {
        "behind ReLUs": ["relu1_2", "relu2_1"],
        "of convolutions": ["conv1_2", "conv2_2"],
        "first": ["conv1_1"],
        "turned round": ["relu2_2", "pool1", "relu1_1"],
    }
    seed = int(rng.integers(2**32))
    weights = rng.uniform(0.5, 1.5, (2, maps[1], 8, 6)).astype(np.float32)
    evidence = {"images": images}
    with undisturbed(rng):
        network, runs = small_vgg(np.random.default_rng(seed), maps)
        x = torch.from_numpy(images)
        evidence |= {f"maps after {name}": each for name, each in network_maps(network, images).items()}
        for name, layers in choices.items():
            ask(evidence, name, lambda layers=layers: _asked(answer, network, runs, x.clone(), layers))
        ask(evidence, "gradient", lambda: _features_slope(answer, network, x, torch.from_numpy(weights)))
        other, runs = small_vgg(np.random.default_rng(seed + 1), maps[::-1], names="abcdefghij")
        ask(evidence, "hidden", lambda: _asked(answer, other, runs, x[:1, :, :, :4].clone(), ["c", "i", "h"]))
    return evidence


def small_vgg(rng, maps, names=NAMES):
    """(a network with the layers of NAMES, called `names`, weights from rng and ReLUs in place; the layers it ran)."""
    from collections import OrderedDict

    import torch
    from torch import nn

    layers, channels, widths, runs = OrderedDict(), 3, iter(maps), []
    for name, kind in zip(names, NAMES, strict=True):
        if kind.startswith("conv"):
            layers[name] = nn.Conv2d(channels, width := next(widths), 3, padding=1)
            for parameter in layers[name].parameters():
                parameter.data = torch.from_numpy(0.4 * rng.standard_normal(tuple(parameter.shape))).float()
            channels = width
        else:
            layers[name] = nn.ReLU(inplace=True) if kind.startswith("relu") else nn.MaxPool2d(2)
        layers[name].register_forward_pre_hook(lambda module, given, name=name: runs.append(name))
    return nn.Sequential(layers).requires_grad_(False).eval(), runs


def network_maps(network, images):
    """{layer: what it makes of images, an array}, of every layer; of arrays (N, 3, H, W)."""
    import torch

    maps, found = torch.from_numpy(images.copy()), {}
    for name, layer in network.named_children():
        maps = layer(maps.clone())
        found[name] = maps.numpy().copy()
    return found


def _asked(answer, network, runs, images, layers):
    """What came: the names in their order, the maps of each layer, and the layers that ran."""
    runs.clear()
    found = answer(network, images, list(layers))
    if not isinstance(found, dict):
        return described(found)
    maps = {f"maps of {name}": array(found[name]) if name in found else "is missing" for name in layers}
    return {"names": " ".join(map(str, found))[:200], "layers run": " ".join(runs)[:300], "asked": 1} | maps


def _features_slope(answer, network, images, weights):
    """The gradient of the weighted sum of relu1_2 at the images, or a text where there is none."""
    images = images.clone().requires_grad_()
    found = answer(network, images, ["relu1_2"])
    if not isinstance(found, dict):
        return described(found)
    if "relu1_2" not in found:
        return "is missing"
    return _slope_of(found["relu1_2"], images, weights)


def _features_problem(name, *layers):
    def problem(evidence, expected):
        came = evidence.get(name, evidence.get(f"{name}: asked"))
        if strange := trouble(came, "features_at", A_DICT):
            return strange
        for layer in layers:
            found, wanted = evidence.get(f"{name}: maps of {layer}"), expected[f"{name}: maps of {layer}"]
            if agrees(found, wanted):
                continue
            if isinstance(found, str) and found == "is missing":
                return f"{layer} is missing in what came, {evidence.get(f'{name}: names')!r:.60}: keep it when it ran"
            if strange := trouble(found, f"the features of {layer}", "a tensor"):
                return strange
            cause = _features_cause(found, wanted, layer, expected)
            if found.shape != wanted.shape:
                return f"the features of {layer} have the shape {found.shape}, expected {wanted.shape}: {cause}"
            return f"the features of {layer} are off by up to {np.abs(found - wanted).max():.3g}: {cause}"
        return None

    return problem


def _features_cause(found, wanted, layer, expected):
    if layer.startswith("conv") and agrees(found, np.maximum(wanted, 0)):
        return "all below 0 is gone; the ReLU behind it works in place, on the very tensor you kept: keep a clone()"
    place = NAMES.index(layer) if layer in NAMES else 0
    if place and agrees(found, expected.get(f"maps after {NAMES[place - 1]}")):
        return "that is what goes into this layer; keep what comes out of it"
    if place and agrees(found, expected.get(f"maps after {NAMES[min(place + 1, len(NAMES) - 1)]}")):
        return "that is what comes out of the layer behind it"
    if agrees(found, expected["images"]):
        return "that is the image; keep what the layer makes of it"
    return "each layer works on what the layer before it gave, and what it gives is kept"


def order_problem(evidence, expected):
    if sentence := _features_problem("turned round", "relu2_2", "pool1", "relu1_1")(evidence, expected):
        return sentence
    found, wanted = evidence.get("turned round: names"), expected["turned round: names"]
    if found == wanted:
        return None
    if set(str(found).split()) != set(wanted.split()):
        return f"the names are {str(found)[:70]!r}, expected {wanted!r}: only the layers that were asked for"
    return f"the names came as {str(found)[:60]!r}, expected {wanted!r}: in the order of `layers`, not of the network"


def far_problem(evidence, expected):
    """Each layer has run once, and none behind the last that was asked for."""
    if sentence := _features_problem("first", "conv1_1")(evidence, expected):
        return sentence
    for name in ("first", "behind ReLUs"):
        found, wanted = evidence.get(f"{name}: layers run"), expected[f"{name}: layers run"]
        if found == wanted:
            continue
        if not isinstance(found, str):
            return "no layer of the network ran"
        found, wanted = found.split(), wanted.split()
        if found[: len(wanted)] == wanted:
            late = f"it ran {len(found)} layers, up to {found[-1]}, expected {len(wanted)}, up to {wanted[-1]}"
            return f"{late}: stop when all that was asked for is found"
        if again := [layer for layer in wanted if found.count(layer) > 1]:
            times = f"{again[0]} ran {found.count(again[0])} times, expected once"
            return f"{times}: go through the network once for all the layers, and not anew for each"
        return f"it ran {' '.join(found)[:60]!r}, expected {' '.join(wanted)[:60]!r}: each layer once, in their order"
    return None


def features_slope_problem(evidence, expected):
    found, wanted = evidence.get("gradient"), expected["gradient"]
    if agrees(found, wanted):
        return None
    if isinstance(found, str) and "without gradients" in found:
        return (
            "the features know no gradient, expected one: a loss must reach the images; no detach(), no torch.no_grad()"
        )
    if isinstance(found, str) and found == "is missing":
        return "relu1_2 is missing in what came, so that its gradient cannot be asked for: keep it when it ran"
    if strange := trouble(found, "features_at with gradients", A_DICT):
        return strange
    return "the gradient at the images is another one than that of the features of relu1_2; are the features right?"


def other_problem(evidence, expected):
    sentence = _features_problem("hidden", "c", "i", "h")(evidence, expected)
    return sentence and f"of a network whose layers are called a, b, c, ...: {sentence}"


FEATURES_AT = Exercise(
    name="features_at",
    lesson="08_perceptual_loss",
    answer="features_at",
    reference="course_utils.features:features_at",
    probe=probe_features_at,
    claims=(
        claim("behind a ReLU it finds the features", _features_problem("behind ReLUs", "relu1_2", "relu2_1"), points=2),
        claim("behind a convolution too", _features_problem("of convolutions", "conv1_2", "conv2_2")),
        claim("the names come in the order asked for, and no others", order_problem),
        claim("each layer runs once, and none behind the last one asked for", far_problem),
        claim("gradients pass through it", features_slope_problem),
        claim("the same holds for another network", other_problem, hidden=True),
    ),
    hints=(
        "A loop over `network.named_children()`; a variable for what the last layer gave, a dict to keep things in.",
        "Each layer works on what the one before it gave. Where its name is asked for, keep a copy of what it gave. "
        "How do you notice that you have them all? And in which order did you find them, in which are they wanted?",
        "maps = layer(maps); if name in layers: found[name] = maps.clone(); break when found has as many entries as "
        "layers. Behind the loop, {name: found[name] for name in layers}. No torch.no_grad() in here.",
    ),
)

# --- total_variation ---


def probe_total_variation(answer, rng):
    """Ask for batches that are rough down, across, and both; for a gradient; and for grey images of another size."""
    import torch

    both = rng.uniform(0, 1, (3, 3, 6, 9)).astype(np.float32)
    images = {
        "both": both,
        "down": np.repeat(rng.uniform(0, 1, (2, 3, 7, 1)), 5, axis=3).astype(np.float32),
        "across": np.repeat(rng.uniform(0, 1, (2, 3, 1, 8)), 6, axis=2).astype(np.float32),
        "grey": rng.uniform(0, 0.8, (1, 1, 11, 4)).astype(np.float32),
    }
    kept = rng.integers(0, 2, both.shape).astype(np.float32)
    evidence = {f"{name}: images": each for name, each in images.items()} | {"kept": kept}
    with undisturbed(rng):
        for name, each in images.items():
            ask(evidence, name, lambda each=each: number(answer(torch.from_numpy(each.copy()))))
        whole = torch.from_numpy(both.copy())
        only = lambda output, degraded, clean: answer(output)
        ask(evidence, "gradient", lambda: gradient(only, whole, whole, whole, torch.from_numpy(kept)))
    return evidence


def _roughness_causes(images):
    """(value, cause) of the usual mistakes."""
    x = images.astype(np.float64)
    down, across = np.diff(x, axis=2), np.diff(x, axis=3)
    mean, total = lambda d: np.abs(d).mean(), lambda d: np.abs(d).sum()
    square = lambda d: np.square(d).mean()
    inner = np.sqrt(np.square(down[..., :-1]) + np.square(across[..., :-1, :]))
    wrapped = [np.abs(x - np.roll(x, 1, axis=axis)).mean() for axis in (2, 3)]
    images, channels = (mean(np.diff(x, axis=axis)) if x.shape[axis] > 1 else np.nan for axis in (0, 1))
    return [
        (total(down) + total(across), "that is the sum over all pixels; take the mean of each direction"),
        ((total(down) + total(across)) / len(x), "that is the sum over each image; take the mean of each direction"),
        ((total(down) + total(across)) / x.size, "is it divided by the number of pixels? There are fewer differences"),
        ((mean(down) + mean(across)) / 2, "that is half of it; the two directions are added"),
        (mean(down), "only the differences down are in it; those across are missing"),
        (mean(across), "only the differences across are in it; those down are missing"),
        (square(down) + square(across), "are the differences squared? Take their absolute values"),
        (down.mean() + across.mean(), "without absolute values, up and down cancel out"),
        (np.sqrt(inner**2 + 0).mean(), "that is the isotropic kind, with a root; add the two directions up here"),
        (inner.sum(), "that is the isotropic kind, with a root; add the two directions up here"),
        (sum(wrapped), "are the first and the last pixel neighbours? roll() goes round; take diff()"),
        (
            images + channels,
            "those are differences over the batch and the channels; rows and columns are axes -2 and -1",
        ),
        (channels + mean(down), "are differences of colours taken? The axes are -2 and -1, not 1"),
        (channels + mean(across), "are differences of colours taken? The axes are -2 and -1, not 1"),
    ]


def _roughness_problem(name, what):
    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted):
            return None
        if strange := trouble(found, f"total_variation of {what}", "one number"):
            return strange
        default = "is it the mean of the absolute differences down, plus that across?"
        cause = likely(found, _roughness_causes(expected[f"{name}: images"]), default)
        return f"of {what} it is {found:.5g}, expected {wanted:.5g}: {cause}"

    return problem


TOTAL_VARIATION = Exercise(
    name="total_variation",
    lesson="08_perceptual_loss",
    answer="total_variation",
    reference="course_utils.losses:total_variation",
    probe=probe_total_variation,
    claims=(
        claim("it is the mean difference down plus that across", _roughness_problem("both", "3 images"), points=2),
        claim("stripes from left to right count", _roughness_problem("down", "images with stripes across")),
        claim("stripes from top to bottom count", _roughness_problem("across", "images with upright stripes")),
        claim("it is a scalar tensor with a gradient", gradient_problem("total_variation", "the images")),
        claim("the same holds for a grey image", _roughness_problem("grey", "a grey image"), hidden=True),
    ),
    hints=(
        "There are two kinds of neighbours: below each other and beside each other. Treat each kind by itself.",
        "images.diff(dim=-2) are the differences down; a tensor has the methods abs() and mean().",
        "images.diff(dim=-2).abs().mean() plus the same for dim=-1.",
    ),
)

# --- perceptual_loss ---


def probe_perceptual_loss(answer, rng):
    """Ask for the loss at one layer, at two, in another order, its gradients; and with another network."""
    import torch

    restored, clean = rng.uniform(0.1, 0.9, (2, 2, 3, 8, 8)).astype(np.float32)
    seed, maps = int(rng.integers(2**32)), [int(each) for each in rng.integers(3, 6, 5)]
    choices = {"one": ["relu1_2"], "two": ["relu1_1", "relu2_1"], "convolutions": ["conv1_2", "conv2_1", "relu2_2"]}
    evidence = {"restored": restored, "clean": clean}
    with undisturbed(rng):
        network = small_vgg(np.random.default_rng(seed), maps)[0]
        x, y = torch.from_numpy(restored), torch.from_numpy(clean)
        for what, images in (("restored", restored), ("clean", clean)):
            proper = ((images - MEAN) / STD).astype(np.float32)
            for form, given in (("as is", images), ("normalised", proper)):
                maps_of = network_maps(network, given)
                evidence |= {f"{form} {what} {layer}": maps_of[layer] for layer in (*choices["one"], *choices["two"])}
        for name, layers in choices.items():
            ask(evidence, name, lambda layers=layers: number(answer(network, x.clone(), y.clone(), layers)))
        ask(evidence, "slopes", lambda: _two_slopes(answer, network, x, y))
        other = small_vgg(np.random.default_rng(seed + 1), maps[::-1], names="abcdefghij")[0]
        ask(evidence, "other", lambda: number(answer(other, x[:1].clone(), y[:1].clone(), ["d", "b"])))
    return evidence


def _two_slopes(answer, network, restored, clean):
    """The gradient at the restored images, and the largest at the clean ones."""
    restored, clean = restored.clone().requires_grad_(), clean.clone().requires_grad_()
    value = answer(network, restored, clean, ["relu1_1", "relu2_1"])
    if value is None:
        return described(value)
    if not hasattr(value, "backward") or not value.requires_grad:
        return "returned a loss without gradients"
    value.backward()
    at = "is missing" if restored.grad is None else array(restored.grad)
    return {"restored": at, "clean": 0.0 if clean.grad is None else float(clean.grad.abs().max())}


def _distance_causes(expected, layers):
    """(value, cause) of the usual mistakes, for the loss at these layers."""
    distance = lambda form, f: [
        f(expected[f"{form} restored {layer}"].astype(np.float64) - expected[f"{form} clean {layer}"])
        for layer in layers
    ]
    mean, square = lambda d: np.abs(d).mean(), lambda d: np.square(d).mean()
    causes = [
        (np.mean(distance("as is", mean)), "the images went in as they are: imagenet_normalised comes first"),
        (np.mean(distance("as is", square)), "squares, and images that are not normalised: abs(), imagenet_normalised"),
        (np.mean(distance("normalised", square)), "are the differences squared? Take their absolute values"),
        (np.sum(distance("normalised", square)), "are the differences squared? Take their absolute values"),
        (np.mean(distance("normalised", np.mean)), "without absolute values, differences of both signs cancel out"),
        (np.mean(distance("normalised", lambda d: np.abs(d).sum())), "that is the sum over a layer; take its mean"),
        (np.sum(distance("normalised", lambda d: np.abs(d).sum())), "that is the sum over all; take the means"),
        (np.mean(distance("normalised", lambda d: np.sqrt(square(d)))), "is a root of squares taken? abs() and mean()"),
    ]
    if len(layers) > 1:
        each = distance("normalised", mean)
        everything = np.concatenate([d.ravel() for d in distance("normalised", lambda d: d)])
        causes += [
            (sum(each), "that is the sum over the layers; divide by their number"),
            (each[-1], "only the last layer is in it; add them all up"),
            (each[0], "only the first layer is in it; add them all up"),
            (each[-1] / len(each), "only the last layer is in it; add them all up"),
            (mean(everything), "large layers count for more; take the mean of each layer first"),
        ]
    raw = [
        np.abs(expected[f"normalised restored {layer}"] - expected[f"as is clean {layer}"]).mean() for layer in layers
    ]
    causes.append((np.mean(raw), "only the restored images are normalised, and the clean ones are not"))
    return causes


def _distance_problem(name, what, layers=()):
    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted):
            return None
        if strange := trouble(found, f"perceptual_loss at {what}", "one number"):
            return strange
        default = "is it the mean absolute difference of the features at each layer, and the mean over the layers?"
        cause = likely(found, _distance_causes(expected, layers), default) if layers else default
        return f"at {what} the loss is {found:.5g}, expected {wanted:.5g}: {cause}"

    return problem


def slopes_problem(evidence, expected):
    came = evidence.get("slopes", evidence.get("slopes: clean"))
    if strange := trouble(came, "perceptual_loss with gradients", "a scalar tensor"):
        if "without gradients" in strange:
            return (
                "the loss knows no gradient, expected one at `restored`: torch.no_grad() is for the clean images alone"
            )
        return strange
    found, wanted = evidence.get("slopes: restored"), expected["slopes: restored"]
    if isinstance(found, str) and found == "is missing":
        return (
            "no gradient reaches `restored`, so that nothing can be learnt: is torch.no_grad() around the wrong images?"
        )
    if strange := trouble(found, "the gradient at `restored`", "a tensor"):
        return strange
    if not agrees(found, wanted):
        return "the gradient at the restored images is another one: is the loss right?"
    if not agrees(evidence.get("slopes: clean"), 0.0, rtol=0, atol=0):
        largest = evidence.get("slopes: clean")
        off = f"up to {largest:.2g}" if isinstance(largest, float) else "something"
        return f"a gradient is kept for `clean` too, {off}, expected none: find its features in `with torch.no_grad():`"
    return None


PERCEPTUAL_LOSS = Exercise(
    name="perceptual_loss",
    lesson="08_perceptual_loss",
    answer="perceptual_loss",
    reference="course_utils.losses:perceptual_loss",
    probe=probe_perceptual_loss,
    claims=(
        claim("at one layer it is the mean absolute difference", _distance_problem("one", "relu1_2", ["relu1_2"]), 2),
        claim(
            "at several layers it is the mean of theirs",
            _distance_problem("two", "relu1_1 and relu2_1", ["relu1_1", "relu2_1"]),
        ),
        claim("at convolutions too", _distance_problem("convolutions", "two convolutions and a ReLU")),
        claim("gradients reach the restored images, and none are kept for the clean ones", slopes_problem),
        claim("the same holds for another network", _distance_problem("other", "two layers called d, b"), hidden=True),
    ),
    hints=(
        "Twice the same: normalise, find the features. Then compare the two dicts, layer by layer.",
        "features_at(network, imagenet_normalised(restored), layers); the clean images within `with torch.no_grad():`. "
        "For each layer (one - other).abs().mean().",
        "distances = [(found[name] - wanted[name]).abs().mean() for name in layers], and then their sum over their "
        "number.",
    ),
)

# --- l1_perceptual ---


def probe_l1_perceptual(answer, rng):
    """Ask for the loss with weight 0, with others, with the defaults, its gradient, its state; another network."""
    import torch

    noise, degraded, clean = rng.uniform(0.1, 0.9, (3, 2, 3, 8, 8)).astype(np.float32)
    noise = (0.6 * noise - 0.3).astype(np.float32)
    inputs = np.stack([noise, degraded, clean])
    kept = rng.integers(0, 2, noise.shape).astype(np.float32)
    weight, seed = float(rng.uniform(0.3, 0.8)), int(rng.integers(2**32))
    layers, evidence = ["relu1_1", "relu2_1"], {"inputs": inputs, "kept": kept, "weight": weight}
    with undisturbed(rng):
        network, other = (small_vgg(np.random.default_rng(seed + i), [4, 4, 5, 5, 4])[0] for i in (0, 1))
        images = {"right": degraded - noise, "clean": clean, "plus": degraded + noise, "noise": noise}
        images |= {"added": degraded - clean, "degraded": degraded, "clamped": np.clip(degraded - noise, 0, 1)}
        for name, each in images.items():
            maps = network_maps(network, ((each - MEAN) / STD).astype(np.float32))
            evidence |= {f"{name} {layer}": maps[layer] for layer in layers}
        given = torch.from_numpy(inputs.copy())
        ask(evidence, "pixels", lambda: number(answer(network, weight=0.0, layers=layers)(*given)))
        ask(evidence, "both", lambda: number(answer(network, weight=weight, layers=layers)(*given)))
        ask(evidence, "gradient", lambda: gradient(answer(network, weight, layers), *given, torch.from_numpy(kept)))
        ask(evidence, "at clean", lambda: _largest_at_clean(answer(network, weight, layers), *given))
        ask(evidence, "module", lambda: _taken_along(answer(network, weight, layers), network))
        ask(evidence, "defaults", lambda: number(answer(_with_all_layers(network))(*given)))
        ask(evidence, "other", lambda: number(answer(other, 2 * weight, ["conv1_2"])(*given[:, :1])))
    return evidence


def _largest_at_clean(loss, noise, degraded, clean):
    """The largest gradient at the clean images: they have one of L1 at most."""
    clean = clean.clone().requires_grad_()
    value = loss(noise, degraded, clean)
    if not hasattr(value, "backward"):
        return described(value)
    if not value.requires_grad:
        return 0.0
    value.backward()
    return 0.0 if clean.grad is None else float(clean.grad.abs().max())


def _taken_along(loss, network):
    """How large each weight is that layers up to relu2_1 have, 0 where the loss does not hold it; or what came."""
    import torch

    if not isinstance(loss, torch.nn.Module):
        return described(loss)
    own = [each for each in loss.state_dict().values() if isinstance(each, torch.Tensor)]
    held = lambda weight: any(weight.shape == each.shape and bool((weight == each).all()) for each in own)
    needed = [each for name, each in network.state_dict().items() if name.startswith(("conv1_", "conv2_1"))]
    return np.array([float(each.abs().mean()) if held(each) else 0.0 for each in needed])


def _with_all_layers(network):
    """The network with a relu3_1 at its end, as the default layers need it."""
    from collections import OrderedDict

    from torch import nn

    return nn.Sequential(OrderedDict([*network.named_children(), ("relu3_1", nn.ReLU())]))


def _not_restored(inputs):
    """(name in the evidence, images, cause) of what is taken for the restored images y - R(y) by mistake."""
    noise, degraded, _ = inputs.astype(np.float64)
    return [
        ("plus", degraded + noise, "is the noise added? The restored image is degraded - predicted_noise"),
        ("noise", noise, "is R(y) compared with the clean image? The restored image is y - R(y)"),
        ("degraded", degraded, "R(y) is not in it: the restored image is degraded - predicted_noise"),
        (
            "clamped",
            np.clip(degraded - noise, 0, 1),
            "is the restored image clamped to [0, 1]? Not here: what lies beyond is an error too",
        ),
    ]


def _pixels_causes(inputs):
    noise, degraded, clean = inputs.astype(np.float64)
    error = degraded - noise - clean
    return [
        (np.square(error).mean(), "are the errors of the pixels squared? L1 is the mean of their absolute values"),
        (np.abs(error).sum(), "that is the sum; L1 is the mean"),
        (np.abs(error).mean() * 0, "with weight 0 L1 is still there: it has the weight 1"),
        *[(np.abs(each - clean).mean(), cause) for _, each, cause in _not_restored(inputs)],
        (np.square(error).sum() / 4, "that is DnCNN's residual loss; L1 is the mean absolute error"),
        (error.mean(), "without absolute values, errors of both signs cancel out"),
    ]


def pixels_problem(evidence, expected):
    found, wanted = evidence.get("pixels"), expected["pixels"]
    if agrees(found, wanted):
        return None
    if isinstance(found, str) and "'L1Perceptual' object is not callable" in found:
        return f"{found[:70]}; it is called like a function: write `class L1Perceptual(nn.Module)`, with `forward`"
    if strange := trouble(found, "L1Perceptual(network, weight=0.0)(...)", "one number"):
        return strange
    cause = likely(found, _pixels_causes(expected["inputs"]), "it is L1 alone, of y - R(y) and x")
    return f"with weight 0 the loss is {found:.5g}, expected {wanted:.5g}: {cause}"


def both_problem(evidence, expected):
    found, wanted = evidence.get("both"), expected["both"]
    if agrees(found, wanted):
        return None
    if strange := trouble(found, "L1Perceptual(network, weight)(...)", "one number"):
        return strange
    cause = likely(found, _both_causes(expected), "L1 + weight * perceptual_loss of y - R(y) and x")
    weight = f"with weight {expected['weight']:.3g}"
    return f"{weight} the loss is {found:.5g}, expected {wanted:.5g}: {cause}"


def _both_causes(expected):
    noise, degraded, clean = expected["inputs"].astype(np.float64)
    pixels, weight = np.abs(degraded - noise - clean).mean(), expected["weight"]
    apart = lambda one, other: np.mean(
        [np.abs(expected[f"{one} {layer}"] - expected[f"{other} {layer}"]).mean() for layer in ("relu1_1", "relu2_1")]
    )
    right = apart("right", "clean")
    return [
        *[
            (np.abs(each - clean).mean() + weight * apart(name, "clean"), cause)
            for name, each, cause in _not_restored(expected["inputs"])
        ],
        (
            np.square(degraded - noise - clean).mean() + weight * right,
            "are the errors of the pixels squared? L1 is the mean of their absolute values",
        ),
        (pixels, "the features are not in it: add weight * perceptual_loss(...)"),
        (pixels + right, "is the weight forgotten? It is weight * perceptual_loss(...)"),
        (pixels + 0.1 * right, "is the weight always 0.1? It is an argument"),
        (weight * right, "L1 is missing: add the mean absolute error of the pixels"),
        (weight * pixels + right, "the weight belongs to the features, not to L1"),
        (weight * (pixels + right), "the weight belongs to the features alone"),
        ((1 - weight) * pixels + weight * right, "L1 has the weight 1, not 1 - weight"),
        (
            pixels + weight * apart("noise", "added"),
            "the features of R(y) and y - x are compared; take those of images",
        ),
        (pixels + weight * apart("noise", "clean"), "the features of R(y) itself are compared; take those of y - R(y)"),
        (pixels + weight * apart("plus", "clean"), "features of y + R(y)? The restored image is y - R(y)"),
        (pixels + weight * apart("right", "degraded"), "is it compared with the degraded image? With the clean one"),
        (
            pixels + weight * apart("degraded", "clean"),
            "features of the degraded image? Take those of the restored one",
        ),
        (
            pixels + weight * apart("clamped", "clean"),
            "features of the image clamped to [0, 1]? It is not clamped here",
        ),
    ]


def both_gradients_problem(evidence, expected):
    """L1 and the features both teach: the gradient is that of the whole loss."""
    found, wanted = evidence.get("gradient"), expected["gradient"]
    if agrees(found, wanted):
        return None
    if sentence := gradient_problem("L1Perceptual", "R(y)")(evidence, expected):
        return sentence
    if both_problem(evidence, expected):
        return "the gradient at R(y) is not right yet either: the loss is another one"
    noise, degraded, clean = expected["inputs"].astype(np.float64)
    kept = expected["kept"]
    pixels = -kept * np.sign(degraded - kept * noise - clean) / noise.size
    if agrees(found, pixels):
        at_clean = evidence.get("at clean")
        turned = isinstance(at_clean, float) and at_clean > 1.01 / noise.size  # more than L1 can bring there
        cause = "perceptual_loss keeps gradients of its first image, so give the restored one first"
        cause += "" if turned else ", and no detach()"
        return f"at R(y) only L1 has a gradient, expected one of the features too: {cause}"
    if agrees(found, wanted - pixels):
        return "at R(y) only the features have a gradient, expected one of L1 too: no detach() and no torch.no_grad()"
    off = f"off by up to {np.abs(found - wanted).max():.2g}, the largest is {np.abs(wanted).max():.2g}"
    return f"the loss is right, and its gradient at R(y) is {off}: is each part made of the same y - R(y), undetached?"


def module_problem(evidence, expected):
    found, wanted = evidence.get("module"), expected["module"]
    if agrees(found, wanted):
        return None
    device = "so that a training takes the feature network to its device"
    if isinstance(found, str) and found.startswith("returned ") and not found.startswith("returned None"):
        return f"L1Perceptual(network) is no nn.Module, expected one, {device}: write `class L1Perceptual(nn.Module)`"
    if strange := trouble(found, "L1Perceptual(network)", "an nn.Module"):
        return strange
    if not np.any(found):
        hint = "`self.network = network`, not in a list"
        return f"no weight of the feature network is in state_dict(), expected all, {device}: {hint}"
    return "not all weights of the feature network are in the module as they were: keep the network unchanged"


def defaults_problem(evidence, expected):
    found, wanted = evidence.get("defaults"), expected["defaults"]
    if agrees(found, wanted):
        return None
    if strange := trouble(found, "L1Perceptual(network)(...)", "one number"):
        return strange
    if both_problem(evidence, expected):
        return "with the defaults it is not right yet either"
    return f"L1Perceptual(network) gives {found:.5g}, expected {wanted:.5g}: weight=0.1, and the three layers as given"


def other_loss_problem(evidence, expected):
    found, wanted = evidence.get("other"), expected["other"]
    if agrees(found, wanted):
        return None
    if strange := trouble(found, "L1Perceptual of another network", "one number"):
        return strange
    return f"with another network the loss is {found:.5g}, expected {wanted:.5g}: use the arguments that are given"


L1_PERCEPTUAL = Exercise(
    name="l1_perceptual",
    lesson="08_perceptual_loss",
    answer="L1Perceptual",
    reference="course_utils.losses:L1Perceptual",
    probe=probe_l1_perceptual,
    claims=(
        claim("with weight 0 it is L1 of the restored image", pixels_problem),
        claim("otherwise it is L1 + weight * perceptual loss", both_problem, points=2),
        claim("the defaults are weight 0.1 and the layers relu1_2, relu2_2, relu3_1", defaults_problem),
        claim("it gives a scalar tensor, and both parts have their share in its gradient", both_gradients_problem),
        claim("it is a module and takes the feature network along", module_problem),
        claim("the same holds for another network and other layers", other_loss_problem, hidden=True),
    ),
    hints=(
        "`forward` is given the noise that a network predicts, and both parts compare images. Which image is missing?",
        "(restored - clean).abs().mean() is L1, of the restored image y - R(y). Add self.weight times perceptual_loss "
        "of the same two images, in the same order.",
        "restored = degraded - predicted_noise; return (restored - clean).abs().mean() + self.weight * "
        "perceptual_loss(self.network, ..., ..., self.layers).",
    ),
)

EXERCISES = (IMAGENET_NORMALISED, FEATURES_AT, TOTAL_VARIATION, PERCEPTUAL_LOSS, L1_PERCEPTUAL)
