"""The contract: what the platform asks of a formulation, whatever process it is of."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from fokker.data import Batch, DataModule
from fokker.levels import Axis, Table
from fokker.machine.ranks import ALONE, Ranks
from fokker.measures import Measure
from fokker.randomness import Randomness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Asked", "Axis", "Batch", "Drawn", "Draws", "Formulation", "Losses", "Measure", "Report",
    "Rows", "Table", "Truth", "Validation", "Way",
]  # fmt: skip

#: By name, each (n, ...): row i belongs to sample i.
Rows = Mapping[str, Tensor]


@final
@dataclass(frozen=True)
class Draws:
    """A batch, its places on the formulation's axis, and all random numbers of its losses.

    Attributes:
        batch: on the device.
        level: (n,), on the CPU, such as noise levels; coefficients are computed from them there.
        random: on the device.
    """

    batch: Batch
    level: Tensor
    random: Rows = field(default_factory=dict)

    def __getitem__(self, rows: slice) -> "Draws":
        random = {name: tensor[rows] for name, tensor in self.random.items()}
        return Draws(self.batch[rows], self.level[rows], random)

    def cut(self, parts: int) -> Iterator["Draws"]:
        """Yield equal parts, to be held in memory one by one."""
        size = -(-len(self.level) // parts)
        for start in range(0, len(self.level), size):
            yield self[start : start + size]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        others = (self.level, *self.random.values())
        return self.batch.nbytes + sum(tensor.nbytes for tensor in others)


@final
@dataclass(frozen=True)
class Losses:
    """Losses of samples, (n,) each.

    Attributes:
        value: is reported, and has the floor.
        objective: its mean is differentiated.
    """

    value: Tensor
    objective: Tensor


@final
@dataclass(frozen=True)
class Validation:
    """What a model's losses are.

    Attributes:
        numbers: of the weights, for metrics.json. Of them `loss`, `floor` and `excess` are the
            formulation's own loss, which training curves have too.
        table: losses over the formulation's axis.
    """

    numbers: Mapping[str, float]
    table: Table


@final
@dataclass(frozen=True)
class Truth:
    """The least possible mean of `Losses.value` on the law that is trained on.

    Attributes:
        floor: the value.
        standard_error: 0 where it is exact.
    """

    floor: float
    standard_error: float = 0.0


@final
@dataclass(frozen=True)
class Report:
    """A table with what belongs to it.

    Attributes:
        name: of its files: <name>.csv, <name>.npz, figures/<name>.
        title: what the table is.
        rows: of the table, all with the same keys.
        metrics: for metrics.json.
        notes: how it is to be read, a line each.
        arrays: what the table was made of.
        figure: draws it.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, str | float | None]]
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    figure: "Callable[[], Figure] | None" = None


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
        as `earlier`. What sampling needs of it belongs into the own state.

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
