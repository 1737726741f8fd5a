"""A sweep's report.html: one file with all that one wants to read of it, and embedded figures."""

import hashlib
import html
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from fokker import __version__
from fokker.machine.progress import duration
from fokker.measures import ERROR, OF_DATA
from fokker.store.job_folders import FAILED, write_text
from fokker.sweeps.collection import metrics_of, over_seeds
from fokker.sweeps.digits import column
from fokker.sweeps.effects import Effects
from fokker.sweeps.effects_table import effects_table, left_out
from fokker.sweeps.jobs import Row
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.page import Cells, figure, rendered
from fokker.sweeps.standings import TRIAL
from fokker.sweeps.tables import Table, head, results_table, seeds_table
from fokker.sweeps.verdict import Verdict

#: The most jobs whose own figures are in the report, and the width of these in pixels.
MAX_JOBS = 24
MAX_WIDTH = 900
_MAX_FIGURES = 10


@final
@dataclass(frozen=True)
class Picture:
    """A PNG file and its caption."""

    path: Path
    caption: str


@final
@dataclass(frozen=True)
class Report:
    """The report of a sweep.

    Attributes:
        outcome: the outcome of the sweep.
        comment: a text that says what the sweep is about.
        command: the command that makes the sweep again.
    """

    outcome: Outcome
    comment: str
    command: str

    @property
    def path(self) -> Path:
        """Return the path of `report.html` in the sweep's folder."""
        return self.outcome.folder / "report.html"

    @property
    def _key(self) -> str:
        """Return a hash of all that the report depends on."""
        own = self.outcome
        content = [__version__, own.rows, own.swept, own.objectives, own.directions, self.comment]
        text = json.dumps(content, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_whole(self, files: Sequence[Path]) -> bool:
        """Tell whether the same report is there, with these files and all its figures."""
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
        """Write the report, and delete the figures of the previous one that this one does not have.

        Args:
            pictures: the figures of the sweep, in `figures/`.
            notes: sentences that say which figures are missing, and why.
            effects: the effects of the sweep's factors, by metric.
            is_final: whether the next start leaves the report if nothing has changed.
        """
        before = _names(self._text()) if self.path.is_file() else []
        values = self._values(pictures, notes, effects, self._key if is_final else "")
        write_text(self.path, rendered("report.html", values))
        for name in set(before) - {picture.path.stem for picture in pictures}:
            for kind in ("png", "pdf"):
                self._figure(f"{name}.{kind}").unlink(missing_ok=True)

    def _text(self) -> str:
        """Return the text of the report that is there, even if it is damaged."""
        return self.path.read_text(encoding="utf-8", errors="replace")

    def _figure(self, name: str) -> Path:
        return self.outcome.folder / "figures" / name

    # ---- its parts -----------------------------------------------------------------------

    def _values(
        self,
        pictures: Sequence[Picture],
        notes: Sequence[str],
        effects: Mapping[str, Effects],
        key: str,
    ) -> dict[str, Any]:
        """Return all values that the template names."""
        own, ordered = self.outcome, self._ordered()
        seeds = seeds_table(own)
        completed = [r["folder"] for r in ordered if r["status"] == "completed"]
        what = "setting" if own.has_seeds else own.measure(own.metric).words
        paragraphs = re.split(r"\n\s*\n", self.comment.strip())
        return {
            "key": key,
            "title": self._title(),
            "answer": Verdict(own).text(),
            "paragraphs": [paragraph for paragraph in paragraphs if paragraph],
            "command": self.command,
            "facts": self._facts(),
            "on_data": f" on {own.data}" if own.done else "",
            "seeds": self._over_seeds(seeds) if seeds else None,
            "best_of_seeds": own.ranked(own.metric)[0].measure.words if seeds else "",
            "results": self._results(),
            "first": what if own.objectives else "",
            "figures": [figure(p.path, p.caption, None, p.path.stem) for p in pictures],
            "notes": notes,
            "effects": [self._effects(metric, found) for metric, found in effects.items()],
            "max_jobs": MAX_JOBS,
            "jobs_left": len(completed) - MAX_JOBS,
            "jobs": [self._job(row, row["folder"] in completed[:MAX_JOBS]) for row in ordered],
        }

    def _title(self) -> str:
        study = re.search(r"(?:^|\s)\+?sweeps=(\S+)", self.command)
        keys = [name for name in self.outcome.swept if name != TRIAL]
        if study:
            return study.group(1).strip("'\"")
        return f"{'Search' if self.outcome.is_search else 'Sweep'} over {', '.join(keys)}"

    def _facts(self) -> dict[str, str]:
        """Return facts about the jobs: when and how long they ran, how many, and which versions."""
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
        return facts

    def _ordered(self) -> list[Row]:
        own = self.outcome
        return own.in_order(own.metric if own.objectives else None)

    def _over_seeds(self, seeds: Table) -> Cells:
        """Return the main metrics, a row for each setting, with the best one marked."""
        own = self.outcome
        best = own.ranked(own.metric)[0]
        settings = [own.setting(row) for row, _ in over_seeds(own.rows, own.swept)]
        is_one = len(set(own.data_of.values())) == 1 and math.isfinite(best.badness)
        marked = settings.index(own.setting(best.rows[0])) if is_one else -1
        looks = ["best" if i == marked else "" for i in range(len(seeds.lines))]
        return Cells(self._heads(seeds), list(zip(looks, map(_plus, seeds.lines))))

    def _results(self) -> Cells:
        """Return the main columns, a row for each job; if it failed, the reason is below."""
        own, ordered = self.outcome, self._ordered()
        shown = results_table(own, ordered)
        lines: list[tuple[str, list[str]]] = []
        for number, (row, cells) in enumerate(zip(ordered, shown.lines)):
            look = "bad" if row["status"] in FAILED else ""
            # With several seeds, a single best job may owe that to its seed.
            if number == 0 and own.objectives and own.metric in row and not own.has_seeds:
                look = "best"
            lines.append((look, _plus(cells)))
            if row["error"]:
                lines.append((look, [str(row["error"])]))
        return Cells(self._heads(shown), lines)

    def _heads(self, shown: Table) -> list[str]:
        return [head(name, self.outcome) for name in shown.names]

    def _effects(self, metric: str, effects: Effects) -> dict[str, Any]:
        """Return the main effects and interactions on a metric, and where the errors come from."""
        words = self.outcome.measure(metric).words
        table = None
        if effects.effects:
            shown = effects_table(effects)
            unit = self.outcome.measure(metric).label(self.outcome.units).removeprefix(words)
            heads = [*shown.names[:2], f"effect\n{unit.strip() or words}", "factor\non the metric"]
            table = Cells(heads, [("", _plus(line)) for line in shown.lines])
        more = left_out(effects)
        note = effects.note + (f"; {more} smaller interactions are in effects.csv" if more else "")
        return {"metric": words, "table": table, "note": note}

    def _job(self, row: Row, is_shown: bool) -> dict[str, Any]:
        """Return the content of the folded part of a job."""
        folder = self.outcome.folder / str(row["folder"])
        overrides = self.outcome.records[str(row["folder"])].get("overrides") or []
        metrics = metrics_of(row, self.outcome.swept)
        lines = [("", [name, _with_error(row, name) + _of_data(row, name)]) for name in metrics]
        files = sorted((folder / "figures").glob("*.png")) if is_shown else []
        shown = files[:_MAX_FIGURES]
        return {
            "label": " ".join(f"{name}={row[name]}" for name in self.outcome.swept),
            "status": row["status"],
            "folder": folder,
            "overrides": shlex.join(map(str, overrides)),
            "error": row["error"],
            "metrics": Cells(["metric", "value"], lines) if lines else None,
            "figures": [figure(f, f.stem.replace("_", " "), MAX_WIDTH) for f in shown],
            "figures_left": len(files) - len(shown),
        }


def _names(text: str) -> list[str]:
    """Return the names of the sweep's figures in a report."""
    return [html.unescape(name) for name in re.findall(r'<figure id="([^"]+)"', text)]


def _plus(cells: Sequence[str]) -> list[str]:
    return [cell.replace(" +- ", " ± ") for cell in cells]


def _with_error(row: Row, name: str) -> str:
    """Return a metric of a single job, with its standard error."""
    return column([(row.get(name), row.get(name + ERROR))], " ± ")[0]


def _of_data(row: Row, name: str) -> str:
    """Return in brackets the distance of as many points of the data; empty if it is not known."""
    value = row.get(name + OF_DATA)
    return "" if value is None else f" (data {value:.4g})"
