"""What a distribution of known density is."""

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
    """A number and how far chance may have moved it; by quadrature or in closed form 0."""

    value: float
    standard_error: float = 0.0


class Distribution(ABC):
    """The law of data x0 in R^d, and of x = x0 + sigma n with n ~ N(0, I).

    p(.; sigma) is the law smoothed by N(0, sigma^2 I). Everything is computed in float64, whatever
    the dtype of the arguments. `x` has shape (n, d); `sigma` is one number or has shape (n,); a
    result has a row for each point. In one dimension `x` may have shape (n,).

    A new law is one file with `sample`, `log_prob`, `score`, `denoise` and `posterior_variance`,
    and `covariance` where its coordinates are correlated.

    Args:
        mean: exact mean of each coordinate, (d,).
        variance: exact variance of each coordinate, (d,).
    """

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        self.mean = mean
        self.variance = variance

    @property
    def dim(self) -> int:
        """The number of coordinates d."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The exact covariance matrix, (d, d) float64; here that of uncorrelated coordinates."""
        return torch.diag(self.variance)

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n independent points, (n, d) float64, by `generator` alone."""

    @abstractmethod
    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """`log p(x; sigma)` in nats, (n,).

        Raises:
            ValueError: at sigma = 0 where the law has no density.
        """

    @abstractmethod
    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """`grad_x log p(x; sigma)`, (n, d), for sigma > 0."""

    @abstractmethod
    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """`E[x0 | x0 + sigma n = x]`, (n, d), for sigma > 0: the perfect denoiser."""

    @abstractmethod
    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """`tr Var(x0 | x0 + sigma n = x) = sigma^2 div D`, (n,), for sigma > 0."""

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """`E tr Var(x0 | x0 + sigma n)`, the smallest possible E|D - x0|^2.

        By quadrature or in closed form where the law allows it; else the average of
        `posterior_variance` over fresh points.

        Args:
            sigma: one noise level above 0.
            generator: of those points; null: a fresh one with a fixed seed, so that the same law
                always has the same value. Unused by quadrature.
            num_samples: how many points. Unused by quadrature.

        Raises:
            ValueError: sigma is not positive, or num_samples below 2.
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
        """`P(x0 + sigma n <= x)`, (n,), in one dimension.

        Raises:
            ValueError: the law has more than one coordinate.
        """
        raise ValueError(f"cdf needs one dimension, {type(self).__name__} has {self.dim} here")

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """The x with `cdf(x, sigma) = u`, (n,), for u (n,) in [0, 1], in one dimension.

        Raises:
            ValueError: the law has more than one coordinate, or u is outside [0, 1].
        """
        raise ValueError(f"quantile needs one dimension, {type(self).__name__} has {self.dim} here")
