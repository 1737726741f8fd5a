"""One run: make sure the model exists, sample, evaluate, record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, final

import lightning as L
import torch
from torch import Tensor

from fokker.experiment.callbacks import Intervals
from fokker.experiment.evaluate import (
    SIGMAS,
    SampleMetrics,
    denoising_errors,
    is_trained,
    mean_error,
)
from fokker.experiment.files import read_json_lines, short
from fokker.experiment.fit import InterruptedTraining, obtain
from fokker.experiment.identity import versions
from fokker.experiment.loggers import Log, Logger
from fokker.experiment.models import ModelFolder, load_checkpoint
from fokker.experiment.record import Record, rows_table, table
from fokker.experiment.sample import Samples, Sampling, draw_samples
from fokker.formulations import Diffusion, DivergedError


@final
@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        metrics: as in metrics.json.
        samples: in the data's units, (n, *shape), float64.
        model: the LightningModule with the evaluated weights; `model.denoiser(x, sigma)`.
        path: of the run's folder.
    """

    metrics: dict[str, Any]
    samples: Tensor
    model: Diffusion
    path: Path


@final
@dataclass(frozen=True)
class Experiment:
    """All that a run is made of, checked.

    Attributes:
        model: untrained.
        folder: of the trained model.
        checkpoint: weights to use as they are, in place of a training.
        samplings: ways to sample, the run's own first.
        num_samples, weights, seed, device: of the evaluation.
        trainer, intervals, logger: of the training.
        config: resolved.
        config_text: the same as YAML.
        facts: for the records of run and model.
    """

    model: Diffusion
    folder: ModelFolder
    checkpoint: Path | None
    samplings: Sequence[Sampling]
    num_samples: int
    weights: str
    seed: int
    device: torch.device
    trainer: Callable[..., L.Trainer]
    intervals: Intervals
    logger: Logger
    config: Mapping[str, Any]
    config_text: str
    retrain: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def run(experiment: Experiment, path: Path, say: Callable[[str], None] = print) -> Result:
    """Carry out an experiment in the run's folder `path`.

    Raises:
        ValueError: if the folder holds a finished run, or a sample is not finite.
        DivergedError: at a loss that is not finite.
        InterruptedTraining: after a signal.
    """
    started = perf_counter()
    model_path = str((experiment.checkpoint or experiment.folder.path).resolve())
    record = Record(
        path,
        {
            **experiment.facts,
            "model": {"key": experiment.folder.path.name, "path": model_path},
            "versions": versions(),
        },
    )
    record.config(experiment.config_text)
    log = experiment.logger.open(path, experiment.config)
    metrics: dict[str, Any] = {}
    try:
        metrics, samples = _carry_out(experiment, record, log, say)
    except (DivergedError, InterruptedTraining, KeyboardInterrupt) as error:
        record.failed("diverged" if isinstance(error, DivergedError) else "interrupted", error)
        raise
    except BaseException as error:
        record.failed("failed", error)
        raise
    finally:
        log.finish(metrics)
    record.note(status="completed", seconds=perf_counter() - started)
    say(table(metrics))
    say(f"record   {short(path)}")
    for figure in sorted((path / "figures").glob("*.png")):
        say(f"figure   {short(figure)}")
    return Result(metrics, samples, experiment.model, path.resolve())


def _carry_out(
    experiment: Experiment, record: Record, log: Log, say: Callable[[str], None]
) -> tuple[dict[str, Any], Tensor]:
    model = experiment.model
    _make_ready(experiment, record, log, say)
    errors = denoising_errors(model)
    rows, samples = _evaluate(experiment)
    if len(rows) > 1:
        say(rows_table(rows))
    own = {k: v for k, v in rows[0].items() if k not in ("sampler", "grid", "weights", "seconds")}
    each = {f"denoising_error@{s:.4g}": e for s, e in zip(SIGMAS.tolist(), errors.tolist())}
    metrics = {**own, "denoising_error": mean_error(model, errors), **each}
    record.samples(samples.points.numpy())
    record.evaluations(rows)
    record.metrics(metrics)
    record.note(nfe=samples.nfe, sampling_seconds=sum(row["seconds"] for row in rows))
    _draw(experiment, samples, errors, record.path / "figures")
    return metrics, samples.points


def _make_ready(
    experiment: Experiment, record: Record, log: Log, say: Callable[[str], None]
) -> None:
    """Give the model the weights that are evaluated, trained if need be."""
    model, folder, started = experiment.model, experiment.folder, perf_counter()
    if experiment.checkpoint is not None:
        load_checkpoint(experiment.checkpoint, model)
        record.curves(experiment.checkpoint.with_name("metrics.jsonl"))
        how = "loaded"
    else:
        facts = {**experiment.facts, "key": folder.path.name}
        how = obtain(
            model, folder, experiment.trainer, experiment.intervals, experiment.config_text,
            facts, log.log, say, experiment.retrain,
        )  # fmt: skip
        record.curves(folder.curves)
        record.note(images=folder.record["images"])
    if how == "found":
        for row in read_json_lines(folder.curves):
            log.log(row, row["step"])
    record.note(
        training=how,
        training_seconds=perf_counter() - started,
        parameters=sum(p.numel() for p in model.denoiser.parameters()),
    )
    say(f"model    {how}: {short(experiment.checkpoint or folder.path)}")
    model.to(experiment.device)
    model.use(experiment.weights)
    model.eval()


def _evaluate(experiment: Experiment) -> tuple[list[dict[str, Any]], Samples]:
    """A row for each way to sample, and the samples of the first, the run's own."""
    measure = SampleMetrics.of(experiment.model.data, experiment.num_samples)
    rows: list[dict[str, Any]] = []
    kept: list[Samples] = []
    for sampling in experiment.samplings:
        samples = draw_samples(experiment.model, sampling, experiment.num_samples, experiment.seed)
        kept = kept or [samples]
        rows.append(
            {
                "sampler": sampling.name,
                "grid": sampling.grid_name,
                "num_steps": sampling.num_steps,
                "nfe": samples.nfe,
                "weights": experiment.weights,
                **measure(samples.points),
                "seconds": samples.seconds,
            }
        )
    return rows, kept[0]


def _draw(experiment: Experiment, own: Samples, errors: Tensor, folder: Path) -> None:
    from fokker.figures import loss_per_sigma, samples_beside_data, save, trajectory

    data = experiment.model.data
    shape, reference = data.shape, data.held_out(len(own.points))
    folder.mkdir(exist_ok=True)
    name = str(experiment.facts.get("formulation", "denoiser"))
    trained = errors.where(is_trained(experiment.model), torch.nan)
    save(loss_per_sigma({name: trained.numpy()}, SIGMAS.numpy()), folder / "loss_per_sigma")
    save(samples_beside_data(own.points.numpy(), reference.numpy(), shape), folder / "samples")
    save(
        trajectory(own.states.numpy(), own.sigmas.numpy(), shape, "data units"),
        folder / "trajectory",
    )


def load_model(model: Diffusion, checkpoint: Path, weights: str = "ema") -> Diffusion:
    """A model with the weights of a checkpoint, ready to use."""
    load_checkpoint(checkpoint, model)
    model.use(weights)
    model.eval()
    return model
