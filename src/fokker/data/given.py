"""Points that the user gives in a file or a dataset; they are checked and laid out."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final, get_args

import numpy as np
from numpy.typing import NDArray

from fokker.data.finite import FiniteData
from fokker.data.layouts import FEATURES, Layout, arranged, features_of
from fokker.data.levels import check_levels
from fokker.data.units import MAX_RATIO, Standardize
from fokker.distributions.arguments import row_blocks

#: Float64 represents every whole number up to this one, but not all beyond it.
EXACT = 2**53


@final
@dataclass(frozen=True)
class Content:
    """Points as they were found in a file or a dataset.

    Attributes:
        array: all points, (n, ...).
        where: the source of the points, for messages, such as `data.path=points.npy`.
        columns: the names of the columns; empty if they have none.
        resolution: the distance from 1 to the next number in the type that the points were stored
            in; none if that is the array's type.
        note: a sentence about content that is not used; empty if all is used.
    """

    array: NDArray[Any]
    where: str
    columns: tuple[str, ...] = ()
    resolution: float | None = None
    note: str = ""


class GivenPoints(FiniteData):
    """A finite set of the user's points.

    With `standardize=true` the columns of an array (n, d) are standardised one by one if their
    standard deviations differ by more than a factor of 3, and by one shift and scale otherwise.

    Args:
        layout: the meaning of the axes; null: points of rank 2, images of 3 and 4, volumes of 5.
        levels: the number of equally spaced values of an element; null if it is continuous.
        value_range: the range that these values fill together, `levels` spacings: 256 for 0 to
            255.
        batch_size, standardize, sigma_data, held_out_share, seed, flip: see `FiniteData`.
    Raises:
        ValueError: as `FiniteData` does; if there are no points, or anything but finite numbers
            that vary; if the layout does not fit; if only one of levels and value_range is given,
            or the points are not on such levels.
    """

    def __init__(
        self,
        batch_size: int,
        standardize: Standardize,
        sigma_data: float | None,
        held_out_share: float,
        seed: int,
        flip: bool,
        layout: Layout | None,
        levels: int | None,
        value_range: float | None,
    ) -> None:
        if layout is not None and layout not in get_args(Layout):
            raise ValueError(
                f"data.layout must be {', '.join(get_args(Layout))} or null, got {layout}"
            )
        if (levels is None) != (value_range is None) or not (levels or 2) > 1:
            raise ValueError(
                "data.levels, at least 2, and data.value_range must be given together, got "
                f"{levels} and {value_range}; 8-bit images from 0 to 255 have 256 and 256"
            )
        if value_range is not None and not 0 < value_range < float("inf"):
            raise ValueError(f"data.value_range must be positive and finite, got {value_range:g}")
        self.levels, self.value_range = levels, value_range
        self._layout, self._spreads = layout, ""
        super().__init__(batch_size, standardize, sigma_data, held_out_share, seed, flip)

    @abstractmethod
    def _read(self) -> Content:
        """Read all points; raise a ValueError if they cannot be read."""

    def load(self) -> NDArray[Any]:
        self._content = content = self._read()
        array, where = content.array, content.where
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{where} must hold numbers, got an array of {array.dtype}")
        self._arranged(array.shape)
        if array.size == 0:
            raise ValueError(f"{where} must hold at least 2 points, got the shape {array.shape}")
        bad = np.concatenate([~np.isfinite(part).all(1) for part in _parts(array)])
        if bad.any():
            raise ValueError(
                f"{where} must hold finite numbers, got {bad.sum()} points with NaN or infinity, "
                f"the first at index {bad.argmax()}; remove these points"
            )
        if array.dtype.kind in "iu" and not -EXACT <= int(array.min()) <= int(array.max()) <= EXACT:
            raise ValueError(
                f"{where} must hold whole numbers within 2^53, as float64 tells no larger ones "
                f"apart, got {int(array.min())} to {int(array.max())}; subtract what they share"
            )
        low, high = float(array.min()), float(array.max())
        if low == high:
            raise ValueError(f"{where} must hold points that vary, got {low:g} everywhere")
        if self.levels is not None and self.value_range is not None:
            resolution = content.resolution
            if resolution is None:
                is_float = array.dtype.kind == "f"
                resolution = float(np.finfo(array.dtype).eps) if is_float else 0.0
            parts = _parts(array)
            check_levels(parts, low, high, self.levels, self.value_range, resolution)
        if content.note:
            warnings.warn(f"{where}: {content.note}", stacklevel=4)
        return array

    def _arranged(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return arranged(shape, self._layout, self._content.where)

    def _columns(self) -> tuple[str, ...]:
        return self._content.columns

    def _resolved(self, standardize: Standardize) -> Standardize:
        is_table = self._content.array.ndim == 2
        # Flattened points have one unit, as pixels of an image have, however much they vary.
        if self.layout == "points" and not is_table:
            return standardize
        features = features_of(self.shape)
        stds = self._moments.pooled(features).sqrt()
        stds = stds[stds > 0]
        if len(stds) < 2:
            return standardize
        what, low, high = FEATURES[self.layout], float(stds.min()), float(stds.max())
        self._spreads = f" ({what}s of standard deviations {low:.4g} to {high:.4g})"
        if standardize is not True:
            return standardize
        differ = MAX_RATIO * low < high < float("inf")
        if self.layout == "points":
            return "elements" if differ else "all"
        if differ:
            warnings.warn(
                f"{self._content.where} has {what}s of standard deviations {low:.4g} to "
                f"{high:.4g}, and with one scale for all of them the smaller ones are lost in the "
                "noise; choose data.standardize=elements, or all if they have one unit",
                stacklevel=4,
            )
        return standardize

    def _why(self) -> str:
        return self._spreads


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Return an iterator over flattened blocks of rows, to keep intermediate arrays small."""
    flat = array.reshape(len(array), -1)
    return (flat[rows] for rows in row_blocks(*flat.shape))
