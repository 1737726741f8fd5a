"""Lines on logarithmic axes, distinct in grey too, with legends and notes on missing values."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, to_array
from fokker.figures.panels import round_numbers, tick_label
from fokker.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH_INCHES,
    plain,
)

# Six colours, five markers and four lines: neighbours differ in all three, so also in grey.
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_MARKERS = ("o", "s", "^", "D", "v")
_LINES: tuple[Any, ...] = ("-", "-.", ":", (0, (8, 1.5)))
_MAX_MARKERS = 20
_MAX_DECADES = 8
_LETTERS_A_LINE = 95


def line_style(i: int, count: int = 1, points: int = 1) -> dict[str, Any]:
    """Return colour, line and marker of line i of `count`, at most 20 markers on its points."""
    every = max(1, -(-points // _MAX_MARKERS))
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": _LINES[i % len(_LINES)],
        "marker": _MARKERS[i % len(_MARKERS)],
        # Markers begin at different places, so that curves that coincide can be told apart.
        "markevery": (i * every // count % every, every),
    }


def legend_above(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Draw one legend above all panels, in as many columns as the page has room for.

    With more than two rows the figure grows, so that the panels keep their height.
    """
    widest = max(len(label) for label in labels)
    # About 0.065 inch a letter at 8 pt, and 0.7 inch for the line before it and the gap.
    columns = max(1, min(len(labels), int(WIDTH_INCHES / (0.065 * widest + 0.7))))
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)  # Avoid a single name in the last row below full rows.
    figure.set_figheight(figure.get_figheight() + 0.17 * max(0, rows - 2))
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        handlelength=3.2,
    )


def as_levels(name: str, values: ArrayLike, is_log: bool = True) -> Floats:
    """Return finite levels, (b,) with b >= 1, positive ones on a logarithmic axis.

    Raises:
        ValueError: the values are anything else.
    """
    levels = to_array(values)
    good = np.isfinite(levels) & ((levels > 0) | (not is_log))
    if levels.ndim != 1 or levels.size == 0 or not bool(good.all()):
        kind = "positive, finite" if is_log else "finite"
        raise ValueError(f"{name} must be {kind} and of shape (b,), got {values!r}")
    return levels


def as_line(name: str, values: ArrayLike, of: str, levels: Floats) -> Floats:
    """Return a value at each level, (b,); NaN and infinite values are allowed.

    Raises:
        ValueError: the shape is not that of the levels, whose name is `of`.
    """
    line = to_array(values)
    if line.shape != levels.shape:
        raise ValueError(f"{name} must have the shape of {of} {levels.shape}, got {line.shape}")
    return line


def positive(line: Floats) -> Floats:
    """Return the line with NaN for values that a logarithmic axis cannot hold, such as 0."""
    return np.where(np.isfinite(line) & (line > 0), line, np.nan)


def draw_lines(
    axes: Axes,
    levels: Floats,
    lines: Mapping[str, Floats],
    styles: Iterable[Mapping[str, Any]],
    is_log: bool = True,
) -> list[Any]:
    """Draw lines (b,) against their level, on logarithmic axes of at most eight decades.

    Values that the axis cannot hold (an excess of exactly 0, one below 0) are named above the
    panel, or inside it if there is nothing else to draw. The result is the handles of the lines.
    """
    order = np.argsort(levels)
    drawn = {name: positive(line)[order] for name, line in lines.items()}
    shown = np.concatenate(list(drawn.values()))
    if is_log:
        axes.set_xscale("log")
    axes.set_yscale("log")
    empty = bool(np.isnan(shown).all())
    low, high = (0.1, 1.0) if empty else (float(np.nanmin(shown)), float(np.nanmax(shown)))
    # A single value that is 0 except for rounding would flatten all others.
    if low < high * 10.0**-_MAX_DECADES:
        low = float(shown[shown >= high * 10.0**-_MAX_DECADES].min())
    handles = []
    for line, style in zip(drawn.values(), styles):
        look = dict(style)
        if "markevery" in look:
            first, every = look["markevery"]
            look["markevery"] = sorted({*range(first, len(line), every), *_alone(line)})
        handles += axes.plot(levels[order], line, **look)
    axes.set_ylim(low / 1.6, high * 1.6)
    axes.yaxis.set_minor_formatter(_between_powers(low / 1.6, high * 1.6))
    axes.set_axisbelow(True)
    axes.grid(True, which="major")
    said = "; ".join(unseen(lines, low))
    if empty:
        text = textwrap.fill(said, _LETTERS_A_LINE - 20)
        axes.yaxis.set_major_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        if is_log:
            axes.set_xlim(levels.min() / 1.5, levels.max() * 1.5)
        text = f"nothing that a logarithmic axis can show:\n{text}"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=8)
    else:
        say_above(axes, said)
    return handles


def say_above(axes: Axes, said: str) -> None:
    """Write above a panel which values are missing from it, if there are any."""
    if said:
        text = textwrap.fill(f"not shown: {said}", _LETTERS_A_LINE)
        axes.set_title(text, loc="left", fontsize=8)


def _between_powers(low: float, high: float) -> Formatter:
    """Label numbers between the powers of ten if fewer than two powers are within the limits.

    The labels of matplotlib, 2, 3, 4 and 6, touch in a low panel of nearly two decades.
    """
    if np.floor(np.log10(high)) > np.ceil(np.log10(low)):
        return NullFormatter()
    digits = (2, 3, 5, 7) if high < 10 * low else (2, 5)

    def label(value: float, _: int | None) -> str:
        digit, power = f"{value:.0e}".split("e")
        return rf"${digit}\times10^{{{int(power)}}}$" if int(digit) in digits else ""

    return FuncFormatter(label)


def _alone(line: Floats) -> list[int]:
    """Return the indices of points without a neighbour, which are visible only as markers."""
    known = np.concatenate([[False], ~np.isnan(line), [False]])
    return [int(i) for i in np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])]


def unseen(lines: Mapping[str, Floats], low: float) -> list[str]:
    """Return a note for each line with values outside an axis that begins at `low`."""
    found = []
    for name, line in lines.items():
        known = np.isfinite(line)
        if not bool(known.any()):
            found.append(f"{plain(name)} has no finite value")
        zero, less = known & (line == 0), known & (line < low) & (line != 0)
        # An empty panel has no axis, so its note must not name one.
        lower = "is below 0" if bool((line[less] < 0).all()) else "is below this axis"
        for which, what in ((zero, "is exactly 0"), (less, lower)):
            count = int(which.sum())
            if count:
                where = f"all {count}" if count == line.size else f"{count} of {line.size}"
                found.append(f"{plain(name)} {what} at {where} levels")
    return found


def round_log_ticks(axis: Any, limits: tuple[float, float], inches: float) -> None:
    """Set plain round numbers on an axis, as many as have room: 1, 2, 5, 10, 20 ... at best."""
    low, high = limits
    decades = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    found = [
        [step * 10.0**decade for decade in decades[::every] for step in steps]
        for steps, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3))
    ]
    # Between neighbouring powers of ten the numbers are as even as on a linear axis.
    found += [round_numbers(low, high, count) for count in (8, 6, 5, 4, 3, 2)]
    inside = [[tick for tick in ticks if low <= tick <= high] for ticks in found]
    fitting = [t for t in inside if len(t) > 1 and _have_room(t, inches / np.log(high / low))]
    # Prefer at least three numbers: two do not show that the axis is logarithmic.
    best = [t for t in fitting if len(t) > 2] or fitting or [inside[-1][:1]]
    axis.set_ticks(best[0], [tick_label(tick) for tick in best[0]])
    axis.set_minor_formatter(NullFormatter())


def _have_room(ticks: list[float], inches_a_factor_e: float) -> bool:
    """Tell whether the numbers at 8 pt, 0.071 inch a digit, stay apart."""
    widths = np.array([0.071 * len(tick_label(tick)) for tick in ticks])
    between = np.diff(np.log(ticks)) * inches_a_factor_e
    return bool((between > (widths[1:] + widths[:-1]) / 2 + 0.08).all())
