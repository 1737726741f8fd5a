"""A figure of samples on their way from noise to data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.arrays import (
    Floats,
    as_rows,
    coordinates,
    offsets,
    on_one_scale,
    span,
    to_array,
)
from fokker.figures.components import element_scales, principal_plane
from fokker.figures.images import as_images, channel_limits, mosaic, show_images, tiles
from fokker.figures.layouts import Kind, Layout, kind_of
from fokker.figures.panels import (
    Space,
    boxes,
    end_ticks,
    number,
    scatter_plane,
    space_figure,
    ticks_have_room,
    widest,
)
from fokker.figures.series import as_series, draw_series, extremes, series_note
from fokker.figures.style import BLUE, STYLE, WIDTH_INCHES

_MAX_LEVELS = 8
_NUM_BINS = 40
_NUM_IMAGES = 4
_MAX_FEATURES = 3
# Relative to the widest direction: up to this spread both directions may have the same ticks.
_SPREAD = 2.0


def trajectory(
    states: ArrayLike,
    places: ArrayLike,
    shape: tuple[int, ...],
    units: str = "standardised units",
    layout: Layout | None = None,
    symbol: str = r"$\sigma$",
) -> Figure:
    """Draw the same samples at k levels, one panel each in a row, in the order given.

    Every panel has its own limits (images: its own grey values), so that both the noise and the
    data fill theirs. (1,): histograms. (2,) and (3,): scatter. More dimensions: the first two
    principal components of the last state. Images, and the middle slices of volumes: the same four
    samples down each column; with several channels, their channels. Series: the same five, a row
    for each of the first three features. Samples that are not finite at a level are left out.

    Args:
        states: the samples, (k, n, d) or (k, n, *shape), k from 1 to 8, from noise to data.
        places: the level of each state, (k,), such as the noise level in standardised units.
        shape: the shape of one sample.
        units: the units of the coordinates, for the labels.
        layout: see `kind_of`, in `layouts`.
        symbol: the symbol of a level.

    Raises:
        ValueError: a shape that does not fit the layout, more than 8 levels, a level that is not
            finite, or no sample that is finite at every level.
    """
    kind = kind_of(shape, layout)
    array, levels = to_array(states), to_array(places)
    if levels.ndim != 1 or not bool(np.isfinite(levels).all()):
        raise ValueError(f"places must be finite and of shape (k,), got {places!r}")
    if array.ndim < 3 or array.shape[0] != levels.size:
        raise ValueError(
            f"states must have shape (k, n, d) with k={levels.size} as places, got {array.shape}"
        )
    if not 1 <= levels.size <= _MAX_LEVELS:
        raise ValueError(
            f"states must be at 1 to {_MAX_LEVELS} levels, got {levels.size}: "
            "choose some, more are too small to read"
        )
    # Drop a sample at every level if it is not finite at one of them.
    finite = np.isfinite(array).all(axis=(0, *range(2, array.ndim)))
    array = array[:, finite] if finite.any() else array
    rows = [as_rows(f"states[{i}]", state, shape) for i, state in enumerate(array)]
    titles = [f"{symbol} = {number(level)}" for level in levels]
    with matplotlib.rc_context(STYLE):
        return _DRAW[kind](rows, titles, tuple(shape), units)


def _near_zero(rows: list[Floats]) -> tuple[list[Floats], list[str]]:
    """Return states with offsets that make the last one's numbers short, and coordinate names."""
    away = offsets(*span(rows[-1]))
    return [x - away for x in rows], coordinates(away)


def _line(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    rows, (place,) = _near_zero(rows)
    figure = Figure(figsize=(WIDTH_INCHES, 1.9), layout="constrained")
    for axes, x, title in zip(_row(figure, len(rows)), rows, titles):
        low, high = span(x)
        edges = np.linspace(low[0], high[0], _NUM_BINS + 1).tolist()
        weights = np.full(len(x), 1 / (len(x) * (edges[1] - edges[0])))
        axes.hist(x[:, 0], edges, weights=weights, color=BLUE)
        axes.set_xlim(low[0], high[0])
        end_ticks(axes.xaxis, low[0], high[0])
        # Each panel has its own scale, as only the form matters.
        axes.set_yticks([])
        axes.set_title(title)
    figure.axes[0].set_ylabel("density (own scale)")
    figure.supxlabel(f"{place} ({units})", fontsize=9)
    return figure


def _plane(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    rows, names = _near_zero(rows)
    return _planes(rows, titles, (names[0], names[1]), units)


def _other(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    scales = element_scales(rows[-1])
    if scales is not None:
        rows, units = [x / scales for x in rows], "standard deviations"
    plane = principal_plane(rows[-1])
    labels = ("component 1", "component 2")
    projected = [plane.project(x) for x in rows]
    heading_inches = 0.2 if scales is None else 0.35
    figure = _planes(projected, titles, labels, units, heading_inches)
    title = f"first two principal components of the last state, d = {rows[-1].shape[1]}"
    if scales is not None:
        title += "\n(each element divided by its standard deviation there)"
    figure.suptitle(title, fontsize=9)
    return figure


def _planes(
    rows: list[Floats],
    titles: list[str],
    labels: tuple[str, str],
    units: str,
    heading_inches: float = 0.0,
) -> Figure:
    panel_inches = min(3.0, (WIDTH_INCHES - 0.3) / len(rows) - 0.13)
    limits = [span(x) for x in rows]
    has_ticks = all(
        on_one_scale(*ends)
        and float(np.ptp(ends)) <= _SPREAD * widest(ends)
        and ticks_have_room(float(np.min(ends)), float(np.max(ends)), panel_inches)
        for ends in limits
    )
    said = f"{labels[0]}, and {labels[1]} on the same scale ({units})"
    if has_ticks:
        # One axis with ticks serves both directions.
        limits = [(np.full(2, low.min()), np.full(2, high.max())) for low, high in limits]
    else:
        limits, sides, box = boxes(limits, "square")
        titles = [f"{title}\n{side}" for title, side in zip(titles, sides)]
        heading_inches += 0.15 * (1 + sides[0].count("\n"))
        said = f"{labels[0]} (across) and {labels[1]} (up) in a {box} ({units})"
    height = panel_inches + 0.75 + heading_inches
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    for axes, x, title, (low, high) in zip(_row(figure, len(rows)), rows, titles, limits):
        scatter_plane(axes, x, low, high, BLUE, panel_inches)
        if has_ticks:
            end_ticks(axes.xaxis, low[0], high[0])
            end_ticks(axes.yaxis, low[1], high[1])
            axes.set_yticklabels([])
        else:
            axes.set_aspect("auto")
            axes.set_box_aspect(1)
            axes.set_xticks([])
            axes.set_yticks([])
        axes.set_title(title)
    if has_ticks:
        figure.axes[0].set_ylabel(labels[1])
    figure.supxlabel(said, fontsize=9)
    return figure


def _space(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    limits, sides, box = boxes([span(x) for x in rows], "cube")
    panels = [
        Space(x, low, high, BLUE, f"{title}\n{side}")
        for x, title, side, (low, high) in zip(rows, titles, sides, limits)
    ]
    names = [f"$x_1, x_2, x_3$ in a {box}"]
    return space_figure(panels, with_ticks=False, names=names, units=units)


def _image(
    kind: Kind, rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str
) -> Figure:
    states = [as_images(x, shape, kind, _NUM_IMAGES) for x in rows]
    channels, note = states[0].channels, states[0].note
    # The channels of a sample are images too.
    shown = min(max(1, _NUM_IMAGES // max(1, channels)), len(rows[0]))
    down, across = (shown, 1) if states[0].ratio <= 2 else (1, shown)
    wholes = []
    for images in states:
        pictures = tiles(images, channel_limits(images.first(shown)), shown, upright=True)
        gap = max(2, pictures.shape[2] // 8) if channels else 1
        wholes.append(mosaic(pictures, down, across, gap))
    column = min(1.1, (WIDTH_INCHES - 0.1) / len(rows))
    ratio = wholes[0].shape[0] / wholes[0].shape[1]
    height = float(np.clip((column - 0.07) * ratio, 0.4, 7.0)) + 0.35 + 0.2 * bool(note)
    width = WIDTH_INCHES if note else column * len(rows) + 0.1
    figure = Figure(figsize=(width, height), layout="constrained")
    for axes, whole, title in zip(_row(figure, len(rows)), wholes, titles):
        least, greatest = float(np.nanmin(whole)), float(np.nanmax(whole))
        limits = (0.0, 1.0) if channels else (least, greatest)
        show_images(axes, whole, *limits, states[0].is_tiny)
        axes.set_title(title)
    if note:
        figure.suptitle(note + (", from top to bottom" if channels else ""), fontsize=9)
    return figure


def _series(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    states = [as_series(x, shape) for x in rows]
    features = states[0].shape[2]
    shown = min(features, _MAX_FEATURES)
    height = 0.95 + (1.5 if shown == 1 else 0.9 * shown)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(shown, len(rows), squeeze=False)
    for column, state, title in zip(grid.T, states, titles):
        column[0].set_title(title)
        for j, axes in enumerate(column):
            low, high = span(extremes(state[:, :, j : j + 1]))
            draw_series(axes, state[:, :, j], (float(low[0]), float(high[0])))
            axes.set_xticks([])
            axes.set_yticks([])
    for j, axes in enumerate(grid[:, 0]):
        axes.set_ylabel("$x$" if features == 1 else f"$x_{{{j + 1}}}$")
    figure.supylabel("own scales", fontsize=9)
    times = f"time, steps 0 to {shape[0] - 1} of the series" if shape[0] > 1 else "a single time"
    figure.supxlabel(times, fontsize=9)
    figure.suptitle(series_note(len(rows[0]), features, shown), fontsize=9)
    return figure


def _row(figure: Figure, count: int) -> list[Any]:
    return [figure.add_subplot(1, count, i + 1) for i in range(count)]


_DRAW: dict[Kind, Callable[[list[Floats], list[str], tuple[int, ...], str], Figure]] = {
    "line": _line,
    "plane": _plane,
    "space": _space,
    "other": _other,
    "image": partial(_image, "image"),
    "volume": partial(_image, "volume"),
    "series": _series,
}
