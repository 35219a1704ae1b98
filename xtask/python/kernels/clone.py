"""The clone that this lies in, and where its kernel is."""

import sys
from pathlib import Path

import psutil

CLONE = Path(__file__).resolve().parents[3]
SCRIPTS = CLONE / "xtask/python"
# Whoever asks the network gets no answer from here.
NO_NETWORK = {
    "CARGO_NET_RETRY": "0",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
}


def script(name: str) -> list[str]:
    """How one of the programs of this folder is started: the first words of its command line."""
    return [sys.executable, str(SCRIPTS), name]


def launcher(clone: Path = CLONE) -> Path:
    return clone / ".course/bin/course-kernel"


def kernel_program(clone: Path = CLONE) -> Path:
    """What the launcher becomes."""
    return clone / ".course/kernel/bin/course-kernel"


def is_kernel_program(process: psutil.Process) -> bool:
    """Whether a process is the kernel by now, and neither its launcher nor what runs its cells."""
    return process.cmdline()[1:2] in (["--control_file"], ["--standby"])
