"""BENCHMARKS.md: the words are fixed, and every figure comes from what was measured."""

import re
from typing import Any

from bench.suites import scaling
from bench.table import REPORT, grid, markdown

INTRODUCTION = """\
# Benchmarks

What the course's crate and kernel take for their work, beside what others take for the same. One
command measured all of it and wrote this page (a section that was measured again since says so):

```console
{command}
```

Your own machine will give other numbers, and often the same order.

## How to read the tables

- All that are in one table **take turns** (first each once, then each a second time, …), so that a
  busy moment of the machine hits all of them. The first turn warms up and does not count, but for
  kernels, which start afresh each time.
- The time is the **median** of the turns, and half of the turns lie between the **quartiles**.
- **ours / this** divides the time of the first row, which is ours, by that of another row, turn by
  turn: 0.1 says that ours takes a tenth of its time, 2 that ours takes twice its time. Again the
  median, and the quartiles.
- **ours is** *faster* or **slower** if both quartiles of that ratio lie on one side of 1 and the
  median is at least one hundredth away from it; else it is *as fast*.
- *(a limit)* marks rows that do not compete: the least that the machine or the system needs for
  such work, or another language for scale.
- **bound by** names what the time goes into.
- Peers have their default settings unless a row says otherwise, and as many workers as ours.

## The machine

"""

FIGURE = """
The run took {minutes} minutes. The load before it tells whether the machine had other things to do.

![{alt}](assets/benchmarks.svg)
"""

# Who is in the tables besides ours, and how it is set up.
PEERS = """
## Who is compared

| name | what it is |
| --- | --- |
| rayon | the crate's own thread pool, with as many threads; `Pool` is built upon it |
| Python's ThreadPool | `multiprocessing.pool.ThreadPool(n)` |
| Python's Pool | `multiprocessing.get_context("fork").Pool(n)`, or `"spawn"`; default chunks |
| ProcessPoolExecutor | `concurrent.futures.ProcessPoolExecutor(n)`; default chunks, of one item |
| loky | `loky.ProcessPoolExecutor(n)`, likewise |
| multiprocess Pool | `multiprocess.get_context("fork").Pool(n)`, which pickles with dill |
| joblib | `joblib.Parallel(n_jobs=n)` with default backend and batches, kept open between calls |
| numpy | one process; numpy uses no threads for these operations |
| stock | evcxr_jupyter of the same version, as `evcxr_jupyter --install` would set it up |
| ipykernel | Python's kernel for Jupyter |
"""


def page(results: dict[str, Any], alt: str) -> str:
    """The page of a run; `alt` tells what the figure shows."""
    machine = [[name, value.replace("|", "\\|")] for name, value in results["machine"].items()]
    parts = [
        INTRODUCTION.format(command=results["command"]),
        grid([["what", "here"], *machine], [False, False]),
        FIGURE.format(minutes=results["minutes"], alt=alt.replace("[", "(").replace("]", ")")),
        *(section(suite) for suite in results["suites"]),
        PEERS,
    ]
    return "".join(parts)


def section(suite: dict[str, Any]) -> str:
    tables = "".join(f"\n### {table['title']}\n\n{body(table)}" for table in suite["tables"])
    return f"\n## {suite['title']}\n\n{suite['text']}\n{tables}"


def body(table: dict[str, Any]) -> str:
    if "scaling" in table:
        return scaling.markdown(table)
    means = f"{table['means']}\n\n" if table["means"] else ""
    return means + markdown(table, REPORT)


# Below the title of a section that was measured after the others.
RENEWED = """\
*Measured in a run of its own, by `{command}` on {date}, with a load of {load} before.*
"""


def with_section(page: str, results: dict[str, Any]) -> str:
    """The page with one section renewed; raises if it has none of that title."""
    [suite] = results["suites"]
    title = re.compile(rf"^## {re.escape(suite['title'])}$.*?(?=^## |\Z)", re.M | re.S)
    if not title.search(page):
        raise ValueError(f"there is no section {suite['title']!r}")
    machine = results["machine"]
    said = RENEWED.format(
        command=f"cargo xtask bench {suite['name']} --write",
        date=machine["date"],
        load=machine["load before"],
    )
    head, rest = section(suite).lstrip("\n").split("\n", 1)
    new = f"{head}\n\n{said}{rest}\n"
    return title.sub(lambda _: new, page, count=1)


def machine_of(page: str) -> dict[str, str]:
    """What the page says of the machine."""
    table = page.partition("## The machine")[2].partition("\n## ")[0]
    cells = [line.split(" | ", 1) for line in table.splitlines() if line.startswith("| ")]
    return {
        row[0].strip("| "): row[1].strip(" |").replace("\\|", "|") for row in cells if len(row) == 2
    }
