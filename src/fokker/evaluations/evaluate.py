"""The metrics of samples."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import final

from torch import Tensor

from fokker.data import DataModule
from fokker.machine.signals import SIGNALS
from fokker.metrics import (
    EnergyDistance,
    NearestNeighbourRatio,
    RepeatedPointsError,
    SlicedWasserstein2,
    Wasserstein1,
)
from fokker.metrics.alone import alone
from fokker.metrics.blocks import MIN_SAMPLES, OnParts, groups_in_blocks
from fokker.randomness import Randomness

# One seed for all runs, so that they are compared on the same points.
YARDSTICK = Randomness(0)
#: The suffix of the name of a distance that is computed for points of the data, not for samples.
OF_DATA = "_data"

Distance = Wasserstein1 | SlicedWasserstein2 | EnergyDistance | NearestNeighbourRatio


@final
@dataclass(frozen=True)
class SampleMetrics:
    """The metrics of samples; their parts that depend only on the data are computed once.

    Attributes:
        distances: the metrics, by name.
        left_out: the reasons why metrics of these data are left out, by name.
    """

    distances: dict[str, Distance]
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: DataModule, num_samples: int) -> "SampleMetrics":
        """Return the metrics that fit the data: w1 in one dimension, memorisation for finite sets.

        Letters and other whole numbers have no distances. Memorisation, the nearest-neighbour
        ratio, is left out where more than 1% of the held-out points are training points too.
        """
        if not data.dtype.is_floating_point:
            return cls({})
        reference = data.reference(num_samples).flatten(1)
        distances: dict[str, Distance] = {
            "sliced_w2": SlicedWasserstein2(reference),
            "energy_distance": EnergyDistance(reference),
        }
        if reference.shape[1] == 1:
            distances = {"w1": Wasserstein1(reference), **distances}
        left_out: dict[str, str] = {}
        training = data.training_points()
        if training is not None:
            held_out = data.held_out(num_samples).x.flatten(1)
            try:
                ratio = NearestNeighbourRatio(training.flatten(1), held_out)
                distances["nearest_neighbour_ratio"] = ratio
            except RepeatedPointsError as error:
                left_out["nearest_neighbour_ratio"] = str(error)
        return cls({name: alone(metric) for name, metric in distances.items()}, left_out)

    def __call__(
        self, samples: Tensor, by_chance: bool = True, group: int = 1
    ) -> dict[str, float]:
        """Return every metric of samples, and then the `<name>_standard_error` of each.

        Args:
            samples: the samples, in the data's units, (n, *shape).
            by_chance: whether other samples could have been drawn. There are no standard errors if
                not, as for starts at quantiles, or if there are fewer than 20 samples.
            group: the number of successive samples that depend on each other.
        """
        values, errors = {}, {}
        for name, metric in self._given(groups_in_blocks(samples, group)):
            values[name] = float(metric.compute())
            if by_chance and len(samples) >= MIN_SAMPLES:
                errors[f"{name}_standard_error"] = metric.on_parts().standard_error()
        return {**values, **errors}

    def on_parts(self, samples: Tensor, group: int = 1) -> dict[str, OnParts]:
        """Return every metric on halves and quarters of samples, for the errors of differences."""
        given = self._given(groups_in_blocks(samples, group))
        return {name: metric.on_parts() for name, metric in given}

    def of_data(self, data: DataModule, num_samples: int) -> dict[str, float]:
        """Return each distance of as many points of the data as samples, as `<name>_data`.

        These are the distances of perfect samples, which have only sampling noise. The points are
        fresh for a known law, and training points for a finite set, at most all of them. They are
        compared with the same reference as samples, and are the same in all runs, for any seed.
        The result is empty for data that give neither.
        """
        points = _points_of(data, num_samples)
        if points is None:
            return {}
        # The others, such as the nearest-neighbour ratio, are not best at 0.
        return {
            f"{name}{OF_DATA}": float(metric.compute())
            for name, metric in self._given(points)
            if metric.higher_is_better is False
        }

    def _given(self, samples: Tensor) -> Iterator[tuple[str, Distance]]:
        """Yield the metrics by name, each updated with these samples."""
        for name, metric in self.distances.items():
            SIGNALS.ask()
            metric.reset()
            metric.update(samples.flatten(1))
            yield name, metric


def _points_of(data: DataModule, count: int) -> Tensor | None:
    """Return at most `count` points of the data, none of them in their reference, (n, *shape)."""
    drawn = data.fresh_points(count, YARDSTICK.generator("yardstick"))
    if drawn is not None:
        return drawn
    points = data.training_points()
    if points is None:
        return None
    return points[YARDSTICK.permutation("yardstick", len(points))[:count]]
