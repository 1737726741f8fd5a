"""What holds for every law: score, denoiser and posterior variance are derivatives of log p."""

import pytest
import torch
from known_laws import LAWS, NAMES, assert_close, noisy_points
from torch import Tensor


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 80.0])
@pytest.mark.parametrize("name", NAMES)
def test_score_is_the_gradient_of_log_prob(name: str, sigma: float) -> None:
    law = LAWS[name]()
    x = noisy_points(law, sigma).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x, sigma).sum(), x)
    assert_close(law.score(x, sigma).detach(), gradient, 1e-8)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
@pytest.mark.parametrize("name", NAMES)
def test_score_is_the_slope_of_log_prob(name: str, sigma: float) -> None:
    # Without autograd: the difference of two values, of sixth order.
    law = LAWS[name]()
    x = noisy_points(law, sigma, count=16)[:16]
    step = 0.02 * sigma
    for i in range(law.dim):
        shift = torch.zeros(law.dim, dtype=torch.float64)
        shift[i] = step
        slope = sum(
            weight * (law.log_prob(x + k * shift, sigma) - law.log_prob(x - k * shift, sigma))
            for k, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
        )
        assert isinstance(slope, Tensor)
        assert_close(law.score(x, sigma)[:, i], slope / step, 1e-6)


@pytest.mark.parametrize("sigma", [0.002, 0.3, 2.0, 80.0])
@pytest.mark.parametrize("name", NAMES)
def test_tweedie(name: str, sigma: float) -> None:
    law = LAWS[name]()
    x = noisy_points(law, sigma)
    score = law.score(x, sigma)
    assert_close(law.denoise(x, sigma), x + sigma**2 * score, 1e-11)
    # The difference of D and x is rounded as they are.
    rounding = 1e-15 * (1 + x.abs().max(dim=1, keepdim=True).values) / sigma**2
    difference = (law.denoise(x, sigma) - x) / sigma**2 - score
    assert (difference.abs() <= rounding + 1e-11 * (1 + score.abs())).all()


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2.0, 80.0])
@pytest.mark.parametrize("name", NAMES)
def test_posterior_variance_is_the_divergence_of_the_denoiser(name: str, sigma: float) -> None:
    law = LAWS[name]()
    x = noisy_points(law, sigma).requires_grad_()
    denoised = law.denoise(x, sigma)
    divergence = torch.zeros(len(x), dtype=torch.float64)
    for i in range(law.dim):
        (row,) = torch.autograd.grad(denoised[:, i].sum(), x, retain_graph=True)
        divergence += row[:, i]
    variance = law.posterior_variance(x, sigma).detach()
    assert (variance >= 0).all()
    # A tie between stretches of the law makes rounding in x as large as this.
    assert_close(variance / sigma**2, divergence, 1e-7)


@pytest.mark.parametrize("sigma", [0.002, 0.05, 1.0, 80.0, 152.0])
@pytest.mark.parametrize("name", NAMES)
def test_finite_everywhere(name: str, sigma: float) -> None:
    law = LAWS[name]()
    far = torch.cat((noisy_points(law, sigma), 50 * noisy_points(law, sigma)))
    far = torch.cat((far, torch.zeros(1, law.dim), law.mean[None], torch.full((1, law.dim), 1e4)))
    assert law.log_prob(far, sigma).isfinite().all()
    assert law.score(far, sigma).isfinite().all()
    assert law.denoise(far, sigma).isfinite().all()
    variance = law.posterior_variance(far, sigma)
    assert variance.isfinite().all()
    assert (variance >= 0).all()
