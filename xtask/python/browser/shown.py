"""What the pictures of `README.md` show, and whether they are older than that."""

import hashlib
import json
import re

from kernels.clone import CLONE
from notebooks import exercises

from .lessons import most_telling

# Beside the pictures: digests of what they showed when they were made.
SHOWN = CLONE / "assets/pictures.json"


def digests() -> dict[str, str]:
    """For each picture a digest of what it shows."""
    shown = {"lesson_01": lesson(), "exercise": exercise(), "documentation": documentation()}
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in shown.items()}


def lesson() -> str:
    """The list of all lessons at the left, and the cell with the plot."""
    notebooks = CLONE / "notebooks"
    names = sorted(path.name for path in notebooks.iterdir() if not path.name.startswith("."))
    path = notebooks / "01_multiprocessing.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join([*names, "".join(cells[most_telling(cells)]["source"])])


def exercise() -> str:
    """The first exercise: its task, its solution and its check."""
    path = exercises.FOLDER / "01_multiprocessing.ipynb"
    _, notebook = exercises.readable(path)
    first = exercises.exercises_of(notebook, handed_out=False)[0]
    cells = [notebook.cells[place].source for place in (first.cell - 1, first.check)]
    return "\n".join([*cells, first.solution])


def documentation() -> str:
    """What is written above `Pool::map`."""
    source = (CLONE / "helpers/src/pool/threads.rs").read_text(encoding="utf-8")
    pool = source[source.index("\nimpl Pool {") :]
    found = re.search(r"((?:    ///.*\n)+)(?:    #\[.*\n)*    pub fn map", pool)
    assert found, "`Pool::map` has no documentation"
    return found[1]


def note() -> None:
    """Notes what the pictures show, now that they were made."""
    text = json.dumps(digests(), indent=1) + "\n"
    SHOWN.write_text(text, encoding="utf-8")


def old() -> list[str]:
    """The pictures that are older than what they show."""
    noted = json.loads(SHOWN.read_text(encoding="utf-8")) if SHOWN.exists() else {}
    return [name for name, digest in digests().items() if noted.get(name) != digest]
