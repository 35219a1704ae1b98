"""One measurement of work for the processor in Python: `bench.peers.work NAME WORKERS SIZE`.

For each line on standard input it does the work once, and prints the seconds and what the work
gave: see `bench/rivals.py`. The same work in Rust is `helpers/benches/work.rs`.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.peers import tasks

# As in helpers/benches/work.rs.
TASKS = 64

# Maps a function over tasks.
Map = Callable[[Callable[[Any], Any], list[Any]], list[Any]]


def alone(_workers: int) -> Map:
    return lambda function, items: list(map(function, items))


def pool(workers: int) -> Map:
    return multiprocessing.get_context("fork").Pool(workers).map


def mandelbrot_of_python(do: Map, _workers: int, width: int) -> tuple[float, str]:
    height = width * 2 // 3
    started = time.perf_counter()
    rows = do(tasks.mandelbrot_row, [(y, width, height) for y in range(height)])
    seconds = time.perf_counter() - started
    return seconds, digest(count for row in rows for count in row)


def mandelbrot_of_numpy(do: Map, workers: int, width: int) -> tuple[float, str]:
    height = width * 2 // 3
    # As many bands as a pool makes chunks; alone, all rows are one array.
    number = 4 * workers if workers else 1
    edges = [height * band // number for band in range(number + 1)]
    bands = [(first, last, width, height) for first, last in zip(edges, edges[1:])]
    started = time.perf_counter()
    parts = do(tasks.mandelbrot_band, bands)
    seconds = time.perf_counter() - started
    return seconds, digest(count for part in parts for count in part.tolist())


def digest(counts: Iterable[int]) -> str:
    """A number that changes with each count and with its place."""
    return str(sum(place * count for place, count in enumerate(counts, 1)) % 2**64)


def pi(hits: Callable[[Any], int], do: Map, size: int) -> tuple[float, str]:
    points = size // TASKS
    started = time.perf_counter()
    total = sum(do(hits, [(seed, points) for seed in range(TASKS)]))
    seconds = time.perf_counter() - started
    return seconds, str(4 * total / (points * TASKS))


WORK: dict[str, Callable[[Map, int, int], tuple[float, str]]] = {
    "mandelbrot-python": mandelbrot_of_python,
    "mandelbrot-numpy": mandelbrot_of_numpy,
    "pi-python": lambda do, _, size: pi(tasks.hits_of_python, do, size),
    "pi-numpy": lambda do, _, size: pi(tasks.hits_of_numpy, do, size),
}


def main() -> None:
    name, workers, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = WORK[name.removesuffix("-pool")]
    if not name.endswith("-pool"):
        workers = 0
    do = pool(workers) if workers else alone(workers)
    for _ in sys.stdin:
        seconds, result = work(do, workers, size)
        print(seconds, result, flush=True)


if __name__ == "__main__":
    main()
