"""The examination of a launch, by all of its ranks together."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from fokker.config.choices import Choices
from fokker.config.compose import refuse
from fokker.config.targets import find_own
from fokker.doctor.cluster import launchers_row, sbatch_row, scheduler_row
from fokker.doctor.facts import Facts, devices_row, facts_here, versions_row
from fokker.doctor.folder import folder_rows
from fokker.doctor.launched import Launch, started_row
from fokker.doctor.meeting import leave, lost_row, meet, meeting_row, silent_row
from fokker.doctor.table import Row, closing, table
from fokker.doctor.training import (
    batch_row,
    build_here,
    configuration_row,
    precision_row,
    speed_here,
)
from fokker.doctor.wandb import wandb_row
from fokker.machine.ranks import ALONE, LostRank, Ranks
from fokker.machine.start import asked_ranks
from fokker.tracking.wandb_sweep import OF_WANDB

WIDTH = 120


def examine(config: DictConfig, choices: Choices, launch: Launch) -> bool:
    """Examine everything, and print the table in rank 0.

    Returns:
        whether nothing would go wrong, the same in all ranks.
    Raises:
        SystemExit: in ranks that have lost rank 0.
    """
    warnings.simplefilter("ignore")  # A run gives them.
    find_own(config.allow_targets)
    lost: list[Row] = []
    try:
        ranks = meet(launch.start, config.trainer)
    except LostRank as error:
        if launch.start.rank:
            refuse(error, launch.start)
        ranks, lost = ALONE, [lost_row(launch.start, error)]
    rows: list[Row] = []
    try:
        for row in _rows(config, choices, launch, ranks):
            rows.append(row)
        rows += lost
        return ranks.first_says(lambda: _say(rows))
    except LostRank as error:
        if launch.start.rank:
            refuse(error, launch.start)
        return _say([*rows, silent_row(launch.start)])
    finally:
        leave(ranks)


def _say(rows: list[Row]) -> bool:
    """Print the table; return whether nothing would go wrong."""
    width = shutil.get_terminal_size((WIDTH, 24)).columns
    print(f"{table(rows, width)}\n{closing(rows)}", flush=True)
    return not any(row.is_wrong for row in rows)


def _rows(config: DictConfig, choices: Choices, launch: Launch, ranks: Ranks) -> Iterator[Row]:
    """Yield all rows in order; all ranks take part, and those of rank 0 are printed."""
    trainer = config.trainer
    facts: list[Facts] = ranks.collected(facts_here(trainer, launch.start))
    yield versions_row(facts)
    started = started_row(launch, trainer, facts)
    yield started
    devices = devices_row(facts)
    yield devices
    batch = batch_row(config, _size(launch, trainer))
    yield batch
    own = facts[ranks.rank].device or "cpu"
    precision = trainer.get("precision", "32-true")
    yield precision_row(precision, own, ranks.collected(speed_here(precision, own)))
    if ranks.size > 1:
        yield meeting_row(ranks)
    built = ranks.collected(build_here(config, choices, ranks))
    configuration = configuration_row(built, [started, devices, batch])
    if configuration is not None:
        yield configuration
    host = facts[ranks.rank].host
    output_dir = ranks.first_says(lambda: str(Path(config.output_dir).resolve()))
    yield from folder_rows(Path(output_dir), host, ranks)
    if not ranks.is_first:
        return
    yield scheduler_row()
    if launch.is_submitted and launch.jobs is not None:
        yield sbatch_row(launch.jobs)
    yield wandb_row(any(node.get("_target_") == OF_WANDB for node in config.logger.values()))
    yield launchers_row(launch.launcher if launch.jobs is not None else "")


def _size(launch: Launch, trainer: DictConfig) -> int:
    """Return the number of ranks: those started or, in one process, those it would start."""
    if launch.ahead.size > 1:
        return launch.ahead.size
    try:
        return asked_ranks(trainer)
    except ValueError:  # The error has a row.
        return 1
