"""Grids: N + 1 nodes that fall strictly to exactly 0, by each rule."""

import math
from collections.abc import Callable
from functools import partial

import mpmath as mp
import numpy as np
import pytest
import torch
from torch import Tensor

from fokker.diffusion.grids import (
    IDDPM,
    EDMRho,
    Geometric,
    Grid,
    Levels,
    QuadraticTime,
    Spectral,
    UniformTime,
)
from fokker.diffusion.samplers import DPMpp2M, sampled_std
from fokker.diffusion.sde import EDM, SDE, VESqrt, VPLinear
from sdes import SDES


def spectral(**ends: float) -> Grid:
    """For data of two scales, and a sampler."""
    eigenvalues = torch.tensor([0.01, 0.4], dtype=torch.float64)
    return Spectral(**ends).fitted(lambda: eigenvalues, partial(sampled_std, DPMpp2M(EDM(), 9)))


MakeGrid = Callable[..., Grid]
GRIDS: dict[str, MakeGrid] = {
    "edm_rho": EDMRho,
    "uniform_time": UniformTime,
    "quadratic_time": QuadraticTime,
    "geometric": Geometric,
    "iddpm": IDDPM,
    "levels": Levels,
    "spectral": spectral,
}
CHAIN = torch.logspace(-1.9, 1.8, 300, dtype=torch.float64)
TRAINED = float(CHAIN[0]), float(CHAIN[-1])

each_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
each_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
each_smooth_grid = pytest.mark.parametrize("grid", [EDMRho, UniformTime, QuadraticTime, Geometric])


def nodes_of_iddpm() -> np.ndarray:
    """EDM's table 1 in plain Python floats."""
    m, c1, c2 = 1000, 0.001, 0.008
    bars = [math.sin(0.5 * math.pi * j / m / (c2 + 1)) ** 2 for j in range(m + 1)]
    nodes = [0.0] * (m + 1)
    for j in range(m, 0, -1):
        nodes[j - 1] = math.sqrt((nodes[j] ** 2 + 1) / max(bars[j - 1] / bars[j], c1) - 1)
    return np.array(nodes)


@each_grid
@each_sde
@pytest.mark.parametrize("num_steps", [1, 2, 3, 18, 250])
def test_nodes_fall_strictly_to_zero(grid: MakeGrid, sde: SDE, num_steps: int) -> None:
    sigmas = grid()(num_steps, sde, TRAINED, CHAIN)
    assert sigmas.shape == (num_steps + 1,)
    assert sigmas.dtype == torch.float64
    assert (sigmas.diff() < 0).all()
    assert sigmas[-1] == 0
    assert torch.isfinite(sigmas).all()


@each_smooth_grid
@each_sde
@pytest.mark.parametrize(
    "trained", [(0.0, math.inf), TRAINED, (0.0013, 20.0)], ids=["unbounded", "chain", "other"]
)
def test_the_ends_are_those_of_sde_and_training(
    grid: MakeGrid, sde: SDE, trained: tuple[float, float]
) -> None:
    low, high = max(sde.sigma_min, trained[0]), min(sde.sigma_max, trained[1])
    sigmas = grid()(30, sde, trained)
    assert float(sigmas[0]) == pytest.approx(high, rel=1e-9)
    assert float(sigmas[-2]) == pytest.approx(low, rel=1e-9)
    # One step begins at the highest noise; there is no lowest.
    assert grid()(1, sde, trained).tolist() == [pytest.approx(high, rel=1e-9), 0]


@each_smooth_grid
def test_given_ends_are_used(grid: MakeGrid) -> None:
    sigmas = grid(sigma_min=0.5, sigma_max=9.0)(10, EDM(), (0.01, 50.0))
    assert sigmas[[0, -2]].tolist() == pytest.approx([9.0, 0.5], rel=1e-9)
    sigmas = grid(sigma_min=0.5)(10, EDM(), (0.01, 50.0))
    assert sigmas[[0, -2]].tolist() == pytest.approx([50.0, 0.5], rel=1e-9)
    sigmas = grid(sigma_max=9.0)(10, EDM(), (0.01, 50.0))
    assert sigmas[[0, -2]].tolist() == pytest.approx([9.0, 0.01], rel=1e-9)


@pytest.mark.parametrize("grid", [EDMRho, UniformTime, QuadraticTime, Geometric, IDDPM, spectral])
@pytest.mark.parametrize(
    ("ends", "key"),
    [
        ({"sigma_min": 0.001}, "sigma_min"),
        ({"sigma_min": 0.009}, "sigma_min"),
        ({"sigma_min": 0.0}, "sigma_min"),
        ({"sigma_min": 60.0}, "sigma_min"),
        ({"sigma_max": 60.0}, "sigma_max"),
        ({"sigma_max": 90.0}, "sigma_max"),
        ({"sigma_max": 0.005}, "sigma_max"),
    ],
)
def test_given_ends_outside_are_refused(grid: MakeGrid, ends: dict[str, float], key: str) -> None:
    """Outside the SDE's range, the trained one, or both."""
    with pytest.raises(ValueError, match=rf"grid\.{key} must lie in 0\.01 to 50"):
        grid(**ends)(5, EDM(), (0.01, 50.0))


def test_reversed_ends_are_refused() -> None:
    with pytest.raises(ValueError, match=r"grid\.sigma_min must be below sigma_max=0\.5, got 2"):
        EDMRho(sigma_min=2.0, sigma_max=0.5)(5, EDM())


@each_grid
@pytest.mark.parametrize("num_steps", [0, -3])
def test_no_steps_are_refused(grid: MakeGrid, num_steps: int) -> None:
    message = rf"sampler\.num_steps must be at least 1, got {num_steps}"
    with pytest.raises(ValueError, match=message):
        grid()(num_steps, VPLinear(), TRAINED, CHAIN)


def test_ranges_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"do not overlap; change sde\.sigma_min"):
        EDMRho()(5, EDM(), (100.0, 200.0))


def test_edm_rho_is_the_published_formula() -> None:
    """N = 18 and 0.002 to 80, in 30 digits."""
    with mp.workdps(30):
        seventh = mp.mpf(1) / 7
        high, low = mp.mpf(80) ** seventh, mp.mpf(0.002) ** seventh
        exact = [float((high + mp.mpf(i) / 17 * (low - high)) ** 7) for i in range(18)]
    sigmas = EDMRho()(18, EDM())
    assert sigmas[:-1].tolist() == pytest.approx(exact, rel=1e-12)


def test_edm_rho_of_one_is_a_straight_line() -> None:
    sigmas = EDMRho(rho=1.0)(20, EDM())[:-1]
    torch.testing.assert_close(sigmas.diff(), torch.full((19,), -79.998 / 19).double())


@each_sde
def test_uniform_time_is_uniform_in_t(sde: SDE) -> None:
    t = sde.time(UniformTime()(40, sde)[:-1])
    torch.testing.assert_close(t.diff(), t.diff().mean().expand(39), rtol=1e-8, atol=0)


@each_sde
def test_quadratic_time_is_uniform_in_the_root_of_t(sde: SDE) -> None:
    t = sde.time(QuadraticTime()(40, sde)[:-1])
    root = t.clamp(min=0).sqrt()
    torch.testing.assert_close(root.diff(), root.diff().mean().expand(39), rtol=1e-6, atol=1e-9)


@each_sde
def test_geometric_has_constant_ratios(sde: SDE) -> None:
    sigmas = Geometric()(40, sde)[:-1]
    ratios = sigmas[1:] / sigmas[:-1]
    torch.testing.assert_close(ratios, ratios.mean().expand(39), rtol=1e-10, atol=0)


def test_iddpm_is_edms_table() -> None:
    nodes = nodes_of_iddpm()
    first = int(np.abs(nodes - 80).argmin())
    assert first == 8  # as EDM gives it
    for num_steps in (2, 18, 79, 500, 992):
        index = [
            math.floor(first + (999 - first) * i / (num_steps - 1) + 0.5) for i in range(num_steps)
        ]
        sigmas = IDDPM()(num_steps, EDM())
        assert sigmas[:-1].tolist() == pytest.approx(nodes[index].tolist(), rel=1e-9)
    assert float(IDDPM()(1, EDM())[0]) == pytest.approx(nodes[8], rel=1e-9)


def test_iddpm_refuses_more_steps_than_levels() -> None:
    with pytest.raises(ValueError, match=r"sampler\.num_steps must be at most 992.*got 993"):
        IDDPM()(993, EDM())
    with pytest.raises(ValueError, match=r"raise grid\.num_levels"):
        IDDPM(num_levels=50)(50, EDM())
    with pytest.raises(ValueError, match=r"grid\.num_levels must be at least 2, got 1"):
        IDDPM(num_levels=1)


def test_iddpm_ends_at_the_level_nearest_to_the_lowest_noise() -> None:
    nodes = nodes_of_iddpm()
    sigmas = IDDPM()(10, VESqrt(), (0.3, 20.0))
    for got, end in [(sigmas[0], 20.0), (sigmas[-2], 0.3)]:
        assert float(got) == pytest.approx(nodes[np.abs(nodes - end).argmin()], rel=1e-9)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 100, 150, 299, 300])
def test_levels_takes_every_so_many_of_the_chain(num_steps: int) -> None:
    sigmas = Levels()(num_steps, VPLinear(), TRAINED, CHAIN)
    index = [round(299 - 299 * i / (num_steps - 1)) if i else 299 for i in range(num_steps)]
    assert sigmas[:-1].tolist() == CHAIN[index].tolist()
    if num_steps == 300:
        assert torch.equal(sigmas[:-1], CHAIN.flip(0))


def test_levels_refuses_what_the_chain_has_not() -> None:
    with pytest.raises(ValueError, match=r"sampler\.num_steps must be at most.*=300.*got 301"):
        Levels()(301, VPLinear(), TRAINED, CHAIN)
    with pytest.raises(ValueError, match="grid=levels needs a formulation with levels"):
        Levels()(10, VPLinear(), TRAINED, None)


@each_smooth_grid
def test_more_nodes_than_numbers_between_the_ends_are_refused(grid: type[Grid]) -> None:
    with pytest.raises(ValueError, match=r"sampler\.num_steps=300 asks for .* distinct"):
        grid(sigma_min=1.0, sigma_max=1 + 2.0**-48)(300, EDM())
    assert (grid(sigma_min=1.0, sigma_max=1.001)(300, EDM()).diff() < 0).all()


def test_the_ends_of_rho_give_nodes() -> None:
    for rho in (0.1, 1000.0):
        sigmas = EDMRho(rho)(300, EDM(sigma_min=1e-8, sigma_max=1e8))
        assert (sigmas.diff() < 0).all()
        assert sigmas[[0, -2]].tolist() == pytest.approx([1e8, 1e-8], rel=1e-10)


# 80^1000 is no number, and 80^1e-17 is 1.
@pytest.mark.parametrize("value", [0.0, -7.0, math.nan, 0.001, 1e17, math.inf])
def test_bad_rho_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"grid\.rho must be positive"):
        EDMRho(rho=value)


@pytest.mark.parametrize("grid", [EDMRho, UniformTime, QuadraticTime, Geometric, spectral])
def test_a_chain_does_not_change_other_grids(grid: MakeGrid) -> None:
    with_chain: Tensor = grid()(20, VPLinear(), TRAINED, CHAIN)
    assert torch.equal(with_chain, grid()(20, VPLinear(), TRAINED))


@pytest.mark.parametrize("grid", [g for g in GRIDS.values() if g is not spectral])
def test_a_rule_does_not_ask_for_the_data(grid: MakeGrid) -> None:
    made = grid()

    def eigenvalues() -> Tensor:
        raise AssertionError("asked")

    assert made.fitted(eigenvalues, None) is made
