"""The variance-preserving SDE with the cosine schedule."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class VPCosine(SDE):
    """`s = cos(theta)/cos(theta_0)`, `theta = (t + c)/(1 + c) pi/2` (Nichol 2021, eq. 17).

    `sigma^2 = sin(theta - theta_0) sin(theta + theta_0) / cos(theta)^2`, which is 1/s^2 - 1
    without its cancellation at small t. sigma is infinite at t = 1, which is never reached.

    Args:
        offset: c, 0.008 as published.
        sigma_min, sigma_max: sampling range; null: 0.0064 and 80.
    Raises:
        ValueError: if the range is reversed or not positive, or the offset is not in (0, 1).
    """

    def __init__(
        self,
        offset: float = 0.008,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> None:
        if not 0 < offset < 1:
            raise ValueError(f"sde.offset must be between 0 and 1, got {offset:g}")
        self._rate = math.pi / 2 / (1 + offset)
        self._start = self._rate * offset
        super().__init__(
            0.0064 if sigma_min is None else sigma_min,
            80.0 if sigma_max is None else sigma_max,
            train_sigma_min=0.001,
        )

    def _angle(self, t: float | Tensor) -> Tensor:
        return self._start + self._rate * times(t)

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.cos(self._angle(t)) / math.cos(self._start)

    def sigma(self, t: float | Tensor) -> Tensor:
        angle = self._angle(t)
        product = torch.sin(self._rate * times(t)) * torch.sin(angle + self._start)
        return product.sqrt() / torch.cos(angle)

    def time(self, sigma: float | Tensor) -> Tensor:
        # tan(theta - theta_0) from tan(theta) = sqrt(sigma^2 + sin^2 theta_0) / cos(theta_0) by
        # the addition theorem, so that nothing cancels at small sigma.
        square, sine, cosine = times(sigma) ** 2, math.sin(self._start), math.cos(self._start)
        root = (square + sine**2).sqrt()
        tangent = square * cosine / ((root + sine) * (cosine**2 + sine * root))
        return torch.atan(tangent) / self._rate

    def drift(self, t: float | Tensor) -> Tensor:
        return -self._rate * torch.tan(self._angle(t))

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return -2 * self.drift(t)
