"""Measures the course's crate and kernel against their peers, in turns.

Without a name, all suites run, and BENCHMARKS.md and assets/benchmarks.svg are written.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.machine import machine
from bench.suite import TURNS, Setting
from bench.suites import cells, kernel, mpi, processes, scaling, setup, spare, threads, work
from kernels.clone import CLONE

SUITES = {
    "threads": threads,
    "processes": processes,
    "mpi": mpi,
    "work": work,
    "scaling": scaling,
    "cells": cells,
    "kernel": kernel,
    "spare": spare,
    "setup": setup,
}
# The start of a kernel is also a part of `cells`.
ALL = [name for name in SUITES if name != "kernel"]
MEASURED = CLONE / ".course/bench"


def main() -> int:
    # So that who is told to end ends the kernels and programs that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    options = parse()
    if options.look:
        # Nothing is wrong with the options.
        return 0
    setting = Setting(
        dict(options.program), options.kernel, options.workers, options.quick, options.repeat
    )
    page = (options.out or CLONE) / "BENCHMARKS.md"
    if options.write:
        # Now, before the minutes that measuring takes.
        refuse_another_machine(page, machine(setting))
    started = time.monotonic()
    names = [options.suite] if options.suite else ALL
    results = {
        "command": "cargo xtask bench" + (" --quick" if options.quick else ""),
        "quick": options.quick,
        "machine": machine(setting),
    }
    print("\n".join(f"{name}: {value}" for name, value in results["machine"].items()), flush=True)
    problems: list[str] = []
    goals: list[bool] = []
    results["suites"] = [measure(name, setting, problems, goals) for name in names]
    results["minutes"] = round((time.monotonic() - started) / 60, 1)
    for line in closing(options.quick, goals, problems):
        print(line)
    write(results, options)
    if options.write and not problems:
        text = page.read_text(encoding="utf-8")
        save(page, report.with_section(text, results))
        print(f"Written: one section of {shown(page)}. The figure is that of the last whole run.")
    return 1 if problems else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cargo xtask bench", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=SUITES, help="one of them only; else all")
    usual = f"turns of each ({TURNS}; {kernel.TURNS} of each kernel)"
    parser.add_argument("--repeat", type=int, help=usual)
    parser.add_argument(
        "--quick", action="store_true", help="one small turn, to see whether all works"
    )
    parser.add_argument(
        "--write", action="store_true", help="renew the section of this suite in BENCHMARKS.md"
    )
    parser.add_argument("--out", type=Path, help="the folder to write to, instead of the clone")
    hidden = argparse.SUPPRESS
    parser.add_argument("--program", action="append", type=named_path, default=[], help=hidden)
    parser.add_argument("--draw", type=Path, help=hidden)
    parser.add_argument("--look", action="store_true", help=hidden)
    parser.add_argument("--kernel", type=Path, help=hidden)
    parser.add_argument("--workers", type=int, help=hidden)
    options = parser.parse_args()
    if options.repeat is not None and options.repeat < 1:
        parser.error(f"--repeat must be at least 1, not {options.repeat}")
    if options.write and (options.quick or not options.suite):
        parser.error("--write is for one suite that is named, and not for a quick look")
    if options.write and options.suite not in ALL:
        parser.error(f"{options.suite} has no section of its own; its tables are in cells")
    return options


def named_path(text: str) -> tuple[str, Path]:
    name, path = text.split("=", 1)
    return name, Path(path)


def measure(name: str, setting: Setting, problems: list[str], goals: list[bool]) -> dict[str, Any]:
    """Runs a suite and shows each table as soon as it is complete."""
    suite = SUITES[name]
    print(f"\n## {suite.TITLE}\n", flush=True)
    tables = []
    for table in suite.tables(setting):
        print(table.to_markdown(), flush=True)
        problems += table.problems()
        tables.append(table.to_json())
        goals += [row["met"] for row in tables[-1].get("rows", []) if "met" in row]
    return {"name": name, "title": suite.TITLE, "text": suite.TEXT, "tables": tables}


def closing(quick: bool, goals: list[bool], problems: list[str]) -> list[str]:
    lines = [f"not measured: {problem}" for problem in problems]
    if quick:
        lines.append("A quick look, which shows that all can be measured; its figures say little.")
    elif goals:
        lines.append(f"{sum(goals)} of {len(goals)} goals are met.")
    return lines


def write(results: dict[str, Any], options: argparse.Namespace) -> None:
    """Writes the file for programs, and after a run of all suites those for people."""
    # A quick look does not replace figures that were measured with care.
    name = (options.suite or "all") + ("-quick" if options.quick else "")
    measured = MEASURED / f"{name}.json"
    save(measured, json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(f"It took {results['minutes']} minutes. The figures are in {shown(measured)}")
    if options.suite:
        return
    folder = options.out or (MEASURED / "quick" if options.quick else CLONE)
    figure = folder / "assets/benchmarks.svg"
    figure.parent.mkdir(parents=True, exist_ok=True)
    described = subprocess.run(
        [options.draw, measured, figure], stdout=subprocess.PIPE, text=True, check=True
    )
    page = folder / "BENCHMARKS.md"
    save(page, report.page(results, described.stdout.strip()))
    print(f"Written: {shown(page)}, {shown(figure)}")


def refuse_another_machine(page: Path, here: dict[str, str]) -> None:
    """Ends the program if the page's other sections were measured on another machine."""
    if not page.exists():
        sys.exit(f"error: there is no {shown(page)}; write it: cargo xtask bench")
    text = page.read_text(encoding="utf-8")
    for what in ["processor", "memory", "Rust"]:
        there = report.machine_of(text).get(what, "")
        if there != here[what]:
            sys.exit(
                f"error: {shown(page)} is of another machine ({what}: {there}; here: {here[what]});"
                " measure all: cargo xtask bench"
            )


def save(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def shown(path: Path) -> Path:
    return path.relative_to(CLONE) if path.is_relative_to(CLONE) else path


if __name__ == "__main__":
    sys.exit(main())
