"""One kernel that runs, is warm, and belongs to nobody yet."""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.launcher import launch_kernel

from .lifeline import VARIABLE, Lifeline

# Seconds in which a spare that runs says what it makes of a connection; it takes a millisecond.
PATIENCE = 3.0
# Seconds until its process can be talked to, on a slow machine that is busy.
LONGEST_START = 60.0
# Seconds that getting warm may take on such a machine.
LONGEST_WARM_UP = 180.0
# Seconds between looks at whether it can be talked to by now.
LOOK = 0.05
# Bytes that the path of a socket may have; macOS grants a few less than Linux.
LONGEST_PLACE = 103


class SpareFailed(Exception):
    """A spare did not get warm, or could not be handed over; the text says why."""


class Spare:
    """A kernel that waits at a socket, to be told at which ports it is wanted.

    `fingerprint` is that of all it was made from, `environment` and `folder` are those that it
    runs with. What it says and is told: see `kernel/src/standby.rs` in the clone.
    """

    def __init__(
        self,
        launcher: str,
        folder: Path,
        environment: Mapping[str, str],
        runtime: Path,
        fingerprint: str,
    ) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.fingerprint = fingerprint
        self._place = place_for_socket(runtime)
        self.lifeline = Lifeline()
        try:
            self.process: subprocess.Popen[bytes] = launch_kernel(
                [launcher, "spare", str(self._place)],
                stdin=self.lifeline.far_end,
                env=self.environment | {VARIABLE: "1"},
                cwd=str(folder),
            )
        except BaseException:
            self.lifeline.cut()
            self._tidy()
            raise
        self.lifeline.hand_over()
        self._connecting = asyncio.ensure_future(self._connect())
        self._warming = asyncio.ensure_future(self._warm_up())

    @property
    def is_warm(self) -> bool:
        """Whether it has said so; one that has not may still get warm, or have failed to."""
        warming = self._warming
        return warming.done() and not warming.cancelled() and warming.exception() is None

    def lives(self) -> bool:
        """Whether its process runs, and talks with us if it has begun to."""
        if self.process.poll() is not None:
            return False
        if not self._connecting.done():
            return True
        if self._connecting.cancelled() or self._connecting.exception():
            return False
        reader, _ = self._connecting.result()
        return not reader.at_eof()

    async def warmed(self) -> None:
        """Waits until the spare is warm; raises `SpareFailed` if it will not be."""
        await asyncio.wait([self._warming])
        if self._warming.cancelled():
            raise SpareFailed("it is somebody's, or was ended")
        self._warming.result()

    async def hand_over(self, info: KernelConnectionInfo, key: str) -> None:
        """Makes it the kernel of a connection; raises `SpareFailed` if it cannot be that."""
        # One that has just been started has to come so far first.
        reader, writer = await asyncio.shield(self._connecting)
        # Two cannot listen to it.
        self._warming.cancel()
        await asyncio.wait([self._warming])
        writer.write(json.dumps({**info, "key": key}).encode() + b"\n")
        try:
            answer = await asyncio.wait_for(next_line(reader, but="warm"), PATIENCE)
        except asyncio.TimeoutError:
            raise SpareFailed("the spare does not answer") from None
        if answer != "bound":
            raise SpareFailed(f"the spare {answer or 'has died'}")
        self._release()

    async def _connect(self) -> tuple[StreamReader, StreamWriter]:
        deadline = time.monotonic() + LONGEST_START
        try:
            while time.monotonic() < deadline:
                # It listens a moment after its socket is there.
                with suppress(FileNotFoundError, ConnectionRefusedError):
                    return await asyncio.open_unix_connection(self._place)
                if self.process.poll() is not None:
                    raise SpareFailed("the spare's process ended as it began")
                await asyncio.sleep(LOOK)
            raise SpareFailed(f"the spare had not begun after {LONGEST_START:.0f} s")
        except OSError as error:
            raise SpareFailed(f"the spare cannot be talked to: {error}") from error
        finally:
            # Nobody else is to talk to it.
            self._tidy()

    async def _warm_up(self) -> None:
        reader, _ = await asyncio.shield(self._connecting)
        try:
            said = await asyncio.wait_for(next_line(reader), LONGEST_WARM_UP)
        except asyncio.TimeoutError:
            raise SpareFailed(f"it was not warm after {LONGEST_WARM_UP:.0f} s") from None
        if said != "warm":
            raise SpareFailed("what warms it up did not run to its end")

    async def end(self) -> None:
        """Kills the kernel and waits for it; its launcher's janitor removes its folder."""
        self._release()
        await asyncio.wait([self._connecting, self._warming])
        with suppress(ProcessLookupError):
            # The launcher has made it the leader of its group.
            os.killpg(self.process.pid, 9)
        await asyncio.get_running_loop().run_in_executor(None, self.process.wait)
        self.lifeline.cut()
        self._tidy()

    def _release(self) -> None:
        """Ends our talk with the kernel."""
        connecting = self._connecting
        self._warming.cancel()
        connecting.cancel()
        if connecting.done() and not connecting.cancelled() and not connecting.exception():
            _, writer = connecting.result()
            writer.close()

    def _tidy(self) -> None:
        """Removes the socket's name; a connection needs it no more."""
        with suppress(OSError):
            self._place.unlink(missing_ok=True)
            self._place.parent.rmdir()


def place_for_socket(runtime: Path) -> Path:
    """Where a socket may lie, in a new folder of its own that only the owner may enter."""
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="spare-", dir=runtime), "socket")
    if len(os.fsencode(place)) > LONGEST_PLACE:
        place.parent.rmdir()
        place = Path(tempfile.mkdtemp(prefix="course-spare-"), "socket")
    return place


async def next_line(reader: StreamReader, but: str | None = None) -> str:
    """The next line that is not this one; an empty text if the other side has ended."""
    with suppress(ConnectionError):
        while line := await reader.readline():
            text = line.decode(errors="replace").strip()
            if text != but:
                return text
    return ""
