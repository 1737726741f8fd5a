"""The quick forms of the uniform denoiser, against many digits and against the quadrature."""

import time
from collections.abc import Callable

import mpmath
import pytest
import torch
from known_laws import assert_close
from torch import Tensor

from fokker.distributions import Affine, Uniform
from fokker.distributions.interval import (
    ROUNDING,
    WIDE,
    interval_density,
    interval_mean,
    interval_posterior,
    interval_tails,
)

LOW, HIGH = -0.3, 1.7
CENTRE, HALF = 0.7, 1.0
LAW = Uniform(LOW, HIGH)


def in_many_digits(x: float, sigma: float) -> float:
    """D by the textbook's formula."""
    with mpmath.workdps(60):
        a, b, s = mpmath.mpf(LOW), mpmath.mpf(HIGH), mpmath.mpf(sigma)
        z1, z2 = (x - a) / s, (x - b) / s
        if z2 > 0:
            mass = mpmath.ncdf(-z2) - mpmath.ncdf(-z1)
        else:
            mass = mpmath.ncdf(z1) - mpmath.ncdf(z2)
        return float(x + s * (mpmath.npdf(z1) - mpmath.npdf(z2)) / mass)


def quadrature(x: Tensor, sigma: float | Tensor) -> Tensor:
    sigma = torch.as_tensor(sigma, dtype=torch.float64)
    return interval_posterior(x, LAW.low, LAW.high, sigma).mean


def straight(low: float, high: float, count: int = 2_001) -> Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64)[:, None]


@pytest.mark.parametrize("sigma", [0.002, 0.03, 0.5, 2.0, 7.9, 8.1, 30.0, 80.0, 1000.0])
def test_every_branch_against_many_digits(sigma: float) -> None:
    places = [0.0, 1e-9, 0.3, 0.999, 1.0, 1.01, 1.7, 9.0, 60.0, 110.0, 1e3, 1e4]
    places += [k * sigma for k in (0.5, 3.0, 7.9, 8.1, 40.0)]
    x = torch.tensor(places + [-place for place in places], dtype=torch.float64) + CENTRE
    exact = torch.tensor([in_many_digits(place, sigma) for place in x.tolist()], dtype=x.dtype)
    assert float((LAW.denoise(x, sigma)[:, 0] - exact).abs().max()) < 5e-13


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.7, 3.0, 7.99, 8.01, 80.0])
def test_the_quick_forms_are_the_quadrature(sigma: float) -> None:
    for reach in (1.0, 2.0, 5 * sigma + 1, 60 * sigma + 1, 1e4):
        x = straight(CENTRE - reach, CENTRE + reach)
        found = LAW.denoise(x, sigma)
        assert_close(found, quadrature(x, sigma), 1e-12)
        assert ((found >= LOW - 1e-12) & (found <= HIGH + 1e-12)).all()


def test_the_seams() -> None:
    # On both sides of each border, with one noise level a point.
    sigma = torch.tensor([0.01, 1.0, 7.0, 7.0, 8.0, 8.0, 20.0, 90.0], dtype=torch.float64)
    limits = torch.where(
        sigma < WIDE * HALF, ROUNDING * HALF**2 / (HALF + sigma), sigma**2 / HALF
    )
    for side in (-1.0, 1.0):
        for factor in (0.1, 1 - 1e-9, 1.0, 1 + 1e-9, 3.0):
            x = CENTRE + side * factor * limits[:, None]
            assert_close(LAW.denoise(x, sigma), quadrature(x, sigma[:, None]), 1e-12)
    for level in (WIDE * (1 - 1e-12), WIDE, WIDE * (1 + 1e-12)):
        x = straight(-40.0, 40.0)
        assert_close(LAW.denoise(x, level), quadrature(x, level), 1e-12)


def test_an_odd_function_that_rises() -> None:
    law = Uniform(-1.5, 1.5)
    for sigma in (0.01, 0.4, 5.0, 13.0, 300.0):
        x = straight(0.0, 10 * sigma + 5)
        denoised = law.denoise(x, sigma)
        assert torch.equal(law.denoise(-x, sigma), -denoised)
        assert (denoised[:, 0].diff() > -1e-13).all()


def test_points_and_levels_and_sides_of_all_kinds_at_once() -> None:
    generator = torch.Generator().manual_seed(6)
    box = Uniform([-0.3, 2.0, 0.0], [1.7, 2.01, 9.0])
    sigma = 10 ** (6 * torch.rand(3_000, generator=generator, dtype=torch.float64) - 3)
    x = torch.randn(3_000, 3, generator=generator, dtype=torch.float64) * 30 * sigma[:, None]
    expected = interval_posterior(x, box.low, box.high, sigma[:, None]).mean
    assert_close(box.denoise(x, sigma), expected, 1e-12)
    assert box.denoise(x[:0], 1.0).shape == (0, 3)


@pytest.mark.parametrize("sigma", [0.05, 0.7, 6.0, 20.0, 80.0])
@pytest.mark.parametrize("law", [LAW, Affine(LAW, 0.4, 2.5)], ids=["plain", "affine"])
def test_derivatives_in_x_and_sigma(law: Uniform | Affine, sigma: float) -> None:
    spread = 1.0 + sigma
    x = straight(-5 * spread, 5 * spread, 101)

    def slope(values: Callable[[float], Tensor], step: float) -> Tensor:
        pairs = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
        terms = [w * (values(k * step) - values(-k * step)) for k, w in pairs]
        return (terms[0] + terms[1] + terms[2]) / step

    level = torch.full((len(x),), sigma, dtype=torch.float64, requires_grad=True)
    point = x.clone().requires_grad_()
    denoised = law.denoise(point, level)
    assert_close(denoised.detach(), law.denoise(x, sigma), 1e-12)
    by_x, by_sigma = torch.autograd.grad(denoised.sum(), (point, level), create_graph=True)
    step = 0.02 * min(1.0, sigma)
    assert_close(by_x.detach(), slope(lambda h: law.denoise(x + h, sigma), step), 1e-7)
    numeric = slope(lambda h: law.denoise(x, sigma + h), step)
    assert_close(by_sigma.detach(), numeric[:, 0], 1e-7)
    # D' = Var/sigma^2, and x and sigma may be differentiated in either order.
    variance = law.posterior_variance(x, sigma)
    assert_close(by_x[:, 0].detach(), variance / sigma**2, 1e-10)
    (twice,) = torch.autograd.grad(by_x.sum(), point, create_graph=True)
    one_way = torch.autograd.grad(by_x.sum(), level, retain_graph=True)[0]
    other_way = torch.autograd.grad(by_sigma.sum(), point, retain_graph=True)[0]
    assert_close(one_way, other_way[:, 0], 1e-9)
    second = slope(lambda h: law.posterior_variance(x + h, sigma)[:, None], step) / sigma**2
    assert_close(twice.detach(), second, 1e-7)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0, 60.0])
def test_the_heat_equation(sigma: float) -> None:
    # d log p / d sigma = sigma (score' + score^2), so that of its slope, with score from D:
    # d score / d sigma = sigma (score'' + 2 score score').
    x = straight(CENTRE - 3 - 6 * sigma, CENTRE + 3 + 6 * sigma, 201).requires_grad_()
    level = torch.full((len(x),), sigma, dtype=torch.float64, requires_grad=True)
    score = (LAW.denoise(x, level) - x) / level[:, None] ** 2
    first, by_sigma = torch.autograd.grad(score.sum(), (x, level), create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    residual = by_sigma[:, None] - level[:, None] * (second + 2 * score * first)
    scale = 1 + by_sigma.abs().max() + (level[:, None] * second).abs().max()
    assert residual.isfinite().all()
    assert float((residual.abs().max() / scale).detach()) < 1e-9


def test_derivatives_by_torch_func() -> None:
    x = straight(-3.0, 4.0, 15)[:, 0]

    def one(place: Tensor) -> Tensor:
        return LAW.denoise(place[None], 0.4)[0, 0]

    expected = LAW.posterior_variance(x, 0.4) / 0.4**2
    assert_close(torch.func.vmap(torch.func.grad(one))(x), expected, 1e-12)
    assert_close(torch.func.vmap(torch.func.jacfwd(one))(x), expected, 1e-12)
    pushed = torch.func.jvp(lambda v: LAW.denoise(v, 0.4), (x,), (torch.ones_like(x),))[1]
    assert_close(pushed[:, 0], expected, 1e-12)


def test_without_a_derivative_the_quick_form_is_used() -> None:
    x = straight(-1.0, 2.0, 11).requires_grad_()
    with torch.no_grad():
        quick = LAW.denoise(x, 0.4)
    assert torch.equal(quick, LAW.denoise(x.detach(), 0.4))
    slow = LAW.denoise(x, 0.4)
    assert slow.requires_grad
    assert torch.equal(slow.detach(), quadrature(x.detach(), 0.4))
    assert not torch.equal(slow.detach(), quick)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 1.0, 10.0, 80.0])
def test_faster_than_the_quadrature(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x0 = LAW.sample(100_000, generator)
    x = x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=torch.float64)

    def seconds(call: Callable[[], Tensor]) -> float:
        times = []
        for _ in range(4):
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        return min(times)

    assert 2 * seconds(lambda: LAW.denoise(x, sigma)) < seconds(lambda: quadrature(x, sigma))


@pytest.mark.parametrize("sigma", [0.05, 0.8, 5.0, 80.0])
def test_the_density_that_steers_the_quantiles(sigma: float) -> None:
    x = straight(CENTRE - 2 - 8 * sigma, CENTRE + 2 + 8 * sigma, 101)[:, 0].requires_grad_()
    level = torch.tensor(sigma, dtype=torch.float64)
    below, above = interval_tails(x, LAW.low, LAW.high, level)
    (slope,) = torch.autograd.grad((below - above).sum() / 2, x)
    density = interval_density(x.detach(), LAW.low, LAW.high, level)
    assert ((density - slope).abs() <= 1e-12 * slope.abs() * (1 + sigma) + 1e-300).all()


def test_means_in_one_call() -> None:
    # The function broadcasts, as `interval_posterior` does.
    x = straight(-2.0, 3.0, 4)
    low, high = torch.tensor([-1.0, 0.0, 2.0]).double(), torch.tensor([0.0, 1.0, 2.5]).double()
    sigma = torch.tensor([[0.1], [1.0], [9.0], [70.0]], dtype=torch.float64)
    assert_close(
        interval_mean(x, low, high, sigma), interval_posterior(x, low, high, sigma).mean, 1e-12
    )
