"""The settings of a sweep as a table for a paper: LaTeX with booktabs, and Markdown."""

import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from fokker.store.job_folders import write_text
from fokker.sweeps.collection import settings_of
from fokker.sweeps.digits import column
from fokker.sweeps.jobs import Row
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.standings import TRIAL, Standing
from fokker.sweeps.tables import head

_LETTERS_A_HEAD = 14
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
    # At the start of a row a bracket would be an argument of the line before.
    "[": "{[}", "]": "{]}", "²": r"$^2$", "±": r"$\pm$", "↓": r"$\downarrow$",
    "↑": r"$\uparrow$", "→": r"$\to$", "–": r"\textendash{}", "†": r"$^\dagger$",
}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$])")


@final
@dataclass(frozen=True)
class Cell:
    """A number as text, or the reason why there is none.

    Attributes:
        text: the number with its error, such as `0.041 ± 0.003`, or a word.
        is_best: whether its setting is the best.
        is_close: whether its setting is not the best, but within one standard error of it.
    """

    text: str
    is_best: bool = False
    is_close: bool = False


@final
@dataclass(frozen=True)
class PaperTable:
    """A table with settings as rows and metrics as columns.

    Attributes:
        caption: a text that says what the table compares, and what ±, bold and a dagger mean.
        keys: the swept keys, which are the first columns.
        heads: the heads of the metrics: words with the direction that is better, and on a second
            line the unit.
        settings: the values of the keys in each setting.
        cells: the cells of each setting, one for each metric.
    """

    caption: str
    keys: Sequence[str]
    heads: Sequence[str]
    settings: Sequence[Sequence[str]]
    cells: Sequence[Sequence[Cell]]

    def latex(self, label: str) -> str:
        """Return a table for `\\input`, in a document that has `\\usepackage{booktabs}`."""
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering\footnotesize",
            r"  \setlength{\tabcolsep}{4pt}",
            rf"  \caption{{{latex_text(self.caption)}}}",
            rf"  \label{{tab:{re.sub('[^A-Za-z0-9-]+', '-', label)}}}",
            rf"  \begin{{tabular}}{{{'l' * len(self.keys)}{'r' * len(self.heads)}}}",
            r"    \toprule",
            *self._latex_heads(),
            r"    \midrule",
        ]
        for names, cells in zip(self.settings, self.cells):
            told = [*map(latex_text, names), *map(_latex_cell, cells)]
            lines.append(f"    {' & '.join(told)} \\\\")
        lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
        return "\n".join(lines) + "\n"

    def _latex_heads(self) -> Iterator[str]:
        """Yield the rows of the head; words and units are wrapped, or columns would be wide."""
        wrapped = [
            [line for part in name.split("\n") for line in textwrap.wrap(part, _LETTERS_A_HEAD)]
            for name in (*self.keys, *self.heads)
        ]
        height = max(map(len, wrapped))
        for own in zip(*([""] * (height - len(lines)) + lines for lines in wrapped)):
            yield f"    {' & '.join(map(latex_text, own))} \\\\"

    def markdown(self) -> str:
        """Return the table as Markdown, with its caption below."""
        rows = [[markdown_text(" ".join(name.split())) for name in (*self.keys, *self.heads)]]
        rows.append(["---"] * len(self.keys) + ["---:"] * len(self.heads))
        for names, cells in zip(self.settings, self.cells):
            rows.append([*map(markdown_text, names), *map(_markdown_cell, cells)])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return f"{table}\n\n{markdown_text(self.caption)}\n"


def write_paper_tables(outcome: Outcome) -> None:
    """Write over_seeds.tex and over_seeds.md or, where no seeds are swept, results.tex and .md."""
    table = paper_table(outcome)
    latex, markdown = table_paths(outcome)
    write_text(latex, table.latex(outcome.folder.name))
    write_text(markdown, table.markdown())


def table_paths(outcome: Outcome) -> tuple[Path, Path]:
    """Return the paths of the LaTeX table and the Markdown table of a sweep."""
    name = "over_seeds" if outcome.has_seeds else "results"
    return outcome.folder / f"{name}.tex", outcome.folder / f"{name}.md"


def paper_table(outcome: Outcome) -> PaperTable:
    """Return the table, its settings in the order of the jobs or, of a search, from the best on."""
    settings: list[Sequence[Row]] = list(settings_of(outcome.rows, outcome.keys).values())
    if outcome.is_search:
        settings = [standing.rows for standing in outcome.ranked(outcome.metric)]
    wanted = [
        *outcome.objectives, outcome.main_metric, *outcome.sample_metrics, outcome.excess_metric
    ]
    metrics = [m for m in dict.fromkeys(wanted) if any(m in row for row in outcome.rows)]
    columns: dict[str, list[Cell]] = {}
    if outcome.has_seeds:
        columns["seeds"] = [Cell(_runs(same)) for same in settings]
    if any(row.get("nfe") is not None for row in outcome.rows) and "nfe" not in metrics:
        costs = column([(_mean(same, "nfe"), None) for same in settings], none="–")
        columns["NFE"] = [Cell(text) for text in costs]
    for metric in metrics:
        columns[head(metric, outcome)] = _cells(outcome, metric, settings)
    keys = [*([TRIAL] if outcome.is_search else []), *outcome.keys]
    values = [[_values(same, key) for key in keys] for same in settings]
    caption = " ".join(_caption(outcome, list(columns.values())))
    return PaperTable(caption, keys, list(columns), values, list(zip(*columns.values())))


def _caption(outcome: Outcome, columns: Sequence[Sequence[Cell]]) -> Iterator[str]:
    over = f" over {', '.join(outcome.keys)}" if outcome.keys else ""
    yield f"{'Search' if outcome.is_search else 'Sweep'}{over} on {outcome.data}."
    if outcome.has_seeds:
        yield "Mean ± standard error over the seeds; of one seed, ± is by its samples alone."
    else:
        yield "One run each: ± is one standard error by its samples alone."
    several = len(set(outcome.data_of.values())) > 1
    if any(cell.is_best for own in columns for cell in own):
        which = " on its data" if several else ""
        yield f"Bold: the best of a column{which}, in the direction of its arrow."
    if any(cell.is_close for own in columns for cell in own):
        yield "†: behind the best by no more than one standard error of the difference."
    lost = Counter(str(row["status"]) for row in outcome.rows if row["status"] != "completed")
    if lost:
        told = ", ".join(f"{number} {status}" for status, number in lost.items())
        yield f"Not counted of {len(outcome.rows)} runs: {told}."


def _runs(same: Sequence[Row]) -> str:
    done = sum(row["status"] == "completed" for row in same)
    return str(done) if done == len(same) else f"{done} of {len(same)}"


def _mean(same: Sequence[Row], name: str) -> float | None:
    known = [float(row[name]) for row in same if row.get(name) is not None]
    return sum(known) / len(known) if known else None


def _cells(outcome: Outcome, metric: str, settings: Sequence[Sequence[Row]]) -> list[Cell]:
    """Return the column of a metric, in the order of the settings; each data set has a best one."""
    own = {id(standing.rows[0]): standing for standing in outcome.ranked(metric)}
    ordered = [own[id(same[0])] for same in settings]
    texts = column([(s.mean if s.n else None, s.error) for s in ordered], " ± ", "")
    groups: dict[str, list[Standing]] = {}
    for standing in ordered:
        groups.setdefault(_data(outcome, standing), []).append(standing)
    leaders: dict[int, Standing] = {}
    ranks = {id(standing): place for place, standing in enumerate(own.values())}
    for group in groups.values():
        known = [s for s in group if math.isfinite(s.badness)]
        # If all are equal, none is the best.
        if len({s.mean for s in known}) > 1:
            best = min(known, key=lambda s: ranks[id(s)])
            leaders |= {id(s): best for s in known}
    found = []
    for standing, text in zip(ordered, texts):
        leader = leaders.get(id(standing))
        is_best = leader is not None and standing.mean == leader.mean
        close = leader is not None and standing.behind(leader).is_within
        found.append(Cell(text or _why(standing.rows), is_best, close and not is_best))
    return found


def _data(outcome: Outcome, standing: Standing) -> str:
    known = (outcome.data_of.get(str(row["folder"])) for row in standing.rows)
    return next((name for name in known if name is not None), "")


def _why(same: Sequence[Row]) -> str:
    """Return why there is no number: the statuses of the runs."""
    statuses = {str(row["status"]) for row in same} - {"completed"}
    return ", ".join(sorted(statuses)) or "–"


def _values(same: Sequence[Row], key: str) -> str:
    """Return the values that the rows of one setting have under a key, such as all its trials."""
    found = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in (row[key] for row in same))
    return ", ".join(dict.fromkeys(found))


# ---- texts -----------------------------------------------------------------------------------


def latex_text(text: str) -> str:
    """Return a text for LaTeX, with its special characters escaped and no control characters."""
    kept = re.sub(r"[\x00-\x1f\x7f]", " ", text)
    # Two hyphens would be a dash.
    return re.sub("-(?=-)", "-{}", "".join(_LATEX.get(sign, sign) for sign in kept))


def markdown_text(text: str) -> str:
    """Return a text for Markdown, escaped and on one line."""
    return _MARKDOWN.sub(r"\\\1", re.sub(r"[\x00-\x1f\x7f]", " ", text)).replace("&", "&amp;")


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text)
    if cell.is_best:
        # The sign ± stays thin: \textbf has no effect in mathematics.
        text = rf"\textbf{{{text}}}"
    return text + _LATEX["†"] * cell.is_close


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    return f"**{text}**" if cell.is_best else text + " †" * cell.is_close
