"""The units of data in their file, and standard units in which all elements are alike."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import torch
from torch import Tensor

#: `elements`: each element has its own shift and scale; `all`: all elements share the two; true:
#: one of these, chosen by the data; false: the data are taken as they are.
Standardize: TypeAlias = bool | Literal["elements", "all"]

#: Columns whose standard deviations differ by more than this factor are standardised one by one.
MAX_RATIO = 3.0
#: The largest number of columns that a sentence names one by one.
MAX_NAMED = 5


@final
@dataclass(frozen=True)
class ElementMoments:
    """Moments of each element over a set of points, (d,) each, float64.

    Attributes:
        mean, variance: the moments; the variance of a constant element is exactly 0.
        varies: whether an element has more than one value.
    """

    mean: Tensor
    variance: Tensor
    varies: Tensor

    @classmethod
    def of(cls, blocks: Iterable[Tensor]) -> "ElementMoments":
        """Compute the moments of points that come in blocks (n, d)."""
        mean = variance = torch.zeros((), dtype=torch.float64)
        low, high = torch.tensor(math.inf), torch.tensor(-math.inf)
        done = 0
        for points in blocks:
            done += len(points)
            share, distance = len(points) / done, points.mean(0) - mean
            mean = mean + share * distance
            # This order does not square the large numbers of a single block, which could overflow.
            between = share * (1 - share) * distance * distance
            variance = variance + share * (points.var(0, correction=0) - variance) + between
            low, high = torch.minimum(low, points.amin(0)), torch.maximum(high, points.amax(0))
        varies = low != high
        # Rounding would give a constant 0.1 a variance of 1e-34.
        return cls(mean, torch.where(varies, variance, 0.0), varies)

    def pooled(self, groups: Tensor) -> Tensor:
        """Return the mean variance of each group's elements that vary, 0 if none does, (k,).

        Args:
            groups: the group of each element, (d,), from 0 to k - 1.
        """
        count = int(groups.max()) + 1
        sums = torch.zeros(count, dtype=torch.float64).index_add(0, groups, self.variance)
        varying = torch.zeros(count, dtype=torch.float64)
        return sums / varying.index_add(0, groups, self.varies.double()).clamp(min=1)

    def constant(self) -> list[int]:
        """Return the indices of the constant elements."""
        return [int(place) for place in (~self.varies).nonzero()]


@final
@dataclass(frozen=True)
class ElementUnits:
    """The map `(x - shift) / scale`, with one shift and scale an element, (d,) each, float64."""

    shift: Tensor
    scale: Tensor

    @classmethod
    def of(cls, moments: ElementMoments) -> "ElementUnits":
        """Give every element mean 0 and standard deviation 1; a constant one keeps scale 1.

        Raises:
            ValueError: if a varying element has a standard deviation of 0 or infinity in float64.
        """
        scale = torch.where(moments.varies, moments.variance.sqrt(), 1.0)
        good = torch.isfinite(scale) & (scale > 0) & torch.isfinite(moments.mean)
        if not bool(good.all()):
            place = int((~good).nonzero()[0])
            raise ValueError(
                "data.standardize=elements needs elements whose standard deviation is positive and "
                f"finite in float64, got {float(scale[place]):g} in element {place}; give it in "
                "another unit"
            )
        return cls(moments.mean, scale)

    def to_standard(self, rows: Tensor) -> Tensor:
        """Convert rows (n, d) from the file's units to standard units."""
        return (rows - self.shift) / self.scale

    def to_file(self, rows: Tensor) -> Tensor:
        """Convert rows (n, d) back to the file's units."""
        return rows * self.scale + self.shift


@final
@dataclass(frozen=True)
class FileForm:
    """The form of points in their file, as far as fokker uses another one inside.

    Attributes:
        shape: the shape of one sample in the file.
        units: the map from the file's units to standard units, for flattened samples; none if
            fokker uses the units of the file.
        columns: the names of the elements; empty if they have none.
    """

    shape: tuple[int, ...]
    units: ElementUnits | None = None
    columns: tuple[str, ...] = ()

    def to_file(self, x: Tensor) -> Tensor:
        """Convert points (n, ...) to the file's units and shape, float64."""
        rows = self._rows(x)
        rows = rows if self.units is None else self.units.to_file(rows)
        return rows.reshape(len(x), *self.shape)

    def from_file(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Convert points (n, ...) of the file to the units and the shape inside fokker."""
        rows = self._rows(x)
        rows = rows if self.units is None else self.units.to_standard(rows)
        return rows.reshape(len(x), *shape)

    def _rows(self, x: Tensor) -> Tensor:
        """Return points as rows (n, d), float64; n may be 0."""
        x, d = torch.as_tensor(x), math.prod(self.shape)
        if x.ndim == 0 or x.numel() != len(x) * d:
            raise ValueError(
                f"points must have the shape (n, {', '.join(map(str, self.shape))}), or another "
                f"of {d} elements each, got {tuple(x.shape)}"
            )
        return x.double().reshape(len(x), d)

    @property
    def label(self) -> str:
        """Name the units that fokker uses inside, for tables and axes."""
        return "data units" if self.units is None else "standard units"

    @property
    def mean_log_scale(self) -> float:
        """Return the mean over the elements of `ln(scale_j)`, by which an nll per element grows."""
        return 0.0 if self.units is None else float(self.units.scale.log().mean())

    def column(self, place: int) -> str:
        """Name an element."""
        if self.columns:
            return self.columns[place]
        return f"{place} of 0 to {math.prod(self.shape) - 1}"

    def named(self, places: list[int]) -> str:
        """Name a few columns, or give the number of elements."""
        if len(places) > MAX_NAMED or len(self.shape) > 1:
            verb = "is" if len(places) == 1 else "are"
            return f"{len(places)} of {math.prod(self.shape)} elements {verb}"
        if len(places) == 1:
            return f"column {self.column(places[0])} is"
        names = [self.columns[place] if self.columns else str(place) for place in places]
        of = "" if self.columns else f" of 0 to {math.prod(self.shape) - 1}"
        return f"columns {', '.join(names)}{of} are"
