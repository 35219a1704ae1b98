"""Writes slides of lessons, with their outputs: `cargo xtask slides [names] --out DIR`.

One page for each lesson, which needs no network. A slide begins at a heading, and where the slide
before has a cell of code already. What an author says of a cell (JupyterLab's *Slide Type*) comes
first: `slide` and `subslide` begin one, `-` and `fragment` go on, `skip` and `notes` are left out.
"""

import argparse
import base64
import mimetypes
import re
import sys
from pathlib import Path

from bs4 import BeautifulSoup
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from kernels.clone import CLONE
from notebooks.execute import read
from notebooks.files import choose, failures, replace

HEADINGS = ("# ", "## ")
LEFT_OUT, BEGIN, GO_ON = {"skip", "notes"}, {"slide", "subslide"}, {"-", "fragment"}
STYLE = """
section.slide { min-height: 100vh; box-sizing: border-box; padding: 4vh 6vw; }
section.slide { --jp-content-font-size1: 22px; --jp-code-font-size: 19px; }
section.slide { border-bottom: 1px solid #8884; }
section.slide img, section.slide svg { max-width: 100%; }
.jp-InputPrompt, .jp-OutputPrompt, .jp-Collapser { display: none !important; }
@media print { section.slide { break-after: page; min-height: 0; } }
"""
# Keys that presenters and their devices have.
KEYS = """
const slides = [...document.querySelectorAll("section.slide")];
const box = slide => slide.getBoundingClientRect();
const steps = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
addEventListener("keydown", event => {
  const step = event.key === " " && event.shiftKey ? -1 : steps[event.key];
  if (!step) return;
  event.preventDefault();
  const here = Math.max(0, slides.findLastIndex(slide => box(slide).top < 8));
  // What of the slide is beyond the window, on that side.
  const more = step > 0 ? box(slides[here]).bottom - innerHeight : -box(slides[here]).top;
  if (more > 8) scrollBy(0, step * Math.min(more, 0.8 * innerHeight));
  else slides[here + step]?.scrollIntoView();
});
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="cargo xtask slides", description=__doc__)
    parser.add_argument("names", nargs="*", help="lessons; all if none is named")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write into")
    parser.add_argument("--folder", type=Path, default=CLONE / "notebooks", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    failures(write, choose(options.folder, options.names), options, at_once=1)
    return 0


def write(path: Path, options: argparse.Namespace) -> bool:
    written = options.out / f"{path.stem}.html"
    replace(written, page(read(path), path.parent).encode("utf-8"))
    print(written, flush=True)
    return True


def groups(notebook: NotebookNode) -> list[list[NotebookNode]]:
    """The cells of each slide."""
    slides: list[list[NotebookNode]] = []
    for cell in notebook.cells:
        said = cell.metadata.get("slideshow", {}).get("slide_type", "")
        if said in LEFT_OUT:
            continue
        is_heading = cell.cell_type == "markdown" and cell.source.startswith(HEADINGS)
        is_full = bool(slides) and any(other.cell_type == "code" for other in slides[-1])
        begins = said in BEGIN or (said not in GO_ON and (is_heading or is_full))
        if begins or not slides:
            slides.append([])
        slides[-1].append(cell)
    return slides


def page(notebook: NotebookNode, folder: Path) -> str:
    """The slides of a notebook as one page."""
    slides = groups(notebook)
    notebook.cells = [cell for slide in slides for cell in slide]
    exporter = HTMLExporter(embed_images=True)
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(folder)}})
    tree = BeautifulSoup(html, "html.parser")
    for link in tree.find_all("a", href=re.compile(r"^(?!https?:|#)")):
        # Other notebooks do not lie beside the page.
        link.unwrap()
    for image in tree.find_all("img", src=re.compile(r"^(?!https?:|data:)")):
        file = folder / str(image["src"])
        kind, _ = mimetypes.guess_type(file.name)
        image["src"] = f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    for script in tree.find_all("script"):
        # They would ask the network for what the slides do not need.
        script.decompose()
    shown = list(tree.select("main > .jp-Cell, body > .jp-Cell"))
    if len(shown) != len(notebook.cells):
        raise ValueError(f"{len(notebook.cells)} cells became {len(shown)}")
    for slide in slides:
        cells, shown = shown[: len(slide)], shown[len(slide) :]
        section = tree.new_tag("section", attrs={"class": "slide"})
        cells[0].insert_before(section)
        for cell in cells:
            section.append(cell.extract())
    style, keys = tree.new_tag("style"), tree.new_tag("script")
    style.string, keys.string = STYLE, KEYS
    assert tree.head and tree.body, "a page has both"
    tree.head.append(style)
    tree.body.append(keys)
    return str(tree)


if __name__ == "__main__":
    sys.exit(main())
