"""The parts of a training that the files of models need to save and load its weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from fokker.formulation import Formulation


class Averages(Protocol):
    """Averages of a network's weights."""

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the averages; `ema` means the first."""

    def follow(self, module: nn.Module) -> None:
        """Start all averages at the module's present weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the averages of a checkpoint."""


class Trained(Protocol):
    """A formulation with the averages of its weights; a `Training` is one."""

    @property
    def formulation(self) -> Formulation:
        """Return the formulation, with the raw weights."""

    @property
    def ema(self) -> Averages:
        """Return the averages of its network's weights."""

    @property
    def weight_names(self) -> Sequence[str]:
        """Return the kinds of weights: `raw`, `ema` and the averages' own names."""

    def weights(self, name: str) -> Mapping[str, Tensor]:
        """Return the weights of one kind, by the names in the network's state."""
