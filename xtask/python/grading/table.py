"""The rows so far, in files: whatever happens later, what was graded is kept."""

import csv
import io
import sys
import tempfile
import threading
from pathlib import Path

from grading import kept, page, platforms
from grading.row import Row, harmless, plain
from notebooks.files import replace, whole

CSV, PAGE, KEPT, STUDENTS = "grades.csv", "grades.html", "grades.json", "grades"


class Table:
    """All that is written, which is written anew with each row."""

    def __init__(
        self,
        folder: Path,
        skipped: list[tuple[str, str]],
        absent: list[str],
        handed_in: Path | None = None,
    ):
        self.folder = folder
        # Where the notebooks lie, if it is another folder: an earlier run may have written there.
        self.handed_in = handed_in
        self.rows: dict[int, Row] = {}
        self.skipped = skipped
        self.absent = absent
        self.notes: list[str] = []
        self.lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            sys.exit(f"error: cannot write in {folder}: {error}; name another folder with --out")

    def is_ours(self, path: Path) -> bool:
        """Whether a file is one of those that grading writes, and so was not handed in."""
        place, here = self.folder.resolve(), path.parent.resolve()
        is_earlier = (
            self.handed_in is not None
            and here == self.handed_in.resolve()
            and (here / KEPT).is_file()
        )
        if path.resolve() == place:
            return True
        if here != place and not is_earlier:
            return False
        name = whole(path.name)
        return name in (CSV, PAGE, KEPT, STUDENTS) or platforms.is_ours(name)

    def add(self, place: int, row: Row) -> None:
        """Adds a row and writes the table, with the rows in the order of their places."""
        with self.lock:
            self.rows[place] = row
        try:
            self.write(only=row)
        except OSError as error:
            # It is tried again with the next row, and at the end.
            print(f"cannot write the table: {error}", flush=True)

    def write(self, only: Row | None = None) -> None:
        """Writes all files; of the pages of students only that of one row, if one is named."""
        with self.lock:
            rows = [row for _, row in sorted(self.rows.items())]
            names = page.names_of(rows)
            texts = {
                CSV: csv_of(rows),
                PAGE: page.overview(rows, names, self.skipped, self.absent, self.notes),
                KEPT: kept.text_of(rows),
            }
            texts |= platforms.files_of(rows)
            for row in rows if only is None else [only]:
                texts[f"{STUDENTS}/{names[row.file]}"] = page.of_student(row)
            (self.folder / STUDENTS).mkdir(exist_ok=True)
            for name, text in texts.items():
                content = text.encode("utf-8", errors="replace")
                replace(self.folder / name, content)

    def delete_earlier(self) -> None:
        """Deletes what an earlier run with other options has written, which would be taken for this one's.

        For when all rows are there: until then, who has none keeps the earlier page.
        """
        rows = [row for _, row in sorted(self.rows.items())]
        written = {f"{STUDENTS}/{name}" for name in page.names_of(rows).values()}
        written |= platforms.files_of(rows).keys()
        pages = [f"{STUDENTS}/{path.name}" for path in (self.folder / STUDENTS).glob("*.html")]
        tables = [path.name for path in self.folder.glob("*.csv") if platforms.wrote(path)]
        for name in {*pages, *tables} - written:
            (self.folder / name).unlink(missing_ok=True)


def csv_of(rows: list[Row]) -> str:
    """The table for programs."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    most = max((len(row.results) for row in rows), default=0)
    numbers = [f"exercise {number}" for number in range(1, most + 1)]
    head = ["notebook", "student", "lesson", "passed", "of", "points", "of points", *numbers]
    table.writerow([*head, "seconds", "remarks"])
    for row in rows:
        words = [result.word for result in row.results] + [""] * (most - len(row.results))
        points = [plain(row.points), plain(row.of_points)]
        values = [row.file, row.student, row.lesson, row.passed, len(row.results), *points, *words]
        values += [f"{row.seconds:.0f}", "; ".join(row.why)]
        table.writerow([harmless(value) for value in values])
    return text.getvalue()
