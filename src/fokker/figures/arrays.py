"""What figures ask of the arrays they are given."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["line", "plane", "space", "image", "other"]

MAX_DRAWN = 4000


def to_array(values: Any) -> Floats:
    """Numbers of any kind, tensors among them, as a float64 array."""
    if hasattr(values, "detach"):
        # A tensor may be on a device, need a gradient, or be bfloat16, which numpy does not know.
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def kind_of(shape: tuple[int, ...]) -> Kind:
    """How samples of a shape are drawn.

    Args:
        shape: of one sample: (1,), (2,), (3,), an image (h, w) or (c, h, w) with c 1 or 3, or (d,).

    Raises:
        ValueError: anything else.
    """
    shape = tuple(shape)
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise ValueError(f"shape must be (d,), (h, w) or (c, h, w), all >= 1, got {shape}")
    if len(shape) == 3 and shape[0] not in (1, 3):
        raise ValueError(f"shape (c, h, w) must have 1 or 3 channels, got {shape}: reshape to (d,)")
    if len(shape) > 1:
        return "image"
    kinds: dict[int, Kind] = {1: "line", 2: "plane", 3: "space"}
    return kinds.get(shape[0], "other")


def as_rows(name: str, values: Any, shape: tuple[int, ...]) -> Floats:
    """Finite samples, (n, d) or (n, *shape), as (n, d).

    Raises:
        ValueError: no samples, d is not the product of `shape`, or NaN or infinite values.
    """
    array = to_array(values)
    d = int(np.prod(shape))
    if array.ndim < 2 or array.shape[0] == 0 or array.shape[1:] not in ((d,), tuple(shape)):
        raise ValueError(
            f"{name} must have shape (n, {d}) or (n, *{tuple(shape)}), n >= 1, got {array.shape}"
        )
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {array.size}: "
            "the sampler diverged, or the data are broken"
        )
    return array.reshape(array.shape[0], d)


def thin(rows: Floats) -> Floats:
    """At most 4,000 rows at equal steps, the same ones at every call."""
    if len(rows) <= MAX_DRAWN:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MAX_DRAWN).round().astype(np.int64)]


def span(samples: Floats, data: Floats | None = None) -> tuple[Floats, Floats]:
    """Lower and upper limits a coordinate, (d,) each.

    Without data 99.8% of the samples. With data all of the data, and 99% of the samples as far as
    these are at most the data's own width away from the data: a few that diverged must not shrink
    all others to a dot. Who draws says how many are outside.
    """
    tail = 0.001 if data is None else 0.005
    low, high = np.quantile(samples, tail, axis=0), np.quantile(samples, 1 - tail, axis=0)
    if data is not None:
        least, greatest = data.min(axis=0), data.max(axis=0)
        width = greatest - least
        low = np.minimum(np.maximum(low, least - width), least)
        high = np.maximum(np.minimum(high, greatest + width), greatest)
    margin = 0.04 * (high - low)
    # A single point still needs a width.
    margin = np.where(margin > 0, margin, np.maximum(0.5, 1e-6 * np.abs(low)))
    return low - margin, high + margin


def outside(rows: Floats, low: Floats, high: Floats) -> str:
    """`" (12 outside)"`, or nothing."""
    count = int(((rows < low) | (rows > high)).any(axis=1).sum())
    return f" ({count:,} outside)" if count else ""
