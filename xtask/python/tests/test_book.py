"""That the book's checks see what they are there to see."""

import tempfile
from pathlib import Path

import pytest

from notebooks import book


class Pages:
    @pytest.fixture(autouse=True)
    def set_up(self):
        with tempfile.TemporaryDirectory() as folder:
            self.pages = Path(folder)
            self.write("other.html", '<p id="here">')
            yield

    def write(self, name, body):
        page = self.pages / name
        page.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
        return page

    def problems(self, body):
        return book.problems_of(self.write("page.html", body), self.pages)

    def test_a_good_page_has_no_problems(self):
        good = '<a href="other.html#here"><img src="other.html" alt="a plot"></a><a href="#top"><p id="top">'
        assert self.problems(good) == []
        assert self.problems('<a href="https://doc.rust-lang.org/#x">') == []

    def test_links_that_lead_nowhere_are_named(self, subtests):
        for target in ["gone.html", "other.html#gone", "#gone", "../other.html", "file:///etc"]:
            with subtests.test(target):
                [problem] = self.problems(f'<a href="{target}">')
                assert target in problem

    def test_pictures_need_a_description(self):
        for image in ['<img src="other.html">', '<img src="other.html" alt=" ">']:
            [problem] = self.problems(image)
            assert "description" in problem

    def test_words_of_directives_are_not_text(self):
        [problem] = self.problems("<p>::::{container} pair</p>")
        assert "directive" in problem

    def test_the_crates_own_pages_are_left_to_cargo(self):
        (self.pages / "api").mkdir()
        self.write("api/crate.html", "")
        assert [page.name for page in book.pages_of(self.pages)] == ["other.html"]


class Examples:
    def test_lines_for_the_test_are_not_shown(self):
        page = "```rust,ignore\n# use x;\nlet a = 1;\n#   assert!(a == 1);\n#\n#[inline]\n```\n# Title\n"
        shown = "```rust\nlet a = 1;\n#[inline]\n```\n# Title\n"
        assert book.without_test_lines(page) == shown

    def test_python_keeps_its_comments(self):
        page = "```python\n# a comment\n```\n"
        assert book.without_test_lines(page) == page
