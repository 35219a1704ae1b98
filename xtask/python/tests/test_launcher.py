"""The course's kernel: a build folder of its own that goes with it, anywhere, without a network."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from kernels import cells
from kernels.clone import NO_NETWORK, launcher
from kernels.copies import copy_of_clone
from kernels.kernel import build_folder, course_kernel
from kernels.waiting import wait_until


def use_pool(kernel):
    kernel.run(cells.LOAD)
    return kernel.run(cells.FIRST_POOL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
class BuildFolders:
    """Two kernels at once; each test goes on where the one before it has ended."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        # Both start before one is waited for.
        cls.kernels = [course_kernel(), course_kernel()]
        with closing(cls.kernels[0]), closing(cls.kernels[1]):
            for kernel in cls.kernels:
                kernel.wait_until_ready()
            cls.folders = [build_folder(kernel) for kernel in cls.kernels]
            yield

    def test_1_each_has_its_own(self):
        assert len(set(self.folders)) == 2
        assert all(folder.is_dir() for folder in self.folders)
        for kernel in self.kernels:
            assert use_pool(kernel) == cells.FIRST_RESULT

    def test_2_next_kernel_sweeps_what_a_crash_left(self):
        folder = self.folders[0]
        left = folder.with_name("left-by-a-crash")
        with open(left.with_suffix(".lock"), "w") as lock:
            # Other tests start kernels too, which would sweep it half made.
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.copytree(folder / "anchor", left / "anchor")
        with course_kernel():
            assert not left.exists()
            assert not left.with_suffix(".lock").exists()
            assert folder.is_dir(), "a folder in use was swept"

    def test_3_one_that_is_killed_leaves_nothing(self):
        folder = self.folders[0]
        os.kill(self.kernels[0].manager.provisioner.pid, signal.SIGKILL)
        assert wait_until(lambda: not folder.exists()), f"{folder} is still there"
        assert wait_until(lambda: not folder.with_suffix(".lock").exists())
        assert self.folders[1].is_dir(), "the other one's folder is gone"

    def test_4_one_that_is_shut_down_leaves_nothing(self):
        folder = self.folders[1]
        self.kernels[1].manager.shutdown_kernel(now=True)
        assert wait_until(lambda: not folder.exists()), f"{folder} is still there"


class Places:
    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory(prefix="course-test-") as temporary:
            self.folder = Path(temporary)
            yield

    def test_path_with_spaces_and_letters_and_no_network(self, request):
        clone = self.folder / "Kurs für Ødegård 並列"
        clone.mkdir()
        copy_of_clone(clone, warm=True)
        with course_kernel(clone, **NO_NETWORK) as kernel:
            assert use_pool(kernel) == cells.FIRST_RESULT
            if sys.platform == "linux":
                kernels = build_folder(kernel).parent
                assert " " not in str(kernels)
                request.addfinalizer(lambda: shutil.rmtree(kernels, ignore_errors=True))

    def test_no_warm_folder(self):
        clone = copy_of_clone(self.folder, warm=False)
        with course_kernel(clone) as kernel:
            assert kernel.run("1 + 1") == "2"

    def test_desktop_that_does_not_know_where_rust_is(self):
        rust = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "bin/rustc")
        if not rust.is_file():
            pytest.skip("Rust is not where rustup puts it")
        folders = os.environ["PATH"].split(os.pathsep)
        known = [folder for folder in folders if not Path(folder, "rustc").is_file()]
        with course_kernel(PATH=os.pathsep.join(known)) as kernel:
            assert kernel.run("1 + 1") == "2"

    def test_machine_without_rust(self):
        environment = os.environ | {"PATH": str(self.folder), "CARGO_HOME": str(self.folder)}
        result = subprocess.run(
            [launcher(), "kernel", "none.json"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 1
        assert "rustc, is not on PATH" in result.stderr
        assert "https://rustup.rs" in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr

    def test_folder_that_cannot_be_written(self):
        clone = copy_of_clone(self.folder, warm=False)
        (clone / ".course/kernels").touch()
        result = subprocess.run(
            [launcher(clone), "kernel", "none.json"], capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 1
        assert f"cannot write in {clone.resolve()}/.course/kernels" in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr
