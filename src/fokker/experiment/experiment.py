"""The parts of a run, and its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from torch import Tensor

from fokker.evaluations.base import Evaluation
from fokker.formulation import Formulation, Way
from fokker.metrics import SampleMetric
from fokker.tracking.loggers import Logger
from fokker.training.origin import Origin
from fokker.training.task import TrainingTask


@final
@dataclass(frozen=True)
class EvaluationPlan:
    """The plan of what is measured on a model that is ready.

    Attributes:
        ways: the ways to sample, the run's own first.
        num_samples: the number of samples of each way.
        weights: the weights that are evaluated: `ema`, `raw` or `ema_<images>`.
        seed: the seed of the samples.
        batch_size: the number of samples that are drawn at once; null: a fast one.
        metrics: the metrics of samples, by name; the first is the most important one.
        left_out: the reasons why metrics that are optional are left out, by name.
        evaluations: the evaluations besides those of the samples, by name.
        budget_points: the points of the report that ends every run of a family, such as the error
            budget; null: as many as make sense, 0: none.
        beside: the finished runs on the same data, by name, whose losses are drawn with this one's.
        figures: whether figures are drawn, which takes longer than most samplings.
    """

    ways: Sequence[Way]
    num_samples: int
    weights: str
    seed: int
    batch_size: int | None = None
    metrics: Mapping[str, SampleMetric] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    budget_points: int | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)
    figures: bool = True


@final
@dataclass(frozen=True)
class Experiment:
    """The parts of a run, checked.

    Attributes:
        origin: the origin of the weights that are evaluated, with the model's task.
        plan: the plan of the evaluation.
        loggers: the loggers besides the local record, by name.
    """

    origin: Origin
    plan: EvaluationPlan
    loggers: Mapping[str, Logger]

    @property
    def task(self) -> TrainingTask:
        """Return the task of the model."""
        return self.origin.task

    def with_task(self, **changes: Any) -> "Experiment":
        """Return the same experiment with changes to its task, such as its `ranks` or `watch`."""
        origin = replace(self.origin, task=replace(self.task, **changes))
        return replace(self, origin=origin)

    @property
    def model(self) -> Formulation:
        """Return the formulation that is trained and sampled; its weights are first as built."""
        return self.task.model

    @property
    def name(self) -> str:
        """Return the name of the model in figures."""
        return self.origin.called(str(self.task.facts.get("formulation", "model")))


@final
@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        metrics: the numbers of metrics.json.
        samples: the samples in the units and the shape of the data's file, (n, ...), float64.
        model: the model with the evaluated weights; that of a Gaussian formulation has
            `model.denoiser(x, sigma)`.
        path: the path of the run's folder.
    """

    metrics: dict[str, Any]
    samples: Tensor
    model: Formulation
    path: Path


def division(batch_size: int, size: int) -> str:
    """Describe how a batch is divided over the ranks."""
    return f"{size} ranks, each {batch_size // size} of the {batch_size} samples of a step"
