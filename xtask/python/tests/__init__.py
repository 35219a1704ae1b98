"""Everything that needs a real kernel, a browser or notebooks: `python -m pytest tests/test_kernel.py` in `xtask/python`."""
