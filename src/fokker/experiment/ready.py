"""A model with the weights that a run evaluates."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from fokker.experiment.experiment import Experiment
from fokker.experiment.record import Record
from fokker.formulation import Formulation
from fokker.machine.signals import SIGNALS
from fokker.store.checkpoints import load_checkpoint
from fokker.store.curves import read_json_lines
from fokker.store.models import EARLY
from fokker.tracking.loggers import Logs
from fokker.training import Training


def make_ready(
    experiment: Experiment,
    record: Record,
    log: Logs,
    say: Callable[[str], None],
) -> None:
    """Give the model the weights that are evaluated, trained if need be, and record the origin."""
    origin, started = experiment.origin, perf_counter()
    how = origin.obtain(log.log, say, SIGNALS)
    record.note(**origin.facts)
    if origin.folder is not None:
        record.curves(origin.folder.curves)
        origin.folder.note_use(record.path)
        used = origin.folder.record
        if used.get("status") == EARLY:
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
        parameters=sum(p.numel() for p in experiment.model.network.parameters()),
    )
    say(f"model    {how}: {origin.words}")
    use(experiment)


def use(experiment: Experiment) -> None:
    """Put the model on its device, with the weights that are evaluated, in evaluation mode."""
    experiment.model.to(experiment.task.device)
    experiment.task.training.use(experiment.plan.weights)
    experiment.model.made_from = ()  # Evaluations need only the model's own state.
    experiment.model.eval()


def load_model(training: Training, checkpoint: Path, weights: str = "ema") -> Formulation:
    """Return a model with the weights of a checkpoint, ready to use."""
    load_checkpoint(checkpoint, training)
    training.use(weights)
    training.formulation.made_from = ()
    return training.formulation.eval()
