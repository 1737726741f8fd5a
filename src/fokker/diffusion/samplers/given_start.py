"""Starts that are given, such as quantiles, in place of random ones."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.samplers.base import Noise


@final
class GivenStart:
    """A `Noise` whose start is given, such as evenly spread quantiles, which are not random.

    Args:
        normal: the values in place of N(0, I) in the start, (n, *shape).
        steps: the noise of a stochastic sampler's steps; null for a deterministic one.
    Raises:
        ValueError: if a step draws noise, and there is no `steps`.
    """

    def __init__(self, normal: Tensor, steps: Noise | None = None) -> None:
        self._normal, self._steps = normal, steps

    def prior(self) -> Tensor:
        """Return the given start."""
        return self._normal

    def next_increment(self) -> Tensor:
        """Return the next increment of `steps`."""
        return self._random.next_increment()

    def fresh(self) -> Tensor:
        """Return fresh noise of `steps`."""
        return self._random.fresh()

    @property
    def _random(self) -> Noise:
        if self._steps is None:
            raise ValueError(
                "this sampler draws noise, but got none; choose a deterministic one, such as "
                "sampler=heun"
            )
        return self._steps


def spread_quantiles(start: int, stop: int, count: int) -> Tensor:
    """Return members start to stop of the midpoints `(k + 1/2)/count`, (stop - start,), float64.

    Their order, k = i times about 0.618 count modulo count, spreads successive ones evenly.
    """
    stride = max(1, round(count * (math.sqrt(5) - 1) / 2))
    while math.gcd(stride, count) > 1:
        stride += 1
    return ((torch.arange(start, stop) * stride) % count + 0.5).double() / count
