"""A file of the user's points."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fokker.data.finite import FiniteData
from fokker.distributions.arguments import row_blocks

#: Bytes; of a larger file the rows are read when they are needed.
MAX_IN_MEMORY = 2 * 2**30


@final
class PointsFile(FiniteData):
    """The points in a `.npy` file, or in one array of a `.npz` file.

    Args:
        path: of the file; an array (n, d), (n, height, width) or (n, channels, height, width).
        key: the array's name in an `.npz` file; null if there is only one.
        levels: how many equally spaced values an element can have; null: it is continuous.
        value_range: what these fill together, `levels` spacings: 256 for 0 to 255.
        in_memory: whether all of the file is read at once, else each row when it is needed, by
            two workers; null: up to 2 GiB.
        batch_size, standardize, sigma_data, held_out_share, seed, flip: see `FiniteData`.
    Raises:
        ValueError: if the file is missing, unreadable, empty, of the wrong rank, or holds
            anything but finite numbers; if one of levels and value_range is given alone, or the
            points are not on such levels; if an .npz file is not to be in memory; at a batch, if
            rows are still read and the file has been changed.
    """

    def __init__(
        self,
        path: str | None,
        key: str | None = None,
        batch_size: int = 256,
        standardize: bool = True,
        sigma_data: float | None = None,
        held_out_share: float = 0.2,
        levels: int | None = None,
        value_range: float | None = None,
        seed: int = 0,
        flip: bool = False,
        in_memory: bool | None = None,
    ) -> None:
        if (levels is None) != (value_range is None) or not (levels or 2) > 1:
            raise ValueError(
                "data.levels, at least 2, and data.value_range must be given together, got "
                f"{levels} and {value_range}; 8-bit images from 0 to 255 have 256 and 256"
            )
        if value_range is not None and not 0 < value_range < float("inf"):
            raise ValueError(f"data.value_range must be positive and finite, got {value_range:g}")
        self.levels, self.value_range = levels, value_range
        if path is None:
            raise ValueError("data.path must name a .npy or .npz file of points, got null")
        self._path, self._key = Path(path).expanduser(), key
        self._in_memory, self._is_read_by_rows = in_memory, False
        super().__init__(batch_size, standardize, sigma_data, held_out_share, seed, flip)

    def load(self) -> NDArray[Any]:
        array = self._array()
        where = f"data.path={self._path}"
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{where} must hold numbers, got an array of {array.dtype}")
        if array.ndim not in (2, 3, 4):
            raise ValueError(
                f"{where} must hold an array of rank 2 (n, d), 3 (n, height, width) or 4 "
                f"(n, channels, height, width), got the shape {array.shape}; points of one "
                "dimension are (n, 1)"
            )
        if array.size == 0:
            raise ValueError(f"{where} must hold at least 2 points, got the shape {array.shape}")
        bad = np.concatenate([~np.isfinite(part).all(1) for part in _parts(array)])
        if bad.any():
            raise ValueError(
                f"{where} must hold finite numbers, got {bad.sum()} points with NaN or infinity, "
                f"the first at index {bad.argmax()}; remove these points"
            )
        low, high = float(array.min()), float(array.max())
        if low == high:
            raise ValueError(f"{where} must hold points that vary, got {low:g} everywhere")
        if self.levels is not None and self.value_range is not None:
            scale = self.levels / self.value_range
            steps = ((part - low) * scale for part in _parts(array))
            off = max(float(np.abs(part - part.round()).max()) for part in steps)
            if off > 1e-3 or (high - low) * scale > self.levels - 0.5:
                raise ValueError(
                    f"data.levels={self.levels} and data.value_range={self.value_range:g} must fit "
                    "the values, each value_range/levels from the next, got values from "
                    f"{low:g} to {high:g}; 0 to 255 are 256 levels in a range of "
                    "256, and the same divided by 255 in a range of 256/255"
                )
        if array.ndim == 3:
            array = array[:, None]
        if array.ndim == 4 and array.shape[1] not in (1, 3):
            raise ValueError(
                f"{where} must hold images with 1 or 3 channels, channels first (n, channels, "
                f"height, width), got the shape {array.shape}; transpose or flatten it"
            )
        return array

    def batch(self, start: int, stop: int) -> Tensor:
        if self._is_read_by_rows and self._stamp() != self._loaded:
            raise ValueError(
                f"data.path={self._path} must stay as it is while its points are read, and has "
                "been changed; start again, or read all of it at first by data.in_memory=true"
            )
        return super().batch(start, stop)

    def _array(self) -> NDArray[Any]:
        if not self._path.is_file():
            what = "a folder" if self._path.is_dir() else f"not there, seen from {Path.cwd()}"
            raise ValueError(f"data.path must be a file of points, and {self._path} is {what}")
        key = self._key
        self._loaded = self._stamp()
        is_small = self._loaded[0] <= MAX_IN_MEMORY
        in_memory = is_small if self._in_memory is None else self._in_memory
        try:
            content = np.load(self._path, None if in_memory else "r", allow_pickle=False)
            if isinstance(content, np.ndarray):
                self._is_read_by_rows, self.workers = not in_memory, 0 if in_memory else 2
                return content
            with content as arrays:
                names = list(arrays)
                key = names[0] if key is None and len(names) == 1 else key
                array = arrays[key] if key in names else None
        # An array of an .npz file is read, and found to be damaged, when it is asked for.
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"data.path={self._path} must be a .npy or .npz file of numbers, and cannot be "
                f"read as one ({type(error).__name__}); write it by numpy.save"
            ) from error
        if array is None:
            raise ValueError(
                f"data.key must name one of the arrays {names} in data.path={self._path}, got {key}"
            )
        if self._in_memory is False:
            raise ValueError(
                f"data.in_memory=false needs a .npy file, whose rows can be read one by one, got "
                f"data.path={self._path}; write the array by numpy.save"
            )
        return np.asarray(array)

    def _stamp(self) -> tuple[int, int, int]:
        """Of the file as it is now: its size in bytes first."""
        state = self._path.stat()
        return state.st_size, state.st_mtime_ns, state.st_ino


def _parts(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """A few rows at a time, flattened, so that what is computed of all stays small."""
    flat = array.reshape(len(array), -1)
    return (flat[rows] for rows in row_blocks(*flat.shape))
