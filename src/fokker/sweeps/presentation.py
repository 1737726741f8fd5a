"""Presentation of a sweep's results: tables that are printed, files, figures and W&B."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from fokker.machine.signals import SIGNALS
from fokker.machine.stopping import TABLES
from fokker.store.job_folders import write_json
from fokker.store.job_names import job_id
from fokker.sweeps.collection import count, evaluation_rows, write_results
from fokker.sweeps.figures import draw_results, study_comment
from fokker.sweeps.jobs import Job
from fokker.sweeps.outcome import Outcome
from fokker.sweeps.tables import heading, results_table, seeds_table
from fokker.tracking.wandb_sweep import log_sweep

#: The first word of the line that names a file, by the file's suffix.
_KINDS = {".html": "report   ", ".png": "figure   ", ".tex": "table    ", ".md": "table    "}


def collected(jobs: Sequence[Job], settings: DictConfig, has_run: bool) -> Outcome:
    """Write the tables and figures of the jobs, and print the main tables.

    Args:
        jobs: the jobs of the sweep, in order.
        settings: the composed configuration of the sweep.
        has_run: whether a job was run now, so that the results are logged to W&B again.
    """
    folder, objective = jobs[0].sweep, settings.objective
    rows = [job.row() for job in jobs]
    outcome = Outcome(folder, rows, list(jobs[0].swept), [objective] if objective else [])
    write_results(folder / "results.csv", rows)
    print(heading(outcome))
    print(results_table(outcome, outcome.in_order(objective)).aligned())
    if note := outcome.mixed_units:
        print(f"units    {note}")
    if seeds := seeds_table(outcome):
        print(f"over seeds, mean +- standard error of the mean:\n{seeds.aligned()}")
    print(f"results  {folder / 'results.csv'}")
    known = {job.key for job in jobs}
    finished = {job_id(path.parent) for path in folder.glob("*/metrics.json")}
    if others := len(finished - known):
        what = count(others, "finished job")
        print(f"         without {what} of other commands in this folder")
    trained = sum(row["training"] in ("trained", "continued") for row in rows)
    write_json(
        folder / "sweep.json",
        {
            "jobs": len(rows),
            "statuses": Counter(row["status"] for row in rows),
            "models": len({row["model"] for row in rows if row["model"]}),
            "trainings": trained,
            "seconds": sum(row["seconds"] or 0.0 for row in rows),
        },
    )
    with SIGNALS.raised(TABLES):
        present(outcome, settings, has_run)
    return outcome


def present(
    outcome: Outcome, settings: DictConfig, has_run: bool, also: Sequence[Path] = ()
) -> None:
    """Draw the tables and figures of an outcome, and log them to W&B if something is new.

    Args:
        outcome: the outcome of the sweep or search.
        settings: its composed configuration.
        has_run: whether a job was run now.
        also: the figures that are drawn already.
    """
    folder, rows = outcome.folder, outcome.rows
    drawn = [*also, *draw_results(outcome, study_comment(settings), None, also)]
    for path in drawn:
        print(f"{_KINDS[path.suffix]}{path}")
    if has_run or not (folder / "wandb.json").is_file():
        figures = sorted((folder / "figures").glob("*.png"))
        report = next((path for path in drawn if path.suffix == ".html"), None)
        tables = {"evaluations": evaluation_rows(folder, rows, outcome.swept)}
        address = log_sweep(folder, settings.logger, rows, tables, figures, report)
        if address.startswith("wandb sync"):  # The sweep's run is one of many.
            address = f"wandb sync {folder}/wandb/offline-run-* {folder}/*/wandb/offline-run-*"
        if address:
            print(f"wandb    {address}")
