"""What files of models need of a training, whose weights they hold."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from fokker.formulation import Formulation


class Averages(Protocol):
    """Averages of a network's weights."""

    @property
    def names(self) -> Sequence[str]:
        """Of the averages; the first is what `ema` means."""

    def follow(self, module: nn.Module) -> None:
        """Start at the module's present weights."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds."""


class Trained(Protocol):
    """A formulation with the averages of its weights; a `Training` is one."""

    @property
    def formulation(self) -> Formulation:
        """With the raw weights."""

    @property
    def ema(self) -> Averages:
        """Of its network's weights."""

    @property
    def weight_names(self) -> Sequence[str]:
        """The kinds of weights: `raw`, `ema` and the averages' own names."""

    def weights(self, name: str) -> Mapping[str, Tensor]:
        """Give weights of one kind, by the names in the network's state."""
