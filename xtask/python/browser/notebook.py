"""One open notebook: its cells, and waiting for them."""

import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page

from notebooks.execute import RAISES

# The kinds of outputs that tell of something that went wrong.
ERRORS = {"error", "stderr"}

# The notebook as JupyterLab holds it: all cells, also those that are not on the screen.
STATE = """id => {
    const panel = [...window.jupyterapp.shell.widgets('main')].find(panel => panel.id === id);
    const kernel = panel?.sessionContext?.session?.kernel;
    const notebook = panel?.content;
    if (!notebook?.model) return null;
    const active = notebook.activeCell?.node;
    const box = active?.getBoundingClientRect(), window_ = panel.node.getBoundingClientRect();
    return {
        status: kernel?.status ?? 'none',
        cells: notebook.model.sharedModel.toJSON().cells,
        active: notebook.activeCellIndex,
        mode: notebook.mode,
        focused: panel.node.contains(document.activeElement),
        visible: !!box && box.bottom > window_.top && box.top < window_.bottom,
    };
}"""

SHOW = """async ([id, place]) => {
    const panel = [...window.jupyterapp.shell.widgets('main')].find(panel => panel.id === id);
    await panel.content.scrollToItem(place, 'smart');
}"""

# The longest cell of the lessons takes a few seconds; a machine that is ten times slower may be
# busy besides.
LONGEST_CELL = 240

# A cell as it stands in the file of a notebook.
Cell = dict[str, Any]


class State:
    """A notebook at one moment."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.status = found["status"]
        self.idle = self.status == "idle"
        self.cells = found["cells"]
        self.active = found["active"]
        self.mode = found["mode"]
        # Whether the keyboard's next key goes to this notebook, and its active cell can be seen.
        self.focused = found["focused"] and found["visible"]

    def has_run(self, place: int) -> bool:
        """Whether this cell has run: one that waits or runs has no number."""
        return is_text(self.cells[place]) or bool(self.cells[place]["execution_count"])

    @property
    def finished(self) -> bool:
        """Whether all cells have run."""
        return self.idle and all(
            self.has_run(place)
            for place, cell in enumerate(self.cells)
            if "".join(cell["source"]).strip()
        )


class Notebook:
    """An open notebook. All but `bring_to_front` and `state` is for the one at the front."""

    def __init__(self, page: Page, id: str, path: str) -> None:
        self.page, self.id, self.path = page, id, path
        # Its part of the page.
        self.panel = page.locator(f'[id="{id}"]')

    def bring_to_front(self) -> None:
        """Clicks on its tab."""
        self.page.locator(f'.lm-TabBar-tab[data-id="{self.id}"]').click()
        self.panel.wait_for()

    def look(self) -> State | None:
        """What JupyterLab knows of it; `None` before its cells are there."""
        found = self.page.evaluate(STATE, self.id)
        return State(found) if found else None

    def state(self) -> State:
        """The same of one whose cells are there."""
        state = self.look()
        assert state, f"{self.path} has no cells yet"
        return state

    def wait_until(
        self,
        condition: Callable[[State], object],
        seconds: float,
        what: str,
        may_fail: bool = False,
    ) -> State:
        """Waits for a state, and gives it. A cell that fails ends the wait, unless it may."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.look()
            if state and not may_fail:
                check_cells(state.cells)
            if state and condition(state):
                return state
            if time.monotonic() > deadline:
                status = state.status if state else "not there"
                raise AssertionError(f"waited {seconds} s for {what}; the kernel is {status}")
            self.page.wait_for_timeout(100)

    def show(self, place: int) -> Locator:
        """Scrolls to a cell, and gives it."""
        self.page.evaluate(SHOW, [self.id, place])
        cell = self.panel.locator(f'.jp-Cell[data-windowed-list-index="{place}"]')
        cell.wait_for()
        return cell

    def click(self, place: int) -> None:
        """Makes a cell the active one, with the mouse; in command mode."""
        self.show(place).locator(".jp-InputPrompt").first.click(force=True)
        self.page.keyboard.press("Escape")
        self.wait_until(
            lambda state: state.active == place and state.mode == "command",
            60,
            f"cell {place + 1} to become the active one",
            may_fail=True,
        )

    def run_active(self, may_fail: bool = False) -> State:
        """Presses Shift+Enter and waits for the cell; gives the state then.

        Checks that the next cell is the active one: it is on the screen and has the keyboard.
        """
        place = self.state().active
        self.page.keyboard.press("Shift+Enter")
        moved = lambda state: state.active == place + 1 and state.focused
        self.wait_until(moved, 60, f"the focus to move on from cell {place + 1}", may_fail)
        return self.wait_until(
            lambda state: state.idle and state.has_run(place),
            LONGEST_CELL,
            f"cell {place + 1} to end",
            may_fail,
        )

    def write_over(self, place: int, code: str) -> None:
        """Types a cell anew, key by key, in edit mode."""
        self.show(place).locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.press("Delete")
        # The editor indents by itself.
        self.page.keyboard.type("\n".join(line.strip() for line in code.splitlines()))
        written = "".join(self.state().cells[place]["source"])
        if written.split() != code.split():
            raise AssertionError(f"typed was\n{code}\nbut the cell is\n{written}")

    def write_below(self, code: str = "") -> int:
        """Types a new cell at the end, or fills the last one if it is empty; gives its place."""
        cells = self.state().cells
        last = len(cells) - 1
        self.click(last)
        if cells[last]["source"] or is_text(cells[last]):
            self.page.keyboard.press("b")
            last += 1
            self.wait_until(lambda state: state.active == last, 60, "a new cell", may_fail=True)
        self.write_over(last, code)
        return last

    def remove(self, place: int) -> None:
        """Deletes a cell with `D D`."""
        number = len(self.state().cells)
        self.click(place)
        self.page.keyboard.press("d")
        self.page.keyboard.press("d")
        gone = lambda state: len(state.cells) < number
        self.wait_until(gone, 60, "the cell to go", may_fail=True)

    def load(self) -> None:
        """Runs the first cell of code, which loads the crate."""
        first = next(i for i, cell in enumerate(self.state().cells) if not is_text(cell))
        self.click(first)
        self.run_active()


def is_text(cell: Cell) -> bool:
    return bool(cell["cell_type"] != "code")


def kinds(cell: Cell) -> list[str]:
    """Of what kinds a cell's outputs are."""
    found = set()
    for output in cell.get("outputs", []):
        found |= set(output.get("data", [])) or {output.get("name", output["output_type"])}
    return sorted(found)


def said(cell: Cell) -> str:
    """All text of a cell's outputs."""
    parts = []
    for output in cell.get("outputs", []):
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        parts.append("".join(text))
        parts.extend(output.get("traceback", []))
    return "\n".join(part for part in parts if part)


def must_fail(cell: Cell) -> bool:
    return RAISES in list(cell["metadata"].get("tags", []))


def check_cells(cells: list[Cell]) -> None:
    """No cell may show an error that it was not meant to show."""
    for number, cell in enumerate(cells, 1):
        if must_fail(cell):
            continue
        if ERRORS & set(kinds(cell)):
            raise AssertionError(f"cell {number} shows an error: {said(cell)}")
