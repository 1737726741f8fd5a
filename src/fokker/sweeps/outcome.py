"""The outcome of a sweep: its rows, data, units and ranks, for all that reports on it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from fokker.measures import Best, Measure, common_units, measure_of, units_of
from fokker.overrides import read
from fokker.store.records import WAYS_OF_READING, record_or_why
from fokker.sweeps.collection import SEED, beside, count, metrics_of
from fokker.sweeps.jobs import Row
from fokker.sweeps.standings import TRIAL, Standing, standings

_MAX_NAMES = 3
_NO_METRIC = ("num_steps", "nfe")


@final
@dataclass(frozen=True)
class Outcome:
    """The jobs of a sweep, and what is asked of them.

    Attributes:
        folder: the folder of the sweep.
        rows: the rows of all jobs, as `Job.row` gives them; those of a search have the key `trial`.
        swept: the swept keys of the rows.
        objectives: the metrics that are asked for.
        directions: the directions of the objectives, where a search was told any.
    """

    folder: Path
    rows: Sequence[Row]
    swept: Sequence[str]
    objectives: Sequence[str] = ()
    directions: Sequence[Best] | None = None

    @property
    def metric(self) -> str:
        """Return the metric by which settings are judged."""
        return self.objectives[0] if self.objectives else self.main_metric

    @cached_property
    def main_metric(self) -> str:
        """Return the metric by which a sweep is judged if no objective is given.

        It is the first metric of samples that every completed row has, else the first that any row
        has, else the first number of the first completed row. It is empty if there is none.
        """
        done, known = self.done, self.sample_metrics
        everywhere = [name for name in known if done and all(name in row for row in done)]
        somewhere = [name for name in known if any(name in row for row in self.rows)]
        own = [n for row in done[:1] for n in metrics_of(row, self.swept) if n not in _NO_METRIC]
        return next(iter([*everywhere, *somewhere, *own]), "")

    @property
    def excess_metric(self) -> str:
        """Return `relative_excess`, by which models compare; `excess` if no row has that."""
        has_relative = any("relative_excess" in row for row in self.rows)
        return "relative_excess" if has_relative else "excess"

    @property
    def done(self) -> list[Row]:
        """Return the rows of completed jobs."""
        return [row for row in self.rows if row["status"] == "completed"]

    @property
    def is_search(self) -> bool:
        """Return whether the jobs are trials of a search."""
        return TRIAL in self.swept

    @property
    def has_seeds(self) -> bool:
        """Return whether seeds are swept."""
        return SEED in self.swept

    @property
    def keys(self) -> list[str]:
        """Return the swept keys that make settings, without the seed and the number of a trial."""
        return [key for key in beside(self.swept) if key != TRIAL]

    def measure(self, metric: str) -> Measure:
        """Return the measure of a metric, with the direction that a search was told."""
        best = dict(zip(self.objectives, self.directions or ())).get(metric)
        said = [record.get("measures") for record in self.records.values()]
        own = (one for one in said if isinstance(one, Mapping) and metric in one)
        return measure_of(metric, best, next(own, None))

    def ranked(self, metric: str, rows: Sequence[Row] | None = None) -> list[Standing]:
        """Return the settings of all rows, or of the given ones, from the best to the worst."""
        chosen = self.rows if rows is None else rows
        return standings(chosen, self.swept, metric, self.measure(metric))

    def in_order(self, metric: str | None, rows: Sequence[Row] | None = None) -> list[Row]:
        """Return the rows as they came, or from the best setting by a metric to the worst.

        Runs of one setting stay together, for a single best run may owe that to its seed.
        """
        if metric is None:
            return list(self.rows if rows is None else rows)
        return [row for standing in self.ranked(metric, rows) for row in standing.rows]

    # ---- of the records --------------------------------------------------------------------

    @cached_property
    def records(self) -> dict[str, dict[str, Any]]:
        """Return the run.json of each job by its folder's name; empty if it cannot be read."""
        names = [str(row["folder"]) for row in self.rows]
        return {name: record_or_why(self.folder / name / "run.json")[0] for name in names}

    @cached_property
    def sample_metrics(self) -> list[str]:
        """Return the names of the metrics of samples, in the order of the records."""
        said = [record.get("metrics") for record in self.records.values()]
        names = [name for one in said if isinstance(one, list) for name in one]
        return list(dict.fromkeys(name for name in names if isinstance(name, str)))

    @property
    def units(self) -> str:
        """Return the units in which distances count."""
        return common_units(self._records_of_done)

    @property
    def mixed_units(self) -> str:
        """Return a warning that distances count in different units; empty if they do not."""
        found = Counter(map(units_of, self._records_of_done))
        counts = ", ".join(f"{units} in {count(n, 'job')}" for units, n in found.items())
        said = f"distances do not compare across jobs: they count in {counts}"
        return said if len(found) > 1 else ""

    @property
    def _records_of_done(self) -> list[dict[str, Any]]:
        return [self.records[str(row["folder"])] for row in self.done]

    @cached_property
    def data_of(self) -> Mapping[str, str]:
        """Return the name of each completed job's data by its folder.

        If different data have one name, the overrides of the data are added to it. Distances to
        different data do not compare.
        """
        found: dict[str, tuple[Any, ...]] = {}
        for row in self.done:
            record = self.records[str(row["folder"])]
            own = [str(o) for o in record.get("overrides") or [] if _is_of_data(str(o))]
            content = str(record.get("made_of", {}).get("content", ""))
            units = str(record.get("units", ""))
            name = str(record.get("data") or "these data")
            found[str(row["folder"])] = (name, *sorted(own), content, units)
        names = Counter(kind[0] for kind in set(found.values()))
        return {
            folder: f"{name} ({', '.join(own)})" if names[name] > 1 and own else name
            for folder, (name, *own, _, _) in found.items()
        }

    @property
    def data(self) -> str:
        """Return the name of all data for a sentence."""
        names = list(dict.fromkeys(self.data_of.values()))
        if len(names) > _MAX_NAMES:
            return f"{len(names)} data sets"
        return " and ".join(names) or "unknown data"

    def by_data(self) -> dict[str, list[Row]]:
        """Return the rows of each data set, with unfinished rows of the same settings."""
        found: dict[str, list[Row]] = {}
        for row in self.done:
            found.setdefault(self.data_of[str(row["folder"])], []).append(row)
        for rows in found.values():
            settings = {self.setting(row) for row in rows}
            rows += [
                row
                for row in self.rows
                if row["status"] != "completed" and self.setting(row) in settings
            ]
        return found

    def setting(self, row: Row) -> tuple[str, ...]:
        """Return the values of the keys that make settings."""
        return tuple(str(row[key]) for key in self.keys)


def _is_of_data(override: str) -> bool:
    group, _, key = read(override).name.partition(".")
    return group == "data" and key not in ("", *WAYS_OF_READING)
