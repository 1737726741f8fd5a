"""The heat equation: variance that grows linearly in time."""

from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class VESqrt(SDE):
    """`dx = dw`: `s = 1`, `sigma = sqrt(t)` (Karras 2022, table 1, column VE).

    Args:
        sigma_min, sigma_max: sampling range; null: 0.02 and 100.
    Raises:
        ValueError: if the range is reversed or not positive.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        super().__init__(
            0.02 if sigma_min is None else sigma_min, 100.0 if sigma_max is None else sigma_max
        )

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(times(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        return times(t).sqrt()

    def time(self, sigma: float | Tensor) -> Tensor:
        return times(sigma) ** 2

    def drift(self, t: float | Tensor) -> Tensor:
        return torch.zeros_like(times(t))

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(times(t))
