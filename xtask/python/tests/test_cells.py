"""What a reader sees of the helper crate in a cell: results, figures, and errors in few words."""

import re
import sys
import unittest

import cells
from tests.test_launcher import course_kernel


class Cells(unittest.TestCase):
    """One kernel for all tests: each may rely on the crate being loaded, and on nothing else."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = course_kernel()
        cls.kernel.__enter__()
        cls.addClassCleanup(cls.kernel.__exit__)
        cls.kernel.run(cells.LOAD)

    def error(self, code):
        """The text that a failing cell shows, without colours."""
        shown = re.sub(r"\x1b\[[0-9;]*m", "", self.kernel.problems(code)).strip()
        self.assertTrue(shown, f"this should have failed:\n{code}")
        return shown

    def test_panic_is_told_in_two_lines(self):
        shown = self.error("let seats = vec![1, 2, 3];\nlet row = seats.len();\nseats[row]")
        self.assertEqual(
            shown.splitlines(),
            [
                "panicked: index out of bounds: the len is 3 but the index is 3",
                "  at `seats[row]`",
            ],
        )

    def test_panic_in_a_worker_names_the_worker(self):
        shown = self.error(
            "Pool::new(1)?.map(|n: u32| assert!(n < 2, \"{n} is too many\"), [1, 2]);"
        )
        self.assertEqual(len(shown.splitlines()), 2, shown)
        self.assertIn("panicked in worker 0: 2 is too many", shown)

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
        self.assertEqual(reports, [str(n) for n in range(400)])
        self.assertNotIn("assert!", shown)

    def test_errors_name_the_value_and_the_remedy(self):
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
            with self.subTest(code):
                shown = self.error(code)
                self.assertLessEqual(len(shown.splitlines()), 2, shown)
                for word in words:
                    self.assertIn(word, shown)

    def test_tuples_of_the_wrong_length_do_not_compile(self):
        shown = self.error(
            "fn area(width: f64, height: f64) -> f64 { width * height }\n"
            "Pool::new(1)?.starmap(area, [(1.0, 2.0, 3.0)])"
        )
        self.assertIn("(f64, f64)", shown)

    def test_figure_shows_itself_as_an_image_with_alt_text(self):
        outputs = self.kernel.outputs('plot::bars("Naps", "s", [("serial", 7.0), ("pool", 2.5)])?')
        html = outputs["text/html"]
        self.assertRegex(html, r'^<img alt="[^"]*serial 7[^"]*pool 2.5')
        self.assertIn('src="data:image/png;base64,', html)
        self.assertNotIn("<svg", html)

    def test_build_is_a_release_build(self):
        shown = self.kernel.run("environment()")
        self.assertIn("opt-level 3, debug assertions off", shown)

    @unittest.skipUnless(sys.platform == "linux", "counts threads in /proc")
    def test_cells_share_the_crates_statics(self):
        """A copy of rayon in each cell would start a thread pool in each cell."""
        count = (
            "let values = vec![1.0; 1_000_000];\n"
            "assert_eq!(par_sum(&values), 1e6);\n"
            'std::fs::read_dir("/proc/self/task")?.count()'
        )
        self.assertEqual(self.kernel.run(count), self.kernel.run(count))
