"""The bench: its statistics, what it does when something fails, and that all can be measured."""

import hashlib
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from bench import report
from bench.rivals import Program, Shared
from bench.suite import Contestant, Setting, Work, compete
from bench.suites import cells as of_cells
from bench.suites import scaling as of_scaling
from bench.table import REPORT, Entry, Table, Yardstick, digits, markdown, show, show_seconds
from kernels.clone import CLONE


def python(code):
    return lambda: Program(sys.executable, "-c", code)


def always(answer):
    """A contestant's program that gives the same answer each time."""
    return python(f"while True:\n input()\n print({answer!r}, flush=True)")


def lines_of(text):
    return [line for line in text.splitlines() if line.startswith("|")]


class Lessons:
    def test_cells_that_must_fail_are_run_but_not_timed(self):
        sources = [":dep helpers", "fn share() {}\nshare(0)", "share()", "late().await"]
        notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
        notebook.cells[1].metadata.tags = ["raises-exception"]
        cells = [(cell.source, cell.is_timed) for cell in of_cells.cells_of(notebook)]
        assert cells == [(sources[1], False), (sources[2], True)]


class Statistics:
    def test_ratios_are_taken_turn_by_turn(self):
        ours = Entry("ours", goal=2.5, seconds=[1.0, 2.0, 3.0])
        theirs = Entry("theirs", goal=1 / 5, seconds=[10.0, 2.0, 30.0])
        table = Table("work", [ours, theirs])
        first, second = table.rows()
        assert first["seconds"]["median"] == 2.0
        assert first["seconds"]["quartiles"] == [1.5, 2.5]
        assert (first["goal"], first["met"]) == ("at most 2.5 s", True)
        assert second["ours_to_this"]["median"] == pytest.approx(0.1, abs=0.5e-7)
        assert (second["goal"], second["met"]) == ("at most 1/5", True)

    def test_goal_that_is_missed(self):
        rows = Table("work", [Entry("ours", None, [3.0]), Entry("theirs", 2, [1.0])]).rows()
        assert (rows[1]["goal"], rows[1]["met"]) == ("at most 2", False)

    def test_loss_is_shown_as_a_loss(self):
        ours = Entry("ours", seconds=[2.0, 2.0, 2.0])
        others = {
            "quick": ([1.0, 1.1, 1.2], "**slower**"),
            "slow": ([3.0, 4.0, 5.0], "faster"),
            "alike": ([1.0, 2.0, 3.0], "as fast"),
            "hardly slower": ([1.9, 2.1, 3.0], "as fast"),
            "a hair slower": ([2.01, 2.01, 2.01], "as fast"),
        }
        entries = [Entry(name, seconds=seconds) for name, (seconds, _) in others.items()]
        entries.append(Entry("memory", seconds=[1.0] * 3, limit=True))
        table = Table("work", [ours, *entries])
        verdicts = [row.get("ours_is") for row in table.rows()]
        wanted = [verdict for _, verdict in others.values()]
        assert verdicts == [None, *wanted, "(a limit)"]
        assert "| **slower** |" in table.to_markdown()

    def test_yardstick(self):
        entries = [Entry("ours", seconds=[4.0, 8.0]), Entry("reading", seconds=[3.0, 4.0])]
        by_name = Table("sum", entries, bytes=6, yardstick=Yardstick("of reading", "reading"))
        assert [row["share"]["median"] for row in by_name.rows()] == [0.625, 1.0]
        assert [row["bytes_per_second"] for row in by_name.rows()] == [1.0, 6 / 3.5]
        by_number = Table("sleep", entries, yardstick=Yardstick("of 2 s", 2.0))
        assert by_number.rows()[0]["share"]["quartiles"] == [0.3125, 0.4375]
        assert "38 %" in by_number.to_markdown()

    def test_what_has_another_unit(self):
        entries = [Entry("ours", 2.0, [1.5]), Entry("theirs", 1, [1.0]), Entry("big", None, [3.0])]
        table = Table("memory", entries, unit="GB")
        text = table.to_markdown()
        assert "| 1.5 GB " in text
        assert table.row(entries[0])["goal"] == "at most 2 GB"
        verdicts = [table.row(entry)["ours_is"] for entry in entries[1:]]
        assert verdicts == ["**larger**", "smaller"]

    def test_table_has_straight_columns(self):
        entries = [Entry("ours", None, [0.003]), Entry("theirs", 2, [0.0021])]
        entries.append(Entry("nobody", problem="was not found"))
        text = Table("work", entries).to_markdown()
        assert len(lines_of(text)) == 5
        assert len({len(line) for line in lines_of(text)}) == 1, text
        assert "nobody: was not found" in text

    def test_columns_with_nothing_in_them_are_left_out(self):
        table = Table("work", [Entry("ours", None, [0.003], bound="memory")])
        assert "bound by" in markdown(table.to_json(), REPORT)
        assert "goal" not in table.to_markdown()
        assert "reads" not in table.to_markdown()

    def test_seconds_are_shown_with_their_unit(self):
        shown = [show_seconds(seconds) for seconds in (2.5, 0.0417, 7.1e-6, 3e-9, 4321.0)]
        assert shown == ["2.5 s", "41.7 ms", "7.1 µs", "3 ns", "4321 s"]

    def test_numbers_have_no_exponent(self):
        numbers = {7.18e-5: "0.0000718", 1e-5: "0.0000100", 0.00025: "0.00025", 12345.6: "12346"}
        assert [digits(number) for number in numbers] == list(numbers.values())


class Competition:
    def seconds(self, code, setting):
        good = Contestant("good", python("while input() == '': print(0.5, flush=True)"))
        table = compete(Work("work", [good, Contestant("other", python(code))]), setting)
        assert table.entries[0].seconds == [0.5] * setting.turns()
        return table.entries[1]

    def test_first_turn_does_not_count(self):
        code = "for n in range(9):\n input()\n print(n, flush=True)"
        assert self.seconds(code, Setting(repeat=3)).seconds == [1, 2, 3]
        assert self.seconds(code, Setting(repeat=3, quick=True)).seconds == [0]

    def test_one_that_fails_says_why_and_the_others_go_on(self, subtests):
        for code, why in {
            "1 / 0": "ZeroDivisionError: division by zero",
            "input(); print(1.0, flush=True); input(); 1 / 0": "ZeroDivisionError",
            "import no_such_module": "No module named 'no_such_module'",
            "pass": "it ended without a word",
        }.items():
            with subtests.test(code):
                entry = self.seconds(code, Setting(repeat=2))
                assert why in entry.problem
                assert entry.seconds == []

    def test_program_that_is_not_there(self):
        missing = Contestant("missing", lambda: Program("/no/such/program"))
        table = compete(Work("work", [missing]), Setting(repeat=1))
        assert "/no/such/program" in table.entries[0].problem
        assert len(table.problems()) == 1

    def test_one_that_gives_another_result_is_not_measured(self):
        answers = {"ours": "0.5 3.0", "good": "0.5 3.00", "bad": "0.1 4", "silent": "0.5"}
        contestants = [Contestant(name, always(answer)) for name, answer in answers.items()]
        agree = lambda mine, theirs: float(mine) == float(theirs)
        table = compete(Work("sum", contestants, agree=agree), Setting(repeat=2))
        problems = {entry.name: entry.problem for entry in table.entries if entry.problem}
        assert problems == {"bad": "it gives 4, and ours gives 3.0"}
        assert "100 ms" not in table.to_markdown()

    def test_rivals_in_one_program(self):
        code = "n = 0\nwhile True:\n n += 1\n print(n, input(), flush=True)"
        shared = Shared(sys.executable, "-c", code)
        with shared.asked("a") as a, shared.asked("b") as b:
            assert [a.measure(), b.measure(), a.measure()] == [1, 2, 3]
            assert (a.result, b.result) == ("a", "b")
            process = shared.program.process
        assert process.poll() is not None

    def test_work_that_is_skipped_says_why(self):
        who = Contestant("ours", lambda: pytest.fail("it is started"))
        table = compete(Work("sum", [who], skipped="memory is short"), Setting())
        assert "Not measured: memory is short." in table.to_markdown()
        assert table.problems() == []


class Page:
    def test_scaling_of_other_machines_comes_from_files(self):
        printed = {
            "machine": {
                "processor": "Some CPU",
                "cores": 2,
                "logical_cores": 4,
                "memory": 8 * 2**30,
                "system": "linux",
            },
            "work": {"points": 1000, "limit": 200},
            "serial": [4.0, 4.0],
            "pools": [
                {"name": "Pool", "workers": 1, "seconds": [4.0, 5.0]},
                {"name": "Pool", "workers": 2, "seconds": [2.0, 2.0]},
            ],
        }
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mine.json").write_text(json.dumps(printed), encoding="utf-8")
            [scaling] = of_scaling.elsewhere(Path(folder))
        suite = {"title": "More", "text": "text", "tables": [scaling.to_json()]}
        page = report.page(
            {"command": "c", "machine": {"a": "b|c"}, "minutes": 1.0, "suites": [suite]}, "[alt]"
        )
        assert "### Some CPU, 2 cores" in page
        assert "grants 2 of 4 cores" in page
        assert " 2 (2 to 2) |" in page
        assert "b\\|c" in page
        assert "![(alt)](assets/benchmarks.svg)" in page


class Quick:
    """One small turn of everything, through the command; no time is judged."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        cls.committed = [CLONE / "BENCHMARKS.md", CLONE / "assets/benchmarks.svg"]
        cls.before = [digest(file) for file in cls.committed]
        with tempfile.TemporaryDirectory() as folder:
            cls.folder = Path(folder)
            # The copy of xtask: cargo may be in use by whoever runs this test.
            command = [CLONE / ".course/bin/course-kernel", "bench", "--quick", "--out", cls.folder]
            cls.status = subprocess.run(command, cwd=CLONE, check=False).returncode
            measured = CLONE / ".course/bench/all-quick.json"
            cls.results = json.loads(measured.read_text(encoding="utf-8"))
            cls.page = (cls.folder / "BENCHMARKS.md").read_text(encoding="utf-8")
            yield

    def tables(self):
        return [table for suite in self.results["suites"] for table in suite["tables"]]

    def test_every_row_is_measured_and_on_the_page(self, subtests):
        assert self.status == 0
        empty = [line for line in lines_of(self.page) if " not measured |" in line]
        assert empty == []
        names = [suite["name"] for suite in self.results["suites"]]
        known = ["threads", "processes", "mpi", "work", "scaling", "cells", "spare", "setup"]
        assert names == known
        skipped = [table["title"] for table in self.tables() if "skipped" in table]
        assert skipped == ["From a fresh clone to a kernel that can start"]
        tables = [table for table in self.tables() if "skipped" not in table]
        assert len(tables) >= 20
        for table in tables:
            with subtests.test(table["title"]):
                assert f"### {table['title']}\n" in self.page
                assert table.get("rows") or table.get("scaling")
                for row in table.get("rows", []):
                    line = f"| {row['name']} "
                    assert line in self.page
                    assert show(row["seconds"]["median"], row.get("unit")) in self.page
                    assert row["bound"], f"{row['name']}: what is it bound by?"

    def test_every_suite_measures_ours_and_peers(self):
        names = {row["name"] for table in self.tables() for row in table.get("rows", [])}
        wanted = {"Pool", "ProcessPool", "par_sum", "rayon par_iter", "joblib", "numpy"}
        wanted |= {f"Python's {pool}" for pool in ["ThreadPool", "Pool (fork)", "Pool (spawn)"]}
        wanted |= {"MpiPool", "MPIPoolExecutor", "mpi_run"}
        wanted |= {"ProcessPoolExecutor", "loky", "numpy.sum", "pure Python"}
        wanted |= {"ours", "stock", "ipykernel"}
        assert wanted - names == set()

    def test_figure_shows_the_panels_and_is_described(self):
        figure = xml.parse(self.folder / "assets/benchmarks.svg").getroot()
        svg = "{http://www.w3.org/2000/svg}"
        panels = [table for table in self.tables() if "panel" in table]
        assert len(panels) >= 5
        assert len(figure.findall(f"{svg}svg")) == len(panels)
        described = figure.find(f"{svg}desc").text
        for table in panels:
            assert table["panel"] in described
        assert f"![{described}](assets/benchmarks.svg)" in self.page

    def test_committed_files_stay_as_they_are(self):
        assert [digest(file) for file in self.committed] == self.before


def digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else None
