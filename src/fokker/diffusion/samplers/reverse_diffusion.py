"""Song's reverse diffusion sampler."""

from collections.abc import Iterator
from math import sqrt
from typing import final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler


def reverse_diffusion_step(
    y: Tensor, denoised: Tensor, nodes: Nodes, i: int, noise: Noise
) -> Tensor:
    """Take the step from grid point i to i + 1, in y; see `ReverseDiffusion`."""
    if nodes.is_last(i):
        return denoised
    s, sigma, s_next = nodes.s[i], nodes.sigma[i], nodes.s[i + 1]
    kept = s / s_next
    added = s**2 * (sigma**2 - nodes.sigma[i + 1] ** 2)
    score = (denoised - y) / (s * sigma**2)
    x = (2 - kept) * (s * y) + added * score + sqrt(added) * noise.next_increment()
    return x / s_next


@final
class ReverseDiffusion(Sampler):
    """`x_s = (2 - A) x + B^2 score + B n`, of the forward chain `x_t = A x_s + B n`.

    `A = s_t/s_s`, `B^2 = s_t^2 (sigma_t^2 - sigma_s^2)`: on VP `(2 - sqrt(1 - b)) x + b score +
    sqrt(b) n`, on VE `x + (sigma_t^2 - sigma_s^2) score + ...` (Song 2021, eq. 46 and appendix
    E). The order is 1.
    """

    @property
    def is_deterministic(self) -> bool:
        return False

    def members(self, nodes: Nodes) -> list[float]:
        return [1.0] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            y = reverse_diffusion_step(y, denoise(y, nodes.sigma[i]), nodes, i, noise)
            yield y
