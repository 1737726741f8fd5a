"""Samples are written before anything is measured, so that no failure loses them."""

import csv
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

import fokker
import tiny_runs
from fokker.diffusion.formulations import Diffusion, SamplerWay
from fokker.evaluations import evaluate
from fokker.experiment import Result
from fokker.formulation import Drawn
from fokker.machine.files import read_json

JOB = ("sampler.num_steps=3", "evaluation.num_steps=[2,4,5]", "data.low=5", "data.high=9")
RUN = sys.modules["fokker.experiment.run"]


def raise_planted(*_: Any, **__: Any) -> None:
    raise RuntimeError("planted")


def failing(owner: Any, name: str, call: int = 1) -> AbstractContextManager[Any]:
    """A function that fails from its n-th call on."""
    original: Callable[..., Any] = getattr(owner, name)
    calls: list[int] = []

    def sooner_or_later(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return (raise_planted if len(calls) >= call else original)(*arguments, **options)

    return mock.patch.object(owner, name, sooner_or_later)


def stored_samples(path: Path) -> np.ndarray:
    with np.load(path / "samples.npz") as content:
        samples: np.ndarray = content["samples"]
        return samples


def steps_of_rows(path: Path) -> list[int]:
    if not (path / "evaluations.csv").is_file():
        return []
    with (path / "evaluations.csv").open(newline="") as handle:
        return [int(row["num_steps"]) for row in csv.DictReader(handle)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs find one model."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def undisturbed(place: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        return tiny_runs.run(*JOB)


@pytest.fixture(autouse=True)
def _beside_the_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


PLANTED: dict[str, tuple[Callable[[], AbstractContextManager[Any]], list[int]]] = {
    "validation": (lambda: failing(RUN, "validate"), []),
    "reference": (lambda: failing(evaluate.SampleMetrics, "of"), []),
    "metric": (lambda: failing(evaluate.SampleMetrics, "__call__"), []),
    "metric of the third": (lambda: failing(evaluate.SampleMetrics, "__call__", 3), [3, 2]),
    "report": (lambda: failing(Diffusion, "reports"), [3, 2, 4, 5]),
    "figure": (lambda: failing(RUN, "draw_figures"), [3, 2, 4, 5]),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_fails_leaves_the_samples_and_the_rows_so_far(
    undisturbed: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    plant, rows = PLANTED[what]
    path = tmp_path / "disturbed"
    job = tiny_runs.tiny(*JOB, f"hydra.run.dir={path}")
    with plant(), pytest.raises(RuntimeError, match="planted"):
        fokker.run(job)
    assert np.array_equal(stored_samples(path), undisturbed.samples)
    assert steps_of_rows(path) == rows
    facts = read_json(path / "run.json")
    assert (facts["status"], facts["error"]) == ("failed", "RuntimeError: planted")
    assert facts["samples"] == "samples.npz"
    assert f"samples  {path}/samples.npz\n" in capsys.readouterr().out
    assert (path / "metrics.json").is_file() is (what == "figure")


def test_a_report_that_is_made_outlives_the_next_one(tmp_path: Path) -> None:
    """The error budget is there when the evaluation that was asked for fails."""
    chain = sys.modules["fokker.diffusion.evaluations.chain"].Chain
    with failing(chain, "__call__"), pytest.raises(RuntimeError, match="planted"):
        tiny_runs.run(*JOB, "evaluation=chain", f"hydra.run.dir={tmp_path}/mine")
    assert (tmp_path / "mine/error_budget.csv").is_file()
    assert (tmp_path / "mine/error_budget.npz").is_file()


def not_finite(steps: int, rows: int) -> AbstractContextManager[Any]:
    """Some of the samples that are drawn in so many steps are not finite."""
    original = SamplerWay.sample

    def broken(self: SamplerWay, *given: Any) -> Drawn:
        drawn = original(self, *given)
        if len(self.nodes) == steps + 1:
            drawn.x[:rows] = torch.tensor([torch.nan, torch.inf, -torch.inf])[:rows, None]
        return drawn

    return mock.patch.object(SamplerWay, "sample", broken)


def test_samples_that_are_not_finite_are_kept_and_then_refused(
    undisturbed: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine"
    sentence = "3 of 100 .* with sampler=heun, num_steps=3, grid=edm_rho; use more steps"
    with not_finite(3, rows=3), pytest.raises(ValueError, match=sentence):
        tiny_runs.run(*JOB, f"hydra.run.dir={path}")
    samples = stored_samples(path)
    assert np.isfinite(samples[:, 0]).tolist() == [False] * 3 + [True] * 97
    assert np.array_equal(samples[3:], undisturbed.samples[3:])
    assert read_json(path / "run.json")["samples"] == "samples.npz"
    assert f"samples  {path}/samples.npz\n" in capsys.readouterr().out


def test_samples_of_another_sampling_that_are_not_finite_leave_the_rows_before(
    undisturbed: Result, tmp_path: Path
) -> None:
    path = tmp_path / "mine"
    sentence = "2 of 100 samples are not finite with sampler=heun, num_steps=4"
    with not_finite(4, rows=2), pytest.raises(ValueError, match=sentence):
        tiny_runs.run(*JOB, f"hydra.run.dir={path}")
    assert np.array_equal(stored_samples(path), undisturbed.samples)
    assert steps_of_rows(path) == [3, 2]


def test_samples_of_a_steps_map_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    sentence = "1 of 20 samples are not finite with sampler=heun, num_steps=7"
    job = (
        "evaluation=steps_map", "evaluation.steps_map.num_steps=[6,7]",
        "evaluation.steps_map.num_points=20", f"hydra.run.dir={tmp_path}/mine",
    )  # fmt: skip
    with not_finite(7, rows=1), pytest.raises(ValueError, match=sentence):
        tiny_runs.run(*JOB, *job)
    assert steps_of_rows(tmp_path / "mine") == [3, 2, 4, 5]


def test_a_failure_before_the_samples_names_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine"
    with failing(RUN, "draw"), pytest.raises(RuntimeError, match="planted"):
        tiny_runs.run(*JOB, f"hydra.run.dir={path}")
    assert "samples" not in read_json(path / "run.json")
    assert "samples  " not in capsys.readouterr().out
    assert not (path / "samples.npz").exists()
