"""What every law takes and refuses."""

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from known_laws import (
    LAWS,
    NAMES,
    WITH_DENSITY,
    assert_close,
    noisy_points,
)

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


@pytest.mark.parametrize("name", NAMES)
def test_sigma_may_differ_from_row_to_row(name: str) -> None:
    law = LAWS[name]()
    x = noisy_points(law, 0.5, count=4)
    sigma = torch.tensor([0.002, 0.1, 0.5, 1.0, 2.0, 7.0, 20.0, 80.0])
    for method in (law.log_prob, law.score, law.denoise, law.posterior_variance):
        rows = [method(x[i : i + 1], float(sigma[i])) for i in range(8)]
        assert_close(method(x, sigma), torch.cat(rows), 1e-12)


@pytest.mark.parametrize("name", WITH_DENSITY)
def test_rows_without_noise_among_others(name: str) -> None:
    law = LAWS[name]()
    x = law.sample(2, torch.Generator().manual_seed(4))
    both = law.log_prob(x, torch.tensor([0.0, 0.3], dtype=torch.float64))
    assert both[0] == law.log_prob(x)[0]
    assert both[1] == law.log_prob(x, 0.3)[1]
    assert both.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_converted_inside(name: str) -> None:
    law = LAWS[name]()
    x = noisy_points(law, 0.5, count=4).float()
    for method in (law.log_prob, law.score, law.denoise, law.posterior_variance):
        result = method(x, torch.tensor(0.5, dtype=torch.float32))
        assert result.dtype == torch.float64
        assert torch.equal(result, method(x.double(), 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_given_generator_is_used(name: str) -> None:
    law = LAWS[name]()
    before = torch.get_rng_state()
    first = law.sample(100, torch.Generator().manual_seed(1))
    again = law.sample(100, torch.Generator().manual_seed(1))
    other = law.sample(100, torch.Generator().manual_seed(2))
    assert law.mmse(0.4, num_samples=100) == law.mmse(0.4, num_samples=100)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_refusals_of_arguments(name: str) -> None:
    law = LAWS[name]()
    x = law.mean[None]
    with pytest.raises(ValueError, match=rf"shape \(n, {law.dim}\)"):
        law.denoise(torch.zeros(3, law.dim + 1), 1.0)
    for sigma in (0.0, -1.0, math.nan, math.inf):
        for method in (law.score, law.denoise, law.posterior_variance):
            with pytest.raises(ValueError, match="sigma must be positive"):
                method(x, sigma)
        with pytest.raises(ValueError, match="sigma must be positive"):
            law.mmse(sigma)
    with pytest.raises(ValueError, match="sigma must be a number or have shape"):
        law.denoise(law.mean.expand(3, law.dim), torch.ones(2))
    with pytest.raises(ValueError, match="sigma must be finite and not negative"):
        law.log_prob(x, -0.1)
    if name not in WITH_DENSITY:
        with pytest.raises(ValueError, match="no density"):
            law.log_prob(x)
    if law.dim > 1:
        with pytest.raises(ValueError, match="cdf needs one dimension"):
            law.cdf(x, 1.0)
        with pytest.raises(ValueError, match="quantile needs one dimension"):
            law.quantile(torch.tensor([0.5]), 1.0)
    else:
        with pytest.raises(ValueError, match="u must lie in"):
            law.quantile(torch.tensor([0.5, 1.1]), 1.0)


BAD: list[tuple[str, Callable[[], object]]] = [
    ("low must be below high=1, got 1", lambda: Uniform(1.0, 1.0)),
    ("low must be below high=2, got 3", lambda: Uniform([0.0, 3.0], [1.0, 2.0])),
    ("low must be finite", lambda: Uniform(-math.inf, 1.0)),
    ("dim must be at least 1", lambda: Uniform(0.0, 1.0, dim=0)),
    ("dim must be 2", lambda: Uniform([0.0, 0.0], 1.0, dim=3)),
    ("std must be positive", lambda: Gaussian(0.0, 0.0)),
    ("std must be positive", lambda: Gaussian([0.0, 1.0], [1.0, -1.0])),
    ("mean must be finite", lambda: Gaussian(math.nan, 1.0)),
    ("std must be one number or 3", lambda: Gaussian([0.0] * 3, [1.0, 1.0])),
    ("covariance must have shape", lambda: GaussianCovariance([0.0], torch.eye(2))),
    ("no negative eigenvalue", lambda: GaussianCovariance([0.0, 0.0], -torch.eye(2))),
    ("symmetric", lambda: GaussianCovariance([0.0] * 2, torch.tensor([[1.0, 0.5], [0.0, 1.0]]))),
    ("covariance must be finite", lambda: GaussianCovariance([0.0], torch.tensor([[math.nan]]))),
    ("positive sum", lambda: GaussianMixture([0.0, 0.0], [0.0, 1.0], 1.0)),
    ("weights must not be negative", lambda: GaussianMixture([2.0, -1.0], [0.0, 1.0], 1.0)),
    ("stds must be positive", lambda: GaussianMixture([1.0, 1.0], [0.0, 1.0], [1.0, 0.0])),
    ("means must have shape", lambda: GaussianMixture([1.0, 1.0], [0.0, 1.0, 2.0], 1.0)),
    ("means must be finite", lambda: GaussianMixture([1.0, 1.0], [0.0, math.nan], 1.0)),
    ("modes must be at least 1", lambda: Ring(0, 1.0, 0.1)),
    ("radius must be positive", lambda: Ring(8, 0.0, 0.1)),
    ("std must be positive", lambda: Ring(8, 1.0, 0.0)),
    ("cells must be at least 2", lambda: Checkerboard(1)),
    ("low must be below high", lambda: Checkerboard(4, 1.0, -1.0)),
    ("points must have shape", lambda: Empirical(torch.zeros(0, 3))),
    ("points must have shape", lambda: Empirical(torch.zeros(2, 3, 4))),
    ("points must be finite", lambda: Empirical(torch.tensor([[0.0], [math.nan]]))),
    ("block_size must be", lambda: Empirical(torch.zeros(3, 1), block_size=0)),
    ("minor must be below major=1, got 1", lambda: Torus(1.0, 1.0)),
    ("minor must be positive", lambda: Torus(1.0, 0.0)),
    ("std must be finite and not negative", lambda: Torus(1.0, 0.5, -0.1)),
    ("std must be finite and not negative", lambda: two_moons(-0.1)),
    ("std must be finite and not negative", lambda: swiss_roll(math.nan)),
    ("knots must be", lambda: Curve(torch.zeros_like, [0.0, 0.0], 0.1)),
    ("scale must be positive", lambda: Affine(Gaussian(0.0, 1.0), 0.0, 0.0)),
    ("shift must be finite", lambda: Affine(Gaussian(0.0, 1.0), math.inf, 1.0)),
]


@pytest.mark.parametrize(("text", "build"), BAD, ids=[f"{i}_{t}" for i, (t, _) in enumerate(BAD)])
def test_refusals_of_parameters(text: str, build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=text):
        build()


def test_import_is_light() -> None:
    code = "import sys, fokker.distributions; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
