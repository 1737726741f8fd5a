"""Gaussian laws with independent coordinates or with any covariance."""

import math
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
from fokker.distributions.interval import normal_cdf
from fokker.distributions.inversion import as_probabilities


@final
class Gaussian(Distribution):
    """The law `N(mean, diag(std^2))`; `D = mean + std^2 / (std^2 + sigma^2) (x - mean)`.

    Args:
        mean, std: one number, or one for each coordinate; the longer one gives the dimension.

    Raises:
        ValueError: std is not positive, or the lengths do not fit.
    """

    def __init__(self, mean: Numbers, std: Numbers) -> None:
        dim = common_dim(mean, std)
        self.std = as_vector("std", std, dim)
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be positive, got {float(self.std.min()):g}")
        super().__init__(as_vector("mean", mean, dim), self.std**2)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return self.mean + self.std * noise

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        return _log_prob(x - self.mean, self.variance + sigma[:, None] ** 2)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        return (self.mean - x) / (self.variance + sigma[:, None] ** 2)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        noise = as_sigma(sigma, len(x))[:, None] ** 2
        return self.mean + self.variance / (self.variance + noise) * (x - self.mean)

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        return _posterior_variance(self.variance, as_sigma(sigma, len(x)))

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `sum_i v_i sigma^2 / (v_i + sigma^2)`, v_i the variances."""
        return _mmse(self.variance, sigma)

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().cdf(x, sigma)
        return _cdf(as_points(x, 1) - self.mean, self.variance, sigma)

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().quantile(u, sigma)
        return self.mean + _quantile(u, self.variance, sigma)


@final
class GaussianCovariance(Distribution):
    """The law `N(mean, covariance)`, the Gaussian with the two moments of any data.

    `D = mean + S (S + sigma^2 I)^-1 (x - mean)` is computed in the eigenvectors of the covariance
    S, in which coordinates are independent. S may be singular, as for images with a constant pixel.

    Args:
        mean: the mean, (d,).
        covariance: a matrix (d, d), symmetric and positive semi-definite to the rounding of its
            dtype.

    Attributes:
        eigenvalues: the eigenvalues of the covariance, ascending, (d,).
        axes: its eigenvectors, one for each column, (d, d).

    Raises:
        ValueError: the shapes do not fit, values are NaN or infinite, or the covariance is not
            symmetric or has a negative eigenvalue.
    """

    def __init__(self, mean: Numbers, covariance: Tensor) -> None:
        centre = as_vector("mean", mean)
        dim = len(centre)
        if covariance.shape != (dim, dim):
            raise ValueError(
                f"covariance must have shape ({dim}, {dim}), got {tuple(covariance.shape)}"
            )
        unit = torch.finfo(covariance.dtype).eps if covariance.is_floating_point() else 0.0
        matrix = covariance.detach().to(torch.float64)
        if not bool(matrix.isfinite().all()):
            raise ValueError("covariance must be finite, got NaN or infinite values")
        tolerance = 10 * dim * max(unit, 2e-16) * float(matrix.abs().max())
        if float((matrix - matrix.T).abs().max()) > tolerance:
            raise ValueError("covariance must be symmetric: pass (C + C.T) / 2")
        eigenvalues: Tensor
        eigenvalues, axes = torch.linalg.eigh((matrix + matrix.T) / 2)
        self.axes: Tensor = axes
        if float(eigenvalues[0]) < -tolerance:
            raise ValueError(
                "covariance must have no negative eigenvalue, got "
                f"{float(eigenvalues[0]):g} beside {float(eigenvalues[-1]):g}"
            )
        # An eigenvalue within rounding of 0 becomes 0: rounding errors must not give a density.
        self.eigenvalues = torch.where(eigenvalues > tolerance, eigenvalues, 0.0)
        self._covariance: Tensor = (self.axes * self.eigenvalues) @ self.axes.T
        super().__init__(centre, self._covariance.diagonal().clone())

    @property
    def covariance(self) -> Tensor:
        return self._covariance

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return self.mean + (noise * self.eigenvalues.sqrt()) @ self.axes.T

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        if bool((self.eigenvalues == 0).any()) and bool((sigma == 0).any()):
            raise ValueError("a Gaussian of singular covariance has no density: use sigma > 0")
        return _log_prob((x - self.mean) @ self.axes, self.eigenvalues + sigma[:, None] ** 2)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        y = (self.mean - x) @ self.axes
        return (y / (self.eigenvalues + sigma[:, None] ** 2)) @ self.axes.T

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        noise = as_sigma(sigma, len(x))[:, None] ** 2
        y = (x - self.mean) @ self.axes
        kept = self.eigenvalues / (self.eigenvalues + noise)
        return self.mean + (kept * y) @ self.axes.T

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        return _posterior_variance(self.eigenvalues, as_sigma(sigma, len(x)))

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `sum_i v_i sigma^2 / (v_i + sigma^2)`, v_i the eigenvalues of the covariance."""
        return _mmse(self.eigenvalues, sigma)

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().cdf(x, sigma)
        return _cdf(as_points(x, 1) - self.mean, self.variance, sigma)

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().quantile(u, sigma)
        return self.mean + _quantile(u, self.variance, sigma)


def _log_prob(y: Tensor, total: Tensor) -> Tensor:
    """Return `log N(y; 0, diag(total))`, (n,)."""
    return -0.5 * (y**2 / total + (2 * math.pi * total).log()).sum(dim=1)


def _posterior_variance(variance: Tensor, sigma: Tensor) -> Tensor:
    noise = sigma[:, None] ** 2
    return (variance / (variance + noise) * noise).sum(dim=1)


def _mmse(variance: Tensor, sigma: float) -> Estimate:
    level = torch.tensor([as_positive("sigma", sigma)], dtype=torch.float64)
    return Estimate(float(_posterior_variance(variance, level)))


def _cdf(y: Tensor, variance: Tensor, sigma: float | Tensor) -> Tensor:
    level = as_sigma(sigma, len(y), allow_zero=True)
    return normal_cdf(y[:, 0] / (variance + level**2).sqrt())


def _quantile(u: Tensor, variance: Tensor, sigma: float | Tensor) -> Tensor:
    u = as_probabilities(u)
    level = as_sigma(sigma, len(u), allow_zero=True)
    result: Tensor = (variance + level**2).sqrt() * torch.special.ndtri(u)
    return result
