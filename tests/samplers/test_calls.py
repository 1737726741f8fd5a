"""What every sampler owes its caller: counts, refusals, and samples that know no batch."""

import math
from collections.abc import Callable

import pytest
import torch
from exact_cases import SAMPLERS, Gaussian, GeneratorNoise, Mixture, states
from torch import Tensor, nn

from fokker.diffusion.denoiser import Denoiser
from fokker.diffusion.grids import EDMRho
from fokker.diffusion.preconditioning import EDM as EDMPreconditioning
from fokker.diffusion.samplers import (
    DDIM,
    Ancestral,
    AnnealedLangevin,
    DPMpp2MSDE,
    EDMStochastic,
    EulerMaruyama,
    Heun,
    ODEAdaptive,
    PredictorCorrector,
    Sampler,
    StartLaw,
)
from fokker.diffusion.sde import EDM, SDE, VPLinear
from fokker.randomness import Randomness, SamplingNoise
from sdes import SDES

FIXED = [name for name in SAMPLERS if name != "ode_adaptive"]
LAW = StartLaw(torch.tensor([0.7, 0.7]), torch.tensor([0.1225, 0.1225]))


def evaluations(name: str, n: int) -> int:
    """NFE of N transitions."""
    two = {"heun", "midpoint", "ralston", "edm_stochastic"}
    if name in two:
        return 2 * n - 1
    if name == "predictor_corrector":
        return n * (1 + 1)
    if name == "annealed_langevin":
        return 5 * n + 1
    return n


@pytest.mark.parametrize("num_steps", [1, 2, 9])
@pytest.mark.parametrize("name", FIXED)
def test_number_of_evaluations(name: str, num_steps: int) -> None:
    gaussian, sde = Gaussian(), SDES["vp_linear"]
    noise = GeneratorNoise((4, 1))
    SAMPLERS[name](sde, num_steps)(gaussian, EDMRho()(num_steps, sde), Gaussian.law, noise)
    assert gaussian.rows == 4 * evaluations(name, num_steps)


def test_number_of_evaluations_by_corrector_and_level() -> None:
    sde, sigmas = SDES["ve_geometric"], EDMRho()(6, SDES["ve_geometric"])
    corrected, langevin = Gaussian(), Gaussian()
    PredictorCorrector(sde, 6, num_corrector_steps=3)(
        corrected, sigmas, Gaussian.law, GeneratorNoise((1, 1))
    )
    AnnealedLangevin(sde, 6, steps_per_level=11)(
        langevin, sigmas, Gaussian.law, GeneratorNoise((1, 1))
    )
    assert corrected.rows == 6 * (1 + 3)
    assert langevin.rows == 6 * 11 + 1


def test_a_network_counts_its_own_evaluations() -> None:
    class Zero(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None = None) -> Tensor:
            return torch.zeros_like(x)

    denoiser, sde = Denoiser(Zero(), EDMPreconditioning()), SDES["edm"]
    noise = SamplingNoise(Randomness(0), 0, 8, (2,), 18)
    samples = Heun(sde)(denoiser, EDMRho()(18, sde), LAW, noise)
    assert samples.shape == (8, 2)
    assert denoiser.evaluations == 8 * 35


@pytest.mark.parametrize("sde", SDES.values(), ids=SDES)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
@pytest.mark.parametrize("name", SAMPLERS)
def test_few_steps_are_finite(name: str, num_steps: int, sde: SDE) -> None:
    sampler = SAMPLERS[name](sde, num_steps)
    sigmas = EDMRho()(num_steps, sde)
    noise = SamplingNoise(Randomness(0), 0, 30, (2,), num_steps)
    seen: list[int] = []
    samples = sampler(Mixture(), sigmas, LAW, noise, lambda i, y: seen.append(i))
    assert samples.shape == (30, 2)
    assert torch.isfinite(samples).all()
    assert seen == list(range(num_steps + 1))


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_ends_at_the_denoised_state(name: str) -> None:
    """The step to 0 is y = D(y), at the noise where the solver stands, and adds no noise."""
    asked: list[tuple[Tensor, float]] = []

    def denoise(y: Tensor, sigma: float | Tensor) -> Tensor:
        asked.append((y, float(sigma)))
        return 0.1 * y + 3

    sampler, start = SAMPLERS[name](EDM(), 1), torch.full((3, 1), 1.3, dtype=torch.float64)
    sigmas = torch.tensor([2.0, 0.0], dtype=torch.float64)
    (state,) = states(sampler, sigmas, denoise, start, GeneratorNoise((3, 1)))
    y, sigma = asked[-1]
    assert torch.equal(state, 0.1 * y + 3)
    # These move at the first noise, before the step to 0.
    if name not in ("annealed_langevin", "predictor_corrector", "edm_stochastic"):
        assert torch.equal(y, start)
        assert sigma == 2.0


class Counting:
    """Counts what kind of noise is asked for."""

    def __init__(self) -> None:
        self.increments, self.others = 0, 0

    def prior(self) -> Tensor:
        return torch.zeros(3, 1)

    def next_increment(self) -> Tensor:
        self.increments += 1
        return torch.zeros(3, 1)

    def fresh(self) -> Tensor:
        self.others += 1
        return torch.zeros(3, 1)


@pytest.mark.parametrize(
    ("name", "increments", "others"),
    [
        ("euler", 0, 0),
        ("heun", 0, 0),
        ("ddim", 0, 0),
        ("dpmpp_2m", 0, 0),
        ("dpmpp_3m", 0, 0),
        ("adams", 0, 0),
        ("ode_adaptive", 0, 0),
        ("ddim_half", 9, 0),
        ("ancestral_small", 9, 0),
        ("ancestral_large", 9, 0),
        ("dpmpp_2m_sde", 9, 0),
        ("euler_maruyama", 9, 0),
        ("reverse_diffusion", 9, 0),
        ("predictor_corrector", 9, 10),
        ("annealed_langevin", 0, 50),
    ],
)
def test_steps_use_the_path_and_the_rest_does_not(name: str, increments: int, others: int) -> None:
    """Only a step's own noise is coupled between numbers of steps; none in the last step."""
    noise, sde = Counting(), SDES["edm"]
    sampler = SAMPLERS[name](sde, 10)
    law = StartLaw(torch.tensor([0.7]), torch.tensor([0.1]))
    sampler(Mixture(), EDMRho()(sampler.num_steps, sde), law, noise)
    assert (noise.increments, noise.others) == (increments, others)


def test_churn_is_fresh_noise() -> None:
    noise, sde = Counting(), SDES["edm"]
    law, sigmas = StartLaw(torch.tensor([0.7]), torch.tensor([0.1])), EDMRho()(10, sde)
    sampler = EDMStochastic(sde, 10, S_min=0.05, S_max=50.0)
    sampler(Mixture(), sigmas, law, noise)
    inside = int(((sigmas >= 0.05) & (sigmas <= 50.0)).sum())
    assert 0 < inside < 10
    assert (noise.increments, noise.others) == (0, inside)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    sde = SDES["vp_linear"]
    sampler = SAMPLERS[name](sde, 12)
    sigmas = EDMRho()(sampler.num_steps, sde)

    def run(start: int, stop: int) -> Tensor:
        noise = SamplingNoise(Randomness(7), start, stop, (2,), sampler.num_steps)
        return sampler(Mixture(), sigmas, LAW, noise)

    whole = run(0, 1500)
    parts = torch.cat([run(0, 300), run(300, 1337), run(1337, 1500)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=2e-5)
    # Not because all samples are alike.
    assert whole.std() > 0.2
    assert not torch.allclose(whole[:300], whole[300:600], atol=1e-2)


def test_blocks_of_batch_norms_are_fixed() -> None:
    """The source's rule mixes a block's samples, but blocks do not depend on the batch."""
    sampler = PredictorCorrector(EDM(), 6, norms="batch")
    sigmas = EDMRho()(6, EDM())

    def run(start: int, stop: int) -> Tensor:
        noise = SamplingNoise(Randomness(7), start, stop, (2,), 6)
        return sampler(Mixture(), sigmas, LAW, noise)

    parts = torch.cat([run(0, 1024), run(1024, 3072), run(3072, 3500)])
    torch.testing.assert_close(parts, run(0, 3500), rtol=0, atol=1e-4)


def test_samples_with_many_and_few_steps_share_their_noise() -> None:
    """Strongly correlated for the same index, with 10 and 40 steps of the reverse SDE."""
    sde = SDES["vp_linear"]

    def run(num_steps: int, seed: int) -> Tensor:
        noise = SamplingNoise(Randomness(seed), 0, 2000, (2,), num_steps)
        return EulerMaruyama(sde, num_steps)(
            Mixture(), EDMRho()(num_steps, sde), LAW, noise
        ).flatten()

    many, few, other = run(80, 0), run(40, 0), run(40, 1)
    assert torch.corrcoef(torch.stack([many, few]))[0, 1] > 0.8
    assert abs(torch.corrcoef(torch.stack([many, other]))[0, 1]) < 0.1


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("num_steps", [0, -1])
def test_no_steps_are_refused(name: str, num_steps: int) -> None:
    with pytest.raises(ValueError, match=r"sampler\.num_steps must be at least 1, got"):
        SAMPLERS[name](EDM(), num_steps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(EDM(), eta=1.1), r"sampler\.eta must be in \[0, 1\].*got 1\.1"),
        (lambda: DDIM(EDM(), eta=-0.1), r"sampler\.eta must be in \[0, 1\].*got -0\.1"),
        (lambda: DDIM(EDM(), eta=math.nan), r"sampler\.eta"),
        (lambda: DPMpp2MSDE(EDM(), eta=-0.1), r"sampler\.eta must not be negative"),
        (lambda: Ancestral(EDM(), variance=1.2), r"sampler\.variance must be in \[0, 1\]"),
        (lambda: Ancestral(EDM(), variance=-0.2), r"sampler\.variance must be in \[0, 1\]"),
        (lambda: EulerMaruyama(EDM(), c=-1.0), r"sampler\.c must not be negative or .*, got -1"),
        (lambda: EulerMaruyama(EDM(), c=math.inf), r"sampler\.c must not .* infinite, got inf"),
        (lambda: Heun(EDM(), alpha=0.0), r"sampler\.alpha must be in \(0, 1\]"),
        (lambda: Heun(EDM(), alpha=1.5), r"sampler\.alpha must be in \(0, 1\]"),
        (lambda: EDMStochastic(EDM(), alpha=-1.0), r"sampler\.alpha must be in \(0, 1\]"),
        (lambda: EDMStochastic(EDM(), S_churn=-1.0), r"sampler\.S_churn.*S_churn=-1"),
        (lambda: EDMStochastic(EDM(), S_noise=-1.0), r"sampler\.S_noise.*S_noise=-1"),
        (lambda: EDMStochastic(EDM(), S_min=2.0, S_max=1.0), r"sampler\.S_min.*S_max=1.*got 2"),
        (lambda: EDMStochastic(EDM(), S_min=-2.0), r"sampler\.S_min must be in"),
        (lambda: PredictorCorrector(EDM(), num_corrector_steps=0), r"sampler\.num_corrector_steps"),
        (lambda: EDMStochastic(EDM(), S_noise=math.inf), r"sampler\.S_noise.*S_noise=inf"),
        (lambda: PredictorCorrector(EDM(), snr=math.inf), r"sampler\.snr must be positive and fin"),
        (lambda: ODEAdaptive(EDM(), rtol=math.inf), r"sampler\.rtol.*must be positive and finite"),
        (lambda: PredictorCorrector(EDM(), snr=0.0), r"sampler\.snr must be positive"),
        (lambda: PredictorCorrector(EDM(), norms="all"), r"sampler\.norms.*got all"),
        (lambda: AnnealedLangevin(EDM(), steps_per_level=0), r"sampler\.steps_per_level"),
        (lambda: AnnealedLangevin(EDM(), step_ratio=0.0), r"sampler\.step_ratio"),
        (lambda: AnnealedLangevin(EDM(), step_ratio=1.0), r"sampler\.step_ratio"),
        (lambda: ODEAdaptive(EDM(), rtol=0.0), r"sampler\.rtol.*must be positive"),
        (lambda: ODEAdaptive(EDM(), atol=-1.0), r"sampler\.atol.*must be positive"),
        (lambda: ODEAdaptive(EDM(), num_steps=5), r"sampler\.num_steps must be null"),
        (lambda: DDIM(EDM(), prior="exact"), r"sampler\.prior must be published or matched"),
    ],
)
def test_bad_values_are_refused(make: Callable[[], Sampler], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_noise_is_not_raised_beyond_the_reach_of_the_sde() -> None:
    """A beta that falls comes to 0 soon after t = 1, and sigma goes no further."""
    sde = VPLinear(beta_min=20.0, beta_max=0.1)
    sigmas, noise = EDMRho()(10, sde), SamplingNoise(Randomness(0), 0, 4, (2,), 10)
    with pytest.raises(ValueError, match=r"sigma=21\d\.\d+, which .* sampler\.S_max=inf"):
        EDMStochastic(sde, 10, S_max=math.inf)(Mixture(), sigmas, LAW, noise)
    samples = EDMStochastic(sde, 10)(Mixture(), sigmas, LAW, noise)
    assert torch.isfinite(samples).all()


def test_defaults() -> None:
    for name in FIXED:
        default = type(SAMPLERS[name](EDM(), 1))(EDM()).num_steps
        assert default == (18 if evaluations(name, 10) == 19 else 100), name
    langevin = AnnealedLangevin(EDM())
    assert (langevin.steps_per_level, langevin.step_ratio) == (5, 0.1)
