"""Solutions against the exact marginals of data, the residual of a denoiser, and bad input."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from fokker.diffusion import preconditioning
from fokker.diffusion.analysis.fokker_planck import (
    Solution,
    fokker_planck_residual,
    log_sigma_times,
    marginals,
    solve_backward,
    solve_forward,
    transition_matrix,
)
from fokker.diffusion.analysis.generator import Cells, generator
from fokker.diffusion.analysis.processes import (
    Diffusion,
    Forward,
    OrnsteinUhlenbeck,
    Process,
    Reverse,
    denoiser_score,
)
from fokker.diffusion.denoiser import Denoiser
from fokker.diffusion.sde import EDM, SDE, Rectified, SubVP, VEGeometric, VPCosine, VPLinear
from fokker.distributions import Distribution, Gaussian, GaussianMixture, Uniform
from sdes import PLAIN

LAWS: dict[str, Callable[[], Distribution]] = {
    "gaussian": lambda: Gaussian(0.4, 0.3),
    "mixture": lambda: GaussianMixture([0.3, 0.7], [-0.8, 0.5], [0.2, 0.1]),
    "uniform": lambda: Uniform(-0.6, 1.1),
}
OU = OrnsteinUhlenbeck(rate=1.3, level=0.7, diffusion=0.9)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def averages(law: Distribution, cells: Cells) -> Tensor:
    return law.cdf(cells.faces).diff() / cells.width


def reverse_case(sde: SDE, c: float, wrong: float = 1.0) -> tuple[Process, Distribution]:
    law = LAWS["mixture"]()
    score = denoiser_score(sde, law.denoise)
    return Reverse(sde, lambda x, t: wrong * score(x, t), c), law


# Marginals of data


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sde", PLAIN.values(), ids=PLAIN)
def test_marginals_along_every_sde(sde: SDE, law: str) -> None:
    schedule, data = sde, LAWS[law]()
    grows = float(schedule.scale(schedule.time(1.0))) == 1
    wide, highest = (18.0, 3.0) if grows else (6.0, schedule.sigma_max)
    errors = []
    for n in (40, 80):
        cells = Cells(-wide, wide, n * (15 if grows else 5))
        times = log_sigma_times(schedule, n, 0.05, highest)
        exact = marginals(data, schedule, times, cells)
        solution = solve_forward(Forward(schedule), cells, exact[0], times)
        assert solution.densities.min() >= 0
        assert (solution.masses() - 1).abs().max() < 1e-12
        errors.append(float(solution.w1(exact).max()))
    assert errors[1] < 5e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_marginals_are_averages_of_the_density() -> None:
    sde, law, cells = VPCosine(), LAWS["mixture"](), Cells(-5.0, 5.0, 50)
    t = sde.time(0.7)
    s = sde.scale(t)
    parts = torch.linspace(-5, 5, 50 * 200 + 1, dtype=torch.float64)
    points = (parts[1:] + parts[:-1]) / 2
    density = law.log_prob(points / s, 0.7).exp() / s
    exact = density.reshape(50, 200).mean(dim=1)
    assert torch.allclose(marginals(law, sde, t[None], cells)[0], exact, rtol=0, atol=1e-5)


def test_log_sigma_times() -> None:
    for sde in (EDM(), SubVP(), VEGeometric()):
        times = log_sigma_times(sde, 7)
        ratios = sde.sigma(times)[1:] / sde.sigma(times)[:-1]
        assert torch.allclose(ratios, ratios[0].expand(7), rtol=1e-9)
        assert (times.diff() > 0).all()
        assert float(sde.sigma(times[0])) == pytest.approx(sde.sigma_min)
        assert float(sde.sigma(times[-1])) == pytest.approx(sde.sigma_max)


def test_solution_cdf_and_w1() -> None:
    cells = Cells(-4.0, 6.0, 2000)
    rows = torch.stack([averages(Gaussian(m, 0.5), cells) for m in (0.3, 1.5)])
    solution = Solution(tensor(0, 1), cells, rows)
    exact = Gaussian(1.5, 0.5).cdf(cells.faces)
    assert torch.allclose(solution.cdf()[1], exact, rtol=0, atol=1e-12)
    # A shift by 1.2 costs 1.2.
    assert solution.w1(rows[0]).tolist() == pytest.approx([0.0, 1.2], abs=1e-6)


# Back from noise


def test_denoiser_score_is_the_slope_of_the_marginal() -> None:
    law = LAWS["mixture"]()
    for sde in (Rectified(), VPLinear(), EDM()):
        t = float(sde.time(0.6))
        x = torch.linspace(-2, 2, 30, dtype=torch.float64, requires_grad=True)
        log_prob = law.log_prob(x / sde.scale(t), sde.sigma(t))
        (slope,) = torch.autograd.grad(log_prob.sum(), x)
        score = denoiser_score(sde, law.denoise)(x.detach(), t)
        assert torch.allclose(score, slope, rtol=1e-9, atol=1e-9)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sde", [VPLinear, EDM, Rectified, SubVP], ids=lambda sde: sde.__name__)
@pytest.mark.parametrize("c", [0.5, 1.0, 1.5])
def test_every_member_of_the_family_has_the_marginals(sde: Callable[[], SDE], c: float) -> None:
    schedule = sde()
    wide = 14.0 if sde is EDM else 6.0
    errors = []
    for n in (60, 120):
        cells = Cells(-wide, wide, 6 * n * (2 if sde is EDM else 1))
        times = log_sigma_times(schedule, n, 0.05, 2.0).flip(0)
        process, law = reverse_case(schedule, c)
        exact = marginals(law, schedule, times, cells)
        solution = solve_forward(process, cells, exact[0], times)
        errors.append(float(solution.w1(exact).max()))
        assert (solution.masses() - exact[0].sum() * cells.width).abs().max() < 1e-12
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)
    wrong, _ = reverse_case(schedule, c, wrong=1.1)
    assert float(solve_forward(wrong, cells, exact[0], times).w1(exact)[-1]) > 0.02


def test_pure_transport_is_of_first_order() -> None:
    errors = []
    for n in (60, 120, 240):
        cells = Cells(-6.0, 6.0, 6 * n)
        times = log_sigma_times(VPLinear(), n, 0.05, 2.0).flip(0)
        process, law = reverse_case(VPLinear(), 0.0)
        exact = marginals(law, VPLinear(), times, cells)
        errors.append(float(solve_forward(process, cells, exact[0], times).w1(exact)[-1]))
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2, rel=0.1)


def test_reverse_from_the_prior() -> None:
    # All of VP, from N(0, s^2 sigma^2) at sigma = 152 to the data.
    sde, cells = VPLinear(), Cells(-6.0, 6.0, 900)
    times = log_sigma_times(sde, 120, 0.05, sde.sigma_max).flip(0)
    process, law = reverse_case(sde, 1.0)
    std = float(sde.scale(times[0]) * sde.sigma(times[0]))
    end = solve_forward(process, cells, averages(Gaussian(0.0, std), cells), times)
    assert float(end.w1(marginals(law, sde, times, cells))[-1]) < 5e-4


# The residual of a denoiser


@pytest.mark.parametrize("law", LAWS)
def test_residual_of_an_exact_denoiser_is_zero(law: str) -> None:
    data = LAWS[law]()
    for sigma in (0.05, 0.2, 1.0, 4.0, 20.0):
        x = torch.linspace(-1.5 - 2 * sigma, 1.5 + 2 * sigma, 61, dtype=torch.float64)
        assert fokker_planck_residual(data.denoise, x[:, None], sigma).abs().max() < 1e-11


def test_residual_of_a_wrong_variance() -> None:
    # N(m, V), V = v + k sigma^2: s = (m - x)/V, residual sigma^3 2 (k - 1) (x - m)/V^2.
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        level = sigma[:, None] ** 2
        return x + level * (0.4 - x) / (0.09 + 1.3 * level)

    x, sigma = tensor(-1.0, 0.2, 3.0, 1.0, 0.0), tensor(0.05, 0.4, 0.4, 2.0, 20.0)
    expected = sigma**3 * 0.6 * (x - 0.4) / (0.09 + 1.3 * sigma**2) ** 2
    assert torch.allclose(fokker_planck_residual(denoise, x, sigma), expected, rtol=1e-9, atol=0)


def test_residual_is_that_of_the_score_equation() -> None:
    # All terms at once, of no law's denoiser, by differences of s in tau and x.
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.tanh(x / (1 + sigma[:, None])) + 0.3 * torch.sin(2 * x * sigma[:, None])

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        return (denoise(x[:, None], sigma)[:, 0] - x) / sigma**2

    x, sigma, h = tensor(-1.2, 0.3, 0.9), tensor(0.5, 0.8, 1.7), 1e-4
    later, earlier = ((sigma**2 + 2 * k * h).sqrt() for k in (1, -1))
    rate = (score(x, later) - score(x, earlier)) / (2 * h)
    curvature = (score(x + h, sigma) - 2 * score(x, sigma) + score(x - h, sigma)) / h**2
    square = (score(x + h, sigma) ** 2 - score(x - h, sigma) ** 2) / (2 * h)
    expected = sigma**3 * (rate - curvature - square)
    found = fokker_planck_residual(denoise, x, sigma)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.abs().min() > 0.01


def test_residual_of_modules_and_constants() -> None:
    class Zero(nn.Module):
        def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor | None) -> Tensor:
            return 0 * x

    # F = 0 is exact for N(0, sigma_data^2), and any variance is one of some data.
    x = torch.linspace(-3, 3, 11, dtype=torch.float64)
    model = Denoiser(Zero(), preconditioning.EDM(sigma_data=0.7))
    assert fokker_planck_residual(model, x, 0.9).abs().max() < 1e-12
    # All data at one point, by a denoiser without a graph.
    assert fokker_planck_residual(lambda x, s: torch.ones_like(x), x, 0.9).abs().max() == 0
    assert not fokker_planck_residual(model, x, 0.9).requires_grad


# Bad input


def test_bad_times_and_densities() -> None:
    cells = Cells(-4.0, 5.0, 60)
    start = averages(Gaussian(0.0, 0.5), cells)
    good = tensor(0.0, 1.0)
    for times in (tensor(0.0, 0.5, 0.5), tensor(1.0, 0.0)):
        with pytest.raises(ValueError, match="times must increase"):
            solve_forward(OU, cells, start, times)
        with pytest.raises(ValueError, match="times must increase"):
            solve_backward(OU, cells, start, times)
        with pytest.raises(ValueError, match="times must increase"):
            transition_matrix(OU, cells, times)
    process, _ = reverse_case(VPLinear(), 1.0)
    with pytest.raises(ValueError, match=r"times must fall.*got 0\.3 after 0\.2"):
        solve_forward(process, cells, start, tensor(0.2, 0.3))
    for times in (tensor(1.0), tensor(0.0, math.nan), tensor(0.0, 1.0)[:, None]):
        with pytest.raises(ValueError, match="at least 2 finite"):
            solve_forward(OU, cells, start, times)
    with pytest.raises(ValueError, match="order must be 1 or 2, got 3"):
        solve_forward(OU, cells, start, good, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"one number a cell, \(60,\), got \(59,\)"):
        solve_forward(OU, cells, start[1:], good)
    with pytest.raises(ValueError, match="value must be finite"):
        solve_backward(OU, cells, start / 0, good)
    with pytest.raises(ValueError, match="must not be negative"):
        solve_forward(OU, cells, -start, good)


def test_cells_that_do_not_hold_the_mass() -> None:
    narrow = Cells(-1.0, 2.0, 90)
    # P(|N(0.5, 1)| outside [-1, 2]) = 2 Phi(-1.5) = 0.1336.
    with pytest.raises(ValueError, match=r"0\.134 of it lies outside"):
        solve_forward(OU, narrow, averages(Gaussian(0.5, 1.0), narrow), tensor(0.0, 1.0))
    with pytest.raises(ValueError, match=r"0\.134 of its mass lies outside \[-1, 2\]"):
        marginals(Gaussian(0.5, 0.6), EDM(), tensor(0.8), narrow)


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match="c must be finite and not negative, got -1"):
        reverse_case(EDM(), -1.0)
    with pytest.raises(ValueError, match="low must be below high=1"):
        Cells(1.0, 1.0, 5)
    with pytest.raises(ValueError, match="low must be below"):
        Cells(0.0, math.inf, 5)
    with pytest.raises(ValueError, match="count must be at least 2, got 1"):
        Cells(0.0, 1.0, 1)
    with pytest.raises(ValueError, match="rate must be positive"):
        OrnsteinUhlenbeck(0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="level must be finite"):
        OrnsteinUhlenbeck(1.0, math.nan, 1.0)
    with pytest.raises(ValueError, match="diffusion must be positive"):
        OrnsteinUhlenbeck(1.0, 0.0, -1.0)
    with pytest.raises(ValueError, match="tau must be positive"):
        OU.transition(0.0, 0.0)
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        log_sigma_times(EDM(), 0)
    with pytest.raises(ValueError, match=r"sigma_min must be positive and below sigma_max=0\.1"):
        log_sigma_times(EDM(), 5, 0.2, 0.1)
    cells = Cells(-1.0, 1.0, 4)
    with pytest.raises(ValueError, match=r"drift must be finite on the cells.*t=0\.5"):
        generator(Diffusion(lambda x, t: x / 0, 1.0), cells, 0.5)
    with pytest.raises(ValueError, match="one number for each x"):
        generator(Diffusion(lambda x, t: x[:, None], 1.0), cells, 0.5)
    with pytest.raises(ValueError, match="not negative, got -2"):
        generator(Diffusion(lambda x, t: x, -2.0), cells, 0.5)
    with pytest.raises(ValueError, match=r"sigma must be positive"):
        fokker_planck_residual(LAWS["uniform"]().denoise, tensor(0.1), 0.0)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 1\)"):
        fokker_planck_residual(LAWS["uniform"]().denoise, torch.zeros(3, 2), 1.0)
    with pytest.raises(ValueError, match=r"must return shape \(2, 1\), got \(2,\)"):
        fokker_planck_residual(lambda x, s: x[:, 0], tensor(0.1, 0.2), 1.0)
