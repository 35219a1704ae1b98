"""`ProcessPool` against Python's process pools, and against what the machine can do at best."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rivals import Notebook, Program
from bench.suite import Contestant, Setting, Work, compete
from bench.table import Table
from kernels.clone import script

TITLE = "Process pools"
TEXT = """\
`ProcessPool` with two workers beside Python's process pools with two workers. Ours starts its
workers afresh, as Python's *spawn* does. *Fork* copies the running program instead, which is quick
to start, and unsafe once the program has threads."""

# Everybody has as many.
WORKERS = 2

# What a reader does first in a notebook; the seconds are the cell's result.
FIRST_RESULT = """\
{
    let start = std::time::Instant::now();
    let pool = ProcessPool::new(2)?;
    let results = pool.map(|x: u64| x + 1, [1u64, 2])?;
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(results, [2, 3]);
    seconds
}"""


def tables(setting: Setting) -> Iterator[Table]:
    for work in works(setting):
        yield compete(work, setting)


def works(setting: Setting) -> Iterator[Work]:
    """Everything that is measured."""
    program = setting.programs["processes"]
    share = 10 if setting.quick else 1
    round_trips = 1_000 // share
    items = 2_000 // share
    numbers = 2_000_000 // share
    big = 12_500_000 // share

    def ours(measurement: str, size: int, name: str = "ProcessPool", **more: Any) -> Contestant:
        command: list[str | Path] = [program, measurement, str(WORKERS), str(size)]
        return Contestant(name, lambda: Program(*command), **more)

    def python(pool: str, measurement: str, size: int, name: str, **more: Any) -> Contestant:
        command = [*script("bench.peers.pools"), pool, measurement]
        return Contestant(name, lambda: Program(*command, str(WORKERS), str(size)), **more)

    def pythons(
        measurement: str,
        size: int,
        bound: str,
        fork: float | None = None,
        spawn: float | None = None,
        what: str = "",
    ) -> list[Contestant]:
        """All of Python's pools, with goals for the one that everybody knows."""
        return [
            python(
                "fork", measurement, size, f"Python's Pool (fork){what}", goal=fork, bound=bound
            ),
            python(
                "spawn", measurement, size, f"Python's Pool (spawn){what}", goal=spawn, bound=bound
            ),
            python("executor", measurement, size, f"ProcessPoolExecutor{what}", bound=bound),
            python("loky", measurement, size, f"loky{what}", bound=bound),
            python(
                "multiprocess", measurement, size, f"multiprocess Pool (fork){what}", bound=bound
            ),
        ]

    yield Work(
        "One tiny task there and back: `submit(f, x).join()`",
        [
            ours(
                "round-trip",
                round_trips,
                bound="two messages through a socket, and waking who waits for them",
            ),
            ours(
                "ping-pong",
                round_trips,
                "a byte to a process and back (blocking)",
                goal=2,
                limit=True,
                bound="the system: two messages, two sleepers to wake",
            ),
            ours(
                "ping-pong-spinning",
                round_trips,
                "a byte to a process and back (spinning)",
                goal=2,
                limit=True,
                bound="the system: two messages, and nobody sleeps",
            ),
            *pythons(
                "round-trip",
                round_trips,
                "pickle, two pipes, locks, and threads of the caller that pass it on",
                fork=1 / 12,
                spawn=1 / 12,
            ),
        ],
        "The time that a task costs beyond its own work, when the caller waits for each. A task "
        "that takes less is better done at home.",
        panel="A tiny task to a worker process and back",
    )
    yield Work(
        f"`map` of {items:,} tiny items to processes, chunks of 1, for each item",
        [
            ours("map-one", items, bound="a message for some items, packed in the caller"),
            *pythons(
                "map-one",
                items,
                "pickle and a pipe for each item",
                fork=1 / 5,
                spawn=1 / 5,
            ),
        ],
        "What sending costs when each item is a task of its own, but the caller need not wait for "
        "one before it sends the next.",
    )
    yield Work(
        f"`map` of {items:,} tiny items to processes, default chunks, for each item",
        [
            ours("map-default", items, bound="packing and unpacking the items"),
            *pythons(
                "map-default",
                items,
                "one call in Python for each item, pickle, a pipe for each chunk",
                fork=1 / 3,
                spawn=1 / 3,
            ),
        ],
        "As before, with the chunks that each pool makes by itself. `Pool` and ours cut the items "
        "into four chunks for each worker. The executors send single items unless they are told "
        "otherwise.",
    )
    # Held against spawn: like it, ours starts workers that share nothing with the caller.
    start_bound = "starting Python: its library, and the module with the function"
    yield Work(
        "Two workers and their first results, in a program",
        [
            ours("start", 2, bound="the system: starting two programs"),
            *pythons("start", 2, start_bound, spawn=1 / 10),
        ],
        "From no pool to the first two results. Fork copies the running program and need not start "
        "Python; all others start their workers afresh.",
    )
    yield Work(
        "Two workers and their first results, in a notebook",
        [
            Contestant(
                "ProcessPool in a cell",
                lambda: Notebook(FIRST_RESULT),
                goal=0.040,
                bound="the system: starting two programs, which load the libraries of the cells",
            ),
            python(
                "fork", "start", 2, "Python's Pool (fork) in a program", bound="copying the program"
            ),
            python(
                "spawn",
                "start",
                2,
                "Python's Pool (spawn) in a program",
                goal=1 / 10,
                bound=start_bound,
            ),
        ],
        "The same in a cell of the course's kernel; the time in which the cell is compiled is not "
        "in it.",
    )
    sent = "copying the numbers to the workers; the sum itself is short"
    yield Work(
        f"The sum of {numbers:,} numbers, sent to the workers",
        [
            ours("sum-sent", numbers, bound=sent),
            *(
                python(
                    how,
                    "sum-loops",
                    numbers,
                    f"Python's Pool ({how}), arrays and a loop",
                    goal=1 / 5,
                    bound="the loop: each number becomes an object, to be added",
                )
                for how in ("fork", "spawn")
            ),
            *pythons(
                "sum-arrays",
                numbers,
                "copying the numbers through a pipe",
                what=", arrays and numpy",
            ),
            python(
                "fork",
                "sum-lists",
                numbers,
                "Python's Pool (fork), lists",
                goal=1 / 5,
                bound="pickling each number by itself",
            ),
        ],
        "Eight parts go to the workers, eight sums come back: what it costs that processes share "
        "no memory. Python's lesson adds the numbers in a loop; whoever knows numpy lets it do "
        "that, and then Python's bytes go through a pipe, where ours go through shared memory, in "
        "both cases whole. The next table shows the same sum without the sending.",
    )
    yield Work(
        f"The sum of {numbers:,} numbers in shared memory",
        [
            ours(
                "sum-shared",
                numbers,
                "ProcessPool and SharedArray",
                bound="additions one after the other, in two workers; eight small messages",
            ),
            ours(
                "sum-threads",
                numbers,
                "Pool (threads) and slices",
                goal=1.3,
                limit=True,
                bound="additions one after the other, in two workers",
            ),
        ],
        "Processes over a `SharedArray` against threads over a slice: what is left of the cost of "
        "processes when the data need not travel.",
    )
    yield Work(
        f"{8 * big / 1e6:g} MB to a worker and back",
        [
            ours("there-and-back", big, bound="memory: two copies for each way"),
            ours(
                "copies",
                big,
                "four copies in memory",
                goal=1.5,
                limit=True,
                bound="memory: four copies into fresh pages of the usual size",
            ),
            *pythons("there-and-back", big, "copies through a pipe, piece by piece"),
        ],
        "One large array to a worker process, and the same array back.",
    )
