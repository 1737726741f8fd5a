"""What is trained, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import torch

from fokker.data import DataModule
from fokker.formulation import Formulation
from fokker.machine.ranks import ALONE, Ranks
from fokker.store.models import ModelFolder
from fokker.store.predecessor import Predecessor
from fokker.training.callbacks import Intervals
from fokker.training.engine import Engine
from fokker.training.module import Training
from fokker.training.signals import Stopped
from fokker.training.watching import Watch

if TYPE_CHECKING:
    from fokker.training.origin import Origin


@final
@dataclass(frozen=True)
class TrainingTask:
    """A model that is to be there: found, gone on with or trained.

    Attributes:
        training: of the model, which is as built.
        folder: of the trained model.
        device: on which this rank computes.
        engine, intervals: of the training.
        config, config_text: the resolved configuration, nested and as YAML.
        facts: for the records of run and model.
        data: of each group, the one that is trained on first.
        earlier: of the stage before, whose model this one is made from; obtained first.
        predecessor: the model that the training goes on from, if it does not begin anew.
        retrain: whether a complete model is trained again.
        watch: sees the training's curve and may end it.
        ranks: the processes that carry it out together; the first one writes and speaks.
        stopped: is told the signal that has ended the run, when all is saved.
    """

    training: Training
    folder: ModelFolder
    device: torch.device
    engine: Engine
    intervals: Intervals
    config: Mapping[str, Any]
    config_text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, DataModule] = field(default_factory=dict)
    earlier: "Origin | None" = None
    predecessor: Predecessor | None = None
    retrain: bool = False
    watch: Watch | None = None
    ranks: Ranks = ALONE
    stopped: Stopped = field(default=lambda number, has_advanced: None)

    @property
    def model(self) -> Formulation:
        """What is trained."""
        return self.training.formulation
