"""Quantiles by inverting a distribution function."""

from collections.abc import Callable

import torch
from torch import Tensor

Tails = Callable[[Tensor], tuple[Tensor, Tensor]]


def as_probabilities(u: Tensor) -> Tensor:
    """u as float64 of shape (n,).

    Raises:
        ValueError: another shape, or values outside [0, 1].
    """
    if u.ndim != 1:
        raise ValueError(f"u must have shape (n,), got {tuple(u.shape)}")
    u = u.to(torch.float64)
    if not bool(((u >= 0) & (u <= 1)).all()):
        raise ValueError("u must lie in [0, 1]")
    return u


def invert(
    u: Tensor, tails: Tails, density: Callable[[Tensor], Tensor], low: float, high: float
) -> Tensor:
    """The x with F(x) = u, (n,), for a continuous F; minus and plus infinity at 0 and 1.

    Newton's method on the logarithm of the smaller tail, which is nearly straight where F itself
    is flat, inside a bracket that every step narrows. Each third step halves the bracket, so that
    the search ends whatever the shape of F.

    Args:
        u: probabilities, (n,).
        tails: x to F(x) and 1 - F(x), each with a small relative error.
        density: x to F'(x).
        low, high: F(low) is below every u > 0, F(high) above every u < 1.
    """
    left = u <= 0.5
    target = torch.where(left, u, 1 - u)
    lower = torch.full_like(u, low)
    upper = torch.full_like(u, high)
    x = (lower + upper) / 2
    tolerance = 1e-15 * (high - low)
    for step in range(200):
        below, above = tails(x)
        tail = torch.where(left, below, above)
        too_low = torch.where(left, tail < target, tail > target)
        lower = torch.where(too_low, x, lower)
        upper = torch.where(too_low, upper, x)
        move = tail / density(x) * (target / tail).log() * torch.where(left, 1.0, -1.0)
        newton = x + move
        # A NaN, where the tail or the density underflows, is not inside either.
        inside = (newton >= lower) & (newton <= upper)
        done = (inside & (move.abs() <= tolerance)) | (upper - lower <= tolerance)
        x = torch.where(inside if step % 3 < 2 else done & inside, newton, (lower + upper) / 2)
        if bool(done.all()):
            break
    x = torch.where(u == 0, -torch.inf, x)
    return torch.where(u == 1, torch.inf, x)
