"""Lesson 6, as students answer it."""

from changes import from_one

# --- paired_crop ---

_CROP = """
from course_utils.files import CourseError

def paired_crop(degraded, clean, size, rng, scale=1):
    height, width = degraded.shape[-2:]
    if clean.shape[-2] != scale * height or clean.shape[-1] != scale * width:
        raise CourseError(f"clean is {tuple(clean.shape)}, degraded {tuple(degraded.shape)}, the scale {scale}")
    if size > height or size > width:
        raise CourseError(f"a window of {size} does not fit {height} x {width}")
    top = rng.integers(0, height - size, endpoint=True)
    left = rng.integers(0, width - size, endpoint=True)
    small = degraded[:, top : top + size, left : left + size]
    large = clean[:, scale * top : scale * (top + size), scale * left : scale * (left + size)]
    return small, large
"""
_TOP = "top = rng.integers(0, height - size, endpoint=True)"
_LEFT = "left = rng.integers(0, width - size, endpoint=True)"
_LARGE = "clean[:, scale * top : scale * (top + size), scale * left : scale * (left + size)]"
_SIZES = """    if clean.shape[-2] != scale * height or clean.shape[-1] != scale * width:
        raise CourseError(f"clean is {tuple(clean.shape)}, degraded {tuple(degraded.shape)}, the scale {scale}")
"""
_FITS = """    if size > height or size > width:
        raise CourseError(f"a window of {size} does not fit {height} x {width}")
"""
_WRONG_CROP = {
    "two windows": ([("    large =", f"    {_TOP}\n    {_LEFT}\n    large =")], "draw once, cut both"),
    "the place is not scaled": (
        [(_LARGE, "clean[:, top : top + scale * size, left : left + scale * size]")],
        "stands at the same place",
    ),
    "the size is not scaled": (
        [(_LARGE, "clean[:, scale * top : scale * top + size, scale * left : scale * left + size]")],
        "is its size scale * size?",
    ),
    "drawn in the large image": (
        [
            (_TOP, "y = rng.integers(0, scale * (height - size), endpoint=True)"),
            (
                _LEFT,
                "x = rng.integers(0, scale * (width - size), endpoint=True)\n    top, left = y // scale, x // scale",
            ),
            (_LARGE, "clean[:, y : y + scale * size, x : x + scale * size]"),
        ],
        "draw the place in the small image, then multiply it",
    ),
    "always the corner": ([(_TOP, "top = 0"), (_LEFT, "left = 0")], "begin at row 0, column 0"),
    "always the middle": (
        [(_TOP, "top = (height - size) // 2"), (_LEFT, "left = (width - size) // 2")],
        "draw the place from rng",
    ),
    "never the last row": (
        [(_TOP, "top = rng.integers(height - size)"), (_LEFT, "left = rng.integers(width - size)")],
        "integers(n) stops at n - 1",
    ),
    "height and width swapped": (
        [(_TOP, "top = rng.integers(width - size + 1)"), (_LEFT, "left = rng.integers(height - size + 1)")],
        "of several shapes",
    ),
    "a square": ([(_LEFT, "left = rng.integers(0, height - size, endpoint=True)")], "are possible"),
    "clean first": ([("return small, large", "return large, small")], "return (degraded, clean)"),
    "no error for two sizes": ([(_SIZES, "")], "a column narrower than the degraded one gave no error"),
    "no error for a large window": (
        [(_FITS, "    size = min(size, height, width)\n")],
        "pixels high gave no error",
    ),
    "a ValueError": ([('raise CourseError(f"a window', 'raise ValueError(f"a window')], "raised ValueError"),
    "an empty error": (
        [('CourseError(f"a window of {size} does not fit {height} x {width}")', 'CourseError("no")')],
        "name the sizes",
    ),
    "no size of the window named": (
        [('CourseError(f"a window of {size} does not fit {height} x {width}")', 'CourseError("sizes do not fit")')],
        "says 'sizes do not fit'; name the sizes",
    ),
    "no sizes of the images named": (
        [
            (
                'CourseError(f"clean is {tuple(clean.shape)}, degraded {tuple(degraded.shape)}, the scale {scale}")',
                'CourseError("the sizes of degraded and clean do not fit")',
            )
        ],
        "name the sizes (clean is",
    ),
    "a generator of its own": (
        [("    top =", "    rng = __import__('numpy').random.default_rng(len(clean))\n    top =")],
        "draw the place from rng",
    ),
    "torch's random numbers": (
        [
            (_TOP, "top = int(__import__('torch').randint(height - size + 1, ()))"),
            (_LEFT, "left = int(__import__('torch').randint(width - size + 1, ()))"),
        ],
        "nothing was drawn from rng",
    ),
    "half from elsewhere": (
        [(_TOP, "top = int(__import__('torch').randint(height - size + 1, ()))")],
        "some chance does not come from rng",
    ),
    "pixels changed": ([("return small, large", "return small, large / 2")], "pixels have changed"),
    "no return": ([("    return small, large\n", "")], "is a `return` missing?"),
}
_RIGHT_CROP = {
    "drawn with an end": _CROP,
    "a function that cuts": """
from course_utils.files import CourseError

def paired_crop(degraded, clean, size, rng, scale=1):
    sides = degraded.shape[1:]
    expected = tuple(side * scale for side in sides)
    if tuple(clean.shape[1:]) != expected:
        raise CourseError(f"clean images of {expected} are expected here, this one is {tuple(clean.shape[1:])}")
    if min(sides) < size:
        raise CourseError(f"no patch of {size} pixels in an image of {tuple(sides)}")
    place = [int(rng.integers(side - size + 1)) for side in sides]

    def cut(image, factor):
        rows, columns = (slice(factor * start, factor * (start + size)) for start in place)
        return image[:, rows, columns].clone()

    return cut(degraded, 1), cut(clean, scale)
""",
    "narrow": """
from course_utils.files import CourseError

def paired_crop(degraded, clean, size, rng, scale=1):
    c, h, w = degraded.shape
    if list(clean.shape) != [c, h * scale, w * scale]:
        raise CourseError("the clean image is not scale times the degraded one: " + str(clean.shape))
    if h < size or w < size:
        raise CourseError("the window is larger than the image: " + str(size))
    y = int(rng.random() * (h - size + 1))
    x = int(rng.random() * (w - size + 1))
    degraded = degraded.narrow(1, y, size).narrow(2, x, size)
    clean = clean.narrow(1, y * scale, size * scale).narrow(2, x * scale, size * scale)
    return [degraded, clean]
""",
    "divmod of one draw": """
from course_utils.files import CourseError

def paired_crop(degraded, clean, size, rng, scale=1):
    (H, W), (big_H, big_W) = degraded.shape[-2:], clean.shape[-2:]
    if H * scale != big_H:
        raise CourseError(f"{big_H} rows are not {scale} times {H}")
    if W * scale != big_W:
        raise CourseError(f"{big_W} columns are not {scale} times {W}")
    free_rows, free_columns = H - size + 1, W - size + 1
    if free_rows < 1 or free_columns < 1:
        raise CourseError(f"{H} x {W} pixels are too few for {size} x {size}")
    row, column = divmod(int(rng.integers(free_rows * free_columns)), free_columns)
    pair = []
    for image, zoom in ((degraded, 1), (clean, scale)):
        part = image[..., row * zoom :, column * zoom :]
        pair.append(part[..., : size * zoom, : size * zoom])
    return tuple(pair)
""",
}

# --- turn_pair ---

_TURN = """
import torch

def turn_pair(degraded, clean, rng):
    turns = int(rng.integers(4))
    mirror = rng.random() < 0.5
    degraded = torch.rot90(degraded, turns, dims=(-2, -1))
    clean = torch.rot90(clean, turns, dims=(-2, -1))
    if mirror:
        degraded, clean = degraded.flip(-1), clean.flip(-1)
    return degraded, clean
"""
_DIMS = "dims=(-2, -1)"
_ROT_CLEAN = "clean = torch.rot90(clean, turns, dims=(-2, -1))"
_ROT_BOTH = f"    degraded = torch.rot90(degraded, turns, {_DIMS})\n    {_ROT_CLEAN}\n"
_FLIP = "degraded, clean = degraded.flip(-1), clean.flip(-1)"
_WRONG_TURN = {
    "two turns": (
        [(_ROT_CLEAN, f"clean = torch.rot90(clean, int(rng.integers(4)), {_DIMS})")],
        "the mirror is the same, the turn is not",
    ),
    "two mirrors": (
        [
            (
                f"    if mirror:\n        {_FLIP}",
                "    if mirror:\n        degraded = degraded.flip(-1)\n"
                "    if rng.random() < 0.5:\n        clean = clean.flip(-1)",
            )
        ],
        "the turn is the same, the mirror is not",
    ),
    "two draws of both": (
        [
            ("def turn_pair(degraded, clean, rng):", "def turn(image, rng):"),
            (
                _ROT_BOTH + f"    if mirror:\n        {_FLIP}\n    return degraded, clean\n",
                f"    image = torch.rot90(image, turns, {_DIMS})\n    return image.flip(-1) if mirror else image\n\n"
                "def turn_pair(degraded, clean, rng):\n    return turn(degraded, rng), turn(clean, rng)\n",
            ),
        ],
        "draw the turn and the mirror once, and use them for both images",
    ),
    "the clean image is never turned": (
        [(_ROT_CLEAN, "pass"), (_FLIP, "degraded = degraded.flip(-1)")],
        "only the degraded image is turned",
    ),
    "the degraded image is never turned": (
        [(f"degraded = torch.rot90(degraded, turns, {_DIMS})", "pass"), (_FLIP, "clean = clean.flip(-1)")],
        "only the clean image is turned",
    ),
    "the default axes": ([(f", {_DIMS}", "")], "of several shapes"),
    "channels turned": ([("dims=(-2, -1)", "dims=(-3, -1)")], "of several shapes, (3, "),
    "flips only": (
        [("turns = int(rng.integers(4))", "turns = 2 * int(rng.integers(2))")],
        "is turned by 90 degrees",
    ),
    "not mirrored": ([("mirror = rng.random() < 0.5", "mirror = False")], "pairs is mirrored; every other one"),
    "always mirrored": ([("mirror = rng.random() < 0.5", "mirror = True")], "pairs are mirrored; every other one"),
    "always changed": (
        [("turns = int(rng.integers(4))", "turns = int(rng.integers(1, 4))"), ("rng.random() < 0.5", "turns == 2")],
        "no pair stays as it is",
    ),
    "three turns": ([("int(rng.integers(4))", "int(rng.integers(3))")], "only 6 of the eight ways"),
    "seldom mirrored": ([("rng.random() < 0.5", "rng.random() < 0.2")], "are mirrored, expected about 160"),
    "seldom turned": (
        [("turns = int(rng.integers(4))", "turns = int(rng.integers(4)) if rng.random() < 0.5 else 0")],
        "are not turned, expected about 80",
    ),
    "nothing": (
        [("int(rng.integers(4))", "0 * int(rng.integers(4))"), ("rng.random() < 0.5", "False")],
        "is turned or mirrored",
    ),
    "mirrored upside down": (
        [(_FLIP, "degraded, clean = degraded.flip(-2), clean.flip(-1)")],
        "are turned or mirrored in two ways",
    ),
    "clean first": ([("return degraded, clean", "return clean, degraded")], "return (degraded, clean)"),
    "torch's random numbers": (
        [("int(rng.integers(4))", "int(torch.randint(4, ()))"), ("rng.random()", "torch.rand(())")],
        "nothing was drawn from rng",
    ),
    "half from elsewhere": ([("rng.random()", "torch.rand(())")], "some chance does not come from rng"),
    "cropped to a square": (
        [
            (
                "    turns =",
                "    n = min(clean.shape[-2:])\n"
                "    degraded, clean = degraded[..., :n, :n], clean[..., :n, :n]\n    turns =",
            )
        ],
        "images of 4 x 6 pixels",
    ),
    "no return": ([("    return degraded, clean\n", "")], "is a `return` missing?"),
}
_RIGHT_TURN = {
    "one image after the other": _TURN,
    "a number from 0 to 7": """
import torch

def turn_pair(degraded, clean, rng):
    way = int(rng.integers(8))

    def turned(image):
        if way >= 4:
            image = torch.flip(image, [-2])
        return image.rot90(way % 4, (-1, -2))

    return [turned(degraded), turned(clean)]
""",
    "flips and a swap of axes": """
def turn_pair(degraded, clean, rng):
    down, across, swap = rng.integers(2, size=3).tolist()
    pair = []
    for image in (degraded, clean):
        if down:
            image = image.flip(-2)
        if across:
            image = image.flip(-1)
        if swap:
            image = image.transpose(-2, -1)
        pair.append(image.contiguous())
    return tuple(pair)
""",
}

# --- cutblur ---

_CUT = """
import torch

def cutblur(degraded, clean, rng, share=0.7):
    H, W = degraded.shape[-2:]
    height, width = round(share * H), round(share * W)
    top, left = rng.integers(H - height + 1), rng.integers(W - width + 1)
    rows, columns = slice(top, top + height), slice(left, left + width)
    if rng.random() < 0.5:
        mixed = degraded.clone()
        mixed[..., rows, columns] = clean[..., rows, columns]
    else:
        mixed = clean.clone()
        mixed[..., rows, columns] = degraded[..., rows, columns]
    return mixed, clean
"""
_WRONG_CUT = {
    "one way only": ([("rng.random() < 0.5", "True")], "from the clean into the degraded image; every other"),
    "the other way only": ([("rng.random() < 0.5", "False")], "from the degraded into the clean image; every other"),
    "seldom the other way": ([("rng.random() < 0.5", "rng.random() < 0.95")], "expected about half"),
    "in place": ([("degraded.clone()", "degraded"), ("clean.clone()", "clean")], "the target stays clean"),
    "the degraded image in place": ([("mixed = degraded.clone()", "mixed = degraded")], "take a clone()"),
    "share of the area": (
        [("round(share * H), round(share * W)", "round(share**0.5 * H), round(share**0.5 * W)")],
        "share is of the sides, not of the area",
    ),
    "share ignored": (
        [("round(share * H), round(share * W)", "round(0.6 * H), round(0.6 * W)")],
        "share times those of",
    ),
    "the whole image": ([("round(share * H), round(share * W)", "H, W")], "that is the whole image"),
    "a drawn size": (
        [("round(share * H), round(share * W)", "rng.integers(1, H), rng.integers(1, W)")],
        "only its place is drawn, not its size",
    ),
    "beyond the image": (
        [("rng.integers(H - height + 1), rng.integers(W - width + 1)", "rng.integers(H - 1), rng.integers(W - 1)")],
        "it is cut off at the edge",
    ),
    "always the corner": (
        [("rng.integers(H - height + 1), rng.integers(W - width + 1)", "0, 0")],
        "begin at row 0, column 0",
    ),
    "never the last row": (
        [
            (
                "rng.integers(H - height + 1), rng.integers(W - width + 1)",
                "rng.integers(H - height), rng.integers(W - width)",
            )
        ],
        "no rectangle reaches the last row",
    ),
    "another place": (
        [("= clean[..., rows, columns]", "= clean[..., :height, :width]")],
        "from another place",
    ),
    "one channel": (
        [
            (
                "mixed[..., rows, columns] = clean[..., rows, columns]",
                "mixed[..., :1, rows, columns] = clean[..., :1, rows, columns]",
            )
        ],
        "some channels of the one image",
    ),
    "blended": (
        [("= clean[..., rows, columns]", "= (clean[..., rows, columns] + degraded[..., rows, columns]) / 2")],
        "not blended",
    ),
    "a strip": (
        [("rows, columns = slice(top, top + height)", "rows, columns = slice(0, H)")],
        "its sides are share times those of the image",
    ),
    "the target mixed as well": (
        [("return mixed, clean", "return mixed, mixed")],
        "the second image is not the clean one",
    ),
    "the degraded image as the target": ([("return mixed, clean", "return mixed, degraded")], "it is the target"),
    "the other order": ([("return mixed, clean", "return clean, mixed")], "in this order"),
    "torch's random numbers": (
        [
            (
                "rng.integers(H - height + 1), rng.integers(W - width + 1)",
                "int(torch.randint(H - height + 1, ())), int(torch.randint(W - width + 1, ()))",
            ),
            ("rng.random()", "torch.rand(())"),
        ],
        "nothing was drawn from rng",
    ),
    "only the mixed image": ([("return mixed, clean", "return mixed")], "returned a Tensor"),
    "no return": ([("    return mixed, clean\n", "")], "is a `return` missing?"),
}
_RIGHT_CUT = {
    "two branches": _CUT,
    "a mask": """
import torch

def cutblur(degraded, clean, rng, share=0.7):
    mask = torch.zeros(degraded.shape[-2:], dtype=torch.bool)
    sides = [int(round(share * n)) for n in mask.shape]
    y, x = [int(rng.integers(n - side + 1)) for n, side in zip(mask.shape, sides)]
    mask[y : y + sides[0], x : x + sides[1]] = True
    if rng.integers(2) == 1:
        mask = ~mask
    return torch.where(mask, clean, degraded), clean
""",
    "swapped names": """
def cutblur(degraded, clean, rng, share=0.7):
    target = clean
    swap = bool(rng.integers(0, 2))
    if swap:
        degraded, clean = clean, degraded
    box = [slice(None)] * (target.ndim - 2)
    for length in target.shape[-2:]:
        part = round(length * share)
        begin = int(rng.integers(length - part, endpoint=True))
        box.append(slice(begin, begin + part))
    mixed = 1 * degraded
    mixed[tuple(box)] = clean[tuple(box)]
    return [mixed, target]
""",
}

# --- random_pipeline ---

_PIPELINE = """
import torch

class RandomPipeline:
    def __init__(self, stages, chance=1.0, shuffle=False):
        self.stages = stages
        self.chance = chance
        self.shuffle = shuffle

    def draw(self, rng):
        drawn = []
        for stage in self.stages:
            if rng.random() < self.chance:
                drawn.append(stage(rng))
        if self.shuffle:
            rng.shuffle(drawn)
        return drawn

    def __call__(self, x, rng):
        if x.dim() == 4:
            return torch.stack([self(image, rng) for image in x])
        for degradation in self.draw(rng):
            x = degradation(x, rng)
        return x
"""
_LOOP = "        for degradation in self.draw(rng):\n            x = degradation(x, rng)\n        return x\n"
_IF = "            if rng.random() < self.chance:\n                drawn.append(stage(rng))\n"
_WRONG_PIPELINE = {
    "each on the original": (
        [(_LOOP, _LOOP.replace("x = degradation(x, rng)", "y = degradation(x, rng)").replace("return x", "return y"))],
        "only the last has worked",
    ),
    "the first only": (
        [
            (
                "            x = degradation(x, rng)\n        return x",
                "            return degradation(x, rng)\n        return x",
            )
        ],
        "only the first has worked",
    ),
    "backwards": ([("in self.draw(rng):", "in self.draw(rng)[::-1]:")], "in the order [4, 3, 2, 1]"),
    "always shuffled": ([("if self.shuffle:", "if True:")], "without shuffle the order is the one given"),
    "shuffle the other way": ([("if self.shuffle:", "if not self.shuffle:")], "and with it, it is the same each time"),
    "shuffle forgotten": (
        [("            rng.shuffle(drawn)\n", "            drawn = list(drawn)\n")],
        "the order was the same in",
    ),
    "backwards or forwards": (
        [("rng.shuffle(drawn)", "drawn = drawn[::-1] if rng.random() < 0.5 else drawn")],
        "only 2 of the 6 orders",
    ),
    "drawn with replacement": (
        [("rng.shuffle(drawn)", "drawn = [drawn[i] for i in rng.integers(len(drawn), size=len(drawn))]")],
        "a stage ran twice",
    ),
    "one neighbour swapped": (
        [("rng.shuffle(drawn)", "drawn.insert(int(rng.integers(len(drawn))), drawn.pop()) if drawn else 0")],
        "only 3 of the 6 orders",
    ),
    "uneven orders": (
        [
            (
                "rng.shuffle(drawn)",
                "drawn = drawn if rng.random() < 0.5 else [drawn[i] for i in rng.permutation(len(drawn))]",
            )
        ],
        "the six orders came",
    ),
    "the chance of all at once": (
        [
            (_IF, "            if at_all:\n                drawn.append(stage(rng))\n"),
            ("        drawn = []\n", "        drawn = []\n        at_all = rng.random() < self.chance\n"),
        ],
        "draw for each stage",
    ),
    "chance ignored": ([("rng.random() < self.chance", "True")], "only 1 of the 8 choices"),
    "always half": ([("rng.random() < self.chance", "rng.random() < 0.5 or self.chance == 1")], "expected about 75"),
    "chance the other way round": (
        [("rng.random() < self.chance", "rng.random() > self.chance or self.chance == 1")],
        "the other way round?",
    ),
    "nothing at a chance of 1": (
        [("rng.random() < self.chance", "rng.random() > self.chance")],
        "stages were left out",
    ),
    "one of the stages": (
        [
            (
                "        for stage in self.stages:",
                "        for stage in [self.stages[int(rng.integers(len(self.stages)))]]:",
            )
        ],
        "only one has worked on the image",
    ),
    "drawn once": (
        [
            ("        self.chance = chance\n", "        self.chance = chance\n        self.drawn = None\n"),
            (
                "        drawn = []\n",
                "        if self.drawn is not None:\n            return self.drawn\n        self.drawn = drawn = []\n",
            ),
            ("x = degradation(x, rng)", "x = degradation(x, __import__('numpy').random.default_rng(0))"),
        ],
        "draw them anew for each image",
    ),
    "another generator for degradations": (
        [("x = degradation(x, rng)", "x = degradation(x, __import__('numpy').random.default_rng())")],
        "hand on the rng that came, to stage and degradation",
    ),
    "drawn in __init__": (
        [
            (
                "self.stages = stages",
                "self.degradations = [stage(__import__('numpy').random.default_rng(3)) for stage in stages]",
            ),
            ("for stage in self.stages:", "for degradation in self.degradations:"),
            ("drawn.append(stage(rng))", "drawn.append(degradation)"),
        ],
        "those of the first, whatever rng is: call stage(rng) in draw",
    ),
    "drawn at the first call and kept": (
        [
            ("        self.chance = chance\n", "        self.chance = chance\n        self.kept = None\n"),
            (
                "        for stage in self.stages:\n",
                "        if self.kept is None:\n            self.kept = [stage(rng) for stage in self.stages]\n"
                "        for degradation in self.kept:\n",
            ),
            ("drawn.append(stage(rng))", "drawn.append(degradation)"),
        ],
        "those of the first: call stage(rng) in draw, not once for all",
    ),
    "the stages themselves": (
        [("drawn.append(stage(rng))", "drawn.append(stage)")],
        "a stage is called with rng first, and gives the degradation; in draw: stage(rng)",
    ),
    "stages as degradations": (
        [("in self.draw(rng):", "in self.stages:")],
        "a stage is called with rng first, and gives the degradation; apply those of self.draw(rng)",
    ),
    "a degradation without rng": (
        [("x = degradation(x, rng)", "x = degradation(x)")],
        "a degradation is called with (x, rng)",
    ),
    "no batch": (
        [
            (
                "        if x.dim() == 4:\n            return torch.stack([self(image, rng) for image in x])\n",
                "",
            )
        ],
        "the stages got the whole batch",
    ),
    "one draw for a batch": (
        [
            (
                "            return torch.stack([self(image, rng) for image in x])\n",
                "            images, drawn = list(x), self.draw(rng)\n"
                "            for degradation in drawn:\n"
                "                images = [degradation(image, rng) for image in images]\n"
                "            return torch.stack(images)\n",
            )
        ],
        "all images got the same",
    ),
    "a list for a batch": (
        [("torch.stack([self(image, rng) for image in x])", "[self(image, rng) for image in x]")],
        "returned a list; a batch is expected",
    ),
    "draw gives a generator": (
        [("        return drawn\n", "        return iter(drawn)\n")],
        "returned a list_iterator",
    ),
    "no list from draw": (
        [
            ("        return drawn\n", "        self.drawn = drawn\n"),
            ("in self.draw(rng):", "in self.draw(rng) or self.drawn:"),
        ],
        "returned nothing (None)",
    ),
    "stages in a set": (
        [("self.stages = stages", "self.stages = list(dict.fromkeys(stages))")],
        "stages given twice run twice",
    ),
    "no return": ([(_LOOP, _LOOP.replace("        return x\n", ""))], "is a `return` missing?"),
}
_RIGHT_PIPELINE = {
    "a loop": _PIPELINE,
    "places first": """
import torch

class RandomPipeline:
    def __init__(self, stages, chance=1.0, shuffle=False):
        self.settings = tuple(stages), float(chance), shuffle

    def draw(self, rng):
        stages, chance, shuffle = self.settings
        places = [i for i in range(len(stages)) if not rng.random() >= chance]
        if shuffle:
            places = rng.permutation(places).astype(int).tolist()
        return [stages[i](rng) for i in places]

    def __call__(self, x, rng):
        images = []
        for image in x if x.ndim == 4 else [x]:
            y = image
            for step in self.draw(rng):
                y = step(y, rng)
            images.append(y)
        return torch.stack(images) if x.ndim == 4 else images[0]
""",
    "sorted by random keys": """
from functools import reduce
import torch

class RandomPipeline:
    def __init__(self, stages, chance=1.0, shuffle=False):
        self.stages, self.chance, self.shuffle = stages, chance, shuffle

    def draw(self, rng):
        takes_part = rng.uniform(size=len(self.stages)) < self.chance
        keys = rng.uniform(size=len(self.stages)) if self.shuffle else range(len(self.stages))
        chosen = sorted((key, i) for i, key in enumerate(keys) if takes_part[i])
        return tuple(self.stages[i](rng) for _, i in chosen)

    def __call__(self, x, rng):
        if len(x.shape) > 3:
            return torch.stack(tuple(self(one, rng) for one in x))
        return reduce(lambda image, degrade: degrade(image, rng), self.draw(rng), x)
""",
    "a module": """
import torch

class RandomPipeline(torch.nn.Module):
    def __init__(self, stages, chance=1.0, shuffle=False):
        super().__init__()
        self.makers, self.probability, self.mixed_up = list(stages), chance, shuffle

    def draw(self, rng):
        kept = [maker for maker in self.makers if rng.random() < self.probability]
        if self.mixed_up and kept:
            kept = [kept[k] for k in rng.choice(len(kept), size=len(kept), replace=False)]
        return [maker(rng) for maker in kept]

    def forward(self, x, rng):
        if x.ndim == 3:
            todo = self.draw(rng)
            while todo:
                x = todo.pop(0)(x, rng)
            return x
        y = torch.empty_like(x)
        for n in range(x.shape[0]):
            y[n] = self.forward(x[n], rng)
        return y
""",
}

WRONG = {
    "paired_crop": from_one(_CROP, _WRONG_CROP),
    "turn_pair": from_one(_TURN, _WRONG_TURN),
    "cutblur": from_one(_CUT, _WRONG_CUT),
    "random_pipeline": from_one(_PIPELINE, _WRONG_PIPELINE),
}
RIGHT = {
    "paired_crop": _RIGHT_CROP,
    "turn_pair": _RIGHT_TURN,
    "cutblur": _RIGHT_CUT,
    "random_pipeline": _RIGHT_PIPELINE,
}
