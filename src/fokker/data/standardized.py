"""Data in the units of a model that adds Gaussian noise: standardised, with known moments."""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor

from fokker.data.base import DataModule
from fokker.data.units import FileForm, Standardize
from fokker.distributions import Affine, Distribution, Empirical
from fokker.distributions.noise_range import HIGHEST_NOISE, LOWEST_NOISE

T = TypeVar("T")


class StandardizedData(DataModule):
    """Data in the units of the model: `(x - shift) / scale`, one shift and one scale for all.

    There are three units: those of the file; the data's, in which laws, metrics and figures are
    expressed; and the model's. The first two differ only under `standardize=elements`. Then the
    data's units are standard units, of mean 0 and standard deviation 1 in each element (see
    `FileForm`).

    Args:
        batch_size: the batch size of the whole job, in samples.
        standardize: how data get mean 0 and standard deviation sigma_data: `all` by one shift and
            scale, `elements` by one of each element, true by one of the two; false: not at all.
        sigma_data: the standard deviation in the model's units; null: 0.5 when standardised, else
            the measured one.
        seed: the seed of the order of the data.
    Raises:
        ValueError: if batch_size is below 1, sigma_data is not in [1e-8, 1e8], standardize is
            another word, or it is `elements` for data that are no finite set.
    """

    #: How many equally spaced values an element can have, and the range that they fill together in
    #: the data's units; none if elements are continuous, or nothing is declared.
    levels: int | None = None
    value_range: float | None = None
    #: The form of the points in their file or dataset; none if it is the same as here.
    form: FileForm | None = None

    def __init__(
        self, batch_size: int, standardize: Standardize, sigma_data: float | None, seed: int
    ) -> None:
        if standardize not in (True, False, "elements", "all"):
            raise ValueError(
                f"data.standardize must be true, false, elements or all, got {standardize}"
            )
        if standardize == "elements" and self.form is None:
            raise ValueError(
                "data.standardize=elements needs a finite set of points in more than one "
                f"dimension, got {type(self).__name__}; choose data.standardize=all"
            )
        super().__init__(batch_size, seed)
        if sigma_data is not None and not LOWEST_NOISE <= sigma_data <= HIGHEST_NOISE:
            raise ValueError(
                f"data.sigma_data must be positive or null, got {sigma_data:g}; it is of the size "
                f"of noise levels, {LOWEST_NOISE:g} to {HIGHEST_NOISE:g}"
            )
        #: The resolved value; it is never `true`.
        self.standardize: Literal["elements", "all", False] = (
            standardize if isinstance(standardize, str) else "all" if standardize else False
        )
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
        #: Mean and variance of each element, each (*shape), float64, in the model's units.
        self.model_moments = ((mean - self.shift) / self.scale, variance / self.scale**2)
        #: The results of `once`, by name.
        self.computed: dict[str, Any] = {}

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of each element, each (*shape), float64, in the data's units."""

    @cached_property
    def law(self) -> Distribution | None:
        """Return the law that is trained on, of flattened samples (d,), in the data's units.

        For a finite set it is the law of the set; it is none if nothing is known of it.
        """
        points = self.training_points()
        return None if points is None else Empirical(points.flatten(1))

    def fresh_points(self, count: int, generator: torch.Generator) -> Tensor | None:
        if not self.fresh or self.law is None:
            return None
        return self.law.sample(count, generator).reshape(-1, *self.shape)

    @cached_property
    def model_law(self) -> Affine | None:
        """Return `law` in the model's units."""
        return None if self.law is None else Affine(self.law, self.shift, self.scale)

    def to_model(self, x: Tensor) -> Tensor:
        """Convert points from the data's units to the model's, float32."""
        return ((x - self.shift) / self.scale).float()

    def to_data(self, x: Tensor) -> Tensor:
        """Convert points from the model's units to the data's, float64."""
        return x.double() * self.scale + self.shift

    def to_file(self, x: Tensor) -> Tensor:
        """Convert points from the data's units and shape to the file's, (n, ...), float64."""
        return self._form.to_file(x)

    def from_file(self, x: Tensor) -> Tensor:
        """Convert points from the file's units and shape to the data's, (n, *shape), float64."""
        return self._form.from_file(x, self.shape)

    @property
    def unit_label(self) -> str:
        """Name the data's units: `data units`, or `standard units` of elements."""
        return self._form.label

    @property
    def log_scale(self) -> float:
        """Return `ln` of the model's unit in the file's units, averaged over the elements.

        The nll per element grows by it from the model's units to the file's.
        """
        return math.log(self.scale) + self._form.mean_log_scale

    def column_name(self, place: int) -> str:
        """Name an element, by its name in the file or by its number."""
        return self._form.column(place)

    def named(self, places: list[int]) -> str:
        """Name some elements, with a verb: `columns 2, 4 of 0 to 5 are`."""
        return self._form.named(places)

    @property
    def _form(self) -> FileForm:
        return self.form or FileForm(self.shape)

    def described(self) -> str:
        """Describe the layout, the shape and the standardisation, for a plan and a run."""
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
        """Return the reason for the standardisation, in brackets; empty if it is not the data."""
        return ""

    def once(self, name: str, compute: Callable[["StandardizedData"], T]) -> T:
        """Compute something of these data when it is first asked for, and keep it.

        Args:
            name: the name of the result.
            compute: the function that computes it from the data.
        """
        if name not in self.computed:
            self.computed[name] = compute(self)
        return cast(T, self.computed[name])
