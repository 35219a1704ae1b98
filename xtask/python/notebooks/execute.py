"""Running one notebook in the course's kernel, strictly.

The kernel's replies say whether a cell failed. A lesson's cell that goes well says nothing on stderr either:
what would be there is a panic in a worker, or a note of the kernel's.
"""

import asyncio
import time
from dataclasses import dataclass, field

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError

from kernels import ports

ports.use_these()

# The tag, Jupyter's own, of a cell that is meant to fail: "Run All" goes on after it.
RAISES = "raises-exception"


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


def execute(notebook, folder, timeout):
    """Runs the code cells of a notebook in order, up to the first that fails."""
    return asyncio.run(execute_cells(notebook, folder, timeout))


async def execute_cells(notebook, folder, timeout):
    client = NotebookClient(
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
    except (RuntimeError, OSError) as error:
        run.problem = Problem(0, "", f"the kernel did not start: {error}")
    return run


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
    error = error_in(cell.outputs)
    if expects_failure(cell):
        return None if error else "is tagged as one that fails, but did not"
    return error or words_on_stderr(cell.outputs)


def error_in(outputs):
    """The error that a cell ended with."""
    for output in outputs:
        if output.output_type == "error":
            return "\n".join([output.evalue, *output.get("traceback", [])[:12]])
    return None


def words_on_stderr(outputs):
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            return f"wrote to stderr (a panic in a worker does):\n{output.text.strip()}"
    return None


def expects_failure(cell):
    return RAISES in cell.metadata.get("tags", [])


def first_line(cell):
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return lines[0] if lines else ""


def read(path):
    return nbformat.read(path, as_version=4)
