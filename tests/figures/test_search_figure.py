"""A search's figure: the trials in their order, the best so far, and each parameter."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from fokker.figures import trials_and_parameters

VALUES = [0.5, None, 0.2, 0.8, None, 0.1, None]
STATUSES = ["completed", "failed", "completed", "completed", "pruned", "completed", "running"]
RATES = [1e-4, 1e-2, 1e-3, 5e-3, 1e-2, 2e-3, 1e-3]
MARKS = ["completed", "best", "failed (no value)", "pruned (no value)", "best so far"]
WIDTHS = ["128", "32", "64", "128", "32", "64", "64"]


def costs(values: list[float | None]) -> list[float]:
    return [math.inf if value is None else value for value in values]


def drawn(**changes: Any) -> Figure:
    given: dict[str, Any] = {
        "values": VALUES,
        "costs": costs(VALUES),
        "statuses": STATUSES,
        "parameters": {"lr": RATES, "width": WIDTHS, "depth": [1, 2, 3, 1, 2, 3, 1]},
        "metric": "w1",
        "logarithmic": ["lr"],
    }
    return trials_and_parameters(**{**given, **changes})


def points(axes: Any, which: int) -> list[tuple[float, float]]:
    """Of a line, without those that are not shown."""
    found = np.asarray(axes.lines[which].get_xydata())
    return [(float(x), float(y)) for x, y in found if not math.isnan(y)]


def names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_trials_stand_at_their_numbers_and_values() -> None:
    figure = drawn()
    first, lr, width, depth = figure.axes
    assert names(figure) == MARKS
    assert points(first, 0) == [(0, 0.5), (2, 0.2), (3, 0.8), (5, 0.1)]
    assert points(first, 1) == [(5, 0.1)]
    assert [x for x, _ in points(first, 2)] == [1]
    assert [x for x, _ in points(first, 3)] == [4]
    assert points(first, 4) == [
        (0, 0.5), (1, 0.5), (2, 0.2), (3, 0.2), (4, 0.2), (5, 0.1), (6, 0.1)
    ]  # fmt: skip
    assert (first.get_ylabel(), first.get_xlabel()) == ("w1", "trial")
    assert [axes.get_xlabel() for axes in (lr, width, depth)] == ["lr", "width", "depth"]
    assert points(lr, 0) == [(1e-4, 0.5), (1e-3, 0.2), (5e-3, 0.8), (2e-3, 0.1)]
    assert lr.get_xscale() == "log"
    assert depth.get_xscale() == "linear"
    # Numbers that are texts stand in the order of their size.
    assert [label.get_text() for label in width.get_xticklabels()] == ["32", "64", "128"]
    assert points(width, 0) == [(2, 0.5), (1, 0.2), (2, 0.8), (1, 0.1)]
    for axes in figure.axes:
        assert axes.get_yscale() == "log"
        assert axes.get_ylim() == first.get_ylim()
        low, high = axes.get_ylim()
        assert low < 0.1
        assert high > 0.8


def test_the_best_is_what_costs_least() -> None:
    figure = drawn(costs=[0.5, math.inf, 0.8, 0.2, math.inf, 0.9, math.inf])
    first = figure.axes[0]
    assert points(first, 1) == [(3, 0.8)]
    assert [y for _, y in points(first, 4)] == [0.5, 0.5, 0.5, 0.8, 0.8, 0.8, 0.8]


def test_a_first_trial_without_a_value_and_one_parameter() -> None:
    values = [None, -0.5, 1.0]
    figure = drawn(
        values=values, costs=costs(values), statuses=["diverged", "completed", "completed"],
        parameters={"data": ["ring8", "uniform", "a long name of some data"]},
    )  # fmt: skip
    first = figure.axes[0]
    assert names(figure) == [*MARKS[:3], MARKS[-1]]
    assert points(first, 3) == [(1, -0.5), (2, -0.5)]
    assert first.get_yscale() == "linear"
    figure.draw_without_rendering()


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="values must hold a finite w1, got none in 7 trials"):
        drawn(values=[None] * 7)
    with pytest.raises(ValueError, match="lr must have a value for each of 7 trials: 2"):
        drawn(parameters={"lr": [1, 2]})
