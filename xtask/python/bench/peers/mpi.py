"""One measurement of mpi4py: `mpiexec -n RANKS python xtask/python bench.peers.mpi MEASUREMENT SIZE`,
and with `-m mpi4py.futures` behind `python` for its pool.

For each line on standard input of rank 0 it measures once and prints the seconds: see
`bench/rivals.py`.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from bench.peers import tasks
from kernels.clone import SCRIPTS

# The line after which nothing more is to be measured.
END = "end"


def is_wanted() -> bool:
    line = sys.stdin.readline()
    return bool(line) and line.strip() != END


def round_trip(executor: Any, calls: int) -> int:
    for x in range(calls):
        executor.submit(tasks.add_one, x).result()
    return calls


def map_items(executor: Any, count: int, **chunk: int) -> int:
    results = list(executor.map(tasks.add_one, range(count), **chunk))
    assert results == list(range(1, count + 1))
    return count


def there_and_back(executor: Any, count: int) -> int:
    import numpy

    numbers: Any = numpy.arange(count, dtype=numpy.float64)
    executor.submit(tasks.give_back, numbers).result()
    return 1


POOL: dict[str, Callable[[Any, int], int]] = {
    "round-trip": round_trip,
    "map-one": lambda executor, count: map_items(executor, count, chunksize=1),
    # As large as ours are by default.
    "map-chunks": lambda executor, count: map_items(
        executor, count, chunksize=-(-count // (4 * executor.num_workers))
    ),
    "there-and-back": there_and_back,
}


def pool(measurement: str, size: int) -> None:
    from mpi4py.futures import MPIPoolExecutor

    # The ranks that work have not been told where this module was found.
    with MPIPoolExecutor(path=[str(SCRIPTS)]) as executor:
        executor.bootup()
        while is_wanted():
            started = time.perf_counter()
            count = POOL[measurement](executor, size)
            print((time.perf_counter() - started) / count, flush=True)


def scatter_gather(size: int) -> None:
    """An array scattered to all ranks, and gathered again, by the calls for buffers."""
    import numpy
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    is_root = world.rank == 0
    numbers: Any = numpy.arange(size, dtype=numpy.float64) if is_root else None
    returned = numpy.zeros(size) if is_root else None
    part = numpy.zeros(size // world.size)
    while True:
        if is_root:
            wanted = is_wanted()
            for rank in range(1, world.size):
                world.send(wanted, rank)
        else:
            # While it waits inside of MPI it would take a core from others.
            while not world.Iprobe():
                time.sleep(0.001)
            wanted = world.recv()
        if not wanted:
            break
        world.Barrier()
        started = time.perf_counter()
        world.Scatter(numbers, part)
        world.Gather(part, returned)
        seconds = time.perf_counter() - started
        if is_root:
            assert numpy.array_equal(numbers, returned)
            print(seconds, flush=True)


def main() -> None:
    measurement, size = sys.argv[1], int(sys.argv[2])
    if measurement == "scatter-gather":
        scatter_gather(size)
    else:
        pool(measurement, size)


if __name__ == "__main__":
    main()
