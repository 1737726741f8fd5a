"""A law in other units."""

import math

import pytest
import torch
from known_laws import (
    LAWS,
    NAMES,
    assert_close,
    data_set,
    noisy_points,
)

from fokker.distributions import (
    Affine,
    Checkerboard,
    Distribution,
    Empirical,
    Gaussian,
    GaussianMixture,
    Ring,
    Torus,
    Uniform,
)


@pytest.mark.parametrize("name", NAMES)
def test_affine(name: str) -> None:
    law = LAWS[name]()
    shift, scale, sigma = 1.7, 0.4, 0.3
    here = Affine(law, shift, scale)
    there = noisy_points(law, sigma * scale)
    x = (there - shift) / scale
    level = sigma * scale
    assert_close(here.mean, (law.mean - shift) / scale, 1e-14)
    assert_close(here.variance, law.variance / scale**2, 1e-14)
    assert_close(
        here.log_prob(x, sigma), law.log_prob(there, level) + law.dim * math.log(scale), 1e-9
    )
    assert_close(here.denoise(x, sigma), (law.denoise(there, level) - shift) / scale, 1e-9)
    assert_close(here.score(x, sigma), law.score(there, level) * scale, 1e-9)
    assert_close(
        here.posterior_variance(x, sigma), law.posterior_variance(there, level) / scale**2, 1e-8
    )
    one, other = here.mmse(sigma, num_samples=500), law.mmse(level, num_samples=500)
    assert one.value == pytest.approx(other.value / scale**2, rel=1e-12, abs=0.0)
    error = other.standard_error / scale**2
    assert one.standard_error == pytest.approx(error, rel=1e-6, abs=0.0)
    samples = [d.sample(5, torch.Generator().manual_seed(0)) for d in (here, law)]
    assert_close(samples[0], (samples[1] - shift) / scale, 1e-14)


def test_affine_is_a_law_with_rescaled_parameters() -> None:
    shift, scale = 0.5, 4.0
    pairs: list[tuple[Distribution, Distribution]] = [
        (Affine(Uniform(-1.0, 3.0), shift, scale), Uniform(-0.375, 0.625)),
        (Affine(Gaussian(1.0, 2.0), shift, scale), Gaussian(0.125, 0.5)),
        (
            Affine(GaussianMixture([1, 3], [-1.0, 2.5], [0.4, 2.0]), shift, scale),
            GaussianMixture([1, 3], [-0.375, 0.5], [0.1, 0.5]),
        ),
        (Affine(Empirical(data_set()), shift, scale), Empirical((data_set() - shift) / scale)),
        (Affine(Torus(1.0, 0.5, 0.1), 0.0, scale), Torus(0.25, 0.125, 0.025)),
        (Affine(Checkerboard(4, -1, 1), shift, scale), Checkerboard(4, -0.375, 0.125)),
        (Affine(Ring(6, 2.0, 0.2), 0.0, scale), Ring(6, 0.5, 0.05)),
    ]
    for affine, plain in pairs:
        for sigma in (0.05, 1.0, 80.0):
            x = noisy_points(plain, sigma)
            assert_close(affine.log_prob(x, sigma), plain.log_prob(x, sigma), 1e-11)
            assert_close(affine.denoise(x, sigma), plain.denoise(x, sigma), 1e-11)
            assert_close(affine.score(x, sigma), plain.score(x, sigma), 1e-11)
            assert_close(
                affine.posterior_variance(x, sigma), plain.posterior_variance(x, sigma), 1e-11
            )
            if affine.dim == 1:
                u = torch.linspace(0.01, 0.99, 9)
                assert_close(affine.quantile(u, sigma), plain.quantile(u, sigma), 1e-11)
                assert_close(affine.cdf(x, sigma), plain.cdf(x, sigma), 1e-11)
        assert_close(affine.mean, plain.mean, 1e-13)
        assert_close(affine.variance, plain.variance, 1e-13)
