"""The W&B run of a whole sweep, next to the runs of its jobs."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

OF_WANDB = "fokker.tracking.WandB"


def log_sweep(
    folder: Path,
    loggers: DictConfig,
    rows: Sequence[Mapping[str, object]],
    tables: Mapping[str, Sequence[Mapping[str, object]]],
    figures: Sequence[Path],
    report: Path | None = None,
) -> str:
    """Log a sweep's answer as one more run in the group of its jobs, of the job type `sweep`.

    A sweep that is started again goes on with the same run. Whatever W&B does, the sweep goes on.

    Args:
        folder: the folder of the sweep; the run and the group have its name.
        loggers: the logger nodes of the configuration by name; the first one of W&B is used.
        rows: the rows of results.csv, one for each job.
        tables: the other tables by name.
        figures: the figures, of which those in PNG are logged.
        report: the report, an HTML file.
    Returns:
        the address at which the run can be seen; empty without W&B.
    """
    logger = next((node for node in loggers.values() if node.get("_target_") == OF_WANDB), None)
    if logger is None:
        return ""
    try:
        return _log_sweep(folder, logger, {"results": rows, **tables}, figures, report)
    except Exception as error:
        print(f"warning: the sweep is not in W&B: {error}", file=sys.stderr)
        return ""


def _log_sweep(
    folder: Path,
    logger: DictConfig,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    figures: Sequence[Path],
    report: Path | None,
) -> str:
    from fokker.tracking.wandb_log import WandB, log_figures, log_tables, tags

    given: Any = OmegaConf.to_container(logger, resolve=True)
    arguments = {key: value for key, value in given.items() if key != "_target_"}
    rows = tables["results"]
    counts = Counter(str(row.get("status")) for row in rows)
    run = WandB(**arguments).start(
        folder, folder.name, "sweep", folder.name, tags({}, arguments.get("tags") or ()),
        {"fokker": {"sweep": folder.name, "jobs": len(rows)}},
    )  # fmt: skip
    run.exit_code = 0
    drawn = [path for path in figures if path.suffix == ".png"]

    def mirror(made: Any) -> None:
        import wandb

        made.summary.update({"jobs": len(rows), **counts})
        log_figures(made, drawn)
        if report is not None:
            made.log({"report": wandb.Html(str(report))})
        log_tables(made, tables)

    run.do(mirror, is_long=True)
    run.finish()
    return run.address
