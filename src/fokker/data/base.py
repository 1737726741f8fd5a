"""What all data share: standardisation, batches as functions of the step, reference points."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from time import perf_counter
from typing import Literal, final

import lightning as L
import torch
from torch import Tensor

from fokker.data.ahead import Ahead
from fokker.data.layouts import Layout, layout_of
from fokker.data.units import FileForm, Standardize
from fokker.distributions import Affine, Distribution, Empirical
from fokker.randomness import Randomness
from fokker.samplers import StartLaw
from fokker.sde.base import HIGHEST_NOISE, LOWEST_NOISE

MAX_BLOCK_STEPS = 128
BLOCK_SECONDS = 0.2
MAX_COVARIANCE_DIM = 4096
# Of sigma_data: a standard deviation below is rounding, and that of equal points.
NOTHING = 1e-12


@final
class StepBlocks:
    """The optimiser steps of a training, as blocks (first, last + 1).

    A block ends at each multiple of every interval, where something is saved or logged, and at
    the last step; and it is as long as fits in a fifth of a second, so that signals are seen soon.

    Args:
        trainer: whose `global_step` says where to start, also after a restart.
        max_steps: of the training.
        intervals: in steps.
    """

    def __init__(self, trainer: L.Trainer, max_steps: int, intervals: tuple[int, ...]) -> None:
        self._trainer, self._max_steps, self._intervals = trainer, max_steps, intervals

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first, length = self._trainer.global_step, 1
        while first < self._max_steps:
            ends = [first - first % interval + interval for interval in self._intervals]
            last = min(first + length, self._max_steps, *ends)
            started = perf_counter()
            yield first, last
            per_step = (perf_counter() - started) / (last - first)
            length = max(1, min(MAX_BLOCK_STEPS, 2 * length, int(BLOCK_SECONDS / per_step)))
            # Ranks have clocks of their own and have to take the same blocks.
            length = self._trainer.strategy.broadcast(length)
            first = last


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


class DataModule(L.LightningDataModule, ABC):
    """Data in the units of the model: `(x - shift) / scale`, one shift and one scale for all.

    Three units: those of the file; the data's, in which laws, metrics and figures count; and the
    model's. The first two are the same but under `standardize=elements`, where the data's units
    are standard units, of mean 0 and standard deviation 1 in each element (see `FileForm`).

    Args:
        batch_size: of the whole job, in images.
        standardize: to mean 0 and standard deviation sigma_data: true or `all` by one shift and
            scale, `elements` by one of each element; false: the data as they are.
        sigma_data: the standard deviation in the model's units; null: 0.5 when standardised, else
            the measured one.
        seed: of the order of the data.
    Raises:
        ValueError: if batch_size is below 1, sigma_data not in [1e-8, 1e8], or standardize another
            word, or `elements` of data that are no finite set.
    """

    #: Whether a whole law is known, and not only points of it.
    fresh = False
    #: How many equally spaced values an element can have, and the range that they fill together in
    #: the data's units; none where elements are continuous, or nothing is declared.
    levels: int | None = None
    value_range: float | None = None
    #: How many processes make the batches of a training before they are asked for.
    workers = 0
    #: How the points stand where they come from, if not as here.
    form: FileForm | None = None

    def __init__(
        self, batch_size: int, standardize: Standardize, sigma_data: float | None, seed: int
    ) -> None:
        super().__init__()
        if standardize not in (True, False, "elements", "all"):
            raise ValueError(
                f"data.standardize must be true, false, elements or all, got {standardize}"
            )
        if standardize == "elements" and self.form is None:
            raise ValueError(
                "data.standardize=elements needs a finite set of points in more than one "
                f"dimension, got {type(self).__name__}; choose data.standardize=all"
            )
        if batch_size < 1:
            raise ValueError(f"data.batch_size must be at least 1, got {batch_size}")
        if sigma_data is not None and not LOWEST_NOISE <= sigma_data <= HIGHEST_NOISE:
            raise ValueError(
                f"data.sigma_data must be positive or null, got {sigma_data:g}; it is of the size "
                f"of noise levels, {LOWEST_NOISE:g} to {HIGHEST_NOISE:g}"
            )
        self.batch_size = batch_size
        #: The word that holds, never `true`.
        self.standardize: Literal["elements", "all", False] = (
            standardize if isinstance(standardize, str) else "all" if standardize else False
        )
        self.randomness = Randomness(seed)
        mean, variance = self.moments()
        shift = float(mean.mean())
        std = math.sqrt(float((variance + (mean - shift) ** 2).mean()))
        if not 0 < std < math.inf:
            raise ValueError(
                f"data must vary, and their standard deviation be finite, got {std:g}; "
                "give other data, or the same in another unit"
            )
        #: Mean and standard deviation over all elements, in the data's units.
        self.measured = (shift, std)
        if standardize:
            self.sigma_data = 0.5 if sigma_data is None else float(sigma_data)
            self.shift, self.scale = shift, std / self.sigma_data
        else:
            self.sigma_data = std if sigma_data is None else float(sigma_data)
            self.shift, self.scale = 0.0, 1.0
        self.start_law = StartLaw((mean - self.shift) / self.scale, variance / self.scale**2)
        self._intervals: tuple[int, ...] = ()
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
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each element, each (*shape), float64, in the data's units."""

    @abstractmethod
    def batch(self, start: int, stop: int) -> Tensor:
        """Training data start to stop of the endless stream, in the model's units, float32."""

    @abstractmethod
    def held_out(self, count: int) -> Tensor:
        """Data that are not trained on, at most `count`, in the data's units, float64."""

    @abstractmethod
    def reference(self, count: int) -> Tensor:
        """What samples are compared with: about `count` points in the data's units, float64."""

    def training_points(self) -> Tensor | None:
        """All training data in the data's units where they are a finite set, else none."""
        return None

    @cached_property
    def law(self) -> Distribution | None:
        """The law that is trained on, of flattened samples (d,), in the data's units.

        Of a finite set it is the set's own; none where nothing is known of it.
        """
        points = self.training_points()
        return None if points is None else Empirical(points.flatten(1))

    @cached_property
    def model_law(self) -> Affine | None:
        """The same in the model's units."""
        return None if self.law is None else Affine(self.law, self.shift, self.scale)

    @cached_property
    def eigenvalues(self) -> Tensor:
        """Of the covariance of the training data, ascending, (d,), float64, in the model's units.

        Of a law its exact ones, of a finite set the set's own. The variances of the elements stand
        in their place where nothing is known of the law, or d is above 4,096: the matrix would
        take too long.
        """
        law = self.model_law
        if law is None or law.dim > MAX_COVARIANCE_DIM:
            return self.start_law.variance.double().flatten().sort().values
        eigenvalues: Tensor = torch.linalg.eigvalsh(law.covariance)
        return torch.where(eigenvalues > (NOTHING * self.sigma_data) ** 2, eigenvalues, 0.0)

    def to_model(self, x: Tensor) -> Tensor:
        """From the data's units to the model's, float32."""
        return ((x - self.shift) / self.scale).float()

    def to_data(self, x: Tensor) -> Tensor:
        """From the model's units to the data's, float64."""
        return x.double() * self.scale + self.shift

    def to_file(self, x: Tensor) -> Tensor:
        """From the data's units and shape to those of the file, (n, ...), float64."""
        return self._form.to_file(x)

    def from_file(self, x: Tensor) -> Tensor:
        """From the units and the shape of the file to the data's, (n, *shape), float64."""
        return self._form.from_file(x, self.shape)

    @property
    def unit_label(self) -> str:
        """Name the data's units: `data units`, or `standard units` of elements."""
        return self._form.label

    @property
    def log_scale(self) -> float:
        """`ln` of what one unit of the model is in the file's, a mean over the elements.

        An nll per element grows by it from the model's units to the file's.
        """
        return math.log(self.scale) + self._form.mean_log_scale

    def column_name(self, place: int) -> str:
        """Name an element: by its name in the file, or its number."""
        return self._form.column(place)

    def named(self, places: list[int]) -> str:
        """Name some elements, with a verb: `columns 2, 4 of 0 to 5 are`."""
        return self._form.named(places)

    @property
    def _form(self) -> FileForm:
        return self.form or FileForm(self.shape)

    def described(self) -> str:
        """Say the layout, the shape and how the data are standardised, for a plan and a run."""
        hows = {
            "all": "one shift and one scale for all elements",
            "elements": "one shift and one scale for each element, and metrics and figures in "
            "these standard units",
            False: "taken as they are",
        }
        word, shape, here = str(self.standardize).lower(), self._form.shape, self.shape
        there = "" if shape == here else f", in the file {shape}"
        return (
            f"{self.layout} of shape {here}{there}, standardize={word}{self._why()}: "
            f"{hows[self.standardize]}"
        )

    def _why(self) -> str:
        """Say why they are standardised like this, in brackets, where that depends on them."""
        return ""

    @cached_property
    def max_distance(self) -> float:
        """Largest distance of two points among at most 5,000, in the model's units."""
        points = self.some_points(5_000).flatten(1)
        parts = (torch.cdist(part, points).max() for part in torch.split(points, 1_000))
        return float(max(parts)) / self.scale

    def some_points(self, count: int) -> Tensor:
        """At most `count` of the training points, or of held-out ones where there is no end."""
        points = self.training_points()
        return self.held_out(count) if points is None else points[:count]

    @contextmanager
    def made_ahead(self) -> Iterator[None]:
        """For a training: its batches by `workers`, where there are any."""
        if self.workers:
            self._ahead = Ahead(self.batch, self.batch_size, self.workers)
        try:
            yield
        finally:
            if self._ahead is not None:
                self._ahead.close()
            self._ahead = None

    def training_batch(self, start: int, stop: int) -> Tensor:
        """`batch`, from the workers if there are some."""
        return (self._ahead or self.batch)(start, stop)

    def cut_at(self, *intervals: int) -> None:
        """End blocks of steps at multiples of these."""
        self._intervals = intervals

    def train_dataloader(self) -> StepBlocks:
        """The steps of the training; a step fetches its own data by `batch`."""
        if self.trainer is None:
            raise ValueError("the data have no trainer yet; call trainer.fit(model, data)")
        return StepBlocks(self.trainer, self.trainer.max_steps, self._intervals)
