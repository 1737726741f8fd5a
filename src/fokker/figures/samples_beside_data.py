"""Do the samples look like the data?"""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from fokker.figures.arrays import Floats, as_rows, kind_of, outside, span, to_array
from fokker.figures.components import principal_plane
from fokker.figures.panels import (
    Space,
    images_of,
    mosaic,
    plain_ticks,
    scatter_plane,
    show_images,
    space_figure,
)
from fokker.figures.style import BLACK, BLUE, SKY, STYLE, VERMILION, WIDTH_INCHES, plain

_NUM_BINS = 60
_IMAGES_A_SIDE = 8

Names = tuple[str, str]


def samples_beside_data(
    samples: Any,
    data: Any,
    shape: tuple[int, ...],
    names: Names = ("samples", "data"),
    units: str = "data units",
    density: tuple[Any, Any] | None = None,
) -> Figure:
    """Samples and data, drawn as their shape asks for, always with the same limits.

    (1,): both histograms on one axis. (2,) and (3,): two scatter panels, at most 4,000 points
    each. (h, w) and (c, h, w): the first 64 of each as images, from the data's least value (black)
    to its greatest (white). Other (d,): scatter of the first two principal components of the data.
    The limits hold all data, and 99% of the samples as far as these are within the data's width of
    the data; how many are outside is said.

    Args:
        samples: (n, d) or (n, *shape).
        data: (m, d) or (m, *shape), m may differ from n.
        shape: of one sample.
        names: what the two are called.
        units: of the coordinates, for the labels.
        density: of a known law in one dimension, as (x, p), drawn in place of the data's histogram.

    Raises:
        ValueError: another shape, no points, or NaN or infinite values.
    """
    draw = _DRAW[kind_of(shape)]
    x, y = as_rows("samples", samples, shape), as_rows("data", data, shape)
    with matplotlib.rc_context(STYLE):
        figure = draw(x, y, tuple(shape), (plain(names[0]), plain(names[1])), units)
        if density is not None:
            _draw_density(figure.axes[0], *map(to_array, density))
    return figure


def _line(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 3.0), layout="constrained")
    axes = figure.add_subplot()
    low, high = span(x, y)
    edges = np.linspace(low[0], high[0], _NUM_BINS + 1).tolist()
    # Weights, since density=True would spread what is outside over the bins inside.
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
    axes.set_xlabel(f"$x$ ({units})")
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
    labels = (f"$x_1$ ({units})", f"$x_2$ ({units})")
    return _two_planes(x, y, names, labels)


def _other(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    plane = principal_plane(y)
    labels = (
        f"component 1, {plane.percent[0]:.0f}% of variance\n({units})",
        f"component 2, {plane.percent[1]:.0f}% of variance\n({units})",
    )
    figure = _two_planes(plane.project(x), plane.project(y), names, labels)
    figure.suptitle(f"first two principal components of the data, d = {shape[0]}", fontsize=9)
    return figure


def _two_planes(x: Floats, y: Floats, names: Names, labels: tuple[str, str]) -> Figure:
    low, high = span(x, y)
    size = high - low
    # As high as the panels need at their width, within what fits a page.
    height = float(np.clip(2.75 * size[1] / size[0], 1.5, 5.0)) + 0.75
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
    low, high = span(x, y)
    panels = [
        Space(x, low, high, BLUE, names[0] + outside(x, low, high)),
        Space(y, low, high, VERMILION, names[1]),
    ]
    return space_figure(panels, with_ticks=True, label="$x_1, x_2, x_3$", units=units)


def _image(x: Floats, y: Floats, shape: tuple[int, ...], names: Names, units: str) -> Figure:
    shown = min(_IMAGES_A_SIDE**2, max(len(x), len(y)))
    num_rows = -(-shown // _IMAGES_A_SIDE)
    ratio = shape[-2] / shape[-1] * num_rows / _IMAGES_A_SIDE
    height = float(np.clip(3.1 * ratio, 0.4, 7.0)) + 0.35
    # Wider than between the images, so that it is seen where the samples end.
    layout = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout=layout)
    for axes, rows, name in zip(figure.subplots(1, 2), (x, y), names):
        whole = mosaic(images_of(rows, shape), num_rows, _IMAGES_A_SIDE)
        show_images(axes, whole, float(y.min()), float(y.max()))
        axes.set_title(name)
    return figure


_DRAW: dict[str, Callable[[Floats, Floats, tuple[int, ...], Names, str], Figure]] = {
    "line": _line,
    "plane": _plane,
    "space": _space,
    "image": _image,
    "other": _other,
}
