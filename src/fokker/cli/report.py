"""A sweep's report.html: one file with all that one wants to read of it, figures inside."""

import hashlib
import html
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import final

from fokker import __version__
from fokker.cli.collection import ERROR, OF_DATA, metrics_of, over_seeds
from fokker.cli.digits import column
from fokker.cli.effects import Effects
from fokker.cli.effects_table import effects_table, left_out
from fokker.cli.outcome import Outcome
from fokker.cli.page import STYLE, escaped, figure, table
from fokker.cli.standings import TRIAL, in_order
from fokker.cli.sweep_jobs import FAILED, Row, write_text
from fokker.cli.tables import Table, head, results_table, seeds_table
from fokker.cli.verdict import Verdict
from fokker.progress import duration

#: Jobs whose own figures are shown, and how wide in pixels.
MAX_JOBS = 24
MAX_WIDTH = 900
_MAX_FIGURES = 10


@final
@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    caption: str


@final
@dataclass(frozen=True)
class Report:
    """What a sweep's report is made of.

    Attributes:
        outcome: of the sweep.
        comment: what the sweep is about.
        command: that makes it again.
    """

    outcome: Outcome
    comment: str
    command: str

    @property
    def path(self) -> Path:
        """`report.html` in the sweep's folder."""
        return self.outcome.folder / "report.html"

    @property
    def _key(self) -> str:
        """Another one for all that reads otherwise."""
        own = self.outcome
        content = [__version__, own.rows, own.swept, own.objectives, own.directions, self.comment]
        text = json.dumps(content, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_whole(self, files: Sequence[Path]) -> bool:
        """Whether it is there as it would be written, with these files and all its figures."""
        if not self.path.is_file() or not all(file.is_file() for file in files):
            return False
        text = self._text()
        figures = [self._figure(f"{name}.png") for name in _names(text)]
        return f'content="{self._key}"' in text and all(file.is_file() for file in figures)

    def write(
        self,
        pictures: Sequence[Picture],
        notes: Sequence[str],
        effects: Mapping[str, Effects],
        is_final: bool,
    ) -> None:
        """Write it, and take away the figures of the one before that this one has not.

        Args:
            pictures: of the sweep, in `figures/`.
            notes: what has no figure and why.
            effects: of the factors of the sweep, by metric.
            is_final: whether to leave it if the same is to be written again.
        """
        before = _names(self._text()) if self.path.is_file() else []
        lines = self._lines(pictures, notes, effects, self._key if is_final else "")
        write_text(self.path, "\n".join(lines) + "\n")
        for name in set(before) - {picture.path.stem for picture in pictures}:
            for kind in ("png", "pdf"):
                self._figure(f"{name}.{kind}").unlink(missing_ok=True)

    def _text(self) -> str:
        """What is there, of which another one is written if it is damaged."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    def _figure(self, name: str) -> Path:
        return self.outcome.folder / "figures" / name

    # ---- its parts -----------------------------------------------------------------------

    def _lines(
        self,
        pictures: Sequence[Picture],
        notes: Sequence[str],
        effects: Mapping[str, Effects],
        key: str,
    ) -> Iterator[str]:
        title = escaped(self._title())
        yield "<!DOCTYPE html>"
        yield '<html lang="en"><head><meta charset="utf-8"/>'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        yield f'<meta name="fokker-results" content="{key}"/>'
        yield f"<title>{title}</title><style>{STYLE}</style></head><body>"
        yield f"<h1>{title}</h1>"
        yield f"<p class='result'>{escaped(Verdict(self.outcome).text())}</p>"
        if self.comment.strip():
            yield "<p><em>What the study's file says was found with its own settings:</em></p>"
        for paragraph in re.split(r"\n\s*\n", self.comment.strip()):
            if paragraph:
                yield f"<p>{escaped(paragraph)}</p>"
        yield f"<pre>{escaped(self.command)}</pre>"
        yield from self._facts()
        seeds = seeds_table(self.outcome)
        if seeds:
            yield f"<h2>{self._heading('Settings over the seeds')}</h2>"
            yield from self._over_seeds(seeds)
        yield f"<h2>{self._heading('Every run' if seeds else 'Results')}</h2>"
        yield from self._results()
        if pictures or notes:
            yield f"<h2>{self._heading('Figures')}</h2>"
        for picture in pictures:
            yield from figure(picture.path, picture.caption, None, picture.path.stem)
        for note in notes:
            yield f"<p class='note'>{escaped(note[:1].upper() + note[1:])}.</p>"
        for metric, found in effects.items():
            yield from self._effects(metric, found)
        yield "<h2>Jobs</h2>"
        yield from self._jobs()
        yield "</body></html>"

    def _heading(self, what: str) -> str:
        return escaped(f"{what} on {self.outcome.data}" if self.outcome.done else what)

    def _title(self) -> str:
        study = re.search(r"(?:^|\s)\+?sweeps=(\S+)", self.command)
        keys = [name for name in self.outcome.swept if name != TRIAL]
        if study:
            return study.group(1).strip("'\"")
        return f"{'Search' if self.outcome.is_search else 'Sweep'} over {', '.join(keys)}"

    def _facts(self) -> Iterator[str]:
        """When, how long, how many, and with what."""
        rows, folder = self.outcome.rows, self.outcome.folder
        known = [
            (folder / name / "run.json", record)
            for name, record in self.outcome.records.items()
            if record
        ]
        facts = {"folder": str(folder)}
        ends = [(file.stat().st_mtime, record.get("seconds") or 0.0) for file, record in known]
        if ends:
            begun = datetime.fromtimestamp(min(end - seconds for end, seconds in ends))
            ended = datetime.fromtimestamp(max(end for end, _ in ends))
            facts["run"] = f"{begun:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}"
            facts["jobs took"] = duration(sum(seconds for _, seconds in ends))
        statuses = Counter(row["status"] for row in rows)
        each = ", ".join(f"{number} {status}" for status, number in statuses.items())
        facts["jobs"] = f"{len(rows)}: {each}"
        models = {row["model"] for row in rows if row["model"]}
        trained = sum(row["training"] in ("trained", "continued") for row in rows)
        facts["models"] = f"{len(models)}, {trained or 'none'} of them trained by these jobs"
        versions = [record.get("versions") for _, record in known if record.get("versions")]
        for number, each_one in enumerate(dict.fromkeys(map(json.dumps, versions))):
            found = json.loads(each_one).items()
            name = "versions" if number == 0 else f"versions {number + 1}"
            facts[name] = ", ".join(f"{what} {which}" for what, which in found)
        pairs = (f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in facts.items())
        yield f"<dl>{''.join(pairs)}</dl>"

    def _ordered(self) -> list[Row]:
        own = self.outcome
        return in_order(own.rows, own.swept, own.metric if own.objectives else None)

    def _over_seeds(self, seeds: Table) -> Iterator[str]:
        """The main metrics a setting, the best of them marked."""
        own = self.outcome
        best = own.ranked(own.metric)[0]
        settings = [own.setting(row) for row, _ in over_seeds(own.rows, own.swept)]
        is_one = len(set(own.data_of.values())) == 1 and math.isfinite(best.badness)
        marked = settings.index(own.setting(best.rows[0])) if is_one else -1
        looks = ["best" if i == marked else "" for i in range(len(seeds.lines))]
        lines = [(look, list(map(_plus, line))) for look, line in zip(looks, seeds.lines)]
        yield from table(self._heads(seeds), lines)
        yield (
            "<p class='note'>Mean ± standard error of the mean over the seeds; standard deviations "
            f"are in <code>over_seeds.csv</code>. The best {escaped(best.measure.words)} is marked."
            "</p>"
        )

    def _results(self) -> Iterator[str]:
        """The main columns, a row a job, and below it why it failed."""
        own, ordered = self.outcome, self._ordered()
        shown = results_table(own, ordered)
        lines: list[tuple[str, list[str]]] = []
        for number, (row, cells) in enumerate(zip(ordered, shown.lines)):
            look = "bad" if row["status"] in FAILED else ""
            # Of several seeds it would be the luckiest.
            if number == 0 and own.objectives and own.metric in row and not own.has_seeds:
                look = "best"
            lines.append((look, list(map(_plus, cells))))
            if row["error"]:
                lines.append((look, [str(row["error"])]))
        yield from table(self._heads(shown), lines)
        what = "setting" if own.has_seeds else own.measure(own.metric).words
        first = f"The best {what} is first. " if own.objectives else ""
        yield (
            f"<p class='note'>{escaped(first)}± is one standard error by the samples of a run. "
            "All columns are in <code>results.csv</code>, every evaluation in "
            "<code>evaluations.csv</code>.</p>"
        )

    def _heads(self, shown: Table) -> list[str]:
        return [head(name, self.outcome) for name in shown.names]

    def _effects(self, metric: str, effects: Effects) -> Iterator[str]:
        """Main effects and interactions on a metric, and what is behind them."""
        words = self.outcome.measure(metric).words
        yield f"<h2>{self._heading(f'Main effects and interactions: {words}')}</h2>"
        if effects.effects:
            shown = effects_table(effects)
            unit = self.outcome.measure(metric).label(self.outcome.units).removeprefix(words)
            heads = [*shown.names[:2], f"effect\n{unit.strip() or words}", "factor\non the metric"]
            yield from table(heads, [("", list(map(_plus, line))) for line in shown.lines])
            yield (
                "<p class='note'>Effect of a level: the mean of its settings less the mean of all. "
                "Of a pair of levels: what is left of theirs without both main effects. Factor: "
                "the same on the logarithm, as what it multiplies by; 1 is no effect.</p>"
            )
        more = left_out(effects)
        note = effects.note + (f"; {more} smaller interactions are in effects.csv" if more else "")
        yield f"<p class='note'>{escaped(note[:1].upper() + note[1:])}.</p>"

    def _jobs(self) -> Iterator[str]:
        """A closed part for each job."""
        completed = [r["folder"] for r in self._ordered() if r["status"] == "completed"]
        shown, left = set(completed[:MAX_JOBS]), len(completed) - MAX_JOBS
        if left > 0:
            yield (
                f"<p class='note'>Figures are shown of {MAX_JOBS} jobs; those of {left} more are "
                "in their folders.</p>"
            )
        for row in self._ordered():
            folder = self.outcome.folder / str(row["folder"])
            label = " ".join(f"{name}={row[name]}" for name in self.outcome.swept)
            yield f"<details><summary>{escaped(label)}: {escaped(row['status'])}</summary>"
            overrides = self.outcome.records[str(row["folder"])].get("overrides") or []
            yield f"<p class='note'>{escaped(folder)}</p>"
            if overrides:
                yield f"<pre>{escaped(shlex.join(map(str, overrides)))}</pre>"
            if row["error"]:
                yield f"<p>{escaped(row['error'])}</p>"
            metrics = metrics_of(row, self.outcome.swept)
            if metrics:
                cells = [("", [n, _with_error(row, n) + _of_data(row, n)]) for n in metrics]
                yield from table(["metric", "value"], cells)
            figures = sorted((folder / "figures").glob("*.png")) if row["folder"] in shown else []
            for path in figures[:_MAX_FIGURES]:
                yield from figure(path, path.stem.replace("_", " "), MAX_WIDTH)
            if len(figures) > _MAX_FIGURES:
                yield f"<p class='note'>{len(figures) - _MAX_FIGURES} more are in its folder.</p>"
            yield "</details>"


def _names(text: str) -> list[str]:
    """The sweep's figures in a report."""
    return [html.unescape(name) for name in re.findall(r'<figure id="([^"]+)"', text)]


def _plus(text: str) -> str:
    return text.replace(" +- ", " ± ")


def _with_error(row: Row, name: str) -> str:
    """A metric of a job by itself, with its standard error."""
    return column([(row.get(name), row.get(name + ERROR))], " ± ")[0]


def _of_data(row: Row, name: str) -> str:
    """What a distance is for as many points of the data, in brackets behind it."""
    value = row.get(name + OF_DATA)
    return "" if value is None else f" (data {value:.4g})"
