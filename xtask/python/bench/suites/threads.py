"""`Pool` and `par_sum` against plain rayon, Python's pools and numpy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.machine import available_memory
from bench.rivals import Program, Shared
from bench.suite import Contestant, Setting, Work, compete
from bench.table import Table, Yardstick
from kernels.clone import script

TITLE = "Thread pools and sums"
TEXT = """\
`Pool`, whose workers are threads, beside plain [rayon](https://docs.rs/rayon), which does its work
inside, and beside what people use in Python. Python's threads take turns at running Python, so
those who want more than one core use processes: these are here too. All pools are warm: they have
done the same work before."""

SLEEPS = [3, 5, 10, 15, 17, 20]
# The units until all are awake if they start in order, and a free worker takes the next one.
IN_ORDER = {4: 25, 8: 20}
BYTES_OF_NUMBER = 8


def tables(setting: Setting) -> Iterator[Table]:
    for work in works(setting):
        yield compete(work, setting)


def works(setting: Setting) -> Iterator[Work]:
    """Everything that is measured."""

    def ours(
        measurement: str, workers: int, size: int, name: str, bound: str, **more: Any
    ) -> Contestant:
        command: list[str | Path] = [
            setting.programs["threads"],
            measurement,
            str(workers),
            str(size),
        ]
        return Contestant(name, lambda: Program(*command), bound=bound, **more)

    def python(
        pool: str, measurement: str, workers: int, size: int, name: str, bound: str
    ) -> Contestant:
        command = [*script("bench.peers.pools"), pool, measurement]
        return Contestant(name, lambda: Program(*command, str(workers), str(size)), bound=bound)

    unit = 1 if setting.quick else 10
    for workers, chain in IN_ORDER.items():
        asleep = "the sleeps"
        yield Work(
            f"Six sleeps on {workers} workers",
            [
                ours("sleeps-pool", workers, unit, "Pool", asleep),
                ours(
                    "sleeps-rayon",
                    workers,
                    unit,
                    "rayon par_iter",
                    "the sleeps, and who gets which: rayon halves the list again and again",
                ),
                ours("sleeps-processes", workers, unit, "ProcessPool", asleep),
                python("thread", "sleeps", workers, unit, "Python's ThreadPool", asleep),
                python("fork", "sleeps", workers, unit, "Python's Pool (fork)", asleep),
                python("executor", "sleeps", workers, unit, "ProcessPoolExecutor", asleep),
                python("joblib", "sleeps", workers, unit, "joblib", f"{asleep}, and its batches"),
                python("loky", "sleeps", workers, unit, "loky", asleep),
            ],
            f"The first lesson's tasks of {', '.join(map(str, SLEEPS[:-1]))} and {SLEEPS[-1]} "
            f"units of {unit} ms, which only sleep. If they start in this order and a free worker "
            f"takes the next one, as Python and `Pool` promise, {workers} workers need {chain} "
            "units: what is missing to 100 % is what the pool itself costs. "
            + (
                "The longest task alone needs 20. rayon promises no order; it may find a better "
                "one, or a worse one."
                if workers == 4
                else "That is the longest task; nobody can need less."
            ),
            yardstick=Yardstick(f"{chain} units / this", chain * unit / 1000),
            panel=f"Six sleeps on {workers} workers" if workers == 4 else None,
        )

    workers = setting.workers
    calls = "waking a sleeping worker, and then the caller"
    yield Work(
        "A task that does nothing, to a thread and back",
        [
            ours("round-trip-pool", workers, 1, "Pool submit().join()", calls),
            ours("round-trip-rayon", workers, 1, "rayon install()", calls),
            python(
                "thread",
                "round-trip",
                workers,
                1_000,
                "Python's ThreadPool apply()",
                f"{calls}, and handing over the right to run Python",
            ),
        ],
        "What a task costs beyond its own work, when the caller waits for each.",
    )
    for items in [2_000, 1_000_000]:
        few = items < 10_000
        size = items // (10 if setting.quick else 1)
        chunks = "pickle and a pipe for each chunk, one call in Python for each item"
        single = "pickle and a pipe for each item"
        yield Work(
            f"`map` of {size:,} tiny items to threads, for each item",
            [
                ours(
                    "tiny-pool",
                    workers,
                    size,
                    "Pool",
                    "the caller, who first puts the items into a list",
                ),
                ours(
                    "tiny-rayon",
                    workers,
                    size,
                    "rayon par_iter",
                    "waking the workers" if few else "memory: each result is written once",
                ),
                python("none", "tiny", workers, size, "Python without a pool", "calls in Python"),
                python("thread", "tiny", workers, size, "Python's ThreadPool", "calls in Python"),
                python("fork", "tiny", workers, size, "Python's Pool (fork)", chunks),
                *(
                    [
                        python("executor", "tiny", workers, size, "ProcessPoolExecutor", single),
                        python("joblib", "tiny", workers, size, "joblib", "its batches"),
                        python("loky", "tiny", workers, size, "loky", single),
                    ]
                    if few
                    else []
                ),
            ],
            "Each item asks only for `x + 1`, so this is what a pool costs for each item. Default "
            "chunks: `Pool` cuts the items into four for each worker, here and in Python; rayon "
            "and joblib decide as they go" + ("; the executors send single items." if few else "."),
            panel=f"map of {size:,} tiny items" if few else None,
        )
    for count in [2_000_000, 100_000_000]:
        yield sums(setting, count // (10 if setting.quick else 1), large=count > 10_000_000)


def sums(setting: Setting, count: int, large: bool) -> Work:
    """All sum the same numbers; those of one language share one array."""
    arguments = ["sum", str(setting.workers), str(count)]
    in_rust = Shared(setting.programs["threads"], *arguments)
    in_python = Shared(*script("bench.peers.pools"), "thread", *arguments)
    size = count * BYTES_OF_NUMBER
    megabytes = f"{size / 1e6:g} MB"
    # Each language has its own array.
    needed = 2 * size
    skipped = None
    if available_memory() < 2 * needed:
        skipped = f"two arrays of {megabytes} would take most of the free memory"
    chain = "one addition after the other: each waits for the one before"
    reading = "reading from memory" if large else "reading from the cache, waking the workers"

    def rust(order: str, name: str, bound: str, limit: bool = False) -> Contestant:
        return Contestant(name, lambda: in_rust.asked(order), bound=bound, limit=limit)

    def python(order: str, name: str, bound: str) -> Contestant:
        return Contestant(name, lambda: in_python.asked(order), bound=bound)

    return Work(
        f"The sum of {count:,} numbers",
        [
            rust("par_sum", "par_sum", reading),
            rust("read", "all threads reading (no sum)", reading, limit=True),
            rust("map_reduce", "map_reduce on a Pool", f"{chain}, but in each worker"),
            rust("rayon", "rayon par_iter().sum()", f"{chain}, but in each worker"),
            rust("serial", "one thread iter().sum()", chain),
            python("numpy", "numpy.sum", "one core" if large else "one core and its cache"),
            python("threads", "numpy.sum in a ThreadPool", reading),
        ],
        f"An array of {megabytes}, as `f64`. "
        + (
            "It is too large for any cache, so the memory decides: the second row reads the same "
            "array with all threads and adds nothing, and no sum can be much faster than that."
            if large
            else "Such an array may fit into a cache; each sum is repeated, so it is there if it "
            "can be."
        ),
        bytes=size,
        yardstick=Yardstick("of reading", "all threads reading (no sum)"),
        agree=lambda mine, theirs: float(mine) == float(theirs),
        panel=f"The sum of {count:,} numbers ({megabytes})" if large else None,
        skipped=skipped,
    )
