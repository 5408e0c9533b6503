"""What lesson 7 asks: four attention blocks, and a DnCNN with such blocks in it."""

import json

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.networks import (
    ask_about_size,
    ask_to_restore,
    count_parameters,
    drawn,
    filled,
    largest,
    missing_setting,
    restore_problem,
    wrong_config,
    wrong_count,
)
from course_utils.exercises.probing import agrees, array, ask, claim, described, likely, trouble, undisturbed

# --- What the blocks share ---


def features_of(rng, channels, height=9, width=8):
    """Two images' feature maps, float32 (2, channels, height, width): each map has a mean and a spread of its own."""
    middle, spread = rng.uniform(-1, 1.5, (2, channels, 1, 1)), rng.uniform(0.3, 1.2, (2, channels, 1, 1))
    return (middle + spread * rng.standard_normal((2, channels, height, width))).astype(np.float32)


def ask_about_block(evidence, name, rng, build, channels, weights=True):
    """Ask what a block with parameters from a seed makes of feature maps, and for its weights.

    Notes "name: features", "name: seed", "name" (the output) and "name: weights".
    """
    import torch

    features, seed = features_of(rng, channels), int(rng.integers(2**32))
    evidence |= {f"{name}: features": features, f"{name}: seed": seed}
    x = torch.from_numpy(features.copy())
    block = lambda: filled(build(), x, seed, by_shape=True)
    ask(evidence, name, lambda: array(block()(x.clone())))
    if weights:
        ask(evidence, f"{name}: weights", lambda: array(block().weights(x.clone())))


def sizes_of(rng):
    """Two pairs (channels, reduction), both unusual; the first is no multiple."""
    reduction = int(rng.integers(3, 6))
    first = reduction * int(rng.integers(3, 7)) + int(rng.integers(1, reduction))
    return (first, reduction), (int(rng.integers(40, 90)), int(rng.choice([2, 6, 7, 8])))


def sigmoid(values):
    return 1 / (1 + np.exp(-np.clip(values, -80, 80)))


def two_layers(seed, channels, reduction, between=lambda values: np.maximum(values, 0)):
    """The function from (N, C) to (N, C) that the two small layers of a block with these parameters are."""
    few = max(channels // reduction, 1)
    down, up = drawn(seed, "weight", (few, channels)), drawn(seed, "weight", (channels, few))
    start, end = drawn(seed, "bias", (few,)), drawn(seed, "bias", (channels,))
    return lambda values: between(values @ down.T + start) @ up.T + end


def as_maps(values):
    """(N, C) -> (N, C, 1, 1)."""
    return values[:, :, None, None]


def places(seed, x, order=(0, 1), kernel=7, activation=sigmoid):
    """What SpatialAttention with these parameters gives for x, (N, 1, H, W); order: 0 is the mean, 1 the maximum."""
    seen = np.stack([x.mean(axis=1), x.max(axis=1)], axis=1)[:, list(order)]
    return activation(convolved(seed, seen, kernel))


def convolved(seed, seen, kernel):
    """A convolution with the parameters of SpatialAttention: (N, 2, H, W) -> (N, 1, H, W)."""
    weight, half = drawn(seed, "weight", (1, 2, kernel, kernel))[0], kernel // 2
    padded = np.pad(seen.astype(np.float64), ((0, 0), (0, 0), (half, half), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))  # (N, 2, H, W, k, k)
    return np.einsum("nchwij,cij->nhw", windows, weight)[:, None] + drawn(seed, "bias", (1,))[0]


def block_problem(name, call, causes, default):
    """The claim that a block gives the expected maps. causes: (seed, x) -> [(maps of a mistake, cause), ...]."""

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted):
            return None
        strange = trouble_or_axes(found, f"{call}'s forward", "feature maps")
        if strange:
            return strange
        x = expected[f"{name}: features"].astype(np.float64)
        if found.shape != wanted.shape:
            what = f"forward gives the shape {found.shape} for maps of shape {wanted.shape}, expected the same"
            alone = found.shape[1:] == (x.shape[1], 1, 1) or found.shape[1:] == (1, *x.shape[2:])
            return f"{what}: {'those are the weights; multiply x by them' if alone else 'does a convolution pad?'}"
        if not np.isfinite(found).all():
            return "forward gives NaN or infinity"
        known = [(x, "that is x: nothing is multiplied"), *causes(int(expected[f"{name}: seed"]), x)]
        return f"for given parameters forward is off by up to {off(found, wanted)}: {likely(found, known, default)}"

    return problem


def trouble_or_axes(found, call, kind):
    """As `trouble`; where a layer complains of its input's size, the likely cause."""
    if isinstance(found, str) and any(text in found for text in ("to have", "cannot be multiplied")):
        axes = "are the means over the right axes? 0 is the images, 1 the maps, 2 and 3 height and width"
        return f"{call}: a layer gets another number of maps than it was made for: {axes}"
    return trouble(found, call, kind)


def off(found, wanted):
    return f"{np.abs(found.astype(np.float64) - wanted).max():.2g}"


def weights_problem(name, call, shape, causes, default):
    """The claim that `weights` gives the expected ones, of a shape like "(N, C, 1, 1)"; causes as for block_problem."""

    def problem(evidence, expected):
        found, wanted = evidence.get(f"{name}: weights"), expected[f"{name}: weights"]
        if agrees(found, wanted):
            return None
        if isinstance(found, str) and "must match the size" in found:
            cause = "does the convolution pad" if shape.endswith("W)") else "are the axes kept, with keepdim=True"
            return f"x * weights fails, {found[14:70]}…: weights need the shape {shape}; {cause}?"
        strange = trouble_or_axes(found, f"{call}'s weights", f"weights of shape {shape}")
        if strange:
            return strange
        x = expected[f"{name}: features"].astype(np.float64)
        if found.shape != wanted.shape:
            cause = f"height and width are axes 2 and 3, the {x.shape[1]} maps are axis 1"
            if found.shape == x.shape:
                within = found.min() >= 0 and found.max() <= 1
                cause = "is the mean over height and width missing?" if within else "only forward multiplies by x"
            what = f"weights gives the shape {found.shape} for maps of {x.shape}, expected {wanted.shape}"
            return f"{what}, {shape}: {cause}"
        if not ((found >= 0) & (found <= 1)).all():
            return f"weights go from {found.min():.2g} to {found.max():.2g}, expected all between 0 and 1: {default}"
        known = causes(int(expected[f"{name}: seed"]), x)
        return f"for given parameters weights is off by up to {off(found, wanted)}: {likely(found, known, default)}"

    return problem


def count_problem(call, default, counts, sizes=True):
    """The claim that "parameters" and those of any size, "parameters 0" and 1, are right.

    counts: {found - wanted: cause} for the call; of other sizes the causes are `size_causes`, (C, r) -> the same.
    """

    def problem(evidence, expected):
        sentence = wrong_count(evidence.get("parameters"), expected["parameters"], call, counts, default)
        for i in (0, 1) if sizes else ():
            channels, reduction = int(expected[f"channels {i}"]), int(expected[f"reduction {i}"])
            asked = f"{call.partition('(')[0]}({channels}, reduction={reduction})"
            other = f"r is channels // reduction, {channels // reduction} here; is a number fixed in your code?"
            sentence = sentence or wrong_count(
                evidence.get(f"parameters {i}"), expected[f"parameters {i}"], asked, {}, other
            )
        return sentence

    return problem


def ask_about_counts(evidence, rng, answer):
    """Ask for the parameters of blocks for 32 maps, and for two sizes that rng chooses."""
    ask(evidence, "parameters", lambda: count_parameters(answer(32)))
    for i, (channels, reduction) in enumerate(sizes_of(rng)):
        evidence |= {f"channels {i}": channels, f"reduction {i}": reduction}
        build = lambda channels=channels, reduction=reduction: answer(channels, reduction=reduction)
        ask(evidence, f"parameters {i}", lambda build=build: count_parameters(build()))


SQUEEZE = {  # what mistakes do to the 2 * C * r + r + C parameters of two small layers, for C = 32 and r = 8
    -40: "do the two layers lack their biases? They keep them",
    -8: "does the first layer lack its bias?",
    -32: "does the second layer lack its bias?",
    8 * 32 * 16: "are the kernels 3 x 3? They are 1 x 1: nothing is left to look around at",
    2 * 32 * 24 + 24: "there is no reduction: between the layers are channels // reduction numbers, not channels",
    -2 * 32 * 4 - 4: "is reduction itself the number between the layers? It is channels // reduction",
    -32 * 8 - 8 + 32 * 24: "there is one layer from 32 to 32; there are two, by way of channels // reduction numbers",
}

# --- ChannelAttention ---

CHANNEL, SMALL = (15, 4), (5, 9)  # (channels, reduction) of the blocks that are filled


def probe_channel_attention(answer, rng):
    """Count parameters of blocks of any size; ask two filled blocks for their weights and their output."""
    import torch

    evidence = {}
    with undisturbed(rng), torch.no_grad():
        ask_about_counts(evidence, rng, answer)
        ask_about_block(evidence, "output", rng, lambda: answer(CHANNEL[0], reduction=CHANNEL[1]), CHANNEL[0])
        ask_about_block(evidence, "small", rng, lambda: answer(SMALL[0], reduction=SMALL[1]), SMALL[0])
    return evidence


def channel_weights(seed, x, size):
    """[(weights of a mistake, cause)] for ChannelAttention of this (channels, reduction)."""
    f = two_layers(seed, *size)
    mean, most = x.mean(axis=(2, 3)), x.max(axis=(2, 3))
    exponents = np.exp(f(mean) - f(mean).max(axis=1, keepdims=True))
    softmax = exponents / exponents.sum(axis=1, keepdims=True)
    straight, bent = (two_layers(seed, *size, between=between) for between in (np.asarray, sigmoid))
    return [
        (as_maps(weights), cause)
        for weights, cause in (
            (f(mean), "is the sigmoid missing at the end?"),
            (np.maximum(f(mean), 0), "is there a ReLU in place of the sigmoid at the end?"),
            (softmax, "is that softmax? Each map has a sigmoid of its own, and the weights need not add up to 1"),
            (sigmoid(np.maximum(f(mean), 0)), "no weight is below 0.5: is there a ReLU before the sigmoid?"),
            (np.tanh(f(mean)), "is that tanh? A sigmoid gives weights between 0 and 1"),
            (sigmoid(straight(mean)), "is the ReLU between the two layers missing?"),
            (sigmoid(bent(mean)), "is there a sigmoid between the two layers? ReLU stands there"),
            (sigmoid(f(most)), "is it the maximum of each map? The mean is asked for"),
            (sigmoid(f(x.sum(axis=(2, 3)))), "is it the sum over each map? Take the mean"),
            (sigmoid(f(x.std(axis=(2, 3), ddof=1))), "is it the spread of each map? Take the mean"),
            (
                sigmoid(f(np.broadcast_to(mean.mean(axis=0), mean.shape))),
                "the images of a batch share one mean; each has its own: height and width are axes 2 and 3",
            ),
        )
    ]


def channel_outputs(size):
    """causes for block_problem: maps multiplied by wrong weights, or something else done with right ones."""

    def causes(seed, x):
        right = as_maps(sigmoid(two_layers(seed, *size)(x.mean(axis=(2, 3)))))
        return [
            (x + x * right, "x is added once more; multiply only"),
            (x + right, "the weights are added to x; multiply by them"),
            (x * (1 - right), "it is multiplied by 1 - w"),
            *((x * weights, cause) for weights, cause in channel_weights(seed, x, size)),
        ]

    return causes


CHANNEL_DEFAULT = "is it sigmoid(layer(ReLU(layer(mean)))), with the mean over axes 2 and 3?"

CHANNEL_ATTENTION = Exercise(
    name="channel_attention",
    lesson="07_attention",
    answer="ChannelAttention",
    reference="course_utils.models.attention:ChannelAttention",
    probe=probe_channel_attention,
    claims=(
        claim(
            "it has 2 · C · r + r + C parameters, r = C // reduction",
            count_problem("ChannelAttention(32)", "is it two 1 x 1 convolutions, C to r and r to C?", SQUEEZE),
        ),
        claim(
            "`weights` gives one weight between 0 and 1 for each map",
            weights_problem(
                "output",
                "ChannelAttention",
                "(N, C, 1, 1)",
                lambda seed, x: channel_weights(seed, x, CHANNEL),
                CHANNEL_DEFAULT,
            ),
            points=2,
        ),
        claim(
            "with given parameters it multiplies each map by its weight",
            block_problem("output", "ChannelAttention", channel_outputs(CHANNEL), "return x * self.weights(x)"),
            points=2,
        ),
        claim(
            "the same holds where reduction is larger than the number of maps",
            block_problem(
                "small", "ChannelAttention", channel_outputs(SMALL), "r is at least 1: max(channels // reduction, 1)"
            ),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "Two steps: one number for each map, and a small network that makes weights of these C numbers.",
        "x.mean(dim=(2, 3), keepdim=True) has the shape (N, C, 1, 1), and nn.Conv2d(channels, few, kernel_size=1) "
        "takes it as it is. After the second convolution stands a sigmoid.",
        "nn.Sequential(nn.Conv2d(channels, few, 1), nn.ReLU(), nn.Conv2d(few, ..., 1), nn.Sigmoid()) with few = "
        "max(channels // reduction, 1). weights returns it of the mean, and forward x * self.weights(x).",
    ),
)

# --- SpatialAttention ---


def probe_spatial_attention(answer, rng):
    """Count parameters of blocks with any kernel; ask two filled blocks for their weights and their output."""
    import torch

    kernels = [int(kernel) for kernel in rng.choice(np.arange(9, 61, 2), 2, replace=False)]
    evidence = {f"kernel {i}": kernel for i, kernel in enumerate(kernels)}
    with undisturbed(rng), torch.no_grad():
        ask(evidence, "parameters", lambda: count_parameters(answer()))
        for i, kernel in enumerate(kernels):
            ask(evidence, f"parameters {i}", lambda kernel=kernel: count_parameters(answer(kernel=kernel)))
        ask_about_block(evidence, "output", rng, lambda: answer(), 5)
        ask_about_block(evidence, "small", rng, lambda: answer(kernel=3), 4)
    return evidence


SPATIAL_COUNTS = {
    -1: "does the convolution lack its bias? It keeps it",
    -49: "does it take one map only? It takes two, the mean and the maximum",
    99: "does it make two maps? It makes one: one weight for each pixel",
    49: "does it take three maps? It takes two, the mean and the maximum",
    2 * 9 - 98: "is the kernel 3 x 3? It is 7 x 7 unless told otherwise",
    2: "is there a batch normalisation? The bias does here",
}


def spatial_count_problem(evidence, expected):
    default = "is it one convolution of two maps to one?"
    sentence = wrong_count(
        evidence.get("parameters"), expected["parameters"], "SpatialAttention()", SPATIAL_COUNTS, default
    )
    for i in (0, 1):
        found, wanted, kernel = evidence.get(f"parameters {i}"), expected[f"parameters {i}"], expected[f"kernel {i}"]
        causes = {99 - wanted: "is `kernel` ignored?"}
        sentence = sentence or wrong_count(found, wanted, f"SpatialAttention(kernel={kernel})", causes, default)
    return sentence


def spatial_weights(kernel):
    """causes for weights_problem: the weights of mistakes in SpatialAttention."""

    def causes(seed, x):
        mean, most, total = x.mean(axis=1), x.max(axis=1), x.sum(axis=1)
        of = lambda *seen: convolved(seed, np.stack(seen, axis=1), kernel)
        right = of(mean, most)
        exponents = np.exp(right - right.max(axis=(2, 3), keepdims=True))
        return [
            (right, "is the sigmoid missing?"),
            (np.maximum(right, 0), "is there a ReLU in place of the sigmoid?"),
            (exponents / exponents.sum(axis=(2, 3), keepdims=True), "is that softmax? Each pixel has its own sigmoid"),
            (sigmoid(of(most, mean)), "the maximum comes first; the mean does, then the maximum"),
            (sigmoid(of(mean, mean)), "both maps are the mean; the second is the maximum"),
            (sigmoid(of(most, most)), "both maps are the maximum; the first is the mean"),
            (sigmoid(of(mean, x.min(axis=1))), "is it the minimum? The second map is the maximum"),
            (sigmoid(of(total, most)), "is it the sum over the maps? Take the mean"),
            (sigmoid(of(mean, x.std(axis=1, ddof=1))), "is it the spread? The second map is the maximum"),
            (
                sigmoid(of(*(np.broadcast_to(each[:, None, None], mean.shape) for each in _of_all(x)))),
                "mean and maximum are over the maps, dim=1, at each pixel, and not over the whole image",
            ),
        ]

    return causes


def _of_all(x):
    return x.mean(axis=(1, 2, 3)), x.max(axis=(1, 2, 3))


def spatial_outputs(kernel):
    """causes for block_problem."""

    def causes(seed, x):
        right = places(seed, x, kernel=kernel)
        return [
            (x + x * right, "x is added once more; multiply only"),
            (x + right, "the weights are added to x; multiply by them"),
            *((x * weights, cause) for weights, cause in spatial_weights(kernel)(seed, x)),
        ]

    return causes


SPATIAL_DEFAULT = "is it sigmoid(convolution(mean and maximum over dim=1)), and does it pad with zeros?"

SPATIAL_ATTENTION = Exercise(
    name="spatial_attention",
    lesson="07_attention",
    answer="SpatialAttention",
    reference="course_utils.models.attention:SpatialAttention",
    probe=probe_spatial_attention,
    claims=(
        claim("it has 2 · kernel · kernel weights and a bias, 99 parameters as it comes", spatial_count_problem),
        claim(
            "`weights` gives one weight between 0 and 1 for each pixel",
            weights_problem("output", "SpatialAttention", "(N, 1, H, W)", spatial_weights(7), SPATIAL_DEFAULT),
            points=2,
        ),
        claim(
            "with given parameters it multiplies all maps by the weight of the pixel",
            block_problem("output", "SpatialAttention", spatial_outputs(7), "return x * self.weights(x)"),
            points=2,
        ),
        claim(
            "the same holds for a kernel of 3 x 3",
            block_problem("small", "SpatialAttention", spatial_outputs(3), "is padding kernel // 2?"),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "At each pixel stand C numbers, one for each map. Two are made of them: their mean and their maximum.",
        "x.mean(dim=1, keepdim=True) and x.amax(dim=1, keepdim=True) are (N, 1, H, W) each; torch.cat([...], dim=1) "
        "puts one behind the other. A convolution with padding=kernel // 2 keeps the size.",
        "self.convolution = nn.Conv2d(2, 1, kernel, padding=kernel // 2); weights returns "
        "torch.sigmoid(self.convolution(...)) of the two maps, the mean first; forward returns x * self.weights(x).",
    ),
)

# --- CBAM ---

BOTH = (14, 3)  # (channels, reduction) of the CBAM and the SCSE that are filled; 14 // 3 = 4


def probe_cbam(answer, rng):
    """Count parameters of blocks of any size; ask two filled blocks for their weights and their output."""
    import torch

    evidence = {}
    with undisturbed(rng), torch.no_grad():
        ask_about_counts(evidence, rng, answer)
        ask_about_block(evidence, "output", rng, lambda: answer(BOTH[0], reduction=BOTH[1]), BOTH[0])
        ask_about_block(evidence, "small", rng, lambda: answer(8, reduction=2, kernel=3), 8)
    return evidence


CBAM_COUNTS = SQUEEZE | {
    552: "are there two small networks? One is shared by the mean and the maximum",
    -99: "is the spatial attention missing?",
    -1: "does the convolution of the spatial attention lack its bias? It keeps it",
    2 * 9 - 98: "is the kernel of the spatial attention 3 x 3? It is 7 x 7 unless told otherwise",
}


def cbam_weights(size):
    """causes for weights_problem."""

    def causes(seed, x):
        f, mean, most = two_layers(seed, *size), x.mean(axis=(2, 3)), x.max(axis=(2, 3))
        once = [(as_maps(weights), cause) for weights, cause in _pooled(f, mean, most)]
        return [*once, (as_maps(f(mean) + f(most)), "is the sigmoid missing?")]

    return causes


def _pooled(f, mean, most):
    return [
        (sigmoid(f(mean)), "that is the mean alone; add what the two layers make of the maximum"),
        (sigmoid(f(most)), "that is the maximum alone; add what the two layers make of the mean"),
        (sigmoid((f(mean) + f(most)) / 2), "is it halved? The two are added, before the sigmoid"),
        (sigmoid(f(mean)) + sigmoid(f(most)), "the sigmoid comes last: add first, then one sigmoid"),
        ((sigmoid(f(mean)) + sigmoid(f(most))) / 2, "the sigmoid comes last: add first, then one sigmoid"),
        (sigmoid(f(mean)) * sigmoid(f(most)), "the two are added before one sigmoid, and not multiplied"),
        (sigmoid(f(mean + most)), "mean and maximum each go through the two layers; only then they are added"),
        (sigmoid(np.maximum(f(mean), f(most))), "is it the larger of the two? They are added"),
    ]


def cbam_outputs(size, kernel=7):
    """causes for block_problem."""

    def causes(seed, x):
        f, mean, most = two_layers(seed, *size), x.mean(axis=(2, 3)), x.max(axis=(2, 3))
        maps = lambda each: as_maps(sigmoid(f(each.mean(axis=(2, 3))) + f(each.max(axis=(2, 3)))))
        at = lambda each, order=(0, 1): each * places(seed, each, order, kernel)
        first, wrong = x * maps(x), _pooled(f, mean, most)
        return [
            (first, "is the spatial attention left out? It takes the weighted maps"),
            (at(x), "are the maps weighted at all? First maps, then places"),
            (at(x) * maps(at(x)), "places come first here; the maps do, then the places"),
            (
                first * places(seed, x, kernel=kernel),
                "the weights of the places are those of x; take the weighted maps",
            ),
            (at(x) + first, "the two are added; one comes after the other"),
            (at(first, (1, 0)), "in the spatial attention the mean comes first, then the maximum"),
            (x + at(first), "x is added once more; multiply only"),
            *((at(x * as_maps(weights)), cause) for weights, cause in wrong),
        ]

    return causes


CBAM_DEFAULT = "is it sigmoid(f(mean) + f(maximum)), with one f for both?"

CBAM = Exercise(
    name="cbam",
    lesson="07_attention",
    answer="CBAM",
    reference="course_utils.models.attention:CBAM",
    probe=probe_cbam,
    claims=(
        claim(
            "it has as many parameters as ChannelAttention and SpatialAttention together",
            count_problem(
                "CBAM(32)", "is it one shared pair of 1 x 1 convolutions and a SpatialAttention?", CBAM_COUNTS
            ),
        ),
        claim(
            "`weights` takes the mean and the maximum of each map into account",
            weights_problem("output", "CBAM", "(N, C, 1, 1)", cbam_weights(BOTH), CBAM_DEFAULT),
            points=2,
        ),
        claim(
            "with given parameters it weighs the maps first, then the places",
            block_problem("output", "CBAM", cbam_outputs(BOTH), "return self.spatial(x * self.weights(x))"),
            points=2,
        ),
        claim(
            "the same holds for 8 maps, reduction 2 and a kernel of 3 x 3",
            block_problem("small", "CBAM", cbam_outputs((8, 2), 3), "are reduction and kernel handed on?"),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "It is ChannelAttention with a second way to ask a map, its maximum, and then SpatialAttention.",
        "Make the two convolutions with the ReLU between as one nn.Sequential, without the sigmoid, and call it twice: "
        "on the mean and on x.amax(dim=(2, 3), keepdim=True). Add, then torch.sigmoid.",
        "weights returns torch.sigmoid(self.shared(mean) + self.shared(most)); self.spatial = SpatialAttention(kernel) "
        "in __init__; forward returns self.spatial(...) of x * self.weights(x).",
    ),
)

# --- SCSE ---


def probe_scse(answer, rng):
    """Count parameters of blocks of any size; ask for one whose parameters are all 0, and two filled ones."""
    import torch

    evidence = {"features": features_of(rng, 6)}
    with undisturbed(rng), torch.no_grad():
        x = torch.from_numpy(evidence["features"].copy())
        ask_about_counts(evidence, rng, answer)
        ask(evidence, "zeros", lambda: array(_of_zeros(answer(6, reduction=3))(x.clone())))
        ask_about_block(evidence, "output", rng, lambda: answer(BOTH[0], reduction=BOTH[1]), BOTH[0], weights=False)
        ask_about_block(evidence, "small", rng, lambda: answer(9, reduction=2), 9, weights=False)
    return evidence


def _of_zeros(block):
    for parameter in block.parameters():
        parameter.zero_()
    return block.eval()


SCSE_COUNTS = SQUEEZE | {
    -33: "is the 1 x 1 convolution to one map missing?",
    -1: "does the 1 x 1 convolution to one map lack its bias? It keeps it",
    99 - 33: "is it SpatialAttention, with mean and maximum? Here a 1 x 1 convolution takes all maps",
    31 * 33: "does the convolution for the places make 32 maps? It makes one: one weight for each pixel",
    32 * 8: "is the kernel for the places 3 x 3? It is 1 x 1",
    -552: "is the channel attention missing?",
}


def zeros_problem(evidence, expected):
    found, x = evidence.get("zeros"), expected["features"]
    if agrees(found, x):
        return None
    strange = trouble(found, "SCSE's forward", "feature maps")
    if strange or found.shape != x.shape:
        return strange or f"forward gives the shape {found.shape} for maps of shape {x.shape}, expected the same"
    causes = [
        (x / 2, "half of x came, so one of the two is not there"),
        (x / 4, "a quarter of x came: are the two weights multiplied? Add the two results"),
        (0 * x, "nothing came: is a sigmoid missing?"),
        (2 * x, "twice x came: is x added once more?"),
        (1.5 * x, "one and a half times x came: is one of the weights not between 0 and 1?"),
        (np.ones_like(x), "ones came: those are the weights; multiply x by them"),
    ]
    cause = likely(found, causes, "something else came")
    known = scse_outputs(BOTH)(int(expected["output: seed"]), expected["output: features"].astype(np.float64))
    return f"with all parameters 0 it gives no x/2 + x/2: {likely(evidence.get('output'), known, cause)}"


def _to_one(seed, x):
    """The 1x1 convolution for the places: (N, C, H, W) -> (N, 1, H, W)."""
    weight, bias = drawn(seed, "weight", (1, x.shape[1]))[0], drawn(seed, "bias", (1,))[0]
    return np.einsum("nchw,c->nhw", x, weight)[:, None] + bias


def scse_outputs(size):
    """causes for block_problem."""

    def causes(seed, x):
        by_map = lambda maps: as_maps(sigmoid(two_layers(seed, *size)(maps.mean(axis=(2, 3)))))
        raw = _to_one(seed, x)
        channels, place = by_map(x), sigmoid(raw)
        weighted = x * place
        return [
            (x * channels, "that is the channel attention alone"),
            (weighted, "those are the places alone; add the channel attention"),
            (x * np.maximum(channels, place), "is it the larger of the two? Here they are added"),
            (np.maximum(x * channels, weighted), "is it the larger of the two? Here they are added"),
            (weighted * channels, "the two are multiplied; add them"),
            (weighted * by_map(weighted), "one comes after the other; both take x, and the results are added"),
            (x * channels * sigmoid(_to_one(seed, x * channels)), "one comes after the other; both take x"),
            (weighted + weighted * by_map(weighted), "the channel attention takes what the places gave; it takes x"),
            (x * (channels + place) / 2, "is it halved? The two are added"),
            (x * (1 + channels + place), "x is added once more"),
            (x * (raw + channels), "is the sigmoid of the places missing?"),
            (x * (np.maximum(raw, 0) + channels), "is there a ReLU in place of the sigmoid of the places?"),
            (place + x * channels, "the weights of the places are added as they are; multiply x by them"),
            *((x * (place + weights), cause) for weights, cause in channel_weights(seed, x, size)),
        ]

    return causes


SCSE = Exercise(
    name="scse",
    lesson="07_attention",
    answer="SCSE",
    reference="course_utils.models.attention:SCSE",
    probe=probe_scse,
    claims=(
        claim(
            "it has C + 1 parameters more than ChannelAttention",
            count_problem("SCSE(32)", "is it a ChannelAttention and a 1 x 1 convolution to one map?", SCSE_COUNTS),
        ),
        claim("with all parameters 0 it gives x: half from the places, half from the maps", zeros_problem),
        claim(
            "with given parameters it adds what places and maps give",
            block_problem(
                "output", "SCSE", scse_outputs(BOTH), "is it x * sigmoid(convolution(x)) + ChannelAttention of x?"
            ),
            points=3,
        ),
        claim(
            "the same holds for 9 maps and reduction 2",
            block_problem("small", "SCSE", scse_outputs((9, 2)), "is reduction handed on to ChannelAttention?"),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "Two roads lead from x, and neither knows of the other. At the end the two results are added.",
        "One road is your ChannelAttention(channels, reduction). On the other, nn.Conv2d(channels, 1, kernel_size=1) "
        "and a sigmoid give one weight for each pixel, and x is multiplied by it.",
        "self.channel = ChannelAttention(channels, reduction); self.place = nn.Conv2d(channels, 1, kernel_size=1); and "
        "forward returns x * torch.sigmoid(...) + self.channel(x).",
    ),
)

# --- AttentionDnCNN ---

KINDS = (None, "SE", "spatial", "CBAM", "scSE")


def probe_attention_dncnn(answer, rng):
    """Look at networks of any size with each kind of block, at a new one, and at some with weights from rng."""
    import torch

    seed = int(rng.integers(2**32))
    image = rng.uniform(0, 1, (2, 3, 14, 13)).astype(np.float32)
    grey_image = rng.uniform(0, 1, (1, 1, 15, 16)).astype(np.float32)
    evidence = {"image": image}
    colour = lambda attention: lambda: answer(depth=5, width=8, attention=attention, reduction=2)
    with undisturbed(rng), torch.no_grad():
        y, grey = torch.from_numpy(image.copy()), torch.from_numpy(grey_image)
        for i, attention in enumerate(KINDS):
            sizes = dict(zip(("channels", "depth", "width", "reduction"), map(int, _any_size(rng)), strict=True))
            ask_about_size(evidence, i, lambda sizes=sizes, attention=attention: answer(**sizes, attention=attention))
        ask(evidence, "at the start", lambda: largest(colour("SE")().eval()(y), beside=image.mean()))
        ask(evidence, "order", lambda: _order(answer(depth=5, width=8), y))
        for name in ("SE", "spatial", None):
            network = lambda name=name: filled(colour(name)(), y, seed, by_shape=True)
            ask(evidence, f"noise {name}", lambda network=network: array(network()(y.clone())))
        network = lambda: filled(colour("SE")(), y, seed, by_shape=True)
        ask_to_restore(evidence, network, y)
        for name in ("CBAM", "scSE"):
            small = lambda name=name: answer(channels=1, depth=4, width=9, attention=name, reduction=3)
            ask(evidence, f"grey {name}", lambda small=small: array(filled(small(), grey, seed, by_shape=True)(grey)))
    return evidence


def _any_size(rng):
    """channels, depth, width, reduction; unusual ones."""
    return rng.choice([1, 2, 4, 5]), rng.integers(6, 10), rng.integers(9, 24), rng.choice([2, 3])


def _order(network, image):
    """The layers in the order of work, as a text: "conv norm block ..."; a block is what gets (N, C, 1, 1)."""
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given: seen.append(_kind(layer, given[0])))
        for layer in network.modules()
        if not list(layer.children())
    ]
    network.eval()(image.clone())
    for hook in hooks:
        hook.remove()
    kept = [each for each in seen if each]
    return " ".join(each for i, each in enumerate(kept) if each != "block" or kept[i - 1] != each)[:300]


def _kind(layer, given):
    name = type(layer).__name__
    if given.ndim < 4 or given.shape[-2:] == (1, 1):
        return "block" if name in ("Conv2d", "Linear") else ""
    return {"Conv2d": "conv", "BatchNorm2d": "norm"}.get(name, "")


def network_counts_problem(evidence, expected):
    for i, attention in enumerate(KINDS):
        asked = json.loads(expected[f"config {i}"])
        call = f"AttentionDnCNN(depth={asked['depth']}, width={asked['width']}, attention={attention!r}, …)"
        found, wanted = evidence.get(f"parameters {i}"), expected[f"parameters {i}"]
        shared = str(evidence.get("order")).count("block") > 1
        if sentence := wrong_count(found, wanted, call, _count_causes(asked, wanted, shared), COUNT_DEFAULT):
            return sentence
    return None


COUNT_DEFAULT = "depth - 2 times convolution, batch norm, ReLU and block; are the arguments all used?"


def _count_causes(asked, wanted, shared):
    """{found - wanted: cause} for the arguments of a network."""
    c, depth, width, attention, reduction = (
        asked[name] for name in ("channels", "depth", "width", "attention", "reduction")
    )
    plain = (
        depth - 2,
        (9 * width + 1) * width + 2 * width,
        2 * 9 * c * width + width + c,
    )  # middle layers, one, the ends
    middle, one, ends = plain
    block = (wanted - middle * one - ends) // middle
    causes = {
        -middle * 2 * width: "is the batch normalisation missing?",
        -middle * width: "do the middle convolutions lack their bias? They keep it",
        one + block: "is there one middle layer too many? There are depth - 2",
        2 * (one + block): "are there `depth` middle layers? There are depth - 2",
        -one - block: "is there one middle layer too few? There are depth - 2",
        (3 - c) * (18 * width + 1): "is `channels` ignored?",
    }
    if attention is None:
        return causes | {
            middle * _squeeze(width, reduction): "attention=None has no blocks",
        }
    return {
        -middle * block: "are the blocks missing, or kept in a plain list?",
        (1 - middle) * block: "all middle layers share one block; make a new one each time"
        if shared
        else "there is one block; each of the depth - 2 middle layers has its own",
        block: "is there one block too many? Only middle layers have one",
        2 * block: "does every layer have a block? Only the middle ones do",
        middle * (_squeeze(width, 4) - _squeeze(width, reduction)): "is `reduction` handed on to the block?",
    } | causes


def _squeeze(channels, reduction):
    few = max(channels // reduction, 1)
    return 2 * channels * few + few + channels


def start_problem(evidence, expected):
    found, nothing = evidence.get("at the start"), expected["at the start"]
    if agrees(found, nothing, rtol=0, atol=1e-12):
        return None
    strange = trouble(found, "a new AttentionDnCNN", "R(y)")
    cause = "start the weights and the bias of the last convolution at zero, with nn.init.zeros_"
    if not strange and agrees(found - nothing, expected["image"].max()):
        cause = "`forward` gives the image, and not the noise; only `restore` subtracts"
    return strange or f"a new network predicts noise of up to {found - nothing:.3g}, expected 0: {cause}"


def noise_problem(name, what):
    """The claim that R(y) is right for weights from the seed, of the evidence of this name."""

    def problem(evidence, expected):
        found, wanted, image = evidence.get(name), expected[name], expected["image"]
        if agrees(found, wanted):
            return None
        strange = trouble(found, f"forward {what}", "R(y)")
        if strange:
            return strange
        if found.shape != wanted.shape:
            return f"R(y) has the shape {found.shape}, expected {wanted.shape}: is padding=1 missing in a convolution?"
        start = f"{what} R(y) is off by up to {off(found, wanted)} for given weights"
        return f"{start}: {_noise_cause(found, wanted, image, evidence, expected)}"

    return problem


def _noise_cause(found, wanted, image, evidence, expected):
    if not np.isfinite(found).all():
        return "it holds NaN or infinity"
    if agrees(found, np.maximum(wanted, 0)):
        return "none of it is below 0. Is there a ReLU after the last convolution?"
    if found.shape == image.shape and agrees(found, image - wanted):
        return "`forward` gives the image, and not the noise; only `restore` subtracts"
    if evidence.get("order") != expected["order"]:
        return f"with SE it runs {str(evidence.get('order'))[:40]}…, expected {expected['order'][:40]}…"
    return "is a ReLU missing or too many, or the block before it and not behind it?"


def settings_problem(evidence, expected):
    for i, attention in enumerate(KINDS):
        if sentence := missing_setting(evidence, i) or _radius_problem(evidence, expected, i, attention):
            return sentence
        if sentence := wrong_config(evidence, expected, i, arguments="the five arguments"):
            return sentence
    return None


def _radius_problem(evidence, expected, i, attention):
    found, wanted = evidence.get(f"radius {i}"), expected[f"radius {i}"]
    same = found == wanted if isinstance(wanted, str) else agrees(found, wanted, rtol=0, atol=0)
    if isinstance(found, str | int | float) and same:
        return None
    depth = json.loads(expected[f"config {i}"])["depth"]
    came = "None" if found == described(None) else found
    start = f"receptive_radius is {came} for {attention!r} and depth {depth}"
    if isinstance(wanted, str):
        return f"{start}, expected None: a mean over the whole image makes each pixel depend on all"
    if attention is None:
        return f"{start}, expected {wanted}: without attention it is the depth"
    causes = [
        (depth, "each 7 x 7 kernel looks 3 pixels further"),
        (depth + 3, "there is a block behind each of the depth - 2 middle layers"),
        (depth + 7 * (depth - 2), "a 7 x 7 kernel looks 3 pixels to each side, not 7"),
        (depth + 3 * depth, "there are depth - 2 blocks"),
    ]
    return f"{start}, expected {wanted}: {likely(found, causes, 'depth + 3 * (depth - 2)')}"


def grey_problem(evidence, expected):
    for name in ("CBAM", "scSE"):
        if sentence := noise_problem(f"grey {name}", f"of grey images with {name}")(evidence, expected):
            return sentence
    return None


def both_noises_problem(evidence, expected):
    for name in (None, "SE", "spatial"):
        sentence = noise_problem(f"noise {name}", f"with attention={name!r}")(evidence, expected)
        if sentence:
            return sentence
    return None


ATTENTION_DNCNN = Exercise(
    name="attention_dncnn",
    lesson="07_attention",
    answer="AttentionDnCNN",
    reference="course_utils.models.attention:AttentionDnCNN",
    probe=probe_attention_dncnn,
    claims=(
        claim("each middle layer has a block of its own, and all have the right size", network_counts_problem),
        claim("a new network predicts no noise at all", start_problem),
        claim(
            "with given weights R(y) is right without attention, with SE and with spatial",
            both_noises_problem,
            points=3,
        ),
        claim("`restore` gives y - R(y), not clipped, in the mode that the network is in", restore_problem("noise SE")),
        claim("`config` and `receptive_radius` tell what was built", settings_problem, points=2),
        claim("the same holds for grey images with CBAM and scSE", grey_problem, points=2, hidden=True),
    ),
    hints=(
        "It is DnCNN's list of layers, with one line more in the loop. What does each kind of block see of the image?",
        "In the loop: convolution, nn.BatchNorm2d(width), nn.ReLU(), and if attention is not None, BLOCKS[attention]"
        "(width, reduction). The radius is None for SE, CBAM and scSE.",
        "self.receptive_radius = depth if attention is None else (depth + 3 * (depth - 2) if attention == 'spatial' "
        "else None); the rest is DnCNN: zeros_ for the last convolution, nn.Sequential(*layers), restore: y - self(y).",
    ),
)

EXERCISES = (CHANNEL_ATTENTION, SPATIAL_ATTENTION, CBAM, SCSE, ATTENTION_DNCNN)
