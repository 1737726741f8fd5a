"""The Ornstein-Uhlenbeck process, the simplest variance-preserving SDE."""

from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class VPOrnsteinUhlenbeck(SDE):
    """`dx = -x dt + sqrt(2) dw`: `s = exp(-t)`, `sigma = sqrt(exp(2t) - 1)`.

    Args:
        sigma_min, sigma_max: sampling range; null: 0.002 and 80.
    Raises:
        ValueError: if the range is reversed or not positive.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        super().__init__(
            0.002 if sigma_min is None else sigma_min, 80.0 if sigma_max is None else sigma_max
        )

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.exp(-times(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        return torch.expm1(2 * times(t)).sqrt()

    def time(self, sigma: float | Tensor) -> Tensor:
        return torch.log1p(times(sigma) ** 2) / 2

    def drift(self, t: float | Tensor) -> Tensor:
        return torch.full_like(times(t), -1.0)

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return torch.full_like(times(t), 2.0)
