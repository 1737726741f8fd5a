"""Distances of simulated marginals: against scipy, simulations, and closed forms."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor

from fokker.diffusion.analysis import marginal_errors
from fokker.diffusion.analysis.marginal_errors import (
    forward_errors,
    relative_w1,
    sampling_noise,
    solved_errors,
)
from fokker.diffusion.sde import EDM, SDE, SubVP, VEGeometric, VPLinear
from fokker.distributions import Affine, Distribution, Gaussian, GaussianMixture, Uniform
from fokker.randomness import Randomness

MIXTURE = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])
LAWS = {"gaussian": Gaussian(3.0, 0.7), "uniform": Uniform(-2.0, 5.0), "mixture": MIXTURE}
W1_OF_STDS = math.sqrt(2 / math.pi)  # W1 of N(0, a^2) and N(0, b^2) is this times |a - b|.


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def std(law: Distribution, sigma: float) -> float:
    return math.sqrt(float(law.variance) + sigma**2)


# One set of points ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("sigma", [0.1, 2.0, 30.0])
def test_the_distance_is_that_of_scipy(name: str, sigma: float) -> None:
    """Of points of another law to 100,000 quantiles of this one, found by inverting the cdf."""
    law = LAWS[name]
    points = np.random.default_rng(0).normal(1.3, 1 + sigma, 400)
    grid = torch.linspace(-10 - 8 * sigma, 12 + 8 * sigma, 40_001, dtype=torch.float64)
    u = (np.arange(100_000) + 0.5) / 100_000
    reference = np.interp(u, law.cdf(grid, sigma).numpy(), grid.numpy())
    expected = stats.wasserstein_distance(points, reference) / std(law, sigma)
    found = relative_w1(law, torch.from_numpy(points), sigma)
    assert found == pytest.approx(expected, rel=0.01)
    shuffled = torch.from_numpy(np.random.default_rng(1).permutation(points))
    assert relative_w1(law, shuffled, sigma) == found
    assert relative_w1(law, shuffled.float(), sigma) == pytest.approx(found, rel=1e-5)


def test_a_shift_and_a_factor() -> None:
    """W1 of points that are all moved by a is a; of points spread by a factor, in closed form."""
    law, n, sigma = Gaussian(300.0, 7.0), 20_000, 24.0
    points = 300 + 25 * torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)
    assert relative_w1(law, points, sigma) < 1e-12
    assert relative_w1(law, points - 5, sigma) == pytest.approx(0.2, rel=1e-9)
    assert relative_w1(law, 300 + 1.5 * (points - 300), sigma) == pytest.approx(
        0.5 * W1_OF_STDS, rel=1e-3
    )


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("sigma", [0.0, 0.4, 9.0])
def test_chance_is_the_mean_distance_of_exact_points(name: str, sigma: float) -> None:
    law, n, times = LAWS[name], 300, 400
    generator = torch.Generator().manual_seed(1)
    x = law.sample(n * times, generator)[:, 0]
    x = x + sigma * torch.randn(n * times, generator=generator, dtype=torch.float64)
    # W1 = int |F_n - F| dx, on cells.
    grid = torch.linspace(-4 - 6 * sigma, 7 + 6 * sigma, 1501, dtype=torch.float64)
    cdf = law.cdf(grid, sigma).numpy()
    rows = np.sort(x.reshape(times, n).numpy(), axis=1)
    found = [
        integrate.trapezoid(np.abs(np.searchsorted(row, grid.numpy()) / n - cdf), grid.numpy())
        for row in rows
    ]
    distances = np.array(found) / std(law, sigma)
    error = float(distances.std()) / times**0.5
    expected = pytest.approx(distances.mean(), abs=4 * error + 0.01 / n**0.5)
    assert sampling_noise(law, n, sigma) == expected


def test_chance_in_closed_form() -> None:
    """`int sqrt(F (1 - F)) dx` of U[0, 1] is pi/8; and it falls as the root of the points."""
    law = Uniform(-2.0, 5.0)
    expected = math.sqrt(2 / (math.pi * 50)) * math.pi / 8 * math.sqrt(12)
    assert sampling_noise(law, 50, 0.0) == pytest.approx(expected, rel=1e-3)
    tenth = sampling_noise(law, 50, 0.3) / 10
    assert sampling_noise(law, 5000, 0.3) == pytest.approx(tenth, rel=1e-12)

    def root(x: float) -> float:
        return math.sqrt(special.ndtr(x) * special.ndtr(-x))

    expected = math.sqrt(2 / (math.pi * 80)) * integrate.quad(root, -12, 12)[0]
    # The same at every noise level, for in standard deviations the law is the same.
    for sigma in (0.0, 0.7, 50.0):
        assert sampling_noise(Gaussian(3.0, 0.7), 80, sigma) == pytest.approx(expected, rel=0.01)


def test_distances_have_no_unit() -> None:
    there = Affine(MIXTURE, 40.0, 0.02)
    points = tensor(-1.3, -0.2, 0.9, 1.4, 2.2)
    moved = relative_w1(there, (points - 40) / 0.02, 0.3 / 0.02)
    assert moved == pytest.approx(relative_w1(MIXTURE, points, 0.3), rel=1e-9)
    here = sampling_noise(MIXTURE, 70, 0.3)
    assert sampling_noise(there, 70, 15.0) == pytest.approx(here, rel=1e-9)
    sigmas = tensor(0.02, 0.3, 4.0)
    sde = VEGeometric(0.001, 400.0)
    here = forward_errors(MIXTURE, sde, sigmas, 500, Randomness(2))
    moved_too = forward_errors(there, sde, sigmas / 0.02, 500, Randomness(2))
    assert moved_too == pytest.approx(here, rel=1e-6)


# Forward --------------------------------------------------------------------------------------

SDES: list[SDE] = [EDM(), VEGeometric(0.01, 50.0), VPLinear(), SubVP()]


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: type(sde).__name__)
def test_the_simulation_has_the_exact_marginals(
    sde: SDE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many steps, up to sampling noise, whatever the SDE; and none at the start."""
    monkeypatch.setattr(marginal_errors, "STEPS_PER_E_FOLD", 150)
    sigmas = torch.logspace(math.log10(0.05), 0.8, 5, dtype=torch.float64)
    law = Affine(MIXTURE, 1.0, 2.0)
    errors = forward_errors(law, sde, sigmas, 4000, Randomness(0))
    assert len(errors) == 5
    assert errors[0] < 1e-12
    for found, sigma in zip(errors[1:], sigmas[1:].tolist(), strict=True):
        assert 0 < found < 3 * sampling_noise(law, 4000, sigma)
    assert errors == forward_errors(law, sde, sigmas, 4000, Randomness(0))
    assert errors != forward_errors(law, sde, sigmas, 4000, Randomness(1))


@pytest.mark.parametrize("steps", [1, 4, 40])
def test_the_error_of_the_steps_in_closed_form(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the EDM SDE t = sigma and g^2 = 2 sigma, which a step takes at its lower end."""
    law, low, high = Gaussian(300.0, 0.5), 0.1, 20.0
    per_e_fold = (steps - 0.5) / math.log(high / low)
    monkeypatch.setattr(marginal_errors, "STEPS_PER_E_FOLD", per_e_fold)
    t = np.geomspace(low, high, steps + 1)
    variance = 0.25 + low**2 + (2 * t[:-1] * np.diff(t)).sum()
    exact = math.sqrt(0.25 + high**2)
    expected = W1_OF_STDS * (exact - math.sqrt(variance)) / exact
    found = forward_errors(law, EDM(), tensor(low, high), 60_000, Randomness(3))[1]
    assert found == pytest.approx(expected, abs=1.5 * sampling_noise(law, 60_000, high))
    assert expected > 3 * sampling_noise(law, 60_000, high)


def test_more_steps_are_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As 1/steps, until sampling noise is all that is left, and with a drift too."""
    found = []
    for steps in (2, 6, 200):
        monkeypatch.setattr(marginal_errors, "STEPS_PER_E_FOLD", steps)
        errors = forward_errors(MIXTURE, VPLinear(), tensor(0.05, 1.0, 20.0), 20_000, Randomness(0))
        found.append(errors[1])
    assert found[0] > 2 * found[1] > 4 * found[2]
    assert found[2] < 2 * sampling_noise(MIXTURE, 20_000, 1.0)


# Solutions of the equation --------------------------------------------------------------------

SIGMAS = torch.logspace(-1, math.log10(30), 6, dtype=torch.float64)


def linear(share: float) -> Any:
    return lambda x, sigma: share * x


@pytest.mark.parametrize("name", LAWS)
def test_the_exact_score_leads_back_to_the_data(name: str) -> None:
    law = Affine(LAWS[name], float(LAWS[name].mean), 2 * std(LAWS[name], 0.0))
    solved = solved_errors(law, law.denoise, Gaussian(0.0, math.hypot(30, 0.5)), SIGMAS)
    assert len(solved.forward) == len(solved.backward) == 6
    assert max(solved.forward) < 3e-4
    assert max(solved.backward) < 1e-3
    # The start's own error: the published prior lacks the data's variance.
    prior = Gaussian(0.0, 30.0)
    published = solved_errors(law, law.denoise, prior, SIGMAS).backward[-1]
    expected = W1_OF_STDS * (1 - 30 / math.hypot(30, 0.5))
    assert published == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("share", "mean"), [(0.25, 0.0), (0.0, 0.4), (0.6, -0.3)])
def test_a_linear_score_in_closed_form(share: float, mean: float) -> None:
    """`dy = 2 (c - 1) y dl + sqrt(2) sigma dw`, l = -ln sigma: means and variances solve ODEs."""
    law, high = Gaussian(0.0, 0.5), float(SIGMAS[-1])
    solved = solved_errors(law, linear(share), Gaussian(high * mean, high), SIGMAS)
    for found, sigma in zip(solved.backward, SIGMAS.tolist(), strict=True):
        shrunk = (sigma / high) ** (2 * (1 - share))
        special_part = 1 / (1 - 2 * share)  # V = sigma^2/(1 - 2c) solves dV/dl.
        variance = special_part * sigma**2 + (1 - special_part) * high**2 * shrunk**2
        gap = _gaussian_w1(high * mean * shrunk, math.sqrt(variance), std(law, sigma))
        assert found == pytest.approx(gap / std(law, sigma), rel=4e-3, abs=2e-3)
    assert max(solved.backward) > 0.1
    assert solved.forward == solved_errors(law, law.denoise, Gaussian(0.0, high), SIGMAS).forward


def test_a_score_that_drives_mass_to_the_walls_has_no_number() -> None:
    """D = 2 y pushes the mass away from the data for ever."""
    law = Gaussian(0.0, 0.5)
    solved = solved_errors(law, linear(2.0), Gaussian(0.0, math.hypot(30, 0.5)), SIGMAS)
    assert math.isnan(solved.backward[0])
    assert not any(math.isnan(error) for error in (*solved.forward, solved.backward[-1]))


def _gaussian_w1(mean: float, first: float, second: float) -> float:
    """W1 of N(mean, first^2) and N(0, second^2): E|mean + (first - second) z|."""
    return float(stats.foldnorm.mean(abs(mean / (first - second)), scale=abs(first - second)))


def test_levels_that_cells_cannot_show_are_left_out() -> None:
    law = Gaussian(0.0, 0.5)
    sigmas = tensor(0.002, 0.01, 0.5, 3.0, 40.0)
    prior = Gaussian(0.0, math.hypot(40, 0.5))
    solved = solved_errors(law, law.denoise, prior, sigmas)
    for column in (solved.forward, solved.backward):
        assert [math.isnan(value) for value in column] == [True, True, False, False, False]
    alone = solved_errors(law, law.denoise, prior, sigmas[2:])
    assert solved.backward[2:] == alone.backward
    few = solved_errors(law, law.denoise, prior, tensor(0.002, 40.0))
    assert all(math.isnan(value) for value in few.forward + few.backward)
    assert len(few.forward) == len(few.backward) == 2


@pytest.mark.parametrize(("shift", "scale"), [(300.0, 14.0), (-0.7, 0.001)])
def test_solutions_have_no_unit(shift: float, scale: float) -> None:
    """Data that are not standardised, in any unit."""
    law = Affine(MIXTURE, float(MIXTURE.mean), 2 * std(MIXTURE, 0.0))
    prior = Gaussian(0.0, 30.0)
    here = solved_errors(law, lambda x, sigma: 0.8 * law.denoise(x, sigma), prior, SIGMAS)
    there = Affine(law, -shift / scale, 1 / scale)
    assert float(there.mean) == pytest.approx(shift, rel=1e-9)

    def worse(x: Tensor, sigma: Tensor) -> Tensor:
        return shift + 0.8 * (there.denoise(x, sigma) - shift)

    moved = solved_errors(there, worse, Gaussian(shift, 30 * scale), SIGMAS * scale)
    assert moved.forward == pytest.approx(here.forward, abs=1e-9)
    assert moved.backward == pytest.approx(here.backward, rel=1e-6)
    assert here.backward[0] > 0.1
    assert max(moved.forward) < 3e-4


@pytest.mark.parametrize("far", [-50.0, 50.0])
def test_laws_with_one_long_tail(far: float) -> None:
    law = GaussianMixture([0.999, 0.001], [0.0, far], [0.1, 0.1])
    solved = solved_errors(law, law.denoise, Gaussian(law.mean, 60.0), tensor(0.5, 3.0, 60.0))
    assert max(solved.forward) < 2e-3
    assert max(solved.backward) < 5e-3
