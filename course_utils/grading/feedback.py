"""Pages that are made from records alone: feedback for each student, and an index for the instructor.

Whatever a student could have written is shown as text, with what cannot be seen made visible. A page is one file, runs
nothing, fetches nothing, and tells of hidden claims only how many there are, how many hold, and their points.
"""

from html import escape
from pathlib import Path
from urllib.parse import quote

from course_utils.files import atomic
from course_utils.grading.records import UNTRUSTED, checked, checked_all, decimal, one_line, readable

HEADS = {
    "holds": "right",
    "does not hold": "not right",
    "raised": "raised an error",
    "stopped": "stopped",
    "not attempted": "not attempted",
}
ABOUT = {
    "stopped": "The answer was stopped before it could be judged: it took too long, crashed, or ran out of memory.",
    "not attempted": "No answer was found, or it still raises NotImplementedError.",
}
LONGEST_NAME = 100
LONGEST_NOTICE = 2000  # characters
LONGEST_TEXT = 20_000

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf8;--sheet:#fff;--ink:#23211e;--soft:#635e57;--line:#e3dfd8;--bar:#ece8e1;
--good:#1b6e3c;--bad:#9a4a12;--none:#635e57}
@media(prefers-color-scheme:dark){:root{--paper:#17181a;--sheet:#1f2124;--ink:#e7e5e1;--soft:#a8a49d;--line:#34373b;
--bar:#2f3236;--good:#7fcf9b;--bad:#f0a878;--none:#a8a49d}}
*{box-sizing:border-box}
body{font:17px/1.55 system-ui,sans-serif;background:var(--paper);color:var(--ink);margin:0;overflow-wrap:anywhere}
main{max-width:46rem;margin:0 auto;padding:40px 20px 64px}
main.wide{max-width:72rem}
h1{font-size:30px;line-height:1.2;margin:0 0 20px;font-weight:650;letter-spacing:-.01em}
h2{font-size:20px;line-height:1.3;margin:0;font-weight:650}
p,ul{margin:8px 0}ul{padding:0;list-style:none}
.over{color:var(--soft);font-size:15px;margin:0 0 4px}
.total{font-size:22px;margin:0 0 10px}.total b{font-size:34px;font-weight:650;letter-spacing:-.01em}
.bar{height:8px;margin-bottom:18px;border-radius:4px;background:var(--bar);overflow:hidden;print-color-adjust:exact}
.bar span{display:block;height:100%;background:var(--good)}
.soft{color:var(--soft);font-size:15px}
section{background:var(--sheet);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:20px 0}
.head{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:4px 16px;margin-bottom:10px}
.head p{margin:0}
.good{color:var(--good)}.bad{color:var(--bad)}.none{color:var(--none)}
li{padding:8px 0 8px 3.1em;border-top:1px solid var(--line);position:relative}
li>b{position:absolute;left:0;font-weight:650}
li .worth{color:var(--soft);font-size:15px;white-space:nowrap}
.why{display:block;color:var(--soft);margin-top:2px}
.error{border-left:3px solid var(--bad);padding:2px 0 2px 14px;margin:12px 0}
.error p{margin:2px 0}
pre,code{font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{white-space:pre-wrap;margin:8px 0 4px;padding:12px 14px;border-radius:6px;background:var(--paper);
border:1px solid var(--line);tab-size:4}
details{margin-top:8px}summary{cursor:pointer;color:var(--soft);font-size:15px;padding:4px 0}
summary:hover{color:var(--ink)}
:focus-visible{outline:2px solid #3b82f6;outline-offset:2px;border-radius:3px}
.scroll{overflow-x:auto}table{border-collapse:collapse;min-width:100%;font-size:15px}
th,td{text-align:left;vertical-align:top;padding:7px 18px 7px 0;border-bottom:1px solid var(--line);font-weight:400;
min-width:5.5em;overflow-wrap:break-word}
thead th{color:var(--soft)}thead th,td{white-space:nowrap}td:last-child{white-space:normal}
td.number{font-variant-numeric:tabular-nums}
tbody th{min-width:11em;max-width:18em}a{color:inherit;text-decoration-color:var(--soft);text-underline-offset:3px}
@media(max-width:32rem){main{padding:24px 14px 48px}section{padding:14px}h1{font-size:25px}}
@media print{:root{color-scheme:light;--paper:#fff;--sheet:#fff;--ink:#000;--soft:#444;--line:#bbb;--bar:#ddd;
--good:#14532d;--bad:#7c2d12;--none:#444}body{font-size:11pt}main{padding:0;max-width:none}
section{border:0;border-top:1px solid #bbb;border-radius:0;padding:12px 0;margin:12px 0 0}.head,li{break-inside:avoid}
.head{break-after:avoid}details::details-content{content-visibility:visible;display:block;height:auto}}
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""


def write_feedback(record, folder, title="Feedback"):
    """Write a student's page, folder/<key>.html.

    Args:
        record: of the submission, a line of records.jsonl.
        folder: made where it is missing.
        title: what the page is about, for example the lesson's name; it stands over the student's name.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none.
    """
    record = checked(record)
    name = _name(record)
    parts = [
        f'<p class="over">{_text(title)}</p><h1><bdi>{escape(name)}</bdi></h1>',
        _total(record),
        _list(["Handed in late."] if record["late"] else []),
        _list(record["notices"]),
        *map(_exercise, record["exercises"]),
        _graded_files(record),
    ]
    return _write(
        Path(folder) / f"{record['key']}.html", f"{one_line(title)}: {name}", f"<main>{''.join(parts)}</main>"
    )


def write_index(records, folder, title="Class", pages="feedback"):
    """Write the instructor's page, folder/index.html: a table of all, with links to the students' pages.

    Args:
        records: of a class.
        title: its heading.
        pages: where the students' pages are, as seen from the folder.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    names = list(dict.fromkeys(exercise["name"] for record in records for exercise in record["exercises"]))
    head = "".join(f"<th scope=col>{_text(text)}</th>" for text in ["Student", "Points", *names, "To look at"])
    rows = "".join(_row(record, names, pages) for record in records)
    count = "1 submission" if len(records) == 1 else f"{len(records)} submissions"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    box = f'<div class="scroll" tabindex="0" role="group" aria-label="Table of all submissions">{table}</div>'
    body = f'<main class="wide"><h1>{_text(title)}</h1><p class="soft">{count}</p>{box}</main>'
    return _write(Path(folder) / "index.html", one_line(title), body)


def _total(record):
    points, of = record["points"], record["of"]
    share = 100 * points / of if of else 0
    return (
        f'<p class="total"><b>{decimal(points)}</b> of {decimal(of)} points</p>'
        f'<div class="bar" aria-hidden="true"><span style="width:{share:.1f}%"></span></div>'
    )


def _exercise(exercise):
    outcome, points = exercise["outcome"], f"{decimal(exercise['points'])} of {decimal(exercise['of'])} points"
    visible = [result for result in exercise["results"] if not result["hidden"]]
    about = ABOUT.get(outcome, "")
    parts = [
        f'<div class="head"><h2>{_text(exercise["name"])}</h2><p><b class="{_tone(exercise)}">{_said(exercise)}</b>'
        f' <span class="soft">{points}</span></p></div>',
        f"<p>{about}</p>" if about else "",
        _error(exercise),
        f"<ul>{''.join(map(_claim, visible))}</ul>" if visible else "",
        _hidden([result for result in exercise["results"] if result["hidden"]]),
        _list(exercise["notices"]),
        _folded("Traceback", exercise["trace"]),
        _folded("What it printed", exercise["printed"]),
        _folded("Your answer", exercise["source"]),
    ]
    return f"<section>{''.join(parts)}</section>"


def _claim(result):
    mark = '<b class="good">Yes</b>' if result["holds"] else '<b class="bad">No</b>'
    got = "" if result["holds"] else "0 of "
    worth = f"{got}1 point" if result["points"] == 1 else f"{got}{decimal(result['points'])} points"
    why = "" if result["holds"] or not result["sentence"] else f'<span class="why">{_text(result["sentence"])}</span>'
    return f'<li>{mark} {_text(result["text"])} <span class="worth">({worth})</span>{why}</li>'


def _hidden(results):
    """All that a student is told of the claims that only grading checks."""
    if not results:
        return ""
    held = [result for result in results if result["holds"]]
    hold = "1 holds" if len(held) == 1 else f"{len(held) or 'none'} hold"
    points, of = (decimal(sum(result["points"] for result in some)) for some in (held, results))
    return f'<p class="soft">Grading checked {len(results)} more: {hold} ({points} of {of} points).</p>'


def _error(exercise):
    if not exercise["error"]:
        return ""
    where = f"<p><code>{_text(exercise['where'])}</code></p>" if exercise["where"] else ""
    return f'<div class="error"><p>{_text(exercise["error"])}</p>{where}</div>'


def _folded(head, text):
    text = readable(text[:LONGEST_TEXT]).strip("\n")
    return f"<details><summary>{head}</summary><pre>{escape(text)}</pre></details>" if text.strip() else ""


def _list(notices):
    return "".join(f'<p class="soft">{_text(notice)}</p>' for notice in notices)


def _graded_files(record):
    names = ", ".join(one_line(each["name"]) for each in record["files"])
    return f'<p class="soft">Graded from {escape(one_line(names, LONGEST_NOTICE))}.</p>' if names else ""


def _row(record, names, pages):
    outcomes = {exercise["name"]: exercise for exercise in record["exercises"]}
    cells = [_outcome(outcomes[name]) if name in outcomes else "<td></td>" for name in names]
    name = _name(record)
    page = escape(quote(f"{pages}/{record['key']}.html"))
    link = f'<a href="{page}"><bdi>{escape(name)}</bdi></a>'
    key = "" if name == record["key"] else f'<br><span class="soft">{escape(record["key"])}</span>'
    points = f'<td class="number">{decimal(record["points"])} of {decimal(record["of"])}</td>'
    return f"<tr><th scope=row>{link}{key}</th>{points}{''.join(cells)}<td>{escape(_to_look_at(record))}</td></tr>"


def _outcome(exercise):
    return (
        f'<td><span class="{_tone(exercise)}">{_said(exercise)}</span><br>'
        f'<span class="soft">{decimal(exercise["points"])} of {decimal(exercise["of"])}</span></td>'
    )


def _to_look_at(record):
    notices = len(record["notices"]) + sum(len(exercise["notices"]) for exercise in record["exercises"])
    looks = ["not trusted: made without a sandbox"] if record["rung"] == UNTRUSTED else []
    looks += ["late"] if record["late"] else []
    looks += ["1 notice" if notices == 1 else f"{notices} notices"] if notices else []
    return ", ".join(looks)


def _said(exercise):
    partly = exercise["outcome"] == "does not hold" and exercise["points"]
    return "partly right" if partly else HEADS[exercise["outcome"]]


def _name(record):
    return one_line(record["student"], LONGEST_NAME) or record["key"]


def _tone(exercise):
    return {"holds": "good", "not attempted": "none"}.get(exercise["outcome"], "bad")


def _text(text):
    return escape(one_line(text, LONGEST_NOTICE))


def _write(path, title, body):
    with atomic(path) as temporary:
        temporary.write_text(PAGE.format(title=escape(title), style=STYLE, body=body), encoding="utf-8")
    return path
