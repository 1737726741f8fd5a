"""The uniform law against its closed form in many digits."""

import math

import mpmath
import pytest
import torch

from fokker.distributions import Uniform

LOW, HIGH = -0.3, 1.7
SIGMAS = [0.002, 0.05, 0.6, 3.0, 80.0, 1000.0]
PLACES = [-29.0, -2.0, -0.31, -0.3, -0.299, 0.1, 0.7, 1.6999, 1.7, 1.75, 9.0, 29.7, 4000.0]


def closed_form(x: float, sigma: float) -> tuple[float, float, float, float]:
    """log p, score, D and variance by the textbook formulas."""
    with mpmath.workdps(80):
        a, b, s = mpmath.mpf(LOW), mpmath.mpf(HIGH), mpmath.mpf(sigma)
        z1, z2 = (x - a) / s, (x - b) / s
        mass = mpmath.ncdf(z1) - mpmath.ncdf(z2)
        # 80 digits of the smaller tails; as a difference from 1 they would be lost.
        if z2 > 0:
            mass = mpmath.ncdf(-z2) - mpmath.ncdf(-z1)
        shift = (mpmath.npdf(z1) - mpmath.npdf(z2)) / mass
        variance = s**2 * (1 - (z1 * mpmath.npdf(z1) - z2 * mpmath.npdf(z2)) / mass - shift**2)
        values = (mpmath.log(mass / (b - a)), shift / s, x + s * shift, variance)
        return tuple(float(value) for value in values)  # type: ignore[return-value]


@pytest.mark.parametrize("sigma", SIGMAS)
def test_against_the_closed_form(sigma: float) -> None:
    law = Uniform(LOW, HIGH)
    x = torch.tensor(PLACES, dtype=torch.float64)[:, None]
    log_p, score, denoised, variance = torch.tensor(
        [closed_form(place, sigma) for place in PLACES], dtype=torch.float64
    ).T
    assert law.log_prob(x, sigma).tolist() == pytest.approx(log_p.tolist(), rel=1e-12, abs=1e-12)
    assert law.score(x, sigma)[:, 0].tolist() == pytest.approx(score.tolist(), rel=1e-11, abs=1e-10)
    assert law.denoise(x, sigma)[:, 0].tolist() == pytest.approx(denoised.tolist(), rel=1e-12)
    assert law.posterior_variance(x, sigma).tolist() == pytest.approx(
        variance.tolist(), rel=1e-11, abs=0.0
    )


@pytest.mark.parametrize("sigma", SIGMAS)
def test_cdf_and_quantile_against_the_closed_form(sigma: float) -> None:
    law = Uniform(LOW, HIGH)
    mean, spread = float(law.mean), math.sqrt(float(law.variance) + sigma**2)
    for k in (-30, -6, -2, -0.4, 0.0, 0.3, 1.5, 6, 30):
        x = mean + k * spread
        with mpmath.workdps(80):
            s = mpmath.mpf(sigma)
            z1, z2 = (x - mpmath.mpf(LOW)) / s, (x - mpmath.mpf(HIGH)) / s
            one, two = (z * mpmath.ncdf(z) + mpmath.npdf(z) for z in (z1, z2))
            exact = float(s / (mpmath.mpf(HIGH) - mpmath.mpf(LOW)) * (one - two))
        found = float(law.cdf(torch.tensor([[x]], dtype=torch.float64), sigma))
        assert found == pytest.approx(exact, rel=2e-12 * max(1, sigma), abs=1e-300)
        if 1e-300 < exact < 0.999:
            u = torch.tensor([exact], dtype=torch.float64)
            assert float(law.quantile(u, sigma)) == pytest.approx(x, rel=1e-10, abs=1e-10 * spread)


def test_quantile_at_the_ends() -> None:
    law = Uniform(LOW, HIGH)
    u = torch.tensor([0.0, 0.25, 1.0])
    assert law.quantile(u).tolist() == pytest.approx([LOW, 0.2, HIGH])
    assert law.quantile(u, 0.5).tolist()[::2] == [-math.inf, math.inf]
    rows = law.quantile(u, torch.tensor([0.0, 0.0, 0.5]))
    assert rows.tolist() == pytest.approx([LOW, 0.2, math.inf])


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sigma", [0.01, 0.4, 5.0])
def test_mmse_against_quadrature_of_the_closed_form(sigma: float) -> None:
    width = HIGH - LOW

    def integrand(x: mpmath.mpf) -> mpmath.mpf:
        z1, z2 = x / sigma, (x - width) / sigma
        mass = mpmath.ncdf(z1) - mpmath.ncdf(z2)
        if mass < mpmath.mpf(10) ** -40:
            return mpmath.mpf(0)
        shift = (mpmath.npdf(z1) - mpmath.npdf(z2)) / mass
        tilt = (z1 * mpmath.npdf(z1) - z2 * mpmath.npdf(z2)) / mass
        return sigma**2 * (1 - tilt - shift**2) * mass / width

    with mpmath.workdps(80):
        # By symmetry twice the left half.
        ends = [width / 2 - min(width / 2, 12 * sigma), width / 2]
        ends = sorted({-10 * sigma, -3 * sigma, 0.0, 3 * sigma, min(12 * sigma, ends[1]), ends[1]})
        ends = [end for end in ends if end <= width / 2]
        exact = 2 * mpmath.quad(integrand, ends)
    assert Uniform(LOW, HIGH).mmse(sigma).value == pytest.approx(float(exact), rel=1e-11, abs=0.0)
    assert Uniform(LOW, HIGH).mmse(sigma).standard_error == 0


def test_mmse_limits() -> None:
    law = Uniform([0.0, 1.0], [2.0, 1.5])
    # Large noise: sum of v - v^2 / sigma^2, v the variances. Small noise: d sigma^2.
    v = law.variance
    assert law.mmse(300.0).value == pytest.approx(
        float((v - v**2 / 300.0**2).sum()), rel=1e-9, abs=0.0
    )
    assert law.mmse(1e-6).value == pytest.approx(2e-12, rel=1e-5, abs=0.0)


@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_a_box_is_its_coordinates(sigma: float) -> None:
    low, high = [-0.3, 2.0, 0.0], [1.7, 2.5, 9.0]
    box = Uniform(low, high)
    sides = [Uniform(a, b) for a, b in zip(low, high)]
    x = torch.tensor([[0.1, 2.2, 11.0], [-5.0, 2.5, 3.0]], dtype=torch.float64)
    columns = [x[:, i : i + 1] for i in range(3)]
    for name in ("score", "denoise"):
        parts = [getattr(side, name)(column, sigma) for side, column in zip(sides, columns)]
        assert torch.equal(getattr(box, name)(x, sigma), torch.cat(parts, dim=1))
    for name in ("log_prob", "posterior_variance"):
        values = [getattr(side, name)(column, sigma) for side, column in zip(sides, columns)]
        expected = torch.stack(values).sum(dim=0)
        assert getattr(box, name)(x, sigma).tolist() == pytest.approx(
            expected.tolist(), rel=1e-14, abs=0.0
        )
    assert box.mmse(sigma).value == pytest.approx(
        sum(side.mmse(sigma).value for side in sides), rel=1e-13, abs=0.0
    )
    assert box.log_prob(x).tolist() == [-math.inf, -math.inf]
    assert float(box.log_prob(box.mean[None])) == pytest.approx(-math.log(2.0 * 0.5 * 9.0))


def test_dim_repeats_a_number() -> None:
    law = Uniform(-1, 3, dim=4)
    assert law.dim == 4
    assert torch.equal(law.mean, torch.ones(4, dtype=torch.float64))
    assert Uniform([0.0, 1.0], 4.0).high.tolist() == [4.0, 4.0]


def test_blocks_do_not_change_a_value() -> None:
    law = Uniform(LOW, HIGH)
    x = torch.linspace(-3, 3, 20_001, dtype=torch.float64)[:, None]
    whole = law.denoise(x, 0.3)
    assert torch.allclose(whole[::100], law.denoise(x[::100], 0.3), rtol=1e-15, atol=1e-15)
    assert law.denoise(x[:0], 0.3).shape == (0, 1)
