"""Notebooks as files: which are meant, reading one, and writing it whole or not at all."""

import argparse
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

# Does something with the notebook of a path; tells whether it went well.
Work = Callable[[Path, argparse.Namespace], bool]


def choose(folder: Path, names: Sequence[str]) -> list[Path]:
    """The paths of the notebooks that are meant: by name, with or without its ending."""
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not known:
        sys.exit(f"error: there is no notebook in {folder}")
    wanted = [Path(name).name.removesuffix(".ipynb") for name in names]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        exist = "\n  ".join(known)
        sys.exit(f"error: there is no notebook {', '.join(unknown)}. There are:\n  {exist}")
    return [known[name] for name in wanted] if wanted else list(known.values())


def failures(
    work: Work, paths: Sequence[Path], options: argparse.Namespace, at_once: int
) -> list[str]:
    """The names of the notebooks with which the work went wrong; it is done with several at once."""
    with ThreadPoolExecutor(at_once) as threads:
        passed = threads.map(lambda path: work(path, options), paths)
        return [path.stem for path, well in zip(paths, passed) if not well]


def take(path: Path) -> tuple[bytes, NotebookNode]:
    """What is in the file of a notebook, and the notebook."""
    content = path.read_bytes()
    return content, nbformat.reads(content.decode("utf-8"), as_version=4)


def put(path: Path, before: bytes, text: str) -> bool:
    """Writes a notebook, unless the file is no longer what it was; tells whether it did."""
    try:
        is_unchanged = path.read_bytes() == before
    except FileNotFoundError:
        is_unchanged = False
    if not is_unchanged:
        return report(path, "was changed meanwhile, so nothing is written; run the command again")
    replace(path, text.encode("utf-8"))
    return True


# What is written before it gets its name.
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{8}")


def whole(name: str) -> str:
    """The name of a file; that of one that is just being written is what it will be."""
    partial = PARTIAL.fullmatch(name)
    return partial[1] if partial else name


def replace(path: Path, content: bytes) -> None:
    """Writes a file at once: whoever looks, whenever that is, finds all of the old or of the new."""
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(partial, "xb") as file:
            file.write(content)
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def report(path: Path, message: str) -> bool:
    # One write, as others may speak at the same time.
    print(f"{path.stem}: FAILED: {message}\n", end="", flush=True)
    return False
