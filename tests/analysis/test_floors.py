"""Floors against quadrature by other means, excesses of denoisers whose error is known."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast, final

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import tiny_runs
from fokker.data import ToyData
from fokker.diffusion import weighting
from fokker.diffusion.analysis.floors import Floors, integral
from fokker.diffusion.analysis.mmse_curve import MMSECurve
from fokker.diffusion.analysis.validation import SIGMAS
from fokker.diffusion.formulations import Diffusion
from fokker.diffusion.noise_levels import Levels, LogNormal, LogUniform, NoiseLevels, UniformTime
from fokker.diffusion.sde import EDM as EDMTime
from fokker.diffusion.sde import VPLinear
from fokker.diffusion.weighting import Weighting
from fokker.distributions import Affine, Empirical, Gaussian, GaussianMixture, Uniform
from fokker.machine.files import read_json
from fokker.store.curves import read_json_lines
from fokker.training.validation import floor_of, validate, validate_average

Array = NDArray[np.float64]
Curve = Callable[[float], float]


def model_of(*overrides: str) -> Diffusion:
    model: Diffusion = tiny_runs.compose_experiment(*overrides).model
    return model


def floors_of(model: Diffusion) -> Floors:
    law = model.data.model_law
    assert law is not None
    return Floors(law, SIGMAS)


# A second implementation of mmse, by quadrature over x and over x0 ----------------------------


def panels(edges: list[float], order: int = 24) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights between neighbouring edges."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    cuts = sorted(set(edges))
    pairs = list(itertools.pairwise(cuts))
    return (
        np.concatenate([(a + b) / 2 + (b - a) / 2 * nodes for a, b in pairs]),
        np.concatenate([(b - a) / 2 * weights for a, b in pairs]),
    )


def quadrature_mmse(density: Callable[[Array], Array], low: float, high: float) -> Curve:
    """`E Var(x0 | x)` of a law on [low, high]: Bayes' rule, by sums over x0 for each of many x."""

    def mmse(sigma: float) -> float:
        reach = 9 * sigma
        inner = {low + i * (high - low) / 12 for i in range(13)}
        near = {end + k * sigma for end in (low, high) for k in range(-9, 10, 3)}
        x, wx = panels([low - reach, high + reach, *(e for e in inner | near)])
        nodes, weights = np.polynomial.legendre.leggauss(64)
        start, stop = np.maximum(low, x - reach), np.minimum(high, x + reach)
        half = np.maximum(stop - start, 0)[:, None] / 2
        x0 = (start + stop)[:, None] / 2 + half * nodes
        joint = half * weights * density(x0) * scipy.stats.norm.pdf(x[:, None], x0, sigma)
        mass = joint.sum(1)
        mean = (joint * x0).sum(1) / np.maximum(mass, 1e-300)
        return float((wx[:, None] * joint * (x0 - mean[:, None]) ** 2).sum())

    return mmse


def uniform_density(low: float, high: float) -> Callable[[Array], Array]:
    return lambda x: np.full_like(x, 1 / (high - low))


def mixture_density(x: Array) -> Array:
    """conf/data/mixture.yaml in units of mean 0 and standard deviation 1/2."""
    mean = 0.7 - 0.3
    variance = 0.3 * (0.2**2 + 1) + 0.7 * (0.4**2 + 1) - mean**2
    unit = 2 * math.sqrt(variance)
    first = scipy.stats.norm.pdf(x, (-1 - mean) / unit, 0.2 / unit)
    second = scipy.stats.norm.pdf(x, (1 - mean) / unit, 0.4 / unit)
    return np.asarray(0.3 * first + 0.7 * second)


def gaussian_mmse(variance: float) -> Curve:
    return lambda sigma: variance * sigma**2 / (variance + sigma**2)


EDGE = math.sqrt(3) / 2  # of U with standard deviation 1/2
MMSE: dict[str, Curve] = {
    "gaussian": gaussian_mmse(0.25),
    "uniform": quadrature_mmse(uniform_density(-EDGE, EDGE), -EDGE, EDGE),
    "mixture": quadrature_mmse(mixture_density, -2.2, 2.2),
}


def test_the_second_implementation_is_right_on_a_gaussian() -> None:
    density = partial(scipy.stats.norm.pdf, loc=0.3, scale=0.5)
    mmse = quadrature_mmse(density, -4.7, 5.3)
    for sigma in (0.003, 0.1, 1.0, 70.0):
        assert mmse(sigma) == pytest.approx(MMSE["gaussian"](sigma), rel=1e-9)


# The training noise of the formulations, from the papers --------------------------------------


def over_lognormal(integrand: Curve, mean: float = -1.2, std: float = 1.2) -> float:
    """`E f(sigma)` with `ln sigma ~ N(-1.2, 1.2^2)`: the trapezoidal rule in z converges fast."""
    z = np.linspace(-7.5, 7.5, 76)
    values = np.array([integrand(math.exp(mean + std * float(place))) for place in z])
    return float((values * scipy.stats.norm.pdf(z)).sum() * (z[1] - z[0]))


def vp_sigma(t: float) -> float:
    return math.sqrt(math.expm1(0.1 * t + 19.9 * t**2 / 2))


def over_vp_time(integrand: Curve) -> float:
    """`E f(sigma(t))` with t uniform on [1e-5, 1], by quadrature in ln t."""

    def of_log(log_t: float) -> float:
        return integrand(vp_sigma(math.exp(log_t))) * math.exp(log_t)

    value, _ = scipy.integrate.quad(of_log, math.log(1e-5), 0.0, epsrel=1e-8, limit=200)
    return float(value) / (1 - 1e-5)


def edm_weight(sigma: float) -> float:
    return (sigma**2 + 0.5**2) / (sigma * 0.5) ** 2


@pytest.mark.parametrize("data", ["gaussian", "uniform", "mixture"])
def test_the_floor_of_edm_is_the_integral_over_its_lognormal_noise(data: str) -> None:
    floor = floors_of(model := model_of(f"data={data}")).total(model)
    expected = over_lognormal(lambda sigma: edm_weight(sigma) * MMSE[data](sigma))
    assert floor.value == pytest.approx(expected, rel=1e-4)
    assert floor.standard_error == 0


@pytest.mark.parametrize("data", ["gaussian", "uniform", "mixture"])
def test_the_floors_at_each_level_are_the_mmse(data: str) -> None:
    floors = floors_of(model_of(f"data={data}"))
    expected = [MMSE[data](sigma) for sigma in SIGMAS.tolist()]
    assert floors.levels.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("data", ["gaussian", "uniform"])
def test_the_floor_of_the_vp_sde_is_the_integral_over_its_time(data: str) -> None:
    floor = floors_of(model := model_of(f"data={data}", "formulation=vp_sde")).total(model)
    expected = over_vp_time(lambda sigma: MMSE[data](sigma) / sigma**2)
    assert floor.value == pytest.approx(expected, rel=1e-4)


def test_the_floor_under_the_likelihood_weighting_is_an_integral_over_ln_sigma() -> None:
    """lambda p_train dsigma = dsigma / (sigma^3 span), whatever the training noise.

    On N(0, sd^2) its integral with mmse is `[ln sigma - ln(sigma^2 + sd^2)/2] / span`. Most of it
    is at the lowest noise, which uniform time and EDM's lognormal seldom draw.
    """

    def expected(low: float, high: float, span: float) -> float:
        ends = [math.log(s) - math.log(s**2 + 0.25) / 2 for s in (low, high)]
        return (ends[1] - ends[0]) / span

    cases = [
        (("sde=edm", "noise_levels=log_uniform"), expected(0.002, 80, 79.998), 1e-4),
        (("sde=edm", "noise_levels=uniform_time"), expected(0.002, 80, 79.998), 1e-4),
        (("formulation=vp_sde",), expected(vp_sigma(1e-5), vp_sigma(1), 1 - 1e-5), 1e-4),
        # A jump at the end of the range, where the lognormal has 1e-5 of its mass.
        (("sde=edm", "noise_levels=lognormal"), expected(0.002, 80, 79.998), 5e-4),
    ]
    for overrides, value, tolerance in cases:
        job = ("data=gaussian", *overrides, "weighting=likelihood")
        if overrides[-1] == "noise_levels=lognormal":
            with pytest.warns(UserWarning, match="of the training noise counts"):
                model = model_of(*job)
        else:
            model = model_of(*job)
        floor = floors_of(model).total(model).value
        assert floor == pytest.approx(value, rel=tolerance), overrides


@pytest.mark.parametrize("data", ["gaussian", "uniform"])
def test_the_floor_of_a_chain_is_the_mean_over_its_levels(data: str) -> None:
    model = model_of(f"data={data}", "formulation=ddpm", "formulation.num_levels=40",
                     "sampler.num_steps=40")  # fmt: skip
    # Ho 2020: the share of noise of step k, and alpha_bar as their product.
    betas = (0.1 + 19.9 * np.arange(40) / 39) / 40
    bars = np.cumprod(1 - betas)
    sigmas = np.sqrt((1 - bars) / bars).tolist()
    expected = float(np.mean([MMSE[data](s) / s**2 for s in sigmas]))
    floor = floors_of(model).total(model)
    assert floor.value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("data", ["gaussian", "uniform"])
def test_the_floor_of_smld_is_the_mean_over_its_levels(data: str) -> None:
    model = model_of(f"data={data}", "formulation=smld", "formulation.num_levels=7",
                     "sde.sigma_max=3", "sampler.num_steps=7")  # fmt: skip
    sigmas = np.geomspace(0.02, 3, 7).tolist()
    expected = float(np.mean([MMSE[data](s) / (2 * s**2) for s in sigmas]))
    assert floors_of(model).total(model).value == pytest.approx(expected, rel=1e-4)


# To eight digits, of every noise and weighting -------------------------------------------------

VP = VPLinear()
CHAIN = torch.from_numpy(np.geomspace(0.02, 30, 60))
NOISES: dict[str, NoiseLevels] = {
    "lognormal": LogNormal(),
    "lognormal_high": LogNormal(P_mean=3, P_std=2),
    "log_uniform": LogUniform(EDMTime()),
    "uniform_time": UniformTime(VP),
    "levels": Levels(levels=CHAIN),
}
WEIGHTINGS: list[Weighting] = [
    weighting.Eps(), weighting.SMLD(), weighting.X0(), weighting.V(), weighting.EDM(),
    weighting.Likelihood(VP), weighting.MinSNR(), weighting.SoftMinSNR(), weighting.P2(),
    weighting.ELBO(VP), weighting.Learned(weighting.EDM()),
]  # fmt: skip


@final
@dataclass(frozen=True)
class Weighted:
    """What a floor asks of a model."""

    noise_levels: NoiseLevels
    weighting: Weighting


@pytest.mark.parametrize("noise", NOISES)
def test_the_floor_on_gaussian_data_is_a_known_integral(noise: str) -> None:
    """By scipy's quad in z of u = Phi(z), which is told of kinks and jumps of the weighting."""
    law, mmse = NOISES[noise], gaussian_mmse(0.25)
    floors = Floors(Affine(Gaussian(mean=[3.0], std=[2.0]), 3.0, 4.0), SIGMAS)
    # Of min-SNR, and of the ends of the time that is weighted.
    kinks = () if law.levels is not None else (1 / math.sqrt(5.0), VP.train_sigma_min, VP.sigma_max)
    ends = sorted({-7.5, -3.0, 0.0, 3.0, 7.5, *(z_of(law, sigma) for sigma in kinks)})
    for each in WEIGHTINGS:

        def weighted(sigma: Tensor, each: Weighting = each) -> float:
            return float(each(sigma, law).detach()[0]) * mmse(float(sigma[0]))

        def of_z(z: float, of: Callable[[Tensor], float] = weighted) -> float:
            u = torch.tensor([scipy.special.ndtr(z)], dtype=torch.float64)
            return of(law.sigma(u)) * math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)

        if law.levels is None:
            expected = sum(
                scipy.integrate.quad(of_z, low, high, epsabs=0, epsrel=1e-11, limit=100)[0]
                for low, high in itertools.pairwise(ends)
            )
        else:
            expected = float(np.mean([weighted(level[None]) for level in law.levels]))
        model = cast("Diffusion", Weighted(law, each))
        assert floors.total(model).value == pytest.approx(expected, rel=1e-8), each


def z_of(law: NoiseLevels, sigma: float) -> float:
    """The z with law.sigma(Phi(z)) = sigma, or an end of its range."""
    low, high = -7.5, 7.5
    for _ in range(60):
        middle = (low + high) / 2
        u = torch.tensor(scipy.special.ndtr(middle), dtype=torch.float64)
        low, high = (middle, high) if float(law.sigma(u)) < sigma else (low, middle)
    return high


@pytest.mark.parametrize("data", ["uniform", "mixture"])
def test_between_the_levels_the_curve_is_the_mmse(data: str) -> None:
    """And beyond them."""
    curve = MMSECurve(_law(model_of(f"data={data}")), SIGMAS)
    assert not curve.is_random
    places = torch.tensor([1e-4, 0.0031, 0.06, 0.11, 0.23, 0.31, 0.55, 0.9, 7.1, 60.0, 900.0])
    expected = [MMSE[data](sigma) for sigma in places.tolist()]
    assert curve(places.double()).tolist() == pytest.approx(expected, rel=1e-8)


def test_kinks_and_jumps_are_integrated() -> None:
    def both(x: Tensor) -> Tensor:
        return (x - 0.3123).abs() + torch.where(x > 0.7777, 2.0, 0.0) + torch.exp(x)

    expected = (1.3123**2 + 0.6877**2) / 2 + 2 * (1 - 0.7777) + math.e - 1 / math.e
    assert integral(both, -1.0, 1.0) == pytest.approx(expected, rel=1e-9)
    assert integral(torch.zeros_like, -1.0, 1.0) == 0


# What is known without any integral -----------------------------------------------------------


def test_edm_s_floor_on_gaussian_data_is_1_everywhere_in_any_units() -> None:
    for mean, std in [(0.0, 1.0), (300.0, 7.0), (-2.0, 1e-3)]:
        model = model_of("data=gaussian", f"data.mean={mean}", f"data.std={std}")
        floors = floors_of(model)
        weights = torch.tensor([edm_weight(s) for s in SIGMAS.tolist()], dtype=torch.float64)
        torch.testing.assert_close(weights * floors.levels, torch.ones(16).double(), rtol=1e-6,
                                   atol=0)  # fmt: skip
        assert floors.total(model).value == pytest.approx(1, rel=1e-4)


def test_standardised_data_have_one_floor_whatever_their_mean_and_scale() -> None:
    first = model_of("data=uniform")
    other = model_of("data=uniform", "data.low=-50", "data.high=900")
    one, two = (floors_of(m) for m in (first, other))
    torch.testing.assert_close(one.levels, two.levels, rtol=1e-9, atol=0)
    assert one.total(first).value == pytest.approx(two.total(other).value, rel=1e-9)
    # Of data as they are, in their own units.
    plain = model_of("data=uniform", "data.low=2", "data.high=8", "data.standardize=false")
    mmse = quadrature_mmse(uniform_density(2, 8), 2, 8)
    expected = [mmse(sigma) for sigma in SIGMAS.tolist()]
    assert floors_of(plain).levels.tolist() == pytest.approx(expected, rel=1e-6)


def test_in_d_dimensions_floors_are_those_of_a_coordinate_on_average() -> None:
    law = Affine(Gaussian(mean=[5.0, -3.0, 0.0], std=[1.0, 0.2, 4.0]), 2.0, 3.0)
    expected = [
        np.mean([gaussian_mmse((std / 3) ** 2)(s) for std in (1.0, 0.2, 4.0)])
        for s in SIGMAS.tolist()
    ]
    assert Floors(law, SIGMAS).levels.tolist() == pytest.approx(expected, rel=1e-9)


def test_the_floor_of_a_finite_set_is_0_at_low_noise_and_its_variance_at_high_noise() -> None:
    """What would be left if the training set were memorised."""
    model = model_of("data=digits", "network=exact")
    points = model.data.training_points()
    assert points is not None
    variance = float(model.data.to_model(points).double().var(0, correction=0).mean())
    floors = Floors(_law(model), SIGMAS[::3])
    assert floors.levels[0] < 1e-9
    assert float(floors.levels[-1]) == pytest.approx(variance, rel=0.02)
    assert bool((floors.levels[1:] - floors.levels[:-1] > -1e-3 * variance).all())
    total = floors.total(model)
    assert 0 < total.standard_error < 0.05 * total.value


def test_a_standard_error_is_there_where_points_are_drawn_and_of_the_right_size() -> None:
    # Four points in the plane: mmse from a product of Bernoullis, tanh, by quadrature.
    corners = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    law = Affine(Empirical(torch.tensor(corners, dtype=torch.float64)), 0.0, 2.0)
    model = model_of("data=gaussian")
    total = Floors(law, SIGMAS).total(model)
    assert total.standard_error > 0

    def mmse(sigma: float) -> float:
        """`1 - E tanh^2` of +-1/2 in noise, for which `E tanh = E tanh^2` at x0 = 1/2."""
        z, weights = np.polynomial.hermite_e.hermegauss(120)
        tanh = np.tanh((0.5 + sigma * z) * 0.5 / sigma**2)
        return float(0.25 * (weights * (1 - tanh)).sum() / weights.sum())

    expected = over_lognormal(lambda s: edm_weight(s) * mmse(s))
    assert abs(total.value - expected) < 3 * total.standard_error
    assert total.standard_error < 0.05 * expected


# Excess ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [("data=uniform",), ("data=mixture", "formulation=ddpm"), ("data=digits",), ("data=torus",)],
)
def test_the_ideal_denoiser_has_no_excess_at_all(overrides: tuple[str, ...]) -> None:
    model = model_of(*overrides, "network=exact")
    excess = Floors(_law(model), SIGMAS[::5]).excess(model)
    assert excess.total == 0
    assert torch.equal(excess.levels, torch.zeros(4, dtype=torch.float64))


def _law(model: Diffusion) -> Affine:
    assert model.data.model_law is not None
    return model.data.model_law


class Linear(nn.Module):
    """`D = gain x + offset`, wrong at every noise level."""

    def __init__(self, gain: float, offset: float) -> None:
        super().__init__()
        self._gain, self._offset = gain, offset

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._gain * x + self._offset


def test_a_constant_error_is_found_without_noise() -> None:
    """Data of mean m that are not centred: untrained, D = c_skip x is off by m (1 - c_skip)."""
    model = model_of("data=gaussian", "data.mean=0.3", "data.std=0.7", "data.standardize=false")
    excess = floors_of(model).excess(model)
    c_skip = 0.49 / (SIGMAS**2 + 0.49)
    torch.testing.assert_close(excess.levels, 0.09 * (1 - c_skip) ** 2, rtol=1e-3, atol=1e-13)

    def weighted(sigma: float) -> float:
        weight = (sigma**2 + 0.49) / (sigma**2 * 0.49)
        return weight * 0.09 * (sigma**2 / (sigma**2 + 0.49)) ** 2

    assert excess.total == pytest.approx(over_lognormal(weighted), rel=1e-3)
    # A level of a chain is drawn as often as any other, and weighs as much as it should.
    chain = model_of(
        "data=gaussian", "data.mean=0.3", "data.std=0.7", "data.standardize=false",
        "formulation=ddpm", "formulation.num_levels=40", "sampler.num_steps=40",
    )  # fmt: skip
    chain.denoiser = Linear(1.0, 0.0)  # type: ignore[assignment]
    assert chain.levels is not None
    bias = 0.09 * chain.levels**2 / (chain.levels**2 + 0.49) ** 2
    spread = chain.levels**2 / (chain.levels**2 + 0.49)
    expected = float((bias + spread).mean())
    assert floors_of(chain).excess(chain).total == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0.0), (0.0, 0.1), (1.0, -0.2)])
def test_a_linear_error_on_gaussian_data(gain: float, offset: float) -> None:
    model = model_of("data=gaussian", "data.mean=300", "data.std=7")
    model.denoiser = Linear(gain, offset)  # type: ignore[assignment]
    excess = floors_of(model).excess(model)
    # (gain - c) x + offset with x ~ N(0, sd^2 + sigma^2), and the variance of its square.
    slope = (gain - 0.25 / (0.25 + SIGMAS**2)) ** 2 * (0.25 + SIGMAS**2)
    expected = slope + offset**2
    error = (2 * slope**2 + 4 * slope * offset**2).sqrt() / math.sqrt(512)
    assert bool(((excess.levels - expected).abs() < 4 * error + 1e-6).all())

    def weighted(sigma: float) -> float:
        c = 0.25 / (0.25 + sigma**2)
        return edm_weight(sigma) * ((gain - c) ** 2 * (0.25 + sigma**2) + offset**2)

    # The heavy weight of low noise, 1/sigma^2, on an error that is not small there.
    assert excess.total == pytest.approx(over_lognormal(weighted), rel=0.15)


@pytest.mark.parametrize("data", ["uniform", "mixture"])
def test_the_excess_of_an_untrained_network(data: str) -> None:
    """c_skip x has E|D - x0|^2 = c^2 sigma^2 + (1 - c)^2 sd^2 on any centred data."""
    model = model_of(f"data={data}")
    floors = floors_of(model)
    excess = floors.excess(model)

    def expected(sigma: float) -> float:
        c = 0.25 / (0.25 + sigma**2)
        return c**2 * sigma**2 + (1 - c) ** 2 * 0.25 - MMSE[data](sigma)

    levels = torch.tensor([expected(s) for s in SIGMAS.tolist()], dtype=torch.float64)
    # Where the law's edges matter, its errors are rare and large.
    middle = (SIGMAS > 0.08) & (SIGMAS < 2)
    torch.testing.assert_close(excess.levels[middle], levels[middle], rtol=0.3, atol=0)
    total = over_lognormal(lambda s: edm_weight(s) * expected(s))
    assert excess.total == pytest.approx(total, rel=0.12)
    # Its loss is 1 at every level, and so floor and excess sum to 1.
    assert floors.total(model).value + total == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        ("data=uniform",),
        ("data=gaussian", "data.mean=[3,-1]", "data.std=[0.2,4]", "preconditioning=v"),
        ("data=mixture", "formulation=vp_sde", "weighting=likelihood"),
        ("data=mixture", "formulation=smld", "formulation.num_levels=7", "sampler.num_steps=7"),
    ],
)
def test_a_loss_on_fresh_data_is_floor_and_excess(overrides: tuple[str, ...]) -> None:
    model = model_of(*overrides)
    floors = floors_of(model)
    excess = floors.excess(model)
    number = 40_000
    x0 = model.data.batch(0, number).x
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for index in range(3, 13, 3):
            sigma = SIGMAS[index].expand(number)
            errors = model.denoising_error(x0, sigma, noise).double()
            chance = float(errors.std()) / math.sqrt(number)
            # Of the 512 points of the excess: their squares scatter by as much as they are, or two.
            chance += 2 * float(excess.levels[index]) / math.sqrt(512)
            expected = float(floors.levels[index] + excess.levels[index])
            assert float(errors.mean()) == pytest.approx(expected, abs=4 * chance), index
        # The whole loss, at evenly spread quantiles of the training noise; likelihood's are at the
        # lowest noise, which is drawn by importance.
        u = (torch.randperm(number, generator=torch.Generator().manual_seed(4)) + 0.5) / number
        u, ratio = u.double(), torch.ones(number).double()
        if "weighting=likelihood" in overrides:
            u, ratio = u**3, 3 * u**2
        loss = ratio * model.loss(x0, model.noise_levels.sigma(u), noise).double()
    expected = floors.total(model).value + excess.total
    chance = float(loss.std()) / math.sqrt(number) + 2 * excess.total / math.sqrt(2048)
    assert float(loss.mean()) == pytest.approx(expected, abs=4 * chance)


def test_the_excess_under_likelihood_sees_the_lowest_noise() -> None:
    """D = (1 + sigma/10) D* on N(0, sd^2), nearly: an error in eps that is alike at all levels."""
    model = model_of("data=gaussian", "formulation=vp_sde", "weighting=likelihood")
    law = _law(model)

    class Off(nn.Module):
        def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
            best = law.denoise(x, sigma).to(x)
            return best + 0.1 * sigma[:, None].to(x)

    model.denoiser = Off()  # type: ignore[assignment]
    # Integral of 0.01 sigma^2 / sigma^3 from sigma(1e-5) to sigma(1).
    expected = 0.01 * math.log(vp_sigma(1) / vp_sigma(1e-5))
    assert floors_of(model).excess(model).total == pytest.approx(expected, rel=0.1)


def test_excesses_are_on_the_same_points_for_all_models() -> None:
    one, other = (model_of("data=uniform", f"seed={seed}") for seed in (0, 5))
    first, second = (floors_of(m).excess(m) for m in (one, other))
    assert torch.equal(first.levels, second.levels)
    assert first.total == second.total


# In the record --------------------------------------------------------------------------------


def test_a_run_s_metrics_are_floor_and_excess(workdir: object) -> None:
    result = tiny_runs.run("callbacks.validation_steps=10", "evaluation.num_samples=10")
    metrics = read_json(result.path / "metrics.json")
    assert metrics["loss"] == pytest.approx(metrics["floor"] + metrics["excess"], rel=1e-12)
    table = tiny_runs.levels(result.path)
    columns = table.columns
    for loss, floor, excess in zip(columns["loss"], columns["floor"], columns["excess"]):
        assert loss == pytest.approx(floor + excess, rel=1e-12)
        assert excess >= 0
    assert columns["floor"] == pytest.approx(
        [MMSE["uniform"](s) for s in SIGMAS.tolist()], rel=1e-6
    )
    assert "floor_standard_error" not in metrics
    # The curves: of the batches, and of the averaged weights.
    rows = read_json_lines(result.path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    for row in rows:
        assert row["floor"] == metrics["floor"]
        assert row["excess"] == row["loss"] - row["floor"]
        assert ("ema_excess" in row) == (row["step"] in (10, 20))
    assert rows[-1]["ema_excess"] == pytest.approx(metrics["excess"], rel=1e-5)
    assert rows[-1]["level"] == list(table.level)
    assert rows[-1]["loss_per_level"] == pytest.approx(table.columns["loss"], rel=1e-5)
    assert rows[1]["ema_excess"] != rows[3]["ema_excess"]


def test_a_floor_by_chance_has_its_error_in_the_record(workdir: object) -> None:
    job = ("data=ring8", "data.num_points=30", "evaluation.num_samples=10")
    result = tiny_runs.run(*job, "trainer.max_steps=2")
    metrics = result.metrics
    assert 0 < metrics["floor_standard_error"] < metrics["floor"]
    # Thirty points can be told apart at low noise, where fresh ones of their law cannot.
    assert tiny_runs.levels(result.path).columns["floor"][0] < 1e-7 < 0.002**2 / 30


def test_validation_leaves_the_model_as_it_is() -> None:
    made = tiny_runs.compose_experiment("data=uniform", "network.width=8")
    model = made.model
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.data.batch(0, 5)
    one, other = validate(model).numbers, validate_average(made.task.training)
    assert tiny_runs.differing(model.state_dict(), before) == []
    # What stands for the batches' is theirs alone.
    assert other.keys() & {"loss", "floor", "excess"} == set()
    assert other["ema_excess"] == pytest.approx(one["excess"], rel=1e-6)


def test_data_of_no_known_law_have_no_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyData, "law", None)
    model = model_of("data=uniform")
    assert floor_of(model) is None
    found = validate(model)
    assert found.numbers.keys() == {"held_out_loss", "denoising_error"}
    assert found.table.columns.keys() == {"held_out"}


def test_laws_without_closed_forms_agree_with_laws_that_have_them() -> None:
    """A mixture of one component, and a box in the plane, are other code for known floors."""
    one = Affine(GaussianMixture(weights=[1.0], means=[4.0], stds=[3.0]), 4.0, 6.0)
    expected = [MMSE["gaussian"](s) for s in SIGMAS.tolist()]
    assert Floors(one, SIGMAS).levels.tolist() == pytest.approx(expected, rel=1e-6)
    box = ToyData(partial(Uniform, low=[0.0, 5.0], high=[1.0, 6.0], dim=2), standardize=False)
    mmse = quadrature_mmse(uniform_density(0, 1), 0, 1)
    assert box.model_law is not None
    assert Floors(box.model_law, SIGMAS).levels.tolist() == pytest.approx(
        [mmse(s) for s in SIGMAS.tolist()], rel=1e-6
    )
