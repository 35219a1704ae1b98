"""The MPI part on a real Slurm, with two MPI libraries: see `slurm.py`.

`cargo xtask test slurm` builds the programs and starts this.
"""

import contextlib
import getpass
import os
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import slurm
from clone import CLONE

# What the course's example and these tests' own program are called among the examples.
PRIMES, CASES = "primes", "slurm"
PROGRAMS = CLONE / "target/debug/examples"
SCRIPT = CLONE / "helpers-mpi/examples/primes.sbatch"

# The nodes have more CPUs than this machine.
ENVIRONMENT = os.environ | {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}


def setUpModule() -> None:
    why = slurm.missing()
    if why:
        raise unittest.SkipTest(why)
    (CLONE / ".course/test").mkdir(exist_ok=True)
    opened = contextlib.ExitStack()
    unittest.addModuleCleanup(opened.close)
    folder = tempfile.TemporaryDirectory(prefix="slurm-", dir=CLONE / ".course/test")
    global cluster
    cluster = slurm.Slurm(Path(opened.enter_context(folder)), ENVIRONMENT)
    opened.enter_context(cluster)


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

        def is_empty() -> bool:
            left[:] = cluster.ask("squeue", "-h", "-o", "job %i: %T").splitlines() + cluster.left()
            return not left

        try:
            cluster.wait_for(is_empty, "nothing is left", patience=10)
        except TimeoutError:
            cluster.ask("scancel", "--user", getpass.getuser())
            cluster.tidy_up()
            self.fail("left behind:\n" + "\n".join(left))

    def run_in(self, allocation: str, *words: str, **more) -> slurm.Done:
        """A command in an allocation of its own, on the login node."""
        command = ["salloc", "--quiet", *allocation.split(), *words]
        return cluster.run(*command, folder=self.folder, **self.variables, **more)

    def case(self, allocation: str, *words: str, **more) -> str:
        """A case of `helpers-mpi/tests/slurm/cases.rs` that comes to a good end."""
        done = self.run_in(allocation, str(PROGRAMS / CASES), *words, **more)
        self.assertEqual(done.status, 0, done.text)
        return done.text

    def batch(self, text: str, *options: str) -> tuple[str, str]:
        """Runs a batch script; gives the job's last state, and its output."""
        script = self.folder / "job.sbatch"
        script.write_text(text)
        job = cluster.submit(*options, script.name, folder=self.folder, **self.variables)
        state = cluster.wait_for_end(job)
        return state, (self.folder / f"slurm-{job}.out").read_text()


class Cases:
    """With either library."""

    def test_batch_script_of_the_example(self):
        shutil.copy2(PROGRAMS / PRIMES, self.folder)
        state, told = self.batch(SCRIPT.read_text())
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("78498 primes, found by 7 ranks", told)

    def test_program_by_srun(self):
        shutil.copy2(PROGRAMS / PRIMES, self.folder)
        told = cluster.run(
            *"srun -N2 -n4 --mpi=pmix ./primes".split(), folder=self.folder, **self.variables
        )
        self.assertIn("78498 primes, found by 3 ranks", told.text)

    def test_program_in_an_allocation(self):
        self.assertIn("4 workers say 338350", self.case("-N2 -n5", "pool", "4"))
        told = self.case("-N2 -n4 --ntasks-per-node=2", "run", "4")
        self.assertIn("ran on n1 n1 n2 n2", told)

    def test_two_jobs_in_an_allocation(self):
        told = self.case("-N2 -n5", "two", "4", "5")
        self.assertIn("ran on n1", told)
        self.assertIn("the pool says [1, 4, 9]", told)

    def test_launcher_srun(self):
        told = self.case("-N2 -n4 --ntasks-per-node=2", "run", "4", "srun")
        self.assertIn("ran on n1 n1 n2 n2", told)

    def test_one_task_with_many_cpus(self):
        """As JupyterHub and Open OnDemand have it: from the node itself, and from elsewhere."""
        script = f"#!/bin/bash\n{PROGRAMS / CASES} run 2\n{PROGRAMS / CASES} pool 4\n"
        state, told = self.batch(script, "-n1", "-c4")
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("ran on n1 n1", told)
        self.assertIn("4 workers say 338350", told)
        self.assertIn("4 workers say 338350", self.case("-n1 -c4", "pool", "4"))

    def test_rank_that_is_lost(self):
        for launcher in [], ["srun"]:
            for case, signal in ("abort", "SIGABRT"), ("kill", "SIGKILL"):
                told = self.case("-N2 -n3", case, "3", *launcher)
                self.assertRegex(told, f"rank 2 on n2 was lost: its process was ended by {signal}")
                # Not one of the library's thirty lines.
                self.assertEqual(len(told.splitlines()), 1, told)


class OwnLibrary(Cases, OnSlurm):
    """With the library that the set-up installs."""

    def test_it_is_that_library(self):
        self.assertIn("v5.", self.case("-n1", "library"))


class DebianLibrary(Cases, OnSlurm):
    """With the one that Debian has, which is older."""

    @classmethod
    def setUpClass(cls):
        cls.variables = slurm.debian_open_mpi(CLONE / ".course/debian-mpi")

    def test_it_is_that_library(self):
        self.assertIn("v4.", self.case("-n1", "library"))


class Failures(OnSlurm):
    """What cannot work says why, at once."""

    def assert_says(self, words: str, allocation: str, *case: str, **more: str) -> None:
        done = self.run_in(allocation, str(PROGRAMS / CASES), *case, **more)
        self.assertNotEqual(done.status, 0)
        self.assertIn(words, done.text)

    def test_srun_without_an_interface(self):
        for how in ("--mpi=none", "--mpi=pmi2"):
            done = cluster.run("srun", "-n2", how, str(PROGRAMS / CASES), "run", "2", limit=20)
            self.assertNotEqual(done.status, 0)
            self.assertEqual(done.text.count("srun --mpi=pmix"), 1, done.text)

    def test_more_ranks_than_granted(self):
        self.assert_says(
            "4 workers and 1 manager were asked for; the allocation has 4 tasks on 2 nodes. Ask "
            "Slurm for --ntasks=5, or start a pool of 3",
            "-N2 -n4",
            *("pool", "4"),
        )
        self.assert_says(
            "5 ranks were asked for; the allocation has 4 tasks on 2 nodes. Ask Slurm for "
            "--ntasks=5, or start a job of 4",
            "-N2 -n4",
            *("run", "5", "srun"),
        )

    def test_program_that_a_node_lacks(self):
        # In the folder that each node has for itself.
        batch = f"#!/bin/bash\ncp {PROGRAMS / CASES} /tmp/only-here\n"
        batch += "trap 'rm /tmp/only-here' EXIT\n/tmp/only-here run 2\n/tmp/only-here run 2 srun\n"
        _, told = self.batch(batch, "-N2", "-n2")
        words = "on n2 there is no program /tmp/only-here. All nodes must see it"
        self.assertEqual(told.count(words), 2, told)
        # The other rank may have been killed as it began, and its folder is swept by the next.
        self.case("-N2 -n2", "run", "2")


class Ends(OnSlurm):
    """Whatever ends a job, nothing of it stays: see `nothing_is_left`."""

    def start(self, *options: str) -> str:
        """A job whose ranks are at work, by its number."""
        at_work = self.folder / "at-work"
        script = self.folder / "job.sbatch"
        script.write_text(f"#!/bin/bash\nexec {PROGRAMS / CASES} wait 3 {at_work}\n")
        job = cluster.submit("-N2", "-n4", *options, script.name, folder=self.folder)
        cluster.wait_for(at_work.exists, "the ranks are at work")
        return job

    def test_cancelled(self):
        job = self.start()
        cluster.ask("scancel", job)
        self.assertEqual(cluster.wait_for_end(job), "CANCELLED")

    def test_told_to_end(self):
        job = self.start()
        cluster.ask("scancel", "--signal=TERM", "--batch", job)
        self.assertEqual(cluster.wait_for_end(job), "FAILED")

    def test_node_that_is_down(self):
        job = self.start("--no-requeue")
        cluster.ask("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
        self.addCleanup(cluster.wait_for, cluster.is_ready, "the nodes are idle")
        self.addCleanup(cluster.ask, "scontrol", "update", "NodeName=n2", "State=RESUME")
        self.assertEqual(cluster.wait_for_end(job), "NODE_FAIL")
