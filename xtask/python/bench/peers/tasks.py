"""What the workers of `pools.py`, `work.py` and `mpi.py` are told to do.

A module of its own, since some of the pools send a function by its name only if it is not the
main program's. Its workers import it, so what not all of them need is imported where it is.
"""

import time
from collections.abc import Iterable
from typing import Any, TypeVar

T = TypeVar("T")
# Steps after which a point of the Mandelbrot set counts as one that never leaves, as in
# helpers/benches/mandelbrot.
LIMIT = 200


def add_one(x: int) -> int:
    return x + 1


def list_sum(numbers: list[float]) -> float:
    return sum(numbers)


def loop_sum(numbers: Iterable[float]) -> float:
    total = 0.0
    for number in numbers:
        total += number
    return total


def array_sum(numbers: Any) -> Any:
    # numpy.sum(numbers), without importing numpy in workers that do not need it.
    return numbers.sum()


def give_back(value: T) -> T:
    return value


def rest(task: tuple[int, float]) -> int:
    units, unit = task
    time.sleep(units * unit)
    return units


def mandelbrot_row(task: tuple[int, int, int]) -> list[int]:
    """The steps until each point of a row leaves, in the interpreter."""
    y, width, height = task
    cy = 2.0 * y / height - 1.0
    return [steps(3.0 * x / width - 2.0, cy) for x in range(width)]


def steps(cx: float, cy: float) -> int:
    x = y = 0.0
    for step in range(LIMIT):
        x2, y2 = x * x, y * y
        if x2 + y2 > 4.0:
            return step
        y = 2.0 * x * y + cy
        x = x2 - y2 + cx
    return LIMIT


def mandelbrot_band(task: tuple[int, int, int, int]) -> Any:
    """The steps until each point of some rows leaves, as one array for all of the rows."""
    import numpy

    first, last, width, height = task
    cx = 3.0 * numpy.arange(width) / width - 2.0
    cy = 2.0 * numpy.arange(first, last) / height - 1.0
    cx, cy = (axis.ravel() for axis in list[Any](numpy.meshgrid(cx, cy)))
    counts: Any = numpy.full(cx.size, LIMIT, dtype=numpy.uint16)
    # Only the points that are left are worked on; `left` says which they are.
    left = numpy.arange(cx.size)
    x, y = numpy.zeros_like(cx), numpy.zeros_like(cy)
    for step in range(LIMIT):
        x2, y2 = x * x, y * y
        inside = x2 + y2 <= 4.0
        if not inside.all():
            counts[left[~inside]] = step
            left, x, y, x2, y2, cx, cy = (a[inside] for a in (left, x, y, x2, y2, cx, cy))
        y = 2.0 * x * y + cy
        x = x2 - y2 + cx
    return counts


def hits_of_python(task: tuple[int, int]) -> int:
    """How many of some random points of the unit square lie in the quarter of a circle."""
    import random

    seed, points = task
    draw = random.Random(seed).random
    hits = 0
    for _ in range(points):
        x, y = draw(), draw()
        if x * x + y * y <= 1.0:
            hits += 1
    return hits


def hits_of_numpy(task: tuple[int, int]) -> int:
    """The same, with all points of the task at once."""
    import numpy

    seed, points = task
    draw = numpy.random.default_rng(seed)
    x, y = draw.random(points), draw.random(points)
    return int(numpy.count_nonzero(x * x + y * y <= 1.0))
