"""The course's kernel answers whatever stands in a half-written cell."""

import os
import random
import time
import zlib
from pathlib import Path

import nbformat
import pytest

from kernels.clone import CLONE
from kernels.session import Session
from tests.kernel_case import KernelCase

# So many places are tried: half a minute's worth.
PLACES = 120
# Of so many places one is run as well.
RUN_EVERY = 4
# A cell that runs longer is interrupted.
LONGEST_RUN = 2.0


def codes_of(path: Path) -> list[str]:
    cells = nbformat.read(path, 4).cells
    return [cell.source for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def all_codes() -> list[str]:
    """The code cells of all lessons and exercises, by their order."""
    paths = sorted((CLONE / "notebooks").rglob("*.ipynb"))
    return [
        code for path in paths if ".ipynb_checkpoints" not in path.parts for code in codes_of(path)
    ]


# The places change when a notebook does. Until then a run tries those of the run before: who changes
# something else is not told of an old mistake by chance. Another number tries others.
SEED = int(os.environ.get("COURSE_FUZZ_SEED") or zlib.crc32("\0".join(all_codes()).encode()))


class Fuzz(KernelCase):
    def test_cells_cut_anywhere(self, subtests: pytest.Subtests) -> None:
        print(f"COURSE_FUZZ_SEED={SEED}", flush=True)
        chance = random.Random(SEED)
        codes = all_codes()
        assert len(codes) > 100
        chance.shuffle(codes)
        for tried, code in enumerate(codes[:PLACES]):
            cut = code[: chance.randrange(1, len(code) + 1)]
            whole = chance.random() < 0.5
            with subtests.test(seed=SEED, code=cut):
                self.ask(code if whole else cut, len(cut))
                if tried % RUN_EVERY == 0 and not asks_the_network(cut, code):
                    run_for_a_while(self.kernel, cut)
                    assert self.kernel.answers(), "it does not answer 1 + 1"
        assert self.kernel.answers()

    def ask(self, code: str, pos: int) -> None:
        """Asks all that an editor asks at a place; each must have an answer, whatever it is."""
        completed = self.kernel.complete(code, pos)
        assert completed["status"] == "ok"
        begin, end = completed["cursor_start"], completed["cursor_end"]
        assert 0 <= begin <= pos <= end <= len(code), completed
        assert self.kernel.inspect(code, pos)["status"] == "ok"
        status = self.kernel.is_complete(code[:pos])["status"]
        assert status in ["complete", "incomplete", "invalid", "unknown"]


def asks_the_network(cut: str, code: str) -> bool:
    """Half a name of a crate may be the name of another one."""
    return cut != code and cut.splitlines()[-1].startswith(":dep")


def run_for_a_while(kernel: Session, code: str) -> None:
    """Runs a cell to its end, or interrupts it."""
    reply = kernel.send(code, stop_on_error=False)
    begun = time.monotonic()
    kernel.listen(
        lambda: reply.is_done or time.monotonic() - begun > LONGEST_RUN, "a cell or a while"
    )
    if not reply.is_done:
        kernel.interrupt()
        kernel.wait(reply)
