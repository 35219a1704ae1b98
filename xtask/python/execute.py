"""Running one notebook in the course's kernel, strictly.

evcxr answers "ok" to a cell that panicked or whose `?` failed: only the text on stderr tells.
So a cell that writes to stderr has failed, unless it is tagged as one that should.
"""

import asyncio
import time
from dataclasses import dataclass, field
from queue import Empty

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellControlSignal,
    CellExecutionComplete,
    CellTimeoutError,
    DeadKernelError,
)

from kernels import LATEST_SECONDS, SETTLE_SECONDS

# Tags of a cell that is meant to fail. The second is Jupyter's own: "Run All" goes on after a
# cell that does not compile only if it has it.
RAISES = {"raises", "raises-exception"}
# How long to listen after the last cell for what a slow machine has kept back.
LAST_SECONDS = 2


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
    seconds_of: dict = field(default_factory=dict)


class Client(NotebookClient):
    """nbclient, which would lose what a cell writes just after the kernel said that it is idle."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # The cell of each request, and its place.
        self.requests = {}

    async def async_execute_cell(self, cell, cell_index, **options):
        await super().async_execute_cell(cell, cell_index, **options)
        if cell.cell_type == "code":
            await self.listen(SETTLE_SECONDS)
            if expects_failure(cell) and not failure_in(cell.outputs):
                await self.listen(LATEST_SECONDS)
        return cell

    async def listen(self, seconds):
        """Takes in messages until none came for so long; from a cell without end not all."""
        deadline = time.monotonic() + LATEST_SECONDS
        while time.monotonic() < deadline:
            try:
                self.take_late(await self.kc.get_iopub_msg(timeout=seconds))
            except Empty:
                return

    def take_late(self, message):
        """Gives a message to the cell that it belongs to, which has ended."""
        request = message["parent_header"].get("msg_id")
        if message["msg_type"] != "status" and request in self.requests:
            self.process_message(message, *self.requests[request])

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        # nbclient's own, which drops what belongs to an earlier cell.
        self.requests[parent_msg_id] = (cell, cell_index)
        while True:
            message = await self.kc.get_iopub_msg(timeout=None)
            if message["parent_header"].get("msg_id") != parent_msg_id:
                self.take_late(message)
                continue
            try:
                self.process_message(message, cell, cell_index)
            except CellExecutionComplete:
                return


def execute(notebook, folder, timeout):
    """Runs the code cells of a notebook in order, up to the first that fails."""
    return asyncio.run(execute_cells(notebook, folder, timeout))


async def execute_cells(notebook, folder, timeout):
    client = Client(
        notebook,
        km=AsyncKernelManager(kernel_name="rust"),
        timeout=timeout,
        startup_timeout=300,
        allow_errors=True,
        record_timing=False,
        # A kernel that hangs does not answer a polite request.
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(folder)}},
    )
    run = Run()
    try:
        async with client.async_setup_kernel(cleanup_kc=True):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code" or not cell.source.strip():
                    continue
                started = time.monotonic()
                message = await problem_in(client, cell, index, timeout)
                run.seconds_of[index + 1] = time.monotonic() - started
                if message:
                    run.problem = Problem(index + 1, first_line(cell), message)
                    return run
            await client.listen(LAST_SECONDS)
            run.problem = late_problem(notebook)
    except (RuntimeError, OSError) as error:
        run.problem = Problem(0, "", f"the kernel did not start: {error}")
    return run


def late_problem(notebook):
    """What was heard of only after later cells had begun."""
    for index, cell in enumerate(notebook.cells):
        failure = failure_in(cell.get("outputs", []))
        if failure and not expects_failure(cell):
            return Problem(index + 1, first_line(cell), failure)
    return None


async def problem_in(client, cell, index, timeout):
    """Runs a cell and says what is wrong, or nothing."""
    try:
        await client.async_execute_cell(cell, index)
    except CellTimeoutError:
        return f"no end after {timeout} seconds"
    except DeadKernelError:
        return "the kernel died"
    except CellControlSignal as error:
        return str(error)
    failure = failure_in(cell.outputs)
    if expects_failure(cell):
        return None if failure else "is tagged as one that fails, but did not"
    return failure


def failure_in(outputs):
    """What a cell's outputs say went wrong."""
    for output in outputs:
        if output.output_type == "error":
            return "\n".join([output.evalue, *output.get("traceback", [])[:12]])
        if output.output_type == "stream" and output.name == "stderr":
            return f"wrote to stderr (a panic or a failed `?` does):\n{output.text.strip()}"
    return None


def expects_failure(cell):
    return not RAISES.isdisjoint(cell.metadata.get("tags", []))


def first_line(cell):
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return lines[0] if lines else ""


def read(path):
    return nbformat.read(path, as_version=4)
