"""The answers of a formulation: draws, losses, measurements and reports."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from torch import Tensor

from fokker.data import Batch
from fokker.levels import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Tensors by name, each (n, ...): row i belongs to sample i.
Rows = Mapping[str, Tensor]


@final
@dataclass(frozen=True)
class Draws:
    """A batch, its places on the formulation's axis, and all random numbers of its losses.

    Attributes:
        batch: the batch, on the device.
        level: the places, such as noise levels, (n,); they are on the CPU, where coefficients are
            computed from them.
        random: the random numbers by name, on the device.
    """

    batch: Batch
    level: Tensor
    random: Rows = field(default_factory=dict)

    def __getitem__(self, rows: slice) -> "Draws":
        random = {name: tensor[rows] for name, tensor in self.random.items()}
        return Draws(self.batch[rows], self.level[rows], random)

    def cut(self, parts: int) -> Iterator["Draws"]:
        """Yield at most `parts` pieces, so that only one at a time takes memory for its losses."""
        size = -(-len(self.level) // parts)
        for start in range(0, len(self.level), size):
            yield self[start : start + size]

    @property
    def nbytes(self) -> int:
        """Return the number of bytes of all tensors."""
        others = (self.level, *self.random.values())
        return self.batch.nbytes + sum(tensor.nbytes for tensor in others)


@final
@dataclass(frozen=True)
class Losses:
    """Losses of samples, (n,) each.

    Attributes:
        value: the loss that is reported and that the floor belongs to.
        objective: the loss whose mean is differentiated.
    """

    value: Tensor
    objective: Tensor


@final
@dataclass(frozen=True)
class Validation:
    """The losses of a model, as validation measures them.

    Attributes:
        numbers: the numbers of the weights, for metrics.json. Of them `loss`, `floor` and `excess`
            are the formulation's own loss, which training curves have too.
        table: the losses over the formulation's axis.
    """

    numbers: Mapping[str, float]
    table: Table


@final
@dataclass(frozen=True)
class Truth:
    """The least possible mean of `Losses.value` on the law that is trained on.

    Attributes:
        floor: the least mean.
        standard_error: the standard error of the floor; 0 where it is exact.
    """

    floor: float
    standard_error: float = 0.0


@final
@dataclass(frozen=True)
class Report:
    """A table of a run, with its numbers, notes, arrays and figure.

    Attributes:
        name: the name of its files: <name>.csv, <name>.npz, figures/<name>.
        title: the title of the table.
        rows: the rows of the table, all with the same keys.
        metrics: the numbers for metrics.json.
        notes: the lines that say how to read the table.
        arrays: the arrays that the table was made from.
        figure: a function that draws the table.
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
