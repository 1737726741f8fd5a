"""Gaussian mixtures against their formula in many digits, and their mmse against integration."""

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from fokker.distributions import Gaussian, GaussianMixture, Ring

WEIGHTS = [0.2, 0.5, 0.3]
MEANS = [[0.0, 1.0], [2.0, 0.5], [1.0, -1.0]]
STDS = [0.3, 0.1, 0.5]
EQUAL = [0.1, 0.1, 0.1]


def in_many_digits(
    x: list[float], sigma: float, means: list[list[float]], stds: list[float]
) -> tuple[float, list[float], list[float], float]:
    """log p, score, D and variance: sums over components, in 60 digits."""
    with mpmath.workdps(60):
        logs, posterior_means, slopes, inner = [], [], [], []
        for weight, mean, std in zip(WEIGHTS, means, stds):
            s2, noise = mpmath.mpf(std) ** 2, mpmath.mpf(sigma) ** 2
            t = s2 + noise
            difference = [mpmath.mpf(a) - mpmath.mpf(b) for a, b in zip(x, mean)]
            square = sum(value**2 for value in difference)
            logs.append(
                mpmath.log(mpmath.mpf(weight))
                - len(x) / mpmath.mpf(2) * mpmath.log(2 * mpmath.pi * t)
                - square / (2 * t)
            )
            posterior_means.append(
                [m + s2 / t * d for m, d in zip(map(mpmath.mpf, mean), difference)]
            )
            slopes.append([-d / t for d in difference])
            inner.append(len(x) * s2 * noise / t)
        top = max(logs)
        masses = [mpmath.exp(value - top) for value in logs]
        total = sum(masses)
        shares = [mass / total for mass in masses]
        denoised = [sum(r * m[i] for r, m in zip(shares, posterior_means)) for i in range(len(x))]
        score = [sum(r * g[i] for r, g in zip(shares, slopes)) for i in range(len(x))]
        squares = [sum((a - b) ** 2 for a, b in zip(m, denoised)) for m in posterior_means]
        variance = sum(r * (v + q) for r, v, q in zip(shares, inner, squares))
        # The weights sum to 1 only to float64 rounding.
        log_p = top + mpmath.log(total) - mpmath.log(sum(map(mpmath.mpf, WEIGHTS)))
        return (
            float(log_p),
            [float(v) for v in score],
            [float(v) for v in denoised],
            float(variance),
        )


@pytest.mark.parametrize("sigma", [0.002, 0.1, 1.0, 80.0])
@pytest.mark.parametrize("stds", [STDS, EQUAL])
def test_against_many_digits(sigma: float, stds: list[float]) -> None:
    law = GaussianMixture(WEIGHTS, MEANS, stds)
    points = [[0.1, 0.9], [1.1, 0.7], [1.4, -0.2], [-0.5, -0.2], [30.0, 41.0], [-50.0, 2.0]]
    # On the way from the middle of two components straight out: a tie far outside.
    points += [[1.0 + k * 0.5, 0.75 + k * 2.0] for k in (2.0, 10.0, 24.0)]
    x = torch.tensor(points, dtype=torch.float64)
    exact = [in_many_digits(point, sigma, MEANS, stds) for point in points]
    log_p, score, denoised, variance = (np.array(part) for part in zip(*exact))
    assert law.log_prob(x, sigma).numpy() == pytest.approx(log_p, rel=1e-12, abs=1e-11)
    assert law.score(x, sigma).numpy() == pytest.approx(score, rel=1e-9, abs=1e-9)
    assert law.denoise(x, sigma).numpy() == pytest.approx(denoised, rel=1e-9, abs=1e-9)
    assert law.posterior_variance(x, sigma).numpy() == pytest.approx(variance, rel=1e-9, abs=0.0)


@pytest.mark.parametrize("sigma", [0.002, 0.3, 80.0])
def test_one_component_is_a_gaussian(sigma: float) -> None:
    one = GaussianMixture([5.0, 0.0], [[1.0, -2.0], [3.0, 3.0]], [0.7, 0.1])
    law = Gaussian([1.0, -2.0], 0.7)
    x = torch.tensor([[0.0, 0.0], [40.0, -7.0]], dtype=torch.float64)
    for name in ("log_prob", "score", "denoise", "posterior_variance"):
        expected = getattr(law, name)(x, sigma).numpy()
        assert getattr(one, name)(x, sigma).numpy() == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert one.mmse(sigma).value == pytest.approx(law.mmse(sigma).value, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 4.0])
@pytest.mark.parametrize("stds", [[0.2, 0.4], [0.02, 3.0], [0.05, 0.05]])
def test_mmse_in_one_dimension_against_scipy(sigma: float, stds: list[float]) -> None:
    weights, means = np.array([0.3, 0.7]), np.array([-1.0, 1.4])
    total = np.array(stds) ** 2 + sigma**2

    def integrand(x: float) -> float:
        density = weights * scipy.stats.norm.pdf(x, means, np.sqrt(total))
        inner = np.array(stds) ** 2 * sigma**2 / total
        centres = (sigma**2 * means + np.array(stds) ** 2 * x) / total
        p = density.sum()
        if p == 0:
            return 0.0
        middle = (density * centres).sum() / p
        return float((density * (inner + (centres - middle) ** 2)).sum())

    marks = sorted(
        m + k * math.sqrt(t) for m, t in zip(means, total) for k in (-9, -5, -2, 0, 2, 5, 9)
    )
    exact = sum(
        scipy.integrate.quad(integrand, a, b, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
        for a, b in pairwise(marks)
    )
    law = GaussianMixture(weights, means, stds)
    assert law.mmse(sigma).value == pytest.approx(exact, rel=1e-9, abs=0.0)
    assert law.mmse(sigma).standard_error == 0


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 5.0])
def test_mmse_of_the_ring_against_the_plane(sigma: float) -> None:
    # One lattice over the whole plane, and the variance as E|x0|^2 - E|D|^2.
    law = Ring(6, 1.3, 0.15)
    spread = math.hypot(sigma, 0.15)
    axis = torch.arange(-1.3 - 9 * spread, 1.3 + 9 * spread, 0.12 * spread, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    density = law.log_prob(plane, sigma).exp() * (axis[1] - axis[0]) ** 2
    assert float(density.sum()) == pytest.approx(1.0, rel=1e-12)
    second = float(density @ (law.denoise(plane, sigma) ** 2).sum(dim=1))
    assert law.mmse(sigma).value == pytest.approx(
        float(law.variance.sum()) - second, rel=1e-9, abs=0.0
    )
    assert law.mmse(sigma).standard_error == 0


def test_mmse_elsewhere_has_an_error() -> None:
    assert GaussianMixture(WEIGHTS, MEANS, STDS).mmse(0.5).standard_error > 0


def test_cdf_against_scipy_and_flat_stretches() -> None:
    law = GaussianMixture([1.0, 3.0], [-4.0, 5.0], [0.1, 0.3])
    x = np.array([-9.0, -4.05, 0.0, 4.9, 8.0])
    expected = 0.25 * scipy.stats.norm.cdf(x, -4.0, 0.1) + 0.75 * scipy.stats.norm.cdf(x, 5.0, 0.3)
    assert law.cdf(torch.tensor(x)).numpy() == pytest.approx(expected, rel=1e-11, abs=1e-300)
    # 1/4 of the mass lies below a gap of 80 deviations.
    u = torch.tensor([0.0, 0.25 - 1e-9, 0.25 + 1e-9, 1.0], dtype=torch.float64)
    found = law.quantile(u)
    assert found[0] == -math.inf
    assert found[3] == math.inf
    assert float(found[1]) == pytest.approx(-4.0 + 0.1 * scipy.stats.norm.ppf(1 - 4e-9), rel=1e-8)
    assert float(found[2]) == pytest.approx(5.0 + 0.3 * scipy.stats.norm.ppf(4e-9 / 3), rel=1e-8)


def test_ring_places() -> None:
    law = Ring(4, 2.0, 0.01)
    x = law.sample(4000, torch.Generator().manual_seed(0))
    angles = torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 2)
    assert float((angles - angles.round()).abs().max()) < 0.03
    counts = torch.bincount(angles.round().long() % 4, minlength=4)
    assert (counts - 1000).abs().max() < 130
    assert law.variance.tolist() == pytest.approx([2.0 + 1e-4] * 2)
    assert Ring(1, 2.0, 0.1).mean.tolist() == [2.0, 0.0]


def test_sampling_weights() -> None:
    law = GaussianMixture([1.0, 0.0, 3.0], [0.0, 5.0, 10.0], 0.1)
    x = law.sample(40_000, torch.Generator().manual_seed(0))[:, 0]
    assert float((x < 2).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert not bool(((x > 2) & (x < 8)).any())
