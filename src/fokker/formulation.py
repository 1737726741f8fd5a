"""The contract of a formulation: all that the platform asks of it, whatever its process."""

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
    """A process, its network and its loss; it knows no optimizer, weight average or file.

    Args:
        data: the data that are trained on.
        seed: the seed of all random numbers of the training.
        earlier: the model of the stage before, from which this one is made.
    """

    #: The axis of its levels, over which losses are compared.
    axis: ClassVar[Axis]
    #: The groups, besides the data's, that its weights depend on.
    parts: ClassVar[Sequence[str]] = ("formulation", "network")
    #: The groups of `parts` that a continued training must keep; None: all of them.
    kept: ClassVar[Sequence[str] | None] = None
    #: The groups of the data. Their content decides whether two runs have the same data.
    data_groups: ClassVar[Sequence[str]] = ("data",)
    #: A dataclass whose fields are its own groups, each with the type that the group gives; None:
    #: a group may give whatever is allowed.
    groups: ClassVar[type | None] = None
    #: The groups that a way to sample is made of; the first has `num_steps`, if any has.
    asked: ClassVar[Sequence[str]] = ("sampler",)
    #: The arguments that a group is given by name when it is built: `{"network": ("shape",)}`.
    given: ClassVar[Mapping[str, Sequence[str]]] = {"network": ("shape",)}
    #: The values of keys that are not given: `{"sampler.sde": "${sde}"}`.
    inherited: ClassVar[Mapping[str, str]] = {}
    #: The words for a model that has nothing to train.
    untrained: ClassVar[str] = "exact model"

    def __init__(
        self, data: DataModule, seed: int, earlier: "Formulation | None" = None
    ) -> None:
        super().__init__()
        self.data, self.randomness = data, Randomness(seed)
        # The tuple hides it from torch, so that it is neither trained nor saved with this module.
        self.made_from = () if earlier is None else (earlier,)
        self.register_buffer("_here", torch.empty(0), persistent=False)

    @classmethod
    def earlier(cls, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the changes of the configuration that lead to the model this one is made from.

        That model is found or trained before this one is trained, and is given to the constructor
        as `earlier`. Whatever sampling and measuring need of it must be in this model's own state.

        Args:
            config: the configuration, resolved and nested.
        Returns:
            changes such as `{"formulation.stage": 1}`; None if it is made from no other model.
        """
        return None

    @property
    def device(self) -> torch.device:
        """Return the device that it computes on, also if it has no weights."""
        return self.get_buffer("_here").device

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """Return the module whose weights are averaged, spread over ranks and exported."""

    @property
    def trains(self) -> bool:
        """Tell whether there is anything to train."""
        return any(True for _ in self.network.parameters())

    def prepared(
        self, dtype: torch.dtype | None, compile: bool
    ) -> AbstractContextManager[None]:
        """Return a context in which only the network runs in this precision, or compiled."""
        return nullcontext()

    def fetch(self, start: int, stop: int) -> Batch:
        """Read rows start to stop of the data's endless stream, on the CPU."""
        return self.data.training_batch(start, stop)

    @abstractmethod
    def draws(self, step: int, rows: range, batch: Batch) -> Draws:
        """Draw the levels and random numbers for the losses at places of the global batch.

        They depend only on (seed, step, place).

        Args:
            step: the number of the optimizer step.
            rows: the places in the global batch.
            batch: the data at these places, as `fetch` gives them.
        """

    @abstractmethod
    def losses(self, draws: Draws) -> Losses:
        """Compute the losses of draws; no row depends on another one."""

    def described(self) -> Mapping[str, Any]:
        """Describe the network in plain values, for other programs.

        Returns:
            `network`: the shape that it takes, the kind of its condition and the like; and further
            entries, such as a chain of levels.
        """
        return {"network": {"shape": list(self.data.shape), "condition": "none"}}

    # ---- what is measured ----------------------------------------------------------------

    @abstractmethod
    def validation(self, ranks: Ranks = ALONE) -> Validation:
        """Measure the present weights; each rank measures its share."""

    @abstractmethod
    def truth(self, ranks: Ranks = ALONE) -> Truth | None:
        """Compute the floor of the loss; return None where the law is not known."""

    # ---- sampling ------------------------------------------------------------------------

    @abstractmethod
    def way(self, asked: Asked) -> Way:
        """Check that the parts of a way to sample fit together, and return the way.

        Raises:
            ValueError: if they do not; says which do.
        """

    @abstractmethod
    def measures(self, way: Way, points: int | None) -> Mapping[str, Measure]:
        """Describe, by name, the numbers of a run besides the metrics of its samples.

        They are those of `validation`, of `Way.exact` and of `reports`. With their names an
        objective is checked before anything trains.
        """

    def figures(
        self, rows: Sequence[Mapping[str, Any]]
    ) -> "Mapping[str, Callable[[], Figure]]":
        """Return functions that draw its own figures of a run's evaluations, by name.

        The platform's figures are drawn too.

        Args:
            rows: the rows of evaluations.csv.
        """
        return {}

    def reports(
        self, way: Way, points: int | None, num_samples: int, seed: int
    ) -> Iterator[Report | str]:
        """Yield the reports that every run of the family ends with, such as an error budget.

        Args:
            way: the run's own way.
            points: the number of points to compute with; None: as many as make sense; 0: no report.
            num_samples, seed: those of the run.
        Yields:
            reports, or in place of one a line that says why there is none.
        """
        yield from ()
