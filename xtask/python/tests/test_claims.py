"""That the stored outputs bear out what the lessons say of them, and that a lie would be seen."""

import pytest
from nbformat import v4

from notebooks import claims
from notebooks.claims import Claim, Missing, Output
from notebooks.execute import read
from notebooks.lessons import lessons


def cell(code, text):
    output = v4.new_output("execute_result", {"text/plain": text}, execution_count=1)
    return v4.new_code_cell(code, outputs=[output])


def stream(code, text):
    return v4.new_code_cell(code, outputs=[v4.new_output("stream", name="stdout", text=text)])


class Stored:
    def test_the_outputs_bear_out_what_the_lessons_say(self, subtests):
        for path in lessons():
            with subtests.test(path.stem):
                problems = claims.problems_of(path.stem, read(path).cells)
                hint = f"record it with nothing else running: cargo xtask notebooks {path.stem}"
                assert not problems, "\n".join(["", *problems, hint])

    def test_each_lesson_with_claims_is_there(self):
        assert set(claims.CLAIMS) <= {path.stem for path in lessons()}


class Reading:
    def test_times_of_bars(self):
        bars = Output(cell("", 'Bar plot "Sums": serial loop 3.10 ms, map_reduce 1.59 µs. The'))
        assert bars.bar("serial loop") == pytest.approx(3.1e-3, abs=0.5e-7)
        assert bars.bar("map_reduce") == pytest.approx(1.59e-6, abs=0.5e-7)
        with pytest.raises(Missing, match="par_sum"):
            bars.bar("par_sum")

    def test_speedups(self):
        text = 'Speedup plot "x", times as fast as serial: 1 worker 0.98, 12 workers 7.5. Amdahl'
        plot = Output(cell("", text))
        assert (plot.speedup(1), plot.speedup(12)) == (0.98, 7.5)
        with pytest.raises(Missing):
            plot.speedup(2)

    def test_lines(self):
        text = (
            'Line plot "x" of time (s) by numbers: serial goes from 6.24×10⁻⁷ at 100 to 0.0064 at '
            "1×10⁶; pool goes from 4.15e-5 at 100 to 0.005 at 1×10⁶, lowest 3×10⁻⁵ at 1000."
        )
        plot = Output(cell("", text))
        assert plot.line("serial", "100") == pytest.approx(6.24e-7, abs=0.5e-7)
        assert plot.line("serial", "1×10⁶") == pytest.approx(0.0064, abs=0.5e-7)
        assert plot.line("pool", "1×10⁶") == pytest.approx(0.005, abs=0.5e-7)
        assert plot.lowest("pool") == pytest.approx(3e-5, abs=0.5e-7)
        assert plot.lowest("serial") == pytest.approx(6.24e-7, abs=0.5e-7)

    def test_clocks(self):
        text = (
            "CPU times: user 2 ms, sys: 1 ms, total: 3 ms\nWall time: 1.05 s\n\nb\n"
            "CPU times: user 2 µs, sys: 0 ns, total: 2 µs\nWall time: 40 µs\n"
        )
        clocks = Output(stream("", text))
        assert clocks.cpu() == pytest.approx(3e-3, abs=0.5e-7)
        assert clocks.wall() == pytest.approx(1.05, abs=0.5e-7)
        assert clocks.wall(1) == pytest.approx(40e-6, abs=0.5e-7)
        with pytest.raises(Missing):
            clocks.wall(2)


class Judging:
    claim = Claim("is twice as fast", "plot::", lambda o: o.speedup(2), 1.8, 2.2)

    def problem(self, speedup, words="It is\ntwice as fast.", code="plot::speedup"):
        plot = cell(code, f"serial: 1 worker 1.00, 2 workers {speedup}. Amdahl")
        return claims.problem_of(self.claim, [v4.new_markdown_cell(words), plot])

    def test_a_number_within_the_bounds_is_well(self):
        assert self.problem("1.8") is None
        assert self.problem("2.2") is None

    def test_a_number_beyond_them_is_named(self):
        for number in ["1.79", "2.21"]:
            said = self.problem(number)
            for words in ["is twice as fast", "from 1.8 to 2.2", number]:
                assert words in said

    def test_words_that_changed_are_named(self):
        assert "no longer says" in self.problem("2.0", "It is fast.")

    def test_a_cell_that_is_gone_is_named(self):
        assert "0 cells" in self.problem("2.0", code="plot bars")

    def test_a_number_that_is_gone_is_named(self):
        plot = cell("plot::speedup", "nothing")
        words = v4.new_markdown_cell("is twice as fast")
        assert "in its output" in claims.problem_of(self.claim, [words, plot])

    def test_a_measurement_beside_others_is_named(self):
        line = "Other programs kept {} of 2 cores busy meanwhile.\n"
        cells = [stream("", line.format(0.3)), stream("", line.format(0.4))]
        [problem] = claims.busy(cells)
        assert "cell 2 ran while others kept 0.4 of 2 cores busy" in problem
