"""A pipe that tells a kernel's launcher, by its end, that this process has ended."""

import os

# The launcher takes its standard input for a lifeline if this is set; see xtask/src/kernel.rs.
VARIABLE = "COURSE_KERNEL_LIFELINE"


class Lifeline:
    """The end of the pipe that this process holds, and lends to nobody.

    Not closed when it is forgotten: a program may well drop its kernel manager and go on talking
    to the kernel.
    """

    def __init__(self) -> None:
        self.far_end, self._end = os.pipe()

    def hand_over(self) -> None:
        """Closes the end that the launcher now has."""
        os.close(self.far_end)
        self.far_end = -1

    def cut(self) -> None:
        """Tells the launcher; a kernel that still runs is killed."""
        for end in (self.far_end, self._end):
            if end >= 0:
                os.close(end)
        self.far_end = self._end = -1
