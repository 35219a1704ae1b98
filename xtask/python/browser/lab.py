"""The page of JupyterLab: its files, menus, dialogs and open notebooks."""

import re
import time
from pathlib import Path, PurePosixPath

from playwright.sync_api import Locator, Page

from .notebook import Notebook

# What is open, by path. The page tells only a program that it was started with
# `--expose-app-in-browser` for.
OPEN = """() => Object.fromEntries([...window.jupyterapp.shell.widgets('main')]
    .filter(widget => widget.context && widget.sessionContext)
    .map(widget => [widget.context.path, widget.id]))"""

# A kernel on a machine that has much else to do.
LONGEST_START = 300


class Lab:
    """JupyterLab in a page, opened on the folder of the notebooks.

    Pictures of the page go into the folder `pictures`; which lessons have run well is written down in
    the folder `known`, if there is one.
    """

    def __init__(
        self, page: Page, url: str, clone: Path, pictures: Path, known: Path | None = None
    ) -> None:
        self.page, self.clone, self.pictures, self.known = page, clone, pictures, known
        self.folder = PurePosixPath("notebooks")
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp?.shell", timeout=120_000)
        self.file("01_multiprocessing.ipynb").wait_for()

    def file(self, name: str) -> Locator:
        """A row of the list of files."""
        text = self.page.locator(".jp-DirListing-itemText", has_text=re.compile(f"^{name}$"))
        return self.page.locator(".jp-DirListing-item", has=text)

    def notebook(self, path: str) -> Notebook:
        """Brings a notebook to the front, opened with its kernel if it was not.

        `path` is that below `notebooks/`, without its ending.
        """
        notebook = self.notebook_at_work(path)
        notebook.wait_until(lambda state: state.idle, LONGEST_START, "the kernel to be idle")
        return notebook

    def notebook_at_work(self, path: str) -> Notebook:
        """As `notebook`, but does not wait for its kernel."""
        file = PurePosixPath("notebooks") / f"{path}.ipynb"
        ids = self.page.evaluate(OPEN)
        if str(file) not in ids:
            self.go_to(file.parent)
            self.file(file.name).dblclick()
            self.page.wait_for_function(f"() => '{file}' in ({OPEN})()")
            ids = self.page.evaluate(OPEN)
        notebook = Notebook(self.page, ids[str(file)], str(file))
        notebook.bring_to_front()
        return notebook

    def go_to(self, folder: PurePosixPath) -> None:
        """Steps through the list of files."""
        if folder == self.folder:
            return
        # The list is still the old one for a while.
        if folder.parent == self.folder:
            self.file(folder.name).dblclick()
            self.file(folder.name).wait_for(state="detached")
        else:
            self.page.locator(f'.jp-BreadCrumbs-item[title="{folder}"]').click()
            self.file(self.folder.name).wait_for()
        self.folder = folder

    def choose(self, menu: str, entry: str) -> None:
        """Chooses an entry of a menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        # By its label: what it is called for those who hear it ends with its keys, if it has some.
        label = re.compile(f"^{re.escape(entry)}$")
        self.page.locator(".lm-Menu-itemLabel", has_text=label).click()

    def dialog_button(self, text: str) -> Locator:
        """A button of the dialog that has come."""
        return self.page.locator(".jp-Dialog-button", has_text=re.compile(f"^{text}$"))

    def confirm(self, text: str) -> None:
        """Presses a button of a dialog, and waits until the dialog has gone."""
        self.dialog_button(text).click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")

    def close(self, notebook: Notebook) -> None:
        """Ends the kernel of the notebook at the front, and closes it without saving."""
        self.choose("File", "Close and Shut Down Notebook…")
        deadline = time.monotonic() + 60
        while notebook.path in self.page.evaluate(OPEN):
            if time.monotonic() > deadline:
                raise AssertionError(f"{notebook.path} did not close within a minute")
            # "Shut down the notebook?", and "Save your work?"
            for text in ["Ok", "Discard"]:
                if self.dialog_button(text).count():
                    self.confirm(text)
            self.page.wait_for_timeout(100)

    def use_theme(self, theme: str) -> None:
        """Changes to `light` or `dark`, as the entry of the menu does."""
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            f"JupyterLab {theme.capitalize()}",
        )
        is_light = "true" if theme == "light" else "false"
        self.page.wait_for_selector(f"body[data-jp-theme-light={is_light}]", state="attached")
        # A veil lies over the page meanwhile.
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")
