"""Keeps a spare kernel ready in a Jupyter server."""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import Float
from traitlets.config import LoggingConfigurable

from . import fingerprint
from .lifeline import VARIABLE, Lifeline
from .memory import available
from .spare import Spare, SpareFailed

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

# The kernelspec of the course.
KERNEL = "rust"
PROVISIONER = "course-provisioner"
CHANGED = "the course has changed since the spare was made"
# `0` means: no spare kernels.
SWITCH = "COURSE_SPARE_KERNEL"
# Seconds that compiling the crates may take on a slow machine, another set-up of the clone included.
LONGEST_REFRESH = 1800.0

_current: "SpareKeeper | None" = None


class NoSpare(Exception):
    """There is no spare that could be given away; the text says why."""


def current() -> "SpareKeeper | None":
    """The keeper of this process, if it has one."""
    return _current


def start(server: "ServerApp") -> None:
    """Keeps spares for this server from now on, if it has the course's kernel."""
    global _current
    if os.environ.get(SWITCH) == "0":
        server.log.info("No spare kernel is kept: %s is 0", SWITCH)
        return
    try:
        specs = server.kernel_spec_manager
        assert specs is not None
        spec = specs.get_kernel_spec(KERNEL)
        if spec.metadata.get("kernel_provisioner", {}).get("provisioner_name") != PROVISIONER:
            raise NoSpare(f"the kernel `{KERNEL}` is not the course's")
        _current = SpareKeeper(spec.argv[0], parent=server, log=server.log)
    except Exception as error:
        server.log.warning("No spare kernel is kept: %s", error)
        return
    server.io_loop.add_callback(_current.run)


class SpareKeeper(LoggingConfigurable):
    """Prepares a spare when the machine is quiet, and throws it away when it is no longer right."""

    first_after = Float(1.0, help="Seconds from the server's start to the first spare.").tag(
        config=True
    )
    quiet_seconds = Float(
        30.0, help="Seconds after a kernel's start in which no spare is prepared."
    ).tag(config=True)
    busy = Float(50.0, help="Percent of the processor in use, from which on it is busy.").tag(
        config=True
    )
    watch_seconds = Float(3.0, help="Seconds between two looks at the machine.").tag(config=True)
    must_remain = Float(3.0, help="GiB of memory that must remain available.").tag(config=True)
    takes = Float(0.5, help="GiB of memory that a spare takes.").tag(config=True)
    retry_seconds = Float(
        300.0, help="Seconds after which what failed is tried again, though nothing has changed."
    ).tag(config=True)

    def __init__(self, launcher: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.launcher = launcher
        self.clone = Path(launcher).parents[2]
        self.folder = (self.clone / "notebooks").resolve()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._spare: Spare | None = None
        self._why_not = "no spare has been prepared yet"
        self._not_before = 0.0
        # What a spare could not be made from: tried again when it has changed, or later.
        self._failed = ""
        self._retry_at = 0.0
        # What the last spare was made from.
        self._made_from = ""
        self._is_first = True
        self._said = ""

    async def run(self) -> None:
        """Watches for as long as the server lives."""
        self.loop = asyncio.get_running_loop()
        self._not_before = time.monotonic() + self.first_after
        await asyncio.sleep(self.first_after)
        while True:
            try:
                await self._look()
            except Exception:
                self.log.exception("The keeper of spare kernels met an error")
            await asyncio.sleep(self.watch_seconds)

    def kernel_started(self) -> None:
        """Takes note that a kernel has just started: its first cells need the machine."""
        self._not_before = time.monotonic() + self.quiet_seconds

    async def take(self, environment: dict[str, str]) -> Spare:
        """Gives the spare away; raises `NoSpare` with the reason if there is none that fits.

        A spare that is still getting warm is given as well: it is further than a kernel that
        would start now.
        """
        spare = self._spare
        if spare is None:
            raise NoSpare(self._why_not)
        if environment != spare.environment:
            raise NoSpare("its environment differs from the spare's")
        # From here on nobody else may have it.
        self._spare = None
        self._why_not = "the spare has just been given away"
        reason = self._fault(spare, is_wanted=True)
        if reason:
            await spare.end()
            self._why_not = reason
            self._rest_if_compiled_by_others(reason)
            raise NoSpare(reason)
        self.kernel_started()
        return spare

    async def _look(self) -> None:
        if self._spare is not None:
            reason = self._fault(self._spare)
            if reason is None:
                return
            spare, self._spare = self._spare, None
            self._why_not = reason
            self.log.info("The spare kernel is thrown away: %s", reason)
            await spare.end()
            self._rest_if_compiled_by_others(reason)
        reason = self._obstacle()
        if reason is None:
            await self._prepare()
        elif reason:
            self._say(f"No spare kernel is prepared: {reason}")
            self._why_not = reason

    def _fault(self, spare: Spare, is_wanted: bool = False) -> str | None:
        """Why a spare is of no use, if so. Who wants it needs the memory in any case."""
        if not spare.lives():
            return "the spare has died"
        if spare.fingerprint != fingerprint.of_everything(self.clone):
            return CHANGED
        if not is_wanted and available() < self.must_remain:
            return f"less than {self.must_remain:.1f} GiB of memory is left"
        return None

    def _obstacle(self) -> str | None:
        """Why no spare may be made now: a reason to tell, or an empty one if it is a passing one."""
        # Since the last look. The server's own start keeps the machine busy: nobody waits for that.
        is_busy = psutil.cpu_percent() > self.busy and not self._is_first
        if is_busy or time.monotonic() < self._not_before:
            return ""
        if available() < self.must_remain + self.takes:
            return f"less than {self.must_remain:.1f} GiB of memory would remain"
        is_same = fingerprint.of_sources(self.clone) == self._failed
        if is_same and time.monotonic() < self._retry_at:
            return ""
        return None

    async def _prepare(self) -> None:
        began = time.monotonic()
        self._is_first = False
        sources = fingerprint.of_sources(self.clone)
        try:
            await self._refresh()
            if sources != fingerprint.of_sources(self.clone):
                # Edited meanwhile: nobody knows which of both was compiled.
                return
            self._spare = spare = Spare(
                self.launcher,
                self.folder,
                environment_now(),
                Path(jupyter_runtime_dir()),
                fingerprint.of_everything(self.clone),
            )
            self._made_from = sources
        except (SpareFailed, OSError) as error:
            self._give_up(sources, error)
            return
        try:
            await spare.warmed()
        except SpareFailed as error:
            # Else it is the affair of whoever has it now.
            if self._spare is spare:
                self._spare = None
                self._give_up(sources, error)
                await spare.end()
            return
        self._said = ""
        if self._spare is spare:
            self.log.info("A spare kernel is ready after %.0f s", time.monotonic() - began)

    def _rest_if_compiled_by_others(self, reason: str) -> None:
        """Two servers with another Rust or MPI library each would compile against each other."""
        if reason == CHANGED and fingerprint.of_sources(self.clone) == self._made_from:
            why = "somebody else has compiled the crates, perhaps with another Rust or MPI library"
            self._give_up(self._made_from, SpareFailed(why))

    def _give_up(self, sources: str, error: Exception) -> None:
        """Notes that nothing comes of these sources, for a while or until they change."""
        self._failed = sources
        self._retry_at = time.monotonic() + self.retry_seconds
        self._why_not = f"no spare could be made: {error}"
        self.log.warning("No spare kernel could be made: %s", error)

    async def _refresh(self) -> None:
        """Brings the compiled crates up to date; takes no time if they are."""
        lifeline = Lifeline()
        try:
            process = await asyncio.create_subprocess_exec(
                self.launcher,
                "refresh",
                stdin=lifeline.far_end,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | {VARIABLE: "1"},
                start_new_session=True,
            )
            lifeline.hand_over()
            _, errors = await asyncio.wait_for(process.communicate(), LONGEST_REFRESH)
        except asyncio.TimeoutError:
            raise SpareFailed("compiling the crates took too long") from None
        finally:
            # If it still runs, it ends by this.
            lifeline.cut()
        if process.returncode:
            lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise SpareFailed(f"the crates could not be compiled: {lines[-1]}")

    def _say(self, text: str) -> None:
        """Logs something once until something else has happened."""
        if text != self._said:
            self._said = text
            self.log.info(text)


def environment_now() -> dict[str, str]:
    """What a kernel that starts now will see, but for what Jupyter sets for each kernel."""
    from .provisioner import without_own

    return without_own(dict(os.environ))
