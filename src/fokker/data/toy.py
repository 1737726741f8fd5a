"""Data drawn from a known density."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from fokker.data.base import DataModule, Shuffle
from fokker.distributions import Distribution
from fokker.randomness import Randomness

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
class ToyData(DataModule):
    """Points of a known law: drawn fresh, or a finite set of them.

    Point i of the stream is a function of (seed, i), and none is seen twice, so that a loss can be
    held against its exact floor. Standardised by the law's exact moments.

    Args:
        distribution: makes the law from `parameters`.
        num_points: the size of a finite training set; null: fresh points for ever.
        batch_size, standardize, sigma_data, seed: see `DataModule`.
        parameters: of the law, such as `low` and `high`.
    Raises:
        ValueError: as `DataModule` and the law do, or if num_points is below 1.
    """

    def __init__(
        self,
        distribution: Callable[..., Distribution],
        batch_size: int = 256,
        standardize: bool = True,
        sigma_data: float | None = None,
        num_points: int | None = None,
        seed: int = 0,
        **parameters: Any,
    ) -> None:
        if num_points is not None and num_points < 1:
            raise ValueError(f"data.num_points must be at least 1 or null, got {num_points}")
        self.distribution = distribution(**parameters)
        self.num_points = num_points
        self.fresh = num_points is None
        super().__init__(batch_size, standardize, sigma_data, seed)
        self._shuffle = Shuffle(self.randomness, num_points or 1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.distribution.dim,)

    @property
    def content(self) -> str:
        return ""

    def moments(self) -> tuple[Tensor, Tensor]:
        return self.distribution.mean, self.distribution.variance

    def batch(self, start: int, stop: int) -> Tensor:
        if self.num_points is None:
            return self.to_model(
                self.randomness.rows("data", start, stop, Points(self.distribution))
            )
        return self._finite_set[self._shuffle.places(start, stop)]

    @cached_property
    def _finite_set(self) -> Tensor:
        points = self.training_points()
        return self.to_model(torch.empty(0) if points is None else points)

    def training_points(self) -> Tensor | None:
        if self.num_points is None:
            return None
        return self.randomness.rows("data", 0, self.num_points, Points(self.distribution))

    def held_out(self, count: int) -> Tensor:
        return HELD_OUT.rows("held_out", 0, count, Points(self.distribution))

    def reference(self, count: int) -> Tensor:
        if self.distribution.dim > 1:
            return self.held_out(count)
        # In one dimension the quantiles stand for the law itself, without noise.
        middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        return self.distribution.quantile(middles)[:, None]
