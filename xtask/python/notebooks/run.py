"""Runs the course's notebooks: `cargo xtask notebooks [names] [--check] [--timeout SECONDS]`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nbformat import NotebookNode

from kernels.clone import CLONE
from notebooks import executed
from notebooks.execute import execute
from notebooks.files import choose, failures, put, report, take
from notebooks.normalise import normalise, to_text


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    paths = choose(options.folder, options.names)
    # Times are worth keeping only if nothing else runs.
    failed = failures(run, paths, options, at_once=2 if options.check else 1)
    print(f"{len(paths) - len(failed)} of {len(paths)} notebooks passed", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cargo xtask notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", help="notebooks to run; all if none is named")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--timeout", type=int, default=120, help="seconds that a cell may take")
    parser.add_argument("--folder", type=Path, default=CLONE / "notebooks", help=argparse.SUPPRESS)
    parser.add_argument("--known", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(path: Path, options: argparse.Namespace) -> bool:
    """Runs one notebook, says how it went, and writes its outputs unless told not to."""
    started = time.monotonic()
    print(f"{path.stem} …\n", end="", flush=True)
    try:
        before, notebook = take(path)
    except Exception as error:  # nbformat raises many kinds; all mean the same here
        return report(path, f"cannot be read: {error}")
    if options.check:
        untidy = untidiness(path, take(path)[1])
        if untidy:
            return report(path, f"{untidy}; run: cargo xtask notebooks {path.stem}")
        ran = executed.known(options.known, path, notebook)
        if ran:
            print(f"{path.stem}: ok, it has run {ran}", flush=True)
            return True
    result = execute(notebook, path.parent, options.timeout)
    if result.problem:
        problem = result.problem
        place = f"cell {problem.cell} (`{problem.first_line}`)" if problem.cell else "start"
        return report(path, f"{place}: {problem.message}")
    if not options.check and not put(path, before, to_text(normalise(notebook))):
        return False
    executed.remember(options.known, path, notebook, "by itself")
    took = result.seconds_of
    slowest = max(took, key=lambda cell: took[cell], default=None)
    cells = f"{len(result.seconds_of)} cells in {time.monotonic() - started:.1f} s"
    if slowest:
        cells += f", the slowest is cell {slowest} with {took[slowest]:.1f} s"
    print(f"{path.stem}: ok, {cells}", flush=True)
    return True


def untidiness(path: Path, notebook: NotebookNode) -> str | None:
    """What keeps the committed file from being as this program would have written it."""
    codes = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if any(cell.execution_count is None for cell in codes):
        return "has code cells without outputs"
    if path.read_text(encoding="utf-8") != to_text(normalise(notebook)):
        return "is not in the form that it would be written in"
    return None


if __name__ == "__main__":
    sys.exit(main())
