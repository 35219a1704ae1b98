"""Grading, on the real kernel: good answers, poor ones, and notebooks that misbehave."""

import contextlib
import csv
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import grade
from clone import CLONE, launcher, wait_until
from exercises import FOLDER, exercises_of

LOAD = ':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;'
DOUBLE = "fn double(n: i32) -> i32 {\n    n // TODO\n}"
TRIPLE = "fn triple(n: i32) -> i32 {\n    n // TODO\n}"
CHECK = "check!(|check| {{\n    check.equal({}, || {}(2));\n}})"
DOUBLED, TRIPLED = DOUBLE.replace("n // TODO", "2 * n"), TRIPLE.replace("n // TODO", "3 * n")

HAS_MPI = shutil.which("mpicc") or (CLONE / ".course/mpi/bin/mpicc").exists()

# What comes of notebooks whose second cell is this.
MISBEHAVIOUR = {
    # It only waits, so that it does not hold up the others.
    "loops": ("loop { std::thread::park(); }", "no end after"),
    "prints": ('loop { println!("and again"); }', "more than 1 MiB of output"),
    "shows_much": ('display(&"x".repeat(2 << 20));', "more than 1 MiB of output"),
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
    # Arrays that processes can share are no memory of the process alone.
    "fills_shared_memory": (
        "let mut hoard = Vec::new();\nfor _ in 0..48 {\n"
        "    let mut array = SharedArray::<u8>::zeros(64 << 20)?;\n"
        "    array.fill(1);\n    hoard.push(array);\n}\n"
        "std::thread::sleep(std::time::Duration::from_secs(60));",
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


def solved(path):
    """A notebook of the course with its solutions filled in."""
    notebook = nbformat.read(path, as_version=4)
    for exercise in exercises_of(notebook):
        notebook.cells[exercise.cell].source = exercise.solution
    return notebook


def tells():
    """It finds out what is printed, and says the same."""
    notebook = handed_in(double=DOUBLE, triple=TRIPLE)
    notebook.cells[1] = new_code_cell(
        "macro_rules! println {\n"
        "    ($words:literal, { $($check:tt)* }.is_right()) => {\n"
        '        std::println!("{}true", $words.trim_end_matches("{}"))\n    };\n'
        "    ($($any:tt)*) => { std::println!($($any)*) };\n}"
    )
    return notebook


def elsewhere():
    """Answers in cells of its own, between what was given and the check."""
    notebook = course()
    notebook.cells.insert(6, new_code_cell(TRIPLED))
    notebook.cells.insert(3, new_code_cell(DOUBLED))
    return notebook


def abandoned():
    """The build folders whose kernel has ended. Other checks may have kernels of their own."""
    found = set()
    for path in (CLONE / ".course/kernels").glob("*.lock"):
        # It may go while it is looked at.
        with contextlib.suppress(FileNotFoundError, BlockingIOError), open(path) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            found.add(path.stem)
    return found


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

    def test_each_crate_of_the_course_is_found(self):
        first = grade.loading(LOAD + '\n:dep helpers-mpi = { path = "../../helpers-mpi" }')
        for crate in ["helpers", "helpers-mpi"]:
            self.assertIn(f':dep {crate} = {{ path = "{CLONE / crate}" }}', first.splitlines())

    def test_no_way_to_write_it_loads_another_crate(self):
        for line in [
            ':dep helpers={path="/evil"}',
            ' :dep  helpers = { path = "/evil" }',
            ':dep helpers-mpi = { path = "/evil" }',
            ":dep /evil/helpers",
        ]:
            self.assertEqual(grade.without_loading(f"1\n{line}\n2"), "1\n\n2")
        for line in [':dep helpers2 = "1"', ':dep helpers-mpi-2 = "1"', ':dep rand = "1"', "helpers"]:
            self.assertEqual(grade.without_loading(line), line)

    def test_a_check_is_where_the_reader_has_it(self):
        notebook = handed_in(double=DOUBLE)
        notebook.cells.insert(3, new_code_cell(DOUBLED))
        sources = [step.source for step in grade.steps_of(notebook, course())[0]]
        check = CHECK.format(4, "double")
        self.assertEqual(sources[1:4], [DOUBLE, DOUBLED, check])
        # Also if it is changed, or called something else.
        notebook.cells[4].source = "1"
        self.assertEqual([step.source for step in grade.steps_of(notebook, course())[0]], sources)
        notebook.cells[4].source, notebook.cells[4].id = check, "new"
        self.assertEqual([step.source for step in grade.steps_of(notebook, course())[0]], sources)

    def test_a_check_before_its_exercise_comes_behind_it(self):
        notebook = handed_in()
        notebook.cells.insert(2, notebook.cells.pop(3))
        sources = [step.source for step in grade.steps_of(notebook, course())[0]]
        self.assertEqual(sources[1:3], [DOUBLED, CHECK.format(4, "double")])

    def test_two_checks_may_be_due_at_the_same_place(self):
        notebook = handed_in()
        del notebook.cells[3]
        notebook.cells[5].id, notebook.cells[5].source = "check-0", CHECK.format(6, "triple")
        steps, _ = grade.steps_of(notebook, course())
        self.assertEqual([step.exercise for step in steps[1:]], [None, None, 0, 1])

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


class Files(unittest.TestCase):
    """What is told without a kernel."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name, "handed in")
        self.course = Path(temporary.name, "course")
        for folder in [self.folder, self.course]:
            folder.mkdir()
        nbformat.write(course(), self.course / "01_numbers.ipynb")

    def hand_in(self, *names):
        for name in names:
            nbformat.write(handed_in(), os.fsdecode(os.fsencode(self.folder / "") + b"/" + name))

    def grade(self, *arguments, run="pass", **environment):
        """Grades with this in the place of a kernel."""
        program = (
            "import os, sys, grade\n"
            f"def run(steps, row, limits, kernel):\n    {run}\n"
            "grade.run = run\nsys.exit(grade.main())\n"
        )
        command = [sys.executable, "-c", program, self.folder, "--kernel", "none"]
        return subprocess.run(
            [*command, "--course", self.course, "--jobs", "1", *arguments],
            capture_output=True,
            cwd=CLONE / "xtask/python",
            env=os.environ | environment,
            text=True,
            timeout=60,
        )

    def rows(self):
        with open(self.folder / "grades.csv", encoding="utf-8", newline="") as file:
            return {row["notebook"]: row for row in csv.DictReader(file)}

    def test_a_name_that_is_no_text(self):
        self.hand_in(b"M\xfcller.ipynb", b"Noether.ipynb")
        for encoding in ["utf-8", "latin-1"]:
            graded = self.grade(PYTHONIOENCODING=encoding)
            self.assertEqual(graded.returncode, 0, graded.stderr)
            self.assertEqual(sorted(self.rows()), ["M\ufffdller.ipynb", "Noether.ipynb"])
            (self.folder / "grades.csv").unlink()

    def test_a_remark_that_is_no_text(self):
        self.hand_in(b"a.ipynb")
        graded = self.grade(run="row.remarks.append('\\ud800')")
        self.assertEqual(graded.returncode, 0, graded.stderr)
        self.assertEqual(self.rows()["a.ipynb"]["remarks"], "?")

    def test_a_folder_that_cannot_be_written(self):
        self.hand_in(b"a.ipynb")
        out = self.folder / "a.ipynb/here"
        graded = self.grade("--out", out, run="print('was run')")
        self.assertEqual((graded.returncode, graded.stdout), (1, ""))
        self.assertIn(f"error: cannot write in {out}: ", graded.stderr)

    def test_what_was_graded_is_kept(self):
        # What is started by `nohup`, or in the background of a shell, is deaf to some signals, and
        # so are the programs that it starts.
        for number in [signal.SIGINT, signal.SIGHUP]:
            before = signal.signal(number, signal.default_int_handler)
            self.addCleanup(signal.signal, number, before)
        self.hand_in(b"a.ipynb", b"b.ipynb", b"c.ipynb")
        for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
            run = f"row.file == 'b.ipynb' and (os.kill(os.getpid(), {number}), grade.STOPPED.wait(30))"
            graded = self.grade(run=run)
            self.assertEqual(graded.returncode, 1, graded.stderr)
            self.assertIn("Stopped: 2 of 3 notebooks have a row", graded.stdout)
            self.assertEqual(list(self.rows()), ["a.ipynb", "b.ipynb"])
            (self.folder / "grades.csv").unlink()
        # Even if there is no time to say so.
        graded = self.grade(run=f"row.file == 'c.ipynb' and os.kill(os.getpid(), {signal.SIGKILL})")
        self.assertEqual(graded.returncode, -signal.SIGKILL)
        self.assertEqual(list(self.rows()), ["a.ipynb", "b.ipynb"])

    def test_exercises_that_the_instructor_has_done(self):
        self.hand_in(b"a.ipynb")
        nbformat.write(handed_in(), self.course / "01_numbers.ipynb")
        graded = self.grade()
        self.assertEqual(graded.stdout.splitlines()[0], "a.ipynb: 0 of 2", graded.stderr)

    def test_a_course_that_is_broken(self):
        self.hand_in(b"a.ipynb")
        broken = course()
        del broken.cells[3]
        path = self.course / "02_broken.ipynb"
        nbformat.write(broken, path)
        graded = self.grade(run="print('was run')")
        self.assertEqual((graded.returncode, graded.stdout), (1, ""))
        self.assertIn(f"{path}: there is no check behind exercise '1 · Twice'", graded.stderr)

    def test_no_course(self):
        self.hand_in(b"a.ipynb")
        (self.course / "01_numbers.ipynb").unlink()
        graded = self.grade()
        self.assertEqual(graded.returncode, 1)
        self.assertIn(f"no notebook of the course in {self.course}", graded.stderr)


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Killed(unittest.TestCase):
    def test_a_grader_that_is_killed_takes_its_kernel_along(self):
        program = (
            "import sys, time, grade; limits = grade.Limits(600, 600, 2**40)\n"
            "with grade.Session(sys.argv[1], limits) as session:\n"
            "    print('pid', session.kernel.manager.provisioner.pid, flush=True); time.sleep(600)"
        )
        grader = subprocess.Popen(
            [sys.executable, "-c", program, launcher()],
            cwd=CLONE / "xtask/python",
            stdout=subprocess.PIPE,
            text=True,
        )
        with grader:
            # The kernel says something as well.
            says = next(line for line in grader.stdout if line.startswith("pid "))
            kernel = psutil.Process(int(says.split()[1]))
            grader.kill()
            if not wait_until(lambda: has_ended(kernel), 20):
                kernel.kill()
                self.fail("the kernel runs on")


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
        shutil.copy2(FOLDER / "05_mpi.ipynb", lessons)
        notebooks = {
            "mpi": solved(FOLDER / "05_mpi.ipynb"),
            "solved": handed_in(),
            "as_handed_out": course(),
            "does_not_compile": handed_in(double="fn double(n: i32) -> i32 { n +"),
            "cheats": cheating(),
            "tells": tells(),
            "elsewhere": elsewhere(),
        }
        for name, (code, _) in MISBEHAVIOUR.items():
            notebooks[name] = handed_in()
            notebooks[name].cells[1] = new_code_cell(code)
        for name, notebook in notebooks.items():
            nbformat.write(notebook, hand_in / f"{name}.ipynb")
        (hand_in / "broken.ipynb").write_text("{", encoding="utf-8")
        command = [sys.executable, str(CLONE / "xtask/python/grade.py"), str(hand_in)]
        command += ["--kernel", str(launcher()), "--course", str(lessons)]
        command += ["--seconds", "180", "--memory", "2.5", "--jobs", "3"]
        before = abandoned()
        cls.graded = subprocess.run(command, capture_output=True, text=True)
        cls.left = wait_until(lambda: abandoned() <= before, 20) or abandoned() - before
        with open(hand_in / "grades.csv", encoding="utf-8", newline="") as file:
            cls.rows = {Path(row["notebook"]).stem: row for row in csv.DictReader(file)}
        cls.page = (hand_in / "grades.html").read_text(encoding="utf-8")

    def results(self, name):
        row = self.rows[name]
        return [row["exercise 1"], row["exercise 2"]]

    def test_every_notebook_has_its_row(self):
        self.assertEqual(self.graded.returncode, 0, self.graded.stderr)
        self.assertEqual(len(self.rows), 8 + len(MISBEHAVIOUR), self.rows)
        self.assertEqual(self.page.count("<tr>"), 1 + len(self.rows))

    def test_good_and_poor_answers(self):
        self.assertEqual(self.results("solved"), ["passed", "passed"], self.rows["solved"])
        self.assertEqual(self.rows["solved"]["remarks"], "")
        self.assertEqual(self.results("as_handed_out"), ["failed", "failed"])

    def test_a_cell_that_does_not_compile_costs_its_own_exercise(self):
        self.assertEqual(self.results("does_not_compile"), ["failed", "passed"])

    def test_changed_checks_and_missing_cells_gain_nothing(self):
        self.assertEqual(self.results("cheats"), ["failed", "missing"], self.rows["cheats"])

    def test_a_notebook_cannot_say_that_it_passed(self):
        self.assertEqual(self.results("tells"), ["failed", "failed"], self.rows["tells"])

    def test_answers_in_cells_of_their_own(self):
        self.assertEqual(self.results("elsewhere"), ["passed", "passed"], self.rows["elsewhere"])

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

    def test_nothing_is_left_on_disk(self):
        self.assertIs(self.left, True)

    @unittest.skipUnless(HAS_MPI, "there is no MPI library")
    def test_a_lesson_with_two_crates(self):
        row = self.rows["mpi"]
        self.assertEqual((row["lesson"], row["passed"], row["of"]), ("05_mpi", "5", "5"), row)
        self.assertEqual(row["remarks"], "")
