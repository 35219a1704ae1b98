"""What pages must keep up with: the calls of the crates, the benches, and versions."""

import ast
import re
from unittest import mock

import pytest

from bench import report
from browser import shown
from kernels.clone import CLONE, SCRIPTS
from notebooks.execute import read as notebook

# Calls that are no word of the common vocabulary, with the reason.
NOT_SHOWN = {
    "workers": "asks a pool for what one has just told it",
    "env": "a detail of worker processes that no lesson needs",
    "build": "ends a builder",
    "new": "is the type's own name in the page",
}
# What only one kind of pool has.
OF_ONE_KIND = {
    "env": "threads and ranks have the environment of their program",
    "tasks_per_worker": "a rank cannot be replaced",
    "host": "only ranks lie on other computers",
    "hosts": "only ranks lie on other computers",
    "time_limit": "a thread cannot be stopped",
    "builder": "a pool of threads has nothing to set",
    "initializer": "threads share what the program has made",
    "build": "see builder",
}
# The files of each kind of pool, and those of its views.
POOLS = {
    "Pool": ["helpers/src/pool/threads.rs"]
    + [f"helpers/src/pool/threads/{name}.rs" for name in ["timed", "with"]],
    "ProcessPool": ["helpers/src/pool/processes/mod.rs"],
    "MpiPool": ["helpers-mpi/src/pool/mod.rs"],
}
# The views of threads, and those of workers with memory of their own: what both are called.
VIEWS = {
    "Timed": ["helpers/src/pool/threads/timed.rs", "helpers/src/pool/remote/timed.rs"],
    "With": ["helpers/src/pool/threads/with.rs", "helpers/src/pool/remote/with.rs"],
}
# Calls of a pool that one of its views must lack.
NOT_IN_A_VIEW = {
    "Chunked": {
        "submit": "a single call has no chunks",
        "wait_all": "waits for all that was submitted, in chunks or not",
    },
    "Timed": {
        "submit": "a handle has a limit of its own, in `join`",
        "map_async": "as submit",
        "starmap_async": "as submit",
    },
    "With": {"wait_all": "waits for all that was submitted, with a value or not"},
}


def read(name):
    return (CLONE / name).read_text(encoding="utf-8")


def calls_of(kind):
    """The methods that the type, its views and its builder offer, by the blocks of their file."""
    types = {kind, "Chunked", "Builder", "MpiPoolBuilder"}
    return set().union(*(methods(name, types) for name in POOLS[kind]))


def methods(name, types):
    """The public methods of these types in a file; blocks that a macro writes count as well."""
    found = set()
    for block in re.finditer(
        r"^(?P<indent> *)impl(?:<[^>]*>)? (?P<type>\w+)(?:<[^\n]*>)? \{$(?P<body>.*?)^(?P=indent)\}$",
        read(name),
        re.MULTILINE | re.DOTALL,
    ):
        if block["type"] in types:
            method = rf"^{block['indent']}    pub fn (\w+)"
            found |= set(re.findall(method, block["body"], re.MULTILINE))
    return found


class Vocabulary:
    def test_every_call_of_a_pool_is_in_the_page_of_calls_side_by_side(self):
        page = read("book/python_and_rust.md")
        for kind in POOLS:
            calls = calls_of(kind)
            assert "map" in calls, f"nothing was found in {POOLS[kind]}"
            missing = [
                c for c in sorted(calls - set(NOT_SHOWN)) if not re.search(rf"\b{c}\(", page)
            ]
            assert missing == [], f"{kind}: add them to book/python_and_rust.md"

    def test_the_kinds_of_pools_share_one_vocabulary(self):
        all_calls = {kind: calls_of(kind) for kind in POOLS}
        for kind, calls in all_calls.items():
            others = set().union(*(c for other, c in all_calls.items() if other != kind))
            lacks = sorted(others - calls - set(OF_ONE_KIND))
            assert lacks == [], f"{kind} lacks what other pools have; if it must, say why in OF_ONE_KIND"

    def test_the_views_of_all_kinds_share_one_vocabulary(self):
        for view, (of_threads, of_others) in VIEWS.items():
            threads, others = methods(of_threads, {view}), methods(of_others, {view})
            assert "map" in threads & others
            assert threads ^ others == {"time_limit"}, view

    def test_each_view_has_the_calls_of_its_pool(self):
        pool = "helpers/src/pool/threads.rs"
        views = {"Chunked": pool, **{view: of_threads for view, (of_threads, _) in VIEWS.items()}}
        calls = methods(pool, {"Pool"}) - {"new", "workers", "chunk_size"}
        assert {"map", "submit", "wait_all"} <= calls
        for view, file in views.items():
            has = methods(file, {view})
            lacks = sorted(calls - has - set(NOT_IN_A_VIEW[view]))
            assert lacks == [], f"{view} lacks calls of Pool; if it must, say why in NOT_IN_A_VIEW"
            assert has & set(NOT_IN_A_VIEW[view]) == set(), f"{view} does not lack them"

    def test_readme_names_the_calls(self):
        readme = read("README.md")
        for call in (
            "map starmap imap imap_unordered submit as_completed wait "
            "wait_all map_async starmap_async deadline with"
        ).split():
            assert call in readme

    def test_every_kind_of_plot_is_told_and_tried(self):
        source = read("helpers/src/plot/mod.rs")
        kinds = {
            kind
            for kind in re.findall(r"^pub use (\w+)::\1;$", source, re.MULTILINE)
            if re.search(rf"^pub fn {kind}\b", read(f"helpers/src/plot/{kind}.rs"), re.MULTILINE)
        }
        assert "bars" in kinds
        in_table = set(re.findall(r"^//! \| \[`(\w+)`\] \|", source, re.MULTILINE))
        assert kinds - in_table == set(), "not in the table of helpers/src/plot/mod.rs"
        tried = set(re.findall(r"plot::(\w+)\(", read("helpers/tests/plots.rs")))
        assert kinds - tried == set(), "not tried in helpers/tests/plots.rs"


def patterns_of(node):
    """The text of a literal as a pattern, in which what is computed may be anything."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(patterns_of(part) or ".+" for part in node.values)
    return None


def literals(tree):
    return {text for node in ast.walk(tree) if (text := patterns_of(node))}


def is_telling(pattern):
    return len(re.sub(r"\\.|\.\+|\W", "", pattern)) >= 3


class Benchmarks:
    """BENCHMARKS.md and the code that writes it."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def set_up_class(cls):
        cls.page = read("BENCHMARKS.md")
        sources = sorted((SCRIPTS / "bench").rglob("*.py"))
        cls.trees = {
            path.relative_to(SCRIPTS): ast.parse(path.read_text(encoding="utf-8"))
            for path in sources
        }
        cls.patterns = set().union(*map(literals, cls.trees.values()))

    def test_its_sections_are_those_of_the_code(self):
        fixed = {"How to read the tables", "The machine", "Who is compared"}
        titles = set(re.findall(r"^## (.+)$", self.page, re.MULTILINE)) - fixed
        in_code = {
            node.value.value
            for name, tree in self.trees.items()
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TITLE"
            # A part of the section on cells.
            if name.name != "kernel.py"
        }
        assert titles == in_code, "measure again: cargo xtask bench SUITE --write"

    def titles_in_code(self):
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Work", "Table"}:
                    title = patterns_of(node.args[0]) if node.args else None
                    skipped = any(keyword.arg == "skipped" for keyword in node.keywords)
                    if title and is_telling(title) and not skipped:
                        yield title

    def test_its_tables_are_those_of_the_code(self):
        tables = re.findall(r"^### (.+)$", self.page, re.MULTILINE)
        titles = list(self.titles_in_code())
        assert titles
        for title in titles:
            found = any(re.fullmatch(title, table) for table in tables)
            assert found, f"BENCHMARKS.md has no table {title}; it is older than the code"
        for table in tables:
            found = any(re.fullmatch(p, table) for p in self.patterns if is_telling(p))
            assert found, f"no bench has the title {table!r} any more"

    def test_one_section_can_be_renewed(self):
        suite = {"name": "work", "title": "Work for the processor", "text": "New.", "tables": []}
        machine = {"date": "2026-01-01", "load before": "0.10"}
        page = report.with_section(self.page, {"suites": [suite], "machine": machine})
        head = (
            "## Work for the processor\n\n*Measured in a run of its own, by `cargo xtask bench work"
        )
        assert head in page
        sections = [text.split("\n", 1)[0] for text in page.split("\n## ")]
        assert sections == [text.split("\n", 1)[0] for text in self.page.split("\n## ")]
        unchanged = page.replace(page[page.index(head) : page.index("## More workers")], "")
        for part in unchanged.split("\n## "):
            assert part in self.page
        again = report.with_section(page, {"suites": [suite], "machine": machine})
        assert again == page
        suite["title"] = "Nothing"
        with pytest.raises(ValueError, match="no section 'Nothing'"):
            report.with_section(self.page, {"suites": [suite], "machine": machine})

    def test_the_page_says_of_which_machine_it_is(self):
        machine = report.machine_of(self.page)
        assert re.search(r"\d+ of \d+ cores$", machine["processor"])
        assert "Rust" in machine


class Pictures:
    def test_those_of_readme_are_not_old(self):
        if not shown.SHOWN.exists():
            pytest.skip("nobody has noted what they show; make them anew: cargo xtask screenshots")
        assert shown.old() == [], "make them anew: cargo xtask screenshots"

    def test_an_old_one_is_named(self):
        with mock.patch.object(shown, "documentation", return_value="changed"):
            assert "documentation" in shown.old()


class Lessons:
    """What instructors have beside the lessons."""

    def lessons(self):
        for path in sorted((CLONE / "notebooks").glob("*.ipynb")):
            texts = [cell.source for cell in notebook(path).cells if cell.cell_type == "markdown"]
            if re.match(r"# \d", texts[0]):
                yield path.stem, texts

    def test_each_is_named_where_readers_look(self):
        places = {
            "README.md": "(notebooks/{}.ipynb)",
            "book/index.md": "\nnotebooks/{}\n",
            # Its list stands at its end.
            "notebooks/00_rust_for_python_readers.ipynb": "({}.ipynb)",
        }
        names = [name for name, _ in self.lessons()]
        missing = [
            f"{page} does not name {name}"
            for page, link in places.items()
            for name in names
            if link.format(name) not in read(page)
        ]
        index = read("book/index.md")
        missing += [
            f"book/index.md does not name the exercises {path.stem}"
            for path in (CLONE / "notebooks/exercises").glob("*.ipynb")
            if f"\nnotebooks/exercises/{path.stem}\n" not in index
        ]
        assert missing == []

    def test_each_sends_its_readers_to_exercises(self):
        for name, texts in self.lessons():
            linked = re.findall(r"\((exercises/\w+\.ipynb)\)", texts[-1])
            assert linked, f"{name} does not end with a link to its exercises"
            for link in linked:
                assert (CLONE / "notebooks" / link).exists(), f"{name}: there is no {link}"

    def test_each_has_goals(self):
        goals = re.findall(r"^## (\d\w*) · .+$", read("book/goals.md"), re.MULTILINE)
        numbers = [name.split("_")[0] for name, _ in self.lessons()]
        assert len(numbers) > 4
        assert goals == numbers, "the lessons of book/goals.md, and those that there are"

    def test_goals_and_rubrics_name_the_exercises_that_there_are(self):
        titles = {
            (path.stem.split("_")[0], number): title
            for path in (CLONE / "notebooks/exercises").glob("*.ipynb")
            for cell in notebook(path).cells
            if cell.cell_type == "markdown"
            for number, title in re.findall(r"^## (\d+) · (.+)$", cell.source, re.MULTILINE)
        }
        named = set()
        for title, text in sections(read("book/goals.md")):
            # `(1, 3)`, or `(lesson 02: 3)` where the exercise is another lesson's.
            for lesson, numbers in re.findall(r"\((?:lesson (\w+): )?(\d+(?:, \d+)*)\)", text):
                named |= {(lesson or title.split(" ")[0], n) for n in numbers.split(", ")}
        without = sorted(titles.keys() - named)
        assert without == [], f"book/goals.md has no goal for the exercises {without}"
        gone = sorted(named - titles.keys())
        assert gone == [], f"book/goals.md names exercises that there are not: {gone}"
        judged = re.findall(r"^## (\w+), exercise (\d+): (.+), on", read("book/rubrics.md"), re.MULTILINE)
        projects = [(*at, title) for at, title in sorted(titles.items()) if "project" in title]
        assert len(projects) > 1
        judged = [(lesson, number, title.capitalize()) for lesson, number, title in judged]
        assert judged == projects, "the projects of book/rubrics.md, and those that there are"

    def test_the_plan_counts_right(self, subtests):
        row = r"^\| (\d\w*) [^|]+\| ([\d,]+) \| (\d+) \| (\d+) min"
        plan = {
            number: (int(words.replace(",", "")), int(asked), int(minutes))
            for number, words, asked, minutes in re.findall(
                row, read("book/teaching.md"), re.MULTILINE
            )
        }
        for name, texts in self.lessons():
            text = "\n".join(texts)
            number = name.split("_")[0]
            assert number in plan, f"{number} is missing in the plan of book/teaching.md"
            words, asked, minutes = plan.pop(number)
            with subtests.test(name, plan="book/teaching.md"):
                counted = len(text.split())
                assert words == pytest.approx(counted, abs=min(100, counted / 4)), "words to read"
                assert asked == text.count("**Predict"), "questions to predict"
                assert minutes == pytest.approx(words / 60, abs=5), "minutes, one for 60 words"
        assert plan == {}, "a plan for no lesson"

    def test_each_question_has_an_answer(self):
        answers = {
            title: re.findall(r"^\*\*(\d+)\. ", text, re.MULTILINE)
            for title, text in sections(read("book/answers.md"))
        }
        for name, texts in self.lessons():
            asked = "\n".join(texts).partition("## Questions to think about")[2]
            numbers = re.findall(r"^(\d+)\. ", asked.partition("\n## ")[0], re.MULTILINE)
            found = answers.pop(f"Lesson {name.split('_')[0]}", [])
            assert found == numbers, f"{name}: book/answers.md"
        assert answers == {}, "answers to no lesson's questions"


def sections(page):
    """The titles of a page's sections, and their texts."""
    return [text.split("\n", 1) for text in page.split("\n## ")[1:]]


class Versions:
    def test_the_oldest_rust_is_the_same_everywhere(self):
        oldest = re.search(r'^rust-version = "(.+)"$', read("Cargo.toml"), re.MULTILINE)[1]
        assert f'rust-version = "{oldest}"' in read("kernel/Cargo.toml")
        for page in ["README.md", "environment.md"]:
            said = set(re.findall(r"Rust (\d+\.\d+) or later", read(page)))
            said |= set(re.findall(r"with Rust (\d+\.\d+)", read(page)))
            assert said == {oldest}, page

    def test_the_oldest_python_is_the_same_everywhere(self):
        oldest = re.search(r'OLDEST_PYTHON: &str = "(.+)"', read("xtask/src/renew.rs"))[1]
        for page in ["README.md", "environment.md", *map(str, CLONE.glob("requirements*.txt"))]:
            said = set(re.findall(r"Python (\d+\.\d+)(?: \w+)* (?:or|and) later", read(page)))
            assert said <= {oldest}, page

    def test_ci_takes_the_rust_that_the_clone_names(self):
        [workflow] = (CLONE / ".github/workflows").iterdir()
        text = workflow.read_text(encoding="utf-8")
        assert not re.search(r"toolchain install \w", text)
        assert "rustup toolchain install" in text
        assert "components = " in read("rust-toolchain.toml")
