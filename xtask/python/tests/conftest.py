"""What holds for all tests: a test that fails tells what there is at that moment, which are the kernels' last
messages, their logs, and their processes.
"""

from collections.abc import Callable

import pytest

from kernels import witness
from kernels.kernel import Kernel
from tests import lent

pytest.register_assert_rewrite("tests.kernel_case", "tests.slurm_case")

# As many failures tell of all there is; of the others it is much the same.
TELL = 5
# The tests that have failed.
failed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # A test is reported more than once: part by part, and when what is behind it fails as well.
    if report.failed and report.nodeid not in failed:
        failed.append(report.nodeid)
        if len(failed) <= TELL:
            print(f"\nWhat there is when {report.nodeid} fails:\n{witness.report()}", flush=True)


@pytest.fixture
def has_failed(request: pytest.FixtureRequest) -> Callable[[], bool]:
    """Whether the test has, for what is done behind it."""
    return lambda: request.node.nodeid in failed


@pytest.fixture(scope="module")
def lent_kernel(request: pytest.FixtureRequest) -> Kernel:
    """One kernel for all tests of several modules, since starting one takes long."""
    return lent.kernel(request.module.__name__)
