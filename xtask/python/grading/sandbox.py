"""The folder in which a notebook runs: its own, with what was handed in beside it.

Whatever a cell writes there is gone afterwards, and nobody else's notebook sees it.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from grading.handed_in import OF_TOOLS, Ours, is_named_as_notebook
from kernels.clone import CLONE

NAME = "course-grade-"
TOOLCHAIN = CLONE / "rust-toolchain.toml"
# What a notebook may bring along.
MOST_BROUGHT = 1 << 30


class TooMuch(Exception):
    """What lies beside a notebook is too large to be copied."""


class Sandbox:
    """A copy of what lies beside a notebook; `with` deletes it."""

    def __init__(self, beside: Path | None, is_ours: Ours = lambda path: False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=NAME))
        # Held as long as this program lives. Whoever sees the file must find it locked.
        new = self.root / "lock.new"
        self.lock = open(new, "w", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        new.rename(self.root / "lock")
        # As deep as the exercises lie in the clone, so that `../..` leads to nobody else.
        self.folder = self.root / "notebooks/exercises"
        self.temporary = self.root / "tmp"
        try:
            self.folder.mkdir(parents=True)
            self.temporary.mkdir()
            # As the clone says which Rust to take, so does this folder.
            if TOOLCHAIN.exists():
                shutil.copy(TOOLCHAIN, self.root)
            self.size = 0
            if beside:
                self.bring(beside, self.folder, is_ours)
        except BaseException:
            self.__exit__()
            raise

    def bring(self, source: Path, target: Path, is_ours: Ours) -> None:
        for path in brought_from(source, is_ours):
            # What goes meanwhile, as an editor's files do, is nothing to bring.
            with contextlib.suppress(FileNotFoundError):
                if path.is_dir():
                    (target / path.name).mkdir()
                    self.bring(path, target / path.name, is_ours)
                    continue
                self.size += path.stat().st_size
                if self.size > MOST_BROUGHT:
                    raise TooMuch(f"what lies beside it is more than {MOST_BROUGHT >> 30} GiB")
                shutil.copyfile(path, target / path.name)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        """Deletes the folder."""
        delete(self.root)
        self.lock.close()


def delete(folder: Path) -> None:
    """Deletes a folder, also where a cell has made it hard to delete."""

    def unlocked(function: Callable[[str], object], path: str, _error: object) -> None:
        for place in (os.path.dirname(path), path):
            if os.path.isdir(place) and not os.path.islink(place):
                os.chmod(place, stat.S_IRWXU)
        if function in (os.scandir, os.open, os.listdir):
            shutil.rmtree(path, ignore_errors=True)
        else:
            function(path)

    try:
        shutil.rmtree(folder, onerror=unlocked)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Deletes what a grader has left that was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{NAME}*"):
        try:
            with open(folder / "lock", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                delete(folder)
        except FileNotFoundError:
            # It may be about to be locked.
            if time.time() - folder.lstat().st_mtime > 60:
                delete(folder)
        except OSError:
            continue


def brought_from(folder: Path, is_ours: Ours) -> list[Path]:
    """What belongs to a notebook in this folder: files, and folders without a notebook in them."""
    brought = []
    for path in sorted(folder.iterdir()):
        if path.name in OF_TOOLS or path.name.startswith("._") or is_ours(path):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(
                is_named_as_notebook(name) for _, _, names in os.walk(path) for name in names
            ):
                brought.append(path)
        # Neither pipes, on which one would wait, nor links, which may lead anywhere.
        elif path.is_file() and not path.is_symlink() and not is_named_as_notebook(path.name):
            brought.append(path)
    return brought


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder, as far as they can be seen."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return size
