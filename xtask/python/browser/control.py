"""A student has two notebooks open, and interrupts a cell that takes too long."""

import exercises

from .notebook import LONGEST_CELL, said
from .pictures import take_picture

# Says that it has begun, since compiling takes a while; then it would sleep for an hour.
LONG = """\
println!("begun");
let pool = Pool::new(2)?;
pool.map(|_| std::thread::sleep(std::time::Duration::from_secs(3600)), 0..2);"""
SQUARES = "let pool = Pool::new(2)?;\npool.map(|x: u64| x * x, [1, 2, 3])"


def two_at_once(lab, busy, other):
    """While a cell of one notebook runs, a cell of another one does."""
    notebook = lab.notebook(busy)
    notebook.load()
    place = start_long_cell(notebook)
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


def interrupt(lab, name):
    """Interrupts a long cell with `I I`; then the next cell runs."""
    notebook = lab.notebook_at_work(name)
    if not any(is_long(cell) for cell in notebook.state().cells):
        lab.notebook(name).load()
        start_long_cell(notebook)
    place = next(i for i, cell in enumerate(notebook.state().cells) if is_long(cell))
    notebook.click(place)
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("i")
    interrupted = lambda state: state.idle and said(state.cells[place]) != "begun\n"
    state = notebook.wait_until(interrupted, LONGEST_CELL, "the interrupt", may_fail=True)
    shown = said(state.cells[place]).replace("begun\n", "").strip()
    table = exercises.read(exercises.FOLDER / "01_multiprocessing.ipynb").cells
    told = "\n".join(cell.source for cell in table)
    if len(shown.splitlines()) != 1 or shown not in told:
        raise AssertionError(f"no table tells what this means:\n{shown}")

    take_picture(lab, "interrupted", lambda: notebook.show(place))
    notebook.remove(place)
    place = notebook.write_below(SQUARES)
    cells = notebook.run_active().cells
    if said(cells[place]) != "[1, 4, 9]":
        raise AssertionError(f"after the interrupt a cell gives {said(cells[place])!r}")
    return f"“{shown}”; the next cell gave [1, 4, 9]"


def is_long(cell):
    return "".join(cell["source"]).startswith(LONG.splitlines()[0])


def start_long_cell(notebook):
    place = notebook.write_below(LONG)
    notebook.page.keyboard.press("Shift+Enter")
    begun = lambda state: "begun" in said(state.cells[place])
    notebook.wait_until(begun, LONGEST_CELL, "the long cell to begin")
    return place
