"""Mandelbrot and Monte Carlo: the same work for the processor, in Rust and in Python."""

import math
from collections.abc import Iterator
from pathlib import Path

from bench.rivals import Program
from bench.suite import Contestant, Setting, Work, compete
from bench.table import Table
from kernels.clone import script

TITLE = "Work for the processor"
TEXT = """\
The same algorithm in Rust and in Python, with as many workers as there are cores. All draw the same
picture, to the last count, and all estimates of π are as close as chance allows; a row whose result
is not is not measured. Nothing is scaled: pure Python does all of the work, too."""


def tables(setting: Setting) -> Iterator[Table]:
    for work in works(setting):
        yield compete(work, setting)


def works(setting: Setting) -> Iterator[Work]:
    """Everything that is measured."""
    width = 60 if setting.quick else 450
    points = 64_000 if setting.quick else 4_000_000

    def contestants(work: str, size: int, bounds: dict[str, str]) -> list[Contestant]:
        arguments = [str(setting.workers), str(size)]

        def ours(how: str, name: str) -> Contestant:
            command: list[str | Path] = [setting.programs["work"], f"{work}-{how}", *arguments]
            return Contestant(name, lambda: Program(*command), bound=bounds["Rust"])

        def python(how: str, name: str) -> Contestant:
            command = [*script("bench.peers.work"), f"{work}-{how}", *arguments]
            return Contestant(name, lambda: Program(*command), bound=bounds[how.split("-")[0]])

        return [
            ours("pool", "Pool"),
            ours("rayon", "rayon par_iter"),
            ours("processes", "ProcessPool"),
            ours("serial", "Rust without a pool"),
            python("numpy", "numpy"),
            python("numpy-pool", "numpy in Python's Pool (fork)"),
            python("python", "pure Python"),
            python("python-pool", "pure Python in its Pool (fork)"),
        ]

    yield Work(
        f"Mandelbrot, {width} × {width * 2 // 3} points",
        contestants(
            "mandelbrot",
            width,
            {
                "Rust": "arithmetic: each step of a point waits for the one before",
                "numpy": "memory: each operation goes through arrays of all points that are left",
                "python": "the interpreter",
            },
        ),
        "Points of the plane, each with at most 200 steps of z² + c until it leaves. Some rows "
        "take much longer than others. numpy works on the points that are left, all at once.",
        panel=f"Mandelbrot, {width} × {width * 2 // 3} points",
    )
    # Five times the standard error of the estimate.
    close = 5 * 4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / points)
    yield Work(
        f"π by Monte Carlo, {points:,} points",
        contestants(
            "pi",
            points,
            {
                "Rust": "arithmetic: making random numbers",
                "numpy": "making random numbers, and arrays that hold them",
                "python": "the interpreter",
            },
        ),
        "Random points in a square, counted when they are in the quarter of a circle: 64 tasks of "
        "equal size, each with a generator of its own, the one that the language offers for speed "
        "(SmallRng, PCG64, the Mersenne Twister).",
        agree=lambda _, theirs: abs(float(theirs) - math.pi) <= close,
    )
