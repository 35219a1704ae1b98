"""Whether the pictures of a notebook are shown; and pictures of the page."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page

from .lab import Lab
from .notebook import Cell, Notebook

# The images of a cell: those of its outputs, and the drawings of a text.
IMAGES = """cell => [...cell.querySelectorAll('.jp-OutputArea-output img, .jp-MarkdownOutput img')]
    .map(image => ({ alt: image.alt, width: image.complete ? image.naturalWidth : 0 }))"""

# A drawing in a text; `vec![1, 2]` is none.
DRAWING = re.compile(r"(?<!\w)!\[")

# JupyterLab calls an image so that has no description of its own.
NO_ALT = {"", "Image"}


def check_pictures(notebook: Notebook, cells: list[Cell]) -> int:
    """Every picture of the notebook is on the page, drawn, and described; gives their number."""
    number = 0
    for place, cell in enumerate(cells):
        expected = pictures_of(cell)
        if expected:
            check_cell(notebook.page, notebook.show(place), place, expected)
            number += expected
    if not number:
        raise AssertionError(f"there are no pictures in {notebook.path}")
    return number


def pictures_of(cell: Cell) -> int:
    """How many pictures a cell has."""
    htmls = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
    in_outputs = sum("".join(html).count("<img") for html in htmls)
    is_text = cell["cell_type"] == "markdown"
    return in_outputs + (len(DRAWING.findall("".join(cell["source"]))) if is_text else 0)


def check_cell(page: Page, cell: Locator, place: int, expected: int) -> None:
    for _ in range(600):
        images = cell.evaluate(IMAGES)
        if len(images) == expected and all(image["width"] for image in images):
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError(f"cell {place + 1} has {expected} pictures; on the page: {images}")
    if any(image["alt"].strip() in NO_ALT for image in images):
        raise AssertionError(f"cell {place + 1} has a picture without a description: {images}")


def take_picture(lab: Lab, name: str, prepare: Callable[[], object]) -> None:
    """Takes a picture of what is on the screen, on a dark page and on a light one.

    `prepare` brings it there each time: a notebook scrolls when the theme changes.
    """
    for theme in ["dark", "light"]:
        lab.use_theme(theme)
        prepare()
        lab.page.screenshot(path=lab.pictures / f"{name}_{theme}.png")
