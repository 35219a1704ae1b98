"""One measurement of one of Python's pools: `bench.peers.pools POOL MEASUREMENT WORKERS SIZE`.

For each line on standard input it measures once and prints the seconds: see `bench/rivals.py`. Some
measurements print what the work gave after them, and take from the line what is wanted. Imports are
made where they are needed, because workers that are spawned import this file too.
"""

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.peers import tasks

# As in helpers/benches/processes.rs.
PARTS = 8
# As in helpers/benches/threads.rs.
SLEEPS = [3, 5, 10, 15, 17, 20]
NUMBERS = 20_000_000
# As in helpers/benches/repeat: work that takes less is done again.
AT_LEAST = 0.020

# Told the line that was read.
Measure = Callable[[str], float | str]

# Starts a pool of one of the classes below.
StartPool = Callable[[], Any]


class Nobody:
    """The caller does it all by itself."""

    def call(self, function: Callable[..., Any], argument: Any) -> Any:
        return function(argument)

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], chunk: int | None = None
    ) -> list[Any]:
        return list(map(function, items))

    def close(self) -> None:
        pass


class Pool:
    """`multiprocessing.Pool`, or another with its methods."""

    def __init__(self, pool: Any, workers: int) -> None:
        self.pool, self.workers = pool, workers

    def call(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.pool.apply(function, (argument,))

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], chunk: int | None = None
    ) -> list[Any]:
        return list(self.pool.map(function, items, chunk))

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()


class Executor:
    """An executor with the methods of `concurrent.futures`."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    def call(self, function: Callable[..., Any], argument: Any) -> Any:
        return self.executor.submit(function, argument).result()

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], chunk: int | None = 1
    ) -> list[Any]:
        return list(self.executor.map(function, items, chunksize=chunk))

    def close(self) -> None:
        self.executor.shutdown()


class Joblib:
    """`joblib.Parallel` with its default backend and batches, kept open between calls."""

    def __init__(self, workers: int):
        import joblib

        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=workers).__enter__()

    def map(
        self, function: Callable[..., Any], items: Iterable[Any], chunk: int | None = None
    ) -> list[Any]:
        return list(self.parallel(self.delayed(function)(item) for item in items))

    def close(self) -> None:
        self.parallel.__exit__(None, None, None)


def pool_of(module: str, start_method: str, workers: int) -> Pool:
    return Pool(__import__(module).get_context(start_method).Pool(workers), workers)


def thread_pool(workers: int) -> Pool:
    import multiprocessing.pool

    return Pool(multiprocessing.pool.ThreadPool(workers), workers)


def standard_executor(workers: int) -> Executor:
    import concurrent.futures

    return Executor(concurrent.futures.ProcessPoolExecutor(max_workers=workers))


def loky_executor(workers: int) -> Executor:
    import loky

    return Executor(loky.ProcessPoolExecutor(max_workers=workers))


POOLS: dict[str, Callable[[int], Any]] = {
    "none": lambda _: Nobody(),
    "fork": lambda workers: pool_of("multiprocessing", "fork", workers),
    "spawn": lambda workers: pool_of("multiprocessing", "spawn", workers),
    "multiprocess": lambda workers: pool_of("multiprocess", "fork", workers),
    "thread": thread_pool,
    "executor": standard_executor,
    "loky": loky_executor,
    "joblib": Joblib,
}


def round_trip(start_pool: StartPool, calls: int) -> Measure:
    pool = start_pool()

    def measure(_: str) -> float:
        started = time.perf_counter()
        for x in range(calls):
            pool.call(tasks.add_one, x)
        return (time.perf_counter() - started) / calls

    return measure


def map_items(start_pool: StartPool, count: int, **chunk: int) -> Measure:
    pool = start_pool()
    items = list(range(count))
    expected = list(range(1, count + 1))

    def measure(_: str) -> float:
        started = time.perf_counter()
        results = pool.map(tasks.add_one, items, **chunk)
        seconds = time.perf_counter() - started
        assert results == expected
        return seconds / count

    return measure


def start(start_pool: StartPool, count: int) -> Measure:
    items = list(range(count))
    expected = list(range(1, count + 1))

    def measure(_: str) -> float:
        started = time.perf_counter()
        pool = start_pool()
        results = pool.map(tasks.add_one, items)
        seconds = time.perf_counter() - started
        assert results == expected
        pool.close()
        return seconds

    return measure


def sum_arrays(
    start_pool: StartPool, count: int, add: Callable[..., Any] = tasks.array_sum
) -> Measure:
    import numpy

    numbers = numpy.arange(count) % 1000 * 0.5
    return parallel_sum(start_pool, numbers, add, lambda: numpy.array_split(numbers, PARTS))


def sum_loops(start_pool: StartPool, count: int) -> Measure:
    return sum_arrays(start_pool, count, tasks.loop_sum)


def sum_lists(start_pool: StartPool, count: int) -> Measure:
    numbers: list[float] = [x % 1000 * 0.5 for x in range(count)]
    part = count // PARTS
    return parallel_sum(
        start_pool,
        numbers,
        tasks.list_sum,
        lambda: [numbers[begin : begin + part] for begin in range(0, count, part)],
    )


def parallel_sum(
    start_pool: StartPool, numbers: Any, add: Callable[..., Any], cut: Callable[[], Any]
) -> Measure:
    pool = start_pool()
    # Multiples of a half: their sum is exact in any order.
    expected = sum(numbers)

    def measure(_: str) -> float:
        started = time.perf_counter()
        total = sum(pool.map(add, cut()))
        seconds = time.perf_counter() - started
        assert total == expected
        return seconds

    return measure


def there_and_back(start_pool: StartPool, count: int) -> Measure:
    import numpy

    pool = start_pool()
    numbers: Any = numpy.arange(count, dtype=numpy.float64)

    def measure(_: str) -> float:
        started = time.perf_counter()
        returned = pool.call(tasks.give_back, numbers)
        seconds = time.perf_counter() - started
        assert numpy.array_equal(returned, numbers)
        return seconds

    return measure


def sleeps(start_pool: StartPool, milliseconds: int) -> Measure:
    pool = start_pool()
    naps = [(units, milliseconds / 1000) for units in SLEEPS]

    def measure(_: str) -> float:
        started = time.perf_counter()
        results = pool.map(tasks.rest, naps)
        seconds = time.perf_counter() - started
        assert results == SLEEPS
        return seconds

    return measure


def tiny(start_pool: StartPool, count: int) -> Measure:
    pool = start_pool()
    items = list(range(count))
    expected = list(range(1, count + 1))

    def measure(_: str) -> float:
        maps = 0
        started = time.perf_counter()
        while (seconds := time.perf_counter() - started) < AT_LEAST:
            results = pool.map(tasks.add_one, items)
            maps += 1
        assert results == expected
        return seconds / maps / count

    return measure


def sums_of_one_array(start_pool: StartPool, count: int) -> Measure:
    import numpy

    pool = start_pool()
    # Multiples of a half: their sum is exact in any order.
    numbers = numpy.tile(numpy.arange(1000) * 0.5, count // 1000)
    parts = numpy.array_split(numbers, pool.workers)
    sums = {
        "numpy": numbers.sum,
        "threads": lambda: sum(pool.map(tasks.array_sum, parts)),
    }
    times = max(1, NUMBERS // count)

    def measure(who: str) -> str:
        started = time.perf_counter()
        for _ in range(times):
            total = sums[who]()
        seconds = (time.perf_counter() - started) / times
        return f"{seconds} {float(total)}"

    return measure


MEASUREMENTS: dict[str, Callable[[StartPool, int], Measure]] = {
    "round-trip": round_trip,
    "map-one": lambda start_pool, count: map_items(start_pool, count, chunk=1),
    "map-default": map_items,
    "start": start,
    "sum-arrays": sum_arrays,
    "sum-loops": sum_loops,
    "sum-lists": sum_lists,
    "there-and-back": there_and_back,
    "sleeps": sleeps,
    "tiny": tiny,
    "sum": sums_of_one_array,
}


def main() -> None:
    pool, measurement, workers, size = sys.argv[1:]
    measure = MEASUREMENTS[measurement](lambda: POOLS[pool](int(workers)), int(size))
    for line in sys.stdin:
        print(measure(line.strip()), flush=True)


if __name__ == "__main__":
    main()
