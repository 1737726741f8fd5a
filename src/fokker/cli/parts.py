"""What each group of a configuration is made into: the kinds that a target may have."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from fokker.data import DataModule
from fokker.distributions import Distribution
from fokker.ema import EMA
from fokker.experiment.callbacks import Intervals
from fokker.experiment.engine import Engine
from fokker.experiment.loggers import Logger
from fokker.experiment.reports import Evaluation
from fokker.formulation import Formulation
from fokker.grids import Grid
from fokker.networks import Exact
from fokker.noise_levels import NoiseLevels
from fokker.optimizers import Schedule
from fokker.preconditioning import Preconditioning
from fokker.samplers import Sampler
from fokker.sde import SDE
from fokker.weighting import Weighting


@final
@dataclass(frozen=True)
class Parts:
    """The kind of each group, which is read from here, and nothing is made of it.

    What stands inside a node has the kind that its class gives the parameter.
    """

    data: DataModule
    formulation: Callable[..., Formulation]
    sde: SDE
    preconditioning: Preconditioning
    weighting: Weighting
    noise_levels: NoiseLevels
    network: Callable[..., nn.Module] | Exact
    optimizer: Schedule
    ema: EMA
    sampler: Sampler
    grid: Grid
    trainer: Engine
    logger: Logger
    callbacks: Intervals
    evaluation: dict[str, Evaluation]


@final
@dataclass(frozen=True)
class Inside:
    """What may stand inside a node where its class says no kind, besides the user's own."""

    of_torch: nn.Module | Optimizer | LRScheduler | Dataset[object]
    of_fokker: (
        DataModule | Distribution | Grid | NoiseLevels | Preconditioning | SDE | Sampler | Weighting
    )
