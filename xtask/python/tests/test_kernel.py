"""The course's kernel: what a reader sees of a cell, and what stays for the next one."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from kernels.clone import CLONE
from kernels.session import Reply, Session
from tests.kernel_case import KernelCase, shared

# As much of a result as a page can bear.
LONGEST_RESULT = 20_000
PAUSE = "std::thread::sleep(std::time::Duration::from_millis(30));"


class Text(KernelCase):
    """What a cell prints arrives whole, in order, and under its own cell."""

    def test_text_without_a_line_end(self, subtests: pytest.Subtests) -> None:
        flush = "std::io::Write::flush(&mut std::io::stdout())?;"
        for code, text in {
            f'print!("a"); {flush}': "a",
            'for x in 1..=5 { print!("{x} "); }': "1 2 3 4 5 ",
            'print!("hello");': "hello",
            'std::process::Command::new("printf").arg("from a child").status()?;': "from a child",
            'Pool::new(2)?.map(|_: u32| print!("."), [1, 2, 3]);': "...",
        }.items():
            with subtests.test(code):
                reply = self.passes(code)
                assert (reply.stdout, reply.result) == (text, None)
                assert len(self.passes("1 + 1").outputs) == 1

    def test_text_without_a_line_end_before_a_result(self) -> None:
        reply = self.passes('print!("sum: ");\n42')
        assert (reply.stdout, reply.result) == ("sum: ", "42")

    def test_text_without_a_line_end_on_stderr(self) -> None:
        assert self.passes('eprint!("careful");').stderr == "careful"

    def test_text_arrives_while_the_cell_runs(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            heard = Path(folder, "heard")
            waits = f"while !std::path::Path::new({json.dumps(str(heard))}).exists() {{ {PAUSE} }}"
            reply = self.kernel.send(
                f'print!("begun");\nstd::io::Write::flush(&mut std::io::stdout())?;\n{waits}'
            )
            self.kernel.wait_for(reply, lambda reply: reply.stdout == "begun")
            heard.touch()
            self.passed(self.kernel.wait(reply))

    def test_stdout_and_stderr_keep_their_order(self) -> None:
        # Each line is written when the one before it has been heard: two streams are read side by side.
        with tempfile.TemporaryDirectory() as folder:
            heard = json.dumps(str(Path(folder, "heard")))
            wait = f'while !std::path::Path::new(&format!("{{}}-{{done}}", {heard})).exists() {{ {PAUSE} }}'
            reply = self.kernel.send(
                "let mut done = 0;\nfor n in 0..3 {\n"
                f'    println!("out {{n}}");\n    done += 1;\n    {wait}\n'
                f'    eprintln!("err {{n}}");\n    done += 1;\n    {wait}\n}}'
            )
            for number in range(1, 7):
                self.kernel.wait_for(reply, lambda reply: len(reply.outputs) >= number)
                Path(folder, f"heard-{number}").touch()
            self.passed(self.kernel.wait(reply))
        came = [(output.name, output.text) for output in reply.outputs]
        wanted = [(f"std{name}", f"{name} {n}\n") for n in range(3) for name in ("out", "err")]
        assert came == wanted

    def test_stderr_is_under_its_own_cell(self) -> None:
        replies = [self.kernel.send(f"dbg!({n});") for n in range(8)]
        for n, reply in enumerate(replies):
            shown = self.passed(self.kernel.wait(reply)).stderr
            assert len(shown.splitlines()) == 1, shown
            assert f"{n} = {n}" in shown

    def test_dbg_names_no_file_that_nobody_knows(self) -> None:
        assert "lib.rs" not in self.passes("dbg!(1);").stderr

    def test_bytes_that_are_no_text(self, subtests: pytest.Subtests) -> None:
        for name in ["stdout", "stderr"]:
            with subtests.test(name):
                code = f'std::io::Write::write_all(&mut std::io::{name}(), b"\\xe9\\n")?;'
                assert self.passes(code).outputs[0].text == "\ufffd\n"
                reply = self.passes('eprintln!("still heard");\n1 + 1')
                assert (reply.stderr, reply.result) == ("still heard\n", "2")

    def test_a_letter_in_two_writes(self) -> None:
        reply = self.passes(
            "use std::io::Write as _;\n"
            "for byte in [0xc3, 0xa9] {\n"
            "    std::io::stdout().write_all(&[byte])?;\n"
            f"    std::io::stdout().flush()?;\n    {PAUSE}\n}}"
        )
        assert reply.stdout == "é"

    def test_letters_of_all_alphabets(self) -> None:
        text = "Ødegård 並列 🙂 e\u0301"
        assert self.passes(f'println!("{text}");').stdout == f"{text}\n"
        assert self.shows('let größe = "ä🙂".chars().count();\ngröße') == "2"

    def test_colours_and_an_escape_without_end(self, subtests: pytest.Subtests) -> None:
        for text in ["\x1b[31mred\x1b[0m", "\x1b_", "\x1b"]:
            with subtests.test(repr(text)):
                code = 'print!("{}");'.format(text.replace("\x1b", "\\x1b"))
                assert self.passes(code).stdout == text

    def test_text_that_looks_like_the_engine(self) -> None:
        reply = self.passes('println!("EVCXR_EXECUTION_COMPLETE");\nprintln!("after");\n7')
        assert reply.stdout == "EVCXR_EXECUTION_COMPLETE\nafter\n"
        assert reply.result == "7"

    def test_many_lines_arrive_whole(self) -> None:
        reply = self.passes('for n in 0..20_000 { println!("line {n}"); }\n"done"')
        assert reply.what_a_server_drops() == ""
        assert reply.result == '"done"'
        lines = reply.stdout.splitlines()
        assert lines == [f"line {n}" for n in range(20_000)], f"{len(lines)} lines"

    def test_very_many_lines(self) -> None:
        reply = self.passes('for n in 0..200_000 { println!("line {n}"); }\n"done"')
        assert reply.what_a_server_drops() == ""
        assert reply.result == '"done"'
        lines = reply.stdout.splitlines()
        assert (lines[0], lines[-1]) == ("line 0", "line 199999")

    def test_a_very_long_line(self) -> None:
        reply = self.passes('println!("first{}last", "x".repeat(20_000_000));\n7')
        assert reply.what_a_server_drops() == ""
        assert reply.result == "7"
        text = reply.stdout
        assert text.startswith("firstx") and text.endswith("xlast\n"), f"{len(text)} letters"


class Results(KernelCase):
    """What stands last in a cell is shown, if it is worth it."""

    def test_nothing_is_not_shown(self, subtests: pytest.Subtests) -> None:
        for code in ["()", "for _ in 0..1 {}", "let quiet = 1;", "drop(1)", "if false {}"]:
            with subtests.test(code):
                assert self.passes(code).outputs == []
        reply = self.passes('println!("only this")')
        assert (reply.stdout, reply.result) == ("only this\n", None)

    def test_what_looks_like_nothing_is_shown(self, subtests: pytest.Subtests) -> None:
        for code, shown in {'"()"': '"()"', "Some(())": "Some(())", "[(); 2]": "[(), ()]"}.items():
            with subtests.test(code):
                assert self.shows(code) == shown

    def test_long_results_are_cut_and_tell_how_long_they_are(
        self, subtests: pytest.Subtests
    ) -> None:
        for code, words in {
            "(0..2_000_000u64).collect::<Vec<_>>()": [
                r"^\[0, 1, 2, ",
                "1999999]",
                r"2[,_ ]?000[,_ ]?000",
            ],
            "vec![vec![0.0; 1000]; 1000]": [r"^\[\[0.0, 0.0, ", r"0.0\]\]", r"1[,_ ]?000"],
            '"x".repeat(5_000_000)': [r'^"xxx', 'x"'],
        }.items():
            with subtests.test(code):
                shown = self.shows(code) or ""
                assert 2 < len(shown) < LONGEST_RESULT, f"{len(shown)} letters"
                for word in words:
                    assert re.search(word, shown)

    def test_results_that_are_not_long_are_whole(self) -> None:
        assert self.shows("(0..200u64).collect::<Vec<_>>()") == str(list(range(200)))


class Numbers(KernelCase):
    """Cells are numbered as in any notebook."""

    def test_they_start_at_one(self) -> None:
        counts = [(reply.execution_count, reply.input_count) for reply in shared.first]
        assert counts == [(1, 1), (2, 2), (3, 3)]

    def test_each_cell_has_the_next_one(self) -> None:
        codes = ["1", "nowhere()", 'panic!("x")', "2"]
        counts = [self.kernel.run(code).execution_count or 0 for code in codes]
        assert counts == list(range(counts[0], counts[0] + 4))

    def test_silent_cells_have_none_and_show_nothing(self) -> None:
        before = self.passes("1").execution_count or 0
        reply = self.passed(self.kernel.run("let quietly = 5;\nquietly", silent=True))
        assert (reply.outputs, reply.input_count) == ([], None)
        after = self.passes("quietly")
        assert (after.execution_count, after.result) == (before + 1, "5")


class Errors(KernelCase):
    """A cell that fails says so, in few words, and stops what comes after it."""

    # How a cell fails, by its code.
    KINDS = {
        'panic!("out of milk")': "Panic",
        'let n: i32 = "x".parse()?;': "Error",
        "nowhere(1)": "CompileError",
        "let n: i32 = true;": "CompileError",
        "fn half(": "CompileError",
    }

    def test_the_reply_says_the_same_as_the_page(self, subtests: pytest.Subtests) -> None:
        for code, ename in self.KINDS.items():
            with subtests.test(code):
                reply = self.fails(code, ename)
                [error] = [output for output in reply.outputs if output.kind == "error"]
                page = [error.content[key] for key in ["ename", "evalue", "traceback"]]
                assert page == [reply.ename, reply.evalue, reply.traceback]
                assert reply.evalue and reply.traceback
                assert reply.execution_count == reply.input_count

    def test_tracebacks_are_short_and_without_colours(self, subtests: pytest.Subtests) -> None:
        for code, ename in self.KINDS.items():
            with subtests.test(code):
                text = "\n".join(self.fails(code, ename).traceback)
                assert "\x1b" not in text
                assert "stack backtrace" not in text
                assert len(text.splitlines()) <= 20, text

    def test_panic_is_two_lines(self) -> None:
        reply = self.fails(
            "let seats = vec![1, 2, 3];\nlet row = seats.len();\nseats[row]", "Panic"
        )
        message = "index out of bounds: the len is 3 but the index is 3"
        assert reply.evalue == message
        lines = "\n".join(reply.traceback).splitlines()
        assert lines == [f"panicked: {message}", "  at `seats[row]`"]
        assert reply.stderr == ""

    def test_panic_before_the_crate_is_loaded_is_two_lines(self) -> None:
        reply = self.failed(shared.first[1], "Panic")
        lines = "\n".join(reply.traceback).splitlines()
        assert lines == ["panicked: out of milk", '  at `panic!("out of milk")`']
        assert shared.first[2].result == "4"

    def test_panic_in_a_function_of_an_earlier_cell_shows_its_line(self) -> None:
        self.passes("fn seat(row: usize) -> u32 {\n    [7, 8][row]\n}")
        reply = self.fails("let third = seat(2);", "Panic")
        assert "[7, 8][row]" in "\n".join(reply.traceback)

    def test_panic_of_a_thread_does_not_fail_the_cell(self) -> None:
        reply = self.passes(
            'let crew = std::thread::Builder::new().name("crew".into());\n'
            'crew.spawn(|| panic!("no wind"))?.join().is_err()'
        )
        assert reply.result == "true"
        assert len(reply.stderr.splitlines()) == 2, str(reply)
        assert "crew" in reply.stderr
        assert "no wind" in reply.stderr

    def test_failed_question_mark_names_the_error(self) -> None:
        reply = self.fails('let n: i32 = "x".parse()?;', "Error")
        assert "invalid digit found in string" in reply.evalue

    def test_variables_outlive_an_error_after_text_without_a_line_end(
        self, subtests: pytest.Subtests
    ) -> None:
        for code, ename in {
            'print!("a");\nlet n: i32 = "x".parse()?;': "Error",
            'print!("a");\npanic!("x");': "Panic",
        }.items():
            with subtests.test(code):
                self.passes("let kept = 1;")
                assert self.fails(code, ename).stdout == "a"
                assert self.shows("kept") == "1"

    def test_two_mistakes_are_one_error(self) -> None:
        reply = self.fails("nowhere(1);\nelsewhere(2);", "CompileError")
        assert [output.kind for output in reply.outputs] == ["error"]
        self.assert_told(reply, "nowhere", "elsewhere")

    def test_mistake_in_the_last_line_is_told_as_with_a_semicolon(
        self, subtests: pytest.Subtests
    ) -> None:
        self.passes("struct Vector { x: f64 }")
        for code, words in {
            "HashMap::<i32, i32>::new()": "use std::collections::HashMap",
            "ProcessPool::new(1)?.map(|x: f64| Vector { x }, [1.5])?": "cannot travel between",
        }.items():
            with subtests.test(code):
                reply = self.fails(code, "CompileError")
                assert reply.evalue == self.fails(f"{code};", "CompileError").evalue
                self.assert_told(reply, words)

    def test_cells_queued_behind_an_error_do_not_run(self, subtests: pytest.Subtests) -> None:
        for code in list(self.KINDS)[:3]:
            with subtests.test(code):
                codes = [code, 'println!("ran");', "2"]
                replies = [self.kernel.send(code) for code in codes]
                for reply in replies:
                    self.kernel.wait(reply)
                statuses = [reply.status for reply in replies]
                assert statuses == ["error", "aborted", "aborted"]
                assert replies[1].outputs + replies[2].outputs == []
                assert self.shows("1 + 1") == "2"

    def test_cell_that_is_asked_for_after_an_error_runs(self) -> None:
        for _ in range(20):
            self.fails("fn half(", "CompileError")
            self.passes(":help")

    def test_cells_queued_behind_an_error_run_if_the_client_says_so(self) -> None:
        first = self.kernel.send('panic!("x")', stop_on_error=False)
        second = self.kernel.send("2")
        self.failed(self.kernel.wait(first), "Panic")
        assert self.passed(self.kernel.wait(second)).result == "2"


class Hints(KernelCase):
    """Mistakes that the compiler tells in its own words get ours as well."""

    def test_pool_without_a_question_mark(self) -> None:
        reply = self.fails("Pool::new(2).map(|x: u32| x, [1])", "CompileError")
        assert re.search(r"`[^`]*\?[^`]*`", reply.told)

    def test_closure_that_borrows(self) -> None:
        code = "let by = 3;\nlet task = Pool::new(1)?.submit(|x: u32| by * x, 7);"
        self.assert_told(self.fails(code, "CompileError"), "`move`")

    def test_variable_that_an_earlier_cell_moved(self) -> None:
        self.passes("let plums = vec![1, 2];")
        moved_by = self.passes("drop(plums);").execution_count
        reply = self.fails("plums.len()", "CompileError")
        self.assert_told(reply, "plums", "moved", str(moved_by))

    def test_whole_program_says_how_to_call_it(self) -> None:
        readme = (CLONE / "README.md").read_text(encoding="utf-8")
        [program] = re.findall(r"```rust\n([^`]*fn main[^`]*)```", readme)
        reply = self.passes(program)
        assert "main()" in reply.stderr + reply.stdout

    def test_derive_as_in_any_program(self) -> None:
        self.passes(
            "use serde::{Deserialize, Serialize};\n"
            "#[derive(Serialize, Deserialize, Debug)]\nstruct Ticket { row: u32 }"
        )
        assert self.shows("Ticket { row: 5 }.row") == "5"


class Memory(KernelCase):
    """What the next cell finds of the ones before."""

    # A static, and how cells define, change and read it; then what the last of them should show.
    STATICS = {
        "VISITS": (
            "use std::sync::atomic::{AtomicUsize, Ordering};\n"
            "static VISITS: AtomicUsize = AtomicUsize::new(0);",
            "VISITS.fetch_add(5, Ordering::SeqCst);",
            "VISITS.load(Ordering::SeqCst)",
            "5",
        ),
        "GUESTS": (
            "use std::sync::Mutex;\nstatic GUESTS: Mutex<Vec<u32>> = Mutex::new(Vec::new());",
            "GUESTS.lock()?.push(5);",
            "GUESTS.lock()?.len()",
            "1",
        ),
        "DEPTH": (
            "use std::cell::Cell;\n"
            "thread_local! { static DEPTH: Cell<u32> = Cell::new(0); }\nfn unused() {}",
            "DEPTH.set(5);",
            "DEPTH.get()",
            "5",
        ),
    }

    def test_static_of_an_earlier_cell_is_warned_of(self, subtests: pytest.Subtests) -> None:
        for name, (define, change, read, value) in self.STATICS.items():
            with subtests.test(name):
                assert self.passes(define).stderr == ""
                changed, found = self.kernel.run(change), self.kernel.run(read)
                if found.result != value:
                    assert name in changed.told + found.told
                assert name not in self.passes("1 + 1").told

    def test_variable_of_a_type_that_changes_is_lost_with_a_word(self) -> None:
        self.passes("struct Spot { v: i32 }\nlet old_spot = Spot { v: 7 };")
        assert "old_spot" in self.passes("struct Spot { v: f64 }").stderr
        self.fails("old_spot.v", "CompileError")
        assert self.shows("let new_spot = Spot { v: 2.5 };\nnew_spot.v") == "2.5"

    def test_variable_of_a_type_that_is_written_again_stays(self) -> None:
        define = "#[derive(Debug)]\nstruct Place { v: i32 }"
        self.passes(f"{define}\nlet place = Place {{ v: 7 }};")
        assert self.passes(define).stderr == ""
        assert self.shows("place.v") == "7"

    def test_methods_in_a_cell_of_their_own_can_be_edited(self) -> None:
        self.passes("struct Stool;")
        for legs in [3, 3, 4]:
            self.passes(f"impl Stool {{ fn legs(&self) -> u32 {{ {legs} }} }}")
            assert self.shows("Stool.legs()") == str(legs)
        for text in ["a stool", "a bar stool"]:
            self.passes(
                "impl std::fmt::Display for Stool {\n"
                "    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {\n"
                f'        out.write_str("{text}")\n    }}\n}}'
            )
            assert self.shows("Stool.to_string()") == f'"{text}"'

    def test_variables_that_a_cell_does_not_use_cost_nothing(self) -> None:
        def cheapest() -> float:
            """Processor time of a small cell: whatever else the machine does, it is about the same."""

            def cost() -> float:
                before = self.kernel.processor_time()
                self.passes("1 + 1")
                return self.kernel.processor_time() - before

            return min(cost() for _ in range(3))

        before = cheapest()
        for begin in range(0, 60, 20):
            names = range(begin, begin + 20)
            self.passes("\n".join(f"let many_{n} = vec![{n}u64];" for n in names))
        among_many = cheapest()
        self.passes("\n".join(f"drop(many_{n});" for n in range(60)))
        before = max(before, cheapest())
        assert among_many < 1.5 * before + 0.1, f"{before:.2f} s without them"


class Displays(KernelCase):
    """A cell shows as many things as it likes, wherever it likes."""

    def kinds(self, reply: Reply) -> list[tuple[str, Any]]:
        """Each output: its kind, and its text or its HTML."""
        return [(o.kind, o.text or o.data.get("text/html")) for o in reply.outputs]

    def test_figures_between_texts(self) -> None:
        figure = 'plot::bars("Naps", "s", &[("one".to_string(), 1.0)])?'
        reply = self.passes(
            f'println!("a");\ndisplay(&{figure});\nprintln!("b");\ndisplay(&{figure});\n{figure}'
        )
        kinds = [output.kind for output in reply.outputs]
        wanted = ["stream", "display_data", "stream", "display_data", "execute_result"]
        assert kinds == wanted
        assert "<img" in reply.data["text/html"]

    def test_blocks_in_the_way_of_evcxr(self) -> None:
        def block(kind: str, text: str) -> str:
            return f'println!("EVCXR_BEGIN_CONTENT {kind}\\n{text}\\nEVCXR_END_CONTENT");\n'

        reply = self.passes(
            block("text/html", "<b>1</b>")
            + 'println!("between");\n'
            + block("text/html", "<b>2</b>")
            + block("text/html", "<b>3</b>")
            + block("text/plain", "three")
        )
        wanted = [
            ("display_data", "<b>1</b>"),
            ("stream", "between\n"),
            ("display_data", "<b>2</b>"),
            ("execute_result", "<b>3</b>"),
        ]
        assert self.kinds(reply) == wanted
        assert reply.result == "three"

    def test_a_block_after_text_without_a_line_end(self) -> None:
        reply = self.passes(
            'print!("no line end");\n'
            'println!("\\nEVCXR_BEGIN_CONTENT text/html\\n<b>1</b>\\nEVCXR_END_CONTENT");'
        )
        assert reply.stdout.strip() == "no line end"
        assert reply.data == {"text/html": "<b>1</b>"}

    def ask(self, **message: Any) -> str:
        """Code that asks the kernel to show something, in the course's own way."""
        return f'print!("\\x1b_course {{}}\\x1b\\\\", r#"{json.dumps(message)}"#);\n'

    def test_display_that_is_updated_in_place(self) -> None:
        reply = self.passes(
            self.ask(do="display", data={"text/html": "<b>0</b>"}, id="bar")
            + 'print!("between");\n'
            + self.ask(do="update", data={"text/html": "<b>9</b>"}, id="bar")
            + self.ask(do="display", data={"text/html": "<i>ä</i>"})
        )
        sent = [output.kind for output in reply.outputs]
        wanted = ["display_data", "stream", "update_display_data", "display_data"]
        assert sent == wanted
        ids = {output.display_id for output in reply.outputs if "update" in output.kind}
        assert ids == {reply.outputs[0].display_id}
        page = [output.data.get("text/html") for output in reply.shown]
        assert page == ["<b>9</b>", None, "<i>ä</i>"]

    def test_output_that_is_cleared(self, subtests: pytest.Subtests) -> None:
        for wait in [False, True]:
            with subtests.test(wait=wait):
                reply = self.passes(
                    'print!("old");\n' + self.ask(do="clear", wait=wait) + 'print!("new");'
                )
                [clear] = [o for o in reply.outputs if o.kind == "clear_output"]
                assert clear.content["wait"] == wait
                assert [output.text for output in reply.shown] == ["new"]

    def test_progress_moves_one_bar(self) -> None:
        reply = self.passes(f"for _ in progress(0..10) {{ {PAUSE} }}")
        assert (reply.stdout, reply.stderr) == ("", "")
        assert len(reply.shown) == 1, str(reply)
        assert "update_display_data" in [output.kind for output in reply.outputs]


class Asking(KernelCase):
    """A cell may ask the reader; who reads without asking finds the end of the input."""

    def test_standard_input_is_at_its_end(self) -> None:
        code = "let mut line = String::new();\nstd::io::stdin().read_line(&mut line)?"
        assert self.shows(code) == "0"
        assert self.shows('std::process::Command::new("cat").status()?.success()') == "true"

    def test_the_reader_is_asked(self) -> None:
        reply = self.passes(
            'print!("Hello. ");\n'
            'let name = input("Name? ")?;\nlet town = input("Town? ")?;\n'
            'println!("{name} from {town}");',
            answers=("Ådne", "Ødegård"),
        )
        assert reply.prompts == ["Name? ", "Town? "]
        assert reply.passwords == 0
        assert "Hello. " in reply.stdout
        assert "Ådne from Ødegård\n" in reply.stdout

    def test_nobody_can_be_asked(self) -> None:
        reply = self.kernel.run('let nobody = input("Name? ")?;')
        assert (reply.status, reply.prompts) == ("error", [])


class Commands(KernelCase):
    """Lines that are not Rust."""

    def test_variables_are_listed(self) -> None:
        self.passes("let listed: u32 = 1;")
        reply = self.passes(":vars")
        assert re.search("listed.*u32", str([reply.data, reply.stdout]))

    def test_help(self) -> None:
        reply = self.passes(":help")
        assert ":vars" in str([reply.data, reply.stdout])

    def test_crate_may_be_loaded_again(self) -> None:
        assert self.passes(':dep helpers = { path = "../helpers" }').told.strip() == ""

    def test_crate_that_is_edited_meanwhile(self) -> None:
        # A kernel of its own: the crate is gone afterwards, and with it whatever still names it.
        others = self.kernel
        with tempfile.TemporaryDirectory() as temporary, Session() as self.kernel:
            crate = Path(temporary)
            (crate / "src").mkdir()
            manifest = '[package]\nname = "edited"\nedition = "2024"\n'
            (crate / "Cargo.toml").write_text(manifest)
            source = crate / "src/lib.rs"
            aside = crate / "number.txt"
            aside.write_text("1")
            source.write_text('pub fn number() -> u32 { include!("../number.txt") }')
            self.passes(f":dep edited = {{ path = '{crate}' }}")
            assert self.shows("edited::number()") == "1"
            assert self.shows("edited::number() + 0") == "1"
            aside.write_text("23")
            assert self.shows("edited::number()") == "23"
            source.write_text("pub fn number() -> u32 { 4 }\npub fn other() -> u32 { 5 }")
            assert self.shows("edited::number() + edited::other()") == "9"
            (crate / "Cargo.toml").write_text(f'{manifest}version = "2.0.0"\n')
            source.write_text('pub fn version() -> &\'static str { env!("CARGO_PKG_VERSION") }')
            assert self.shows("edited::version()") == '"2.0.0"'
        self.kernel = others

    def test_crate_that_is_not_there(self) -> None:
        reply = self.kernel.run(':dep other = { path = "../no_such_folder" }')
        assert reply.status == "error"
        self.assert_told(reply, "no_such_folder")

    def test_shell(self) -> None:
        reply = self.passes("!echo from the shell")
        assert "from the shell" in str(reply.data) + reply.stdout

    def test_time_of_a_cell(self) -> None:
        reply = self.passes("%%time\nlet sum: u64 = (0..1000u64).sum();\nsum")
        assert reply.result == "499500"
        assert re.search(r"\d+(\.\d+)? ?[mnµ]?s", reply.stdout + str(reply.displays))

    def test_unknown_magic_names_what_there_is(self) -> None:
        reply = self.kernel.run("%%timeit\n1 + 1")
        assert reply.status == "error"
        self.assert_told(reply, "timeit!")
