"""Finds the notebooks in a folder and reads them, whatever platforms and editors did to them.

Nothing is passed over in silence: what looks like a notebook is read, or has a reason why not.
"""

import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# A notebook's name may have been lengthened (`Ada.ipynb.txt`) or shouted (`ADA.IPYNB`).
IS_NOTEBOOK = re.compile(r"\.ipynb", re.IGNORECASE)
IS_PACKED = re.compile(r"\.(zip|7z|rar|tar|tgz|gz|bz2|xz)$", re.IGNORECASE)
# Folders that tools keep for themselves.
OF_TOOLS = {".ipynb_checkpoints", "__MACOSX", ".git", "__pycache__"}
LARGEST = 256 << 20
# Whether a file or folder is one that grading itself has made.
Ours = Callable[[Path], bool]


class Unreadable(Exception):
    """A file that is no notebook; the message says why."""


@dataclass
class Cell:
    """A cell as far as grading looks at it; `number` counts all cells from 1, as a reader would."""

    kind: str
    source: str
    number: int = 0
    id: str | None = None
    tags: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The source without what editors change: ends of lines, and space behind and around."""
        return "\n".join(line.rstrip() for line in self.source.splitlines()).strip()


@dataclass
class Found:
    """What lies in the folder: files to grade, and what is passed over with the reason."""

    notebooks: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)


def shown(path: Path) -> str:
    """The path for people: a name from another system may be no text here."""
    return os.fsencode(path).decode(errors="replace")


def is_named_as_notebook(name: str) -> bool:
    return bool(IS_NOTEBOOK.search(name))


def search(folder: Path, is_ours: Ours = lambda path: False) -> Found:
    """All notebooks in the folder and its subfolders. What is `is_ours` is not looked at."""
    found = Found()

    def blame(error: OSError) -> None:
        found.skipped.append((Path(error.filename), f"cannot be opened: {error.strerror}"))

    for place, folders, names in os.walk(folder, onerror=blame):
        here = Path(place)
        folders.sort()
        for name in list(folders):
            path = here / name
            if name in OF_TOOLS or is_ours(path):
                folders.remove(name)
                if name == "__MACOSX":
                    found.skipped.append((path, "a Mac's notes about files, nobody's work"))
            elif path.is_symlink():
                found.skipped.append((path, "a link to a folder; hand in the folder itself"))
            elif is_named_as_notebook(name):
                found.skipped.append(
                    (path, "a folder, in spite of its name; what is in it is graded")
                )
        for name in sorted(names):
            path = here / name
            if is_ours(path):
                continue
            if name.startswith("._"):
                if is_named_as_notebook(name):
                    found.skipped.append((path, "a Mac's note about a file, nobody's work"))
            elif is_named_as_notebook(name):
                found.notebooks.append(path)
            elif IS_PACKED.search(name):
                found.skipped.append((path, "packed files; unpack them here, and grade again"))
    found.notebooks.sort()
    found.skipped += without_notebook(folder, found, is_ours)
    return found


def without_notebook(folder: Path, found: Found, is_ours: Ours) -> list[tuple[Path, str]]:
    """Folders right below, each somebody's, in which there is nothing to grade."""
    mentioned = [*found.notebooks, *(path for path, _ in found.skipped)]
    empty = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name in OF_TOOLS or is_ours(path) or not path.is_dir() or path.is_symlink():
            continue
        # Beside loose notebooks a folder may hold their data.
        loose = any(notebook.parent == folder for notebook in found.notebooks)
        if not loose and not any(path in [other, *other.parents] for other in mentioned):
            names = sorted(shown(Path(child.name)) for child in path.iterdir())
            holds = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
            empty.append((path, f"there is no notebook in it, only: {holds}" if names else "empty"))
    return empty


def read(path: Path) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook, and what is to be said of the file; raises `Unreadable`."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("it is no file")
        if about.st_size > LARGEST:
            raise Unreadable(f"it has {about.st_size >> 20} MiB, more than {LARGEST >> 20}")
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None
    text, remarks = decoded(content)
    return cells_of(parsed(text)), remarks


def decoded(content: bytes) -> tuple[str, list[str]]:
    """The text of a file in whatever encoding, and a remark if that had to be guessed."""
    for mark, encoding in [
        (b"\xff\xfe\x00\x00", "utf-32"),
        (b"\x00\x00\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"\xef\xbb\xbf", "utf-8-sig"),
    ]:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace"), []
    # JSON begins with two characters of ASCII: where a byte of them is 0 tells.
    if content[:1] == b"\0":
        return content.decode("utf-16-be", errors="replace"), []
    if content[1:2] == b"\0":
        return content.decode("utf-16-le", errors="replace"), []
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        # What Windows took for the Latin alphabet; it knows nearly every byte.
        text = content.decode("cp1252", errors="replace")
        return text, ["the file is not in UTF-8; it was read as Windows-1252"]


def parsed(text: str) -> object:
    if not text.strip("\0 \t\r\n"):
        raise Unreadable("it is empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if re.search(r"^<{7} ", text, re.MULTILINE):
            raise Unreadable("git has left the marks of a conflict in it (<<<<<<<)") from None
        if text.lstrip().startswith("<"):
            raise Unreadable("it is a web page, not the notebook itself") from None
        line = text.splitlines()[error.lineno - 1] if text.splitlines() else ""
        raise Unreadable(
            f"it is not JSON: {error.msg}, line {error.lineno}: {line.strip()[:60]}"
        ) from None
    except RecursionError:
        raise Unreadable("it is no notebook: brackets in brackets without end") from None


def cells_of(notebook: object) -> list[Cell]:
    """The cells of a notebook of any version of the format."""
    if not isinstance(notebook, dict):
        raise Unreadable(f"it is no notebook, but {kind_of(notebook)}")
    cells = notebook.get("cells")
    sheets = notebook.get("worksheets")
    if cells is None and isinstance(sheets, list):
        # Before version 4 of the format.
        cells = [
            cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells", [])
        ]
    if not isinstance(cells, list):
        raise Unreadable("it is no notebook: there are no cells in it")
    return [cell_of(cell, number) for number, cell in enumerate(cells, 1)]


def cell_of(cell: object, number: int) -> Cell:
    if not isinstance(cell, dict):
        raise Unreadable(f"its cell {number} is no cell, but {kind_of(cell)}")
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    id = cell.get("id")
    return Cell(
        kind=str(cell.get("cell_type", "raw")),
        source=source if isinstance(source, str) else "",
        number=number,
        id=id if isinstance(id, str) else None,
        tags=[tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else [],
    )


def kind_of(value: object) -> str:
    kinds = {list: "a list", str: "a text", type(None): "nothing (null)", bool: "true or false"}
    return kinds.get(type(value), "a number")
