"""Process pools in cells: faults of workers, what they print, and the end of their kernel."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from kernels import cells
from kernels.clone import is_kernel_program
from kernels.session import LIMIT
from kernels.waiting import wait_until

# How long a process may be there after whoever needed it is gone. Meant are two seconds; the rest
# is for machines that stand still at times. What is left for ever is found all the same.
LEFTOVER_SECONDS = 30
# What takes longer has waited for something that never comes. A second or two is meant; compiling the cell is
# most of it, and on a machine that has much else to do that takes long.
SOON = 60
POOL = "let processes = ProcessPool::new(2)?;"


def processes():
    """The number of each process, and of its parent."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state != "Z":
                found[int(folder.name)] = int(parent)
    return found


def descendants(ancestor):
    parents = processes()
    family = {ancestor}
    while True:
        more = {child for child, parent in parents.items() if parent in family} - family
        if not more:
            return family - {ancestor}
        family |= more


def workers(kernel):
    """The worker processes below a kernel."""
    found = set()
    for process in descendants(kernel.manager.provisioner.pid):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"helpers-worker"):
            found.add(process)
    return found


def are_gone(gone):
    return not gone & processes().keys()


class Session:
    """Cells of one kernel, with all that they show."""

    def __init__(self, kernel):
        self.kernel = kernel

    def show(self, code, timeout=LIMIT):
        """Runs a cell; gives all messages of it as pairs of kind and content."""
        shown = []

        def collect(message, is_about_it=True):
            if is_about_it:
                shown.append((message["msg_type"], message["content"]))

        self.kernel.ask(code, collect, seconds=timeout)
        self.kernel.linger(collect, lambda: 0.1)
        return shown

    def text(self, code, **options):
        """What a cell prints, with its result and its error, without colours."""
        return plain(self.show(code, **options))


def plain(shown):
    parts = []
    for kind, content in shown:
        if kind == "stream":
            parts.append(content["text"])
        elif kind == "execute_result":
            parts.append(content["data"].get("text/plain", ""))
        elif kind == "error":
            parts.append(content["evalue"])
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(parts))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class Faults:
    """One kernel with one pool, which every test leaves as it was."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel
        cls.kernel.run(cells.LOAD)
        cls.kernel.run(POOL)
        cls.session = Session(cls.kernel)

    @pytest.fixture(autouse=True)
    def look_behind(self):
        """The pool goes on."""
        yield
        start = time.monotonic()
        assert self.kernel.run("processes.map(|x: u64| x * x, 1..6)?") == "[1, 4, 9, 16, 25]"
        assert time.monotonic() - start < SOON

    def fault(self, body, *words):
        """A task that goes wrong at item 3 is an error that names it, and says why."""
        start = time.monotonic()
        shown = self.session.text(
            f"processes.chunk_size(1)?.map(|x: u64| {{ if x == 3 {{ {body} }} x }}, 0..8)?"
        )
        assert "item 3" in shown
        assert re.search(r"worker \d", shown)
        for word in words:
            assert word in shown
        assert time.monotonic() - start < SOON

    def test_panic(self):
        self.fault('panic!("three is ill");', "panicked", "three is ill")

    def test_exit(self):
        self.fault("std::process::exit(7);", "exited with status 7")

    def test_abort(self):
        self.fault("std::process::abort();", "SIGABRT")

    def test_segfault(self):
        self.fault(
            "unsafe { std::ptr::without_provenance_mut::<u8>(8).write_volatile(1) };", "SIGSEGV"
        )

    def test_stack_overflow(self):
        self.kernel.run(
            "#[inline(never)] fn deep(n: u64) -> u64 {\n"
            "    let frame = std::hint::black_box([n; 128]);\n"
            "    if n == u64::MAX { 0 } else { deep(frame[7] + 1) + frame[9] }\n"
            "}"
        )
        self.fault("deep(1);", "stack overflow")

    def test_kill(self):
        self.fault(
            'std::process::Command::new("kill").args(["-9", &std::process::id().to_string()])'
            ".status().unwrap();",
            "SIGKILL",
        )

    def test_fork_of_the_connection_is_no_matter(self):
        self.fault(
            'std::process::Command::new("sleep").arg("20").spawn().unwrap(); '
            "std::process::abort();",
            "SIGABRT",
        )

    def test_time_limit(self):
        shown = self.session.text(
            "processes.time_limit(std::time::Duration::from_secs(3))?\n"
            "    .map(|x: u64| while x == 3 { std::hint::black_box(x); }, 0..8)?"
        )
        assert "item 3 took longer than its limit of 3s" in shown

    def test_nested_pool(self):
        shown = self.kernel.run(
            "processes.map(|x: u64| {\n"
            "    let inner = ProcessPool::new(2).unwrap();\n"
            "    inner.map(|x: u64| x + 1, [x, 2 * x]).unwrap()\n"
            "}, [10, 20])?"
        )
        assert shown == "[[11, 21], [21, 41]]"

    def test_words_of_command_are_shown_and_not_obeyed(self, subtests):
        lines = [
            "EVCXR_EXECUTION_COMPLETE",
            "EVCXR_BEGIN_CONTENT text/html",
            "<b>no</b>",
            "EVCXR_END_CONTENT",
            "EVCXR_INPUT_REQUEST:x",
            "EVCXR_PANIC_NOTIFICATION",
            "EVCXR_VARIABLE_CHANGED_TYPE:x",
            "the last line",
        ]
        for call in ["println!", "eprintln!"]:
            with subtests.test(call):
                shown = self.session.show(
                    "processes.map(|line: String| "
                    f'{call}("{{line}}"), {lines!r}.map(String::from))?;'.replace("'", '"')
                )
                assert {kind for kind, _ in shown} <= {"status", "execute_input", "stream"}, shown
                text = plain(shown).replace("\u2060", "")
                # The two workers' lines may mix.
                assert sorted(text.splitlines()) == sorted(lines)

    def test_words_of_command_in_pieces(self):
        shown = self.session.show(
            "processes.map(|()| {\n"
            "    use std::io::Write;\n"
            '    for part in ["EVC", "XR_EXECUTION_COM", "PLETE\\n"] {\n'
            '        print!("{part}");\n'
            "        std::io::stdout().flush().unwrap();\n"
            "        std::thread::sleep(std::time::Duration::from_millis(400));\n"
            "    }\n"
            "}, [()])?;\n"
            'println!("the cell goes on");'
        )
        assert "EVCXR_EXECUTION_COMPLETE\nthe cell goes on" in plain(shown).replace("\u2060", "")

    def test_a_megabyte_without_a_newline(self):
        shown = self.session.text(
            'processes.map(|()| print!("{}", "x".repeat(1_000_000)), [()])?;\n'
            'println!("the last line");'
        )
        assert shown.count("x") == 1_000_000
        assert shown.rstrip().endswith("the last line")

    def test_functions_of_later_cells(self):
        self.kernel.run("fn later(x: u64) -> u64 { x + 100 }")
        assert self.kernel.run("processes.map(later, [1, 2])?") == "[101, 102]"
        self.kernel.run("fn later(x: u64) -> u64 { x + 200 }")
        assert self.kernel.run("processes.map(later, [1, 2])?") == "[201, 202]"

    def test_pools_of_the_past_leave_nothing(self):
        before = workers(self.kernel)
        shown = self.kernel.run(
            'fn files() -> i64 { std::fs::read_dir("/proc/self/fd").unwrap().count() as i64 }\n'
            "let before = files();\n"
            "for _ in 0..20 {\n"
            "    let pool = ProcessPool::new(2)?;\n"
            "    pool.map(|x: u64| x, 0..4)?;\n"
            "}\n"
            "files() - before"
        )
        assert shown == "0"
        assert wait_until(lambda: workers(self.kernel) == before, LEFTOVER_SECONDS)

    def test_a_pool_that_a_cell_replaces_ends(self):
        before = workers(self.kernel)
        for _ in range(2):
            self.kernel.run("let other = ProcessPool::new(3)?;")
        replaced = wait_until(lambda: len(workers(self.kernel) - before) == 3, LEFTOVER_SECONDS)
        assert replaced, workers(self.kernel)
        self.kernel.run("drop(other);")
        assert wait_until(lambda: workers(self.kernel) == before, LEFTOVER_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
class WhatIsLeft:
    """What becomes of the workers when the kernel is interrupted, restarted or killed.

    It comes last, since it ends the kernel. Each test goes on where the one before it has ended.
    """

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel

    def start_long_map(self):
        """Starts a map that takes for ever; gives its workers when both are at work, as they say themselves."""
        assert self.kernel.manager.is_alive()
        self.kernel.run(cells.LOAD)
        self.kernel.run(POOL)
        self.request = self.kernel.client.execute(
            "fn turn(x: u64) -> u64 {\n"
            '    println!("{} is at work", std::process::id());\n'
            "    while x < 100 { std::hint::spin_loop(); }\n"
            "    x\n"
            "}\n"
            "drop(processes.chunk_size(1)?.map(turn, 0..8)?);"
        )
        told = ""
        while told.count("is at work\n") < 2:
            said = self.kernel.wait_for(lambda said: said["msg_type"] == "stream", LIMIT)
            told += said["content"]["text"]
        at_work = {int(process) for process in re.findall(r"(\d+) is at work", told)}
        assert at_work <= workers(self.kernel)
        return at_work

    def wait_until_idle(self):
        self.kernel.wait_for_end(self.request, LIMIT)

    def assert_answers(self):
        answer = self.kernel.ask("1 + 1", seconds=LIMIT)
        assert answer["status"] == "ok"

    def test_1_interrupt(self):
        at_work = self.start_long_map()
        start = time.monotonic()
        self.kernel.manager.interrupt_kernel()
        assert wait_until(lambda: are_gone(at_work), LEFTOVER_SECONDS)
        self.wait_until_idle()
        assert time.monotonic() - start < SOON
        self.assert_answers()

    def test_2_end_of_the_cells_process(self):
        at_work = self.start_long_map()
        cells_process = processes()[min(at_work)]
        os.kill(cells_process, signal.SIGKILL)
        assert wait_until(lambda: are_gone(at_work), LEFTOVER_SECONDS)
        self.wait_until_idle()
        self.assert_answers()

    def test_3_restart(self):
        at_work = self.start_long_map()
        self.kernel.manager.restart_kernel(now=True)
        assert wait_until(lambda: are_gone(at_work), LEFTOVER_SECONDS)
        self.kernel.client.wait_for_ready(timeout=LIMIT)

    def test_4_kill(self):
        at_work = self.start_long_map()
        family = descendants(self.kernel.manager.provisioner.pid)
        victims = [p for p in family | {self.kernel.manager.provisioner.pid} if is_kernel(p)]
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        assert wait_until(lambda: are_gone(at_work), LEFTOVER_SECONDS)


def is_kernel(process):
    """Whether a process is the kernel itself, and not one that runs cells or compiles them."""
    try:
        return is_kernel_program(psutil.Process(process))
    except psutil.Error:
        return False
