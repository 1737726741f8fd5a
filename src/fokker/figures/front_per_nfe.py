"""A figure of the best value for each amount of work, for settings too many for lines."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fokker.figures.lines import COLOURS, legend_above, round_log_ticks
from fokker.figures.style import BLACK, STYLE, WIDTH_INCHES, plain

_MARKERS = ("o", "s", "^", "D", "v", "P")


def front_of(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of points lower than all others up to their NFE, from left to right."""
    best, found = np.inf, []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if points[i][1] < best:
            best = points[i][1]
            found.append(i)
    return found


def front_per_nfe(groups: Mapping[str, Sequence[tuple[float, float]]], label: str) -> Figure:
    """Draw a dot for each setting on logarithmic axes, and the least value up to each NFE as steps.

    Args:
        groups: points (NFE, metric), positive and finite, by the name in the legend; at most six.
        label: the label of the metric, with its unit.

    Raises:
        ValueError: no points, more than six groups, or a point that is not positive and finite.
    """
    points = [(float(x), float(y)) for group in groups.values() for x, y in group]
    values = np.array(points).reshape(-1, 2)
    if not points or not bool((np.isfinite(values) & (values > 0)).all()):
        raise ValueError(f"groups must hold positive, finite points, got {points[:3]}")
    if len(groups) > len(_MARKERS):
        raise ValueError(f"groups must be at most {len(_MARKERS)}, got {len(groups)}")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 4.1), layout="constrained")
        axes = figure.add_subplot()
        handles, names = [], []
        for i, (name, group) in enumerate(groups.items()):
            x, y = np.array(group).reshape(-1, 2).T
            handles += axes.plot(
                x, y, _MARKERS[i], color=COLOURS[i], markersize=4, alpha=0.75, markeredgewidth=0
            )
            names.append(plain(name))
        low, high = values.min(axis=0), values.max(axis=0)
        front = values[front_of(points)]
        end = np.append(front[:, 0], high[0] * 1.3)
        handles += axes.step(
            end, np.append(front[:, 1], front[-1, 1]), color=BLACK, linewidth=1.0, where="post"
        )
        names.append("the best up to each NFE")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(low[0] / 1.3, high[0] * 1.3)
        axes.set_ylim(low[1] / 1.4, high[1] * 1.4)
        round_log_ticks(axes.xaxis, axes.get_xlim(), WIDTH_INCHES - 0.8)
        axes.set_xlabel("NFE (network evaluations a sample)")
        axes.set_ylabel(label)
        axes.set_axisbelow(True)
        axes.grid(True, which="major")
        legend_above(figure, handles, names)
    return figure
