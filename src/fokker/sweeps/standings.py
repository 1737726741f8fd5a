"""Which setting of a sweep is the best, by its mean over the seeds, and which come close to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from fokker.measures import ERROR, Best, Measure, measure_of
from fokker.sweeps.collection import SEED, Spread, settings_of
from fokker.sweeps.jobs import Row

#: The number of a trial, in a search.
TRIAL = "trial"


@final
@dataclass(frozen=True)
class Gap:
    """How much worse a setting is than another one, and the standard error of that, if known."""

    size: float
    error: float | None

    @property
    def is_within(self) -> bool:
        """Whether it is at most one standard error; a gap of 0 is."""
        return self.size <= (self.error or 0.0)


@final
@dataclass(frozen=True)
class Standing:
    """A setting, whose runs differ in the seed alone, and its value of one metric.

    Attributes:
        rows: of all its jobs.
        values: of those that have one, by seed.
        own_error: the standard error of a value by its samples, where it stands alone.
        measure: of the metric.
    """

    rows: Sequence[Row]
    values: Mapping[str, float]
    own_error: float | None
    measure: Measure

    @property
    def n(self) -> int:
        """How many runs have a value."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over the seeds; NaN without a value."""
        return Spread.of(list(self.values.values())).mean if self.values else math.nan

    @property
    def error(self) -> float | None:
        """The standard error of the mean over the seeds; of a single run that of its samples."""
        if self.n > 1:
            return Spread.of(list(self.values.values())).standard_error
        return self.own_error if self.n else None

    @property
    def badness(self) -> float:
        """Of the mean; infinite where that is no finite number."""
        mean = self.mean
        return self.measure.badness(mean) if math.isfinite(mean) else math.inf

    def behind(self, other: "Standing") -> Gap:
        """How much worse it is than another one.

        Over the seeds that both have, if they are two or more, the error is that of the mean of
        the differences, seed by seed: runs with one seed have the same data and noise. Otherwise
        it is the root of the sum of both errors' squares.
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
    rows: Sequence[Row], swept: Sequence[str], metric: str, best: Best | None = None
) -> list[Standing]:
    """Return all settings from the best to the worst; those without a finite value are the last.

    Where others have several seeds, a setting of which one run alone has a value stands behind
    them: it may be that seed's luck.

    Args:
        rows: of all jobs.
        swept: their keys that are swept; trials of a search with the same values are one setting.
        metric: judged by.
        best: the direction, if not the metric's own.
    """
    measure = measure_of(metric, best)
    keys = [key for key in swept if key != TRIAL]
    found = []
    for same in settings_of(rows, keys).values():
        known = [row for row in same if isinstance(row.get(metric), (int, float))]
        # A trial may have the same seed as another one.
        values = {str(row.get(SEED, "")): float(row[metric]) for row in known}
        error = known[0].get(metric + ERROR) if len(values) == 1 else None
        found.append(Standing(same, values, error, measure))
    are_several = any(s.n > 1 for s in found)
    return sorted(
        found,
        key=lambda s: (math.isinf(s.badness), are_several and s.n < 2, s.badness),
    )


def in_order(rows: Sequence[Row], swept: Sequence[str], objective: str | None) -> list[Row]:
    """Return the rows as they came, or from the best setting by a metric to the worst.

    Runs of one setting stay together: the best single run is that of the luckiest seed.
    """
    if objective is None:
        return list(rows)
    return [row for standing in standings(rows, swept, objective) for row in standing.rows]
