"""Solvers step by step against their papers, in the papers' own variables."""

import math

import pytest
import scipy.integrate
import torch
from exact_cases import MEAN, VARIANCE, Gaussian, GeneratorNoise, Mixture, states
from torch import Tensor

from fokker.diffusion.grids import EDMRho, Geometric
from fokker.diffusion.samplers import (
    DDIM,
    Ancestral,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EDMStochastic,
    EulerMaruyama,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
)
from fokker.diffusion.sde import EDM, SDE, VEGeometric, VPCosine, VPLinear
from sdes import SDES

SHAPE = (40, 2)

each_sde = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)


def path(sampler: Sampler, sigmas: Tensor, start: Tensor) -> Tensor:
    """Every state in y on the mixture, (N, n, 2), always with the same noise."""
    noise = GeneratorNoise(SHAPE, seed=2)
    return torch.stack(list(states(sampler, sigmas, Mixture(), start, noise)))


def close(first: Tensor, second: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def ddpm(length: int = 30) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """A_k, B_k^2, alpha_k, std_k and sigma_k of a VP chain, k = 1 ... L."""
    added = torch.linspace(1e-3, 0.3, length, dtype=torch.float64)
    kept = (1 - added).sqrt()
    alpha = kept.cumprod(0)
    std = (1 - alpha**2).sqrt()
    return kept, added, alpha, std, std / alpha


def downwards(sigma: Tensor) -> Tensor:
    return torch.cat([sigma.flip(0), torch.zeros(1, dtype=torch.float64)])


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("sde", [VPLinear(), VPCosine()])
def test_ancestral_on_a_vp_chain_is_ddpm(large: bool, sde: SDE) -> None:
    """Ho 2020, algorithm 2, in x: whichever VP SDE the levels are put on."""
    kept, added, alpha, std, sigma = ddpm()
    start = 0.73 + float(sigma[-1]) * GeneratorNoise(SHAPE, seed=1).prior()
    sampler = Ancestral(sde, 30, variance=float(large))
    result = path(sampler, downwards(sigma), start)
    noise, x = GeneratorNoise(SHAPE, seed=2), alpha[-1] * start
    for k in range(29, -1, -1):
        y = x / alpha[k]
        eps = (y - Mixture()(y, float(sigma[k]))) / sigma[k]
        x = (x - added[k] / std[k] * eps) / kept[k]
        if k > 0:
            variance = added[k] if large else added[k] * std[k - 1] ** 2 / std[k] ** 2
            x = x + variance.sqrt() * noise.next_increment()
            close(result[29 - k], x / alpha[k - 1], 1e-9)
    close(result[-1], x, 1e-9)


def test_ancestral_between_small_and_large_is_geometric() -> None:
    _, _, _, _, sigma = ddpm()
    sigmas = downwards(sigma)[[3, 9, -1]]
    start = torch.zeros(SHAPE, dtype=torch.float64)
    unit = GeneratorNoise(SHAPE, seed=2).prior()
    spread = []
    for variance in (0.0, 0.25, 1.0):
        sampler = Ancestral(VPLinear(), 2, variance=variance)
        noisy = path(sampler, sigmas, start)[0]
        denoised = Mixture()(start, float(sigmas[0]))
        mean = denoised * (1 - (sigmas[1] / sigmas[0]) ** 2)
        spread.append(float(((noisy - mean) / unit).mean()))
    assert spread[1] == pytest.approx(spread[0] ** 0.75 * spread[2] ** 0.25, rel=1e-9)
    assert spread[0] < spread[1] < spread[2]


def test_the_small_step_is_the_posterior_of_the_chain() -> None:
    """By conditioning the joint Gaussian of (x_{k-1}, x_k) given x0, with D in place of x0."""
    kept, added, alpha, std, sigma = ddpm()
    k = 17
    sigmas = torch.stack([sigma[k], sigma[k - 1], torch.zeros_like(sigma[0])])
    start = 0.73 + 2 * GeneratorNoise(SHAPE, seed=1).prior()
    state = path(Ancestral(VPLinear(), 2), sigmas, start)[0]
    x, x0 = alpha[k] * start, Mixture()(start, float(sigma[k]))
    # x_{k-1} = alpha_{k-1} x0 + std_{k-1} n and x_k = A x_{k-1} + B n'.
    covariance = kept[k] * std[k - 1] ** 2
    variance = kept[k] ** 2 * std[k - 1] ** 2 + added[k]
    mean = alpha[k - 1] * x0 + covariance / variance * (x - kept[k] * alpha[k - 1] * x0)
    spread = (std[k - 1] ** 2 - covariance**2 / variance).sqrt()
    noise = GeneratorNoise(SHAPE, seed=2).prior()
    close(state, (mean + spread * noise) / alpha[k - 1], 1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_its_papers_update(eta: float) -> None:
    """Song 2021 (DDIM), eq. 12 and 16, in x with alpha = the cumulated product of 1 - B^2."""
    _, _, alpha, _, sigma = ddpm()
    bars = (alpha**2).tolist()
    start = 0.73 + float(sigma[-1]) * GeneratorNoise(SHAPE, seed=1).prior()
    result = path(DDIM(VPLinear(), 30, eta=eta), downwards(sigma), start)
    noise, x = GeneratorNoise(SHAPE, seed=2), alpha[-1] * start
    for k in range(29, 0, -1):
        bar, lower = bars[k], bars[k - 1]
        y = x / math.sqrt(bar)
        eps = (y - Mixture()(y, float(sigma[k]))) / sigma[k]
        spread = eta * math.sqrt((1 - lower) / (1 - bar) * (1 - bar / lower))
        predicted = (x - math.sqrt(1 - bar) * eps) / math.sqrt(bar)
        x = math.sqrt(lower) * predicted + math.sqrt(1 - lower - spread**2) * eps
        if eta > 0:
            x = x + spread * noise.next_increment()
        close(result[29 - k], x / math.sqrt(lower), 1e-9)


def test_2m_is_its_papers_update() -> None:
    """Lu 2022 (DPM-Solver++), algorithm 2, in x with alpha = s and sigma = std, on a VP SDE."""
    sde = VPLinear()
    sigmas = EDMRho()(12, sde)
    start = 0.73 + float(sigmas[0]) * GeneratorNoise(SHAPE, seed=1).prior()
    result = path(DPMpp2M(sde, 12), sigmas, start)
    alpha = sde.scale(sde.time(sigmas[:-1]))
    std = alpha * sigmas[:-1]
    half_log_snr = (alpha / std).log()
    x = alpha[0] * start
    data = [Mixture()(x / alpha[0], float(sigmas[0]))]
    for i in range(1, 12):
        h = half_log_snr[i] - half_log_snr[i - 1]
        combined = data[-1]
        if i > 1:
            r = (half_log_snr[i - 1] - half_log_snr[i - 2]) / h
            combined = (1 + 1 / (2 * r)) * data[-1] - 1 / (2 * r) * data[-2]
        x = std[i] / std[i - 1] * x - alpha[i] * torch.expm1(-h) * combined
        close(result[i - 1], x / alpha[i], 1e-10)
        data.append(Mixture()(x / alpha[i], float(sigmas[i])))
    close(result[-1], data[-1], 1e-10)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_2m_sde_with_a_constant_denoiser_is_exact_for_a_point(eta: float) -> None:
    """For data at one point the family is linear: its mean and variance are known."""
    sigmas = Geometric(sigma_min=0.3, sigma_max=20.0)(5, EDM())
    start = torch.full(SHAPE, 9.0, dtype=torch.float64)
    noise = GeneratorNoise(SHAPE, seed=2)
    walk = states(DPMpp2MSDE(EDM(), 5, eta=eta), sigmas, lambda y, _: 0 * y + 0.7, start, noise)
    state, again = start, GeneratorNoise(SHAPE, seed=2)
    for high, low in zip(sigmas[:-2].tolist(), sigmas[1:-1].tolist()):
        kept = (low / high) ** (1 + eta)
        # The marginal variance is sigma^2 at both ends.
        added = low**2 - kept**2 * high**2
        state = 0.7 + kept * (state - 0.7) + math.sqrt(added) * again.next_increment()
        close(next(walk), state, 1e-10)


def test_3m_is_exact_where_the_denoiser_is_a_parabola_in_log_sigma() -> None:
    """dy/dlambda = D - y with D = p(lambda), by quadrature of its solution."""
    sigmas = EDMRho(sigma_min=0.05, sigma_max=40.0)(14, EDM())

    def parabola(log: float) -> float:
        return 0.7 + 0.3 * log - 0.2 * log**2

    def denoise(y: Tensor, sigma: float | Tensor) -> Tensor:
        return 0 * y + parabola(-math.log(float(sigma)))

    start = torch.tensor([[5.0]], dtype=torch.float64)
    result = torch.stack(
        list(states(DPMpp3M(EDM(), 14), sigmas, denoise, start, GeneratorNoise((1, 1))))
    ).flatten()
    logs = (-sigmas[:-1].log()).tolist()
    errors = []
    for i in range(1, 13):
        begin, end = logs[i], logs[i + 1]
        integral, _ = scipy.integrate.quad(
            lambda log, end=end: math.exp(log - end) * parabola(log), begin, end, epsabs=1e-14
        )
        exact = math.exp(begin - end) * float(result[i - 1]) + integral
        errors.append(abs(float(result[i]) - exact))
    # The second step knows two D only, and corrects the first by as many.
    assert errors[0] > 1e-4
    assert max(errors[1:]) < 1e-11


def rates(sde: SDE, t: float) -> tuple[float, float, float, float]:
    """s, sigma and their derivatives by autograd."""
    time = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    scale, sigma = sde.scale(time), sde.sigma(time)
    scale_rate = float(torch.autograd.grad(scale, time)[0]) if scale.requires_grad else 0.0
    sigma_rate = float(torch.autograd.grad(sigma, time)[0])
    return float(scale.detach()), float(sigma.detach()), scale_rate, sigma_rate


@each_sde
@pytest.mark.parametrize("alpha", [1.0, 0.5, 2 / 3])
def test_edm_stochastic_is_algorithm_2(sde: SDE, alpha: float) -> None:
    """Karras 2022, algorithm 2 in x with eq. 81, churn between S_min and S_max only."""
    sigmas = EDMRho(sigma_min=0.05, sigma_max=60.0)(8, sde)
    churn, low, high, spread = 2.0, 0.3, 30.0, 1.1
    sampler = EDMStochastic(sde, 8, churn, S_min=low, S_max=high, S_noise=spread, alpha=alpha)
    start = 0.73 + 60 * GeneratorNoise(SHAPE, seed=1).prior()
    result = path(sampler, sigmas, start)

    def slope(x: Tensor, t: float) -> Tensor:
        s, sigma, s_rate, sigma_rate = rates(sde, t)
        denoised = Mixture()(x / s, sigma)
        return (sigma_rate / sigma + s_rate / s) * x - sigma_rate * s / sigma * denoised

    noise, y = GeneratorNoise(SHAPE, seed=2), start
    times = sde.time(sigmas[:-1]).tolist()
    churned = 0
    for i, t in enumerate(times):
        s, sigma = float(sde.scale(t)), float(sigmas[i])
        x = s * y
        if low <= sigma <= high:
            t = float(sde.time((1 + 2.0 / 8) * sigma))
            s_raised, raised = float(sde.scale(t)), float(sde.sigma(t))
            x = s_raised / s * x
            x = x + math.sqrt(raised**2 - sigma**2) * s_raised * spread * noise.fresh()
            s, sigma, churned = s_raised, raised, churned + 1
        if i == 7:
            y = Mixture()(x / s, sigma)
        else:
            h = times[i + 1] - t
            first = slope(x, t)
            second = slope(x + alpha * h * first, t + alpha * h)
            x = x + h * ((1 - 1 / (2 * alpha)) * first + 1 / (2 * alpha) * second)
            y = x / float(sde.scale(times[i + 1]))
        close(result[i], y, 1e-8)
    assert 0 < churned < 8


def test_churn_is_at_most_a_doubling_of_the_variance() -> None:
    sigmas = torch.tensor([3.0, 0.0], dtype=torch.float64)
    seen = []

    def denoise(y: Tensor, sigma: float | Tensor) -> Tensor:
        seen.append(float(sigma))
        return y

    sampler = EDMStochastic(EDM(), 1, S_churn=100.0)
    list(states(sampler, sigmas, denoise, torch.zeros(SHAPE), GeneratorNoise(SHAPE)))
    assert seen == [pytest.approx(3 * math.sqrt(2))]


def gaussian_score(x: Tensor, s: float, sigma: float) -> Tensor:
    """Of x_t for N(0.7, 0.35^2) data, by autograd of its density N(s m, s^2 (v + sigma^2))."""
    x = x.detach().requires_grad_()
    std = torch.tensor(s * math.sqrt(VARIANCE + sigma**2), dtype=torch.float64)
    law = torch.distributions.Normal(torch.full_like(std, s * MEAN), std)
    return torch.autograd.grad(law.log_prob(x).sum(), x)[0]


def first_state(sampler: Sampler, sigmas: Tensor, start: Tensor) -> Tensor:
    return next(states(sampler, sigmas, Gaussian(), start, GeneratorNoise(SHAPE, seed=2)))


START = 1.5 + GeneratorNoise(SHAPE, seed=1).prior()
NOISE = GeneratorNoise(SHAPE, seed=2).fresh()


@each_sde
@pytest.mark.parametrize("c", [0.5, 1.0, 1.5])
def test_euler_maruyama_is_a_step_of_the_reverse_sde(sde: SDE, c: float) -> None:
    sigmas = torch.tensor([2.0, 1.7, 0.0], dtype=torch.float64)
    t, t_next = sde.time(sigmas[:2]).tolist()
    s, sigma, s_rate, sigma_rate = rates(sde, t)
    h, squared = t_next - t, 2 * s**2 * sigma * sigma_rate
    x = s * START
    drift = s_rate / s * x - (1 + c**2) / 2 * squared * gaussian_score(x, s, sigma)
    x = x + h * drift + c * math.sqrt(squared * abs(h)) * NOISE
    state = first_state(EulerMaruyama(sde, 2, c=c), sigmas, START)
    close(state, x / float(sde.scale(t_next)), 1e-8)


def test_reverse_diffusion_on_a_vp_chain() -> None:
    """Song 2021, eq. 46: (2 - sqrt(1 - b)) x + b score + sqrt(b) n."""
    sigmas = torch.tensor([2.0, 1.7, 0.0], dtype=torch.float64)
    s, s_next = (1 / math.sqrt(1 + sigma**2) for sigma in (2.0, 1.7))
    b = 1 - (s / s_next) ** 2
    x = s * START
    x = (2 - math.sqrt(1 - b)) * x + b * gaussian_score(x, s, 2.0) + math.sqrt(b) * NOISE
    for sde in (VPLinear(), VPCosine()):
        close(first_state(ReverseDiffusion(sde, 2), sigmas, START), x / s_next, 1e-10)


def test_reverse_diffusion_on_a_ve_chain() -> None:
    sigmas = torch.tensor([2.0, 1.7, 0.0], dtype=torch.float64)
    added = 2.0**2 - 1.7**2
    x = START + added * gaussian_score(START, 1.0, 2.0) + math.sqrt(added) * NOISE
    for sde in (VEGeometric(), EDM()):
        close(first_state(ReverseDiffusion(sde, 2), sigmas, START), x, 1e-10)


@pytest.mark.parametrize("sde", [VPLinear(), VEGeometric()])
def test_a_corrector_comes_before_the_predictor(sde: SDE) -> None:
    """x + e score + sqrt(2 e) n with e = 2 a (r std)^2, a = 1 - B^2 on VP and 1 on VE."""
    sigmas = torch.tensor([2.0, 1.7, 0.0], dtype=torch.float64)
    s, s_next = sde.scale(sde.time(sigmas[:2])).tolist()
    a = (1 + 1.7**2) / (1 + 2.0**2) if isinstance(sde, VPLinear) else 1.0
    e = 2 * a * (0.3 * s * 2.0) ** 2
    x = s * START
    x = x + e * gaussian_score(x, s, 2.0) + math.sqrt(2 * e) * NOISE
    sampler = PredictorCorrector(sde, 2, snr=0.3)
    state = first_state(sampler, sigmas, START)
    noise = GeneratorNoise(SHAPE, seed=2)
    noise.fresh()  # what the corrector used
    predicted = next(states(ReverseDiffusion(sde, 2), sigmas, Gaussian(), x / s, noise))
    close(state, predicted, 1e-10)
    assert s_next > 0


def test_batch_norms_are_songs_rule_over_blocks() -> None:
    """e = 2 a (r |n|/|score|)^2 with the norms' means over each 1,024 samples."""
    sde, count = VPLinear(), 2500
    sigmas = torch.tensor([2.0, 1.7, 0.0], dtype=torch.float64)
    noise = GeneratorNoise((count, 3), seed=5)
    start = 0.73 + 2 * noise.prior()
    sampler = PredictorCorrector(sde, 2, num_corrector_steps=2, snr=0.2, norms="batch")
    used = GeneratorNoise((count, 3), seed=6)
    state = next(states(sampler, sigmas, Mixture(), start, used))
    s = 1 / math.sqrt(1 + 2.0**2)
    again, x = GeneratorNoise((count, 3), seed=6), s * start
    for _ in range(2):
        score = (Mixture()(x / s, 2.0) - x / s) / (s * 2.0**2)
        normal, moved = again.fresh(), []
        for block in (slice(0, 1024), slice(1024, 2048), slice(2048, 2500)):
            norms = [part[block].pow(2).sum(1).sqrt().mean() for part in (normal, score)]
            e = 2 * (1 + 1.7**2) / (1 + 2.0**2) * (0.2 * norms[0] / norms[1]) ** 2
            moved.append(x[block] + e * score[block] + (2 * e).sqrt() * normal[block])
        x = torch.cat(moved)
    predicted = next(states(ReverseDiffusion(sde, 2), sigmas, Mixture(), x / s, again))
    close(state, predicted, 1e-10)
