"""The law of a finite data set."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol, final

import torch
from torch import Tensor

from fokker.distributions.arguments import as_points, as_positive, as_sigma, row_blocks
from fokker.distributions.base import Distribution, Estimate
from fokker.distributions.inversion import as_probabilities, invert
from fokker.distributions.line_sums import LineSums

QUERIES = 512
BLOCK = 512


class Rows(Protocol):
    """Points (N, d) that are read when they are asked for; a tensor is one kind of them."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice | Tensor) -> Tensor: ...


@final
class Empirical(Distribution):
    """The law `p = 1/N sum_i delta(x - x_i)`, learned by a network that memorises its training set.

    The denoiser is `D = sum_i r_i x_i`, `r = softmax(-|x - x_i|^2 / 2 sigma^2)`. |x|^2 is common to
    all points and drops out. The rest is computed relative to the mean of the data, to avoid
    cancellation. Memory holds the points and one block of 512 queries by `block_size` points. In
    one dimension a query does not go through all points: see `LineSums`.

    Args:
        points: (N, d), or (N,) in one dimension: a tensor, which is copied and keeps its own dtype
            if it is a float, or rows that are read a block at a time.
        block_size: the number of points in a block.

    Raises:
        ValueError: there are no points, their shape is another one, a value is NaN or infinite, or
            block_size is below 1.
    """

    def __init__(self, points: Tensor | Rows, block_size: int = BLOCK) -> None:
        if isinstance(points, Tensor):
            points = points[:, None] if points.ndim == 1 else points
            points = points if points.is_floating_point() else points.to(torch.float64)
            points = points.detach().clone()
        if len(points.shape) != 2 or 0 in points.shape:
            raise ValueError(
                f"points must have shape (N, d) with N and d above 0, got {tuple(points.shape)}"
            )
        blocks = row_blocks(*points.shape)
        bad = sum(int((~points[rows].isfinite()).any(dim=1).sum()) for rows in blocks)
        if bad:
            raise ValueError(f"points must be finite, got NaN or infinite values in {bad} rows")
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, got {block_size}")
        self.points: Rows = points
        self._block_size = int(block_size)
        count, dim = points.shape
        mean = torch.zeros(dim, dtype=torch.float64)
        for rows in row_blocks(count, dim):
            mean += self.points[rows].to(torch.float64).sum(dim=0) / count
        variance = torch.zeros(dim, dtype=torch.float64)
        # One vector for all: small allocations in between would prevent the reuse of large blocks.
        self._half_norms = torch.empty(count, dtype=torch.float64)
        for rows in row_blocks(count, dim):
            squares = (self.points[rows].to(torch.float64) - mean) ** 2
            variance += squares.sum(dim=0) / count
            self._half_norms[rows] = squares.sum(dim=1) / 2
        super().__init__(mean, variance)

    @cached_property
    def _line(self) -> LineSums:
        """Return the sums over the points in one dimension."""
        return LineSums(self.points[:][:, 0].to(torch.float64))

    @cached_property
    def covariance(self) -> Tensor:
        """Return `1/N sum_i (x_i - mean)(x_i - mean)^T`, (d, d), computed when first asked for."""
        total = torch.zeros(self.dim, self.dim, dtype=torch.float64)
        for rows in row_blocks(len(self.points), self.dim):
            centred = self.points[rows].to(torch.float64) - self.mean
            total += centred.T @ centred / len(self.points)
        return total

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n of the points, with replacement."""
        index = torch.randint(len(self.points), (n,), generator=generator)
        return self.points[index].to(torch.float64)

    def log_prob(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        if bool((sigma == 0).any()):
            raise ValueError("a finite set of points has no density: sigma must be positive, got 0")
        if self.dim == 1:
            return self._line.moments(x[:, 0], sigma).log_density
        y = x - self.mean
        sums = [self._softmax(y[q], sigma[q])[:2] for q in _queries(len(x))]
        norm = torch.cat([(top + total.log())[:, 0] for top, total in sums])
        normal = self.dim * (math.log(2 * math.pi) / 2 + sigma.log())
        return norm - (y**2).sum(dim=1) / (2 * sigma**2) - normal - math.log(len(self.points))

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        return (self.denoise(x, sigma) - x) / sigma[:, None] ** 2

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        if self.dim == 1:
            return self._line.moments(x[:, 0], sigma).mean[:, None]
        y = x - self.mean
        return self.mean + torch.cat([self._softmax(y[q], sigma[q])[2] for q in _queries(len(x))])

    def posterior_variance(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        x = as_points(x, self.dim)
        sigma = as_sigma(sigma, len(x))
        if self.dim == 1:
            return self._line.moments(x[:, 0], sigma).variance
        y = x - self.mean
        return torch.cat([self._spread(y[q], sigma[q]) for q in _queries(len(x))])

    def mmse(
        self, sigma: float, generator: torch.Generator | None = None, num_samples: int = 16_384
    ) -> Estimate:
        """Return `E tr Var(x0 | x0 + sigma n)`, by quadrature in one dimension.

        In more dimensions it is a Monte Carlo average over num_samples points, each of which is
        compared with all N.
        """
        sigma = as_positive("sigma", sigma)
        if self.dim > 1:
            return super().mmse(sigma, generator, num_samples)
        return Estimate(self._line.mmse(sigma))

    def cdf(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        if self.dim > 1:
            return super().cdf(x, sigma)
        x = as_points(x, 1)[:, 0]
        sigma = as_sigma(sigma, len(x), allow_zero=True)
        below = torch.searchsorted(self._line.values, x.contiguous(), right=True)
        sharp = torch.cat((x.new_zeros(1), self._line.shares))[below]
        smooth = self._line.tails(x, torch.where(sigma == 0, 1.0, sigma))[0]
        return torch.where(sigma == 0, sharp, smooth)

    def quantile(self, u: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """Return the smallest x with `cdf(x, sigma) >= u`."""
        if self.dim > 1:
            return super().quantile(u, sigma)
        u = as_probabilities(u)
        sigma = as_sigma(sigma, len(u), allow_zero=True)
        values, shares = self._line.values, self._line.shares
        place = torch.searchsorted(shares, u.contiguous()).clamp(max=len(values) - 1)
        sharp: Tensor = values[place]
        if not bool((sigma > 0).any()):
            return sharp
        level = torch.where(sigma == 0, 1.0, sigma)
        margin = 40 * float(level.max())
        smooth = invert(
            u,
            level,
            self._line.tails,
            lambda x, level: self.log_prob(x, level).exp(),
            float(values[0]) - margin,
            float(values[-1]) + margin,
        )
        return torch.where(sigma == 0, sharp, smooth)

    def _data(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield blocks of the centred points (b, d) and of half their squared norms (b,)."""
        for start in range(0, len(self.points), self._block_size):
            rows = slice(start, start + self._block_size)
            yield self.points[rows].to(torch.float64) - self.mean, self._half_norms[rows]

    def _softmax(self, y: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return three sums over the points p_i with logits `l_i = (y.p_i - |p_i|^2/2) / sigma^2`.

        These are the largest logit, (n, 1), `sum_i exp(l_i - largest)`, (n, 1), and
        `sum_i r_i p_i`, (n, d). One pass over the data suffices: the sums so far are rescaled
        whenever the largest logit rises.
        """
        precision = (1 / sigma**2)[:, None]
        best = y.new_full((len(y), 1), -math.inf)
        total = y.new_zeros(len(y), 1)
        pulled = torch.zeros_like(y)
        for points, half_norms in self._data():
            logits = (y @ points.T - half_norms) * precision
            top = torch.maximum(best, logits.amax(dim=1, keepdim=True))
            mass = (logits - top).exp()
            kept = (best - top).exp()
            total = total * kept + mass.sum(dim=1, keepdim=True)
            pulled = pulled * kept + mass @ points
            best = top
        return best, total, pulled / total

    def _spread(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Return `sum_i r_i |p_i - D|^2`, (n,)."""
        precision = (1 / sigma**2)[:, None]
        top, total, mean = self._softmax(y, sigma)
        half_square = (mean**2).sum(dim=1, keepdim=True) / 2
        spread = torch.zeros_like(sigma)
        for points, half_norms in self._data():
            mass = ((y @ points.T - half_norms) * precision - top).exp()
            distance = 2 * (half_norms + half_square - mean @ points.T)
            spread = spread + (mass * distance.clamp(min=0.0)).sum(dim=1)
        return spread / total[:, 0]


def _queries(count: int) -> Iterator[slice]:
    return row_blocks(count, 1, QUERIES)
