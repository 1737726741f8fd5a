"""Girsanov's divergence against quadrature, and against divergences between known laws."""

import math
from collections.abc import Callable

import pytest
import scipy.integrate
import torch
from torch import Tensor

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.likelihood import Prior, mean_of, pathwise_kl, pathwise_kl_rate
from fokker.diffusion.samplers import StartLaw
from fokker.diffusion.sde import EDM, SDE, Rectified, SubVP, VPLinear
from fokker.distributions import Gaussian, GaussianMixture
from fokker.randomness import Randomness

MIXTURE = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])
OTHER = Gaussian([0.2], [0.9])
LOW, HIGH = 0.04, 30.0


def matched(law: Gaussian | GaussianMixture) -> Prior:
    return Prior(StartLaw(law.mean, law.variance), "matched")


def mean_under_mixture(function: Callable[[Tensor], Tensor], sigma: float) -> float:
    """E f(y), y ~ the noised mixture, by the trapezoidal rule."""
    reach = 12 * math.sqrt(0.4**2 + sigma**2)
    y = torch.linspace(-1.0 - reach, 1.5 + reach, 6001, dtype=torch.float64)
    return float(torch.trapezoid(MIXTURE.log_prob(y, sigma).exp() * function(y[:, None]), y))


def rate_at(sigma: float, denoiser: DenoiserFunction = OTHER.denoise) -> float:
    """The mean of the integrand at sigma, per unit of ln sigma."""
    level = torch.tensor(sigma, dtype=torch.float64)
    return mean_under_mixture(
        lambda y: pathwise_kl_rate(MIXTURE.denoise, denoiser, y, level), sigma
    )


def quadrature(function: Callable[[float], float], start: float, stop: float) -> float:
    value, _ = scipy.integrate.quad(function, start, stop, epsabs=1e-9, epsrel=1e-9, limit=200)
    return float(value)


def divergence_at(sigma: float) -> float:
    """KL(mixture || the other), both noised."""
    return mean_under_mixture(
        lambda y: MIXTURE.log_prob(y, sigma) - OTHER.log_prob(y, sigma), sigma
    )


def test_it_is_what_noise_takes_from_the_divergence_of_two_laws() -> None:
    """`d/dtau KL = -1/2 E|score_p - score_q|^2` for both under the heat flow, tau = sigma^2."""
    path = quadrature(lambda u: rate_at(math.exp(u)), math.log(LOW), math.log(HIGH))
    assert path == pytest.approx(divergence_at(LOW) - divergence_at(HIGH), abs=1e-6)
    assert path > 0.1


def test_the_estimate_is_the_integral() -> None:
    path = divergence_at(LOW) - divergence_at(HIGH)
    x0 = MIXTURE.sample(4000, torch.Generator().manual_seed(2))
    result = pathwise_kl(
        MIXTURE.denoise, OTHER.denoise, x0, LOW, HIGH, matched(OTHER), Randomness(4)
    )
    estimate = mean_of(result.path)
    assert estimate.standard_error < 0.02 * path
    assert estimate.value == pytest.approx(path, abs=4 * estimate.standard_error)


def test_a_wrong_linear_denoiser_of_a_gaussian() -> None:
    """`E|D* - D|^2` of D = b + a x/(1 + sigma^2) in closed form, in two dimensions."""
    law = Gaussian([0.7, -1.1], [0.35, 0.8])
    slope, offset = 0.6, 0.2

    def linear(x: Tensor, sigma: Tensor) -> Tensor:
        level = torch.as_tensor(sigma).reshape(-1, 1)
        return offset + slope * x / (1 + level**2)

    def integrand(log: float) -> float:
        square = math.exp(2 * log)
        kept = law.variance / (law.variance + square)
        gap = kept - slope / (1 + square)
        mean = law.mean - offset - slope * law.mean / (1 + square)
        return float((gap**2 * (law.variance + square) + mean**2).sum() / square)

    exact = quadrature(integrand, math.log(0.1), math.log(10))
    x0 = law.sample(6000, torch.Generator().manual_seed(2))
    result = pathwise_kl(law.denoise, linear, x0, 0.1, 10.0, matched(law), Randomness(4), 32)
    estimate = mean_of(result.path)
    assert estimate.standard_error < 0.01 * exact
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.standard_error)


def test_the_exact_denoiser_has_none() -> None:
    x0 = MIXTURE.sample(50, torch.Generator().manual_seed(2))
    result = pathwise_kl(
        MIXTURE.denoise, MIXTURE.denoise, x0, LOW, HIGH, matched(MIXTURE), Randomness(4)
    )
    assert torch.equal(result.path, torch.zeros(50, dtype=torch.float64))
    assert float(result.prior.mean()) > 0


@pytest.mark.parametrize("sde", [EDM(), VPLinear(), SubVP(), Rectified()])
def test_every_sde_has_the_same(sde: SDE) -> None:
    """`1/2 g^2 E|score_t - s_theta|^2` in the SDE's own t, with scores of x_t."""

    def integrand(t: float) -> float:
        sigma, scale = float(sde.sigma(t)), float(sde.scale(t))
        square = mean_under_mixture(
            lambda y: ((MIXTURE.score(y, sigma) - OTHER.score(y, sigma)) / scale).square()[:, 0],
            sigma,
        )
        return 0.5 * float(sde.squared_diffusion(t)) * square

    per_time = quadrature(integrand, float(sde.time(0.3)), float(sde.time(4.0)))
    assert per_time == pytest.approx(divergence_at(0.3) - divergence_at(4.0), abs=1e-6)


def test_the_priors_part_bounds_its_divergence() -> None:
    """For the law noised to sigma_max, whose divergence is known here."""
    x0 = MIXTURE.sample(4000, torch.Generator().manual_seed(2))
    for high in (2.0, 30.0):
        result = pathwise_kl(
            MIXTURE.denoise, OTHER.denoise, x0, LOW, high, matched(OTHER), Randomness(4), 1
        )
        bound = mean_of(result.prior)
        assert divergence_at(high) < bound.value + 4 * bound.standard_error
        # E KL(N(x0, high^2) || N(m, high^2 + v)) in closed form.
        v, square = 0.81, high**2
        away = float(MIXTURE.variance) + (float(MIXTURE.mean) - 0.2) ** 2
        exact = 0.5 * (math.log1p(v / square) + (square + away) / (square + v) - 1)
        assert bound.value == pytest.approx(exact, abs=4 * bound.standard_error)


def test_a_point_does_not_depend_on_its_batch_nor_its_shape() -> None:
    law = Gaussian([0.7] * 4, [0.35] * 4)
    x0 = law.sample(30, torch.Generator().manual_seed(2))

    def exact(x: Tensor, sigma: Tensor) -> Tensor:
        return law.denoise(x.flatten(1), sigma).reshape(x.shape)

    def shrunk(x: Tensor, sigma: Tensor) -> Tensor:
        return 0.9 * exact(x, sigma) + 0.1

    def run(points: Tensor, start: int) -> Tensor:
        prior = Prior(StartLaw(torch.tensor(0.7), torch.tensor(0.1)))
        return pathwise_kl(exact, shrunk, points, 0.1, 9.0, prior, Randomness(4), 8, start).path

    whole = run(x0, 0)
    torch.testing.assert_close(torch.cat([run(x0[:11], 0), run(x0[11:], 11)]), whole)
    torch.testing.assert_close(run(x0.reshape(30, 2, 2), 0), whole)


def test_bad_values_are_refused() -> None:
    x0, d = torch.zeros(3, 1), MIXTURE.denoise
    for low, high in ((0.0, 1.0), (2.0, 1.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match="sigma_min must be positive and below sigma_max"):
            pathwise_kl(d, d, x0, low, high, matched(OTHER), Randomness(0))
    with pytest.raises(ValueError, match="draws must be at least 1"):
        pathwise_kl(d, d, x0, 0.1, 1.0, matched(OTHER), Randomness(0), draws=0)
    with pytest.raises(ValueError, match="x0 must have shape"):
        pathwise_kl(d, d, x0[:, 0], 0.1, 1.0, matched(OTHER), Randomness(0))
