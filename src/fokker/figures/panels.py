"""Panels that several figures share: points in the plane and in space, images in a mosaic."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fokker.figures.arrays import Floats, thin
from fokker.figures.style import WIDTH_INCHES

_ELEVATION, _AZIMUTH = 25.0, -60.0
_MAX_SPACE_INCHES = 3.0


def point_style(count: int, panel_inches: float) -> dict[str, Any]:
    """Marks as large as their number and the panel's width allow; an image in the PDF."""
    area = float(np.clip(10000 / count, 2.5, 8.0)) * min(1.0, panel_inches / 3) ** 2
    return {"s": max(area, 0.4), "alpha": 0.6, "linewidths": 0.0, "rasterized": True}


def scatter_plane(
    axes: Axes, rows: Floats, low: Floats, high: Floats, colour: str, panel_inches: float
) -> None:
    """Points (n, 2) between limits, one unit as long in both directions."""
    drawn = thin(rows)
    axes.scatter(drawn[:, 0], drawn[:, 1], color=colour, **point_style(len(drawn), panel_inches))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal", adjustable="box")
    size = high - low
    for j, axis in enumerate((axes.xaxis, axes.yaxis)):
        if size[j] < 0.6 * size.max():
            end_ticks(axis, low[j], high[j])
        else:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            plain_ticks(axis)


def end_ticks(axis: Any, low: float, high: float) -> None:
    """Two round numbers near the ends: all that a narrow panel has room for."""
    values = round_numbers(low, high, 4)
    ends = [values[0], values[-1]]
    axis.set_ticks(ends, [tick_label(v) for v in ends])


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers between the limits, at least two."""
    values = MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(v) for v in values if low <= v <= high]


def plain_ticks(axis: Any) -> None:
    """Whole numbers at the ticks: a power of ten set apart would stand in a label's way."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_label(value)))


def tick_label(value: float) -> str:
    """Six digits without trailing zeros, which a round number needs, with a true minus."""
    return f"{value:.6g}".replace("-", "\u2212")


def number(value: float) -> str:
    """Three digits of a positive number, two below 1, for headings."""
    if 1000 <= value < 1e5:
        return f"{value:,.0f}"
    return f"{value:.{3 if value >= 1 else 2}g}".replace("-", "\u2212")


@dataclass(frozen=True)
class Space:
    """One panel of points in space: (n, 3), their limits, colour and title."""

    rows: Floats
    low: Floats
    high: Floats
    colour: str
    title: str


def space_figure(panels: list[Space], with_ticks: bool, label: str, units: str) -> Figure:
    """Panels side by side, one unit as long in all directions, all from the same point of view.

    Laid out by where the corners of the box are seen, since the layout engines of matplotlib take
    the square around a 3-D axes for its content: they leave half the page white or cut labels off.
    """
    panel_inches = min(WIDTH_INCHES / 2, WIDTH_INCHES / len(panels))
    start = (WIDTH_INCHES - panel_inches * len(panels)) / 2
    left, right, below = (0.3, 0.6, 0.32) if with_ticks else (0.08, 0.08, 0.05)
    greatest = max(float(np.abs([panel.low, panel.high]).max()) for panel in panels)
    # Labels of more than about four signs would cross the axes.
    exponent = 0 if 0.1 <= greatest < 1000 else math.floor(math.log10(greatest))
    unit, power = 10.0**exponent, f"$10^{{{exponent}}}$ " if exponent and with_ticks else ""
    above = 0.12 + 0.15 * (1 + panels[0].title.count("\n"))
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES))
    drawn = [_draw_space(figure, panel, panel_inches) for panel in panels]
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
        edges = panel.high - panel.low
        for j, axis in enumerate((axes.xaxis, axes.yaxis, axes.zaxis)):
            if with_ticks:
                # Not at the corners, where the labels of two axes would meet.
                gap = 0.08 * edges[j]
                values = round_numbers(panel.low[j] + gap, panel.high[j] - gap, 4)
                if edges[j] < 0.5 * edges.max():
                    values = [values[0], values[-1]]
                axis.set_ticks(values, [tick_label(v / unit) for v in values])
                axis.set_label_text(f"$x_{j + 1}$")
                axis.set_tick_params(pad=0 if j == 2 else -2)
                axis.labelpad = (-5, -2, -2)[j]
            else:
                axis.set_ticks(np.linspace(panel.low[j], panel.high[j], 5), [])
    figure.text(0.5, 0.06 / height, f"{label} ({power}{units})", ha="center", va="bottom")
    return figure


def _draw_space(figure: Figure, panel: Space, panel_inches: float) -> Any:
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0), projection="3d")
    # The squares around the boxes overlap.
    axes.patch.set_visible(False)
    # A 3-D axes does not clip, so what is outside would be drawn over the rest of the page.
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
    axes.set_box_aspect(np.maximum(size, 0.25 * size.max()))
    axes.view_init(_ELEVATION, _AZIMUTH)
    return axes


def _seen_corners(axes: Any, panel: Space) -> Floats:
    """Where the eight corners of the box are seen, (8, 2), in fractions of the axes."""
    corners = np.array(list(itertools.product(*zip(panel.low, panel.high), [1.0])))
    # A perspective view is linear in homogeneous coordinates.
    seen = corners @ axes.get_proj().T
    points = axes.transData.transform(seen[:, :2] / seen[:, 3:])
    fractions: Floats = axes.transAxes.inverted().transform(points)
    return fractions


def images_of(rows: Floats, shape: tuple[int, ...]) -> Floats:
    """Samples (n, d) as images (n, h, w), or (n, h, w, 3) if they have three channels."""
    images = rows.reshape(-1, *shape)
    if len(shape) == 2:
        return images
    return images[:, 0] if shape[0] == 1 else np.moveaxis(images, 1, -1)


def mosaic(images: Floats, num_rows: int, num_columns: int) -> Floats:
    """Images (n, h, w[, 3]) row by row in one array, a pixel of NaN between them and for none."""
    height, width = images.shape[1:3]
    whole = np.full(
        (num_rows * (height + 1) - 1, num_columns * (width + 1) - 1, *images.shape[3:]), np.nan
    )
    for i, image in enumerate(images[: num_rows * num_columns]):
        top, left = (i // num_columns) * (height + 1), (i % num_columns) * (width + 1)
        whole[top : top + height, left : left + width] = image
    return whole


def show_images(axes: Axes, whole: Floats, low: float, high: float) -> None:
    """A mosaic, black at `low` and white at `high`, without axes."""
    high = high if high > low else low + 1.0
    if whole.ndim == 3:
        # Colours take no limits, and NaN would be black.
        whole = np.nan_to_num(np.clip((whole - low) / (high - low), 0, 1), nan=1.0)
    axes.imshow(whole, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
