"""The contract: what the platform asks of a formulation, whatever process it is of."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from fokker.data import DataModule
from fokker.randomness import Randomness

#: By name, each (n, ...): row i belongs to sample i.
Rows = Mapping[str, Tensor]


@final
@dataclass(frozen=True)
class Batch:
    """Rows of data.

    Attributes:
        x: (n, *shape), in the model's units.
    """

    x: Tensor

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(self.x[rows])


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
        return sum(t.nbytes for t in (self.batch.x, self.level, *self.random.values()))


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


class Formulation(nn.Module, ABC):
    """A process, its network and its loss; it knows no optimiser, average, rank or file.

    Args:
        data: what is trained on.
        seed: of all random numbers of the training.
    """

    #: Groups of the configuration, besides the data's, that its weights depend on.
    parts: ClassVar[tuple[str, ...]] = ("formulation", "network")
    #: Groups of the data: known by their content, they decide whether two runs have the same data.
    data_groups: ClassVar[tuple[str, ...]] = ("data",)
    #: What a place on its axis is called, as in `at sigma 0.1`.
    level_name: str

    def __init__(self, data: DataModule, seed: int) -> None:
        super().__init__()
        self.data, self.randomness = data, Randomness(seed)
        self.register_buffer("_here", torch.empty(0), persistent=False)

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
        return Batch(self.data.training_batch(start, stop))

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
