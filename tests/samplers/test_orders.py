"""Measured orders between two noise levels above 0; the step to 0 is never part of it."""

import math
from collections.abc import Callable

import pytest
import torch
from exact_cases import (
    MEAN,
    SAMPLERS,
    VARIANCE,
    Affine,
    Mixture,
    affine_map,
    flow_error,
    measured_order,
)
from torch import Tensor

from fokker.diffusion.samplers import (
    DDIM,
    Adams,
    Ancestral,
    DPMpp2MSDE,
    EDMStochastic,
    EulerMaruyama,
    ODEAdaptive,
    ReverseDiffusion,
    Sampler,
)
from fokker.diffusion.sde import SDE
from sdes import SDES

STEPS = [64, 128, 256]
#: High enough that the first step of a multistep solver, with D alone, costs nothing.
HIGH, LOW = 40.0, 0.05
#: Near the data's scale, where D varies from the first step on.
NEAR = (3.0, 0.3)


def geometric(num_steps: int, high: float = HIGH, low: float = LOW) -> Tensor:
    """num_steps transitions from high to low, and a last one to 0 to be ignored."""
    ends = math.log(high), math.log(low)
    sigmas = torch.linspace(*ends, num_steps + 1, dtype=torch.float64).exp()
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


def power(num_steps: int) -> Tensor:
    """As EDM's grid."""
    ends = HIGH ** (1 / 7), LOW ** (1 / 7)
    sigmas = torch.linspace(*ends, num_steps + 1, dtype=torch.float64) ** 7
    return torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])


@pytest.mark.one_in(3)
@pytest.mark.parametrize("grid", [geometric, power])
@pytest.mark.parametrize(
    ("name", "sde", "order"),
    [
        ("euler", "vp_linear", 1),
        ("euler", "vp_cosine", 1),
        ("euler", "ve_geometric", 1),
        ("euler", "rectified", 1),
        ("ddim", "vp_linear", 1),
        ("heun", "vp_linear", 2),
        ("heun", "edm", 2),
        ("heun", "rectified", 2),
        ("midpoint", "vp_cosine", 2),
        ("midpoint", "ve_geometric", 2),
        ("ralston", "sub_vp", 2),
        ("ralston", "edm", 2),
        ("dpmpp_2m", "vp_linear", 2),
        ("dpmpp_3m", "vp_linear", 3),
    ],
)
def test_deterministic_solvers_on_a_mixture(
    name: str, sde: str, order: int, grid: Callable[[int], Tensor]
) -> None:
    make, mixture = SAMPLERS[name], Mixture()
    errors = [flow_error(make(SDES[sde], n + 1), grid(n), mixture) for n in STEPS]
    assert measured_order(STEPS, errors) == pytest.approx(order, abs=0.1)
    assert errors[-1] < {1: 0.03, 2: 5e-4, 3: 2e-6}[order]


def two_stds(sde: SDE, num_steps: int) -> Adams:
    return Adams(sde, num_steps, stds=[0.5, 0.1])


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    ("name", "sde", "order"),
    [
        ("euler", "vp_linear", 1),
        ("euler", "ve_geometric", 1),
        ("ddim", "edm", 1),
        ("heun", "vp_linear", 2),
        ("midpoint", "edm", 2),
        ("ralston", "edm", 2),
        ("dpmpp_2m", "edm", 2),
        ("dpmpp_3m", "edm", 3),
        ("adams", "edm", 2),
        ("adams_two_stds", "edm", 3),
    ],
)
def test_deterministic_solvers_from_a_noise_near_the_scale_of_the_data(
    name: str, sde: str, order: int
) -> None:
    """Where a first step of a lower order is not for nothing: 3M's own gave order 1.9."""
    make, mixture = {**SAMPLERS, "adams_two_stds": two_stds}[name], Mixture()
    errors = [flow_error(make(SDES[sde], n + 1), geometric(n, *NEAR), mixture) for n in STEPS]
    assert measured_order(STEPS, errors) == pytest.approx(order, abs=0.15)
    assert errors[-1] < {1: 0.005, 2: 1e-5, 3: 6e-8}[order]


def test_the_adaptive_solver_is_of_order_5_near_the_scale_of_the_data() -> None:
    """Against its evaluations, which a tolerance chooses."""
    evaluations, errors = [], []
    for tolerance in (1e-10, 1e-12):
        mixture = Mixture()
        sampler = ODEAdaptive(SDES["edm"], rtol=tolerance, atol=tolerance)
        errors.append(flow_error(sampler, geometric(1, *NEAR), mixture))
        evaluations.append(mixture.rows)
    assert measured_order(evaluations, errors) == pytest.approx(5, abs=0.5)


def maps(
    make: Callable[[SDE, int], Sampler], sde: str, high: float = HIGH, low: float = LOW
) -> list[Affine]:
    grids = {n: geometric(n, high, low) for n in STEPS}
    return [affine_map(make(SDES[sde], n + 1), grids[n], transitions=n) for n in STEPS]


def contraction(c_squared: float) -> float:
    """Of the mean, along the family dx = [f x - (1 + c^2)/2 g^2 score] dt + c g dw."""
    return float(((VARIANCE + LOW**2) / (VARIANCE + HIGH**2)) ** ((1 + c_squared) / 2))


#: A start mean off the law's own: at the law's own mean some errors vanish.
OFF = 2 * HIGH

STOCHASTIC: dict[str, tuple[Callable[[SDE, int], Sampler], str, int]] = {
    "ancestral_small": (lambda sde, n: Ancestral(sde, n), "vp_linear", 1),
    "ancestral_large": (lambda sde, n: Ancestral(sde, n, variance=1.0), "vp_linear", 1),
    "ancestral_large_ve": (lambda sde, n: Ancestral(sde, n, variance=1.0), "edm", 1),
    "ancestral_between": (lambda sde, n: Ancestral(sde, n, variance=0.5), "sub_vp", 1),
    "ddim_1": (lambda sde, n: DDIM(sde, n, eta=1.0), "edm", 1),
    "ddim_half": (lambda sde, n: DDIM(sde, n, eta=0.5), "vp_linear", 1),
    "euler_maruyama_half": (lambda sde, n: EulerMaruyama(sde, n, c=0.5), "vp_linear", 1),
    "euler_maruyama_1": (lambda sde, n: EulerMaruyama(sde, n, c=1.0), "vp_linear", 1),
    "euler_maruyama_1.5": (lambda sde, n: EulerMaruyama(sde, n, c=1.5), "vp_linear", 1),
    "euler_maruyama_half_ve": (lambda sde, n: EulerMaruyama(sde, n, c=0.5), "edm", 1),
    "euler_maruyama_1_ve": (lambda sde, n: EulerMaruyama(sde, n, c=1.0), "edm", 1),
    "euler_maruyama_1.5_ve": (lambda sde, n: EulerMaruyama(sde, n, c=1.5), "edm", 1),
    "reverse_diffusion": (lambda sde, n: ReverseDiffusion(sde, n), "vp_linear", 1),
    "reverse_diffusion_ve": (lambda sde, n: ReverseDiffusion(sde, n), "ve_geometric", 1),
    "2m_sde": (lambda sde, n: DPMpp2MSDE(sde, n), "vp_linear", 2),
    "2m_sde_half": (lambda sde, n: DPMpp2MSDE(sde, n, eta=0.5), "edm", 2),
    "2m_sde_large": (lambda sde, n: DPMpp2MSDE(sde, n, eta=1.5), "edm", 2),
    "edm_stochastic": (
        lambda sde, n: EDMStochastic(sde, n, S_churn=10.0, S_min=0.0, S_max=100.0), "edm", 2,
    ),
    "edm_stochastic_vp": (
        lambda sde, n: EDMStochastic(sde, n, S_churn=10.0, S_min=0.0, S_max=100.0), "vp_linear", 2,
    ),
}  # fmt: skip


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("high", "low"), [(HIGH, LOW), NEAR], ids=["far", "near"])
@pytest.mark.parametrize("name", STOCHASTIC)
def test_variance_of_stochastic_solvers_on_a_gaussian(name: str, high: float, low: float) -> None:
    make, sde, order = STOCHASTIC[name]
    exact = VARIANCE + low**2
    results = [solver.variance(VARIANCE + high**2) for solver in maps(make, sde, high, low)]
    errors = [abs(result / exact - 1) for result in results]
    assert measured_order(STEPS, errors) == pytest.approx(order, abs=0.15)
    assert errors[-1] < {1: 0.04, 2: 1e-3}[order]


@pytest.mark.parametrize(
    ("name", "c_squared"),
    [
        ("ddim_half", 0.25),
        ("euler_maruyama_half", 0.25),
        ("euler_maruyama_1.5", 2.25),
        ("euler_maruyama_half_ve", 0.25),
        ("euler_maruyama_1_ve", 1.0),
        ("reverse_diffusion", 1.0),
        ("2m_sde_half", 0.5),
        ("2m_sde_large", 1.5),
    ],
)
def test_mean_of_stochastic_solvers_on_a_gaussian(name: str, c_squared: float) -> None:
    make, sde, order = STOCHASTIC[name]
    exact = MEAN + OFF * contraction(c_squared)
    errors = [abs(solver.mean(MEAN + OFF) - exact) for solver in maps(make, sde)]
    assert measured_order(STEPS, errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("name", ["ancestral_small", "ancestral_large", "ddim_1", "2m_sde"])
def test_mean_of_posterior_solvers_is_exact(name: str) -> None:
    make, sde, _ = STOCHASTIC[name]
    exact = MEAN + OFF * contraction(1)
    for solver in maps(make, sde):
        assert solver.mean(MEAN + OFF) == pytest.approx(exact, abs=1e-11)


@pytest.mark.parametrize("name", ["edm_stochastic", "edm_stochastic_vp"])
def test_mean_of_edm_stochastic(name: str) -> None:
    """Adding noise leaves the mean; between the raised and the next noise it follows the ODE."""
    make, sde, _ = STOCHASTIC[name]
    errors = []
    for num_steps, solver in zip(STEPS, maps(make, sde)):
        sigmas = geometric(num_steps)[:-1]
        raised = sigmas[:-1] * (1 + 10 / (num_steps + 1))
        factors = ((VARIANCE + sigmas[1:] ** 2) / (VARIANCE + raised**2)).sqrt()
        errors.append(abs(solver.mean(MEAN + OFF) - (MEAN + OFF * float(factors.prod()))))
    assert measured_order(STEPS, errors) == pytest.approx(2, abs=0.2)
