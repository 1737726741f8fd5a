"""How do samples come from noise to data?"""

from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fokker.figures.arrays import Floats, as_rows, kind_of, span, to_array
from fokker.figures.components import principal_plane
from fokker.figures.panels import (
    Space,
    end_ticks,
    images_of,
    mosaic,
    number,
    scatter_plane,
    show_images,
    space_figure,
)
from fokker.figures.style import BLUE, STYLE, WIDTH_INCHES

_MAX_LEVELS = 8
_NUM_BINS = 40
_NUM_IMAGES = 4


def trajectory(
    states: Any, sigmas: Any, shape: tuple[int, ...], units: str = "standardised units"
) -> Figure:
    """The same samples at k noise levels, one panel each in a row, in the order given.

    Every panel has limits of its own (images: grey values of its own), so that both the noise and
    the data fill theirs. (1,): histograms. (2,) and (3,): scatter. Images: the same four samples
    down each column. Other (d,): the first two principal components of the last state.

    Args:
        states: (k, n, d) or (k, n, *shape), k from 1 to 8, from noise to data.
        sigmas: noise level of each state, (k,), 0 or above, standardised units.
        shape: of one sample.
        units: of the coordinates, for the labels.

    Raises:
        ValueError: another shape, more than 8 levels, a sigma that is negative or not finite, or
            states that are NaN or infinite.
    """
    kind = kind_of(shape)
    array, levels = to_array(states), to_array(sigmas)
    if levels.ndim != 1 or not bool((np.isfinite(levels) & (levels >= 0)).all()):
        raise ValueError(f"sigmas must be 0 or above, finite and of shape (k,), got {sigmas}")
    if array.ndim < 3 or array.shape[0] != levels.size:
        raise ValueError(
            f"states must have shape (k, n, d) with k={levels.size} as sigmas, got {array.shape}"
        )
    if not 1 <= levels.size <= _MAX_LEVELS:
        raise ValueError(
            f"states must be at 1 to {_MAX_LEVELS} noise levels, got {levels.size}: "
            "choose some, more are too small to read"
        )
    rows = [as_rows(f"states[{i}]", state, shape) for i, state in enumerate(array)]
    titles = [rf"$\sigma$ = {number(sigma)}" for sigma in levels]
    with matplotlib.rc_context(STYLE):
        return _DRAW[kind](rows, titles, tuple(shape), units)


def _line(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    figure = Figure(figsize=(WIDTH_INCHES, 1.9), layout="constrained")
    for axes, x, title in zip(_row(figure, len(rows)), rows, titles):
        low, high = span(x)
        edges = np.linspace(low[0], high[0], _NUM_BINS + 1).tolist()
        weights = np.full(len(x), 1 / (len(x) * (edges[1] - edges[0])))
        axes.hist(x[:, 0], edges, weights=weights, color=BLUE)
        axes.set_xlim(low[0], high[0])
        end_ticks(axes.xaxis, low[0], high[0])
        # Each has its own scale, and what counts is the form.
        axes.set_yticks([])
        axes.set_title(title)
    figure.axes[0].set_ylabel("density (own scale)")
    figure.supxlabel(f"$x$ ({units})", fontsize=9)
    return figure


def _plane(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    return _planes(rows, titles, ("$x_1$", "$x_2$"), units)


def _other(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    plane = principal_plane(rows[-1])
    labels = ("component 1", "component 2")
    figure = _planes([plane.project(x) for x in rows], titles, labels, units, heading_inches=0.2)
    figure.suptitle(f"first two principal components of the last state, d = {shape[0]}", fontsize=9)
    return figure


def _planes(
    rows: list[Floats],
    titles: list[str],
    labels: tuple[str, str],
    units: str,
    heading_inches: float = 0.0,
) -> Figure:
    panel_inches = min(3.0, (WIDTH_INCHES - 0.3) / len(rows) - 0.13)
    height = panel_inches + 0.75 + heading_inches
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    for axes, x, title in zip(_row(figure, len(rows)), rows, titles):
        low, high = span(x)
        # One scale for both directions: then the ticks of one do for both.
        low, high = np.full(2, low.min()), np.full(2, high.max())
        scatter_plane(axes, x, low, high, BLUE, panel_inches)
        end_ticks(axes.xaxis, low[0], high[0])
        end_ticks(axes.yaxis, low[0], high[0])
        axes.set_yticklabels([])
        axes.set_title(title)
    figure.axes[0].set_ylabel(labels[1])
    label = f"{labels[0]}, and {labels[1]} on the same scale ({units})"
    figure.supxlabel(label, fontsize=9)
    return figure


def _space(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    panels = []
    for x, title in zip(rows, titles):
        low, high = span(x)
        centre, half = (low + high) / 2, float((high - low).max()) / 2
        # Ticks would be illegible at this size: the length of the side says the same.
        title = f"{title}\nside {number(2 * half)}"
        panels.append(Space(x, centre - half, centre + half, BLUE, title))
    label = "$x_1, x_2, x_3$ in a cube with the side given"
    return space_figure(panels, with_ticks=False, label=label, units=units)


def _image(rows: list[Floats], titles: list[str], shape: tuple[int, ...], units: str) -> Figure:
    column = min(1.1, (WIDTH_INCHES - 0.1) / len(rows))
    shown_rows = min(_NUM_IMAGES, len(rows[0]))
    height = float(np.clip(shown_rows * column * shape[-2] / shape[-1], 0.4, 7.0)) + 0.35
    figure = Figure(figsize=(column * len(rows) + 0.1, height), layout="constrained")
    for axes, x, title in zip(_row(figure, len(rows)), rows, titles):
        shown = x[:_NUM_IMAGES]
        whole = mosaic(images_of(shown, shape), shown_rows, 1)
        show_images(axes, whole, float(shown.min()), float(shown.max()))
        axes.set_title(title)
    return figure


def _row(figure: Figure, count: int) -> list[Any]:
    return [figure.add_subplot(1, count, i + 1) for i in range(count)]


_DRAW: dict[str, Callable[[list[Floats], list[str], tuple[int, ...], str], Figure]] = {
    "line": _line,
    "plane": _plane,
    "space": _space,
    "image": _image,
    "other": _other,
}
