"""A figure of the loss at each level, next to the least possible loss."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats
from fokker.figures.lines import (
    as_levels,
    as_line,
    draw_lines,
    legend_above,
    line_style,
    positive,
    say_above,
    unseen,
)
from fokker.figures.style import BLACK, STYLE, WIDTH_INCHES, plain
from fokker.levels import Axis

_HEIGHT_INCHES, _EXCESS_INCHES = 3.9, 2.0


def loss_per_level(
    axis: Axis,
    curves: Mapping[str, ArrayLike],
    level: ArrayLike,
    floor: ArrayLike | None = None,
    excess: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Draw losses against their level, one line for each curve, losses on a logarithmic axis.

    With `excess` there is a second panel below: the loss less its floor, in the same lines. It is
    an argument and not computed here, because close to the floor the difference of two estimates
    is noise. A logarithmic axis cannot hold an excess of 0 or below, an error of 0, or a curve
    without a positive value; these are named in words.

    Args:
        axis: the meaning of the levels and the losses.
        curves: the loss by name, (b,) each; NaN leaves a gap.
        level: the levels, (b,), in any order.
        floor: the least possible loss, (b,), drawn dashed.
        excess: the excess over the floor by name of the curve, (b,), in the unit of the curves.

    Raises:
        ValueError: no curve, lengths that differ, levels that are not finite or, on a logarithmic
            axis, not positive, no curve with a positive value, or an excess of no curve.
    """
    levels = as_levels("level", level, axis.is_log)
    order = np.argsort(levels)
    given = {n: as_line(f"curves[{n!r}]", v, "level", levels)[order] for n, v in curves.items()}
    lines = {name: positive(line) for name, line in given.items()}
    ends = _ends(lines)
    least = None if floor is None else as_line("floor", floor, "level", levels)[order]
    styles = {name: line_style(i, len(curves), levels.size) for i, name in enumerate(curves)}
    above = _excesses(excess or {}, styles, levels)
    with matplotlib.rc_context(STYLE):
        height = _HEIGHT_INCHES + (_EXCESS_INCHES if above else 0.0)
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        if above:
            axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
            draw_lines(below, levels, above, [styles[name] for name in above], axis.is_log)
            below.set_ylabel(f"excess over the floor\n({axis.unit})")
        else:
            axes = below = figure.add_subplot()
        handles = [axes.plot(levels[order], y, **styles[name])[0] for name, y in lines.items()]
        labels = [plain(name) for name in lines]
        axes.set(xscale="log" if axis.is_log else "linear", yscale="log")
        if least is not None:
            drawn, label, ends = _draw_floor(axes, levels[order], least, ends)
            handles, labels = [*handles, drawn], [*labels, label]
        axes.set_ylim(ends[0] / 1.6, ends[1] * 1.6)
        say_above(axes, "; ".join(unseen(given, 0.0)))
        below.set_xlabel(axis.label)
        axes.set_ylabel(f"{axis.quantity}\n({axis.unit})")
        axes.grid(True, which="major")
        axes.set_axisbelow(True)
        # The figure grows by the lines of notes, so that panels keep their height.
        said = [panel.get_title(loc="left") for panel in figure.axes]
        figure.set_figheight(height + 0.17 * sum(s.count("\n") + 1 for s in said if s))
        legend_above(figure, handles, labels)
    return figure


def _ends(lines: Mapping[str, Floats]) -> tuple[float, float]:
    """Return the lowest and the highest value of lines in which NaN stands for no value.

    Raises:
        ValueError: no line has a value.
    """
    if not lines:
        raise ValueError("curves must hold at least one curve, got none")
    values = np.concatenate(list(lines.values()))
    if bool(np.isnan(values).all()):
        first = next(iter(lines))
        raise ValueError(f"curves[{first!r}] must have a positive value, got none: nothing to draw")
    return float(np.nanmin(values)), float(np.nanmax(values))


def _excesses(
    excess: Mapping[str, ArrayLike], styles: Mapping[str, object], levels: Floats
) -> dict[str, Floats]:
    """Return the excess of each curve that has one.

    Raises:
        ValueError: an excess of no curve, or of another length.
    """
    for name in excess:
        if name not in styles:
            raise ValueError(f"excess must name curves of {list(styles)}, got {name!r}")
    return {n: as_line(f"excess[{n!r}]", values, "level", levels) for n, values in excess.items()}


def _draw_floor(
    axes: Axes, levels: Floats, floor: Floats, ends: tuple[float, float]
) -> tuple[Line2D, str, tuple[float, float]]:
    """Draw the least possible loss, dashed.

    Args:
        axes: the panel.
        levels: the levels in order, (b,).
        floor: the least possible loss at each of them, (b,).
        ends: the lowest and the highest value of the curves.
    Returns:
        the line, its label, and the ends with the floor.
    """
    low, high = ends
    known = floor[np.isfinite(floor) & (floor > 0)]
    # A finite data set's floor falls to 1e-300 at small sigma and would flatten the curves.
    low, high = max(min([low, *known]), low / 100), max([high, *known])
    # A 0 is far below the axis, so that the line leads there: a gap means no value.
    drawn = np.where(floor == 0, low / 1e6, positive(floor))
    (line,) = axes.plot(levels, drawn, color=BLACK, linestyle=(0, (4, 2)), zorder=3)
    label = "floor (exact)" if known.size else "floor (exact), 0 at every level"
    return line, label, (low, high)
