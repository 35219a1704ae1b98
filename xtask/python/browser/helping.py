"""A student asks what there is, and what it does."""

from .lab import Lab
from .notebook import said
from .pictures import take_picture

MADE = "let pool = Pool::new(2)?;\n"
# What the list should hold, and what the text should say.
METHODS = ["map", "starmap", "imap", "imap_unordered", "submit", "chunk_size"]
DOCUMENTED = {
    f"{MADE}pool.map(": "Calls f on each item and gives the results in the order of the items",
    "par_sum": "Sums a slice or a 1-D array",
}
# The first time, the kernel reads all the crates. In milliseconds.
LONGEST = 120_000


def complete(lab: Lab, name: str) -> str:
    """Types `pool.` and presses Tab: a list comes, methods first. Then the kernel still runs cells."""
    notebook = lab.notebook(name)
    notebook.load()
    place = notebook.write_below()
    completer = lab.page.locator(".jp-Completer:visible")

    def ask() -> None:
        notebook.write_over(place, f"{MADE}pool.")
        lab.page.keyboard.press("Tab")
        completer.wait_for(timeout=LONGEST)

    take_picture(lab, "completion", ask)
    found = completer.locator(".jp-Completer-match").all_inner_texts()
    types = completer.locator(".jp-Completer-typeExtended").all_inner_texts()
    names = {text.partition("(")[0].strip() for text in found}
    missing = [method for method in METHODS if method not in names]
    if missing:
        raise AssertionError(f"{missing} is not in the list: {found}")
    if len(types) != len(found) or types != sorted(types, key=lambda kind: kind != "function"):
        raise AssertionError(f"methods do not come first: {list(zip(found, types))}")
    lab.page.keyboard.press("Escape")
    notebook.write_over(place, f"{MADE}pool.map(|x: u64| x * x, [1, 2, 3])")
    shown = said(notebook.run_active().cells[place])
    if shown != "[1, 4, 9]":
        raise AssertionError(f"after Tab a cell gives {shown!r}")
    return f"{len(found)} names, {', '.join(METHODS)} among them; then the cell ran"


def document(lab: Lab, name: str) -> str:
    """Presses Shift+Tab behind a name: its documentation comes."""
    notebook = lab.notebook(name)
    notebook.load()
    place = notebook.write_below()
    tooltip = lab.page.locator(".jp-Tooltip")

    def ask(code: str) -> None:
        notebook.write_over(place, code)
        tooltip.wait_for(state="detached")
        lab.page.keyboard.press("Shift+Tab")
        tooltip.wait_for(timeout=LONGEST)

    for code, words in DOCUMENTED.items():
        ask(code)
        shown = " ".join(tooltip.inner_text().split())
        if words not in shown:
            raise AssertionError(f"of {code} the documentation says: {shown}")
    take_picture(lab, "documentation", lambda: ask(f"{MADE}pool.map("))
    return "the documentation of Pool::map and of par_sum is shown"
