"""The uniform law on a box."""

import math
from collections import Counter
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import (
    Numbers,
    as_points,
    as_positive,
    as_sigma,
    as_vector,
    common_dim,
)
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.interval import (
    IntervalPosterior,
    interval_density,
    interval_mean,
    interval_posterior,
    interval_tails,
)
from fokker.distributions.inversion import as_probabilities, invert
from fokker.distributions.quadrature import bells, integrate
from fokker.machine.memory import DOUBLE, check_fits


@final
class Uniform(Distribution):
    """The law `p(x) = prod_i 1[low_i <= x_i <= high_i] / (high_i - low_i)`.

    Coordinates are independent. D is computed coordinate by coordinate:
    `x + sigma (phi(z1) - phi(z2)) / (Phi(z1) - Phi(z2))`, z1 = (x-low)/sigma,
    z2 = (x-high)/sigma, by a form that holds everywhere.

    Args:
        low, high: the ends of the interval, one number or one for each coordinate.
        dim: the number of coordinates; if low or high is a sequence, its length.

    Raises:
        ValueError: low is not below high, or the lengths do not fit.
    """

    def __init__(self, low: Numbers, high: Numbers, dim: int = 1) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        # The memory for the ends as tensors and lists, a mean and a variance.
        check_fits("dim", dim, 12 * DOUBLE * dim)
        length = common_dim(low, high)
        if length > 1 and dim not in (1, length):
            raise ValueError(f"dim must be {length}, the length of low and high, got {dim}")
        self.low = as_vector("low", low, max(dim, length))
        self.high = as_vector("high", high, max(dim, length))
        for a, b in zip(self.low.tolist(), self.high.tolist()):
            if not a < b:
                raise ValueError(f"low must be below high={b:g}, got {a:g}")
        super().__init__(self.low / 2 + self.high / 2, (self.high - self.low) ** 2 / 12)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, self.dim, generator=generator, dtype=torch.float64)
        return torch.lerp(self.low, self.high, u)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        zero = (sigma == 0)[:, None]
        inside = (x >= self.low) & (x <= self.high)
        # Rows without noise go through the smooth formula at any sigma; their results are not used.
        smooth = self._posterior(x, torch.where(sigma == 0, 1.0, sigma)).log_mass
        sharp = torch.where(inside, 0.0, -math.inf)
        return (torch.where(zero, sharp, smooth) - (self.high - self.low).log()).sum(dim=1)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        return self._posterior(x, sigma).displacement / sigma[:, None] ** 2

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        return interval_mean(x, self.low, self.high, as_sigma(sigma, len(x))[:, None])

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        return self._posterior(x, as_sigma(sigma, len(x))).variance.sum(dim=1)

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)` by quadrature, coordinate by coordinate."""
        sigma = as_positive("sigma", sigma)
        widths = Counter((self.high - self.low).tolist())
        return Estimate(sum(n * _width_mmse(width, sigma) for width, n in widths.items()))

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().cdf(x, sigma)
        x = as_points(x, 1)[:, 0]
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        sharp = ((x - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
        smooth, _ = interval_tails(x, self.low, self.high, torch.where(sigma == 0, 1.0, sigma))
        return torch.where(sigma == 0, sharp, smooth)

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().quantile(u, sigma)
        u = as_probabilities(u)
        sigma = as_sigma(sigma, len(u), allow_zero=True)
        sharp = torch.lerp(self.low, self.high, u)
        if not bool((sigma > 0).any()):
            return sharp
        level = torch.where(sigma == 0, 1.0, sigma)
        margin = 40 * float(level.max())
        smooth = invert(
            u,
            level,
            lambda x, level: interval_tails(x, self.low, self.high, level),
            lambda x, level: interval_density(x, self.low, self.high, level),
            float(self.low) - margin,
            float(self.high) + margin,
        )
        return torch.where(sigma == 0, sharp, smooth)

    def _posterior(self, x: Tensor, sigma: Tensor) -> IntervalPosterior:
        return interval_posterior(x, self.low, self.high, sigma[:, None])


def _width_mmse(width: float, sigma: float) -> float:
    """Return `E Var(x0 | x0 + sigma n)` for x0 uniform on an interval of this width."""
    ends = torch.tensor([0.0, width], dtype=torch.float64)
    level = torch.tensor(sigma, dtype=torch.float64)

    def integrand(x: Tensor) -> Tensor:
        posterior = interval_posterior(x, ends[0], ends[1], level)
        return posterior.log_mass.exp() / width * posterior.variance

    return integrate(integrand, bells(ends, level.expand(2)))
