"""The base of evaluations of models besides their samples."""

from typing import Any, ClassVar, Protocol

from fokker.formulation import Formulation, Report
from fokker.randomness import Randomness


class Evaluation(Protocol):
    """An option of the group `evaluation`.

    An evaluation with a method `measures(model, way)`, which gives the measures of its numbers by
    name, lets a search have them as its objective.

    Attributes:
        of: the class of the formulations that it is for.
    """

    of: ClassVar[type] = Formulation

    def check(self, model: Any, way: Any) -> None:
        """Refuse an unfit model or way by a ValueError, before anything is trained."""

    def __call__(self, model: Any, way: Any, randomness: Randomness) -> Report:
        """Evaluate a model that is ready, with the run's own way to sample."""
