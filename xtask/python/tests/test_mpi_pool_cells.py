"""`MpiPool` in cells: functions of any cell, faults of ranks, and the end of the kernel."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from kernels.session import LIMIT
from kernels.waiting import wait_until
from tests.test_mpi_cells import are_gone, job, load
from tests.test_process_cells import LEFTOVER_SECONDS, SOON, Session, descendants, is_kernel, plain

POOL = "let ranks = MpiPool::new(2)?;"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class Pool:
    """One kernel with one pool, which every test leaves as it was."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel
        load(cls.kernel)
        cls.kernel.run(POOL)
        cls.session = Session(cls.kernel)

    @pytest.fixture(autouse=True)
    def look_behind(self):
        """The pool goes on."""
        yield
        start = time.monotonic()
        assert self.kernel.run("ranks.map(|x: u64| x * x, 1..6)?") == "[1, 4, 9, 16, 25]"
        assert time.monotonic() - start < SOON

    def fault(self, body, *words):
        """A task that goes wrong at item 3 is an error that names it, its rank, and why."""
        start = time.monotonic()
        shown = self.session.text(
            f"ranks.chunk_size(1)?.map(|x: u64| {{ if x == 3 {{ {body} }} x }}, 0..8)?"
        )
        assert "item 3" in shown
        assert re.search(r"rank \d on \S+", shown)
        for word in words:
            assert word in shown
        assert time.monotonic() - start < SOON

    def test_functions_of_later_cells(self):
        self.kernel.run("fn later(x: u64) -> u64 { x + 100 }")
        assert self.kernel.run("ranks.map(later, [1, 2])?") == "[101, 102]"
        self.kernel.run("fn later(x: u64) -> u64 { x + 200 }")
        assert self.kernel.run("ranks.submit(later, 1).join()?") == "201"

    def test_large_arrays(self):
        shown = self.kernel.run(
            "ranks.map(|a: Vec<f64>| a.iter().sum::<f64>(), (0..4).map(|_| vec![0.5; 1_000_000]))?"
        )
        assert shown == "[500000.0, 500000.0, 500000.0, 500000.0]"

    def test_what_a_task_prints_is_labelled_and_not_obeyed(self):
        shown = self.session.show(
            'ranks.map(|word: String| println!("{word}"), '
            '["hello", "EVCXR_EXECUTION_COMPLETE"].map(String::from))?;'
        )
        kinds = {kind for kind, _ in shown}
        assert kinds <= {"status", "execute_input", "stream"}, shown
        lines = plain(shown).replace("\u2060", "").splitlines()
        assert len(lines) == 2, lines
        for word in ["hello", "EVCXR_EXECUTION_COMPLETE"]:
            assert any(line.startswith("rank ") and line.endswith(word) for line in lines)

    def test_panic(self):
        self.fault('panic!("three is ill");', "panicked", "three is ill")

    def test_exit(self):
        self.fault("std::process::exit(7);", "status 7", "fresh job")

    def test_kill(self):
        self.fault(
            'std::process::Command::new("kill").args(["-9", &std::process::id().to_string()])'
            ".status().unwrap();",
            "SIGKILL",
            "fresh job",
        )

    def test_abort_of_mpi(self):
        self.fault("SimpleCommunicator::world().abort(9);", "MPI_Abort", "9", "fresh job")

    def test_segfault(self):
        self.fault(
            "unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };", "SIGSEGV"
        )

    def test_time_limit(self):
        before = job(self.kernel)
        shown = self.session.text(
            "ranks.time_limit(std::time::Duration::from_secs(3))?\n"
            "    .map(|x: u64| while x == 3 { std::hint::black_box(x); }, 0..8)?"
        )
        assert "item 3 took longer than its limit of 3s" in shown
        assert wait_until(lambda: are_gone(before), LEFTOVER_SECONDS)

    def test_a_rank_killed_from_outside(self):
        victim = int(self.kernel.run("ranks.submit(|()| std::process::id(), ()).join()?"))
        os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: are_gone({victim}), LEFTOVER_SECONDS)
        # The pool notices when it is used, at the latest.
        self.session.text("ranks.map(|x: u64| x, [1])?")

    def test_pools_of_the_past_leave_nothing(self):
        before = job(self.kernel)
        shown = self.kernel.run(
            'fn files() -> i64 { std::fs::read_dir("/proc/self/fd").unwrap().count() as i64 }\n'
            "let before = files();\n"
            "for _ in 0..4 {\n"
            "    let pool = MpiPool::new(1)?;\n"
            "    pool.map(|x: u64| x, 0..4)?;\n"
            "}\n"
            "// Pools of earlier cells may still have been about to go.\n"
            "(files() - before).max(0)"
        )
        assert shown == "0"
        assert wait_until(lambda: job(self.kernel) == before, LEFTOVER_SECONDS)

    @pytest.mark.skipif(os.geteuid() != 0, reason="hides a file, as only an administrator can")
    def test_a_library_that_a_node_lacks_is_sent(self):
        """Ranks run where the libraries of cells are other files than here, or none."""
        self.kernel.run("fn from_afar(x: u64) -> u64 { x + 42 }")
        folder = self.kernel.run(
            'std::env::var("EVCXR_TMPDIR").unwrap() + "/target/x86_64-unknown-linux-gnu/debug"'
        ).strip('"')
        hide = (
            "for library in $(ls $0/libcode_*.so); do mount --bind /dev/null $library; done; "
            'exec mpiexec "$@"'
        )
        script = Path(folder) / "hiding-mpiexec"
        script.write_text(
            '#!/bin/sh\nif [ "$1" = --version ]; then exec mpiexec --version; fi\n'
            f"exec unshare --mount sh -c '{hide}' {folder} \"$@\"\n"
        )
        script.chmod(0o755)
        self.kernel.run(f'let far = MpiPool::builder(2).launcher("{script}").build()?;')
        # The library of this cell is not hidden, as it did not exist; that of the next start is.
        assert self.kernel.run("far.map(from_afar, [1, 2])?") == "[43, 44]"
        shown = self.kernel.run(
            f'MpiPool::builder(2).launcher("{script}").build()?.map(from_afar, [3, 4])?'
        )
        assert shown == "[45, 46]"
        self.kernel.run("drop(far);")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class WhatIsLeft:
    """What becomes of the ranks when the kernel is interrupted, restarted or killed.

    It comes last, since it ends the kernel. Each test goes on where the one before it has ended.
    """

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel

    def start_long_map(self):
        """Starts a map that takes for ever; gives the processes of the job when it is at work."""
        assert self.kernel.manager.is_alive()
        load(self.kernel)
        self.kernel.run(POOL)
        assert self.kernel.run("ranks.map(|x: u64| x + 1, [1])?") == "[2]"
        self.request = self.kernel.client.execute(
            "fn turn(x: u64) -> u64 {\n"
            '    println!("at work");\n'
            "    while x < 100 { std::hint::spin_loop(); }\n"
            "    x\n"
            "}\n"
            "drop(ranks.chunk_size(1)?.map(turn, 0..8)?);"
        )
        seen = 0
        while seen < 2:
            said = self.kernel.wait_for(lambda said: said["msg_type"] == "stream", LIMIT)
            seen += said["content"]["text"].count("at work")
        family = job(self.kernel)
        assert len(family) >= 3, "rank 0 and two that work"
        return family

    def test_1_interrupt(self):
        family = self.start_long_map()
        self.kernel.manager.interrupt_kernel()
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
        self.kernel.wait_for_end(self.request, LIMIT)

    def test_2_restart(self):
        family = self.start_long_map()
        self.kernel.manager.restart_kernel(now=True)
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
        self.kernel.client.wait_for_ready(timeout=LIMIT)

    def test_3_kill(self):
        family = self.start_long_map()
        kernel = self.kernel.manager.provisioner.pid
        victims = [process for process in descendants(kernel) | {kernel} if is_kernel(process)]
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: are_gone(family), LEFTOVER_SECONDS)
