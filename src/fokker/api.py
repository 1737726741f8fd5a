"""The Python API: `fokker.run` and `fokker.load`."""

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.config.compose import composed, meant_overrides
from fokker.config.loading import load
from fokker.config.surroundings import as_at_start
from fokker.experiment import Result
from fokker.launch.job import SIGNALLED, run_job
from fokker.launch.launch import launch
from fokker.machine.start import Start, asked_ranks, check_alone
from fokker.store.records import read_record
from fokker.store.run_files import read_arrays

__all__ = ["load", "run"]


def run(overrides: Sequence[str] = ()) -> Result:
    """Run `fokker OVERRIDES` from Python, in whatever mode torch and hydra are.

    Args:
        overrides: the overrides as typed, such as `["data=uniform", "trainer.max_steps=500"]`.
    Returns:
        the metrics, samples, model and path of the run.
    Raises:
        ValueError: for an invalid configuration, for ranks that fail or were started by another
            program, or for `task=plan`, which gives no result.
    """
    is_list = isinstance(overrides, Sequence) and not isinstance(overrides, str)
    if not is_list or not all(isinstance(override, str) for override in overrides):
        raise ValueError(
            f"overrides must be a list of texts, such as ['data=uniform'], got {overrides!r}"
        )
    with as_at_start(), composed(overrides) as config:
        hydra = config.hydra
        path = Path(hydra.run.dir)
        meant = meant_overrides(config)
        choices = Choices(dict(hydra.runtime.choices), hydra.runtime.config_sources, meant)
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        start = Start.here()
        if start.size > 1:
            raise ValueError(
                f"fokker.run starts the ranks of a run itself, and {start.by} has started "
                f"{start.size} of this script; start the script once, without {start.by}, or let "
                f"{start.by} start the command: -m fokker {' '.join(overrides)}"
            )
        if plain.task != "plan":
            check_alone(plain.trainer)
        size = asked_ranks(plain.trainer)
        if size == 1 or plain.task == "plan":
            result = run_job(plain, choices, path)
        else:
            result = _run_by_ranks(plain, choices, path, size)
    if result is None:
        raise ValueError("task must be run to give a result, got plan")
    return result


def _run_by_ranks(config: DictConfig, choices: Choices, path: Path, size: int) -> Result:
    """Run a job in several other processes, and read its result from the run's folder."""
    build_experiment(config, choices)  # Refuses an invalid configuration before ranks start.
    try:
        launch(config, choices, path, size)
    except SystemExit as end:
        if end.code in SIGNALLED:
            raise
        why = read_record(path / "run.json").get("error", "what was wrong stands above")
        raise ValueError(f"the {size} ranks have failed: {why}") from end
    samples = torch.from_numpy(read_arrays(path / "samples.npz", "samples")["samples"])
    model = load(path, config.evaluation.weights, config.allow_targets)
    return Result(read_record(path / "metrics.json"), samples, model, path.resolve())
