"""A figure of a training: its loss against the steps, next to the least possible loss."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from fokker.figures.arrays import Floats, to_array
from fokker.figures.lines import legend_above, round_log_ticks, say_above
from fokker.figures.panels import plain_ticks
from fokker.figures.style import BLACK, BLUE, GREEN, PURPLE, STYLE, VERMILION, WIDTH_INCHES

_LOSS_INCHES, _ERROR_INCHES, _RATE_INCHES = 2.4, 1.4, 0.8
# An axis is logarithmic from this ratio of its values on.
_LOG_FROM = 3.0
# Losses above this many times their upper quartile do not determine the axis.
_FAR = 30.0
_MAX_MARKED = 20
_TICK_INCHES = 0.35

_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "loss": ("training", {"color": BLUE, "linewidth": 1.0}),
    "held_out_loss": ("held-out data", {"color": VERMILION, "marker": "s"}),
    "floor": ("floor", {"color": BLACK, "linestyle": (0, (4, 2))}),
    "denoising_error": ("denoising error", {"color": GREEN, "marker": "^"}),
    "lr": ("learning rate", {"color": PURPLE, "linewidth": 1.0}),
}

Points = tuple[Floats, Floats]


def training_curve(rows: Iterable[Mapping[str, float]]) -> Figure:
    """Draw the loss against optimizer steps, and the other measurements of the training.

    The upper panel has the formulation's own loss, of training batches and of held-out data, and
    its floor if that is known. The next has the denoising error on held-out data, if it was
    measured, and the last has the learning rate, on a linear axis. The others are logarithmic if
    their values differ by more than a factor of three. NaN and infinite values are gaps, and are
    counted above their panel. Values far above the others, or a floor far below them, leave the
    axis; the legend reports this of the floor.

    Args:
        rows: the rows of metrics.jsonl, with `step` and any of `loss`, `held_out_loss`, `floor`,
            `denoising_error` (standardised units squared) and `lr`.

    Raises:
        ValueError: no row has a finite loss.
    """
    table = list(rows)
    curves = {name: points_of(table, name) for name in _LOOKS}
    if not np.isfinite(curves["loss"][1]).any():
        raise ValueError(
            f"rows must hold a finite loss, got none in {len(table)} rows: nothing to draw"
        )
    panels: list[tuple[str, float, tuple[str, ...]]] = [
        ("loss\n(the formulation's own)", _LOSS_INCHES, ("loss", "held_out_loss", "floor")),
        ("denoising error\n(standardised units²)", _ERROR_INCHES, ("denoising_error",)),
        ("learning\nrate", _RATE_INCHES, ("lr",)),
    ]
    panels = [p for p in panels if any(np.isfinite(curves[name][1]).any() for name in p[2])]
    heights = [height for _, height, _ in panels]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.8), layout="constrained")
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
        handles: list[Any] = []
        for axes, (label, height, names) in zip(grid[:, 0], panels, strict=True):
            lines = _draw(axes, {name: curves[name] for name in names}, height)
            axes.set_ylabel(label)
            # The axes of the other panels name their lines.
            handles += lines if axes is grid[0, 0] else []
        figure.align_ylabels()
        last = grid[-1, 0]
        end = max(float(steps.max()) for steps, _ in curves.values() if len(steps))
        last.set_xlim(0, 1.01 * end)
        last.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        plain_ticks(last.xaxis)
        last.set_xlabel("optimizer step")
        labels = [_LOOKS[name][0] for name in panels[0][2] if len(curves[name][0])]
        floor = curves["floor"][1]
        if len(floor) and not (floor > grid[0, 0].get_ylim()[0]).any():
            labels[-1] += ", below this axis"
        legend_above(figure, handles, labels)
    return figure


def _draw(axes: Axes, curves: Mapping[str, Points], height: float) -> list[Any]:
    """Draw the curves of one panel of this height in inches, and return their lines."""
    drawn = [name for name in curves if len(curves[name][0])]
    lines: list[Any] = []
    for name in drawn:
        look = dict(_LOOKS[name][1])
        if len(curves[name][0]) > _MAX_MARKED:
            look.pop("marker", None)
        elif len(curves[name][0]) == 1:
            look.setdefault("marker", "o")
        lines += axes.plot(*curves[name], **look)
    own = np.concatenate([curves[name][1] for name in drawn if name != "floor"])
    if "lr" in curves:
        _linear(axes, own, height)
    else:
        scale_axis(axes, own, curves["floor"][1] if "floor" in curves else own[:0], height)
    axes.set_axisbelow(True)
    axes.grid(True, which="major")
    say_above(axes, _gaps({_LOOKS[name][0]: curves[name][1] for name in drawn}))
    return lines


def points_of(table: Sequence[Mapping[str, float]], name: str) -> Points:
    """Return the steps and values of the rows that have one, (n,) each."""
    found = [(row["step"], row[name]) for row in table if row.get(name) is not None]
    points = to_array(found).reshape(-1, 2)
    return points[:, 0], np.where(np.isfinite(points[:, 1]), points[:, 1], np.nan)


def _gaps(lines: Mapping[str, Floats]) -> str:
    """Return a note on values that are not finite, or nothing."""
    counts = {name: int(np.isnan(line).sum()) for name, line in lines.items()}
    return "; ".join(
        f"{name} is NaN or infinite in {n} of {len(lines[name])} rows"
        for name, n in counts.items()
        if n
    )


def scale_axis(axes: Axes, values: Floats, floor: Floats, inches: float) -> None:
    """Choose the scale and the ends of a vertical axis, and as many ticks as it has room for.

    Args:
        axes: the axes with this vertical axis.
        values: the values to draw, (n,).
        floor: values below them, (m,), to be included if they are not far below.
        inches: the height of the panel.
    """
    values = values[np.isfinite(values)]
    # The first steps of a training may have losses a hundred times as high as all that follow.
    near = values[values <= _FAR * max(float(np.quantile(values, 0.75)), 0.0)]
    shown = near if near.size and near.max() > 0 else values
    close = floor[np.isfinite(floor) & (floor >= shown.min() / _FAR)]
    low, high = min([float(shown.min()), *close]), max([float(shown.max()), *close])
    if 0 < low and high > _LOG_FROM * low:
        margin = (high / low) ** 0.06
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
        if high > 1000 * low:
            axes.yaxis.set_major_locator(LogLocator(numticks=max(3, int(inches / _TICK_INCHES))))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            round_log_ticks(axes.yaxis, axes.get_ylim(), inches)
            axes.yaxis.set_minor_locator(NullLocator())
    else:
        _linear(axes, np.array([low, high]), inches)


def _linear(axes: Axes, values: Floats, inches: float) -> None:
    """Choose the ends of a linear vertical axis, and its ticks."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 0.5
    axes.set_ylim(low - margin, high + margin)
    count = max(2, int(inches / _TICK_INCHES))
    axes.yaxis.set_major_locator(MaxNLocator(count, steps=[1, 2, 5, 10]))
    plain_ticks(axes.yaxis)
