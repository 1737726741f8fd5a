"""A logger for W&B, which mirrors the files of the local record."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, final

from fokker.overrides import read
from fokker.store.records import read_record
from fokker.store.run_files import read_arrays, read_table
from fokker.tracking.loggers import Log, Logger, numbers
from fokker.tracking.wandb_run import SafeRun

MAX_TAG, MAX_NAME = 64, 128  # W&B's own limits
MAX_POINTS, MAX_DIM = 1000, 3
# W&B's own exit code for a run that a user has stopped, which it displays as killed.
STOPPED = 255
EXIT_CODES = {"completed": 0, "pruned": 0, "interrupted": STOPPED}
#: Overrides that change no factor of a run.
NO_FACTORS = ("hydra", "logger", "output_dir", "task", "allow_targets", "formulation", "data")
#: The entries of run.json that W&B has in other places.
NOT_IN_SUMMARY = ("overrides", "swept", "sweep", "formulation", "data", "versions", "model")


@final
class WandB(Logger):
    """A logger for Weights & Biases, online if there is a key, else offline; it never prompts.

    Each run has one W&B run. The curves are sent as they come, against `images`. The rest is sent
    at the end, from the local record: the metrics, a history row for each evaluation, tables and
    figures.

    Args:
        project, entity: the project and the entity in W&B.
        group: the group in W&B; null: in a sweep the name of its folder, else none.
        tags: the tags besides the formulation, the data and the swept values (of a single run: its
            overrides).
        log_model: whether the model's checkpoint is kept in W&B, as an artifact with its key.
        finish_seconds: the time that W&B may take at the end; what is left then stays on disk.
    Raises:
        ValueError: if finish_seconds is not positive.
    """

    def __init__(
        self,
        project: str = "fokker",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        log_model: bool = False,
        finish_seconds: float = 30.0,
    ) -> None:
        if not finish_seconds > 0:
            raise ValueError(f"finish_seconds must be positive, got {finish_seconds}")
        # The variable WANDB_PROJECT may be empty.
        self._project, self._entity, self._group = project or "fokker", entity, group
        self._tags, self._log_model, self._seconds = list(tags or ()), log_model, finish_seconds

    def open(self, folder: Path, config: Mapping[str, object]) -> Log:
        facts = read_record(folder / "run.json")
        about = ("formulation", "data", "sweep", "swept", "overrides", "versions")
        run = self.start(
            folder, name(facts, folder), "run", facts.get("sweep"), tags(facts, self._tags),
            {**config, "fokker": {key: facts[key] for key in about if key in facts}},
            earlier=_earlier(folder) if "sweep" in facts else None,
            is_agents="sweep" not in facts,
        )  # fmt: skip
        return WandBLog(run, folder, self._log_model)

    def start(
        self,
        folder: Path,
        title: str,
        job_type: str,
        group: str | None,
        labels: Sequence[str],
        config: Mapping[str, object],
        earlier: Path | None = None,
        is_agents: bool = False,
    ) -> SafeRun:
        """Start a W&B run in a folder; for `earlier` and `is_agents` see `SafeRun`."""
        return SafeRun(
            folder, self._seconds, earlier, is_agents, project=self._project, entity=self._entity,
            group=self._group or group, tags=list(labels), job_type=job_type, name=title[:MAX_NAME],
            config=dict(config),
        )  # fmt: skip


@final
class WandBLog:
    """The mirror of one run.

    Args:
        run: the W&B run.
        folder: the folder of the local record.
        log_model: whether the checkpoint is logged too.
    """

    def __init__(self, run: SafeRun, folder: Path, log_model: bool) -> None:
        self._run, self._folder, self._log_model = run, folder, log_model
        self._step = -1
        self._known: set[str] = set()

    @property
    def address(self) -> str:
        return self._run.address

    def log(self, metrics: Mapping[str, object], step: int) -> None:
        self._step = step
        row = {key: value for key, value in numbers(metrics).items() if key != "step"}
        self._run.do(lambda run: self._history(run, row, "images"))

    def finish(self) -> None:
        self._run.do(self._mirror, is_long=True)
        self._run.finish()

    def _mirror(self, run: Any) -> None:
        """Log all that is in the folder by now."""
        facts = read_record(self._folder / "run.json")
        self._run.exit_code = EXIT_CODES.get(facts["status"], 1)
        rows = list(typed_rows(self._folder / "evaluations.csv"))
        # W&B draws a line from row to row.
        rows.sort(key=lambda row: row["nfe"])
        for label, row in zip(labels(rows), rows, strict=True):
            self._step += 1
            row = {f"{label}/{key}": value for key, value in numbers(row).items()}
            self._history(run, row, f"{label}/nfe")
        run.summary.update(summary(self._folder, facts))
        log_figures(run, figures(self._folder))
        log_tables(run, tables(self._folder))
        if self._log_model and facts["status"] == "completed" and facts["model"]:
            log_model(run, facts["model"])

    def _history(self, run: Any, row: Mapping[str, float], axis: str) -> None:
        """Log a history row whose charts are drawn against one of its values."""
        for key in row:
            if key not in self._known:
                self._known.add(key)
                run.define_metric(key, step_metric=None if key == axis else axis)
        # By its step, W&B does not double a row that it has from before an interruption.
        run.log(dict(row), step=self._step, commit=True)


def name(facts: Mapping[str, Any], folder: Path) -> str:
    """Return the title of a run: the parts of a sweep's job, or the folder of a single run."""
    if "sweep" not in facts:
        return folder.name
    swept = {k: v for k, v in facts["swept"].items() if k not in ("formulation", "data")}
    return " ".join([f"{facts['formulation']}-{facts['data']}", *_pairs(swept)])


def tags(facts: Mapping[str, Any], given: Sequence[str]) -> list[str]:
    """Return the tags: the formulation, the data, what was changed, and the user's, each once."""
    if "sweep" in facts:
        changed = _pairs({k: v for k, v in facts["swept"].items() if k not in NO_FACTORS})
    else:
        changed = [o for o in facts.get("overrides", ()) if _root(o) not in NO_FACTORS]
    kinds = [str(facts[key]) for key in ("formulation", "data") if key in facts]
    environment = os.environ.get("WANDB_TAGS", "").split(",")
    found = (tag(str(text).strip()) for text in [*kinds, *changed, *given, *environment])
    return list(dict.fromkeys(filter(None, found)))


def tag(text: str) -> str:
    """Shorten a tag to 64 characters: first to the last part of its key, then to both ends.

    Any text may be a tag, so that it is not read as an override.
    """
    if len(text) > MAX_TAG:
        key, equals, value = text.partition("=")
        text = (key.rpartition(".")[2] or key) + equals + value
    head = MAX_TAG // 2
    return text if len(text) <= MAX_TAG else f"{text[:head]}…{text[head + 1 - MAX_TAG :]}"


def _pairs(values: Mapping[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in values.items()]


def _root(override: str) -> str:
    """Return the first part of an override's key: `logger` of `+logger.tags=[a]`."""
    return re.split(r"[./]", read(override).key)[0]


def _earlier(folder: Path) -> Path | None:
    """Return the last earlier attempt at a sweep's job that W&B knows: `<job>.2` for `<job>.3`."""
    job, _, attempt = folder.name.rpartition(".")
    if not attempt.isdecimal():  # Values in the name may have dots too.
        return None
    for number in range(int(attempt) - 1, 0, -1):
        before = folder.with_name(job if number == 1 else f"{job}.{number}")
        if (before / "wandb.json").is_file():
            return before
    return None


def labels(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the name under which W&B files the charts of each evaluation.

    It is `evaluation` if there is one way to sample, so that runs share a chart. Else it is the
    first part, such as the sampler, with the grid and the weights where there are several.
    """
    parts = [*takewhile(lambda name: name != "num_steps", rows[0] if rows else ()), "weights"]
    columns = [column for column in parts if len({row.get(column) for row in rows}) > 1]
    if not columns:
        return ["evaluation"] * len(rows)
    if columns[0] != parts[0]:
        columns.insert(0, parts[0])
    named = (" ".join(str(row[c]) for c in columns if row[c] is not None) for row in rows)
    # W&B would split a name at a dot or a slash.
    return [part.replace(".", "_").replace("/", "_") for part in named]


def typed_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with numbers as numbers and None for an empty cell."""
    if path.is_file():
        for row in read_table(path):
            yield {key: _value(text) for key, text in row.items()}


def _value(text: str | None) -> Any:
    for kind in (int, float):
        try:
            return kind(text or "")
        except ValueError:
            continue
    return text or None


def tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a run by name: all but its curves, and some samples."""
    files = sorted(path for path in folder.glob("*.csv") if path.stem != "metrics")
    found = {path.stem: list(typed_rows(path)) for path in files}
    found["samples"] = samples(folder / "samples.npz")
    return {key: rows for key, rows in found.items() if rows}


def samples(path: Path) -> list[dict[str, float]]:
    """Return the first samples, if they have few dimensions; others are in their figure."""
    if not path.is_file():
        return []
    points = read_arrays(path, "samples")["samples"][:MAX_POINTS]
    points = points.reshape(len(points), -1)
    if points.shape[1] > MAX_DIM:
        return []
    names = [f"x{column + 1}" for column in range(points.shape[1])]
    return [dict(zip(names, point, strict=True)) for point in points.tolist()]


def figures(folder: Path) -> list[Path]:
    """Return the PNG figures of a folder."""
    return sorted((folder / "figures").glob("*.png"))


def log_figures(run: Any, figures: Sequence[Path]) -> None:
    """Log PNG files as `figures/<name>`."""
    import wandb

    if figures:
        run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in figures})


def log_tables(run: Any, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Log tables as `tables/<name>`; online, W&B asks its server about each of them."""
    import wandb

    row: dict[str, Any] = {}
    for title, rows in tables.items():
        columns: list[Any] = list(dict.fromkeys(column for entry in rows for column in entry))
        cells = [[entry.get(column) for column in columns] for entry in rows]
        row[f"tables/{title}"] = wandb.Table(columns=columns, data=cells, allow_mixed_types=True)
    if row:
        run.log(row)


def summary(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary of a run: run.json's facts, the model, and all of metrics.json."""
    model = facts.get("model") or {}
    known = {key: value for key, value in facts.items() if key not in NOT_IN_SUMMARY}
    known.update({f"model_{key}": value for key, value in model.items()})
    return {**known, "folder": str(folder.resolve()), **read_record(folder / "metrics.json")}


def log_model(run: Any, model: Mapping[str, str]) -> None:
    """Log a model's checkpoint as an artifact that is named after its key."""
    import wandb

    path = Path(model["path"])
    folder = path if path.is_dir() else path.parent
    artifact = wandb.Artifact(model["key"], type="model")
    kept = [folder / file for file in ("last.ckpt", "config.yaml", "model.json")]
    for file in [*kept, *sorted(folder.glob("*.safetensors"))]:
        if file.is_file():
            artifact.add_file(str(file))
    run.log_artifact(artifact)
