"""Those who take turns in a bench: each measures once when it is told to."""

import contextlib
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kernels import cells
from kernels.clone import CLONE
from kernels.kernel import Kernel

# Seconds after which a rival that does not answer is given up.
LONGEST = 120
# Seconds that a rival has to end its workers.
TIME_TO_END = 10


class Failed(Exception):
    """Why something cannot be measured."""


class Rival(Protocol):
    """`with` starts and ends it."""

    # What the work gave the last time, if that is told.
    result: str | None

    def measure(self) -> float:
        """Measures once, in seconds."""

    def __enter__(self) -> "Rival": ...

    def __exit__(self, *_: object) -> None: ...


class Program:
    """A program that measures once for each line it reads, and answers with the seconds.

    After the seconds it may say what the work gave. Each has a process of its own, which waits for
    the next line while others have their turn.
    """

    result: str | None = None

    def __init__(self, *command: str | Path):
        self.command: Sequence[str | Path] = command

    def __enter__(self) -> "Program":
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                # So that its workers can be ended should it fail to.
                start_new_session=True,
            )
        except OSError as error:
            self.errors.close()
            raise Failed(str(error)) from error
        assert self.process.stdin and self.process.stdout
        self.orders, self.answers = self.process.stdin, self.process.stdout
        return self

    def measure(self, order: str = "") -> float:
        # A program that ended says on stderr why.
        with contextlib.suppress(BrokenPipeError):
            self.orders.write(f"{order}\n".encode())
            self.orders.flush()
        answered, _, _ = select.select([self.answers], [], [], LONGEST)
        if not answered:
            raise Failed(f"no answer in {LONGEST} seconds")
        answer = self.answers.readline()
        if not answer:
            raise Failed(self.last_words())
        seconds, *result = answer.decode().split(maxsplit=1)
        self.result = result[0].strip() if result else None
        return float(seconds)

    def last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if not line.startswith("note:")]
        return next((line for line in reversed(lines) if line), "it ended without a word")

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.orders.close()
        try:
            ended_well = self.process.wait(TIME_TO_END) == 0
        except subprocess.TimeoutExpired:
            ended_well = False
        if not ended_well:
            # Its workers have nobody left to end them.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.answers.close()
        self.errors.close()


class Shared:
    """A program in which several rivals measure, each with an order of its own: they share data."""

    def __init__(self, *command: str | Path):
        self.program = Program(*command)
        self.users = 0

    def asked(self, order: str) -> "Asked":
        return Asked(self, order)


class Asked:
    """A rival that is an order to a shared program; the last one to leave ends it."""

    result: str | None = None

    def __init__(self, shared: Shared, order: str):
        self.shared, self.order = shared, order

    def __enter__(self) -> "Asked":
        if self.shared.users == 0:
            self.shared.program.__enter__()
        self.shared.users += 1
        return self

    def measure(self) -> float:
        seconds = self.shared.program.measure(self.order)
        self.result = self.shared.program.result
        return seconds

    def __exit__(self, *_: object) -> None:
        self.shared.users -= 1
        if self.shared.users == 0:
            self.shared.program.__exit__()


class Notebook:
    """A cell of a notebook in the course's kernel, whose result is the seconds."""

    result: str | None = None

    def __init__(self, cell: str):
        self.cell = cell

    def __enter__(self) -> "Notebook":
        argv, environment = course_kernel()
        try:
            # The kernel greets on its standard output.
            self.kernel = Kernel(
                argv, cwd=CLONE / "notebooks", env=environment, stdout=subprocess.DEVNULL
            )
            self.kernel.__enter__()
        except (RuntimeError, OSError) as error:
            raise Failed(f"the kernel does not start: {error}") from error
        try:
            self.kernel.run(cells.LOAD)
        except RuntimeError as error:
            self.kernel.__exit__()
            raise Failed(reason(error)) from error
        return self

    def measure(self) -> float:
        try:
            return float(self.kernel.run(self.cell))
        except (RuntimeError, ValueError) as error:
            raise Failed(reason(error)) from error

    def __exit__(self, *_: object) -> None:
        self.kernel.__exit__()


def course_kernel() -> tuple[list[str], dict[str, str]]:
    """How Jupyter starts the course's kernel: its command line, and its environment."""
    argv = [str(CLONE / ".course/bin/course-kernel"), "kernel", "{connection_file}"]
    return argv, dict(os.environ)


def reason(error: Exception) -> str:
    """What a kernel says of a cell, in one line and without the cell."""
    return " ".join(str(error).split("failed:\n", 1)[-1].split())
