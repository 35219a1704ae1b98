"""What holds for all tests: a test that fails tells what there is at that moment, which are the kernels' last
messages, their logs, and their processes.
"""

from collections.abc import Callable

import pytest

from kernels import witness

# As many failures tell of all there is; of the others it is much the same.
TELL = 5
# The tests that have failed, as often as something of them has.
failed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        failed.append(report.nodeid)
        if len(failed) <= TELL:
            print(f"\nWhat there is when {report.nodeid} fails:\n{witness.report()}", flush=True)


@pytest.fixture
def has_failed(request: pytest.FixtureRequest) -> Callable[[], bool]:
    """Whether the test has, for what is done behind it."""
    return lambda: request.node.nodeid in failed
