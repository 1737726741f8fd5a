"""Rectified flow: a straight line from data to noise."""

from typing import final

from torch import Tensor

from fokker.diffusion.sde.base import SDE, times


@final
class Rectified(SDE):
    """`x_t = (1 - t) x0 + t n`: `s = 1 - t`, `sigma = t/(1 - t)`, for t below 1.

    Args:
        sigma_min, sigma_max: sampling range; null: 0.002 and 80.
    Raises:
        ValueError: if the range is reversed or not positive.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        super().__init__(
            0.002 if sigma_min is None else sigma_min, 80.0 if sigma_max is None else sigma_max
        )

    def scale(self, t: float | Tensor) -> Tensor:
        return 1 - times(t)

    def sigma(self, t: float | Tensor) -> Tensor:
        return times(t) / (1 - times(t))

    def time(self, sigma: float | Tensor) -> Tensor:
        return times(sigma) / (1 + times(sigma))

    def drift(self, t: float | Tensor) -> Tensor:
        return -1 / (1 - times(t))

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return 2 * times(t) / (1 - times(t))

    def velocity(self, t: float | Tensor) -> tuple[float, float]:
        """Return (a, b) of `dx/dt = (x - D)/t`; the general terms are infinite towards t = 1."""
        return 1 / float(t), -1 / float(t)
