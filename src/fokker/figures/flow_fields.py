"""A figure of the probability flow of x_t, exact and as a network has learned it."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats
from fokker.figures.style import STYLE
from fokker.figures.time_axes import (
    PlaceAxis,
    TimeAxis,
    arrays_of,
    pairs_of_panels,
    some_runs,
)

_KEYS = ("t", "sigma", "x", "exact", "learned", "exact_paths", "learned_paths")
# Speeds outside these quantiles get the colours of the ends.
_ENDS = (0.02, 0.98)
_RATIO = 1e3
_ARROWS = (12, 8)


def flow_fields(
    runs: Mapping[str, Mapping[str, ArrayLike]],
    rows: tuple[str, str] = ("exact", "learned"),
    units: str = "data units",
) -> Figure:
    """Draw the speed |dx/dt| as colour over t and x, noise on the left, with paths of the flow.

    Each run has a column, with exact above learned. A single run has the two next to each other,
    with arrows of equal length in the direction of sampling. The time axis is logarithmic if most
    noise levels pass in the first hundredth of the time. The x axis is an asinh scale if x_t
    spreads widely. Nothing is drawn further from the mean than x goes.

    Args:
        runs: the arrays by label of the run: t and sigma (b,), x, exact and learned (b, n), and
            exact_paths and learned_paths (b, k).
        rows: the names of the two fields.
        units: the units of x.

    Raises:
        ValueError: there is no run, more than six, or an array is missing.
    """
    some_runs(runs)
    found = {name: arrays_of(name, run, _KEYS) for name, run in runs.items()}
    with matplotlib.rc_context(STYLE):
        figure, pairs, inches = pairs_of_panels([*found], rows, 2.4)
        alone = len(found) == 1
        for run, pair in zip(found.values(), pairs, strict=True):
            time, place = TimeAxis(run["t"], run["sigma"]), PlaceAxis(run["x"])
            low, high = np.quantile(np.abs(run["exact"]), _ENDS).tolist()
            # A flow at rest, as of N(0, 1) along a VP-SDE, has no speed except rounding.
            high = max(high, 1e-9)
            norm = LogNorm(max(low, high / _RATIO), high)
            for axes, kind in zip(pair, ("exact", "learned"), strict=True):
                mesh = _field(axes, time, place, run, kind, norm)
                if alone:
                    _arrows(axes, time, place, run, kind)
                time.label(axes, inches)
                place.label(axes, 2.4 if alone else 1.6)
            bar = figure.colorbar(
                mesh, ax=list(pair), orientation="vertical" if alone else "horizontal",
                location="right" if alone else "bottom", extend="both", aspect=25 if alone else 12,
            )  # fmt: skip
            bar.minorticks_off()
            if alone:
                bar.set_label(f"speed $|dx/dt|$ ({units} / unit of $t$)")
        label = f"$x_t$ ({units})"
        if alone:
            pairs[0][0].set_ylabel(label)
            figure.supxlabel("time $t$, from noise to data", fontsize=9)
        else:
            figure.supylabel(label, fontsize=9)
            figure.supxlabel(
                f"time $t$, from noise to data; below: speed $|dx/dt|$ ({units} / unit of $t$)",
                fontsize=9,
            )
    return figure


def _field(
    axes: Axes, time: TimeAxis, place: PlaceAxis, run: Mapping[str, Floats], kind: str, norm: Any
) -> Any:
    u = time.places(run["t"])
    y = place.places(run["x"])
    # The clamp keeps the logarithm finite.
    speed = np.maximum(np.abs(run[kind]), norm.vmin / 10)
    mesh = axes.pcolormesh(
        np.broadcast_to(u[:, None], y.shape), y, speed, norm=norm, cmap="cividis",
        shading="gouraud", rasterized=True,
    )  # fmt: skip
    outline = [patheffects.withStroke(linewidth=1.8, foreground="black")]
    axes.plot(
        u, place.places(run[f"{kind}_paths"]), color="white", linewidth=0.8, path_effects=outline
    )
    return mesh


def _arrows(
    axes: Axes, time: TimeAxis, place: PlaceAxis, run: Mapping[str, Floats], kind: str
) -> None:
    """Draw arrows of one length in the direction of sampling, evenly spaced on the page."""
    t, x, velocity = run["t"], run["x"], run[kind]
    u, v = time.places(t), place.places(x)
    width, height = float(abs(u[-1] - u[0])), float(v.max() - v.min())
    middle, step = [], []
    for column in np.linspace(u[0], u[-1], 2 * _ARROWS[0] + 1)[1::2]:
        i = int(np.clip(np.abs(u - column).argmin(), 1, len(t) - 2))
        du = (u[i + 1] - u[i - 1]) / (t[i - 1] - t[i + 1])
        # Time falls towards the data.
        dv = -velocity[i] * np.gradient(v[i], x[i])
        for row in np.linspace(v[i, 0], v[i, -1], 2 * _ARROWS[1] + 1)[1::2]:
            way = np.array([du / width, np.interp(row, v[i], dv) / height])
            middle.append((u[i], row))
            step.append(0.7 / _ARROWS[0] * way / np.hypot(*way) * [width, height])
    starts, steps = np.array(middle) - np.array(step) / 2, np.array(step)
    axes.quiver(
        *starts.T, *steps.T, angles="xy", scale_units="xy", scale=1, color="white",
        width=0.005, headwidth=4, headlength=4.5, headaxislength=4,
    )  # fmt: skip
