"""Cells that try several answers to an exercise, since most of the time of a cell goes into compiling it.

A check calls the function of its exercise by name. Where the type of that function can be written down, the cell
defines a function of this name that calls one of the answers, and the check is compiled once. Which answer
is meant stands in the environment, as processes that the check starts inherit that. Elsewhere each answer
stands in a block of its own, with a copy of the check.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from notebooks.wrong_answers import WrongAnswer

# Says which answer is meant.
WHICH = "COURSE_ANSWER"
# How the cell prints each verdict, by the answer's place among them.
PRINTS = 'println!("\\n«verdict {place}»\\n{{verdict}}\\n«end»");'
PRINTED = re.compile(r"^«verdict (\d+)»\n(.*?)\n«end»$", re.DOTALL | re.MULTILINE)

ITEM = re.compile(r"^(?:fn|const|static|struct|enum|trait|type|impl|macro_rules!) ?", re.MULTILINE)
FUNCTION = re.compile(r"^fn (\w+)\(", re.MULTILINE)


@dataclass
class Signature:
    """The function of an exercise."""

    name: str
    # Of its parameters.
    types: list[str]
    returns: str

    @property
    def pointer(self) -> str:
        return f"fn({', '.join(self.types)}) -> {self.returns}"


def signature(given: str) -> Signature | None:
    """That of the only item in an exercise's cell; nothing if there is more, or if it has no type to write down."""
    items, found = ITEM.findall(given), FUNCTION.search(given)
    if len(items) != 1 or found is None:
        return None
    *parameters, rest = split(given[found.end() :])
    if any("impl " in parameter for parameter in parameters):
        return None
    types = [parameter.split(":", 1)[1].strip() for parameter in parameters if parameter.strip()]
    returns = rest.partition(" {\n")[0].removeprefix(" -> ")
    return Signature(found[1], types, returns or "()")


def split(text: str) -> list[str]:
    """The parameters one by one up to the parenthesis that closes them, and what stands behind it."""
    parts, depth = [""], 0
    for place, letter in enumerate(text):
        if letter == ")" and depth == 0:
            return [*parts, text[place + 1 :]]
        if letter in "([{<":
            depth += 1
        elif letter in ")]}" or (letter == ">" and text[place - 1] != "-"):
            depth -= 1
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [*parts, ""]


def together(answers: Sequence[WrongAnswer], given: str, check: str) -> str:
    """A cell with these answers, each followed by its check, which is run for each of its hints."""
    common = signature(given) if len(answers) > 1 else None
    return in_turns(answers, common, check) if common else one_by_one(answers, check)


def in_turns(answers: Sequence[WrongAnswer], common: Signature, check: str) -> str:
    """One function that calls the answer that is meant, and one check."""
    names = [f"p{place}" for place in range(len(common.types))]
    parameters = ", ".join(map("{}: {}".format, names, common.types))
    blocks = "".join(f"{{\n{answer.code}\n{common.name}\n}},\n" for answer in answers)
    turns = ", ".join(f"({place}, {len(answer.hints)})" for place, answer in enumerate(answers))
    prints = PRINTS.format(place="{place}")
    return (
        f"fn {common.name}({parameters}) -> {common.returns} {{\n"
        f"let answers: [{common.pointer}; {len(answers)}] = [\n{blocks}];\n"
        f'let which: usize = std::env::var("{WHICH}").unwrap().parse().unwrap();\n'
        f"answers[which]({', '.join(names)})\n}}\n\n"
        f"for (place, times) in [{turns}] {{\n"
        "// SAFETY: no other thread of this process reads or writes variables now.\n"
        f'unsafe {{ std::env::set_var("{WHICH}", place.to_string()) }};\n'
        f"for _ in 0..times {{\nlet verdict = {{\n{check}\n}};\n{prints}\n}}\n}}"
    )


def one_by_one(answers: Sequence[WrongAnswer], check: str) -> str:
    """Answer and check, in a block of their own if there are several."""
    blocks = []
    for place, answer in enumerate(answers):
        prints, times = PRINTS.format(place=place), len(answer.hints)
        checks = f"for _ in 0..{times} {{\nlet verdict = {{\n{check}\n}};\n{prints}\n}}"
        blocks.append(f"{answer.code}\n\n{checks}")
    return blocks[0] if len(blocks) == 1 else "\n".join(f"{{\n{block}\n}}" for block in blocks)
