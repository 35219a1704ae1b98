"""Notebooks are written in one form."""

import copy

import pytest
from nbformat import v4

from notebooks.normalise import normalise, to_text


def untidy_notebook():
    stream = v4.new_output("stream", name="stdout", text="one\n")
    error_stream = v4.new_output("stream", name="stderr", text="note\n")
    rest = v4.new_output("stream", name="stdout", text="two\n")
    result = v4.new_output("execute_result", data={"text/plain": "6"}, execution_count=9)
    cells = [
        v4.new_markdown_cell("# Title", metadata={"collapsed": True}),
        v4.new_code_cell("1 + 1", execution_count=2),
        v4.new_code_cell(
            "one()\n",
            execution_count=7,
            outputs=[stream, error_stream, rest, result],
            metadata={
                "tags": ["raises-exception"],
                "execution": {"iopub.status.busy": "2026-01-01"},
            },
        ),
        v4.new_code_cell("1 + 1", execution_count=8),
    ]
    return v4.new_notebook(cells=cells, metadata={"widgets": {}, "orig_nbformat": 4})


class Normalise:
    @pytest.fixture(autouse=True)
    def set_up(self):
        self.notebook = normalise(untidy_notebook())

    def test_twice_is_as_once(self):
        once = to_text(self.notebook)
        assert to_text(normalise(copy.deepcopy(self.notebook))) == once

    def test_ids_depend_on_the_text_alone(self):
        again = normalise(untidy_notebook())
        ids = [cell.id for cell in self.notebook.cells]
        assert [cell.id for cell in again.cells] == ids
        assert len(set(ids)) == 4, "equal cells get ids of their own"

    def test_cells_are_counted_from_one(self):
        counts = [cell.execution_count for cell in self.notebook.cells[1:]]
        assert counts == [1, 2, 3]
        assert self.notebook.cells[2].outputs[-1].execution_count == 2

    def test_texts_of_a_stream_that_follow_each_other_are_one_output(self):
        outputs = self.notebook.cells[2].outputs
        names = [output.get("name") for output in outputs]
        assert names == ["stdout", "stderr", "stdout", None]
        assert [output.text for output in outputs[:3]] == ["one\n", "note\n", "two\n"]

    def test_only_what_an_author_wrote_is_kept(self):
        assert self.notebook.cells[0].metadata == {}
        assert self.notebook.cells[2].metadata == {"tags": ["raises-exception"]}
        assert set(self.notebook.metadata) == {"kernelspec", "language_info"}
        assert self.notebook.metadata.kernelspec.name == "rust"

    def test_the_file_ends_with_a_newline(self):
        assert to_text(self.notebook).endswith("}\n")
