"""A figure of a search: its best values over the trials, and the effect of each parameter."""

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fokker.figures.arrays import Floats
from fokker.figures.lines import legend_above, round_log_ticks
from fokker.figures.panels import plain_ticks
from fokker.figures.style import BLACK, BLUE, ORANGE, STYLE, VERMILION, WIDTH_INCHES, plain

_COLUMNS = 3
_WIDE_INCHES, _PANEL_INCHES = 2.3, 1.9
_MAX_NAMES = 6
# Trials without a value are marked at the upper edge, at the parameters that were tried.
_EDGE = {"failed": (VERMILION, "x", 0.95), "pruned": (ORANGE, "v", 0.87)}


def trials_and_parameters(
    values: Sequence[float | None],
    costs: Sequence[float],
    statuses: Sequence[str],
    parameters: Mapping[str, Sequence[object]],
    metric: str,
    logarithmic: Collection[str] = (),
) -> Figure:
    """Draw a metric against the trial's number, with the best so far, and against each parameter.

    The metric's axis is logarithmic if all values are positive. Failed and pruned trials without a
    value are marks at the upper edge. Trials that have not ended are left out.

    Args:
        values: the values of the metric, one for each trial in order; None for no value.
        costs: a number for each trial, least for the best one; infinite if there is no value.
        statuses: `completed`, `pruned`, `failed`, `diverged`, or another one while a trial has not
            ended.
        parameters: the values for the trials by parameter: numbers, or texts, which get a place
            each.
        metric: the name of the metric.
        logarithmic: the parameters with a logarithmic axis.

    Raises:
        ValueError: no value at all, or lists of different lengths.
    """
    count = len(values)
    known = _known(values, {"costs": costs, "statuses": statuses, **parameters}, metric)
    edge = {
        "failed": [i for i, s in enumerate(statuses) if s in ("failed", "diverged")],
        "pruned": [i for i, s in enumerate(statuses) if s == "pruned"],
    }
    best = int(np.argmin([c if np.isfinite(v) else np.inf for c, v in zip(costs, known)]))
    with matplotlib.rc_context(STYLE):
        lines = -(-len(parameters) // _COLUMNS)
        figure = Figure(
            figsize=(WIDTH_INCHES, _WIDE_INCHES + _PANEL_INCHES * lines), layout="constrained"
        )
        columns = min(_COLUMNS, len(parameters)) or 1
        grid = figure.add_gridspec(
            1 + lines, columns, height_ratios=[_WIDE_INCHES, *[_PANEL_INCHES] * lines]
        )
        first = figure.add_subplot(grid[0, :])
        handles = _draw(first, np.arange(count, dtype=np.float64), known, edge, best, metric)
        handles["best so far"] = _draw_best(first, known, costs)
        first.set_xlim(-0.5 - count / 80, count - 0.5 + count / 80)
        first.xaxis.set_major_locator(MaxNLocator(integer=True))
        first.set_xlabel("trial")
        for i, (name, column) in enumerate(parameters.items()):
            axes = figure.add_subplot(grid[1 + i // columns, i % columns], sharey=first)
            x = _places(axes, column, name in logarithmic, WIDTH_INCHES / columns - 0.5)
            _draw(axes, x, known, edge, best, metric)
            axes.set_xlabel(plain(name))
            axes.tick_params(labelleft=i % columns == 0)
            axes.set_ylabel(plain(metric) if i % columns == 0 else "")
        _scale(first, known)
        legend_above(figure, list(handles.values()), list(handles))
    return figure


def _known(
    values: Sequence[float | None], beside: Mapping[str, Sequence[object]], metric: str
) -> Floats:
    """Return the values, NaN where there is none; check that all lists have their length."""
    count = len(values)
    for name, found in beside.items():
        if len(found) != count:
            raise ValueError(f"{name} must have a value for each of {count} trials: {len(found)}")
    known = np.array([np.nan if value is None else float(value) for value in values])
    if not bool(np.isfinite(known).any()):
        raise ValueError(f"values must hold a finite {metric}, got none in {count} trials")
    return known


def _draw(
    axes: Axes, x: Floats, values: Floats, edge: Mapping[str, list[int]], best: int, metric: str
) -> dict[str, Any]:
    """Draw the trials as points, those without a value at the edge; return handles by name."""
    axes.set_axisbelow(True)
    axes.grid(True, which="major")
    points: dict[str, Any] = {"markersize": 4.0, "linestyle": "none"}
    (done,) = axes.plot(x, values, marker="o", color=BLUE, alpha=0.75, **points)
    (star,) = axes.plot(
        x[best], values[best], marker="*", color=BLACK, markersize=9, linestyle="none", zorder=3
    )
    handles = {"completed": done, "best": star}
    for name, which in edge.items():
        if which:
            colour, marker, height = _EDGE[name]
            (handles[f"{name} (no value)"],) = axes.plot(
                x[which], np.full(len(which), height), transform=axes.get_xaxis_transform(),
                marker=marker, color=colour, **points,
            )  # fmt: skip
    axes.set_ylabel(plain(metric))
    return handles


def _draw_best(axes: Axes, values: Floats, costs: Sequence[float]) -> Any:
    """Draw the best value up to each trial as steps."""
    least, line = np.inf, np.full(len(values), np.nan)
    for i, (value, cost) in enumerate(zip(values, costs)):
        better = bool(np.isfinite(value)) and cost < least
        least = cost if better else least
        line[i] = value if better else line[i - 1] if i else np.nan
    (handle,) = axes.step(np.arange(len(line)), line, where="post", color=BLACK, linewidth=1.0)
    return handle


def _places(axes: Axes, column: Sequence[object], is_log: bool, inches: float) -> Floats:
    """Return the places of a parameter's values on its axis, and set its ticks."""
    if any(isinstance(value, str) for value in column):
        names = sorted({str(value) for value in column}, key=_as_numbers)
        axes.set_xlim(-0.5, len(names) - 0.5)
        letters = max(4, int(inches / 0.075 / len(names)))
        shown = [textwrap.shorten(plain(n), letters + 2, placeholder="…") for n in names]
        upright = len(names) > _MAX_NAMES
        axes.set_xticks(range(len(names)), shown, rotation=90 if upright else 0)
        return np.array([names.index(str(value)) for value in column], dtype=np.float64)
    x = np.array(column, dtype=np.float64)
    low, high = float(x.min()), float(x.max())
    if is_log and high > low > 0:
        axes.set_xscale("log")
        axes.set_xlim(low * (low / high) ** 0.06, high * (high / low) ** 0.06)
        round_log_ticks(axes.xaxis, axes.get_xlim(), inches)
        return x
    margin = 0.06 * (high - low) or 0.5 * abs(low) or 0.5
    axes.set_xlim(low - margin, high + margin)
    whole = all(isinstance(value, int) for value in column)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole, steps=[1, 2, 5, 10]))
    plain_ticks(axes.xaxis)
    return x


def _as_numbers(name: str) -> tuple[float, str]:
    """Return a sort key that puts numbers first, by size, and then other texts."""
    try:
        return (float(name), name)
    except ValueError:
        return (np.inf, name)


def _scale(axes: Axes, values: Floats) -> None:
    """Set the shared axis of the metric, with room for the marks at the upper edge."""
    shown = values[np.isfinite(values)]
    low, high = float(shown.min()), float(shown.max())
    if low > 0:
        factor = max(high / low, 1.5)
        axes.set_yscale("log")
        axes.set_ylim(low / factor**0.08, high * factor**0.28)
        round_log_ticks(axes.yaxis, axes.get_ylim(), _WIDE_INCHES - 0.7)
    else:
        size = high - low or 1.0
        axes.set_ylim(low - 0.08 * size, high + 0.28 * size)
