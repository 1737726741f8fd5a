"""Laws on the line: information, distribution function and quantiles."""

import math

import pytest
import torch
from known_laws import (
    LAWS,
    ONE_DIMENSIONAL,
    assert_close,
    data_set,
    noisy_points,
)


@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_i_mmse(name: str) -> None:
    # dI/dSNR = mmse/2, I(x0; x) = h(x) - h(n) in nats, with the entropy by its own quadrature.
    law = LAWS[name]()

    def information(snr: float) -> float:
        sigma = snr**-0.5
        mean, spread = float(law.mean), math.sqrt(float(law.variance) + sigma**2)
        x = torch.linspace(mean - 14 * spread, mean + 14 * spread, 40_001, dtype=torch.float64)
        log_p = law.log_prob(x[:, None], sigma)
        entropy = -float((log_p.exp() * log_p).sum() * (x[1] - x[0]))
        return entropy - 0.5 * math.log(2 * math.pi * math.e * sigma**2)

    for snr in (0.5, 4.0, 30.0):
        step = 0.02 * snr
        slope = (information(snr - 2 * step) - 8 * information(snr - step)) / (12 * step)
        slope += (8 * information(snr + step) - information(snr + 2 * step)) / (12 * step)
        assert slope == pytest.approx(law.mmse(snr**-0.5).value / 2, rel=2e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.002, 0.3, 80.0])
@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_cdf_and_quantile(name: str, sigma: float) -> None:
    law = LAWS[name]()
    u = torch.tensor([1e-12, 1e-5, 0.01, 0.3, 0.5, 0.83, 0.999, 1 - 1e-9], dtype=torch.float64)
    x = law.quantile(u, sigma)
    assert x.shape == (8,)
    assert (x.diff() >= 0).all()
    if name.startswith("empirical") and sigma == 0:
        assert (law.cdf(x[:, None], sigma) >= u).all()
        points = data_set(count=400 if name.endswith("many") else 40, dim=1)
        assert set(x.tolist()) <= set(points[:, 0].tolist())
        return
    assert (x.diff() > 0).all()
    back = law.cdf(x[:, None], sigma)
    # A quantile is itself rounded, which in the tails is more than the cdf's error.
    rounding = 2e-16 * (1 + x.abs()) * law.log_prob(x[:, None], sigma).exp()
    assert ((back - u).abs() <= 1e-11 * u.clamp(max=1e-2) + 2 * rounding).all()


@pytest.mark.parametrize("sigma", [0.05, 0.3, 80.0])
@pytest.mark.parametrize("name", ONE_DIMENSIONAL)
def test_density_is_the_slope_of_the_cdf(name: str, sigma: float) -> None:
    law = LAWS[name]()
    x = noisy_points(law, sigma)[:64].requires_grad_()
    (slope,) = torch.autograd.grad(law.cdf(x, sigma).sum(), x)
    assert_close(slope[:, 0], law.log_prob(x, sigma).exp().detach(), 1e-10)
