"""A Jupyter server as `cargo xtask lab` starts it, without the pages, and kernels in it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from kernels import witness
from kernels.clone import CLONE
from kernels.kernel import LONGEST, Cells
from kernels.messages import within

READY = "A spare kernel is ready"
# How long to wait for words of a server. Only what hangs takes so long.
LIMIT = 180


def listens(url: str) -> bool:
    """Whether somebody listens there; Jupyter's server prints its address before it does."""
    place = urllib.parse.urlsplit(url)
    with contextlib.suppress(OSError):
        socket.create_connection((place.hostname, place.port or 80), timeout=10).close()
        return True
    return False


class Server:
    """A server on a port of its own, with a folder of its own for its runtime files."""

    def __init__(self, *options: str, clone: Path = CLONE, **environment: str) -> None:
        self.clone = clone
        self.private = tempfile.TemporaryDirectory(prefix="course-server-")
        self.runtime = Path(self.private.name, "runtime")
        self.token = "0123456789abcdef"
        self.log = open(Path(self.private.name, "log"), "w+", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "jupyter_server",
            f"--ServerApp.root_dir={clone}",
            f"--IdentityProvider.token={self.token}",
            "--ServerApp.open_browser=False",
            "--ServerApp.port=0",
            "--allow-root",
            *options,
        ]
        environment = {
            "JUPYTER_CONFIG_DIR": str(CLONE / ".course/jupyter/config"),
            "JUPYTER_DATA_DIR": str(CLONE / ".course/jupyter/data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            **environment,
        }
        self.process = subprocess.Popen(
            command,
            env=os.environ | environment,
            cwd=clone,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.url = ""
        witness.register(self)

    def state(self) -> dict[str, str]:
        """What somebody needs to know who looks for the cause of a failure."""
        if self.log.closed:
            return {}
        return {
            "the server's own words": self.said()[-witness.LOG :],
            "processes": witness.processes_of(self.process.pid),
        }

    def __enter__(self) -> "Server":
        try:
            self.url = self.wait_for(r"(http://127\.0\.0\.1:\d+)/").group(1)
            deadline = time.monotonic() + LIMIT
            while not listens(self.url):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the server does not listen:\n{self.said()}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def said(self) -> str:
        return Path(self.log.name).read_text(encoding="utf-8")

    def wait_for(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Waits until the server has said something so many times; gives the last match."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            found = list(re.finditer(pattern, self.said()))
            if len(found) >= times:
                return found[times - 1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the server did not say {pattern!r}:\n{self.said()}")

    def wait_for_spare(self, times: int = 1) -> None:
        self.wait_for(READY, times)

    def ask(self, method: str, path: str, content: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def open_notebook(
        self, name: str = "lesson.ipynb", folder: str = "notebooks"
    ) -> "ServersKernel":
        """Does what a page does that opens a notebook; gives its kernel."""
        session = self.ask(
            "POST",
            "sessions",
            {
                "path": f"{folder}/{name}",
                "name": name,
                "type": "notebook",
                "kernel": {"name": "rust"},
            },
        )
        return ServersKernel(self, session["kernel"]["id"])

    def end(self, signum: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.process.wait(LIMIT)

    def __exit__(self, kind: type[BaseException] | None = None, *_: object) -> None:
        if kind is not None:
            witness.keep(self)
        witness.forget(self)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.end()
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.log.close()
        self.private.cleanup()


class ServersKernel(Cells):
    """A kernel of a server; `with` waits until it answers, and shuts it down in the end."""

    def __init__(self, server: Server, kernel_id: str) -> None:
        super().__init__()
        self.server = server
        self.id = kernel_id
        self.client = BlockingKernelClient(
            connection_file=str(server.runtime / f"kernel-{kernel_id}.json")
        )
        self.client.load_connection_file()

    def wait_until_ready(self) -> None:
        self.client.start_channels()
        self.wait_for_answer()

    def wait_for_answer(self, seconds: float = LONGEST) -> None:
        """Asks until the kernel answers, also one that is not there yet."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                self.reply_to(self.client.kernel_info(), within(1, "its answer"))
                return
        raise AssertionError(f"no answer after {seconds} seconds:\n{self.server.said()}")

    def restart(self) -> None:
        self.server.ask("POST", f"kernels/{self.id}/restart")

    def interrupt(self) -> None:
        self.server.ask("POST", f"kernels/{self.id}/interrupt")

    def model(self) -> Any:
        return self.server.ask("GET", f"kernels/{self.id}")

    def close(self) -> None:
        self.client.stop_channels()

    def end(self) -> None:
        self.server.ask("DELETE", f"kernels/{self.id}")

    def __enter__(self) -> "ServersKernel":
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self.end()
