"""The course's kernel: a build folder of its own that goes with it, anywhere, without a network."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from kernels import cells
from kernels.clone import NO_NETWORK, launcher
from kernels.copies import copy_of_clone
from kernels.kernel import build_folder, course_kernel
from kernels.waiting import wait_until


def use_pool(kernel):
    kernel.run(cells.LOAD)
    return kernel.run(cells.FIRST_POOL)


@unittest.skipUnless(sys.platform == "linux", "looks into /proc")
class BuildFolders(unittest.TestCase):
    """Two kernels at once; each test goes on where the one before it has ended."""

    @classmethod
    def setUpClass(cls):
        # Both start before one is waited for.
        cls.kernels = [course_kernel(), course_kernel()]
        for kernel in cls.kernels:
            cls.addClassCleanup(kernel.__exit__)
        for kernel in cls.kernels:
            kernel.wait_until_ready()
        cls.folders = [build_folder(kernel) for kernel in cls.kernels]

    def test_1_each_has_its_own(self):
        self.assertEqual(len(set(self.folders)), 2)
        self.assertTrue(all(folder.is_dir() for folder in self.folders))
        for kernel in self.kernels:
            self.assertEqual(use_pool(kernel), cells.FIRST_RESULT)

    def test_2_next_kernel_sweeps_what_a_crash_left(self):
        folder = self.folders[0]
        left = folder.with_name("left-by-a-crash")
        with open(left.with_suffix(".lock"), "w") as lock:
            # Other tests start kernels too, which would sweep it half made.
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.copytree(folder / "anchor", left / "anchor")
        with course_kernel():
            self.assertFalse(left.exists())
            self.assertFalse(left.with_suffix(".lock").exists())
            self.assertTrue(folder.is_dir(), "a folder in use was swept")

    def test_3_one_that_is_killed_leaves_nothing(self):
        folder = self.folders[0]
        os.kill(self.kernels[0].manager.provisioner.pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not folder.exists()), f"{folder} is still there")
        self.assertTrue(wait_until(lambda: not folder.with_suffix(".lock").exists()))
        self.assertTrue(self.folders[1].is_dir(), "the other one's folder is gone")

    def test_4_one_that_is_shut_down_leaves_nothing(self):
        folder = self.folders[1]
        self.kernels[1].manager.shutdown_kernel(now=True)
        self.assertTrue(wait_until(lambda: not folder.exists()), f"{folder} is still there")


class Places(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="course-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def test_path_with_spaces_and_letters_and_no_network(self):
        clone = self.folder / "Kurs für Ødegård 並列"
        clone.mkdir()
        copy_of_clone(clone, warm=True)
        with course_kernel(clone, **NO_NETWORK) as kernel:
            self.assertEqual(use_pool(kernel), cells.FIRST_RESULT)
            if sys.platform == "linux":
                kernels = build_folder(kernel).parent
                self.assertNotIn(" ", str(kernels))
                self.addCleanup(shutil.rmtree, kernels, ignore_errors=True)

    def test_no_warm_folder(self):
        clone = copy_of_clone(self.folder, warm=False)
        with course_kernel(clone) as kernel:
            self.assertEqual(kernel.run("1 + 1"), "2")

    def test_desktop_that_does_not_know_where_rust_is(self):
        rust = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "bin/rustc")
        if not rust.is_file():
            self.skipTest("Rust is not where rustup puts it")
        folders = os.environ["PATH"].split(os.pathsep)
        known = [folder for folder in folders if not Path(folder, "rustc").is_file()]
        with course_kernel(PATH=os.pathsep.join(known)) as kernel:
            self.assertEqual(kernel.run("1 + 1"), "2")

    def test_machine_without_rust(self):
        environment = os.environ | {"PATH": str(self.folder), "CARGO_HOME": str(self.folder)}
        result = subprocess.run(
            [launcher(), "kernel", "none.json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn("rustc, is not on PATH", result.stderr)
        self.assertIn("https://rustup.rs", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_folder_that_cannot_be_written(self):
        clone = copy_of_clone(self.folder, warm=False)
        (clone / ".course/kernels").touch()
        result = subprocess.run(
            [launcher(clone), "kernel", "none.json"], capture_output=True, text=True, timeout=60
        )
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"cannot write in {clone.resolve()}/.course/kernels", result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
