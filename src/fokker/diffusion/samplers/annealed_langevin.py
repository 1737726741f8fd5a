"""SMLD's annealed Langevin dynamics."""

from collections.abc import Iterator
from math import inf, sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE


@final
class AnnealedLangevin(Sampler):
    """T Langevin steps at each level, `x += a score + sqrt(2 a) n`, `a = r sigma_i^2`.

    Song & Ermon 2019, algorithm 1, with their final denoising step `x += sigma_L^2 score` (Song &
    Ermon 2020, algorithm 1). It takes T evaluations a level and 1 at the end.

    Args:
        steps_per_level: T; NCSN has 100 with 10 levels, NCSNv2 5 with 232.
        step_ratio: r; NCSN has 0.1, NCSNv2 0.062.
        sde, num_steps, prior: see `Sampler`; num_steps is the number of levels.
    Raises:
        ValueError: if T is below 1 or r not in (0, 1).
    """

    needs_levels = True

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        steps_per_level: int = 5,
        step_ratio: float = 0.1,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if steps_per_level < 1:
            raise ValueError(f"sampler.steps_per_level must be at least 1, got {steps_per_level}")
        if not 0 < step_ratio < 1:
            raise ValueError(f"sampler.step_ratio must be in (0, 1), got {step_ratio:g}")
        self.steps_per_level, self.step_ratio = steps_per_level, float(step_ratio)

    @property
    def is_deterministic(self) -> bool:
        return False

    def members(self, nodes: Nodes) -> list[float]:
        # It comes to equilibrium at each level and so forgets its start.
        return [inf] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            sigma = nodes.sigma[i]
            spread = sqrt(2 * self.step_ratio) * sigma
            for _ in range(self.steps_per_level):
                # a score = r sigma^2 (D - y)/sigma^2.
                y = y + self.step_ratio * (denoise(y, sigma) - y) + spread * noise.fresh()
            if nodes.is_last(i):
                y = denoise(y, sigma)
            yield y
