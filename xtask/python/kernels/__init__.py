"""The course's kernel, driven by programs.

| module | holds |
| --- | --- |
| `clone`, `copies` | the clone and where its kernel is; copies of it to try things in |
| `messages` | the one loop over what a kernel says |
| `kernel` | starting a kernel, and running single cells in it |
| `session` | a kernel for tests: what came of a cell, message by message |
| `server` | a Jupyter server, and kernels in it |
| `cells`, `warm_up` | the first cells of a notebook; running them, so that what they compile is there |
| `ports`, `witness`, `waiting` | ports that nobody else takes; what there is at this moment; waiting |
"""
