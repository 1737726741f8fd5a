"""Facts that a model keeps of its training data, so that it can be used without them."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, TypeVar, final

import torch
from torch import Tensor

from fokker.data.batch import Batch
from fokker.data.standardized import StandardizedData
from fokker.data.units import ElementUnits, FileForm
from fokker.distributions import Distribution

T = TypeVar("T")


def facts_of(data: StandardizedData) -> dict[str, Any]:
    """Return what a model needs to know of its data when they are missing, as plain values.

    `mean` and `variance` are those of each element, flattened, in the model's units. `file` holds
    the shape and the columns of points in the file, and the shift and the scale of each element if
    there are such. Values that take long to compute are included if they were computed before.
    """
    form, (mean, variance) = data.form or FileForm(data.shape), data.model_moments
    units, eigenvalues = form.units, data.computed.get("eigenvalues")
    return {
        "shape": list(data.shape),
        "standardize": data.standardize,
        "shift": data.shift,
        "scale": data.scale,
        "sigma_data": data.sigma_data,
        "measured": list(data.measured),
        "mean": mean.flatten().tolist(),
        "variance": variance.flatten().tolist(),
        "levels": data.levels,
        "value_range": data.value_range,
        "fresh": data.fresh,
        "batch_size": data.batch_size,
        "seed": data.randomness.seed,
        "file": {
            "shape": list(form.shape),
            "shift": None if units is None else units.shift.tolist(),
            "scale": None if units is None else units.scale.tolist(),
            "columns": list(form.columns),
        },
        "max_distance": data.computed.get("max_distance"),
        "eigenvalues": None if eigenvalues is None else eigenvalues.tolist(),
    }


@final
class Remembered(StandardizedData):
    """Data with the units and moments of the training, even if the points are missing.

    Points, and everything that needs points, come from the data themselves. They are looked for
    when they are first needed.

    Args:
        facts: the values from `facts_of`.
        content: the hash of the points of the training; see `StandardizedData.content`.
        find: a function that finds the data; it raises a ValueError if they are not the same.
    Raises:
        ValueError: if the facts are damaged.
    """

    def __init__(
        self, facts: Mapping[str, object], content: str, find: Callable[[], StandardizedData]
    ) -> None:
        self._content, self._find = content, find
        try:
            self._recall(facts)
        except (KeyError, IndexError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"what a model says of its data is damaged ({type(error).__name__}: {error})"
            ) from error

    def _recall(self, facts: Mapping[str, Any]) -> None:
        """Set the attributes from the facts."""
        self._shape = tuple(facts["shape"])
        self.fresh, self.levels = facts["fresh"], facts["levels"]
        self.value_range = facts["value_range"]
        file, units = facts["file"], None
        if file["shift"] is not None:
            units = ElementUnits(_numbers(file["shift"]), _numbers(file["scale"]))
        self.form = FileForm(tuple(file["shape"]), units, tuple(file["columns"]))
        shift, scale = float(facts["shift"]), float(facts["scale"])
        mean, variance = (_numbers(facts[key]).reshape(self._shape) for key in ("mean", "variance"))
        self._moments = (mean * scale + shift, variance * scale**2)
        super().__init__(
            facts["batch_size"], facts["standardize"], facts["sigma_data"], facts["seed"]
        )
        # Keep the measured values to the bit, also where the user's data class has replaced them.
        self.shift, self.scale, self.model_moments = shift, scale, (mean, variance)
        self.measured = (facts["measured"][0], facts["measured"][1])
        for key, as_was in (("max_distance", float), ("eigenvalues", _numbers)):
            if facts[key] is not None:
                self.computed[key] = as_was(facts[key])

    @cached_property
    def found(self) -> StandardizedData:
        """Return the data themselves.

        Raises:
            ValueError: if they are missing, or are other data.
        """
        return self._find()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def content(self) -> str:
        return self._content

    def moments(self) -> tuple[Tensor, Tensor]:
        return self._moments

    def batch(self, start: int, stop: int) -> Batch:
        return self.found.batch(start, stop)

    def held_out(self, count: int) -> Batch:
        return self.found.held_out(count)

    def reference(self, count: int) -> Tensor:
        return self.found.reference(count)

    def training_points(self) -> Tensor | None:
        return self.found.training_points()

    def some_points(self, count: int) -> Tensor:
        return self.found.some_points(count)

    @cached_property
    def law(self) -> Distribution | None:
        return self.found.law

    def once(self, name: str, compute: Callable[[StandardizedData], T]) -> T:
        if name not in self.computed:
            self.computed[name] = self.found.once(name, compute)
        return super().once(name, compute)


def _numbers(values: Any) -> Tensor:
    """Return finite numbers (d,) as float64."""
    numbers = torch.tensor(values, dtype=torch.float64)
    if not all(map(math.isfinite, values)):
        raise TypeError("a number is not finite")
    return numbers
