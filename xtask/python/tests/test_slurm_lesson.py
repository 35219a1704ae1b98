"""Lesson 05 on a real Slurm, and what waits most of its time.

`cargo xtask test slurm-lesson` builds the programs and starts this.
"""

import json
from collections.abc import Iterator

import pytest

from kernels.clone import script
from tests.slurm_case import CASES, EXAMPLES, PROGRAMS, Debian, OnSlurm, begin


@pytest.fixture(scope="module", autouse=True)
def use_slurm() -> Iterator[None]:
    global cluster
    with begin() as cluster:
        yield


class Lesson(OnSlurm):
    """As a notebook in an allocation, with the library that the set-up has found."""

    def test_lesson_on_two_nodes(self):
        done = self.run_in("-N2 -n5", *script("notebooks.run"), "--check", "05_mpi", limit=900)
        self.assertEqual(done.status, 0, done.text)

    def test_cells_by_srun(self):
        """From a kernel on the login node, whose allocation is elsewhere."""
        said = self.cells("-N2 -n4 --ntasks-per-node=2", "srun", 4, 3)
        self.assertEqual(said, ["n1 n1 n2 n2", "3 workers say 338350"])

    def test_cells_in_one_task_with_many_cpus(self):
        """As JupyterHub and Open OnDemand start a kernel: on the node itself."""
        said = self.cells("-n1 -c4", "mpiexec", 2, 4)
        self.assertEqual(said, ["n1 n1", "4 workers say 338350"])

    def cells(self, allocation: str, launcher: str, ranks: int, workers: int) -> list[str]:
        """What a job and a pool say that cells of a kernel start in an allocation."""
        told = self.folder / "cells.json"
        words = [str(told), launcher, str(ranks), str(workers)]
        done = self.run_in(allocation, *script("tests.slurm_cells"), *words, limit=900)
        self.assertEqual(done.status, 0, done.text)
        said: list[str] = json.loads(told.read_text())
        return said


class DebianLesson(Debian, Lesson):
    """With the one of Debian, which then is the system's."""


class Limit(OnSlurm):
    """Slurm looks every half minute whether the time of a job is over, so two wait for it together."""

    def test_time_limit(self):
        text = f"#!/bin/bash\nexec {PROGRAMS / CASES} wait 3 {self.folder}/at-work\n"
        wait = self.submit(text, "-N2", "--ntasks-per-node=2")
        # The example's script, with a program that only waits for its time to be up.
        text = (EXAMPLES / "resume.sbatch").read_text()
        text = text.replace("./resume", f"{PROGRAMS / CASES} until-time-is-up waits")
        goes_on = self.submit(text, "--ntasks-per-node=2")
        self.addCleanup(cluster.ask, "scancel", goes_on)
        for name in "at-work", "waits":
            cluster.wait_for((self.folder / name).exists, name)
        # A limit is a number of minutes, but its end can be any time. The signal comes a minute before.
        for job, end in (wait, "now"), (goes_on, "now+60"):
            told = cluster.ask("scontrol", "update", f"JobId={job}", f"EndTime={end}")
            self.assertEqual(told, "")
        self.assertEqual(cluster.wait_for_end(wait), "TIMEOUT")
        cluster.wait_for(
            lambda: cluster.state(goes_on) == "PENDING", "the job is back in the queue"
        )
        self.assertIn("Restarts=1", cluster.ask("scontrol", "show", "job", goes_on))
        self.assertIn("the time is up", (self.folder / f"slurm-{goes_on}.out").read_text())

    def nothing_is_left(self) -> None:
        # As for `Ends`.
        self.case("-N2 -n2", "run", "2")
        super().nothing_is_left()
