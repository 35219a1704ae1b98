"""Which notebooks have run well, so that none runs again for nothing.

A run counts as long as nothing has changed that decides about it: what stands in the notebook besides its outputs,
the crates and the kernel, the compiler, and the programs that run notebooks.
"""

import hashlib
import json
import time
from pathlib import Path

from nbformat import NotebookNode

from kernels.clone import CLONE, SCRIPTS

# Written when the crates are compiled: a digest of their sources, of the kernel's, of the compiler's version and
# of the MPI library.
STAMP = CLONE / ".course/warm/stamp"
# Other parts of what a notebook runs on.
PARTS = [
    CLONE / ".course/bin/course-kernel",
    CLONE / ".course/venv/packages",
    CLONE / ".course/venv/provisioner",
]
# One of those below.
DIGEST = "[0-9a-f]" * 16
# What runs them.
RUNNERS = [SCRIPTS / "kernels", SCRIPTS / "notebooks"]


def remember(
    folder: Path | None, path: Path, notebook: NotebookNode, where: str, others: str = ""
) -> None:
    """Writes down that the notebook has run to its end, as it should. Without a folder nothing is written."""
    basis = digest_of_basis()
    if folder is None or basis is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    run = {"where": where, "when": time.time()}
    written = folder / f"{name_of(path)}-{digest_of_text(notebook, others)}-{basis}.json"
    new = written.with_suffix(".new")
    new.write_text(json.dumps(run), encoding="utf-8")
    new.rename(written)
    for earlier in set(folder.glob(f"{name_of(path)}-{DIGEST}-{DIGEST}.json")) - {written}:
        # A check beside this one may have done the same.
        earlier.unlink(missing_ok=True)


def known(
    folder: Path | None,
    path: Path,
    notebook: NotebookNode,
    others: str = "",
    text_only: bool = False,
) -> str | None:
    """Says where and when the notebook has run, as it is and on what there is; nothing if it has not.

    With `text_only`, it may have run on other crates and with other programs.
    """
    basis = "*" if text_only else digest_of_basis()
    if folder is None or basis is None:
        return None
    runs = [
        json.loads(file.read_text(encoding="utf-8"))
        for file in folder.glob(f"{name_of(path)}-{digest_of_text(notebook, others)}-{basis}.json")
    ]
    if not runs:
        return None
    last = max(runs, key=lambda run: run["when"])
    minutes = (time.time() - last["when"]) / 60
    unchanged = "it has not changed" if text_only else "nothing has changed"
    return f"{last['where']}, {minutes:.0f} minutes ago, and {unchanged}"


def name_of(path: Path) -> str:
    """A lesson and its exercises have the same name, in different folders."""
    return f"{path.parent.name}-{path.stem}"


def digest_of_text(notebook: NotebookNode, others: str) -> str:
    """A digest of what stands in a notebook besides its outputs, and of other texts that decide."""
    cells = [
        (cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells
    ]
    return hashlib.sha256(json.dumps([cells, others]).encode()).hexdigest()[:16]


def digest_of_basis() -> str | None:
    """A digest of all that notebooks run on; nothing if that cannot be told."""
    digest = hashlib.sha256()
    scripts = sorted(file for folder in RUNNERS for file in folder.glob("*.py"))
    try:
        for file in [STAMP, *PARTS, *scripts]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    except FileNotFoundError:
        return None
    return digest.hexdigest()[:16]
