"""What lesson 5 asks, from pairs of files to the tiles of a page: seven exercises around DnCNN."""

import contextlib
import itertools
import json
import math
import re
import tempfile
from pathlib import Path, PurePath
from types import SimpleNamespace

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.losses import gradient, gradient_problem, loss_problem
from course_utils.exercises.networks import (
    ask_about_size,
    ask_to_restore,
    count_parameters,
    filled,
    largest,
    layers_at_work,
    missing_setting,
    names_of_layers,
    restore_problem,
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

# --- match_pairs ---

LONGEST_LIST = 1000  # characters


def probe_match_pairs(answer, rng):
    """Ask for the pairs of small folders of empty files: whole ones, and ones where an image has no partner."""
    stems = [f"{number:06}" for number in rng.choice(10**6, 9, replace=False)]
    alone, last = sorted(stems)[4], sorted(stems)[8]  # in the middle, and behind all others
    first = stems[0]
    evidence = {"alone": alone, "last": last, "paired": sorted(stems)[2]}
    folders = {
        # A folder lists 000031.left.png before 000031.png, but 000031.jpg before 000031.left.jpg.
        "by name": ([*stems[:4], f"{first}.left"], [*stems[:4], f"{first}.left"]),
        "in order": (stems, stems),
        "original alone": (stems, [stem for stem in stems if stem != alone]),
        "scan alone": ([stem for stem in stems if stem != alone], stems),
        "renamed alone": (stems, [stem for stem in stems if stem != last] + [f"{last}b"]),
        "other folder": ([*stems[5:], f"{stems[5]}.left"], [*stems[5:], f"{stems[5]}.left", "notes.txt"]),
    }
    with tempfile.TemporaryDirectory() as root, undisturbed(rng):
        for name, (clean, scans) in folders.items():
            _touch(Path(root, name, "clean"), clean, ".png")
            _touch(Path(root, name, "scan"), scans, ".TIF" if name == "other folder" else ".jpg")
            question = lambda name=name: _pairs_as_text(answer(Path(root, name, "clean"), Path(root, name, "scan")))
            (ask_for_error if "alone" in name else ask)(evidence, name, question)
            evidence[name] = evidence[name].replace(str(Path(root, name)), "")  # its name is another one each time
    return evidence


def _touch(folder, stems, suffix):
    folder.mkdir(parents=True)
    for stem in stems:
        (folder / (stem if stem.endswith(".txt") else stem + suffix)).touch()


def _pairs_as_text(pairs):
    """A list of pairs of paths as "[clean/000031.png scan/000031.jpg, ...]"; of anything else the description."""
    if not isinstance(pairs, list | tuple):
        return described(pairs)
    lines = []
    for pair in pairs[:20]:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(path, PurePath) for path in pair):
            return f"returned a {type(pairs).__name__} that holds {str(pair)[:60]}"
        lines.append(" ".join(f"{path.parent.name}/{path.name}" for path in pair))
    return f"[{', '.join(lines)[: LONGEST_LIST - 2]}]"


def _listed(text, call):
    """([(clean, scan), ...], None) from the text, or (None, sentence)."""
    if isinstance(text, str) and text.startswith("CourseError"):
        return None, f"{call} raised {text[:70]}; every image has its partner there. Compare stems, not suffixes"
    if not isinstance(text, str) or not text.startswith("["):
        kind = "a list of (clean path, scan path)"
        return None, trouble(text, call, kind) or f"{call}: nothing to check; {kind} is expected"
    if len(text) > LONGEST_LIST:
        return None, f"{call} returned names of {len(text):,} characters in all; they are short in these folders"
    return [tuple(line.split(" ")) for line in text[1:-1].split(", ") if line], None


def by_name_problem(evidence, expected, name="by name"):
    found, sentence = _listed(evidence.get(name), "match_pairs of two whole folders")
    if sentence:
        return sentence
    wanted, _ = _listed(expected[name], "")
    if sorted(found) == sorted(wanted):
        return None
    if sorted(pair[::-1] for pair in found) == sorted(wanted):
        return f"the first pair is ({', '.join(found[0])}), expected is the original first: (clean path, scan path)"
    if len(found) != len(wanted):
        start = f"{len(found)} pairs came, expected {len(wanted)}: every original has a scan of the same stem here"
        lost = {original for original, _ in wanted} - {pair[0] for pair in found}
        split = any(pair[0].split(".")[0] in {original.split(".")[0] for original in lost} for pair in found)
        return f"{start}. A stem goes on to the last dot: that of a.left.png is a.left" if split else start
    wrong = sorted(set(found) - set(wanted))[0]
    if wrong[-1] not in {scan for _, scan in wanted}:
        return f"{wrong[0]} is paired with {wrong[-1]}, and there is no such file: take the path from the dictionary"
    cause = "by their places in two lists, or by a part of the name? Pair them by the whole stem"
    return f"{wrong[0]} is paired with {wrong[-1]}: {cause}"


def in_order_problem(evidence, expected):
    found, sentence = _listed(evidence.get("in order"), "match_pairs of two whole folders")
    if sentence:
        return sentence
    wanted, _ = _listed(expected["in order"], "")
    if found == wanted:
        return None
    names = [pair[0] for pair in found]
    if names == sorted(names):
        return by_name_problem(evidence, expected, "in order") or "the pairs are not those expected"
    later = next(i for i in range(1, len(names)) if names[i] < names[i - 1])
    return f"{names[later - 1]} comes before {names[later]}: the list should be sorted by name, and a set has no order"


def _alone_problem(folder, what, stem, advice):
    """The claim that an image without a partner is a CourseError that names it, by expected[stem]."""

    def problem(evidence, expected):
        found = evidence.get(folder)
        if not isinstance(found, str):
            return trouble(found, f"match_pairs with {what}", "a CourseError") or f"{found}: expected a CourseError"
        if found.startswith("CourseError:"):
            return _naming_problem(found, what, expected[stem], expected["paired"])
        if found.startswith("KeyError"):
            return (
                f"{what} raised {found[:60]}, expected a CourseError: ask whether the stem is there before you take it"
            )
        if found.startswith("["):
            pairs = found[:LONGEST_LIST].count(",") + 1
            return f"{what} raised no error, and {pairs} pairs came; expected a CourseError: {advice}"
        if found.startswith("returned"):
            return f"{what}: match_pairs {found[:60]}; expected a CourseError that is raised, `raise CourseError(...)`"
        return f"{what} raised {found[:90]}; expected a CourseError that names the file"

    return problem


def _naming_problem(found, what, alone, paired):
    """The sentence for the text of a CourseError that does not name the file without a partner, or others too."""
    if paired in found:
        return f"the error for {what} also names {paired}, which has a partner: name the one without"
    if alone in found[:300]:  # a longer text could name all there are
        return None
    return f"the error for {what} does not name the file, {alone}; it says: {found[13:90]}"


MATCH_PAIRS = Exercise(
    name="match_pairs",
    lesson="05_dncnn",
    answer="match_pairs",
    reference="course_utils.data.pairs:match_pairs",
    probe=probe_match_pairs,
    claims=(
        claim("each original is paired with the scan of the same stem", by_name_problem, points=2),
        claim("the list is sorted by name", in_order_problem),
        claim(
            "an original without a scan is an error that names it",
            _alone_problem("original alone", "an original without a scan", "alone", "no image is left out in silence"),
        ),
        claim(
            "a scan without an original is one too",
            _alone_problem("scan alone", "a scan without an original", "alone", "look in both directions"),
        ),
        claim(
            "two folders of equally many images with one name that differs are an error too",
            _alone_problem("renamed alone", "an image of another name", "last", "compare the names, not their number"),
        ),
        claim(
            "the same holds for other kinds of files",
            lambda evidence, expected: by_name_problem(evidence, expected, "other folder"),
            hidden=True,
        ),
    ),
    hints=(
        "Both dictionaries have stems as keys. When are the two sets of keys not the same?",
        "`clean.keys() - scan.keys()` are the stems of originals without a scan; there is the other direction too. If "
        "one of the two sets holds something, raise a CourseError with the name. Then go through sorted(clean).",
        "for stem in sorted(clean.keys() ^ scan.keys()): raise CourseError(f'{stem} has no partner; ...'), where ^ "
        "gives what is in only one of both. And then: return [(clean[stem], ...) for stem in sorted(clean)]",
    ),
)

# --- random_patch ---


def probe_random_patch(answer, rng):
    """Draw many patches of small images that say where each pixel stands, in a code that rng chooses."""
    height, size = int(rng.integers(7, 10)), int(rng.integers(4, 6))
    width = height + int(rng.integers(2, 4))
    seeds = [int(seed) for seed in rng.integers(2**32, size=3)]
    code = rng.permutation(256).astype(np.uint8)[: height * width].reshape(height, width)
    marks = rng.permutation(256).astype(np.uint8)[:2]
    pair, grey = [_coded(code, mark) for mark in marks], [_read_only(code.T[..., None])] * 2
    square = [image[:, :height] for image in pair]
    evidence = {"code": code, "grey code": code.T, "marks": marks}
    with undisturbed(rng):
        generator = np.random.default_rng(seeds[0])
        before = str(generator.bit_generator.state)
        ask(evidence, "patches", lambda: _patches(answer, pair, size, generator, 300))
        evidence["rng was used"] = int(str(generator.bit_generator.state) != before)
        again = np.random.default_rng(seeds[0])
        ask(evidence, "again", lambda: _patches(answer, pair, size, again, 20))
        generator = np.random.default_rng(seeds[1])
        ask(evidence, "straight", lambda: _patches(answer, pair, size, generator, 40, augment=False))
        ask(evidence, "whole", lambda: _patches(answer, square, height, generator, 4))
        ask_for_error(evidence, "too large", lambda: _patches(answer, pair, height + 1, generator, 1))
        generator = np.random.default_rng(seeds[2])
        ask(evidence, "grey", lambda: _patches(answer, grey, size, generator, 200))
    return evidence


def _coded(code, mark):
    """An image, uint8 (height, width, 3): red and green hold the code of the place, blue says which image it is."""
    return _read_only(np.stack([code, code, np.full_like(code, mark)], axis=-1))


def _read_only(image):
    image.flags.writeable = False  # as the images of PairedPatches
    return image


def _patches(answer, pair, size, rng, count, **options):
    """Patches as one array (count, 2, size, size, C), or a text that says what is wrong with their form."""
    taken, smallest = [], (size, size)
    for _ in range(count):
        patches = answer(*pair, size, rng, **options)
        if not isinstance(patches, list | tuple) or len(patches) != 2:
            return described(patches)
        patches = [np.asarray(patch) for patch in patches]
        for patch in patches:
            if patch.ndim != 3 or patch.shape[2] != pair[0].shape[2] or patch.dtype.kind not in "fiub":
                return f"returned patches of shape {patch.shape} and type {patch.dtype}"[:100]
            smallest = tuple(int(side) for side in np.minimum(smallest, patch.shape[:2]))
            if max(patch.shape[:2]) > size:
                return (
                    f"returned patches of up to {patch.shape[0]} x {patch.shape[1]} pixels in place of {size} x {size}"
                )
        taken.append(patches)
    if smallest != (size, size):
        return f"returned patches of down to {smallest[0]} x {smallest[1]} pixels in place of {size} x {size}"
    return np.array(taken)


def _where(patches, code):
    """(top, left, 2 * turns + mirror) of each patch: (count, 2, size, size, C) -> (count, 2, 3); -1 for no window."""
    row_of, column_of = np.full((2, 256), -99)
    row_of[code], column_of[code] = np.indices(code.shape)
    places = row_of[patches[..., 0]], column_of[patches[..., :2][..., -1]]  # red and green, or grey and grey
    own_rows, own_columns = np.indices(patches.shape[2:4])
    found = np.full((*patches.shape[:2], 3), -1)
    for kind in range(8):
        turned = [place[..., ::-1] if kind % 2 else place for place in places]
        rows, columns = (np.rot90(place, -(kind // 2), axes=(2, 3)) for place in turned)
        top, left = rows[..., :1, :1], columns[..., :1, :1]  # (count, 2, 1, 1)
        fits = ((rows == top + own_rows) & (columns == left + own_columns)).all(axis=(2, 3))
        found[fits] = np.stack([top[..., 0, 0], left[..., 0, 0], np.full(fits.shape, kind)], axis=-1)[fits]
    return found


def _windows_of(evidence, expected, name, call="random_patch"):
    """(where the patches of this name stand, as of `_where`, None), or (None, the sentence if they are none)."""
    found, wanted = evidence.get(name), expected[name]
    if not isinstance(found, np.ndarray):
        kind = "a pair of patches (degraded, clean)"
        return None, _size_trouble(found, name, call) or trouble(found, call, kind) or f"{call}: {kind} is expected"
    if found.shape != wanted.shape:
        return None, f"the patches have the shape {found.shape[2:]}, expected {wanted.shape[2:]}"
    if found.dtype != np.uint8:
        return None, f"the patches are {found.dtype}, expected uint8: the pixels themselves, not changed"
    where = _where(found, expected["grey code" if name == "grey" else "code"])
    strange = int((where < 0).any(axis=(1, 2)).sum())
    if strange:
        what = f"{strange} of {len(found)} patches are no window of their image, turned or mirrored"
        cause = "are pixels moved, scaled or changed, or is a size or a channel a fixed number?"
        if name != "grey" and not (_where(found[..., ::-1], expected["code"])[(where < 0).any(axis=(1, 2))] < 0).any():
            cause = "their channels are turned round. Columns are the second axis: image[:, ::-1]"
        return None, f"{what}: {cause}"
    return where, None


def _size_trouble(found, name, call):
    """The sentence for patches that are too small or too large, or for images that were written to; or None."""
    if isinstance(found, str) and found.startswith("returned patches of up to"):
        return f"{call} {found}: a window goes from top to top + size, the last not included, and columns alike"
    if isinstance(found, str) and "read-only" in found[:100]:
        return f"{call} raised {found[:60]}: it may not change the images; make new ones, and return those"
    if not isinstance(found, str) or not found.startswith("returned patches of down to"):
        return None
    rows, columns, size, _ = re.findall(r"\d+", found[:100])
    cause = "top is one of height - size + 1 numbers, left one of width - size + 1"
    if name == "straight" and rows != columns == size:
        cause = "are height and width taken for each other? The shape is (height, width, channels)"
    return f"{call} {found}: {cause}"


def form_problem(evidence, expected):
    for name in ("straight", "patches"):
        _, sentence = _windows_of(evidence, expected, name)
        if sentence:
            return sentence
    blue = evidence["patches"][..., 2]
    degraded, clean = expected["marks"]
    if (blue[:, 0] == clean).all() and (blue[:, 1] == degraded).all():
        return "the first patch is of the original, expected is the degraded one first: return (degraded, clean)"
    if not ((blue[:, 0] == degraded).all() and (blue[:, 1] == clean).all()):
        return "pixels of the one image came in the patch of the other, or changed: expected (degraded, clean)"
    return None


def window_problem(evidence, expected):
    where, sentence = _windows_of(evidence, expected, "patches")
    if sentence:
        return sentence
    differ = (where[:, 0, :2] != where[:, 1, :2]).any(axis=1)
    if not differ.any():
        return None
    example = where[int(differ.argmax())]
    places = " and ".join(f"row {top}, column {left}" for top, left, _ in example)
    return (
        f"{differ.sum()} of {len(where)} pairs come from two windows ({places}): draw top and left once, use them twice"
    )


def turn_problem(evidence, expected):
    where, sentence = _windows_of(evidence, expected, "patches")
    if sentence:
        return sentence
    degraded, clean = where[..., 2].T
    differ = degraded != clean
    if not differ.any():
        return None
    start = f"{differ.sum()} of {len(where)} pairs are turned or mirrored in two ways"
    if (clean == 0).all():
        return f"{start}: only the degraded image is turned, the original never"
    if (degraded == 0).all():
        return f"{start}: only the original is turned, the degraded image never"
    if (degraded // 2 == clean // 2).all():
        return f"{start}: the turn is the same but the mirror differs; draw it once for both"
    return f"{start}: draw the turn and the mirror once, and use them for both images alike"


def everywhere_problem(evidence, expected):
    where, sentence = _windows_of(evidence, expected, "patches")
    if sentence:
        return sentence
    tops, lefts, kinds = (set(values.tolist()) for values in where[:, 0].T)
    rows, columns = (side - expected["patches"].shape[2] + 1 for side in expected["code"].shape)
    count = len(where)
    if len(tops) == 1 and len(lefts) == 1:
        return f"all {count} patches begin at row {min(tops)}, column {min(lefts)}: the window should be drawn from rng"
    if tops == set(range(rows - 1)) or lefts == set(range(columns - 1)):
        last = f"no patch of {count} reaches the last row or column"
        return f"{last}: integers(n) stops at n - 1, so draw from height - size + 1 and width - size + 1"
    if tops != set(range(rows)) or lefts != set(range(columns)):
        return (
            f"of {rows} x {columns} windows only rows {sorted(tops)} and columns {sorted(lefts)} begin one; all should"
        )
    if kinds != set(range(8)):
        return _missing_kinds(kinds, count)
    return _fitting_problem(evidence, expected)


def _fitting_problem(evidence, expected):
    _, sentence = _windows_of(evidence, expected, "whole", "random_patch of an image that is exactly one patch")
    found = evidence.get("too large")
    if sentence or (isinstance(found, str) and not found.startswith("returned")):
        return sentence  # None; any error will do where nothing fits
    return "a patch that is larger than the image raised no error, and something smaller came: do not cut it down"


def _missing_kinds(kinds, count):
    if kinds == {0}:
        return f"none of {count} patches is turned or mirrored; with augment=True they should be"
    if kinds == {0, 1}:
        return f"none of {count} patches is turned, they are only mirrored: draw the turns from 0 to 3, rng.integers(4)"
    if all(kind % 2 == 0 for kind in kinds):
        return f"none of {count} patches is mirrored; every other one should be"
    if all(kind in (0, 1, 4, 5) for kind in kinds):
        return f"none of {count} patches is turned by 90 degrees: draw the turns from 0 to 3, rng.integers(4)"
    if all(kind % 2 for kind in kinds):
        return f"all of {count} patches are mirrored; only every other one should be"
    missing = set(range(4)) - {kind // 2 for kind in kinds}
    if missing:
        turns = ", ".join(map(str, sorted(missing)))
        return f"none of {count} patches is turned {turns} times: draw the turns from 0 to 3, rng.integers(4)"
    return f"only {len(kinds)} of the 8 ways to turn and mirror came up in {count} patches; all of them should"


def straight_problem(evidence, expected):
    where, sentence = _windows_of(evidence, expected, "straight", "random_patch with augment=False")
    if sentence:
        return sentence
    turned = int((where[..., 2] != 0).any(axis=1).sum())
    if turned == 0:
        return None
    return (
        f"with augment=False {turned} of {len(where)} pairs are turned or mirrored, expected none: is `augment` asked?"
    )


def chance_problem(evidence, expected):
    for name in ("patches", "again"):
        _, sentence = _windows_of(evidence, expected, name)
        if sentence:
            return sentence
    first, again = evidence["patches"], evidence["again"]
    if evidence.get("rng was used") != 1:
        return "nothing was drawn from rng: take rng.integers, not `random`, `np.random` or a generator of your own"
    if np.array_equal(first[: len(again)], again):
        return None
    return "one state of rng gave two different patches: some chance comes from `random` or `np.random`, not from rng"


def grey_problem(evidence, expected):
    where, sentence = _windows_of(evidence, expected, "grey")
    if sentence:
        return f"tall grey images (H, W, 1): {sentence}"
    if (where[:, 0] != where[:, 1]).any():
        return "with tall grey images (H, W, 1) the two patches are cut or turned differently"
    wanted = _where(expected["grey"], expected["grey code"])
    if all(set(where[:, 0, i].tolist()) == set(wanted[:, 0, i].tolist()) for i in range(3)):
        return None
    return "with tall grey images (H, W, 1) some windows or turns never come up: are height and width in their places?"


RANDOM_PATCH = Exercise(
    name="random_patch",
    lesson="05_dncnn",
    answer="random_patch",
    reference="course_utils.data.patches:random_patch",
    probe=probe_random_patch,
    claims=(
        claim("it gives (degraded, clean), each size x size", form_problem),
        claim("both images get the same window", window_problem, points=2),
        claim("both images get the same turn and the same mirror", turn_problem, points=2),
        claim(
            "every window that fits comes up, to the last row and column, and every turn and mirror", everywhere_problem
        ),
        claim("with augment=False nothing is turned or mirrored", straight_problem),
        claim("all chance comes from rng: the same state gives the same patch", chance_problem),
        claim("the same holds for tall grey images", grey_problem, points=2, hidden=True),
    ),
    hints=(
        "Draw all random numbers first: where the window begins, how often it turns, whether it is mirrored. Then do "
        "with one image what you do with the other.",
        "The window can begin at height - size + 1 rows and width - size + 1 columns. Cut both images with the same "
        "slices; if augment, turn both with np.rot90(patch, turns), and mirror both or neither.",
        "top = rng.integers(height - size + 1), and left alike; patches = [image[top : top + size, ...] for image in "
        "(degraded, clean)]; turns, mirror = rng.integers(4), rng.integers(2), applied to both in a list as well.",
    ),
)

# --- dncnn ---


def probe_dncnn(answer, rng):
    """Look at networks of any size, at a new one, and at one with weights from rng: R(y), restore, statistics."""
    import torch

    seed = int(rng.integers(2**32))
    image = rng.uniform(0, 1, (2, 3, 14, 13)).astype(np.float32)
    grey_image = rng.uniform(0, 1, (1, 1, 15, 16)).astype(np.float32)
    evidence = {"image": image}
    any_sizes = [_any_size(rng, batch_norm) for batch_norm in (False, True)]
    colour = lambda: answer(depth=4, width=6)
    small = lambda: answer(channels=1, depth=5, width=6, batch_norm=False)
    with undisturbed(rng), torch.no_grad():
        y, grey = torch.from_numpy(image.copy()), torch.from_numpy(grey_image)
        ask(evidence, "parameters", lambda: count_parameters(answer()))
        for i, arguments in enumerate(any_sizes):
            ask_about_size(evidence, i, lambda arguments=arguments: answer(**arguments))
        ask(evidence, "at the start", lambda: largest(colour().eval()(y), beside=image.mean()))
        ask(evidence, "kernels of zeros", lambda: sum(p.ndim == 4 and not p.any() for p in colour().parameters()))
        ask(evidence, "layers", lambda: names_of_layers(colour(), y))
        ask(evidence, "noise", lambda: array(filled(colour(), y, seed)(y.clone())))
        ask_to_restore(evidence, lambda: filled(colour(), y, seed), y)
        ask(evidence, "statistics", lambda: _learn_statistics(filled(colour(), y, seed), y))
        ask(evidence, "grey noise", lambda: array(filled(small(), grey, seed)(grey.clone())))
        ask(evidence, "grey restored", lambda: array(filled(small(), grey, seed).restore(grey.clone())))
    return evidence


def _any_size(rng, batch_norm):
    """Arguments of DnCNN; not for RGB images, and not of the usual depth and width."""
    channels, depth, width = (int(value) for value in (rng.choice([1, 2, 4, 5]), *rng.integers(4, [9, 16])))
    return {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}


def _learn_statistics(network, image):
    """The means that batch normalisation keeps, before and after one batch in training mode."""
    layers = [layer for layer in layers_at_work(network, image) if getattr(layer, "running_mean", None) is not None]
    before = [array(layer.running_mean) for layer in layers]
    network.train()(image.clone())
    after = [array(layer.running_mean) for layer in layers]
    empty = np.zeros(0, np.float32)
    return {"before": np.concatenate([*before, empty]), "after": np.concatenate([*after, empty])}


COUNTS = {  # what mistakes do to the number of parameters of DnCNN()
    -64 * 15: "do the middle convolutions lack their bias? They keep it",
    -64 * 16 - 3: "do the convolutions lack their biases? They keep them",
    -64: "does the first convolution lack its bias?",
    -3: "does the last convolution lack its bias?",
    -128 * 15: "is the batch normalisation missing?",
    128: "is there a batch normalisation after the first convolution too? Only the middle layers have one",
    6: "is there a batch normalisation after the last convolution?",
    134: "does every layer have a batch normalisation? Only the middle ones do",
    36_928 + 128: "is there one middle layer too many? There are depth - 2",
    -36_928 - 128: "is there one middle layer too few? There are depth - 2",
    2 * (36_928 + 128): "are there `depth` middle layers? There are depth - 2",
    -14 * (36_928 + 128): "do all middle layers share one set of weights? Make a new layer each time",
}


def parameters_problem(evidence, expected):
    default = "are the kernels 3 x 3, the maps 64 and the layers 17?"
    causes = dict(COUNTS)
    if "norm" in str(evidence.get("layers")).split():
        causes[-128 * 15] = "does the batch normalisation lack its weights and biases (affine)?"
    sentence = wrong_count(evidence.get("parameters"), expected["parameters"], "DnCNN()", causes, default)
    return sentence or _any_size_problem(evidence, expected, 0) or _any_size_problem(evidence, expected, 1)


def _any_size_problem(evidence, expected, i):
    found, wanted = evidence.get(f"parameters {i}"), expected[f"parameters {i}"]
    if agrees(found, wanted, rtol=0, atol=0):
        return None
    arguments = json.loads(expected[f"config {i}"])
    channels, depth, width, batch_norm = (arguments[name] for name in ("channels", "depth", "width", "batch_norm"))
    norms = (depth - 2) * 2 * width
    causes = [
        (wanted - norms if batch_norm else wanted + norms, "is batch_norm ignored?"),
        (wanted + (3 - channels) * (2 * 9 * width + 1), "is `channels` ignored?"),
        (
            wanted + (3 - channels) * (9 * width + 1),
            "does the last convolution give 3 channels, whatever `channels` is?",
        ),
        (wanted + (3 - channels) * 9 * width, "does the first convolution take 3 channels, whatever `channels` is?"),
        (_count(channels, depth, 64, batch_norm), "is `width` ignored? The maps are 64 here"),
        (_count(channels, 17, width, batch_norm), "is `depth` ignored? The layers are 17 here"),
    ]
    cause = likely(found, causes, "is one of the four a fixed number in your code?")
    asked = f"DnCNN(channels={channels}, depth={depth}, width={width}, batch_norm={batch_norm})"
    return trouble(found, asked, "a network") or f"{asked} has {found:,} parameters, expected {wanted:,}: {cause}"


def _count(channels, depth, width, batch_norm):
    """The parameters of a DnCNN."""
    middle = 9 * width * width + width + 2 * width * batch_norm
    return (9 * channels + 1) * width + (depth - 2) * middle + (9 * width + 1) * channels


def start_problem(evidence, expected):
    found, nothing = evidence.get("at the start"), expected["at the start"]
    if agrees(found, nothing, rtol=0, atol=1e-12):
        zeros = evidence.get("kernels of zeros")
        if agrees(zeros, 1, rtol=0, atol=0):
            return None
        return f"{zeros} convolutions have kernels of zeros, expected only the last: the others would never learn"
    strange = trouble(found, "a new DnCNN", "R(y)")
    if strange:
        return strange
    cause = "start the weights and the bias of the last convolution at zero, with nn.init.zeros_"
    if agrees(found - nothing, expected["image"].max()):
        cause = "`forward` gives the image, and not the noise; only `restore` subtracts"
    return f"a new network predicts noise of up to {found - nothing:.3g}, expected 0: {cause}"


def noise_problem(evidence, expected, name="noise"):
    found, wanted = evidence.get(name), expected[name]
    if agrees(found, wanted):
        return None
    strange = trouble(found, "DnCNN's forward", "R(y)")
    if strange:
        return strange
    if found.shape != wanted.shape:
        channels = found.ndim == 4 and found.shape[1] != wanted.shape[1]
        cause = "does the last convolution give `channels`?" if channels else "is padding=1 missing in a convolution?"
        return f"R(y) has the shape {found.shape}, expected {wanted.shape}: {cause}"
    off = f"for given weights R(y) is off by up to {np.abs(found - wanted).max():.2g}"
    return f"{off}: {_noise_cause(found, wanted, evidence, expected, name)}"


def _noise_cause(found, wanted, evidence, expected, name):
    image, inside = expected["image"], (..., slice(5, -5), slice(5, -5))
    if not np.isfinite(found).all():
        return "it holds NaN or infinity"
    if agrees(found, np.maximum(wanted, 0)):
        return "all of it is 0 or more. Is there a ReLU after the last convolution? Noise has both signs"
    if name == "noise" and (agrees(found, image - wanted) or agrees(found, image + wanted)):
        return "`forward` gives the image, and not the noise; only `restore` subtracts"
    if agrees(found, -wanted):
        return "its sign is turned; `forward` gives what the layers give"
    if agrees(found[inside], wanted[inside]):
        return "only near the border, though. The convolutions pad with zeros, padding=1, and with nothing else"
    if name == "noise" and (sentence := wrong_layers(evidence, expected, room=75)):
        return sentence
    return "is a layer used twice or not at all, or a setting of a layer not the usual one?"


def statistics_problem(evidence, expected):
    if "statistics: after" not in evidence:
        return trouble(evidence.get("statistics"), "a DnCNN in training mode", "R(y)") or "there are no statistics"
    before, after = evidence["statistics: before"], evidence["statistics: after"]
    known, wanted = expected["statistics: before"], expected["statistics: after"]
    if after.shape != wanted.shape or before.shape != wanted.shape:
        call = "in DnCNN(depth=4, width=6) batch normalisation"
        return (
            f"{call} keeps the means of {after.size} maps, expected {wanted.size}: 6 in each of its two middle layers"
        )
    if agrees(before, known) and agrees(after, wanted, rtol=1e-3):
        return None
    if not agrees(evidence.get("noise"), expected["noise"]):
        return "the means that batch normalisation learns are not those expected: get R(y) right, then look again"
    share = 0.1 * float(np.median((after - before) / (wanted - known)))
    cause = "PyTorch's momentum is the share of the new batch; 0.9 elsewhere is 0.1 here"
    return f"a training step takes over {share:.2f} of the new batch's mean, expected 0.10: {cause}"


def settings_problem(evidence, expected):
    return _setting_problem(evidence, expected, 0) or _setting_problem(evidence, expected, 1)


def _setting_problem(evidence, expected, i):
    depth, radius = expected[f"radius {i}"], evidence.get(f"radius {i}")
    if sentence := missing_setting(evidence, i):
        return sentence
    if not agrees(radius, depth, rtol=0, atol=0):
        wrong = [(2 * depth + 1, "that is the width of the whole field"), (depth - 1, "count all layers")]
        cause = likely(radius, [*wrong, (17, "is it the default's?")], "each 3 x 3 convolution looks one pixel further")
        strange = trouble(radius, "receptive_radius", "a whole number")
        return strange or f"receptive_radius is {radius} for a depth of {depth}, expected {depth}: {cause}"
    return wrong_config(evidence, expected, i)


def grey_noise_problem(evidence, expected):
    sentence = noise_problem(evidence, expected, "grey noise")
    if sentence or agrees(evidence.get("grey restored"), expected["grey restored"]):
        return sentence and f"grey, without batch normalisation: {sentence}"
    return "grey, without batch normalisation: restore does not give y - R(y)"


DNCNN = Exercise(
    name="dncnn",
    lesson="05_dncnn",
    answer="DnCNN",
    reference="course_utils.models.dncnn:DnCNN",
    probe=probe_dncnn,
    claims=(
        claim("it has as many parameters as the paper's, and others where you ask for others", parameters_problem),
        claim("a new network predicts no noise at all", start_problem),
        claim("with given weights R(y) is that of a DnCNN", noise_problem, points=3),
        claim("`restore` gives y - R(y), not clipped, in the mode that the network is in", restore_problem()),
        claim("in training, batch normalisation learns at its usual pace", statistics_problem),
        claim("`config` and `receptive_radius` tell what was built", settings_problem),
        claim("the same holds for grey images without batch normalisation", grey_noise_problem, points=2, hidden=True),
    ),
    hints=(
        "Collect the layers in a list, first to last, with a loop for the middle ones, and hand them to nn.Sequential.",
        "First nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.ReLU(); depth - 2 times a convolution from "
        "width to width, nn.BatchNorm2d(width) if batch_norm, nn.ReLU(); last a convolution from width to channels.",
        "After the last convolution `last` is made: nn.init.zeros_(last.weight) and the same for its bias; then "
        "self.layers = nn.Sequential(*layers). forward returns self.layers(y), and restore y minus what self(y) gives.",
    ),
)

# --- residual_loss ---


TRIALS = 16  # in half of them the network is right


def probe_residual_loss(answer, rng):
    """Ask for the loss of networks that are right or not, of one image, of a batch, for a gradient, of grey images."""
    import torch

    shape = (4, 3, 6, 5)
    noise, clean, error = (rng.uniform(*bounds, shape) for bounds in ((-0.3, 0.4), (0, 1), (-0.2, 0.3)))
    error *= rng.uniform(0.5, 1.5, (4, 1, 1, 1))  # of each image, so that no loss is likely
    inputs = np.stack([noise + error, clean + noise, clean]).astype(np.float32)  # R(y), y, x
    grey_inputs = rng.uniform(0, rng.uniform(0.5, 1), (3, 3, 1, 7, 4)).astype(np.float32)
    kept = rng.integers(0, 2, shape).astype(np.float32)
    right = rng.permutation(TRIALS) < TRIALS // 2  # which ones nobody knows beforehand
    evidence = {"inputs": inputs, "grey inputs": grey_inputs, "kept": kept}
    with undisturbed(rng):
        predicted, degraded, clean = torch.from_numpy(inputs.copy())
        for i in range(TRIALS):
            output = degraded - clean if right[i] else predicted
            ask(evidence, f"trial {i}", lambda output=output: number(answer(output, degraded, clean)))
        ask(evidence, "one", lambda: number(answer(predicted[:1], degraded[:1], clean[:1])))
        ask(evidence, "batch", lambda: number(answer(predicted, degraded, clean)))
        ask(evidence, "gradient", lambda: gradient(answer, predicted, degraded, clean, torch.from_numpy(kept)))
        ask(evidence, "grey", lambda: number(answer(*torch.from_numpy(grey_inputs.copy()))))
    return evidence


def _loss_causes(inputs):
    """(value, cause) of the usual mistakes, for R(y), y and x, each (N, C, H, W)."""
    predicted, degraded, clean = inputs.astype(np.float64)
    error, count = predicted - (degraded - clean), len(clean)
    total = np.square(error).sum()
    return [
        (np.square(error).mean(), "that is the mean over all values; the loss is their sum, divided by 2N"),
        (np.square(error).mean() / 2, "that is half the mean over all values; the loss is their sum, divided by 2N"),
        (total / count, "is the 2 of 1/(2N) missing?"),
        (total / 2, "is it divided by 2 only, and not by the number of images N?"),
        (total, "that is the sum alone; divide it by 2N"),
        (np.square(predicted + degraded - clean).sum() / (2 * count), "is it x - y? What was added is y - x"),
        (np.square(predicted - clean).sum() / (2 * count), "is R(y) compared with the clean image? It predicts y - x"),
        (np.square(predicted - degraded).sum() / (2 * count), "is R(y) compared with y? It predicts y - x"),
        (np.square(degraded - predicted - degraded).sum() / (2 * count), "is y subtracted twice?"),
        (np.abs(error).sum() / (2 * count), "are the errors squared?"),
        (error.sum() / (2 * count), "are the errors squared?"),
        (np.sqrt(total) / (2 * count), "that is the norm; the loss takes its square"),
        *_rarer_loss_causes(error, degraded - clean),
    ]


def _rarer_loss_causes(error, noise):
    """The same for mistakes in the sum or in what it is divided by; error, noise: R(y) - (y - x) and y - x."""
    total, count, channels = np.square(error).sum(), *error.shape[:2]
    clipped = error + noise - noise.clip(0, 1)
    return [
        (np.abs(error).mean(), "that is the mean absolute error; square the errors, sum them and divide by 2N"),
        (total / (2 * channels), "is it divided by the channels, shape[1]? N is the number of images"),
        (total / 2 * count, "is it multiplied by N? `a / 2 * N` is (a / 2) · N; write a / (2 * N)"),
        (total / (2 * count**2), "is it divided by N twice?"),
        (total / 8, "is N a fixed number, 4?"),
        (0.0, "is a factor 0? In Python 1 // 2 is 0, and 1 / 2 is a half"),
        (np.sqrt(np.square(error).sum(axis=(1, 2, 3))).mean() / 2, "that is the norm; the loss takes its square"),
        (np.sqrt(total / (2 * count)), "is there a square root too many?"),
        (np.square(clipped).sum() / (2 * count), "is y - x clipped? It has both signs"),
    ]


def _loss_problem(name, what, **inputs):
    default = "is it 1/(2N) · Σ (R(y) - (y - x))²?"
    return loss_problem("residual_loss", name, what, _loss_causes, default, **inputs)


def right_problem(evidence, expected):
    for i in range(TRIALS):
        found, is_right = evidence.get(f"trial {i}"), expected[f"trial {i}"] == 0
        strange = trouble(found, "residual_loss", "one number")
        if strange:
            return strange
        if is_right and not agrees(found, 0, rtol=0, atol=1e-6):
            return _loss_of_right_problem(found, expected["inputs"].astype(np.float64))
        if not is_right and not 1e-6 < abs(float(found)) < math.inf:
            cause = "is R(y) in the sum, and is no factor 0? (1 // 2 is 0)"
            return f"a network that is wrong has the loss {found:.5g}, expected more than 0: {cause}"
    return None


def _loss_of_right_problem(found, inputs):
    noise = inputs[1] - inputs[2]
    aims = [
        (-noise, "is the sign wrong? What was added is y - x, not x - y"),
        (inputs[2], "it is compared with the clean image x, but the network predicts y - x"),
        (inputs[1], "it is compared with y, but the network predicts y - x"),
        (0 * noise, "y - x seems to be missing"),
        (noise.clip(0, 1), "is y - x clipped? It has both signs"),
    ]
    totals = [(np.square(noise - aim).sum(), cause) for aim, cause in aims]
    causes = [(total / by, cause) for total, cause in totals for by in (8, 4, 2, 1, noise.size, 2 * noise.size)]
    cause = likely(found, causes, "R(y) is compared with y - x, degraded minus clean")
    return f"a network that predicts y - x exactly has the loss {found:.5g}, expected 0: {cause}"


RESIDUAL_LOSS = Exercise(
    name="residual_loss",
    lesson="05_dncnn",
    answer="residual_loss",
    reference="course_utils.losses:residual_loss",
    probe=probe_residual_loss,
    claims=(
        claim("a network that predicts y - x has no loss", right_problem),
        claim("the loss of N images is 1/(2N) times the sum", _loss_problem("batch", "4 images"), points=2),
        claim("the loss of one image is half its squared errors", _loss_problem("one", "one image", images=1)),
        claim("it is a scalar tensor with a gradient", gradient_problem("residual_loss", "R(y)")),
        claim(
            "the same holds for grey images",
            _loss_problem("grey", "3 grey images", inputs="grey inputs"),
            hidden=True,
        ),
    ),
    hints=(
        "What should a perfect network predict? Write it down with `degraded` and `clean`; the loss of that is 0.",
        "Take the difference of `predicted_noise` and `degraded - clean`, square it, sum all of it up, and divide by "
        "two times the number of images, len(clean).",
        "noise = degraded - clean, and then (predicted_noise - noise).square().sum() divided by what the formula says.",
    ),
)

# --- train_step ---

LONGEST_EVENTS = 300  # characters


def probe_train_step(answer, rng):
    """Let it teach a small network that notes down what is done with it: one step, three, two with another loss."""
    import torch

    images = rng.uniform(0, 1, (3, 2, 4, 3, 6, 6)).astype(np.float32)  # step, (y, x), N, C, H, W
    seed, evidence = int(rng.integers(2**32)), {}
    with undisturbed(rng):
        batches = torch.from_numpy(images)
        ask(evidence, "one", lambda: _teach(answer, seed, batches[:1]))
        ask(evidence, "three", lambda: _teach(answer, seed, batches))
        ask(evidence, "half", lambda: _teach(answer, seed, batches[:1], factor=0.5))
        ask(evidence, "others", lambda: _teach(answer, seed, batches[1:], other=True))
    return evidence


def _teach(answer, seed, batches, factor=1.0, other=False):
    """What comes of a few steps: weights, returned value and its kind, the events in their order, mode, later loss."""
    import torch

    events = []
    network, optimizer = _pupil(seed, events, momentum=0.9 if other else 0.0)
    before = _weights(network)
    for degraded, clean in batches:
        named = {"degraded": degraded, "clean": clean}
        network.named = named
        loss = _noted_loss(events, named, other)
        value = answer(network, optimizer, degraded, clean, loss=loss, backward=_noted_backward(events, factor))
    text, mode = " ".join(events)[:LONGEST_EVENTS], seed if network.training_then else 0  # 1 would be easy to guess
    weights, statistics = _weights(network), array(network.layers[1].running_mean)
    with torch.no_grad():
        later = float(_noted_loss([], {}, other)(network.train().layers(degraded), degraded, clean))
    kind = type(value).__name__ + (" with its graph" if getattr(value, "requires_grad", False) else "")
    found = {"before": before, "weights": weights, "statistics": statistics, "value": number(value), "kind": kind[:50]}
    return found | {"events": text, "training": mode, "later": later}


class _Descent:
    """An optimizer that goes down the gradient, and notes in `events` what it is asked to do.

    The first one of torch.optim takes seconds: it imports a compiler.
    """

    def __init__(self, parameters, events, momentum):
        self.parameters, self.events, self.momentum = list(parameters), events, momentum
        self.param_groups = [{"params": self.parameters, "lr": 1e-3}]
        self.velocities = [0.0] * len(self.parameters)

    def zero_grad(self, set_to_none=True):
        self.events.append("zero_grad")
        for parameter in self.parameters:
            parameter.grad = None

    def step(self):
        self.events.append("step")
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                self.velocities[i] = self.momentum * self.velocities[i] + parameter.grad.detach().clone()
                parameter.data -= self.param_groups[0]["lr"] * self.velocities[i]


def _pupil(seed, events, momentum):
    """A small network in evaluation mode and its optimizer; both note down in `events` what is done with them."""
    import torch

    network, rng = _network(events).eval(), np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.from_numpy(0.4 * rng.standard_normal(tuple(parameter.shape))))
    events.clear()
    return network, _Descent(network.parameters(), events, momentum)


def _network(events):
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            first = nn.Conv2d(3, 4, 3, bias=False)  # batch norm would take a bias off again
            self.layers = nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3))
            self.named, self.training_then = {}, False

        def train(self, mode=True):
            events.append("train" if mode else "eval")
            return super().train(mode)

        def forward(self, y):
            events.append(f"network({_name_of(y, self.named)})")
            self.training_then = self.training
            output = self.layers(y)
            self.named["output"] = output.detach()
            return output

    return Network()


def _name_of(tensor, named):
    return next(
        (name for name, each in named.items() if tensor.shape == each.shape and (tensor == each).all()), "other"
    )


def _noted_loss(events, named, absolute):
    def loss(output, degraded, clean):
        events.append(f"loss({_name_of(output, named)}, {_name_of(degraded, named)}, {_name_of(clean, named)})")
        error = output - (degraded - clean)
        return 100 * error.abs().mean() if absolute else error.square().sum() / (2 * len(clean))

    return loss


def _noted_backward(events, factor):
    def backward(value):
        events.append("backward")
        (factor * value).backward()

    return backward


def _weights(network):
    return np.concatenate([array(parameter).ravel() for parameter in network.parameters()])


def _after(name):
    """Makes a claim's function of one that looks at what became of the steps of this name, where there were some."""

    def decorate(problem):
        def checked(evidence, expected):
            weights, wanted = evidence.get(f"{name}: weights"), expected[f"{name}: weights"]
            if not isinstance(weights, np.ndarray):
                found = evidence.get(name)
                if isinstance(found, str) and "does not require grad" in found[:150]:
                    return (
                        "the loss has no gradients: is the network called within no_grad, or detach() before backward?"
                    )
                return trouble(found, "train_step", "a step") or "train_step: there is nothing to check"
            if weights.shape != wanted.shape:
                return f"the network has {weights.size:,} weights after the steps, expected {wanted.size:,}"
            return problem(evidence, expected)

        return checked

    return decorate


def _events(evidence, name):
    return evidence[f"{name}: events"][:LONGEST_EVENTS].replace(", ", ",").split()


@_after("one")
def mode_problem(evidence, expected):
    if agrees(evidence["one: training"], expected["one: training"], rtol=0, atol=0):
        return None
    events = _events(evidence, "one")
    if not any(event.startswith("network") for event in events):
        return "the network was never called: it should be given the degraded batch, model(degraded)"
    cause = "model.train() comes first of all" if "train" in events else "is model.train() missing?"
    if "eval" in events:
        cause = "model.eval() is for restoring; call model.train()"
    return f"the network was in evaluation mode when it saw the batch, expected training mode: {cause}"


@_after("one")
def one_step_problem(evidence, expected):
    found, wanted, before = evidence["one: weights"], expected["one: weights"], expected["one: before"]
    if agrees(found, wanted, atol=1e-6):
        return None
    events = _events(evidence, "one")
    if agrees(found, before, atol=1e-9):
        return f"the weights did not move in a step: {_still_cause(events)}"
    if "network(clean)" in events:
        return "the weights moved elsewhere than expected: the network was given the clean batch, not the degraded one"
    losses = [event for event in events if event.startswith("loss")]
    if losses and losses[0] != "loss(output,degraded,clean)":
        got = losses[0].replace(",", ", ")
        hint = ". `output` is what the network gave, as it is" if got.startswith("loss(other") else ""
        return f"the loss was called as {got}, expected loss(output, degraded, clean){hint}"
    if agrees(found, 2 * before - wanted, atol=1e-6):
        return "the weights moved up the gradient, expected down: is a sign turned?"
    share = float(np.dot(found - before, wanted - before) / np.square(wanted - before).sum())
    if events.count("step") == 1 and agrees(found, before + share * (wanted - before), atol=1e-6):
        return f"the weights moved {share:.2g} times as far as expected: is the loss or its gradient scaled or limited?"
    off = np.abs(found - wanted).max()
    done = ", ".join(event.partition("(")[0] for event in events)
    return f"after a step the weights are off by up to {off:.2g}; the step did this: {done[:90]}"


def _still_cause(events):
    if "step" not in events:
        return "is optimizer.step() missing?"
    if "backward" not in events:
        return "is backward(value) missing?"
    if events.index("step") < events.index("backward"):
        return "optimizer.step() comes before backward(value); expected is after it"
    if "zero_grad" in events[events.index("backward") : events.index("step")]:
        return "zero_grad between backward and step throws the new gradients away; clear the old ones first"
    return "do the gradients reach the weights? Keep detach() and no_grad() out of it"


@_after("three")
def three_steps_problem(evidence, expected):
    found, wanted = evidence["three: weights"], expected["three: weights"]
    if agrees(found, wanted, atol=1e-6):
        return None
    if agrees(evidence["one: weights"], expected["one: weights"], atol=1e-6):
        cause = "do the gradients of earlier steps add up? Call optimizer.zero_grad() in each step"
    else:
        cause = "get the first step right, then look again"
    return f"after three steps the weights are off by up to {np.abs(found - wanted).max():.2g}: {cause}"


@_after("one")
def value_problem(evidence, expected):
    found, kind, wanted = evidence["one: value"], evidence["one: kind"], expected["one: value"]
    strange = trouble(found, "train_step", "the loss as a number")
    if strange:
        return strange
    if kind.endswith("with its graph"):
        return "it returned a tensor that keeps all it needs for gradients, expected one without: value.detach()"
    if agrees(found, wanted):
        return None
    causes = [
        (expected["one: later"], "that is the loss after the step; return the one before it"),
        (wanted / 4, "is it divided by the number of images once more? Return the loss as it is"),
    ]
    right = agrees(evidence["one: weights"], expected["one: weights"], atol=1e-6)
    default = "return the loss that the gradients were taken of" if right else "get the step right, then look again"
    cause = likely(found, causes, default)
    return f"it returned {found:.5g}, expected {wanted:.5g}: {cause}"


@_after("half")
def backward_problem(evidence, expected):
    if "backward" not in _events(evidence, "half"):
        return "`backward` was not called: value.backward() in place of backward(value) fails with mixed precision"
    found, wanted = evidence["half: weights"], expected["half: weights"]
    if agrees(found, wanted, atol=1e-6):
        return None
    off = np.abs(found - wanted).max()
    if not agrees(evidence.get("one: weights"), expected["one: weights"], atol=1e-6):
        return "the step itself is not right yet: get it right, then look again"
    return f"with a backward that halves the gradients the weights are off by {off:.2g}: are gradients taken twice?"


@_after("others")
def others_problem(evidence, expected):
    names = ("others: weights", "others: statistics", "others: value")
    if all(agrees(evidence.get(name), expected[name]) for name in names):
        return None
    if not agrees(evidence.get("one: weights"), expected["one: weights"], atol=1e-6):
        return (
            "with another optimizer and loss the steps are not right either: get the first step right, then look again"
        )
    return "with momentum and a mean absolute error the steps are not those expected: are `optimizer` and `loss` used?"


TRAIN_STEP = Exercise(
    name="train_step",
    lesson="05_dncnn",
    answer="train_step",
    reference="course_utils.training:train_step",
    probe=probe_train_step,
    claims=(
        claim("the network is in training mode", mode_problem),
        claim("one step moves the weights down the gradient of the loss", one_step_problem, points=3),
        claim("each step goes by its own gradients alone", three_steps_problem),
        claim("it returns the loss before the step, without its graph", value_problem),
        claim("the gradients come from `backward`", backward_problem),
        claim("the same holds for another optimizer and another loss", others_problem, points=2, hidden=True),
    ),
    hints=(
        "The text above the cell names the steps in their order. Each is one line.",
        "model.train(), optimizer.zero_grad(), the output of the network for `degraded`, the loss of output, degraded "
        "and clean, backward(value), optimizer.step(); and the tensor `value` without its graph is value.detach().",
        "After model.train() and optimizer.zero_grad(): value = loss(model(degraded), degraded, clean). Two lines "
        "later, after the gradients and the step, return value.detach().",
    ),
)

# --- best_step ---


def probe_best_step(answer, rng):
    """Ask for the best step of histories: the best in the middle, first, last or alone, and with several best ones."""
    middle, places = _telling_history(rng)
    lowest_loss, other = (int(place) for place in rng.integers(1, 8, 2))
    several = sorted(int(place) for place in rng.choice(60, 3, replace=False))
    histories = {
        "middle": middle,
        "ties": _history(rng, 9, [2, 5, 6], other),
        "first": _history(rng, 6, [0], lowest_loss % 5),
        "last": _history(rng, 6, [5], lowest_loss % 5),
        "alone": _history(rng, 1, [0], 0),
        "others": _history(rng, 60, several, other),
    }
    evidence = {f"{name}: every": history.steps[0] for name, history in histories.items()} | places | {"psnr": 31.5}
    with undisturbed(rng):
        for name, history in histories.items():
            ask(evidence, name, lambda history=history: number(answer(history)))
    return evidence


CURVE = (3, 5, 7, 4, 6, 10, 8, 0, 6.5, 7.5, 5.5, 4.5)  # a first peak, the best, the lowest, a last rise, a fall


def _telling_history(rng):
    """A history of 14 validations in which every usual mistake ends at a place of its own, and those places."""
    shift = int(rng.integers(3))
    ranks = [1, 2][:shift] + list(CURVE) + [3, 2][shift:]
    peak, best, worst, rise = (shift + place for place in (2, 5, 7, 9))
    lowest_loss, highest_loss = (shift + int(place) for place in rng.choice([1, 3, 8, 10], 2, replace=False))
    history = _history(rng, 14, [best], lowest_loss)
    psnrs = [round(21.5 + 0.9 * rank + rng.uniform(0, 0.3), 2) for rank in ranks]
    psnrs[best] = 31.5
    history.psnrs, history.scores = psnrs, [{"psnr": psnr} for psnr in psnrs]
    history.losses[highest_loss] = 9.5
    places = {"place": best, "first peak": peak, "lowest psnr": worst, "last rise": rise}
    return history, places | {"lowest loss": lowest_loss, "highest loss": highest_loss}


def _history(rng, count, best, lowest_loss):
    """So many validations, the same number of steps between them; the best ones and the lowest loss at these places."""
    every = int(rng.integers(1_001, 10_000))
    psnrs = rng.uniform(22, 31, count).round(2)
    losses = rng.uniform(5, 9, count).round(2)
    psnrs[best], losses[lowest_loss] = 31.5, 4.0
    psnrs, steps = psnrs.tolist(), [every * (i + 1) for i in range(count)]
    scores = [{"psnr": psnr} for psnr in psnrs]
    return SimpleNamespace(steps=steps, psnrs=psnrs, losses=losses.tolist(), scores=scores, seconds=[1.0] * count)


def _best_problem(name, what, causes_of, default):
    """The claim that the best step of this history is the expected one; causes_of(expected) lists likely mistakes."""

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted, rtol=0, atol=0):
            return None
        strange = trouble(found, f"best_step of {what}", "a step")
        cause = likely(found, causes_of(expected), default)
        return strange or f"{what} is {found:g}, expected {wanted}: {cause}"

    return problem


def _middle_causes(expected):
    best, every = expected["place"], expected["middle: every"]
    steps = [
        (13, "that is the last step; the best may be an earlier one"),
        (0, "that is the first step"),
        (best + 1, "that is the validation behind it: are the places counted from 1?"),
        (best - 1, "that is the validation before it"),
        (expected["lowest loss"], "that is the step of the lowest training loss; go by the validation PSNR"),
        (expected["highest loss"], "that is the step of the highest training loss; go by the validation PSNR"),
        (expected["lowest psnr"], "that is the lowest PSNR; a higher one is better"),
        (expected["last rise"], "the PSNR rose there, but not above the best; compare with the best so far"),
        (expected["first peak"], "that is the first peak, and a later one is higher; look through them all"),
    ]
    return [(every * (place + 1), cause) for place, cause in steps] + [
        (best, "that is a place in the list; `history.steps` says which step stands there"),
        (best + 1, "that is a place, counted from 1; `history.steps` says which step stands there"),
        (expected["psnr"], "that is the highest PSNR itself; return the step where it was reached"),
    ]


def _tie_causes(expected):
    every = expected["ties: every"]
    last = [(7 * every, "that is the last of three equal ones, expected the first: `>` in place of `>=`?")]
    return [*last, (6 * every, "that is neither the first nor the last of three equal ones")]


def edge_problem(evidence, expected):
    for name, what in (("first", "6, the first"), ("last", "6, the last"), ("alone", "1, the only")):
        default = "does your loop leave it out?"
        what = f"the best of {what} validation,"
        last = [(6 * expected[f"{name}: every"], "that is the last step")] if name == "first" else []
        sentence = _best_problem(name, what, lambda _, last=last: last, default)(evidence, expected)
        if sentence:
            return sentence
    return None


BEST_STEP = Exercise(
    name="best_step",
    lesson="05_dncnn",
    answer="best_step",
    reference="course_utils.training:best_step",
    probe=probe_best_step,
    claims=(
        claim(
            "it is the step of the highest validation PSNR",
            _best_problem("middle", "the best of 14 validations", _middle_causes, "is the PSNR there the highest?"),
            points=2,
        ),
        claim(
            "of several equal ones it is the first",
            _best_problem(
                "ties", "the best of 9 validations, three of them equal,", _tie_causes, "look for the highest PSNR"
            ),
        ),
        claim("the first, the last or the only validation may be the best", edge_problem),
        claim(
            "the same holds for a long history",
            _best_problem(
                "others", "the best of 60 validations", lambda _: [], "the first of the highest PSNR is expected"
            ),
            hidden=True,
        ),
    ),
    hints=(
        "Find the place of the highest number in `history.psnrs`. What stands at that place in `history.steps`?",
        "max(history.psnrs) is the highest PSNR; the method `index` of a list gives the first place of a value.",
        "best = history.psnrs.index(max(history.psnrs)) is the place; return what `history.steps` has there.",
    ),
)

# --- tiles ---

MOST_TILES = 500


def probe_tiles(answer, rng):
    """Ask for the tiles of a wide image, of a small one, of one without a halo, and of one of any size."""
    height, tile, halo = int(rng.integers(19, 24)), int(rng.integers(7, 9)), int(rng.integers(2, 5))
    width = height + int(rng.integers(9, 12))
    height, width = (side + 1 if side % tile == 0 else side for side in (height, width))  # a smaller tile at the end
    exact, (rows, columns) = int(rng.integers(4, 9)), rng.integers(2, 5, 2)
    cases = {
        "wide": (height, width, tile, halo),
        "small": (*rng.integers(4, 10, 2), *rng.integers([12, 1], [20, 5])),
        "exact": (rows * exact, columns * exact, exact, 0),
        "others": (*rng.integers(30, 60, 2), *rng.integers(9, 15, 2)),
    }
    evidence = {"shift": int(rng.integers(10**9))}
    with undisturbed(rng):
        for name, case in cases.items():
            case = [int(value) for value in case]
            evidence[f"{name}: case"] = np.array(case)
            ask(evidence, name, lambda case=case: _windows(answer(*case), evidence["shift"]))
    return evidence


def _windows(pairs, shift):
    """(n, 2, 2, 2): for each tile outer and inner, rows and columns, start and stop; or what came in their place.

    All are shifted by one number, so that the windows of another image of about this size are none of this one's.
    """
    if not hasattr(pairs, "__iter__"):
        return described(pairs)
    found = []
    for pair in itertools.islice(pairs, MOST_TILES):
        with contextlib.suppress(TypeError, ValueError):
            outer, inner = pair
            sides = [side for window in (outer, inner) for side in window]
            if len(sides) == 4 and all(isinstance(side, slice) and side.step in (None, 1) for side in sides):
                found.append([[int(side.start), int(side.stop)] for side in sides])
                continue
        return f"returned {str(pair)[:80]} as a tile"
    return shift + np.clip(np.array(found, dtype=np.int64), -(10**6), 10**6).reshape(-1, 2, 2, 2)


def _tiles_of(evidence, expected, name):
    """(outer, inner, case, None), windows as (n, 2, 2) each; or with the sentence that there are none."""
    found, case = evidence.get(name), [int(value) for value in expected[f"{name}: case"]]
    call = f"tiles({', '.join(map(str, case))})"
    if isinstance(found, np.ndarray):
        if found.size == 0 or found.dtype != np.int64 or found.shape[1:] != (2, 2, 2) or len(found) > MOST_TILES:
            return None, None, case, f"{call} gave no tile at all"
        windows = np.clip(found, -2 * 10**9, 2 * 10**9) - expected["shift"]
        return windows[:, 0], windows[:, 1], case, None
    sentence = trouble(found, call, "pairs (outer, inner) of windows, each a pair of slices")
    return None, None, case, sentence or f"{call}: pairs (outer, inner) are expected"


def within_problem(evidence, expected, name="wide"):
    outer, inner, (height, width, tile, halo), sentence = _tiles_of(evidence, expected, name)
    if sentence:
        return sentence
    windows, size = np.concatenate([outer, inner]), np.array([height, width])
    if windows.min() >= 0 and (windows[..., 1] <= size).all() and (windows[..., 0] < windows[..., 1]).all():
        return None
    ends = tuple(int(end) for end in windows[..., 1].max(axis=0))
    call = f"tiles({height}, {width}, {tile}, {halo})"
    if windows.min() < 0:
        return f"{call}: a window begins at {windows.min()}, where no pixel is: end the halo at the image, max(..., 0)"
    if ends == (width, height):
        return f"{call} reaches row {ends[0]} and column {ends[1]}: are rows and columns swapped?"
    if (windows[..., 1] > size).any():
        own = "an inner" if (inner[..., 1] > size).any() else "an outer"
        return f"{call}: {own} window ends at row {ends[0]}, column {ends[1]}, beyond the image: end it there with min"
    return f"{call}: a window holds no pixel; each should begin before it ends"


def _cover(windows, height, width):
    """How many of the windows, (n, 2, 2), hold each pixel: (height, width)."""
    times = np.zeros((height, width), np.int64)
    for (top, bottom), (left, right) in np.maximum(windows, 0):
        times[top:bottom, left:right] += 1
    return times


def cover_problem(evidence, expected, name="wide"):
    outer, inner, (height, width, tile, halo), sentence = _tiles_of(evidence, expected, name)
    if sentence:
        return sentence
    times = _cover(inner, height, width)
    size = inner[..., 1] - inner[..., 0]
    if (times == 1).all() and (inner[..., 1] <= (height, width)).all():
        if size.max() <= tile:
            return None
        return f"an inner window is {size[:, 0].max()} x {size[:, 1].max()} pixels, expected at most {tile} x {tile}"
    within = (outer[..., 0] >= inner[..., 0]).all() and (outer[..., 1] <= inner[..., 1]).all()
    if within and (_cover(outer, height, width) == 1).all():
        return "the windows are there but the inner one comes first, expected is the pair (outer, inner)"
    if (inner[..., 1] > (height, width)).any() and (times == 1).all():
        return "an inner window ends beyond the image: end it there, min(top + tile, height), and columns alike"
    if (times == 0).any():
        return f"{(times == 0).sum()} pixels are in no inner window{_missing_cause(times, inner, tile, halo)}"
    cause = "inner windows end where the next begins; only outer ones overlap"
    return f"{(times > 1).sum()} pixels are in more than one inner window: {cause}"


def _missing_cause(times, inner, tile, halo):
    """Why some pixels are in no inner window; times: (height, width), in how many each is."""
    height, width = times.shape
    if len(inner) > 1 and inner[..., 0].max() <= halo:
        return ": all begin near the corner. Places are counted in the image"
    if (_cover(inner + np.array([0, 1]), height, width) == 1).all():
        return ": a slice stops before its end, so it ends at top + tile"
    if min(height, width) >= tile and (times[: height // tile * tile, : width // tile * tile] == 1).all():
        return ": the last tile of a row or column is smaller, and it is lost"
    row, column = (int(place) for place in np.argwhere(times == 0)[0])
    return f", the first at row {row}, column {column}: do the tiles adjoin?"


def halo_problem(evidence, expected, name="wide"):
    outer, inner, (height, width, _, halo), sentence = _tiles_of(evidence, expected, name)
    if sentence:
        return sentence
    start, stop = inner[..., 0], inner[..., 1]
    if start.min() < 0 or (start >= (height, width)).any() or (stop <= start).any():
        return "an inner window holds no pixel of the image: get the inner windows right, then look again"
    low, high = np.maximum(start - halo, 0), np.minimum(stop + halo, (height, width))
    wanted = np.stack([low, high], axis=-1)
    wrong = (outer != wanted).any(axis=(1, 2))
    if not wrong.any():
        return None
    if (outer == inner).all():
        return f"the outer window is the inner one, expected {halo} more pixels on each side: is the halo missing?"
    if (outer[..., 0] == low).all() and (outer[..., 1] == stop).all():
        return "the halo is there at the top and left, expected at the bottom and right as well"
    first = int(wrong.argmax())
    (top, bottom), (begin, end) = wanted[first, 0], outer[first, 0]
    axis = "rows"
    if (top, bottom) == (begin, end):
        (top, bottom), (begin, end), axis = wanted[first, 1], outer[first, 1], "columns"
    own = inner[first, int(axis == "columns")]
    return f"the outer window around {axis} {own[0]}:{own[1]} is {begin}:{end}, expected {top}:{bottom} (halo {halo})"


def _all_of_it(name):
    """The claim that all the rest holds for another case too."""

    def problem(evidence, expected):
        height, width, tile, halo = (int(value) for value in expected[f"{name}: case"])
        for part in (within_problem, cover_problem, halo_problem):
            sentence = part(evidence, expected, name)
            if sentence:
                call = f"tiles({height}, {width}, {tile}, {halo})"
                return sentence if sentence.startswith("tiles(") else f"{call}: {sentence}"
        return None

    return problem


TILES = Exercise(
    name="tiles",
    lesson="05_dncnn",
    answer="tiles",
    reference="course_utils.inference:tiles",
    probe=probe_tiles,
    claims=(
        claim("all windows are pairs of slices within the image", within_problem),
        claim("the inner windows, at most tile x tile, cover every pixel once", cover_problem, points=2),
        claim("the outer window is the inner one and a halo, as far as the image reaches", halo_problem, points=2),
        claim("a tile larger than the image is cut down to it", _all_of_it("small")),
        claim("without a halo the two windows are equal", _all_of_it("exact")),
        claim("the same holds for images of other sizes", _all_of_it("others"), hidden=True),
    ),
    hints=(
        "Two loops, one over the rows where a tile begins and one over the columns: range(0, height, tile) has them.",
        "A tile ends at min(top + tile, height). The outer window begins at max(top - halo, 0) and ends at the tile's "
        "end and a halo, but not beyond the image; columns alike.",
        "bottom = min(top + tile, height); rows = slice(top, bottom); outer_rows = slice(max(top - halo, 0), "
        "min(bottom + halo, height)); the same for columns; then yield (outer_rows, outer_columns), (rows, columns).",
    ),
)

EXERCISES = (MATCH_PAIRS, RANDOM_PATCH, DNCNN, RESIDUAL_LOSS, TRAIN_STEP, BEST_STEP, TILES)
