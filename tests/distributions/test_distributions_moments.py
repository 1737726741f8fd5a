"""What holds for every law: moments, samples and the mmse agree with the density."""

import math

import pytest
import torch
from known_laws import (
    BY_QUADRATURE,
    LAWS,
    NAMES,
    assert_close,
)

from fokker.distributions import (
    Distribution,
)


@pytest.mark.parametrize("name", NAMES)
def test_moments_of_samples(name: str) -> None:
    law = LAWS[name]()
    count = 200_000
    x = law.sample(count, torch.Generator().manual_seed(5))
    assert x.shape == (count, law.dim)
    assert x.dtype == torch.float64
    assert law.mean.shape == law.variance.shape == (law.dim,)
    deviation = (x - law.mean) / law.variance.sqrt()
    assert float(deviation.mean(dim=0).abs().max()) < 4.5 / math.sqrt(count)
    error = ((deviation**2).std(dim=0) / math.sqrt(count)).clamp(min=1e-4)
    assert float((((deviation**2).mean(dim=0) - 1) / error).abs().max()) < 4.5


@pytest.mark.parametrize("name", NAMES)
def test_moments_from_the_denoiser_at_large_noise(name: str) -> None:
    # Far above the data's scale the posterior is the prior, tilted by x / sigma^2.
    law = LAWS[name]()
    sigma = 1e5
    x = law.mean[None]
    assert_close(law.denoise(x, sigma)[0], law.mean, 1e-9)
    assert_close(law.posterior_variance(x, sigma), law.variance.sum()[None], 1e-8)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", NAMES)
def test_samples_and_density_agree(name: str) -> None:
    # E[score(x)] = 0 and E|score|^2 = (d - mmse/sigma^2) / sigma^2 for x of the smoothed law.
    law = LAWS[name]()
    sigma, count = 0.3, 20_000
    generator = torch.Generator().manual_seed(9)
    x0 = law.sample(count, generator)
    x = x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    score = law.score(x, sigma)
    error = score.std(dim=0) / math.sqrt(count)
    assert float((score.mean(dim=0) / error).abs().max()) < 4.5
    squares = (score**2).sum(dim=1)
    mmse = law.mmse(sigma)
    expected = (law.dim - mmse.value / sigma**2) / sigma**2
    spread = math.hypot(float(squares.std()) / math.sqrt(count), mmse.standard_error / sigma**4)
    assert abs(float(squares.mean()) - expected) < 4.5 * spread


@pytest.mark.one_in(4)
@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_mmse_is_the_error_of_the_denoiser(name: str, sigma: float) -> None:
    law = LAWS[name]()
    count = 10_000
    generator = torch.Generator().manual_seed(2)
    x0 = law.sample(count, generator)
    x = x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    errors = ((law.denoise(x, sigma) - x0) ** 2).sum(dim=1)
    estimate = law.mmse(sigma, num_samples=4_000)
    spread = math.hypot(float(errors.std()) / math.sqrt(count), estimate.standard_error)
    assert abs(float(errors.mean()) - estimate.value) < 4.5 * spread + 1e-12


@pytest.mark.parametrize("sigma", [0.002, 0.05, 0.4, 3.0, 80.0])
@pytest.mark.parametrize("name", BY_QUADRATURE)
def test_mmse_is_the_mean_posterior_variance(name: str, sigma: float) -> None:
    law = LAWS[name]()
    generator = torch.Generator().manual_seed(8)
    # Where the variance comes from rare points between modes, few samples miss it unawares.
    estimate = law.mmse(sigma)
    sampled = Distribution.mmse(law, sigma, generator, num_samples=4_000)
    spread = sampled.standard_error
    assert abs(sampled.value - estimate.value) < 4.5 * spread + 2e-4 * estimate.value + 1e-14
    assert estimate.standard_error == 0


@pytest.mark.parametrize("name", ["torus", "mixture_2d", "checkerboard"])
def test_the_standard_error_is_that_of_repetitions(name: str) -> None:
    law = LAWS[name]()
    estimates = [
        Distribution.mmse(law, 0.3, torch.Generator().manual_seed(seed), num_samples=400)
        for seed in range(100)
    ]
    spread = float(torch.tensor([estimate.value for estimate in estimates]).std())
    stated = sum(estimate.standard_error for estimate in estimates) / 100
    assert stated == pytest.approx(spread, rel=0.3)
