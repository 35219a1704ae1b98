"""Seconds from starting a kernel to the first result of a pool: ours against a stock kernel.

Both run the same cells, in turns, so that a busy moment of the machine hits both.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import cells
from kernels import Kernel

CLONE = Path(__file__).resolve().parents[2]
STEPS = ["ready", "load the crate", "first pool", "in all"]
# What `stock` must be multiplied with to give the time that we promise.
GOAL = 0.45


def main():
    parser = argparse.ArgumentParser(prog="cargo xtask bench kernel", description=__doc__)
    parser.add_argument("--evcxr", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each kernel")
    options = parser.parse_args()
    kernels = {"ours": ours(), "stock": stock(options.evcxr)}
    times = {name: [] for name in kernels}
    for turn in range(options.repeat):
        for name, start in kernels.items():
            times[name].append(first_result(*start))
            print(f"run {turn + 1}, {name}: {row(times[name][-1])}", flush=True)

    medians = {
        name: [statistics.median(column) for column in zip(*runs)] for name, runs in times.items()
    }
    print(f"\nmedian seconds of {options.repeat} runs")
    print(f"{'':8}" + "".join(f"{step:>16}" for step in STEPS))
    for name, seconds in medians.items():
        print(f"{name:8}{row(seconds)}")
    ratios = [mine / theirs for mine, theirs in zip(medians["ours"], medians["stock"])]
    print(f"{'ratio':8}{row(ratios)}")
    print(f"ours takes {ratios[-1]:.2f} of the stock kernel's time; at most {GOAL} is the goal")


def ours():
    config = str(CLONE / ".course/config")
    argv = [str(CLONE / ".course/bin/course-kernel"), "kernel", "{connection_file}"]
    return argv, os.environ | {"EVCXR_CONFIG_DIR": config}


def stock(evcxr):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVCXR")}
    return [evcxr, "--control_file", "{connection_file}"], environment


def first_result(argv, environment):
    """Seconds of each step and of all, from the start of the process."""
    marks = [time.monotonic()]
    with Kernel(argv, cwd=CLONE / "notebooks", env=environment) as kernel:
        marks.append(time.monotonic())
        kernel.run(cells.LOAD)
        marks.append(time.monotonic())
        result = kernel.run(cells.FIRST_POOL)
        marks.append(time.monotonic())
    if result != cells.FIRST_RESULT:
        raise AssertionError(f"{result} instead of {cells.FIRST_RESULT}")
    steps = [after - before for before, after in zip(marks, marks[1:])]
    return [*steps, sum(steps)]


def row(numbers):
    return "".join(f"{number:16.2f}" for number in numbers)


if __name__ == "__main__":
    main()
