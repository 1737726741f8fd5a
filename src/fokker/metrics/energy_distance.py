"""The energy distance."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fokker.metrics.blocks import (
    NUM_BLOCKS,
    PARTS,
    OnParts,
    means_of_parts,
    rows_of_parts,
    used_of,
)
from fokker.metrics.coupling import sort_rows
from fokker.metrics.points import check_points, check_some

_MAX_POINTS = 2000
_EXACT_DIMENSIONS = 16


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Return `|x_i - y_j|` of (n, d) and (m, d), (n, m)."""
    # The matrix product is many times faster for large d. Its rounding (1e-8 of a norm, and only
    # between points that nearly coincide) does not matter in the mean.
    exact = x.shape[1] <= _EXACT_DIMENSIONS
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist"
    return torch.cdist(x, y, compute_mode=mode)


def _mean_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return `mean_ij |x_i - y_j|`."""
    return _distances(x, y).mean()


def _energy_on_line(x: Tensor, y: Tensor) -> Tensor:
    """Return `2 int (F - G)^2`, the squared energy distance of (n,) and sorted (m,) points."""
    merged = sort_rows(torch.cat([x, y]))
    # The conversion is needed because integers divided by an integer would be float32.
    cdf_x = torch.searchsorted(sort_rows(x), merged[:-1], right=True).to(x.dtype) / x.shape[0]
    cdf_y = torch.searchsorted(y, merged[:-1], right=True).to(x.dtype) / y.shape[0]
    return 2 * ((cdf_x - cdf_y).square() * merged.diff()).sum()


def _mean_to_sorted(x: Tensor, y: Tensor) -> Tensor:
    """Return `mean_j |x_i - y_j|` of points (n,) and sorted (m,), (n,)."""
    below = torch.searchsorted(y, x, right=True)
    sums = torch.cat([y.new_zeros(1), y.cumsum(dim=0)])
    return (x * (2 * below - len(y)) + sums[-1] - 2 * sums[below]) / len(y)


def _mean_within_sorted(x: Tensor) -> Tensor:
    """Return `mean_ij |x_i - x_j|` of sorted points (..., n).

    It is the sum of 2 (2k - n + 1) x_k / n^2, k from 0.
    """
    n = x.shape[-1]
    return x @ torch.arange(1 - n, n, 2, device=x.device).to(x) * (2 / n**2)


@final
class EnergyDistance(Metric):
    r"""The root `sqrt( 2 E|X - Y| - E|X - X'| - E|Y - Y'| )`, as in `scipy.stats`.

    It is a V-statistic: E|X - X'| is the mean over all n^2 pairs, including the n pairs of a point
    with itself. That is the energy distance of the two empirical laws. So it is never negative, and
    exactly 0 for equal laws. If samples and reference have one law, its square is too large by
    E|X - X'| (1/n + 1/m) in expectation. With d = 1 all points are used, by sorting; with d > 1 the
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
        # Plain attributes are not synchronised, saved or rounded by module.half().
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
            samples: points (n, d), in the units of the reference.

        Raises:
            ValueError: the shape or d is another one, or values are NaN or infinite.
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

    def on_parts(self) -> OnParts:
        """Return the distance of halves and quarters of this process's samples.

        It uses the mean distances of each sample to the reference, and of any two samples. The
        latter come from sorted parts on the line, else from sums over blocks.
        """
        samples = dim_zero_cat(self.samples)
        reference = self._reference.to(samples.device)
        if self._dimension == 1:
            count = len(samples)
            # Centre on the reference, so that the three terms cancel as little as possible.
            centre = reference.mean()
            points, reference = samples[: used_of(count)] - centre, reference - centre
            to_reference = _mean_to_sorted(points, reference)
            rows = rows_of_parts(points[None])
            pairs = torch.cat([_mean_within_sorted(x[:, 0]) for x in rows])
            own = _mean_within_sorted(reference)
        else:
            points = self._points(samples)
            count = len(points)
            points = points[: used_of(count)]
            to_reference = _distances(points, reference).mean(dim=1)
            by_block = (len(points) // NUM_BLOCKS, NUM_BLOCKS)
            between = _distances(points, points).view(*by_block, *by_block).mean(dim=(0, 2))
            parts = PARTS.to(points)
            parts = parts / parts.sum(dim=1, keepdim=True)
            pairs = ((parts @ between) * parts).sum(dim=1)
            own = self._reference_distance.to(points.device)
        square = 2 * means_of_parts(to_reference) - pairs - own
        return OnParts.of(square.clamp_min(0).sqrt(), count)

    def _points(self, samples: Tensor) -> Tensor:
        """Return the first samples as points around the reference's centre, (n, d)."""
        points = samples.view(-1, self._dimension)[:_MAX_POINTS]
        return points - self._centre.to(points.device)
