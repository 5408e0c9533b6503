"""What lesson 4 asks: the table of JPEG, what JPEG does to a block, PSNR-B, and ARCNN."""

import math

import numpy as np

from course_utils.exercises import Exercise
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

# --- quantisation_table ---

GROUPS = {"below 50": (13, 50), "from 50": (50, 97), "others": (1, 101)}  # name -> qualities: from, up to but not


def probe_quantisation_table(answer, rng):
    """Ask for the tables of qualities below 50, of others from 50 on, of the highest and lowest, and of any."""
    qualities = {name: rng.choice(np.arange(*ends), 10, replace=False) for name, ends in GROUPS.items()}
    qualities["limits"] = np.concatenate([rng.choice(np.arange(1, 13), 6, replace=False), rng.permutation([98, 99])])
    evidence = {f"{name}: qualities": each for name, each in qualities.items()}
    with undisturbed(rng):
        for name, each in qualities.items():
            ask(evidence, name, lambda each=each: _tables(answer, each))
    return evidence


def _tables(answer, qualities):
    """The tables of these qualities, (n, 8, 8); or a text that says what came in place of one."""
    tables = []
    for quality in qualities:
        table = array(answer(int(quality)))
        if isinstance(table, str) or table.shape != (8, 8):
            return table if isinstance(table, str) else f"returned a table of shape {table.shape}"
        tables.append(table)
    return np.stack(tables).astype(np.float64)


def standard_table():
    """The table of ITU-T T.81, annex K."""
    from course_utils.degrade.jpeg import LUMA_TABLE

    return LUMA_TABLE.numpy()


def scaled_tables(quality):
    """What the usual mistakes make of a table: [(table, cause), ...]."""
    base = standard_table()
    scale, other = 5000 // quality if quality < 50 else 200 - 2 * quality, 5000 // quality
    if quality < 50:
        other = 200 - 2 * quality
    limited = lambda percent, table=base: np.clip((percent * table + 50) // 100, 1, 255)
    return [
        (base, "that is the table itself, of quality 50; it is to be scaled by the quality"),
        (
            limited(other),
            "is the other formula taken? 5000 // quality is for qualities below 50, 200 - 2 * quality else",
        ),
        (np.clip(scale * base, 1, 255), "the scale is in per cent: divide by 100"),
        (np.clip(scale * base + 50, 1, 255), "the scale is in per cent: divide by 100"),
        (limited(scale, base.T), "rows and columns are swapped"),
        (limited(quality), "is the quality itself taken for the scale?"),
        (np.clip(100 * base // max(scale, 1), 1, 255), "the table is multiplied by the scale, not divided by it"),
    ]


def _tables_problem(name, far=1.01):
    """The claim that the tables of these qualities are right but for roundings (far=1.01), or right."""

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        strange = trouble(found, "quantisation_table", "a table of 8 x 8 numbers")
        if strange or found.shape != wanted.shape:
            return strange or f"the tables have the shape {found.shape[1:]}, expected (8, 8)"
        for quality, one, right in zip(expected[f"{name}: qualities"], found, wanted, strict=True):
            if agrees(one, right, rtol=0, atol=far):
                continue
            place = np.unravel_index(int(np.argmax(np.where(np.isfinite(one), np.abs(one - right), np.inf))), (8, 8))
            at = f"quality {quality}, row {place[0]}, column {place[1]}: {one[place]:g}, expected {right[place]:g}"
            return f"{at}: {likely(one, scaled_tables(int(quality)), _rounding_cause(one, right, int(quality)))}"
        return None

    return problem


def _rounding_cause(found, wanted, quality):
    base, scale = standard_table(), 5000 // quality if quality < 50 else 200 - 2 * quality
    exact = 5000 / quality if quality < 50 else scale
    causes = [
        (scale * base / 100, "round it to whole numbers: add 50, then // 100"),
        (np.clip(scale * base / 100, 1, 255), "round it to whole numbers: add 50, then // 100"),
        (np.clip((scale * base) // 100, 1, 255), "it is rounded down; add 50 before you divide by 100"),
        (np.clip(np.ceil(scale * base / 100), 1, 255), "it is rounded up; to the nearest: add 50, then // 100"),
        (np.clip((exact * base + 50) // 100, 1, 255), "the scale is a whole number too: 5000 // quality, with //"),
        (np.clip((scale * base + 50) // 100, None, 255), "no number is less than 1: nothing can be divided by 0"),
        ((scale * base + 50) // 100, "no number is more than 255, or less than 1: clamp(1, 255)"),
        (np.clip((scale * base + 50) // 100, 1, None), "no number is more than 255, or less than 1: clamp(1, 255)"),
        (np.clip((scale * base + 50) // 100, 0, 255), "no number is less than 1: nothing can be divided by 0"),
        (np.clip((scale * base + 50) // 100, 1, found.max()), f"the limit is 255, not {found.max():g}: clamp(1, 255)"),
        (np.clip((scale * base + 50) // 100, found.min(), 255), f"the limit is 1, not {found.min():g}: clamp(1, 255)"),
    ]
    return likely(found, causes, "is it (scale * LUMA_TABLE + 50) // 100, then between 1 and 255?")


def whole_problem(evidence, expected):
    return _tables_problem("below 50", 1e-6)(evidence, expected) or _tables_problem("from 50", 1e-6)(evidence, expected)


def limits_problem(evidence, expected):
    """Nothing below 1 or above 255, and these two where the scaled number is beyond them; roundings do not count."""
    found, wanted = evidence.get("limits"), expected["limits"]
    strange = trouble(found, "quantisation_table", "a table of 8 x 8 numbers")
    if strange or found.shape != wanted.shape:
        return strange or f"the tables have the shape {found.shape[1:]}, expected (8, 8)"
    qualities = [int(quality) for quality in expected["limits: qualities"]]
    exact = np.stack([(5000 // q if q < 50 else 200 - 2 * q) * standard_table() / 100 for q in qualities])
    beyond = (exact < 1) | (exact >= 256)  # rounding it up or down makes no difference here
    at = lambda wrong, cause: _first_place(wrong, found, wanted, qualities, cause)
    return (
        at(~(found >= 1), "no number is less than 1: nothing can be divided by 0")
        or at(~(found <= 255), "no number is more than 255, one byte: clamp(1, 255)")
        or _tables_problem("limits")(evidence, expected)
        or at(beyond & (found != wanted), "what is beyond the limits becomes 1 or 255 itself: clamp(1, 255)")
    )


def _first_place(wrong, found, wanted, qualities, cause):
    """The sentence about the first number that is wrong, or None; wrong: bool (n, 8, 8)."""
    if not wrong.any():
        return None
    i, row, column = np.argwhere(wrong)[0]
    at = f"quality {qualities[i]}, row {row}, column {column}"
    return f"{at}: {found[i, row, column]:g}, expected {wanted[i, row, column]:g}: {cause}"


QUANTISATION_TABLE = Exercise(
    name="quantisation_table",
    lesson="04_arcnn",
    answer="quantisation_table",
    reference="course_utils.degrade.jpeg:quantisation_table",
    probe=probe_quantisation_table,
    claims=(
        claim("below quality 50 the scale is 5000 // quality per cent", _tables_problem("below 50")),
        claim("from 50 on it is 200 - 2 * quality per cent", _tables_problem("from 50")),
        claim("all is rounded as libjpeg does it, in whole numbers", whole_problem, points=2),
        claim("no number is below 1 or above 255", limits_problem),
        claim("the same holds for any other quality", _tables_problem("others", 1e-6), hidden=True),
    ),
    hints=(
        "First the scale, one number from the quality, with `if` and `else`; then the whole table at once.",
        "With // a division gives whole numbers: 5000 // quality. (scale * LUMA_TABLE + 50) // 100 rounds to the "
        "nearest. A tensor has the method clamp(smallest, largest).",
        "scale = 5000 // quality if quality < 50 else 200 - 2 * quality; and then return ((scale * LUMA_TABLE + ...) "
        "// ...).clamp(..., ...) with the right numbers in place of the dots.",
    ),
)

# --- quantise_blocks ---


def probe_quantise_blocks(answer, rng):
    """Ask for JPEG of an image of flat blocks, of a grey one, of black and white, of a good quality, of a batch."""
    import torch

    coarse, fine = int(rng.choice([7, 9, 11, 12, 14, 17, 18])), int(rng.integers(80, 94))
    table, fine_table = _table_of(coarse), _table_of(fine)
    middle = rng.uniform(0.35, 0.65, (1, 16, 24))
    grades = middle + 0.15 * np.linspace(-1, 1, 24) * rng.choice([-1, 1])  # not the same turned over
    images = {
        "flat": _flat_blocks(rng, table),
        "grey": _off_halves(grades, table),
        "fine": _off_halves(rng.uniform(0.1, 0.9, (1, 16, 16)), fine_table),
        "black and white": _off_halves(rng.choice([0.06, 0.94], (1, 24, 16)), table),
        "batch": _off_halves(rng.uniform(0.2, 0.8, (2, 1, 21, 13)), table, padded=True),
    }
    evidence = {"coarse": coarse, "fine quality": fine} | {f"{name}: image": each for name, each in images.items()}
    with undisturbed(rng):
        for name, image in images.items():
            y = torch.from_numpy(image.copy())
            ask(evidence, name, lambda y=y, name=name: array(answer(y, fine if name == "fine" else coarse)))
    return evidence


def _table_of(quality):
    from course_utils.degrade.jpeg import quantisation_table

    return quantisation_table(quality).numpy().astype(np.float64)


def _waves():
    from course_utils.degrade.jpeg import dct_matrix

    return dct_matrix().numpy()


def _flat_blocks(rng, table):
    """(1, 8, 64) float32, each block of one grey that is not halfway between two steps, with or without a shift."""
    greys = rng.uniform(0.02, 0.98, 400)
    steps = [(8 * 255 * greys - shift) / table[0, 0] for shift in (0, 8 * 128)]
    clear = np.all([np.abs(each - np.floor(each) - 0.5) > 0.1 for each in steps], axis=0)
    greys = greys[clear & (np.round(steps[0]) * table[0, 0] < 8 * 250) & (np.round(steps[0]) > 0)][:8]
    return np.repeat(np.repeat(greys[None, None], 8, axis=1), 8, axis=2).astype(np.float32)


def _blocks(image):
    """(..., H, W), repeated at the right and below until 8 divides them -> (..., rows, columns, 8, 8)."""
    height, width = image.shape[-2:]
    room = [(0, 0)] * (image.ndim - 2) + [(0, -height % 8), (0, -width % 8)]
    padded = np.pad(image.astype(np.float64), room, mode="edge")
    rows, columns = padded.shape[-2] // 8, padded.shape[-1] // 8
    return padded.reshape(*image.shape[:-2], rows, 8, columns, 8).swapaxes(-3, -2)


def _image(blocks, height, width):
    rows, columns = blocks.shape[-4:-2]
    return blocks.swapaxes(-3, -2).reshape(*blocks.shape[:-4], 8 * rows, 8 * columns)[..., :height, :width]


def _off_halves(image, table, padded=False):
    """The image a little changed, float32: no frequency is near the middle between two steps; all round it alike."""
    waves, size = _waves(), image.shape[-2:]
    for _ in range(30 if padded else 2):  # what is repeated at the edge cannot be chosen freely
        steps = waves @ (255 * _blocks(image) - 128) @ waves.T / table
        near = np.round(steps)
        blocks = waves.T @ ((near + 0.8 * (steps - near)) * table) @ waves
        image = np.clip(_image((blocks + 128) / 255, *size), 0, 1)
    return image.astype(np.float32)


def rounded_blocks(image, quality, shift=128, back=128, full=255, rounding=np.round, flip=False, one=False, **kept):
    """JPEG of a grey image, in NumPy, with or without one of the usual mistakes; not clipped.

    kept: undo=False leaves out the multiplication with the table, transform=False the inverse transform;
    table=False takes the table by columns.
    """
    table, waves = _table_of(quality), _waves()
    table = table if kept.get("table", True) else table.T
    waves = waves.T if flip else waves
    across = np.eye(8) if one else waves
    frequencies = rounding(waves @ (full * _blocks(image) - shift) @ across.T / table)
    frequencies = frequencies * table if kept.get("undo", True) else frequencies
    blocks = waves.T @ frequencies @ across if kept.get("transform", True) else frequencies
    return _image((blocks + back) / full, *image.shape[-2:])


MISTAKES = (  # (what rounded_blocks gets, cause)
    ({"shift": 0, "back": 0}, "are 128 grey levels subtracted before the transform, and added after it?"),
    ({"shift": 0}, "128 is added at the end, but not subtracted at the beginning"),
    ({"back": 0}, "128 is subtracted at the beginning, but not added at the end"),
    (
        {"full": 1, "shift": 0.5, "back": 0.5},
        "the table is for grey levels of 0 to 255: multiply the image by 255 first",
    ),
    ({"full": 1, "shift": 0, "back": 0}, "the table is for grey levels of 0 to 255: multiply the image by 255 first"),
    ({"rounding": np.floor}, "the frequencies are rounded down; take the nearest whole number, round()"),
    ({"rounding": np.trunc}, "the frequencies are rounded towards 0; take the nearest whole number, round()"),
    ({"rounding": np.asarray}, "that is the image as it was: are the frequencies rounded?"),
    ({"undo": False}, "are the rounded frequencies multiplied by the table again?"),
    ({"transform": False}, "the inverse transform is missing: D.T @ frequencies @ D"),
    ({"one": True}, "only one direction is transformed; it takes D on the left and D.T on the right"),
    ({"flip": True}, "D and D.T are swapped: D @ blocks @ D.T goes to frequencies, D.T @ ... @ D back"),
    ({"table": False}, "are rows and columns of the table, or of the blocks, swapped?"),
)


def _rounded_problem(name, what, default):
    """The claim that JPEG of this image is right, at each pixel within 0.0005."""

    def problem(evidence, expected):
        found, wanted, image = evidence.get(name), expected[name], expected[f"{name}: image"]
        if isinstance(found, str) and ("scalar type" in found or "same dtype" in found):  # what @ and einsum say
            return f"{what}: {PRECISION}"
        strange = trouble(found, f"quantise_blocks of {what}", "an image")
        if strange:
            return strange
        if found.shape != wanted.shape:
            return f"{what} comes back with the shape {found.shape}, expected {wanted.shape}, that of the image"
        if agrees(found, wanted, rtol=0, atol=5e-4):
            return None
        if not np.isfinite(found).all():
            return f"{what} comes back with NaN or infinity"
        found = found.astype(np.float64)
        off, ragged = 255 * np.abs(found - wanted).max(), 255 * np.abs(found - found[..., :1, :]).max() > 0.01
        default_cause = FLAT if name == "flat" and ragged else default
        cause = likely(found, _causes(image, name, expected), default_cause)
        if off < 0.51 and agrees(255 * found, np.round(255 * found), rtol=0, atol=1e-3):
            cause = "it is rounded to 256 levels; leave the result as it is"
        return f"{what} is off by up to {off:.1f} grey levels from what JPEG makes of it: {cause}"

    return problem


def _causes(image, name, expected):
    """[(image, cause), ...], each mistake with and without the clipping at the end."""
    quality, other = (expected[each] for each in ("coarse", "fine quality"))
    quality, other = (other, quality) if name == "fine" else (quality, other)
    right, scaled = rounded_blocks(image, quality), "divide by 255 at the end: images here go from 0 to 1"
    causes = [
        (255 * right, scaled),
        (np.clip(255 * right, 0, 1), scaled),
        (rounded_blocks(image, other), "is the quality a fixed number in your code?"),
        (rounded_blocks(image, 50), "is it the table of quality 50, whatever the quality is?"),
        (right, "it leaves [0, 1]; clip it with clamp(0, 1) at the end"),
    ]
    for mistake, cause in MISTAKES:
        made = rounded_blocks(image, quality, **mistake)
        causes += [(made, cause), (np.clip(made, 0, 1), cause)]
    return causes


PRECISION = (
    "@ does not mix single and double precision. Begin with D = dct_matrix(), double as the blocks of to_blocks are; "
    "or give all of them one precision, with .double()"
)
FLAT = "the blocks are no longer flat. Are the frequencies rounded to the nearest whole number, with round()?"
DEFAULT = "transform, divide by the table, round, multiply by the table, transform back"

QUANTISE_BLOCKS = Exercise(
    name="quantise_blocks",
    lesson="04_arcnn",
    answer="quantise_blocks",
    reference="course_utils.degrade.jpeg:quantise_blocks",
    probe=probe_quantise_blocks,
    claims=(
        claim(
            "a flat block stays flat, at the nearest step of its mean",
            _rounded_problem("flat", "a row of flat blocks", DEFAULT),
        ),
        claim(
            "every frequency is rounded to a multiple of its number in the table",
            _rounded_problem("grey", "a grey image", DEFAULT),
            points=3,
        ),
        claim(
            "a better quality changes less",
            _rounded_problem("fine", "an image at a good quality", "is the quality used?"),
        ),
        claim(
            "the result is clipped to [0, 1]",
            _rounded_problem("black and white", "an image of black and white", DEFAULT),
        ),
        claim(
            "the same holds for a batch, and where 8 does not divide the sides",
            _rounded_problem("batch", "a batch of odd size", "are height and width those of the image?"),
            points=2,
            hidden=True,
        ),
    ),
    hints=(
        "Write the six steps of the text below each other, one line each. `blocks` has many axes; the matrix product "
        "@ works on the last two, all blocks at once.",
        "Grey levels around 0: 255 * to_blocks(y) - 128. To frequencies: D @ blocks @ D.T with D = dct_matrix(). "
        "Divide by quantisation_table(quality), .round(), multiply by it again; D.T @ frequencies @ D is the way back.",
        "table, D = quantisation_table(quality), dct_matrix(); frequencies = D @ (255 * to_blocks(y) - 128) @ D.T; "
        "frequencies = (frequencies / table).round() * table; then back, + 128, / 255, from_blocks with the height "
        "and width of y, clamp(0, 1).",
    ),
)

# --- psnr_b ---


def probe_psnr_b(answer, rng):
    """Ask for the PSNR-B of images with blocks, wide and high, of one that is smoother there, of a batch, in colour."""
    import torch

    high, wide = (int(side) for side in rng.integers([25, 45], [30, 60]))
    shapes = {"wide": (1, high, wide), "high": (1, wide + 3, high), "others": (2, 3, high + 5, high + 1)}
    images = {name: _blocky(rng, shape) for name, shape in shapes.items()}
    images["smooth"] = _smooth_at_boundaries(rng, (1, high, high + 9))
    one, other = _blocky(rng, (2, 1, high, high)), _smooth_at_boundaries(rng, (2, 1, high, high))
    images["batch"] = tuple(np.concatenate(pair)[[0, 2, 3, 1]] for pair in zip(one, other, strict=True))
    evidence = {}
    for name, (restored, clean) in images.items():
        evidence |= {f"{name}: restored": restored, f"{name}: clean": clean}
    with undisturbed(rng):
        for name, (restored, clean) in images.items():
            y, x = torch.from_numpy(restored.copy()), torch.from_numpy(clean.copy())
            ask(evidence, name, lambda y=y, x=x: number(answer(y, x)))
    return evidence


def _blocky(rng, shape):
    """(restored, clean): blocks of random greys upon noise; and an original with weaker blocks."""
    rows, columns = -(-shape[-2] // 8), -(-shape[-1] // 8)
    greys = rng.uniform(-1, 1, (*shape[:-2], rows, columns)).repeat(8, axis=-2).repeat(8, axis=-1)
    greys = greys[..., : shape[-2], : shape[-1]]
    strength = rng.uniform(0.08, 0.16, (*shape[:-3], 1, 1, 1))
    clean = 0.5 + 0.05 * greys + 0.02 * rng.standard_normal(shape)
    restored = clean + strength * greys + 0.03 * rng.standard_normal(shape)
    return tuple(np.clip(image, 0, 1).astype(np.float32) for image in (restored, clean))


def _smooth_at_boundaries(rng, shape):
    """(restored, clean): noise, but pixels on both sides of a boundary are nearly equal in the restored image."""
    clean = 0.5 + 0.06 * rng.standard_normal(shape)
    restored = clean + rng.uniform(0.04, 0.08) * rng.standard_normal(shape)
    for axis in (-2, -1):
        firsts = np.arange(8, shape[axis], 8)
        moved = np.moveaxis(restored, axis, -1)  # a view
        moved[..., firsts] = moved[..., firsts - 1] + 0.01 * rng.standard_normal(moved[..., firsts].shape)
    return tuple(np.clip(image, 0, 1).astype(np.float32) for image in (restored, clean))


def boundary_means(image):
    """(D_B, D_C) of an image (C, H, W), in float64, and the sums of the squares."""
    squares, at = [], []
    for axis in (-2, -1):
        each = np.moveaxis(np.square(np.diff(image.astype(np.float64), axis=axis)), axis, -1)
        squares.append(each.ravel())
        at.append(np.broadcast_to(np.arange(1, each.shape[-1] + 1) % 8 == 0, each.shape).ravel())
    squares, at = np.concatenate(squares), np.concatenate(at)
    return squares[at].mean(), squares[~at].mean(), squares[at].sum(), squares[~at].sum()


def decibels(error):
    """The PSNR of a mean squared error; NaN where there is no such thing."""
    return 10 * np.log10(1 / error) if error > 0 else math.nan


def _blocky_causes(restored, clean):
    """[(value, cause), ...] for one image, (C, H, W)."""
    mse = np.square(restored.astype(np.float64) - clean).mean()
    boundary, elsewhere, boundary_sum, elsewhere_sum = boundary_means(restored)
    of_clean, beside_clean, *_ = boundary_means(clean)
    height, width = clean.shape[-2:]
    eta, bef = 3 / math.log2(min(height, width)), boundary - elsewhere
    with_eta = lambda eta: decibels(mse + eta * max(bef, 0))
    lesser = [
        (with_eta(3 / math.log2(height)), "the smaller of height and width sets eta, not always the height"),
        (
            with_eta(3 / math.log2(width)),
            "the smaller of height and width sets eta, not the larger, nor always the width",
        ),
    ]
    return [
        (decibels(mse), "that is the PSNR; the edges of the blocks are to lower it"),
        (
            decibels(mse + eta * (of_clean - beside_clean)),
            "that looks at the blocks of the original; BEF is of the restored image",
        ),
        (with_eta(1), "is eta missing? It is log2(8) / log2(min(H, W))"),
        (with_eta(1 / eta), "eta is turned round: log2(8) goes above, log2(min(H, W)) below"),
        (with_eta(8 / min(height, width)), "are the logarithms missing? eta = log2(8) / log2(min(H, W))"),
        (with_eta(math.log2(8 / min(height, width))), "eta is a quotient of two logarithms, not the logarithm of one"),
        *[each for each in lesser if not agrees(each[0], with_eta(eta))],
        (decibels(mse + eta * boundary), "is D_C left out? Only what D_B has more than D_C counts"),
        (decibels(mse + eta * (boundary_sum - elsewhere_sum)), "D_B and D_C are means, not sums"),
        (decibels(mse + eta * max(boundary_sum - elsewhere_sum, 0)), "D_B and D_C are means, not sums"),
        (decibels(mse + eta * boundary_sum), "D_B and D_C are means, not sums"),
        (decibels(mse - eta * bef), "BEF is added to the MSE, not taken from it"),
        (decibels(mse + 255**2 * eta * bef), "BEF and MSE need one range of values, 0 to 1 for both"),
        (decibels(mse) - eta * bef, "BEF is added to the MSE, before the logarithm, not taken from the decibels"),
        (decibels(mse) + decibels(eta * bef), "BEF is added to the MSE, before the logarithm"),
        (mse + eta * bef, "that is MSE-B itself; take 10 * log10(1 / MSE-B)"),
        (-with_eta(eta), "log10(MSE-B) in place of log10(1 / MSE-B) turns the sign"),
    ]


def _psnr_b_problem(name, what, default):
    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted, rtol=0, atol=1e-3):
            return None
        restored, clean = expected[f"{name}: restored"], expected[f"{name}: clean"]
        several = restored.ndim == 4
        strange = _several_numbers(found, wanted) if several else None
        strange = strange or trouble(found, f"psnr_b of {what}", "one number")
        causes = _batch_causes(restored, clean) if several else _blocky_causes(restored, clean)
        of_one = several and any(single(evidence, expected) for single in SINGLE_IMAGES)
        cause = likely(found, causes, "psnr_b of one image is not right yet, so mend that first" if of_one else default)
        if isinstance(found, float) and math.isnan(found):
            return strange or f"{what}: NaN, expected {wanted:.2f} dB: BEF is added to the MSE, and never below 0"
        return strange or f"{what}: {found:.2f} dB, expected {wanted:.2f} dB: {cause}"

    return problem


def _several_numbers(found, wanted):
    if isinstance(found, str) and found.startswith("returned a Tensor of shape ("):
        return f"a batch gave {found[11:]}, expected one number ({wanted:.2f} dB): take the mean over the images"
    return None


def _batch_causes(restored, clean):
    mses = np.square(restored.astype(np.float64) - clean).mean(axis=(1, 2, 3))
    eta = 3 / math.log2(min(clean.shape[-2:]))
    means = np.array([boundary_means(image)[:2] for image in restored])
    befs = eta * (means[:, 0] - means[:, 1])
    positive = np.maximum(befs, 0)
    each = np.array([decibels(value) for value in mses + positive])
    common = "that is one PSNR-B of all the images together; take that of each image, and the mean last"
    return [
        (decibels(mses.mean() + positive.mean()), common),
        (decibels(mses.mean() + max(befs.mean(), 0)), common),
        (
            np.mean([decibels(value) for value in mses + max(befs.mean(), 0)]),
            "take D_B and D_C of each image, not of the batch",
        ),
        (
            np.mean([decibels(value) for value in mses.mean() + positive]),
            "take the MSE of each image, not of the batch",
        ),
        (
            np.mean([decibels(value) for value in mses + befs]),
            "an image whose D_B is the smaller one has BEF 0, not less",
        ),
        (each.sum(), "that is the sum over the images; take the mean"),
        (each[0], "that is the first image alone"),
    ]


def smooth_problem(evidence, expected):
    found, wanted = evidence.get("smooth"), expected["smooth"]
    if agrees(found, wanted, rtol=0, atol=1e-3):
        return None
    restored, clean = expected["smooth: restored"], expected["smooth: clean"]
    mse, (boundary, elsewhere, *_) = np.square(restored.astype(np.float64) - clean).mean(), boundary_means(restored)
    eta = 3 / math.log2(min(clean.shape[-2:]))
    causes = [
        (decibels(mse + eta * (boundary - elsewhere)), "BEF is 0 where D_B is the smaller one, never below"),
        (decibels(mse + eta * abs(boundary - elsewhere)), "BEF is 0 where D_B is the smaller one; it is no distance"),
        (decibels(mse + eta * boundary), "BEF is 0 where D_B is not larger than D_C"),
    ]
    what = "an image that is smoother at the boundaries than elsewhere"
    strange = trouble(found, f"psnr_b of {what}", "one number")
    if isinstance(found, float) and math.isnan(found):
        return f"{what}: NaN, expected its PSNR, {wanted:.2f} dB: BEF is 0 where D_B is the smaller one, never below"
    return strange or f"{what}: {found:.2f} dB, expected its PSNR, {wanted:.2f} dB: {likely(found, causes, 'BEF is 0')}"


wide_problem = _psnr_b_problem("wide", "a wide image with blocks", "is MSE-B = MSE + eta * (D_B - D_C)?")
high_problem = _psnr_b_problem("high", "a high image with blocks", "is eta log2(8) / log2(min(H, W))?")
SINGLE_IMAGES = (wide_problem, high_problem, smooth_problem)

PSNR_B = Exercise(
    name="psnr_b",
    lesson="04_arcnn",
    answer="psnr_b",
    reference="course_utils.metrics:psnr_b",
    probe=probe_psnr_b,
    claims=(
        claim("the edges of blocks count as errors", wide_problem, points=2),
        claim("the smaller side sets eta", high_problem),
        claim("where the boundaries are smoother than the rest it is the PSNR", smooth_problem),
        claim(
            "of a batch it is the mean over the images",
            _psnr_b_problem(
                "batch", "a batch of 4 images", "take all means over one image, then the mean over the images"
            ),
            points=2,
        ),
        claim(
            "the same holds in colour and for other sizes",
            _psnr_b_problem("others", "two colour images", "the number of colours and images should not matter"),
            hidden=True,
        ),
    ),
    hints=(
        "neighbour_differences(restored) gives two tensors with a row for each image: take the mean of each row, "
        ".mean(dim=1). These are D_B and D_C.",
        "eta = math.log2(8) / math.log2(min(H, W)), with clean.shape[-2:] for H and W. (D_B - D_C).clamp(min=0) is 0 "
        "where D_B is smaller. MSE as in lesson 0: one number for each image.",
        "mse = (restored - clean).square().mean(dim=(1, 2, 3)); bef = eta * (boundary - elsewhere).clamp(min=0); then "
        "return (10 * torch.log10(1 / (...))).mean().item() with the right sum in place of the dots.",
    ),
)

# --- arcnn ---


def probe_arcnn(answer, rng):
    """Look at networks for any number of channels, at a new one, and at ones with weights from rng."""
    import torch

    seed = int(rng.integers(2**32))
    image = rng.uniform(0, 1, (2, 3, 15, 13)).astype(np.float32)
    grey_image = rng.uniform(0, 1, (1, 1, 14, 17)).astype(np.float32)
    channels = rng.choice(np.arange(4, 60), 2, replace=False)
    modes = rng.permutation(["zeros", "replicate"])
    any_sizes = [{"channels": int(c), "padding_mode": str(mode)} for c, mode in zip(channels, modes, strict=True)]
    evidence = {"image": image} | {f"channels {i}": each["channels"] for i, each in enumerate(any_sizes)}
    colour, grey = lambda **options: answer(**options), lambda: answer(channels=1, padding_mode="replicate")
    with undisturbed(rng), torch.no_grad():
        y, one = torch.from_numpy(image.copy()), torch.from_numpy(grey_image)
        ask(evidence, "parameters", lambda: count_parameters(answer()))
        ask(evidence, "grey parameters", lambda: count_parameters(answer(channels=1)))
        for i, arguments in enumerate(any_sizes):
            ask_about_size(evidence, i, lambda arguments=arguments: answer(**arguments))
        ask(evidence, "start", lambda: _start(colour().eval(), y))
        ask(evidence, "grey start", lambda: _start(grey().eval(), one))
        ask(evidence, "layers", lambda: names_of_layers(colour(), y))
        ask(evidence, "output", lambda: array(filled(colour(), y, seed)(y.clone())))
        ask(evidence, "restored", lambda: array(filled(colour(), y, seed).restore(y.clone())))
        ask(evidence, "replicate", lambda: array(filled(colour(padding_mode="replicate"), y, seed)(y.clone())))
        ask(evidence, "grey", lambda: array(filled(grey(), one, seed)(one.clone())))
    return evidence


def _start(network, image):
    """How a new network starts; what it gives, where that is no image of this size.

    Returns:
        "off": how far each channel of its output is from its input; "set": how many maps of each convolution but the
        last do not start at random; "handing": how many convolutions hand their first maps on. All of it on top of a
        number that is known from this image alone.
    """
    import torch

    output, beside = network(image.clone()), float(image.mean())
    if getattr(output, "shape", None) != image.shape:
        return described(output)
    layers, channels = layers_at_work(network, image), image.shape[1]
    layers = [each for each in layers if getattr(getattr(each, "weight", None), "ndim", 0) == 4]
    fixed = [beside + int(((each.weight != 0).flatten(1).float().mean(1) <= 0.5).sum()) for each in layers[:-1]]
    handing = 0
    for each in layers:
        first = each.weight[:channels]
        on = torch.equal(first, torch.nn.init.dirac_(torch.empty_like(first)))
        handing += on and (each.bias is None or not each.bias[:channels].any())
    off = [largest(output[:, c] - image[:, c], beside) for c in range(channels)]
    return {"off": np.array(off), "set": np.array(fixed), "handing": beside + handing}


COUNTS = {  # what mistakes do to the number of parameters of ARCNN()
    -112: "do the PReLUs lack their slopes? nn.PReLU(64) learns one for each of 64 maps; nn.ReLU has none",
    -109: "nn.PReLU() has one slope for all maps: nn.PReLU(64) has one for each, 112 in all",
    3: "is there a PReLU after the last convolution?",
    1: "is there a PReLU after the last convolution?",
    -11_170: "is it made for one channel? The default is three",
    -(64 + 32 + 16 + 3): "do the convolutions lack their biases? They keep them",
    -64 * 32 * 24: "is the second kernel 5 x 5? It is 7 x 7",
    -64 * 32 * 40: "is the second kernel 3 x 3? It is 7 x 7",
    16 * 32 * 48: "is the third kernel 7 x 7? It is 1 x 1",
    -64 * 32 * 48: "is the second kernel 1 x 1? It is 7 x 7, and the third is 1 x 1",
    -64 * 32 * 49
    - 32
    - 32
    + 16 * 32: "is the second layer missing, the one that SRCNN has not? It is 7 x 7, 64 to 32 maps",
    16 * 32 + 16 + 16 * 3 * 25 + 16: "are there 32 maps after the third convolution? There are 16",
}


def arcnn_parameters_problem(evidence, expected):
    default = "are the kernels 9, 7, 1 and 5, and the maps 64, 32 and 16?"
    sentence = wrong_count(evidence.get("parameters"), expected["parameters"], "ARCNN()", COUNTS, default)
    if sentence:
        return sentence
    for name, call in (("grey parameters", "ARCNN(channels=1)"), ("parameters 0", ""), ("parameters 1", "")):
        call = call or f"ARCNN(channels={expected['channels ' + name[-1]]})"
        causes = {expected["parameters"] - expected[name]: "is `channels` ignored?"}
        default = "do the first and the last convolution have `channels`?"
        if sentence := wrong_count(evidence.get(name), expected[name], call, causes, default):
            return sentence
    return None


def arcnn_start_problem(evidence, expected):
    for name, call in (("start", "ARCNN()"), ("grey start", "ARCNN(channels=1)")):
        sentence = _gives_back_problem(evidence, expected, name, f"a new {call}")
        if sentence := sentence or _random_start_problem(evidence, expected, name, call):
            return sentence
    return None


def _gives_back_problem(evidence, expected, name, what):
    found, nothing = evidence.get(f"{name}: off"), expected[f"{name}: off"]
    came = found if found is not None else evidence.get(name)
    if isinstance(came, str) and came.startswith("returned a Tensor of shape"):
        return f"{what} {came}, expected that of the image: a kernel of k x k needs padding=k // 2"
    if strange := trouble(came, what, "the image"):
        return strange
    if agrees(found, nothing, rtol=0, atol=1e-6):
        return None
    off = np.abs(found - nothing)
    cause = "the first maps of each layer hand the image on: nn.init.dirac_ for weights, zeros_ for biases"
    if agrees(evidence.get(f"{name}: handing"), expected[f"{name}: handing"], rtol=0, atol=1e-6):
        cause = _forward_cause(evidence, expected) or "the layers hand it on, but forward is not right yet"
    elif off[0] < 1e-6 < off[1:].min(initial=1):
        cause = "only the first colour comes through; there are `channels` maps to hand on, not one"
    return f"{what} changes the image by up to {off.max():.3g}, expected 0: {cause}"


def _forward_cause(evidence, expected):
    """What forward does with the layers' image, where it should give it as it is; or None."""
    causes = [
        (expected["image"] + expected["output"], "y is added to what the layers give; ARCNN gives the image itself"),
        (expected["image"] - expected["output"], "what the layers give is taken from y; ARCNN gives the image itself"),
    ]
    return likely(evidence.get("output"), causes, None)


def _random_start_problem(evidence, expected, name, call):
    found, wanted = evidence.get(f"{name}: set"), expected[f"{name}: set"]
    if agrees(found, wanted, rtol=0, atol=1e-6):
        return None
    handing = evidence.get(f"{name}: handing")
    if found.shape != wanted.shape:
        layers = f"{len(found) + 1} layers" if len(found) else "fewer than 2 layers"
        return f"{call} gives the image back, but {layers} nn.Conv2d are found in it, expected 4: mend that first"
    if not agrees(handing, expected[f"{name}: handing"], rtol=0, atol=1e-6):
        return f"{call} gives the image back, but not by the first maps of each layer: is y added to the output?"
    at = int(np.argmax(np.abs(found - wanted)))
    maps, right = (round(each[at] - expected[f"{name}: off"][0]) for each in (found, wanted))
    cause = "only the first `channels` maps hand the image on; the others keep PyTorch's random start"
    return f"{maps} maps of convolution {at + 1} of {call} do not start at random, expected {right}: {cause}"


def arcnn_output_problem(evidence, expected, name="output", call="ARCNN()"):
    found, wanted = evidence.get(name), expected[name]
    if agrees(found, wanted):
        return None
    strange = trouble(found, call, "an image")
    if strange:
        return strange
    if found.shape != wanted.shape:
        needs = "a kernel of k x k needs padding=k // 2"
        return f"{call} gives the shape {found.shape}, expected {wanted.shape}: {needs}"
    if name != "output" and arcnn_output_problem(evidence, expected):
        return "forward is not right yet with the usual arguments either"
    off = f"{call} with given weights is off by up to {np.abs(found - wanted).max():.2g}"
    return f"{off}: {_output_cause(found, evidence, expected, name)}"


def _output_cause(found, evidence, expected, name):
    wanted = expected[name]
    if not np.isfinite(found).all():
        return "it holds NaN or infinity"
    if agrees(found, np.clip(wanted, 0, 1)):
        return "it is clipped to [0, 1]; the clipping comes later, in cu.restore"
    if agrees(found, np.maximum(wanted, 0)):
        return "all of it is 0 or more. Is there a ReLU after the last convolution?"
    if agrees(np.maximum(found, 0), np.maximum(wanted, 0)):
        return "only numbers below 0 are off. Is there an activation, such as PReLU, after the last convolution?"
    if name == "output" and (agrees(found, expected["image"] - wanted) or agrees(found, expected["image"] + wanted)):
        return "ARCNN gives the image itself: nothing is added to its input, or taken from it"
    if name == "replicate" and agrees(found, expected["output"]):
        return "the border is filled with zeros. Is padding_mode handed on to the convolutions?"
    if name == "output" and agrees(found, expected["replicate"]):
        return "the outermost pixel is repeated at the border. The default of padding_mode is 'zeros'"
    if sentence := wrong_layers(evidence, expected, room=75):
        return sentence
    if arcnn_parameters_problem(evidence, expected):
        return "get the number of parameters right first"
    return "are the layers in the order 9 x 9, 7 x 7, 1 x 1, 5 x 5, and do all pad as padding_mode says?"


def arcnn_restore_problem(evidence, expected):
    restored, wanted = evidence.get("restored"), expected["restored"]
    if agrees(restored, wanted):
        return None
    strange = trouble(restored, "restore", "the restored image")
    if strange:
        return strange
    image, output, own = expected["image"], expected["output"], evidence.get("output")
    if agrees(restored, own):
        return "restore gives what forward gives, and forward is not right yet"
    if restored.shape != wanted.shape:
        return f"restore gives the shape {restored.shape}, expected {wanted.shape}: return self(y)"
    if isinstance(own, np.ndarray) and own.shape == wanted.shape:
        output = own  # what restore had to work with
    causes = [
        (np.clip(output, 0, 1), "it is clipped to [0, 1]; the clipping comes later, in cu.restore"),
        (image - output, "it is y - self(y); ARCNN gives the image itself, not what was added"),
        (image + output, "it is y + self(y); ARCNN gives the image itself"),
        (image, "it is y, the image as it came"),
    ]
    return (
        f"restore is off by up to {np.abs(restored - wanted).max():.2g}: {likely(restored, causes, 'return self(y)')}"
    )


def arcnn_settings_problem(evidence, expected):
    for i in (0, 1):
        radius = evidence.get(f"radius {i}")
        causes = [
            (19, "that is the width of the whole field, 9 + 1 + 9"),
            (22, "those are the kernels' sides; halve them"),
        ]
        causes += [
            (8, "4 + 3 + 0 + 2"),
            (11, "4 + 3 + 0 + 2"),
            (18, "half of it to each side"),
            (6, "7 x 7 counts too"),
        ]
        sentence = missing_setting(evidence, i) or trouble(radius, "receptive_radius", "a whole number")
        if not sentence and not agrees(radius, expected[f"radius {i}"], rtol=0, atol=0):
            cause = likely(radius, causes, "add up half of each kernel, rounded down")
            sentence = f"receptive_radius is {radius:g}, expected {expected[f'radius {i}']}: {cause}"
        if sentence := sentence or wrong_config(evidence, expected, i, arguments="the two arguments"):
            return sentence
    return None


def arcnn_grey_problem(evidence, expected):
    return arcnn_output_problem(evidence, expected, "grey", "ARCNN(channels=1, padding_mode='replicate')")


def arcnn_replicate_problem(evidence, expected):
    return arcnn_output_problem(evidence, expected, "replicate", "ARCNN(padding_mode='replicate')")


ARCNN = Exercise(
    name="arcnn",
    lesson="04_arcnn",
    answer="ARCNN",
    reference="course_utils.models.arcnn:ARCNN",
    probe=probe_arcnn,
    claims=(
        claim(
            "it has 106,561 weights and biases and 112 slopes on one channel, 117,843 parameters on three",
            arcnn_parameters_problem,
        ),
        claim("a new network gives the image back, and its other maps start at random", arcnn_start_problem),
        claim("with given weights it gives what ARCNN gives", arcnn_output_problem, points=3),
        claim("padding_mode='replicate' repeats the outermost pixel", arcnn_replicate_problem),
        claim("`restore` gives the image as the network gives it", arcnn_restore_problem),
        claim("`config` and `receptive_radius` tell what was built", arcnn_settings_problem),
        claim("the same holds for grey images", arcnn_grey_problem, points=2, hidden=True),
    ),
    hints=(
        "Make the four convolutions first, each with a name; treat them in a loop for the start; put them into "
        "nn.Sequential last, with nn.PReLU between.",
        "nn.Conv2d(channels, 64, kernel_size=9, padding=4, padding_mode=padding_mode), then 64 to 32 with 7, 32 to 16 "
        "with 1, 16 to channels with 5; padding is kernel_size // 2. nn.PReLU(64), nn.PReLU(32), nn.PReLU(16).",
        "for convolution in (extract, enhance, mapping, reconstruct): nn.init.dirac_(convolution.weight.detach()"
        "[:channels]) and nn.init.zeros_(convolution.bias.detach()[:channels]). forward returns self.layers(y), "
        "restore returns self(y).",
    ),
)

EXERCISES = (QUANTISATION_TABLE, QUANTISE_BLOCKS, PSNR_B, ARCNN)
