"""The sub-variance-preserving SDE."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times
from fokker.diffusion.sde.vp_linear import LinearBeta


@final
class SubVP(SDE):
    """`s = exp(-B/2)`, `sigma = 2 sinh(B/2)`: the noise in x_t has std 1 - exp(-B), not its root.

    `g^2 = beta (1 - exp(-2B))` (Song 2021, eq. 12 and 33; B as in `VPLinear`).

    Args:
        beta_min, beta_max: beta at t = 0 and 1.
        sigma_min, sigma_max: sampling range; null: 0.01 and sigma(1) = 152.2.
    Raises:
        ValueError: if the range is reversed, not positive or out of reach, or beta not positive.
    """

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> None:
        self._beta = LinearBeta(beta_min, beta_max)
        if not beta_min > 0:
            raise ValueError(f"sde.beta_min must be positive for sub_vp, got {beta_min:g}")
        super().__init__(
            0.01 if sigma_min is None else sigma_min,
            2 * math.sinh((beta_min + beta_max) / 4) if sigma_max is None else sigma_max,
            train_sigma_min=0.001,
        )
        # Beyond t = 1 a falling beta comes to 0, and there the noise stops growing.
        if not self._beta.rate(self.time(self.sigma_max)) > 0:
            raise ValueError(
                f"sde.sigma_max={self.sigma_max:g} is never reached with sde.beta_min={beta_min:g} "
                f"and sde.beta_max={beta_max:g}; lower it, or raise sde.beta_max"
            )

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.exp(-self._beta.integral(times(t)) / 2)

    def sigma(self, t: float | Tensor) -> Tensor:
        return 2 * torch.sinh(self._beta.integral(times(t)) / 2)

    def time(self, sigma: float | Tensor) -> Tensor:
        return self._beta.time(2 * torch.asinh(times(sigma) / 2))

    def drift(self, t: float | Tensor) -> Tensor:
        return -self._beta.rate(times(t)) / 2

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        t = times(t)
        return -self._beta.rate(t) * torch.expm1(-2 * self._beta.integral(t))
