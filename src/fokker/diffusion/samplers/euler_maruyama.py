"""Euler-Maruyama on the family of SDEs with the same marginals."""

from collections.abc import Iterator
from math import inf, sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE


@final
class EulerMaruyama(Sampler):
    """`dx = [f x - (1 + c^2)/2 g^2 score] dt + c g dw`, dt < 0, in the SDE's own t and x_t.

    All members have the same marginals: c = 0 is the probability-flow ODE, c = 1 the reverse SDE
    (Song 2021, eq. 6 and 13; Anderson 1982). The weak order is 1.

    Args:
        c: the amount of noise, any finite c >= 0.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if c is negative or infinite.
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        c: float = 1.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not 0 <= c < inf:
            raise ValueError(f"sampler.c must not be negative or infinite, got {c:g}")
        self.c = float(c)

    @property
    def is_deterministic(self) -> bool:
        return self.c == 0

    def members(self, nodes: Nodes) -> list[float]:
        return [self.c] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        for i in range(len(nodes)):
            denoised = denoise(y, nodes.sigma[i])
            if nodes.is_last(i):
                y = denoised
            else:
                t, s, sigma = nodes.t[i], nodes.s[i], nodes.sigma[i]
                h = nodes.t[i + 1] - t
                f, g = float(self.sde.drift(t)), float(self.sde.diffusion(t))
                x = s * y
                score = (denoised - y) / (s * sigma**2)
                x = x + h * (f * x - (1 + self.c**2) / 2 * g**2 * score)
                if self.c > 0:
                    x = x + self.c * g * sqrt(-h) * noise.next_increment()
                y = x / nodes.s[i + 1]
            yield y
