"""The standings of a sweep: its settings in order, by their mean over the seeds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from fokker.measures import ERROR, Measure
from fokker.sweeps.collection import SEED, Spread, settings_of
from fokker.sweeps.jobs import Row

#: The number of a trial, in a search.
TRIAL = "trial"


@final
@dataclass(frozen=True)
class Gap:
    """The amount by which a setting is worse than another one, and its standard error if known."""

    size: float
    error: float | None

    @property
    def is_within(self) -> bool:
        """Return whether the gap is at most one standard error; a gap of 0 is."""
        return self.size <= (self.error or 0.0)


@final
@dataclass(frozen=True)
class Standing:
    """A setting, whose runs differ only in the seed, and its values of one metric.

    Attributes:
        rows: the rows of all its jobs.
        values: the values of the jobs that have one, by seed.
        own_error: the standard error of a single value, estimated from its samples.
        measure: the measure of the metric.
    """

    rows: Sequence[Row]
    values: Mapping[str, float]
    own_error: float | None
    measure: Measure

    @property
    def n(self) -> int:
        """Return how many seeds have a value."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Return the mean over the seeds; NaN without a value."""
        return Spread.of(list(self.values.values())).mean if self.values else math.nan

    @property
    def error(self) -> float | None:
        """Return the standard error of the mean over the seeds, or that of a single value."""
        if self.n > 1:
            return Spread.of(list(self.values.values())).standard_error
        return self.own_error if self.n else None

    @property
    def badness(self) -> float:
        """Return the badness of the mean; infinite if the mean is not finite."""
        mean = self.mean
        return self.measure.badness(mean) if math.isfinite(mean) else math.inf

    def behind(self, other: "Standing") -> Gap:
        """Return how much worse this setting is than another one.

        If both share two seeds or more, the error is that of the mean of the differences, seed by
        seed: runs with one seed have the same data and randomness. Otherwise it is the root of the
        sum of both errors' squares, or null if one of these is not known.
        """
        size = self.badness - other.badness
        slopes = [s.measure.slope(s.mean) for s in (self, other)]
        common = [seed for seed in self.values if seed in other.values]
        if min(len(common), self.n, other.n) > 1:
            pairs = [slopes[0] * self.values[s] - slopes[1] * other.values[s] for s in common]
            return Gap(size, Spread.of(pairs).standard_error)
        if self.error is None or other.error is None:
            return Gap(size, None)
        return Gap(size, math.hypot(self.error, other.error))


def standings(
    rows: Sequence[Row], swept: Sequence[str], metric: str, measure: Measure
) -> list[Standing]:
    """Return all settings from the best to the worst; those without a finite value are the last.

    If other settings have several seeds, a setting with a value of one seed comes after them: its
    value may be due to sampling noise.

    Args:
        rows: the rows of all jobs.
        swept: the swept keys of the rows; trials of a search with the same values are one setting.
        metric: the metric by which settings are judged.
        measure: the measure of the metric, which says the direction that is better.
    """
    keys = [key for key in swept if key != TRIAL]
    found = []
    for same in settings_of(rows, keys).values():
        known = [row for row in same if isinstance(row.get(metric), (int, float))]
        # Two trials may have the same seed; they count as one value.
        values = {str(row.get(SEED, "")): float(row[metric]) for row in known}
        error = known[0].get(metric + ERROR) if len(values) == 1 else None
        found.append(Standing(same, values, error, measure))
    are_several = any(s.n > 1 for s in found)
    return sorted(
        found,
        key=lambda s: (math.isinf(s.badness), are_several and s.n < 2, s.badness),
    )
