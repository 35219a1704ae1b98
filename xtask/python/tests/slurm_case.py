"""Tests on a Slurm, which all tests of a process share: see `slurm.py`."""

import contextlib
import getpass
import os
import tempfile
import unittest
from collections.abc import Iterator
from pathlib import Path

import pytest

import slurm
from kernels.clone import CLONE

# What the course's example and these tests' own program are called among the examples.
PRIMES, CASES = "primes", "slurm"
PROGRAMS = CLONE / "target/debug/examples"
EXAMPLES = CLONE / "helpers-mpi/examples"

# The nodes have more CPUs than this machine.
ENVIRONMENT = os.environ | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    # What it leaves out by itself, and the networks of `helpers-mpi/tests/jobs/hosts.rs`, which come and go.
    "OMPI_MCA_btl_tcp_if_exclude": "127.0.0.1/8,sppp,10.77.0.0/16",
}


@contextlib.contextmanager
def begin() -> Iterator[slurm.Slurm]:
    """Starts it for the tests of a module, and ends it."""
    why = slurm.missing()
    if why:
        pytest.skip(why)
    (CLONE / ".course/test").mkdir(exist_ok=True)
    global cluster
    with (
        tempfile.TemporaryDirectory(prefix="slurm-", dir=CLONE / ".course/test") as folder,
        slurm.Slurm(Path(folder), ENVIRONMENT) as cluster,
    ):
        yield cluster


class OnSlurm(unittest.TestCase):
    """What it was started with, and that nothing of it is left."""

    # Of a library that is not the course's own.
    variables: dict[str, str] = {}

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(dir=cluster.folder)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.addCleanup(self.nothing_is_left)

    def nothing_is_left(self) -> None:
        left: list[str] = []
        of_launchers: list[str] = []

        def is_empty() -> bool:
            left[:] = cluster.ask("squeue", "-h", "-o", "job %i: %T").splitlines() + cluster.left()
            of_launchers[:] = [thing for thing in left if slurm.OF_LAUNCHERS.match(thing)]
            left[:] = [thing for thing in left if thing not in of_launchers]
            return not left

        try:
            cluster.wait_for(is_empty, "nothing is left", patience=120)
        except TimeoutError:
            cluster.ask("scancel", "--user", getpass.getuser())
            cluster.tidy_up()
            self.fail("left behind:\n" + "\n".join(left))
        if of_launchers:
            told = "\n  ".join(["", *of_launchers])
            print(f"what Open MPI's launchers were at when they were ended, now deleted:{told}")
            cluster.tidy_up()

    def run_in(self, allocation: str, *words: str, **more) -> slurm.Done:
        """A command in an allocation of its own, on the login node."""
        command = ["salloc", "--quiet", *allocation.split(), *words]
        return cluster.run(*command, folder=self.folder, **self.variables, **more)

    def case(self, allocation: str, *words: str, **more) -> str:
        """A case of `helpers-mpi/tests/slurm/cases.rs` that comes to a good end."""
        done = self.run_in(allocation, str(PROGRAMS / CASES), *words, **more)
        self.assertEqual(done.status, 0, done.text)
        return done.text

    def submit(self, text: str, *options: str) -> str:
        """Hands a batch script in; gives the job's number."""
        script = self.folder / "job.sbatch"
        script.write_text(text)
        return cluster.submit(*options, script.name, folder=self.folder, **self.variables)

    def batch(self, text: str, *options: str) -> tuple[str, str]:
        """Runs a batch script; gives the job's last state, and its output."""
        job = self.submit(text, *options)
        state = cluster.wait_for_end(job)
        return state, (self.folder / f"slurm-{job}.out").read_text()


class Debian:
    """With Debian's library, an older one."""

    __test__ = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.variables = slurm.debian_open_mpi(CLONE / ".course/debian-mpi")
