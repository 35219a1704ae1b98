"""Runs the first cells of a notebook in the kernel named on the command line.

What they compile stays in the build folder that EVCXR_TMPDIR names.
"""

import sys

import cells
from kernels import Kernel

with Kernel([sys.argv[1], "--control_file", "{connection_file}"]) as kernel:
    kernel.run(cells.LOAD)
    kernel.run(cells.FIRST_POOL)
    kernel.run(cells.FIRST_AWAIT)
    kernel.problems(cells.FIRST_CLOSURE)
