"""The contract: what the platform asks of a formulation, whatever process it is of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from fokker.answers import Draws, Losses, Report, Rows, Truth, Validation
from fokker.data import Batch, DataModule
from fokker.levels import Axis, Table
from fokker.machine.ranks import ALONE, Ranks
from fokker.measures import Measure
from fokker.randomness import Randomness
from fokker.ways import Asked, Drawn, Way

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Asked", "Axis", "Batch", "Drawn", "Draws", "Formulation", "Losses", "Measure", "Report",
    "Rows", "Table", "Truth", "Validation", "Way",
]  # fmt: skip


class Formulation(nn.Module, ABC):
    """A process, its network and its loss; it knows no optimiser, average, rank or file.

    Args:
        data: what is trained on.
        seed: of all random numbers of the training.
        earlier: the model of the stage before, from which this one is made.
    """

    #: What its levels are, over which losses are compared.
    axis: ClassVar[Axis]
    #: The groups, besides the data's, that its weights depend on.
    parts: ClassVar[Sequence[str]] = ("formulation", "network")
    #: Of these parts, those that a training which goes on must keep; none: all.
    kept: ClassVar[Sequence[str] | None] = None
    #: Groups of the data: known by their content, they decide whether two runs have the same data.
    data_groups: ClassVar[Sequence[str]] = ("data",)
    #: A dataclass that says of its own groups what each gives; none: whatever is allowed.
    groups: ClassVar[type | None] = None
    #: The groups that a way to sample is made of; the first has `num_steps`, if any has.
    asked: ClassVar[Sequence[str]] = ("sampler",)
    #: What a group is given by name when it is made: `{"network": ("shape",)}`.
    given: ClassVar[Mapping[str, Sequence[str]]] = {"network": ("shape",)}
    #: Values of keys that are not given: `{"sampler.sde": "${sde}"}`.
    inherited: ClassVar[Mapping[str, str]] = {}
    #: What one is called that has nothing to train.
    untrained: ClassVar[str] = "exact model"

    def __init__(
        self, data: DataModule, seed: int, earlier: "Formulation | None" = None
    ) -> None:
        super().__init__()
        self.data, self.randomness = data, Randomness(seed)
        # In a tuple it is no module of this one, and is neither trained nor saved with it.
        self.made_from = () if earlier is None else (earlier,)
        self.register_buffer("_here", torch.empty(0), persistent=False)

    @classmethod
    def earlier(cls, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Say which model this one is made from, as the changes of the configuration.

        That model is found or trained before this one is trained, and is given to the constructor
        as `earlier`. What samples and measures need of it belongs into the own state.

        Args:
            config: resolved, nested.
        Returns:
            `{"formulation.stage": 1}`; none if it is made from no other.
        """
        return None

    @property
    def device(self) -> torch.device:
        """Where it computes, also if it has no weights."""
        return self.get_buffer("_here").device

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """The module whose weights are averaged, spread over ranks and exported."""

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return any(True for _ in self.network.parameters())

    def prepared(
        self, dtype: torch.dtype | None, compile: bool
    ) -> AbstractContextManager[None]:
        """Run the network alone in this precision, or compiled, in the block."""
        return nullcontext()

    def fetch(self, start: int, stop: int) -> Batch:
        """Read rows start to stop of the data's endless stream, on the CPU."""
        return self.data.training_batch(start, stop)

    @abstractmethod
    def draws(self, step: int, rows: range, batch: Batch) -> Draws:
        """Draw what the losses of these places of the global batch depend on, on the device.

        It depends on (seed, step, place) alone.

        Args:
            step: the optimiser step's number.
            rows: places of the global batch.
            batch: the data there, as `fetch` gives them.
        """

    @abstractmethod
    def losses(self, draws: Draws) -> Losses:
        """Compute losses; no row depends on another one."""

    def described(self) -> Mapping[str, Any]:
        """Say in plain values what another program needs to know of the network.

        Returns:
            `network`: the shape that it takes, the kind of its condition and the like; and what
            else there is, such as a chain of levels.
        """
        return {"network": {"shape": list(self.data.shape), "condition": "none"}}

    # ---- what is measured ----------------------------------------------------------------

    @abstractmethod
    def validation(self, ranks: Ranks = ALONE) -> Validation:
        """Measure the present weights, each rank its share."""

    @abstractmethod
    def truth(self, ranks: Ranks = ALONE) -> Truth | None:
        """Compute the floor of the loss; none where the law is not known."""

    # ---- sampling ------------------------------------------------------------------------

    @abstractmethod
    def way(self, asked: Asked) -> Way:
        """Check a way to sample.

        Raises:
            ValueError: if its parts do not fit together; says which do.
        """

    @abstractmethod
    def measures(self, way: Way, points: int | None) -> Mapping[str, Measure]:
        """Say what the numbers are that a run will have besides the metrics of its samples.

        They are those of `validation`, of `Way.exact` and of `reports`, by name. So an objective
        is checked before anything trains.
        """

    def figures(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> "Mapping[str, Callable[[], Figure]]":
        """Say which figures of all evaluations of a run it has, by name; the platform's come too.

        Args:
            rows: of evaluations.csv.
        """
        return {}

    def reports(
        self, way: Way, points: int | None, num_samples: int, seed: int
    ) -> Iterator[Report | str]:
        """Report what every run of the family ends with, such as an error budget.

        Args:
            way: the run's own.
            points: how many to compute with; null: as many as make sense, 0: no report.
            num_samples, seed: of the run.
        Yields:
            reports, and in place of one a line that says why there is none.
        """
        yield from ()
