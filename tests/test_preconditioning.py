"""Preconditionings: what the ideal network has to give, and what it is told."""

import math

import mpmath as mp
import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from fokker.diffusion.preconditioning import EDM, IDDPM, VE, VP, X0, Preconditioning, V
from fokker.diffusion.sde import iddpm_nodes

SIGMAS = torch.logspace(-3, 2.3, 60, dtype=torch.float64)

ALL = {
    "vp": VP(),
    "ve": VE(),
    "iddpm": IDDPM(),
    "edm": EDM(0.35),
    "v": V(),
    "x0": X0(0.35),
}


def draws(sigma_data: float = 0.35) -> tuple[Tensor, Tensor, Tensor]:
    """(sigma, x0, n) with x0 of mean 0.7."""
    generator = torch.Generator().manual_seed(0)
    x0 = 0.7 + sigma_data * torch.randn(60, generator=generator, dtype=torch.float64)
    return SIGMAS, x0, torch.randn(60, generator=generator, dtype=torch.float64)


def ideal(name: str, sigma: Tensor, x0: Tensor, n: Tensor) -> Tensor:
    """What the network predicts by its definition, were x0 and n known."""
    angle = torch.atan(sigma)  # x/sqrt(1 + sigma^2) = cos(angle) x0 + sin(angle) n
    edm_angle = torch.atan(sigma / 0.35)
    return {
        "vp": n,
        "iddpm": n,
        "ve": sigma * (-n / sigma),  # sigma times the score of N(x0, sigma^2)
        "v": angle.cos() * n - angle.sin() * x0,
        "x0": x0,
        "edm": edm_angle.sin() * x0 / 0.35 - edm_angle.cos() * n,
    }[name]


@pytest.mark.parametrize("name", ALL)
def test_the_ideal_network_recovers_the_data(name: str) -> None:
    sigma, x0, n = draws()
    c = ALL[name].coefficients(sigma)
    denoised = c.c_skip * (x0 + sigma * n) + c.c_out * ideal(name, sigma, x0, n)
    torch.testing.assert_close(denoised, x0, rtol=0, atol=1e-12 * float(sigma.max()))


@pytest.mark.parametrize("name", ALL)
def test_coefficients_keep_shape_and_precision(name: str) -> None:
    for shape in [(), (1,), (7,), (3, 1, 1)]:
        for value in ALL[name].coefficients(torch.full(shape, 0.8, dtype=torch.float64)):
            assert value.shape == shape
            assert value.dtype == torch.float64


@pytest.mark.parametrize("sigma_data", [0.5, 0.35, 2.0])
def test_edm_has_unit_variance_of_input_and_target(sigma_data: float) -> None:
    """Karras 2022, appendix B.6, for data of mean 0 and standard deviation sigma_data."""
    c = EDM(sigma_data).coefficients(SIGMAS)
    one = torch.ones_like(SIGMAS)
    input_variance = c.c_in**2 * (sigma_data**2 + SIGMAS**2)
    # The target is (x0 - c_skip (x0 + sigma n)) / c_out.
    target_variance = ((1 - c.c_skip) ** 2 * sigma_data**2 + (c.c_skip * SIGMAS) ** 2) / c.c_out**2
    torch.testing.assert_close(input_variance, one, rtol=1e-12, atol=0)
    torch.testing.assert_close(target_variance, one, rtol=1e-9, atol=0)


def test_edm_skips_so_that_errors_are_amplified_least() -> None:
    """The c_skip that makes the variance of x0 - c_skip x least."""
    skip = EDM(0.35).coefficients(SIGMAS).c_skip.clone().requires_grad_()
    variance = (1 - skip) ** 2 * 0.35**2 + skip**2 * SIGMAS**2
    (slope,) = torch.autograd.grad(variance.sum(), skip)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("precondition", [VP(), IDDPM(), V()])
def test_inputs_have_unit_variance_for_data_of_std_1(precondition: Preconditioning) -> None:
    c_in = precondition.coefficients(SIGMAS).c_in
    torch.testing.assert_close(c_in**2 * (1 + SIGMAS**2), torch.ones_like(c_in))


def test_x0_has_unit_variance_of_its_input() -> None:
    c_in = X0(0.35).coefficients(SIGMAS).c_in
    torch.testing.assert_close(c_in**2 * (0.35**2 + SIGMAS**2), torch.ones_like(c_in))


def test_ve_gives_its_network_the_state_itself() -> None:
    assert (VE().coefficients(SIGMAS).c_in == 1).all()


@pytest.mark.parametrize("sigma_data", [0.5, 0.35])
def test_zero_is_edms_ideal_network_for_a_gaussian(sigma_data: float) -> None:
    c = EDM(sigma_data).coefficients(SIGMAS)
    x = torch.linspace(-3, 3, 60, dtype=torch.float64) * SIGMAS
    # E[x0 | x] of N(0, sd^2) data by the regression of x0 on x.
    denoised = x / (1 + (SIGMAS / sigma_data) ** 2)
    network = (denoised - c.c_skip * x) / c.c_out
    torch.testing.assert_close(network, torch.zeros_like(x), rtol=0, atol=1e-12)


def test_vp_tells_the_network_the_time_of_the_published_sde() -> None:
    for sigma in [0.0010005, 0.01049, 0.3, 1.0, 7.0, 152.0]:

        def excess(t: float, sigma: float = sigma) -> float:
            integral = 0.1 * t + 9.95 * t**2
            return math.log(math.expm1(integral)) / 2 - math.log(sigma)

        t = scipy.optimize.brentq(excess, 1e-9, 1.1, xtol=1e-15)
        c_noise = VP().coefficients(torch.tensor(sigma, dtype=torch.float64)).c_noise
        assert float(c_noise) == pytest.approx(999 * t, rel=1e-9)
    ends = torch.tensor([math.sqrt(math.expm1(0.1e-3 + 9.95e-6)), math.sqrt(math.expm1(10.05))])
    c_noise = VP().coefficients(ends.double()).c_noise
    torch.testing.assert_close(c_noise, torch.tensor([0.999, 999.0]).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("num_levels", [2, 100, 1000])
def test_iddpm_tells_the_network_the_nearest_level(num_levels: int) -> None:
    nodes = iddpm_nodes(num_levels).numpy()[:-1]
    sigmas = np.exp(np.random.default_rng(0).uniform(math.log(1e-4), math.log(1e5), 500))
    c_noise = IDDPM(num_levels).coefficients(torch.from_numpy(sigmas)).c_noise
    expected = [num_levels - 1 - int(np.abs(nodes - sigma).argmin()) for sigma in sigmas]
    assert c_noise.tolist() == expected
    at_nodes = IDDPM(num_levels).coefficients(torch.from_numpy(nodes.copy())).c_noise
    assert at_nodes.tolist() == list(range(num_levels - 1, -1, -1))


def test_log_c_noise() -> None:
    sigma = torch.tensor([math.e**2, 1.0, 2 * math.e], dtype=torch.float64)
    for precondition in (EDM(), V(), X0()):
        c_noise = precondition.coefficients(sigma).c_noise
        assert c_noise.tolist() == pytest.approx([0.5, 0.0, (1 + math.log(2)) / 4])
    assert VE().coefficients(sigma).c_noise[2] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("vp", 0.0010005, 152.1),
        ("ve", 0.02, 100.0),
        ("iddpm", 0.0064, 20000.0),
        ("edm", 0.002, 152.2),
        ("v", 0.002, 152.2),
        ("x0", 0.002, 152.2),
    ],
)
def test_c_noise_lies_in_its_declared_range(name: str, low: float, high: float) -> None:
    first, last = ALL[name].c_noise_range
    c_noise = ALL[name].coefficients(torch.tensor([low, high], dtype=torch.float64)).c_noise
    assert first - 1e-9 <= float(c_noise[0]) < float(c_noise[1]) <= last + 1e-3
    # The published range of sigma fills most of it.
    assert float(c_noise[1] - c_noise[0]) > 0.6 * (last - first)


@pytest.mark.parametrize("kind", [EDM, X0])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e-200])
def test_bad_sigma_data_is_refused(kind: type[EDM] | type[X0], value: float) -> None:
    with pytest.raises(ValueError, match="sigma_data must be positive"):
        kind(value)


def test_bad_num_levels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"preconditioning\.num_levels must be at least 2, got 1"):
        IDDPM(1)


def test_iddpm_nodes_are_those_of_the_cosine_chain() -> None:
    """`1 + u_j^2 = ab_M / ab_j`, the recursion's product, where no ratio is below C1."""
    nodes = iddpm_nodes(1000)
    with mp.workdps(40):

        def bar(j: int) -> mp.mpf:
            return mp.sin(mp.pi * j / (2 * 1000 * (mp.mpf(0.008) + 1))) ** 2

        for j in [1, 2, 8, 100, 500, 900, 998, 999]:
            exact = mp.sqrt(bar(1000) / bar(j) - 1)
            assert float(nodes[j]) == pytest.approx(float(exact), rel=1e-8)
        first = mp.sqrt(bar(1000) / bar(1) / mp.mpf(0.001) - 1)
    assert float(nodes[0]) == pytest.approx(float(first), rel=1e-8)
    assert float(nodes[-1]) == 0
    assert nodes.dtype == torch.float64
    assert len(nodes) == 1001
