"""The evaluations that draw fields, marginals, chains and step counts hold the exact laws."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import tiny_runs
from fokker.config.compose import config_dir
from fokker.diffusion.evaluations.noised import NoisedLaw, histogram
from fokker.diffusion.sde import SDE
from fokker.distributions import Distribution, GaussianMixture, Uniform
from fokker.experiment import Experiment
from fokker.experiment.metric_names import measures_of
from fokker.formulation import Report
from fokker.randomness import Randomness

EXACT = ("network=exact", "sampler.prior=matched")
# Neither mean 0 nor standard deviation 1/2, in which the models compute.
FAR = ("data.low=2.0", "data.high=5.0")
LAW, SHIFT, SCALE = Uniform(2.0, 5.0), 3.5, 3 / math.sqrt(12) / 0.5


def composed(name: str, *overrides: str) -> Experiment:
    return tiny_runs.compose_experiment(f"evaluation={name}", *overrides)


def evaluated(made: Experiment) -> Report:
    ((_, evaluation),) = made.plan.evaluations.items()
    return evaluation(made.model, made.plan.ways[0], Randomness(made.plan.seed))


def report(name: str, *overrides: str) -> tuple[Report, dict[str, Any]]:
    """The report of a model as it is built, and its arrays."""
    found = evaluated(composed(name, *overrides))
    return found, {key: value.numpy() for key, value in found.arrays.items()}


def x_t(sde: SDE, t: Tensor, u: Tensor) -> Tensor:
    """The exact flow by the law in the data's own units: the same quantile at every time."""
    s = sde.scale(t)
    return SHIFT + s * (LAW.quantile(u, SCALE * sde.sigma(t)) - SHIFT)


# The flow field -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sde", ["edm", "vp_linear", "vp_cosine", "sub_vp", "ve_geometric", "ve_sqrt", "rectified"]
)
def test_the_field_is_the_velocity_of_quantiles(sde: str) -> None:
    """dx/dt of x(t; u) at fixed u, by differences: no score, no f, no g."""
    made = composed(
        "flow_field", "data=uniform", *FAR, *EXACT, f"+sde@sampler.sde={sde}", "grid=geometric",
        "grid.sigma_min=0.05", "grid.sigma_max=20", "evaluation.flow_field.num_times=12",
        "evaluation.flow_field.num_places=9",
    )  # fmt: skip
    arrays = evaluated(made).arrays
    process = made.plan.ways[0].sampler.sde
    t = arrays["t"][:, None].expand(-1, 9).flatten()
    x, found = arrays["x"].flatten(), arrays["exact"].flatten()
    u = LAW.cdf(SHIFT + (x - SHIFT) / process.scale(t), SCALE * process.sigma(t))
    good = (u > 1e-3) & (u < 1 - 1e-3)
    assert int(good.sum()) > 50
    t, u, found, h = t[good], u[good], found[good], 1e-4 * t[good]
    slope = (x_t(process, t + h, u) - x_t(process, t - h, u)) / (2 * h)
    error = (found - slope).abs() / (1e-3 + slope.abs())
    assert float(error.max()) < 1e-4
    assert torch.equal(arrays["exact"], arrays["learned"])  # Of the ideal denoiser.


def test_paths_of_the_exact_flow_keep_their_quantile() -> None:
    made = composed("flow_field", "data=uniform", *FAR, *EXACT, "formulation=vp_sde")
    arrays, process = evaluated(made).arrays, made.plan.ways[0].sampler.sde
    for k, u in enumerate((torch.arange(9, dtype=torch.float64) + 0.5) / 9):
        assert float(arrays["u"][k]) == pytest.approx(float(u))
        path = x_t(process, arrays["t"], u.expand(200))
        assert arrays["exact_paths"][:, k].numpy() == pytest.approx(path.numpy(), abs=1e-9)
    # Heun's 200 steps along the same flow, from the same starts.
    gap = (arrays["learned_paths"] - arrays["exact_paths"]).abs().max()
    assert 0 < float(gap) < 2e-3


def test_the_learned_field_is_the_models() -> None:
    """EDM's network is 0 at first: D = c_skip x, ideal for Gaussian data; VE's leaves x."""
    ideal, arrays = report("flow_field", "data=gaussian")
    assert arrays["learned"] == pytest.approx(arrays["exact"], rel=1e-5, abs=1e-6)
    assert max(row["error"] for row in ideal.rows) < 1e-5
    still, arrays = report("flow_field", "data=gaussian", "preconditioning=ve")
    assert np.abs(arrays["learned"]).max() < 1e-9
    assert [row["error"] for row in still.rows] == pytest.approx([r["speed"] for r in still.rows])
    assert arrays["learned_paths"] == pytest.approx(
        np.repeat(arrays["exact_paths"][:1], 200, axis=0), abs=1e-6
    )
    # Gaussian data along EDM's time: x - m grows as its standard deviation does.
    std = np.hypot(0.5, arrays["sigma"])
    assert arrays["exact_paths"][:, 8] - arrays["exact_paths"][:, 4] == pytest.approx(
        (arrays["exact_paths"][0, 8] - arrays["exact_paths"][0, 4]) * std / std[0]
    )


def test_speed_is_the_root_mean_square_over_p_t() -> None:
    """Of Gaussian data: std'(t), t / sqrt(t^2 + 1/4) in units of twice the data's std."""
    found, _ = report("flow_field", "data=gaussian", *EXACT)
    law = composed("flow_field", "data=gaussian").model.data.law
    assert law is not None
    unit = 2 * math.sqrt(float(law.variance))
    for row in found.rows:
        expected = unit * row["t"] / math.hypot(row["t"], 0.5)
        assert row["speed"] == pytest.approx(expected, rel=0.01)


# The marginal map -----------------------------------------------------------------------------


@pytest.mark.parametrize("formulation", ["edm", "vp_sde", "smld"])
def test_columns_are_densities_with_the_right_moments(formulation: str) -> None:
    found, arrays = report(
        "marginal_map", "data=uniform", *FAR, *EXACT, f"formulation={formulation}",
        "sampler.num_steps=30", "evaluation.marginal_map.num_points=3000",
    )  # fmt: skip
    made = composed("marginal_map", *FAR, *EXACT, f"formulation={formulation}")
    sde, edges = made.plan.ways[0].sampler.sde, arrays["edges"]
    assert arrays["exact"].shape == arrays["sampled"].shape == (30, 80)
    assert edges.shape == (30, 81)
    s = sde.scale(arrays["t"]).numpy()
    assert sde.sigma(arrays["t"]).numpy() == pytest.approx(arrays["sigma"])
    widths, middles = np.diff(edges), (edges[:, 1:] + edges[:, :-1]) / 2
    std = s * np.sqrt(9 / 12 + (SCALE * arrays["sigma"]) ** 2)
    # Annealed Langevin's states are one level behind.
    for name, slack in (("exact", 1e-3), ("sampled", 0.3 if formulation == "smld" else 0.12)):
        mass = arrays[name] * widths
        mean = (mass * middles).sum(1)
        spread = np.sqrt((mass * (middles - mean[:, None]) ** 2).sum(1))
        assert (mean - SHIFT) / std == pytest.approx(0.0, abs=slack)
        assert spread / std == pytest.approx(1.0, abs=slack)
    assert (arrays["exact"] * widths).sum(1) == pytest.approx(1.0, abs=1e-4)
    counted = 3000 * (arrays["sampled"] * widths).sum(1) + arrays["outside"]
    assert counted == pytest.approx(3000.0)
    for row in found.rows:
        assert row["exact_std"] == pytest.approx(std[row["step"]])
        assert row["outside"] == arrays["outside"][row["step"]]
    assert ("one level behind" in " ".join(found.notes)) == (formulation == "smld")


def test_a_column_holds_the_samplers_own_states() -> None:
    made = composed(
        "marginal_map", *FAR, *EXACT, "formulation=vp_sde", "sampler.num_steps=7",
        "evaluation.marginal_map.num_points=500", "evaluation.marginal_map.num_bins=11",
    )  # fmt: skip
    arrays = evaluated(made).arrays
    states: list[Any] = []
    own, sde = made.plan.ways[0], made.plan.ways[0].sampler.sde
    way = own.from_quantiles
    way.sample(Randomness(0), 0, 500, 500, lambda i, y: states.append(y[:, 0].numpy()))
    for i in range(7):
        s = float(sde.scale(sde.time(own.nodes[i])))
        here = SHIFT + SCALE * s * states[i].astype(np.float64)
        counts, _ = np.histogram(here, arrays["edges"][i].numpy())
        expected = counts / (500 * np.diff(arrays["edges"][i].numpy()))
        assert arrays["sampled"][i].numpy() == pytest.approx(expected, rel=1e-9)


def test_a_deterministic_sampler_has_no_chance_in_its_map() -> None:
    """Of the ideal denoiser the map is then the exact one, but for its steps."""
    _, arrays = report(
        "marginal_map", *FAR, *EXACT, "sampler.num_steps=60",
        "evaluation.marginal_map.num_points=4000",
    )  # fmt: skip
    gaps = (np.abs(arrays["sampled"] - arrays["exact"]) * np.diff(arrays["edges"])).sum(1)
    # By sampling noise 80 bins of 4,000 points would differ by about 0.09.
    assert gaps[0] < 0.01
    assert gaps.max() < 0.05


def test_histograms_count_every_point() -> None:
    x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 7.0])
    density, outside = histogram(x, torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64))
    assert outside == 2
    assert (density * 7).tolist() == pytest.approx([2, 3])


def test_the_noised_law_is_that_of_noised_points() -> None:
    law: Distribution = GaussianMixture([0.3, 0.7], [1.0, 4.0], [0.2, 0.5])
    known, s, sigma = NoisedLaw(law, 3.0, 2.0), 0.4, 1.3
    generator = torch.Generator().manual_seed(3)
    x0 = law.sample(200_000, generator)[:, 0]
    noise = torch.randn(200_000, generator=generator, dtype=torch.float64)
    x = 3 + 2 * s * ((x0 - 3) / 2 + sigma * noise)
    assert known.mean(s) == pytest.approx(float(x.mean()), abs=0.01)
    assert known.std(s, sigma) == pytest.approx(float(x.std()), rel=0.01)
    u = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert known.quantile(u, s, sigma).tolist() == pytest.approx(x.quantile(u).tolist(), abs=0.02)
    assert known.cdf(known.quantile(u, s, sigma), s, sigma).tolist() == pytest.approx(u.tolist())


# The steps map --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("evaluation.noise=quantiles",),
        ("formulation=ddpm", "formulation.num_levels=40", "sampler.num_steps=18"),
        ("sampler=edm_stochastic",),
    ],
)
def test_its_w1_is_the_runs(workdir: Path, more: tuple[str, ...]) -> None:
    result = tiny_runs.run(
        "evaluation=steps_map", *FAR, "network=exact", *more, "evaluation.num_steps=[3]",
        "evaluation.steps_map.num_steps=[18,3]", "evaluation.steps_map.num_points=100",
        "evaluation.budget_points=0",
    )  # fmt: skip
    metrics = result.metrics
    assert metrics["num_steps"] == 18
    with (result.path / "evaluations.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    three = next(row for row in rows if row["num_steps"] == "3")
    with (result.path / "steps_map.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["num_steps"] for row in rows] == ["3", "18"]
    assert [float(row["w1"]) for row in rows] == [float(three["w1"]), metrics["w1"]]
    assert rows[0]["nfe"] == three["nfe"]
    arrays = np.load(result.path / "steps_map.npz")
    edges, widths = arrays["edges"], np.diff(arrays["edges"])
    samples = result.samples.numpy().ravel()
    expected = np.histogram(samples, edges)[0] / (100 * widths)
    assert arrays["sampled"][1] == pytest.approx(expected)
    assert (arrays["sampled"] @ widths + arrays["outside"] / 100) == pytest.approx(1.0)
    assert (arrays["data"] @ widths) == pytest.approx(1.0)
    assert ("sampling_noise" in arrays) == ("evaluation.noise=quantiles" not in more)


def test_chance_is_what_exact_samples_have() -> None:
    """E W1 of n points of U[a, b] is sqrt(2 / (pi n)) (b - a) pi / 8."""
    _, arrays = report(
        "steps_map", *FAR, *EXACT, "evaluation.steps_map.num_steps=[2]",
        "evaluation.steps_map.num_points=400",
    )  # fmt: skip
    expected = math.sqrt(2 / (math.pi * 400)) * 3 * math.pi / 8
    assert float(arrays["sampling_noise"]) == pytest.approx(expected, rel=1e-3)


# The chain ------------------------------------------------------------------------------------


def test_a_chain_ends_with_the_samples(workdir: Path) -> None:
    """DDPM with 100 noise steps on U: from N(3.5, scale^2) to the run's own samples."""
    result = tiny_runs.run(
        "evaluation=chain", *FAR, "network=exact", "formulation=ddpm", "formulation.num_levels=100",
        "evaluation.chain.num_points=100", "evaluation.chain.num_panels=5",
    )  # fmt: skip
    arrays = np.load(result.path / "chain.npz")
    assert arrays["step"].tolist() == [0, 25, 50, 75, 100]
    assert arrays["sigma"][-1] == 0
    edges, widths = arrays["edges"], np.diff(arrays["edges"])
    last = np.histogram(result.samples.numpy().ravel(), edges[-1])[0]
    assert arrays["sampled"][-1] == pytest.approx(last / (100 * widths[-1]))
    mass = (arrays["sampled"] * widths).sum(1) + arrays["outside"] / 100
    assert mass == pytest.approx(1.0)
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    normal = np.exp(-(((middles[0] - SHIFT) / SCALE) ** 2) / 2) / (SCALE * math.sqrt(2 * math.pi))
    assert arrays["beside"][0] == pytest.approx(normal, abs=2e-3)
    inside = (edges[-1, :-1] > 2) & (edges[-1, 1:] < 5)
    assert arrays["beside"][-1][inside] == pytest.approx(1 / 3)
    outside = (edges[-1, 1:] < 2) | (edges[-1, :-1] > 5)
    assert arrays["beside"][-1][outside] == pytest.approx(0.0)
    with (result.path / "chain.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["step"] for row in rows] == ["0", "25", "50", "75", "100"]
    # In x_t, which a VP-SDE keeps at the standard deviation of its noise.
    assert float(rows[0]["std"]) == pytest.approx(SCALE, rel=0.2)
    assert float(rows[0]["forward_std"]) == pytest.approx(SCALE, rel=0.2)
    assert float(rows[-1]["std"]) == pytest.approx(float(result.samples.std(correction=0)))


def test_points_in_space_beside_noised_data() -> None:
    made = composed(
        "chain", "data=torus", "evaluation.chain.num_points=100", "evaluation.chain.num_panels=4"
    )
    arrays = {key: value.numpy() for key, value in evaluated(made).arrays.items()}
    assert arrays["states"].shape == arrays["forward"].shape == (4, 100, 3)
    own = made.plan.ways[0]
    samples = own.sample(Randomness(0), 0, 100, 100).x
    assert arrays["states"][-1] == pytest.approx(made.model.data.to_data(samples).numpy())
    # Data at the end: on the torus.
    x = arrays["forward"][-1]
    radius = np.hypot(np.hypot(x[:, 0], x[:, 1]) - 1, x[:, 2])
    assert radius == pytest.approx(0.4)
    # Noise of sigma in the model's units, in which the data's root mean variance is 1/2.
    noise = (arrays["forward"][0] - arrays["forward"][-1]).std()
    scale = 2 * math.sqrt((2 * (1 + 1.5 * 0.16) / 2 + 0.16 / 2) / 3)
    assert noise == pytest.approx(80 * scale, rel=0.1)


def test_a_finite_set_is_beside_its_own_held_out_points() -> None:
    found, arrays = report(
        "chain", *FAR, "data.num_points=50", "evaluation.chain.num_points=400",
        "evaluation.chain.num_panels=3",
    )  # fmt: skip
    assert "w1_over_std" not in found.rows[0]
    widths = np.diff(arrays["edges"])
    assert ((arrays["beside"] * widths).sum(1) > 0.98).all()
    # A histogram of 400 points, not a smooth density.
    counts = arrays["beside"] * widths * 400
    assert counts == pytest.approx(counts.round(), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("flow_field", ("network=exact",)),
        ("marginal_map", ()),
        ("steps_map", ("evaluation.steps_map.num_steps=[2,3]",)),
        ("chain", ()),
        ("chain", ("data=ring8",)),
    ],
)
def test_a_report_draws_its_figure(name: str, more: tuple[str, ...]) -> None:
    found, _ = report(name, "sampler.num_steps=4", *more)
    assert found.name == name
    assert found.figure is not None
    figure = found.figure()
    assert len(figure.axes) >= 3
    if name == "flow_field":
        assert [axes.get_title() for axes in figure.axes[:2]] == ["exact", "ideal denoiser"]
        assert "ideal denoiser" in found.notes[1]


# What is refused ------------------------------------------------------------------------------

KNOWN = "needs data of a known law in one dimension, got samples of shape"
REFUSED = [
    ("flow_field", ("data=ring8",), KNOWN),
    ("flow_field", ("data.num_points=30",), KNOWN),
    ("flow_field", ("sampler.num_steps=1",), "evaluation=flow_field needs a grid of at least 2"),
    ("flow_field", ("evaluation.flow_field.num_paths=0",), "num_paths must be at least 1, got 0"),
    ("marginal_map", ("data=digits",), KNOWN),
    ("marginal_map", ("sampler=ode_adaptive",), "which chooses its own; choose one such as"),
    ("marginal_map", ("evaluation.marginal_map.num_bins=1",), "num_bins must be at least 2, got 1"),
    ("steps_map", ("data=torus",), "evaluation=steps_map needs data in one dimension"),
    ("steps_map", ("sampler=ode_adaptive",), "needs a sampler with a number of steps"),
    ("steps_map", ("evaluation.steps_map.num_steps=[]",), "must list different numbers of steps"),
    ("steps_map", ("evaluation.steps_map.num_steps=[0,5]",), "of at least 1, such as [5,10,20]"),
    ("steps_map", ("evaluation.steps_map.num_steps=[5,5]",), "must list different numbers"),
    ("steps_map", ("evaluation.steps_map.num_steps=[2.5]",), "num_steps must be a list of whole"),
    (
        "steps_map",
        ("formulation=ddpm", "formulation.num_levels=40", "sampler.num_steps=20"),
        "evaluation.steps_map.num_steps must be at most formulation.num_levels=40 with grid=levels",
    ),
    ("chain", ("data=digits",), "evaluation=chain needs data in one, two or three dimensions"),
    ("chain", ("sampler.num_steps=1",), "evaluation=chain needs a grid of at least 2 steps"),
    ("chain", ("evaluation.chain.num_panels=13",), "num_panels must be at most 12, got 13"),
]


@pytest.mark.parametrize(("name", "overrides", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(
    workdir: Path, name: str, overrides: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        tiny_runs.run(f"evaluation={name}", *overrides)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(workdir.iterdir()) == []


# The study ------------------------------------------------------------------------------------


def test_every_setting_of_the_study_can_be() -> None:
    text = (config_dir() / "sweeps" / "lecture.yaml").read_text()
    assert len(text.splitlines()) <= 25
    settings = yaml.safe_load(text)["hydra"]["sweeper"]["settings"]
    assert list(settings) == ["ddpm", "vp_sde", "smld", "edm", "chain", "torus"]
    for name, overrides in settings.items():
        made = tiny_runs.compose_experiment("+sweeps=lecture", *overrides.split())
        expected = {"flow_field", "marginal_map", "steps_map"}
        expected = {"chain"} if name in ("chain", "torus") else expected
        assert set(made.plan.evaluations) == expected
        # Nothing of one number, so that a table of the study has no columns of theirs.
        names = measures_of(made)
        assert not [key for key in names if "map" in key or "steps" in key]
