"""A way to sample a denoiser: a solver over the points of a grid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from fokker.data import StandardizedData
from fokker.diffusion.analysis.gaussian_errors import exact_distances
from fokker.diffusion.analysis.model import Model
from fokker.diffusion.samplers import GivenStart, Noise, Sampler, spread_quantiles
from fokker.formulation import Drawn, Way
from fokker.machine.device import moved
from fokker.randomness import Randomness, SamplingNoise

PATH_PANELS = 6


@final
@dataclass(frozen=True, kw_only=True)
class SamplerWay(Way):
    """A sampler that walks along grid points, from the highest noise to 0.

    Attributes:
        model: the model whose denoiser each step calls.
        sampler: the solver.
        nodes: the grid points, which are noise levels, (N + 1,), float64.
        fitted: a callable that gives the points of the same grid for another N.
        is_random: whether it starts at random; otherwise it starts at evenly spread quantiles of
            its prior, in one dimension.
    Raises:
        ValueError: if a stochastic sampler is to start at quantiles.
    """

    target: StandardizedData
    model: Model
    sampler: Sampler
    nodes: Tensor
    fitted: Callable[[int], Tensor]

    def __post_init__(self) -> None:
        if not self.is_random and not self.sampler.is_deterministic:
            raise ValueError(
                "evaluation.noise=quantiles needs a deterministic sampler, got "
                f"sampler={self.name}, which draws noise; choose one such as sampler=heun or "
                "dpmpp_2m, or evaluation.noise=random"
            )

    @torch.no_grad()
    def sample(
        self,
        randomness: Randomness,
        start: int,
        stop: int,
        count: int,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Drawn:
        noise: Noise
        model, shape, steps = self.model, self.target.shape, len(self.nodes) - 1
        if self.is_random:
            noise = SamplingNoise(randomness, start, stop, shape, steps, model.device)
        else:
            u = spread_quantiles(start, stop, count)
            normal = torch.special.ndtri(u).reshape(-1, *shape)
            noise = GivenStart(moved(normal, model.device))
        before = model.denoiser.evaluations
        x = self.sampler(model.denoiser, self.nodes, model.start_law, noise, watch)
        return Drawn(x, model.denoiser.evaluations - before)

    def with_steps(self, num_steps: int) -> "SamplerWay":
        return replace(self, nodes=self.fitted(num_steps))

    def exact(self) -> Mapping[str, float]:
        return exact_distances(self.model, self.sampler, self.nodes)

    @property
    def from_quantiles(self) -> "SamplerWay":
        """Return the same way from quantiles of the prior; stochastic samplers start at random."""
        return replace(self, is_random=not self.sampler.is_deterministic)

    @property
    def num_steps(self) -> int | None:
        return None if self.sampler.adaptive else len(self.nodes) - 1

    @property
    def places(self) -> Sequence[float]:
        return self.nodes.tolist()

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.nodes[0]), float(self.nodes[-2])

    @property
    def shown(self) -> Sequence[int]:
        """Return the start, the end, and points where the noise is about as large as the data."""
        spread = torch.logspace(0.75, -1, PATH_PANELS - 2, dtype=self.nodes.dtype)
        targets = self.target.sigma_data * spread
        nearest = {int((self.nodes / target).log().abs().argmin()) for target in targets}
        return sorted(nearest | {0, len(self.nodes) - 1})
