"""The studies of `sweeps/`: each says what it found, and each runs, a few steps at a time."""

import csv
import re
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from fokker.cli.main import main
from fokker.config.compose import config_dir
from fokker.machine.files import read_json
from tiny_runs import process
from written import only_sweep, sweep_rows

STUDIES = sorted(path.stem for path in (config_dir() / "sweeps").glob("*.yaml"))
FEW = ("trainer.max_steps=2", "evaluation.num_samples=60", "evaluation.budget_points=0",
       "logger=csv")  # fmt: skip
# The fewest settings that still show what each study varies, and how many jobs and models.
SMALL = {
    "edm_ablation": (["network.width=16", "network.depth=1"], 8, 8),
    "lecture": (["network.width=16", "network.depth=1"], 6, 5),
    "sampler_pareto": (["evaluation.num_steps=[3]"], 4, 2),
    "seeds": (["seed=0,1"], 8, 8),
    "step_count": (["evaluation.num_steps=[3,4]"], 8, 4),
    "weightings": ([], 11, 11),
}

pytestmark = pytest.mark.usefixtures("workdir")


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command in this process, without figures; its exit code."""
    monkeypatch.setattr("sys.argv", ["fokker", *arguments])
    with (
        mock.patch.object(sys.modules["fokker.experiment.run"], "draw_figures"),
        mock.patch("fokker.sweeps.presentation.draw_results", return_value=[]),
    ):
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def test_each_study_has_a_test() -> None:
    assert sorted(SMALL) == STUDIES


LONG = ("edm_ablation", "lecture")


@pytest.mark.long
@pytest.mark.parametrize(
    "study",
    [pytest.param(s, marks=[pytest.mark.thorough] if s in LONG else []) for s in STUDIES],
)
def test_a_study_runs(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (config_dir() / "sweeps" / f"{study}.yaml").read_text()
    assert len(text.splitlines()) <= 25
    comment = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("# "))
    assert re.search(r"\d+ minutes? on two cores", comment)
    assert len(comment) > 200
    assert "override /logger: wandb" in text
    overrides, jobs, models = SMALL[study]
    assert start(monkeypatch, f"+sweeps={study}", *FEW, *overrides) == 0
    found = sweep_rows()
    assert [row["status"] for row in found] == ["completed"] * jobs
    counted = read_json(only_sweep() / "sweep.json")
    assert (counted["jobs"], counted["models"], counted["trainings"]) == (jobs, models, models)
    assert only_sweep().name.startswith(f"{study}-")


STUDY = """# @package _global_
# What was found.
defaults:
  - override /data: uniform
network: {width: 16, depth: 1}
trainer: {max_steps: 3}
evaluation: {num_samples: 50}
hydra:
  mode: MULTIRUN
  sweeper:
    params: {seed: "0,1"}
    settings:
      ddpm: formulation=ddpm sampler.num_steps=4
      two words: ["formulation=edm", "sampler.num_steps=3", "evaluation.samplers=[ddim, euler]"]
"""


@pytest.fixture
def study() -> Any:
    Path("conf/sweeps").mkdir(parents=True)

    def write(text: str = STUDY) -> tuple[str, ...]:
        Path("conf/sweeps/mine.yaml").write_text(text)
        return ("--config-dir", "conf", "+sweeps=mine")

    return write


@pytest.mark.long
def test_settings_are_crossed_with_what_is_swept(
    study: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert start(monkeypatch, *study()) == 0
    found = [(r["setting"], r["seed"], r["num_steps"], r["training"]) for r in sweep_rows()]
    assert found == [
        ("ddpm", "0", "4", "trained"), ("ddpm", "1", "4", "trained"),
        ("two words", "0", "3", "trained"), ("two words", "1", "3", "trained"),
    ]  # fmt: skip
    listed = read_json(only_sweep() / "jobs.json")["jobs"]
    assert listed[2]["swept"] == {"setting": "two words", "seed": "0"}
    assert "formulation=edm" in listed[2]["overrides"]
    # The command line wins over a setting, and a longer sweep finds what is done.
    first = only_sweep()
    assert start(monkeypatch, *study(), "seed=1,2", "objective=w1") == 0
    said = capfd.readouterr().out
    assert "over seeds, mean +- standard error of the mean:" in said
    assert only_sweep() == first
    assert [r["training"] for r in sweep_rows()] == ["trained"] * 4
    assert read_json(first / "sweep.json")["models"] == 4
    changed = ("formulation=smld", "sampler.num_steps=2", "seed=0", "objective=w1", "logger=wandb")
    assert start(monkeypatch, *study(), *changed) == 0
    assert "answer   On uniform, both settings have the same W1, " in capfd.readouterr().out
    (other,) = (p for p in Path("outputs/sweeps").iterdir() if p != first)
    with (other / "results.csv").open() as handle:
        again = list(csv.DictReader(handle))
    assert [(r["setting"], r["num_steps"]) for r in again] == [("ddpm", "2"), ("two words", "2")]
    assert {r["model"].split("-")[0] for r in again} == {"smld"}


def test_a_setting_with_several_values_is_refused(
    study: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = STUDY.replace("formulation=ddpm sampler", "formulation=ddpm,edm sampler")
    assert start(monkeypatch, *study(wrong)) == 1
    said = capfd.readouterr().err
    assert "hydra.sweeper.settings.ddpm must give each key one value, got formulation=ddpm" in said
    assert not Path("outputs").exists()


@pytest.mark.long
def test_a_reader_who_leaves_ends_nothing() -> None:
    job = process(
        Path.cwd(), "-m", "trainer.max_steps=2", "evaluation.budget_points=0",
        "sampler.num_steps=2,3",
        before="import fokker.sweeps.grid as sweep; sweep.draw_results = lambda *_, **__: []",
    )  # fmt: skip
    assert job.stdout is not None
    assert job.stderr is not None
    assert job.stdout.readline().startswith("sweep ")
    job.stdout.close()
    assert job.stderr.read() == ""
    assert job.wait(timeout=120) == 0
    assert [row["status"] for row in sweep_rows()] == ["completed"] * 2
