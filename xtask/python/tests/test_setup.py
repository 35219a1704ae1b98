"""A set-up that cannot be made says what is missing and how to get it, in one line."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from kernels.clone import launcher
from kernels.copies import copy_of_clone


class MissingTools:
    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory(prefix="course-test-") as temporary:
            folder = Path(temporary)
            self.tools = folder / "tools"
            self.tools.mkdir()
            (folder / "clone").mkdir()
            self.clone = copy_of_clone(folder / "clone", warm=False)
            yield

    def assert_refuses(self, *words, tools=()):
        for tool in tools:
            (self.tools / tool).symlink_to(shutil.which(tool))
        result = subprocess.run(
            [launcher(self.clone), "setup"],
            env=os.environ | {"PATH": str(self.tools)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 1, result.stdout
        assert len(result.stderr.splitlines()) == 1, result.stderr
        for word in words:
            assert word in result.stderr

    def test_no_rust(self):
        self.assert_refuses("Rust is missing", "https://rustup.rs")

    def test_no_c_compiler(self):
        self.assert_refuses("C compiler is missing", tools=["cargo", "rustc"])

    def test_no_python(self):
        self.assert_refuses("Python 3.10 or later is missing", tools=["cargo", "rustc", "cc"])

    def test_folder_that_cannot_be_written(self):
        # Not even the administrator can make a folder where a file is.
        program = self.clone.parent / "xtask"
        shutil.copy2(launcher(self.clone), program)
        shutil.rmtree(self.clone / ".course")
        (self.clone / ".course").touch()
        result = subprocess.run(
            [program, "setup"],
            env=os.environ | {"CARGO_MANIFEST_DIR": str(self.clone / "xtask")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 1
        assert f"cannot write {self.clone.resolve()}/.course" in result.stderr
