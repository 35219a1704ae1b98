"""Tests that share one kernel, which is replaced where a test has harmed it."""

import atexit
import sys
from collections.abc import Callable, Iterator

import pytest

from kernels import cells
from kernels.session import Reply, Session

# The first cells of all, before the crate is loaded.
FIRST = ["1 + 1", 'panic!("out of milk")', "2 + 2"]


class Shared:
    """The kernel that all tests of this process share."""

    def __init__(self) -> None:
        self._session: Session | None = None
        # What the first cells of all came to.
        self.first: list[Reply] = []
        # Why none could be started.
        self._problem: AssertionError | None = None

    def session(self) -> Session:
        """The kernel, with the crate loaded."""
        if self._problem is not None:
            raise self._problem
        if self._session is None:
            try:
                self._start()
            except AssertionError as error:
                self._problem = error
                raise
        assert self._session is not None
        return self._session

    def _start(self) -> None:
        self._session = Session()
        self._session.wait_until_ready()
        self.first = [self._session.run(code) for code in FIRST]
        loaded = self._session.run(cells.LOAD)
        assert loaded.status == "ok", loaded

    def look_after(self, test: str) -> None:
        """Replaces the kernel if it does not answer after a test, and says so."""
        if self._session is not None and not self._session.answers():
            print(f"{test} leaves a kernel that does not answer; here is another", file=sys.stderr)
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None


shared = Shared()
atexit.register(shared.close)


class KernelCase:
    """Each test may rely on the crate being loaded, and on nothing else."""

    kernel: Session

    @pytest.fixture(autouse=True)
    def use_kernel(
        self, request: pytest.FixtureRequest, has_failed: Callable[[], bool]
    ) -> Iterator[None]:
        self.kernel = shared.session()
        yield
        is_late = True
        try:
            # What is late is a failure of this test rather than of the next.
            self.kernel.drain()
            is_late = False
        finally:
            if is_late or has_failed():
                shared.look_after(request.node.nodeid)

    def passes(self, code: str, answers: tuple[str, ...] = ()) -> Reply:
        """Runs a cell that must not fail."""
        return self.passed(self.kernel.run(code, answers=answers))

    def passed(self, reply: Reply) -> Reply:
        assert reply.status == "ok", str(reply)
        return reply

    def fails(self, code: str, ename: str) -> Reply:
        """Runs a cell that must fail, in the way that is named."""
        return self.failed(self.kernel.run(code), ename)

    def failed(self, reply: Reply, ename: str) -> Reply:
        assert (reply.status, reply.ename) == ("error", ename), str(reply)
        return reply

    def shows(self, code: str) -> str | None:
        """Runs a cell and gives its result as text."""
        return self.passes(code).result

    def assert_told(self, reply: Reply, *words: str) -> None:
        """Each word is somewhere in what a cell says about errors, or on stderr."""
        for word in words:
            assert word in reply.told, str(reply)
