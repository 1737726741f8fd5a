"""The variance-exploding SDE with geometric noise levels."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class VEGeometric(SDE):
    """`s = 1`, `sigma = sigma_min (sigma_max/sigma_min)^t` on [0, 1] (Song 2021, eq. 9 and 30).

    It has SMLD's levels in continuous time. sigma is 0 only at t = -infinity, so a sampler's last
    step, from the lowest grid point to 0, is the denoiser itself.

    Args:
        sigma_min, sigma_max: noise at t = 0 and 1; null: 0.02 and 100, which are Song's 0.01 and
            50 for data of std 0.25, made for std 0.5.
    Raises:
        ValueError: if the range is reversed or not positive.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        super().__init__(
            0.02 if sigma_min is None else sigma_min, 100.0 if sigma_max is None else sigma_max
        )
        self._log_ratio = math.log(self.sigma_max / self.sigma_min)

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(times(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        return self.sigma_min * torch.exp(self._log_ratio * times(t))

    def time(self, sigma: float | Tensor) -> Tensor:
        return torch.log(times(sigma) / self.sigma_min) / self._log_ratio

    def drift(self, t: float | Tensor) -> Tensor:
        return torch.zeros_like(times(t))

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return 2 * self._log_ratio * self.sigma(t) ** 2
