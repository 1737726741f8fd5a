"""Data drawn from a known density."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from fokker.data.base import Shuffle
from fokker.data.batch import Batch
from fokker.data.standardized import StandardizedData
from fokker.data.units import Standardize
from fokker.distributions import Distribution, GaussianCovariance
from fokker.machine.memory import DOUBLE, check_fits
from fokker.randomness import Randomness, Stream

# Held-out points are the same for every seed, so that runs are compared on one set.
HELD_OUT = Randomness(0)


@final
@dataclass(frozen=True)
class Points:
    """Rows that are points of a law; see `fokker.randomness.Row`."""

    law: Distribution
    unit: int = 4096

    def fill(self, rows: int, generator: torch.Generator) -> Tensor:
        return self.law.sample(rows, generator)


@final
class ToyData(StandardizedData):
    """Points of a known law: an endless stream of fresh points, or a finite set of them.

    Point i of the fresh stream is a function of (seed, i), and no point comes twice. So a loss can
    be compared with its exact floor. Points are standardised by the law's exact moments.

    Args:
        distribution: a function that makes the law from `parameters`.
        num_points: the size of a finite training set; null: fresh points without end.
        shape: the shape of a sample that is not a vector; its elements are the law's coordinates.
        batch_size, standardize, sigma_data, seed: see `StandardizedData`.
        parameters: the parameters of the law, such as `low` and `high`.
    Raises:
        ValueError: as `StandardizedData` and the law do; if num_points is below 1; if the
            elements are to be standardised one by one.
    """

    def __init__(
        self,
        distribution: Callable[..., Distribution],
        batch_size: int = 256,
        standardize: Standardize = True,
        sigma_data: float | None = None,
        num_points: int | None = None,
        shape: Sequence[int] | None = None,
        seed: int = 0,
        **parameters: object,
    ) -> None:
        if num_points is not None and num_points < 1:
            raise ValueError(f"data.num_points must be at least 1 or null, got {num_points}")
        if standardize == "elements":
            raise ValueError(
                "data.standardize=elements must be of a file or a dataset, got a known law, whose "
                "exact denoiser has one scale for all coordinates; choose data.standardize=all"
            )
        self.distribution = distribution(**parameters)
        if num_points is not None:
            of_one = self.distribution.dim * 2 * DOUBLE  # As they are drawn, and then in one piece.
            check_fits("data.num_points", num_points, num_points * of_one, "the points")
        self._shape = (self.distribution.dim,) if shape is None else tuple(shape)
        self.num_points = num_points
        self.fresh = num_points is None
        super().__init__(batch_size, standardize, sigma_data, seed)
        self._shuffle = Shuffle(self.randomness, num_points or 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def content(self) -> str:
        return ""

    def moments(self) -> tuple[Tensor, Tensor]:
        law = self.distribution
        return law.mean.reshape(self._shape), law.variance.reshape(self._shape)

    @cached_property
    def law(self) -> Distribution | None:
        return self.distribution if self.fresh else super().law

    def batch(self, start: int, stop: int) -> Batch:
        if self.num_points is None:
            return Batch(self.to_model(self._points(self.randomness, "data", start, stop)))
        return Batch(self._finite_set[self._shuffle.places(start, stop)])

    @cached_property
    def _finite_set(self) -> Tensor:
        points = self.training_points()
        return self.to_model(torch.empty(0) if points is None else points)

    def training_points(self) -> Tensor | None:
        if self.num_points is None:
            return None
        return self._points(self.randomness, "data", 0, self.num_points)

    def held_out(self, count: int) -> Batch:
        return Batch(self._points(HELD_OUT, "held_out", 0, count))

    def _points(self, randomness: Randomness, stream: Stream, start: int, stop: int) -> Tensor:
        rows = randomness.rows(stream, start, stop, Points(self.distribution))
        return rows.reshape(-1, *self._shape)

    def reference(self, count: int) -> Tensor:
        if self.distribution.dim > 1:
            return self.held_out(count).x
        # In one dimension quantiles represent the law itself, without sampling noise.
        middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return self.distribution.quantile(middles).reshape(-1, *self._shape)


def gaussianized(data: StandardizedData) -> ToyData:
    """Return data of the Gaussian with the mean and covariance of the given data.

    Every sampler is then an affine map with Gaussian noise, and its errors are known exactly.

    Raises:
        ValueError: if nothing is known of the law of the data.
    """
    if data.law is None:
        raise ValueError(
            "data.gaussianize=true needs data with training_points or a law, got "
            f"{type(data).__name__}; give it one of the two"
        )
    law = GaussianCovariance(data.law.mean, data.law.covariance)
    made = ToyData(
        lambda: law,
        batch_size=data.batch_size,
        standardize=bool(data.standardize),
        sigma_data=data.sigma_data,
        shape=data.shape,
        seed=data.randomness.seed,
    )
    # The Gaussian is in the units that the elements were standardised to.
    made.form, made.standardize = data.form, data.standardize
    return made
