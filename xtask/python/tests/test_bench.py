"""The bench of process pools: its statistics, and what it does when something fails."""

import argparse
import sys
import unittest

from bench_processes import Contestant, Work, compete
from bench_rivals import Program
from bench_table import Entry, Table, show_seconds


def python(code):
    return lambda: Program(sys.executable, "-c", code)


def turns(repeat, quick=False):
    return argparse.Namespace(repeat=repeat, quick=quick)


class Statistics(unittest.TestCase):
    def test_ratios_are_taken_turn_by_turn(self):
        ours = Entry("ours", goal=2.5, seconds=[1.0, 2.0, 3.0])
        theirs = Entry("theirs", goal=1 / 5, seconds=[10.0, 2.0, 30.0])
        table = Table("work", [ours, theirs])
        first, second = table.rows()
        self.assertEqual(first["seconds"]["median"], 2.0)
        self.assertEqual(first["seconds"]["quartiles"], [1.5, 2.5])
        self.assertEqual((first["goal"], first["met"]), ("at most 2.5 s", True))
        self.assertAlmostEqual(second["ours_to_this"]["median"], 0.1)
        self.assertEqual((second["goal"], second["met"]), ("at most 1/5", True))

    def test_goal_that_is_missed(self):
        rows = Table("work", [Entry("ours", None, [3.0]), Entry("theirs", 2, [1.0])]).rows()
        self.assertEqual((rows[1]["goal"], rows[1]["met"]), ("at most 2", False))

    def test_table_has_straight_columns(self):
        entries = [Entry("ours", None, [0.003]), Entry("theirs", 2, [0.0021])]
        entries.append(Entry("nobody", problem="was not found"))
        text = Table("work", entries).to_markdown()
        lines = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(len(lines), 5)
        self.assertEqual(len({len(line) for line in lines}), 1, text)
        self.assertIn("nobody: was not found", text)

    def test_seconds_are_shown_with_their_unit(self):
        shown = [show_seconds(seconds) for seconds in (2.5, 0.0417, 7.1e-6, 3e-9)]
        self.assertEqual(shown, ["2.5 s", "41.7 ms", "7.1 µs", "3 ns"])


class Competition(unittest.TestCase):
    def seconds(self, code, options):
        good = Contestant("good", python("while input() == '': print(0.5, flush=True)"))
        table = compete(Work("work", [good, Contestant("other", python(code))]), options)
        self.assertEqual(table.entries[0].seconds, [0.5] * options.repeat)
        return table.entries[1]

    def test_first_turn_does_not_count(self):
        code = "for n in range(9):\n input()\n print(n, flush=True)"
        self.assertEqual(self.seconds(code, turns(3)).seconds, [1, 2, 3])
        self.assertEqual(self.seconds(code, turns(1, quick=True)).seconds, [0])

    def test_one_that_fails_says_why_and_the_others_go_on(self):
        for code, why in {
            "1 / 0": "ZeroDivisionError: division by zero",
            "input(); print(1.0, flush=True); input(); 1 / 0": "ZeroDivisionError",
            "import no_such_module": "No module named 'no_such_module'",
            "pass": "it ended without a word",
        }.items():
            with self.subTest(code):
                entry = self.seconds(code, turns(2))
                self.assertIn(why, entry.problem)
                self.assertEqual(entry.seconds, [])

    def test_program_that_is_not_there(self):
        missing = Contestant("missing", lambda: Program("/no/such/program"))
        entry = compete(Work("work", [missing]), turns(1)).entries[0]
        self.assertIn("/no/such/program", entry.problem)


if __name__ == "__main__":
    unittest.main()
