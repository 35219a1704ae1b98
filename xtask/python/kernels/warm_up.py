"""Runs the first cells of a notebook in the kernel named on the command line.

What they compile stays in the build folder that EVCXR_TMPDIR names.
"""

import contextlib
import signal
import sys

import psutil

from kernels import cells
from kernels.kernel import Kernel


def end(*_: object) -> None:
    """Ends the kernel, of which nobody may know yet that it was started, and this program."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    sys.exit("told to end")


# `nohup` wants the closed terminal to be ignored.
for number in (signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, end)

with Kernel([sys.argv[1], "--control_file", "{connection_file}"]) as kernel:
    kernel.run(cells.LOAD)
    kernel.run(cells.FIRST_POOL)
    kernel.run(cells.FIRST_AWAIT)
    kernel.problems(cells.FIRST_CLOSURE)
    if "--mpi" in sys.argv:
        try:
            kernel.run(cells.LOAD_MPI)
            kernel.run(cells.FIRST_RANKS)
        except RuntimeError as error:
            # All lessons but one go without. What cargo told programs is of no use to a reader.
            reason, *_ = str(error).partition("\nSTDOUT:")
            print(f"Lesson 05 will not run: {reason}")
