"""A figure of the density of x_t from noise to data, exact and as sampled."""

from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.style import STYLE
from fokker.figures.time_axes import (
    PlaceAxis,
    TimeAxis,
    arrays_of,
    corners,
    pairs_of_panels,
    some_runs,
)

_KEYS = ("t", "sigma", "edges", "exact", "sampled")


def marginal_maps(
    runs: Mapping[str, Mapping[str, ArrayLike]],
    rows: tuple[str, str] = ("exact", "sampled"),
    units: str = "data units",
) -> Figure:
    """Draw p_t(x) as colour over t and x, noise on the left, exact and sampled in the same colours.

    Each run has a column, with exact above sampled. A single run has the two next to each other.
    Each density is divided by the greatest exact one at its time, because an exploding x_t thins
    out by factors of hundreds. Axes are those of `flow_fields`.

    Args:
        runs: the arrays by label of the run: t and sigma (b,), edges (b, n + 1), exact and sampled
            (b, n).
        rows: the names of the two densities.
        units: the units of x.

    Raises:
        ValueError: there is no run, more than six, or an array is missing.
    """
    some_runs(runs)
    found = {name: arrays_of(name, run, _KEYS) for name, run in runs.items()}
    with matplotlib.rc_context(STYLE):
        figure, pairs, inches = pairs_of_panels([*found], rows, 2.4)
        alone = len(found) == 1
        norm = Normalize(0, 1.2)
        for run, pair in zip(found.values(), pairs, strict=True):
            time, place = TimeAxis(run["t"], run["sigma"]), PlaceAxis(run["edges"])
            mesh = corners(time, place, run["t"], run["edges"])
            greatest = run["exact"].max(axis=1, keepdims=True)
            greatest = np.where(greatest > 0, greatest, 1.0)
            for axes, kind in zip(pair, ("exact", "sampled"), strict=True):
                drawn = axes.pcolormesh(
                    *mesh, run[kind] / greatest, norm=norm, cmap="cividis", rasterized=True
                )
                time.label(axes, inches)
                place.label(axes, 2.4 if alone else 1.6)
        bar = figure.colorbar(
            drawn, ax=[axes for pair in pairs for axes in pair], extend="max", ticks=[0, 0.5, 1],
            location="right", aspect=25,
        )  # fmt: skip
        bar.set_label("density / greatest exact density at that $t$")
        if alone:
            pairs[0][0].set_ylabel(f"$x_t$ ({units})")
        else:
            figure.supylabel(f"$x_t$ ({units})", fontsize=9)
        figure.supxlabel("time $t$, from noise to data", fontsize=9)
    return figure
