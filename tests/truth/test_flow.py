"""The probability-flow ODE, integrated by scipy: one map, whatever the clock and the scale."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from line_laws import LAWS
from scipy.integrate import solve_ivp
from torch import Tensor

from fokker.diffusion.sde import SDE, Rectified, VPLinear
from fokker.distributions import Affine, Distribution, Ring
from sdes import PLAIN

LOW, HIGH = 0.05, 20.0
PROBABILITIES = torch.tensor([1e-4, 0.01, 0.1, 0.3, 0.31, 0.5, 0.77, 0.95, 0.9999]).double()
RING = Affine(Ring(5, 1.3, 0.2), -0.3, 0.8)
SHIFTED_LINE = Affine(LAWS["uniform"], 0.4, 0.7)


def integrate(
    slope: Callable[[float, Tensor], Tensor], start: Tensor, first: float, last: float
) -> Tensor:
    """The state at `last` of `d state / d clock = slope(clock, state)`, any shape."""

    def flat(clock: float, state: np.ndarray) -> np.ndarray:
        value = slope(clock, torch.from_numpy(state).reshape(start.shape))
        return value.flatten().numpy()

    solution = solve_ivp(
        flat, (first, last), start.flatten().numpy(), method="DOP853", rtol=1e-9, atol=1e-10
    )
    assert solution.success
    return torch.from_numpy(solution.y[:, -1].copy()).reshape(start.shape)


def starts(law: Distribution, sigma: float) -> Tensor:
    """Points of the law at this noise; in one dimension quantiles, tails among them."""
    if law.dim == 1:
        return law.quantile(PROBABILITIES, sigma)[:, None]
    generator = torch.Generator().manual_seed(1)
    x0 = law.sample(6, generator)
    return x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=torch.float64)


FLOW_LAWS: dict[str, Distribution] = {
    **LAWS,
    "affine": SHIFTED_LINE,
    "ring": RING,
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("first", "last"), [(LOW, HIGH), (HIGH, LOW)])
@pytest.mark.parametrize("name", list(FLOW_LAWS))
def test_the_log_density_along_the_flow(name: str, first: float, last: float) -> None:
    # dy/dln sigma = y - D, dlog p/dln sigma = -(d - tr dD/dy), tr dD/dy = tr Var(x0|y)/sigma^2.
    law = FLOW_LAWS[name]
    y = starts(law, first)

    def slope(log_sigma: float, state: Tensor) -> Tensor:
        sigma, point = math.exp(log_sigma), state[:, :-1]
        divergence = law.dim - law.posterior_variance(point, sigma) / sigma**2
        return torch.cat((point - law.denoise(point, sigma), -divergence[:, None]), dim=1)

    state = torch.cat((y, law.log_prob(y, first)[:, None]), dim=1)
    end = integrate(slope, state, math.log(first), math.log(last))
    error = (end[:, -1] - law.log_prob(end[:, :-1], last)).abs()
    # Backwards, where the flow contracts and expands by a factor of 400, errors in y count more.
    assert float(error.max()) < 1e-6
    assert float((state[:, -1] - end[:, -1]).abs().min()) > 0.1


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("first", "last"), [(LOW, HIGH), (HIGH, LOW), (0.3, 1.1)])
@pytest.mark.parametrize("name", [name for name in FLOW_LAWS if FLOW_LAWS[name].dim == 1])
def test_on_the_line_the_flow_keeps_the_probability_below(
    name: str, first: float, last: float
) -> None:
    law = FLOW_LAWS[name]
    y = starts(law, first)
    end = integrate(lambda s, y: (y - law.denoise(y, s)) / s, y, first, last)
    expected = law.quantile(law.cdf(y, first), last)
    assert float(((end[:, 0] - expected) / (1 + expected.abs())).abs().max()) < 1e-7
    assert float((y[:, 0] - expected).abs().max()) > 0.1


def along(sde: SDE, law: Distribution, y: Tensor, first: float, last: float) -> Tensor:
    """x/s at sigma = last of `dx/dt = a x + b D(x/s; sigma)` from y at sigma = first."""

    def slope(t: float, x: Tensor) -> Tensor:
        a, b = sde.velocity(t)
        return a * x + b * law.denoise(x / float(sde.scale(t)), float(sde.sigma(t)))

    start, stop = float(sde.time(first)), float(sde.time(last))
    end = integrate(slope, float(sde.scale(start)) * y, start, stop)
    return end / float(sde.scale(stop))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sde", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("name", ["mixture", "uniform", "ring"])
def test_every_sde_has_the_same_flow(name: str, sde: SDE) -> None:
    law = FLOW_LAWS[name]
    for first, last in ((0.2, 4.0), (4.0, 0.2)):
        y = starts(law, first)
        expected = integrate(
            lambda r, y: y - law.denoise(y, math.exp(r)), y, math.log(first), math.log(last)
        )
        end = along(sde, law, y, first, last)
        assert float(((end - expected) / (1 + expected.abs())).abs().max()) < 1e-7


@pytest.mark.parametrize("sde", [VPLinear(), Rectified()], ids=lambda sde: type(sde).__name__)
def test_a_warped_clock_has_the_same_flow(sde: SDE) -> None:
    # t = phi(r), dx/dr = phi'(r) dx/dt, for phi that rises, and one that falls.
    law, first, last = LAWS["mixture"], LOW, HIGH
    y = starts(law, first)
    expected = law.quantile(law.cdf(y, first), last)
    begin, end = float(sde.time(first)), float(sde.time(last))
    warps: list[tuple[Callable[[float], float], Callable[[float], float], float, float]] = [
        (lambda r: r**3, lambda r: 3 * r**2, begin ** (1 / 3), end ** (1 / 3)),
        (lambda r: math.exp(-r), lambda r: -math.exp(-r), -math.log(begin), -math.log(end)),
    ]
    for warp, rate, start, stop in warps:

        def slope(
            r: float,
            x: Tensor,
            warp: Callable[[float], float] = warp,
            rate: Callable[[float], float] = rate,
        ) -> Tensor:
            t = warp(r)
            a, b = sde.velocity(t)
            denoised = law.denoise(x / float(sde.scale(t)), float(sde.sigma(t)))
            return rate(r) * (a * x + b * denoised)

        found = integrate(slope, float(sde.scale(begin)) * y, start, stop) / float(sde.scale(end))
        assert float(((found[:, 0] - expected) / (1 + expected.abs())).abs().max()) < 1e-7
