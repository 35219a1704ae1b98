"""The MPI part on a real Slurm, with two MPI libraries.

`cargo xtask test slurm` builds the programs and starts this.
"""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import slurm
from kernels.clone import CLONE
from tests.slurm_case import CASES, EXAMPLES, PRIMES, PROGRAMS, Debian, OnSlurm, begin


@pytest.fixture(scope="module", autouse=True)
def use_slurm() -> Iterator[None]:
    global cluster
    with begin() as cluster:
        yield


# As `helpers-mpi/src/job/launcher.rs` has it.
FENCE = {"SLURM_PMIX_FENCE": "ring"}


class Cases:
    """With either library."""

    __test__ = False

    def test_batch_script_of_the_example(self):
        shutil.copy2(PROGRAMS / PRIMES, self.folder)
        state, told = self.batch((EXAMPLES / "primes.sbatch").read_text())
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("78498 primes, found by 7 ranks", told)

    def test_program_by_srun(self):
        shutil.copy2(PROGRAMS / PRIMES, self.folder)
        told = cluster.run(
            *"srun -N2 -n4 --mpi=pmix ./primes".split(), folder=self.folder, **self.variables, **FENCE
        )
        self.assertIn("78498 primes, found by 3 ranks", told.text)
        # And what it took, on three lines: no warning of the library as it is finalised.
        self.assertEqual(len(told.text.splitlines()), 4, told.text)

    def test_program_in_an_allocation(self):
        self.assertIn("4 workers say 338350", self.case("-N2 -n5", "pool", "4"))
        told = self.case("-N2 -n4 --ntasks-per-node=2", "run", "4")
        self.assertIn("ran on n1 n1 n2 n2", told)

    def test_two_jobs_in_an_allocation(self):
        for launcher in [], ["srun"]:
            told = self.case("-N2 -n5", "two", "4", "5", *launcher)
            self.assertIn("ran on n1", told)
            self.assertIn("the pool says [1, 4, 9]", told)

    def test_launcher_srun(self):
        told = self.case("-N2 -n4 --ntasks-per-node=2", "run", "4", "srun")
        self.assertIn("ran on n1 n1 n2 n2", told)
        self.assertIn("4 workers say 338350", self.case("-N2 -n5", "pool", "4", "srun"))

    def test_one_task_with_many_cpus(self):
        """As JupyterHub and Open OnDemand have it: from the node itself, and from elsewhere."""
        script = f"#!/bin/bash\n{PROGRAMS / CASES} run 2\n{PROGRAMS / CASES} pool 4\n"
        state, told = self.batch(script, "-n1", "-c4")
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("ran on n1 n1", told)
        self.assertIn("4 workers say 338350", told)
        self.assertIn("4 workers say 338350", self.case("-n1 -c4", "pool", "4"))

    def test_nodes_that_share_no_files(self):
        """Each node has a folder and a program of its own, in the same place."""
        own = self.folder / "own"
        own.mkdir()
        program = own / CASES
        shutil.copy2(PROGRAMS / CASES, program)
        hide = f"mount -t tmpfs tmpfs {own} && cp {PROGRAMS / CASES} {program}"
        done = cluster.run("sh", "-c", hide, node="n2")
        self.addCleanup(cluster.run, "umount", str(own), node="n2")
        self.assertEqual(done.status, 0, done.text)
        # The login node and the first share the other one.
        for case, words in (["run", "3"], "ran on n1 n2 n2"), (["pool", "2"], "2 workers say 338350"):
            done = self.run_in("-N2 -n3", str(program), *case)
            self.assertEqual(done.status, 0, done.text)
            self.assertRegex(done.text, words.replace("n2 n2", "n[12] n2"))

    def test_rank_that_is_lost(self):
        for launcher in [], ["srun"]:
            for case, signal in ("abort", "SIGABRT"), ("kill", "SIGKILL"):
                told = self.case("-N2 -n3", case, "3", *launcher)
                # A launcher may not know the signal: those that miss a rank abort, and it hears of that first.
                how = f"(was ended by {signal}|ended without a word)"
                self.assertRegex(told, f"rank 2 on n2 was lost: its process {how}")
                # Not one of the library's thirty lines.
                self.assertEqual(len(told.splitlines()), 1, told)


class Commands:
    """What lesson 05 has to say of clusters: each of its blocks for a shell, with either library."""

    __test__ = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        notebook = json.loads((CLONE / "notebooks/05_mpi.ipynb").read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        cls.scripts = [block for block in blocks if block.startswith("#!")]
        cls.build, cls.commands = (block for block in blocks if not block.startswith("#!"))

    def setUp(self):
        super().setUp()
        for program in (PRIMES, "resume"):
            shutil.copy2(PROGRAMS / program, self.folder)
        part = self.folder / "part"
        part.write_text(f'#!/bin/sh\nexec {PROGRAMS / CASES} part "$@"\n')
        part.chmod(0o755)

    def script_with(self, words: str) -> str:
        [script] = (script for script in self.scripts if words in script)
        return script

    def test_examples_have_the_same_scripts(self):
        names = {"--job-name=primes": "primes.sbatch", "--job-name=resume": "resume.sbatch"}
        for words, name in names.items():
            said = [
                line
                for line in (EXAMPLES / name).read_text().splitlines()
                if not re.match("# |$", line)
            ]
            wanted = [line for line in self.script_with(words).splitlines() if line]
            self.assertEqual(said, wanted)
        # These, and three that tests below run.
        self.assertEqual(len(self.scripts), len(names) + 3)

    def test_commands(self):
        done = cluster.run("bash", "-ec", self.commands, folder=self.folder, **self.variables)
        self.assertEqual(done.status, 0, done.text)
        self.assertRegex(done.text, r"(?s)pmix.*78498 primes, found by 3 ranks")

    def test_build(self):
        """What it sets lets the header be read. The build itself is that of all tests."""
        home = self.folder / "home"
        modules = "module() { :; }; python3() { :; }; cargo() { :; }\n"
        show = '\nprintf "%s\\n" "$LIBCLANG_PATH" "$BINDGEN_EXTRA_CLANG_ARGS"'
        done = cluster.run("bash", "-ec", modules + self.build + show, HOME=str(home))
        libclang, arguments = done.text.splitlines()
        # As pip lays the package out.
        [known] = (CLONE / ".course/mpi").glob("lib/*/site-packages/clang/native")
        self.assertEqual(Path(libclang).relative_to(home / "libclang").parts, known.parts[-2:])
        self.assertTrue((Path(arguments.removeprefix("-isystem ")) / "stddef.h").exists())

    def test_threads_in_ranks(self):
        state, told = self.batch(self.script_with("--bind-to none"))
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("found by 1 ranks", told)

    def test_program_on_each_node(self):
        state, told = self.batch(self.script_with("sbcast"))
        self.assertEqual(state, "COMPLETED", told)
        self.assertIn("found by 3 ranks", told)

    def test_job_array(self):
        script = self.folder / "array.sbatch"
        script.write_text(self.script_with("--array"))
        job = cluster.submit(script.name, folder=self.folder, **self.variables)
        told = [self.folder / f"slurm-{job}_{number}.out" for number in range(4)]
        ended = lambda: all(file.exists() and "is" in file.read_text() for file in told)
        cluster.wait_for(ended, "all parts are done")
        # A part is as many numbers, from another one on.
        self.assertEqual(told[3].read_text(), "part 3 is 304950 on 2 threads\n")


class OwnLibrary(Cases, OnSlurm):
    """With the library that the set-up installs."""

    __test__ = True

    def test_work_that_goes_on(self):
        """A run is told that its time is up; the job goes back into the queue, and does the rest."""
        results = self.folder / "primes.txt"
        shutil.copy2(PROGRAMS / "resume", self.folder)
        shutil.copy2(EXAMPLES / "resume.sbatch", self.folder)
        # As if it had been cut off.
        results.write_text("0 2762\n1 24")
        job = cluster.submit("--ntasks-per-node=2", "resume.sbatch", folder=self.folder, **self.variables)
        self.addCleanup(cluster.ask, "scancel", job)
        about = cluster.ask("scontrol", "show", "job", job)
        self.assertIn("Requeue=1", about)
        cluster.wait_for(lambda: results.read_text().count("\n") > 2, "results come")
        # What Slurm does when the time is nearly over.
        cluster.ask("scancel", "--signal=USR1", job)
        output = self.folder / f"slurm-{job}.out"
        cluster.wait_for(lambda: cluster.state(job) == "PENDING", "the job is back in the queue")
        # Slurm would wait for two minutes. In the second of its end a job cannot begin again.
        cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now+2")
        begun = lambda: output.read_text().count("blocks are to be done") == 2
        cluster.wait_for(begun, "the job has begun again")
        state = cluster.wait_for_end(job)
        told = output.read_text()
        self.assertEqual(state, "COMPLETED", told)
        self.assertRegex(told, "(?s)99 of 100 blocks are to be done.*the time is up, and .*183072 primes")
        blocks = [line.split()[0] for line in results.read_text().splitlines()]
        self.assertEqual(sorted(map(int, blocks)), list(range(100)))

    def test_it_is_that_library(self):
        self.assertIn("v5.", self.case("-n1", "library"))


class DebianLibrary(Debian, Cases, OnSlurm):
    """The cases with the one that Debian has, which is older."""

    def test_it_is_that_library(self):
        self.assertIn("v4.", self.case("-n1", "library"))


class OwnCommands(Commands, OnSlurm):
    __test__ = True


class DebianCommands(Debian, Commands, OnSlurm):
    pass


class Failures(OnSlurm):
    """What cannot work says why, at once."""

    def assert_says(self, words: str, allocation: str, *case: str, **more: str) -> None:
        done = self.run_in(allocation, str(PROGRAMS / CASES), *case, **more)
        self.assertNotEqual(done.status, 0)
        self.assertIn(words, done.text)

    def test_srun_without_an_interface(self):
        for how in ("--mpi=none", "--mpi=pmi2"):
            done = cluster.run("srun", "-n2", how, str(PROGRAMS / CASES), "run", "2")
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
    """Whatever ends a job, nothing of it stays: see `nothing_is_left`.

    Slurm may kill all processes of a job at once. A folder of which nobody is left to delete it is swept
    by the next job of ranks on that node.
    """

    def nothing_is_left(self) -> None:
        self.assertIn("ran on n1 n2", self.case("-N2 -n2", "run", "2"))
        super().nothing_is_left()

    def start(self, *options: str) -> str:
        """A job whose ranks are at work, by its number."""
        at_work = self.folder / "at-work"
        text = f"#!/bin/bash\nexec {PROGRAMS / CASES} wait 3 {at_work}\n"
        job = self.submit(text, "-N2", "-n4", *options)
        cluster.wait_for(at_work.exists, "the ranks are at work")
        return job

    def resume(self, name: str) -> None:
        """Has a node work again, on which nothing of a job goes on."""
        node = cluster.nodes[name]
        cluster.wait_for(lambda: not node.processes(), f"{name} is free")
        cluster.resume(name)

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
        cluster.set_down("n2")
        self.addCleanup(self.resume, "n2")
        self.assertEqual(cluster.wait_for_end(job), "NODE_FAIL")

    def test_node_that_is_down_while_the_job_may_start_again(self):
        job = self.start("--requeue")
        cluster.set_down("n2")
        cluster.wait_for(lambda: cluster.state(job) == "PENDING", "the job is back in the queue")
        self.assertIn("Restarts=1", cluster.ask("scontrol", "show", "job", job))
        cluster.ask("scancel", job)
        self.resume("n2")

    def test_node_that_is_cut_off(self):
        """Nothing of it answers, and no connection closes."""
        job = self.start("--no-requeue")
        node = cluster.nodes["n2"]
        node.signal_all(signal.SIGSTOP)
        self.addCleanup(node.signal_all, signal.SIGCONT)
        cluster.set_down("n2")
        cluster.wait_for(lambda: cluster.state(job) in ("NODE_FAIL", "COMPLETING"), "the job ends")
        others = [cluster.nodes[name] for name in ("login", "n1")]
        cluster.wait_for(lambda: not any(node.processes() for node in others), "the others are free")
        node.signal_all(signal.SIGCONT)
        self.resume("n2")
        self.assertEqual(cluster.wait_for_end(job), "NODE_FAIL")

    def test_node_that_breaks_down(self):
        """The program is on another one, and tells which."""
        at_work = self.folder / "at-work"
        words = ["salloc", "--quiet", "-N2", "-n4", str(PROGRAMS / CASES), "wait", "3", str(at_work)]
        with cluster.start(*words, folder=self.folder) as process:
            cluster.wait_for(at_work.exists, "the ranks are at work")
            cluster.nodes["n2"].end()
            cluster.set_down("n2")
            told, _ = process.communicate(timeout=slurm.LIMIT)
        cluster.switch_on("n2")
        cluster.resume("n2")
        self.assertNotEqual(process.returncode, 0)
        # The task may have been at another one, which ended with it.
        self.assertRegex(told, "rank [123] on n[12] was lost.*rank [23] on n2|rank [23] on n2 was lost")
