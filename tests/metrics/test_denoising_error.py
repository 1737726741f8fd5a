"""The denoising error per noise level."""

import math

import numpy as np
import pytest
import torch

from fokker.metrics import DenoisingError

SIGMAS = torch.tensor([0.02, 1.5, 30.0, 80.0])


def test_mean_of_each_bin_agrees_with_numpy_and_an_empty_bin_is_nan() -> None:
    generator = np.random.default_rng(0)
    error = generator.gamma(2.0, 3.0, size=1000)
    bins = generator.choice([0, 1, 3], size=1000)
    metric = DenoisingError(SIGMAS)
    metric.update(torch.from_numpy(error[:300]).float(), torch.from_numpy(bins[:300]))
    metric.update(torch.from_numpy(error[300:]).float(), torch.from_numpy(bins[300:]))
    value = metric.compute()
    assert value.shape == (4,)
    assert value.dtype == torch.float64
    for j in (0, 1, 3):
        assert float(value[j]) == pytest.approx(error[bins == j].mean(), rel=1e-6)
    assert math.isnan(float(value[2]))


def test_ideal_denoiser_of_a_gaussian_reaches_the_floor() -> None:
    # x0 ~ N(3, 4 I) in d = 5: mmse/d = v sigma^2 / (v + sigma^2).
    generator = torch.Generator().manual_seed(1)
    metric = DenoisingError(SIGMAS)
    for j, sigma in enumerate(SIGMAS.double()):
        x0 = 3 + 2 * torch.randn(4000, 5, generator=generator, dtype=torch.float64)
        x = x0 + sigma * torch.randn(4000, 5, generator=generator, dtype=torch.float64)
        denoised = 3 + 4 / (4 + sigma**2) * (x - 3)
        error = (denoised - x0).square().mean(dim=1)
        metric.update(error, torch.full((4000,), j))
    sigma = SIGMAS.double()
    floor = 4 * sigma**2 / (4 + sigma**2)
    assert torch.allclose(metric.compute(), floor, rtol=0.05)
    assert torch.equal(metric.sigmas, sigma)


def test_many_small_errors_beside_a_large_one_are_not_lost() -> None:
    metric = DenoisingError(torch.tensor([1.0]))
    metric.update(torch.tensor([1e8]), torch.tensor([0]))
    for _ in range(100):
        metric.update(torch.ones(10), torch.zeros(10, dtype=torch.int32))
    assert float(metric.compute()) == pytest.approx((1e8 + 1000) / 1001, rel=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_errors_that_are_no_squared_norms_are_refused(value: float) -> None:
    metric = DenoisingError(SIGMAS)
    with pytest.raises(ValueError, match="error must be finite and at least 0, got 1 other"):
        metric.update(torch.tensor([0.2, value]), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (torch.tensor([0, 4]), r"must be in \[0, 4\), got 0 to 4"),
        (torch.tensor([-1, 2]), r"must be in \[0, 4\), got -1 to 2"),
        (torch.tensor([0.0, 1.0]), "must be integers, got torch.float32"),
        (torch.tensor([0]), r"same shape \(n,\), got \(2,\) and \(1,\)"),
    ],
)
def test_wrong_indices_are_refused(index: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenoisingError(SIGMAS).update(torch.tensor([0.2, 0.3]), index)


@pytest.mark.parametrize(
    "sigmas",
    [torch.tensor(1.0), torch.tensor([]), torch.tensor([1.0, 0.0]), torch.tensor([math.inf])],
)
def test_wrong_levels_are_refused(sigmas: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="sigmas must"):
        DenoisingError(sigmas)
