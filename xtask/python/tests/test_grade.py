"""Grading, on the real kernel: good answers, poor ones, and notebooks that misbehave."""

import contextlib
import csv
import fcntl
import functools
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from grading import grade, matching, page, platforms, row, running, rust, sandbox, students, table
from grading import handed_in as reading
from grading.row import PASSED
from kernels.clone import CLONE, launcher, script
from kernels.waiting import wait_until
from notebooks.exercises import FOLDER

LOAD = ':dep helpers = { path = "../../helpers" }\nuse helpers::prelude::*;'
DOUBLE = "fn double(n: i32) -> i32 {\n    n // TODO\n}"
TRIPLE = "fn triple(n: i32) -> i32 {\n    n // TODO\n}"
CHECK = "check!(|check| {{\n    check.equal({}, || {}(2));\n}})"
CHECK_TRIPLE = (
    'check!(|check| {\n    check.hint("think of 0");\n'
    '    check.on("triple(0)").equal(0, || triple(0));\n'
    '    check.on("triple(2)").equal(6, || triple(2));\n})'
)
DOUBLED, TRIPLED = DOUBLE.replace("n // TODO", "2 * n"), TRIPLE.replace("n // TODO", "3 * n")

HAS_MPI = shutil.which("mpicc") or (CLONE / ".course/mpi/bin/mpicc").exists()

# What comes of notebooks whose second cell is this.
MISBEHAVIOUR = {
    "kills": (
        'std::process::Command::new("kill")'
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
        "for _ in 0..300 {\n"
        '    std::process::Command::new("setsid").args(["sleep", "1000"]).spawn()?;\n}\n'
        "std::thread::sleep(std::time::Duration::from_secs(60));",
        "processes",
    ),
}
# Cells that are stopped, while the notebook goes on. The first only waits, and holds nobody up.
STOPPED = {
    "loop { std::thread::park(); }": "no end after",
    'loop { println!("and again"); }': "more than 1 MiB of output",
    'display(&"x".repeat(2 << 20));': "more than 1 MiB of output",
}


def course():
    """Two exercises, as the course hands them out; their solutions stand at the end."""
    double, triple = new_code_cell(DOUBLE), new_code_cell(TRIPLE)
    for number, cell in enumerate([double, triple]):
        cell.metadata.tags = ["exercise"]
        cell.id = f"exercise-{number}"
    checks = [new_code_cell(CHECK.format(4, "double")), new_code_cell(CHECK_TRIPLE)]
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
    """It says what a check would print, its own checks find all right, and an exercise is gone."""
    notebook = handed_in(double=DOUBLE)
    notebook.cells[3].source = 'println!("Right. The check passed.");'
    notebook.cells[1] = new_code_cell(
        "macro_rules! println {\n"
        "    ($words:literal, $($any:tt)*) => {\n"
        '        std::println!("{}", $words.replace("{} {}", "true 9"))\n    };\n'
        "    ($($any:tt)*) => { std::println!($($any)*) };\n}\n"
        "macro_rules! check { ($($any:tt)*) => { Truth } }\nstruct Truth;\n"
        "impl Truth { fn is_right(&self) -> bool { true } fn passed(&self) -> usize { 9 } }"
    )
    del notebook.cells[5]
    return notebook


def many_faults():
    """Cells without end, one that does not compile, and an answer that is half right."""
    notebook = handed_in(double="fn double(n: i32) -> i32 {\n    n +\n}", triple=TRIPLE)
    notebook.cells[5].source = TRIPLE.replace("n // TODO", "2 * n")
    for code in STOPPED:
        notebook.cells.insert(1, new_code_cell(code))
    return notebook


def with_files():
    """It reads what was handed in beside it, and leaves files."""
    notebook = handed_in(triple=TRIPLE)
    reads = (
        'let factor: i32 = std::fs::read_to_string("data/factor.txt")?.trim().parse()?;\n'
        'assert_eq!(factor, 3);\nstd::fs::write("x", "")?;\nstd::fs::write("../../y", "")?;'
    )
    notebook.cells[1] = new_code_cell(reads)
    # As a text beside the cell that is as it was.
    notebook.cells.insert(6, new_markdown_cell(f"```rust\n{TRIPLED}\n```"))
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


def left_in_clone():
    """What the notebooks of these tests write, where it must not be. Others may be at work there."""
    folders = [CLONE, CLONE / "notebooks", CLONE / "notebooks/exercises"]
    return [folder / name for folder in folders for name in "xy" if (folder / name).exists()]


def lesson(notebook=None):
    """The course's notebook as grading knows it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "01_numbers.ipynb")
        nbformat.write(notebook or course(), path)
        return matching.lesson_from(path)


def cells_of(notebook):
    return reading.cells_of(json.loads(nbformat.writes(notebook)))


def plan_of(notebook):
    return matching.plan(cells_of(notebook), lesson())


def order_of(notebook):
    """The reader's cells that are run, and the numbers of the checks between."""
    steps = plan_of(notebook).steps[1:]
    return [step.source if step.exercise is None else step.exercise for step in steps]


def with_new_ids(notebook, tagged=True):
    """As platforms and editors write it."""
    for number, cell in enumerate(notebook.cells):
        cell.id = f"new-{number}"
        if not tagged:
            cell.metadata = {}
    return notebook


class Reading:
    """What people, editors and platforms do to files."""

    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary)
            yield

    def test_any_encoding(self, subtests):
        text = nbformat.writes(handed_in()).replace("Twice", "Zweimal für Ada")
        for encoding, says in [
            ("utf-8", []),
            ("utf-8-sig", []),
            ("utf-16", []),
            ("utf-16-le", []),
            ("utf-16-be", []),
            ("utf-32", []),
            ("latin-1", ["Windows-1252"]),
        ]:
            with subtests.test(encoding):
                path = self.folder / "a.ipynb"
                path.write_bytes(text.encode(encoding))
                cells, remarks = reading.read(path)
                assert "Zweimal für Ada" in cells[1].source
                assert [word in remark for word, remark in zip(says, remarks, strict=True)] == [
                    True
                ] * len(says)

    def test_what_is_no_notebook_says_why(self, subtests):
        for text, words in {
            "": "empty",
            "[]": "but a list",
            "null": "nothing (null)",
            "7": "a number",
            '{"a": 1}': "no cells",
            '{"cells": {}}': "no cells",
            '{"cells": ["1"]}': "its cell 1 is no cell, but a text",
            '{"cells": [': "not JSON: ",
            "<!DOCTYPE html>": "a web page",
            "{\n<<<<<<< HEAD\n": "marks of a conflict",
            "[" * 100_000: "brackets",
        }.items():
            with subtests.test(text[:20]):
                path = self.folder / "a.ipynb"
                path.write_text(text, encoding="utf-8")
                with pytest.raises(reading.Unreadable, match=re.escape(words)):
                    reading.read(path)

    def test_cells_with_parts_missing_are_read(self):
        cells = reading.cells_of({"cells": [{}, {"cell_type": "code", "source": ["a\n", "b"]}]})
        assert [cell.source for cell in cells] == ["", "a\nb"]
        old = {"worksheets": [{"cells": [{"cell_type": "code", "input": "1"}]}]}
        assert reading.cells_of(old)[0].source == "1"

    def test_all_notebooks_are_found_and_nothing_is_silent(self):
        for name in [
            "Ada.IPYNB",
            "Emmy.ipynb.txt",
            "x.ipynb/inside.ipynb",
            "__MACOSX/._x.ipynb",
            "._Ada.ipynb",
            ".ipynb_checkpoints/Ada-checkpoint.ipynb",
            "Sofja/all.zip",
            "Maria/answers.docx",
            "Maria/.hidden",
            "grades.csv",
        ]:
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
        (self.folder / "Lise").mkdir()
        (self.folder / "Ada.IPYNB").rename(self.folder / "x.ipynb" / "Ada.IPYNB")
        (self.folder / "Emmy.ipynb.txt").rename(self.folder / "x.ipynb" / "Emmy.ipynb.txt")
        found = reading.search(self.folder)
        assert [path.name for path in found.notebooks] == [
            "Ada.IPYNB",
            "Emmy.ipynb.txt",
            "inside.ipynb",
        ]
        skipped = {str(path.relative_to(self.folder)): why for path, why in found.skipped}
        for name, words in {
            "x.ipynb": "a folder",
            "__MACOSX": "Mac",
            "._Ada.ipynb": "Mac",
            "Sofja/all.zip": "unpack",
            "Maria": "only: .hidden, answers.docx",
            "Lise": "empty",
        }.items():
            assert words in skipped.pop(name, ""), name
        assert skipped == {}

    def test_a_pipe_is_not_waited_for(self):
        os.mkfifo(self.folder / "a.ipynb")
        with pytest.raises(reading.Unreadable, match="no file"):
            reading.read(self.folder / "a.ipynb")


class Definitions:
    def test_what_a_cell_defines(self, subtests):
        for source, names in {
            "fn a() {}": {"a"},
            "pub(crate) async unsafe fn a<'a>(x: &'a str) -> char { '{' }\nconst B: u8 = 1;": {
                "a",
                "B",
            },
            "fn a() { fn inner() {} }": {"a"},
            "    fn a() {}": {"a"},
            "fn a() {} fn b() {}": {"a", "b"},
            '// fn a() {}\n/* fn b() {} */ let c = "fn d() {}";': set(),
            'let r = r#"fn a() {"#;\nfn b() {}': {"b"},
            "fn a() { (\nfn b() {}": {"a", "b"},
            "{\n    fn a() {}\n}": set(),
            "struct A; static B: u8 = 1; type C = u8; enum D {}": {"A", "B", "C", "D"},
        }.items():
            with subtests.test(source):
                assert rust.defined(source) == names
        assert rust.mentioned("{\n    fn a() {}\n}") == {"a"}


class Steps:
    def test_the_courses_checks_take_the_place_of_those_handed_in(self):
        notebook = handed_in()
        notebook.cells[3].source = "another check"
        assert order_of(notebook) == [DOUBLED, 0, TRIPLED, 1]
        assert plan_of(notebook).answered == {0: [3], 1: [6]}

    def test_cells_with_new_names_are_known_by_what_they_define(self):
        for tagged in [True, False]:
            assert order_of(with_new_ids(handed_in(), tagged)) == [DOUBLED, 0, TRIPLED, 1]

    def test_answers_with_new_names_are_known_by_their_cells(self):
        notebook = handed_in(double=DOUBLED.replace("double", "twice"))
        assert plan_of(notebook).answered == {0: [3], 1: [6]}
        assert plan_of(with_new_ids(notebook)).answered == {0: [3], 1: [6]}

    def test_merged_cells(self):
        notebook = with_new_ids(handed_in(), tagged=False)
        merged = f"{LOAD}\n{DOUBLED}\n{TRIPLED}"
        notebook.cells = [new_code_cell(merged), notebook.cells[-1]]
        source = matching.without_loading(merged)
        assert order_of(notebook) == [source, 0, 1]
        assert ":dep helpers" not in source

    def test_split_cells(self):
        both = "const A: u32 = 1;\nconst B: u32 = 2;"
        official = course()
        official.cells[2].source = both + " // TODO"
        official.cells[-1].source = official.cells[-1].source.replace(DOUBLED, both)
        notebook = handed_in(double="const A: u32 = 1;")
        notebook.cells.insert(3, new_code_cell("const B: u32 = 2;"))
        plan = matching.plan(cells_of(with_new_ids(notebook, tagged=False)), lesson(official))
        assert [step.exercise for step in plan.steps[1:]] == [None, None, 0, None, 1]
        assert plan.answered[0] == [3, 4]

    def test_an_answer_that_is_mended_below_its_check_counts(self):
        notebook = handed_in(double=DOUBLE)
        notebook.cells.insert(4, new_code_cell(DOUBLED))
        assert order_of(notebook) == [DOUBLE, 0, DOUBLED, 0, TRIPLED, 1]

    def test_an_answer_that_is_a_text(self):
        for text in [
            new_markdown_cell(f"```rust\n{DOUBLED}\n```"),
            new_markdown_cell(DOUBLED),
            new_raw_cell(DOUBLED),
        ]:
            notebook = with_new_ids(handed_in(double=DOUBLE), tagged=False)
            notebook.cells.insert(3, text)
            steps = plan_of(notebook).steps
            assert [step.is_trial for step in steps[-2:]] == [True, True]
            assert steps[-2].source.strip() == DOUBLED
        # The course's own texts hold solutions, and are none.
        assert not any(step.is_trial for step in plan_of(handed_in()).steps)

    def test_what_is_as_handed_out_is_known(self):
        assert plan_of(handed_in(double=DOUBLE + "  \r\n")).untouched == {0}

    def test_what_stands_behind_the_last_check_is_not_run(self):
        notebook = handed_in()
        notebook.cells.append(new_code_cell("measure_for_hours()"))
        assert order_of(notebook)[-1] == 1

    def test_the_crate_is_always_the_courses_own(self):
        steps = plan_of(handed_in(double=':dep helpers = { path = "/evil" }\n' + DOUBLED)).steps
        assert str(CLONE / "helpers") in steps[0].source
        assert not any("evil" in step.source for step in steps)

    def test_each_crate_of_the_course_is_found(self):
        first = matching.loading(LOAD + '\n:dep helpers-mpi = { path = "../../helpers-mpi" }')
        for crate in ["helpers", "helpers-mpi"]:
            assert f':dep {crate} = {{ path = "{CLONE / crate}" }}' in first.splitlines()

    def test_no_way_to_write_it_loads_another_crate(self):
        for line in [
            ':dep helpers={path="/evil"}',
            ' :dep  helpers = { path = "/evil" }',
            ':dep helpers-mpi = { path = "/evil" }',
            ":dep /evil/helpers",
        ]:
            assert matching.without_loading(f"1\n{line}\n2") == "1\n\n2"
        for line in [
            ':dep helpers2 = "1"',
            ':dep helpers-mpi-2 = "1"',
            ':dep rand = "1"',
            "helpers",
        ]:
            assert matching.without_loading(line) == line

    def test_a_check_is_where_the_reader_has_it(self):
        notebook = elsewhere()
        expected = [DOUBLE, DOUBLED, 0, TRIPLE, TRIPLED, 1]
        assert order_of(notebook) == expected
        # Also if it is changed, or called something else.
        notebook.cells[4].source = "1"
        assert order_of(notebook) == expected
        notebook.cells[4].source, notebook.cells[4].id = CHECK.format(4, "double"), "new"
        assert order_of(notebook) == expected

    def test_a_check_before_its_exercise_comes_behind_it(self):
        notebook = handed_in()
        notebook.cells.insert(2, notebook.cells.pop(3))
        assert order_of(notebook)[:2] == [DOUBLED, 0]

    def test_two_checks_may_be_due_at_the_same_place(self):
        notebook = handed_in()
        del notebook.cells[3]
        notebook.cells[5].id, notebook.cells[5].source = "check-0", CHECK_TRIPLE
        assert order_of(notebook)[-2:] == [0, 1]

    def test_the_lesson_is_known_whatever_became_of_the_cells(self):
        lessons = {"01_numbers": lesson()}
        other = new_notebook(cells=[new_code_cell(LOAD), new_code_cell("fn other() {}")])
        other.cells[0].id = "load"
        for cell in other.cells[1:]:
            cell.metadata.tags = ["exercise"]

        def lesson_of(notebook, file="a.ipynb"):
            return matching.lesson_of(cells_of(notebook), file, lessons)

        assert lesson_of(new_notebook(cells=[new_code_cell("1 + 1")]))[0] is None
        assert lesson_of(handed_in())[0] == "01_numbers"
        lessons["02_others"] = matching.Lesson("02_others", cells_of(other), [])
        merged = new_notebook(cells=[new_code_cell(f"{DOUBLED}\n{TRIPLED}")])
        assert lesson_of(merged)[0] == "01_numbers"
        first = new_notebook(cells=[new_code_cell(LOAD)])
        found, why = lesson_of(first)
        assert found is None
        assert "what several lessons have" in why
        assert lesson_of(first, "Ada/02_others.ipynb")[0] == "02_others"


class Sandboxes:
    def test_it_has_what_lay_beside_and_is_gone_afterwards(self):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in [
                "a.ipynb",
                "b.csv",
                "data/c.csv",
                "else/d.ipynb",
                "else/d.csv",
                "__MACOSX/x",
            ]:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(name)
            (folder / "link").symlink_to("/etc/passwd")
            os.mkfifo(folder / "pipe")
            with sandbox.Sandbox(folder, lambda path: path.name == "ours") as box:
                inside = [path for path in box.folder.rglob("*") if path.is_file()]
                assert {path.name for path in inside} == {"b.csv", "c.csv"}
                # It may be hard to delete.
                hard = box.folder / "hard"
                hard.mkdir()
                (hard / "x").touch()
                hard.chmod(0)
                (box.folder / "b.csv").write_text("changed")
            assert not box.root.exists()
            assert (folder / "b.csv").read_text() == "b.csv"

    def test_no_notebook_gets_a_table_that_is_just_being_written(self, tmp_path):
        (tmp_path / ".grades.csv.0123abcd").write_text("the grades of others")
        (tmp_path / ".hidden").write_text("handed in")
        is_ours = table.Table(tmp_path, skipped=[], absent=[]).is_ours
        with sandbox.Sandbox(tmp_path, is_ours) as box:
            inside = [path.name for path in box.folder.iterdir()]
        assert inside == [".hidden"]

    def test_what_goes_while_it_is_copied_is_nothing_to_bring(self, tmp_path):
        (tmp_path / "link").symlink_to("gone")
        for name in "a", "b":
            (tmp_path / name).write_text(name)
        listed = list(tmp_path.iterdir())
        (tmp_path / "a").unlink()
        with mock.patch.object(sandbox, "brought_from", return_value=listed):
            with sandbox.Sandbox(tmp_path) as box:
                inside = [path.name for path in box.folder.iterdir()]
        assert inside == ["b"]

    def test_what_a_killed_grader_left_is_swept_and_no_more(self):
        with (
            tempfile.TemporaryDirectory() as temporary,
            mock.patch.object(tempfile, "tempdir", temporary),
        ):
            left = sandbox.Sandbox(None)
            left.lock.close()
            with sandbox.Sandbox(None) as box:
                Path(temporary, "course-grade-new").mkdir()
                sandbox.sweep()
                assert not left.root.exists()
                assert box.folder.exists()
            assert [path.name for path in Path(temporary).iterdir()] == ["course-grade-new"]


class Students:
    def test_whose_it_is(self):
        for file, student, known in [
            ("Ada.ipynb", "Ada", {}),
            ("Ada.IPYNB.txt", "Ada", {}),
            ("Ada/01.ipynb", "Ada", {}),
            ("Ada Lovelace_123_assignsubmission_file_/01.ipynb", "Ada Lovelace", {"moodle": "123"}),
            ("Ada Lovelace_123_assignsubmission_file/01.ipynb", "Ada Lovelace", {"moodle": "123"}),
            ("lovelaceada_LATE_77_8899_01.ipynb", "lovelaceada", {"canvas": "77"}),
            ("lovelaceada_77_8899_01.ipynb", "lovelaceada", {"canvas": "77"}),
        ]:
            assert students.student_of(file, None) == (student, known, "")

    def test_a_pattern_of_ones_own(self):
        pattern = students.pattern_from("group *, {id} {student}/*")
        found = students.student_of("group 3, 12 Ada/x/01.ipynb", pattern)
        assert found == ("Ada", {"id": "12"}, "")
        assert "nobody knows whose" in students.student_of("12/01.ipynb", pattern)[2]
        # A file for each person, without folders.
        flat = students.pattern_from("{student}_{id}")
        assert students.student_of("Ada_12.ipynb", flat) == ("Ada", {"id": "12"}, "")
        for wrong in ["{id}/*", "*", "{student}/{student}"]:
            with pytest.raises(students.BadRoster, match="student"):
                students.pattern_from(wrong)

    def test_rosters(self, subtests):
        moodle = (
            "Full name,ID number,Email address\n"
            "Ada Lovelace,7,ada@a.org\nÉmilie du Châtelet,8,emilie@a.org\n"
        )
        canvas = (
            "Student,ID,SIS Login ID,Section\n    Points Possible,,,\n"
            '"Lovelace, Ada",77,ada,A\n"du Châtelet, Émilie",78,emilie,A\n'
        )
        office = "Surname;First name;Username\nLovelace;Ada;ada\ndu Châtelet;Émilie;emilie\n"
        for text in [moodle, canvas, office, "\ufeff" + moodle]:
            roster = students.roster_from(text.encode(), "roster.csv")
            assert len(roster) == 2
            for file, place in [
                ("Ada Lovelace_123_assignsubmission_file_/01.ipynb", 0),
                ("LOVELACE-ADA/01.ipynb", 0),
                ("ada/01.ipynb", 0),
                ("Emilie du Chatelet.ipynb", 1),
                ("lovelaceada_1_2_01.ipynb", 0),
            ]:
                with subtests.test(f"{text[:20]} {file}"):
                    student, known, _ = students.student_of(file, None)
                    person, why = students.person_of(file, student, known, roster)
                    assert person is roster[place], why
            student, known, _ = students.student_of("Nobody.ipynb", None)
            person, why = students.person_of("Nobody.ipynb", student, known, roster)
            assert (person, why[:23]) == (None, "nobody in the roster ha")

    def test_names_are_known_without_their_accents(self):
        roster = students.roster_from("name\nÉmilie du Châtelet\n".encode(), "roster.csv")
        person, why = students.person_of("x/y.ipynb", "Emilie du Chatelet", {}, roster)
        assert person is roster[0], why

    def test_a_roster_that_is_none(self):
        for text in ["", "a,b\n1,2\n", "name\n"]:
            with pytest.raises(students.BadRoster):
                students.roster_from(text.encode(), "roster.csv")


def some_row(file="Ada/01.ipynb", words=(row.PASSED, row.FAILED), **more):
    results = [
        row.Result(word, f"{n} · Title", came="<script>", hint="a nudge")
        for n, word in enumerate(words, 1)
    ]
    for result in results:
        result.checks, result.of_checks = 1, 2
        result.score(is_partial=True)
    return row.Row(file, "Ada", more.pop("known", {}), "01_numbers", results, **more)


class Verdicts:
    def test_the_parts_of_a_verdict(self):
        verdict = (
            "Not yet.\n  called    f()\n  expected  [\n  1]\n  came      2\n"
            "  hint      a nudge\n  more      a line"
        )
        parts = running.parts_of(verdict)
        assert parts == {
            "called": "f()",
            "expected": "[\n  1]",
            "came": "2",
            "hint": "a nudge",
            "more": "a line",
        }
        assert running.parts_of("Right. The check passed.\n  remark    x") == {"remark": "x"}
        assert running.parts_of("") == {}
        assert running.not_checked("Not checked: no\nmore")[0] == "Not checked: no"

    def checked(self, *verdicts, word=row.NOT_REACHED, untouched=(), is_trial=False):
        """What becomes of an exercise whose check says this, time by time."""
        made = row.Row("a.ipynb", results=[row.Result(word)])
        plan = matching.Plan([], {0: [1]}, set(untouched))
        for verdict in verdicts:
            session = mock.Mock(verdict=lambda _, verdict=verdict: verdict)
            step = matching.Step("", 0, 7, is_trial=is_trial)
            running.run_check(session, step, made, plan)
        return made.results[0]

    def test_the_better_of_two_places_counts(self):
        poor = running.Verdict(False, 1, {"came": "poor"})
        better = running.Verdict(False, 2, {"came": "better"})
        for verdicts in [(poor, better), (better, poor)]:
            result = self.checked(*verdicts)
            assert (result.word, result.checks, result.came) == ("failed", 2, "better")
        right = running.Verdict(True, 3, {"remark": "shorter would do"})
        result = self.checked(poor, right)
        assert (result.word, result.checks, result.why) == ("passed", 3, "shorter would do")

    def test_what_was_not_changed_is_said_to_be_so(self):
        result = self.checked(running.Verdict(False, 1, {"came": "1"}), untouched=[0])
        assert (result.word, result.why) == ("as handed out", "as handed out")

    def test_a_text_that_is_run_as_code_is_for_a_person_to_look_at(self):
        right, wrong = running.Verdict(True, 1, {}), running.Verdict(False, 0, {})
        for verdict, word, found in [
            (right, "failed", "look at this one"),
            (right, "missing", "look at this one"),
            (wrong, "missing", "look at this one"),
            (wrong, "failed", "failed"),
        ]:
            assert self.checked(verdict, word=word, is_trial=True).word == found

    def test_a_check_that_says_nothing_is_told(self):
        result = self.checked(running.Verdict(False, 0, {}, "cannot find `double`", "all of it"))
        assert result.why == "its check: cannot find `double`"
        assert result.error == "all of it"

    def test_what_went_wrong_in_one_line(self):
        report = (
            "mismatched types\nerror[E0308]\n 1 │ fn a()\n   │ ---\n 2 │     b\n   │     ^ here"
        )
        came = running.Came("", "CompileError", "mismatched types", report)
        assert came.words == "mismatched types (line 2)"
        assert running.Came("", "Panic", "no luck", "").words == "a panic: no luck"
        assert running.Came().words == ""


class Tables:
    def test_points(self):
        made = some_row(words=[row.PASSED, row.FAILED, row.UNTOUCHED, row.LOOK, row.MISSING])
        assert [result.points for result in made.results] == [1.0, 0.5, 0.0, 0.0, 0.0]
        assert made.results[1].word == row.PARTLY
        assert (made.points, made.of_points) == (1.5, 5.0)

    def test_why_has_the_number_of_its_exercise(self):
        assert some_row(remarks=["x"]).why == ["exercise 2: came <script>, hint a nudge", "x"]
        assert "exercise 2: came" in table.csv_of([some_row()])

    def test_no_cell_is_a_formula(self):
        assert row.harmless("=1+1") == "'=1+1"
        assert row.harmless("passed") == "passed"
        evil = some_row()
        evil.student = "=1+1"
        for text in [table.csv_of([evil]), *platforms.files_of([evil]).values()]:
            assert "'=1+1" in text

    def test_the_pages_show_words_as_words(self):
        made = some_row("<b>.ipynb", remarks=["<i>"])
        names = page.names_of([made])
        for text in [
            page.overview([made], names, [("<u>", "<u>")], ["<u>"], ["<u>"]),
            page.of_student(made),
        ]:
            for tag in ["<script>", "<b>", "<i>", "<u>"]:
                assert tag not in text
        assert "&lt;b&gt;.ipynb" in page.overview([made], names, [], [], [])

    def test_the_overview_says_who_passed_what(self):
        rows = [some_row(), some_row("b.ipynb", [row.PASSED, row.PASSED]), row.Row("c.ipynb")]
        assert row.rates_of(rows) == [
            ("01_numbers, 1 · Title", 2, 2),
            ("01_numbers, 2 · Title", 1, 2),
        ]
        assert "1 of 2<td>50 %" in page.overview(rows, page.names_of(rows), [], [], [])

    def test_what_an_earlier_run_wrote_is_deleted_and_nothing_else(self, tmp_path):
        earlier = table.Table(tmp_path, skipped=[], absent=[])
        earlier.add(0, some_row())
        [page_of_ada] = (tmp_path / "grades").iterdir()
        others = [tmp_path / name for name in ["moodle-mine.csv", "canvas-of-last-year.csv"]]
        others[0].write_text("Identifier,Full name,Email address,Status,Grade\n")
        others[1].write_text("Student,ID\n")
        later = table.Table(tmp_path, skipped=[], absent=[])
        later.add(0, row.Row("Emmy.ipynb"))
        assert page_of_ada.exists()
        later.write()
        assert page_of_ada.exists(), "who ends it early keeps what was there"
        later.delete_earlier()
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert page_of_ada.name not in left and len(left) == 6, left
        assert {path.name for path in others} < left

    def test_what_an_earlier_run_wrote_elsewhere_was_not_handed_in(self, tmp_path):
        table.Table(tmp_path, skipped=[], absent=[]).add(0, some_row())
        (tmp_path / "Ada").mkdir()
        (tmp_path / "Ada/a.ipynb").touch()
        (tmp_path / "Ada/grades.csv").touch()
        for is_known in [False, True]:
            handed_in = tmp_path if is_known else None
            later = table.Table(tmp_path / "out", skipped=[], absent=[], handed_in=handed_in)
            assert later.is_ours(tmp_path / "grades") is is_known
            assert later.is_ours(tmp_path / "grades.csv") is is_known
            assert later.is_ours(tmp_path / "out")
            assert not later.is_ours(tmp_path / "Ada/grades.csv")
            assert not later.is_ours(tmp_path / "Ada")

    def test_what_moodle_imports(self):
        files = platforms.files_of([some_row(known={"moodle": "123"}), row.Row("c.ipynb", "Emmy")])
        [line] = csv.DictReader(io.StringIO(files["moodle-01_numbers.csv"]))
        assert (line["Identifier"], line["Grade"]) == ("Participant 123", "1.5")
        assert (line["Last modified (grade)"], line["Maximum Grade"]) == ("-", "2")
        assert "a nudge" in line["Feedback comments"]

    def test_what_canvas_imports(self):
        known = {"Student": "Lovelace, Ada", "ID": "77", "SIS Login ID": "ada", "Section": "A"}
        better = some_row("Ada/again.ipynb", [row.PASSED, row.PASSED], known=known)
        text = platforms.files_of([some_row(known=known), better])["canvas.csv"]
        lines = list(csv.reader(io.StringIO(text)))
        assert lines[0][:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
        assert lines[1] == ["    Points Possible", "", "", "", "", "2"]
        assert lines[2] == ["Lovelace, Ada", "77", "", "ada", "A", "2"]


def instead(code):
    """What does this in the place of running a notebook; the course's solutions pass."""

    def run(plan, row, limits, kernel, folder, temporary):
        if row.file.startswith("solutions of") and "solutions" not in code:
            for result in row.results:
                result.word, result.checks = PASSED, 2
        else:
            exec(code, {"os": os, "grade": grade, "row": row, "limits": limits})

    return run


class Files:
    """What is told without a kernel."""

    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary, "handed in")
            self.course = Path(temporary, "course")
            for folder in [self.folder, self.course]:
                folder.mkdir()
            nbformat.write(course(), self.course / "01_numbers.ipynb")
            yield

    def hand_in(self, *names):
        for name in names:
            nbformat.write(handed_in(), os.fsdecode(os.fsencode(self.folder / "") + b"/" + name))

    def grade(self, *arguments, run="pass"):
        """Grades here, with this in the place of a kernel."""
        told = {"stdout": io.TextIOWrapper(io.BytesIO()), "stderr": io.TextIOWrapper(io.BytesIO())}
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(told["stdout"]))
            stack.enter_context(contextlib.redirect_stderr(told["stderr"]))
            stack.enter_context(mock.patch.object(grade, "run", instead(run)))
            stack.enter_context(mock.patch.object(grade, "ended_by_a_signal"))
            command = [self.folder, "--kernel", "none", "--course", self.course, "--jobs", "1"]
            try:
                code = grade.main([str(word) for word in [*command, *arguments]])
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
                if code != end.code:
                    print(end.code, file=sys.stderr)
        for stream in told.values():
            stream.seek(0)
        texts = {name: stream.read() for name, stream in told.items()}
        return subprocess.CompletedProcess([], code, **texts)

    def grade_apart(self, *arguments, run="pass", **environment):
        """The same in a process of its own."""
        program = (
            "import os, sys; from grading import grade\nfrom tests.test_grade import instead\n"
            f"grade.run = instead({run!r})\nsys.exit(grade.main())\n"
        )
        command = [sys.executable, "-c", program, self.folder, "--kernel", "none"]
        return subprocess.run(
            [*command, "--course", self.course, "--jobs", "1", *arguments],
            capture_output=True,
            cwd=CLONE / "xtask/python",
            env=os.environ | {"TMPDIR": str(self.course)} | environment,
            errors="replace",
            timeout=60,
        )

    def rows(self):
        with open(self.folder / "grades.csv", encoding="utf-8", newline="") as file:
            return {row["notebook"]: row for row in csv.DictReader(file)}

    def test_a_name_that_is_no_text(self):
        self.hand_in(b"M\xfcller.ipynb", b"Noether.ipynb")
        for encoding in ["utf-8", "latin-1"]:
            graded = self.grade_apart(PYTHONIOENCODING=encoding)
            assert graded.returncode == 0, graded.stderr
            assert sorted(self.rows()) == ["M\ufffdller.ipynb", "Noether.ipynb"]
            (self.folder / "grades.csv").unlink()

    def test_a_remark_that_is_no_text(self):
        self.hand_in(b"a.ipynb")
        graded = self.grade(run="row.remarks.append('\\ud800')")
        assert graded.returncode == 0, graded.stderr
        assert self.rows()["a.ipynb"]["remarks"] == "?"

    def test_a_folder_that_cannot_be_written(self):
        self.hand_in(b"a.ipynb")
        out = self.folder / "a.ipynb/here"
        graded = self.grade("--out", out, run="print('was run')")
        assert (graded.returncode, graded.stdout) == (1, "")
        assert f"error: cannot write in {out}: " in graded.stderr

    def test_what_was_graded_is_kept(self, request):
        # What is started by `nohup`, or in the background of a shell, is deaf to some signals, and
        # so are the programs that it starts.
        for number in [signal.SIGINT, signal.SIGHUP]:
            before = signal.signal(number, signal.default_int_handler)
            request.addfinalizer(functools.partial(signal.signal, number, before))
        self.hand_in(b"a.ipynb", b"b.ipynb", b"c.ipynb")
        for number in [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
            kills = f"(os.kill(os.getpid(), {number}), grade.STOPPED.wait(30))"
            run = f"row.file == 'b.ipynb' and {kills}"
            graded = self.grade_apart("--again", run=run)
            assert graded.returncode == 1, graded.stderr
            assert "Stopped: 2 of 3 notebooks have a row" in graded.stdout
            assert list(self.rows()) == ["a.ipynb", "b.ipynb"]
            (self.folder / "grades.csv").unlink()
        # Even if there is no time to say so.
        (self.folder / "grades.json").unlink()
        graded = self.grade_apart(
            run=f"row.file == 'c.ipynb' and os.kill(os.getpid(), {signal.SIGKILL})"
        )
        assert graded.returncode == -signal.SIGKILL
        assert list(self.rows()) == ["a.ipynb", "b.ipynb"]

    def test_exercises_that_the_instructor_has_done(self):
        self.hand_in(b"a.ipynb")
        nbformat.write(handed_in(), self.course / "01_numbers.ipynb")
        graded = self.grade()
        assert graded.stdout.splitlines()[0] == "a.ipynb: 0 of 2, 0 of 2 points; without 1, 2", (
            graded.stderr
        )

    def test_what_is_unchanged_is_kept(self):
        self.hand_in(b"a.ipynb", b"b.ipynb")
        run = "print('ran', row.file); row.results[0].word = 'passed'"

        def ran(*arguments):
            graded = self.grade(*arguments, run=run)
            assert graded.returncode == 0, graded.stderr
            assert {line["passed"] for line in self.rows().values()} == {"1"}
            lines = graded.stdout.splitlines()
            return [line.split()[1] for line in lines if line.startswith("ran ")]

        assert ran() == ["a.ipynb", "b.ipynb"]
        assert ran() == []
        notebook = handed_in(double="// changed")
        nbformat.write(notebook, self.folder / "a.ipynb")
        assert ran() == ["a.ipynb"]
        assert ran("--points", "2") == ["a.ipynb", "b.ipynb"]
        assert ran("--points", "2") == []
        assert ran("--points", "2", "--again") == ["a.ipynb", "b.ipynb"]
        (self.folder / "data.txt").touch()
        assert ran("--points", "2") == ["a.ipynb", "b.ipynb"]
        changed = course()
        changed.cells[3].source += "// changed"
        nbformat.write(changed, self.course / "01_numbers.ipynb")
        assert ran("--points", "2") == ["a.ipynb", "b.ipynb"]
        (self.folder / "grades.json").write_text("{", encoding="utf-8")
        assert ran("--points", "2") == ["a.ipynb", "b.ipynb"]

    def test_what_went_out_of_bounds_is_run_again(self):
        self.hand_in(b"a.ipynb")
        for _ in range(2):
            graded = self.grade(run="raise grade.OutOfBounds('its kernel died')")
            assert "its kernel died" in graded.stdout
            assert "unchanged" not in graded.stdout

    def test_points_of_each_exercise(self):
        self.hand_in(b"a.ipynb")
        graded = self.grade("--points", "2,3", run="row.results[1].word = 'passed'")
        assert "1 of 2, 3 of 5 points" in graded.stdout
        for points, words in [
            ("1,2,3", "has 3 numbers, but 01_numbers has 2"),
            ("a", "numbers"),
            ("-1", "0 or above"),
        ]:
            graded = self.grade(f"--points={points}")
            assert graded.returncode != 0
            assert words in graded.stderr

    def test_the_limit_of_a_cell(self):
        self.hand_in(b"a.ipynb")
        tells = "print('cell', limits.cell_seconds)"
        assert "cell 100.0" in self.grade(run=tells).stdout
        assert "cell 7.0" in self.grade("--cell-seconds", "7", run=tells).stdout
        assert "--cell-seconds must be above 0, not 0" in self.grade("--cell-seconds", "0").stderr
        assert "--jobs must be above 0, not 0" in self.grade("--jobs", "0").stderr
        assert "there is no roster none.csv" in self.grade("--roster", "none.csv").stderr
        assert "not all be 0" in self.grade("--points", "0").stderr

    def test_a_roster(self):
        self.hand_in(b"Lovelace Ada.ipynb", b"Unknown.ipynb")
        roster = self.course / "roster.csv"
        roster.write_text(
            "Full name,Email address\nAda Lovelace,ada@a.org\nEmmy Noether,emmy@a.org\n"
        )
        graded = self.grade("--roster", roster)
        assert graded.returncode == 0, graded.stderr
        assert "Emmy Noether: on the roster, but handed in nothing" in graded.stdout
        rows = self.rows()
        assert rows["Lovelace Ada.ipynb"]["student"] == "Ada Lovelace"
        assert "nobody in the roster" in rows["Unknown.ipynb"]["remarks"]
        assert "Emmy Noether" in (self.folder / "grades.html").read_text(encoding="utf-8")
        assert "ada@a.org" in (self.folder / "moodle-01_numbers.csv").read_text(encoding="utf-8")

    def test_a_page_for_each(self):
        self.hand_in(b"a.ipynb", b"b.ipynb")
        assert self.grade(run="row.results[0].hint = 'nudge ' + row.file").returncode == 0
        pages = sorted((self.folder / "grades").iterdir())
        assert [path.name.split("-")[0] for path in pages] == ["a", "b"]
        text = pages[0].read_text(encoding="utf-8")
        assert "nudge a.ipynb" in text
        assert "b.ipynb" not in text

    def test_what_is_skipped_is_told(self):
        self.hand_in(b"a.ipynb")
        (self.folder / "all.zip").touch()
        (self.folder / "b.ipynb").write_text("[]", encoding="utf-8")
        graded = self.grade()
        assert "all.zip: skipped: packed files; unpack them" in graded.stdout
        assert "but a list" in self.rows()["b.ipynb"]["remarks"]
        page = (self.folder / "grades.html").read_text(encoding="utf-8")
        assert "all.zip: packed files" in page
        # What grading wrote itself is nothing that was handed in.
        assert self.grade("--again").stdout.count("skipped") == 1

    def test_a_solution_that_does_not_pass_here_is_told(self):
        self.hand_in(b"a.ipynb")
        run = "'solutions'; row.results[0].word, row.results[1].came = 'passed', 'no MPI'"
        graded = self.grade(run=run)
        note = "01_numbers, exercise 2: the course's own solution does not pass here: came no MPI"
        assert note in graded.stdout, graded.stderr
        assert "does not pass here" in (self.folder / "grades.html").read_text(encoding="utf-8")

    def test_a_course_that_is_broken(self):
        self.hand_in(b"a.ipynb")
        broken = course()
        del broken.cells[3]
        path = self.course / "02_broken.ipynb"
        nbformat.write(broken, path)
        graded = self.grade(run="print('was run')")
        assert (graded.returncode, graded.stdout) == (1, "")
        assert f"{path}: there is no check behind exercise '1 · Twice'" in graded.stderr

    def test_no_course(self):
        self.hand_in(b"a.ipynb")
        (self.course / "01_numbers.ipynb").unlink()
        graded = self.grade()
        assert graded.returncode == 1
        assert f"no notebook of the course in {self.course}" in graded.stderr


def has_ended(process):
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Killed:
    def test_a_grader_that_is_killed_takes_its_kernel_along(self, tmp_path):
        program = (
            "import sys, time; from pathlib import Path; from grading import running\n"
            "limits, here = running.Limits(600, 600, 2**40), Path(sys.argv[2])\n"
            "with running.Session(sys.argv[1], limits, here, here) as session:\n"
            "    print('pid', session.kernel.manager.provisioner.pid, flush=True); time.sleep(600)"
        )
        grader = subprocess.Popen(
            [sys.executable, "-c", program, launcher(), str(tmp_path)],
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
                pytest.fail("the kernel runs on")


class Grades:
    """One run on the real kernel. What can be told without one is told above."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.folder = Path(folder)
            hand_in, lessons = cls.folder / "handed in", cls.folder / "course"
            hand_in.mkdir()
            lessons.mkdir()
            nbformat.write(course(), lessons / "01_numbers.ipynb")
            notebooks = {"many_faults": many_faults(), "cheats": cheating(), "files": with_files()}
            if HAS_MPI:
                shutil.copy2(FOLDER / "05_mpi.ipynb", lessons)
                # Nothing of it needs to run; but that lesson is proved before.
                notebooks["mpi"] = nbformat.read(FOLDER / "05_mpi.ipynb", as_version=4)
                cells = notebooks["mpi"].cells
                notebooks["mpi"].cells = [cell for cell in cells if cell.cell_type == "markdown"]
            for name, (code, _) in MISBEHAVIOUR.items():
                notebooks[name] = handed_in()
                notebooks[name].cells[1] = new_code_cell(code)
            for name, notebook in notebooks.items():
                nbformat.write(notebook, hand_in / f"{name}.ipynb")
            (hand_in / "broken.ipynb").write_text("{", encoding="utf-8")
            (hand_in / "data").mkdir()
            (hand_in / "data/factor.txt").write_text("3\n", encoding="utf-8")
            cls.temporary = cls.folder / "temporary"
            cls.temporary.mkdir()
            command = [*script("grading.grade"), str(hand_in)]
            command += ["--kernel", str(launcher()), "--course", str(lessons)]
            command += [
                "--seconds",
                "180",
                "--cell-seconds",
                "30",
                "--memory",
                "2.5",
                "--jobs",
                "3",
            ]
            before = abandoned()
            environment = os.environ | {"TMPDIR": str(cls.temporary)}
            cls.graded = subprocess.run(command, capture_output=True, text=True, env=environment)
            cls.left = wait_until(lambda: abandoned() <= before, 20) or abandoned() - before
            cls.hand_in = hand_in
            with open(hand_in / "grades.csv", encoding="utf-8", newline="") as file:
                cls.rows = {Path(row["notebook"]).stem: row for row in csv.DictReader(file)}
            cls.count = len(notebooks) + 1
            yield

    def results(self, name):
        row = self.rows[name]
        return [row["exercise 1"], row["exercise 2"]]

    def page(self, name):
        [path] = (self.hand_in / "grades").glob(f"{name}-*.html")
        return path.read_text(encoding="utf-8")

    def test_every_notebook_has_its_row(self):
        assert self.graded.returncode == 0, self.graded.stderr
        assert len(self.rows) == self.count, self.rows

    def test_solutions_pass_here(self):
        assert "does not pass here" not in self.graded.stdout
        if HAS_MPI:
            assert self.rows["mpi"]["lesson"] == "05_mpi"

    def test_what_was_handed_in_beside_it_is_there(self):
        assert self.results("files") == ["passed", "look at this one"], self.rows["files"]
        assert (
            "exercise 2: cell 7 is a text, not code; run as code it is right"
            in self.rows["files"]["remarks"]
        )

    def test_nothing_that_cells_write_is_left(self):
        assert left_in_clone() == []
        assert list(self.temporary.glob(f"{sandbox.NAME}*")) == []
        names = {path.name for path in self.hand_in.rglob("*")}
        assert not names & {"x", "y"}, names

    def test_cells_that_do_not_end_are_stopped_and_the_notebook_goes_on(self):
        remarks = self.rows["many_faults"]["remarks"]
        for place, words in zip([4, 3, 2], STOPPED.values(), strict=True):
            assert f"cell {place}: {words}" in remarks

    def test_a_grade_says_why(self):
        assert self.results("many_faults") == ["failed", "partly"], self.rows["many_faults"]
        assert self.rows["many_faults"]["points"] == "0.5"
        remarks = self.rows["many_faults"]["remarks"]
        assert "exercise 1: cell 6: expected expression, found `}` (line 3)" in remarks
        assert "exercise 2: called triple(2), expected 6, came 4, hint think of 0" in remarks
        page = self.page("many_faults")
        for words in ["1 of 2 checks passed", "<dt>expected<dd>6", "^ expected expression"]:
            assert words in page

    def test_changed_checks_and_missing_cells_gain_nothing(self):
        assert self.results("cheats") == ["as handed out", "missing"], self.rows["cheats"]

    def test_what_is_no_notebook_is_said_to_be_none(self):
        assert "not JSON" in self.rows["broken"]["remarks"]

    def test_a_notebook_that_misbehaves_costs_its_own_row(self, subtests):
        for name, (_, words) in MISBEHAVIOUR.items():
            with subtests.test(name):
                assert words in self.rows[name]["remarks"]
                assert self.results(name) == ["not reached", "not reached"]

    def test_nothing_is_left_running(self):
        listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        assert "sleep 1000" not in listing

    def test_nothing_is_left_on_disk(self):
        assert self.left is True
