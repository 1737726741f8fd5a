"""Data whose elements have a number of equally spaced values, such as 8-bit images."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: How far off a level a value may be, in spacings, whatever its type: for a rounded value_range.
TOLERANCE = 1e-3
#: With larger rounding, in spacings, it is not known which level a value stands for.
MAX_ROUNDING = 0.25


def check_levels(
    parts: Iterable[NDArray[Any]],
    low: float,
    high: float,
    levels: int,
    value_range: float,
    resolution: float,
) -> None:
    """Refuse values that are not `low + k value_range / levels`, k from 0 to levels - 1.

    The lowest value that is there is one of the levels, so that neither 0 nor the lowest possible
    one need be among them.

    Args:
        parts: all values, some at a time.
        low, high: the lowest and the highest of them.
        levels: how many values there can be.
        value_range: what they fill together, `levels` spacings.
        resolution: of the type that the values were stored in: the distance from 1 to the next
            number, 0 for whole numbers.
    Raises:
        ValueError: if values are farther off a level than the rounding to their type explains, or
            lie over more levels than there are, or if their type cannot tell the levels apart.
    """
    spacing = value_range / levels
    # Each value was rounded by up to half a unit in its last place, and so was the lowest one.
    peak = max(abs(low), abs(high))
    rounding = resolution / 2 * (peak + abs(low)) / spacing
    last_place = resolution * 2.0 ** np.floor(np.log2(peak)) / spacing if peak else 0.0
    off = 0.0
    for part in parts:
        steps = (part.astype(np.float64) - low) / spacing
        off = max(off, float(np.abs(steps - steps.round()).max()))
    fit = f"data.levels={levels} and data.value_range={value_range:g} must fit the values"
    if rounding > MAX_ROUNDING and (off > TOLERANCE or last_place > 1 + TOLERANCE):
        raise ValueError(
            f"{fit}, and these were stored too coarsely to tell levels of {spacing:.4g} apart: "
            f"rounding moves them by up to {rounding:.2g} of that; store them as whole numbers or "
            "in a finer type"
        )
    is_off = off > TOLERANCE + rounding
    if is_off or (high - low) / spacing > levels - 0.5:
        why = f"up to {off:.2g} of that off a level" if is_off else f"more than {levels} levels"
        raise ValueError(
            f"{fit}, each value_range/levels from the next, got values from {low:g} to {high:g}, "
            f"{why}; 0 to 255 are 256 levels in a range of 256, and the same divided by 255 in a "
            "range of 256/255"
        )
