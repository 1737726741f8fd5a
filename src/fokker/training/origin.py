"""The origins of a model's weights: a training, a checkpoint, or nothing to train."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from fokker.machine.disk import short
from fokker.machine.signals import Signals
from fokker.store.checkpoints import load_checkpoint
from fokker.store.models import ModelFolder
from fokker.training.task import TrainingTask

Listener = Callable[[dict[str, Any], int], None]


@dataclass(frozen=True)
class Origin(ABC):
    """The origin of a model's weights.

    Attributes:
        task: the task of the model, whose weights are as built until they are obtained.
    """

    task: TrainingTask
    #: Whether a training makes them, or has made them for a run like this one.
    is_training: ClassVar[bool] = False

    @property
    @abstractmethod
    def folder(self) -> ModelFolder | None:
        """Return the folder of the model; None if it has no weights."""

    @property
    @abstractmethod
    def place(self) -> Path | None:
        """Return the path at which a user finds the weights; None if there are none."""

    @property
    def words(self) -> str:
        """Return the place as text for a terminal."""
        return "nowhere" if self.place is None else str(short(self.place))

    @property
    def is_ready(self) -> bool:
        """Tell whether the weights are there, so that nothing is trained."""
        return True

    @property
    @abstractmethod
    def state(self) -> str:
        """Describe what is there, and what would be done."""

    def check(self) -> None:
        """Refuse, before work begins, a folder that cannot be written."""
        return  # Nothing is written where nothing is trained.

    @abstractmethod
    def obtain(self, listener: Listener, say: Callable[[str], None], signals: Signals) -> str:
        """Give the model its weights.

        Args:
            listener: the function that is called with (metrics, step) of a training.
            say: the function that prints a line to the user.
            signals: the signals of the process.
        Returns:
            the source of the weights: `exact`, `loaded`, `found`, `continued` or `trained`.
        """

    @property
    def facts(self) -> dict[str, Any]:
        """Return the facts on the training for a run's record."""
        return {}

    def called(self, name: str) -> str:
        """Return the name of a model of this formulation in figures."""
        return name


@final
@dataclass(frozen=True)
class NoWeights(Origin):
    """The origin of a formulation that has nothing to train."""

    @property
    def folder(self) -> None:
        return None

    @property
    def place(self) -> None:
        return None

    @property
    def state(self) -> str:
        return f"exact: {self.words}"

    @property
    def words(self) -> str:
        return f"the {self.task.model.untrained}, nothing to train"

    def obtain(self, listener: Listener, say: Callable[[str], None], signals: Signals) -> str:
        return "exact"

    def called(self, name: str) -> str:
        return self.task.model.untrained


@final
@dataclass(frozen=True)
class Loaded(Origin):
    """A checkpoint, whose weights are used as they are."""

    checkpoint: Path

    @property
    def folder(self) -> ModelFolder:
        return ModelFolder(self.checkpoint.parent)

    @property
    def place(self) -> Path:
        return self.checkpoint

    @property
    def state(self) -> str:
        return f"loaded from {self.checkpoint}"

    def obtain(self, listener: Listener, say: Callable[[str], None], signals: Signals) -> str:
        load_checkpoint(self.checkpoint, self.task.training)
        return "loaded"
