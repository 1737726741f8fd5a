"""The variance-preserving SDE with a linear beta(t), and the beta that sub-VP shares with it."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde.base import SDE, times
from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE

SAMPLING_START = 1e-3
TRAINING_START = 1e-5


@final
class LinearBeta:
    """`beta(t) = beta_min + (beta_max - beta_min) t` on [0, 1] and its integral B(t).

    Args:
        beta_min: beta at t = 0, per unit time.
        beta_max: beta at t = 1.
    Raises:
        ValueError: if beta is not positive on [1e-3, 1], or if B(1e-3) or B(1) belongs to a noise
            level outside 1e-8 to 1e8.
    """

    def __init__(self, beta_min: float, beta_max: float) -> None:
        self.beta_min, self.beta_d = float(beta_min), float(beta_max - beta_min)
        # EDM's range gives beta_min = -0.0048, so beta counts only where it is sampled. Where beta
        # falls to nearly 0, the time would be the root of a difference that is only rounding.
        least = 1e-6 * max(0.0, self.beta_min)
        if not (self.rate(times(SAMPLING_START)) > 0 and beta_max > least):
            raise ValueError(
                "beta(t) of a linear VP SDE must be positive on [0.001, 1], by a millionth of "
                f"beta_min at least, got beta_min={beta_min:g} and beta_max={beta_max:g}; change "
                "sde.beta_min and sde.beta_max, or sde.sigma_min and sde.sigma_max"
            )
        lowest, highest = LOWEST_NOISE**2, 2 * math.log(HIGHEST_NOISE)
        first, last = (float(self.integral(times(t))) for t in (SAMPLING_START, 1.0))
        # The margins allow for the rounding of a fit to a range of just this width.
        if not (first >= lowest * (1 - 1e-3) and last <= highest * (1 + 1e-9)):
            raise ValueError(
                f"the integral of beta(t) must be at least {lowest:g} at t = 0.001 and at most "
                f"{highest:.4g} at t = 1, got {first:g} and {last:.4g} with sde.beta_min="
                f"{beta_min:g} and sde.beta_max={beta_max:g}; 0.1 and 20 are the published ones"
            )

    def rate(self, t: Tensor) -> Tensor:
        """Return beta(t)."""
        return self.beta_min + self.beta_d * t

    def integral(self, t: Tensor) -> Tensor:
        """Return B(t) = beta_min t + (beta_max - beta_min) t^2 / 2."""
        return self.beta_min * t + self.beta_d * t**2 / 2

    def time(self, integral: Tensor) -> Tensor:
        """Return the t with B(t) = integral, by the root that does not cancel."""
        root = (self.beta_min**2 + 2 * self.beta_d * integral).sqrt()
        if self.beta_min < 0:
            return (root - self.beta_min) / self.beta_d
        return 2 * integral / (root + self.beta_min)

    @property
    def training_start(self) -> float:
        """Return the lowest training time: 1e-5, or 1e-3 where beta_min is not positive."""
        return TRAINING_START if self.beta_min > 0 else SAMPLING_START


@final
class VPLinear(SDE):
    """`s = exp(-B/2)`, `sigma = sqrt(exp(B) - 1)`, so that s^2 (1 + sigma^2) = 1.

    It is DDPM's chain in continuous time (Ho 2020; Song 2021, eq. 11 and 32), sampled from t = 1 to
    1e-3, and trained from 1e-5. A given `sigma_min` or `sigma_max` refits beta_min and beta_max so
    that sigma(1e-3) and sigma(1) are these (Karras 2022, appendix C.1).

    Args:
        beta_min, beta_max: beta at t = 0 and 1; 0.1 and 20 as published.
        sigma_min, sigma_max: the noise levels at t = 1e-3 and 1; null: those that the betas give.
    Raises:
        ValueError: if the range is reversed or beta is not positive on [1e-3, 1].
    """

    def __init__(
        self,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> None:
        self._beta = LinearBeta(beta_min, beta_max)
        low = float(self.sigma(SAMPLING_START)) if sigma_min is None else sigma_min
        high = float(self.sigma(1.0)) if sigma_max is None else sigma_max
        super().__init__(low, high)
        if sigma_min is not None or sigma_max is not None:
            first, last = math.log1p(low**2), math.log1p(high**2)
            beta_d = 2 * (first / SAMPLING_START - last) / (SAMPLING_START - 1)
            fitted = last - beta_d / 2
            self._beta = LinearBeta(fitted, fitted + beta_d)
        training_start = float(self.sigma(self._beta.training_start))
        self.train_sigma_min = min(self.sigma_min, training_start)
        #: beta at t = 0 and 1.
        self.betas = (self._beta.beta_min, self._beta.beta_min + self._beta.beta_d)

    def scale(self, t: float | Tensor) -> Tensor:
        return torch.exp(-self._beta.integral(times(t)) / 2)

    def sigma(self, t: float | Tensor) -> Tensor:
        return torch.expm1(self._beta.integral(times(t))).sqrt()

    def time(self, sigma: float | Tensor) -> Tensor:
        return self._beta.time(torch.log1p(times(sigma) ** 2))

    def drift(self, t: float | Tensor) -> Tensor:
        return -self._beta.rate(times(t)) / 2

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return self._beta.rate(times(t))
