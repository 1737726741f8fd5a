"""Any grid on any SDE: N + 1 nodes that fall strictly to exactly 0, or a refusal by its key."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from valid_parts import NOT_NUMBERS, check_named, examples, grids, powers, ranges, sdes

from fokker.diffusion.grids import (
    IDDPM,
    EDMRho,
    Geometric,
    Grid,
    Levels,
    QuadraticTime,
    UniformTime,
)
from fokker.diffusion.sde import EDM, SDE

REFUSALS = ("sampler.num_steps", "sde.sigma_min", "sde.sigma_max", "grid.sigma_min", "grid.rho")
steps = st.integers(1, 20) | st.integers(1, 600)


def check_nodes(nodes: Tensor, num_steps: int) -> None:
    assert nodes.shape == (num_steps + 1,)
    assert nodes.dtype == torch.float64
    assert torch.isfinite(nodes).all()
    assert (nodes.diff() < 0).all()
    assert nodes[-1] == 0


@given(st.data(), sdes(), steps)
@examples(125)
def test_nodes_fall_strictly_to_zero(data: st.DataObject, sde: SDE, num_steps: int) -> None:
    grid = data.draw(grids(sde))
    try:
        nodes = grid(num_steps, sde)
    except ValueError as error:
        check_named(error, REFUSALS)
    else:
        check_nodes(nodes, num_steps)
        if not isinstance(grid, IDDPM):
            wide = 1 + 1e-6
            assert sde.sigma_min / wide <= float(nodes[-2]) <= float(nodes[0])
            assert float(nodes[0]) <= sde.sigma_max * wide


@given(st.data(), sdes(), ranges(), steps)
@examples(50)
def test_nodes_stay_where_the_model_was_trained(
    data: st.DataObject, sde: SDE, trained: tuple[float, float], num_steps: int
) -> None:
    grid = data.draw(grids(sde, given=False))
    try:
        nodes = grid(num_steps, sde, trained)
    except ValueError as error:
        check_named(error, REFUSALS)
    else:
        check_nodes(nodes, num_steps)
        if not isinstance(grid, IDDPM):
            low, high = max(sde.sigma_min, trained[0]), min(sde.sigma_max, trained[1])
            assert low / (1 + 1e-6) <= float(nodes[-2])
            assert float(nodes[0]) <= high * (1 + 1e-6)


@given(st.sampled_from([EDMRho, UniformTime, QuadraticTime, Geometric]), sdes(), ranges())
@examples(30)
def test_one_more_step_keeps_the_ends(
    kind: type[Grid], sde: SDE, trained: tuple[float, float]
) -> None:
    try:
        few, many = (kind()(num_steps, sde, trained) for num_steps in (5, 6))
    except ValueError as error:
        check_named(error, REFUSALS)
        return
    torch.testing.assert_close(few[[0, -2]], many[[0, -2]], rtol=1e-6, atol=0)
    # And the nodes of one lie between those of the other.
    assert (many[1:-2] > few[1:-1]).all()
    assert (many[1:-2] < few[:-2]).all()


@given(sdes(), st.integers(1, 400), st.integers(2, 400), ranges())
@examples(30)
def test_levels_are_levels_of_the_chain(
    sde: SDE, num_steps: int, num_levels: int, ends: tuple[float, float]
) -> None:
    chain = torch.linspace(*map(math.log, ends), num_levels, dtype=torch.float64).exp()
    try:
        nodes = Levels()(num_steps, sde, ends, chain)
    except ValueError as error:
        assert num_steps > num_levels
        check_named(error, ["sampler.num_steps"])
    else:
        check_nodes(nodes, num_steps)
        assert torch.isin(nodes[:-1], chain).all()
        assert nodes[0] == chain[-1]
        assert num_steps == 1 or nodes[-2] == chain[0]


# Refusals -----------------------------------------------------------------------------------------


@given(st.sampled_from([EDMRho, UniformTime, QuadraticTime, Geometric, IDDPM]), st.data())
@examples(30)
def test_ends_outside_of_the_range_are_refused(kind: type[Grid], data: st.DataObject) -> None:
    outside = st.sampled_from([*NOT_NUMBERS, 0.0, -1.0]) | powers(1e-9, 1e-3) | powers(100, 1e9)
    key, value = data.draw(st.sampled_from(["sigma_min", "sigma_max"])), data.draw(outside)
    with pytest.raises(ValueError) as caught:
        kind(**{key: value})(data.draw(steps), EDM())
    check_named(caught.value, [f"grid.{key}"])


@given(st.floats(allow_nan=True, allow_infinity=True) | powers(1e-300, 1e300), steps, sdes())
@examples(75)
def test_any_rho_gives_nodes_or_is_refused(rho: float, num_steps: int, sde: SDE) -> None:
    try:
        nodes = EDMRho(rho)(num_steps, sde)
    except ValueError as error:
        check_named(error, ["grid.rho"])
        assert not 0.1 <= rho <= 1000
    else:
        check_nodes(nodes, num_steps)


@given(st.data(), sdes(), st.integers(-5, 0))
@examples(15)
def test_no_steps_are_refused(data: st.DataObject, sde: SDE, num_steps: int) -> None:
    with pytest.raises(ValueError) as caught:
        data.draw(grids(sde))(num_steps, sde)
    check_named(caught.value, ["sampler.num_steps"])


@given(st.floats(1, 2), st.integers(0, 12), st.integers(1, 600), st.data())
@examples(50)
def test_ends_that_nearly_meet_give_nodes_or_are_refused(
    low: float, gap: int, num_steps: int, data: st.DataObject
) -> None:
    """A range of a few floating-point numbers has no room for many nodes."""
    high = low * (1 + 10.0**-gap)
    kind = data.draw(st.sampled_from([EDMRho, UniformTime, QuadraticTime, Geometric]))
    try:
        nodes = kind(sigma_min=low, sigma_max=high)(num_steps, EDM())
    except ValueError as error:
        check_named(error, ["sampler.num_steps", "grid.sigma_min"])
        assert gap > 9
    else:
        check_nodes(nodes, num_steps)
