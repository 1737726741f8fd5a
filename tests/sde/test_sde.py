"""Every SDE against high-precision definitions, autograd and the exact flow of a Gaussian."""

import math
from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fokker.config.compose import config_dir
from fokker.diffusion.sde import (
    EDM,
    SDE,
    Rectified,
    SubVP,
    VEGeometric,
    VESqrt,
    VPCosine,
    VPLinear,
    VPOrnsteinUhlenbeck,
)
from sdes import PLAIN

SDES: dict[str, Callable[[], SDE]] = {
    "vp_linear": VPLinear,
    "vp_linear_own_beta": lambda: VPLinear(beta_min=0.3, beta_max=12.0),
    "vp_linear_edm_range": lambda: VPLinear(sigma_min=0.002, sigma_max=80.0),
    "vp_linear_sigma_min": lambda: VPLinear(sigma_min=0.03),
    "vp_linear_sigma_max": lambda: VPLinear(sigma_max=25.0),
    "vp_cosine": VPCosine,
    "vp_cosine_offset": lambda: VPCosine(offset=0.05, sigma_min=1e-5, sigma_max=30.0),
    "vp_ou": VPOrnsteinUhlenbeck,
    "vp_ou_range": lambda: VPOrnsteinUhlenbeck(sigma_min=1e-5, sigma_max=300.0),
    "sub_vp": SubVP,
    "sub_vp_range": lambda: SubVP(sigma_min=1e-5, sigma_max=40.0),
    "ve_geometric": VEGeometric,
    "ve_geometric_range": lambda: VEGeometric(sigma_min=0.3, sigma_max=7.0),
    "ve_sqrt": VESqrt,
    "edm": EDM,
    "rectified": Rectified,
    "rectified_range": lambda: Rectified(sigma_min=1e-5, sigma_max=500.0),
}

Reference = Callable[[mp.mpf], tuple[mp.mpf, mp.mpf]]


def variance_preserving(scale: Callable[[mp.mpf], mp.mpf]) -> Reference:
    """s and sigma from s alone, as s^2 (1 + sigma^2) = 1; 60 digits allow its cancellation."""
    return lambda t: (scale(t), mp.sqrt(1 / scale(t) ** 2 - 1))


def linear_beta(beta_min: float, beta_max: float) -> Callable[[mp.mpf], mp.mpf]:
    low, high = mp.mpf(beta_min), mp.mpf(beta_max)
    # The area of a trapezium.
    return lambda t: t * (low + (low + (high - low) * t)) / 2


def refitted_beta(sigma_min: float, sigma_max: float) -> Callable[[mp.mpf], mp.mpf]:
    """The B(t) = p t + q t^2 through the two given noise levels at t = 1e-3 and 1."""
    with mp.workdps(60):
        start = mp.mpf(0.001)
        levels = [mp.log(1 + mp.mpf(sigma) ** 2) for sigma in (sigma_min, sigma_max)]
        p, q = mp.lu_solve(mp.matrix([[start, start**2], [1, 1]]), mp.matrix(levels))
    return lambda t: p * t + q * t**2


def cosine(offset: float) -> Reference:
    def angle(t: mp.mpf) -> mp.mpf:
        return (t + mp.mpf(offset)) / (1 + mp.mpf(offset)) * mp.pi / 2

    return variance_preserving(lambda t: mp.cos(angle(t)) / mp.cos(angle(mp.mpf(0))))


def linear_vp(integral: Callable[[mp.mpf], mp.mpf]) -> Reference:
    return variance_preserving(lambda t: mp.exp(-integral(t) / 2))


def sub_vp(t: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    integral = linear_beta(0.1, 20.0)(t)
    scale = mp.exp(-integral / 2)
    return scale, (1 - mp.exp(-integral)) / scale


def geometric(low: float, high: float) -> Reference:
    return lambda t: (mp.mpf(1), mp.mpf(low) * (mp.mpf(high) / mp.mpf(low)) ** t)


def published_end(time: float) -> float:
    """sigma of the published linear VP SDE."""
    integral = 0.1 * time + (20 - 0.1) * time**2 / 2
    return math.sqrt(math.expm1(integral))


REFERENCES: dict[str, Reference] = {
    "vp_linear": linear_vp(linear_beta(0.1, 20.0)),
    "vp_linear_own_beta": linear_vp(linear_beta(0.3, 12.0)),
    "vp_linear_edm_range": linear_vp(refitted_beta(0.002, 80.0)),
    "vp_linear_sigma_min": linear_vp(refitted_beta(0.03, published_end(1.0))),
    "vp_linear_sigma_max": linear_vp(refitted_beta(published_end(1e-3), 25.0)),
    "vp_cosine": cosine(0.008),
    "vp_cosine_offset": cosine(0.05),
    "vp_ou": variance_preserving(lambda t: mp.exp(-t)),
    "vp_ou_range": variance_preserving(lambda t: mp.exp(-t)),
    "sub_vp": sub_vp,
    "sub_vp_range": sub_vp,
    "ve_geometric": geometric(0.02, 100.0),
    "ve_geometric_range": geometric(0.3, 7.0),
    "ve_sqrt": lambda t: (mp.mpf(1), mp.sqrt(t)),
    "edm": lambda t: (mp.mpf(1), t),
    "rectified": lambda t: (1 - t, t / (1 - t)),
    "rectified_range": lambda t: (1 - t, t / (1 - t)),
}

each_sde = pytest.mark.parametrize("name", SDES)


def noise_levels(sde: SDE, count: int = 25) -> torch.Tensor:
    """From the lowest training noise to the highest, evenly in the log."""
    ends = math.log(sde.train_sigma_min), math.log(sde.sigma_max)
    return torch.linspace(*ends, count, dtype=torch.float64).exp()


@each_sde
def test_scale_and_sigma_have_no_cancellation(name: str) -> None:
    sde, reference = SDES[name](), REFERENCES[name]
    with mp.workdps(60):
        for t in sde.time(noise_levels(sde)).tolist():
            scale, sigma = reference(mp.mpf(t))
            assert abs(mp.mpf(float(sde.scale(t))) / scale - 1) < 1e-12
            assert abs(mp.mpf(float(sde.sigma(t))) / sigma - 1) < 1e-12


@each_sde
def test_time_inverts_sigma_without_cancellation(name: str) -> None:
    sde, reference = SDES[name](), REFERENCES[name]
    with mp.workdps(60):
        for sigma in noise_levels(sde).tolist():
            t = mp.mpf(float(sde.time(sigma)))
            assert abs(reference(t)[1] / mp.mpf(sigma) - 1) < 1e-12


@each_sde
def test_round_trips(name: str) -> None:
    sde = SDES[name]()
    sigma = noise_levels(sde, 200)
    torch.testing.assert_close(sde.sigma(sde.time(sigma)), sigma, rtol=1e-12, atol=0)
    t = sde.time(sigma)
    torch.testing.assert_close(sde.time(sde.sigma(t)), t, rtol=1e-12, atol=1e-15)
    assert (t.diff() > 0).all()


@each_sde
def test_drift_and_diffusion_are_the_derivatives_of_scale_and_sigma(name: str) -> None:
    sde = SDES[name]()
    t = sde.time(noise_levels(sde)).requires_grad_()
    scale, sigma = sde.scale(t), sde.sigma(t)
    scale_rate = torch.zeros_like(t)
    if scale.requires_grad:
        (scale_rate,) = torch.autograd.grad(scale.sum(), t)
    (sigma_rate,) = torch.autograd.grad(sigma.sum(), t)
    squared = 2 * scale**2 * sigma * sigma_rate
    close = {"rtol": 1e-9, "atol": 1e-14}
    torch.testing.assert_close(sde.drift(t), scale_rate / scale, **close)
    torch.testing.assert_close(sde.squared_diffusion(t), squared, **close)
    torch.testing.assert_close(sde.diffusion(t), squared.sqrt(), **close)
    torch.testing.assert_close(sde.sigma_rate(t), sigma_rate, **close)


@each_sde
def test_velocity_is_that_of_the_exact_flow_of_a_gaussian(name: str) -> None:
    sde, reference = SDES[name](), REFERENCES[name]
    mean, variance = mp.mpf(0.7), mp.mpf(0.35) ** 2

    def state(t: mp.mpf) -> mp.mpf:
        """The path through y = 1.9 at sigma = 1: (y - m)/sqrt(v + sigma^2) is constant."""
        scale, sigma = reference(t)
        return scale * (mean + mp.mpf(1.2) * mp.sqrt((variance + sigma**2) / (variance + 1)))

    with mp.workdps(60):
        for level in noise_levels(sde, 9).tolist():
            t = mp.mpf(float(sde.time(level)))
            x, (scale, sigma) = state(t), reference(t)
            denoised = (sigma**2 * mean + variance * x / scale) / (sigma**2 + variance)
            a, b = sde.velocity(float(t))
            # At small sigma the two terms nearly cancel: their rounding is what is allowed.
            allowed = 1e-9 * abs(mp.diff(state, t)) + 1e-11 * abs(a * x)
            assert abs(a * x + b * denoised - mp.diff(state, t)) < allowed


@pytest.mark.parametrize(
    ("name", "low", "high", "train_low"),
    [
        ("vp_linear", 0.01049, 152.2, 0.0010),
        ("vp_cosine", 0.0064, 80.0, 0.0010),
        ("vp_ou", 0.002, 80.0, 0.002),
        ("sub_vp", 0.01, 152.2, 0.0010),
        ("ve_geometric", 0.02, 100.0, 0.02),
        ("ve_sqrt", 0.02, 100.0, 0.02),
        ("edm", 0.002, 80.0, 0.002),
        ("rectified", 0.002, 80.0, 0.002),
    ],
)
def test_ranges_are_the_published_ones(
    name: str, low: float, high: float, train_low: float
) -> None:
    sde = SDES[name]()
    assert sde.sigma_min == pytest.approx(low, rel=1e-3)
    assert sde.sigma_max == pytest.approx(high, rel=1e-3)
    assert sde.train_sigma_min == pytest.approx(train_low, rel=1e-3)


def test_linear_vp_ends_at_its_published_times() -> None:
    sde = VPLinear()
    assert float(sde.time(sde.sigma_min)) == pytest.approx(1e-3, rel=1e-12)
    assert float(sde.time(sde.sigma_max)) == pytest.approx(1, rel=1e-12)
    assert float(sde.time(sde.train_sigma_min)) == pytest.approx(1e-5, rel=1e-12)
    assert float(SubVP().time(SubVP().sigma_max)) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(("beta_min", "beta_max"), [(0.1, 20.0), (0.3, 12.0)])
def test_diffusion_of_linear_vp_is_the_root_of_beta(beta_min: float, beta_max: float) -> None:
    sde = VPLinear(beta_min=beta_min, beta_max=beta_max)
    assert float(sde.squared_diffusion(0.0)) == pytest.approx(beta_min, rel=1e-12)
    assert float(sde.squared_diffusion(1.0)) == pytest.approx(beta_max, rel=1e-12)
    assert float(sde.drift(1.0)) == pytest.approx(-beta_max / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("low", "high"), [(0.002, 80.0), (0.03, None), (None, 25.0), (0.02, 100.0), (1e-4, 500.0)]
)
def test_refit_puts_the_given_noise_at_the_ends(low: float | None, high: float | None) -> None:
    sde = VPLinear(sigma_min=low, sigma_max=high)
    low = published_end(1e-3) if low is None else low
    high = published_end(1.0) if high is None else high
    assert float(sde.sigma(1e-3)) == pytest.approx(low, rel=1e-10)
    assert float(sde.sigma(1.0)) == pytest.approx(high, rel=1e-12)
    assert (sde.sigma_min, sde.sigma_max) == pytest.approx((low, high))
    assert 0 < sde.train_sigma_min <= sde.sigma_min
    t = torch.linspace(1e-3, 1, 100, dtype=torch.float64)
    assert (sde.squared_diffusion(t) > 0).all()


def test_the_range_of_edm_needs_a_slightly_negative_beta() -> None:
    sde = VPLinear(sigma_min=0.002, sigma_max=80.0)
    assert float(sde.squared_diffusion(0.0)) == pytest.approx(-0.0048, abs=5e-5)
    # B is not positive near 0, so there is nothing to train below t = 1e-3.
    assert sde.train_sigma_min == pytest.approx(0.002, rel=1e-10)


def test_a_given_range_moves_the_ends_and_nothing_else() -> None:
    for kind in (VPCosine, VPOrnsteinUhlenbeck, SubVP, VESqrt, EDM, Rectified):
        sde, default = kind(sigma_min=0.05, sigma_max=11.0), kind()
        assert (sde.sigma_min, sde.sigma_max) == (0.05, 11.0)
        assert float(sde.time(3.0)) == float(default.time(3.0))
    assert SubVP(sigma_min=1e-4).train_sigma_min == 1e-4
    assert VPCosine(sigma_min=0.05).train_sigma_min == 0.001


def test_cosine_stays_finite_below_its_end() -> None:
    sde = VPCosine()
    assert float(sde.time(80.0)) < 1
    assert float(sde.time(1e6)) < 1


def test_the_sdes_of_all_tests_are_those_of_the_options() -> None:
    options = {file.stem: OmegaConf.load(file) for file in (config_dir() / "sde").glob("*.yaml")}
    assert PLAIN.keys() == options.keys()
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    for name, node in options.items():
        sde = instantiate(node)
        assert type(sde) is type(PLAIN[name])
        assert (sde.sigma_min, sde.sigma_max) == (PLAIN[name].sigma_min, PLAIN[name].sigma_max)
        assert torch.equal(sde.sigma(t), PLAIN[name].sigma(t))


@pytest.mark.parametrize(
    "kind", [VPLinear, VPCosine, VPOrnsteinUhlenbeck, SubVP, VEGeometric, VESqrt, EDM, Rectified]
)
@pytest.mark.parametrize(
    ("low", "high"), [(5.0, 2.0), (2.0, 2.0), (0.0, 2.0), (-1.0, 2.0), (math.nan, 2.0)]
)
def test_bad_ranges_are_refused_by_the_name_of_the_key(
    kind: type[SDE], low: float, high: float
) -> None:
    with pytest.raises(ValueError, match=r"sde\.sigma_min must be positive and below") as error:
        kind(sigma_min=low, sigma_max=high)  # type: ignore[call-arg]
    assert f"sde.sigma_max={high:g}, got {low:g}" in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"beta_min": -1.0}, r"beta_min=-1"),
        ({"beta_max": -3.0}, r"beta_max=-3"),
        ({"beta_min": 0.0, "beta_max": 0.0}, r"beta_min=0 and beta_max=0"),
    ],
)
def test_a_beta_that_is_not_positive_is_refused(arguments: dict[str, float], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        VPLinear(**arguments)
    with pytest.raises(ValueError, match=key):
        SubVP(**arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "key"),
    [
        # B(0.001) would be negative, though beta(0.001) is not.
        (VPLinear, {"beta_min": -0.015}, r"sde\.beta_min=-0\.015"),
        (VPLinear, {"beta_min": 2.5, "beta_max": 1e-160}, r"beta_max=1e-160"),
        (VPLinear, {"beta_max": 2000.0}, r"sde\.beta_max=2000"),
        (SubVP, {"beta_max": 3000.0}, r"sde\.beta_max=3000"),
        (SubVP, {"beta_min": 20.0, "beta_max": 0.1, "sigma_max": 200.0}, r"sde\.sigma_max=200"),
        (EDM, {"sigma_max": math.inf}, r"sde\.sigma_max must be finite, .* 1e\+08, got inf"),
        (VPCosine, {"sigma_max": 1e17}, r"sde\.sigma_max .* at most 1e\+08, got 1e\+17"),
        (VESqrt, {"sigma_min": 1e-200}, r"sde\.sigma_min must be at least 1e-08, got 1e-200"),
    ],
)
def test_what_no_number_holds_is_refused(
    kind: type[SDE], arguments: dict[str, float], key: str
) -> None:
    with pytest.raises(ValueError, match=key):
        kind(**arguments)


@pytest.mark.parametrize("sigma_min", [1e-4, 1e-5, 1e-6, 1e-7])
def test_a_fit_with_negative_beta_keeps_its_time(sigma_min: float) -> None:
    """t = 0.001 at the lowest noise, where the usual root of the quadratic would cancel."""
    sde = VPLinear(sigma_min=sigma_min, sigma_max=80.0)
    assert float(sde.squared_diffusion(0.0)) < 0
    assert float(sde.time(sigma_min)) == pytest.approx(1e-3, rel=1e-12)
    assert float(sde.sigma(sde.time(sigma_min))) == pytest.approx(sigma_min, rel=1e-6)


def test_other_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sde\.beta_min must be positive for sub_vp"):
        SubVP(beta_min=-0.001)
    for offset in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match=r"sde\.offset must be between 0 and 1"):
            VPCosine(offset=offset)
