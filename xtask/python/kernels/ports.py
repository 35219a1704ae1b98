"""Ports for kernels that nobody else takes meanwhile.

Jupyter asks the system for free ports, gives them back, and names them to the kernel, which takes them a second
later. Until then the system may give them to anybody. These ports are outside of the range that the system
gives ports from, and who has picked one keeps a lock on it, so that no other program of the course picks it.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

from jupyter_client.connect import LocalPortCache

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST, HIGHEST = 10_000, 32_000
LOCKS = Path(tempfile.gettempdir(), f"course-ports-{os.getuid()}")
# Open files with locks; the system gives them up when this process ends.
_held: list[IO[str]] = []


def _outside() -> range:
    """Ports that the system gives to nobody who does not name them."""
    try:
        first, last = map(int, RANGE.read_text().split())
    except OSError:
        return range(LOWEST, HIGHEST)
    below, above = range(LOWEST, min(first, HIGHEST)), range(last + 1, 65_536)
    return max(below, above, key=len)


def pick(host: str = "127.0.0.1") -> int:
    """A port that is free, and stays so until this process ends or somebody is told to use it."""
    LOCKS.mkdir(mode=0o700, exist_ok=True)
    candidates = _outside()
    for port in random.sample(candidates, len(candidates)):
        lock = open(LOCKS / str(port), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind((host, port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port
    raise OSError(f"no port of {candidates} is free")


def use_these() -> None:
    """From now on, kernels that this process starts get such ports."""
    setattr(LocalPortCache, "find_available_port", lambda self, ip: pick(ip))
