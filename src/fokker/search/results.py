"""The results of a search: results.csv, best.yaml, the table, and the figures."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from omegaconf import OmegaConf

from fokker.measures import Best
from fokker.search.objectives import ENDED, Objectives
from fokker.search.space import Search
from fokker.store.job_folders import write_text
from fokker.sweeps.collection import SEED, settings_of, write_results
from fokker.sweeps.jobs import Job, Row
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.standings import TRIAL
from fokker.sweeps.tables import heading, results_table


@final
@dataclass(frozen=True)
class Results:
    """The trials of a search, in the order in which they were asked.

    Attributes:
        search: the search.
        objectives: the objectives of the search.
        jobs: the jobs of the trials.
        rows: the rows of the trials: number, values, status, and the results of the run.
    """

    search: Search
    objectives: Objectives
    jobs: Sequence[Job]
    rows: Sequence[Row]

    @classmethod
    def of(
        cls, search: Search, objectives: Objectives, trials: Sequence[tuple[Job, dict[str, Any]]]
    ) -> "Results":
        """Read the results from the jobs' folders."""
        found = []
        for number, (job, values) in enumerate(trials):
            # Exact numbers replace those of the job, which are rounded to be read.
            exact = {search.columns[p.key]: values[p.key] for p in search.parameters}
            found.append({"trial": number, **job.row(), **exact})
        # The records say what the metrics are, even if no trial is built now.
        recorded = Outcome(search.folder, found, [TRIAL])
        objectives = objectives.described({m: recorded.measure(m) for m in objectives.metrics})
        rows = [objectives.judged(row) for row in found]
        for number, row in enumerate(rows):
            # A process may have asked for it and not yet begun it.
            if row["status"] not in ENDED and search.is_held(number):
                row["status"] = "running"
        return cls(search, objectives, [job for job, _ in trials], rows)

    @property
    def best_cost(self) -> float:
        """Return the lowest cost of the first metric; infinite without one."""
        return min((self.objectives.costs(row)[0] for row in self.rows), default=math.inf)

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of the search, for what reports on any sweep."""
        swept = [TRIAL, *self.search.columns.values()]
        best: dict[str, Best] = {"minimize": "lowest", "maximize": "highest"}
        given = self.objectives.given
        directions = None if given is None else [best[direction] for direction in given]
        return Outcome(self.search.folder, self.rows, swept, self.objectives.metrics, directions)

    def front(self) -> list[tuple[Row, list[Row]]]:
        """Return the trials that no other one beats, each as a row and the rows that it stands for.

        Where the seed is searched too, a row stands for the trials that differ only in the seed,
        and has the means of their metrics. A single best trial may owe that to its seed.
        """
        if SEED not in self.search.columns.values():
            return [(row, [row]) for row in self.objectives.front(self.rows)]
        done = [row for row in self.rows if math.isfinite(self.objectives.costs(row)[0])]
        groups = list(settings_of(done, list(self.search.columns.values())).values())
        # A single run next to means over several may be the best only by its sampling noise.
        several = [same for same in groups if len(same) > 1] or groups
        means = {
            id(mean): (mean, same)
            for same in several
            for mean in [{**same[0], **{m: _mean(same, m) for m in self.objectives.metrics}}]
        }
        return [means[id(mean)] for mean in self.objectives.front([m for m, _ in means.values()])]

    def write(self) -> None:
        """Write results.csv and best.yaml."""
        folder = self.search.folder
        write_results(folder / "results.csv", self.rows)
        front = [
            {
                "trial": row["trial"],
                **{metric: row[metric] for metric in self.objectives.metrics},
                "folder": row["folder"],
                "overrides": list(self.jobs[row["trial"]].overrides),
            }
            for _, same in self.front()
            for row in same
        ]
        write_text(folder / "best.yaml", OmegaConf.to_yaml({"best": front}))

    def text(self) -> str:
        """Return the table from the best to the worst, and the best trials with their commands."""
        metrics, outcome = self.objectives.metrics, self.outcome
        ordered = self.objectives.in_order(self.rows)
        lines = [heading(outcome), results_table(outcome, ordered).aligned()]
        front = self.front()
        if len(metrics) > 1 and front:
            lines.append(f"the Pareto front: no trial is better in {' and '.join(metrics)}")
        for row, same in front:
            several = len(same) > 1
            numbers = ", ".join(str(one[TRIAL]) for one in same)
            which = f"the mean of trials {numbers}" if several else f"trial {numbers}"
            lines.append(f"best     {which}: {self.objectives.text(row)}")
            lines.append(f"         {self.command(same[0])}")
        return "\n".join(lines)

    def command(self, row: Row) -> str:
        """Return the command that runs a trial as a single run."""
        overrides = list(self.jobs[row["trial"]].overrides)
        # A study's file asks for a search, and may set keys that only the search's sweeper has.
        alone = ["hydra/sweeper=fokker_search", "hydra.mode=RUN"] if self.search.study else []
        return shlex.join(["fokker", *overrides, *alone])

    def draw(self) -> list[Path]:
        """Draw each metric against the trials and against each parameter, in `figures/`."""
        from fokker.figures import metric_label, save, trials_and_parameters

        parameters = {self.search.columns[p.key]: p for p in self.search.parameters}
        drawn = []
        for metric in self.objectives.metrics:
            costs = [self.objectives.of(metric).costs(row)[0] for row in self.rows]
            if not any(map(math.isfinite, costs)):
                continue
            figure = trials_and_parameters(
                [row.get(metric) if math.isfinite(c) else None for row, c in zip(self.rows, costs)],
                costs,
                [row["status"] for row in self.rows],
                {name: [row[name] for row in self.rows] for name in parameters},
                metric_label(self.outcome.measure(metric), self.outcome.units),
                logarithmic=[name for name, p in parameters.items() if p.log],
            )
            path = self.search.folder / "figures" / f"{metric}_of_trials"
            measure = self.outcome.measure(metric)
            words = measure.words[:1].upper() + measure.words[1:]
            above = f"{words} of the trials, {self.outcome.data} (best: {measure.best})"
            drawn.append(save(figure, path, above))
        return drawn


def _mean(rows: Sequence[Row], metric: str) -> float:
    return sum(float(row[metric]) for row in rows) / len(rows)
