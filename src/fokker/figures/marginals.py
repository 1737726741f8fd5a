"""A figure of the error of simulated marginals, and of the score's Fokker-Planck residual."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from fokker.figures.arrays import to_array
from fokker.figures.lines import as_levels, as_line, draw_lines, legend_above, line_style
from fokker.figures.style import BLACK, STYLE, WIDTH_INCHES


def marginals(
    sigmas: ArrayLike,
    forward: ArrayLike,
    backward: ArrayLike,
    residual_sigmas: ArrayLike,
    residual: ArrayLike,
    noise: ArrayLike | None = None,
    residual_label: str = "Fokker-Planck residual\n(r.m.s.)",
) -> Figure:
    """Draw `W1(simulated, p_t) / std(p_t)` in one dimension, and the residual of the score.

    The upper panel is against sigma, both logarithmic: forward are samples noised from the data,
    backward are samples of the model on their way from noise. The lower panel is the r.m.s.
    residual of the Fokker-Planck equation under the learned score, at its own noise levels. NaN
    leaves a gap. Values of 0 or below, which a logarithmic axis cannot hold, are named in words.

    Args:
        sigmas: the noise levels of the marginals, (b,), standardised units, in any order.
        forward: W1 / std of the forward marginals, (b,).
        backward: W1 / std of the backward marginals, (b,).
        residual_sigmas: the noise levels of the residual, (r,), standardised units, in any order.
        residual: the r.m.s. Fokker-Planck residual, (r,).
        noise: W1 / std of as many exact samples, (b,) or one number, drawn dashed: values below it
            cannot be told from sampling noise.
        residual_label: the label of the lower panel, with its unit.

    Raises:
        ValueError: lengths that differ, or sigmas that are not positive and finite.
    """
    levels = as_levels("sigmas", sigmas)
    lines = {
        "forward": as_line("forward", forward, "sigmas", levels),
        "backward": as_line("backward", backward, "sigmas", levels),
    }
    labels = ["forward, data to noise", "backward, noise to data"]
    styles: list[dict[str, Any]] = [line_style(i, 2, levels.size) for i in range(2)]
    if noise is not None:
        # A single number holds at every level.
        expected = to_array(noise)
        expected = np.full(levels.shape, expected) if expected.ndim == 0 else expected
        lines["exact samples"] = as_line("noise", expected, "sigmas", levels)
        labels.append("as many exact samples")
        styles.append({"color": BLACK, "linestyle": (0, (4, 2))})
    below = as_levels("residual_sigmas", residual_sigmas)
    rest = {"the residual": as_line("residual", residual, "residual_sigmas", below)}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 4.8), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
        handles = draw_lines(upper, levels, lines, styles)
        draw_lines(lower, below, rest, [{**line_style(2, 1, below.size), "linestyle": "-"}])
        upper.set_ylabel("distance to the exact marginal\n$W_1$ / std")
        lower.set_ylabel(residual_label)
        lower.set_xlabel(r"noise level $\sigma$ (standardised units)")
        legend_above(figure, handles, labels)
    return figure
