"""Checks of the configuration: its batch, its precision, and whether it can be carried out."""

import copy
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import final

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.instantiate import Builder
from fokker.doctor.table import Row, judged
from fokker.machine.ranks import Ranks
from fokker.store.job_names import short_hash
from fokker.training import Engine

SLOWER = 1.25  # times; less is noise of the timing


@final
@dataclass(frozen=True)
class Built:
    """The build of the configuration in one rank.

    Attributes:
        digest: the hash of the resolved configuration.
        folder: the absolute path of the folder of runs and models.
        model: the name of the model.
        error: the reason why it cannot be carried out; empty if it can.
    """

    digest: str
    folder: str
    model: str
    error: str = ""


def build_here(config: DictConfig, choices: Choices, ranks: Ranks) -> Built:
    """Build the configuration as a run does, up to where something would be written."""
    config = copy.deepcopy(config)
    config.task = "run"
    folder, text = str(Path(config.output_dir).resolve()), OmegaConf.to_yaml(config)
    try:
        made = build_experiment(config, choices, ranks)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        return Built(short_hash([text]), folder, "", f"{key}{str(error).splitlines()[0]}")
    except ValueError as error:
        return Built(short_hash([text]), folder, "", str(error))
    except Exception as error:  # A user's own class may raise anything.
        return Built(short_hash([text]), folder, "", f"{type(error).__name__}: {error}")
    return Built(short_hash([made.task.config_text]), folder, made.task.folder.path.name)


def configuration_row(built: Sequence[Built], known: Sequence[Row] = ()) -> Row | None:
    """Make the row on whether all ranks can carry out the configuration, and do the same.

    Args:
        built: the build of each rank.
        known: the rows whose sentences are not said twice.
    Returns:
        the row; None if one of `known` says its sentence.
    """
    first = built[0]
    found = f"{first.model or 'none that could be run'}, {first.digest}"
    if len(built) > 1:
        found += " in all ranks"
    for rank, other in enumerate(built):
        for name, mine, theirs in (
            ("configuration", first.digest, other.digest),
            ("output_dir", first.folder, other.folder),
            ("model, data or classes", first.model, other.model),
        ):
            if mine != theirs and not (first.error or other.error):
                return judged("configuration", f"{first.digest} in rank 0", (
                    f"all ranks must have the same {name}, and rank {rank} has {theirs} where "
                    f"rank 0 has {mine}; start all by one command, in one folder that all see"
                ))  # fmt: skip
        if other.error:
            if any(other.error in row.verdict for row in known):
                return None
            who = f"rank {rank} cannot begin: " if len(built) > 1 else ""
            return judged("configuration", found, who + other.error)
    return judged("configuration", found)


def batch_row(config: DictConfig, size: int) -> Row:
    """Make the row on how a batch is divided over the ranks."""
    batch_size = config.data.batch_size
    ranks = f"{size} rank{'s' * (size > 1)}"
    try:
        engine: Engine = Builder(config.allow_targets)(config.trainer, "trainer")
        parts = engine.parts(batch_size, size)
    except ValueError as error:
        return judged("batch", f"data.batch_size={batch_size} for {ranks}", str(error))
    share = batch_size // size
    cut = f", in {parts} parts of {share // parts}" if parts > 1 else ""
    return judged("batch", f"{batch_size} = {ranks} x {share} samples a step{cut}")


@final
@dataclass(frozen=True)
class Speed:
    """The seconds of a product of matrices, in the precision of the training and in full."""

    lower: float = 0.0
    full: float = 0.0
    error: str = ""


def speed_here(precision: str, device: str) -> Speed:
    """Time this rank's device; the result has an error if it lacks that precision."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    if dtype is None:
        return Speed()
    kind = device.partition(":")[0]
    try:
        weight = torch.randn(512, 512, device=device, requires_grad=True)
        x = torch.randn(256, 512, device=device)

        def seconds(is_lower: bool) -> float:
            begun = perf_counter()
            with torch.autocast(kind, dtype, enabled=is_lower):
                loss = (x @ weight).square().mean()
            torch.autograd.backward(loss)
            if not bool(torch.isfinite(loss)):
                raise RuntimeError("a mean of squares is not finite")
            return perf_counter() - begun

        for is_lower in (True, False):
            seconds(is_lower)
        lower = statistics.median(seconds(True) for _ in range(9))
        return Speed(lower, statistics.median(seconds(False) for _ in range(9)))
    except (RuntimeError, TypeError, ValueError) as error:
        return Speed(error=f"{type(error).__name__}: {str(error).splitlines()[0]}")


def precision_row(precision: str, device: str, speeds: Sequence[Speed]) -> Row:
    """Make the row on whether every device has the precision, and is not slower in it."""
    for rank, speed in enumerate(speeds):
        if speed.error:
            return judged("precision", f"{precision} on {device}", (
                f"rank {rank} cannot train with trainer.precision={precision} ({speed.error}); "
                "choose 32-true"
            ))  # fmt: skip
    slowest = max(speeds, key=lambda speed: speed.lower / (speed.full or 1))
    if not slowest.full:
        return judged("precision", f"{precision} on {device}")
    found = (
        f"{precision} on {device}: a layer takes {1e3 * slowest.lower:.2g} ms, in 32-true "
        f"{1e3 * slowest.full:.2g} ms"
    )
    factor = slowest.lower / slowest.full
    return judged("precision", found, warning="" if factor < SLOWER else (
        f"{precision} is {factor:.2g} times slower than 32-true here; choose trainer.precision="
        "32-true, unless memory is short"
    ))  # fmt: skip
