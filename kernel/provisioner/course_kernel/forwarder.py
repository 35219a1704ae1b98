"""Passes connections on from one kernel's ports to another's."""

import asyncio

# Jupyter's names of a kernel's ports.
PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
CHUNK = 1 << 16


class Forwarder:
    """Listens on ports where clients look for their kernel, while the kernel is at others.

    Clients cannot be told that their kernel has moved: those of a restarted kernel still hold
    sockets to where the old one was, and ZeroMQ connects them anew to the same place.
    """

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, ip: str, ports: dict[int, int]) -> "Forwarder":
        """Listens on the keys and passes on to the values; raises OSError if a port is taken."""
        forwarder = cls()
        try:
            for here, there in ports.items():
                await forwarder._listen(ip, here, there)
        except BaseException:
            await forwarder.close()
            raise
        return forwarder

    async def _listen(self, ip: str, here: int, there: int) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await connect(reader, writer, ip, there)
            except (OSError, asyncio.CancelledError):
                # The kernel is gone, or we are: either way the client sees its connection end.
                pass
            finally:
                self._connections.discard(task)
                writer.close()

        self._servers.append(await asyncio.start_server(accept, ip, here))

    async def close(self) -> None:
        """Gives the ports free, and ends all connections.

        It does not wait until each client has read what is under way to it: that may be never.
        """
        for server in self._servers:
            server.close()
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ip: str, port: int
) -> None:
    """Passes bytes both ways until one side ends."""
    far_reader, far_writer = await asyncio.open_connection(ip, port)
    ways = [
        asyncio.ensure_future(pump(reader, far_writer)),
        asyncio.ensure_future(pump(far_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        far_writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK):
        writer.write(chunk)
        await writer.drain()
