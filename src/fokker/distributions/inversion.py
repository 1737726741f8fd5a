"""Quantiles by inversion of a distribution function."""

from collections.abc import Callable

import torch
from torch import Tensor

Tails = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Density = Callable[[Tensor, Tensor], Tensor]


def as_probabilities(u: Tensor) -> Tensor:
    """Return u as float64 of shape (n,).

    Raises:
        ValueError: u has another shape, or values outside [0, 1].
    """
    if u.ndim != 1:
        raise ValueError(f"u must have shape (n,), got {tuple(u.shape)}")
    u = u.to(torch.float64)
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError("u must lie in [0, 1]")
    return u


def invert(
    u: Tensor, sigma: Tensor, tails: Tails, density: Density, low: float, high: float
) -> Tensor:
    """Return the x with F(x; sigma) = u, (n,), for a continuous F; -inf at u = 0, inf at u = 1.

    The search is Newton's method on the logarithm of the smaller tail, which is nearly straight
    where F itself is flat. It stays inside a bracket that every step narrows. If a step would
    leave the bracket, or be more than half the step before it, the bracket is halved instead, so
    that the search ends whatever the shape of F. Points that have converged skip later steps.

    Args:
        u: probabilities, (n,).
        sigma: noise levels, (n,).
        tails: a map from x and sigma, both (m,), to F and 1 - F, each with a small relative error.
        density: a map from x and sigma to F'; it affects only the speed of the search.
        low, high: points such that F(low) is below every u > 0, and F(high) above every u < 1.
    """
    result = torch.where(u <= 0.5, -torch.inf, torch.inf).to(u.dtype)
    rows = ((u > 0) & (u < 1)).nonzero()[:, 0]
    left = u[rows] <= 0.5
    target = torch.where(left, u[rows], 1 - u[rows])
    level = sigma[rows]
    lower, upper = torch.full_like(target, low), torch.full_like(target, high)
    x = (lower + upper) / 2
    last = upper - lower
    tolerance = 1e-15 * (high - low)
    for _ in range(200):
        if len(rows) == 0:
            break
        below, above = tails(x, level)
        tail = torch.where(left, below, above)
        too_low = torch.where(left, tail < target, tail > target)
        lower = torch.where(too_low, x, lower)
        upper = torch.where(too_low, upper, x)
        move = tail / density(x, level) * (target / tail).log() * torch.where(left, 1.0, -1.0)
        newton = x + move
        # A NaN, from a tail or a density that underflows, does not count as inside.
        inside = (newton >= lower) & (newton <= upper)
        done = (inside & (move.abs() <= tolerance)) | (upper - lower <= tolerance)
        fast = inside & (done | (move.abs() <= last / 2))
        x = torch.where(fast, newton, (lower + upper) / 2)
        last = torch.where(fast, move.abs(), (upper - lower) / 2)
        result[rows] = x
        if bool(done.any()):
            state = (rows, left, target, level, lower, upper, x, last)
            rows, left, target, level, lower, upper, x, last = (part[~done] for part in state)
    return result
