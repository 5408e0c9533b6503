"""What lesson 6 asks: windows of pairs of two sizes, turns, CutBlur, and degradations drawn at random."""

import re

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.probing import array, ask, ask_for_error, claim, described, trouble, undisturbed

CODES = 1024  # a place is written as code / CODES: exact in float32
PAIR = "two tensors (degraded, clean)"


def _coded(code, mark, channels=3):
    """A tensor (channels, H, W): all channels but the last hold the code of the place, the last says which image."""
    import torch

    image = np.repeat(code[None] / CODES, channels, axis=0).astype(np.float32)
    if channels > 1:
        image[-1] = mark / CODES
    return torch.from_numpy(image)


def _pairs(answer, count):
    """`count` answers as {"degraded": (count, ...), "clean": (count, ...)}, or a text that says what is wrong."""
    taken = []
    for _ in range(count):
        pair = answer()
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return described(pair)
        pair = [array(image) for image in pair]
        for image in pair:
            if isinstance(image, str):
                return image
        taken.append(pair)
    found = {}
    for place, name in enumerate(("degraded", "clean")):
        shapes = sorted({pair[place].shape for pair in taken})
        if len(shapes) > 1:
            return f"returned {name} images of several shapes, {shapes[0]} and {shapes[1]}"
        found[name] = np.array([pair[place] for pair in taken])
    return found


def _both(evidence, expected, name, call):
    """((degraded, clean), None) of the shapes expected, or (None, the sentence)."""
    if isinstance(evidence.get(name), str):
        return None, trouble(evidence[name], call, PAIR)
    found = []
    for kind in ("degraded", "clean"):
        images, wanted = evidence.get(f"{name}: {kind}"), expected[f"{name}: {kind}"]
        if not isinstance(images, np.ndarray):
            return None, trouble(images, call, PAIR) or f"{call}: {PAIR} are expected"
        if images.shape != wanted.shape:
            shapes = f"has the shape {images.shape[1:]}, expected {wanted.shape[1:]}"
            return None, f"{call}: the {kind} image {shapes}{_swapped(evidence, expected, name, kind)}"
        if images.dtype != wanted.dtype:
            return None, f"{call}: the {kind} image is {images.dtype}, expected {wanted.dtype}: as it came"
        found.append(images.astype(np.float64))
    return found, None


def _swapped(evidence, expected, name, kind):
    """The likely cause of a wrong shape, or nothing."""
    shapes = [getattr(evidence.get(f"{name}: {each}"), "shape", None) for each in ("degraded", "clean")]
    wanted = [expected[f"{name}: {each}"].shape for each in ("degraded", "clean")]
    if wanted[0] != wanted[1] and shapes == wanted[::-1]:
        return ": return (degraded, clean), in this order"
    small = kind == "clean" and shapes[0] == shapes[1] == wanted[0]
    return ": is its size scale * size?" if small else ""


def _state(rng):
    return str(rng.bit_generator.state)


def _same_again(evidence, name, call):
    """The sentence where a state of rng gave two different answers, or where nothing was drawn from it; or None."""
    if evidence.get(f"{name}: rng was used") != 1:
        return f"{call}: nothing was drawn from rng; take rng.integers, not `random`, `torch.rand` or another generator"
    first, again = evidence[f"{name}: degraded"], evidence.get(f"{name} again: degraded")
    if isinstance(again, np.ndarray) and np.array_equal(first[: len(again)], again):
        return None
    return f"{call}: one state of rng gave two different results: some chance does not come from rng"


def _ask_pairs(evidence, name, answer, seed, count):
    """Ask for `count` pairs, note whether rng was used, and ask again for some from the same state of rng."""
    rng = np.random.default_rng(seed)
    before = _state(rng)
    ask(evidence, name, lambda: _pairs(lambda: answer(rng), count))
    evidence[f"{name}: rng was used"] = int(_state(rng) != before)
    again = np.random.default_rng(seed)
    ask(evidence, f"{name} again", lambda: _pairs(lambda: answer(again), min(count, 12)))


# --- paired_crop ---


def probe_paired_crop(answer, rng):
    """Cut many windows from small images whose pixels say where they stand: of one size, and of two."""
    height, size, scale = (int(rng.integers(*ends)) for ends in ((7, 9), (3, 5), (2, 4)))
    width = height + int(rng.integers(2, 4))
    seeds = [int(seed) for seed in rng.integers(2**32, size=4)]
    marks = rng.choice(np.arange(1, CODES), 2, replace=False)
    code = lambda *shape: rng.permutation(CODES)[: shape[0] * shape[1]].reshape(shape)
    codes = {"code": code(height, width), "large code": code(scale * height, scale * width)}
    codes |= {"tall code": code(width, height), "large tall code": code(2 * width, 2 * height)}
    evidence = codes | {"marks": marks, "scale": scale, "size": size}
    small, clean = _coded(codes["code"], marks[0]), _coded(codes["code"], marks[1])
    large = _coded(codes["large code"], marks[1])
    tall, large_tall = _coded(codes["tall code"], 0, 1), _coded(codes["large tall code"], 0, 1)
    with undisturbed(rng):
        _ask_pairs(evidence, "one size", lambda r: answer(small.clone(), clean.clone(), size, r), seeds[0], 200)
        larger = lambda r: answer(small.clone(), large.clone(), size, r, scale=scale)
        _ask_pairs(evidence, "two sizes", larger, seeds[1], 90)
        r = np.random.default_rng(seeds[2])
        ask(evidence, "whole", lambda: _pairs(lambda: answer(small[..., :height], clean[..., :height], height, r), 3))
        ask_for_error(evidence, "too large", lambda: _pairs(lambda: answer(small, clean, height + 1, r), 1))
        ask_for_error(evidence, "other size", lambda: _pairs(lambda: answer(small, clean[..., 1:], size, r), 1))
        wrong = lambda: answer(small, large, size, r, scale=scale + 1)
        ask_for_error(evidence, "other scale", lambda: _pairs(wrong, 1))
        _ask_pairs(evidence, "tall", lambda r: answer(tall.clone(), large_tall.clone(), 4, r, scale=2), seeds[3], 100)
    return evidence


def _windows(images, code):
    """(top, left) of windows (count, C, h, w) of an image with this code: (count, 2); -1 where it is no window."""
    row_of, column_of = np.full((2, CODES), -(10**6))
    row_of[code], column_of[code] = np.indices(code.shape)
    values = np.round(np.nan_to_num(images[:, 0], nan=-1, posinf=-1, neginf=-1) * CODES)
    whole = (np.abs(images[:, 0] * CODES - values) < 1e-3) & (values >= 0) & (values < CODES)
    values = np.where(whole, values, 0).astype(int)
    rows, columns = row_of[values], column_of[values]  # (count, h, w)
    top, left = rows[:, :1, :1], columns[:, :1, :1]
    own_rows, own_columns = np.indices(images.shape[-2:])
    fits = ((rows == top + own_rows) & (columns == left + own_columns) & whole).all(axis=(1, 2))
    return np.where(fits[:, None], np.stack([top[:, 0, 0], left[:, 0, 0]], axis=1), -1)


CROPS = {  # name of the question -> what is asked, the codes of both images, the name of the scale
    "one size": ("paired_crop of two images of one size", "code", "code"),
    "two sizes": ("paired_crop with a scale", "code", "large code"),
    "tall": ("paired_crop of tall grey images, scale 2", "tall code", "large tall code"),
    "whole": ("paired_crop of images as large as the window", "code", "code"),
}


def _places(evidence, expected, name):
    """((places in the degraded images, places in the clean ones), None), or (None, the sentence)."""
    call, *codes = CROPS[name]
    images, sentence = _both(evidence, expected, name, call)
    if sentence:
        return None, sentence
    if images[0].shape[1] > 1:
        marks = expected["marks"] / CODES
        if (images[0][:, -1] == marks[1]).all() and (images[1][:, -1] == marks[0]).all():
            return None, f"{call}: the clean image came first: return (degraded, clean)"
        if not all((image[:, -1] == mark).all() for image, mark in zip(images, marks, strict=True)):
            return None, f"{call}: pixels have changed, or come from the other image; only cut a window out"
    places = []
    for image, code, kind in zip(images, codes, ("degraded", "clean"), strict=True):
        places.append(_windows(image, expected[code]))
        strange = int((places[-1] < 0).any(axis=1).sum())
        if strange:
            return None, f"{call}: {strange} of {len(image)} {kind} patches are no window of their image"
    return places, None


def crop_form_problem(evidence, expected):
    for name in ("one size", "two sizes"):
        _, sentence = _places(evidence, expected, name)
        if sentence:
            return sentence
    return None


def crop_window_problem(evidence, expected):
    places, sentence = _places(evidence, expected, "one size")
    if sentence:
        return sentence
    differ = (places[0] != places[1]).any(axis=1)
    if not differ.any():
        return None
    one, other = (f"row {place[differ][0][0]}, column {place[differ][0][1]}" for place in places)
    return f"{differ.sum()} of {len(differ)} pairs are of two windows ({one}; {other}): draw once, cut both"


def _scaled_problem(evidence, expected, name, scale):
    places, sentence = _places(evidence, expected, name)
    if sentence:
        return sentence
    small, large = places
    if (large == scale * small).all():
        return None
    if (large == small).all():
        return f"at scale {scale} the clean window stands at the same place, expected at {scale} times the place"
    i = int((large != scale * small).any(axis=1).argmax())
    where = f"row {small[i][0]}, column {small[i][1]} of the degraded image"
    came, should = (f"row {row}, column {column}" for row, column in (large[i], scale * small[i]))
    if (large // scale == small).all():
        cause = "draw the place in the small image, then multiply it"
    else:
        cause = "draw it once, and multiply it by the scale"
    return f"the window at {where} stands at {came} of the clean one, expected {should}: {cause}"


def crop_scale_problem(evidence, expected):
    return _scaled_problem(evidence, expected, "two sizes", int(expected["scale"]))


def crop_everywhere_problem(evidence, expected, name="one size"):
    places, sentence = _places(evidence, expected, name)
    if sentence:
        return sentence
    code, size = expected[CROPS[name][1]], expected[f"{name}: degraded"].shape[-1]
    rows, columns = (side - size + 1 for side in code.shape)
    tops, lefts = (set(values.tolist()) for values in places[0].T)
    count = len(places[0])
    if len(tops) == 1 and len(lefts) == 1:
        return f"all {count} windows begin at row {min(tops)}, column {min(lefts)}: draw the place from rng"
    if tops == set(range(rows - 1)) or lefts == set(range(columns - 1)):
        last = f"no window of {count} reaches the last row or column"
        return f"{last}: integers(n) stops at n - 1, so take height - size + 1 and width - size + 1"
    if tops != set(range(rows)) or lefts != set(range(columns)):
        return f"windows begin only at rows {sorted(tops)}, columns {sorted(lefts)}; {rows} and {columns} are possible"
    return None


def crop_error_problem(evidence, expected):
    for name in ("one size", "whole"):
        _, sentence = _places(evidence, expected, name)
        if sentence:
            return sentence
    high, wide = expected["code"].shape
    large_high, large_wide = expected["large code"].shape
    wrong = {  # question -> what is asked, the number(s) one of which the message has to name, in words
        "too large": (f"a window of {high + 1} from an image {high} pixels high", {high + 1}, f"{high + 1}"),
        "other size": (
            "a clean image that is a column narrower than the degraded one",
            {wide - 1},
            f"clean is {high} x {wide - 1}",
        ),
        "other scale": (
            "a clean image that is not `scale` times as large",
            {large_high, large_wide},
            f"clean is {large_high} x {large_wide}",
        ),
    }
    for name, (what, sizes, words) in wrong.items():
        found = evidence.get(name)
        if not isinstance(found, str) or found.startswith("returned"):
            return f"{what} gave no error, and patches came; raise a CourseError that says what is wrong"
        if not found.startswith("CourseError"):
            return f"{what} raised {found[:60]}; raise a CourseError that says what is wrong"
        if not sizes & {int(digits) for digits in re.findall("[0-9]{1,9}", found)}:
            return f"{what}: the CourseError says {found[13:53]!r}; name the sizes ({words}), to help find the mistake"
    return None


def crop_chance_problem(evidence, expected):
    sentence = crop_form_problem(evidence, expected)
    return sentence or _same_again(evidence, "one size", "paired_crop")


def crop_tall_problem(evidence, expected):
    return _scaled_problem(evidence, expected, "tall", 2) or crop_everywhere_problem(evidence, expected, "tall")


PAIRED_CROP = Exercise(
    name="paired_crop",
    lesson="06_augmentation",
    answer="paired_crop",
    reference="course_utils.augment:paired_crop",
    probe=probe_paired_crop,
    claims=(
        claim("it gives (degraded, clean), windows of size and of scale * size", crop_form_problem),
        claim("both images get the same window", crop_window_problem, points=2),
        claim("with a scale the clean window stands at scale times the place", crop_scale_problem, points=2),
        claim("every window that fits comes up, to the last row and column", crop_everywhere_problem),
        claim(
            "a window that does not fit, or a clean image of another size, is a CourseError that names the sizes",
            crop_error_problem,
        ),
        claim("all chance comes from rng: the same state gives the same window", crop_chance_problem),
        claim("the same holds for tall grey images at scale 2", crop_tall_problem, points=2, hidden=True),
    ),
    hints=(
        "Draw the place in the smaller image, the degraded one. Everything about the clean window, its place and its "
        "size, is that times the scale.",
        "The window can begin at height - size + 1 rows: rng.integers(height - size + 1). Before that, compare "
        "clean.shape[-2:] with scale * height and scale * width, and size with both sides.",
        "top = int(rng.integers(height - size + 1)), and left alike; degraded[..., top : top + size, left : left + "
        "size]; then top, left, size = scale * top, scale * left, scale * size, and the same slices of clean.",
    ),
)

# --- turn_pair ---

TURNS = 320


def probe_turn_pair(answer, rng):
    """Turn small images whose pixels say where they stand: square ones, oblong ones, and a batch of two sizes."""
    side = int(rng.integers(4, 6))
    seeds = [int(seed) for seed in rng.integers(2**32, size=3)]
    marks = rng.choice(np.arange(1, CODES), 2, replace=False)
    code = lambda *shape: rng.permutation(CODES)[: shape[0] * shape[1]].reshape(shape)
    codes = {"code": code(side, side), "oblong code": code(4, 6), "small code": code(3, 3), "large code": code(6, 6)}
    evidence = codes | {"marks": marks}
    images = [_coded(codes["code"], mark) for mark in marks]
    oblong = [_coded(codes["oblong code"], mark) for mark in marks]
    batch = [_coded(codes[name], 0, 1)[None].repeat(2, 1, 1, 1) for name in ("small code", "large code")]
    with undisturbed(rng):
        _ask_pairs(evidence, "turned", lambda r: answer(*(image.clone() for image in images), r), seeds[0], TURNS)
        r = np.random.default_rng(seeds[1])
        ask(evidence, "oblong", lambda: _oblong(lambda: answer(*(image.clone() for image in oblong), r), 120))
        _ask_pairs(evidence, "batch", lambda r: answer(*(image.clone() for image in batch), r), seeds[2], 160)
    return evidence


def _oblong(answer, count):
    """Some pairs of oblong images, lying or standing, each at the top left of a square of 6 x 6, -1 elsewhere."""

    def in_squares():
        pair = answer()
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return pair
        images = [array(image) for image in pair]
        if any(isinstance(image, str) or image.ndim != 3 or max(image.shape) > 6 for image in images):
            return pair
        return [_in_square(image) for image in images]

    return _pairs(in_squares, count)


def _in_square(image):
    return np.pad(image, [(0, 0), *((0, 6 - side) for side in image.shape[1:])], constant_values=-1)


def _ways(images, code, square=False):
    """Which of the eight ways each image (count, ..., H, W) of this code is turned: 2 * turns + mirrored, or -1."""
    found = np.full(len(images), -1)
    for way in range(8):
        turned = np.rot90(code, way // 2)
        turned = (turned[:, ::-1] if way % 2 else turned) / CODES
        turned = _in_square(turned[None])[0] if square else turned
        if turned.shape == images.shape[-2:]:
            fits = np.abs(images - turned) < 1e-5
            found[fits.all(axis=tuple(range(1, images.ndim)))] = way
    return found


def _turned(evidence, expected, name, codes, call="turn_pair"):
    """((ways of the degraded images, ways of the clean ones), None), or (None, the sentence)."""
    images, sentence = _both(evidence, expected, name, call)
    if sentence:
        return None, sentence
    if images[0].ndim == 4:  # (count, 3, H, W): the last channel says which image it is
        marks = expected["marks"] / CODES
        if (images[0][:, -1] == marks[1]).all() and (images[1][:, -1] == marks[0]).all():
            return None, f"{call}: the clean image came first: return (degraded, clean)"
        images = [image[:, :-1] for image in images]
    ways = []
    for image, code, kind in zip(images, codes, ("degraded", "clean"), strict=True):
        ways.append(_ways(image, expected[code]))
        strange = int((ways[-1] < 0).sum())
        if strange:
            what = f"{strange} of {len(image)} {kind} images are not the image turned or mirrored"
            return None, f"{call}: {what}: are the right axes turned, dims=(-2, -1), and no pixel changed?"
    return ways, None


def turn_form_problem(evidence, expected):
    _, sentence = _turned(evidence, expected, "turned", ("code", "code"))
    return sentence


def turn_same_problem(evidence, expected):
    ways, sentence = _turned(evidence, expected, "turned", ("code", "code"))
    return sentence or _two_ways(*ways)


def _two_ways(degraded, clean):
    differ = degraded != clean
    if not differ.any():
        return None
    start = f"{differ.sum()} of {len(differ)} pairs are turned or mirrored in two ways"
    if (clean == 0).all():
        return f"{start}: only the degraded image is turned, the clean one never"
    if (degraded == 0).all():
        return f"{start}: only the clean image is turned, the degraded one never"
    if (degraded // 2 == clean // 2).all():
        return f"{start}: the turn is the same, the mirror is not; draw it once for both"
    if (degraded % 2 == clean % 2).all():
        return f"{start}: the mirror is the same, the turn is not; draw it once for both"
    return f"{start}: draw the turn and the mirror once, and use them for both images"


def turn_all_problem(evidence, expected):
    ways, sentence = _turned(evidence, expected, "turned", ("code", "code"))
    if sentence:
        return sentence
    kinds = set(ways[0].tolist())
    if kinds == set(range(8)):
        return None
    if kinds == {0}:
        return f"none of {TURNS} pairs is turned or mirrored"
    if all(kind % 2 == 0 for kind in kinds):
        return f"none of {TURNS} pairs is mirrored; every other one should be: flip(-1)"
    if kinds in ({0, 1, 4, 5}, {0, 5}, {0, 1}):
        return f"none of {TURNS} pairs is turned by 90 degrees: torch.rot90 with rng.integers(4) quarter turns"
    if all(kind % 2 for kind in kinds):
        return f"all of {TURNS} pairs are mirrored; every other one should be"
    if 0 not in kinds:
        return "no pair stays as it is: that is one of the eight ways too, so draw the quarter turns from 0 to 3"
    return f"only {len(kinds)} of the eight ways came up in {TURNS} pairs: 4 quarter turns, each mirrored or not"


def turn_even_problem(evidence, expected):
    sentence = turn_all_problem(evidence, expected)
    if sentence:
        return sentence
    ways, _ = _turned(evidence, expected, "turned", ("code", "code"))
    counts = np.bincount(ways[0], minlength=8)
    if counts.min() >= 16 and counts.max() <= 72:  # 40 each is even; by chance alone, outside once in 100,000
        return None
    mirrored, upright = counts[1::2].sum(), counts[:2].sum()
    if not 110 <= mirrored <= 210:
        return f"{mirrored} of {TURNS} pairs are mirrored, expected about {TURNS // 2}: every other one"
    if not 45 <= upright <= 120:
        return f"{upright} of {TURNS} pairs are not turned, expected about {TURNS // 4}: all four quarter turns alike"
    return f"the eight ways came {counts.min()} to {counts.max()} times in {TURNS}, expected about {TURNS // 8} each"


def turn_oblong_problem(evidence, expected):
    call = "turn_pair of images of 4 x 6 pixels"
    sentence = turn_form_problem(evidence, expected)
    if sentence:
        return sentence
    images, sentence = _both(evidence, expected, "oblong", call)
    if sentence:
        return f"{sentence}; a quarter turn makes 6 x 4 of 4 x 6"
    kinds = [_ways(image[:, :-1], expected["oblong code"], square=True) for image in images]
    if min(kind.min() for kind in kinds) < 0:
        return f"{call}: what comes is not the image turned or mirrored; are the sides taken for equal?"
    if (kinds[0] != kinds[1]).any():
        return f"{call}: {_two_ways(*kinds)}"
    return None if len(set(kinds[0].tolist())) == 8 else f"{call}: only {len(set(kinds[0].tolist()))} ways came up"


def turn_chance_problem(evidence, expected):
    return turn_form_problem(evidence, expected) or _same_again(evidence, "turned", "turn_pair")


def turn_batch_problem(evidence, expected):
    call = "turn_pair of a batch whose clean images are twice as large"
    ways, sentence = _turned(evidence, expected, "batch", ("small code", "large code"), call)
    if sentence:
        return sentence
    if sentence := _two_ways(*ways):
        return f"{call}: {sentence}"
    return None if set(ways[0].tolist()) == set(range(8)) else f"{call}: not all of the eight ways came up"


TURN_PAIR = Exercise(
    name="turn_pair",
    lesson="06_augmentation",
    answer="turn_pair",
    reference="course_utils.augment:turn_pair",
    probe=probe_turn_pair,
    claims=(
        claim("it gives (degraded, clean), turned and mirrored and nothing else", turn_form_problem),
        claim("both images are turned and mirrored in the same way", turn_same_problem, points=2),
        claim("all eight ways come up", turn_all_problem),
        claim("they are equally likely", turn_even_problem),
        claim("an oblong image is turned as well", turn_oblong_problem),
        claim("all chance comes from rng: the same state gives the same way", turn_chance_problem),
        claim("the same holds for batches, and for a clean image of another size", turn_batch_problem, 2, hidden=True),
    ),
    hints=(
        "First draw, then turn: how many quarter turns, and mirrored or not. Both images get what was drawn.",
        "torch.rot90(image, turns, dims=(-2, -1)) turns height and width, whatever stands before them; "
        "image.flip(-1) mirrors. Four times two are eight ways.",
        "turns, mirrored = int(rng.integers(4)), bool(rng.integers(2)); then for each of the two images rot90 with "
        "turns, and flip(-1) if mirrored.",
    ),
)

# --- cutblur ---

CUTS = 100


def probe_cutblur(answer, rng):
    """Mix small images, no two pixels of which are alike, with the default share, another one, and one of grey."""
    seeds = [int(seed) for seed in rng.integers(2**32, size=3)]
    sides = [(10, 10), tuple(int(side) for side in rng.choice([8, 12], 2)), (12, 6)]
    share = float(rng.choice([0.25, 0.5, 0.75]))
    evidence = {"share": share}
    kinds = {"default": (3, {}), "share": (3, {"share": share}), "grey": (1, {"share": 0.5})}
    with undisturbed(rng):
        for (name, (channels, options)), (height, width), seed in zip(kinds.items(), sides, seeds, strict=True):
            pair = _two_images(rng, channels, height, width)
            pair = [image[None].repeat(2, 1, 1, 1) for image in pair] if name == "grey" else pair
            evidence |= {f"{name}: images {i}": array(image) for i, image in enumerate(pair)}
            count = CUTS if name == "default" else 40
            question = lambda r, pair=pair, options=options: answer(*(image.clone() for image in pair), r, **options)
            _ask_pairs(evidence, name, question, seed, count)
            ask(evidence, f"{name}: untouched", lambda pair=pair, seed=seed: _untouched(answer, pair, seed))
    return evidence


def _untouched(answer, pair, seed):
    """1 where both images are as before after eight answers, otherwise 0."""
    rng, given = np.random.default_rng(seed), [image.clone() for image in pair]
    for _ in range(8):
        answer(*given, rng)
    return int(all(bool((one == other).all()) for one, other in zip(given, pair, strict=True)))


def _two_images(rng, channels, height, width):
    """Two tensors (channels, height, width) that share no value."""
    import torch

    values = rng.permutation(4 * CODES)[: 2 * channels * height * width] / (4 * CODES)  # exact in float32
    return [torch.from_numpy(part.astype(np.float32)) for part in values.reshape(2, channels, height, width)]


def _masks(evidence, expected, name):
    """(where the mixed images are the clean one, bool (count, H, W), None), or (None, the sentence)."""
    call = {"default": "cutblur", "share": f"cutblur with share={expected['share']:g}", "grey": "cutblur of a batch"}
    call = call[name]
    images, sentence = _both(evidence, expected, name, call)
    if sentence:
        return None, sentence
    degraded, clean = (expected[f"{name}: images {i}"].astype(np.float64) for i in (0, 1))
    if not (images[1] == clean).all():
        if (images[0] == clean).all():
            return None, f"{call}: the first image is the clean one: return (mixed, clean), in this order"
        if (images[1] == degraded).all():
            return None, f"{call}: the second image is the degraded one; it is the target: return (mixed, clean)"
        wrong = (images[1] != clean).any(axis=tuple(range(1, images[1].ndim)))
        which = "is" if wrong.all() else f"was in {wrong.sum()} of {len(wrong)} pairs"
        return None, f"{call}: the second image {which} not the clean one: the target stays clean, whatever is mixed"
    from_clean, from_degraded = images[0] == clean, images[0] == degraded
    if not (from_clean | from_degraded).all():
        moved = np.isin(images[0], np.concatenate([degraded.ravel(), clean.ravel()])).all()
        cause = "from another place: take the same slices of both images" if moved else "they are cut out, not blended"
        return None, f"{call}: some pixels are neither those of the degraded nor of the clean image there; {cause}"
    axes = tuple(range(1, from_clean.ndim - 2))
    if (from_clean.any(axis=axes) & from_degraded.any(axis=axes)).any():
        return None, f"{call}: a pixel has some channels of the one image and some of the other; cut all channels alike"
    return from_clean.all(axis=axes), None


def _rectangle(mask):
    """(top, left, height, width) of the True pixels of a mask (H, W) if they are a rectangle, else None."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or not mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all():
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)


def _cuts(masks):
    """([(top, left, height, width), ...], [was it cut from the clean image?, ...]); None for what is no rectangle."""
    found = []
    for mask in masks:
        inside, outside = _rectangle(mask), _rectangle(~mask)
        found.append((inside, True) if inside is not None else (outside, False))
    return [rectangle for rectangle, _ in found], np.array([clean for _, clean in found])


def cut_form_problem(evidence, expected):
    for name in ("default", "share"):
        _, sentence = _masks(evidence, expected, name)
        if sentence:
            return sentence
    return None


def _cut_size_problem(evidence, expected, name, share):
    masks, sentence = _masks(evidence, expected, name)
    if sentence:
        return sentence
    rectangles, _ = _cuts(masks)
    sides = masks.shape[1:]
    size = tuple(round(share * side) for side in sides)
    if None in rectangles:
        if all(mask.all() or not mask.any() for mask in masks):
            return "the mixed image is the one image or the other, as a whole: paste a rectangle of the one"
        return "the pixels of the one image are no rectangle in the other"
    wrong = [rectangle[2:] for rectangle in rectangles if rectangle[2:] != size]
    if not wrong:
        return None
    came = f"a rectangle of {wrong[0][0]} x {wrong[0][1]} in an image of {sides[0]} x {sides[1]}"
    start = f"{came}, expected {size[0]} x {size[1]} with share={share:g}"
    if wrong[0] == sides:
        return f"{start}: that is the whole image"
    if all(each == tuple(round(share**0.5 * side) for side in sides) for each in wrong):
        return f"{start}: share is of the sides, not of the area"
    if all(each == size[::-1] for each in wrong):
        return f"{start}: are height and width taken for each other?"
    if len(wrong) < len(rectangles) and all(a <= b for each in wrong for a, b in zip(each, size, strict=True)):
        return f"{start}: it is cut off at the edge; it may begin at side - size + 1 places"
    if len(set(wrong)) > 2:
        return f"{start}: only its place is drawn, not its size"
    return f"{start}: its sides are share times those of the image"


def cut_size_problem(evidence, expected):
    share = float(expected["share"])
    return _cut_size_problem(evidence, expected, "share", share) or _cut_size_problem(
        evidence, expected, "default", 0.7
    )


def cut_ways_problem(evidence, expected):
    masks, sentence = _masks(evidence, expected, "default")
    if sentence:
        return sentence
    rectangles, from_clean = _cuts(masks)
    if None in rectangles:
        return "the pixels of the one image are no rectangle in the other"
    count = int(from_clean.sum())
    if 28 <= count <= 72:
        return None
    if count in (0, CUTS):
        which = "from the clean into the degraded image" if count else "from the degraded into the clean image"
        return f"all of {CUTS} rectangles are pasted {which}; every other one should go the other way"
    return f"{count} of {CUTS} rectangles are cut from the clean image, expected about half: rng.integers(2)"


def cut_place_problem(evidence, expected):
    sentence = _cut_size_problem(evidence, expected, "default", 0.7)
    if sentence:
        return sentence
    rectangles, _ = _cuts(_masks(evidence, expected, "default")[0])
    tops, lefts = ({rectangle[axis] for rectangle in rectangles} for axis in (0, 1))
    if tops == lefts == {0, 1, 2, 3}:
        return None
    if len(tops) == len(lefts) == 1:
        return f"all rectangles begin at row {min(tops)}, column {min(lefts)}: draw the place from rng"
    if tops == lefts == {0, 1, 2}:
        return "no rectangle reaches the last row or column: integers(n) stops at n - 1"
    return f"of 4 places in each direction, rectangles begin at rows {sorted(tops)} and columns {sorted(lefts)}"


def cut_untouched_problem(evidence, expected):
    sentence = cut_form_problem(evidence, expected) or _same_again(evidence, "default", "cutblur")
    if sentence:
        return sentence
    if evidence.get("default: untouched") == 1 and evidence.get("share: untouched") == 1:
        return None
    return "the image that was given has changed: the next sample would begin with a mixed one; take a clone()"


def cut_batch_problem(evidence, expected):
    sentence = _cut_size_problem(evidence, expected, "grey", 0.5)
    if sentence:
        return f"a batch of grey images: {sentence}"
    _, from_clean = _cuts(_masks(evidence, expected, "grey")[0])
    return None if 5 <= from_clean.sum() <= 35 else "a batch of grey images: all rectangles go one way"


CUTBLUR = Exercise(
    name="cutblur",
    lesson="06_augmentation",
    answer="cutblur",
    reference="course_utils.augment:cutblur",
    probe=probe_cutblur,
    claims=(
        claim(
            "it gives (mixed, clean): each pixel is that of one of the two images, the target is clean",
            cut_form_problem,
        ),
        claim("a rectangle is pasted whose sides are `share` times those of the image", cut_size_problem, points=2),
        claim("every other time it is cut from the clean image, otherwise from the degraded one", cut_ways_problem),
        claim("it can lie anywhere, up to the last row and column", cut_place_problem),
        claim("the images given stay as they are, and all chance comes from rng", cut_untouched_problem),
        claim("the same holds for a batch of tall grey images", cut_batch_problem, points=2, hidden=True),
    ),
    hints=(
        "Three things are drawn: the row and the column where the rectangle begins, and which of the two images it is "
        "cut from. Its size follows from `share`.",
        "mixed = outside.clone(), and then one assignment to a slice of it: mixed[..., top : top + height, left : left "
        "+ width] = the same slice of inside. inside and outside are clean and degraded, or degraded and clean.",
        "height, width = (round(share * side) for side in degraded.shape[-2:]); top = int(rng.integers(H - height + "
        "1)), left alike; inside, outside = (clean, degraded) if rng.integers(2) else (degraded, clean).",
    ),
)

# --- random_pipeline ---

RUNS = 300


def probe_random_pipeline(answer, rng):
    """Run pipelines of stages that write their numbers: what an image holds says which took part, in what order."""
    import torch

    codes = rng.permutation(np.arange(10, 100))[:4]
    seeds = [int(seed) for seed in rng.integers(2**32, size=10)]
    stages = [_writes(int(code)) for code in codes]
    shapes = ((1,), (8, 1), (6, 3))
    grey, batch, colours = (torch.zeros(*shape, 2, 2, dtype=torch.float64) for shape in shapes)  # 8 digits fit
    evidence = {"codes": codes}
    numbers = lambda pipeline, seed, count, x=grey: _numbers(pipeline, np.random.default_rng(seed), count, x)
    with undisturbed(rng):
        ask(evidence, "in order", lambda: numbers(answer(stages), seeds[0], 4))
        ask(evidence, "shuffled", lambda: numbers(answer(stages[:3], shuffle=True), seeds[1], RUNS))
        ask(evidence, "half", lambda: numbers(answer(stages[:3], chance=0.5), seeds[2], RUNS))
        ask(evidence, "a quarter", lambda: numbers(answer(stages[:3], chance=0.25), seeds[2], RUNS))
        strong = lambda: answer([_adds(int(codes[0])), _adds(int(codes[1]))], chance=1.0)
        ask(evidence, "strengths", lambda: numbers(strong(), seeds[3], 20))
        ask(evidence, "strengths again", lambda: numbers(strong(), seeds[3], 20))
        ask(evidence, "kept", lambda: _strengths(lambda: answer([_notes(0), _notes(1)]), seeds[7:9], grey))
        ask(evidence, "drawn", lambda: _drawn(answer(stages), np.random.default_rng(seeds[4]), grey))
        ask(evidence, "twice", lambda: numbers(answer(stages[:2] + stages[:2]), seeds[5], 2))
        half, both = lambda: answer(stages[:3], chance=0.5), lambda: answer(stages[:3], chance=0.7, shuffle=True)
        _ask_batch(evidence, "batch", half, batch, seeds[6])
        _ask_batch(evidence, "colours", both, colours, seeds[9])
        ask(evidence, "axes", lambda: array(answer([_axes])(batch.clone(), np.random.default_rng(seeds[6]))))
    return evidence


def _ask_batch(evidence, name, make, x, seed):
    """Run a pipeline on a batch, and a new one on its images, one after the other from the same state of rng."""
    ask(evidence, name, lambda: array(make()(x.clone(), np.random.default_rng(seed))))
    ask(evidence, f"{name} one by one", lambda: _numbers(make(), np.random.default_rng(seed), len(x), x[0]))


STAGE = "a stage is called with rng first, and gives the degradation"
DEGRADATION = "a degradation is called with (x, rng)"


def _stage(degradation_of):
    """A stage whose degradation is degradation_of(rng); both say how they are called where they are called wrongly."""

    def stage(rng=None, *more):
        if more or rng is None or hasattr(rng, "dim"):
            raise TypeError(STAGE)
        degrade = degradation_of(rng)

        def degradation(x=None, rng=None, *more):
            if more or rng is None or not hasattr(x, "dim"):
                raise TypeError(DEGRADATION)
            return degrade(x, rng)

        return degradation

    return stage


def _writes(code):
    """A stage of no strength whose degradation appends its two digits to the number that an image holds."""
    return _stage(lambda rng: lambda x, rng: 100 * x + code)


def _adds(code):
    """A stage that draws its strength, and whose degradation draws once more: it adds code + both."""

    def degradation_of(rng):
        strength = float(rng.random()) / 4
        return lambda x, rng: x + code + strength + float(rng.random()) / 4

    return _stage(degradation_of)


def _notes(place):
    """A stage that draws its strength, and whose degradation writes it into the image's value of this place."""

    def degradation_of(rng):
        strength = float(rng.random())

        def degrade(x, rng):
            y = x.clone()
            y[..., 0, place] = strength
            return y

        return degrade

    return _stage(degradation_of)


def _axes(rng):
    """A stage whose degradation adds the number of axes of what it is given."""
    return lambda x, rng: x + x.dim()


def _strengths(make, seeds, x):
    """The two strengths of images (4, 2): two states through one pipeline, then each through a new one."""
    one, other = (lambda seed=seed: np.random.default_rng(seed) for seed in seeds)
    pipeline = make()
    found = []
    for each, rng in ((pipeline, one()), (pipeline, other()), (make(), one()), (make(), other())):
        y = array(each(x.clone(), rng))
        if isinstance(y, str) or y.shape != x.shape:
            return y if isinstance(y, str) else f"returned an image of shape {y.shape}, from one of {tuple(x.shape)}"
        found.append(y[0, 0])
    return np.array(found)


def _numbers(pipeline, rng, count, x):
    """The numbers, float64 (count,), that so many runs leave in a small image; or a text that says what came."""
    numbers = []
    for _ in range(count):
        y = array(pipeline(x.clone(), rng))
        if isinstance(y, str) or y.shape != x.shape:
            return y if isinstance(y, str) else f"returned an image of shape {y.shape}, from one of {tuple(x.shape)}"
        numbers.append(float(y.flat[0]))
    return np.array(numbers)


def _drawn(pipeline, rng, x):
    """What the degradations that `draw` gives make of an image, one by one."""
    drawn = pipeline.draw(rng)
    if not isinstance(drawn, list | tuple):
        return described(drawn)
    return np.array([float(array(degradation(x.clone(), rng)).flat[0]) for degradation in drawn])


def _found(evidence, expected, name, call):
    """(the numbers, None), or (None, the sentence)."""
    found = evidence.get(name)
    sentence = trouble(found, call, "an image")
    if sentence is None and (not isinstance(found, np.ndarray) or found.shape != expected[name].shape):
        sentence = f"{call} gave {getattr(found, 'shape', found)} values, expected {expected[name].shape}"
    if sentence is None and not np.isfinite(found).all():
        sentence = f"{call} gave NaN or infinity"
    return (None, sentence) if sentence else (found, None)


def _sequences(found, codes):
    """The numbers as tuples of the places of their codes: with the codes 17, 42, 53 the number 5317 is (2, 0); or None.

    Each is a whole number of at most 8 digits.
    """
    place = {int(code): i for i, code in enumerate(codes)}
    sequences = []
    for value in found:
        if not 0 <= value < 10**8 or abs(value - round(value)) > 1e-3:
            return None
        number, sequence = round(value), ()
        while number:
            if number % 100 not in place:
                return None
            number, sequence = number // 100, (place[number % 100], *sequence)
        sequences.append(sequence)
    return sequences


def _stages_of(evidence, expected, name, call, count):
    """(the stages of each run, None), or (None, the sentence)."""
    found, sentence = _found(evidence, expected, name, call)
    if sentence:
        return None, sentence
    sequences = _sequences(found, expected["codes"][:count])
    if sequences is None:
        return (
            None,
            f"{call}: the image holds {found[0]:g}, which the stages cannot give: each runs on what came before",
        )
    if any(len(set(each)) < len(each) for each in sequences):
        return None, f"{call}: a stage ran twice in one image"
    return sequences, None


def order_problem(evidence, expected):
    call = "a pipeline of four stages"
    sequences, sentence = _stages_of(evidence, expected, "in order", call, 4)
    if sentence and STAGE in sentence:
        well = isinstance(evidence.get("drawn"), np.ndarray)
        return f"{sentence}; {'apply those of self.draw(rng), not self.stages' if well else 'in draw: stage(rng)'}"
    if sentence:
        return sentence
    if all(each == (0, 1, 2, 3) for each in sequences):
        return None
    if all(len(each) == 1 for each in sequences):
        which = "one" if len(set(sequences)) > 1 else "the first" if sequences[0] == (0,) else "the last"
        return f"{call}: only {which} has worked on the image: hand on what each gives to the next, x = ...(x, rng)"
    if any(len(each) < 4 for each in sequences):
        return f"{call}: stages were left out; at the default chance of 1 all take part (rng.random() < chance)"
    if len({*sequences}) == 1:
        return f"{call}: they ran in the order {[i + 1 for i in sequences[0]]}, expected as given, [1, 2, 3, 4]"
    shuffled = _stages_of(evidence, expected, "shuffled", call, 3)[0]
    other = "; and with it, it is the same each time" if shuffled and len(set(shuffled)) == 1 else ""
    return f"{call}: they ran in changing orders; without shuffle the order is the one given{other}"


def strength_problem(evidence, expected):
    call = "a pipeline whose stages draw their strengths"
    found, sentence = _found(evidence, expected, "strengths", call)
    if sentence:
        return sentence
    base = float(expected["codes"][:2].sum())
    if not ((found >= base) & (found <= base + 1)).all():
        came = f"the image holds {found[0]:g}, expected {base:g} to {base + 1:g}"
        return f"{call}: {came}: each stage once, each with the rng that came"
    if len(set(np.round(found, 9))) < len(found):
        return f"{call}: images have the same strengths; draw them anew for each image, in __call__, not in __init__"
    kept, sentence = _found(evidence, expected, "kept", call)
    if sentence:
        return sentence
    if (kept[0] == kept[1]).any():
        alike = "the strengths of the second image are those of the first"
        own = (kept[0] != kept[2]).any() or (kept[0] == kept[3]).any()
        return f"{alike}{', whatever rng is' if own else ''}: call stage(rng) in draw, not once for all"
    again = evidence.get("strengths again")
    if not isinstance(again, np.ndarray) or not np.array_equal(again, found):
        return f"{call}: one state of rng gave two results: hand on the rng that came, to stage and degradation"
    spread = expected["strengths"].std()
    if not 0.4 * spread < found.std() < 2.5 * spread:
        return f"{call}: their results spread by {found.std():.2f}, expected about {spread:.2f}: draw all of them anew"
    return None


def chance_of_stage_problem(evidence, expected):
    for name, chance in (("half", 0.5), ("a quarter", 0.25)):
        call = f"three stages with chance={chance}"
        sequences, sentence = _stages_of(evidence, expected, name, call, 3)
        if sentence:
            return sentence
        if any(list(each) != sorted(each) for each in sequences):
            return f"{call}: they run in changing orders; without shuffle the order is the one given"
        counts = [sum(stage in each for each in sequences) for stage in range(3)]
        kinds = len(set(sequences))
        if kinds == 2 and {len(each) for each in sequences} == {0, 3}:
            return f"{call}: all of them take part or none; draw for each stage"
        if kinds < 7:
            return (
                f"{call}: only {kinds} of the 8 choices came up in {RUNS} images; draw for each stage, for each image"
            )
        room = 5.5 * (RUNS * chance * (1 - chance)) ** 0.5
        for stage, count in enumerate(counts):
            if abs(count - RUNS * chance) > room:
                what = f"stage {stage + 1} took part in {count} of {RUNS} images, expected about {RUNS * chance:.0f}"
                turned = abs(count - RUNS * (1 - chance)) < room and chance != 0.5
                return f"{call}: {what}" + (": the other way round? rng.random() < chance" if turned else "")
    return None


def shuffle_problem(evidence, expected):
    call = "three stages with shuffle=True"
    sequences, sentence = _stages_of(evidence, expected, "shuffled", call, 3)
    if sentence:
        return sentence
    if any(len(each) < 3 for each in sequences):
        return f"{call}: stages were left out, at a chance of 1; does the shuffle draw some of them only, or one twice?"
    counts = {each: sequences.count(each) for each in sequences}
    if len(counts) == 1:
        return f"{call}: the order was the same in {RUNS} images; draw one for each image: rng.permutation"
    if len(counts) < 6:
        return f"{call}: only {len(counts)} of the 6 orders came up; rng.permutation gives all"
    if min(counts.values()) < 20 or max(counts.values()) > 90:
        least, most = min(counts.values()), max(counts.values())
        return f"{call}: the six orders came {least} to {most} times in {RUNS}, expected about 50 each"
    return None


def draw_problem(evidence, expected):
    call = "draw(rng) of a pipeline of four stages"
    found = evidence.get("drawn")
    sentence = trouble(found, call, "a list of degradations")
    if sentence or not isinstance(found, np.ndarray) or found.shape != expected["drawn"].shape:
        return sentence or f"{call} gave {getattr(found, 'size', 0)} degradations, expected 4"
    if np.array_equal(found, expected["drawn"]):
        twice, sentence = _found(evidence, expected, "twice", "a pipeline with its stages given twice")
        if sentence:
            return sentence
        wanted = expected["twice"]
        came = f"the image holds {twice[0]:g}, expected {wanted[0]:g}"
        return None if np.array_equal(twice, wanted) else f"stages given twice run twice: {came}"
    return f"{call}: its degradations are not those of the stages in their order"


def batch_problem(evidence, expected, name="batch", kind="images"):
    wanted = expected[name]
    call = f"a pipeline with a batch of {len(wanted)} {kind}"
    found = evidence.get(name)
    sentence = trouble(found, call, "a batch")
    if sentence or not isinstance(found, np.ndarray) or found.shape != wanted.shape:
        return sentence or f"{call} gave the shape {getattr(found, 'shape', None)}, expected {wanted.shape}"
    numbers = found[:, 0, 0, 0]
    if not (found == numbers[:, None, None, None]).all() or not _sequences(numbers, expected["codes"][:3]):
        return f"{call}: an image holds {numbers[0]:g}, which the stages cannot give"
    if len(set(numbers.tolist())) == 1:
        axes = evidence.get("axes")
        whole = isinstance(axes, np.ndarray) and (axes == 4).all()
        if whole:
            return f"{call}: the stages got the whole batch; where x.dim() == 4, call self(image, rng) for each image"
        return f"{call}: all images got the same; draw anew for each image of the batch"
    single, sentence = _found(evidence, expected, f"{name} one by one", "a pipeline with one image after the other")
    if sentence or np.array_equal(numbers, single):
        return sentence
    return f"{call}: it is not what its images get one after the other from the same rng"


def together_problem(evidence, expected):
    sentence = batch_problem(evidence, expected, "colours", "colour images, with chance and shuffle")
    if sentence:
        return sentence
    orders = _sequences(evidence["colours"][:, 0, 0, 0], expected["codes"][:3])
    return "a stage ran twice in one image" if any(len(set(each)) < len(each) for each in orders) else None


RANDOM_PIPELINE = Exercise(
    name="random_pipeline",
    lesson="06_augmentation",
    answer="RandomPipeline",
    reference="course_utils.degrade.pipeline:RandomPipeline",
    probe=probe_random_pipeline,
    claims=(
        claim("all stages run, in the order given, each on what the one before it gave", order_problem),
        claim("strengths are drawn anew for each image, and all chance comes from rng", strength_problem, points=2),
        claim("each stage takes part with the given chance, whatever the others do", chance_of_stage_problem),
        claim("with shuffle=True each order is equally likely", shuffle_problem),
        claim("draw(rng) gives the degradations of one image as a list", draw_problem),
        claim("in a batch each image draws its own", batch_problem),
        claim("chance and shuffle hold together, in a batch of colour images", together_problem, points=2, hidden=True),
    ),
    hints=(
        "Two steps: `draw` decides, `__call__` does. A stage is a function of rng that returns a degradation; a "
        "degradation is a function of (x, rng) that returns an image.",
        "A stage takes part if rng.random() < chance. rng.permutation(n) gives the numbers 0 to n - 1 in a random "
        "order. A batch has x.dim() == 4: call yourself for each image and torch.stack the results.",
        "drawn = [stage(rng) for stage in self.stages if rng.random() < self.chance]; if shuffle, [drawn[i] for i in "
        "rng.permutation(len(drawn))]. In __call__: for degradation in self.draw(rng): x = degradation(x, rng).",
    ),
)

EXERCISES = (PAIRED_CROP, TURN_PAIR, CUTBLUR, RANDOM_PIPELINE)
