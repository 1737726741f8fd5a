"""A spiral in the plane."""

import math

import torch
from torch import Tensor

from fokker.distributions.curve import Curve

LAST_ANGLE = 4.5 * math.pi


def swiss_roll(std: float) -> Curve:
    """Return the spiral `a / (4.5 pi) (cos a, sin a)`, a in [1.5 pi, 4.5 pi], with N(0, std^2 I).

    a is uniform, so the density along the curve falls outwards, as in scikit-learn's
    make_swiss_roll. This is its plane (x, z) over 4.5 pi: the radius grows from 1/3 to 1, and
    neighbouring turns are 0.44 apart.

    Args:
        std: the standard deviation of the noise, at least 0.

    Raises:
        ValueError: std is negative or not finite.
    """
    return Curve(_position, [k * math.pi / 2 for k in range(3, 10)], std)


def _position(angle: Tensor) -> Tensor:
    radius = angle / LAST_ANGLE
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1)
