"""Integration rules in float64."""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor


@cache
def gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Return nodes in [0, 1] and weights of sum 1, exact up to polynomial degree 2 count - 1."""
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(count)
    return (torch.from_numpy(nodes) + 1) / 2, torch.from_numpy(weights) / 2


def panel_rule(breakpoints: Tensor, count: int = 12) -> tuple[Tensor, Tensor]:
    """Return Gauss-Legendre nodes and weights on each interval between neighbouring breakpoints."""
    ends = breakpoints.sort().values
    nodes, weights = gauss_legendre(count)
    widths = ends.diff()[:, None]
    return (ends[:-1, None] + widths * nodes).flatten(), (widths * weights).flatten()


def bells(centres: Tensor, widths: Tensor, step: float = 0.25, reach: float = 10.0) -> Tensor:
    """Return breakpoints for integrands that vary only near centres[j], on the scale widths[j].

    They run from -reach to reach widths in steps of `step` widths. Beyond ten widths only exp(-50)
    of a bell is left.
    """
    offsets = torch.arange(-reach, reach + step / 2, step, dtype=torch.float64)
    return (centres[:, None] + widths[:, None] * offsets).flatten()


def lattice_bells(centres: Tensor, width: float, step: float = 0.25) -> Tensor:
    """Return `bells` of one width, on the multiples of step * width, each multiple once.

    Bells that overlap share their breakpoints, however many there are.
    """
    cell = step * width
    index = (bells(centres, torch.full_like(centres, width), step) / cell).round().sort().values
    return index[torch.cat((index.new_ones(1), index.diff())) > 0] * cell


def integrate(function: Callable[[Tensor], Tensor], breakpoints: Tensor) -> float:
    """Return the integral of `function`, (m,) -> (m,), over the span of the breakpoints."""
    nodes, weights = panel_rule(breakpoints)
    return float(function(nodes) @ weights)
