"""A student has two notebooks open, and interrupts a cell that takes too long."""

from .lab import Lab
from .notebook import LONGEST_CELL, Cell, Notebook, kinds, said
from .pictures import take_picture

# Say that they have begun, since compiling takes a while; then they would go on for an hour. One ends when
# it is interrupted, the other does not.
BEGIN = 'println!("begun");'
LONG = f"""\
{BEGIN}
let pool = Pool::new(2)?;
pool.map(|_| std::thread::sleep(std::time::Duration::from_secs(3600)), 0..2);"""
LONG_LOOP = f"""\
{BEGIN}
for _ in progress(0..36_000) {{
    std::thread::sleep(std::time::Duration::from_millis(100));
}}"""
MADE = "let six = 6;"
USED = "six * 7"
SQUARES = "let pool = Pool::new(2)?;\npool.map(|x: u64| x * x, [1, 2, 3])"
KEPT = "Interrupted: variables of earlier cells are kept, those of this cell are not"
LOST = "Interrupted: the cell did not end by itself, so the process that runs the cells was ended."


def two_at_once(lab: Lab, busy: str, other: str) -> str:
    """While a cell of one notebook runs, a cell of another one does."""
    notebook = lab.notebook(busy)
    notebook.load()
    place = start_long_cell(notebook, LONG)
    notebook = lab.notebook(other)
    free = notebook.write_below("6 * 7")
    answer = said(notebook.run_active().cells[free])
    if answer.strip() != "42":
        raise AssertionError(f"the second notebook answers {answer!r}")
    notebook.remove(free)
    notebook = lab.notebook_at_work(busy)
    if notebook.state().idle or notebook.state().has_run(place):
        raise AssertionError("the long cell of the first notebook has ended")
    return f"{other} computed 42 while a cell of {busy} ran"


def interrupt(lab: Lab, name: str) -> str:
    """Interrupts a loop with `I I`, which keeps variables, and then what does not end by itself."""
    notebook = lab.notebook_at_work(name)
    running = [place for place, cell in enumerate(notebook.state().cells) if is_long(cell)]
    for place in running:
        interrupt_cell(lab, notebook, place)
        notebook.remove(place)
    notebook.load()
    run_below(notebook, MADE, "")
    loop = start_long_cell(notebook, LONG_LOOP)
    told = interrupt_cell(lab, notebook, loop)
    if told != KEPT:
        raise AssertionError(f"an interrupted loop says:\n{told}")
    run_below(notebook, USED, "42")
    place = start_long_cell(notebook, LONG)
    told = interrupt_cell(lab, notebook, place)
    if not told.startswith(LOST) or "`six`" not in told:
        raise AssertionError(f"a pool that was interrupted says:\n{told}")
    take_picture(lab, "interrupted", lambda: notebook.show(place))
    run_below(notebook, SQUARES, "[1, 4, 9]")
    # Cells with errors would end what is done next in this notebook.
    notebook.remove(place)
    notebook.remove(loop)
    return f"“{KEPT}”; “{told}”; the next cell gave [1, 4, 9]"


def interrupt_cell(lab: Lab, notebook: Notebook, place: int) -> str:
    """Interrupts a long cell; gives what it says then."""
    notebook.click(place)
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("i")
    is_over = lambda state: state.idle and "error" in kinds(state.cells[place])
    state = notebook.wait_until(is_over, LONGEST_CELL, "the interrupt", may_fail=True)
    error = state.cells[place]["outputs"][-1]
    return "\n".join(error["traceback"])


def run_below(notebook: Notebook, code: str, answer: str) -> None:
    """Runs a new cell at the end."""
    place = notebook.write_below(code)
    shown = said(notebook.run_active(may_fail=True).cells[place])
    if shown != answer:
        raise AssertionError(f"`{code}` gives {shown!r}")


def is_long(cell: Cell) -> bool:
    return "".join(cell["source"]).startswith(BEGIN)


def start_long_cell(notebook: Notebook, code: str) -> int:
    place = notebook.write_below(code)
    notebook.page.keyboard.press("Shift+Enter")
    begun = lambda state: "begun" in said(state.cells[place])
    notebook.wait_until(begun, LONGEST_CELL, "the long cell to begin", may_fail=True)
    return place
