"""The batches that data give to a training: rows, and what belongs to each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from fokker.machine.device import moved


@final
@dataclass(frozen=True)
class Conditions:
    """The kind of conditions that the rows of a batch have.

    Attributes:
        kind: `classes` if each row has the number of a class; `numbers` if each row has `count`
            numbers.
        count: the number of classes, or of numbers a row.
    """

    kind: Literal["classes", "numbers"]
    count: int


@final
@dataclass(frozen=True)
class Batch:
    """Rows of data; row i of each tensor belongs to sample i.

    Attributes:
        x: the samples, (n, *shape), float, or int64 for letters.
        condition: the class of each row, (n,), int64, -1 for none; or (n, k) numbers, float; or
            none.
        source: the paired points of a second data set, (n, ...), or none.
    Raises:
        ValueError: if the tensors differ in their number of rows.
    """

    x: Tensor
    condition: Tensor | None = None
    source: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("condition", "source"):
            tensor: Tensor | None = getattr(self, name)
            if tensor is not None and len(tensor) != len(self.x):
                raise ValueError(
                    f"a batch must have as many rows in {name} as in x, got {len(tensor)} and "
                    f"{len(self.x)}"
                )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice | Tensor) -> "Batch":
        return self._of_each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on a device, to which it is copied without the host waiting for it."""
        return self._of_each(lambda tensor: moved(tensor, device))

    def pin_memory(self) -> "Batch":
        """Return the batch in pinned memory; torch's loader calls this method by its name."""
        return self._of_each(Tensor.pin_memory)

    @property
    def nbytes(self) -> int:
        """Return the size of all tensors in bytes."""
        return sum(t.nbytes for t in (self.x, self.condition, self.source) if t is not None)

    def _of_each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        condition, source = self.condition, self.source
        return Batch(
            change(self.x),
            None if condition is None else change(condition),
            None if source is None else change(source),
        )
