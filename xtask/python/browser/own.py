"""A student writes a notebook of their own, and runs all of it."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

from .lab import Lab
from .notebook import LONGEST_CELL, Cell, Notebook, kinds, said
from .pictures import check_cell, take_picture

LOAD = ':dep helpers = { path = "../helpers" }\nuse helpers::prelude::*;'
STEPS = 30
# There when the bar has been seen on its way. Half-way it waits for that, however busy the machine is.
SEEN = Path(tempfile.gettempdir(), f"course-bar-{os.getpid()}")
BAR = f"""\
for step in progress(0..{STEPS}) {{
    while step > {STEPS} / 2 && !std::path::Path::new("{SEEN}").exists() {{
        std::thread::sleep(std::time::Duration::from_millis(10));
    }}
    std::thread::sleep(std::time::Duration::from_millis(100));
}}"""
FIGURES = """\
display(&plot::bars("Bars", "s", &[("one", 1.0), ("two", 2.0)])?);
display(&plot::bars("More bars", "s", &[("three", 3.0), ("four", 4.0)])?);"""
NO_NEWLINE = 'print!("no newline");'
QUESTION = 'let name = input("name? ")?;\nprintln!("Hello, {name}");'
FAILING_LINE = 'println!("{}", tasks[3]);'
FAILS = f"let tasks = vec![1, 2, 3];\n{FAILING_LINE}"
TOLD = "panicked: index out of bounds: the len is 3 but the index is 3"
# After the error, and with a variable of before.
AFTER = "name.len()"

CELLS = [LOAD, BAR, FIGURES, NO_NEWLINE, QUESTION, FAILS, AFTER]

BARS = "cell => [...cell.querySelectorAll('progress')].map(bar => bar.value)"


def run_all(lab: Lab, name: str) -> str:
    """Runs all cells of a notebook, answers a question, and meets an error."""
    with own_notebook(lab, name) as notebook:
        lab.choose("Run", "Run All Cells")
        values = watch_bar(lab, notebook, CELLS.index(BAR))
        answer(lab, notebook, CELLS.index(QUESTION))
        cells = wait_for_error(lab, notebook)
        check_outputs(notebook, cells)
        run_the_rest(notebook)
        lab.close(notebook)
    return (
        f"a bar moved {len(values) - 1} times, a question was answered, "
        "and the cell behind an error waited"
    )


@contextlib.contextmanager
def own_notebook(lab: Lab, name: str) -> Iterator[Notebook]:
    """A notebook that is there for a while, opened."""
    file = lab.clone / "notebooks" / f"{name}.ipynb"
    cells = [nbformat.v4.new_code_cell(code) for code in CELLS]
    spec = {"name": "rust", "display_name": "Rust (course)", "language": "rust"}
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
    try:
        nbformat.write(made, file)
        yield lab.notebook(name)
    finally:
        file.unlink(missing_ok=True)
        copy = file.parent / ".ipynb_checkpoints" / f"{name}-checkpoint.ipynb"
        copy.unlink(missing_ok=True)
        SEEN.unlink(missing_ok=True)


def watch_bar(lab: Lab, notebook: Notebook, place: int) -> list[float]:
    """Looks at a bar until it is full; gives the values that it has shown."""
    values: list[float] = []
    is_taken = False
    deadline = time.monotonic() + LONGEST_CELL
    while not values or values[-1] < STEPS:
        bars = notebook.show(place).evaluate(BARS)
        if len(bars) > 1:
            raise AssertionError(f"one loop has {len(bars)} bars")
        if bars and bars[0] not in values:
            values.append(bars[0])
            if 0 < bars[0] < STEPS:
                SEEN.touch()
            if STEPS / 2 <= bars[0] < STEPS and not is_taken:
                lab.page.screenshot(path=lab.pictures / "progress_light.png")
                is_taken = True
        if time.monotonic() > deadline:
            raise AssertionError(f"the bar has shown {values} and is not full")
        notebook.page.wait_for_timeout(50)
    if values != sorted(values) or not any(0 < value < STEPS for value in values):
        raise AssertionError(f"the bar has not moved step by step: {values}")
    label = notebook.show(place).locator("label", has=notebook.page.locator("progress"))
    label.get_by_text("100 %").wait_for()
    return values


def answer(lab: Lab, notebook: Notebook, place: int) -> None:
    """Types an answer into the field that a cell shows."""
    field = notebook.show(place).locator(".jp-Stdin-input")
    field.wait_for(timeout=LONGEST_CELL * 1000)
    asked = notebook.show(place).locator(".jp-Stdin-prompt").inner_text()
    if asked.strip() != "name?":
        raise AssertionError(f"the field asks {asked!r}")
    lab.page.screenshot(path=lab.pictures / "question_light.png")
    field.click()
    lab.page.keyboard.type("Ada")
    lab.page.keyboard.press("Enter")


def wait_for_error(lab: Lab, notebook: Notebook) -> list[Cell]:
    """Waits for the cell that fails; the one behind it must not run."""
    place, after = CELLS.index(FAILS), CELLS.index(AFTER)
    failed = lambda state: state.idle and state.has_run(place)
    notebook.wait_until(failed, LONGEST_CELL, "the cell that fails", may_fail=True)
    # Its star goes when the kernel has said that it is not run.
    prompt = notebook.show(after).locator(".jp-InputPrompt")
    prompt.get_by_text("[ ]:", exact=True).wait_for()
    take_picture(lab, "error", lambda: notebook.show(place))
    cells: list[Cell] = notebook.state().cells
    return cells


def run_the_rest(notebook: Notebook) -> None:
    """The kernel goes on after an error, with the variables of before."""
    place = CELLS.index(AFTER)
    notebook.click(place)
    last = notebook.run_active(may_fail=True).cells[place]
    if said(last) != "3" or last["execution_count"] != len(CELLS):
        raise AssertionError(f"after the error, `{AFTER}` gives {last}")


def check_outputs(notebook: Notebook, cells: list[Cell]) -> None:
    """Each cell shows what it should, and no other."""
    numbers = [cell["execution_count"] for cell in cells]
    if numbers != [*range(1, len(CELLS)), None]:
        raise AssertionError(f"the cells' numbers are {numbers}")
    place = CELLS.index(FIGURES)
    check_cell(notebook.page, notebook.show(place), place, 2)
    expected = {
        LOAD: "",
        NO_NEWLINE: "no newline",
        QUESTION: "name?  Ada\n\nHello, Ada\n",
        FAILS: f"{TOLD}\n  at `{FAILING_LINE}`",
        AFTER: "",
    }
    for code, text in expected.items():
        place = CELLS.index(code)
        if said(cells[place]) != text:
            raise AssertionError(f"cell {place + 1} says {said(cells[place])!r}, not {text!r}")
    place = CELLS.index(FAILS)
    shown = notebook.show(place).locator(".jp-OutputArea-output").inner_text()
    if kinds(cells[place]) != ["error"] or shown.split() != expected[FAILS].split():
        raise AssertionError(f"on the page the error is {shown!r}")
