"""Solvers against diffusers' schedulers, on one grid with one denoiser from one start."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from exact_cases import GeneratorNoise, Mixture, NoNoise, states
from torch import Tensor

from fokker.diffusion.grids import EDMRho
from fokker.diffusion.samplers import DDIM, DPMpp2M, Heun, Sampler
from fokker.diffusion.sde import EDM

N = 20


@pytest.fixture(scope="module")
def diffusers() -> Iterator[Any]:
    """Imported for these tests alone, which takes seconds, and without its hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield pytest.importorskip("diffusers")


def start() -> Tensor:
    return 0.73 + 80 * GeneratorNoise((40, 2), seed=1).prior()


def ours(sampler: Sampler) -> Tensor:
    *_, end = states(sampler, EDMRho()(N, EDM()), Mixture(), start(), NoNoise())
    return end


def edm_loop(scheduler: Any) -> Tensor:
    """As diffusers' pipelines do it, on the scheduler's own levels, EDM's as they are published.

    The model's output is F, of D = c_skip x + c_out F.
    """
    scheduler.set_timesteps(N)
    x = start()
    for i, t in enumerate(scheduler.timesteps):
        scaled, sigma = scheduler.scale_model_input(x, t), scheduler.sigmas[i].double()
        total = sigma**2 + 0.25
        torch.testing.assert_close(scaled, x / total.sqrt(), rtol=1e-6, atol=1e-6)
        output = (Mixture()(x, sigma) - 0.25 / total * x) * total.sqrt() / (0.5 * sigma)
        x = scheduler.step(output, t, x, return_dict=False)[0]
    return x


def test_2m(diffusers: Any) -> None:
    """With its levels in float32; both take D as the step to 0."""
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(solver_order=2)
    torch.testing.assert_close(edm_loop(scheduler), ours(DPMpp2M(EDM())), rtol=0, atol=1e-5)


def test_euler(diffusers: Any) -> None:
    """With its levels and states in float32."""
    torch.testing.assert_close(
        edm_loop(diffusers.EDMEulerScheduler()), ours(DDIM(EDM())), rtol=0, atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_heun(diffusers: Any) -> None:
    """On our levels in float64, as each but the first is visited twice."""
    scheduler, nodes = diffusers.HeunDiscreteScheduler(prediction_type="sample"), EDMRho()(N, EDM())
    scheduler.set_timesteps(N)
    scheduler.set_begin_index(0)
    scheduler.sigmas = torch.cat([nodes[:1], nodes[1:-1].repeat_interleave(2), nodes[-1:]])
    x = start()
    for i, t in enumerate(scheduler.timesteps):
        denoised = Mixture()(x, scheduler.sigmas[i])
        x = scheduler.step(denoised, t, x, return_dict=False)[0]
    torch.testing.assert_close(x, ours(Heun(EDM())), rtol=0, atol=1e-11)
