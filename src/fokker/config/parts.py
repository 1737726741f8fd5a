"""The kinds of objects that the groups of any configuration give.

The kinds of a family's own groups stand in its formulation's `groups`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from fokker.data import DataModule
from fokker.distributions import Distribution
from fokker.evaluations.base import Evaluation
from fokker.formulation import Formulation
from fokker.metrics import SampleMetric
from fokker.tracking.loggers import Logger
from fokker.training.callbacks import Intervals
from fokker.training.ema import EMA
from fokker.training.engine import Engine
from fokker.training.optimizers import Schedule


@final
@dataclass(frozen=True)
class Parts:
    """The kind of each group; the annotations are only read, and no object is made of this class.

    A part inside a node has the kind that the node's class gives the parameter.
    """

    data: DataModule
    formulation: Callable[..., Formulation]
    network: Callable[..., nn.Module]
    optimizer: Schedule
    ema: EMA
    trainer: Engine
    logger: dict[str, Logger]
    callbacks: Intervals
    evaluation: dict[str, Evaluation]
    metrics: dict[str, SampleMetric]


@final
@dataclass(frozen=True)
class Inside:
    """The kinds that may stand inside a node where its class says none.

    The user's own classes, and the kinds of a family's groups, may stand there too.
    """

    of_torch: nn.Module | Optimizer | LRScheduler | Dataset[object]
    of_fokker: DataModule | Distribution
