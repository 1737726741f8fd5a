"""Runs on data of known law: the ideal denoiser, starts at quantiles, exact distances, grids."""

import csv
import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import norm
from torch import Tensor

import fokker
import tiny_runs
from fokker.data import FiniteData
from fokker.diffusion.denoiser import ExactDenoiser
from fokker.diffusion.exact import Exact
from fokker.evaluations import sample
from fokker.experiment.draw import density_beside_samples
from fokker.machine.files import read_json

EXACT = ("network=exact", "evaluation.budget_points=0")
FAR = ("data=gaussian", "data.mean=300", "data.std=7")
QUANTILES = "evaluation.noise=quantiles"


def evaluations(path: Path) -> list[dict[str, str]]:
    with (path / "evaluations.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


# Quantiles -----------------------------------------------------------------------------------


def uniform_denoised(x: np.ndarray, sigma: float) -> np.ndarray:
    """E[x0 | x] on U[-b, b] of standard deviation 1/2: the mean of a truncated normal."""
    b = math.sqrt(3) / 2
    high, low = (x + b) / sigma, (x - b) / sigma
    # On the far side the difference of survival functions keeps its digits.
    sign = np.where(x > 0, -1.0, 1.0)
    one, two = np.where(x > 0, -low, high), np.where(x > 0, -high, low)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = sigma * (norm.pdf(one) - norm.pdf(two)) / (norm.cdf(one) - norm.cdf(two))
    return np.asarray(x + sign * moved)


def heun_by_hand(count: int, steps: int) -> np.ndarray:
    """EDM's algorithm 1 (sigma = t, rho = 7) with the ideal denoiser of U[0, 1], from quantiles."""
    ramp = np.arange(steps) / (steps - 1)
    sigmas = (80 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    sigmas = np.append(sigmas, 0.0)
    x = 80 * ndtri((np.arange(count) + 0.5) / count)
    for now, later in pairwise(sigmas):
        slope = (x - uniform_denoised(x, now)) / now
        end = x + (later - now) * slope
        if later > 0:
            second = (end - uniform_denoised(end, later)) / later
            end = x + (later - now) * (slope + second) / 2
        x = end
    return np.asarray(0.5 + x * math.sqrt(1 / 12) / 0.5)


def test_a_heun_run_from_quantiles_is_that_of_another_program(workdir: Path) -> None:
    result = tiny_runs.run(*EXACT, QUANTILES, "evaluation.num_samples=1001", "sampler.num_steps=10")
    expected = np.sort(heun_by_hand(1001, 10))
    np.testing.assert_allclose(np.sort(result.samples.numpy()[:, 0]), expected, atol=1e-8, rtol=0)
    w1 = np.abs(expected - (np.arange(1001) + 0.5) / 1001).mean()
    assert result.metrics["w1"] == pytest.approx(w1, rel=1e-6)
    assert result.metrics["nfe"] == 19


def test_quantiles_leave_nothing_to_chance(workdir: Path) -> None:
    job = (*EXACT, QUANTILES, "sampler.num_steps=6", "evaluation.num_samples=200")
    one, other = (tiny_runs.run(*job, f"seed={seed}") for seed in (0, 9))
    assert torch.equal(one.samples, other.samples)
    assert one.metrics["w1"] == other.metrics["w1"]
    random = [tiny_runs.run(*job[:2], *job[3:], f"seed={seed}") for seed in (0, 9)]
    assert not torch.equal(random[0].samples, random[1].samples)


def test_quantiles_are_the_same_in_many_batches(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two batches at their usual size.
    job = (*EXACT, QUANTILES, "sampler.num_steps=3", *FAR)
    many = tiny_runs.run(*job, "evaluation.num_samples=25000")
    assert sample.batch_rows((1,)) < 25_000
    z, found = ndtri((np.arange(25_000) + 0.5) / 25_000), np.sort(many.samples.numpy()[:, 0])
    factor = (found - 300) @ z / (z @ z)
    np.testing.assert_allclose(found, 300 + factor * z, atol=1e-9, rtol=0)
    assert many.metrics["w1"] == pytest.approx(abs(factor - 7) * np.abs(z).mean(), rel=1e-6)
    few = tiny_runs.run(*job, "evaluation.num_samples=700")
    monkeypatch.setattr(sample, "batch_rows", lambda *_: 64)
    cut = tiny_runs.run(*job, "evaluation.num_samples=700")
    torch.testing.assert_close(cut.samples, few.samples, rtol=1e-12, atol=0)
    assert cut.metrics["w1"] == pytest.approx(few.metrics["w1"], rel=1e-9)


def test_a_trained_network_starts_at_quantiles_too(workdir: Path) -> None:
    result = tiny_runs.run(*FAR, QUANTILES, "sampler.num_steps=4", "evaluation.num_samples=300")
    assert next(result.model.denoiser.parameters()).dtype == torch.float32
    # One sample a quantile of the start: spread like it, if the map is increasing.
    points = result.samples.numpy()[:, 0]
    assert len(np.unique(points)) == 300
    assert read_json(result.path / "run.json")["training"] == "trained"


REFUSED: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("sampler=ancestral",), ("evaluation.noise=quantiles", "sampler=ancestral", "sampler=heun")),
    (
        ("evaluation.samplers=[heun,{ddim: {eta: 0.5}}]",),
        ("evaluation.noise=quantiles", "sampler=ddim(eta=0.5)"),
    ),
    (("data=ring8",), ("evaluation.noise=quantiles", "one dimension", "(2,)")),
    (("data=digits",), ("evaluation.noise=quantiles", "one dimension", "(1, 8, 8)")),
]


@pytest.mark.parametrize(("overrides", "says"), REFUSED)
def test_quantiles_are_refused_before_anything_is_done(
    workdir: Path, overrides: tuple[str, ...], says: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError) as error:
        tiny_runs.run(QUANTILES, *overrides)
    for part in says:
        assert part in str(error.value)
    assert list(workdir.iterdir()) == []


# The ideal denoiser ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formulation", "sampler"), [("ddpm", "ancestral"), ("smld", "annealed_langevin"),
                                 ("vp_sde", "euler_maruyama"), ("edm", "heun")]
)  # fmt: skip
def test_every_formulation_s_sampler_finds_the_data_with_it(
    workdir: Path, formulation: str, sampler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tiny_runs.run(
        *EXACT, *FAR, f"formulation={formulation}", "evaluation.num_samples=1000"
    )
    assert evaluations(result.path)[0]["sampler"] == sampler
    assert result.model.is_exact
    # 1,000 samples of the law itself: the mean by 0.22, W1 about 0.3; 1% of bias is 0.07.
    assert float(result.samples.mean()) == pytest.approx(300, abs=1.2)
    assert float(result.samples.std()) == pytest.approx(7, rel=0.12)
    assert result.metrics["w1"] < 1.3
    assert result.metrics["excess"] == 0
    assert result.metrics["loss"] == result.metrics["floor"]
    # Nothing is trained, and nothing kept that could be.
    assert {p.name for p in Path("outputs").iterdir()} == {"runs"}
    facts = read_json(result.path / "run.json")
    assert facts["training"] == "exact"
    assert facts["model"] is None
    assert facts["parameters"] == 0
    assert not (result.path / "metrics.jsonl").exists()
    assert "the ideal denoiser, nothing to train" in capsys.readouterr().out


def test_it_lands_on_the_training_digits(workdir: Path) -> None:
    result = tiny_runs.run(
        *EXACT, "data=digits", "data.held_out_share=0.9", "evaluation.num_samples=20",
        "sampler.num_steps=12",
    )  # fmt: skip
    assert result.metrics["nearest_neighbour_ratio"] < 1e-3
    training = result.model.data.training_points()
    assert training is not None
    distance = torch.cdist(result.samples.flatten(1), training.flatten(1)).min(1).values
    assert float(distance.max()) < 1e-3
    assert len(torch.unique(result.samples, dim=0)) > 10


@pytest.mark.parametrize(
    "overrides",
    [
        ("grid.sigma_max=79", "grid.sigma_min=0.1"),
        ("sde=rectified",),
        ("sde=vp_cosine", "grid=uniform_time"),
        ("sde.sigma_max=1000", "sde.sigma_min=1e-5"),
        ("formulation=ddpm", "+sde@sampler.sde=edm", "grid=edm_rho", "sampler=heun"),
        ("formulation=smld", "sde=vp_linear", "grid=geometric", "sampler=ddim"),
    ],
)
def test_no_noise_level_is_untrained_for_it(
    workdir: Path, overrides: tuple[str, ...], recwarn: pytest.WarningsRecorder
) -> None:
    own = () if any(o.startswith("sampler=") for o in overrides) else ("sampler=heun",)
    job = (*EXACT, *FAR, *overrides, *own, "sampler.num_steps=20", QUANTILES)
    result = tiny_runs.run(*job)
    assert result.metrics["w1"] < 1
    assert result.model.usual_range == (0.0, math.inf)
    assert not [w for w in recwarn if "trained" in str(w.message) or "counts" in str(w.message)]
    # A network is held to what it has seen.
    if "formulation=ddpm" in overrides:
        network = tiny_runs.compose_experiment(*FAR, *overrides, "sampler.num_steps=20")
        nodes = network.plan.ways[0].nodes
        assert float(nodes[-2]) > float(result.model.nodes(*_own(*job))[-2])
    # At all sixteen levels, whatever was trained.
    assert all(tiny_runs.levels(result.path).trained)


def _own(*overrides: str) -> tuple[Any, Any, int]:
    from fokker.diffusion.grids import EDMRho

    sampler = tiny_runs.compose_experiment(*overrides).plan.ways[0].sampler
    return sampler, EDMRho(), sampler.num_steps


def test_the_denoiser_is_the_mean_of_x0_in_any_dtype_and_shape() -> None:
    """Of two points, tanh; of a noise level for each row, or one for all."""
    from fokker.distributions import Affine, Empirical

    points = torch.tensor([[3.0, 3.0], [7.0, 7.0]], dtype=torch.float64)
    denoiser = ExactDenoiser(Affine(Empirical(points), 5.0, 2.0))
    x = torch.tensor([[[0.2, 0.5]], [[-0.1, 0.9]], [[2.0, -2.0]]])
    sigma = torch.tensor([0.5, 1.0, 3.0])
    expected = torch.tanh(x.double().sum((1, 2)) / sigma.double() ** 2)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        found = denoiser(x.to(dtype), sigma)
        assert found.dtype == dtype
        assert found.shape == x.shape
        for column in (0, 1):
            torch.testing.assert_close(found[:, 0, column].double(), expected, atol=tolerance,
                                       rtol=0)  # fmt: skip
    one = denoiser(x.double(), torch.tensor(1.0))
    torch.testing.assert_close(one[:, 0, 0], torch.tanh(x.double().sum((1, 2))))
    assert denoiser.evaluations == 9
    assert not list(denoiser.parameters())


class Secret(FiniteData):
    """Data of the user's own that only give batches."""

    def load(self) -> Tensor:
        return torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()

    law = None

    def training_points(self) -> None:  # type: ignore[override]
        return None


def test_data_of_no_known_law_have_no_ideal_denoiser(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = Secret()
    assert secret.law is None
    assert secret.model_law is None
    with pytest.raises(ValueError, match=r"network=exact needs data whose law is known.*mlp"):
        Exact()(secret.model_law)
    # And from the command line, by a class of one's own.
    (workdir / "secret_data.py").write_text(
        "import torch\nfrom fokker.data import FiniteData\n\n\n"
        "class Secret(FiniteData):\n"
        "    def load(self):\n"
        "        return torch.randn(50, 2).double()\n\n"
        "    law = None\n\n"
        "    def training_points(self):\n"
        "        return None\n"
    )
    options = workdir / "options"
    (options / "data").mkdir(parents=True)
    (options / "data" / "secret.yaml").write_text(
        "_target_: secret_data.Secret\nstandardize: true\nsigma_data: null\ngaussianize: false\n"
    )
    monkeypatch.syspath_prepend(str(workdir))
    before = {p.name for p in workdir.iterdir()}
    job = ("data=secret", f"hydra.searchpath=[file://{options}]", "allow_targets=[secret_data]")
    for changes, says in (
        ((*EXACT,), "network=exact needs data whose law is known"),
        (("data.gaussianize=true",), "data.gaussianize=true needs data with training_points"),
    ):
        with pytest.raises(ValueError) as error:
            tiny_runs.run(*job, *changes)
        assert says in str(error.value)
    assert {p.name for p in workdir.iterdir()} - {"__pycache__"} == before


@pytest.mark.parametrize("key", ["checkpoint", "init_from"])
def test_weights_are_refused(workdir: Path, key: str) -> None:
    trained = tiny_runs.run("trainer.max_steps=1", "evaluation.num_samples=10")
    runs = sorted(Path("outputs").rglob("*"))
    with pytest.raises(ValueError) as error:
        tiny_runs.run(*EXACT, f"{key}={trained.path}")
    for part in (f"{key} must be null with network=exact", "no weights", str(trained.path)):
        assert part in str(error.value)
    assert sorted(Path("outputs").rglob("*")) == runs


def test_another_training_of_nothing_is_refused(workdir: Path) -> None:
    with pytest.raises(ValueError, match=r"retrain must be false with network=exact.*got true"):
        tiny_runs.run(*EXACT, "retrain=true")
    assert list(workdir.iterdir()) == []


def test_a_plan_says_that_nothing_is_trained(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="got plan"):
        tiny_runs.run(*EXACT, "task=plan", "evaluation.grids=[geometric]")
    said = capsys.readouterr().out
    assert "model    none" in said
    assert "exact: the ideal denoiser, nothing to train" in said
    assert "0 parameters" in said
    assert "grid geometric" in said
    assert list(workdir.iterdir()) == []


def test_a_run_with_it_is_loaded_from_its_folder(workdir: Path) -> None:
    result = tiny_runs.run(*EXACT, *FAR)
    model = fokker.load(result.path)
    assert model.is_exact
    x = torch.tensor([[-1.0], [0.3], [2.0]], dtype=torch.float64)
    found = model.denoiser(x, torch.tensor(0.5))
    torch.testing.assert_close(found, x / 2)
    assert model.data.shift == pytest.approx(300)
    with pytest.raises(ValueError):
        fokker.load("outputs")


def test_one_sampler_is_not_an_exact_run_s_other(workdir: Path) -> None:
    """Coupled in their starts: the same seed gives Heun's samples with any number of others."""
    alone = tiny_runs.run(*EXACT, "sampler.num_steps=4")
    others = tiny_runs.run(
        *EXACT, "sampler.num_steps=4", "evaluation.samplers=[ancestral,heun]",
        "evaluation.num_steps=[4,30]",
    )  # fmt: skip
    assert torch.equal(alone.samples, others.samples)


# Exact distances ---------------------------------------------------------------------------------


COLUMNS = ("w2", "w2_truncation", "w2_initialisation", "w2_discretisation")


def test_exact_w2_on_a_line_is_the_difference_of_two_deviations(workdir: Path) -> None:
    result = tiny_runs.run(
        *EXACT, *FAR, "sampler=ddim", "sampler.num_steps=5", "evaluation.num_steps=[5]",
        "evaluation.samplers=[ddim,ancestral]",
    )  # fmt: skip
    rows = {row["sampler"]: row for row in evaluations(result.path)}
    nodes = tiny_runs.compose_experiment(
        *EXACT, *FAR, "sampler=ddim", "sampler.num_steps=5"
    ).plan.ways[0].nodes.tolist()  # fmt: skip
    kept = [0.25 / (0.25 + s**2) for s in nodes]
    std = nodes[0]
    variance = nodes[0] ** 2
    for now, later, gain in zip(nodes, nodes[1:], kept, strict=False):
        std *= gain + later / now * (1 - gain)
        ratio = (later / now) ** 2
        variance = (gain + ratio * (1 - gain)) ** 2 * variance + later**2 * (1 - ratio)
    low = nodes[-2]
    truncated = 0.25 / math.hypot(0.5, low)
    flowed = truncated * nodes[0] / math.hypot(0.5, nodes[0])
    expected = [std - 0.5, truncated - 0.5, flowed - truncated, std - flowed]
    assert [float(rows["ddim"][name]) for name in COLUMNS] == pytest.approx(
        [14 * abs(value) for value in expected], abs=1e-9
    )
    assert float(rows["ancestral"]["w2"]) == pytest.approx(
        14 * abs(math.sqrt(variance) - 0.5), abs=1e-9
    )
    assert [result.metrics[name] for name in COLUMNS] == [
        float(rows["ddim"][name]) for name in COLUMNS
    ]


@pytest.mark.parametrize("overrides", [FAR, ("network=exact",), ("network=exact", "data=mixture")])
def test_there_is_no_exact_w2_for_networks_and_other_data(
    workdir: Path, overrides: tuple[str, ...]
) -> None:
    job = ("trainer.max_steps=1", "evaluation.num_samples=8", "evaluation.budget_points=0")
    result = tiny_runs.run(*job, *overrides)
    assert not [name for name in result.metrics if name.startswith("w2")]
    assert "w2" not in evaluations(result.path)[0]


def test_a_sampler_whose_law_is_not_known_has_an_empty_place(workdir: Path) -> None:
    batch = "{predictor_corrector: {norms: batch}}"
    result = tiny_runs.run(
        *EXACT, *FAR, "sampler.num_steps=4", f"evaluation.samplers=[heun,{batch}]"
    )
    first, second = evaluations(result.path)
    assert float(first["w2"]) > 0
    assert [second[name] for name in COLUMNS] == ["", "", "", ""]


# Grids and other runs --------------------------------------------------------------------------


def test_every_grid_and_sampler_has_a_row(workdir: Path) -> None:
    result = tiny_runs.run(
        *EXACT, QUANTILES, "sampler.num_steps=8", "evaluation.samplers=[heun,ode_adaptive]",
        "evaluation.grids=[geometric,edm_rho,{edm_rho: {rho: 3}}]", "evaluation.num_steps=[5,8]",
    )  # fmt: skip
    rows = [(r["sampler"], r["grid"], r["num_steps"]) for r in evaluations(result.path)]
    other = "edm_rho(rho=3)"
    assert rows[0] == ("heun", "edm_rho", "8")
    assert set(rows) == {
        ("heun", grid, steps) for grid in ("geometric", "edm_rho", other) for steps in ("5", "8")
    } | {("ode_adaptive", grid, "") for grid in ("geometric", "edm_rho", other)}
    assert len(rows) == len(set(rows)) == 9
    w1 = {
        (r["sampler"], r["grid"], r["num_steps"]): float(r["w1"]) for r in evaluations(result.path)
    }
    # rho = 3 is another grid, and an evaluation on a grid is that of a run of its own.
    assert len({w1["heun", grid, "5"] for grid in ("geometric", "edm_rho", other)}) == 3
    alone = tiny_runs.run(*EXACT, QUANTILES, "sampler.num_steps=5", "grid=geometric")
    assert alone.metrics["w1"] == w1["heun", "geometric", "5"]


def test_the_spectral_grid_is_that_of_each_sampler_and_errs_least(workdir: Path) -> None:
    result = tiny_runs.run(
        *EXACT, QUANTILES, "data=mixture", "sampler.num_steps=10", "grid=spectral",
        "evaluation.samplers=[heun,dpmpp_2m,ode_adaptive]", "evaluation.num_steps=[3,10]",
        "evaluation.grids=[spectral,edm_rho,{spectral: {sigma_min: 0.02, detail: 1}}]",
    )  # fmt: skip
    w1 = {
        (r["sampler"], r["grid"], r["num_steps"]): float(r["w1"]) for r in evaluations(result.path)
    }
    assert len(w1) == 15
    for sampler, steps in [("heun", "3"), ("heun", "10"), ("dpmpp_2m", "3"), ("dpmpp_2m", "10")]:
        assert w1[sampler, "spectral", steps] < 0.5 * w1[sampler, "edm_rho", steps]
    # Its steps are its own, whatever the grid between the same ends.
    assert w1["ode_adaptive", "spectral", ""] == w1["ode_adaptive", "edm_rho", ""]
    with pytest.raises(ValueError, match=r"sampler\.norms=batch is not known"):
        tiny_runs.run(*EXACT, "grid=spectral", "sampler=predictor_corrector", "sampler.norms=batch")


def test_other_runs_are_drawn_beside_this_one(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their losses at all levels, with no number where they were not trained."""
    short = ("trainer.max_steps=2", "evaluation.num_samples=10", "evaluation.budget_points=0")
    smld = tiny_runs.run(*short, "formulation=smld", "formulation.num_levels=10",
                         "sampler.num_steps=10")  # fmt: skip
    twin = tiny_runs.run(*short, "seed=4", "data.batch_size=32")
    ideal = tiny_runs.run(*short, "network=exact")
    experiment = tiny_runs.compose_experiment(
        *short, f"evaluation.beside=[{smld.path},{twin.path},{ideal.path}]"
    )
    assert experiment.plan.beside == {
        "smld": smld.path,
        f"edm, {twin.path.name}": twin.path,
        f"edm, {ideal.path.name}": ideal.path,
    }
    drawn: list[dict[str, Any]] = []
    module = sys.modules["fokker.experiment.run"]
    monkeypatch.setattr(module, "draw_figures", lambda _, curves, losses, *__: drawn.append(losses))
    own = fokker.run(
        [*tiny_runs.TINY, *short, f"evaluation.beside=[{smld.path},{twin.path},{ideal.path}]"]
    )
    (losses,) = drawn
    assert list(losses) == ["edm", *experiment.plan.beside]
    sigmas = np.geomspace(0.002, 80, 16)
    for name, run in [("edm", own), ("smld", smld), (f"edm, {ideal.path.name}", ideal)]:
        stored = tiny_runs.levels(run.path)
        assert stored.level == pytest.approx(sigmas, rel=1e-5)
        shown_by = losses[name].where_trained
        for kind in ("loss", "floor", "excess"):
            for sigma, shown, value in zip(sigmas, shown_by[kind], stored.columns[kind]):
                is_known = kind == "floor" or name != "smld" or 0.02 / 1.1 <= sigma <= 1.8 * 1.1
                assert math.isnan(shown) != is_known, (name, kind, sigma)
                assert math.isnan(shown) or shown == value


def test_runs_on_other_data_or_unfinished_ones_are_not(workdir: Path) -> None:
    short = ("trainer.max_steps=1", "evaluation.num_samples=5", "evaluation.budget_points=0")
    wide = tiny_runs.run(*short, "data.high=3")
    (wide.path / "run.json").write_text(
        json.dumps({**read_json(wide.path / "run.json"), "status": "completed"})
    )
    with pytest.raises(ValueError, match=r"evaluation\.beside must list runs on the same data"):
        tiny_runs.compose_experiment(f"evaluation.beside=[{wide.path}]")
    facts = read_json(wide.path / "run.json")
    (wide.path / "run.json").write_text(json.dumps({**facts, "status": "failed"}))
    with pytest.raises(ValueError, match=r"evaluation\.beside must list finished runs"):
        tiny_runs.compose_experiment("data.high=3", f"evaluation.beside=[{wide.path}]")


# The experiments -------------------------------------------------------------------------------


def test_the_experiment_of_all_exact_samplers(workdir: Path) -> None:
    result = tiny_runs.run("experiment=exact_samplers", "evaluation.num_steps=[5,20]")
    rows = evaluations(result.path)
    names = {row["sampler"] for row in rows}
    assert names == {
        "euler", "ddim", "heun", "heun(alpha=0.5)", "heun(alpha=0.667)", "dpmpp_2m", "dpmpp_3m",
        "ode_adaptive",
    }  # fmt: skip
    assert {row["grid"] for row in rows} == {
        "edm_rho", "geometric", "uniform_time", "quadratic_time", "iddpm",
    }  # fmt: skip
    w1 = {(r["sampler"], r["grid"], r["num_steps"]): float(r["w1"]) for r in rows}
    # DDIM and Euler are one method on EDM's SDE, and more steps are better.
    for grid in ("edm_rho", "geometric"):
        for steps in ("5", "20"):
            assert w1["ddim", grid, steps] == pytest.approx(w1["euler", grid, steps], rel=1e-6)
        for sampler in names - {"ode_adaptive"}:
            assert w1[sampler, grid, "20"] < w1[sampler, grid, "5"]
    # An adaptive solver's grid is its ends alone.
    assert w1["ode_adaptive", "edm_rho", ""] < 1e-3
    assert not (Path("outputs") / "models").exists()


def test_the_experiment_of_gaussian_errors(workdir: Path) -> None:
    result = tiny_runs.run(
        "experiment=gaussian_errors", "evaluation.num_steps=[5,20]", "data=two_moons",
        "evaluation.budget_points=0",
    )  # fmt: skip
    rows = evaluations(result.path)
    assert {row["sampler"] for row in rows} == {
        "euler", "heun", "dpmpp_2m", "dpmpp_3m", "ancestral", "euler_maruyama",
    }  # fmt: skip
    for row in rows:
        parts = [float(row[name]) for name in COLUMNS]
        # The distances of a path of laws: none is longer than the others together.
        assert parts[0] <= sum(parts[1:]) + 1e-9
        assert max(parts) <= sum(parts) - max(parts) + 1e-9
    w2 = {(row["sampler"], row["num_steps"]): float(row["w2_discretisation"]) for row in rows}
    for sampler in ("euler", "heun", "dpmpp_2m", "ancestral"):
        assert w2[sampler, "20"] < w2[sampler, "5"]


def test_the_density_beside_samples_is_that_of_the_law_in_the_data_s_units() -> None:
    data = tiny_runs.compose_experiment("data=gaussian", "data.mean=3", "data.std=7").model.data
    known = density_beside_samples(data)
    assert known is not None
    x, p = known
    exact = torch.exp(-((x - 3) ** 2) / 98) / (7 * math.sqrt(2 * math.pi))
    torch.testing.assert_close(p, exact, rtol=1e-4, atol=1e-9)
    assert density_beside_samples(tiny_runs.compose_experiment("data=ring8").model.data) is None
