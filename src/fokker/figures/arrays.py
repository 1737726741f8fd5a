"""Checks, limits and names of the arrays that figures get."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

MAX_DRAWN = 4000
MINUS = "\u2212"
# Beyond this ratio of widths one scale for all coordinates would reduce the narrow ones to a line.
MAX_RATIO = 10.0
# A coordinate whose distance from 0 is more than this many widths has long numbers.
_FAR = 100.0
# Relative to the value: a narrower range is only rounding.
_ROUNDING = 1e-12


def to_array(values: ArrayLike) -> Floats:
    """Return numbers of any kind, tensors among them, as a float64 array."""
    if hasattr(values, "detach"):
        # A tensor may be on a device, need a gradient, or be bfloat16, which numpy does not know.
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)


def as_rows(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return finite samples, (n, d) or (n, *shape), as (n, d).

    Raises:
        ValueError: no samples, d is not the product of `shape`, or NaN or infinite values.
    """
    rows = _rows(name, values, shape)
    _refuse_not_finite(name, rows)
    return rows


def finite_rows(name: str, values: ArrayLike, shape: tuple[int, ...]) -> tuple[Floats, str]:
    """Return the finite samples as (n, d), and a note such as `" (3 not finite)"` or nothing.

    Raises:
        ValueError: no samples, d is not the product of `shape`, or none is finite.
    """
    rows = _rows(name, values, shape)
    finite = np.isfinite(rows).all(axis=1)
    if finite.all():
        return rows, ""
    if not finite.any():
        _refuse_not_finite(name, rows)
    return rows[finite], f" ({int((~finite).sum()):,} not finite)"


def _rows(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = to_array(values)
    d = int(np.prod(shape))
    if array.ndim < 2 or array.shape[0] == 0 or array.shape[1:] not in ((d,), tuple(shape)):
        raise ValueError(
            f"{name} must have shape (n, {d}) or (n, *{tuple(shape)}), n >= 1, got {array.shape}"
        )
    return array.reshape(array.shape[0], d)


def _refuse_not_finite(name: str, rows: Floats) -> None:
    bad = int(rows.size - np.isfinite(rows).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {rows.size}: "
            "the sampler diverged, or the data are broken"
        )


def thin(rows: Floats, count: int = MAX_DRAWN) -> Floats:
    """Return at most `count` rows at equal steps, the same ones at every call."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def span(samples: Floats, data: Floats | None = None) -> tuple[Floats, Floats]:
    """Return lower and upper limits for each coordinate, (d,) each; the upper is above the lower.

    Without data they hold 99.8% of the samples. With data they hold all of the data, and 99% of
    the samples unless these are farther from the data than the data's own width: a few diverged
    samples must not shrink all others to a dot. The caller reports how many are outside.
    """
    tail = 0.001 if data is None else 0.005
    low, high = np.quantile(samples, tail, axis=0), np.quantile(samples, 1 - tail, axis=0)
    if data is not None:
        least, greatest = data.min(axis=0), data.max(axis=0)
        # Constant data set no limits to samples that vary.
        width = np.where(greatest > least, greatest - least, np.inf)
        low = np.minimum(np.maximum(low, least - width), least)
        high = np.maximum(np.minimum(high, greatest + width), greatest)
    return widened(low, high, 0.04)


def widened(low: Floats, high: Floats, share: float) -> tuple[Floats, Floats]:
    """Return limits with a share of the width added on both sides; a width of 0 is widened too.

    A value that varies by no more than rounding gets 0.5 or a millionth of itself on each side.
    """
    size = np.maximum(np.abs(low), np.abs(high))
    varies = high - low > _ROUNDING * size
    margin = np.where(varies, share * (high - low), np.maximum(0.5, 1e-6 * size))
    return low - margin, high + margin


def on_one_scale(low: Floats, high: Floats) -> bool:
    """Tell whether one scale for all coordinates makes each of them visible."""
    size = high - low
    return bool(size.max() <= MAX_RATIO * size.min())


def offsets(low: Floats, high: Floats) -> Floats:
    """Return round numbers to subtract from coordinates that are far from 0 for their width, (d,).

    Without this the numbers on an axis would be long and nearly equal. The offset is 0 if the
    numbers are short.
    """
    centre, width = (low + high) / 2, high - low
    unit = 10.0 ** np.ceil(np.log10(width))
    return np.where(np.abs(centre) > _FAR * width, np.round(centre / unit) * unit, 0.0)


def minus(name: str, offset: float) -> str:
    """Return the label of a coordinate less its offset: its name, or `$x_1$ − 1,000`."""
    if not offset:
        return name
    return f"{name} {'+' if offset < 0 else MINUS} {abs(offset):,.12g}"


def coordinates(away: Floats) -> list[str]:
    """Return the labels of all coordinates less their offsets (d,)."""
    names = [f"$x_{j + 1}$" if len(away) > 1 else "$x$" for j in range(len(away))]
    return [minus(name, offset) for name, offset in zip(names, away.tolist())]


def outside(rows: Floats, low: Floats, high: Floats) -> str:
    """Return a note such as `" (12 outside)"`, or nothing."""
    count = int(((rows < low) | (rows > high)).any(axis=1).sum())
    return f" ({count:,} outside)" if count else ""
