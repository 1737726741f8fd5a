"""What a formulation answers: draws, losses, what is measured, and reports."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from torch import Tensor

from fokker.data import Batch
from fokker.levels import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    Raises:
        ValueError: for a name that is no plain word, or a table without rows.
    """

    name: str
    title: str
    rows: Sequence[Mapping[str, str | float | None]]
    metrics: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    figure: "Callable[[], Figure] | None" = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w+", self.name, re.ASCII):
            raise ValueError(
                f"name of a report must be of letters, digits and _, for files are called so, got "
                f"{self.name!r}"
            )
        if not self.rows:
            raise ValueError(f"rows of the report {self.name} must be at least one, got none")
