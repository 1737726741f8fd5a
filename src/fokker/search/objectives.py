"""The objectives of a search: its metrics, their directions, and the trials that are best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final, get_args

from fokker.measures import Measure, measure_of
from fokker.store.job_folders import FAILED
from fokker.sweeps.jobs import Row

#: The statuses of a trial that has ended; a trial with any other one is run again.
ENDED = ("completed", "pruned", *FAILED)
Direction = Literal["minimize", "maximize"]


@final
@dataclass(frozen=True)
class Objectives:
    """The metrics of a search.

    Attributes:
        metrics: the names of the metrics.
        given: the directions of the metrics. If null, they are those of the measures.
        measures: the measures of the metrics, by name; lower is better of a metric without one.
    """

    metrics: tuple[str, ...]
    given: tuple[Direction, ...] | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)

    @property
    def directions(self) -> list[Direction]:
        """Return the direction in which Optuna searches for each value that it is told."""
        return list(self.given or ["minimize"] * len(self.metrics))

    def told(self, row: Row) -> list[float] | None:
        """Return what Optuna is told of a run; null if a metric is not a finite number."""
        values = [row.get(metric) for metric in self.metrics]
        numbers = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
        if len(numbers) < len(values):
            return None
        return [
            self._measure(metric).badness(v) if self.given is None else v
            for metric, v in zip(self.metrics, numbers)
        ]

    def costs(self, row: Row) -> list[float]:
        """Return a row's values with signs so that less is better; infinite without a result."""
        told = self.told(row) if row["status"] == "completed" else None
        if told is None:
            return [math.inf] * len(self.metrics)
        return [-v if d == "maximize" else v for v, d in zip(told, self.directions)]

    def judged(self, row: Row) -> Row:
        """Return a row, as a failed one if its run has completed without a number to compare."""
        if row["status"] != "completed" or self.told(row) is not None:
            return row
        bad = [f"{m} is {row.get(m, 'not measured')}" for m in self.metrics]
        why = next(b for b, m in zip(bad, self.metrics) if self.of(m).told(row) is None)
        return {**row, "status": "failed", "error": f"{why}, which cannot be compared"}

    def of(self, metric: str) -> "Objectives":
        """Return the objectives with only this metric."""
        given = None if self.given is None else (self.given[self.metrics.index(metric)],)
        return replace(self, metrics=(metric,), given=given)

    def described(self, measures: Mapping[str, Measure]) -> "Objectives":
        """Return the same objectives with the measures of their metrics."""
        return replace(self, measures={m: measures[m] for m in self.metrics if m in measures})

    def _measure(self, metric: str) -> Measure:
        return self.measures.get(metric) or measure_of(metric)

    def in_order(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows from the best value of the first metric to the worst."""
        return sorted(rows, key=lambda row: self.costs(row)[0])

    def front(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows that no other one beats.

        A row beats another one if it is better in one metric and at least as good in all others.
        With one metric the result is only the first of the best rows.
        """
        measured = [row for row in self.in_order(rows) if math.isfinite(self.costs(row)[0])]
        if len(self.metrics) == 1:
            return measured[:1]
        costs = [self.costs(row) for row in measured]

        def beats(one: list[float], other: list[float]) -> bool:
            return one != other and all(a <= b for a, b in zip(one, other))

        return [r for r, own in zip(measured, costs) if not any(beats(c, own) for c in costs)]

    def text(self, row: Row) -> str:
        """Return the metrics of a row as text."""
        return ", ".join(f"{metric} {row[metric]:.4g}" for metric in self.metrics)


def read_objectives(objective: Any, directions: Any) -> Objectives:
    """Read the objectives from the plain values of `objective=` and `hydra.sweeper.directions=`.

    Raises:
        ValueError: if there is no objective, one is named twice, or not each has one direction.
    """
    metrics = objective if isinstance(objective, list) else [objective]
    if not metrics or not all(isinstance(m, str) and m for m in metrics):
        raise ValueError(
            "objective must be the metric that is searched for, or a list of them, such as "
            f"objective=w1 or objective=[w1,nfe], got {shown(objective)}"
        )
    if len(set(metrics)) < len(metrics):
        raise ValueError(f"objective must name each metric once, got {shown(objective)}")
    given = [directions] if isinstance(directions, str) else directions
    if given is not None and (
        not isinstance(given, list)
        or len(given) != len(metrics)
        or not all(d in get_args(Direction) for d in given)
    ):
        raise ValueError(
            "hydra.sweeper.directions must be null or hold minimize or maximize for each of "
            f"{len(metrics)} objectives ({', '.join(metrics)}), got {shown(directions)}"
        )
    return Objectives(tuple(metrics), None if given is None else tuple(given))


def shown(value: object) -> str:
    """Return a value of the configuration as text for a message."""
    return "null" if value is None else str(value).replace("'", "")
