"""SDEs with any parameters: maps that invert each other, and rates that are their derivatives."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from valid_parts import NOT_NUMBERS, PLAIN_SDES, check_named, examples, sdes

from fokker.diffusion.sde import SDE, SubVP, VPCosine, VPLinear


def noise_levels(sde: SDE, count: int = 33) -> Tensor:
    """Over the whole range, sampled or trained."""
    low, high = math.log(sde.train_sigma_min), math.log(sde.sigma_max)
    levels = torch.linspace(low, high, count, dtype=torch.float64).exp()
    return levels.clamp(sde.train_sigma_min, sde.sigma_max)


def rounding(sde: SDE) -> float:
    """What a rounding of t costs sigma(t), relatively: eps times dln sigma/dln t.

    That is large where 1 - t is about 1/sigma, and where B begins at t = 1e-3 from nearly nothing.
    """
    steepest = sde.sigma_max + 1e-4 * sde.sigma_min**-2 * isinstance(sde, VPLinear)
    return 1e-10 + 1e-15 * steepest


@given(sdes())
@examples(50)
def test_time_and_noise_invert_each_other(sde: SDE) -> None:
    sigma = noise_levels(sde)
    t = sde.time(sigma)
    torch.testing.assert_close(sde.sigma(t), sigma, rtol=rounding(sde), atol=0)
    torch.testing.assert_close(sde.time(sde.sigma(t)), t, rtol=1e-10, atol=1e-15)


@given(sdes())
@examples(50)
def test_noise_rises_with_time_and_signal_falls(sde: SDE) -> None:
    sigma = noise_levels(sde)
    t = sde.time(sigma)
    assert (t.diff() > 0).all()
    scale = sde.scale(t)
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    assert (scale.diff() <= 0).all()
    assert (sde.squared_diffusion(t) > 0).all()
    assert (sde.drift(t) <= 0).all()


@given(sdes())
@examples(50)
def test_rates_are_derivatives(sde: SDE) -> None:
    t = sde.time(noise_levels(sde)).requires_grad_()
    scale, sigma = sde.scale(t), sde.sigma(t)
    scale_rate = torch.zeros_like(t)
    if scale.requires_grad:
        (scale_rate,) = torch.autograd.grad(scale.sum(), t)
    (sigma_rate,) = torch.autograd.grad(sigma.sum(), t)
    close = {"rtol": 1e2 * rounding(sde), "atol": 0.0}
    torch.testing.assert_close(sde.drift(t), scale_rate / scale, rtol=close["rtol"], atol=1e-14)
    torch.testing.assert_close(sde.sigma_rate(t), sigma_rate, **close)
    torch.testing.assert_close(
        sde.squared_diffusion(t), 2 * scale**2 * sigma * sigma_rate, **close
    )


@given(sdes(), st.floats(0, 1), st.floats(-3, 3))
@examples(50)
def test_a_point_mass_flows_in_a_straight_line_of_the_noise(
    sde: SDE, place: float, slope: float
) -> None:
    """Of data that are one point, D = m, and x = s (m + sigma n) solves dx/dt = a x + b D."""
    level = sde.sigma_min * (sde.sigma_max / sde.sigma_min) ** place
    t = sde.time(level).requires_grad_()
    x = sde.scale(t) * (0.7 + sde.sigma(t) * slope)
    (rate,) = torch.autograd.grad(x, t)
    a, b = sde.velocity(t.item())
    size = abs(a * x.item()) + abs(0.7 * b)
    assert abs(a * x.item() + 0.7 * b - rate.item()) <= 1e2 * rounding(sde) * size


# Refusals -----------------------------------------------------------------------------------------

bad_ends = st.sampled_from([*NOT_NUMBERS, 0.0, -1.0, 1e-30, 1e30, 1e-300, 1e300])


@given(st.sampled_from([*PLAIN_SDES, VPCosine, VPLinear, SubVP]), bad_ends)
@examples(30)
def test_ends_that_no_range_has_are_refused(kind: type[SDE], value: float) -> None:
    for key in ("sigma_min", "sigma_max"):
        with pytest.raises(ValueError) as caught:
            kind(**{key: value})
        check_named(caught.value, [f"sde.{key}"])


@given(
    st.sampled_from([VPLinear, SubVP]),
    st.sampled_from(["beta_min", "beta_max"]),
    st.sampled_from([*NOT_NUMBERS, -1.0, -1e300, 1e4, 1e300]) | st.floats(-1e9, -0.05),
)
@examples(50)
def test_betas_that_no_process_has_are_refused(kind: type[SDE], key: str, value: float) -> None:
    with pytest.raises(ValueError) as caught:
        kind(**{key: value})
    check_named(caught.value, ["sde.beta_min", "sde.beta_max"])


@given(
    st.sampled_from([VPLinear, SubVP]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
)
@examples(100)
def test_any_two_betas_give_a_process_or_are_refused(
    kind: type[SDE], beta_min: float, beta_max: float
) -> None:
    try:
        sde = kind(beta_min=beta_min, beta_max=beta_max)
    except ValueError as error:
        check_named(error, ["sde.beta_min", "sde.beta_max", "sde.sigma_min", "sde.sigma_max"])
    else:
        levels = noise_levels(sde)
        torch.testing.assert_close(sde.sigma(sde.time(levels)), levels, rtol=1e-6, atol=0)


@given(st.floats(allow_nan=True, allow_infinity=True))
@examples(30)
def test_any_offset_gives_a_process_or_is_refused(offset: float) -> None:
    try:
        sde = VPCosine(offset=offset)
    except ValueError as error:
        assert not 0 < offset < 1
        check_named(error, ["sde.offset"])
    else:
        levels = noise_levels(sde)
        torch.testing.assert_close(sde.sigma(sde.time(levels)), levels, rtol=1e-9, atol=0)
