"""The uniform law on the cells of one colour of a chessboard."""

import math
from typing import NamedTuple, final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_points, as_positive, as_sigma, as_vector
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.interval import interval_posterior
from fokker.distributions.quadrature import lattice_bells, panel_rule
from fokker.machine.memory import DOUBLE, check_fits


class _Strips(NamedTuple):
    """The posterior of one coordinate given its noisy value, for x0 uniform on every other strip.

    The last axis separates the even strips from the odd ones. Attributes are those of
    `IntervalPosterior`, except `log_density`, the log of the smoothed density of the coordinate.
    """

    log_density: Tensor
    mean: Tensor
    displacement: Tensor
    variance: Tensor


@final
class Checkerboard(Distribution):
    """The uniform law on the cells (i, j) of [low, high]^2, cells by cells, where i + j is even.

    Either both indices are even or both are odd. So the law is `w e(x) e(y) + (1 - w) o(x) o(y)`,
    with e and o uniform on the even and the odd strips of an axis: a mixture of two products, each
    of which is exact.

    Args:
        cells: the number of cells along a side, at least 2.
        low, high: the ends of both axes.

    Raises:
        ValueError: cells is below 2 or too large for the memory, or low is not below high.
    """

    def __init__(self, cells: int, low: float = -1.0, high: float = 1.0) -> None:
        if cells < 2:
            raise ValueError(f"cells must be at least 2, got {cells}")
        # The memory for the strips of a thousand points: logarithms of masses, means and two more.
        check_fits("cells", cells, 4 * 1000 * DOUBLE * cells)
        ends = as_vector("low and high", (low, high))
        if not low < high:
            raise ValueError(f"low must be below high={high:g}, got {low:g}")
        self.cells = int(cells)
        self.low, self.high = float(low), float(high)
        fractions = torch.arange(cells + 1, dtype=torch.float64) / cells
        self._edges = torch.lerp(ends[0], ends[1], fractions)
        self._width = (self.high - self.low) / cells
        even, odd = (cells + 1) // 2, cells // 2
        self._counts = torch.tensor([even, odd], dtype=torch.float64)
        # The cells of each kind form a square grid: there are even^2 and odd^2 of them.
        self._weights = self._counts**2 / (self._counts**2).sum()
        index = torch.arange(cells, dtype=torch.float64)
        middles = (self._edges[:-1] + self._edges[1:]) / 2
        strip_weights = torch.where(index % 2 == 0, self._weights[0] / even, self._weights[1] / odd)
        mean = strip_weights @ middles
        variance = strip_weights @ (middles - mean) ** 2 + self._width**2 / 12
        super().__init__(mean.expand(2).clone(), variance.expand(2).clone())

    @property
    def covariance(self) -> Tensor:
        """Return the covariance, which is 0 off the diagonal for an odd number of cells.

        For an even number it is width^2/4 there, with the width of a cell: the strips of each kind
        are centred half a cell from the mean, in both coordinates at once.
        """
        shared = self._width**2 / 4 if self.cells % 2 == 0 else 0.0
        return torch.diag(self.variance - shared) + shared

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        u = torch.rand(n, 3, generator=generator, dtype=torch.float64)
        kind = (u[:, 0] >= self._weights[0]).long()[:, None]
        # A number in [0, strips) gives a strip and a place in it.
        place = u[:, 1:] * self._counts[kind]
        strip = 2 * place.floor() + kind
        return self.low + self._width * (strip + place.frac())

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, 2)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        # Rows without noise go through the smooth formula at any sigma; their results are not used.
        strips = self._strips(x, torch.where(sigma == 0, 1.0, sigma))
        smooth = (self._weights.log() + strips.log_density.sum(dim=1)).logsumexp(dim=1)
        cell = ((x - self.low) / self._width).floor().clamp(0, self.cells - 1)
        inside = ((x >= self.low) & (x <= self.high)).all(dim=1) & (cell.sum(dim=1) % 2 == 0)
        area = float((self._counts**2).sum()) * self._width**2
        return torch.where(sigma == 0, torch.where(inside, -math.log(area), -math.inf), smooth)

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, 2)
        sigma = as_sigma(sigma, len(x))
        strips = self._strips(x, sigma)
        share = self._shares(strips)[:, None, :]
        return (share * strips.displacement).sum(dim=2) / sigma[:, None] ** 2

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, 2)
        strips = self._strips(x, as_sigma(sigma, len(x)))
        return (self._shares(strips)[:, None, :] * strips.mean).sum(dim=2)

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, 2)
        strips = self._strips(x, as_sigma(sigma, len(x)))
        share = self._shares(strips)
        # The variance of a mixture of two: within them, and between their means.
        between = (strips.mean[:, :, 0] - strips.mean[:, :, 1]) ** 2
        within = (share * strips.variance.sum(dim=1)).sum(dim=1)
        return within + share[:, 0] * share[:, 1] * between.sum(dim=1)

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)` by quadrature over the plane.

        e and o are computed once on the nodes of an axis; their products fill the plane.
        """
        sigma = as_positive("sigma", sigma)
        nodes, weights = panel_rule(lattice_bells(self._edges, sigma, step=0.5), count=10)
        strips = self._strips(nodes[:, None], weights.new_full((len(nodes),), sigma))
        e, o = strips.log_density[:, 0].exp().unbind(dim=1)
        mean = strips.mean[:, 0]
        variance = strips.variance[:, 0]
        gap = (mean[:, 0] - mean[:, 1]) ** 2
        wide, narrow = self._weights.tolist()
        # The double integral of p_kind(x) p_kind(y) (v(x) + v(y)) is twice a single integral.
        within = 2 * (wide * (weights @ (e * variance[:, 0])))
        within = within + 2 * (narrow * (weights @ (o * variance[:, 1])))
        between = 0.0
        for k in range(0, len(nodes), 256):
            rows = slice(k, k + 256)
            first = wide * e[rows, None] * e
            second = narrow * o[rows, None] * o
            total = first + second
            mixed = first * second / torch.where(total > 0, total, 1.0)
            # By symmetry the gap of the other coordinate gives as much again.
            between += 2 * float((weights[rows] * gap[rows]) @ mixed @ weights)
        return Estimate(float(within) + between)

    def _strips(self, x: Tensor, sigma: Tensor) -> _Strips:
        """Return the posteriors per point, coordinate and kind of strip: (n, c) to (n, c, 2)."""
        low, high = self._edges[:-1], self._edges[1:]
        posterior = interval_posterior(x[:, :, None], low, high, sigma[:, None, None])
        kinds = []
        for kind in (0, 1):
            log_mass = posterior.log_mass[:, :, kind::2]
            share = log_mass.softmax(dim=2)
            mean = (share * posterior.mean[:, :, kind::2]).sum(dim=2)
            displacement = (share * posterior.displacement[:, :, kind::2]).sum(dim=2)
            between = (posterior.mean[:, :, kind::2] - mean[:, :, None]) ** 2
            variance = (share * (posterior.variance[:, :, kind::2] + between)).sum(dim=2)
            density = log_mass.logsumexp(dim=2) - (self._counts[kind] * self._width).log()
            kinds.append((density, mean, displacement, variance))
        return _Strips(*(torch.stack(pair, dim=2) for pair in zip(*kinds)))

    def _shares(self, strips: _Strips) -> Tensor:
        """Return the posterior probabilities of the even and the odd product, (n, 2)."""
        return (self._weights.log() + strips.log_density.sum(dim=1)).softmax(dim=1)
