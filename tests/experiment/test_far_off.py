"""What is said of samples that spread otherwise than the data, and of which column."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.data import Digits, PointsFile
from fokker.diffusion.formulations.start import start_law
from fokker.evaluations.far_off import FarOff

pytestmark = pytest.mark.usefixtures("workdir")
NAMES = "dose,constant,rare,count"


def file_of(standardize: str) -> PointsFile:
    """Columns of std 3, 0 and 0.02, the third nearly always 0, and of std 3,000."""
    noise = np.random.default_rng(0).normal(size=(4_000, 4))
    noise[:, 2] = np.arange(4_000) % 2_000 == 0
    array = noise * [3, 0, 1, 3_000] + [7, 0.1, 0, -50]
    np.savetxt("t.csv", array, delimiter=",", header=NAMES, comments="")
    return PointsFile("t.csv", standardize=standardize)


def as_the_data(data: PointsFile, count: int = 500) -> Tensor:
    return data.some_points(count).clone()


@pytest.mark.parametrize("standardize", ["all", "elements"])
@pytest.mark.filterwarnings("ignore:column")
def test_the_worst_column_is_named_in_both_directions(standardize: str) -> None:
    data = file_of(standardize)
    far_off = FarOff(data, 500)
    good = as_the_data(data)
    assert far_off.sentence(good) == ""
    mean = data.to_data(start_law(data).mean)
    for column, name, factor in ((0, "dose", 8.0), (0, "dose", 0.1), (3, "count", 0.2)):
        bad = good.clone()
        bad[:, column] = mean[column] + factor * (good[:, column] - mean[column])
        said = far_off.sentence(bad)
        times = float(said.split()[2])
        assert times == pytest.approx(factor, rel=0.1)
        assert said == (
            f"samples lie {times:.3g} times as far from the mean as the data in column {name}"
        )
    both = mean + (good - mean) * torch.tensor([4.0, 1.0, 1.0, 0.1])
    assert far_off.sentence(both).endswith("in column count")
    # A column that does not vary, and one whose spread 500 samples cannot show.
    bad = good.clone()
    bad[:, 1] += 1e4
    bad[:, 2] = 1e4
    assert far_off.sentence(bad) == ""


@pytest.mark.filterwarnings("ignore:column")
def test_of_few_samples_nothing_is_said() -> None:
    data = file_of("elements")
    bad = 100 * as_the_data(data, 30)
    assert FarOff(data, 30).sentence(bad) != ""
    assert FarOff(data, 19).sentence(bad[:19]) == ""


def test_images_are_judged_as_a_whole() -> None:
    data = Digits()
    far_off = FarOff(data, 200)
    good, mean = data.held_out(200).x, data.to_data(start_law(data).mean)
    assert far_off.sentence(good) == ""
    # Shrunk onto their mean image they are as bright as before.
    assert far_off.sentence(mean + 0.2 * (good - mean)) == (
        "samples lie 0.2 times as far from the mean as the data"
    )
    one_pixel = good.clone()
    one_pixel[:, 0, 4, 4] *= 3
    assert far_off.sentence(one_pixel) == ""


@pytest.mark.parametrize(
    ("shape", "across", "layout", "what"),
    [((12, 3), (1, 3), "series", "feature"), ((3, 4, 5), (3, 1, 1), "image", "channel")],
)
def test_features_of_unlike_size_are_warned_of_and_judged_one_by_one(
    shape: tuple[int, ...], across: tuple[int, ...], layout: str, what: str
) -> None:
    sizes = np.array([0.3, 30.0, 3_000.0]).reshape(across)
    np.save("t.npy", sizes * np.random.default_rng(0).normal(size=(400, *shape)) + 5)
    with pytest.warns(UserWarning, match=rf"{what}s of standard deviations 0\.\d+ to .*=elements"):
        data = PointsFile("t.npy", layout=layout)
    assert f"({what}s of standard deviations 0." in data.described()
    good = data.some_points(300).clone()
    far_off = FarOff(data, 300)
    assert far_off.sentence(good) == ""
    bad = good + torch.from_numpy(sizes == 0.3) * 50.0
    assert far_off.sentence(bad).endswith(f"in {what} 0 of 0 to 2")
