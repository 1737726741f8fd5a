"""A sweep's report.html: one file with all that one wants to read of it, figures inside."""

import base64
import hashlib
import html
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, final

from fokker import __version__
from fokker.cli.collection import (
    ERROR,
    OF_DATA,
    Spread,
    in_order,
    main_columns,
    metrics_of,
    seeds_cells,
)
from fokker.cli.sweep_jobs import FAILED, Row, read_json, write_text
from fokker.progress import duration

#: Jobs whose own figures are shown, and how wide in pixels.
MAX_JOBS = 24
MAX_WIDTH = 900
_MAX_FIGURES = 10
_COLOURS = 96

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 60rem; padding: 1.2rem; background: #fff; color: #1a1a1a;
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #bbb; }
pre, code { font-family: ui-monospace, Consolas, monospace; font-size: .85rem; }
pre { background: #f3f3f3; padding: .6rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 1rem 0; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #777; }
th:first-child, td:first-child { text-align: left; padding-left: .3rem; }
tr.bad td { background: #fbe9e7; } tr.best td { background: #e6f3ea; font-weight: 600; }
td.why { text-align: left; white-space: normal; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0; break-inside: avoid; }
figure img { display: block; max-width: min(100%, 50rem); height: auto; }
figcaption { font-size: .9rem; color: #333; max-width: 50rem; overflow-wrap: anywhere; }
details { border-bottom: 1px solid #ddd; padding: .3rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
.note { color: #444; font-size: .9rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; }
  table { font-size: 7.5pt; } tr { break-inside: avoid; } pre { border: 1px solid #ccc; } }
"""


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
        folder: of the sweep.
        rows: of all jobs.
        swept: their keys that are swept.
        objectives: metrics that are asked for.
        comment: what the sweep is about.
        command: that makes it again.
    """

    folder: Path
    rows: Sequence[Row]
    swept: Sequence[str]
    objectives: Sequence[str]
    comment: str
    command: str

    @property
    def path(self) -> Path:
        """`report.html` in the sweep's folder."""
        return self.folder / "report.html"

    @property
    def _key(self) -> str:
        """Another one for all that reads otherwise."""
        content = [__version__, self.rows, self.swept, self.objectives, self.comment]
        text = json.dumps(content, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def is_whole(self, files: Sequence[Path]) -> bool:
        """Whether it is there as it would be written, with these files and all its figures."""
        if not self.path.is_file() or not all(file.is_file() for file in files):
            return False
        text = self.path.read_text(encoding="utf-8")
        figures = [self.folder / "figures" / f"{name}.png" for name in _names(text)]
        return f'content="{self._key}"' in text and all(file.is_file() for file in figures)

    def write(self, pictures: Sequence[Picture], notes: Sequence[str], is_final: bool) -> None:
        """Write it, and take away the figures of the one before that this one has not.

        Args:
            pictures: of the sweep, in `figures/`.
            notes: what has no figure and why.
            is_final: whether to leave it if the same is to be written again.
        """
        before = _names(self.path.read_text(encoding="utf-8")) if self.path.is_file() else []
        text = "\n".join(self._lines(pictures, notes, self._key if is_final else ""))
        write_text(self.path, text + "\n")
        for name in set(before) - {picture.path.stem for picture in pictures}:
            for kind in ("png", "pdf"):
                (self.folder / "figures" / f"{name}.{kind}").unlink(missing_ok=True)

    # ---- its parts -----------------------------------------------------------------------

    def _lines(self, pictures: Sequence[Picture], notes: Sequence[str], key: str) -> Iterator[str]:
        title = escaped(self._title())
        yield "<!DOCTYPE html>"
        yield '<html lang="en"><head><meta charset="utf-8"/>'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        yield f'<meta name="fokker-results" content="{key}"/>'
        yield f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        yield f"<h1>{title}</h1>"
        if self.comment.strip():
            yield "<p><em>What the study's file says was found with its own settings:</em></p>"
        for paragraph in re.split(r"\n\s*\n", self.comment.strip()):
            if paragraph:
                yield f"<p>{escaped(paragraph)}</p>"
        yield f"<pre>{escaped(self.command)}</pre>"
        yield from self._facts()
        yield "<h2>Results</h2>"
        yield from self._results()
        seeds = seeds_cells(self.rows, self.swept, self.objectives)
        if seeds:
            yield "<h2>Over seeds</h2>"
            yield "<p class='note'>Mean ± standard deviation between seeds (n − 1).</p>"
            yield from _table(seeds[0], [("", [_plus(c) for c in row]) for row in seeds[1:]])
        if pictures or notes:
            yield "<h2>Figures</h2>"
        for picture in pictures:
            yield from _figure(picture.path, picture.caption, None, picture.path.stem)
        for note in notes:
            yield f"<p class='note'>{escaped(note[:1].upper() + note[1:])}.</p>"
        yield "<h2>Jobs</h2>"
        yield from self._jobs()
        yield "</body></html>"

    def _title(self) -> str:
        study = re.search(r"(?:^|\s)\+?sweeps=(\S+)", self.command)
        keys = [name for name in self.swept if name != "trial"]
        if study:
            return study.group(1).strip("'\"")
        return f"{'Search' if 'trial' in self.swept else 'Sweep'} over {', '.join(keys)}"

    def _facts(self) -> Iterator[str]:
        """When, how long, how many, and with what."""
        records = [self.folder / str(row["folder"]) / "run.json" for row in self.rows]
        known = [(file, read_json(file)) for file in records if file.is_file()]
        facts = {"folder": str(self.folder)}
        ends = [(file.stat().st_mtime, record.get("seconds") or 0.0) for file, record in known]
        if ends:
            begun = datetime.fromtimestamp(min(end - seconds for end, seconds in ends))
            ended = datetime.fromtimestamp(max(end for end, _ in ends))
            facts["run"] = f"{begun:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}"
            facts["jobs took"] = duration(sum(seconds for _, seconds in ends))
        statuses = Counter(row["status"] for row in self.rows)
        each = ", ".join(f"{number} {status}" for status, number in statuses.items())
        facts["jobs"] = f"{len(self.rows)}: {each}"
        models = {row["model"] for row in self.rows if row["model"]}
        trained = sum(row["training"] in ("trained", "continued") for row in self.rows)
        facts["models"] = f"{len(models)}, {trained or 'none'} of them trained by these jobs"
        versions = [record.get("versions") for _, record in known if record.get("versions")]
        for number, each_one in enumerate(dict.fromkeys(map(json.dumps, versions))):
            found = json.loads(each_one).items()
            name = "versions" if number == 0 else f"versions {number + 1}"
            facts[name] = ", ".join(f"{what} {which}" for what, which in found)
        pairs = (f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in facts.items())
        yield f"<dl>{''.join(pairs)}</dl>"

    def _ordered(self) -> list[Row]:
        return in_order(self.rows, self.objectives[0] if self.objectives else None)

    def _results(self) -> Iterator[str]:
        """The main columns, a row a job, and below it why it failed."""
        names = main_columns(self.rows, self.swept, self.objectives)
        lines: list[tuple[str, list[str]]] = []
        for number, row in enumerate(self._ordered()):
            look = "bad" if row["status"] in FAILED else ""
            if number == 0 and self.objectives and self.objectives[0] in row:
                look = "best"
            lines.append((look, [with_error(row, name) for name in names]))
            if row["error"]:
                lines.append((look, [str(row["error"])]))
        yield from _table(names, lines)
        shown = f"The best {self.objectives[0]} is first. " if self.objectives else ""
        yield (
            f"<p class='note'>{escaped(shown)}± is one standard error, from blocks of samples. All "
            "columns are in <code>results.csv</code>, every evaluation in "
            "<code>evaluations.csv</code>.</p>"
        )

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
            folder = self.folder / str(row["folder"])
            label = " ".join(f"{name}={row[name]}" for name in self.swept)
            yield f"<details><summary>{escaped(label)}: {escaped(row['status'])}</summary>"
            overrides = read_json(folder / "run.json").get("overrides") or []
            yield f"<p class='note'>{escaped(folder)}</p>"
            if overrides:
                yield f"<pre>{escaped(shlex.join(map(str, overrides)))}</pre>"
            if row["error"]:
                yield f"<p>{escaped(row['error'])}</p>"
            metrics = metrics_of(row, self.swept)
            if metrics:
                cells = [("", [n, with_error(row, n) + of_data(row, n)]) for n in metrics]
                yield from _table(["metric", "value"], cells)
            figures = sorted((folder / "figures").glob("*.png")) if row["folder"] in shown else []
            for path in figures[:_MAX_FIGURES]:
                yield from _figure(path, path.stem.replace("_", " "), MAX_WIDTH)
            if len(figures) > _MAX_FIGURES:
                yield f"<p class='note'>{len(figures) - _MAX_FIGURES} more are in its folder.</p>"
            yield "</details>"


def _names(text: str) -> list[str]:
    """The sweep's figures in a report."""
    return [html.unescape(name) for name in re.findall(r'<figure id="([^"]+)"', text)]


def escaped(value: Any) -> str:
    """Text as it is, without the control characters that no page may hold."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(value))
    return html.escape(re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]", "\ufffd", text))


def _plus(text: str) -> str:
    return text.replace("+-", "±")


def with_error(row: Mapping[str, Any], name: str) -> str:
    """A cell, a metric with its standard error."""
    value, error = row.get(name), row.get(name + ERROR)
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return _plus(Spread(value, error, 1).text(2)) if isinstance(error, float) else f"{value:.4g}"


def of_data(row: Mapping[str, Any], name: str) -> str:
    """What a distance is for as many points of the data, in brackets behind it."""
    value = row.get(name + OF_DATA)
    return "" if value is None else f" (data {value:.4g})"


def _table(head: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Rows with their looks; one of a single cell is as wide as the table."""
    names = "".join(f"<th>{escaped(name)}</th>" for name in head)
    yield f"<div class='wide'><table><thead><tr>{names}</tr></thead><tbody>"
    for look, cells in lines:
        opening = f"<tr class='{look}'>" if look else "<tr>"
        if len(cells) == 1 < len(head):
            yield f"{opening}<td class='why' colspan='{len(head)}'>{escaped(cells[0])}</td></tr>"
        else:
            yield opening + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div>"


def _figure(path: Path, caption: str, width: int | None, name: str = "") -> Iterator[str]:
    """A figure with its file inside, at most so wide; what cannot be read is said."""
    try:
        data = path.read_bytes() if width is None else _smaller(path, width)
    except (OSError, ValueError) as error:
        yield f"<p class='note'>{escaped(path.name)} cannot be read: {escaped(error)}</p>"
        return
    source = base64.b64encode(data).decode()
    named = f' id="{escaped(name)}"' if name else ""
    yield (
        f'<figure{named}><img alt="{escaped(caption)}" src="data:image/png;base64,{source}"/>'
        f"<figcaption>{escaped(caption)}</figcaption></figure>"
    )


def _smaller(path: Path, width: int) -> bytes:
    """A PNG at most so wide, of few colours, which a tenth of its bytes hold."""
    from PIL import Image

    with Image.open(path) as stored:
        image = stored.convert("RGB")
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    image.quantize(_COLOURS).save(output, "PNG", optimize=True)
    return output.getvalue()
