"""A figure of the quality of samples against the work for them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats
from fokker.figures.lines import legend_above, line_style, round_log_ticks
from fokker.figures.style import STYLE, WIDTH_INCHES, plain
from fokker.measures import Measure

_KEYS = ("line", "panel", "num_steps", "nfe")
_MAX_COLUMNS = 3
# Values above this many times the third quartile do not determine the axis.
FAR = 100.0
#: The key of the data's own line; no sampler has this name.
OF_DATA = ""
_AXES = {
    "nfe": "NFE (network evaluations a sample)",
    "num_steps": "number of steps $N$",
}

Row = Mapping[str, Any]
#: x, y and the standard error of y, which is NaN if it is not known.
Point = tuple[float, float, float]
Points = dict[str, list[Point]]


def metric_against_nfe(
    rows: Iterable[Row],
    metric: str,
    against: Literal["nfe", "num_steps"] = "nfe",
    label: str | None = None,
    bars: str = "1 standard error",
    of_data: float | None = None,
) -> Figure:
    """Draw a metric against NFE or N, both logarithmic, with a line for each way to sample.

    There are one or several panels, all with the same limits; lines of one name look alike in
    all. Rows that agree in line, panel and N (several seeds) are one point, at their median. A
    single row has an error bar if it has `<metric>_standard_error`; a bar that reaches below 0
    ends at the axis. A row with num_steps None (an adaptive sampler) is a marker of its own
    against NFE, and is left out against N. A row with panel None is drawn in every panel. Rows
    without a positive, finite metric are left out and counted below, and so are points far above
    the others; the legend names a line that has no other points.

    Args:
        rows: mappings with the keys line, panel, num_steps, nfe, and the metric where known.
        metric: the key of the metric.
        against: the quantity on the horizontal axis.
        label: the label of the metric, with its unit; its key by default.
        bars: the meaning of the error bars, written below the axis if there are any.
        of_data: the metric of as many points of the data, a dotted line; null for none.

    Raises:
        ValueError: a row without one of the keys, another `against`, or nothing to draw.
    """
    table = list(rows)
    if against not in _AXES:
        raise ValueError(f"against must be one of {list(_AXES)}, got {against!r}")
    for i, row in enumerate(table):
        missing = [key for key in _KEYS if key not in row]
        if missing:
            raise ValueError(f"rows[{i}] must have the keys {list(_KEYS)}, got none of {missing}")
    usable = [row for row in table if _positive(row.get(metric)) and _positive(row[against])]
    if not usable:
        raise ValueError(
            f"rows must hold a positive {metric} and {against}, got none in {len(table)} rows: "
            "nothing to draw"
        )
    names = list(dict.fromkeys(str(row["line"]) for row in table))
    known = dict.fromkeys(row["panel"] for row in usable if row["panel"] is not None)
    titles = list(known) or [None]
    panels = [
        _points([row for row in usable if row["panel"] in (title, None)], metric, against)
        for title in titles
    ]
    below = _AXES[against]
    if any(point[2] > 0 for panel in panels for points in panel.values() for point in points):
        below += f"\nbars: {bars}"
    measured = [row for row in table if row.get(metric) not in (None, "")]
    unseen = sum(not _positive(row[metric]) for row in measured)
    if unseen:
        count = f"{unseen} of {len(measured)}"
        below += f"\nnot shown: {count}, which are NaN, infinite, or not above 0"
    with matplotlib.rc_context(STYLE):
        return _draw(panels, titles, names, label or plain(metric), below, _positive(of_data))


def _positive(value: Any) -> float:
    """Return the value as a number if it is positive and finite, otherwise 0."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


def _points(rows: Sequence[Row], metric: str, against: str) -> Points:
    """Return the points of each sampler's line, from left to right."""
    groups: dict[Any, list[Point]] = {}
    for i, row in enumerate(rows):
        # Adaptive samplers differ in their tolerances, which are unknown here.
        alike = row["num_steps"] if row["num_steps"] is not None else f"adaptive {i}"
        error = _positive(row.get(f"{metric}_standard_error")) or math.nan
        point = (_positive(row[against]), _positive(row[metric]), error)
        groups.setdefault((str(row["line"]), row["panel"], alike), []).append(point)
    found: Points = {}
    for (sampler, _, _), points in groups.items():
        x, y, error = np.median(np.array(points), axis=0)
        alone = float(error) if len(points) == 1 else math.nan
        found.setdefault(sampler, []).append((float(x), float(y), alone))
    return {sampler: sorted(points) for sampler, points in found.items()}


def _draw(
    panels: Sequence[Points],
    grids: Sequence[ArrayLike],
    samplers: Sequence[str],
    label: str,
    below: str,
    of_data: float,
) -> Figure:
    columns = min(len(panels), _MAX_COLUMNS) if len(panels) != 4 else 2
    num_rows = -(-len(panels) // columns)
    panel_height = 3.2 if len(panels) == 1 else 2.1
    figure = Figure(
        figsize=(WIDTH_INCHES, panel_height * num_rows + 0.9), layout="constrained"
    )
    whole = figure.subplots(num_rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    x, y, error = np.array([p for panel in panels for points in panel.values() for p in points]).T
    handles: dict[str, Any] = {}
    # Small panels need thin lines.
    size = {} if len(panels) == 1 else {"linewidth": 1.0, "markersize": 3.0}
    for axes, panel, grid in zip(whole, panels, grids):
        for i, sampler in enumerate(samplers):
            points = np.array(panel.get(sampler, [])).reshape(-1, 3)
            (line,) = axes.plot(points[:, 0], points[:, 1], **line_style(i), **size)
            _error_bars(axes, points[~np.isnan(points[:, 2])], line.get_color())
            handles.setdefault(sampler, line)
        if of_data:
            handles[OF_DATA] = axes.axhline(of_data, color="0.4", linestyle=":", linewidth=1.0)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_axisbelow(True)
        axes.grid(True, which="major")
        if grid is not None:
            axes.set_title(plain(str(grid)))
    whole[0].set_xlim(x.min() / 1.3, x.max() * 1.3)
    # Bars that reach towards 0, and diverged values, may leave the axis so as not to flatten lines.
    reach = np.nan_to_num(error)
    far = y > FAR * np.quantile(y, 0.75)
    ends = [np.maximum(y - reach, y / 2).min(), (y + reach)[~far].max()]
    ends += [of_data] if of_data else []
    whole[0].set_ylim(min(ends) / 1.4, max(ends) * 1.4)
    if far.any():
        below += f"\nabove the axis: {far.sum()} of {len(y)}, up to {y.max():.3g}"
    for i, axes in enumerate(whole):
        round_log_ticks(axes.xaxis, axes.get_xlim(), WIDTH_INCHES / columns - 0.35)
        if i >= len(panels):
            axes.set_visible(False)
        # Shared ticks are drawn only in the lowest row, and above a panel that is missing.
        axes.tick_params(labelbottom=i + columns >= len(panels))
    figure.supxlabel(below, fontsize=9)
    figure.supylabel(label, fontsize=9)
    drawn = {sampler for panel in panels for sampler in panel}
    names = [plain(s) if s in drawn else f"{plain(s)} (not shown)" for s in samplers]
    names += ["as many points of the data"] if of_data else []
    legend_above(figure, list(handles.values()), names)
    return figure


def _error_bars(axes: Axes, points: Floats, colour: Any) -> None:
    """Draw the error bars of points (n, 3) with a known error, above 0 at either end."""
    if len(points):
        x, y, error = points.T
        ends = (np.minimum(error, 0.999 * y), error)
        axes.errorbar(x, y, ends, fmt="none", ecolor=colour, elinewidth=0.9, capsize=0)


def metric_label(measure: Measure, units: str = "data units") -> str:
    """Return the label of a metric on an axis, with its unit; distances are in `units`."""
    best = f" ({measure.better})" if measure.best == "closest to 1" else ""
    return measure.label(units) + best
