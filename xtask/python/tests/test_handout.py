"""Exercises without their solutions, what is said of the form of a notebook, and slides."""

import contextlib
import io
import re
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from grading.handed_in import read as cells_of
from grading.matching import lesson_from, plan
from kernels.clone import CLONE
from notebooks import book, exercises, handout, slides
from notebooks.execute import read
from notebooks.exercises import FOLDER, exercises_of, load, solutions_of
from notebooks.normalise import normalise, to_text


class Handout:
    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary)
            yield

    def hand_out(self, *names, folder=FOLDER):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            arguments = [*names, "--out", str(self.folder), "--folder", str(folder)]
            status = handout.main(arguments)
        return status, said.getvalue()

    def test_nothing_of_the_solutions_is_left(self):
        assert self.hand_out()[0] == 0
        for path in sorted(FOLDER.glob("*.ipynb")):
            written = self.folder / "exercises" / path.name
            text = written.read_text(encoding="utf-8")
            assert "olution" not in text, path.name
            assert "<details>" not in text, path.name
            assert solutions_of(read(written)) == {}

    def test_it_is_graded_as_it_is(self):
        self.hand_out()
        for path in sorted(FOLDER.glob("*.ipynb")):
            lesson = lesson_from(path)
            steps = plan(cells_of(self.folder / "exercises" / path.name)[0], lesson)
            assert sorted(steps.answered) == list(range(len(lesson.tasks)))
            assert len(steps.untouched) == len(lesson.tasks)

    def test_it_can_be_written_again_but_nothing_is_lost(self):
        assert self.hand_out("01_multiprocessing")[0] == 0
        [path] = (self.folder / "exercises").iterdir()
        assert self.hand_out("01_multiprocessing")[0] == 0
        path.write_text("mine", encoding="utf-8")
        status, said = self.hand_out("01_multiprocessing")
        assert (status, path.read_text(encoding="utf-8")) == (1, "mine")
        assert "is another already" in said

    def test_the_courses_own_are_not_written_over(self):
        path = FOLDER / "01_multiprocessing.ipynb"
        before = path.read_bytes()
        self.folder = FOLDER.parent
        status, said = self.hand_out("01_multiprocessing")
        assert (status, path.read_bytes()) == (1, before)
        assert "--out" in said

    def test_the_book_has_no_answers(self):
        self.hand_out()
        sources = self.folder / "book"
        (sources / "notebooks").mkdir(parents=True)
        for name in ["answers.md", "goals.md", "index.md"]:
            shutil.copy(CLONE / "book" / name, sources)
        shutil.copytree(FOLDER, sources / "notebooks/exercises")
        book.hand_out(sources, self.folder / "exercises")
        assert not (sources / "answers.md").exists()
        assert "answers" not in (sources / "index.md").read_text(encoding="utf-8")
        assert "goals" in (sources / "index.md").read_text(encoding="utf-8")
        for path in (sources / "notebooks/exercises").glob("*.ipynb"):
            assert "<details>" not in path.read_text(encoding="utf-8")

    def changed(self, change):
        """What comes of handing out a lesson that was changed."""
        notebook = load(FOLDER / "01_multiprocessing.ipynb")[0]
        change(notebook)
        source = self.folder / "course"
        source.mkdir(exist_ok=True)
        path = source / "01_multiprocessing.ipynb"
        path.write_text(to_text(normalise(notebook)), encoding="utf-8")
        return self.hand_out(folder=source)

    def test_a_solution_elsewhere_is_not_handed_out(self, subtests):
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

        def done_below_its_todo(notebook):
            exercise = exercises_of(notebook)[1]
            notebook.cells[exercise.cell].source += f"\n// TODO\n{exercise.solution}"

        def in_a_comment(notebook):
            exercise = exercises_of(notebook)[2]
            lines = exercise.solution.splitlines()
            notebook.cells[exercise.cell].source += "".join(f"\n// {line}" for line in lines)

        for change, expected in [
            (in_a_cell, "holds the solution of '1 · Lengths'"),
            (words, "speaks of solutions: 'The solution is easy.'"),
            (shown_in_a_text, "holds the solution of '1 · Lengths'"),
            (done, "git checkout"),
            (done_below_its_todo, "holds the solution of '2 · Who is done when?'"),
            (in_a_comment, "holds the solution of '3 · The price of an order'"),
        ]:
            with subtests.test(change.__name__):
                status, said = self.changed(change)
                assert status == 1, said
                assert expected in said
                assert not (self.folder / "exercises").exists()


class Form:
    """Two lessons, the second of which is broken."""

    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary)
            self.notebook = load(FOLDER / "01_multiprocessing.ipynb")[0]
            shutil.copytree(FOLDER / "wrong", self.folder / "wrong")
            self.write("01_multiprocessing")
            yield

    def write(self, name):
        text = to_text(normalise(self.notebook))
        (self.folder / f"{name}.ipynb").write_text(text, encoding="utf-8")

    def said(self, *arguments):
        """What is said, while no kernel may start."""
        out = io.StringIO()
        ran = mock.patch.object(exercises, "execute", side_effect=AssertionError("was run"))
        with contextlib.redirect_stdout(out), ran:
            status = exercises.main(["--folder", str(self.folder), *arguments])
        assert status == 1, out.getvalue()
        return out.getvalue()

    def test_the_form_of_all_is_looked_at_before_any_kernel_starts(self):
        del self.notebook.cells[4]
        self.write("02_broken")
        for arguments in [[], ["--tidy"]]:
            said = self.said(*arguments)
            assert "02_broken: FAILED: there is no check behind exercise '1 · Len" in said
            assert "failed: 02_broken" in said

    def test_wrong_answers_belong_to_the_form(self):
        (self.folder / "wrong/01_multiprocessing.md").unlink()
        assert "01_multiprocessing: FAILED: has no wrong answers" in self.said()

    def test_the_mended_form_is_named(self):
        for heading in ["## 1 - Lengths", "## 1. Lengths", "# 1 · Lengths", "### 1: Lengths"]:
            self.notebook.cells[2].source = f"{heading}\n\nThe task."
            self.write("02_broken")
            said = self.said()
            assert f"in place of `{heading}` write `## 1 · Lengths`" in said
        self.notebook.cells[2].source = "## 1 · Lengths"
        for title in ["1 - Lengths", "2 · Lengths", "1. lengths"]:
            solution = next(cell for cell in self.notebook.cells if "<summary>1" in cell.source)
            before = solution.source
            solution.source = before.replace("1 · Lengths", title)
            self.write("02_broken")
            said = self.said()
            assert f"<summary>{title}</summary> write 1 · Lengths" in said
            solution.source = before


class Slides:
    def groups(self, *cells):
        """The sizes of the slides of cells, which are a text and what the author says of each."""
        notebook = new_notebook()
        for text, said in cells:
            make = new_code_cell if text == "code" else new_markdown_cell
            metadata = {"slideshow": {"slide_type": said}} if said else {}
            notebook.cells.append(make(text, metadata=metadata))
        return [len(slide) for slide in slides.groups(notebook)]

    def test_a_slide_begins_at_a_heading_and_behind_code(self):
        cells = [("# A", ""), ("text", ""), ("code", ""), ("text", ""), ("code", ""), ("## B", "")]
        assert self.groups(*cells) == [3, 2, 1]

    def test_what_the_author_says_comes_first(self):
        assert self.groups(("# A", ""), ("code", ""), ("code", "-")) == [3]
        assert self.groups(("# A", ""), ("text", "slide"), ("text", "notes")) == [1, 1]
        assert self.groups(("# A", "skip")) == []

    def test_the_page_has_all_and_needs_no_network(self):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            slides.main(["01_multiprocessing", "--out", folder])
            text = Path(folder, "01_multiprocessing.html").read_text(encoding="utf-8")
        assert "Many workers at once" in text
        assert text.count('<section class="slide">') > 10
        assert not re.search(r'<(script|link)[^>]+(src|href)="http', text)
        assert not re.search(r'<img [^>]*src="(?!data:)', text), "what does not lie in it"
        assert 'href="#' in text
        assert not re.search(r'<a [^>]*href="[^#h]', text), "what does not lie beside it"
