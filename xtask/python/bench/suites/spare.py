"""Seconds that a student waits for a kernel: a spare one, the same without a spare, and others.

All run the same cells, in turns, so that a busy moment of the machine hits each alike.
"""

import json
import time
from collections.abc import Callable, Iterator

import nbformat
import psutil

from bench.rivals import Failed, reason
from bench.suite import Setting, failure_noted
from bench.suites.kernel import PYTHON, Recipe, gigabytes, kernel_of, recipes
from bench.table import Entry, Table
from kernels import cells
from kernels.clone import CLONE
from kernels.kernel import Cells
from kernels.server import Server

TITLE = "A spare kernel"
TEXT = """\
JupyterLab, as `cargo xtask lab` starts it, keeps a kernel that is warm before it is asked for. Here
a server does so, and a notebook is opened in it once the spare is ready. *Ours* without a spare, a
stock kernel and Python's (ipykernel) start when they are asked for. A time is that from asking for
the kernel to its answer, and of each cell that from asking for it to the kernel's word that it is
idle. The stock kernel has one turn only, since it compiles all crates."""

TURNS = 3
SPARE = "ours, spare ready"
ORDINARY = "ours, no spare"
STOCK = "stock"
LESSON = "01_multiprocessing"
# Seconds that we promise.
FIRST_POOL, FIRST_PLOT = 1.5, 2.5
# The parts of the times of others that we promise.
OF_PYTHON, OF_ORDINARY_MEMORY = 1.0, 1.1
# Seconds of rest after a spare is ready, as there are before a student comes.
REST = 3
BOUND = {
    SPARE: "the compiler",
    ORDINARY: "type inference, which reads the standard library and the crates",
    STOCK: "compiling all crates",
    PYTHON: "imports of Python's modules",
}
Steps = Callable[[Cells, Recipe], float]


class Tables:
    """What is measured, which fills turn by turn."""

    def __init__(self, setting: Setting):
        self.recipes: dict[str, Recipe] = {
            ORDINARY if name == "ours" else name: recipe
            for name, recipe in recipes(setting).items()
        }
        names = [SPARE, ORDINARY, STOCK, PYTHON]
        if setting.quick:
            # The others start in the suite of kernels as well.
            names = [SPARE, PYTHON]
        self.pool = [self.entry(name) for name in names]
        self.plot = [self.entry(name) for name in names if name in (SPARE, ORDINARY)]
        self.memory = [self.entry(name) for name in names if name in (SPARE, ORDINARY)]
        if not setting.quick:
            self.pool[0].goal, self.plot[0].goal = FIRST_POOL, FIRST_PLOT
            self.pool[-1].goal, self.memory[-1].goal = OF_PYTHON, OF_ORDINARY_MEMORY

    @staticmethod
    def entry(name: str) -> Entry:
        return Entry(name, limit=name == PYTHON, bound=BOUND[name])

    def measure(self, entry: Entry, steps: Steps) -> None:
        """Runs the steps in a kernel that nobody has used."""
        in_place = in_a_server if entry.name == SPARE else in_a_kernel
        recipe = self.recipes[ORDINARY if entry.name == SPARE else entry.name]
        try:
            seconds, memory = in_place(recipe, steps)
        except (RuntimeError, AssertionError, OSError) as error:
            raise Failed(reason(error)) from error
        entry.seconds.append(seconds)
        for other in self.memory:
            if steps is first_pool and other.name == entry.name:
                other.seconds.append(memory)
        print(f"{entry.name}: {seconds:.2f} s, {memory:.2f} GB", flush=True)


def tables(setting: Setting) -> Iterator[Table]:
    tables = Tables(setting)
    for turn in range(setting.turns(TURNS)):
        for entries, steps in ((tables.pool, first_pool), (tables.plot, first_plot)):
            for entry in entries:
                if not entry.problem and not (entry.name == STOCK and turn):
                    with failure_noted(entry):
                        tables.measure(entry, steps)
    yield Table(
        "From asking for a kernel to the first typed cell with a pool",
        tables.pool,
        "The kernel answers, loads the crate, and a pool of two workers squares three numbers.",
    )
    yield Table(
        "From opening lesson 01 to its first plot",
        tables.plot,
        "The cells of the lesson that define what the first plot needs, and the plot, with a `SECOND` "
        "of no length: the lesson sleeps in it, which is not the kernel's doing.",
    )
    yield Table(
        "Memory of a kernel that was a spare",
        tables.memory,
        "After its first pool, when it is idle again.",
        unit="GB",
    )


def in_a_server(recipe: Recipe, steps: Steps) -> tuple[float, float]:
    with Server("--SpareKeeper.quiet_seconds=10000") as server:
        server.wait_for_spare()
        time.sleep(REST)
        started = time.perf_counter()
        with server.open_notebook(f"{LESSON}.ipynb") as kernel:
            seconds = time.perf_counter() - started + steps(kernel, recipe)
            [process] = psutil.Process(server.process.pid).children()
            return seconds, gigabytes(process.pid)


def in_a_kernel(recipe: Recipe, steps: Steps) -> tuple[float, float]:
    started = time.perf_counter()
    with kernel_of(recipe) as kernel:
        seconds = time.perf_counter() - started + steps(kernel, recipe)
        return seconds, gigabytes(kernel.pid)


def first_pool(kernel: Cells, recipe: Recipe) -> float:
    kernel.run(recipe.load)
    seconds = kernel.seconds
    result = kernel.run(recipe.first_pool)
    if result != cells.FIRST_RESULT:
        raise RuntimeError(f"{result} instead of {cells.FIRST_RESULT}")
    return seconds + kernel.seconds


def first_plot(kernel: Cells, _recipe: Recipe) -> float:
    seconds = 0.0
    result: dict[str, str] = {}
    for source in cells_to_first_plot():
        result = kernel.outputs(source)
        seconds += kernel.seconds
    if "<img" not in result.get("text/html", ""):
        raise RuntimeError(f"no plot but {json.dumps(result)[:100]}")
    return seconds


def cells_to_first_plot() -> list[str]:
    """The first cell, those that define what the plot needs, and the plot's own."""
    notebook = nbformat.read(CLONE / "notebooks" / f"{LESSON}.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    last = next(n for n, source in enumerate(code) if "plot::" in source)
    wanted = [s for s in code[:last] if not ("time!" in s or "assert" in s)]
    return [without_sleep(source) for source in [*wanted, code[last]]]


def without_sleep(source: str) -> str:
    return source.replace("Duration::from_millis(15)", "Duration::ZERO")
