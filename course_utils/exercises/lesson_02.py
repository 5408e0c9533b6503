"""What lesson 2 asks: a pair for super-resolution, SRCNN, its loss, and a restored Y back in its colour image."""

import json

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.losses import gradient, gradient_problem, loss_problem
from course_utils.exercises.networks import (
    ask_about_size,
    count_parameters,
    filled,
    largest,
    layers_at_work,
    missing_setting,
    names_of_layers,
    wrong_config,
    wrong_count,
    wrong_layers,
)
from course_utils.exercises.probing import agrees, array, ask, claim, described, likely, number, trouble, undisturbed

# --- low_resolution_pair ---


def probe_low_resolution_pair(answer, rng):
    """Ask for the pairs of a grey image whose sides leave a remainder, of one that leaves none, and of a batch."""
    import torch

    scales = {"odd": int(rng.integers(4, 6)), "even": 2, "others": int(rng.integers(2, 6))}
    rows, columns = (int(value) for value in rng.permutation([4, 5, 6, 7])[:2])
    sides = [side for side in range(17, 38) if _tells(side, scales["odd"])]
    shapes = {
        "odd": (1, *(int(side) for side in rng.choice(sides, 2, replace=False))),
        "even": (1, 2 * rows, 2 * columns),
        "others": (2, 3, 5 * scales["others"] + 1, rows * scales["others"] + 1),
    }
    images = {name: _detailed(rng, shape) for name, shape in shapes.items()}
    evidence = images | {f"{name}: scale": scales[name] for name in scales}
    with undisturbed(rng):
        for name, image in images.items():
            for mistake, made in _other_low_resolutions(torch.from_numpy(image), scales[name]).items():
                evidence[f"{name}, {mistake}"] = array(made)
        for name, image in images.items():
            given = lambda image=image: torch.from_numpy(image.copy())
            ask(evidence, name, lambda name=name, given=given: _pair(answer(given(), scales[name])))
    return evidence


def _tells(side, scale):
    """Whether a side leaves a remainder, and another one by the usual scale, 3."""
    return side % scale and side % 3 and side // scale * scale != side // 3 * 3


def _detailed(rng, shape):
    """Noise and edges, float32 in [0, 1]."""
    return np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1).astype(np.float32)


def _pair(found):
    """{"degraded", "clean": arrays} of a pair, or what came in its place."""
    if not isinstance(found, tuple | list) or len(found) != 2:
        return f"returned {len(found)} things" if isinstance(found, tuple | list) else described(found)
    return {"degraded": array(found[0]), "clean": array(found[1])}


def _other_low_resolutions(image, scale):
    """What the usual mistakes make of the cropped image, a batch or not: {mistake: tensor}."""
    import torch
    from torch.nn import functional as F

    from course_utils.degrade import crop_to_multiple, enlarge, reduce

    clean = crop_to_multiple(image, scale)
    batch = clean.reshape(-1, *clean.shape[-3:])
    small = reduce(batch, scale)
    size = batch.shape[-2:]
    plain = F.interpolate(batch, scale_factor=1 / scale, mode="bicubic")
    made = {
        "without antialias": F.interpolate(plain.clamp(0, 1), size=size, mode="bicubic").clamp(0, 1),
        "reduced without antialias": enlarge(plain.clamp(0, 1), scale),
        "every pixel repeated": small.repeat_interleave(scale, -1).repeat_interleave(scale, -2),
        "bilinear": F.interpolate(small, size=size, mode="bilinear"),
        "enlarged without antialias": F.interpolate(small, size=size, mode="bicubic").clamp(0, 1),
        "enlarged, then reduced": reduce(enlarge(batch, scale), scale),
        "only reduced": small,
    }
    return {name: torch.as_tensor(each).reshape(*clean.shape[:-2], *each.shape[-2:]) for name, each in made.items()}


DEGRADED_CAUSES = {
    "without antialias": "without antialiasing fine detail is folded back; the helpers `reduce` and `enlarge` do it",
    "reduced without antialias": "without antialiasing fine detail is folded back; the helper `reduce` averages it",
    "every pixel repeated": "the pixels are repeated; the helper `enlarge` puts smooth ones between them",
    "bilinear": "that is bilinear; the helper `enlarge` is bicubic",
    "enlarged without antialias": "that is PyTorch's other cubic; enlarge with the helper `enlarge`",
    "enlarged, then reduced": "first reduced and then enlarged is expected: the other way round nothing is lost",
}


def _cropped(image, scale):
    height, width = image.shape[-2:]
    return image[..., : height - height % scale, : width - width % scale]


def clean_problem(evidence, expected, name="odd"):
    image, scale = expected[name], expected[f"{name}: scale"]
    call = f"low_resolution_pair of {image.shape[-2]} x {image.shape[-1]} pixels, scale {scale},"
    found, wanted = evidence.get(f"{name}: clean", evidence.get(name)), expected[f"{name}: clean"]
    if isinstance(found, np.ndarray) and f"{name}: clean" not in evidence:
        found = None
    if agrees(found, wanted, atol=1e-6):
        return None
    if isinstance(found, str) and found.startswith("CourseError") and "crop_to_multiple" in found:
        return f"{call} raised the error that {scale} does not divide the sides: crop the image to a multiple first"
    if isinstance(found, str) and found.startswith("returned a Tensor"):
        return f"{call} gave one image alone, expected two: return degraded, clean"
    strange = trouble(found, call.removesuffix(","), "two images")
    return strange or _clean_cause(found, wanted, evidence.get(f"{name}: degraded"), expected, name)


def _clean_cause(found, wanted, other, expected, name):
    image, scale = expected[name], expected[f"{name}: scale"]
    if agrees(found, expected[f"{name}: degraded"]) or (agrees(other, wanted) and not agrees(found, wanted)):
        return "the two are swapped: `degraded` comes first, `clean` second"
    if agrees(found, image):
        cause = "that is the image as it came, not cropped"
        return f"`clean` has the shape {found.shape}, expected {wanted.shape}: {cause}; return what was cropped"
    if agrees(found, _cropped(image, 3)):
        return f"`clean` has the shape {found.shape}, expected {wanted.shape}: is the scale always 3, and not {scale}?"
    if found.shape != wanted.shape:
        return f"`clean` has the shape {found.shape}, expected {wanted.shape}: the largest multiples of {scale}"
    height, width = wanted.shape[-2:]
    if agrees(found, image[..., image.shape[-2] - height :, image.shape[-1] - width :]):
        return "`clean` has lost its first rows and columns; crop_to_multiple cuts off the last ones"
    return f"`clean` is off by up to {np.abs(found - wanted).max():.2g}: it is the image itself, cropped and no more"


def degraded_problem(evidence, expected, name="odd"):
    found, wanted = evidence.get(f"{name}: degraded"), expected[f"{name}: degraded"]
    if agrees(found, wanted, atol=1e-4):
        return None
    if found is None:
        return clean_problem(evidence, expected, name) or "there is no degraded image"
    strange = trouble(found, "the first of the two", "an image")
    if strange:
        return strange
    if agrees(found, expected[f"{name}: clean"]):
        return "`degraded` is the clean image: nothing is lost; reduce it, then enlarge it, and return that first"
    if agrees(found, expected[f"{name}, only reduced"], atol=1e-4):
        return f"`degraded` is {found.shape[-2]} x {found.shape[-1]} pixels: it is reduced; enlarge it again"
    for mistake, cause in DEGRADED_CAUSES.items():
        if agrees(found, expected[f"{name}, {mistake}"], atol=1e-4):
            return f"`degraded` is off by up to {np.abs(found - wanted).max():.2g}: {cause}"
    if found.shape != wanted.shape:
        return f"`degraded` has the shape {found.shape}, expected {wanted.shape}, that of `clean`"
    levels = 255 * wanted
    if np.abs(255 * found - levels).max() < 3 and agrees(255 * found, np.round(255 * found), rtol=0, atol=1e-3):
        return "`degraded` holds whole grey levels; keep what enlarge gives, it is not rounded here"
    off = np.abs(found - wanted).max()
    return f"`degraded` is off by up to {off:.2g}: crop, then `reduce`, then `enlarge`, by one and the same scale"


def _both_problem(name, what):
    """The claim that both images of another pair are right."""

    def problem(evidence, expected):
        for part in (clean_problem, degraded_problem):
            if sentence := part(evidence, expected, name):
                return sentence if sentence.startswith("low_resolution_pair") else f"{what}: {sentence}"
        return None

    return problem


LOW_RESOLUTION_PAIR = Exercise(
    name="low_resolution_pair",
    lesson="02_srcnn",
    answer="low_resolution_pair",
    reference="course_utils.degrade.resize:low_resolution_pair",
    probe=probe_low_resolution_pair,
    claims=(
        claim("`clean` is the image, cropped to a multiple of the scale", clean_problem),
        claim("`degraded` is `clean`, reduced and enlarged bicubically with antialiasing", degraded_problem, points=2),
        claim("an image whose sides the scale divides stays whole", _both_problem("even", "scale 2")),
        claim("the same holds for a batch in colour", _both_problem("others", "a batch in colour"), hidden=True),
    ),
    hints=(
        "Three helpers are given, and each is called once. Which of the two images do you have after the first call?",
        "crop_to_multiple(image, scale) is the clean image. The degraded one is made of it: reduce(..., scale) gives "
        "the small image, enlarge(..., scale) makes that as large as before.",
        "clean = crop_to_multiple(image, scale), then small = reduce(clean, scale); return enlarge of small first, "
        "and clean second.",
    ),
)

# --- srcnn ---

FAMILIAR = {"channels": 1, "kernels": (9, 1, 5)}


def probe_srcnn(answer, rng):
    """Look at the published networks, at networks of any size, at a new one, and at one with weights from rng."""
    import torch

    seed = int(rng.integers(2**32))
    y_image = rng.uniform(0, 3, (2, 1, 16, 15)).astype(np.float32)
    colours = rng.uniform(0, 1, (1, 3, 17, 14)).astype(np.float32)
    evidence = {"image": y_image, "colours": colours, "seed": seed}
    any_sizes = [_any_srcnn(rng, mode) for mode in ("zeros", "replicate")]
    new = lambda **options: answer(**options)
    with undisturbed(rng), torch.no_grad():
        y, rgb = torch.from_numpy(y_image.copy()), torch.from_numpy(colours.copy())
        ask(evidence, "parameters", lambda: count_parameters(new()))
        ask(evidence, "parameters of 9-5-5", lambda: count_parameters(new(kernels=(9, 5, 5))))
        for i, arguments in enumerate(any_sizes):
            ask_about_size(evidence, i, lambda arguments=arguments: new(**arguments))
        ask(evidence, "start", lambda: _start(new(channels=3).eval(), rgb))
        ask(evidence, "layers", lambda: names_of_layers(new(), y))
        ask(evidence, "output", lambda: array(filled(new(), y, seed)(y.clone())))
        ask(evidence, "restored", lambda: array(filled(new(), y, seed).restore(y.clone())))
        ask(evidence, "replicate", lambda: array(filled(new(padding_mode="replicate"), y, seed)(y.clone())))
        last = {"channels": 3, "kernels": (5, 3, 3), "padding_mode": "replicate"}
        ask(evidence, "colour", lambda: array(filled(new(**last), rgb, seed)(rgb.clone())))
        ask(evidence, "colour restored", lambda: array(filled(new(**last), rgb, seed).restore(rgb.clone())))
    return evidence


def _any_srcnn(rng, padding_mode):
    kernels = [int(side) for side in rng.choice([1, 3, 5, 7, 9, 11], 3)]
    return {"channels": int(rng.choice([2, 4, 5, 6])), "kernels": kernels, "padding_mode": padding_mode}


def _start(network, image):
    """How far each channel of a new network's output is from its input; weights of two layers that are not zero.

    Both on top of a number that is known from this image alone.
    """
    output, beside = network(image.clone()), float(image.mean())
    if getattr(output, "shape", None) != image.shape:
        return described(output)
    kernels = [layer.weight for layer in layers_at_work(network, image) if getattr(layer, "weight", None) is not None]
    alive = [beside + float((kernel != 0).sum()) for kernel in kernels[:2]]
    off = [largest(made - given, beside) for made, given in zip(output[0], image[0], strict=True)]
    return {"off": np.array(off), "alive": np.array(alive)}


def _other_srcnns(image, seed):
    """What networks with one usual mistake make of it, with the weights that `filled` gives: {mistake: array}.

    For claims: where the answer lives there is no reference.
    """
    import torch
    from torch.nn import functional as F

    from course_utils.models import SRCNN

    with undisturbed(np.random.default_rng(0)), torch.no_grad():
        y = torch.from_numpy(image.copy())
        w1, b1, w2, b2, w3, b3 = filled(SRCNN(), y, seed).parameters()
        first, second = lambda x: F.conv2d(x, w1, b1, padding=4), lambda x: F.conv2d(x, w2, b2)
        third = lambda x: F.conv2d(x, w3, b3, padding=2)
        right = third(F.relu(second(F.relu(first(y)))))
        made = {
            "no ReLU": third(second(first(y))),
            "no first ReLU": third(F.relu(second(first(y)))),
            "no second ReLU": third(second(F.relu(first(y)))),
            "a ReLU at the end": F.relu(right),
            "a sigmoid at the end": F.sigmoid(right),
            "clipped": right.clamp(0, 1),
            "added to y": y + right,
            "taken from y": y - right,
        }
        return {mistake: array(each) for mistake, each in made.items()}


OUTPUT_CAUSES = {
    "no ReLU": "there is no ReLU at work: put one after the first and one after the second convolution",
    "no first ReLU": "is the ReLU after the first convolution missing?",
    "no second ReLU": "is the ReLU after the second convolution missing?",
    "a ReLU at the end": "is there a ReLU after the last convolution? It gives the image as it is",
    "a sigmoid at the end": "is there a sigmoid at the end? The last convolution gives the image as it is",
    "clipped": "it is clipped to [0, 1]; the clipping comes later, in cu.restore",
    "added to y": "y is added to it: SRCNN gives the image itself (residual learning comes in lesson 5)",
    "taken from y": "it is subtracted from y: SRCNN gives the image itself",
}
SRCNN_COUNTS = {  # what mistakes do to the number of parameters of SRCNN(): 8,129
    -97: "do the convolutions lack their biases? They keep them",
    -64: "does the first convolution lack its bias?",
    -32: "does the second convolution lack its bias?",
    -1: "does the last convolution lack its bias?",
    64 * 32 * 24: "is the middle kernel 5 x 5? Those of SRCNN() are 9, 1, 5",
    64 * 32 * 8: "is the middle kernel 3 x 3? It looks at one pixel, 1 x 1",
    81 * 64 * 2 + 25 * 32 * 2 + 2: "that is what three channels take; `channels` is 1 unless asked otherwise",
    25 * 64 - 25 * 32 + 64 * 64 + 64 - 64 * 32 - 32: "does the second layer make 64 maps? 64 after the first, then 32",
}


def srcnn_parameters_problem(evidence, expected):
    default = "are there 64 maps after the first layer and 32 after the second?"
    found, wanted = evidence.get("parameters"), expected["parameters"]
    sentence = wrong_count(found, wanted, "SRCNN()", SRCNN_COUNTS, default)
    if sentence:
        return sentence
    found, wanted = evidence.get("parameters of 9-5-5"), expected["parameters of 9-5-5"]
    sentence = wrong_count(found, wanted, "SRCNN(kernels=(9, 5, 5))", {8_129 - 57_281: "`kernels` is ignored"}, default)
    return sentence or _any_srcnn_problem(evidence, expected, 0) or _any_srcnn_problem(evidence, expected, 1)


def _any_srcnn_problem(evidence, expected, i):
    arguments = json.loads(expected[f"config {i}"])
    channels, (k1, k2, k3) = arguments["channels"], arguments["kernels"]
    one_channel = (1 - channels) * (64 * k1**2 + 32 * k3**2 + 1)
    causes = {
        one_channel: "is `channels` ignored?",
        one_channel + (channels - 1) * 64 * k1**2: "does the last layer make `channels` maps?",
        one_channel + (channels - 1) * (32 * k3**2 + 1): "does the first layer take `channels` maps?",
    }
    call = f"SRCNN(channels={channels}, kernels=({k1}, {k2}, {k3}))"
    found, wanted = evidence.get(f"parameters {i}"), expected[f"parameters {i}"]
    return wrong_count(found, wanted, call, causes, "are the kernels squares with these three sides?")


def srcnn_start_problem(evidence, expected):
    found, nothing = evidence.get("start: off"), expected["start: off"]
    what = found if found is not None else evidence.get("start")
    if isinstance(what, str) and "of shape" in what:
        size = expected["colours"].shape
        return f"a new SRCNN(channels=3) {what}, expected {size}: padding=kernel // 2 keeps the size"
    if strange := trouble(what, "a new SRCNN(channels=3)", "an image"):
        return strange
    if not agrees(found, nothing, rtol=0, atol=1e-6):
        off = np.abs(found - nothing)
        cause = "start the first `channels` maps of each layer with nn.init.dirac_ and a bias of 0"
        if off[0] < 1e-6 < off[1:].min():
            cause = "only the first colour comes through; there are `channels` maps to hand on, not one"
        return f"a new network changes the image by up to {off.max():.3g}, expected 0: {cause}"
    alive, wanted = evidence.get("start: alive"), expected["start: alive"]
    if agrees(alive, wanted, rtol=0, atol=1e-3):
        return None
    if srcnn_parameters_problem(evidence, expected):
        return "the image comes through; get the number of parameters right first, then the random start can be judged"
    if isinstance(alive, np.ndarray) and alive.shape == wanted.shape and (alive < wanted).any():
        counts = [round(value - nothing[0]) for value in (alive[0], wanted[0])]
        cause = "only the first `channels` maps are set; all others keep PyTorch's random start"
        return f"{counts[0]:,} of the first layer's weights are not zero, expected {counts[1]:,}: {cause}"
    if isinstance(alive, np.ndarray) and alive.shape == wanted.shape and (alive > wanted).any():
        return "the image comes through, but not by the first maps of each layer: is y added to the output?"
    return "the first maps of each layer should be a dirac kernel, all others PyTorch's random start"


def output_problem(evidence, expected, name="output"):
    found, wanted = evidence.get(name), expected[name]
    if agrees(found, wanted):
        return None
    strange = trouble(found, "SRCNN's forward", "an image")
    if strange:
        return strange
    if found.shape != wanted.shape:
        rows = wanted.shape[-2] - found.shape[-2]
        return f"{found.shape} came, expected {wanted.shape}, {rows} rows more: padding=kernel // 2 keeps the size"
    if name != "output" and not agrees(evidence.get("output"), expected["output"]):
        return "forward is not right yet with the usual arguments either"
    off = f"for given weights the output is off by up to {np.abs(found - wanted).max():.2g}"
    return f"{off}: {_output_cause(found, wanted, evidence, expected, name)}"


def _output_cause(found, wanted, evidence, expected, name):
    if not np.isfinite(found).all():
        return "it holds NaN or infinity"
    if name == "output":
        for mistake, made in _other_srcnns(expected["image"], expected["seed"]).items():
            if agrees(found, made):
                return OUTPUT_CAUSES[mistake]
    if _off_at_the_border(found, wanted):
        if name == "output":
            return "near the border only. Beyond it lies what `padding_mode` says, by default zeros"
        return "near the border only. Hand `padding_mode` on to all three convolutions"
    if name == "output" and (sentence := wrong_layers(evidence, expected)):
        return sentence
    if srcnn_parameters_problem(evidence, expected):
        return "get the number of parameters right first; other layers make something else of these weights"
    return "is it convolution, ReLU, convolution, ReLU, convolution, each layer used once?"


def _off_at_the_border(found, wanted):
    """Whether two images (N, C, H, W) agree beyond the reach of the border, 6 pixels, and nowhere at the border."""
    off = np.abs(found - wanted) > 1e-5 + 1e-4 * np.abs(wanted).max()
    rows, columns = off[..., [0, -1], :], off[..., [0, -1]]
    return not off[..., 6:-6, 6:-6].any() and min(rows.mean(), columns.mean()) > 0.9


def replicate_problem(evidence, expected):
    found, zeros = evidence.get("replicate"), expected["output"]
    if agrees(found, zeros):
        return 'padding_mode="replicate" gives what "zeros" gives: hand `padding_mode` on to every nn.Conv2d'
    sentence = output_problem(evidence, expected, "replicate")
    return sentence and f'padding_mode="replicate": {sentence}'


def srcnn_settings_problem(evidence, expected):
    for i in (0, 1):
        if sentence := missing_setting(evidence, i) or _radius_problem(evidence, expected, i):
            return sentence
        if sentence := wrong_config(evidence, expected, i, "the three arguments"):
            return sentence
    return None


def _radius_problem(evidence, expected, i):
    found, wanted = evidence.get(f"radius {i}"), expected[f"radius {i}"]
    if agrees(found, wanted, rtol=0, atol=0):
        return None
    kernels = json.loads(expected[f"config {i}"])["kernels"]
    causes = [
        (6, "is it that of 9, 1, 5, whatever the kernels?"),
        (2 * wanted + 1, "that is the width of the whole field"),
        (2 * wanted, "a kernel of side k looks k // 2 pixels to each side"),
        (sum(kernels), "a kernel of side k looks k // 2 pixels to each side"),
        (max(kernels) // 2, "the layers come one after the other: their radii add up"),
    ]
    strange = trouble(found, "receptive_radius", "a whole number")
    cause = likely(found, causes, "the k // 2 of the three kernels, added up")
    return strange or f"receptive_radius is {found} for the kernels {kernels}, expected {wanted}: {cause}"


def restored_problem(evidence, expected):
    found, wanted, image = evidence.get("restored"), expected["restored"], expected["image"]
    if agrees(found, wanted):
        return None
    output = evidence.get("output")
    if isinstance(output, np.ndarray) and agrees(found, output):
        return "restore gives what forward gives, and forward is not right yet"
    causes = [
        (np.clip(wanted, 0, 1), "it is clipped to [0, 1]; the clipping comes later, in cu.restore"),
        (image - wanted, "that is y minus the network's output; SRCNN gives the image itself"),
        (image + wanted, "y is added; SRCNN gives the image itself"),
        (image, "that is y as it came"),
    ]
    strange = trouble(found, "restore", "an image")
    return strange or f"restore is not what the network gives: {likely(found, causes, 'return self(y)')}"


def colour_problem(evidence, expected):
    sentence = output_problem(evidence, expected, "colour")
    if sentence or agrees(evidence.get("colour restored"), expected["colour restored"]):
        return sentence and f"3 channels, kernels 5, 3, 3, replicate: {sentence}"
    return "3 channels, kernels 5, 3, 3, replicate: restore is not what the network gives"


SRCNN = Exercise(
    name="srcnn",
    lesson="02_srcnn",
    answer="SRCNN",
    reference="course_utils.models.srcnn:SRCNN",
    probe=probe_srcnn,
    claims=(
        claim("it has as many parameters as the published networks", srcnn_parameters_problem),
        claim("a new network hands the image on, and its other maps start at random", srcnn_start_problem),
        claim("with given weights its output is that of an SRCNN", output_problem, points=3),
        claim("`padding_mode` says what lies beyond the border", replicate_problem),
        claim("`restore` gives what the network gives", restored_problem),
        claim("`config` and `receptive_radius` tell what was built", srcnn_settings_problem),
        claim("the same holds for three channels and other kernels", colour_problem, points=2, hidden=True),
    ),
    hints=(
        "Make the three convolutions first, then give the first maps of each their start in a loop over the three. "
        "forward runs one after the other, with a ReLU after the first and after the second.",
        "maps = (channels, 64, 32, channels); layer i is nn.Conv2d(maps[i], maps[i + 1], kernels[i], "
        "padding=kernels[i] // 2, padding_mode=padding_mode).",
        "For each convolution: nn.init.dirac_(convolution.weight.detach()[:channels]) and the same with zeros_ and its "
        "bias. forward: first, ReLU, second, ReLU, third, as three attributes and F.relu or as one nn.Sequential; "
        "restore returns self(y).",
    ),
)

# --- mse_loss ---

TRIALS = 16  # in half of them the restored image is the clean one


def probe_mse_loss(answer, rng):
    """Ask for the loss of images that are right or not, of one, of a batch, for a gradient, of images in colour."""
    import torch

    shape = (4, 1, 6, 5)
    clean, lost, error = (rng.uniform(*bounds, shape) for bounds in ((0.2, 0.9), (-0.2, 0.3), (-0.3, 0.2)))
    error *= rng.uniform(0.5, 1.5, (4, 1, 1, 1))  # of each image, so that no loss is likely
    inputs = np.stack([clean + error, clean + lost, clean]).astype(np.float32)  # restored, degraded, clean
    colours = rng.uniform(0, rng.uniform(0.5, 1), (3, 3, 3, 7, 4)).astype(np.float32)
    kept = rng.integers(0, 2, shape).astype(np.float32)
    right = rng.permutation(TRIALS) < TRIALS // 2  # which ones nobody knows beforehand
    evidence = {"inputs": inputs, "colours": colours, "kept": kept}
    with undisturbed(rng):
        restored, degraded, clean = torch.from_numpy(inputs.copy())
        for i in range(TRIALS):
            output = clean.clone() if right[i] else restored
            ask(evidence, f"trial {i}", lambda output=output: number(answer(output, degraded, clean)))
        ask(evidence, "one", lambda: number(answer(restored[:1], degraded[:1], clean[:1])))
        ask(evidence, "batch", lambda: number(answer(restored, degraded, clean)))
        ask(evidence, "gradient", lambda: gradient(answer, restored, degraded, clean, torch.from_numpy(kept)))
        ask(evidence, "colour", lambda: number(answer(*torch.from_numpy(colours.copy()))))
    return evidence


def _mse_causes(inputs):
    """(value, cause) of the usual mistakes; inputs: restored, degraded, clean, each (N, C, H, W)."""
    restored, degraded, clean = inputs.astype(np.float64)
    error = restored - clean
    mse, total = np.square(error).mean(), np.square(error).sum()
    return [
        (total, "that is the sum of the squares; take their mean, over all values"),
        (mse / 2, "that is half of it; there is no ½ in this loss"),
        (total / len(clean), "that is the sum over each image; take the mean over all values"),
        (total / (2 * len(clean)), "that is 1/(2N) times the sum; take the mean over all values"),
        (np.sqrt(mse), "that is the root of it; no root is taken"),
        (np.abs(error).mean(), "are the errors squared? That is the mean absolute error"),
        (error.mean(), "are the errors squared? Those of both signs cancel out"),
        (error.var(), "is the variance taken? An error that is the same everywhere is an error too"),
        (error.var(ddof=1), "is the variance taken? An error that is the same everywhere is an error too"),
        (np.square(restored - degraded).mean(), "is it compared with the degraded image? It should become the clean"),
        (np.square(degraded - clean).mean(), "that is the error of the degraded image; `restored` is not in it"),
        (np.square(restored - (degraded - clean)).mean(), "is it compared with what was added? SRCNN gives the image"),
        (-10 * np.log10(mse), "that is a PSNR; training makes the mean squared error itself small"),
    ]


def _mse_problem(name, what, **inputs):
    return loss_problem("mse_loss", name, what, _mse_causes, "take the mean of (restored - clean)²", **inputs)


def right_problem(evidence, expected):
    found = [evidence.get(f"trial {i}") for i in range(TRIALS)]
    if all(isinstance(value, float) for value in found) and len(set(found)) == 1 and np.isfinite(found[0]):
        return f"the loss is {found[0]:.5g} whatever the network gives, expected 0 where that is right: use `restored`"
    for i in range(TRIALS):
        found, is_right = evidence.get(f"trial {i}"), expected[f"trial {i}"] == 0
        strange = trouble(found, "mse_loss", "one number")
        if strange:
            return strange
        if is_right and not agrees(found, 0, rtol=0, atol=1e-6):
            return f"the clean image itself has the loss {found:.5g}, expected 0: compare `restored` with `clean`"
        if not is_right and not 1e-6 < float(found) < np.inf:
            return f"an image that is wrong has the loss {found:.5g}, expected more than 0: square the differences"
    return None


MSE_LOSS = Exercise(
    name="mse_loss",
    lesson="02_srcnn",
    answer="mse_loss",
    reference="course_utils.losses:mse_loss",
    probe=probe_mse_loss,
    claims=(
        claim("the clean image itself has no loss", right_problem),
        claim("the loss of a batch is the mean over all its values", _mse_problem("batch", "4 images"), points=2),
        claim("the loss of one image is its mean squared error", _mse_problem("one", "one image", images=1)),
        claim("it is a scalar tensor with a gradient", gradient_problem("mse_loss", "`restored`")),
        claim(
            "the same holds for images in colour",
            _mse_problem("colour", "3 images in colour", images=3, inputs="colours"),
            hidden=True,
        ),
    ),
    hints=(
        "What should the network's output become? Take the difference to that.",
        "Square the difference and take the mean over everything: a tensor has the methods square() and mean(). The "
        "degraded image is not needed.",
        "(restored - ...).square().mean() with the right image in place of the dots; F.mse_loss does it as well.",
    ),
)

# --- merge_luma ---


def probe_merge_luma(answer, rng):
    """Ask for a pale image with another Y, one where colours leave the range, a batch, and images of another size."""
    import torch

    shapes = {"pale": (9, 8), "bright": (7, 10), "batch": (2, 6, 5), "others": (3, 5, 11)}
    evidence = {}
    for name, (*batch, height, width) in shapes.items():
        grey = rng.uniform(0.35, 0.6, (*batch, 1, height, width))
        rgb = grey + rng.uniform(-0.12, 0.2, (*batch, 3, height, width))
        y = rng.uniform(0.4, 0.55, (*batch, 1, height, width))
        if name in ("bright", "others"):
            rgb, y = rng.uniform(0, 1, rgb.shape), rng.uniform(0.1, 0.9, y.shape)
        evidence[f"{name}: y"], evidence[f"{name}: rgb"] = y.astype(np.float32), rgb.astype(np.float32)
    with undisturbed(rng):
        for name in shapes:
            given = lambda name=name: [torch.from_numpy(evidence[f"{name}: {part}"].copy()) for part in ("y", "rgb")]
            ask(evidence, name, lambda given=given: array(answer(*given())))
    return evidence


WEIGHTS = np.array([0.299, 0.587, 0.114])


def _luma(rgb):
    """(..., 3, H, W) -> the Y of studio range, (..., H, W)."""
    return (16 + 219 * np.tensordot(WEIGHTS, np.moveaxis(rgb, -3, 0), 1)) / 255


def _colour_differences(rgb):
    """(..., 3, H, W) -> R - Y and B - Y, (2, ..., H, W)."""
    full = (255 * _luma(rgb) - 16) / 219
    red, _, blue = np.moveaxis(rgb, -3, 0)
    return np.stack([red - full, blue - full])


def _merged(evidence, expected, name):
    """(the image, None) or (None, the sentence that there is none)."""
    found, wanted = evidence.get(name), expected[name]
    strange = trouble(found, f"merge_luma of {expected[f'{name}: rgb'].shape}", "an RGB image")
    if strange:
        return None, strange
    if found.shape != wanted.shape:
        cause = "it needs three channels, R, G and B" if found.shape[-3:-2] != (3,) else "join them along dim=-3"
        return None, f"merge_luma gives the shape {found.shape}, expected {wanted.shape}: {cause}"
    return found.astype(np.float64), None


def luma_problem(evidence, expected, name="pale"):
    found, sentence = _merged(evidence, expected, name)
    if sentence or agrees(_luma(found), np.squeeze(expected[f"{name}: y"], -3), rtol=0, atol=2e-3):
        return sentence
    y, rgb = (expected[f"{name}: {part}"].astype(np.float64) for part in ("y", "rgb"))
    wanted, ycbcr = y.mean(), _ycbcr(rgb, y)
    causes = [
        (rgb, "that is the colour image as it came; put the new Y in place of its own"),
        (ycbcr, "that is still Y, Cb and Cr; go back with ycbcr_to_rgb"),
        (np.broadcast_to(y, rgb.shape), "that is Y three times: a grey image"),
        (rgb + y - _luma(rgb)[..., None, :, :], "that adds the change of Y to R, G and B without 255/219, its scale"),
        (_full_range(rgb, y), "is it full range? A restored Y is in studio range, black is 16/255"),
        (_full_range_back(ycbcr), "is the way back full range? It is studio range there and back"),
        (_studio_of(ycbcr[..., [1, 2, 0], :, :]), "are the channels in another order? Y, Cb, Cr"),
    ]
    off = np.abs(_luma(found) - y[..., 0, :, :]).max()
    default = "rgb_to_ycbcr, the new Y in place of channel 0, ycbcr_to_rgb"
    cause = _likely_image(found, causes, default)
    return f"the Y of the result is off by up to {off:.2g} (its mean should be {wanted:.3f}): {cause}"


def _ycbcr(rgb, y):
    """The studio YCbCr of an image with the new Y in it."""
    red_y, blue_y = np.moveaxis(_colour_differences(rgb), 0, 0)
    cb, cr = (128 + 224 * blue_y / 1.772) / 255, (128 + 224 * red_y / 1.402) / 255
    return np.stack([y[..., 0, :, :], cb, cr], axis=-3)


def _studio_of(ycbcr):
    y, cb, cr = np.moveaxis(ycbcr, -3, 0)
    return _rgb_of((255 * y - 16) / 219, (255 * cb - 128) / 224, (255 * cr - 128) / 224)


def _full_range_back(ycbcr):
    y, cb, cr = np.moveaxis(ycbcr, -3, 0)
    return _rgb_of(y, cb - 128 / 255, cr - 128 / 255)


def _full_range(rgb, y):
    red_y, blue_y = _colour_differences(rgb)
    return _rgb_of(y[..., 0, :, :], blue_y / 1.772, red_y / 1.402)


def _rgb_of(y, cb, cr):
    """Y of 0 to 1, Cb and Cr around 0 -> RGB, clipped."""
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    return np.clip(np.stack([red, green, blue], axis=-3), 0, 1)


def _likely_image(found, causes, default):
    for value, cause in causes:
        if agrees(found, value, rtol=0, atol=2e-3):
            return cause
    return default


def chroma_problem(evidence, expected, name="pale"):
    found, sentence = _merged(evidence, expected, name)
    if sentence:
        return sentence
    y, rgb = (expected[f"{name}: {part}"].astype(np.float64) for part in ("y", "rgb"))
    got, wanted = _colour_differences(found), _colour_differences(rgb)
    wrong_y = luma_problem(evidence, expected, name)
    if agrees(got, wanted, rtol=0, atol=2e-3):
        return wrong_y and "R - Y and B - Y are those of the colour image; only Y is not right yet"
    ycbcr = _ycbcr(rgb, y)
    causes = [
        (np.broadcast_to(y, rgb.shape), "that is Y three times, without colour; take Cb and Cr from the colour image"),
        (_studio_of(ycbcr[..., [0, 2, 1], :, :]), "are Cb and Cr swapped? Their order is Y, Cb, Cr"),
        (ycbcr, "that is still Y, Cb and Cr; go back with ycbcr_to_rgb"),
        (_rgb_of((255 * y[..., 0, :, :] - 16) / 219, 0 * y[..., 0, :, :], 0 * y[..., 0, :, :]), "the colours are gone"),
    ]
    off = np.abs(got - wanted).max()
    default = "Cb and Cr are those of `rgb`, channels 1 and 2 of rgb_to_ycbcr(rgb)"
    cause = _likely_image(found, causes, "get Y right first, then look again" if wrong_y else default)
    return f"the colours (R - Y and B - Y) are off by up to {off:.2g}: {cause}"


def range_problem(evidence, expected, name="bright"):
    found, sentence = _merged(evidence, expected, name)
    if sentence or agrees(found, expected[name], rtol=0, atol=1e-4):
        return sentence
    if not np.isfinite(found).all():
        return "a colour that no screen can show gave NaN or infinity; clip to [0, 1]"
    if found.min() < -1e-3 or found.max() > 1 + 1e-3:
        return f"the result goes from {found.min():.2f} to {found.max():.2f}, expected 0 to 1: ycbcr_to_rgb clips it"
    y = expected[f"{name}: y"]
    if agrees(found, np.broadcast_to(y, found.shape)):
        return "strong colours come out grey; take Cb and Cr from the colour image"
    off = np.abs(found - expected[name]).max()
    if luma_problem(evidence, expected) or chroma_problem(evidence, expected):
        return f"strong colours are off by up to {off:.2g}, but the ordinary image is not right yet: mend that first"
    return f"strong colours are off by up to {off:.2g}: is anything clipped before ycbcr_to_rgb does it?"


def _batch_problem(name, what):
    def problem(evidence, expected):
        found = evidence.get(name)
        if isinstance(found, str) and not found.startswith("returned"):
            return f"{what} raised {found[:70]}: the channels are the third axis from the end, dim=-3, batch or not"
        for part in (luma_problem, chroma_problem, range_problem)[2 if name == "others" else 0 :]:
            if sentence := part(evidence, expected, name):
                return f"{what}: {sentence}"
        return None

    return problem


MERGE_LUMA = Exercise(
    name="merge_luma",
    lesson="02_srcnn",
    answer="merge_luma",
    reference="course_utils.colour:merge_luma",
    probe=probe_merge_luma,
    claims=(
        claim("the Y of the result is the new Y", luma_problem, points=2),
        claim("its colours are those of the colour image", chroma_problem),
        claim("colours beyond the range are clipped, and all else is kept", range_problem),
        claim("a batch is taken as well", _batch_problem("batch", "a batch of 2 images")),
        claim("the same holds for another batch", _batch_problem("others", "a batch of 3 images"), hidden=True),
    ),
    hints=(
        "To YCbCr, one channel exchanged, and back. Which of the three channels is Y?",
        "rgb_to_ycbcr(rgb)[..., 1:, :, :] is Cb and Cr, for an image and for a batch; torch.cat([...], dim=-3) joins "
        "channels.",
        "colour = rgb_to_ycbcr(rgb)[..., 1:, :, :]; join y and colour with torch.cat along dim=-3, and hand the result "
        "to ycbcr_to_rgb.",
    ),
)

EXERCISES = (LOW_RESOLUTION_PAIR, SRCNN, MSE_LOSS, MERGE_LUMA)
