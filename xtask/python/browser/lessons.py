"""A student goes through the lessons."""

from collections.abc import Callable

from nbformat import NotebookNode

from notebooks import executed
from notebooks.execute import read

from .lab import Lab
from .notebook import Cell, Notebook, is_text, kinds, must_fail
from .pictures import check_pictures, pictures_of, take_picture

# A lesson should take a minute.
LONGEST_LESSON = 600


# Does something with a notebook, and says what was seen.
Step = Callable[["Lab", str], str]


def from_the_menu(lab: Lab, name: str) -> str:
    """Looks at a lesson as it was committed, and runs all its cells by the menu."""
    return look_and_run(lab, name, lambda _: lab.choose("Run", "Run All Cells"))


def from_the_start(lab: Lab, name: str) -> str:
    """The same, but a cell has run before; so it restarts the kernel and runs all cells."""

    def restart(notebook: Notebook) -> None:
        notebook.load()
        check_first_number(notebook)
        lab.choose("Kernel", "Restart Kernel and Run All Cells…")
        lab.confirm("Restart")

    seen = look_and_run(lab, name, restart)
    check_first_number(lab.notebook(name))
    return seen


def check_first_number(notebook: Notebook) -> None:
    """The first cell of code that runs in a kernel is number 1, also in one that was a spare."""
    number = next(cell["execution_count"] for cell in notebook.state().cells if not is_text(cell))
    if number != 1:
        raise AssertionError(f"the first cell has the number {number}")


def look_and_run(lab: Lab, name: str, run_all: Callable[[Notebook], object]) -> str:
    """Looks at a lesson as it was committed, has all its cells run, and compares."""
    notebook = lab.notebook(name)
    # Outputs of a notebook that this browser does not trust.
    shown = check_pictures(notebook, notebook.state().cells)
    lab.choose("Edit", "Clear Outputs of All Cells")
    run_all(notebook)
    seen = wait_and_compare(lab, notebook)
    ran = check_pictures(notebook, notebook.state().cells)
    if ran != shown:
        raise AssertionError(f"{shown} pictures are committed, but running makes {ran}")
    place = most_telling(notebook.state().cells)
    take_picture(lab, name, lambda: notebook.show(place))
    return f"{seen}; {shown} pictures are shown before and after"


def most_telling(cells: list[Cell]) -> int:
    """The place of the cell for a picture of the page: of a speedup, if there is one."""
    places = [place for place, cell in enumerate(cells) if pictures_of(cell)]
    speedups = [place for place in places if "plot::speedup" in "".join(cells[place]["source"])]
    return (speedups or places)[0]


def cell_by_cell(lab: Lab, name: str) -> str:
    """Runs a lesson with Shift+Enter, each cell when the one before has ended."""
    notebook = lab.notebook(name)
    committed = read_committed(lab, notebook)
    lab.choose("Edit", "Clear Outputs of All Cells")
    notebook.click(0)
    for place, cell in enumerate(committed.cells):
        ran = notebook.run_active().cells[place]
        compare(place, ran, cell)
    check_pictures(notebook, notebook.state().cells)
    remember(lab, notebook, committed)
    return f"{len(committed.cells)} times Shift+Enter, and each time the next cell had the focus"


def and_close(step: Step) -> Step:
    """The same step, and then the lesson is closed: each kernel needs most of a gigabyte."""

    def step_and_close(lab: Lab, name: str) -> str:
        seen = step(lab, name)
        lab.close(lab.notebook(name))
        return f"{seen}; closed"

    return step_and_close


def wait_and_compare(lab: Lab, notebook: Notebook) -> str:
    """Waits while all cells run, and compares the kinds of their outputs with the committed."""
    cells = notebook.wait_until(
        lambda state: state.finished, LONGEST_LESSON, "the last cell to end"
    ).cells
    committed = read_committed(lab, notebook)
    for place, cell in enumerate(committed.cells):
        compare(place, cells[place], cell)
    remember(lab, notebook, committed)
    return f"{sum(not is_text(cell) for cell in committed.cells)} cells of code ran"


def read_committed(lab: Lab, notebook: Notebook) -> NotebookNode:
    return read(lab.clone / notebook.path)


def remember(lab: Lab, notebook: Notebook, committed: NotebookNode) -> None:
    """All cells have run, and each as it should: nobody else need run the lesson to know that."""
    executed.remember(lab.known, lab.clone / notebook.path, committed, "in the browser")


def compare(place: int, ran: Cell, committed: NotebookNode) -> None:
    """A cell shows what the committed one shows: text, a picture, both, or nothing."""
    if ran["source"] != committed.source:
        raise AssertionError(f"cell {place + 1} is not what is in the file: {ran['source']}")
    if kinds(ran) != kinds(committed):
        raise AssertionError(
            f"cell {place + 1} shows {kinds(ran)}; in the lesson it is {kinds(committed)}"
        )
    if must_fail(committed) and "error" not in kinds(ran):
        raise AssertionError(f"cell {place + 1} is tagged as one that fails, but did not")
