"""A figure of the sources of a sampler's error, and which of them more steps reduce."""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, to_array
from fokker.figures.style import BLUE, GREEN, STYLE, VERMILION, WIDTH_INCHES, plain

# The total is a broad band below the others, because it nearly always runs along one of them.
_LOOKS: dict[str, dict[str, Any]] = {
    "total": {"color": "0.65", "linewidth": 4.5, "marker": "o", "markersize": 8.0},
    "discretisation": {"color": BLUE, "marker": "s"},
    "initialisation": {"color": VERMILION, "marker": "^", "linestyle": "-."},
    "truncation": {"color": GREEN, "marker": "v", "linestyle": (0, (4, 1.5))},
}
# An error a thousand times smaller than every total has no influence.
_SHOWN_BELOW_TOTAL = 1e3


def gaussian_errors(
    errors: Mapping[str, Mapping[str, ArrayLike]],
    num_steps: ArrayLike,
    units: str = "standardised units",
) -> Figure:
    """Draw W2 errors of samplers on Gaussian data against N, both logarithmic, a panel each.

    All panels have the same axes. An error of a sampler that is never above a thousandth of the
    least total of all is written as a number.

    Args:
        errors: the errors by sampler and by `truncation`, `initialisation`, `discretisation` and
            `total`, (k,) each; NaN leaves a gap.
        num_steps: N, (k,), in any order.
        units: the units of the errors.

    Raises:
        ValueError: no sampler, errors of other names, lengths that differ, num_steps that are not
            positive and finite, negative errors, or no total above 0.
    """
    steps = to_array(num_steps)
    if steps.ndim != 1 or steps.size == 0 or not bool((np.isfinite(steps) & (steps > 0)).all()):
        raise ValueError(f"num_steps must be positive, finite and of shape (k,), got {num_steps!r}")
    order = np.argsort(steps)
    steps = steps[order]
    panels = {name: _lines(name, values, order) for name, values in errors.items()}
    if not panels:
        raise ValueError("errors must hold at least one sampler, got none")
    least, limits = _limits(panels)
    columns = len(panels) if len(panels) < 4 else 2 if len(panels) == 4 else 3
    rows = -(-len(panels) // columns)

    with matplotlib.rc_context(STYLE):
        height = 0.9 + rows * (3.0 if columns == 1 else 1.85)
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        for i, (name, lines) in enumerate(panels.items()):
            axes = figure.add_subplot(rows, columns, i + 1)
            _draw(axes, steps, lines, least)
            axes.set_ylim(*limits)
            axes.set_xticks(*_ticks(steps, 0.06 * columns))
            # About 12 letters an inch at 9 pt.
            axes.set_title(plain(textwrap.fill(name, 66 // columns)))
            axes.tick_params(labelleft=i % columns == 0, labelbottom=i + columns >= len(panels))
        figure.supxlabel("number of steps $N$", fontsize=9)
        figure.supylabel(f"$W_2$ distance ({units})", fontsize=9)
        figure.legend(
            handles=[Line2D([], [], label=kind, **look) for kind, look in _LOOKS.items()],
            loc="outside upper center",
            ncols=len(_LOOKS),
            frameon=False,
            handlelength=3.2,
        )
    return figure


def _lines(sampler: str, values: Mapping[str, Any], order: Any) -> dict[str, Floats]:
    """Return the errors of one sampler in the order of `_LOOKS`; values not finite become NaN."""
    if set(values) != set(_LOOKS):
        raise ValueError(
            f"errors[{sampler!r}] must have the entries {sorted(_LOOKS)}, got {sorted(values)}"
        )
    lines = {}
    for kind in _LOOKS:
        line = to_array(values[kind])
        name = f"errors[{sampler!r}][{kind!r}]"
        if line.shape != order.shape:
            raise ValueError(
                f"{name} must have the shape of num_steps {order.shape}, got {line.shape}"
            )
        line = np.where(np.isfinite(line), line, np.nan)[order]
        if bool((line < 0).any()):
            raise ValueError(f"{name} must not be negative, got {np.nanmin(line):g}")
        lines[kind] = line
    return lines


def _limits(
    panels: Mapping[str, Mapping[str, Floats]],
) -> tuple[float, tuple[float, float]]:
    """Return the least error that is drawn, and the ends of the axis, with room for notes below."""
    totals = np.concatenate([lines["total"] for lines in panels.values()])
    totals = totals[totals > 0]
    if totals.size == 0:
        raise ValueError("errors must have a total above 0, got none: nothing to draw")
    shown = np.concatenate([line for lines in panels.values() for line in lines.values()])
    least = float(np.min(shown[shown >= float(totals.min()) / _SHOWN_BELOW_TOTAL]))
    low, high = least / 1.6, float(np.nanmax(shown)) * 2
    if high / low < 100:  # Otherwise an axis may be left with a single number.
        low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
    notes = max(len(_notes(lines, least)) for lines in panels.values())
    return least, (low / (high / low) ** (0.13 * notes), high)


def _notes(lines: Mapping[str, Floats], least: float) -> dict[str, str]:
    """Return a note for each error that is always below `least`, with its size."""
    notes = {}
    for kind in _LOOKS:
        values = lines[kind][~np.isnan(lines[kind])]
        greatest = float(values.max()) if values.size else least
        if greatest == 0:
            notes[kind] = f"{kind} 0"
        elif greatest < least:
            exponent = math.floor(math.log10(greatest))
            digit = math.ceil(greatest / 10.0**exponent)
            notes[kind] = rf"{kind} ≤ ${digit} \cdot 10^{{{exponent}}}$"
    return notes


def _draw(axes: Axes, steps: Floats, lines: Mapping[str, Floats], least: float) -> None:
    notes = _notes(lines, least)
    for i, (kind, look) in enumerate(_LOOKS.items()):
        if kind not in notes:
            # A 0 is far below the axis, so that the line leads there: a gap means no value.
            line = np.where(lines[kind] == 0, least / 1e6, lines[kind])
            axes.plot(steps, line, label=kind, zorder=2 + i / 9, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    margin = max(1.12, float(steps[-1] / steps[0]) ** 0.06)
    axes.set_xlim(float(steps[0]) / margin, float(steps[-1]) * margin)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.grid(True, which="major")
    axes.set_axisbelow(True)
    axes.text(
        0.03, 0.03, "\n".join(notes.values()), transform=axes.transAxes, fontsize=8, va="bottom"
    )


def _ticks(steps: Floats, share: float) -> tuple[list[float], list[str]]:
    """Return the numbers of steps whose labels have room: first, last, and those between.

    Args:
        steps: the numbers of steps, ascending, (k,).
        share: the share of the axis that a label takes.
    """
    first, last = float(steps[0]), float(steps[-1])
    gap = share * math.log(last / first)
    kept = [first]
    for step in steps.tolist():
        if math.log(step / kept[-1]) > gap and math.log(last / step) > gap:
            kept.append(step)
    kept = kept if last == first else [*kept, last]
    return kept, [f"{step:g}" for step in kept]
