"""The chains of levels: DDPM's, under any SDE, and SMLD's."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fokker.data import PointsFile, StandardizedData, ToyData
from fokker.diffusion import noise_levels, preconditioning, sde, weighting
from fokker.diffusion.formulations import DDPM, EDM, SMLD, Diffusion
from fokker.diffusion.formulations.start import max_distance
from fokker.distributions import Gaussian, Uniform
from fokker.networks import MLP


def build(make: type[Diffusion], data: StandardizedData | None = None, **parts: Any) -> Diffusion:
    given = {
        "data": data or ToyData(partial(Uniform, low=0.0, high=1.0, dim=1)),
        "network": partial(MLP, width=4, depth=1),
        "preconditioning": preconditioning.VP(),
        "weighting": weighting.Eps(),
        "noise_levels": noise_levels.Levels(),
        "seed": 0,
    }
    return make(**{**given, **parts})


def ddpm(num_levels: int, of: sde.SDE | None = None) -> np.ndarray:
    levels = build(DDPM, sde=of or sde.VPLinear(), num_levels=num_levels).levels
    assert levels is not None
    assert levels.dtype == torch.float64
    return levels.numpy()


def naive_levels(squares: np.ndarray) -> np.ndarray:
    """sigma_k = std_k/alpha_k by products over the chain, step by step."""
    levels, alpha_squared = [], 1.0
    for square in squares:
        alpha_squared *= 1 - square
        levels.append(math.sqrt(1 - alpha_squared) / math.sqrt(alpha_squared))
    return np.array(levels)


def test_a_thousand_levels_are_ho_s() -> None:
    expected = naive_levels(np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_allclose(ddpm(1000), expected, rtol=1e-10)
    assert expected[0] == pytest.approx(0.0100005, rel=1e-5)
    assert expected[-1] == pytest.approx(157.4, rel=1e-3)


@pytest.mark.parametrize("count", [21, 100, 4000])
def test_other_numbers_of_levels_keep_the_sum_of_the_betas(count: int) -> None:
    k = np.arange(1, count + 1)
    squares = (0.1 + 19.9 * (k - 1) / (count - 1)) / count
    np.testing.assert_allclose(ddpm(count), naive_levels(squares), rtol=1e-9)
    # The end is of the same noise, up to what a coarse chain adds.
    if count >= 1000:
        assert math.log(ddpm(count)[-1]) == pytest.approx(math.log(152.2), abs=0.05)


def test_the_chain_has_the_betas_of_its_sde() -> None:
    squares = np.linspace(0.5, 8.0, 50) / 50
    np.testing.assert_allclose(
        ddpm(50, sde.VPLinear(beta_min=0.5, beta_max=8.0)), naive_levels(squares), rtol=1e-10
    )


@pytest.mark.parametrize("count", [20, 10, 2])
def test_too_few_levels_are_refused(count: int) -> None:
    with pytest.raises(
        ValueError, match=rf"formulation\.num_levels must be above 20 .*num_levels={count} "
    ):
        ddpm(count)


@pytest.mark.parametrize("count", [1, 0, -3])
def test_a_chain_has_two_levels_at_least(count: int) -> None:
    sentence = rf"formulation\.num_levels must be at least 2, got {count}"
    with pytest.raises(ValueError, match=sentence):
        ddpm(count)
    with pytest.raises(ValueError, match=sentence):
        build(SMLD, num_levels=count)


@pytest.mark.parametrize(
    ("of", "times"),
    [
        # The ends of each range as times, by hand.
        (sde.VEGeometric(), (0.0, 1.0)),
        (sde.VEGeometric(0.1, 7.0), (0.0, 1.0)),
        (sde.EDM(), (0.002, 80.0)),
        (sde.VESqrt(), (0.02**2, 100.0**2)),
        (sde.VPOrnsteinUhlenbeck(), (math.log1p(0.002**2) / 2, math.log1p(80.0**2) / 2)),
        (sde.Rectified(), (0.002 / 1.002, 80 / 81)),
        (sde.SubVP(), (None, 1.0)),
        (sde.VPCosine(), (None, None)),
    ],
)
def test_under_another_sde_the_levels_are_uniform_in_its_time(
    of: sde.SDE, times: tuple[float | None, float | None]
) -> None:
    levels = ddpm(37, of)
    assert levels[0] == pytest.approx(of.sigma_min, rel=1e-9)
    assert levels[-1] == pytest.approx(of.sigma_max, rel=1e-9)
    t = of.time(torch.from_numpy(levels)).numpy()
    np.testing.assert_allclose(np.diff(t), (t[-1] - t[0]) / 36, rtol=1e-6)
    for end, expected in zip((t[0], t[-1]), times):
        assert expected is None or end == pytest.approx(expected, rel=1e-6, abs=1e-12)


# SMLD ----------------------------------------------------------------------------------------


def smld(data: StandardizedData | None = None, **parts: Any) -> np.ndarray:
    levels = build(SMLD, data, **parts).levels
    assert levels is not None
    assert levels.dtype == torch.float64
    return levels.numpy()


@pytest.mark.parametrize("count", [2, 10, 232])
def test_smld_s_levels_are_geometric_between_their_ends(count: int) -> None:
    levels = smld(num_levels=count, sigma_min=0.03, sigma_max=47.0)
    assert len(levels) == count
    assert levels[0] == pytest.approx(0.03, rel=1e-12)
    assert levels[-1] == pytest.approx(47.0, rel=1e-12)
    np.testing.assert_allclose(levels[1:] / levels[:-1], (47.0 / 0.03) ** (1 / (count - 1)))


def test_smld_s_own_ends() -> None:
    levels = smld()
    assert len(levels) == 100
    assert levels[0] == pytest.approx(0.02)
    # U[0, 1] at std 0.5 is sqrt(12)/2 = 1.732 wide, and 5,000 points nearly reach both ends.
    assert levels[-1] == pytest.approx(1.732, rel=2e-3)
    assert smld(sigma_max=9.0)[0] == pytest.approx(0.02)
    assert smld(sigma_min=0.5)[-1] == pytest.approx(1.732, rel=2e-3)


@pytest.mark.parametrize("dim", [1, 3])
def test_the_largest_level_is_the_largest_distance_in_the_units_of_the_model(
    workdir: Path, dim: int
) -> None:
    array = 50 + 20 * np.random.default_rng(1).standard_t(3, (90, dim))
    np.save("points.npy", array)
    data = PointsFile("points.npy", held_out_share=0.1)
    training = data.training_points().numpy()
    largest = max(math.sqrt(((one - other) ** 2).sum()) for one in training for other in training)
    assert smld(data)[-1] == pytest.approx(largest / (training.std() / 0.5), rel=1e-6)


def test_the_largest_distance_is_taken_over_five_thousand_points(workdir: Path) -> None:
    np.save("points.npy", np.arange(12_500.0)[:, None])
    # The lines of the file that come last among the 5,000, and after them.
    last, after = PointsFile("points.npy").training_points()[4_999:5_001, 0].long().tolist()
    array = np.random.default_rng(1).uniform(size=(12_500, 1))
    array[last], array[after] = 30.0, -500.0
    np.save("points.npy", array)
    data = PointsFile("points.npy")
    assert smld(data)[-1] == pytest.approx(30 / data.scale, rel=1e-3)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 3.0), (-1.0, 3.0), (3.0, 3.0), (4.0, 3.0), (2.0, None)]
)
def test_a_reversed_range_is_refused(low: float, high: float | None) -> None:
    with pytest.raises(
        ValueError, match=rf"formulation\.sigma_min must be positive and below .*got {low:g}"
    ):
        smld(sigma_min=low, sigma_max=high)


# Levels and the rest -------------------------------------------------------------------------


def test_training_noise_is_that_of_the_chain_and_of_nothing_else() -> None:
    model = build(DDPM, sde=sde.VPLinear(), num_levels=64)
    assert model.levels is not None
    data_batch = model.data.batch_size
    rows, batch = range(data_batch), model.fetch(0, data_batch)
    drawn = torch.cat([model.draws(step, rows, batch).level for step in range(4)])
    assert len(drawn) == 4 * data_batch
    levels, counts = drawn.unique(return_counts=True)
    # 256 stratified draws over 64 levels: four of each in every batch.
    assert torch.equal(levels, model.levels)
    assert counts.tolist() == [16] * 64


def test_levels_need_a_formulation_that_has_them() -> None:
    with pytest.raises(ValueError, match="noise_levels=levels needs a formulation with levels"):
        build(EDM)


def test_a_chain_may_be_trained_with_other_noise() -> None:
    model = build(SMLD, noise_levels=noise_levels.LogNormal())
    assert model.levels is not None
    assert model.noise_levels.levels is None


def test_weightings_that_most_of_the_noise_does_not_count_in_are_warned_of() -> None:
    parts = {"weighting": weighting.Likelihood(sde.EDM()), "preconditioning": preconditioning.EDM()}
    with pytest.warns(UserWarning, match=r"of the training noise counts.*noise_levels=log_uniform"):
        build(EDM, noise_levels=noise_levels.LogNormal(), **parts)


def test_the_data_may_be_of_any_law() -> None:
    wide = ToyData(partial(Gaussian, mean=[5.0, 0.0], std=[3.0, 1.0]))
    assert smld(wide)[-1] == pytest.approx(max_distance(wide))
