"""What was measured in turns: its statistics, and how they are written for people and programs."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Spread:
    """The middle of some numbers, and the quarters below and above it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: list[float]) -> "Spread":
        if len(numbers) == 1:
            return cls(*numbers * 3)
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(median, low, high)

    def to_json(self) -> dict[str, Any]:
        return {"median": self.median, "quartiles": [self.low, self.high]}


@dataclass
class Entry:
    """One of those who took turns; the first of them is ours."""

    name: str
    # For ours: the seconds that it may take. For a rival: the part of its time that ours may take.
    goal: float | None = None
    seconds: list[float] = field(default_factory=list)
    # Why there are no seconds.
    problem: str | None = None
    # Not a rival but the least that the machine needs for it.
    limit: bool = False
    # What the time goes into.
    bound: str = ""


@dataclass
class Yardstick:
    """What all are measured by: an entry by its name, or seconds that cannot be bettered."""

    heading: str
    measure: str | float


@dataclass
class Table:
    """One piece of work, and how long each took for it."""

    title: str
    entries: list[Entry]
    means: str = ""
    # What each reads from memory.
    bytes: int | None = None
    yardstick: Yardstick | None = None
    # Its title in the figure.
    panel: str | None = None
    # Why nothing was measured.
    skipped: str | None = None
    # What the numbers are if they are no seconds.
    unit: str | None = None

    def rows(self) -> list[dict[str, Any]]:
        """One row for each entry, with all that is known of it."""
        return [self.row(entry) for entry in self.entries]

    def row(self, entry: Entry) -> dict[str, Any]:
        """The statistics of an entry; the JSON file holds them as they are."""
        ours = self.entries[0]
        result: dict[str, Any] = {"name": entry.name, "bound": entry.bound}
        if not entry.seconds:
            return result | {"problem": entry.problem}
        result["seconds"] = Spread.of(entry.seconds).to_json() | {"all": entry.seconds}
        if self.unit:
            result["unit"] = self.unit
        held_against_goal = result["seconds"]["median"]
        if entry is not ours and ours.seconds:
            ratio = Spread.of(paired(ours.seconds, entry.seconds))
            result["ours_to_this"] = ratio.to_json()
            result["ours_is"] = "(a limit)" if entry.limit else verdict(ratio, self.unit)
            held_against_goal = ratio.median
        if self.bytes:
            result["bytes_per_second"] = self.bytes / result["seconds"]["median"]
        share = self.share(entry)
        if share:
            result["share"] = share.to_json()
        if entry.goal is not None and (entry is ours or ours.seconds):
            of_ours = entry is ours
            goal = show(entry.goal, self.unit) if of_ours else show_ratio(entry.goal)
            result["goal"] = f"at most {goal}"
            result["met"] = held_against_goal <= entry.goal
        return result

    def share(self, entry: Entry) -> Spread | None:
        """How much of what the yardstick shows to be possible this is: 1 is all."""
        if not self.yardstick:
            return None
        if isinstance(self.yardstick.measure, float):
            return Spread.of([self.yardstick.measure / seconds for seconds in entry.seconds])
        stick = next(e for e in self.entries if e.name == self.yardstick.measure)
        return Spread.of(paired(stick.seconds, entry.seconds)) if stick.seconds else None

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"title": self.title, "means": self.means, "rows": self.rows()}
        if self.yardstick:
            result["yardstick"] = self.yardstick.heading
        if self.panel:
            result["panel"] = self.panel
        if self.skipped:
            result["skipped"] = self.skipped
        return result

    def to_markdown(self) -> str:
        """As it is shown at the terminal."""
        return f"### {self.title}\n\n{markdown(self.to_json(), TERMINAL)}"

    def problems(self) -> list[str]:
        """Who was not measured, and why."""
        return [
            f"{self.title}, {entry.name}: {entry.problem or 'not measured'}"
            for entry in self.entries
            if not entry.seconds
        ]


def paired(mine: list[float], theirs: list[float]) -> list[float]:
    """Ratios turn by turn: neighbours in time met the same machine."""
    return [a / b for a, b in zip(mine, theirs)]


# Ratios that are closer to 1 are called equal: nobody would notice.
NOTICEABLE = 0.01


def verdict(ours_to_this: Spread, unit: str | None = None) -> str:
    """Not decided while 1 lies between the quartiles, or while the difference is too small."""
    less, same, more = (
        ("smaller", "as large", "larger") if unit else ("faster", "as fast", "slower")
    )
    if abs(ours_to_this.median - 1) < NOTICEABLE:
        return same
    if ours_to_this.high < 1:
        return less
    return f"**{more}**" if ours_to_this.low > 1 else same


Row = dict[str, Any]


@dataclass
class Column:
    heading: str
    show: Callable[[Row], str]
    # Numbers are set to the right.
    right: bool = False


def spread_of(key: str, text: Callable[[float, Row], str]) -> list[Callable[[Row], str]]:
    """The cells for a spread: the median, and the quartiles."""

    def median(row: Row) -> str:
        return text(row[key]["median"], row) if key in row else ""

    def quartiles(row: Row) -> str:
        return " to ".join(text(n, row) for n in row[key]["quartiles"]) if key in row else ""

    return [median, quartiles]


def show(number: float, unit: str | None) -> str:
    """Seconds, or what has another unit."""
    return f"{digits(number)} {unit}" if unit else show_seconds(number)


def show_seconds(seconds: float) -> str:
    for unit, size in [("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return f"{digits(seconds / 1e-9)} ns"


def digits(number: float) -> str:
    """Three digits that count, and no exponent."""
    if number >= 1000:
        return f"{number:.0f}"
    if 0 < number < 1e-4:
        return f"{number:.{2 - math.floor(math.log10(number))}f}"
    return f"{number:.3g}"


def show_ratio(ratio: float) -> str:
    return f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:.3g}"


def show_rate(row: Row) -> str:
    return f"{row['bytes_per_second'] / 1e9:.3g} GB/s" if "bytes_per_second" in row else ""


def show_share(row: Row) -> str:
    return f"{100 * row['share']['median']:.0f} %" if "share" in row else ""


def show_met(row: Row) -> str:
    return "" if "met" not in row else "yes" if row["met"] else "NO"


MEDIAN, QUARTILES = spread_of("seconds", lambda number, row: show(number, row.get("unit")))
RATIO, RATIOS = spread_of("ours_to_this", lambda number, _row: digits(number))
MEASURED = [
    Column("", lambda row: row["name"]),
    Column("median", lambda row: "not measured" if "problem" in row else MEDIAN(row), right=True),
    Column("quartiles", QUARTILES),
    Column("ours / this", RATIO, right=True),
    Column("quartiles", RATIOS),
    Column("ours is", lambda row: row.get("ours_is", "")),
    Column("reads", show_rate, right=True),
    Column("YARDSTICK", show_share, right=True),
]
# What a person at the terminal wants to know, and what a reader of the file does.
TERMINAL = [*MEASURED, Column("goal", lambda row: row.get("goal", "")), Column("met", show_met)]
REPORT = [*MEASURED, Column("bound by", lambda row: row["bound"])]


def markdown(table: dict[str, Any], columns: list[Column]) -> str:
    """A table of the JSON file; columns with nothing in them are left out."""
    if "skipped" in table:
        return f"Not measured: {table['skipped']}.\n"
    lines = [[column.heading for column in columns]]
    lines[0] = [table.get("yardstick", "") if h == "YARDSTICK" else h for h in lines[0]]
    lines += [[column.show(row) for column in columns] for row in table["rows"]]
    kept = [n for n in range(len(columns)) if n == 0 or any(line[n] for line in lines[1:])]
    text = grid([[line[n] for n in kept] for line in lines], [columns[n].right for n in kept])
    problems = [f"\n{row['name']}: {row['problem']}\n" for row in table["rows"] if "problem" in row]
    return text + "".join(problems)


def grid(lines: list[list[str]], right: list[bool]) -> str:
    """Straight columns; the first line holds the headings."""
    widths = [max(3, *map(len, column)) for column in zip(*lines)]
    rule = ["-" * (width - 1) + (":" if end else "-") for width, end in zip(widths, right)]
    lines = [lines[0], rule, *lines[1:]]
    return "".join(f"| {' | '.join(aligned(line, widths, right))} |\n" for line in lines)


def aligned(cells: list[str], widths: list[int], right: list[bool]) -> list[str]:
    return [
        cell.rjust(width) if end else cell.ljust(width)
        for cell, width, end in zip(cells, widths, right)
    ]
