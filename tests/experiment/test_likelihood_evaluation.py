"""`evaluation=likelihood`, against densities, entropies and bounds worked out by other means.

An untrained network is a denoiser of known form: with preconditioning=edm it is the ideal one of
the Gaussian of the data's mean and standard deviation, with vp it is D = x, with x0 it is D = 0.
"""

import csv
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import logsumexp
from torch import Tensor

import tiny_runs
from fokker.experiment import Experiment
from fokker.formulation import Report
from fokker.randomness import Randomness

FAR = ("data=gaussian", "data.mean=300", "data.std=7")
EXACT = ("network=exact", "sampler.prior=matched")
TIGHT = ("evaluation.likelihood.rtol=1e-8", "evaluation.likelihood.atol=1e-8")
FEW = ("evaluation.likelihood.draws=1", "evaluation.likelihood.num_points=100")
# Standardised data have this standard deviation.
STD = 0.5
HIGH, LOW = 80.0, 0.002


def composed(*overrides: str) -> Experiment:
    return tiny_runs.compose_experiment("evaluation=likelihood", *overrides)


def evaluated(made: Experiment) -> Report:
    evaluate = made.plan.evaluations["likelihood"]
    return evaluate(made.model, made.plan.ways[0], Randomness(made.plan.seed))


def likelihood(*overrides: str) -> Report:
    """The report on a model as it is built, with nothing trained."""
    return evaluated(composed(*overrides))


def with_random_weights(made: Experiment, std: float = 0.3) -> Experiment:
    """A denoiser that is not linear: the last layer is 0 before the training."""
    torch.manual_seed(3)
    torch.nn.init.normal_(made.model.denoiser.network.last.weight, std=std)  # type: ignore
    return made


def test_a_constant_column_is_said_to_have_no_density(tmp_path: Path) -> None:
    """With the ideal denoiser it adds the density of the lowest noise at its middle, to nll."""
    x = np.random.default_rng(2).normal(3.0, 0.8, size=(60, 2))
    found = []
    for name, points in (("plain", x), ("more", np.insert(x, 1, 7.0, axis=1))):
        np.save(tmp_path / f"{name}.npy", points)
        found.append(
            likelihood(
                "data=points", f"data.path={tmp_path / name}.npy", "data.standardize=false",
                "network=exact", *FEW, "evaluation.likelihood.sigma_min=0.1",
            )
        )  # fmt: skip
    plain, more = found
    expected = math.log(0.1 * math.sqrt(2 * math.pi))
    assert row(more, "nll")["value"] - row(plain, "nll")["value"] == pytest.approx(
        expected, abs=0.01
    )
    assert not any("constant" in note for note in plain.notes)
    (note,) = (note for note in more.notes if "constant" in note)
    assert note.startswith("column 1 of 0 to 2 is constant")
    assert f"adds {expected:.3g} nats" in note


def row(report: Report, quantity: str) -> Any:
    (found,) = (row for row in report.rows if row["quantity"] == quantity)
    return found


def value(report: Report, quantity: str) -> float:
    return float(row(report, quantity)["value"])


def error(report: Report, quantity: str) -> float:
    return float(row(report, quantity)["standard_error"])


def array(report: Report, name: str) -> Any:
    return report.arrays[name].flatten(1).numpy() if name != "nll" else report.arrays[name].numpy()


def mixture_nll(x: Any, centres: Any, stds: Any, weights: Any) -> Any:
    """-log of a mixture of round Gaussians, x (n, d), centres (k, d), stds and weights (k,)."""
    squares = ((x[:, None] - centres[None]) ** 2).sum(2)
    logs = np.log(weights) - squares / (2 * stds**2) - x.shape[1] / 2 * np.log(2 * np.pi * stds**2)
    return -logsumexp(logs, axis=1)


# The likelihood -------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["matched", "published"])
@pytest.mark.parametrize("high", [1.5, HIGH])
def test_gaussian_data_in_their_own_units(prior: str, high: float) -> None:
    """The flow is linear: z stays the same, and y_T = z sqrt(sigma_T^2 + v)."""
    report = likelihood(
        *FAR, "network=exact", f"sampler.prior={prior}", *TIGHT,
        f"evaluation.likelihood.sigma_max={high}",
    )  # fmt: skip
    x, nll, latents = (array(report, name) for name in ("points", "nll", "latents"))
    assert x.shape == (500, 1)
    smoothed = math.hypot(7, LOW * 14)
    z = (x[:, 0] - 300) / smoothed
    spread = math.hypot(high, STD)
    assert latents[:, 0] == pytest.approx(z * spread, abs=1e-6 * high)
    start = spread if prior == "matched" else high
    expected = -stats.norm.logpdf(z * spread, 0, start) - math.log(spread / smoothed)
    assert nll == pytest.approx(expected, abs=2e-6)
    if prior == "matched":
        assert nll == pytest.approx(-stats.norm.logpdf(x[:, 0], 300, smoothed), abs=2e-6)
    best = -stats.norm.logpdf(x[:, 0], 300, smoothed)
    assert value(report, "exact_nll") == pytest.approx(best.mean(), abs=1e-9)
    assert error(report, "exact_nll") == pytest.approx(best.std(ddof=1) / 500**0.5, rel=1e-6)
    assert value(report, "nll") == pytest.approx(nll.mean(), abs=1e-12)
    # The points are of the law: on average its entropy.
    entropy = float(stats.norm(300, 7).entropy())
    assert value(report, "exact_nll") == pytest.approx(entropy, abs=4 * error(report, "nll"))


def test_latents_are_standard_normal_after_scaling() -> None:
    latents = array(likelihood("data=mixture", *EXACT), "latents")[:, 0]
    scaled = latents / math.hypot(HIGH, STD)
    assert abs(scaled.mean()) < 4 / 500**0.5
    assert scaled.std() == pytest.approx(1, abs=4 / 1000**0.5)
    assert stats.kstest(scaled, "norm").pvalue > 0.01


def test_a_mixture_and_a_ring() -> None:
    report = likelihood("data=mixture", *EXACT, *TIGHT, *FEW)
    variance = 0.3 * (1.4**2 + 0.2**2) + 0.7 * (0.6**2 + 0.4**2)  # About the mean, 0.4.
    noise = LOW * math.sqrt(variance) / STD
    centres, stds = np.array([[-1.0], [1.0]]), np.hypot([0.2, 0.4], noise)
    expected = mixture_nll(array(report, "points"), centres, stds, np.array([0.3, 0.7]))
    assert array(report, "nll") == pytest.approx(expected, abs=2e-5)
    assert value(report, "exact_nll") == pytest.approx(expected.mean(), abs=1e-9)

    report = likelihood("data=ring8", *EXACT, *TIGHT, *FEW)
    angles = np.arange(8) * np.pi / 4
    centres = np.stack([np.cos(angles), np.sin(angles)], 1)
    noise = LOW * math.sqrt(1 / 2 + 0.05**2) / STD
    x = array(report, "points")
    expected = mixture_nll(x, centres, np.full(8, math.hypot(0.05, noise)), np.full(8, 1 / 8))
    assert array(report, "nll") == pytest.approx(expected, abs=2e-5)
    assert value(report, "exact_nll") == pytest.approx(expected.mean(), abs=1e-9)
    assert report.title == "likelihood of 100 held-out points, per sample, in data units"


@pytest.mark.parametrize("data", ["mixture", "ring8"])
def test_what_is_missing_is_the_priors_error(data: str) -> None:
    """A matched prior misses what is not Gaussian at sigma_T, of third order in 1/sigma_T."""
    gaps = []
    for high in (4.0, 16.0):
        report = likelihood(
            f"data={data}", *EXACT, *TIGHT, *FEW, f"evaluation.likelihood.sigma_max={high}",
            "evaluation.likelihood.num_points=60",
        )  # fmt: skip
        gaps.append(abs(value(report, "nll") - value(report, "exact_nll")))
    assert gaps[0] > 50 * gaps[1]
    assert gaps[1] < 1e-6


@pytest.mark.parametrize(
    ("data", "first", "second", "d"),
    [
        ("mixture", "data.means=[-1.0,1.0] data.stds=[0.2,0.4]",
         "data.means=[-50.0,50.0] data.stds=[10.0,20.0]", 1),
        ("ring8", "data.radius=1.0 data.std=0.05", "data.radius=50.0 data.std=2.5", 2),
    ],
)  # fmt: skip
def test_data_in_another_unit(data: str, first: str, second: str, d: int) -> None:
    """Densities of d coordinates fall by a^d, divergences stay, distances grow by a = 50."""
    here, there = (
        likelihood(f"data={data}", "network=exact", *unit.split()) for unit in (first, second)
    )
    for name in ("nll", "negative_elbo", "exact_nll"):
        shift = value(there, name) - value(here, name)
        assert shift == pytest.approx(d * math.log(50), abs=1e-5)
        assert error(there, name) == pytest.approx(error(here, name), rel=1e-5)
    prior = value(here, "pathwise_kl_prior")
    assert value(there, "pathwise_kl_prior") == pytest.approx(prior, rel=1e-9)
    assert np.allclose(array(there, "points"), 50 * array(here, "points"), rtol=1e-9)
    assert np.allclose(array(there, "latents"), array(here, "latents"), rtol=0, atol=1e-5)
    ratio = value(there, "round_trip_rms") / value(here, "round_trip_rms")
    assert ratio == pytest.approx(50, rel=0.01)


def test_tolerances_nfe_and_the_round_trip() -> None:
    nfe, gaps, trips = [], [], []
    for rtol in (1e-4, 1e-7):
        keys = (f"evaluation.likelihood.rtol={rtol}", f"evaluation.likelihood.atol={rtol / 10}")
        report = likelihood("data=mixture", *EXACT, *FEW, *keys)
        assert report.metrics["likelihood_rtol"] == rtol
        assert report.metrics["likelihood_atol"] == pytest.approx(rtol / 10)
        assert f"rtol {rtol:g}, atol {rtol / 10:g}" in report.notes[0]
        nfe.append(value(report, "nfe"))
        trips.append(value(report, "round_trip_rms"))
        gaps.append(abs(value(report, "nll") - value(report, "exact_nll")))
    assert 20 < 2 * nfe[0] < nfe[1] < 1000
    for falling in (trips, gaps):
        assert falling[0] > 100 * falling[1]
        assert 0 < falling[1] < 1e-6


def test_the_range_is_that_of_the_grid_or_as_given() -> None:
    report = likelihood(*FAR, *EXACT, *FEW, "grid.sigma_min=0.1", "grid.sigma_max=20")
    assert "sigma 0.1 to 20" in report.notes[0]
    smoothed = math.hypot(7, 0.1 * 14)
    expected = -stats.norm.logpdf(array(report, "points")[:, 0], 300, smoothed)
    assert array(report, "nll") == pytest.approx(expected, abs=1e-3)
    given = ("evaluation.likelihood.sigma_min=0.4", "evaluation.likelihood.sigma_max=9")
    report = likelihood(*FAR, *EXACT, *FEW, *given)
    assert "sigma 0.4 to 9" in report.notes[0]
    smoothed = math.hypot(7, 0.4 * 14)
    expected = -stats.norm.logpdf(array(report, "points")[:, 0], 300, smoothed)
    assert array(report, "nll") == pytest.approx(expected, abs=1e-3)


def test_data_that_are_not_standardised() -> None:
    report = likelihood(
        "data=gaussian", "data.mean=3", "data.std=1.7", "data.standardize=false", *EXACT, *FEW
    )
    expected = -stats.norm.logpdf(array(report, "points")[:, 0], 3, math.hypot(1.7, LOW))
    assert array(report, "nll") == pytest.approx(expected, abs=1e-3)


# Bits per dimension ---------------------------------------------------------------------------


def gaussian_model_nll(report: Report, training: Any) -> Any:
    """Of what an untrained EDM network samples from matched starts, by the change of variables.

    The flow is that of one Gaussian for all elements; the starts have each element's own moments.
    """
    shift, std = training.mean(), training.std()
    scale = std / STD
    growth = math.hypot(HIGH, STD) / math.hypot(LOW, STD)
    y = (array(report, "points") - shift) / scale * growth
    means, stds = (training.mean(0) - shift) / scale, np.hypot(HIGH, training.std(0) / scale)
    densities = stats.norm.logpdf(y, means, stds) + math.log(growth / scale)
    return -densities.sum(1)


def training_points(made: Experiment) -> Any:
    training = made.model.data.training_points()
    assert training is not None
    return training.flatten(1).numpy()


def stored(points: Any, path: Path) -> tuple[str, ...]:
    np.save(path, points)
    return ("data=points", f"data.path={path}", "sampler.prior=matched", *FEW)


def test_equally_likely_levels_in_the_gaussian_model(workdir: Path) -> None:
    """0 to 7 with noise are U[-1/2, 15/2): variance 64/12; the model's Gaussian has 63/12."""
    points = np.random.default_rng(0).permutation(np.repeat(np.arange(8), 1000))[:, None]
    report = likelihood(
        *stored(points, workdir / "levels.npy"), "data.levels=8", "data.value_range=8",
        "evaluation.likelihood.num_points=1600",
    )  # fmt: skip
    variance = 63 / 12
    nats = 0.5 * math.log(2 * math.pi * variance) + 64 / 12 / (2 * variance)
    assert value(report, "bits_per_dim") == pytest.approx(
        nats / math.log(2), abs=4 * error(report, "bits_per_dim")
    )
    assert value(report, "bits_per_dim") > math.log2(8)  # No model can do better.
    assert report.metrics["likelihood_bits_per_dim"] == value(report, "bits_per_dim")
    x = array(report, "points")
    assert stats.kstest(x[:, 0], "uniform", args=(-0.5, 8)).pvalue > 0.01


def test_bits_do_not_depend_on_the_unit(workdir: Path) -> None:
    """Integers, and the same in eighths, in two dimensions of unequal shares."""
    points = np.random.default_rng(1).binomial(6, [0.3, 0.6], (600, 2))
    here, there = (
        likelihood(*stored(points * unit, workdir / f"{unit}.npy"), "data.levels=7", key)
        for unit, key in ((1, "data.value_range=7"), (0.125, "data.value_range=0.875"))
    )
    for name in ("nll", "negative_elbo"):
        shift = value(there, name) - value(here, name)
        assert shift == pytest.approx(2 * math.log(0.125), abs=1e-6)
    bits, se = value(here, "bits_per_dim"), error(here, "bits_per_dim")
    assert value(there, "bits_per_dim") == pytest.approx(bits, abs=1e-6)
    assert bits == pytest.approx(value(here, "nll") / (2 * math.log(2)), abs=1e-9)
    assert se == pytest.approx(error(here, "nll") / (2 * math.log(2)), rel=1e-9)
    training = training_points(composed(*stored(points, workdir / "again.npy")))
    expected = gaussian_model_nll(here, training)
    assert array(here, "nll") == pytest.approx(expected, abs=1e-3)
    assert bits == pytest.approx(expected.mean() / (2 * math.log(2)), abs=1e-3)


def test_more_levels_in_the_same_range_take_more_bits(workdir: Path) -> None:
    """With the same points the density is nearly the same: one bit for twice the levels."""
    points = np.random.default_rng(2).integers(0, 64, (2000, 1)) / 64
    job = stored(points, workdir / "points.npy")
    few, many = (
        likelihood(*job, f"data.levels={levels}", "data.value_range=1") for levels in (64, 128)
    )
    gained = value(many, "bits_per_dim") - value(few, "bits_per_dim")
    assert gained == pytest.approx(1, abs=1e-3)


def test_digits() -> None:
    """359 held-out images of 0 to 16 with 17 levels, in the Gaussian model of equal pixels."""
    made = composed(
        "data=digits", "sampler.prior=matched", *FEW, "evaluation.likelihood.num_points=1000"
    )
    report = evaluated(made)
    x, nll = array(report, "points"), array(report, "nll")
    assert report.title.startswith("likelihood of 359 held-out points")
    assert nll == pytest.approx(gaussian_model_nll(report, training_points(made)), abs=5e-3)
    bits = nll.mean() / (64 * math.log(2)) + math.log2(17 / 17)
    assert value(report, "bits_per_dim") == pytest.approx(bits, abs=1e-9)
    assert "rademacher, 1 a point" in report.notes[0]
    assert len(report.notes) == 1
    assert report.arrays["points"].shape == report.arrays["latents"].shape == (359, 1, 8, 8)
    # Within half a level of the held-out digits, evenly.
    away = x - made.model.data.held_out(10_000).x.flatten(1).numpy()
    assert np.abs(away).max() <= 0.5
    assert stats.kstest(away.flatten(), "uniform", args=(-0.5, 1)).pvalue > 0.01
    # Known are the training set and its law, and so no entropy of fresh data.
    names = [row["quantity"] for row in report.rows]
    assert names == [
        "nll", "bits_per_dim", "negative_elbo", "pathwise_kl", "pathwise_kl_prior",
        "round_trip_rms", "nfe",
    ]  # fmt: skip


def test_the_points_are_the_same_for_every_run() -> None:
    """Whatever the seed, and as many or fewer."""
    job = ("data=digits", *FEW, "evaluation.likelihood.rtol=1e-2")
    first = array(likelihood(*job, "evaluation.likelihood.num_points=20"), "points")
    more = array(likelihood(*job, "evaluation.likelihood.num_points=30", "seed=7"), "points")
    assert np.array_equal(first, more[:20])


def test_bits_only_of_data_that_declare_levels(workdir: Path) -> None:
    report = likelihood(*FAR, *EXACT, *FEW)
    assert report.notes[1] == "no bits per dimension: the data declare no levels and range"
    assert "likelihood_bits_per_dim" not in report.metrics
    assert array(report, "points")[:, 0] == pytest.approx(
        composed(*FAR).model.data.held_out(100).x[:, 0].numpy(), abs=1e-9
    )  # Nothing is added to continuous data.
    points = np.random.default_rng(3).integers(0, 4, (50, 1))
    job = stored(points, workdir / "points.npy")
    with pytest.raises(ValueError, match=r"evaluation\.likelihood\.bits=true needs data that") as e:
        composed(*job, "evaluation.likelihood.bits=true")
    assert "data.levels and data.value_range" in str(e.value)
    declared = (*job, "data.levels=4", "data.value_range=4")
    with_bits = likelihood(*declared, "evaluation.likelihood.bits=true")
    assert value(with_bits, "bits_per_dim") > 1
    without = likelihood(*declared, "evaluation.likelihood.bits=false")
    assert "likelihood_bits_per_dim" not in without.metrics
    assert value(without, "nll") == value(with_bits, "nll")


# The trace ------------------------------------------------------------------------------------


@functools.cache
def traced(data: str, trace: str, probes: int = 1) -> Any:
    made = composed(
        f"data={data}", *FEW, f"evaluation.likelihood.trace={trace}",
        f"evaluation.likelihood.probes={probes}", "evaluation.likelihood.num_points=300",
    )  # fmt: skip
    report = evaluated(with_random_weights(made))
    found = "exact" if trace == "auto" else trace
    assert report.notes[0].startswith(f"trace {found}")
    assert (f", {probes} a point" in report.notes[0]) == (found != "exact")
    return array(report, "nll")


def test_one_rademacher_probe_is_exact_in_one_dimension() -> None:
    exact = traced("mixture", "exact")
    assert np.array_equal(exact, traced("mixture", "auto"))
    assert traced("mixture", "rademacher") == pytest.approx(exact, abs=1e-3)
    assert np.abs(traced("mixture", "gaussian") - exact).std() > 0.5


@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
def test_probes_are_right_on_average_and_more_are_better(trace: str) -> None:
    exact = traced("ring8", "exact")
    spreads = []
    for probes in (1, 4):
        gap = traced("ring8", trace, probes) - exact
        assert abs(gap.mean()) < 4 * gap.std() / len(gap) ** 0.5
        spreads.append(gap.std())
    assert spreads[1] == pytest.approx(spreads[0] / 2, rel=0.25)
    assert spreads[0] > 0.05


def test_the_spread_of_gaussian_probes() -> None:
    """With D = c x the estimate is |e|^2 int c dln sigma, of variance 2 d a probe."""
    job = ("data=ring8", *FEW, "evaluation.likelihood.num_points=300")
    exact = array(likelihood(*job), "nll")
    report = likelihood(
        *job, "evaluation.likelihood.trace=gaussian", "evaluation.likelihood.probes=2"
    )
    gap = array(report, "nll") - exact
    # int sd^2/(sigma^2 + sd^2) dln sigma from 0.002 to 80.
    whole = integrate.quad(lambda u: 0.25 / (math.exp(2 * u) + 0.25), math.log(LOW), math.log(HIGH))
    spread = whole[0] * math.sqrt(2 * 2 / 2)
    assert gap.std() == pytest.approx(spread, rel=0.15)
    assert abs(gap.mean()) < 4 * spread / 300**0.5
    # One of another seed has other probes, and the same points.
    other = likelihood(*job, "evaluation.likelihood.trace=gaussian", "seed=1")
    assert np.abs(array(other, "nll") - array(report, "nll")).max() > 1
    assert np.array_equal(array(other, "points"), array(report, "points"))


# The bounds -----------------------------------------------------------------------------------


def gaussian_mmse(sigma: Any) -> Any:
    return STD**2 * sigma**2 / (STD**2 + sigma**2)


def test_the_elbo_of_the_ideal_denoiser_of_a_gaussian() -> None:
    """The integral in closed form: 1/2 ln (1 + v SNR) between the ends."""
    report = likelihood(*FAR, *EXACT)
    v, scale = STD**2, 14
    integral = 0.5 * math.log((1 + v / LOW**2) / (1 + v / HIGH**2))
    decoded = gaussian_mmse(LOW) / (2 * LOW**2) + 0.5 * math.log(2 * math.pi * LOW**2)
    expected = integral + decoded + math.log(scale)  # Matched prior: 1e-11.
    se = error(report, "negative_elbo")
    assert 0 < se < 0.1
    assert value(report, "negative_elbo") == pytest.approx(expected, abs=4 * se)
    assert expected == pytest.approx(float(stats.norm(300, 7).entropy()), abs=0.01)


@pytest.mark.parametrize("data", ["mixture", "ring8"])
def test_the_elbo_is_a_bound(data: str) -> None:
    ideal = likelihood(f"data={data}", *EXACT, "evaluation.likelihood.draws=128")
    both = math.hypot(error(ideal, "nll"), error(ideal, "negative_elbo"))
    assert value(ideal, "negative_elbo") > value(ideal, "exact_nll") - 3 * both
    # An ideal denoiser leaves no gap; another one leaves that of its paths.
    assert value(ideal, "negative_elbo") == pytest.approx(value(ideal, "exact_nll"), abs=3 * both)
    report = likelihood(f"data={data}", "sampler.prior=matched", "evaluation.likelihood.draws=128")
    gap = value(report, "negative_elbo") - value(report, "exact_nll")
    both = math.hypot(error(report, "negative_elbo"), error(report, "pathwise_kl"))
    assert gap > 0.05
    assert gap == pytest.approx(value(report, "pathwise_kl"), abs=3 * both)


@pytest.mark.parametrize("formulation", ["ddpm", "smld"])
def test_the_elbo_of_a_chain(formulation: str) -> None:
    """Term by term for Gaussian data; with few levels well above the entropy."""
    made = composed(
        f"formulation={formulation}", "formulation.num_levels=25", "sampler=ddim", "grid=levels",
        "sampler.num_steps=25", *FAR, *EXACT,
    )  # fmt: skip
    report = evaluated(made)
    levels = made.model.levels
    assert levels is not None
    sigma = levels.numpy()
    mmse, snr = gaussian_mmse(sigma), sigma**-2
    chain = ((snr[:-1] - snr[1:]) / 2 * mmse[1:]).sum()
    decoded = mmse[0] / (2 * sigma[0] ** 2) + 0.5 * math.log(2 * math.pi * sigma[0] ** 2)
    v, total = STD**2, sigma[-1] ** 2 + STD**2  # KL(N(x0, s^2) || N(0, s^2 + v)), x0 of variance v.
    prior = 0.5 * math.log(total / sigma[-1] ** 2) + (sigma[-1] ** 2 + v) / (2 * total) - 0.5
    expected = chain + decoded + prior + math.log(14)
    se = error(report, "negative_elbo")
    assert value(report, "negative_elbo") == pytest.approx(expected, abs=4 * se)
    assert expected - float(stats.norm(300, 7).entropy()) > 8 * se
    assert value(report, "negative_elbo") > value(report, "nll") - 3 * error(report, "nll")
    assert f"sigma {sigma[0]:.4g} to {sigma[-1]:.4g}" in report.notes[0]


@pytest.mark.parametrize("data", ["gaussian", "mixture", "ring8"])
def test_the_ideal_denoiser_has_the_ideal_paths(data: str) -> None:
    report = likelihood(f"data={data}", "network=exact")
    assert value(report, "pathwise_kl") == 0.0
    # Published starts lack the data's variance: E|x0|^2 / (2 sigma_T^2).
    dim = report.arrays["points"].shape[1]
    prior = dim * STD**2 / (2 * HIGH**2)
    se = error(report, "pathwise_kl_prior")
    assert value(report, "pathwise_kl_prior") == pytest.approx(prior, abs=4 * se)


@pytest.mark.parametrize("kind", ["edm", "vp", "x0"])
def test_paths_of_a_linear_denoiser_of_gaussian_data(kind: str) -> None:
    report = likelihood(*FAR, f"preconditioning={kind}", "evaluation.likelihood.draws=256")
    v = STD**2
    if kind == "edm":  # D = v/(v + sigma^2) x, the ideal one.
        assert value(report, "pathwise_kl") < 1e-12
        return
    if kind == "vp":  # D = x: E|D* - x|^2 / sigma^3 = sigma/(v + sigma^2).
        expected = 0.5 * math.log((v + HIGH**2) / (v + LOW**2))
    else:  # D = 0.
        expected = integrate.quad(
            lambda u: v**2 / (v + math.exp(2 * u)) * math.exp(-2 * u), math.log(LOW), math.log(HIGH)
        )[0]
    se = error(report, "pathwise_kl")
    assert se < 0.1 * expected
    assert value(report, "pathwise_kl") == pytest.approx(expected, abs=4 * se)


@pytest.mark.parametrize(
    ("kind", "prior"), [("vp", "published"), ("vp", "matched"), ("x0", "matched")]
)
def test_likelihoods_of_a_linear_denoiser(kind: str, prior: str) -> None:
    """D = x does not move at all; with D = 0 the flow is a magnification by sigma_T/sigma_min."""
    report = likelihood(*FAR, f"preconditioning={kind}", f"sampler.prior={prior}", *FEW)
    y = (array(report, "points")[:, 0] - 300) / 14
    start = math.hypot(HIGH, STD) if prior == "matched" else HIGH
    growth = 1.0 if kind == "vp" else HIGH / LOW
    expected = -stats.norm.logpdf(y * growth, 0, start) - math.log(growth) + math.log(14)
    assert array(report, "latents")[:, 0] == pytest.approx(y * growth, rel=1e-4, abs=1e-9)
    assert array(report, "nll") == pytest.approx(expected, rel=1e-3)


# Finite sets ----------------------------------------------------------------------------------


FINITE = ("data=mixture", "data.num_points=40")


def memorised(made: Experiment) -> Any:
    """The training set in the model's units."""
    return (training_points(made)[:, 0] - made.model.data.shift) / made.model.data.scale


def test_paths_of_a_finite_set_are_held_against_its_own_law() -> None:
    made = composed(*FINITE, "evaluation.likelihood.draws=300")
    report = evaluated(made)
    points = memorised(made)
    # E (D* - c y)^2 / sigma^2 over ln sigma and y, on grids that are fine for each.
    rates, logs = [], np.linspace(math.log(LOW), math.log(HIGH), 200)
    offsets = np.linspace(-5, 5, 61)
    weights = stats.norm.pdf(offsets) * (offsets[1] - offsets[0])
    for sigma in np.exp(logs):
        y = points[:, None, None] + sigma * offsets[None, :, None]
        log_share = -((y - points) ** 2) / (2 * sigma**2)
        share = np.exp(log_share - logsumexp(log_share, axis=2, keepdims=True))
        gap = (share * points).sum(2) - STD**2 / (STD**2 + sigma**2) * y[..., 0]
        rates.append(((gap / sigma) ** 2 * weights).sum(1).mean())
    expected = float(integrate.trapezoid(rates, logs))
    assert value(report, "pathwise_kl") == pytest.approx(expected, rel=0.03)
    assert expected > 1
    assert "likelihood_exact_nll" not in report.metrics


def test_the_ideal_denoiser_of_a_finite_set() -> None:
    """Its law at sigma_min is a Gaussian about every training point."""
    made = composed(*FINITE, *EXACT, *TIGHT, "evaluation.likelihood.sigma_min=0.1")
    report = evaluated(made)
    scale = made.model.data.scale
    y = (array(report, "points") - made.model.data.shift) / scale
    centres = memorised(made)[:, None]
    expected = mixture_nll(y, centres, np.full(40, 0.1), np.full(40, 1 / 40)) + math.log(scale)
    # Starts have the moments of the whole law, which 40 points miss by a few percent.
    assert array(report, "nll") == pytest.approx(expected, abs=0.01)
    assert array(report, "nll").mean() == pytest.approx(expected.mean(), abs=1e-3)
    assert value(report, "pathwise_kl") == 0.0


def test_points_in_one_dimension_that_are_fewer_than_asked_for(workdir: Path) -> None:
    """Nothing is repeated, and the error is that of as many as there are."""
    points = np.random.default_rng(4).normal(5, 2, (40, 1))
    report = likelihood(*stored(points, workdir / "points.npy"))
    nll = array(report, "nll")
    assert len(nll) == len(set(array(report, "points")[:, 0])) == 8
    assert error(report, "nll") == pytest.approx(nll.std(ddof=1) / 8**0.5)
    assert report.title.startswith("likelihood of 8 held-out points")


# The record -----------------------------------------------------------------------------------


def test_the_files_of_a_run(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = tiny_runs.run(
        *FAR, "evaluation=likelihood", "evaluation.likelihood.num_points=50", "sampler=ddim"
    )
    with np.load(result.path / "likelihood.npz") as content:
        assert set(content) == {"points", "latents", "nll"}
        points, latents, nll = (content[name] for name in ("points", "latents", "nll"))
    assert points.shape == latents.shape == (50, 1)
    assert nll.shape == (50,)
    assert {a.dtype for a in (points, latents, nll)} == {np.dtype(np.float64)}
    assert points.mean() == pytest.approx(300, abs=5)
    with (result.path / "likelihood.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["quantity", "value", "standard_error", "unit"]
    assert [(row["quantity"], row["unit"]) for row in rows] == [
        ("nll", "nats"), ("negative_elbo", "nats"), ("exact_nll", "nats"),
        ("pathwise_kl", "nats"), ("pathwise_kl_prior", "nats"), ("round_trip_rms", "data units"),
        ("nfe", "of D and its trace"),
    ]  # fmt: skip
    assert [row["quantity"] for row in rows if row["standard_error"] == ""] == [
        "round_trip_rms", "nfe",
    ]  # fmt: skip
    assert float(rows[0]["value"]) == pytest.approx(nll.mean(), rel=1e-12)
    assert float(rows[0]["standard_error"]) == pytest.approx(nll.std(ddof=1) / 50**0.5, rel=1e-9)
    metrics = json.loads((result.path / "metrics.json").read_text())
    for line in rows:
        name = f"likelihood_{line['quantity']}"
        assert metrics[name] == result.metrics[name] == float(line["value"])
        if line["standard_error"]:
            assert metrics[f"{name}_standard_error"] == float(line["standard_error"])
    assert metrics["likelihood_rtol"] == metrics["likelihood_atol"] == 1e-5
    assert {name for name in metrics if name.startswith("likelihood_")} == {
        *(f"likelihood_{row['quantity']}" for row in rows),
        *(f"likelihood_{row['quantity']}_standard_error" for row in rows if row["standard_error"]),
        "likelihood_rtol", "likelihood_atol",
    }  # fmt: skip
    # Trained or not: above the entropy, up to what 50 points can tell.
    assert 0 <= metrics["likelihood_pathwise_kl"] < 1
    printed = capsys.readouterr().out
    assert "likelihood of 50 held-out points" in printed
    assert "no bits per dimension" in printed


STOCHASTIC = [
    (("formulation=ddpm", "formulation.num_levels=30", "sampler.num_steps=30"), "ancestral"),
    (("sampler=euler_maruyama",), "euler_maruyama"),
    (("sampler=ddim", "sampler.eta=0.5"), "ddim"),
]


@pytest.mark.parametrize(("job", "name"), STOCHASTIC)
def test_a_stochastic_sampler_is_refused(workdir: Path, job: tuple[str, ...], name: str) -> None:
    with pytest.raises(ValueError) as caught:
        tiny_runs.run(*job, "evaluation=likelihood")
    assert f"got sampler={name}" in str(caught.value)
    assert "choose one such as sampler=heun or ode_adaptive" in str(caught.value)
    assert list(workdir.iterdir()) == []


REFUSED = [
    ("num_points=1", "evaluation.likelihood.num_points must be at least 2, got 1"),
    ("probes=0", "evaluation.likelihood.probes must be at least 1, got 0"),
    ("draws=-3", "evaluation.likelihood.draws must be at least 1, got -3"),
    ("rtol=0", "evaluation.likelihood.rtol must be positive and finite, got 0"),
    ("atol=-1", "evaluation.likelihood.atol must be positive and finite, got -1"),
    ("rtol=.nan", "evaluation.likelihood.rtol must be a number, got .nan"),
    ("sigma_min=0", "evaluation.likelihood.sigma_min must be positive and below sigma_max=80"),
    ("sigma_min=90", "below sigma_max=80, got 90"),
    ("sigma_max=0.001", "below sigma_max=0.001, got 0.002"),
    ("sigma_max=.inf", "evaluation.likelihood.sigma_max must be a number or null, got .inf"),
    ("trace=full", "evaluation.likelihood.trace must be auto, exact, rademacher or gaussian, got"),
    ("num_points=2.5", "evaluation.likelihood.num_points must be a whole number, got 2.5"),
    ("bits=true", "evaluation.likelihood.bits=true needs data that declare how many levels"),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_bad_values_are_refused(workdir: Path, change: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        tiny_runs.run("evaluation=likelihood", f"evaluation.likelihood.{change}")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(workdir.iterdir()) == []


def test_the_ideal_denoiser_of_a_finite_set_is_too_stiff_at_low_noise() -> None:
    job = ("data=digits", "network=exact", "evaluation=likelihood")
    with pytest.raises(ValueError, match=r"sigma_min must be at least 0\.1 .*got 0\.002: below"):
        composed(*job)
    composed(*job, "evaluation.likelihood.sigma_min=0.1")


def test_one_step_leaves_no_range_unless_it_is_given() -> None:
    few = r"needs a grid of at least 2 steps.*got sampler.num_steps=1"
    with pytest.raises(ValueError, match=few):
        composed(*FAR, "sampler.num_steps=1")
    report = likelihood(
        *FAR, *EXACT, *FEW, "sampler.num_steps=1", "evaluation.likelihood.sigma_min=0.01"
    )
    assert value(report, "nll") == pytest.approx(value(report, "exact_nll"), abs=1e-3)


def test_any_deterministic_sampler_has_the_same_likelihood() -> None:
    """The flow belongs to the denoiser and the range, not to a sampler or an SDE."""
    found: list[Tensor] = []
    for sampler in ("heun", "ode_adaptive", "dpmpp_2m"):
        report = likelihood("data=mixture", "network=exact", *FEW, f"sampler={sampler}")
        found.append(report.arrays["nll"])
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2], rtol=0, atol=1e-9)
