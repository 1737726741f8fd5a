"""DPM-Solver++(2M), deterministic and stochastic."""

from collections.abc import Iterator
from math import exp, expm1, log, sqrt
from typing import Literal, final

from torch import Tensor

from fokker.diffusion.samplers.base import Denoise, Nodes, Noise, Sampler
from fokker.diffusion.sde import SDE


def extrapolated(denoised: Tensor, previous: Tensor | None, h: float, h_1: float) -> Tensor:
    """Return `D + h/(2 h_1) (D - D_1)`, or D itself in the first step."""
    return denoised if previous is None else denoised + h / (2 * h_1) * (denoised - previous)


@final
class DPMpp2M(Sampler):
    """`y_s = (sigma_s/sigma_t) y + (1 - e^{-h}) (D + h/(2 h_1) (D - D_1))`.

    `h = ln(sigma_t/sigma_s)`, D_1 the previous D, h_1 the previous h (Lu 2022, DPM-Solver++,
    algorithm 2). The order is 2, with one evaluation a step.
    """

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        previous, h_1 = None, 0.0
        for i in range(len(nodes)):
            sigma, lower = nodes.sigma[i], nodes.sigma[i + 1]
            denoised = denoise(y, sigma)
            if nodes.is_last(i):
                y = denoised
            else:
                h = log(sigma / lower)
                y = lower / sigma * y - expm1(-h) * extrapolated(denoised, previous, h, h_1)
                previous, h_1 = denoised, h
            yield y


@final
class DPMpp2MSDE(Sampler):
    """`y_s = (sigma_s/sigma_t) e^{-eta h} y + (1 - e^{-(1+eta) h}) (...) + noise`.

    The bracket is that of `DPMpp2M`, the noise `sigma_s sqrt(1 - e^{-2 eta h}) n` (Lu 2022,
    DPM-Solver++, SDE variant, for eta = 1). eta = 0 is `DPMpp2M`. The order is 2 in mean and
    variance.

    Args:
        eta: the amount of noise, not negative.
        sde, num_steps, prior: see `Sampler`.
    Raises:
        ValueError: if eta is negative.
    """

    def __init__(
        self,
        sde: SDE,
        num_steps: int = 100,
        eta: float = 1.0,
        prior: Literal["published", "matched"] = "published",
    ) -> None:
        super().__init__(sde, num_steps, prior)
        if not eta >= 0:
            raise ValueError(f"sampler.eta must not be negative, got {eta:g}")
        self.eta = float(eta)

    @property
    def is_deterministic(self) -> bool:
        return self.eta == 0

    def members(self, nodes: Nodes) -> list[float]:
        return [sqrt(self.eta)] * (len(nodes) - 1)

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        previous, h_1 = None, 0.0
        for i in range(len(nodes)):
            sigma, lower = nodes.sigma[i], nodes.sigma[i + 1]
            denoised = denoise(y, sigma)
            if nodes.is_last(i):
                y = denoised
            else:
                h = log(sigma / lower)
                y = lower / sigma * exp(-self.eta * h) * y - expm1(
                    -(1 + self.eta) * h
                ) * extrapolated(denoised, previous, h, h_1)
                if self.eta > 0:
                    spread = lower * sqrt(-expm1(-2 * self.eta * h))
                    y = y + spread * noise.next_increment()
                previous, h_1 = denoised, h
            yield y
