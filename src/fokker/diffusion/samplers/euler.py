"""Euler's method."""

from collections.abc import Iterator
from typing import final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler


@final
class Euler(Sampler):
    """Euler's method on the probability-flow ODE, in the SDE's own t and x_t.

    The order is 1. With sde=edm it is DDIM with eta = 0 (Song 2021, eq. 13; Karras 2022, eq. 81).
    """

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            denoised = denoise(y, nodes.sigma[i])
            if nodes.is_last(i):
                y = denoised
            else:
                a, b = self.sde.velocity(nodes.t[i])
                h = nodes.t[i + 1] - nodes.t[i]
                x = nodes.s[i] * y
                y = (x + h * (a * x + b * denoised)) / nodes.s[i + 1]
            yield y
