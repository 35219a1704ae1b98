"""Runs tests: `python -m tests tests.test_kernel …`, with the options of `python -m unittest`.

A test that fails tells what there is at that moment: the kernels' last messages, their logs, and their
processes. In the end stands what took longest.
"""

import sys
import time
import unittest

from kernels import witness

# As many failures tell of all there is; of the others it is much the same.
TELL = 5
SLOWEST = 8
# What took less is not worth a line.
WORTH_A_LINE = 1.0


class Result(unittest.TextTestResult):
    """Tells more of failures, and how long each test took."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        # Seconds and what took them. What a class sets up, the first test of it is told to wait for.
        self.took = []
        self.told = 0
        self.since = time.monotonic()

    def _lap(self, what):
        now = time.monotonic()
        self.took.append((now - self.since, what))
        self.since = now

    def startTest(self, test):
        self._lap(f"before {test.id()}")
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self._lap(test.id())

    def stopTestRun(self):
        super().stopTestRun()
        self._lap("at the end")
        slowest = sorted(self.took, reverse=True)[:SLOWEST]
        for seconds, what in slowest:
            if seconds >= WORTH_A_LINE:
                self.stream.writeln(f"{seconds:6.1f} s  {what}")

    def _tell(self, test):
        self.told += 1
        if self.told <= TELL:
            self.stream.writeln(f"\nWhat there is when {test.id()} fails:\n{witness.report()}")
            self.stream.flush()

    def addError(self, test, err):
        super().addError(test, err)
        self._tell(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell(test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._tell(subtest)


class Runner(unittest.TextTestRunner):
    resultclass = Result


if __name__ == "__main__":
    unittest.main(module=None, argv=[sys.argv[0], "--verbose", *sys.argv[1:]], testRunner=Runner)
