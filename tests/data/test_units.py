"""Columns of different size: which standardisation they get, and the way back to the file."""

import math
import warnings

import numpy as np
import pytest
import torch

import tiny_runs
from fokker.data import Digits, FiniteData, PointsFile, StandardizedData, ToyData, gaussianized
from fokker.data.units import ElementMoments
from fokker.diffusion.formulations.start import start_law
from fokker.distributions import Gaussian

STDS, MEANS = np.array([0.01, 10.0, 20_000.0]), np.array([5.0, -300.0, 1e6])
MIXED = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.3, 0.8]])


def uneven(count: int = 200) -> np.ndarray:
    """Correlated columns of the above standard deviations and means, more or less."""
    return MEANS + STDS * (np.random.default_rng(0).normal(size=(count, 3)) @ MIXED.T)


def points(array: np.ndarray, **changes: object) -> PointsFile:
    np.save("points.npy", array)
    return PointsFile("points.npy", **changes)


pytestmark = pytest.mark.usefixtures("workdir")


@pytest.mark.parametrize(
    ("stds", "word"),
    [([1.0, 2.9], "all"), ([1.0, 3.2], "elements"), ([0.0, 5.0, 5.0], "all"),
     ([0.0, 1.0, 5.0], "elements"), ([7.0], "all"), ([0.0, 7.0], "all")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:column")
def test_true_is_a_word_by_the_ratio_of_the_columns(stds: list[float], word: str) -> None:
    noise = np.random.default_rng(1).normal(size=(50, len(stds)))
    # Many copies of few rows, so that the held-out ones hardly change the moments.
    array = np.tile((noise - noise.mean(0)) / noise.std(0), (40, 1)) * stds + 0.1
    assert points(array).standardize == word
    for said in ("elements", "all"):
        expected = "all" if len(stds) == 1 else said
        assert points(array, standardize=said).standardize == expected
    assert points(array, standardize=False).standardize is False


def test_only_columns_are_standardised_by_themselves() -> None:
    """Pixels, steps of a series, flattened images, digits and one's own classes keep one scale."""
    wide = uneven(60)
    assert points(wide, layout="series").standardize == "all"
    assert points(wide[:, :, None], layout="points").standardize == "all"
    assert points(wide[:, None]).standardize == "all"
    assert Digits().standardize == "all"
    assert Own().standardize == "all"
    assert Own(standardize="elements").standardize == "elements"


class Own(FiniteData):
    """A class of the user's."""

    def load(self) -> np.ndarray:
        return uneven(60)


def test_each_column_has_mean_0_and_sigma_data_in_the_model_and_its_own_units_outside() -> None:
    array = uneven()
    data = points(array)
    training = data.training_points()
    assert training is not None
    np.testing.assert_allclose(training.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(training.std(0, correction=0), 1, rtol=1e-9)
    seen = data.batch(0, 160).x.double()
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(0, correction=0), 0.5, rtol=1e-6)
    everything = data.to_file(torch.cat([training, data.held_out(200).x])).numpy()
    back = everything[np.lexsort(everything.T)]
    np.testing.assert_allclose(back, array[np.lexsort(array.T)], rtol=1e-12)
    torch.testing.assert_close(data.from_file(data.to_file(training)), training)
    # An nll in the file's units: the determinant of the whole map.
    scales = data.to_file(torch.stack([torch.ones(3), torch.zeros(3)])).double()
    log_det = float((scales[0] - scales[1]).log().sum()) + 3 * math.log(data.scale)
    assert 3 * data.log_scale == pytest.approx(log_det, rel=1e-9)
    assert (data.unit_label, points(array, standardize="all").unit_label) == (
        "standard units", "data units",
    )  # fmt: skip


def test_what_is_hashed_is_what_the_file_holds() -> None:
    assert points(uneven()).content == points(uneven(), standardize="all").content


def test_constant_columns_keep_their_scale_and_are_named() -> None:
    array = np.c_[uneven(), np.full(200, 0.1), uneven()[:, 0]]
    with pytest.warns(UserWarning, match=r"^column 3 of 0 to 4 is constant in the training") as w:
        data = points(array)
    assert len(w) == 1
    assert data.form is not None
    assert data.form.units is not None
    assert float(data.form.units.scale[3]) == 1.0
    training = data.training_points()
    assert training is not None
    assert float(training[:, 3].abs().max()) < 1e-12
    assert float(start_law(data).variance[3]) == 0.0
    # Rounding would leave 2e-34.
    constant = ElementMoments.of(torch.full((2, 160, 1), 0.1, dtype=torch.float64))
    assert float(constant.variance) == 0.0
    np.savetxt("t.csv", array, delimiter=",", header="a,b,c,the same,e", comments="")
    with pytest.warns(UserWarning, match=r"^column the same is constant"):
        PointsFile("t.csv")
    with pytest.warns(UserWarning, match=r"^3 of 64 elements are constant"):
        Digits(standardize="elements")
    with warnings.catch_warnings():  # One scale for all does nothing to a constant pixel.
        warnings.simplefilter("error")
        Digits()


def test_rows_that_are_read_when_needed_and_mirrored_are_in_standard_units_too() -> None:
    images = np.random.default_rng(0).normal(size=(60, 2, 3, 5)) * np.arange(1, 31).reshape(2, 3, 5)
    kept, mapped = (
        points(images + 9, standardize="elements", flip=True, in_memory=b) for b in (True, False)
    )
    training = kept.training_points()
    assert training is not None
    assert training.shape == (96, 2, 3, 5)
    np.testing.assert_allclose(training.std(0, correction=0), 1, rtol=1e-9)
    assert torch.equal(kept.batch(3, 99).x, mapped.batch(3, 99).x)
    plain, mirrored = training[:48], training[48:]
    torch.testing.assert_close(mirrored, plain.flip(-1))
    shown = kept.to_data(kept.batch(0, 48).x)
    distances = torch.cdist(shown.flatten(1), training.flatten(1)).amin(1)
    assert float(distances.max()) < 1e-5


def test_a_known_law_has_one_scale() -> None:
    says = r"^data\.standardize=elements must be of a file .* known law.*data\.standardize=all$"
    with pytest.raises(ValueError, match=says):
        ToyData(Gaussian, standardize="elements", mean=1.0, std=[0.1, 9.0])
    with pytest.raises(ValueError, match=r"^data\.standardize must be true, false, el.*got odd$"):
        points(uneven(), standardize="odd")
    with pytest.raises(ValueError, match=r"elements whose standard deviation is .*in element 1;"):
        points(np.array([[1.0, 1e-200], [3, 2e-200]] * 9), standardize="elements")


def test_the_gaussian_in_their_place_is_in_the_same_units() -> None:
    data = points(uneven())
    made = gaussianized(data)
    assert (made.standardize, made.unit_label) == ("elements", "standard units")
    assert (made.shift, made.scale) == pytest.approx((data.shift, data.scale), abs=1e-9)
    drawn = made.to_file(made.held_out(4_000).x).numpy()
    exact = np.cov(data.to_file(data.training_points()).numpy().T, bias=True)
    unit = np.outer(STDS, STDS)
    np.testing.assert_allclose(np.cov(drawn.T) / unit, exact / unit, atol=0.15)
    np.testing.assert_allclose((drawn.mean(0) - MEANS) / STDS, 0, atol=0.3)


# Names and records ---------------------------------------------------------------------------


def key(*overrides: str) -> str:
    return tiny_runs.compose_experiment("data=points", *overrides).task.folder.path.name


@pytest.mark.long
def test_the_resolved_word_is_recorded_and_names_the_model() -> None:
    even = np.random.default_rng(0).normal(size=(50, 2)) * [1, 2] + 3
    np.save("even.npy", even)
    np.save("uneven.npy", uneven())
    np.save("images.npy", np.arange(600.0).reshape(30, 4, 5))
    path = "data.path=even.npy"
    assert key(path) == key(path, "data.standardize=all")
    assert key("data.path=images.npy") == key("data.path=images.npy", "data.standardize=all")
    assert key(path, "data.standardize=elements") != key(path)
    odd = "data.path=uneven.npy"
    assert key(odd) == key(odd, "data.standardize=elements") != key(odd, "data.standardize=all")
    for given, word in ((path, "all"), (odd, "elements")):
        made = tiny_runs.compose_experiment("data=points", given)
        assert made.task.config["data"]["standardize"] == word
        assert f"standardize: {word}\n" in made.task.config_text


def test_a_class_of_data_says_its_layout() -> None:
    shapes = {(4,): "points", (3, 8, 8): "image", (2, 3): "series", (1, 2, 3, 4): "volume"}
    for shape, layout in shapes.items():
        law = Gaussian(0.0, [1.0] * math.prod(shape))
        made: StandardizedData = ToyData(lambda law=law: law, shape=shape)
        assert made.layout == layout
