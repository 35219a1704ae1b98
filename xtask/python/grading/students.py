"""Whose a notebook is: by its place in the folder, and by the roster of the class."""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from grading.handed_in import decoded

# How platforms name what they hand over: Moodle's folders, and Canvas's files.
OF_PLATFORMS = [
    re.compile(r"(?P<student>[^/]+?)_(?P<moodle>\d+)_assignsubmission_(file|onlinetext)_?(/|$)"),
    re.compile(r"(?:.*/)?(?P<student>[^/_]+?)(?:_LATE)?_(?P<canvas>\d+)_\d+_[^/]+$", re.IGNORECASE),
]
# What tells a student from others, in the rosters of platforms and of offices.
NAMES = re.compile(r"^(full ?name|student( name)?|name|first ?name|last ?name|surname)$", re.I)
IDS = re.compile(
    r"^(id( number)?|student (id|number)|sis user id|sis login id|integration id|identifier"
    r"|user ?name|login( id)?|e-?mail( address)?)$",
    re.I,
)


class BadRoster(Exception):
    """A roster or a pattern that cannot be used; the message says why."""


@dataclass
class Person:
    """A row of the roster."""

    name: str
    known: dict[str, str]
    # What may stand in the name of a file or folder, as `simple` writes it.
    keys: set[str] = field(default_factory=set)


def pattern_from(text: str) -> re.Pattern[str]:
    """A pattern of paths such as `{student}_{id}/*` as a regular expression."""
    parts = re.split(r"(\{\w+\}|\*)", text)
    names = re.findall(r"\{(\w+)\}", text)
    if "student" not in names or len(set(names)) != len(names):
        raise BadRoster(
            f"--student {text}: {{student}} must stand in it, "
            "and no name twice; other names are {id}, {moodle} and {canvas}, and * is anything"
        )
    made = ""
    for part in parts:
        if part == "*":
            made += ".*"
        elif part.startswith("{") and part.endswith("}"):
            made += f"(?P<{part[1:-1]}>[^/]+?)"
        else:
            made += re.escape(part)
    return re.compile(made + r"(?:/.*)?$" if not text.endswith("*") else made + "$")


def student_of(file: str, pattern: re.Pattern[str] | None) -> tuple[str, dict[str, str], str]:
    """The student, what else the path tells, and a remark if it does not tell."""
    if pattern:
        found = pattern.match(file)
        if not found:
            return "", {}, "its path is not as --student says, so nobody knows whose it is"
        values = {key: without_ending(value) for key, value in found.groupdict().items()}
        known = {key: value for key, value in values.items() if value}
        return known.pop("student"), known, ""
    for known_form in OF_PLATFORMS:
        found = known_form.match(file)
        if found:
            known = {key: value for key, value in found.groupdict().items() if value}
            return known.pop("student"), known, ""
    path = PurePosixPath(file)
    if len(path.parts) > 1:
        return path.parts[0], {}, ""
    return without_ending(path.name), {}, ""


def without_ending(name: str) -> str:
    """The name of a notebook's file without what says that it is one, or any other name as it is."""
    return re.split(r"\.ipynb", name, flags=re.IGNORECASE)[0]


def roster_from(content: bytes, name: str) -> list[Person]:
    """The people of a roster, a table with the names of its columns in the first row."""
    text, _ = decoded(content)
    lines = text.splitlines()
    first = lines[0] if lines else ""
    separator = max(",;\t", key=first.count)
    people = []
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    columns = [column for column in rows.fieldnames or [] if column]
    if not any(NAMES.match(column.strip()) or IDS.match(column.strip()) for column in columns):
        raise BadRoster(
            f"{name}: the first row must name the columns, with one such as name, email or id;"
            f" it is: {first[:80]}"
        )
    for row in rows:
        known = {key.strip(): (value or "").strip() for key, value in row.items() if key in columns}
        # The second row of Canvas's table holds the points that are possible.
        if any(value.strip().lower() == "points possible" for value in known.values()):
            continue
        if any(known.values()):
            people.append(person_from(known))
    if not people:
        raise BadRoster(f"{name}: there is nobody in it")
    return people


def person_from(known: dict[str, str]) -> Person:
    by_name = {column.lower().replace(" ", ""): value for column, value in known.items()}
    first, last = by_name.get("firstname", ""), by_name.get("lastname", by_name.get("surname", ""))
    full = next(
        (by_name[n] for n in ["fullname", "studentname", "student", "name"] if by_name.get(n)), ""
    )
    full = full or f"{first} {last}".strip()
    names = {full, f"{first} {last}".strip(), f"{last} {first}".strip()}
    if "," in full:
        # "Lovelace, Ada"
        last, first = (part.strip() for part in full.split(",", 1))
        names |= {f"{first} {last}", f"{last} {first}"}
    elif len(full.split()) > 1:
        first, last = full.split(" ", 1)
        names |= {f"{last} {first}"}
    ids = {value for column, value in known.items() if IDS.match(column) and value}
    ids |= {value.split("@")[0] for value in ids if "@" in value}
    keys = {simple(value) for value in names | ids}
    return Person(full or min(ids, default=""), known, {key for key in keys if key.strip()})


def simple(text: str) -> str:
    """A text without what differs between systems: case, accents, and signs between words."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " " + " ".join(re.findall(r"[^\W_]+", letters)) + " "


def person_of(
    file: str, student: str, known: dict[str, str], roster: list[Person]
) -> tuple[Person | None, str]:
    """Who of the roster handed in a file; if nobody or several, says so."""
    canvas = [p for p in roster if known.get("canvas") and p.known.get("ID") == known["canvas"]]
    if len(canvas) == 1:
        return canvas[0], ""
    exact = [person for person in roster if simple(student) in person.keys]
    # Canvas and some students write names without a space between.
    joined = simple(student).replace(" ", "")
    exact = exact or [p for p in roster if joined in {key.replace(" ", "") for key in p.keys}]
    path = simple(file)
    within = exact or [person for person in roster if any(key in path for key in person.keys)]
    if len(within) == 1:
        return within[0], ""
    if not within:
        return None, "nobody in the roster has a name, address or number that is in its path"
    return None, f"several in the roster fit: {', '.join(person.name for person in within[:4])}"
