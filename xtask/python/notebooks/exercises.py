"""The exercises: checks that each is unsolved as handed out and right once solved, and solves them.

    python xtask/python notebooks.exercises [names]

runs the notebooks, as `cargo xtask test exercises` does, or of `03_cpu_bound:2` the second exercise only; `--solve` writes them with the solutions
filled in, and `--tidy` clears their outputs and writes them in the course's form.

An exercise is a code cell tagged `exercise`. Before it stands a text that begins with its title
(`## 2 · Who is done when?`), and behind it its check, a code cell tagged `check`. Its solution is in
a text at the end, under a `<summary>` with the same title. That is the only place for it.

Wrong answers stand in a file of their own, out of the students' way: see `wrong_answers.py`. Each
must fail its check, with a hint about its own mistake.
"""

import argparse
import copy
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from nbformat import NotebookNode, v4

from kernels.clone import CLONE
from notebooks import executed, hints
from notebooks.execute import execute, read
from notebooks.files import choose, failures, put, replace, report, take
from notebooks.normalise import normalise, to_text
from notebooks.trials import PRINTED, signature, together
from notebooks.wrong_answers import Malformed, WrongAnswer, wrong_answers

FOLDER = CLONE / "notebooks/exercises"
SOLVED = "solved"
# What a verdict of the helper crate begins with.
RIGHT, NOT_YET = "Right.", "Not yet."
# So many wrong answers are tried in one cell, where each has a check of its own. Else all of them are.
AT_ONCE = 8
# A check that reads the code of its cell would find the answers of others there.
READS_CODE = "include_str!"

TITLE = re.compile(r"^## (\d+ · .+)$", re.MULTILINE)
NEARLY_TITLE = re.compile(r"^#*[ \t]*(\d+)[ \t]*[^\w\s`'\"]*[ \t]*(.+?)[ \t]*$")
SOLUTION = re.compile(
    r"<details>\n<summary>(?P<title>[^\n]+)</summary>\n(?P<body>.*?)</details>", re.DOTALL
)
CODE = re.compile(r"^```rust\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TIDY = "cargo xtask solutions --tidy"
LOADS_THE_CRATE = 'path = "../../helpers'


@dataclass
class Exercise:
    """Where an exercise is in its notebook, and its solution."""

    title: str
    cell: int
    check: int
    solution: str

    @property
    def number(self) -> str:
        return self.title.split(" ")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    paths = choose(options.folder, options.names)
    work = solve if options.solve else tidy if options.tidy else prove
    # The form of all is looked at in a second, before any kernel starts.
    failed = failures(look, paths, options, at_once=1) if work is prove else []
    failed = failed or failures(work, paths, options, at_once=2)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cargo xtask solutions", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "names", nargs="*", help="notebooks, or notebook:number for one exercise; all if none is named"
    )
    parser.add_argument("--solve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tidy", action="store_true", help="put the notebooks in form")
    parser.add_argument("--timeout", type=int, default=300, help="seconds that a cell may take")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=argparse.SUPPRESS)
    parser.add_argument("--known", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--text-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    parts = [name.partition(":") for name in options.names]
    options.names = list(dict.fromkeys(name for name, _, _ in parts))
    # The exercises that are meant, where not all of a notebook are.
    options.only = {}
    for name, colon, number in parts:
        if colon:
            options.only.setdefault(Path(name).stem, set()).add(number)
    if options.only and (options.solve or options.tidy):
        parser.error("one exercise can only be proved; --solve and --tidy take whole notebooks")
    return options


def exercises_of(notebook: NotebookNode, handed_out: bool = True) -> list[Exercise]:
    """The exercises of a notebook; raises `Malformed` if it is not as it must be.

    In one that is not as handed out, somebody may have done them.
    """
    solutions = solutions_of(notebook)
    exercises: list[Exercise] = []
    title, heading = None, ""
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            titles = TITLE.findall(cell.source)
            title = titles[0] if titles else title
            heading = next((l for l in cell.source.splitlines() if l.startswith("#")), heading)
        elif "exercise" in tags(cell):
            if title is None:
                raise Malformed(
                    f"cell {place + 1} is an exercise without a title `## 1 · …`{mended(heading)}"
                )
            if title not in solutions:
                near = [other for other in solutions if is_nearly(other, title)]
                write = f"; in place of <summary>{near[0]}</summary> write {title}" if near else ""
                write = write or f"; write it at the end, under <summary>{title}</summary>, as the others"
                raise Malformed(f"exercise {title!r} has no solution{write}")
            check = notebook.cells[place + 1] if place + 1 < len(notebook.cells) else None
            if check is None or "check" not in tags(check) or "check!(" not in check.source:
                raise Malformed(
                    f"there is no check behind exercise {title!r}: a code cell with the tag `check`, and "
                    "a `check!(…)` in it"
                )
            if handed_out and "TODO" not in cell.source:
                raise Malformed(f"exercise {title!r} does not say where to write (TODO)")
            if handed_out and (questions := hints.alone(check.source)):
                raise Malformed(
                    f"who fails exercise {title!r} again is told no more than {questions[0]!r}; make that "
                    'hint a pair, ("a question?", "the line that is missing")'
                )
            exercises.append(Exercise(title, place, place + 1, solutions.pop(title)))
            title = None
    if solutions:
        raise Malformed(
            f"there is no exercise {next(iter(solutions))!r}, only its solution: its title must be that of a "
            "text before a code cell with the tag `exercise`"
        )
    if not exercises:
        raise Malformed("has no exercises")
    checks = sum("check" in tags(cell) for cell in notebook.cells)
    if checks != len(exercises):
        raise Malformed(f"has {checks} checks for {len(exercises)} exercises")
    return exercises


def mended(heading: str) -> str:
    """The heading as it should be written, if one can guess."""
    found = NEARLY_TITLE.match(heading)
    return f"; in place of `{heading}` write `## {found[1]} · {found[2]}`" if found else ""


def is_nearly(one: str, other: str) -> bool:
    """Whether two titles differ by their signs or their number at most."""
    plain = [re.sub(r"^\W*\d*\W*", "", title).casefold() for title in (one, other)]
    return plain[0] == plain[1]


def all_solutions(notebook: NotebookNode) -> list[re.Match[str]]:
    """The solutions with all that stands in them: matches of `SOLUTION`."""
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [solution for text in texts for solution in SOLUTION.finditer(text)]


def solutions_of(notebook: NotebookNode) -> dict[str, str]:
    """The code of each solution, by its title."""
    solutions = {}
    for solution in all_solutions(notebook):
        title, code = solution["title"], CODE.findall(solution["body"])
        if len(code) != 1:
            raise Malformed(f"solution {title!r} has {len(code)} blocks of ```rust, not one")
        if title in solutions:
            raise Malformed(f"there are two solutions {title!r}")
        solutions[title] = code[0].rstrip("\n")
    return solutions


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def readable(path: Path) -> tuple[bytes, NotebookNode]:
    """As `take`, but raises `Malformed`."""
    try:
        return take(path)
    except Exception as error:  # nbformat raises many kinds; all mean the same here
        raise Malformed(f"cannot be read: {error}") from error


def load(path: Path) -> tuple[NotebookNode, list[Exercise]]:
    """A notebook as handed out and its exercises; raises `Malformed`."""
    content, notebook = readable(path)
    if any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells):
        raise Malformed(f"has outputs; run: {TIDY}")
    if content.decode("utf-8") != tidied(copy.deepcopy(notebook)):
        raise Malformed(f"is not in the form of the course; run: {TIDY}")
    return notebook, exercises_of(notebook)


def tidied(notebook: NotebookNode) -> str:
    """The text of the notebook without outputs and in the course's form, into which it is brought.

    The code of checks is folded: it is longer than all else, and nobody need read it.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "check" in tags(cell):
            cell.metadata["jupyter"] = {"source_hidden": True}
    return to_text(normalise(notebook))


def look(path: Path, _options: argparse.Namespace) -> bool:
    """Looks at the form of a notebook only; says what is wrong with it."""
    try:
        _, exercises = load(path)
        wrong_answers(path, [exercise.title for exercise in exercises])
    except Malformed as error:
        return report(path, str(error))
    return True


@dataclass
class Trial:
    """A cell behind the notebook that tries answers to one exercise out."""

    exercise: Exercise
    code: str
    # The wrong answers that it tries out, or none, if it has the solution or checks it.
    wrong: list[WrongAnswer] = field(default_factory=list)
    checks_solution: bool = False

    @property
    def place(self) -> str:
        if not self.wrong:
            return f"the solution of {self.exercise.title!r}"
        return self.place_of(self.wrong[0])

    def place_of(self, answer: WrongAnswer) -> str:
        return f"the wrong answer {answer.mistake!r} to {self.exercise.title!r}"

    def faults(self, cell: NotebookNode) -> list[str]:
        """What is wrong with the verdicts that the cell shows, having run."""
        if self.checks_solution:
            verdict = result_of(cell)
            return [] if verdict.startswith(RIGHT) else [f"{self.place} gives: {verdict}"]
        printed = PRINTED.findall(stdout_of(cell))
        faults = []
        for place, answer in enumerate(self.wrong):
            verdicts = [verdict for answered, verdict in printed if answered == str(place)]
            for hint, verdict in zip_longest(answer.hints, verdicts, fillvalue=""):
                if not verdict.startswith(NOT_YET):
                    faults.append(f"{self.place_of(answer)} gives: {verdict}")
                elif hint not in hints_of(verdict):
                    faults.append(f"{self.place_of(answer)}: no word of {hint!r} in: {verdict}")
        return faults


def prove(
    path: Path,
    options: argparse.Namespace,
    report: Callable[[Path, str], bool] = report,
    at_once: int = AT_ONCE,
) -> bool:
    """Runs a notebook as handed out, then all wrong answers and each solution; says how it went."""
    started = time.monotonic()
    print(f"{path.stem} …\n", end="", flush=True)
    try:
        notebook, exercises = load(path)
        wrong = wrong_answers(path, [exercise.title for exercise in exercises])
    except Malformed as error:
        return report(path, str(error))
    wanted = options.only.get(path.stem)
    if wanted is not None:
        numbers = {exercise.number for exercise in exercises}
        if unknown := wanted - numbers:
            there_are = ", ".join(sorted(numbers))
            return report(path, f"has no exercise {min(unknown)!r}; there are {there_are}")
        notebook, exercises = only_these(notebook, exercises, wanted)
    # What counts as having run is a whole notebook.
    known = options.known if wanted is None else None
    # The solutions and the wrong answers decide as well.
    others = repr(([exercise.solution for exercise in exercises], wrong))
    ran = executed.known(known, path, notebook, others, options.text_only)
    if ran:
        print(f"{path.stem}: ok, its exercises have run {ran}", flush=True)
        return True
    as_handed_out = copy.deepcopy(notebook)
    handed_out = len(notebook.cells)
    trials = trials_of(notebook, exercises, wrong, at_once)
    notebook.cells += [v4.new_code_cell(trial.code) for trial in trials]
    run = execute(notebook, path.parent, options.timeout)
    if run.problem:
        problem, place = run.problem, f"cell {run.problem.cell}"
        if problem.cell > handed_out:
            trial = trials[problem.cell - 1 - handed_out]
            if len(trial.wrong) > 1:
                # One by one, they tell which of them it is.
                return prove(path, options, report, at_once=1)
            place = trial.place
        return report(path, f"{place} (`{problem.first_line}`): {problem.message}")
    faults = [
        f"{exercise.title!r} as handed out gives: {verdict}"
        for exercise in exercises
        if not (verdict := result_of(notebook.cells[exercise.check])).startswith(NOT_YET)
    ]
    for cell, trial in zip(notebook.cells[handed_out:], trials, strict=True):
        faults += trial.faults(cell)
    if faults:
        return report(path, "\n".join(faults))
    executed.remember(known, path, as_handed_out, "by themselves", others)
    seconds = time.monotonic() - started
    answers = sum(len(wrong[exercise.title]) for exercise in exercises)
    print(
        f"{path.stem}: ok, {len(exercises)} exercises, {answers} wrong answers in {seconds:.1f} s",
        flush=True,
    )
    return True


def only_these(
    notebook: NotebookNode, exercises: list[Exercise], numbers: set[str]
) -> tuple[NotebookNode, list[Exercise]]:
    """The notebook without the checks of the others. Their code stays, since an exercise may use it."""
    wanted = [exercise for exercise in exercises if exercise.number in numbers]
    for exercise in exercises:
        if exercise not in wanted:
            notebook.cells[exercise.check].source = "// the check of another exercise"
    return notebook, wanted


def trials_of(
    notebook: NotebookNode,
    exercises: list[Exercise],
    wrong: dict[str, list[WrongAnswer]],
    at_once: int,
) -> list[Trial]:
    """All that is tried out in a notebook that was run as handed out, cell by cell."""
    trials = []
    for exercise in exercises:
        check = notebook.cells[exercise.check].source
        answers = wrong[exercise.title]
        given = notebook.cells[exercise.cell].source
        step = 1 if READS_CODE in check else at_once
        if step > 1 and signature(given):
            step = len(answers)
        for start in range(0, len(answers), step):
            group = answers[start : start + step]
            trials.append(Trial(exercise, together(group, given, check), group))
        trials.append(Trial(exercise, exercise.solution))
        trials.append(Trial(exercise, check, checks_solution=True))
    return trials


def hints_of(verdict: str) -> str:
    """The hint in a verdict, and what more it tells."""
    lines = verdict.splitlines()
    starts = [line.removeprefix("  hint").removeprefix("  more") for line in lines]
    return "\n".join(start for start, line in zip(starts, lines, strict=True) if start != line)


def result_of(cell: NotebookNode) -> str:
    """The text of a cell's result."""
    for output in cell.outputs:
        if output.output_type == "execute_result":
            return str(output.data.get("text/plain", ""))
    return ""


def stdout_of(cell: NotebookNode) -> str:
    """What a cell has printed."""
    shown = (output for output in cell.outputs if output.output_type == "stream")
    return "".join(output.text for output in shown if output.name == "stdout")


def solve(path: Path, _options: argparse.Namespace) -> bool:
    """Writes the notebook with its solutions filled in, beside the others but in a folder of its own.

    Whoever has done some exercises keeps what they did, here and there.
    """
    try:
        _, notebook = readable(path)
        exercises = exercises_of(notebook, handed_out=False)
    except Malformed as error:
        return report(path, str(error))
    for exercise in exercises:
        notebook.cells[exercise.cell].source = exercise.solution
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # One folder further down.
            cell.source = cell.source.replace(LOADS_THE_CRATE, 'path = "../../../helpers')
    text, written = tidied(notebook), path.parent / SOLVED / path.name
    if written.exists() and not is_tidied(written, text):
        return report(path, f"{written} is another already; move or delete it, and run this again")
    written.parent.mkdir(exist_ok=True)
    if not written.exists():
        replace(written, text.encode("utf-8"))
    print(f"{written}\n", end="", flush=True)
    return True


def is_tidied(path: Path, text: str) -> bool:
    """Whether the file differs from the text by its outputs at most."""
    try:
        return tidied(read(path)) == text
    except Exception:  # as in `readable`
        return False


def tidy(path: Path, _options: argparse.Namespace) -> bool:
    """Writes the notebook without outputs and in the course's form."""
    try:
        before, notebook = readable(path)
    except Malformed as error:
        return report(path, str(error))
    if not put(path, before, tidied(notebook)):
        return False
    # One write: another notebook is worked on beside this one.
    print(f"{path}\n", end="", flush=True)
    return look(path, _options)


if __name__ == "__main__":
    sys.exit(main())
