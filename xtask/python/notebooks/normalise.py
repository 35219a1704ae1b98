"""Bringing a notebook to one form, so that running it again changes outputs only."""

import hashlib
import json

import nbformat
from nbformat import NotebookNode

# The name that a stock evcxr kernel has as well, so that the notebooks open in either.
METADATA = {
    "kernelspec": {"display_name": "Rust", "language": "rust", "name": "rust"},
    "language_info": {
        "codemirror_mode": "rust",
        "file_extension": ".rs",
        "mimetype": "text/rust",
        "name": "rust",
        "pygments_lexer": "rust",
        "version": "",
    },
}

# What an author says about a cell; all else (times, "trusted", "scrolled") comes from tools.
AUTHORED = ("jupyter", "slideshow", "tags")


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Normalises a notebook in place. Doing it twice is the same as doing it once."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    used: set[str] = set()
    count = 0
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        cell.id = unused_id(cell, used)
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in AUTHORED if cell.metadata.get(key)}
        )
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = [normal_output(output, count) for output in merged(cell.outputs)]
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """The text of the file: sorted keys, as JupyterLab writes it."""
    split = nbformat.v4.rwbase.split_lines(nbformat.from_dict(notebook))
    return json.dumps(split, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def unused_id(cell: NotebookNode, used: set[str]) -> str:
    """An id that is derived from the cell's text, so that it changes only with it."""
    text = f"{cell.cell_type}\n{cell.source}".encode()
    digest = hashlib.sha256(text).hexdigest()
    repeat, wanted = 1, digest[:8]
    while wanted in used:
        repeat += 1
        wanted = f"{digest[:8]}-{repeat}"
    used.add(wanted)
    return wanted


def merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Texts of a stream that follow each other are one: where they were cut into messages is chance."""
    kept: list[NotebookNode] = []
    for output in outputs:
        last = kept[-1] if kept else None
        is_stream = output.output_type == "stream"
        if is_stream and last is not None and last.get("name") == output.name:
            last.text += output.text
        else:
            kept.append(nbformat.from_dict(dict(output)) if is_stream else output)
    return kept


def normal_output(output: NotebookNode, count: int) -> NotebookNode:
    if output.output_type == "execute_result":
        output.execution_count = count
    output.pop("transient", None)
    return output
