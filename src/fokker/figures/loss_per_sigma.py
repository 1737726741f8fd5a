"""At which noise levels does a model err, and how far is it from the best possible?"""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fokker.figures.arrays import to_array
from fokker.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    WIDTH_INCHES,
    plain,
)

# Six colours, five markers, and four lines: neighbours differ in all three, so in grey as well.
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
_MARKERS = ("o", "s", "^", "D", "v")
_LINES: tuple[Any, ...] = ("-", "-.", ":", (0, (8, 1.5)))
_MAX_MARKERS = 20


def loss_per_sigma(curves: Mapping[str, Any], sigmas: Any, floor: Any | None = None) -> Figure:
    """`E|D - x0|^2 / d` against sigma, both logarithmic, one line a curve.

    Args:
        curves: name to denoising error, (b,) each, squared standardised units; NaN leaves a gap.
        sigmas: noise levels, (b,), standardised units, in any order.
        floor: the least possible error, mmse(sigma)/d, (b,), drawn dashed.

    Raises:
        ValueError: no curve, lengths that differ, sigmas that are not positive and finite, or a
            curve without any positive value.
    """
    levels = to_array(sigmas)
    if levels.ndim != 1 or levels.size == 0 or not bool((np.isfinite(levels) & (levels > 0)).all()):
        raise ValueError(f"sigmas must be positive, finite and of shape (b,), got {sigmas}")
    if not curves:
        raise ValueError("curves must hold at least one curve, got none")
    order = np.argsort(levels)
    levels = levels[order]
    lines = {}
    named = {**{f"curves[{name!r}]": v for name, v in curves.items()}, "floor": floor}
    for name, values in named.items():
        if values is None:
            continue
        line = to_array(values)
        if line.shape != levels.shape:
            raise ValueError(
                f"{name} must have the shape of sigmas {levels.shape}, got {line.shape}"
            )
        line = line[order]
        # What a logarithmic axis cannot show: an empty bin, an infinite error, an error of 0.
        line = np.where(np.isfinite(line) & (line > 0), line, np.nan)
        if name != "floor" and bool(np.isnan(line).all()):
            raise ValueError(f"{name} must have a positive value, got none: nothing to draw")
        lines[name] = line
    least = lines.pop("floor", None)

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 3.9), layout="constrained")
        axes = figure.add_subplot()
        handles, labels = [], []
        every = max(1, -(-levels.size // _MAX_MARKERS))
        for i, (name, line) in enumerate(zip(curves, lines.values())):
            handles += axes.plot(
                levels,
                line,
                color=_COLOURS[i % len(_COLOURS)],
                linestyle=_LINES[i % len(_LINES)],
                marker=_MARKERS[i % len(_MARKERS)],
                # Begun at different places, so that curves that coincide can be told apart.
                markevery=(i * every // len(lines), every),
            )
            labels.append(plain(name))
        if least is not None:
            handles += axes.plot(levels, least, color=BLACK, linestyle=(0, (4, 2)), zorder=3)
            labels.append("floor (exact)")
        axes.set_xscale("log")
        axes.set_yscale("log")
        shown = np.concatenate(list(lines.values()))
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        if least is not None and not bool(np.isnan(least).all()):
            # A finite data set's floor falls to 1e-300 at small sigma and would flatten the curves.
            low = max(min(low, float(np.nanmin(least))), low / 100)
            high = max(high, float(np.nanmax(least)))
        axes.set_ylim(low / 1.6, high * 1.6)
        axes.set_xlabel(r"noise level $\sigma$ (standardised units)")
        axes.set_ylabel(r"denoising error $\mathrm{E}|D - x_0|^2 / d$" "\n(standardised units²)")
        axes.grid(True, which="major")
        axes.set_axisbelow(True)
        widest = max(len(label) for label in labels)
        # About 0.065 inch a letter at 8 pt, and 0.55 for the line before it.
        columns = max(1, min(len(labels), int(WIDTH_INCHES / (0.065 * widest + 0.55))))
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=columns,
            frameon=False,
            handlelength=3.2,
        )
    return figure
