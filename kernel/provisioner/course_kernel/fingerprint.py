"""Tells whether anything that a warm kernel was made from has changed since."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

# In the clone: what is compiled, what it is compiled with, and what is done with it.
SOURCES = [
    "helpers",
    "helpers-mpi",
    "Cargo.toml",
    "Cargo.lock",
    "kernel/runner",
    "kernel/spare",
    "kernel/store",
    "xtask/python/kernels/cells.py",
    ".course/bin/course-kernel",
    ".course/kernel/bin/course-kernel",
    ".course/mpi/packages",
]
# Folders of a crate that do not decide what is compiled for notebooks.
NO_SOURCES = {"benches", "examples", "target", "tests"}
# What has been compiled. It changes by what we do ourselves, so it is no reason to do it again.
STAMP = ".course/warm/stamp"


def of_sources(clone: Path) -> str:
    """A digest of names, sizes and times of change: cheap enough to take every few seconds."""
    return digest(clone, SOURCES)


def of_everything(clone: Path) -> str:
    return digest(clone, [*SOURCES, STAMP])


def digest(clone: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        for path in files(clone / name):
            try:
                about = path.stat()
            except OSError:
                digest.update(f"{path}\0-\n".encode(errors="surrogateescape"))
                continue
            line = f"{path}\0{about.st_size}\0{about.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()


def files(path: Path) -> Iterator[Path]:
    """The file itself, or all files in a folder."""
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in set(folders) - NO_SOURCES if is_source(name))
        for name in filter(is_source, sorted(names)):
            yield Path(folder, name)


def is_source(name: str) -> bool:
    """Not what an editor or the system keeps beside a file."""
    return not name.startswith(".")
