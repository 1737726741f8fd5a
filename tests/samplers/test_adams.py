"""Adams: exact on the functions that it fits, of its stated order, and step by step by hand."""

import math

import pytest
import scipy.integrate
import torch
from exact_cases import (
    MEAN,
    PROBABILITIES,
    STD,
    VARIANCE,
    Gaussian,
    GeneratorNoise,
    Mixture,
    NoNoise,
    affine_map,
    flow_error,
    measured_order,
    states,
)
from test_orders import geometric
from torch import Tensor

from fokker.diffusion.grids import IDDPM, EDMRho, Geometric, QuadraticTime, UniformTime
from fokker.diffusion.samplers import Adams, DPMpp2M
from fokker.diffusion.sde import EDM


@pytest.mark.parametrize(("stds", "order"), [([0.5], 2), ([0.5, 0.1], 3)])
def test_order_on_a_mixture(stds: list[float], order: int) -> None:
    """Against the exact flow map; at few steps parts of the error cancel, and it seems lower."""
    mixture, steps = Mixture(), [512, 1024]
    errors = [flow_error(Adams(EDM(), n + 1, stds=stds), geometric(n), mixture) for n in steps]
    assert measured_order(steps, errors) == pytest.approx(order, abs=0.1)
    assert errors[-1] < {2: 2e-7, 3: 2e-9}[order]


def test_exact_where_the_denoiser_is_in_the_span() -> None:
    """D = 0.7 + 0.3 c_1 - 0.2 c_1 c_2: only the first two steps, with fewer D, are wrong."""
    sigmas = EDMRho(sigma_min=0.01, sigma_max=2.0)(9, EDM())

    def span(sigma: float) -> float:
        one, other = (1 / math.hypot(1, sigma / std) for std in (0.5, 0.1))
        return 0.7 + 0.3 * one - 0.2 * one * other

    def denoise(y: Tensor, sigma: float | Tensor) -> Tensor:
        return 0 * y + span(float(sigma))

    start = torch.tensor([[5.0]], dtype=torch.float64)
    sampler = Adams(EDM(), 9, stds=[0.5, 0.1])
    path = torch.stack(list(states(sampler, sigmas, denoise, start, NoNoise()))).flatten()
    high, errors = 2.0, []
    for sigma, state in zip(sigmas[1:-1].tolist(), path.tolist()):
        # dy/dln sigma = y - D.
        integral, _ = scipy.integrate.quad(
            lambda log: span(math.exp(log)) * math.exp(-log), math.log(sigma), math.log(high),
            epsabs=1e-13, epsrel=1e-13,
        )  # fmt: skip
        errors.append((state - sigma * (5 / high + integral)) / sigma)
    assert abs(errors[0]) > 1e-4
    # What an early error becomes along an exact flow.
    assert errors[2:] == pytest.approx([errors[2]] * len(errors[2:]), abs=1e-9)
    assert float(path[-1]) == pytest.approx(0.8, abs=1e-11)


def test_ten_steps_are_exact_for_a_gaussian_of_its_std() -> None:
    """Where a polynomial in ln sigma is off by a fifth of it."""
    sigmas, gaussian = EDMRho()(10, EDM()), Gaussian()
    start = MEAN + 80 * torch.tensor([[-1.5], [0.3], [1.0]], dtype=torch.float64)
    exact = MEAN + (start - MEAN) * STD / math.hypot(STD, 80)

    def error(sampler: Adams | DPMpp2M) -> float:
        *_, end = states(sampler, sigmas, gaussian, start, NoNoise())
        return float((end - exact).abs().max())

    assert error(Adams(EDM(), 10, stds=[STD])) < 1e-8
    assert error(DPMpp2M(EDM(), 10)) > STD / 5


def test_std_of_a_gaussian_at_the_end() -> None:
    """Of D at sigma = 0, not of D at the lowest noise, which is narrower by 1%."""
    sigmas = EDMRho(sigma_min=0.05)(200, EDM())
    solver = affine_map(Adams(EDM(), 200), sigmas)
    assert math.sqrt(solver.variance(VARIANCE + 80**2)) == pytest.approx(STD, rel=1e-4)
    assert solver.mean(MEAN) == pytest.approx(MEAN, abs=1e-5)


def test_each_step_by_hand() -> None:
    """With one std, where `int c/r^2 dr = -sqrt(1/v^2 + 1/r^2)` and c, D lie on a line."""
    n, v, mixture = 12, 0.4, Mixture()
    sigmas = EDMRho(sigma_min=0.05, sigma_max=30.0)(n, EDM())
    nodes = sigmas.tolist()
    c = [1 / math.hypot(1, sigma / v) for sigma in nodes]

    def step(y: Tensor, i: int, one: Tensor, c_one: float, two: Tensor, c_two: float) -> Tensor:
        slope = (one - two) / (c_one - c_two)
        high, low = nodes[i], nodes[i + 1]
        share = math.hypot(low / v, 1) - low / high * math.hypot(high / v, 1)
        return low / high * y + (1 - low / high) * (one - slope * c_one) + share * slope

    start = 0.73 + 30 * GeneratorNoise((40, 2), seed=1).prior()
    walk = states(Adams(EDM(), n, stds=[v]), sigmas, mixture, start, NoNoise())
    before, data = start, [mixture(start, nodes[0])]
    y = data[0] + nodes[1] / nodes[0] * (start - data[0])
    for i in range(1, n):
        torch.testing.assert_close(next(walk), y, rtol=1e-10, atol=1e-10)
        data.append(mixture(y, nodes[i]))
        before = step(before, i - 1, data[i], c[i], data[i - 1], c[i - 1])
        if i < n - 1:
            y = step(before, i, data[i], c[i], data[i - 1], c[i - 1])
    last = data[-1] + (data[-1] - data[-2]) / (c[n - 1] - c[n - 2]) * (1 - c[n - 1])
    torch.testing.assert_close(next(walk), last, rtol=1e-10, atol=1e-10)


def test_not_to_zero_leaves_out_the_last_evaluation() -> None:
    sigmas, gaussian = EDMRho()(7, EDM()), Gaussian()
    start = 80 * GeneratorNoise((4, 1)).prior()
    stopped = list(states(Adams(EDM(), 7, to_zero=False), sigmas, gaussian, start, NoNoise()))
    assert gaussian.rows == 4 * 6
    whole = list(states(Adams(EDM(), 7), sigmas, gaussian, start, NoNoise()))
    assert gaussian.rows == 4 * (6 + 7)
    assert all(torch.equal(one, other) for one, other in zip(stopped[:-1], whole[:-1]))
    assert torch.equal(stopped[-1], stopped[-2])
    assert not torch.equal(whole[-1], whole[-2])


@pytest.mark.parametrize("stds", [[1e12], [0.5, 1e12], [1e12, 1e12], [1e5, 0.1]])
def test_functions_that_are_nearly_constant_leave_a_constant_denoiser_exact(
    stds: list[float],
) -> None:
    """On D = 0.7 each step is y - 0.7 times the ratio of the noise levels."""
    sigmas, start = EDMRho()(9, EDM()), torch.tensor([[-57.0], [3.0]], dtype=torch.float64)
    noise = NoNoise()
    walk = states(Adams(EDM(), 9, stds=stds), sigmas, lambda y, _: 0 * y + 0.7, start, noise)
    for sigma in sigmas[1:].tolist():
        expected = 0.7 + sigma / float(sigmas[0]) * (start - 0.7)
        torch.testing.assert_close(next(walk), expected, rtol=1e-9, atol=1e-9)


GRIDS = {
    "edm_rho": EDMRho(), "geometric": Geometric(), "iddpm": IDDPM(1000, sigma_max=80.0),
    "quadratic_time": QuadraticTime(), "uniform_time": UniformTime(),
}  # fmt: skip


@pytest.mark.parametrize("stds", [[0.5], [0.5, 0.1], [1e-9, 1e9], [0.5, 0.2, 0.1]])
@pytest.mark.parametrize("num_steps", range(3, 9))
@pytest.mark.parametrize("grid", GRIDS)
def test_few_steps_do_not_carry_samples_away(grid: str, num_steps: int, stds: list[float]) -> None:
    """With a D that is off by a tenth here and there, as a network's may be, on any grid."""
    mixture = Mixture()

    def wrong(y: Tensor, sigma: float | Tensor) -> Tensor:
        return mixture(y, sigma) + 0.1 * torch.sin(7 * y + 3 * torch.tensor(float(sigma)).log())

    start = 0.73 + 80 * GeneratorNoise((200, 1), seed=3).prior()
    sigmas = GRIDS[grid](num_steps, EDM())
    *_, end = states(Adams(EDM(), num_steps, stds=stds), sigmas, wrong, start, NoNoise())
    law = mixture.quantile(PROBABILITIES, 0.0)
    assert float((end - law.mean()).square().mean().sqrt()) < 2.5 * float(law.std())


def test_a_long_step_fits_fewer_values() -> None:
    """From 80 over 40 to 0.1 two values would have large weights, so the last D alone counts."""
    sigmas = torch.tensor([80.0, 40.0, 0.1, 0.0], dtype=torch.float64)
    start, noise = torch.zeros(1, 1, dtype=torch.float64), NoNoise()
    walk = states(Adams(EDM(), 3), sigmas, lambda y, sigma: 0 * y + float(sigma), start, noise)
    next(walk)
    # 0.1/40 of what was there, between 20 and 40, and the rest of D = 40; with both it is -500.
    assert 39.95 < float(next(walk)) < 40


@pytest.mark.parametrize("stds", [[], [0.5, 0.0], [-1.0], [math.nan], [0.5, math.inf]])
def test_stds_are_positive(stds: list[float]) -> None:
    with pytest.raises(ValueError, match=r"sampler\.stds must be positive"):
        Adams(EDM(), 10, stds=stds)
