"""The base of all data: batches as functions of the step, held-out and reference points."""

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
        randomness: the randomness of the run's seed.
        length: the number of points in the set.
    """

    def __init__(self, randomness: Randomness, length: int) -> None:
        self._randomness, self._length = randomness, length
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def places(self, start: int, stop: int) -> Tensor:
        """Return the indices of the points at start to stop of the stream, (stop - start,)."""
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

    A data module knows nothing of processes. Special needs have classes of their own, such as the
    moments of `StandardizedData`; letters and pairs derive from this one. Nothing here belongs to
    lightning: a training fetches its batches by the number of the step.

    A sample has up to three units: those of the file; the data's, in which metrics and figures
    are expressed; and the model's. Here all three are the same.

    Args:
        batch_size: the batch size of the whole job, in samples.
        seed: the seed of the order of the data.
    Raises:
        ValueError: if batch_size is below 1.
    """

    #: True if the whole law is known, and not only points of it.
    fresh = False
    #: The number of processes that make the batches of a training in advance.
    workers = 0
    #: The type of a sample in a training batch: int64 for letters.
    dtype = torch.float32
    #: The meaning of `Batch.condition`; none if there are no conditions.
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
        """Return the shape of one sample."""

    @property
    def layout(self) -> Layout:
        """Return the layout, which is the meaning of the axes of `shape`."""
        return layout_of(self.shape)

    @property
    @abstractmethod
    def content(self) -> str:
        """Return a hash of the content of files, which the configuration does not contain."""

    @abstractmethod
    def batch(self, start: int, stop: int) -> Batch:
        """Return training data start to stop of the stream, in the model's units, of `dtype`."""

    @abstractmethod
    def held_out(self, count: int) -> Batch:
        """Return at most `count` samples that are not trained on.

        x is in the data's units, and not rounded to float32.
        """

    @abstractmethod
    def reference(self, count: int) -> Tensor:
        """Return about `count` points in the data's units that samples are compared with."""

    def training_points(self) -> Tensor | None:
        """Return all training data in the data's units if they are a finite set, else none."""
        return None

    def fresh_points(self, count: int, generator: torch.Generator) -> Tensor | None:
        """Draw `count` points of the law, in the data's units, if it is known; else none."""
        return None

    def some_points(self, count: int) -> Tensor:
        """Return at most `count` training points, or held-out ones of an endless stream."""
        points = self.training_points()
        return self.held_out(count).x if points is None else points[:count]

    def to_data(self, x: Tensor) -> Tensor:
        """Convert points from the model's units to the data's."""
        return x

    def to_file(self, x: Tensor) -> Tensor:
        """Convert points from the data's units and shape to those of the file, (n, ...)."""
        return x

    def from_file(self, x: Tensor) -> Tensor:
        """Convert points from the units and shape of the file to the data's, (n, *shape)."""
        return x

    @property
    def unit_label(self) -> str:
        """Name the data's units."""
        return "data units"

    def described(self) -> str:
        """Describe the layout and the shape, for a plan and a run."""
        return f"{self.layout} of shape {self.shape}"

    def __deepcopy__(self, memo: dict[int, Any]) -> "DataModule":
        """Return the data themselves in a copy of a model: points are many and do not change."""
        return self

    # ---- for a training ------------------------------------------------------------------

    def check(self) -> None:
        """Refuse a class of the user's own that gives no batches, by reading one row of each.

        Raises:
            ValueError: if `batch` or `held_out` returns anything else.
        """
        self._checked(self.batch(0, 1), "batch")
        self._checked(self.held_out(1), "held_out")

    @contextmanager
    def made_ahead(self, stride: int) -> Iterator[None]:
        """Let `workers` make the batches of a training in advance, if there are any.

        Args:
            stride: the distance between the starts of two successive batches.
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
        """Return `batch(start, stop)`, made by the workers if there are some."""
        return self._checked((self._ahead or self.batch)(start, stop), "batch")

    def _checked(self, given: object, method: str) -> Batch:
        if not isinstance(given, Batch):
            raise ValueError(
                f"data must give a fokker.data.Batch, got a {type(given).__name__} from "
                f"{type(self).__name__}.{method}; return Batch(x) there"
            )
        return given
