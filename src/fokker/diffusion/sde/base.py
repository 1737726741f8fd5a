"""The base of SDEs, each with a signal scale s(t) and a noise level sigma(t)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE


def times(value: float | Tensor) -> Tensor:
    """Return `value` as a float64 tensor; schedules are always computed in double precision."""
    return torch.as_tensor(value, dtype=torch.float64)


class SDE(ABC):
    """`dx = f(t) x dt + g(t) dw`, whose marginals are `x_t = s(t) (x0 + sigma(t) n)`.

    `f = s'/s` and `g^2 = 2 s^2 sigma sigma'`; t grows with noise (Karras 2022, eq. 9 and 10). The
    SDE owns the range of noise in which it is sampled, and the lowest noise to train from.

    A new SDE is one file with `scale`, `sigma`, `time`, `drift` and `squared_diffusion`.

    Args:
        sigma_min: the lowest sampling noise, in units of the standardised data.
        sigma_max: the highest noise.
        train_sigma_min: the lowest training noise; null: `sigma_min`.
    Raises:
        ValueError: if the range is not `1e-8 <= sigma_min < sigma_max <= 1e8`.
    """

    def __init__(
        self,
        sigma_min: float,
        sigma_max: float,
        train_sigma_min: float | None = None,
    ) -> None:
        if not 0 < sigma_min < sigma_max:
            raise ValueError(
                "sde.sigma_min must be positive and below sde.sigma_max="
                f"{sigma_max:g}, got {sigma_min:g}"
            )
        # A range that is computed from other numbers may exceed an end by its rounding.
        if not sigma_max <= HIGHEST_NOISE * (1 + 1e-9):
            raise ValueError(
                f"sde.sigma_max must be finite, at most {HIGHEST_NOISE:g}, got {sigma_max:g}; "
                "EDM's is 80"
            )
        if not sigma_min >= LOWEST_NOISE * (1 - 1e-9):
            raise ValueError(
                f"sde.sigma_min must be at least {LOWEST_NOISE:g}, got {sigma_min:g}; EDM's is "
                "0.002"
            )
        self.sigma_min = float(sigma_min)
        self.sigma_max = float(sigma_max)
        self.train_sigma_min = min(self.sigma_min, train_sigma_min or self.sigma_min)

    @abstractmethod
    def scale(self, t: float | Tensor) -> Tensor:
        """Return the signal scale s(t)."""

    @abstractmethod
    def sigma(self, t: float | Tensor) -> Tensor:
        """Return the noise level at t, relative to the unscaled data."""

    @abstractmethod
    def time(self, sigma: float | Tensor) -> Tensor:
        """Return the t at which the noise level is sigma, without cancellation."""

    @abstractmethod
    def drift(self, t: float | Tensor) -> Tensor:
        """Return f(t) = s'(t) / s(t)."""

    @abstractmethod
    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        """Return g(t)^2 = 2 s^2 sigma sigma'."""

    def diffusion(self, t: float | Tensor) -> Tensor:
        """Return g(t)."""
        return self.squared_diffusion(t).sqrt()

    def sigma_rate(self, t: float | Tensor) -> Tensor:
        """Return sigma'(t) = g^2 / (2 s^2 sigma)."""
        return self.squared_diffusion(t) / (2 * self.scale(t) ** 2 * self.sigma(t))

    def velocity(self, t: float | Tensor) -> tuple[float, float]:
        """Return (a, b) of the probability-flow ODE `dx/dt = a x + b D(x/s; sigma)`.

        `a = sigma'/sigma + s'/s`, `b = -s sigma'/sigma` (Karras 2022, eq. 81).
        """
        rate = self.sigma_rate(t) / self.sigma(t)
        return float(rate + self.drift(t)), float(-rate * self.scale(t))
