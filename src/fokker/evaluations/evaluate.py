"""The metrics of samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from torch import Tensor
from torchmetrics import Metric

from fokker.data import DataModule
from fokker.machine.own_code import own_code
from fokker.machine.signals import SIGNALS
from fokker.measures import ERROR, OF_DATA
from fokker.metrics import Prepared, SampleMetric
from fokker.metrics.alone import alone
from fokker.metrics.blocks import MIN_SAMPLES, OnParts, groups_in_blocks, on_parts_by
from fokker.randomness import Randomness

# One seed for all runs, so that they are compared on the same points.
YARDSTICK = Randomness(0)


@runtime_checkable
class HasParts(Protocol):
    """A torchmetrics metric that computes its values on parts faster than one by one."""

    def reset(self) -> None:
        """Forget all samples."""

    def update(self, samples: Tensor) -> None:
        """Add samples."""

    def on_parts(self) -> OnParts:
        """Return the values on halves and quarters of the samples."""


@final
@dataclass(frozen=True)
class PreparedMetric:
    """A metric of samples that has computed what depends only on the data.

    Attributes:
        name: the name of the metric, for messages.
        option: the option of the group `metrics` that it was made by.
        compute: the function or the metric that takes samples.
    """

    name: str
    option: SampleMetric
    compute: Prepared

    @classmethod
    def of(
        cls, name: str, option: SampleMetric, data: DataModule, num_samples: int
    ) -> "PreparedMetric":
        """Prepare a metric for so many samples.

        Raises:
            ValueError: the metric gives neither a function nor a metric.
        """
        with own_code(f"metrics.{name} cannot be prepared", "fix it, or leave it out"):
            compute = option.prepared(data, num_samples)
        if not callable(compute):
            raise ValueError(
                f"{type(option).__name__}.prepared must return a function of samples or a "
                f"torchmetrics.Metric, got {type(compute).__name__}; return one"
            )
        return cls(name, option, alone(compute) if isinstance(compute, Metric) else compute)

    def given(self, samples: Tensor) -> Tensor:
        """Return samples (n, *shape) as the metric takes them."""
        return samples.flatten(1) if self.option.is_flat else samples

    def __call__(self, samples: Tensor) -> float:
        """Return the number of samples, (n, *shape) or flat.

        Raises:
            ValueError: the metric gives something else than one number.
        """
        SIGNALS.ask()
        with own_code(f"metrics.{self.name} cannot be computed", "fix it, or leave it out"):
            found = self._computed(samples)
        number: object = found.item() if isinstance(found, Tensor) and found.numel() == 1 else found
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError(
                f"metrics.{self.name} must give one number, got {type(number).__name__}; fix it"
            )
        return float(number)

    def on_parts(self, samples: Tensor) -> OnParts:
        """Return the numbers of halves and quarters of samples, which are in blocks."""
        if not isinstance(self.compute, HasParts):
            return on_parts_by(self, samples)
        SIGNALS.ask()
        self.compute.reset()
        self.compute.update(samples)
        return self.compute.on_parts()

    def _computed(self, samples: Tensor) -> object:
        if not isinstance(self.compute, Metric):
            return self.compute(samples)
        self.compute.reset()
        self.compute.update(samples)
        return self.compute.compute()


@final
@dataclass(frozen=True)
class SampleMetrics:
    """The metrics of samples, by name, with all that depends only on the data computed once."""

    metrics: Mapping[str, PreparedMetric]

    @classmethod
    def of(
        cls, metrics: Mapping[str, SampleMetric], data: DataModule, num_samples: int
    ) -> "SampleMetrics":
        """Prepare metrics that fit the data."""
        return cls(
            {n: PreparedMetric.of(n, metric, data, num_samples) for n, metric in metrics.items()}
        )

    def __call__(
        self, samples: Tensor, is_random: bool = True, group: int = 1
    ) -> dict[str, float]:
        """Return every metric of samples, and then the `<name>_standard_error` of each.

        Args:
            samples: the samples, in the data's units, (n, *shape).
            is_random: whether other samples could have been drawn. There are no standard errors if
                not, as for starts at quantiles, or if there are fewer than 20 samples.
            group: the number of successive samples that depend on each other.
        """
        values, errors = {}, {}
        blocks = groups_in_blocks(samples, group)
        for name, metric in self.metrics.items():
            given = metric.given(blocks)
            values[name] = metric(given)
            if is_random and metric.option.has_error and len(samples) >= MIN_SAMPLES:
                errors[name + ERROR] = metric.on_parts(given).standard_error()
        return {**values, **errors}

    def on_parts(self, samples: Tensor, group: int = 1) -> dict[str, OnParts]:
        """Return every metric on halves and quarters of samples, for the errors of differences."""
        blocks = groups_in_blocks(samples, group)
        return {
            name: metric.on_parts(metric.given(blocks))
            for name, metric in self.metrics.items()
            if metric.option.has_error
        }

    def of_data(self, data: DataModule, num_samples: int) -> dict[str, float]:
        """Return each metric of as many points of the data as samples, as `<name>_data`.

        These are the numbers of perfect samples, which have only sampling noise. The points are
        fresh for a known law, and training points for a finite set, at most all of them. They are
        compared with the same reference as samples, and are the same in all runs, for any seed.
        The result is empty for data that give neither. A ratio that is best at 1 is left out: it
        compares with the training points themselves.
        """
        points = _points_of(data, num_samples)
        if points is None:
            return {}
        return {
            name + OF_DATA: metric(metric.given(points))
            for name, metric in self.metrics.items()
            if metric.option.best != "closest to 1"
        }


def _points_of(data: DataModule, count: int) -> Tensor | None:
    """Return at most `count` points of the data, none of them in their reference, (n, *shape)."""
    drawn = data.fresh_points(count, YARDSTICK.generator("yardstick"))
    if drawn is not None:
        return drawn
    points = data.training_points()
    if points is None:
        return None
    return points[YARDSTICK.permutation("yardstick", len(points))[:count]]
