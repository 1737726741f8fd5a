"""Ancestral sampling of a chain."""

from collections.abc import Iterator
from math import sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.samplers.ddim import posterior_variance
from fokker.diffusion.sde import SDE


@final
class Ancestral(Sampler):
    """The chain's posterior with D in place of x0 (Ho 2020, eq. 6, 7 and 11).

    In y between any two levels the mean is `D + (sigma_s/sigma_t)^2 (y - D)`. The variance lies
    between `small`, the posterior's, and `large`, the forward kernel's `(s_t/s_s)^2 (sigma_t^2 -
    sigma_s^2)`, interpolated in the log. The order is 1. The last step has no noise.

    Args:
        variance: 0 is small (exact for a point), 1 is large (exact for N(0, 1) data on VP).
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if variance is not in [0, 1].
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        variance: float = 0.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not 0 <= variance <= 1:
            raise ValueError(f"sampler.variance must be in [0, 1], got {variance:g}")
        self.variance = float(variance)

    @property
    def is_deterministic(self) -> bool:
        return False

    def members(self, nodes: Nodes) -> list[float]:
        return [1.0] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            sigma, lower = nodes.sigma[i], nodes.sigma[i + 1]
            denoised = denoise(y, sigma)
            y = denoised + (lower / sigma) ** 2 * (y - denoised)
            if lower > 0:
                small = posterior_variance(sigma, lower)
                large = (nodes.s[i] / nodes.s[i + 1]) ** 2 * (sigma**2 - lower**2)
                variance = small ** (1 - self.variance) * large**self.variance
                y = y + sqrt(variance) * noise.next_increment()
            yield y
