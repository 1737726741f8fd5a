"""Whole runs on columns of different size: samples and likelihoods in the units of the file."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import fokker
import tiny_runs
from fokker.machine.files import read_json

STDS, MEANS = np.array([0.01, 10.0, 20_000.0]), np.array([5.0, -300.0, 1e6])
MIXED = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.3, 0.8]])
JOB = ("data=points", "data.path=points.npy", "evaluation.budget_points=0")
pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture(autouse=True)
def points(workdir: Path) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(400, 3)) @ MIXED.T
    np.save("points.npy", MEANS + STDS * noise)
    return MEANS + STDS * noise


@pytest.mark.long
def test_a_model_of_columns_of_every_size_has_samples_of_the_same_sizes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = tiny_runs.run(
        *JOB, "network.width=32", "trainer.max_steps=400", "optimizer.lr=5e-3",
        "evaluation.num_samples=1000",
    )  # fmt: skip
    said = capsys.readouterr().out
    start = "data     points of shape (3,), standardize=elements (columns of standard deviations"
    assert start in said
    assert "far off" not in said
    samples = np.load(result.path / "samples.npz")["samples"]
    assert np.array_equal(samples, result.samples)
    np.testing.assert_allclose(samples.std(0) / STDS, [1, 1, 0.99], atol=0.25)
    np.testing.assert_allclose((samples.mean(0) - MEANS) / STDS, 0, atol=0.25)
    found = np.corrcoef(samples.T)
    np.testing.assert_allclose(found[0, 1:], [0.8, -0.5], atol=0.25)
    assert read_json(result.path / "run.json")["units"] == "standard units"
    # A loaded model gives them too.
    model = fokker.load(result.path)
    with torch.no_grad():
        x = model.data.from_file(torch.from_numpy(samples[:50]))
        clean = model.denoiser(model.data.to_model(x), torch.tensor(0.01))
    back = model.data.to_file(model.data.to_data(clean)).numpy()
    np.testing.assert_allclose((back - samples[:50]) / STDS, 0, atol=0.1)


def test_likelihoods_are_those_of_the_file_s_units(points: np.ndarray) -> None:
    """The Gaussian in the points' place: everything is known in closed form."""
    result = tiny_runs.run(
        *JOB, "data.gaussianize=true", "network=exact", "evaluation=likelihood",
        "evaluation.likelihood.num_points=60", "evaluation.likelihood.draws=400",
    )  # fmt: skip
    training = tiny_runs.compose_experiment(*JOB).model.data
    known = training.to_file(training.training_points()).numpy()
    with np.load(result.path / "likelihood.npz") as stored:
        x, nll = stored["points"], stored["nll"]
    # Noise of sigma_min in the model's units is this in each column.
    noise = 0.002 * 2 * known.std(0)
    covariance = np.cov(known.T, bias=True) + np.diag(noise**2)
    # Far from 0 and of condition 1e12, so in units of its own.
    unit = known.std(0)
    law = scipy.stats.multivariate_normal(np.zeros(3), covariance / np.outer(unit, unit))
    expected = -law.logpdf((x - known.mean(0)) / unit) + np.log(unit).sum()
    np.testing.assert_allclose(nll, expected, atol=2e-3)
    metrics = result.metrics
    assert metrics["likelihood_nll"] == pytest.approx(expected.mean(), abs=2e-3)
    assert metrics["likelihood_exact_nll"] == pytest.approx(expected.mean(), rel=1e-6)
    bound = metrics["likelihood_negative_elbo"], metrics["likelihood_negative_elbo_standard_error"]
    assert bound[0] == pytest.approx(expected.mean(), abs=5 * bound[1])


def test_bits_and_the_noise_of_a_level_are_those_of_the_file() -> None:
    """Whole numbers from 0 to 99 in one column and to 9 in the other."""
    noise = np.random.default_rng(0).random(size=(300, 2))
    np.save("points.npy", np.floor(noise * [100, 10]))
    result = tiny_runs.run(
        *JOB, "data.levels=100", "data.value_range=100", "trainer.max_steps=5",
        "evaluation=likelihood", "evaluation.likelihood.num_points=60",
    )  # fmt: skip
    assert result.model.data.standardize == "elements"
    metrics = result.metrics
    bits = metrics["likelihood_nll"] / (2 * np.log(2))
    assert metrics["likelihood_bits_per_dim"] == pytest.approx(bits, rel=1e-9)
    with np.load(result.path / "likelihood.npz") as stored:
        x = stored["points"]
    off = x - result.model.data.to_file(result.model.data.held_out(60).x).numpy()
    assert np.abs(off).max() <= 0.5
    np.testing.assert_allclose(off.std(0), 1 / np.sqrt(12), rtol=0.25)


# Comparing ------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_resolved_word_says_whether_data_are_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = (*JOB, "evaluation.num_samples=50")
    one = tiny_runs.run(*small, "data.standardize=all", "hydra.run.dir=one")
    tiny_runs.compose_experiment(*small, "data.standardize=all", "evaluation.beside=[one]")
    for bad, said in (("evaluation.beside=[one]", "other data"), ("checkpoint=one", "all there")):
        with pytest.raises(ValueError, match=said):
            tiny_runs.compose_experiment(*small, bad)
    new = tiny_runs.run(*small, "hydra.run.dir=new", "data.standardize=all", "sampler=euler")
    capsys.readouterr()
    assert paired(one.path, new.path)
    elements = tiny_runs.run(*small, "hydra.run.dir=elements")
    assert elements.model.data.standardize == "elements"
    assert not paired(one.path, elements.path)
    assert "they count in data units and in standard units" in capsys.readouterr().out
    # Of the same words, samples in the file's units are compared in standard ones.
    shutil.copytree(elements.path, "copy")
    assert paired(elements.path, Path("copy"))


def paired(a: Path, b: Path) -> bool:
    from fokker.cli.tasks import carry_out

    said: list[str] = []
    carry_out("compare", ["task=compare", str(a), str(b)], said.append)
    print(said[0])
    return "\npaired: the same data" in said[0]


@pytest.mark.long
def test_the_same_points_in_another_file_are_the_same_data(points: np.ndarray) -> None:
    old = tiny_runs.run(*JOB, "hydra.run.dir=old")
    np.savetxt("points.csv", points, "%.17g", ",", header="a,b,c", comments="")
    here = tuple(word.replace("points.npy", "points.csv") for word in JOB)
    made = tiny_runs.compose_experiment(*here, "evaluation.beside=[old]")
    assert list(made.plan.beside.values()) == [Path("old")]
    with pytest.raises(ValueError, match=r"has other data \(data\.standardize\)"):
        tiny_runs.compose_experiment(*here, "data.standardize=all", "evaluation.beside=[old]")
    new = tiny_runs.run(*here, "hydra.run.dir=new", "sampler=euler")
    assert old.path != new.path
    assert paired(old.path, new.path)


@pytest.mark.long
def test_jobs_in_different_units_are_said_not_to_compare(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from fokker.sweeps.outcome import Outcome

    folders = {"a": "all", "b": "elements", "c": "true"}
    for name, word in folders.items():
        tiny_runs.run(*JOB, f"hydra.run.dir={name}", f"data.standardize={word}", "network=exact")
    rows: Any = [{"status": "completed", "folder": name} for name in folders]
    assert Outcome(Path(), rows, []).mixed_units == (
        "distances do not compare across jobs: they count in data units in 1 job, standard units "
        "in 2 jobs"
    )
    assert Outcome(Path(), rows[1:], []).mixed_units == ""
