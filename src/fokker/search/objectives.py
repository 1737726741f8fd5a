"""What a search wants: its metrics, which of their values are good, and which trials are best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from fokker.measures import measure_of
from fokker.store.job_folders import FAILED
from fokker.sweeps.jobs import Row

#: Statuses that a trial ends with; after any other one it is run again.
ENDED = ("completed", "pruned", *FAILED)
Direction = Literal["minimize", "maximize"]


@final
@dataclass(frozen=True)
class Objectives:
    """The metrics of a search.

    Attributes:
        metrics: by name.
        given: their directions; null: each is the better the lower it is, but for the
            nearest-neighbour ratio, best at 1.
    """

    metrics: tuple[str, ...]
    given: tuple[Direction, ...] | None = None

    @property
    def directions(self) -> list[Direction]:
        """What Optuna does with what it is told."""
        return list(self.given or ["minimize"] * len(self.metrics))

    def told(self, row: Row) -> list[float] | None:
        """What Optuna is told of a run; nothing if a metric is no finite number."""
        values = [row.get(metric) for metric in self.metrics]
        numbers = [float(v) for v in values if isinstance(v, (int, float)) and math.isfinite(v)]
        if len(numbers) < len(values):
            return None
        return [
            measure_of(metric).badness(v) if self.given is None else v
            for metric, v in zip(self.metrics, numbers)
        ]

    def costs(self, row: Row) -> list[float]:
        """The same with every sign so that less is better; infinite where there is none."""
        told = self.told(row) if row["status"] == "completed" else None
        if told is None:
            return [math.inf] * len(self.metrics)
        return [-v if d == "maximize" else v for v, d in zip(told, self.directions)]

    def judged(self, row: Row) -> Row:
        """A row, as one of a failure if its run has ended without a number to compare."""
        if row["status"] != "completed" or self.told(row) is not None:
            return row
        bad = [f"{m} is {row.get(m, 'not measured')}" for m in self.metrics]
        why = next(b for b, m in zip(bad, self.metrics) if self.of(m).told(row) is None)
        return {**row, "status": "failed", "error": f"{why}, which cannot be compared"}

    def of(self, metric: str) -> "Objectives":
        """One of them."""
        given = None if self.given is None else (self.given[self.metrics.index(metric)],)
        return Objectives((metric,), given)

    def in_order(self, rows: Sequence[Row]) -> list[Row]:
        """From the best value of the first metric to the worst."""
        return sorted(rows, key=lambda row: self.costs(row)[0])

    def front(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that no other one beats: none is better in one metric and as good in all others.

        Of one metric that is the best row, the first of several.
        """
        measured = [row for row in self.in_order(rows) if math.isfinite(self.costs(row)[0])]
        if len(self.metrics) == 1:
            return measured[:1]
        costs = [self.costs(row) for row in measured]

        def beats(one: list[float], other: list[float]) -> bool:
            return one != other and all(a <= b for a, b in zip(one, other))

        return [r for r, own in zip(measured, costs) if not any(beats(c, own) for c in costs)]

    def described(self, row: Row) -> str:
        """The metrics of a row."""
        return ", ".join(f"{metric} {row[metric]:.4g}" for metric in self.metrics)


def read_objectives(objective: Any, directions: Any) -> Objectives:
    """The objectives of `objective=` and `hydra.sweeper.directions=`, as plain values.

    Raises:
        ValueError: for none, one twice, or other directions than one each.
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


def shown(value: Any) -> str:
    """A value of the configuration, for a message."""
    return "null" if value is None else str(value).replace("'", "")
