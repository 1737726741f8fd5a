"""Ways to sample: how one is asked for, what it is, and what it gives."""

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
    """What a way to sample gave.

    Attributes:
        x: samples, (n, *shape), in the model's units.
        evaluations: rows that the network was asked for.
    """

    x: Tensor
    evaluations: int


@final
@dataclass(frozen=True)
class Asked:
    """A way to sample as it is configured.

    Attributes:
        parts: built, by group of `Formulation.asked`.
        labels: what each is called.
        start: `quantiles`: at evenly spread quantiles of the start's law, without chance.
    """

    parts: Mapping[str, object]
    labels: Mapping[str, str]
    start: Literal["random", "quantiles"] = "random"


@dataclass(frozen=True, kw_only=True)
class Way(ABC):
    """A checked way to sample; each family's has fields of its own.

    Attributes:
        labels: what its parts are called, by group; the first names the way.
        target: samples have its units, and are compared with it.
        is_random: whether other samples could have been drawn; if not, as from quantiles, there are
            no standard errors.
        group: how many samples depend on each other; batches, shares and blocks are whole groups.
    """

    labels: Mapping[str, str]
    target: DataModule
    is_random: bool = True
    group: int = 1

    @property
    def name(self) -> str:
        """The label of its first part, such as the sampler."""
        return next(iter(self.labels.values()))

    @property
    @abstractmethod
    def num_steps(self) -> int | None:
        """N; none where it chooses its own steps."""

    @property
    @abstractmethod
    def places(self) -> Sequence[float]:
        """On the formulation's axis, of the states that `watch` sees, (N + 1,)."""

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last place where the network is asked."""
        return self.places[0], self.places[-1]

    @property
    def shown(self) -> Sequence[int]:
        """The states that the figure of paths has."""
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
        """Draw samples start to stop of `count`; each depends on the seed and its group alone.

        Args:
            randomness: of the run's seed.
            start, stop: the samples' numbers, at bounds of groups.
            count: of all samples.
            watch: called with i and the state at each place.
        """

    @abstractmethod
    def with_steps(self, num_steps: int) -> "Way":
        """Return the same with another N.

        Raises:
            ValueError: if there cannot be so many.
        """

    def exact(self) -> Mapping[str, float]:
        """Give numbers of the samples' law that need no sample, such as an exact distance."""
        return {}
