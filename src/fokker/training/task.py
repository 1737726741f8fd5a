"""The task of a training: its model, its data and all that it is carried out by."""

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
    """A model that a run needs: it is found, continued or trained.

    Attributes:
        training: the training of the model, which is as built.
        folder: the folder of the trained model.
        device: the device on which this rank computes.
        engine, intervals: the engine and the intervals of the training.
        config, config_text: the resolved configuration, nested and as YAML.
        facts: the facts for the records of run and model.
        data: the data by group; those of the first group are trained on.
        earlier: the origin of the stage before, whose model this one is made from; obtained first.
        predecessor: the model that the training goes on from, if it does not begin anew.
        retrain: whether a complete model is trained again.
        watch: the watch that gets the training's curve and may end the training.
        ranks: the processes that carry it out together; the first one writes and speaks.
        stopped: the function that is told the signal which ended the run, when all is saved.
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
        """Return the formulation that is trained."""
        return self.training.formulation
