"""The variational bound: the negative ELBO, on a chain of levels and in continuous time.

Everything is in y = x/s: the bound depends on the noise levels, and not on an SDE.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.likelihood.monte_carlo import NoiseLaw, check_draws, mean_over_noise
from fokker.diffusion.likelihood.prior import Prior
from fokker.randomness import Randomness

# The share of draws that are evenly spread: an error that grows with sigma, as a noise prediction's
# does, lies where the information law hardly draws, and must still be seen.
EVEN_SHARE = 0.25


@final
@dataclass(frozen=True)
class NegativeELBO:
    """Upper bounds on -log p(x0) in nats, in three parts, each (n,)."""

    prior: Tensor
    diffusion: Tensor
    reconstruction: Tensor

    @property
    def nats(self) -> Tensor:
        """Return the bound: the sum of the three, (n,)."""
        return self.prior + self.diffusion + self.reconstruction


def chain_negative_elbo(
    denoiser: DenoiserFunction,
    x0: Tensor,
    levels: Tensor,
    prior: Prior,
    randomness: Randomness,
    draws: int = 64,
    start: int = 0,
) -> NegativeELBO:
    """Return the negative ELBO of each point on a chain of levels.

    It is `KL(q(x_L | x0) || p_L) + sum_k w_k E|D(x_k; sigma_k) - x0|^2 + d/2 ln(2 pi sigma_1^2)`,
    with `w_1 = SNR_1/2` for the decoder N(D, sigma_1^2 I), and `w_k = (SNR_{k-1} - SNR_k)/2` for
    the transition p(x_{k-1} | x_k) with D in place of x0 in the posterior (Ho 2020, eq. 5 to 8;
    Kingma 2021, eq. 11 to 13).

    The levels k > 1 are drawn stratified. Three quarters of them follow
    `w_k sigma_k^2 v/(sigma_k^2 + v)`, the terms of a Gaussian of the data's variance v, and a
    quarter is even. The first level has an eighth as many draws of its own.

    Args:
        denoiser: D(x; sigma).
        x0: the data points, (n, *shape), in standardised units.
        levels: sigma_1 < ... < sigma_L, (L,).
        prior: the prior p_L.
        randomness: the random numbers of the seed; stream validation.
        draws: the number of noise levels a point, each with a noise of its own.
        start: the number of the first point; a point's draws depend on (seed, its number).
    Raises:
        ValueError: if levels do not ascend from above 0, there are fewer than two, draws is below
            1, x0 is no batch, or the data's variance is 0.
    """
    levels = levels.double()
    if levels.dim() != 1 or len(levels) < 2 or not bool((levels.diff() > 0).all()):
        raise ValueError(f"levels must be at least two and ascend, got {levels.tolist()[:10]}")
    _check_range(float(levels[0]), float(levels[-1]), prior)
    snr = levels**-2
    law = _chain_law(levels[1:], (snr[:-1] - snr[1:]) / 2, prior.data_variance)
    return _bound(denoiser, x0, levels, prior, law, randomness, draws, start)


def negative_elbo(
    denoiser: DenoiserFunction,
    x0: Tensor,
    sigma_min: float,
    sigma_max: float,
    prior: Prior,
    randomness: Randomness,
    draws: int = 64,
    start: int = 0,
) -> NegativeELBO:
    """Return the negative ELBO with infinitely many levels from sigma_min to sigma_max.

    It is `KL + 1/2 int E|D - x0|^2 dSNR + E|D - x0|^2/(2 sigma_min^2) + d/2 ln(2 pi sigma_min^2)`,
    the last error at sigma_min (Kingma 2021, eq. 14 to 16). Noise levels are drawn stratified.
    Three quarters of them are uniform in `1/2 ln(1 + v/sigma^2)`, the information about a Gaussian
    of the data's variance v, for which all of these draws count alike. A quarter is uniform in ln
    sigma.

    Args:
        sigma_min, sigma_max: the range of noise; the decoder is N(D, sigma_min^2 I).
        denoiser, x0, prior, randomness, draws, start: as in `chain_negative_elbo`.
    Raises:
        ValueError: if the range is not `0 < sigma_min < sigma_max < inf`, draws is below 1, x0 is
            no batch, or the data's variance is 0.
    """
    _check_range(sigma_min, sigma_max, prior)
    ends = torch.tensor([sigma_min, sigma_max], dtype=torch.float64)
    law = _continuous_law(sigma_min, sigma_max, prior.data_variance)
    return _bound(denoiser, x0, ends, prior, law, randomness, draws, start)


def _bound(
    denoiser: DenoiserFunction,
    x0: Tensor,
    levels: Tensor,
    prior: Prior,
    law: NoiseLaw,
    randomness: Randomness,
    draws: int,
    start: int,
) -> NegativeELBO:
    check_draws(x0, draws)
    lowest, highest = float(levels[0]), float(levels[-1])

    def error(x: Tensor, sigma: Tensor) -> Tensor:
        return (denoiser(x, sigma) - x0).square().flatten(1).sum(1)

    def decoder(u: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(u, lowest), torch.full_like(u, 0.5 / lowest**2)

    few = math.ceil(draws / 8)
    diffusion = mean_over_noise(error, x0, law, draws, randomness, start)
    decoded = mean_over_noise(error, x0, decoder, few, randomness, start, first_step=draws)
    constant = x0[0].numel() / 2 * math.log(2 * math.pi * lowest**2) if len(x0) else 0.0
    return NegativeELBO(prior.kl(x0, highest), diffusion, decoded + constant)


def _continuous_law(low: float, high: float, variance: float) -> NoiseLaw:
    """Return the law of levels in `negative_elbo`, weights `1/sigma^2` over density in ln sigma."""
    # d(SNR)/2 = -1/sigma^2 dln sigma, and dI = -v/(sigma^2 + v) dln sigma.
    most, least = (0.5 * math.log1p(variance / sigma**2) for sigma in (low, high))
    width = math.log(high / low)

    def law(u: Tensor) -> tuple[Tensor, Tensor]:
        even = low * torch.exp(width * u / EVEN_SHARE)
        place = (u - EVEN_SHARE) / (1 - EVEN_SHARE)
        informed = (variance / torch.expm1(2 * (most - (most - least) * place))).sqrt()
        sigma = torch.where(u < EVEN_SHARE, even, informed)
        informed_density = variance / (sigma**2 + variance) / (most - least)
        density = EVEN_SHARE / width + (1 - EVEN_SHARE) * informed_density
        return sigma, 1 / (sigma**2 * density)

    return law


def _chain_law(levels: Tensor, weights: Tensor, variance: float) -> NoiseLaw:
    """Return the law of levels in `chain_negative_elbo`, weights over their probabilities."""
    share = weights * levels**2 * variance / (levels**2 + variance)
    probability = EVEN_SHARE / len(levels) + (1 - EVEN_SHARE) * share / share.sum()
    edges = probability.cumsum(0)[:-1]

    def law(u: Tensor) -> tuple[Tensor, Tensor]:
        k = torch.searchsorted(edges.to(u.device), u, right=True).to(levels.device)
        return levels[k].to(u.device), (weights / probability)[k].to(u.device)

    return law


def _check_range(low: float, high: float, prior: Prior) -> None:
    if not 0 < low < high < math.inf:
        raise ValueError(
            f"the lowest noise level must be positive and below the highest, {high:g}, which must "
            f"be finite, got {low:g}"
        )
    if prior.data_variance == 0:
        raise ValueError("the data's variance must be positive, got 0; noise levels need its size")
