"""The adaptive solver against the exact flow, and its step control."""

import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from exact_cases import PROBABILITIES, Gaussian, Mixture, NoNoise, states
from torch import Tensor

from fokker.diffusion.samplers import ODEAdaptive
from fokker.diffusion.sde import EDM, Rectified, VEGeometric, VPLinear

SIGMAS = torch.tensor([40.0, 0.02, 0.0], dtype=torch.float64)


def solve(
    tolerance: float, start: Tensor, atol: float | None = None
) -> tuple[Tensor, list[int]]:
    """The state at the lowest noise, and the rows of every evaluation."""
    rows: list[int] = []

    def denoise(y: Tensor, sigma: float | Tensor) -> Tensor:
        rows.append(len(y))
        return Mixture()(y, sigma)

    sampler = ODEAdaptive(EDM(), rtol=tolerance, atol=atol or tolerance)
    return next(states(sampler, SIGMAS, denoise, start, NoNoise())), rows


def test_error_falls_with_the_tolerance() -> None:
    """Against F_low^-1(F_high(y)) of the mixture."""
    start, end = (Mixture().quantile(PROBABILITIES, sigma) for sigma in (40.0, 0.02))
    errors, costs = [], []
    for tolerance in (1e-3, 1e-5, 1e-7, 1e-9):
        state, rows = solve(tolerance, start)
        errors.append(float((state - end).abs().max()))
        costs.append(sum(rows))
        assert errors[-1] < 100 * tolerance
    assert all(after < before / 10 for before, after in itertools.pairwise(errors))
    # Fifth order: 100 times the tolerance for 100^(1/5) = 2.5 times the steps.
    ratios = [after / before for before, after in itertools.pairwise(costs[1:])]
    assert all(1.5 < ratio < 3 for ratio in ratios)


def test_steps_are_as_long_as_a_library_takes_them() -> None:
    """scipy's Dormand-Prince 5(4) on the same ODE, one sample at a time, to the same tolerance."""
    start = Mixture().quantile(PROBABILITIES, 40.0)
    span = -math.log(40.0), -math.log(0.02)

    def rate(log: float, y: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(y)[:, None]
        return (Mixture()(state, math.exp(-log)) - state).numpy()[:, 0]

    for i in (3, 15, 40):
        library = scipy.integrate.solve_ivp(
            rate, span, start[i].numpy(), method="RK45", rtol=1e-6, atol=1e-6, first_step=0.05
        )
        state, rows = solve(1e-6, start[i : i + 1])
        assert float(state) == pytest.approx(float(library.y[0, -1]), abs=1e-5)
        assert sum(rows) == pytest.approx(library.nfev, rel=0.2)


def test_all_sdes_have_one_ode_in_x_over_s() -> None:
    start = Mixture().quantile(PROBABILITIES, 40.0)
    first, *others = (
        next(states(ODEAdaptive(sde), SIGMAS, Mixture(), start, NoNoise()))
        for sde in (EDM(), VPLinear(), VEGeometric(), Rectified())
    )
    for other in others:
        assert torch.equal(first, other)


def test_every_sample_has_its_own_steps() -> None:
    """A sample's path is the same alone and beside a much harder one."""
    start = Mixture().quantile(PROBABILITIES, 40.0)
    together, rows = solve(1e-6, start)
    for i in (0, 20, 48):
        alone, _ = solve(1e-6, start[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-13)
    # Rounds shrink as samples arrive: not every sample waits for the slowest.
    assert rows[-1] < len(start)
    assert len(set(rows)) > 2


def test_a_sample_of_many_coordinates_is_one_system() -> None:
    start = Mixture().quantile(PROBABILITIES, 40.0).reshape(7, 7)
    joint = next(states(ODEAdaptive(EDM(), 1e-8, 1e-8), SIGMAS, Mixture(), start, NoNoise()))
    end = Mixture().quantile(PROBABILITIES, 0.02).reshape(7, 7)
    torch.testing.assert_close(joint, end, rtol=0, atol=1e-6)


def test_it_follows_a_gaussian_to_its_last_step() -> None:
    start = torch.linspace(-80, 80, 9, dtype=torch.float64)[:, None]
    *_, sample = states(ODEAdaptive(EDM(), 1e-9, 1e-9), SIGMAS, Gaussian(), start, NoNoise())
    variance = 0.35**2
    lowest = 0.7 + (start - 0.7) * math.sqrt((variance + 0.02**2) / (variance + 40.0**2))
    exact = 0.7 + (lowest - 0.7) * variance / (variance + 0.02**2)
    torch.testing.assert_close(sample, exact, rtol=0, atol=1e-7)


def test_tolerances_are_relative_and_absolute() -> None:
    """A loose relative tolerance is loose for large states only."""
    start = Mixture().quantile(PROBABILITIES, 40.0)
    _, loose = solve(1e-2, start, atol=1e-9)
    _, tight = solve(1e-9, start, atol=1e-9)
    _, absolute = solve(1e-9, start, atol=1e-2)
    assert sum(loose) < sum(tight)
    assert sum(absolute) < sum(tight)


def test_the_start_is_left_as_it_is() -> None:
    start = Mixture().quantile(PROBABILITIES, 40.0)
    kept = start.clone()
    solve(1e-4, start)
    assert torch.equal(start, kept)


def test_a_denoiser_that_is_not_finite_is_named() -> None:
    sampler = ODEAdaptive(EDM())
    with pytest.raises(ValueError, match="the denoiser is not finite"):
        next(states(sampler, SIGMAS, lambda y, _: y * math.nan, torch.ones(3, 1), NoNoise()))


def test_a_tolerance_below_rounding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fokker.diffusion.samplers.ode_adaptive.MAX_ROUNDS", 100)
    start = torch.full((1, 1), 1e4, dtype=torch.float32)
    sampler = ODEAdaptive(EDM(), rtol=1e-14, atol=1e-14)
    with pytest.raises(ValueError, match=r"raise sampler\.rtol=1e-14 and sampler\.atol=1e-14"):
        next(states(sampler, SIGMAS, lambda y, _: 0.3 * y.sin(), start, NoNoise()))
