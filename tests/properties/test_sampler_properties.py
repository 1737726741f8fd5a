"""Any sampler on any SDE and grid: finite samples, and as many evaluations as it says."""

import math
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from valid_parts import NOT_NUMBERS, check_named, examples, grids, powers, sdes

from fokker.diffusion.denoiser import ExactDenoiser
from fokker.diffusion.samplers import (
    DDIM,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EDMStochastic,
    Euler,
    EulerMaruyama,
    Heun,
    Nodes,
    ODEAdaptive,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
    StartLaw,
)
from fokker.diffusion.sde import EDM, SDE
from fokker.distributions import GaussianMixture
from fokker.randomness import Randomness, SamplingNoise

ROWS = 6
LAW = GaussianMixture([0.3, 0.7], [[0.1, -0.4], [1.0, 0.2]], [0.2, 0.35])
START = StartLaw(LAW.mean, LAW.variance)
SAMPLERS: list[type[Sampler]] = [
    DDIM, Ancestral, AnnealedLangevin, DPMpp2M, DPMpp2MSDE, DPMpp3M, EDMStochastic, Euler,
    EulerMaruyama, Heun, PredictorCorrector, ReverseDiffusion,
]  # fmt: skip


@st.composite
def options(draw: st.DrawFn, kind: type[Sampler]) -> dict[str, Any]:
    """Any options of a sampler at which its steps are stable."""
    share = st.floats(0, 1)
    given: dict[type[Sampler], dict[str, st.SearchStrategy[Any]]] = {
        DDIM: {"eta": share},
        Ancestral: {"variance": share},
        AnnealedLangevin: {"steps_per_level": st.integers(1, 4), "step_ratio": powers(1e-9, 0.99)},
        DPMpp2MSDE: {"eta": st.sampled_from([0.0, math.inf]) | powers(1e-9, 1e6)},
        EDMStochastic: {
            "S_churn": st.sampled_from([0.0, math.inf]) | powers(1e-9, 1e9),
            "S_min": st.just(0.0) | powers(1e-9, 1), "S_max": powers(1, 1e9) | st.just(math.inf),
            "S_noise": st.floats(0, 1.1), "alpha": st.floats(0.5, 1),
        },
        EulerMaruyama: {"c": share},
        Heun: {"alpha": st.floats(0.5, 1)},
        PredictorCorrector: {
            "num_corrector_steps": st.integers(1, 3), "snr": powers(1e-9, 0.5),
            "norms": st.just("expected"),
        },
    }  # fmt: skip
    chosen = {key: draw(values) for key, values in given.get(kind, {}).items()}
    return {**chosen, "prior": draw(st.sampled_from(["published", "matched"]))}


def evaluations(sampler: Sampler, num_steps: int) -> int:
    """NFE as the samplers' docstrings state it."""
    if isinstance(sampler, Heun | EDMStochastic):
        return 2 * num_steps - 1
    if isinstance(sampler, PredictorCorrector):
        return num_steps * (1 + sampler.num_corrector_steps)
    if isinstance(sampler, AnnealedLangevin):
        return num_steps * sampler.steps_per_level + 1
    return num_steps


@given(st.data(), sdes(), st.sampled_from(SAMPLERS), st.integers(1, 12) | st.integers(1, 40))
@examples(125)
def test_samples_are_finite_and_evaluations_as_many_as_stated(
    data: st.DataObject, sde: SDE, kind: type[Sampler], num_steps: int
) -> None:
    grid = data.draw(grids(sde))
    try:
        nodes = grid(num_steps, sde)
    except ValueError:
        return
    sampler, denoiser = kind(sde, num_steps, **data.draw(options(kind))), ExactDenoiser(LAW)
    noise = SamplingNoise(Randomness(0), 0, ROWS, (2,), num_steps)
    seen: list[int] = []
    try:
        samples = sampler(denoiser, nodes, START, noise, lambda i, y: seen.append(i))
    except ValueError as error:
        check_named(error, ["sampler.S_max"])
        assert isinstance(sampler, EDMStochastic)
        return
    assert samples.shape == (ROWS, 2)
    assert torch.isfinite(samples).all()
    assert denoiser.evaluations == ROWS * evaluations(sampler, num_steps)
    assert seen == list(range(num_steps + 1))
    members = sampler.members(Nodes(sde, nodes))
    assert len(members) == num_steps - 1
    assert all(member >= 0 for member in members)
    assert not sampler.is_deterministic or not any(members)


@given(st.data(), sdes(), powers(1e-6, 1e-2), powers(1e-6, 1e-2))
@examples(15)
def test_the_adaptive_one_arrives(
    data: st.DataObject, sde: SDE, rtol: float, atol: float
) -> None:
    try:
        nodes = data.draw(grids(sde))(2, sde)
    except ValueError:
        return
    denoiser, noise = ExactDenoiser(LAW), SamplingNoise(Randomness(0), 0, ROWS, (2,), 2)
    samples = ODEAdaptive(sde, rtol, atol)(denoiser, nodes, START, noise)
    assert torch.isfinite(samples).all()
    # Each attempted step asks six times, the first and D at the end once.
    assert (denoiser.evaluations - 2 * ROWS) % 6 == 0


@given(st.data(), sdes(), sdes(), st.sampled_from([DDIM, Ancestral, DPMpp2M, DPMpp2MSDE, DPMpp3M]))
@examples(20)
def test_solvers_in_the_noise_level_do_not_see_the_sde(
    data: st.DataObject, one: SDE, other: SDE, kind: type[Sampler]
) -> None:
    """Only its range: with the same nodes the samples are the same, but for the large variance."""
    low, high = max(one.sigma_min, other.sigma_min), min(one.sigma_max, other.sigma_max)
    if low * 1.1 > high:
        return
    given, num_steps = data.draw(options(kind)), data.draw(st.integers(1, 12))
    given.pop("variance", None)
    nodes = torch.linspace(math.log(high), math.log(low), num_steps, dtype=torch.float64).exp()
    nodes = torch.cat([nodes.clamp(low, high), torch.zeros(1)])
    drawn = []
    for sde in (one, other):
        noise = SamplingNoise(Randomness(0), 0, ROWS, (2,), num_steps)
        drawn.append(kind(sde, num_steps, **given)(ExactDenoiser(LAW), nodes, START, noise))
    torch.testing.assert_close(drawn[0], drawn[1], rtol=1e-5, atol=1e-5)


# Refusals -----------------------------------------------------------------------------------------

NUMBERS: list[tuple[type[Sampler], str]] = [
    (DDIM, "eta"), (Ancestral, "variance"), (AnnealedLangevin, "step_ratio"), (DPMpp2MSDE, "eta"),
    (EDMStochastic, "S_churn"), (EDMStochastic, "S_min"), (EDMStochastic, "S_noise"),
    (EDMStochastic, "alpha"), (EulerMaruyama, "c"), (Heun, "alpha"), (PredictorCorrector, "snr"),
    (ODEAdaptive, "rtol"), (ODEAdaptive, "atol"),
]  # fmt: skip


#: Where as much as can be is an option: all noise is new, or as much as EDM allows.
WITHOUT_LIMIT = [(DPMpp2MSDE, "eta"), (EDMStochastic, "S_churn")]


@given(
    st.sampled_from(NUMBERS), st.sampled_from([*NOT_NUMBERS, -1.0, -1e300]) | st.floats(-9, -1e-9)
)
@examples(50)
def test_what_is_no_option_is_refused_by_its_key(
    option: tuple[type[Sampler], str], value: float
) -> None:
    kind, key = option
    hypothesis.assume(not (option in WITHOUT_LIMIT and value == math.inf))
    with pytest.raises(ValueError) as caught:
        kind(EDM(), **{key: value})
    check_named(caught.value, [f"sampler.{key}"])


@given(st.sampled_from(SAMPLERS), st.integers(-9, 0))
@examples(15)
def test_no_steps_are_refused(kind: type[Sampler], num_steps: int) -> None:
    with pytest.raises(ValueError) as caught:
        kind(EDM(), num_steps)
    check_named(caught.value, ["sampler.num_steps"])
