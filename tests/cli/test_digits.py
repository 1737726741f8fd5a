"""Numbers of a column: one number of decimals, from the smallest standard error."""

import math
from typing import Any

import pytest

from fokker.sweeps.digits import column

NAN = math.nan


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        # One digit of the smallest error, two where that begins with a 1, also by rounding.
        ([(0.3676, 0.019), (0.0271, 0.0032)], ["0.368 +- 0.019", "0.027 +- 0.003"]),
        ([(0.3676, 0.019), (0.0271, 0.0017)], ["0.3676 +- 0.0190", "0.0271 +- 0.0017"]),
        ([(1.0, 0.0996)], ["1.00 +- 0.10"]),
        ([(1234.5, 56.0), (7.25, NAN)], ["1234 +- 56", "7"]),
        # An error of 0 or of rounding chooses nothing.
        ([(0.5, 0.0), (0.25, 0.02)], ["0.50 +- 0.00", "0.25 +- 0.02"]),
        ([(0.5, 1e-17), (0.25, 0.02)], ["0.50 +- 0.00", "0.25 +- 0.02"]),
        # Less than its error is 0, and has no sign.
        ([(-0.0001, 0.02), (-0.3, 0.02)], ["0.00 +- 0.02", "-0.30 +- 0.02"]),
        # Without errors: two digits of the smallest, four of the largest.
        ([(0.1435, None), (0.04439, None), (0.00286, None)], ["0.1435", "0.0444", "0.0029"]),
        ([(0.04095, None), (0.0007988, None)], ["0.04095", "0.00080"]),
        ([(9.0, None), (35.0, None)], ["9", "35"]),
        ([(5.0, None), (152.71, None)], ["5.0", "152.7"]),
        # What would be 0, or is far away, is no reason for the others.
        ([(0.25, None), (1e-12, None), (3e30, 1e29)], ["0.2500", "1.0e-12", "3.0e+30 +- 1.0e+29"]),
        ([(2.31e-9, 8e-11)], ["2.31e-09 +- 8e-11"]),
        # No numbers.
        ([(None, None), ("heun", None), (7, None), (NAN, 0.1), (math.inf, None), (0.5, 0.2)],
         ["-", "heun", "7", "nan", "inf", "0.5 +- 0.2"]),
        ([], []),
    ],
)  # fmt: skip
def test_a_column_has_the_decimals_of_its_smallest_error(
    numbers: list[tuple[Any, float | None]], says: list[str]
) -> None:
    assert column(numbers) == says
