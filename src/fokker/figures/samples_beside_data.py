"""A figure of samples next to the data."""

from collections.abc import Callable
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import (
    Floats,
    as_rows,
    coordinates,
    finite_rows,
    offsets,
    on_one_scale,
    outside,
    span,
    to_array,
)
from fokker.figures.components import element_scales, principal_plane
from fokker.figures.images import arrangement, as_images, channel_limits, mosaic, show_images, tiles
from fokker.figures.layouts import Kind, Layout, kind_of
from fokker.figures.panels import Space, plain_ticks, scatter_plane, space_figure
from fokker.figures.series import as_series, draw_series, extremes, series_note
from fokker.figures.style import BLACK, BLUE, SKY, STYLE, VERMILION, WIDTH_INCHES, plain

_NUM_BINS = 60
_MAX_FEATURES = 4

Names = tuple[str, str]


def samples_beside_data(
    samples: ArrayLike,
    data: ArrayLike,
    shape: tuple[int, ...],
    names: Names = ("samples", "data"),
    units: str = "data units",
    density: tuple[ArrayLike, ArrayLike] | None = None,
    layout: Layout | None = None,
) -> Figure:
    """Draw samples and data according to their shape and layout, always with the same limits.

    Points: (1,): both histograms on one axis. (2,) and (3,): two scatter panels, at most 4,000
    points each. More: scatter of the first two principal components of the data; if the sizes of
    the elements differ widely, each element is divided by its standard deviation first. The limits
    hold all data, and 99% of the samples unless these are farther from the data than the data's
    width. The title counts those that are outside or not finite.

    Images: the first 64 of each, from the data's least value (black) to its greatest (white), fewer
    of large ones. One channel is grey, three are colours; with any other number each of the first
    eight is grey, with limits of its own. Volumes: their middle slices, as images. Series: five of
    each and the band of 90% at each time, a row for each of the first four features.

    Args:
        samples: the samples, (n, d) or (n, *shape).
        data: the data, (m, d) or (m, *shape), m may differ from n.
        shape: the shape of one sample.
        names: the names of the two sets.
        units: the units of the coordinates, for the labels.
        density: the density of a known law in one dimension, as (x, p), drawn in place of the
            data's histogram.
        layout: see `kind_of`, in `layouts`.

    Raises:
        ValueError: a shape that does not fit the layout, no points, no finite samples, or data that
            are NaN or infinite.
    """
    draw = _DRAW[kind_of(shape, layout)]
    (x, left_out), y = finite_rows("samples", samples, shape), as_rows("data", data, shape)
    called = (plain(names[0]) + left_out, plain(names[1]))
    with matplotlib.rc_context(STYLE):
        figure = draw(x, y, tuple(shape), called, units)
        if density is not None:
            place, p = map(to_array, density)
            _draw_density(figure.axes[0], place - offsets(*span(x, y))[0], p)
    return figure


def _near_zero(x: Floats, y: Floats) -> tuple[Floats, Floats, list[str]]:
    """Return samples and data with offsets that make their numbers short, and coordinate names."""
    away = offsets(*span(x, y))
    return x - away, y - away, coordinates(away)


def _line(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    x, y, (place,) = _near_zero(x, y)
    figure = Figure(figsize=(WIDTH_INCHES, 3.0), layout="constrained")
    axes = figure.add_subplot()
    low, high = span(x, y)
    edges = np.linspace(low[0], high[0], _NUM_BINS + 1).tolist()
    # Weights are explicit, since density=True would spread outside points over the bins inside.
    per_bin = edges[1] - edges[0]
    axes.hist(
        x[:, 0],
        edges,
        weights=np.full(len(x), 1 / (len(x) * per_bin)),
        color=SKY,
        label=names[0] + outside(x, low, high),
    )
    axes.hist(
        y[:, 0],
        edges,
        weights=np.full(len(y), 1 / (len(y) * per_bin)),
        histtype="step",
        color=BLACK,
        linewidth=1.2,
        label=names[1],
    )
    axes.set_xlim(low[0], high[0])
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_xlabel(f"{place} ({units})")
    axes.set_ylabel(f"density (1 / {units})")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def _draw_density(axes: Axes, x: Floats, density: Floats) -> None:
    outline = axes.patches[-1]
    outline.set_visible(False)
    axes.plot(x, density, color=BLACK, linewidth=1.2)
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, 1.05 * float(density.max())))


def _plane(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    x, y, places = _near_zero(x, y)
    return _two_planes(x, y, names, (f"{places[0]} ({units})", f"{places[1]} ({units})"))


def _other(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    scales = element_scales(y)
    if scales is not None:
        x, y, units = x / scales, y / scales, "standard deviations"
    plane = principal_plane(y)
    labels = (
        f"component 1, {plane.percent[0]:.0f}% of variance\n({units})",
        f"component 2, {plane.percent[1]:.0f}% of variance\n({units})",
    )
    figure = _two_planes(plane.project(x), plane.project(y), names, labels)
    title = f"first two principal components of the data, d = {x.shape[1]}"
    if scales is not None:
        title += "\n(each element divided by its standard deviation)"
    figure.suptitle(title, fontsize=9)
    return figure


def _two_planes(x: Floats, y: Floats, names: Names, labels: tuple[str, str]) -> Figure:
    low, high = span(x, y)
    size = high - low
    # The height is what the panels need at their width, within the height of a page.
    ratio = size[1] / size[0] if on_one_scale(low, high) else 1.0
    height = float(np.clip(2.75 * ratio, 1.5, 5.0)) + 0.75
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    scatter_plane(left, x, low, high, BLUE, WIDTH_INCHES / 2)
    scatter_plane(right, y, low, high, VERMILION, WIDTH_INCHES / 2)
    left.set_title(names[0] + outside(x, low, high))
    right.set_title(names[1])
    left.set_ylabel(labels[1])
    for axes in (left, right):
        axes.set_xlabel(labels[0])
    return figure


def _space(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    x, y, places = _near_zero(x, y)
    low, high = span(x, y)
    panels = [
        Space(x, low, high, BLUE, names[0] + outside(x, low, high)),
        Space(y, low, high, VERMILION, names[1]),
    ]
    return space_figure(panels, with_ticks=True, names=places, units=units)


def _image(
    kind: Kind, x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str
) -> Figure:
    both = [as_images(rows, shape, kind) for rows in (x, y)]
    low, high = channel_limits(both[1])
    channels = both[0].channels
    places = arrangement(both[0], max(len(x), len(y)))
    pictures = [tiles(images, (low, high), places.count) for images in both]
    gap = max(2, pictures[0].shape[1] // 16) if channels else 1  # Channels have a gap of 1.
    wholes = [mosaic(drawn, places.down, places.across, gap) for drawn in pictures]
    ratio = wholes[0].shape[0] / wholes[0].shape[1]
    note = both[0].note
    if channels:
        note += ", black to white over the data's range of each"
    height = float(np.clip(3.1 * ratio, 0.4, 7.0)) + 0.35 + 0.2 * bool(note)
    # The space is wider than that between images, to make the end of the samples visible.
    layout = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout=layout)
    black, white = (0.0, 1.0) if channels else (float(low.min()), float(high.max()))
    for axes, whole, name in zip(figure.subplots(1, 2), wholes, names):
        show_images(axes, whole, black, white, both[0].is_tiny)
        axes.set_title(name)
    if note:
        figure.suptitle(note, fontsize=9)
    return figure


def _series(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    both = [as_series(rows, shape) for rows in (x, y)]
    features = both[0].shape[2]
    shown = min(features, _MAX_FEATURES)
    low, high = span(*(extremes(a[:, :, :shown]) for a in both))
    every = both[0][:, :, :shown].reshape(len(x), -1)
    beyond = outside(every, *(np.tile(end, shape[0]) for end in (low, high)))
    height = 0.75 + (2.4 if shown == 1 else 1.25 * shown)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(shown, 2, squeeze=False, sharex=True, sharey="row")
    for j, row in enumerate(grid):
        for axes, values in zip(row, both):
            draw_series(axes, values[:, :, j], (float(low[j]), float(high[j])))
        row[0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        plain_ticks(row[0].yaxis)
        row[0].set_ylabel("$x$" if features == 1 else f"$x_{{{j + 1}}}$")
    grid[0, 0].set_title(names[0] + beyond)
    grid[0, 1].set_title(names[1])
    figure.supylabel(units, fontsize=9)
    figure.supxlabel("time (steps of the series)", fontsize=9)
    figure.suptitle(series_note(max(len(x), len(y)), features, shown), fontsize=9)
    return figure


_DRAW: dict[Kind, Callable[[Floats, Floats, tuple[int, ...], Names, str], Figure]] = {
    "line": _line,
    "plane": _plane,
    "space": _space,
    "other": _other,
    "image": partial(_image, "image"),
    "volume": partial(_image, "volume"),
    "series": _series,
}
