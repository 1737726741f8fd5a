"""Sums over many points on the line against sums over all of them."""

import math
import time

import pytest
import torch
from torch import Tensor

from fokker.distributions import Empirical
from fokker.distributions.quadrature import integrate, lattice_bells

MANY = 3000


def normal(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator, dtype=torch.float64)


def uniform(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, generator=generator, dtype=torch.float64)


def clusters() -> Tensor:
    widths = ((0.0, 1e-6), (1.0, 1e-2), (1.5, 0.3), (40.0, 1e-9))
    return torch.cat([at + w * normal(MANY // 4, i) for i, (at, w) in enumerate(widths)])


SETS = {
    "normal": 3 + 2 * normal(MANY, 0),
    "clusters": clusters(),
    "heavy_tails": torch.tan(math.pi * (uniform(MANY, 1) - 0.5)),
    "lattice": (300 * uniform(MANY, 2)).floor(),
    "repeated": (5 + 0.7 * normal(150, 3)).repeat(20),
    "outlier": torch.cat((3 + 2 * normal(MANY, 4), torch.tensor([1e9], dtype=torch.float64))),
    "few": 1.5 + 0.7 * normal(30, 5),
    "two": torch.tensor([2.0] * 50 + [5.0] * 20, dtype=torch.float64),
    "one": torch.full((70,), 5.0, dtype=torch.float64),
}


def spread(points: Tensor) -> float:
    return float(points.std(correction=0)) or 1.0


def queries(points: Tensor, sigma: float) -> Tensor:
    """At points, near them, in gaps and far outside."""
    near = points[(len(points) * uniform(60, 6)).long()]
    x = (near[:20], near + sigma * normal(60, 7), near + 12 * sigma * normal(60, 8))
    return torch.cat((*x, points.mean() + 50 * spread(points) * normal(30, 9)))


def direct(points: Tensor, x: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """log p, D and variance by sums over all points, from the nearest one on."""
    parts = []
    for block in torch.split(x, 256):
        away = points - block[:, None]
        nearest = points[away.abs().argmin(dim=1)][:, None]
        away, gap = points - nearest, block[:, None] - nearest
        mass = (away * (2 * gap - away) / (2 * sigma**2)).exp()
        total = mass.sum(dim=1)
        shift = (mass * away).sum(dim=1) / total
        variance = (mass * (away - shift[:, None]) ** 2).sum(dim=1) / total
        normal = math.log(len(points) * sigma * math.sqrt(2 * math.pi))
        log_p = total.log() - (gap[:, 0] / sigma) ** 2 / 2 - normal
        parts.append((log_p, nearest[:, 0] + shift, variance))
    log_p, mean, variance = (torch.cat(part) for part in zip(*parts))
    return log_p, mean, variance


@pytest.mark.one_in(3)
@pytest.mark.parametrize("times_spread", [1e-4, 4e-3, 0.05, 1.0, 100.0])
@pytest.mark.parametrize("name", SETS)
def test_the_posterior_is_that_of_all_points(name: str, times_spread: float) -> None:
    points = SETS[name]
    sigma = times_spread * spread(points)
    law, x = Empirical(points), queries(points, sigma)
    log_p, mean, variance = direct(points, x, sigma)
    assert ((law.log_prob(x, sigma) - log_p).abs() <= 1e-10 * (1 + log_p.abs())).all()
    assert ((law.denoise(x, sigma)[:, 0] - mean).abs() <= 1e-11 * sigma + 1e-15 * mean.abs()).all()
    found = law.posterior_variance(x, sigma)
    assert (found >= 0).all()
    # Points that are left out have a weight of 1e-16.
    assert ((found - variance).abs() <= 1e-10 * variance + 1e-13 * sigma**2).all()


@pytest.mark.parametrize("name", SETS)
def test_queries_of_different_noise_do_not_disturb_each_other(name: str) -> None:
    points = SETS[name]
    sigmas = spread(points) * torch.logspace(-4, 2, 7, dtype=torch.float64)
    x = [queries(points, float(sigma)) for sigma in sigmas]
    order = uniform(7 * len(x[0]), 10).argsort()
    together = Empirical(points).denoise(
        torch.cat(x)[order], sigmas.repeat_interleave(len(x[0]))[order]
    )
    alone = torch.cat([Empirical(points).denoise(q, float(s)) for q, s in zip(x, sigmas)])
    torch.testing.assert_close(together, alone[order], rtol=1e-13, atol=1e-15)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("times_spread", [1e-4, 0.05, 3.0])
@pytest.mark.parametrize("name", SETS)
def test_tails_are_those_of_all_points(name: str, times_spread: float) -> None:
    points = SETS[name]
    sigma = times_spread * spread(points)
    x = queries(points, sigma)
    below = torch.special.erfc((points - x[:, None]) / (sigma * math.sqrt(2))).mean(dim=1) / 2
    # A tail that is 1e-300 small has fewer digits.
    law = Empirical(points)
    torch.testing.assert_close(law.cdf(x, sigma), below, rtol=1e-10, atol=1e-300)
    # Quantiles above the middle come from the upper tail.
    u = torch.tensor([2.0**-30, 0.01, 0.25, 0.4], dtype=torch.float64)
    mirrored = Empirical(-points).quantile(1 - u, sigma)
    error = (law.cdf(-mirrored, sigma) - u).abs()
    rounding = 1e-15 * mirrored.abs() * law.log_prob(-mirrored, sigma).exp()
    assert (error <= 1e-10 * u.clamp(max=1e-2) + rounding).all()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", SETS)
def test_mmse_is_that_of_a_finer_rule_over_all_points(name: str) -> None:
    points = SETS[name][:: max(1, len(SETS[name]) // 100)]
    law = Empirical(points)
    for times_spread in (1e-4, 4e-3, 0.1, 0.16, 0.3, 1.0, 100.0):
        sigma = times_spread * spread(points)

        def density(x: Tensor, sigma: float = sigma) -> Tensor:
            log_p, _, variance = direct(points, x, sigma)
            return log_p.exp() * variance

        exact = integrate(density, lattice_bells(points, sigma, step=0.2))
        # Of two points 20 sigma apart exp(-50) is left out.
        assert law.mmse(sigma).value == pytest.approx(exact, rel=1e-10, abs=1e-20 * sigma**2)


def test_where_everything_ends() -> None:
    """Numbers that no bin is made for: no query, the widest data, a query that is not finite."""
    law = Empirical(SETS["normal"])
    assert law.denoise(torch.empty(0, 1), 0.1).shape == (0, 1)
    assert law.cdf(torch.empty(0, 1), 0.1).shape == (0,)
    assert law.denoise(torch.tensor([math.nan, math.inf]), 0.1).isnan().all()
    far = torch.tensor([-1e200], dtype=torch.float64)
    assert float(law.denoise(far, 0.1)) == float(SETS["normal"].min())
    wide = Empirical(1e300 * SETS["normal"])
    x = 1e300 * torch.tensor([0.5, 3.0], dtype=torch.float64)
    expected = direct(SETS["normal"], x / 1e300, 0.3)[1]
    torch.testing.assert_close(wide.denoise(x, 0.3e300)[:, 0] / 1e300, expected)


def test_the_distribution_function_without_noise_is_exact() -> None:
    points = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    law = Empirical(points)
    assert law.cdf(torch.tensor([1.5, 2.5])).tolist() == [1 / 3, 1.0]
    assert law.quantile(torch.tensor([1 / 3], dtype=torch.float64)).tolist() == [1.0]


@pytest.mark.long
def test_many_points_cost_little() -> None:
    """The floors at 31 levels and 8,192 queries, which are asked for before a training begins.

    Where each query goes through all points they take 300 seconds.
    """
    count = 40_000
    points = torch.cat((3 + 2 * normal(count, 11), torch.tensor([1e4], dtype=torch.float64)))
    sigmas = torch.logspace(-2.69897, 1.90309, 31, dtype=torch.float64) * 4
    x = 3 + 10 * normal(8192, 12)

    def seconds() -> float:
        law, start = Empirical(points), time.process_time()
        for sigma in sigmas.tolist():
            law.mmse(sigma)
        law.denoise(x, sigmas.repeat(265)[: len(x)])
        return time.process_time() - start

    assert min(seconds() for _ in range(2)) < 3.0
