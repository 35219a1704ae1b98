"""Runs two cells in a kernel: a job and a pool of MPI ranks, started as the command line says.

    tests.slurm_cells FILE LAUNCHER RANKS WORKERS

The file gets what the cells print, as JSON. The tests on a Slurm start this in an allocation.
"""

import json
import sys
from pathlib import Path

from kernels import cells
from kernels.session import Session

JOB = """
let hosts = MpiRun::new(%(ranks)s)
    .launcher("%(launcher)s")
    .run(|_| mpi::environment::processor_name().unwrap_or_default())?;
println!("{}", hosts.join(" "));
"""
POOL = """
let pool = MpiPool::builder(%(workers)s).launcher("%(launcher)s").build()?;
let sum: u64 = pool.map(|x: u64| x * x, 1..=100)?.iter().sum();
println!("{} workers say {sum}", pool.workers());
"""


def main(file: str, launcher: str, ranks: str, workers: str) -> None:
    given = {"launcher": launcher, "ranks": ranks, "workers": workers}
    with Session() as kernel:
        told = [kernel.run(cell % given) for cell in (cells.LOAD, cells.LOAD_MPI, JOB, POOL)]
    for reply in told:
        assert reply.status == "ok", reply
    said = [reply.stdout.strip() for reply in told[2:]]
    Path(file).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
