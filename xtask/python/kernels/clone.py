"""The clone that this lies in, and where its kernel is."""

import sys
from pathlib import Path

CLONE = Path(__file__).resolve().parents[3]
SCRIPTS = CLONE / "xtask/python"
# Whoever asks the network gets no answer from here.
NO_NETWORK = {
    "CARGO_NET_RETRY": "0",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
}


def script(name):
    """How one of the programs of this folder is started: the first words of its command line."""
    return [sys.executable, str(SCRIPTS), name]


def launcher(clone=CLONE):
    return clone / ".course/bin/course-kernel"


def kernel_program(clone=CLONE):
    """What the launcher becomes."""
    return clone / ".course/kernel/bin/course-kernel"


def is_kernel_program(process):
    """Whether a process is the kernel by now, and neither its launcher nor what runs its cells."""
    return process.cmdline()[1:2] in (["--control_file"], ["--standby"])
