"""What became of a notebook: a word, points and a reason for each exercise."""

from dataclasses import dataclass, field

PASSED, PARTLY, FAILED = "passed", "partly", "failed"
UNTOUCHED, LOOK, MISSING = "as handed out", "look at this one", "missing"
NOT_REACHED = "not reached"
# What the verdict of a check says where an answer is not right.
PARTS = ["called", "expected", "came", "hint", "more"]


@dataclass
class Result:
    """What became of one exercise."""

    word: str = MISSING
    title: str = ""
    # How many of its checks passed before one failed, and of how many.
    checks: int = 0
    of_checks: int = 0
    points: float = 0.0
    of_points: float = 1.0
    # Of the first check that failed.
    called: str = ""
    expected: str = ""
    came: str = ""
    hint: str = ""
    more: str = ""
    # What its cell said when it ran, all of it.
    error: str = ""
    # The number of its cell in the notebook.
    cell: int = 0
    # For whoever reads the table.
    remark: str = ""

    def score(self, is_partial: bool) -> None:
        """Gives the points: all, a part that is as large as that of the checks, or none."""
        part = self.checks / self.of_checks if self.of_checks and is_partial else 0.0
        if self.word == FAILED and part > 0:
            self.word = PARTLY
        share = {PASSED: 1.0, PARTLY: part}.get(self.word, 0.0)
        self.points = round(share * self.of_points, 2)

    @property
    def why(self) -> str:
        """One line that says why it did not pass."""
        if self.word in (PASSED, UNTOUCHED):
            return self.remark or ("" if self.word == PASSED else UNTOUCHED)
        parts = [f"{name} {getattr(self, name)}" for name in PARTS if getattr(self, name)]
        return "; ".join(text for text in [self.remark, ", ".join(parts)] if text)


@dataclass
class Row:
    """What became of one notebook."""

    file: str
    student: str = ""
    # What else is known of the student, by the name of the column of the roster.
    known: dict[str, str] = field(default_factory=dict)
    lesson: str = ""
    results: list[Result] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    # Whether it went wrong in a way that may not happen again.
    is_final: bool = True
    # What it was made from.
    digest: str = ""

    @property
    def passed(self) -> int:
        return sum(result.word == PASSED for result in self.results)

    @property
    def points(self) -> float:
        return round(sum(result.points for result in self.results), 2)

    @property
    def of_points(self) -> float:
        return round(sum(result.of_points for result in self.results), 2)

    @property
    def why(self) -> list[str]:
        """What is to be said, each with the exercise's number before it."""
        numbered = enumerate(self.results, 1)
        said = [f"exercise {number}: {result.why}" for number, result in numbered if result.why]
        return said + self.remarks


def plain(points: float) -> str:
    """A number of points as people write it."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def harmless(value: object) -> object:
    """Spreadsheets take a text that begins like this for a formula, and calculate it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def rates_of(rows: list[Row]) -> list[tuple[str, int, int]]:
    """For each exercise how many notebooks passed it, and how many of its lesson there are."""
    rates = []
    for lesson in sorted({row.lesson for row in rows if row.results}):
        of_lesson = [row for row in rows if row.lesson == lesson and row.results]
        for number, result in enumerate(of_lesson[0].results):
            passed = sum(row.results[number].word == PASSED for row in of_lesson)
            title = result.title or f"exercise {number + 1}"
            rates.append((f"{lesson}, {title}", passed, len(of_lesson)))
    return rates
