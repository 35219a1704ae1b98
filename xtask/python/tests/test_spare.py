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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import websocket
from course_kernel import fingerprint
from course_kernel.forwarder import Forwarder
from course_kernel.keeper import NoSpare, SpareKeeper
from course_kernel.lifeline import VARIABLE
from course_kernel.memory import left_in_groups
from course_kernel.provisioner import CourseProvisioner
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

import cells
from clone import (
    CLONE,
    copy_of_clone,
    is_kernel_program,
    launcher,
    small_copy,
    wait_until,
)
from server import Server

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
# What a cell sees of where it runs.
ENVIRONMENT = """\
let mut names: Vec<String> = std::env::vars()
    .filter(|(name, _)| !name.starts_with("JPY_") && !name.starts_with("EVCXR_"))
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


def gone(process):
    """Whether it has ended; it may do so between any two looks at it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def number(kernel, code):
    """The number that a cell gets."""
    reply = kernel.client.execute_interactive(
        code, allow_stdin=False, timeout=60, output_hook=lambda _: None
    )
    return reply["content"]["execution_count"]


@unittest.skipUnless(sys.platform == "linux", "looks into /proc")
class Life(unittest.TestCase):
    """Two servers on one clone; each test goes on where the one before it has ended."""

    @classmethod
    def setUpClass(cls):
        cls.server, cls.other = (Server(*options).start(cls) for options in (AT_ONCE, ONE))

    def test_1_each_server_has_a_spare(self):
        self.server.wait_for_spare()
        self.other.wait_for_spare()
        self.assertNotEqual(spare_of(self.server), spare_of(self.other))

    def test_2_neither_another_folder_nor_a_spare_that_hangs(self):
        """These kernels start the ordinary way."""
        elsewhere = self.other.open_notebook("elsewhere.ipynb", folder="assets")
        self.other.wait_for("starts the ordinary way: it runs in another folder", 5)
        elsewhere.end()
        os.kill(spare_of(self.other).pid, signal.SIGSTOP)
        type(self).fresh = self.other.open_notebook("fresh.ipynb")
        self.other.wait_for("starts the ordinary way: the spare does not answer", 5)
        self.fresh.wait_until_ready()
        self.assertEqual(len(kernels_of(self.other)), 1)

    def test_3_the_spare_is_like_a_fresh_kernel(self):
        type(self).running = spare_of(self.server)
        type(self).kernel = kernel = self.server.open_notebook("one.ipynb")
        self.server.wait_for("is the spare, which was ready", 5)
        kernel.wait_until_ready()
        self.assertEqual(number(kernel, "1"), number(self.fresh, "1"))
        here, there = kernel.run(ENVIRONMENT), self.fresh.run(ENVIRONMENT)
        self.assertEqual(here, there.replace(str(self.other.runtime), str(self.server.runtime)))
        self.assertNotIn("COURSE_KERNEL", here)
        kernel.run("drop(names);")
        self.assertEqual(kernel.run(":vars").strip(), "")
        # The crate is there, but nothing is imported from it until a cell does.
        self.assertIn("Pool", kernel.problems("Pool::new(1)?;"))
        self.assertEqual(kernel.model()["execution_state"], "idle")

    def test_4_first_cells_and_interrupt(self):
        kernel = self.kernel
        kernel.run(cells.LOAD)
        self.assertEqual(kernel.run(cells.FIRST_POOL), cells.FIRST_RESULT)
        self.assertIn("<img", kernel.outputs(PLOT)["text/html"])
        asked = kernel.client.execute("std::thread::sleep(std::time::Duration::from_secs(600));")
        time.sleep(2)
        kernel.interrupt()
        while kernel.client.get_shell_msg(timeout=30)["parent_header"]["msg_id"] != asked:
            pass
        self.assertEqual(kernel.run("6 * 7"), "42")

    def test_5_a_restart_takes_the_next_spare(self):
        """Those who talked to the old kernel talk to the new one."""
        server, kernel, running = self.server, self.kernel, self.running
        page = websocket.create_connection(
            f"{server.url.replace('http', 'ws')}/api/kernels/{kernel.id}/channels",
            header=[f"Authorization: token {server.token}"],
            timeout=60,
        )
        self.addCleanup(page.close)
        for times in (2, 3):
            server.wait_for_spare(times=times)
            [spare] = [process for process in kernels_of(server) if process != running]
            kernel.run("let kept = 5;")
            if times == 2:
                kernel.restart()
            else:
                # Killed, say by the system for want of memory: Jupyter starts another by itself.
                os.killpg(running.pid, signal.SIGKILL)
            server.wait_for("is the spare, which was ready", 10, times=times)
            kernel.wait_for_answer(20)
            self.assertIn("kept", kernel.problems("kept"))
            self.assertEqual(kernel.run("1 + 1"), "2")
            self.assertEqual(ask_page(page, f"40 + {times}"), str(40 + times))
            self.assertTrue(gone(running), "the kernel that was restarted still runs")
            running = spare
        # No spare is ready yet, or just is; then a kernel comes to where the spare was.
        kernel.restart()
        kernel.wait_for_answer(60)
        self.assertEqual(kernel.run("1 + 2"), "3")
        self.assertEqual(ask_page(page, "2 + 2"), "4")

    def test_6_nothing_is_left_when_servers_end(self):
        self.assertTrue(wait_until(lambda: len(kernels_of(self.server)) == 2))
        processes = kernels_of(self.server) + kernels_of(self.other)
        self.assertEqual(len(processes), 3, processes)
        self.assertTrue(wait_until(lambda: all(has_folder(process) for process in processes)))
        folders = [folder_of(process) for process in processes]
        self.server.end(signal.SIGKILL)
        self.other.end(signal.SIGTERM)
        self.kernel.close()
        self.fresh.close()
        for process, folder in zip(processes, folders):
            self.assertTrue(wait_until(lambda: gone(process)), f"{process} still runs")
            self.assertTrue(wait_until(lambda: not folder.exists()), f"{folder} is left")
        for server in (self.server, self.other):
            self.assertFalse(list(server.runtime.glob("spare-*")))


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


@unittest.skipUnless(sys.platform == "linux", "looks into /proc")
class Faults(unittest.TestCase):
    """One server that has bad luck; each test goes on where the one before it has ended.

    Its clone is one of its own, whose crate is so small that a spare is soon warm.
    """

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="course-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.clone = small_copy(Path(folder.name, "clone"))
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
        cls.server = server.start(cls)

    def assert_first_cells_run(self, kernel):
        kernel.run(cells.LOAD)
        self.assertEqual(kernel.run("answer(2)"), "42")

    def test_1_full_disk(self):
        """A limit on the size of files is to a launcher what a full disk is."""
        server, kernels = self.server, self.clone / ".course/kernels"
        before = set(kernels.iterdir())
        limit = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (100_000, limit[1]))
        server.wait_for("No spare kernel could be made", 60)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limit)
        self.assertTrue(wait_until(lambda: set(kernels.iterdir()) <= before))
        with server.open_notebook("full.ipynb") as kernel:
            server.wait_for("starts the ordinary way: no spare could be made", 5)
            self.assertEqual(kernel.run("1 + 1"), "2")

    def test_2_opened_before_the_spare_is_warm(self):
        server = self.server
        self.assertTrue(wait_until(lambda: kernels_of(server)), "it is never tried again")
        with server.open_notebook("early.ipynb") as kernel:
            server.wait_for("is the spare, which is almost ready", 5)
            self.assert_first_cells_run(kernel)
            # The next one, which is not warm either.
            self.assertTrue(wait_until(lambda: len(kernels_of(server)) == 2))

    def test_3_killed_while_it_is_handed_over(self):
        server = self.server
        spare = spare_of(server)
        # Given away before it is warm, it is ended when somebody has it.
        with ThreadPoolExecutor(1) as threads:
            opening = threads.submit(server.open_notebook, "killed.ipynb")
            server.wait_for("is the spare, which is almost ready", 20, times=2)
            os.killpg(spare.pid, signal.SIGKILL)
            server.wait_for("starts the ordinary way: what warms it up did not run", 20)
            kernel = opening.result()
        with kernel:
            self.assertEqual(kernel.run("1 + 1"), "2")
            self.assertNotIn("restarting kernel", server.said())

    def test_4_ten_notebooks_at_once(self):
        server = self.server
        server.wait_for_spare()
        with ThreadPoolExecutor(10) as threads:
            names = [f"{letter}.ipynb" for letter in "abcdefghij"]
            kernels = list(threads.map(server.open_notebook, names))

            def use(kernel):
                with kernel:
                    return kernel.run("1 + 1")

            results = list(threads.map(use, kernels))
        self.assertEqual(results, ["2"] * 10)
        said = server.said()
        self.assertEqual(said.count("is the spare, which was ready"), 1, said)
        self.assertEqual(said.count("is the spare, which is almost ready"), 2, said)

    def test_5_nothing_is_left_but_the_next_spare(self):
        server = self.server
        self.assertTrue(wait_until(lambda: len(kernels_of(server)) <= 1))
        self.assertFalse(list(server.runtime.glob("kernel-*.json")))
        self.assertLessEqual(len(list(server.runtime.glob("spare-*.json"))), 1)

    def test_6_crate_broken_by_an_edit(self):
        server, lib = self.server, self.clone / "helpers/src/lib.rs"
        server.wait_for_spare(times=2)
        spare = spare_of(server)
        whole = lib.read_text(encoding="utf-8")
        lib.write_text(whole + "fn broken_by_an_edit() -> u8 { true }\n", encoding="utf-8")
        server.wait_for("thrown away: the course has changed", 10)
        self.assertTrue(wait_until(lambda: gone(spare)))
        server.wait_for("No spare kernel could be made: the crates could not", 120)
        with server.open_notebook("broken.ipynb") as kernel:
            self.assertIn("mismatched types", kernel.problems(cells.LOAD))
            # The kernel lives, and the crate can be mended.
            self.assertEqual(kernel.run("1 + 1"), "2")
        lib.write_text(whole, encoding="utf-8")
        server.wait_for_spare(times=3)
        with server.open_notebook("mended.ipynb") as kernel:
            server.wait_for("is the spare, which was ready", 5, times=2)
            self.assert_first_cells_run(kernel)

    def test_7_clone_moved(self):
        server = self.server
        server.wait_for_spare(times=4)
        spare = spare_of(server)
        self.clone.rename(self.clone.with_name("moved"))
        server.wait_for("thrown away: the course has changed", 10, times=2)
        self.assertTrue(wait_until(lambda: gone(spare)))
        self.assertIsNone(server.process.poll())


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

    async def answers(self):
        return self.is_well

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
        with self.assertRaises(NoSpare) as caught:
            await self.keeper.take(environment)
        return str(caught.exception)

    async def test_only_one_gets_it(self):
        self.assertIs(await self.keeper.take({"PATH": "/bin"}), self.spare)
        self.assertIn("just been given away", await self.refused({"PATH": "/bin"}))

    async def test_another_environment(self):
        for other in ({"PATH": "/usr/bin"}, {}, {"PATH": "/bin", "RAYON_NUM_THREADS": "1"}):
            self.assertIn("environment differs", await self.refused(other))
        # It is kept for somebody else.
        self.assertIs(await self.keeper.take({"PATH": "/bin"}), self.spare)

    async def test_spare_that_does_not_answer(self):
        self.spare.is_well = False
        self.assertIn("does not answer", await self.refused({"PATH": "/bin"}))
        self.assertTrue(self.spare.has_ended)

    async def test_crate_edited(self):
        (self.clone / "helpers/lib.rs").write_text("// edited")
        self.assertIn("has changed", await self.refused({"PATH": "/bin"}))
        self.assertTrue(self.spare.has_ended)

    async def test_crates_compiled_by_another_server(self):
        """The sources are the same. To compile them again would throw away the other's spare."""
        self.keeper.busy, self.keeper.must_remain, self.keeper.takes = 101.0, 0.0, 0.0
        self.keeper._made_from = fingerprint.of_sources(self.clone)
        (self.clone / ".course/warm").mkdir(parents=True)
        (self.clone / ".course/warm/stamp").write_text("of another library")
        with self.assertLogs(self.keeper.log, "WARNING"):
            self.assertIn("has changed", await self.refused({"PATH": "/bin"}))
        self.assertEqual(self.keeper._obstacle(), "")
        self.assertIn("somebody else", self.keeper._why_not)
        (self.clone / "helpers/lib.rs").write_text("// edited")
        self.assertIsNone(self.keeper._obstacle())

    async def test_clone_moved(self):
        self.clone.rename(self.clone.with_name("moved"))
        self.assertIn("has changed", await self.refused({"PATH": "/bin"}))
        self.assertTrue(self.spare.has_ended)

    async def test_rest_after_a_kernel_has_started(self):
        self.keeper._is_first = False
        self.keeper.busy = 101.0
        self.keeper.must_remain = 0.0
        self.keeper.takes = 0.0
        self.assertIsNone(self.keeper._obstacle())
        self.keeper.kernel_started()
        self.assertEqual(self.keeper._obstacle(), "")

    async def test_what_failed_is_tried_again_later_or_when_it_has_changed(self):
        self.keeper.busy, self.keeper.must_remain, self.keeper.takes = 101.0, 0.0, 0.0
        with self.assertLogs(self.keeper.log, "WARNING"):
            self.keeper._give_up(fingerprint.of_sources(self.clone), OSError("disk full"))
        self.assertEqual(self.keeper._obstacle(), "")
        self.keeper._retry_at = time.monotonic()
        self.assertIsNone(self.keeper._obstacle())
        self.keeper._retry_at = time.monotonic() + 300
        (self.clone / "helpers/lib.rs").write_text("// mended")
        self.assertIsNone(self.keeper._obstacle())

    async def test_who_wanted_it_gives_up(self):
        async def answers():
            await asyncio.sleep(60)

        self.spare.answers = answers
        taking = asyncio.ensure_future(self.keeper.take({"PATH": "/bin"}))
        await asyncio.sleep(0)
        taking.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await taking
        self.assertTrue(self.spare.has_ended)

    async def objection(self, **change):
        """What the provisioner finds to say against giving a spare to a kernel."""
        manager = KernelManager(
            connection_file=str(self.clone / "k.json"), ip=change.pop("ip", "127.0.0.1")
        )
        provisioner = CourseProvisioner(parent=manager)
        manager.session.key = change.pop("key", self.keeper.key)
        provisioner.connection_info = manager.get_connection_info()
        self.keeper.loop = asyncio.get_running_loop()
        command = [self.keeper.launcher, "kernel", os.path.realpath(self.clone / "k.json")]
        command = change.pop("command", command)
        start = {"env": {}, "cwd": str(self.clone / "notebooks"), **change}
        return provisioner._objection(self.keeper, command, start)

    async def test_how_a_kernel_is_started(self):
        self.assertIsNone(await self.objection())
        self.assertIn("another folder", await self.objection(cwd=str(self.clone)))
        self.assertIn("command line", await self.objection(command=["python"]))
        self.assertIn("another key", await self.objection(key=b"another"))
        self.assertIn("protocol", await self.objection(ip="127.0.0.2"))
        self.assertIn("stdout", await self.objection(stdout=1))


class Memory(unittest.TestCase):
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
        self.assertEqual(self.left("0::/\n", files), [3200])

    def test_group_within_a_group(self):
        files = {
            "user/memory.max": "5000",
            "user/memory.stat": "anon 1000\n",
            "user/me/memory.max": "max",
            "user/me/memory.stat": "anon 10\n",
        }
        self.assertEqual(self.left("0::/user/me\n", files), [4000])

    def test_older_kernels_of_linux(self):
        files = {
            "memory/a/memory.limit_in_bytes": "300",
            "memory/a/memory.stat": "cache 5\nrss 1\ntotal_rss 50\n",
        }
        groups = "3:cpu:/a\n2:memory:/a\n0::/\n"
        self.assertEqual(self.left(groups, files), [250])

    def test_no_limit_anywhere(self):
        self.assertEqual(self.left("0::/\n", {}), [])
        self.assertEqual(list(left_in_groups(Path("/none"), Path("/none"))), [])


class Ports(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        async def shout(reader, writer):
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()

        self.there = await asyncio.start_server(shout, "127.0.0.1", 0)
        self.addAsyncCleanup(self.close)
        self.port = self.there.sockets[0].getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.here = free.getsockname()[1]

    async def close(self):
        self.there.close()

    async def test_bytes_pass_both_ways_until_it_closes(self):
        forwarder = await Forwarder.open("127.0.0.1", {self.here: self.port})
        reader, writer = await asyncio.open_connection("127.0.0.1", self.here)
        writer.write(b"hello\n")
        self.assertEqual(await reader.readline(), b"HELLO\n")
        await asyncio.wait_for(forwarder.close(), 5)
        # The client sees the end, and the port is free for a kernel.
        self.assertEqual(await asyncio.wait_for(reader.read(), 5), b"")
        writer.close()
        socket.create_server(("127.0.0.1", self.here)).close()

    async def test_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            ports = {self.here: self.port, taken.getsockname()[1]: self.port}
            with self.assertRaises(OSError):
                await Forwarder.open("127.0.0.1", ports)
        socket.create_server(("127.0.0.1", self.here)).close()

    async def test_kernel_that_is_gone(self):
        self.there.close()
        await self.there.wait_closed()
        forwarder = await Forwarder.open("127.0.0.1", {self.here: self.port})
        reader, writer = await asyncio.open_connection("127.0.0.1", self.here)
        self.assertEqual(await asyncio.wait_for(reader.read(), 5), b"")
        writer.close()
        await forwarder.close()


class Without(unittest.TestCase):
    """Where there are no spares, all is as ever."""

    def test_switched_off(self):
        with Server(*ONE, COURSE_SPARE_KERNEL="0") as server:
            server.wait_for("No spare kernel is kept: COURSE_SPARE_KERNEL is 0", 10)
            server.open_notebook()
            self.assertEqual(len(kernels_of(server)), 1)

    def test_too_little_memory(self):
        with Server(*ONE, "--SpareKeeper.must_remain=1000000") as server:
            server.wait_for("less than 1000000.0 GiB of memory would remain", 10)
            self.assertEqual(kernels_of(server), [])

    def test_client_without_provisioners(self):
        """VS Code reads the kernelspec, and starts its command line by itself."""
        for spec in ("venv/share/jupyter/kernels/rust", "kernelspec/rust"):
            spec = json.loads((CLONE / ".course" / spec / "kernel.json").read_text())
            self.assertEqual(spec["argv"], [str(launcher()), "kernel", "{connection_file}"])
        self.assertNotIn("metadata", spec)
        manager = KernelManager()
        manager._kernel_spec = KernelSpec(**spec)
        manager.start_kernel(cwd=CLONE / "notebooks")
        self.addCleanup(manager.shutdown_kernel, now=True)
        self.assertEqual(type(manager.provisioner).__name__, "LocalProvisioner")
        client = manager.client()
        client.start_channels()
        self.addCleanup(client.stop_channels)
        client.wait_for_ready(timeout=120)

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
            self.assertTrue(wait_until(lambda: is_kernel_program(kernel), 20))
            process.kill()
            self.assertTrue(wait_until(lambda: gone(kernel)))

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
            compiles = wait_until(lambda: has_cargo(process), 120)
            processes = process.children(recursive=True)
            os.close(end)
            self.assertTrue(compiles)
            refresh.wait(20)
            self.assertTrue(wait_until(lambda: all(map(gone, processes))), processes)
