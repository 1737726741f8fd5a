"""Gaussians against scipy and plain linear algebra."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from fokker.distributions import Gaussian, GaussianCovariance

MEAN = [1.0, -2.0, 0.5]
COVARIANCE = np.array([[2.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 0.7]])
X = np.array([[0.3, 1.0, -4.0], [90.0, -70.0, 30.0], [1.0, -2.0, 0.5]])


@pytest.mark.parametrize("sigma", [0.0, 0.002, 0.7, 80.0])
def test_covariance_against_scipy(sigma: float) -> None:
    law = GaussianCovariance(MEAN, torch.tensor(COVARIANCE))
    smooth = COVARIANCE + sigma**2 * np.eye(3)
    x = torch.tensor(X)
    expected = scipy.stats.multivariate_normal(MEAN, smooth).logpdf(X)
    assert law.log_prob(x, sigma).numpy() == pytest.approx(expected, rel=1e-11)
    if sigma == 0:
        return
    offset = X - np.array(MEAN)
    solved = np.linalg.solve(smooth, offset.T).T
    assert law.score(x, sigma).numpy() == pytest.approx(-solved, rel=1e-10, abs=1e-11)
    denoised = np.array(MEAN) + solved @ COVARIANCE
    assert law.denoise(x, sigma).numpy() == pytest.approx(denoised, rel=1e-11, abs=1e-11)
    variance = sigma**2 * np.trace(np.linalg.solve(smooth, COVARIANCE))
    assert law.posterior_variance(x, sigma).numpy() == pytest.approx(
        [variance] * 3, rel=1e-11, abs=0.0
    )
    assert law.mmse(sigma).value == pytest.approx(variance, rel=1e-11, abs=0.0)


def test_sample_covariance() -> None:
    law = GaussianCovariance(MEAN, torch.tensor(COVARIANCE))
    x = law.sample(200_000, torch.Generator().manual_seed(0))
    assert torch.cov(x.T).numpy() == pytest.approx(COVARIANCE, abs=0.03)
    assert x.mean(dim=0).numpy() == pytest.approx(np.array(MEAN), abs=0.02)


@pytest.mark.parametrize("sigma", [0.002, 0.7, 80.0])
def test_independent_coordinates_are_a_diagonal_covariance(sigma: float) -> None:
    std = torch.tensor([0.3, 1.7, 4.0], dtype=torch.float64)
    plain, full = Gaussian(MEAN, std), GaussianCovariance(MEAN, torch.diag(std**2))
    x = torch.tensor(X)
    for name in ("log_prob", "score", "denoise", "posterior_variance"):
        one, other = getattr(plain, name)(x, sigma), getattr(full, name)(x, sigma)
        assert one.numpy() == pytest.approx(other.numpy(), rel=1e-12, abs=1e-12)
    assert plain.mmse(sigma).value == pytest.approx(full.mmse(sigma).value, rel=1e-13, abs=0.0)


def test_singular_covariance() -> None:
    # A constant coordinate, and one that is twice another, as a data set may have.
    generator = torch.Generator().manual_seed(1)
    column = torch.randn(500, 1, generator=generator)
    data = torch.cat((column, 2 * column, torch.full((500, 1), 3.0)), dim=1)
    law = GaussianCovariance(data.mean(dim=0), torch.cov(data.T))
    with pytest.raises(ValueError, match="singular covariance has no density"):
        law.log_prob(data)
    assert law.log_prob(data, 0.1).isfinite().all()
    # Off the line and off the constant, D returns to both.
    denoised = law.denoise(torch.tensor([[1.0, -0.5, 7.0]]), 0.01)
    assert float(denoised[0, 2]) == pytest.approx(3.0, abs=1e-5)
    assert float(denoised[0, 1]) == pytest.approx(2 * float(denoised[0, 0]), abs=1e-4)
    assert law.mmse(1e-3).value == pytest.approx(1e-6, rel=1e-3, abs=0.0)


def test_covariance_from_float32_data() -> None:
    # 64 coordinates of 20 points: rank 19, and eigenvalues of either sign from rounding.
    data = torch.randn(20, 64, generator=torch.Generator().manual_seed(1))
    law = GaussianCovariance(data.mean(dim=0), torch.cov(data.T))
    sigma = 1e-3
    assert law.mmse(sigma).value == pytest.approx(19 * sigma**2, rel=1e-3, abs=0.0)


@pytest.mark.parametrize(
    "law", [Gaussian(1.3, 0.6), GaussianCovariance(1.3, torch.tensor([[0.36]]))]
)
def test_cdf_and_quantile_against_scipy(law: Gaussian | GaussianCovariance) -> None:
    sigma = 0.8
    frozen = scipy.stats.norm(1.3, math.sqrt(float(law.variance) + sigma**2))
    x = np.array([-30.0, -4.0, 0.0, 1.3, 2.0, 9.0])
    expected = frozen.cdf(x)
    assert law.cdf(torch.tensor(x), sigma).numpy() == pytest.approx(expected, rel=1e-11, abs=0.0)
    u = np.array([1e-200, 1e-9, 0.2, 0.5, 0.9])
    quantiles = law.quantile(torch.tensor(u), sigma).numpy()
    assert quantiles == pytest.approx(frozen.ppf(u), rel=1e-12, abs=0.0)


def test_one_number_for_all_coordinates() -> None:
    law = Gaussian([1.0, 2.0], 3.0)
    assert law.variance.tolist() == [9.0, 9.0]
    assert Gaussian(1, [2, 3]).mean.tolist() == [1.0, 1.0]
    assert Gaussian(1, 2).dim == 1
