"""What the figures depend on: the machine, its system, and what runs there."""

import contextlib
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import re
import subprocess
from pathlib import Path

from bench.suite import Setting
from kernels.clone import CLONE

# The packages and crates whose versions decide about the figures.
PACKAGES = ["numpy", "joblib", "loky", "multiprocess", "dill", "ipykernel"]
CRATES = ["rayon", "ndarray", "rand"]


def machine(setting: Setting) -> dict[str, str]:
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    start = multiprocessing.get_start_method()
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor()}, {setting.workers} of {os.cpu_count()} cores",
        "memory": f"{total_memory() / 2**30:.1f} GiB",
        "system": f"{distribution()}, {platform.platform()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "Rust": rust.stdout.strip().removeprefix("rustc "),
        "crates": ", ".join(f"{name} {crate(name)}" for name in CRATES),
        "kernel": kernel(setting),
        "Python": f"{platform.python_version()}, which starts processes by {start}",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return "is missing"


def crate(name: str, lock: str = "Cargo.lock") -> str:
    """Its version in a lock file."""
    locked = (CLONE / lock).read_text(encoding="utf-8")
    found = re.search(rf'name = "{name}"\nversion = "(.+)"', locked)
    return found[1] if found else "is missing"


def kernel(setting: Setting) -> str:
    if setting.kernel is None:
        return "none"
    return f"the course's on evcxr {crate('evcxr', 'kernel/Cargo.lock')}"


def processor() -> str:
    """Its name; Python knows it on few systems."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def distribution() -> str:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return platform.system()


def total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def available_memory() -> int:
    """What may be used now, in bytes; all of the machine's where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return total_memory()
