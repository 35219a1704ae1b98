"""Finds the exercises in a notebook: the answers, wherever they stand, and where each is checked.

An answer is known by what it defines (`fn lengths`), not by its cell: platforms give cells new
names, and students merge, split and copy them. Where that does not tell, the cell's own name and
its tag do. What can only be guessed is for a person to look at.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from grading.handed_in import Cell, cell_of
from grading.rust import defined, mentioned
from kernels.clone import CLONE
from notebooks.exercises import exercises_of

# A line that loads one of the course's crates, by its name or by its place, as the kernel reads it.
LOADS = re.compile(r"^ *:dep +([./][^ ]*/)?(?P<crate>helpers(-mpi)?)(?![\w-]).*$", re.MULTILINE)
FENCED = re.compile(r"^(```|~~~)[^\n]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
# What the notebook of a lesson is called, somewhere in the name of a file.
NUMBER = re.compile(r"(?<!\d)\d\d_")


@dataclass
class Task:
    """An exercise as the course hands it out."""

    title: str
    answer: Cell
    check: Cell
    solution: str
    # What an answer defines.
    names: set[str]


@dataclass
class Lesson:
    """A notebook of exercises of the course, by which others are graded."""

    name: str
    cells: list[Cell]
    tasks: list[Task]

    @property
    def first(self) -> Cell:
        return next(cell for cell in self.cells if cell.kind == "code")


@dataclass
class Step:
    """A cell to run: the reader's own, or (with an exercise) the course's check of it."""

    source: str
    exercise: int | None = None
    # The reader's cell, and the exercises that it is about.
    cell: int = 0
    about: list[int] = field(default_factory=list)
    # Of a text that was run as code: only a person can say whether it was meant.
    is_trial: bool = False


@dataclass
class Plan:
    steps: list[Step]
    # The cells of each exercise that is there.
    answered: dict[int, list[int]]
    # Those exercises that are as the course hands them out.
    untouched: set[int]


def lesson_from(path: Path) -> Lesson:
    """Reads a notebook of the course; raises if nothing can be graded by it."""
    notebook = nbformat.read(path, as_version=4)
    cells = [cell_of(cell, number) for number, cell in enumerate(notebook.cells, 1)]
    tasks = []
    for exercise in exercises_of(notebook, handed_out=False):
        answer, check = cells[exercise.cell], cells[exercise.check]
        # The instructor may have done it here, but not the solution below.
        names = defined(exercise.solution) & defined(answer.source) or defined(exercise.solution)
        tasks.append(Task(exercise.title, answer, check, exercise.solution, names))
    return Lesson(path.stem, cells, tasks)


def lesson_of(cells: list[Cell], file: str, course: dict[str, Lesson]) -> tuple[str | None, str]:
    """The lesson that a notebook belongs to, and why none if there is none."""

    def marks(lesson: Lesson) -> set[str]:
        here = {cell.text for cell in lesson.cells} | {cell.id for cell in lesson.cells if cell.id}
        return here | {name for task in lesson.tasks for name in task.names}

    texts = {cell.text for cell in cells} | {cell.id for cell in cells if cell.id}
    texts |= {name for cell in cells for name in mentioned(cell.source)}
    texts.discard("")
    # What several lessons have (their first cell, say) tells nothing.
    of = {name: marks(lesson) for name, lesson in course.items()}
    shared = {
        name: len(own.difference(*(other for n, other in of.items() if n != name)) & texts)
        for name, own in of.items()
    }
    best = max(shared, key=lambda name: shared[name])
    if shared[best]:
        return best, ""
    possible = [name for name, own in of.items() if own & texts]
    if not possible:
        return None, "it holds no cell of the course's exercises"
    named = [name for name in possible if name[:3] in NUMBER.findall(file)]
    if len(possible) == 1 or len(named) == 1:
        return (named or possible)[0], ""
    return None, "it holds only what several lessons have: " + ", ".join(possible)


def plan(cells: list[Cell], lesson: Lesson) -> Plan:
    """What to run: the reader's cells in their order, with the course's own checks."""
    tasks = lesson.tasks
    code = [c for c in cells if c.kind == "code" and c.text and c.text != lesson.first.text]
    is_check = {
        place: {n for n, task in enumerate(tasks) if is_same(cell, task.check)}
        for place, cell in enumerate(code)
    }
    answers = find_answers(code, tasks, is_check)
    about: dict[int, list[int]] = {}
    due: dict[int, list[int]] = {}
    for number, places in answers.items():
        for place in places:
            about.setdefault(place, []).append(number)
        for place in due_at(places, [p for p, here in is_check.items() if number in here]):
            due.setdefault(place, []).append(number)
    steps = [Step(loading(lesson.first.source))]
    for place, cell in enumerate(code):
        if not is_check[place]:
            source = without_loading(cell.source)
            steps.append(Step(source, cell=cell.number, about=about.get(place, [])))
        steps += [Step(tasks[n].check.source, n) for n in due.get(place, [])]
    # What stands behind the last check cannot change what it finds.
    while len(steps) > 1 and steps[-1].exercise is None:
        steps.pop()
    for number, cell, source in answers_as_text(cells, lesson):
        steps.append(Step(without_loading(source), cell=cell.number, about=[number], is_trial=True))
        steps.append(Step(tasks[number].check.source, number, cell.number, is_trial=True))
    untouched = {n for n, places in answers.items() if is_untouched(code, places, tasks[n])}
    return Plan(steps, {n: [code[p].number for p in at] for n, at in answers.items()}, untouched)


def is_same(cell: Cell, other: Cell) -> bool:
    return bool(cell.id and cell.id == other.id) or cell.text == other.text


def find_answers(
    code: list[Cell], tasks: list[Task], is_check: dict[int, set[int]]
) -> dict[int, list[int]]:
    """The places of the cells that answer each exercise, by its number."""
    found: dict[int, list[int]] = {}
    for number, task in enumerate(tasks):
        places = [p for p, cell in enumerate(code) if defined(cell.source) & task.names]
        # Under another name; its check will say so.
        places = places or [p for p, c in enumerate(code) if c.id and c.id == task.answer.id][:1]
        # In braces, where the next cell cannot see it.
        places = places or [p for p, c in enumerate(code) if mentioned(c.source) & task.names]
        if places:
            found[number] = places
    # Cells with new names, whose answers have new names as well: the order of the tags tells.
    tagged = [p for p, cell in enumerate(code) if "exercise" in cell.tags]
    if len(tagged) == len(tasks):
        for number, place in enumerate(tagged):
            if number not in found and not any(place in places for places in found.values()):
                found[number] = [place]
    return dict(sorted(found.items()))


def due_at(places: list[int], checks: list[int]) -> list[int]:
    """Behind which cells an answer is checked: where the check is, and where it last changes.

    The better one counts: below the check one may mend the answer as well as break it.
    """
    last, check = max(places), max(checks, default=-1)
    if check < min(places):
        return [last]
    return [check, last] if check < last else [check]


def is_untouched(code: list[Cell], places: list[int], task: Task) -> bool:
    return all(code[place].text == task.answer.text for place in places)


def answers_as_text(cells: list[Cell], lesson: Lesson) -> list[tuple[int, Cell, str]]:
    """Cells that are no code but hold an answer as if they were."""
    given = {cell.text for cell in lesson.cells}
    texts = {cell.id for cell in lesson.cells if cell.id and cell.kind != "code"}
    found = []
    for cell in cells:
        if cell.kind == "code" or not cell.text or cell.text in given:
            continue
        if cell.id in texts:
            continue
        for source in codes_in(cell):
            for number, task in enumerate(lesson.tasks):
                if defined(source) & task.names:
                    found.append((number, cell, source))
    return found


def codes_in(cell: Cell) -> list[str]:
    """What may be code in a text: all of it, or what is fenced."""
    if cell.kind != "markdown":
        return [cell.source]
    text = FOLDED.sub("", cell.source)
    fenced = [block[2] for block in FENCED.finditer(text)]
    return [cell.source] if defined(FENCED.sub("", text)) else fenced


def loading(source: str) -> str:
    """The first cell, which finds the crates from wherever the notebook lies."""

    def here(line: re.Match[str]) -> str:
        return f":dep {line['crate']} = {{ path = {json.dumps(str(CLONE / line['crate']))} }}"

    return LOADS.sub(here, source)


def without_loading(source: str) -> str:
    """A cell without lines that would load the crates from somewhere else."""
    return LOADS.sub("", source)
