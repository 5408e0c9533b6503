"""What lesson 3 asks, from a photograph to a portrait four times as large: four exercises around ESPCN."""

import json

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.networks import (
    ask_about_size,
    count_parameters,
    filled,
    largest,
    missing_setting,
    names_of_layers,
    wrong_config,
    wrong_count,
    wrong_layers,
)
from course_utils.exercises.probing import (
    agrees,
    array,
    ask,
    ask_for_error,
    claim,
    described,
    likely,
    number,
    trouble,
    undisturbed,
)


def shape_of(values):
    """A shape as a text: "3 x 16 x 16"."""
    return " x ".join(map(str, values.shape)) or "no axis"


def wrong_before(evidence, expected, name, before, **room):
    """The sentence where one of the cases before, {name: what it is}, is wrong already and may be why this one is.

    A case that brought an error, or no array, where the other brought an array has a cause of its own: None.
    """
    for other, what in before.items():
        own = isinstance(evidence.get(name), str) and isinstance(evidence.get(other), np.ndarray)
        if not own and not agrees(evidence.get(other), expected[other], **room):
            return f"{what} is not right yet, see above; get that right first"
    return None


# --- centre_crop ---

LONGEST_ERROR = 250  # characters


def probe_centre_crop(answer, rng):
    """Ask for the middle of images where what is cut off is even, odd or nothing, and of images that are too small."""
    import torch

    size = int(rng.integers(5, 8))
    wide, high = (2 * int(half) for half in rng.choice(np.arange(1, 6), 2, replace=False))
    images = {
        "even": rng.uniform(0, 1, (3, size + high, size + wide)),
        "odd": rng.uniform(0, 1, (1, size + 3, size + 5 + 4 * int(rng.integers(3)))),
        "batch": rng.uniform(0, 1, (2, 3, size, size + 4)),
        "others": rng.uniform(0, 1, (size + int(rng.integers(20, 30)), size + int(rng.integers(31, 40)))),
    }
    evidence = {f"{name}: image": image.astype(np.float32) for name, image in images.items()} | {"size": size}
    sides = rng.choice(np.arange(101, 199), 2, replace=False)
    small = {"too low": (3, sides[0], 231), "too narrow": (3, 231, sides[1])}
    evidence |= {f"{name}: sides": np.array(shape[1:]) for name, shape in small.items()}
    with undisturbed(rng):
        for name in images:
            image = torch.from_numpy(evidence[f"{name}: image"].copy())
            ask(evidence, name, lambda image=image: array(answer(image, size)))
        for name, shape in small.items():
            image = torch.zeros([int(side) for side in shape])
            ask_for_error(evidence, name, lambda image=image: array(answer(image, 200)))
    return evidence


def _cut(image, top, left, size):
    return image[..., top : top + size, left : left + size]


CROPPED = {"even": "a crop where the rest is even", "odd": "a crop where the rest is odd", "batch": "a batch"}


def _crop_problem(name, *before):
    """The claim that the crop of this image is the expected one; the cases before may be wrong for the same reason."""

    def problem(evidence, expected):
        found, wanted, image, size = evidence.get(name), expected[name], expected[f"{name}: image"], expected["size"]
        call = f"centre_crop of {shape_of(image)} to {size}"
        if agrees(found, wanted, rtol=0, atol=1e-6):
            return None
        earlier = {each: CROPPED[each] for each in before}
        if cause := wrong_before(evidence, expected, name, earlier, rtol=0, atol=1e-6):
            return f"{call}: {cause}"
        if strange := trouble(found, call, "a tensor"):
            return strange
        if cause := _place_cause(found, image, size):
            return f"{call}: {cause}"
        if found.shape != wanted.shape:
            return f"{call} has the shape {shape_of(found)}, expected {shape_of(wanted)}: {_shape_cause(found, image)}"
        if not np.isin(found, image).all():
            return f"{call} holds values that the image does not have: is it resized? Cropping only cuts"
        return f"{call}: expected is the window that begins half of what is cut off further in, rounded down"

    return problem


def _shape_cause(found, image):
    if found.ndim != image.ndim:
        return "the axes before height and width stay as they are"
    if found.ndim > 2 and found.shape[-1] == image.shape[-1] != found.shape[0]:
        return "are other axes cut? Height and width are the last two, image[..., rows, columns]"
    if found.size == 0:
        return "nothing is left: a slice like 0:-0 is empty; end it at top + size"
    return "end the slices at top + size and left + size"


def _place_cause(found, image, size):
    """The cause if it is the window at another place; one that sticks out of the image is smaller."""
    rows, columns = image.shape[-2] - size, image.shape[-1] - size
    top, left = rows // 2, columns // 2
    causes = [
        (0, 0, "that is the top left corner; the middle begins half of what is cut off further in"),
        (rows, columns, "that is the bottom right corner; only half of what is cut off lies before the middle"),
        (-(-rows // 2), -(-columns // 2), "an odd rest is rounded up: // 2 leaves the larger part at the end"),
        (round(rows / 2), round(columns / 2), "an odd rest goes to the even number with round(); // 2 rounds down"),
        (image.shape[-2] // 2, image.shape[-1] // 2, "half of the sides; it is half of what is cut off: the rest"),
        (left, top, "top comes from the width and left from the height: are the two swapped?"),
    ]
    for row, column, cause in causes:
        if agrees(found, _cut(image, row, column, size), rtol=0, atol=1e-6):
            return f"{cause} (begin at row {top}, column {left})"
    return None


def too_small_problem(evidence, expected):
    for name in ("too low", "too narrow"):
        found, (height, width) = evidence.get(name), (int(side) for side in expected[f"{name}: sides"])
        call = f"centre_crop of {height} x {width} pixels to 200"
        if not isinstance(found, str):
            got = f"of shape {shape_of(found)}" if isinstance(found, np.ndarray) else str(found)
            return f"{call} gave an image {got[:40]}; there is no such middle, raise a CourseError"
        if not found.startswith("CourseError"):
            return (
                f"{call}: expected is a CourseError; it {found[:60] if 'returned' in found else 'raised ' + found[:60]}"
            )
        if len(found) > LONGEST_ERROR:
            return f"the CourseError of {call} has {len(found):,} characters; a line says it"
        if not (str(height) in found and str(width) in found):
            return f"the CourseError of {call} does not name the height and the width: {found[13:90]}"
    return None


CENTRE_CROP = Exercise(
    name="centre_crop",
    lesson="03_espcn_portraits",
    answer="centre_crop",
    reference="course_utils.degrade.pyramid:centre_crop",
    probe=probe_centre_crop,
    claims=(
        claim("the middle is cut out, as much from either side", _crop_problem("even"), points=2),
        claim("where the rest is odd, one row or column more goes at the end", _crop_problem("odd", "even")),
        claim(
            "a batch is cropped too, and nothing is cut off where nothing is too much",
            _crop_problem("batch", "even"),
        ),
        claim("an image that is too small is a CourseError that names its sides", too_small_problem),
        claim(
            "the same holds for an image without an axis of channels",
            _crop_problem("others", "even", "odd", "batch"),
            hidden=True,
        ),
    ),
    hints=(
        "How many rows are too many? Half of them lie above the middle. Where does the middle begin and end?",
        "height, width = image.shape[-2:] gives the sides, whatever axes stand before them. The middle begins at row "
        "(height - size) // 2. image[..., a:b, c:d] cuts the last two axes.",
        "if size > min(height, width): raise CourseError(f'{height}x{width} pixels are too few'). Then top and left as "
        "said, and return image[..., top : top + size, ...] with the columns in place of the last dots.",
    ),
)

# --- pyramid_reduce ---

WEIGHTS = np.array([1, 4, 6, 4, 1])


def probe_pyramid_reduce(answer, rng):
    """Ask for a level of an image, of one with odd sides and of a batch, for two levels, and for three."""
    import torch

    cases = {
        "even": ((3, *2 * rng.integers(6, 9, 2)), 1),
        "odd": ((1, *(2 * rng.choice(np.arange(4, 9), 2, replace=False) + 1)), 1),
        "batch": ((2, 3, 10, 2 * rng.integers(6, 9)), 1),
        "two": ((1, *4 * rng.choice(np.arange(4, 8), 2, replace=False)), 2),
        "others": ((1, 2, *rng.integers(31, 44, 2)), 3),
    }
    evidence = {}
    with undisturbed(rng):
        for name, (shape, levels) in cases.items():
            evidence[f"{name}: image"] = rng.uniform(0, 1, [int(side) for side in shape]).astype(np.float32)
            image = torch.from_numpy(evidence[f"{name}: image"].copy())
            options = {} if name == "even" else {"levels": levels}
            ask(evidence, name, lambda image=image, options=options: array(answer(image, **options)))
    return evidence


def _blurred(image, weights=WEIGHTS / 16, mode="reflect", axes=(-2, -1)):
    """An image (..., H, W) blurred down and across."""
    radius = len(weights) // 2
    for axis in axes:
        side, pad = image.shape[axis], [(0, 0)] * image.ndim
        pad[axis] = (radius, radius)
        padded = np.pad(image.astype(np.float64), pad, mode=mode)
        image = sum(w * np.take(padded, np.arange(k, k + side), axis) for k, w in enumerate(weights))
    return image


def _kept(image, step=2, first=0):
    return image[..., first::step, first::step]


def _boxes(image):
    height, width = (side // 2 * 2 for side in image.shape[-2:])
    image = image[..., :height, :width]
    return (image[..., ::2, ::2] + image[..., 1::2, ::2] + image[..., ::2, 1::2] + image[..., 1::2, 1::2]) / 4


def _inside(image):
    return image[..., 1:-1, 1:-1]


def _level_causes(image):
    """What mistakes make of an image: (values away from the border, sentence)."""
    made = [
        (_kept(image), "is every second pixel kept without a blur? Fine detail then turns into false patterns"),
        (_kept(_blurred(image), first=1), "rows 1, 3, 5, ... are kept; keep 0, 2, 4, ..., [::2]"),
        (_boxes(image), "is it the mean of 2 x 2 pixels? The pyramid blurs with [1 4 6 4 1] / 16"),
        (16 * _kept(_blurred(image)), "it is 16 times too bright: are the weights divided by 16 both times?"),
        (256 * _kept(_blurred(image)), "it is 256 times too bright: are the weights divided by 16, their sum?"),
        (_kept(_blurred(image, axes=(-1,))), "is it blurred across only? Down as well"),
        (_kept(_blurred(image, axes=(-2,))), "is it blurred down only? Across as well"),
        (_kept(_blurred(image, np.array([1, 2, 1]) / 4)), "is it blurred with [1 2 1] / 4? The weights are five"),
        (_kept(_blurred(image, np.full(5, 0.2))), "are the five weights equal? They are [1 4 6 4 1] / 16"),
        (
            _kept(_blurred(image.sum(axis=-3, keepdims=True) + 0 * image)),
            "are the colours added up? Each is blurred on its own",
        ),
        (_kept(_blurred(_blurred(image))), "is it blurred twice for one level?"),
    ]
    return [(_inside(values), cause) for values, cause in made]


def _level_trouble(evidence, expected, name, levels):
    """(found, wanted, image, call, None), or the sentence in the last place: nothing, or an image of another size."""
    found, wanted, image = evidence.get(name), expected[name], expected[f"{name}: image"]
    call = f"pyramid_reduce of {shape_of(image)}" + (f", levels={levels}," if levels > 1 else "")
    sentence = trouble(found, call, "a tensor")
    if not sentence and found.shape != wanted.shape:
        sentence = (
            f"{call} has the shape {shape_of(found)}, expected {shape_of(wanted)}: {_size_cause(found, image, levels)}"
        )
    return found, wanted, image, call, sentence


def _size_cause(found, image, levels):
    if found.shape[:-2] != image.shape[:-2]:
        return "only height and width change; the axes before them stay"
    sizes = [tuple(-(-side // 2**k) for side in image.shape[-2:]) for k in range(levels + 2)]
    if found.shape[-2:] == sizes[0]:
        return "nothing is left out; keep every second row and column"
    if levels > 1 and found.shape[-2:] in sizes[:levels]:
        return f"that is {sizes.index(found.shape[-2:])} level, not {levels}: repeat it `levels` times"
    if found.shape[-2:] == sizes[-1]:
        return "that is one level too many"
    if found.shape[-2:] == tuple(side // 2 for side in image.shape[-2:]):
        return "with odd sides [::2] keeps one pixel more than half"
    return "pad by 2 on each side, so that the blurred image is as large as it was; then keep [::2]"


def level_problem(evidence, expected):
    found, wanted, image, call, sentence = _level_trouble(evidence, expected, "even", 1)
    if sentence or agrees(_inside(found), _inside(wanted)):
        return sentence
    off = np.abs(_inside(found) - _inside(wanted)).max()
    default = "away from the border each pixel is a weighted mean of 5 x 5: [1 4 6 4 1] / 16 down, the same across"
    return f"{call} is off by up to {off:.2g}: {likely(_inside(found), _level_causes(image), default)}"


def border_problem(evidence, expected):
    found, wanted, image, call, sentence = _level_trouble(evidence, expected, "even", 1)
    if sentence or not agrees(_inside(found), _inside(wanted)):
        return f"{call} is not right away from the border yet, see above; get that right, then look at the border"
    if agrees(found, wanted):
        return None
    causes = [
        (_kept(_blurred(image, mode="constant")), "is it padded with zeros?"),
        (_kept(_blurred(image, mode="edge")), "is the outermost pixel repeated (replicate)?"),
        (_kept(_blurred(image, mode="symmetric")), "is the mirror's first pixel the outermost one once more?"),
        (_kept(_blurred(image, mode="wrap")), "does the image go on at its other side (circular)?"),
    ]
    cause = likely(found, causes, "is the image padded by 2 pixels on each side?")
    return f"{call} is wrong at the border: {cause} Expected is mode='reflect'"


REDUCED = {
    "even": "one level of an image with even sides",
    "odd": "one level of an image with odd sides",
    "two": "an image after two levels",
    "batch": "one level of a batch",
}


def _size_problem(name, levels, what, *before):
    """The claim that levels of this image are right; the cases before may be wrong for the same reason."""

    def problem(evidence, expected):
        found, wanted, image, call, sentence = _level_trouble(evidence, expected, name, levels)
        if not sentence and agrees(found, wanted):
            return None
        if cause := wrong_before(evidence, expected, name, {each: REDUCED[each] for each in before}):
            return f"{call.rstrip(',')}: {cause}"
        if sentence:
            return sentence
        once = _blurred(image)
        causes = [
            (_kept(once, step=2**levels), f"is it blurred once and every {2**levels}th pixel kept? Blur at each level"),
            (_kept(_blurred(once), step=4), "is it blurred twice first, then thinned? Take turns"),
        ]
        off = np.abs(found - wanted).max()
        return f"{call} is off by up to {off:.2g}: {likely(found, causes, what)}"

    return problem


PYRAMID_REDUCE = Exercise(
    name="pyramid_reduce",
    lesson="03_espcn_portraits",
    answer="pyramid_reduce",
    reference="course_utils.degrade.pyramid:pyramid_reduce",
    probe=probe_pyramid_reduce,
    claims=(
        claim("away from the border it is blurred with [1 4 6 4 1] / 16 and thinned", level_problem, points=2),
        claim("beyond the border the image is mirrored", border_problem),
        claim("of 2n - 1 pixels come n", _size_problem("odd", 1, "does it hold for odd sides?", "even")),
        claim(
            "each level does the same again",
            _size_problem("two", 2, "do to the result what you did to the image", "even"),
        ),
        claim(
            "a batch works as well",
            _size_problem("batch", 1, "do images of a batch, or colours, get mixed?", "even"),
        ),
        claim(
            "the same holds for three levels of a batch of other channels",
            _size_problem("others", 3, "is the number of levels, channels or pixels a fixed one?", *REDUCED),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "One level at a time: pad, blur down, blur across, keep every second row and column. Then the loop around it.",
        "F.pad(image, (2, 2, 2, 2), mode='reflect') gives (..., H + 4, W + 4). Blurring down is a sum of five slices: "
        "weight k times the rows k to k + H of the padded image. Across is the same with columns.",
        "rows = sum(w / 16 * padded[..., k : k + height, :] for k, w in enumerate((1, 4, 6, 4, 1))); the same with "
        "[..., k : k + width] of rows; then [..., ::2, ::2]. All that `for _ in range(levels)`, from image to image.",
    ),
)

# --- pixel_shuffle ---


def probe_pixel_shuffle(answer, rng):
    """Ask for the shuffle of one colour, of three, of a batch by 3, and of others by 4."""
    import torch

    cases = {
        "one": ((1, 4, 3, int(rng.integers(4, 6))), 2),
        "colours": ((1, 12, 2, int(rng.integers(3, 5))), 2),
        "batch": ((2, 18, int(rng.integers(4, 6)), 3), 3),
        "others": ((2, 32, 2, int(rng.integers(3, 6))), 4),
    }
    evidence = {}
    with undisturbed(rng):
        for name, (shape, scale) in cases.items():
            values = rng.permutation(int(np.prod(shape))) + float(rng.integers(1, 10**6)) / 16
            evidence[f"{name}: features"], evidence[f"{name}: scale"] = values.reshape(shape), scale
            features = torch.from_numpy(evidence[f"{name}: features"].copy())
            ask(evidence, name, lambda features=features, scale=scale: _shuffled(answer, features, scale))
    return evidence


NO_FUNCTION = "a layer: "


def _shuffled(answer, features, scale):
    """What the answer makes of features; of a layer handed over in place of a function the name."""
    import torch

    if isinstance(answer, type | torch.nn.PixelShuffle):
        return NO_FUNCTION + getattr(answer, "__name__", type(answer).__name__)[:40]
    return array(answer(features, scale))


def _shuffles(features, r):
    """What people make of it: (result, sentence)."""
    n, channels, height, width = features.shape
    c, large = channels // r**2, (n, channels // r**2, r * height, r * width)
    axes = features.reshape(n, c, r, r, height, width)
    last = features.reshape(n, r, r, c, height, width)
    flat = "the numbers are only cut into longer rows: between the two reshapes the axes must be permuted"
    tiled = "there are r x r small images side by side: a sub-pixel's axis comes after that of H or W, not before"
    swapped = "rows and columns of each block are swapped: channel 1 is the right neighbour of channel 0"
    colours = "colour and sub-pixel are taken for each other, as in TensorFlow's depth_to_space: C comes first"
    made = [
        (axes, large, flat),
        (axes.transpose(0, 1, 2, 4, 3, 5), large, tiled),
        (axes.transpose(0, 1, 4, 3, 5, 2), large, swapped),
        (last.transpose(0, 3, 4, 1, 5, 2), large, colours),
        (np.repeat(np.repeat(features[:, :: r**2], r, 2), r, 3), large, "one channel is repeated, the others are lost"),
    ]
    return [(values.reshape(shape), cause) for values, shape, cause in made]


SHUFFLED = {"one": "a single colour", "colours": "an image of three colours", "batch": "a batch by another scale"}


def _shuffle_problem(name, *before):
    """The claim that the shuffle of these features is the expected one; the cases before may be wrong as this one."""

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        features, r = expected[f"{name}: features"], expected[f"{name}: scale"]
        call = f"pixel_shuffle of {shape_of(features)} by {r}"
        if agrees(found, wanted, rtol=0, atol=1e-6):
            return None
        earlier = {each: SHUFFLED[each] for each in before}
        if cause := wrong_before(evidence, expected, name, earlier, rtol=0, atol=1e-6):
            return f"{call}: {cause}"
        if isinstance(found, str) and found.startswith(NO_FUNCTION):
            layer = found.removeprefix(NO_FUNCTION)
            return f"pixel_shuffle is a class or a layer here, {layer}; write a function that takes features and scale"
        if strange := trouble(found, call, "a tensor"):
            return strange
        if found.shape != wanted.shape:
            return f"{call} has the shape {shape_of(found)}, expected {shape_of(wanted)}: {_large_cause(found, wanted)}"
        default = "look at the first block of the result: which channels should stand in it, row by row?"
        return f"{call}: {likely(found, _shuffles(features, r), default)}"

    return problem


def _large_cause(found, wanted):
    if found.ndim != wanted.ndim:
        return "join the axes in pairs with the last reshape: (N, C, H·r, W·r)"
    if found.shape[-2:] == wanted.shape[:-3:-1]:
        return "are height and width swapped?"
    if found.shape[0] != wanted.shape[0]:
        return "the number of images, N, stays as it is"
    if found.shape[1] != wanted.shape[1]:
        return "C is the number of channels divided by scale²"
    return "what stands in a block of scale x scale pixels?"


PIXEL_SHUFFLE = Exercise(
    name="pixel_shuffle",
    lesson="03_espcn_portraits",
    answer="pixel_shuffle",
    reference="course_utils.models.espcn:pixel_shuffle",
    probe=probe_pixel_shuffle,
    claims=(
        claim("the channels of one colour become its sub-pixels, row by row", _shuffle_problem("one"), points=2),
        claim("the first scale² channels are those of the first colour", _shuffle_problem("colours", "one"), points=2),
        claim("a batch, and another scale, work as well", _shuffle_problem("batch", "one", "colours")),
        claim("the same holds for other features", _shuffle_problem("others", *SHUFFLED), hidden=True),
    ),
    hints=(
        "Split the channels into three axes first: colour, row in the block, column in the block. Then bring each of "
        "the two block axes next to the axis it belongs to.",
        "features.reshape(n, c, scale, scale, height, width) has the axes 0 to 5. You want the order N, C, H, row in "
        "the block, W, column in the block: permute takes the numbers of the old axes in their new order.",
        "blocks.permute(0, 1, 4, 2, 5, ...) with the one axis that is left in place of the dots, then "
        ".reshape(n, c, height * scale, width * scale).",
    ),
)

# --- espcn ---


def probe_espcn(answer, rng):
    """Look at networks of any scale, at a new one, and at ones with weights from rng: output, restore, settings."""
    import torch
    from torch.nn import functional as F

    seed = int(rng.integers(2**32))
    image = rng.uniform(0, 1, (2, 3, 13, 14)).astype(np.float32)
    grey_image = rng.uniform(0, 1, (1, 1, 15, 13)).astype(np.float32)
    evidence = {"image": image}
    any_sizes = [_any_scale(rng, scales) for scales in ((2, 3, 5), (6, 7, 8, 9))]
    colour, small = (lambda: answer()), (lambda: answer(scale=2, channels=1))
    with undisturbed(rng), torch.no_grad():
        y, grey = torch.from_numpy(image.copy()), torch.from_numpy(grey_image)
        ask(evidence, "parameters", lambda: count_parameters(answer()))
        for i, arguments in enumerate(any_sizes):
            ask_about_size(evidence, i, lambda arguments=arguments: answer(**arguments))
            ask(evidence, f"scale {i}", lambda arguments=arguments: number(answer(**arguments).scale))
        nearest = F.interpolate(y, scale_factor=4)
        ask(evidence, "start", lambda: _distance(colour().eval()(y.clone()), nearest, beside=image.mean()))
        ask(evidence, "layers", lambda: names_of_layers(colour(), y))
        ask(evidence, "output", lambda: array(filled(colour(), y, seed)(y.clone())))
        ask(evidence, "restored", lambda: array(filled(colour(), y, seed).restore(y.clone())))
        ask(evidence, "grey output", lambda: array(filled(small(), grey, seed)(grey.clone())))
        ask(evidence, "grey restored", lambda: array(filled(small(), grey, seed).restore(grey.clone())))
    return evidence


def _distance(output, wanted, beside):
    """How far an output is from the wanted one at most, on top of a number; of another shape the description."""
    if getattr(output, "shape", None) != wanted.shape:
        return described(output)
    return largest(output - wanted, beside)


def _any_scale(rng, scales):
    """Arguments of ESPCN, not its defaults."""
    return {"scale": int(rng.choice(scales)), "channels": int(rng.choice([1, 2, *range(4, 13)]))}


COUNTS = {  # what mistakes do to the number of parameters of ESPCN()
    -3_072: "is the first kernel 3 x 3? It is 5 x 5",
    10_752: "is the first kernel 9 x 9, as in SRCNN? It is 5 x 5",
    -5_220: "has the last layer channels * scale maps? It has channels * scale**2",
    -6_525: "has the last layer 3 maps? Each colour needs one for each sub-pixel, channels * scale**2",
    -4_640: "has the last layer scale**2 maps? Each colour has its own, channels * scale**2",
    -34_640: "are these the three layers of the paper? The portraits' network has five",
    -224: "do the convolutions lack their biases? They keep them",
    -64_880: "is only the last layer found? Put the others into nn.Sequential too, not into a plain list",
    -36_928: "is the layer from 64 to 64 maps missing?",
    36_928: "is there a second layer from 64 to 64 maps?",
    4: "is it PReLU? This network has ReLU, which learns nothing",
    176: "is it PReLU? This network has ReLU, which learns nothing",
    352: "is there a batch normalisation? This network has none",
}


def espcn_parameters_problem(evidence, expected):
    default = "count the maps, 3, 64, 64, 32, 16, 48, and the kernels, 5, 3, 3, 3, 3"
    sentence = wrong_count(evidence.get("parameters"), expected["parameters"], "ESPCN()", COUNTS, default)
    return sentence or _any_count_problem(evidence, expected, 0) or _any_count_problem(evidence, expected, 1)


def _any_count_problem(evidence, expected, i):
    found, wanted = evidence.get(f"parameters {i}"), expected[f"parameters {i}"]
    if agrees(found, wanted, rtol=0, atol=0):
        return None
    arguments = json.loads(expected[f"config {i}"])
    scale, channels = arguments["scale"], arguments["channels"]
    causes = [
        (wanted + 145 * channels * (16 - scale**2), "is `scale` ignored?"),
        (wanted + (3 - channels) * (1600 + 145 * scale**2), "is `channels` ignored?"),
        (wanted + 145 * scale**2 * (3 - channels), "is `channels` ignored in the last layer?"),
        (expected["parameters"], "are `scale` and `channels` ignored?"),
    ]
    asked = f"ESPCN(scale={scale}, channels={channels})"
    strange = trouble(found, asked, "a network")
    cause = likely(found, causes, "is one of the two a fixed number in your code?")
    return strange or f"{asked} has {found:,} parameters, expected {wanted:,}: {cause}"


def espcn_start_problem(evidence, expected):
    found, nothing = evidence.get("start"), expected["start"]
    if agrees(found, nothing, rtol=0, atol=1e-6):
        return None
    if not agrees(evidence.get("output"), expected["output"]):
        return "the large image for given weights is not right yet, see above; get that right, then look at the start"
    strange = trouble(found, "a new ESPCN", "the image, enlarged")
    cause = "is nearest_start(convolutions, channels) called, with the five convolutions in their order?"
    return (
        strange or f"a new network is off by up to {found - nothing:.2g} from repeating each pixel, expected 0: {cause}"
    )


def espcn_output_problem(evidence, expected, name="output", scale=4):
    found, wanted = evidence.get(name), expected[name]
    if agrees(found, wanted):
        return None
    if isinstance(found, str) and "pixel_shuffle expects" in found:
        return (
            "the pixel shuffle gets a number of maps that is no multiple of scale**2: it comes last, after the layer "
            "with channels * scale**2 maps"
        )
    if strange := trouble(found, "ESPCN's forward", "the large image"):
        return strange
    if found.shape != wanted.shape:
        cause = _output_shape_cause(found, wanted, scale)
        return f"the large image has the shape {shape_of(found)}, expected {shape_of(wanted)}: {cause}"
    off = f"for given weights the output is off by up to {np.abs(found - wanted).max():.2g}"
    return f"{off}: {_output_cause(found, wanted, evidence, expected, scale)}"


def _output_shape_cause(found, wanted, scale):
    if found.ndim != 4 or found.shape[0] != wanted.shape[0]:
        return "the number of images, N, stays as it is"
    height, width = (side // scale for side in wanted.shape[-2:])
    if found.shape[-2:] == (height, width):
        return "it is not enlarged: is the pixel shuffle missing?"
    if found.shape[-2:] == wanted.shape[-2:]:
        return "has the last layer channels * scale**2 maps?"
    if found.shape[-2] * width == found.shape[-1] * height:
        return "is `scale` a fixed number in your code?"
    return "does the padding keep height and width, 2 for 5 x 5 and 1 for 3 x 3?"


def _output_cause(found, wanted, evidence, expected, scale):
    n, c, height, width = wanted.shape
    blocks = wanted.reshape(n, c, height // scale, scale, width // scale, scale)  # H, row in block, W, column in block
    maps = blocks.transpose(0, 1, 3, 5, 2, 4).reshape(n, c * scale**2, height // scale, width // scale)
    inside = (..., slice(6 * scale, -6 * scale), slice(6 * scale, -6 * scale))
    if not np.isfinite(found).all():
        return "it holds NaN or infinity"
    parameters = evidence.get("parameters")
    if agrees(parameters, 0, rtol=0, atol=0):
        return "its layers are not found, so none takes them. Put the layers into nn.Sequential"
    if agrees(found, np.maximum(wanted, 0)):
        return "all of it is 0 or more. Is there a ReLU after the last convolution? This network has none there"
    if agrees(found, np.clip(wanted, 0, 1)):
        return "it is clipped to [0, 1]; the clipping comes later, in cu.restore"
    for values, cause in _shuffles(maps, scale):
        if agrees(found, values):
            return f"the layers are right, the shuffle is not: {cause}"
    if agrees(found[inside], wanted[inside]):
        return "only near the border, though. The convolutions pad with zeros and with nothing else"
    if sentence := wrong_layers(evidence, expected):
        return sentence
    if not agrees(parameters, expected["parameters"], rtol=0, atol=0):
        return "the number of parameters is not right yet, see above; get that right first"
    return "is a layer used twice or not at all, or is ReLU not between all of them?"


def espcn_restore_problem(evidence, expected):
    found, output = evidence.get("restored"), evidence.get("output")
    if trouble(output, "forward", "the large image"):
        return "forward gives no large image yet, see above; get the output right first"
    if strange := trouble(found, "restore", "the large image"):
        return strange
    if found.shape != output.shape:
        return f"restore gives the shape {shape_of(found)}, forward {shape_of(output)}: return self(y)"
    if agrees(found, output) and agrees(found, expected["restored"]):
        return None
    if agrees(found, output):  # which may lie in [0, 1]: then it does not tell whether it is clipped
        return "restore gives what forward gives, which is not right yet: get the output right first"
    if agrees(found, np.clip(output, 0, 1)):
        return "restore is clipped to [0, 1]; the clipping comes later, in cu.restore"
    if not agrees(output, expected["output"]):
        return "what forward gives is not right yet, see above: get the output right first, then look at restore"
    return "restore is not what forward gives; this network gives the image itself: return self(y)"


def espcn_settings_problem(evidence, expected):
    for i in range(2):
        sentence = missing_setting(evidence, i) or _radius_problem(evidence, expected, i)
        sentence = sentence or _scale_problem(evidence, expected, i)
        if sentence := sentence or wrong_config(evidence, expected, i, "the two arguments"):
            return sentence
    return None


def _radius_problem(evidence, expected, i):
    found, wanted, scale = evidence.get(f"radius {i}"), expected[f"radius {i}"], expected[f"scale {i}"]
    if agrees(found, wanted, rtol=0, atol=0):
        return None
    causes = [
        (scale * wanted, "count pixels of the small image, on which the layers work"),
        (4 * wanted, "count pixels of the small image, on which the layers work"),
        (2 * wanted + 1, "that is the width of the whole field"),
        (17, "are the sides of the kernels added up? A kernel of 5 looks 2 pixels further"),
        (5, "is it the number of layers? The first one, 5 x 5, looks 2 pixels further"),
    ]
    cause = likely(found, causes, "5 x 5 looks 2 pixels further, each 3 x 3 one")
    strange = trouble(found, "receptive_radius", "a whole number")
    return strange or f"receptive_radius is {found:g}, expected {wanted}: {cause}"


def _scale_problem(evidence, expected, i):
    found, wanted = evidence.get(f"scale {i}"), expected[f"scale {i}"]
    if isinstance(found, str) and found.startswith("AttributeError"):
        return "the network has no attribute `scale`; cu.fit and cu.restore ask how much larger its output is"
    if agrees(found, wanted, rtol=0, atol=0):
        return None
    strange = trouble(found, "scale", "a whole number")
    return strange or f"the attribute `scale` is {found:g} in ESPCN(scale={wanted}): keep the argument in it"


def espcn_grey_problem(evidence, expected):
    sentence = espcn_output_problem(evidence, expected, "grey output", scale=2)
    if sentence or agrees(evidence.get("grey restored"), expected["grey restored"]):
        return sentence and f"grey, enlarged by 2: {sentence}"
    return "grey, enlarged by 2: restore does not give what forward should give"


ESPCN = Exercise(
    name="espcn",
    lesson="03_espcn_portraits",
    answer="ESPCN",
    reference="course_utils.models.espcn:ESPCN",
    probe=probe_espcn,
    claims=(
        claim("it has the project's 71,840 parameters, and others for other scales", espcn_parameters_problem),
        claim("with given weights the large image is that of an ESPCN", espcn_output_problem, points=3),
        claim("a new network repeats each pixel", espcn_start_problem),
        claim("`restore` gives the large image, not clipped", espcn_restore_problem),
        claim("`config`, `scale` and `receptive_radius` tell what was built", espcn_settings_problem),
        claim("the same holds for grey images enlarged by 2", espcn_grey_problem, points=2, hidden=True),
    ),
    hints=(
        "Make a list of the five convolutions first, with padding so that none of them changes height and width. The "
        "last one has channels * scale**2 maps.",
        "nn.Conv2d(channels, 64, 5, padding=2), then 3 x 3 with padding=1: 64 to 64, 64 to 32, 32 to 16, 16 to "
        "channels * scale**2. Call nearest_start(convolutions, channels). ReLU after the first four, the shuffle last.",
        "With the convolutions in c: self.layers = nn.Sequential(c[0], nn.ReLU(), c[1], nn.ReLU(), ..., c[4], "
        "nn.PixelShuffle(scale)); `forward` returns self.layers(y), and `restore` returns self(y).",
    ),
)

EXERCISES = (CENTRE_CROP, PYRAMID_REDUCE, PIXEL_SHUFFLE, ESPCN)
