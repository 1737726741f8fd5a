"""The covariance matrix of every law."""

import pytest
import torch
from known_laws import COVARIANCE, LAWS, NAMES, assert_close, data_set
from torch import Tensor

from fokker.distributions import (
    Affine,
    Checkerboard,
    Curve,
    Empirical,
    Gaussian,
    GaussianCovariance,
    GaussianMixture,
    Ring,
    Torus,
    Uniform,
    swiss_roll,
    two_moons,
)

BENT = Curve(lambda a: torch.stack((3 * a + 1, a**2), dim=-1), [-1.0, 0.0, 2.0], 0.3)


@pytest.mark.parametrize("name", NAMES)
def test_a_symmetric_matrix_with_the_variance_on_its_diagonal(name: str) -> None:
    law = LAWS[name]()
    covariance = law.covariance
    assert covariance.shape == (law.dim, law.dim)
    assert covariance.dtype == torch.float64
    assert_close(covariance, covariance.T, 1e-15)
    assert_close(covariance.diagonal(), law.variance, 1e-14)
    assert float(torch.linalg.eigvalsh(covariance).min()) > 0
    assert_close(Affine(law, 1.7, 0.4).covariance, covariance / 0.16, 1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_the_covariance_of_a_million_samples(name: str) -> None:
    law, count = LAWS[name](), 1_000_000
    x = law.sample(count, torch.Generator().manual_seed(4)) - law.mean
    spread = law.variance.sqrt()
    for i in range(law.dim):
        for j in range(i, law.dim):
            product = x[:, i] * x[:, j] / (spread[i] * spread[j])
            exact = float(law.covariance[i, j] / (spread[i] * spread[j]))
            error = max(float(product.std()) / count**0.5, 1e-6)
            assert abs(float(product.mean()) - exact) < 4.5 * error


def test_closed_forms() -> None:
    def same(found: Tensor, expected: list[list[float]] | Tensor, tolerance: float = 1e-13) -> None:
        assert_close(found, torch.as_tensor(expected, dtype=torch.float64), tolerance)

    same(Uniform([1.0, 0.0], [4.0, 0.6]).covariance, [[0.75, 0.0], [0.0, 0.03]])
    same(Gaussian([3.0, 1.0], [0.5, 2.0]).covariance, [[0.25, 0.0], [0.0, 4.0]])
    same(GaussianCovariance([1.0, -2.0, 0.5], COVARIANCE).covariance, COVARIANCE)
    # Means (0, 4) and (4, 12) with weights 1/4 and 3/4: 3/16 of the squares of (4, 8).
    mixture = GaussianMixture([1.0, 3.0], [[0.0, 4.0], [4.0, 12.0]], [2.0, 1.0])
    same(mixture.covariance, [[4.75, 6.0], [6.0, 13.75]])
    # 2x2 cells on [-1, 1]^2: E[xy] is 1/4 on both cells. 3x3 on [0, 3]^2: E x = E y = 3/2, and
    # E[xy] = (4 (1/2 + 5/2)^2/4 + 9/4)/5 = 9/4: the off-diagonal vanishes by symmetry.
    same(Checkerboard(2).covariance, [[1 / 3, 0.25], [0.25, 1 / 3]])
    same(Checkerboard(3, 0.0, 3.0).covariance, [[53 / 60, 0.0], [0.0, 53 / 60]])
    # 4x4 on [0, 4]^2: even strips 0, 2 around 3/2, odd ones around 5/2.
    same(Checkerboard(4, 0.0, 4.0).covariance, [[4 / 3, 0.25], [0.25, 4 / 3]])
    same(Ring(8, 1.3, 0.1).covariance, [[1.3**2 / 2 + 0.01, 0.0], [0.0, 1.3**2 / 2 + 0.01]])
    same(Ring(2, 1.3, 0.1).covariance, [[1.3**2 + 0.01, 0.0], [0.0, 0.01]])
    across = (1.2**2 + 1.5 * 0.25) / 2 + 0.04
    torus = [[across, 0.0, 0.0], [0.0, across, 0.0], [0.0, 0.0, 0.165]]
    same(Torus(1.2, 0.5, 0.2).covariance, torus)
    # c = (3a + 1, a^2), a uniform on [-1, 2]: Var a = 3/4, Cov(a, a^2) = 5/4 - 1/2, Var a^2 = 6/5.
    same(BENT.covariance, [[6.75 + 0.09, 2.25], [2.25, 1.2 + 0.09]])
    # The two moons are each other turned by pi around (1/2, 1/4): one moon's covariance, and that
    # of the middles (0, 2/pi) and (1, 1/2 - 2/pi). cos a and sin a are uncorrelated.
    between = 0.25 * (0.5 - 4 / torch.pi)
    assert float(two_moons(0.1).covariance[0, 1]) == pytest.approx(between, rel=1e-12)


def test_the_covariance_of_the_swiss_roll() -> None:
    # int a^2 cos a sin a da over [1.5 pi, 4.5 pi] and int a cos a, int a sin a in closed form.
    def anti(a: Tensor) -> Tensor:
        mixed = -(a**2) * (2 * a).cos() / 4 + a * (2 * a).sin() / 4 + (2 * a).cos() / 8
        return torch.stack((mixed, a * a.sin() + a.cos(), a.sin() - a * a.cos()))

    ends = torch.tensor([1.5, 4.5], dtype=torch.float64) * torch.pi
    mixed, first, second = (anti(ends).diff(dim=1)[:, 0] / (3 * torch.pi)).tolist()
    exact = (mixed - first * second) / (4.5 * torch.pi) ** 2
    assert float(swiss_roll(0.05).covariance[0, 1]) == pytest.approx(exact, rel=1e-12)
    assert abs(exact) > 1e-3


def test_a_finite_set_has_its_population_covariance() -> None:
    points = data_set(1_001, 5) @ torch.diag(torch.tensor([1.0, 3.0, 0.1, 9.0, 2.0])).double()
    points[:, 1] += points[:, 0]
    covariance = Empirical(points, block_size=7).covariance
    assert_close(covariance, torch.cov(points.T, correction=0), 1e-13)
    single = Empirical(points.float())
    assert_close(single.covariance, torch.cov(points.float().double().T, correction=0), 1e-13)
    assert single.covariance is single.covariance


def test_blocks_of_a_large_set() -> None:
    # More numbers than a block holds, far from 0.
    points = 100 + torch.randn(3_000, 500, generator=torch.Generator().manual_seed(0))
    law = Empirical(points)
    expected = torch.cov(points.double().T, correction=0)
    assert_close(law.covariance, expected, 1e-12)
    assert_close(law.covariance.diagonal(), law.variance, 1e-14)


def test_nobody_pays_for_a_covariance_that_is_not_asked_for() -> None:
    law = Empirical(data_set())
    assert "covariance" not in vars(law)
    _ = law.covariance
    assert "covariance" in vars(law)
