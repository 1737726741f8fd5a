"""A finite data set known by heart: its exact denoiser, and what sampling with it gives back."""

from typing import final

import pytest
import torch
from torch import Tensor

from fokker.diffusion.grids import EDMRho
from fokker.diffusion.samplers import Heun
from fokker.diffusion.samplers.base import StartLaw
from fokker.diffusion.sde import EDM, SDE, VPCosine
from fokker.distributions import Empirical, Gaussian
from fokker.metrics import NearestNeighbourRatio

SIGMA = 0.002


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2, 8])
def test_no_underflow_at_the_lowest_noise(dim: int) -> None:
    points = 1.5 + 0.7 * normal(60, dim, seed=dim)
    law = Empirical(points)
    near = points + SIGMA * normal(60, dim, seed=1)
    # From afar exp(-|x - x_i|^2 / 2 sigma^2) itself is 0 for every point.
    direction = normal(60, dim, seed=2)
    far = law.mean + 300 * direction / direction.norm(dim=1, keepdim=True)
    for x in (near, far):
        squares = ((x[:, None] - points) ** 2).sum(dim=2)
        assert (float((-squares / (2 * SIGMA**2)).exp().max()) == 0) is (x is far)
        lowest, second = squares.sort(dim=1).values[:, :2].unbind(dim=1)
        alone = second - lowest > 2 * 40 * SIGMA**2
        assert int(alone.sum()) > 20
        denoised = law.denoise(x, SIGMA)
        assert denoised.isfinite().all()
        assert law.score(x, SIGMA).isfinite().all()
        assert law.log_prob(x, SIGMA).isfinite().all()
        nearest = points[squares.argmin(dim=1)]
        assert float((denoised - nearest)[alone].abs().max()) < 1e-9


@final
class Start:
    """The start's normal numbers; a deterministic solver asks for nothing else."""

    def __init__(self, normal: Tensor) -> None:
        self._normal = normal

    def prior(self) -> Tensor:
        return self._normal

    def next_increment(self) -> Tensor:
        raise AssertionError("Heun is deterministic")

    fresh = next_increment


@pytest.mark.parametrize(
    "sde", [EDM(), VPCosine(sigma_min=0.002)], ids=lambda sde: type(sde).__name__
)
def test_the_flow_lands_on_training_points(sde: SDE) -> None:
    data = Gaussian([1.3, -0.5, 0.0, 2.0], 0.6)
    generator = torch.Generator().manual_seed(0)
    training, held_out = data.sample(80, generator), data.sample(400, generator)
    assert float(torch.pdist(training).min()) > 50 * SIGMA
    law = Empirical(training)
    sampler = Heun(sde=sde, num_steps=50, prior="matched")
    samples = sampler(
        law.denoise,
        EDMRho()(50, sde),
        StartLaw(law.mean, law.variance),
        Start(normal(1_000, 4, seed=5)),
    )
    distance, index = torch.cdist(samples, training).min(dim=1)
    assert float(distance.max()) < 1e-3
    # Every point is reached, each about as often as another.
    assert int(torch.bincount(index, minlength=80).min()) > 0
    ratio = NearestNeighbourRatio(training, held_out)
    ratio.update(samples)
    assert float(ratio.compute()) < 1e-3
    fresh = NearestNeighbourRatio(training, held_out)
    fresh.update(data.sample(1_000, generator))
    assert float(fresh.compute()) == pytest.approx(1.0, abs=0.1)
