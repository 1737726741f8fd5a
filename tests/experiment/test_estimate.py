"""What `task=plan` says of speed and memory, and what a run records of them."""

import re
from pathlib import Path

import pytest
import torch

import fokker
import tiny_runs
from fokker.launch.job import plan
from fokker.machine.files import read_json
from fokker.training.estimate import estimate
from fokker.training.fit import _threads


@pytest.mark.long
def test_the_estimate_is_of_the_size_of_what_a_run_measures(workdir: Path) -> None:
    job = ("network.width=256", "network.depth=3", "data.batch_size=512")
    found = estimate(tiny_runs.compose_experiment(*job).task, ranks=1)
    facts = read_json(tiny_runs.run(*job).path / "run.json")
    assert 1 / 3 < found.images_per_second / facts["images_per_second"] < 3
    assert found.is_whole
    assert found.peak["host_peak_bytes"] <= facts["host_peak_bytes"]


def test_rows_that_take_long_are_extrapolated(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = estimate(tiny_runs.compose_experiment("data.batch_size=4096").task, ranks=1)
    monkeypatch.setattr("fokker.training.estimate.SECONDS", 0.0)
    part = estimate(tiny_runs.compose_experiment("data.batch_size=4096").task, ranks=1)
    assert whole.is_whole
    assert not part.is_whole
    assert "GB and more" in part.text(1000, ranks=2)


@pytest.mark.long
def test_a_plan_has_an_estimate_where_something_is_trained(workdir: Path) -> None:
    made = tiny_runs.compose_experiment()
    (line,) = re.findall("^estimate .*$", plan(made), re.MULTILINE)
    assert re.fullmatch(
        r"estimate on cpu, 1 thread: [\d,]+ samples/s, [\d.]+ s; memory: host \d+\.\d\d GB", line
    )
    assert "estimate" not in plan(tiny_runs.compose_experiment("network=exact"))
    tiny_runs.train()
    assert "estimate" not in plan(tiny_runs.compose_experiment())


def test_the_record_has_speed_and_memory(workdir: Path) -> None:
    first = read_json(tiny_runs.run().path / "run.json")
    found = read_json(tiny_runs.run("evaluation.num_samples=50").path / "run.json")
    known = tiny_runs.only_model().record
    assert found["training"] == "found"
    assert first["images_per_second"] == found["images_per_second"] == known["images_per_second"]
    assert first["images_per_second"] > 0
    for facts in (first, found, known):
        assert facts["host_peak_bytes"] > 1e8
        assert "device_peak_bytes" not in facts
        assert facts["threads"] == 1


def test_a_model_notes_the_threads_of_all_its_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: int | list[int] | None = None
    for now, expected in ((2, 2), (2, 2), (1, [2, 1]), (1, [2, 1]), (2, [2, 1, 2])):
        monkeypatch.setattr(torch, "get_num_threads", lambda now=now: now)
        noted = _threads(noted)
        assert noted == expected
    for damaged in (2.5, "2", {"a": 1}, [None, "x"], True):
        assert _threads(damaged) == 2


def test_a_run_says_what_it_trains_and_where(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fokker.run(tiny_runs.tiny("trainer.precision=bf16-mixed", "evaluation.figures=false"))
    said = capsys.readouterr().out.splitlines()
    name = tiny_runs.only_model().path.name
    assert said[0] == (
        f"training {name}: {_parameters()} parameters, 20 steps of 256 on cpu, 1 thread, bf16-mixed"
    )
    assert "sampling 100 by heun, N = 18, edm_rho, on cpu, 1 thread" in said


def _parameters() -> str:
    model = tiny_runs.compose_experiment().model
    return f"{sum(p.numel() for p in model.denoiser.parameters()):,}"
