"""What lesson 1 asks: YCbCr and back, a fair bicubic, the SSIM of each window, and the competition's metric."""

import re

import numpy as np

from course_utils.exercises import Exercise
from course_utils.exercises.probing import agrees, array, ask, claim, described, likely, number, trouble, undisturbed

WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in Y
IMAGE = "a tensor of the same shape"
NOT_YET = "a single image is not right yet, see above"


# --- What the claims of this lesson share ---


def shape_trouble(found, wanted, call, advice, kind=IMAGE):
    """The sentence where no array of the wanted shape came, or None."""
    strange = trouble(found, call, kind)
    if strange:
        return strange
    if np.shape(found) != wanted.shape:
        return f"{call} has the shape {np.shape(found)}, expected {wanted.shape}: {advice}"
    return None


def beyond(found):
    """Whether values lie outside [0, 1] by more than rounding."""
    return bool(found.min() < -1e-4 or found.max() > 1 + 1e-4)


def worst(found, wanted):
    """The index of the value that is furthest from the expected one; NaN is furthest of all."""
    distance = np.abs(np.asarray(found, np.float64) - wanted)
    return np.unravel_index(np.argmax(np.where(np.isfinite(distance), distance, np.inf)), wanted.shape)


def told(found, wanted, digits):
    """Both numbers as a text, with at least so many digits, and with as many as it takes to tell them apart."""
    while digits < 12 and f"{found:.{digits}f}" == f"{wanted:.{digits}f}":
        digits += 1
    return f"{found:.{digits}f}, expected {wanted:.{digits}f}"


def cause_of(found, wanted, causes, default):
    """The likely one of the causes; none that gives what is expected, for it cannot be told from no mistake here."""
    apart = [(value, words) for value, words in causes if not agrees(value, wanted, rtol=1e-4, atol=1e-4)]
    return likely(found, apart, default)


# --- rgb_to_ycbcr ---


def ycbcr_of(rgb, full=False, weights=WEIGHTS, lift=16, y_scale=219, centre=128, c_scale=224, halves=(1.772, 1.402)):
    """What `rgb_to_ycbcr` gives, or what it gives with a mistake; rgb: (..., 3, H, W). Not clipped."""
    red, green, blue = np.moveaxis(np.asarray(rgb, np.float64), -3, 0)
    if full:
        lift, y_scale, c_scale = 0, 255, 255
    y = weights[0] * red + weights[1] * green + weights[2] * blue
    planes = [lift + y_scale * y, centre + c_scale * (blue - y) / halves[0], centre + c_scale * (red - y) / halves[1]]
    return np.stack(planes, axis=-3) / 255


def probe_rgb_to_ycbcr(answer, rng):
    """Ask for an image in both ranges, with the purest blue and red in it, for a batch and for images of other size."""
    import torch

    rgb = rng.uniform(0, 1, (2, 3, 4, 5))
    pure = rng.permutation(20)[:2]  # full range passes 1 there
    for place, colour in zip(pure, ((0, 0, 1), (1, 0, 0)), strict=True):
        rgb[1, :, place // 5, place % 5] = colour
    evidence = {"rgb": rgb.astype(np.float32), "others": rng.uniform(0, 1, (3, 3, 2, 7)).astype(np.float32)}
    with undisturbed(rng):
        images, others = (torch.from_numpy(evidence[name].copy()) for name in ("rgb", "others"))
        ask(evidence, "studio", lambda: array(answer(images[0])))
        ask(evidence, "full", lambda: array(answer(images[1], full_range=True)))
        ask(evidence, "batch", lambda: array(answer(images)))
        ask(evidence, "other studio", lambda: array(answer(others)))
        ask(evidence, "other full", lambda: array(answer(others[0], full_range=True)))
    return evidence


def _plane_problem(found, wanted, rgb, plane, causes, default):
    """The sentence for Y, Cb or Cr (plane 0, 1, 2) of an image, or None; causes: (the image with a mistake, words)."""
    if agrees(found[plane], wanted[plane], rtol=0, atol=1e-4):
        return None
    row, column = worst(found[plane], wanted[plane])
    colour = ", ".join(f"{value:.2f}" for value in rgb[:, row, column])
    right = wanted[plane, row, column]
    values = f"{told(found[plane, row, column], right, 3)} ({255 * right:.1f} / 255)"
    cause = cause_of(found[plane], wanted[plane], [(image[plane], words) for image, words in causes], default)
    return f"{('Y', 'Cb', 'Cr')[plane]} of (R, G, B) = ({colour}) is {values}: {cause}"


def studio_problem(planes):
    def problem(evidence, expected):
        found, wanted, rgb = evidence.get("studio"), expected["studio"], expected["rgb"][0]
        strange = shape_trouble(
            found, wanted, "rgb_to_ycbcr of an image", "the planes are stacked along dim=-3, where the colours were"
        )
        if strange:
            return strange
        causes, default = _studio_mistakes(rgb), "Y = 16 + 219 y, Cb = 128 + 224 cb, Cr = 128 + 224 cr, over 255"
        sentences = [_plane_problem(found, wanted, rgb, plane, causes, default) for plane in planes]
        return next((sentence for sentence in sentences if sentence), None)

    return problem


def _shared_mistakes(rgb, full):
    """The mistakes that can be made in both ranges: (the image, words)."""
    right, wrong = ycbcr_of(rgb, full), lambda **change: ycbcr_of(rgb, full, **change)
    return [
        (right[[0, 2, 1]], "are Cb and Cr swapped? (OpenCV's order is Y, Cr, Cb)"),
        (ycbcr_of(rgb[::-1], full), "are red and blue swapped?"),
        (wrong(weights=(1 / 3, 1 / 3, 1 / 3)), "is that the plain mean of the three? The eye weighs them"),
        (wrong(weights=(0.2126, 0.7152, 0.0722)), "those are the weights of BT.709 (high definition), not BT.601"),
        (wrong(centre=0), "is the 128 missing? Without colour, Cb and Cr are 128 / 255"),
        (wrong(centre=127.5), f"is the centre 0.5? It is 128 / 255{' here too' if full else ''}"),
        (wrong(halves=(1.402, 1.772)), "are 1.772 and 1.402 swapped? Cb = (B - y) / 1.772"),
        (wrong(halves=(1, 1)), "is the division by 1.772 and 1.402 missing?"),
        (wrong(halves=(-1.772, -1.402)), "is the sign turned? Cb is blue minus y, Cr red minus y"),
    ]


def _studio_mistakes(rgb):
    studio_y = ycbcr_of(rgb)[0]
    red, _, blue = rgb.astype(np.float64)
    late = np.stack(
        [studio_y, (128 + 224 * (blue - studio_y) / 1.772) / 255, (128 + 224 * (red - studio_y) / 1.402) / 255]
    )
    return [
        (255 * ycbcr_of(rgb), "is the division by 255 missing? Images here lie in [0, 1]"),
        *_shared_mistakes(rgb, full=False),
        (ycbcr_of(rgb, full=True), "that is full range; without full_range it is 16 + 219 y and 128 + 224 c"),
        (ycbcr_of(rgb, lift=0), "is the 16 missing? Black is 16 / 255 in studio range"),
        (ycbcr_of(rgb, y_scale=255), "is y scaled by 255? From 16 to 235 there are 219 levels"),
        (ycbcr_of(rgb, y_scale=224), "is y scaled by 224? That is for Cb and Cr; y takes 219"),
        (ycbcr_of(rgb, c_scale=219), "is it scaled by 219? That is for Y; Cb and Cr take 224"),
        (late, "is y already 16 + 219 y when it is subtracted? Take cb and cr first"),
    ]


def _full_mistakes(rgb):
    """Each of them as it is, and clipped."""
    right, studio, lifted = ycbcr_of(rgb, full=True), ycbcr_of(rgb), np.array([16, 0, 0]).reshape(3, 1, 1) / 255
    missing = "is a division by 255 missing? Y = y, Cb = 128 / 255 + cb, Cr = 128 / 255 + cr"
    causes = [
        *_shared_mistakes(rgb, full=True),
        (255 * right, missing),
        (255 * np.clip(right, 0, 1), missing),
        (np.stack([right[0], *(right[1:] + 128 - 128 / 255)]), missing),
        (np.stack([right[0], *studio[1:]]), "are Cb and Cr scaled by 224? In full range by 255"),
        (studio, "that is studio range; is `full_range` looked at?"),
        (right + lifted, "is 16 added to Y? Full range begins at 0"),
    ]
    return causes + [(np.clip(image, 0, 1), words) for image, words in causes]


def full_problem(evidence, expected):
    found, wanted, rgb = evidence.get("full"), expected["full"], expected["rgb"][1]
    strange = shape_trouble(found, wanted, "rgb_to_ycbcr with full_range=True", "stack the planes along dim=-3")
    if strange:
        return strange
    right = ycbcr_of(rgb, full=True)
    if beyond(right) and agrees(found, right, rtol=0, atol=1e-4):
        largest = f"the largest value is {found.max():.4f}, expected 1"
        return f"{largest}: pure blue and pure red pass 1 by half a grey level in full range; clip with .clamp(0, 1)"
    causes = _full_mistakes(rgb)
    default = "in full range Y = y, Cb = 128/255 + cb, Cr = 128/255 + cr, clipped to [0, 1]"
    sentences = [_plane_problem(found, wanted, rgb, plane, causes, default) for plane in range(3)]
    return next((f"full range: {sentence}" for sentence in sentences if sentence), None)


def _same_problem(name, call, advice, alone, single):
    """The claim that an array is the expected one, for what other claims have looked at already.

    alone, single: the question and the claim of one image. The advice is about what is different here: it is given
    where one image is right, or where only here something was raised or the shape is wrong.
    """

    def problem(evidence, expected):
        found, wanted = evidence.get(name), expected[name]
        if agrees(found, wanted, rtol=0, atol=1e-4):
            return None
        right, one = single(evidence, expected) is None, evidence.get(alone)
        if isinstance(found, str) and not found.startswith("returned"):
            return f"{call} raised {found[:80]}: {NOT_YET if isinstance(one, str) and not right else advice}"
        strange = shape_trouble(found, wanted, call, advice if np.shape(one) == expected[alone].shape else NOT_YET)
        if strange:
            return strange
        place = worst(found, wanted)
        values = told(found[place], wanted[place], 4)
        return f"{call}, at {tuple(map(int, place))}: {values}: {advice if right else NOT_YET}"

    return problem


def _both(*problems):
    """The claim that holds where all of these do."""
    return lambda evidence, expected: next(filter(None, (problem(evidence, expected) for problem in problems)), None)


BATCH_AXIS = "count the axes from the end (dim=-3), so that a batch has its own in front"
FIXED = "sizes and numbers of images should not matter; is one of them written as a fixed number?"

RGB_TO_YCBCR = Exercise(
    name="rgb_to_ycbcr",
    lesson="01_pixels_and_metrics",
    answer="rgb_to_ycbcr",
    reference="course_utils.colour:rgb_to_ycbcr",
    probe=probe_rgb_to_ycbcr,
    claims=(
        claim("Y of studio range is 16 + 219 y, over 255", studio_problem([0]), points=2),
        claim("Cb and Cr of studio range are 128 + 224 c, over 255", studio_problem([1, 2]), points=2),
        claim("full range uses all of 0 to 255, and is clipped", full_problem),
        claim(
            "a batch is converted like its images",
            _same_problem("batch", "rgb_to_ycbcr of a batch", BATCH_AXIS, "studio", studio_problem([0, 1, 2])),
        ),
        claim(
            "the same holds for images of another size",
            _both(
                _same_problem(
                    "other studio", "rgb_to_ycbcr of three wide images", FIXED, "studio", studio_problem([0, 1, 2])
                ),
                _same_problem("other full", "rgb_to_ycbcr of a wide image, full range", FIXED, "full", full_problem),
            ),
            hidden=True,
        ),
    ),
    hints=(
        "First y, cb and cr as plain numbers, from 0 to 1 and from -0.5 to 0.5; the two ranges only place them.",
        "y = 0.299 * red + ..., cb = (blue - y) / 1.772 and so on. Put the three planes together with "
        "torch.stack([...], dim=-3), once for each range; full range is clipped with .clamp(0, 1).",
        "if full_range: return torch.stack([y, 128 / 255 + cb, 128 / 255 + cr], dim=-3).clamp(0, 1); the studio line "
        "has 16 + 219 * y in its first place, 128 + 224 * cb in its second, and / 255 behind the stack.",
    ),
)

# --- ycbcr_to_rgb ---


def rgb_of(
    ycbcr, lift=16, y_scale=219, centre=128, c_scale=224, factors=(1.772, 1.402), divisor=0.587, weights=WEIGHTS
):
    """What `ycbcr_to_rgb` gives, or what it gives with a mistake, clipped; ycbcr: (..., 3, H, W)."""
    y, cb, cr = np.moveaxis(255 * np.asarray(ycbcr, np.float64), -3, 0)
    y, cb, cr = (y - lift) / y_scale, (cb - centre) / c_scale, (cr - centre) / c_scale
    red, blue = y + factors[1] * cr, y + factors[0] * cb
    green = (y - weights[0] * red - weights[2] * blue) / divisor
    return np.clip(np.stack([red, green, blue], axis=-3), 0, 1)


FULL = {"lift": 0, "y_scale": 255, "c_scale": 255}


def probe_ycbcr_to_rgb(answer, rng):
    """Ask for colours back from both ranges, for YCbCr that is no colour, for a batch and for images of other size."""
    import torch

    rgb = rng.uniform(0.05, 0.95, (2, 3, 4, 5))
    images = {"studio": ycbcr_of(rgb[0]), "full": ycbcr_of(rgb[1], full=True), "batch": ycbcr_of(rgb)}
    images |= {"beyond": rng.uniform(0, 1, (3, 4, 6)), "others": ycbcr_of(rng.uniform(0.05, 0.95, (3, 3, 2, 7)))}
    evidence = {f"{name} in": image.astype(np.float32) for name, image in images.items()}
    with undisturbed(rng):
        inputs = {name: torch.from_numpy(evidence[f"{name} in"].copy()) for name in images}
        ask(evidence, "studio", lambda: array(answer(inputs["studio"])))
        ask(evidence, "full", lambda: array(answer(inputs["full"], full_range=True)))
        ask(evidence, "beyond", lambda: array(answer(inputs["beyond"])))
        ask(evidence, "batch", lambda: array(answer(inputs["batch"])))
        ask(evidence, "others", lambda: array(answer(inputs["others"])))
        ask(evidence, "others full", lambda: array(answer(inputs["others"], full_range=True)))
    return evidence


def back_problem(name):
    def problem(evidence, expected):
        found, wanted, ycbcr = evidence.get(name), expected[name], expected[f"{name} in"]
        call = f"ycbcr_to_rgb{' with full_range=True' if name == 'full' else ''}"
        strange = shape_trouble(found, wanted, call, "red, green and blue are stacked along dim=-3")
        if strange:
            return strange
        if agrees(found, wanted, rtol=0, atol=1e-4):
            return None
        channel, row, column = worst(found, wanted)
        before = ", ".join(f"{value:.3f}" for value in ycbcr[:, row, column])
        default = "undo the scaling, then red = y + 1.402 cr, blue = y + 1.772 cb, and green from y = 0.299 R + ..."
        values = told(found[channel, row, column], wanted[channel, row, column], 3)
        cause = cause_of(found, wanted, _back_mistakes(ycbcr, name == "full"), default)
        colour = ("red", "green", "blue")[channel]
        return f"{name} range: {colour} of (Y, Cb, Cr) = ({before}) is {values}: {cause}"

    return problem


def _back_mistakes(ycbcr, full):
    base = FULL if full else {}
    right, wrong = rgb_of(ycbcr, **base), lambda **change: rgb_of(ycbcr, **(base | change))
    other = rgb_of(ycbcr) if full else rgb_of(ycbcr, **FULL)
    return [
        (other, "is `full_range` looked at?" if full else "that takes it for full range; studio Y begins at 16"),
        (right[::-1], "is blue first? The order is red, green, blue"),
        (rgb_of(ycbcr[[0, 2, 1]], **base), "are Cb and Cr taken for each other? Red comes from Cr, blue from Cb"),
        (wrong(centre=0), "is the 128 / 255 not subtracted from Cb and Cr?"),
        (wrong(centre=127.5), "is 0.5 subtracted from Cb and Cr? Their centre is 128 / 255"),
        (wrong(lift=0), "is the 16 not subtracted from Y?"),
        (wrong(c_scale=219), "are Cb and Cr divided by 219? That is for Y; they take 224"),
        (wrong(factors=(1.402, 1.772)), "are 1.772 and 1.402 swapped? Red is y + 1.402 cr"),
        (wrong(divisor=1), "is the division by 0.587 missing? y = 0.299 R + 0.587 G + 0.114 B, solved for G"),
        (wrong(weights=(0.114, 0.587, 0.299)), "are the weights of red and blue swapped in green?"),
        (255 * right, "is it in 0 to 255? Images here lie in [0, 1]"),
    ]


def beyond_problem(evidence, expected):
    found, wanted = evidence.get("beyond"), expected["beyond"]
    strange = shape_trouble(found, wanted, "ycbcr_to_rgb of what is no colour", "stack along dim=-3")
    if strange:
        return strange
    if agrees(found, wanted, rtol=0, atol=1e-4):
        return None
    right = back_problem("studio")(evidence, expected) is None
    if agrees(np.clip(found, 0, 1), wanted, rtol=0, atol=1e-4) or (right and beyond(found)):
        span = f"values from {found.min():.2f} to {found.max():.2f} came, expected 0 to 1"
        return f"{span}: not every (Y, Cb, Cr) is a colour; clip the result with .clamp(0, 1)"
    place = worst(found, wanted)
    early = "clip red, green and blue at the very end: green needs the red and blue that are not clipped yet"
    default = early if right else "what is a colour is not right yet, see above"
    cause = cause_of(found, wanted, _back_mistakes(expected["beyond in"], full=False), default)
    return f"a (Y, Cb, Cr) that is no colour gave {told(found[place], wanted[place], 3)}: {cause}"


YCBCR_TO_RGB = Exercise(
    name="ycbcr_to_rgb",
    lesson="01_pixels_and_metrics",
    answer="ycbcr_to_rgb",
    reference="course_utils.colour:ycbcr_to_rgb",
    probe=probe_ycbcr_to_rgb,
    claims=(
        claim("studio range comes back to its red, green and blue", back_problem("studio"), points=2),
        claim("full range does too", back_problem("full"), points=2),
        claim("what is no colour is clipped to [0, 1]", beyond_problem),
        claim(
            "a batch is converted like its images",
            _same_problem("batch", "ycbcr_to_rgb of a batch", BATCH_AXIS, "studio", back_problem("studio")),
        ),
        claim(
            "the same holds for images of another size",
            _both(
                _same_problem("others", "ycbcr_to_rgb of three wide images", FIXED, "studio", back_problem("studio")),
                _same_problem(
                    "others full", "ycbcr_to_rgb of wide images, full range", FIXED, "full", back_problem("full")
                ),
            ),
            hidden=True,
        ),
    ),
    hints=(
        "Undo the steps of `rgb_to_ycbcr` in reverse: first back to y from 0 to 1 and cb, cr from -0.5 to 0.5.",
        "Studio: y = (255 * y - 16) / 219 and cb = (255 * cb - 128) / 224. Full: only 128 / 255 is subtracted from cb "
        "and cr. Then red = y + 1.402 * cr, and blue likewise; green comes last.",
        "y = 0.299 red + 0.587 green + 0.114 blue, solved for green: (y - 0.299 * red - 0.114 * blue) / 0.587. Stack "
        "the three along dim=-3 and clip with .clamp(0, 1).",
    ),
)

# --- bicubic ---


def probe_bicubic(answer, rng):
    """Ask for a small and a large size, for an image of black and white, for batches and for grey images."""
    import torch

    images = {
        "small": (3, 12, 20),
        "large": (3, 6, 5),
        "edges": (1, 7, 6),
        "batch": (2, 3, 8, 12),
        "batch of one": (1, 3, 8, 12),
        "others": (1, 15, 9),
    }
    sizes = {"small": (4, 5), "large": (18, 10), "edges": (14, 18), "batch": (4, 6), "batch of one": (4, 6)}
    sizes |= {"others": (6, 12)}
    # From 0.3 to 0.7 nothing needs to be clipped.
    evidence = {f"{name} in": rng.uniform(0.3, 0.7, shape).astype(np.float32) for name, shape in images.items()}
    evidence["edges in"] = evidence["edges in"].round()  # 0 and 1: a cubic overshoots them
    with undisturbed(rng):
        for name, size in sizes.items():
            image = torch.from_numpy(evidence[f"{name} in"].copy())
            ask(evidence, name, lambda image=image, size=size: array(answer(image, size)))
    return evidence


def resized(image, size, clip=True, **options):
    """(C, H, W) to the size with F.interpolate and these options, as an array."""
    import torch
    from torch.nn import functional as F

    made = F.interpolate(torch.from_numpy(image.copy())[None], size=size, **options)[0]
    return (made.clamp(0, 1) if clip else made).numpy()


def _resize_mistakes(image, size):
    plain = {"mode": "bicubic", "align_corners": False}
    area, nearest = (resized(image, size, mode=mode) for mode in ("area", "nearest"))
    repeated = "each pixel is only repeated" if agrees(area, nearest) else ""  # to enlarge, they are the same
    return [
        (resized(image, size, **plain), "antialias=True is missing (OpenCV's cubic has nothing of the kind)"),
        (
            resized(image, size, mode="bicubic", antialias=True, align_corners=True),
            "is it align_corners=True? With False, pixels are squares and not points",
        ),
        (
            resized(image, size, mode="bicubic", align_corners=True),
            "align_corners=True and no antialiasing: the worst of both",
        ),
        (resized(image, size, mode="bilinear", antialias=True), 'that is bilinear; the mode is "bicubic"'),
        (resized(image, size, mode="bilinear"), 'that is bilinear and without antialiasing; the mode is "bicubic"'),
        (area, f'{repeated or "that is the mean of each area"}; the mode is "bicubic"'),
        (nearest, f'{repeated or "that is the nearest pixel, the default"}; the mode is "bicubic"'),
    ]


def _resize_problem(name, what):
    """The claim about one image (C, H, W) and one size."""

    def problem(evidence, expected):
        found, wanted, image = evidence.get(name), expected[name], expected[f"{name} in"]
        height, width = wanted.shape[-2:]
        call = f"bicubic {what} {image.shape[-2]} x {image.shape[-1]} to {height} x {width}"
        if isinstance(found, str) and "same number of spatial dim" in found:
            return f"{call}: F.interpolate takes batches, (N, C, H, W), but was given one image; hand it `batch`"
        strange = shape_trouble(found, wanted, call, _form(found, wanted), "a tensor of that size")
        if strange:
            return strange
        if agrees(found, wanted, rtol=0, atol=1e-4):
            return None
        place = worst(found, wanted)
        default = 'is it F.interpolate with mode="bicubic", antialias=True, align_corners=False?'
        cause = cause_of(found, wanted, _resize_mistakes(image, (height, width)), default)
        return f"{call}: a pixel is {told(found[place], wanted[place], 3)}: {cause}"

    return problem


def _form(found, wanted):
    """What is wrong with the shape."""
    shape = np.shape(found)
    if shape[-2:] == wanted.shape[:-3:-1]:
        return "size is (height, width), as F.interpolate takes it; cv2.resize takes (width, height)"
    if len(shape) == len(wanted.shape) + 1:
        return "F.interpolate works on batches; give the result the shape that the image had"
    return "`size` is the (height, width) of the result; everything before stays as it was"


def clip_problem(evidence, expected):
    found = evidence.get("edges")
    if isinstance(found, np.ndarray) and found.shape == expected["edges"].shape and beyond(found):
        span = f"values from {found.min():.2f} to {found.max():.2f} came of an image of 0 and 1"
        return f"{span}: a cubic overshoots at edges; clip to [0, 1] with .clamp(0, 1)"
    return _resize_problem("edges", "from")(evidence, expected)


BATCH_FORM = "the axes in front stay as they were: (N, C, height, width)"
ONE_FORM = "squeeze(0) takes the axis of a batch of one away too; reshape to the axes that `image` had"

BICUBIC = Exercise(
    name="bicubic",
    lesson="01_pixels_and_metrics",
    answer="bicubic",
    reference="course_utils.degrade.resize:bicubic",
    probe=probe_bicubic,
    claims=(
        claim("a smaller image is averaged, not sampled (antialiasing)", _resize_problem("small", "from"), points=2),
        claim("a larger one has MATLAB's cubic, with antialias=True too", _resize_problem("large", "from")),
        claim("the result lies in [0, 1]", clip_problem),
        claim(
            "a batch stays a batch",
            _both(
                _same_problem("batch", "bicubic of a batch", BATCH_FORM, "small", _resize_problem("small", "from")),
                _same_problem(
                    "batch of one", "bicubic of a batch of one", ONE_FORM, "small", _resize_problem("small", "from")
                ),
            ),
        ),
        claim(
            "the same holds for a grey image, one way up and one way down",
            _resize_problem("others", "from"),
            hidden=True,
        ),
    ),
    hints=(
        "F.interpolate does the work. Which three of its options make it MATLAB's?",
        'mode="bicubic", antialias=True (also for enlarging) and align_corners=False. Then clip to [0, 1], and give '
        "the result the axes that the image had, with reshape.",
        'resized = F.interpolate(batch, size=size, mode="bicubic", antialias=True, align_corners=False), and then '
        "return resized.clamp(0, 1).reshape(*image.shape[:-2], *size)",
    ),
)

# --- similarity ---

PAIRS = 16  # of images: half of them are two equal ones
WINDOWS = "one number for each window, (N, C, H - 10, W - 10)"


def probe_similarity(answer, rng):
    """Ask for pairs of images, equal or not, for flat ones (dark ones too), and for noise, alike or opposite."""
    import torch

    pairs = rng.uniform(0.1, 0.9, (2, PAIRS, 1, 13, 12))
    equal = rng.permutation(PAIRS) < PAIRS // 2  # which ones nobody knows beforehand
    pairs[1, equal] = pairs[0, equal]
    flat = np.concatenate([rng.uniform(0.1, 0.9, (2, 3)), rng.uniform(0, 0.03, (2, 4)), np.zeros((2, 1))], axis=1)
    flat = flat.reshape(2, 8, 1, 1, 1) * np.ones((11, 11))
    noise, signs = 0.1 * rng.standard_normal((2, 2, 3, 14, 13)), rng.permutation([1, 1, 1, -1, -1, -1])
    noise[1] = 0.3 * noise[1] + 0.7 * signs.reshape(2, 3, 1, 1) * noise[0]  # alike in half of them, opposite in half
    noisy = rng.uniform(0.3, 0.5, (2, 2, 3, 1, 1)) + noise
    others = rng.uniform(0, 1, (2, 3, 1, 12, 17)) ** 2
    evidence = {"pairs in": pairs, "flat in": flat, "noisy in": noisy, "others in": others, "equal": equal.astype(int)}
    with undisturbed(rng):
        for name in ("pairs", "flat", "noisy", "others"):
            x, y = torch.from_numpy(evidence[f"{name} in"].copy())
            ask(evidence, name, lambda x=x, y=y: _map(answer(x, y)))
    return evidence


def _map(value):
    found = array(value)
    return described(value) if isinstance(found, np.ndarray) and found.ndim == 0 else found


def gaussian_means(images):
    """Means under the 11x11 Gaussian window: (..., H, W) -> (..., H - 10, W - 10)."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    views = np.lib.stride_tricks.sliding_window_view(images, (11, 11), axis=(-2, -1))
    return np.einsum("...ij,ij->...", views, window)


def similarity_of(pair, c1=0.01**2, c2=0.03**2, means=2, pattern=2, centred=(1, 1), variances=np.add, factors=(1, 1)):
    """What `similarity` gives of x and y, or what it gives with a mistake."""
    x, y = pair
    mean_x, mean_y = gaussian_means(x), gaussian_means(y)
    variance_x = gaussian_means(x * x) - centred[0] * mean_x**2
    variance_y = gaussian_means(y * y) - centred[0] * mean_y**2
    covariance = gaussian_means(x * y) - centred[1] * mean_x * mean_y
    light = (means * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    alike = (pattern * covariance + c2) / (variances(variance_x, variance_y) + c2)
    return light ** factors[0] * alike ** factors[1]


def _similarity_mistakes(pair):
    with np.errstate(all="ignore"):
        right = similarity_of(pair)
        return [
            (similarity_of(pair, 0.01, 0.03), "are c1 and c2 squared? They are 0.01² and 0.03²"),
            (
                similarity_of(pair, (0.01 * 255) ** 2, (0.03 * 255) ** 2),
                "are c1 and c2 those for 0 to 255? Here the range is 1",
            ),
            (similarity_of(pair, 0.03**2, 0.01**2), "are c1 and c2 swapped?"),
            (similarity_of(pair, 0, 0), "are c1 and c2 left out?"),
            (similarity_of(pair, factors=(1, 0)), "that is the factor of the means alone; the second one is missing"),
            (similarity_of(pair, factors=(0, 1)), "is the first factor, the one of the means, missing?"),
            (similarity_of(pair, means=1), "is the 2 before the product of the means missing?"),
            (similarity_of(pair, pattern=1), "is the 2 before the covariance missing?"),
            (similarity_of(pair, centred=(0, 1)), "is the square of the mean not subtracted in the variances?"),
            (similarity_of(pair, centred=(1, 0)), "is the product of the means not subtracted in the covariance?"),
            (similarity_of(pair, centred=(0, 0)), "are the means not subtracted, in the variances and the covariance?"),
            (similarity_of(pair, variances=np.multiply), "are the variances multiplied? They are added"),
            (
                similarity_of(pair, variances=lambda a, b: np.sqrt(np.maximum(a, 0)) + np.sqrt(np.maximum(b, 0))),
                "are roots taken of the variances? They go in as they are",
            ),
            (np.abs(right), "is an absolute value taken? Where the patterns are opposite, SSIM is below 0"),
            (np.maximum(right, 0), "is it clipped at 0? Where the patterns are opposite, SSIM is below 0"),
        ]


def _windows_trouble(found, wanted, call):
    if isinstance(found, str) and found.startswith("returned a") and found.endswith((" float", " of shape ()")):
        return f"{call} {found}, expected {WINDOWS}: the mean over all of them comes later"
    return shape_trouble(found, wanted, call, f"it is {WINDOWS}", WINDOWS)


def equal_problem(evidence, expected):
    found, wanted = evidence.get("pairs"), expected["pairs"]
    strange = _windows_trouble(found, wanted, "similarity of 16 pairs")
    if strange:
        return strange
    equal, mistakes = expected["equal"] == 1, _similarity_mistakes(expected["pairs in"])
    if not agrees(found[equal], wanted[equal]):
        value = found[equal].ravel()[np.argmax(np.abs(found[equal] - 1))]
        causes = [(image[equal], words) for image, words in mistakes]
        cause = cause_of(found[equal], wanted[equal], causes, "x and y are the same there")
        return f"a window of two equal images gave {told(value, 1, 4)}: {cause}"
    if not (np.isfinite(found).all() and (found[~equal] < 0.99).all()):
        cause = cause_of(found, wanted, mistakes, "are both images looked at?")
        return f"a window of two different images gave {found[~equal].max():.4f}, expected less than 1: {cause}"
    return None


def _map_problem(name, what):
    def problem(evidence, expected):
        found, wanted, pair = evidence.get(name), expected[name], expected[f"{name} in"]
        strange = _windows_trouble(found, wanted, f"similarity of {what}")
        if strange:
            return strange
        if agrees(found, wanted, rtol=0, atol=1e-5):
            return None
        if not np.isfinite(found).all():
            return f"similarity of {what} is {_not_finite(found, pair)}"
        place = worst(found, wanted)
        default = "SSIM = (2 mx my + c1)(2 cov + c2) / ((mx² + my² + c1)(vx + vy + c2))"
        if name == "flat" and np.abs(found - wanted).max() < 1e-3:
            default = "the variances are 0 there, up to rounding; is a root taken of them? They go in as they are"
        cause = cause_of(found, wanted, _similarity_mistakes(pair), default)
        return f"a window of {what} gave {told(found[place], wanted[place], 4)}: {cause}"

    return problem


def _not_finite(found, pair):
    """What came that is no number, and why."""
    value = found[~np.isfinite(found)][0]
    black = ~pair.any(axis=(0, 3, 4))  # (N, C)
    if not np.isfinite(found[black]).all():
        return f"{value} somewhere: 0 / 0 in black windows? c1 and c2 keep it away"
    below = "rounding can put a variance of 0 below 0, and a covariance may be negative"
    return f"{value} somewhere: is a root taken? There is none in SSIM; {below}"


SIMILARITY = Exercise(
    name="similarity",
    lesson="01_pixels_and_metrics",
    answer="similarity",
    reference="course_utils.metrics:similarity",
    probe=probe_similarity,
    claims=(
        claim("windows of two equal images give 1, others less", equal_problem, points=2),
        claim("two flat images are compared by their brightness, in the dark too", _map_problem("flat", "flat images")),
        claim("two noisy images get the value of the formula", _map_problem("noisy", "noisy images"), points=2),
        claim("the same holds for grey images of another size", _map_problem("others", "grey images"), hidden=True),
    ),
    hints=(
        "Five maps are needed: the means of x and of y, their variances and their covariance. All come from "
        "window_mean, and three of them need x * x, y * y or x * y inside.",
        "The variance of x in each window is window_mean(x * x) - window_mean(x) ** 2; the covariance is "
        "window_mean(x * y) - mean_x * mean_y. c1 = 0.01 ** 2 and c2 = 0.03 ** 2.",
        "return (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / (... * ...), with "
        "(mean_x ** 2 + mean_y ** 2 + c1) and (variance_x + variance_y + c2) in place of the dots.",
    ),
)

# --- mean_luma_error ---

SHAPES = ((3, 5, 6), (3, 4, 9), (3, 9, 3))
PIXELS = "are the pixels compared one by one? First the mean of each image, then the difference"
CANCEL = "too light and too dark cancel: take the absolute value of each image, then the mean"


def probe_mean_luma_error(answer, rng):
    """Ask for one pair, for a list of images of three sizes, too light and too dark, for grey ones, and for a batch."""
    import torch

    evidence = {}
    signs = rng.permutation([1, -1, -1])
    sizes = rng.uniform(0.03, 0.05), rng.uniform(0.12, 0.15), rng.uniform(0.07, 0.09)  # the worst is in the middle
    for i, shape in enumerate(SHAPES):
        clean = rng.uniform(0.3, 0.7, shape)
        tint = signs[i] * sizes[i] * rng.uniform(0.8, 1.2, (3, 1, 1))
        noise = rng.uniform(-0.12, 0.12, shape)  # lighter here, darker there
        evidence[f"clean {i}"] = clean.astype(np.float32)
        evidence[f"restored {i}"] = (clean + tint + noise).astype(np.float32)
    grey, batch = rng.uniform(0.1, rng.uniform(0.5, 0.9), (2, 2, 1, 6, 5)), rng.uniform(0, 1, (2, 4, 3, 7, 4)) ** 2
    evidence |= {"grey": grey.astype(np.float32), "batch": batch.astype(np.float32)}
    with undisturbed(rng):
        clean = [torch.from_numpy(evidence[f"clean {i}"].copy()) for i in range(3)]
        restored = [torch.from_numpy(evidence[f"restored {i}"].copy()) for i in range(3)]
        grey, batch = torch.from_numpy(evidence["grey"].copy()), torch.from_numpy(evidence["batch"].copy())
        for i in range(2):
            ask(evidence, f"one {i}", lambda i=i: number(answer([restored[i]], [clean[i]])))
        ask(evidence, "list", lambda: number(answer(restored, clean)))
        ask(evidence, "greys", lambda: number(answer(list(grey[0]), list(grey[1]))))
        ask(evidence, "others", lambda: number(answer(batch[0], batch[1])))
    return evidence


def _studio_y(rgb):
    return 255 * ycbcr_of(rgb)[..., 0, :, :]


def _luma_sentence(what, found, wanted, causes, default):
    if agrees(found, wanted, rtol=1e-4, atol=1e-4):
        return None
    call = f"mean_luma_error of {what}"
    strange = _list_trouble(found, call) or trouble(found, call, "one number")
    if strange:
        return strange
    return f"{what}: {told(found, wanted, 3)} grey levels: {cause_of(found, wanted, causes, default)}"


def _list_trouble(found, call):
    """The sentence where something was done to a list that only its images or numbers can take, or None."""
    error, colon, about = found.partition(": ") if isinstance(found, str) else ("", "", "")
    raised, loop = f"{call} raised {error}", "`for restored, clean in pairs_of(restored_images, clean_images):`"
    if not colon or found.startswith("returned"):
        return None
    if "to unpack (expected 2" in about:
        return f"{raised}: a list holds images, not pairs; {loop} pairs them"
    if "'list' object has no attribute 'mean'" in about:
        pairs = "pairs_of(restored_images, clean_images)"
        return f"{raised}: a list has no mean. {pairs} gives the images of a list; numbers have sum(...) / len(...)"
    whole = next((kind for kind in ("list", "tuple") if kind in re.findall(r"[a-z]+", about)), None)
    return f"{raised}: a {whole} was taken for an image; {loop} gives the images" if whole else None


def one_image_problem(evidence, expected):
    return next(filter(None, (_one_image_problem(evidence, expected, i) for i in range(2))), None)


def _one_image_problem(evidence, expected, i):
    restored, clean = (expected[f"{name} {i}"].astype(np.float64) for name in ("restored", "clean"))
    error = _studio_y(restored) - _studio_y(clean)
    wanted, rgb_error = expected[f"one {i}"], 255 * (restored - clean)
    causes = [
        (wanted / 255, "is it in 0 to 1? Grey levels go from 0 to 255"),
        (wanted * 255 / 219, "is that Y of full range? `luma` gives the studio range that is asked for"),
        (wanted * 255 / 219 / 255, "is that Y of full range, in 0 to 1? `luma` gives the studio range"),
        (error.mean(), "the sign should not matter: take the absolute value, abs()"),
        (-error.mean(), "the sign should not matter: take the absolute value, abs()"),
        (np.abs(rgb_error.mean()), "is that the mean of R, G and B? Take Y first, with `luma`"),
        (
            np.abs(rgb_error).mean(),
            "is that the mean of all differences of R, G and B? It is of one number, the mean Y",
        ),
        (np.abs(error).mean(), PIXELS),
        (error.mean() ** 2, "is it squared? It is the absolute difference"),
        (np.abs(error.sum()), "are the pixels summed up? Take the mean Y of each image"),
    ]
    default = "255 * |mean of luma(restored) - mean of luma(clean)|"
    return _luma_sentence("an image", evidence.get(f"one {i}"), wanted, causes, default)


def _several_mistakes(differences):
    """What mistakes about several images give; differences: of the Y of each, an array for each image."""
    errors, pixels = (np.array([f(each) for each in differences]) for f in (np.mean, np.size))
    absolute = [np.abs(each).mean() for each in differences]
    return [
        (abs(errors.mean()), CANCEL),
        (errors.mean(), CANCEL),
        (np.abs(errors).sum(), "that is the sum; take the mean over the images"),
        (abs(errors[0]), "that is the first image alone; is the `return` inside the loop?"),
        (abs(errors[-1]), "that is the last image alone; collect the differences in a list"),
        (np.abs(errors).max(), "that is the worst image; take the mean"),
        (np.abs(errors) @ pixels / pixels.sum(), "large images count for more here; each image counts once"),
        (abs(errors @ pixels / pixels.sum()), "are all pixels pooled? Each image has a mean of its own"),
        (np.sqrt(np.mean(errors**2)), "is that the root of the mean square? Take the mean of the absolute values"),
        (np.mean(errors**2), "are the differences squared? Take their absolute values"),
        (np.mean(absolute), PIXELS),
    ]


def list_problem(evidence, expected):
    pairs = [(expected[f"restored {i}"], expected[f"clean {i}"]) for i in range(3)]
    causes = _several_mistakes([_studio_y(restored) - _studio_y(clean) for restored, clean in pairs])
    default = "take |difference of the means| of each image, then the mean over the images"
    if one_image_problem(evidence, expected):
        default = NOT_YET
    return _luma_sentence("a list of 3 images", evidence.get("list"), expected["list"], causes, default)


def grey_problem(evidence, expected):
    found, wanted = evidence.get("greys"), expected["greys"]
    if isinstance(found, str) and "luma takes 3 channels" in found:
        return "an image with 1 channel was sent through `luma`, which takes 3: it is Y already, take it as it is"
    restored, clean = 255 * expected["grey"].astype(np.float64)
    mean, pixelwise = (restored - clean).mean(), np.abs(restored - clean).mean()
    causes = [
        (pixelwise, PIXELS),
        (pixelwise / 255, f"{PIXELS}, and 255 times that"),
        (mean, CANCEL),
        (abs(mean), CANCEL),
        (wanted * 219 / 255, "did the grey image go through RGB to studio Y? It is Y already"),
        (wanted / 255, "is it in 0 to 1? Grey levels go from 0 to 255"),
    ]
    in_colour = list_problem(evidence, expected) is None
    default = "an image with 1 channel is Y itself" if in_colour else "images in colour are not right yet, see above"
    return _luma_sentence("images with 1 channel", found, wanted, causes, default)


def others_problem(evidence, expected):
    default = "two batches (N, 3, H, W) are lists of images too"
    if list_problem(evidence, expected):
        default = "lists of images are not right yet, see above"
    return _luma_sentence("two batches of 4", evidence.get("others"), expected["others"], [], default)


MEAN_LUMA_ERROR = Exercise(
    name="mean_luma_error",
    lesson="01_pixels_and_metrics",
    answer="mean_luma_error",
    reference="course_utils.metrics:mean_luma_error",
    probe=probe_mean_luma_error,
    claims=(
        claim("one image: the difference of the two mean Y, in grey levels", one_image_problem, points=2),
        claim("several: the mean of their absolute differences", list_problem, points=2),
        claim("an image with 1 channel is Y itself", grey_problem),
        claim("the same holds for batches", others_problem, hidden=True),
    ),
    hints=(
        "Each image becomes one number, its mean Y. What is compared are these numbers.",
        "Go through pairs_of(restored_images, clean_images). For each pair: comparable, then luma of both unless "
        "there is only one channel (shape[1] == 1), then 255 times the absolute difference of the two means.",
        "differences.append(255 * abs(restored.mean() - clean.mean()).item()) inside the loop, and behind it "
        "return sum(differences) / ... with the right thing in place of the dots.",
    ),
)

EXERCISES = (RGB_TO_YCBCR, YCBCR_TO_RGB, BICUBIC, SIMILARITY, MEAN_LUMA_ERROR)
