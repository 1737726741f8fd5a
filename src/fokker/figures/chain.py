"""Figures of samples on their way from noise to data, next to what they should be."""

import math
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, minus, offsets, thin, to_array, widened
from fokker.figures.panels import (
    boxes,
    end_ticks,
    number,
    plain_ticks,
    point_style,
    round_numbers,
    tick_label,
)
from fokker.figures.style import BLACK, SKY, STYLE, WIDTH_INCHES, plain

_MAX_COLUMNS = 4
# The space above a pair of rows, in inches, and the height of a further line of text.
_HEADING, _LINE = 0.42, 0.13
_ELEVATION, _AZIMUTH = 38.0, -60.0
# The share of the points that is left out at either end of a range.
_TAIL = 0.002
_WORTH_SAYING = 0.02


def chain_histograms(
    edges: ArrayLike,
    sampled: ArrayLike,
    beside: ArrayLike,
    steps: ArrayLike,
    sigmas: ArrayLike,
    names: tuple[str, str] = ("samples", "exact density"),
    units: str = "data units",
) -> Figure:
    """Draw histograms of x_t in one dimension at k grid points, next to the correct densities.

    Each grid point has a panel.

    Args:
        edges: the edges of the bins, (k, n + 1).
        sampled: the densities of the samples, (k, n).
        beside: the correct densities, (k, n), drawn as an outline.
        steps: the numbers of the grid points, (k,).
        sigmas: the noise levels of the grid points, (k,).
        names: the names of the two densities.
        units: the units of x.

    Raises:
        ValueError: the shapes do not fit.
    """
    x, bars, line = to_array(edges), to_array(sampled), to_array(beside)
    numbers, levels = to_array(steps), to_array(sigmas)
    _check_densities(x, bars, line, numbers, levels)
    columns = _columns(len(numbers))
    rows = -(-len(numbers) // columns)
    low, high = widened(x[:, 0], x[:, -1], 0.0)
    # The last panel is the data: if they are far from 0 the numbers of all panels would be long.
    away = float(offsets(low[-1:], high[-1:])[0])
    x, low, high = x - away, low - away, high - away
    alike = bool(np.all(x == x[0]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 1.5 * rows + 0.7), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=alike, sharey=alike)
        for i, axes in enumerate(grid.ravel()):
            if i >= len(numbers):
                axes.set_visible(False)
                continue
            axes.stairs(bars[i], x[i], fill=True, color=SKY, label=plain(names[0]))
            axes.stairs(line[i], x[i], color=BLACK, linewidth=1.0, label=plain(names[1]))
            axes.set_xlim(low[i], high[i])
            axes.set_title(_title(numbers[i], levels[i]))
            if alike:
                plain_ticks(axes.xaxis)
                axes.tick_params(labelbottom=i + columns >= len(numbers))
            else:
                end_ticks(axes.xaxis, float(low[i]), float(high[i]))
                axes.set_yticks([])
        scale = f"density (1 / {units})" if alike else "density (own scale)"
        figure.supylabel(scale, fontsize=9)
        figure.supxlabel(f"{minus('$x_t$', away)} ({units})", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _check_densities(
    x: Floats, bars: Floats, line: Floats, numbers: Floats, levels: Floats
) -> None:
    """Refuse histograms whose shapes do not fit.

    Raises:
        ValueError: see `chain_histograms`.
    """
    if not bars.shape == line.shape == (len(numbers), x.shape[1] - 1) or len(levels) != len(x):
        raise ValueError(
            f"edges, sampled and beside must be (k, n + 1), (k, n), (k, n) with k={len(numbers)} "
            f"as steps and sigmas, got {x.shape}, {bars.shape}, {line.shape}, {levels.shape}"
        )


def chain_points(
    states: ArrayLike,
    beside: ArrayLike,
    steps: ArrayLike,
    sigmas: ArrayLike,
    names: tuple[str, str] = ("samples", "data, noised"),
    units: str = "data units",
) -> Figure:
    """Draw points of x_t in two or three dimensions at k grid points, above the correct points.

    Each grid point has its own limits, which its two panels share: a square or a cube, or a box if
    directions differ widely in size. The colour of a point is its last coordinate in the last
    state, the data, to show where noise goes.

    Args:
        states: the samples, (k, n, d), d 2 or 3, from noise to data.
        beside: the correct points, (k, m, d).
        steps: the numbers of the grid points, (k,).
        sigmas: the noise levels of the grid points, (k,).
        names: the names of the two sets of points.
        units: the units of x.

    Raises:
        ValueError: the shapes do not fit.
    """
    both = (to_array(states), to_array(beside))
    numbers, levels = to_array(steps), to_array(sigmas)
    d = _dimension(both, numbers, levels)
    columns = _columns(len(numbers))
    blocks = -(-len(numbers) // columns)
    # The margins hold the names of the rows on the left and the colour bar on the right.
    panel = min((WIDTH_INCHES - 0.8) / columns, 2.4)
    ends = [np.quantile(x, [_TAIL, 1 - _TAIL], axis=0) for x in both[1]]
    held = [widened(low, high, 0.04) for low, high in ends]
    limits, sides, box = boxes(held, "cube" if d == 3 else "square")
    heading = _HEADING + _LINE * sides[0].count("\n")
    block_height = 2 * panel + heading
    height = blocks * block_height + 0.35
    start = 0.22 + (WIDTH_INCHES - 0.8 - columns * panel) / 2
    norm, away = _colours(both)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, height))
        for i in range(len(numbers)):
            block, column = divmod(i, columns)
            left = start + column * panel
            for row, a in enumerate(both):
                top = height - block * block_height - heading - row * panel
                place = (left, top - panel, panel, panel)
                _panel(figure, place, a[i], a[-1, :, -1] - away, limits[i], norm)
            x, y = left + panel / 2, height - block * block_height - 0.08
            title = f"{_title(numbers[i], levels[i])}\n{sides[i]}"
            figure.text(x / WIDTH_INCHES, y / height, title, ha="center", va="top", fontsize=8)
            if column == 0:
                middle = height - block * block_height - heading - panel / 2
                _name_rows(figure, start - 0.08, middle / height, panel / height, names)
        power = _colour_bar(figure, norm)
        last = f"colour: {minus(f'$x_{d}$', away)} in the last panel ({power}{units})"
        text = f"$x_t$ in a {box} ({units}); {last}"
        figure.text(0.5, 0.06 / height, text, ha="center", va="bottom", fontsize=9)
    return figure


def _name_rows(
    figure: Figure, inches: float, top: float, step: float, names: tuple[str, str]
) -> None:
    """Write the names of rows from the bottom up, `step` apart, the first one at `top`."""
    for row, name in enumerate(names):
        x, y = inches / WIDTH_INCHES, top - row * step
        figure.text(x, y, plain(name), fontsize=9, rotation=90, ha="center", va="center")


def _dimension(both: tuple[Floats, Floats], steps: Floats, sigmas: Floats) -> int:
    """Return the dimension d, 2 or 3, of points (k, n, d) at k grid points."""
    d: int = both[0].shape[-1]
    fits = all(a.ndim == 3 and a.shape[0] == len(steps) and a.shape[2] == d for a in both)
    if not fits or d not in (2, 3) or len(sigmas) != len(steps):
        raise ValueError(
            f"states and beside must be (k, n, d) with k={len(steps)} as steps and sigmas and "
            f"d 2 or 3, got {both[0].shape}, {both[1].shape}, {sigmas.shape}"
        )
    return d


def _colours(both: tuple[Floats, Floats]) -> tuple[Normalize, float]:
    """Return the range of the last coordinate in the last state, and its offset."""
    last = np.concatenate([a[-1, :, -1:] for a in both])
    least, greatest = np.quantile(last, [_TAIL, 1 - _TAIL], axis=0)
    least, greatest = widened(least, greatest, 0.0)
    away = float(offsets(least, greatest)[0])
    return Normalize(float(least[0]) - away, float(greatest[0]) - away), away


def _colour_bar(figure: Figure, norm: Normalize) -> str:
    """Draw the colour bar, and return the power of ten that divides its numbers, or nothing."""
    axes = figure.add_axes((1 - 0.52 / WIDTH_INCHES, 0.25, 0.1 / WIDTH_INCHES, 0.5))
    bar = figure.colorbar(ScalarMappable(norm, "cividis"), cax=axes)
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 0.0)
    # There is no room for more than about four characters.
    size = max(abs(low), abs(high))
    exponent = 0 if 0.01 <= size < 1000 else math.floor(math.log10(size))
    ticks = round_numbers(low, high, 3)
    bar.set_ticks(ticks, labels=[tick_label(v / 10.0**exponent) for v in ticks])
    return f"$10^{{{exponent}}}$ " if exponent else ""


def _title(step: float, sigma: float) -> str:
    return rf"step {step:.0f}: $\sigma$ = {number(float(sigma))}"


def _panel(
    figure: Figure,
    box: tuple[float, float, float, float],
    rows: Floats,
    ends: Floats,
    limits: tuple[Floats, Floats],
    norm: Normalize,
) -> None:
    """Draw points in a square of the page, `box` in inches from its lower left corner."""
    width, height = figure.get_size_inches()
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    d = rows.shape[1]
    low, high = limits
    inside = ((rows >= low) & (rows <= high)).all(axis=1)
    drawn = thin(np.column_stack([rows, ends])[inside])
    missing = 1 - float(inside.mean())
    if missing > _WORTH_SAYING:
        # The text must not touch the frame of a panel in two dimensions.
        x, y = (place[0] + 0.1 / width, place[1] + 0.1 / height) if d == 2 else place[:2]
        paper = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.0}
        figure.text(x, y, f"{missing:.0%} outside", fontsize=8, bbox=paper)
    axes: Any = figure.add_axes(place, projection="3d" if d == 3 else None)
    style = {**point_style(len(drawn), box[2]), "alpha": 0.8}
    if d == 3:
        axes.patch.set_visible(False)
        axes.view_init(_ELEVATION, _AZIMUTH)
        axes.set_box_aspect((1, 1, 1), zoom=1.08)
        axes.grid(False)
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_pane_color((0.97, 0.97, 0.97))
            axis.line.set_color("0.6")
        style["depthshade"] = False
    axes.scatter(*drawn[:, :d].T, c=drawn[:, d], norm=norm, cmap="cividis", **style)
    for j, name in enumerate("xyz"[:d]):
        getattr(axes, f"set_{name}lim")(low[j], high[j])
        axis = getattr(axes, f"{name}axis")
        axis.set_ticks([])
    if d == 2:
        axes.set_box_aspect(1)
        axes.set_position((place[0] + 0.005, place[1] + 0.005, place[2] - 0.01, place[3] - 0.01))


def _columns(count: int) -> int:
    """Return the number of columns for which the rows of panels are full or nearly full."""
    rows = -(-count // _MAX_COLUMNS)
    return -(-count // rows)
