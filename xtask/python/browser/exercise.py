"""A student solves an exercise."""

from notebooks import exercises

from .lab import Lab
from .notebook import said
from .pictures import take_picture


def solve(lab: Lab, name: str) -> str:
    """Runs the first exercise's check as handed out, types the solution, and checks again."""
    notebook = lab.notebook(name)
    _, found = exercises.load(lab.clone / notebook.path)
    exercise = found[0]
    notebook.click(0)
    for _ in range(exercise.check + 1):
        cells = notebook.run_active().cells
    verdict = said(cells[exercise.check])
    if not verdict.startswith(exercises.NOT_YET) or "hint" not in verdict:
        raise AssertionError(f"as handed out, the check says: {verdict}")

    notebook.write_over(exercise.cell, exercise.solution)
    for _ in (exercise.cell, exercise.check):
        cells = notebook.run_active().cells
    verdict = said(cells[exercise.check])
    if not verdict.startswith(exercises.RIGHT):
        raise AssertionError(f"of the solution the check says: {verdict}")
    take_picture(lab, "exercise", lambda: notebook.show(exercise.cell - 1))
    return f"{exercise.title}: a hint, then typed in, then “{verdict.splitlines()[0]}”"
