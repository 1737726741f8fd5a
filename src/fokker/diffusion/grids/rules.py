"""Grids by a rule in sigma, in the SDE's time, or of given levels."""

import math
from typing import final

import torch
from torch import Tensor

from fokker.diffusion.grids.base import Grid
from fokker.diffusion.sde import SDE, iddpm_nodes


def _line(start: float, stop: float, num_steps: int) -> Tensor:
    """Return num_steps evenly spaced numbers from start to stop; only the start for one."""
    return torch.linspace(start, stop, num_steps, dtype=torch.float64)


@final
class EDMRho(Grid):
    """`(sigma_max^{1/rho} + i/(N-1) (sigma_min^{1/rho} - sigma_max^{1/rho}))^rho`.

    Karras 2022, eq. 5.

    Args:
        rho: 7 as published; a larger one puts more grid points at low noise.
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
    """Grid points uniform in the SDE's t (Song 2021, appendix D)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        return sde.sigma(_line(float(sde.time(high)), float(sde.time(low)), num_steps))


@final
class QuadraticTime(Grid):
    """Grid points uniform in the root of the SDE's t (DDIM, appendix D.2)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        start, stop = (math.sqrt(max(0.0, float(sde.time(sigma)))) for sigma in (high, low))
        return sde.sigma(_line(start, stop, num_steps) ** 2)


@final
class Geometric(Grid):
    """Grid points uniform in ln sigma, that is in log-SNR (DPM-Solver's grid)."""

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        return torch.exp(_line(math.log(high), math.log(low), num_steps))


@final
class IDDPM(Grid):
    """Evenly spaced ones of the M levels of improved DDPM (Karras 2022, table 1, column iDDPM).

    `sigma_i = u_{floor(j0 + (j1 - j0) i/(N-1) + 1/2)}`, where j0 and j1 are the numbers of the
    levels nearest to the ends (j1 = M - 1, the last, where the range goes below it).

    Args:
        num_levels: M, the number of levels.
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
    """Evenly spaced ones of the model's own levels: `round(linspace(L - 1, 0, N))`.

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
