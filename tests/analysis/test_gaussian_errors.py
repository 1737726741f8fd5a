"""The exact law of each sampler on Gaussian data, and the split of its error."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, final

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import sqrtm
from torch import Tensor

from fokker.diffusion.analysis.gaussian_errors import GaussianErrors, gaussian_errors, sampled_law
from fokker.diffusion.grids import EDMRho
from fokker.diffusion.samplers import (
    DDIM,
    Ancestral,
    AnnealedLangevin,
    DPMpp2M,
    DPMpp2MSDE,
    DPMpp3M,
    EDMStochastic,
    Euler,
    EulerMaruyama,
    Heun,
    Nodes,
    ODEAdaptive,
    PredictorCorrector,
    ReverseDiffusion,
    Sampler,
    StartLaw,
)
from fokker.diffusion.samplers import gaussian as module
from fokker.diffusion.samplers.base import Denoise, Noise
from fokker.diffusion.sde import EDM, SubVP, VEGeometric, VPCosine, VPLinear, VPOrnsteinUhlenbeck
from fokker.distributions import Gaussian, GaussianCovariance


def vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def covariance(*eigenvalues: float) -> Tensor:
    """With these eigenvalues in directions that are no coordinate's."""
    generator = torch.Generator().manual_seed(3)
    count = len(eigenvalues)
    axes: Tensor = torch.linalg.qr(
        torch.randn(count, count, generator=generator, dtype=torch.float64)
    )[0]
    matrix = (axes * vector(*eigenvalues)) @ axes.T
    return (matrix + matrix.T) / 2


MEAN = vector(0.9, -0.4, 2.0)
LAW = GaussianCovariance(MEAN, covariance(1.3, 0.2, 0.05))
FLAT = GaussianCovariance(MEAN, covariance(1.3, 0.2, 0.0))
SIGMAS = vector(4.0, 2.0, 1.1, 0.5, 0.2, 0.0)

#: Every sampler class, on several SDEs, from both starts; the first word is its kind.
CASES: dict[str, Sampler] = {
    "euler": Euler(VPLinear(), 5),
    "euler matched": Euler(VPCosine(), 5, prior="matched"),
    "heun": Heun(SubVP(), 5, prior="matched"),
    "ralston": Heun(EDM(), 5, alpha=2 / 3),
    "ddim": DDIM(EDM(), 5, prior="matched"),
    "ddim_half": DDIM(EDM(), 5, eta=0.5, prior="matched"),
    "ancestral": Ancestral(VPLinear(), 5, variance=0.5, prior="matched"),
    "dpmpp_2m": DPMpp2M(VPLinear(), 5, prior="matched"),
    "dpmpp_2m_sde": DPMpp2MSDE(VPLinear(), 5, eta=0.7, prior="matched"),
    "dpmpp_3m": DPMpp3M(EDM(), 5),
    "edm_stochastic": EDMStochastic(VPLinear(), 5, S_churn=1.5, S_noise=1.1, prior="matched"),
    "euler_maruyama": EulerMaruyama(VPOrnsteinUhlenbeck(), 5, c=0.8, prior="matched"),
    "reverse_diffusion": ReverseDiffusion(VPLinear(), 5, prior="matched"),
    "predictor_corrector": PredictorCorrector(VPLinear(), 5, 2, prior="matched"),
    "annealed_langevin": AnnealedLangevin(VEGeometric(), 5, 4, prior="matched"),
    "ode_adaptive": ODEAdaptive(EDM(), 1e-7, 1e-7, prior="matched"),
}


@final
class Drawn:
    """Independent noise from one generator; counts what is asked beside the start."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.asked = shape, 0
        self.generator = torch.Generator().manual_seed(11)

    def prior(self) -> Tensor:
        return torch.randn(self.shape, generator=self.generator, dtype=torch.float64)

    def next_increment(self) -> Tensor:
        self.asked += 1
        return self.prior()

    def fresh(self) -> Tensor:
        return self.next_increment()


@pytest.mark.one_in(4)
@pytest.mark.parametrize("law", [LAW, FLAT], ids=["full", "flat"])
@pytest.mark.parametrize("name", CASES)
def test_the_law_is_that_of_many_samples(name: str, law: GaussianCovariance) -> None:
    sampler, count = CASES[name], 100_000
    noise = Drawn((count, 3))
    samples = sampler(law.denoise, SIGMAS, StartLaw(law.mean, law.variance), noise)
    exact = sampled_law(law, sampler, SIGMAS)
    c = exact.covariance
    spread = torch.sqrt((torch.outer(c.diagonal(), c.diagonal()) + c**2) / count)
    assert bool(((samples.T.cov() - c).abs() < 4.5 * spread + 1e-12).all())
    off = (samples.mean(0) - exact.mean).abs()
    assert bool((off < 4.5 * (c.diagonal() / count).sqrt() + 1e-9).all())
    assert sampler.is_deterministic == (noise.asked == 0)


def chain(lam: float, name: str) -> float:
    """The std at the end from N(0, sigma_T^2), by the scalar recursions, before the last D."""
    variance = float(SIGMAS[0]) ** 2
    for a, b in pairwise(SIGMAS[:-1].tolist()):
        h, slope = a - b, a / (lam + a**2)
        if name == "euler":
            variance *= (1 - h * slope) ** 2
        elif name == "heun":
            variance *= (1 - h / 2 * (slope + b / (lam + b**2) * (1 - h * slope))) ** 2
        else:
            variance *= ((lam + b**2) / (lam + a**2)) ** 2
            variance += b**2 * (a**2 - b**2) / a**2
    return math.sqrt(variance)


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("euler", Euler(EDM(), 5)),
        ("euler", DDIM(VPLinear(), 5)),
        ("heun", Heun(EDM(), 5)),
        ("ancestral", Ancestral(VPLinear(), 5)),
        ("ancestral", DDIM(EDM(), 5, eta=1.0)),
    ],
)
def test_against_scalar_recursions(name: str, sampler: Sampler) -> None:
    errors = gaussian_errors(FLAT, sampler, SIGMAS)
    lams = FLAT.eigenvalues.tolist()
    low = float(SIGMAS[-2]) ** 2
    ends = [chain(lam, name) * lam / (lam + low) for lam in lams]
    np.testing.assert_allclose(errors.stds[3], ends, rtol=1e-12, atol=1e-15)
    total = math.sqrt(sum((end - math.sqrt(lam)) ** 2 for end, lam in zip(ends, lams)))
    assert errors.total == pytest.approx(total, rel=1e-12)
    assert lams[0] == 0
    assert float(errors.stds[:, 0].abs().max()) == 0


def test_solvers_in_x_move_the_mean_and_that_counts() -> None:
    """Euler in x_t with a curved s(t) does not keep y = m: x goes along the tangent of s."""
    sde, law = VPLinear(), GaussianCovariance(vector(3.0), vector(0.3)[:, None])
    high, low = 1.5, 0.5
    start, end = sde.time(high).requires_grad_(), sde.time(low)
    scale = sde.scale(start)
    (rate,) = torch.autograd.grad(scale, start)
    y = 3.0 * float(((scale + (end - start) * rate) / sde.scale(end)).detach())
    kept = 0.3 / (0.3 + low**2)
    errors = gaussian_errors(law, Euler(sde, 2), vector(high, low, 0.0))
    off = kept * (y - 3.0)
    assert abs(off) > 0.05
    # An eigenvector's sign is free.
    assert abs(float(errors.means.diff(dim=0)[2, 0])) == pytest.approx(abs(off), rel=1e-10)
    step = float(errors.displacements[2, 0])
    assert errors.discretisation == pytest.approx(math.hypot(step, off), rel=1e-12)
    mean = sampled_law(law, Euler(sde, 2), vector(high, low, 0.0)).mean
    assert float(mean[0]) == pytest.approx(3.0 + off, rel=1e-12)


def bures(p: np.ndarray, q: np.ndarray) -> float:
    root = sqrtm(p)
    squared: float = np.trace(p + q - 2 * sqrtm(root @ q @ root)).real
    return math.sqrt(squared)


def reverse_covariance(law: GaussianCovariance, sampler: Sampler, start: np.ndarray) -> np.ndarray:
    """By integrating `dV/dsigma = (1 + c^2) sigma (P V + V P) - 2 c^2 sigma I`, and D."""
    s, identity = law.covariance.numpy(), np.eye(law.dim)
    value = start
    levels = SIGMAS[:-1].tolist()
    for c, (a, b) in zip(sampler.members(Nodes(sampler.sde, SIGMAS)), pairwise(levels)):

        def slope(sigma: float, flat: np.ndarray, c: float = c) -> np.ndarray:
            v = flat.reshape(s.shape)
            p = np.linalg.inv(s + sigma**2 * identity)
            rate = (1 + c**2) * sigma * (p @ v + v @ p) - 2 * c**2 * sigma * identity
            return np.asarray(rate.ravel())

        end = solve_ivp(slope, (a, b), value.ravel(), method="DOP853", rtol=1e-11, atol=1e-13)
        value = end.y[:, -1].reshape(s.shape)
    kept = s @ np.linalg.inv(s + levels[-1] ** 2 * identity)
    return np.asarray(kept @ value @ kept.T)


@pytest.mark.parametrize("prior", ["published", "matched"])
@pytest.mark.parametrize(
    "make",
    [
        *(lambda prior, c=c: EulerMaruyama(VPLinear(), 5, c=c, prior=prior) for c in (0, 0.5, 1.5)),
        lambda prior: Heun(SubVP(), 5, prior=prior),
        lambda prior: ReverseDiffusion(VPLinear(), 5, prior=prior),
        # No churn at 4 and at 0.5 and below, so that members differ.
        lambda prior: EDMStochastic(EDM(), 5, S_churn=0.5, S_min=0.6, S_max=3.0, prior=prior),
    ],
)
def test_every_distance_against_matrices(make: Callable[[Any], Sampler], prior: str) -> None:
    """In the data's own coordinates, with matrix square roots, the reverse process integrated."""
    sampler = make(prior)
    errors = gaussian_errors(LAW, sampler, SIGMAS)
    s, high, low = LAW.covariance.numpy(), float(SIGMAS[0]), float(SIGMAS[-2])
    start = high**2 * np.eye(3) + (np.diag(np.diag(s)) if prior == "matched" else 0)
    kept = s @ np.linalg.inv(s + low**2 * np.eye(3))
    truncated, reverse = kept @ s, reverse_covariance(LAW, sampler, start)
    sampled = sampled_law(LAW, sampler, SIGMAS)
    moved = float((sampled.mean - MEAN).norm())
    assert errors.truncation == pytest.approx(bures(s, truncated), rel=1e-6)
    assert errors.initialisation == pytest.approx(bures(truncated, reverse), rel=1e-4, abs=2e-7)
    assert errors.discretisation == pytest.approx(
        math.hypot(bures(reverse, sampled.covariance.numpy()), moved), rel=1e-6
    )
    assert errors.total == pytest.approx(
        math.hypot(bures(s, sampled.covariance.numpy()), moved), rel=1e-6
    )


def test_members_differ_by_transition() -> None:
    sampler = EDMStochastic(EDM(), 5, S_churn=0.5, S_min=0.6, S_max=3.0)
    c = sampler.members(Nodes(EDM(), SIGMAS))
    assert c == pytest.approx(
        [0, math.sqrt(0.21 * 4 / (4 - 1.21)), math.sqrt(0.21 * 1.21 / 0.96), 0]
    )
    assert AnnealedLangevin(VEGeometric(), 2).members(Nodes(EDM(), SIGMAS)) == [math.inf] * 4


MEMBERS: dict[str, tuple[Sampler, float]] = {
    "euler": (Euler(VPLinear(), 3), 0.0),
    "heun": (Heun(VPLinear(), 3), 0.0),
    "ddim": (DDIM(EDM(), 3), 0.0),
    "ddim_0.6": (DDIM(EDM(), 3, eta=0.6), 0.6),
    "ancestral_small": (Ancestral(VPLinear(), 3), 1.0),
    "ancestral_large": (Ancestral(VPLinear(), 3, variance=1.0), 1.0),
    "2m": (DPMpp2M(EDM(), 3), 0.0),
    "2m_sde_0.3": (DPMpp2MSDE(EDM(), 3, eta=0.3), math.sqrt(0.3)),
    "2m_sde_2": (DPMpp2MSDE(EDM(), 3, eta=2.0), math.sqrt(2)),
    "2m_sde_0": (DPMpp2MSDE(EDM(), 3, eta=0.0), 0.0),
    "3m": (DPMpp3M(EDM(), 3), 0.0),
    "edm_stochastic": (
        EDMStochastic(EDM(), 3, S_churn=3e-5), math.sqrt((1.00001**2 - 1) / (1 - 0.99999**2)),
    ),
    "edm_stochastic_0": (EDMStochastic(EDM(), 3, S_churn=0.0), 0.0),
    "euler_maruyama_1.5": (EulerMaruyama(VPLinear(), 3, c=1.5), 1.5),
    "euler_maruyama_0": (EulerMaruyama(VPLinear(), 3, c=0.0), 0.0),
    "reverse_diffusion": (ReverseDiffusion(VPLinear(), 3), 1.0),
    # Its correctors are made too small to be seen.
    "predictor_corrector": (PredictorCorrector(VPLinear(), 3, snr=1e-6), 1.0),
    "ode_adaptive": (ODEAdaptive(EDM(), 1e-10, 1e-10), 0.0),
}  # fmt: skip


@final
class Units:
    """The j-th noise asked for is 1 in row 1 + j."""

    def __init__(self) -> None:
        self.asked = 0

    def prior(self) -> Tensor:
        raise AssertionError

    def next_increment(self) -> Tensor:
        noise = torch.zeros(9, 1, dtype=torch.float64)
        noise[1 + self.asked] = 1
        self.asked += 1
        return noise

    fresh = next_increment


@pytest.mark.parametrize("name", MEMBERS)
def test_a_small_step_is_the_members(name: str) -> None:
    """Noise of variance c^2 d(sigma^2), and `(1 + c^2)/2 score d(sigma^2)` of drift."""
    sampler, c = MEMBERS[name]
    high, low, lam = 0.8, 0.8 * 0.99999, 0.4
    nodes = Nodes(sampler.sde, vector(high, low, 0.1, 0.0))
    assert sampler.members(nodes)[0] == pytest.approx(c, rel=1e-9)
    assert len(sampler.members(nodes)) == 2
    y = torch.zeros(9, 1, dtype=torch.float64)
    y[0] = 1
    noise = Units()

    def denoise(state: Tensor, sigma: float | Tensor) -> Tensor:
        return lam / (lam + torch.as_tensor(sigma).reshape(-1, 1) ** 2) * state

    state = next(sampler.steps(denoise, y, nodes, noise))
    lost = high**2 - low**2
    assert float(state[1:].square().sum()) / lost == pytest.approx(c**2, rel=1e-3, abs=1e-4)
    drift = -math.log(float(state[0])) * 2 * (lam + high**2) / lost
    assert drift == pytest.approx(1 + c**2, rel=1e-3)
    assert sampler.is_deterministic == (c == 0) == (noise.asked == 0)


def test_truncation_in_closed_form_and_small() -> None:
    for low in (0.3, 1e-5):
        errors = gaussian_errors(FLAT, DDIM(EDM(), 3), vector(4.0, 1.0, low, 0.0))
        square = 0.0
        for lam in (1.3, 0.2):
            # sqrt(lam) - lam/sqrt(lam + low^2), without cancellation.
            ratio = math.sqrt(lam / (lam + low**2))
            square += lam * ((low**2 / (lam + low**2)) / (1 + ratio)) ** 2
        assert errors.truncation == pytest.approx(math.sqrt(square), rel=1e-12, abs=1e-15)


def test_a_small_error_of_other_axes_keeps_its_digits() -> None:
    """Near S, `W2(S, S + X)^2 = sum_ij X_ij^2 / (2 (l_i + l_j))` in S's axes (Bures' metric)."""
    high, low = 1e4, 0.3
    sampler = DDIM(EDM(), 3, prior="matched")
    errors = gaussian_errors(LAW, sampler, vector(high, 1.0, low, 0.0))
    lam, axes = LAW.eigenvalues, LAW.axes
    delta = axes.T @ (LAW.variance.diag() - LAW.covariance) @ axes
    gain = lam / (lam + low**2) * ((lam + low**2) / (lam + high**2)).sqrt()
    change = gain[:, None] * delta * gain
    ends = lam**2 / (lam + low**2)
    squared = float((change**2 / (2 * (ends[:, None] + ends))).sum())
    assert math.sqrt(squared) < 1e-8
    assert errors.initialisation == pytest.approx(math.sqrt(squared), rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_displacements_add_and_are_the_distances_where_axes_agree(name: str) -> None:
    errors = gaussian_errors(LAW, CASES[name], SIGMAS)
    total = errors.stds[3] - LAW.eigenvalues.sqrt()
    torch.testing.assert_close(errors.displacements.sum(0), total, rtol=1e-12, atol=1e-14)
    moved = errors.means.diff(dim=0)
    parts = torch.cat([errors.displacements, moved], dim=1).norm(dim=1).tolist()
    found = [errors.truncation, errors.initialisation, errors.discretisation]
    if CASES[name].prior == "published":
        assert found == pytest.approx(parts, rel=1e-12)
    else:  # The marginals along the axes are never farther apart than the laws.
        assert all(part <= value + 1e-12 for part, value in zip(parts, found))
    assert errors.total <= sum(found) + 1e-12


@pytest.mark.parametrize("prior", ["published", "matched"])
def test_both_ways_to_give_a_law_agree(prior: Any) -> None:
    """Independent coordinates by themselves, and by matrices."""
    law = Gaussian([1.0, -2.0, 0.5], [0.4, 1.5, 0.9])
    full = GaussianCovariance(law.mean, law.variance.diag())
    sampler = EulerMaruyama(VPLinear(), 5, prior=prior)
    one, other = (gaussian_errors(each, sampler, SIGMAS) for each in (law, full))
    assert distances(one) == pytest.approx(distances(other), rel=1e-11)
    torch.testing.assert_close(one.stds[:, [0, 2, 1]], other.stds, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        sampled_law(law, sampler, SIGMAS).covariance, sampled_law(full, sampler, SIGMAS).covariance
    )


def distances(errors: GaussianErrors) -> list[float]:
    return [errors.truncation, errors.initialisation, errors.discretisation, errors.total]


def test_a_rotation_of_the_data_changes_nothing_from_a_published_start() -> None:
    turned = GaussianCovariance(LAW.axes.T @ LAW.mean, LAW.eigenvalues.diag())
    for name in ("euler", "ralston", "dpmpp_3m"):
        one, other = (gaussian_errors(law, CASES[name], SIGMAS) for law in (LAW, turned))
        assert distances(one) == pytest.approx(distances(other), rel=1e-10)


@pytest.mark.parametrize(
    "sampler",
    [
        Heun(EDM(), 5, prior="matched"),
        DDIM(EDM(), 5, eta=0.4),
        DPMpp2MSDE(EDM(), 5),
        EulerMaruyama(EDM(), 5, prior="matched"),
        EDMStochastic(EDM(), 5, S_churn=1.0, S_min=0.0, S_max=math.inf),
        AnnealedLangevin(EDM(), 5),
        PredictorCorrector(EDM(), 5),
    ],
)
def test_the_unit_of_the_data_is_the_unit_of_the_errors(sampler: Sampler) -> None:
    for a in (0.01, 30.0):
        law = GaussianCovariance(a * LAW.mean, a**2 * LAW.covariance)
        expected = [a * value for value in distances(gaussian_errors(LAW, sampler, SIGMAS))]
        found = distances(gaussian_errors(law, sampler, a * SIGMAS))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-13 * a)


@pytest.mark.parametrize(
    ("make", "order"),
    [
        (lambda n: Euler(VPLinear(), n), 1),
        (lambda n: DDIM(EDM(), n), 1),
        (lambda n: Ancestral(VPLinear(), n), 1),
        (lambda n: EulerMaruyama(VPLinear(), n, c=0.5), 1),
        (lambda n: Heun(VPLinear(), n), 2),
        (lambda n: DPMpp2M(EDM(), n), 2),
        (lambda n: DPMpp2MSDE(EDM(), n), 2),
    ],
)
def test_discretisation_falls_with_the_order(make: Callable[[int], Sampler], order: int) -> None:
    found, steps = [], (64, 128, 256)
    for n in steps:
        ends = math.log(40.0), math.log(0.05)
        sigmas = torch.linspace(*ends, n + 1, dtype=torch.float64).exp()
        found.append(gaussian_errors(FLAT, make(n + 1), torch.cat([sigmas, vector(0.0)])))
    values = [errors.discretisation for errors in found]
    slope = np.polyfit(np.log(steps), np.log(values), 1)[0]
    assert -slope == pytest.approx(order, abs=0.15)
    assert len({errors.truncation for errors in found}) == 1
    assert found[0].initialisation == pytest.approx(found[2].initialisation, rel=1e-9)


def test_what_forgets_its_start_has_no_initialisation_error() -> None:
    errors = gaussian_errors(LAW, AnnealedLangevin(VEGeometric(), 5), SIGMAS)
    assert errors.initialisation < 1e-14
    assert errors.discretisation > 0.1


def test_an_adaptive_solver_is_exact_to_its_tolerance() -> None:
    for tolerance in (1e-4, 1e-8):
        errors = gaussian_errors(LAW, ODEAdaptive(EDM(), tolerance, tolerance), SIGMAS)
        assert errors.discretisation < 3 * tolerance
        assert errors.initialisation > 0.01


def test_one_step_only() -> None:
    """From sigma_T straight to D: there is nothing to discretise."""
    errors = gaussian_errors(LAW, Heun(VPLinear(), 1), vector(2.0, 0.0))
    kept = LAW.eigenvalues / (LAW.eigenvalues + 4.0)
    torch.testing.assert_close(errors.stds[3], 2 * kept)
    assert errors.discretisation < 1e-15
    assert errors.initialisation == pytest.approx(
        float((2 * kept - kept * (LAW.eigenvalues + 4.0).sqrt()).norm()), rel=1e-12
    )


def test_a_start_with_moments_of_its_own() -> None:
    """Such as those of the training set, as images in float32; a mean that is off is carried."""
    sampler, sigmas = DDIM(EDM(), 3, prior="matched"), vector(4.0, 1.0, 0.2, 0.0)
    law = GaussianCovariance(torch.zeros(4), covariance(1.3, 0.2, 0.05, 0.4))
    own = StartLaw(torch.zeros(2, 2), law.variance.reshape(2, 2).float())
    assert distances(gaussian_errors(law, sampler, sigmas, own)) == pytest.approx(
        distances(gaussian_errors(law, sampler, sigmas)), rel=1e-5
    )
    off = vector(0.3, 0.0, -0.2, 0.1)
    shifted = StartLaw(off, law.variance)
    errors = gaussian_errors(law, sampler, sigmas, shifted)
    along = (off @ law.axes) * law.eigenvalues / (law.eigenvalues + 0.04).sqrt()
    along = along / (law.eigenvalues + 16.0).sqrt()
    torch.testing.assert_close(errors.means[2], along, rtol=1e-12, atol=1e-15)
    noise = Drawn((200_000, 4))
    samples = sampler(law.denoise, sigmas, shifted, noise)
    exact = sampled_law(law, sampler, sigmas, shifted)
    torch.testing.assert_close(samples.mean(0), exact.mean, rtol=0, atol=0.01)
    assert float(exact.mean.norm()) > 0.02


def test_draws_are_followed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = PredictorCorrector(VPLinear(), 5, 3)
    whole = gaussian_errors(LAW, sampler, SIGMAS)
    for numbers in (1, 7 * 3):  # one draw at a time; 19 draws in 7, 7 and 5
        monkeypatch.setattr(module, "_RUN_NUMBERS", numbers)
        parts = gaussian_errors(LAW, sampler, SIGMAS)
        assert distances(parts) == pytest.approx(distances(whole), rel=1e-13)


def test_it_is_fast() -> None:
    """As many as a figure shows, at the size of the digits; and a long noisy sampler."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(200, 64, generator=generator, dtype=torch.float64)
    law = GaussianCovariance(points.mean(0), points.T.cov() / 4)
    sde = EDM()
    makers: list[Callable[[int], Sampler]] = [
        lambda n: Euler(sde, n),
        lambda n: Heun(sde, n),
        lambda n: DPMpp2M(sde, n),
        lambda n: Ancestral(sde, n, prior="matched"),
        lambda n: EulerMaruyama(sde, n),
        lambda n: EDMStochastic(sde, n),
    ]
    started = time.process_time()
    for make in makers:
        for n in (5, 10, 20, 40, 70, 100):
            gaussian_errors(law, make(n), EDMRho()(n, sde))
    gaussian_errors(law, AnnealedLangevin(sde, 100), EDMRho()(100, sde))
    assert time.process_time() - started < 8


class Clipped(Sampler):
    """Not affine: the end is cut at 1."""

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        yield y.clamp(-1, 1)


class Undeclared(Sampler):
    """Draws noise without saying so."""

    def steps(self, denoise: Denoise, y: Tensor, nodes: Nodes, noise: Noise) -> Iterator[Tensor]:
        yield denoise(y + noise.fresh(), 1.0)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (PredictorCorrector(EDM(), 5, norms="batch"), "choose sampler.norms=expected"),
        (Clipped(EDM(), 5), "affine on Gaussian data"),
        (Undeclared(EDM(), 5), "is_deterministic must be False"),
        (EulerMaruyama(EDM(), 5, c=1e80), "diverges on these nodes"),
    ],
)
def test_refusals(sampler: Sampler, message: str) -> None:
    for function in (gaussian_errors, sampled_law):
        with pytest.raises(ValueError, match=message):
            function(LAW, sampler, SIGMAS)


def test_a_start_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the 3 elements of the law, got a mean of 2"):
        gaussian_errors(LAW, DDIM(EDM(), 5), SIGMAS, StartLaw(torch.zeros(2), torch.ones(3)))
