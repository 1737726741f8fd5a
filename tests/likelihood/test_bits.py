"""Bits per dimension of data whose code length is known."""

import math

import pytest
import torch

from fokker.diffusion.likelihood import LawDivergence, Prior, bits_per_dim, log_likelihood, mean_of
from fokker.diffusion.samplers import StartLaw
from fokker.distributions import Affine, GaussianMixture, Uniform


@pytest.mark.parametrize(
    ("levels", "value_range", "scale"), [(17, 17.0, 9.3), (256, 256.0, 130.0), (256, 1.0, 0.5)]
)
def test_equally_likely_levels_take_log2_of_their_number(
    levels: int, value_range: float, scale: float
) -> None:
    """Uniformly dequantised they are uniform on the range; in units of `scale` higher by scale."""
    density = -5 * math.log(value_range) + 5 * math.log(scale)
    bits = bits_per_dim(torch.full((3,), density), 5, scale, levels, value_range)
    torch.testing.assert_close(bits, torch.full((3,), math.log2(levels)).double())


def test_unequal_levels_take_their_entropy() -> None:
    """Four levels of probabilities 1/2, 1/4, 1/8, 1/8 at spacing 0.5: 1.75 bits."""
    shares = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=torch.float64)
    density = (shares / 0.5).log() + math.log(3.7)
    bits = bits_per_dim(density, 1, 3.7, 4, 2.0)
    assert float(shares @ bits) == pytest.approx(1.75, abs=1e-12)


def test_the_whole_way_from_standardised_uniform_data() -> None:
    """17 levels in two dimensions, dequantised, standardised and integrated along the ODE."""
    law = Uniform([0.0, 0.0], [17.0, 17.0])
    scale = 17 / math.sqrt(12) / 0.5
    here = Affine(law, 8.5, scale)
    x = (torch.tensor([[3.2, 8.0], [12.9, 5.1], [8.5, 14.7]], dtype=torch.float64) - 8.5) / scale
    prior = Prior(StartLaw(here.mean, here.variance), "matched")
    nats = log_likelihood(LawDivergence(here), x, prior, 0.005, 100.0, 1e-8, 1e-8).nats
    bits = bits_per_dim(nats, 2, scale, 17, 17.0)
    torch.testing.assert_close(bits, torch.full((3,), math.log2(17)).double(), rtol=0, atol=1e-5)


def test_bits_do_not_depend_on_the_models_units() -> None:
    law = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])
    x = torch.linspace(-2, 3, 9, dtype=torch.float64)[:, None]
    first = bits_per_dim(law.log_prob(x), 1, 1.0, 64, 8.0)
    second = bits_per_dim(Affine(law, 0.6, 2.5).log_prob((x - 0.6) / 2.5), 1, 2.5, 64, 8.0)
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


def test_the_mean_has_a_standard_error() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, 7.0])
    estimate = mean_of(values)
    assert estimate.value == 4.0
    assert estimate.standard_error == pytest.approx(math.sqrt(26 / 3 / 4))
    with pytest.raises(ValueError, match="at least 2 points"):
        mean_of(values[:1])


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_bad_values_are_refused(bad: int) -> None:
    numbers = [3.0, 0.5, 17.0, 17.0]
    numbers[bad] = 0.0
    name = ("d", "scale", "levels", "value_range")[bad]
    with pytest.raises(ValueError, match=f"{name} must be positive and finite, got 0"):
        bits_per_dim(torch.zeros(2), *numbers)  # type: ignore[arg-type]
