"""The negative ELBO against its definition, closed forms and entropies."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from fokker.diffusion.denoiser import DenoiserFunction
from fokker.diffusion.likelihood import (
    NegativeELBO,
    Prior,
    chain_negative_elbo,
    mean_of,
    negative_elbo,
)
from fokker.diffusion.samplers import StartLaw
from fokker.distributions import Distribution, Gaussian, GaussianMixture, Uniform
from fokker.randomness import Randomness, Row, Stream

LEVELS = torch.tensor([0.05, 0.09, 0.3, 0.5, 1.4, 6.0, 20.0], dtype=torch.float64)
LAW = Gaussian([0.7, -1.1], [0.35, 0.8])
MIXTURE = GaussianMixture([0.3, 0.7], [-1.0, 1.5], [0.2, 0.4])


def prior_of(law: Distribution, kind: str = "matched") -> Prior:
    return Prior(StartLaw(law.mean, law.variance), kind)  # type: ignore[arg-type]


def points(law: Distribution, n: int) -> Tensor:
    return law.sample(n, torch.Generator().manual_seed(8))


def wrong(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser that is neither linear nor perfect."""
    level = torch.as_tensor(sigma).reshape(-1, 1)
    return (0.9 * x + 0.4 * level**2) / (1 + level**2) + 0.1 * torch.sin(3 * x)


def gauss_hermite(function: Callable[[Tensor], Tensor]) -> float:
    """E f(n), n ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    values = function(torch.from_numpy(nodes))
    return float(values @ torch.from_numpy(weights)) / math.sqrt(2 * math.pi)


def by_definition(
    denoiser: DenoiserFunction, x0: float, levels: Tensor, end: Normal
) -> list[float]:
    """The three parts for a point in one dimension: KL of transitions, and a log-density.

    q(x_{k-1} | x_k, x0) by Bayes' rule from q(x_{k-1} | x0) and q(x_k | x_{k-1}).
    """
    diffusion = 0.0
    for low, high in itertools.pairwise(levels):
        precision = 1 / low**2 + 1 / (high**2 - low**2)

        def transition(
            start: Tensor, x: Tensor, low: Tensor = low, high: Tensor = high,
            precision: Tensor = precision,
        ) -> Normal:  # fmt: skip
            mean = (start / low**2 + x / (high**2 - low**2)) / precision
            return Normal(mean, precision**-0.5)

        def term(n: Tensor, high: Tensor = high) -> Tensor:
            x = x0 + high * n
            guess = denoiser(x[:, None], high.expand(len(x)))[:, 0]
            start = torch.full_like(x, x0)
            result: Tensor = kl_divergence(transition(start, x), transition(guess, x))
            return result

        diffusion += gauss_hermite(term)

    def decoded(n: Tensor) -> Tensor:
        x = x0 + levels[0] * n
        guess = denoiser(x[:, None], levels[0].expand(len(x)))[:, 0]
        return 0.5 * ((guess - x0) / levels[0]) ** 2 + math.log(levels[0] * math.sqrt(2 * math.pi))

    prior = float(kl_divergence(Normal(x0, levels[-1]), end))
    return [prior, diffusion, gauss_hermite(decoded)]


@pytest.mark.parametrize("denoiser", [wrong, MIXTURE.denoise])
@pytest.mark.parametrize("kind", ["published", "matched"])
def test_a_chain_is_the_sum_of_its_divergences(
    denoiser: DenoiserFunction, kind: str
) -> None:
    """At one point, repeated, so that the spread is that of noise alone."""
    x0, count = 1.3, 4000
    variance = float(MIXTURE.variance) if kind == "matched" else 0.0
    end = Normal(MIXTURE.mean[0], math.sqrt(variance + 400))
    exact = by_definition(denoiser, x0, LEVELS, end)
    result = chain_negative_elbo(
        denoiser, torch.full((count, 1), x0), LEVELS, prior_of(MIXTURE, kind), Randomness(3), 32
    )
    parts = (result.prior, result.diffusion, result.reconstruction)
    for part, value in zip(parts, exact):
        error = float(part.std()) / math.sqrt(count)
        assert error < 0.02 * abs(value) + 1e-12
        assert float(part.mean()) == pytest.approx(value, abs=4 * error + 1e-7)
    torch.testing.assert_close(result.nats, sum(parts))


def test_a_linear_gaussian_chain_is_bounded_from_its_exact_density() -> None:
    """With D = a + b x the model is Gaussian: its density at x0 is known, and a little lower."""
    levels = torch.logspace(math.log10(0.05), math.log10(20), 60, dtype=torch.float64)

    def coefficients(sigma: Tensor) -> tuple[Tensor, Tensor]:
        slope = 1.4 / (1.4 + sigma**2)
        return 0.6 * (1 - slope), slope

    def denoiser(x: Tensor, sigma: Tensor) -> Tensor:
        offset, slope = coefficients(sigma[:, None])
        return offset + slope * x

    offsets, slopes = (numbers.tolist() for numbers in coefficients(levels))
    squares = (levels**2).tolist()
    mean, variance = float(MIXTURE.mean), 400.0
    for k in range(59, 0, -1):
        kept = squares[k - 1] / squares[k]
        factor = kept + (1 - kept) * slopes[k]
        mean = (1 - kept) * offsets[k] + factor * mean
        variance = factor**2 * variance + kept * (squares[k] - squares[k - 1])
    mean = offsets[0] + slopes[0] * mean
    variance = slopes[0] ** 2 * variance + squares[0]
    for point in (-0.8, 0.9, 2.5):
        exact = (point - mean) ** 2 / (2 * variance) + 0.5 * math.log(2 * math.pi * variance)
        x0 = torch.full((3000, 1), point, dtype=torch.float64)
        prior = prior_of(MIXTURE, "published")
        bound = mean_of(chain_negative_elbo(denoiser, x0, levels, prior, Randomness(3)).nats)
        assert bound.standard_error < 0.03
        assert exact < bound.value - 4 * bound.standard_error
        assert bound.value < exact + 0.3


def test_the_exact_denoiser_of_a_gaussian_in_closed_form() -> None:
    """Continuous: per element `1/2 ln(2 pi (v + low^2)) + 1/2 v/(v + low^2)`, by I-MMSE."""
    x0, low = points(LAW, 8000), 0.1
    bound = negative_elbo(LAW.denoise, x0, low, 60.0, prior_of(LAW), Randomness(1), draws=16)
    total = LAW.variance + low**2
    exact = float((0.5 * (2 * math.pi * total).log() + 0.5 * LAW.variance / total).sum())
    estimate = mean_of(bound.nats)
    assert estimate.standard_error < 0.03
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.standard_error)
    # The parts one by one: the information that is lost between the two noise levels.
    information = [0.5 * float(torch.log1p(LAW.variance / s**2).sum()) for s in (low, 60.0)]
    diffusion = mean_of(bound.diffusion)
    assert diffusion.value == pytest.approx(
        information[0] - information[1], abs=4 * diffusion.standard_error
    )


def test_a_gaussian_chain_in_closed_form() -> None:
    x0 = points(LAW, 8000)
    v, square = LAW.variance[:, None], LEVELS**2
    errors = (v * square / (v + square)).sum(0)
    weights = torch.cat([1 / square[:1], 1 / square[:-1] - 1 / square[1:]]) / 2
    prior = 0.5 * torch.log1p(LAW.variance / 400).sum()
    exact = float(prior + weights @ errors + math.log(2 * math.pi * 0.05**2))
    bound = chain_negative_elbo(LAW.denoise, x0, LEVELS, prior_of(LAW), Randomness(1), draws=16)
    estimate = mean_of(bound.nats)
    assert estimate.standard_error < 0.06
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.standard_error)


@pytest.mark.parametrize(
    ("law", "entropy"),
    [
        (Gaussian([0.7], [0.35]), 0.5 * math.log(2 * math.pi * math.e * 0.35**2)),
        (Uniform([-0.4], [2.1]), math.log(2.5)),
    ],
)
def test_it_falls_to_the_entropy(law: Distribution, entropy: float) -> None:
    """For the exact denoiser, with the number of levels and with the lowest noise."""
    x0 = points(law, 3000)
    gaps, error = [], 0.0
    for length, low in ((4, 0.2), (16, 0.1), (64, 0.03), (1000, 0.002)):
        levels = torch.logspace(math.log10(low), math.log10(80), length, dtype=torch.float64)
        bound = chain_negative_elbo(law.denoise, x0, levels, prior_of(law), Randomness(1))
        # -log p(x0) has the mean `entropy`: its own spread is taken out.
        nats = bound.nats + law.log_prob(x0)
        gaps.append(float(nats.mean()))
        error = float(nats.std()) / math.sqrt(3000)
    assert all(before > after for before, after in itertools.pairwise(gaps))
    assert gaps[0] > 0.2
    assert 0 - 4 * error < gaps[-1] < 0.01 + 4 * error
    assert error < 0.02
    spread = float(law.log_prob(x0).std()) / math.sqrt(3000)
    assert float(bound.nats.mean()) == pytest.approx(entropy, abs=4 * (error + spread) + 0.01)


def test_continuous_time_is_the_limit_of_chains() -> None:
    x0 = points(MIXTURE, 3000)
    levels = torch.logspace(math.log10(0.05), math.log10(20), 3000, dtype=torch.float64)
    chain = chain_negative_elbo(wrong, x0, levels, prior_of(MIXTURE), Randomness(1))
    limit = negative_elbo(wrong, x0, 0.05, 20.0, prior_of(MIXTURE), Randomness(1))
    gap = mean_of(chain.nats - limit.nats)
    assert gap.standard_error < 0.05
    assert gap.value == pytest.approx(0, abs=4 * gap.standard_error + 0.01)


def test_noise_levels_have_the_right_weights() -> None:
    """An error of 1 everywhere adds up to (SNR_low - SNR_high)/2, with hardly any chance."""
    x0 = torch.full((40, 1), 0.8)

    def off_by_one(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.full_like(x, 1.8)

    exact = 0.5 * (1 / 0.05**2 - 1 / 20**2)
    arguments = (prior_of(MIXTURE), Randomness(1), 512)
    limit = negative_elbo(off_by_one, x0, 0.05, 20.0, *arguments)
    chain = chain_negative_elbo(off_by_one, x0, LEVELS, *arguments)
    assert float(limit.diffusion.mean()) == pytest.approx(exact, rel=1e-3)
    assert float(chain.diffusion.mean()) == pytest.approx(exact, rel=5e-3)
    decoded = 0.5 / 0.05**2 + 0.5 * math.log(2 * math.pi * 0.05**2)
    torch.testing.assert_close(limit.reconstruction, torch.full((40,), decoded).double())
    torch.testing.assert_close(chain.reconstruction, torch.full((40,), decoded).double())


def test_the_law_of_noise_levels_fits_the_error() -> None:
    """One draw of a Gaussian's term, relative to its mean: chi^2 alone has E r^2 = 3, a quarter
    elsewhere costs at most 4/3, and levels uniform in ln sigma give 5 to 6."""
    law = Gaussian([0.7], [0.35])
    x0 = points(law, 20_000)
    levels = torch.logspace(-2.5, 2, 500, dtype=torch.float64)
    arguments = (prior_of(law), Randomness(1), 1)
    for bound in (
        negative_elbo(law.denoise, x0, 10**-2.5, 100.0, *arguments),
        chain_negative_elbo(law.denoise, x0, levels, *arguments),
    ):
        relative = bound.diffusion / bound.diffusion.mean()
        assert float(relative.square().mean()) < 4.2


def test_a_point_does_not_depend_on_its_batch() -> None:
    x0 = points(MIXTURE, 1500)

    def run(start: int, stop: int) -> list[NegativeELBO]:
        arguments = (prior_of(MIXTURE), Randomness(5), 8, start)
        return [
            negative_elbo(wrong, x0[start:stop], 0.05, 20.0, *arguments),
            chain_negative_elbo(wrong, x0[start:stop], LEVELS, *arguments),
        ]

    for whole, first, second in zip(run(0, 1500), run(0, 1100), run(1100, 1500)):
        parts = torch.cat([first.nats, second.nats])
        torch.testing.assert_close(parts, whole.nats, rtol=1e-12, atol=1e-12)
    same = x0[:1].expand(50, 1)
    alike = negative_elbo(wrong, same, 0.05, 20.0, prior_of(MIXTURE), Randomness(5), 4)
    assert len(set(alike.diffusion.tolist())) == len(set(alike.reconstruction.tolist())) == 50


def test_no_generator_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level and a noise of one (stream, step) would be made of the same bits."""
    used: list[tuple[str, int]] = []
    rows = Randomness.rows

    def recorded(
        self: Randomness, stream: Stream, start: int, stop: int, row: Row, step: int = 0
    ) -> Tensor:
        used.append((stream, step))
        return rows(self, stream, start, stop, row, step)

    monkeypatch.setattr(Randomness, "rows", recorded)
    negative_elbo(wrong, points(MIXTURE, 3), 0.05, 20.0, prior_of(MIXTURE), Randomness(5), 16)
    assert len(used) == len(set(used)) == 2 * (16 + 2)
    assert {stream for stream, _ in used} == {"validation"}


def test_samples_are_summed_over_all_their_elements() -> None:
    law = Gaussian([0.7] * 4, [0.35] * 4)
    x0 = points(law, 30)
    flat = negative_elbo(law.denoise, x0, 0.05, 20.0, prior_of(law), Randomness(5))

    def square(x: Tensor, sigma: Tensor) -> Tensor:
        return law.denoise(x.flatten(1), sigma).reshape(x.shape)

    prior = Prior(StartLaw(law.mean.reshape(2, 2), law.variance.reshape(2, 2)), "matched")
    shaped = negative_elbo(square, x0.reshape(30, 2, 2), 0.05, 20.0, prior, Randomness(5))
    torch.testing.assert_close(shaped.nats, flat.nats)


def test_bad_values_are_refused() -> None:
    x0, prior, random = points(MIXTURE, 3), prior_of(MIXTURE), Randomness(0)
    for levels in ([0.1], [0.2, 0.1], [0.1, 0.1], [[0.1, 0.2]]):
        with pytest.raises(ValueError, match="levels must be at least two and ascend"):
            chain_negative_elbo(wrong, x0, torch.tensor(levels), prior, random)
    for low, high in ((0.0, 1.0), (2.0, 1.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match="lowest noise level must be positive and below"):
            negative_elbo(wrong, x0, low, high, prior, random)
    with pytest.raises(ValueError, match="lowest noise level must be positive and below"):
        chain_negative_elbo(wrong, x0, torch.tensor([0.0, 1.0]), prior, random)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        negative_elbo(wrong, x0, 0.1, 1.0, prior, random, draws=0)
    with pytest.raises(ValueError, match=r"x0 must have shape \(n, \*shape\), got \(3,\)"):
        negative_elbo(wrong, x0[:, 0], 0.1, 1.0, prior, random)
    point = Prior(StartLaw(torch.zeros(1), torch.zeros(1)))
    with pytest.raises(ValueError, match="data's variance must be positive"):
        negative_elbo(wrong, x0, 0.1, 1.0, point, random)
