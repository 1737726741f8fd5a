"""What a search has come to: results.csv, best.yaml, the table, and the figures."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from omegaconf import OmegaConf

from fokker.cli.collection import results_table, write_results
from fokker.cli.objectives import ENDED, Objectives
from fokker.cli.search_space import Search
from fokker.cli.sweep_jobs import Job, Row, write_text


@final
@dataclass(frozen=True)
class Results:
    """The trials of a search, in the order in which they were asked.

    Attributes:
        search: what was searched.
        objectives: what for.
        jobs: of the trials.
        rows: a row a trial: its number, values and status, and what the run gave.
    """

    search: Search
    objectives: Objectives
    jobs: Sequence[Job]
    rows: Sequence[Row]

    @classmethod
    def of(
        cls, search: Search, objectives: Objectives, trials: Sequence[tuple[Job, dict[str, Any]]]
    ) -> "Results":
        """Read them from the jobs' folders."""
        rows = []
        for number, (job, values) in enumerate(trials):
            # Numbers as they are, where the job's own are as they are read.
            exact = {search.columns[p.key]: values[p.key] for p in search.parameters}
            row = objectives.judged({"trial": number, **job.row(), **exact})
            # It may be asked and not yet begun.
            if row["status"] not in ENDED and search.is_held(number):
                row["status"] = "running"
            rows.append(row)
        return cls(search, objectives, [job for job, _ in trials], rows)

    @property
    def best_cost(self) -> float:
        """The lowest of the first metric; infinite without one."""
        return min((self.objectives.costs(row)[0] for row in self.rows), default=math.inf)

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
            for row in self.objectives.front(self.rows)
        ]
        write_text(folder / "best.yaml", OmegaConf.to_yaml({"best": front}))

    def text(self) -> str:
        """The table from the best to the worst, and the best with their commands."""
        metrics = self.objectives.metrics
        columns = ["trial", *self.search.columns.values()]
        ordered = self.objectives.in_order(self.rows)
        lines = [results_table(ordered, columns, *metrics)]
        front = self.objectives.front(self.rows)
        if len(metrics) > 1 and front:
            lines.append(f"the Pareto front: no trial is better in {' and '.join(metrics)}")
        for row in front:
            lines.append(f"best     trial {row['trial']}: {self.objectives.described(row)}")
            lines.append(f"         {self.command(row)}")
        return "\n".join(lines)

    def command(self, row: Row) -> str:
        """What to type for the run of a trial."""
        overrides = list(self.jobs[row["trial"]].overrides)
        # A study's file asks for a search, and may set its keys.
        alone = ["hydra/sweeper=fokker_search", "hydra.mode=RUN"] if self.search.study else []
        return shlex.join(["fokker", *overrides, *alone])

    def draw(self) -> list[Path]:
        """The figures in `figures/`: each metric against the trials and against each parameter."""
        from fokker.figures import save, trials_and_parameters

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
                metric,
                logarithmic=[name for name, p in parameters.items() if p.log],
            )
            path = self.search.folder / "figures" / f"{metric}_of_trials"
            drawn.append(save(figure, path))
        return drawn
