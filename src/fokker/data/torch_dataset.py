"""A torch Dataset that the user gives."""

from collections.abc import Iterator
from itertools import count
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from fokker.data.files import array_of
from fokker.data.given import Content, GivenPoints
from fokker.data.layouts import Layout
from fokker.data.units import Standardize

WHERE = "data.dataset"
#: A dataset without a length that gives more than this, in bytes or points, counts as endless.
MAX_BYTES, MAX_POINTS = 2 * 2**30, 10_000_000
#: The number of points that are read twice, to check that they stay the same.
PROBES = 4


class MapStyle(Protocol):
    """An object that is read by indices, even if its class does not derive from Dataset."""

    def __getitem__(self, index: int, /) -> Any: ...


class IterableStyle(Protocol):
    """An object that is read from its beginning to its end."""

    def __iter__(self) -> Iterator[Any]: ...


@final
class TorchDataset(GivenPoints):
    """The points that a torch Dataset gives, read into memory once, as they are.

    Args:
        dataset: an object with `__len__` and `__getitem__`, or a finite iterable. An item is a
            point x, or a pair (x, y) whose y is ignored; x is a tensor, an array, a PIL image or
            a number.
        layout, levels, value_range: see `GivenPoints`.
        batch_size, standardize, sigma_data, held_out_share, seed, flip: see `FiniteData`.
    Raises:
        ValueError: as `GivenPoints` does; if it is no dataset, is empty, has no end, cannot be
            read, gives anything but numbers or another point at each reading, or points of
            unequal shape.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | MapStyle | IterableStyle | None = None,
        batch_size: int = 256,
        standardize: Standardize = True,
        sigma_data: float | None = None,
        held_out_share: float = 0.2,
        levels: int | None = None,
        value_range: float | None = None,
        seed: int = 0,
        flip: bool = False,
        layout: Layout | None = None,
    ) -> None:
        self._dataset = dataset
        super().__init__(
            batch_size, standardize, sigma_data, held_out_share, seed, flip, layout, levels,
            value_range,
        )  # fmt: skip

    def _read(self) -> Content:
        dataset, self._dataset = self._dataset, None  # Free its memory after it is read.
        return read_dataset(dataset)


def read_dataset(dataset: object) -> Content:
    """Read all points of a dataset.

    Raises:
        ValueError: see `TorchDataset`.
    """
    points: list[NDArray[Any]] = []
    resolution, note, size = None, "", 0
    has_length = not isinstance(dataset, IterableDataset) and hasattr(dataset, "__getitem__")
    for index, item in _items(dataset, has_length):
        x, note = _point(item, index)
        array, coarser = _as_array(x, f"{WHERE}[{index}]")
        if points and array.shape != points[0].shape:
            raise ValueError(
                f"{WHERE} must give points of one shape, got {points[0].shape} for point 0 and "
                f"{array.shape} for point {index}; crop, pad or resize them"
            )
        points.append(array)
        resolution, size = coarser or resolution, size + array.nbytes
        if not has_length and (size > MAX_BYTES or len(points) > MAX_POINTS):
            raise ValueError(
                f"{WHERE} must come to an end, and has given {len(points):,} points and "
                f"{size / 2**20:,.0f} MiB so far; give it a length by __len__ and __getitem__, or "
                "end its iteration"
            )
    if not points:
        raise ValueError(f"{WHERE} must hold at least 2 points, got none")
    array = np.stack(points)
    # A number is a point of one dimension.
    return Content(array[:, None] if array.ndim == 1 else array, WHERE, (), resolution, note)


def _items(dataset: Any, has_length: bool) -> Iterator[tuple[int, Any]]:
    """Yield the items of a dataset with their numbers."""
    plain = (str, bytes, dict, list, tuple, int, float, type(None))
    if isinstance(dataset, plain) or not (has_length or hasattr(dataset, "__iter__")):
        raise ValueError(
            f"{WHERE} must be a torch Dataset, with __len__ and __getitem__ or with __iter__, got "
            f"{'null' if dataset is None else type(dataset).__name__}; say "
            "'data.dataset={_target_: my_package.MyDataset}'"
        )
    if not has_length:
        given = iter(dataset)
        for index in count():
            try:
                item = next(given)
            except StopIteration:
                return
            except Exception as error:
                raise _failed(index, error) from error
            yield index, item
        return
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            f"{WHERE} must say how many points it has, and {type(dataset).__name__} has no "
            "__len__; write one"
        ) from error
    for index in range(length):
        item = _item(dataset, index)
        if index < PROBES and not _same(item, _item(dataset, index), index):
            raise ValueError(
                f"{WHERE} must give the same point at each reading, and gives others at index "
                f"{index}; take random transforms out of it (+data.flip=true mirrors images)"
            )
        yield index, item


def _item(dataset: Any, index: int) -> Any:
    try:
        return dataset[index]
    except Exception as error:
        raise _failed(index, error) from error


def _failed(index: int, error: Exception) -> ValueError:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    return ValueError(f"{WHERE}[{index}] must be readable, and fails with {why}; mend the dataset")


def _same(item: object, again: object, index: int) -> bool:
    one, other = (_as_array(_point(i, index)[0], f"{WHERE}[{index}]")[0] for i in (item, again))
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _point(item: Any, index: int) -> tuple[Any, str]:
    """Return x of an item, and a note on its ignored parts."""
    is_pair = isinstance(item, tuple) or (
        # [0.1, 0.2] may be a point of two dimensions; a list of tensors is no single point.
        isinstance(item, list) and len(item) > 0 and not isinstance(item[0], (int, float))
    )
    if not is_pair:
        return item, ""
    if len(item) == 0:
        raise ValueError(f"{WHERE} must give x or (x, y), got an empty item at index {index}")
    ignored = {1: "", 2: "of each pair (x, y), y is ignored"}
    return item[0], ignored.get(len(item), f"of each item only the first of {len(item)} is used")


def _as_array(x: object, where: str) -> tuple[NDArray[Any], float | None]:
    """Return x as an array, and the resolution of its type if the array's is finer."""
    from PIL import Image

    resolution = None
    if isinstance(x, Image.Image):
        # The numbers of a palette image are indices, not colours.
        array = np.asarray(x.convert("RGB") if x.mode == "P" else x)
        array = np.moveaxis(array, -1, 0) if array.ndim == 3 else array
    elif isinstance(x, Tensor):
        array, resolution = array_of(x, where)
    elif isinstance(x, (np.ndarray, np.generic, int, float)):
        array = np.asarray(x)
    else:
        raise ValueError(
            f"{where} must be a tensor, an array, a PIL image or a number, or a pair that begins "
            f"with one, got {type(x).__name__}; let the dataset give one of these"
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where} must hold numbers, got an array of {array.dtype}")
    # The copy is needed because a dataset may reuse one buffer for all items.
    return array.copy(), resolution
