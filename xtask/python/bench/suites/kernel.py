"""Seconds from starting a kernel to the first result of a pool: ours, a stock kernel, and Python's.

All run the same steps, in turns, so that a busy moment of the machine hits each alike.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.rivals import Failed, course_kernel, reason
from bench.suite import Setting, failure_noted
from bench.table import Entry, Table
from kernels import cells
from kernels.clone import CLONE
from kernels.kernel import LONGEST, Kernel

TITLE = "A kernel's start"
TEXT = """\
What a reader waits for between opening a notebook and the first result of a pool. The stock kernel
is the same version of evcxr without the course's set-up: it compiles all crates in the first cell.
It has no need of the network here; the crates are on the disk. Python's kernel (ipykernel) is there
for scale: it compiles nothing."""

# Turns, unless the command line says something else.
TURNS = 3
# What `stock` must be multiplied with to give the time that we promise.
GOAL = 0.35
# The same for memory.
MEMORY_GOAL = 1.0
PYTHON = "ipykernel"
# What a reader has typed before *Tab* behind a pool, in any kernel, and what must be offered.
BEHIND_POOL = ("pool.star", "starmap")
# Seconds that we promise for the first *Tab*.
TAB_GOAL = 2.0

# What each step is, and what it is bound by in each kernel.
STEPS = {
    "From starting a kernel until it is ready": (
        "The kernel's process starts and answers. evcxr reads the standard library for its type "
        "inference meanwhile.",
        {
            "ours": "reading the standard library, and a folder of links to compiled crates",
            "stock": "reading the standard library",
            PYTHON: "imports of Python's modules",
        },
    ),
    "The cell that loads the crate": (
        "`:dep helpers` and `use helpers::prelude::*`; in Python, `from multiprocessing import "
        "Pool`. The stock kernel compiles the crate and all that it needs; ours has a folder in "
        "which that is done.",
        {
            "ours": "cargo, which finds all crates compiled, and the compiler",
            "stock": "compiling all crates",
            PYTHON: "an import",
        },
    ),
    "The first cell with a pool": (
        "A pool of two workers squares three numbers. The Rust kernels read all crates for their "
        "type inference, once.",
        {
            "ours": "type inference, which reads the crates, and the compiler",
            "stock": "the same",
            PYTHON: "starting two processes",
        },
    ),
    "From starting a kernel to the first result, in all": (
        "The three steps above.",
        {
            "ours": "type inference, which reads the crates, and the compiler",
            "stock": "compiling all crates",
            PYTHON: "imports of Python's modules",
        },
    ),
}


@dataclass
class Recipe:
    """How to start a kernel, and the cells that lead to its first result."""

    argv: list[str]
    environment: dict[str, str]
    load: str = cells.LOAD
    first_pool: str = cells.FIRST_POOL
    # What a reader has typed before *Tab*, and a word that must be offered then.
    typed: tuple[str, str] = ("let mut numbers = vec![3, 1, 2];\nnumbers.so", "sort")
    # What takes the variables of these cells away again.
    forget: str = "drop(pool); drop(squares);"


def recipes(setting: Setting) -> dict[str, Recipe]:
    """The kernels by their names in the tables; the first one is ours."""
    stock = {k: v for k, v in os.environ.items() if not k.startswith("EVCXR")}
    # The network's time is nobody's merit: all crates are on the disk.
    stock["CARGO_NET_OFFLINE"] = "true"
    if setting.quick:
        stock |= with_compiled_crates()
    assert setting.kernel, "no kernel was named"
    return {
        "ours": Recipe(*course_kernel()),
        "stock": Recipe(stock_kernel(setting.kernel), stock),
        PYTHON: Recipe(
            [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            dict(os.environ),
            "from multiprocessing import Pool",
            "pool = Pool(2)\nsquares = pool.starmap(pow, [(1, 2), (2, 2), (3, 2)])\nsquares",
            ("numbers = [3, 1, 2]\nnumbers.so", "sort"),
            "pool.terminate()\ndel pool, squares",
        ),
    }


def stock_kernel(program: Path) -> list[str]:
    """evcxr_jupyter as it is, which is in the course's program, too."""
    return [str(program), "--stock", "--control_file", "{connection_file}"]


def with_compiled_crates() -> dict[str, str]:
    """What makes a stock kernel keep what it compiles, so that only the first in a clone takes long."""
    folder = CLONE / ".course/bench/stock"
    # evcxr cannot work in a path with a space in it.
    if any(map(str.isspace, str(folder))):
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    return {"EVCXR_TMPDIR": str(folder)}


class Steps:
    """The tables of a start, which fill turn by turn."""

    def __init__(self, setting: Setting):
        self.recipes = recipes(setting)
        self.goal = None if setting.quick else GOAL
        self.tables = [self.table(title, *step) for title, step in STEPS.items()]
        self.first_tab = self.tab_table(
            "The first *Tab* in a fresh kernel",
            "A reader types `numbers.so` behind a list of numbers and presses *Tab*, before any cell "
            "has run. Of what kernels offer, `sort` must be a part.",
        )
        self.pool_tab = self.tab_table(
            "*Tab* behind a pool",
            "After the first result: `pool.star` and *Tab*, which must offer `starmap`.",
        )
        self.memory = self.memory_table()

    def tab_table(self, title: str, means: str) -> Table:
        bounds = {
            "ours": "type inference, which reads the standard library",
            "stock": "the same",
            PYTHON: "Python's jedi",
        }
        entries = [Entry(name, limit=name == PYTHON, bound=bounds[name]) for name in self.recipes]
        entries[0].goal = None if self.goal is None else TAB_GOAL
        return Table(title, entries, means)

    def every_table(self) -> list[Table]:
        return [*self.tables, self.first_tab, self.pool_tab, self.memory]

    def memory_table(self) -> Table:
        bounds = {
            "ours": "rust-analyzer: the standard library and the crates",
            "stock": "the same",
            PYTHON: "Python's modules",
        }
        entries = [Entry(name, limit=name == PYTHON, bound=bounds[name]) for name in self.recipes]
        next(entry for entry in entries if entry.name == "stock").goal = (
            None if self.goal is None else MEMORY_GOAL
        )
        return Table(
            "Memory of a kernel that has given its first result",
            entries,
            "What a kernel and its processes hold when they are idle again, after a *Tab*; of what processes "
            "share, each has its part.",
            unit="GB",
        )

    def table(self, title: str, means: str, bounds: dict[str, str]) -> Table:
        is_all = title == list(STEPS)[-1]
        entries = [
            Entry(
                name,
                goal=self.goal if is_all and name == "stock" else None,
                # Another language: it says how far one could come, and is no rival.
                limit=name == PYTHON,
                bound=bounds[name],
            )
            for name in self.recipes
        ]
        return Table(
            title,
            entries,
            means,
            panel="From a kernel's start to the first result" if is_all else None,
        )

    def start(self, name: str) -> Kernel:
        """Starts a kernel, takes its steps, and gives it without their variables."""
        place = list(self.recipes).index(name)
        entries = [table.entries[place] for table in self.tables]
        recipe = self.recipes[name]
        if entries[0].problem:
            raise Failed(entries[0].problem)
        try:
            first_tab = first_completion(recipe)
            kernel, seconds, pool_tab = first_result(recipe)
        except (RuntimeError, OSError) as error:
            for entry in [table.entries[place] for table in self.every_table()]:
                entry.problem = reason(error)
                entry.seconds.clear()
            raise Failed(reason(error)) from error
        for entry, time_of_step in zip(entries, [*seconds, sum(seconds)]):
            entry.seconds.append(time_of_step)
        self.first_tab.entries[place].seconds.append(first_tab)
        self.pool_tab.entries[place].seconds.append(pool_tab)
        used = gigabytes(kernel.pid)
        self.memory.entries[place].seconds.append(used)
        print(f"{name}: {sum(seconds):.1f} s to the first result, {used:.2f} GB", flush=True)
        return kernel


def first_result(recipe: Recipe) -> tuple[Kernel, list[float], float]:
    """A kernel that has given its first result, the seconds of the steps to it, and of a *Tab* then."""
    started = time.perf_counter()
    kernel = kernel_of(recipe)
    kernel.__enter__()
    seconds = [time.perf_counter() - started]
    try:
        kernel.run(recipe.load)
        seconds.append(kernel.seconds)
        result = kernel.run(recipe.first_pool)
        seconds.append(kernel.seconds)
        if result != cells.FIRST_RESULT:
            raise RuntimeError(f"{result} instead of {cells.FIRST_RESULT}")
        tab = completion(kernel, *BEHIND_POOL)
        kernel.run(recipe.forget)
    except BaseException:
        kernel.__exit__()
        raise
    return kernel, seconds, tab


def first_completion(recipe: Recipe) -> float:
    """Seconds of a *Tab* in a kernel that has done nothing before."""
    with kernel_of(recipe) as kernel:
        return completion(kernel, *recipe.typed)


def kernel_of(recipe: Recipe) -> Kernel:
    """A kernel that starts."""
    # It greets, and tells what it compiles.
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return Kernel(recipe.argv, cwd=CLONE / "notebooks", env=recipe.environment, **silent)


def completion(kernel: Kernel, typed: str, wanted: str) -> float:
    """Seconds from pressing *Tab* behind what is typed to the answer, in which a word must be."""
    started = time.perf_counter()
    answer = kernel.client.complete(typed, len(typed), reply=True, timeout=LONGEST)
    seconds = time.perf_counter() - started
    offered = answer["content"].get("matches", [])
    if not any(wanted in each for each in offered):
        raise RuntimeError(f"*Tab* behind {typed!r} offers {offered[:5]}, without {wanted!r}")
    return seconds


def gigabytes(kernel: int) -> float:
    """What a process and its children hold for themselves, shared pages divided."""
    process = psutil.Process(kernel)
    used = 0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            about = each.memory_full_info()
            # Only Linux divides.
            used += getattr(about, "pss", about.uss)
    return used / 1e9


def tables(setting: Setting) -> Iterator[Table]:
    steps = Steps(setting)
    turns(steps, setting.turns(TURNS))
    yield from steps.every_table()


def turns(steps: Steps, count: int) -> None:
    """Starts each kernel in turns, and ends it."""
    for _ in range(count):
        for name, entry in zip(steps.recipes, steps.tables[0].entries):
            if not entry.problem:
                with failure_noted(entry):
                    steps.start(name).__exit__()
