"""Memorisation: how much nearer to the training set samples are than held-out points."""

from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from fokker.metrics.blocks import OnParts, means_of_parts, used_of
from fokker.metrics.points import check_points, check_some

_TREE_DIMENSIONS = 8
_BLOCK_ENTRIES = 2**18
_MAX_REPEATED = 0.01


@final
class RepeatedPointsError(ValueError):
    """Held-out points that are training points too, of which a ratio cannot be made."""


@final
class NearestNeighbourRatio(Metric):
    r"""`mean_i min_j |x_i - y_j| / mean_k min_j |h_k - y_j|`: samples x, training y, held-out h.

    About 1 for samples of the data's law, 0 for copies of the training set (memorisation), above 1
    for samples off the data. Neither low nor high is best. Exact neighbours; by a k-d tree up to
    d = 8, above in blocks of queries against the whole training set.

    Of data whose points come more than once, such as counts or rows of zeros and ones, a held-out
    point may be a training point too, at distance 0 like a copy. Up to 1% of them may be: more of
    them, and the ratio would say nothing of memorisation.
    """

    name: ClassVar[str] = "nearest_neighbour_ratio"
    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    distances: list[Tensor]

    def __init__(self, training: Tensor, held_out: Tensor) -> None:
        """Index the training set.

        Args:
            training: points the model was trained on, (m, d).
            held_out: points of the data it was not trained on, (k, d).

        Raises:
            ValueError: a set is empty, not finite or not of shape (n, d), or their d differ.
            RepeatedPointsError: more than 1% of the held-out points are training points too.
        """
        super().__init__()
        points = check_points("training", training)
        self._dimension = points.shape[1]
        held = check_points("held_out", held_out, self._dimension)
        # Plain attributes: neither synchronised, nor saved, nor rounded by module.half().
        self._centre = points.mean(dim=0)
        self._training = points - self._centre
        self._tree: Any = None
        if self._dimension <= _TREE_DIMENSIONS:
            # Here, because most runs never ask and the import takes a while.
            from scipy.spatial import KDTree

            # Without copies, which a tree cannot divide, and would go through at every query.
            self._tree = KDTree(np.unique(self._training.cpu().numpy(), axis=0))
        repeated = _count_repeated(points, held)
        if repeated > _MAX_REPEATED * len(held):
            raise RepeatedPointsError(
                f"{repeated} of {len(held)} held-out points are training points too; "
                f"memorisation is measured where at most {_MAX_REPEATED:.0%} are"
            )
        self._held_out = held
        # torchmetrics gives a rank without samples an empty vector of the metric's dtype.
        self.set_dtype(torch.float64)
        self.add_state("distances", default=[], dist_reduce_fx="cat")

    @cached_property
    def _held_out_distance(self) -> Tensor:
        """Not measured where only the name is asked for: of images it takes a while."""
        return self._distances(self._held_out).mean()

    def update(self, samples: Tensor) -> None:
        """Add samples.

        Args:
            samples: (n, d), in the units of the training set.

        Raises:
            ValueError: another shape or d, or NaN or infinite values.
        """
        points = check_points("samples", samples, self._dimension, allow_empty=True)
        self.distances.append(self._distances(points).to(self.device))

    def compute(self) -> Tensor:
        """Return the ratio, a float64 scalar without unit.

        Raises:
            ValueError: no samples were given.
        """
        check_some(sum(part.numel() for part in self.distances))
        mean = dim_zero_cat(self.distances).mean()
        return mean / self._held_out_distance.to(mean.device)

    def on_parts(self) -> OnParts:
        """Return the ratio of halves and quarters of this process's samples.

        The held-out set's own distance is taken as it is, as the reference's points are elsewhere.
        """
        distances = dim_zero_cat(self.distances)
        means = means_of_parts(distances[: used_of(len(distances))])
        return OnParts.of(means / self._held_out_distance.to(means.device), len(distances))

    def _distances(self, points: Tensor) -> Tensor:
        """Distance of each point to its nearest training point, (n, d) to (n,)."""
        points = points - self._centre.to(points.device)
        if self._tree is not None:
            return torch.from_numpy(self._tree.query(points.cpu().numpy())[0])
        training = self._training.to(points.device)
        half_square = training.square().sum(dim=1) / 2
        # A block of products that stays in cache.
        rows = max(1, _BLOCK_ENTRIES // training.shape[0])
        blocks = torch.split(points, rows)
        nearest = torch.cat([(half_square - x @ training.T).argmin(dim=1) for x in blocks])
        # |x - y|^2 from the products would leave 1e-8 of a norm where a copy is at distance 0.
        return (points - training[nearest]).square().sum(dim=1).sqrt()


def _count_repeated(training: Tensor, held_out: Tensor) -> int:
    """Count held-out points that are training points too, bit by bit but for the sign of 0."""
    known, asked = (
        [hash(row.tobytes()) for row in (points + 0.0).cpu().numpy()]
        for points in (training, held_out)
    )
    seen = set(known)
    return sum(row in seen for row in asked)
