"""Metrics and evaluations of one's own: by one class and one file they stand where fokker's do."""

import csv
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from fokker.cli.main import main
from fokker.config.metrics import build_metrics
from fokker.data import DataModule
from fokker.evaluations import Evaluation, Measure, Report
from fokker.evaluations.evaluate import PreparedMetric, SampleMetrics
from fokker.experiment import run as run_experiment
from fokker.experiment.metric_names import measures_of
from fokker.measures import measure_of
from fokker.metrics import W1, Prepared, SampleMetric
from fokker.metrics.blocks import groups_in_blocks
from pages import write_code
from tiny_runs import TINY, compose_experiment, run

OWN = "allow_targets=[own_modes,own_spread]"


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page."""
    write_code("extending.md", workdir)
    monkeypatch.syspath_prepend(str(workdir))
    return workdir


def command(monkeypatch: pytest.MonkeyPatch, *typed: str) -> int:
    """The exit code of a command."""
    monkeypatch.setattr("sys.argv", ["fokker", "--config-dir", "my_conf", *typed])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_one_s_own_metric_and_evaluation_stand_where_the_others_do(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = (*TINY, "data=ring8", OWN, "metrics=[default,misses]", "evaluation=spread")
    more = ("hydra.run.dir=here", "evaluation.num_samples=40", "evaluation.figures=false")
    assert command(monkeypatch, *typed, *more) == 0
    printed, path = capsys.readouterr().out, own / "here"
    metrics = json.loads((path / "metrics.json").read_text())
    with np.load(path / "samples.npz") as arrays:
        samples = torch.from_numpy(arrays["samples"])
    reference = compose_experiment("data=ring8").model.data.reference(40).flatten(1)
    nearest = torch.cdist(samples, reference).min(dim=1).values
    assert metrics["misses"] == pytest.approx(float((nearest > 0.1).double().mean()))
    assert 0 < metrics["misses_standard_error"] < 1
    assert re.search(r"  misses +\S+ \+- \S+ \(data ", printed)
    with (path / "evaluations.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["misses"]) == metrics["misses"]
    record = json.loads((path / "run.json").read_text())
    assert record["metrics"] == ["sliced_w2", "energy_distance", "misses"]
    assert record["measures"]["misses"]["words"] == "share of misses"
    # The evaluation declares its number.
    assert metrics["spread"] > 0
    assert record["measures"]["spread"]["best"] == "highest"
    assert "standard deviations\n" in printed


def test_a_sweep_is_judged_by_one_s_own_metric_in_its_direction(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [*(o for o in TINY if "network" not in o), "network=exact", "data=mixture", OWN]
    typed += ["evaluation=spread", "evaluation.figures=false", "-m", "sampler.num_steps=4,8"]
    assert command(monkeypatch, *typed, "objective=spread", "hydra.sweep.dir=swept") == 0
    printed = capsys.readouterr().out
    rows = list(csv.DictReader((own / "swept" / "results.csv").open()))
    best = max(rows, key=lambda row: float(row["spread"]))
    assert "spread is standard deviation of samples (data units), higher is better" in printed
    assert f"{best['num_steps']} steps has the highest standard deviation of samples" in printed
    # The first metric that is listed judges a sweep without an objective.
    assert command(monkeypatch, *typed, "metrics=[misses,w1]", "hydra.sweep.dir=other") == 0
    assert "misses is share of misses, lower is better" in capsys.readouterr().out


def test_a_search_goes_in_the_direction_of_the_metric(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [*(o for o in TINY if "network" not in o), "network=exact", "data=mixture", OWN]
    typed += ["evaluation=spread", "evaluation.figures=false", "objective=spread", "-m"]
    typed += ["hydra/sweeper=fokker_search", "hydra.sweeper.n_trials=4", "hydra.sweep.dir=found"]
    assert command(monkeypatch, *typed, "sampler.num_steps=choice(3,5,9)") == 0
    found = [float(row["spread"]) for row in csv.DictReader((own / "found/results.csv").open())]
    assert f"spread {max(found):.4g}\n" in capsys.readouterr().out.partition("best     trial")[2]
    # A search that is over says the same, though nothing is built again.
    assert command(monkeypatch, *typed, "sampler.num_steps=choice(3,5,9)") == 0
    assert f"spread {max(found):.4g}\n" in capsys.readouterr().out.partition("best     trial")[2]


# ---- what is refused before a training -------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("metrics=w1", "data=ring8"), "metrics=w1 does not fit data=ring8: it needs data in one"),
        (("metrics=nearest_neighbour_ratio",), "it needs a finite training set, got a law"),
        (("+metrics.nfe._target_=fokker.metrics.W1",), "metrics.nfe must have a name of its own"),
        (("+metrics.loss._target_=fokker.metrics.W1",), "metrics.loss must have a name of its own"),
        (("+metrics.a_data._target_=fokker.metrics.W1",), "metrics.a_data must have a name of its"),
        (("metrics=3",), "metrics=3 must name an option; choose one of default, energy_distance"),
        (("+metrics.x=3",), "metrics.x must be a node with a _target_, got 3"),
        (("+metrics.x._target_=torch.nn.Linear",), r"metrics.x._target_ must name"),
        (("+metrics.x._target_=fokker.metrics.SampleMetric",), r"metrics.x._target_ must name a"),
        (("metrics.w1.radius=2",), "metrics.w1.radius is not a key"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_metric_that_cannot_be_is_refused_first(
    workdir: Path, typed: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        run(*typed)
    assert not list(workdir.iterdir())


class Own(SampleMetric):
    """A metric that does what it is told."""

    label = "own"

    def __init__(self, compute: Callable[[], Prepared], **changes: Any) -> None:
        self._make = compute
        for name, value in changes.items():
            setattr(self, name, value)

    def prepared(self, data: DataModule, num_samples: int) -> Prepared:
        return self._make()


def broken(samples: Tensor) -> float:
    raise RuntimeError("no such file")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (Own(lambda: broken), "metrics.own cannot be computed: RuntimeError: no such file"),
        (Own(lambda: lambda x: x), "metrics.own must give one number, got Tensor"),
        (Own(lambda: lambda x: "good"), "metrics.own must give one number, got str"),
        (Own(lambda: 3), "Own.prepared must return a function of samples or a torchmetrics"),
        (Own(lambda: broken(torch.ones(1))), "metrics.own cannot be prepared: RuntimeError: no"),
        (Own(lambda: lambda x: 1.0, best="least"), "Own.best of metrics.own must be one of low"),
        (Own(lambda: lambda x: 1.0, label=None), "Own.label of metrics.own must be the words for"),
        # It works for all points and not for a quarter of them.
        (Own(lambda: lambda x: float(x[40, 0])), "metrics.own cannot be computed: IndexError"),
    ],
)  # fmt: skip
def test_one_s_own_metric_is_tried_before_a_training(metric: Own, sentence: str) -> None:
    made = compose_experiment()
    config: Any = SimpleNamespace(metrics={"own": {}})
    build: Any = lambda *_: metric  # noqa: E731
    with pytest.raises(ValueError, match=re.escape(sentence)):
        build_metrics(config, made.model.data, "uniform", (), build)


def test_a_metric_without_errors_is_not_asked_for_parts() -> None:
    made, calls = compose_experiment(), list[int]()
    metric = Own(lambda: lambda x: float(calls.append(len(x)) or 1), has_error=False)
    points = made.model.data.reference(100)
    measured = SampleMetrics.of({"own": metric}, made.model.data, 100)
    assert measured(points) == {"own": 1.0}
    assert measured.on_parts(points) == {}
    assert calls == [100]


# ---- values ----------------------------------------------------------------------------------


class Mean(MeanMetric):
    """A metric of torchmetrics that knows nothing of parts."""


def test_standard_errors_of_any_metric_are_those_of_fokker_s_own() -> None:
    """For a mean they are the textbook's, and W1 gives the same with and without `on_parts`."""
    made = compose_experiment("data=gaussian")
    data = made.model.data
    samples = 1.7 * data.fresh_points(345, torch.Generator().manual_seed(3)) + 2  # type: ignore[operator]
    metrics: dict[str, SampleMetric] = {
        "torch": Own(Mean), "plain": Own(lambda: lambda x: x.mean()), "w1": W1(),
    }  # fmt: skip
    found = SampleMetrics.of(metrics, data, 345)(samples)
    assert found["torch"] == pytest.approx(found["plain"], rel=1e-6)
    blocks = samples[:336].view(-1, 16).mean(dim=0)
    textbook = float(blocks.std(correction=1)) / 4 * (336 / 345) ** 0.5
    assert found["plain_standard_error"] == pytest.approx(textbook, rel=1e-6)
    assert found["torch_standard_error"] == pytest.approx(textbook, rel=1e-4)
    of_w1 = W1().prepared(data, 345)

    def slowly(x: Tensor) -> Tensor:
        of_w1.reset()
        of_w1.update(x)
        return of_w1.compute()

    slow = PreparedMetric("w1", Own(lambda: slowly), slowly)
    error = slow.on_parts(groups_in_blocks(samples, 1)).standard_error()
    assert error == pytest.approx(found["w1_standard_error"], rel=1e-9)


def test_images_reach_one_s_own_metric_in_their_shape(workdir: Path) -> None:
    """And the distances of fokker's as vectors."""
    np.save("points.npy", np.random.default_rng(0).normal(3, 2, (60, 3, 4, 4)))
    made = compose_experiment("data=points", "data.path=points.npy", "data.layout=image")
    shapes = []
    metric = Own(lambda: lambda x: float(shapes.append(x.shape) or 0), has_error=False)
    of = {**made.plan.metrics, "own": metric}
    measured = SampleMetrics.of(of, made.model.data, 12)(made.model.data.held_out(12).x + 1)
    assert shapes == [(12, 3, 4, 4)]
    assert measured["sliced_w2"] > 0


# ---- what is declared -----------------------------------------------------------------------


class Declaring(Evaluation):
    """An evaluation that gives other numbers than it declares."""

    def measures(self, model: Any, way: Any) -> dict[str, Measure]:
        return {"said": Measure("said"), "both": Measure("both")}

    def __call__(self, model: Any, way: Any, randomness: Any) -> Report:
        numbers = {"given": 1.0, "both": 2.0, "both_standard_error": 0.5}
        return Report("numbers", "numbers", [{"of": "x"}], metrics=numbers)


def test_an_evaluation_that_declares_other_numbers_than_it_gives_is_warned_of(
    workdir: Path,
) -> None:
    made = compose_experiment()
    object.__setattr__(made.plan, "evaluations", {"own": Declaring()})
    assert {"said", "both"} <= measures_of(made).keys()
    object.__setattr__(made.plan, "figures", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_experiment(made, Path("here"), lambda text: None)
    said = [text for warning in caught if "Declaring" in (text := str(warning.message))]
    assert len(said) == 2
    assert "got said, which the run has not" in said[0]
    assert "got given, which it does not say" in said[1]


@pytest.mark.parametrize("stored", [None, 3, {"words": 1}, {"words": "x", "best": "no"}, {"a": 1}])
def test_a_damaged_description_of_a_measure_is_left_out(stored: object) -> None:
    assert measure_of("some_number", said={"some_number": stored}) == Measure("some number")
