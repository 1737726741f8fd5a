"""The base class of distributions of known density."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_positive


@final
@dataclass(frozen=True)
class Estimate:
    """A number and its standard error, which is 0 for quadrature and closed forms."""

    value: float
    standard_error: float = 0.0


class Distribution(ABC):
    """The law of data x0 in R^d, and of x = x0 + sigma n with n ~ N(0, I).

    p(.; sigma) is the law smoothed by N(0, sigma^2 I). Everything is computed in float64, whatever
    the dtype of the arguments. `x` has shape (n, d); `sigma` is one number or has shape (n,); a
    result has a row for each point. In one dimension `x` may have shape (n,).

    A new law is one file with `sample`, `log_prob`, `score`, `denoise` and `posterior_variance`,
    and `covariance` if its coordinates are correlated.

    Args:
        mean: the exact mean of each coordinate, (d,).
        variance: the exact variance of each coordinate, (d,).
    """

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        self.mean = mean
        self.variance = variance

    @property
    def dim(self) -> int:
        """Return the number of coordinates d."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """Return the exact covariance matrix, (d, d) float64; here without correlations."""
        return torch.diag(self.variance)

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n independent points, (n, d) float64, with `generator` as the only randomness."""

    @abstractmethod
    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return `log p(x; sigma)` in nats, (n,).

        Raises:
            ValueError: sigma is 0 and the law has no density.
        """

    @abstractmethod
    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return `grad_x log p(x; sigma)`, (n, d), for sigma > 0."""

    @abstractmethod
    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return `E[x0 | x0 + sigma n = x]`, (n, d), for sigma > 0: the perfect denoiser."""

    @abstractmethod
    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return `tr Var(x0 | x0 + sigma n = x) = sigma^2 div D`, (n,), for sigma > 0."""

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)`, the smallest possible E|D - x0|^2.

        Laws that allow it use quadrature or a closed form. The others average `posterior_variance`
        over fresh points, as here.

        Args:
            sigma: one noise level above 0.
            generator: the randomness of those points; null for a fresh generator with a fixed seed,
                so that the same law always has the same value. Quadrature does not use it.
            num_samples: the number of points. Quadrature does not use it.

        Raises:
            ValueError: sigma is not positive, or num_samples is below 2.
        """
        sigma = as_positive("sigma", sigma)
        if num_samples < 2:
            raise ValueError(f"num_samples must be at least 2, got {num_samples}")
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        x0 = self.sample(num_samples, generator)
        noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
        variances = self.posterior_variance(x0 + sigma * noise, sigma)
        error = float(variances.std()) / math.sqrt(num_samples)
        return Estimate(float(variances.mean()), error)

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return `P(x0 + sigma n <= x)`, (n,), in one dimension.

        Raises:
            ValueError: the law has more than one coordinate.
        """
        raise ValueError(f"cdf needs one dimension, {type(self).__name__} has {self.dim} here")

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the x with `cdf(x, sigma) = u`, (n,), for u (n,) in [0, 1], in one dimension.

        Raises:
            ValueError: the law has more than one coordinate, or u is outside [0, 1].
        """
        raise ValueError(f"quantile needs one dimension, {type(self).__name__} has {self.dim} here")
