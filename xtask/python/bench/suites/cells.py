"""The time that cells take in a kernel: ours, a stock kernel, and Python's."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from bench.rivals import Failed, reason
from bench.suite import Setting, failure_noted
from bench.suites import kernel as of_kernels
from bench.suites.kernel import PYTHON, Steps
from bench.table import Entry, Table
from kernels.clone import CLONE
from kernels.kernel import Kernel
from notebooks.execute import RAISES

TITLE = "Kernels and cells"
OF_CELLS = """\
The cells of the lessons are run in ours and in a stock kernel, which take turns cell by cell. A
time is that from asking for a cell to the kernel's word that it is idle again, so the time of the
cell's own code is in it: that part is nearly the same in both, but for the stock kernel's build,
which is a little less optimised and checks more. What a kernel adds is in tables of its own: the
time from asking for a cell until its library is written, after which its code runs."""
TEXT = f"{of_kernels.TEXT}\n\n{OF_CELLS}"

# Few, since each costs two minutes: those with the most pools in them.
LESSONS = ["01_multiprocessing", "04_processes_and_futures"]
# Cells of a lesson that a quick look runs.
FEW = 4
# How often each kernel gets a cell with nothing to do.
NOTHING_TIMES = 7
NOTHING = "1 + 1"
# What a kernel may add to the median cell.
GOAL = 0.5


def tables(setting: Setting) -> Iterator[Table]:
    steps = Steps(setting)
    lessons = []
    nothing = [
        Entry(name, limit=name == PYTHON, bound=bound) for name, bound in NOTHING_BOUND.items()
    ]
    names = LESSONS[:1] if setting.quick else LESSONS
    for name in names:
        lessons += lesson(name, steps, nothing, setting.quick)
    of_kernels.turns(steps, max(0, setting.turns(of_kernels.TURNS) - len(names)))
    yield from steps.every_table()
    yield from lessons
    yield Table(
        f"A cell with nothing to do: `{NOTHING}`",
        nothing,
        "What the kernel itself needs for any cell, at the end of a lesson, when all that the "
        "lesson defined is there.",
    )


NOTHING_BOUND = {
    "ours": "type inference, the compiler, the linker",
    "stock": "the same",
    PYTHON: "messages between client and kernel",
}


def lesson(name: str, steps: Steps, nothing: list[Entry], quick: bool) -> list[Table]:
    """Runs a lesson's cells in both Rust kernels; then all kernels do nothing."""
    path = CLONE / "notebooks" / f"{name}.ipynb"
    cells = cells_of(nbformat.read(path, as_version=4))[: FEW if quick else None]
    entries = [Entry(name, bound=NOTHING_BOUND[name]) for name in ["ours", "stock"]]
    added = [Entry(name, bound=NOTHING_BOUND[name]) for name in ["ours", "stock"]]
    added[0].goal = None if quick else GOAL
    count = sum(cell.is_timed for cell in cells)
    tables = [
        Table(
            f"A cell of lesson {name}, median of {count} cells",
            entries,
            "The middle of the lesson's cells, and the quarters below and above it: they differ in "
            "what they do. The ratio is that of each cell in one kernel to the same cell in the "
            "other.",
        ),
        Table(
            f"Of that, until the code of the cell runs: lesson {name}",
            added,
            "What the kernel adds to the cells of the lesson.",
        ),
    ]
    with contextlib.ExitStack() as stack:
        kernels = {}
        for entry in nothing:
            with failure_noted(entry):
                kernels[entry.name] = steps.start(entry.name)
                stack.callback(kernels[entry.name].__exit__)
        for entry in [*entries, *added]:
            if entry.name not in kernels:
                entry.problem = "the kernel did not start"
        for cell in cells:
            for entry, before in zip(entries, added):
                if cell.is_timed:
                    measure(kernels.get(entry.name), cell.source, entry, before)
                elif entry.name in kernels:
                    kernels[entry.name].problems(cell.source)
        for _ in range(1 if quick else NOTHING_TIMES):
            for entry in nothing:
                measure(kernels.get(entry.name), NOTHING, entry)
    return tables


@dataclass
class Cell:
    """A cell of a lesson. One that must fail is not timed, but may define what others use."""

    source: str
    is_timed: bool


def cells_of(notebook: NotebookNode) -> list[Cell]:
    """All cells but the first, which loads the crate."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [
        Cell(cell.source, RAISES not in cell.metadata.get("tags", []))
        for cell in code[1:]
        # Here the kernel adds a crate that the stock kernel would have to compile first.
        if ".await" not in cell.source
    ]


def measure(kernel: Kernel | None, source: str, entry: Entry, before: Entry | None = None) -> None:
    """Runs a cell, whose time goes to the entry, and that before its code runs to another."""
    if kernel is None or entry.problem:
        return
    with failure_noted(entry):
        asked = time.time()
        try:
            kernel.run(source)
        except RuntimeError as error:
            raise Failed(reason(error)) from error
        entry.seconds.append(kernel.seconds)
        if before and not before.problem:
            with failure_noted(before):
                before.seconds.append(min(kernel.seconds, written(kernel) - asked))


def written(kernel: Kernel) -> float:
    """When the library of the last cell was written."""
    try:
        family = psutil.Process(kernel.pid).children(recursive=True)
        loaded = [mapped.path for process in family for mapped in process.memory_maps()]
    # Not every system tells.
    except (psutil.Error, AssertionError, AttributeError, OSError) as error:
        raise Failed(f"the libraries of the cells are unknown: {error}") from error
    cells = {Path(path) for path in loaded if Path(path).name.startswith("libcode_")}
    return max(path.stat().st_mtime for path in cells)
