"""Data whose elements have a number of equally spaced values, such as 8-bit images."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The largest distance from a level, in spacings, for any type: value_range may be rounded.
TOLERANCE = 1e-3
#: The largest rounding, in spacings, at which a value still identifies its level.
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

    The lowest value present is one of the levels. So neither 0 nor the lowest possible value
    needs to be among the values.

    Args:
        parts: all values, some at a time.
        low, high: the lowest and the highest value.
        levels: the number of possible values.
        value_range: the range that these fill together, `levels` spacings.
        resolution: the distance from 1 to the next number in the type that the values were stored
            in; 0 for whole numbers.
    Raises:
        ValueError: if values are farther off a level than the rounding to their type explains, or
            span more levels than there are, or if their type cannot resolve the levels.
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
