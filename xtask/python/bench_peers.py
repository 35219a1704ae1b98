"""One measurement of one of Python's process pools: `bench_peers.py POOL MEASUREMENT SIZE`.

For each line on standard input it measures once and prints the seconds: see `bench_rivals.py`.
Imports are made where they are needed, because workers that are spawned import this file too.
"""

import sys
import time
from collections.abc import Callable

import bench_tasks

# As in helpers/benches/processes.rs.
WORKERS = 2
PARTS = 8

Measure = Callable[[], float]


class Pool:
    """`multiprocessing.Pool`, or that of a module which copies it."""

    def __init__(self, module: str, start_method: str):
        context = __import__(module).get_context(start_method)
        self.pool = context.Pool(WORKERS)

    def call(self, function, argument):
        return self.pool.apply(function, (argument,))

    def map(self, function, items, chunk=None):
        return self.pool.map(function, items, chunk)

    def close(self):
        self.pool.terminate()
        self.pool.join()


class Executor:
    """An executor with the methods of `concurrent.futures`."""

    def __init__(self, make):
        self.executor = make(max_workers=WORKERS)

    def call(self, function, argument):
        return self.executor.submit(function, argument).result()

    def map(self, function, items, chunk=1):
        return list(self.executor.map(function, items, chunksize=chunk))

    def close(self):
        self.executor.shutdown()


def standard_executor():
    import concurrent.futures

    return Executor(concurrent.futures.ProcessPoolExecutor)


def loky_executor():
    import loky

    return Executor(loky.ProcessPoolExecutor)


POOLS = {
    "fork": lambda: Pool("multiprocessing", "fork"),
    "spawn": lambda: Pool("multiprocessing", "spawn"),
    "executor": standard_executor,
    "loky": loky_executor,
    "multiprocess": lambda: Pool("multiprocess", "fork"),
}


def round_trip(start_pool, calls: int) -> Measure:
    pool = start_pool()

    def measure():
        started = time.perf_counter()
        for x in range(calls):
            pool.call(bench_tasks.add_one, x)
        return (time.perf_counter() - started) / calls

    return measure


def map_items(start_pool, count: int, **chunk: int) -> Measure:
    pool = start_pool()
    items = list(range(count))
    expected = list(range(1, count + 1))

    def measure():
        started = time.perf_counter()
        results = pool.map(bench_tasks.add_one, items, **chunk)
        seconds = time.perf_counter() - started
        assert results == expected
        return seconds / count

    return measure


def start(start_pool, count: int) -> Measure:
    items = list(range(count))
    expected = list(range(1, count + 1))

    def measure():
        started = time.perf_counter()
        pool = start_pool()
        results = pool.map(bench_tasks.add_one, items)
        seconds = time.perf_counter() - started
        assert results == expected
        pool.close()
        return seconds

    return measure


def sum_arrays(start_pool, count: int) -> Measure:
    import numpy

    numbers = numpy.arange(count) % 1000 * 0.5
    return parallel_sum(
        start_pool, numbers, bench_tasks.array_sum, lambda: numpy.array_split(numbers, PARTS)
    )


def sum_lists(start_pool, count: int) -> Measure:
    numbers = [x % 1000 * 0.5 for x in range(count)]
    part = count // PARTS
    return parallel_sum(
        start_pool,
        numbers,
        bench_tasks.list_sum,
        lambda: [numbers[begin : begin + part] for begin in range(0, count, part)],
    )


def parallel_sum(start_pool, numbers, add, cut) -> Measure:
    pool = start_pool()
    # Multiples of a half: their sum is exact in any order.
    expected = sum(numbers)

    def measure():
        started = time.perf_counter()
        total = sum(pool.map(add, cut()))
        seconds = time.perf_counter() - started
        assert total == expected
        return seconds

    return measure


def there_and_back(start_pool, count: int) -> Measure:
    import numpy

    pool = start_pool()
    numbers = numpy.arange(count, dtype=numpy.float64)

    def measure():
        started = time.perf_counter()
        returned = pool.call(bench_tasks.give_back, numbers)
        seconds = time.perf_counter() - started
        assert numpy.array_equal(returned, numbers)
        return seconds

    return measure


MEASUREMENTS = {
    "round-trip": round_trip,
    "map-one": lambda start_pool, count: map_items(start_pool, count, chunk=1),
    "map-default": map_items,
    "start": start,
    "sum-arrays": sum_arrays,
    "sum-lists": sum_lists,
    "there-and-back": there_and_back,
}


def main():
    pool, measurement, size = sys.argv[1:]
    measure = MEASUREMENTS[measurement](POOLS[pool], int(size))
    for _ in sys.stdin:
        print(measure(), flush=True)


if __name__ == "__main__":
    main()
