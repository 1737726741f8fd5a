"""Checks of parameters, points and noise levels that every distribution shares."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

Numbers = float | Sequence[float] | Tensor
#: The largest parameter: its square, and sums of many squares, are still finite numbers.
LARGEST = 1e150


def as_vector(name: str, value: Numbers, dim: int | None = None) -> Tensor:
    """Return a float or a sequence as finite float64 of shape (d,).

    Args:
        name: the name of the parameter, for the message.
        value: one number for all coordinates, or one for each coordinate.
        dim: d; None for as many as `value` has.

    Raises:
        ValueError: not a number or a sequence of `dim` numbers, or NaN or infinite values.
    """
    vector = torch.as_tensor(value, dtype=torch.float64).detach().clone()
    if vector.ndim == 0:
        vector = vector.expand(1 if dim is None else dim).clone()
    if vector.ndim != 1 or len(vector) == 0:
        raise ValueError(
            f"{name} must be a number or a sequence of numbers, got shape {tuple(vector.shape)}"
        )
    if dim is not None and len(vector) != dim:
        raise ValueError(f"{name} must be one number or {dim} numbers, got {len(vector)}")
    if not bool(vector.isfinite().all()):
        raise ValueError(f"{name} must be finite, got {vector.tolist()}")
    _check_square(name, float(vector.abs().max()))
    return vector


def common_dim(first: Numbers, second: Numbers) -> int:
    """Return the number of coordinates of two parameters; each may be one number for all."""
    return max(torch.as_tensor(first).numel(), torch.as_tensor(second).numel(), 1)


def as_positive(name: str, value: float, allow_zero: bool = False) -> float:
    """Return a finite number above 0, or at least 0 with `allow_zero`.

    Raises:
        ValueError: the number is another one.
    """
    number = float(value)
    good = 0 <= number < float("inf") if allow_zero else 0 < number < float("inf")
    if not good:
        rule = "finite and not negative" if allow_zero else "positive and finite"
        raise ValueError(f"{name} must be {rule}, got {number:g}")
    _check_square(name, number)
    return number


def _check_square(name: str, number: float) -> None:
    """Refuse a number whose square is too large to be a variance."""
    if number > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g}, got {number:g}")


def as_points(x: Tensor, dim: int) -> Tensor:
    """Return points of shape (n, dim) as float64; if dim is 1, (n,) is accepted too.

    Raises:
        ValueError: x has another shape.
    """
    if dim == 1 and x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"x must have shape (n, {dim}), got {tuple(x.shape)}")
    return x.to(torch.float64)


def as_sigma(sigma: float | Tensor, count: int, allow_zero: bool = False) -> Tensor:
    """Return noise levels as float64 of shape (count,).

    Raises:
        ValueError: a noise level is negative, not finite, or zero without `allow_zero`; or the
            shape is another one.
    """
    levels = torch.as_tensor(sigma, dtype=torch.float64)
    if levels.ndim > 1 or (levels.ndim == 1 and len(levels) not in (1, count)):
        raise ValueError(
            f"sigma must be a number or have shape ({count},), got {tuple(levels.shape)}"
        )
    good = ((levels >= 0) if allow_zero else (levels > 0)) & levels.isfinite()
    if not bool(good.all()):
        rule = "finite and not negative" if allow_zero else "positive and finite"
        raise ValueError(f"sigma must be {rule}, got {levels[~good].flatten()[0].item():g}")
    return levels.expand(count)


def row_blocks(rows: int, row_size: int, block_size: int = 1 << 18) -> Iterator[slice]:
    """Cut `rows` so that a block of intermediate values holds about `block_size` numbers."""
    step = max(1, block_size // max(1, row_size))
    for start in range(0, max(rows, 1), step):
        yield slice(start, min(rows, start + step))
