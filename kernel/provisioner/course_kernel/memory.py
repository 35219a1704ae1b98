"""How much memory could be had, of the machine and within the limits of a container."""

from collections.abc import Iterator
from pathlib import Path

import psutil

GIB = float(1 << 30)
# Where Linux tells to which control groups a process belongs, and what these grant.
GROUPS = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
# The file with the limit, and what in `memory.stat` does not give way when memory is wanted.
VERSION_1 = ("memory.limit_in_bytes", {"total_rss", "total_shmem"})
VERSION_2 = ("memory.max", {"anon", "shmem"})


def available() -> float:
    """GiB of memory that could be had without swapping."""
    of_machine = int(psutil.virtual_memory().available)
    return min([of_machine, *left_in_groups()]) / GIB


def left_in_groups(groups: Path = GROUPS, root: Path = ROOT) -> Iterator[int]:
    """Bytes that each limit leaves to which this process is subject."""
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, (limit, kinds) = root, VERSION_2
        elif "memory" in controllers.split(","):
            base, (limit, kinds) = root / "memory", VERSION_1
        else:
            continue
        folder = base / path.lstrip("/")
        # A group is subject to the limits of those above it. A container's own is the uppermost.
        while True:
            yield from left_in(folder, limit, kinds)
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def left_in(folder: Path, limit: str, kinds: set[str]) -> Iterator[int]:
    try:
        # The word `max` stands for no limit.
        most = int((folder / limit).read_text())
        used = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield most - sum(int(number) for kind, number in used if kind in kinds)
    except (OSError, ValueError):
        return
