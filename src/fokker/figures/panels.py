"""Panels that several figures share: points in the plane and in space, and their ticks."""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fokker.figures.arrays import Floats, on_one_scale, thin
from fokker.figures.style import WIDTH_INCHES

_ELEVATION, _AZIMUTH = 25.0, -60.0
_MAX_SPACE_INCHES = 3.0

#: The lower and upper ends of all directions, (d,) each, of each panel.
Limits: TypeAlias = list[tuple[Floats, Floats]]


def point_style(count: int, panel_inches: float) -> dict[str, Any]:
    """Return the style of marks as large as their number and the panel's width allow.

    They are an image in the PDF.
    """
    area = float(np.clip(10000 / max(count, 1), 2.5, 8.0)) * min(1.0, panel_inches / 3) ** 2
    return {"s": max(area, 0.4), "alpha": 0.6, "linewidths": 0.0, "rasterized": True}


def scatter_plane(
    axes: Axes, rows: Floats, low: Floats, high: Floats, colour: str, panel_inches: float
) -> None:
    """Draw points (n, 2) between limits, one unit as long in both directions.

    If one direction is far wider than the other, each has a scale of its own.
    """
    drawn = thin(rows)
    axes.scatter(drawn[:, 0], drawn[:, 1], color=colour, **point_style(len(drawn), panel_inches))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    is_one = on_one_scale(low, high)
    if is_one:
        axes.set_aspect("equal", adjustable="box")
    size = high - low
    for j, axis in enumerate((axes.xaxis, axes.yaxis)):
        if is_one and size[j] < 0.6 * size.max():
            end_ticks(axis, low[j], high[j])
        else:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            plain_ticks(axis)


def end_ticks(axis: Any, low: float, high: float) -> None:
    """Set two round numbers near the ends, as a narrow panel has no room for more."""
    values = round_numbers(low, high, 4)
    ends = [values[0], values[-1]]
    axis.set_ticks(ends, [tick_label(v) for v in ends])


def ticks_have_room(low: float, high: float, inches: float) -> bool:
    """Tell whether the numbers of `end_ticks` at 8 pt, 0.071 inch a digit, stay apart."""
    values = round_numbers(low, high, 4)
    letters = len(tick_label(values[0])) + len(tick_label(values[-1]))
    return 0.071 * letters / 2 + 0.08 < inches * (values[-1] - values[0]) / (high - low)


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers between the limits, at least two, or the limits."""
    values = MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
    inside = [float(v) for v in values if low <= v <= high]
    return inside if len(inside) > 1 else [low, high]


def plain_ticks(axis: Any) -> None:
    """Set plain numbers at the ticks: a separate power of ten would collide with a label."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))


def tick_label(value: float) -> str:
    """Return six digits without trailing zeros, enough for round numbers, with a true minus."""
    return f"{value:.6g}".replace("-", "\u2212")


def number(value: float) -> str:
    """Return three digits of a positive number, two below 1, for headings."""
    if 1000 <= value < 1e5:
        return f"{value:,.0f}"
    return f"{value:.{3 if value >= 1 else 2}g}".replace("-", "\u2212")


def side_length(value: float) -> str:
    """Return a number for a narrow heading, such as `2.75e8`."""
    return re.sub(r"e\+?(\u2212?)0*", r"e\1", number(value))


def widest(limits: tuple[Floats, Floats]) -> float:
    """Return the largest width of all directions."""
    return float((limits[1] - limits[0]).max())


def boxes(limits: Limits, cube: str) -> tuple[Limits, list[str], str]:
    """Return limits of panels without ticks, a note on the sides of each, and the box's name.

    All sides have one length, unless one scale would reduce a direction to a line in some panel.

    Args:
        limits: the limits of each panel, as `span` returns them.
        cube: the name of a box with sides of one length.
    """
    if not all(on_one_scale(*ends) for ends in limits):
        sides = [
            "\n".join(f"{j + 1}: {side_length(s)}" for j, s in enumerate((high - low).tolist()))
            for low, high in limits
        ]
        return limits, sides, "box with sides 1, 2 ... as given"
    centred = []
    for low, high in limits:
        centre, half = (low + high) / 2, widest((low, high)) / 2
        centred.append((centre - half, centre + half))
    # Ticks would be illegible at this size; the length of the side carries the same information.
    sides = [f"side {side_length(widest(ends))}" for ends in limits]
    return centred, sides, f"{cube} with the side given"


@dataclass(frozen=True)
class Space:
    """A panel of points in space: (n, 3), their limits, colour and title."""

    rows: Floats
    low: Floats
    high: Floats
    colour: str
    title: str


def space_figure(
    panels: list[Space], with_ticks: bool, names: Sequence[str], units: str
) -> Figure:
    """Draw panels side by side, one unit as long in all directions, from the same point of view.

    If one direction is far wider than another, all are drawn with the same length.

    The layout uses the visible corners of the box. The layout engines of matplotlib take the
    square around a 3-D axes for its content: they leave half the page white or cut labels off.

    Args:
        panels: the panels with their own limits; their ratios of widths are those of the boxes.
        with_ticks: whether the axes have ticks.
        names: the names of the three coordinates, or one of all together, for the label below.
        units: the units of the coordinates.
    """
    panel_inches = min(WIDTH_INCHES / 2, WIDTH_INCHES / len(panels))
    start = (WIDTH_INCHES - panel_inches * len(panels)) / 2
    left, right, below = (0.3, 0.6, 0.32) if with_ticks else (0.08, 0.08, 0.05)
    exponents = _exponents(panels) if with_ticks else [0, 0, 0]
    above = 0.12 + 0.15 * (1 + max(panel.title.count("\n") for panel in panels))
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES))
    is_one = all(on_one_scale(panel.low, panel.high) for panel in panels)
    drawn = [_draw_space(figure, panel, panel_inches, is_one) for panel in panels]
    corners = [_seen_corners(axes, panel) for axes, panel in zip(drawn, panels)]
    least = np.min([c.min(axis=0) for c in corners], axis=0)
    size = np.max([c.max(axis=0) for c in corners], axis=0) - least
    side = min((panel_inches - left - right) / size[0], _MAX_SPACE_INCHES / size[1])
    bottom = 0.3 + below
    height = bottom + size[1] * side + above
    figure.set_size_inches(WIDTH_INCHES, height)
    for i, (axes, panel) in enumerate(zip(drawn, panels)):
        spare = panel_inches - left - right - size[0] * side
        x_left = start + i * panel_inches + left + spare / 2
        x0, y0 = x_left - least[0] * side, bottom - least[1] * side
        axes.set_position([x0 / WIDTH_INCHES, y0 / height, side / WIDTH_INCHES, side / height])
        figure.text(
            (x_left + size[0] * side / 2) / WIDTH_INCHES,
            1 - 0.06 / height,
            panel.title,
            ha="center",
            va="top",
        )
        if with_ticks:
            _space_ticks(axes, panel, exponents, is_one)
        else:
            for j, axis in enumerate((axes.xaxis, axes.yaxis, axes.zaxis)):
                axis.set_ticks(np.linspace(panel.low[j], panel.high[j], 5), [])
    label = _space_label(names, exponents, units)
    figure.text(0.5, 0.06 / height, label, ha="center", va="bottom")
    return figure


def _space_ticks(axes: Any, panel: Space, exponents: Sequence[int], is_one: bool) -> None:
    """Set ticks of the three axes of a box in their powers of ten, only at its ends if it is thin.

    Args:
        axes: the axes of the box.
        panel: the panel, with its limits.
        exponents: the powers of ten, one for each axis.
        is_one: whether one unit is as long in all directions.
    """
    edges = panel.high - panel.low
    for j, axis in enumerate((axes.xaxis, axes.yaxis, axes.zaxis)):
        # The margin keeps ticks away from the corners, where the labels of two axes would meet.
        gap = 0.08 * edges[j]
        values = round_numbers(panel.low[j] + gap, panel.high[j] - gap, 4)
        if is_one and edges[j] < 0.5 * edges.max():
            values = [values[0], values[-1]]
        labels = [tick_label(v / 10.0 ** exponents[j]) for v in values]
        axis.set_ticks(values, labels)
        axis.set_label_text(f"$x_{j + 1}$")
        axis.set_tick_params(pad=0 if j == 2 else -2)
        axis.labelpad = (-5, -2, -2)[j] + 2 * max(0, max(map(len, labels)) - 4)


def _space_label(names: Sequence[str], exponents: Sequence[int], units: str) -> str:
    """Return the label of the three axes, which have room only for their names."""
    powers = [f"$10^{{{exponent}}}$ " if exponent else "" for exponent in exponents]
    if len(set(powers)) == 1:
        return f"{', '.join(names)} ({powers[0]}{units})"
    return "; ".join(f"{name} ({power}{units})" for name, power in zip(names, powers))


def _exponents(panels: Sequence[Space]) -> list[int]:
    """Return the powers of ten that divide the numbers on the three axes.

    Labels of more than about four characters would cross the axes.
    """
    limits = np.abs([[panel.low, panel.high] for panel in panels]).max(axis=(0, 1))
    if all(on_one_scale(panel.low, panel.high) for panel in panels):
        limits = np.full(3, limits.max())
    return [0 if 0.1 <= x < 1000 else math.floor(math.log10(x)) for x in limits.tolist()]


def _draw_space(figure: Figure, panel: Space, panel_inches: float, is_one: bool) -> Any:
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0), projection="3d")
    # The squares around the boxes overlap.
    axes.patch.set_visible(False)
    # A 3-D axes does not clip, so points outside would be drawn over the rest of the page.
    inside = ((panel.rows >= panel.low) & (panel.rows <= panel.high)).all(axis=1)
    drawn = thin(panel.rows[inside])
    if len(drawn):
        style = point_style(len(drawn), panel_inches)
        axes.scatter(*drawn.T, color=panel.colour, depthshade=False, **style)
    axes.set_xlim(panel.low[0], panel.high[0])
    axes.set_ylim(panel.low[1], panel.high[1])
    axes.set_zlim(panel.low[2], panel.high[2])
    size = panel.high - panel.low
    # A flat side would leave no room for its ticks.
    sides = np.maximum(size, 0.25 * size.max())
    axes.set_box_aspect(sides if is_one else np.ones(3))
    axes.view_init(_ELEVATION, _AZIMUTH)
    return axes


def _seen_corners(axes: Any, panel: Space) -> Floats:
    """Return the positions of the eight corners of the box, (8, 2), in fractions of the axes."""
    corners = np.array(list(itertools.product(*zip(panel.low, panel.high), [1.0])))
    # A perspective view is linear in homogeneous coordinates.
    seen = corners @ axes.get_proj().T
    points = axes.transData.transform(seen[:, :2] / seen[:, 3:])
    fractions: Floats = axes.transAxes.inverted().transform(points)
    return fractions
