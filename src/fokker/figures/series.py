"""Series as lines against time: a few of them, and the band of nearly all."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fokker.figures.arrays import Floats, thin
from fokker.figures.lines import COLOURS

MAX_LINES = 5
BAND = (0.05, 0.95)
# The half width of the line for a series of a single time.
_ALONE = 0.4
# Lines of more times than this are an image in the PDF.
_MANY_TIMES = 1000


def as_series(rows: Floats, shape: tuple[int, ...]) -> Floats:
    """Return samples (n, d) of shape (time, features) or (time,) as (n, time, features)."""
    return rows.reshape(len(rows), shape[0], -1)


def extremes(values: Floats) -> Floats:
    """Return the least and the greatest value over time: series (n, time, f) to (2 n, f).

    Their quantiles tell which share of whole series lies within limits.
    """
    return np.concatenate([values.min(axis=1), values.max(axis=1)])


def series_note(count: int, features: int, shown: int) -> str:
    """Return a note on which of `count` series, and of their features, are drawn."""
    note = "lines: all there are"
    if count > MAX_LINES:
        note = f"lines: the first {MAX_LINES}; grey: 90% of all at each time"
    return note if shown == features else f"{note}; features 1 to {shown} of {features}"


def draw_series(axes: Axes, values: Floats, limits: tuple[float, float]) -> None:
    """Draw the first five series of a feature (n, time), above the band of 90% at each time."""
    few = values[:MAX_LINES]
    low, high = np.quantile(thin(values), BAND, axis=0)
    times = np.arange(values.shape[1], dtype=np.float64)
    if len(times) == 1:
        # A single point would not be visible as a line.
        times = np.array([-_ALONE, _ALONE])
        few, low, high = (np.repeat(a, 2, axis=-1) for a in (few, low, high))
    look: dict[str, Any] = {"rasterized": len(times) > _MANY_TIMES}
    if len(values) > MAX_LINES:
        axes.fill_between(times, low, high, color="0.88", linewidth=0, **look)
    for line, colour in zip(few, COLOURS, strict=False):
        axes.plot(times, line, color=colour, linewidth=0.9, **look)
    axes.set_xlim(times[0], times[-1])
    axes.set_ylim(*limits)
    if values.shape[1] == 1:
        axes.set_xticks([0])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
