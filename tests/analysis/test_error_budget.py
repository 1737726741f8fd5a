"""The error budget against products of factors by hand, exact maps and other programs' sums."""

import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tiny_runs
from fokker.diffusion.analysis.budget_report import no_budget
from fokker.diffusion.analysis.error_budget import ErrorBudget, error_budget
from fokker.diffusion.analysis.gaussian_errors import gaussian_errors
from fokker.diffusion.formulations import Diffusion
from fokker.diffusion.formulations.start import start_law
from fokker.distributions import GaussianCovariance
from fokker.experiment import Experiment
from fokker.randomness import Randomness

FAR = ("data=gaussian", "data.mean=300", "data.std=7")
VARIANCE = 0.25  # of standardised data


def made(*overrides: str) -> tuple[Diffusion, Experiment]:
    experiment = tiny_runs.compose_experiment(*overrides)
    return experiment.model, experiment


def budget_of(experiment: Experiment, count: int = 101, seed: int = 0) -> ErrorBudget:
    own = experiment.plan.ways[0]
    return error_budget(experiment.model, own.sampler, own.nodes, count, Randomness(seed))


def adds_up(budget: ErrorBudget, samples: Tensor, exact: Tensor) -> None:
    total = sum(budget.terms.values())
    assert isinstance(total, Tensor)
    torch.testing.assert_close(budget.measured, total, rtol=0, atol=1e-12)
    torch.testing.assert_close(budget.measured, samples - exact, rtol=0, atol=1e-9)


# One dimension, Gaussian data: every map is a factor ------------------------------------------


def keeps(sigma: float, variance: float = VARIANCE) -> float:
    """D*(x)/x on centred Gaussian data."""
    return variance / (variance + sigma**2)


def ddim_factor(sigmas: list[float], variance: float = VARIANCE) -> float:
    """x at the end over x at the start: `y + (sigma'/sigma - 1)(y - D)` a step."""
    factor = 1.0
    for now, later in itertools.pairwise(sigmas):
        factor *= keeps(now, variance) + later / now * (1 - keeps(now, variance))
    return factor


def heun_factor(sigmas: list[float], variance: float = VARIANCE) -> float:
    """EDM's algorithm 1 with sigma = t: slopes (y - D)/sigma at both ends, Euler to 0."""
    factor = 1.0
    for now, later in itertools.pairwise(sigmas):
        first = (1 - keeps(now, variance)) / now
        end = 1 + (later - now) * first
        if later > 0:
            second = end * (1 - keeps(later, variance)) / later
            end = 1 + (later - now) * (first + second) / 2
        factor *= end
    return factor


def multistep_factor(sigmas: list[float], variance: float = VARIANCE) -> float:
    """DPM-Solver++ 2M: `sigma'/sigma y + (1 - e^-h)(D + h/(2 h_1)(D - D_1))`, D at the end."""
    y, before, h_before = 1.0, 0.0, 0.0
    for index, (now, later) in enumerate(itertools.pairwise(sigmas)):
        denoised = keeps(now, variance) * y
        if later == 0:
            return denoised
        h = math.log(now / later)
        slope = 0.0 if index == 0 else h / (2 * h_before) * (denoised - before)
        y = later / now * y + (1 - later / now) * (denoised + slope)
        before, h_before = denoised, h
    return y


FACTORS: dict[str, Callable[..., float]] = {
    "heun": heun_factor,
    "ddim": ddim_factor,
    "euler": ddim_factor,
    "dpmpp_2m": multistep_factor,
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("sampler", list(FACTORS))
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_term_on_a_gaussian_is_a_product_of_factors(sampler: str, steps: int) -> None:
    model, experiment = made(
        *FAR, "network=exact", f"sampler={sampler}", f"sampler.num_steps={steps}"
    )
    sigmas = experiment.plan.ways[0].nodes.tolist()
    assert (len(sigmas), sigmas[0], sigmas[-1]) == (steps + 1, 80, 0)
    budget = budget_of(experiment)
    z = torch.special.ndtri((torch.arange(101, dtype=torch.float64) + 0.5) / 101)[:, None]
    scale = 7 / 0.5
    high, low = sigmas[0], sigmas[-2]
    exact = 0.5
    truncated = keeps(low) * math.hypot(0.5, low)
    start = high  # The published prior: N(m, sigma_T^2).
    flowed = keeps(low) * start * math.hypot(0.5, low) / math.hypot(0.5, high)
    sampled = start * FACTORS[sampler](sigmas)
    expected = {
        "truncation": truncated - exact,
        "prior": flowed - truncated,
        "discretisation": sampled - flowed,
        "learning": 0.0,
    }
    for name, value in expected.items():
        torch.testing.assert_close(
            budget.terms[name], value * scale * z, rtol=0, atol=1e-9 * scale, msg=name
        )
    assert torch.equal(budget.terms["learning"], torch.zeros(101, 1, dtype=torch.float64))
    assert budget.learning_limit is not None
    assert torch.equal(budget.learning_limit, torch.zeros(101, 1, dtype=torch.float64))
    torch.testing.assert_close(budget.measured, (sampled - exact) * scale * z, rtol=0, atol=1e-7)
    rows = {str(row["term"]): row for row in budget.rows()}
    assert list(rows) == [*expected, "measured", "learning, N to infinity"]
    spread = float(z.square().mean().sqrt())
    for name, value in expected.items():
        assert rows[name]["rms"] == pytest.approx(abs(value) * scale * spread, abs=1e-8)
        assert rows[name]["mean"] == pytest.approx(
            abs(value) * scale * float(z.abs().mean()), abs=1e-8
        )
    assert rows["measured"]["rms"] == pytest.approx(
        abs(sum(expected.values())) * scale * spread, abs=1e-8
    )
    assert model.data.scale == pytest.approx(scale)


@pytest.mark.parametrize("prior", ["published", "matched"])
def test_the_matched_prior_is_exact_on_a_gaussian(prior: str) -> None:
    job = (*FAR, "network=exact", f"sampler.prior={prior}", "sde.sigma_max=2")
    _, experiment = made(*job)
    found = budget_of(experiment).terms["prior"].abs().max()
    assert (found < 1e-9) == (prior == "matched")


def test_truncation_on_a_uniform_law_is_the_ideal_denoiser_of_its_blurred_quantiles() -> None:
    """By scipy: quantiles of U + sigma n by root finding, D by its formula."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    _, experiment = made("network=exact", "sde.sigma_min=0.2", "sde.sigma_max=30")
    budget = budget_of(experiment, 11)
    a, b = -math.sqrt(3) / 2, math.sqrt(3) / 2

    def blurred(x: float, s: float) -> float:
        """The antiderivative of Phi is x Phi + phi."""

        def g(z: float) -> float:
            return float(z * norm.cdf(z) + norm.pdf(z))

        return float(s * (g((x - a) / s) - g((x - b) / s)) / (b - a))

    def denoised(x: float, s: float) -> float:
        one, two = (x - a) / s, (x - b) / s
        return float(x + s * (norm.pdf(one) - norm.pdf(two)) / (norm.cdf(one) - norm.cdf(two)))

    def inverse(u: float, s: float) -> float:
        return float(brentq(lambda x: blurred(x, s) - u, -30 * s - 5, 30 * s + 5, xtol=1e-13))

    scale = math.sqrt(1 / 12) / 0.5
    for index, u in enumerate((np.arange(11) + 0.5) / 11):
        there = denoised(inverse(u, 0.2), 0.2)
        exact = a + (b - a) * u
        assert float(budget.terms["truncation"][index]) == pytest.approx(
            (there - exact) * scale, abs=1e-9
        )
        reached = blurred(30 * norm.ppf(u), 30)
        moved = denoised(inverse(reached, 0.2), 0.2)
        assert float(budget.terms["prior"][index]) == pytest.approx(
            (moved - there) * scale, abs=1e-8
        )


# Terms add, by other sums ---------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "overrides",
    [
        ("sampler=heun",),
        ("data=mixture", "sampler=dpmpp_2m"),
        ("data=uniform", "formulation=vp_sde", "sampler=euler", "grid=geometric"),
        ("data=mixture", "sampler=ode_adaptive"),
        (*FAR, "network=exact", "sampler=heun", "sampler.num_steps=1"),
    ],
)
def test_the_terms_add_to_what_the_run_s_own_samples_are_off(
    workdir: Path, overrides: tuple[str, ...]
) -> None:
    result = tiny_runs.run(*overrides, "evaluation.noise=quantiles", "evaluation.num_samples=90")
    with np.load(result.path / "error_budget.npz") as content:
        arrays = {name: content[name] for name in content}
    assert set(arrays) == {
        "u", "truncation", "prior", "discretisation", "learning", "learning_limit",
    }  # fmt: skip
    middles = (np.arange(90) + 0.5) / 90
    np.testing.assert_array_equal(arrays["u"], middles)
    terms = ("truncation", "prior", "discretisation", "learning")
    measured = sum(arrays[name] for name in terms)
    law = result.model.data.law
    assert law is not None
    exact = law.quantile(torch.from_numpy(middles)).numpy()
    samples = np.sort(result.samples.numpy()[:, 0])
    # The same points, in rows of another order; a network is of float32.
    tolerance = 1e-9 if result.model.is_exact else 1e-4
    scale = result.model.data.scale
    np.testing.assert_allclose(
        np.sort(exact + measured[:, 0]), samples, rtol=0, atol=tolerance * scale * 20
    )
    # An increasing map's mean displacement is W1, and its r.m.s. W2.
    rows = read_rows(result.path)
    assert bool((np.diff(exact + measured[:, 0]) > 0).all())
    assert rows["measured"]["mean"] == pytest.approx(result.metrics["w1"], rel=1e-4)
    w2 = math.sqrt(float(np.mean((samples - exact) ** 2)))
    assert rows["measured"]["rms"] == pytest.approx(w2, rel=1e-4)
    for name in terms:
        assert rows[name]["rms"] == pytest.approx(np.sqrt((arrays[name] ** 2).mean()), rel=1e-12)
        assert result.metrics[f"error_{name}"] == rows[name]["rms"]
    assert result.metrics["error_measured"] == rows["measured"]["rms"]
    assert result.metrics["error_learning_limit"] == rows["learning, N to infinity"]["rms"]
    if result.model.is_exact:
        assert not arrays["learning"].any()
        assert not arrays["learning_limit"].any()


def read_rows(path: Path) -> dict[str, dict[str, float]]:
    with (path / "error_budget.csv").open(newline="") as handle:
        reader = csv.DictReader(handle)
        assert reader.fieldnames == ["term", "rms", "mean"]
        return {row["term"]: {k: float(row[k]) for k in ("rms", "mean")} for row in reader}


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_discretisation_falls_with_the_sampler_s_order(sampler: str, order: int) -> None:
    """Between two noise levels that are both far above the last step, which is Euler's for all."""
    errors = []
    for steps in (40, 80):
        _, experiment = made(
            "data=mixture", "network=exact", f"sampler={sampler}", f"sampler.num_steps={steps}",
            "grid=geometric", "sde.sigma_min=0.02", "sde.sigma_max=20",
        )  # fmt: skip
        rows = budget_of(experiment, 200).rows()
        (found,) = (row["rms"] for row in rows if row["term"] == "discretisation")
        errors.append(float(found))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.35)


# Learning -------------------------------------------------------------------------------------


class Linear(nn.Module):
    """`D = gain(sigma) x`, that of a Gaussian of another variance."""

    def __init__(self, variance: float) -> None:
        super().__init__()
        self._variance = variance

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        level = torch.as_tensor(sigma, dtype=torch.float64)
        gain = self._variance / (self._variance + level**2)
        return (gain if gain.dim() == 0 else gain.reshape(-1, *[1] * (x.dim() - 1))) * x


def test_learning_of_a_model_of_another_gaussian_is_a_difference_of_factors() -> None:
    model, experiment = made(*FAR, "sampler.num_steps=60")
    model.denoiser = Linear(1.0)  # type: ignore[assignment]
    sigmas = experiment.plan.ways[0].nodes.tolist()
    budget = budget_of(experiment)
    z = torch.special.ndtri((torch.arange(101, dtype=torch.float64) + 0.5) / 101)[:, None]
    high, low = sigmas[0], sigmas[-2]
    learnt = 1 / (1 + low**2) * high * math.hypot(1, low) / math.hypot(1, high)
    ideal = keeps(low) * high * math.hypot(0.5, low) / math.hypot(0.5, high)
    assert budget.learning_limit is not None
    # To the flow's tolerance for a network, 1e-5.
    torch.testing.assert_close(budget.learning_limit, (learnt - ideal) * 14 * z, rtol=1e-4,
                               atol=14e-5)  # fmt: skip
    # With so many steps what the sampler makes of the error is nearly that, and not quite.
    learning = budget.terms["learning"]
    torch.testing.assert_close(learning, budget.learning_limit, rtol=0.02, atol=1e-12)
    assert not torch.allclose(learning, budget.learning_limit, rtol=1e-6)
    adds_up(budget, sampled(experiment, z), 300 + 7 * z)


def sampled(experiment: Experiment, normal: Tensor) -> Tensor:
    """By the sampler's own call, in the data's units."""
    from fokker.diffusion.samplers import GivenStart

    own, data = experiment.plan.ways[0], experiment.model.data
    with torch.no_grad():
        points = own.sampler(
            experiment.model.denoiser, own.nodes, start_law(data), GivenStart(normal)
        )
    return data.to_data(points)


# More dimensions ------------------------------------------------------------------------------


PLANE = ("data=gaussian", "data.mean=[3,-1]", "data.std=[0.2,4]", "network=exact")


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m"])
def test_in_the_plane_each_coordinate_is_a_line_of_its_own(sampler: str) -> None:
    _, experiment = made(*PLANE, f"sampler={sampler}", "sampler.num_steps=6")
    data, sigmas = experiment.model.data, experiment.plan.ways[0].nodes.tolist()
    budget = budget_of(experiment, 30)
    assert budget.u is None
    z = Randomness(0).normal("prior", 0, 30, (2,)).double()
    scale = data.scale
    high, low = sigmas[0], sigmas[-2]
    for index, std in enumerate((0.2, 4.0)):
        own = std / scale
        kept = own**2 / (own**2 + low**2)
        exact = own
        truncated = kept * math.hypot(own, low)
        flowed = truncated * high / math.hypot(own, high)
        reached = high * FACTORS[sampler](sigmas, own**2)
        expected = {
            "truncation": truncated - exact,
            "prior": flowed - truncated,
            "discretisation": reached - flowed,
        }
        for name, value in expected.items():
            # The flow is an ODE solved to 1e-8.
            torch.testing.assert_close(
                budget.terms[name][:, index], value * scale * z[:, index], rtol=1e-5,
                atol=3e-6 * scale, msg=f"{name} {index}",
            )  # fmt: skip


def test_root_mean_squares_agree_with_the_exact_w2_of_gaussian_laws() -> None:
    """Ring of eight Gaussians, gaussianised: isotropic, and so one factor for all samples."""
    for job in ("data=ring8", "data=two_moons"):
        _, experiment = made(job, "data.gaussianize=true", "network=exact",
                             "sampler.num_steps=5", "sde.sigma_max=5")  # fmt: skip
        own, data = experiment.plan.ways[0], experiment.model.data
        law = data.law
        assert isinstance(law, GaussianCovariance)
        standardized = GaussianCovariance(
            (law.mean - data.shift) / data.scale, law.covariance / data.scale**2
        )
        exact = gaussian_errors(standardized, own.sampler, own.nodes, start_law(data))
        count = 400
        budget = budget_of(experiment, count)
        z = Randomness(0).normal("prior", 0, count, (2,)).double()
        is_isotropic = job == "data=ring8"
        spread = math.sqrt(float(z.square().sum(1).mean()) / 2) if is_isotropic else 1.0
        tolerance = 1e-5 if is_isotropic else 4 / math.sqrt(count)
        for name, value in (
            ("truncation", exact.truncation),
            ("prior", exact.initialisation),
            ("discretisation", exact.discretisation),
        ):
            found = float(budget.terms[name].square().sum(1).mean().sqrt())
            expected = pytest.approx(value * data.scale * spread, rel=tolerance, abs=3e-8)
            assert found == expected, (job, name)


def test_a_moved_and_stretched_law_has_moved_and_stretched_errors() -> None:
    def terms(*overrides: str) -> tuple[dict[str, Tensor], float]:
        experiment = made("data=uniform", "network=exact", "sampler.num_steps=6", *overrides)[1]
        return budget_of(experiment, 40).terms, experiment.model.data.scale

    (first, unit), (other, larger) = terms(), terms("data.low=-50", "data.high=900")
    assert larger / unit == pytest.approx(950)
    for name, term in first.items():
        torch.testing.assert_close(other[name], 950 * term, rtol=1e-7, atol=1e-9)


def test_the_errors_of_a_plane_do_not_depend_on_its_axes() -> None:
    """The same correlated Gaussian in its own axes: every term's lengths are kept by a rotation."""
    _, experiment = made("data=two_moons", "data.gaussianize=true", "network=exact",
                         "sampler.num_steps=5", "sde.sigma_max=5")  # fmt: skip
    data, own = experiment.model.data, experiment.plan.ways[0]
    law = data.model_law
    assert law is not None
    z = Randomness(0).normal("prior", 0, 25, (2,)).double()
    values, axes = torch.linalg.eigh(law.covariance)
    budget = budget_of(experiment, 25)
    # By hand in the eigenvectors: factors on (start - mean).
    turned = z @ axes
    sigmas = own.nodes.tolist()
    high, low = sigmas[0], sigmas[-2]
    stds = values.sqrt()
    ends = values / (values + low**2) * (values + low**2).sqrt()
    # The start of the exact flow is the prior's, stretched to the covariance of p_T.
    expected = {
        "truncation": (ends - stds) * turned,
        "prior": (ends * high / (values + high**2).sqrt() - ends) * turned,
    }
    for name, value in expected.items():
        found = (budget.terms[name] / data.scale) @ axes
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)


def test_images_have_a_budget_too() -> None:
    _, experiment = made("data=digits", "data.gaussianize=true", "network=exact",
                         "sampler.num_steps=4", "evaluation.num_samples=6")  # fmt: skip
    budget = budget_of(experiment, 6)
    assert {term.shape for term in budget.terms.values()} == {(6, 64)}
    own, data = experiment.plan.ways[0], experiment.model.data
    law = data.law
    assert isinstance(law, GaussianCovariance)
    standardized = GaussianCovariance(
        (law.mean - data.shift) / data.scale, law.covariance / data.scale**2
    )
    exact = gaussian_errors(standardized, own.sampler, own.nodes, start_law(data))
    rows = {row["term"]: float(row["rms"]) for row in budget.rows()}
    assert rows["discretisation"] == pytest.approx(exact.discretisation * data.scale, rel=0.5)
    assert rows["prior"] == pytest.approx(exact.initialisation * data.scale, rel=0.5)


# Stochastic samplers --------------------------------------------------------------------------


def test_a_stochastic_sampler_s_sorted_samples_add_up_to_w1() -> None:
    for overrides in [("network=exact",), ()]:
        model, experiment = made(*FAR, "sampler=ancestral", "sampler.num_steps=9", *overrides)
        budget = budget_of(experiment, 60, seed=4)
        assert budget.learning_limit is None
        assert budget.u is not None
        exact = 300 + 7 * torch.special.ndtri(budget.u)[:, None]
        samples = exact + budget.measured
        # Sorted, so that they are quantiles of what was drawn.
        assert bool((samples.diff(dim=0) >= -1e-9).all())
        total = sum(budget.terms.values())
        assert isinstance(total, Tensor)
        torch.testing.assert_close(budget.measured, total, rtol=0, atol=1e-12)
        row = budget.rows()[-1]
        assert row["term"] == "measured"
        w1 = (samples.sort(0).values - exact).abs().mean()
        assert row["mean"] == pytest.approx(float(w1), rel=1e-9)
        # As many samples of the data themselves are this far off; and chance is there.
        assert 0.2 < float(row["mean"]) < 5
        assert bool((budget.terms["learning"] == 0).all()) == model.is_exact


def test_a_stochastic_sampler_s_spread_is_that_of_its_exact_law() -> None:
    """Ancestral samples of a Gaussian are Gaussian, of a variance by its recursion."""
    _, experiment = made(*FAR, "network=exact", "sampler=ancestral", "sampler.num_steps=8")
    sigmas = experiment.plan.ways[0].nodes.tolist()
    variance = sigmas[0] ** 2
    for now, later in itertools.pairwise(sigmas):
        # mean D + (sigma_s/sigma_t)^2 (y - D), variance sigma_s^2 (sigma_t^2 - sigma_s^2)/sigma_t^2
        ratio = (later / now) ** 2
        gain = keeps(now) + ratio * (1 - keeps(now))
        variance = gain**2 * variance + later**2 * (1 - ratio)
    count = 2000
    budget = budget_of(experiment, count)
    assert budget.u is not None
    samples = 7 * torch.special.ndtri(budget.u)[:, None] + budget.measured
    expected = math.sqrt(variance) * 14
    assert float(samples.std()) == pytest.approx(expected, rel=4 / math.sqrt(2 * count))


def test_there_is_no_budget_where_there_can_be_none(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ("data=gaussian", "data.mean=[3,-1]", "data.std=[0.2,4]", "evaluation.num_samples=20")
    result = tiny_runs.run(*job, "trainer.max_steps=1", "sampler=ancestral", "sampler.num_steps=3")
    assert not list(result.path.glob("error_budget*"))
    assert not [name for name in result.metrics if name.startswith("error_")]
    said = capsys.readouterr().out
    assert "no error budget: sampler=ancestral is stochastic" in said
    assert "such as sampler=heun" in said
    _, experiment = made(*job, "sampler=ancestral", "sampler.num_steps=3")
    with pytest.raises(ValueError, match="needs a deterministic sampler; choose one such as"):
        budget_of(experiment)
    # A finite set has a law, its own; an error against it would praise memorising.
    finite = tiny_runs.run("data.num_points=30", "trainer.max_steps=1", "evaluation.num_samples=20")
    assert not list(finite.path.glob("error_budget*"))
    assert "error budget" not in capsys.readouterr().out
    _, experiment = made("data.num_points=30")
    own = experiment.plan.ways[0]
    assert no_budget(experiment.model, own.sampler, own.name) != ""
    with pytest.raises(ValueError, match="data of known law, drawn fresh"):
        budget_of(experiment)


def test_how_many_points_a_budget_has(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def size(*overrides: str) -> Any:
        path = tiny_runs.run("network=exact", *overrides).path / "error_budget.npz"
        if not path.exists():
            return None
        with np.load(path) as content:
            return content["prior"].shape

    line, plane = ("sampler.num_steps=2",), ("sampler.num_steps=2", *PLANE[:3])
    assert size(*line) == (100, 1)
    assert size(*line, "evaluation.num_samples=2500") == (2000, 1)
    assert size(*line, "evaluation.budget_points=7") == (7, 1)
    assert size(*plane, "evaluation.num_samples=30") == (30, 2)
    assert size(*plane, "evaluation.num_samples=300") == (200, 2)
    assert size(*plane, "evaluation.budget_points=1") == (1, 2)
    said = capsys.readouterr().out
    assert "error budget of heun, 2 steps, 7 quantiles, in data units" in said
    assert "error budget of heun, 2 steps, 1 starts, in data units" in said
    assert size(*line, "evaluation.budget_points=0") is None
    assert "error budget" not in capsys.readouterr().out


def test_few_steps_that_lead_a_network_astray_are_said_to(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    note = "learning is far above its limit: these steps lead the network where it was not trained"
    for steps, is_said in ((2, True), (30, False)):
        tiny_runs.run("trainer.max_steps=300", f"sampler.num_steps={steps}")
        assert (note in capsys.readouterr().out) is is_said
