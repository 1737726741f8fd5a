"""The grid that is fitted to the data's scales and the sampler."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import fokker
from fokker.diffusion.analysis.gaussian_errors import gaussian_errors
from fokker.diffusion.denoiser import ExactDenoiser
from fokker.diffusion.grids import EDMRho, Grid, Spectral
from fokker.diffusion.samplers import (
    DDIM,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EulerMaruyama,
    GivenStart,
    Heun,
    PredictorCorrector,
    Sampler,
    StartLaw,
    sampled_std,
)
from fokker.diffusion.sde import EDM, SDE
from fokker.distributions import Distribution, Gaussian, GaussianMixture, Uniform

DIGITS_LIKE = torch.cat([torch.logspace(0.1, -4, 50, dtype=torch.float64), torch.zeros(6)])
MAKERS: dict[str, Callable[[SDE, int], Sampler]] = {
    "ddim": lambda sde, n: DDIM(sde, n, prior="matched"),
    "ancestral": lambda sde, n: DDIM(sde, n, eta=1.0, prior="matched"),
    "heun": lambda sde, n: Heun(sde, n, prior="matched"),
    "midpoint": lambda sde, n: Heun(sde, n, alpha=0.5, prior="matched"),
    "dpmpp_2m": lambda sde, n: DPMpp2M(sde, n, prior="matched"),
    "dpmpp_2m_sde": lambda sde, n: DPMpp2MSDE(sde, n, prior="matched"),
    "dpmpp_3m": lambda sde, n: DPMpp3M(sde, n, prior="matched"),
    "euler_maruyama": lambda sde, n: EulerMaruyama(sde, n, prior="matched"),
}
each_sampler = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def fitted(eigenvalues: Tensor | list[float], sampler: Sampler, grid: Grid | None = None) -> Grid:
    values = torch.as_tensor(eigenvalues, dtype=torch.float64)
    return (grid or Spectral()).fitted(lambda: values, partial(sampled_std, sampler))


def nodes(eigenvalues: Tensor | list[float], sampler: Sampler, grid: Grid | None = None) -> Tensor:
    return fitted(eigenvalues, sampler, grid)(sampler.num_steps, sampler.sde)


# One Gaussian ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [2, 3, 5, 10, 40])
@pytest.mark.parametrize("std", [0.03, 0.5, 7.0])
def test_for_ddim_and_one_scale_it_is_the_tangent_law(std: float, num_steps: int) -> None:
    """sigma = s tan(theta), theta even from arctan(sigma_max/s) to 0, both ends included."""
    sampler = DDIM(EDM(1e-5, 80.0), num_steps)
    found = nodes([std**2], sampler, Spectral(detail=1.0))
    theta = torch.linspace(math.atan(80 / std), 0, num_steps + 1, dtype=torch.float64)
    torch.testing.assert_close(found, std * theta.tan(), rtol=3e-5, atol=1e-12)
    # Each step shrinks the standard deviation by the cosine of its angle.
    angle = math.atan(80 / std) / num_steps
    exact = std * math.cos(angle) ** num_steps
    result = sampled_std(sampler, found, torch.tensor([std**2], dtype=torch.float64))
    assert float(result) == pytest.approx(exact, rel=1e-8)


def test_no_other_nodes_are_better_for_ddim_and_one_scale() -> None:
    sampler, variance = DDIM(EDM(), 6), torch.tensor([0.25], dtype=torch.float64)
    best = nodes([0.25], sampler, Spectral(detail=1.0))
    error = 0.5 - float(sampled_std(sampler, best, variance))
    generator = torch.Generator().manual_seed(0)
    for size in (1e-3, 1e-2, 0.1, 0.5):
        for _ in range(50):
            moved = best.clone()
            moved[1:-1] *= (size * torch.randn(5, generator=generator, dtype=torch.float64)).exp()
            moved = moved.sort(descending=True).values
            moved[0] = 80.0
            assert 0.5 - float(sampled_std(sampler, moved, variance)) > error * (1 - 1e-7)


def test_the_error_of_ddim_tends_to_half_the_squared_angle_over_n() -> None:
    """N (s - s')/s -> arctan(sigma_max/s)^2/2, by tangents' closed form."""
    for num_steps in (50, 100):
        sampler = DDIM(EDM(1e-5, 80.0), num_steps)
        found = nodes([0.25], sampler, Spectral(detail=1.0))
        got = float(sampled_std(sampler, found, torch.tensor([0.25], dtype=torch.float64)))
        assert num_steps * (1 - got / 0.5) == pytest.approx(math.atan(160) ** 2 / 2, rel=0.02)


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("heun", 2)])
def test_the_error_falls_with_the_order(name: str, order: int) -> None:
    """Also through the truncation, whose share falls with N although its step is an Euler step."""
    errors = []
    for num_steps in (12, 48):
        sampler = MAKERS[name](EDM(1e-5, 80.0), num_steps)
        law = Gaussian([0.0, 0.0], [0.5, 0.1])
        errors.append(gaussian_errors(law, sampler, nodes(law.variance, sampler)).total)
    assert math.log(errors[0] / errors[1], 4) > order - 0.1


@pytest.mark.one_in(4)
@each_sampler
@pytest.mark.parametrize("num_steps", [3, 5, 10, 30])
def test_it_errs_less_than_rho_7_on_gaussian_data(
    make: Callable[[SDE, int], Sampler], num_steps: int
) -> None:
    """Beside grids that by chance err little on one Gaussian it need not win."""
    sampler = make(EDM(), num_steps)
    for eigenvalues in (torch.tensor([0.25], dtype=torch.float64), DIGITS_LIKE[:-6]):
        law = Gaussian(torch.zeros(len(eigenvalues)), eigenvalues.sqrt())
        own = gaussian_errors(law, sampler, nodes(eigenvalues, sampler)).total
        assert own < gaussian_errors(law, sampler, EDMRho()(num_steps, EDM())).total


# Other laws ------------------------------------------------------------------------------------


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ["ddim", "heun", "midpoint", "dpmpp_2m", "dpmpp_3m"])
@pytest.mark.parametrize(
    "law",
    [Uniform(-0.87, 0.87), GaussianMixture([0.3, 0.7], [-0.7, 0.3], [0.1, 0.2])],
    ids=["uniform", "mixture"],
)
def test_it_errs_less_than_rho_7_on_other_laws(name: str, law: Distribution) -> None:
    """W1 of the exact denoiser's samples from even quantiles: no chance in it."""
    u = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    start, exact = torch.special.ndtri(u)[:, None], law.quantile(u)[:, None]
    for num_steps in (3, 5, 10, 20):
        sampler = MAKERS[name](EDM(), num_steps)

        def w1(sigmas: Tensor, sampler: Sampler = sampler) -> float:
            moments = StartLaw(law.mean, law.variance)
            points = sampler(ExactDenoiser(law), sigmas, moments, GivenStart(start))
            return float((points.sort(0).values - exact).abs().mean())

        assert w1(nodes(law.variance, sampler)) < 0.7 * w1(EDMRho()(num_steps, EDM()))


# What it depends on ----------------------------------------------------------------------------


@each_sampler
def test_it_moves_with_the_unit_of_the_data(make: Callable[[SDE, int], Sampler]) -> None:
    one = nodes(DIGITS_LIKE, make(EDM(0.002, 80.0), 8))
    other = nodes(DIGITS_LIKE * 37.0**2, make(EDM(0.002 * 37, 80.0 * 37), 8))
    torch.testing.assert_close(other, 37 * one, rtol=1e-7, atol=0)


def test_order_number_and_zeros_of_the_eigenvalues_do_not_matter() -> None:
    sampler = DPMpp2M(EDM(), 9)
    found = nodes(DIGITS_LIKE, sampler)
    same = [DIGITS_LIKE.flip(0), DIGITS_LIKE[:-6], DIGITS_LIKE.repeat(3)]
    noise = DIGITS_LIKE.clone()
    noise[-6:] = torch.tensor([-1e-16, 1e-17, 0.0, -1e-18, 1e-16, 0.0])
    for eigenvalues in [*same, noise]:
        torch.testing.assert_close(nodes(eigenvalues, sampler), found, rtol=1e-9, atol=0)
    assert not torch.allclose(nodes(DIGITS_LIKE[:2], sampler), found, rtol=0.05)


@pytest.mark.parametrize("place", [10.0, 10.5])
def test_it_moves_continuously_with_the_eigenvalues(place: float) -> None:
    """Also where one passes from one point of the lattice of scales to the next."""
    found = []
    for moved in (-1e-3, 1e-3):
        small = torch.full((50,), math.exp(-0.4 * (place + moved)), dtype=torch.float64)
        eigenvalues = torch.cat([torch.ones(1, dtype=torch.float64), small])
        found.append(nodes(eigenvalues, DDIM(EDM(), 8), Spectral(detail=1.0)))
    torch.testing.assert_close(found[0], found[1], rtol=2e-3, atol=0)
    one = nodes([1.0], DDIM(EDM(), 8), Spectral(detail=1.0))
    assert not torch.allclose(found[0], one, rtol=0.1)


def test_it_is_chosen_for_the_sampler_and_its_number_of_steps() -> None:
    first = nodes(DIGITS_LIKE, DDIM(EDM(), 10))
    assert not torch.allclose(nodes(DIGITS_LIKE, Heun(EDM(), 10)), first, rtol=0.05)
    lowest = [float(nodes(DIGITS_LIKE, DDIM(EDM(), n))[-2]) for n in (3, 5, 10, 20, 50, 400)]
    assert lowest == sorted(lowest, reverse=True)
    assert lowest[-1] == 0.002


def test_finer_scales_bring_nodes_to_lower_noise() -> None:
    sampler = DPMpp2M(EDM(), 20)
    found = [nodes([0.25], sampler, Spectral(detail)) for detail in (1.0, 0.2, 0.02)]
    low = [int((sigmas < 0.1).sum()) for sigmas in found]
    assert low[0] < low[1] < low[2]


def test_ends() -> None:
    sampler = Heun(EDM(), 4)
    grid = fitted([0.25], sampler)
    assert grid(1, EDM()).tolist() == [80.0, 0.0]
    two = grid(2, EDM()).tolist()
    assert two[0] == 80.0
    assert 0.05 < two[1] < 5.0
    assert float(grid(5, EDM(), (0.4, 60.0))[-2]) == 0.4  # what is chosen would be lower
    given = fitted([0.25], sampler, Spectral(sigma_min=0.01, sigma_max=50.0))(5, EDM())
    assert given[[0, -2, -1]].tolist() == [50.0, 0.01, 0.0]


def test_a_sampler_with_steps_of_its_own_gets_the_ends() -> None:
    grid = Spectral().fitted(lambda: torch.ones(1), None)
    assert grid(2, EDM()).tolist() == [80.0, 0.002, 0.0]


def test_a_sampler_that_diverges_on_some_nodes_gets_others() -> None:
    def sampled(sigmas: Tensor, variances: Tensor) -> Tensor:
        ratio = float((sigmas[:-2] / sigmas[1:-1]).max())
        return variances.sqrt() * (math.nan if ratio > 20 else 1 + ratio)

    sigmas = Spectral().fitted(lambda: torch.tensor([0.25]), sampled)(8, EDM())
    assert float((sigmas[:-2] / sigmas[1:-1]).max()) < 20


@pytest.mark.parametrize("detail", [0.0, -1.0, 1.5, 1e-4, math.nan])
def test_bad_detail_is_refused(detail: float) -> None:
    with pytest.raises(ValueError, match=r"grid\.detail must be in 0\.001 to 1, got"):
        Spectral(detail)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="grid=spectral depends on the data and the sampler"):
        Spectral()(5, EDM())
    with pytest.raises(ValueError, match=r"grid=spectral needs data that vary, got .* of 0"):
        nodes([0.0, 0.0], DDIM(EDM(), 5))
    with pytest.raises(ValueError, match=r"choose sampler\.norms=expected"):
        nodes([1.0], PredictorCorrector(EDM(), 5, norms="batch"))


# Standard deviations of samples ----------------------------------------------------------------


def test_the_standard_deviation_of_ancestral_samples() -> None:
    """By the variances of y, step after step, with a posterior that is exact for a point."""
    sigmas, variance = [9.0, 2.0, 0.4, 0.1, 0.0], 1.7
    total = variance + sigmas[0] ** 2
    for sigma, lower in pairwise(sigmas):
        kept = variance / (variance + sigma**2)
        share = (lower / sigma) ** 2
        total = (kept + share * (1 - kept)) ** 2 * total + lower**2 * (1 - share)
    sampler = DDIM(EDM(), 4, eta=1.0)
    vector = torch.tensor([variance], dtype=torch.float64)
    got = sampled_std(sampler, torch.tensor(sigmas, dtype=torch.float64), vector)
    assert float(got) == pytest.approx(math.sqrt(total), rel=1e-12)


def test_five_evaluations_of_adams_on_uniform(workdir: Path) -> None:
    """The first number of the table of errors in docs/benchmarks.md, by its command."""
    result = fokker.run(
        [
            "data=uniform", "network=exact", "sampler=adams", "sampler.num_steps=6",
            "sampler.to_zero=false", "grid=spectral", "evaluation.noise=quantiles",
            "evaluation.num_samples=256", "evaluation.figures=false",
        ]
    )  # fmt: skip
    assert result.metrics["nfe"] == 5
    assert result.metrics["w1"] == pytest.approx(0.00131, abs=5e-6)
