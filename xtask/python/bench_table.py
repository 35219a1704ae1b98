"""What was measured in turns: its statistics, and how they are written for people and programs."""

import statistics
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

    def to_json(self) -> dict:
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


@dataclass
class Table:
    """One piece of work, and how long each took for it."""

    title: str
    entries: list[Entry]

    def rows(self) -> list[dict]:
        """One row for each entry, with all that is known of it."""
        ours = self.entries[0]
        return [row(entry, ours) for entry in self.entries]

    def to_json(self) -> dict:
        return {"title": self.title, "rows": self.rows()}

    def to_markdown(self) -> str:
        lines = [HEADINGS, *(cells_of(row) for row in self.rows())]
        widths = [max(map(len, column)) for column in zip(*lines)]
        rule = [
            "-" * (width - 1) + (":" if n in NUMERIC else "-") for n, width in enumerate(widths)
        ]
        lines.insert(1, rule)
        text = "\n".join(f"| {' | '.join(aligned(line, widths))} |" for line in lines)
        problems = [
            f"\n{row['name']}: {row['problem']}\n" for row in self.rows() if "problem" in row
        ]
        return f"### {self.title}\n\n{text}\n{''.join(problems)}"


HEADINGS = ["", "median", "quartiles", "ours / this", "quartiles", "goal", "met"]
# The columns that are set to the right.
NUMERIC = {1, 3}


def row(entry: Entry, ours: Entry) -> dict:
    """The statistics of an entry; the JSON file holds them as they are."""
    result: dict[str, Any] = {"name": entry.name}
    if not entry.seconds:
        return result | {"problem": entry.problem}
    result["seconds"] = Spread.of(entry.seconds).to_json() | {"all": entry.seconds}
    held_against_goal = result["seconds"]["median"]
    if entry is not ours:
        if not ours.seconds:
            return result
        # Turn by turn: neighbours in time met the same machine.
        ratios = [mine / theirs for mine, theirs in zip(ours.seconds, entry.seconds)]
        result["ours_to_this"] = Spread.of(ratios).to_json()
        held_against_goal = result["ours_to_this"]["median"]
    if entry.goal is not None:
        goal = show_seconds(entry.goal) if entry is ours else show_ratio(entry.goal)
        result["goal"] = f"at most {goal}"
        result["met"] = held_against_goal <= entry.goal
    return result


def cells_of(row: dict) -> list[str]:
    if "problem" in row:
        return [row["name"], "not measured", "", "", "", "", ""]
    cells = [row["name"], *spread_cells(row["seconds"], show_seconds)]
    ratio = row.get("ours_to_this")
    cells += spread_cells(ratio, lambda number: f"{number:.3g}") if ratio else ["", ""]
    if "goal" in row:
        return [*cells, row["goal"], "yes" if row["met"] else "NO"]
    return [*cells, "", ""]


def spread_cells(spread: dict, show) -> list[str]:
    low, high = spread["quartiles"]
    return [show(spread["median"]), f"{show(low)} to {show(high)}"]


def aligned(cells: list[str], widths: list[int]) -> list[str]:
    return [
        cell.rjust(width) if n in NUMERIC else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(cells, widths))
    ]


def show_seconds(seconds: float) -> str:
    for unit, size in [("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def show_ratio(ratio: float) -> str:
    return f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:.3g}"
