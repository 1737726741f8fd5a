"""The base of grids, which are the noise levels that a sampler steps through."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from fokker.diffusion.sde import SDE
from fokker.machine.memory import DOUBLE, check_fits

#: The standard deviations of samples, (k,), by grid points and variances of Gaussian data, (k,).
Sampled = Callable[[Tensor, Tensor], Tensor]


class Grid(ABC):
    """A rule that places grid points between two ends.

    A grid gives N + 1 points for N steps, strictly decreasing, the last exactly 0. A new one is a
    class with `_nodes`, and a file in conf/grid.

    Args:
        sigma_min, sigma_max: the grid's ends; null: the range that the SDE is sampled in and the
            model was trained in, so that every grid fits every model.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        self._given = {"sigma_min": sigma_min, "sigma_max": sigma_max}

    def fitted(self, eigenvalues: Callable[[], Tensor], sampled: Sampled | None) -> "Grid":
        """Return this grid for the data and the sampler at hand; most grids depend on neither.

        Args:
            eigenvalues: a callable that gives the eigenvalues of the data's covariance, (d,), in
                standardised units.
            sampled: the standard deviations that the sampler gives on Gaussian data; null: it
                chooses its own steps, between the ends.
        """
        return self

    def __call__(
        self,
        num_steps: int,
        sde: SDE,
        trained: tuple[float, float] = (0.0, math.inf),
        levels: Tensor | None = None,
    ) -> Tensor:
        """Return the grid points sigma_0 > ... > sigma_N = 0, (num_steps + 1,), float64.

        Args:
            num_steps: N, the number of transitions between grid points.
            sde: the SDE whose time and range are used.
            trained: the lowest and highest noise that the model was trained at.
            levels: the model's own chain, ascending, if it has one.
        Raises:
            ValueError: if N is below 1 or too large for this grid, a given end lies outside the
                range of the SDE or of the training, or grid points are not distinct.
        """
        if num_steps < 1:
            raise ValueError(f"sampler.num_steps must be at least 1, got {num_steps}")
        # The points are three tensors here, and three lists of numbers in a sampler.
        check_fits("sampler.num_steps", num_steps, 15 * DOUBLE * num_steps, "the grid")
        low, high = self._ends(sde, trained)
        sigmas = self._nodes(num_steps, low, high, sde, levels)
        nodes = torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])
        if not (nodes.diff() < 0).all():
            raise ValueError(
                f"sampler.num_steps={num_steps} asks for that many distinct noise levels, which "
                f"this grid has not in double precision from {low:.12g} to {high:.12g}; use fewer, "
                "or a wider range by grid.sigma_min and grid.sigma_max"
            )
        return nodes

    def _ends(self, sde: SDE, trained: tuple[float, float]) -> tuple[float, float]:
        low, high = max(sde.sigma_min, trained[0]), min(sde.sigma_max, trained[1])
        if not low < high:
            raise ValueError(
                f"the sampling range of the SDE, {sde.sigma_min:g} to {sde.sigma_max:g}, and the "
                f"trained noise range, {trained[0]:g} to {trained[1]:g}, do not overlap; change "
                "sde.sigma_min and sde.sigma_max"
            )
        for key, value in self._given.items():
            if value is not None and not low * (1 - 1e-6) <= value <= high * (1 + 1e-6):
                raise ValueError(
                    f"grid.{key} must lie in {low:.6g} to {high:.6g}, where the SDE is sampled and "
                    f"the model was trained, got {value:g}; leave it null to use that range"
                )
        given_low, given_high = self._given["sigma_min"], self._given["sigma_max"]
        low, high = given_low or low, given_high or high
        if not low < high:
            raise ValueError(f"grid.sigma_min must be below sigma_max={high:g}, got {low:g}")
        return low, high

    @abstractmethod
    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        """Return the N positive points from high down to low (N = 1: only high), (N,), float64."""
