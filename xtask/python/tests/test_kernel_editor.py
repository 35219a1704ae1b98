"""The course's kernel: what it answers while a cell is written."""

import pytest

from tests.kernel_case import KernelCase


class Completion(KernelCase):
    """The list that *Tab* opens."""

    def matches(self, code: str, pos: int | None = None) -> list[str]:
        reply = self.kernel.complete(code, pos)
        assert reply["status"] == "ok", str(reply)
        return [str(match) for match in reply["matches"]]

    def test_kernel_outlives_a_constant_and_a_variable(self, subtests: pytest.Subtests) -> None:
        # rust-analyzer itself does not: it panics.
        self.passes("const N: u32 = 15;")
        self.passes("let v = 3;")
        for code in ["N", "let pool ", "let pool", "N + v", "v", "let x = N", ""]:
            with subtests.test(code):
                self.matches(code)
                assert self.shows("(N, v)") == "(15, 3)"

    def test_variables_functions_and_constants_of_earlier_cells(
        self, subtests: pytest.Subtests
    ) -> None:
        self.passes(
            "let unlikely_variable = 1;\nfn unlikely_function() {}\nconst UNLIKELY: u32 = 1;"
        )
        for code, name in {
            "unlikely_v": "unlikely_variable",
            "1 + unlikely_v": "unlikely_variable",
            "unlikely_f": "unlikely_function",
            "UNLI": "UNLIKELY",
        }.items():
            with subtests.test(code):
                assert any(match.startswith(name) for match in self.matches(code))

    def test_methods_come_before_private_fields(self) -> None:
        self.passes("let pool = Pool::new(2)?;")
        names = [match.split("(")[0] for match in self.matches("pool.")]
        assert "map" in names
        for field in {"threads", "joins", "closing", "submitted"} & set(names):
            assert names.index("map") < names.index(field), names

    def test_places_are_counted_in_letters(self, subtests: pytest.Subtests) -> None:
        for code in [
            'let s = "🙂🙂";\ns.le',
            'let s = "e\u0301";\ns.le',
            'let größe = "a";\ngröße.le',
        ]:
            with subtests.test(code):
                reply = self.kernel.complete(code)
                found = [match for match in reply["matches"] if match.startswith("len")]
                assert found, str(reply)
                assert reply["cursor_start"] == len(code) - len("le")
                assert reply["cursor_end"] == len(code)

    def test_in_the_middle_of_a_cell(self) -> None:
        code = 'let s = "🙂";\ns.le;\nlet t = 1;'
        pos = code.index(".le") + 3
        reply = self.kernel.complete(code, pos)
        assert any(match.startswith("len") for match in reply["matches"]), str(reply)
        assert (reply["cursor_start"], reply["cursor_end"]) == (pos - 2, pos)

    def test_places_outside_of_the_code(self) -> None:
        for pos in [0, 3, 1000]:
            self.kernel.complete("ab", pos)
        assert self.shows("1 + 1") == "2"

    def test_it_is_answered_beside_a_cell(self) -> None:
        cell = self.kernel.send("2 + 2")
        assert self.kernel.complete("1 + 1")["status"] == "ok"
        assert self.passed(self.kernel.wait(cell)).result == "4"


class Inspection(KernelCase):
    """The text that *Shift+Tab* shows."""

    def text(self, code: str, name: str, detail: int = 0) -> str:
        """What is told of a name in the code."""
        reply = self.kernel.inspect(code, code.index(name) + 1, detail)
        assert (reply["status"], reply["found"]) == ("ok", True), str(reply)
        return str(reply["data"]["text/plain"])

    def test_the_crate_and_the_standard_library(self, subtests: pytest.Subtests) -> None:
        for code, name, word in [
            ("Pool::new(2)", "Pool", "worker"),
            ("Pool::new(2)", "new", "workers"),
            ('let größe = "🙂";\nString::from(größe)', "String", "UTF-8"),
        ]:
            for detail in [0, 1]:
                with subtests.test(code, detail=detail):
                    assert word in self.text(code, name, detail)

    def test_variable_of_an_earlier_cell(self) -> None:
        self.passes("let inspected: Vec<u8> = vec![1];")
        assert "Vec<u8>" in self.text("inspected", "inspected")

    def test_nothing_to_tell(self, subtests: pytest.Subtests) -> None:
        for code, pos in [("", 0), ("no_such_thing", 3), ("1 + 1", 2), ("x", 1000)]:
            with subtests.test(code):
                reply = self.kernel.inspect(code, pos)
                assert (reply["status"], reply["found"], reply["data"]) == ("ok", False, {})


class Complete(KernelCase):
    """Whether a console should run a cell, or wait for another line."""

    def test_states(self, subtests: pytest.Subtests) -> None:
        for status, codes in {
            "complete": [
                "1 + 1",
                "let x = 1;",
                "fn f() {}",
                ":vars",
                "!ls",
                '"{"',
                "// {",
                "",
                "let é = 1;",
            ],
            "incomplete": ["fn f() {", "let x = (1,", '"abc', "/* a", "vec![", "#[derive(Debug)]"],
            "invalid": ["let x = );", "}", "[1, 2)", "🙂"],
        }.items():
            for code in codes:
                with subtests.test(code):
                    reply = self.kernel.is_complete(code)
                    assert reply["status"] == status
                    assert "indent" in (reply if status == "incomplete" else {"indent": ""})


class History(KernelCase):
    """What a console finds with the arrow that points up."""

    def test_tail(self) -> None:
        codes = ["11 + 1", "11 + 2"]
        for code in codes:
            self.passes(code)
        reply = self.kernel.history(hist_access_type="tail", n=2, raw=True, output=False)
        assert [code for _, _, code in reply["history"]] == codes

    def test_cells_that_are_silent_are_not_in_it(self) -> None:
        self.passes("11 + 3")
        self.kernel.run("11 + 4", silent=True)
        reply = self.kernel.history(hist_access_type="tail", n=1, raw=True, output=False)
        assert [code for _, _, code in reply["history"]] == ["11 + 3"]
