"""Sweeps whose jobs run in processes of a launcher: joblib's, and submitit's as on a cluster."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fokker.machine.files import read_json
from tiny_runs import TINY

pytestmark = pytest.mark.thorough

# Built in the job's process alone: the sweep composes its jobs and does not build them.
KILLED = """
import os
from fokker.diffusion.weighting import Weighting

class Killed(Weighting):
    def __init__(self):
        os.kill(os.getpid(), 9)

    def __call__(self, sigma, noise):
        return sigma
"""


def launch(folder: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", "from fokker.cli.main import main; main()", "-m", *TINY,
         "trainer.max_steps=4", "evaluation.budget_points=0", *overrides],
        cwd=folder, env=dict(os.environ), text=True, capture_output=True, timeout=300,
    )  # fmt: skip


def rows(folder: Path) -> list[dict[str, str]]:
    (path,) = (p for p in folder.glob("outputs/sweeps/*") if p.name != ".submitit")
    with (path / "results.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_joblib_runs_jobs_at_once_and_a_failed_one_is_a_row(tmp_path: Path) -> None:
    # The two that can be built want one model: one process trains it, the other waits for it.
    done = launch(
        tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        "sampler=heun,annealed_langevin", "sampler.num_steps=2,3",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = rows(tmp_path)
    assert [row["status"] for row in found] == ["completed"] * 2 + ["failed"] * 2
    assert all("sampler=annealed_langevin walks the levels" in row["error"] for row in found[2:])
    assert sorted(row["training"] for row in found[:2]) == ["found", "trained"]
    assert "4 jobs: 2 completed (0 of them before), 2 failed; 1 model trained" in done.stdout


def test_submitit_goes_on_when_a_job_is_killed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(KILLED)
    option = tmp_path / "conf/weighting/killed.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("_target_: mine.Killed\n")
    done = launch(
        tmp_path, "--config-dir", "conf", "hydra/launcher=submitit_local",
        "weighting=killed,edm", "allow_targets=[mine]",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = rows(tmp_path)
    assert [row["status"] for row in found] == ["killed", "completed"]
    assert read_json(next(tmp_path.glob("outputs/sweeps/*/sweep.json")))["trainings"] == 1
