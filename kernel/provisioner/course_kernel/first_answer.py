"""Waiting until a kernel answers for the first time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.connect import KernelConnectionInfo

# Seconds between looks at whether it lives.
LOOK = 0.5


async def first_answer(
    info: KernelConnectionInfo, lives: Callable[[], Awaitable[bool]], seconds: float
) -> bool:
    """Asks a kernel once, and tells whether it answered: not if it ends, or if the time is over.

    Jupyter's server asks a kernel that is starting twice a second, each time over the same
    connections, and closes them at the first answer. All other answers then come too late. When
    there are many of these, as on a slow machine, evcxr may fail to send one, and runs no cell any
    more. So the server is not let near the kernel before it answers.
    """
    client = AsyncKernelClient()
    client.load_connection_info(info)
    client.start_channels(iopub=False, stdin=False, hb=False, control=False)
    try:
        client.kernel_info()
        answer = asyncio.ensure_future(client.get_shell_msg(timeout=seconds))
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline and await lives():
                await asyncio.wait([answer], timeout=LOOK)
                if answer.done():
                    return answer.exception() is None
            return False
        finally:
            answer.cancel()
            with suppress(BaseException):
                await answer
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)
