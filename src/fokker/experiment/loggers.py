"""Where curves and results go besides the local record."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast, final
from urllib.parse import urlparse

from fokker.experiment.files import write_text

#: The training curves, whose axis is the images seen.
CURVES = (
    "loss", "floor", "excess", "ema_excess", "lr", "held_out_loss", "denoising_error",
)  # fmt: skip


class Log(Protocol):
    """What a run tells while it goes on."""

    def log(self, metrics: Mapping[str, Any], step: int) -> None: ...

    def finish(self, summary: Mapping[str, Any]) -> None: ...


class Logger(Protocol):
    """Opens the log of one run."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log: ...


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers among metrics."""
    return {key: value for key, value in metrics.items() if isinstance(value, (int, float))}


@final
class CSV:
    """The curves as `metrics.csv` in the run's folder, for spreadsheets."""

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log:
        return CSVLog(folder / "metrics.csv")


@final
class CSVLog:
    """One table with a row a line of the curves; a cell is empty where nothing was measured."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[dict[str, float]] = []

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        self._rows.append(numbers(metrics))

    def finish(self, summary: Mapping[str, Any]) -> None:
        names = list(dict.fromkeys(name for row in self._rows for name in row))
        lines = [names, *([str(row.get(name, "")) for name in names] for row in self._rows)]
        write_text(self._path, "".join(",".join(line) + "\n" for line in lines))


@final
class WandB:
    """Weights & Biases: online where there is a key, else offline; never a prompt.

    Args:
        project, entity, group, tags: as W&B has them.
    """

    def __init__(
        self,
        project: str = "fokker",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        self._project, self._entity, self._group, self._tags = project, entity, group, tags

    def open(self, folder: Path, config: Mapping[str, Any]) -> Log:
        import wandb

        mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
        run = wandb.init(
            project=self._project, entity=self._entity, group=self._group, tags=self._tags,
            mode=cast(Any, mode), dir=folder, config=dict(config), name=folder.name,
            reinit="create_new", settings=wandb.Settings(quiet=True),
        )  # fmt: skip
        for name in CURVES:
            run.define_metric(name, step_metric="images")
        return WandBLog(run)


def _has_key() -> bool:
    """Whether W&B can go online without asking: a key in the environment or in .netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


@final
class WandBLog:
    """One W&B run."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        self._run.log(numbers(metrics))

    def finish(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(numbers(summary))
        self._run.finish()
