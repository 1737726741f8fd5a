"""What is evaluated besides the samples."""

from typing import Any, ClassVar, Protocol

from fokker.formulation import Formulation, Report
from fokker.randomness import Randomness


class Evaluation(Protocol):
    """An option of the group `evaluation`.

    One that says by `measures(model, way)` what its numbers are, by name, lets a search have them
    as its objective.

    Attributes:
        of: the formulations that it is for.
    """

    of: ClassVar[type] = Formulation

    def check(self, model: Any, way: Any) -> None:
        """Refuse, before anything is trained, by a ValueError."""

    def __call__(self, model: Any, way: Any, randomness: Randomness) -> Report:
        """Evaluate a model that is ready, with the run's own way to sample."""
