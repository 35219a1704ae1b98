"""MPI in cells: classic MPI with `mpi_run`, its faults, and the end of its kernel."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from kernels import cells
from kernels.session import LIMIT
from kernels.waiting import wait_until
from tests.test_process_cells import (
    LEFTOVER_SECONDS,
    SOON,
    Session,
    descendants,
    is_kernel,
    plain,
    processes,
)

RUN_LIMIT = "std::time::Duration::from_secs(5)"


def ranks():
    """The processes of all jobs: what marks them is in their environment, whoever started them."""
    found = set()
    for process in processes():
        try:
            environment = Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            continue
        if b"HELPERS_MPI_JOB=" in environment:
            found.add(process)
    return found


def job(kernel):
    """The processes of a kernel's jobs; other kernels may have some too."""
    return ranks() & descendants(kernel.manager.provisioner.pid)


def are_gone(family):
    return not family & processes().keys()


def load(kernel):
    kernel.run(cells.LOAD)
    kernel.run(cells.LOAD_MPI)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class MpiRun:
    """One kernel, which every test leaves as it was, and without ranks."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel
        load(cls.kernel)
        cls.session = Session(cls.kernel)

    @pytest.fixture(autouse=True)
    def look_behind(self):
        """Nothing is left, and the next job is as good as the first."""
        yield
        family = descendants(self.kernel.manager.provisioner.pid)
        assert wait_until(lambda: not family & ranks(), LEFTOVER_SECONDS)
        assert self.kernel.run("mpi_run(2, |world| world.rank())?") == "[0, 1]"

    def fault(self, run, *words):
        start = time.monotonic()
        shown = self.session.text(f"{run}?")
        for word in words:
            assert word in shown
        assert time.monotonic() - start < SOON

    def test_values_and_functions_of_any_cell(self):
        self.kernel.run("fn ten_times(x: i32) -> i32 { 10 * x }")
        shown = self.kernel.run(
            "mpi_run(3, |world| {\n"
            "    let mut sum = 0;\n"
            "    let mine = ten_times(world.rank());\n"
            "    world.all_reduce_into(&mine, &mut sum, SystemOperation::sum());\n"
            "    (mine, sum)\n"
            "})?"
        )
        assert shown == "[(0, 30), (10, 30), (20, 30)]"

    def test_lines_are_labelled_in_rank_order_and_not_obeyed(self):
        shown = self.session.show(
            "mpi_run(3, |world| {\n"
            "    let nap = 100 * (3 - world.rank()) as u64;\n"
            "    std::thread::sleep(std::time::Duration::from_millis(nap));\n"
            '    println!("hello\\nEVCXR_BEGIN_CONTENT text/html\\nEVCXR_EXECUTION_COMPLETE");\n'
            "})?;"
        )
        kinds = {kind for kind, _ in shown}
        assert kinds <= {"status", "execute_input", "stream"}, shown
        lines = plain(shown).replace("\u2060", "").splitlines()
        words = ["hello", "EVCXR_BEGIN_CONTENT text/html", "EVCXR_EXECUTION_COMPLETE"]
        assert lines == [f"rank {rank}: {word}" for rank in range(3) for word in words]

    def test_panic(self):
        self.fault(
            'mpi_run(2, |world| { assert!(world.rank() != 1, "bad luck"); world.barrier() })',
            "rank 1 on",
            "panicked: bad luck",
        )

    def test_kill(self):
        self.fault(
            "mpi_run(2, |world| {\n"
            "    if world.rank() == 1 {\n"
            "        let me = std::process::id().to_string();\n"
            '        std::process::Command::new("kill").args(["-9", &me]).status().unwrap();\n'
            "    }\n"
            "    world.barrier()\n"
            "})",
            "rank 1 on",
            "SIGKILL",
        )

    def test_abort(self):
        self.fault(
            "mpi_run(2, |world| { if world.rank() == 1 { world.abort(7) } world.barrier() })",
            "rank 1 on",
            "MPI_Abort with error code 7",
        )

    def test_deadlock(self):
        self.fault(
            f"MpiRun::new(2).time_limit({RUN_LIMIT}).run(|world| {{\n"
            "    world.process_at_rank(1 - world.rank()).receive::<i32>().0\n"
            "})",
            "longer than its limit of 5s",
            "waits in MPI_Recv for a message from rank 0",
            "waits in MPI_Recv for a message from rank 1",
        )

    def test_capturing_does_not_compile(self):
        self.kernel.run("let factor = 3;")
        shown = self.session.text("mpi_run(2, |world| world.rank() * factor)?")
        assert "a function for ranks cannot capture variables" in shown

    def test_missing_launcher(self):
        self.fault(
            'MpiRun::new(2).launcher("no-such-mpiexec").run(|_| ())',
            "no program `no-such-mpiexec`",
            "cargo xtask setup",
        )

    @pytest.mark.skipif(os.geteuid() != 0, reason="hides a file, as only an administrator can")
    def test_a_library_that_a_node_lacks_is_sent(self):
        """Ranks run where the libraries of cells are other files than here."""
        self.kernel.run("fn from_afar() -> i32 { 42 }")
        hide = (
            "for library in $(ls $0/libcode_*.so); do mount --bind /dev/null $library; done; "
            'exec mpiexec "$@"'
        )
        folder = self.kernel.run(
            'std::env::var("EVCXR_TMPDIR").unwrap() + "/target/x86_64-unknown-linux-gnu/debug"'
        ).strip('"')
        # The launcher is asked for its version first, and that is not hidden from.
        script = Path(folder) / "hiding-mpiexec"
        script.write_text(
            '#!/bin/sh\nif [ "$1" = --version ]; then exec mpiexec --version; fi\n'
            f"exec unshare --mount sh -c '{hide}' {folder} \"$@\"\n"
        )
        script.chmod(0o755)
        run = f'MpiRun::new(2).launcher("{script}").run(|_| from_afar())?'
        assert self.kernel.run(run) == "[42, 42]"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class WhatIsLeft:
    """What becomes of ranks when the kernel is interrupted, restarted or killed.

    It comes last, since it ends the kernel. Each test goes on where the one before it has ended.
    """

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel

    def start_long_job(self):
        """Starts a job that takes for ever; gives its processes when its ranks are at work."""
        assert self.kernel.manager.is_alive()
        load(self.kernel)
        assert self.kernel.run(cells.FIRST_RANKS) == "[0, 1]"
        self.request = self.kernel.client.execute(
            "mpi_run(2, |world| {\n"
            '    if world.rank() == 0 { println!("at work"); }\n'
            "    world.process_at_rank(1 - world.rank()).receive::<i32>().0\n"
            "})?"
        )
        self.kernel.wait_for(lambda said: "at work" in str(said["content"].get("text")), LIMIT)
        family = job(self.kernel)
        assert len(family) >= 3, "a launcher and two ranks"
        return family

    def test_1_interrupt(self):
        family = self.start_long_job()
        self.kernel.manager.interrupt_kernel()
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
        self.kernel.wait_for_end(self.request, LIMIT)

    def test_2_restart(self):
        family = self.start_long_job()
        self.kernel.manager.restart_kernel(now=True)
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
        self.kernel.client.wait_for_ready(timeout=LIMIT)

    def test_3_kill(self):
        family = self.start_long_job()
        kernel = self.kernel.manager.provisioner.pid
        victims = [process for process in descendants(kernel) | {kernel} if is_kernel(process)]
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
