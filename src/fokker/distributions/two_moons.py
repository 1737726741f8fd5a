"""Two interleaved half circles."""

import math

import torch
from torch import Tensor

from fokker.distributions.curve import Curve


def two_moons(std: float) -> Curve:
    """Return two half circles of radius 1 with noise N(0, std^2 I) on them.

    They are `(cos a, sin a)` and `(1 - cos a, 1/2 - sin a)`, a in [0, pi]. Each moon has
    probability 1/2 and a is uniform, so points are uniform in arc length. This is scikit-learn's
    make_moons, except that the moon is drawn at random.

    Args:
        std: the standard deviation of the noise, at least 0.

    Raises:
        ValueError: std is negative or not finite.
    """
    return Curve(_position, [k * math.pi / 3 for k in range(7)], std)


def _position(parameter: Tensor) -> Tensor:
    """Return points of the upper moon on [0, pi), of the lower one on [pi, 2 pi]."""
    upper = parameter < math.pi
    cos, sin = parameter.cos(), parameter.sin()
    # cos(a + pi) = -cos a turns the lower moon's formula into this one.
    return torch.stack((torch.where(upper, cos, 1 + cos), torch.where(upper, sin, 0.5 + sin)), -1)
