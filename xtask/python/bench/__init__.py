"""The benches: `cargo xtask bench`.

| module | holds |
| --- | --- |
| `suites` | what is measured, a section of `BENCHMARKS.md` each |
| `peers` | what Python's pools, its processor work and mpi4py do in a program of their own |
| `rivals` | those who take turns: programs, and cells of a notebook |
| `suite`, `table` | the turns; what came of them |
| `report`, `machine` | the page; what it was measured on |
"""
