"""A finite set of points: digits, or a file of the user's."""

import hashlib
import zipfile
import zlib
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from fokker.data.base import DataModule, Shuffle
from fokker.randomness import Randomness

# The split is the same for every seed, so that runs are compared on one held-out set.
SPLIT = Randomness(0)


class FiniteData(DataModule):
    """Points that fit in memory, split into training and held-out points.

    Args:
        held_out_share: of the points, not trained on.
        flip: whether each training image is seen as often mirrored, left to right, as it is.
        batch_size, standardize, sigma_data, seed: see `DataModule`.
    Raises:
        ValueError: as `DataModule` does, or if held_out_share leaves one of the two sets empty.
    """

    def __init__(
        self,
        batch_size: int = 256,
        standardize: bool = True,
        sigma_data: float | None = None,
        held_out_share: float = 0.2,
        seed: int = 0,
        flip: bool = False,
    ) -> None:
        points = self.load()
        count = round(len(points) * held_out_share)
        if not 0 < count < len(points):
            raise ValueError(
                "data.held_out_share must leave points on both sides, got "
                f"{held_out_share:g} of {len(points)} points"
            )
        order = SPLIT.permutation("held_out", len(points))
        self._held_out, self._training = points[order[:count]], points[order[count:]]
        if flip and points.dim() != 4:
            raise ValueError(
                "data.flip=true mirrors images (n, channels, height, width), got points of shape "
                f"{tuple(points.shape[1:])}; leave it away"
            )
        self._flip = flip
        super().__init__(batch_size, standardize, sigma_data, seed)
        self._shuffle = Shuffle(self.randomness, len(self._training))
        self._standardized = self.to_model(self._training)

    @abstractmethod
    def load(self) -> Tensor:
        """All points, (n, *shape), float64, in the data's units."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._training.shape[1:])

    @cached_property
    def content(self) -> str:
        digest = hashlib.sha256()
        for points in (self._training, self._held_out):
            digest.update(str(tuple(points.shape)).encode())
            digest.update(points.numpy().tobytes())
        return digest.hexdigest()

    def moments(self) -> tuple[Tensor, Tensor]:
        points = self._shown()
        return points.mean(0), points.var(0, correction=0)

    def batch(self, start: int, stop: int) -> Tensor:
        points = self._standardized[self._shuffle.places(start, stop)]
        if not self._flip:
            return points
        mirrored = self.randomness.uniform("flip", start, stop) < 0.5
        return torch.where(mirrored[:, None, None, None], points.flip(-1), points)

    def training_points(self) -> Tensor | None:
        return self._shown()

    def _shown(self) -> Tensor:
        """Each point that training sees, as often as the others."""
        if not self._flip:
            return self._training
        return torch.cat([self._training, self._training.flip(-1)])

    def held_out(self, count: int) -> Tensor:
        return self._held_out[:count]

    def reference(self, count: int) -> Tensor:
        return self._held_out


@final
class Digits(FiniteData):
    """The 1,797 handwritten digits of 8 x 8 pixels, 0 to 16, that scikit-learn ships.

    Shape (1, 8, 8): 17 levels, from the UCI test set of optical recognition of digits.
    """

    levels, value_range = 17, 17.0

    def load(self) -> Tensor:
        from sklearn.datasets import load_digits

        return torch.from_numpy(load_digits().images[:, None]).double()


@final
class PointsFile(FiniteData):
    """The points in a `.npy` file, or in one array of a `.npz` file.

    Args:
        path: of the file; an array (n, d), (n, height, width) or (n, channels, height, width).
        key: the array's name in an `.npz` file; null if there is only one.
        levels: how many equally spaced values an element can have; null: it is continuous.
        value_range: what these fill together, `levels` spacings: 256 for 0 to 255.
        batch_size, standardize, sigma_data, held_out_share, seed, flip: see `FiniteData`.
    Raises:
        ValueError: if the file is missing, unreadable, empty, of the wrong rank, or holds
            anything but finite numbers; if one of levels and value_range is given alone, or the
            points are not on such levels.
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
        super().__init__(batch_size, standardize, sigma_data, held_out_share, seed, flip)

    def load(self) -> Tensor:
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
        if not np.isfinite(array).all():
            bad = int((~np.isfinite(array.reshape(len(array), -1))).any(1).sum())
            raise ValueError(
                f"{where} must hold finite numbers, got {bad} points with NaN or infinity; "
                "remove these points"
            )
        if array.min() == array.max():
            raise ValueError(f"{where} must hold points that vary, got {array.min():g} everywhere")
        if self.levels is not None and self.value_range is not None:
            steps = (array - array.min()) * (self.levels / self.value_range)
            if np.abs(steps - steps.round()).max() > 1e-3 or steps.max() > self.levels - 0.5:
                raise ValueError(
                    f"data.levels={self.levels} and data.value_range={self.value_range:g} must fit "
                    "the values, each value_range/levels from the next, got values from "
                    f"{array.min():g} to {array.max():g}; 0 to 255 are 256 levels in a range of "
                    "256, and the same divided by 255 in a range of 256/255"
                )
        if array.ndim == 3:
            array = array[:, None]
        if array.ndim == 4 and array.shape[1] not in (1, 3):
            raise ValueError(
                f"{where} must hold images with 1 or 3 channels, channels first (n, channels, "
                f"height, width), got the shape {array.shape}; transpose or flatten it"
            )
        return torch.from_numpy(array.astype(np.float64))

    def _array(self) -> np.ndarray:
        if not self._path.is_file():
            raise ValueError(f"data.path must be a file of points, and {self._path} is not there")
        key = self._key
        try:
            content = np.load(self._path, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            with content as arrays:
                names = list(arrays)
                key = names[0] if key is None and len(names) == 1 else key
                if key in names:
                    return np.asarray(arrays[key])
        # An array of an .npz file is read, and found to be damaged, when it is asked for.
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"data.path={self._path} must be a .npy or .npz file of numbers, and cannot be "
                f"read as one ({type(error).__name__}); write it by numpy.save"
            ) from error
        raise ValueError(
            f"data.key must name one of the arrays {names} in data.path={self._path}, got {key}"
        )
