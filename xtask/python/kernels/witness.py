"""What there is at this moment: told when a test fails, to somebody who cannot run it again."""

import contextlib
import weakref
from typing import Protocol

import psutil


class Witness(Protocol):
    """What can tell about itself: texts by their titles."""

    def state(self) -> dict[str, str]: ...


# What lives of all that can tell about itself: kernels, and servers.
_living: weakref.WeakSet[Witness] = weakref.WeakSet()
# What those told that an error has ended, until it is reported.
_kept: list[str] = []
# As much of a log as somebody reads.
LOG = 4000


def register(one: Witness) -> None:
    """From now on, as long as it lives, its `state()` is told: texts by their titles."""
    _living.add(one)


def keep(one: Witness) -> None:
    """It is about to be ended by an error, which is reported later."""
    _kept.append(told_by(one))


def forget(one: Witness) -> None:
    """It has ended."""
    _living.discard(one)


def shorten(text: str, most: int = 500) -> str:
    return text if len(text) <= most else f"{text[: most * 3 // 5]} … {text[-most * 2 // 5 :]}"


def processes_of(ancestor: int) -> str:
    """A line for a process and for each below it."""
    lines = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [psutil.Process(ancestor)]
        family += family[0].children(recursive=True)
        for process in family:
            # Any of them may end meanwhile.
            with contextlib.suppress(psutil.Error):
                used = sum(process.cpu_times()[:2])
                command = shorten(" ".join(process.cmdline()) or process.name(), 200)
                lines.append(f"{process.pid} {process.status()} {used:.1f} s {command}")
    return "\n".join(lines) or "none"


def told_by(one: Witness) -> str:
    title = f"{type(one).__name__} {id(one):x}"
    # What is harmed may be unable to tell.
    try:
        state = one.state()
    except Exception as error:
        state = {"cannot be told": repr(error)}
    return "\n".join(f"-- {title}: {name}:\n{text.strip()}" for name, text in state.items())


def report() -> str:
    """All that is told now."""
    parts = [*_kept, *map(told_by, sorted(_living, key=id))]
    _kept.clear()
    load = " ".join(f"{number:.1f}" for number in psutil.getloadavg())
    memory = psutil.virtual_memory()
    parts.append(f"-- machine: load {load}; {memory.available >> 20} MiB of memory are free")
    return "\n".join(parts)
