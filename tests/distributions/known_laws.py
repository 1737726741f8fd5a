"""One law of each kind, with parameters far from 0 and 1, and points to try them at."""

from collections.abc import Callable

import torch
from torch import Tensor

from fokker.distributions import (
    Affine,
    Checkerboard,
    Distribution,
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

COVARIANCE = torch.tensor([[2.0, 0.6, 0.0], [0.6, 0.5, 0.1], [0.0, 0.1, 0.7]], dtype=torch.float64)


def data_set(count: int = 40, dim: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return 1.5 + 0.7 * torch.randn(count, dim, generator=generator, dtype=torch.float64)


LAWS: dict[str, Callable[[], Distribution]] = {
    "uniform": lambda: Uniform(-0.3, 1.7),
    "box": lambda: Uniform([-0.3, 2.0, 0.0], [1.7, 2.5, 9.0]),
    "gaussian": lambda: Gaussian(1.3, 0.6),
    "gaussian_2d": lambda: Gaussian([1.0, -2.0], [0.3, 1.7]),
    "covariance": lambda: GaussianCovariance([1.0, -2.0, 0.5], COVARIANCE),
    "mixture": lambda: GaussianMixture([0.3, 0.7], [-1.0, 1.4], [0.2, 0.4]),
    "mixture_2d": lambda: GaussianMixture(
        [1.0, 2.0, 3.0], [[0.0, 1.0], [2.0, 0.5], [1.0, -1.0]], [0.3, 0.1, 0.5]
    ),
    "ring": lambda: Ring(8, 1.3, 0.1),
    "checkerboard": lambda: Checkerboard(4, -1.0, 2.0),
    "checkerboard_odd": lambda: Checkerboard(3, 0.5, 2.0),
    "empirical": lambda: Empirical(data_set()),
    "empirical_1d": lambda: Empirical(data_set(dim=1)),
    # So many on the line that some stand for others.
    "empirical_1d_many": lambda: Empirical(data_set(count=400, dim=1)),
    "torus": lambda: Torus(1.2, 0.5, 0.0),
    "torus_noisy": lambda: Torus(1.2, 0.5, 0.2),
    "two_moons": lambda: two_moons(0.1),
    "two_moons_thin": lambda: two_moons(0.0),
    "swiss_roll": lambda: swiss_roll(0.05),
    "affine": lambda: Affine(Uniform(-0.3, 1.7), 0.4, 2.5),
    "affine_ring": lambda: Affine(Ring(5, 1.3, 0.1), -0.4, 0.3),
}
NAMES = sorted(LAWS)
ONE_DIMENSIONAL = [name for name in NAMES if LAWS[name]().dim == 1]
BY_QUADRATURE = [
    name
    for name in NAMES
    if not name.startswith(("torus", "two_moons", "swiss_roll"))
    and name not in {"empirical", "mixture_2d"}
]
WITH_DENSITY = [
    name
    for name in NAMES
    if not name.startswith("empirical") and name not in {"torus", "two_moons_thin"}
]


def noisy_points(law: Distribution, sigma: float, count: int = 64, seed: int = 3) -> Tensor:
    """Points of the smoothed law, and as many from 3 to 50 deviations away."""
    generator = torch.Generator().manual_seed(seed)
    x0 = law.sample(count, generator)
    near = x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    direction = direction / direction.norm(dim=1, keepdim=True)
    away = 3 + 47 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    spread = (law.variance.max().sqrt() ** 2 + sigma**2) ** 0.5
    return torch.cat((near, law.mean + away * spread * direction))


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Equal to `tolerance`, relative plus absolute."""
    error = (actual - expected).abs() / (1 + expected.abs())
    assert error.isfinite().all()
    assert float(error.max()) < tolerance
