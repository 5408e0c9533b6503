"""The similarity report: copies are found whatever was changed about them, honest answers are left alone."""

import ast
import itertools
import random
import re
import shutil
import sys
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.exercises import exercises
from course_utils.files import CourseError
from course_utils.grading.similarity import RING, pairs, references, report, words

sys.path.insert(0, str(Path(__file__).parents[1] / "wrong_answers"))
from answers import RIGHT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>&amp;</pre>\u202e\x1b[31m\0\ud800"
UNUSUAL = """
import itertools
import numpy as np

def tiles(height, width, tile, halo):
    size = np.array([height, width])
    steps = [range(-(-side // tile)) for side in size]
    for place in itertools.product(*steps):
        begin = tile * np.asarray(place)
        end = np.minimum(begin + tile, size)
        wide = np.clip([begin - halo, end + halo], 0, size).T
        yield tuple(slice(*map(int, pair)) for pair in wide), tuple(map(slice, begin.tolist(), end.tolist()))
"""
SKELETON = '''
class DnCNN(nn.Module):
    """Predict the noise in an image: y -> R(y), both (N, C, H, W). The restored image is y - R(y)."""

    def __init__(self, channels=3, depth=17, width=64, batch_norm=True):
        super().__init__()
        self.config = {"channels": channels, "depth": depth, "width": width, "batch_norm": batch_norm}
        self.receptive_radius = depth  # why? part 7 asks
        # convolution + ReLU, then (depth - 2) times convolution + batch norm + ReLU, then a convolution
        raise NotImplementedError

    def forward(self, y):
        raise NotImplementedError

    def restore(self, y):
        """The image without its predicted noise: (N, C, H, W) -> (N, C, H, W), not clipped."""
        raise NotImplementedError
'''


def record(key, **sources):
    given = [{"name": name, "outcome": "holds", "points": 0, "of": 1, "source": text} for name, text in sources.items()]
    return {"key": key, "student": key.title(), "points": 0, "of": 1, "exercises": given}


def two(a, b, exercise="tiles"):
    return [record("ada", **{exercise: a}), record("bob", **{exercise: b})]


FILLERS = [record(f"z{i}", tiles="pass", best_step="pass") for i in range(3 * RING)]  # make a third of the class many


def who(found):
    return [(pair.a, pair.b, pair.exercise) for pair in found]


# --- What students do to an answer that is not theirs ---


def renamed(source):
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    new = {name: f"my_{number}" for number, name in enumerate(sorted(names))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = new.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = new[node.arg]
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            node.attr += "_"
    text = ast.unparse(tree)
    for attribute in {
        node.attr[:-1] for node in ast.walk(tree) if isinstance(node, ast.Attribute) if node.attr[-1] == "_"
    }:
        text = re.sub(rf"\.{attribute}\b", f".{attribute}_", text)  # where it is read
    return text


def reordered(source):
    """Functions in a class or a function, and statements of the module, the other way round."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            places = [i for i, each in enumerate(node.body) if isinstance(each, ast.FunctionDef | ast.ClassDef)]
            for i, each in zip(places, [node.body[i] for i in reversed(places)], strict=True):
                node.body[i] = each
    return ast.unparse(tree)


def commented(source):
    lines = [
        f"{line}  # step {number}, my own" if line.strip() else line for number, line in enumerate(source.split("\n"))
    ]
    return '"""All of this is mine."""\n' + "\n".join(lines)


def printed(source):
    """With a print before every third statement of a body."""
    tree = ast.parse(source)
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.For | ast.If):
            for place in range(len(node.body) - 1, -1, -3):
                node.body.insert(place, ast.parse("print('here', 1)").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def respaced(source):
    return re.sub(r"(?<=\S) *([=+*/,]) *", r"  \1 ", source).replace("\n", "\r\n").replace("    ", "\t")


def other_texts(source):
    return re.sub(r'"[^"\n]*"', "'quite another text'", source)


def everything(source):
    return commented(printed(reordered(renamed(other_texts(source)))))


DISGUISES = [str, renamed, reordered, commented, printed, respaced, other_texts, everything]
LONG = [
    ("random_patch", "both as one array"),
    ("random_patch", "mirrors and a swap of axes"),
    ("dncnn", "explicit layers, the last first"),
    ("dncnn", "blocks"),
    ("tiles", "a generator, columns first"),
    ("tiles", "the small tile first"),
]


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize(("exercise", "variant"), LONG)
def test_a_copy_is_listed_whatever_was_changed_about_it(exercise, variant, disguise):
    source = RIGHT[exercise][variant]
    (pair,) = pairs(two(source, disguise(source), exercise))
    assert (pair.a, pair.b, pair.exercise) == ("ada", "bob", exercise)
    assert pair.alike >= 0.6 and pair.shared == pair.beyond >= 30  # two make no class: nothing is usual
    assert pair.letters == ((exercise,) if source == disguise(source) else ())
    if disguise in (str, renamed, reordered, commented, other_texts, respaced):
        assert pair.alike >= 0.9


@pytest.mark.parametrize("exercise", RIGHT)
def test_the_same_answer_found_twice_is_not_listed(exercise):
    answers = list(RIGHT[exercise].values()) + references([exercise])[exercise]
    for a, b in itertools.combinations(answers, 2):
        assert pairs(two(a, b, exercise)) == []


def test_what_the_course_gave_away_is_nobodys_copy():
    (reference,) = references(["dncnn"])["dncnn"]
    for text in (SKELETON, reference, renamed(reference), f"# the course's own\n{reference}"):
        assert pairs([record(f"s{i}", dncnn=text, tiles="") for i in range(4)]) == []
    helper = UNUSUAL + "\n# as shown in the lecture"
    assert len(pairs(two(helper, helper))) == 1
    assert pairs(two(helper, helper), course={"tiles": [UNUSUAL]}) == []


def test_short_answers_are_listed_where_the_whole_lesson_was_copied():
    short = {"psnr": "infinity by hand", "best_step": "sorted", "residual_loss": "functional", "match_pairs": "sets"}
    ada = record("ada", **{name: RIGHT[name][variant] for name, variant in short.items()})
    bob = record("bob", **{name: renamed(RIGHT[name][variant]) for name, variant in short.items()})
    (pair,) = pairs([ada, bob])
    assert pair.exercise == "" and set(pair.marks) == set(short) and pair.letters == ()
    assert pairs([record("ada", psnr=RIGHT["psnr"]["infinity by hand"]), record("bob", psnr="")]) == []


def test_a_short_answer_letter_by_letter_with_its_own_comment_is_listed():
    short = RIGHT["best_step"]["a NumPy number"]
    source = short.replace("return", "# funny: the  index of an index\n    return")
    others = [record(f"s{i}", best_step=short) for i in range(2)]
    (pair,) = pairs(two(source, source, "best_step") + others)
    assert pair.letters == ("best_step",) and (pair.a, pair.b) == ("ada", "bob") and pair.shared < 30
    assert pairs(two(source, source.replace("  index", " index"), "best_step") + others) == []
    ring = [record(f"t{i}", best_step=source) for i in range(RING + 1)]
    assert len(pairs(ring[:RING] + FILLERS)) == RING * (RING - 1) // 2 and pairs(ring + FILLERS) == []
    elsewhere = [record("eve", best_step="# funny: the  index of an index")]
    assert pairs(two(source, source, "best_step") + elsewhere) == []
    assert pairs([record(f"t{i}", dncnn=SKELETON) for i in range(3)]) == []  # it has comments, but no answer


def test_what_many_wrote_is_no_copy_and_a_ring_is():
    ring = [record(f"s{i}", tiles=UNUSUAL) for i in range(RING)]
    assert len(pairs(ring)) == len(pairs(ring + FILLERS)) == RING * (RING - 1) // 2
    more = [*ring, record("another", tiles=renamed(UNUSUAL))]
    assert pairs(more) == pairs(more + FILLERS) == []


def test_far_more_than_usual_is_meant_for_both():
    """Bob has much in common with many, so what he has in common with Ada is nothing special for him."""
    often = RIGHT["dncnn"]["explicit layers, the last first"]
    many = [record(f"s{i}", tiles=often) for i in range(RING)]
    assert len(pairs(two(UNUSUAL, UNUSUAL) + many + FILLERS)) == 1 + RING * (RING - 1) // 2
    assert ("ada", "bob", "tiles") not in who(pairs(two(UNUSUAL, UNUSUAL + often) + many + FILLERS))


def test_an_exercise_alone_is_named_even_if_others_were_handed_in():
    others = RIGHT["dncnn"]
    ada = record("ada", tiles=UNUSUAL, dncnn=others["blocks"])
    bob = record("bob", tiles=renamed(UNUSUAL), dncnn=others["explicit layers, the last first"])
    assert who(pairs([ada, bob])) == [("ada", "bob", "tiles")]


# --- A class ---

MIRRORED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq}


class Habits(ast.NodeTransformer):
    """The same in other words: at each place, chance decides whether to write it in another way."""

    def __init__(self, chance):
        self.chance = chance

    def visit(self, node):
        super().generic_visit(node)
        ways = getattr(self, type(node).__name__, None)
        return self.chance.choice([node, node, *ways(node)]) if ways else node

    def BinOp(self, node):
        a, b = ast.unparse(node.left), ast.unparse(node.right)
        if isinstance(node.op, ast.Add | ast.Mult):
            yield ast.BinOp(node.right, node.op, node.left)
        elif isinstance(node.op, ast.Sub):
            yield from map(expression, (f"-({b}) + ({a})", f"({a}) + (-({b}))"))
        elif isinstance(node.op, ast.Div):
            yield from map(expression, (f"({a}) * (1 / ({b}))", f"np.divide({a}, {b})"))
        elif b == "2":
            yield from map(expression, (f"({a}) * ({a})", f"pow({a}, 2)", f"({a}).square()"))

    def Compare(self, node):
        if type(node.ops[0]) in MIRRORED:
            yield ast.Compare(node.comparators[0], [MIRRORED[type(node.ops[0])]()], [node.left])

    def Call(self, node):
        name, given = ast.unparse(node.func), [ast.unparse(each) for each in node.args]
        if name in ("max", "min") and len(given) == 2:
            yield from map(expression, (f"{name}({given[1]}, {given[0]})", f"{name}([{given[0]}, {given[1]}])"))
        elif name == "range" and len(given) == 1:
            yield expression(f"range(0, {given[0]})")
        elif name == "len":
            yield from map(expression, (f"{given[0]}.shape[0]", f"{given[0]}.size(0)"))
        elif len(node.keywords) > 1:
            yield ast.Call(node.func, node.args, node.keywords[::-1])

    def Return(self, node):
        if node.value:
            yield ast.parse(f"answer = {ast.unparse(node.value)}\nreturn answer").body

    def Assign(self, node):
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield [ast.Assign([a], b, lineno=0) for a, b in zip(target.elts, value.elts, strict=True)]
        elif isinstance(target, ast.Name):
            yield ast.parse(f"{target.id}: object = {ast.unparse(value)}").body
            yield ast.parse(f"_{target.id} = {ast.unparse(value)}\n{target.id} = _{target.id}").body

    def If(self, node):
        yield ast.If(expression(f"bool({ast.unparse(node.test)})"), node.body, node.orelse)
        yield ast.If(expression(f"({ast.unparse(node.test)}) is not False"), node.body, node.orelse)


def expression(text):
    return ast.parse(text, mode="eval").body


HANDED_IN = [*exercises("00_welcome"), *exercises("05_dncnn")]  # two lessons; of each answer, a few ways to write it


def a_class(size, seed=0):
    """Students who have nothing to do with each other: {key: {exercise: source}}."""
    students = {}
    for i in range(size):
        chance = random.Random(f"{seed} {i}")
        answers = {name: chance.choice(list(RIGHT[name].values())) for name in HANDED_IN}
        students[f"s{i:03}"] = {
            name: ast.unparse(Habits(chance).visit(ast.parse(text))) for name, text in answers.items()
        }
    return students


def test_in_a_class_of_300_two_copies_are_found_and_nobody_else_is():
    sources = a_class(298)
    sources["lazy"] = {name: renamed(text) for name, text in sources["s017"].items()}
    sources["sly"] = {name: commented(printed(text)) for name, text in sources["s204"].items()}
    records = [record(key, **answers) for key, answers in sources.items()]
    found = pairs(records)
    assert sorted(who(found)) == [("lazy", "s017", ""), ("s204", "sly", "")]
    assert found[0].beyond > found[1].beyond
    random.Random(1).shuffle(records)
    assert pairs(records) == found


def test_in_a_class_an_unusual_answer_to_one_exercise_is_found():
    sources = a_class(100)
    sources["s001"]["tiles"], sources["s002"]["tiles"] = UNUSUAL, everything(UNUSUAL)
    assert who(pairs([record(key, **answers) for key, answers in sources.items()])) == [("s001", "s002", "tiles")]


# --- Anything may be an answer ---


@pytest.mark.parametrize(
    "records", [[], [record("ada")], two("", ""), [*two("", UNUSUAL), record("eve")], two("x", "x")]
)
def test_nothing_to_compare(records, tmp_path):
    assert pairs(records) == []
    assert "strikingly alike" in report(records, tmp_path / "page.html").read_text()


def test_an_answer_need_not_parse():
    broken = UNUSUAL.replace("product(*steps)", "product(*steps").replace("yield tuple(", "yield tuple((")
    with pytest.raises(SyntaxError):
        ast.parse(broken)
    (pair,) = pairs(two(broken, broken.replace("halo", "margin").replace("\n", "   # so\n")))
    assert pair.alike > 0.95
    assert pairs(two(UNUSUAL, broken))[0].alike > 0.8


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "x = " + "1 + " * 25_000 + "1",
        "'" * 99_999,
        '"""\n' * 25_000,
        "#" * 100_000,
        "# \n" * 33_000,
        "\\\n" * 50_000,
        ("raise" + " " * 500) * 200,
        "f(" * 50_000,
        "größe = 名前 + ñ  # ünï\n" * 5000,
        "\0\x1b\ud800\u202e" * 25_000,
    ],
)
def test_100_kb_of_anything(text, tmp_path):
    assert len(words(text)) <= 2000
    pairs(two(text, text))
    report(two(text, text), tmp_path / "page.html").read_text(encoding="utf-8")


@given(st.text() | st.text(alphabet="\"'#\\ \n\tafr(=.0"))
def test_words_stand_in_the_source_in_order(source):
    end = 0
    for word, start, stop in words(source):
        assert end <= start < stop <= len(source) and word and source[start:stop].strip()
        end = stop


def test_words():
    source = r'''
import numpy as np
from torch import nn

def spread(values, by=0.5):
    """How far
    they spread."""
    total = helper(values) ** 2  # a comment
    self.mean = np.mean(values, axis=1).mean()
    if by == total: raise NotImplementedError
    return f"{total}" 'b' + r"\\" if True else None

def helper(x): return x[1:]
'''
    found = " ".join(word for word, _, _ in words(source))
    assert found == (
        "def name ( name , name = 0.5 ) : name = name ( name ) ** 2 "
        "name . name = name . name ( name , name = 1 ) . name ( ) "
        'if name == name : return "" "" + "" if True else None def name ( name ) : return name [ 1 : ]'
    )
    assert "".join(word for word, _, _ in words("x.mean(); len(y)")) == "name.mean();len(name)"


# --- The report ---


def test_the_report_shows_pairs_side_by_side_with_what_they_share_marked(tmp_path):
    path = report(two(UNUSUAL, commented(UNUSUAL) + "\nprint(0)"), tmp_path / "new" / "page.html")
    page = path.read_text(encoding="utf-8")
    assert "A hint to look, not a verdict." in page and "1 pair among 2 students." in page
    assert "<bdi>Ada</bdi> (ada) and <bdi>Bob</bdi> (bob)</th><td>tiles</td><td>all (100%)</td><td>no</td>" in page
    first, second = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    assert unescape(re.sub("</?mark>", "", first)) == UNUSUAL.strip()
    marked = [" ".join(re.findall("<mark>(.*?)</mark>", each)) for each in (first, second)]
    assert marked[0] == marked[1] and "steps = [range(-(-side // tile)) for side in size]" in unescape(marked[0])
    assert "my own" in second and "my own" not in marked[1] and "print" not in marked[1]
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]


def test_whatever_a_student_wrote_stays_text(tmp_path):
    source = f"{UNUSUAL}\n# {ATTACK}\nattack = {ATTACK!r}\n{ATTACK}\n# {ATTACK}"
    records = two(source, source)
    for each in records:
        each["student"] = ATTACK
    page = report(records, tmp_path / "page.html").read_text(encoding="utf-8")
    assert (
        """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">"""
        in page
    )
    tags = set(re.findall(r"<(\w+)", page))
    assert not tags & {"script", "img", "link", "iframe"} and page.count("<pre>") == page.count("</pre>") == 2
    assert not re.search("[\0-\x08\x0b-\x1f\u202e]", page) and "\\u202e" in page and "<td>yes</td>" in page
    assert not re.findall(r"(?:src|href)=\"(?!#)", page)


def test_most_says_how_many_stand_there(tmp_path):
    records = [record(f"s{i}", tiles=UNUSUAL) for i in range(4)]
    page = report(records, tmp_path / "page.html", most=2).read_text(encoding="utf-8")
    assert "6 pairs among 4 students, the first 2 of them below." in page and page.count("<details>") == 2
    with pytest.raises(CourseError, match="most=0: a report of no pairs"):
        report(records, tmp_path / "page.html", most=0)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("call", [pairs, lambda records: report(records, "nowhere.html")])
def test_what_is_no_record_is_named(call):
    with pytest.raises(CourseError, match="a str where a record is expected"):
        call(["ada"])


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_the_page_can_be_read_and_a_link_unfolds_the_answers(browser, tmp_path, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    sources = {"tiles": UNUSUAL, "dncnn": RIGHT["dncnn"]["blocks"]}
    path = report([record(f"s{i}", **sources) for i in range(3)], tmp_path / "page.html")
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    page.goto(path.as_uri())
    assert not page.locator("pre").first.is_visible()
    page.get_by_role("link", name="2", exact=True).click()
    assert page.locator("#pair-2 pre").first.is_visible() and not page.locator("#pair-1 pre").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    first, second = (page.locator("#pair-2 pre").nth(i).bounding_box() for i in (0, 1))
    assert (first["y"] == second["y"]) == (width > 1000)
    results = axe.run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()
