"""DDIM, from deterministic to ancestral."""

from collections.abc import Iterator
from math import sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE


def posterior_variance(sigma_t: float, sigma_s: float) -> float:
    """Return the variance of y_s given y_t and x0.

    It is `v = sigma_s^2 (sigma_t^2 - sigma_s^2)/sigma_t^2`.
    """
    return sigma_s**2 * (sigma_t**2 - sigma_s**2) / sigma_t**2


@final
class DDIM(Sampler):
    """`y_s = D + sqrt(sigma_s^2 - eta^2 v) (y - D)/sigma_t + eta sqrt(v) n` (DDIM, eq. 12).

    The order is 1. eta = 0 is Euler's method in sigma, eta = 1 ancestral sampling with the small
    variance; v is the posterior's variance.

    Args:
        eta: the share of the posterior's noise, 0 to 1.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if eta is not in [0, 1].
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        eta: float = 0.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not 0 <= eta <= 1:
            raise ValueError(f"sampler.eta must be in [0, 1] for ddim, got {eta:g}")
        self.eta = float(eta)

    @property
    def is_deterministic(self) -> bool:
        return self.eta == 0

    def members(self, nodes: Nodes) -> list[float]:
        return [self.eta] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            sigma, lower = nodes.sigma[i], nodes.sigma[i + 1]
            denoised = denoise(y, sigma)
            variance = self.eta**2 * posterior_variance(sigma, lower)
            y = denoised + (sqrt(lower**2 - variance) / sigma) * (y - denoised)
            if variance > 0:
                y = y + sqrt(variance) * noise.next_increment()
            yield y
