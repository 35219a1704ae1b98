"""Runs a notebook in a kernel of its own, and ends it when it takes more than it may."""

import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from course_kernel.lifeline import VARIABLE, Lifeline

from grading.matching import Plan, Step
from grading.row import FAILED, LOOK, MISSING, PARTS, PASSED, UNTOUCHED, Row
from grading.sandbox import size_of
from kernels.kernel import Kernel
from kernels.messages import Message

# The variable by which the processes of a notebook are known.
MARK = "COURSE_GRADE"
MOST_PROCESSES = 200
# A cell that says more than this prints without end, or shows what nobody can read.
MOST_OUTPUT = 1 << 20
# Files that a notebook may write, in bytes.
MOST_WRITTEN = 4 << 30
OUTPUTS = {"stream", "error", "execute_result", "display_data"}
# Many short lines are much, too: each comes in a message of its own.
SIZE_OF_MESSAGE = 100
# How long a cell that was told to end may take to obey.
PATIENCE = 20.0
# Of what a cell says when it fails, so much is kept.
MOST_WORDS = 4000

# Set when the program is told to end.
STOPPED = threading.Event()


@dataclass
class Limits:
    """What one notebook may take."""

    seconds: float
    cell_seconds: float
    memory: int


class OutOfBounds(Exception):
    """A notebook took more than it may, and cannot go on."""


@dataclass
class Came:
    """What came of a cell."""

    said: str = ""
    # The kind of error, its words, and all that the reader saw of it.
    kind: str = ""
    error: str = ""
    report: str = ""

    @property
    def words(self) -> str:
        """One line on what went wrong, with the line of the cell if the compiler names it."""
        line = re.search(r"^ *(\d+) │.*\n *│.*\^", self.report, re.MULTILINE)
        place = f" (line {line[1]})" if line and self.kind == "CompileError" else ""
        kind = "a panic: " if self.kind == "Panic" else ""
        return f"{kind}{first_line(self.error)}{place}" if self.error else ""


def run(plan: Plan, row: Row, limits: Limits, kernel: Path, folder: Path, temporary: Path) -> None:
    """Runs the steps and writes into the row what came of each exercise."""
    if all(step.exercise is None for step in plan.steps):
        return
    with Session(kernel, limits, folder, temporary) as session:
        for step in plan.steps:
            if step.exercise is None:
                run_cell(session, step, row)
            elif row.results[step.exercise].word not in (PASSED, LOOK):
                run_check(session, step, row, plan)


def run_cell(session: "Session", step: Step, row: Row) -> None:
    """Runs a cell of the reader's; the first step, which is the course's own, may take longer."""
    done = [row.results[number].word in (PASSED, LOOK) for number in step.about]
    if step.is_trial and all(done):
        return
    came = session.execute(step.source, is_given=step.cell == 0)
    for number in step.about:
        result = row.results[number]
        if not step.is_trial:
            result.cell = step.cell
            # The cell that mends it has the last word.
            result.remark, result.error = "", ""
            if came.error:
                result.remark = f"cell {step.cell}: {came.words}"
                result.error = came.report
    if came.error and not step.about:
        row.remarks.append(f"cell {step.cell}: {came.words}" if step.cell else came.words)


def run_check(session: "Session", step: Step, row: Row, plan: Plan) -> None:
    """Runs the course's check of an answer."""
    assert step.exercise is not None, "a step without an exercise is no check"
    result = row.results[step.exercise]
    verdict = session.verdict(step.source)
    if step.is_trial:
        if verdict.is_right or result.word == MISSING:
            came = "is right" if verdict.is_right else "is not right"
            result.word = LOOK
            result.remark = f"cell {step.cell} is a text, not code; run as code it {came}"
        return
    better = verdict.is_right or verdict.checks > result.checks or not result.came
    if verdict.is_right:
        result.word, result.error = PASSED, ""
        result.remark = verdict.parts.get("remark", "")
    else:
        result.word = UNTOUCHED if step.exercise in plan.untouched else FAILED
    if better:
        result.checks = verdict.checks
        for name in PARTS:
            setattr(result, name, verdict.parts.get(name, ""))
    if verdict.error and not result.remark:
        result.remark = f"its check: {verdict.error}"
        result.error = result.error or verdict.report


@dataclass
class Verdict:
    """What a check of the course says."""

    is_right: bool
    checks: int
    parts: dict[str, str]
    # Why there is no verdict.
    error: str = ""
    report: str = ""


class Session:
    """A kernel, and the guard that ends it when it takes too much."""

    def __init__(self, kernel: Path, limits: Limits, folder: Path, temporary: Path):
        self.program = kernel
        self.limits = limits
        self.folder = folder
        self.temporary = temporary
        # Processes of this notebook are known by it, wherever they went.
        self.mark = secrets.token_hex(16)
        # Should this program be killed, the kernel does not run on.
        self.lifeline = Lifeline()
        try:
            self.kernel = Kernel(
                [str(kernel), "kernel", "{connection_file}"],
                env=os.environ | {MARK: self.mark, VARIABLE: "1", "TMPDIR": str(temporary)},
                cwd=str(folder),
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

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.guard.join()
        try:
            self.kernel.__exit__()
        finally:
            self.kill_all()
            self.lifeline.cut()

    def verdict(self, check: str) -> Verdict:
        """Runs the course's check, and says what it finds."""
        # A word that the notebook cannot have known before, and paths that it cannot have changed.
        word = "w" + secrets.token_hex(8)
        check = check.replace("check!(", "::helpers::check!(", 1)
        # In braces: the kernel takes a line that begins with a colon for a command of its own.
        came = self.execute(
            f"{{ let {word} = {{\n{check}\n}};\n"
            f'::std::println!("\\n{word} {{}} {{}}\\n{{}}\\n{word}", '
            f"{word}.is_right(), {word}.passed(), {word}); }}",
            is_given=True,
        )
        found = re.search(rf"^{word} (true|false) (\d+)\n(.*)\n{word}$", came.said, re.M | re.S)
        if not found:
            return Verdict(False, 0, {}, came.words or "it said nothing", came.report)
        return Verdict(
            found[1] == "true", int(found[2]), parts_of(found[3]), *not_checked(found[3])
        )

    def execute(self, source: str, is_given: bool = False) -> Came:
        """Runs a cell. One that does not end is told to, and the notebook goes on.

        What is given by the course may take as long as the whole notebook.
        """
        came, size, told, interrupt = Came(), 0, 0.0, ""
        most = self.limits.seconds if is_given else self.limits.cell_seconds
        deadline = time.monotonic() + most

        def stop(why: str) -> None:
            nonlocal told, interrupt
            told = time.monotonic()
            came.kind, came.error, came.report = "Stopped", why, why
            interrupt = self.kernel.interrupt()

        def hear(message: Message, _: bool) -> None:
            nonlocal size
            content = message["content"]
            if message["msg_type"] in OUTPUTS:
                size += length_of(content) + SIZE_OF_MESSAGE
            if size > MOST_OUTPUT and not told:
                stop(f"more than {MOST_OUTPUT / 2**20:g} MiB of output: {first_line(source)}")
            elif not told:
                add(came, message["msg_type"], content)

        def look(_: bool) -> None:
            self.check_bounds(source)
            if not told and time.monotonic() > deadline:
                stop(f"no end after {most:.0f} s: {first_line(source)}")
            elif told and time.monotonic() > told + PATIENCE:
                raise OutOfBounds(came.error)

        self.kernel.ask(source, hear, look, stop_on_error=False)
        if interrupt:
            self.wait_for_obedience(interrupt, came.error)
        return came

    def wait_for_obedience(self, interrupt: str, why: str) -> None:
        """Waits until the kernel has taken notice, or it would interrupt the next cell."""
        deadline = time.monotonic() + PATIENCE

        def look(_: bool) -> None:
            self.check_bounds(why)
            if time.monotonic() > deadline:
                raise OutOfBounds(why)

        self.kernel.reply_to(interrupt, look)

    def check_bounds(self, source: str) -> None:
        if self.trouble:
            raise OutOfBounds(self.trouble)
        if not self.kernel.manager.is_alive():
            raise OutOfBounds(f"its kernel died: {first_line(source)}")

    def watch(self) -> None:
        """Ends all processes when there are too many, or when they take too long or too much."""
        deadline = time.monotonic() + self.limits.seconds
        turn = 0
        while not self.ended.wait(0.2):
            turn += 1
            family = self.family()
            memory = sum(memory_of(process) for process in family)
            if time.monotonic() > deadline:
                self.trouble = f"no end after {self.limits.seconds:.0f} s"
            elif memory > self.limits.memory:
                self.trouble = f"more than {self.limits.memory / 2**30:g} GiB of memory"
            elif len(family) > MOST_PROCESSES:
                self.trouble = f"more than {MOST_PROCESSES} processes"
            elif turn % 5 == 0 and size_of(self.folder.parents[1]) > MOST_WRITTEN:
                self.trouble = f"more than {MOST_WRITTEN >> 30} GiB of files"
            elif STOPPED.is_set():
                self.trouble = "grading was stopped"
            if self.trouble:
                self.kill_all()
                return

    def family(self) -> list[psutil.Process]:
        """The kernel and all that it has started, as far as they have not left it."""
        try:
            kernel = psutil.Process(self.kernel.pid)
            return [kernel, *kernel.children(recursive=True)]
        except (psutil.Error, AssertionError):
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


def add(came: Came, kind: str, content: dict[str, Any]) -> None:
    """Takes in a message about a cell."""
    if kind == "stream" and content["name"] == "stdout":
        came.said += content["text"]
    elif kind == "stream":
        words = plain(content["text"])
        came.error = came.error or first_line(words)
        came.report = (came.report + words)[:MOST_WORDS]
    elif kind == "error":
        came.kind, came.error = content["ename"], content["evalue"]
        report = plain("\n".join(content["traceback"] or [content["evalue"]]))
        came.report = (came.report + report)[:MOST_WORDS]


def parts_of(verdict: str) -> dict[str, str]:
    """What was called, expected, what came, and the hint, of a verdict's lines.

    A part of several lines ends where the next one begins.
    """
    beginning = re.compile(rf"^  ({'|'.join(PARTS)}|remark) +", re.MULTILINE)
    found = list(beginning.finditer(verdict))
    ends = [*(part.start() for part in found), len(verdict)][1:]
    return {part[1]: verdict[part.end() : end].strip() for part, end in zip(found, ends)}


def not_checked(verdict: str) -> list[str]:
    """The words of a check that could not be made."""
    return [first_line(verdict), verdict] if verdict.startswith("Not checked") else []


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


def plain(text: str) -> str:
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def first_line(text: str) -> str:
    lines = plain(text).splitlines()
    lines = [line.strip() for line in lines if line.strip()]
    # What a cell does says more than what it says of itself.
    code = [line for line in lines if not line.startswith("//")]
    return next(iter(code or lines), "")[:200]
