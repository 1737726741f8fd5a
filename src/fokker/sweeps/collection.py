"""The collection of a sweep's results: a line for each job, and tables for files and a terminal.

Nothing here needs torch, so that a finished sweep reports at once.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import final

from fokker.machine.csv_files import csv_text
from fokker.machine.progress import duration, expected_end
from fokker.measures import ERROR, OF_DATA
from fokker.store.job_folders import FAILED, write_text
from fokker.store.run_files import read_table
from fokker.sweeps.jobs import FIXED, Job, Row

SEED = "seed"


@final
class Progress:
    """A printer of one line for each job that ends."""

    def __init__(self, jobs: int, todo: int) -> None:
        self._jobs, self._todo = jobs, todo
        self._started = perf_counter()
        self.ended = self.failed = self.trained = self.begun = 0

    def end(self, job: Job, row: Row, mine: bool, after: int = 0) -> None:
        """Print how a job ended, in this sweep or another one, and how much is left.

        Args:
            job: the job that ended.
            row: its row.
            mine: whether this sweep ran it.
            after: the number of jobs that ended at the same time and are printed after it.
        """
        self.ended += 1
        self.begun += mine
        status, why = row["status"], row["error"]
        self.trained += mine and row["training"] in ("trained", "continued")
        if status == "completed" and mine:
            what = f" model {row['model']}" if row["model"] else ""
            why = f"{row['training']}{what}"
        self.failed += status in FAILED
        if status == "running":
            why = "left to the process that runs it"
        elif not mine and status not in FAILED:
            why = "by another process"
        took = f" in {duration(row['seconds'])}" if mine and row["seconds"] else ""
        left = self._todo - self.ended
        words = [f"{self.failed} failed"] if self.failed else []
        words.append(f"{left} left")
        if left > after:
            done = self.ended + after
            expected = (perf_counter() - self._started) / done * (self._todo - done)
            words.append(expected_end(expected))
        place = f"[{self._jobs - left}/{self._jobs}]"
        note = f" ({why})" if why else ""
        print(f"{place} {job.label}: {status}{took}{note}; {', '.join(words)}", flush=True)


def at_work(folders: Mapping[Job, Path]) -> str:
    """Say how far running jobs are: the last line of a single one, or how many are done."""
    if len(folders) > 1:
        found = Counter(job.row()["status"] for job in folders)
        done = len(folders) - found["running"] - found["not run"]
        return f"         {done} of {len(folders)} jobs done, {found['running']} at work"
    ((job, path),) = folders.items()
    said = path / "output.txt"
    text = said.read_text(encoding="utf-8", errors="replace") if said.is_file() else ""
    lines = text.splitlines()
    return f"         {job.label}: {lines[-1] if lines else 'begun'}"


def count(number: int, what: str) -> str:
    """Return a number with its word, in the plural unless it is 1."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Write results.csv, a row for each job."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [n for n in names if n not in FIXED[3:]] + list(FIXED[3:])
    write_csv(path, rows, names)


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], names: Sequence[str]) -> None:
    """Write a table with these columns, whole or not at all."""
    write_text(path, csv_text(rows, names))


def settings_of(rows: Sequence[Row], swept: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows of each setting, in their order; they differ only in the seed."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(str(row[name]) for name in beside(swept)), []).append(row)
    return found


def beside(swept: Sequence[str]) -> list[str]:
    """Return the swept keys without the seed."""
    return [name for name in swept if name != SEED]


def metrics_of(row: Row, swept: Sequence[str]) -> dict[str, float]:
    """Return the metrics of a job, without standard errors and the values of the data."""
    none = {*FIXED, *swept}
    return {
        name: float(value)
        for name, value in row.items()
        if name not in none
        and not name.endswith((ERROR, OF_DATA))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    }


@final
@dataclass(frozen=True)
class Spread:
    """The mean and the standard deviation of n values.

    It has `mean`, and `std = sqrt(sum_i (v_i - mean)^2 / (n - 1))`, which is NaN of a single value.
    """

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        n, mean = len(values), sum(values) / len(values)
        # Where a sampler diverges, squares would overflow; math.dist scales the values first.
        std = math.dist(values, [mean] * n) / math.sqrt(n - 1) if n > 1 else math.nan
        return cls(mean, std, n)

    @property
    def standard_error(self) -> float:
        """Return `std / sqrt(n)`, the standard error of the mean; NaN of a single value."""
        return self.std / math.sqrt(self.n)


def over_seeds(rows: Sequence[Row], swept: Sequence[str]) -> list[tuple[Row, dict[str, Spread]]]:
    """Return each setting's first row, with the spread of its metrics over the completed seeds."""
    found = []
    for same in settings_of(rows, swept).values():
        values: dict[str, list[float]] = {}
        for row in same:
            for name, value in metrics_of(row, swept).items():
                values.setdefault(name, []).append(value)
        found.append((same[0], {name: Spread.of(some) for name, some in values.items()}))
    return found


def write_over_seeds(path: Path, rows: Sequence[Row], swept: Sequence[str]) -> None:
    """Write over_seeds.csv, a row for each setting.

    Each metric has the columns `<metric>_mean`, `<metric>_std` and `<metric>_n`.
    """
    table = []
    for row, metrics in over_seeds(rows, swept):
        line: Row = {name: row[name] for name in beside(swept)}
        for name, spread in metrics.items():
            line[f"{name}_mean"] = spread.mean
            line[f"{name}_std"] = None if spread.n == 1 else spread.std
            line[f"{name}_n"] = spread.n
        table.append(line)
    write_csv(path, table, list(dict.fromkeys(name for line in table for name in line)))


def evaluation_rows(
    folder: Path, rows: Sequence[Row], swept: Sequence[str]
) -> list[dict[str, str]]:
    """Return every row of every completed job's evaluations.csv, with its texts as they are.

    The swept keys come first, the job's folder last. A swept key that is also a column of the
    evaluations, such as `num_steps`, has the evaluation's value. Where a job made further
    evaluations next to its own (`evaluation.num_steps=[5,10]`), the swept value is in
    `swept_num_steps`.
    """
    found: list[tuple[Row, dict[str, str]]] = []
    for row in rows:
        file = folder / str(row["folder"]) / "evaluations.csv"
        if row["status"] == "completed" and file.is_file():
            found += [(row, own) for own in read_table(file)]
    other = [n for n in swept if any(own.get(n, str(row[n])) != str(row[n]) for row, own in found)]
    return [
        {
            **{f"swept_{name}": str(row[name]) for name in other},
            **{name: str(row[name]) for name in swept},
            **own,
            "folder": str(row["folder"]),
        }
        for row, own in found
    ]


def write_evaluations(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write evaluations.csv, a row for each evaluation of a job."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_csv(path, rows, [n for n in names if n != "folder"] + ["folder"])
