"""Every way for a cell to fail makes the harness fail, and nothing else does.

Each notebook runs in a kernel of its own; some at a time, in the background, since a kernel
takes seconds to start. Only the good one has a variable: for the first of them a kernel reads all crates, which
takes longer than all else, and here it is not the kernel that is tested.
"""

import contextlib
import io
import os
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import nbformat
import psutil
import pytest
from nbformat import v4

from kernels.clone import script
from kernels.waiting import wait_until
from notebooks import executed, files
from notebooks import run as harness
from notebooks.execute import Run
from notebooks.normalise import normalise, to_text

HARNESS = script("notebooks.run")

# What a cell may take: only what hangs takes so long.
CELL_SECONDS = "120"
# What that cell may take which does hang. The one before it has no variable, and is there in a second or two.
HANGS_AFTER = "40"

# Name: (source of the second cell, its tags)
NOTEBOOKS = {
    # The first, since it takes longest. It only waits, so that it does not hold up the others.
    "hangs": ("loop { std::thread::park(); }", []),
    "good": ('let one = one();\nprintln!("fine");\n1 + one', []),
    "does_not_compile": ("let x: i32 = true;", []),
    "panics": ('panic!("the sky falls");', []),
    "question_mark": ('let n: i32 = "seven".parse()?;', []),
    "ends_the_child": ("std::process::exit(3);", []),
    "kills_the_kernel": (
        "let kernel = std::os::unix::process::parent_id().to_string();\n"
        'std::process::Command::new("kill").args(["-9", &kernel]).status()?;',
        [],
    ),
    "writes_to_stderr": ('eprintln!("a warning");', []),
    "fails_as_it_says": ('panic!("as it should");', ["raises-exception"]),
    "does_not_compile_as_it_says": ("let x: i32 = true;", ["raises-exception"]),
    "does_not_fail_as_it_says": ("1 + 1", ["raises-exception"]),
}


def run(folder, *arguments):
    command = [*HARNESS, "--folder", folder, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


class Execution:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        with tempfile.TemporaryDirectory() as temporary:
            cls.folder = Path(temporary)
            for name, (source, tags) in NOTEBOOKS.items():
                cells = [
                    v4.new_markdown_cell("A text."),
                    v4.new_code_cell("fn one() -> u32 { 1 }"),
                    v4.new_code_cell(source, metadata={"tags": tags}),
                    v4.new_code_cell("2 + 2"),
                ]
                nbformat.write(v4.new_notebook(cells=cells), cls.folder / f"{name}.ipynb")
            cls.before = {name: cls.text(name) for name in NOTEBOOKS}
            # One for that which hangs, and one for each core.
            with ThreadPoolExecutor(3) as executor:
                cls.runs = {
                    name: executor.submit(
                        run,
                        cls.folder,
                        name,
                        "--timeout",
                        HANGS_AFTER if name == "hangs" else CELL_SECONDS,
                    )
                    for name in NOTEBOOKS
                }
                yield

    @classmethod
    def text(cls, name):
        return (cls.folder / f"{name}.ipynb").read_text(encoding="utf-8")

    def assert_fails(self, name, *words):
        result = self.runs[name].result()
        output = result.stdout + result.stderr
        assert result.returncode == 1, output
        first_line = NOTEBOOKS[name][0].splitlines()[0]
        for word in [f"{name}: FAILED", "cell 3", first_line, *words]:
            assert word in output
        assert self.text(name) == self.before[name], "a failed run writes nothing"

    def assert_passes(self, name):
        result = self.runs[name].result()
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"{name}: ok, 3 cells" in result.stdout

    def test_good(self):
        self.assert_passes("good")
        outputs = nbformat.read(self.folder / "good.ipynb", 4).cells[2].outputs
        assert outputs[0].text == "fine\n"
        assert outputs[1].data["text/plain"] == "2"

    def test_compile_error(self):
        self.assert_fails("does_not_compile", "mismatched types")

    def test_panic(self):
        self.assert_fails("panics", "the sky falls")

    def test_question_mark(self):
        self.assert_fails("question_mark", "invalid digit found in string")

    def test_dead_child(self):
        self.assert_fails("ends_the_child", "exit status: 3")

    def test_dead_kernel(self):
        self.assert_fails("kills_the_kernel", "the kernel died")

    def test_hang(self):
        self.assert_fails("hangs", f"no end after {HANGS_AFTER} seconds")

    def test_stderr(self):
        self.assert_fails("writes_to_stderr", "a warning")

    def test_expected_panic(self):
        self.assert_passes("fails_as_it_says")

    def test_expected_compile_error(self):
        self.assert_passes("does_not_compile_as_it_says")

    def test_failure_that_does_not_come(self):
        self.assert_fails("does_not_fail_as_it_says", "is tagged as one that fails, but did not")

    def test_check(self):
        self.assert_passes("good")
        written = self.text("good")
        assert run(self.folder, "good", "--check").returncode == 0
        assert self.text("good") == written


class Files:
    """What is told from the file alone, before a kernel starts."""

    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as temporary:
            self.folder = Path(temporary)
            yield

    def assert_fails(self, *words, arguments=()):
        result = run(self.folder, *arguments)
        assert result.returncode == 1
        for word in words:
            assert word in result.stdout + result.stderr

    def test_no_outputs(self):
        notebook = v4.new_notebook(cells=[v4.new_code_cell("1")])
        nbformat.write(notebook, self.folder / "bare.ipynb")
        self.assert_fails("bare: FAILED", "without outputs", arguments=["--check"])

    def test_untidy(self):
        cell = v4.new_code_cell("1", execution_count=2)
        nbformat.write(v4.new_notebook(cells=[cell]), self.folder / "untidy.ipynb")
        self.assert_fails("untidy: FAILED", "is not in the form", arguments=["--check"])

    def test_broken_file(self):
        (self.folder / "torn.ipynb").write_text("{")
        self.assert_fails("torn: FAILED", "cannot be read")

    def run_and_meanwhile(self, happens):
        """Runs a notebook, in which something happens to its file; gives what was said."""
        path = self.folder / "lesson.ipynb"
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell("1")]), path)

        def execute(*_):
            happens(path)
            return Run()

        said = io.StringIO()
        with mock.patch.object(harness, "execute", side_effect=execute):
            with contextlib.redirect_stdout(said):
                self.status = harness.main(["--folder", str(self.folder)])
        return said.getvalue()

    def test_what_was_saved_meanwhile_is_kept(self):
        said = self.run_and_meanwhile(lambda path: path.write_text("newer"))
        assert self.status == 1
        assert "lesson: FAILED: was changed meanwhile" in said
        assert (self.folder / "lesson.ipynb").read_text() == "newer"
        said = self.run_and_meanwhile(Path.unlink)
        assert "lesson: FAILED: was changed meanwhile" in said
        assert list(self.folder.iterdir()) == []

    def test_a_file_is_written_whole(self):
        """And is as before in all else."""
        held = []

        def happens(path):
            path.chmod(0o640)
            held.append(open(path, encoding="utf-8"))

        said = self.run_and_meanwhile(happens)
        [path] = self.folder.iterdir()
        assert (self.status, path.name) == (0, "lesson.ipynb"), said
        assert path.stat().st_mode & 0o777 == 0o640
        [file] = held
        with file:
            written = path.read_text(encoding="utf-8")
            old = file.read()
        assert len(nbformat.reads(old, 4).cells) == 1, "the file was overwritten in place"
        assert old != written

    def test_a_link_stays_a_link(self):
        target = self.folder / "target"
        target.write_bytes(b"old")
        link = self.folder / "link"
        os.symlink("target", link)
        files.replace(link, b"new")
        assert (link.is_symlink(), target.read_bytes()) == (True, b"new")

    def check_twice(self, between):
        """Checks a lesson, does something, and checks it again; gives how often it has run, and what is said."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        path, known = folder / "lesson.ipynb", folder / "known"
        notebook = v4.new_notebook(cells=[v4.new_code_cell("1", execution_count=1)])
        path.write_text(to_text(normalise(notebook)), encoding="utf-8")
        stamp = folder / "stamp"
        stamp.write_text("crates")
        arguments = ["--folder", str(folder), "--check", "--known", str(known)]
        said = io.StringIO()
        with (
            mock.patch.object(harness, "execute", return_value=Run()) as execute,
            mock.patch.object(executed, "STAMP", stamp),
            contextlib.redirect_stdout(said),
        ):
            harness.main(arguments)
            between(path, stamp)
            harness.main(arguments)
        return execute.call_count, said.getvalue()

    def test_a_lesson_that_has_run_does_not_run_again(self):
        runs, said = self.check_twice(lambda path, stamp: None)
        assert runs == 1, said
        assert "lesson: ok, it has run by itself, 0 minutes ago" in said

    def test_what_has_changed_runs_again(self, subtests):
        def edit(path, _):
            path.write_text(path.read_text().replace('"1"', '"2"'))
            notebook = nbformat.read(path, 4)
            path.write_text(to_text(normalise(notebook)))

        def tag(path, _):
            notebook = nbformat.read(path, 4)
            notebook.cells[0].metadata.tags = ["raises-exception"]
            path.write_text(to_text(normalise(notebook)))

        def compile_crates(_, stamp):
            stamp.write_text("other crates")

        def forget_crates(_, stamp):
            stamp.unlink()

        for change in [edit, tag, compile_crates, forget_crates]:
            with subtests.test(change.__name__):
                runs, said = self.check_twice(change)
                assert runs == 2, said

    def test_what_it_ran_on_may_be_of_no_matter(self):
        stamp, known, path = (self.folder / name for name in ["stamp", "known", "lesson.ipynb"])
        one, other = (v4.new_notebook(cells=[v4.new_code_cell(code)]) for code in ["1", "2"])
        with mock.patch.object(executed, "STAMP", stamp):
            stamp.write_text("crates")
            executed.remember(known, path, one, "here")
            stamp.write_text("other crates")
            assert executed.known(known, path, one) is None
            said = executed.known(known, path, one, text_only=True)
            assert said == "here, 0 minutes ago, and it has not changed"
            assert executed.known(known, path, other, text_only=True) is None

    def test_exercises_have_the_name_of_their_lesson_and_are_no_version_of_it(self):
        stamp, known = self.folder / "stamp", self.folder / "known"
        paths = [self.folder / place / "07_name.ipynb" for place in ["notebooks", "exercises"]]
        notebooks = [v4.new_notebook(cells=[v4.new_code_cell(code)]) for code in ["1", "2"]]
        with mock.patch.object(executed, "STAMP", stamp):
            stamp.write_text("crates")
            for path, notebook in zip(paths, notebooks, strict=True):
                executed.remember(known, path, notebook, "here")
            for path, notebook in zip(paths, notebooks, strict=True):
                assert executed.known(known, path, notebook) is not None

    def test_other_outputs_are_no_change(self):
        def output(path, _):
            notebook = nbformat.read(path, 4)
            notebook.cells[0].outputs = [v4.new_output("stream", text="2.5 s")]
            path.write_text(to_text(normalise(notebook)))

        assert self.check_twice(output)[0] == 1

    def test_unknown_name(self):
        nbformat.write(v4.new_notebook(), self.folder / "known.ipynb")
        self.assert_fails("no notebook unheard", "known", arguments=["unheard"])

    def test_no_notebooks(self):
        self.assert_fails("there is no notebook in")


class WarmUp:
    @pytest.fixture(autouse=True)
    def set_up(self):
        # Programs that `nohup` has started do not hear of a closed terminal, nor do those that
        # they start.
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)

    def test_who_is_told_to_end_ends_the_kernel(self):
        with tempfile.TemporaryDirectory() as folder:
            told, kernel = Path(folder, "pid"), Path(folder, "kernel")
            # It never answers.
            says = f"echo $$ > {told}.new\nmv {told}.new {told}"
            kernel.write_text(f"#!/bin/sh\n{says}\nexec sleep 600\n")
            kernel.chmod(0o755)
            for number in [signal.SIGTERM, signal.SIGHUP]:
                warm_up = subprocess.Popen(
                    [*script("kernels.warm_up"), kernel], stderr=subprocess.PIPE
                )
                with warm_up:
                    assert wait_until(told.exists)
                    kernel_id = int(told.read_text())
                    warm_up.send_signal(number)
                    left = not wait_until(lambda: not psutil.pid_exists(kernel_id))
                    if left:
                        os.kill(kernel_id, signal.SIGKILL)
                    assert not left, number
                    assert b"told to end" in warm_up.stderr.read()
                told.unlink()
