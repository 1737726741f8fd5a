"""The law of the latents, and its distance to noised data."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from fokker.diffusion.likelihood import Prior
from fokker.diffusion.samplers import StartLaw

MEAN = torch.tensor([[0.7, -0.4], [1.2, 3.0]])
VARIANCE = torch.tensor([[0.5, 0.1], [2.0, 0.3]])
LAW = StartLaw(MEAN, VARIANCE)


def normal(kind: str, sigma: float) -> Normal:
    added = VARIANCE.double() if kind == "matched" else torch.zeros_like(VARIANCE).double()
    return Normal(MEAN.double(), (added + sigma**2).sqrt())


@pytest.mark.parametrize("kind", ["published", "matched"])
def test_it_is_the_law_that_samplers_start_from(kind: str) -> None:
    y = torch.linspace(-9, 8, 12, dtype=torch.float64).reshape(3, 2, 2)
    prior = Prior(LAW, kind)  # type: ignore[arg-type]
    exact: Tensor = normal(kind, 2.5).log_prob(y).sum((1, 2))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(prior.log_prob(y, 2.5), exact, rtol=1e-12, atol=1e-12)


def test_published_is_the_default() -> None:
    y = torch.ones(1, 2, 2)
    assert torch.equal(Prior(LAW).log_prob(y, 2.5), Prior(LAW, "published").log_prob(y, 2.5))
    assert not torch.equal(Prior(LAW).log_prob(y, 2.5), Prior(LAW, "matched").log_prob(y, 2.5))


@pytest.mark.parametrize("kind", ["published", "matched"])
@pytest.mark.parametrize("sigma", [0.3, 2.5, 80.0])
def test_kl_of_a_noised_point(kind: str, sigma: float) -> None:
    x0: Tensor = torch.linspace(-2, 3, 12).reshape(3, 2, 2)
    noised = Normal(x0.double(), sigma)
    exact = kl_divergence(noised, normal(kind, sigma)).sum((1, 2))
    prior = Prior(LAW, kind)  # type: ignore[arg-type]
    torch.testing.assert_close(prior.kl(x0, sigma), exact, rtol=1e-7, atol=1e-14)


def test_kl_keeps_its_digits_at_high_noise() -> None:
    """`r^2/4` an element for x0 = m, r = v/sigma^2: far below the rounding of its terms."""
    kl = Prior(StartLaw(MEAN, torch.ones(2, 2)), "matched").kl(MEAN[None], 1e3)
    assert float(kl) == pytest.approx(4 * 1e-12 / 4, rel=1e-3)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="published or matched, got exact"):
        Prior(LAW, "exact")  # type: ignore[arg-type]
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite variances of at least 0"):
            Prior(StartLaw(torch.zeros(2), torch.tensor([1.0, bad])))
