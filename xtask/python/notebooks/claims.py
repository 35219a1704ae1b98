"""What the lessons claim about their outputs, held against the outputs that are stored.

A claim names the words of the lesson that make it, the cell that it speaks of (by some of its
code), and a number of that cell's outputs, with what it must at least or at most be. Whoever
changes the words must look at the claim again.

    python xtask/python notebooks.claims [names]    names the claims that their outputs contradict
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from nbformat import NotebookNode

from notebooks.execute import read
from notebooks.files import report
from notebooks.lessons import FOLDER, lessons

UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
NUMBER = r"(-?\d+(?:\.\d+)?(?:×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|e-?\d+)?)"
TIME = NUMBER + r" ?(ms|µs|ns|s)\b"
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
# Printed by a measurement that knows what other programs did.
OTHERS = re.compile(rf"Other programs kept {NUMBER} of (\d+) cores busy")
# Of one core: figures are for a machine with nothing else to do.
QUIET = 0.3


class Missing(Exception):
    """What a claim speaks of is not there."""


def value(text: str) -> float:
    base, _, power = text.partition("×10")
    return float(base) * 10.0 ** int(power.translate(SUPERSCRIPTS)) if power else float(base)


class Output:
    """All text that a cell shows, and the numbers in it."""

    def __init__(self, cell: NotebookNode) -> None:
        self.text = text_of(cell)

    def find(self, pattern: str, turn: int = 0) -> re.Match[str]:
        found = list(re.finditer(pattern, self.text))
        if len(found) <= turn:
            raise Missing(f"no {pattern!r} in its output: {self.text[:300]!r}")
        return found[turn]

    def number(self, pattern: str, turn: int = 0) -> float:
        return value(self.find(pattern, turn)[1])

    def time(self, words: str, turn: int = 0) -> float:
        """The time behind some words, in seconds."""
        found = self.find(words + TIME, turn)
        return value(found[1]) * UNITS[found[2]]

    def wall(self, turn: int = 0) -> float:
        return self.time("Wall time: ", turn)

    def cpu(self, turn: int = 0) -> float:
        return self.time("total: ", turn)

    def bar(self, label: str) -> float:
        return self.time(re.escape(label) + " ")

    def speedup(self, workers: int) -> float:
        return self.number(rf"[:,] {workers} workers? {NUMBER}")

    def line(self, label: str, x: str) -> float:
        """A point of a line: its first, its last, or its lowest or highest."""
        return self.number(rf"{re.escape(label)} goes from[^;]*?{NUMBER} at {re.escape(x)}\b")

    def lowest(self, label: str) -> float:
        line = self.find(rf"{re.escape(label)} goes from {NUMBER}[^;]*")[0]
        return min(value(n) for n in re.findall(rf"{NUMBER} at ", line))


def text_of(cell: NotebookNode) -> str:
    parts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "error":
            parts.append("\n".join([output.evalue, *output.traceback]))
        else:
            parts.append(output.data.get("text/plain", ""))
    return "\n".join(parts)


@dataclass(frozen=True)
class Claim:
    words: str
    cell: str
    number: Callable[[Output], float]
    at_least: float = float("-inf")
    at_most: float = float("inf")


def says(pattern: str) -> Callable[[Output], float]:
    """How often the output says this."""
    return lambda out: len(re.findall(pattern, out.text))


def spread(numbers: Iterable[float]) -> float:
    """How many times the smallest the largest one is."""
    numbers = list(numbers)
    return max(numbers) / min(numbers)


CLAIMS = {
    "01_multiprocessing": [
        Claim(
            "70 of our seconds, which is 70 × 15 ms", "return_items.push", Output.wall, 1.05, 1.2
        ),
        Claim("The CPU time is tiny.", "return_items.push", lambda o: o.cpu() / o.wall(), 0, 0.05),
        Claim(
            "It took 25 of our seconds", "Pool::new(4)?;\n    pool.map", Output.wall, 0.375, 0.45
        ),
        Claim(
            "as long as the longest item, 20 of our seconds",
            "Pool::new(8)?;\n    pool.map",
            Output.wall,
            0.3,
            0.36,
        ),
        Claim(
            "Two workers need 40 of our seconds",
            '"Wall time of the six items"',
            lambda o: o.bar("workers: 2"),
            0.6,
            0.68,
        ),
        Claim(
            "One worker takes as long as no pool at all",
            '"Speedup of the six items"',
            lambda o: o.speedup(1),
            0.95,
            1.05,
        ),
        Claim(
            "One thread in each product is the fastest",
            "240 matrix",
            lambda o: o.bar("product: 2") / o.bar("product: 1"),
            1.1,
        ),
        Claim(
            "`p_compute_sum` gains nothing, and often it loses",
            "padded.median",
            lambda o: o.bar("serial loop") / o.bar("p_compute_sum, 16 workers"),
            0,
            1.1,
        ),
        Claim(
            "For a short array the pool is much slower",
            "When does a pool pay",
            lambda o: o.line("pool", "100") / o.line("serial", "100"),
            5,
        ),
        Claim(
            "and the pool gains what your cores can give",
            "When does a pool pay",
            lambda o: o.line("serial", "1×10⁶") / o.line("pool", "1×10⁶"),
            1.1,
        ),
    ],
    "02_timing": [
        Claim(
            "takes wall time and next to no CPU time",
            '"sleeping"',
            lambda o: o.cpu(0) / o.wall(0),
            0,
            0.05,
        ),
        Claim(
            "takes about as much of both", '"sleeping"', lambda o: o.cpu(1) / o.wall(1), 0.9, 1.1
        ),
        Claim(
            "the wall time is shorter, if you have more than one",
            '"sleeping"',
            lambda o: o.wall(1) / o.wall(2),
            1.4,
        ),
        Claim(
            "About as many as you have",
            "cores at work",
            lambda o: o.number(rf"work: {NUMBER}"),
            1.6,
        ),
        Claim(
            "There are calls that do not count.",
            "calls += 1",
            lambda o: o.number(rf"{NUMBER} calls") - o.number(rf"{NUMBER} of them"),
            1,
        ),
        Claim(
            "The work itself takes a tiny part of a second", "clock.elapsed()", Output.wall, 0, 0.01
        ),
        Claim(
            "the first run takes far longer than those that follow",
            "twenty times",
            lambda o: o.line("the same array", "1") / o.lowest("the same array"),
            3,
        ),
        Claim(
            "The mean. One slow run pulls it up",
            "in one number",
            lambda o: o.bar("mean") / o.bar("median"),
            1.05,
        ),
        Claim(
            "The first loop is not fast, it is *gone*.",
            "nobody wants",
            lambda o: o.wall(1) / o.wall(0),
            1000,
        ),
        Claim("Some nanoseconds for a million numbers", "as it is", lambda o: o.time(""), 0, 1e-7),
        Claim(
            "with itself is close to 1",
            "nearly all from",
            lambda o: o.number(rf"itself\s+median {NUMBER}"),
            0.95,
            1.05,
        ),
        Claim(
            "Its ratios lie far from 1",
            "nearly all from",
            lambda o: o.number(rf"four_sums\s+median {NUMBER}"),
            1.5,
        ),
        Claim(
            "They take 18.", "The long task comes last", lambda o: o.time("workers in "), 0.27, 0.31
        ),
        Claim(
            "Now it is 12", "The long task comes first", lambda o: o.time("workers in "), 0.18, 0.21
        ),
    ],
    "02b_speedup": [
        Claim(
            "The speedup grows with the workers as long as there are cores",
            "Computing 96",
            lambda o: o.speedup(2),
            1.4,
        ),
        Claim(
            "and hardly any further", "Computing 96", lambda o: o.speedup(4) / o.speedup(2), 0, 1.2
        ),
        Claim(
            "The efficiency stays high until then, and falls",
            "efficiency:8.0",
            lambda o: o.number(rf"\n +2 .* {NUMBER} %") - o.number(rf"\n +4 .* {NUMBER} %"),
            20,
        ),
        Claim(
            "the second number is smaller, and the better one",
            "enough cores",
            lambda o: (
                o.number(rf"all points +serial part +{NUMBER}")
                - o.number(rf"enough cores +serial part +{NUMBER}")
            ),
            0,
        ),
        Claim(
            "The two lines lie close together.",
            "Units that sleep",
            lambda o: o.line("measured", "16") / o.line("Amdahl's law", "16"),
            0.9,
        ),
        Claim(
            "Then it stays behind",
            "Units that compute",
            lambda o: o.line("measured", "4") / o.line("Amdahl's law", "4"),
            0,
            0.9,
        ),
        Claim(
            "they are up to 13 times as fast",
            "scaled speedup",
            lambda o: o.number(rf"16 +65 .* {NUMBER}\n"),
            11.5,
            13.2,
        ),
    ],
    "03_cpu_bound": [
        Claim(
            "The workers are slower.",
            "Eight blocks of throws",
            lambda o: o.bar("share a generator") / o.bar("one after the other"),
            1.2,
        ),
        Claim("So the line rises up to your cores", "8,000,000 darts", lambda o: o.speedup(2), 1.3),
        Claim(
            "hardly rises any further",
            "8,000,000 darts",
            lambda o: o.speedup(4) / o.speedup(2),
            0,
            1.25,
        ),
        Claim(
            "the other workers have nothing to do",
            "One piece for each worker",
            lambda o: o.number(rf"busy {NUMBER} %"),
            0,
            75,
        ),
        Claim(
            "the workers are done at about the same time",
            "One row at a time",
            lambda o: o.number(rf"busy {NUMBER} %"),
            90,
        ),
        Claim(
            "rows in a chunk the time falls",
            "rows in a chunk",
            lambda o: o.line("your pool", "256") / o.lowest("your pool"),
            1.4,
        ),
        Claim(
            "small chunks, uneven work is shared out as well as even work",
            "The picture, one row",
            lambda o: o.speedup(2),
            1.6,
        ),
        Claim(
            "keeps rising: eight workers for each core",
            "More and more workers",
            lambda o: o.line("waiting", "16"),
            10,
        ),
        Claim(
            "rises up to your cores and then stays flat",
            "More and more workers",
            lambda o: o.line("computing", "16"),
            1.5,
            2.4,
        ),
        Claim(
            "The same, to the last digit.",
            "let count = all_hits",
            says(r"workers: 6283074 hits"),
            4,
        ),
    ],
    "03b_sharing": [
        Claim("It does not compile.", "|_visitor| count += 1", says("E0594"), 1),
        Claim(
            "Far too few.",
            "racing_count(&pool));",
            lambda o: max(int(n) for n in re.findall(r"(\d+) of 1000", o.text)),
            1,
            900,
        ),
        Claim("All three are right, every time.", "do not share", says(r" 1000\b"), 3),
        Claim(
            "slower than a single one without a lock",
            "last digits of",
            lambda o: o.bar("workers, one lock") / o.bar("plain loop"),
            1.5,
        ),
        Claim(
            "All three are right. But the lock",
            "last digits of",
            lambda o: o.bar("plain loop") / o.bar("workers, counts added"),
            1.3,
        ),
        Claim(
            "the third to be a good deal faster",
            "128 bytes apart",
            lambda o: (
                min(o.bar("one counter for all"), o.bar("side by side")) / o.bar("128 bytes apart")
            ),
            1.3,
        ),
        Claim(
            "The pool tells of it because it has a time limit",
            ".map(pay_each_other",
            says("took longer than its limit"),
            1,
        ),
        Claim("and gives an error then", "join_timeout", says("no result after"), 1),
        Claim("Ada paid twice, Bob once", "pay_in_order", says("Ada 9, Bob 11"), 1),
    ],
    "04_processes_and_futures": [
        Claim("Ten, and still ten.", "static CALLS", says(r"after the \w+: +10\b"), 2),
        Claim("About 25 again", "Six items on four", Output.wall, 0.375, 0.45),
        Claim("It took as long as the longest item, 20.", "imap_unordered", Output.wall, 0.3, 0.36),
        Claim(
            "Threads and processes take about the same time",
            "primes below",
            lambda o: o.bar("processes") / o.bar("threads"),
            0.7,
            1.4,
        ),
        Claim(
            "Sending takes longer than copying",
            "Numbers for a worker",
            lambda o: (
                o.line("sent there and back", "1×10⁸") / o.line("copied, in one process", "1×10⁸")
            ),
            1.3,
        ),
        Claim(
            "The *lent* numbers cost next to nothing",
            "Numbers for a worker",
            lambda o: (
                o.line("lent in a SharedArray", "1×10⁸") / o.line("sent there and back", "1×10⁸")
            ),
            0,
            0.01,
        ),
        Claim(
            "Sending the numbers takes longer than adding them up",
            "numbers sent",
            lambda o: o.bar("numbers sent") / o.bar("serial loop"),
            2,
        ),
        Claim(
            "can pay even here",
            "numbers sent",
            lambda o: o.bar("serial loop") / o.bar("numbers lent"),
            1,
        ),
        Claim("The thread was waited for", "dropping the threads", lambda o: o.wall(0), 0.5, 0.65),
        Claim("The process was ended at once", "dropping the threads", lambda o: o.wall(1), 0, 0.1),
    ],
    "05_mpi": [
        Claim("This is a **deadlock**.", "exchange::<1_000_000>", says("waits in MPI_Send"), 2),
        Claim(
            "a long one",
            "ping_pong)",
            lambda o: o.line("message", "8×10⁶") / o.line("message", "8"),
            100,
        ),
        Claim(
            "all three take about the same",
            "let (primes, by_threads)",
            lambda o: spread(o.bar(kind) for kind in ["threads", "processes", "ranks"]),
            1,
            1.6,
        ),
        Claim(
            "Threads are there at once.",
            "to start the",
            lambda o: o.time("ranks: ") / o.time("threads: "),
            10,
        ),
    ],
    "05b_more_mpi": [
        Claim("Rank 1 comes last.", "any_process", says(r"\[\d, \d, 1\]"), 1),
        Claim("The area is 9.", "any_process", lambda o: o.number(rf"\({NUMBER}"), 8.999, 9.001),
        Claim("2, 12, 22: what every rank had", "all_to_all_into", says(r"\[2, 12, 22\]"), 1),
        Claim("the sum of the group's ranks is 9", "split_by_color", says(r"\(1, 2, 9\)"), 1),
        Claim(
            "above it is rank 0, below it nobody",
            "create_cartesian",
            says(r"rank 3: up Some\(0\), down None, left Some\(5\)"),
            1,
        ),
        Claim("All sixteen, in order.", "write_part(world).expect", says(r"0\.0, .* 15\.0\]"), 1),
    ],
    "06_design": [
        Claim(
            "hardly matters. Reading and sorting take the time",
            "print_profile",
            lambda o: o.number(rf"smooth +{NUMBER} %"),
            0,
            15,
        ),
        Claim(
            "A line is far too small",
            "parse_with(pool, &text), &",
            lambda o: o.number(rf"2 workers parse {NUMBER}"),
            1.2,
        ),
        Claim(
            "What is left is serial",
            "the whole program",
            lambda o: o.number(rf"program: {NUMBER}"),
            1.2,
        ),
        Claim(
            "Each step ends with a moment",
            "a centre at",
            lambda o: o.number(rf"2 workers: {NUMBER}"),
            1.4,
        ),
        Claim("About 30 × 5 = 150 ms", "time!(pipeline(30))", Output.wall, 0.15, 0.19),
        Claim("150 ms again, and not 90", "shrinkers.imap", Output.wall, 0.15, 0.19),
        Claim(
            "Two for each worker, or one more",
            "summary_of_file(&pool",
            lambda o: o.number(rf"at most {NUMBER}") / o.number(rf"for {NUMBER} workers"),
            1,
            2.5,
        ),
    ],
}


def problem_of(claim: Claim, cells: Sequence[NotebookNode]) -> str | None:
    """What is wrong with a claim, or nothing."""
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    if claim.words not in " ".join(prose.split()):
        return f"the lesson no longer says {claim.words!r}: look at the claim again"
    named = [cell for cell in cells if cell.cell_type == "code" and claim.cell in cell.source]
    if len(named) != 1:
        return f"{len(named)} cells have the code {claim.cell!r}, not one"
    try:
        number = claim.number(Output(named[0]))
    except Missing as missing:
        return f"{claim.words!r}: there is {missing}"
    if not claim.at_least <= number <= claim.at_most:
        allowed = f"from {claim.at_least:g} to {claim.at_most:g}"
        return f"the lesson says {claim.words!r}, so a number {allowed}; stored is {number:.3g}"
    return None


def busy(cells: Sequence[NotebookNode]) -> Iterator[str]:
    """Says of each measurement that was disturbed how much."""
    for place, cell in enumerate(cells):
        for cores, all_cores in OTHERS.findall(text_of(cell)):
            if float(cores) > QUIET:
                yield f"cell {place + 1} ran while others kept {cores} of {all_cores} cores busy"


def problems_of(name: str, cells: Sequence[NotebookNode]) -> list[str]:
    wrong = [problem_of(claim, cells) for claim in CLAIMS.get(name, [])]
    return [*busy(cells), *filter(None, wrong)]


def main(names: Sequence[str]) -> int:
    well = True
    for path in lessons(FOLDER):
        if names and path.stem not in names:
            continue
        for problem in problems_of(path.stem, read(path).cells):
            well = report(path, problem)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
