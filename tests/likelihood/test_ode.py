"""Likelihoods along the ODE, against densities in closed form and against other integrations."""

import copy
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor

from fokker.diffusion.denoiser import Denoiser, DenoiserFunction
from fokker.diffusion.likelihood import (
    ExactDivergence,
    HutchinsonDivergence,
    LawDivergence,
    Prior,
    decode,
    encode,
    log_likelihood,
)
from fokker.diffusion.preconditioning import EDM as EDMPreconditioning
from fokker.diffusion.samplers import StartLaw
from fokker.diffusion.sde import EDM, SDE, Rectified, SubVP, VPCosine, VPLinear
from fokker.distributions import (
    Affine,
    Distribution,
    Gaussian,
    GaussianCovariance,
    GaussianMixture,
    Ring,
)
from fokker.networks import MLP
from fokker.randomness import Randomness

MIXTURE = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])
RING = Ring(8, 1.3, 0.1)
COVARIANCE = torch.tensor([[0.5, 0.2, 0.1], [0.2, 0.3, -0.1], [0.1, -0.1, 0.8]])
FULL = GaussianCovariance([0.7, -0.4, 1.2], COVARIANCE)


def matched(law: Distribution) -> Prior:
    return Prior(StartLaw(law.mean, law.variance), "matched")


def points(law: Distribution, n: int) -> Tensor:
    return law.sample(n, torch.Generator().manual_seed(4))


def test_a_gaussian_with_its_own_prior_is_exact() -> None:
    """At any sigma_max, for the matched prior is then the very law of y_T."""
    law = Gaussian([0.7], [0.35])
    x = torch.linspace(-1.5, 3.0, 12, dtype=torch.float64)[:, None]
    for high in (0.5, 80.0):
        result = log_likelihood(LawDivergence(law), x, matched(law), 0.03, high, 1e-9, 1e-9)
        torch.testing.assert_close(result.nats, law.log_prob(x, 0.03), rtol=0, atol=1e-7)
        # The flow of a Gaussian is affine.
        ratio = math.sqrt((0.35**2 + high**2) / (0.35**2 + 0.03**2))
        torch.testing.assert_close(result.latents, 0.7 + ratio * (x - 0.7), rtol=1e-7, atol=1e-7)


def test_a_full_covariance_in_any_shape() -> None:
    """The prior knows its diagonal only, of which the rest is nothing at sigma_max = 3000."""
    x = points(FULL, 12)
    result = log_likelihood(LawDivergence(FULL), x, matched(FULL), 0.05, 3000.0, 1e-9, 1e-9)
    torch.testing.assert_close(result.nats, FULL.log_prob(x, 0.05), rtol=0, atol=1e-6)
    prior = Prior(StartLaw(FULL.mean[:, None], FULL.variance[:, None]), "matched")
    shaped = log_likelihood(
        LawDivergence(FULL), x[:, :, None], prior, 0.05, 3000.0, 1e-9, 1e-9
    )
    assert shaped.latents.shape == (12, 3, 1)
    torch.testing.assert_close(shaped.nats, result.nats, rtol=0, atol=1e-9)


@pytest.mark.parametrize("law", [MIXTURE, RING, FULL])
def test_log_density_along_the_flow(law: Distribution) -> None:
    """log p(x; low) - log p(y; high) is the integral, for densities known at both ends."""
    x, prior = points(law, 20), matched(law)
    for low, high in ((0.02, 3.0), (0.4, 80.0)):
        result = log_likelihood(LawDivergence(law), x, prior, low, high, 1e-9, 1e-9)
        integral = result.nats - prior.log_prob(result.latents, high)
        exact = law.log_prob(x, low) - law.log_prob(result.latents, high)
        torch.testing.assert_close(integral, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("law", [MIXTURE, RING])
def test_the_priors_error_goes_with_sigma_max(law: Distribution) -> None:
    x = points(law, 20)
    exact = law.log_prob(x, 0.02)
    errors = []
    for high in (3.0, 300.0):
        nats = log_likelihood(LawDivergence(law), x, matched(law), 0.02, high, 1e-8, 1e-8).nats
        errors.append(float((nats - exact).abs().max()))
    assert errors[1] < 1e-5 < 1e-3 < errors[0]


def smooth(x: Tensor, sigma: Tensor) -> Tensor:
    """No posterior mean of anything, but a denoiser all the same."""
    sigma = sigma.reshape(-1, 1)
    return 0.2 + 0.3 * torch.sin(2 * x / (1 + sigma)) + 0.4 * x / (1 + sigma**2)


def test_the_density_of_any_denoiser_integrates_to_one() -> None:
    prior = Prior(StartLaw(torch.tensor([0.2]), torch.tensor([0.4])))
    x = torch.linspace(-4.0, 5.0, 901, dtype=torch.float64)
    nats = log_likelihood(ExactDivergence(smooth), x[:, None], prior, 0.1, 20.0, 1e-7, 1e-7).nats
    density = nats.exp()
    assert float(density[0]) < 1e-9
    assert float(density[-1]) < 1e-9
    assert float(torch.trapezoid(density, x)) == pytest.approx(1, abs=1e-5)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("sde", [EDM(), VPLinear(), VPCosine(), SubVP(), Rectified()])
def test_it_is_the_likelihood_of_every_sdes_own_ode(sde: SDE) -> None:
    """dx/dt = a x + b D(x/s; sigma) in the SDE's own t and x_t, with scipy: same latents, and
    the densities of x_t and y differ by s^d."""
    low, high = 0.05, 12.0
    t0, t1 = float(sde.time(low)), float(sde.time(high))
    s0, s1 = float(sde.scale(t0)), float(sde.scale(t1))
    x = points(RING, 1)
    prior = matched(RING)
    result = log_likelihood(LawDivergence(RING), x, prior, low, high, 1e-9, 1e-9)

    def rate(t: float, state: np.ndarray) -> np.ndarray:
        sigma, scale = float(sde.sigma(t)), float(sde.scale(t))
        a, b = sde.velocity(t)
        y = torch.from_numpy(state[None, :2]) / scale
        jacobian = torch.func.jacrev(lambda v: RING.denoise(v, sigma)[0])(y)
        trace = float(jacobian.squeeze(1).trace())
        velocity = a * state[:2] + b * RING.denoise(y, sigma)[0].numpy()
        return np.append(velocity, 2 * a + b * trace / scale)

    begin = np.append(s0 * x[0].numpy(), 0.0)
    end = scipy.integrate.solve_ivp(rate, (t0, t1), begin, "DOP853", rtol=1e-8, atol=1e-8).y[:, -1]
    y_end = torch.from_numpy(end[None, :2]) / s1
    torch.testing.assert_close(result.latents, y_end, rtol=1e-5, atol=1e-5)
    density = float(prior.log_prob(y_end, high)) - 2 * math.log(s1) + end[2]
    assert float(result.nats) == pytest.approx(density + 2 * math.log(s0), abs=1e-5)


@pytest.mark.parametrize("law", [MIXTURE, RING, FULL])
def test_decode_undoes_encode(law: Distribution) -> None:
    x = points(law, 15)
    latents = encode(law.denoise, x, 0.02, 80.0, 1e-8, 1e-8)
    assert float(latents.std()) > 20
    torch.testing.assert_close(
        decode(law.denoise, latents, 0.02, 80.0, 1e-8, 1e-8), x, rtol=0, atol=1e-5
    )
    result = log_likelihood(LawDivergence(law), x, matched(law), 0.02, 80.0, 1e-8, 1e-8)
    torch.testing.assert_close(result.latents, latents, rtol=0, atol=1e-4)


def test_latents_are_the_quantiles_of_the_noised_law() -> None:
    u = torch.linspace(0.02, 0.98, 25, dtype=torch.float64)
    low, high = (MIXTURE.quantile(u, sigma)[:, None] for sigma in (0.02, 80.0))
    torch.testing.assert_close(
        encode(MIXTURE.denoise, low, 0.02, 80.0, 1e-9, 1e-9), high, rtol=0, atol=1e-5
    )


def test_other_units_change_the_density_by_their_ratio() -> None:
    """The same law in units of 1/3: log p grows by -d ln 3, nothing else changes."""
    x, factor = points(RING, 10), 3.0
    larger = Affine(RING, 0.0, 1 / factor)
    first = log_likelihood(LawDivergence(RING), x, matched(RING), 0.03, 50.0, 1e-9, 1e-9)
    second = log_likelihood(
        LawDivergence(larger), factor * x, matched(larger), 0.09, 150.0, 1e-9, 1e-9
    )
    torch.testing.assert_close(
        second.nats, first.nats - 2 * math.log(factor), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(second.latents, factor * first.latents, rtol=1e-6, atol=1e-6)


def test_a_sample_does_not_depend_on_its_batch() -> None:
    x, prior = points(RING, 12), matched(RING)

    def run(start: int, stop: int) -> Tensor:
        divergence = HutchinsonDivergence(RING.denoise, Randomness(2), start, stop, (2,))
        return log_likelihood(divergence, x[start:stop], prior, 0.05, 20.0, 1e-6, 1e-6).nats

    whole = run(0, 12)
    parts = torch.cat([run(0, 1), run(1, 8), run(8, 12)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-9)
    result = log_likelihood(LawDivergence(RING), x, prior, 0.05, 20.0, 1e-6, 1e-6)
    assert result.evaluations.shape == (12,)
    assert len(set(result.evaluations.tolist())) > 1


def test_hutchinson_is_right_on_average() -> None:
    """300 numbers of one sample; in one dimension every one is exact."""
    x, low, high = points(RING, 1), 0.3, 6.0
    exact = float(log_likelihood(LawDivergence(RING), x, matched(RING), low, high).nats)
    divergence = HutchinsonDivergence(RING.denoise, Randomness(2), 0, 300, (2,), probes=2)
    result = log_likelihood(divergence, x.expand(300, 2), matched(RING), low, high)
    error = float(result.nats.std()) / math.sqrt(300)
    assert 1e-3 < error < 0.1
    assert float(result.nats.mean()) == pytest.approx(exact, abs=4 * error)
    x = points(MIXTURE, 8)
    one = HutchinsonDivergence(MIXTURE.denoise, Randomness(2), 0, 8, (1,))
    torch.testing.assert_close(
        log_likelihood(one, x, matched(MIXTURE), low, high, 1e-9, 1e-9).nats,
        log_likelihood(LawDivergence(MIXTURE), x, matched(MIXTURE), low, high, 1e-9, 1e-9).nats,
        rtol=0,
        atol=1e-7,
    )


def test_a_network_in_float32_and_its_copy_in_float64() -> None:
    torch.manual_seed(0)
    single = Denoiser(MLP((2,), (-2.0, 2.0), width=32, depth=1), EDMPreconditioning(0.5))
    torch.nn.init.normal_(single.network.last.weight, std=0.05)  # type: ignore[union-attr,arg-type]
    double = copy.deepcopy(single).double()
    prior = Prior(StartLaw(torch.zeros(2), torch.full((2,), 0.25)))
    x = 0.5 * torch.randn(8, 2)
    nats = [
        log_likelihood(ExactDivergence(denoiser), x, prior, 0.002, 80.0, tolerance, tolerance).nats
        for denoiser, tolerance in ((single, 1e-6), (double, 1e-8))
    ]
    assert nats[0].dtype == torch.float64
    assert not nats[0].requires_grad
    torch.testing.assert_close(nats[0], nats[1], rtol=0, atol=1e-4)
    latents = encode(single, x, 0.002, 80.0, 1e-6, 1e-6)
    assert not latents.requires_grad
    torch.testing.assert_close(
        decode(single, latents, 0.002, 80.0, 1e-6, 1e-6).float(), x, rtol=0, atol=1e-4
    )


def test_bad_values_are_refused() -> None:
    x, prior, d = points(RING, 3), matched(RING), LawDivergence(RING)
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="sigma_min must be positive and below sigma_max"):
            log_likelihood(d, x, prior, low, high)
        with pytest.raises(ValueError, match="sigma_min must be positive and below sigma_max"):
            decode(RING.denoise, x, low, high)
    with pytest.raises(ValueError, match=r"shape \(n, \*shape\), got \(2,\)"):
        encode(RING.denoise, x[0], 0.1, 1.0)
    with pytest.raises(ValueError, match=r"rtol and atol must be positive, got 0 and 0\.1"):
        encode(RING.denoise, x, 0.1, 1.0, rtol=0.0, atol=0.1)
    broken: DenoiserFunction = lambda x, sigma: x * math.nan  # noqa: E731
    with pytest.raises(ValueError, match="not finite"):
        encode(broken, x, 0.1, 1.0)
    empty = log_likelihood(d, x[:0], prior, 0.1, 1.0)
    assert empty.nats.shape == (0,)
