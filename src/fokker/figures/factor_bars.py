"""A figure of the effect of each change: a bar for the baseline, one for each single change."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from fokker.figures.lines import round_log_ticks
from fokker.figures.panels import plain_ticks
from fokker.figures.style import BLUE, STYLE, WIDTH_INCHES, plain

#: Above this ratio of the largest to the smallest value, the smallest bar would be invisible.
MAX_RATIO = 20
_BASELINE = "0.25"
_GAP = 0.5
_LETTERS_A_NAME = 34
_LETTERS_A_LABEL = 34
_LETTERS_A_TITLE = 95
# The room for the numbers next to the bars.
_ROOM_INCHES = 0.62


@final
@dataclass(frozen=True)
class Bar:
    """The bar of one setting.

    Attributes:
        group: the parameter that was changed; bars of a group stand together.
        name: the text at the bar.
        values: the values by metric; a missing metric has `note` in place of a bar.
        errors: standard errors or deviations, by metric, if known.
        note: the reason why there is no value, such as `failed`.
    """

    group: str
    name: str
    values: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)
    note: str = "not known"


def factor_bars(
    bars: Sequence[Bar],
    labels: Mapping[str, str],
    what: str = "1 standard error",
    title: str = "",
) -> Figure:
    """Draw a panel for each metric and a bar for each setting; the baseline comes first.

    The baseline's value is also a dashed line in all panels. Bars are lengths from 0 on a linear
    axis. If the positive values of a metric span a factor of more than 20, they are dots on a
    logarithmic axis, with a line from the baseline's value: a length would mean nothing there.
    Each has its number next to it. So do NaN and infinite values, and values at or below 0, which a
    logarithmic axis cannot hold.

    Args:
        bars: the bars, at least two.
        labels: the label of each metric, with its unit: one panel each, one to four.
        what: the meaning of the error bars.
        title: the title, such as a description of the baseline.

    Raises:
        ValueError: fewer than two bars, or no metric or more than four.
    """
    if len(bars) < 2:
        raise ValueError(f"bars must be at least two to compare, got {len(bars)}")
    if not 1 <= len(labels) <= 4:
        raise ValueError(f"labels must name one to four metrics, got {len(labels)}")
    groups = list(dict.fromkeys(bar.group for bar in bars))
    places = np.array([i + _GAP * groups.index(bar.group) for i, bar in enumerate(bars)])
    columns = min(len(labels), 2)
    rows = -(-len(labels) // columns)
    bar_inches = 0.21 if len(bars) <= 14 else 0.17
    names = [_short(bar.name) for bar in bars]
    # About 0.065 inch a letter at 8 pt.
    inches = (WIDTH_INCHES - 0.065 * max(map(len, names)) - 0.3) / columns - 0.15
    below = {metric: textwrap.fill(label, _LETTERS_A_LABEL) for metric, label in labels.items()}
    lines = 1 + max(text.count("\n") for text in below.values())
    with matplotlib.rc_context(STYLE):
        height = rows * (bar_inches * (places[-1] + 1.4) + 0.4 + 0.16 * lines) + 0.25
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, (metric, label) in zip(panels, below.items()):
            _draw(axes, bars, metric, places, inches)
            axes.set_xlabel(label)
        panels[0].set_ylim(places[-1] + 0.7, -0.7)
        panels[0].set_yticks(places, names)
        for i, axes in enumerate(panels):
            axes.tick_params(axis="y", length=0, labelleft=i % columns == 0)
            axes.set_visible(i < len(labels))
        if any(_error(bar, metric) for bar in bars for metric in labels):
            figure.supxlabel(f"error bars: {what}", fontsize=8)
        if title:
            text = textwrap.fill(plain(title), _LETTERS_A_TITLE)
            figure.suptitle(text, fontsize=8)
            figure.set_figheight(height + 0.15 * (text.count("\n") + 1))
    return figure


def _short(name: str) -> str:
    """Return the name, or its two ends if it is long."""
    half = _LETTERS_A_NAME // 2
    return plain(name if len(name) <= _LETTERS_A_NAME else f"{name[:half]}…{name[-half:]}")


def _draw(axes: Axes, bars: Sequence[Bar], metric: str, places: Any, inches: float) -> None:
    """Draw one metric on an axis of this length."""
    shown = [v for bar in bars if math.isfinite(v := bar.values.get(metric, math.nan))]
    positive = [value for value in shown if value > 0]
    is_log = bool(positive) and max(positive) > MAX_RATIO * min(positive)
    if is_log:
        axes.set_xscale("log")
    seen = positive if is_log else shown
    errors = [_error(bar, metric) for bar in bars if bar.values.get(metric) in seen]
    low, high = _limits(seen, errors, is_log, _ROOM_INCHES / inches)
    axes.set_xlim(low, high)
    baseline = bars[0].values.get(metric)
    start = baseline if baseline in seen else None
    if start is not None:
        axes.axvline(start, color=_BASELINE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for i, (bar, place) in enumerate(zip(bars, places)):
        value = bar.values.get(metric)
        axes.text(
            0.985, place, bar.note if value is None else _digits(value), ha="right", va="center",
            fontsize=8, transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        if value is None or value not in seen:
            continue
        colour = _BASELINE if i == 0 else BLUE
        if is_log:
            if start is not None:
                axes.plot([start, value], [place, place], color=colour, linewidth=1.2)
            marker = "D" if i == 0 else "o"
            axes.plot([value], [place], marker, color=colour, markersize=5)
        else:
            axes.barh(place, value, height=0.66, color=colour)
        error = _error(bar, metric)
        if error:
            below = min(error, 0.999 * value) if is_log else error
            axes.errorbar(
                value, place, xerr=[[below], [error]], fmt="none", capsize=2,
                ecolor="black", elinewidth=0.9, zorder=3,
            )  # fmt: skip
    axes.set_axisbelow(True)
    axes.grid(True, which="major", axis="x")
    _ticks(axes, (low, high), inches, bool(seen))


def _error(bar: Bar, metric: str) -> float:
    error = bar.errors.get(metric)
    return error if error is not None and math.isfinite(error) and error > 0 else 0.0


def _digits(value: float) -> str:
    """Return a number with exactly three digits and a true minus."""
    if value == 0:
        return "0"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e5 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "\u2212")


def _limits(
    seen: Sequence[float], errors: Sequence[float], is_log: bool, room: float
) -> tuple[float, float]:
    """Return the limits of the axis, with a share of it on the right for the numbers."""
    if not seen:
        return 0.0, 1.0
    high, more = max(value + error for value, error in zip(seen, errors)), room / (1 - room)
    if is_log:
        # A dot on the very edge would be cut off.
        low = min(max(value - error, value / 2) for value, error in zip(seen, errors)) / 1.3
        return low, high * (high * 1.1 / low) ** more
    low = min(0.0, *(value - error for value, error in zip(seen, errors)))
    width = 1.03 * (max(high, 0.0) - low) or 1.0
    return low - (0.04 * width if low < 0 else 0), low + width * (1 + more)


def _ticks(axes: Axes, limits: tuple[float, float], inches: float, is_seen: bool) -> None:
    if not is_seen:
        axes.xaxis.set_major_locator(NullLocator())
    elif axes.get_xscale() == "log":
        if limits[1] < 1000 * limits[0]:
            round_log_ticks(axes.xaxis, limits, inches)
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(max(2, int(inches / 0.5)), steps=[1, 2, 5, 10]))
        plain_ticks(axes.xaxis)
