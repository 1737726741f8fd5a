"""The tables of a sweep, for a terminal and for its report: the same cells in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from fokker.machine.text_tables import aligned
from fokker.measures import ERROR
from fokker.sweeps.collection import beside, over_seeds, settings_of
from fokker.sweeps.digits import column
from fokker.sweeps.jobs import FIXED, Row
from fokker.sweeps.outcome import Outcome


@final
@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        names: the names of the columns: keys, or metrics as in results.csv.
        lines: the rows, with a cell for each column.
    """

    names: Sequence[str]
    lines: Sequence[Sequence[str]]

    def aligned(self) -> str:
        """Return the table for a terminal, with the names of the columns as they are typed."""
        rows = aligned([self.names, *self.lines], right=None)
        return "\n".join(f"  {row}" for row in rows)


def head(name: str, outcome: Outcome) -> str:
    """Return the head of a column in words: a metric has its direction, and its unit.

    The unit is on a second line. A column that is no metric, such as a swept key, is called as it
    is typed.
    """
    if name in outcome.swept or name in (*FIXED, "seeds"):
        return name
    if name == "nfe":
        return "NFE"
    measure = outcome.measure(name)
    unit = measure.label(outcome.units).removeprefix(measure.words).strip()
    return f"{measure.words} {measure.arrow}\n{unit}".strip()


def heading(outcome: Outcome) -> str:
    """Return the line above the results on a terminal: the data, and the metrics in words."""
    known = dict.fromkeys([outcome.main_metric, outcome.excess_metric])
    metrics = [m for m in {**known, **dict.fromkeys(outcome.objectives)} if m != "nfe"]
    measures = {m: outcome.measure(m) for m in metrics if any(m in row for row in outcome.rows)}
    if not measures:
        return "results"
    words = [f"{m} is {own.label(outcome.units)}, {own.better}" for m, own in measures.items()]
    return f"on {outcome.data}; {'; '.join(words)}"


def main_columns(outcome: Outcome) -> list[str]:
    """Return the most important columns of results.csv."""
    rows = outcome.rows
    shown = [*outcome.swept, "status", outcome.main_metric, "nfe", outcome.excess_metric]
    wanted = dict.fromkeys([*shown, *outcome.objectives, "seconds"])
    return [n for n in wanted if n in FIXED or any(n in row for row in rows)]


def results_table(outcome: Outcome, rows: Sequence[Row]) -> Table:
    """Return the main columns, a row for each job, and metrics with their standard errors.

    Args:
        outcome: the outcome of the sweep.
        rows: the rows of all its jobs, in the order of the table.
    """
    names = main_columns(outcome)
    columns = [
        [_value(row[name]) for row in rows]
        if name in outcome.swept
        else column([(row.get(name), row.get(name + ERROR)) for row in rows])
        for name in names
    ]
    return Table(names, list(zip(*columns)))


def _value(value: object) -> str:
    """Return a swept value as text, a number of a search with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seeds_table(outcome: Outcome) -> Table | None:
    """Return the main metrics of each setting over the seeds; null where no seeds are swept.

    The number after +- is the standard error of the mean. `seeds` is the number of seeds with a
    result, such as `2 of 3` where one has none.
    """
    if not outcome.has_seeds or not outcome.done:
        return None
    rows = outcome.rows
    settings = over_seeds(rows, outcome.swept)
    shown = [outcome.main_metric, outcome.excess_metric, *outcome.objectives]
    names = [n for n in dict.fromkeys(shown) if any(n in metrics for _, metrics in settings)]
    keys = beside(outcome.swept)
    columns = [[_value(row[key]) for row, _ in settings] for key in keys]
    asked = [len(same) for same in settings_of(rows, outcome.swept).values()]
    counts = [max((m[n].n for n in names if n in m), default=0) for _, m in settings]
    columns.append([str(n) if n == of else f"{n} of {of}" for n, of in zip(counts, asked)])
    for name in names:
        spreads = [metrics.get(name) for _, metrics in settings]
        columns.append(column([(s.mean, s.standard_error) if s else (None, None) for s in spreads]))
    return Table([*keys, "seeds", *names], list(zip(*columns)))
