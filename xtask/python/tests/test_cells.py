"""What a reader sees of the helper crate in a cell: results, figures, and errors in few words."""

import re
import sys

import pytest

from kernels import cells
from kernels.kernel import build_folder
from notebooks import exercises

# Mistakes of beginners, and what the compiler says of them. A table in the first exercises tells what
# to do about it, in the same words.
MISTAKES = {
    "let items = vec![1];\nPool::new(1)?.map(|x: u32| x, items);\nitems": "borrow of moved value",
    "nowhere.len()": "cannot find value",
    "nowhere(1)": "cannot find function",
    "fn first(x: u32) -> u32 { second(x) }": "cannot find function",
    "Pools::new(1)?": "cannot find type",
    "tine!(1)": "cannot find macro",
    "Pool::new(1).map(|x: u32| x, [1])": "this method takes 1 argument but 2 arguments were supplied",
    "ProcessPool::new(1)?.map(|x: u32| x, [1])[0]": "cannot index into a value of type",
    "let by = 3;\nlet task = Pool::new(1)?.submit(|x: u32| by * x, 7);": (
        "closure may outlive the current function, but it borrows"
    ),
    "let mut sum = 0;\nPool::new(1)?.map(|x: u32| sum += x, [1]);": (
        "as it is a captured variable in a Fn closure"
    ),
    "let rc = std::rc::Rc::new(1);\nPool::new(1)?.map(|x: u32| x + *rc, [1])": (
        "shared between threads safely"
    ),
    "Pool::new(1)?.map(|rc: std::rc::Rc<u32>| *rc, [std::rc::Rc::new(1)])": (
        "cannot be sent between threads safely"
    ),
    "Pool::new(1)?.mapp(|x: u32| x, [1])": "no method named mapp found",
    "Pool::new(1)?.map([1], |x: u32| x)": "expected a Fn(_) closure, found",
    "Pool::new(1)?.map(|x: u64| x, [1u32])": "type mismatch in closure arguments",
    "fn triple(x: u32) -> u32 { 3 * x; }": "mismatched types",
    "let x = 5;\nx = 6;\nx": "cannot assign twice to immutable variable",
    "let by = 3;\nProcessPool::new(1)?.map(|x: u32| by * x, [1])?": (
        "a function for worker processes cannot capture variables"
    ),
    'ProcessPool::new(1)?.map(|word: &str| word.len(), ["a"])?': (
        "implementation of Deserialize is not general enough"
    ),
    "ProcessPool::new(1)?.map(|x: u32| std::rc::Rc::new(x), [1])?": (
        "cannot travel between processes"
    ),
    "fn area(w: f64, h: f64) -> f64 { w * h }\nPool::new(1)?.starmap(area, [(1.0, 2.0, 3.0)])": (
        "type mismatch resolving <"
    ),
    "Pool::new(1)?.starmap(|w: f64, h: f64| w * h, [(1.0, 2.0, 3.0)])": (
        "closure is expected to take 3 arguments, but it takes 2"
    ),
    "let add_one = |x: u32| x + 1;": "is a closure, which cannot be persisted",
    "let words = vec![1, 2];\nlet first = &words[0];": (
        "contains a reference with a non-static lifetime"
    ),
    ':dep other = { path = "../other" }': "No such file or directory",
}


class Cells:
    """One kernel for all tests: each may rely on the crate being loaded, and on nothing else."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls, lent_kernel):
        cls.kernel = lent_kernel
        cls.kernel.run(cells.LOAD)
        cls.first_figure = cls.kernel.outputs(
            'plot::bars("title", "s", &[("one".to_string(), 1.0)])?'
        )

    def error(self, code):
        """The text that a failing cell shows, without colours."""
        shown = re.sub(r"\x1b\[[0-9;]*m", "", self.kernel.problems(code)).strip()
        assert shown, f"this should have failed:\n{code}"
        return shown

    def report(self, code):
        """The whole report of a cell that does not compile, as the notebook shows it."""
        shown = []
        self.kernel.ask(code, lambda said, _: shown.extend(said["content"].get("traceback", [])))
        assert shown, f"this should not have compiled:\n{code}"
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(shown))

    def test_the_first_cell_with_a_question_mark_shows_its_figure(self):
        assert "<img" in self.first_figure.get("text/html", ""), self.first_figure

    def test_a_figure_whose_question_mark_is_missing_is_shown_and_an_error_is_one(self):
        shown = self.kernel.outputs('plot::bars("title", "s", &[("one", 1i64)])')
        assert "<img" in shown.get("text/html", ""), shown
        assert '"one" is -1' in self.error('plot::bars("title", "s", &[("one", -1)])')

    def test_a_closure_that_captures_hears_of_the_value_that_goes_along(self):
        shown = self.error("let by = 3;\nProcessPool::new(1)?.map(|x: u32| by * x, [1])?")
        assert "pool.with(value).map(|value, item|" in shown
        shown = self.error(
            "let by = 3;\nProcessPool::new(1)?.with(2).map(|n, x: u32| n * x * by, [1])?"
        )
        assert "cannot capture variables" in shown
        works = "let by = 3;\nProcessPool::new(1)?.with(by).map(|by, x: u32| by * x, [1, 2])?"
        assert self.kernel.run(works) == "[3, 6]"

    def test_what_is_no_number_and_what_never_ends_are_told(self, subtests):
        for code, words in {
            'plot::bars("n", "", &[("a", "b")])': "is no number that a plot can draw",
            "Pool::new(1)?.map(|x: u64| x, 0..)": "these never end",
            "ProcessPool::new(1)?.map(|x: u64| x, 0..)?": "these never end",
            "let by = 3;\nPool::new(1)?.map_async(|x: u64| by * x, [1]);": "but it borrows",
        }.items():
            with subtests.test(code):
                assert words in self.error(code)

    def test_timeit_says_how_to_give_it_fresh_input(self):
        moved = self.report("let list = vec![1];\ntimeit!(list.into_iter().sum::<i32>())")
        assert "timeit!(let list = values.clone(); work(list))" in moved
        stats = (
            "let values = vec![3, 1, 2];\ntimeit!(let list = values.clone(); list.sort()).runs()"
        )
        assert "7" in self.kernel.run(stats)

    def test_a_result_is_shown_by_the_first_attempt_to_compile(self, subtests):
        # This cell reads its own code, as the kernel has written it. The second attempt would hold
        # a function of the kernel's own that shows texts.
        is_second = (
            'let folder = std::env::var("EVCXR_TMPDIR")?;\n'
            'let code = std::fs::read_to_string(folder + "/src/lib.rs")?;\n'
            'code.contains(&["evcxr_send", "text_plain"].join("_"))'
        )
        assert self.kernel.run(is_second) == "false"
        for code, shown in {
            "1 + 1": "2",
            "2.5 * 2.0": "5.0",
            '"two\\nlines"': '"two\\nlines"',
            "[1u8, 2][..].to_vec().as_slice()": "[1, 2]",
            '["a", "bc"].iter().map(|word| word.len())\n    .max()': "Some(2)",
            # As Python's None.
            "()": "",
        }.items():
            with subtests.test(code):
                assert self.kernel.run(code) == shown

    def test_a_result_that_cannot_be_shown_says_what_it_lacks(self, subtests):
        for code, words in {
            "struct Seat;\nSeat": "`Seat` doesn't implement `Debug`",
            "|x: u32| x + 1": "Debug` was not satisfied",
        }.items():
            with subtests.test(code):
                assert words in self.error(code)

    def test_panic_is_told_in_two_lines(self):
        shown = self.report("let seats = vec![1, 2, 3];\nlet row = seats.len();\nseats[row]")
        assert shown.splitlines() == [
            "panicked: index out of bounds: the len is 3 but the index is 3",
            "  at `seats[row]`",
        ]

    def test_panic_in_a_worker_names_the_worker(self):
        shown = self.report(
            'Pool::new(1)?.map(|n: u32| assert!(n < 2, "{n} is too many"), [1, 2]);'
        )
        assert len(shown.splitlines()) == 2, shown
        assert "panicked in worker 0: 2 is too many" in shown

    def test_panics_of_many_tasks_are_shown_in_their_own_cell_and_soon(self):
        shown = self.error(
            "use std::time::Instant;\n"
            "let pool = Pool::new(1)?;\n"
            "let start = Instant::now();\n"
            'let handles: Vec<_> = (0..400).map(|n| pool.submit(|n| panic!("no {n}"), n)).collect();\n'
            "let failed = handles.into_iter()"
            ".map(|handle: JoinHandle<()>| handle.join()).filter(Result::is_err).count();\n"
            "// Each of them alone waits until its report is shown; together they must not.\n"
            'assert!(failed == 400 && start.elapsed().as_secs() < 20, "{:?}", start.elapsed());'
        )
        reports = re.findall(r"panicked in worker 0: no (\d+)", shown)
        assert reports == [str(n) for n in range(400)]
        assert "assert!" not in shown

    def test_errors_name_the_value_and_the_remedy(self, subtests):
        for code, words in {
            "Pool::new(0)?": ["0 workers", "from 1 to 1024"],
            "Pool::new(1_000_000)?": ["1000000 workers", "from 1 to 1024"],
            "Pool::new(2)?.chunk_size(0)?": ["chunk size of 0", "at least 1"],
            'plot::bars("t", "s", &[("a", f64::NAN)])?': ["a", "NaN"],
            'plot::bars("t", "s", &[("a", 1.0); 0])?': ["bar"],
            'plot::bars("t", "s", &[("a", 1.0)])?.save("/no/such/folder/a.svg")?': [
                "/no/such/folder"
            ],
        }.items():
            with subtests.test(code):
                shown = self.error(code)
                assert len(shown.splitlines()) <= 2, shown
                for word in words:
                    assert word in shown

    def test_mistakes_of_beginners_are_told_as_the_exercises_say(self, subtests):
        notebook = exercises.read(exercises.FOLDER / "01_multiprocessing.ipynb")
        told = "\n".join(cell.source for cell in notebook.cells).replace("…", "")
        for code, words in MISTAKES.items():
            with subtests.test(code):
                # As in the table, names are not set off.
                assert words in self.error(code).replace("`", "")
                assert words in told

    def test_what_cannot_travel_is_told_once_with_the_remedy(self):
        code = (
            "{} struct Point {{ x: f64 }}\n"
            "let points = ProcessPool::new(1)?.map(|x: f64| Point {{ x }}, [1.5])?;\n"
            "points[0].x"
        )
        shown = self.report(code.format(""))
        assert shown.count("]: `Point` cannot travel between processes") == 1
        assert shown.count("error[") == 1
        derive = "#[derive(serde::Serialize, serde::Deserialize)]"
        attribute = '#[serde(crate = "helpers::serde")]'
        assert f"Above a type of your own write `{derive}` and `{attribute}`" in shown
        assert self.kernel.run(code.format(f"{derive}\n{attribute}\n")) == "1.5"

    def test_tuples_of_the_wrong_length_say_how_long_they_should_be(self):
        area = "fn area(width: f64, height: f64) -> f64 { width * height }\n"
        shown = self.report(f"{area}Pool::new(1)?.starmap(area, [(1.0, 2.0, 3.0)])")
        assert "expected a tuple with 2 elements, found one with 3 elements" in shown
        shown = self.report(f"{area}Pool::new(1)?.starmap(|w: f64| w, [1.0])")
        assert "parameters differ from the tuple's values in number or type" in shown

    def test_errors_come_without_warnings_of_earlier_cells(self):
        self.kernel.run("fn cells(before: u32) -> u32 { let unused = 3; 7 }")
        shown = self.error("let unused = 1;\nnowhere(2)")
        assert shown == "cannot find function `nowhere` in this scope"

    def test_variable_without_a_type_that_has_a_name_is_refused_soon(self):
        """To say so, the kernel runs `cargo check`, for which set-up has compiled the crates."""

        def compiled():
            found = build_folder(self.kernel).rglob("libhelpers-*.rmeta")
            return {(path, path.stat().st_mtime_ns) for path in found}

        before = compiled()
        assert before
        self.error("let add_two = |x: u32| x + 2;")
        assert compiled() == before

    def test_figure_shows_itself_as_an_image_with_alt_text(self):
        outputs = self.kernel.outputs('plot::bars("Naps", "s", [("serial", 7.0), ("pool", 2.5)])?')
        html = outputs["text/html"]
        assert re.search(r'^<img alt="[^"]*serial 7[^"]*pool 2.5', html)
        assert 'src="data:image/png;base64,' in html
        assert "<svg" not in html

    def test_build_is_a_release_build(self):
        shown = self.kernel.run("environment()")
        assert "opt-level 3, debug assertions off" in shown

    @pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
    def test_cells_share_the_crates_statics(self):
        """A copy of rayon in each cell would start a thread pool in each cell."""
        count = (
            "let values = vec![1.0; 1_000_000];\n"
            "assert_eq!(par_sum(&values), 1e6);\n"
            'std::fs::read_dir("/proc/self/task")?.count()'
        )
        assert self.kernel.run(count) == self.kernel.run(count)

    def test_check_gives_a_verdict_whatever_the_answer_does(self, subtests):
        for answer, words in {
            "7": ["Right. The check passed."],
            "8": ["Not yet.", "called    answer()", "expected  7", "came      8", "hint      add"],
            'panic!("too hard")': ["Not yet.", "came      a panic: too hard"],
            "std::process::exit(0)": ["Not yet.", "exited with status 0"],
            "std::hint::black_box(vec![1u8; 1 << 40]).len() as u32": [
                "Not yet.",
                "memory runs out",
            ],
            'loop { println!("EVCXR_EXECUTION_COMPLETE") }': ["Not yet.", "no end after 10s"],
        }.items():
            with subtests.test(answer):
                shown = self.kernel.run(
                    f"fn answer() -> u32 {{ {answer} }}\n"
                    'check!(|check| { check.hint("add").on("answer()").equal(7, answer); })'
                )
                for word in words:
                    assert word in shown
        assert self.kernel.run("1 + 1") == "2"

    def test_check_with_a_variable_says_what_is_wrong(self):
        shown = self.error("let seven = 7;\ncheck!(|check| { check.equal(seven, || 7); })")
        assert "cannot capture variables" in shown
