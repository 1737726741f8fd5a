"""With the exact denoiser every sampler gives back the data's law, as far as its order allows."""

import math
from typing import Literal

import pytest
import torch
from exact_cases import (
    MEAN,
    SAMPLERS,
    STD,
    VARIANCE,
    Gaussian,
    GeneratorNoise,
    Mixture,
    affine_map,
)
from torch import Tensor

from fokker.diffusion.grids import EDMRho, Geometric
from fokker.diffusion.samplers import DDIM, AnnealedLangevin, Heun, PredictorCorrector, StartLaw
from fokker.diffusion.sde import EDM, VEGeometric, VPLinear
from sdes import SDES

#: Relative error of the standard deviation that is allowed at N = 200. Euler's method in the
#: time of ve_geometric and ve_sqrt is rough: a step there is a share of sigma^2.
TOLERANCES = {
    "euler": 0.13,
    "heun": 0.008,
    "midpoint": 0.005,
    "ralston": 0.006,
    "ddim": 0.017,
    "ddim_half": 0.022,
    "ancestral_small": 0.035,
    "ancestral_large": 0.032,
    "dpmpp_2m": 0.001,
    "dpmpp_2m_sde": 0.0015,
    "dpmpp_3m": 0.0002,
    "edm_stochastic": 0.008,
    "euler_maruyama": 0.03,
    "reverse_diffusion": 0.032,
    "predictor_corrector": 0.016,
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("sde", SDES)
@pytest.mark.parametrize("name", TOLERANCES)
def test_mean_and_std_of_a_gaussian(name: str, sde: str) -> None:
    sigmas = EDMRho()(200, SDES[sde])
    solver = affine_map(SAMPLERS[name](SDES[sde], 200), sigmas, draws_a_step=2)
    high, low = float(sigmas[0]), float(sigmas[-2])
    # The last step is y = D, which narrows the law at the lowest noise by a known factor.
    exact = VARIANCE / math.sqrt(VARIANCE + low**2)
    assert solver.mean(MEAN) == pytest.approx(MEAN, abs=0.01)
    std = math.sqrt(solver.variance(VARIANCE + high**2))
    assert std == pytest.approx(exact, rel=TOLERANCES[name])
    assert exact == pytest.approx(STD, rel=2e-3)


@pytest.mark.parametrize("name", [*TOLERANCES, "adams", "ode_adaptive"])
def test_a_drawn_sample_has_mean_and_std_of_the_data(name: str) -> None:
    """By the whole call, with a start and noise of its own."""
    sampler = SAMPLERS[name](SDES["vp_linear"], 100)
    sigmas = EDMRho()(sampler.num_steps, sampler.sde)
    count = 20_000
    samples = sampler(Gaussian(), sigmas, Gaussian.law, GeneratorNoise((count, 1)))
    assert samples.shape == (count, 1)
    assert float(samples.mean()) == pytest.approx(MEAN, abs=4.5 * STD / math.sqrt(count) + 0.005)
    chance = 4.5 / math.sqrt(2 * count)
    # At half of the steps the errors above may be twice as large.
    assert float(samples.std()) == pytest.approx(
        STD, rel=chance + 2 * TOLERANCES.get(name, 0.001)
    )


def langevin_law(
    sigmas: list[float], steps: int, ratio: float, mean: float, variance: float
) -> tuple[float, float]:
    """Mean and variance after annealed Langevin, then D, on N(m, v + sigma^2)."""
    for sigma in sigmas:
        step = ratio * sigma**2
        kept = 1 - step / (VARIANCE + sigma**2)  # the score is (m - x)/(v + sigma^2)
        for _ in range(steps):
            mean = kept * mean + (1 - kept) * MEAN
            variance = kept**2 * variance + 2 * step
    gain = 1 - sigmas[-1] ** 2 / (VARIANCE + sigmas[-1] ** 2)
    return MEAN + gain * (mean - MEAN), gain**2 * variance


@pytest.mark.parametrize(
    ("levels", "steps", "ratio"), [(10, 100, 0.1), (232, 5, 0.062), (100, 5, 0.1), (1, 7, 0.3)]
)
def test_annealed_langevin_is_its_own_recursion(levels: int, steps: int, ratio: float) -> None:
    sde = VEGeometric()
    sigmas = Geometric()(levels, sde)
    sampler = AnnealedLangevin(sde, levels, steps_per_level=steps, step_ratio=ratio)
    solver = affine_map(sampler, sigmas, draws_a_step=steps)
    start_mean, start_variance = 55.0, 321.0
    exact = langevin_law(sigmas[:-1].tolist(), steps, ratio, start_mean, start_variance)
    assert solver.mean(start_mean) == pytest.approx(exact[0], rel=1e-10)
    assert solver.variance(start_variance) == pytest.approx(exact[1], rel=1e-10)


def test_annealed_langevin_comes_near_the_data() -> None:
    """Many steps at a low level: variance 2 a/(1 - k^2), which is wider than the data."""
    sde = VEGeometric()
    sigmas = Geometric()(100, sde)
    sampler = AnnealedLangevin(sde, 100, steps_per_level=20, step_ratio=0.1)
    solver = affine_map(sampler, sigmas, draws_a_step=20)
    assert solver.mean(MEAN) == pytest.approx(MEAN, abs=1e-12)
    std = math.sqrt(solver.variance(VARIANCE + 100.0**2))
    assert std == pytest.approx(STD, rel=0.05)


def start_of(prior: Literal["published", "matched"], law: StartLaw, count: int) -> Tensor:
    sampler = DDIM(VPLinear(), 10, prior=prior)
    return sampler.start(3.0, law, GeneratorNoise((count, 2)))


@pytest.mark.parametrize("prior", ["published", "matched"])
def test_start_law(prior: Literal["published", "matched"]) -> None:
    """N(m, sigma^2), matched also with the data's variance, coordinate by coordinate, in x/s."""
    law = StartLaw(torch.tensor([5.0, -2.0]), torch.tensor([16.0, 0.25]))
    start = start_of(prior, law, 200_000)
    variance = torch.tensor([9.0, 9.0]) + (law.variance if prior == "matched" else 0)
    torch.testing.assert_close(
        start.mean(0).float(), law.mean, rtol=0, atol=4.5 * 5 / math.sqrt(200_000)
    )
    torch.testing.assert_close(start.var(0).float(), variance, rtol=0.02, atol=0)
    # Affine in the start noise, so that samplers, grids and N share it.
    noise = GeneratorNoise((200_000, 2)).prior()
    torch.testing.assert_close(start, law.mean + variance.double().sqrt() * noise)


@pytest.mark.parametrize("sde", SDES)
def test_a_matched_start_leaves_discretisation_alone(sde: str) -> None:
    sigmas = EDMRho()(60, SDES[sde])
    solver = affine_map(Heun(SDES[sde], 60), sigmas)
    matched = solver.variance(VARIANCE + float(sigmas[0]) ** 2)
    published = solver.variance(float(sigmas[0]) ** 2)
    assert published < matched
    assert published / matched == pytest.approx(1, abs=1e-3)


def test_the_call_starts_at_the_first_node() -> None:
    for prior, extra in (("published", 0.0), ("matched", VARIANCE)):
        sampler = DDIM(EDM(), 1, prior=prior)  # type: ignore[arg-type]
        sigmas = torch.tensor([2.0, 0.0], dtype=torch.float64)
        seen: dict[int, Tensor] = {}
        sampler(Gaussian(), sigmas, Gaussian.law, GeneratorNoise((50, 1)), seen.__setitem__)
        noise = GeneratorNoise((50, 1)).prior()
        torch.testing.assert_close(seen[0], MEAN + math.sqrt(4 + extra) * noise)
        torch.testing.assert_close(seen[1], Gaussian()(seen[0], 2.0))
        assert list(seen) == [0, 1]


def test_float32_data_stay_float32() -> None:
    law = StartLaw(torch.tensor([MEAN]), torch.tensor([VARIANCE]))

    class Noise:
        def prior(self) -> Tensor:
            return torch.randn(20, 1, generator=torch.Generator().manual_seed(0))

        next_increment = fresh = prior

    for name, make in SAMPLERS.items():
        sampler = make(SDES["vp_linear"], 5)
        sigmas = EDMRho()(sampler.num_steps, sampler.sde)
        assert sampler(Mixture(), sigmas, law, Noise()).dtype == torch.float32, name


def test_correctors_pull_towards_the_law() -> None:
    """A start that is far too wide comes closer with correctors than without."""
    sigmas = EDMRho()(30, EDM())
    wide = 9 * 80.0**2
    errors = []
    for count in (1, 4):
        sampler = PredictorCorrector(EDM(), 30, num_corrector_steps=count)
        solver = affine_map(sampler, sigmas, draws_a_step=1 + count)
        errors.append(abs(solver.mean(MEAN + 300) - MEAN) + abs(solver.slope) * math.sqrt(wide))
    assert errors[1] < errors[0]
