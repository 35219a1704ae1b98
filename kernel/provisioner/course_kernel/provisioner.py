"""How Jupyter starts a kernel of the course."""

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from . import keeper
from .lifeline import VARIABLE, Lifeline
from .spare import Spare, SpareFailed

# Jupyter sets variables of this prefix anew for each kernel.
OF_EACH_KERNEL = "JPY_"
# Seconds after which ZeroMQ has given up what was meant for the kernel that was here before.
# Jupyter's own socket lingers for 0.1 s. An interrupt that arrives late would hit the wrong one.
LINGER = 0.2


class CourseProvisioner(LocalProvisioner):
    """Takes the spare kernel of this process if there is one that fits, else starts a kernel.

    A kernel that it starts ends with this process, whatever ends that, unless it is asked to be
    `independent`.
    """

    _lifeline: Lifeline | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Starts the kernel, or finds it started."""
        self._let_go()
        spares = keeper.current()
        if spares is None:
            self.log.debug("no spare kernels are kept in this process")
            return await self._start(cmd, **kwargs)
        try:
            reason = self._objection(spares, cmd, kwargs)
            if reason is None:
                await self._adopt(await spares.take(without_own(kwargs["env"])), kwargs)
                return self.connection_info
        except (keeper.NoSpare, SpareFailed) as refusal:
            reason = str(refusal)
        except Exception as error:
            # Nothing that goes wrong with a spare may keep a kernel from starting.
            reason = f"the spare could not be taken: {error!r}"
        self.log.info("Kernel %s starts the ordinary way: %s", self.kernel_id, reason)
        spares.kernel_started()
        return await self._start(cmd, **kwargs)

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
        if info["transport"] != "tcp" or "curve_publickey" in info:
            return "its clients talk another protocol"
        if spares.loop is not asyncio.get_running_loop():
            return "it is started from another thread"
        return None

    async def _adopt(self, spare: Spare, kwargs: dict[str, Any]) -> None:
        """Makes the spare this kernel.

        It need not be warm: whoever asks it for something waits until it is. Should it die before,
        Jupyter finds its kernel dead and starts another, as with any kernel.
        """
        readiness = "was ready" if spare.is_warm else "is almost ready"
        manager = self.parent
        assert manager is not None
        # As in the connection file.
        info: KernelConnectionInfo = {**self.connection_info, "kernel_name": manager.kernel_name}
        try:
            if self.pid is not None:
                await asyncio.sleep(LINGER)
            # The ports are free: a kernel that was there has ended.
            await spare.hand_over(info, manager.session.key.decode())
        except BaseException:
            # Perhaps who wanted the kernel has given up.
            await spare.end()
            raise
        self._lifeline = spare.lifeline
        self.process = spare.process
        self.pid = spare.process.pid
        self.pgid = spare.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        self.log.info("Kernel %s is the spare, which %s", self.kernel_id, readiness)

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
        self._let_go()
        await super().cleanup(restart=restart)

    def _let_go(self) -> None:
        """Forgets the kernel that was here, which has ended."""
        if self._lifeline is not None:
            self._lifeline.cut()
            self._lifeline = None


def without_own(environment: dict[str, str]) -> dict[str, str]:
    """The environment without what Jupyter sets for each kernel."""
    return {
        name: value for name, value in environment.items() if not name.startswith(OF_EACH_KERNEL)
    }
