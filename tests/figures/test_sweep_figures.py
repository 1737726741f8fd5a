"""Error bars, bars of single changes, and fronts: what is drawn is what was given."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from fokker.figures import Bar, factor_bars, front_per_nfe, metric_against_nfe
from fokker.figures.front_per_nfe import front_of


def segments(axes: Axes) -> list[list[list[float]]]:
    """The ends of every error bar."""
    return [
        np.asarray(segment).tolist()
        for collection in axes.collections
        for segment in collection.get_segments()  # type: ignore[attr-defined]
    ]


def row(steps: int, w1: Any, error: Any = None, sampler: str = "heun") -> dict[str, Any]:
    found = {"line": sampler, "panel": "g", "num_steps": steps, "nfe": 3 * steps, "w1": w1}
    return found if error is None else {**found, "w1_standard_error": error}


# ---- a metric against NFE --------------------------------------------------------------------


def test_an_error_bar_is_one_error_up_and_down() -> None:
    rows = [row(4, 0.5, 0.1), row(8, 0.25, "0.05"), row(16, 0.125), row(32, 0.1, math.nan)]
    figure = metric_against_nfe(rows, "w1", bars="of the moon")
    (axes,) = figure.axes
    assert segments(axes) == [
        [[12, pytest.approx(0.4)], [12, pytest.approx(0.6)]],
        [[24, pytest.approx(0.2)], [24, pytest.approx(0.3)]],
    ]
    assert figure.get_supxlabel().endswith("\nbars: of the moon")
    assert "bars" not in metric_against_nfe(rows[2:], "w1").get_supxlabel()


def test_a_bar_that_reaches_below_0_ends_above_it_and_flattens_nothing() -> None:
    rows = [row(4, 0.5, 40.0), row(8, 0.25, 0.25)]
    (axes,) = metric_against_nfe(rows, "w1").axes
    ends = [[low[1], high[1]] for low, high in segments(axes)]
    assert all(0 < low < value for (low, _), value in zip(ends, (0.5, 0.25)))
    assert [high for _, high in ends] == pytest.approx([40.5, 0.5])
    low, high = axes.get_ylim()
    assert high > 40.5
    assert 0.05 < low < 0.25


def test_seeds_in_one_figure_have_no_bar_of_a_single_one() -> None:
    (axes,) = metric_against_nfe([row(4, 0.5, 0.1), row(4, 0.7, 0.1)], "w1").axes
    assert segments(axes) == []


def test_what_is_not_shown_is_counted() -> None:
    rows = [row(4, 0.5), row(8, math.nan), row(16, 0), row(32, -1.0), row(64, math.inf)]
    rows += [row(128, None), row(256, "")]
    figure = metric_against_nfe(rows, "w1")
    assert figure.get_supxlabel().endswith(
        "not shown: 4 of 5, which are NaN, infinite, or not above 0"
    )
    assert "not shown" not in metric_against_nfe(rows[:1], "w1").get_supxlabel()


def test_points_of_the_data_are_a_dotted_line_in_every_panel() -> None:
    rows = [row(4, 0.5), row(8, 0.2), {**row(4, 0.3), "panel": "h"}]
    figure = metric_against_nfe(rows, "w1", of_data=0.004)
    for axes in figure.axes:
        assert axes.get_ylim()[0] < 0.004
        assert list(np.asarray(axes.lines[-1].get_ydata())) == [0.004, 0.004]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["heun", "as many points of the data"]


# ---- bars ------------------------------------------------------------------------------------


def lengths(axes: Axes) -> list[tuple[float, float]]:
    """Where each bar begins and how long it is."""
    bars = [c for c in axes.containers if isinstance(c, BarContainer)]
    return [(box.get_x(), box.get_width()) for bar in bars for box in bar]


def numbers(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def dots(axes: Axes) -> list[float]:
    found = [line for line in axes.lines if line.get_marker() in ("o", "D")]
    return [float(np.asarray(line.get_xdata())[0]) for line in found]


def stems(axes: Axes) -> list[list[float]]:
    """From where each dot's line comes; the baseline's dashed line and the axis are none."""
    found = [line for line in axes.lines if line.get_marker() == "None"]
    return [np.asarray(line.get_xdata()).tolist() for line in found if line.get_linestyle() == "-"]


def bars(*values: float) -> list[Bar]:
    return [Bar(f"k{i // 2}", f"n{i}", {"w1": v}, {"w1": v / 10}) for i, v in enumerate(values)]


def test_bars_are_lengths_from_0() -> None:
    figure = factor_bars(bars(0.5, 0.25, 1.0), {"w1": "W1 (mm)"}, "of the moon", "what it is")
    (axes,) = figure.axes
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > 1.1
    assert lengths(axes) == [(0, 0.5), (0, 0.25), (0, 1.0)]
    assert [(a[0], b[0]) for a, b in segments(axes)] == [
        pytest.approx(ends) for ends in ((0.45, 0.55), (0.225, 0.275), (0.9, 1.1))
    ]
    assert numbers(axes) == ["0.500", "0.250", "1.00"]
    assert axes.get_xlabel() == "W1 (mm)"
    assert figure.get_supxlabel() == "error bars: of the moon"
    assert figure.get_suptitle() == "what it is"
    # The first stands on top, and bars of another key apart.
    low, high = axes.get_ylim()
    assert low > high
    ticks = axes.get_yticks()
    assert ticks[2] - ticks[1] > ticks[1] - ticks[0] > 0
    assert [t.get_text() for t in axes.get_yticklabels()] == ["n0", "n1", "n2"]


def test_beyond_a_factor_of_20_they_are_dots_with_lines_from_the_baseline() -> None:
    (axes,) = factor_bars(bars(0.5, 0.02, 11.0), {"w1": "W1"}).axes
    assert axes.get_xscale() == "log"
    assert lengths(axes) == []
    assert dots(axes) == [0.5, 0.02, 11.0]
    assert stems(axes) == [[0.5, 0.5], [0.5, 0.02], [0.5, 11.0]]
    low, high = axes.get_xlim()
    assert low < 0.018
    assert high > 12.1
    (axes,) = factor_bars(bars(0.5, 0.1, 1.9), {"w1": "W1"}).axes
    assert axes.get_xscale() == "linear"


def test_what_no_bar_can_show_has_its_number() -> None:
    given = [
        Bar("", "baseline", {"w1": math.nan}),
        Bar("k", "k=1", {"w1": math.inf}),
        Bar("k", "k=2", {}, note="failed"),
        Bar("k", "k=3", {"w1": -0.25}),
        Bar("k", "k=4", {"w1": 0.0}),
        Bar("k", "k=5", {"w1": 12345.6}),
        Bar("k", "k=6", {"w1": 100.0}),
    ]
    (axes,) = factor_bars(given, {"w1": "W1"}).axes
    assert numbers(axes) == ["nan", "inf", "failed", "\u22120.250", "0", "12,346", "100"]
    # On a logarithmic axis neither 0 nor what is below it has a dot, nor is there a baseline.
    assert dots(axes) == [12345.6, 100.0]
    assert stems(axes) == []
    (axes,) = factor_bars(given[:5], {"w1": "W1"}).axes
    assert lengths(axes) == [(0, -0.25), (0, 0)]
    assert axes.get_xlim()[0] < -0.25
    (axes,) = factor_bars(given[:3], {"w1": "W1"}).axes
    assert [*lengths(axes), *dots(axes)] == []


def test_a_panel_a_metric() -> None:
    given = [Bar("", f"s{i}", dict.fromkeys("abcd", i + 1.0)) for i in range(30)]
    for count in (1, 2, 3, 4):
        figure = factor_bars(given, {m: m.upper() for m in "abcd"[:count]})
        panels = [axes for axes in figure.axes if axes.get_visible()]
        assert [axes.get_xlabel() for axes in panels] == list("ABCD"[:count])
        assert all(len(axes.texts) == 30 for axes in panels)
        assert figure.get_supxlabel() == ""


@pytest.mark.parametrize(
    ("given", "labels", "message"),
    [
        (bars(1.0), {"w1": "W1"}, "at least two to compare, got 1"),
        (bars(1.0, 2.0), {}, "one to four metrics, got 0"),
        (bars(1.0, 2.0), dict.fromkeys("abcde", ""), "one to four metrics, got 5"),
    ],
)
def test_refusals(given: list[Bar], labels: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factor_bars(given, labels)


# ---- fronts ----------------------------------------------------------------------------------


def test_the_front_is_what_nothing_cheaper_beats() -> None:
    points = [(10, 1.0), (5, 2.0), (10, 0.5), (20, 0.7), (40, 0.1), (40, 0.1), (5, 3.0)]
    assert [points[i] for i in front_of(points)] == [(5, 2.0), (10, 0.5), (40, 0.1)]
    figure: Figure = front_per_nfe({"a": points[:3], "b": points[3:]}, "W1")
    (axes,) = figure.axes
    step = axes.lines[-1]
    x, y = np.asarray(step.get_xdata()), np.asarray(step.get_ydata())
    assert x[:3].tolist() == [5, 10, 40]
    assert y.tolist() == [2.0, 0.5, 0.1, 0.1]
    assert step.get_drawstyle() == "steps-post"
    assert [len(np.asarray(line.get_xdata())) for line in axes.lines[:2]] == [3, 4]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "a", "b", "the best up to each NFE",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "groups",
    [{}, {"a": [(1, 0.0)]}, {"a": [(1, math.nan)]}, {c: [(1, 1.0)] for c in "abcdefg"}],
)
def test_a_front_of_nothing_is_refused(groups: dict[str, list[tuple[float, float]]]) -> None:
    with pytest.raises(ValueError, match="groups must"):
        front_per_nfe(groups, "W1")
