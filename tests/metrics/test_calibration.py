"""Standard errors are the spread between runs, near the data and far from them."""

import pytest

from calibration import CASES, HIGH, LOW, REGIMES, calibration


@pytest.mark.one_in(3)
@pytest.mark.parametrize("regime", ["near", "poor"])
@pytest.mark.parametrize(
    ("metric", "law"),
    [
        ("w1", "uniform"),
        ("sliced_w2", "uniform"),
        ("energy_distance", "normal"),
        ("energy_distance", "ring of 8"),
        ("nearest_neighbour_ratio", "ring of 8"),
    ],
)
def test_of_100_samples_the_spread_of_200_runs_is_claimed(
    metric: str, law: str, regime: str
) -> None:
    found = calibration(metric, law, regime, n=100, runs=200)
    assert LOW < found.plain < HIGH
    assert LOW < found.paired < HIGH


@pytest.mark.long
@pytest.mark.parametrize(("metric", "law", "n", "share"), CASES)
@pytest.mark.parametrize("regime", REGIMES)
def test_the_spread_of_runs_is_claimed(
    metric: str, law: str, n: int, share: float, regime: str
) -> None:
    found = calibration(metric, law, regime, n, round(1000 * share))
    # Of 20 samples a quarter has 4, from which little can be extrapolated.
    low = LOW if n >= 100 else 0.75
    assert low < found.plain < HIGH
    assert low < found.paired < HIGH
