"""Starting a kernel by its command line and running single cells in it."""

import contextlib
import os
import time
from collections import deque
from pathlib import Path
from queue import Empty

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from kernels import ports, witness
from kernels.clone import CLONE, launcher

ports.use_these()

# The slowest thing that a kernel does is to compile all crates on a slow machine.
LONGEST = 900
# The stock kernel passes stderr on in threads of its own, which may be later than its "I am idle": how long to
# listen after a cell for what it still has to say.
SETTLE_SECONDS = 0.1
# The same after a cell that must fail, as long as it has not said why: only stderr tells of a panic there.
LATEST_SECONDS = 10


class Kernel:
    """A running kernel; `with` ends it."""

    # From asking for the last cell to the kernel's word that it is idle.
    seconds = 0.0
    # Whether it is evcxr_jupyter itself.
    is_stock = False

    def __init__(self, argv, **start):
        self.is_stock = "--stock" in argv
        self.last = deque(maxlen=20)
        witness.register(self)
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(
            argv=argv, display_name="Rust", language="rust", interrupt_mode="message"
        )
        try:
            self.manager.start_kernel(**start)
            self.client = self.manager.client()
        except BaseException:
            # Who is told to end may be told just now.
            if self.manager.has_kernel:
                self.manager.shutdown_kernel(now=True)
            raise

    def wait_until_ready(self):
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=LONGEST)
        except BaseException:
            self.__exit__()
            raise

    def run(self, code):
        """Runs a cell and gives its text result; raises if it fails in any way."""
        return self.outputs(code).get("text/plain", "")

    def outputs(self, code):
        """As `run`, but gives the result in each of its formats."""
        result, problems = self.execute(code)
        if problems:
            raise RuntimeError(f"the cell\n{code}\nfailed:\n{problems}")
        return result

    def problems(self, code):
        """Runs a cell that must fail, and gives what it says of that; nothing if it does not."""
        return self.execute(code, fails=True)[1]

    def execute(self, code, fails=False):
        """Runs a cell; gives its result in each of its formats, and what went wrong."""
        result, problems = {}, []

        def collect(message):
            nonlocal result
            content = message["content"]
            self.last.append(witness.shorten(f"{message['msg_type']} {content}"))
            if message["msg_type"] == "execute_result":
                result = content["data"]
            elif message["msg_type"] == "error":
                problems.append(content["evalue"])
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                problems.append(content["text"])

        started = time.perf_counter()
        self.client.execute_interactive(
            code, allow_stdin=False, output_hook=collect, timeout=LONGEST
        )
        self.seconds = time.perf_counter() - started
        with contextlib.suppress(Empty):
            while self.is_stock:
                waits = LATEST_SECONDS if fails and not problems else SETTLE_SECONDS
                collect(self.client.get_iopub_msg(timeout=waits))
        return result, "".join(problems)

    def state(self):
        """What somebody needs to know who looks for the cause of a failure."""
        pid = getattr(self.manager.provisioner, "pid", None)
        return {
            "last messages": "\n".join(self.last),
            "processes": witness.processes_of(pid) if pid else "none",
        }

    def __enter__(self):
        self.wait_until_ready()
        return self

    def __exit__(self, kind=None, *_):
        if kind is not None:
            witness.keep(self)
        witness.forget(self)
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def course_kernel(clone=CLONE, **environment):
    """The kernel as Jupyter starts it."""
    environment = os.environ | environment
    argv = [str(launcher(clone)), "kernel", "{connection_file}"]
    return Kernel(argv, cwd=clone / "notebooks", env=environment)


def build_folder(kernel):
    """The lock file that the kernel holds as its standard input tells its build folder."""
    lock = Path(os.readlink(f"/proc/{kernel.manager.provisioner.pid}/fd/0"))
    return lock.with_suffix("")
