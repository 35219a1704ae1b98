"""The one loop over what a kernel says: whoever waits for something of a kernel waits here."""

import time
from collections.abc import Callable
from typing import Any

import zmq

Message = dict[str, Any]
# Is called with the name of a channel and what came there.
Take = Callable[[str, Message], None]
# Raises what ends the waiting early; is told whether nothing has come since the last time.
Meanwhile = Callable[[bool], None]

CHANNELS = ("iopub", "shell", "stdin", "control")
# Seconds of silence after which one looks whether the kernel is still there.
LOOK_AFTER = 0.5


def listen(
    client: Any,
    until: Callable[[], bool],
    take: Take,
    meanwhile: Meanwhile,
    every: float = LOOK_AFTER,
) -> None:
    """Takes in all messages until the condition holds.

    `meanwhile` is called between messages, and now and then while there are none.
    """
    channels = {name: getattr(client, f"{name}_channel") for name in CHANNELS}
    poller = zmq.Poller()
    names = {}
    for name, channel in channels.items():
        poller.register(channel.socket, zmq.POLLIN)
        names[channel.socket] = name
    is_silent = False
    while not until():
        meanwhile(is_silent)
        ready = poller.poll(int(every * 1000))
        for socket, _ in ready:
            take(names[socket], channels[names[socket]].get_msg(timeout=0))
        is_silent = not ready


def within(seconds: float, what: str) -> Meanwhile:
    """A limit of time from now on, for `listen`."""
    deadline = time.monotonic() + seconds

    def look(_: bool) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no end after {seconds:g} seconds: {what}")

    return look
