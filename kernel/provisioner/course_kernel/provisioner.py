"""How Jupyter starts a kernel of the course."""

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from . import keeper
from .first_answer import first_answer
from .forwarder import PORTS, Forwarder
from .lifeline import VARIABLE, Lifeline
from .spare import Spare, SpareFailed

# Jupyter sets variables of this prefix anew for each kernel.
OF_EACH_KERNEL = "JPY_"
# Seconds after which ZeroMQ has given up what was meant for the kernel that was here before.
# Jupyter's own socket lingers for 0.1 s. An interrupt that arrives late would hit the wrong one.
LINGER = 0.2
# Seconds that a kernel may take until it answers, before clients are let near it all the same.
LONGEST_START = 60.0


class CourseProvisioner(LocalProvisioner):
    """Takes the spare kernel of this process if there is one that fits, else starts a kernel.

    A kernel that it starts ends with this process, whatever ends that, unless it is asked to be
    `independent`.
    """

    _forwarder: Forwarder | None = None
    _lifeline: Lifeline | None = None
    _spare: Spare | None = None
    # Waits for a spare that was taken before it was warm.
    _settling: "asyncio.Task[None] | None" = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """As always, but with the key that the spare has too: clients sign with it."""
        manager, spares = self.parent, keeper.current()
        if spares and manager and not os.path.exists(manager.connection_file):
            manager.session.key = spares.key
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Starts the kernel, or finds it started."""
        # The ports must be free for a kernel that is going to listen there itself.
        await self._let_go()
        spares = keeper.current()
        if spares is None:
            self.log.debug("no spare kernels are kept in this process")
            return await self._start(cmd, **kwargs)
        try:
            reason = self._objection(spares, cmd, kwargs)
            spare = None if reason else await spares.take(self._environment(kwargs))
            if spare is not None:
                await self._adopt(spare, cmd, kwargs)
                if self._settling is not None:
                    # One that is warm has just answered.
                    await self._first_answer()
                return self.connection_info
        except keeper.NoSpare as no_spare:
            reason = str(no_spare)
        except Exception as error:
            # Nothing that goes wrong with a spare may keep a kernel from starting.
            reason = f"the spare could not be taken: {error!r}"
        self.log.info("Kernel %s starts the ordinary way: %s", self.kernel_id, reason)
        spares.kernel_started()
        info = await self._start(cmd, **kwargs)
        await self._first_answer()
        return info

    async def _first_answer(self) -> None:
        async def lives() -> bool:
            return await self.poll() is None

        try:
            if self._settling is not None:
                # Whom to ask is not known before.
                await asyncio.wait([self._settling], timeout=LONGEST_START)
            answered = await first_answer(self.connection_info, lives, LONGEST_START)
        except asyncio.CancelledError:
            # Who wanted the kernel has given up.
            await self.kill()
            await self.cleanup()
            raise
        except Exception as error:
            self.log.warning("Kernel %s cannot be asked: %r", self.kernel_id, error)
        else:
            if not answered:
                self.log.warning("Kernel %s has not answered", self.kernel_id)

    def _objection(
        self, spares: "keeper.SpareKeeper", cmd: list[str], kwargs: dict[str, Any]
    ) -> str | None:
        """Why this kernel cannot be a spare, if so, by how it is to be started."""
        info, manager = self.connection_info, self.parent
        if manager is None:
            return "nobody manages it"
        expected = [spares.launcher, "kernel", os.path.realpath(manager.connection_file)]
        if cmd != expected:
            return "its command line is another"
        if Path(kwargs.get("cwd") or os.getcwd()).resolve() != spares.folder:
            return f"it runs in another folder than {spares.folder}"
        extra = set(kwargs) - {"cwd", "env", "kernel_id"}
        if extra:
            return f"it is started with {', '.join(sorted(extra))}"
        if info["transport"] != "tcp" or info["ip"] != "127.0.0.1" or "curve_publickey" in info:
            return "its clients talk another protocol"
        if manager.session.key != spares.key:
            return "its clients sign with another key"
        if spares.loop is not asyncio.get_running_loop():
            return "it is started from another thread"
        return None

    @staticmethod
    def _environment(kwargs: dict[str, Any]) -> dict[str, str]:
        return without_own(kwargs["env"])

    async def _adopt(self, spare: Spare, cmd: list[str], kwargs: dict[str, Any]) -> None:
        """Makes the spare this kernel, at the ports where clients look for it."""
        info: dict[str, Any] = dict(self.connection_info)
        ports = {int(info[name]): int(spare.info[name]) for name in PORTS}
        try:
            if self.pid is not None:
                await asyncio.sleep(LINGER)
            self._forwarder = await Forwarder.open(info["ip"], ports)
            is_warm = spare.is_warm
            if is_warm:
                spare.release()
        except BaseException:
            # A port is taken, or who wanted the kernel has given up.
            await self._let_go()
            await spare.end()
            raise
        self._spare, self._lifeline = spare, spare.lifeline
        self.process = spare.process
        self.pid = spare.process.pid
        self.pgid = spare.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        if is_warm:
            self.log.info("Kernel %s is the spare, which was ready", self.kernel_id)
        else:
            self.log.info("Kernel %s is the spare, which is almost ready", self.kernel_id)
            self._settling = asyncio.ensure_future(self._settle(spare, cmd, kwargs))

    async def _settle(self, spare: Spare, cmd: list[str], kwargs: dict[str, Any]) -> None:
        """Waits for a spare to get warm; if it does not, starts the kernel in its place.

        Clients do not notice: they ask at the same ports until somebody answers.
        """
        try:
            await spare.warmed()
            spare.release()
        except SpareFailed as error:
            self.log.info("Kernel %s starts the ordinary way: %s", self.kernel_id, error)
            await spare.end()
            await self._let_go()
            await self._start(cmd, **kwargs)

    async def poll(self) -> int | None:
        """Whether the kernel lives; one that is just being replaced does."""
        if self._settling is not None and not self._settling.done():
            return None
        return await super().poll()

    async def shutdown_requested(self, restart: bool = False) -> None:
        self._stop_settling()
        await super().shutdown_requested(restart=restart)

    async def terminate(self, restart: bool = False) -> None:
        self._stop_settling()
        await super().terminate(restart=restart)

    async def kill(self, restart: bool = False) -> None:
        self._stop_settling()
        await super().kill(restart=restart)

    def _stop_settling(self) -> None:
        """The kernel is to end: nothing may take its place."""
        if self._settling is not None:
            self._settling.cancel()

    async def _start(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        if kwargs.get("independent") or "stdin" in kwargs:
            return await super().launch_kernel(cmd, **kwargs)
        lifeline = Lifeline()
        try:
            info = await super().launch_kernel(
                cmd,
                **{
                    **kwargs,
                    "stdin": lifeline.far_end,
                    "env": {**(kwargs.get("env") or os.environ), VARIABLE: "1"},
                },
            )
        except BaseException:
            lifeline.cut()
            raise
        lifeline.hand_over()
        self._lifeline = lifeline
        return info

    async def cleanup(self, restart: bool = False) -> None:
        await self._let_go()
        await super().cleanup(restart=restart)

    async def _let_go(self) -> None:
        """Forgets the kernel that was here, which has ended."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is not None:
            await forwarder.close()
        if self._lifeline is not None:
            self._lifeline.cut()
            self._lifeline = None
        if self._spare is not None:
            self._spare.release()
            self._spare.give_ports_back()
            self._spare = None


def without_own(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what Jupyter sets for each kernel."""
    return {
        name: value for name, value in environment.items() if not name.startswith(OF_EACH_KERNEL)
    }
