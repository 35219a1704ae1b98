"""Exercises without their solutions."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import handout
from exercises import FOLDER, exercises_of, load, solutions_of
from execute import read
from grading.handed_in import read as cells_of
from grading.matching import lesson_from, plan
from normalise import normalise, to_text


class Handout(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def hand_out(self, *names, folder=FOLDER):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            arguments = [*names, "--out", str(self.folder), "--folder", str(folder)]
            status = handout.main(arguments)
        return status, said.getvalue()

    def test_nothing_of_the_solutions_is_left(self):
        self.assertEqual(self.hand_out()[0], 0)
        for path in sorted(FOLDER.glob("*.ipynb")):
            written = self.folder / "exercises" / path.name
            text = written.read_text(encoding="utf-8")
            self.assertNotIn("olution", text, path.name)
            self.assertNotIn("<details>", text, path.name)
            self.assertEqual(solutions_of(read(written)), {})

    def test_it_is_graded_as_it_is(self):
        self.hand_out()
        for path in sorted(FOLDER.glob("*.ipynb")):
            lesson = lesson_from(path)
            steps = plan(cells_of(self.folder / "exercises" / path.name)[0], lesson)
            self.assertEqual(sorted(steps.answered), list(range(len(lesson.tasks))))
            self.assertEqual(len(steps.untouched), len(lesson.tasks))

    def test_it_can_be_written_again_but_nothing_is_lost(self):
        self.assertEqual(self.hand_out("01_multiprocessing")[0], 0)
        [path] = (self.folder / "exercises").iterdir()
        self.assertEqual(self.hand_out("01_multiprocessing")[0], 0)
        path.write_text("mine", encoding="utf-8")
        status, said = self.hand_out("01_multiprocessing")
        self.assertEqual((status, path.read_text(encoding="utf-8")), (1, "mine"))
        self.assertIn("is another already", said)

    def test_the_courses_own_are_not_written_over(self):
        path = FOLDER / "01_multiprocessing.ipynb"
        before = path.read_bytes()
        self.folder = FOLDER.parent
        status, said = self.hand_out("01_multiprocessing")
        self.assertEqual((status, path.read_bytes()), (1, before))
        self.assertIn("--out", said)

    def changed(self, change):
        """What comes of handing out a lesson that was changed."""
        notebook = load(FOLDER / "01_multiprocessing.ipynb")[0]
        change(notebook)
        source = self.folder / "course"
        source.mkdir(exist_ok=True)
        path = source / "01_multiprocessing.ipynb"
        path.write_text(to_text(normalise(notebook)), encoding="utf-8")
        return self.hand_out(folder=source)

    def test_a_solution_elsewhere_is_not_handed_out(self):
        def shown_in_a_text(notebook):
            solution = exercises_of(notebook)[0].solution
            notebook.cells[2].source += f"\n\n```rust\n{solution}\n```"

        def in_a_cell(notebook):
            notebook.cells[15].source += "\n" + exercises_of(notebook)[0].solution

        def words(notebook):
            notebook.cells[2].source += "\n\nThe solution is easy."

        def done(notebook):
            exercise = exercises_of(notebook)[0]
            notebook.cells[exercise.cell].source = exercise.solution

        for change, expected in [
            (in_a_cell, "holds the solution of '1 · Lengths'"),
            (words, "speaks of solutions: 'The solution is easy.'"),
            (shown_in_a_text, "holds the solution of '1 · Lengths'"),
            (done, "not done"),
        ]:
            with self.subTest(change.__name__):
                status, said = self.changed(change)
                self.assertEqual(status, 1, said)
                self.assertIn(expected, said)
                self.assertFalse((self.folder / "exercises").exists())
