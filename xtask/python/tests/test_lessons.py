"""That the lessons keep what they promise, and that the checks of it see what they should."""

import pytest
from nbformat import v4

from notebooks import lessons
from notebooks.execute import read


def markdown(text):
    return v4.new_markdown_cell(text)


def code(text, *tags):
    return v4.new_code_cell(text, metadata={"tags": list(tags)})


def unexplained(*cells):
    """What is used in these cells and explained nowhere."""
    [(_, problems)] = lessons.unexplained([("lesson", cells)])
    return {piece for _, pieces in problems for piece in pieces}


class Lessons:
    def test_each_piece_of_rust_is_explained_where_it_is_first_used(self):
        notebooks = [(path.stem, read(path).cells) for path in lessons.lessons()]
        for name, problems in lessons.unexplained(notebooks):
            for place, pieces in problems:
                pytest.fail(f"{name}, cell {place + 1} uses {'  '.join(pieces)}")

    def test_exercises_ask_for_no_rust_that_nobody_taught(self, subtests):
        for path in sorted((lessons.FOLDER / "exercises").glob("*.ipynb")):
            for title, pieces in lessons.unexplained_in_exercises(path):
                with subtests.test(path.stem, exercise=title):
                    assert pieces == [], "explain them in the task's text, or in a lesson before"

    def test_lessons_and_cells_are_short(self, subtests):
        for path in lessons.lessons():
            with subtests.test(path.stem):
                assert list(lessons.too_long(read(path).cells)) == []
        page = read(lessons.FOLDER / f"{lessons.PHRASE_BOOK}.ipynb").cells
        long = [problem for problem in lessons.too_long(page) if "lines" in problem]
        assert long == []

    def test_a_lesson_skips_one_explanation_at_most(self, subtests):
        for path in lessons.lessons():
            texts = [" ".join(cell.source.split()) for cell in read(path).cells]
            with subtests.test(path.stem):
                assert sum(lessons.NO_NEED in text for text in texts) <= 1

    def test_the_phrase_book_is_linked_from_every_lesson(self, subtests):
        for path in lessons.lessons():
            with subtests.test(path.stem):
                link = f"({lessons.PHRASE_BOOK}.ipynb)"
                assert link in all_text(read(path)), f"there is no link {link}"

    def test_the_phrase_book_is_linked_from_the_introduction_of_all_exercises(self, subtests):
        for path in sorted((lessons.FOLDER / "exercises").glob("*.ipynb")):
            with subtests.test(path.stem):
                link, first = f"(../{lessons.PHRASE_BOOK}.ipynb)", read(path).cells[0].source
                assert link in first, f"the first cell has no link {link}"

    def test_each_cell_of_the_phrase_book_stands_below_a_text(self):
        cells = read(lessons.FOLDER / f"{lessons.PHRASE_BOOK}.ipynb").cells
        for text, cell in zip(cells, cells[1:]):
            if cell.cell_type == "code":
                assert text.cell_type == "markdown", cell.source


def all_text(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


class Pieces:
    """What is found in code."""

    def test_signs(self, subtests):
        for source, piece in {
            "let pool = Pool::new(4)?;": "?",
            "f(&list)": "&",
            "f(&mut list)": "&mut",
            "*y += 1.0": "*x",
            "pool.map(|x| x + 1, items)": "|x|",
            "measure(|| 1)": "||",
            "list.map(|&(_, time)| time)": "|&x|",
            "0..10": "..",
            "1..=20": "..=",
            "&list[1..]": "[..n]",
            "0 => 1,": "=>",
            "sum::<u64>()": "::<>",
            "fn fastest<R>(f: R)": "<R>",
            "fn exchange<const N: usize>()": "<const N>",
            "vec![0.0; n]": "[x; n]",
            "for (a, b) in list {": "let (a, b)",
            "let [a, b] = list;": "let [a, b]",
            "pair.0": ".0",
            "1_000u64": "1u64",
            "let x = if a { 1 } else { 2 };": "if as a value",
            'println!("{x:?}")': "{x:?}",
            'println!("{x:.2}")': "{x:7.2}",
            "#[derive(Default)]": "#[derive]",
            "x as f64": "as",
            "f: impl Fn() -> R": "impl",
            "match x {": "match",
            "list.iter().sum()": ".iter()",
            "list\n    .collect::<Vec<_>>()": ".collect()",
            "std::array::from_fn(f)": "array::from_fn",
            "a.load(Ordering::Relaxed)": "Ordering::Relaxed",
            "assert_eq!(a, b)": "assert_eq!",
            "let x: Mutex<u8>": "Mutex",
        }.items():
            with subtests.test(source):
                assert piece in lessons.pieces(source)

    def test_what_is_not_there_is_not_found(self, subtests):
        for source, pieces in {
            "a && b": ["&", "|x|"],
            "a || b": ["||", "|x|"],
            "2 * x": ["*x"],
            "0.5 * x": [".0", "*x"],
            "// a loop, as f64, |x|": ["loop", "as", "|x|"],
            '"match {{x}} &y"': ["match", "&", "{x:?}"],
            "use std::sync::Mutex;": ["Mutex", "sync::Mutex"],
        }.items():
            found = lessons.pieces(source)
            for piece in pieces:
                with subtests.test(f"{piece} in {source}"):
                    assert piece not in found


class Explanations:
    def test_what_nobody_explained_is_named(self):
        assert unexplained(code("list.fold(0, f)")) == {".fold()"}
        assert unexplained(markdown("We use `.fold`."), code("list.fold(0, f)")) == {".fold()"}

    def test_an_item_of_a_list_explains(self):
        for item in [
            "- `.fold` adds up.",
            "- **`list.fold(0, f)`** adds\n  up.",
            "- It is `.fold(…)`.",
        ]:
            assert unexplained(markdown(item), code("list.fold(0, f)")) == set()

    def test_the_text_right_behind_explains_and_a_later_one_does_not(self):
        behind = [code("list.fold(0, f)"), markdown("- `.fold` adds up.")]
        assert unexplained(*behind) == set()
        assert unexplained(behind[0], markdown("So."), behind[1]) == {".fold()"}

    def test_an_earlier_lesson_explains(self):
        first = ("one", [markdown("- `.fold` adds up.")])
        second = ("two", [code("list.fold(0, f)")])
        assert dict(lessons.unexplained([first, second]))["two"] == []
        assert dict(lessons.unexplained([second, first]))["two"] != []

    def test_tables_and_blocks_of_code_explain_nothing(self):
        for text in ["| `.fold` | adds up |", "```rust\n- `.fold`\n```", "# `.fold`"]:
            assert unexplained(markdown(text), code("list.fold(0, f)")) == {".fold()"}

    def test_of_the_courses_own_names_a_sentence_will_do(self):
        call = code("map_reduce(pool, list, f, g); plot::image(1)")
        assert unexplained(call) == {"plot::image"}
        assert unexplained(markdown("`plot::image` shows it."), call) == set()

    def test_what_a_lesson_defines_itself_needs_no_words(self):
        assert unexplained(markdown("- `fn`"), code("fn fold() {}\nx.fold()")) == set()

    def test_a_cell_that_need_not_be_followed_is_left_out(self):
        text = markdown("You need not\nfollow each line.")
        assert unexplained(text, code("list.fold(0, f)")) == set()
        assert unexplained(text, code("list.fold(0, f)"), code("x.zip(y)")) == {".zip()"}


class Lengths:
    def test_what_is_too_long_is_named(self):
        cells = [code("1\n" * 26)] + [markdown("text")] * 45
        [many, long] = lessons.too_long(cells)
        assert "46 cells" in many
        assert "cell 1 has 26 lines" in long
        assert list(lessons.too_long([code("1\n" * 25)] * 45)) == []
