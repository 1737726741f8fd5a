"""Grids: the noise levels that a sampler steps through.

A grid gives N + 1 nodes for N steps, strictly decreasing, the last exactly 0. A new one is a
class with `_nodes`, and a file in conf/grid.
"""

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from fokker.sde import SDE, iddpm_nodes


class Grid(ABC):
    """Where the nodes lie between the ends.

    Args:
        sigma_min, sigma_max: the grid's ends; null: the range that the SDE is sampled in and the
            model was trained in, so that every grid fits every model.
    """

    def __init__(self, sigma_min: float | None = None, sigma_max: float | None = None) -> None:
        self._given = {"sigma_min": sigma_min, "sigma_max": sigma_max}

    def __call__(
        self,
        num_steps: int,
        sde: SDE,
        trained: tuple[float, float] = (0.0, math.inf),
        levels: Tensor | None = None,
    ) -> Tensor:
        """The nodes sigma_0 > ... > sigma_N = 0, (num_steps + 1,), float64.

        Args:
            num_steps: N, the number of transitions between nodes.
            sde: whose time and range are used.
            trained: lowest and highest noise that the model was trained at.
            levels: the model's own chain, ascending, if it has one.
        Raises:
            ValueError: if N is below 1 or too large for this grid, a given end lies outside the
                range of the SDE or of the training, or nodes are not distinct.
        """
        if num_steps < 1:
            raise ValueError(f"sampler.num_steps must be at least 1, got {num_steps}")
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
        """The N positive nodes from high down to low (N = 1: high alone), (N,), float64."""


def _line(start: float, stop: float, num_steps: int) -> Tensor:
    """From start to stop in num_steps points; the start alone for one."""
    return torch.linspace(start, stop, num_steps, dtype=torch.float64)


@final
class EDMRho(Grid):
    """`(sigma_max^{1/rho} + i/(N-1) (sigma_min^{1/rho} - sigma_max^{1/rho}))^rho`.

    Karras 2022, eq. 5.

    Args:
        rho: 7 as published; larger puts more nodes at low noise.
        sigma_min, sigma_max: see `Grid`.
    Raises:
        ValueError: if rho is not in [0.1, 1000].
    """

    def __init__(
        self, rho: float = 7.0, sigma_min: float | None = None, sigma_max: float | None = None
    ) -> None:
        super().__init__(sigma_min, sigma_max)
        if not 0.1 <= rho <= 1000:
            raise ValueError(
                f"grid.rho must be positive, in [0.1, 1000], got {rho:g}; it is 7 as published, 1 "
                "is a line, and grid=geometric the limit of large ones"
            )
        self._rho = float(rho)

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        return _line(high ** (1 / self._rho), low ** (1 / self._rho), num_steps) ** self._rho


@final
class UniformTime(Grid):
    """Uniform in the SDE's t (Song 2021, appendix D)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        return sde.sigma(_line(float(sde.time(high)), float(sde.time(low)), num_steps))


@final
class QuadraticTime(Grid):
    """Uniform in the root of the SDE's t (DDIM, appendix D.2)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        start, stop = (math.sqrt(max(0.0, float(sde.time(sigma)))) for sigma in (high, low))
        return sde.sigma(_line(start, stop, num_steps) ** 2)


@final
class Geometric(Grid):
    """Uniform in ln sigma, that is in log-SNR (DPM-Solver's grid)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        return torch.exp(_line(math.log(high), math.log(low), num_steps))


@final
class IDDPM(Grid):
    """Every so many of the M levels of improved DDPM (Karras 2022, table 1, column iDDPM).

    `sigma_i = u_{floor(j0 + (j1 - j0) i/(N-1) + 1/2)}`, j0 and j1 the levels nearest to the ends
    (j1 = M - 1, the last, where the range goes below it).

    Args:
        num_levels: M.
        sigma_min, sigma_max: see `Grid`.
    Raises:
        ValueError: if M is below 2; at a call, if N is larger than the number of levels.
    """

    def __init__(
        self,
        num_levels: int = 1000,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> None:
        super().__init__(sigma_min, sigma_max)
        if num_levels < 2:
            raise ValueError(f"grid.num_levels must be at least 2, got {num_levels}")
        self._u = iddpm_nodes(num_levels)[:-1]

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        first = int((self._u - high).abs().argmin())
        last = int((self._u - low).abs().argmin())
        if num_steps > last - first + 1:
            raise ValueError(
                f"sampler.num_steps must be at most {last - first + 1}, the levels of grid=iddpm "
                f"in {low:g} to {high:g}, got {num_steps}; raise grid.num_levels"
            )
        index = torch.floor(_line(float(first), float(last), num_steps) + 0.5).long()
        return self._u[index]


@final
class Levels(Grid):
    """Every so many of the model's own levels: `round(linspace(L - 1, 0, N))`.

    The trained chain never changes with N.
    """

    def __init__(self) -> None:
        super().__init__()

    def _ends(self, sde: SDE, trained: tuple[float, float]) -> tuple[float, float]:
        return trained

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        if levels is None:
            raise ValueError(
                "grid=levels needs a formulation with levels; choose formulation=ddpm or smld, or "
                "another grid, such as grid=edm_rho"
            )
        if num_steps > len(levels):
            raise ValueError(
                f"sampler.num_steps must be at most formulation.num_levels={len(levels)} with "
                f"grid=levels, got {num_steps}; choose another grid for more steps"
            )
        return levels[torch.round(_line(len(levels) - 1.0, 0.0, num_steps)).long()]
