"""Loss weightings: lambda(sigma) on the denoising error |D - x0|^2.

A new one is a class with `__call__`, and a file in conf/weighting.
"""

import math
from abc import ABC, abstractmethod
from typing import Protocol, final

import torch
from torch import Tensor, nn

from fokker.diffusion.sde import SDE
from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE
from fokker.machine.device import moved


class TrainingNoise(Protocol):
    """The parts of the training noise levels that a weighting may use."""

    levels: Tensor | None

    def sigma(self, u: Tensor) -> Tensor: ...

    def density(self, sigma: Tensor) -> Tensor: ...


class Weighting(ABC):
    """A weighting lambda(sigma), and the objective that it makes of a loss."""

    @abstractmethod
    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        """Return the weight lambda at sigma, in its shape, when trained with these noise levels."""

    def objective(self, loss: Tensor, sigma: Tensor) -> Tensor:
        """Return the objective of each sample, (n,), from its `loss = lambda |D - x0|^2 / d`."""
        return loss

    def effective_share(self, noise: TrainingNoise) -> float:
        """Return the share of training noise that counts, small where few draws carry the loss."""
        return 1.0


def _sigma_data(value: float) -> float:
    if not LOWEST_NOISE <= value <= HIGHEST_NOISE:
        raise ValueError(
            f"weighting.sigma_data must be positive, in {LOWEST_NOISE:g} to {HIGHEST_NOISE:g}, got "
            f"{value:g}; change data.sigma_data, or set data.standardize=true"
        )
    return float(value)


@final
class Eps(Weighting):
    """`1/sigma^2`: the plain error of the noise (Ho 2020, eq. 14; Song 2021's default for VP)."""

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return 1 / sigma**2


@final
class SMLD(Weighting):
    """`1/(2 sigma^2)`: sigma^2 times denoising score matching (Song & Ermon 2019, eq. 5 and 6)."""

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return 1 / (2 * sigma**2)


@final
class X0(Weighting):
    """1: the denoising error itself."""

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return torch.ones_like(sigma)


@final
class V(Weighting):
    """`1 + 1/sigma^2`: the plain error of v (Salimans 2022)."""

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return 1 + 1 / sigma**2


@final
class EDM(Weighting):
    """`(sigma^2 + sd^2)/(sigma sd)^2`: the plain error of EDM's network (Karras 2022, table 1).

    Args:
        sigma_data: sd, standard deviation of the data in the model's units.
    """

    def __init__(self, sigma_data: float = 0.5) -> None:
        self._sigma_data = _sigma_data(sigma_data)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return (sigma**2 + self._sigma_data**2) / (sigma * self._sigma_data) ** 2


@final
class MinSNR(Weighting):
    """`min(1/sigma^2, gamma)` (Hang 2023, min-SNR), for data counted as std 1.

    Args:
        gamma: the cap, 5 as published.
    """

    def __init__(self, gamma: float = 5.0) -> None:
        if not gamma > 0:
            raise ValueError(f"weighting.gamma must be positive, got {gamma}")
        self._gamma = float(gamma)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return (1 / sigma**2).clamp(max=self._gamma)


@final
class SoftMinSNR(Weighting):
    """`1/(sigma^2 + sd^2)` (Crowson 2024, soft-min-SNR).

    Args:
        sigma_data: sd, standard deviation of the data in the model's units.
    """

    def __init__(self, sigma_data: float = 0.5) -> None:
        self._sigma_data = _sigma_data(sigma_data)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return 1 / (sigma**2 + self._sigma_data**2)


@final
class P2(Weighting):
    """`SNR/(k + SNR)^gamma` with SNR = 1/sigma^2 (Choi 2022, eq. 8), for data counted as std 1.

    Args:
        k, gamma: 1 and 1 as published.
    """

    def __init__(self, k: float = 1.0, gamma: float = 1.0) -> None:
        if not (0 < k < math.inf and 0 <= gamma < math.inf):
            raise ValueError(
                "weighting.k must be positive and weighting.gamma not negative, both finite, got "
                f"k={k:g} and gamma={gamma:g}"
            )
        self._k, self._gamma = float(k), float(gamma)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        snr = 1 / sigma**2
        return snr / (self._k + snr) ** self._gamma


@final
class Likelihood(Weighting):
    """`g^2/(2 s^2 sigma^4) = sigma'/sigma^3` per unit of t: the pathwise KL.

    Song, Durkan 2021, eq. 8: with it the loss is the mean over t, from the lowest training noise
    to sigma_max, of the integrand of the KL divergence between the paths. Under training noise
    that is not uniform in t it is multiplied by the ratio of the densities.

    Args:
        sde: the SDE whose time and range are meant.
    """

    def __init__(self, sde: SDE) -> None:
        self._sde = sde
        span = sde.time(sde.sigma_max) - sde.time(sde.train_sigma_min)
        self._span = float(span)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        if noise.levels is not None:
            return self._per_time(sigma) * _chain_share(sigma, noise.levels, self._sde)
        low, high = self._sde.train_sigma_min, self._sde.sigma_max
        inside = (sigma >= low * (1 - 1e-9)) & (sigma <= high * (1 + 1e-9))
        return torch.where(inside, 1 / (sigma**3 * self._span * noise.density(sigma)), 0.0)

    def _per_time(self, sigma: Tensor) -> Tensor:
        return self._sde.sigma_rate(self._sde.time(sigma)) / sigma**3

    def effective_share(self, noise: TrainingNoise) -> float:
        """Return `1 / E r^2`, r = uniform time over p_train: the share of the draws that counts."""
        if noise.levels is not None:
            return 1.0
        start, stop = self._sde.time(self._sde.train_sigma_min), self._sde.time(self._sde.sigma_max)
        middles = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
        sigma = self._sde.sigma(start + (stop - start) * middles)
        # E_p r^2 is the mean of r itself over uniform time, where its tail is well covered.
        return float(1 / (self(sigma, noise) / self._per_time(sigma)).mean())


def _chain_share(sigma: Tensor, levels: Tensor, sde: SDE) -> Tensor:
    """Return L times the share of the SDE's time that belongs to each level of a chain of L."""
    start, stop = sde.time(sde.train_sigma_min), sde.time(sde.sigma_max)
    times = sde.time(levels).clamp(start, stop)
    edges = torch.cat([start[None], (times[1:] + times[:-1]) / 2, stop[None]])
    share = len(levels) * (edges[1:] - edges[:-1]) / (stop - start)
    return share[_nearest(sigma, levels)]


def _nearest(sigma: Tensor, levels: Tensor) -> Tensor:
    """Return the number of the level that equals sigma, from 0."""
    return torch.bucketize(sigma, (levels[1:] + levels[:-1]) / 2)


@final
class ELBO(Weighting):
    """The variational bound: on a chain `(SNR_{k-1} - SNR_k)/2`, and `SNR_1/2` for k = 1.

    Ho 2020, eq. 12 and Kingma 2021 (VDM), eq. 14, with the decoder N(D, sigma_1^2 I): the sum
    over k of this times |D - x0|^2 is the negative ELBO up to the prior's KL and the constant
    `d/2 ln(2 pi sigma_1^2)`, which do not depend on the network. With continuous noise levels it
    is its limit, `Likelihood`.

    Args:
        sde: the SDE for continuous noise levels.
    """

    def __init__(self, sde: SDE) -> None:
        self._continuous = Likelihood(sde)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        if noise.levels is None:
            return self._continuous(sigma, noise)
        snr = 1 / noise.levels**2
        weights = torch.cat([snr[:1], snr[:-1] - snr[1:]]) / 2
        return weights[_nearest(sigma, noise.levels)]

    def effective_share(self, noise: TrainingNoise) -> float:
        return self._continuous.effective_share(noise)


@final
class Learned(nn.Module, Weighting):
    """Weights that are learned with the model: `lambda |D - x0|^2/d e^{-u(sigma)} + u(sigma)`.

    Karras 2024 (EDM2), eq. 14 and 15: at its optimum e^u is the loss itself at each sigma, so
    that all noise levels contribute alike. u is linear in 32 cosines of ln(sigma), and 0 at
    first. The loss that is reported is the base's.

    Args:
        base: the weighting lambda that is corrected.
    """

    _frequencies: Tensor

    def __init__(self, base: Weighting) -> None:
        super().__init__()
        self._base = base
        self._u = nn.Linear(32, 1)
        nn.init.zeros_(self._u.weight)
        nn.init.zeros_(self._u.bias)
        self.register_buffer("_frequencies", math.pi * torch.arange(32.0), persistent=False)

    def __call__(self, sigma: Tensor, noise: TrainingNoise) -> Tensor:
        return self._base(sigma, noise)

    def effective_share(self, noise: TrainingNoise) -> float:
        return self._base.effective_share(noise)

    def objective(self, loss: Tensor, sigma: Tensor) -> Tensor:
        # ln(sigma)/4 lies in -2 to 2 for every noise level in use.
        place = moved((torch.log(sigma).to(loss.dtype) / 4 + 2) / 4, loss.device)
        u: Tensor = self._u(torch.cos(place[:, None] * self._frequencies)).squeeze(1)
        return loss * torch.exp(-u) + u
