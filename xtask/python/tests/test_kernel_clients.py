"""The course's kernel under other programs than ours, and what is left when it ends."""

import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import nbformat
import psutil
import pytest
import zmq
from nbformat import v4

from kernels import cells
from kernels.clone import CLONE
from kernels.session import LIMIT, Session

# Seconds that a kernel may take to start: a minute, their own limit, is little on a busy machine.
START = 600
PROGRAMS = {
    "jupyter execute": ["jupyter-execute", f"--startup_timeout={START}", "{notebook}"],
    "nbconvert": [
        "jupyter-nbconvert",
        "--to=notebook",
        "--execute",
        f"--ExecutePreprocessor.startup_timeout={START}",
        "{notebook}",
    ],
    "papermill": [
        "papermill",
        "--engine=course",
        "--no-progress-bar",
        f"--start-timeout={START}",
        "{notebook}",
        "{folder}/output.ipynb",
    ],
}
# What a cell begins with that gets Jupyter's tag for an error that is meant.
MEANT = "// meant to fail\n"
# Without a variable, for the first of which a kernel reads all crates. The lesson has some.
NOTEBOOKS = {
    "good": ["fn one() -> u32 { 1 }", "one() + 1"],
    "meant": ["fn one() -> u32 { 1 }", f'{MEANT}panic!("this is meant");', "one() + 1"],
    "panics": ["fn one() -> u32 { 1 }", 'panic!("the sky falls");', "one() + 1"],
}
Result = subprocess.CompletedProcess[str]


def execute(program: str, notebook: nbformat.NotebookNode) -> Result:
    """Runs a notebook in a terminal, in a folder of its own, beside which the crate lies."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "notebooks")
        folder.mkdir()
        for crate in ["helpers", "helpers-mpi"]:
            folder.with_name(crate).symlink_to(CLONE / crate)
        path = folder / "notebook.ipynb"
        nbformat.write(notebook, path)
        name, *options = PROGRAMS[program]
        return subprocess.run(
            [
                Path(sys.executable).with_name(name),
                *[option.format(notebook=path, folder=folder) for option in options],
            ],
            capture_output=True,
            text=True,
            timeout=8 * LIMIT,
            check=False,
        )


def notebook_of(codes: Sequence[str]) -> nbformat.NotebookNode:
    metadata = {"kernelspec": {"name": "rust", "display_name": "Rust", "language": "rust"}}
    cells = [v4.new_code_cell(code) for code in codes]
    for cell in cells:
        if cell.source.startswith(MEANT):
            cell.metadata["tags"] = ["raises-exception"]
    return v4.new_notebook(cells=cells, metadata=metadata)


def break_off(port: int) -> None:
    """A client of the heartbeat that is killed while it waits: the system resets its connection."""
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ"
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        # ZeroMQ's greeting and first command; the other side says the same.
        client.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
        client.sendall(bytes([4, len(ready)]) + ready)
        with client.makefile("rb") as heard:
            heard.read(64)
            heard.read(heard.read(2)[1])
        client.sendall(b"\x01\x00\x00\x04ping")
        select.select([client], [], [], LIMIT)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def beats(port: int) -> bool:
    """Whether the heartbeat answers."""
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(f"tcp://127.0.0.1:{port}")
        client.send(b"ping")
        return client.poll(int(LIMIT * 1000)) != 0


class Runs:
    """What the programs make of the notebooks. They run beside the other tests."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(2)
        # The first, since they take longest. One cell of the lesson is meant to fail.
        lesson = nbformat.read(CLONE / "notebooks/01_multiprocessing.ipynb", 4)
        self.lessons = {
            program: self.executor.submit(execute, program, lesson)
            for program in ["jupyter execute", "papermill"]
        }
        # By the program and the name of the notebook.
        self.small: dict[tuple[str, str], Future[Result]] = {}
        for program in PROGRAMS:
            for name, codes in NOTEBOOKS.items():
                run = self.executor.submit(execute, program, notebook_of(codes))
                self.small[program, name] = run


runs: Runs


@pytest.fixture(scope="module", autouse=True)
def run_beside() -> Iterator[None]:
    global runs
    runs = Runs()
    yield
    runs.executor.shutdown(cancel_futures=True)


class Programs:
    """Programs that run notebooks see which one has failed."""

    def test_notebook_that_panics_stops_them(self, subtests: pytest.Subtests) -> None:
        for program in PROGRAMS:
            with subtests.test(program):
                result = runs.small[program, "panics"].result()
                said = result.stdout + result.stderr
                assert result.returncode != 0, said
                assert "the sky falls" in said

    def test_good_notebook_passes(self, subtests: pytest.Subtests) -> None:
        for program in PROGRAMS:
            for name in ["good", "meant"]:
                with subtests.test(program, notebook=name):
                    result = runs.small[program, name].result()
                    assert result.returncode == 0, result.stdout + result.stderr

    def test_first_lesson_passes(self, subtests: pytest.Subtests) -> None:
        for program, lesson in runs.lessons.items():
            with subtests.test(program):
                result = lesson.result()
                assert result.returncode == 0, result.stdout + result.stderr


class Ends:
    """However a kernel ends, nothing of it goes on. The tests go on where those before them end."""

    kernel: ClassVar[Session]
    # Started without the reader's settings, as by a desktop: PATH does not name cargo's folder.
    bare: ClassVar[Session]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls) -> Iterator[None]:
        # Both start at once.
        bare = {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin"}
        with closing(Session()) as cls.kernel, closing(Session(env=bare)) as cls.bare:
            yield

    def with_workers(self, session: Session) -> list[psutil.Process]:
        """All processes of a kernel that has a pool of workers, and a program that a cell started."""
        for code in [
            cells.LOAD,
            "let pool = ProcessPool::new(2)?;\nlet sums: Vec<u32> = pool.map(|n: u32| n + 1, [1, 2])?;",
            'let sleep = std::process::Command::new("sleep").arg("600").spawn()?;',
        ]:
            reply = session.run(code)
            assert reply.status == "ok", str(reply)
        processes = session.processes()
        assert len(processes) >= 5, processes
        return processes

    def assert_gone(self, processes: Sequence[psutil.Process]) -> None:
        left = psutil.wait_procs(processes, LIMIT)[1]
        for process in left:
            process.kill()
        assert left == []

    def test_1_client_that_goes_away_leaves_no_noise(self) -> None:
        self.kernel.wait_until_ready()
        before = self.kernel.log()
        for _ in range(2):
            break_off(self.kernel.manager.hb_port)
            self.kernel.reconnect()
            assert self.kernel.run("1 + 1").result == "2"
            assert beats(self.kernel.manager.hb_port), "the heart has stopped"
        noise = self.kernel.log()[len(before) :]
        assert len(noise.splitlines()) <= 1, noise

    def test_2_restart(self) -> None:
        processes = self.with_workers(self.kernel)
        self.kernel.restart()
        self.assert_gone(processes)
        reply = self.kernel.run("sums")
        assert (reply.ename, reply.execution_count) == ("CompileError", 1), str(reply)

    def test_3_kernel_that_is_killed_with_its_group(self) -> None:
        processes = self.with_workers(self.kernel)
        self.kernel.manager.shutdown_kernel(now=True)
        self.assert_gone(processes)

    def test_4_kernel_without_the_reader_s_settings_works(self) -> None:
        self.bare.wait_until_ready()
        assert self.bare.run("1 + 1").result == "2", self.bare.log()
        # What the launcher says of the course must not depend on the settings.
        of_launcher = [line for line in self.bare.log().splitlines() if "course" in line]
        assert set(of_launcher) <= set(self.kernel.log().splitlines())

    def test_5_kernel_that_is_asked_to_end(self) -> None:
        self.bare.wait_until_ready()
        processes = self.with_workers(self.bare)
        self.bare.shutdown()
        self.assert_gone(processes)

    def test_6_kernel_that_is_killed_alone(self) -> None:
        # As by the system when memory runs out. Programs that a cell has started are not meant.
        with Session() as session:
            processes = [p for p in self.with_workers(session) if p.name() != "sleep"]
            sleep = [p for p in session.processes() if p.name() == "sleep"]
            processes[0].kill()
            self.assert_gone(processes)
            for process in sleep:
                process.kill()
