"""The integrator: directions, rows that arrive early, counts, and what it refuses."""

import math

import pytest
import torch
from torch import Tensor

from fokker.diffusion.samplers.dormand_prince import NotFiniteError, ToleranceError, integrate

RATES = torch.tensor([0.3, -2.0, 7.0, 0.0], dtype=torch.float64)
BEGIN = torch.tensor([[1.5, -0.2], [40.0, 3.0], [1e-3, 2.0], [5.0, 6.0]], dtype=torch.float64)


def growth(state: Tensor, place: Tensor, rows: Tensor) -> Tensor:
    """y' = rate cos(place) y, with a rate for each row of the batch."""
    return (RATES[rows] * place.cos())[:, None] * state


@pytest.mark.parametrize(("start", "stop"), [(0.4, 3.1), (3.1, 0.4), (-2.0, -0.5)])
def test_it_reaches_1e_10_in_both_directions(start: float, stop: float) -> None:
    end = integrate(growth, BEGIN, start, stop, 1e-10, 1e-10).state
    exact = BEGIN * torch.exp(RATES * (math.sin(stop) - math.sin(start)))[:, None]
    torch.testing.assert_close(end, exact, rtol=1e-8, atol=1e-9)
    assert integrate(growth, BEGIN, start, stop, 1e-3, 1e-3).state.sub(exact).abs().max() > 1e-6


def test_the_place_is_the_one_of_each_stage() -> None:
    """y' = 5 place^4: the fifth-order solution is exact only where all six places are right."""
    begin = torch.zeros(1, 1, dtype=torch.float64)
    end = integrate(lambda y, p, _: 5 * (p**4)[:, None], begin, 1.0, 3.0, 1e9, 1e9).state
    assert float(end) == pytest.approx(3.0**5 - 1, rel=1e-13)


def test_rows_that_arrived_are_left_out_and_counted() -> None:
    seen = torch.zeros(4, dtype=torch.int64)
    sizes = []

    def counted(state: Tensor, place: Tensor, rows: Tensor) -> Tensor:
        assert len(state) == len(place) == len(rows)
        seen[rows] += 1
        sizes.append(len(rows))
        return growth(state, place, rows)

    result = integrate(counted, BEGIN, 0.0, 3.0, 1e-8, 1e-8)
    assert torch.equal(result.evaluations, seen)
    assert int(seen.sum()) == sum(sizes)
    assert seen[2] > seen[0] > seen[3]
    assert sizes[-1] < 4
    # A first slope, then six a step.
    assert bool((seen % 6 == 1).all())


def test_nothing_to_do() -> None:
    same = integrate(growth, BEGIN, 1.0, 1.0, 1e-6, 1e-6)
    assert torch.equal(same.state, BEGIN)
    assert int(same.evaluations.sum()) == 0
    empty = integrate(growth, BEGIN[:0], 0.0, 1.0, 1e-6, 1e-6)
    assert empty.state.shape == (0, 2)


def test_float32_stays_float32_and_the_start_is_kept() -> None:
    begin = BEGIN.float()
    kept = begin.clone()
    end = integrate(lambda y, p, _: -y, begin, 0.0, 1.0, 1e-6, 1e-6).state
    assert end.dtype == torch.float32
    assert torch.equal(begin, kept)
    torch.testing.assert_close(end, kept * math.exp(-1), rtol=1e-5, atol=1e-5)


def test_what_cannot_go_on_is_refused() -> None:
    with pytest.raises(NotFiniteError, match="the slope is not finite"):
        integrate(lambda y, p, _: y * math.nan, BEGIN, 0.0, 1.0, 1e-6, 1e-6)
    with pytest.raises(ToleranceError, match=r"in 3 rounds; raise rtol=1e-09 and atol=1e-08"):
        integrate(growth, BEGIN, 0.0, 3.0, 1e-9, 1e-8, max_rounds=3)
