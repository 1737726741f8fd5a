"""Toy data: exact standardisation, points as functions of (seed, index), finite sets of them."""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import scipy.spatial
import scipy.stats
import torch
from omegaconf import OmegaConf
from torch import Tensor

from fokker.config.build_data import build_data
from fokker.config.compose import config_dir
from fokker.config.instantiate import Builder
from fokker.data import ToyData
from fokker.diffusion.formulations.start import max_distance, start_law
from fokker.distributions import Gaussian, GaussianMixture, Torus, Uniform

FILES = sorted((config_dir() / "data").glob("*.yaml"))
OPTIONS = [f.stem for f in FILES if OmegaConf.load(f)["_target_"] == "fokker.data.ToyData"]


def option(name: str, seed: int = 0, **changes: Any) -> ToyData:
    """The data of a configuration file."""
    node = OmegaConf.load(config_dir() / "data" / f"{name}.yaml")
    config = OmegaConf.create({"seed": seed, "data": OmegaConf.merge(node, changes)})
    data = build_data(config, Builder())
    assert isinstance(data, ToyData)
    return data


def plane(**arguments: Any) -> ToyData:
    """A law in two dimensions whose means and deviations are neither 0 nor 1 nor equal."""
    return ToyData(partial(Gaussian, mean=[3.0, -1.0], std=[0.2, 4.0]), **arguments)


def test_the_options_are_all_here() -> None:
    assert set(OPTIONS) == {
        "checkerboard", "gaussian", "mixture", "ring8", "swiss_roll", "torus", "two_moons",
        "uniform",
    }  # fmt: skip


# Standardisation -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_standardised_by_its_exact_moments(name: str) -> None:
    data = option(name)
    mean, variance = start_law(data).mean, start_law(data).variance
    assert mean.shape == variance.shape == data.shape
    assert float(mean.mean()) == pytest.approx(0, abs=1e-12)
    assert float((variance + mean**2).mean()) == pytest.approx(0.25, rel=1e-12)
    assert data.sigma_data == 0.5
    # The points themselves, by their own numbers: within five standard errors.
    points = data.batch(0, 40_960).x.double()
    assert points.shape == (40_960, *data.shape)
    error = 5 / math.sqrt(40_960)
    assert float(points.mean()) == pytest.approx(0, abs=0.5 * error)
    squares = points.square().mean(1)
    assert float(squares.mean()) == pytest.approx(0.25, abs=error * float(squares.std()))
    each = points.mean(0)
    torch.testing.assert_close(each, mean, atol=error, rtol=0)
    torch.testing.assert_close(points.var(0), variance, atol=2 * error, rtol=0)


def moments_by_hand() -> dict[str, tuple[ToyData, float, float]]:
    """Laws with the mean and variance over all their elements, worked out on paper."""
    box = partial(Uniform, low=[-1.0, 4.0], high=[3.0, 4.5], dim=2)
    mixture = partial(GaussianMixture, weights=[0.3, 0.7], means=[-1.0, 1.4], stds=[0.2, 0.4])
    # Uniform in area: E (R + r cos)^2 = R^2 + 3/2 r^2 is shared by x and y, E z^2 = r^2/2.
    torus = partial(Torus, major=2.0, minor=0.5, std=0.0)
    return {
        # Coordinates of mean 1 and 4.25: their distance of 3.25 counts as spread.
        "box": (
            ToyData(box),
            2.625,
            (16 / 12 + 0.25 / 12) / 2 + 1.625**2,
        ),
        "plane": (plane(), 1.0, (0.04 + 16.0) / 2 + 4.0),
        "mixture": (ToyData(mixture), 0.68, 0.3 * 0.04 + 0.7 * 0.16 + 0.21 * 2.4**2),
        "torus": (ToyData(torus), 0.0, (4.0 + 2 * 0.25) / 3),
    }


@pytest.mark.parametrize("name", ["box", "plane", "mixture", "torus"])
def test_shift_and_scale_are_one_pair_for_all_coordinates(name: str) -> None:
    data, mean, variance = moments_by_hand()[name]
    assert data.shift == pytest.approx(mean, abs=1e-9)
    assert data.scale == pytest.approx(2 * math.sqrt(variance), rel=1e-9)
    assert data.measured == (pytest.approx(mean, abs=1e-9), pytest.approx(math.sqrt(variance)))


def test_the_deviation_in_the_units_of_the_model_can_be_chosen() -> None:
    data = plane(sigma_data=1.7)
    assert data.sigma_data == 1.7
    mean, variance = start_law(data).mean, start_law(data).variance
    assert float((variance + mean**2).mean()) == pytest.approx(1.7**2)


def test_without_standardisation_the_data_stay_and_their_deviation_is_measured() -> None:
    data, given = plane(standardize=False), plane(standardize=False, sigma_data=0.3)
    assert (data.shift, data.scale) == (given.shift, given.scale) == (0.0, 1.0)
    assert data.sigma_data == pytest.approx(math.sqrt(12.02))
    assert given.sigma_data == 0.3
    points = data.batch(0, 20_000).x
    torch.testing.assert_close(
        points.double().mean(0), torch.tensor([3.0, -1.0]).double(), atol=0.15, rtol=0
    )
    standardised = plane().batch(0, 20_000).x
    torch.testing.assert_close(points, plane().to_data(standardised).float())


def test_units_go_there_and_back() -> None:
    data = plane()
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert data.to_model(x).dtype == torch.float32
    assert data.to_data(data.to_model(x)).dtype == torch.float64
    torch.testing.assert_close(data.to_data(data.to_model(x)), x, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        data.to_data(torch.full((2,), -0.5)), torch.full((2,), 1.0).double() - 0.5 * data.scale
    )


# Points --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIONS)
def test_a_point_is_a_function_of_seed_and_index(name: str) -> None:
    whole = option(name, seed=7).batch(0, 9_000).x
    data = option(name, seed=7)
    cuts = [0, 1, 300, 4_096, 4_097, 8_999, 9_000]
    parts = list(itertools.pairwise(cuts))
    for start, stop in [*parts[::-1], *parts[::2], (17, 8_500)]:
        assert torch.equal(data.batch(start, stop).x, whole[start:stop])
    assert not torch.equal(option(name, seed=8).batch(0, 9_000).x, whole)
    assert whole.dtype == torch.float32


def test_no_fresh_point_comes_twice() -> None:
    data = option("uniform", seed=3)
    assert data.fresh
    assert data.training_points() is None
    points = torch.cat([data.batch(0, 10_000).x, data.batch(10_000, 20_000).x])
    assert len(points.double().unique()) > 19_990  # float32 has ties of its own


def test_a_caller_may_write_into_a_batch() -> None:
    for data in (option("uniform"), option("uniform", num_points=10)):
        before = data.batch(0, 8).x.clone()
        data.batch(0, 8).x.zero_()
        assert torch.equal(data.batch(0, 8).x, before)


# Finite sets ---------------------------------------------------------------------------------


def counts_in(points: Tensor, batch: Tensor) -> Tensor:
    """How often each point is in a batch; fails if the batch has any other."""
    equal = (batch[:, None] == points[None]).flatten(2).all(2)
    assert bool(equal.any(1).all())
    return equal.sum(0)


@pytest.mark.parametrize("num_points", [1, 7, 250])
def test_a_finite_set_comes_in_a_new_order_each_epoch(num_points: int) -> None:
    data = plane(num_points=num_points, seed=5)
    assert not data.fresh
    points = data.training_points()
    assert points is not None
    assert points.shape == (num_points, 2)
    known = data.to_model(points)
    epochs = [data.batch(e * num_points, (e + 1) * num_points).x for e in range(4)]
    for epoch in epochs:
        assert torch.equal(counts_in(known, epoch), torch.ones(num_points, dtype=torch.long))
    if num_points > 1:
        assert not torch.equal(epochs[0], epochs[1])
    # Batches that cross epochs, also larger than the set, are cut from the same stream.
    stream = torch.cat(epochs)
    for start, stop in [(0, 4 * num_points), (num_points // 2, 3 * num_points), (1, 2)]:
        assert torch.equal(data.batch(start, stop).x, stream[start:stop])


def test_no_points_of_a_stream_are_no_points() -> None:
    for num_points in (None, 5):
        assert plane(num_points=num_points).batch(7, 7).x.shape == (0, 2)


def test_a_smaller_set_is_the_beginning_of_a_larger_one_and_of_the_stream() -> None:
    small, large = plane(num_points=30).training_points(), plane(num_points=900).training_points()
    assert small is not None
    assert large is not None
    assert torch.equal(small, large[:30])
    assert torch.equal(plane().batch(0, 30).x, plane().to_model(small))
    other = plane(num_points=30, seed=1).training_points()
    assert other is not None
    assert not torch.equal(other, small)


def test_a_finite_set_is_standardised_by_the_law_not_by_its_points() -> None:
    assert (plane(num_points=3).shift, plane(num_points=3).scale) == (
        plane().shift,
        plane().scale,
    )


# What is not trained on ----------------------------------------------------------------------


@pytest.mark.parametrize("num_points", [None, 500])
def test_held_out_points_are_the_same_for_every_seed_and_never_trained_on(
    num_points: int | None,
) -> None:
    one, other = plane(seed=0, num_points=num_points), plane(seed=1, num_points=num_points)
    held_out = one.held_out(500).x
    assert held_out.dtype == torch.float64
    assert torch.equal(other.held_out(500).x, held_out)
    assert torch.equal(other.held_out(20).x, held_out[:20])
    for data in (one, other):
        assert not (data.batch(0, 500).x[:, None] == data.to_model(held_out)[None]).any()
    torch.testing.assert_close(
        plane().held_out(20_000).x.mean(0), torch.tensor([3.0, -1.0]).double(), atol=0.15, rtol=0
    )


def test_in_one_dimension_the_reference_is_the_law_s_quantiles() -> None:
    middles = (torch.arange(40).double() + 0.5) / 40
    uniform = ToyData(partial(Uniform, low=-1.0, high=3.0, dim=1)).reference(40)
    torch.testing.assert_close(uniform, (-1 + 4 * middles)[:, None])
    gaussian = ToyData(partial(Gaussian, mean=2.0, std=0.3)).reference(40)
    expected = torch.from_numpy(scipy.stats.norm.ppf(middles.numpy(), 2.0, 0.3))[:, None]
    torch.testing.assert_close(gaussian, expected)
    assert torch.equal(plane().reference(40), plane().held_out(40).x)


@pytest.mark.parametrize("num_points", [None, 300])
def test_the_largest_distance(num_points: int | None) -> None:
    data = plane(num_points=num_points)
    points = data.held_out(5_000).x if num_points is None else data.training_points()
    assert points is not None
    expected = scipy.spatial.distance.pdist(data.to_model(points).double().numpy()).max()
    assert max_distance(data) == pytest.approx(expected, rel=1e-6)


def test_the_largest_distance_of_the_unit_interval() -> None:
    assert max_distance(option("uniform")) == pytest.approx(math.sqrt(12) / 2, rel=2e-3)
    assert max_distance(option("uniform", high=70.0)) == pytest.approx(math.sqrt(12) / 2, rel=2e-3)


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: plane(num_points=0), "data.num_points must be at least 1 or null, got 0"),
        (lambda: plane(batch_size=0), "data.batch_size must be at least 1, got 0"),
        (lambda: plane(sigma_data=0.0), "data.sigma_data must be positive or null, got 0"),
        (lambda: plane(sigma_data=-2.0), "data.sigma_data must be positive or null, got -2"),
        (lambda: plane(sigma_data=math.nan), "data.sigma_data must be positive or null, got nan"),
        (lambda: plane(sigma_data=math.inf), "data.sigma_data must be positive or null, got inf"),
        (lambda: plane(sigma_data=1e-200), "data.sigma_data must .* got 1e-200; it is of the size"),
        (lambda: option("uniform", high=-1.0), "high"),
        (lambda: option("gaussian", std=-1.0), "std"),
    ],
)
def test_bad_values_are_refused(build: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build()
