"""Pages for people: one with all rows, and one for each notebook that can be given back."""

import hashlib
import html
import re

from grading.row import PARTS, PASSED, Result, Row, plain, rates_of

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8885; padding: .3rem .6rem; }
th, td { text-align: left; vertical-align: top; }
td, dd, li { overflow-wrap: anywhere; }
td.why { padding-top: 0; }
td.word { white-space: nowrap; overflow-wrap: normal; }
pre { overflow-x: auto; background: #8881; padding: .5rem; }
dt { font-weight: 600; float: left; clear: left; width: 6rem; }
dd { margin-left: 7rem; white-space: pre-wrap; }
.good { color: #187a33; } .half { color: #8a5a00; } .bad { color: #b3261e; }
@media (prefers-color-scheme: dark) {
  .good { color: #7bd88f; } .half { color: #ffcc66; } .bad { color: #ff8a80; }
}
"""
HALF = {"partly", "look at this one"}


def names_of(rows: list[Row]) -> dict[str, str]:
    """The name of each notebook's own page, which says whose it is and is a name everywhere."""
    names = {}
    for row in rows:
        words = re.sub(r"[^\w.-]+", "_", f"{row.student or row.file}-{row.lesson}").strip("_-")
        mark = hashlib.sha256(row.file.encode(errors="replace")).hexdigest()[:8]
        names[row.file] = f"{words[:80]}-{mark}.html"
    return names


def kind(word: str) -> str:
    return "good" if word == PASSED else "half" if word in HALF else "bad"


def frame(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{html.escape(title)}</h1>{body}</html>\n"
    )


def overview(
    rows: list[Row],
    names: dict[str, str],
    skipped: list[tuple[str, str]],
    absent: list[str],
    notes: list[str],
) -> str:
    """The table of all notebooks; why an answer did not pass is folded below its row."""
    most = max((len(row.results) for row in rows), default=0)
    head = "".join(f'<th scope="col">{number}' for number in range(1, most + 1))
    columns = "".join(
        f'<th scope="col">{name}' for name in ["notebook", "student", "lesson", "passed", "points"]
    )
    lines = []
    for row in rows:
        words = "".join(
            f'<td class="word {kind(result.word)}">{html.escape(result.word)}'
            for result in row.results
        )
        words += "<td>" * (most - len(row.results))
        link = f'<a href="grades/{html.escape(names[row.file])}">{html.escape(row.file)}</a>'
        lines.append(
            f"<tr><td>{link}<td>{html.escape(row.student)}<td>{html.escape(row.lesson)}"
            f"<td>{row.passed} of {len(row.results)}"
            f"<td>{plain(row.points)} of {plain(row.of_points)}{words}"
        )
        if row.why:
            lines.append(f'<tr><td class="why" colspan="{5 + most}">{why(row)}')
    parts = [f"<p>{len(rows)} notebooks."]
    parts += [f'<p class="bad">{html.escape(note)}' for note in notes]
    parts.append(f"<table><tr>{columns}{head}\n" + "\n".join(lines) + "</table>")
    parts.append(rates(rows))
    entries = [(name, "handed in nothing") for name in absent]
    for title, told in [("Not graded", skipped), ("On the roster, but not here", entries)]:
        if told:
            items = "".join(f"<li>{html.escape(name)}: {html.escape(text)}" for name, text in told)
            parts.append(f"<h2>{title}</h2><ul>{items}</ul>")
    return frame("Grades", "".join(parts))


def why(row: Row) -> str:
    items = "".join(f"<li>{html.escape(text)}" for text in row.why)
    return f"<details><summary>why: {len(row.why)}</summary><ul>{items}</ul></details>"


def rates(rows: list[Row]) -> str:
    found = rates_of(rows)
    if not found:
        return ""
    lines = "".join(
        f"<tr><td>{html.escape(name)}<td>{passed} of {of}<td>{100 * passed / of:.0f} %"
        for name, passed, of in found
    )
    return f"<h2>Who passed what</h2><table>{lines}</table>"


def of_student(row: Row) -> str:
    """What one notebook gained and why, without a word about others."""
    title = " · ".join(text for text in [row.student or row.file, row.lesson] if text)
    parts = ["<p>This notebook could not be graded."]
    if row.results:
        parts = [f"<p>{row.passed} of {len(row.results)} exercises passed; "]
        parts.append(f"{plain(row.points)} of {plain(row.of_points)} points.")
    for number, result in enumerate(row.results, 1):
        parts.append(section(number, result))
    if row.remarks:
        items = "".join(f"<li>{html.escape(remark)}" for remark in row.remarks)
        parts.append(f"<h2>Remarks</h2><ul>{items}</ul>")
    return frame(title, "".join(parts))


def section(number: int, result: Result) -> str:
    name = html.escape(result.title or f"Exercise {number}")
    points = f"{plain(result.points)} of {plain(result.of_points)} points"
    word = f'<span class="{kind(result.word)}">{html.escape(result.word)}</span>'
    parts = [f"<h2>{name}</h2><p>{word}, {points}"]
    if result.of_checks and result.word != PASSED:
        parts.append(f", {result.checks} of {result.of_checks} checks passed")
    if result.remark:
        parts.append(f"<p>{html.escape(result.remark)}")
    if result.word != PASSED:
        told = [(part, getattr(result, part)) for part in PARTS]
        parts.append("<dl>")
        parts += [f"<dt>{part}<dd>{html.escape(text)}" for part, text in told if text]
        parts.append("</dl>")
        if result.error:
            parts.append(f"<pre>{html.escape(result.error)}</pre>")
    return "".join(parts)
