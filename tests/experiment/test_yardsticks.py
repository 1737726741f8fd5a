"""Beside each distance stands what as many points of the data would have."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

import tiny_runs
from fokker.data import StandardizedData
from fokker.evaluations.evaluate import SampleMetrics
from fokker.experiment.compare import compare, comparison_text
from fokker.metrics import W1, Energy, EnergyDistance, Memorisation, SlicedW2, SlicedWasserstein2
from fokker.sweeps.collection import metrics_of


def data_of(*overrides: str) -> StandardizedData:
    return tiny_runs.compose_experiment(*overrides).model.data


def measured(data: StandardizedData, count: int) -> SampleMetrics:
    """The metrics of fokker's that fit the data."""
    options = {"w1": W1(), "sliced_w2": SlicedW2(), "energy_distance": Energy()}
    if data.training_points() is not None:
        options |= {"nearest_neighbour_ratio": Memorisation()}
    if data.shape != (1,):
        del options["w1"]
    return SampleMetrics.of(options, data, count)


def yardsticks(data: StandardizedData, count: int) -> dict[str, float]:
    return measured(data, count).of_data(data, count)


def test_w1_of_fresh_points_is_what_theory_says() -> None:
    """`E W1 = sqrt(2/(pi n)) int sqrt(F (1 - F))`: on U[0, 1] the integral is pi/8."""
    data, counts = data_of(), range(4000, 4200, 5)
    found = [yardsticks(data, count)["w1_data"] for count in counts]
    expected = math.sqrt(2 / (math.pi * 4100)) * math.pi / 8
    # One draw has half of it as its spread; these share their first points.
    assert 0.4 * expected < float(np.mean(found)) < 2 * expected
    assert yardsticks(data, 100)["w1_data"] > 2 * float(np.mean(found))


def test_a_finite_set_is_held_against_its_held_out_points(tmp_path: Path) -> None:
    x = np.random.default_rng(3).normal(4.0, 2.5, size=(400, 3))
    np.save(tmp_path / "x.npy", x)
    data = data_of("data=points", f"data.path={tmp_path / 'x.npy'}")
    training, held_out = data.training_points(), data.held_out(400).x
    assert training is not None
    assert (len(training), len(held_out)) == (320, 80)
    found = yardsticks(data, 1000)
    # Not the ratio of distances to neighbours, which is 0 for training points.
    assert found.keys() == {"sliced_w2_data", "energy_distance_data"}
    for metric in (SlicedWasserstein2(held_out), EnergyDistance(held_out)):
        metric.update(training)
        assert found[f"{metric.name}_data"] == pytest.approx(float(metric.compute()), rel=1e-9)
    # As many as there are samples.
    fewer = yardsticks(data, 30)
    assert fewer["energy_distance_data"] > 1.2 * found["energy_distance_data"]


def test_on_a_line_of_few_points_by_scipy(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(5).gamma(2.0, size=(60, 1)))
    data = data_of("data=points", f"data.path={tmp_path / 'x.npy'}")
    training, held_out = data.training_points(), data.held_out(60).x
    assert training is not None
    found = yardsticks(data, 48)
    one, other = training.flatten().numpy(), held_out.flatten().numpy()
    assert found["w1_data"] == pytest.approx(scipy.stats.wasserstein_distance(one, other))
    assert found["energy_distance_data"] == pytest.approx(scipy.stats.energy_distance(one, other))


def test_data_of_which_only_held_out_points_are_known_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = data_of()
    monkeypatch.setattr(data, "fresh_points", lambda *_: None)
    assert yardsticks(data, 100) == {}


def test_in_a_run(workdir: object, capsys: pytest.CaptureFixture[str]) -> None:
    job = ("data=ring8", "network=exact", "evaluation.budget_points=0")
    one = tiny_runs.run(*job, "sampler.num_steps=3", "evaluation.num_steps=[4]")
    printed = capsys.readouterr().out
    other = tiny_runs.run(*job, "sampler=dpmpp_2m", "sampler.num_steps=5", "seed=7")
    names = {name for name in one.metrics if name.endswith("_data")}
    assert names == {"sliced_w2_data", "energy_distance_data"}
    for name in names:
        assert one.metrics[name] == other.metrics[name] > 0
        shown = f"{name.removesuffix('_data')} +\\S+ \\+- \\S+ \\(data {one.metrics[name]:.4g}\\)"
        assert re.search(shown, printed)
    assert "_data" not in printed
    assert "_data" not in (one.path / "evaluations.csv").read_text()
    # It is no result of the run's.
    assert not names & metrics_of(dict(one.metrics), []).keys()
    text = comparison_text(compare(one.path, other.path, lambda _: (one.model.data, {})))
    assert "_data" not in text


def test_points_of_a_law_are_none_of_its_reference() -> None:
    data = data_of("data=ring8")
    distance = measured(data, 500)
    reference = data.reference(500)
    metric = distance.metrics["sliced_w2"]
    of_data = distance.of_data(data, 500)["sliced_w2_data"]
    assert metric(reference.flatten(1)) < 1e-9 < 0.02 < of_data
    assert torch.equal(reference, data.reference(500))
