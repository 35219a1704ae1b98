"""What the lessons promise their readers, told from the files alone: how long a lesson and its
cells are, and that each piece of Rust is explained where it is first used.

    python xtask/python notebooks.lessons [names]    names what a cell uses and no text before it explains

A piece of Rust (a method, a macro, a type, a sign) counts as explained if it stands as code in an
item of a list (`- …`), in a text before the cell or in the one right behind it, in this lesson or
in one before it. For what the course's own crates bring, any sentence will do. A cell behind the
words of `NO_NEED` is not looked at; a lesson may have one such cell.
"""

import functools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from nbformat import NotebookNode

from kernels.clone import CLONE
from notebooks.execute import read
from notebooks.exercises import all_solutions, exercises_of
from notebooks.files import report

FOLDER = CLONE / "notebooks"
# Beside the lessons, to look things up: each of its cells is explained by the text above it.
PHRASE_BOOK = "00_rust_for_python_readers"

MOST_CELLS = 45
MOST_LINES = 25
NO_NEED = "You need not follow each line"

KEYWORDS = (
    "let mut fn for in while loop match if else return break continue const static struct enum "
    "impl use type move as ref where dyn unsafe async await self"
).split()
# Signs that are no words: name, and what finds them in code whose strings and comments are gone.
SIGNS = {
    "?": r"[\w\)\]]\?",
    "&": r"(?<!&)&(?!&|mut\b)(?=[\w\[\(*])",
    "&mut": r"&mut\b",
    "*x": r"(?:^|[(=,{;|!<>]|=>|\+=|return|if|\bin)\s*\*(?=[a-z])",
    "|x|": r"(?:[(,=]|move|=>|return|^)\s*\|(?!\|)[^|]*\|",
    "||": r"(?:[(,=]|move|^)\s*\|\|(?=\s*(?:[\w({!]|->|…|$))",
    "|&x|": r"\|\(?&\(?[\w(]",
    "..": r"(?<![.\w])(?:\d[\d_]*|[\w.()\[\]*]+)\.\.(?!=)|\.\.(?=[\w(])",
    "..=": r"\.\.=",
    "[..n]": r"\[[\w +*/.()-]*\.\.=?[\w +*/.()-]*\]",
    "=>": r"=>",
    "->": r"->",
    "::<>": r"::<",
    "<R>": r"fn \w+<[A-Z]\w*",
    "<const N>": r"<const\b",
    "[x; n]": r"\[[^\[\];]+; ?[\w() +*/.]+\]",
    "let (a, b)": r"(?:let|for|for &) ?&?(?:mut )?\(",
    "let [a, b]": r"let \[",
    ".0": r"(?:\b[A-Za-z_]\w*|\))\.\d\b",
    "1u64": r"\b\d[\d_]*_?[uif](?:8|16|32|64|size)\b",
    "if as a value": r"(?:=|\(|,)\s*if\b|\{\s*if [^{}]*\{[^{};]*\} else",
    "{x:?}": r"\{\w*:\??[\w.>\-$]*\?\}",
    "{x:7.2}": r"\{\w*:[^?}]*\}",
    "#[…]": r"#!?\[",
    "'static": r"'[a-z]+\b(?!')",
}
# Words that say the same to a reader of Python, or that every cell begins with.
KNOWN = set(
    "if else for in while return break continue use println! time! "
    "std::prelude helpers::prelude self".split()
)

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
ITEM = re.compile(r"^[ ]*- .*?(?=^[ ]*- |\n\n|\Z)", re.MULTILINE | re.DOTALL)
STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
METHOD = re.compile(r"\.\s*([a-z]\w*)\s*(?:::<[^()]*>)?\(")
BARE_METHOD = re.compile(r"^\.([a-z]\w*)$")
MACRO = re.compile(r"\b([a-z]\w*)!(?=[\s(\[{]|$)")
ATTRIBUTE = re.compile(r"#!?\[(\w+)")
PATH = re.compile(r"\b\w+(?:::(?:<[^<>]*(?:<[^<>]*>)?[^<>]*>::)?\w+)+")
TYPE = re.compile(r"\b([A-Z]\w*[a-z]\w*|[uif](?:8|16|32|64|size)|char|bool|str|String)\b")
NUMBER_TYPES = re.compile(r"[ui](?:8|16|32|64|size)|f32|f64")
DEFINED = re.compile(
    r"\b(?:fn|struct|enum|type|const|static|let|let mut)\s+(\w+)|\b(\w+)\s*=\s*(?:move )?\|"
)


T = TypeVar("T")


def lessons(folder: Path = FOLDER) -> list[Path]:
    """The paths of the lessons, in the order in which one reads them."""
    return [path for path in sorted(folder.glob("*.ipynb")) if path.stem != PHRASE_BOOK]


def bare(code: str) -> str:
    """Code without its comments, and its strings without what is not a place for a value."""
    code = re.sub(r"//.*", "", code)

    def values(text: re.Match[str]) -> str:
        return '"' + " ".join(re.findall(r"(?<!\{)\{[^{}]*\}(?!\})", text.group())) + '"'

    return re.sub(r"'(?:\\.|[^'\\\n])'", "'c'", STRING.sub(values, code))


def pieces(code: str) -> set[str]:
    """The pieces of Rust in some code, each by a name."""
    code = bare(code)
    plain = STRING.sub('""', code)
    without_use = re.sub(r"^\s*use [^;]*;|^:dep.*", "", plain, flags=re.MULTILINE)
    found = {f".{name}()" for name in METHOD.findall(plain) + BARE_METHOD.findall(plain.strip())}
    found |= {f"{name}!" for name in MACRO.findall(plain)}
    found |= {f"#[{name}]" for name in ATTRIBUTE.findall(plain)}
    found |= {word for word in KEYWORDS if re.search(rf"\b{word}\b", plain)}
    for path in PATH.findall(without_use):
        found.add("::".join(re.findall(r"\w+", re.sub(r"<.*>", "", path))[-2:]))
    for name in TYPE.findall(without_use):
        found.add("number types" if NUMBER_TYPES.fullmatch(name) else name)
    for name, sign in SIGNS.items():
        where = code if name.startswith("{") else plain
        if re.search(sign, where, re.MULTILINE):
            found.add(name)
    return found


def explained(text: str) -> tuple[set[str], set[str]]:
    """What the items of the lists in a text explain, and what any of its sentences names."""
    items = ITEM.findall(FENCE.sub("", text))
    return set[str]().union(*map(named, items)), named(text)


def named(text: str) -> set[str]:
    """What the sentences of a text name as code, but for those of its headings and tables."""
    lines = FENCE.sub("", text).splitlines()
    return spans("\n".join(line for line in lines if not line.startswith(("|", "#"))))


def spans(text: str) -> set[str]:
    """What stands as code in a text, but for its blocks."""
    found: set[str] = set()
    for _, span in SPAN.findall(FENCE.sub("", text)):
        found |= pieces_of_span(span)
    return found


def pieces_of_span(span: str) -> set[str]:
    span = span.strip()
    found = pieces(span)
    if span in SIGNS:
        found.add(span)
    if re.fullmatch(r"[\w:]+", span):
        found |= {f".{span}()", f"{span}!", span}
        last = span.split("::")[-2:]
        found.add("::".join(last))
    return found


@functools.cache
def own_names() -> frozenset[str]:
    """What the course's crates bring."""
    names: set[str] = set()
    for crate in ["helpers", "helpers-mpi"]:
        for path in (CLONE / crate / "src").rglob("*.rs"):
            text = path.read_text(encoding="utf-8")
            names |= set(re.findall(r"pub (?:fn|struct|enum|trait|type|mod) (\w+)", text))
            names |= set(re.findall(r"macro_rules! (\w+)", text))
    return frozenset(names)


def is_own(piece: str) -> bool:
    words = re.findall(r"\w+", piece)
    return bool(words) and (words[-1] in own_names() or words[0] in own_names())


def unexplained(
    notebooks: Iterable[tuple[T, Sequence[NotebookNode]]],
) -> Iterator[tuple[T, list[tuple[int, list[str]]]]]:
    """For each notebook, in this order: its name, and `(cell, pieces)` for each cell that uses
    what nobody explained."""
    items: set[str] = set()
    in_sentences: set[str] = set()
    defined: set[str] = set()
    for name, cells in notebooks:
        problems: list[tuple[int, list[str]]] = []
        before = ""
        for place, cell in enumerate(cells):
            if cell.cell_type == "markdown":
                before = cell.source
                in_items, in_prose = explained(cell.source)
                items |= in_items
                in_sentences |= in_prose
                continue
            text, before = " ".join(before.split()), ""
            if not cell.source.strip() or NO_NEED in text:
                continue
            here = set(items), set(in_sentences)
            if place + 1 < len(cells) and cells[place + 1].cell_type == "markdown":
                behind = explained(cells[place + 1].source)
                here = here[0] | behind[0], here[1] | behind[1]
            for one, other in DEFINED.findall(bare(cell.source)):
                defined.add(one or other)
            new = {
                piece
                for piece in pieces(cell.source) - KNOWN - here[0]
                if not (is_own(piece) and piece in here[1])
                and not set(re.findall(r"\w+", piece)) & defined
            }
            if new:
                problems.append((place, sorted(new)))
        yield name, problems


def unexplained_in_exercises(path: Path) -> Iterator[tuple[str, list[str]]]:
    """For each exercise of a notebook: its title, and the pieces that nobody explained, of those that stand in its
    cell or that its solution uses.

    Explained is what the lessons up to that of the exercises explain, and what the phrase book shows or names. Of the
    exercise's own texts, and of the words about its solution, all count.
    """
    known = set(KNOWN)
    for cell in read(path.parents[1] / f"{PHRASE_BOOK}.ipynb").cells:
        known |= named(cell.source) if cell.cell_type == "markdown" else pieces(cell.source)
    for lesson in lessons(path.parents[1]):
        if lesson.stem <= path.stem:
            for cell in read(lesson).cells:
                if cell.cell_type == "markdown":
                    known |= explained(cell.source)[0]
    notebook = read(path)
    bodies = {found["title"]: found["body"] for found in all_solutions(notebook)}
    for exercise in exercises_of(notebook):
        above = notebook.cells[: exercise.cell]
        texts = [cell.source for cell in above if cell.cell_type == "markdown"]
        codes = [cell.source for cell in above if cell.cell_type == "code"]
        codes += [notebook.cells[exercise.cell].source, exercise.solution]
        # With the tables, in which an exercise says what Python's words are in Rust.
        here = known.union(*(spans(text) for text in [*texts, bodies[exercise.title]]))
        defined = {one or other for one, other in DEFINED.findall(bare("\n".join(codes)))}
        used = pieces("\n".join(codes[-2:])) - here
        new = {piece for piece in used if not set(re.findall(r"\w+", piece)) & defined}
        yield exercise.title, sorted(new)


def too_long(cells: Sequence[NotebookNode]) -> Iterator[str]:
    """What is longer than a lesson or a cell may be."""
    if len(cells) > MOST_CELLS:
        yield f"has {len(cells)} cells; a lesson has at most {MOST_CELLS}"
    for place, cell in enumerate(cells):
        lines = len(cell.source.splitlines())
        if cell.cell_type == "code" and lines > MOST_LINES:
            yield f"cell {place + 1} has {lines} lines; a cell of code has at most {MOST_LINES}"


def main(names: Sequence[str]) -> int:
    notebooks = [(path, read(path).cells) for path in lessons()]
    well = True
    for path, problems in unexplained(notebooks):
        if names and path.stem not in names:
            continue
        for place, new in problems:
            well = report(path, f"cell {place + 1} uses {'  '.join(new)}")
        for problem in too_long(dict(notebooks)[path]):
            well = report(path, problem)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
