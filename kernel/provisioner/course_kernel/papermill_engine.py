"""For papermill, which takes every error in an output for a failure: `papermill --engine course`."""

from pathlib import Path
from typing import Any

from papermill.engines import NBClientEngine  # type: ignore[import-untyped]


class CourseEngine(NBClientEngine):  # type: ignore[misc]
    """Runs a notebook as papermill does, but in its own folder, as Jupyter would, and knows which errors are meant.

    What a cell with Jupyter's tag `raises-exception` fails with becomes a text on its error stream.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, *args: Any, **options: Any) -> None:
        notebook = Path(options.get("input_path") or "")
        # Where `--cwd` names another folder, papermill is there already, and the notebook may not be.
        if notebook.is_file():
            options.setdefault("resources", {"metadata": {"path": str(notebook.resolve().parent)}})
        super().execute_managed_notebook(nb_man, *args, **options)
        for cell in nb_man.nb.cells:
            if "raises-exception" in cell.metadata.get("tags", []):
                cell.outputs = [without_error(output) for output in cell.outputs]


def without_error(output: Any) -> Any:
    """The same output, but a text if it is an error."""
    if output.output_type != "error":
        return output
    text = "\n".join(output.traceback) + "\n"
    return type(output)(output_type="stream", name="stderr", text=text)
