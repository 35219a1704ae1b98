"""`ProcessPool` against Python's process pools, and against what the machine can do at best.

All do the same work in turns, so that a busy moment of the machine hits each alike. The figures
go to the terminal, and to .course/bench/ as JSON.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bench_table
from bench_rivals import CLONE, Failed, Notebook, Program, Rival

SCRIPTS = Path(__file__).resolve().parent
# Seconds after which a piece of work gets no more turns, once it has had FEWEST_TURNS.
LONGEST = 40
FEWEST_TURNS = 5
# The packages whose versions decide about the figures.
PACKAGES = ["numpy", "loky", "multiprocess", "dill"]

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


@dataclass
class Contestant:
    name: str
    start: Callable[[], Rival]
    # See `bench_table.Entry.goal`.
    goal: float | None = None


@dataclass
class Work:
    """Something that all contestants do; the first of them is ours."""

    title: str
    contestants: list[Contestant]


def works(program: Path, quick: bool) -> Iterator[Work]:
    """Everything that is measured; `program` is the bench of the crate."""
    share = 10 if quick else 1
    round_trips = 1_000 // share
    items = 2_000 // share
    numbers = 2_000_000 // share
    big = 12_500_000 // share

    def ours(measurement: str, size: int, name: str = "ProcessPool", goal: float | None = None):
        return Contestant(name, lambda: Program(program, measurement, str(size)), goal)

    def python(pool: str, measurement: str, size: int, name: str, goal: float | None = None):
        command = [sys.executable, str(SCRIPTS / "bench_peers.py"), pool, measurement, str(size)]
        return Contestant(name, lambda: Program(*command), goal)

    def pythons(
        measurement: str,
        size: int,
        fork: float | None = None,
        spawn: float | None = None,
        what: str = "",
    ):
        """All of Python's pools, with goals for the one that everybody knows."""
        return [
            python("fork", measurement, size, f"Pool, fork{what}", fork),
            python("spawn", measurement, size, f"Pool, spawn{what}", spawn),
            python("executor", measurement, size, f"ProcessPoolExecutor{what}"),
            python("loky", measurement, size, f"loky{what}"),
            python("multiprocess", measurement, size, f"multiprocess, fork{what}"),
        ]

    yield Work(
        "One tiny task there and back: `submit(f, x).join()`",
        [
            ours("round-trip", round_trips),
            ours("ping-pong", round_trips, "a byte through a socket and back, blocking", 2),
            ours(
                "ping-pong-spinning", round_trips, "a byte through a socket and back, spinning", 2
            ),
            *pythons("round-trip", round_trips, fork=1 / 12, spawn=1 / 12),
        ],
    )
    yield Work(
        f"`map` of {items:,} tiny items, chunks of 1, for each item",
        [ours("map-one", items), *pythons("map-one", items, fork=1 / 5, spawn=1 / 5)],
    )
    yield Work(
        f"`map` of {items:,} tiny items, default chunks, for each item",
        [ours("map-default", items), *pythons("map-default", items, fork=1 / 3, spawn=1 / 3)],
    )
    # Held against spawn: like it, ours starts workers that share nothing with the caller.
    yield Work(
        "Two workers and their first results, in a program",
        [ours("start", 2), *pythons("start", 2, spawn=1 / 10)],
    )
    yield Work(
        "Two workers and their first results, in a notebook",
        [
            Contestant("ProcessPool in a cell", lambda: Notebook(FIRST_RESULT), 0.040),
            python("fork", "start", 2, "Pool, fork, in a program"),
            python("spawn", "start", 2, "Pool, spawn, in a program", 1 / 10),
        ],
    )
    yield Work(
        f"The sum of {numbers:,} numbers, sent to the workers",
        [
            ours("sum-sent", numbers),
            *pythons("sum-arrays", numbers, fork=1 / 5, spawn=1 / 5, what=", arrays"),
            python("fork", "sum-lists", numbers, "Pool, fork, lists", 1 / 5),
        ],
    )
    yield Work(
        f"The sum of {numbers:,} numbers in shared memory",
        [
            ours("sum-shared", numbers, "ProcessPool and SharedArray"),
            ours("sum-threads", numbers, "Pool (threads) and slices", 1.3),
        ],
    )
    yield Work(
        f"{8 * big / 1e6:g} MB to a worker and back",
        [
            ours("there-and-back", big),
            ours("copies", big, "four copies in memory", 1.5),
            *pythons("there-and-back", big),
        ],
    )


def main() -> int:
    options = parse()
    started = time.monotonic()
    about = machine()
    print("\n".join(f"{name}: {value}" for name, value in about.items()), "\n", flush=True)
    tables = []
    for work in works(options.program, options.quick):
        tables.append(compete(work, options))
        print(tables[-1].to_markdown(), flush=True)
    rows = [row for table in tables for row in table.rows()]
    problems = sum("problem" in row for row in rows)
    if options.quick:
        print("A quick look, which shows that all can be measured; its figures say little.")
    else:
        goals = [row["met"] for row in rows if "met" in row]
        print(f"{sum(goals)} of {len(goals)} goals are met; {problems} rows were not measured.")
    print(f"It took {time.monotonic() - started:.0f} s. {write(tables, about, options.quick)}")
    return 1 if problems else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cargo xtask bench processes", description=__doc__)
    parser.add_argument("--program", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=21, help="turns of each (21)")
    parser.add_argument(
        "--quick", action="store_true", help="one small turn, to see whether all works"
    )
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def compete(work: Work, options: argparse.Namespace) -> bench_table.Table:
    """Lets all contestants do the work in turns. The first turn only warms up, unless it is all."""
    warming, turns = (0, 1) if options.quick else (1, options.repeat)
    # What was measured once is not judged.
    goals = [None if options.quick else who.goal for who in work.contestants]
    entries = [bench_table.Entry(who.name, goal) for who, goal in zip(work.contestants, goals)]
    with contextlib.ExitStack() as stack:
        running = []
        for who, entry in zip(work.contestants, entries):
            with failure_noted(entry):
                running.append((stack.enter_context(who.start()), entry))
        started = time.monotonic()
        for turn in range(warming + turns):
            if turn > FEWEST_TURNS and time.monotonic() - started > LONGEST:
                break
            for rival, entry in running:
                if entry.problem:
                    continue
                with failure_noted(entry):
                    seconds = rival.measure()
                    if turn >= warming:
                        entry.seconds.append(seconds)
    return bench_table.Table(work.title, entries)


@contextlib.contextmanager
def failure_noted(entry: bench_table.Entry) -> Iterator[None]:
    """One that fails has no figures, and the others go on."""
    try:
        yield
    except Failed as problem:
        entry.problem = str(problem)
        entry.seconds.clear()


def machine() -> dict[str, str]:
    """What the figures depend on."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Rust": rust.stdout.strip(),
        "Python": f"{platform.python_version()}; {versions}",
    }


def processor() -> str:
    """Its name; Python knows it on few systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write(tables: list[bench_table.Table], about: dict[str, str], quick: bool) -> str:
    """Writes the file for programs, and says where it is."""
    # A quick look does not replace figures that were measured with care.
    path = CLONE / ".course/bench" / ("processes-quick.json" if quick else "processes.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": about, "tables": [table.to_json() for table in tables]}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"The rows are also in {path.relative_to(CLONE)}"


if __name__ == "__main__":
    sys.exit(main())
