"""Which answers are strikingly alike? A hint to look, not a verdict: students who worked honestly may be alike too.

An answer is taken as its words, without comments, docstrings, spacing and imports. Names that the student chose count
as one word, texts in quotes as another; numbers, and what is called or taken from a library, count as they are. Five
words in a row are a *phrase* (the k-grams of Schleimer, Wilkerson and Aiken, "Winnowing", SIGMOD 2003). An answer's own
phrases are those that the course's answer has not, and at most a third of the class. Two students are listed for an
exercise, or for all of them together, if

- they share at least 60% of the own phrases of the one who has fewer, and
- that is at least 30 phrases, and at least a quarter of these, more than either shares with the fifth most alike
  classmate; or
- their texts agree letter by letter, with a comment that nobody else wrote.

The second rule keeps short exercises quiet: an ordinary answer is shared by many, and two who wrote it need not have
met. It also means that in a class a copy of an ordinary answer to one exercise is not seen; that of a lesson is.

Measured, with what led to these numbers (much of the data is in tests/grading/test_similarity.py):

- Right answers in other words (tests/wrong_answers), compared by twos: none are listed, and at most 20 phrases are
  shared. 5 would be if only the skeleton were the course's, and not its answer: they found the obvious lines. 8 would
  be if nothing were.
- Made-up classes who choose each line of four exercises at random among a few, and 12 copies with new names, another
  order, new comments, prints put in, another layout, or all of that. Of 12 to 300 students, 11 copies are listed and
  fewer than one honest pair; of 3,000, 9 copies and no other pair. By the 60% alone it would be 1,699 honest pairs of
  300 students, and 200,000 of 3,000.
- Phrases of 8 words find fewer copies than 5, as prints break them. Thinning the phrases out ("winnowing", with a
  window of 4) finds 10 copies in place of 11; answers are short, so all phrases are kept.
"""

import ast
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from keyword import iskeyword
from pathlib import Path

import numpy as np

import course_utils
from course_utils.exercises import exercises
from course_utils.files import CourseError, atomic
from course_utils.grading.feedback import PAGE, STYLE
from course_utils.grading.records import checked_all, one_line, readable

PHRASE = 5  # words
RING = 5  # students: what more of them share is what the class writes, no copy
COMMON = 1 / 3  # of the class
ALIKE = 0.6
BEYOND, QUARTER = 30, 0.25  # phrases, and of the own ones
FEWEST = 10  # own phrases of an answer that is copied letter by letter
LONGEST = 2000  # words; no answer to an exercise comes near
BLOCK = 256  # students

TEXT = r"""[rbuftRBUFT]{0,2}(?>'''.*?(?:'''|\Z)|\"{3}.*?(?:\"{3}|\Z)|'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?)"""
WORD = re.compile(  # not Python's tokenizer: answers need not parse, and what is a token changes with its version
    rf"""
    (?P<nothing>^[^\S\n]*(?:import|from)\b[^\n]* | ^[^\S\n]*{TEXT}[^\S\n]*$ | raise\s+NotImplementedError\b
        | \#[^\n]* | \\?\n | [^\S\n]+)
    | (?P<text>{TEXT})
    | (?P<number>\.?\d[\w.]*)
    | (?P<name>\w+)
    | (?P<sign>[=!<>]= | \*\* | [^\w\s])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Pair:
    """Two students whose answers are strikingly alike.

    Attributes:
        a, b: their keys.
        exercise: its name; "" if it is all exercises together.
        alike: of the own phrases of the one who has fewer, the share that the other has too, 0 to 1.
        shared: the number of these phrases.
        beyond: how many more that is than either shares with the fifth most alike of the class.
        letters: the exercises in which they agree letter by letter, with comments and spacing.
        marks: {exercise: (places in the answer of a, places in that of b)}, [(start, end)] of what is shared.
    """

    a: str
    b: str
    exercise: str
    alike: float
    shared: int
    beyond: int
    letters: tuple = ()
    marks: dict = field(default_factory=dict, repr=False, compare=False)


def pairs(records, course=None):
    """The pairs of students whose answers are strikingly alike, the most striking first.

    3,000 students with 8 exercises take 8 s on one core and 100 MiB beside the kit's own; 20 s and 235 MiB if a tenth
    of them hand in 20,000 characters of noise for each.

    Args:
        records: of a class, see course_utils.grading.records.
        course: {exercise: [source]}, what the course itself gives away; None takes the course's own answers.

    Returns:
        A list of Pair. Two who are alike in all exercises together are one pair, with exercise "".

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    sources = _sources(records)
    course = references(sources) if course is None else course
    phrases = {name: _phrases(texts, course.get(name, ())) for name, texts in sources.items()}
    found = []
    for name, close in _all_close(sources, phrases, course).items():
        for (a, b), figures in close.items():
            parts = [name] if name else list(sources)
            marks = {part: marked for part in parts if (marked := _marks(sources[part], phrases[part], a, b))}
            letters = tuple(part for part in marks if sources[part][a] == sources[part][b])
            found.append(Pair(records[a]["key"], records[b]["key"], name, *figures, letters, marks))
    return sorted(found, key=lambda pair: (-pair.beyond, -pair.alike, pair.a, pair.b, pair.exercise))


def references(names):
    """{exercise: [the source of the course's own answer]}, for those of the names that the course knows."""
    known = exercises()
    return {name: [_source_of(known[name].reference)] for name in names if name in known}


def _source_of(reference):
    """The source of "course_utils.module:Symbol", read from its file: an import would bring PyTorch with it."""
    module, _, symbol = reference.partition(":")
    path = Path(course_utils.__file__).parent.parent / f"{module.replace('.', '/')}.py"
    text = path.read_text(encoding="utf-8")
    (node,) = [node for node in ast.parse(text).body if getattr(node, "name", None) == symbol]
    return ast.get_source_segment(text, node)


def words(source):
    """The words of an answer that are compared, LONGEST at most: [(word, start, end)], in the order of the source.

    It need not parse. A text in quotes is '""'. A name is "name", unless it is a library's: it stands behind a dot or
    before a bracket, and the answer does not define it.
    """
    found = list(islice((match for match in WORD.finditer(source) if match.lastgroup != "nothing"), LONGEST))
    texts = ["", *(match[0] for match in found), ""]
    around = list(zip(texts, texts[1:], texts[2:], strict=False))  # (the word before, a word, the word behind)
    functions = {text for before, text, _ in around if before in ("def", "class")}
    attributes = functions | {text for before, text, after in around if before == "." and after == "="}
    variables = functions | {text for before, text, after in around if before != "." and after != "("}

    def word(kind, before, text, after):
        library = text not in attributes if before == "." else after == "(" and text not in variables
        return '""' if kind == "text" else text if kind != "name" or iskeyword(text) or library else "name"

    return [(word(match.lastgroup, *each), *match.span()) for match, each in zip(found, around, strict=True)]


# --- Phrases ---


def _sources(records):
    """{exercise: [each student's answer, or ""]}."""
    names = dict.fromkeys(exercise["name"] for record in records for exercise in record["exercises"])
    sources = {name: [""] * len(records) for name in names}
    for i, record in enumerate(records):
        for exercise in record["exercises"]:
            sources[exercise["name"]][i] = _tidy(exercise["source"])
    return sources


def _tidy(source):
    """The source as it is compared and shown: line ends are one kind, and what cannot be seen is spelt out."""
    return readable(source).strip()


def _phrases(sources, course):
    """For each source the number of the phrase that begins at each word; -1 if that is the course's or the class's."""
    numbers = {}
    for text in course:
        _numbered(text, numbers)
    given = len(numbers)  # numbers below are the course's
    found = [_numbered(source, numbers) for source in sources]
    often = np.zeros(len(numbers), int)
    for each in found:
        often[np.unique(each)] += 1
    dropped = often > max(RING, COMMON * sum(map(bool, sources)))
    dropped[:given] = True
    return [np.where(dropped[each], -1, each) for each in found]


def _numbered(source, numbers):
    texts = [word for word, _, _ in words(source)]
    phrases = zip(*(texts[i:] for i in range(PHRASE)), strict=False)
    return np.array([numbers.setdefault(phrase, len(numbers)) for phrase in phrases], dtype=np.int32)


def _matrix(phrases):
    """Who has which own phrase: a sparse matrix of 0 and 1, (students, phrases)."""
    from scipy.sparse import csr_matrix

    rows = [np.unique(each[each >= 0]) for each in phrases]
    columns, starts = np.concatenate(rows), np.cumsum([0, *map(len, rows)])
    return csr_matrix((np.ones(len(columns), np.float32), columns, starts), (len(rows), columns.max(initial=0) + 1))


# --- Pairs ---


def _all_close(sources, phrases, course):
    """{exercise, or "" for all: {(a, b): (alike, shared, beyond)}}; who is listed under "" is not listed again."""
    from scipy.sparse import hstack

    if len(sources) == 0:
        return {}
    matrices = {name: _matrix(each) for name, each in phrases.items()}
    whole = _close(hstack(list(matrices.values()), format="csr"))
    single = {name: _close(each, _same_text(sources[name], course.get(name, ()))) for name, each in matrices.items()}
    several = {(a, b) for a, b in whole if sum(each[a].multiply(each[b]).nnz > 0 for each in matrices.values()) > 1}
    found = {"": {pair: whole[pair] for pair in several}}
    return found | {name: {p: close[p] for p in close if p not in several} for name, close in single.items()}


def _close(matrix, same=None):
    """{(a, b): (alike, shared, beyond)} of the students who share far more than either does with most of the others.

    Args:
        matrix: (students, phrases).
        same: {student: those with the same text}, who are close anyway.
    """
    own = np.asarray(matrix.sum(axis=1)).ravel()
    columns, found = matrix.T.tocsr(), {}  # found from both sides: a is alike to b, and b to a
    for start in range(0, len(own), BLOCK):
        for a, shared in enumerate((matrix[start : start + BLOCK] @ columns).toarray(), start):
            shared[a] = 0
            usual = np.partition(shared, -RING)[-RING] if len(shared) > RING else 0
            fewer = np.maximum(np.minimum(own[a], own), 1)
            enough = (shared >= ALIKE * fewer) & (shared >= usual + np.maximum(BEYOND, QUARTER * fewer))
            close = set(np.flatnonzero(enough))
            close |= same.get(a, set()) if same and own[a] >= FEWEST else set()
            found |= {(a, int(b)): (float(shared[b] / fewer[b]), int(shared[b]), int(shared[b] - usual)) for b in close}
    both = {(a, b) for a, b in found if a < b and (b, a) in found}
    return {(a, b): min(found[a, b], found[b, a], key=lambda figures: figures[2]) for a, b in sorted(both)}


def _same_text(sources, course):
    """{student: the few others with the same text}, where a comment stands in it that nobody else wrote."""
    students = defaultdict(set)
    for i, source in enumerate(sources):
        students[source].add(i)
    remarks = {text: _remarks(text) for text in [*students, *course]}
    often = Counter(remark for found in remarks.values() for remark in found)
    few = {text: who for text, who in students.items() if 1 < len(who) <= RING}
    remarkable = [who for text, who in few.items() if any(often[remark] == 1 for remark in remarks[text])]
    return {a: who - {a} for who in remarkable for a in who}


def _remarks(source):
    """The comments of two words or more: a single word says nothing."""
    return {found for each in re.findall("#.*", source) if " " in (found := each.strip("# "))}


def _marks(sources, phrases, a, b):
    """The places of the shared phrases in the answers of a and b; None if there are none."""
    shared = np.intersect1d(phrases[a], phrases[b])
    shared = shared[shared >= 0]
    return tuple(_places(sources[i], np.isin(phrases[i], shared)) for i in (a, b)) if len(shared) else None


def _places(source, begins):
    """[(start, end)] of what is covered by phrases, where begins[i] says whether one of them begins at word i."""
    places, covered = [], 0
    for i, (_, start, end) in enumerate(words(source)):
        covered = i + PHRASE if i < len(begins) and begins[i] else covered
        if places and covered > i and source[places[-1][1] : start] in ("", " "):
            places[-1] = (places[-1][0], end)
        elif covered > i:
            places.append((start, end))
    return places


# --- The report ---

HINT = """
<p><b>A hint to look, not a verdict.</b> These students wrote answers that share far more than is usual in this class.
That is no proof that anybody copied: snippets from the lesson, its documentation or the web, and work in a study group,
make answers alike, and so does chance in a large class. Read both answers, and ask both students.</p>
<p>Comments, spacing, imports, the texts of messages and the names that students chose are left out of account; so is
what the course gave away and what more than a third of the class wrote. <em>Alike</em> says how much of the rest the
two have in common, as seen from the one who wrote less; in the answers, that is marked. An ordinary answer that
was copied is not found, unless other exercises were copied with it.</p>
"""
EXTRA = """
main>p{max-width:46rem}td:first-child,thead td{min-width:0}section{padding:6px 20px;margin:8px 0}details{margin:0}
.two{display:grid;grid-template-columns:1fr 1fr;gap:0 16px}.two>*{min-width:0}
h2{font-size:17px;margin:20px 0 0}h3{font-size:15px;font-weight:400;margin:8px 0 0}
mark{background:#fbe3a6;color:inherit}
@media(prefers-color-scheme:dark){mark{background:#57450f}}
@media(max-width:44rem){.two{grid-template-columns:1fr}.two h3:nth-of-type(2){order:1}.two pre:last-child{order:2}}
@media print{mark{background:none;text-decoration:underline}}
"""


def report(records, path, most=50):
    """Write a page of the pairs whose answers are strikingly alike, each with its answers side by side.

    Args:
        records: of a class, see course_utils.grading.records.
        path: of the page; it is one file that runs nothing and fetches nothing.
        most: how many pairs stand on it, the most striking ones.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none; `most` below 1.
    """
    if most < 1:
        raise CourseError(f"most={most}: a report of no pairs says nothing; give 1 or more")
    records = checked_all(records)
    names = {record["key"]: _name(record) for record in records}
    sources = {record["key"]: {each["name"]: each["source"] for each in record["exercises"]} for record in records}
    found = pairs(records)
    shown = found[:most]
    parts = ["<h1>Answers that are alike</h1>", HINT, _count(found, shown, records)]
    parts += [_table(shown, names)] if shown else []
    parts += [_section(number, pair, names, sources) for number, pair in enumerate(shown, 1)]
    page = PAGE.format(
        title="Answers that are alike", style=STYLE + EXTRA, body=f'<main class="wide">{"".join(parts)}</main>'
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return Path(path)


def _count(found, shown, records):
    of = f"{len(records):,} students"
    if not found:
        return f"<p>No two of {of} are strikingly alike.</p>"
    left = f", the first {len(shown)} of them below" if len(shown) < len(found) else ""
    return f"<p>{len(found):,} {'pair' if len(found) == 1 else 'pairs'} among {of}{left}.</p>"


def _table(shown, names):
    titles = ("Students", "Exercise", "Alike", "Letter by letter")
    head = "<td></td>" + "".join(f"<th scope=col>{title}</th>" for title in titles)
    rows = "".join(
        f'<tr><td><a href="#pair-{number}">{number}</a></td><th scope=row>{_students(pair, names)}</th>'
        f"<td>{_exercise(pair)}</td><td>{_alike(pair)}</td><td>{_letters(pair)}</td></tr>"
        for number, pair in enumerate(shown, 1)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="group" aria-label="Table of the pairs">{table}</div>'


def _section(number, pair, names, sources):
    """A pair's answers side by side, folded; a link to its inside unfolds it."""
    parts = []
    for exercise, places in pair.marks.items():
        both = [_marked(sources[key][exercise], each) for key, each in zip((pair.a, pair.b), places, strict=True)]
        heads = f"<h3>{names[pair.a]}</h3><h3>{names[pair.b]}</h3>"
        pres = f"<pre>{both[0]}</pre><pre>{both[1]}</pre>"
        parts.append(f'<h2>{escape(one_line(exercise))}</h2><div class="two">{heads}{pres}</div>')
    head = f"{number}. {_students(pair, names)}, {_exercise(pair)}: {_alike(pair)}"
    inside = f'<div id="pair-{number}">{"".join(parts)}</div>'
    return f"<section><details><summary>{head}</summary>{inside}</details></section>"


def _marked(source, places):
    source, parts, done = _tidy(source), [], 0
    for start, end in places:
        parts.append(f"{escape(source[done:start])}<mark>{escape(source[start:end])}</mark>")
        done = end
    return "".join(parts) + escape(source[done:])


def _name(record):
    name, key = one_line(record["student"], 100), record["key"]
    return f"<bdi>{escape(name or key)}</bdi>" + (f" ({escape(key)})" if name not in ("", key) else "")


def _students(pair, names):
    return f"{names[pair.a]} and {names[pair.b]}"


def _exercise(pair):
    return escape(one_line(pair.exercise)) or "all exercises together"


def _alike(pair):
    levels = ((0.995, "all"), (0.9, "nearly all"), (0.75, "most"), (0, "more than half"))
    return f"{next(text for least, text in levels if pair.alike >= least)} ({pair.alike:.0%})"


def _letters(pair):
    names = ", ".join(escape(one_line(exercise)) for exercise in pair.letters)
    return ("yes" if pair.exercise else names) if pair.letters else "no"
