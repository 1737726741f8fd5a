"""All that a run is made of, and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from torch import Tensor

from fokker.evaluations.base import Evaluation
from fokker.formulation import Formulation, Way
from fokker.tracking.loggers import Logger
from fokker.training.origin import Origin
from fokker.training.task import TrainingTask


@final
@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured on a model that is ready.

    Attributes:
        ways: to sample, the run's own first.
        num_samples, weights, seed: of each of them.
        batch_size: samples at once; null: what is quick.
        evaluations: what is evaluated besides the samples, by name.
        budget_points: of what every run of a family ends with, such as the error budget; null: as
            many as make sense, 0: none.
        beside: finished runs on the same data, by name, whose losses are drawn beside this one's.
        figures: whether they are drawn, which takes longer than most samplings.
    """

    ways: Sequence[Way]
    num_samples: int
    weights: str
    seed: int
    batch_size: int | None = None
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    budget_points: int | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)
    figures: bool = True


@final
@dataclass(frozen=True)
class Experiment:
    """All that a run is made of, checked.

    Attributes:
        origin: of the weights that are evaluated, with the task that they are of.
        plan: what is evaluated then.
        loggers: are told besides the local record, by name.
    """

    origin: Origin
    plan: EvaluationPlan
    loggers: Mapping[str, Logger]

    @property
    def task(self) -> TrainingTask:
        """What is trained."""
        return self.origin.task

    def with_task(self, **changes: Any) -> "Experiment":
        """Return the same with another task: `ranks`, `watch` and the like."""
        origin = replace(self.origin, task=replace(self.task, **changes))
        return replace(self, origin=origin)

    @property
    def model(self) -> Formulation:
        """What is trained and sampled, untrained as built."""
        return self.task.model

    @property
    def name(self) -> str:
        """What the model is called in figures."""
        return self.origin.called(str(self.task.facts.get("formulation", "model")))


@final
@dataclass(frozen=True)
class Result:
    """What a run gave.

    Attributes:
        metrics: as in metrics.json.
        samples: in the units and the shape of the data's file, (n, ...), float64.
        model: with the evaluated weights; that of a Gaussian formulation has
            `model.denoiser(x, sigma)`.
        path: of the run's folder.
    """

    metrics: dict[str, Any]
    samples: Tensor
    model: Formulation
    path: Path


def division(batch_size: int, size: int) -> str:
    """How a batch is divided, in words."""
    return f"{size} ranks, each {batch_size // size} of the {batch_size} samples of a step"
