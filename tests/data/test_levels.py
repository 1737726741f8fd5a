"""Values that stand on levels, as far as the type that they are stored in lets them."""

import numpy as np
import pytest
import torch

from fokker.data import PointsFile

pytestmark = pytest.mark.usefixtures("workdir")


def accept(array: np.ndarray, levels: int, value_range: float) -> None:
    np.save("points.npy", array)
    data = PointsFile("points.npy", levels=levels, value_range=value_range)
    assert (data.levels, data.value_range) == (levels, value_range)


def steps(levels: int, lowest: int = 0) -> np.ndarray:
    """Some of the levels, the lowest and the highest among them."""
    chosen = np.random.default_rng(0).integers(lowest, levels, (300, 4))
    chosen[0, :2] = lowest, levels - 1
    return chosen.astype(np.float64)


@pytest.mark.parametrize("lowest", [0, 7])
@pytest.mark.parametrize(
    ("dtype", "levels"),
    [(np.float16, 256), (np.float32, 256), (np.float32, 65536), (np.float64, 65536)],
)
def test_levels_in_floats(dtype: type, levels: int, lowest: int) -> None:
    k, top = steps(levels, lowest), levels - 1
    accept((k / top).astype(dtype), levels, levels / top)
    # In the type's own arithmetic, from -1 to 1.
    own = k.astype(np.float32).astype(dtype) / dtype((levels - 1) / 2) - dtype(1)
    accept(own, levels, 2 * levels / top)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16])
def test_whole_numbers_are_levels_in_every_type(dtype: type) -> None:
    accept(steps(256, 3).astype(dtype), 256, 256.0)


@pytest.mark.parametrize(
    ("dtype", "levels", "off"),
    [(np.float16, 256, 0.3), (np.float32, 256, 0.005), (np.float32, 65536, 0.02),
     (np.float64, 65536, 0.002)],
)  # fmt: skip
def test_values_that_rounding_does_not_explain_are_refused(
    dtype: type, levels: int, off: float
) -> None:
    k = steps(levels)
    k[5, 2] = levels // 2 + off
    with pytest.raises(ValueError, match=r"must fit the values, .* of that off a level"):
        accept((k / (levels - 1)).astype(dtype), levels, levels / (levels - 1))


def test_more_levels_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must fit the values, .* to 256, more than 256 levels"):
        accept(steps(257), 256, 256.0)


@pytest.mark.parametrize(
    ("dtype", "levels", "top"),
    [(torch.bfloat16, 256, 255), (torch.float16, 1024, 1023), (torch.float16, 4096, 1),
     (torch.float32, 2**25, 1)],
)  # fmt: skip
def test_types_that_cannot_tell_levels_apart_are_refused(
    dtype: torch.dtype, levels: int, top: int
) -> None:
    torch.save(torch.from_numpy(steps(levels) / top).to(dtype), "points.pt")
    with pytest.raises(ValueError, match=r"stored too coarsely to tell levels .* whole numbers"):
        PointsFile("points.pt", levels=levels, value_range=levels / top)
