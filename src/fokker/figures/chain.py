"""What do samples look like on their way from noise to data, beside what they should be?"""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fokker.figures.arrays import Floats, thin, to_array
from fokker.figures.panels import end_ticks, number, plain_ticks, point_style, round_numbers
from fokker.figures.style import BLACK, SKY, STYLE, WIDTH_INCHES, plain

_MAX_COLUMNS = 4
# Above a pair of rows, in inches.
_HEADING = 0.42
_ELEVATION, _AZIMUTH = 38.0, -60.0
# Of the points, to either side.
_TAIL = 0.002
_WORTH_SAYING = 0.02


def chain_histograms(
    edges: Any,
    sampled: Any,
    beside: Any,
    steps: Any,
    sigmas: Any,
    names: tuple[str, str] = ("samples", "exact density"),
    units: str = "data units",
) -> Figure:
    """Histograms of x_t in one dimension at k nodes, a panel each, with what they should be.

    Args:
        edges: of the bins, (k, n + 1).
        sampled: densities, (k, n).
        beside: densities that they should have, (k, n), drawn as an outline.
        steps: the numbers of the nodes, (k,).
        sigmas: their noise levels, (k,).
        names: what the two are called.
        units: of x.

    Raises:
        ValueError: shapes that do not fit.
    """
    x, bars, line = to_array(edges), to_array(sampled), to_array(beside)
    numbers, levels = to_array(steps), to_array(sigmas)
    if not bars.shape == line.shape == (len(numbers), x.shape[1] - 1) or len(levels) != len(x):
        raise ValueError(
            f"edges, sampled and beside must be (k, n + 1), (k, n), (k, n) with k={len(numbers)} "
            f"as steps and sigmas, got {x.shape}, {bars.shape}, {line.shape}, {levels.shape}"
        )
    columns = _columns(len(numbers))
    rows = -(-len(numbers) // columns)
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
            axes.set_xlim(x[i, 0], x[i, -1])
            axes.set_title(_title(numbers[i], levels[i]))
            if alike:
                plain_ticks(axes.xaxis)
                axes.tick_params(labelbottom=i + columns >= len(numbers))
            else:
                end_ticks(axes.xaxis, float(x[i, 0]), float(x[i, -1]))
                axes.set_yticks([])
        scale = f"density (1 / {units})" if alike else "density (own scale)"
        figure.supylabel(scale, fontsize=9)
        figure.supxlabel(f"$x_t$ ({units})", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def chain_points(
    states: Any,
    beside: Any,
    steps: Any,
    sigmas: Any,
    names: tuple[str, str] = ("samples", "data, noised"),
    units: str = "data units",
) -> Figure:
    """Points of x_t in two or three dimensions at k nodes, above what they should be there.

    A panel has limits of its own, and the two above each other have the same. The colour of a point
    is its last coordinate at the end, the data, so that it shows where noise goes.

    Args:
        states: (k, n, d), d 2 or 3, from noise to data.
        beside: the same of other points, (k, m, d).
        steps: the numbers of the nodes, (k,).
        sigmas: their noise levels, (k,).
        names: what the two are called.
        units: of x.

    Raises:
        ValueError: shapes that do not fit.
    """
    both = (to_array(states), to_array(beside))
    numbers, levels = to_array(steps), to_array(sigmas)
    d = both[0].shape[-1]
    fits = all(a.ndim == 3 and a.shape[0] == len(numbers) and a.shape[2] == d for a in both)
    if not fits or d not in (2, 3) or len(levels) != len(numbers):
        raise ValueError(
            f"states and beside must be (k, n, d) with k={len(numbers)} as steps and sigmas and "
            f"d 2 or 3, got {both[0].shape}, {both[1].shape}, {levels.shape}"
        )
    columns = _columns(len(numbers))
    blocks = -(-len(numbers) // columns)
    # Room for the names of the rows on the left, for the colour bar on the right.
    panel = min((WIDTH_INCHES - 0.8) / columns, 2.4)
    block_height = 2 * panel + _HEADING
    height = blocks * block_height + 0.35
    start = 0.22 + (WIDTH_INCHES - 0.8 - columns * panel) / 2
    ends = np.concatenate([a[-1, :, -1] for a in both])
    low, high = np.quantile(ends, [_TAIL, 1 - _TAIL]).tolist()
    norm = Normalize(low, high)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, height))
        for i in range(len(numbers)):
            block, column = divmod(i, columns)
            centre, half = _cube(both[1][i])
            left = start + column * panel
            for row, a in enumerate(both):
                top = height - block * block_height - _HEADING - row * panel
                box = (left, top - panel, panel, panel)
                _panel(figure, box, a[i], a[-1, :, -1], centre, half, norm)
            title = f"{_title(numbers[i], levels[i])}\nside {number(2 * half)}"
            x, y = left + panel / 2, height - block * block_height - 0.08
            figure.text(x / WIDTH_INCHES, y / height, title, ha="center", va="top", fontsize=8)
        for block in range(blocks):
            for row, name in enumerate(names):
                y = height - block * block_height - _HEADING - (row + 0.5) * panel
                x = (start - 0.08) / WIDTH_INCHES
                turned: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center"}
                figure.text(x, y / height, plain(name), fontsize=9, **turned)
        axes = figure.add_axes((1 - 0.52 / WIDTH_INCHES, 0.25, 0.1 / WIDTH_INCHES, 0.5))
        bar = figure.colorbar(ScalarMappable(norm, "cividis"), cax=axes)
        bar.set_ticks(round_numbers(low, high, 3))
        figure.text(
            0.5, 0.06 / height,
            f"$x_t$ in a {'cube' if d == 3 else 'square'} with the side given ({units}); colour: "
            f"$x_{d}$ of the point in the last panel ({units})",
            ha="center", va="bottom", fontsize=9,
        )  # fmt: skip
    return figure


def _title(step: float, sigma: float) -> str:
    return rf"step {step:.0f}: $\sigma$ = {number(float(sigma))}"


def _cube(rows: Floats) -> tuple[Floats, float]:
    """The centre and half the side of what holds nearly all points."""
    low, high = np.quantile(rows, [_TAIL, 1 - _TAIL], axis=0)
    return (low + high) / 2, 0.54 * float((high - low).max())


def _panel(
    figure: Figure,
    box: tuple[float, float, float, float],
    rows: Floats,
    ends: Floats,
    centre: Floats,
    half: float,
    norm: Normalize,
) -> None:
    """Points in a square of the page, `box` in inches from its lower left corner."""
    width, height = figure.get_size_inches()
    place = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    d = rows.shape[1]
    inside = (np.abs(rows - centre) <= half).all(axis=1)
    drawn = thin(np.column_stack([rows, ends])[inside])
    missing = 1 - float(inside.mean())
    if missing > _WORTH_SAYING:
        figure.text(place[0], place[1], f"{missing:.0%} outside", fontsize=8)
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
        low, high = float(centre[j] - half), float(centre[j] + half)
        getattr(axes, f"set_{name}lim")(low, high)
        axis = getattr(axes, f"{name}axis")
        axis.set_ticks([])
    if d == 2:
        axes.set_aspect("equal")
        axes.set_position((place[0] + 0.005, place[1] + 0.005, place[2] - 0.01, place[3] - 0.01))


def _columns(count: int) -> int:
    """Of panels, so that rows are full or nearly."""
    rows = -(-count // _MAX_COLUMNS)
    return -(-count // rows)
