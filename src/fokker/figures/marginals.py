"""How far are simulated marginals from the exact ones, and does the score obey the law?"""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fokker.figures.arrays import to_array
from fokker.figures.lines import as_levels, as_line, draw_lines, legend_above, line_style
from fokker.figures.style import BLACK, STYLE, WIDTH_INCHES


def marginals(
    sigmas: Any,
    forward: Any,
    backward: Any,
    residual_sigmas: Any,
    residual: Any,
    noise: Any | None = None,
    residual_label: str = "Fokker-Planck residual\n(r.m.s.)",
) -> Figure:
    """Of data in one dimension: `W1(simulated, p_t) / std(p_t)` and the residual of the score.

    Above, against sigma, both logarithmic: forward, samples noised from the data, and backward,
    samples of the model on their way from noise. Below the r.m.s. residual of the Fokker-Planck
    equation under the learned score, at noise levels of its own. NaN leaves a gap; a value of 0 or
    below, which a logarithmic axis cannot show, is said in words.

    Args:
        sigmas: noise levels of the marginals, (b,), standardised units, in any order.
        forward: W1 / std of the forward marginals, (b,).
        backward: W1 / std of the backward marginals, (b,).
        residual_sigmas: noise levels of the residual, (r,), standardised units, in any order.
        residual: r.m.s. Fokker-Planck residual, (r,).
        noise: W1 / std of as many exact samples, (b,) or one number, drawn dashed: nothing below
            it can be told from chance.
        residual_label: of the lower panel, with its unit.

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
        # One number holds at every level.
        chance = to_array(noise)
        chance = np.full(levels.shape, chance) if chance.ndim == 0 else chance
        lines["exact samples"] = as_line("noise", chance, "sigmas", levels)
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
