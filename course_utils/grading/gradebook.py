"""The marks of a class: as a table for spreadsheets, and in a few lines for the terminal."""

import statistics
from collections import Counter, defaultdict

from course_utils.grading.records import (
    OUTCOMES,
    UNTRUSTED,
    cell,
    checked_all,
    decimal,
    is_number,
    one_line,
    write_rows,
)

WIDTH = 100  # characters of a line of the summary


# --- Gradebooks ---


def write_gradebook(records, path):
    """Write the marks of a class as CSV, a row for each student and a column for each exercise.

    It opens well in spreadsheets: UTF-8 with a byte order mark, without which Excel takes it for the machine's old
    code page and breaks names; no cell is a formula; each is one line.

    Returns:
        The path.

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    names = _exercise_names(records)
    head = ["key", "student", "ids", "points", "of", "percent", *map(cell, names), "notices", "rung", "late"]
    return write_rows([head, *(_gradebook_row(record, names) for record in records)], path, encoding="utf-8-sig")


def _gradebook_row(record, names):
    points = {exercise["name"]: exercise["points"] for exercise in record["exercises"]}
    notices = len(record["notices"]) + sum(len(exercise["notices"]) for exercise in record["exercises"])
    ids = " ".join(f"{platform}={value}" for platform, value in sorted(record["ids"].items()))
    return [
        *map(cell, (record["key"], record["student"], ids)),
        *map(decimal, (record["points"], record["of"], _percent(record))),
        *(decimal(points[name]) if name in points else "" for name in names),
        notices,
        cell(record["rung"]),
        "late" if record["late"] else "",
    ]


def _exercise_names(records):
    """The names of all exercises, in the order in which they come."""
    return list(dict.fromkeys(exercise["name"] for record in records for exercise in record["exercises"]))


def _percent(record):
    return 100 * record["points"] / record["of"] if record["of"] else 0


# --- The summary ---


def summary(records, times=()):
    """The class at a glance, as plain text of at most 100 columns: what needs a look, how it went, what to teach again.

    Args:
        records: of a class.
        times: what took how long, as `read_times` gives it.

    Raises:
        CourseError: a record that is none.
    """
    records = checked_all(records)
    if not records:
        return "No submissions."
    parts = [_opening(records), _distribution(records), _by_exercise(records), _to_teach(records)]
    lines = [line for part in [*parts, _slowest(times)] if part for line in [*part, ""]]
    return "\n".join(line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in lines[:-1])


def _opening(records):
    percents = [_percent(record) for record in records]
    low, median, high = statistics.quantiles(percents * 2 if len(percents) == 1 else percents, n=4, method="inclusive")
    lines = [f"{_count(len(records), 'submission')}, mean {statistics.fmean(percents):.0f}% of the points"]
    lines.append(f"half of them from {low:.0f}% to {high:.0f}%, the median {median:.0f}%")
    looks = {
        f"NOT TRUSTED, made without a sandbox (rung {UNTRUSTED})": [r for r in records if r["rung"] == UNTRUSTED],
        "with nothing attempted": [r for r in records if _outcomes(r) <= {"not attempted"}],
        "stopped (no answer in time, a crash, or out of memory)": [r for r in records if "stopped" in _outcomes(r)],
        "with notices about the files": [r for r in records if r["notices"]],
        "late": [r for r in records if r["late"]],
    }
    return lines + [f"  {len(found)} {what}: {_some(found)}" for what, found in looks.items() if found]


def _distribution(records):
    tenths = Counter(min(int(_percent(record) / 10), 9) for record in records)
    widest = max(tenths.values())
    bars = {tenth: "#" * -(-tenths[tenth] * min(widest, 60) // widest) for tenth in range(10)}
    lines = [f"{10 * tenth:>6}-{f'{10 * tenth + 10}%':<4}  {bars[tenth]} {tenths[tenth] or ''}" for tenth in range(10)]
    return ["Points", *(line.rstrip() for line in lines)]


def _by_exercise(records):
    found = defaultdict(list)
    for record in records:
        for exercise in record["exercises"]:
            found[exercise["name"]].append(exercise)
    if not found:
        return []
    width = min(30, max(len(one_line(name, 30)) for name in found))
    head = "Exercises".ljust(width + 2) + "".join(title.rjust(len(title) + 3) for title in OUTCOMES) + "   points"
    lines = [head]
    for name, exercises in found.items():
        counts = Counter(exercise["outcome"] for exercise in exercises)
        cells = "".join(str(counts[title] or ".").rjust(len(title) + 3) for title in OUTCOMES)
        mean = statistics.fmean(_percent(exercise) for exercise in exercises)
        lines.append(f"  {one_line(name, 30).ljust(width)}{cells}{mean:8.0f}%")
    return lines


def _to_teach(records, most=8):
    """The claims that failed most, among those whose answer could be judged."""
    judged, failed = Counter(), Counter()
    for record in records:
        for exercise in record["exercises"]:
            for result in exercise["results"]:
                claim = exercise["name"], result["text"], result["hidden"]
                judged[claim] += 1
                failed[claim] += not result["holds"]
    worst = sorted(failed, key=lambda claim: (-failed[claim], -failed[claim] / judged[claim]))
    lines = []
    for claim in [claim for claim in worst if failed[claim]][:most]:
        name, text, hidden = claim
        share = f"{failed[claim]} of {judged[claim]}"
        lines.append(f"  {share:>10}  {one_line(name, 30)}{', hidden' * hidden}: {one_line(text)}")
    return ["What to teach again: claims that failed most, of those who attempted them", *lines] if lines else []


def _slowest(times, most=5):
    seconds = {}
    for line in times:
        if isinstance(line, dict) and isinstance(line.get("key"), str) and is_number(line.get("seconds")):
            seconds[line["key"]] = line["seconds"]
    slowest = sorted(seconds, key=seconds.get, reverse=True)[:most]
    lines = [f"  {seconds[key]:8.2f} s  {one_line(key, 60)}" for key in slowest]
    return ["Slowest", *lines] if lines else []


def _outcomes(record):
    return {exercise["outcome"] for exercise in record["exercises"]}


def _some(records, most=6):
    keys = ", ".join(one_line(record["key"], 40) for record in records[:most])
    return f"{keys} and {len(records) - most} more" if len(records) > most else keys


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
