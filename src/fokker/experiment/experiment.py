"""All that a run is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import torch

from fokker.experiment.callbacks import Intervals
from fokker.experiment.engine import Engine
from fokker.experiment.loggers import Logger
from fokker.experiment.models import ModelFolder
from fokker.experiment.predecessor import Predecessor
from fokker.experiment.reports import Evaluation
from fokker.experiment.signals import Stopped
from fokker.experiment.watching import Watch
from fokker.formulation import Formulation, Way
from fokker.ranks import ALONE, Ranks
from fokker.training import Training


@final
@dataclass(frozen=True)
class Experiment:
    """All that a run is made of, checked.

    Attributes:
        model: untrained.
        training: of the model.
        folder: of the trained model.
        checkpoint: weights to use as they are, in place of a training.
        predecessor: the model that the training goes on from, if it does not begin anew.
        ways: to sample, the run's own first.
        num_samples, weights, seed, device: of the evaluation.
        evaluations: what is evaluated besides the samples, by name.
        budget_points: of the error budget; null: as many as make sense, 0: no budget.
        beside: finished runs on the same data, by name, whose losses are drawn beside this one's.
        figures: whether they are drawn, which takes longer than most samplings.
        engine, intervals, logger: of the training.
        config: resolved.
        config_text: the same as YAML.
        batch_size: samples at once; null: what is quick.
        facts: for the records of run and model.
        watch: sees the training's curve and may end it.
        ranks: the processes that carry it out together; the first one writes and speaks.
        stopped: is told the signal that has ended the run, when all is saved.
    """

    model: Formulation
    training: Training
    folder: ModelFolder
    checkpoint: Path | None
    ways: Sequence[Way]
    num_samples: int
    weights: str
    seed: int
    device: torch.device
    engine: Engine
    intervals: Intervals
    logger: Logger
    config: Mapping[str, Any]
    config_text: str
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    budget_points: int | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)
    figures: bool = True
    predecessor: Predecessor | None = None
    batch_size: int | None = None
    retrain: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    watch: Watch | None = None
    ranks: Ranks = ALONE
    stopped: Stopped = field(default=lambda number, has_advanced: None)
