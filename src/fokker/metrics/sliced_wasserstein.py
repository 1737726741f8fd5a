"""The sliced 2-Wasserstein distance."""

from typing import ClassVar, final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fokker.metrics.blocks import PARTS, OnParts, means_of_parts, rows_of_parts, used_of
from fokker.metrics.coupling import coupling_cost, quantile_means, sort_rows
from fokker.metrics.points import check_points, check_some

_NUM_DIRECTIONS = 128
_DIRECTION_SEED = 2511
_BLOCK_ENTRIES = 2**15


def _directions(dimension: int) -> Tensor:
    """Return unit vectors, (d, 128), the same in every run, by a generator with a constant seed.

    On the line there is only one direction, up to its sign, (1, 1).
    """
    if dimension == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(_DIRECTION_SEED)
    normal = torch.randn(dimension, _NUM_DIRECTIONS, generator=generator, dtype=torch.float64)
    return normal / normal.square().sum(dim=0).sqrt()


@final
class SlicedWasserstein2(Metric):
    r"""The distance `SW_2 = sqrt( mean_theta W_2^2(theta . X, theta . Y) )`.

    theta runs over 128 fixed unit vectors. W_2 of the projections is exact for any two sizes. The
    directions depend only on d, so that all runs use the same ones. 0 is best; with d = 1 it is W_2
    itself.

    Source: Bonneel, Rabin, Peyre, Pfister 2015, "Sliced and Radon Wasserstein barycenters of
    measures", section 3.
    """

    name: ClassVar[str] = "sliced_w2"
    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    projections: list[Tensor]

    def __init__(self, reference: Tensor) -> None:
        """Project and sort the reference.

        Args:
            reference: points of the data, (m, d).

        Raises:
            ValueError: the reference is empty, not finite, or not of shape (m, d).
        """
        super().__init__()
        points = check_points("reference", reference)
        # torchmetrics gives a rank without samples an empty vector of the metric's dtype.
        self.set_dtype(torch.float64)
        # Plain attributes are not synchronised, saved or rounded by module.half().
        self._directions = _directions(points.shape[1]).to(points.device)
        self._reference = sort_rows((points @ self._directions).T.contiguous())
        self._quantile_means: dict[int, Tensor] = {}
        self.add_state("projections", default=[], dist_reduce_fx="cat")

    def update(self, samples: Tensor) -> None:
        """Add samples.

        Args:
            samples: points (n, d), in the units of the reference.

        Raises:
            ValueError: the shape or d is another one, or values are NaN or infinite.
        """
        points = check_points("samples", samples, self._directions.shape[0], allow_empty=True)
        points = points.to(self.device)
        # Flat, because the empty vector of a rank without samples is flat as well.
        self.projections.append((points @ self._directions.to(points.device)).flatten())

    def compute(self) -> Tensor:
        """Return SW_2, a float64 scalar in the units of the points.

        Raises:
            ValueError: no samples were given.
        """
        check_some(sum(part.numel() for part in self.projections))
        flat = dim_zero_cat(self.projections)
        samples = sort_rows(flat.view(-1, self._directions.shape[1]).T.contiguous())
        return coupling_cost(samples, self._reference.to(samples.device), order=2).mean().sqrt()

    def on_parts(self) -> OnParts:
        """Return SW_2 of halves and quarters of this process's samples.

        For n sorted points, `W_2^2 = mean x_k^2 - 2 mean x_k g_k + mean y^2` with g_k the mean of
        the reference's quantile function over the k-th n-th. So the reference is passed only once.
        """
        flat = dim_zero_cat(self.projections)
        reference = self._reference.to(flat.device)
        # Centre on the reference, so that the three terms cancel as little as possible.
        centre = reference.mean(dim=1, keepdim=True)
        reference = reference - centre
        projections = flat.view(-1, self._directions.shape[1])
        samples = projections[: used_of(len(projections))].T - centre
        # As many directions at a time as fit into the cache.
        at_a_time = max(1, _BLOCK_ENTRIES // samples.shape[1])
        crosses = torch.zeros(len(PARTS), dtype=torch.float64, device=flat.device)
        for start in range(0, len(samples), at_a_time):
            some = slice(start, start + at_a_time)
            rows = rows_of_parts(samples[some])
            means = [self._means(reference, x.shape[2])[some] / x.shape[2] for x in rows]
            pairs = zip(rows, means, strict=True)
            crosses += torch.cat([torch.einsum("pkn,kn->p", x, g) for x, g in pairs])
        squares = means_of_parts(samples.square().mean(dim=0))
        costs = squares - 2 * crosses / len(samples) + reference.square().mean()
        return OnParts.of(costs.clamp_min(0).sqrt(), len(projections))

    def _means(self, reference: Tensor, n: int) -> Tensor:
        """Return `quantile_means` around the centre, (k, n); they are the same for all samples."""
        if n not in self._quantile_means:
            self._quantile_means[n] = quantile_means(reference, n)
        return self._quantile_means[n].to(reference.device)
