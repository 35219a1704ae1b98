"""Seconds that the first set-up of a fresh clone takes."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.rivals import Failed
from bench.suite import Setting, failure_noted
from bench.table import Entry, Table
from kernels.clone import CLONE

TITLE = "The first set-up"
TEXT = """\
What somebody waits for who has cloned the repository and has Rust and Python: `cargo xtask setup`
compiles the course's own program, installs JupyterLab, compiles the kernel and the crates for its
cells. The clone is of the last commit, in a folder of its own; `cargo` and `pip` take from their
caches what they have downloaded before, as the network's time is nobody's doing."""

# Seconds that we promise.
GOAL = 480
OURS = "cargo xtask setup"


def tables(setting: Setting) -> Iterator[Table]:
    table = Table(
        "From a fresh clone to a kernel that can start",
        [],
        "Once, since it takes minutes; each step of it is seen in what the command prints.",
    )
    if setting.quick:
        table.skipped = "It takes minutes, and whoever runs this has set up a clone anyway."
    else:
        bound = "the compiler, which compiles the kernel and the crates of its cells"
        entry = Entry(OURS, goal=GOAL, bound=bound)
        table.entries.append(entry)
        with failure_noted(entry):
            entry.seconds.append(measure())
    yield table


def measure() -> float:
    with tempfile.TemporaryDirectory(prefix="clone-") as folder:
        clone = Path(folder) / "course"
        run("git", "clone", "--quiet", str(CLONE), str(clone))
        started = time.perf_counter()
        run("cargo", "xtask", "setup", cwd=clone)
        return time.perf_counter() - started


def run(*command: str, cwd: Path = CLONE) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=without_this_clone(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["it ended without a word"])[-1]
        raise Failed(f"{' '.join(command)}: {last}")


def without_this_clone(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without places in this clone: its MPI library is lent to all suites, and would be
    taken for one of the system, which need not be installed."""
    kept = {}
    for name, value in environment.items():
        places = value.split(os.pathsep)
        others = [place for place in places if not Path(place).is_relative_to(CLONE)]
        if others:
            kept[name] = os.pathsep.join(others)
    return kept
