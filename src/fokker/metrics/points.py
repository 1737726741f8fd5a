"""Checks of points that all metrics share."""

import torch
from torch import Tensor


def check_points(
    name: str, points: Tensor, dimension: int | None = None, allow_empty: bool = False
) -> Tensor:
    """Return finite points of shape (n, d) as float64, detached from autograd.

    Args:
        name: a name of the points for the message.
        points: real numbers, (n, d).
        dimension: the d that the points must have; None means any d >= 1.
        allow_empty: whether n may be 0, as when a process gets none of few samples.

    Raises:
        ValueError: not two-dimensional, another d, no points, or NaN or infinite values.
    """
    if points.ndim != 2:
        raise ValueError(
            f"{name} must have shape (n, d), got {tuple(points.shape)}: flatten each sample"
        )
    if points.shape[1] == 0 or (points.shape[0] == 0 and not allow_empty):
        raise ValueError(f"{name} must hold at least one point, got shape {tuple(points.shape)}")
    if dimension is not None and points.shape[1] != dimension:
        raise ValueError(
            f"{name} must have the reference's dimension d={dimension}, got d={points.shape[1]}"
        )
    bad = int(points.numel() - points.isfinite().sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {points.numel()}: "
            "the sampler diverged, or the data are broken"
        )
    return points.detach().to(torch.float64)


def check_some(count: int) -> None:
    """Refuse to compute a distance without samples.

    Raises:
        ValueError: `count` is 0.
    """
    if count == 0:
        raise ValueError("samples must hold at least one point, got 0: call update before compute")
