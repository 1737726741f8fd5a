"""Numbers in a column, all with the same decimals, chosen by their standard errors."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

#: A value, and its standard error where that is known.
Number = tuple[Any, float | None]
_MAX_PLACES = 7
_MAX_PLAIN = 1e6
#: An error below this share of its value comes from rounding.
_ROUNDING = 1e-12


def column(numbers: Sequence[Number], plus: str = " +- ", none: str = "-") -> list[str]:
    """Return the cells of a column.

    Numbers from a million on are written with a power of ten. So is a value without an error if the
    column's decimals would show it as 0, and a value with an error if they would show the error as
    0. What is no number is written as it is.

    Args:
        numbers: the values, numbers or not, each with its standard error.
        plus: the text between a value and its error.
        none: the text for a value that is None.
    """
    places = decimals(numbers)
    return [_cell(value, error, places, plus, none) for value, error in numbers]


def decimals(numbers: Iterable[Number]) -> int:
    """Return how many decimals a column has, at most seven.

    They show one digit of the smallest standard error, or two where that begins with a 1. Where no
    errors are known, they show two digits of the smallest value and at least four of the largest.
    """
    floats = [(v, e) for v, e in numbers if isinstance(v, float) and abs(v) < _MAX_PLAIN]
    errors = [e for v, e in floats if e and math.isfinite(e) and e > _ROUNDING * abs(v)]
    if errors:
        return _clipped(_places(min(errors), 2 if _digit(min(errors)) == 1 else 1))
    sizes = [abs(v) for v, _ in floats if v]
    if not sizes or all(v == int(v) for v in sizes):
        return 0
    # A value that is 0 except for rounding must not decide for all others.
    seen = [size for size in sizes if size > max(sizes) * 1e-5]
    return _clipped(max(_places(min(seen), 2), _places(max(seen), 4)))


def _places(value: float, digits: int) -> int:
    """Return how many decimals a value has that is rounded to so many digits."""
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    return digits - 1 - exponent


def _digit(value: float) -> int:
    return int(f"{value:.1e}"[0])


def _clipped(places: int) -> int:
    return min(max(places, 0), _MAX_PLACES)


def _cell(value: object, error: float | None, places: int, plus: str, none: str) -> str:
    if value is None:
        return none
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return f"{value:g}"
    text = _text(value, places)
    if error is not None and math.isfinite(error):
        if error > _ROUNDING * abs(value) and float(_text(error, places)) == 0:
            return f"{value:.2e}{plus}{error:.0e}"
        return f"{text}{plus}{_text(error, places)}"
    return f"{value:.1e}" if value and float(text) == 0 else text


def _text(value: float, places: int) -> str:
    text = f"{value:.{places}f}" if abs(value) < _MAX_PLAIN else f"{value:.1e}"
    return text.lstrip("-") if float(text) == 0 else text
