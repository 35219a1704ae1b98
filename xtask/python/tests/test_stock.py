"""The notebooks also open in a kernel that we did not set up, only slower."""

import os
import unittest

import cells
from bench_kernel import with_compiled_crates
from clone import CLONE
from kernels import Kernel
from tests.test_launcher import use_pool


class Stock(unittest.TestCase):
    def test_stock_kernel(self):
        evcxr = (CLONE / ".course/kernel/bin/evcxr_jupyter").resolve()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EVCXR")}
        argv = [str(evcxr), "--control_file", "{connection_file}"]
        environment |= with_compiled_crates()
        with Kernel(argv, cwd=CLONE / "notebooks", env=environment) as kernel:
            self.assertEqual(use_pool(kernel), cells.FIRST_RESULT)
