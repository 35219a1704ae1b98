"""What the browser's check makes of the cells that it sees."""

import pytest

from browser.notebook import check_cells, kinds, said
from browser.pictures import pictures_of


def stream(name, text):
    return {"output_type": "stream", "name": name, "text": text}


def error(*lines):
    return {"output_type": "error", "ename": "Panic", "evalue": "", "traceback": list(lines)}


def cell(*outputs, tags=()):
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "outputs": list(outputs)}


class Cells:
    def test_only_a_cell_that_must_fail_may_show_an_error(self):
        text = {"cell_type": "markdown", "metadata": {}}
        for output in [error("panicked"), stream("stderr", "warning\n")]:
            check_cells([text, cell(output, tags=["raises-exception"])])
            with pytest.raises(AssertionError, match="cell 2 shows an error"):
                check_cells([text, cell(output)])
        check_cells([cell(stream("stdout", "1\n"))])

    def test_all_that_a_cell_shows(self):
        # A notebook's texts may be lists of lines.
        result = {"output_type": "execute_result", "data": {"text/plain": ["[1,\n", " 2]"]}}
        shown = cell(stream("stdout", "one"), result, error("panicked: two", "  at `three`"))
        assert said(shown) == "one\n[1,\n 2]\npanicked: two\n  at `three`"
        assert kinds(shown) == ["error", "stdout", "text/plain"]

    def test_pictures_are_told_from_lists_of_rust(self):
        for text, number in {
            "`vec![1]`, `s![..n]`": 0,
            "![a](b.svg)": 1,
            "x ![a](b) ![c](d)": 2,
        }.items():
            drawing = {"cell_type": "markdown", "metadata": {}, "source": text}
            assert pictures_of(drawing) == number, text
