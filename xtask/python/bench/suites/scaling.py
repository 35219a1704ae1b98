"""How much faster more workers are, here and on other machines."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.suite import Setting
from bench.table import Spread, digits, grid, paired, show_seconds
from kernels.clone import CLONE

TITLE = "More workers"
TEXT = """\
How many times faster some workers draw the Mandelbrot set than one thread without a pool: the
median, and the quartiles. Twice the workers are twice as fast at best. `cargo bench -p helpers
--bench scaling` measures it, and so does a copy of that program on a machine without the sources; a
file of what it printed, put into `assets/scaling/`, appears here with its machine."""

# What the program printed elsewhere.
ELSEWHERE = CLONE / "assets/scaling"


@dataclass
class Scaling:
    """What `helpers/benches/scaling.rs` prints, with statistics."""

    printed: dict[str, Any]
    # The file that it was read from, if it was measured elsewhere.
    file: str = ""

    @property
    def title(self) -> str:
        machine = self.printed["machine"]
        name = machine["processor"] or self.file
        return f"{name}, {machine['cores']} cores" if self.file else "The machine above"

    def to_json(self) -> dict[str, Any]:
        serial = self.printed["serial"]
        rows = [
            {
                "name": pool["name"],
                "workers": pool["workers"],
                "seconds": Spread.of(pool["seconds"]).to_json(),
                "speedup": Spread.of(paired(serial, pool["seconds"])).to_json(),
            }
            for pool in self.printed["pools"]
        ]
        return {
            "title": self.title,
            "machine": self.printed["machine"],
            "points": self.printed["work"]["points"],
            "turns": len(serial),
            "serial": Spread.of(serial).to_json(),
            "scaling": rows,
        }

    def to_markdown(self) -> str:
        table = self.to_json()
        return f"### {table['title']}\n\n{markdown(table)}"

    def problems(self) -> list[str]:
        return []


def tables(setting: Setting) -> Iterator[Scaling]:
    arguments = ["--quick"] if setting.quick else []
    measured = subprocess.run(
        [setting.programs["scaling"], *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    yield Scaling(json.loads(measured.stdout))
    yield from elsewhere(ELSEWHERE)


def elsewhere(folder: Path) -> Iterator[Scaling]:
    for file in sorted(folder.glob("*.json")):
        yield Scaling(json.loads(file.read_text(encoding="utf-8")), file.stem)


def markdown(table: dict[str, Any]) -> str:
    """One line for each number of workers, one column for each kind of pool."""
    names = list(dict.fromkeys(row["name"] for row in table["scaling"]))
    speedups = {(row["name"], row["workers"]): row["speedup"] for row in table["scaling"]}
    lines = [["workers", *names]]
    for workers in dict.fromkeys(row["workers"] for row in table["scaling"]):
        lines.append([str(workers), *(show(speedups[name, workers]) for name in names)])
    machine = table["machine"]
    return (
        f"{table['points']:,} points in {table['turns']} turns; one thread without a pool needs "
        f"{show_seconds(table['serial']['median'])}. The machine has "
        f"{machine['memory'] / 2**30:.0f} GiB of memory, runs {machine['system']}, and grants "
        f"{machine['cores']} of {machine['logical_cores']} cores.\n\n"
        + grid(lines, [True] * len(lines[0]))
    )


def show(speedup: dict[str, Any]) -> str:
    low, high = speedup["quartiles"]
    return f"{digits(speedup['median'])} ({digits(low)} to {digits(high)})"
