"""The metrics of samples that fokker has: the options of the group `metrics`."""

import math
from abc import abstractmethod
from typing import ClassVar, final

from torch import Tensor
from torchmetrics import Metric

from fokker.data import DataModule
from fokker.measures import UNITS, Best
from fokker.metrics.base import SampleMetric
from fokker.metrics.energy_distance import EnergyDistance
from fokker.metrics.nearest_neighbour_ratio import NearestNeighbourRatio, check_repeated
from fokker.metrics.sliced_wasserstein import SlicedWasserstein2
from fokker.metrics.wasserstein import Wasserstein1

#: The number of held-out points that show whether points of the data come more than once.
_MAX_HELD_OUT = 10_000


class OfPoints(SampleMetric):
    """A metric of samples as points, (n, d).

    Args:
        optional: whether it is left out of data that it does not fit.
    """

    is_flat: ClassVar[bool] = True

    def __init__(self, optional: bool = False) -> None:
        self.optional = optional

    def check(self, data: DataModule) -> None:
        """Refuse letters and other whole numbers, which have no distances."""
        if not data.dtype.is_floating_point:
            raise ValueError(f"it needs real numbers, got {data.dtype}")


class Distance(OfPoints):
    """A distance of samples to points of the data, 0 if both have one law."""

    def prepared(self, data: DataModule, num_samples: int) -> Metric:
        """Return the distance to as many reference points of the data as there are samples."""
        return self.to(data.reference(num_samples).flatten(1))

    @abstractmethod
    def to(self, reference: Tensor) -> Metric:
        """Return the distance to a reference, (m, d)."""


@final
class W1(Distance):
    """`W_1 = int_0^1 |F^-1(q) - G^-1(q)| dq`, the 1-Wasserstein distance in one dimension.

    F is the law of the samples, G that of the reference; see `Wasserstein1`.
    """

    label: ClassVar[str] = "W1"
    unit: ClassVar[str] = UNITS

    def check(self, data: DataModule) -> None:
        """Refuse data of more than one dimension."""
        super().check(data)
        if math.prod(data.shape) != 1:
            raise ValueError(f"it needs data in one dimension, got the shape {list(data.shape)}")

    def to(self, reference: Tensor) -> Wasserstein1:
        return Wasserstein1(reference)


@final
class SlicedW2(Distance):
    """`SW_2 = sqrt(mean_theta W_2^2(theta . X, theta . Y))`, the sliced 2-Wasserstein distance.

    theta runs over 128 fixed unit vectors; see `SlicedWasserstein2`.
    """

    label: ClassVar[str] = "sliced W2"
    unit: ClassVar[str] = UNITS

    def to(self, reference: Tensor) -> SlicedWasserstein2:
        return SlicedWasserstein2(reference)


@final
class Energy(Distance):
    """`sqrt(2 E|X - Y| - E|X - X'| - E|Y - Y'|)`, the energy distance; see `EnergyDistance`."""

    label: ClassVar[str] = "energy distance"
    unit: ClassVar[str] = f"root of {UNITS}"

    def to(self, reference: Tensor) -> EnergyDistance:
        return EnergyDistance(reference)


@final
class Memorisation(OfPoints):
    """`mean_i min_j |x_i - y_j| / mean_k min_j |h_k - y_j|`, to detect memorisation.

    x are samples, y training points, h held-out points; see `NearestNeighbourRatio`.
    """

    label: ClassVar[str] = "nearest-neighbour ratio"
    best: ClassVar[Best] = "closest to 1"

    def check(self, data: DataModule) -> None:
        """Refuse data without a training set of real numbers.

        Raises:
            RepeatedPointsError: more than 1% of the held-out points are training points too.
        """
        super().check(data)
        training = data.training_points()
        if training is None:
            raise ValueError("it needs a finite training set, got a law that gives fresh points")
        check_repeated(training.flatten(1), data.held_out(_MAX_HELD_OUT).x.flatten(1))

    def prepared(self, data: DataModule, num_samples: int) -> NearestNeighbourRatio:
        """Return the ratio to the distance of at most as many held-out points as samples."""
        training = data.training_points()
        assert training is not None  # `check` has refused such data.
        return NearestNeighbourRatio(training.flatten(1), data.held_out(num_samples).x.flatten(1))
