"""Gaussians on a circle."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_positive
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.gaussian_mixture import GaussianMixture
from fokker.machine.memory import DOUBLE, check_fits


@final
class Ring(Distribution):
    """Equal Gaussians of deviation std at `radius (cos 2 pi k/modes, sin 2 pi k/modes)` in R^2.

    Args:
        modes: the number of Gaussians, at least 1.
        radius: the radius of the circle, above 0.
        std: the standard deviation of each coordinate of a mode, above 0.

    Raises:
        ValueError: a parameter is outside its range.
    """

    def __init__(self, modes: int, radius: float, std: float) -> None:
        if modes < 1:
            raise ValueError(f"modes must be at least 1, got {modes}")
        # The memory for components as lists and tensors, and for their centres in two coordinates.
        check_fits("modes", modes, 20 * DOUBLE * modes)
        self.radius = as_positive("radius", radius)
        self.std = as_positive("std", std)
        angles = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
        means = self.radius * torch.stack((angles.cos(), angles.sin()), dim=1)
        self.mixture = GaussianMixture([1.0] * modes, means, self.std)
        super().__init__(self.mixture.mean, self.mixture.variance)

    @property
    def covariance(self) -> Tensor:
        return self.mixture.covariance

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.mixture.sample(n, generator)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        return self.mixture.log_prob(x, sigma)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.mixture.score(x, sigma)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.mixture.denoise(x, sigma)

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self.mixture.posterior_variance(x, sigma)

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)` by quadrature; all modes are alike."""
        return Estimate(self.mixture.mode_mmse(0, as_positive("sigma", sigma)))
