"""`MpiPool` and `mpi_run` against mpi4py, on the same MPI library."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.peers.mpi import END
from bench.rivals import Program
from bench.suite import TURNS, Contestant, Setting, Work, compete
from bench.table import Table
from kernels.clone import SCRIPTS

TITLE = "MPI"
TEXT = """\
`MpiPool` and `mpi_run` beside Python's mpi4py, on the same MPI library and with as many ranks, all
on this machine. With fewer cores than ranks, ranks take turns; who waits gives its core away in
ours and in theirs."""

# Everybody has as many: with rank 0, which hands out, they are five ranks.
WORKERS = 4
# Ranks of what is not a pool.
RANKS = 2
# Far more than cores: what a cluster's numbers of ranks ask of the launcher, and of rank 0.
MANY = (64, 256)
# What mpi4py does, as Python is told to run it.
PEER = [str(SCRIPTS), "bench.peers.mpi"]


class Ranks(Program):
    """A program on the ranks of a job. Launchers may keep the end of their input for themselves."""

    def __exit__(self, *ending: Any) -> None:
        with contextlib.suppress(OSError):
            self.orders.write(f"{END}\n".encode())
            self.orders.flush()
        super().__exit__(*ending)


def tables(setting: Setting) -> Iterator[Table]:
    for work in works(setting):
        yield compete(work, setting)


# As `MpiPool` sets it for ranks that are all on one host, and for the superuser of a container.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl": "self,sm",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def launch(ranks: int) -> list[str]:
    """How a program is started on ranks; what MPICH does not know, it does not mind."""
    settings = [f"{name}={value}" for name, value in OPEN_MPI.items()]
    return ["env", *settings, "mpiexec", "-n", str(ranks)]


def works(setting: Setting) -> Iterator[Work]:
    """Everything that is measured."""
    if "mpi" not in setting.programs:
        why = "there is no MPI library; run: cargo xtask setup"
        yield Work("MpiPool and mpi4py", [], skipped=why)
        return
    program = setting.programs["mpi"]
    share = 10 if setting.quick else 1
    round_trips = 500 // share
    items = 2_000 // share
    numbers = 1_250_000 // share

    def command(words: list[str | Path], name: str, **more: Any) -> Contestant:
        return Contestant(name, lambda: Program(*words), **more)

    def ours(measurement: str, size: int, workers: int = WORKERS, **more: Any) -> Contestant:
        return command([program, measurement, str(workers), str(size)], "MpiPool", **more)

    def theirs(
        measurement: str, size: int, name: str = "MPIPoolExecutor", **more: Any
    ) -> Contestant:
        python = [sys.executable, "-m", "mpi4py.futures", *PEER]
        words = [*launch(WORKERS + 1), *python, measurement, str(size)]
        return Contestant(name, lambda: Ranks(*words), **more)

    yield Work(
        "One tiny task to a rank and back: `submit(f, x).join()`",
        [
            ours(
                "round-trip",
                round_trips,
                bound="messages from process to process: the caller, rank 0, the rank that works",
            ),
            theirs(
                "round-trip",
                round_trips,
                goal=1 / 5,
                bound="pickle, and threads that look for messages and sleep in between",
            ),
        ],
        "The time that a task costs beyond its own work, when the caller waits for each.",
        panel="A tiny task to an MPI rank and back",
    )
    yield Work(
        f"`map` of {items:,} tiny items to ranks, chunks of 1, for each item",
        [
            ours("map-one", items, bound="a message for each item, some of them ahead"),
            theirs("map-one", items, goal=1 / 5, bound="pickle and a message for each item"),
        ],
        "What sending costs when each item is a task of its own, but the caller need not wait for "
        "one before it sends the next. So soon rank 0 has handed out a task: with tasks of 10 ms it "
        "keeps as many ranks busy as this goes into 10 ms.",
    )
    for ranks in MANY:
        ranks //= share
        yield Work(
            f"`map` of {items:,} tiny items to {ranks} ranks, chunks of 1, for each item",
            [ours("map-one", items, ranks, bound="a message for each item; the ranks take turns")],
            "The same with far more ranks than cores. What rank 0 does for an item hardly depends on how "
            "many there are; but here it gets its core only when its turn comes.",
        )
    yield Work(
        f"`map` of {items:,} tiny items to ranks, four chunks for each, for each item",
        [
            ours("map-default", items, bound="a few messages; packing and unpacking the items"),
            theirs("map-chunks", items, bound="a few messages; a call in Python for each item"),
        ],
        "As before, with the chunks that ours makes by itself. The executor sends single items "
        "unless it is told otherwise; here it is told.",
    )
    yield Work(
        f"{8 * numbers / 1e6:g} MB to a rank and back",
        [
            ours("there-and-back", numbers, bound="memory: packing, MPI's copy, unpacking"),
            theirs("there-and-back", numbers, bound="memory: pickle, MPI's copy"),
        ],
        "One large array to a rank, and the same array back.",
    )
    for ranks in (WORKERS, *MANY):
        arguments = [str(ranks if ranks == WORKERS else ranks // share), "1"]
        contestants = [command([program, "start", *arguments], "MpiPool", bound="the launcher")]
        if ranks != max(MANY):
            # With so many, each takes a minute.
            contestants.append(
                command(
                    [program, "empty", *arguments],
                    "mpiexec of an empty program",
                    limit=True,
                    bound="the launcher, to its end",
                )
            )
        yield Work(
            f"Start of {ranks} ranks, and a result of each",
            contestants,
            "From no pool to the first results, beside an MPI program that begins and ends. Where ranks "
            "are many more than cores, this figure divided by their number is what one more costs.",
            most_turns=1 if ranks == max(MANY) else TURNS,
        )
    python = [sys.executable, *PEER]
    size = 1_250_000
    # The size is a constant of its function, which captures nothing.
    started: list[str | Path] = [program, "scatter-gather", str(RANKS), str(size)]
    peer = [*launch(RANKS), *python, "scatter-gather", str(size)]
    yield Work(
        f"{8 * size / 1e6:g} MB scattered to {RANKS} ranks and gathered",
        [
            Contestant("mpi_run", lambda: Program(*started), bound="MPI's copies"),
            Contestant(
                "mpi4py (buffers)", lambda: Ranks(*peer), goal=1 / 0.9, bound="MPI's copies"
            ),
        ],
        "Classic MPI: `scatter_into_root` and `gather_into_root` of the `mpi` crate beside "
        "`Scatter` and `Gather` of mpi4py.",
    )
