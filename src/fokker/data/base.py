"""What all data share: batches as functions of the step, held-out and reference points."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor

from fokker.data.ahead import Ahead
from fokker.data.batch import Batch, Conditions
from fokker.data.layouts import Layout, layout_of
from fokker.randomness import Randomness


@final
class Shuffle:
    """The order of a finite set in its endless stream: a new permutation each epoch.

    Args:
        randomness: of the run's seed.
        length: of the set.
    """

    def __init__(self, randomness: Randomness, length: int) -> None:
        self._randomness, self._length = randomness, length
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def places(self, start: int, stop: int) -> Tensor:
        """The points at start to stop of the stream, (stop - start,)."""
        parts = []
        while start < stop:
            epoch, offset = divmod(start, self._length)
            if epoch != self._epoch:
                self._order = self._randomness.permutation("data", self._length, epoch)
                self._epoch = epoch
            parts.append(self._order[offset : offset + stop - start])
            start += len(parts[-1])
        if not parts:
            return torch.empty(0, dtype=torch.long)
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class DataModule(ABC):
    """Samples of one shape, in batches that are functions of their places in an endless stream.

    It knows no process. What one needs besides stands in a class of its own, such as the moments
    of `StandardizedData`; letters and pairs derive from this one. Nothing here is lightning's: a
    training fetches its batches by the number of the step.

    A sample has up to three units: those of the file; the data's, in which metrics and figures
    count; and the model's. Here all three are the same.

    Args:
        batch_size: of the whole job, in samples.
        seed: of the order of the data.
    Raises:
        ValueError: if batch_size is below 1.
    """

    #: Whether a whole law is known, and not only points of it.
    fresh = False
    #: How many processes make the batches of a training before they are asked for.
    workers = 0
    #: Of a sample in a batch of the training: int64 for letters.
    dtype = torch.float32
    #: What stands in `Batch.condition`, if anything does.
    conditions: Conditions | None = None

    def __init__(self, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"data.batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.randomness = Randomness(seed)
        self._ahead: Ahead | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    @property
    def layout(self) -> Layout:
        """Name what the axes of `shape` are."""
        return layout_of(self.shape)

    @property
    @abstractmethod
    def content(self) -> str:
        """A hash of what the configuration does not say: the content of files."""

    @abstractmethod
    def batch(self, start: int, stop: int) -> Batch:
        """Training data start to stop of the endless stream, in the model's units, of `dtype`."""

    @abstractmethod
    def held_out(self, count: int) -> Batch:
        """Data that are not trained on, at most `count`; x is in the data's units, no float32."""

    @abstractmethod
    def reference(self, count: int) -> Tensor:
        """What samples are compared with: about `count` points in the data's units."""

    def training_points(self) -> Tensor | None:
        """All training data in the data's units where they are a finite set, else none."""
        return None

    def fresh_points(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Draw `count` points of the law, in the data's units, where it is known; else none."""
        return None

    def some_points(self, count: int) -> Tensor:
        """At most `count` of the training points, or of held-out ones where there is no end."""
        points = self.training_points()
        return self.held_out(count).x if points is None else points[:count]

    def to_data(self, x: Tensor) -> Tensor:
        """From the model's units to the data's."""
        return x

    def to_file(self, x: Tensor) -> Tensor:
        """From the data's units and shape to those of the file, (n, ...)."""
        return x

    def from_file(self, x: Tensor) -> Tensor:
        """From the units and the shape of the file to the data's, (n, *shape)."""
        return x

    @property
    def unit_label(self) -> str:
        """Name the data's units."""
        return "data units"

    def described(self) -> str:
        """Say the layout and the shape, for a plan and a run."""
        return f"{self.layout} of shape {self.shape}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "DataModule":
        """Stand for themselves in a copy of a model: points are many, and do not change."""
        return self

    # ---- for a training ------------------------------------------------------------------

    def check(self) -> None:
        """Refuse, at the cost of one row, a class of the user's own that gives no batches.

        Raises:
            ValueError: if `batch` or `held_out` returns anything else.
        """
        self._checked(self.batch(0, 1), "batch")
        self._checked(self.held_out(1), "held_out")

    @contextmanager
    def made_ahead(self, stride: int) -> Iterator[None]:
        """For a training: its batches by `workers`, where there are any.

        Args:
            stride: how far behind one batch the next one starts.
        """
        if self.workers:
            self._ahead = Ahead(self.batch, stride, self.workers)
        try:
            yield
        finally:
            if self._ahead is not None:
                self._ahead.close()
            self._ahead = None

    def training_batch(self, start: int, stop: int) -> Batch:
        """`batch`, from the workers if there are some."""
        return self._checked((self._ahead or self.batch)(start, stop), "batch")

    def _checked(self, given: object, method: str) -> Batch:
        if not isinstance(given, Batch):
            raise ValueError(
                f"data must give a fokker.data.Batch, got a {type(given).__name__} from "
                f"{type(self).__name__}.{method}; return Batch(x) there"
            )
        return given
