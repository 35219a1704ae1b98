"""Tables that learning platforms import.

Moodle takes one for each assignment (its *offline grading worksheet*), Canvas one for all.
"""

import csv
import io
import re
from pathlib import Path

from grading.row import Row, harmless, plain

MOODLE, CANVAS = "moodle-{lesson}.csv", "canvas.csv"
MOODLE_HEAD = ["Identifier", "Full name", "Email address", "Grade", "Maximum Grade"]
MOODLE_HEAD += ["Last modified (grade)", "Feedback comments"]
# What comes before the lessons.
CANVAS_HEAD = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]


def is_ours(name: str) -> bool:
    return name == CANVAS or bool(re.fullmatch(r"moodle-.*\.csv", name))


def wrote(path: Path) -> bool:
    """Whether this is a table as `files_of` makes it, and none that a platform has made."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError):
        return False
    return is_ours(path.name) and (head == MOODLE_HEAD or head[: len(CANVAS_HEAD)] == CANVAS_HEAD)


def files_of(rows: list[Row]) -> dict[str, str]:
    """The tables by the names of their files."""
    graded = best_of(rows)
    lessons = sorted({lesson for _, lesson in graded})
    files = {}
    for lesson in lessons:
        of_lesson = [row for (_, l), row in graded.items() if l == lesson]
        files[MOODLE.format(lesson=lesson)] = moodle(of_lesson)
    if graded:
        files[CANVAS] = canvas(graded, lessons)
    return files


def best_of(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """The notebook of each student and lesson; of several the one with the most points."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = (row.student, row.lesson)
        if row.student and row.results and (key not in best or row.points > best[key].points):
            best[key] = row
    return best


def moodle(rows: list[Row]) -> str:
    """What *Upload grading worksheet* takes, which finds people by `Identifier`."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(MOODLE_HEAD)
    for row in rows:
        number = row.known.get("moodle", "")
        identifier = column(row, "Identifier") or (f"Participant {number}" if number else "")
        email = column(row, "Email address", "email", "e-mail")
        points = [plain(row.points), plain(row.of_points)]
        values = [identifier, row.student, email, *points, "-", "\n".join(row.why)]
        # The dash stands for "never", and is no formula.
        table.writerow([value if value == "-" else harmless(value) for value in values])
    return text.getvalue()


def canvas(graded: dict[tuple[str, str], Row], lessons: list[str]) -> str:
    """What *Import* of the gradebook takes: a column for each assignment, here for each lesson."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow([*CANVAS_HEAD, *lessons])
    most = [
        max(row.of_points for (_, l), row in graded.items() if l == lesson) for lesson in lessons
    ]
    table.writerow(["    Points Possible", "", "", "", "", *map(plain, most)])
    for student in sorted({student for student, _ in graded}):
        own = [graded.get((student, lesson)) for lesson in lessons]
        row = next(row for row in own if row)
        person = [column(row, "ID") or row.known.get("canvas", "")]
        person += [column(row, name) for name in ["SIS User ID", "SIS Login ID", "Section"]]
        points = [plain(row.points) if row else "" for row in own]
        values = [column(row, "Student") or student, *person, *points]
        table.writerow([harmless(value) for value in values])
    return text.getvalue()


def is_known(row: Row) -> bool:
    """Whether one of the platforms can tell who that is."""
    names = ["ID", "SIS User ID", "SIS Login ID", "Identifier", "moodle", "canvas"]
    return bool(column(row, *names))


def column(row: Row, *names: str) -> str:
    """What the roster has in a column of one of these names."""
    by_name = {name.casefold(): value for name, value in row.known.items()}
    return next((by_name[name.casefold()] for name in names if by_name.get(name.casefold())), "")
