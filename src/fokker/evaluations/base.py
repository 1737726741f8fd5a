"""The base of evaluations of models besides their samples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from fokker.formulation import Formulation, Report
from fokker.measures import Measure
from fokker.randomness import Randomness


class Evaluation(ABC):
    """An option of the group `evaluation`: something that is computed of a model that is ready.

    Attributes:
        of: the class of the formulations that it is for.
    """

    of: ClassVar[type] = Formulation

    def check(self, model: Any, way: Any) -> None:
        """Refuse an unfit model or way by a ValueError, before anything is trained."""

    def measures(self, model: Any, way: Any) -> Mapping[str, Measure]:
        """Describe, by name, the numbers of its report, so that they may be objectives."""
        return {}

    @abstractmethod
    def __call__(self, model: Any, way: Any, randomness: Randomness) -> Report:
        """Evaluate a model that is ready, with the run's own way to sample."""
