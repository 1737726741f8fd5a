"""Noise levels and weights over the whole trained range, with any parameters."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from valid_parts import NOT_NUMBERS, check_named, examples, powers, ranges, sdes

from fokker.diffusion.noise_levels import Levels, LogNormal, LogUniform, NoiseLevels, UniformTime
from fokker.diffusion.sde import SDE
from fokker.diffusion.weighting import (
    EDM,
    ELBO,
    P2,
    SMLD,
    X0,
    Eps,
    Likelihood,
    MinSNR,
    SoftMinSNR,
    V,
    Weighting,
)
from fokker.randomness import Randomness

PLAIN: list[type[Weighting]] = [Eps, SMLD, X0, V]
# Of a uniform number, both ends and what is next to them.
ENDS = torch.tensor([0.0, 2.0**-53, 0.3, 1 - 2.0**-53], dtype=torch.float64)


@st.composite
def laws(draw: st.DrawFn, sde: SDE) -> NoiseLevels:
    """Any of conf/noise_levels."""
    stratified = draw(st.booleans())
    kind = draw(st.sampled_from([UniformTime, LogUniform, LogNormal, Levels]))
    if kind is LogNormal:
        return LogNormal(draw(st.floats(-6, 6)), draw(powers(1e-3, 2.4)), stratified)
    if kind is Levels:
        ends, count = draw(ranges(sde.train_sigma_min, sde.sigma_max)), draw(st.integers(2, 300))
        chain = torch.linspace(*map(math.log, ends), count, dtype=torch.float64).exp()
        return Levels(stratified).on(chain)
    return kind(sde, stratified)


@st.composite
def weightings(draw: st.DrawFn, sde: SDE) -> Weighting:
    """Any of conf/weighting that is not learned."""
    sigma_data = powers(1e-6, 1e6)
    return draw(
        st.one_of(
            st.sampled_from(PLAIN).map(lambda kind: kind()),
            sigma_data.map(EDM),
            sigma_data.map(SoftMinSNR),
            (powers(1e-6, 1e6) | st.just(math.inf)).map(MinSNR),
            st.builds(P2, powers(1e-6, 1e6), st.floats(0, 2)),
            st.sampled_from([Likelihood(sde), ELBO(sde)]),
        )
    )


@given(st.data(), sdes())
@examples(75)
def test_noise_levels_lie_in_their_range(data: st.DataObject, sde: SDE) -> None:
    law = data.draw(laws(sde))
    step, size = data.draw(st.integers(0, 10**9)), data.draw(st.integers(1, 300))
    sigma = torch.cat([law.draw(Randomness(3), step, size), law.sigma(ENDS)])
    low, high = law.range
    assert torch.isfinite(sigma).all()
    assert (sigma > 0).all()
    assert (sigma >= low * (1 - 1e-6)).all()
    assert (sigma <= high * (1 + 1e-6)).all()
    assert (law.sigma(ENDS).diff() >= 0).all()
    density = law.density(sigma[:-4])
    assert torch.isfinite(density).all()
    assert (density > 0).all()


@given(st.data(), sdes())
@examples(50)
def test_draws_are_functions_of_seed_and_step(data: st.DataObject, sde: SDE) -> None:
    law = data.draw(laws(sde))
    seed, size = data.draw(st.integers(0, 99)), data.draw(st.integers(1, 100))
    steps = data.draw(st.lists(st.integers(0, 3000), min_size=1, max_size=4))
    used = Randomness(seed)
    for step in steps:
        assert torch.equal(law.draw(used, step, size), law.draw(Randomness(seed), step, size))
    if not law.stratified:
        # Independent draws are one stream, and a batch a piece of it.
        whole = torch.cat([law.draw(used, step, size) for step in range(5)])
        # An exponential of few numbers may round otherwise than the same one among many.
        again = law.draw(used, 0, 5 * size)
        torch.testing.assert_close(whole, again, rtol=1e-13, atol=0)


@given(st.data(), sdes())
@examples(75)
def test_weights_are_finite_and_positive_where_a_model_is_trained(
    data: st.DataObject, sde: SDE
) -> None:
    law = data.draw(laws(sde))
    weighting = data.draw(weightings(sde))
    sigma = law.draw(Randomness(0), data.draw(st.integers(0, 99)), 64)
    weight = weighting(sigma, law)
    assert weight.shape == sigma.shape
    assert torch.isfinite(weight).all()
    # An integral over the SDE's time has no weight where the SDE has no noise.
    if isinstance(weighting, Likelihood | ELBO):
        inside = (sigma > sde.train_sigma_min * 1.01) & (sigma < sde.sigma_max / 1.01)
        sigma, weight = sigma[inside], weight[inside]
    assert (weight > 0).all()
    # In the precision of the loss too.
    assert torch.isfinite(weight.float()).all()


# Refusals -----------------------------------------------------------------------------------------


@given(
    st.sampled_from(["P_mean", "P_std"]),
    st.sampled_from([*NOT_NUMBERS, 1e3, 1e300, -1e3]) | st.floats(20, 1e6) | st.floats(-1e6, -20),
)
@examples(20)
def test_noise_that_no_number_holds_is_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError) as caught:
        LogNormal(**{key: value})
    check_named(caught.value, [f"noise_levels.{key}"])
