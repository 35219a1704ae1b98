"""Waiting for what tells nobody that it has come."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 180) -> bool:
    """Waits until the condition holds, if only for a moment; tells whether it did. Only what hangs takes so long."""
    deadline = time.monotonic() + seconds
    while not (holds := bool(condition())) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds
