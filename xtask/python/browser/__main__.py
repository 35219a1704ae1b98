"""Drives the course in a browser as students do, and looks at what they would see.

Leaves pictures of the page in the folder named on the command line.
"""

import argparse
import shutil
import sys
import tempfile
import time

from pathlib import Path
from typing import Any

from kernels.clone import CLONE

from . import control, exercise, helping, lessons, own, shown
from .chromium import open_page
from .lab import Lab
from .server import Server

# In an order in which few kernels are needed. Each could also be done alone.
STEPS: dict[str, tuple[Any, ...]] = {
    "menu 01": (lessons.from_the_menu, "01_multiprocessing"),
    "keyboard 02": (lessons.cell_by_cell, "02_timing"),
    "menu 03": (lessons.and_close(lessons.from_the_menu), "03_cpu_bound"),
    "menu 04": (lessons.and_close(lessons.from_the_menu), "04_processes_and_futures"),
    "restart 05": (lessons.and_close(lessons.from_the_start), "05_mpi"),
    "exercise": (exercise.solve, "exercises/01_multiprocessing"),
    "own notebook": (own.run_all, "made_by_the_browser_check"),
    "two notebooks": (control.two_at_once, "01_multiprocessing", "02_timing"),
    "interrupt": (control.interrupt, "01_multiprocessing"),
    "completion": (helping.complete, "01_multiprocessing"),
    "documentation": (helping.document, "01_multiprocessing"),
}

# Those that make the pictures of `README.md`, and the pictures.
README_STEPS = ["menu 01", "exercise", "documentation"]
README_PICTURES = {
    "01_multiprocessing_light": "lesson_01_light",
    "01_multiprocessing_dark": "lesson_01_dark",
    "exercise_light": "exercise",
    "documentation_light": "documentation",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="browser", description=__doc__.splitlines()[0])
    parser.add_argument("--browser", required=True, help="the program")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder")
    parser.add_argument("--known", type=Path, help="a folder: which lessons have run well")
    parser.add_argument("--step", action="append", choices=list(STEPS), help="do only this")
    parser.add_argument("--readme", action="store_true", help="only make the pictures of README.md")
    parser.add_argument("lab", nargs="+", help="the command that starts JupyterLab")
    options = parser.parse_args()
    options.pictures.mkdir(parents=True, exist_ok=True)
    before = notebooks()
    with (
        tempfile.TemporaryDirectory() as private,
        Server(options.lab, private) as server,
        open_page(options.browser, private) as page,
    ):
        try:
            lab = Lab(page, server.url, CLONE, options.pictures, options.known)
            for name in README_STEPS if options.readme else options.step or STEPS:
                step, *arguments = STEPS[name]
                started = time.monotonic()
                seen = step(lab, *arguments)
                print(f"{name:14} {time.monotonic() - started:5.0f} s  {seen}", flush=True)
        except BaseException:
            print(f"What JupyterLab's server said:\n{server.said()}", file=sys.stderr)
            page.screenshot(path=options.pictures / "failure.png")
            raise
    if notebooks() != before:
        raise AssertionError("the notebooks of the clone are not what they were before")
    print(f"pictures of the page: {options.pictures}")
    if options.readme:
        for picture, name in README_PICTURES.items():
            file = CLONE / "assets" / f"{name}.png"
            shutil.copyfile(options.pictures / f"{picture}.png", file)
            print(f"{file}: {file.stat().st_size // 1000} kB")
        shown.note()


def notebooks() -> dict[Path, bytes]:
    """The notebooks in the clone, none of which this may change."""
    paths = (CLONE / "notebooks").rglob("*.ipynb")
    # JupyterLab keeps a copy of every notebook that it opens.
    return {path: path.read_bytes() for path in paths if ".ipynb_checkpoints" not in path.parts}


if __name__ == "__main__":
    main()
