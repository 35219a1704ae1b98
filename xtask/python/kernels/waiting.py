"""Waiting for what tells nobody that it has come."""

import time


def wait_until(condition, seconds=180):
    """Waits until the condition holds, if only for a moment; tells whether it did. Only what hangs takes so long."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return holds
