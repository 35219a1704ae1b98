"""Grading, on the real kernel: good answers, poor ones, and notebooks that misbehave."""

import csv
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import grade
from clone import CLONE

LOAD = ':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;'
DOUBLE = "fn double(n: i32) -> i32 {\n    n // TODO\n}"
TRIPLE = "fn triple(n: i32) -> i32 {\n    n // TODO\n}"
CHECK = "check!(|check| {{\n    check.equal({}, || {}(2));\n}})"
DOUBLED, TRIPLED = DOUBLE.replace("n // TODO", "2 * n"), TRIPLE.replace("n // TODO", "3 * n")

# What comes of notebooks whose second cell is this.
MISBEHAVIOUR = {
    # It only waits, so that it does not hold up the others.
    "loops": ("loop { std::thread::park(); }", "no end after"),
    "prints": ('loop { println!("and again"); }', "prints without end"),
    "kills": (
        "std::process::Command::new(\"kill\")"
        '.args(["-9", &std::os::unix::process::parent_id().to_string()]).status()?;\n'
        "std::thread::sleep(std::time::Duration::from_secs(60));",
        "its kernel died",
    ),
    "fills_the_memory": (
        "let mut hoard = Vec::new();\nloop { hoard.push(vec![1u8; 64 << 20]); }",
        "GiB of memory",
    ),
    "starts_processes": (
        'for _ in 0..300 {\n    std::process::Command::new("setsid").args(["sleep", "1000"]).spawn()?;\n}\n'
        "std::thread::sleep(std::time::Duration::from_secs(60));",
        "processes",
    ),
}


def course():
    """Two exercises, as the course hands them out; their solutions stand at the end."""
    double, triple = new_code_cell(DOUBLE), new_code_cell(TRIPLE)
    for number, cell in enumerate([double, triple]):
        cell.metadata.tags = ["exercise"]
        cell.id = f"exercise-{number}"
    checks = [new_code_cell(CHECK.format(4, "double")), new_code_cell(CHECK.format(6, "triple"))]
    for number, cell in enumerate(checks):
        cell.id = f"check-{number}"
        cell.metadata.tags = ["check"]
    load = new_code_cell(LOAD)
    load.id = "load"
    texts = new_markdown_cell("## 1 · Twice"), new_markdown_cell("## 2 · Three times")
    solutions = "\n\n".join(
        f"<details>\n<summary>{title}</summary>\n\n```rust\n{solution}\n```\n\n</details>"
        for title, solution in [("1 · Twice", DOUBLED), ("2 · Three times", TRIPLED)]
    )
    cells = [load, texts[0], double, checks[0], texts[1], triple, checks[1]]
    return new_notebook(cells=[*cells, new_markdown_cell(solutions)])


def handed_in(double=DOUBLED, triple=TRIPLED):
    notebook = course()
    notebook.cells[2].source, notebook.cells[5].source = double, triple
    return notebook


def cheating():
    """Its checks always say that all is right, and one exercise is gone."""
    notebook = handed_in(double=DOUBLE)
    notebook.cells[3].source = 'println!("Right. The check passed.");'
    notebook.cells[1] = new_code_cell(
        "macro_rules! check { ($($any:tt)*) => { Truth } }\nstruct Truth;\n"
        "impl Truth { fn is_right(&self) -> bool { true } }"
    )
    del notebook.cells[5]
    return notebook


class Steps(unittest.TestCase):
    def test_the_courses_checks_take_the_place_of_those_handed_in(self):
        notebook = handed_in()
        notebook.cells[3].source = "another check"
        steps, there = grade.steps_of(notebook, course())
        sources = [step.source for step in steps]
        self.assertNotIn("another check", sources)
        self.assertEqual(sources[1:], [DOUBLED, CHECK.format(4, "double"), TRIPLED, CHECK.format(6, "triple")])
        self.assertEqual(there, {0, 1})

    def test_cells_with_new_names_are_known_by_their_tags(self):
        notebook = handed_in()
        for number, cell in enumerate(notebook.cells):
            cell.id = f"new-{number}"
        _, there = grade.steps_of(notebook, course())
        self.assertEqual(there, {0, 1})

    def test_the_crate_is_always_the_courses_own(self):
        notebook = handed_in(double=':dep helpers = { path = "/evil" }\n' + DOUBLED)
        steps, _ = grade.steps_of(notebook, course())
        self.assertIn(str(CLONE / "helpers"), steps[0].source)
        self.assertFalse(any("evil" in step.source for step in steps))

    def test_another_notebook_is_none_of_the_courses(self):
        other = new_notebook(cells=[new_code_cell("1 + 1")])
        self.assertIsNone(grade.lesson_of(other, {"01": course()}))
        self.assertEqual(grade.lesson_of(handed_in(), {"01": course()}), "01")


class Tables(unittest.TestCase):
    def test_no_cell_is_a_formula(self):
        self.assertEqual(grade.harmless("=1+1"), "'=1+1")
        self.assertEqual(grade.harmless("passed"), "passed")

    def test_the_page_shows_words_as_words(self):
        row = grade.Row("<b>.ipynb", "01", [grade.PASSED], ["<script>"])
        self.assertNotIn("<script>", grade.page([row]))
        self.assertIn("&lt;b&gt;.ipynb", grade.page([row]))


class Grades(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        hand_in, lessons = cls.folder / "handed in", cls.folder / "course"
        hand_in.mkdir()
        lessons.mkdir()
        nbformat.write(course(), lessons / "01_numbers.ipynb")
        notebooks = {
            "solved": handed_in(),
            "as_handed_out": course(),
            "does_not_compile": handed_in(double="fn double(n: i32) -> i32 { n +"),
            "cheats": cheating(),
        }
        for name, (code, _) in MISBEHAVIOUR.items():
            notebooks[name] = handed_in()
            notebooks[name].cells[1] = new_code_cell(code)
        for name, notebook in notebooks.items():
            nbformat.write(notebook, hand_in / f"{name}.ipynb")
        (hand_in / "broken.ipynb").write_text("{", encoding="utf-8")
        command = [sys.executable, str(CLONE / "xtask/python/grade.py"), str(hand_in)]
        command += ["--kernel", str(CLONE / ".course/bin/course-kernel"), "--course", str(lessons)]
        command += ["--seconds", "180", "--memory", "2.5", "--jobs", "3"]
        cls.graded = subprocess.run(command, capture_output=True, text=True)
        with open(hand_in / "grades.csv", encoding="utf-8", newline="") as file:
            cls.rows = {Path(row["notebook"]).stem: row for row in csv.DictReader(file)}
        cls.page = (hand_in / "grades.html").read_text(encoding="utf-8")

    def results(self, name):
        row = self.rows[name]
        return [row["exercise 1"], row["exercise 2"]]

    def test_every_notebook_has_its_row(self):
        self.assertEqual(self.graded.returncode, 0, self.graded.stderr)
        self.assertEqual(len(self.rows), 5 + len(MISBEHAVIOUR), self.rows)
        self.assertEqual(self.page.count("<tr>"), 1 + len(self.rows))

    def test_good_and_poor_answers(self):
        self.assertEqual(self.results("solved"), ["passed", "passed"], self.rows["solved"])
        self.assertEqual(self.rows["solved"]["remarks"], "")
        self.assertEqual(self.results("as_handed_out"), ["failed", "failed"])

    def test_a_cell_that_does_not_compile_costs_its_own_exercise(self):
        self.assertEqual(self.results("does_not_compile"), ["failed", "passed"])

    def test_changed_checks_and_missing_cells_gain_nothing(self):
        self.assertEqual(self.results("cheats"), ["failed", "missing"], self.rows["cheats"])

    def test_what_is_no_notebook_is_said_to_be_none(self):
        self.assertIn("broken", self.rows)
        self.assertTrue(self.rows["broken"]["remarks"])

    def test_a_notebook_that_misbehaves_costs_its_own_row(self):
        for name, (_, words) in MISBEHAVIOUR.items():
            with self.subTest(name):
                self.assertIn(words, self.rows[name]["remarks"])
                self.assertEqual(self.results(name), ["not reached", "not reached"])

    def test_nothing_is_left_running(self):
        listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        self.assertNotIn("sleep 1000", listing)
