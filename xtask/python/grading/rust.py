"""What a piece of Rust defines, as far as one can tell without a compiler."""

import re

# Whatever may hold braces or names without meaning them: texts, characters, comments.
NO_CODE = re.compile(
    r"""(?P<raw>b?r(?P<fence>\#*)".*?"(?P=fence))|b?"(?:\\.|[^"\\])*"|'(?:\\[^']*|[^'\\])'"""
    r"""|//[^\n]*|/\*.*?\*/""",
    re.DOTALL,
)
ITEM = re.compile(
    r"^(?P<indent>[ \t]*)(?:pub(?:\([^)]*\))?\s+)?"
    r"(?:(?:async|const|unsafe|extern(?:\s*\"[^\"]*\")?)\s+)*"
    r"(?P<kind>fn|const|static|struct|enum|union|type|trait)\s+(?:mut\s+)?(?P<name>[A-Za-z_]\w*)",
    re.MULTILINE,
)


def bare(source: str) -> str:
    """The code without comments and without what stands in texts; lines stay where they are."""

    def blank(found: re.Match[str]) -> str:
        text = str(found.group())
        lines = "\n" * text.count("\n")
        return lines if text.startswith("/") else '""' + lines

    return NO_CODE.sub(blank, source)


def defined(source: str) -> set[str]:
    """The names of the items that the cell defines for all cells.

    An item at the left margin counts even in braces, which may only be unbalanced.
    """
    return {name for name, is_outside in items(source) if is_outside}


def mentioned(source: str) -> set[str]:
    """The names of all items, also of those inside others."""
    return {name for name, _ in items(source)}


def items(source: str) -> list[tuple[str, bool]]:
    code = bare(source)
    # In one line there may be two; the second is not at the margin.
    code = re.sub(r"([;{}])[ \t]*(?=\S)", r"\1\n ", code)
    found = []
    depth, place = 0, 0
    for item in ITEM.finditer(code):
        for character in code[place : item.start()]:
            depth += {"{": 1, "}": -1}.get(character, 0)
        place = item.start()
        depth = max(depth, 0)
        found.append((item["name"], depth == 0 or not item["indent"]))
    return found
