"""The notebooks also open in a kernel that we did not set up, only slower."""

import os

from bench.suites.kernel import stock_kernel, with_compiled_crates
from kernels import cells
from kernels.clone import CLONE, kernel_program
from kernels.kernel import Kernel
from tests.test_launcher import use_pool


class Stock:
    def test_stock_kernel(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EVCXR")}
        argv = stock_kernel(kernel_program())
        environment |= with_compiled_crates()
        with Kernel(argv, cwd=CLONE / "notebooks", env=environment) as kernel:
            assert use_pool(kernel) == cells.FIRST_RESULT
