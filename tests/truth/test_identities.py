"""Identities of scores, losses, information and divergences, each by its own quadrature."""

import math
from itertools import pairwise

import pytest
import torch
from line_laws import DENSITY, LAWS, SIGMAS, SUPPORT, normal, rule, smoothed_rule
from torch import Tensor

from fokker.diffusion import preconditioning, weighting
from fokker.diffusion.noise_levels import LogUniform
from fokker.diffusion.sde import EDM, SDE
from fokker.distributions import Affine, Distribution, Gaussian
from sdes import PLAIN


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest error, relative plus absolute."""
    error = (found - expected).abs() / (1 + expected.abs())
    assert error.isfinite().all()
    return float(error.max())


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", list(LAWS))
def test_the_score_is_the_mean_of_the_conditional_scores(name: str, sigma: float) -> None:
    # score(x) = E[grad_x log p(x | x0) | x], with Bayes' rule done by quadrature over x0.
    law = LAWS[name]
    spread = math.sqrt(float(law.variance) + sigma**2)
    x = torch.linspace(-4.5, 4.5, 25, dtype=torch.float64) * spread + law.mean
    x.requires_grad_()
    x0, weights = rule(*SUPPORT[name], step=0.4 * min(sigma, 0.2))
    joint = DENSITY[name](x0) * weights * normal(x[:, None].detach() - x0, 0.0, sigma)
    marginal = joint.sum(dim=1)
    posterior = joint / marginal[:, None]
    pulls = (x0 - x[:, None].detach()) / sigma**2
    expected = (posterior * pulls).sum(dim=1)
    mean = posterior @ x0
    log_p = law.log_prob(x[:, None], sigma)
    (gradient,) = torch.autograd.grad(log_p.sum(), x)
    point = x.detach()[:, None]
    assert relative(law.score(point, sigma)[:, 0], expected) < 1e-8
    assert relative(gradient, expected) < 1e-8
    assert relative(law.denoise(point, sigma)[:, 0], mean) < 1e-9
    assert relative(log_p.detach(), marginal.log()) < 1e-9
    variance = (posterior * (x0 - mean[:, None]) ** 2).sum(dim=1)
    assert relative(law.posterior_variance(point, sigma), variance) < 1e-9


def wrong_score(x: Tensor, sigma: float) -> Tensor:
    """Of another Gaussian, and a wave on it."""
    return (0.4 - x) / (0.81 + sigma**2) + 0.3 * (2 * x / (1 + sigma) + 0.5).sin()


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("name", list(LAWS))
def test_denoising_and_explicit_score_matching_differ_by_the_mmse(name: str, sigma: float) -> None:
    # E|s(x) - grad log p(x|x0)|^2 = E|s(x) - score(x)|^2 + mmse / sigma^4.
    law = LAWS[name]
    x0, first = rule(*SUPPORT[name], step=0.2)
    n, second = rule(-10, 10, step=0.5)
    target = -n / sigma
    squares = (wrong_score(x0[:, None] + sigma * n, sigma) - target) ** 2
    denoising = (first * DENSITY[name](x0)) @ squares @ (second * normal(n, 0.0, 1.0))
    x, weights = smoothed_rule([name], sigma)
    weights = weights * law.log_prob(x[:, None], sigma).exp()
    explicit = weights @ (wrong_score(x, sigma) - law.score(x[:, None], sigma)[:, 0]) ** 2
    floor = law.mmse(sigma).value / sigma**4
    assert float(denoising) == pytest.approx(float(explicit) + floor, rel=1e-9, abs=0.0)
    # Neither term is lost in the sum.
    assert min(float(explicit), floor) > 1e-6 * float(denoising)


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.2), (0.2, 1.0), (1.0, 5.0), (5.0, 20.0)])
@pytest.mark.parametrize("name", list(LAWS))
def test_information_grows_with_snr_at_half_the_mmse(name: str, low: float, high: float) -> None:
    # I(snr2) - I(snr1) = 1/2 int mmse d snr, I = h(x) - h(sigma n) (Guo, Shamai, Verdu 2005).
    law = LAWS[name]

    def information(sigma: float) -> float:
        x, weights = smoothed_rule([name], sigma)
        log_p = law.log_prob(x[:, None], sigma)
        entropy = -float(weights @ (log_p.exp() * log_p))
        return entropy - 0.5 * math.log(2 * math.pi * math.e * sigma**2)

    log_snr, weights = rule(-2 * math.log(high), -2 * math.log(low), step=0.5, count=10)
    mmse = [law.mmse(math.exp(-0.5 * value)).value for value in log_snr.tolist()]
    gained = 0.5 * float((weights * log_snr.exp()) @ torch.tensor(mmse, dtype=torch.float64))
    assert information(low) - information(high) == pytest.approx(gained, rel=1e-8, abs=0.0)


@pytest.mark.parametrize("sigma", [0.002, *SIGMAS, 80.0])
@pytest.mark.parametrize("std", [0.5, 1.7])
def test_a_gaussian_leaves_nothing_to_edms_network(std: float, sigma: float) -> None:
    # F* = (D* - c_skip x) / c_out = 0, and the weighted loss is 1, for a mean of 0 and this std.
    law = Gaussian([0.0, 0.0, 0.0], std)
    level = torch.tensor([sigma], dtype=torch.float64)
    c = preconditioning.EDM(std).coefficients(level)
    generator = torch.Generator().manual_seed(0)
    x = math.hypot(std, sigma) * torch.randn(50, 3, generator=generator, dtype=torch.float64)

    def output(law: Distribution) -> Tensor:
        return (law.denoise(x, sigma) - c.c_skip * x) / c.c_out

    assert float(output(law).abs().max()) < 1e-11
    weight = float(weighting.EDM(std)(level, LogUniform(EDM())))
    assert weight * law.mmse(sigma).value / law.dim == pytest.approx(1.0, rel=1e-12)
    # D* of another mean is off by (1 - c_skip) of it.
    shifted = Gaussian([0.3, 0.3, 0.3], std)
    assert relative(output(shifted) * c.c_out, (1 - c.c_skip) * 0.3 * torch.ones_like(x)) < 1e-12
    assert abs(weight * Gaussian(0.0, 1.2 * std).mmse(sigma).value - 1) > 1e-4 * min(1, sigma**2)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_edms_target_has_unit_variance_and_its_loss_is_at_most_1(sigma: float) -> None:
    # For any standardised law: the best linear denoiser is what is left when F = 0.
    std, name = 0.5, "mixture"
    law = Affine(LAWS[name], float(LAWS[name].mean), float(LAWS[name].variance.sqrt()) / std)
    level = torch.tensor(sigma, dtype=torch.float64)
    c = preconditioning.EDM(std).coefficients(level)
    u, first = rule(*SUPPORT[name], step=0.2)
    n, second = rule(-10, 10, step=0.5)
    x0 = ((u - law.shift) / law.scale)[:, None]
    first, second = first * DENSITY[name](u), second * normal(n, 0.0, 1.0)
    target = (x0 - c.c_skip * (x0 + sigma * n)) / c.c_out
    assert float(first @ target**2 @ second) == pytest.approx(1.0, rel=1e-9)
    assert float(first @ (c.c_in * (x0 + sigma * n)) ** 2 @ second) == pytest.approx(1.0, rel=1e-9)
    weight = float(weighting.EDM(std)(level, LogUniform(EDM())))
    # F* is a function of x; what it cannot tell of the target is the floor.
    x = x0 + sigma * n
    best = (law.denoise(x.reshape(-1, 1), sigma).reshape(x.shape) - c.c_skip * x) / c.c_out
    known = float(first @ best**2 @ second)
    assert weight * law.mmse(sigma).value == pytest.approx(1 - known, rel=1e-9)
    assert known > 1e-9


KL_LOW, KL_HIGH = 0.1, 10.0


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sde", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("pair", [("mixture", "gaussian"), ("uniform", "mixture")], ids=":".join)
def test_the_divergence_lost_along_the_path(pair: tuple[str, str], sde: SDE) -> None:
    # KL(p_min||q_min) - KL(p_max||q_max) = 1/2 int g^2 E_p|score_p - score_q|^2 dt, in x_t.
    p, q = (LAWS[name] for name in pair)

    def divergence(t: float) -> float:
        x, weights, s, sigma = state(t)
        log_p, log_q = (law.log_prob(x / s, sigma) - math.log(s) for law in (p, q))
        return float(weights @ (log_p.exp() * (log_p - log_q)))

    def state(t: float) -> tuple[Tensor, Tensor, float, float]:
        """Nodes and weights over x_t; s and sigma."""
        s, sigma = float(sde.scale(t)), float(sde.sigma(t))
        y, weights = smoothed_rule(pair, sigma)
        return (s * y)[:, None], s * weights, s, sigma

    def rate(t: float) -> float:
        x, weights, s, sigma = state(t)
        density = p.log_prob(x / s, sigma).exp() / s
        gap = (p.score(x / s, sigma) - q.score(x / s, sigma))[:, 0] / s
        return 0.5 * float(sde.squared_diffusion(t) * (weights @ (density * gap**2)))

    # Panels that are short where the noise is low, in the SDE's own time.
    borders = sde.time(torch.logspace(math.log10(KL_LOW), math.log10(KL_HIGH), 9).double()).tolist()
    lost = 0.0
    for start, stop in pairwise(borders):
        t, weights = rule(start, stop, step=stop - start, count=10)
        lost += sum(w * rate(v) for v, w in zip(t.tolist(), weights.tolist()))
    first, last = divergence(borders[0]), divergence(borders[-1])
    assert first - last == pytest.approx(lost, abs=1e-6, rel=1e-6)
    assert first > 20 * last > 0


def test_the_second_writing_of_the_laws() -> None:
    for name, law in LAWS.items():
        x, weights = rule(*SUPPORT[name], step=0.05)
        share = weights * DENSITY[name](x)
        assert float(share.sum()) == pytest.approx(1.0, rel=1e-12)
        assert float(share @ x) == pytest.approx(float(law.mean), rel=1e-12)
        assert float(share @ (x - law.mean) ** 2) == pytest.approx(float(law.variance), rel=1e-12)
