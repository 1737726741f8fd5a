"""Each weighting as what it stands for: a loss in its own prediction space, or an integral."""

import math

import pytest
import scipy.integrate
import torch
from torch import Tensor, nn

from fokker.diffusion.noise_levels import Levels, LogNormal, LogUniform, NoiseLevels, UniformTime
from fokker.diffusion.preconditioning import EDM as EDMPreconditioning
from fokker.diffusion.sde import SDE, SubVP, VEGeometric, VPLinear
from fokker.diffusion.weighting import (
    EDM,
    ELBO,
    P2,
    SMLD,
    X0,
    Eps,
    Learned,
    Likelihood,
    MinSNR,
    SoftMinSNR,
    V,
    Weighting,
)
from sdes import SDES

SIGMA = torch.logspace(-2.5, 2, 40, dtype=torch.float64)
NOISE = LogNormal()
MEAN, VARIANCE = 0.7, 0.35**2


def weighted(weighting: Weighting, denoised: Tensor, x0: Tensor) -> Tensor:
    return weighting(SIGMA, NOISE) * (denoised - x0) ** 2


def draws() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(x0, n, x, D) with a denoiser that errs by about sigma."""
    generator = torch.Generator().manual_seed(0)
    x0, n, error = torch.randn(3, 40, generator=generator, dtype=torch.float64)
    x0 = MEAN + 0.35 * x0
    return x0, n, x0 + SIGMA * n, x0 + 0.3 * SIGMA * error


def close(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-12)


def test_eps_is_the_error_of_the_noise() -> None:
    x0, n, x, denoised = draws()
    close(weighted(Eps(), denoised, x0), ((x - denoised) / SIGMA - n) ** 2)


def test_smld_is_half_sigma_squared_times_score_matching() -> None:
    x0, n, x, denoised = draws()
    score, target = (denoised - x) / SIGMA**2, -n / SIGMA
    close(weighted(SMLD(), denoised, x0), SIGMA**2 * (score - target) ** 2 / 2)


def test_x0_is_the_error_of_the_data() -> None:
    x0, _, _, denoised = draws()
    close(weighted(X0(), denoised, x0), (denoised - x0) ** 2)


def test_v_is_the_error_of_v() -> None:
    x0, n, x, denoised = draws()
    angle = torch.atan(SIGMA)
    target = angle.cos() * n - angle.sin() * x0
    predicted = angle.cos() * (x - denoised) / SIGMA - angle.sin() * denoised
    close(weighted(V(), denoised, x0), (predicted - target) ** 2)


@pytest.mark.parametrize("sigma_data", [0.5, 0.35])
def test_edm_is_the_error_of_its_network(sigma_data: float) -> None:
    x0, _, x, denoised = draws()
    c = EDMPreconditioning(sigma_data).coefficients(SIGMA)
    network, target = (denoised - c.c_skip * x) / c.c_out, (x0 - c.c_skip * x) / c.c_out
    close(weighted(EDM(sigma_data), denoised, x0), (network - target) ** 2)


@pytest.mark.parametrize("sigma_data", [0.5, 0.35])
def test_edm_makes_the_least_loss_of_a_gaussian_one(sigma_data: float) -> None:
    # Var(x0 | x) by precisions: 1/sd^2 of the data and 1/sigma^2 of the noise.
    mmse = 1 / (1 / sigma_data**2 + 1 / SIGMA**2)
    close(EDM(sigma_data)(SIGMA, NOISE) * mmse, torch.ones_like(SIGMA))


@pytest.mark.parametrize("gamma", [5.0, 2.0])
def test_min_snr_caps_the_error_of_the_noise(gamma: float) -> None:
    x0, n, x, denoised = draws()
    eps_error = ((x - denoised) / SIGMA - n) ** 2
    # Hang 2023: min(SNR, gamma)/SNR on the error of the noise.
    pairs = zip((SIGMA**-2).tolist(), eps_error.tolist())
    expected = [min(snr, gamma) / snr * error for snr, error in pairs]
    close(weighted(MinSNR(gamma), denoised, x0), torch.tensor(expected, dtype=torch.float64))
    assert MinSNR()(torch.tensor(0.01), NOISE) == 5


def test_soft_min_snr_is_the_harmonic_minimum() -> None:
    snr, gamma = SIGMA**-2, 1 / 0.35**2
    close(1 / SoftMinSNR(0.35)(SIGMA, NOISE), 1 / snr + 1 / gamma)


@pytest.mark.parametrize(("k", "gamma"), [(1.0, 1.0), (2.0, 0.5), (1.0, 0.0)])
def test_p2_damps_the_error_of_the_noise(k: float, gamma: float) -> None:
    x0, n, x, denoised = draws()
    eps_error = ((x - denoised) / SIGMA - n) ** 2
    close(weighted(P2(k, gamma), denoised, x0), eps_error * (k + SIGMA**-2) ** -gamma)


def gaussian_error(sigma: float) -> float:
    """E|D - x0|^2 of a denoiser of N(0.7, 0.35^2) that has the variance 30 % too large."""
    wrong = 1.3 * VARIANCE
    gain = wrong / (wrong + sigma**2)
    return (1 - gain) ** 2 * VARIANCE + gain**2 * sigma**2


def mean_over_time(sde: SDE) -> float:
    """`int g^2/(2 s^2 sigma^4) E|D - x0|^2 dt / int dt`, by quadrature in ln t."""
    low, high = float(sde.time(sde.train_sigma_min)), float(sde.time(sde.sigma_max))
    shift = low - 1e-3 if low <= 0 else 0.0  # ve_geometric begins at t = 0

    def integrand(log: float) -> float:
        t = math.exp(log) + shift
        s, sigma = float(sde.scale(t)), float(sde.sigma(t))
        squared = float(sde.diffusion(t)) ** 2
        return squared / (2 * s**2 * sigma**4) * gaussian_error(sigma) * math.exp(log)

    ends = math.log(low - shift), math.log(high - shift)
    total, _ = scipy.integrate.quad(integrand, *ends, limit=400, epsrel=1e-10)
    return total / (high - low)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("kind", [Likelihood, ELBO])
@pytest.mark.parametrize("name", SDES)
def test_likelihood_is_the_mean_over_time_under_any_noise_levels(
    name: str, kind: type[Likelihood] | type[ELBO]
) -> None:
    sde = SDES[name]
    expected = mean_over_time(sde)
    weighting = kind(sde)
    ends = math.log(sde.train_sigma_min), math.log(sde.sigma_max)
    for noise in (UniformTime(sde), LogUniform(sde), LogNormal(), LogNormal(0.5, 2.0)):

        def integrand(log: float, noise: NoiseLevels = noise) -> float:
            sigma = torch.tensor(math.exp(log), dtype=torch.float64)
            weight = float(weighting(sigma, noise)) * float(noise.density(sigma) * sigma)
            return weight * gaussian_error(float(sigma))

        total, _ = scipy.integrate.quad(integrand, *ends, limit=400)
        assert total == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", SDES)
def test_likelihood_by_training_draws(name: str) -> None:
    """The same through the quantiles, as training sees it."""
    sde = SDES[name]
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    for noise in (LogUniform(sde), LogNormal(-3.0, 3.0)):
        sigma = noise.sigma(u)
        errors = torch.tensor([gaussian_error(value) for value in sigma[::50].tolist()])
        loss = Likelihood(sde)(sigma[::50], noise) * errors
        assert float(loss.mean()) == pytest.approx(mean_over_time(sde), rel=0.02)


def test_likelihood_weighs_nothing_outside_the_range() -> None:
    sde = VPLinear()
    outside = torch.tensor([sde.train_sigma_min / 1.1, sde.sigma_max * 1.1]).double()
    assert Likelihood(sde)(outside, LogNormal()).tolist() == [0, 0]


def test_likelihood_under_uniform_time_is_the_integrand_itself() -> None:
    for sde in (VPLinear(), SubVP(), VEGeometric()):
        t = torch.linspace(0.02, 0.98, 20, dtype=torch.float64)
        s, sigma = sde.scale(t), sde.sigma(t)
        expected = sde.diffusion(t) ** 2 / (2 * s**2 * sigma**4)
        torch.testing.assert_close(
            Likelihood(sde)(sigma, UniformTime(sde)), expected, rtol=1e-9, atol=0
        )


def test_likelihood_on_a_fine_chain_is_near_the_mean_over_time() -> None:
    for sde in (VPLinear(), VEGeometric()):
        levels = torch.logspace(
            math.log10(sde.train_sigma_min), math.log10(sde.sigma_max), 2000, dtype=torch.float64
        )
        errors = torch.tensor([gaussian_error(level) for level in levels.tolist()])
        loss = (Likelihood(sde)(levels, Levels().on(levels)) * errors).mean()
        assert float(loss) == pytest.approx(mean_over_time(sde), rel=1e-3)


def chain(length: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    """A VP chain as DDPM writes it: (A_k, B_k^2, sigma_k), each (L,)."""
    added = torch.linspace(1e-3, 0.3, length, dtype=torch.float64)
    kept = (1 - added).sqrt()
    alpha = kept.cumprod(0)
    return kept, added, (1 - alpha**2).sqrt() / alpha


def test_elbo_on_a_chain_is_the_kl_between_posteriors() -> None:
    kept, added, sigma = chain()
    weights = ELBO(VPLinear())(sigma, Levels().on(sigma))
    alpha = kept.cumprod(0)
    std = (1 - alpha**2).sqrt()
    x0 = torch.tensor([0.7, -0.2, 0.4], dtype=torch.float64)
    denoised = x0 + torch.tensor([0.3, 0.1, -0.2], dtype=torch.float64)
    squared = ((denoised - x0) ** 2).sum()
    for k in range(1, len(sigma)):
        x = alpha[k] * x0 + std[k] * torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
        laws = []
        for end in (x0, denoised):
            # Bayes: the prior of x_{k-1} given the end, and x_k = A x_{k-1} + B n.
            precision = 1 / std[k - 1] ** 2 + kept[k] ** 2 / added[k]
            mean = alpha[k - 1] * end / std[k - 1] ** 2 + kept[k] * x / added[k]
            laws.append(torch.distributions.Normal(mean / precision, precision**-0.5))
        divergence = torch.distributions.kl_divergence(*laws).sum()
        assert float(weights[k] * squared) == pytest.approx(float(divergence), rel=1e-8)
    decoder = torch.distributions.Normal(denoised, sigma[0])
    constant = 3 / 2 * math.log(2 * math.pi * float(sigma[0]) ** 2)
    reconstruction = -decoder.log_prob(x0).sum()
    assert float(weights[0] * squared) + constant == pytest.approx(float(reconstruction), rel=1e-9)


def test_elbo_on_a_fine_chain_tends_to_likelihood() -> None:
    sde = VPLinear()
    levels = torch.logspace(
        math.log10(sde.train_sigma_min), math.log10(sde.sigma_max), 4000, dtype=torch.float64
    )
    errors = torch.tensor([gaussian_error(level) for level in levels.tolist()])
    parts = ELBO(sde)(levels, Levels().on(levels)) * errors
    span = float(sde.time(sde.sigma_max) - sde.time(sde.train_sigma_min))
    assert float(parts[1:].sum()) == pytest.approx(span * mean_over_time(sde), rel=5e-3)


def test_a_levels_weight_does_not_depend_on_rounding_of_sigma() -> None:
    _, _, sigma = chain()
    noise = Levels().on(sigma)
    for weighting in (ELBO(VPLinear()), Likelihood(VPLinear())):
        shuffled = sigma.flip(0).float().double()
        torch.testing.assert_close(
            weighting(shuffled, noise), weighting(sigma, noise).flip(0), rtol=1e-5, atol=0
        )


@pytest.mark.parametrize("kind", [Likelihood, ELBO])
def test_effective_share(kind: type[Likelihood] | type[ELBO]) -> None:
    """Kish's share (E w)^2 / E w^2 of the weights w = p_time/p_train, by quadrature in ln sigma."""
    sde = VPLinear()
    weighting = kind(sde)

    def by_quadrature(noise: NoiseLevels) -> float:
        logs = torch.linspace(
            math.log(sde.train_sigma_min), math.log(sde.sigma_max), 200_001, dtype=torch.float64
        )
        sigma = logs.exp()
        # Uniform time's density by finite differences of t over ln sigma.
        (per_log,) = torch.gradient(sde.time(sigma), spacing=(logs,))
        uniform = per_log / (sde.time(sigma[-1]) - sde.time(sigma[0]))
        train = noise.density(sigma) * sigma
        return 1 / float(torch.trapezoid(uniform**2 / train, logs))

    log_uniform = weighting.effective_share(LogUniform(sde))
    lognormal = weighting.effective_share(LogNormal())
    assert log_uniform == pytest.approx(by_quadrature(LogUniform(sde)), rel=1e-3)
    assert log_uniform == pytest.approx(0.57, abs=0.01)
    assert lognormal == pytest.approx(by_quadrature(LogNormal()), rel=1e-2)
    assert lognormal < 0.01
    assert weighting.effective_share(UniformTime(sde)) == pytest.approx(1)
    assert weighting.effective_share(Levels().on(chain()[2])) == 1


def test_learned_weights_tend_to_the_loss_itself() -> None:
    learned = Learned(Eps()).double()
    sigma = torch.logspace(-2.5, 1.9, 300, dtype=torch.float64)
    # A loss that changes over two orders of magnitude, as with real data.
    loss = torch.exp(-3 * torch.sigmoid(torch.log(sigma) + 1) - 1)
    optimizer = torch.optim.LBFGS(
        learned.parameters(), max_iter=300, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = learned.objective(loss, sigma).mean()
        objective.backward()
        return objective

    optimizer.step(closure)
    # With a loss of 0 the objective is u.
    uncertainty = learned.objective(torch.zeros_like(loss), sigma).exp()
    torch.testing.assert_close(uncertainty, loss, rtol=0.02, atol=0)


def test_learned_begins_as_its_base_and_reports_it() -> None:
    learned = Learned(EDM(0.35))
    assert isinstance(learned, nn.Module)
    close(learned(SIGMA, NOISE), EDM(0.35)(SIGMA, NOISE))
    loss = torch.rand(40, generator=torch.Generator().manual_seed(0)) + 0.1
    torch.testing.assert_close(learned.objective(loss, SIGMA), loss)
    assert learned.objective(loss, SIGMA).requires_grad
    # d/du (loss e^{-u} + u) = 1 - loss at u = 0; the bias moves u everywhere.
    learned.objective(loss, SIGMA).sum().backward()
    gradients = [p.grad for p in learned.parameters() if p.shape == (1,)]
    torch.testing.assert_close(gradients[0], (1 - loss).sum()[None])


def test_the_objective_is_the_loss_without_learned_weights() -> None:
    loss = torch.rand(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Eps().objective(loss, SIGMA), loss)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: EDM(0.0), "sigma_data must be positive"),
        (lambda: SoftMinSNR(-1.0), "sigma_data must be positive"),
        (lambda: MinSNR(0.0), r"weighting\.gamma must be positive, got 0"),
        (lambda: MinSNR(math.nan), r"weighting\.gamma must be positive"),
        (lambda: P2(k=0.0), r"weighting\.k must be positive"),
        (lambda: P2(gamma=-1.0), r"weighting\.gamma not negative"),
        (lambda: P2(gamma=math.inf), r"weighting\.gamma .* finite, got k=1 and gamma=inf"),
        (lambda: P2(k=math.inf), r"weighting\.k .* finite, got k=inf and gamma=1"),
        (lambda: EDM(1e-200), r"weighting\.sigma_data .* got 1e-200; change data\.sigma_data"),
        (lambda: SoftMinSNR(math.inf), r"weighting\.sigma_data .* got inf"),
    ],
)
def test_bad_values_are_refused(make: "type[Weighting]", key: str) -> None:
    with pytest.raises(ValueError, match=key):
        make()
