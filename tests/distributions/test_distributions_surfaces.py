"""Torus and curves against integration that knows nothing of their shape."""

import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from fokker.distributions import Curve, Torus, swiss_roll, two_moons
from fokker.distributions.torus import _missing

Array = np.ndarray
MAJOR, MINOR = 1.2, 0.5


def posterior(x: Array, points: Array, weights: Array, total: float) -> tuple[float, Array, float]:
    """log p, E[c|x] and tr Var(c|x) for points with weights of sum 1.

    Energies are differences to the nearest point's, as products: they do not cancel far away.
    """
    nearest = points[((points - x) ** 2).sum(axis=1).argmin()]
    moved = points - nearest
    energy = (moved * (moved + 2 * (nearest - x))).sum(axis=1) / (2 * total)
    mass = weights * np.exp(-(energy - energy.min()))
    mean = (mass @ moved) / mass.sum()
    variance = (mass @ ((moved - mean) ** 2).sum(axis=1)) / mass.sum()
    square = ((nearest - x) ** 2).sum() / (2 * total) + energy.min()
    log_p = math.log(mass.sum()) - square - len(x) / 2 * math.log(2 * math.pi * total)
    return log_p, nearest + mean, variance


def rounding(variance: float, total: float) -> float:
    """What the rounding of x and of E[c|x] makes of the score: its slope is Var / t^2 - I / t."""
    return max(1e-9, 2e-15 / total + 2e-15 * variance / total**2)


def smooth(mean: Array, variance: float, x: Array, std: float, sigma: float) -> tuple[Array, float]:
    """From the point on the surface to x0, which has noise of its own: two Gaussians multiplied."""
    precision = 1 / sigma**2 + (1 / std**2 if std else math.inf)
    if not std:
        return mean, variance
    denoised = (x / sigma**2 + mean / std**2) / precision
    return denoised, len(x) / precision + variance / (std**2 * precision) ** 2


def torus_points(u: Array, v: Array) -> tuple[Array, Array]:
    radius = MAJOR + MINOR * np.cos(v)
    points = np.stack((radius * np.cos(u), radius * np.sin(u), MINOR * np.sin(v)), axis=-1)
    return points.reshape(-1, 3), (radius / MAJOR).ravel()


def torus_reference(x: Array, total: float) -> tuple[float, Array, float]:
    """A grid over both angles; for little noise only around the nearest place."""
    coarse = np.linspace(0, 2 * math.pi, 721)
    u, v = np.meshgrid(coarse, coarse, indexing="ij")
    best = ((torus_points(u, v)[0] - x) ** 2).sum(axis=1).argmin()
    centre = (u.ravel()[best], v.ravel()[best])
    half = min(math.pi, 0.02 + 14 * math.sqrt(total) / (MAJOR - MINOR))
    count = 900 if half < 1 else 400
    axes = [c + half * (2 * (np.arange(count) + 0.5) / count - 1) for c in centre]
    u, v = np.meshgrid(*axes, indexing="ij")
    points, jacobian = torus_points(u, v)
    return posterior(x, points, jacobian * (half / count / math.pi) ** 2, total)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("std", [0.0, 0.2])
@pytest.mark.parametrize("sigma", [0.002, 0.03, 0.5, 3.0, 80.0])
def test_torus(sigma: float, std: float) -> None:
    law = Torus(MAJOR, MINOR, std)
    places = [[1.7, 0.1, 0.02], [0.3, -0.7, 0.3], [-0.5, 0.2, -0.6], [30.0, -50.0, 20.0]]
    if sigma > 0.1:
        # The middle, the axis and the tube's circle: equally far from whole circles.
        places += [[0.0, 0.0, 0.0], [0.0, 0.0, 0.9], [0.0, MAJOR, 0.0], [1e-9, 0.0, 50.0]]
    total = std**2 + sigma**2
    for place in places:
        x = np.array(place)
        log_p, mean, variance = torus_reference(x, total)
        denoised, spread = smooth(mean, variance, x, std, sigma)
        point = torch.tensor(x)[None]
        assert float(law.log_prob(point, sigma)) == pytest.approx(log_p, rel=1e-9, abs=1e-9)
        assert law.denoise(point, sigma)[0].numpy() == pytest.approx(denoised, rel=1e-9, abs=1e-9)
        score = (mean - x) / total
        assert law.score(point, sigma)[0].numpy() == pytest.approx(
            score, rel=1e-9, abs=rounding(variance, total)
        )
        found = float(law.posterior_variance(point, sigma))
        assert found == pytest.approx(spread, rel=2e-9, abs=0.0)


def test_what_the_ratio_of_bessel_functions_misses() -> None:
    # 1 - I1/I0 across the change from the functions to the series.
    x = [0.0, 1e-3, 0.7, 30.0, 199.9, 200.1, 230.0, 1e4, 1e9]
    with mpmath.workdps(40):
        exact = [float(1 - mpmath.besseli(1, v) / mpmath.besseli(0, v)) for v in x]
    argument = torch.tensor(x, dtype=torch.float64)
    found = _missing(argument, torch.special.i0e(argument)).tolist()
    assert found == pytest.approx(exact, rel=3e-13, abs=0.0)


def test_torus_where_a_whole_circle_is_near() -> None:
    # On the axis at little noise the nearest points are the inner circle: D is on the axis too.
    law = Torus(MAJOR, MINOR, 0.0)
    x = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64)
    assert law.denoise(x, 0.01)[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-15)
    inner = MAJOR - MINOR
    assert float(law.posterior_variance(x, 0.01)) == pytest.approx(inner**2, rel=1e-3, abs=0.0)
    # In the middle of the tube, D is drawn inwards by the shape of the surface.
    x = torch.tensor([[MAJOR, 0.0, 0.0]], dtype=torch.float64)
    assert float(law.posterior_variance(x, 0.01)) == pytest.approx(MINOR**2, rel=0.05, abs=0.0)


def test_torus_is_uniform_in_area() -> None:
    x = Torus(MAJOR, MINOR).sample(100_000, torch.Generator().manual_seed(0))
    distance = torch.hypot(x[:, 0], x[:, 1])
    assert float((torch.hypot(distance - MAJOR, x[:, 2]) - MINOR).abs().max()) < 1e-14
    v = torch.atan2(x[:, 2], distance - MAJOR).numpy()
    exact = lambda a: (a + math.pi + MINOR / MAJOR * np.sin(a)) / (2 * math.pi)  # noqa: E731
    assert scipy.stats.kstest(v, exact).pvalue > 1e-3
    u = torch.atan2(x[:, 1], x[:, 0]).numpy()
    assert scipy.stats.kstest(u, scipy.stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-3


def test_torus_moments() -> None:
    angle = (np.arange(400) + 0.5) * 2 * math.pi / 400
    points, weights = torus_points(*np.meshgrid(angle, angle, indexing="ij"))
    weights = weights / weights.sum()
    law = Torus(MAJOR, MINOR, 0.3)
    assert law.mean.numpy() == pytest.approx(weights @ points, abs=1e-14)
    assert law.variance.numpy() == pytest.approx(weights @ points**2 + 0.09, rel=1e-13, abs=0.0)


def moons(share: Array) -> Array:
    angle = math.pi * (2 * share % 1)
    upper = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    lower = np.stack((1 - np.cos(angle), 0.5 - np.sin(angle)), axis=1)
    return np.where((share < 0.5)[:, None], upper, lower)


def roll(share: Array) -> Array:
    angle = 1.5 * math.pi * (1 + 2 * share)
    return np.stack((angle * np.cos(angle), angle * np.sin(angle)), axis=1) / (4.5 * math.pi)


CURVES: list[tuple[Callable[[float], Curve], Callable[[Array], Array]]] = [
    (two_moons, moons),
    (swiss_roll, roll),
]


def line_rule(panels: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1], ever closer towards the ends of the curves: 0, 1/2 and 1."""
    graded = 2.0 ** -np.arange(2, 45)
    ends = np.concatenate((graded, 0.5 - graded, 0.5 + graded, 1 - graded, [0.0, 0.5, 1.0]))
    ends = np.unique(np.concatenate((ends, np.arange(panels) / panels)))
    nodes, weights = np.polynomial.legendre.leggauss(10)
    widths = np.diff(ends)[:, None]
    return (ends[:-1, None] + widths * (nodes + 1) / 2).ravel(), (widths * weights / 2).ravel()


@pytest.mark.one_in(4)
@pytest.mark.parametrize("std", [0.0, 0.1])
@pytest.mark.parametrize("sigma", [0.002, 0.05, 0.5, 80.0])
@pytest.mark.parametrize("case", [0, 1], ids=["two_moons", "swiss_roll"])
def test_curves(case: int, sigma: float, std: float) -> None:
    build, position = CURVES[case]
    law = build(std)
    share, weights = line_rule(20_000)
    points = position(share)
    total = std**2 + sigma**2
    places = [
        [0.8, 0.62], [0.0, 0.0], [1.0, 0.5], [0.5, 0.25], [-1.3, -0.1], [2.0, 0.9],
        [0.1, -0.7], [-1e-4, 0.02], [0.55, 0.1], [30.0, 40.0], [-2.0, -50.0], [0.0, 45.0],
    ]  # fmt: skip
    for place in places:
        x = np.array(place)
        log_p, mean, variance = posterior(x, points, weights, total)
        denoised, spread = smooth(mean, variance, x, std, sigma)
        point = torch.tensor(x)[None]
        assert float(law.log_prob(point, sigma)) == pytest.approx(log_p, rel=1e-9, abs=1e-9)
        assert law.denoise(point, sigma)[0].numpy() == pytest.approx(denoised, rel=1e-9, abs=1e-9)
        assert law.score(point, sigma)[0].numpy() == pytest.approx(
            (mean - x) / total, rel=1e-9, abs=rounding(variance, total)
        )
        found = float(law.posterior_variance(point, sigma))
        assert found == pytest.approx(spread, rel=2e-9, abs=0.0)


@pytest.mark.parametrize("case", [0, 1], ids=["two_moons", "swiss_roll"])
def test_curve_moments_and_places(case: int) -> None:
    build, position = CURVES[case]
    share, weights = line_rule(200)
    points = position(share)
    mean = weights @ points
    law = build(0.2)
    assert law.mean.numpy() == pytest.approx(mean, abs=1e-13)
    assert law.variance.numpy() == pytest.approx(
        weights @ (points - mean) ** 2 + 0.04, rel=1e-12, abs=0.0
    )
    # Without noise samples lie on the curve, as uniform in the parameter as it is.
    x = build(0.0).sample(20_000, torch.Generator().manual_seed(0)).numpy()
    places = position((np.arange(20_000) + 0.5) / 20_000)
    for column in (0, 1):
        assert scipy.stats.ks_2samp(x[:, column], places[:, column]).statistic < 0.015
    assert all(((places - row) ** 2).sum(axis=1).min() < 1e-7 for row in x[:300])


def test_a_full_circle() -> None:
    # Around its centre a circle is the von Mises law, whose moments are Bessel functions.
    from scipy.special import i0e, i1e

    circle = Curve(
        lambda a: 2 * torch.stack((a.cos(), a.sin()), -1), [k * math.pi / 2 for k in range(5)], 0.0
    )
    for distance, sigma in [(0.0, 0.01), (0.3, 0.02), (1.9, 0.1), (2.5, 1.0), (80.0, 0.05)]:
        x = torch.tensor([[0.6 * distance, 0.8 * distance]], dtype=torch.float64)
        kappa = 2 * distance / sigma**2
        length = 2 * i1e(kappa) / i0e(kappa)
        expected = np.array([0.6, 0.8]) * length
        assert circle.denoise(x, sigma)[0].numpy() == pytest.approx(expected, abs=1e-11)
        log_p = -((distance - 2) ** 2) / (2 * sigma**2) + math.log(i0e(kappa))
        log_p -= math.log(2 * math.pi * sigma**2)
        assert float(circle.log_prob(x, sigma)) == pytest.approx(log_p, rel=1e-11)


def test_noise_of_the_law_and_added_noise_are_the_same() -> None:
    x = torch.tensor([[0.3, 0.2, 0.1], [1.0, 0.9, -0.3]], dtype=torch.float64)
    noisy, plain = Torus(MAJOR, MINOR, 0.3), Torus(MAJOR, MINOR, 0.0)
    assert torch.allclose(noisy.log_prob(x, 0.4), plain.log_prob(x, 0.5), rtol=1e-14, atol=0)
    assert torch.allclose(noisy.log_prob(x), plain.log_prob(x, 0.3), rtol=1e-14, atol=0)
    assert torch.allclose(noisy.score(x, 0.4), plain.score(x, 0.5), rtol=1e-13, atol=1e-14)
    y = x[:, :2]
    one, other = two_moons(0.3), two_moons(0.0)
    assert torch.allclose(one.log_prob(y, 0.4), other.log_prob(y, 0.5), rtol=1e-13, atol=1e-14)
