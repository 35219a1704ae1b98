"""What a bench is made of: pieces of work, and those who do them in turns."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.rivals import Failed, Rival
from bench.table import Entry, Table, Yardstick

# Seconds after which a piece of work gets no more turns, once it has had FEWEST_TURNS.
LONGEST = 40
FEWEST_TURNS = 5
# Turns of each, unless the command line says something else.
TURNS = 21


@dataclass
class Setting:
    """What the command line says, and where the programs are."""

    # The benches of the crate, by name.
    programs: dict[str, Path] = field(default_factory=dict)
    # The kernel's own program.
    kernel: Path | None = None
    # The cores that this process may use.
    workers: int = os.cpu_count() or 1
    # Each measures once, and little: whether all can be measured is all that is asked.
    quick: bool = False
    repeat: int | None = None

    def turns(self, usual: int = TURNS) -> int:
        return 1 if self.quick else self.repeat or usual


@dataclass
class Contestant:
    name: str
    start: Callable[[], Rival]
    # See `table.Entry`.
    goal: float | None = None
    limit: bool = False
    bound: str = ""


@dataclass
class Work:
    """Something that all contestants do; the first of them is ours."""

    title: str
    contestants: list[Contestant]
    # What the figures say, and what they do not.
    means: str = ""
    # What each reads from memory.
    bytes: int | None = None
    yardstick: Yardstick | None = None
    # Whether ours and another gave the same; they are what the programs print after the seconds.
    agree: Callable[[str, str], bool] = str.__eq__
    # The title in the figure; work without it is not in the figure.
    panel: str | None = None
    # Why it is not done here.
    skipped: str | None = None
    # At most so many turns, where each takes a minute.
    most_turns: int = TURNS

    def table(self, entries: list[Entry]) -> Table:
        return Table(
            self.title,
            entries,
            means=self.means,
            bytes=self.bytes,
            yardstick=self.yardstick,
            panel=self.panel,
            skipped=self.skipped,
        )


def compete(work: Work, setting: Setting) -> Table:
    """Lets all contestants do the work in turns. The first turn only warms up, unless it is all."""
    if work.skipped:
        return work.table([])
    turns = min(setting.turns(), work.most_turns)
    warming = 0 if turns == 1 else 1
    entries = [entry_of(who, setting) for who in work.contestants]
    results: list[str | None] = [None] * len(entries)
    with contextlib.ExitStack() as stack:
        running = []
        for n, (who, entry) in enumerate(zip(work.contestants, entries)):
            with failure_noted(entry):
                running.append((n, stack.enter_context(who.start()), entry))
        started = time.monotonic()
        for turn in range(warming + turns):
            if turn > FEWEST_TURNS and time.monotonic() - started > LONGEST:
                break
            for n, rival, entry in running:
                if entry.problem:
                    continue
                with failure_noted(entry):
                    seconds = rival.measure()
                    results[n] = rival.result
                    if turn >= warming:
                        entry.seconds.append(seconds)
    for entry, result in zip(entries, results):
        with failure_noted(entry):
            if result is not None and not work.agree(results[0] or "", result):
                raise Failed(f"it gives {result}, and ours gives {results[0]}")
    return work.table(entries)


def entry_of(who: Contestant, setting: Setting) -> Entry:
    # What was measured once is not judged.
    goal = None if setting.quick else who.goal
    return Entry(who.name, goal, limit=who.limit, bound=who.bound)


@contextlib.contextmanager
def failure_noted(entry: Entry) -> Iterator[None]:
    """One that fails has no figures, and the others go on."""
    try:
        yield
    except Failed as problem:
        entry.problem = str(problem)
        entry.seconds.clear()
