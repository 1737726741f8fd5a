"""A metric against NFE or N: one panel a grid, one line a sampler."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fokker.figures import metric_against_nfe

STEPS = [1, 2, 5, 10, 18, 50, 100, 200, 400, 700, 1000]
GRIDS = ["edm_rho", "uniform_time", "quadratic_time", "geometric", "iddpm"]
SAMPLERS = ["heun", "euler", "ddim", "ancestral", "dpmpp_2m", "dpmpp_3m", "edm_stochastic", "em"]


def row(sampler: str, grid: str | None, num_steps: int | None, nfe: Any, w1: Any) -> dict[str, Any]:
    return {"line": sampler, "panel": grid, "num_steps": num_steps, "nfe": nfe, "w1": w1}


def table(samplers: list[str], grids: list[str]) -> list[dict[str, Any]]:
    """W1 = (1 + j) / (1 + i) / N for sampler i and grid j; NFE = 2 N - 1 for Heun."""
    return [
        row(s, g, n, 2 * n - 1 if s == "heun" else n, (1 + j) / (1 + i) / n)
        for j, g in enumerate(grids)
        for i, s in enumerate(samplers)
        for n in STEPS
    ]


def lines(figure: Figure) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Title of a panel, name of a sampler, points."""
    names = [t.get_text() for t in figure.legends[0].get_texts()]
    return {
        axes.get_title(): {
            name: [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
            for name, line in zip(names, axes.lines)
        }
        for axes in figure.axes
        if axes.get_visible()
    }


def test_a_panel_a_grid_a_line_a_sampler() -> None:
    figure = metric_against_nfe(table(SAMPLERS, GRIDS), "w1", label="W1 (mm)")
    found = lines(figure)
    assert list(found) == GRIDS
    for j, panel in enumerate(found.values()):
        assert list(panel) == SAMPLERS
        assert panel["heun"] == [(2 * n - 1, pytest.approx((1 + j) / n)) for n in STEPS]
        assert panel["ddim"] == [(n, pytest.approx((1 + j) / 3 / n)) for n in STEPS]
    visible = [axes for axes in figure.axes if axes.get_visible()]
    for axes in visible:
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert axes.get_xlim() == visible[0].get_xlim()
        assert axes.get_ylim() == visible[0].get_ylim()
        for one, other in zip(axes.lines, visible[0].lines):
            assert one.get_color() == other.get_color()
            assert one.get_marker() == other.get_marker()
    assert len(figure.legends) == 1
    assert figure.get_supylabel() == "W1 (mm)"
    assert "NFE" in figure.get_supxlabel()
    low, high = visible[0].get_xlim()
    assert low < 1
    assert high > 1999
    low, high = visible[0].get_ylim()
    assert low < 1 / 8 / 1000
    assert high > 5


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (7, 3)])
def test_every_column_has_numbers_below(count: int, columns: int) -> None:
    figure = metric_against_nfe(table(["heun"], [f"g{i}" for i in range(count)]), "w1")
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert len(visible) == count
    assert visible[0].get_subplotspec().get_gridspec().ncols == columns  # type: ignore[union-attr]
    figure.draw_without_rendering()
    labelled = [
        i
        for i, axes in enumerate(visible)
        if any(tick.label1.get_visible() for tick in axes.xaxis.get_major_ticks())
    ]
    assert labelled == list(range(max(0, count - columns), count))


def test_against_the_number_of_steps() -> None:
    rows = [*table(["heun", "ddim"], ["geometric"]), row("adaptive", None, None, 90, 0.1)]
    figure = metric_against_nfe(rows, "w1", against="num_steps")
    panel = lines(figure)["geometric"]
    assert [x for x, _ in panel["heun"]] == STEPS
    assert panel["adaptive (not shown)"] == []
    assert "$N$" in figure.get_supxlabel()


def test_one_grid_is_one_larger_panel_and_lines_differ_in_grey() -> None:
    figure = metric_against_nfe(table(SAMPLERS, ["geometric"]), "w1")
    (axes,) = figure.axes
    assert axes.get_title() == "geometric"
    in_grey = {(line.get_marker(), str(line._dash_pattern)) for line in axes.lines}  # type: ignore[attr-defined]
    assert len(in_grey) == len(SAMPLERS)
    assert {to_hex(line.get_color()) for line in axes.lines}.isdisjoint({"#f0e442"})
    # A marker at every point.
    assert all(line.get_markevery() == (0, 1) for line in axes.lines)
    assert figure.get_supylabel() == "w1"


def test_an_adaptive_sampler_is_a_marker_in_every_panel() -> None:
    rows = [
        *table(["heun"], GRIDS[:2]),
        row("ode_adaptive", None, None, 143.0, 0.02),
        row("ode_adaptive", None, None, 60.0, 0.3),
        row("other", "edm_rho", None, 77, 0.5),
    ]
    figure = metric_against_nfe(rows, "w1")
    found = lines(figure)
    for panel in found.values():
        assert panel["ode_adaptive"] == [(60, 0.3), (143, 0.02)]
    assert found["edm_rho"]["other"] == [(77, 0.5)]
    assert found["uniform_time"]["other"] == []
    # A sampler that a panel lacks does not change the lines of the others.
    one, two = ([line.get_color() for line in axes.lines] for axes in figure.axes)
    assert one == two


def test_without_any_grid_there_is_one_panel_without_a_title() -> None:
    figure = metric_against_nfe([row("ode_adaptive", None, None, 143, 0.02)], "w1")
    (axes,) = figure.axes
    assert axes.get_title() == ""
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[143, 0.02]])
    assert axes.get_xlim()[0] < 143 < axes.get_xlim()[1]
    assert axes.get_ylim()[0] < 0.02 < axes.get_ylim()[1]
    assert len(axes.get_xticks()) >= 2


def test_what_cannot_be_shown_is_left_out() -> None:
    bad = [math.nan, math.inf, 0, 0.0, -1.0, None, "", "diverged"]
    rows = [row("heun", "a", n + 2, n + 2, value) for n, value in enumerate(bad)]
    rows += [row("heun", "a", 1, 1, 0.5), row("ddim", "a", 1, 1, math.nan)]
    rows += [{"line": "heun", "panel": "a", "num_steps": 99, "nfe": 99}]
    rows += [row("heun", "a", 98, None, 0.5), row("heun", "only bad", 1, 1, 0.0)]
    found = lines(metric_against_nfe(rows, "w1"))
    # A sampler that diverged everywhere is named, a grid without a value has no panel.
    assert found == {"a": {"heun": [(1, 0.5)], "ddim (not shown)": []}}


def test_seeds_are_one_point_at_their_median_and_rows_come_in_any_order() -> None:
    rows = [row("em", "a", n, n, w / n) for n in (100, 1, 10) for w in (5.0, 1.0, 2.0)]
    rows += [row("em", "b", 10, 10, 7.0)]
    found = lines(metric_against_nfe(iter(rows), "w1"))
    assert found["a"]["em"] == [(1, 2.0), (10, 0.2), (100, 0.02)]
    assert found["b"]["em"] == [(10, 7.0)]


def test_names_are_shown_as_they_are() -> None:
    figure = metric_against_nfe([row("_em$", "$g_1", 1, 1, 2.0)], "w1")
    assert figure.legends[0].get_texts()[0].get_text() == r" _em\$"
    assert figure.axes[0].get_title() == r"\$g_1"


@pytest.mark.parametrize(
    ("rows", "against", "message"),
    [
        ([], "nfe", "rows must hold a positive w1 and nfe, got none in 0 rows"),
        ([row("a", "b", 1, 1, math.nan)], "nfe", "got none in 1 rows"),
        ([row("a", None, None, 50, 0.1)], "num_steps", "a positive w1 and num_steps"),
        ([row("a", "b", 1, 1, 1.0), {"line": "a", "nfe": 1}], "nfe", r"rows\[1\] must have"),
        ([row("a", "b", 1, 1, 1.0)], "time", "against must be one of"),
    ],
)
def test_refusals(rows: list[dict[str, Any]], against: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric_against_nfe(rows, "w1", against)


def test_what_has_diverged_does_not_choose_the_axis() -> None:
    rows = [row("heun", "edm_rho", n, n, 1 / n) for n in (2, 5, 10, 20, 50)]
    rows.append(row("adams", "edm_rho", 5, 5, 2519.0))
    figure = metric_against_nfe(rows, "w1")
    assert figure.axes[0].get_ylim()[1] < 1
    assert "above the axis: 1 of 6, up to 2.52e+03" in figure.get_supxlabel()
    near = metric_against_nfe([*rows[:-1], row("adams", "edm_rho", 5, 5, 9.0)], "w1")
    assert near.axes[0].get_ylim()[1] > 9
    assert "above the axis" not in near.get_supxlabel()
