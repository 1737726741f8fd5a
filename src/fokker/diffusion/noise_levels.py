"""Training noise levels: the law p_train(sigma) of the noise that a model is trained at.

A new one is a class with `sigma` (the inverse of its distribution function), `density` and
`range`, and a file in conf/noise_levels.
"""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.sde import SDE
from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE
from fokker.randomness import Randomness

#: Noise this many standard deviations from the mean of ln sigma is hardly ever drawn.
USUAL_STDS = 5
#: The number of steps whose noise levels are drawn in one call.
STEPS_AT_ONCE = 16


class NoiseLevels(ABC):
    """A law of sigma on (0, inf).

    Args:
        stratified: whether a batch has one uniform offset u and the quantiles `(u + i/B) mod 1`, so
            that every batch covers the law evenly; otherwise draws are independent.
    """

    #: The levels of a chain, (L,), ascending, where the law is uniform over these.
    levels: Tensor | None = None
    _last: tuple[tuple[int, int, int], Tensor] | None = None

    def __init__(self, stratified: bool = True) -> None:
        self.stratified = stratified

    @property
    @abstractmethod
    def range(self) -> tuple[float, float]:
        """Return the lowest and highest noise that a model is trained at."""

    @property
    def usual_range(self) -> tuple[float, float]:
        """Return the range of frequent training noise; a grid beyond it gets a warning."""
        return self.range

    @abstractmethod
    def sigma(self, u: Tensor) -> Tensor:
        """Return the quantiles at u in [0, 1), any shape, float64."""

    @abstractmethod
    def density(self, sigma: Tensor) -> Tensor:
        """Return p_train, per unit of sigma (of a chain: probability of the level)."""

    def on(self, levels: Tensor | None) -> "NoiseLevels":
        """Return this law for a formulation with these levels."""
        return self

    def draw(self, randomness: Randomness, step: int, batch_size: int) -> Tensor:
        """Return the noise levels of the whole batch of a step, (batch_size,), float64."""
        # A few steps at once take hardly longer than one.
        first = step - step % STEPS_AT_ONCE
        key = (randomness.seed, first, batch_size)
        if self._last is None or self._last[0] != key:
            self._last = key, self._draw(randomness, first, first + STEPS_AT_ONCE, batch_size)
        return self._last[1][step - first]

    def _draw(self, randomness: Randomness, first: int, last: int, batch_size: int) -> Tensor:
        """Return the noise levels of the steps first to last - 1, (last - first, batch_size)."""
        if self.stratified:
            offsets = randomness.uniform("sigma", first, last)[:, None]
            u = (offsets + torch.arange(batch_size, dtype=torch.float64) / batch_size) % 1
        else:
            u = randomness.uniform("sigma", first * batch_size, last * batch_size)
        return self.sigma(u.reshape(-1, batch_size))


@final
class UniformTime(NoiseLevels):
    """Noise uniform in the SDE's t, from its lowest training noise to sigma_max (Song 2021, eq. 7).

    Args:
        sde: the SDE whose time it is.
        stratified: see `NoiseLevels`.
    """

    def __init__(self, sde: SDE, stratified: bool = True) -> None:
        super().__init__(stratified)
        self._sde = sde
        self._start = float(sde.time(sde.train_sigma_min))
        self._stop = float(sde.time(sde.sigma_max))

    @property
    def range(self) -> tuple[float, float]:
        return self._sde.train_sigma_min, self._sde.sigma_max

    def sigma(self, u: Tensor) -> Tensor:
        return self._sde.sigma(self._start + (self._stop - self._start) * u)

    def density(self, sigma: Tensor) -> Tensor:
        low, high = self.range
        inside = (sigma >= low * (1 - 1e-9)) & (sigma <= high * (1 + 1e-9))
        rate = self._sde.sigma_rate(self._sde.time(sigma))
        return torch.where(inside, 1 / (rate * (self._stop - self._start)), 0.0)


@final
class LogUniform(NoiseLevels):
    """Noise uniform in ln sigma over the SDE's training range.

    Args:
        sde: the SDE whose range it is.
        stratified: see `NoiseLevels`.
    """

    def __init__(self, sde: SDE, stratified: bool = True) -> None:
        super().__init__(stratified)
        self._low, self._high = sde.train_sigma_min, sde.sigma_max
        self._width = math.log(self._high / self._low)

    @property
    def range(self) -> tuple[float, float]:
        return self._low, self._high

    def sigma(self, u: Tensor) -> Tensor:
        return self._low * torch.exp(self._width * u)

    def density(self, sigma: Tensor) -> Tensor:
        inside = (sigma >= self._low * (1 - 1e-9)) & (sigma <= self._high * (1 + 1e-9))
        return torch.where(inside, 1 / (sigma * self._width), 0.0)


@final
class LogNormal(NoiseLevels):
    """`ln sigma ~ N(P_mean, P_std^2)` (Karras 2022, table 1, column EDM).

    Args:
        P_mean, P_std: the mean and standard deviation of ln sigma.
        stratified: see `NoiseLevels`.
    Raises:
        ValueError: if P_std is not positive, or usual noise is not within 1e-8 to 1e8.
    """

    def __init__(self, P_mean: float = -1.2, P_std: float = 1.2, stratified: bool = True) -> None:
        super().__init__(stratified)
        if not P_std > 0:
            raise ValueError(f"noise_levels.P_std must be positive, got {P_std:g}")
        self._mean, self._std = float(P_mean), float(P_std)
        # Written so that NaN is refused too.
        if not abs(self._mean) + USUAL_STDS * self._std <= math.log(HIGHEST_NOISE):
            raise ValueError(
                f"noise_levels.P_mean and noise_levels.P_std must keep exp(P_mean +- {USUAL_STDS} "
                f"P_std) between {LOWEST_NOISE:g} and {HIGHEST_NOISE:g}, got P_mean={P_mean:g} and "
                f"P_std={P_std:g}; Karras has -1.2 and 1.2"
            )

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, math.inf

    @property
    def usual_range(self) -> tuple[float, float]:
        width = USUAL_STDS * self._std
        return math.exp(self._mean - width), math.exp(self._mean + width)

    def sigma(self, u: Tensor) -> Tensor:
        # u = 0 is possible and means -infinity: it is moved by half a float's resolution.
        return torch.exp(self._mean + self._std * torch.special.ndtri(u.clamp(min=2.0**-54)))

    def density(self, sigma: Tensor) -> Tensor:
        z = (torch.log(sigma) - self._mean) / self._std
        return torch.exp(-(z**2) / 2) / (sigma * self._std * math.sqrt(2 * math.pi))


@final
class Levels(NoiseLevels):
    """Noise uniform over the levels of a formulation's own chain.

    Args:
        stratified: see `NoiseLevels`.
        levels: the chain, ascending, (L,); a formulation sets its own.
    """

    def __init__(self, stratified: bool = True, levels: Tensor | None = None) -> None:
        super().__init__(stratified)
        self.levels = levels

    def on(self, levels: Tensor | None) -> "Levels":
        if levels is None:
            raise ValueError(
                "noise_levels=levels needs a formulation with levels; choose formulation=ddpm or "
                "smld, or noise_levels=log_uniform, lognormal or uniform_time"
            )
        return Levels(self.stratified, levels)

    @property
    def _chain(self) -> Tensor:
        if self.levels is None:
            raise ValueError("noise_levels=levels is not yet on a chain; call on(levels) first")
        return self.levels

    @property
    def range(self) -> tuple[float, float]:
        return float(self._chain[0]), float(self._chain[-1])

    def sigma(self, u: Tensor) -> Tensor:
        index = (u * len(self._chain)).long().clamp(max=len(self._chain) - 1)
        return self._chain[index]

    def density(self, sigma: Tensor) -> Tensor:
        return torch.full_like(sigma, 1 / len(self._chain))
