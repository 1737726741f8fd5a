"""EDM's choice: time is the noise level."""

from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class EDM(SDE):
    """`s = 1`, `sigma = t` (Karras 2022, table 1, column EDM).

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
        return torch.ones_like(times(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        return times(t)

    def time(self, sigma: float | Tensor) -> Tensor:
        return times(sigma)

    def drift(self, t: float | Tensor) -> Tensor:
        return torch.zeros_like(times(t))

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return 2 * times(t)
