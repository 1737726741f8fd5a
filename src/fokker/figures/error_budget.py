"""A figure that splits a sampler's error: prior, truncation, steps and network."""

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, thin, to_array
from fokker.figures.lines import COLOURS, legend_above, line_style, round_log_ticks
from fokker.figures.panels import number, plain_ticks
from fokker.figures.style import BLACK, STYLE, WIDTH_INCHES, plain

_MAX_DECADES = 8
_LETTERS_A_NAME = 24
# Relative to the largest norm: rounding is far below it, a missing term is far above.
_TOLERANCE = 0.01


def error_budget(
    terms: Mapping[str, ArrayLike],
    total: ArrayLike,
    extra: Mapping[str, float] | None = None,
    u: ArrayLike | None = None,
    units: str = "data units",
) -> Figure:
    """Draw a sampler's error, split along a chain of maps from the same starts.

    The total is `sum_k term_k`. Each term is the displacement between neighbouring maps, for
    example truncation, prior, discretisation, learning. The terms add exactly; their norms
    `sqrt(E|term_k|^2)` do not. In one dimension and with `u` the left panel has displacements
    against the quantile of the start, at most 4,000 of them. The right panel, or the only one, has
    the norms, on a logarithmic axis of at most eight decades, with their values. A term that is 0
    has a value but no bar.

    Args:
        terms: the displacement by name, (n,) or (n, *shape), in the order of the chain.
        total: the measured displacement, in the shape of the terms.
        extra: the norm by name, 0 or above, of errors outside the sum; drawn hatched.
        u: the quantile of each start in [0, 1], (n,), in any order; None to draw only the norms.
        units: the units of the displacements.

    Raises:
        ValueError: no term, shapes that differ, NaN or infinite values, terms that do not add to
            the total (by more than 1% of the largest norm), norms that are negative or not finite,
            quantiles outside [0, 1], or quantiles of data in more than one dimension.
    """
    whole = _rows("total", total)
    parts = {name: _rows(f"terms[{name!r}]", values) for name, values in terms.items()}
    norms = {plain(name): _norm(part) for name, part in parts.items()}
    _check_sum(parts, whole)
    beside = {name: float(value) for name, value in (extra or {}).items()}
    for name, value in beside.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"extra[{name!r}] must be 0 or above and finite, got {value}")
    quantiles = None if u is None else _quantiles(u, whole)

    bars = len(norms) + 1 + len(beside)
    with matplotlib.rc_context(STYLE):
        if quantiles is None:
            figure = Figure(figsize=(WIDTH_INCHES, 0.9 + 0.32 * bars), layout="constrained")
            _draw_norms(figure.add_subplot(), norms, _norm(whole), beside, units)
            return figure
        height = max(3.4, 0.9 + 0.36 * bars)
        figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        lines = {plain(name): part[:, 0] for name, part in parts.items()}
        handles = _draw_displacements(left, quantiles, [*lines.values(), whole[:, 0]], units)
        _draw_norms(right, norms, _norm(whole), beside, units)
        legend_above(figure, handles, [*lines, "measured"])
    return figure


def _check_sum(parts: Mapping[str, Floats], whole: Floats) -> None:
    """Refuse terms that do not add to the total.

    Raises:
        ValueError: see `error_budget`.
    """
    if not parts:
        raise ValueError("terms must hold at least one term, got none")
    for name, part in parts.items():
        if part.shape != whole.shape:
            raise ValueError(
                f"terms[{name!r}] must have the shape of total {whole.shape}, got {part.shape}"
            )
    rest = _norm(whole - sum(parts.values()))
    if rest > _TOLERANCE * max(map(_norm, [whole, *parts.values()])):
        raise ValueError(
            f"terms must add to the total, but it is {rest:.3g} (r.m.s.) off their sum: "
            "is one missing, or from other starts?"
        )


def _rows(name: str, values: ArrayLike) -> Floats:
    """Return displacements as (n, d)."""
    array = to_array(values)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} must have shape (n,) or (n, *shape), n >= 1, got {array.shape}")
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {array.size}: "
            "the sampler diverged"
        )
    return array.reshape(len(array), -1)


def _quantiles(u: ArrayLike, whole: Floats) -> Floats:
    quantiles = to_array(u)
    if whole.shape[1] != 1:
        raise ValueError(
            f"u must be None for data in {whole.shape[1]} dimensions, which have no quantiles"
        )
    if quantiles.shape != whole.shape[:1]:
        raise ValueError(f"u must have shape {whole.shape[:1]} as total, got {quantiles.shape}")
    if not bool(((quantiles >= 0) & (quantiles <= 1)).all()):
        raise ValueError(
            f"u must be within [0, 1], got {quantiles.min():g} to {quantiles.max():g}: "
            "give quantiles, not the starts"
        )
    return quantiles


def _norm(rows: Floats) -> float:
    """Return `sqrt(E|x|^2)` of (n, d)."""
    return float(np.sqrt((rows**2).sum(axis=1).mean()))


def _draw_displacements(axes: Axes, u: Floats, lines: list[Floats], units: str) -> list[Any]:
    """Draw the terms and, last, the total against the quantile; return their handles."""
    order = np.argsort(u, kind="stable")
    table = thin(np.stack([u, *lines], axis=1)[order])
    handles, count = [], len(lines) - 1
    for i in range(count):
        style = line_style(i, count, len(table))
        handles += axes.plot(table[:, 0], table[:, i + 1], **style)
    # Wide and below, so that a term that nearly equals the total stays visible.
    handles += axes.plot(table[:, 0], table[:, -1], color=BLACK, linewidth=2.6, zorder=1.5)
    # In the tails of the start law a displacement can be a hundred times larger than elsewhere.
    values = table[:, 1:]
    low, high = float(values.min()), float(values.max())
    inner = np.quantile(values, (0.005, 0.995), axis=0)
    least, greatest = min(0.0, float(inner[0].min())), max(0.0, float(inner[1].max()))
    if high - low > 2 * (greatest - least) > 0:
        low, high = least, greatest
    margin = 0.06 * (high - low) or 0.5
    low, high = low - margin, high + margin
    axes.set_ylim(low, high)
    share = float(((values < low) | (values > high)).any(axis=1).mean())
    beyond = f"\n({100 * share:.1f}% of the quantiles reach beyond)" if share > 0 else ""
    axes.set_title(f"displacements add{beyond}")
    axes.set_xlim(0, 1)
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=1)
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_xlabel("quantile $u$ of the start")
    axes.set_ylabel(f"displacement ({units})")
    return handles


def _draw_norms(
    axes: Axes, norms: Mapping[str, float], total: float, beside: Mapping[str, float], units: str
) -> None:
    values = np.array([*norms.values(), total, *beside.values()])
    names = [*norms, "measured", *(f"{plain(name)}, no part of the sum" for name in beside)]
    rows = np.arange(len(values))
    some = values[values > 0]
    high = float(some.max()) if some.size else 1.0
    low = max(float(some.min()) / 3, high * 10.0**-_MAX_DECADES) if some.size else 0.1
    for i, value in enumerate(values):
        if i < len(norms):
            look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)]}
        elif i == len(norms):
            look = {"color": BLACK}
        else:
            look = {"facecolor": "white", "edgecolor": "0.45", "hatch": "////"}
        end = max(value, low)
        if end > low:
            axes.barh(i, end - low, left=low, height=0.62, **look)
        text = number(value) if value > 0 else "0"
        axes.annotate(text, (end, i), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_xscale("log")
    # Leave room for the numbers, a share of the axis as it is drawn.
    axes.set_xlim(low, high * (high / low) ** 0.35)
    axes.set_ylim(rows[-1] + 0.6, -0.6)
    axes.set_yticks(rows, [textwrap.fill(name, _LETTERS_A_NAME) for name in names])
    axes.tick_params(axis="y", length=0)
    if not some.size:
        axes.xaxis.set_major_locator(NullLocator())
        axes.xaxis.set_minor_locator(NullLocator())
    elif high < 30 * low:
        # The axis is too short for two powers of ten.
        round_log_ticks(axes.xaxis, axes.get_xlim(), inches=2.0)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_axisbelow(True)
    axes.grid(True, which="major", axis="x")
    axes.set_title("norms do not add")
    axes.set_xlabel(f"r.m.s. displacement\n({units})")
