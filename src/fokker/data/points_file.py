"""A file of the user's points."""

from typing import final

from fokker.data.batch import Batch
from fokker.data.files import read_file
from fokker.data.given import Content, GivenPoints
from fokker.data.layouts import Layout
from fokker.data.units import Standardize
from fokker.machine.named_files import find_points

#: The size in bytes up to which a file is loaded; rows of a larger .npy file are read as needed.
MAX_IN_MEMORY = 2 * 2**30


@final
class PointsFile(GivenPoints):
    """The points in a file: .npy, .npz, .csv, .tsv, .pt or .pth.

    Args:
        path: the path of a file with an array (n, d), (n, height, width), (n, channels, height,
            width) or (n, channels, depth, height, width), or another one by `layout`; with a
            table of numbers and a header line; or with a tensor, a dict of tensors, or a pair of
            tensors whose second is ignored.
        key: the array's name in an `.npz` or `.pt` file; null if there is only one.
        in_memory: whether all of the file is read at once; else two workers read each row when it
            is needed. null: all files but a `.npy` file above 2 GiB are read at once.
        layout, levels, value_range: see `GivenPoints`.
        batch_size, standardize, sigma_data, held_out_share, seed, flip: see `FiniteData`.
    Raises:
        ValueError: as `GivenPoints` does; if the file is missing or unreadable; if in_memory is
            false and it is not a .npy file; at a batch, if the file has changed while its rows
            are still being read.
    """

    def __init__(
        self,
        path: str | None,
        key: str | None = None,
        batch_size: int = 256,
        standardize: Standardize = True,
        sigma_data: float | None = None,
        held_out_share: float = 0.2,
        levels: int | None = None,
        value_range: float | None = None,
        seed: int = 0,
        flip: bool = False,
        in_memory: bool | None = None,
        layout: Layout | None = None,
    ) -> None:
        self._path, self._key = find_points(path), key
        self._in_memory, self._is_read_by_rows = in_memory, False
        super().__init__(
            batch_size, standardize, sigma_data, held_out_share, seed, flip, layout, levels,
            value_range,
        )  # fmt: skip

    def batch(self, start: int, stop: int) -> Batch:
        if self._is_read_by_rows and self._stamp() != self._loaded:
            raise ValueError(
                f"data.path={self._path} must stay as it is while its points are read, and has "
                "been changed; start again, or read all of it at first by data.in_memory=true"
            )
        return super().batch(start, stop)

    def _read(self) -> Content:
        is_mappable = self._path.suffix.lower() == ".npy"
        if self._in_memory is False and not is_mappable:
            raise ValueError(
                f"data.in_memory=false needs a .npy file, whose rows can be read one by one, got "
                f"data.path={self._path}; write the array by numpy.save"
            )
        self._loaded = self._stamp()
        is_small = self._loaded[0] <= MAX_IN_MEMORY or not is_mappable
        in_memory = is_small if self._in_memory is None else self._in_memory
        content = read_file(self._path, self._key, in_memory)
        self._is_read_by_rows, self.workers = not in_memory, 0 if in_memory else 2
        return content

    def _stamp(self) -> tuple[int, int, int]:
        """Return the size in bytes, modification time and inode of the file as it is now."""
        state = self._path.stat()
        return state.st_size, state.st_mtime_ns, state.st_ino
