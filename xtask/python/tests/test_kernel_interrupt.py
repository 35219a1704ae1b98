"""The course's kernel: interrupts, and cells that end the process that they run in."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable

import psutil
import pytest

from kernels import cells
from kernels.session import Reply
from kernels.waiting import wait_until
from tests.kernel_case import KernelCase

# From the interrupt to the end of the cell: a second or two. What it stops would take ten minutes.
SOON = 60.0
SLEEP = "std::thread::sleep(std::time::Duration::from_millis(200));"
# The compiler computes this for ten minutes or more.
SLOW_TO_COMPILE = """\
#[allow(long_running_const_eval)]
const FAR: u64 = { let mut n = 0u64; while n < 20_000_000_000 { n += 1; } n };
println!("{FAR}");"""


class Harmed(KernelCase):
    """Cells that end in another way than by themselves."""

    @pytest.fixture(autouse=True)
    def keep(self, use_kernel: None) -> None:
        self.passes("let kept = 1;")

    def assert_goes_on(self, with_variables: bool) -> None:
        assert self.shows("1 + 1") == "2"
        if with_variables:
            assert self.shows("kept") == "1"
        else:
            self.fails("kept", "CompileError")

    def runs(self, name: str) -> bool:
        """Whether the kernel has started a program of this name."""
        return any(name_of(process).startswith(name) for process in self.kernel.processes())

    def assert_ends(self, name: str) -> None:
        assert wait_until(lambda: not self.runs(name)), f"{name} still runs"


class Interrupts(Harmed):
    """Whatever the kernel does, an interrupt stops it soon, and costs no more than it must."""

    def interrupted(
        self, code: str, when: Callable[[Reply], bool], by: str = "message", stdin: bool = False
    ) -> Reply:
        """Runs a cell and interrupts it when the condition holds."""
        reply = self.kernel.send(code, allow_stdin=stdin)
        self.kernel.wait_for(reply, when)
        asked = time.monotonic()
        self.kernel.interrupt(by)
        self.kernel.wait(reply)
        assert time.monotonic() - asked < SOON
        return self.failed(reply, "Interrupted")

    def test_nothing_happens_to_an_idle_kernel(self, subtests: pytest.Subtests) -> None:
        for by in ["message", "signal"]:
            with subtests.test(by):
                self.kernel.interrupt(by)
                self.assert_goes_on(with_variables=True)
                # Nor to the next cell that looks for interrupts.
                self.passes("for _ in progress(0..3) {}")

    def test_while_the_cell_compiles(self) -> None:
        reply = self.interrupted(SLOW_TO_COMPILE, lambda _: self.runs("rustc"))
        assert reply.stdout == ""
        self.assert_goes_on(with_variables=True)

    def test_command_of_the_shell(self) -> None:
        self.interrupted("!sleep 600", lambda _: self.runs("sleep"))
        self.assert_ends("sleep")
        self.assert_goes_on(with_variables=True)

    def test_program_that_a_cell_waits_for(self, subtests: pytest.Subtests) -> None:
        code = 'std::process::Command::new("sleep").arg("600").status()?'
        for by in ["message", "signal"]:
            with subtests.test(by):
                self.interrupted(code, lambda _: self.runs("sleep"), by)
                self.assert_ends("sleep")
                self.assert_goes_on(with_variables=True)

    def test_loop_without_end(self) -> None:
        code = 'println!("begun");\nloop { std::hint::black_box(0); }'
        reply = self.interrupted(code, lambda reply: "begun" in reply.stdout)
        assert reply.stdout == "begun\n"
        self.assert_told(reply, "kept")
        self.assert_goes_on(with_variables=False)
        self.passes(cells.LOAD)

    def test_progress(self, subtests: pytest.Subtests) -> None:
        code = f"for _ in progress(0..3000) {{ {SLEEP} }}"
        for by in ["message", "signal"]:
            with subtests.test(by):
                self.interrupted(code, lambda reply: bool(reply.outputs), by)
                self.assert_goes_on(with_variables=True)

    def test_question_to_the_reader(self) -> None:
        code = 'let answer = input("Name? ")?;'
        self.interrupted(code, lambda reply: bool(reply.prompts), stdin=True)
        self.assert_goes_on(with_variables=True)
        # The question is not asked any more: the next answer is to the next question.
        reply = self.passes('println!("{}", input("Town? ")?);', answers=("Bø",))
        assert (reply.prompts, reply.stdout) == (["Town? "], "Bø\n")

    def test_pool(self) -> None:
        code = (
            'println!("begun");\n'
            "Pool::new(2)?.map(|_: u32| std::thread::sleep(std::time::Duration::from_secs(600)), 0..4);"
        )
        self.interrupted(code, lambda reply: "begun" in reply.stdout)
        assert self.shows("1 + 1") == "2"

    def test_sleep(self, subtests: pytest.Subtests) -> None:
        code = 'println!("begun");\nsleep(std::time::Duration::from_secs(60));'
        for by in ["message", "signal"]:
            with subtests.test(by):
                self.interrupted(code, lambda reply: "begun" in reply.stdout, by)
                self.assert_goes_on(with_variables=True)

    def test_pool_map_keeps_variables_where_tasks_sleep_or_are_short(
        self, subtests: pytest.Subtests
    ) -> None:
        # By default a worker takes 100 tasks of 0.2 seconds in a chunk.
        self.passes("let pool = Pool::new(2)?;")
        for task in ["sleep", "std::thread::sleep"]:
            for call in ["pool", "pool.chunk_size(1)?"]:
                time, items = ("from_secs(60)", 4) if task == "sleep" else ("from_millis(200)", 800)
                with subtests.test(f"{task} {call}"):
                    code = (
                        f'println!("begun");\nlet slept = {call}.map('
                        f"|_: u32| {task}(std::time::Duration::{time}), 0..{items});"
                    )
                    self.interrupted(code, lambda reply: "begun" in reply.stdout)
                    self.assert_goes_on(with_variables=True)
                    assert self.shows("pool.map(|x| x + 1, [1, 2])") == "[2, 3]"

    def test_cells_queued_behind_do_not_run(self) -> None:
        first = self.kernel.send('println!("begun");\nfor _ in progress(0..3000) { ' + SLEEP + " }")
        others = [self.kernel.send(code) for code in ['println!("ran");', "2"]]
        self.kernel.wait_for(first, lambda reply: "begun" in reply.stdout)
        self.kernel.interrupt()
        self.failed(self.kernel.wait(first), "Interrupted")
        statuses = [self.kernel.wait(reply).status for reply in others]
        assert statuses == ["aborted", "aborted"]
        assert others[0].outputs + others[1].outputs == []
        self.assert_goes_on(with_variables=True)


class Deaths(Harmed):
    """The process that runs the cells ends. The kernel does not, and tells what is lost."""

    def assert_recovers(self, reply: Reply) -> None:
        assert reply.status == "error", str(reply)
        self.assert_told(reply, "kept")
        self.assert_goes_on(with_variables=False)
        self.passes(cells.LOAD)
        assert self.shows(f"{cells.FIRST_POOL}") == cells.FIRST_RESULT

    def test_cell_that_ends_it(self, subtests: pytest.Subtests) -> None:
        kill = 'std::process::Command::new("kill").args(["-9", &std::process::id().to_string()])'
        for code, words in {
            f"{kill}.status()?;": "SIGKILL|kill|signal: 9|signal 9",
            "std::process::exit(3)": "exit status: 3",
            "std::process::abort()": "SIGABRT|abort",
            "fn deep(n: u64) -> u64 { std::hint::black_box([n; 64]); 1 + deep(n + 1) }\n"
            "deep(0)": "stack overflow|overflowed its stack",
        }.items():
            with subtests.test(code):
                self.passes("let kept = 1;")
                reply = self.kernel.run(f'println!("last words");\n{code}')
                assert reply.stdout == "last words\n"
                assert re.search(words, reply.told)
                self.assert_recovers(reply)

    def test_killed_from_outside(self) -> None:
        process = int(self.shows("std::process::id()") or 0)
        code = 'println!("begun");\nloop { std::thread::park(); }'
        reply = self.kernel.send(code)
        self.kernel.wait_for(reply, lambda reply: "begun" in reply.stdout)
        os.kill(process, signal.SIGKILL)
        self.assert_recovers(self.kernel.wait(reply))

    def test_killed_while_idle(self) -> None:
        process = int(self.shows("std::process::id()") or 0)
        os.kill(process, signal.SIGKILL)
        reply = self.kernel.run("kept")
        self.assert_recovers(reply)

    def test_worker_processes_end_as_well(self) -> None:
        code = (
            "let workers = ProcessPool::new(2)?;\n"
            "let ids: Vec<u32> = workers.map(|_: u32| std::process::id(), 0..8)?;\nids"
        )
        ids = [int(number) for number in (self.shows(code) or "").strip("[]").split(",")]
        assert all(map(psutil.pid_exists, ids))
        self.assert_recovers(self.kernel.run("std::process::abort()"))
        assert wait_until(lambda: not any(map(psutil.pid_exists, ids))), "workers are left"


def name_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""
