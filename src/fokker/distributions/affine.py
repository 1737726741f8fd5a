"""A law in other units."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_points, as_positive, as_vector
from fokker.distributions.base import Distribution, Estimate


@final
class Affine(Distribution):
    """The law of `(x - shift) / scale` for x of the law `distribution`.

    Noise of sigma in these units is noise of sigma * scale in the law's own units, so everything
    follows exactly: standardised data are `Affine(law, mean, std / sigma_data)`.

    Args:
        distribution: the law in its own units.
        shift: a number that is subtracted from every coordinate.
        scale: the size of one unit here in units of the law, above 0.

    Raises:
        ValueError: shift is not finite, or scale is not positive and finite.
    """

    def __init__(self, distribution: Distribution, shift: float, scale: float) -> None:
        self.distribution = distribution
        self.shift = float(as_vector("shift", float(shift)))
        self.scale = as_positive("scale", scale)
        super().__init__(self._here(distribution.mean), distribution.variance / self.scale**2)

    @property
    def covariance(self) -> Tensor:
        return self.distribution.covariance / self.scale**2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self._here(self.distribution.sample(n, generator))

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        density = self.distribution.log_prob(self._there(x), self._level(sigma))
        return density + self.dim * math.log(self.scale)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.scale * self.distribution.score(self._there(x), self._level(sigma))

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self._here(self.distribution.denoise(self._there(x), self._level(sigma)))

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        variance = self.distribution.posterior_variance(self._there(x), self._level(sigma))
        return variance / self.scale**2

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return the law's own mmse at sigma * scale, divided by scale^2."""
        inner = self.distribution.mmse(float(sigma) * self.scale, generator, num_samples)
        return Estimate(inner.value / self.scale**2, inner.standard_error / self.scale**2)

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return self.distribution.cdf(self._there(x), self._level(sigma))

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return self._here(self.distribution.quantile(u, self._level(sigma)))

    def _there(self, x: Tensor) -> Tensor:
        return as_points(x, self.dim) * self.scale + self.shift

    def _here(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale

    def _level(self, sigma: float | Tensor) -> Tensor:
        return torch.as_tensor(sigma, dtype=torch.float64) * self.scale
