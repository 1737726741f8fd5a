"""Memorisation: the distance of samples to the training set, relative to held-out points."""

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
    """Too many held-out points that are training points too, so that a ratio is meaningless."""


@final
class NearestNeighbourRatio(Metric):
    r"""The ratio `mean_i min_j |x_i - y_j| / mean_k min_j |h_k - y_j|`, to detect memorisation.

    x are samples, y training points, h held-out points. The ratio is about 1 for samples of the
    data's law, 0 for copies of the training set (memorisation), and above 1 for samples off the
    data. Neither low nor high is best. Neighbours are exact: by a k-d tree up to d = 8, above in
    blocks of queries against the whole training set.

    If points of the data come more than once, such as counts or rows of zeros and ones, a held-out
    point may be a training point too, at distance 0 like a copy. Up to 1% of them may be; with
    more, the ratio would say nothing about memorisation.
    """

    name: ClassVar[str] = "nearest_neighbour_ratio"
    is_differentiable = False
    higher_is_better = None
    full_state_update = False
    distances: list[Tensor]

    def __init__(self, training: Tensor, held_out: Tensor) -> None:
        """Index the training set.

        Args:
            training: the points that the model was trained on, (m, d).
            held_out: points of the data that it was not trained on, (k, d).

        Raises:
            ValueError: a set is empty, not finite or not of shape (n, d), or their d differ.
            RepeatedPointsError: more than 1% of the held-out points are training points too.
        """
        super().__init__()
        points = check_points("training", training)
        self._dimension = points.shape[1]
        held = check_points("held_out", held_out, self._dimension)
        # Plain attributes are not synchronised, saved or rounded by module.half().
        self._centre = points.mean(dim=0)
        self._training = points - self._centre
        self._tree: Any = None
        if self._dimension <= _TREE_DIMENSIONS:
            # The import is here because most runs never need it, and it takes a while.
            from scipy.spatial import KDTree

            # The tree leaves out copies: it cannot divide them, and would visit all at every query.
            self._tree = KDTree(np.unique(self._training.cpu().numpy(), axis=0))
        check_repeated(points, held)
        self._held_out = held
        # torchmetrics gives a rank without samples an empty vector of the metric's dtype.
        self.set_dtype(torch.float64)
        self.add_state("distances", default=[], dist_reduce_fx="cat")

    @cached_property
    def _held_out_distance(self) -> Tensor:
        """Return the mean distance of held-out points, when needed: images take a while."""
        return self._distances(self._held_out).mean()

    def update(self, samples: Tensor) -> None:
        """Add samples.

        Args:
            samples: points (n, d), in the units of the training set.

        Raises:
            ValueError: the shape or d is another one, or values are NaN or infinite.
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

        The distance of the held-out set is taken as fixed, as other metrics take their reference.
        """
        distances = dim_zero_cat(self.distances)
        means = means_of_parts(distances[: used_of(len(distances))])
        return OnParts.of(means / self._held_out_distance.to(means.device), len(distances))

    def _distances(self, points: Tensor) -> Tensor:
        """Return the distance of each point to its nearest training point, (n, d) to (n,)."""
        points = points - self._centre.to(points.device)
        if self._tree is not None:
            return torch.from_numpy(self._tree.query(points.cpu().numpy())[0])
        training = self._training.to(points.device)
        half_square = training.square().sum(dim=1) / 2
        # The block size keeps the products in cache.
        rows = max(1, _BLOCK_ENTRIES // training.shape[0])
        blocks = torch.split(points, rows)
        nearest = torch.cat([(half_square - x @ training.T).argmin(dim=1) for x in blocks])
        # |x - y|^2 from the products would give 1e-8 of a norm for a copy, which is at distance 0.
        return (points - training[nearest]).square().sum(dim=1).sqrt()


def check_repeated(training: Tensor, held_out: Tensor) -> None:
    """Refuse held-out points that are training points too, bit by bit but for the sign of 0.

    Args:
        training: points, (m, d).
        held_out: points, (k, d).

    Raises:
        RepeatedPointsError: more than 1% of the held-out points are training points too.
    """
    known, asked = (
        [hash(row.tobytes()) for row in (points.double() + 0.0).cpu().numpy()]
        for points in (training, held_out)
    )
    seen = set(known)
    repeated = sum(row in seen for row in asked)
    if repeated > _MAX_REPEATED * len(held_out):
        raise RepeatedPointsError(
            f"{repeated} of {len(held_out)} held-out points are training points too; "
            f"memorisation is measured where at most {_MAX_REPEATED:.0%} are"
        )
