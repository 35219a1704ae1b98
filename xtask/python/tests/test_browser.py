"""What the browser's check makes of the cells that it sees."""

import unittest

from browser.notebook import check_cells, kinds, with_late_errors


def cell(*names, tags=()):
    outputs = [{"output_type": "stream", "name": name, "text": name} for name in names]
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "outputs": outputs}


class LateErrors(unittest.TestCase):
    def test_goes_back_to_the_cell_that_must_fail(self):
        text = {"cell_type": "markdown", "metadata": {}}
        cells = with_late_errors([cell(tags=["raises"]), text, cell("stdout", "stderr")])
        self.assertEqual(kinds(cells[0]), ["stderr"])
        self.assertEqual(kinds(cells[2]), ["stdout"])
        check_cells(cells)

    def test_next_cell_must_fail_as_well(self):
        cells = with_late_errors([cell(tags=["raises"]), cell("stderr", tags=["raises"])])
        self.assertEqual([kinds(cell) for cell in cells], [["stderr"], ["stderr"]])

    def test_error_of_its_own(self):
        for first in [cell("stderr", tags=["raises"]), cell("stdout")]:
            with self.assertRaises(AssertionError):
                check_cells(with_late_errors([first, cell("stderr")]))
