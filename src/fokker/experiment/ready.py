"""A model with the weights that a run evaluates."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from fokker.experiment.experiment import Experiment
from fokker.experiment.record import Record
from fokker.formulation import Formulation
from fokker.machine.disk import short
from fokker.machine.signals import SIGNALS
from fokker.store.curves import read_json_lines
from fokker.store.models import EARLY, ModelFolder, load_checkpoint
from fokker.store.records import read_record
from fokker.tracking.loggers import Log
from fokker.training import Training
from fokker.training.fit import obtain


def make_ready(
    experiment: Experiment,
    record: Record,
    log: Log,
    say: Callable[[str], None],
) -> None:
    """Give the model the weights that are evaluated, trained if need be, and say so."""
    model, folder, started = experiment.model, experiment.task.folder, perf_counter()
    how = obtain_weights(experiment, log.log, say)
    if how == "exact":
        record.note(model=None)
    elif experiment.checkpoint is not None:
        record.curves(experiment.checkpoint.with_name("metrics.jsonl"))
    else:
        record.curves(folder.curves)
        known = folder.record
        record.note(
            images=known.get("images"), images_per_second=known.get("images_per_second")
        )
    if model.trains:
        given = experiment.checkpoint
        (folder if given is None else ModelFolder(given.parent)).note_use(record.path)
    used = read_record((experiment.checkpoint or folder.checkpoint).with_name("model.json"))
    if model.trains and used.get("status") == EARLY:
        max_steps = experiment.task.engine.max_steps
        record.note(stopped_early={"step": used.get("step", 0), "max_steps": max_steps})
    if how in ("found", "loaded"):
        for row in read_json_lines(record.path / "metrics.jsonl"):
            log.log(row, row["step"])
            if experiment.task.watch is not None:
                experiment.task.watch(row, row["step"])
    record.note(
        training=how,
        training_seconds=perf_counter() - started,
        parameters=sum(p.numel() for p in model.network.parameters()),
    )
    where = short(experiment.checkpoint or folder.path)
    say(f"model    {how}: {where if model.trains else 'the ideal denoiser, nothing to train'}")
    use(experiment)


def obtain_weights(
    experiment: Experiment,
    listener: Callable[[dict[str, Any], int], None],
    say: Callable[[str], None],
) -> str:
    """Give the model its trained weights; how."""
    model = experiment.model
    if not model.trains:
        return "exact"
    if experiment.checkpoint is not None:
        load_checkpoint(experiment.checkpoint, experiment.task.training)
        return "loaded"
    return obtain(experiment.task, listener, say, SIGNALS)


def use(experiment: Experiment) -> None:
    """Let the model be used with the weights that are evaluated."""
    experiment.model.to(experiment.task.device)
    experiment.task.training.use(experiment.plan.weights)
    experiment.model.eval()


def load_model(training: Training, checkpoint: Path, weights: str = "ema") -> Formulation:
    """A model with the weights of a checkpoint, ready to use."""
    load_checkpoint(checkpoint, training)
    training.use(weights)
    return training.formulation.eval()
