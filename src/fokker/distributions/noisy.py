"""A surface or a curve with Gaussian noise on it."""

from abc import abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_points, as_positive, as_sigma
from fokker.distributions.base import Distribution


@final
class SurfacePosterior(NamedTuple):
    """The posterior of a point c of the surface, given x = c + sqrt(t) n.

    Attributes:
        log_density: the log density of x, (n,).
        mean: `E[c | x]`, (n, d).
        variance: `tr Var(c | x)`, (n,).
    """

    log_density: Tensor
    mean: Tensor
    variance: Tensor


class NoisySurface(Distribution):
    """The law of `x0 = c + std n'`, c on a set of lower dimension.

    x0 + sigma n is c with noise of variance t = std^2 + sigma^2, and x0 given c and x is Gaussian:
    `E[x0 | x] = E[c | x] + std^2/t (x - E[c | x])` and
    `tr Var(x0 | x) = (sigma^2/t)^2 tr Var(c | x) + d std^2 sigma^2 / t`.

    Args:
        mean, variance: the exact moments of c, (d,).
        std: the standard deviation of the noise, at least 0.

    Raises:
        ValueError: std is negative or not finite.
    """

    def __init__(self, mean: Tensor, variance: Tensor, std: float) -> None:
        self.std = as_positive("std", std, allow_zero=True)
        super().__init__(mean, variance + self.std**2)

    @abstractmethod
    def sample_surface(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n points c, (n, d)."""

    @abstractmethod
    def surface_posterior(self, x: Tensor, total: Tensor) -> SurfacePosterior:
        """Return the posterior of c at x (n, d), for noise of variance `total` (n,) above 0."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        points = self.sample_surface(n, generator)
        if self.std == 0:
            return points
        noise = torch.randn(points.shape, generator=generator, dtype=torch.float64)
        return points + self.std * noise

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        total = self.std**2 + as_sigma(sigma, len(x), allow_zero=True) ** 2
        if bool((total == 0).any()):
            raise ValueError(
                f"a {type(self).__name__} with std=0 has no density: sigma must be positive, got 0"
            )
        return self.surface_posterior(x, total).log_density

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        total = self.std**2 + as_sigma(sigma, len(x)) ** 2
        return (self.surface_posterior(x, total).mean - x) / total[:, None]

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        total = self.std**2 + as_sigma(sigma, len(x)) ** 2
        mean = self.surface_posterior(x, total).mean
        return mean + (self.std**2 / total)[:, None] * (x - mean)

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        noise = as_sigma(sigma, len(x)) ** 2
        share = noise / (self.std**2 + noise)
        variance = self.surface_posterior(x, self.std**2 + noise).variance
        return share**2 * variance + self.dim * share * self.std**2
