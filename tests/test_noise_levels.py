"""Training noise levels: quantiles, densities, stratified draws."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from fokker.diffusion.noise_levels import Levels, LogNormal, LogUniform, NoiseLevels, UniformTime
from fokker.diffusion.sde import VESqrt, VPCosine, VPLinear
from fokker.randomness import Randomness
from sdes import SDES

LAWS: dict[str, NoiseLevels] = {
    **{f"uniform_time-{name}": UniformTime(sde) for name, sde in SDES.items()},
    "log_uniform": LogUniform(VPCosine()),
    "lognormal": LogNormal(),
    "lognormal_own": LogNormal(P_mean=0.4, P_std=0.8),
}
CHAIN = torch.logspace(-2, 2, 37, dtype=torch.float64)

each_law = pytest.mark.parametrize("name", LAWS)


def log_density(law: NoiseLevels, log: float) -> float:
    """Per unit of ln sigma."""
    sigma = torch.tensor(math.exp(log), dtype=torch.float64)
    return float(law.density(sigma) * sigma)


@each_law
def test_the_density_integrates_to_one(name: str) -> None:
    law = LAWS[name]
    low, high = map(math.log, law.usual_range)
    total, _ = scipy.integrate.quad(lambda log: log_density(law, log), low, high, limit=200)
    assert total == pytest.approx(1, abs=1e-5)


@each_law
def test_quantiles_belong_to_the_density(name: str) -> None:
    law = LAWS[name]
    low = math.log(law.usual_range[0])
    for u in (0.03, 0.4, 0.97):
        high = math.log(float(law.sigma(torch.tensor(u, dtype=torch.float64))))
        below, _ = scipy.integrate.quad(lambda log: log_density(law, log), low, high, limit=200)
        assert below == pytest.approx(u, abs=1e-5)


@each_law
@pytest.mark.parametrize("stratified", [True, False])
def test_draws_follow_the_density(
    name: str, stratified: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = LAWS[name]
    monkeypatch.setattr(law, "stratified", stratified)
    sigma = torch.cat([law.draw(Randomness(1), step, 20) for step in range(100)])
    logs = torch.linspace(*map(math.log, law.usual_range), 8001, dtype=torch.float64)
    density = law.density(logs.exp()) * logs.exp()
    cumulative = torch.cumulative_trapezoid(density, logs).numpy()

    def distribution(values: np.ndarray) -> np.ndarray:
        return np.interp(np.log(values), logs[1:].numpy(), cumulative)

    assert scipy.stats.kstest(sigma.numpy(), distribution).pvalue > 1e-3


def test_closed_forms() -> None:
    sigma = torch.logspace(-2.9, 1.8, 30, dtype=torch.float64)
    lognormal = scipy.stats.lognorm(s=1.2, scale=math.exp(-1.2))
    torch.testing.assert_close(LogNormal().density(sigma), torch.as_tensor(lognormal.pdf(sigma)))
    uniform = scipy.stats.loguniform(0.001, 80.0)
    density = LogUniform(VPCosine()).density(sigma)
    torch.testing.assert_close(density, torch.as_tensor(uniform.pdf(sigma)))
    # t = sigma^2 for the heat equation, so sigma^2 is uniform.
    density = UniformTime(VESqrt()).density(sigma[sigma > 0.02])
    expected = 2 * sigma[sigma > 0.02] / (100.0**2 - 0.02**2)
    torch.testing.assert_close(density, expected)


@pytest.mark.parametrize("law", [UniformTime(VPLinear()), LogUniform(VPLinear())])
def test_there_is_nothing_outside_the_range(law: NoiseLevels) -> None:
    low, high = law.range
    outside = torch.tensor([low / 1.01, high * 1.01], dtype=torch.float64)
    assert law.density(outside).tolist() == [0, 0]
    ends = torch.tensor([low, high], dtype=torch.float64)
    assert (law.density(ends) > 0).all()
    u = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    torch.testing.assert_close(law.sigma(u), ends, rtol=1e-9, atol=0)


def test_ranges() -> None:
    assert UniformTime(VPLinear()).range == (VPLinear().train_sigma_min, VPLinear().sigma_max)
    assert LogUniform(VPCosine()).range == (0.001, 80.0)
    assert LogUniform(VPCosine()).usual_range == (0.001, 80.0)
    assert LogNormal().range == (0.0, math.inf)
    usual = math.exp(-1.2 - 5 * 1.2), math.exp(-1.2 + 5 * 1.2)
    assert LogNormal().usual_range == pytest.approx(usual)
    assert Levels().on(CHAIN).range == (float(CHAIN[0]), float(CHAIN[-1]))


def test_lognormal_is_finite_at_the_ends_of_u() -> None:
    sigma = LogNormal().sigma(torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64))
    assert torch.isfinite(sigma).all()
    assert (sigma > 0).all()


@each_law
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_stratified_draws_take_every_stratum_once(name: str, batch_size: int) -> None:
    law = LAWS[name]
    offsets = []
    for step in range(5):
        sigma = law.draw(Randomness(3), step, batch_size)
        assert sigma.shape == (batch_size,)
        # u by bisection of the quantile function, which rises.
        low, high = torch.zeros_like(sigma), torch.ones_like(sigma)
        for _ in range(60):
            middle = (low + high) / 2
            below = law.sigma(middle) < sigma
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        strata = (high * batch_size + 1e-9).floor().long().clamp(max=batch_size - 1)
        assert strata.sort().values.tolist() == list(range(batch_size))
        offset = (high * batch_size) % 1
        offsets.append(float(offset[0]))
        away = (offset - offset[0] + 0.5) % 1 - 0.5
        assert away.abs().max() < 1e-6
    assert len({round(offset, 6) for offset in offsets}) == 5


def test_the_first_of_a_stratified_batch_has_the_law_itself() -> None:
    """The place in the batch says nothing about sigma, over the steps."""
    law = LogNormal()
    batches = torch.stack([law.draw(Randomness(0), step, 4) for step in range(1500)])
    distribution = scipy.stats.lognorm(s=1.2, scale=math.exp(-1.2)).cdf
    for place in range(4):
        assert scipy.stats.kstest(batches[:, place].numpy(), distribution).pvalue > 1e-3


@pytest.mark.parametrize("stratified", [True, False])
def test_a_draw_is_a_function_of_seed_and_step(stratified: bool) -> None:
    law = LogNormal(stratified=stratified)
    used = Randomness(9)
    for step in (3, 1, 0, 2, 1030):
        law.draw(used, step, 50)
    first = law.draw(used, 7, 50)
    assert torch.equal(first, law.draw(Randomness(9), 7, 50))
    assert first.dtype == torch.float64
    for other in (law.draw(Randomness(9), 8, 50), law.draw(Randomness(10), 7, 50)):
        assert (first != other).all()


def test_levels_are_drawn_evenly() -> None:
    law = Levels().on(CHAIN)
    sigma = law.draw(Randomness(0), 0, 37 * 4)
    assert [int((sigma == level).sum()) for level in CHAIN] == [4] * 37
    assert law.density(CHAIN).tolist() == pytest.approx([1 / 37] * 37)
    plain = Levels(stratified=False).on(CHAIN)
    counts = [0] * 37
    for step in range(50):
        for level in torch.searchsorted(CHAIN, plain.draw(Randomness(0), step, 100)).tolist():
            counts[level] += 1
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    assert law.sigma(torch.tensor([0.0, 1 - 2.0**-53]).double()).tolist() == [CHAIN[0], CHAIN[-1]]


def test_levels_need_a_chain() -> None:
    with pytest.raises(ValueError, match="noise_levels=levels needs a formulation with levels"):
        Levels().on(None)
    with pytest.raises(ValueError, match="noise_levels=levels"):
        Levels().draw(Randomness(0), 0, 4)


def test_other_laws_do_not_mind_a_chain() -> None:
    law = LogNormal()
    assert law.on(CHAIN) is law
    assert law.levels is None
    assert Levels(stratified=False).on(CHAIN).stratified is False
    assert torch.equal(Levels().on(CHAIN).levels, CHAIN)


def test_bad_values_are_refused() -> None:
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"noise_levels\.P_std must be positive"):
            LogNormal(P_std=value)
    for key, value in (("P_std", 4.0), ("P_std", math.inf), ("P_mean", 1e3), ("P_mean", math.nan)):
        with pytest.raises(ValueError, match=rf"noise_levels\.{key} .* got .*{key}={value:g}"):
            LogNormal(**{key: value})


@pytest.mark.parametrize("stratified", [True, False])
def test_a_step_has_its_levels_in_whatever_order_steps_are_asked(stratified: bool) -> None:
    """Several steps are drawn at once; the first of them, alone, by hand."""
    law, seeds = LogNormal(stratified=stratified), {seed: Randomness(seed) for seed in (1, 2)}
    asked = [(1, 0, 5), (1, 17, 5), (2, 17, 5), (1, 17, 7), (1, 3, 5), (1, 40, 5), (1, 17, 5)]
    for seed, step, batch_size in asked:
        found = law.draw(seeds[seed], step, batch_size)
        if stratified:
            places = torch.arange(batch_size, dtype=torch.float64) / batch_size
            u = seeds[seed].uniform("sigma", step, step + 1) + places
        else:
            u = seeds[seed].uniform("sigma", step * batch_size, (step + 1) * batch_size)
        torch.testing.assert_close(found, law.sigma(u % 1), rtol=1e-14, atol=0)
