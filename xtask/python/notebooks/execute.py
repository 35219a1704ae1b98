"""Running one notebook in the course's kernel, strictly.

What a cell shows says whether it failed. A lesson's cell that goes well says nothing on stderr either:
what would be there is a panic in a worker, or a note of the kernel's.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import output_from_msg

from kernels.kernel import Died, Kernel
from kernels.messages import Message

# The tag, Jupyter's own, of a cell that is meant to fail: "Run All" goes on after it.
RAISES = "raises-exception"
# Seconds after which a kernel that is not ready is given up.
STARTUP_LIMIT = 300
# Messages that are put into the notebook; an update of a display looks like a display.
SHOWS = {"stream", "error", "execute_result", "display_data"}
UPDATES = "update_display_data"


@dataclass
class Problem:
    """A cell that did not do what it should."""

    cell: int
    first_line: str
    message: str


@dataclass
class Run:
    """What happened to a notebook."""

    problem: Problem | None = None
    seconds_of: dict[int, float] = field(default_factory=dict)


def execute(notebook: NotebookNode, folder: Path, timeout: float) -> Run:
    """Runs the code cells of a notebook in order, up to the first that fails."""
    run = Run()
    try:
        kernel = Kernel(None, cwd=str(folder))
        kernel.wait_until_ready(STARTUP_LIMIT)
    except (RuntimeError, OSError) as error:
        run.problem = Problem(0, "", f"the kernel did not start: {error}")
        return run
    with contextlib.closing(kernel):
        page = Page()
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not cell.source.strip():
                continue
            started = time.monotonic()
            message = problem_in(kernel, page, cell, timeout)
            run.seconds_of[index + 1] = time.monotonic() - started
            if message:
                run.problem = Problem(index + 1, first_line(cell), message)
                break
    return run


def problem_in(kernel: Kernel, page: "Page", cell: NotebookNode, timeout: float) -> str | None:
    """Runs a cell and says what is wrong, or nothing."""
    page.begin(cell)
    try:
        kernel.ask(cell.source, page.hear, seconds=timeout, stop_on_error=False)
    except TimeoutError:
        return f"no end after {timeout} seconds"
    except Died:
        return "the kernel died"
    error = error_in(cell.outputs)
    if expects_failure(cell):
        return None if error else "is tagged as one that fails, but did not"
    return error or words_on_stderr(cell.outputs)


class Page:
    """Writes into the cells of a notebook what they show, as Jupyter does."""

    def __init__(self) -> None:
        # What cells have shown under a name by which it can be updated, by that name.
        self._named: dict[str, list[NotebookNode]] = {}
        self._clears = False

    def begin(self, cell: NotebookNode) -> None:
        self._cell = cell
        self._clears = False
        cell.outputs = []

    def hear(self, message: Message, is_about_it: bool) -> None:
        """Takes in a message about the cell that runs."""
        if not is_about_it:
            return
        kind, content = message["msg_type"], message["content"]
        if "execution_count" in content:
            self._cell.execution_count = content["execution_count"]
        name = (content.get("transient") or {}).get("display_id")
        if kind == "clear_output":
            self._clears = bool(content.get("wait"))
            if not self._clears:
                self._clear()
        elif kind == UPDATES:
            self._update(name, content)
        elif kind in SHOWS:
            self._update(name, content)
            if self._clears:
                self._clear()
            shown = output_from_msg(message)
            self._cell.outputs.append(shown)
            if name:
                self._named.setdefault(name, []).append(shown)

    def _update(self, name: str | None, content: Mapping[str, object]) -> None:
        """What has that name shows something else now, wherever it is."""
        for shown in self._named.get(name or "", []):
            shown.data = nbformat.from_dict(content["data"])
            shown.metadata = nbformat.from_dict(content["metadata"])

    def _clear(self) -> None:
        self._cell.outputs = []
        self._clears = False


def error_in(outputs: list[NotebookNode]) -> str | None:
    """The error that a cell ended with."""
    for output in outputs:
        if output.output_type == "error":
            return "\n".join([output.evalue, *output.get("traceback", [])[:12]])
    return None


def words_on_stderr(outputs: list[NotebookNode]) -> str | None:
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            return f"wrote to stderr (a panic in a worker does):\n{output.text.strip()}"
    return None


def expects_failure(cell: NotebookNode) -> bool:
    return RAISES in cell.metadata.get("tags", [])


def first_line(cell: NotebookNode) -> str:
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return lines[0] if lines else ""


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    return notebook
