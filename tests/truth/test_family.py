"""The SDEs of one family: the same marginals, other paths. Exact, on Gaussian data."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import final

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from fokker.diffusion.samplers import EulerMaruyama
from fokker.diffusion.samplers.base import StartLaw
from fokker.diffusion.sde import SDE, Rectified, SubVP, VPLinear
from fokker.distributions import Gaussian
from sdes import PLAIN

MEAN, STD = 1.3, 0.6
LAW = Gaussian(MEAN, STD)
LOW, HIGH = 0.1, 3.0
MEMBERS = [0.0, 0.5, 1.0, 1.5]


def total(sigma: float) -> float:
    """The variance of x0 + sigma n."""
    return STD**2 + sigma**2


def correlation(c: float, first: float, last: float) -> float:
    """Of the start at sigma = first and the state at sigma = last, `(total ratio)^(c^2/2)`.

    dC/dt = (1 + c^2)/2 (total'/total) C for the covariance C of y = x/s with the start. For c = 1
    it is that of x0 + sigma n with less and more of the same noise, of the forward process.
    """
    return math.pow(total(last) / total(first), c**2 / 2)


@pytest.mark.parametrize("sde", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("c", MEMBERS)
def test_moments_of_every_member(c: float, sde: SDE) -> None:
    # dx = [f x - (1 + c^2)/2 g^2 score] dt + c g dw, dt < 0: linear, so its mean, variance and
    # covariance with the start obey an ODE.
    def slope(t: float, moments: np.ndarray) -> list[float]:
        mean, variance, covariance = moments
        s, sigma = float(sde.scale(t)), float(sde.sigma(t))
        f, square = float(sde.drift(t)), float(sde.squared_diffusion(t))
        # score = -(x - s m) / (s^2 total)
        pull = (1 + c**2) / 2 * square / (s**2 * total(sigma))
        return [
            f * mean + pull * (mean - s * MEAN),
            2 * (f + pull) * variance - c**2 * square,
            (f + pull) * covariance,
        ]

    start, stop = float(sde.time(HIGH)), float(sde.time(LOW))
    before, after = float(sde.scale(start)), float(sde.scale(stop))
    variance = before**2 * total(HIGH)
    solution = solve_ivp(
        slope,
        (start, stop),
        [before * MEAN, variance, variance],
        method="DOP853",
        rtol=1e-11,
        atol=1e-13,
    )
    mean, end, covariance = solution.y[:, -1]
    assert mean == pytest.approx(after * MEAN, rel=1e-8)
    assert end == pytest.approx(after**2 * total(LOW), rel=1e-8)
    assert covariance / math.sqrt(variance * end) == pytest.approx(
        correlation(c, HIGH, LOW), rel=1e-8
    )


def test_the_paths_differ() -> None:
    correlations = [correlation(c, HIGH, LOW) for c in MEMBERS]
    assert correlations[0] == 1
    assert all(a - b > 0.1 for a, b in pairwise(correlations))
    # The forward process: Cov(x0 + s n, x0 + s n + more) is the variance of the first.
    assert correlations[2] == pytest.approx(total(LOW) / math.sqrt(total(LOW) * total(HIGH)))


@final
class UnitNoise:
    """Row 0 draws 0, row 1 a start of 1, row k + 2 a k-th increment of 1, and 0 elsewhere.

    On Gaussian data a solver is an affine map of its draws; the rows give all its coefficients.
    """

    def __init__(self, increments: int) -> None:
        self._rows = increments + 2
        self._next = 1

    def prior(self) -> Tensor:
        return self._unit(1)

    def next_increment(self) -> Tensor:
        self._next += 1
        return self._unit(self._next)

    def fresh(self) -> Tensor:
        raise AssertionError("these solvers use coupled noise alone")

    def _unit(self, row: int) -> Tensor:
        draw = torch.zeros(self._rows, 1, dtype=torch.float64)
        draw[row] = 1.0
        return draw


def walk(sde: SDE, c: float, num_steps: int) -> tuple[float, float, float]:
    """Mean, variance and correlation with the start of y at LOW, by Euler-Maruyama from HIGH."""
    times = torch.linspace(float(sde.time(HIGH)), float(sde.time(LOW)), num_steps + 1).double()
    sigmas = torch.cat((sde.sigma(times), torch.zeros(1, dtype=torch.float64)))
    states: dict[int, Tensor] = {}
    sampler = EulerMaruyama(sde=sde, num_steps=num_steps + 1, c=c, prior="matched")
    keep: Callable[[int, Tensor], None] = states.__setitem__
    sampler(LAW.denoise, sigmas, StartLaw(LAW.mean, LAW.variance), UnitNoise(num_steps), watch=keep)
    state = states[num_steps][:, 0]
    coefficients = state[1:] - state[0]
    variance = float((coefficients**2).sum())
    return float(state[0]), variance, float(coefficients[0]) / math.sqrt(variance)


@pytest.mark.parametrize("sde", [VPLinear(), SubVP(), Rectified()], ids=lambda s: type(s).__name__)
def test_euler_maruyama_walks_every_member(sde: SDE) -> None:
    # First order: with twice the steps half the error, and by extrapolation the closed form.
    exact = {c: (MEAN, total(LOW), correlation(c, HIGH, LOW)) for c in MEMBERS}
    for c in MEMBERS:
        coarse, fine = walk(sde, c, 200), walk(sde, c, 400)
        for one, two, value in zip(coarse, fine, exact[c]):
            assert abs(two - value) < 0.6 * abs(one - value) + 1e-12
            assert 2 * two - one == pytest.approx(value, rel=2e-3)


def test_euler_maruyama_by_samples() -> None:
    # The same by chance: 100,000 walks of the reverse SDE, each moment within 4.5 of its errors.
    count, steps, sde, c = 100_000, 100, VPLinear(), 1.0
    generator = torch.Generator().manual_seed(3)

    @final
    class Drawn:
        def prior(self) -> Tensor:
            self.first = torch.randn(count, 1, generator=generator, dtype=torch.float64)
            return self.first

        def next_increment(self) -> Tensor:
            return torch.randn(count, 1, generator=generator, dtype=torch.float64)

        fresh = next_increment

    noise = Drawn()
    times = torch.linspace(float(sde.time(HIGH)), float(sde.time(LOW)), steps + 1).double()
    sigmas = torch.cat((sde.sigma(times), torch.zeros(1, dtype=torch.float64)))
    states: dict[int, Tensor] = {}
    EulerMaruyama(sde=sde, num_steps=steps + 1, c=c, prior="matched")(
        LAW.denoise,
        sigmas,
        StartLaw(LAW.mean, LAW.variance),
        noise,
        watch=states.__setitem__,
    )
    y = states[steps][:, 0]
    mean, variance, rho = walk(sde, c, steps)
    start = noise.first[:, 0]
    assert float(y.mean()) == pytest.approx(mean, abs=4.5 * math.sqrt(variance / count))
    assert float(y.var()) == pytest.approx(variance, rel=4.5 * math.sqrt(2 / count))
    found = float(torch.corrcoef(torch.stack((start, y)))[0, 1])
    assert found == pytest.approx(rho, abs=4.5 * (1 - rho**2) / math.sqrt(count))
