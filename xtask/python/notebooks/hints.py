"""Hints of checks that say nothing more to a reader who fails at the same place again.

A hint is a question alone, or a pair of a question and the line that is told the second time:

    .hint(("are the numbers in order?", "`times.sort_by(f64::total_cmp);` comes first"))

Looked at is what is written in the call itself. Hints that are made before it are not found.
"""

import re
from collections.abc import Iterator

CALL = re.compile(r"\.(?:hint|when|when_panic)\(")
# A text, a sign in quotes, or any other sign; comments are gone by then.
PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'|.', re.DOTALL)
COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*', re.DOTALL)
TEXT = re.compile(r'(?:format!\(\s*)?"((?:[^"\\]|\\.)*)"', re.DOTALL)


def alone(code: str) -> list[str]:
    """The questions in a check's code behind which there is no line."""
    code = COMMENT.sub(lambda found: found[1] or "", code)
    hints = (arguments(code[call.end() :])[-1] for call in CALL.finditer(code))
    texts = [TEXT.match(hint) for hint in hints]
    return [" ".join(re.sub(r"\\\s+", "", text[1]).split()) for text in texts if text and text[1]]


def arguments(code: str) -> list[str]:
    """The arguments of a call, whose code begins behind its parenthesis."""
    return list(split(code)) or [""]


def split(code: str) -> Iterator[str]:
    argument, depth = "", 0
    for piece in PIECE.findall(code):
        depth += (piece in "([{") - (piece in ")]}")
        if depth < 0:
            break
        if piece == "," and depth == 0:
            yield argument.strip()
            argument = ""
        else:
            argument += piece
    if argument.strip():
        yield argument.strip()
