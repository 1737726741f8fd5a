"""The Gaussian with the mean and covariance of the data, in their place."""

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

import tiny_runs
from fokker.data import FiniteData, StandardizedData, ToyData, gaussianized
from fokker.diffusion.formulations.start import start_law

NUMBER = 200_000


def data_of(*overrides: str) -> StandardizedData:
    data: StandardizedData = tiny_runs.compose_experiment("network=exact", *overrides).model.data
    return data


def moments(points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    flat = points.flatten(1).double().numpy()
    return flat.mean(0), np.atleast_2d(np.cov(flat.T, bias=True))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["ring8", "two_moons", "digits", "mixture"])
def test_it_has_mean_and_covariance_of_the_data(name: str) -> None:
    plain, data = data_of(f"data={name}"), data_of(f"data={name}", "data.gaussianize=true")
    assert isinstance(data, ToyData)
    assert data.fresh
    assert data.training_points() is None
    assert data.shape == plain.shape
    assert (data.batch_size, data.sigma_data) == (plain.batch_size, plain.sigma_data)
    # Digits are a finite set whose moments are its own; of the others as many points are drawn.
    training = plain.training_points()
    chance = 5 / math.sqrt(NUMBER)
    points = plain.held_out(NUMBER).x if training is None else training
    count = len(points) if training is None else NUMBER
    mean, covariance = moments(points)
    drawn_mean, drawn_covariance = moments(data.held_out(count).x)
    std = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(drawn_mean, mean, atol=1.5 * chance * std.max(), rtol=0)
    # The variance of a product of two Gaussians is at most twice that of its factors.
    unit = 2 * 2 * chance * np.outer(std, std) + 1e-12
    assert bool((np.abs(drawn_covariance - covariance) < unit).all())
    if name == "two_moons":  # What is not there cannot be tested.
        assert abs(covariance[0, 1]) > 20 * chance * std[0] * std[1]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["ring8", "two_moons", "digits", "uniform"])
def test_it_is_in_the_same_units_as_the_data(name: str) -> None:
    plain, data = data_of(f"data={name}"), data_of(f"data={name}", "data.gaussianize=true")
    assert data.shift == pytest.approx(plain.shift, abs=1e-9)
    assert data.scale == pytest.approx(plain.scale, rel=1e-9)
    torch.testing.assert_close(start_law(data).mean, start_law(plain).mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(start_law(data).variance, start_law(plain).variance, rtol=1e-9,
                               atol=1e-9)  # fmt: skip


@pytest.mark.parametrize(
    "changes", [("data.standardize=false",), ("data.sigma_data=0.8",), ("data.batch_size=7",)]
)
def test_it_keeps_what_was_asked_of_the_data(changes: tuple[str, ...]) -> None:
    plain = data_of("data=two_moons", *changes)
    data = data_of("data=two_moons", "data.gaussianize=true", *changes)
    assert data.standardize == plain.standardize
    assert data.sigma_data == pytest.approx(plain.sigma_data, rel=1e-9)
    assert data.batch_size == plain.batch_size
    assert (data.shift, data.scale) == pytest.approx((plain.shift, plain.scale), abs=1e-9)


def test_images_stay_images() -> None:
    data = data_of("data=digits", "data.gaussianize=true")
    assert data.shape == (1, 8, 8)
    assert data.batch(0, 5).x.shape == data.held_out(5).x.shape == (5, 1, 8, 8)
    # A pixel that is 0 in every digit stays 0, and others leave the range of grey levels.
    assert data.levels is None
    points = data.held_out(1000).x
    assert float(points[:, 0, 0, 0].abs().max()) < 1e-6
    assert float(points.min()) < 0
    # Pixel by pixel in its own place.
    plain = data_of("data=digits").training_points()
    assert plain is not None
    error = 5 * plain.std(0) / math.sqrt(1000)
    assert bool(((points.mean(0) - plain.mean(0)).abs() <= error + 1e-6).all())


def test_points_are_functions_of_seed_and_number() -> None:
    job = ("data=two_moons", "data.gaussianize=true")
    one, same, other = data_of(*job), data_of(*job), data_of(*job, "seed=3")
    assert torch.equal(one.batch(0, 50).x[20:30], same.batch(20, 30).x)
    assert not torch.equal(one.batch(0, 50).x, other.batch(0, 50).x)
    assert torch.equal(one.held_out(50).x, other.held_out(50).x)


class Listed(FiniteData):
    """Three points on a line in the plane, and their mirror images."""

    def load(self) -> Tensor:
        points = torch.tensor([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]], dtype=torch.float64)
        return torch.cat([points, -points])


class Unknown(Listed):
    """Data that tell nothing of themselves but batches."""

    law = None

    def training_points(self) -> None:  # type: ignore[override]
        return None


def test_a_covariance_without_full_rank_is_kept() -> None:
    plain = Listed()
    data = gaussianized(plain)
    points = data.held_out(1000).x
    mean = plain.training_points().mean(0)
    across = (points - mean) @ torch.tensor([2.0, -1.0], dtype=torch.float64)
    assert float(across.abs().max()) < 1e-5
    expected = plain.training_points().var(0, correction=0)
    torch.testing.assert_close(points.var(0), expected, rtol=0.3, atol=0)


def test_data_of_no_known_law_are_refused() -> None:
    with pytest.raises(ValueError) as error:
        gaussianized(Unknown())
    for part in ("data.gaussianize=true", "training_points or a law", "got Unknown"):
        assert part in str(error.value)


# Samples of it ------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("sampler", ["heun", "ancestral"])
def test_many_samples_are_as_far_off_as_the_exact_w2_says(workdir: Path, sampler: str) -> None:
    """W2 of Gaussians (Dowson & Landau) of the samples' own moments, by scipy's matrix root."""
    result = tiny_runs.run(
        "data=two_moons", "data.gaussianize=true", "network=exact", f"sampler={sampler}",
        "sampler.num_steps=4", "evaluation.num_samples=40000", "evaluation.budget_points=0",
        "grid=geometric",
    )  # fmt: skip
    law = result.model.data.law
    assert law is not None
    mean, covariance = moments(result.samples)
    exact = law.covariance.numpy()
    cross = np.asarray(scipy.linalg.sqrtm(exact @ covariance)).real
    squared = np.trace(exact + covariance - 2 * cross)
    squared += ((law.mean.numpy() - mean) ** 2).sum()
    std = math.sqrt(np.trace(exact))
    assert result.metrics["w2"] > 10 * std / math.sqrt(40_000)
    chance = 4 * std / math.sqrt(40_000)
    assert math.sqrt(squared) == pytest.approx(result.metrics["w2"], abs=chance)
