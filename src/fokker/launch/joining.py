"""The meeting of ranks: they find each other, and check that all will do the same."""

from pathlib import Path

import torch
from omegaconf import DictConfig

from fokker.config.build import build_experiment
from fokker.config.choices import Choices
from fokker.experiment import Experiment
from fokker.machine.ranks import ALONE, Ranks
from fokker.machine.start import Start
from fokker.store.identity import versions
from fokker.store.job_names import short_hash


def build_alike(config: DictConfig, choices: Choices, path: Path, ranks: Ranks) -> Experiment:
    """Build the experiment on every rank, and check that all ranks have the same one.

    Raises:
        ValueError: if another rank cannot build it, or the ranks differ. A rank's own error is
            raised as it is.
    """
    wrong: Exception | None = None
    try:
        made = build_experiment(config, choices, ranks)
    except Exception as error:
        wrong = error
    texts = ranks.collected("" if wrong is None else f"{type(wrong).__name__}: {wrong}")
    if wrong is not None:
        raise wrong
    for rank, text in enumerate(texts):
        if text:
            raise ValueError(f"rank {rank} cannot begin: {text}")
    _check_same(made, path, ranks)
    return made


def _check_same(made: Experiment, path: Path, ranks: Ranks) -> None:
    """Refuse ranks that would do different things."""
    parts = {
        "configuration": made.task.config_text,
        "model, data or classes": str(made.task.folder.path.resolve()),
        "run folder": str(path.resolve()),
        "version of fokker": versions()["fokker"],
    }
    known = ranks.collected({name: short_hash([text]) for name, text in parts.items()})
    for rank, other in enumerate(known):
        for name, digest in other.items():
            if digest != known[0][name]:
                raise ValueError(
                    f"all ranks must have the same {name}, and rank {rank} has another one "
                    f"({digest}) than rank 0 ({known[0][name]}); start all by one command, in one "
                    "folder that all of them see"
                )


def join(start: Start, config: DictConfig) -> Ranks:
    """Find the other ranks, and return them with this process as one of them.

    Raises:
        ValueError: if other ranks were started than the configuration asks for.
    """
    start.check(config.trainer)
    if start.size == 1:
        return ALONE
    start.say()
    is_cuda = config.trainer.get("accelerator") != "cpu" and torch.cuda.is_available()
    if is_cuda:
        torch.cuda.set_device(start.local_rank % torch.cuda.device_count())
    return Ranks.join("cuda" if is_cuda else "cpu")
