"""The check of the exercises fails when an exercise is not as it must be, and on nothing else."""

import contextlib
import io
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest
from nbformat import v4

from kernels.session import Session
from notebooks import exercises, hints, trials, wrong_answers
from notebooks.execute import Problem, Run
from notebooks.normalise import normalise, to_text

CHECK = """check!(|check| {
    check.hint(("add", "a + b")).on("sum(2, 3)").equal(5, || sum(2, 3));
})"""
UNSOLVED = "fn sum(a: u32, b: u32) -> u32 {\n    0 // TODO\n}"
SOLVED = "fn sum(a: u32, b: u32) -> u32 {\n    a + b\n}"
CHEAP = "fn sum(a: u32, b: u32) -> u32 {\n    a * b // TODO\n}"
# Five wrong answers, each of which gives another number.
NUMBERS = [6, 7, 8, 9, 10]


def wrong(title="1 · Sums", numbers=NUMBERS, hint="add"):
    """The file of wrong answers to one exercise."""
    answers = [
        f"### always {number}\nhint: {hint}\n\n"
        f"```rust\nfn sum(a: u32, b: u32) -> u32 {{\n    {number}\n}}\n```\n"
        for number in numbers
    ]
    return f"# Wrong answers\n\n## {title}\n\n" + "\n".join(answers)


def solution(code, title="1 · Sums"):
    return v4.new_markdown_cell(
        f"<details>\n<summary>{title}</summary>\n\n```rust\n{code}\n```\n\nSo it is.\n\n</details>"
    )


def code(source, *tags):
    folded = {"jupyter": {"source_hidden": True}} if "check" in tags else {}
    return v4.new_code_cell(source, metadata={"tags": list(tags), **folded})


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


class Files:
    """All but what only a kernel can tell."""

    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary)
            yield

    def write(self, cells, tidy=True, answers=None):
        (self.folder / "wrong").mkdir(exist_ok=True)
        (self.folder / "wrong/sums.md").write_text(answers or wrong(), encoding="utf-8")
        notebook = v4.new_notebook(cells=cells)
        path = self.folder / "sums.ipynb"
        path.write_text(to_text(normalise(notebook) if tidy else notebook), encoding="utf-8")
        return path

    def run_main(self, *arguments):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = exercises.main(["--folder", str(self.folder), *arguments])
        return status, said.getvalue()

    def assert_malformed(self, cells, *words, tidy=True, ways=([], ["--solve"]), answers=None):
        self.write(cells, tidy, answers)
        for arguments in ways:
            with mock.patch.object(exercises, "execute", side_effect=AssertionError("was run")):
                status, said = self.run_main(*arguments)
            assert status == 1, said
            for word in ["sums: FAILED", *words]:
                assert word in said

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

    def test_hint_that_tells_no_more(self):
        cells = exercise()
        cells[4].source = CHECK.replace('("add", "a + b")', '"add, \\\n     or not?"')
        self.assert_malformed(cells, "is told no more than 'add, or not?'", ways=[[]])

    def test_hints_are_found_wherever_they_stand(self):
        check = """check
            .hint(("one, two", "a, b")) // .hint("no")
            .equal(vec![(1, '(')], || f("(", '"'))
            .when(|came| matches!(came, [1, 2]), "alone?")
            .when(|came| came.len() > 1, format!("alone {came}?"))
            .when(|came| g(came, "no"), ("pair?", "line"))
            .when_panic("", match n { 0 => ("no", "no"), _ => ("no", "no") })
            .hint(too_small).hint("");"""
        assert hints.alone(check) == ["alone?", "alone {came}?"]

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
        assert status == 1
        assert "torn: FAILED: cannot be read" in said
        for way in ["--solve", "--tidy"]:
            status, said = self.run_main(way)
            assert status == 1
            assert "torn: FAILED: cannot be read" in said

    def test_tidy_keeps_what_was_saved_meanwhile(self):
        cells = exercise()
        cells[4].outputs = [output("Right.")]
        path = self.write(cells)

        def normalise_slowly(notebook):
            path.write_text("newer", encoding="utf-8")
            return normalise(notebook)

        with mock.patch.object(exercises, "normalise", side_effect=normalise_slowly):
            status, said = self.run_main("--tidy")
        assert status == 1, said
        assert "sums: FAILED: was changed meanwhile" in said
        assert path.read_text(encoding="utf-8") == "newer"

    def test_solve(self):
        path = self.write(exercise())
        handed_out = path.read_text(encoding="utf-8")
        status, said = self.run_main("--solve")
        written = self.folder / "solved/sums.ipynb"
        assert (status, said) == (0, f"{written}\n")
        solved = exercises.read(written).cells
        assert solved[3].source == SOLVED
        assert 'path = "../../../helpers"' in solved[1].source
        assert path.read_text(encoding="utf-8") == handed_out, "the original is as it was"

    def test_solve_what_somebody_has_done(self):
        cells = exercise(given="fn sum(a: u32, b: u32) -> u32 { b + a }")
        cells[0].metadata = {"collapsed": True}
        cells[4].outputs = [output("Right.")]
        path = self.write(cells, tidy=False)
        done = path.read_bytes()
        status, said = self.run_main("--solve")
        assert status == 0, said
        solved = exercises.read(self.folder / "solved/sums.ipynb").cells
        assert (solved[3].source, solved[4].outputs) == (SOLVED, [])
        assert path.read_bytes() == done, "the original is as it was"

    def test_solved_notebooks_that_are_there(self):
        self.write(exercise())
        assert self.run_main("--solve")[0] == 0
        written = self.folder / "solved/sums.ipynb"
        notebook = exercises.read(written)
        notebook.cells[4].outputs = [output("Right.")]
        written.write_text(to_text(notebook), encoding="utf-8")
        was_run = written.read_bytes()
        assert self.run_main("--solve") == (0, f"{written}\n")
        assert written.read_bytes() == was_run
        for other in [b"{", to_text(v4.new_notebook(cells=exercise())).encode()]:
            written.write_bytes(other)
            status, said = self.run_main("--solve")
            assert status == 1
            assert f"FAILED: {written} is another already; move or delete it" in said
            assert written.read_bytes() == other

    def test_wrong_answers_that_are_not_as_they_must_be(self, subtests):
        three = wrong(numbers=[6, 7, 8])
        for answers, words in {
            "nothing": "'1 · Sums' has 0 wrong answers, and 5 are needed",
            three: "'1 · Sums' has 3 wrong answers",
            wrong("2 · Products"): "wrong answers to '2 · Products', which is no exercise",
            wrong() + wrong(): "two sections '1 · Sums'",
            wrong().replace("hint: add", "", 1): "'always 6' has 0 lines `hint: …`",
            wrong().replace("```rust", "```python", 1): "'always 6' has 0 blocks",
        }.items():
            with subtests.test(words):
                self.assert_malformed(exercise(), words, ways=[[]], answers=answers)
        self.write(exercise())
        (self.folder / "wrong/sums.md").unlink()
        status, said = self.run_main()
        assert status == 1
        assert "sums: FAILED: has no wrong answers" in said

    def run_with(self, handed_out, solved, of_wrong, problem=None, answers=None):
        """What is said if the checks give these verdicts."""

        def execute(notebook, _folder, _timeout):
            assert notebook.cells[3].source == UNSOLVED
            assert notebook.cells[-2].source == SOLVED
            notebook.cells[4].outputs = [output(handed_out)]
            *cells, _, last = notebook.cells[6:]
            for cell in cells:
                assert cell.source.count(CHECK) == 1
                # As often as the check is run, for one answer or for several in turns.
                turns = re.findall(r"\((\d), (\d)\)", cell.source)
                turns = turns or [(0, n) for n in re.findall(r"in 0\.\.(\d)", cell.source)]
                texts = [
                    f"noise\n«verdict {place}»\n{of_wrong}\n«end»\n" * int(times)
                    for place, times in turns
                ]
                cell.outputs = [v4.new_output("stream", name="stdout", text="".join(texts))]
            last.outputs = [output(solved)]
            self.ran.append(len(cells))
            return Run(problem if problem is None or problem.cell <= len(notebook.cells) else None)

        self.ran = []
        self.write(exercise(), answers=answers)
        with mock.patch.object(exercises, "execute", side_effect=execute):
            return self.run_main()

    def assert_verdicts(
        self, handed_out, solved, status, *words, of_wrong="Not yet.\n  hint      add", **others
    ):
        result, said = self.run_with(handed_out, solved, of_wrong, **others)
        assert result == status, said
        for word in words:
            assert word in said

    def test_verdicts(self):
        ok = "sums: ok, 1 exercises, 5 wrong answers"
        self.assert_verdicts("Not yet.\n  came 0", "Right.", 0, ok)
        self.assert_verdicts("Right.", "Right.", 1, "'1 · Sums' as handed out gives: Right.")
        self.assert_verdicts("", "Right.", 1, "'1 · Sums' as handed out gives")
        self.assert_verdicts("Not checked: no", "Right.", 1, "as handed out gives: Not checked")
        self.assert_verdicts("Not yet.", "Not yet.\n  came 6", 1, "solution of '1 · Sums'", "came 6")
        self.assert_verdicts("Not yet.", "", 1, "solution of '1 · Sums' gives")

    def test_verdicts_on_wrong_answers(self):
        place = "the wrong answer 'always 10' to '1 · Sums'"
        self.assert_verdicts("Not yet.", "Right.", 1, f"{place} gives: Right.", of_wrong="Right.")
        # Words elsewhere in the verdict are no hint.
        for verdict in ["Not yet.\n  called    add\n  hint      no", "Not yet.\n  came      add"]:
            words = f"{place}: no word of 'add' in: {verdict}"
            self.assert_verdicts("Not yet.", "Right.", 1, words, of_wrong=verdict)

    def test_what_is_told_later(self):
        later = re.sub(r"(always 10\nhint: add)", r"\1\nmore: both", wrong())
        both = "Not yet.\n  hint      add\n  more      both of them"
        self.assert_verdicts("Not yet.", "Right.", 0, of_wrong=both, answers=later)
        self.assert_verdicts("Not yet.", "Right.", 1, "no word of 'both' in", answers=later)

    def test_one_exercise_alone(self):
        *cells, first = exercise()
        second = [v4.new_markdown_cell("## 2 · More")] + [
            code(cell.source.replace("sum", "more"), *cell.metadata["tags"]) for cell in cells[3:]
        ]
        of_second = solution(SOLVED.replace("sum", "more"), "2 · More")
        answers = wrong() + wrong("2 · More").replace("# Wrong answers\n", "")
        self.write([*cells, *second, first, of_second], answers=answers)
        ran = []

        def execute(notebook, _folder, _timeout):
            ran.extend(cell.source for cell in notebook.cells)
            return Run(Problem(6, "more", "enough"))

        with mock.patch.object(exercises, "execute", side_effect=execute):
            status, said = self.run_main("sums:2")
            assert status == 1 and "enough" in said
            # What the answer to the first is remains, for the second may use it; it is not checked.
            assert UNSOLVED in ran and CHECK not in ran
            assert sum("check!(" in source for source in ran) == 3
            ran.clear()
            status, said = self.run_main("sums:3")
        assert status == 1 and ran == []
        assert "sums: FAILED: has no exercise '3'; there are 1, 2" in said

    def test_a_verdict_that_does_not_come(self):
        place = "the wrong answer 'always 10' to '1 · Sums'"
        self.assert_verdicts("Not yet.", "Right.", 1, f"{place} gives: \n", of_wrong="")

    def test_cells_that_fail(self):
        last = "the solution of '1 · Sums' (`fn`)"
        for cell, words in [(4, "cell 4 (`fn`)"), (8, last), (9, last)]:
            problem = Problem(cell, "fn", "mismatched types")
            self.assert_verdicts("", "", 1, words, "mismatched types", problem=problem)
            assert self.ran == [1]

    def test_wrong_answers_that_fail_together_are_tried_one_by_one(self):
        place = "the wrong answer 'always 6' to '1 · Sums' (`fn`)"
        problem = Problem(7, "fn", "mismatched types")
        self.assert_verdicts("", "", 1, place, "mismatched types", problem=problem)
        assert self.ran == [1, 5]


class Trials:
    def test_the_function_of_an_exercise_is_found(self):
        given = """/// Says.
fn one(
    pool: &Pool,
    work: fn(u32) -> u32,
    pairs: &[(u32, f64)],
) -> Result<Vec<u32>, PoolError> {
    let inner = |x: u32| -> u32 { x };
    fn none() {}
}"""
        types = ["&Pool", "fn(u32) -> u32", "&[(u32, f64)]"]
        expected = trials.Signature("one", types, "Result<Vec<u32>, PoolError>")
        assert trials.signature(given) == expected
        assert trials.signature("fn act(mut file: File) {\n}").pointer == "fn(File) -> ()"
        for other in [
            "const N: u32 = 2;\nfn one(n: u32) -> u32 {\n}",
            "fn one(n: u32) -> u32 {\n}\nfn two(n: u32) -> u32 {\n}",
            "fn one(items: impl Iterator<Item = u32>) -> u32 {\n}",
            "fn one<T>(item: T) -> T {\n}",
            "struct Point;",
        ]:
            assert trials.signature(other) is None, other

    def test_where_there_is_no_type_each_answer_has_a_block_and_a_check(self):
        answers = [wrong_answers.WrongAnswer("a", "const N: u32 = 1;", ["no"])] * 2
        cell = trials.together(answers, "const N: u32 = 0; // TODO", CHECK)
        assert (cell.count(CHECK), cell.count("{\nconst N")) == (2, 2)
        assert trials.PRINTS.format(place=1) in cell


class InTheKernel:
    """The same with real verdicts."""

    def test_broken_exercises(self):
        passes = wrong(numbers=[6, 7, 8, 9, "a + b"], hint="add")
        misses = wrong(hint="subtract")
        broken = {
            "wrong": (
                exercise(solved=CHEAP),
                ["the solution of '1 · Sums' gives: Not yet.", "'always a + b'", "gives: Right."],
                passes,
            ),
            "solved": (
                exercise(given=SOLVED + " // TODO"),
                ["as handed out gives: Right.", "'always 7'", "no word of 'subtract' in: Not yet."],
                misses,
            ),
            "broken": (
                exercise(),
                ["the wrong answer 'always c + b' to '1 · Sums' (`fn sum", "`c`"],
                wrong(numbers=[6, "c + b", 8, 9, 10]),
            ),
        }
        said = {}

        def prove(name, folder):
            cells = broken[name][0]
            helpers = exercises.CLONE / "helpers"
            cells[1].source = cells[1].source.replace("../../helpers", str(helpers))
            path = folder / f"{name}.ipynb"
            path.write_text(to_text(normalise(v4.new_notebook(cells=cells))), encoding="utf-8")
            (folder / "wrong").mkdir(exist_ok=True)
            (folder / f"wrong/{name}.md").write_text(broken[name][2], encoding="utf-8")
            report = mock.Mock(side_effect=lambda _path, message: said.update({name: message}))
            options = exercises.parse(["--timeout", "120"])
            return exercises.prove(path, options, report)

        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
            list(executor.map(prove, broken, [Path(folder)] * len(broken)))
        for name, (_, words, _) in broken.items():
            for word in words:
                assert word in said[name]

    def test_a_check_says_that_the_answer_did_not_compile(self):
        check = CHECK.replace('"add"', '"what is a sum?"')
        with Session(cwd=exercises.FOLDER) as kernel:
            kernel.run(':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;')
            assert kernel.run(SOLVED).status == "ok"
            assert kernel.run(check).result.startswith("Right.")
            assert kernel.run(SOLVED.replace("a + b", "a + c")).status == "error"
            verdict = kernel.run(check).result
            assert verdict.startswith("Not checked: the cell with `sum` did not compile")
            # Nothing that one could take for success at a glance.
            assert "What follows is about the version before.\nThat one passed" in verdict
            assert "Right." not in verdict
            # A check of something else is not meant, and the next version is a new one.
            twice = "fn twice(a: u32) -> u32 { a + a }\n"
            other = twice + "check!(|check| { check.equal(2, || twice(1)); })"
            assert kernel.run(other).result.startswith("Right.")
            assert kernel.run(CHEAP).status == "ok"
            verdict = kernel.run(check).result
            assert verdict.startswith("Not yet."), verdict
            assert "more" not in verdict
            assert "hint      what is a sum?\n  more      a + b" in kernel.run(check).result

    def test_a_check_speaks_of_what_is_used_and_of_nothing_else(self):
        twice = "fn twice(a: u32) -> u32 { let median = a; 2 * median }"
        calls = "fn twice(a: u32) -> u32 { median(a) + a }"
        check = """check!(|check| {
            check.hint("half of the median?").equal(2, || twice(1)); // median(1)
        })"""
        with Session(cwd=exercises.FOLDER) as kernel:
            kernel.run(':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;')
            assert kernel.run("fn median(a: u32) -> u32 { a }").status == "ok"
            assert kernel.run("fn median(a: u32) -> u32 { b }").status == "error"
            assert kernel.run(twice).status == "ok"
            assert kernel.run(check).result == "Right. The check passed."
            # With a variable, cells are compiled in another place.
            assert kernel.run("let other = vec![1];").status == "ok"
            assert kernel.run(check).result == "Right. The check passed."
            # What the answer calls counts, though the check does not name it.
            assert kernel.run(calls).status == "ok"
            verdict = kernel.run(check).result
            told = "Not checked: the cell with `median` did not compile"
            assert verdict.startswith(told), verdict
            assert kernel.run("fn median(a: u32) -> u32 { a }").status == "ok"
            assert kernel.run(check).result == "Right. The check passed."


class TableOfMistakes:
    """The compiler says what the table in *When the compiler complains* says that it says."""

    def test_all_rows(self, subtests):
        notebook = exercises.read(exercises.FOLDER / "01_multiprocessing.ipynb")
        title = "## When the compiler complains"
        text = next(cell.source for cell in notebook.cells if title in cell.source)
        rows = [re.findall("`([^`]+)`", row) for row in re.findall(r"^\| (`.*?) \| ", text, re.M)]
        assert len(rows) > 30
        file = exercises.FOLDER / "wrong/messages.md"
        cells = {
            message: wrong_answers.CODE.findall(body)
            for message, body in wrong_answers.sections(
                file.read_text(encoding="utf-8"), wrong_answers.MISTAKE
            )
        }
        assert list(cells) == [row[0] for row in rows], "a cell for each row, in order"
        with Session(cwd=exercises.FOLDER) as kernel:
            for place, row in enumerate(rows):
                if place == 1:
                    kernel.run(':dep helpers = { path = "../../helpers" }\n#![allow(unused)]')
                    kernel.run("use helpers::prelude::*;")
                told = ""
                for code in cells[row[0]]:
                    reply = kernel.run(code)
                    assert reply.status == "error", code
                    told += reply.told.replace("`", "") + "\n"
                # What is one word is where it happens.
                for message in [message for message in row if " " in message]:
                    with subtests.test(message):
                        words = ".*".join(map(re.escape, message.split("…")))
                        assert re.search(words, told)
