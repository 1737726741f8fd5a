"""Sums over points on the line, such as those of a posterior, that skip most of the points."""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple, final

import torch
from torch import Tensor

from fokker.distributions.arguments import row_blocks
from fokker.distributions.interval import normal_cdf
from fokker.distributions.quadrature import panel_rule

# A kernel over a bin of width w varies as exp(-u v), u < reach in sigma, |v| < w / 2 sigma. With
# w reach < STEEPEST sigma, NODES Chebyshev nodes represent it to about 1e-14.
STEEPEST = 5.0
NODES = 18
# A point that is left out contributes less than exp(-DEPTH) = 4e-18 of the nearest point's part.
DEPTH = 40.0
# Up to this many different points all are summed: a selection would take longer.
FEW = 64
# The numbers in a block of queries by points, few enough to stay in cache.
BLOCK = 1 << 16
PANEL_NODES = 12
PANELS = 1 << 12
PIECES = 8


@final
class Moments(NamedTuple):
    """Moments of x0 given x0 + sigma n = x, for each query, (n,).

    Attributes:
        log_density: `log p(x; sigma)`.
        mean: `E[x0 | x]`.
        variance: `Var(x0 | x)`.
    """

    log_density: Tensor
    mean: Tensor
    variance: Tensor


@final
class _Sources(NamedTuple):
    """Points with weights that stand for all points in sums of smooth functions.

    Attributes:
        positions: the positions, ascending, (m,).
        weights: their sum is the number of points, (m,).
        before: the sum of the weights of the first i sources, (m + 1,).
    """

    positions: Tensor
    weights: Tensor
    before: Tensor


@final
class _Window(NamedTuple):
    """A block of queries with the sources that matter to them.

    Attributes:
        rows: the indices of the queries, (b,).
        nearest: the point next to each query, (b, 1).
        positions, weights: k sources for each query, (b, k), or (1, k) for all of them.
        below, above: the total weight left and right of these sources, (b,) or (1,).
    """

    rows: Tensor
    nearest: Tensor
    positions: Tensor
    weights: Tensor
    below: Tensor
    above: Tensor


@final
class LineSums:
    """The law `1/N sum_i delta(x - x_i)` on the line, smoothed by N(0, sigma^2).

    Equal points are one point of a larger weight. Others are put into bins of width w = 2^k, much
    smaller than sigma. In a bin of more than 18 points a function f of the scale of sigma is
    interpolated, `sum_i f(x_i) = sum_i sum_k L_k(x_i) f(y_k) = sum_k W_k f(y_k)`, at the Chebyshev
    nodes y_k between the first and the last point of the bin. So a bin has at most 18 sources. A
    query uses only the sources that are not much farther away than the nearest point, some 500
    whatever N is: with u = |x - x_i|/sigma and z that of the nearest point, those of
    `u^2 < z^2 + 80`. Far outside, where the posterior is narrow, w shrinks as sigma/z, so that the
    relative error is small everywhere. The bins of each w are made when they are first needed.

    Args:
        points: the points, finite, (N,), float64.
    """

    def __init__(self, points: Tensor) -> None:
        #: The different points, ascending.
        self.values, counts = torch.unique(points, return_counts=True)
        counts = counts.to(torch.float64)
        #: The share of all points up to each value.
        self.shares = counts.cumsum(0) / len(points)
        self._count = len(points)
        self._all = _sources(self.values, counts)
        span = max(float(self.values[-1] - self.values[0]), 5e-324)
        # The widest bin holds all points; the narrowest have indices that float64 holds exactly.
        self._widest = min(math.frexp(span)[1], 1023)
        self._narrowest = max(self._widest - 50, -1000)
        self._levels: dict[int, _Sources] = {}

    def moments(self, x: Tensor, sigma: Tensor) -> Moments:
        """Return density and posterior at x (n,) for sigma (n,) > 0, differentiable in x."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        order: list[Tensor] = []
        for rows, nearest, positions, weights, _, _ in self._windows(x, sigma):
            level = sigma[rows, None]
            gap, away = (x[rows, None] - nearest) / level, (positions - nearest) / level
            # (|x - x_i|^2 - |x - nearest|^2) / 2 sigma^2 as a product, which does not cancel.
            mass = (away * (gap - away / 2)).exp() * weights
            total = mass.sum(dim=1)
            shift = (mass * away).sum(dim=1) / total
            spread = (mass * (away - shift[:, None]) ** 2).sum(dim=1) / total
            log_density = (total / level[:, 0]).log() - gap[:, 0] ** 2 / 2
            mean, variance = nearest + level * shift[:, None], level[:, 0] ** 2 * spread
            parts.append((log_density, mean[:, 0], variance.clamp(min=0.0)))
            order.append(rows)
        back = torch.cat(order).argsort()
        log_density, mean, variance = (torch.cat(part)[back] for part in zip(*parts))
        normal = math.log(2 * math.pi) / 2 + math.log(self._count)
        return Moments(log_density - normal, mean, variance)

    def tails(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return `P(x0 + sigma n <= x)` and `P(x0 + sigma n > x)`, (n,), for sigma (n,) > 0."""
        parts: list[tuple[Tensor, Tensor]] = []
        order: list[Tensor] = []
        for rows, _, positions, weights, below, above in self._windows(x, sigma):
            z = (x[rows, None] - positions) / sigma[rows, None]
            left = below + (normal_cdf(z) * weights).sum(dim=1)
            right = above + (normal_cdf(-z) * weights).sum(dim=1)
            parts.append((left / self._count, right / self._count))
            order.append(rows)
        back = torch.cat(order).argsort()
        left, right = (torch.cat(part)[back] for part in zip(*parts))
        return left, right

    def mmse(self, sigma: float) -> float:
        """Return `int p(x; sigma) Var(x0 | x) dx` by Gauss-Legendre on panels of width sigma.

        The integrand has poles where p is 0 in the complex plane. There the characteristic
        function of the posterior is 0. This cannot happen nearer to the real axis than
        `pi sigma^2/2 std`, with the std of the posterior. So where the std is large, as between
        two distant points, panels are cut into 8.
        """
        cells = (self.values / sigma).floor().unique_consecutive()
        # Beyond ten widths only exp(-50) is left.
        around = torch.unique(cells[:, None] + torch.arange(-10.0, 11.0, dtype=torch.float64))
        total = 0.0
        for rows in row_blocks(len(around), 1, PANELS):
            cells = around[rows]
            integrals, is_smooth = self._panels(cells * sigma, sigma, sigma)
            pieces = (cells[~is_smooth, None] + torch.arange(PIECES) / PIECES).flatten()
            total += float(integrals[is_smooth].sum())
            total += float(self._panels(pieces * sigma, sigma / PIECES, sigma)[0].sum())
        return total

    def _panels(self, starts: Tensor, width: float, sigma: float) -> tuple[Tensor, Tensor]:
        """Return the integrals over panels, and whether width sigma resolves each of them, (m,)."""
        nodes, weights = panel_rule(torch.tensor([0.0, width], dtype=torch.float64), PANEL_NODES)
        x = (starts[:, None] + nodes).flatten()
        log_density, _, variance = self.moments(x, torch.full_like(x, sigma))
        values = (log_density.exp() * variance).reshape(-1, PANEL_NODES)
        is_smooth = (variance < 2 * sigma**2).reshape(-1, PANEL_NODES).all(dim=1)
        return values @ weights, is_smooth

    def _windows(self, x: Tensor, sigma: Tensor) -> Iterator[_Window]:
        """Yield all queries, in blocks of queries that use the same bins."""
        x, sigma = x.detach(), sigma.detach()
        after = torch.searchsorted(self.values, x.contiguous())
        left = self.values[(after - 1).clamp(min=0)]
        right = self.values[after.clamp(max=len(self.values) - 1)]
        nearest = torch.where((x - left).abs() <= (right - x).abs(), left, right)
        if len(self.values) <= FEW or len(x) == 0:
            positions, weights, before = self._all
            for rows in row_blocks(len(x), len(positions), BLOCK):
                chosen = torch.arange(rows.start, rows.stop)
                yield _Window(
                    chosen, nearest[rows, None], positions[None], weights[None],
                    before[:1], before[:1],
                )  # fmt: skip
            return
        reach = (((x - nearest) / sigma) ** 2 + 2 * DEPTH).sqrt()
        level = (STEEPEST * sigma / reach).log2().nan_to_num().floor()
        level = level.clamp(self._narrowest, self._widest).to(torch.int64)
        for k in torch.unique(level).tolist():
            rows_of_level = (level == k).nonzero()[:, 0]
            sources = self._level(k)
            ends = [x[rows_of_level] + s * (reach * sigma)[rows_of_level] for s in (-1, 1)]
            first, last = (torch.searchsorted(sources.positions, end) for end in ends)
            length, order = (last - first).clamp(min=1).sort(descending=True)
            begin = 0
            while begin < len(order):
                size = min(int(length[begin]), len(sources.positions))
                some = order[begin : begin + max(1, BLOCK // size)]
                begin += len(some)
                # All rows of a block get equally many sources; more than a query needs do no harm.
                start = first[some].clamp(max=len(sources.positions) - size)
                yield _Window(
                    rows_of_level[some], nearest[rows_of_level[some], None],
                    sources.positions.unfold(0, size, 1)[start],
                    sources.weights.unfold(0, size, 1)[start],
                    sources.before[start], sources.before[-1] - sources.before[start + size],
                )  # fmt: skip

    def _level(self, k: int) -> _Sources:
        if k not in self._levels:
            self._levels[k] = self._binned(2.0**k)
        return self._levels[k]

    def _binned(self, width: float) -> _Sources:
        """Return the sources for bins of this width."""
        bins = ((self.values - self.values[0]) / width).floor()
        sizes = bins.unique_consecutive(return_counts=True)[1]
        is_dense = sizes > NODES
        if not bool(is_dense.any()):
            return self._all
        starts = sizes.cumsum(0) - sizes
        inside = is_dense.repeat_interleave(sizes)
        low = self.values[starts[is_dense]]
        high = self.values[(starts + sizes - 1)[is_dense]]
        moments = _chebyshev_moments(
            self.values[inside], self._all.weights[inside], low, high, sizes[is_dense]
        )
        nodes, interpolation = _chebyshev()
        positions = low[:, None] + (high - low)[:, None] * nodes
        return _sources(
            torch.cat((self.values[~inside], positions.flatten())),
            torch.cat((self._all.weights[~inside], (moments @ interpolation).flatten())),
        )


def _sources(positions: Tensor, weights: Tensor) -> _Sources:
    positions, order = positions.sort()
    weights = weights[order]
    return _Sources(positions, weights, torch.cat((weights.new_zeros(1), weights.cumsum(0))))


@cache
def _chebyshev() -> tuple[Tensor, Tensor]:
    """Return nodes in [0, 1], ascending, (p,), and `2/p T_j(t_k)`, half of it for j = 0, (p, p)."""
    order = torch.arange(NODES, dtype=torch.float64)
    angles = math.pi * (order.flip(0) + 0.5) / NODES
    interpolation = 2 / NODES * (order[:, None] * angles).cos()
    interpolation[0] /= 2
    return (angles.cos() + 1) / 2, interpolation


def _chebyshev_moments(
    points: Tensor, weights: Tensor, low: Tensor, high: Tensor, sizes: Tensor
) -> Tensor:
    """Return `sum_i w_i T_j(t_i)` over the points of each bin, t from -1 at low to 1 at high.

    Args:
        points, weights: the points and their weights, bin after bin, (n,).
        low, high: the ends of each bin, (b,).
        sizes: the number of points in each bin, (b,).

    Returns:
        The moments, (b, p).
    """
    centre, half = (low + high) / 2, (high - low) / 2
    t = (points - centre.repeat_interleave(sizes)) / half.repeat_interleave(sizes)
    before, now = t * weights, weights
    moments = []
    for _ in range(NODES):
        moments.append(torch.segment_reduce(now, "sum", lengths=sizes))
        before, now = now, 2 * t * now - before
    return torch.stack(moments, dim=1)
