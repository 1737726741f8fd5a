"""What a sweep has come to: a line a job, results.csv, the table and the figures.

Nothing here needs torch, so that a sweep which is done says so at once.
"""

import csv
import io
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any, final

from fokker.cli.sweep_jobs import FAILED, FIXED, Job, Row, write_text

# Lines beyond this number cannot be told apart in a figure.
MAX_LINES = 12


@final
class Progress:
    """A line for each job that ends."""

    def __init__(self, jobs: int, todo: int) -> None:
        self._jobs, self._todo = jobs, todo
        self._started = perf_counter()
        self.ended = self.failed = self.trained = self.begun = 0

    def end(self, job: Job, row: Row, mine: bool, after: int = 0) -> None:
        """Say how a job ended, in this sweep or another one, `after` others at the same time."""
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
        elif not mine:
            why = "by another process"
        took = f" in {duration(row['seconds'])}" if mine and row["seconds"] else ""
        left = self._todo - self.ended
        words = [f"{self.failed} failed"] if self.failed else []
        words.append(f"{left} left")
        if left > after:
            done = self.ended + after
            expected = (perf_counter() - self._started) / done * (self._todo - done)
            end = datetime.now() + timedelta(seconds=expected)
            words += [f"about {duration(expected)}", f"until {end:%H:%M}"]
        place = f"[{self._jobs - left}/{self._jobs}]"
        note = f" ({why})" if why else ""
        print(f"{place} {job.label}: {status}{took}{note}; {', '.join(words)}", flush=True)


def count(number: int, what: str) -> str:
    """A number with its word."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_order(rows: Sequence[Row], objective: str | None) -> list[Row]:
    """The rows as they came, or from the best value of a metric to the worst.

    Every metric is the better the lower it is, but for the nearest-neighbour ratio, best at 1.
    """
    if objective is None:
        return list(rows)

    def badness(row: Row) -> float:
        value = row.get(objective)
        if not isinstance(value, (int, float)) or math.isnan(value):
            return math.inf
        return abs(value - 1) if objective == "nearest_neighbour_ratio" else value

    return sorted(rows, key=badness)


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """results.csv: a row a job."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    names = [n for n in names if n not in FIXED[3:]] + list(FIXED[3:])
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def main_metric(rows: Sequence[Row]) -> str:
    """`w1` where every finished row has it, else `sliced_w2`."""
    finished = [row for row in rows if row["status"] == "completed"]
    return "w1" if finished and all("w1" in row for row in finished) else "sliced_w2"


def results_table(rows: Sequence[Row], swept: Sequence[str], objective: str | None) -> str:
    """The main columns for a terminal."""
    shown = [*swept, "status", main_metric(rows), "nfe", "excess", objective or "nfe", "seconds"]
    names = [n for n in dict.fromkeys(shown) if n in FIXED or any(n in row for row in rows)]
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  " + "  ".join(c.rjust(w) for c, w in zip(line, widths)) for line in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw_results(folder: Path, rows: Sequence[Row], swept: Sequence[str]) -> list[Path]:
    """The figures of a sweep, in `figures/`: the main metric against NFE, a line a setting.

    Nothing where no setting was run at several NFE, or there are too many settings.
    """
    metric = main_metric(rows)
    beside = [name for name in swept if name not in ("num_steps", "sampler.num_steps", "seed")]
    points = [
        {
            "sampler": " ".join(f"{name}={row[name]}" for name in beside) or "sweep",
            "grid": None,
            "num_steps": row.get("num_steps"),
            "nfe": row["nfe"],
            metric: row[metric],
        }
        for row in rows
        if row.get(metric, 0) > 0 and row.get("nfe", 0) > 0
    ]
    settings: dict[str, set[float]] = {}
    for point in points:
        settings.setdefault(point["sampler"], set()).add(point["nfe"])
    if not any(len(nfe) > 1 for nfe in settings.values()) or len(settings) > MAX_LINES:
        return []
    from fokker.figures import metric_against_nfe, save

    figure = metric_against_nfe(points, metric)
    return [save(figure, folder / "figures" / f"{metric}_against_nfe")]
