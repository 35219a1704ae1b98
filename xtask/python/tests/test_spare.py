"""The spare kernel: what a student gets, what goes wrong, and what is left behind."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import websocket
from course_kernel import fingerprint
from course_kernel.keeper import NoSpare, SpareKeeper
from course_kernel.lifeline import VARIABLE
from course_kernel.memory import left_in_groups
from course_kernel.provisioner import CourseProvisioner
from course_kernel.spare import Spare, SpareFailed
from jupyter_client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from kernels import cells, ports
from kernels.clone import CLONE, is_kernel_program, launcher
from kernels.copies import copy_of_clone, small_copy
from kernels.messages import within
from kernels.server import LIMIT, READY, Server, ServersKernel
from kernels.waiting import wait_until

# Spares are prepared as soon as they may, so that the tests need not wait.
AT_ONCE = [
    "--SpareKeeper.quiet_seconds=0",
    "--SpareKeeper.watch_seconds=0.3",
    "--SpareKeeper.busy=101",
]
# Only the first spare.
ONE = ["--SpareKeeper.quiet_seconds=10000", "--SpareKeeper.watch_seconds=0.3"]
# Fits behind the first pool.
PLOT = """\
let (_, timing) = measure(|| pool.map(|x: u64| x + 1, [1, 2, 3]));
plot::bars("title", "s", &[("one".to_string(), timing)])?"""
# Waits as long as there is a file.
WAIT = """\
while std::path::Path::new(%s).exists() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
"""
# What a cell sees of where it runs, but for the folder that each kernel has to itself.
ENVIRONMENT = """\
let mut names: Vec<String> = std::env::vars()
    .filter(|(name, _)| !name.starts_with("JPY_") && !name.starts_with("EVCXR_"))
    .filter(|(name, _)| name != "COURSE_RUNNER")
    .map(|(name, value)| format!("{name}={value}"))
    .collect();
names.sort();
names.push(std::env::current_dir()?.display().to_string());
names.join("\\n")"""


def kernels_of(server):
    """The processes of a server's kernels, also those that are spare."""
    return [child for child in psutil.Process(server.process.pid).children() if is_kernel(child)]


def is_kernel(process):
    try:
        is_launcher = process.cmdline()[1:2] in (["kernel"], ["spare"])
        return is_launcher or is_kernel_program(process)
    except psutil.Error:
        return False


def spare_of(server):
    """The process of a server that has no other kernel."""
    [spare] = kernels_of(server)
    return spare


def sockets_of(server):
    """Folders with sockets of spares that have not been talked to yet."""
    return list(server.runtime.glob("spare-*"))


def gone(process):
    """Whether it has ended; it may do so between any two looks at it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def number(kernel, code):
    """The number that a cell gets."""
    return kernel.ask(code, seconds=LIMIT)["execution_count"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class Life:
    """Two servers on one clone; each test goes on where the one before it has ended."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        with Server(*AT_ONCE) as cls.server, Server(*ONE) as cls.other:
            yield

    def test_1_each_server_has_a_spare(self):
        self.server.wait_for_spare()
        self.other.wait_for_spare()
        assert spare_of(self.server) != spare_of(self.other)

    def test_1_list_of_exercises_is_without_their_wrong_answers(self):
        listed = self.other.ask("GET", "contents/notebooks/exercises")["content"]
        names = {entry["name"] for entry in listed}
        assert "01_multiprocessing.ipynb" in names
        assert "wrong" not in names

    def test_2_neither_another_folder_nor_a_spare_that_hangs(self):
        """These kernels start the ordinary way."""
        elsewhere = self.other.open_notebook("elsewhere.ipynb", folder="assets")
        self.other.wait_for("starts the ordinary way: it runs in another folder")
        elsewhere.end()
        os.kill(spare_of(self.other).pid, signal.SIGSTOP)
        type(self).fresh = self.other.open_notebook("fresh.ipynb")
        self.other.wait_for("starts the ordinary way: the spare does not answer")
        self.fresh.wait_until_ready()
        assert len(kernels_of(self.other)) == 1

    def test_3_the_spare_is_like_a_fresh_kernel(self):
        type(self).running = spare_of(self.server)
        type(self).kernel = kernel = self.server.open_notebook("one.ipynb")
        self.server.wait_for("is the spare, which was ready")
        kernel.wait_until_ready()
        assert number(kernel, "1") == number(self.fresh, "1")
        here, there = kernel.run(ENVIRONMENT), self.fresh.run(ENVIRONMENT)
        assert here == there.replace(str(self.other.runtime), str(self.server.runtime))
        assert VARIABLE not in here
        kernel.run("drop(names);")
        assert kernel.run(":vars").strip() == ""
        # The crate is there, but nothing is imported from it until a cell does.
        assert "Pool" in kernel.problems("Pool::new(1)?;")
        # The server hears of it on a way of its own.
        assert wait_until(lambda: kernel.model()["execution_state"] == "idle")

    def test_4_first_cells_and_interrupt(self):
        kernel = self.kernel
        kernel.run(cells.LOAD)
        assert kernel.run(cells.FIRST_POOL) == cells.FIRST_RESULT
        assert "<img" in kernel.outputs(PLOT)["text/html"]
        asked = kernel.client.execute(
            'println!("begun");\nstd::thread::sleep(std::time::Duration::from_secs(600));'
        )
        kernel.wait_for(lambda said: "begun" in said["content"].get("text", ""), LIMIT)
        kernel.interrupt()
        kernel.reply_to(asked, within(LIMIT, "the end of the cell"))
        assert kernel.run("6 * 7") == "42"

    def test_5_a_restart_takes_the_next_spare(self, request):
        """Those who talked to the old kernel talk to the new one."""
        server, kernel, running = self.server, self.kernel, self.running
        page = websocket.create_connection(
            f"{server.url.replace('http', 'ws')}/api/kernels/{kernel.id}/channels",
            header=[f"Authorization: token {server.token}"],
            timeout=LIMIT,
        )
        request.addfinalizer(page.close)
        for times in (2, 3):
            server.wait_for_spare(times=times)
            [spare] = [process for process in kernels_of(server) if process != running]
            kernel.run("let kept = 5;")
            if times == 2:
                kernel.restart()
            else:
                # Killed, say by the system for want of memory: Jupyter starts another by itself.
                os.killpg(running.pid, signal.SIGKILL)
            server.wait_for("is the spare, which was ready", times=times)
            kernel.wait_for_answer(LIMIT)
            assert "kept" in kernel.problems("kept")
            assert kernel.run("1 + 1") == "2"
            assert ask_page(page, f"40 + {times}") == str(40 + times)
            assert gone(running), "the kernel that was restarted still runs"
            running = spare
        # No spare is ready yet, or just is; then a kernel comes to where the spare was.
        kernel.restart()
        kernel.wait_for_answer(LIMIT)
        assert kernel.run("1 + 2") == "3"
        assert ask_page(page, "2 + 2") == "4"

    def test_6_nothing_is_left_when_servers_end(self):
        assert wait_until(lambda: len(kernels_of(self.server)) == 2)
        processes = kernels_of(self.server) + kernels_of(self.other)
        assert len(processes) == 3, processes
        assert wait_until(lambda: all(has_folder(process) for process in processes))
        folders = [folder_of(process) for process in processes]
        self.server.end(signal.SIGKILL)
        self.other.end(signal.SIGTERM)
        self.kernel.close()
        self.fresh.close()
        for process, folder in zip(processes, folders):
            assert wait_until(lambda: gone(process)), f"{process} still runs"
            assert wait_until(lambda: not folder.exists()), f"{folder} is left"
        for server in (self.server, self.other):
            assert wait_until(lambda: not sockets_of(server)), "a socket is left"


def ask_page(page, code):
    """Runs a cell through the websocket that a page has."""
    header = {"msg_id": code, "msg_type": "execute_request", "session": "page", "username": ""}
    page.send(
        json.dumps(
            {
                "channel": "shell",
                "header": {**header, "version": "5.3"},
                "parent_header": {},
                "metadata": {},
                "content": {"code": code, "silent": False, "allow_stdin": False},
            }
        )
    )
    while True:
        message = json.loads(page.recv())
        is_ours = message.get("parent_header", {}).get("msg_id") == code
        if is_ours and message["msg_type"] == "execute_result":
            return message["content"]["data"]["text/plain"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class Faults:
    """One server that has bad luck; each test goes on where the one before it has ended.

    Its clone is one of its own, whose crate is so small that a spare is soon warm.
    """

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        with tempfile.TemporaryDirectory(prefix="course-test-") as folder:
            cls.clone = small_copy(Path(folder, "clone"))
            # Its spares are not warm as long as there is this file.
            cls.hold = cls.clone / "hold"
            cls.hold.touch()
            with open(
                cls.clone / "kernel/spare/warm_up.evcxr", "a", encoding="utf-8"
            ) as cells_of_spare:
                cells_of_spare.write(WAIT % json.dumps(str(cls.hold)))
            # What compiles the crates runs a kernel, which Python drives.
            (cls.clone / ".course/venv").symlink_to(CLONE / ".course/venv")
            # evcxr would replace a kernelspec in a folder that is all of JUPYTER_PATH.
            path = f"{kernelspec_for(cls.clone)}:/none"
            compiled = subprocess.run(
                [launcher(cls.clone), "refresh"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=600,
            )
            if compiled.returncode:
                raise RuntimeError(f"the small crate does not compile:\n{compiled.stderr}")
            options = ["--SpareKeeper.first_after=3", "--SpareKeeper.retry_seconds=6"]
            server = Server(*AT_ONCE, *options, clone=cls.clone, JUPYTER_PATH=path)
            with server as cls.server:
                yield

    def assert_first_cells_run(self, kernel):
        kernel.run(cells.LOAD)
        assert kernel.run("answer(2)") == "42"

    def test_1_full_disk(self):
        """A limit on the size of files is to a launcher what a full disk is."""
        server, kernels = self.server, self.clone / ".course/kernels"
        before = set(kernels.iterdir())
        limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100_000, limit[1]))
        server.wait_for("No spare kernel could be made")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        assert wait_until(lambda: set(kernels.iterdir()) <= before)
        with server.open_notebook("full.ipynb") as kernel:
            server.wait_for("starts the ordinary way: no spare could be made")
            assert kernel.run("1 + 1") == "2"

    def test_2_opened_before_the_spare_is_warm(self):
        server = self.server
        assert wait_until(lambda: kernels_of(server)), "it is never tried again"
        early = server.open_notebook("early.ipynb")
        server.wait_for("is the spare, which is almost ready")
        # The next one, which is not warm either.
        assert wait_until(lambda: len(kernels_of(server)) == 2)
        self.hold.unlink()
        with early:
            self.assert_first_cells_run(early)
        server.wait_for_spare()

    def test_3_killed(self):
        """As a spare, and as a kernel that was one and is not warm yet."""
        server = self.server
        self.hold.touch()
        os.killpg(spare_of(server).pid, signal.SIGKILL)
        server.wait_for("thrown away: the spare has died")
        assert wait_until(lambda: kernels_of(server))
        spare = spare_of(server)
        kernel = server.open_notebook("killed.ipynb")
        server.wait_for("is the spare, which is almost ready", times=2)
        self.hold.unlink()
        os.killpg(spare.pid, signal.SIGKILL)
        # Jupyter starts another, at other ports, since this one has never answered.
        server.wait_for(f"Kernel {kernel.id} (is the spare|starts the ordinary way)", times=2)
        kernel.close()
        with ServersKernel(server, kernel.id) as kernel:
            self.assert_first_cells_run(kernel)

    def test_4_ten_notebooks_at_once(self):
        server = self.server
        server.wait_for_spare(times=2)
        before = server.said()
        with ThreadPoolExecutor(10) as threads:
            names = [f"{letter}.ipynb" for letter in "abcdefghij"]
            kernels = list(threads.map(server.open_notebook, names))

            def use(kernel):
                with kernel:
                    return kernel.run("1 + 1")

            results = list(threads.map(use, kernels))
        assert results == ["2"] * 10
        said = server.said()[len(before) :]
        # One is there. How many more are made meanwhile depends on the machine.
        spares = said.count("is the spare, which was ready")
        assert spares >= 1, said
        others = said.count("is almost ready") + said.count("starts the ordinary way")
        assert spares + others == 10, said

    def test_5_nothing_is_left_but_the_next_spare(self):
        server = self.server
        assert wait_until(lambda: len(kernels_of(server)) <= 1)
        assert not list(server.runtime.glob("kernel-*.json"))
        assert wait_until(lambda: not sockets_of(server)), "a socket is left"

    def test_6_crate_broken_by_an_edit(self):
        server, lib = self.server, self.clone / "helpers/src/lib.rs"
        assert wait_until(lambda: is_ready(server))
        spare, ready = spare_of(server), server.said().count(READY)
        whole = lib.read_text(encoding="utf-8")
        lib.write_text(whole + "fn broken_by_an_edit() -> u8 { true }\n", encoding="utf-8")
        server.wait_for("thrown away: the course has changed")
        assert wait_until(lambda: gone(spare))
        server.wait_for("No spare kernel could be made: the crates could not")
        with server.open_notebook("broken.ipynb") as kernel:
            assert "mismatched types" in kernel.problems(cells.LOAD)
            # The kernel lives, and the crate can be mended.
            assert kernel.run("1 + 1") == "2"
        lib.write_text(whole, encoding="utf-8")
        server.wait_for_spare(times=ready + 1)
        with server.open_notebook("mended.ipynb") as kernel:
            server.wait_for(f"{kernel.id} is the spare, which was ready")
            self.assert_first_cells_run(kernel)

    def test_7_ports_that_are_taken(self):
        """The spare says so, and may be handed over at others."""

        async def take():
            folder, runtime = self.clone / "notebooks", self.server.runtime
            spare = Spare(str(launcher(self.clone)), folder, os.environ, runtime, "")
            try:
                await spare.warmed()
                info = connection()
                with socket.create_server(("127.0.0.1", info["stdin_port"])):
                    with pytest.raises(SpareFailed, match="the spare failed: .*in use"):
                        await spare.hand_over(info, "key")
                info = connection()
                await spare.hand_over(info, "key")
                client = BlockingKernelClient()
                client.load_connection_info({**info, "key": "key"})
                client.start_channels()
                try:
                    await asyncio.to_thread(client.wait_for_ready, timeout=LIMIT)
                finally:
                    client.stop_channels()
            finally:
                await spare.end()

        asyncio.run(take())

    def test_8_clone_moved(self):
        server = self.server
        assert wait_until(lambda: is_ready(server))
        spare = spare_of(server)
        self.clone.rename(self.clone.with_name("moved"))
        server.wait_for("thrown away: the course has changed", times=2)
        assert wait_until(lambda: gone(spare))
        assert server.process.poll() is None


def is_ready(server):
    """Whether the last that the server has said of spares is that one is ready."""
    said = server.said()
    ends = ("which was ready", "which is almost ready", "thrown away", "could be made")
    return said.rfind(READY) > max(map(said.rfind, ends))


def connection():
    """How to reach a kernel, at ports that are free."""
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    about = {"ip": "127.0.0.1", "transport": "tcp", "signature_scheme": "hmac-sha256"}
    return about | {name: ports.pick() for name in names}


def has_cargo(process):
    """Whether the process runs cargo just now; its children come and go."""
    with contextlib.suppress(psutil.Error):
        return any("cargo" in child.name() for child in process.children(recursive=True))
    return False


def has_folder(process):
    """Whether it is a kernel by now, and no longer a launcher that makes its folder."""
    with contextlib.suppress(OSError, psutil.Error):
        return is_kernel_program(process) and folder_of(process).is_dir()
    return False


def folder_of(process):
    """The build folder of a kernel, by the lock file that is its standard input."""
    return Path(os.readlink(f"/proc/{process.pid}/fd/0")).with_suffix("")


def kernelspec_for(clone):
    """A folder for JUPYTER_PATH, whose kernel is that of a copied clone."""
    course = CLONE / ".course/venv/share/jupyter/kernels/rust/kernel.json"
    spec = json.loads(course.read_text(encoding="utf-8"))
    spec["argv"][0] = str(launcher(clone))
    path = clone.parent / "jupyter"
    (path / "kernels/rust").mkdir(parents=True)
    (path / "kernels/rust/kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    return path


class FakeSpare:
    """A spare that says what it is told to."""

    def __init__(self, clone):
        self.environment = {"PATH": "/bin"}
        self.fingerprint = fingerprint.of_everything(clone)
        self.is_warm, self.is_well, self.has_ended = True, True, False

    def lives(self):
        return self.is_well

    async def hand_over(self, info, key):
        """Somebody who waits for this may give up."""
        await asyncio.sleep(60)

    async def end(self):
        self.has_ended = True


class Conditions(unittest.IsolatedAsyncioTestCase):
    """Who gets the spare, and why not."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="course-test-")
        self.addCleanup(temporary.cleanup)
        self.clone = Path(temporary.name, "clone")
        (self.clone / "notebooks").mkdir(parents=True)
        (self.clone / "helpers").mkdir()
        (self.clone / "helpers/lib.rs").write_text("")
        self.keeper = SpareKeeper(str(launcher(self.clone)))
        self.spare = self.keeper._spare = FakeSpare(self.clone)

    async def refused(self, environment):
        with pytest.raises(NoSpare) as caught:
            await self.keeper.take(environment)
        return str(caught.value)

    async def test_only_one_gets_it(self):
        assert await self.keeper.take({"PATH": "/bin"}) is self.spare
        assert "just been given away" in await self.refused({"PATH": "/bin"})

    async def test_another_environment(self):
        for other in ({"PATH": "/usr/bin"}, {}, {"PATH": "/bin", "RAYON_NUM_THREADS": "1"}):
            assert "environment differs" in await self.refused(other)
        # It is kept for somebody else.
        assert await self.keeper.take({"PATH": "/bin"}) is self.spare

    async def test_spare_that_has_died(self):
        self.spare.is_well = False
        assert "has died" in await self.refused({"PATH": "/bin"})
        assert self.spare.has_ended

    async def test_crate_edited(self):
        (self.clone / "helpers/lib.rs").write_text("// edited")
        assert "has changed" in await self.refused({"PATH": "/bin"})
        assert self.spare.has_ended

    async def test_crates_compiled_by_another_server(self):
        """The sources are the same. To compile them again would throw away the other's spare."""
        self.keeper.busy, self.keeper.must_remain, self.keeper.takes = 101.0, 0.0, 0.0
        self.keeper._made_from = fingerprint.of_sources(self.clone)
        (self.clone / ".course/warm").mkdir(parents=True)
        (self.clone / ".course/warm/stamp").write_text("of another library")
        with self.assertLogs(self.keeper.log, "WARNING"):
            assert "has changed" in await self.refused({"PATH": "/bin"})
        assert self.keeper._obstacle() == ""
        assert "somebody else" in self.keeper._why_not
        (self.clone / "helpers/lib.rs").write_text("// edited")
        assert self.keeper._obstacle() is None

    async def test_clone_moved(self):
        self.clone.rename(self.clone.with_name("moved"))
        assert "has changed" in await self.refused({"PATH": "/bin"})
        assert self.spare.has_ended

    async def test_rest_after_a_kernel_has_started(self):
        self.keeper._is_first = False
        self.keeper.busy = 101.0
        self.keeper.must_remain = 0.0
        self.keeper.takes = 0.0
        assert self.keeper._obstacle() is None
        self.keeper.kernel_started()
        assert self.keeper._obstacle() == ""

    async def test_what_failed_is_tried_again_later_or_when_it_has_changed(self):
        self.keeper.busy, self.keeper.must_remain, self.keeper.takes = 101.0, 0.0, 0.0
        with self.assertLogs(self.keeper.log, "WARNING"):
            self.keeper._give_up(fingerprint.of_sources(self.clone), OSError("disk full"))
        assert self.keeper._obstacle() == ""
        self.keeper._retry_at = time.monotonic()
        assert self.keeper._obstacle() is None
        self.keeper._retry_at = time.monotonic() + 300
        (self.clone / "helpers/lib.rs").write_text("// mended")
        assert self.keeper._obstacle() is None

    async def test_who_wanted_it_gives_up(self):
        provisioner, start = self.provisioner()
        taking = asyncio.ensure_future(provisioner._adopt(self.spare, start))
        await asyncio.sleep(0)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert self.spare.has_ended

    def provisioner(self, **manager):
        manager = KernelManager(connection_file=str(self.clone / "k.json"), **manager)
        provisioner = CourseProvisioner(parent=manager)
        provisioner.connection_info = manager.get_connection_info()
        return provisioner, {"env": {}, "cwd": str(self.clone / "notebooks")}

    async def objection(self, manager=None, **change):
        """What the provisioner finds to say against giving a spare to a kernel."""
        provisioner, start = self.provisioner(**manager or {})
        self.keeper.loop = asyncio.get_running_loop()
        command = [self.keeper.launcher, "kernel", os.path.realpath(self.clone / "k.json")]
        command = change.pop("command", command)
        return provisioner._objection(self.keeper, command, start | change)

    async def test_how_a_kernel_is_started(self):
        assert await self.objection() is None
        assert await self.objection({"ip": "127.0.0.2"}) is None
        assert "another folder" in await self.objection(cwd=str(self.clone))
        assert "command line" in await self.objection(command=["python"])
        assert "stdout" in await self.objection(stdout=1)
        encrypted = {"curve_publickey": b"public", "curve_secretkey": b"secret"}
        for manager in ({"transport": "ipc"}, encrypted):
            assert "protocol" in await self.objection(manager)


# A launcher whose spare says what it is told to. An empty line stands for the end.
FAKE = """\
#!/usr/bin/env python3
import os, socket, sys, time

place, says = sys.argv[2], os.environ["SAYS"].split("|")
if says != [""]:
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen()
    client, _ = server.accept()
    told = client.makefile("r")
    for word in says:
        if word == "listens":
            print(told.readline(), end="", file=open(os.environ["TOLD"], "w"))
        elif word == "hangs":
            time.sleep(600)
        else:
            client.sendall(word.encode() + b"\\n")
"""


class Talk(unittest.IsolatedAsyncioTestCase):
    """With a spare that is a few lines of Python."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="course-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.launcher, self.told = self.folder / "launcher", self.folder / "told"
        self.launcher.write_text(FAKE)
        self.launcher.chmod(0o700)

    async def spare(self, says, runtime=None):
        environment = os.environ | {"SAYS": says, "TOLD": str(self.told)}
        runtime = runtime or self.folder / "runtime"
        spare = Spare(str(self.launcher), self.folder, environment, runtime, "")
        self.addAsyncCleanup(spare.end)
        return spare

    async def test_warm_and_handed_over(self):
        spare = await self.spare("warm|listens|bound")
        await spare.warmed()
        assert spare.is_warm and spare.lives()
        # Nobody else can talk to it from now on.
        assert list((self.folder / "runtime").iterdir()) == []
        await spare.hand_over({"ip": "127.0.0.1", "key": b"bytes"}, "key")
        assert json.loads(self.told.read_text()) == {"ip": "127.0.0.1", "key": "key"}

    async def test_handed_over_before_it_is_warm(self):
        spare = await self.spare("listens|warm|bound")
        waiting = asyncio.ensure_future(spare.warmed())
        await spare.hand_over({}, "key")
        assert not spare.is_warm
        with pytest.raises(SpareFailed):
            await waiting

    async def test_says_why_it_cannot(self):
        spare = await self.spare("warm|listens|failed: no such port|hangs")
        with pytest.raises(SpareFailed, match="^the spare failed: no such port$"):
            await spare.hand_over({}, "key")

    async def test_says_nothing(self):
        spare = await self.spare("warm|hangs")
        await spare.warmed()
        with unittest.mock.patch("course_kernel.spare.PATIENCE", 0.2):
            with pytest.raises(SpareFailed, match="does not answer"):
                await spare.hand_over({}, "key")

    async def test_never_warm(self):
        spare = await self.spare("hangs")
        with unittest.mock.patch("course_kernel.spare.LONGEST_WARM_UP", 0.2):
            with pytest.raises(SpareFailed, match="not warm after"):
                await spare.warmed()

    async def test_ends(self):
        for says, why in (("", "ended as it began"), ("nonsense", "to its end")):
            spare = await self.spare(says)
            with pytest.raises(SpareFailed, match=why):
                await spare.warmed()
            assert await asyncio.to_thread(wait_until, lambda: not spare.lives())
        spare = await self.spare("warm|listens")
        with pytest.raises(SpareFailed, match="has died"):
            await spare.hand_over({}, "key")

    async def test_ended_by_us(self):
        spare = await self.spare("warm|hangs")
        waiting = asyncio.ensure_future(spare.warmed())
        await spare.end()
        assert spare.process.poll() is not None
        with contextlib.suppress(SpareFailed):
            await waiting
        assert list((self.folder / "runtime").iterdir()) == []

    async def test_runtime_folder_with_a_long_path(self):
        runtime = self.folder / ("long" * 30)
        spare = await self.spare("warm|hangs", runtime)
        place = spare._place.parent
        assert place.stat().st_mode & 0o777 == 0o700
        await spare.warmed()
        assert not place.exists()
        assert list(runtime.iterdir()) == []


class Memory:
    """What a container grants; `left_in_groups` is told where that is written."""

    def left(self, groups, files):
        with tempfile.TemporaryDirectory(prefix="course-test-") as folder:
            root = Path(folder)
            (root / "groups").write_text(groups)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return list(left_in_groups(root / "groups", root))

    def test_container(self):
        stat = "anon 700\nfile 9000\nshmem 100\n"
        files = {"memory.max": "4000\n", "memory.stat": stat}
        assert self.left("0::/\n", files) == [3200]

    def test_group_within_a_group(self):
        files = {
            "user/memory.max": "5000",
            "user/memory.stat": "anon 1000\n",
            "user/me/memory.max": "max",
            "user/me/memory.stat": "anon 10\n",
        }
        assert self.left("0::/user/me\n", files) == [4000]

    def test_older_kernels_of_linux(self):
        files = {
            "memory/a/memory.limit_in_bytes": "300",
            "memory/a/memory.stat": "cache 5\nrss 1\ntotal_rss 50\n",
        }
        groups = "3:cpu:/a\n2:memory:/a\n0::/\n"
        assert self.left(groups, files) == [250]

    def test_no_limit_anywhere(self):
        assert self.left("0::/\n", {}) == []
        assert list(left_in_groups(Path("/none"), Path("/none"))) == []


class Without:
    """Where there are no spares, all is as ever."""

    def test_switched_off(self):
        with Server(*ONE, COURSE_SPARE_KERNEL="0") as server:
            server.wait_for("No spare kernel is kept: COURSE_SPARE_KERNEL is 0")
            server.open_notebook()
            assert len(kernels_of(server)) == 1

    def test_too_little_memory(self):
        with Server(*ONE, "--SpareKeeper.must_remain=1000000") as server:
            server.wait_for("less than 1000000.0 GiB of memory would remain")
            assert kernels_of(server) == []

    def test_client_without_provisioners(self, request):
        """VS Code reads the kernelspec, and starts its command line by itself."""
        for spec in ("venv/share/jupyter/kernels/rust", "kernelspec/rust"):
            spec = json.loads((CLONE / ".course" / spec / "kernel.json").read_text())
            assert spec["argv"] == [str(launcher()), "kernel", "{connection_file}"]
        assert "metadata" not in spec
        manager = KernelManager()
        manager._kernel_spec = KernelSpec(**spec)
        manager.start_kernel(cwd=CLONE / "notebooks")
        request.addfinalizer(lambda: manager.shutdown_kernel(now=True))
        assert type(manager.provisioner).__name__ == "LocalProvisioner"
        client = manager.client()
        client.start_channels()
        request.addfinalizer(client.stop_channels)
        client.wait_for_ready(timeout=LIMIT)

    def test_program_that_is_killed_takes_its_kernel_along(self):
        """`cargo xtask notebooks` and the like: no server, but the provisioner."""
        program = (
            "import time, jupyter_client as j; k = j.KernelManager(kernel_name='rust');"
            "k.start_kernel(); print(k.provisioner.pid, flush=True); time.sleep(600)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with process:
            kernel = psutil.Process(int(process.stdout.readline()))
            assert wait_until(lambda: is_kernel_program(kernel))
            process.kill()
            assert wait_until(lambda: gone(kernel))

    def test_compiling_in_the_background_ends_with_its_server(self):
        with tempfile.TemporaryDirectory(prefix="course-test-") as folder:
            clone = copy_of_clone(Path(folder, "clone"), warm=False)
            (clone / ".course/venv").symlink_to(CLONE / ".course/venv")
            far_end, end = os.pipe()
            refresh = subprocess.Popen(
                [launcher(clone), "refresh"],
                stdin=far_end,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | {VARIABLE: "1"},
                start_new_session=True,
            )
            os.close(far_end)
            process = psutil.Process(refresh.pid)
            compiles = wait_until(lambda: has_cargo(process), LIMIT)
            processes = process.children(recursive=True)
            os.close(end)
            assert compiles
            refresh.wait(LIMIT)
            assert wait_until(lambda: all(map(gone, processes))), processes
