"""The energy distance."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fokker.metrics.blocks import block_of, cdfs_without_blocks
from fokker.metrics.coupling import sort_rows
from fokker.metrics.points import check_points, check_some

_MAX_POINTS = 2000
_EXACT_DIMENSIONS = 16


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """`|x_i - y_j|` of (n, d) and (m, d), (n, m)."""
    # The matrix product is many times faster for large d, where its rounding (1e-8 of a norm, and
    # only between points that nearly coincide) is lost in the mean.
    exact = x.shape[1] <= _EXACT_DIMENSIONS
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
    return torch.cdist(x, y, compute_mode=mode)


def _mean_distance(x: Tensor, y: Tensor) -> Tensor:
    """`mean_ij |x_i - y_j|`."""
    return _distances(x, y).mean()


def _energy_on_line(x: Tensor, y: Tensor) -> Tensor:
    """`2 int (F - G)^2`, the squared energy distance of points (n,) and (m,) with y sorted."""
    merged = sort_rows(torch.cat([x, y]))
    # Integers divided by an integer would be float32.
    cdf_x = torch.searchsorted(sort_rows(x), merged[:-1], right=True).to(x.dtype) / x.shape[0]
    cdf_y = torch.searchsorted(y, merged[:-1], right=True).to(x.dtype) / y.shape[0]
    return 2 * ((cdf_x - cdf_y).square() * merged.diff()).sum()


@final
class EnergyDistance(Metric):
    r"""`sqrt( 2 E|X - Y| - E|X - X'| - E|Y - Y'| )`, the root, as in `scipy.stats`.

    A V-statistic: E|X - X'| is the mean over all n^2 pairs, the n of a point with itself among
    them, that is the energy distance of the two empirical laws. So it is never negative, and 0
    exactly for equal laws; its square is too large by E|X - X'| (1/n + 1/m) in expectation when
    samples and reference are of one law. With d = 1 all points count, by sorting; with d > 1 the
    first 2,000 samples (in the order of ranks on several processes) and the first 2,000 points of
    the reference. 0 is best.

    Source: Szekely & Rizzo 2013, "Energy statistics: a class of statistics based on distances".
    """

    name: ClassVar[str] = "energy_distance"
    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    samples: list[Tensor]

    def __init__(self, reference: Tensor) -> None:
        """Sort the reference, or measure its own mean distance.

        Args:
            reference: points of the data, (m, d).

        Raises:
            ValueError: the reference is empty, not finite, or not of shape (m, d).
        """
        super().__init__()
        points = check_points("reference", reference)
        self._dimension = points.shape[1]
        # torchmetrics gives a rank without samples an empty vector of the metric's dtype.
        self.set_dtype(torch.float64)
        # Plain attributes: neither synchronised, nor saved, nor rounded by module.half().
        if self._dimension == 1:
            self._reference = sort_rows(points[:, 0])
        else:
            points = points[:_MAX_POINTS]
            self._centre = points.mean(dim=0)
            self._reference = points - self._centre
            self._reference_distance = _mean_distance(self._reference, self._reference)
        self.add_state("samples", default=[], dist_reduce_fx="cat")

    def update(self, samples: Tensor) -> None:
        """Add samples.

        Args:
            samples: (n, d), in the units of the reference.

        Raises:
            ValueError: another shape or d, or NaN or infinite values.
        """
        points = check_points("samples", samples, self._dimension, allow_empty=True)
        if self._dimension > 1:
            held = sum(part.numel() for part in self.samples) // self._dimension
            points = points[: max(0, _MAX_POINTS - held)]
        # Flat, because the empty vector of a rank without samples is flat as well.
        self.samples.append(points.flatten().to(self.device))

    def compute(self) -> Tensor:
        """Return the energy distance, a float64 scalar in units of the points to the power 1/2.

        Raises:
            ValueError: no samples were given.
        """
        check_some(sum(part.numel() for part in self.samples))
        samples = dim_zero_cat(self.samples)
        reference = self._reference.to(samples.device)
        if self._dimension == 1:
            return _energy_on_line(samples, reference).sqrt()
        points = self._points(samples)
        square = (
            2 * _mean_distance(points, reference)
            - _mean_distance(points, points)
            - self._reference_distance.to(points.device)
        )
        # The three means cancel for equal laws and may leave -1e-16.
        return square.clamp_min(0).sqrt()

    def without_blocks(self, num_blocks: int) -> Tensor:
        """The distance without each interleaved block of this process's samples, (b,).

        All from sums over blocks of the distances that the metric itself is made of.
        """
        samples = dim_zero_cat(self.samples)
        reference = self._reference.to(samples.device)
        if self._dimension == 1:
            cdfs, widths = cdfs_without_blocks(samples, reference, num_blocks)
            return (2 * (cdfs.square() @ widths)).sqrt()
        points = self._points(samples)
        member = torch.nn.functional.one_hot(
            block_of(len(points), num_blocks, points.device), num_blocks
        ).to(points)
        to_reference = member.T @ _distances(points, reference).mean(dim=1)
        between = member.T @ _distances(points, points) @ member  # of two blocks, (b, b)
        sizes = len(points) - member.sum(dim=0)
        # A pair is left out if one of its two points is: rows, columns, and what is in both.
        pairs = between.sum() - 2 * between.sum(dim=1) + between.diagonal()
        cross = (to_reference.sum() - to_reference) / sizes
        square = 2 * cross - pairs / sizes**2 - self._reference_distance.to(points.device)
        return square.clamp_min(0).sqrt()

    def _points(self, samples: Tensor) -> Tensor:
        """The first samples as points around the reference's centre, (n, d)."""
        points = samples.view(-1, self._dimension)[:_MAX_POINTS]
        return points - self._centre.to(points.device)
