"""Wrong answers to exercises, which prove that the checks see through them.

For the notebook `01_multiprocessing.ipynb` they stand in `wrong/01_multiprocessing.md`, so that no
student comes across them. Below the title of an exercise there is a section for each:

    ## 1 · Lengths

    ### bytes in place of characters
    hint: ø counts twice
    more: `word.len()` counts bytes

    ```rust
    fn lengths(pool: &Pool, words: Vec<String>) -> Vec<usize> { … }
    ```

The verdict on it must say *Not yet*, and its hint must contain the words behind `hint:`. Those
behind `more:`, if they are there, must come when the check is run once more.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# Fewer prove little.
FEWEST = 5

EXERCISE = re.compile(r"^## (\d+ · .+)$", re.MULTILINE)
MISTAKE = re.compile(r"^### (.+)$", re.MULTILINE)
HINT = re.compile(r"^hint: (.+)$", re.MULTILINE)
MORE = re.compile(r"^more: (.+)$", re.MULTILINE)
CODE = re.compile(r"^```rust\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Malformed(Exception):
    """Exercises that are not as they must be; the message says why."""


@dataclass
class WrongAnswer:
    """One of them: its mistake, its code, and what the check must say of it, time by time."""

    mistake: str
    code: str
    hints: list[str]


def wrong_answers(path: Path, titles: Sequence[str]) -> dict[str, list[WrongAnswer]]:
    """The wrong answers to each exercise of a notebook, by the titles of the exercises."""
    file = path.parent / "wrong" / f"{path.stem}.md"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Malformed(f"has no wrong answers: {error}") from error
    answers = {}
    for title, section in sections(text, EXERCISE):
        if title not in titles:
            raise Malformed(f"{file.name} has wrong answers to {title!r}, which is no exercise")
        if title in answers:
            raise Malformed(f"{file.name} has two sections {title!r}")
        answers[title] = [answer(mistake, body) for mistake, body in sections(section, MISTAKE)]
    for title in titles:
        count = len(answers.get(title, []))
        if count < FEWEST:
            raise Malformed(f"{title!r} has {count} wrong answers, and {FEWEST} are needed")
    return answers


def sections(text: str, heading: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """The sections of a text: what each heading says, and what stands below it."""
    parts = heading.split(text)
    return zip(parts[1::2], parts[2::2], strict=True)


def answer(mistake: str, body: str) -> WrongAnswer:
    """The wrong answer of a section."""
    codes, hints, more = CODE.findall(body), HINT.findall(body), MORE.findall(body)
    if len(codes) != 1:
        raise Malformed(f"the wrong answer {mistake!r} has {len(codes)} blocks of ```rust, not one")
    if len(hints) != 1:
        raise Malformed(f"the wrong answer {mistake!r} has {len(hints)} lines `hint: …`, not one")
    return WrongAnswer(mistake, codes[0].rstrip("\n"), hints + more)
