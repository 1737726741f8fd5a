"""Curves in the plane."""

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_vector, row_blocks
from fokker.distributions.noisy import NoisySurface, SurfacePosterior
from fokker.distributions.quadrature import gauss_legendre, panel_rule

# Panels whose lowest energy |c - x|^2 / 2t is more than DEPTH above the lowest of all are left out.
DEPTH = 40.0
# Gauss-Legendre with NODES nodes errs by less than 1e-12 where the energy changes by at most RISE
# over a panel and its middle is within BEND of the mean of its ends.
NODES = 16
RISE = 20.0
BEND = 4.0
# The lowest node is above the minimum of its panel by less than this share of the panel's rise.
SLACK = 0.05


@final
class Curve(NoisySurface):
    """The law of `x0 = c(a) + std n`, a uniform on [knots[0], knots[-1]], c(a) in R^2.

    Integrals over a are computed on panels. For each x, panels are halved until the integrand is
    smooth on them, and panels that cannot matter are dropped on the way. So the rule needs no
    knowledge of the curve to find several near stretches, ends, and points equally far from a
    whole arc.

    Args:
        position: c, a map from a tensor of parameters (...) to points (..., 2).
        knots: increasing parameters; between neighbours c is smooth and turns by less than about a
            third of a circle. It may jump at a knot.
        std: the standard deviation of the noise, at least 0.

    Raises:
        ValueError: there are fewer than two knots, knots do not increase, or std is negative.
    """

    def __init__(
        self, position: Callable[[Tensor], Tensor], knots: Sequence[float] | Tensor, std: float
    ) -> None:
        self._knots = as_vector("knots", knots)
        if len(self._knots) < 2 or not bool((self._knots.diff() > 0).all()):
            raise ValueError(f"knots must be at least two and increase, got {self._knots.tolist()}")
        self._position = position
        self._span = float(self._knots[-1] - self._knots[0])
        places, weights = panel_rule(self._knots, count=64)
        points, shares = position(places), weights / self._span
        mean = shares @ points
        centred = points - mean
        self._surface_covariance = (shares[:, None] * centred).T @ centred
        super().__init__(mean, shares @ centred**2, std)

    @property
    def covariance(self) -> Tensor:
        """Return the covariance of c(a) by quadrature plus std^2 on the diagonal, (2, 2)."""
        return self._surface_covariance + self.std**2 * torch.eye(2, dtype=torch.float64)

    def sample_surface(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, generator=generator, dtype=torch.float64)
        return self._position(torch.lerp(self._knots[0], self._knots[-1], u))

    def surface_posterior(self, x: Tensor, total: Tensor) -> SurfacePosterior:
        width = len(self._knots) * NODES
        blocks = [self._block(x[rows], total[rows]) for rows in row_blocks(len(x), width, 1 << 18)]
        return SurfacePosterior(*(torch.cat(part) for part in zip(*blocks)))

    def _block(self, x: Tensor, total: Tensor) -> SurfacePosterior:
        nodes, weights = gauss_legendre(NODES)
        starts, widths = self._knots[:-1], self._knots.diff()
        first = self._position(starts[:, None] + widths[:, None] * nodes).reshape(-1, 2)
        # Energies are differences to the energy of a near point, computed as products: |c - x|^2
        # itself is huge far from the curve, and its rounding errors would spoil the weights.
        anchor = first[torch.cdist(x.detach(), first).argmin(dim=1)]
        away = anchor - x
        query = torch.arange(len(x)).repeat_interleave(len(starts))
        low, width = starts.repeat(len(x)), widths.repeat(len(x))
        best = x.new_full((len(x),), math.inf)
        pieces: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        while len(query):
            places = low[:, None] + width[:, None] * nodes
            moved = self._position(places) - anchor[query, None]
            energy = (moved * (moved + 2 * away[query, None])).sum(dim=2)
            energy = energy / (2 * total[query, None])
            lowest, highest = energy.detach().aminmax(dim=1)
            rise = highest - lowest
            best = best.scatter_reduce(0, query, lowest, "amin")
            alive = lowest - SLACK * rise <= best[query] + DEPTH
            ends = energy[:, 0] + energy[:, -1]
            middle = energy[:, NODES // 2 - 1] + energy[:, NODES // 2]
            smooth = (rise <= RISE) & ((ends - middle).abs() <= 2 * BEND)
            done, split = alive & smooth, alive & ~smooth
            pieces.append((query[done], width[done], moved[done], energy[done]))
            half = width[split] / 2
            query = query[split].repeat(2)
            low = torch.cat((low[split], low[split] + half))
            width = half.repeat(2)
        query, width, moved, energy = (torch.cat(part) for part in zip(*pieces))
        mass = (best[query, None] - energy).exp() * weights * width[:, None]
        summed = x.new_zeros(len(x)).index_add(0, query, mass.sum(dim=1))
        share = mass / summed[query, None]
        pulled = (share[:, :, None] * moved).sum(dim=1)
        shift = torch.zeros_like(x).index_add(0, query, pulled)
        spread = (share * ((moved - shift[query, None]) ** 2).sum(dim=2)).sum(dim=1)
        variance = x.new_zeros(len(x)).index_add(0, query, spread)
        common = best + (away**2).sum(dim=1) / (2 * total) + (2 * math.pi * total).log()
        return SurfacePosterior((summed / self._span).log() - common, anchor + shift, variance)
