"""Writes the notebooks of exercises without their solutions: `cargo xtask handout`.

They lie in `DIR/exercises`, to be put into `notebooks/exercises` of a clone, and are graded as they
are. A notebook in which anything of a solution would be left is not written.
"""

import argparse
import re
import sys
from pathlib import Path

from nbformat import NotebookNode

from notebooks.exercises import (
    FOLDER,
    SOLUTION,
    exercises_of,
    is_tidied,
    readable,
    tidied,
)
from notebooks.files import choose, failures, replace, report
from notebooks.wrong_answers import Malformed

# Where the solutions begin, and what the course says of them.
HEADING = re.compile(r"^## Solutions$", re.MULTILINE)
SAYS_WHERE = re.compile(r"\s*The\s+solutions\s+are\s+at\s+the\s+end,\s+folded\s+away\.")
SAYS_MORE = re.compile(r"\s*Have a look at them[^.]*\.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cargo xtask handout", description=__doc__)
    parser.add_argument("names", nargs="*", help="notebooks; all if none is named")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    failed = failures(hand_out, choose(options.folder, options.names), options, at_once=1)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def hand_out(path: Path, options: argparse.Namespace) -> bool:
    """Writes one notebook; tells whether it did."""
    written = options.out / "exercises" / path.name
    try:
        _, notebook = readable(path)
        text = tidied(without_solutions(notebook))
    except Malformed as error:
        return report(
            path,
            f"{error}; what is handed out is as the course has it: git checkout {path} brings that back",
        )
    if written.resolve() == path.resolve():
        return report(path, f"{written} is the course's own; name another folder with --out")
    if written.exists() and not is_tidied(written, text):
        return report(path, f"{written} is another already; move or delete it, and run this again")
    written.parent.mkdir(parents=True, exist_ok=True)
    replace(written, text.encode("utf-8"))
    print(written, flush=True)
    return True


def without_solutions(notebook: NotebookNode) -> NotebookNode:
    """The notebook without its solutions; raises `Malformed` if something of them would be left."""
    own = {}
    for exercise in exercises_of(notebook):
        given = lines_of(notebook.cells[exercise.cell].source)
        own[exercise.title] = lines_of(exercise.solution) - given
        if not own[exercise.title]:
            raise Malformed(f"cell {exercise.cell + 1} holds the solution of {exercise.title!r}")
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = SOLUTION.sub("", cell.source)
            cell.source = without_words(cell.source)
            if heading := HEADING.search(cell.source):
                cell.source = cell.source[: heading.start()]
            if not cell.source.strip():
                continue
        kept.append(cell)
    notebook.cells = kept
    for number, cell in enumerate(kept, 1):
        for title, lines in own.items():
            if lines <= lines_of(cell.source):
                raise Malformed(f"cell {number} holds the solution of {title!r}")
        found = re.search(r"[^\n]*\bsolutions?\b[^\n]*", cell.source, re.I)
        if cell.cell_type == "markdown" and found:
            raise Malformed(f"cell {number} speaks of solutions: {found[0].strip()!r}")
    return notebook


def without_words(text: str) -> str:
    """The text without the sentences that say where the solutions are."""
    if not SAYS_WHERE.search(text):
        return text
    return SAYS_MORE.sub("", SAYS_WHERE.sub("", text)).rstrip()


def lines_of(text: str) -> set[str]:
    """The lines of some code, but for the shortest, and those in its comments."""
    lines = (line.strip(" \t/*>`") for line in text.splitlines())
    return {line for line in lines if len(line) > 3}


if __name__ == "__main__":
    sys.exit(main())
