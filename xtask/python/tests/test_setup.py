"""A set-up that cannot be made says what is missing and how to get it, in one line."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from kernels.clone import launcher
from kernels.copies import copy_of_clone


class MissingTools(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="course-test-")
        self.addCleanup(temporary.cleanup)
        folder = Path(temporary.name)
        self.tools = folder / "tools"
        self.tools.mkdir()
        (folder / "clone").mkdir()
        self.clone = copy_of_clone(folder / "clone", warm=False)

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
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

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
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"cannot write {self.clone.resolve()}/.course", result.stderr)
