"""Seconds that a student waits for a kernel: a spare one, the same without a spare, and others.

All run the same cells, in turns, so that a busy moment of the machine hits each alike.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import nbformat
import psutil

import cells
from bench_kernel import PYTHON, Recipe, recipes
from bench_rivals import CLONE, Failed, reason
from bench_suite import Setting, failure_noted
from bench_table import Entry, Table
from kernels import Kernel
from server import Server

TITLE = "A spare kernel"
TEXT = """\
JupyterLab, as `cargo xtask lab` starts it, keeps a kernel that is warm before it is asked for. Here
a server does so, and a notebook is opened in it once the spare is ready. *Ours* without a spare, a
stock kernel and Python's (ipykernel) start when they are asked for."""

TURNS = 3
SPARE = "ours, spare ready"
ORDINARY = "ours, no spare"
LESSON = "01_multiprocessing"
# Seconds that we promise, and the part of the stock kernel's time without a spare.
FIRST_POOL, FIRST_PLOT, OF_STOCK = 1.5, 2.5, 0.35
# Seconds of rest after a spare is ready, as there are before a student comes.
REST = 3
BOUND = {
    SPARE: "the compiler",
    ORDINARY: "type inference, which reads the standard library and the crates",
    "stock": "compiling all crates",
    PYTHON: "imports of Python's modules",
}
Steps = Callable[[Kernel, Recipe], None]


def tables(setting: Setting) -> Iterator[Table]:
    kinds: dict[str, Recipe | None] = {SPARE: None}
    for name, recipe in recipes(setting).items():
        kinds[ORDINARY if name == "ours" else name] = recipe
    ours = kinds[ORDINARY]
    if setting.quick:
        # The others start in the suite of kernels as well.
        kinds = {name: kinds[name] for name in (SPARE, PYTHON)}
    pool = [Entry(name, limit=name == PYTHON, bound=BOUND[name]) for name in kinds]
    plot = [Entry(name, bound=BOUND[name]) for name in kinds if name != PYTHON]
    memory: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(setting.turns(TURNS)):
        for entries, steps in ((pool, first_pool), (plot, first_plot)):
            for entry in entries:
                if not entry.problem:
                    with failure_noted(entry):
                        measure(entry, kinds[entry.name], ours, steps, memory)
    by_name = {entry.name: entry for entry in pool}
    if not setting.quick:
        pool[0].goal, plot[0].goal, by_name[PYTHON].goal = FIRST_POOL, FIRST_PLOT, 1.0
    yield Table(
        "From asking for a kernel to the first typed cell with a pool",
        pool,
        "The kernel answers, loads the crate, and a pool of two workers squares three numbers.",
    )
    yield Table(
        "From opening lesson 01 to its first plot",
        plot,
        "The cells of the lesson that the first plot needs, with a `SECOND` of no length: the "
        "lesson sleeps in them, which is not the kernel's doing.",
    )
    if not setting.quick:
        yield Table(
            "The first pool without a spare",
            [by_name[ORDINARY], replace(by_name["stock"], goal=OF_STOCK)],
            "Two rows of the first table.",
        )
    print(memory_table(memory))


def measure(
    entry: Entry,
    recipe: Recipe | None,
    ours: Recipe,
    steps: Steps,
    memory: dict[str, list[float]],
) -> None:
    """Runs the steps in a kernel that nobody has used."""
    try:
        if recipe is None:
            in_a_server(entry, ours, steps, memory)
        else:
            in_a_kernel(entry, recipe, steps, memory)
    except (RuntimeError, AssertionError, OSError) as error:
        raise Failed(reason(error)) from error
    print(f"{entry.name}: {entry.seconds[-1]:.1f} s", flush=True)


def in_a_server(
    entry: Entry, recipe: Recipe, steps: Steps, memory: dict[str, list[float]]
) -> None:
    with Server("--SpareKeeper.quiet_seconds=10000") as server:
        server.wait_for_spare()
        time.sleep(REST)
        started = time.perf_counter()
        with server.open_notebook(f"{LESSON}.ipynb") as kernel:
            steps(kernel, recipe)
            entry.seconds.append(time.perf_counter() - started)
            [process] = psutil.Process(server.process.pid).children()
            memory[entry.name].append(gigabytes(process))


def in_a_kernel(
    entry: Entry, recipe: Recipe, steps: Steps, memory: dict[str, list[float]]
) -> None:
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = time.perf_counter()
    with Kernel(recipe.argv, cwd=CLONE / "notebooks", env=recipe.environment, **silent) as kernel:
        steps(kernel, recipe)
        entry.seconds.append(time.perf_counter() - started)
        process = psutil.Process(kernel.manager.provisioner.pid)
        memory[entry.name].append(gigabytes(process))


def first_pool(kernel: Kernel, recipe: Recipe) -> None:
    kernel.run(recipe.load)
    result = kernel.run(recipe.first_pool)
    if result != cells.FIRST_RESULT:
        raise RuntimeError(f"{result} instead of {cells.FIRST_RESULT}")


def first_plot(kernel: Kernel, recipe: Recipe) -> None:
    for source in cells_to_first_plot():
        result = kernel.outputs(source)
    if "<img" not in result.get("text/html", ""):
        raise RuntimeError(f"no plot but {json.dumps(result)[:100]}")


def cells_to_first_plot() -> list[str]:
    """The first cell, those that define what the plot needs, and the plot's own."""
    notebook = nbformat.read(CLONE / "notebooks" / f"{LESSON}.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    last = next(n for n, source in enumerate(code) if "plot::" in source)
    wanted = [code[0], *(s for s in code[1:last] if "time!" not in s and "assert" not in s)]
    return [re_time(source) for source in [*wanted, code[last]]]


def re_time(source: str) -> str:
    return source.replace("Duration::from_millis(15)", "Duration::ZERO")


def gigabytes(kernel: psutil.Process) -> float:
    """What a kernel and its children hold for themselves, shared pages divided."""
    processes = [kernel, *kernel.children(recursive=True)]
    used = 0
    for process in processes:
        try:
            about = process.memory_full_info()
        except psutil.Error:
            continue
        used += getattr(about, "pss", about.uss)
    return used / 1e9


def memory_table(memory: dict[str, list[float]]) -> str:
    lines = ["### Memory of a kernel after its first pool or plot, in GB: the least and the most", ""]
    for name, used in memory.items():
        if used:
            lines.append(f"{name}: {min(used):.2f} to {max(used):.2f}")
    return "\n".join([*lines, ""])
