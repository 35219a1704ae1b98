"""Opens a lesson in JupyterLab as a student does, runs it by the menu, and looks at the plots.

Leaves pictures of the page in the folder named on the command line.
"""

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from execute import RAISES

# Chromium's sandbox does not work for root and in many containers; only our own page is opened.
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTH, HEIGHT = 1280, 1000
# Chromium cannot take a picture that is higher.
HIGHEST = 16000

# The notebook as JupyterLab holds it: all cells, also those that are not on the screen.
STATE = """() => {
    const panel = window.jupyterapp?.shell.currentWidget;
    const kernel = panel?.sessionContext?.session?.kernel;
    if (!kernel || !panel.content?.model) return null;
    return { status: kernel.status, cells: panel.content.model.sharedModel.toJSON().cells };
}"""

# The drawings of the text.
BROKEN_DRAWINGS = """() => [...document.querySelectorAll('.jp-MarkdownOutput img')]
    .filter(image => !image.alt || !image.complete || !image.naturalWidth)
    .map(image => image.alt || image.src)"""

IMAGES = """() => [...document.querySelectorAll('.jp-OutputArea-output img')].map(image => ({
    alt: image.alt, width: image.naturalWidth, complete: image.complete }))"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--notebook", default="01_multiprocessing.ipynb")
    parser.add_argument("--timeout", type=int, default=600, help="seconds that the lesson may take")
    parser.add_argument("lab", nargs="+", help="the command that starts JupyterLab")
    options = parser.parse_args()
    options.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as private, Server(options.lab, private) as server:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=options.browser,
                args=BROWSER_OPTIONS,
                env=os.environ | {"HOME": private},
            )
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            try:
                look_at_lesson(page, server.url, options)
            except BaseException:
                print(f"What JupyterLab's server said:\n{server.said()}", file=sys.stderr)
                page.screenshot(path=options.pictures / "failure.png")
                raise
            finally:
                browser.close()


class Server:
    """JupyterLab, started by the command that a student types."""

    def __init__(self, command, private):
        # A port in use: JupyterLab must take another, and print that one.
        self.taken = socket.create_server(("localhost", 0))
        port = self.taken.getsockname()[1]
        # The reader's own theme and open tabs stay as they are.
        command = [
            *command,
            "--no-browser",
            f"--port={port}",
            "--expose-app-in-browser",
            f"--LabApp.user_settings_dir={private}/settings",
            f"--LabApp.workspaces_dir={private}/workspaces",
        ]
        self.log = open(Path(private) / "server.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.url = None

    def __enter__(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/lab\S*token=\w+", self.said())
            if found:
                self.url = found.group()
                if f":{self.taken.getsockname()[1]}/" in self.url:
                    raise AssertionError(f"JupyterLab printed a port that is taken: {self.url}")
                return self
            time.sleep(0.2)
        self.__exit__()
        raise AssertionError(f"JupyterLab did not start:\n{self.said()}")

    def said(self):
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.taken.close()


def look_at_lesson(page, url, options):
    opened = time.monotonic()
    page.goto(re.sub(r"/lab[^?]*", f"/lab/tree/notebooks/{options.notebook}", url))
    wait_for(page, lambda state: state["status"] == "idle", 300, "the kernel to start")
    print(f"the page and the kernel were there after {time.monotonic() - opened:.0f} s")
    # A save would change the lesson in the clone.
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:toggle-autosave')")
    # As committed: outputs of a notebook that this browser does not trust.
    shown = check_pictures(page, state_of(page)["cells"])
    print(f"before it runs: {shown} pictures are shown")
    take_picture(page, options.pictures / "before.png")

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    started = time.monotonic()
    wait_for(page, lambda state: not finished(state), 60, "the first cell to start")
    state = wait_for(page, finished, options.timeout, "the last cell to end")
    print(f"all cells ran in {time.monotonic() - started:.0f} s")
    check_cells(state["cells"])
    ran = check_pictures(page, state["cells"])
    print(f"after it ran: {ran} pictures are shown")
    if ran != shown:
        raise AssertionError(f"{shown} pictures are committed, but running makes {ran}")
    take_picture(page, options.pictures / "after.png")

    page.evaluate(
        "() => window.jupyterapp.commands.execute("
        "'apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    take_picture(page, options.pictures / "dark.png")
    print(f"pictures of the page: {options.pictures}")


def state_of(page):
    return page.evaluate(STATE)


def wait_for(page, condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = state_of(page)
        if state and condition(state):
            return state
        page.wait_for_timeout(250)
    status = state["status"] if state else "not there"
    raise AssertionError(f"waited {seconds} seconds for {what}; the kernel is {status}")


def finished(state):
    """All cells have run: a cell that waits or runs has no number."""
    codes = [cell for cell in state["cells"] if cell["cell_type"] == "code"]
    ran = all(cell["execution_count"] for cell in codes if "".join(cell["source"]).strip())
    return ran and state["status"] == "idle"


def check_cells(cells):
    """No cell may show an error that it was not meant to show."""
    for number, cell in enumerate(cells, 1):
        if not RAISES.isdisjoint(cell["metadata"].get("tags", [])):
            continue
        for output in cell.get("outputs", []):
            if output["output_type"] == "error" or output.get("name") == "stderr":
                said = output.get("evalue") or "".join(output["text"])
                raise AssertionError(f"cell {number} shows an error: {said}")


def check_pictures(page, cells):
    """Every picture in the outputs is on the page, drawn, and described."""
    expected = sum(
        "".join(output.get("data", {}).get("text/html", "")).count("<img")
        for cell in cells
        for output in cell.get("outputs", [])
    )
    show_all(page)
    page.wait_for_function(
        f"() => ({IMAGES})().filter(image => image.complete).length >= {expected}", timeout=60000
    )
    images = page.evaluate(IMAGES)
    bad = [image for image in images if not image["alt"].strip() or image["width"] == 0]
    if bad or not images or len(images) != expected:
        raise AssertionError(f"{expected} pictures are in the outputs, on the page are: {images}")
    broken = page.evaluate(BROKEN_DRAWINGS)
    if broken:
        raise AssertionError(f"drawings of the text are not shown: {broken}")
    return len(images)


def show_all(page):
    """Makes the window as high as the notebook: JupyterLab draws only what is in view."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    page.wait_for_timeout(500)
    hidden = page.evaluate(
        """() => { const panel = document.querySelector('.jp-WindowedPanel-outer');
                   return panel.scrollHeight - panel.clientHeight; }"""
    )
    page.set_viewport_size({"width": WIDTH, "height": min(HEIGHT + hidden, HIGHEST)})
    page.wait_for_timeout(500)


def take_picture(page, path):
    show_all(page)
    page.screenshot(path=path)


if __name__ == "__main__":
    sys.exit(main())
