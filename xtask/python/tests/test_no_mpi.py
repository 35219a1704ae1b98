"""A machine without an MPI library: what the set-up says, and what a cell that needs one says."""

import os
import re
import shutil
import subprocess
import tempfile
import venv
from pathlib import Path

import pytest

from kernels import cells
from kernels.clone import CLONE, NO_NETWORK, launcher
from kernels.copies import copy_of_clone, small_copy
from kernels.kernel import course_kernel

# Nobody listens there. That is what pip finds on a machine without a network.
NO_PACKAGES = {"PIP_INDEX_URL": "http://127.0.0.1:1/simple", "PIP_RETRIES": "0"}
# Compiling small crates on a slow machine.
LONGEST = 300


def lend_packages(clone):
    """Gives a copy of the clone the Python packages of this one, as if they were installed there."""
    own, ours = clone / ".course/venv", CLONE / ".course/venv"
    venv.create(own, with_pip=False)
    [packages] = own.glob("lib/python*/site-packages")
    [lent] = ours.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(f"{lent}\n")
    (own / "clone").write_text(str(own.resolve()))
    for mark in ["packages", "test-packages", "provisioner"]:
        shutil.copy2(ours / mark, own / mark)
    for list_of_packages in CLONE.glob("requirements*.txt"):
        shutil.copy2(list_of_packages, clone)


@pytest.mark.skipif(shutil.which("mpicc"), reason="the system has an MPI library")
class NoLibrary:
    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory(prefix="course-test-") as temporary:
            self.folder = Path(temporary).resolve()
            yield

    def assert_says_what_to_do(self, kernel):
        """A cell that needs MPI fails in a few words."""
        said = kernel.problems(cells.LOAD_MPI).splitlines()
        # Which crates are being compiled is told by all cells.
        said = [line for line in said if not re.match(r" *Compiling \S+ v", line)]
        assert said == [
            "helpers-mpi cannot be used: there is no MPI library. In a terminal, in the folder "
            "of the course, run: cargo xtask setup",
            "Then restart the kernel.",
        ]

    def test_library_that_is_gone(self):
        """Where crates were compiled with a library, one is needed all the same."""
        clone = copy_of_clone(self.folder, warm=True)
        with course_kernel(clone, **NO_NETWORK) as kernel:
            kernel.run(cells.LOAD)
            assert kernel.run(cells.FIRST_POOL) == cells.FIRST_RESULT
            self.assert_says_what_to_do(kernel)
            assert kernel.run("squares.len()") == "3"

    def run_course(self, *arguments, **more):
        environment = {name: value for name, value in os.environ.items() if name != "CI"}
        result = subprocess.run(
            [launcher(self.folder), *arguments],
            env=environment | NO_PACKAGES | more,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def test_library_that_cannot_be_installed(self):
        """All else is set up, and each command says what is missing and what to do."""
        clone = small_copy(self.folder)
        lend_packages(clone)
        said = self.run_course("setup")
        assert "Open MPI could not be installed, so lesson 05 will not run" in said
        assert "cargo xtask setup" in said
        # What was in vain is tried again only by who asks for it.
        said = self.run_course("test", "mpi")
        assert "Installing" not in said
        assert re.search(
            r"mpi +[\d.]+ s +[\d.]+ s +\d+ +skipped: .*no MPI library.*cargo xtask setup", said
        )
        assert "0 passed, 0 failed, 1 skipped" in said
        said = self.run_course("doctor")
        assert re.search(r"MPI library +absent .*lesson 05.*cargo xtask setup", said)
        assert "Everything that is required is there." in said
        said = self.run_course("setup")
        assert "Installing Open MPI" in said
        with course_kernel(clone, **NO_NETWORK) as kernel:
            kernel.run(cells.LOAD)
            self.assert_says_what_to_do(kernel)
            assert kernel.run("answer(2)") == "42"
        # Now there is one, and nothing is left of what was in its place.
        shutil.rmtree(clone / ".course/mpi")
        (clone / ".course/mpi").symlink_to(CLONE / ".course/mpi")
        with course_kernel(clone, **NO_NETWORK) as kernel:
            kernel.run(cells.LOAD_MPI)
            assert "MPI" in kernel.run("library()")
