"""Tables for a paper: what is bold, what is near, and that LaTeX and Markdown show any text."""

import re
from pathlib import Path

import pytest

from fokker.sweeps.paper_tables import Cell, PaperTable, latex_text, markdown_text, paper_table
from made_sweeps import Sweep, metrics

HOSTILE = "_a & 100% #1 $x$ {y} [z] ~t ^u \\v <w> |p| \"q\" -- --- 'r' `s` ± ² ↓ – \x1b\n"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path / "sweep")


def fill(sweep: Sweep) -> None:
    values = {"ddim": (0.04, 0.05, 0.045), "heun": (0.046, 0.043, 0.05), "euler": (1.0, 1.1, None)}
    for name, some in {**values, "bad": (None, None, None)}.items():
        for seed, w1 in enumerate(some):
            own = {"sampler": name, "seed": str(seed)}
            sweep.add(own, None if w1 is None else metrics(w1), data="ring8")


def test_settings_are_rows_with_equal_digits_and_the_best_is_bold(sweep: Sweep) -> None:
    fill(sweep)
    sweep.draw()
    lines = (sweep.folder / "over_seeds.md").read_text().splitlines()
    assert lines[:2] == [
        "| sampler | seeds | NFE | W1 ↓ (data units) | excess over the floor ↓ "
        "(the formulation's own loss) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    # Means and std / sqrt(n); the smallest error, 0.002, has one digit.
    assert lines[2:6] == [
        "| ddim | 3 | 9 | **0.045 ± 0.003** | **0.090 ± 0.006** |",
        "| heun | 3 | 9 | 0.046 ± 0.002 † | 0.093 ± 0.004 † |",
        "| euler | 2 of 3 | 9 | 1.050 ± 0.050 | 2.100 ± 0.100 |",
        "| bad | 0 of 3 | – | failed | failed |",
    ]
    assert lines[7] == (
        "Sweep over sampler on ring8. Mean ± standard error over the seeds; of one seed, ± is by "
        "its samples alone. Bold: the best of a column, in the direction of its arrow. †: behind "
        "the best by no more than one standard error of the difference. Not counted of 12 runs: 4 "
        "failed."
    )
    latex = (sweep.folder / "over_seeds.tex").read_text()
    assert r"ddim & 3 & 9 & \textbf{0.045 $\pm$ 0.003} & \textbf{0.090 $\pm$ 0.006} \\" in latex
    assert r"heun & 3 & 9 & 0.046 $\pm$ 0.002$^\dagger$ & 0.093 $\pm$ 0.004$^\dagger$ \\" in latex
    assert not (sweep.folder / "results.tex").exists()


def test_without_seeds_the_errors_are_those_of_the_runs(sweep: Sweep) -> None:
    for name, w1 in (("a_b", 0.5), ("c", 0.505), ("d", 0.9)):
        more = {"nearest_neighbour_ratio": 1.5 - w1, "nfe": 35.0}
        sweep.add({"sampler": name}, metrics(w1, **more), data="digits")
    sweep.draw()
    assert not (sweep.folder / "over_seeds.md").exists()
    lines = (sweep.folder / "results.md").read_text().splitlines()
    assert lines[2] == r"| a\_b | 35 | **0.500 ± 0.010** | **1.000** | **1.000** |"
    assert lines[3].startswith("| c | 35 | 0.505 ± 0.010 † | 0.995 | ")
    assert "nearest-neighbour ratio → 1" in lines[0]
    assert "One run each: ± is one standard error by its samples alone." in lines[-1]


def test_where_all_are_equal_none_is_the_best(sweep: Sweep) -> None:
    for name in ("a", "b"):
        sweep.add({"sampler": name}, metrics(0.5), data="ring8")
    table = paper_table(sweep.outcome())
    assert not any(cell.is_best or cell.is_close for row in table.cells for cell in row)
    assert "Bold" not in table.caption


def test_a_metric_that_is_asked_for_is_the_first(sweep: Sweep) -> None:
    sweep.add({"sampler": "a"}, metrics(0.5, denoising_error=0.25), data="ring8")
    heads = paper_table(sweep.outcome("denoising_error")).heads
    assert heads[1] == "denoising error ↓\n(standardised units²)"


def hostile() -> PaperTable:
    cells = [[Cell("0.1 ± 0.2", True), Cell("failed")], [Cell("0.1", False, True), Cell("–")]]
    heads = ["W1 ↓\n(data_units)", "ratio → 1"]
    settings = [["[0.1,0.2]", HOSTILE], ["[", "--x"]]
    return PaperTable(HOSTILE, [HOSTILE, "[b"], heads, settings, cells)


def test_every_special_character_is_escaped() -> None:
    text = latex_text(HOSTILE)
    assert latex_text("a_b & 5% [x] --") == r"a\_b \& 5\% {[}x{]} -{}-"
    plain = re.sub(r"\\[_&%#${}]|\\[a-z]+A?|\$\\?[a-z^0-9]+\$", "", text)
    assert not re.search(r"[_&%#$^~\\<>|\"]|--", plain)
    assert markdown_text("a_b | *c* <d> & `e`") == r"a\_b \| \*c\* \<d\> &amp; \`e\`"
    rows = hostile().markdown().splitlines()[:4]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    latex = hostile().latex("a_b%c")
    assert r"\label{tab:a-b-c}" in latex
    assert not re.search(r"\\\\\n *\[", latex)
    assert latex.count("{") == latex.count("}")
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")].splitlines()[1:-1]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {3}
