"""One kernel that runs, is warm, and belongs to nobody yet."""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import LocalPortCache
from jupyter_client.launcher import launch_kernel

from .forwarder import PORTS
from .lifeline import VARIABLE, Lifeline

# Seconds in which an idle kernel answers; it takes a few milliseconds.
PATIENCE = 1.0
# Seconds that getting warm may take on a slow machine that is busy.
LONGEST_WARM_UP = 180.0


class SpareFailed(Exception):
    """A spare did not get warm; the text says why."""


class Spare:
    """A kernel on ports of its own.

    `fingerprint` is that of all it was made from, `environment` and `folder` are those that it
    runs with.
    """

    def __init__(
        self,
        launcher: str,
        folder: Path,
        environment: Mapping[str, str],
        runtime: Path,
        key: bytes,
        fingerprint: str,
    ) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.fingerprint = fingerprint
        self.born = time.monotonic()
        ports = LocalPortCache.instance()
        self.info: dict[str, str | int] = {
            name: ports.find_available_port("127.0.0.1") for name in PORTS
        }
        self.info |= {
            "ip": "127.0.0.1",
            "key": key.decode(),
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            "kernel_name": "rust",
        }
        self._client: AsyncKernelClient | None = None
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only the owner may read it; the launcher takes it away.
        handle, name = tempfile.mkstemp(prefix="spare-", suffix=".json", dir=runtime)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(self.info, file)
        self._connection_file = Path(name)
        self._mark = self._connection_file.with_suffix(".warm")
        self.lifeline = Lifeline()
        try:
            self.process: subprocess.Popen[bytes] = launch_kernel(
                [launcher, "spare", str(self._connection_file), str(self._mark)],
                stdin=self.lifeline.far_end,
                env=self.environment | {VARIABLE: "1"},
                cwd=str(folder),
            )
        except BaseException:
            self.lifeline.cut()
            self._tidy()
            raise
        self.lifeline.hand_over()
        self._warming = asyncio.ensure_future(self._warm_up())

    @property
    def is_warm(self) -> bool:
        """Whether it is; one that is not may still get warm, or have failed to."""
        warming = self._warming
        return warming.done() and not warming.cancelled() and warming.exception() is None

    async def warmed(self) -> None:
        """Waits until the spare is warm; raises `SpareFailed` if it will not be."""
        await asyncio.wait([self._warming])
        if self._warming.cancelled():
            raise SpareFailed("it was ended")
        self._warming.result()

    async def _warm_up(self) -> None:
        client = AsyncKernelClient()
        client.load_connection_info(self.info)  # type: ignore[arg-type]
        client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        self._client = client
        answered = asyncio.ensure_future(self._ask(LONGEST_WARM_UP))
        try:
            while not answered.done():
                if self.process.poll() is not None:
                    raise SpareFailed("what warms it up did not run")
                await asyncio.wait([answered], timeout=0.2)
            if not answered.result():
                raise SpareFailed(f"it was not warm after {LONGEST_WARM_UP:.0f} s")
            if not self._mark.exists():
                raise SpareFailed("what warms it up did not run to its end")
        finally:
            answered.cancel()
            self._tidy()

    async def answers(self) -> bool:
        """Whether the kernel lives and does what it is told, now."""
        return self.process.poll() is None and await self._ask(PATIENCE)

    async def _ask(self, seconds: float) -> bool:
        assert self._client is not None
        asked = self._client.kernel_info()
        deadline = time.monotonic() + seconds
        with suppress(Exception):
            while (left := deadline - time.monotonic()) > 0:
                reply = await self._client.get_shell_msg(timeout=left)
                if reply["parent_header"].get("msg_id") == asked:
                    return True
        return False

    def release(self) -> None:
        """Ends our own talk with the kernel, which now is somebody's."""
        self._warming.cancel()
        if self._client is not None:
            self._client.stop_channels()
            self._client.context.destroy(linger=0)
            self._client = None

    async def end(self) -> None:
        """Kills the kernel and waits for it; its launcher's janitor removes its folder."""
        self.release()
        await asyncio.wait([self._warming])
        with suppress(ProcessLookupError):
            # The launcher has made it the leader of its group.
            os.killpg(self.process.pid, 9)
        await asyncio.get_running_loop().run_in_executor(None, self.process.wait)
        self.lifeline.cut()
        self._tidy()
        self.give_ports_back()

    def give_ports_back(self) -> None:
        ports = LocalPortCache.instance()
        for name in PORTS:
            with suppress(KeyError):
                ports.return_port(int(self.info[name]))

    def _tidy(self) -> None:
        for file in (self._connection_file, self._mark):
            file.unlink(missing_ok=True)
