"""Ways to sample: the configured way, the checked way, and its result."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from fokker.data import DataModule
from fokker.randomness import Randomness


@final
@dataclass(frozen=True)
class Drawn:
    """The samples that a way gave, and their cost.

    Attributes:
        x: the samples, (n, *shape), in the model's units.
        evaluations: the number of rows that the network was evaluated on.
    """

    x: Tensor
    evaluations: int


@final
@dataclass(frozen=True)
class Asked:
    """A way to sample as it is configured.

    Attributes:
        parts: the built parts, by group of `Formulation.asked`.
        labels: the label of each part, by group.
        start: the start of the samples; `quantiles`: evenly spread quantiles of the start's law,
            without randomness.
    """

    parts: Mapping[str, object]
    labels: Mapping[str, str]
    start: Literal["random", "quantiles"] = "random"


@dataclass(frozen=True, kw_only=True)
class Way(ABC):
    """A checked way to sample; each family has a subclass with fields of its own.

    Attributes:
        labels: the labels of its parts, by group; the first names the way.
        target: the data whose units the samples have, and that they are compared with.
        is_random: whether other samples could have been drawn; if not, as from quantiles, there are
            no standard errors.
        group: the number of samples that depend on each other; batches, shares and blocks are
            whole groups.
    """

    labels: Mapping[str, str]
    target: DataModule
    is_random: bool = True
    group: int = 1

    @property
    def name(self) -> str:
        """Return the label of its first part, such as the sampler."""
        return next(iter(self.labels.values()))

    @property
    @abstractmethod
    def num_steps(self) -> int | None:
        """Return N; None where it chooses its own steps."""

    @property
    @abstractmethod
    def places(self) -> Sequence[float]:
        """Return the places on the formulation's axis of the states that `watch` sees, (N + 1,)."""

    @property
    def ends(self) -> tuple[float, float]:
        """Return the first and the last place where the network is evaluated."""
        return self.places[0], self.places[-1]

    @property
    def shown(self) -> Sequence[int]:
        """Return the indices of the states that the figure of paths has."""
        return sorted({0, len(self.places) - 1})

    @abstractmethod
    def sample(
        self,
        randomness: Randomness,
        start: int,
        stop: int,
        count: int,
        watch: Callable[[int, Tensor], None] | None = None,
    ) -> Drawn:
        """Draw samples start to stop of `count`; each depends only on the seed and its group.

        Args:
            randomness: the random numbers of the run's seed.
            start, stop: the samples' indices, at bounds of groups.
            count: the number of all samples.
            watch: a function that is called with i and the state at each place.
        """

    @abstractmethod
    def with_steps(self, num_steps: int) -> "Way":
        """Return the same way with another N.

        Raises:
            ValueError: if it cannot have so many steps.
        """

    def exact(self) -> Mapping[str, float]:
        """Return numbers of the samples' law that need no sample, such as an exact distance."""
        return {}
