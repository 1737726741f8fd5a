"""The grid with the least error of the sampler at hand on Gaussians with the data's scales."""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fokker.diffusion.grids.base import Grid, Sampled
from fokker.diffusion.sde import SDE

_Numbers = npt.NDArray[np.float64]

#: The members of the family among which a grid is chosen; see `Spectral`.
ORDERS = (1, 2, 4)
SHARES = (0.0, 0.25, 0.5)
LAST_STEPS = (1.0, 2.0)
#: Scales lie on a lattice in ln s. Those below a thousandth of the largest do not count.
LATTICE = 0.2
SMALLEST = 1e-3
#: The most steps with which grids are compared; more do not change the choice.
MAX_TRIED = 100
#: The number of points of the tables of G in ln sigma, and their start below all scales.
TABLE, BELOW = 2000, 4.0


@final
@dataclass(frozen=True)
class _Fit:
    """The data's scales and the sampler.

    Attributes:
        scales: s_j, descending, (k,).
        counts: the number of the data's directions that have each scale, (k,).
        sampled: see `Grid.fitted`.
    """

    scales: _Numbers
    counts: _Numbers
    sampled: Sampled


@final
@dataclass(frozen=True)
class _Even:
    """Grid points even in G.

    Attributes:
        x, table: ln sigma and G there, (k,).
        low, high: the ends.
        last_step: c, the step to 0 in units of the others; no positive point is below `low`.
    """

    x: _Numbers
    table: _Numbers
    low: float
    high: float
    last_step: float

    def __call__(self, num_steps: int) -> Tensor:
        """Return the positive grid points for N of at least 2, (N,)."""
        bottom = float(np.interp(math.log(self.low), self.x, self.table))
        whole = float(self.table[-1])
        lowest = max(bottom, whole * self.last_step / (num_steps - 1 + self.last_step))
        sigmas = np.exp(np.interp(np.linspace(whole, lowest, num_steps), self.table, self.x))
        sigmas[0] = self.high
        if lowest == bottom:
            sigmas[-1] = self.low
        return torch.from_numpy(sigmas)


def _lattice(eigenvalues: Tensor, finer: int) -> tuple[_Numbers, _Numbers]:
    """Return scales from the largest down, and the number of eigenvalues at each, (k,) and (k,).

    Each eigenvalue counts at its two neighbours on the lattice; `finer` more scales follow.
    """
    stds = eigenvalues.detach().to("cpu", torch.float64).clamp(min=0).sqrt().numpy()
    largest = float(stds.max(initial=0.0))
    if not 0 < largest < math.inf:
        raise ValueError(
            f"grid=spectral needs data that vary, got a largest standard deviation of {largest:g}"
        )
    place = np.log(largest / stds[stds >= SMALLEST * largest]) / LATTICE
    floor = np.floor(place).astype(int)
    counts = np.zeros(int(floor.max()) + 2 + finer)
    np.add.at(counts, floor, 1 - (place - floor))
    np.add.at(counts, floor + 1, place - floor)
    return largest * np.exp(-LATTICE * np.arange(len(counts))), counts


def _spread(counts: _Numbers, finer: int) -> _Numbers:
    """Return each count, spread evenly over its own scale and the `finer` next ones."""
    return np.convolve(counts, np.full(finer + 1, 1 / (finer + 1)))[: len(counts)]


@final
class Spectral(Grid):
    """Points even in `G(sigma) = int_0^sigma (sum_j w_j u_j/(1 + u_j)^2)^{1/(p+1)} d ln sigma`.

    `u_j = sigma^2/s_j^2`. On N(0, s^2) a DDIM step of length h in ln sigma changes the standard
    deviation by the factor `1 - h^2/2 u/(1 + u)^2`. With one scale and p = 1 the grid points are
    `sigma_i = s tan(theta_i)` with even theta_i: exactly the best for DDIM, at every N (the
    tangent law of Sun, Poor & Wang 2026, arXiv 2601.13602). A larger p is for higher orders.

    The scales are the roots of the eigenvalues of the data's covariance. Finer scales are added,
    for data are more than their covariance: a share of each eigenvalue's weight is spread evenly in
    ln s from s down to `detail` s. The lowest grid point is where G is c/(N - 1 + c) of the whole,
    but not below sigma_min: truncation is a step like the others.

    p, the share and c are those with the least `sum_j (s_j' - s_j)^2` over all these scales. Here
    s_j' is the standard deviation that the sampler at hand makes of N(0, s_j^2) on the grid points,
    from the exact marginal at sigma_max (for N above 100: at 100 steps). So the choice depends on
    the sampler's order, the SDE and N. The spread over scales shows errors that would cancel on a
    single Gaussian.

    A sampler that chooses its own steps gets only the ends.

    Args:
        detail: the finest scale, as a share of each eigenvalue's; 1: only the eigenvalues.
        sigma_min: the lowest grid point; null: a chosen one, not below that of `Grid`.
        sigma_max: see `Grid`.
    Raises:
        ValueError: if detail is not in [0.001, 1]; at a call, if data and sampler are not known
            (`fitted`), or the sampler is not affine on Gaussian data.
    """

    def __init__(
        self,
        detail: float = 0.05,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> None:
        super().__init__(sigma_min, sigma_max)
        if not 1e-3 <= detail <= 1:
            raise ValueError(f"grid.detail must be in 0.001 to 1, got {detail:g}")
        self._finer = round(-math.log(detail) / LATTICE)
        self._fit: _Fit | None = None
        self._chosen_by_sampler = False

    def fitted(self, eigenvalues: Callable[[], Tensor], sampled: Sampled | None) -> Grid:
        grid = copy.copy(self)
        if sampled is None:
            grid._chosen_by_sampler = True
        else:
            scales, counts = _lattice(eigenvalues(), self._finer)
            grid._fit = _Fit(scales, counts, sampled)
        return grid

    def _nodes(
        self, num_steps: int, low: float, high: float, sde: SDE, levels: Tensor | None
    ) -> Tensor:
        if num_steps == 1:
            return torch.tensor([high], dtype=torch.float64)
        if self._chosen_by_sampler:
            return torch.from_numpy(np.geomspace(high, low, num_steps))
        if self._fit is None:
            raise ValueError(
                "grid=spectral depends on the data and the sampler; ask fitted(eigenvalues, "
                "sampled) for the grid that knows them, or a model's nodes(sampler, grid, N)"
            )
        fit, most = self._fit, min(num_steps, MAX_TRIED)
        return min(self._family(fit, low, high), key=lambda member: self._error(fit, member(most)))(
            num_steps
        )

    def _family(self, fit: _Fit, low: float, high: float) -> Iterator[_Even]:
        """Yield the grids among which one is chosen."""
        scales, directions = fit.scales, fit.counts * fit.scales**2
        finer = _spread(directions, self._finer)
        x = np.linspace(math.log(min(low, scales[-1])) - BELOW, math.log(high), TABLE)
        u = np.exp(2 * x)[:, None] / scales**2
        errors = u / (1 + u) ** 2
        last_steps = LAST_STEPS if self._given["sigma_min"] is None else (0.0,)
        for share, order in itertools.product(SHARES if self._finer else (0.0,), ORDERS):
            density = (errors @ ((1 - share) * directions + share * finer)) ** (1 / (order + 1))
            steps = (density[1:] + density[:-1]) / 2 * np.diff(x)
            # Below the table u is small, and the density is a power of sigma.
            table = np.cumsum([(order + 1) / 2 * density[0], *steps])
            for last_step in last_steps:
                yield _Even(x, table, low, high, last_step)

    def _error(self, fit: _Fit, sigmas: Tensor) -> float:
        """Return the squared error of the standard deviations, infinite if the sampler diverges."""
        nodes = torch.cat([sigmas, torch.zeros(1, dtype=torch.float64)])
        stds = fit.sampled(nodes, torch.from_numpy(fit.scales**2)).numpy()
        error = float(_spread(fit.counts, self._finer) @ (stds - fit.scales) ** 2)
        return error if math.isfinite(error) else math.inf
