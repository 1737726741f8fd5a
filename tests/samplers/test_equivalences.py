"""Solvers that are the same under other names."""

from collections.abc import Callable

import pytest
import torch
from exact_cases import GeneratorNoise, Mixture, states
from torch import Tensor

from fokker.diffusion.grids import EDMRho
from fokker.diffusion.samplers import (
    DDIM,
    Adams,
    Ancestral,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EDMStochastic,
    Euler,
    EulerMaruyama,
    Heun,
    Sampler,
)
from fokker.diffusion.sde import EDM, SDE
from sdes import SDES

SHAPE = (40, 2)


def path(sampler: Sampler, sigmas: Tensor) -> Tensor:
    """Every state in y on the mixture, (N, n, 2), always from the same start and noise."""
    start = 0.73 + float(sigmas[0]) * GeneratorNoise(SHAPE, seed=1).prior()
    noise = GeneratorNoise(SHAPE, seed=2)
    return torch.stack(list(states(sampler, sigmas, Mixture(), start, noise)))


def close(first: Tensor, second: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


each_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)


@each_sde
def test_ddim_with_eta_1_is_ancestral_with_the_small_variance(sde: SDE) -> None:
    sigmas = EDMRho()(12, sde)
    close(path(DDIM(sde, 12, eta=1.0), sigmas), path(Ancestral(sde, 12), sigmas))


@each_sde
def test_ddim_with_eta_0_is_eulers_method_in_sigma(sde: SDE) -> None:
    sigmas = EDMRho()(12, sde)
    close(path(DDIM(sde, 12), sigmas), path(Euler(EDM(), 12), sigmas))


@each_sde
def test_2m_sde_with_eta_0_is_2m(sde: SDE) -> None:
    sigmas = EDMRho()(12, sde)
    close(path(DPMpp2MSDE(sde, 12, eta=0.0), sigmas), path(DPMpp2M(sde, 12), sigmas))


@each_sde
def test_euler_maruyama_with_c_0_is_eulers_method(sde: SDE) -> None:
    sigmas = EDMRho()(12, sde)
    # Towards t = 1 of `rectified` the terms of the general form are 80 times the sum.
    tolerance = 1e-10 if sde is SDES["rectified"] else 1e-12
    close(path(EulerMaruyama(sde, 12, c=0.0), sigmas), path(Euler(sde, 12), sigmas), tolerance)


@each_sde
@pytest.mark.parametrize("alpha", [1.0, 0.5, 2 / 3])
def test_edm_stochastic_without_churn_is_heun(sde: SDE, alpha: float) -> None:
    sigmas, heun = EDMRho()(12, sde), Heun(sde, 12, alpha=alpha)
    close(path(EDMStochastic(sde, 12, S_churn=0.0, alpha=alpha), sigmas), path(heun, sigmas))
    none = EDMStochastic(sde, 12, S_churn=40.0, S_min=200.0, S_max=300.0, alpha=alpha)
    close(path(none, sigmas), path(heun, sigmas))


@pytest.mark.parametrize(
    "make",
    [
        lambda sde: DDIM(sde, 12),
        lambda sde: DDIM(sde, 12, eta=0.7),
        lambda sde: DPMpp2M(sde, 12),
        lambda sde: DPMpp2MSDE(sde, 12, eta=0.7),
        lambda sde: DPMpp3M(sde, 12),
        lambda sde: Adams(sde, 12),
        lambda sde: Ancestral(sde, 12),
    ],
)
def test_some_paths_in_x_over_s_are_those_of_every_sde(make: Callable[[SDE], Sampler]) -> None:
    """VP and VE alike: the solvers in y know no s and no t."""
    sigmas = EDMRho(sigma_min=0.03, sigma_max=70.0)(12, EDM())
    first, *others = (path(make(sde), sigmas) for sde in SDES.values())
    for other in others:
        close(other, first)
