"""The equations on cells against closed forms and dense matrices."""

import math
from itertools import pairwise

import pytest
import scipy.linalg
import torch
from torch import Tensor

from fokker.diffusion.analysis.fokker_planck import (
    log_sigma_times,
    marginals,
    solve_backward,
    solve_forward,
    transition_matrix,
)
from fokker.diffusion.analysis.generator import Cells, Order, generator
from fokker.diffusion.analysis.processes import (
    Diffusion,
    Forward,
    OrnsteinUhlenbeck,
    Process,
    Reverse,
    denoiser_score,
)
from fokker.diffusion.sde import VPCosine, VPLinear, VPOrnsteinUhlenbeck
from fokker.distributions import Distribution, Gaussian, GaussianMixture, Uniform

OU = OrnsteinUhlenbeck(rate=1.3, level=0.7, diffusion=0.9)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def uniform_times(start: float, end: float, num_steps: int) -> Tensor:
    return torch.linspace(start, end, num_steps + 1, dtype=torch.float64)


def averages(law: Distribution, cells: Cells) -> Tensor:
    return law.cdf(cells.faces).diff() / cells.width


def timed_cases() -> list[tuple[Process, Tensor]]:
    """Processes with uneven times, the last one falling."""
    sde, law = VPCosine(), GaussianMixture([0.3, 0.7], [-0.8, 0.5], [0.2, 0.1])
    levels = log_sigma_times(sde, 12, 0.1, 5.0)
    swinging = Diffusion(lambda x, t: math.cos(t) - x**3, lambda t: 1 + t)
    return [
        (OU, tensor(0.0, 0.1, 0.4, 0.5, 1.3)),
        (swinging, tensor(0.5, 0.6, 1.0, 1.1)),
        (Forward(sde), levels),
        (Reverse(sde, denoiser_score(sde, law.denoise), 0.7), levels.flip(0)),
    ]


# The generator


def test_generator_is_the_operator_to_second_order() -> None:
    # L u = b u' + g^2/2 u'' and A p = -(b p)' + g^2/2 p'' for b = 1 - x^3, g^2 = 1.7.
    process = Diffusion(lambda x, t: 1 - x**3, 1.7)
    errors = []
    for count in (200, 400, 800):
        cells = Cells(-2.0, 2.5, count)
        x = cells.centres
        backward = generator(process, cells, 0.0)
        b, slope = 1 - x**3, -3 * x**2
        u, p = torch.sin(2 * x), torch.exp(-(x**2))
        exact_u = b * 2 * torch.cos(2 * x) - 0.85 * 4 * u
        exact_p = -(slope * p - b * 2 * x * p) + 0.85 * (4 * x**2 - 2) * p
        inner = x.abs() < 1.5
        error_u = (torch.from_numpy(backward @ u.numpy()) - exact_u)[inner]
        error_p = (torch.from_numpy(backward.T @ p.numpy()) - exact_p)[inner]
        errors.append((float(error_u.abs().max()), float(error_p.abs().max())))
    for coarse, fine in pairwise(errors):
        assert coarse[0] / fine[0] == pytest.approx(4, abs=0.15)
        assert coarse[1] / fine[1] == pytest.approx(4, abs=0.15)
    assert max(errors[-1]) < 2e-3


def test_transposed_generator_is_the_divergence_of_the_fluxes() -> None:
    # The fluxes by their own definition: J = -g^2/2 p' + b p solved for constant J between centres.
    process = Diffusion(lambda x, t: 3 * torch.cos(x) + t, 0.4)
    cells = Cells(-1.0, 3.0, 37)
    p = torch.rand(37, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    d, dx = 0.2, cells.width
    b = 3 * torch.cos(cells.faces[1:-1]) + 0.3
    growth = torch.exp(b * dx / d)
    flux = b * (p[1:] - growth * p[:-1]) / (1 - growth)
    wall = torch.zeros(1, dtype=torch.float64)
    expected = -torch.cat([wall, flux, wall]).diff() / dx
    matrix = generator(process, cells, 0.3)
    assert torch.allclose(torch.from_numpy(matrix.T @ p.numpy()), expected, rtol=1e-11, atol=1e-11)
    assert abs(matrix.sum(axis=1)).max() < 1e-12
    dense = matrix.toarray()
    assert (dense - torch.diag(torch.from_numpy(dense).diagonal()).numpy()).min() >= 0


def test_generator_without_diffusion_is_upwind() -> None:
    cells = Cells(0.0, 1.0, 4)
    expected = torch.zeros(4, 4, dtype=torch.float64)
    for i in range(3):
        expected[i, i], expected[i, i + 1] = -8.0, 8.0
    for g2 in (0.0, 1e-9):
        matrix = generator(Diffusion(lambda x, t: 2 + 0 * x, g2), cells, 0.0)
        assert torch.allclose(torch.from_numpy(matrix.toarray()), expected, atol=1e-6)


# Steps


@pytest.mark.parametrize("order", [1, 2])
def test_mass_positivity_and_adjointness(order: Order) -> None:
    cells = Cells(-4.0, 4.5, 250)
    start = averages(GaussianMixture([0.4, 0.6], [-0.5, 0.8], [0.3, 0.4]), cells)
    value = torch.randn(250, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for process, times in timed_cases():
        solution = solve_forward(process, cells, start, times, order)
        assert (solution.masses() - 1).abs().max() < 1e-12
        if order == 1:
            assert solution.densities.min() >= 0
        u = solve_backward(process, cells, value, times, order)
        products = (u * solution.densities).sum(dim=1) * cells.width
        scale = float((u.abs() * solution.densities.abs()).sum(dim=1).max()) * cells.width
        assert (products - products[0]).abs().max() < 1e-12 * scale
        assert not torch.allclose(u[0], u[-1])


@pytest.mark.parametrize("order", [1, 2])
def test_chapman_kolmogorov(order: Order) -> None:
    cells = Cells(-4.0, 4.5, 120)
    for process, times in timed_cases():
        whole = transition_matrix(process, cells, times, order)
        parts = [transition_matrix(process, cells, part, order) for part in (times[:3], times[2:])]
        assert (parts[0] @ parts[1] - whole).abs().max() < 1e-12
        assert (whole.sum(dim=1) - 1).abs().max() < 1e-12
        if order == 1:
            assert whole.min() >= 0
        start = averages(Gaussian(0.5, 0.4), cells)
        solution = solve_forward(process, cells, start, times, order)
        assert torch.allclose(start @ whole, solution.densities[-1], rtol=0, atol=1e-12)
        value = torch.cos(cells.centres)
        u = solve_backward(process, cells, value, times, order)
        assert torch.allclose(whole @ value, u[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("order", "factor"), [(1, 2), (2, 4)])
def test_order_in_time(order: Order, factor: int) -> None:
    # On the same cells, against the exponential of the dense generator.
    cells = Cells(-3.0, 4.0, 80)
    start = averages(Gaussian(-0.4, 0.3), cells)
    dense = generator(OU, cells, 0.0).toarray()
    exact = start @ torch.from_numpy(scipy.linalg.expm(0.9 * dense))
    errors = []
    for n in (20, 40, 80):
        end = solve_forward(OU, cells, start, uniform_times(0, 0.9, n), order).densities[-1]
        errors.append(float((end - exact).abs().max()))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(factor, rel=0.1)


def test_order_in_time_where_drift_and_diffusion_change() -> None:
    process = Diffusion(lambda x, t: 3 * math.cos(5 * t) - x, lambda t: 0.3 + 2 * t)
    cells = Cells(-5.0, 5.0, 200)
    start = averages(Gaussian(0.5, 0.4), cells)
    ends = [
        solve_forward(process, cells, start, uniform_times(0, 1.2, n)).densities[-1]
        for n in (12, 24, 48, 768)
    ]
    errors = [float((end - ends[-1]).abs().max()) for end in ends[:-1]]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.15)


def test_a_spike_turns_negative_only_in_a_long_step_of_order_two() -> None:
    cells = Cells(-2.0, 2.0, 201)
    spike = torch.zeros(201, dtype=torch.float64)
    spike[100] = 1 / cells.width
    still = Diffusion(lambda x, t: 0 * x, 1.0)
    lowest = {}
    for reach in (2, 10):
        times = tensor(0, (reach * cells.width) ** 2)
        for order in (1, 2):
            end = solve_forward(still, cells, spike, times, order).densities[-1]
            lowest[reach, order] = float(end.min())
    assert lowest[2, 1] > 0
    assert lowest[10, 1] > 0
    assert lowest[2, 2] > 0
    assert lowest[10, 2] < -0.1


def test_edges_do_not_ring() -> None:
    # The uniform law itself, from t = 0.
    sde, law, cells = VPLinear(), Uniform(-0.6, 1.1), Cells(-6.0, 6.0, 600)
    times = torch.cat([tensor(0.0), log_sigma_times(sde, 30, 0.05, 10.0)])
    exact = marginals(law, sde, times, cells)
    solution = solve_forward(Forward(sde), cells, exact[0], times)
    assert solution.densities.min() >= 0
    peaks = solution.densities.max(dim=1).values
    assert (peaks <= exact.max(dim=1).values * 1.001).all()
    assert float(solution.w1(exact).max()) < 1e-3


# Closed forms


def test_ornstein_uhlenbeck_to_second_order() -> None:
    start, tau = Gaussian(-0.9, 0.35), 0.6
    # A Gaussian start stays Gaussian: the mean goes like a path, the variances add.
    law = OU.transition(-0.9, tau)
    spread = math.sqrt(float(law.variance) + 0.35**2 * math.exp(-2 * 1.3 * tau))
    end = Gaussian(float(law.mean), spread)
    errors = []
    for n in (10, 20, 40):
        cells = Cells(-4.0, 5.0, 9 * n)
        solution = solve_forward(OU, cells, averages(start, cells), uniform_times(0, tau, n))
        errors.append(float(solution.w1(averages(end, cells))[-1]))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.1)
    assert errors[-1] < 2e-4


def test_order_in_space() -> None:
    end, errors = OU.transition(0.2, 1.0), []
    start = OU.transition(0.2, 0.1)
    for count in (60, 120, 240):
        cells = Cells(-4.0, 5.0, count)
        times = uniform_times(0.1, 1.0, 400)
        solution = solve_forward(OU, cells, averages(start, cells), times)
        errors.append(float((solution.densities[-1] - averages(end, cells)).abs().max()))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.1)


def test_transition_law_of_ornstein_uhlenbeck() -> None:
    # Moments by their own equations: m' = k (theta - m), v' = g^2 - 2 k v, from m = y, v = 0.
    n = 20_000
    mean, variance, h = 2.5, 0.0, 0.8 / n
    for _ in range(n):
        middle = mean + h / 2 * 1.3 * (0.7 - mean)
        mean += h * 1.3 * (0.7 - middle)
        middle = variance + h / 2 * (0.81 - 2.6 * variance)
        variance += h * (0.81 - 2.6 * middle)
    law = OU.transition(2.5, 0.8)
    assert float(law.mean) == pytest.approx(mean, abs=1e-8)
    assert float(law.variance) == pytest.approx(variance, abs=1e-8)
    late, rest = OU.transition(2.5, 50.0), OU.stationary()
    assert float(late.mean) == pytest.approx(float(rest.mean)) == pytest.approx(0.7)
    assert float(late.variance) == pytest.approx(float(rest.variance))


@pytest.mark.parametrize("name", ["ornstein_uhlenbeck", "vp"])
def test_transition_matrix_against_the_transition_density(name: str) -> None:
    sde = VPLinear()
    if name == "vp":
        process: Process = Forward(sde)
        times = uniform_times(0.2, 0.45, 60)
    else:
        process, times = OU, uniform_times(0.0, 0.8, 60)
    errors = []
    for count in (110, 220):
        cells = Cells(-5.0, 6.0, count)
        matrix = transition_matrix(process, cells, times)
        worst = 0.0
        for i in range(count // 4, 3 * count // 4, count // 22):
            y = float(cells.centres[i])
            if name == "vp":
                s, sigma = sde.scale(times), sde.sigma(times)
                std = float(s[-1] * (sigma[-1] ** 2 - sigma[0] ** 2).sqrt())
                law = Gaussian(float(s[-1] / s[0]) * y, std)
            else:
                law = OU.transition(y, 0.8)
            worst = max(worst, float((matrix[i] - law.cdf(cells.faces).diff()).abs().sum()))
        errors.append(worst)
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] < 5e-3


def test_the_stationary_density_is_kept() -> None:
    cells = Cells(-3.0, 4.0, 150)
    rest = OU.stationary().log_prob(cells.centres).exp()
    rest = rest / (rest.sum() * cells.width)
    for order in (1, 2):
        times = tensor(0.0, 0.01, 1.0, 30.0, 31.0)
        solution = solve_forward(OU, cells, rest, times, order)
        assert (solution.densities / rest - 1).abs().max() < 1e-11
    # And it is where all others go.
    far = solve_forward(OU, cells, averages(Uniform(-2.0, -1.0), cells), uniform_times(0, 30, 40))
    assert (far.densities[-1] / rest - 1).abs().max() < 1e-9


def test_two_wells_come_to_rest_in_boltzmanns_density() -> None:
    # b = -V', V = (x^2 - 1)^2 - 0.3 x, p ~ exp(-2 V / g^2).
    process = Diffusion(lambda x, t: 0.3 - 4 * x * (x**2 - 1), 0.8)
    errors = []
    for count in (60, 120):
        cells = Cells(-2.5, 2.5, count)
        x = cells.centres
        exact = torch.exp(-2 / 0.8 * ((x**2 - 1) ** 2 - 0.3 * x))
        exact = exact / (exact.sum() * cells.width)
        start = averages(Gaussian(-1.0, 0.2), cells)
        end = solve_forward(process, cells, start, uniform_times(0, 200, 100)).densities[-1]
        errors.append(float((end - exact).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] < 5e-3


def test_times_need_not_be_even_and_drift_may_change() -> None:
    # dx = 2 cos(t) dt + sqrt(1 + t) dw: N(m + 2 sin t, v + t + t^2/2).
    process = Diffusion(lambda x, t: 2 * math.cos(t) + 0 * x, lambda t: 1 + t)
    cells = Cells(-8.0, 9.0, 600)
    times = 2 * uniform_times(0, 1, 80) ** 2
    solution = solve_forward(process, cells, averages(Gaussian(-0.5, 0.4), cells), times)
    exact = torch.stack(
        [
            averages(Gaussian(-0.5 + 2 * math.sin(t), math.sqrt(0.16 + t + t**2 / 2)), cells)
            for t in times.tolist()
        ]
    )
    assert float(solution.w1(exact).max()) < 1e-3
    assert torch.equal(solution.times, times)


def test_backward_equation_gives_expectations() -> None:
    # u(x, t) = E[x_T^2 | x_t = x], (theta + (x - theta) e^{-k tau})^2 + variance.
    cells, times = Cells(-6.0, 7.0, 400), uniform_times(0.2, 1.0, 80)
    u = solve_backward(OU, cells, cells.centres**2, times)
    inner = (cells.centres - 0.7).abs() < 2
    for i in (0, 40):
        laws = [OU.transition(float(x), 1.0 - float(times[i])) for x in cells.centres[inner]]
        exact = torch.stack([law.mean[0] ** 2 + law.variance[0] for law in laws])
        assert (u[i, inner] - exact).abs().max() < 2e-3
    assert torch.equal(u[-1], cells.centres**2)


def test_vp_ou_is_an_ornstein_uhlenbeck_process() -> None:
    cells, times = Cells(-5.0, 5.0, 100), uniform_times(0.1, 1.0, 20)
    own = transition_matrix(Forward(VPOrnsteinUhlenbeck()), cells, times)
    other = transition_matrix(OrnsteinUhlenbeck(1.0, 0.0, math.sqrt(2)), cells, times)
    assert torch.allclose(own, other, rtol=0, atol=1e-13)
