"""The local record of one run."""

import json
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np

from fokker.formulation import Report
from fokker.levels import Table
from fokker.machine.csv_files import csv_text
from fokker.machine.disk import DiskError
from fokker.machine.files import (
    checksum,
    write_atomically,
    write_json,
    write_json_lines,
    write_text,
)
from fokker.machine.folders import make_folder
from fokker.machine.text_tables import aligned
from fokker.measures import ERROR, OF_DATA
from fokker.store.curves import read_json_lines
from fokker.store.records import FORMAT, read_record

#: The suffixes of a record's files, its own files, and those that change after its end.
_RECORDED = (".json", ".jsonl", ".csv", ".npz", ".yaml")
_OWN_NAMES = (
    "config", "evaluations", "loss_per_level", "metrics", "run", "samples", "trial", "wandb",
)  # fmt: skip
_GO_ON = ("run.json", "metrics.csv", "trial.json", "wandb.json")


@final
class Record:
    """The folder of one run, with its configuration, its results and its end.

    Args:
        path: the path of the folder, outputs/runs/<time>-<10 hex>.
        facts: the first facts of run.json.
    Raises:
        ValueError: if the folder already holds a run that is finished.
    """

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        if read_record(path / "run.json").get("status") == "completed":
            raise ValueError(
                f"hydra.run.dir={path} already holds a finished run, which is never written again; "
                "give another folder"
            )
        self.path = path
        self._names = set(_OWN_NAMES)
        self._facts: dict[str, Any] = {"format": FORMAT, **facts, "status": "running"}
        make_folder(path)
        self.note()

    def note(self, **facts: object) -> None:
        """Change facts in run.json."""
        self._facts.update(facts)
        write_json(self.path / "run.json", self._facts)

    def completed(self, **facts: object) -> None:
        """Mark the run as completed, and note the sha256 of the files that are final as `files`."""
        files = sorted(p for p in self.path.iterdir() if p.suffix in _RECORDED and p.is_file())
        known = {p.name: checksum(p) for p in files if p.name not in _GO_ON}
        self.note(status="completed", **facts, files=known)

    @property
    def has_trained(self) -> bool:
        """Tell whether the run has made training steps, and did not find its model."""
        return self._facts.get("training") in ("trained", "continued")

    def config(self, text: str) -> None:
        """Write config.yaml, the resolved configuration."""
        write_text(self.path / "config.yaml", text)

    def metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Write metrics.json, flat: the numbers of the run's own sampler and number of steps."""
        write_json(self.path / "metrics.json", dict(metrics))

    def levels(self, table: Table) -> None:
        """Write loss_per_level.csv, and its axis in run.json."""
        table.write(self.path)
        self.note(axis=table.facts())

    def evaluations(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write evaluations.csv, with one row for each evaluation."""
        self._table("evaluations", rows)

    def report(self, report: Report) -> None:
        """Write <name>.csv, and <name>.npz if the report has arrays.

        Raises:
            ValueError: if another file of the record has this name.
        """
        if report.name in self._names:
            raise ValueError(
                f"name of a report must be another than those of the run's other files, "
                f"{', '.join(sorted(self._names))}, got {report.name}"
            )
        self._names.add(report.name)
        self._table(report.name, report.rows)
        if report.arrays:
            self._arrays(report.name, {k: v.numpy() for k, v in report.arrays.items()})

    def _table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        names = list(dict.fromkeys(column for row in rows for column in row))
        write_text(self.path / f"{name}.csv", csv_text(rows, names))

    def curves(self, source: Path) -> None:
        """Write metrics.jsonl, the training curves of the model."""
        write_json_lines(self.path / "metrics.jsonl", read_json_lines(source))

    def samples(self, points: np.ndarray, group: int) -> None:
        """Write samples.npz: `samples` in the units and the shape of the data's file.

        run.json says that they are there, and how many in a row depend on each other.
        """
        self._arrays("samples", {"samples": points})
        self.note(samples="samples.npz", group=group)

    @property
    def samples_path(self) -> Path | None:
        """Return the path of samples.npz; None before it is written."""
        name = self._facts.get("samples")
        return None if name is None else self.path / name

    def _arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        def write(temporary: Path) -> None:
            with temporary.open("wb") as handle:
                np.savez_compressed(handle, allow_pickle=False, **arrays)

        write_atomically(self.path / f"{name}.npz", write)

    def failed(self, status: str, error: BaseException) -> None:
        """Mark the run as `failed`, `diverged` or `interrupted`, with the reason."""
        with suppress(DiskError):  # The disk may be the reason.
            if status == "failed":
                write_text(self.path / "traceback.txt", "".join(traceback.format_exception(error)))
            self.note(status=status, error=f"{type(error).__name__}: {error}")


def table(metrics: Mapping[str, object]) -> str:
    """Return metrics as aligned lines for a terminal.

    Each is followed by its standard error, and in brackets by its value for as many points of the
    data.
    """
    shown = [k for k in metrics if not k.endswith((ERROR, OF_DATA))]
    width = max(map(len, shown), default=0)
    lines = []
    for name in shown:
        line = f"  {name:<{width}}  {_number(metrics[name])}"
        if name + ERROR in metrics:
            line += f" +- {_number(metrics[name + ERROR])}"
        if name + OF_DATA in metrics:
            line += f" (data {_number(metrics[name + OF_DATA])})"
        lines.append(line)
    return "\n".join(lines)


def rows_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return evaluations as a table for a terminal, without the standard errors of the file."""
    columns = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in columns if name != "weights" and not name.endswith(ERROR)]
    cells = [names, *([_number(row.get(name)) for name in names] for row in rows)]
    return "\n".join(f"  {line}" for line in aligned(cells, right=None))


def report_text(report: Report) -> str:
    """Return a report as text for a terminal: its title, its table and its notes."""
    notes = "".join(f"\n  ({note})" for note in report.notes)
    return f"{report.title}\n{rows_table(report.rows)}{notes}"


def _number(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')
