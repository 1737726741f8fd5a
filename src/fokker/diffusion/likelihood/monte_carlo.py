"""Means over noise levels and noise, for each data point."""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from fokker.diffusion.denoiser import per_sample
from fokker.distributions import Estimate
from fokker.randomness import Randomness

#: Noise levels and their weights, each (n,), at quantiles u (n,) in [0, 1).
NoiseLaw = Callable[[Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def mean_over_noise(
    value: Callable[[Tensor, Tensor], Tensor],
    x0: Tensor,
    law: NoiseLaw,
    draws: int,
    randomness: Randomness,
    start: int,
    first_step: int = 0,
) -> Tensor:
    """Return `E_u[weight(u) E_n[value(x0 + sigma(u) n, sigma(u))]]` of each point, (n,), float64.

    Draw j of a point takes u in [j/draws, (j + 1)/draws) (stratified) and a noise of its own.
    The random numbers of a point depend only on (seed, its number) and `first_step`.

    Args:
        value: a function of noised points (n, *shape) and noise levels (n,) that gives (n,).
        x0: the data points, (n, *shape).
        law: the map from u to noise levels and weights.
        draws: the number of draws a point.
        randomness: the random numbers of the seed; stream validation.
        start: the number of the first point.
        first_step: the place in the stream; draws of another mean have to start `draws` later.
    """
    x0, stop = x0.double(), start + len(x0)
    total = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
    for j in range(draws):
        # Noise and offset have different steps, or they would be made of the same bits.
        step = 2 * (first_step + j)
        noise = randomness.normal("validation", start, stop, tuple(x0.shape[1:]), step).to(x0)
        offset = randomness.uniform("validation", start, stop, step + 1).to(x0)
        sigma, weight = law((j + offset) / draws)
        total += weight * value(x0 + per_sample(sigma, x0) * noise, sigma)
    return total / draws


def check_draws(x0: Tensor, draws: int) -> None:
    """Refuse points that are no batch, and too few draws."""
    if x0.dim() < 2:
        raise ValueError(f"x0 must have shape (n, *shape), got {tuple(x0.shape)}; use x0[:, None]")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")


def mean_of(values: Tensor) -> Estimate:
    """Return the mean of one value a data point, (n,), and its standard error, std / sqrt(n).

    Raises:
        ValueError: if there are fewer than two points.
    """
    if values.dim() != 1 or len(values) < 2:
        raise ValueError(
            f"a standard error needs values of at least 2 points, (n,), got {tuple(values.shape)}"
        )
    return Estimate(float(values.mean()), float(values.std()) / sqrt(len(values)))
