"""Files whose points come more than once: a run ends with its samples and with what makes sense."""

import math
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

import fokker
import tiny_runs
from fokker.experiment.metric_names import measures_of
from fokker.machine.files import read_json


def made(name: str) -> np.ndarray:
    """Points that repeat, around a mean that is not 0."""
    random = np.random.default_rng(3)
    image = 40 + 90 * random.random((2, 4, 4))
    kinds = {
        "one_hot": np.eye(5)[random.integers(0, 5, 100)],
        "binary": random.integers(0, 2, (100, 1)),
        "counts": random.poisson(3.0, (100, 1)),
        "two_images": image.repeat(50, axis=0),
        "rows_20_times": random.normal(3, 2, (10, 3)).repeat(20, axis=0),
        "one_image": image[:1].repeat(100, axis=0),
        "constant_column": np.insert(random.normal(3, 2, (100, 2)), 1, 7.0, axis=1),
    }
    return kinds[name]


def stored(name: str) -> tuple[str, str]:
    np.save("points.npy", made(name))
    return "data=points", "data.path=points.npy"


@pytest.mark.parametrize(
    ("name", "formulation"),
    [
        *(("one_image", formulation) for formulation in ("edm", "ddpm", "smld", "vp_sde")),
        ("one_hot", "smld"), ("binary", "edm"), ("counts", "vp_sde"), ("two_images", "ddpm"),
        ("rows_20_times", "edm"), ("constant_column", "smld"),
    ],
)  # fmt: skip
def test_a_run_ends_with_its_samples(
    workdir: Path, capsys: pytest.CaptureFixture[str], name: str, formulation: str
) -> None:
    result = tiny_runs.run(
        *stored(name), f"formulation={formulation}", "callbacks.validation_steps=10",
        "sampler.num_steps=20", "data.batch_size=32",
    )  # fmt: skip
    assert read_json(result.path / "run.json")["status"] == "completed"
    with np.load(result.path / "samples.npz") as content:
        assert content["samples"].shape == (100, *made(name).shape[1:])
    numbers = [value for value in result.metrics.values() if value is not None]
    assert all(math.isfinite(value) for value in numbers)
    assert {"sliced_w2", "energy_distance", "floor", "held_out_loss"} <= result.metrics.keys()
    said = capsys.readouterr().out
    if name == "constant_column":
        assert result.metrics["nearest_neighbour_ratio"] > 0
        return
    assert "nearest_neighbour_ratio" not in result.metrics
    held_out = round(0.2 * len(made(name)))
    assert (
        f"no nearest_neighbour_ratio: {held_out} of {held_out} held-out points are training points "
        "too; memorisation is measured where at most 1% are\n"
    ) in said


def test_a_loss_on_equal_points_is_all_excess(workdir: Path) -> None:
    """They are known before a network sees anything, so that every error can be avoided."""
    result = tiny_runs.run(*stored("one_image"))
    metrics, columns = result.metrics, tiny_runs.levels(result.path).columns
    assert columns["floor"] == [0] * 16
    assert metrics["floor"] == 0
    # The same points in other noise.
    assert columns["excess"] == pytest.approx(columns["held_out"], rel=0.3)
    assert metrics["excess"] == pytest.approx(metrics["held_out_loss"], rel=0.1)


def test_the_ideal_denoiser_of_equal_points_gives_them_back(workdir: Path) -> None:
    """The one run here that draws its figures: of its losses, which are all 0, there is none."""
    job = tiny_runs.tiny(*stored("one_image"), "network=exact", "evaluation.num_samples=20")
    result = fokker.run(job)
    image = torch.from_numpy(made("one_image")[0])
    torch.testing.assert_close(result.samples, image.expand(20, 4, 4), rtol=0, atol=1e-4)
    assert result.metrics["denoising_error"] == pytest.approx(0, abs=1e-12)
    drawn = {path.stem for path in (result.path / "figures").iterdir()}
    assert drawn == {"samples", "trajectory"}


def test_levels_of_equal_points_reach_as_far_as_their_elements_vary(workdir: Path) -> None:
    model = tiny_runs.compose_experiment(*stored("one_image"), "formulation=smld").model
    assert model.levels is not None
    assert float(model.levels[-1]) == pytest.approx(0.5 * math.sqrt(2 * 16))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("evaluation=likelihood",), "evaluation=likelihood needs data that vary, for equal"),
        (("grid=spectral",), "grid=spectral needs data that vary, got"),
    ],
)
def test_what_equal_points_do_not_have_is_refused_before_a_training(
    workdir: Path, overrides: tuple[str, ...], sentence: str
) -> None:
    with (
        mock.patch.object(sys.modules["fokker.training.fit"], "obtain") as training,
        pytest.raises(ValueError, match=sentence),
    ):
        tiny_runs.run(*stored("one_image"), *overrides)
    training.assert_not_called()
    assert {path.name for path in workdir.iterdir()} == {"points.npy"}


def test_the_ratio_is_promised_before_a_training_where_it_will_be_measured(workdir: Path) -> None:
    """By all held-out points, of which 1% may be training points, and not by the first few."""
    array = np.random.default_rng(4).normal(3, 2, (1_000, 2))
    np.save("points.npy", array)
    job = ("data=points", "data.path=points.npy", "evaluation.num_samples=500")
    data = tiny_runs.compose_experiment(*job).model.data
    training, held_out = data.training_points(), data.held_out(3).x
    assert training is not None
    for repeated, is_promised in ((2, True), (3, False)):
        again = array.copy()
        for row, other in zip(held_out[:repeated].numpy(), training.numpy()):
            again[(array == row).all(axis=1)] = other
        np.save("points.npy", again)
        promised = measures_of(tiny_runs.compose_experiment(*job))
        assert ("nearest_neighbour_ratio" in promised) is is_promised
