"""The finite data set against sums without blocks and without cleverness."""

import subprocess
import sys
import time

import mpmath
import numpy as np
import pytest
import torch

from fokker.distributions import Empirical, GaussianMixture


def data(count: int, dim: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return 3 + 0.5 * torch.randn(count, dim, generator=generator, dtype=torch.float64)


def in_many_digits(
    x: torch.Tensor, points: torch.Tensor, sigma: float
) -> tuple[float, list[float], float]:
    """log p, D and variance of one query."""
    with mpmath.workdps(40):
        query = [mpmath.mpf(v) for v in x.tolist()]
        rows = [[mpmath.mpf(v) for v in row] for row in points.tolist()]
        energies = [sum((a - b) ** 2 for a, b in zip(query, row)) for row in rows]
        low = min(energies)
        masses = [mpmath.exp(-(e - low) / (2 * mpmath.mpf(sigma) ** 2)) for e in energies]
        total = sum(masses)
        mean = [sum(m * row[i] for m, row in zip(masses, rows)) / total for i in range(len(query))]
        squares = [sum((a - b) ** 2 for a, b in zip(row, mean)) for row in rows]
        variance = sum(m * s for m, s in zip(masses, squares)) / total
        normal = len(query) * mpmath.log(2 * mpmath.pi * mpmath.mpf(sigma) ** 2) / 2
        log_p = mpmath.log(total / len(rows)) - low / (2 * mpmath.mpf(sigma) ** 2) - normal
        return float(log_p), [float(v) for v in mean], float(variance)


@pytest.mark.parametrize("sigma", [0.002, 0.2, 1.0, 80.0])
def test_against_many_digits(sigma: float) -> None:
    points = data(30, 4)
    law = Empirical(points, block_size=7)
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    # Near a point, between two, and 50 deviations away.
    x = torch.cat(
        (points[:3] + sigma * noise[:3], points[:2].mean(dim=0)[None], 3 + 25 * noise[4:])
    )
    exact = [in_many_digits(row, points, sigma) for row in x]
    log_p, denoised, variance = (np.array(part) for part in zip(*exact))
    assert law.log_prob(x, sigma).numpy() == pytest.approx(log_p, rel=1e-10)
    assert law.denoise(x, sigma).numpy() == pytest.approx(denoised, rel=1e-9, abs=1e-9)
    assert law.posterior_variance(x, sigma).numpy() == pytest.approx(variance, rel=1e-9, abs=1e-12)
    score = (denoised - x.numpy()) / sigma**2
    assert law.score(x, sigma).numpy() == pytest.approx(score, rel=1e-9, abs=2e-15 / sigma**2)


def test_small_noise_returns_the_nearest_point() -> None:
    points = data(200, 16)
    law = Empirical(points)
    x = points + 0.002 * torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(law.denoise(x, 0.002), points, rtol=0, atol=1e-13)
    assert float(law.posterior_variance(x, 0.002).max()) < 1e-13
    far = torch.full((1, 16), 1e3, dtype=torch.float64)
    nearest = points[((points - far) ** 2).sum(dim=1).argmin()]
    assert torch.allclose(law.denoise(far, 0.002)[0], nearest, rtol=0, atol=1e-13)
    assert law.log_prob(far, 0.002).isfinite().all()


@pytest.mark.parametrize("sigma", [0.002, 0.3, 10.0])
def test_blocks_do_not_change_a_value(sigma: float) -> None:
    points = data(100, 5)
    x = points.repeat(7, 1) + sigma  # more queries than a block of them
    whole, cut, single = (Empirical(points, block_size=b) for b in (1000, 33, 1))
    for name in ("log_prob", "denoise", "posterior_variance"):
        expected = getattr(whole, name)(x, sigma)
        for other in (cut, single):
            assert torch.allclose(getattr(other, name)(x, sigma), expected, rtol=1e-10, atol=1e-13)
        alone = torch.cat([getattr(whole, name)(x[i : i + 50], sigma) for i in range(0, 700, 50)])
        assert torch.allclose(alone, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_is_the_limit_of_narrow_gaussians(sigma: float) -> None:
    points = data(20, 2)
    law, narrow = Empirical(points), GaussianMixture([1.0] * 20, points, 1e-7)
    x = points + 0.3
    for name in ("log_prob", "denoise", "posterior_variance"):
        expected = getattr(narrow, name)(x, sigma)
        assert torch.allclose(getattr(law, name)(x, sigma), expected, rtol=1e-9, atol=1e-9)


def test_repeated_points_weigh_more() -> None:
    once = Empirical(torch.tensor([0.0, 1.0, 1.0, 1.0]))
    mixture = GaussianMixture([1.0, 3.0], [0.0, 1.0], 1e-8)
    x = torch.linspace(-1, 2, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(once.denoise(x, 0.4), mixture.denoise(x, 0.4), rtol=0, atol=1e-12)
    assert float(once.mean) == 0.75
    assert float(once.variance) == 0.1875


def test_samples_are_the_points_themselves() -> None:
    points = data(50, 3).float()
    x = Empirical(points).sample(1000, torch.Generator().manual_seed(0))
    distance = torch.cdist(x, points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    assert float(distance.min(dim=1).values.max()) == 0
    assert len(set(distance.argmin(dim=1).tolist())) == 50


def test_the_points_are_a_copy() -> None:
    points = data(10, 2)
    law = Empirical(points)
    points.zero_()
    assert float(law.sample(5, torch.Generator().manual_seed(0)).abs().min()) > 0


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_mmse_in_one_dimension_against_the_line(sigma: float) -> None:
    points = data(25, 1)
    law = Empirical(points)
    x = torch.arange(0.0 - 10 * sigma, 6 + 10 * sigma, sigma / 50, dtype=torch.float64)
    density = law.log_prob(x[:, None], sigma).exp() * (sigma / 50)
    assert float(density.sum()) == pytest.approx(1.0, rel=1e-12)
    second = float(density @ (law.denoise(x[:, None], sigma)[:, 0] - law.mean) ** 2)
    estimate = law.mmse(sigma)
    assert estimate.value == pytest.approx(float(law.variance) - second, rel=1e-9, abs=0.0)
    assert estimate.standard_error == 0


def test_cdf_is_the_share_of_points() -> None:
    law = Empirical(torch.tensor([3.0, 1.0, 2.0, 2.0]))
    assert law.cdf(torch.tensor([0.0, 1.0, 1.5, 2.0, 9.0])).tolist() == [0, 0.25, 0.25, 0.75, 1]
    u = torch.tensor([0.0, 0.25, 0.3, 0.75, 0.76, 1.0])
    assert law.quantile(u).tolist() == [1, 1, 2, 2, 3, 3]


def test_ten_thousand_queries_in_a_second() -> None:
    law = Empirical(data(1797, 64))
    x = data(10_000, 64)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        law.denoise(x, 0.5)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1.0


def test_memory_is_bounded() -> None:
    # All logits at once would take 650 MB; the points take 1.6.
    code = """
import resource, torch
from fokker.distributions import Empirical
law = Empirical(torch.randn(40_000, 10))
x = torch.randn(2048, 10)
law.denoise(x[:10], 1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
law.denoise(x, 1.0)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 100
