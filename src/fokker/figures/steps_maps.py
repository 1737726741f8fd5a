"""A figure of the density of samples, and of their error, against the number of steps."""

import math
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike

from fokker.figures.arrays import Floats, minus, offsets, to_array, widened
from fokker.figures.lines import round_log_ticks
from fokker.figures.panels import round_numbers, tick_label
from fokker.figures.style import BLACK, BLUE, STYLE, WIDTH_INCHES, plain
from fokker.figures.time_axes import MAX_COLUMNS, arrays_of, some_runs

_KEYS = ("num_steps", "w1", "edges", "sampled", "data")


def steps_maps(runs: Mapping[str, Mapping[str, ArrayLike]], units: str = "data units") -> Figure:
    """Draw the density of samples as colour over N and x, and W1 to the data below it.

    N is logarithmic; the data's own density is a separate column behind the last N. All runs have
    the same colours, up to twice the data's greatest density, and the same axis of W1. If it is
    known, W1 of as many exact samples is dashed: values below it cannot be told from sampling
    noise.

    Args:
        runs: the arrays by label of the run: num_steps and w1 (k,), edges (n + 1,), sampled (k, n),
            data (n,), and optionally sampling_noise, the W1 of as many exact samples, one number.
        units: the units of x.

    Raises:
        ValueError: there is no run, more than six, or an array is missing.
    """
    some_runs(runs)
    found = {name: arrays_of(name, run, _KEYS) for name, run in runs.items()}
    away = _common_offset([run["edges"] for run in found.values()])
    noises = {name: float(to_array(runs[name].get("sampling_noise", math.nan))) for name in found}
    columns = len(found) if len(found) <= MAX_COLUMNS else -(-len(found) // 2)
    blocks = -(-len(found) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 0.5 + blocks * 3.5), layout="constrained")
        whole = figure.subplots(
            2 * blocks, columns, squeeze=False, sharey="row", height_ratios=[1.5, 1] * blocks
        )
        greatest = max(float(np.nan_to_num(run["data"]).max()) for run in found.values())
        norm = Normalize(0, 2 * greatest or 1.0)
        lines = np.concatenate([[*run["w1"], noises[name]] for name, run in found.items()])
        lines = lines[np.isfinite(lines) & (lines > 0)]
        ends = (float(lines.min()), float(lines.max())) if lines.size else (1.0, 1.0)
        gap = "\n" if away else " "
        inches = WIDTH_INCHES / columns - 0.6
        for i, (name, run) in enumerate(found.items()):
            block, column = divmod(i, columns)
            upper, lower = whole[2 * block, column], whole[2 * block + 1, column]
            mesh = _map(upper, run, norm, away)
            upper.set_title(plain(name))
            limits = _w1(lower, run, noises[name])
            if not lines.size:
                _say_nothing(lower)
            lower.set_ylim(ends[0] / 1.5, ends[1] * 1.5)
            for axes in (upper, lower):
                axes.set_xlim(*limits)
                _ticks(axes, run["num_steps"], inches)
            upper.tick_params(labelbottom=False)
            if column == 0:
                upper.set_ylabel(f"{minus('sample', away)}{gap}({units})")
                lower.set_ylabel(f"$W_1$ to the data\n({units})")
        for left in range(len(found), blocks * columns):
            whole[-2, left % columns].set_visible(False)
            whole[-1, left % columns].set_visible(False)
        uppers = [axes for row in whole[::2] for axes in row]
        bar = figure.colorbar(mesh, ax=uppers, extend="max", location="right", aspect=20)
        bar.set_label(f"density (1 / {units})")
        known = any(map(math.isfinite, noises.values()))
        dashed = "; dashed: $W_1$ of as many exact samples" if known else ""
        figure.supxlabel(f"number of steps $N${dashed}", fontsize=9)
    return figure


def _places(steps: Floats) -> Floats:
    """Return the edges of the columns of all N, halfway between neighbours in ln N."""
    logs = np.log(steps)
    if len(logs) == 1:
        return np.exp([logs[0] - 0.3, logs[0] + 0.3])
    middle = (logs[1:] + logs[:-1]) / 2
    ends = (2 * logs[0] - middle[0], 2 * logs[-1] - middle[-1])
    edges: Floats = np.exp(np.concatenate([ends[:1], middle, ends[1:]]))
    return edges


def _data_column(edges: Floats) -> tuple[float, float]:
    """Return the ends of the data's column, behind the last N and as broad as its name is high."""
    share = math.log(edges[-1] / edges[0])
    return float(edges[-1] * math.exp(0.05 * share)), float(edges[-1] * math.exp(0.2 * share))


def _common_offset(edges: list[Floats]) -> float:
    """Return a number to subtract from all samples, so that their numbers are short."""
    low, high = min(float(x[0]) for x in edges), max(float(x[-1]) for x in edges)
    return float(offsets(*widened(np.array([low]), np.array([high]), 0.0))[0])


def _map(axes: Axes, run: Mapping[str, Floats], norm: Normalize, away: float) -> Any:
    edges, x = _places(run["num_steps"]), run["edges"] - away
    axes.set_xscale("log")
    mesh = axes.pcolormesh(
        edges, x, run["sampled"].T, norm=norm, cmap="cividis", rasterized=True
    )
    axes.pcolormesh(
        _data_column(edges), x, run["data"][:, None], norm=norm, cmap="cividis", rasterized=True
    )
    axes.text(
        math.sqrt(math.prod(_data_column(edges))), 0.97, "data", color="white", rotation=90,
        transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8,
    )  # fmt: skip
    low, high = (float(end[0]) for end in widened(x[:1], x[-1:], 0.0))
    axes.set_ylim(low, high)
    ticks = round_numbers(low, high, 5)
    axes.set_yticks(ticks, [tick_label(v) for v in ticks])
    return mesh


def _w1(axes: Axes, run: Mapping[str, Floats], sampling_noise: float) -> tuple[float, float]:
    """Draw W1 against N, and return the limits of the axis of N."""
    edges = _places(run["num_steps"])
    good = np.where(run["w1"] > 0, run["w1"], np.nan)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(run["num_steps"], good, color=BLUE, marker="o")
    if math.isfinite(sampling_noise):
        axes.axhline(sampling_noise, color=BLACK, linestyle=(0, (4, 2)), linewidth=0.9)
    axes.grid(True, which="major", axis="y")
    axes.set_axisbelow(True)
    return float(edges[0]), _data_column(edges)[1]


def _say_nothing(axes: Axes) -> None:
    """Write why there is no line, for example for samples that equal the data."""
    text = "every $W_1$ is 0\nor not finite"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=8)
    axes.yaxis.set_major_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())


def _ticks(axes: Axes, steps: Floats, inches: float) -> None:
    """Set ticks at round numbers of steps."""
    edges = _places(steps)
    round_log_ticks(axes.xaxis, (float(edges[0]), float(edges[-1])), 0.8 * inches)
    axes.xaxis.set_minor_locator(NullLocator())
