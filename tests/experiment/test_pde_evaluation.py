"""`evaluation=pde`: the equations hold for an ideal denoiser, and by how much not for others."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fokker
import tiny_runs
from fokker.experiment import Experiment
from fokker.formulation import Report
from fokker.randomness import Randomness

EXACT = ("network=exact", "sampler.prior=matched")
POINTS = 2000
# Standardised data have this standard deviation.
STD = 0.5
W1_OF_STDS = math.sqrt(2 / math.pi)  # W1 of N(0, a^2) and N(0, b^2) is this times |a - b|.
COLUMNS = [
    "sigma", "t", "residual", "forward", "backward", "forward_pde", "backward_pde",
    "sampling_noise",
]  # fmt: skip


class Linear(nn.Module):
    """D = share x, with no regard to the noise."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share, self.evaluations = share, 0

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.share * x


def composed(*overrides: str) -> Experiment:
    points = f"evaluation.pde.num_points={POINTS}"
    return tiny_runs.compose_experiment("evaluation=pde", points, *overrides)


def evaluated(made: Experiment) -> Report:
    return made.plan.evaluations["pde"](made.model, made.plan.ways[0], Randomness(made.plan.seed))


def pde(*overrides: str) -> Report:
    """The report on a model as it is built, with nothing trained."""
    return evaluated(composed(*overrides))


def column(report: Report, name: str) -> Any:
    return np.array([row[name] for row in report.rows])


# The ideal denoiser ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["uniform", "mixture", "gaussian"])
def test_the_ideal_denoiser_obeys_the_equations(data: str) -> None:
    report = pde(f"data={data}", *EXACT, "sampler.num_steps=60")
    assert [list(row) for row in report.rows] == [COLUMNS] * 8
    sigma, sampling_noise = column(report, "sigma"), column(report, "sampling_noise")
    assert (np.diff(sigma) > 0).all()
    assert sigma[[0, -1]] == pytest.approx([0.002, 80])
    assert np.array_equal(sigma, column(report, "t"))  # Of the EDM SDE.
    assert column(report, "residual").max() < 1e-6
    for name in ("forward_pde", "backward_pde"):
        solved = column(report, name)
        assert np.isnan(solved[sigma < 0.02]).all()
        assert not np.isnan(solved[sigma > 0.04]).any()
        assert np.nanmax(solved) < 2e-4
    assert column(report, "forward")[0] < 1e-9
    assert (column(report, "forward") < 3 * sampling_noise).all()
    # From quantiles, without sampling noise: what is left is of 60 steps and falls with more.
    backward = column(report, "backward")
    assert backward.max() < 0.01
    assert backward[-1] < 1e-5
    # W1 / std of as many exact Gaussian points, as at high noise: 1.28 over the root of n.
    assert sampling_noise[-1] == pytest.approx(1.28 / POINTS**0.5, rel=0.01)


def test_more_steps_lead_closer_to_the_data() -> None:
    """Second order, of a deterministic sampler that starts at quantiles."""
    errors = []
    for steps in (20, 40, 80):
        keys = (f"sampler.num_steps={steps}", "evaluation.pde.num_levels=2")
        errors.append(column(pde("data=gaussian", *EXACT, *keys), "backward")[0])
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_the_priors_error_in_closed_form() -> None:
    """Published starts lack the data's variance; the ideal flow keeps the ratio of stds."""
    report = pde("data=gaussian", "network=exact", "grid.sigma_max=3", "sampler.num_steps=200")
    ratio = 3 / math.hypot(3, STD)
    found = column(report, "backward")
    assert found == pytest.approx(np.full(8, W1_OF_STDS * (1 - ratio)), rel=0.02)
    assert column(report, "backward_pde")[-1] == pytest.approx(found[-1], rel=0.01)
    # The reverse SDE forgets its start.
    assert np.nanmin(column(report, "backward_pde")) < found[-1] / 5


@pytest.mark.parametrize("sampler", ["euler_maruyama", "reverse_diffusion"])
def test_a_stochastic_sampler_is_within_chance(sampler: str) -> None:
    report = pde(
        "data=uniform", "network=exact", f"sampler={sampler}", "sampler.num_steps=300",
        "grid=geometric", "grid.sigma_min=0.02", "grid.sigma_max=20",
    )  # fmt: skip
    ratio = column(report, "backward") / column(report, "sampling_noise")
    assert (ratio < 3).all()
    assert (ratio > 0.2).all()  # It draws its starts.
    assert ratio.mean() == pytest.approx(1, abs=0.7)


def test_any_sde_has_its_own_time_and_the_same_levels() -> None:
    report = pde(
        "data=mixture", *EXACT, "formulation=vp_sde", "sampler=dpmpp_2m", "sampler.num_steps=50",
        "grid=geometric",
    )  # fmt: skip
    sigma, t = column(report, "sigma"), column(report, "t")
    log_term = np.log1p(sigma**2)  # 0.1 t + 19.9 t^2 / 2 of the linear VP SDE.
    assert 0.1 * t + 19.9 / 2 * t**2 == pytest.approx(log_term, rel=1e-9)
    assert (column(report, "forward") < 3 * column(report, "sampling_noise")).all()
    assert column(report, "backward").max() < 0.02
    assert np.nanmax(column(report, "backward_pde")) < 2e-4


@pytest.mark.parametrize("standardize", ["true", "false"])
def test_data_in_another_unit(standardize: str) -> None:
    """Standardised they are the same data; else the columns without sampling noise still vanish."""
    far = ("data=gaussian", "data.mean=300", "data.std=7", f"data.standardize={standardize}")
    report = pde(*far, *EXACT)
    assert np.nanmax(column(report, "forward_pde")) < 2e-4
    assert np.nanmax(column(report, "backward_pde")) < 2e-4
    if standardize == "true":
        here = pde("data=gaussian", *EXACT)
        for name in COLUMNS:
            expected = column(here, name)
            assert column(report, name) == pytest.approx(
                expected, rel=1e-5, abs=1e-9, nan_ok=True
            )


# Other denoisers ------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.25, -0.5])
def test_a_linear_denoiser_in_closed_form(share: float) -> None:
    """D = c x: the residual is 2 c (1 - c) x / sigma, and x has the variance v + sigma^2.

    Backwards it is y ~ sigma^(1 - c) along the ODE, and along the SDE
    V = sigma^2/(1 - 2c) + (...) sigma^(4 (1 - c)).
    """
    made = composed("data=gaussian", "sampler.num_steps=300", "grid=geometric")
    made.model.denoiser = Linear(share)  # type: ignore[assignment]
    report = evaluated(made)
    sigma = column(report, "sigma")
    exact = np.hypot(sigma, STD)
    assert column(report, "residual") == pytest.approx(
        2 * abs(share) * (1 - share) * exact / sigma, rel=0.01
    )
    ode = 80 * (sigma / 80) ** (1 - share)
    assert column(report, "backward") == pytest.approx(
        W1_OF_STDS * np.abs(ode - exact) / exact, rel=0.01, abs=2e-3
    )
    part = 1 / (1 - 2 * share)
    sde = np.sqrt(part * sigma**2 + (1 - part) * 80**2 * (sigma / 80) ** (4 * (1 - share)))
    expected = W1_OF_STDS * np.abs(sde - exact) / exact
    solved = column(report, "backward_pde")
    seen = ~np.isnan(solved)
    assert seen.sum() >= 4
    assert solved[seen] == pytest.approx(expected[seen], rel=0.01, abs=3e-3)
    # The way forward knows no denoiser.
    assert np.nanmax(column(report, "forward_pde")) < 2e-4
    assert (column(report, "forward") < 3 * column(report, "sampling_noise")).all()


def test_the_sde_of_a_linear_denoiser_is_what_its_samples_follow() -> None:
    made = composed(
        "data=gaussian", "sampler=euler_maruyama", "sampler.num_steps=600", "grid=geometric",
        "grid.sigma_min=0.05", "grid.sigma_max=20",
    )  # fmt: skip
    made.model.denoiser = Linear(0.25)  # type: ignore[assignment]
    report = evaluated(made)
    away = np.abs(column(report, "backward") - column(report, "backward_pde"))
    assert (away < 3 * column(report, "sampling_noise")).all()
    assert column(report, "backward_pde").max() > 0.5


def test_an_untrained_network_breaks_the_equation() -> None:
    """With random weights in its last layer, which is 0 before the training: then D = c_skip x,
    the ideal denoiser of a Gaussian, obeys it, whatever the data are."""
    made = composed("data=uniform", "sampler.num_steps=60")
    first = evaluated(made)
    assert column(first, "residual").max() < 1e-5
    assert np.nanmax(column(first, "backward_pde")) > 0.02
    torch.manual_seed(3)
    nn.init.normal_(made.model.denoiser.network.last.weight, std=0.5)  # type: ignore
    state = {k: w.clone() for k, w in made.model.denoiser.state_dict().items()}
    report = evaluated(made)
    assert column(report, "residual").max() > 0.05
    assert np.nanmax(column(report, "backward_pde")) > 0.05
    # The model itself is left as it was, float32.
    after = made.model.denoiser.state_dict()
    assert {w.dtype for w in after.values()} == {torch.float32}
    assert all(torch.equal(after[k], w) for k, w in state.items())


# The table ------------------------------------------------------------------------------------


def test_levels_are_spread_over_the_grid() -> None:
    made = composed("data=uniform", *EXACT, "evaluation.pde.num_levels=4", "sampler.num_steps=10")
    nodes = made.plan.ways[0].nodes
    report = evaluated(made)
    expected = [float(nodes[i]) for i in (9, 6, 3, 0)]
    assert column(report, "sigma").tolist() == expected
    assert report.metrics == {}  # Its numbers are of one level each.
    pdes = ("forward_pde", "backward_pde")
    gaps = [math.isnan(row[name]) for row in report.rows for name in pdes]
    assert gaps == [True] * 2 + [False] * 6  # The lowest level is too fine for the cells.
    # No more levels than nodes.
    few = pde("data=uniform", *EXACT, "evaluation.pde.num_levels=50", "sampler.num_steps=5")
    nodes = composed("data=uniform", *EXACT, "sampler.num_steps=5").plan.ways[0].nodes
    assert column(few, "sigma").tolist() == nodes[:-1].flip(0).tolist()


def test_the_adaptive_sampler_has_its_two_ends() -> None:
    report = pde("data=uniform", *EXACT, "sampler=ode_adaptive", "sampler.prior=matched")
    assert column(report, "sigma") == pytest.approx([0.002, 80])
    assert column(report, "backward").max() < 1e-3


def test_more_points_have_less_chance() -> None:
    few = pde("data=uniform", *EXACT, "evaluation.pde.num_points=500")
    many = pde("data=uniform", *EXACT, "evaluation.pde.num_points=4500")
    third = column(few, "sampling_noise") / 3
    assert column(many, "sampling_noise") == pytest.approx(third, rel=1e-9)
    assert many.title.startswith("marginals by 4500 points")
    assert column(many, "residual") == pytest.approx(column(few, "residual"), abs=1e-12)


# The record -----------------------------------------------------------------------------------


def test_both_evaluations_and_the_figure(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one run here that draws its figures."""
    result = fokker.run(
        tiny_runs.tiny(
            "evaluation=[likelihood,pde]", "evaluation.pde.num_points=300",
            "evaluation.likelihood.num_points=20", "evaluation.num_samples=40",
        )
    )  # fmt: skip
    assert (result.path / "figures/pde.png").read_bytes()[:4] == b"\x89PNG"
    assert (result.path / "figures/pde.pdf").read_bytes()[:4] == b"%PDF"
    with (result.path / "pde.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 8
    assert not (result.path / "pde.npz").exists()
    assert (result.path / "likelihood.csv").exists()
    metrics = json.loads((result.path / "metrics.json").read_text())
    for row in rows:
        assert float(row["residual"]) >= 0
        assert float(row["backward"]) > 0
    assert math.isfinite(metrics["likelihood_nll"])
    printed = capsys.readouterr().out
    assert "marginals by 300 points" in printed
    assert "likelihood of 20 held-out points" in printed
    assert "figures/pde.png" in printed


REFUSED = [
    (("data=ring8",), "evaluation=pde needs data of a known law in one dimension"),
    (("data=digits",), "got samples of shape (1, 8, 8), a finite set; choose data=uniform"),
    (("data.num_points=30",), "evaluation=pde needs data of a known law in one dimension"),
    (("sampler.num_steps=1",), "evaluation=pde needs a grid of at least 2 steps, got 1"),
    (("evaluation.pde.num_points=1",), "evaluation.pde.num_points must be at least 2, got 1"),
    (("evaluation.pde.num_levels=1",), "evaluation.pde.num_levels must be at least 2, got 1"),
    (("evaluation.pde.num_levels=2.5",), "evaluation.pde.num_levels must be a whole number"),
]


@pytest.mark.parametrize(("overrides", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(
    workdir: Path, overrides: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ValueError) as caught:
        tiny_runs.run("evaluation=pde", *overrides)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(workdir.iterdir()) == []


def test_a_finite_set_is_refused_although_its_law_is_known(workdir: Path) -> None:
    np.save("points.npy", np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match="evaluation=pde needs data of a known law"):
        tiny_runs.run("evaluation=pde", "data=points", "data.path=points.npy")
    assert [path.name for path in workdir.iterdir()] == ["points.npy"]
