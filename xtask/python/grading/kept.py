"""What need not run again: the notebook, what lies beside it and the course are as they were."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from grading.handed_in import Ours, shown
from grading.row import Result, Row
from grading.sandbox import brought_from
from kernels.clone import CLONE

# What decides about a grade besides the notebook: the course's crates and programs, and this one.
PROGRAMS = ["xtask/python/grading", "xtask/python/kernels"]
SOURCES = ["helpers/src", "helpers-mpi/src", "kernel", "Cargo.lock", *PROGRAMS]
VERSION = 1


def digest_of_course(notebook: bytes, limits: object, points: object) -> str:
    """A digest of all that decides about the grades of a lesson."""
    digest = hashlib.sha256(repr((VERSION, limits, points)).encode())
    digest.update(notebook)
    for name in SOURCES:
        place = CLONE / name
        paths = [place] if place.is_file() else sorted(place.rglob("*"))
        for path in paths:
            if path.is_file() and path.suffix in {".rs", ".py", ".toml", ".lock"}:
                digest.update(f"{path.relative_to(CLONE)}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def digest_of_notebook(file: Path, is_ours: Ours) -> str:
    """A digest of a notebook and of what lies beside it."""
    digest = hashlib.sha256(file.read_bytes())
    for path in everything(brought_from(file.parent, is_ours)):
        about = path.stat()
        line = f"{shown(path.relative_to(file.parent))}\0{about.st_size}\0{about.st_mtime_ns}\n"
        digest.update(line.encode())
    return digest.hexdigest()


def everything(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        yield from sorted(path.rglob("*")) if path.is_dir() else [path]


class Kept:
    """The rows of the last time, by what they were made from."""

    def __init__(self, file: Path):
        self.rows: dict[str, Row] = {}
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            for entry in found["rows"]:
                entry["results"] = [Result(**result) for result in entry["results"]]
                row = Row(**entry)
                if row.digest and row.is_final:
                    self.rows[f"{row.file}\0{row.digest}"] = row
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            # None was written, or by another version: then all are run.
            self.rows = {}

    def get(self, file: str, digest: str) -> Row | None:
        return self.rows.get(f"{file}\0{digest}")


def text_of(rows: list[Row]) -> str:
    """All that is known of the rows, for the next time and for other programs."""
    return json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n"
