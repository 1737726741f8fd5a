"""Finite sets of points, and the digits."""

import hashlib
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fokker.data.base import Shuffle
from fokker.data.batch import Batch
from fokker.data.standardized import StandardizedData
from fokker.data.units import ElementMoments, ElementUnits, FileForm, Standardize
from fokker.distributions import Distribution, Empirical
from fokker.distributions.arguments import row_blocks
from fokker.randomness import Randomness

# The split is the same for every seed, so that runs are compared on one held-out set.
SPLIT = Randomness(0)


@final
class ArrayRows:
    """Rows of an array of points, flattened, (n, d), which are read and converted when needed.

    Args:
        array: the points, (N, *shape), real numbers of any kind, in memory or mapped from a file.
        places: the indices of the rows in the array, (n,).
        mirrored: whether a copy of each image, mirrored left to right, follows them: (2 n, d).
        units: the units that rows are converted to; none for those of the array.
    """

    def __init__(
        self,
        array: NDArray[Any],
        places: Tensor,
        mirrored: bool = False,
        units: ElementUnits | None = None,
    ) -> None:
        self._array, self._places, self._mirrored = array, places, mirrored
        self._units = units

    def within(self, units: ElementUnits | None) -> "ArrayRows":
        """Return the same rows in other units."""
        return ArrayRows(self._array, self._places, self._mirrored, units)

    def __len__(self) -> int:
        return len(self._places) * (1 + self._mirrored)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self._array[0].size

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self)))
        count = len(self._places)
        rows = self._array[self._places[index % count].numpy()].astype(np.float64)
        if self._mirrored:
            again = (index >= count).numpy()
            rows[again] = rows[again, ..., ::-1]
        flat = torch.from_numpy(rows).flatten(1)
        return flat if self._units is None else self._units.to_standard(flat)

    def blocks(self) -> Iterator[Tensor]:
        """Return an iterator over all rows, some 250,000 numbers at a time."""
        return (self[rows] for rows in row_blocks(*self.shape))


class FiniteData(StandardizedData):
    """A set of points that is split into training and held-out points.

    Points keep the form in which they were loaded, in memory or mapped from a file. Rows are
    converted when they are asked for.

    Args:
        held_out_share: the share of the points that is not trained on.
        flip: whether training images are mirrored left to right half of the time.
        batch_size, standardize, sigma_data, seed: see `StandardizedData`.
    Raises:
        ValueError: as `StandardizedData` does; if held_out_share leaves fewer than 2 training
            points or no held-out ones; if flip is set for points that are no images.
    """

    def __init__(
        self,
        batch_size: int = 256,
        standardize: Standardize = True,
        sigma_data: float | None = None,
        held_out_share: float = 0.2,
        seed: int = 0,
        flip: bool = False,
    ) -> None:
        array: NDArray[Any] = np.asarray(self.load())
        count = round(len(array) * held_out_share) if 0 < held_out_share < 1 else 0
        if not 0 < count < len(array) - 1:
            raise ValueError(
                "data.held_out_share must leave at least 2 points to train on and 1 held out, got "
                f"{held_out_share:g} of {len(array)} points; give another share or more points"
            )
        self._shape, self._flip = self._arranged(array.shape), flip
        if flip and self.layout != "image":
            raise ValueError(
                "data.flip=true mirrors images (n, channels, height, width), got points of shape "
                f"{array.shape[1:]}; leave it out"
            )
        order = SPLIT.permutation("held_out", len(array))
        training, held_out = (ArrayRows(array, p) for p in (order[count:], order[:count]))
        #: The two sets in the file's units; `seen` holds each training point equally often.
        self._in_file, seen = (training, held_out), ArrayRows(array, order[count:], flip)
        self._moments = ElementMoments.of(seen.blocks())
        word = self._resolved(standardize)
        # With a single element `elements` and `all` are the same.
        word = "all" if word == "elements" and math.prod(self._shape) == 1 else word
        units = ElementUnits.of(self._moments) if word == "elements" else None
        self.form = FileForm(array.shape[1:], units, self._columns())
        if units is not None:
            self._warn_of_constants()
            self._moments = ElementMoments.of(seen.within(units).blocks())
        self._training, self._held_out = training.within(units), held_out.within(units)
        self._seen = seen.within(units)
        super().__init__(batch_size, word, sigma_data, seed)
        self._shuffle = Shuffle(self.randomness, len(self._training))

    @abstractmethod
    def load(self) -> NDArray[Any] | Tensor:
        """Return all points, (n, *shape), real numbers of any kind, in the file's units."""

    def _arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one sample for the model, given that of the array of all points."""
        return shape[1:]

    def _resolved(self, standardize: Standardize) -> Standardize:
        """Return what `standardize: true` means for these data."""
        return standardize

    def _columns(self) -> tuple[str, ...]:
        """Return the names of the elements; an empty tuple if they have none."""
        return ()

    def _warn_of_constants(self) -> None:
        constant = self._moments.constant()
        if constant and self.form is not None:
            warnings.warn(
                f"{self.form.named(constant)} constant in the training points and cannot be "
                "standardised; the scale there stays 1",
                stacklevel=4,
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @cached_property
    def content(self) -> str:
        digest = hashlib.sha256()
        for part in self._in_file:
            digest.update(str((len(part), *self._shape)).encode())
            for points in part.blocks():
                digest.update(points.numpy().tobytes())
        return digest.hexdigest()

    def moments(self) -> tuple[Tensor, Tensor]:
        mean, variance = self._moments.mean, self._moments.variance
        return mean.reshape(self._shape), variance.reshape(self._shape)

    @cached_property
    def law(self) -> Distribution | None:
        return Empirical(self._seen)

    def batch(self, start: int, stop: int) -> Batch:
        points = self.to_model(self._shaped(self._training[self._shuffle.places(start, stop)]))
        if not self._flip:
            return Batch(points)
        mirrored = self.randomness.uniform("flip", start, stop) < 0.5
        return Batch(torch.where(mirrored[:, None, None, None], points.flip(-1), points))

    def training_points(self) -> Tensor | None:
        return self._shaped(self._seen[:])

    def some_points(self, count: int) -> Tensor:
        return self._shaped(self._seen[:count])

    def held_out(self, count: int) -> Batch:
        return Batch(self._shaped(self._held_out[:count]))

    def reference(self, count: int) -> Tensor:
        return self._shaped(self._held_out[:])

    def _shaped(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1, *self._shape)


@final
class Digits(FiniteData):
    """The 1,797 handwritten digits of 8 x 8 pixels, 0 to 16, that scikit-learn ships.

    Samples have the shape (1, 8, 8) and 17 levels. The digits are the UCI test set of optical
    recognition of digits.
    """

    levels, value_range = 17, 17.0

    def load(self) -> NDArray[Any]:
        from sklearn.datasets import load_digits

        images: NDArray[Any] = load_digits().images
        return images[:, None]
