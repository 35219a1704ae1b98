"""Starting a kernel and running single cells in it."""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from kernels import ports, witness
from kernels.clone import CLONE, launcher
from kernels.messages import Meanwhile, Message, listen, within

ports.use_these()

# The slowest thing that a kernel does is to compile all crates on a slow machine.
LONGEST = 900
# The stock kernel passes stderr on in threads of its own, which may be later than its "I am idle": how long to
# listen after a cell for what it still has to say.
SETTLE_SECONDS = 0.1
# The same after a cell that must fail, as long as it has not said why: only stderr tells of a panic there.
LATEST_SECONDS = 10

# Is called with what all clients hear, and with whether it is about the cell that was asked for.
Hear = Callable[[Message, bool], None]


class Died(RuntimeError):
    """The kernel's process has ended by itself."""


class Cells:
    """Cells of a kernel that a client is connected to."""

    client: Any
    # From asking for the last cell to the kernel's word that it is idle.
    seconds = 0.0
    # Whether it is evcxr_jupyter itself.
    is_stock = False

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=20)
        self._replies: dict[str, Message] = {}

    def is_alive(self) -> bool:
        """Whether it is still there, as far as can be told."""
        return True

    def run(self, code: str) -> str:
        """Runs a cell and gives its text result; raises if it fails in any way."""
        return str(self.outputs(code).get("text/plain", ""))

    def outputs(self, code: str) -> dict[str, Any]:
        """As `run`, but gives the result in each of its formats."""
        result, problems = self.execute(code)
        if problems:
            raise RuntimeError(f"the cell\n{code}\nfailed:\n{problems}")
        return result

    def problems(self, code: str) -> str:
        """Runs a cell that must fail, and gives what it says of that; nothing if it does not."""
        return self.execute(code, fails=True)[1]

    def execute(self, code: str, fails: bool = False) -> tuple[dict[str, Any], str]:
        """Runs a cell; gives its result in each of its formats, and what went wrong."""
        result: dict[str, Any] = {}
        problems: list[str] = []

        def collect(message: Message, is_about_it: bool) -> None:
            nonlocal result
            content = message["content"]
            if not is_about_it:
                return
            if message["msg_type"] == "execute_result":
                result = content["data"]
            elif message["msg_type"] == "error":
                problems.append(content["evalue"])
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                problems.append(content["text"])

        self.ask(code, collect)
        if self.is_stock:
            self.linger(
                lambda message: collect(message, True),
                lambda: LATEST_SECONDS if fails and not problems else SETTLE_SECONDS,
            )
        return result, "".join(problems)

    def ask(
        self,
        code: str,
        hear: Hear = lambda *_: None,
        meanwhile: Meanwhile | None = None,
        seconds: float = LONGEST,
        **options: Any,
    ) -> Message:
        """Runs a cell to its end, which is its reply and the kernel's word that it is idle; gives the reply.

        Without a `meanwhile`, it may take so many seconds, and its kernel must live.
        """
        started = time.perf_counter()
        request = self.client.execute(code, allow_stdin=False, **options)
        is_idle = False

        def heard(message: Message) -> None:
            nonlocal is_idle
            is_about_it = message["parent_header"].get("msg_id") == request
            if message["msg_type"] == "status" and is_about_it:
                is_idle = message["content"]["execution_state"] == "idle"
            hear(message, is_about_it)

        listen(
            self.client,
            lambda: is_idle and request in self._replies,
            lambda channel, message: self._take(channel, message, heard),
            meanwhile or self._alive_within(seconds, code),
        )
        self.seconds = time.perf_counter() - started
        return self._replies.pop(request)

    def reply_to(self, request: str, meanwhile: Meanwhile) -> Message:
        """Waits for the reply to another request than a cell."""
        listen(self.client, lambda: request in self._replies, self._take, meanwhile)
        return self._replies.pop(request)

    def wait_for_end(self, request: str, seconds: float = LONGEST) -> None:
        """Waits for the end of a cell that nobody waits for: an interrupt is a request of its own, and may end before."""

        def is_end(said: Message) -> bool:
            is_about_it = said["parent_header"].get("msg_id") == request
            return bool(is_about_it and said["content"].get("execution_state") == "idle")

        self.wait_for(is_end, seconds)

    def wait_for(self, condition: Callable[[Message], bool], seconds: float = LONGEST) -> Message:
        """Waits for a message that all clients hear, while a cell runs that nobody waits for."""
        found: list[Message] = []

        def heard(message: Message) -> None:
            if condition(message):
                found.append(message)

        listen(
            self.client,
            lambda: bool(found),
            lambda channel, message: self._take(channel, message, heard),
            self._alive_within(seconds, "something of a cell"),
        )
        return found[0]

    def linger(self, hear: Callable[[Message], None], waits: Callable[[], float]) -> None:
        """Takes in what is still said after a cell, until nothing has come for so many seconds."""
        last = time.monotonic()

        def heard(message: Message) -> None:
            nonlocal last
            hear(message)
            last = time.monotonic()

        listen(
            self.client,
            lambda: time.monotonic() >= last + waits(),
            lambda channel, message: self._take(channel, message, heard),
            lambda _: None,
            every=SETTLE_SECONDS / 5,
        )

    def _take(
        self, channel: str, message: Message, heard: Callable[[Message], None] = lambda _: None
    ) -> None:
        self.last.append(witness.shorten(f"{channel} {message['msg_type']} {message['content']}"))
        if channel == "iopub":
            heard(message)
        else:
            self._replies[message["parent_header"].get("msg_id", "")] = message["content"]

    def _alive_within(self, seconds: float, what: str) -> Meanwhile:
        in_time = within(seconds, what)

        def look(is_silent: bool) -> None:
            in_time(is_silent)
            if is_silent and not self.is_alive():
                raise Died(f"the kernel died: {what}")

        return look


class Kernel(Cells):
    """A running kernel; `with` ends it."""

    def __init__(self, argv: Sequence[str] | None, **start: Any) -> None:
        """Starts it by its command line; without one, what Jupyter knows as the course's kernel."""
        super().__init__()
        self.is_stock = "--stock" in (argv or [])
        witness.register(self)
        self.manager = KernelManager(kernel_name="rust")
        if argv is not None:
            self.manager._kernel_spec = KernelSpec(
                argv=list(argv), display_name="Rust", language="rust", interrupt_mode="message"
            )
        try:
            self.manager.start_kernel(**start)
            self.client = self.manager.client()
        except BaseException:
            # Who is told to end may be told just now.
            if self.manager.has_kernel:
                self.manager.shutdown_kernel(now=True)
            raise

    @property
    def pid(self) -> int:
        pid = getattr(self.manager.provisioner, "pid", None)
        assert isinstance(pid, int), "the kernel has no process"
        return pid

    def is_alive(self) -> bool:
        return bool(self.manager.is_alive())

    def wait_until_ready(self, seconds: float = LONGEST) -> None:
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=seconds)
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> str:
        """Asks it to end its cell, by a message; gives what the reply is known by."""
        message = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(message)
        return str(message["header"]["msg_id"])

    def state(self) -> dict[str, str]:
        """What somebody needs to know who looks for the cause of a failure."""
        pid = getattr(self.manager.provisioner, "pid", None)
        return {
            "last messages": "\n".join(self.last),
            "processes": witness.processes_of(pid) if pid else "none",
        }

    def __enter__(self) -> "Kernel":
        self.wait_until_ready()
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if kind is not None:
            witness.keep(self)
        self.close()

    def close(self) -> None:
        """Kills it."""
        witness.forget(self)
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def course_kernel(clone: Path = CLONE, **environment: str) -> Kernel:
    """The kernel as Jupyter starts it."""
    argv = [str(launcher(clone)), "kernel", "{connection_file}"]
    return Kernel(argv, cwd=clone / "notebooks", env=os.environ | environment)


def build_folder(kernel: Kernel) -> Path:
    """The lock file that the kernel holds as its standard input tells its build folder."""
    return Path(os.readlink(f"/proc/{kernel.pid}/fd/0")).with_suffix("")
