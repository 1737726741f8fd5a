"""Axes of time and of x_t for any SDE: from noise on the left to data on the right."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, to_array
from fokker.figures.panels import round_numbers, tick_label
from fokker.figures.style import WIDTH_INCHES, plain

# If the middle of the noise levels, in ln sigma, comes before this share of all time, a linear axis
# would be filled with noise.
LOG_TIME_BELOW = 0.01
# Beyond this ratio of widths a linear axis would reduce the data to a line.
WIDE = 12.0
MAX_COLUMNS = 4


@final
@dataclass(frozen=True)
class TimeAxis:
    """An axis of times, from noise (left) to data: `-t` or `-log10 t`.

    Args:
        t: the times, (b,), descending.
        sigma: the noise levels, (b,).
    """

    t: Floats
    sigma: Floats

    @property
    def is_log(self) -> bool:
        """Tell whether most of the noise levels pass in a small part of the time."""
        t, sigma = self.t[::-1], self.sigma[::-1]
        if t[0] <= 0:
            return False
        middle = np.interp(np.log(sigma[[0, -1]]).mean(), np.log(sigma), np.log(t))
        return bool(math.exp(middle) < LOG_TIME_BELOW * t[-1])

    def places(self, t: Floats) -> Floats:
        """Return the places of times on the axis."""
        found: Floats = -np.log10(t) if self.is_log else -t
        return found

    def label(self, axes: Axes, inches: float) -> None:
        """Set limits and ticks of a horizontal axis."""
        ends = self.places(self.t[[0, -1]])
        axes.set_xlim(*ends)
        low, high = float(self.t[-1]), float(self.t[0])
        if self.is_log:
            powers = np.arange(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
            # About 0.4 inch a label.
            every = max(1, math.ceil(len(powers) / max(2, inches / 0.4)))
            ticks = 10.0 ** powers[::every]
            labels = [f"$10^{{{p}}}$" if abs(p) > 2 else tick_label(10.0**p) for p in powers]
            labels = labels[::every]
        else:
            # Times begin and end near round numbers, such as 0.001.
            slack = 0.02 * (high - low)
            numbers = round_numbers(low - slack, high + slack, max(3, int(inches / 0.6)))
            ticks, labels = np.array(numbers), [tick_label(v) for v in numbers]
        axes.set_xticks(self.places(np.clip(ticks, low, high)), labels)
        axes.xaxis.set_minor_locator(NullLocator())


@final
@dataclass(frozen=True)
class PlaceAxis:
    """An axis of x_t: linear, or `asinh((x - centre) / width)` if it spreads very widely.

    Args:
        rows: x at each time, (b, n), ascending in each row; the last row is the data's.
    """

    rows: Floats

    @property
    def _widths(self) -> Floats:
        widths: Floats = self.rows[:, -1] - self.rows[:, 0]
        return widths

    @property
    def is_linear(self) -> bool:
        """Tell whether the widest row is at most 12 times as wide as the narrowest one."""
        return bool(self._widths.max() <= WIDE * self._widths.min())

    def places(self, x: Floats) -> Floats:
        """Return the places of x on the axis."""
        if self.is_linear:
            return x
        centre, width = self.rows[-1].mean(), self._widths.min() / 8
        found: Floats = np.arcsinh((x - centre) / width)
        return found

    def label(self, axes: Axes, inches: float) -> None:
        """Set limits and ticks of a vertical axis."""
        low, high = float(self.rows.min()), float(self.rows.max())
        axes.set_ylim(*self.places(np.array([low, high])))
        ticks = round_numbers(low, high, max(2, int(inches / 0.35)))
        if not self.is_linear:
            ticks = self._apart(low, high, 0.2 / inches)
        axes.set_yticks(self.places(np.array(ticks)), [tick_label(v) for v in ticks])
        axes.yaxis.set_minor_locator(NullLocator())

    def _apart(self, low: float, high: float, share: float) -> list[float]:
        """Return round numbers of the data, and powers of ten, that stay apart on the axis."""
        near = round_numbers(float(self.rows[-1, 0]), float(self.rows[-1, -1]), 3)
        middle = float(self.rows[-1].mean())
        near.sort(key=lambda value: abs(value - middle))
        first = math.floor(math.log10(float(self._widths.min())))
        powers = [10.0**p for p in range(first, math.ceil(math.log10(high - low)) + 1)]
        gap = share * float(np.ptp(self.places(np.array([low, high]))))
        kept: list[float] = []
        for value in (*near, *(sign * power for power in powers for sign in (1, -1))):
            apart = np.abs(self.places(np.array([*kept, math.inf])) - self.places(np.array(value)))
            if low < value < high and float(apart.min()) > gap:
                kept.append(value)
        return sorted(kept)


def corners(axis: TimeAxis, place: PlaceAxis, t: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Return the mesh of cells around times t (b,) and edges (b, n + 1), each (b + 1, n + 1)."""
    u, v = axis.places(t), place.places(edges)
    middle, rows = (u[1:] + u[:-1]) / 2, (v[1:] + v[:-1]) / 2
    x = np.concatenate([u[:1], middle, u[-1:]])
    y = np.concatenate([v[:1], rows, v[-1:]])
    return np.broadcast_to(x[:, None], y.shape), y


def pairs_of_panels(
    names: list[str], rows: tuple[str, str], panel_inches: float
) -> tuple[Figure, list[tuple[Axes, Axes]], float]:
    """Make two panels for each run, one above the other; a single run has them side by side.

    Args:
        names: the names of the runs.
        rows: the names of the two panels.
        panel_inches: the height of a panel.

    Returns:
        The figure, the two axes of each run, and the approximate width of a panel in inches.
    """
    if len(names) == 1:
        figure = Figure(figsize=(WIDTH_INCHES, panel_inches + 1.0), layout="constrained")
        one, other = figure.subplots(1, 2, sharey=True)
        one.set_title(plain(rows[0]))
        other.set_title(plain(rows[1]))
        return figure, [(one, other)], WIDTH_INCHES / 2 - 0.6
    columns = len(names) if len(names) <= MAX_COLUMNS else -(-len(names) // 2)
    blocks = -(-len(names) // columns)
    height = blocks * (1.45 * panel_inches + 1.0)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    whole = figure.subplots(2 * blocks, columns, squeeze=False)
    pairs = []
    for i, name in enumerate(names):
        block, column = divmod(i, columns)
        upper, lower = whole[2 * block, column], whole[2 * block + 1, column]
        upper.set_title(plain(name))
        upper.tick_params(labelbottom=False)
        if column == 0:
            upper.set_ylabel(plain(rows[0]))
            lower.set_ylabel(plain(rows[1]))
        pairs.append((upper, lower))
    for left in range(len(names), blocks * columns):
        whole[-2, left % columns].set_visible(False)
        whole[-1, left % columns].set_visible(False)
    return figure, pairs, WIDTH_INCHES / columns - 0.5


def arrays_of(
    name: str, given: Mapping[str, ArrayLike], keys: tuple[str, ...]
) -> dict[str, Floats]:
    """Return the arrays of a run by name, as numbers.

    Raises:
        ValueError: an array is missing.
    """
    missing = [key for key in keys if key not in given]
    if missing:
        raise ValueError(f"{name or 'the run'} must have the arrays {list(keys)}, got no {missing}")
    return {key: to_array(given[key]) for key in keys}


def some_runs(runs: Mapping[str, object]) -> None:
    """Refuse an empty mapping, and one of more than six runs.

    Raises:
        ValueError: the number of runs is not 1 to 6; the message gives it.
    """
    if not 1 <= len(runs) <= 6:
        raise ValueError(f"a figure has room for 1 to 6 runs side by side, got {len(runs)}")
