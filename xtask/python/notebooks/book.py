"""Makes the book: the lessons with their outputs as a site, which needs no network to be made or read.

With a browser it also looks at the pages, at the widths of a phone, a tablet and a desk.
"""

import argparse
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from kernels.clone import CLONE

if TYPE_CHECKING:
    # Only what looks at the pages has it.
    from playwright.sync_api import Page

# What a page of the book may show or link, at the same place as in the clone.
PARTS = ["environment.md", "BENCHMARKS.md", "assets", "notebooks"]
# The page that students are not to have before.
ANSWERS = "answers"
# The crate's documentation, whose links are cargo's to check.
API = "api"


def main() -> int:
    parser = argparse.ArgumentParser(prog="cargo xtask book", description=__doc__)
    parser.add_argument("--api", type=Path, required=True, help="what `cargo doc` made")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make it in")
    parser.add_argument("--exercises", type=Path, help="exercises to take in place of the course's")
    parser.add_argument("--browser", help="the browser to look at it with")
    options = parser.parse_args()
    pages = build(options.api, options.out, options.exercises)
    problems = [problem for page in pages_of(pages) for problem in problems_of(page, pages)]
    if options.browser and not problems:
        problems += look(pages, options.browser, options.out / "screenshots")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"The book: {pages / 'index.html'}")
    return 1 if problems else 0


def build(api: Path, out: Path, exercises: Path | None = None) -> Path:
    """Puts the sources together, and makes the pages of them; a warning is an error."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        gather(CLONE, sources)
        if exercises:
            hand_out(sources, exercises)
        shutil.copytree(api, sources / "_extra" / API)
        pages = out / "html"
        shutil.rmtree(pages, ignore_errors=True)
        command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
        command += ["-b", "html", "-d", folder + "/.trees", folder, str(pages)]
        subprocess.run(command, check=True)
        # What myst-nb leaves beside: the notebooks once more.
        shutil.rmtree(out / "jupyter_execute", ignore_errors=True)
    return pages


def gather(clone: Path, sources: Path) -> None:
    ignore = shutil.ignore_patterns(".*", "solved", "wrong")
    shutil.copytree(clone / "book", sources, dirs_exist_ok=True, ignore=ignore)
    for part in PARTS:
        if (clone / part).is_dir():
            shutil.copytree(clone / part, sources / part, ignore=ignore)
        elif (clone / part).exists():
            shutil.copy(clone / part, sources / part)
    for page in (clone / "book").glob("*.md"):
        # What lies beside the folder of these pages in the clone lies beside the pages here.
        text = page.read_text(encoding="utf-8").replace("](../", "](")
        (sources / page.name).write_text(without_test_lines(text), encoding="utf-8")


def hand_out(sources: Path, exercises: Path) -> None:
    """Takes exercises in place of those with solutions, and leaves out the page of answers."""
    shutil.copytree(exercises, sources / "notebooks/exercises", dirs_exist_ok=True)
    (sources / f"{ANSWERS}.md").unlink()
    index = sources / "index.md"
    lines = index.read_text(encoding="utf-8").splitlines(keepends=True)
    index.write_text("".join(line for line in lines if line.strip() != ANSWERS), encoding="utf-8")


def without_test_lines(text: str) -> str:
    """Takes out what only makes an example a test, as `cargo doc` does: lines that begin with `# `."""

    def clean(block: re.Match[str]) -> str:
        lines = block.group().splitlines()
        shown = [line for line in lines[1:] if not re.match(r"#( |$)", line)]
        return "\n".join(["```rust", *shown])

    return re.sub(r"^```rust.*?^```", clean, text, flags=re.MULTILINE | re.DOTALL)


def pages_of(pages: Path) -> list[Path]:
    """The book's own pages."""
    found = sorted(pages.rglob("*.html"))
    return [page for page in found if page.relative_to(pages).parts[0] != API]


def problems_of(page: Path, pages: Path) -> list[str]:
    """Links within the book that lead nowhere, and pictures that nobody described.

    Links to other sites are not followed: that would need a network.
    """
    name = page.relative_to(pages)
    tree = soup(page)
    problems = [
        f"{name}: a picture without a description: {str(image.get('src', ''))[:60]}"
        for image in tree.find_all("img")
        if not str(image.get("alt") or "").strip()
    ]
    if ":::" in tree.get_text():
        problems.append(f"{name}: the words of a directive are shown")
    for tag in tree.find_all(True):
        for attribute in ["href", "src"]:
            target = tag.get(attribute)
            if target is not None and not leads_somewhere(str(target), page):
                problems.append(f"{name}: nothing is at {str(target)[:100]}")
    return problems


def leads_somewhere(target: str, page: Path) -> bool:
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return parts.scheme in {"http", "https", "data", "mailto"}
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if file.is_dir():
        file = file / "index.html"
    if not file.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or file.suffix != ".html" or anchor in anchors(file)


@functools.cache
def anchors(page: Path) -> set[str]:
    return {str(tag["id"]) for tag in soup(page).find_all(id=True)}


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


# By day and by night.
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Names of the widths, and the pixels.
WIDTHS = {"phone": 375, "tablet": 820, "desk": 1440}
TOO_WIDE = "() => document.scrollingElement.scrollWidth - window.innerWidth"
# From 0 (black) to 255 (white).
BRIGHTNESS = """() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
    return (r + g + b) / 3; }"""


def look(pages: Path, browser: str, pictures: Path) -> list[str]:
    """Opens every page at each width, by day and by night, and searches for a word."""
    from playwright.sync_api import sync_playwright

    from browser.chromium import BROWSER_OPTIONS

    problems = []
    pictures.mkdir(parents=True, exist_ok=True)
    with Site(pages) as url, sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        chromium = playwright.chromium.launch(
            executable_path=browser, args=BROWSER_OPTIONS, env={**os.environ, "HOME": home}
        )
        for width_name, width in WIDTHS.items():
            for scheme in SCHEMES:
                tab = chromium.new_page(
                    viewport={"width": width, "height": 900}, color_scheme=scheme
                )
                problems += look_at_pages(tab, url, pages, f"{width_name}, {scheme}", pictures)
                tab.close()
        tab = chromium.new_page()
        tab.goto(f"{url}/search.html?q=starmap")
        tab.wait_for_selector("#search-results li a")
        found = tab.locator("#search-results li a").all_text_contents()
        if not any("Many workers" in title for title in found):
            problems.append(f"a search for starmap does not find lesson 01, only: {found}")
        chromium.close()
    print(f"looked at {len(pages_of(pages))} pages at {len(WIDTHS)} widths; pictures: {pictures}")
    return problems


def look_at_pages(tab: "Page", url: str, pages: Path, how: str, pictures: Path) -> list[str]:
    problems = []
    tab.on("pageerror", lambda error: problems.append(f"{how}: a script failed: {error}"))
    tab.on("requestfailed", lambda request: problems.append(f"{how}: not loaded: {request.url}"))
    for page in pages_of(pages):
        name = page.relative_to(pages).as_posix()
        tab.goto(f"{url}/{name}", wait_until="load")
        too_wide = tab.evaluate(TOO_WIDE)
        if too_wide > 0:
            problems.append(f"{name} ({how}): {too_wide} pixels wider than the window")
        dark = tab.evaluate(BRIGHTNESS) < 100
        if dark != how.endswith("dark"):
            problems.append(f"{name} ({how}): the page is {'dark' if dark else 'bright'}")
        if page.parent.name == "notebooks" or page.stem in {"index", "python_and_rust"}:
            tab.screenshot(path=pictures / f"{page.stem}-{how.replace(', ', '-')}.png")
    return problems


class Site:
    """The pages, served on this machine only."""

    def __init__(self, pages: Path):
        handler = functools.partial(QuietHandler, directory=str(pages))
        self.server = ThreadingHTTPServer(("localhost", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://localhost:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main())
