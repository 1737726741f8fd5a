"""A figure of several trainings: their losses against the steps, to compare them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fokker.figures.arrays import Floats
from fokker.figures.lines import legend_above, line_style
from fokker.figures.panels import plain_ticks
from fokker.figures.style import BLUE, STYLE, WIDTH_INCHES, plain
from fokker.figures.training_curve import Points, points_of, scale_axis

#: The number of curves that one panel keeps distinct; more get a panel each, up to a page of them.
MAX_TOGETHER, MAX_PANELS = 8, 40
_LOSS_INCHES, _ERROR_INCHES, _SMALL_INCHES = 2.6, 1.7, 1.05
_COLUMNS = 4
_LETTERS_A_PANEL = 27
_GREY = "0.8"
# Beyond this ratio of the curves' medians a common axis would flatten each of them.
_MAX_RATIO = 30.0
_LOSS = "loss\n(each formulation's own)"
_ERROR = "denoising error\n(standardised units²)"

#: The rows of metrics.jsonl of the models of one name, which differ only in the seed.
Trainings = Sequence[Sequence[Mapping[str, Any]]]


def training_curves(models: Mapping[str, Trainings]) -> Figure:
    """Draw the losses of several models against optimizer steps.

    Up to eight names share a panel of the loss. They also share one of the denoising error on
    held-out data, which compares models of any formulation, if it was measured at two steps or
    more. More names get a small panel of the loss each, with the others in grey behind it if they
    fit one axis. Models of one name have lines of one look. NaN and infinite values are gaps.

    Args:
        models: the trainings by name; rows with `step` and `loss`, some with `denoising_error`.

    Raises:
        ValueError: no model, more than 40 names, or none with a finite loss at two steps.
    """
    losses = {name: [points_of(list(rows), "loss") for rows in own] for name, own in models.items()}
    if not any(_is_curve(points) for own in losses.values() for points in own):
        raise ValueError("no training has logged its loss at two steps or more")
    if len(models) > MAX_PANELS:
        raise ValueError(f"{len(models)} models are too many for panels, at most {MAX_PANELS}")
    with matplotlib.rc_context(STYLE):
        if len(models) > MAX_TOGETHER:
            return _apart(losses)
        errors = {
            name: [points_of(list(rows), "denoising_error") for rows in own]
            for name, own in models.items()
        }
        return _together(losses, errors)


def _is_curve(points: Points) -> bool:
    return int(np.isfinite(points[1]).sum()) > 1


def _together(losses: Mapping[str, list[Points]], errors: Mapping[str, list[Points]]) -> Figure:
    panels = [(_LOSS, _LOSS_INCHES, losses)]
    if any(_is_curve(points) for own in errors.values() for points in own):
        panels.append((_ERROR, _ERROR_INCHES, errors))
    heights = [height for _, height, _ in panels]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 0.8), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    handles: dict[str, Any] = {}
    for axes, (label, height, curves) in zip(grid[:, 0], panels):
        for i, (name, own) in enumerate(curves.items()):
            for steps, values in own:
                look = line_style(i, len(curves), len(steps))
                (line,) = axes.plot(steps, values, **{**look, "linewidth": 1.0, "markersize": 3.5})
                handles.setdefault(name, line)
        _finish(axes, [values for own in curves.values() for _, values in own], height)
        axes.set_ylabel(label)
    figure.align_ylabels()
    _steps(grid[-1, 0], losses, 6)
    grid[-1, 0].set_xlabel("optimizer step")
    legend_above(figure, list(handles.values()), [plain(name) for name in handles])
    return figure


def _apart(losses: Mapping[str, list[Points]]) -> Figure:
    rows = -(-len(losses) // _COLUMNS)
    known = {n: [v for _, v in own if np.isfinite(v).any()] for n, own in losses.items()}
    medians = [float(np.nanmedian(v)) for own in known.values() for v in own]
    is_one = 0 < max(medians) <= _MAX_RATIO * min(medians)
    names = [textwrap.wrap(plain(name), _LETTERS_A_PANEL)[:3] for name in losses]
    height = rows * (_SMALL_INCHES + 0.15 * max(map(len, names))) + 0.5
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=is_one, squeeze=False).ravel()
    for i, (axes, (name, own)) in enumerate(zip(grid, losses.items())):
        if is_one:
            for points in (p for other in losses if other != name for p in losses[other]):
                axes.plot(*points, color=_GREY, linewidth=0.5, zorder=1)
        for points in own:
            axes.plot(*points, color=BLUE, linewidth=1.1, zorder=2)
        shown = [v for other in known.values() for v in other] if is_one else known[name]
        if shown:
            _finish(axes, shown, _SMALL_INCHES)
        if not known[name]:
            axes.text(0.5, 0.5, "no finite loss", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set_title("\n".join(names[i]), fontsize=7)
        axes.tick_params(labelsize=7, labelbottom=i + _COLUMNS >= len(losses))
    for axes in grid[len(losses) :]:
        axes.set_visible(False)
    _steps(grid[0], losses, 3)
    below = "; the others grey" if is_one else ""
    figure.supxlabel(f"optimizer step{below}", fontsize=9)
    figure.supylabel(_LOSS.replace("\n", " "), fontsize=9)
    return figure


def _finish(axes: Axes, values: Sequence[Floats], inches: float) -> None:
    """Choose the scale of the losses, and draw a grid behind them."""
    shown = np.concatenate([own for own in values if np.isfinite(own).any()])
    scale_axis(axes, shown, shown[:0], inches)
    axes.set_axisbelow(True)
    axes.grid(True, which="major")


def _steps(axes: Axes, losses: Mapping[str, list[Points]], ticks: int) -> None:
    """Set the axis of the steps, which all panels share, from 0 to the longest training."""
    end = max(float(steps.max()) for own in losses.values() for steps, _ in own if len(steps))
    axes.set_xlim(0, 1.01 * end)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 5, 10]))
    plain_ticks(axes.xaxis)
