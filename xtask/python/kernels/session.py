"""A client of one kernel for tests: what came of a cell, message by message.

One loop reads all channels. A cell has ended when its reply and the kernel's word that it is idle are
there, and both are trusted: whatever of a cell comes after that is a failure.
"""

import os
import re
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from kernels import ports, witness
from kernels.clone import CLONE, launcher
from kernels.messages import CHANNELS, Message, listen
from kernels.waiting import wait_until
from kernels.witness import shorten

ports.use_these()

# Only what hangs takes so long.
LIMIT = 120.0
# How long to wait for a kernel that has hung before.
NO_LONGER = 5.0
# A Jupyter server drops what goes beyond, see its options `iopub_msg_rate_limit` and
# `iopub_data_rate_limit`: within so many seconds, so many messages and bytes of text for each of them.
WINDOW, MOST_MESSAGES, MOST_BYTES = 3.0, 1000, 1_000_000


class Hang(AssertionError):
    """Something did not come within the limit."""


class Died(AssertionError):
    """The kernel's process has ended by itself."""


class Late(AssertionError):
    """Something of a cell came after the kernel had said that the cell has ended."""


@dataclass
class Output:
    """One thing that a cell shows."""

    # The type of its message, as `stream` or `display_data`.
    kind: str
    content: Message
    # Of a stream: the texts of its messages.
    pieces: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of a stream: stdout or stderr."""
        return str(self.content.get("name", ""))

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def data(self) -> dict[str, Any]:
        """What is displayed, in each of its formats."""
        return dict(self.content.get("data", {}))

    @property
    def display_id(self) -> str:
        return str((self.content.get("transient") or {}).get("display_id", ""))

    def updated(self, new: "Output") -> "Output":
        """This output after an update, which may be meant for another one."""
        if not new.display_id or self.display_id != new.display_id:
            return self
        return Output(self.kind, self.content | {"data": new.data})

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {shorten(self.text or str(self.content))}"


@dataclass
class Reply:
    """What has come of one request to run a cell; whole when `is_done`."""

    code: str
    answers: deque[str] = field(default_factory=deque)
    # What the cell has asked the reader.
    prompts: list[str] = field(default_factory=list)
    passwords: int = 0
    status: str = ""
    # In the reply, and where the page was told which number the cell has.
    execution_count: int | None = None
    input_count: int | None = None
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = field(default_factory=list)
    # In order; texts that follow each other on the same stream are one, as in a notebook.
    outputs: list[Output] = field(default_factory=list)
    # From the request to the end.
    seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)
    # When each output came, and the bytes of its text.
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    has_reply: bool = False
    is_idle: bool = False

    @property
    def is_done(self) -> bool:
        return self.has_reply and self.is_idle

    @property
    def stdout(self) -> str:
        return self._text_of("stdout")

    @property
    def stderr(self) -> str:
        return self._text_of("stderr")

    def _text_of(self, name: str) -> str:
        return "".join(output.text for output in self.outputs if output.name == name)

    @property
    def data(self) -> dict[str, Any]:
        """The result in each of its formats."""
        results = [output.data for output in self.outputs if output.kind == "execute_result"]
        assert len(results) <= 1, f"the cell has more than one result: {results}"
        return results[0] if results else {}

    @property
    def result(self) -> str | None:
        """The result as text; nothing if there is none."""
        return self.data.get("text/plain")

    @property
    def displays(self) -> list[dict[str, Any]]:
        """What the cell displays, without its result, as long as nothing is updated."""
        return [output.data for output in self.outputs if output.kind == "display_data"]

    @property
    def shown(self) -> list[Output]:
        """What the page shows in the end: outputs are updated and cleared as the cell asks for it."""
        page: list[Output] = []
        clears = False
        for output in self.outputs:
            if output.kind == "update_display_data":
                page = [shown.updated(output) for shown in page]
            elif output.kind == "clear_output":
                clears = bool(output.content["wait"])
                page = page if clears else []
            else:
                page = [output] if clears else [*page, output]
                clears = False
        return page

    @property
    def told(self) -> str:
        """All words about what went wrong or should be known."""
        errors = [output.content for output in self.outputs if output.kind == "error"]
        told = [line for error in errors for line in [error["evalue"], *error["traceback"]]]
        return "\n".join([self.evalue, *self.traceback, *told, self.stderr])

    def what_a_server_drops(self) -> str:
        """Says which limit of a Jupyter server the cell's output breaks, if any."""
        window: deque[tuple[float, int]] = deque()
        total = 0
        for when, size in self.arrivals:
            window.append((when, size))
            total += size
            while window[0][0] <= when - WINDOW:
                total -= window.popleft()[1]
            if len(window) > MOST_MESSAGES * WINDOW or total > MOST_BYTES * WINDOW:
                return f"{len(window)} messages and {total} bytes in {WINDOW:.0f} s"
        return ""

    def add(self, message: Message) -> None:
        """Takes in a message of the channel that all clients hear."""
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            self.is_idle = content["execution_state"] == "idle"
            return
        if kind == "execute_input":
            self.input_count = content["execution_count"]
            return
        text = content.get("text", "")
        self.arrivals.append((time.monotonic(), len(text.encode())))
        last = self.outputs[-1] if self.outputs else None
        if kind == "stream" and last is not None and last.name == content["name"]:
            last.pieces.append(text)
        else:
            self.outputs.append(Output(kind, content, [text]))

    def close(self, content: Message) -> None:
        """Takes in the kernel's reply."""
        assert not self.has_reply, f"two replies to {self.code!r}"
        self.has_reply = True
        self.status = content["status"]
        self.execution_count = content.get("execution_count")
        self.ename = content.get("ename", "")
        self.evalue = content.get("evalue", "")
        self.traceback = content.get("traceback", [])

    def __str__(self) -> str:
        error = f"{self.ename}: {self.evalue}\n" + "\n".join(self.traceback) if self.ename else ""
        code = f"{shorten(self.code)} → {self.status or 'no reply yet'}"
        return "\n".join([code, error, *map(str, self.outputs)])


class Session:
    """A running kernel and its client; `with` ends it."""

    def __init__(
        self,
        argv: Sequence[str] | None = None,
        cwd: Path = CLONE / "notebooks",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the course's kernel as Jupyter does, or that of a command line; does not wait."""
        argv = argv or [str(launcher()), "kernel", "{connection_file}"]
        self._cells: dict[str, Reply] = {}
        # Replies to other requests than cells, by the request.
        self._replies: dict[str, Message] = {}
        self._last: deque[str] = deque(maxlen=20)
        self._has_hung = False
        self._log = tempfile.TemporaryFile()
        witness.register(self)
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(
            argv=list(argv), display_name="Rust", language="rust", interrupt_mode="message"
        )
        environment = dict(os.environ if env is None else env)
        try:
            self.manager.start_kernel(
                cwd=str(cwd), env=environment, stdout=self._log, stderr=self._log
            )
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()

    def wait_until_ready(self) -> "Session":
        try:
            self.client.wait_for_ready(timeout=LIMIT)
        except RuntimeError as error:
            raise Hang(f"the kernel did not start: {error}\n{self.log()}") from None
        return self

    def reconnect(self) -> None:
        """The client goes, and another one comes."""
        self.client.stop_channels()
        self._connect()
        self.wait_until_ready()

    def __enter__(self) -> "Session":
        try:
            return self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        if kind is not None:
            witness.keep(self)
        self.close()

    def close(self) -> None:
        """Kills the kernel if it is still there."""
        witness.forget(self)
        if hasattr(self, "client"):
            self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self._log.close()

    # Cells

    def run(
        self,
        code: str,
        silent: bool = False,
        allow_stdin: bool = False,
        answers: Sequence[str] = (),
        stop_on_error: bool = True,
    ) -> Reply:
        """Runs a cell to its end."""
        return self.wait(self.send(code, silent, allow_stdin, answers, stop_on_error))

    def send(
        self,
        code: str,
        silent: bool = False,
        allow_stdin: bool = False,
        answers: Sequence[str] = (),
        stop_on_error: bool = True,
    ) -> Reply:
        """Asks for a cell and does not wait. The answers are given when the cell asks the reader."""
        request = self.client.execute(
            code,
            silent=silent,
            allow_stdin=allow_stdin or bool(answers),
            stop_on_error=stop_on_error,
        )
        self._cells[request] = Reply(code, deque(answers))
        return self._cells[request]

    def wait(self, reply: Reply) -> Reply:
        """Waits for the end of a cell that was sent."""
        self.listen(lambda: reply.is_done, f"the end of the cell\n{reply.code}\nSo far: ", reply)
        return reply

    def wait_for(self, reply: Reply, condition: Callable[[Reply], bool]) -> Reply:
        """Waits until the condition holds for a cell that runs."""

        def holds() -> bool:
            if condition(reply):
                return True
            assert not reply.is_done, f"the cell has ended before that:\n{reply}"
            return False

        self.listen(holds, f"something of the cell\n{reply.code}\nSo far: ", reply)
        return reply

    # What an editor asks

    def complete(self, code: str, pos: int | None = None) -> Message:
        return self._reply_to(self.client.complete(code, pos), f"completion of {code!r} at {pos}")

    def inspect(self, code: str, pos: int | None = None, detail: int = 0) -> Message:
        request = self.client.inspect(code, pos, detail)
        return self._reply_to(request, f"inspection of {code!r} at {pos}")

    def is_complete(self, code: str) -> Message:
        return self._reply_to(self.client.is_complete(code), f"is_complete of {code!r}")

    def history(self, **options: Any) -> Message:
        return self._reply_to(self.client.history(**options), f"history of {options}")

    def kernel_info(self) -> Message:
        return self._reply_to(self.client.kernel_info(), "kernel_info")

    # Its life

    @property
    def pid(self) -> int:
        pid = getattr(self.manager.provisioner, "pid", None)
        assert isinstance(pid, int)
        return pid

    def processes(self) -> list[psutil.Process]:
        """The kernel's process and all that it has started."""
        kernel = psutil.Process(self.pid)
        return [kernel, *kernel.children(recursive=True)]

    def processor_time(self) -> float:
        """Seconds that the kernel and all that it has started have used, compilers that have ended among them."""
        used = 0.0
        for process in self.processes():
            try:
                used += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return used

    def interrupt(self, by: str = "message") -> None:
        """Interrupts and waits until it has arrived: by a message, or by a signal as a terminal does."""
        if by == "signal":
            asked = self.processes()
            os.killpg(self.pid, signal.SIGINT)
            # On a busy machine, what is sent after a signal may be there before it.
            arrived = wait_until(lambda: not any(has_pending(process) for process in asked), LIMIT)
            assert arrived, self._hang("a signal's arrival")
            return
        message = self.client.session.msg("interrupt_request", {})
        self.client.control_channel.send(message)
        reply = self._reply_to(message["header"]["msg_id"], "an interrupt")
        assert reply["status"] == "ok", reply

    def restart(self) -> None:
        """As the button does: the kernel ends, and another one starts in its place."""
        self.manager.restart_kernel(now=False)
        self.wait_until_ready()

    def shutdown(self) -> None:
        """Asks the kernel to end, and waits until it has."""
        self._reply_to(self.client.shutdown(), "a shutdown")
        assert wait_until(lambda: not self.manager.is_alive(), LIMIT), self._hang("its end")

    def answers(self) -> bool:
        """Whether `1 + 1` is 2, after all that was asked before."""
        try:
            return self.run("1 + 1", stop_on_error=False).result == "2"
        except AssertionError:
            return False

    def log(self) -> str:
        """What the kernel's process itself has written."""
        # Where it writes next must not move.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    # Messages

    def _reply_to(self, request: str, what: str) -> Message:
        self.listen(lambda: request in self._replies, f"a reply: {what}")
        content = self._replies.pop(request)
        assert isinstance(content, dict)
        return content

    def listen(self, condition: Callable[[], bool], what: str, about: object = "") -> None:
        """Takes in messages until the condition holds."""
        deadline = time.monotonic() + (NO_LONGER if self._has_hung else LIMIT)

        def look(is_silent: bool) -> None:
            if is_silent and not self.manager.is_alive():
                raise Died(f"the kernel died while this was awaited: {what}{about}\n{self.log()}")
            if time.monotonic() > deadline:
                self._has_hung = True
                raise Hang(self._hang(f"{what}{about}"))

        listen(self.client, condition, self._take, look)

    def drain(self) -> None:
        """Takes in what has already come, so that what is late is told of now."""
        for name in CHANNELS:
            channel = getattr(self.client, f"{name}_channel")
            while channel.msg_ready():
                self._take(name, channel.get_msg(timeout=0))

    def _take(self, channel: str, message: Message) -> None:
        request = message["parent_header"].get("msg_id", "")
        kind, content = message["msg_type"], message["content"]
        self._last.append(shorten(f"{channel} {kind} {content}"))
        cell = self._cells.get(request)
        if cell is None:
            if channel in ("shell", "control"):
                self._replies[request] = content
        elif channel == "stdin":
            self._answer(cell, content)
        elif channel == "shell":
            cell.close(content)
        elif cell.is_idle:
            raise Late(f"{kind} {shorten(str(content))} came after the end of\n{cell}")
        else:
            cell.add(message)
        if cell is not None and cell.is_done and not cell.seconds:
            cell.seconds = time.monotonic() - cell.started

    def _answer(self, cell: Reply, content: Message) -> None:
        cell.prompts.append(content["prompt"])
        cell.passwords += content["password"]
        if cell.answers:
            self.client.input(cell.answers.popleft())

    def state(self) -> dict[str, str]:
        """What somebody needs to know who looks for the cause of a failure."""
        if self._log.closed:
            return {}
        return {
            "last messages": "\n".join(self._last),
            "processes": witness.processes_of(self.pid) if self.manager.is_alive() else "none",
            "the kernel's own words": self.log()[-witness.LOG :],
        }

    def _hang(self, what: str) -> str:
        told = "\n".join(f"-- {name}:\n{text}" for name, text in self.state().items())
        return f"it does not come: {what}\n{told}"


def has_pending(process: psutil.Process, number: int = signal.SIGINT) -> bool:
    """Whether a signal waits for the process, none of whose threads has taken it yet."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False  # It has ended.
    pending = re.search(r"^ShdPnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return pending is not None and bool(int(pending[1], 16) >> (number - 1) & 1)
