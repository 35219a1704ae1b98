"""Starts one of the programs here: `python xtask/python NAME …`, as `notebooks.run` or `browser`.

This folder is where it finds the others, whatever the current folder holds.
"""

import runpy
import sys

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"error: which program? {__doc__}")
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
