"""Which notebooks have run well, so that none runs again for nothing.

A run counts as long as nothing has changed that decides about it: what stands in the notebook besides its outputs,
the crates and the kernel, the compiler, and the programs that run notebooks.
"""

import hashlib
import json
import time
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
# Written when the crates are compiled: a digest of their sources, of the kernel's, of the compiler's version and
# of the MPI library.
STAMP = CLONE / ".course/warm/stamp"
# Other parts of what a notebook runs on.
PARTS = [
    CLONE / ".course/bin/course-kernel",
    CLONE / ".course/venv/packages",
    CLONE / ".course/venv/provisioner",
]


def remember(folder, path, notebook, where, others=""):
    """Writes down that the notebook has run to its end, as it should. Without a folder nothing is written."""
    key = key_of(notebook, others) if folder else None
    if key is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    run = {"where": where, "when": time.time()}
    new = folder / f"{path.stem}-{key}.new"
    new.write_text(json.dumps(run), encoding="utf-8")
    new.rename(file_of(folder, path, key))


def known(folder, path, notebook, others=""):
    """Says where and when the notebook has run, as it is and on what there is; nothing if it has not."""
    key = key_of(notebook, others) if folder else None
    if key is None:
        return None
    try:
        run = json.loads(file_of(folder, path, key).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    minutes = (time.time() - run["when"]) / 60
    return f"{run['where']}, {minutes:.0f} minutes ago, and nothing has changed"


def file_of(folder, path, key):
    return folder / f"{path.stem}-{key}.json"


def key_of(notebook, others=""):
    """A digest of all that decides about a run, of other texts too; nothing if that cannot be told."""
    digest = hashlib.sha256()
    scripts = sorted(Path(__file__).parent.glob("*.py"))
    try:
        for file in [STAMP, *PARTS, *scripts]:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    except FileNotFoundError:
        return None
    cells = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]
    digest.update(json.dumps([cells, others]).encode())
    return digest.hexdigest()[:16]
