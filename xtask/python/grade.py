"""Grades handed-in exercise notebooks: runs each in a kernel of its own, and writes a table.

The checks are the course's own, whatever became of them in the notebook. A notebook that does not
compile, never ends, fills the memory, prints without end or kills its kernel costs its own row and
no other. That is protection from accidents, not from attacks: cells are programs, which can do
whatever the person who grades can do.
"""

import argparse
import csv
import html
import io
import json
import os
import re
import secrets
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

import nbformat
import psutil

import kernels
from course_kernel.lifeline import VARIABLE, Lifeline
from exercises import FOLDER, exercises_of, tags
from notebooks import CLONE, replace

# The variable by which the processes of a notebook are known.
MARK = "COURSE_GRADE"
MOST_PROCESSES = 200
# A cell that says more than this prints without end, or shows what nobody can read.
MOST_OUTPUT = 1 << 20
OUTPUTS = {"stream", "error", "execute_result", "display_data"}
# Many short lines are much, too: each comes in a message of its own.
SIZE_OF_MESSAGE = 100
# A line that loads one of the course's crates, by its name or by its place, as the kernel reads it.
LOADS = re.compile(r"^ *:dep +([./][^ ]*/)?(?P<crate>helpers(-mpi)?)(?![\w-]).*$", re.MULTILINE)


@dataclass
class Limits:
    """What one notebook may take."""

    seconds: float
    cell_seconds: float
    memory: int


@dataclass
class Row:
    """What became of one notebook: a word for each exercise, and what else is to be said."""

    file: str
    lesson: str = ""
    results: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> int:
        return self.results.count(PASSED)


# Set when the program is told to end.
STOPPED = threading.Event()

PASSED, FAILED, MISSING, NOT_REACHED = "passed", "failed", "missing", "not reached"


class OutOfBounds(Exception):
    """A notebook took more than it may."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="cargo xtask grade", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the notebooks lie, in subfolders as well")
    parser.add_argument("--out", type=Path, help="where to write the table (the folder itself)")
    parser.add_argument("--seconds", type=float, default=300, help="the longest a notebook may take")
    parser.add_argument("--memory", type=float, default=4, help="the most memory, in GiB")
    jobs = max(1, (os.cpu_count() or 1) // 2)
    parser.add_argument("--jobs", type=int, default=jobs, help="notebooks at the same time")
    parser.add_argument("--kernel", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--course", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seconds <= 0 or options.memory <= 0:
        parser.error("--seconds and --memory must be above 0")
    limits = Limits(options.seconds, options.seconds / 3, int(options.memory * 2**30))
    files = notebooks_in(options.folder)
    if not files:
        print(f"there is no notebook in {options.folder}", file=sys.stderr)
        return 1
    course = course_notebooks(options.course)
    table = Table(options.out or options.folder)
    # Not all that can be in a name can be printed everywhere.
    sys.stdout.reconfigure(errors="replace")

    def graded(place: int) -> None:
        if not STOPPED.is_set():
            name = shown(files[place].relative_to(options.folder))
            row = grade(files[place], name, course, limits, options.kernel)
            table.add(place, row)
            print(f"{row.file}: {summary(row)}", flush=True)

    ended_by_a_signal()
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        try:
            for _ in pool.map(graded, range(len(files))):
                pass
        except KeyboardInterrupt:
            STOPPED.set()
            pool.shutdown(wait=False, cancel_futures=True)
    table.write()
    print(f"Written: {table.folder / 'grades.csv'}, {table.folder / 'grades.html'}")
    if STOPPED.is_set():
        print(f"Stopped: {len(table.rows)} of {len(files)} notebooks have a row")
        return 1
    return 0


def ended_by_a_signal() -> None:
    """Makes signals that mean the end do what Ctrl-C does, so that no kernel is left."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` wants the closed terminal to be ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def shown(path: Path) -> str:
    """The path for people: a name from another system may be no text here."""
    return os.fsencode(path).decode(errors="replace")


def notebooks_in(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.ipynb"))
    return [file for file in found if ".ipynb_checkpoints" not in file.parts]


def course_notebooks(folder: Path) -> dict[str, nbformat.NotebookNode]:
    """The course's notebooks of exercises; ends the program if one cannot be graded by."""
    course = {}
    for path in sorted(folder.glob("*.ipynb")):
        try:
            course[path.stem] = nbformat.read(path, as_version=4)
            exercises_of(course[path.stem], handed_out=False)
        except Exception as error:  # nbformat raises many kinds; all mean the same here
            sys.exit(f"error: nothing can be graded by the course's own {path}: {error}")
    if not course:
        sys.exit(f"error: there is no notebook of the course in {folder}")
    return course


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_exercise(cell) -> bool:
    return "exercise" in tags(cell)


def lesson_of(notebook, course: dict) -> str | None:
    """The course's notebook that this one was made from: the one most of whose cells it holds."""
    here = {cell.get("id") for cell in notebook.cells} | {text(cell) for cell in notebook.cells}

    def shared(name: str) -> int:
        return sum(cell.id in here or text(cell) in here for cell in course[name].cells)

    best = max(course, key=shared, default=None)
    return best if best and shared(best) else None


def text(cell) -> str:
    return cell.source.strip()


@dataclass
class Step:
    """A cell to run: the reader's own, or the check of an exercise."""

    source: str
    exercise: int | None = None


def steps_of(notebook, official) -> tuple[list[Step], set[int]]:
    """The reader's cells in their order, with the course's checks in place of theirs.

    Also which exercises are there at all.
    """
    exercises = exercises_of(official, handed_out=False)
    answers = [official.cells[exercise.cell] for exercise in exercises]
    checks = [official.cells[exercise.check] for exercise in exercises]
    first, *_ = code_cells(official)
    cells = [cell for cell in code_cells(notebook) if text(cell) != text(first)]
    answered = places_of_answers(cells, answers)
    checked = [{n for n, check in enumerate(checks) if is_same(cell, check)} for cell in cells]
    # Where the reader's check is: the answer may stand in a new cell between.
    due = {
        number: max(p for p, here in enumerate(checked) if p == place or number in here)
        for number, place in answered.items()
    }
    steps = [Step(loading(first.source))]
    for place, cell in enumerate(cells):
        if text(cell) and not checked[place]:
            steps.append(Step(without_loading(cell.source)))
        steps += [Step(checks[number].source, number) for number in due if due[number] == place]
    return steps, set(answered)


def is_same(cell, other) -> bool:
    return cell.get("id") == other.id or text(cell) == text(other)


def places_of_answers(cells: list, answers: list) -> dict[int, int]:
    """Where the cell of each exercise is, by the number of the exercise."""
    ids = [answer.id for answer in answers]
    named = {cell.get("id"): place for place, cell in reversed(list(enumerate(cells)))}
    found = {number: named[id] for number, id in enumerate(ids) if id in named}
    if found:
        return found
    # Some editors give cells new names; then the order of the tagged cells tells.
    tagged = [place for place, cell in enumerate(cells) if is_exercise(cell)]
    return dict(enumerate(tagged[: len(answers)]))


def loading(source: str) -> str:
    """The first cell, which finds the crates from wherever the notebook lies."""

    def here(line: re.Match) -> str:
        return f":dep {line['crate']} = {{ path = {json.dumps(str(CLONE / line['crate']))} }}"

    return LOADS.sub(here, source)


def without_loading(source: str) -> str:
    """A cell without lines that would load the crates from somewhere else."""
    return LOADS.sub("", source)


def grade(file: Path, name: str, course: dict, limits: Limits, kernel: Path) -> Row:
    """Runs one notebook; whatever happens, it is the row that tells."""
    row = Row(name)
    started = time.monotonic()
    try:
        notebook = nbformat.read(file, as_version=4)
        lesson = lesson_of(notebook, course)
        if lesson is None:
            row.remarks.append("it holds no cell of the course's exercises")
            return row
        row.lesson = lesson
        steps, there = steps_of(notebook, course[lesson])
        count = len(exercises_of(course[lesson], handed_out=False))
        row.results = [NOT_REACHED if number in there else MISSING for number in range(count)]
        run(steps, row, limits, kernel)
    except Exception as error:  # A row for every notebook, whatever is wrong with it.
        lines = str(error).strip().splitlines()
        row.remarks.append(lines[0] if lines else type(error).__name__)
    finally:
        row.seconds = time.monotonic() - started
    return row


def run(steps: list[Step], row: Row, limits: Limits, kernel: Path) -> None:
    with Session(kernel, limits) as session:
        for step in steps:
            if step.exercise is None:
                failure = session.run(step.source)
                if failure:
                    row.remarks.append(failure)
            else:
                row.results[step.exercise] = PASSED if session.passes(step.source) else FAILED


class Session:
    """A kernel, and the guard that ends it when it takes too much."""

    def __init__(self, kernel: Path, limits: Limits):
        self.program = kernel
        self.limits = limits
        # Processes of this notebook are known by it, wherever they went.
        self.mark = secrets.token_hex(16)
        # Should this program be killed, the kernel does not run on.
        self.lifeline = Lifeline()
        try:
            self.kernel = kernels.Kernel(
                [str(kernel), "kernel", "{connection_file}"],
                env=os.environ | {MARK: self.mark, VARIABLE: "1"},
                cwd=str(CLONE / "notebooks"),
                stdin=self.lifeline.far_end,
            )
        except BaseException:
            self.lifeline.cut()
            raise
        self.lifeline.hand_over()
        self.trouble = ""
        self.ended = threading.Event()
        self.guard = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Session":
        self.guard.start()
        try:
            self.kernel.wait_until_ready()
        except BaseException:
            self.__exit__()
            if self.trouble:
                raise OutOfBounds(self.trouble) from None
            raise
        return self

    def __exit__(self, *_) -> None:
        self.ended.set()
        self.guard.join()
        try:
            self.kernel.__exit__()
        finally:
            self.kill_all()
            self.lifeline.cut()

    def run(self, source: str) -> str:
        """Runs a cell; gives the first line of what went wrong."""
        return first_line(self.execute(source)[1])

    def passes(self, check: str) -> bool:
        """Whether the course's check finds the answer right."""
        # A word that the notebook cannot have known before, and paths that it cannot have changed.
        word = secrets.token_hex(8)
        check = check.replace("check!(", "::helpers::check!(", 1)
        # In braces, since the kernel takes a line that begins with a colon for a command of its own.
        said, _ = self.execute(f'{{ ::std::println!("{word} {{}}", {{\n{check}\n}}.is_right()); }}')
        return f"{word} true" in said

    def execute(self, source: str) -> tuple[str, str]:
        """Runs a cell; gives what it printed, and what went wrong."""
        said, problems = [], []
        size = 0
        request = self.kernel.client.execute(source, allow_stdin=False)
        deadline = time.monotonic() + self.limits.cell_seconds
        while True:
            self.check_bounds(deadline, source)
            try:
                message = self.kernel.client.get_iopub_msg(timeout=0.5)
            except Empty:
                continue
            content = message["content"]
            if message["msg_type"] in OUTPUTS:
                size += length_of(content) + SIZE_OF_MESSAGE
            if message["msg_type"] == "stream":
                (said if content["name"] == "stdout" else problems).append(content["text"])
            elif message["msg_type"] == "error":
                problems.append(content["evalue"])
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                if message["parent_header"].get("msg_id") == request:
                    return "".join(said), "".join(problems)
            if size > MOST_OUTPUT:
                most = MOST_OUTPUT / 2**20
                raise OutOfBounds(f"more than {most:g} MiB of output: {first_line(source)}")

    def check_bounds(self, deadline: float, source: str) -> None:
        if self.trouble:
            raise OutOfBounds(self.trouble)
        if not self.kernel.manager.is_alive():
            raise OutOfBounds(f"its kernel died: {first_line(source)}")
        if time.monotonic() > deadline:
            seconds = self.limits.cell_seconds
            raise OutOfBounds(f"no end after {seconds:.0f} s: {first_line(source)}")

    def watch(self) -> None:
        """Ends all processes when there are too many, or when they take too long or too much."""
        deadline = time.monotonic() + self.limits.seconds
        while not self.ended.wait(0.2):
            family = self.family()
            memory = sum(memory_of(process) for process in family)
            if time.monotonic() > deadline:
                self.trouble = f"no end after {self.limits.seconds:.0f} s"
            elif memory > self.limits.memory:
                self.trouble = f"more than {self.limits.memory / 2**30:g} GiB of memory"
            elif len(family) > MOST_PROCESSES:
                self.trouble = f"more than {MOST_PROCESSES} processes"
            elif STOPPED.is_set():
                self.trouble = "grading was stopped"
            if self.trouble:
                self.kill_all()
                return

    def family(self) -> list[psutil.Process]:
        """The kernel and all that it has started, as far as they have not left it."""
        try:
            kernel = psutil.Process(self.kernel.manager.provisioner.pid)
            return [kernel, *kernel.children(recursive=True)]
        except (psutil.Error, AttributeError):
            return []

    def kill_all(self) -> None:
        """Kills all processes of the notebook, also those that have left their family."""
        # Some may be started while others are killed.
        for _ in range(20):
            marked = [process for process in psutil.process_iter() if self.is_mine(process)]
            for process in marked:
                try:
                    process.kill()
                except psutil.Error:
                    pass
            if not marked:
                return
            psutil.wait_procs(marked, timeout=0.5)

    def is_mine(self, process: psutil.Process) -> bool:
        try:
            if process.environ().get(MARK) != self.mark:
                return False
            # That one ends by itself, and before that deletes what the kernel has compiled.
            is_janitor = process.cmdline()[1:2] == ["janitor"]
            return not (is_janitor and Path(process.exe()).samefile(self.program))
        except (psutil.Error, OSError):
            return False


def memory_of(process: psutil.Process) -> int:
    """The memory of a process, in bytes: its own, and its part of what it shares.

    What is but read from files does not count, since it can be read again.
    """
    try:
        table = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        parts = re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB$", table, re.MULTILINE)
    except OSError:
        parts = []
    if parts:
        return sum(map(int, parts)) * 1024
    # A system that does not tell as much.
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0
    return memory.rss - getattr(memory, "shared", 0)


def length_of(content: object) -> int:
    """The characters in all texts of a message."""
    if isinstance(content, dict):
        return sum(map(length_of, content.values()))
    if isinstance(content, list):
        return sum(map(length_of, content))
    return len(content) if isinstance(content, str) else 0


def first_line(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return next((line.strip() for line in plain.splitlines() if line.strip()), "")[:200]


def summary(row: Row) -> str:
    found = f"{row.passed} of {len(row.results)}" if row.results else "not graded"
    return "; ".join([found, *row.remarks])


class Table:
    """The rows so far, in files: whatever happens later, what was graded is kept."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[int, Row] = {}
        self.lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            sys.exit(f"error: cannot write in {folder}: {error}; name another folder with --out")

    def add(self, place: int, row: Row) -> None:
        """Adds a row and writes the table, with the rows in the order of their places."""
        with self.lock:
            self.rows[place] = row
        try:
            self.write()
        except OSError as error:
            # It is tried again with the next row, and at the end.
            print(f"cannot write the table: {error}", flush=True)

    def write(self) -> None:
        with self.lock:
            rows = [row for _, row in sorted(self.rows.items())]
            for name, text in [("grades.csv", csv_of(rows)), ("grades.html", page(rows))]:
                replace(self.folder / name, text.encode(errors="replace"))


def csv_of(rows: list[Row]) -> str:
    """The table for programs."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    most = max((len(row.results) for row in rows), default=0)
    numbers = [f"exercise {number}" for number in range(1, most + 1)]
    table.writerow(["notebook", "lesson", "passed", "of", *numbers, "seconds", "remarks"])
    for row in rows:
        results = row.results + [""] * (most - len(row.results))
        passed = [row.passed, len(row.results)]
        remarks = "; ".join(row.remarks)
        values = [row.file, row.lesson, *passed, *results, f"{row.seconds:.0f}", remarks]
        table.writerow([harmless(value) for value in values])
    return text.getvalue()


def harmless(value: object) -> object:
    """Spreadsheets take a text that begins like this for a formula, and calculate it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #8885; padding: .3rem .6rem; text-align: left; vertical-align: top; }
.passed { color: #187a33; } .failed, .missing, .not { color: #b3261e; }
:root { color-scheme: light dark; }
@media (prefers-color-scheme: dark) { .passed { color: #7bd88f; } .failed, .missing, .not { color: #ff8a80; } }
"""


def page(rows: list[Row]) -> str:
    """The table for people."""
    most = max((len(row.results) for row in rows), default=0)
    head = "".join(f"<th>{number}" for number in range(1, most + 1))
    lines = []
    for row in rows:
        results = [f'<td class="{word.split()[0]}">{word}' for word in row.results]
        results += ["<td>"] * (most - len(row.results))
        remarks = "<br>".join(html.escape(remark) for remark in row.remarks)
        lines.append(
            f"<tr><td>{html.escape(row.file)}<td>{html.escape(row.lesson)}"
            f"<td>{row.passed} of {len(row.results)}{''.join(results)}<td>{remarks}"
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Grades</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style><h1>Grades</h1><p>{len(rows)} notebooks."
        f"<table><tr><th>notebook<th>lesson<th>passed{head}<th>remarks\n"
        + "\n".join(lines)
        + "</table></html>\n"
    )


if __name__ == "__main__":
    sys.exit(main())
