"""The check of the exercises fails when an exercise is not as it must be, and on nothing else."""

import contextlib
import io
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from nbformat import v4

import exercises
from execute import Problem, Run
from normalise import normalise, to_text

CHECK = 'check!(|check| { check.hint("add").on("sum(2, 3)").equal(5, || sum(2, 3)); })'
UNSOLVED = "fn sum(a: u32, b: u32) -> u32 {\n    0 // TODO\n}"
SOLVED = "fn sum(a: u32, b: u32) -> u32 {\n    a + b\n}"
CHEAP = "fn sum(a: u32, b: u32) -> u32 {\n    a * b // TODO\n}"


def solution(code, title="1 · Sums"):
    return v4.new_markdown_cell(
        f"<details>\n<summary>{title}</summary>\n\n```rust\n{code}\n```\n\nSo it is.\n\n</details>"
    )


def code(source, *tags):
    return v4.new_code_cell(source, metadata={"tags": list(tags)})


def exercise(given=UNSOLVED, solved=SOLVED):
    """The cells of a notebook with one exercise."""
    return [
        v4.new_markdown_cell("# Exercises"),
        code(':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;'),
        v4.new_markdown_cell("## 1 · Sums\n\nAdd two numbers."),
        code(given, "exercise"),
        code(CHECK, "check"),
        solution(solved),
    ]


def output(text):
    return v4.new_output("execute_result", data={"text/plain": text}, execution_count=1)


class Files(unittest.TestCase):
    """All but what only a kernel can tell."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def write(self, cells, tidy=True):
        notebook = v4.new_notebook(cells=cells)
        path = self.folder / "sums.ipynb"
        path.write_text(to_text(normalise(notebook) if tidy else notebook), encoding="utf-8")
        return path

    def run_main(self, *arguments):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = exercises.main(["--folder", str(self.folder), *arguments])
        return status, said.getvalue()

    def assert_malformed(self, cells, *words, tidy=True, ways=([], ["--solve"])):
        self.write(cells, tidy)
        for arguments in ways:
            with mock.patch.object(exercises, "execute", side_effect=AssertionError("was run")):
                status, said = self.run_main(*arguments)
            self.assertEqual(status, 1, said)
            for word in ["sums: FAILED", *words]:
                self.assertIn(word, said)

    def test_no_solution(self):
        self.assert_malformed(exercise()[:-1], "'1 · Sums' has no solution")

    def test_solution_of_another_title(self):
        cells = exercise()[:-1] + [solution(SOLVED, "2 · Sums")]
        self.assert_malformed(cells, "'1 · Sums' has no solution")

    def test_solution_without_exercise(self):
        cells = exercise() + [solution(SOLVED, "2 · Products")]
        self.assert_malformed(cells, "no exercise '2 · Products'")

    def test_two_solutions(self):
        self.assert_malformed(exercise() + [solution(SOLVED)], "two solutions '1 · Sums'")

    def test_solution_without_code(self):
        cells = exercise()
        cells[-1].source = cells[-1].source.replace("```rust", "```python")
        self.assert_malformed(cells, "'1 · Sums' has 0 blocks")

    def test_no_check(self):
        cells = exercise()
        del cells[4]
        self.assert_malformed(cells, "no check behind exercise '1 · Sums'")

    def test_check_that_is_none(self):
        cells = exercise()
        cells[4].source = "sum(2, 3)"
        self.assert_malformed(cells, "no check behind exercise '1 · Sums'")

    def test_check_without_exercise(self):
        self.assert_malformed(exercise() + [code(CHECK, "check")], "2 checks for 1 exercises")

    def test_no_title(self):
        cells = exercise()
        cells[2].source = "Add two numbers."
        self.assert_malformed(cells, "cell 4 is an exercise without a title")

    def test_no_place_to_write(self):
        cells = exercise(given=SOLVED)
        self.assert_malformed(cells, "'1 · Sums' does not say where to write", ways=[[]])

    def test_no_exercises(self):
        self.assert_malformed(exercise()[:2], "has no exercises")

    def test_outputs(self):
        cells = exercise()
        cells[4].outputs = [output("Right.")]
        self.assert_malformed(cells, "has outputs", "cargo xtask solutions --tidy", ways=[[]])

    def test_untidy(self):
        cells = exercise()
        cells[0].metadata = {"collapsed": True}
        self.assert_malformed(cells, "not in the form", tidy=False, ways=[[]])
        with contextlib.redirect_stdout(io.StringIO()):
            exercises.main(["--folder", str(self.folder), "--tidy"])
        exercises.load(self.folder / "sums.ipynb")

    def test_broken_file(self):
        (self.folder / "torn.ipynb").write_text("{")
        status, said = self.run_main()
        self.assertEqual(status, 1)
        self.assertIn("torn: FAILED: cannot be read", said)
        for way in ["--solve", "--tidy"]:
            status, said = self.run_main(way)
            self.assertEqual(status, 1)
            self.assertIn("torn: FAILED: cannot be read", said)

    def test_tidy_keeps_what_was_saved_meanwhile(self):
        cells = exercise()
        cells[4].outputs = [output("Right.")]
        path = self.write(cells)

        def normalise_slowly(notebook):
            path.write_text("newer", encoding="utf-8")
            return normalise(notebook)

        with mock.patch.object(exercises, "normalise", side_effect=normalise_slowly):
            status, said = self.run_main("--tidy")
        self.assertEqual(status, 1, said)
        self.assertIn("sums: FAILED: was changed meanwhile", said)
        self.assertEqual(path.read_text(encoding="utf-8"), "newer")

    def test_solve(self):
        path = self.write(exercise())
        handed_out = path.read_text(encoding="utf-8")
        status, said = self.run_main("--solve")
        written = self.folder / "solved/sums.ipynb"
        self.assertEqual((status, said), (0, f"{written}\n"))
        solved = exercises.read(written).cells
        self.assertEqual(solved[3].source, SOLVED)
        self.assertIn('path = "../../../helpers"', solved[1].source)
        self.assertEqual(path.read_text(encoding="utf-8"), handed_out, "the original is as it was")

    def test_solve_what_somebody_has_done(self):
        cells = exercise(given="fn sum(a: u32, b: u32) -> u32 { b + a }")
        cells[0].metadata = {"collapsed": True}
        cells[4].outputs = [output("Right.")]
        path = self.write(cells, tidy=False)
        done = path.read_bytes()
        status, said = self.run_main("--solve")
        self.assertEqual(status, 0, said)
        solved = exercises.read(self.folder / "solved/sums.ipynb").cells
        self.assertEqual((solved[3].source, solved[4].outputs), (SOLVED, []))
        self.assertEqual(path.read_bytes(), done, "the original is as it was")

    def test_solved_notebooks_that_are_there(self):
        self.write(exercise())
        self.assertEqual(self.run_main("--solve")[0], 0)
        written = self.folder / "solved/sums.ipynb"
        notebook = exercises.read(written)
        notebook.cells[4].outputs = [output("Right.")]
        written.write_text(to_text(notebook), encoding="utf-8")
        was_run = written.read_bytes()
        self.assertEqual(self.run_main("--solve"), (0, f"{written}\n"))
        self.assertEqual(written.read_bytes(), was_run)
        for other in [b"{", to_text(v4.new_notebook(cells=exercise())).encode()]:
            written.write_bytes(other)
            status, said = self.run_main("--solve")
            self.assertEqual(status, 1)
            self.assertIn(f"FAILED: {written} is another already; move or delete it", said)
            self.assertEqual(written.read_bytes(), other)

    def assert_verdicts(self, handed_out, solved, status, *words, problem=None):
        """What is said if the checks give these verdicts."""

        def execute(notebook, _folder, _timeout):
            self.assertEqual(len(notebook.cells), 8)
            self.assertEqual(notebook.cells[3].source, UNSOLVED)
            self.assertEqual(notebook.cells[6].source, SOLVED)
            self.assertEqual(notebook.cells[7].source, CHECK)
            notebook.cells[4].outputs = [output(handed_out)]
            notebook.cells[7].outputs = [output(solved)]
            return Run(problem)

        self.write(exercise())
        with mock.patch.object(exercises, "execute", side_effect=execute):
            result, said = self.run_main()
        self.assertEqual(result, status, said)
        for word in words:
            self.assertIn(word, said)

    def test_verdicts(self):
        self.assert_verdicts("Not yet.\n  came 0", "Right.", 0, "sums: ok, 1 exercises")
        self.assert_verdicts("Right.", "Right.", 1, "'1 · Sums' as handed out gives: Right.")
        self.assert_verdicts("", "Right.", 1, "'1 · Sums' as handed out gives")
        self.assert_verdicts("Not checked: no", "Right.", 1, "as handed out gives: Not checked")
        self.assert_verdicts("Not yet.", "Not yet.\n  came 6", 1, "solution of '1 · Sums'", "came 6")
        self.assert_verdicts("Not yet.", "", 1, "solution of '1 · Sums' gives")

    def test_cells_that_fail(self):
        for cell, words in [(4, "cell 4 (`fn`)"), (7, "solution '1 · Sums' (`fn`)")]:
            problem = Problem(cell, "fn", "mismatched types")
            self.assert_verdicts("", "", 1, words, "mismatched types", problem=problem)


class InTheKernel(unittest.TestCase):
    """The same with real verdicts."""

    def test_broken_exercises(self):
        broken = {
            "wrong": (exercise(solved=CHEAP), "the solution of '1 · Sums' gives: Not yet."),
            "solved": (exercise(given=SOLVED + " // TODO"), "as handed out gives: Right."),
        }
        said = {}

        def prove(name, folder):
            cells = broken[name][0]
            helpers = exercises.CLONE / "helpers"
            cells[1].source = cells[1].source.replace("../../helpers", str(helpers))
            path = folder / f"{name}.ipynb"
            path.write_text(to_text(normalise(v4.new_notebook(cells=cells))), encoding="utf-8")
            report = mock.Mock(side_effect=lambda _path, message: said.update({name: message}))
            return exercises.prove(path, mock.Mock(timeout=120, known=None), report)

        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
            list(executor.map(prove, broken, [Path(folder)] * 2))
        for name, (_, words) in broken.items():
            self.assertIn(words, said[name])
