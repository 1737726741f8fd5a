"""Two interleaved half circles."""

import math

import torch
from torch import Tensor

from fokker.distributions.curve import Curve


def two_moons(std: float) -> Curve:
    """Half circles of radius 1, `(cos a, sin a)` and `(1 - cos a, 1/2 - sin a)`, a in [0, pi], and
    N(0, std^2 I) on them.

    Each moon with probability 1/2 and a uniform, so uniform in arc length: scikit-learn's
    make_moons, but for the moon being drawn at random.

    Args:
        std: of the noise, at least 0.

    Raises:
        ValueError: std is negative or not finite.
    """
    return Curve(_position, [k * math.pi / 3 for k in range(7)], std)


def _position(parameter: Tensor) -> Tensor:
    """The upper moon on [0, pi), the lower one on [pi, 2 pi]."""
    upper = parameter < math.pi
    cos, sin = parameter.cos(), parameter.sin()
    # cos(a + pi) = -cos a turns the lower moon's formula into this one.
    return torch.stack((torch.where(upper, cos, 1 + cos), torch.where(upper, sin, 0.5 + sin)), -1)
