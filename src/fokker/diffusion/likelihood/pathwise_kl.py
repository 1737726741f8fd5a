"""The KL divergence between the paths of two reverse SDEs, by Girsanov's theorem."""

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.likelihood.monte_carlo import check_draws, mean_over_noise
from fokker.diffusion.likelihood.prior import Prior
from fokker.randomness import Randomness


@final
@dataclass(frozen=True)
class PathwiseKL:
    """Numbers of each point whose mean over the data is the divergence, in nats.

    path, (n,), is the part of the paths from sigma_max to sigma_min that start alike. The mean of
    prior, (n,), is an upper bound on the divergence of the noised data's law at sigma_max to the
    prior.
    """

    path: Tensor
    prior: Tensor


def pathwise_kl_rate(
    exact: DenoiserFunction, denoiser: DenoiserFunction, y: Tensor, sigma: Tensor
) -> Tensor:
    """Return `|D* - D|^2 / sigma^2`, nats per unit of ln sigma, (n,).

    Its mean over y ~ p(.; sigma) is `1/2 g^2 E|score - s_theta|^2 dt/dln sigma`.
    """
    gap = exact(y, sigma) - denoiser(y, sigma)
    return gap.square().flatten(1).sum(1) / sigma**2


def pathwise_kl(
    exact: DenoiserFunction,
    denoiser: DenoiserFunction,
    x0: Tensor,
    sigma_min: float,
    sigma_max: float,
    prior: Prior,
    randomness: Randomness,
    draws: int = 64,
    start: int = 0,
) -> PathwiseKL:
    """Return the KL divergence of paths, and the bound on the prior's, point by point.

    The paths' part is `1/2 int g^2 E|score - s_theta|^2 dt = int E|D* - D|^2 / sigma^3 dsigma`
    (Song, Durkan 2021, theorem 1). As `g^2 dt = 2 s^2 sigma dsigma` and the score of x_t is
    `(D - y)/(s sigma^2)`, neither s nor t is left: every SDE's reverse SDE has this divergence.
    With the prior's part it bounds the KL divergence of p(.; sigma_min) to the law of the reverse
    SDE's samples. Noise levels are drawn uniform in ln sigma, stratified.

    Args:
        exact: D*(x; sigma), the perfect denoiser of the law of x0.
        denoiser: D(x; sigma).
        x0: points of that law, (n, *shape), in standardised units.
        sigma_min, sigma_max: the range of noise.
        prior: the law that samples start from.
        randomness: the random numbers of the seed; stream validation.
        draws: the number of noise levels a point, each with a noise of its own.
        start: the number of the first point; a point's draws depend on (seed, its number).
    Raises:
        ValueError: if the range is not `0 < sigma_min < sigma_max < inf`, draws is below 1 or x0 is
            no batch.
    """
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min must be positive and below sigma_max={sigma_max:g}, which must be finite, "
            f"got {sigma_min:g}"
        )
    check_draws(x0, draws)
    width = math.log(sigma_max / sigma_min)

    def law(u: Tensor) -> tuple[Tensor, Tensor]:
        return sigma_min * torch.exp(width * u), torch.full_like(u, width)

    def rate(x: Tensor, sigma: Tensor) -> Tensor:
        return pathwise_kl_rate(exact, denoiser, x, sigma)

    path = mean_over_noise(rate, x0, law, draws, randomness, start)
    return PathwiseKL(path, prior.kl(x0, sigma_max))
