"""The browser."""

import contextlib
import os
from collections.abc import Iterator

from playwright.sync_api import Page, sync_playwright

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
# For what the page does at once: open a menu, show a dialog. In milliseconds.
AT_ONCE = 60_000


@contextlib.contextmanager
def open_page(program: str, home: str) -> Iterator[Page]:
    """A page in a browser that keeps its files in the folder `home`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=BROWSER_OPTIONS, env={**os.environ, "HOME": home}
        )
        try:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(AT_ONCE)
            yield page
        finally:
            browser.close()
