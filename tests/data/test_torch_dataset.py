"""Datasets of torch: their points as those of a file, what is ignored, and what is refused."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import tiny_runs
from fokker.cli.main import main
from fokker.data import PointsFile, TorchDataset

pytestmark = pytest.mark.usefixtures("workdir")
ARRAY = 7 + 3 * np.random.default_rng(0).normal(size=(40, 3))
IMAGES = np.random.default_rng(1).integers(0, 256, (30, 3, 4, 5), dtype=np.uint8)


class Listed(Dataset[Any]):
    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Stream(IterableDataset[Any]):
    def __init__(self, items: Any) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)


def content(array: np.ndarray) -> str:
    np.save("points.npy", array)
    return PointsFile("points.npy").content


@pytest.mark.parametrize(
    "dataset",
    [
        Listed(ARRAY),
        Stream(ARRAY),
        Listed([torch.from_numpy(row) for row in ARRAY]),
        Listed([(row,) for row in ARRAY]),
        TensorDataset(torch.from_numpy(ARRAY)),
    ],
    ids=["arrays", "stream", "tensors", "alone_in_a_tuple", "tensor_dataset"],
)
def test_points_of_a_dataset_are_those_of_a_file(dataset: Any) -> None:
    assert TorchDataset(dataset).content == content(ARRAY)


def test_numbers_are_points_of_one_dimension() -> None:
    data = TorchDataset(Listed([1.5, 2, np.float32(0.25), 7, 9]))
    assert data.shape == (1,)
    assert data.content == content(np.array([[1.5], [2], [0.25], [7], [9]]))


def test_pictures_are_channels_first() -> None:
    pictures = [Image.fromarray(np.moveaxis(image, 0, -1)) for image in IMAGES]
    assert TorchDataset(Listed(pictures)).content == content(IMAGES)
    grey = TorchDataset(Listed([Image.fromarray(image[0]) for image in IMAGES]))
    assert (grey.shape, grey.content) == ((1, 4, 5), content(IMAGES[:, 0]))
    palette = [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    assert TorchDataset(Listed(palette)).content == content(IMAGES)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([(row, 1) for row in ARRAY], "of each pair (x, y), y is ignored"),
        ([[row, "cat"] for row in ARRAY], "of each pair (x, y), y is ignored"),
        ([(row, 1, 2) for row in ARRAY], "of each item only the first of 3 is used"),
    ],
)
def test_what_stands_beside_a_point_is_ignored_and_that_is_said(items: Any, says: str) -> None:
    with pytest.warns(UserWarning, match=f"^data.dataset: {re.escape(says)}$") as warned:
        data = TorchDataset(Listed(items))
    assert len(warned) == 1
    assert data.content == content(ARRAY)


def test_types_without_a_place_in_numpy() -> None:
    levels = torch.arange(256).reshape(64, 4).bfloat16()
    assert TorchDataset(TensorDataset(levels), levels=256, value_range=256).levels == 256


class Failing(Listed):
    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise OSError("no such picture")
        return super().__getitem__(index)


class Random(Listed):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index) + np.random.default_rng().normal()


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield 1.0


class Unmeasured(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return ARRAY[index]


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (Listed([]), r"must hold at least 2 points, got none"),
        (Stream([]), r"must hold at least 2 points, got none"),
        (Listed([np.zeros(2), np.zeros(3)]), r"of one shape, got \(2,\) .* and \(3,\) for point 1"),
        (Listed(["a", "b"]), r"^data\.dataset\[0\] must be a tensor, an array, .* got str;"),
        (Listed([{"image": 1}]), r"^data\.dataset\[0\] must be a tensor, .* got dict;"),
        (Listed([[0.1, 0.2]]), r"must be a tensor, .* got list;"),
        (Listed([np.array(["a"])]), r"^data\.dataset\[0\] must hold numbers, got .*<U1"),
        (Listed([()]), r"must give x or \(x, y\), got an empty item at index 0"),
        (Failing(ARRAY), r"^data\.dataset\[3\] must be readable, .* OSError: no such picture;"),
        (Random(ARRAY), r"must give the same point at each reading, .* at index 0; take random"),
        (Endless(), r"must come to an end, and has given 1,001 points"),
        (Unmeasured(), r"must say how many points .*Unmeasured has no __len__"),
        (None, r"must be a torch Dataset, .* got null; say 'data\.dataset=\{_target_:"),
        ("text", r"must be a torch Dataset, .* got str;"),
        (object(), r"must be a torch Dataset, .* got object;"),
        (Listed([np.array([1.0, np.nan])] * 5), r"^data\.dataset must hold finite numbers, got 5"),
    ],
)
def test_what_is_no_finite_set_of_points_is_refused(dataset: Any, says: str) -> None:
    with (
        mock.patch("fokker.data.torch_dataset.MAX_POINTS", 1_000),
        pytest.raises(ValueError, match=says),
    ):
        TorchDataset(dataset)


# By the command ------------------------------------------------------------------------------

SOURCE = '''
import numpy as np
from torch.utils.data import Dataset

class Waves(Dataset):
    """Sines of another phase each."""

    def __init__(self, count: int, amplitude: float = 1.0):
        self.count, self.amplitude = count, amplitude

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.amplitude * np.sin(np.arange(8) + index), index % 3
'''
WAVES = (
    "data=dataset", "data.dataset={_target_: my_waves.Waves, count: 50, amplitude: 30}",
    "allow_targets=[my_waves]", "data.layout=series",
)  # fmt: skip


@pytest.fixture
def waves(workdir: Path) -> Iterator[None]:
    Path("my_waves.py").write_text(SOURCE)
    yield
    sys.modules.pop("my_waves", None)


@pytest.mark.usefixtures("waves")
def test_a_dataset_of_the_user_s_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    few = ("evaluation.figures=false", "sampler.num_steps=4", "hydra.run.dir=first")
    monkeypatch.setattr("sys.argv", ["fokker", *tiny_runs.TINY[1:], *WAVES, *few])
    main()
    said, warned = capfd.readouterr()
    assert "data     series of shape (8, 1), in the file (8,), standardize=all: " in said
    assert "warning: data.dataset: of each pair (x, y), y is ignored\n" in warned
    samples = np.load("first/samples.npz")["samples"]
    assert samples.shape == (100, 8)
    assert 5 < samples.std() < 100
    # The same points are the same data, also by a class that has been changed.
    (before,) = (path.name for path in Path("outputs/models").iterdir() if path.is_dir())
    Path("my_waves.py").write_text(SOURCE.replace("return self.amp", "return 1.0 * self.amp"))
    sys.modules.pop("my_waves")
    made = tiny_runs.compose_experiment(*WAVES)
    assert made.task.folder.path.name == before


@pytest.mark.usefixtures("waves")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("allow_targets=[]",), r"^data\.dataset\._target_ must name a class in .*allow_targets="),
        (("data.dataset._target_=null",), r"^data\.dataset\._target_ must name a class .*got null"),
        (("data.dataset.amplitude=loud",), r"^data\.dataset\.amplitude must be a number, got loud"),
        (("data.dataset=null",), r"^data\.dataset must be a torch Dataset, .*got null; say 'data"),
        (("data.dataset.count=0",), r"^data\.dataset must hold at least 2 points, got none"),
    ],
)
def test_a_dataset_that_cannot_be_built_is_refused(changes: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tiny_runs.compose_experiment(*WAVES, *changes)


@pytest.mark.usefixtures("waves")
def test_parts_and_sums_of_datasets_need_no_permission_of_their_own() -> None:
    part = (
        "{_target_: torch.utils.data.Subset, indices: [0, 2, 4, 6, 8], "
        "dataset: {_target_: my_waves.Waves, count: 20}}"
    )
    both = f"data.dataset={{_target_: torch.utils.data.ConcatDataset, datasets: [{part}, {part}]}}"
    made = tiny_runs.compose_experiment("data=dataset", both, "allow_targets=[my_waves]")
    points = made.model.data.training_points()
    assert points is not None
    assert len(points) == 8
    for other in ("torch.utils.data.DataLoader", "torch.utils.data.Subset.__init__"):
        with pytest.raises(ValueError, match=r"must name a class in .*allow_targets="):
            tiny_runs.compose_experiment("data=dataset", f"+data.dataset._target_={other}")
