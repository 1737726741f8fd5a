"""Laws on the line written down a second time, and quadrature that is not the package's."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from fokker.distributions import Distribution, Gaussian, GaussianMixture, Uniform

LAWS: dict[str, Distribution] = {
    "uniform": Uniform(-0.3, 1.7),
    "gaussian": Gaussian(1.3, 0.6),
    "mixture": GaussianMixture([0.3, 0.7], [-1.0, 1.4], [0.2, 0.4]),
}
#: Below and above these nothing is left of the law.
SUPPORT = {"uniform": (-0.3, 1.7), "gaussian": (-7.0, 9.0), "mixture": (-7.0, 9.0)}
SIGMAS = [0.05, 0.3, 1.0, 4.0, 20.0]


def normal(x: Tensor, mean: float, std: float) -> Tensor:
    return (-0.5 * ((x - mean) / std) ** 2).exp() / (std * math.sqrt(2 * math.pi))


DENSITY: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda x: torch.where((x >= -0.3) & (x <= 1.7), 0.5, 0.0),
    "gaussian": lambda x: normal(x, 1.3, 0.6),
    "mixture": lambda x: 0.3 * normal(x, -1.0, 0.2) + 0.7 * normal(x, 1.4, 0.4),
}


def rule(low: float, high: float, step: float, count: int = 12) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre on equal panels, none longer than `step`."""
    panels = math.ceil((high - low) / step)
    ends = np.linspace(low, high, panels + 1)
    nodes, weights = leggauss(count)
    half = np.diff(ends)[:, None] / 2
    places = (ends[:-1] + ends[1:])[:, None] / 2 + half * nodes
    return torch.from_numpy(places.ravel()), torch.from_numpy((half * weights).ravel())


def smoothed_rule(names: Sequence[str], sigma: float) -> tuple[Tensor, Tensor]:
    """A rule for integrals against the laws after noise of sigma."""
    low = min(SUPPORT[name][0] for name in names) - 9 * sigma
    high = max(SUPPORT[name][1] for name in names) + 9 * sigma
    return rule(low, high, 0.5 * (sigma if "uniform" in names else max(sigma, 0.2)))
