"""Grades handed-in exercise notebooks: runs each in a kernel of its own, and writes a table.

The checks are the course's own, whatever became of them in the notebook. A notebook that does not
compile, never ends, fills the memory, prints without end or kills its kernel costs its own row and
no other. That is protection from accidents, not from attacks: cells are programs, which can do
whatever the person who grades can do.
"""

import argparse
import io
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading import handed_in, kept, students
from grading.handed_in import Cell, shown
from grading.matching import Lesson, lesson_from, lesson_of, plan
from grading.platforms import CANVAS, files_of, is_known
from grading.row import NOT_REACHED, PASSED, Result, Row, plain, rates_of
from grading.running import STOPPED, Limits, OutOfBounds, run
from grading.sandbox import Sandbox, sweep
from grading.table import KEPT, Table
from notebooks.exercises import FOLDER


@dataclass
class Grader:
    """What all notebooks are graded by."""

    folder: Path
    course: dict[str, Lesson]
    limits: Limits
    kernel: Path
    points: list[float]
    is_partial: bool
    pattern: Any
    roster: list[students.Person]
    table: Table
    kept: kept.Kept
    # Of each lesson: what decides about its grades, and how many checks each exercise has.
    digests: dict[str, str]
    checks: dict[str, list[int]]


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # Not all that can be in a name can be printed everywhere.
    for stream in [sys.stdout, sys.stderr]:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        pattern = students.pattern_from(options.student) if options.student else None
        roster = []
        if options.roster:
            roster = students.roster_from(options.roster.read_bytes(), shown(options.roster))
    except (OSError, students.BadRoster) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    course = course_notebooks(options.course)
    out = options.out or options.folder
    table = Table(out, skipped=[], absent=[], handed_in=options.folder)
    found = handed_in.search(options.folder, table.is_ours)
    table.skipped = [(shown(path.relative_to(options.folder)), why) for path, why in found.skipped]
    for name, why in table.skipped:
        print(f"{name}: skipped: {why}", flush=True)
    if not found.notebooks:
        print(f"there is no notebook in {options.folder}", file=sys.stderr)
        return 1
    limits = Limits(
        options.seconds, options.cell_seconds or options.seconds / 3, int(options.memory * 2**30)
    )
    grader = Grader(
        folder=options.folder,
        course=course,
        limits=limits,
        kernel=options.kernel,
        points=options.points,
        is_partial=not options.whole,
        pattern=pattern,
        roster=roster,
        table=table,
        kept=kept.Kept(Path(os.devnull) if options.again else out / KEPT),
        digests={},
        checks={},
    )
    sweep()
    ended_by_a_signal()
    grade_all(grader, found.notebooks, max(1, options.jobs))
    rows = table.rows.values()
    handed = {row.student for row in rows}
    if roster and not STOPPED.is_set():
        table.absent = [person.name for person in roster if person.name not in handed]
    table.write()
    if not STOPPED.is_set():
        table.delete_earlier()
    tell(grader, len(found.notebooks))
    return 1 if STOPPED.is_set() else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cargo xtask grade", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the notebooks lie, in subfolders as well")
    parser.add_argument("--out", type=Path, help="where to write the table (the folder itself)")
    parser.add_argument(
        "--seconds", type=float, default=300, help="the longest a notebook may take (300)"
    )
    parser.add_argument(
        "--cell-seconds", type=float, help="the longest a cell may take (a third of --seconds)"
    )
    parser.add_argument("--memory", type=float, default=4, help="the most memory, in GiB (4)")
    jobs = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=int, default=jobs, help="notebooks at the same time (half the cores)")
    parser.add_argument(
        "--points", default="1", help="points of an exercise (1), or of each: 1,1,2,2,4"
    )
    parser.add_argument(
        "--whole", action="store_true", help="no points for answers that pass only some checks"
    )
    parser.add_argument(
        "--student", help="how paths tell whose a notebook is, such as {student}_{id}/*"
    )
    parser.add_argument("--roster", type=Path, help="a table (CSV) of the people of the class")
    parser.add_argument("--again", action="store_true", help="run what is unchanged as well")
    parser.add_argument("--kernel", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument(
        "--course", type=Path, default=FOLDER, help="other exercises than the course's own"
    )
    options = parser.parse_args(arguments)
    for name in ["seconds", "memory", "cell_seconds", "jobs"]:
        number = getattr(options, name)
        if number is not None and not number > 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0, not {number:g}")
    try:
        options.points = [float(number) for number in options.points.split(",")]
    except ValueError:
        parser.error(f"--points must be numbers with commas between, not {options.points!r}")
    for number in options.points:
        if not 0 <= number < 1e6:
            parser.error(f"--points must be 0 or above, and below a million, not {number:g}")
    if not any(options.points):
        parser.error("--points must not all be 0: nobody could gain any")
    if options.roster is not None and not options.roster.is_file():
        parser.error(f"there is no roster {options.roster}")
    if not options.folder.is_dir():
        parser.error(f"there is no folder {options.folder}")
    return options


def course_notebooks(folder: Path) -> dict[str, Lesson]:
    """The course's notebooks of exercises; ends the program if one cannot be graded by."""
    course = {}
    for path in sorted(folder.glob("*.ipynb")):
        try:
            course[path.stem] = lesson_from(path)
        except Exception as error:  # nbformat raises many kinds; all mean the same here
            sys.exit(f"error: nothing can be graded by the course's own {path}: {error}")
    if not course:
        sys.exit(f"error: there is no notebook of the course in {folder}")
    return course


def ended_by_a_signal() -> None:
    """Makes signals that mean the end do what Ctrl-C does, so that no kernel is left."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` wants the closed terminal to be ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def grade_all(grader: Grader, files: list[Path], jobs: int) -> None:
    """Makes the row of each notebook, several at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            begun = list(pool.map(lambda file: begin(file, grader), files))
            lessons = sorted({row.lesson for row, _ in begun if row.lesson})
            for name in lessons:
                blank(grader.course[name], grader)
                source = json_of(grader.course[name])
                grader.digests[name] = kept.digest_of_course(
                    source, grader.limits, (grader.points, grader.is_partial)
                )
            kept_rows = {
                place: unchanged(grader, files[place], row) for place, (row, _) in enumerate(begun)
            }
            needed = {row.lesson for place, (row, _) in enumerate(begun) if not kept_rows[place]}
            list(pool.map(lambda name: prove(name, grader), sorted(needed - {""})))

            def graded(place: int) -> None:
                row, cells = begun[place]
                if STOPPED.is_set():
                    return
                told = ""
                if unchanged := kept_rows[place]:
                    row, told = unchanged, " (unchanged)"
                elif row.lesson:
                    grade(files[place], row, cells, grader)
                grader.table.add(place, row)
                print(f"{row.file}: {summary(row)}{told}", flush=True)

            list(pool.map(graded, range(len(files))))
        except KeyboardInterrupt:
            STOPPED.set()
            pool.shutdown(wait=False, cancel_futures=True)


def begin(file: Path, grader: Grader) -> tuple[Row, list[Cell]]:
    """Reads a notebook, and says whose it is and of which lesson."""
    name = shown(file.relative_to(grader.folder))
    row = Row(name)
    cells: list[Cell] = []
    row.student, row.known, remark = students.student_of(name, grader.pattern)
    if grader.roster:
        person, remark = students.person_of(name, row.student, row.known, grader.roster)
        if person:
            row.student, row.known = person.name, row.known | person.known
    row.remarks += [remark] if remark else []
    try:
        cells, remarks = handed_in.read(file)
        lesson, why = lesson_of(cells, name, grader.course)
        row.lesson = lesson or ""
        row.remarks += [*remarks, *([why] if why else [])]
    except Exception as error:  # A row for every notebook, whatever is wrong with it.
        row.remarks.append(words_of(error))
    return row, cells


def unchanged(grader: Grader, file: Path, row: Row) -> Row | None:
    """The row of the last time, if nothing has changed that decides about it."""
    if not row.lesson:
        return None
    try:
        digest = kept.digest_of_notebook(file, grader.table.is_ours)
    except OSError:
        return None
    row.digest = f"{digest}-{grader.digests[row.lesson]}"
    before = grader.kept.get(row.file, row.digest)
    if before:
        # Whose it is may be told otherwise by now.
        before.student, before.known = row.student, row.known
    return before


def prove(name: str, grader: Grader) -> None:
    """Runs the course's own solutions: they count the checks, and show what can be graded."""
    if STOPPED.is_set():
        return
    lesson = grader.course[name]
    solution_of = {task.answer.number: task.solution for task in lesson.tasks}
    cells = [
        Cell(cell.kind, solution_of.get(cell.number, cell.source), cell.number, cell.id, cell.tags)
        for cell in lesson.cells
    ]
    row = Row(f"solutions of {name}", lesson=name)
    grade(None, row, cells, grader)
    grader.checks[name] = [result.checks for result in row.results]
    for number, result in enumerate(row.results, 1):
        if result.word != PASSED:
            why = result.why or "; ".join(row.remarks)
            note = f"{name}, exercise {number}: the course's own solution does not pass here: {why}"
            grader.table.notes.append(note)
            print(note, flush=True)


def grade(file: Path | None, row: Row, cells: list[Cell], grader: Grader) -> None:
    """Runs one notebook; whatever happens, it is the row that tells."""
    started = time.monotonic()
    lesson = grader.course[row.lesson]
    try:
        steps = plan(cells, lesson)
        row.results = blank(lesson, grader)
        for number in steps.answered:
            row.results[number].word = NOT_REACHED
        beside = file.parent if file else None
        with Sandbox(beside, grader.table.is_ours) as box:
            run(steps, row, grader.limits, grader.kernel, box.folder, box.temporary)
    except OutOfBounds as error:
        row.is_final = False
        row.remarks.append(str(error))
    except Exception as error:  # A row for every notebook, whatever is wrong with it.
        row.is_final = False
        row.remarks.append(words_of(error))
    finally:
        row.seconds = time.monotonic() - started
        for result in row.results:
            result.score(grader.is_partial)


def blank(lesson: Lesson, grader: Grader) -> list[Result]:
    """A result for each exercise, before anything has run."""
    points = grader.points * len(lesson.tasks) if len(grader.points) == 1 else grader.points
    if len(points) != len(lesson.tasks):
        sys.exit(
            f"error: --points has {len(points)} numbers, but {lesson.name} has"
            f" {len(lesson.tasks)} exercises"
        )
    checks = grader.checks.get(lesson.name, [0] * len(lesson.tasks))
    return [
        Result(title=task.title, of_points=number, of_checks=of)
        for task, number, of in zip(lesson.tasks, points, checks, strict=True)
    ]


def json_of(lesson: Lesson) -> bytes:
    """All of a lesson that decides about its grades."""
    cells = [(cell.kind, cell.id, cell.source, cell.tags) for cell in lesson.cells]
    return repr((lesson.name, cells)).encode()


def words_of(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def summary(row: Row) -> str:
    if not row.results:
        return "; ".join(["not graded", *row.remarks])
    points = f"{plain(row.points)} of {plain(row.of_points)} points"
    failed = [str(number) for number, r in enumerate(row.results, 1) if r.word != PASSED]
    without = [f"without {', '.join(failed)}"] if failed else []
    found = f"{row.passed} of {len(row.results)}, {points}"
    return "; ".join([found, *without, *row.remarks])


def tell(grader: Grader, count: int) -> None:
    """Says how the class did, and where all is written."""
    rows = [row for _, row in sorted(grader.table.rows.items())]
    for name, passed, of in rates_of(rows):
        print(f"{name}: {passed} of {of} passed")
    for name in grader.table.absent:
        print(f"{name}: on the roster, but handed in nothing")
    folder = grader.table.folder
    names = ["grades.csv", "grades.html", *files_of(rows)]
    written = ", ".join(str(folder / name) for name in names)
    print(f"Written: {written}, and pages to give back in {folder / 'grades'}")
    without = {row.student for row in rows if row.student and not is_known(row)}
    if without:
        print(
            f"The tables for platforms lack the numbers of {len(without)} students, by which platforms "
            f"find people: give a --roster with the column ID ({CANVAS}) or Identifier (Moodle)"
        )
    if STOPPED.is_set():
        print(f"Stopped: {len(rows)} of {count} notebooks have a row")


if __name__ == "__main__":
    sys.exit(main())
